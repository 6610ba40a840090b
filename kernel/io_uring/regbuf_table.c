// SPDX-License-Identifier: GPL-2.0
/*
 * The table of registered buffers of a ring
 *
 * Calls of io_uring_register(2) exclude each other: ->register_lock is held
 * from their first check to the end, so that each of them finds the table as
 * the one before it left it, and nobody sees what is half done. Only they
 * replace the table or change a slot that has a buffer of user memory, so they
 * may read both without any other lock.
 *
 * Submission must not wait for them. ->uring_lock, which it needs, is only held
 * to change what it sees: a pointer, or slots. What is as long as a buffer is
 * large is done before that or after it: to pin and to charge, to allocate and
 * to fill, to uncharge and to unpin. A buffer that leaves the table is put on a
 * list, with its node, and released without the lock; one that a request still
 * has is released by that request.
 *
 * The kernel's own buffers come and go from the submission side, under
 * ->uring_lock. A slot that an update is about to fill is busy for them.
 */
#include <linux/compat.h>
#include <linux/io_uring.h>
#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/uio.h>

#include "alloc_cache.h"
#include "io_uring.h"
#include "regbuf.h"
#include "regbuf_acct.h"
#include "regbuf_stage.h"
#include "rsrc.h"

/* Slots of a table that goes, emptied while submission waits */
#define IO_BUF_BATCH	512

/* Entries of an update that need no array of their own */
#define IO_BUF_FEW	8

static struct io_rsrc_node *io_buf_node_alloc(struct io_ring_ctx *ctx)
{
	struct io_rsrc_node *node;

	node = io_cache_alloc(&ctx->ubuf_node_cache, GFP_KERNEL_ACCOUNT);
	if (node) {
		node->type = IORING_RSRC_BUFFER;
		node->refs = 1;
		node->tag = 0;
	}
	return node;
}

/* Is all zero that this type of descriptor does not use? */
static bool io_buf_desc_clean(const struct io_uring_regbuf_desc *desc)
{
	size_t used = offsetof(struct io_uring_regbuf_desc, __resv);

	if (desc->type == IO_REGBUF_TYPE_MEMFD) {
		if (desc->__memfd_resv)
			return false;
		used = offsetofend(struct io_uring_regbuf_desc, offset);
	}
	return mem_is_zero((const char *)desc + used, sizeof(*desc) - used);
}

/* Looks only at what an iovec has, too. */
static int io_buf_check_desc(const struct io_uring_regbuf_desc *desc)
{
	switch (desc->type) {
	case IO_REGBUF_TYPE_EMPTY:
		if (desc->flags)
			return -EINVAL;
		return desc->uaddr || desc->size ? -EFAULT : 0;
	case IO_REGBUF_TYPE_MEMFD:
	case IO_REGBUF_TYPE_UADDR:
		if (desc->flags & ~IO_REGBUF_DESC_FLAGS)
			return -EINVAL;
		return io_validate_user_buf_range(desc->uaddr, desc->size,
						  IO_REGBUF_MAX_LEN);
	}
	return -EINVAL;
}

/* A node for what @desc describes, or NULL for a slot that is to be empty */
static struct io_rsrc_node *
io_buf_node_register(struct io_ring_ctx *ctx,
		     const struct io_uring_regbuf_desc *desc,
		     struct file *file, unsigned int gup_flags)
{
	struct regbuf_source src = {
		.file = file,
		.gup_flags = FOLL_LONGTERM | gup_flags,
	};
	struct io_mapped_ubuf *imu;
	struct io_rsrc_node *node;
	int ret;

	ret = io_buf_check_desc(desc);
	if (ret)
		return ERR_PTR(ret);
	if (desc->type == IO_REGBUF_TYPE_EMPTY)
		return NULL;

	node = io_buf_node_alloc(ctx);
	if (!node)
		return ERR_PTR(-ENOMEM);

