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

typedef struct io_uring_regbuf_desc desc_t;

int memfd_new(size_t len, unsigned int flags)
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

desc_t memfd_range(int fd, uint64_t offset, size_t size)
{
	return (desc_t){ .type = IO_REGBUF_TYPE_MEMFD, .memfd = fd, .offset = offset, .size = size };
}

int memfd_set(struct io_uring *ring, unsigned int slot, desc_t desc)
{
	return uapi_update_descs(ring, slot, &desc, 1);
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
	int fd = memfd_new(LEN, 0);
	desc_t desc = memfd_range(fd, 0, LEN);

	uapi_sparse_ring(&ring, 2);
	fill_file(fd, LEN, 1);
	EXPECT(memfd_set(&ring, 0, desc), 1);
	check_io(&ring, 0, NULL, fd, LEN);
	fill_file(fd, LEN, 1);
	desc.uaddr = (uintptr_t)base;
	EXPECT(memfd_set(&ring, 1, desc), 1);
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
	int fd = memfd_new(LEN - 100, 0);
	struct io_uring ring;
	desc_t desc;

	fill_file(fd, LEN - 100, 1);
	uapi_sparse_ring(&ring, 1);
	desc = memfd_range(fd, 2 * PAGE + 17, 3 * PAGE);
	desc.uaddr = 5 * PAGE + 17;
	EXPECT(memfd_set(&ring, 0, desc), 1);
	uapi_expect_content(&ring, 0, (void *)desc.uaddr, 3 * PAGE, want + desc.offset);
	/* To the end, which is inside a page */
	desc = memfd_range(fd, PAGE, LEN - 100 - PAGE);
	EXPECT(memfd_set(&ring, 0, desc), 1);
	uapi_expect_content(&ring, 0, NULL, desc.size, want + PAGE);
	desc.size++;
	EXPECT(memfd_set(&ring, 0, desc), -EINVAL);
	/* It grows. */
	EXPECT(ftruncate(fd, LEN), 0);
	EXPECT(memfd_set(&ring, 0, desc), 1);
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

	uapi_sparse_ring(&ring, 1);
	fd = memfd_new(MIB, 0);
	EXPECT(memfd_set(&ring, 0, memfd_range(fd, 0, MIB)), 1);
	uapi_expect_content(&ring, 0, NULL, MIB, zero);
	EXPECT(fstat(fd, &st), 0);
	EXPECT(st.st_blocks, MIB / 512);

	fd = memfd_new(MIB, 0);
	EXPECT(fallocate(fd, 0, 0, MIB), 0);
	EXPECT(memfd_set(&ring, 0, memfd_range(fd, 0, MIB)), 1);
	uapi_expect_content(&ring, 0, NULL, MIB, zero);
}

/* A file of huge pages that ends inside a page, in a huge page that is not there */
static void odd_end(void)
{
	static const char zero[100];
	int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB);
	const off_t huge = 2 * MIB;
	struct io_uring ring;
	struct stat st;

	uapi_sparse_ring(&ring, 1);
	EXPECT(fallocate(fd, 0, 0, huge + 100), 0);
	EXPECT(fstat(fd, &st), 0);
	EXPECT(st.st_size, huge + 100);
	EXPECT(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, huge, huge), 0);
	EXPECT(memfd_set(&ring, 0, memfd_range(fd, huge, 100)), 1);
	uapi_expect_content(&ring, 0, NULL, 100, zero);
	EXPECT(memfd_set(&ring, 0, memfd_range(fd, huge, 101)), -EINVAL);
}

