/* SPDX-License-Identifier: GPL-2.0 */
/* Swap to compressed memory */
#ifndef TESTS_KERNEL_ZRAM_H
#define TESTS_KERNEL_ZRAM_H

#include "util.h"

/* @size as the kernel takes it, "64M". There is one such device. Needs root. */
int zram_swap_on(const char *size, struct reason *why);
int zram_swap_off(struct reason *why);

#endif
