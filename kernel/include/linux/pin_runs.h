/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _LINUX_PIN_RUNS_H
#define _LINUX_PIN_RUNS_H

/*
 * User memory pinned as runs
 *
 * A run is a physically contiguous range of pages inside one folio. It holds
 * exactly one pin on that folio, whatever its length, and is released as a
 * whole. pin_user_runs_fast() appends runs to a chunk that the caller owns;
 * unpin_user_runs() releases all runs of a chunk.
 *
 * One entry is one run, in every format: who has an entry has its pin, wherever
 * it is moved to and whatever is beside it. Who makes two of one takes a second
 * pin, with repin_user_run().
 *
 * A caller that will release parts of runs sets @per_page in the empty chunk:
 * then a run has a pin for each of its pages, still taken at once, which may be
 * released in any order by unpin_user_page(), unpin_user_folio() and the like.
 *
 * A chunk is a buffer of any size, and one page is the natural one. Its format
 * is one of:
 *
 * PIN_RUNS_PFN, packed PFNs
 *	Entries of 64 bit grow up from the start of the buffer, sizes of 32 bit
 *	grow down from its end, and the chunk is full when they would meet:
 *
 *	+---------+---------+-- - - --+--------+--------+
 *	| entry 0 | entry 1 |  free   | size 1 | size 0 |
 *	+---------+---------+-- - - --+--------+--------+
 *
 *	A run of 2^n pages whose first PFN is a multiple of 2^n takes one entry:
 *
 *		PFN << 1 | 1 << n
 *
 *	so that the lowest bit that is set tells the length and what is above
 *	it the PFN. That is every single page, and every folio that was pinned
 *	whole. Any other run has bit 63 of its entry set and the PFN in the bits
 *	below, and takes the next size, its number of pages.
 *
 *	Limits: a PFN has less than 62 bits, a run has less than 2^32 pages. A
 *	chunk of n * 8 bytes has room for at least n pages.
 *
 * PIN_RUNS_BVEC
 *	An array of struct bio_vec with whole pages. As the length of one is
 *	limited, no run is longer than 2 GiB. The caller may change the offset
 *	and length of one inside its pages; it will not grow then.
 *
 * PIN_RUNS_PHYS
 *	An array of struct phys_vec. For those who never look at a struct page.
 */

#include <linux/align.h>
#include <linux/bits.h>
#include <linux/bvec.h>
#include <linux/errno.h>
#include <linux/log2.h>
#include <linux/mmzone.h>
#include <linux/pfn.h>
#include <linux/sizes.h>
#include <linux/types.h>

struct file;
struct sg_append_table;

/* Entry of a run whose length is among the sizes */
#define PIN_RUN_SIZED		BIT_ULL(63)

/* Pages that one bio_vec has at most */
#define PIN_RUN_BVEC_PAGES	(SZ_2G >> PAGE_SHIFT)

/**
 * enum pin_runs_format - how runs are stored in a chunk
 * @PIN_RUNS_PFN: packed PFNs, the densest
 * @PIN_RUNS_BVEC: struct bio_vec
 * @PIN_RUNS_PHYS: struct phys_vec
 */
enum pin_runs_format {
	PIN_RUNS_PFN,
	PIN_RUNS_BVEC,
	PIN_RUNS_PHYS,
};

/**
 * struct pin_runs - a chunk of runs
 * @entries: the buffer, aligned to 8 bytes, as packed PFNs
 * @bvecs: the same as PIN_RUNS_BVEC
 * @phys: the same as PIN_RUNS_PHYS
 * @format: what it is, of enum pin_runs_format
 * @per_page: a run has a pin for each page; set by the caller while it is empty
 * @bytes: size of the buffer, of packed PFNs a multiple of 8
 * @nr: number of entries
 * @nr_sizes: how many of those have an explicit size (packed PFNs)
 */
struct pin_runs {
	union {
		u64		*entries;
		struct bio_vec	*bvecs;
		struct phys_vec	*phys;
	};
	u8			format;
	bool			per_page;
	u32			bytes;
	u32			nr;
	u32			nr_sizes;
};

/**
 * struct pin_run - one run
 * @pfn: first page
 * @nr_pages: number of pages, never 0
 */
struct pin_run {
	unsigned long	pfn;
	unsigned long	nr_pages;
};

/**
 * enum unpin_dirty - what happens to the folios of a run before its release
 * @UNPIN_CLEAN: nothing, they were not written to
 * @UNPIN_DIRTY: folio_mark_dirty(); the caller knows why no lock is needed
 * @UNPIN_DIRTY_LOCK: the same under the folio lock; may sleep
 */
