/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Bytes that say where they belong.
 *
 * The byte at position p of the pattern with a seed is a function of both, so data that comes
 * from another place, or from an earlier transfer, differs. Positions count from wherever the
 * caller likes (a buffer's start), and need no alignment.
 */
#ifndef TESTS_KERNEL_PATTERN_H
#define TESTS_KERNEL_PATTERN_H

#include <stddef.h>
#include <stdint.h>

void pattern_fill(void *dst, size_t len, uint64_t pos, uint64_t seed);
/* The offset of the first byte that differs, or @len when all are right. */
size_t pattern_check(const void *src, size_t len, uint64_t pos, uint64_t seed);
uint8_t pattern_byte(uint64_t pos, uint64_t seed);

#endif
