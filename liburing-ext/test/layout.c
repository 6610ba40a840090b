/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/* Estimates of how memory lies, for memory that was made to lie so. */
#include "helpers.h"

static struct io_uring_ext_error err;
static struct io_uring_ext_layout l;

static struct io_uring_ext_arena *get(enum io_uring_ext_mem mem, size_t size)
{
	struct io_uring_ext_arena_params p = {
		.size = size, .mem = mem, .flags = IO_URING_EXT_ARENA_PREFAULT,
	};
	struct io_uring_ext_arena *a;

	return io_uring_ext_arena_alloc(&a, &p, &err) ? NULL : a;
}

static void estimate(const struct io_uring_ext_arena *a, unsigned char *map, unsigned cells)
{
	char *base = io_uring_ext_arena_base(a);
	size_t len = io_uring_ext_arena_size(a);

	CHECK_EQ(io_uring_ext_layout_estimate(0, base, len, &l, map, cells), 0);
	CHECK(l.flags & IO_URING_EXT_LAYOUT_ESTIMATE);
	CHECK_EQ(l.len, len);
	CHECK_EQ(l.metadata, IO_URING_EXT_UNLIMITED);
	CHECK_EQ(l.charged, IO_URING_EXT_UNLIMITED);
	CHECK(l.smallest <= l.largest && l.present <= l.len);
	CHECK(l.runs * l.smallest <= l.present && l.runs * l.largest >= l.present);
}

/* Does the kernel show page frames to this process? */
static bool frames_shown(void)
{
	return t_is_root() && !access("/proc/kpageflags", R_OK);
}

static void check_base(void)
{
	struct io_uring_ext_arena *a = get(IO_URING_EXT_MEM_BASE, 8 * MiB);
	unsigned char map[16];
	char *base;

	CHECK(a);
	base = io_uring_ext_arena_base(a);
	estimate(a, map, 16);
	CHECK_EQ(l.present, 8 * MiB);
	CHECK_EQ(l.runs, 2048);
	CHECK_EQ(l.largest, 4096);
	CHECK(l.flags & IO_URING_EXT_LAYOUT_UNIFORM);
	CHECK_EQ(map[0], 12);
	CHECK_EQ(map[15], 12);
	CHECK_EQ(l.source, frames_shown() ? IO_URING_EXT_LAYOUT_PAGEMAP :
					    IO_URING_EXT_LAYOUT_SMAPS);
	/* A quarter goes away, and a page elsewhere */
	CHECK_EQ(madvise(base + 4 * MiB, 2 * MiB, MADV_DONTNEED), 0);
	CHECK_EQ(madvise(base + 3 * MiB + 8192, 4096, MADV_DONTNEED), 0);
	estimate(a, map, 16);
	CHECK_EQ(l.present, 6 * MiB - 4096);
	if (l.source == IO_URING_EXT_LAYOUT_PAGEMAP) {
		CHECK_EQ(map[6], 0);
		CHECK_EQ(map[7], 12);
		CHECK_EQ(map[8], 0);
		CHECK_EQ(map[11], 0);
		CHECK_EQ(map[12], 12);
		/* A part, of any alignment */
		CHECK_EQ(io_uring_ext_layout_estimate(0, base + 100, 4 * MiB, &l, NULL, 0), 0);
		CHECK_EQ(l.present, 4 * MiB - 4096 - 100);
		CHECK_EQ(l.smallest, 3996);
	}
	io_uring_ext_arena_free(a);
}

static void check_thp(void)
{
	struct io_uring_ext_arena *a = get(IO_URING_EXT_MEM_THP, 16 * MiB);
	struct io_uring_ext_arena_info info;
	unsigned char map[8];
	char *base;

	if (!a) {
		fprintf(stderr, "%s\n", err.text);
		return;
	}
	base = io_uring_ext_arena_base(a);
	CHECK_EQ(io_uring_ext_arena_info(a, &info), 0);
	estimate(a, map, 8);
	CHECK_EQ(l.present, 16 * MiB);
	if (info.huge_bytes == 16 * MiB) {
		CHECK_EQ(l.runs, 8);
		CHECK_EQ(l.smallest, 2 * MiB);
		CHECK_EQ(map[3], 21);
		/* One odd page in one of them */
		CHECK_EQ(madvise(base + 5 * MiB, 4096, MADV_DONTNEED), 0);
		base[5 * MiB] = 1;
		estimate(a, map, 8);
		CHECK_EQ(l.smallest, 4096);
		CHECK(!(l.flags & IO_URING_EXT_LAYOUT_UNIFORM));
		if (l.source == IO_URING_EXT_LAYOUT_PAGEMAP) {
			CHECK_EQ(l.runs, 10);
			CHECK_EQ(l.largest, 2 * MiB);
			CHECK_EQ(map[2], 12);
			CHECK_EQ(map[3], 21);
		}
	} else {
		fprintf(stderr, "memory is too fragmented for THP\n");
	}
	io_uring_ext_arena_free(a);
}

