// SPDX-License-Identifier: GPL-2.0
/*
 * Read-only buffers: which memory can be one, that it stays the memory of the mapping, and that
 * nothing is ever put into it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring/mock_file.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "layouts.h"
#include "pattern.h"
#include "regbuf_uapi.h"

#define RO	true
#define LEN	(64 * KIB)

static void fill(void *mem, size_t len, uint64_t seed)
{
	pattern_fill(mem, len, 0, seed);
}

static void expect_pattern(const void *mem, size_t len, uint64_t seed)
{
	EXPECT(pattern_check(mem, len, 0, seed), len);
}

/* The buffer and the mapping are one memory, and hold this. */
static void expect_both(struct io_uring *ring, const void *mem, size_t len, uint64_t seed)
{
	expect_pattern(mem, len, seed);
	uapi_expect_content(ring, 0, mem, len, mem);
}

static void rewrite(int fd, size_t len, uint64_t seed)
{
	char *data = malloc(len);

	EXPECT_TRUE(data);
	fill(data, len, seed);
	EXPECT(pwrite(fd, data, len, 0), len);
	free(data);
}

/* The pages become private when they are pinned: neither the file nor a later write parts them. */
static void private_file(void)
{
	int fd = uapi_file(LEN, 1);
	char *mem = uapi_map(LEN, PROT_READ, MAP_PRIVATE, fd);
	struct io_uring ring;

	uapi_ring(&ring);
	expect_pattern(mem, LEN, 1);
	EXPECT(uapi_buffer(&ring, mem, LEN, RO), 0);
	expect_both(&ring, mem, LEN, 1);
	rewrite(fd, LEN, 2);
	expect_both(&ring, mem, LEN, 1);
	EXPECT(mprotect(mem, LEN, PROT_READ | PROT_WRITE), 0);
	fill(mem, LEN, 3);
	expect_both(&ring, mem, LEN, 3);
}

static void shared_file(void)
{
	int fd = uapi_file(LEN, 1), ro = open("/mnt/file", O_RDONLY | O_CLOEXEC);
	char *mem = uapi_map(LEN, PROT_READ, MAP_SHARED, ro);
	char *want = malloc(LEN);
	struct io_uring ring;

	uapi_ring(&ring);
	EXPECT(uapi_buffer(&ring, mem, LEN, RO), 0);
	expect_both(&ring, mem, LEN, 1);
	rewrite(fd, LEN, 2);
	expect_both(&ring, mem, LEN, 2);
	/* The file loses its pages, the buffer keeps them. */
	EXPECT(ftruncate(fd, 0), 0);
	fill(want, LEN, 2);
	uapi_expect_content(&ring, 0, mem, LEN, want);
}

