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
 * struct regbuf_stage - runs of a buffer that are pinned but not stored yet
 * @nr_pages: of the buffer
 * @runs: the chunk that is being filled
 * @full: pages of the chunks before it, linked by ->lru. The numbers of runs
 *	  and of sizes are in ->private.
 * @tally: of the runs in @full and, after regbuf_stage_pin(), of all
 * @charge: for the runs in @full, and for the first @nr_charged in @runs
 * @nr_charged: see there
 * @charged: where to go on in @runs
 * @faulted_in: up to which address pages were faulted in
 * @fault_pages: how many to fault in next time
 * @first: the first chunk of a buffer whose runs would not fill a page
 */
struct regbuf_stage {
	unsigned long		nr_pages;
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

int regbuf_stage_pin(struct regbuf_stage *stage, unsigned long start,
		     unsigned long nr_pages, unsigned int gup_flags);
void regbuf_stage_shrink(struct regbuf_stage *stage,
			 const struct regbuf_layout *layout);
void regbuf_stage_end(struct regbuf_stage *stage, struct regbuf_fill *fill);

#endif
