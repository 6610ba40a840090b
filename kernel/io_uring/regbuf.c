// SPDX-License-Identifier: GPL-2.0
/*
 * Registered buffers: memory that I/O uses again and again, pinned once
 *
 * User memory is pinned as runs, each a contiguous range of pages inside one
 * folio with one pin (regbuf_stage.c), charged for (regbuf_acct.c), and stored
 * as bvecs in the way that regbuf_layout.h describes.
 *
 * A buffer is shared by the rings that it was cloned to, and each request that
 * uses it holds a reference on the node in the table of its ring. What is
 * registered by the kernel (ublk, fuse) is not pinned here: it comes as bvecs
 * and is released by a callback.
 */
#include <linux/blk-mq.h>
#include <linux/io_uring.h>
#include <linux/io_uring/cmd.h>
#include <linux/llist.h>
#include <linux/mm.h>
#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/task_work.h>
#include <linux/vmalloc.h>

#include "alloc_cache.h"
#include "io_uring.h"
#include "regbuf.h"
#include "regbuf_acct.h"
#include "regbuf_stage.h"
#include "rsrc.h"

/* Bvecs of a buffer that are released before others get their turn */
#define REGBUF_RELEASE_BATCH	512

static struct io_mapped_ubuf *io_alloc_kbuf(struct io_ring_ctx *ctx,
					    unsigned int nr_bvecs)
{
	struct io_mapped_ubuf *imu;

	if (nr_bvecs <= IO_CACHED_KBUF_SEGS) {
		imu = io_cache_alloc(&ctx->imu_cache, GFP_KERNEL_ACCOUNT);
		if (imu)
			imu->flags = IO_REGBUF_F_KBUF | IO_REGBUF_F_CACHED;
		return imu;
	}
	imu = kvmalloc_flex(*imu, bvec, nr_bvecs, GFP_KERNEL_ACCOUNT);
	if (imu)
		imu->flags = IO_REGBUF_F_KBUF;
	return imu;
}

static void io_free_kbuf(struct io_ring_ctx *ctx, struct io_mapped_ubuf *imu)
{
	if (imu->flags & IO_REGBUF_F_CACHED)
		io_cache_free(&ctx->imu_cache, imu);
	else
		kvfree(imu);
}

/* User buffers whose last request ended where no task returns to user space */
static LLIST_HEAD(io_regbuf_late);

