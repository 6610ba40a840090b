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

/* array_index_nospec() takes no more than LONG_MAX, a length may be more. */
static __always_inline size_t regbuf_nospec(const struct io_mapped_ubuf *imu,
					    size_t offset)
{
	size_t page;

	if (BITS_PER_LONG == 64)
		return array_index_nospec(offset, imu->len);
	page = array_index_nospec(offset >> PAGE_SHIFT,
				  ((imu->len - 1) >> PAGE_SHIFT) + 1);
	return page << PAGE_SHIFT | offset_in_page(offset);
}

/* Where in the buffer are these bytes? Fails if not all of them are in it. */
static __always_inline int regbuf_offset(const struct io_mapped_ubuf *imu,
					 u64 buf_addr, size_t len, size_t *offset)
{
	u64 off = buf_addr - imu->ubuf;

	if (unlikely(len > MAX_RW_COUNT))
		return -EFAULT;
	if (unlikely(off > imu->len || off + len > imu->len))
		return -EFAULT;
	*offset = regbuf_nospec(imu, off);
	return 0;
}

/* What iov_iter_bvec() does, and an offset */
static __always_inline int regbuf_iter(struct iov_iter *iter, int ddir,
				       const struct bio_vec *bvec, u32 nr_segs,
				       size_t skip, size_t len)
{
	*iter = (struct iov_iter){
		.iter_type = ITER_BVEC,
		.data_source = ddir,
		.bvec = bvec,
		.nr_segs = nr_segs,
		.iov_offset = skip,
		.count = len,
	};
	return 0;
}

static noinline int io_import_fixed_search(int ddir, struct iov_iter *iter,
					   const struct io_mapped_ubuf *imu,
					   size_t offset, size_t len)
{
	u32 first, nr_segs;
	size_t skip;

	nr_segs = regbuf_span_search(imu, offset, len, &first, &skip);
	return regbuf_iter(iter, ddir, imu->bvec + first, nr_segs, skip, len);
}

/* Set up @iter for a part of the buffer. */
static __always_inline int io_import_fixed(int ddir, struct iov_iter *iter,
					   const struct io_mapped_ubuf *imu,
					   u64 buf_addr, size_t len)
{
	size_t offset, skip;
	u32 first, nr_segs;
	int ret;

	ret = regbuf_offset(imu, buf_addr, len, &offset);
	if (unlikely(ret))
		return ret;
	if (!(imu->dir & (1 << ddir)))
		return -EFAULT;
	if (unlikely(!len))
		return regbuf_iter(iter, ddir, NULL, 0, 0, 0);

	nr_segs = regbuf_span_quick(imu, offset, len, &first, &skip);
	if (unlikely(!nr_segs))
		return io_import_fixed_search(ddir, iter, imu, offset, len);
	return regbuf_iter(iter, ddir, imu->bvec + first, nr_segs, skip, len);
}

inline struct io_rsrc_node *io_find_buf_node(struct io_kiocb *req,
					     unsigned int issue_flags)
{
	struct io_ring_ctx *ctx = req->ctx;
	struct io_rsrc_node *node;

	if (req->flags & REQ_F_BUF_NODE)
		return req->buf_node;
	req->flags |= REQ_F_BUF_NODE;

	io_ring_submit_lock(ctx, issue_flags);
	node = io_rsrc_node_lookup(&ctx->buf_table, req->buf_index);
	if (node) {
		node->refs++;
		req->buf_node = node;
		io_ring_submit_unlock(ctx, issue_flags);
		return node;
	}
	req->flags &= ~REQ_F_BUF_NODE;
	io_ring_submit_unlock(ctx, issue_flags);
	return NULL;
}

static noinline int io_import_reg_buf_unlocked(struct io_kiocb *req,
					       struct iov_iter *iter,
					       u64 buf_addr, size_t len,
					       int ddir,
					       unsigned int issue_flags)
{
	struct io_rsrc_node *node;

	node = io_find_buf_node(req, issue_flags);
	if (!node)
		return -EFAULT;
	return io_import_fixed(ddir, iter, node->buf, buf_addr, len);
}

/* In the path of every request: what is seldom is called last, or not here. */
int io_import_reg_buf(struct io_kiocb *req, struct iov_iter *iter,
		      u64 buf_addr, size_t len, int ddir,
		      unsigned int issue_flags)
{
	struct io_rsrc_node *node;

	if (unlikely(issue_flags & IO_URING_F_UNLOCKED))
		return io_import_reg_buf_unlocked(req, iter, buf_addr, len,
						  ddir, issue_flags);
	node = io_find_buf_node(req, issue_flags & ~IO_URING_F_UNLOCKED);
	if (!node)
		return -EFAULT;
	return io_import_fixed(ddir, iter, node->buf, buf_addr, len);
}

