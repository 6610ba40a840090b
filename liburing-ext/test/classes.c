/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * Size classes: each slice is of the smallest class that has one, nothing is handed out
 * twice, all that comes back can be had again.
 */
#include "helpers.h"

#define LEN	(4 * MiB)
#define SLOT	(256 * KiB)

static char *mem;
static struct io_uring_ext_pool *pool;
static unsigned char owner[LEN / 512];

static const struct io_uring_ext_class three[] = {
	{ .slice = 4096, .len = MiB }, { .slice = 16 * KiB }, { .slice = 128 * KiB },
};

static struct io_uring_ext_classes *make(const struct io_uring_ext_class *of, unsigned nr,
					 __u64 offset, __u32 flags)
{
	struct io_uring_ext_classes_params p = { .classes = of, .nr = nr, .offset = offset,
						 .align = 4096, .flags = flags };
	struct io_uring_ext_classes *c;

	CHECK_EQ(io_uring_ext_classes_create(&c, pool, 0, &p), 0);
	return c;
}

static struct io_uring_ext_slab_stats stats_of(struct io_uring_ext_classes *c, unsigned i)
{
	struct io_uring_ext_slab_stats st;

	CHECK_EQ(io_uring_ext_slab_stats(io_uring_ext_classes_slab(c, i), &st), 0);
	return st;
}

/* Which class is it of, by what its slab counts? */
static unsigned in_use(struct io_uring_ext_classes *c)
{
	return stats_of(c, 0).in_use + 1000 * stats_of(c, 1).in_use +
	       1000000 * stats_of(c, 2).in_use;
}

static void check_sizes(void)
{
	static const struct {
		size_t len;
		unsigned class;
	} cases[] = {
		{ 0, 1 }, { 1, 1 }, { 4096, 1 }, { 4097, 1000 }, { 16 * KiB, 1000 },
		{ 16 * KiB + 1, 1000000 }, { 128 * KiB, 1000000 },
	};
	struct io_uring_ext_classes *c = make(three, 3, 0, 0);
	struct io_uring_ext_slab_stats st;
	unsigned i;
	void *p;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		p = io_uring_ext_classes_get(c, cases[i].len);
		CHECK(p);
		CHECK_EQ((uintptr_t)p % 4096, 0);
		CHECK_EQ(in_use(c), cases[i].class);
		CHECK_EQ(io_uring_ext_classes_destroy(c), -EBUSY);
		CHECK_EQ(io_uring_ext_classes_put(c, p), 0);
		CHECK_EQ(in_use(c), 0);
	}
	CHECK(!io_uring_ext_classes_get(c, 128 * KiB + 1));
	CHECK_EQ(io_uring_ext_classes_get_wait(c, 128 * KiB + 1, &p, 0), -EINVAL);
	/* The rest in equal shares: 1.5 MiB each */
	st = stats_of(c, 0);
	CHECK_EQ(st.slices, 256);
	st = stats_of(c, 1);
	CHECK_EQ(st.slices, 96);
	st = stats_of(c, 2);
	CHECK_EQ(st.slices, 12);
	CHECK(!io_uring_ext_classes_slab(c, 3));
	CHECK_EQ(io_uring_ext_classes_put(c, mem - 1), -EINVAL);
	CHECK_EQ(io_uring_ext_classes_put(c, mem + LEN), -EINVAL);
	CHECK_EQ(io_uring_ext_classes_destroy(c), 0);
}

static void own(char *p, size_t len)
{
	size_t i;

	CHECK(p >= mem && p + len <= mem + LEN);
	for (i = (p - mem) / 512; i < (p - mem + len) / 512; i++)
		CHECK(!owner[i]++);
}

