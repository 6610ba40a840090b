/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Cases of stress_run: registered buffers while something goes wrong, or is short, around them.
 *
 * Each runs for a given time at least, and must have met what it is about: a case counts what
 * happened, and runs again if that is nothing, a few times before it fails.
 */
#ifndef TESTS_KERNEL_STRESS_H
#define TESTS_KERNEL_STRESS_H

#include <sys/types.h>

#include "race.h"

struct stress {
	double seconds;			/* for each case */
	uint64_t rng;
	uint64_t end;			/* of the case that runs, as now_ns() */
	/* Since the case began */
	uint64_t rounds;
	uint64_t effects;
	char detail[160];		/* what happened, for the one who reads the result */
};

struct stress_case {
	const char *name;
	const char *title;
	/* 0, or -1 with @why; 1 if the case cannot be run here, with @why */
	int (*run)(struct stress *stress, struct reason *why);
};

int stress_swap(struct stress *stress, struct reason *why);
int stress_cma(struct stress *stress, struct reason *why);
int stress_offline(struct stress *stress, struct reason *why);
int stress_memcg(struct stress *stress, struct reason *why);
int stress_limit(struct stress *stress, struct reason *why);
int stress_oom(struct stress *stress, struct reason *why);
int stress_slots(struct stress *stress, struct reason *why);
int stress_rings(struct stress *stress, struct reason *why);
int stress_kill(struct stress *stress, struct reason *why);
int stress_prompt(struct stress *stress, struct reason *why);
int stress_signals(struct stress *stress, struct reason *why);
int stress_waits(struct stress *stress, struct reason *why);
int stress_cache(struct stress *stress, struct reason *why);
int stress_neighbour(struct stress *stress, struct reason *why);
int stress_memfd(struct stress *stress, struct reason *why);

/* Counts a round; false when time is over. There are a few rounds in any case. */
bool stress_again(struct stress *stress);

/*
 * Calls @body in a child process, which is in the control group @group (NULL: none), and returns
 * what it does; what it notes in @stress and @why comes back. A child that dies is a failure.
 */
int stress_child(struct stress *stress, const char *group, struct reason *why,
		 int (*body)(struct stress *stress, struct reason *why));

/*
 * Pins @bytes at @addr, whose content is the pattern with @seed, as a registered buffer; checks
 * that the kernel sees that, writes the pattern with @new_seed through the pin, and checks that
 * it is in memory. @meanwhile, if not NULL, is called while the memory is pinned.
 */
int stress_use(struct pinner *pinner, char *addr, size_t bytes, uint64_t seed, uint64_t new_seed,
	       void (*meanwhile)(void *arg), void *arg, struct reason *why);

/*
 * Waits until no pin is left that was taken since @before, and nothing is charged to this
 * process: rings let go of their buffers after they are closed, by a work item.
 */
int stress_released(const struct vmstat *before, struct reason *why);

/* A control group for memory, below the root; one at a time. Removed when it is empty. */
int group_make(const char *name, struct reason *why);
void group_remove(const char *name);
/* What a file of it says: a number after @key, or the first one if that is NULL */
uint64_t group_read(const char *name, const char *file, const char *key);
int group_write(const char *name, const char *file, const char *text);

/* 128 MiB of swap, from now on */
int stress_swap_on(struct reason *why);

/* An ext4 for files that are on a disk */
#define STRESS_DISK	"/dev/vda"

/* A key of /proc/vmstat */
uint64_t vmstat_key(const char *key);

#endif
