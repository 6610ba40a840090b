// SPDX-License-Identifier: GPL-2.0
/*
 * Buffers that are a range of a memfd: which files can be one, that the buffer is the memory of the
 * file, without a mapping, and what is pinned and charged for it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/memfd.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "pattern.h"
#include "regbuf_uapi.h"
#include "registration.h"
#include "tcp_pair.h"
#include "vmstat.h"
#include "zram.h"

#define PAGE		(4 * KIB)
#define LEN		(64 * KIB)
#define THP_SETTING	"/sys/kernel/mm/transparent_hugepage/shmem_enabled"

typedef struct io_uring_regbuf_desc desc_t;

static int new_memfd(size_t len, unsigned int flags)
{
	int fd = memfd_create("buffer", MFD_CLOEXEC | flags);

	EXPECT_TRUE(fd >= 0);
	EXPECT(ftruncate(fd, (off_t)len), 0);
	return fd;
}

/* Written by write(2), which hugetlbfs does not have: then through a mapping that is gone again. */
static void fill_file(int fd, size_t len, uint64_t seed)
{
	char *mem = uapi_map(len, PROT_READ | PROT_WRITE, MAP_SHARED, fd);

	pattern_fill(mem, len, 0, seed);
	EXPECT(munmap(mem, len), 0);
}

static char *pattern(size_t len, uint64_t seed)
{
	char *data = malloc(len);

	EXPECT_TRUE(data);
	pattern_fill(data, len, 0, seed);
	return data;
}

static desc_t range(int fd, uint64_t offset, size_t size)
{
	return (desc_t){ .type = IO_REGBUF_TYPE_MEMFD, .memfd = fd, .offset = offset, .size = size };
}

static int set(struct io_uring *ring, unsigned int slot, desc_t desc)
{
	return uapi_update_descs(ring, slot, &desc, 1);
}

static void sparse_ring(struct io_uring *ring, unsigned int nr)
{
	uapi_ring(ring);
	EXPECT(uapi_buffers(ring, NULL, nr, IORING_RSRC_REGISTER_SPARSE), 0);
}

static void get_layout(struct io_uring *ring, unsigned int index, struct io_uring_buffer_layout *l)
{
	memset(l, 0, sizeof(*l));
	l->index = index;
	EXPECT(uapi_register(ring->ring_fd, IORING_REGISTER_BUFFER_LAYOUT, l, sizeof(*l)), 0);
}

/* From what file position the byte at @addr of the buffer is, by reading and by writing */
static void check_io(struct io_uring *ring, unsigned int slot, const char *base, int fd, size_t len)
{
	char *want = pattern(len, 1), *got = malloc(len);
	struct iovec iov[2] = { { (char *)base + PAGE, PAGE }, { (char *)base + 3, 100 } };
	int file = uapi_file(len, 2), fds[2];
	struct tcp_pair pair = { .ring = ring };
	struct io_uring_sqe *sqe;

	EXPECT_TRUE(got);
	uapi_expect_content(ring, slot, base, len, want);

	/* A file into the buffer, and so into the memfd */
	uapi_sqe(ring, IORING_OP_READ_FIXED, file, base + PAGE, (unsigned int)(len - PAGE), slot)->off =
		PAGE;
	EXPECT(uapi_run(ring), len - PAGE);
	EXPECT(pread(fd, got, len, 0), len);
	EXPECT(pattern_check(got, PAGE, 0, 1), PAGE);
	EXPECT(pattern_check(got + PAGE, len - PAGE, PAGE, 2), len - PAGE);

	/* And out again, in parts */
	EXPECT(pipe(fds), 0);
	uapi_sqe(ring, IORING_OP_WRITEV_FIXED, fds[1], iov, 2, slot);
	EXPECT(uapi_run(ring), PAGE + 100);
	EXPECT(read(fds[0], got, len), PAGE + 100);
	EXPECT(pattern_check(got, PAGE, PAGE, 2), PAGE);
	EXPECT(pattern_check(got + PAGE, 100, 3, 1), 100);

	/* Beyond it, on both sides */
	uapi_sqe(ring, IORING_OP_WRITE_FIXED, fds[1], base + len - 10, 11, slot);
	EXPECT(uapi_run(ring), -EFAULT);
	uapi_sqe(ring, IORING_OP_WRITE_FIXED, fds[1], base - 1, 2, slot);
	EXPECT(uapi_run(ring), -EFAULT);
	close(fds[0]);
	close(fds[1]);

	tcp_pair_open(&pair, 0, 0);
	sqe = uapi_sqe(ring, IORING_OP_SEND_ZC, pair.from, base + 5, PAGE, slot);
	sqe->ioprio = IORING_RECVSEND_FIXED_BUF;
	EXPECT(uapi_run(ring), PAGE);
	EXPECT(recv(pair.to, got, PAGE, MSG_WAITALL), PAGE);
	EXPECT(pattern_check(got, PAGE - 5, 5, 1), PAGE - 5);
	tcp_pair_close(&pair);
	free(got);
	free(want);
	close(file);
}

