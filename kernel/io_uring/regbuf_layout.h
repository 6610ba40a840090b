/* SPDX-License-Identifier: GPL-2.0 */
#ifndef IOU_REGBUF_LAYOUT_H
#define IOU_REGBUF_LAYOUT_H

/*
 * How a registered buffer is stored, and how a byte of it is found again
 *
 * User memory is pinned as runs: pages that are physically contiguous and in
 * one folio. A buffer is an array of bvecs, each of which covers one run or a
 * part of one; a bvec never covers more than one folio, as whoever takes a
 * reference of its own takes it on the first one only. Length and offset of a
 * bvec have 32 bits, so it is 2 GiB long at most. Only the first bvec can
 * start inside a page, only the last one can end inside a page.
 *
 * I/O at a byte offset needs the bvec that has it, without walking the array.
 * There are three layouts:
 *
 * UNIFORM
 *	The first bvec is of any length, all others are of one power of two,
 *	the last may be shorter. Runs that are longer are stored as several
 *	bvecs. The index comes from a shift.
 *
 * MIXED
 *	One bvec per run. Two tables follow the bvecs in the same allocation:
 *
 *	  start[i]	page of the buffer where bvec i starts
 *	  middle[b]	bvec that has the middle of bucket b, which is 2^shift
 *			pages, or the last bvec if the buffer ends before that.
 *			Before the first of these entries there is a 0, and
 *			behind the last one the last bvec again
 *
 *	There are about as many buckets as bvecs, so that the bvec in the middle
 *	is mostly the right one. If not, the middles on both sides of a page
 *	bound a binary search in start[], which takes O(log n) where all short
 *	runs are in one place. start[] has the low 32 bits only: a bucket and
 *	the bvecs that reach into it are much shorter than 2^31 pages, which
 *	makes the differences exact.
 *
 * LINEAR
 *	Bvecs that the kernel registered, of any form. There are few of them,
 *	they are walked.
 *
 * Of the first two a buffer gets the smaller one. Runs of single pages make
 * UNIFORM one bvec per page, which bounds the size of either.
 *
 * Nothing here looks into a page or takes a lock: the code is tested on page
 * frame numbers that are made up, and it can be built outside the kernel by
 * who brings the few types that it needs.
 */

#include <linux/bitops.h>
#include <linux/bvec.h>
#include <linux/llist.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/refcount.h>
#include <linux/types.h>

struct io_regbuf_acct;

enum {
	IO_REGBUF_UNIFORM,
	IO_REGBUF_MIXED,
	IO_REGBUF_LINEAR,
};

/* Longest bvec */
#define IO_REGBUF_MAX_SHIFT	31
#define IO_REGBUF_MAX_PAGES	(1ULL << (IO_REGBUF_MAX_SHIFT - PAGE_SHIFT))

/**
 * struct io_mapped_ubuf - a registered buffer
 * @ubuf: address in user memory, 0 for a buffer of the kernel
 * @len: length in bytes
 * @nr_bvecs: number of bvecs
 * @refs: one for each ring that has the buffer
 * @flags: IO_REGBUF_F_*
 * @dir: what it can be used for, IO_BUF_DEST and IO_BUF_SOURCE
 * @layout: IO_REGBUF_UNIFORM, _MIXED or _LINEAR
 * @shift: of the bytes in a bvec (uniform), or the pages in a bucket (mixed)
 * @task_work: to release it, once it has no references; nobody looks at the
 *	address and the length then
 * @late: the same, where no task can do that
 * @release: called with @priv at the end of a buffer of the kernel
 * @priv: for @release
 * @acct: of a user's buffer, what it is charged to, or NULL
 * @acct_pages: of a user's buffer, the pages that were charged when it was
 *	registered; what other buffers were charged for is not among them
 * @bvec: the memory
 */
struct io_mapped_ubuf {
	union {
		struct {
			u64		ubuf;
			size_t		len;
		};
		struct callback_head	task_work;
		struct llist_node	late;
	};
	unsigned int	nr_bvecs;
	refcount_t	refs;
	u8		flags;
	u8		dir;
	u8		layout;
	u8		shift;
	union {
		void		(*release)(void *priv);
		unsigned long	acct_pages;
	};
	union {
		void		*priv;
		struct io_regbuf_acct *acct;
	};
	struct bio_vec	bvec[] __counted_by(nr_bvecs);
};

