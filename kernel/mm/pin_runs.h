/* SPDX-License-Identifier: GPL-2.0 */
#ifndef MM_PIN_RUNS_H
#define MM_PIN_RUNS_H

/*
 * Between the walkers in mm/gup.c and pin_user_runs_fast() in mm/pin_runs.c
 */

#include <linux/pin_runs.h>

/*
 * Interrupts are off for at most this many leaf entries when runs are pinned.
 * It is one PTE table where those have 512 entries.
 */
#define GUP_SECTION_ENTRIES	512

/*
 * struct run_builder - builds maximal runs from what a walk finds
 * @runs: the chunk so far
 * @open: the run that may still grow, pinned but not yet in @runs; its
 *	  nr_pages is 0 while there is none
 * @open_end: PFN behind the last page of its folio
 *
 * A copy of it is a checkpoint: a walk only ever appends to the chunk and
 * never changes what is there.
 */
struct run_builder {
	struct pin_runs	runs;
	struct pin_run	open;
	unsigned long	open_end;
};

static inline void run_builder_init(struct run_builder *b,
				    const struct pin_runs *runs)
{
	b->runs = *runs;
	b->open.pfn = 0;
	b->open.nr_pages = 0;
	b->open_end = 0;
}

void run_builder_resume(struct run_builder *b, const struct pin_runs *runs);
unsigned long run_builder_fits(const struct run_builder *b, unsigned long pfn,
			       unsigned long nr_pages);

/*
 * Is @pfn the page behind the open run, in the same folio? As the open run
 * pins the folio, its bounds are stable, and a page inside them is part of it.
 */
static inline bool run_builder_continues(const struct run_builder *b,
					 unsigned long pfn)
{
	return pfn < b->open_end && pfn == b->open.pfn + b->open.nr_pages;
}

/* Room left once the open run is in the chunk */
static inline u32 run_builder_room(const struct run_builder *b)
{
	u32 room = pin_runs_room(&b->runs);

	if (b->open.nr_pages)
		room -= pin_run_bytes(b->runs.format, b->open.pfn,
				      b->open.nr_pages);
	return room;
}

/*
 * For how many more runs is there room, whatever they are, beside the open one,
 * whatever that grows to?
 */
static inline u32 run_builder_plenty(const struct run_builder *b)
{
	u32 max = b->runs.format == PIN_RUNS_PFN ?
		  sizeof(u64) + sizeof(u32) : PIN_RUN_MAX_BYTES;
	u32 runs = pin_runs_room(&b->runs) / max;

	return runs ? runs - 1 : 0;
}

/* Put the open run into the chunk. */
static inline void run_builder_close(struct run_builder *b)
{
	if (b->open.nr_pages)
		pin_runs_push(&b->runs, b->open.pfn, b->open.nr_pages);
	b->open.nr_pages = 0;
	b->open_end = 0;
}

/*
 * Add pages of one folio; @folio_end is the PFN behind the last page of it. A
 * run that goes that far will not grow, and is not left open.
 */
static __always_inline void run_builder_add(struct run_builder *b,
					    unsigned long pfn,
					    unsigned long nr_pages,
					    unsigned long folio_end)
{
	if (unlikely(b->open.nr_pages)) {
		if (run_builder_continues(b, pfn)) {
			b->open.nr_pages += nr_pages;
			return;
		}
		run_builder_close(b);
	}
	if (pfn + nr_pages == folio_end) {
		pin_runs_push(&b->runs, pfn, nr_pages);
		return;
	}
	b->open.pfn = pfn;
	b->open.nr_pages = nr_pages;
	b->open_end = folio_end;
}

/* PFN behind the last page of a folio */
static inline unsigned long folio_end_pfn(const struct folio *folio)
{
	return folio_pfn(folio) + folio_nr_pages(folio);
}

/*
 * struct gup_out - where a GUP-fast walk puts what it finds
 * @nr: number of pages found
 * @zone_id: zone of the last folio
 * @zone_allowed: the same if every folio of it may be pinned, or -1
 * @pinned: pins that are not in the node statistics yet
 * @pages: takes one entry for each page, and what follows is not used; or
 * @builder: takes runs
 * @budget: leaf entries that may still be taken before the walk ends
 * @plenty: runs that the chunk has room for without looking closer
 * @full: the chunk has no room for all of the pages that come next
 */
struct gup_out {
	unsigned long		nr;
	int			zone_id;
	int			zone_allowed;
	struct gup_pin_stat	pinned;
	struct page		**pages;
	struct run_builder	builder;
	unsigned long		budget;
	int			plenty;
	bool			full;
};

enum gup_check {
	GUP_CHECK_ALLOWED,
	GUP_CHECK_ACCESSIBLE,
};

#ifdef CONFIG_PIN_RUNS_KUNIT_TEST
/*
 * Page table entries that GUP-fast has read, but for reading them again, and
 * the most that it has read with interrupts off. A build for tests counts them,
 * for all tasks together: who wants to know is alone, and the others may race.
 */
extern unsigned long gup_nr_reads, gup_section_start, gup_longest_section;
/* Lets a test refuse a batch of PTEs, where one of the checks would */
extern bool (*gup_kunit_refuse)(struct folio *folio, enum gup_check check);

static inline void gup_count_read(void)
{
	WRITE_ONCE(gup_nr_reads, READ_ONCE(gup_nr_reads) + 1);
}

static inline void gup_count_section(void)
{
	unsigned long reads = READ_ONCE(gup_nr_reads);
	unsigned long section = reads - READ_ONCE(gup_section_start);

	if (section > READ_ONCE(gup_longest_section))
		WRITE_ONCE(gup_longest_section, section);
	WRITE_ONCE(gup_section_start, reads);
}

/* The longest section since the last call; 0 where they are not counted */
static inline unsigned long gup_take_longest_section(void)
{
	unsigned long longest = gup_longest_section;

	gup_longest_section = 0;
	return longest;
}

static inline bool gup_kunit_refuses(struct folio *folio, enum gup_check check)
{
	return gup_kunit_refuse && gup_kunit_refuse(folio, check);
}
#else
static inline void gup_count_read(void) { }
static inline void gup_count_section(void) { }
static inline unsigned long gup_take_longest_section(void)
{
	return 0;
}

static inline bool gup_kunit_refuses(struct folio *folio, enum gup_check check)
{
	return false;
}
#endif

#if IS_ENABLED(CONFIG_KUNIT)
bool gup_fast_raced(unsigned int seq);
#endif

bool gup_fast_section(unsigned long start, unsigned long end,
		      unsigned int gup_flags, struct gup_out *out);
long gup_slow(unsigned long start, unsigned long nr_pages, struct page **pages,
	      unsigned int gup_flags);
void pin_run_make_dirty(struct folio *folio, enum unpin_dirty dirty);

/* The caller counts them in NR_FOLL_PIN_RELEASED. */
static inline void gup_put_pins(struct folio *folio, int pins)
{
	if (folio_has_pincount(folio)) {
		atomic_sub(pins, &folio->_pincount);
		folio_put_refs(folio, pins);
	} else {
		folio_put_refs(folio, pins * GUP_PIN_COUNTING_BIAS);
	}
}

/*
 * Release the pin of a run in this folio. There is no sanity check: this also
 * serves runs that raced with fork() and may be shared now.
 */
static inline void gup_put_run(struct folio *folio,
			       struct gup_pin_stat *released)
{
	if (unlikely(is_zero_folio(folio)))
		return;
	gup_pin_stat_add(released, folio, 1);
	gup_put_pins(folio, 1);
}

#endif /* MM_PIN_RUNS_H */
