/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/* Pools: adding, splitting, I/O through slots, clones beside the caller's own slots. */
#include "helpers.h"

static struct io_uring_ext_error err;
static int fd;

#define FILE_SIZE	(4 * MiB)

static void *map(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	return p;
}

static struct io_uring_ext_pool *pool_of(__u32 flags, unsigned nr_slots, size_t max_buffer)
{
	struct io_uring_ext_pool_params p = {
		.flags = flags,
		.nr_slots = nr_slots,
		.max_buffer = max_buffer,
	};
	struct io_uring_ext_pool *pool;

	CHECK_OK(io_uring_ext_pool_create(&pool, &p, &err), err);
	return pool;
}

static int add(struct io_uring_ext_pool *pool, void *base, size_t len)
{
	struct io_uring_ext_region region = { .base = base, .len = len, .page_size = 4096 };

	return io_uring_ext_pool_add(pool, &region, &err);
}

/* Read through the library; 1 if it was fixed. */
static int read_at(struct io_uring *ring, struct io_uring_ext_ring *r, char *p, unsigned len,
		   size_t off)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	int fixed = io_uring_ext_prep_read(r, sqe, fd, p, len, off);

	memset(p, 0, len);
	CHECK_EQ(t_io_done(ring, r), len);
	t_check_bytes(p, len, off);
	return fixed;
}

/* 2^32 + 2 slots are not taken for 2. */
static void check_many_slots(void)
{
	static const __u32 flags[] = { 0, IO_URING_EXT_POOL_OPTIONAL };
	struct io_uring_ext_region_info info;
	struct io_uring_ext_pool *pool;
	unsigned i;

	for (i = 0; i < 2; i++) {
		pool = pool_of(flags[i], 4, 4096);
		CHECK_EQ(add(pool, (void *)BIG(1ULL << 40), BIG(1ULL << 44) + 2 * 4096),
			 flags[i] ? 0 : -ENOSPC);
		CHECK_EQ(err.err, -ENOSPC);
		CHECK(strstr(err.text, "4294967298 slots"));
		if (flags[i]) {
			CHECK_EQ(io_uring_ext_pool_region_info(pool, 0, &info), 0);
			CHECK_EQ(info.nr_slots, 0);
		}
		CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
	}
}

