// SPDX-License-Identifier: GPL-2.0
/*
 * vec_old_file: READV_FIXED and WRITEV_FIXED on a file that has ->read() and ->write() only, which
 * is /proc/self/mem. They have to be refused, and to touch nothing; what is not vectored works.
 * Ends with "N passed, N failed, N skipped".
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pattern.h"
#include "uring.h"
#include "util.h"

#define PAGE		(4 * KIB)
#define VECTORS		2
#define EACH		64		/* bytes of a vector */

static char *buffer;			/* registered */
static char *content;			/* of the file, at its address */

static int request(struct io_uring *ring, int fd, unsigned int opcode, const void *addr,
		   unsigned int len)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	io_uring_prep_rw((int)opcode, sqe, fd, addr, len, (uintptr_t)content);
	sqe->buf_index = 0;
	return uring_one(ring);
}

static int check_vectored(struct io_uring *ring, int fd, unsigned int opcode, struct reason *why)
{
	const struct iovec before[VECTORS] = { { buffer, EACH }, { buffer + PAGE / 2, EACH } };
	struct iovec iov[VECTORS];
	int ret;

	memcpy(iov, before, sizeof(iov));
	pattern_fill(buffer, PAGE, 0, 1);
	pattern_fill(content, PAGE, 0, 2);
	ret = request(ring, fd, opcode, iov, VECTORS);
	if (memcmp(iov, before, sizeof(iov)))
		return because(why, "result %d, and the iovecs are overwritten", ret);
	if (pattern_check(content, PAGE, 0, 2) != PAGE)
		return because(why, "result %d, and the file is overwritten", ret);
	if (pattern_check(buffer, PAGE, 0, 1) != PAGE)
		return because(why, "result %d, and the buffer is overwritten", ret);
	if (ret != -EOPNOTSUPP)
		return because(why, "result %d", ret);
	return 0;
}

static int check_plain(struct io_uring *ring, int fd, unsigned int opcode, struct reason *why)
{
	bool write = opcode == IORING_OP_WRITE_FIXED;
	int ret;

	pattern_fill(buffer, PAGE, 0, 3);
	pattern_fill(content, PAGE, 0, 4);
	ret = request(ring, fd, opcode, buffer, PAGE);
	if (ret != (int)PAGE)
		return because(why, "result %d", ret);
	if (pattern_check(write ? content : buffer, PAGE, 0, write ? 3 : 4) != PAGE)
		return because(why, "the data is not what it was");
	return 0;
}

int main(void)
{
	static const struct {
		const char *name;
		unsigned int opcode;
		int (*check)(struct io_uring *ring, int fd, unsigned int opcode, struct reason *why);
	} tests[] = {
		{ "READV_FIXED", URING_OP_READV_FIXED, check_vectored },
		{ "WRITEV_FIXED", URING_OP_WRITEV_FIXED, check_vectored },
		{ "READ_FIXED", IORING_OP_READ_FIXED, check_plain },
		{ "WRITE_FIXED", IORING_OP_WRITE_FIXED, check_plain },
	};
	unsigned int failed = 0;
	struct io_uring ring;
	struct iovec iov;
	int fd, ret;

	fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		die("/proc/self/mem: %s", strerror(errno));
	buffer = aligned_alloc(PAGE, PAGE);
	content = aligned_alloc(PAGE, PAGE);
	if (!buffer || !content)
		die("out of memory");
	memset(buffer, 0, PAGE);
	ret = io_uring_queue_init(4, &ring, 0);
	if (ret)
		die("io_uring_queue_init: %s", strerror(-ret));
	iov = (struct iovec){ buffer, PAGE };
	ret = io_uring_register_buffers(&ring, &iov, 1);
	if (ret)
		die("registering: %s", strerror(-ret));
	for (size_t i = 0; i < ARRAY_SIZE(tests); i++) {
		struct reason why;

		if (tests[i].check(&ring, fd, tests[i].opcode, &why)) {
			failed++;
			printf("FAIL %s: %s\n", tests[i].name, why.text);
		} else {
			printf("ok   %s\n", tests[i].name);
		}
	}
	io_uring_queue_exit(&ring);
	printf("%zu passed, %u failed, 0 skipped\n", ARRAY_SIZE(tests) - failed, failed);
	return failed ? 1 : 0;
}
