/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/* Removal of a region with a tag: the signal comes when the last request is complete. */
#include "helpers.h"
#include "lib.h"

#define TAG	0xfeedbeefULL

static struct io_uring_ext_error err;

struct side {
	struct io_uring ring;
	struct io_uring_ext_ring *r;
	int pipe[2];
};

static void open_side(struct side *s, struct io_uring_ext_pool *pool)
{
	t_ring(&s->ring, 8, 0);
	CHECK_EQ(pipe(s->pipe), 0);
	CHECK_OK(io_uring_ext_ring_attach(&s->r, pool, &s->ring, 0, &err), err);
}

static void close_side(struct side *s)
{
	CHECK_EQ(io_uring_ext_ring_detach(s->r), 0);
	io_uring_queue_exit(&s->ring);
	close(s->pipe[0]);
	close(s->pipe[1]);
}

/* A read from an empty pipe stays in flight. */
static void start_read(struct side *s, char *p, __u64 data)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&s->ring);

	CHECK_EQ(io_uring_ext_prep_read(s->r, sqe, s->pipe[0], p, 16, 0), 1);
	sqe->user_data = data;
	CHECK_EQ(io_uring_submit(&s->ring), 1);
}

static void finish_read(struct side *s)
{
	CHECK_EQ(write(s->pipe[1], "0123456789abcdef", 16), 16);
}

static struct io_uring_ext_pool *pool_with(char *mem, size_t len, __u32 flags)
{
	struct io_uring_ext_pool_params p = { .nr_slots = 8, .max_buffer = MiB,
					      .flags = flags };
	struct io_uring_ext_region region = { .base = mem, .len = len, .page_size = 4096,
					      .tag = TAG };
	struct io_uring_ext_pool *pool;

	CHECK_OK(io_uring_ext_pool_create(&pool, &p, &err), err);
	CHECK_EQ(io_uring_ext_pool_add(pool, &region, &err), 0);
	region.base = mem + len;
	CHECK_EQ(io_uring_ext_pool_add(pool, &region, &err), -EEXIST);
	return pool;
}

/* Two rings, two slots, one request in flight on each ring. */
static void check_two_rings(char *mem)
{
	struct io_uring_ext_pool *pool = pool_with(mem, 2 * MiB, 0);
	struct io_uring_ext_region_info info;
	struct side a, b;
	int i, last = 0;

	open_side(&a, pool);
	open_side(&b, pool);
	start_read(&a, mem, 1);
	start_read(&b, mem + MiB, 2);
	CHECK_EQ(io_uring_ext_pool_region_info(pool, 0, &info), 0);
	CHECK_EQ(info.rings, 2);
	CHECK_EQ(info.registered, 1);
	CHECK_EQ(io_uring_ext_ring_signal(a.r, TAG), -ENOENT);

	CHECK_EQ(io_uring_ext_pool_remove(pool, 0), 2);
	CHECK_EQ(io_uring_ext_ring_sync(a.r, &err), 0);
	CHECK_EQ(io_uring_ext_ring_sync(b.r, &err), 0);
	CHECK_EQ(io_uring_ext_pool_region_info(pool, 0, &info), 0);
	CHECK_EQ(info.state, IO_URING_EXT_REGION_LEAVING);
	CHECK_EQ(info.rings, 0);
	CHECK_EQ(info.signals, 4);

	/* The slots without a request signal at once, the others not */
	CHECK_EQ(t_wait_tag(&a.ring, 2000), TAG);
	CHECK_EQ(io_uring_ext_ring_signal(a.r, TAG), 0);
	CHECK_EQ(t_wait_tag(&b.ring, 2000), TAG);
	CHECK_EQ(io_uring_ext_ring_signal(b.r, TAG), 0);
	CHECK_EQ(t_wait_tag(&a.ring, 100), 0);
	CHECK_EQ(t_wait_tag(&b.ring, 100), 0);

	finish_read(&a);
	finish_read(&b);
	for (i = 0; i < 4; i++) {
		struct side *s = i < 2 ? &a : &b;
		__u64 data = t_wait_tag(&s->ring, 5000);

		if (data != TAG) {
			CHECK_EQ(data, i < 2 ? 1 : 2);
			continue;
		}
		CHECK_EQ(last, 0);
		last = io_uring_ext_ring_signal(s->r, TAG);
	}
	CHECK_EQ(last, 1);
	CHECK_EQ(io_uring_ext_ring_signal(b.r, TAG), -ENOENT);
	CHECK_EQ(io_uring_ext_pool_region_info(pool, 0, &info), -ENOENT);
	CHECK(!memcmp(mem, "0123456789abcdef", 16));
	CHECK(!memcmp(mem + MiB, "0123456789abcdef", 16));
	close_side(&a);
	close_side(&b);
	CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
}