/* Bytes are named from 0, or from the address that the descriptor gives; nothing is mapped there. */
static void content(void)
{
	char *const base = (char *)0x123456789000;
	struct io_uring ring, clone;
	int fd = new_memfd(LEN, 0);
	desc_t desc = range(fd, 0, LEN);

	sparse_ring(&ring, 2);
	fill_file(fd, LEN, 1);
	EXPECT(set(&ring, 0, desc), 1);
	check_io(&ring, 0, NULL, fd, LEN);
	fill_file(fd, LEN, 1);
	desc.uaddr = (uintptr_t)base;
	EXPECT(set(&ring, 1, desc), 1);
	check_io(&ring, 1, base, fd, LEN);
	fill_file(fd, LEN, 1);
	uapi_ring(&clone);
	EXPECT(uapi_clone(&clone, &ring), 0);
	io_uring_queue_exit(&ring);
	/* The buffer does not need the file descriptor. */
	fd = dup(fd);
	close(desc.memfd);
	check_io(&clone, 1, base, fd, LEN);
}

/* A part, as far into a page as the address says */
static void parts(void)
{
	char *want = pattern(LEN, 1);
	int fd = new_memfd(LEN - 100, 0);
	struct io_uring ring;
	desc_t desc;

	fill_file(fd, LEN - 100, 1);
	sparse_ring(&ring, 1);
	desc = range(fd, 2 * PAGE + 17, 3 * PAGE);
	desc.uaddr = 5 * PAGE + 17;
	EXPECT(set(&ring, 0, desc), 1);
	uapi_expect_content(&ring, 0, (void *)desc.uaddr, 3 * PAGE, want + desc.offset);
	/* To the end, which is inside a page */
	desc = range(fd, PAGE, LEN - 100 - PAGE);
	EXPECT(set(&ring, 0, desc), 1);
	uapi_expect_content(&ring, 0, NULL, desc.size, want + PAGE);
	desc.size++;
	EXPECT(set(&ring, 0, desc), -EINVAL);
	/* It grows. */
	EXPECT(ftruncate(fd, LEN), 0);
	EXPECT(set(&ring, 0, desc), 1);
}

