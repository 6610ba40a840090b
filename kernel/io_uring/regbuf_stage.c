// SPDX-License-Identifier: GPL-2.0
/*
 * Runs of a buffer that is being registered
 *
 * How many runs there are and what they look like is known only when all memory
 * is pinned. Until then they wait in a *stage*: chunks in the packed format of
 * <linux/pin_runs.h>, which takes 8 bytes for most runs and never more than
 * that for each page. No step after that looks at single pages of a run.
 *
 * What is pinned is charged for when a chunk is full, and before the task may
 * sleep: not more than a chunk is pinned and not charged, and that only while
 * this runs.
 *
 * The last run of a chunk that is full may go on in the next chunk. It is moved
 * there, where pin_user_runs_fast() makes it longer, so that every run ends up
 * as long as its folio allows and there is one pin for it.
 */
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "regbuf_stage.h"

static int regbuf_new_chunk(struct pin_runs *runs, size_t bytes)
{
	void *buf;

	if (bytes < PAGE_SIZE) {
		buf = kmalloc(bytes, GFP_KERNEL_ACCOUNT);
	} else {
		bytes = PAGE_SIZE;
		buf = (void *)__get_free_page(GFP_KERNEL_ACCOUNT);
	}
	if (!buf)
		return -ENOMEM;
	pin_runs_init(runs, buf, bytes);
	return 0;
}

static void regbuf_free_chunk(const struct regbuf_stage *stage,
			      struct pin_runs *runs)
{
	if (runs->bytes >= PAGE_SIZE)
		free_page((unsigned long)runs->entries);
	else if (runs->entries != stage->first)
		kfree(runs->entries);
}

/* Move the runs of the only chunk to another one, of @bytes. */
static int regbuf_stage_move(struct regbuf_stage *stage, size_t bytes)
{
	struct pin_runs_iter it = { };
	struct pin_runs runs;
	struct pin_run run;
	int ret;

	ret = regbuf_new_chunk(&runs, bytes);
	if (ret)
		return ret;
	while (pin_runs_next(&stage->runs, &it, &run))
		pin_runs_push(&runs, run.pfn, run.nr_pages);
	regbuf_free_chunk(stage, &stage->runs);
	stage->runs = runs;
	return 0;
}

/*
 * Charge for what is in the chunk, as has to be done before this task may
 * sleep. A last run that may still get longer is looked at again next time: in
 * the same folio it is the same user.
 */
static int regbuf_stage_charge(struct regbuf_stage *stage)
{
	struct pin_runs rest = stage->runs;
	int ret;

	if (!stage->charge.acct || !rest.nr)
		return 0;
	ret = regbuf_charge_runs(&stage->charge, &stage->runs, stage->charged);
	if (ret)
		return ret;
	stage->nr_charged = rest.nr;
	if (PageCompound(pfn_to_page(pin_runs_pop(&rest).pfn))) {
		stage->charged.i = rest.nr;
		stage->charged.size = rest.nr_sizes;
	} else {
		stage->charged.i = stage->runs.nr;
		stage->charged.size = stage->runs.nr_sizes;
	}
	return 0;
}

/*
 * Count the runs of a chunk. The copies here and below are for the compiler: it
 * keeps them in registers, and knows the format.
 */
static void regbuf_stage_tally(struct regbuf_stage *stage,
			       const struct pin_runs *runs)
{
	struct regbuf_tally t = stage->tally;
	struct pin_runs r = *runs;
	struct pin_runs_iter it = { };
	struct pin_run run;

	r.format = PIN_RUNS_PFN;
	while (it.i < runs->nr) {
		/* The first run of all is told alone. */
		r.nr = t.nr_runs ? runs->nr : 1;
		while (pin_runs_next(&r, &it, &run))
			regbuf_tally_next(&t, run.nr_pages);
		if (!t.nr_runs)
			regbuf_tally_first(&t);
		t.nr_runs = stage->tally.nr_runs + it.i;
	}
	stage->tally = t;
}