/* A file that holds more than there are huge pages */
static void no_memory(void)
{
	int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB);
	struct io_uring ring;

	uapi_sparse_ring(&ring, 1);
	EXPECT(ftruncate(fd, GIB), 0);
	EXPECT(memfd_set(&ring, 0, memfd_range(fd, 0, GIB)), -ENOMEM);
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
	int fd = memfd_new(LEN, MFD_ALLOW_SEALING);
	struct io_uring ring;
	desc_t desc;

	fill_file(fd, LEN, 1);
	uapi_sparse_ring(&ring, 1);
	desc = memfd_range(reopen(fd, O_WRONLY), 0, LEN);
	EXPECT(memfd_set(&ring, 0, desc), -EACCES);
	desc.memfd = reopen(fd, O_RDONLY);
	EXPECT(memfd_set(&ring, 0, desc), -EACCES);
	desc.flags = IO_REGBUF_READ_ONLY;
	EXPECT(memfd_set(&ring, 0, desc), 1);
	uapi_sqe(&ring, IORING_OP_READ_FIXED, uapi_file(LEN, 2), NULL, 100, 0)->off = 0;
	EXPECT(uapi_run(&ring), -EFAULT);

	/* What is pinned cannot be sealed; what may be written to later can. */
	EXPECT(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	EXPECT(errno, EBUSY);
	desc.memfd = fd;
	desc.flags = 0;
	EXPECT(memfd_set(&ring, 0, desc), 1);
	EXPECT(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	EXPECT(errno, EBUSY);
	EXPECT(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), 0);
	EXPECT(memfd_set(&ring, 0, desc), -EPERM);
	desc.flags = IO_REGBUF_READ_ONLY;
	EXPECT(memfd_set(&ring, 0, desc), 1);
	EXPECT(io_uring_unregister_buffers(&ring), 0);

	EXPECT(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	EXPECT(uapi_buffers(&ring, NULL, 1, IORING_RSRC_REGISTER_SPARSE), 0);
	desc.flags = 0;
	EXPECT(memfd_set(&ring, 0, desc), -EPERM);
	desc.flags = IO_REGBUF_READ_ONLY;
	EXPECT(memfd_set(&ring, 0, desc), 1);
	uapi_expect_content(&ring, 0, NULL, LEN, pattern(LEN, 1));
}

static void refused(void)
{
	int fd = memfd_new(LEN, 0), fds[2], secret = (int)syscall(447, O_CLOEXEC);
	struct io_uring ring;
	desc_t desc;

	uapi_sparse_ring(&ring, 1);
	EXPECT(pipe(fds), 0);
	EXPECT(memfd_set(&ring, 0, memfd_range(-1, 0, LEN)), -EBADF);
	EXPECT(memfd_set(&ring, 0, memfd_range(fds[0], 0, LEN)), -EINVAL);
	EXPECT(memfd_set(&ring, 0, memfd_range(ring.ring_fd, 0, LEN)), -EINVAL);
	EXPECT(memfd_set(&ring, 0, memfd_range(uapi_file(LEN, 1), 0, LEN)), -EINVAL);
	EXPECT(memfd_set(&ring, 0, memfd_range(open("/proc/self/fd", O_PATH | O_CLOEXEC), 0, LEN)), -EBADF);
	if (secret >= 0) {
		EXPECT(ftruncate(secret, LEN), 0);
		EXPECT(memfd_set(&ring, 0, memfd_range(secret, 0, LEN)), -EINVAL);
	}

	EXPECT(memfd_set(&ring, 0, memfd_range(fd, 0, 0)), -EFAULT);
	EXPECT(memfd_set(&ring, 0, memfd_range(fd, 0, LEN + 1)), -EINVAL);
	EXPECT(memfd_set(&ring, 0, memfd_range(fd, LEN, 1)), -EINVAL);
	EXPECT(memfd_set(&ring, 0, memfd_range(fd, (uint64_t)-PAGE, PAGE)), -EINVAL);
	EXPECT(memfd_set(&ring, 0, memfd_range(fd, (uint64_t)-PAGE, 2 * PAGE)), -EINVAL);
	EXPECT(memfd_set(&ring, 0, memfd_range(fd, 1ULL << 62, PAGE)), -EINVAL);
	for (uint64_t off = 1; off < PAGE; off *= 2) {
		EXPECT(memfd_set(&ring, 0, memfd_range(fd, off, 1)), -EINVAL);
		desc = memfd_range(fd, 0, 1);
		desc.uaddr = off;
		EXPECT(memfd_set(&ring, 0, desc), -EINVAL);
	}
	desc = memfd_range(fd, 0, 2 * PAGE);
	desc.uaddr = (uint64_t)-PAGE;
	EXPECT(memfd_set(&ring, 0, desc), -EOVERFLOW);
	for (size_t i = offsetof(desc_t, __memfd_resv); i < sizeof(desc); i++) {
		if (i == offsetof(desc_t, offset))
			i += sizeof(desc.offset);
		desc = memfd_range(fd, 0, PAGE);
		((char *)&desc)[i] = 1;
		EXPECT(memfd_set(&ring, 0, desc), -EINVAL);
	}
	for (unsigned int bit = 1; bit < 32; bit++) {
		desc = memfd_range(fd, 0, PAGE);
		desc.flags = 1U << bit;
		EXPECT(memfd_set(&ring, 0, desc), -EINVAL);
	}
	uapi_sqe(&ring, IORING_OP_WRITE_FIXED, fds[1], NULL, 1, 0);
	EXPECT(uapi_run(&ring), -EFAULT);
}

/* The file loses the pages, the buffer keeps them. */
static void truncated_and_punched(void)
{
	char *want = pattern(LEN, 1), got[LEN];
	int fd = memfd_new(LEN, 0);
	struct io_uring ring;

	fill_file(fd, LEN, 1);
	uapi_sparse_ring(&ring, 1);
	EXPECT(memfd_set(&ring, 0, memfd_range(fd, 0, LEN)), 1);
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
	EXPECT(memfd_set(&ring, 0, memfd_range(fd, 0, 4 * PAGE)), 1);
	uapi_expect_content(&ring, 0, NULL, 4 * PAGE, got);
}

static void charged(void)
{
	int fd = memfd_new(4 * MIB, 0);
	struct io_uring_buffer_layout l;
	struct io_uring ring;
	struct reason why;
	uint64_t before;

	memfd_folios(2 * MIB);
	if (ring_init(&ring, true, &why))
		fail("%s", why.text);
	EXPECT(uapi_buffers(&ring, NULL, 2, IORING_RSRC_REGISTER_SPARSE), 0);
	before = uapi_status_kb("VmPin:");
	/* A part of a huge page is charged as all of it, once. */
	EXPECT(memfd_set(&ring, 0, memfd_range(fd, MIB, LEN)), 1);
	EXPECT(uapi_status_kb("VmPin:") - before, 2 * KIB);
	EXPECT(memfd_set(&ring, 1, memfd_range(fd, 0, 4 * MIB)), 1);
	EXPECT(uapi_status_kb("VmPin:") - before, 4 * KIB);
	uapi_layout(&ring, 1, &l);
	EXPECT(l.charged_bytes, 2 * MIB);
	EXPECT(memfd_set(&ring, 1, (desc_t){ }), 1);
	EXPECT(uapi_status_kb("VmPin:") - before, 2 * KIB);
	io_uring_unregister_buffers(&ring);
	EXPECT(uapi_status_kb("VmPin:"), before);
	memfd_folios(PAGE);
}

/* Data that came through the buffer only is swapped out, and not dropped as clean. */
static void dirty(void)
{
	char *want = pattern(MIB, 2), *mem;
	int fd = memfd_new(MIB, 0), file = uapi_file(MIB, 2);
	struct io_uring ring;
	struct reason why;

	if (zram_swap_on("64M", &why))
		skip("%s", why.text);
	uapi_sparse_ring(&ring, 1);
	EXPECT(memfd_set(&ring, 0, memfd_range(fd, 0, MIB)), 1);
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
	EXPECT(memfd_set(&ring, 0, memfd_range(fd, 0, MIB)), 1);
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
	int fd = memfd_new(LEN, 0), ro = reopen(fd, O_RDONLY);
	struct io_uring ring;
	desc_t desc = memfd_range(ro, 0, LEN);

	EXPECT(fchmod(fd, 0644), 0);
	desc.flags = IO_REGBUF_READ_ONLY;
	uapi_sparse_ring(&ring, 2);
	EXPECT(memfd_set(&ring, 0, desc), 1);
	EXPECT(setresuid(1000, 1000, 0), 0);
	EXPECT(memfd_set(&ring, 1, desc), 1);
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
	int fd = memfd_new(LEN, 0), append = FS_APPEND_FL;
	char *want = pattern(LEN, 1);
	desc_t desc = memfd_range(fd, 0, LEN);
	struct io_uring ring;

	fill_file(fd, LEN, 1);
	uapi_sparse_ring(&ring, 1);
	if (ioctl(fd, FS_IOC_SETFLAGS, &append))
		skip("a file that is only appended to: %s", strerror(errno));
	EXPECT(memfd_set(&ring, 0, desc), -EACCES);
	desc.flags = IO_REGBUF_READ_ONLY;
	EXPECT(memfd_set(&ring, 0, desc), 1);
	uapi_expect_content(&ring, 0, NULL, LEN, want);
	free(want);
}

/* A file that wants an address of the process is not given the name of a byte. */
static void only_names(void)
{
	char *other = uapi_map(LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	int fd = memfd_new(LEN, 0), env = open("/proc/self/environ", O_RDONLY | O_CLOEXEC);
	desc_t desc = memfd_range(fd, 0, LEN);
	struct io_uring ring;

	EXPECT_TRUE(env >= 0);
	pattern_fill(other, LEN, 0, 1);
	desc.uaddr = (uintptr_t)other;
	uapi_sparse_ring(&ring, 1);
	EXPECT(memfd_set(&ring, 0, desc), 1);
	uapi_sqe(&ring, IORING_OP_READ_FIXED, env, other, PAGE, 0);
	EXPECT(uapi_run(&ring), -EFAULT);
	EXPECT(pattern_check(other, LEN, 0, 1), LEN);
	close(env);
}

const struct uapi_case memfd_cases[] = {
	{ "memfd_content", content, false },
	{ "memfd_parts", parts, false },
	{ "memfd_holes", holes, false },
	{ "memfd_odd_end", odd_end, false },
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
