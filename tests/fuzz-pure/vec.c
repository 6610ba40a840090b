// SPDX-License-Identifier: GPL-2.0
/*
 * Segments of vectored and plain imports: io_uring/regbuf_import.c on a buffer of made up runs. The
 * bvecs grow from the left into iovecs that are packed right, so one counted too few is written
 * behind the allocation, or over an iovec that is still to come.
 */
#include "io_uring/regbuf_import.c"

#include "buffer.h"

#define MAX_IOVS	1024
#define MAX_MADE	64		/* of them, the others are the same again */

static struct iovec iovs[MAX_IOVS];

/* Where some bvec of the buffer ends */
static u64 make_edge(const struct io_mapped_ubuf *imu, struct input *in)
{
	u32 last = (u32)(input_back_u64(in, 2) % imu->nr_bvecs);
	u64 pos = 0;

	for (u32 i = 0; i <= last; i++)
		pos += imu->bvec[i].bv_len;
	return pos;
}

/*
 * Most often a part of the buffer, also one that has a wrong end; half of them start or end at most
 * two bytes from where a bvec does, or the buffer.
 */
static void make_iov(struct iovec *iov, const struct io_mapped_ubuf *imu, struct input *in)
{
	u8 how = input_back_u8(in);
	u64 offset = input_back_u64(in, 1 + (how & 7)) % (imu->len + 1);
	u64 len = input_back_u64(in, 1 + (how >> 3 & 3)), edge;
	u8 near = input_back_u8(in);

	if (near & 1) {
		edge = make_edge(imu, in) + (near >> 1 & 3) - 2;
		if (near & 8)
			offset = edge;
		else
			len = edge - offset;
	} else if (how < 248) {
		len = min(len, imu->len - offset);
	} else if (how < 250) {
		offset = -(u64)input_back_u8(in);
	} else if (how < 252) {
		len = -len;
	}
	iov->iov_base = (void *)(uintptr_t)(imu->ubuf + offset);
	iov->iov_len = len;
}

/* What may not be imported, 0 for what may. */
static int naive_error(const struct io_mapped_ubuf *imu, const struct iovec *iov, bool vec)
{
	u64 start = (uintptr_t)iov->iov_base;

	if (start < imu->ubuf || iov->iov_len > imu->len ||
	    start - imu->ubuf > imu->len - iov->iov_len || iov->iov_len > MAX_RW_COUNT ||
	    (vec && !iov->iov_len))
		return -EFAULT;
	return 0;
}

/* How many bvecs of the buffer have a part of these bytes, by walking along all of them */
static u64 naive_segments(const struct io_mapped_ubuf *imu, u64 offset, u64 len)
{
	u64 pos = 0, nr = 0;

	for (u32 i = 0; i < imu->nr_bvecs && pos < offset + len; i++) {
		pos += imu->bvec[i].bv_len;
		nr += pos > offset;
	}
	return nr;
}

/* The bytes of the iovecs are those of the bvecs, one by one piece. Returns how many bvecs. */
static u32 check_bvecs(const struct buffer *buf, const struct bio_vec *bvec, u32 nr,
		       size_t skip, const struct iovec *iov, u32 nr_iovs)
{
	u32 i = 0;

	for (; nr_iovs; iov++, nr_iovs--) {
		u64 offset = (uintptr_t)iov->iov_base - buf->imu->ubuf, left = iov->iov_len;

		while (left) {
			u64 piece;

			must(i < nr && bvec[i].bv_len > skip);
			piece = min(left, bvec[i].bv_len - skip);
			must(bvec_phys(&bvec[i]) + skip == naive_phys(buf, offset));
			must(bvec_phys(&bvec[i]) + skip + piece - 1 ==
			     naive_phys(buf, offset + piece - 1));
			left -= piece;
			offset += piece;
			skip += piece;
			if (left || skip == bvec[i].bv_len) {
				skip = 0;
				i++;
			}
		}
		/* Part of a bvec is left over only where a plain import ends. */
		if (skip) {
			must(nr_iovs == 1);
			i++;
		}
	}
	return i;
}

