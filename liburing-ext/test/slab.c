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
				     bounds[j] ? bounds[j] : ~(size_t)0);
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

static struct io_uring_ext_pool *pool_over(size_t len, size_t max_buffer)
{
	struct io_uring_ext_pool_params p = { .flags = IO_URING_EXT_POOL_PLAIN,
					      .max_buffer = max_buffer };
	struct io_uring_ext_region region = { .base = mem, .len = len, .page_size = 4096 };
	struct io_uring_ext_pool *pool;

	CHECK_EQ(io_uring_ext_pool_create(&pool, &p, NULL), 0);
	CHECK_EQ(io_uring_ext_pool_add(pool, &region, NULL), 0);
	return pool;
}

/* Memory is handed out by one slab at a time, and does not go while one hands it out. */
static void check_owner(void)
{
	struct io_uring_ext_pool *pool = pool_over(MiB, 128 * KiB);
	struct io_uring_ext_slab_params p = { .offset = 300 * KiB, .len = 200 * KiB,
					      .slice = 4096 };
	struct io_uring_ext_slab *a, *b, *c;
	char *s;

	CHECK_EQ(io_uring_ext_slab_create(&a, pool, 0, 4096, 0), 0);
	CHECK_EQ(io_uring_ext_slab_create(&b, pool, 0, 4096, 0), -EEXIST);
	CHECK(!b);
	CHECK_EQ(io_uring_ext_slab_create_part(&b, pool, 0, &p), -EEXIST);
	CHECK_EQ(io_uring_ext_pool_remove(pool, 0), -EBUSY);
	s = io_uring_ext_slab_get(a);
	CHECK(s);
	CHECK_EQ(io_uring_ext_pool_remove(pool, 0), -EBUSY);
	CHECK_EQ(io_uring_ext_slab_destroy(a), -EBUSY);
	CHECK_EQ(io_uring_ext_slab_put(a, s), 0);
	CHECK_EQ(io_uring_ext_pool_destroy(pool), -EBUSY);
	CHECK_EQ(io_uring_ext_slab_destroy(a), 0);

	/* Parts side by side; none over another */
	CHECK_EQ(io_uring_ext_slab_create_part(&a, pool, 0, &p), 0);
	p.offset = 0;
	p.len = 300 * KiB;
	CHECK_EQ(io_uring_ext_slab_create_part(&b, pool, 0, &p), 0);
	p.offset = 499 * KiB;
	CHECK_EQ(io_uring_ext_slab_create_part(&c, pool, 0, &p), -EEXIST);
	p.offset = 500 * KiB;
	p.len = 0;
	CHECK_EQ(io_uring_ext_slab_create_part(&c, pool, 0, &p), 0);
	CHECK_EQ(io_uring_ext_pool_remove(pool, 0), -EBUSY);
	while ((s = io_uring_ext_slab_get(a)))
		CHECK(s >= mem + 300 * KiB && s + 4096 <= mem + 500 * KiB);
	while ((s = io_uring_ext_slab_get(b)))
		CHECK(s >= mem && s + 4096 <= mem + 300 * KiB);
	while ((s = io_uring_ext_slab_get(c)))
		CHECK(s >= mem + 500 * KiB && s + 4096 <= mem + MiB);
	for (s = mem; s < mem + MiB; s += 4096)
		CHECK_EQ(!io_uring_ext_slab_put(a, s) + !io_uring_ext_slab_put(b, s) +
			 !io_uring_ext_slab_put(c, s), 1);
	CHECK_EQ(io_uring_ext_slab_destroy(b), 0);
	CHECK_EQ(io_uring_ext_slab_destroy(a), 0);
	CHECK_EQ(io_uring_ext_slab_destroy(c), 0);
	CHECK_EQ(io_uring_ext_pool_remove(pool, 0), 0);
	CHECK_EQ(io_uring_ext_slab_create(&a, pool, 0, 4096, 0), -ENOENT);
	CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
}

