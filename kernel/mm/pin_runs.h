/* SPDX-License-Identifier: GPL-2.0 */
#ifndef MM_PIN_RUNS_H
#define MM_PIN_RUNS_H

/*
 * Between the walkers in mm/gup.c and pin_user_runs_fast() in mm/pin_runs.c
 */

#include <linux/pin_runs.h>

/*
 * Interrupts are off for at most this many leaf entries when runs are pinned.
 * It is one PTE table where those have 512 entries. For page arrays it is as
 * many pages: each has to be written down, whatever maps it.
 */
#define GUP_SECTION_ENTRIES	512
#define GUP_SECTION_SIZE	((unsigned long)GUP_SECTION_ENTRIES << PAGE_SHIFT)

/*
 * struct run_builder - builds maximal runs from what a walk finds
 * @runs: the chunk so far
 * @open: the run that may still grow, pinned but not yet in @runs; its
 *	  nr_pages is 0 while there is none
 * @open_end: PFN behind the last page that it may get: the end of its folio, or
 *	      of what one entry can tell
 * @room: bytes that are free at least once the open run, and what else was
 *	  asked for, have taken the most that they may take; less than 0 where
 *	  that is not known to fit
 * @least: bytes that a run takes at least: a run of one page takes no more
 * @most: bytes that a run takes at most
 * @max_pages: pages that a run has at most
 *
 * A walk only ever appends to the chunk and never changes what is there.
 */
struct run_builder {
	struct pin_runs	runs;
	struct pin_run	open;
	unsigned long	open_end;
	int		room;
	u32		least;
	u32		most;
	unsigned long	max_pages;
};

/* The state of a builder, to go back to */
struct run_mark {
	u32		nr;
	u32		nr_sizes;
	struct pin_run	open;
	unsigned long	open_end;
};

static inline void run_builder_count_room(struct run_builder *b)
{
	b->room = pin_runs_room(&b->runs) - (b->open.nr_pages ? b->most : 0);
}

static inline void run_builder_init(struct run_builder *b,
				    const struct pin_runs *runs)
{
	b->runs = *runs;
	b->open.nr_pages = 0;
	b->open_end = 0;
	b->least = pin_run_bytes(runs->format, 0, 1);
	b->most = b->least + (runs->format == PIN_RUNS_PFN ? sizeof(u32) : 0);
	b->max_pages = pin_run_max_pages(runs->format);
	/* Nearly always, the chunk is empty. */
	b->room = likely(!runs->nr) ? runs->bytes : pin_runs_room(runs);
}

static inline void run_builder_mark(const struct run_builder *b,
				    struct run_mark *mark)
{
	mark->nr = b->runs.nr;
	mark->nr_sizes = b->runs.nr_sizes;
	mark->open = b->open;
	mark->open_end = b->open_end;
}

void run_builder_reopen(struct run_builder *b);

/*
 * Go on with a chunk that may have runs already, and add @nr_pages: the last run
 * is open again.
 */
static inline void run_builder_resume(struct run_builder *b,
				      const struct pin_runs *runs,
				      unsigned long nr_pages)
{
	run_builder_init(b, runs);
	if (unlikely(runs->nr)) {
		run_builder_reopen(b);
	} else if (nr_pages == 1) {
		/* Such a run takes the same whatever it is, and is complete. */
		b->most = b->least;
		b->max_pages = 1;
	}
}

unsigned long run_builder_fits(struct run_builder *b, unsigned long pfn,
			       unsigned long nr_pages, u32 bytes);

/*
 * Is there room for so many bytes besides what is there, and was asked for
 * before? If not, that may be because something was asked for and not used.
 */
static __always_inline bool run_builder_ask(struct run_builder *b, u32 bytes)
{
	b->room -= bytes;
	return b->room >= 0;
}

/* Was there no room for what was asked for last, whatever it is? */
static inline bool run_builder_is_tight(const struct run_builder *b)
{
	return b->room < 0;
}

/*
 * Is @pfn the page behind the open run, in the same folio? As the open run
 * pins the folio, its bounds are stable, and a page inside them is part of it.
 */
static inline bool run_builder_continues(const struct run_builder *b,
					 unsigned long pfn)
{
	return pfn < b->open_end && pfn == b->open.pfn + b->open.nr_pages;
}

/* How many pages may an entry have at most, from this one on? */
static inline unsigned long run_builder_reach(const struct run_builder *b,
					      unsigned long pfn)
{
	return run_builder_continues(b, pfn) ? b->open_end - pfn :
					       b->max_pages;
}

/* Put the open run into the chunk. */
static inline void run_builder_close(struct run_builder *b)
{
	if (b->open.nr_pages)
		pin_runs_push(&b->runs, b->open.pfn, b->open.nr_pages);
	b->open.nr_pages = 0;
	b->open_end = 0;
}

/* Add the page of a small folio: such a run does not grow. */
static __always_inline void run_builder_add_small(struct run_builder *b,
						  unsigned long pfn)
{
	if (unlikely(b->open.nr_pages))
		run_builder_close(b);
	pin_runs_push(&b->runs, pfn, 1);
}