/*
 * Check parts of the buffer that are to be used as one. Returns in @nr_segs
 * how many bvecs io_regbuf_fill_vec() makes of them: exactly that many, and at
 * least one for each part.
 */
int io_regbuf_count_vec(const struct io_mapped_ubuf *imu,
			const struct iovec *iov, unsigned int nr_iovs,
			unsigned int *nr_segs, size_t *total_len)
{
	size_t segs = 0, total = 0, offset, skip;
	unsigned int i;
	u32 first;
	int ret;

	for (i = 0; i < nr_iovs; i++) {
		size_t len = iov[i].iov_len;

		ret = regbuf_offset(imu, (uintptr_t)iov[i].iov_base, len,
				    &offset);
		if (unlikely(ret))
			return ret;
		if (unlikely(!len))
			return -EFAULT;
		if (unlikely(check_add_overflow(total, len, &total)))
			return -EOVERFLOW;

		segs += regbuf_span(imu, offset, len, &first, &skip);
		if (segs > INT_MAX)
			return -EOVERFLOW;
	}
	if (total > MAX_RW_COUNT)
		return -EINVAL;

	*nr_segs = segs;
	*total_len = total;
	return 0;
}

/*
 * Fill @bvec with parts of the buffer that io_regbuf_count_vec() has checked.
 * It may overlap with @iov from the left: the entries of @iov that are still
 * to come fit behind the bvecs that they become.
 */
void io_regbuf_fill_vec(const struct io_mapped_ubuf *imu,
			const struct iovec *iov, unsigned int nr_iovs,
			struct bio_vec *bvec)
{
	for (; nr_iovs; iov++, nr_iovs--) {
		size_t offset = (uintptr_t)iov->iov_base - imu->ubuf;
		size_t len = iov->iov_len;
		const struct bio_vec *src;
		u32 first, nr_segs;
		size_t skip;

		offset = regbuf_nospec(imu, offset);
		nr_segs = regbuf_span(imu, offset, len, &first, &skip);
		for (src = &imu->bvec[first]; nr_segs; src++, nr_segs--) {
			size_t seg_len = min(len, src->bv_len - skip);

			bvec_set_page(bvec++, src->bv_page, seg_len,
				      src->bv_offset + skip);
			len -= seg_len;
			skip = 0;
		}
	}
}

int io_import_reg_vec(int ddir, struct iov_iter *iter,
		      struct io_kiocb *req, struct iou_vec *vec,
		      unsigned int nr_iovs, unsigned int issue_flags)
{
	struct io_rsrc_node *node;
	struct io_mapped_ubuf *imu;
	unsigned int nr_bvecs;
	unsigned int iovec_off;
	struct iovec *iov;
	unsigned int nr_segs;
	size_t len;
	int ret;

	node = io_find_buf_node(req, issue_flags);
	if (!node)
		return -EFAULT;
	imu = node->buf;
	if (!(imu->dir & (1 << ddir)))
		return -EFAULT;

	iovec_off = vec->nr - nr_iovs;
	iov = vec->iovec + iovec_off;

	ret = io_regbuf_count_vec(imu, iov, nr_iovs, &nr_bvecs, &len);
	if (unlikely(ret))
		return ret;

	/* The iovecs are at the right end, bvecs grow towards them. */
	nr_segs = nr_bvecs;
	if (sizeof(struct bio_vec) > sizeof(struct iovec)) {
		size_t bvec_bytes;

		if (check_mul_overflow((size_t)nr_segs, sizeof(struct bio_vec),
				       &bvec_bytes) ||
		    check_add_overflow(bvec_bytes, sizeof(*iov) - 1,
				       &bvec_bytes))
			return -EOVERFLOW;
		nr_segs = bvec_bytes / sizeof(*iov);
		nr_segs += nr_iovs;
	}

	if (nr_segs > vec->nr) {
		struct iou_vec tmp_vec = {};

		ret = io_vec_realloc(&tmp_vec, nr_segs);
		if (ret)
			return ret;

		iovec_off = tmp_vec.nr - nr_iovs;
		memcpy(tmp_vec.iovec + iovec_off, iov, sizeof(*iov) * nr_iovs);
		io_vec_free(vec);

		*vec = tmp_vec;
		iov = vec->iovec + iovec_off;
		req->flags |= REQ_F_NEED_CLEANUP;
	}

	io_regbuf_fill_vec(imu, iov, nr_iovs, vec->bvec);
	return regbuf_iter(iter, ddir, vec->bvec, nr_bvecs, 0, len);
}