static void regbuf_fill_chunk(struct regbuf_fill *fill,
			      const struct pin_runs *runs)
{
	struct pin_runs r = *runs;
	struct pin_runs_iter it = { };
	struct regbuf_fill f;
	struct pin_run run;

	r.format = PIN_RUNS_PFN;
	if (fill->start) {
		while (pin_runs_next(&r, &it, &run))
			regbuf_fill_pieces(fill, run.pfn, run.nr_pages);
		return;
	}
	f = *fill;
	while (pin_runs_next(&r, &it, &run))
		regbuf_fill_run(&f, run.pfn, run.nr_pages);
	*fill = f;
}

/*
 * The chunk is full and there are @nr_pages to come: start another one. If the
 * last run can still get longer, it goes along.
 */
static int regbuf_stage_next_chunk(struct regbuf_stage *stage,
				   unsigned long nr_pages)
{
	struct pin_runs runs = stage->runs, next;
	struct folio *folio;
	struct pin_run last;
	struct page *page;
	int ret;

	BUILD_BUG_ON(PAGE_SIZE / sizeof(u64) > U16_MAX);

	ret = regbuf_stage_charge(stage);
	if (ret)
		return ret;
	/* Eight bytes per page are enough for all of them. */
	if (runs.entries == stage->first)
		return regbuf_stage_move(stage, stage->src.nr_pages * sizeof(u64));
	if (WARN_ON_ONCE(runs.bytes < PAGE_SIZE))
		return -ENOSPC;
	/* Eight bytes per page, and not more than twice that for a run. */
	ret = regbuf_new_chunk(&next, (nr_pages + 2) * sizeof(u64));
	if (ret)
		return ret;

	last = pin_runs_pop(&runs);
	folio = pfn_folio(last.pfn);
	if (last.pfn + last.nr_pages < folio_pfn(folio) + folio_nr_pages(folio))
		pin_runs_push(&next, last.pfn, last.nr_pages);
	else
		pin_runs_push(&runs, last.pfn, last.nr_pages);
	stage->charged = (struct pin_runs_iter){ };
	stage->nr_charged = next.nr;

	regbuf_stage_tally(stage, &runs);
	page = virt_to_page(runs.entries);
	set_page_private(page, runs.nr | (unsigned long)runs.nr_sizes << 16);
	list_add_tail(&page->lru, &stage->full);
	stage->runs = next;
	return 0;
}

static int regbuf_fault_in(const struct regbuf_source *src, unsigned long i,
			   unsigned long nr_pages)
{
	unsigned long page = src->page + i;

	if (src->file)
		return fault_in_memfd_runs(src->file, page, nr_pages,
					   src->gup_flags);
	return fault_in_user_runs(page << PAGE_SHIFT, nr_pages, src->gup_flags);
}

/*
 * Page @i cannot be pinned without sleeping. What is pinned is charged for
 * first, and nothing new is pinned until the pages from there on are present,
 * as many as are done at a time. Where that was done and did not help, the
 * page has to be unshared or migrated, or must not be pinned: then it is pinned
 * alone. Of a file, there is nothing more to do for a page, and an error says
 * what is wrong.
 *
 * Returns how many pages were pinned, 0 for one more try, or an error.
 */
static long regbuf_stage_wait(struct regbuf_stage *stage, unsigned long i)
{
	const struct regbuf_source *src = &stage->src;
	unsigned long nr_pages;
	int ret;

	ret = regbuf_stage_charge(stage);
	if (ret)
		return ret;
	if (src->file || i >= stage->faulted_in) {
		nr_pages = min(src->nr_pages - i, stage->fault_pages);
		stage->faulted_in = i + nr_pages;
		stage->fault_pages = min(2 * stage->fault_pages,
					 REGBUF_STAGE_FAULT_MAX);
		ret = regbuf_fault_in(src, i, nr_pages);
		if (!ret || src->file)
			return ret;
	}
	return pin_user_runs_fast((src->page + i) << PAGE_SHIFT, 1,
				  src->gup_flags, &stage->runs);
}