	if (!(desc->flags & IO_REGBUF_READ_ONLY))
		src.gup_flags |= FOLL_WRITE;
retry:
	if (desc->type == IO_REGBUF_TYPE_MEMFD)
		imu = io_regbuf_register_memfd(ctx, desc, &src);
	else
		imu = io_regbuf_register(ctx, desc->uaddr, desc->size, &src);
	if (IS_ERR(imu)) {
		if (PTR_ERR(imu) == -REGBUF_ELATE) {
			if (!io_regbuf_acct_wait_late(ctx->buf_acct, gup_flags))
				goto retry;
			imu = ERR_PTR(-EINTR);
		}
		io_cache_free(&ctx->ubuf_node_cache, node);
		return ERR_CAST(imu);
	}
	node->buf = imu;
	return node;
}

/* Entry @i of a call that has descriptors */
static noinline int io_buf_args_desc(const struct io_buf_args *args,
				     unsigned int i,
				     struct io_uring_regbuf_desc *desc)
{
	size_t size = sizeof(*desc);

	if (args->descs)
		*desc = args->descs[i];
	else if (copy_from_user(desc, args->data + i * size, size))
		return -EFAULT;
	return io_buf_desc_clean(desc) ? 0 : -EINVAL;
}

/*
 * What entry @i of a call is to be. Without any data it is empty. Of an iovec
 * comes no more than what it has: many of them are registered at a time.
 */
static int io_buf_args_entry(struct io_ring_ctx *ctx,
			     const struct io_buf_args *args, unsigned int i,
			     struct io_uring_regbuf_desc *desc)
{
	bool compat = io_is_compat(ctx);
	struct iovec fast_iov, *iov;
	size_t size;

	if (args->descs || args->extended)
		return io_buf_args_desc(args, i, desc);

	desc->type = IO_REGBUF_TYPE_EMPTY;
	desc->flags = 0;
	desc->uaddr = 0;
	desc->size = 0;
	if (!args->data)
		return 0;
	size = compat ? sizeof(struct compat_iovec) : sizeof(struct iovec);
	iov = iovec_from_user(args->data + i * size, 1, 1, &fast_iov, compat);
	if (IS_ERR(iov))
		return PTR_ERR(iov);
	if (iov->iov_base)
		desc->type = IO_REGBUF_TYPE_UADDR;
	desc->uaddr = (unsigned long)iov->iov_base;
	desc->size = iov->iov_len;
	return 0;
}

/* The node for entry @i of a call */
static struct io_rsrc_node *io_buf_args_node(struct io_ring_ctx *ctx,
					     const struct io_buf_args *args,
					     unsigned int i)
{
	struct io_uring_regbuf_desc desc;
	struct io_rsrc_node *node;
	struct file *file = NULL;
	u64 tag = 0;
	int ret;

	ret = io_buf_args_entry(ctx, args, i, &desc);
	if (ret)
		return ERR_PTR(ret);
	if (args->tags && copy_from_user(&tag, &args->tags[i], sizeof(tag)))
		return ERR_PTR(-EFAULT);
	if (args->new_tags)
		tag = args->new_tags[i];
	if (args->files)
		file = args->files[i];

	node = io_buf_node_register(ctx, &desc, file, args->gup_flags);
	if (IS_ERR(node) || !tag)
		return node;
	if (!node)
		return ERR_PTR(-EINVAL);
	node->tag = tag;
	return node;
}

/*
 * The node leaves the table. If no request has it, it goes to @dead, or that
 * is all for a buffer of the kernel.
 */
static inline void io_buf_node_drop(struct io_ring_ctx *ctx,
				    struct io_rsrc_node *node,
				    struct io_rsrc_node **dead)
{
	lockdep_assert_held(&ctx->uring_lock);

	if (node->buf->flags & IO_REGBUF_F_KBUF) {
		io_put_rsrc_node(ctx, node);
		return;
	}
	if (--node->refs)
		return;
	if (node->tag)
		io_post_aux_cqe(ctx, node->tag, 0, 0);
	node->next = *dead;
	*dead = node;
}

static void io_buf_nodes_free(struct io_ring_ctx *ctx, struct io_rsrc_node *dead)
{
	while (dead) {
		struct io_rsrc_node *node = dead;

		dead = node->next;
		io_regbuf_put(ctx, node->buf);
		io_cache_free(&ctx->ubuf_node_cache, node);
		cond_resched();
	}
}