/* Nothing was ever there: allocated, and zero. So is what fallocate() left as it was. */
static void holes(void)
{
	static const char zero[MIB];
	struct io_uring ring;
	struct stat st;
	char *dirt;
	int fd;

	/* Memory that was somebody's is what is allocated next. */
	dirt = uapi_map(64 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	memset(dirt, 0xee, 64 * MIB);
	munmap(dirt, 64 * MIB);

	sparse_ring(&ring, 1);
	fd = new_memfd(MIB, 0);
	EXPECT(set(&ring, 0, range(fd, 0, MIB)), 1);
	uapi_expect_content(&ring, 0, NULL, MIB, zero);
	EXPECT(fstat(fd, &st), 0);
	EXPECT(st.st_blocks, MIB / 512);

	fd = new_memfd(MIB, 0);
	EXPECT(fallocate(fd, 0, 0, MIB), 0);
	EXPECT(set(&ring, 0, range(fd, 0, MIB)), 1);
	uapi_expect_content(&ring, 0, NULL, MIB, zero);
}

static void set_thp(const char *setting)
{
	int fd = open(THP_SETTING, O_WRONLY | O_CLOEXEC);

	EXPECT_TRUE(fd >= 0);
	EXPECT(write(fd, setting, strlen(setting)), strlen(setting));
	close(fd);
}

static uint64_t status_kb(const char *key)
{
	uint64_t kb;

	EXPECT(read_key("/proc/self/status", key, &kb), 0);
	return kb;
}

/* Registered, looked at, and as many pins as there are runs; no page table for it. */
static void of_pages(int fd, size_t size, size_t page)
{
	struct io_uring_buffer_layout l;
	struct vmstat before, after;
	struct io_uring ring;
	uint64_t tables;

	sparse_ring(&ring, 1);
	tables = status_kb("VmPTE:");
	vmstat_read(&before);
	EXPECT(set(&ring, 0, range(fd, 0, size)), 1);
	vmstat_read(&after);
	EXPECT(status_kb("VmPTE:"), tables);
	EXPECT(after.pin_acquired - before.pin_acquired -
	       (after.pin_released - before.pin_released), size / page);
	get_layout(&ring, 0, &l);
	EXPECT(l.len, size);
	EXPECT(l.nr_runs, size / page);
	EXPECT(l.smallest_run, page);
	EXPECT(l.largest_run, page);
	EXPECT(l.flags, 0);
	io_uring_queue_exit(&ring);
}

static void of_4k_pages(void)
{
	int fd = new_memfd(128 * MIB, 0);

	set_thp("never");
	of_pages(fd, 128 * MIB, PAGE);
}

static void of_thp(void)
{
	int fd = new_memfd(128 * MIB, 0);

	set_thp("always");
	of_pages(fd, 128 * MIB, 2 * MIB);
	set_thp("never");
}

static void of_hugetlb(unsigned int flags, size_t page, size_t size)
{
	int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB | flags);
	static const char zero[LEN];
	struct io_uring ring;
	desc_t desc;
	char *mem;

	if (fd < 0)
		skip("memfd of huge pages: %s", strerror(errno));
	EXPECT(ftruncate(fd, (off_t)size), 0);
	of_pages(fd, size, page);
	sparse_ring(&ring, 1);
	desc = range(fd, size - page / 2, LEN);
	EXPECT(set(&ring, 0, desc), 1);
	uapi_expect_content(&ring, 0, NULL, LEN, zero);
	mem = uapi_map(size, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
	pattern_fill(mem + desc.offset, LEN, 0, 1);
	uapi_expect_content(&ring, 0, NULL, LEN, mem + desc.offset);
	EXPECT(munmap(mem, size), 0);
	EXPECT(set(&ring, 0, range(fd, 0, size + 1)), -EINVAL);
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

/* A file that holds more than there are huge pages */
static void no_memory(void)
{
	int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB);
	struct io_uring ring;

	sparse_ring(&ring, 1);
	EXPECT(ftruncate(fd, GIB), 0);
	EXPECT(set(&ring, 0, range(fd, 0, GIB)), -ENOMEM);
	uapi_sqe(&ring, IORING_OP_WRITE_FIXED, 1, NULL, 1, 0);
	EXPECT(uapi_run(&ring), -EFAULT);
}

static int reopen(int fd, int flags)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	fd = open(path, flags | O_CLOEXEC);
	EXPECT_TRUE(fd >= 0);
	return fd;
}

