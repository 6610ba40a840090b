// SPDX-License-Identifier: GPL-2.0
/*
 * To choose how a registered buffer is stored, to store it, and to find bytes of
 * it where regbuf_layout.h has no short way
 */
#include <linux/bitops.h>
#include <linux/bvec.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/nospec.h>

#include "regbuf_layout.h"

/* Inline: what the caller has is in registers, and most of the layout not used. */
static __always_inline void
regbuf_layout_uniform(const struct regbuf_tally *t, struct regbuf_layout *l)
{
	unsigned int order = IO_REGBUF_MAX_SHIFT - PAGE_SHIFT;

	if (t->between)
		order = min_t(unsigned int, order, __ffs64(t->between));

	l->layout = IO_REGBUF_UNIFORM;
	l->shift = order + PAGE_SHIFT;
	l->unit = 1ULL << order;
	/* What the first bvec cannot take has to be whole units. */
	l->first = t->first;
	if (l->first > IO_REGBUF_MAX_PAGES)
		l->first -= (l->first - IO_REGBUF_MAX_PAGES + l->unit - 1) &
			    ~(l->unit - 1);
	l->nr_bvecs = 1 + ((t->nr_pages - l->first + l->unit - 1) >> order);
	l->nr_buckets = 0;
	l->bytes = l->nr_bvecs * sizeof(struct bio_vec);
}

static void regbuf_layout_mixed(const struct regbuf_tally *t,
				struct regbuf_layout *l)
{
	l->layout = IO_REGBUF_MIXED;
	l->nr_bvecs = t->nr_runs + t->nr_extra;
	l->shift = 0;
	while ((t->nr_pages - 1) >> l->shift >= l->nr_bvecs)
		l->shift++;
	l->unit = IO_REGBUF_MAX_PAGES;
	l->first = IO_REGBUF_MAX_PAGES;
	l->nr_buckets = ((t->nr_pages - 1) >> l->shift) + 1;
	l->bytes = l->nr_bvecs * sizeof(struct bio_vec) +
		   regbuf_table_bytes(l->nr_bvecs, l->nr_buckets);
}

void regbuf_choose_layout(const struct regbuf_tally *t,
			  struct regbuf_layout *l)
{
	struct regbuf_layout mixed;

	regbuf_layout_uniform(t, l);
	regbuf_layout_mixed(t, &mixed);
	if (mixed.bytes < l->bytes)
		*l = mixed;
}

void regbuf_fill_begin(struct regbuf_fill *f, struct io_mapped_ubuf *imu,
		       const struct regbuf_layout *l)
{
	imu->nr_bvecs = l->nr_bvecs;
	imu->layout = l->layout;
	imu->shift = l->shift;

	f->imu = imu;
	f->bvec = imu->bvec;
	f->max = l->first;
	f->unit = l->unit;
	f->page = 0;
	f->middle_page = 0;
	f->nr_middles = 0;
	f->start = NULL;
	f->middle = NULL;
	if (l->layout == IO_REGBUF_MIXED) {
		f->max = 0;
		f->start = regbuf_starts(imu);
		f->middle = regbuf_middles(imu);
		f->middle[-1] = 0;
		f->middle_page = regbuf_half_bucket(imu);
		f->nr_middles = l->nr_buckets + 1;
	}
}

void regbuf_fill_pieces(struct regbuf_fill *f, unsigned long pfn, u64 nr_pages)
{
	u64 max = f->start ? f->unit : f->max;
	struct bio_vec *bvec = f->bvec;

	for (; nr_pages; bvec++) {
		u64 nr = min(nr_pages, max);

		if (f->start) {
			*f->start++ = f->page;
			f->page += nr;
			while (f->middle_page < f->page) {
				*f->middle++ = bvec - f->imu->bvec;
				f->nr_middles--;
				f->middle_page += 1ULL << f->imu->shift;
			}
		}
		bvec_set_page(bvec, pfn_to_page(pfn), nr << PAGE_SHIFT, 0);
		max = f->unit;
		pfn += nr;
		nr_pages -= nr;
	}
	f->bvec = bvec;
	if (!f->start)
		f->max = max;
}

/* A buffer need not start and end with a page. */
static void regbuf_trim(struct io_mapped_ubuf *imu)
{
	u32 head = imu->ubuf & (PAGE_SIZE - 1);
	u32 tail = -(imu->ubuf + imu->len) & (PAGE_SIZE - 1);

	imu->bvec[0].bv_offset = head;
	imu->bvec[0].bv_len -= head;
	imu->bvec[imu->nr_bvecs - 1].bv_len -= tail;
}