/* An empty table. One of the same size may be left from the last time. */
static int io_buf_table_alloc(struct io_ring_ctx *ctx, struct io_rsrc_data *data,
			      unsigned int nr)
{
	struct io_rsrc_data spare = ctx->ubuf_spare;

	if (!spare.nr)
		return io_rsrc_data_alloc(data, nr);
	ctx->ubuf_spare.nr = 0;
	ctx->ubuf_spare.nodes = NULL;
	if (spare.nr == nr) {
		*data = spare;
		return 0;
	}
	kvfree(spare.nodes);
	return io_rsrc_data_alloc(data, nr);
}

/* Empty a table that submission does not see, or not any more. */
static void io_buf_table_end(struct io_ring_ctx *ctx, struct io_rsrc_data *data)
	__releases(&ctx->uring_lock)
{
	struct io_rsrc_node *node, *dead;
	unsigned int i = data->nr, end;

	for (;;) {
		dead = NULL;
		end = i - min(i, IO_BUF_BATCH);
		while (i > end) {
			node = data->nodes[--i];
			data->nodes[i] = NULL;
			if (node)
				io_buf_node_drop(ctx, node, &dead);
		}
		mutex_unlock(&ctx->uring_lock);
		io_buf_nodes_free(ctx, dead);
		if (!i)
			break;
		mutex_lock(&ctx->uring_lock);
	}
	if (data->nr > IO_BUF_BATCH || ctx->ubuf_spare.nr)
		kvfree(data->nodes);
	else
		ctx->ubuf_spare = *data;
}

int io_sqe_buffers_unregister(struct io_ring_ctx *ctx)
{
	struct io_rsrc_data data = ctx->buf_table;

	if (!data.nr)
		return -ENXIO;

	mutex_lock(&ctx->uring_lock);
	ctx->buf_table.nodes = NULL;
	ctx->buf_table.nr = 0;
	io_buf_table_end(ctx, &data);
	return 0;
}

int io_sqe_buffers_register(struct io_ring_ctx *ctx, void __user *arg,
			    unsigned int nr_args, u64 __user *tags)
{
	const struct io_buf_args args = {
		.data = arg, .tags = tags,
	};
	struct io_rsrc_data data;
	unsigned int i;
	int ret;

	BUILD_BUG_ON(IORING_MAX_REG_BUFFERS >= (1u << 16));
	lockdep_assert_held(&ctx->register_lock);

	if (ctx->buf_table.nr)
		return -EBUSY;
	if (!nr_args || nr_args > IORING_MAX_REG_BUFFERS)
		return -EINVAL;
	ret = io_buf_table_alloc(ctx, &data, nr_args);
	if (ret)
		return ret;

	for (i = 0; i < nr_args; i++) {
		struct io_rsrc_node *node = io_buf_args_node(ctx, &args, i);

		if (IS_ERR(node)) {
			ret = PTR_ERR(node);
			break;
		}
		data.nodes[i] = node;
	}

	if (ret) {
		io_clear_table_tags(&data);
		mutex_lock(&ctx->uring_lock);
		io_buf_table_end(ctx, &data);
		return ret;
	}
	mutex_lock(&ctx->uring_lock);
	ctx->buf_table = data;
	mutex_unlock(&ctx->uring_lock);
	return 0;
}

/*
 * Put @nodes into the table from slot @offset on, all of them at once. The tags
 * of those that leave it are posted, or left to the caller.
 */
static void io_buffers_replace(struct io_ring_ctx *ctx, unsigned int offset,
			       struct io_buf_args *args,
			       struct io_rsrc_node **nodes, unsigned int nr)
{
	struct io_rsrc_node *dead = NULL, *old;
	unsigned int i, slot;

	if (!nr)
		return;
	mutex_lock(&ctx->uring_lock);
	for (i = 0; i < nr; i++) {
		slot = array_index_nospec(offset + i, ctx->buf_table.nr);
		old = ctx->buf_table.nodes[slot];
		ctx->buf_table.nodes[slot] = nodes[i];
		if (!old)
			continue;
		if (args->old_tags && old->refs == 1 && old->tag) {
			args->old_tags[args->nr_old_tags++] = old->tag;
			old->tag = 0;
		}
		io_buf_node_drop(ctx, old, &dead);
	}
	mutex_unlock(&ctx->uring_lock);
	io_buf_nodes_free(ctx, dead);
}

/*
 * Fill @nodes, and the table from them. A request finds all of them or none,
 * unless there is no memory, or no limit, for the new buffers beside the old
 * ones: then those that are done make room for the next.
 */
