// SPDX-License-Identifier: GPL-2.0
/*
 * Memfds of all sizes of pages, as large as the guest allows: what is pinned of them, that it takes
 * no page tables, that a buffer stays what it was when the file is cut off, punched, made longer
 * and sealed under it; and what all that costs beside the same memory mapped.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "caps.h"
#include "folios.h"
#include "pattern.h"
#include "regbuf_uapi.h"
#include "vmstat.h"

#define PAGE		(4 * KIB)
#define LEN		(64 * KIB)
#define THP_SETTING	"/sys/kernel/mm/transparent_hugepage/shmem_enabled"
#define THP_DEFRAG	"/sys/kernel/mm/transparent_hugepage/defrag"
#define COMPACT		"/proc/sys/vm/compact_memory"
#define TMPFS		"/run/tmpfs"

typedef struct io_uring_regbuf_desc desc_t;

static void set_to(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	EXPECT_TRUE(fd >= 0);
	EXPECT(write(fd, value, strlen(value)), strlen(value));
	close(fd);
}

void memfd_folios(size_t size)
{
	/* Those of 64 KiB are for a file that grows by so much each time, see make(). */
	set_to(THP_SETTING, size == 2 * MIB ? "always" : size > PAGE ? "within_size" : "never");
}

/*
 * Makes a memfd longer, by pages of this size: holes, which get them when they are used. Between
 * one page and 2 MiB there is no setting for memfds, but a folio does not go beyond the end of the
 * file: each is made when that is where the file ends.
 */
static void make(int fd, size_t from, size_t to, size_t page)
{
	if (page != 64 * KIB)
		EXPECT(ftruncate(fd, (off_t)to), 0);
	for (size_t at = from; page == 64 * KIB && at < to; at += page) {
		EXPECT(ftruncate(fd, (off_t)(at + page)), 0);
		EXPECT(pwrite(fd, "", 1, (off_t)at), 1);
	}
}

static uint64_t pins(void)
{
	struct vmstat now;

	vmstat_read(&now);
	return now.pin_acquired - now.pin_released;
}

/*
 * Into the slot, with nothing mapped and no page table (which alone would not tell: 64 MiB of
 * huge pages need none that is not there), with as many pins as there are runs, of @page unless 0
 */
static void set_and_count(struct io_uring *ring, unsigned int slot, desc_t desc, size_t page)
{
	uint64_t mapped = uapi_status_kb("VmSize:"), tables = uapi_status_kb("VmPTE:");
	struct io_uring_buffer_layout l;
	uint64_t before = pins();

	EXPECT(memfd_set(ring, slot, desc), 1);
	EXPECT(uapi_status_kb("VmSize:"), mapped);
	EXPECT(uapi_status_kb("VmPTE:"), tables);
	uapi_layout(ring, slot, &l);
	EXPECT(pins() - before, l.nr_runs);
	EXPECT(l.len, desc.size);
	EXPECT(l.flags, 0);
	if (!page)
		return;
	EXPECT(l.nr_runs, desc.size / page);
	EXPECT(l.smallest_run, page);
	EXPECT(l.largest_run, page);
}

static void of_pages(int fd, size_t size, size_t page)
{
	struct io_uring ring;

	uapi_sparse_ring(&ring, 1);
	set_and_count(&ring, 0, memfd_range(fd, 0, size), page);
	io_uring_queue_exit(&ring);
}

static void of_folios(size_t page)
{
	int fd = memfd_new(0, 0);

	memfd_folios(page);
	make(fd, 0, 128 * MIB, page);
	of_pages(fd, 128 * MIB, page);
	memfd_folios(PAGE);
}

static void of_4k(void)
{
	of_folios(PAGE);
}

static void of_64k(void)
{
	of_folios(64 * KIB);
}

static void of_thp(void)
{
	of_folios(2 * MIB);
}