enum unpin_dirty {
	UNPIN_CLEAN,
	UNPIN_DIRTY,
	UNPIN_DIRTY_LOCK,
};

/**
 * pin_runs_init() - make a buffer an empty chunk of packed PFNs
 * @runs: the chunk
 * @buf: the buffer, aligned to 8 bytes; stays the caller's
 * @bytes: its size
 */
static inline void pin_runs_init(struct pin_runs *runs, void *buf, u32 bytes)
{
	runs->entries = buf;
	runs->format = PIN_RUNS_PFN;
	runs->per_page = false;
	runs->bytes = ALIGN_DOWN(bytes, sizeof(u64));
	runs->nr = 0;
	runs->nr_sizes = 0;
}

/**
 * pin_runs_init_bvecs() - make an array of bio_vecs an empty chunk
 * @runs: the chunk
 * @bvecs: the array; stays the caller's
 * @nr: number of elements
 */
static inline void pin_runs_init_bvecs(struct pin_runs *runs,
				       struct bio_vec *bvecs, u32 nr)
{
	pin_runs_init(runs, bvecs, 0);
	runs->format = PIN_RUNS_BVEC;
	runs->bytes = nr * sizeof(*bvecs);
}

/**
 * pin_runs_init_phys() - make an array of phys_vecs an empty chunk
 * @runs: the chunk
 * @phys: the array; stays the caller's
 * @nr: number of elements
 */
static inline void pin_runs_init_phys(struct pin_runs *runs,
				      struct phys_vec *phys, u32 nr)
{
	pin_runs_init(runs, phys, 0);
	runs->format = PIN_RUNS_PHYS;
	runs->bytes = nr * sizeof(*phys);
}

/* Does the run, of at least one page, fit a packed entry alone? */
static inline bool pin_run_is_aligned(unsigned long pfn, unsigned long nr_pages)
{
	return !((nr_pages | pfn) & (nr_pages - 1));
}

/* Pages that a run has at most in a chunk of this format */
static inline unsigned long pin_run_max_pages(enum pin_runs_format format)
{
	return format == PIN_RUNS_BVEC ? PIN_RUN_BVEC_PAGES : U32_MAX;
}

/* Room that a run takes in a chunk of this format */
static inline u32 pin_run_bytes(enum pin_runs_format format, unsigned long pfn,
				unsigned long nr_pages)
{
	switch (format) {
	case PIN_RUNS_PFN:
		return pin_run_is_aligned(pfn, nr_pages) ?
		       sizeof(u64) : sizeof(u64) + sizeof(u32);
	case PIN_RUNS_BVEC:
		return sizeof(struct bio_vec);
	default:
		return sizeof(struct phys_vec);
	}
}

/* Room that is left in a chunk */
static inline u32 pin_runs_room(const struct pin_runs *runs)
{
	switch (runs->format) {
	case PIN_RUNS_PFN:
		return runs->bytes - runs->nr * sizeof(u64) -
		       runs->nr_sizes * sizeof(u32);
	case PIN_RUNS_BVEC:
		return runs->bytes - runs->nr * sizeof(struct bio_vec);
	default:
		return runs->bytes - runs->nr * sizeof(struct phys_vec);
	}
}

static inline u32 *pin_runs_size(const struct pin_runs *runs, u32 i)
{
	return (u32 *)((char *)runs->entries + runs->bytes) - 1 - i;
}

/* The caller made sure that there is room. */
static __always_inline void pin_runs_push(struct pin_runs *runs,
					  unsigned long pfn,
					  unsigned long nr_pages)
{
	u32 i = runs->nr++;

	if (likely(runs->format == PIN_RUNS_PFN)) {
		if (likely(pin_run_is_aligned(pfn, nr_pages))) {
			runs->entries[i] = ((u64)pfn << 1) | nr_pages;
		} else {
			runs->entries[i] = PIN_RUN_SIZED | pfn;
			*pin_runs_size(runs, runs->nr_sizes++) = nr_pages;
		}
	} else if (runs->format == PIN_RUNS_BVEC) {
		bvec_set_page(&runs->bvecs[i], pfn_to_page(pfn),
			      nr_pages << PAGE_SHIFT, 0);
	} else {
		runs->phys[i].paddr = PFN_PHYS(pfn);
		runs->phys[i].len = (size_t)nr_pages << PAGE_SHIFT;
	}
}

