/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A call that pins memory, again and again, while its 1st, 2nd, 3rd ... allocation or copy from or
 * to user memory fails. Needs what fail_nth.h does.
 */
#ifndef TESTS_KERNEL_FAIL_EACH_H
#define TESTS_KERNEL_FAIL_EACH_H

#include "util.h"

struct fail_each {
	/* Each may be NULL but @call, whose result is -errno or 0 and more. */
	void (*before)(void *arg);
	int (*call)(void *arg);
	/* Gives back what there is after @call, which may have failed. */
	void (*after)(void *arg, int result);
	void *arg;
	/* A worker of io_uring does it, see fail_objects_of_children(): objects fail, and no copy */
	bool worker;
	/* What is allocated in it has a second way, or a reserve: no failure has to end it */
	bool goes_on;
};

/*
 * 0 when each failure ended the call with ENOMEM or EFAULT, or did not end it, and left no pin and
 * nothing in VmPin; when it works with nothing failing; and when something failed at all, and ended
 * the call but where @goes_on. How many did is said on stdout. An allocation that is tried in a
 * second way, as by kvmalloc(), fails in the first one only: what comes behind its failure is reached
 * where it has none, with less memory.
 */
int fail_each(const char *name, const struct fail_each *each, struct reason *why);

#endif
