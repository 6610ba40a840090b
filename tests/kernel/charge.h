/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the kernel charges for registered buffers: to the memory of the process (VmPin), and to
 * its user, who may not have more than RLIMIT_MEMLOCK.
 *
 * What is charged to the user is written nowhere. But of a limit that is just large enough for
 * one page more, and one that is not, the kernel must accept the one and refuse the other.
 */
#ifndef TESTS_KERNEL_CHARGE_H
#define TESTS_KERNEL_CHARGE_H

#include <liburing.h>

#include "util.h"

/* Charged to this process, pages; negative where the kernel's counter has gone below zero. */
long charge_pinned(void);

struct charge_probe {
	struct io_uring ring;
	char *page;
};

int charge_probe_init(struct charge_probe *probe, struct reason *why);
void charge_probe_exit(struct charge_probe *probe);

/* 0 when just @pages are charged to the user; leaves the soft limit as it was. */
int charge_probe_check(struct charge_probe *probe, long pages, struct reason *why);

/*
 * A ring that costs its user one page, by a region of memory registered with it. The page is
 * given back after the buffers: with it, a ring that was closed has let go of everything, which
 * happens later and shows in nothing else. Returns 0 or -errno.
 */
int charge_ring_init(struct io_uring *ring);

/* The soft limit of locked memory for this process, pages. */
void charge_set_limit(unsigned long pages);

#endif
