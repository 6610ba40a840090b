/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/* Slabs in one thread: every slice once, none across a boundary, misuse caught. */
#include "helpers.h"

static char *mem;

static int cmp(const void *a, const void *b)
{
	const char *x = *(char *const *)a, *y = *(char *const *)b;

	return x < y ? -1 : x > y;
}

/* All slices of a slab are disjoint, inside, and within their boundaries. */
static void check_slices(struct io_uring_ext_slab *slab, char *base, size_t len,
			 size_t slice, uintptr_t origin, size_t boundary)
{
	struct io_uring_ext_slab_stats st;
	char **got, *p;
	size_t i;

	CHECK_EQ(io_uring_ext_slab_stats(slab, &st), 0);
	CHECK_EQ(st.slice, slice);
	CHECK_EQ(st.wasted, len - st.slices * slice);
	got = calloc(st.slices, sizeof(*got));
	for (i = 0; i < st.slices; i++) {
		got[i] = p = io_uring_ext_slab_get(slab);
		CHECK(p);
		CHECK(p >= base && p + slice <= base + len);
		CHECK_EQ(((uintptr_t)p - origin) / boundary,
			 ((uintptr_t)p + slice - 1 - origin) / boundary);
	}
	CHECK(!io_uring_ext_slab_get(slab));
	CHECK_EQ(io_uring_ext_slab_destroy(slab), -EBUSY);
	CHECK_EQ(io_uring_ext_slab_stats(slab, &st), 0);
	CHECK_EQ(st.in_use, st.slices);
	CHECK_EQ(st.empty, 1);
	qsort(got, st.slices, sizeof(*got), cmp);
	for (i = 1; i < st.slices; i++)
		CHECK(got[i - 1] + slice <= got[i]);
	/* Back by any address inside */
	for (i = 0; i < st.slices; i++)
		CHECK_EQ(io_uring_ext_slab_put(slab, got[i] + i % slice), 0);
	CHECK_EQ(io_uring_ext_slab_stats(slab, &st), 0);
	CHECK_EQ(st.in_use, 0);
	free(got);
}

static void check_shapes(void)
{
	static const size_t slices[] = { 1, 512, 1000, 4096, 4097, 65536, 100000 };
	static const size_t bounds[] = { 0, 65536, 128 * KiB, MiB };
	struct io_uring_ext_slab *slab;
	unsigned i, j;

	for (i = 0; i < 7; i++)
		for (j = 0; j < 4; j++) {
			size_t len = slices[i] < 512 ? 70000 : 3 * MiB + 123;
			int ret = io_uring_ext_slab_create_mem(&slab, mem + 77, len,
							       slices[i], bounds[j], 0);

			if (bounds[j] && slices[i] > bounds[j]) {
				CHECK_EQ(ret, -EINVAL);
				continue;
			}
			CHECK_EQ(ret, 0);
			check_slices(slab, mem + 77, len, slices[i], (uintptr_t)mem + 77,
				     bounds[j] ? bounds[j] : 1UL << 40);
			CHECK_EQ(io_uring_ext_slab_destroy(slab), 0);
		}
}

static void check_pool(void)
{
	struct io_uring_ext_pool_params p = { .nr_slots = 64, .max_buffer = 128 * KiB,
					      .flags = IO_URING_EXT_POOL_PLAIN };
	struct io_uring_ext_region region = { .base = mem + 4096, .len = MiB,
					      .page_size = 64 * KiB };
	struct io_uring_ext_slab *slab;
	struct io_uring_ext_pool *pool;
	int straddles;
	char *s;

	CHECK_EQ(io_uring_ext_pool_create(&pool, &p, NULL), 0);
	CHECK_EQ(io_uring_ext_slab_create(&slab, pool, 0, 4096, 0), -ENOENT);
	CHECK_EQ(io_uring_ext_pool_add(pool, &region, NULL), 0);
	CHECK_EQ(io_uring_ext_slab_create(&slab, pool, 0, 0, 0), -EINVAL);
	CHECK_EQ(io_uring_ext_slab_create(&slab, pool, 0, 4096, 2), -EINVAL);
	CHECK_EQ(io_uring_ext_slab_create(&slab, NULL, 0, 4096, 0), -EINVAL);
	CHECK_EQ(io_uring_ext_slab_create(&slab, pool, 0, 128 * KiB + 1, 0), -EINVAL);
	CHECK_EQ(io_uring_ext_slab_create(&slab, pool, 0, 5000, 0), 0);
	while ((s = io_uring_ext_slab_get(slab))) {
		CHECK_EQ(io_uring_ext_pool_lookup(pool, s, 5000, NULL, &straddles), 0);
		CHECK_EQ(straddles, 0);
	}
	CHECK_EQ(io_uring_ext_slab_destroy(slab), -EBUSY);
	for (s = mem + 4096; s < mem + 4096 + MiB; s++)
		if (!io_uring_ext_slab_put(slab, s))
			s += 4999;
	CHECK_EQ(io_uring_ext_slab_destroy(slab), 0);
	CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
}

