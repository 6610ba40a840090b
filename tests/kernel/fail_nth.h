/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Failures on demand: the N-th allocation or copy from or to user memory that this thread makes in
 * the kernel fails. Needs root, debugfs and a kernel with FAILSLAB, FAIL_PAGE_ALLOC and
 * FAULT_INJECTION_USERCOPY.
 */
#ifndef TESTS_KERNEL_FAIL_NTH_H
#define TESTS_KERNEL_FAIL_NTH_H

#include "util.h"

/* Allocations of any size that may wait fail too, and silently. 0, or -1 with @why. */
int fail_nth_open(struct reason *why);

/* From now on; the first one is number 1. */
void fail_nth_arm(unsigned int n);

/* Ends it. Whether there was an N-th one, which then has failed. */
bool fail_nth_disarm(void);

/*
 * From the N-th on, all nodes of xarrays that this thread allocates: one failure alone is made up
 * for by a second attempt. 0 ends it.
 */
void fail_nodes_from(unsigned int n);

/*
 * Threads that this one begins now inherit that objects may fail for them: so do the workers of its
 * rings, which have fail-nth not. Of this thread itself it has to be off before the next function.
 */
void fail_objects_of_children(bool on);

/* Once, an object that such a thread allocates: the one that exceeds so many bytes. */
void fail_objects_after(unsigned int bytes);
/* Ends it. Whether one has failed. */
bool fail_objects_end(void);

#endif