static long regbuf_stage_more(struct regbuf_stage *stage, unsigned long i)
{
	const struct regbuf_source *src = &stage->src;
	long ret;

	/* Where nobody is charged, it does not matter what is pinned while we wait. */
	if (!stage->charge.acct && !src->file)
		return pin_user_runs_fast((src->page + i) << PAGE_SHIFT,
					  src->nr_pages - i, src->gup_flags,
					  &stage->runs);
	ret = regbuf_source_pin(src, i, &stage->runs);
	if (ret == -EAGAIN)
		ret = regbuf_stage_wait(stage, i);
	return ret;
}

/*
 * Pin the pages of ->src and charge for them. On failure, what is pinned and
 * charged is left to regbuf_stage_end().
 */
int regbuf_stage_pin(struct regbuf_stage *stage)
{
	unsigned long nr_pages = stage->src.nr_pages, i = 0;
	long ret = 0;

	stage->fault_pages = REGBUF_STAGE_FAULT_MIN;

	if (nr_pages < PAGE_SIZE / sizeof(u64))
		pin_runs_init(&stage->runs, stage->first, sizeof(stage->first));
	else
		ret = regbuf_new_chunk(&stage->runs, PAGE_SIZE);
	while (!ret && i < nr_pages) {
		ret = regbuf_stage_more(stage, i);
		if (ret == -ENOSPC) {
			ret = regbuf_stage_next_chunk(stage, nr_pages - i);
		} else if (ret > 0) {
			i += ret;
			ret = 0;
		}
	}
	if (!ret)
		ret = regbuf_stage_charge(stage);
	if (ret)
		return ret;
	regbuf_stage_tally(stage, &stage->runs);
	if (WARN_ON_ONCE(stage->tally.nr_pages != nr_pages))
		return -EFAULT;
	return 0;
}

/*
 * The chunk was as large as single pages would need, and the buffer comes on
 * top of it. Where few runs are to make a small buffer, both together might be
 * more than a pointer for each page: give back what is not used.
 */
void regbuf_stage_shrink(struct regbuf_stage *stage,
			 const struct regbuf_layout *layout)
{
	size_t used = stage->runs.bytes - pin_runs_room(&stage->runs);

	used = ALIGN(used, sizeof(u64));
	if (list_empty(&stage->full) && stage->runs.entries != stage->first &&
	    used <= stage->runs.bytes / 2 &&
	    stage->src.nr_pages * sizeof(u64) < stage->runs.bytes + layout->bytes +
					    sizeof(struct io_mapped_ubuf))
		regbuf_stage_move(stage, used);
}

/*
 * Store the runs of a chunk, or release them if @fill is NULL. Of those, the
 * first @nr_charged are uncharged by @undo.
 */
static void regbuf_stage_end_chunk(const struct regbuf_stage *stage,
				   struct pin_runs *runs, u32 nr_charged,
				   struct regbuf_fill *fill,
				   struct regbuf_charge *undo)
{
	if (fill) {
		regbuf_fill_chunk(fill, runs);
	} else {
		if (undo->acct)
			regbuf_uncharge_runs(undo, runs, nr_charged);
		unpin_user_runs(runs, UNPIN_CLEAN);
	}
	regbuf_free_chunk(stage, runs);
	cond_resched();
}

/* All runs are stored by @fill, or released and uncharged if it is NULL. */
void regbuf_stage_end(struct regbuf_stage *stage, struct regbuf_fill *fill)
{
	struct regbuf_charge undo = { .acct = stage->charge.acct };
	struct page *page, *next;
	struct pin_runs runs;

	list_for_each_entry_safe(page, next, &stage->full, lru) {
		pin_runs_init(&runs, page_address(page), PAGE_SIZE);
		runs.nr = page_private(page) & U16_MAX;
		runs.nr_sizes = page_private(page) >> 16;
		regbuf_stage_end_chunk(stage, &runs, runs.nr, fill, &undo);
	}
	if (stage->runs.entries)
		regbuf_stage_end_chunk(stage, &stage->runs, stage->nr_charged,
				       fill, &undo);
}
