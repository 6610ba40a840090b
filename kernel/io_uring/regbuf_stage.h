/* SPDX-License-Identifier: GPL-2.0 */
#ifndef IOU_REGBUF_STAGE_H
#define IOU_REGBUF_STAGE_H

#include <linux/list.h>
#include <linux/pin_runs.h>

#include "regbuf_acct.h"
#include "regbuf_layout.h"

/* Runs of a small buffer that wait on the stack */
#define REGBUF_STAGE_RUNS	16

/* Pages that are faulted in at a time: twice as many each time it is needed */
#define REGBUF_STAGE_FAULT_MIN	8UL
#define REGBUF_STAGE_FAULT_MAX	512UL

/**
 * struct regbuf_source - where the pages of a buffer come from
 * @file: a file, between pin_memfd_begin() and pin_memfd_end(), or NULL for the
 *	  memory of the current process
 * @page: first page, of the file or of the address space
 * @nr_pages: how many
 * @gup_flags: what they are pinned with
 */
struct regbuf_source {
	struct file		*file;
	unsigned long		page;
	unsigned long		nr_pages;
	unsigned int		gup_flags;
};

/* Pin pages of a source from page @i on, without waiting for any of them. */
static inline long regbuf_source_pin(const struct regbuf_source *src,
				     unsigned long i, struct pin_runs *runs)
{
	unsigned long page = src->page + i, nr_pages = src->nr_pages - i;

	if (src->file)
		return pin_memfd_runs(src->file, page, nr_pages, src->gup_flags,
				      runs);
	return pin_user_runs_fast_only(page << PAGE_SHIFT, nr_pages,
				       src->gup_flags, runs);
}

/**
 * struct regbuf_stage - runs of a buffer that are pinned but not stored yet
 * @src: the pages
 * @runs: the chunk that is being filled
 * @full: pages of the chunks before it, linked by ->lru. The numbers of runs
 *	  and of sizes are in ->private.
 * @tally: of the runs in @full and, after regbuf_stage_pin(), of all
 * @charge: for the runs in @full, and for the first @nr_charged in @runs
 * @nr_charged: see there
 * @charged: where to go on in @runs
 * @faulted_in: up to which page of the source pages were faulted in
 * @fault_pages: how many to fault in next time
 * @first: the first chunk of a buffer whose runs would not fill a page
 */
struct regbuf_stage {
	struct regbuf_source	src;
	struct pin_runs		runs;
	struct list_head	full;
	struct regbuf_tally	tally;
	struct regbuf_charge	charge;
	u32			nr_charged;
	struct pin_runs_iter	charged;
	unsigned long		faulted_in;
	unsigned long		fault_pages;
	u64			first[REGBUF_STAGE_RUNS];
};

int regbuf_stage_pin(struct regbuf_stage *stage);
void regbuf_stage_shrink(struct regbuf_stage *stage,
			 const struct regbuf_layout *layout);
void regbuf_stage_end(struct regbuf_stage *stage, struct regbuf_fill *fill);

#endif