/**
 * struct pin_runs_iter - a position in a chunk
 * @i: index of the next entry
 * @size: index of the next explicit size
 *
 * All zero is the start of the chunk.
 */
struct pin_runs_iter {
	u32	i;
	u32	size;
};

/**
 * pin_runs_next() - go through a chunk
 * @runs: the chunk
 * @it: the position
 * @run: returns what is there
 *
 * Return: false at the end of the chunk.
 */
static inline bool pin_runs_next(const struct pin_runs *runs,
				 struct pin_runs_iter *it, struct pin_run *run)
{
	u64 entry, low;
	u32 i;

	if (it->i == runs->nr)
		return false;

	i = it->i++;
	switch (runs->format) {
	case PIN_RUNS_PFN:
		entry = runs->entries[i];
		if (entry & PIN_RUN_SIZED) {
			run->pfn = entry & ~PIN_RUN_SIZED;
			run->nr_pages = *pin_runs_size(runs, it->size++);
		} else {
			low = entry & -entry;
			run->pfn = (entry ^ low) >> 1;
			run->nr_pages = low;
		}
		break;
	case PIN_RUNS_BVEC:
		run->pfn = page_to_pfn(runs->bvecs[i].bv_page);
		run->nr_pages = PFN_UP(runs->bvecs[i].bv_offset +
				       runs->bvecs[i].bv_len);
		break;
	case PIN_RUNS_PHYS:
		run->pfn = PHYS_PFN(runs->phys[i].paddr);
		run->nr_pages = PFN_UP(offset_in_page(runs->phys[i].paddr) +
				       runs->phys[i].len);
		break;
	}
	return true;
}

/* Take the last entry out again; the chunk must not be empty. */
static inline struct pin_run pin_runs_pop(struct pin_runs *runs)
{
	bool sized = runs->format == PIN_RUNS_PFN &&
		     runs->entries[runs->nr - 1] & PIN_RUN_SIZED;
	struct pin_runs_iter it = {
		.i = runs->nr - 1,
		.size = runs->nr_sizes - sized,
	};
	struct pin_run run;

	pin_runs_next(runs, &it, &run);
	runs->nr--;
	runs->nr_sizes -= sized;
	return run;
}

long pin_user_runs_fast(unsigned long start, unsigned long nr_pages,
			unsigned int gup_flags, gfp_t gfp, struct pin_runs *runs);
long pin_user_runs_fast_only(unsigned long start, unsigned long nr_pages,
			     unsigned int gup_flags, struct pin_runs *runs);
int fault_in_user_runs(unsigned long start, unsigned long nr_pages,
		       unsigned int gup_flags);
int repin_user_run(unsigned long pfn, unsigned int pins);
void unpin_user_runs(struct pin_runs *runs, enum unpin_dirty dirty);
void unpin_user_bvecs(const struct bio_vec *bvecs, unsigned long nr_bvecs,
		      enum unpin_dirty dirty);

#ifdef CONFIG_MEMFD_CREATE
int pin_memfd_begin(struct file *file, unsigned int gup_flags);
void pin_memfd_end(struct file *file, unsigned int gup_flags);
long pin_memfd_runs(struct file *file, pgoff_t index, unsigned long nr_pages,
		    unsigned int gup_flags, struct pin_runs *runs);
int fault_in_memfd_runs(struct file *file, pgoff_t index,
			unsigned long nr_pages, unsigned int gup_flags);
#else
static inline int pin_memfd_begin(struct file *file, unsigned int gup_flags)
{
	return -EINVAL;
}

static inline void pin_memfd_end(struct file *file, unsigned int gup_flags)
{
}

static inline long pin_memfd_runs(struct file *file, pgoff_t index,
				  unsigned long nr_pages,
				  unsigned int gup_flags, struct pin_runs *runs)
{
	return -EINVAL;
}

static inline int fault_in_memfd_runs(struct file *file, pgoff_t index,
				      unsigned long nr_pages,
				      unsigned int gup_flags)
{
	return -EINVAL;
}
#endif

int pin_user_runs_alloc(unsigned long start, unsigned long nr_pages,
			unsigned int gup_flags, gfp_t gfp,
			struct pin_runs *runs);
void unpin_user_runs_free(struct pin_runs *runs, enum unpin_dirty dirty);

int pin_user_sg(unsigned long start, size_t len, unsigned int gup_flags,
		unsigned int max_segment, gfp_t gfp,
		struct sg_append_table *append);
void unpin_user_sg(struct sg_append_table *append, enum unpin_dirty dirty);

#endif /* _LINUX_PIN_RUNS_H */
