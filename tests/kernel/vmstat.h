/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What must be even again when a test is over: pins taken and given back, memory charged as
 * pinned, huge pages in use.
 */
#ifndef TESTS_KERNEL_VMSTAT_H
#define TESTS_KERNEL_VMSTAT_H

#include "util.h"

struct vmstat {
	uint64_t pin_acquired;	/* nr_foll_pin_acquired: pins since boot */
	uint64_t pin_released;	/* nr_foll_pin_released */
	uint64_t vmpin_kb;	/* VmPin of this process, KiB */
	/* By size, 2 MiB and 1 GiB; zero where the kernel does not have that size. */
	uint64_t huge_total[2];
	uint64_t huge_free[2];
	uint64_t huge_reserved[2];
};

/* Per-CPU parts of the counters are folded in first. Ends the program when there is no /proc. */
void vmstat_read(struct vmstat *now);

/*
 * Reads the state to compare with later. Waits until as many pins are given back as were taken:
 * others pin memory too (direct I/O, a file server that the program writes its results to). Ends
 * the program when a second does not suffice.
 */
void vmstat_start(struct vmstat *start);

/*
 * 0 when nothing is left over: as many pins given back as taken, in all and since @before; VmPin
 * 0; every huge page free and as many as before. Tries again for a second, since a closed ring
 * lets go of its buffers later, from a work item.
 */
int vmstat_balanced(const struct vmstat *before, struct reason *why);

#endif
