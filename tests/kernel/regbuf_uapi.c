// SPDX-License-Identifier: GPL-2.0
/*
 * The interface of registered buffers: descriptors, read-only buffers and such of a memfd, limits
 * and features by query, the layout of a buffer, fdinfo. As root, in a guest.
 *
 * Each case runs in a process of its own; afterwards nothing may be pinned or charged. On a
 * kernel without the series (--expect stock) the cases are those that say that it refuses what it
 * does not know, and those of what stays the same. Which kernel it is has to be said: one that
 * lost its query must not pass as the other.
 */
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <getopt.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pattern.h"
#include "regbuf_uapi.h"
#include "vmstat.h"

#define MNT	"/mnt"

int uapi_icount = -1;

int uapi_register(int fd, unsigned int opcode, const void *arg, unsigned int nr_args)
{
	long ret = syscall(__NR_io_uring_register, fd, opcode, arg, nr_args);

	return ret < 0 ? -errno : (int)ret;
}

void uapi_ring(struct io_uring *ring)
{
	EXPECT(io_uring_queue_init(8, ring, 0), 0);
}

void uapi_sparse_ring(struct io_uring *ring, unsigned int nr)
{
	uapi_ring(ring);
	EXPECT(uapi_buffers(ring, NULL, nr, IORING_RSRC_REGISTER_SPARSE), 0);
}

int uapi_buffers(struct io_uring *ring, const struct iovec *iov, unsigned int nr,
		 unsigned int flags)
{
	struct io_uring_rsrc_register reg = {
		.nr = nr,
		.flags = flags,
		.data = (uintptr_t)iov,
	};

	return uapi_register(ring->ring_fd, IORING_REGISTER_BUFFERS2, &reg, sizeof(reg));
}

static int update(struct io_uring *ring, unsigned int off, const void *data, unsigned int nr,
		  unsigned int flags)
{
	struct io_uring_rsrc_update2 up = {
		.offset = off,
		.flags = flags,
		.data = (uintptr_t)data,
		.nr = nr,
	};

	return uapi_register(ring->ring_fd, IORING_REGISTER_BUFFERS_UPDATE, &up, sizeof(up));
}

int uapi_update_descs(struct io_uring *ring, unsigned int off,
		      const struct io_uring_regbuf_desc *descs, unsigned int nr)
{
	return update(ring, off, descs, nr, IORING_RSRC_UPDATE_EXTENDED);
}

int uapi_update(struct io_uring *ring, unsigned int off, const struct iovec *iov, unsigned int nr,
		bool read_only)
{
	return read_only ? uring_update_readonly(ring, off, iov, nr) :
			   update(ring, off, iov, nr, 0);
}

int uapi_buffer(struct io_uring *ring, const void *addr, size_t len, bool read_only)
{
	struct iovec iov = { (void *)addr, len };

	return read_only ? uring_buffers_readonly(ring, &iov, 1) : uapi_buffers(ring, &iov, 1, 0);
}

int uapi_clone(struct io_uring *dst, struct io_uring *src)
{
	struct io_uring_clone_buffers clone = { .src_fd = (unsigned int)src->ring_fd };

	return uapi_register(dst->ring_fd, IORING_REGISTER_CLONE_BUFFERS, &clone, 1);
}

void uapi_layout(struct io_uring *ring, unsigned int index, struct io_uring_buffer_layout *l)
{
	memset(l, 0, sizeof(*l));
	l->index = index;
	EXPECT(uapi_register(ring->ring_fd, IORING_REGISTER_BUFFER_LAYOUT, l, sizeof(*l)), 0);
}

uint64_t uapi_status_kb(const char *key)
{
	uint64_t kb;

	EXPECT(read_key("/proc/self/status", key, &kb), 0);
	return kb;
}

struct io_uring_sqe *uapi_sqe(struct io_uring *ring, unsigned int op, int fd, const void *addr,
			      unsigned int len, unsigned int buf_index)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	EXPECT_TRUE(sqe);
	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = (__u8)op;
	sqe->fd = fd;
	sqe->addr = (uintptr_t)addr;
	sqe->len = len;
	sqe->buf_index = (__u16)buf_index;
	return sqe;
}

int uapi_run(struct io_uring *ring)
{
	int res, submitted = io_uring_submit_and_wait(ring, 1);
	struct io_uring_cqe *cqe;
	bool more;

	/* A thread that submits may not have taken what was there before. */
	EXPECT_TRUE(submitted == 1 || (submitted > 1 && ring->flags & IORING_SETUP_SQPOLL));
	EXPECT(io_uring_wait_cqe(ring, &cqe), 0);
	res = cqe->res;
	more = cqe->flags & IORING_CQE_F_MORE;
	io_uring_cqe_seen(ring, cqe);
	if (more) {
		EXPECT(io_uring_wait_cqe(ring, &cqe), 0);
		EXPECT_TRUE(cqe->flags & IORING_CQE_F_NOTIF);
		io_uring_cqe_seen(ring, cqe);
	}
	return res;
}