/* Memory of a region that is leaving may be added again while requests finish. */
static void check_again(char *mem)
{
	struct io_uring_ext_pool *pool = pool_with(mem, MiB, 0);
	struct io_uring_ext_region region = { .base = mem, .len = MiB, .page_size = 4096,
					      .tag = TAG };
	struct side a;
	int i;

	open_side(&a, pool);
	start_read(&a, mem, 1);
	CHECK_EQ(io_uring_ext_pool_remove(pool, 0), 1);
	/* Its tag is still needed */
	CHECK_EQ(io_uring_ext_pool_add(pool, &region, &err), -EEXIST);
	region.tag = TAG + 1;
	CHECK_EQ(io_uring_ext_pool_add(pool, &region, &err), 1);
	CHECK_OK(io_uring_ext_ring_sync(a.r, &err), err);
	start_read(&a, mem + 64, 3);
	finish_read(&a);
	finish_read(&a);
	for (i = 0; i < 3; i++) {
		__u64 data = t_wait_tag(&a.ring, 5000);

		CHECK(data == 1 || data == 3 || data == TAG);
		if (data == TAG)
			CHECK_EQ(io_uring_ext_ring_signal(a.r, data), 1);
	}
	close_side(&a);
	CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
}

/* A ring that leaves takes its signals along. */
static void check_detach(char *mem)
{
	struct io_uring_ext_pool *pool = pool_with(mem, MiB, 0);
	struct io_uring_ext_region_info info;
	struct side a, b;

	open_side(&a, pool);
	open_side(&b, pool);
	CHECK_EQ(io_uring_ext_pool_remove(pool, 0), 2);
	CHECK_EQ(io_uring_ext_ring_sync(a.r, &err), 0);
	close_side(&b);
	CHECK_EQ(io_uring_ext_pool_region_info(pool, 0, &info), 0);
	CHECK_EQ(info.signals, 1);
	close_side(&a);
	CHECK_EQ(io_uring_ext_pool_region_info(pool, 0, &info), -ENOENT);
	CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
}

/*
 * Registration that fails in the middle, here by RLIMIT_MEMLOCK, posts tags for what is
 * taken back.  They are not signals of the region that is registered later.
 */
