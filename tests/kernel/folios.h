/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which folios the pages of a range of memory are parts of. The kernel is asked (pagemap,
 * kpageflags), not believed to have given what was asked for.
 */
#ifndef TESTS_KERNEL_FOLIOS_H
#define TESTS_KERNEL_FOLIOS_H

#include "util.h"

struct folio_source {
	int pagemap;
	int kpageflags;
};

/* A page: the page frame that its folio starts with, and the number of pages of that. */
struct page_folio {
	uint64_t head;
	unsigned int nr_pages;
};

/* Needs root; what is open can be used later without. The pagemap is that of this process. */
int folios_open(struct folio_source *source, struct reason *why);
void folios_close(struct folio_source *source);

/* Fills @pages for each of the @count pages from @addr. All must be present. */
int folios_read(const struct folio_source *source, const char *addr, struct page_folio *pages,
		size_t count, struct reason *why);

/* Calls @add for ZONE_MOVABLE of each node: its first page frame, and how many it spans. */
int movable_ranges(void (*add)(uint64_t start, uint64_t nr), struct reason *why);

#endif
