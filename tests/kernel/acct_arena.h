/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Memory of all kinds, at adjacent addresses, so that one buffer can have pages of several: THPs,
 * one with a page replaced, two with every second; 64 KiB folios; single pages; hugetlb pages, one
 * of them at two places. Nothing accessible on either side.
 */
#ifndef TESTS_KERNEL_ACCT_ARENA_H
#define TESTS_KERNEL_ACCT_ARENA_H

#include "acct_rules.h"
#include "folios.h"

struct acct_arena {
	char *addr;
	size_t size;
	struct acct_memory memory;
	struct folio_source source;
	struct page_folio *pages;
};

/* The bytes from the start of which none is mapped a second time. */
#define ACCT_ARENA_UNIQUE	(16 * MIB)

/* Needs root, for the time of the call. Returns 0, or -1 with @why. */
int acct_arena_map(struct acct_arena *arena, struct reason *why);

/* Whether all is still in the folios that it was in at first. */
int acct_arena_check(const struct acct_arena *arena, struct reason *why);

#endif
