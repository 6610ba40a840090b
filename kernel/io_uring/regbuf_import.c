// SPDX-License-Identifier: GPL-2.0
/*
 * Using registered buffers: an iterator over the bytes that a request names
 *
 * This is in the path of every request. It takes no lock but for the table, and
 * no reference but the one on the node.
 */
#include <linux/mm.h>
#include <linux/nospec.h>
#include <linux/slab.h>

#include "io_uring.h"
#include "regbuf.h"
#include "rsrc.h"

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
	const struct bio_vec *first;
	size_t skip;
	u32 nr_segs;

	nr_segs = regbuf_span_search(imu, offset, len, &first, &skip);
	return regbuf_iter(iter, ddir, first, nr_segs, skip, len);
}

/* Set up @iter for a part of the buffer. */
static __always_inline int io_import_fixed(int ddir, struct iov_iter *iter,
					   const struct io_mapped_ubuf *imu,
					   u64 buf_addr, size_t len)
{
	const struct bio_vec *first;
	size_t offset, skip;
	u32 nr_segs;
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
	return regbuf_iter(iter, ddir, first, nr_segs, skip, len);
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

/* Check one of the iovecs: where in the buffer are its bytes? */
static __always_inline int regbuf_iovec_offset(const struct io_mapped_ubuf *imu,
					       const struct iovec *iov,
					       size_t *offset)
{
	if (unlikely(!iov->iov_len || iov->iov_len > MAX_RW_COUNT))
		return -EFAULT;
	return regbuf_offset(imu, (uintptr_t)iov->iov_base, iov->iov_len, offset);
}

/*
 * Find the bytes of one of the iovecs. Returns how many bvecs of the buffer they
 * are in, or an error; *@first and *@skip as regbuf_span() has it.
 */
static __always_inline int regbuf_find_iovec(const struct io_mapped_ubuf *imu,
					     const struct iovec *iov,
					     const struct bio_vec **first,
					     size_t *skip)
{
	size_t offset;
	int ret;

	ret = regbuf_iovec_offset(imu, iov, &offset);
	if (unlikely(ret))
		return ret;
	return regbuf_span(imu, offset, iov->iov_len, first, skip);
}

/*
 * A part of a bvec. It starts inside its first page, as others do that the
 * block layer knows how to take quickly, and not anywhere in a folio.
 */
static __always_inline void regbuf_set_part(struct bio_vec *bvec,
					    const struct bio_vec *of,
					    size_t skip, size_t len)
{
	size_t offset = of->bv_offset + skip;

	bvec_set_page(bvec, of->bv_page + (offset >> PAGE_SHIFT), len,
		      offset_in_page(offset));
}

/* As regbuf_one_part(); not inline, which leaves the registers to its caller */
static noinline bool regbuf_search_part(const struct io_mapped_ubuf *imu,
					size_t offset, size_t len,
					struct bio_vec *bvec)
{
	const struct bio_vec *of;
	size_t skip;

	of = regbuf_seek(imu, offset, &skip);
	if (len > of->bv_len - skip)
		return false;
	regbuf_set_part(bvec, of, skip, len);
	return true;
}

/*
 * Make a bvec of these bytes, if they are in one of the buffer's bvecs. Each
 * layout has its own code to the end: joined it takes ten instructions more.
 * The one that takes longer is asked for first.
 */
static __always_inline bool regbuf_one_part(const struct io_mapped_ubuf *imu,
					    size_t offset, size_t len,
					    struct bio_vec *bvec)
{
	const struct bio_vec *of;
	size_t skip;

	if (imu->layout == IO_REGBUF_MIXED) {
		if (regbuf_in_one_mixed(imu, offset, len, &of, &skip)) {
			regbuf_set_part(bvec, of, skip, len);
			return true;
		}
	} else if (imu->layout == IO_REGBUF_UNIFORM) {
		if (regbuf_in_one_uniform(imu, offset, len, &of, &skip)) {
			regbuf_set_part(bvec, of, skip, len);
			return true;
		}
	}
	return regbuf_search_part(imu, offset, len, bvec);
}

/* Iovecs that become bvecs, in the same memory */
struct regbuf_vec {
	/* what is left of the iovecs, and behind the last of them */
	const struct iovec	*iov;
	const struct iovec	*end;
	/* where the next bvec goes, and the bytes before that */
	struct bio_vec		*bvec;
	u64			total;
};

/*
 * Make bvecs of iovecs, as long as there is room in front of the next iovec,
 * which is not read yet. Returns the error of an iovec that is wrong.
 *
 * Where the array is large enough for all bvecs, this gets to the end of it: as
 * each iovec that is left makes one bvec at least, what is written is never
 * further than what is read.
 */
static int regbuf_fill_iovecs(const struct io_mapped_ubuf *imu,
			      struct regbuf_vec *v)
{
	const struct iovec *iov = v->iov, *end = v->end;
	struct bio_vec *bvec = v->bvec;
	u64 total = v->total;
	int nr = 0;

	BUILD_BUG_ON(sizeof(*bvec) < sizeof(*iov));
	for (; iov != end; iov++) {
		size_t len = iov->iov_len, skip, room;
		const struct bio_vec *of;

		nr = regbuf_find_iovec(imu, iov, &of, &skip);
		room = (void *)(iov + 1) - (void *)bvec;
		if (nr < 0 || nr > room / sizeof(*bvec))
			break;
		total += len;
		for (; nr; nr--, skip = 0) {
			size_t part = min(len, of->bv_len - skip);

			regbuf_set_part(bvec++, of++, skip, part);
			len -= part;
		}
	}
	v->iov = iov;
	v->bvec = bvec;
	v->total = total;
	return min(nr, 0);
}

/*
 * How many bvecs the iovecs become, which is at least one for each: adds that
 * to *@nr_bvecs, and the bytes to *@total.
 */
static int regbuf_count_iovecs(const struct io_mapped_ubuf *imu,
			       const struct regbuf_vec *v, size_t *nr_bvecs,
			       u64 *total)
{
	const struct bio_vec *first;
	const struct iovec *iov;
	size_t skip;
	int nr;

	for (iov = v->iov; iov != v->end; iov++) {
		nr = regbuf_find_iovec(imu, iov, &first, &skip);
		if (unlikely(nr < 0))
			return nr;
		*total += iov->iov_len;
		*nr_bvecs += nr;
		if (*nr_bvecs > INT_MAX / sizeof(struct bio_vec))
			return -EOVERFLOW;
	}
	return 0;
}

/*
 * Move all to a larger array, where the bvecs of what is left have room. They
 * are counted first, so that they take no more than they need.
 */
static noinline int regbuf_grow_vec(struct io_kiocb *req,
				    const struct io_mapped_ubuf *imu,
				    struct iou_vec *vec, struct regbuf_vec *v)
{
	size_t done = v->bvec - vec->bvec, left = v->end - v->iov;
	struct iou_vec larger = {};
	size_t nr_bvecs = done;
	u64 total = v->total;
	int ret;

	ret = regbuf_count_iovecs(imu, v, &nr_bvecs, &total);
	if (unlikely(ret))
		return ret;
	if (unlikely(total > MAX_RW_COUNT))
		return -EINVAL;
	ret = io_vec_realloc(&larger,
			     DIV_ROUND_UP(nr_bvecs * sizeof(struct bio_vec),
					  sizeof(struct iovec)));
	if (unlikely(ret))
		return ret;

	memcpy(larger.bvec, vec->bvec, done * sizeof(struct bio_vec));
	v->bvec = larger.bvec + done;
	v->end = larger.iovec + larger.nr;
	memcpy(larger.iovec + larger.nr - left, v->iov,
	       left * sizeof(struct iovec));
	v->iov = v->end - left;
	io_vec_free(vec);
	*vec = larger;
	req->flags |= REQ_F_NEED_CLEANUP;
	return 0;
}

static __always_inline int regbuf_vec_iter(struct iov_iter *iter, int ddir,
					   const struct iou_vec *vec,
					   const struct bio_vec *end, u64 total)
{
	if (unlikely(total > MAX_RW_COUNT))
		return -EINVAL;
	return regbuf_iter(iter, ddir, vec->bvec, end - vec->bvec, 0, total);
}

/* Not all iovecs are as most are, or one is wrong. */
static noinline int regbuf_fill_vec(int ddir, struct iov_iter *iter,
				    struct io_kiocb *req,
				    const struct io_mapped_ubuf *imu,
				    struct iou_vec *vec, struct regbuf_vec v)
{
	int ret;

	for (;;) {
		ret = regbuf_fill_iovecs(imu, &v);
		if (unlikely(ret))
			return ret;
		if (v.iov == v.end)
			break;
		ret = regbuf_grow_vec(req, imu, vec, &v);
		if (unlikely(ret))
			return ret;
	}
	return regbuf_vec_iter(iter, ddir, vec, v.bvec, v.total);
}

/*
 * Set up @iter for parts of the buffer: the last @nr_iovs iovecs of @vec.
 *
 * They become bvecs in the same memory, from the left, in one pass as long as
 * there is room. An array that was too small once is kept with the request's
 * other memory, so the next one of the kind fits.
 *
 * Nearly always each of them is in one bvec: that is all that is done here.
 */
int io_import_reg_vec(int ddir, struct iov_iter *iter,
		      struct io_kiocb *req, struct iou_vec *vec,
		      unsigned int nr_iovs, unsigned int issue_flags)
{
	const struct iovec *end = vec->iovec + vec->nr;
	const struct iovec *iov = end - nr_iovs;
	struct bio_vec *bvec = vec->bvec;
	const struct io_mapped_ubuf *imu;
	struct io_rsrc_node *node;
	u64 total = 0;

	node = io_find_buf_node(req, issue_flags);
	if (!node)
		return -EFAULT;
	imu = node->buf;
	if (!(imu->dir & (1 << ddir)))
		return -EFAULT;

	/* One is as a request without iovecs, and needs no bvecs of its own. */
	if (nr_iovs == 1 && iov->iov_len)
		return io_import_fixed(ddir, iter, imu,
				       (uintptr_t)iov->iov_base, iov->iov_len);

	for (; sizeof(*bvec) == sizeof(*iov) && iov != end; iov++) {
		size_t len = iov->iov_len, offset;

		if (regbuf_iovec_offset(imu, iov, &offset) ||
		    !regbuf_one_part(imu, offset, len, bvec))
			break;
		bvec++;
		total += len;
	}
	if (unlikely(iov != end))
		return regbuf_fill_vec(ddir, iter, req, imu, vec,
				       (struct regbuf_vec) {
						.iov = iov, .end = end,
						.bvec = bvec, .total = total,
				       });
	return regbuf_vec_iter(iter, ddir, vec, bvec, total);
}
