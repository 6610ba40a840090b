// SPDX-License-Identifier: GPL-2.0
/*
 * Runs of a buffer that is being registered
 *
 * How many runs there are and what they look like is known only when all memory
 * is pinned. Until then they wait in a *stage*: chunks in the packed format of
 * <linux/pin_runs.h>, which takes 8 bytes for most runs and never more than
 * that for each page. Each chunk is charged for when it is full. No step after
 * that looks at single pages of a run.
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

/* Uncharge the first @nr runs of a chunk. */
static void regbuf_uncharge_runs(struct regbuf_charge *charge,
				 const struct pin_runs *runs, u32 nr)
{
	struct pin_runs_iter it = { };
	struct pin_run run;

	while (it.i < nr && pin_runs_next(runs, &it, &run))
		regbuf_uncharge_run(charge, run.pfn);
}

/*
 * Count the runs of a chunk and charge for them, or fail and do not charge for
 * any. The copies here and below are for the compiler: it keeps them in
 * registers, and knows the format.
 */
static int regbuf_stage_take(struct regbuf_stage *stage,
			     const struct pin_runs *runs)
{
	struct regbuf_charge *charge = &stage->charge;
	struct folio *folio = charge->folio;
	struct regbuf_tally t = stage->tally;
	struct pin_runs r = *runs;
	struct pin_runs_iter it = { };
	struct pin_run run;
	int ret = 0;

	r.format = PIN_RUNS_PFN;
	if (charge->acct)
		regbuf_charge_begin(charge);
	while (!ret && it.i < runs->nr) {
		/* The first run of all is told alone. */
		r.nr = t.nr_runs ? runs->nr : 1;
		if (!charge->acct) {
			while (pin_runs_next(&r, &it, &run))
				regbuf_tally_next(&t, run.nr_pages);
		} else {
			while (pin_runs_next(&r, &it, &run)) {
				ret = regbuf_charge_run(charge, run.pfn);
				if (unlikely(ret))
					break;
				regbuf_tally_next(&t, run.nr_pages);
			}
		}
		if (!t.nr_runs)
			regbuf_tally_first(&t);
		t.nr_runs = stage->tally.nr_runs + it.i;
	}
	stage->tally = t;
	if (!charge->acct)
		return 0;

	/* The run that failed is not charged. */
	if (ret)
		it.i--;
	else
		ret = regbuf_charge_commit(charge);
	if (ret) {
		charge->folio = folio;
		regbuf_uncharge_runs(charge, &r, it.i);
	}
	regbuf_charge_end(charge);
	return ret;
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

	/* Eight bytes per page are enough for all of them. */
	if (runs.entries == stage->first)
		return regbuf_stage_move(stage, stage->nr_pages * sizeof(u64));
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

	ret = regbuf_stage_take(stage, &runs);
	if (ret) {
		regbuf_free_chunk(stage, &next);
		return ret;
	}
	page = virt_to_page(runs.entries);
	set_page_private(page, runs.nr | (unsigned long)runs.nr_sizes << 16);
	list_add_tail(&page->lru, &stage->full);
	stage->runs = next;
	return 0;
}

/*
 * Pin @nr_pages of the memory of the current process and charge for them.
 * On failure, what is pinned and charged is left to regbuf_stage_end().
 */
int regbuf_stage_pin(struct regbuf_stage *stage, unsigned long start,
		     unsigned long nr_pages, unsigned int gup_flags)
{
	unsigned long left = nr_pages;
	long ret = 0;

	stage->nr_pages = nr_pages;

	if (left < PAGE_SIZE / sizeof(u64))
		pin_runs_init(&stage->runs, stage->first, sizeof(stage->first));
	else
		ret = regbuf_new_chunk(&stage->runs, PAGE_SIZE);
	while (!ret && left) {
		ret = pin_user_runs_fast(start, left, gup_flags, &stage->runs);
		if (ret == -ENOSPC) {
			ret = regbuf_stage_next_chunk(stage, left);
		} else if (ret > 0) {
			start += ret << PAGE_SHIFT;
			left -= ret;
			ret = 0;
		} else if (!ret) {
			ret = -EFAULT;
		}
	}
	if (!ret)
		ret = regbuf_stage_take(stage, &stage->runs);
	if (ret)
		return ret;

	stage->complete = true;
	if (WARN_ON_ONCE(stage->tally.nr_pages != stage->nr_pages))
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
	    stage->nr_pages * sizeof(u64) < stage->runs.bytes + layout->bytes +
					    sizeof(struct io_mapped_ubuf))
		regbuf_stage_move(stage, used);
}

/*
 * Store the runs of a chunk, or release them if @fill is NULL. Those that were
 * charged are uncharged by @undo then.
 */
static void regbuf_stage_end_chunk(const struct regbuf_stage *stage,
				   struct pin_runs *runs,
				   struct regbuf_fill *fill,
				   struct regbuf_charge *undo)
{
	if (fill) {
		regbuf_fill_chunk(fill, runs);
	} else {
		if (undo->acct) {
			regbuf_charge_begin(undo);
			regbuf_uncharge_runs(undo, runs, runs->nr);
			regbuf_uncharge_end(undo);
		}
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
		regbuf_stage_end_chunk(stage, &runs, fill, &undo);
	}
	if (!stage->complete)
		undo.acct = NULL;
	if (stage->runs.entries)
		regbuf_stage_end_chunk(stage, &stage->runs, fill, &undo);
}
