/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How many objects are allocated from the slab caches that hold what io_uring charges to the
 * cgroup of its user: kmalloc-cg-*, and the nodes of xarrays. The counts are exact only when the
 * kernel was booted with slab_debug=F for them, as objects are not kept in caches of the CPUs
 * then. Also how many pages of kernel memory are charged to the process's cgroup, roughly.
 */
#ifndef TESTS_KERNEL_SLABS_H
#define TESTS_KERNEL_SLABS_H

#include "util.h"

#define SLABS_MAX	32

struct slabs {
	unsigned long objects[SLABS_MAX];
	unsigned long pages;
};

/* Puts the process into a cgroup of its own. 0, or -1 with @why when counts would not be exact. */
int slabs_open(struct reason *why);
void slabs_read(struct slabs *now);
/* 0, or -1 with @why if there is more than before: waits for what is freed later. */
int slabs_same(const struct slabs *before, struct reason *why);

#endif
