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
#include <linux/mm.h>
#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "alloc_cache.h"
#include "io_uring.h"
#include "regbuf.h"
#include "regbuf_acct.h"
#include "regbuf_stage.h"
#include "rsrc.h"

static struct io_mapped_ubuf *io_alloc_imu(struct io_ring_ctx *ctx,
					   const struct regbuf_layout *layout)
{
	u64 bytes = layout->bytes + sizeof(struct io_mapped_ubuf);
	struct io_mapped_ubuf *imu;

	if (layout->bytes <= IO_CACHED_BVECS_SEGS * sizeof(struct bio_vec)) {
		imu = io_cache_alloc(&ctx->imu_cache, GFP_KERNEL_ACCOUNT);
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

static void io_free_imu(struct io_ring_ctx *ctx, struct io_mapped_ubuf *imu)
{
	if (imu->flags & IO_REGBUF_F_CACHED)
		io_cache_free(&ctx->imu_cache, imu);
	else
		kvfree(imu);
}

static void io_regbuf_release(struct io_ring_ctx *ctx,
			      struct io_mapped_ubuf *imu)
{
	if (imu->flags & IO_REGBUF_F_KBUF) {
		imu->release(imu->priv);
	} else {
		if (ctx->buf_acct)
			regbuf_uncharge_bvecs(ctx->buf_acct, imu->bvec,
					      imu->nr_bvecs);
		unpin_user_bvecs(imu->bvec, imu->nr_bvecs, UNPIN_CLEAN);
	}
	io_free_imu(ctx, imu);
}

static struct io_mapped_ubuf *io_regbuf_alloc(struct io_ring_ctx *ctx,
					      struct regbuf_stage *stage,
					      struct regbuf_layout *layout)
{
	struct io_mapped_ubuf *imu;

	regbuf_choose_layout(&stage->tally, layout);
	regbuf_stage_shrink(stage, layout);
	imu = io_alloc_imu(ctx, layout);
	return imu ?: ERR_PTR(-ENOMEM);
}

/*
 * Pin @len bytes of the memory of the current process at @uaddr, which is a
 * range that io_validate_user_buf_range() accepts, and charge for it. Returns
 * the buffer, with the reference of the caller on it, or an error; then nothing
 * is pinned or charged.
 *
 * @dir is what the buffer can be used for. A mere source is pinned for reading:
 * the pin unshares what a later write to the mapping would replace, so the
 * buffer and the mapping stay the same memory.
 *
 * What takes as long as the buffer is large needs nothing of the ring but its
 * accounting, which is there as long as the ring is. So ->uring_lock is dropped
 * meanwhile, and the caller has to look again at what it protects.
 */
struct io_mapped_ubuf *io_regbuf_register(struct io_ring_ctx *ctx,
					  unsigned long uaddr, size_t len,
					  u8 dir)
	__must_hold(&ctx->uring_lock)
{
	struct regbuf_stage stage = { .full = LIST_HEAD_INIT(stage.full) };
	struct io_mapped_ubuf *imu;
	struct regbuf_layout layout;
	struct regbuf_fill fill;
	unsigned long nr_pages, end;
	int ret;

	if (check_add_overflow(uaddr, len, &end) ||
	    check_add_overflow(end, PAGE_SIZE - 1, &end))
		return ERR_PTR(-EOVERFLOW);
	nr_pages = (end >> PAGE_SHIFT) - (uaddr >> PAGE_SHIFT);

	if (ctx->user && !ctx->buf_acct) {
		ctx->buf_acct = io_regbuf_acct_get(ctx->user, ctx->mm_account);
		if (!ctx->buf_acct)
			return ERR_PTR(-ENOMEM);
	}
	stage.charge.acct = ctx->buf_acct;

	mutex_unlock(&ctx->uring_lock);
	ret = regbuf_stage_pin(&stage, uaddr & PAGE_MASK, nr_pages,
			       FOLL_LONGTERM |
			       (dir & IO_BUF_DEST ? FOLL_WRITE : 0));
	mutex_lock(&ctx->uring_lock);
	imu = ret ? ERR_PTR(ret) : io_regbuf_alloc(ctx, &stage, &layout);
	mutex_unlock(&ctx->uring_lock);

	if (IS_ERR(imu)) {
		regbuf_stage_end(&stage, NULL);
		goto out;
	}
	/* store original address for later verification */
	imu->ubuf = uaddr;
	imu->len = len;
	imu->acct_pages = stage.charge.charged;
	imu->dir = dir;
	imu->release = NULL;
	refcount_set(&imu->refs, 1);
	regbuf_fill_begin(&fill, imu, &layout);
	regbuf_stage_end(&stage, &fill);
	regbuf_fill_end(&fill);
out:
	mutex_lock(&ctx->uring_lock);
	return imu;
}

/*
 * Let another ring have the buffer. It is charged already, and as both rings
 * are of the same user and mm, they share the accounting.
 */
void io_regbuf_clone(struct io_ring_ctx *ctx, struct io_ring_ctx *src_ctx,
		     struct io_mapped_ubuf *imu)
{
	if (!ctx->buf_acct && src_ctx->buf_acct) {
		refcount_inc(&src_ctx->buf_acct->refs);
		ctx->buf_acct = src_ctx->buf_acct;
	}
	refcount_inc(&imu->refs);
}

/* Drop the reference of a ring. */
void io_regbuf_put(struct io_ring_ctx *ctx, struct io_mapped_ubuf *imu)
{
	if (refcount_dec_and_test(&imu->refs))
		io_regbuf_release(ctx, imu);
}

static struct io_mapped_ubuf *io_kernel_buffer_init(struct io_ring_ctx *ctx,
						    unsigned int nr_bvecs,
						    u8 dir,
						    void (*release)(void *),
						    void *priv,
						    unsigned int index)
{
	const struct regbuf_layout layout = {
		.nr_bvecs = nr_bvecs,
		.bytes = (u64)nr_bvecs * sizeof(struct bio_vec),
	};
	struct io_rsrc_data *data = &ctx->buf_table;
	struct io_mapped_ubuf *imu;
	struct io_rsrc_node *node;

	if (index >= data->nr)
		return ERR_PTR(-EINVAL);
	index = array_index_nospec(index, data->nr);

	if (data->nodes[index])
		return ERR_PTR(-EBUSY);

	node = io_rsrc_node_alloc(ctx, IORING_RSRC_BUFFER);
	if (!node)
		return ERR_PTR(-ENOMEM);

	imu = io_alloc_imu(ctx, &layout);
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
	imu->flags |= IO_REGBUF_F_KBUF;

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
