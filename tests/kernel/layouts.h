/* SPDX-License-Identifier: GPL-2.0 */
/*
 * User memory of a known physical layout, checked to be what it claims.
 *
 * Huge buffers on a small machine are aliased: a memfd of @alias bytes is mapped again
 * and again at adjacent addresses, so byte x and byte x + alias of the buffer are the same
 * memory.
 */
#ifndef TESTS_KERNEL_LAYOUTS_H
#define TESTS_KERNEL_LAYOUTS_H

#include "util.h"

enum backing {
	BACKING_4K,		/* anonymous, single pages */
	BACKING_16K,		/* anonymous, folios of this size, mapped by PTEs */
	BACKING_64K,
	BACKING_1M,
	BACKING_THP,		/* anonymous, every 2 MiB a PMD-mapped THP */
	BACKING_THP_PTES,	/* the same, but mapped by PTEs */
	BACKING_SHMEM_4K,	/* a memfd of single pages */
	BACKING_HUGETLB_2M,
	BACKING_HUGETLB_1G,
};

struct layout {
	enum backing backing;
	size_t size;		/* bytes, a multiple of the backing's page size */
	size_t alias;		/* memfds: bytes of it, a divisor of size; 0: size */
	/*
	 * THP: one 4 KiB page is replaced in every stretch of so many bytes; 0: none. The page is
	 * dropped with MADV_DONTNEED and faulted in again. This leaves its THP allocated but maps
	 * it by PTEs, 511 of its own pages and one that is not; the position changes from stretch
	 * to stretch and includes the first and last page of a THP.
	 */
	size_t replace_every;
};

struct memory {
	struct layout layout;	/* with alias filled in */
	char *addr;		/* aligned to page_size; nothing accessible on either side */
	size_t size;
	size_t page_size;	/* of the backing: 4 KiB to 1 GiB */
	size_t *replaced;	/* offsets of the replaced pages, ascending */
	size_t nr_replaced;
	void *reservation;
	size_t reservation_size;
};

/*
 * Maps and populates @layout and verifies the result with memory_verify(). Returns 0, or -1 with
 * @why and nothing mapped.
 */
int memory_map(struct memory *mem, const struct layout *layout, struct reason *why);
void memory_unmap(struct memory *mem);

/*
 * Looks in smaps, and pagemap and kpageflags for what is mapped by PTEs, whether @mem is mapped
 * as its layout says, all of it present. Needs root. Returns 0, or -1 with @why.
 */
int memory_verify(const struct memory *mem, struct reason *why);

size_t backing_page_size(enum backing backing);
bool backing_is_anonymous(enum backing backing);

#endif