/* Parts of any kind: each slice aligned, inside, once, and within its slot. */
static void check_parts(void)
{
	static const size_t lens[] = { 0, 40000, 128 * KiB, 300 * KiB + 77 };
	static const size_t offsets[] = { 0, 77, 100 * KiB, 128 * KiB, 600 * KiB };
	static const size_t slices[] = { 512, 3000, 4096, 60000 };
	static const size_t aligns[] = { 0, 512, 4096, 65536 };
	struct io_uring_ext_slab_params p = { .flags = 0 };
	struct io_uring_ext_pool *pool = pool_over(MiB + 5000, 128 * KiB);
	struct io_uring_ext_slab_stats st;
	struct io_uring_ext_slab *slab;
	char *s, *last, *got[2100];
	unsigned i, n, made = 0;
	int straddles, ret;

	for (i = 0; i < 4 * 5 * 4 * 4; i++) {
		p.len = lens[i % 4];
		p.offset = offsets[i / 4 % 5];
		p.slice = slices[i / 20 % 4];
		p.align = aligns[i / 80];
		ret = io_uring_ext_slab_create_part(&slab, pool, 0, &p);
		if (ret == -EINVAL)	/* not one fits */
			continue;
		CHECK_EQ(ret, 0);
		made++;
		CHECK_EQ(io_uring_ext_slab_stats(slab, &st), 0);
		last = NULL;
		for (n = 0; (s = io_uring_ext_slab_get(slab)); n++) {
			CHECK(s >= mem + p.offset && s >= last);
			CHECK(s + p.slice <= mem + (p.len ? p.offset + p.len : MiB + 5000));
			CHECK_EQ((uintptr_t)s & (p.align ? p.align - 1 : 0), 0);
			CHECK_EQ(io_uring_ext_pool_lookup(pool, s, p.slice, NULL,
							  &straddles), 0);
			CHECK_EQ(straddles, 0);
			last = s + p.slice;
			got[n] = s;
		}
		CHECK_EQ(n, st.slices);
		while (n--)
			CHECK_EQ(io_uring_ext_slab_put(slab, got[n] + p.slice - 1), 0);
		CHECK_EQ(io_uring_ext_slab_destroy(slab), 0);
	}
	CHECK(made > 200);
	p = (struct io_uring_ext_slab_params){ .slice = 4096, .align = 3 };
	CHECK_EQ(io_uring_ext_slab_create_part(&slab, pool, 0, &p), -EINVAL);
	p.align = 256 * KiB;
	CHECK_EQ(io_uring_ext_slab_create_part(&slab, pool, 0, &p), -EINVAL);
	p.align = 0;
	p.offset = MiB + 5000;
	CHECK_EQ(io_uring_ext_slab_create_part(&slab, pool, 0, &p), -EINVAL);
	p.offset = 1;
	p.len = MiB + 5000;
	CHECK_EQ(io_uring_ext_slab_create_part(&slab, pool, 0, &p), -EINVAL);
	p.len = 0;
	p.resv[3] = 1;
	CHECK_EQ(io_uring_ext_slab_create_part(&slab, pool, 0, &p), -EINVAL);
	CHECK_EQ(io_uring_ext_slab_create_part(&slab, pool, 0, NULL), -EINVAL);
	CHECK(!slab);
	CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
}

static void *put_later(void *arg)
{
	usleep(50000);
	CHECK_EQ(io_uring_ext_slab_put(arg, mem), 0);
	return NULL;
}

/* Waiting for a slice, and for all of them. */
static void check_wait(void)
{
	struct io_uring_ext_slab *slab;
	pthread_t tid;
	void *s, *t;

	CHECK_EQ(io_uring_ext_slab_create_mem(&slab, mem, 2 * 4096, 4096, 0, 0), 0);
	CHECK_EQ(io_uring_ext_slab_get_wait(slab, &s, 0), 0);
	CHECK(s == mem);
	CHECK_EQ(io_uring_ext_slab_get_wait(slab, &t, 0), 0);
	CHECK(t == mem + 4096);
	CHECK_EQ(io_uring_ext_slab_get_wait(slab, &s, 1000000), -ETIMEDOUT);
	CHECK(!s);
	CHECK_EQ(pthread_create(&tid, NULL, put_later, slab), 0);
	CHECK_EQ(io_uring_ext_slab_get_wait(slab, &s, IO_URING_EXT_UNLIMITED), 0);
	CHECK(s == mem);
	pthread_join(tid, NULL);
	CHECK_EQ(io_uring_ext_slab_put(slab, t), 0);
	CHECK_EQ(io_uring_ext_slab_drain(slab, 1000000), -ETIMEDOUT);
	CHECK(!io_uring_ext_slab_get(slab));
	CHECK_EQ(io_uring_ext_slab_get_wait(slab, &t, IO_URING_EXT_UNLIMITED), -ESHUTDOWN);
	CHECK_EQ(pthread_create(&tid, NULL, put_later, slab), 0);
	CHECK_EQ(io_uring_ext_slab_drain(slab, IO_URING_EXT_UNLIMITED), 0);
	pthread_join(tid, NULL);
	CHECK_EQ(io_uring_ext_slab_destroy(slab), 0);
}

