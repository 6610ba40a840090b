/* SPDX-License-Identifier: GPL-2.0 */
/* What io_uring/regbuf*.c needs of io_uring, see kernel.h */
#ifndef FUZZ_PURE_IO_URING_H
#define FUZZ_PURE_IO_URING_H

#include "kernel.h"


#define ITER_DEST		0
#define ITER_SOURCE		1
#define IO_BUF_DEST		(1 << ITER_DEST)
#define IO_BUF_SOURCE		(1 << ITER_SOURCE)
#define IORING_RSRC_BUFFER	1
#define REQ_F_BUF_NODE		1u
#define REQ_F_NEED_CLEANUP	2u
#define IO_URING_F_UNLOCKED	1u

struct io_uring_buffer_layout;
struct io_uring_clone_buffers;
struct io_uring_regbuf_desc;
struct io_uring_rsrc_update2;
struct io_uring_sqe;

struct user_struct {
	unsigned long locked_vm, limit;
};

struct io_rsrc_node {
	int refs;
	struct io_mapped_ubuf *buf;
};

struct io_rsrc_data {
	unsigned int nr;
	struct io_rsrc_node **nodes;
};

/* The caches are always empty. */
struct io_alloc_cache {
	size_t elem_size;
};

struct io_ring_ctx {
	struct mutex uring_lock, register_lock;
	struct user_struct *user;
	struct mm_struct *mm_account;
	struct io_regbuf_acct *buf_acct;
	struct io_alloc_cache imu_cache, node_cache, ubuf_cache;
	struct io_rsrc_data buf_table;
};

struct io_kiocb {
	struct io_ring_ctx *ctx;
	unsigned int flags;
	unsigned int buf_index;
	struct io_rsrc_node *buf_node;
};

struct io_uring_cmd {
	struct io_kiocb req;
};

struct iou_vec {
	union {
		struct iovec *iovec;
		struct bio_vec *bvec;
	};
	unsigned int nr;
};

struct io_rsrc_node *io_find_buf_node(struct io_kiocb *req, unsigned int issue_flags);

#define cmd_to_io_kiocb(cmd)			(&(cmd)->req)
#define io_ring_submit_lock(ctx, flags)		((void)(ctx))
#define io_ring_submit_unlock(ctx, flags)	((void)(ctx))
#define io_cache_alloc(cache, gfp)		fuzz_alloc_gfp((cache)->elem_size, gfp)
#define io_cache_free(cache, obj)		fuzz_free(obj)
#define get_uid(user)				((void)(user))
#define free_uid(user)				((void)(user))
#define mmgrab(mm)				((void)(mm))
#define mmdrop(mm)				((void)(mm))

static inline struct io_rsrc_node *io_rsrc_node_lookup(struct io_rsrc_data *data,
						       unsigned int index)
{
	return index < data->nr ? data->nodes[index] : NULL;
}

static inline int io_account_mem(struct user_struct *user, struct mm_struct *mm,
				 unsigned long nr_pages)
{
	if (user->locked_vm + nr_pages > user->limit)
		return -ENOMEM;
	user->locked_vm += nr_pages;
	mm->pinned_vm += nr_pages;
	return 0;
}

static inline void io_unaccount_mem(struct user_struct *user, struct mm_struct *mm,
				    unsigned long nr_pages)
{
	must(nr_pages <= user->locked_vm && nr_pages <= mm->pinned_vm);
	user->locked_vm -= nr_pages;
	mm->pinned_vm -= nr_pages;
}

static inline void io_vec_free(struct iou_vec *vec)
{
	if (vec->iovec)
		fuzz_free(vec->iovec);
	vec->iovec = NULL;
	vec->nr = 0;
}

static inline int io_vec_realloc(struct iou_vec *vec, unsigned int nr)
{
	struct iovec *iov = fuzz_alloc(nr * sizeof(*iov));

	if (!iov)
		return -ENOMEM;
	io_vec_free(vec);
	vec->iovec = iov;
	vec->nr = nr;
	return 0;
}

/* The table of accounts: a list */
struct rhash_head {
	struct rhash_head *next;
};

struct rhashtable_params {
	size_t head_offset, key_offset, key_len;
	bool automatic_shrinking;
};

