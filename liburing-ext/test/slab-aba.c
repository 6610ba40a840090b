/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * The race that the counter beside a slab's top is for, made to happen: between the load
 * and the compare of a get or a put, others take two slices and give the first back, so
 * that the same slice is on top again with another one below.
 */
#include <stdatomic.h>

static void others_run(void);

#undef atomic_compare_exchange_weak_explicit
#define atomic_compare_exchange_weak_explicit(obj, want, val, ok, not_ok) \
	(others_run(), \
	 atomic_compare_exchange_strong_explicit(obj, want, val, ok, not_ok))

#include "../src/slab.c"
#include "helpers.h"

static struct io_uring_ext_slab *slab;
static char *second;
static int countdown;

static void others_run(void)
{
	char *first;

	if (--countdown)
		return;
	first = io_uring_ext_slab_get(slab);
	second = io_uring_ext_slab_get(slab);
	CHECK_EQ(io_uring_ext_slab_put(slab, first), 0);
}

int main(void)
{
	static char mem[6 * 64];
	char *held[6], *p;
	unsigned n = 0, i;

	/* In the middle of a get */
	CHECK_EQ(io_uring_ext_slab_create_mem(&slab, mem, sizeof(mem), 64, 0, 0), 0);
	countdown = 1;
	held[n++] = io_uring_ext_slab_get(slab);
	CHECK(second);
	held[n++] = second;
	/* In the middle of a put */
	second = NULL;
	p = io_uring_ext_slab_get(slab);
	countdown = 1;
	CHECK_EQ(io_uring_ext_slab_put(slab, p), 0);
	CHECK(second);
	held[n++] = second;
	/* Each of the others is handed out once */
	countdown = -1;
	while ((p = io_uring_ext_slab_get(slab))) {
		CHECK(n < 6);
		held[n++] = p;
	}
	CHECK_EQ(n, 6);
	for (n = 0; n < 6; n++) {
		for (i = 0; i < n; i++)
			CHECK(held[i] != held[n]);
		CHECK_EQ(io_uring_ext_slab_put(slab, held[n]), 0);
	}
	CHECK_EQ(io_uring_ext_slab_destroy(slab), 0);
	return 0;
}