/* Slices of memory that is only read: no pattern can be written there. */
static void check_readonly(void)
{
	struct io_uring_ext_pool_params p = { .flags = IO_URING_EXT_POOL_PLAIN };
	struct io_uring_ext_region region = {
		.base = mmap(NULL, 64 * KiB, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
		.len = 64 * KiB, .flags = IO_URING_EXT_REGION_READONLY,
	};
	struct io_uring_ext_slab *slab;
	struct io_uring_ext_pool *pool;

	CHECK(region.base != MAP_FAILED);
	CHECK_EQ(io_uring_ext_pool_create(&pool, &p, NULL), 0);
	/* Nothing is registered: whether the kernel knows such buffers does not matter */
	CHECK_EQ(io_uring_ext_pool_add(pool, &region, NULL), 0);
	CHECK_EQ(io_uring_ext_slab_create(&slab, pool, 0, 4096, IO_URING_EXT_SLAB_DEBUG),
		 -EINVAL);
	CHECK_EQ(io_uring_ext_slab_create(&slab, pool, 0, 4096, 0), 0);
	CHECK(io_uring_ext_slab_get(slab) == region.base);
	CHECK_EQ(io_uring_ext_slab_put(slab, region.base), 0);
	CHECK_EQ(io_uring_ext_slab_destroy(slab), 0);
	CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
	munmap(region.base, region.len);
}

static void check_debug(void)
{
	struct io_uring_ext_slab_stats st;
	struct io_uring_ext_slab *slab;
	char *a, *b, *c;

	CHECK_EQ(io_uring_ext_slab_create_mem(&slab, mem, 3 * 4096, 4096, 0,
					      IO_URING_EXT_SLAB_DEBUG), 0);
	a = io_uring_ext_slab_get(slab);
	b = io_uring_ext_slab_get(slab);
	c = io_uring_ext_slab_get(slab);
	CHECK(a && b && c && !io_uring_ext_slab_get(slab));
	CHECK_EQ(io_uring_ext_slab_put(slab, a), 0);
	CHECK_EQ(io_uring_ext_slab_put(slab, a), -EALREADY);
	CHECK_EQ(io_uring_ext_slab_put(slab, mem - 1), -EINVAL);
	CHECK_EQ(io_uring_ext_slab_put(slab, mem + 3 * 4096), -EINVAL);
	/* Use after put, at the last byte: not handed out again */
	a[4095] ^= 1;
	CHECK(!io_uring_ext_slab_get(slab));
	CHECK_EQ(io_uring_ext_slab_put(slab, b), 0);
	CHECK(io_uring_ext_slab_get(slab) == b);
	CHECK_EQ(io_uring_ext_slab_stats(slab, &st), 0);
	CHECK_EQ(st.double_puts, 1);
	CHECK_EQ(st.damaged, 1);
	CHECK_EQ(st.in_use, 2);
	CHECK_EQ(io_uring_ext_slab_put(slab, b), 0);
	CHECK_EQ(io_uring_ext_slab_put(slab, c), 0);
	CHECK_EQ(io_uring_ext_slab_destroy(slab), 0);
}

int main(void)
{
	struct io_uring_ext_slab_stats st;
	struct io_uring_ext_slab *slab;

	mem = mmap(NULL, 4 * MiB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(mem != MAP_FAILED);
	CHECK_EQ(io_uring_ext_slab_create_mem(&slab, mem, 4096, 8192, 0, 0), -EINVAL);
	CHECK_EQ(io_uring_ext_slab_create_mem(&slab, mem, 0, 1, 0, 0), -EINVAL);
	CHECK_EQ(io_uring_ext_slab_create_mem(&slab, mem, 4096, 1, 3, 0), -EINVAL);
	CHECK_EQ(io_uring_ext_slab_create_mem(&slab, mem, 1UL << 33, 1, 0, 0), -EOVERFLOW);
	CHECK_EQ(io_uring_ext_slab_create_mem(&slab, mem, 1UL << 33, 1, MiB, 0), -EOVERFLOW);
	CHECK_EQ(io_uring_ext_slab_create_mem(&slab, mem, 1UL << 34, 1, 1UL << 33, 0),
		 -EOVERFLOW);
	CHECK_EQ(io_uring_ext_slab_create_mem(&slab, mem, (1UL << 44) + 8192, 4096, 4096, 0),
		 -EOVERFLOW);
	CHECK_EQ(io_uring_ext_slab_stats(NULL, &st), -EINVAL);
	CHECK_EQ(io_uring_ext_slab_destroy(NULL), 0);
	check_shapes();
	check_pool();
	check_debug();
	check_readonly();
	return 0;
}