void regbuf_fill_end(struct regbuf_fill *f)
{
	regbuf_trim(f->imu);
	while (f->nr_middles--)
		*f->middle++ = f->imu->nr_bvecs - 1;
}

bool regbuf_fill_in_place(struct io_mapped_ubuf *imu, u32 nr_runs)
{
	struct regbuf_tally t = { };
	struct regbuf_layout l;
	u32 i;

	imu->nr_bvecs = nr_runs;
	if (nr_runs == 1) {
		l.shift = IO_REGBUF_MAX_SHIFT;
	} else {
		for (i = 0; i < nr_runs; i++)
			regbuf_tally_run(&t, imu->bvec[i].bv_len >> PAGE_SHIFT);
		regbuf_layout_uniform(&t, &l);
		if (l.nr_bvecs != nr_runs)
			return false;
	}
	imu->layout = IO_REGBUF_UNIFORM;
	imu->shift = l.shift;
	regbuf_trim(imu);
	return true;
}

/* The bvec that has a page of the buffer, by the tables of a mixed one */
static u32 regbuf_find_page(const struct io_mapped_ubuf *imu, u64 page)
{
	const u32 *start = regbuf_starts(imu);
	const u32 *middle = regbuf_middles(imu) +
			    ((page + regbuf_half_bucket(imu)) >> imu->shift);
	u32 lo = middle[-1], hi = middle[0];

	/* The last one in [lo, hi] that does not start behind the page. */
	while (lo < hi) {
		u32 mid = hi - (hi - lo) / 2;

		if ((s32)(start[mid] - (u32)page) <= 0)
			lo = mid;
		else
			hi = mid - 1;
	}
	return lo;
}

static const struct bio_vec *regbuf_seek_mixed(const struct io_mapped_ubuf *imu,
					       size_t offset, size_t *skip)
{
	u64 pos = (u64)offset + imu->bvec[0].bv_offset;
	u64 page = pos >> PAGE_SHIFT;
	u32 i = regbuf_find_page(imu, page);

	*skip = ((size_t)((u32)page - regbuf_starts(imu)[i]) << PAGE_SHIFT) +
		(pos & (PAGE_SIZE - 1)) - imu->bvec[i].bv_offset;
	return &imu->bvec[i];
}

static const struct bio_vec *regbuf_seek_linear(const struct bio_vec *bvec,
						size_t offset, size_t *skip)
{
	for (; offset >= bvec->bv_len; bvec++)
		offset -= bvec->bv_len;
	*skip = offset;
	return bvec;
}

const struct bio_vec *regbuf_seek(const struct io_mapped_ubuf *imu,
				  size_t offset, size_t *skip)
{
	if (imu->layout == IO_REGBUF_UNIFORM)
		return regbuf_seek_uniform(imu, offset, skip);
	if (imu->layout == IO_REGBUF_MIXED)
		return regbuf_seek_mixed(imu, offset, skip);
	return regbuf_seek_linear(imu->bvec, offset, skip);
}

static u32 regbuf_span_linear(const struct io_mapped_ubuf *imu, size_t offset,
			      size_t len, const struct bio_vec **first,
			      size_t *skip)
{
	const struct bio_vec *last;

	*first = regbuf_seek_linear(imu->bvec, offset, skip);
	last = regbuf_seek_linear(*first, *skip + len - 1, &offset);
	return 1 + (last - *first);
}

static u32 regbuf_span_mixed(const struct io_mapped_ubuf *imu, size_t offset,
			     size_t len, const struct bio_vec **first,
			     size_t *skip)
{
	u64 start = imu->bvec[0].bv_offset;
	unsigned long last = (start + offset + len - 1) >> PAGE_SHIFT;
	unsigned long nr_pages = ((start + imu->len - 1) >> PAGE_SHIFT) + 1;

	*first = regbuf_seek_mixed(imu, offset, skip);
	if (len <= (*first)->bv_len - *skip)
		return 1;
	/* A check that was only guessed must not lead behind the tables. */
	last = array_index_nospec(last, nr_pages);
	return 1 + regbuf_find_page(imu, last) - (*first - imu->bvec);
}

u32 regbuf_span_search(const struct io_mapped_ubuf *imu, size_t offset,
		       size_t len, const struct bio_vec **first, size_t *skip)
{
	if (imu->layout == IO_REGBUF_LINEAR)
		return regbuf_span_linear(imu, offset, len, first, skip);
	return regbuf_span_mixed(imu, offset, len, first, skip);
}