/* Until there is none: 4096 bytes come from the larger classes too, and never twice. */
static void check_all(void)
{
	struct io_uring_ext_classes *c = make(three, 3, 0, 0);
	char *got[500], *p;
	unsigned n = 0, i, turn;

	for (turn = 0; turn < 2; turn++) {
		memset(owner, 0, sizeof(owner));
		for (n = 0; (p = io_uring_ext_classes_get(c, 4096)); n++) {
			own(p, n < 256 ? 4096 : n < 352 ? 16 * KiB : 128 * KiB);
			got[n] = p;
		}
		CHECK_EQ(n, 256 + 96 + 12);
		/* Back by any address inside, and again */
		for (i = 0; i < n; i++)
			CHECK_EQ(io_uring_ext_classes_put(c, got[i] + 4095), 0);
		CHECK_EQ(in_use(c), 0);
	}
	CHECK_EQ(io_uring_ext_classes_destroy(c), 0);
}

static void *put_later(void *arg)
{
	usleep(50000);
	/* The only one of the second class */
	CHECK_EQ(io_uring_ext_classes_put(arg, mem + 4096), 0);
	return NULL;
}

static void check_wait(void)
{
	static const struct io_uring_ext_class two[] = {
		{ .slice = 4096, .len = 4096 }, { .slice = 8192, .len = 8192 },
	};
	struct io_uring_ext_classes *c = make(two, 2, 0, 0);
	pthread_t tid;
	void *a, *b, *d;

	CHECK_EQ(io_uring_ext_classes_get_wait(c, 1, &a, 0), 0);
	CHECK_EQ(io_uring_ext_classes_get_wait(c, 1, &b, 0), 0);
	CHECK(a == mem && b == mem + 4096);
	CHECK_EQ(io_uring_ext_classes_get_wait(c, 1, &d, 1000000), -ETIMEDOUT);
	CHECK(!d);
	CHECK_EQ(pthread_create(&tid, NULL, put_later, c), 0);
	CHECK_EQ(io_uring_ext_classes_get_wait(c, 5000, &d, IO_URING_EXT_UNLIMITED), 0);
	CHECK(d == b);
	pthread_join(tid, NULL);
	/* All are closed, also those after the one that is waited for in vain */
	CHECK_EQ(io_uring_ext_classes_drain(c, 1000000), -ETIMEDOUT);
	CHECK_EQ(io_uring_ext_classes_put(c, a), 0);
	CHECK(!io_uring_ext_classes_get(c, 1));
	CHECK_EQ(io_uring_ext_classes_get_wait(c, 5000, &a, IO_URING_EXT_UNLIMITED), -ESHUTDOWN);
	CHECK_EQ(pthread_create(&tid, NULL, put_later, c), 0);
	CHECK_EQ(io_uring_ext_classes_drain(c, IO_URING_EXT_UNLIMITED), 0);
	pthread_join(tid, NULL);
	CHECK_EQ(io_uring_ext_classes_destroy(c), 0);
}

static int create(struct io_uring_ext_classes_params *p)
{
	struct io_uring_ext_classes *c = (void *)mem;
	int ret = io_uring_ext_classes_create(&c, pool, 0, p);

	CHECK(!c == !!ret);
	if (c)
		CHECK_EQ(io_uring_ext_classes_destroy(c), 0);
	return ret;
}