static void check_cache(unsigned flags)
{
	struct io_uring_ext_slab_cache *a, *b;
	struct io_uring_ext_slab_stats st;
	struct io_uring_ext_slab *slab;
	char *s[16];
	unsigned i;

	CHECK_EQ(io_uring_ext_slab_create_mem(&slab, mem, 16 * 4096, 4096, 0, flags), 0);
	CHECK_EQ(io_uring_ext_slab_cache_create(&a, slab, 1U << 20), -EINVAL);
	CHECK(!a);
	CHECK_EQ(io_uring_ext_slab_cache_create(&a, NULL, 0), -EINVAL);
	CHECK_EQ(io_uring_ext_slab_cache_create(&a, slab, 8), 0);
	CHECK_EQ(io_uring_ext_slab_cache_create(&b, slab, 0), 0);
	CHECK_EQ(io_uring_ext_slab_destroy(slab), -EBUSY);
	for (i = 0; i < 16; i++) {
		s[i] = io_uring_ext_slab_cache_get(a);
		CHECK(s[i]);
		memset(s[i], i, 4096);
	}
	CHECK(!io_uring_ext_slab_cache_get(a));
	CHECK(!io_uring_ext_slab_cache_get(b));
	for (i = 0; i < 16; i++)
		CHECK(s[i][0] == (char)i && s[i][4095] == (char)i);
	/* More than it keeps go back, and to others */
	for (i = 0; i < 16; i++)
		CHECK_EQ(io_uring_ext_slab_cache_put(a, s[i]), 0);
	CHECK_EQ(io_uring_ext_slab_cache_put(a, mem - 1), -EINVAL);
	CHECK_EQ(io_uring_ext_slab_cache_put(a, mem + 16 * 4096), -EINVAL);
	/* Back by any address inside; and what comes out is the slice */
	s[0] = io_uring_ext_slab_cache_get(a);
	CHECK(s[0]);
	CHECK_EQ(io_uring_ext_slab_cache_put(a, s[0] + 4000), 0);
	CHECK(io_uring_ext_slab_cache_get(a) == s[0]);
	CHECK_EQ(io_uring_ext_slab_cache_put(a, s[0]), 0);
	CHECK_EQ(io_uring_ext_slab_stats(slab, &st), 0);
	CHECK(st.in_use <= 8);
	s[0] = io_uring_ext_slab_cache_get(b);
	CHECK(s[0]);
	CHECK_EQ(io_uring_ext_slab_cache_put(b, s[0]), 0);
	/* A slab that is drained gets all back as soon as the caches are used, or gone */
	CHECK_EQ(io_uring_ext_slab_drain(slab, 0), flags ? 0 : -ETIMEDOUT);
	CHECK(!io_uring_ext_slab_cache_get(a));
	io_uring_ext_slab_cache_destroy(a);
	io_uring_ext_slab_cache_destroy(b);
	io_uring_ext_slab_cache_destroy(NULL);
	CHECK_EQ(io_uring_ext_slab_drain(slab, 0), 0);
	CHECK_EQ(io_uring_ext_slab_destroy(slab), 0);
	CHECK(!io_uring_ext_slab_cache_get(NULL));
	CHECK_EQ(io_uring_ext_slab_cache_put(NULL, mem), -EINVAL);
}

/* What lies between slices is no slice, whoever takes it back. */
static void check_gap(void)
{
	struct io_uring_ext_slab_cache *cache;
	struct io_uring_ext_slab *slab;
	char *s;

	CHECK_EQ(io_uring_ext_slab_create_mem(&slab, mem, 3 * 4096, 3000, 4096, 0), 0);
	CHECK_EQ(io_uring_ext_slab_cache_create(&cache, slab, 0), 0);
	s = io_uring_ext_slab_cache_get(cache);
	CHECK(s);
	CHECK_EQ(io_uring_ext_slab_cache_put(cache, s + 3000), -EINVAL);
	CHECK_EQ(io_uring_ext_slab_put(slab, s + 3000), -EINVAL);
	CHECK_EQ(io_uring_ext_slab_cache_put(cache, s + 2999), 0);
	io_uring_ext_slab_cache_destroy(cache);
	CHECK_EQ(io_uring_ext_slab_destroy(slab), 0);
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

static void check_too_many(void)
{
	struct io_uring_ext_slab *slab;

	CHECK_EQ(io_uring_ext_slab_create_mem(&slab, mem, BIG(1ULL << 33), 1, 0, 0), -EOVERFLOW);
	CHECK_EQ(io_uring_ext_slab_create_mem(&slab, mem, BIG(1ULL << 33), 1, MiB, 0), -EOVERFLOW);
	CHECK_EQ(io_uring_ext_slab_create_mem(&slab, mem, BIG(1ULL << 34), 1, BIG(1ULL << 33), 0),
		 -EOVERFLOW);
	CHECK_EQ(io_uring_ext_slab_create_mem(&slab, mem, BIG(1ULL << 44) + 8192, 4096, 4096, 0),
		 -EOVERFLOW);
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
	if (IS_64BIT)
		check_too_many();
	CHECK_EQ(io_uring_ext_slab_stats(NULL, &st), -EINVAL);
	CHECK_EQ(io_uring_ext_slab_destroy(NULL), 0);
	check_shapes();
	check_pool();
	check_owner();
	check_parts();
	check_wait();
	check_cache(0);
	check_cache(IO_URING_EXT_SLAB_DEBUG);
	check_gap();
	check_debug();
	check_readonly();
	return 0;
}
