/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the CPU counted between two points of this thread, in user space and in the kernel, of the
 * events that this machine has.
 */
#ifndef TESTS_KERNEL_COUNTERS_H
#define TESTS_KERNEL_COUNTERS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum counter {
	COUNTER_CYCLES,
	COUNTER_INSTRUCTIONS,
	COUNTER_CACHE_MISSES,
	COUNTER_LOCKED,			/* locked loads, on Intel's CPUs */
	COUNTER_FAULTS,			/* of pages, by the kernel: any machine has it */
	NR_COUNTERS,
};

struct counts {
	bool have[NR_COUNTERS];
	uint64_t value[NR_COUNTERS];
};

struct counters {
	int fd[NR_COUNTERS];		/* or -1; the first that is not leads the group */
};

void counters_open(struct counters *c);
void counters_close(struct counters *c);
void counters_start(const struct counters *c);
void counters_stop(const struct counters *c, struct counts *counts);

/* The values, divided by @n, as JSON: ', "NAME_cycles": 123' and so on. */
void counts_json(FILE *out, const char *name, const struct counts *counts, uint64_t n);

#endif
