// SPDX-License-Identifier: GPL-2.0
/*
 * How a registered buffer is stored and looked up: io_uring/regbuf_layout.c on runs of any length.
 * A walk over the runs, which knows neither tables nor shifts, says what has to come out.
 */
#include "buffer.h"

#include "io_uring/regbuf_layout.c"

/* The layout that is smaller, and never more than a bvec for each page */
static void check_choice(const struct buffer *buf, const struct regbuf_layout *l)
{
	struct regbuf_layout uniform, mixed;

	regbuf_layout_uniform(&buf->tally, &uniform);
	regbuf_layout_mixed(&buf->tally, &mixed);
	must(l->bytes == min(uniform.bytes, mixed.bytes));
	must(l->bytes <= buf->nr_pages * sizeof(struct bio_vec));
	must(uniform.nr_bvecs >= buf->nr_runs && mixed.nr_bvecs >= buf->nr_runs);
}

/* Must the quick way know it? Where all is uniform, and in the bvec of the bucket's middle. */
static bool is_quick(const struct io_mapped_ubuf *imu, u64 offset, u64 len,
		     const struct bio_vec *first, size_t skip)
{
	u64 page = (offset + imu->bvec[0].bv_offset) >> PAGE_SHIFT;

	if (imu->layout == IO_REGBUF_UNIFORM)
		return true;
	return imu->layout == IO_REGBUF_MIXED && len <= first->bv_len - skip &&
	       first == &imu->bvec[regbuf_middles(imu)[page >> imu->shift]];
}

static void check_span(const struct buffer *buf, u64 offset, u64 len)
{
	const struct io_mapped_ubuf *imu = buf->imu;
	const struct bio_vec *first, *bvec, *end = imu->bvec + imu->nr_bvecs;
	size_t skip, skip2;
	u32 nr;

	nr = regbuf_span(imu, offset, len, &first, &skip);
	bvec = regbuf_seek(imu, offset, &skip2);
	must(bvec == first && skip == skip2);
	must(first >= imu->bvec && first < end && skip < first->bv_len);
	must(naive_phys(buf, offset) == bvec_phys(first) + skip);
	must(nr && nr <= end - first);
	must(regbuf_span_quick(imu, offset, len, &bvec, &skip2) ==
	     (is_quick(imu, offset, len, first, skip) ? nr : 0));
	bvec = first;
	/* All of the bytes, and the last bvec has at least one of them */
	len += skip;
	for (; bvec < first + nr; bvec++) {
		must(len);
		len -= min(len, (u64)bvec->bv_len);
	}
	must(!len);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct input in = { data, size };
	struct regbuf_layout layout;
	struct buffer buf;
	u64 offset = 0;

	buffer_make(&buf, &in);
	regbuf_choose_layout(&buf.tally, &layout);
	check_choice(&buf, &layout);
	/* All, whatever would be chosen; bvecs of the kernel can be like any */
	for (int which = IO_REGBUF_UNIFORM; which <= IO_REGBUF_LINEAR; which++) {
		struct input asks = in;

		if (which == IO_REGBUF_UNIFORM)
			regbuf_layout_uniform(&buf.tally, &layout);
		else
			regbuf_layout_mixed(&buf.tally, &layout);
		if (layout.nr_bvecs > BUFFER_BVECS)
			continue;
		buffer_store(&buf, &layout);
		buf.imu->layout = which;
		buffer_check(&buf);
		/* The borders of each bvec */
		offset = 0;
		for (u32 i = 0; i < buf.imu->nr_bvecs; i++) {
			check_span(&buf, offset, 1);
			offset += buf.imu->bvec[i].bv_len;
			check_span(&buf, offset - 1, min(2ul, buf.imu->len - offset + 1));
		}
		for (int i = 0; i < 16 && asks.size; i++) {
			offset = input_back_u64(&asks, 7) % buf.imu->len;
			check_span(&buf, offset, 1 + input_back_u64(&asks, 1 + (i & 3)) %
				   (buf.imu->len - offset));
		}
		free(buf.imu);
	}
	return 0;
}
