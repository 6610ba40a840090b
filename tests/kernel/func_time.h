/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How long the kernel is between two places, by its own events: from the entry of one function to
 * the return of another, or of the same. In ns of a guest of "qemu -icount". The events take some
 * instructions themselves. Needs root and KPROBE_EVENTS; one pair at a time.
 */
#ifndef TESTS_KERNEL_FUNC_TIME_H
#define TESTS_KERNEL_FUNC_TIME_H

#include "util.h"

int func_time_open(const char *entry, const char *returned, struct reason *why);
void func_time_start(void);
/* From the first event since then to the last. Ends the program if there were not both. */
uint64_t func_time_stop(void);

#endif
