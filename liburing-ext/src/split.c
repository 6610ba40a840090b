/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * Cutting a region into slots.  Where it does not fit in one slot, the slots are a
 * power of two in size, and their boundaries are counted from the region's start
 * rounded down to its page size: then no huge page lies in two slots (it would be
 * pinned and charged for both), and the slot of an address is a shift away.
 */
#include <stdlib.h>

#include "lib.h"

void urext_split(struct urext_split *s, uintptr_t base, size_t len, size_t page_size,
		 size_t max)
{
	size_t size;

	s->base = base;
	s->end = base + len;
	s->origin = base;
	s->shift = 0;
	s->nr = 1;
	if (len <= max)
		return;

	s->shift = 8 * sizeof(long) - 1 - __builtin_clzl(max);
	size = 1UL << s->shift;
	/* A page larger than a slot is in several slots whatever we do. */
	s->origin = base & ~(min_sz(page_size, size) - 1);
	s->nr = ((s->end - 1 - s->origin) >> s->shift) + 1;
}

struct iovec *urext_split_iovecs(const struct urext_split *s)
{
	struct iovec *iov;
	size_t i;

	iov = malloc(s->nr * sizeof(*iov));
	if (!iov)
		return NULL;
	for (i = 0; i < s->nr; i++) {
		uintptr_t start = urext_split_start(s, i);

		iov[i].iov_base = (void *)start;
		iov[i].iov_len = urext_split_end(s, i) - start;
	}
	return iov;
}
