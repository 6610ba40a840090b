/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A process's memory, made up: folios, and one page table for all, from the fuzzer's input. It
 * takes the place of the walker in mm/gup.c, and of what that looks at, below
 * pin_user_runs_fast(). The table is the reference: one PFN per page.
 */
#ifndef FUZZ_PURE_WORLD_H
#define FUZZ_PURE_WORLD_H

#include "input.h"

#define WORLD_PAGES	1024u		/* in the table, at most */
#define WORLD_PFNS	8192u		/* with a struct page */
#define WORLD_START	(7UL << 30)	/* address of the first page */

struct world {
	u32 nr_pages;
	unsigned long pfn[WORLD_PAGES];
	/* Pages from here to the end of a huge mapping, 0: a PTE */
	u16 leaf[WORLD_PAGES];
	/* What happens while memory is pinned, from the back of the input */
	struct input *events;
	bool quiet;		/* nothing does */
	/* Errors that the last call may have returned */
	bool killed, fault;
};

extern struct world world;

void world_make(struct input *in, struct input *events);

/* Pins of a folio, by the PFN of any page of it */
long world_pins(unsigned long pfn);
/* Whether no page at all is pinned, and all pins were counted */
bool world_all_released(void);

#endif