/* What is known about the runs of a buffer before it is stored */
struct regbuf_tally {
	/* runs, the pages in them, and the bvecs beyond one for each */
	u64	nr_runs;
	u64	nr_pages;
	u64	nr_extra;
	/* pages in the first run, and in the last one unless that is the same */
	u64	first;
	u64	last;
	/* all bits that are set in the number of pages of a run in between */
	u64	between;
};

struct regbuf_layout {
	u64	nr_bvecs;
	/* pages in the first bvec, and in any other one, at most */
	u64	first;
	u64	unit;
	u64	nr_buckets;
	/* room for bvecs and tables */
	u64	bytes;
	u8	layout;
	u8	shift;
};

/*
 * Runs are told in order; they have to be as long as they get. This leaves two
 * things to the caller, who has more than one to tell: ->nr_runs, and
 * regbuf_tally_first() between the first run of all and the second.
 */
static inline void regbuf_tally_next(struct regbuf_tally *t, u64 nr_pages)
{
	t->between |= t->last;
	t->last = nr_pages;
	t->nr_pages += nr_pages;
	if (unlikely(nr_pages > IO_REGBUF_MAX_PAGES))
		t->nr_extra += (nr_pages - 1) >>
			       (IO_REGBUF_MAX_SHIFT - PAGE_SHIFT);
}

static inline void regbuf_tally_first(struct regbuf_tally *t)
{
	t->first = t->last;
	t->last = 0;
}

static inline void regbuf_tally_run(struct regbuf_tally *t, u64 nr_pages)
{
	regbuf_tally_next(t, nr_pages);
	if (!t->nr_runs++)
		regbuf_tally_first(t);
}

/* The tally must have one run at least. */
void regbuf_choose_layout(const struct regbuf_tally *t,
			  struct regbuf_layout *l);

/* What a mixed buffer needs beside its bvecs */
static inline u64 regbuf_table_bytes(u64 nr_bvecs, u64 nr_buckets)
{
	return (nr_bvecs + nr_buckets + 2) * sizeof(u32);
}

static inline u32 *regbuf_starts(const struct io_mapped_ubuf *imu)
{
	return (u32 *)((char *)imu + sizeof(*imu) +
		       (size_t)imu->nr_bvecs * sizeof(struct bio_vec));
}

/* Both tables are one array: the index in start[] of middle[0] */
static inline size_t regbuf_middle_index(const struct io_mapped_ubuf *imu)
{
	return (size_t)imu->nr_bvecs + 1;
}

static inline u32 *regbuf_middles(const struct io_mapped_ubuf *imu)
{
	return regbuf_starts(imu) + regbuf_middle_index(imu);
}

/* Pages of a bucket before its middle */
static inline u64 regbuf_half_bucket(const struct io_mapped_ubuf *imu)
{
	return (1ULL << imu->shift) >> 1;
}

/* A buffer that is being stored */
struct regbuf_fill {
	struct io_mapped_ubuf	*imu;
	struct bio_vec		*bvec;
	/* pages that the next bvec can have if the buffer is uniform, or 0 */
	u64			max;
	/* pages that any other one can have */
	u64			unit;
	/* page of the buffer where the next bvec starts */
	u64			page;
	/* the next middle of a bucket, and entries that are left for them */
	u64			middle_page;
	u64			nr_middles;
	u32			*start;
	u32			*middle;
};

/*
 * Start to store a buffer: @imu has room for @l->bytes behind it, and ->ubuf
 * and ->len are set. Then each run goes to regbuf_fill_run(), in order, and
 * regbuf_fill_end() completes it.
 */
void regbuf_fill_begin(struct regbuf_fill *f, struct io_mapped_ubuf *imu,
		       const struct regbuf_layout *l);

/* A run that is more than one bvec, or any one of a mixed buffer */
void regbuf_fill_pieces(struct regbuf_fill *f, unsigned long pfn, u64 nr_pages);

static __always_inline void regbuf_fill_run(struct regbuf_fill *f,
					    unsigned long pfn, u64 nr_pages)
{
	/* Most often a run is one bvec of a uniform buffer. */
	if (unlikely(nr_pages > f->max)) {
		/* A copy, so that the compiler can keep *f in registers. */
		struct regbuf_fill copy = *f;

		regbuf_fill_pieces(&copy, pfn, nr_pages);
		*f = copy;
		return;
	}
	bvec_set_page(f->bvec, pfn_to_page(pfn), nr_pages << PAGE_SHIFT, 0);
	f->bvec++;
	f->max = f->unit;
}