static void check_plain(const struct buffer *buf, const struct iovec *iov)
{
	struct iov_iter iter;
	int ret;

	ret = io_import_fixed(ITER_DEST, &iter, buf->imu, (uintptr_t)iov->iov_base, iov->iov_len);
	must(ret == naive_error(buf->imu, iov, false));
	if (ret)
		return;
	must(iter.count == iov->iov_len);
	must(iter.nr_segs == check_bvecs(buf, iter.bvec, (u32)iter.nr_segs, iter.iov_offset, iov,
					 1));
}

/* Imports the iovecs; they are the last of @nr + @room. @fail: there is no memory for more. */
static void check_vec(const struct buffer *buf, u32 nr, u32 room, bool fail)
{
	struct io_rsrc_node node = { .refs = 1, .buf = buf->imu };
	struct io_ring_ctx ctx = { };
	struct io_kiocb req = { .ctx = &ctx, .flags = REQ_F_BUF_NODE, .buf_node = &node };
	struct iou_vec vec = { };
	struct iov_iter iter;
	int ret, error = 0;
	u64 total = 0, segments = 0;

	for (u32 i = 0; i < nr && !error; i++) {
		error = naive_error(buf->imu, &iovs[i], true);
		if (error)
			break;
		total += iovs[i].iov_len;
		segments += naive_segments(buf->imu, (uintptr_t)iovs[i].iov_base - buf->imu->ubuf,
					   iovs[i].iov_len);
	}
	if (!error && total > MAX_RW_COUNT)
		error = -EINVAL;

	must(!io_vec_realloc(&vec, nr + room));
	memcpy(vec.iovec + room, iovs, nr * sizeof(*iovs));
	fuzz_fail_alloc = fail;
	/* What fits must not need memory, and what does not must not do without. */
	if (fail && !error && nr > 1 && segments * sizeof(struct bio_vec) > vec.nr * sizeof(struct iovec))
		error = -ENOMEM;
	ret = io_import_reg_vec(ITER_SOURCE, &iter, &req, &vec, nr, 0);
	must(ret == error);
	fuzz_fail_alloc = 0;
	if (!ret) {
		must(iter.count == total && iter.nr_segs == segments);
		/* One is a part of the buffer; several get bvecs of their own. */
		if (nr == 1)
			must(iter.bvec >= buf->imu->bvec &&
			     iter.bvec + segments <= buf->imu->bvec + buf->imu->nr_bvecs);
		else
			must(!iter.iov_offset && iter.bvec == vec.bvec);
		must(segments == check_bvecs(buf, iter.bvec, (u32)segments, iter.iov_offset, iovs,
					     nr));
		for (u32 i = 0; i < segments; i++)
			must(iter.bvec[i].bv_offset < PAGE_SIZE);
	}
	io_vec_free(&vec);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct input in = { data, size };
	struct regbuf_layout layout;
	struct buffer buf;
	u32 made = 1 + input_back_u8(&in) % MAX_MADE, room = input_back_u8(&in);
	u8 how = input_back_u8(&in);
	u32 nr = made * (1 + how % (MAX_IOVS / MAX_MADE));

	fuzz_fail_alloc = 0;
	buffer_make(&buf, &in);
	in = (struct input){ data, size };
	regbuf_choose_layout(&buf.tally, &layout);
	if (layout.nr_bvecs > BUFFER_BVECS)
		return 0;
	buffer_store(&buf, &layout);
	if (room >= 224)
		buf.imu->layout = IO_REGBUF_LINEAR;
	for (u32 i = 0; i < made; i++) {
		make_iov(&iovs[i], buf.imu, &in);
		check_plain(&buf, &iovs[i]);
	}
	for (u32 i = made; i < nr; i++)
		iovs[i] = iovs[i - made];
	check_vec(&buf, nr, room % 224, how & 128);
	free(buf.imu);
	must(!fuzz_allocated);
	return 0;
}
