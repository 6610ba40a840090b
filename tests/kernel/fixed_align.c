// SPDX-License-Identifier: GPL-2.0
/*
 * fixed_align: direct I/O at addresses that are aligned or not, through registered buffers of all
 * kinds of memory. Whether it is accepted does not depend on what the pages are, nor on the call:
 * READ and WRITE of the same bytes say it. What is accepted transfers the right bytes. Ends with
 * "N passed, N failed, N skipped".
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fixed_io.h"
#include "layouts.h"
#include "pattern.h"
#include "registration.h"
#include "uring.h"

#define PAGE		(4 * KIB)
#define SIZE		(4 * MIB)
#define LEN_MAX		(64 * KIB)

static const struct {
	const char *name;
	struct layout layout;
} buffers[] = {
	{ "4K pages", { .backing = BACKING_4K, .size = SIZE } },
	{ "64K", { .backing = BACKING_64K, .size = SIZE } },
	{ "THP", { .backing = BACKING_THP, .size = SIZE } },
	{ "mixed", { .backing = BACKING_THP, .size = SIZE, .replace_every = 2 * MIB } },
	{ "shmem", { .backing = BACKING_SHMEM_4K, .size = SIZE } },
	{ "hugetlb", { .backing = BACKING_HUGETLB_2M, .size = SIZE } },
};

/* Where the bytes begin: in the first page, in a later one, and in front of the ends of folios */
static const size_t places[] = { 0, PAGE, 16 * PAGE + 512, 2 * MIB - 512, 2 * MIB - PAGE, 3 * MIB };
static const size_t moves[] = { 0, 1, 2, 4, 8, 256, 508, 511, 512, 3584 };
static const size_t lengths[] = { 512, 4096, 8192, LEN_MAX };

static char *content;			/* of the target, from its start */
static unsigned long transfers, refused;

enum call {
	CALL_READ,
	CALL_READ_FIXED,
	CALL_READV_FIXED,
	CALL_WRITE,
	CALL_WRITE_FIXED,
	CALL_WRITEV_FIXED,
	NR_CALLS,
};

static const struct {
	const char *name;
	unsigned int opcode;
	bool write, vectored;
} calls[NR_CALLS] = {
	[CALL_READ] = { "READ", IORING_OP_READ, false, false },
	[CALL_READ_FIXED] = { "READ_FIXED", IORING_OP_READ_FIXED, false, false },
	[CALL_READV_FIXED] = { "READV_FIXED", URING_OP_READV_FIXED, false, true },
	[CALL_WRITE] = { "WRITE", IORING_OP_WRITE, true, false },
	[CALL_WRITE_FIXED] = { "WRITE_FIXED", IORING_OP_WRITE_FIXED, true, false },
	[CALL_WRITEV_FIXED] = { "WRITEV_FIXED", URING_OP_WRITEV_FIXED, true, true },
};

static int transfer(struct io_uring *ring, int fd, enum call call, char *addr, size_t len)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	struct iovec iov = { addr, len };

	if (calls[call].vectored)
		io_uring_prep_rw((int)calls[call].opcode, sqe, fd, &iov, 1, 0);
	else
		io_uring_prep_rw((int)calls[call].opcode, sqe, fd, addr, (unsigned int)len, 0);
	sqe->buf_index = 0;
	return uring_one(ring);
}

/* All calls for the same bytes; those that are not fixed come first and say what is right. */
static int check_place(struct io_uring *ring, const struct io_target *target, char *addr,
		       size_t len, struct reason *why)
{
	int right = 0;

	for (enum call call = 0; call < NR_CALLS; call++) {
		bool write = calls[call].write;
		int ret;

		if (pwrite(target->fd, content, LEN_MAX, 0) != (ssize_t)LEN_MAX)
			return because(why, "pwrite: %s", strerror(errno));
		pattern_fill(addr, len, 0, 7 + call);
		ret = transfer(ring, target->fd, call, addr, len);
		if (call == CALL_READ || call == CALL_WRITE)
			right = ret;
		if (ret != right)
			return because(why, "%s is %d, not %d", calls[call].name, ret, right);
		transfers++;
		refused += ret < 0;
		if (ret < 0)
			continue;
		if ((size_t)ret != len)
			return because(why, "%s is %d", calls[call].name, ret);
		if (write && pread(target->fd, addr, len, 0) != (ssize_t)len)
			return because(why, "pread: %s", strerror(errno));
		if (write ? pattern_check(addr, len, 0, 7 + call) != len :
			    memcmp(addr, content, len) != 0)
			return because(why, "%s: the data is wrong", calls[call].name);
	}
	return 0;
}

static int check_buffer(struct io_uring *ring, const struct io_target *target, char *addr,
			struct reason *why)
{
	struct reason inner;

	for (size_t p = 0; p < ARRAY_SIZE(places); p++)
		for (size_t m = 0; m < ARRAY_SIZE(moves); m++)
			for (size_t l = 0; l < ARRAY_SIZE(lengths); l++)
				if (check_place(ring, target, addr + places[p] + moves[m],
						lengths[l], &inner))
					return because(why, "%zu bytes at %zu + %zu: %s", lengths[l],
						       places[p], moves[m], inner.text);
	return 0;
}

static int run_buffer(const struct layout *layout, const struct io_target *target,
		      struct reason *why)
{
	struct io_uring ring;
	struct memory mem;
	struct iovec iov;
	int ret;

	if (memory_map(&mem, layout, why))
		return -1;
	ret = ring_init(&ring, false, why);
	if (!ret) {
		iov = (struct iovec){ mem.addr, mem.size };
		ret = io_uring_register_buffers(&ring, &iov, 1);
		if (ret)
			because(why, "registering: %s", strerror(-ret));
		else
			ret = check_buffer(&ring, target, mem.addr, why);
		io_uring_queue_exit(&ring);
	}
	memory_unmap(&mem);
	return ret;
}

int main(int argc, char **argv)
{
	unsigned int passed = 0, failed = 0;

	if (argc < 2) {
		fputs("usage: fixed_align DEVICE...\nThey are written to.\n", stderr);
		return 2;
	}
	content = aligned_alloc(PAGE, LEN_MAX);
	if (!content)
		die("out of memory");
	pattern_fill(content, LEN_MAX, 0, 1);
	for (int arg = 1; arg < argc; arg++) {
		struct io_target target;
		struct reason why;

		if (io_target_open(&target, argv[arg], 0, &why))
			die("%s", why.text);
		for (size_t i = 0; i < ARRAY_SIZE(buffers); i++) {
			transfers = refused = 0;
			if (run_buffer(&buffers[i].layout, &target, &why)) {
				failed++;
				printf("FAIL %s, %s: %s\n", target.name, buffers[i].name, why.text);
				continue;
			}
			passed++;
			printf("ok   %s, %s: %lu transfers, %lu of them refused\n", target.name,
			       buffers[i].name, transfers, refused);
		}
		io_target_close(&target);
	}
	printf("%u passed, %u failed, 0 skipped\n", passed, failed);
	return failed || !passed ? 1 : 0;
}