static void check_args(void)
{
	struct io_uring_ext_pool_params p = { .flags = 1U << 20 };
	struct io_uring_ext_region region = { .len = 0 };
	struct io_uring_ext_pool_stats stats;
	struct io_uring_ext_region_info info;
	struct io_uring_ext_pool *pool;
	struct io_uring_ext_ring *r;
	struct io_uring ring;
	char *mem = map(4 * MiB);

	CHECK_EQ(io_uring_ext_pool_create(&pool, &p, &err), -EINVAL);
	CHECK_EQ(io_uring_ext_pool_create(NULL, NULL, NULL), -EINVAL);
	p.flags = 0;
	p.resv[0] = 1;
	CHECK_EQ(io_uring_ext_pool_create(&pool, &p, &err), -EINVAL);
	p.resv[0] = 0;
	p.nr_slots = 1U << 20;
	CHECK_EQ(io_uring_ext_pool_create(&pool, &p, &err), -EINVAL);
	p.nr_slots = 4;
	p.max_buffer = 100;
	CHECK_EQ(io_uring_ext_pool_create(&pool, &p, &err), -EINVAL);
	CHECK_EQ(err.stage, IO_URING_EXT_STAGE_ARGS);

	CHECK_EQ(io_uring_ext_pool_create(&pool, NULL, NULL), 0);
	CHECK_EQ(io_uring_ext_pool_stats(pool, &stats), 0);
	CHECK_EQ(stats.regions, 0);
	CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
	CHECK_EQ(io_uring_ext_pool_destroy(NULL), 0);

	pool = pool_of(0, 4, MiB);
	CHECK_EQ(io_uring_ext_pool_add(pool, &region, &err), -EINVAL);
	CHECK_EQ(io_uring_ext_pool_add(NULL, &region, &err), -EINVAL);
	CHECK_EQ(io_uring_ext_pool_add_arena(pool, NULL, 0, &err), -EINVAL);
	region.base = mem;
	region.len = 4096;
	region.page_size = 7;
	CHECK_EQ(io_uring_ext_pool_add(pool, &region, &err), -EINVAL);
	region.page_size = 0;
	region.flags = 8;
	CHECK_EQ(io_uring_ext_pool_add(pool, &region, &err), -EINVAL);
	region.flags = 0;
	region.len = ~0UL;
	CHECK_EQ(io_uring_ext_pool_add(pool, &region, &err), -EINVAL);
	region.len = 4096;
	region.flags = IO_URING_EXT_REGION_READONLY;
	if (!(io_uring_ext_pool_caps(pool)->flags & IO_URING_EXT_CAP_READONLY)) {
		CHECK_EQ(io_uring_ext_pool_add(pool, &region, &err), -EOPNOTSUPP);
		CHECK(strstr(err.text, "read-only"));
	}

	CHECK_EQ(add(pool, mem, MiB), 0);
	CHECK_EQ(add(pool, mem + MiB - 1, 4096), -EEXIST);
	CHECK_EQ(add(pool, mem + MiB, 3 * MiB + 1), -ENOSPC);
	CHECK_EQ(err.stage, IO_URING_EXT_STAGE_SLOTS);
	if (IS_64BIT)
		check_many_slots();
	CHECK_EQ(add(pool, (void *)4096, 4096), -EFAULT);
	CHECK_EQ(err.stage, IO_URING_EXT_STAGE_REGISTER);
	CHECK_EQ(io_uring_ext_pool_remove(pool, 5), -ENOENT);
	CHECK_EQ(io_uring_ext_pool_remove(pool, -1), -ENOENT);
	CHECK_EQ(io_uring_ext_pool_remove(NULL, 0), -EINVAL);
	CHECK_EQ(io_uring_ext_pool_region_info(pool, 3, &info), -ENOENT);
	CHECK_EQ(io_uring_ext_pool_region_info(pool, 0, NULL), -EINVAL);
	CHECK_EQ(io_uring_ext_pool_stats(pool, NULL), -EINVAL);

	t_ring(&ring, 4, 0);
	CHECK_EQ(io_uring_ext_ring_attach(NULL, pool, &ring, 0, &err), -EINVAL);
	CHECK_EQ(io_uring_ext_ring_attach(&r, pool, &ring, 1U << 20, &err), -EINVAL);
	CHECK_OK(io_uring_ext_ring_attach(&r, pool, &ring, 0, &err), err);
	CHECK_EQ(io_uring_ext_pool_destroy(pool), -EBUSY);
	CHECK_EQ(io_uring_ext_ring_stats(r, NULL), -EINVAL);
	CHECK_EQ(io_uring_ext_ring_sync(NULL, &err), -EINVAL);
	CHECK_EQ(io_uring_ext_ring_index(NULL, mem, 1, NULL), -EINVAL);
	CHECK_EQ(io_uring_ext_ring_signal(r, 0), -ENOENT);
	CHECK(io_uring_ext_ring_caps(r)->flags & IO_URING_EXT_CAP_UPDATE);
	CHECK_EQ(io_uring_ext_ring_detach(r), 0);
	CHECK_EQ(io_uring_ext_ring_detach(NULL), 0);
	CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
	io_uring_queue_exit(&ring);
	munmap(mem, 4 * MiB);
}

/* The table is there from the start, for the caller's own entries too; but not for PLAIN. */
static void check_empty_pool(__u32 flags)
{
	struct io_uring_ext_pool *pool = pool_of(flags, 4, MiB);
	char *mem = map(MiB), *own = map(4096);
	struct iovec iov = { own, 4096 };
	struct io_uring_ext_ring *r;
	struct io_uring_sqe *sqe;
	struct io_uring ring;
	__u64 tag = 0;

	t_ring(&ring, 4, 0);
	CHECK_OK(io_uring_ext_ring_attach(&r, pool, &ring, 2, &err), err);
	CHECK_EQ(err.err, 0);
	if (flags & IO_URING_EXT_POOL_PLAIN) {
		CHECK_EQ(io_uring_register_buffers_update_tag(&ring, 0, &iov, &tag, 1), -ENXIO);
	} else {
		CHECK_EQ(io_uring_register_buffers_update_tag(&ring, 0, &iov, &tag, 1), 1);
		/* Above the pool's entries there are none */
		CHECK_EQ(io_uring_register_buffers_update_tag(&ring, 6, &iov, &tag, 1), -EINVAL);
		CHECK_EQ(add(pool, mem, MiB), 0);
		CHECK_OK(io_uring_ext_ring_sync(r, &err), err);
		CHECK_EQ(read_at(&ring, r, mem, 4096, 0), 1);
		sqe = io_uring_get_sqe(&ring);
		io_uring_prep_read_fixed(sqe, fd, own, 4096, 0, 0);
		CHECK_EQ(t_io(&ring), 4096);
	}
	CHECK_EQ(io_uring_ext_ring_detach(r), 0);
	CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
	io_uring_queue_exit(&ring);
	munmap(mem, MiB);
	munmap(own, 4096);
}

