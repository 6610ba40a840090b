/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * Regions that are a range of a memfd: the same requests with the same results, whether the
 * kernel registers them by the file or has to be given the mapping; where it does the former,
 * nothing is mapped.
 */
#include <sys/statfs.h>

#include "helpers.h"
#include "lib.h"

#define FILE_SIZE	(8 * MiB)
#define OFFSET		(2 * MiB)
#define LEN		(4 * MiB)
#define TAG		77

static struct io_uring_ext_error err;
static struct io_uring_ext_caps caps;
static int data;

static int make_memfd(unsigned flags)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING | flags);

	CHECK(fd >= 0);
	CHECK_EQ(ftruncate(fd, FILE_SIZE), 0);
	return fd;
}

static char *map_at(int fd, size_t offset, int prot)
{
	char *p = mmap(NULL, LEN, prot, MAP_SHARED, fd, offset);

	CHECK(p != MAP_FAILED);
	return p;
}

static int reopen(int fd, int flags)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, flags | O_CLOEXEC);
}

static int add_present(const struct urext_vma *vma, void *sum)
{
	*(size_t *)sum += vma->present;
	return 0;
}

/* Bytes that the page tables of this process have there. */
static size_t mapped(const char *p)
{
	size_t sum = 0;

	CHECK_EQ(urext_for_each_vma(0, (uintptr_t)p, (uintptr_t)p + LEN, add_present, &sum), 0);
	return sum;
}

static void read_to(struct io_uring *ring, struct io_uring_ext_ring *r, char *p, unsigned len,
		    int want)
{
	CHECK_EQ(io_uring_ext_prep_read(r, io_uring_get_sqe(ring), data, p, len, 0), want);
	CHECK_EQ(t_io_done(ring, r), (int)len);
}

/* A pool of two slots for it; @huge: pages of 2 MiB. */
static void check_region(__u32 pool_flags, __u64 tag, bool huge)
{
	struct io_uring_ext_pool_params p = { .nr_slots = 4, .flags = pool_flags,
					      .max_buffer = 2 * MiB };
	int memfd = make_memfd(huge ? MFD_HUGETLB | 21U << 26 : 0), fixed;
	char *mem = map_at(memfd, OFFSET, PROT_READ | PROT_WRITE);
	struct io_uring_ext_region region = {
		.base = mem, .len = LEN, .page_size = huge ? 2 * MiB : 4096, .tag = tag,
		.flags = IO_URING_EXT_REGION_MEMFD, .memfd = memfd, .offset = OFFSET,
	};
	struct io_uring_ext_region_info info;
	struct io_uring_ext_pool *pool;
	struct io_uring_ext_ring *r;
	struct io_uring ring;
	char there[100];
	unsigned fds;
	int id;

	fixed = !(pool_flags & IO_URING_EXT_POOL_PLAIN);
	CHECK_OK(io_uring_ext_pool_create(&pool, &p, &err), err);
	t_ring(&ring, 4, 0);
	fds = t_open_fds();
	id = io_uring_ext_pool_add(pool, &region, &err);
	CHECK_OK(id, err);
	/* Rings that register for themselves do without it, too */
	close(memfd);
	CHECK_OK(io_uring_ext_ring_attach(&r, pool, &ring, 0, &err), err);
	CHECK_EQ(io_uring_ext_pool_region_info(pool, id, &info), 0);
	CHECK_EQ(info.registered, fixed);
	/* That smaps tells of huge pages, too */
	if (caps.flags & IO_URING_EXT_CAP_MEMFD || !fixed)
		CHECK_EQ(mapped(mem), 0);
	else
		CHECK_EQ(mapped(mem), LEN);

	read_to(&ring, r, mem + 5000, 10000, fixed);
	t_check_bytes(mem + 5000, 10000, 0);
	read_to(&ring, r, mem + 3 * MiB, 4096, fixed);
	t_check_bytes(mem + 3 * MiB, 4096, 0);
	/* Across two slots, and what is in front of it */
	read_to(&ring, r, mem + 2 * MiB - 2048, 4096, 0);
	t_check_bytes(mem + 2 * MiB - 2048, 4096, 0);
	CHECK_EQ(mem[2 * MiB - 2049], 0);
	strcpy(mem, "from there");
	CHECK_EQ(io_uring_ext_prep_write(r, io_uring_get_sqe(&ring), data, mem, 11, 65536), fixed);
	CHECK_EQ(t_io_done(&ring, r), 11);
	CHECK_EQ(pread(data, there, 11, 65536), 11);
	CHECK(!strcmp(there, "from there"));

	CHECK(io_uring_ext_pool_remove(pool, id) >= 0);
	CHECK_OK(io_uring_ext_ring_sync(r, &err), err);
	while (tag && fixed && io_uring_ext_pool_region_info(pool, id, &info) == 0) {
		CHECK_EQ(t_wait_tag(&ring, 5000), TAG);
		CHECK(io_uring_ext_ring_signal(r, TAG) >= 0);
	}
	CHECK_EQ(io_uring_ext_pool_region_info(pool, id, &info), -ENOENT);
	CHECK_EQ(io_uring_ext_ring_detach(r), 0);
	/* The caller's own is closed */
	CHECK_EQ(t_open_fds(), fds - 1);
	CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
	io_uring_queue_exit(&ring);
	munmap(mem, LEN);
	t_no_pins();
}

