/* SPDX-License-Identifier: GPL-2.0 */
/*
 * For how long this thread holds a mutex of the kernel: a watchpoint of the CPU sees each change of
 * the mutex's owner, whatever function makes it. Needs root; the kernel runs as it always does.
 *
 * The time is that of the watchpoint's clock: under icount with a shift of 0, an instruction each.
 * It contains what the watchpoint costs itself, which the shortest hold of all shows. It is for one
 * thread: where others take the mutex, too, an owner that changes is not always a hold.
 */
#ifndef TESTS_KERNEL_LOCK_WATCH_H
#define TESTS_KERNEL_LOCK_WATCH_H

#include "util.h"

struct lock_watch {
	int fd;
	void *ring;		/* of the events, in memory */
};

struct lock_holds {
	uint64_t longest, total;
	unsigned long times;
};

/* Once, before all others */
void lock_watch_init(void);

/*
 * The mutex that @call takes, of all that lie in @size bytes of the kernel's memory at @address.
 * Calls it again and again to find it. Watches it from now on, while it is switched on.
 */
int lock_watch_open(struct lock_watch *watch, uint64_t address, size_t size,
		    int (*call)(void *arg), void *arg, struct reason *why);
void lock_watch_close(struct lock_watch *watch);

int lock_watch_start(struct lock_watch *watch, struct reason *why);
/* Adds what was seen since the start, when the mutex was free as it is now. */
int lock_watch_stop(struct lock_watch *watch, struct lock_holds *holds, struct reason *why);

#endif
