/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the fuzzer gives, taken from the front or from the back, so that what is inserted into one
 * part does not shift the other. Behind its end are zeroes.
 */
#ifndef FUZZ_PURE_INPUT_H
#define FUZZ_PURE_INPUT_H

#include "kernel.h"

struct input {
	const u8 *data;
	size_t size;
};

static inline u8 input_u8(struct input *in)
{
	if (!in->size)
		return 0;
	in->size--;
	return *in->data++;
}

static inline u8 input_back_u8(struct input *in)
{
	return in->size ? in->data[--in->size] : 0;
}

static inline u16 input_u16(struct input *in)
{
	u16 low = input_u8(in);

	return (u16)(low | input_u8(in) << 8);
}

static inline u64 input_u64(struct input *in, unsigned int bytes)
{
	u64 value = 0;

	while (bytes--)
		value = value << 8 | input_u8(in);
	return value;
}

static inline u64 input_back_u64(struct input *in, unsigned int bytes)
{
	u64 value = 0;

	while (bytes--)
		value = value << 8 | input_back_u8(in);
	return value;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

#endif