static void check_args(void)
{
	struct io_uring_ext_class of[40] = { { 0 } };
	struct io_uring_ext_classes_params p = { .classes = of, .nr = 0 };
	struct io_uring_ext_slab *slab;
	unsigned i;

	CHECK_EQ(create(NULL), -EINVAL);
	CHECK_EQ(create(&p), -EINVAL);
	p.nr = 2;
	CHECK_EQ(create(&p), -EINVAL);
	of[0].slice = of[1].slice = 4096;
	CHECK_EQ(create(&p), -EINVAL);
	of[1].slice = 8192;
	CHECK_EQ(create(&p), 0);
	/* Shares are of what is behind the offset */
	p.offset = LEN - 3 * 8192;
	CHECK_EQ(create(&p), 0);
	p.offset = LEN - 2 * 8192 + 512;
	CHECK_EQ(create(&p), -EINVAL);
	p.offset = 0;
	p.classes = NULL;
	CHECK_EQ(create(&p), -EINVAL);
	p.classes = of;
	p.flags = 1U << 31;
	CHECK_EQ(create(&p), -EINVAL);
	p.flags = 0;
	p.resv[3] = 1;
	CHECK_EQ(create(&p), -EINVAL);
	p.resv[3] = 0;
	p.align = 3;
	CHECK_EQ(create(&p), -EINVAL);
	p.align = 0;
	/* What they ask for together */
	of[0].len = LEN - 8192;
	of[1].len = 8192;
	CHECK_EQ(create(&p), 0);
	p.offset = 512;
	CHECK_EQ(create(&p), -EINVAL);
	p.offset = LEN;
	CHECK_EQ(create(&p), -EINVAL);
	p.offset = ~0ULL;
	CHECK_EQ(create(&p), -EINVAL);
	p.offset = 0;
	of[0].len = LEN;
	of[1].len = 0;
	CHECK_EQ(create(&p), -EINVAL);
	of[0].len = ~0ULL;
	of[1].len = 2;
	CHECK_EQ(create(&p), -EINVAL);
	/* A slice larger than its part: none of the classes before it stays */
	of[0].len = 0;
	of[1].len = 4096;
	CHECK_EQ(create(&p), -EINVAL);
	of[1].len = 8192;
	CHECK_EQ(create(&p), 0);
	for (i = 0; i < 40; i++)
		of[i] = (struct io_uring_ext_class){ .slice = 512 * (i + 1) };
	p.nr = IO_URING_EXT_CLASSES_MAX;
	CHECK_EQ(create(&p), 0);
	p.nr++;
	CHECK_EQ(create(&p), -EINVAL);
	p.nr = 2;
	CHECK_EQ(io_uring_ext_slab_create(&slab, pool, 0, 4096, 0), 0);
	CHECK_EQ(create(&p), -EEXIST);
	CHECK_EQ(io_uring_ext_slab_destroy(slab), 0);
	CHECK_EQ(create(&p), 0);
}

/* The region is the classes' as long as they live, a cache of one of them holds them. */
static void check_owner(void)
{
	struct io_uring_ext_classes_params p = { .classes = three, .nr = 3 };
	struct io_uring_ext_classes *c = make(three, 3, 0, IO_URING_EXT_SLAB_DEBUG), *d;
	struct io_uring_ext_slab_cache *cache;
	void *s;

	CHECK_EQ(io_uring_ext_pool_remove(pool, 0), -EBUSY);
	CHECK_EQ(io_uring_ext_slab_cache_create(&cache, io_uring_ext_classes_slab(c, 2), 4), 0);
	CHECK_EQ(io_uring_ext_classes_destroy(c), -EBUSY);
	s = io_uring_ext_slab_cache_get(cache);
	CHECK_EQ(io_uring_ext_classes_put(c, s), 0);
	CHECK_EQ(io_uring_ext_classes_put(c, s), -EALREADY);
	io_uring_ext_slab_cache_destroy(cache);
	CHECK_EQ(io_uring_ext_classes_destroy(c), 0);
	CHECK_EQ(io_uring_ext_pool_remove(pool, 0), 0);
	CHECK_EQ(io_uring_ext_classes_create(&d, pool, 0, &p), -ENOENT);
}

int main(void)
{
	struct io_uring_ext_pool_params p = { .flags = IO_URING_EXT_POOL_PLAIN,
					      .max_buffer = SLOT };
	struct io_uring_ext_region region = { .len = LEN, .page_size = 4096 };

	mem = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(mem != MAP_FAILED);
	region.base = mem;
	CHECK_EQ(io_uring_ext_pool_create(&pool, &p, NULL), 0);
	CHECK_EQ(io_uring_ext_pool_add(pool, &region, NULL), 0);
	check_sizes();
	check_all();
	check_wait();
	check_args();
	check_owner();
	CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
	return 0;
}
