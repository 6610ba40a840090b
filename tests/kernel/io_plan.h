/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which transfers to make through a registered buffer: where a lookup of the page for an offset
 * can go wrong. On both sides of, and across, its first and last byte, boundaries of every page
 * size, and edges that the caller knows of; at the least alignment of memory that the target
 * takes; then at random.
 */
#ifndef TESTS_KERNEL_IO_PLAN_H
#define TESTS_KERNEL_IO_PLAN_H

#include "fixed_io.h"

struct io_plan {
	/* All transfers are made on the first target, and a part of them on each of the others. */
	const struct io_target *targets;
	unsigned int nr_targets;
	/* More offsets in memory to look at; those outside of the buffer are moved inside. */
	const size_t *edges;
	size_t nr_edges;
};

/* The buffer is [start, end) of @io's memory, one page at least. Returns 0, or -1 with @why. */
int io_plan_run(struct fixed_io *io, const struct io_plan *plan, size_t start, size_t end,
		struct reason *why);

#endif
