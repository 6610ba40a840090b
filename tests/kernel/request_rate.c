// SPDX-License-Identifier: GPL-2.0
/*
 * Does a submitter go on while IORING_OP_BUFFERS_UPDATE registers gigabytes of single pages? 4 KiB
 * reads into another registered buffer, one at a time, are counted: alone, and beside it. On a
 * machine of two CPUs at least half of them have to be done, and none may wait for its end.
 *
 * usage: request_rate [GIB]
 */
#include <errno.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "uring.h"
#include "util.h"

#define PAGE		(4 * KIB)
#define IDLE_NS		3000000000ULL
#define UPDATE		1

struct count {
	uint64_t reads, ns, longest_ns;
};

static struct io_uring ring;
static char *buffer;
static int file;

/* One read. True if the update has ended, which then has @result. */
static bool read_once(struct count *count, int *result)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
	uint64_t start = now_ns(), ns;
	struct io_uring_cqe *cqe;
	bool read = false, ended = false;

	io_uring_prep_read_fixed(sqe, file, buffer, PAGE, 0, 1);
	sqe->user_data = 0;
	if (io_uring_submit(&ring) != 1)
		die("submitting a read");
	while (!read) {
		if (io_uring_wait_cqe(&ring, &cqe))
			die("waiting for a read");
		if (cqe->user_data == UPDATE) {
			*result = cqe->res;
			ended = true;
		} else if (cqe->res != (int)PAGE) {
			die("a read: %d", cqe->res);
		} else {
			read = true;
		}
		io_uring_cqe_seen(&ring, cqe);
	}
	ns = now_ns() - start;
	count->reads++;
	count->ns += ns;
	if (ns > count->longest_ns)
		count->longest_ns = ns;
	return ended;
}

static double per_second(const struct count *count)
{
	return (double)count->reads * 1e9 / (double)count->ns;
}

int main(int argc, char **argv)
{
	size_t size = (size_t)(argc > 1 ? atoi(argv[1]) : 4) * GIB;
	struct count idle = { 0 }, beside = { 0 };
	struct iovec small = { NULL, PAGE };
	struct io_uring_sqe *sqe;
	struct uring_desc desc = { .type = URING_DESC_UADDR, .size = size };
	int result = 0;
	char *mem;
	bool good;

	mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	buffer = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED || buffer == MAP_FAILED || madvise(mem, size, MADV_NOHUGEPAGE))
		die("mmap: %s", strerror(errno));
	if (madvise(mem, size, MADV_POPULATE_WRITE))
		die("no memory: %s", strerror(errno));
	desc.uaddr = (uintptr_t)mem;
	small.iov_base = buffer;
	file = memfd_create("file", MFD_CLOEXEC);
	if (file < 0 || ftruncate(file, PAGE))
		die("memfd_create: %s", strerror(errno));
	if (io_uring_queue_init(8, &ring, 0) || uring_buffers(&ring, NULL, 2, URING_RSRC_SPARSE) ||
	    uring_update(&ring, 1, &small, 1) != 1)
		die("a ring");

	while (idle.ns < IDLE_NS)
		read_once(&idle, &result);

	sqe = io_uring_get_sqe(&ring);
	if (!sqe)
		die("no SQE");
	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = URING_OP_BUFFERS_UPDATE;
	sqe->fd = -1;
	sqe->addr = (uintptr_t)&desc;
	sqe->len = 1;
	sqe->user_data = UPDATE;
	if (io_uring_submit(&ring) != 1)
		die("submitting the update");
	while (!read_once(&beside, &result))
		;
	if (result != 1)
		die("the update: %s", strerror(-result));

	printf("reads: %.0f per second alone, %.0f beside the registration of %zu GiB (%.2f)\n",
	       per_second(&idle), per_second(&beside), size / GIB,
	       per_second(&beside) / per_second(&idle));
	printf("it took %.1f ms; the longest read %.1f ms, and %.1f ms alone\n",
	       (double)beside.ns / 1e6, (double)beside.longest_ns / 1e6,
	       (double)idle.longest_ns / 1e6);
	good = per_second(&beside) >= 0.5 * per_second(&idle) &&
	       beside.longest_ns < beside.ns / 4;
	printf("%d passed, %d failed, 0 skipped\n", good, !good);
	return !good;
}