static struct io_mapped_ubuf *io_regbuf_alloc(struct io_ring_ctx *ctx,
					      const struct regbuf_layout *layout)
{
	u64 bytes = layout->bytes + sizeof(struct io_mapped_ubuf);
	struct io_mapped_ubuf *imu;

	if (layout->bytes <= IO_CACHED_BVECS_SEGS * sizeof(struct bio_vec)) {
		imu = io_cache_alloc(&ctx->ubuf_cache, GFP_KERNEL_ACCOUNT);
		if (imu)
			imu->flags = IO_REGBUF_F_CACHED;
		return imu;
	}

	if (layout->nr_bvecs > UINT_MAX || bytes > SIZE_MAX)
		return NULL;
	/* More than kvmalloc() allows are 512 GiB of single pages. */
	if (bytes <= INT_MAX)
		imu = kvmalloc(bytes, GFP_KERNEL_ACCOUNT);
	else
		imu = __vmalloc(bytes, GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	if (imu)
		imu->flags = 0;
	return imu;
}

/*
 * The run that a bvec begins, in a buffer that has runs of several: the bvec
 * behind it, or @end. Such a run was longer than a bvec, or than the unit of a
 * uniform buffer. Its bvecs follow each other inside one folio, as two runs never
 * do: those are as long as they get. The folio has to be pinned.
 */
const struct bio_vec *regbuf_run_end(const struct bio_vec *bvec,
				     const struct bio_vec *end)
{
	const struct folio *folio = bvec_folio(bvec);
	unsigned long folio_end, next;

	if (!folio_test_large(folio))
		return bvec + 1;

	folio_end = folio_pfn(folio) + folio_nr_pages(folio);
	do {
		next = page_to_pfn(bvec->bv_page) +
		       PFN_UP(bvec->bv_offset + bvec->bv_len);
		bvec++;
	} while (next < folio_end && bvec < end &&
		 page_to_pfn(bvec->bv_page) == next);

	return bvec;
}

/*
 * One pin for each run: of runs that have several bvecs it is released with the
 * first one. @pieces: there are such runs.
 */
static void regbuf_unpin(const struct bio_vec *bvec, const struct bio_vec *end,
			 bool pieces)
{
	const struct bio_vec *first = bvec, *next;

	for (; pieces && bvec < end; bvec = next) {
		next = regbuf_run_end(bvec, end);
		if (next == bvec + 1)
			continue;
		unpin_user_bvecs(first, bvec + 1 - first, UNPIN_CLEAN);
		first = next;
	}
	unpin_user_bvecs(first, end - first, UNPIN_CLEAN);
}

/* Uncharge and release the runs of a buffer, a bounded number at a time. */
static noinline void io_regbuf_release_folios(struct io_mapped_ubuf *imu)
{
	const struct bio_vec *bvec = imu->bvec, *end = bvec + imu->nr_bvecs;
	struct regbuf_charge charge = { .acct = imu->acct };
	bool pieces = imu->flags & IO_REGBUF_F_PIECES;

	while (bvec < end) {
		const struct bio_vec *stop = end;

		if (end - bvec > REGBUF_RELEASE_BATCH) {
			stop = bvec + REGBUF_RELEASE_BATCH;
			if (pieces)
				stop = regbuf_run_end(stop - 1, end);
		}
		regbuf_uncharge_bvecs(&charge, bvec, stop);
		regbuf_unpin(bvec, stop, pieces);
		bvec = stop;
	}
	io_regbuf_acct_put(imu->acct);
}

/* Runs for which it takes less to release them one by one */
#define REGBUF_FEW	3

/* Release the memory of a buffer. */
static inline void io_regbuf_release(struct io_mapped_ubuf *imu)
{
	const struct bio_vec *bvec = imu->bvec, *end = bvec + imu->nr_bvecs;
	bool pieces = imu->flags & IO_REGBUF_F_PIECES;

	if (unlikely(imu->acct && !(imu->flags & IO_REGBUF_F_SINGLE_PAGES))) {
		io_regbuf_release_folios(imu);
		return;
	}
	if (imu->nr_bvecs == 1)
		unpin_user_folio(bvec_folio(bvec), 1);
	else if (imu->nr_bvecs <= REGBUF_FEW && !pieces)
		for (; bvec < end; bvec++)
			unpin_user_folio(bvec_folio(bvec), 1);
	else
		regbuf_unpin(bvec, end, pieces);
	/* Other buffers do not matter for single pages. */
	if (imu->acct) {
		io_unaccount_mem(imu->acct->key.user, imu->acct->key.mm,
				 imu->acct_pages);
		io_regbuf_acct_put(imu->acct);
	}
}

/* Release a buffer of user memory that has no other users, without a ring. */
void io_regbuf_destroy(struct io_mapped_ubuf *imu)
{
	io_regbuf_release(imu);
	kvfree(imu);
}

static void io_regbuf_free_task_work(struct callback_head *work)
{
	struct io_mapped_ubuf *imu;
	struct io_regbuf_acct *acct;

	imu = container_of(work, struct io_mapped_ubuf, task_work);
	acct = imu->acct;
	io_regbuf_destroy(imu);
	io_regbuf_acct_late_end(acct);
}

static void io_regbuf_free_late(struct work_struct *work)
{
	struct llist_node *node = llist_del_all(&io_regbuf_late);
	struct io_mapped_ubuf *imu, *next;

	llist_for_each_entry_safe(imu, next, node, late)
		io_regbuf_free_task_work(&imu->task_work);
}

static DECLARE_WORK(io_regbuf_late_work, io_regbuf_free_late);

static u8 io_regbuf_charge_flags(const struct regbuf_charge *charge)
{
	return charge->folio ? 0 : IO_REGBUF_F_SINGLE_PAGES;
}

static struct io_mapped_ubuf *io_regbuf_pin(struct io_ring_ctx *ctx,
					    unsigned long uaddr, size_t len,
					    const struct regbuf_source *src)
{
	struct regbuf_stage stage = {
		.src = *src,
		.full = LIST_HEAD_INIT(stage.full),
		.charge.acct = ctx->buf_acct,
	};
	struct io_mapped_ubuf *imu;
	struct regbuf_layout layout;
	struct regbuf_fill fill;
	int ret;

	ret = regbuf_stage_pin(&stage);
	if (ret)
		goto fail;
	regbuf_choose_layout(&stage.tally, &layout);
	regbuf_stage_shrink(&stage, &layout);
	ret = -ENOMEM;
	imu = io_regbuf_alloc(ctx, &layout);
	if (!imu)
		goto fail;

	/* store original address for later verification */
	imu->ubuf = uaddr;
	imu->len = len;
	imu->flags |= io_regbuf_charge_flags(&stage.charge);
	if (layout.nr_bvecs != stage.tally.nr_runs)
		imu->flags |= IO_REGBUF_F_PIECES;
	imu->acct_pages = stage.charge.charged;
	regbuf_fill_begin(&fill, imu, &layout);
	regbuf_stage_end(&stage, &fill);
	regbuf_fill_end(&fill);
	return imu;
fail:
	regbuf_stage_end(&stage, NULL);
	return ERR_PTR(ret);
}

/*
 * A buffer of few pages that can be pinned without sleeping, and whose runs are
 * a uniform buffer as they are: they are pinned where they stay. Returns NULL if
 * it is not that simple; nothing is pinned then.
 */
static struct io_mapped_ubuf *
io_regbuf_pin_small(struct io_ring_ctx *ctx, unsigned long uaddr, size_t len,
		    const struct regbuf_source *src)
{
	struct regbuf_charge charge = { .acct = ctx->buf_acct };
	struct io_mapped_ubuf *imu;
	struct pin_runs runs;
	long ret;

	imu = io_cache_alloc(&ctx->ubuf_cache, GFP_KERNEL_ACCOUNT);
	if (!imu)
		return ERR_PTR(-ENOMEM);
	pin_runs_init_bvecs(&runs, imu->bvec, IO_CACHED_BVECS_SEGS);
	ret = regbuf_source_pin(src, 0, &runs);
	imu->ubuf = uaddr;
	imu->len = len;
	if (ret != src->nr_pages || !regbuf_fill_in_place(imu, runs.nr)) {
		ret = 0;
		goto undo;
	}
	if (charge.acct) {
		ret = regbuf_charge_runs(&charge, &runs,
					 (struct pin_runs_iter){ });
		if (ret)
			goto undo;
	}
	imu->flags = IO_REGBUF_F_CACHED | io_regbuf_charge_flags(&charge);
	imu->acct_pages = charge.charged;
	return imu;

undo:
	unpin_user_runs(&runs, UNPIN_CLEAN);
	io_cache_free(&ctx->ubuf_cache, imu);
	return ERR_PTR(ret);
}

/*
 * Pin @len bytes at @uaddr, a range that io_validate_user_buf_range() accepts,
 * and charge for them. Returns the buffer, with the reference of the caller on
 * it, or an error; then nothing is pinned or charged.
 *
 * @src has the flags for the pin. Without a file in it, the memory is that of the
 * current process at @uaddr; else @uaddr is only a name for what starts in its
 * first page.
 *
 * What is pinned without FOLL_WRITE is a mere source: the pin unshares what a
 * later write to the mapping would replace, so the buffer and the mapping stay
 * the same memory.
 */
struct io_mapped_ubuf *io_regbuf_register(struct io_ring_ctx *ctx,
					  unsigned long uaddr, size_t len,
					  struct regbuf_source *src)
	__must_hold(&ctx->register_lock)
{
	struct io_mapped_ubuf *imu = NULL;
	unsigned long end;

	if (check_add_overflow(uaddr, len, &end) ||
	    check_add_overflow(end, PAGE_SIZE - 1, &end))
		return ERR_PTR(-EOVERFLOW);
	src->nr_pages = (end >> PAGE_SHIFT) - (uaddr >> PAGE_SHIFT);
	if (!src->file)
		src->page = uaddr >> PAGE_SHIFT;

	/* What can be pinned without sleeping is tried first. */
	if (src->nr_pages <= IO_CACHED_BVECS_SEGS)
		imu = io_regbuf_pin_small(ctx, uaddr, len, src);
	if (!imu)
		imu = io_regbuf_pin(ctx, uaddr, len, src);
	if (IS_ERR(imu))
		return imu;

	imu->dir = IO_BUF_SOURCE;
	if (src->gup_flags & FOLL_WRITE)
		imu->dir |= IO_BUF_DEST;
	imu->acct = ctx->buf_acct;
	if (imu->acct)
		refcount_inc(&imu->acct->refs);
	refcount_set(&imu->refs, 1);
	return imu;
}

/* Drop a reference on a buffer of user memory; takes as long as it is large. */
void io_regbuf_put(struct io_ring_ctx *ctx, struct io_mapped_ubuf *imu)
	__must_hold(&ctx->register_lock)
{
	if (!refcount_dec_and_test(&imu->refs))
		return;
	io_regbuf_release(imu);
	if (imu->flags & IO_REGBUF_F_CACHED)
		io_cache_free(&ctx->ubuf_cache, imu);
	else
		kvfree(imu);
}

/*
 * Drop the reference of a request. Nothing that is as long as a buffer is done
 * here: the task does that before it returns to user space, as with a file that
 * it closes. A register call that misses the memory waits for it, so it is not
 * for tasks that do not return, or only after requests that may take long.
 */
void io_regbuf_put_locked(struct io_ring_ctx *ctx, struct io_mapped_ubuf *imu)
{
	lockdep_assert_held(&ctx->uring_lock);

	if (!refcount_dec_and_test(&imu->refs))
		return;
	if (imu->flags & IO_REGBUF_F_KBUF) {
		imu->release(imu->priv);
		io_free_kbuf(ctx, imu);
		return;
	}
	/* What is small is not worth a delay, nor a limit that seems used up. */
	if (imu->nr_bvecs <= IO_CACHED_BVECS_SEGS) {
		io_regbuf_destroy(imu);
		return;
	}
	io_regbuf_acct_late(imu->acct);
	init_task_work(&imu->task_work, io_regbuf_free_task_work);
	if (!(current->flags & (PF_KTHREAD | PF_IO_WORKER)) &&
	    !task_work_add(current, &imu->task_work, TWA_RESUME))
		return;
	if (llist_add(&imu->late, &io_regbuf_late))
		queue_work(system_dfl_wq, &io_regbuf_late_work);
}

static struct io_mapped_ubuf *io_kernel_buffer_init(struct io_ring_ctx *ctx,
						    unsigned int nr_bvecs,
						    u8 dir,
						    void (*release)(void *),
						    void *priv,
						    unsigned int index)
{
	struct io_rsrc_data *data = &ctx->buf_table;
	struct io_mapped_ubuf *imu;
	struct io_rsrc_node *node;

	if (index >= data->nr)
		return ERR_PTR(-EINVAL);
	index = array_index_nospec(index, data->nr);

	if (data->nodes[index] || io_buffer_slot_busy(ctx, index))
		return ERR_PTR(-EBUSY);

	node = io_rsrc_node_alloc(ctx, IORING_RSRC_BUFFER);
	if (!node)
		return ERR_PTR(-ENOMEM);

	imu = io_alloc_kbuf(ctx, nr_bvecs);
	if (!imu) {
		io_cache_free(&ctx->node_cache, node);
		return ERR_PTR(-ENOMEM);
	}

	imu->ubuf = 0;
	imu->len = 0;
	imu->layout = IO_REGBUF_LINEAR;
	imu->shift = 0;
	imu->nr_bvecs = nr_bvecs;
	refcount_set(&imu->refs, 1);
	imu->release = release;
	imu->priv = priv;
	imu->dir = dir;

	node->buf = imu;
	data->nodes[index] = node;

	return imu;
}

int io_buffer_register_request(struct io_uring_cmd *cmd, struct request *rq,
			       void (*release)(void *), unsigned int index,
			       unsigned int issue_flags)
{
	struct io_ring_ctx *ctx = cmd_to_io_kiocb(cmd)->ctx;
	struct req_iterator rq_iter;
	struct io_mapped_ubuf *imu;
	struct bio_vec bv;
	/*
	 * blk_rq_nr_phys_segments() may overestimate the number of bvecs
	 * but avoids needing to iterate over the bvecs
	 */
	unsigned int nr_bvecs = blk_rq_nr_phys_segments(rq);
	int ret = 0;

	io_ring_submit_lock(ctx, issue_flags);

	imu = io_kernel_buffer_init(ctx, nr_bvecs, 1 << rq_data_dir(rq),
				    release, rq, index);
	if (IS_ERR(imu)) {
		ret = PTR_ERR(imu);
		goto unlock;
	}

	nr_bvecs = 0;
	rq_for_each_bvec(bv, rq, rq_iter) {
		imu->bvec[nr_bvecs++] = bv;
		imu->len += bv.bv_len;
	}
	imu->nr_bvecs = nr_bvecs;

unlock:
	io_ring_submit_unlock(ctx, issue_flags);
	return ret;
}
EXPORT_SYMBOL_GPL(io_buffer_register_request);

/*
 * bvs is copied internally. caller may free it on return.
 */
int io_buffer_register_bvec(struct io_uring_cmd *cmd, const struct bio_vec *bvs,
			    unsigned int nr_bvecs, void (*release)(void *),
			    void *priv, u8 dir, unsigned int index,
			    unsigned int issue_flags)
{
	struct io_ring_ctx *ctx = cmd_to_io_kiocb(cmd)->ctx;
	struct io_mapped_ubuf *imu;
	unsigned int i;
	int ret = 0;

	io_ring_submit_lock(ctx, issue_flags);
	imu = io_kernel_buffer_init(ctx, nr_bvecs, dir, release, priv, index);
	if (IS_ERR(imu)) {
		ret = PTR_ERR(imu);
		goto unlock;
	}

	for (i = 0; i < nr_bvecs; i++) {
		imu->bvec[i] = bvs[i];
		imu->len += bvs[i].bv_len;
	}

unlock:
	io_ring_submit_unlock(ctx, issue_flags);
	return ret;
}
EXPORT_SYMBOL_GPL(io_buffer_register_bvec);

int io_buffer_unregister(struct io_uring_cmd *cmd, unsigned int index,
			 unsigned int issue_flags)
{
	struct io_ring_ctx *ctx = cmd_to_io_kiocb(cmd)->ctx;
	struct io_rsrc_data *data = &ctx->buf_table;
	struct io_rsrc_node *node;
	int ret = 0;

	io_ring_submit_lock(ctx, issue_flags);
	if (index >= data->nr) {
		ret = -EINVAL;
		goto unlock;
	}
	index = array_index_nospec(index, data->nr);

	node = data->nodes[index];
	if (!node) {
		ret = -EINVAL;
		goto unlock;
	}
	if (!(node->buf->flags & IO_REGBUF_F_KBUF)) {
		ret = -EBUSY;
		goto unlock;
	}

	io_put_rsrc_node(ctx, node);
	data->nodes[index] = NULL;
unlock:
	io_ring_submit_unlock(ctx, issue_flags);
	return ret;
}
EXPORT_SYMBOL_GPL(io_buffer_unregister);