/* A region over several slots: each byte is fixed where it should be. */
static void check_split(__u32 flags)
{
	struct io_uring_ext_pool *pool = pool_of(flags, 16, MiB);
	struct io_uring_ext_region_info info;
	struct io_uring_ext_ring_stats stats;
	struct io_uring_ext_pool_stats ps;
	struct io_uring_ext_ring *r;
	struct io_uring ring;
	char *mem = map(6 * MiB), *base = mem + MiB + 4096;
	int straddles, id;
	unsigned slot;
	size_t fit;

	id = add(pool, base, 4 * MiB);
	CHECK_EQ(id, 0);
	t_ring(&ring, 4, 0);
	CHECK_OK(io_uring_ext_ring_attach(&r, pool, &ring, 3, &err), err);
	CHECK_EQ(io_uring_ext_pool_region_info(pool, id, &info), 0);
	CHECK(info.nr_slots >= 4 && info.nr_slots <= 5);
	CHECK_EQ(info.slot_size, MiB);
	CHECK_EQ(info.registered, 1);
	CHECK_EQ(info.rings, 1);
	CHECK_EQ(io_uring_ext_pool_stats(pool, &ps), 0);
	CHECK_EQ(ps.bytes, 4 * MiB);
	CHECK_EQ(ps.slots, info.nr_slots);
	CHECK_EQ(ps.rings, 1);
	CHECK_EQ(ps.registers, info.nr_slots);
	CHECK_EQ(ps.clones, ps.cloning ? info.nr_slots : 0);

	CHECK_EQ(io_uring_ext_ring_index(r, base, MiB, &fit), 3);
	CHECK_EQ(io_uring_ext_ring_index(r, base + MiB, MiB, &fit), 4);
	CHECK_EQ(io_uring_ext_ring_index(r, base + MiB - 100, 101, &fit), -ERANGE);
	CHECK_EQ(fit, 100);
	CHECK_EQ(io_uring_ext_ring_index(r, base - 1, 1, &fit), -ENOENT);
	CHECK_EQ(io_uring_ext_ring_index(r, base + 4 * MiB - 1, 2, &fit), -ENOENT);
	CHECK_EQ(io_uring_ext_pool_lookup(pool, base + 2 * MiB, 1, &slot, &straddles), id);
	CHECK_EQ(slot, 2);
	CHECK_EQ(straddles, 0);
	CHECK_EQ(io_uring_ext_pool_lookup(pool, base + MiB, 2 * MiB, NULL, &straddles), id);
	CHECK_EQ(straddles, 1);
	CHECK_EQ(io_uring_ext_pool_lookup(pool, mem, 1, NULL, NULL), -ENOENT);
	CHECK_EQ(io_uring_ext_pool_lookup(pool, base, ~0UL, NULL, NULL), -EINVAL);

	CHECK_EQ(read_at(&ring, r, base, 4096, 0), 1);
	CHECK_EQ(read_at(&ring, r, base + MiB - 4096, 4096, 4096), 1);
	CHECK_EQ(read_at(&ring, r, base + MiB - 4096, 8192, 8192), 0);
	CHECK_EQ(read_at(&ring, r, base + 4 * MiB - 512, 512, 512), 1);
	CHECK_EQ(read_at(&ring, r, mem, 4096, 0), 0);
	CHECK_EQ(io_uring_ext_ring_stats(r, &stats), 0);
	CHECK_EQ(stats.fixed, 3);
	CHECK_EQ(stats.plain, 2);
	CHECK_EQ(stats.plain_straddle, 1);
	CHECK_EQ(stats.plain_outside, 1);
	CHECK_EQ(stats.slots, info.nr_slots);

	CHECK_EQ(io_uring_ext_ring_detach(r), 0);
	CHECK_EQ(io_uring_ext_pool_region_info(pool, id, &info), 0);
	CHECK_EQ(info.rings, 0);
	CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
	io_uring_queue_exit(&ring);
	munmap(mem, 6 * MiB);
}