static int add(struct io_uring_ext_pool *pool, char *base, int memfd, __u64 offset, __u64 len,
	       __u32 flags)
{
	struct io_uring_ext_region region = {
		.base = base, .len = len, .flags = IO_URING_EXT_REGION_MEMFD | flags,
		.memfd = memfd, .offset = offset, .page_size = 4096,
	};
	int ret = io_uring_ext_pool_add(pool, &region, &err);

	CHECK_EQ(err.err, ret < 0 ? ret : 0);
	if (ret >= 0)
		CHECK_EQ(io_uring_ext_pool_remove(pool, ret), 0);
	return ret;
}

/* The same ones with any kernel, and in a pool that registers nothing. */
static void check_errors(__u32 pool_flags)
{
	struct io_uring_ext_pool_params p = { .nr_slots = 8, .flags = pool_flags };
	int fd = make_memfd(0), ro = reopen(fd, O_RDONLY), wo = reopen(fd, O_WRONLY);
	int path = reopen(fd, O_PATH), closed = 12345, dir = open("/proc", O_RDONLY);
	int other = open("/proc/self/comm", O_RDWR), dev = open("/dev/zero", O_RDWR);
	char *mem = map_at(fd, OFFSET, PROT_READ | PROT_WRITE);
	const __u32 readonly = IO_URING_EXT_REGION_READONLY;
	struct io_uring_ext_region region = { .base = mem, .len = 4096, .memfd = fd };
	struct io_uring_ext_pool *pool;
	unsigned fds;

	CHECK(ro >= 0 && wo >= 0 && path >= 0 && dir >= 0 && other >= 0 && dev >= 0);
	CHECK_OK(io_uring_ext_pool_create(&pool, &p, &err), err);
	fds = t_open_fds();
	/* Fields of a flag that is not set */
	CHECK_EQ(io_uring_ext_pool_add(pool, &region, &err), -EINVAL);
	region.memfd = 0;
	region.offset = 1;
	CHECK_EQ(io_uring_ext_pool_add(pool, &region, &err), -EINVAL);

	CHECK_EQ(add(pool, mem, closed, OFFSET, LEN, 0), -EBADF);
	CHECK_EQ(add(pool, mem, -1, OFFSET, LEN, 0), -EBADF);
	CHECK_EQ(add(pool, mem, path, OFFSET, LEN, 0), -EBADF);
	CHECK_EQ(add(pool, mem, other, 0, 4096, 0), -EINVAL);
	CHECK_EQ(add(pool, mem, dev, 0, 4096, 0), -EINVAL);
	CHECK_EQ(add(pool, mem, dir, 0, 4096, 0), -EINVAL);
	CHECK_EQ(add(pool, mem, fd, OFFSET + 1, 4096, 0), -EINVAL);
	CHECK_EQ(add(pool, mem + 1, fd, OFFSET, 4096, 0), -EINVAL);
	CHECK_EQ(add(pool, mem, fd, FILE_SIZE - 4096, 8192, 0), -EINVAL);
	CHECK_EQ(add(pool, mem, fd, ~0ULL << 12, 8192, 0), -EINVAL);
	CHECK_EQ(add(pool, mem, ro, OFFSET, LEN, 0), -EACCES);
	CHECK_EQ(add(pool, mem, wo, OFFSET, LEN, 0), -EACCES);
	CHECK_EQ(add(pool, mem, wo, OFFSET, LEN, readonly), -EACCES);
	CHECK(add(pool, mem + 1, fd, OFFSET + 1, 8192, 0) >= 0);
	CHECK_EQ(t_open_fds(), fds);

	munmap(mem, LEN);
	CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	mem = map_at(ro, OFFSET, PROT_READ);
	CHECK_EQ(add(pool, mem, fd, OFFSET, LEN, 0), -EPERM);
	if (caps.flags & IO_URING_EXT_CAP_READONLY) {
		CHECK(add(pool, mem, fd, OFFSET, LEN, readonly) >= 0);
		CHECK(add(pool, mem, ro, OFFSET, LEN, readonly) >= 0);
	}
	CHECK_EQ(t_open_fds(), fds);
	CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
	munmap(mem, LEN);
	close(fd), close(ro), close(wo), close(path), close(dir), close(other), close(dev);
	t_no_pins();
}

