// SPDX-License-Identifier: GPL-2.0-only
/*
 * The calls that the engine times, made by nothing but a loop: what its figures have to be.
 *
 *   raw SIZE
 *
 * A slot of SIZE bytes, a page of 1 GiB mapped again and again, in a ring like the engine's.
 * Prints "CALL NS", the shortest of each.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <liburing.h>

#define PAGE		(1UL << 30)
#define TIMES		8
#define CLONE_BUFFERS	30

#ifndef MFD_HUGE_1GB
#define MFD_HUGE_1GB	(30U << 26)
#endif

struct clone_buffers {
	__u32 src_fd;
	__u32 flags;
	__u32 src_off;
	__u32 dst_off;
	__u32 nr;
	__u32 pad[3];
};

enum { REGISTER, UNREGISTER, REPLACE, CLONE, UNCLONE, EMPTY, NR_CALLS };

static const char * const names[NR_CALLS] = {
	"register", "unregister", "replace", "clone", "unclone", "empty",
};

static uint64_t best[NR_CALLS];

static void die(const char *what, int err)
{
	fprintf(stderr, "raw: %s: %s\n", what, strerror(err));
	exit(1);
}

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static void timed(int call, struct io_uring *ring, unsigned int op, const void *arg,
		  unsigned int nr_args)
{
	uint64_t start = now(), ns;
	int ret;

	ret = syscall(__NR_io_uring_register, ring->ring_fd, op, arg, nr_args);
	ns = now() - start;
	if (ret < 0)
		die(names[call], errno);
	if (!best[call] || ns < best[call])
		best[call] = ns;
}

static void *map(size_t size)
{
	int fd = memfd_create("raw", MFD_HUGETLB | MFD_HUGE_1GB);
	char *base;
	size_t at;

	if (fd < 0 || ftruncate(fd, PAGE))
		die("a page of 1 GiB", errno);
	if (size < PAGE)
		size = PAGE;
	base = mmap(NULL, size + PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
		    0);
	if (base == MAP_FAILED)
		die("addresses", errno);
	base = (char *)(((uintptr_t)base + PAGE - 1) & ~(PAGE - 1));
	for (at = 0; at < size; at += PAGE) {
		if (mmap(base + at, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) ==
		    MAP_FAILED)
			die("mapping a page of 1 GiB", errno);
		*(volatile char *)(base + at) = 1;
	}
	return base;
}

static void make_ring(struct io_uring *ring)
{
	struct io_uring_params p = {
		.flags = IORING_SETUP_CQSIZE | IORING_SETUP_COOP_TASKRUN |
			 IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
		.cq_entries = 1,
	};
	int ret = io_uring_queue_init_params(1, ring, &p);

	if (ret)
		die("a ring", -ret);
}

/* Tags that have come. */
static void reap(struct io_uring *ring)
{
	struct io_uring_cqe *cqe;

	io_uring_enter(ring->ring_fd, 0, 0, IORING_ENTER_GETEVENTS, NULL);
	while (!io_uring_peek_cqe(ring, &cqe))
		io_uring_cqe_seen(ring, cqe);
}

static void updates(const struct iovec *slot)
{
	static const struct iovec nothing;
	static __u64 tag = 1;
	const struct io_uring_rsrc_update2 drop = { .data = (uintptr_t)&nothing, .nr = 1 };
	const struct io_uring_rsrc_update2 fill = {
		.data = (uintptr_t)slot, .tags = (uintptr_t)&tag, .nr = 1,
	};
	const unsigned int op = IORING_REGISTER_BUFFERS_UPDATE;
	struct io_uring ring;
	int i, ret;

	make_ring(&ring);
	ret = io_uring_register_buffers_sparse(&ring, 1);
	if (ret)
		die("an empty table", -ret);
	for (i = 0; i < TIMES; i++) {
		timed(EMPTY, &ring, op, &drop, sizeof(drop));
		timed(REGISTER, &ring, op, &fill, sizeof(fill));
		timed(REPLACE, &ring, op, &fill, sizeof(fill));
		reap(&ring);
		timed(UNREGISTER, &ring, op, &drop, sizeof(drop));
		reap(&ring);
	}
	io_uring_queue_exit(&ring);
}

static void clones(const struct iovec *slot)
{
	struct clone_buffers arg = { 0 };
	struct io_uring source, ring;
	int i, ret;

	ret = io_uring_queue_init(1, &source, 0);
	if (!ret)
		ret = io_uring_register_buffers(&source, slot, 1);
	if (ret)
		die("a ring to clone from", -ret);
	make_ring(&ring);
	arg.src_fd = source.ring_fd;
	for (i = 0; i < TIMES; i++) {
		timed(CLONE, &ring, CLONE_BUFFERS, &arg, 1);
		timed(UNCLONE, &ring, IORING_UNREGISTER_BUFFERS, NULL, 0);
	}
	io_uring_queue_exit(&ring);
	io_uring_queue_exit(&source);
}

int main(int argc, char **argv)
{
	struct iovec slot;
	int i;

	if (argc != 2) {
		fprintf(stderr, "usage: raw BYTES\n");
		return 2;
	}
	slot.iov_len = strtoull(argv[1], NULL, 0);
	slot.iov_base = map(slot.iov_len);
	updates(&slot);
	clones(&slot);
	for (i = 0; i < NR_CALLS; i++)
		printf("%s %llu\n", names[i], (unsigned long long)best[i]);
	return 0;
}