/* The caller's own entries stay, below, between and above. */
static void check_own_slots(__u32 flags, bool own_first)
{
	struct io_uring_ext_pool *pool = pool_of(flags, 4, MiB);
	struct io_uring_ext_ring *r;
	struct io_uring_sqe *sqe;
	struct io_uring ring;
	char *mem = map(4 * MiB), *own = map(8 * 4096);
	struct iovec iov[8];
	int i;

	for (i = 0; i < 8; i++) {
		iov[i].iov_base = i < 2 || i > 5 ? own + i * 4096 : NULL;
		iov[i].iov_len = iov[i].iov_base ? 4096 : 0;
	}
	t_ring(&ring, 4, 0);
	if (own_first)
		CHECK_EQ(io_uring_register_buffers(&ring, iov, 8), 0);
	CHECK_EQ(add(pool, mem, 2 * MiB), 0);
	CHECK_OK(io_uring_ext_ring_attach(&r, pool, &ring, 2, &err), err);
	CHECK_EQ(add(pool, mem + 2 * MiB, MiB), 1);
	CHECK_EQ(io_uring_ext_ring_stale(r), 1);
	CHECK_OK(io_uring_ext_ring_sync(r, &err), err);
	CHECK_EQ(io_uring_ext_ring_stale(r), 0);
	CHECK_OK(io_uring_ext_ring_sync(r, &err), err);
	CHECK_EQ(read_at(&ring, r, mem, 4096, 0), 1);
	CHECK_EQ(read_at(&ring, r, mem + 3 * MiB - 4096, 4096, 0), 1);
	for (i = 0; own_first && i < 8; i++) {
		if (!iov[i].iov_base)
			continue;
		sqe = io_uring_get_sqe(&ring);
		io_uring_prep_read_fixed(sqe, fd, iov[i].iov_base, 4096, 4096 * i, i);
		CHECK_EQ(t_io(&ring), 4096);
		t_check_bytes(iov[i].iov_base, 4096, 4096 * i);
	}
	/* Removed: plain after the sync, and the others stay */
	CHECK_EQ(io_uring_ext_pool_remove(pool, 0), 1);
	CHECK_EQ(io_uring_ext_pool_remove(pool, 0), -EALREADY);
	CHECK_EQ(read_at(&ring, r, mem, 4096, 0), 1);
	CHECK_EQ(io_uring_ext_ring_sync(r, &err), 1);
	CHECK_EQ(io_uring_ext_pool_remove(pool, 0), -ENOENT);
	CHECK_EQ(read_at(&ring, r, mem, 4096, 0), 0);
	CHECK_EQ(read_at(&ring, r, mem + 2 * MiB, 4096, 0), 1);
	/* Its slots and its id are free again */
	CHECK_EQ(add(pool, mem, MiB), 0);
	CHECK_OK(io_uring_ext_ring_sync(r, &err), err);
	CHECK_EQ(read_at(&ring, r, mem, 4096, 0), 1);

	CHECK_EQ(io_uring_ext_ring_detach(r), 0);
	for (i = 0; own_first && i < 8; i++) {
		if (!iov[i].iov_base)
			continue;
		sqe = io_uring_get_sqe(&ring);
		io_uring_prep_read_fixed(sqe, fd, iov[i].iov_base, 4096, 0, i);
		CHECK_EQ(t_io(&ring), 4096);
	}
	CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
	io_uring_queue_exit(&ring);
	munmap(mem, 4 * MiB);
	munmap(own, 8 * 4096);
}

/* A table of the caller's that is too small: clones make it longer, else an error. */
/* Slots of 6, by regions that come and go: each has its place, and all are found again. */
static void check_slots(void)
{
	struct io_uring_ext_pool *pool = pool_of(0, 6, 4096);
	struct io_uring_ext_region_info info;
	char *mem = map(16 * 4096), used[6];
	int ids[6] = { -1, -1, -1, -1, -1, -1 };
	unsigned i, n, nr, turn, seed = 1;

	for (turn = 0; turn < 2000; turn++) {
		seed = seed * 1103515245 + 12345;
		i = (seed >> 16) % 6;
		if (ids[i] >= 0) {
			CHECK_EQ(io_uring_ext_pool_remove(pool, ids[i]), 0);
			ids[i] = -1;
			continue;
		}
		nr = 1 + (seed >> 20) % 2;
		memset(used, 0, sizeof(used));
		for (n = 0; n < 6; n++) {
			if (ids[n] < 0)
				continue;
			CHECK_EQ(io_uring_ext_pool_region_info(pool, ids[n], &info), 0);
			CHECK(info.first_slot + info.nr_slots <= 6);
			while (info.nr_slots--)
				CHECK(!used[info.first_slot + info.nr_slots]++);
		}
		for (n = 0; n + nr <= 6 && (used[n] || used[n + nr - 1]); n++)
			;
		ids[i] = add(pool, mem + 2 * i * 4096, nr * 4096);
		if (n + nr > 6)
			CHECK_EQ(ids[i], -ENOSPC);
		else
			CHECK_OK(ids[i], err);
	}
	CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
	munmap(mem, 16 * 4096);
}

