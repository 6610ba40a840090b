/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/* What is said to fit is read with O_DIRECT, and what is not is refused by the kernel. */
#include "helpers.h"

#define SIZE	(64 * KiB)

static struct io_uring_ext_direct d;
static char *mem;

static void check_file(const char *dir)
{
	unsigned align, off;
	char path[256];
	int fd, ret;

	snprintf(path, sizeof(path), "%s/uring-ext-direct-%d", dir, getpid());
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_DIRECT, 0600);
	if (fd < 0) {
		fprintf(stderr, "%s: %s\n", dir, strerror(errno));
		return;
	}
	unlink(path);
	CHECK_EQ(ftruncate(fd, SIZE), 0);
	ret = io_uring_ext_direct_query(fd, &d);
	CHECK(ret == 0 || ret == -EOPNOTSUPP);
	if (ret) {
		fprintf(stderr, "%s: no direct I/O\n", dir);
		close(fd);
		return;
	}
	CHECK(d.mem_align && d.offset_align);
	/* All that fits is done; what does not may be done all the same */
	for (align = 1; align <= 8192; align *= 2)
		for (off = 1; off <= 8192; off *= 2)
			if (io_uring_ext_direct_fits(&d, mem + align, 8192, off))
				CHECK_EQ(pread(fd, mem + align, 8192, off), 8192);
	CHECK_EQ(io_uring_ext_direct_fits(&d, mem + d.mem_align, d.offset_align, 0), 1);
	CHECK_EQ(io_uring_ext_direct_fits(&d, mem, d.offset_align, d.offset_align), 1);
	if (d.mem_align > 1)
		CHECK_EQ(io_uring_ext_direct_fits(&d, mem + d.mem_align / 2, 8192, 0), 0);
	if (d.offset_align > 1) {
		CHECK_EQ(io_uring_ext_direct_fits(&d, mem, d.offset_align / 2, 0), 0);
		CHECK_EQ(io_uring_ext_direct_fits(&d, mem, 8192, d.offset_align / 2), 0);
	}
	printf("%s: addresses %u, offsets %u (%s)\n", dir, d.mem_align, d.offset_align,
	       d.source == IO_URING_EXT_KERNEL ? "told" : "assumed");
	close(fd);
}

int main(void)
{
	int fds[2];

	mem = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(mem != MAP_FAILED);
	CHECK_EQ(io_uring_ext_direct_query(0, NULL), -EINVAL);
	memset(&d, 0xee, sizeof(d));
	CHECK_EQ(io_uring_ext_direct_query(-1, &d), -EBADF);
	CHECK(!d.mem_align && !d.offset_align);
	CHECK_EQ(io_uring_ext_direct_fits(NULL, mem, 4096, 0), 0);
	CHECK_EQ(io_uring_ext_direct_fits(&d, mem, 4096, 0), 0);
	CHECK_EQ(pipe(fds), 0);
	CHECK(io_uring_ext_direct_query(fds[0], &d) <= 0);
	check_file("/tmp");
	check_file("/dev/shm");
	check_file(".");
	return 0;
}