/* A file system that has large folios when nothing else asks for them */
static void of_tmpfs(void)
{
	int fd;

	mkdir(TMPFS, 0700);
	EXPECT(mount("tmpfs", TMPFS, "tmpfs", 0, "huge=always,size=256m"), 0);
	fd = open(TMPFS "/file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	EXPECT_TRUE(fd >= 0);
	EXPECT(umount2(TMPFS, MNT_DETACH), 0);
	EXPECT(ftruncate(fd, 128 * MIB), 0);
	of_pages(fd, 128 * MIB, 2 * MIB);
}

static int huge_memfd(unsigned int flags, size_t size)
{
	int fd = memfd_create("huge", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB | flags);

	if (fd < 0)
		skip("memfd of huge pages: %s", strerror(errno));
	EXPECT(ftruncate(fd, (off_t)size), 0);
	return fd;
}

static void of_hugetlb(unsigned int flags, size_t page, size_t size)
{
	int fd = huge_memfd(flags, size);
	static const char zero[LEN];
	struct io_uring ring;
	desc_t desc;
	char *mem;

	of_pages(fd, size, page);
	uapi_sparse_ring(&ring, 1);
	desc = memfd_range(fd, size - page / 2, LEN);
	EXPECT(memfd_set(&ring, 0, desc), 1);
	uapi_expect_content(&ring, 0, NULL, LEN, zero);
	mem = uapi_map(size, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
	pattern_fill(mem + desc.offset, LEN, 0, 1);
	uapi_expect_content(&ring, 0, NULL, LEN, mem + desc.offset);
	EXPECT(munmap(mem, size), 0);
	EXPECT(memfd_set(&ring, 0, memfd_range(fd, 0, size + 1)), -EINVAL);
	close(fd);
}

static void of_2m(void)
{
	of_hugetlb(MFD_HUGE_2MB, 2 * MIB, 32 * MIB);
}

static void of_1g(void)
{
	of_hugetlb(MFD_HUGE_1GB, GIB, GIB);
}

static uint64_t movable_start, movable_nr;

static void one_movable(uint64_t start, uint64_t nr)
{
	if (!nr)
		return;
	EXPECT(movable_nr, 0);
	movable_start = start;
	movable_nr = nr;
}

static size_t nr_movable(const char *mem, size_t size)
{
	static struct page_folio pages[4 * MIB / PAGE];
	struct folio_source source;
	struct reason why;
	size_t nr = 0;

	movable_nr = 0;
	if (movable_ranges(one_movable, &why) || folios_open(&source, &why) ||
	    folios_read(&source, mem, pages, size / PAGE, &why))
		fail("%s", why.text);
	folios_close(&source);
	for (size_t i = 0; i < size / PAGE; i++)
		nr += pages[i].head - movable_start < movable_nr;
	return nr;
}

/* What has to stay movable is moved before it is pinned, and has what it had. */
static void of_movable(size_t page)
{
	const size_t size = 4 * MIB;
	struct io_uring ring;
	int fd = memfd_new(0, 0);
	char *mem;

	memfd_folios(page);
	make(fd, 0, size, page);
	mem = uapi_map(size, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
	pattern_fill(mem, size, 0, 1);
	memfd_folios(PAGE);
	EXPECT_TRUE(nr_movable(mem, size) > 0);
	uapi_sparse_ring(&ring, 1);
	EXPECT(memfd_set(&ring, 0, memfd_range(fd, 0, size)), 1);
	EXPECT(pattern_check(mem, size, 0, 1), size);
	EXPECT(nr_movable(mem, size), 0);
	io_uring_queue_exit(&ring);
	EXPECT(munmap(mem, size), 0);
	close(fd);
}

static uint64_t migrated(void)
{
	FILE *f = fopen("/proc/vmstat", "r");
	unsigned long long value;
	char name[64];

	while (f && fscanf(f, "%63s %llu", name, &value) == 2) {
		if (!strcmp(name, "pgmigrate_success")) {
			fclose(f);
			return value;
		}
	}
	fail("no pgmigrate_success in /proc/vmstat");
}

/*
 * Memory that was never touched comes from where it can stay. Who is charged has it faulted in
 * before it is pinned.
 */
static void untouched_charged(void)
{
	const size_t size = 4 * MIB;
	struct io_uring ring;
	uint64_t before;
	char *mem;

	set_capability(CAP_IPC_LOCK, false);
	uapi_sparse_ring(&ring, 1);
	mem = uapi_map(size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	EXPECT(madvise(mem, size, MADV_NOHUGEPAGE), 0);
	before = migrated();
	EXPECT(uapi_update(&ring, 0, &(struct iovec){ mem, size }, 1, false), 1);
	EXPECT(migrated(), before);
	EXPECT(nr_movable(mem, size), 0);
	io_uring_queue_exit(&ring);
	EXPECT(munmap(mem, size), 0);
	set_capability(CAP_IPC_LOCK, true);
}

static void of_movable_4k(void)
{
	of_movable(PAGE);
}

static void of_movable_thp(void)
{
	of_movable(2 * MIB);
}

/* --- as large as the guest allows, and the file changes under it ----------------------- */

#define MARK		16		/* bytes, where they are at the start */

/* The mark of this place: through the buffer, by a pipe */
static void write_mark(struct io_uring *ring, unsigned int slot, size_t at, size_t what)
{
	size_t mark[MARK / sizeof(size_t)] = { what, ~what };
	int fds[2];

	EXPECT(pipe(fds), 0);
	EXPECT(write(fds[1], mark, MARK), MARK);
	uapi_sqe(ring, IORING_OP_READ_FIXED, fds[0], (void *)at, MARK, slot);
	EXPECT(uapi_run(ring), MARK);
	close(fds[0]);
	close(fds[1]);
}

static void expect_mark(const size_t *mark, size_t at, size_t what)
{
	if (mark[0] != what || mark[1] != (what ? ~what : 0))
		fail("at %#zx: %#zx, %#zx and not %#zx", at, mark[0], mark[1], what);
}

/* All of them in the buffer */
static void expect_marks(struct io_uring *ring, unsigned int slot, size_t size, size_t step)
{
	size_t mark[MARK / sizeof(size_t)];
	int fds[2];

	EXPECT(pipe(fds), 0);
	for (size_t at = 0; at < size; at += step) {
		uapi_sqe(ring, IORING_OP_WRITE_FIXED, fds[1], (void *)at, MARK, slot);
		EXPECT(uapi_run(ring), MARK);
		EXPECT(read(fds[0], mark, MARK), MARK);
		expect_mark(mark, at, at + 1);
	}
	close(fds[0]);
	close(fds[1]);
}

/* In the file, with nothing in [@from, @to) */
static void expect_file(int fd, size_t size, size_t step, size_t from, size_t to)
{
	size_t mark[MARK / sizeof(size_t)];

	for (size_t at = 0; at < size; at += step) {
		EXPECT(pread(fd, mark, MARK, (off_t)at), MARK);
		expect_mark(mark, at, at >= from && at < to ? 0 : at + 1);
	}
}

/*
 * What is done to the file		what the buffers have
 * it is a hole, or was made before	as many runs as it has pages, and no page tables
 * made twice as long			the first half, and then all; the same memory
 * a quarter punched, half cut off	what they had; the file has it no more
 * sealed against writing		-EBUSY, as long as there is one
 * sealed in its size			what is left is registered again, the hole is filled
 *
 * Unless all are of one page there may be fewer folios of that size than are asked for.
 */
static void large(int fd, size_t size, size_t page, bool sure)
{
	const size_t half = size / 2, quarter = size / 4, step = page < MIB ? MIB : page;
	const size_t each = sure ? page : 0;
	struct io_uring ring;

	uapi_sparse_ring(&ring, 2);
	make(fd, 0, half, page);
	set_and_count(&ring, 0, memfd_range(fd, 0, half), each);
	EXPECT(memfd_set(&ring, 1, memfd_range(fd, 0, size)), -EINVAL);
	make(fd, half, size, page);
	set_and_count(&ring, 1, memfd_range(fd, 0, size), each);
	for (size_t at = 0; at < size; at += step)
		write_mark(&ring, at < half ? 0 : 1, at, at + 1);
	expect_marks(&ring, 1, size, step);
	expect_file(fd, size, step, 0, 0);

	EXPECT(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(quarter / 2),
			 (off_t)quarter), 0);
	EXPECT(ftruncate(fd, (off_t)half), 0);
	expect_marks(&ring, 0, half, step);
	expect_marks(&ring, 1, size, step);
	expect_file(fd, half, step, quarter / 2, quarter / 2 + quarter);

	EXPECT(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	EXPECT(errno, EBUSY);
	EXPECT(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
	EXPECT(ftruncate(fd, (off_t)size), -1);
	EXPECT(errno, EPERM);
	/* The memory that only the buffers have is given back first. */
	EXPECT(memfd_set(&ring, 1, (desc_t){ }), 1);
	EXPECT(memfd_set(&ring, 0, (desc_t){ }), 1);
	set_and_count(&ring, 1, memfd_range(fd, 0, half), each);
	for (size_t at = quarter / 2; at < quarter / 2 + quarter; at += step)
		write_mark(&ring, 1, at, at + 1);
	expect_marks(&ring, 1, half, step);
	expect_file(fd, half, step, 0, 0);

	EXPECT(io_uring_unregister_buffers(&ring), 0);
	EXPECT(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	io_uring_queue_exit(&ring);
}

/* Room for what it has, and for what else is going on */
static size_t largest(void)
{
	uint64_t kb;
	size_t size;

	EXPECT(read_key("/proc/meminfo", "MemAvailable:", &kb), 0);
	size = ALIGN_DOWN(kb / 8 * 5 * KIB, 16 * MIB);
	if (size <= GIB)
		skip("only %llu KiB of memory", (unsigned long long)kb);
	note("  %zu MiB", size / MIB);
	return size;
}

static void large_of_folios(size_t page)
{
	int fd = memfd_new(0, MFD_ALLOW_SEALING);

	/* Where other tests have been, there are no folios of this size without any effort. */
	set_to(COMPACT, "1");
	set_to(THP_DEFRAG, "always");
	memfd_folios(page);
	large(fd, largest(), page, page == PAGE);
	memfd_folios(PAGE);
	set_to(THP_DEFRAG, "madvise");
}

static void large_4k(void)
{
	large_of_folios(PAGE);
}

static void large_64k(void)
{
	large_of_folios(64 * KIB);
}

static void large_thp(void)
{
	large_of_folios(2 * MIB);
}

/* As many as there are: a guest has not so many of these, and one of 1 GiB cannot be cut. */
static void large_2m(void)
{
	struct vmstat now;

	vmstat_read(&now);
	if (now.huge_free[0] < 16)
		skip("%llu huge pages of 2 MiB", (unsigned long long)now.huge_free[0]);
	large(huge_memfd(MFD_HUGE_2MB, 0), ALIGN_DOWN(now.huge_free[0] / 2, 8) * 2 * MIB, 2 * MIB,
	      true);
}

const struct uapi_case pages_cases[] = {
	{ "memfd_4k_pages", of_4k, false },
	{ "memfd_64k", of_64k, false },
	{ "memfd_thp", of_thp, false },
	{ "memfd_tmpfs", of_tmpfs, false },
	{ "memfd_hugetlb_2m", of_2m, false },
	{ "memfd_hugetlb_1g", of_1g, false },
	{ "memfd_large_4k", large_4k, false },
	{ "memfd_large_64k", large_64k, false },
	{ "memfd_large_thp", large_thp, false },
	{ "memfd_large_hugetlb", large_2m, false },
	{ }
};

const struct uapi_case movable_cases[] = {
	{ "memfd_movable_4k", of_movable_4k, false },
	{ "memfd_movable_thp", of_movable_thp, false },
	{ "movable_untouched_charged", untouched_charged, false },
	{ }
};

/* --- beside the same memory mapped ------------------------------------------------------ */

#define TIMES		3

struct cost {
	unsigned long long insn;	/* of registering, at least */
	uint64_t pins;
};

static struct cost cost_of(desc_t desc)
{
	struct cost cost = { .insn = -1ULL };

	for (int i = 0; i < TIMES; i++) {
		struct io_uring ring;
		uint64_t start, end, before;

		uapi_sparse_ring(&ring, 1);
		before = pins();
		settle();
		start = now_ns();
		EXPECT(memfd_set(&ring, 0, desc), 1);
		end = now_ns();
		cost.pins = pins() - before;
		if ((end - start) >> uapi_icount < cost.insn)
			cost.insn = (end - start) >> uapi_icount;
		EXPECT(io_uring_unregister_buffers(&ring), 0);
		io_uring_queue_exit(&ring);
	}
	return cost;
}

/*
 * Besides the mapping, which is saved, a run costs no more than one that is found in page tables;
 * what the call costs by itself is some more, since the file has to be found and asked. The two
 * are told apart by half as much memory.
 */
#define OF_A_FILE	300

static long long of_the_runs(desc_t half, desc_t all, struct cost *cost)
{
	*cost = cost_of(all);
	return (long long)(cost->insn - cost_of(half).insn);
}

static void cost(int fd, size_t size, size_t page)
{
	size_t runs = size / page, half = runs / 2 * page;
	desc_t part = { .type = IO_REGBUF_TYPE_UADDR, .size = half };
	desc_t desc = { .type = IO_REGBUF_TYPE_UADDR, .size = size };
	long long of_memfd = 0, of_mapped = 0;
	struct cost memfd, mapped;
	unsigned long long mapping;
	struct io_uring ring;
	uint64_t start;
	char *mem;

	/* All of it is there. */
	uapi_sparse_ring(&ring, 1);
	EXPECT(memfd_set(&ring, 0, memfd_range(fd, 0, size)), 1);
	io_uring_queue_exit(&ring);
	start = now_ns();
	mem = uapi_map(size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd);
	mapping = (now_ns() - start) >> uapi_icount;
	desc.uaddr = part.uaddr = (uintptr_t)mem;
	of_mapped = of_the_runs(part, desc, &mapped);
	EXPECT(munmap(mem, size), 0);
	of_memfd = of_the_runs(memfd_range(fd, 0, half), memfd_range(fd, 0, size), &memfd);
	note("  %zu runs: memfd %llu insn, %llu pins; mapped %llu, %llu; to map it %llu", runs,
	     memfd.insn, (unsigned long long)memfd.pins, mapped.insn,
	     (unsigned long long)mapped.pins, mapping);
	note("  each of half of them: memfd %.1f insn, mapped %.1f",
	     (double)of_memfd / (double)(runs - runs / 2),
	     (double)of_mapped / (double)(runs - runs / 2));
	EXPECT(memfd.pins, runs);
	EXPECT_TRUE(memfd.pins <= mapped.pins);
	EXPECT_TRUE(of_memfd <= of_mapped);
	EXPECT_TRUE(memfd.insn <= mapped.insn + OF_A_FILE);
	close(fd);
}

static void cost_of_folios(size_t page)
{
	int fd = memfd_new(0, 0);

	memfd_folios(page);
	make(fd, 0, GIB, page);
	cost(fd, GIB, page);
	memfd_folios(PAGE);
}

static void cost_4k(void)
{
	cost_of_folios(PAGE);
}

static void cost_64k(void)
{
	cost_of_folios(64 * KIB);
}

static void cost_thp(void)
{
	cost_of_folios(2 * MIB);
}

static void cost_2m(void)
{
	cost(huge_memfd(MFD_HUGE_2MB, 64 * MIB), 64 * MIB, 2 * MIB);
}

static void cost_1g(void)
{
	cost(huge_memfd(MFD_HUGE_1GB, 2 * GIB), 2 * GIB, GIB);
}

const struct uapi_case cost_cases[] = {
	{ "memfd_cost_4k", cost_4k, false },
	{ "memfd_cost_64k", cost_64k, false },
	{ "memfd_cost_thp", cost_thp, false },
	{ "memfd_cost_hugetlb_2m", cost_2m, false },
	{ "memfd_cost_hugetlb_1g", cost_1g, false },
	{ }
};