static void check_small_table(void)
{
	struct io_uring_ext_pool_stats stats;
	struct io_uring_ext_pool *pool;
	struct io_uring_ext_ring *r;
	struct io_uring ring;
	char *mem = map(4 * MiB);
	struct io_uring_ext_region tagged = {
		.base = mem + 2 * MiB, .len = 2 * MiB, .page_size = 4096, .tag = 99,
	};
	int ret;

	t_ring(&ring, 4, 0);
	CHECK_EQ(io_uring_register_buffers_sparse(&ring, 2), 0);
	pool = pool_of(0, 8, MiB);
	CHECK_EQ(add(pool, mem, 2 * MiB), 0);
	CHECK_EQ(io_uring_ext_pool_add(pool, &tagged, &err), 1);
	CHECK_EQ(io_uring_ext_pool_stats(pool, &stats), 0);
	ret = io_uring_ext_ring_attach(&r, pool, &ring, 1, &err);
	if (stats.cloning) {
		CHECK_OK(ret, err);
		CHECK_EQ(read_at(&ring, r, mem + MiB, 4096, 0), 1);
		CHECK_EQ(read_at(&ring, r, mem + 3 * MiB, 4096, 0), 1);
		CHECK_EQ(io_uring_ext_ring_detach(r), 0);
	} else {
		CHECK_EQ(ret, -ENOSPC);
	}
	CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
	io_uring_queue_exit(&ring);

	t_ring(&ring, 4, 0);
	CHECK_EQ(io_uring_register_buffers_sparse(&ring, 2), 0);
	pool = pool_of(IO_URING_EXT_POOL_NO_CLONE, 8, MiB);
	CHECK_EQ(add(pool, mem, 2 * MiB), 0);
	CHECK_EQ(io_uring_ext_ring_attach(&r, pool, &ring, 1, &err), -ENOSPC);
	CHECK_EQ(err.stage, IO_URING_EXT_STAGE_TABLE);
	CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
	io_uring_queue_exit(&ring);
	munmap(mem, 4 * MiB);
}

/*
 * N rings on one pool pin and charge once: the limit has room for the pool, but not for
 * the pool twice.
 */
static void many_rings(void *arg)
{
	struct io_uring_ext_pool *pool = pool_of(0, 0, 0);
	struct io_uring_ext_pool_stats stats;
	struct io_uring_ext_ring *r[8];
	struct io_uring ring[8];
	char *mem = map(4 * MiB);
	size_t pinned;
	int i, n;

	(void)arg;
	CHECK_EQ(add(pool, mem, 4 * MiB), 0);
	CHECK_EQ(io_uring_ext_pool_stats(pool, &stats), 0);
	pinned = t_status("VmPin");
	CHECK(pinned >= (stats.cloning ? 4 * MiB : 0));
	for (n = 0; n < 8; n++) {
		t_ring(&ring[n], 4, n & 1 ? IORING_SETUP_SQPOLL : 0);
		if (n && !stats.cloning) {
			CHECK_EQ(io_uring_ext_ring_attach(&r[n], pool, &ring[n], n, &err),
				 -ENOMEM);
			break;
		}
		CHECK_OK(io_uring_ext_ring_attach(&r[n], pool, &ring[n], n, &err), err);
		CHECK_EQ(read_at(&ring[n], r[n], mem + n * MiB / 2, MiB / 2, 4096 * n), 1);
	}
	if (stats.cloning)
		CHECK_EQ(t_status("VmPin"), pinned);
	for (i = 0; i < n - 1; i++) {
		CHECK_EQ(io_uring_ext_ring_detach(r[i]), 0);
		io_uring_queue_exit(&ring[i]);
	}
	/* Closed before it is detached: it is the same ring still */
	io_uring_queue_exit(&ring[n - 1]);
	CHECK_EQ(io_uring_ext_ring_detach(r[n - 1]), 0);
	/* Removed means unpinned, also while the pool lives */
	CHECK_EQ(io_uring_ext_pool_remove(pool, 0), 0);
	t_no_pins();
	CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
	munmap(mem, 4 * MiB);
}