struct rhashtable {
	struct rhash_head *first;
};

static inline int rhashtable_init(struct rhashtable *ht, const struct rhashtable_params *params)
{
	(void)params;
	ht->first = NULL;
	return 0;
}

static inline void *rhashtable_lookup(struct rhashtable *ht, const void *key,
				      struct rhashtable_params params)
{
	for (struct rhash_head *head = ht->first; head; head = head->next) {
		char *obj = (char *)head - params.head_offset;

		if (!memcmp(obj + params.key_offset, key, params.key_len))
			return obj;
	}
	return NULL;
}

static inline void *rhashtable_lookup_get_insert_fast(struct rhashtable *ht,
						      struct rhash_head *head,
						      struct rhashtable_params params)
{
	char *obj = (char *)head - params.head_offset;
	void *old = rhashtable_lookup(ht, obj + params.key_offset, params);

	if (old)
		return old;
	head->next = ht->first;
	ht->first = head;
	return NULL;
}

static inline int rhashtable_remove_fast(struct rhashtable *ht, struct rhash_head *head,
					 struct rhashtable_params params)
{
	struct rhash_head **p = &ht->first;

	(void)params;
	while (*p && *p != head)
		p = &(*p)->next;
	if (!*p)
		return -ENOENT;
	*p = head->next;
	return 0;
}

static inline int rhashtable_replace_fast(struct rhashtable *ht, struct rhash_head *old,
					  struct rhash_head *head,
					  struct rhashtable_params params)
{
	int ret = rhashtable_remove_fast(ht, old, params);

	if (ret)
		return ret;
	head->next = ht->first;
	ht->first = head;
	return 0;
}

#define __init
#define device_initcall(fn)	static void __attribute__((constructor)) init_##fn(void) { fn(); }

/* No task returns to user space here: what is left to one is done at once, by a worker. */
#define TWA_RESUME		1
#define init_task_work(work, fn)	((work)->func = (fn))
#define task_work_add(task, work, how)	(-ESRCH)

struct llist_head {
	struct llist_node *first;
};

struct work_struct {
	void (*func)(struct work_struct *work);
};

#define LLIST_HEAD(name)	struct llist_head name
#define DECLARE_WORK(name, fn)	struct work_struct name = { .func = (fn) }
#define queue_work(queue, work)	(work)->func(work)
/* That is done at once: nobody finds a buffer that is still being released. */
#define wake_up_var(var)	((void)(var))
#define wait_var_event_killable(var, done)	(must(done), 0)
#define wait_var_event_interruptible(var, done)	(must(done), 0)

static inline bool llist_add(struct llist_node *node, struct llist_head *head)
{
	node->next = head->first;
	head->first = node;
	return !node->next;
}

static inline struct llist_node *llist_del_all(struct llist_head *head)
{
	struct llist_node *first = head->first;

	head->first = NULL;
	return first;
}

#define llist_entry_(node, type, member) \
	((node) ? container_of(node, type, member) : NULL)
#define llist_for_each_entry_safe(pos, n, node, member)				\
	for (pos = llist_entry_(node, __typeof__(*pos), member);		\
	     pos && (n = llist_entry_(pos->member.next, __typeof__(*n), member), true); \
	     pos = n)

/* Buffers of the kernel are not fuzzed: this is only so that the file compiles. */
struct request {
	unsigned int nr_bvecs;
	struct bio_vec *bvecs;
};

struct req_iterator {
	unsigned int i;
};

#define blk_rq_nr_phys_segments(rq)	((rq)->nr_bvecs)
#define rq_data_dir(rq)			0
#define rq_for_each_bvec(bv, rq, iter) \
	for ((iter).i = 0; (iter).i < (rq)->nr_bvecs && ((bv) = (rq)->bvecs[(iter).i], true); \
	     (iter).i++)

static inline struct io_rsrc_node *io_rsrc_node_alloc(struct io_ring_ctx *ctx, int type)
{
	(void)ctx;
	(void)type;
	return NULL;
}

static inline void io_put_rsrc_node(struct io_ring_ctx *ctx, struct io_rsrc_node *node)
{
	(void)ctx;
	(void)node;
}

#endif