static int io_buffers_fill(struct io_ring_ctx *ctx, unsigned int offset,
			   struct io_buf_args *args,
			   struct io_rsrc_node **nodes, unsigned int nr)
{
	const unsigned int gup_flags = args->gup_flags;
	unsigned int done = 0, from = 0;
	int ret = 0;

	while (done < nr) {
		struct io_rsrc_node *node = io_buf_args_node(ctx, args, done);

		ret = PTR_ERR_OR_ZERO(node);
		if (ret == -ENOMEM && from < done) {
			io_buffers_replace(ctx, offset + from, args,
					   nodes + from, done - from);
			from = done;
			continue;
		}
		if (ret && args->again && args->again(args, ret))
			continue;
		if (ret)
			break;
		args->gup_flags = gup_flags;
		nodes[done++] = node;
	}
	io_buffers_replace(ctx, offset + from, args, nodes + from, done - from);
	return done ? done : ret;
}

/* Change @nr_args slots from @offset on to what @args says. */
int io_buffers_update_slots(struct io_ring_ctx *ctx, unsigned int offset,
			    struct io_buf_args *args, unsigned int nr_args)
{
	struct io_rsrc_node *few[IO_BUF_FEW], **nodes = few;
	int ret;

	lockdep_assert_held(&ctx->register_lock);

	if (!ctx->buf_table.nr)
		return -ENXIO;
	if (offset + nr_args > ctx->buf_table.nr)
		return -EINVAL;
	/* Only a new table can be empty without data that say so. */
	if (!args->data && !args->descs)
		return -EFAULT;
	if (nr_args > ARRAY_SIZE(few)) {
		nodes = kvmalloc_objs(*nodes, nr_args, GFP_KERNEL_ACCOUNT);
		if (!nodes)
			return -ENOMEM;
	}

	BUILD_BUG_ON(IORING_MAX_REG_BUFFERS > U16_MAX);
	WRITE_ONCE(ctx->buf_busy, offset << 16 | nr_args);
	ret = io_buffers_fill(ctx, offset, args, nodes, nr_args);
	WRITE_ONCE(ctx->buf_busy, 0);

	if (nodes != few)
		kvfree(nodes);
	return ret;
}

int io_sqe_buffers_update(struct io_ring_ctx *ctx,
			  const struct io_uring_rsrc_update2 *up,
			  unsigned int nr_args)
{
	struct io_buf_args args = {
		.data = u64_to_user_ptr(up->data),
		.tags = u64_to_user_ptr(up->tags),
		.extended = up->flags & IORING_RSRC_UPDATE_EXTENDED,
	};

	return io_buffers_update_slots(ctx, up->offset, &args, nr_args);
}

/* Is an update about to fill this slot? */
bool io_buffer_slot_busy(struct io_ring_ctx *ctx, unsigned int slot)
{
	u32 busy = READ_ONCE(ctx->buf_busy);

	return slot - (busy >> 16) < (busy & U16_MAX);
}

/* Which slots of @src are to be where in @ctx, and how many that has then? */
static int io_clone_range(struct io_ring_ctx *ctx, struct io_ring_ctx *src_ctx,
			  struct io_uring_clone_buffers *arg, unsigned int *nr)
{
	unsigned int nbufs = src_ctx->buf_table.nr;
	int off;

	/* if offsets are given, must have nr specified too */
	if (!arg->nr && (arg->dst_off || arg->src_off))
		return -EINVAL;
	/* not allowed unless REPLACE is set */
	if (ctx->buf_table.nr && !(arg->flags & IORING_REGISTER_DST_REPLACE))
		return -EBUSY;

	if (!nbufs)
		return -ENXIO;
	if (!arg->nr)
		arg->nr = nbufs;
	else if (arg->nr > nbufs)
		return -EINVAL;
	else if (arg->nr > IORING_MAX_REG_BUFFERS)
		return -EINVAL;
	if (check_add_overflow(arg->nr, arg->src_off, &off) || off > nbufs)
		return -EOVERFLOW;
	if (check_add_overflow(arg->nr, arg->dst_off, &nbufs))
		return -EOVERFLOW;
	if (nbufs > IORING_MAX_REG_BUFFERS)
		return -EINVAL;
	*nr = max(nbufs, ctx->buf_table.nr);
	return 0;
}