static int alloc(struct io_uring_ext_arena **a, int fd, __u64 offset, size_t size, __u32 flags)
{
	struct io_uring_ext_arena_params p = { .size = size, .memfd = fd, .offset = offset,
					       .flags = IO_URING_EXT_ARENA_FILE | flags };
	int ret = io_uring_ext_arena_alloc(a, &p, &err);

	CHECK_EQ(err.err, ret);
	CHECK_EQ(!ret, !!*a);
	return ret;
}

/* An arena of a file that is there already. */
static void check_arena(bool huge)
{
	size_t page = huge ? 2 * MiB : 4096;
	int fd = make_memfd(huge ? MFD_HUGETLB | 21U << 26 : 0), ro = reopen(fd, O_RDONLY);
	char *mem = map_at(fd, OFFSET, PROT_READ | PROT_WRITE);
	int dev = open("/dev/zero", O_RDWR);
	struct io_uring_ext_arena_params p = { .size = 4096, .memfd = fd };
	struct io_uring_ext_arena_info info;
	struct io_uring_ext_arena *a;
	struct io_uring_ext_pool *pool;
	struct io_uring_ext_ring *r;
	struct io_uring ring;
	unsigned fds = t_open_fds();

	strcpy(mem + page, "of before");
	CHECK_EQ(io_uring_ext_arena_alloc(&a, &p, &err), -EINVAL);
	p.memfd = 0;
	p.offset = 4096;
	CHECK_EQ(io_uring_ext_arena_alloc(&a, &p, &err), -EINVAL);
	CHECK_EQ(alloc(&a, dev, 0, 4096, 0), -EINVAL);
	CHECK_EQ(alloc(&a, -1, 0, 4096, 0), -EBADF);
	CHECK_EQ(alloc(&a, ro, 0, 4096, 0), -EACCES);
	CHECK_EQ(alloc(&a, fd, 512, 4096, 0), -EINVAL);
	CHECK_EQ(alloc(&a, fd, FILE_SIZE, 4096, 0), -EINVAL);
	CHECK_EQ(alloc(&a, fd, FILE_SIZE - page, page + 1, 0), -EINVAL);
	CHECK_EQ(alloc(&a, fd, 0, 4096, IO_URING_EXT_ARENA_MEMFD), -EINVAL);
	p = (struct io_uring_ext_arena_params){ .size = 4096, .memfd = fd, .alias = 4096,
						.flags = IO_URING_EXT_ARENA_FILE };
	CHECK_EQ(io_uring_ext_arena_alloc(&a, &p, &err), -EINVAL);
	p.alias = 0;
	p.mem = IO_URING_EXT_MEM_BASE;
	CHECK_EQ(io_uring_ext_arena_alloc(&a, &p, &err), -EINVAL);
	CHECK_EQ(t_open_fds(), fds);

	CHECK_OK(alloc(&a, fd, OFFSET + page, 2 * page - 100, 0), err);
	CHECK_EQ(io_uring_ext_arena_info(a, &info), 0);
	CHECK_EQ(info.size, 2 * page);
	CHECK_EQ(info.page_size, page);
	CHECK_EQ(info.mem, huge ? IO_URING_EXT_MEM_HUGE_2M : IO_URING_EXT_MEM_BASE);
	CHECK(info.memfd >= 0 && info.memfd != fd);
	CHECK(!strcmp(info.base, "of before"));
	CHECK_OK(io_uring_ext_pool_create(&pool, NULL, &err), err);
	CHECK_OK(io_uring_ext_pool_add_arena(pool, a, 0, &err), err);
	t_ring(&ring, 4, 0);
	CHECK_OK(io_uring_ext_ring_attach(&r, pool, &ring, 0, &err), err);
	read_to(&ring, r, (char *)info.base + 100, 3000, 1);
	t_check_bytes(mem + page + 100, 3000, 0);
	CHECK_EQ(io_uring_ext_ring_detach(r), 0);
	CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
	io_uring_queue_exit(&ring);
	io_uring_ext_arena_free(a);
	CHECK_EQ(t_open_fds(), fds);
	/* It is the caller's still */
	CHECK_EQ(ftruncate(fd, 2 * FILE_SIZE), 0);
	close(fd), close(ro), close(dev);
	munmap(mem, LEN);
	t_no_pins();
}

