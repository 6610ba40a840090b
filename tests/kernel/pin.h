/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Pinning without a subsystem around it: the kernel's gup_test, an interface for tests in debugfs.
 * Each call pins a range, releases it again, and tells the time that both took.
 */
#ifndef TESTS_KERNEL_PIN_H
#define TESTS_KERNEL_PIN_H

#include "util.h"

enum pin_call {
	PIN_PAGES,		/* pin_user_pages_fast(), into one array for the whole range */
	PIN_RUNS,		/* pin_user_runs_fast(), chunk by chunk, each released at once */
};

/* How runs are stored; see <linux/pin_runs.h> in the kernel */
enum pin_format {
	PIN_FORMAT_PFN,
	PIN_FORMAT_BVEC,
	PIN_FORMAT_PHYS,
};

struct pin_method {
	enum pin_call call;
	bool longterm;		/* FOLL_LONGTERM, beside FOLL_WRITE */
	size_t pages_per_call;	/* 0: all, and as many runs as a chunk takes */
	enum pin_format format;	/* PIN_RUNS */
	size_t chunk_bytes;	/* PIN_RUNS */
};

struct pin_result {
	uint64_t pin_ns;	/* PIN_PAGES: in whole microseconds */
	uint64_t unpin_ns;
	uint64_t pages;
	uint64_t runs;		/* these for PIN_RUNS only */
	uint64_t calls;
	uint64_t longest_section;	/* entries; 0 where the kernel does not count */
};

/* Mounts debugfs if need be. Returns a file descriptor, or -1 with @why. */
int pin_open(struct reason *why);

/* Whether the kernel has PIN_RUNS. */
bool pin_has_runs(int fd);

/* All of the range must be pinned. Returns 0, or -1 with @why. */
int pin_run(int fd, const struct pin_method *method, void *addr, size_t bytes,
	    struct pin_result *result, struct reason *why);

#endif