/* What is not mapped is not present, also where its cell touches what is. */
static void check_gaps(void)
{
	char *base = mmap(NULL, 8 * MiB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	unsigned char map[4];

	CHECK(base != MAP_FAILED);
	madvise(base, 8 * MiB, MADV_NOHUGEPAGE);
	memset(base, 1, 8 * MiB);
	CHECK_EQ(munmap(base + 2 * MiB, MiB), 0);
	CHECK_EQ(munmap(base + 7 * MiB, MiB), 0);
	CHECK_EQ(io_uring_ext_layout_estimate(0, base, 8 * MiB, &l, map, 4), 0);
	CHECK_EQ(l.present, 6 * MiB);
	CHECK_EQ(l.runs, 6 * 256);
	CHECK_EQ(map[0], 12);
	CHECK_EQ(map[1], 0);
	CHECK_EQ(map[2], 12);
	CHECK_EQ(map[3], 0);
	munmap(base, 8 * MiB);
}

/* Huge pages, and base pages after them in a mapping of their own. */
static void check_two_kinds(void)
{
	size_t huge = 0;
	char *base = mmap(NULL, 8 * MiB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	char *mid;

	CHECK(base != MAP_FAILED);
	mid = (char *)(((uintptr_t)base + 6 * MiB) & ~(2 * MiB - 1));
	madvise(base, 8 * MiB, MADV_HUGEPAGE);
	madvise(mid, base + 8 * MiB - mid, MADV_NOHUGEPAGE);
	memset(base, 1, 8 * MiB);
	CHECK_EQ(io_uring_ext_layout_estimate(0, mid - 2 * MiB, 2 * MiB, &l, NULL, 0), 0);
	if (l.runs == 1)
		huge = l.largest;
	CHECK_EQ(io_uring_ext_layout_estimate(0, mid - 2 * MiB, 3 * MiB, &l, NULL, 0), 0);
	if (huge == 2 * MiB) {
		CHECK_EQ(l.smallest, 4096);
		CHECK_EQ(l.largest, 2 * MiB);
		CHECK_EQ(l.runs, 1 + 256);
		CHECK_EQ(l.flags, IO_URING_EXT_LAYOUT_ESTIMATE |
			 (l.source == IO_URING_EXT_LAYOUT_PAGEMAP ?
			  IO_URING_EXT_LAYOUT_UNIFORM : 0));
	} else {
		fprintf(stderr, "memory is too fragmented for THP\n");
	}
	munmap(base, 8 * MiB);
}

static void check_huge(void)
{
	struct io_uring_ext_arena *a;
	unsigned char map[5];

	if (!t_reserve_huge(2 * MiB, 4)) {
		fprintf(stderr, "no hugetlb pages\n");
		return;
	}
	a = get(IO_URING_EXT_MEM_HUGE_2M, 8 * MiB);
	CHECK(a);
	estimate(a, map, 5);
	CHECK_EQ(l.runs, 4);
	CHECK_EQ(l.smallest, 2 * MiB);
	CHECK_EQ(l.largest, 2 * MiB);
	CHECK(l.flags & IO_URING_EXT_LAYOUT_UNIFORM);
	CHECK_EQ(map[0], 21);
	CHECK_EQ(map[4], 21);
	CHECK_EQ(madvise((char *)io_uring_ext_arena_base(a) + 2 * MiB, 2 * MiB,
			 MADV_DONTNEED), 0);
	estimate(a, map, 4);
	CHECK_EQ(l.present, 6 * MiB);
	CHECK_EQ(l.runs, 3);
	io_uring_ext_arena_free(a);
}

/* What fails half-way leaves nothing that could be taken for a layout. */
static void check_failed(void)
{
	static const struct io_uring_ext_layout none;
	unsigned char map[4];
	unsigned i;

	memset(&l, 1, sizeof(l));
	memset(map, 1, sizeof(map));
	CHECK_EQ(io_uring_ext_layout_estimate(0, (void *)4096, 4096, &l, map, 4), -ENOENT);
	CHECK(!memcmp(&l, &none, sizeof(l)));
	for (i = 0; i < 4; i++)
		CHECK_EQ(map[i], 0);
	memset(map, 1, sizeof(map));
	CHECK_EQ(io_uring_ext_layout_estimate(0, (void *)4096, 0, &l, map, 4), -EINVAL);
	for (i = 0; i < 4; i++)
		CHECK_EQ(map[i], 0);
}

static void check_args(void)
{
	struct io_uring ring;
	char c = 0;

	CHECK_EQ(io_uring_ext_layout_estimate(0, &c, 0, &l, NULL, 0), -EINVAL);
	CHECK_EQ(io_uring_ext_layout_estimate(0, &c, 1, NULL, NULL, 0), -EINVAL);
	CHECK_EQ(io_uring_ext_layout_estimate(0, &c, 1, &l, (void *)&c, 0), -EINVAL);
	CHECK_EQ(io_uring_ext_layout_estimate(-4, &c, 1, &l, NULL, 0), -EINVAL);
	CHECK_EQ(io_uring_ext_layout_estimate(0, (void *)4096, 1, &l, NULL, 0), -ENOENT);
	CHECK(io_uring_ext_layout_estimate(0x3fffffff, &c, 1, &l, NULL, 0) < 0);
	/* Another process, which is this one */
	CHECK_EQ(io_uring_ext_layout_estimate(getpid(), &c, 1, &l, NULL, 0), 0);
	CHECK_EQ(l.runs, 1);

	t_ring(&ring, 4, 0);
	CHECK_EQ(io_uring_ext_layout(NULL, 0, &c, 1, &l), -EINVAL);
	CHECK_EQ(io_uring_ext_layout(&ring, 0, &c, 1, NULL), -EINVAL);
	if (!io_uring_ext_layout(&ring, 0, &c, 1, &l))
		CHECK(l.flags & IO_URING_EXT_LAYOUT_ESTIMATE);
	io_uring_queue_exit(&ring);
}

static void all(void *arg)
{
	(void)arg;
	check_base();
	check_thp();
	check_gaps();
	check_two_kinds();
}

int main(void)
{
	check_args();
	check_failed();
	all(NULL);
	check_huge();
	CHECK_EQ(t_as_nobody(8 * MiB, all, NULL), 0);
	return 0;
}