static void modes_and_seals(void)
{
	int fd = new_memfd(LEN, MFD_ALLOW_SEALING);
	struct io_uring ring;
	desc_t desc;

	fill_file(fd, LEN, 1);
	sparse_ring(&ring, 1);
	desc = range(reopen(fd, O_WRONLY), 0, LEN);
	EXPECT(set(&ring, 0, desc), -EACCES);
	desc.memfd = reopen(fd, O_RDONLY);
	EXPECT(set(&ring, 0, desc), -EACCES);
	desc.flags = IO_REGBUF_READ_ONLY;
	EXPECT(set(&ring, 0, desc), 1);
	uapi_sqe(&ring, IORING_OP_READ_FIXED, uapi_file(LEN, 2), NULL, 100, 0)->off = 0;
	EXPECT(uapi_run(&ring), -EFAULT);

	/* What is pinned cannot be sealed; what may be written to later can. */
	EXPECT(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	EXPECT(errno, EBUSY);
	desc.memfd = fd;
	desc.flags = 0;
	EXPECT(set(&ring, 0, desc), 1);
	EXPECT(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	EXPECT(errno, EBUSY);
	EXPECT(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), 0);
	EXPECT(set(&ring, 0, desc), -EPERM);
	desc.flags = IO_REGBUF_READ_ONLY;
	EXPECT(set(&ring, 0, desc), 1);
	EXPECT(io_uring_unregister_buffers(&ring), 0);

	EXPECT(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	EXPECT(uapi_buffers(&ring, NULL, 1, IORING_RSRC_REGISTER_SPARSE), 0);
	desc.flags = 0;
	EXPECT(set(&ring, 0, desc), -EPERM);
	desc.flags = IO_REGBUF_READ_ONLY;
	EXPECT(set(&ring, 0, desc), 1);
	uapi_expect_content(&ring, 0, NULL, LEN, pattern(LEN, 1));
}

static void refused(void)
{
	int fd = new_memfd(LEN, 0), fds[2], secret = (int)syscall(447, O_CLOEXEC);
	struct io_uring ring;
	desc_t desc;

	sparse_ring(&ring, 1);
	EXPECT(pipe(fds), 0);
	EXPECT(set(&ring, 0, range(-1, 0, LEN)), -EBADF);
	EXPECT(set(&ring, 0, range(fds[0], 0, LEN)), -EINVAL);
	EXPECT(set(&ring, 0, range(ring.ring_fd, 0, LEN)), -EINVAL);
	EXPECT(set(&ring, 0, range(uapi_file(LEN, 1), 0, LEN)), -EINVAL);
	EXPECT(set(&ring, 0, range(open("/proc/self/fd", O_PATH | O_CLOEXEC), 0, LEN)), -EBADF);
	if (secret >= 0) {
		EXPECT(ftruncate(secret, LEN), 0);
		EXPECT(set(&ring, 0, range(secret, 0, LEN)), -EINVAL);
	}

	EXPECT(set(&ring, 0, range(fd, 0, 0)), -EFAULT);
	EXPECT(set(&ring, 0, range(fd, 0, LEN + 1)), -EINVAL);
	EXPECT(set(&ring, 0, range(fd, LEN, 1)), -EINVAL);
	EXPECT(set(&ring, 0, range(fd, (uint64_t)-PAGE, PAGE)), -EINVAL);
	EXPECT(set(&ring, 0, range(fd, (uint64_t)-PAGE, 2 * PAGE)), -EINVAL);
	EXPECT(set(&ring, 0, range(fd, 1ULL << 62, PAGE)), -EINVAL);
	for (uint64_t off = 1; off < PAGE; off *= 2) {
		EXPECT(set(&ring, 0, range(fd, off, 1)), -EINVAL);
		desc = range(fd, 0, 1);
		desc.uaddr = off;
		EXPECT(set(&ring, 0, desc), -EINVAL);
	}
	desc = range(fd, 0, 2 * PAGE);
	desc.uaddr = (uint64_t)-PAGE;
	EXPECT(set(&ring, 0, desc), -EOVERFLOW);
	for (size_t i = offsetof(desc_t, __memfd_resv); i < sizeof(desc); i++) {
		if (i == offsetof(desc_t, offset))
			i += sizeof(desc.offset);
		desc = range(fd, 0, PAGE);
		((char *)&desc)[i] = 1;
		EXPECT(set(&ring, 0, desc), -EINVAL);
	}
	for (unsigned int bit = 1; bit < 32; bit++) {
		desc = range(fd, 0, PAGE);
		desc.flags = 1U << bit;
		EXPECT(set(&ring, 0, desc), -EINVAL);
	}
	uapi_sqe(&ring, IORING_OP_WRITE_FIXED, fds[1], NULL, 1, 0);
	EXPECT(uapi_run(&ring), -EFAULT);
}

/* The file loses the pages, the buffer keeps them. */
static void truncated_and_punched(void)
{
	char *want = pattern(LEN, 1), got[LEN];
	int fd = new_memfd(LEN, 0);
	struct io_uring ring;

	fill_file(fd, LEN, 1);
	sparse_ring(&ring, 1);
	EXPECT(set(&ring, 0, range(fd, 0, LEN)), 1);
	EXPECT(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 2 * PAGE), 0);
	EXPECT(ftruncate(fd, 4 * PAGE), 0);
	uapi_expect_content(&ring, 0, NULL, LEN, want);
	uapi_sqe(&ring, IORING_OP_READ_FIXED, uapi_file(LEN, 2), NULL, PAGE, 0)->off = 0;
	EXPECT(uapi_run(&ring), PAGE);
	EXPECT(pread(fd, got, LEN, 0), 4 * PAGE);
	for (size_t i = 0; i < 2 * PAGE; i++)
		EXPECT(got[i], 0);
	EXPECT(memcmp(got + 2 * PAGE, want + 2 * PAGE, 2 * PAGE), 0);
	/* Registered again, it is what the file has now. */
	EXPECT(set(&ring, 0, range(fd, 0, 4 * PAGE)), 1);
	uapi_expect_content(&ring, 0, NULL, 4 * PAGE, got);
}

static void charged(void)
{
	int fd = new_memfd(4 * MIB, 0);
	struct io_uring_buffer_layout l;
	struct io_uring ring;
	struct reason why;
	uint64_t before;

	set_thp("always");
	if (ring_init(&ring, true, &why))
		fail("%s", why.text);
	EXPECT(uapi_buffers(&ring, NULL, 2, IORING_RSRC_REGISTER_SPARSE), 0);
	before = status_kb("VmPin:");
	/* A part of a huge page is charged as all of it, once. */
	EXPECT(set(&ring, 0, range(fd, MIB, LEN)), 1);
	EXPECT(status_kb("VmPin:") - before, 2 * KIB);
	EXPECT(set(&ring, 1, range(fd, 0, 4 * MIB)), 1);
	EXPECT(status_kb("VmPin:") - before, 4 * KIB);
	get_layout(&ring, 1, &l);
	EXPECT(l.charged_bytes, 2 * MIB);
	EXPECT(set(&ring, 1, (desc_t){ }), 1);
	EXPECT(status_kb("VmPin:") - before, 2 * KIB);
	io_uring_unregister_buffers(&ring);
	EXPECT(status_kb("VmPin:"), before);
	set_thp("never");
}

/* Data that came through the buffer only is swapped out, and not dropped as clean. */
static void dirty(void)
{
	char *want = pattern(MIB, 2), *mem;
	int fd = new_memfd(MIB, 0), file = uapi_file(MIB, 2);
	struct io_uring ring;
	struct reason why;

	if (zram_swap_on("64M", &why))
		skip("%s", why.text);
	sparse_ring(&ring, 1);
	EXPECT(set(&ring, 0, range(fd, 0, MIB)), 1);
	uapi_sqe(&ring, IORING_OP_READ_FIXED, file, NULL, MIB, 0)->off = 0;
	EXPECT(uapi_run(&ring), MIB);
	EXPECT(io_uring_unregister_buffers(&ring), 0);
	mem = uapi_map(MIB, PROT_READ, MAP_SHARED, fd);
	EXPECT(madvise(mem, MIB, MADV_POPULATE_READ), 0);
	EXPECT(madvise(mem, MIB, MADV_PAGEOUT), 0);
	EXPECT(memcmp(mem, want, MIB), 0);
	/* It can be registered from there, too. */
	EXPECT(madvise(mem, MIB, MADV_PAGEOUT), 0);
	EXPECT(munmap(mem, MIB), 0);
	EXPECT(uapi_buffers(&ring, NULL, 1, IORING_RSRC_REGISTER_SPARSE), 0);
	EXPECT(set(&ring, 0, range(fd, 0, MIB)), 1);
	uapi_expect_content(&ring, 0, NULL, MIB, want);
	io_uring_queue_exit(&ring);
	close(fd);
	if (zram_swap_off(&why))
		fail("%s", why.text);
}

/* How the pages of a file lie is told to its owner and to who may write to it. */
static void layout_told(void)
{
	struct io_uring_buffer_layout l = { };
	int fd = new_memfd(LEN, 0), ro = reopen(fd, O_RDONLY);
	struct io_uring ring;
	desc_t desc = range(ro, 0, LEN);

	EXPECT(fchmod(fd, 0644), 0);
	desc.flags = IO_REGBUF_READ_ONLY;
	sparse_ring(&ring, 2);
	EXPECT(set(&ring, 0, desc), 1);
	EXPECT(setresuid(1000, 1000, 0), 0);
	EXPECT(set(&ring, 1, desc), 1);
	EXPECT(uapi_register(ring.ring_fd, IORING_REGISTER_BUFFER_LAYOUT, &l, sizeof(l)), 0);
	EXPECT(l.flags, IORING_BUFFER_LAYOUT_READ_ONLY);
	memset(&l, 0, sizeof(l));
	l.index = 1;
	EXPECT(uapi_register(ring.ring_fd, IORING_REGISTER_BUFFER_LAYOUT, &l, sizeof(l)), -EACCES);
	EXPECT(setresuid(-1, 0, -1), 0);
}

/* Nobody may write over what such a file has, by whatever way. */
static void appended(void)
{
	int fd = new_memfd(LEN, 0), append = FS_APPEND_FL;
	char *want = pattern(LEN, 1);
	desc_t desc = range(fd, 0, LEN);
	struct io_uring ring;

	fill_file(fd, LEN, 1);
	sparse_ring(&ring, 1);
	if (ioctl(fd, FS_IOC_SETFLAGS, &append))
		skip("a file that is only appended to: %s", strerror(errno));
	EXPECT(set(&ring, 0, desc), -EACCES);
	desc.flags = IO_REGBUF_READ_ONLY;
	EXPECT(set(&ring, 0, desc), 1);
	uapi_expect_content(&ring, 0, NULL, LEN, want);
	free(want);
}

/* A file that wants an address of the process is not given the name of a byte. */
static void only_names(void)
{
	char *other = uapi_map(LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	int fd = new_memfd(LEN, 0), env = open("/proc/self/environ", O_RDONLY | O_CLOEXEC);
	desc_t desc = range(fd, 0, LEN);
	struct io_uring ring;

	EXPECT_TRUE(env >= 0);
	pattern_fill(other, LEN, 0, 1);
	desc.uaddr = (uintptr_t)other;
	sparse_ring(&ring, 1);
	EXPECT(set(&ring, 0, desc), 1);
	uapi_sqe(&ring, IORING_OP_READ_FIXED, env, other, PAGE, 0);
	EXPECT(uapi_run(&ring), -EFAULT);
	EXPECT(pattern_check(other, LEN, 0, 1), LEN);
	close(env);
}

const struct uapi_case memfd_cases[] = {
	{ "memfd_content", content, false },
	{ "memfd_parts", parts, false },
	{ "memfd_holes", holes, false },
	{ "memfd_4k_pages", of_4k_pages, false },
	{ "memfd_thp", of_thp, false },
	{ "memfd_hugetlb_2m", of_2m, false },
	{ "memfd_hugetlb_1g", of_1g, false },
	{ "memfd_no_memory", no_memory, false },
	{ "memfd_modes_and_seals", modes_and_seals, false },
	{ "memfd_refused", refused, false },
	{ "memfd_truncated_and_punched", truncated_and_punched, false },
	{ "memfd_charged", charged, false },
	{ "memfd_dirty", dirty, false },
	{ "memfd_layout_told", layout_told, false },
	{ "memfd_appended", appended, false },
	{ "memfd_only_names", only_names, false },
	{ }
};
