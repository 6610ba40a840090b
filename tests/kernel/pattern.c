// SPDX-License-Identifier: GPL-2.0
#include <string.h>

#include "pattern.h"

/*
 * A word of eight bytes for each eight positions. Every step maps different values to different
 * values, so two positions never share a word; between them the steps carry each bit of position
 * and seed into each byte.
 */
static uint64_t pattern_word(uint64_t index, uint64_t seed)
{
	uint64_t x = index + seed * 0xd6e8feb86659fd93ULL;

	x = (x ^ (x >> 32)) * 0x9e3779b97f4a7c15ULL;
	return x ^ (x >> 32);
}

uint8_t pattern_byte(uint64_t pos, uint64_t seed)
{
	uint64_t word = pattern_word(pos / 8, seed);
	uint8_t bytes[8];

	memcpy(bytes, &word, 8);
	return bytes[pos % 8];
}

void pattern_fill(void *dst, size_t len, uint64_t pos, uint64_t seed)
{
	uint8_t *p = dst, *end = p + len;
	uint64_t index;

	for (; p < end && pos % 8; p++, pos++)
		*p = pattern_byte(pos, seed);
	for (index = pos / 8; end - p >= 8; p += 8, index++) {
		uint64_t word = pattern_word(index, seed);

		memcpy(p, &word, 8);
	}
	for (pos = index * 8; p < end; p++, pos++)
		*p = pattern_byte(pos, seed);
}

size_t pattern_check(const void *src, size_t len, uint64_t pos, uint64_t seed)
{
	const uint8_t *start = src, *p = start, *end = p + len;
	uint64_t index;

	for (; p < end && pos % 8; p++, pos++)
		if (*p != pattern_byte(pos, seed))
			return (size_t)(p - start);
	for (index = pos / 8; end - p >= 8; p += 8, index++) {
		uint64_t word = pattern_word(index, seed);

		if (memcmp(p, &word, 8))
			break;
	}
	for (pos = index * 8; p < end; p++, pos++)
		if (*p != pattern_byte(pos, seed))
			return (size_t)(p - start);
	return len;
}