/* Nodes for the slots that are in use; @data gets them all, or none. */
static int io_clone_alloc(struct io_ring_ctx *ctx,
			  const struct io_rsrc_data *src, unsigned int src_off,
			  struct io_rsrc_data *data, unsigned int dst_off,
			  unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		unsigned int slot = array_index_nospec(src_off + i, src->nr);

		if (!READ_ONCE(src->nodes[slot]))
			continue;
		data->nodes[dst_off + i] = io_buf_node_alloc(ctx);
		if (data->nodes[dst_off + i])
			continue;
		while (i--)
			kfree(data->nodes[dst_off + i]);
		return -ENOMEM;
	}
	return 0;
}

/*
 * Let the nodes of @data have the buffers of @src. A buffer of the kernel may
 * have come or gone since they were allocated: one that came is not cloned,
 * and the node for one that went is left to the caller.
 */
static struct io_rsrc_node *io_clone_slots(struct io_rsrc_data *src,
					   unsigned int src_off,
					   struct io_rsrc_data *data,
					   unsigned int dst_off,
					   unsigned int nr)
{
	struct io_rsrc_node *unused = NULL;
	unsigned int i;

	for (i = 0; i < nr; i++) {
		struct io_rsrc_node *src_node;
		struct io_rsrc_node *node = data->nodes[dst_off + i];

		if (!node)
			continue;
		src_node = io_rsrc_node_lookup(src, src_off + i);
		if (src_node) {
			node->buf = src_node->buf;
			refcount_inc(&node->buf->refs);
		} else {
			data->nodes[dst_off + i] = NULL;
			node->next = unused;
			unused = node;
		}
	}
	return unused;
}

static void io_clone_keep(struct io_ring_ctx *ctx, struct io_rsrc_data *data,
			  unsigned int i, unsigned int end)
{
	end = min(end, ctx->buf_table.nr);
	for (; i < end; i++) {
		struct io_rsrc_node *node = ctx->buf_table.nodes[i];

		if (node) {
			data->nodes[i] = node;
			node->refs++;
		}
	}
}

static void io_lock_two(struct mutex *a, struct mutex *b)
{
	if (a > b)
		swap(a, b);
	mutex_lock(a);
	if (a != b)
		mutex_lock_nested(b, SINGLE_DEPTH_NESTING);
}

/* The register calls of both rings are locked out. */
int io_clone_buffers(struct io_ring_ctx *ctx, struct io_ring_ctx *src_ctx,
		     struct io_uring_clone_buffers *arg)
{
	struct io_rsrc_node *unused;
	struct io_rsrc_data data, old;
	unsigned int nr;
	int ret;

	lockdep_assert_held(&ctx->register_lock);
	lockdep_assert_held(&src_ctx->register_lock);

	/*
	 * Accounting state is shared between the two rings; that only works if
	 * both rings are accounted towards the same counters.
	 */
	if (ctx->user != src_ctx->user || ctx->mm_account != src_ctx->mm_account)
		return -EINVAL;

	ret = io_clone_range(ctx, src_ctx, arg, &nr);
	if (ret)
		return ret;
	ret = io_buf_table_alloc(ctx, &data, nr);
	if (ret)
		return ret;
	ret = io_clone_alloc(ctx, &src_ctx->buf_table, arg->src_off, &data,
			     arg->dst_off, arg->nr);
	if (ret) {
		kvfree(data.nodes);
		return ret;
	}

	io_lock_two(&ctx->uring_lock, &src_ctx->uring_lock);
	unused = io_clone_slots(&src_ctx->buf_table, arg->src_off, &data,
				arg->dst_off, arg->nr);
	/* What was before and after the cloned range stays. */
	io_clone_keep(ctx, &data, 0, arg->dst_off);
	io_clone_keep(ctx, &data, arg->dst_off + arg->nr, UINT_MAX);
	old = ctx->buf_table;
	ctx->buf_table = data;
	if (src_ctx != ctx)
		mutex_unlock(&src_ctx->uring_lock);
	io_buf_table_end(ctx, &old);

	while (unused) {
		struct io_rsrc_node *node = unused;

		unused = node->next;
		kfree(node);
	}
	return 0;
}