/* Its own memfd, which is registered as its pages are to be. */
static void check_own_arena(enum io_uring_ext_mem mem, __u32 flags)
{
	struct io_uring_ext_arena_params p = { .size = LEN, .mem = mem,
					       .flags = IO_URING_EXT_ARENA_MEMFD | flags };
	struct io_uring_ext_arena *a;
	struct io_uring_ext_pool *pool;
	char *base;
	bool by_file;

	if (io_uring_ext_arena_alloc(&a, &p, &err)) {
		fprintf(stderr, "an arena not tried: %s\n", err.text);
		return;
	}
	base = io_uring_ext_arena_base(a);
	CHECK_OK(io_uring_ext_pool_create(&pool, NULL, &err), err);
	CHECK_OK(io_uring_ext_pool_add_arena(pool, a, 0, &err), err);
	/* Populated it is mapped anyhow */
	by_file = (caps.flags & IO_URING_EXT_CAP_MEMFD) && mem == IO_URING_EXT_MEM_HUGE_2M &&
		  !(flags & IO_URING_EXT_ARENA_PREFAULT);
	if (io_uring_ext_pool_caps(pool)->flags & IO_URING_EXT_CAP_CLONE_RANGE)
		CHECK_EQ(mapped(base), by_file ? 0 : LEN);
	CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
	io_uring_ext_arena_free(a);
}

int main(void)
{
	bool huge = t_reserve_huge(2 * MiB, 8);

	data = t_file(128 * KiB);
	CHECK_EQ(io_uring_ext_query(NULL, &caps), 0);
	if (!t_may_lock(3 * LEN, "anything"))
		t_skip("memory of 12 MiB may not be locked");
	check_region(0, 0, false);
	check_region(0, TAG, false);
	check_region(IO_URING_EXT_POOL_NO_CLONE, 0, false);
	check_region(IO_URING_EXT_POOL_OPTIONAL, TAG, false);
	check_region(IO_URING_EXT_POOL_PLAIN, 0, false);
	check_errors(0);
	check_errors(IO_URING_EXT_POOL_PLAIN);
	check_errors(IO_URING_EXT_POOL_OPTIONAL);
	check_arena(false);
	check_own_arena(IO_URING_EXT_MEM_BASE, 0);
	check_own_arena(IO_URING_EXT_MEM_BASE, IO_URING_EXT_ARENA_PREFAULT);
	if (huge) {
		check_region(0, 0, true);
		check_region(IO_URING_EXT_POOL_NO_CLONE, 0, true);
		check_arena(true);
		check_own_arena(IO_URING_EXT_MEM_HUGE_2M, 0);
	} else {
		fprintf(stderr, "huge pages not tried: there are none\n");
	}
	if (!(caps.flags & IO_URING_EXT_CAP_MEMFD))
		fprintf(stderr, "by their mappings: this kernel does not take memfds\n");
	return 0;
}