/* A mapping that could be written to, of a file system that allows no such long-term pin */
static void shared_file_writable(void)
{
	int fd = uapi_file(LEN, 1);
	char *mem = uapi_map(LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
	struct io_uring ring;

	uapi_ring(&ring);
	fill(mem, LEN, 2);
	EXPECT(uapi_buffer(&ring, mem, LEN, false), -EFAULT);
	EXPECT(uapi_buffer(&ring, mem, LEN, RO), 0);
	fill(mem, LEN, 3);
	expect_both(&ring, mem, LEN, 3);
}

static void sealed_memfd(void)
{
	int fd = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct io_uring ring;
	char *mem;

	rewrite(fd, LEN, 1);
	EXPECT(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	mem = uapi_map(LEN, PROT_READ, MAP_SHARED, fd);
	uapi_ring(&ring);
	EXPECT(uapi_buffer(&ring, mem, LEN, RO), 0);
	expect_both(&ring, mem, LEN, 1);
}

static void hugetlb(void)
{
	int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
	struct io_uring ring;
	char *mem, *rw;

	EXPECT(ftruncate(fd, 2 * MIB), 0);
	rw = uapi_map(2 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
	fill(rw, 2 * MIB, 1);
	uapi_ring(&ring);

	mem = uapi_map(2 * MIB, PROT_READ, MAP_SHARED, fd);
	EXPECT(uapi_buffer(&ring, mem, 2 * MIB, RO), 0);
	fill(rw, 2 * MIB, 2);
	expect_both(&ring, mem, 2 * MIB, 2);
	EXPECT(io_uring_unregister_buffers(&ring), 0);
	munmap(mem, 2 * MIB);

	mem = uapi_map(2 * MIB, PROT_READ, MAP_PRIVATE, fd);
	EXPECT(uapi_buffer(&ring, mem, 2 * MIB, RO), 0);
	fill(rw, 2 * MIB, 3);
	expect_both(&ring, mem, 2 * MIB, 2);
}

/* What was never written to is not the zero page in the buffer: that would be replaced. */
static void untouched(void)
{
	char *mem = uapi_map(LEN, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	static const char zero[LEN];
	struct io_uring ring;

	uapi_ring(&ring);
	EXPECT(memcmp(mem, zero, LEN), 0);
	EXPECT(uapi_buffer(&ring, mem, LEN, RO), 0);
	uapi_expect_content(&ring, 0, mem, LEN, zero);
	EXPECT(mprotect(mem, LEN, PROT_READ | PROT_WRITE), 0);
	fill(mem, LEN, 1);
	expect_both(&ring, mem, LEN, 1);
}

/*
 * A child shares the pages when they are registered. Whoever writes first gets a copy, and it
 * must be neither of them who leaves the buffer behind.
 */
static void shared_with_child(enum backing backing, size_t size, bool child_first)
{
	struct layout layout = { .backing = backing, .size = size };
	int go[2], done[2], status;
	struct io_uring ring;
	struct memory m;
	struct reason why;
	pid_t pid;
	char c;

	if (memory_map(&m, &layout, &why))
		skip("%s", why.text);
	fill(m.addr, size, 1);
	EXPECT(pipe(go), 0);
	EXPECT(pipe(done), 0);
	pid = fork();
	if (!pid) {
		close(go[1]);
		EXPECT(read(go[0], &c, 1), 1);
		expect_pattern(m.addr, size, 1);
		fill(m.addr, size, 3);
		EXPECT(write(done[1], &c, 1), 1);
		EXPECT(read(go[0], &c, 1), 0);
		expect_pattern(m.addr, size, 3);
		exit(0);
	}
	uapi_ring(&ring);
	EXPECT(uapi_buffer(&ring, m.addr, size, RO), 0);
	expect_both(&ring, m.addr, size, 1);
	if (!child_first)
		fill(m.addr, size, 2);
	EXPECT(write(go[1], "", 1), 1);
	EXPECT(read(done[0], &c, 1), 1);
	if (child_first) {
		expect_both(&ring, m.addr, size, 1);
		fill(m.addr, size, 2);
	}
	expect_both(&ring, m.addr, size, 2);
	close(go[1]);
	EXPECT(waitpid(pid, &status, 0), pid);
	EXPECT(status, 0);
}

static void child_shares_pages(void)
{
	shared_with_child(BACKING_4K, LEN, false);
	shared_with_child(BACKING_4K, LEN, true);
}

static void child_shares_thp(void)
{
	shared_with_child(BACKING_THP, 4 * MIB, false);
	shared_with_child(BACKING_THP, 4 * MIB, true);
}

/* A child that comes later gets copies of what is pinned. */
static void child_comes_later(void)
{
	char *mem = uapi_map(LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	struct io_uring ring;
	int go[2], status;
	pid_t pid;
	char c;

	fill(mem, LEN, 1);
	uapi_ring(&ring);
	EXPECT(uapi_buffer(&ring, mem, LEN, RO), 0);
	EXPECT(pipe(go), 0);
	pid = fork();
	if (!pid) {
		close(go[1]);
		EXPECT(read(go[0], &c, 1), 0);
		expect_pattern(mem, LEN, 1);
		exit(0);
	}
	fill(mem, LEN, 2);
	expect_both(&ring, mem, LEN, 2);
	close(go[1]);
	EXPECT(waitpid(pid, &status, 0), pid);
	EXPECT(status, 0);
}

static int secret(void)
{
#ifdef SYS_memfd_secret
	return (int)syscall(SYS_memfd_secret, O_CLOEXEC);
#else
	return (int)syscall(447, O_CLOEXEC);
#endif
}

/* Some readable memory cannot be pinned, some is not readable; then nothing is pinned. */
static void refused_memory(void)
{
	char *mem = uapi_map(4 * LEN, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	struct iovec iov[2] = { { mem, LEN }, { mem + LEN, 2 * LEN } };
	struct io_uring ring;
	int fd;

	uapi_ring(&ring);
	EXPECT(mprotect(mem + 2 * LEN, LEN, PROT_NONE), 0);
	EXPECT(munmap(mem + 3 * LEN, LEN), 0);
	EXPECT(uapi_buffer(&ring, mem + LEN, 2 * LEN, RO), -EFAULT);
	EXPECT(uapi_buffer(&ring, mem + 3 * LEN, LEN, RO), -EFAULT);
	EXPECT(uapi_buffer(&ring, NULL, LEN, RO), -EFAULT);
	EXPECT(uapi_buffer(&ring, mem, 0, RO), -EFAULT);
	EXPECT(uring_buffers_readonly(&ring, iov, 2), -EFAULT);
	EXPECT(io_uring_unregister_buffers(&ring), -ENXIO);

	fd = secret();
	if (fd < 0)
		skip("memfd_secret: %s", strerror(errno));
	EXPECT(ftruncate(fd, LEN), 0);
	mem = uapi_map(LEN, PROT_READ, MAP_SHARED, fd);
	EXPECT(uapi_buffer(&ring, mem, LEN, RO), -EFAULT);
}

static void make_sockets(int type, int fds[2])
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	socklen_t len = sizeof(addr);
	int listener;

	if (type == SOCK_DGRAM) {
		EXPECT(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds), 0);
		return;
	}
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	listener = socket(AF_INET, SOCK_STREAM, 0);
	fds[0] = socket(AF_INET, SOCK_STREAM, 0);
	EXPECT(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
	EXPECT(listen(listener, 1), 0);
	EXPECT(getsockname(listener, (struct sockaddr *)&addr, &len), 0);
	EXPECT(connect(fds[0], (struct sockaddr *)&addr, sizeof(addr)), 0);
	fds[1] = accept(listener, NULL, NULL);
	EXPECT_TRUE(fds[1] >= 0);
	close(listener);
}

/* A file whose commands copy to and from buffers; -1 where the kernel has none. */
static int mock_file(struct io_uring *ring)
{
	struct io_uring_mock_create create = { .file_size = LEN };
	struct io_uring_sqe *sqe;
	int fd = open("/dev/io_uring_mock", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return -1;
	sqe = uapi_sqe(ring, IORING_OP_URING_CMD, fd, &create, sizeof(create), 0);
	sqe->cmd_op = IORING_MOCK_MGR_CMD_CREATE;
	EXPECT(uapi_run(ring), 0);
	close(fd);
	return (int)create.out_fd;
}

static int mock_copy(struct io_uring *ring, int fd, const struct iovec *iov, void *bounce,
		     bool from)
{
	struct io_uring_sqe *sqe = uapi_sqe(ring, IORING_OP_URING_CMD, fd, iov, 1, 0);

	sqe->cmd_op = IORING_MOCK_CMD_COPY_REGBUF;
	sqe->addr3 = (uintptr_t)bounce;
	sqe->file_index = from ? IORING_MOCK_COPY_FROM : 0;
	sqe->uring_cmd_flags = IORING_URING_CMD_FIXED;
	return uapi_run(ring);
}

/* Every request that would fill the buffer; @ret is what all of them have to return. */
static void try_to_fill(struct io_uring *ring, char *mem)
{
	struct iovec iov[2] = { { mem, 100 }, { mem + 8192, 200 } };
	struct io_uring_sqe *sqe;
	int fds[2], file, left;
	char bounce[300];

	/* A pipe, which would lose what was read */
	EXPECT(pipe(fds), 0);
	memset(bounce, 0xaa, sizeof(bounce));
	EXPECT(write(fds[1], bounce, sizeof(bounce)), sizeof(bounce));
	uapi_sqe(ring, IORING_OP_READ_FIXED, fds[0], mem, 100, 0)->off = (__u64)-1;
	EXPECT(uapi_run(ring), -EFAULT);
	uapi_sqe(ring, IORING_OP_READ_FIXED, fds[0], mem, 0, 0)->off = (__u64)-1;
	EXPECT(uapi_run(ring), -EFAULT);
	uapi_sqe(ring, IORING_OP_READV_FIXED, fds[0], iov, 2, 0)->off = (__u64)-1;
	EXPECT(uapi_run(ring), -EFAULT);
	EXPECT(ioctl(fds[0], FIONREAD, &left), 0);
	EXPECT(left, sizeof(bounce));

	/* A file, whose position would move; and the same from a worker thread */
	file = uapi_file(LEN, 9);
	EXPECT(lseek(file, 4096, SEEK_SET), 4096);
	for (unsigned int flags = 0; flags <= IOSQE_ASYNC; flags += IOSQE_ASYNC) {
		sqe = uapi_sqe(ring, IORING_OP_READ_FIXED, file, mem, 4096, 0);
		sqe->off = (__u64)-1;
		sqe->flags = (__u8)flags;
		EXPECT(uapi_run(ring), -EFAULT);
		sqe = uapi_sqe(ring, IORING_OP_READV_FIXED, file, iov, 2, 0);
		sqe->off = (__u64)-1;
		sqe->flags = (__u8)flags;
		EXPECT(uapi_run(ring), -EFAULT);
	}
	EXPECT(lseek(file, 0, SEEK_CUR), 4096);
	close(file);

	/* A socket, which would lose a datagram */
	make_sockets(SOCK_DGRAM, fds);
	EXPECT(send(fds[0], bounce, 100, 0), 100);
	sqe = uapi_sqe(ring, IORING_OP_RECV, fds[1], mem, 100, 0);
	sqe->ioprio = IORING_RECVSEND_FIXED_BUF;
	EXPECT(uapi_run(ring), -EFAULT);
	EXPECT(recv(fds[1], bounce, sizeof(bounce), MSG_DONTWAIT), 100);

	file = mock_file(ring);
	if (file >= 0)
		EXPECT(mock_copy(ring, file, iov, bounce, false), -EFAULT);
	else
		note("  no mock file: uring_cmd is not tried");
	close(file);
}

/* The memory could be written to, so that a request that got through would be seen. */
static void never_filled(void)
{
	char *mem = uapi_map(LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	struct io_uring ring, clone;

	fill(mem, LEN, 1);
	uapi_ring(&ring);
	EXPECT(uapi_buffer(&ring, mem, LEN, RO), 0);
	try_to_fill(&ring, mem);
	expect_both(&ring, mem, LEN, 1);

	uapi_ring(&clone);
	EXPECT(uapi_clone(&clone, &ring), 0);
	io_uring_queue_exit(&ring);
	try_to_fill(&clone, mem);
	expect_both(&clone, mem, LEN, 1);
}

static void sources(void)
{
	char *mem = uapi_map(LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	struct iovec iov[2] = { { mem + 4096, 4096 }, { mem, 4096 } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	char bounce[3 * 4096];
	struct io_uring_sqe *sqe;
	struct io_uring ring;
	int fds[2], file;

	fill(mem, LEN, 1);
	EXPECT(mprotect(mem, LEN, PROT_READ), 0);
	uapi_ring(&ring);
	EXPECT(uapi_buffer(&ring, mem, LEN, RO), 0);

	/* A file, past the page cache and through it */
	for (int flags = 0; flags <= O_DIRECT; flags += O_DIRECT) {
		close(uapi_file(LEN, 2));
		file = open("/mnt/file", O_RDWR | O_CLOEXEC | flags);
		EXPECT_TRUE(file >= 0);
		uapi_sqe(&ring, IORING_OP_WRITE_FIXED, file, mem, 4096, 0);
		EXPECT(uapi_run(&ring), 4096);
		uapi_sqe(&ring, IORING_OP_WRITEV_FIXED, file, iov, 2, 0)->off = 4096;
		EXPECT(uapi_run(&ring), 8192);
		close(file);
		file = open("/mnt/file", O_RDONLY | O_CLOEXEC);
		EXPECT(read(file, bounce, sizeof(bounce)), sizeof(bounce));
		EXPECT(memcmp(bounce, mem, 4096), 0);
		EXPECT(memcmp(bounce + 4096, mem + 4096, 4096), 0);
		EXPECT(memcmp(bounce + 8192, mem, 4096), 0);
		close(file);
	}

	make_sockets(SOCK_STREAM, fds);
	sqe = uapi_sqe(&ring, IORING_OP_SEND_ZC, fds[0], mem + 100, 4096, 0);
	sqe->ioprio = IORING_RECVSEND_FIXED_BUF;
	EXPECT(uapi_run(&ring), 4096);
	EXPECT(recv(fds[1], bounce, 4096, MSG_WAITALL), 4096);
	EXPECT(memcmp(bounce, mem + 100, 4096), 0);

	sqe = uapi_sqe(&ring, IORING_OP_SENDMSG_ZC, fds[0], &msg, 1, 0);
	sqe->ioprio = IORING_RECVSEND_FIXED_BUF;
	EXPECT(uapi_run(&ring), 8192);
	EXPECT(recv(fds[1], bounce, 8192, MSG_WAITALL), 8192);
	EXPECT(memcmp(bounce, mem + 4096, 4096), 0);
	EXPECT(memcmp(bounce + 4096, mem, 4096), 0);

	file = mock_file(&ring);
	if (file >= 0) {
		EXPECT(mock_copy(&ring, file, iov, bounce, true), 4096);
		EXPECT(memcmp(bounce, mem + 4096, 4096), 0);
	} else {
		note("  no mock file: uring_cmd is not tried");
	}
}

/* The same memory in three entries; each entry is what it was made. */
static void update(void)
{
	char *mem = uapi_map(LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	struct iovec iov[2] = { { mem, LEN }, { mem, LEN } };
	struct io_uring ring;
	int fds[2];

	fill(mem, LEN, 1);
	EXPECT(pipe(fds), 0);
	uapi_ring(&ring);
	EXPECT(uapi_buffers(&ring, NULL, 4, IORING_RSRC_REGISTER_SPARSE), 0);
	EXPECT(uapi_update(&ring, 0, iov, 2, RO), 2);
	EXPECT(uapi_update(&ring, 2, iov, 1, false), 1);
	for (unsigned int i = 0; i < 3; i++) {
		uapi_expect_content(&ring, i, mem, LEN, mem);
		EXPECT(write(fds[1], mem, 100), 100);
		uapi_sqe(&ring, IORING_OP_READ_FIXED, fds[0], mem, 100, i);
		EXPECT(uapi_run(&ring), i == 2 ? 100 : -EFAULT);
	}
	/* An entry changes its kind with the buffer. */
	EXPECT(uapi_update(&ring, 0, iov, 1, false), 1);
	uapi_sqe(&ring, IORING_OP_READ_FIXED, fds[0], mem, 100, 0);
	EXPECT(uapi_run(&ring), 100);
	EXPECT(uapi_update(&ring, 2, iov, 1, RO), 1);
	uapi_sqe(&ring, IORING_OP_READ_FIXED, fds[0], mem, 100, 2);
	EXPECT(uapi_run(&ring), -EFAULT);
	/* An empty buffer empties the entry. A partial update tells how far it came. */
	iov[0] = (struct iovec){ };
	EXPECT(uapi_update(&ring, 2, iov, 1, RO), 1);
	uapi_sqe(&ring, IORING_OP_WRITE_FIXED, fds[1], mem, 100, 2);
	EXPECT(uapi_run(&ring), -EFAULT);
	iov[1].iov_base = (void *)4096;
	EXPECT(uapi_update(&ring, 2, iov, 2, RO), 1);
	EXPECT(uapi_update(&ring, 3, iov + 1, 1, RO), -EFAULT);
}

/* Without the flag, memory that cannot be written is no buffer: there is no downgrade. */
static void no_downgrade(void)
{
	int fd = uapi_file(LEN, 1);
	struct io_uring ring;
	char *mem;

	uapi_ring(&ring);
	mem = uapi_map(LEN, PROT_READ, MAP_PRIVATE, fd);
	EXPECT(uapi_buffer(&ring, mem, LEN, false), -EFAULT);
	mem = uapi_map(LEN, PROT_READ, MAP_SHARED, fd);
	EXPECT(uapi_buffer(&ring, mem, LEN, false), -EFAULT);
	mem = uapi_map(LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
	EXPECT(uapi_buffer(&ring, mem, LEN, false), -EFAULT);
	mem = uapi_map(LEN, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	EXPECT(uapi_buffer(&ring, mem, LEN, false), -EFAULT);
	EXPECT(io_uring_unregister_buffers(&ring), -ENXIO);
	/* Writable private memory of a file is copied, and can be read into. */
	mem = uapi_map(LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd);
	EXPECT(uapi_buffer(&ring, mem, LEN, false), 0);
	uapi_sqe(&ring, IORING_OP_READ_FIXED, fd, mem, 4096, 0)->off = 4096;
	EXPECT(uapi_run(&ring), 4096);
	EXPECT(pattern_check(mem, 4096, 4096, 1), 4096);
}

const struct uapi_case readonly_cases[] = {
	{ "readonly_private_file", private_file, false },
	{ "readonly_shared_file", shared_file, false },
	{ "readonly_shared_file_writable", shared_file_writable, false },
	{ "readonly_sealed_memfd", sealed_memfd, false },
	{ "readonly_hugetlb", hugetlb, false },
	{ "readonly_untouched", untouched, false },
	{ "readonly_child_shares_pages", child_shares_pages, false },
	{ "readonly_child_shares_thp", child_shares_thp, false },
	{ "readonly_child_comes_later", child_comes_later, false },
	{ "readonly_refused_memory", refused_memory, false },
	{ "readonly_never_filled", never_filled, false },
	{ "readonly_sources", sources, false },
	{ "readonly_update", update, false },
	{ "no_downgrade", no_downgrade, true },
	{ }
};