static void strays(void *arg)
{
	char *mem = mmap(NULL, 4 * MiB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);
	struct io_uring_ext_pool *pool = pool_with(mem, 3 * MiB, IO_URING_EXT_POOL_OPTIONAL);
	struct io_uring_ext_region other = { .base = mem + 3 * MiB, .len = 4096 };
	struct io_uring_ext_region_info info;
	struct rlimit rl;
	struct side a;
	int i, ret;

	(void)arg;
	CHECK_EQ(getrlimit(RLIMIT_MEMLOCK, &rl), 0);
	rl.rlim_cur = 2 * MiB + 64 * KiB;
	CHECK_EQ(setrlimit(RLIMIT_MEMLOCK, &rl), 0);
	open_side(&a, pool);
	CHECK_EQ(err.err, -ENOMEM);
	CHECK_EQ(err.done, 0);
	CHECK_EQ(err.entry, 2);
	/* Two slots were taken back; now all three can be had */
	rl.rlim_cur = rl.rlim_max;
	CHECK_EQ(setrlimit(RLIMIT_MEMLOCK, &rl), 0);
	CHECK_EQ(io_uring_ext_pool_add(pool, &other, &err), 1);
	CHECK_OK(io_uring_ext_ring_sync(a.r, &err), err);
	CHECK_EQ(io_uring_ext_pool_region_info(pool, 0, &info), 0);
	CHECK_EQ(info.registered, 1);
	start_read(&a, mem, 1);
	CHECK_EQ(io_uring_ext_pool_remove(pool, 0), 1);
	CHECK_EQ(io_uring_ext_ring_sync(a.r, &err), 0);
	/* Two strays, two slots that were idle; the third is in use */
	for (i = 0; i < 4; i++) {
		CHECK_EQ(t_wait_tag(&a.ring, 2000), TAG);
		CHECK_EQ(io_uring_ext_ring_signal(a.r, TAG), 0);
	}
	CHECK_EQ(t_wait_tag(&a.ring, 100), 0);
	finish_read(&a);
	for (i = 0, ret = 0; i < 2; i++)
		if (t_wait_tag(&a.ring, 5000) == TAG)
			ret += io_uring_ext_ring_signal(a.r, TAG);
	CHECK_EQ(ret, 1);
	CHECK_EQ(io_uring_ext_ring_signal(a.r, TAG), -ENOENT);
	close_side(&a);
	CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
}

/*
 * Regions that could not be registered, and were tried again, leave nothing behind in what
 * the ring keeps for signals: none is to come.
 */
static void check_never_registered(char *mem)
{
	struct io_uring_ext_pool_params p = { .flags = IO_URING_EXT_POOL_OPTIONAL };
	struct io_uring_ext_region good = { .base = mem, .len = 4096 };
	struct io_uring_ext_region bad = { .base = mem + MiB, .len = MiB };
	struct io_uring_ext_pool *pool;
	struct io_uring_ext_ring *r;
	struct io_uring ring;
	int i, id, other;

	CHECK_EQ(mprotect(bad.base, bad.len, PROT_NONE), 0);
	CHECK_OK(io_uring_ext_pool_create(&pool, &p, &err), err);
	t_ring(&ring, 4, 0);
	CHECK_OK(io_uring_ext_ring_attach(&r, pool, &ring, 0, &err), err);
	for (i = 0; i < 3; i++) {
		bad.tag = TAG + i;
		id = io_uring_ext_pool_add(pool, &bad, &err);
		CHECK_OK(id, err);
		CHECK_EQ(io_uring_ext_ring_sync(r, &err), 0);
		CHECK_EQ(err.err, -EFAULT);
		other = io_uring_ext_pool_add(pool, &good, &err);
		CHECK_OK(other, err);
		CHECK_EQ(io_uring_ext_ring_sync(r, &err), 0);
		CHECK_EQ(err.err, -EFAULT);
		CHECK_EQ(io_uring_ext_pool_remove(pool, id), 1);
		CHECK_EQ(io_uring_ext_pool_remove(pool, other), 1);
		CHECK_EQ(io_uring_ext_ring_sync(r, &err), 2);
		CHECK_EQ(r->nr_waits, 0);
	}
	CHECK_EQ(io_uring_ext_ring_detach(r), 0);
	CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
	io_uring_queue_exit(&ring);
	CHECK_EQ(mprotect(bad.base, bad.len, PROT_READ | PROT_WRITE), 0);
}

int main(void)
{
	char *mem = mmap(NULL, 4 * MiB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);

	CHECK(mem != MAP_FAILED);
	check_two_rings(mem);
	check_again(mem);
	check_detach(mem);
	check_never_registered(mem);
	/* To the byte: it takes a user of whom nothing else is charged */
	if (t_is_root())
		CHECK_EQ(t_as_nobody(8 * MiB, strays, NULL), 0);
	t_no_pins();
	return 0;
}