/* Registration that fails: OPTIONAL goes on and says why, PLAIN does not try. */
static void optional(void *arg)
{
	__u32 flags = *(__u32 *)arg;
	struct io_uring_ext_region_info info;
	struct io_uring_ext_ring_stats stats;
	struct io_uring_ext_pool *pool;
	struct io_uring_ext_ring *r;
	struct io_uring ring;
	char *mem = map(4 * MiB);
	int ret;

	t_ring(&ring, 4, 0);
	pool = pool_of(flags, 8, MiB);
	ret = add(pool, mem, 4 * MiB);
	if (!(flags & (IO_URING_EXT_POOL_OPTIONAL | IO_URING_EXT_POOL_PLAIN))) {
		if (!ret)
			ret = io_uring_ext_ring_attach(&r, pool, &ring, 0, &err);
		CHECK_EQ(ret, -ENOMEM);
		CHECK_EQ(err.stage, IO_URING_EXT_STAGE_REGISTER);
		CHECK(strstr(err.text, "RLIMIT_MEMLOCK is 1 MiB"));
		CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
		io_uring_queue_exit(&ring);
		CHECK_EQ(t_status("VmPin"), 0);
		return;
	}
	CHECK_EQ(ret, 0);
	CHECK_OK(io_uring_ext_ring_attach(&r, pool, &ring, 0, &err), err);
	CHECK_EQ(err.err, flags & IO_URING_EXT_POOL_PLAIN ? 0 : -ENOMEM);
	CHECK_EQ(read_at(&ring, r, mem + MiB, 8192, 4096), 0);
	CHECK_EQ(io_uring_ext_ring_stats(r, &stats), 0);
	CHECK_EQ(stats.plain_unregistered, 1);
	CHECK_EQ(io_uring_ext_pool_region_info(pool, 0, &info), 0);
	CHECK_EQ(info.registered, 0);
	CHECK_EQ(info.err, flags & IO_URING_EXT_POOL_PLAIN ? -EOPNOTSUPP : -ENOMEM);
	/* No more slots is forgiven too */
	CHECK_EQ(add(pool, map(16 * MiB), 16 * MiB), 1);
	CHECK_EQ(err.err, -ENOSPC);
	CHECK_EQ(io_uring_ext_pool_region_info(pool, 1, &info), 0);
	CHECK_EQ(info.nr_slots, 0);
	CHECK(io_uring_ext_ring_sync(r, &err) >= 0);
	CHECK_EQ(read_at(&ring, r, info.base, 4096, 0), 0);
	CHECK_EQ(io_uring_ext_pool_remove(pool, 1), 1);
	CHECK_EQ(io_uring_ext_ring_sync(r, &err), 1);
	CHECK_EQ(io_uring_ext_ring_detach(r), 0);
	CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
	io_uring_queue_exit(&ring);
	CHECK_EQ(t_status("VmPin"), 0);
}

int main(void)
{
	static const __u32 kinds[] = {
		0, IO_URING_EXT_POOL_NO_CLONE, IO_URING_EXT_POOL_OPTIONAL,
		IO_URING_EXT_POOL_OPTIONAL | IO_URING_EXT_POOL_NO_CLONE,
		IO_URING_EXT_POOL_PLAIN,
	};
	unsigned i, fds;

	fd = t_file(FILE_SIZE);
	fds = t_open_fds();
	check_args();
	check_empty_pool(0);
	check_empty_pool(IO_URING_EXT_POOL_NO_CLONE);
	check_empty_pool(IO_URING_EXT_POOL_OPTIONAL);
	check_empty_pool(IO_URING_EXT_POOL_PLAIN);
	check_split(0);
	check_split(IO_URING_EXT_POOL_NO_CLONE);
	check_own_slots(0, true);
	check_own_slots(0, false);
	check_own_slots(IO_URING_EXT_POOL_NO_CLONE, true);
	check_own_slots(IO_URING_EXT_POOL_NO_CLONE, false);
	check_small_table();
	check_slots();
	CHECK_EQ(t_as_nobody(7 * MiB, many_rings, NULL), 0);
	for (i = 0; i < 5; i++) {
		__u32 flags = kinds[i];

		CHECK_EQ(t_as_nobody(MiB, optional, &flags), 0);
	}
	CHECK_EQ(t_open_fds(), fds);
	t_no_pins();
	return 0;
}
