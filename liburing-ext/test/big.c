/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * A region of 3 TiB (1 GiB of huge pages, mapped again and again): the same program on
 * every kernel, with as many slots as that kernel needs.
 */
#include <time.h>

#include "helpers.h"
#include "../tools/fdinfo.c"

#define SIZE	BIG(3 * TiB)

static struct io_uring_ext_error err;
static int fd;

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static int read_at(struct io_uring *ring, struct io_uring_ext_ring *r, char *p, unsigned len)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	int fixed = io_uring_ext_prep_read(r, sqe, fd, p, len, 4096);

	memset(p, 0, len);
	CHECK_EQ(t_io(ring), len);
	t_check_bytes(p, len, 4096);
	return fixed;
}

/* Whether the kernel takes all of it as one buffer, asked without the library. */
static bool fits_one_slot(void *base)
{
	struct iovec iov = { base, SIZE };
	struct io_uring ring;
	int ret;

	t_ring(&ring, 4, 0);
	ret = io_uring_register_buffers(&ring, &iov, 1);
	/* Limits of 1 GiB, 1 TiB, and of INT_MAX bytes for a list of pages */
	CHECK(!ret || ret == -EFAULT || ret == -EINVAL || ret == -EOVERFLOW);
	io_uring_queue_exit(&ring);
	t_no_pins();
	return !ret;
}

/* Buffers that the kernel has for the ring, and all that they span. */
static unsigned slots_in_kernel(const struct io_uring *ring, char *base)
{
	struct fdinfo_table t;
	__u64 at = (uintptr_t)base;
	char path[64];
	unsigned i;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", ring->ring_fd);
	f = fopen(path, "r");
	CHECK(f);
	if (!fdinfo_read(f, &t)) {
		fprintf(stderr, "this kernel shows no buffers in fdinfo\n");
		fclose(f);
		return 0;
	}
	fclose(f);
	for (i = 0; i < t.nr_buffers; i++) {
		CHECK_EQ(t.buffers[i].address, at);
		at += t.buffers[i].bytes;
	}
	CHECK_EQ(at, (uintptr_t)base + SIZE);
	free(t.buffers);
	return i;
}

/* As few slots as the kernel's limit allows, by powers of two, and no fewer. */
static void check_slots(const struct io_uring_ext_region_info *info,
			const struct io_uring_ext_caps *caps, bool fits)
{
	size_t size = GiB;

	if (caps->flags & IO_URING_EXT_CAP_RUNS)
		CHECK(fits);
	if (fits) {
		CHECK(caps->max_buffer >= 3 * TiB);
		CHECK_EQ(info->nr_slots, 1);
		return;
	}
	CHECK(caps->max_buffer < 3 * TiB);
	while (2 * size <= caps->max_buffer)
		size *= 2;
	CHECK_EQ(info->slot_size, size);
	CHECK_EQ(info->nr_slots, SIZE / size);
}

int main(void)
{
	struct io_uring_ext_arena_params p = { .size = SIZE, .alias = GiB,
					       .mem = IO_URING_EXT_MEM_HUGE_1G };
	struct io_uring_ext_region_info info;
	struct io_uring_ext_arena *a;
	struct io_uring_ext_pool *pool;
	struct io_uring_ext_ring *r;
	const struct io_uring_ext_caps *caps;
	struct io_uring ring;
	unsigned i, nr, straddles = 0;
	bool fits;
	double start, added;
	char *base;

	if (!IS_64BIT)
		t_skip("3 TiB is more address space than there is");
	if (t_valgrind())
		t_skip("3 TiB is more address space than valgrind has");
	if (!t_reserve_huge(GiB, 1)) {
		p.mem = IO_URING_EXT_MEM_HUGE_2M;
		if (!t_reserve_huge(2 * MiB, 512))
			t_skip("1 GiB of huge pages cannot be had");
	}
	t_ring(&ring, 4, 0);
	fd = t_file(MiB);
	CHECK_OK(io_uring_ext_arena_alloc(&a, &p, &err), err);
	base = io_uring_ext_arena_base(a);
	fits = fits_one_slot(base);
	CHECK_OK(io_uring_ext_pool_create(&pool, NULL, &err), err);
	start = now();
	CHECK_OK(io_uring_ext_pool_add_arena(pool, a, 0, &err), err);
	added = now();
	CHECK_OK(io_uring_ext_ring_attach(&r, pool, &ring, 0, &err), err);
	CHECK_EQ(io_uring_ext_pool_region_info(pool, 0, &info), 0);
	caps = io_uring_ext_pool_caps(pool);
	CHECK_EQ(info.registered, 1);
	check_slots(&info, caps, fits);
	nr = slots_in_kernel(&ring, base);
	if (nr)
		CHECK_EQ(nr, info.nr_slots);
	printf("3 TiB in %u slot%s of up to %zu GiB, pinned in %.2f s, attached in %.3f s\n",
	       info.nr_slots, info.nr_slots == 1 ? "" : "s", info.slot_size / GiB,
	       added - start, now() - added);

	CHECK_EQ(read_at(&ring, r, base, 65536), 1);
	CHECK_EQ(read_at(&ring, r, base + SIZE - 65536, 65536), 1);
	for (i = 0; i < 256; i++) {
		size_t at = (i * 0x9e3779b97f4a7c15ULL) % (SIZE - 65536);

		if (read_at(&ring, r, base + at, 65536))
			continue;
		straddles++;
		CHECK(at / info.slot_size != (at + 65535) / info.slot_size);
	}
	CHECK(straddles < 8);
	if (info.nr_slots > 1) {
		CHECK_EQ(read_at(&ring, r, base + info.slot_size - 4096, 4096), 1);
		CHECK_EQ(read_at(&ring, r, base + info.slot_size - 4096, 8192), 0);
	}
	CHECK_EQ(io_uring_ext_ring_detach(r), 0);
	CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
	io_uring_ext_arena_free(a);
	io_uring_queue_exit(&ring);
	t_no_pins();
	return 0;
}