void uapi_expect_content(struct io_uring *ring, unsigned int buf_index, const void *addr,
			 size_t len, const void *want)
{
	char bounce[4096];
	int fds[2];

	EXPECT(pipe(fds), 0);
	for (size_t off = 0; off < len; off += sizeof(bounce)) {
		size_t n = min_size(sizeof(bounce), len - off);

		uapi_sqe(ring, IORING_OP_WRITE_FIXED, fds[1], (const char *)addr + off,
			 (unsigned int)n, buf_index);
		EXPECT(uapi_run(ring), n);
		EXPECT(read(fds[0], bounce, sizeof(bounce)), n);
		if (memcmp(bounce, (const char *)want + off, n))
			fail("the buffer differs from what it should be within %zu bytes at %zu",
			     n, off);
	}
	close(fds[0]);
	close(fds[1]);
}

void *uapi_map(size_t len, int prot, int flags, int fd)
{
	void *mem = mmap(NULL, len, prot, flags, fd, 0);

	if (mem == MAP_FAILED)
		fail("mmap of %zu bytes: %s", len, strerror(errno));
	return mem;
}

int uapi_file(size_t len, uint64_t seed)
{
	char *data = malloc(len);
	int fd = open(MNT "/file", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	EXPECT_TRUE(data);
	if (fd < 0)
		fail(MNT "/file: %s", strerror(errno));
	pattern_fill(data, len, 0, seed);
	EXPECT(write(fd, data, len), len);
	EXPECT(fsync(fd), 0);
	free(data);
	return fd;
}

static int run_case(const struct uapi_case *c)
{
	struct vmstat before;
	struct reason why;
	int status;
	pid_t pid;

	vmstat_start(&before);
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (!pid) {
		c->run();
		exit(0);
	}
	if (waitpid(pid, &status, 0) != pid)
		die("waitpid: %s", strerror(errno));
	if (vmstat_balanced(&before, &why)) {
		note("  %s", why.text);
		return 1;
	}
	if (WIFSIGNALED(status))
		note("  %s", strsignal(WTERMSIG(status)));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static void usage(void)
{
	fputs("usage: regbuf_uapi --expect patched|stock --fs-device DEVICE\n"
	      "                   [--icount SHIFT | --movable] [PATTERN...]\n\n"
	      "DEVICE has an ext4 that is mounted on " MNT ". With --icount it is the cases that\n"
	      "count instructions, in a guest of \"qemu -icount shift=SHIFT\" with one CPU; with\n"
	      "--movable those that need ZONE_MOVABLE, in a guest with movablecore=256M.\n", stderr);
	exit(2);
}

static bool wanted(const char *name, char **patterns)
{
	if (!*patterns)
		return true;
	for (; *patterns; patterns++)
		if (!fnmatch(*patterns, name, 0))
			return true;
	return false;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "expect", required_argument, NULL, 'e' },
		{ "fs-device", required_argument, NULL, 'f' },
		{ "icount", required_argument, NULL, 'i' },
		{ "movable", no_argument, NULL, 'm' },
		{ }
	};
	const struct uapi_case *tables[] = { stock_cases, desc_cases, memfd_cases, pages_cases,
					     request_cases, random_cases, readonly_cases, tell_cases,
					     cost_cases, movable_cases };
	const struct uapi_case *alone = NULL;
	unsigned int passed = 0, failed = 0, skipped = 0;
	const char *expect = "", *device = NULL;
	bool stock;
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == 'e')
			expect = optarg;
		else if (opt == 'f')
			device = optarg;
		else if (opt == 'i')
			alone = cost_cases, uapi_icount = atoi(optarg);
		else if (opt == 'm')
			alone = movable_cases;
		else
			usage();
	}
	stock = !strcmp(expect, "stock");
	if (!device || (!stock && strcmp(expect, "patched")))
		usage();
	mkdir(MNT, 0755);
	if (mount(device, MNT, "ext4", 0, NULL))
		die("cannot mount %s: %s", device, strerror(errno));

	for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
		for (const struct uapi_case *c = tables[i]; c->name; c++) {
			int ret;

			/* stock_cases stand for all that stock does not have. */
			if ((alone ? tables[i] != alone : tables[i] == cost_cases ||
							  tables[i] == movable_cases) ||
			    (stock ? !c->stock : tables[i] == stock_cases) ||
			    !wanted(c->name, argv + optind))
				continue;
			ret = run_case(c);
			passed += !ret;
			skipped += ret == 77;
			failed += ret && ret != 77;
			printf("%-8s%s\n", ret == 77 ? "skipped" : ret ? "FAILED" : "ok", c->name);
		}
	}
	umount(MNT);
	printf("%u passed, %u failed, %u skipped\n", passed, failed, skipped);
	return failed || !passed;
}