void regbuf_fill_end(struct regbuf_fill *f);

/*
 * Where the runs of a buffer are in ->bvec already, one for each: is it stored
 * like this? ->ubuf and ->len are set.
 */
bool regbuf_fill_in_place(struct io_mapped_ubuf *imu, u32 nr_runs);

static __always_inline const struct bio_vec *
regbuf_seek_uniform(const struct io_mapped_ubuf *imu, size_t offset,
		    size_t *skip)
{
	const struct bio_vec *bvec = imu->bvec;
	/* So that nothing checks whether that is too far to shift */
	unsigned int shift = imu->shift % BITS_PER_LONG;

	if (offset >= bvec->bv_len) {
		offset -= bvec->bv_len;
		bvec += 1 + (offset >> shift);
		offset &= (1UL << shift) - 1;
	}
	*skip = offset;
	return bvec;
}

/*
 * Returns the bvec that has the byte at @offset, which must be inside the
 * buffer, and in *@skip how many bytes of it come before that.
 */
const struct bio_vec *regbuf_seek(const struct io_mapped_ubuf *imu,
				  size_t offset, size_t *skip);

/* Where regbuf_span_quick() does not know */
u32 regbuf_span_search(const struct io_mapped_ubuf *imu, size_t offset,
		       size_t len, const struct bio_vec **first, size_t *skip);

/*
 * Are the @len bytes at @offset in one bvec of a uniform buffer? *@first and
 * *@skip are where they start, as regbuf_seek() has it.
 */
static __always_inline bool
regbuf_in_one_uniform(const struct io_mapped_ubuf *imu, size_t offset,
		      size_t len, const struct bio_vec **first, size_t *skip)
{
	*first = regbuf_seek_uniform(imu, offset, skip);
	return len <= (*first)->bv_len - *skip;
}

/*
 * The same for a mixed buffer, if they are in the bvec that has the middle of
 * their bucket. Otherwise *@first and *@skip have no meaning.
 */
static __always_inline bool
regbuf_in_one_mixed(const struct io_mapped_ubuf *imu, size_t offset,
		    size_t len, const struct bio_vec **first, size_t *skip)
{
	u64 pos = (u64)offset + imu->bvec[0].bv_offset;
	u64 page = pos >> PAGE_SHIFT, in;
	const u32 *start = regbuf_starts(imu);
	u32 i = start[regbuf_middle_index(imu) + (page >> imu->shift % 64)];

	*first = &imu->bvec[i];
	/* A page before the bvec makes this more than any length. */
	in = (u64)((u32)page - start[i]) << PAGE_SHIFT;
	in += pos & (PAGE_SIZE - 1);
	*skip = in - (*first)->bv_offset;
	return in + len <= (*first)->bv_offset + (*first)->bv_len;
}

/*
 * As regbuf_span(), or 0 if it takes a search. This is in the path of every
 * request: it has what most of them need, and calls nothing.
 */
static __always_inline u32 regbuf_span_quick(const struct io_mapped_ubuf *imu,
					     size_t offset, size_t len,
					     const struct bio_vec **first,
					     size_t *skip)
{
	if (imu->layout == IO_REGBUF_UNIFORM) {
		if (regbuf_in_one_uniform(imu, offset, len, first, skip))
			return 1;
		len -= (*first)->bv_len - *skip;
		return 2 + ((len - 1) >> imu->shift % BITS_PER_LONG);
	}
	if (imu->layout == IO_REGBUF_MIXED &&
	    regbuf_in_one_mixed(imu, offset, len, first, skip))
		return 1;
	return 0;
}

/*
 * Returns how many bvecs the @len bytes at @offset are in; there must be at
 * least one byte and all must be inside the buffer. *@first and *@skip are
 * where they start, as regbuf_seek() has it.
 */
static __always_inline u32 regbuf_span(const struct io_mapped_ubuf *imu,
				       size_t offset, size_t len,
				       const struct bio_vec **first,
				       size_t *skip)
{
	u32 nr = regbuf_span_quick(imu, offset, len, first, skip);

	if (unlikely(!nr)) {
		/* The address of a copy: *first and *skip stay in registers. */
		const struct bio_vec *found;
		size_t found_skip;

		nr = regbuf_span_search(imu, offset, len, &found, &found_skip);
		*first = found;
		*skip = found_skip;
	}
	return nr;
}

#endif /* IOU_REGBUF_LAYOUT_H */
