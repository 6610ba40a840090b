/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What must be charged for registered buffers: a model, slow and obvious.
 *
 * A large folio counts with all of its pages, once, as long as there is a buffer that has a page
 * of it. A single page counts once for each time that a buffer has it. A buffer that is cloned is
 * the same buffer; it ends with the last ring that drops it.
 *
 * ACCT_PER_RING is what Linux 7.3 does instead, errors included: a folio is counted for each ring,
 * clones too, but pages are given back only by the ring that drops a buffer last, and by the count
 * of that ring. With it, a kernel known to be wrong shows that the tests are right.
 */
#ifndef TESTS_KERNEL_ACCT_RULES_H
#define TESTS_KERNEL_ACCT_RULES_H

#include "util.h"

#define ACCT_RINGS	4

enum acct_rule {
	ACCT_SHARED,
	ACCT_PER_RING,
};

/* The memory that buffers are parts of. */
struct acct_memory {
	size_t nr_pages;
	unsigned int *folio;		/* of each page: a number, from 0 */
	unsigned int nr_folios;
	unsigned int *folio_pages;	/* of each folio: its size */
};

struct acct_buffer {
	size_t first, nr;		/* pages of the memory */
	unsigned int rings;		/* how many times a ring has it */
};

struct acct {
	enum acct_rule rule;
	const struct acct_memory *memory;
	unsigned int *users[ACCT_RINGS];	/* of each folio; ACCT_SHARED has users[0] alone */
	long charged;				/* pages */
};

void acct_init(struct acct *acct, enum acct_rule rule, const struct acct_memory *memory);

/*
 * Charges pages [first, first + nr) registered by @ring. Returns the buffer, or NULL and nothing
 * changed if that makes, with @other pages that the user is charged besides, more than @limit.
 */
struct acct_buffer *acct_register(struct acct *acct, unsigned int ring, size_t first, size_t nr,
				  long other, unsigned long limit);
/* @ring has the buffer too, or once more. */
void acct_clone(struct acct *acct, unsigned int ring, struct acct_buffer *buffer);
/* @ring drops it; the last one frees it. */
void acct_put(struct acct *acct, unsigned int ring, struct acct_buffer *buffer);

#endif