/*
 * Add pages of one large folio, no more than run_builder_reach() of them;
 * @folio_end is the PFN behind the last page of it. A run that goes that far
 * will not grow, and is not left open.
 */
static __always_inline void run_builder_add(struct run_builder *b,
					    unsigned long pfn,
					    unsigned long nr_pages,
					    unsigned long folio_end)
{
	unsigned long end;

	if (unlikely(b->open.nr_pages)) {
		if (run_builder_continues(b, pfn)) {
			b->open.nr_pages += nr_pages;
			return;
		}
		run_builder_close(b);
	}
	end = pfn + min(folio_end - pfn, b->max_pages);
	if (pfn + nr_pages == end) {
		pin_runs_push(&b->runs, pfn, nr_pages);
		return;
	}
	b->open.pfn = pfn;
	b->open.nr_pages = nr_pages;
	b->open_end = end;
}

/* PFN behind the last page of a folio */
static inline unsigned long folio_end_pfn(const struct folio *folio)
{
	return folio_pfn(folio) + folio_nr_pages(folio);
}

/*
 * struct gup_out - where a GUP-fast walk puts what it finds
 * @nr: number of pages found
 * @pinned: pins that are not in the node statistics yet; it also knows the zones
 *	    in which every folio may be pinned
 * @block: the last pageblock that may be pinned, of a zone that has others
 * @pages: takes one entry for each page, and what follows is not used; or
 * @builder: takes runs
 * @budget: leaf entries that may still be taken before the walk ends
 * @stop: the walk ends here
 * @full: the chunk has no room for all of the pages that come next
 * @no_cow: the mapping is known to be none that is copied on write
 * @ask_vma: whether it is was not known, and would have been needed
 */
struct gup_out {
	unsigned long		nr;
	struct gup_pin_stat	pinned;
	unsigned long		block;
	struct page		**pages;
	struct run_builder	builder;
	unsigned long		budget;
	bool			stop;
	bool			full;
	bool			no_cow;
	bool			ask_vma;
};

/* Set in the id of a zone whose folios have to be asked about */
#define GUP_ZONE_ASK	BIT(30)

bool gup_out_zone_allowed(struct gup_out *out, struct folio *folio,
			  int zone_id, unsigned int flags);
long check_and_migrate_movable_folios(unsigned long nr_folios,
				      struct folio **folios);

/* The same, for what most often is between two nodes, or in one pageblock */
static __always_inline bool gup_out_allowed(struct gup_out *out,
					    struct folio *folio, int zone_id,
					    unsigned int flags)
{
	if (out->pinned.zone.id == (zone_id | GUP_ZONE_ASK) &&
	    folio_pfn(folio) >> pageblock_order == out->block)
		return true;
	return gup_pin_stat_back(&out->pinned, zone_id) ||
	       gup_out_zone_allowed(out, folio, zone_id, flags);
}

#ifdef CONFIG_PIN_RUNS_KUNIT_TEST
/*
 * Leaf entries that GUP-fast has taken, and the most that it has taken with
 * interrupts off. A build for tests counts them, for all tasks together: who
 * wants to know is alone, and the others may race.
 */
extern unsigned long gup_nr_leaves, gup_section_start, gup_longest_section;

static inline void gup_count_leaves(unsigned long nr)
{
	WRITE_ONCE(gup_nr_leaves, READ_ONCE(gup_nr_leaves) + nr);
}

static inline void gup_count_section(void)
{
	unsigned long leaves = READ_ONCE(gup_nr_leaves);
	unsigned long section = leaves - READ_ONCE(gup_section_start);

	if (section > READ_ONCE(gup_longest_section))
		WRITE_ONCE(gup_longest_section, section);
	WRITE_ONCE(gup_section_start, leaves);
}

/* The longest section since the last call; 0 where they are not counted */
static inline unsigned long gup_take_longest_section(void)
{
	unsigned long longest = gup_longest_section;

	gup_longest_section = 0;
	return longest;
}
#else
static inline void gup_count_leaves(unsigned long nr) { }
static inline void gup_count_section(void) { }
static inline unsigned long gup_take_longest_section(void)
{
	return 0;
}
#endif

#if IS_ENABLED(CONFIG_KUNIT)
bool gup_fast_raced(unsigned int seq);
bool gup_fast_file_allowed(struct folio *folio, unsigned int flags);
int gup_make_folio_accessible(struct folio *folio);
#endif

bool gup_fast_section(unsigned long start, unsigned long end,
		      unsigned int gup_flags, struct gup_out *out);
long gup_slow(unsigned long start, unsigned long nr_pages, struct page **pages,
	      unsigned int gup_flags);
void unpin_user_runs_resched(struct pin_runs *runs, enum unpin_dirty dirty);
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
 * Release pins of a run in this folio. There is no sanity check: this also
 * serves runs that raced with fork() and may be shared now.
 */
static inline void gup_put_run(struct folio *folio, unsigned long pins,
			       struct gup_pin_stat *released)
{
	if (unlikely(is_zero_folio(folio)))
		return;
	gup_pin_stat_add(released, folio, pins);
	gup_put_pins(folio, pins);
}

#endif /* MM_PIN_RUNS_H */
