/* SPDX-License-Identifier: GPL-2.0 */
/* The cases of regbuf_errors, and what each of them has to work with. */
#ifndef TESTS_KERNEL_REGBUF_ERRORS_H
#define TESTS_KERNEL_REGBUF_ERRORS_H

#include "bad_memory.h"
#include "layouts.h"
#include "uring.h"

#define PAGE		(4 * KIB)
#define SIZE		BAD_MEMORY_SIZE
#define SLOTS		4

enum kernel { STOCK, PATCHED };

extern enum kernel kernel;

/* What a case may use. Rings are new for each, charged to the user, who has nothing else. */
struct env {
	struct io_uring ring;		/* no buffers */
	struct io_uring full;		/* SLOTS buffers of a page, in the last slot none */
	struct iovec good;
	struct memory thp;
	struct iovec bad;		/* of the case's kind */
	int file;
};

struct test_case {
	const char *name;
	int (*run)(struct env *env);
	int expected;			/* what @run returns */
	enum bad_memory memory;		/* made for the case where has_memory */
	bool has_memory;
	bool changes;			/* what is registered then is not what it was */
	/* What is meant to differ: the result on the patched kernel. */
	bool differs;
	int patched;
};

extern const struct test_case test_cases[];
extern const size_t nr_test_cases;

#endif
