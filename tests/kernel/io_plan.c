// SPDX-License-Identifier: GPL-2.0
#include "io_plan.h"

#define RANDOM_IOS	64
#define RANDOM_MAX	(128 * KIB)

/*
 * What is transferred around an edge: length, what part of it (in eighths) lies left of the edge,
 * whether the address is moved on by the least alignment that the target takes, and whether it is
 * done on every target or only on the first.
 */
static const struct {
	size_t len;
	unsigned int left;
	bool unaligned;
	bool everywhere;
} around[] = {
	{ 512, 0, false, false },
	{ 512, 8, true, false },
	{ 4 * KIB, 0, false, true },
	{ 4 * KIB, 8, false, false },
	{ 4 * KIB, 4, true, true },
	{ 8 * KIB, 4, false, false },
	{ 64 * KIB, 0, true, false },
	{ 64 * KIB, 4, true, true },
	{ 64 * KIB, 8, false, false },
	{ MIB, 4, true, false },
};

/* Boundaries of each of these sizes are edges: of pages and folios, and of what holds them. */
static const size_t steps[] = { 4 * KIB, 64 * KIB, 2 * MIB, 16 * MIB, GIB };

/* Moves a transfer that would reach out of [start, end) inside. */
static int check_inside(struct fixed_io *io, const struct io_target *target, size_t from,
			size_t len, size_t start, size_t end, struct reason *why)
{
	len = min_size(ALIGN_UP(len, target->block), ALIGN_DOWN(end - start, target->block));
	from = ALIGN_DOWN(from, target->mem_align);
	if (from < start)
		from = start;
	if (from > end - len)
		from = end - len;
	return fixed_io_check(io, target, from, len, why);
}

static int check_edge(struct fixed_io *io, const struct io_plan *plan, size_t edge, size_t start,
		      size_t end, struct reason *why)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(around); i++) {
		for (unsigned int t = 0; t < plan->nr_targets; t++) {
			const struct io_target *target = &plan->targets[t];
			size_t left = around[i].len / 8 * around[i].left;
			size_t from = edge > left ? edge - left : 0;

			if (t && !around[i].everywhere)
				continue;
			if (around[i].unaligned)
				from += target->mem_align;
			if (check_inside(io, target, from, around[i].len, start, end, why))
				return -1;
		}
	}
	return 0;
}

/* The first, the last, and one more boundary of a size. */
static int check_step(struct fixed_io *io, const struct io_plan *plan, size_t step, size_t start,
		      size_t end, struct reason *why)
{
	size_t first = ALIGN_UP(start + 1, step), last = ALIGN_DOWN(end - 1, step);

	if (first > last)
		return 0;
	if (check_edge(io, plan, first, start, end, why))
		return -1;
	if (last == first)
		return 0;
	return check_edge(io, plan, ALIGN_UP((first + last) / 2, step), start, end, why) ||
	       check_edge(io, plan, last, start, end, why) ? -1 : 0;
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

int io_plan_run(struct fixed_io *io, const struct io_plan *plan, size_t start, size_t end,
		struct reason *why)
{
	uint64_t random = 0x2545f4914f6cdd1dULL;

	if (check_edge(io, plan, start, start, end, why) ||
	    check_edge(io, plan, end, start, end, why))
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
		if (check_step(io, plan, steps[i], start, end, why))
			return -1;
	for (size_t i = 0; i < plan->nr_edges; i++)
		if (check_edge(io, plan, plan->edges[i], start, end, why))
			return -1;
	for (unsigned int i = 0; i < RANDOM_IOS; i++) {
		const struct io_target *target = &plan->targets[i % plan->nr_targets];
		size_t len = next_random(&random) % RANDOM_MAX + 1;
		size_t off = start + next_random(&random) % (end - start);

		if (check_inside(io, target, off, len, start, end, why))
			return -1;
	}
	return 0;
}
