/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/* A table update that fails in the middle: the reason, the entry, and the undo. */
#include "helpers.h"

#define NR	8

static struct io_uring ring;
static char *mem, *bad;
static int fd;

/* Does entry @i hold the page at @p? */
static bool holds(unsigned i, char *p)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

	io_uring_prep_read_fixed(sqe, fd, p, 4096, 0, i);
	return t_io(&ring) == 4096;
}

static void vecs(struct iovec *iov, char *from, unsigned broken)
{
	unsigned i;

	for (i = 0; i < NR; i++) {
		iov[i].iov_base = i == broken ? bad : from + i * 4096;
		iov[i].iov_len = 4096;
	}
}

int main(void)
{
	struct iovec old[NR], new[NR];
	struct io_uring_ext_error err;
	struct io_uring_ext_update up;
	__u64 tags[NR] = { 0 };
	unsigned i;

	fd = t_file(65536);
	mem = mmap(NULL, 2 * NR * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		   -1, 0);
	bad = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	t_ring(&ring, 16, 0);

	memset(&up, 0, sizeof(up));
	CHECK_EQ(io_uring_ext_update_buffers(&ring, &up, &err), -EINVAL);
	CHECK_EQ(err.stage, IO_URING_EXT_STAGE_ARGS);
	vecs(old, mem, NR);
	up.nr = NR;
	up.iovecs = old;
	up.flags = 1U << 31;
	CHECK_EQ(io_uring_ext_update_buffers(&ring, &up, NULL), -EINVAL);
	up.flags = 0;
	CHECK_EQ(io_uring_ext_update_buffers(&ring, &up, &err), -ENXIO);

	CHECK_EQ(io_uring_register_buffers_sparse(&ring, NR), 0);
	CHECK_OK(io_uring_ext_update_buffers(&ring, &up, &err), err);
	CHECK_EQ(err.err, 0);
	for (i = 0; i < NR; i++)
		CHECK(holds(i, mem + i * 4096));

	/* Entry 5 fails.  The kernel says "5 done" and no more; we say why */
	vecs(new, mem + NR * 4096, 5);
	up.iovecs = new;
	CHECK_EQ(io_uring_ext_update_buffers(&ring, &up, &err), -EFAULT);
	CHECK_EQ(err.err, -EFAULT);
	CHECK_EQ(err.stage, IO_URING_EXT_STAGE_UPDATE);
	CHECK_EQ(err.entry, 5);
	CHECK_EQ(err.done, 5);
	for (i = 0; i < NR; i++)
		CHECK(holds(i, i < 5 ? mem + (NR + i) * 4096 : mem + i * 4096));

	/* With undo the old ones are back */
	up.iovecs = old;
	CHECK_OK(io_uring_ext_update_buffers(&ring, &up, &err), err);
	up.iovecs = new;
	up.old_iovecs = old;
	up.flags = IO_URING_EXT_UPDATE_UNDO;
	CHECK_EQ(io_uring_ext_update_buffers(&ring, &up, &err), -EFAULT);
	CHECK_EQ(err.done, 0);
	CHECK_EQ(err.entry, 5);
	CHECK(strstr(err.text, "; put back"));
	for (i = 0; i < NR; i++)
		CHECK(holds(i, mem + i * 4096));

	/* Undo that fails as well says so */
	old[2].iov_base = bad;
	CHECK_EQ(io_uring_ext_update_buffers(&ring, &up, &err), -EFAULT);
	CHECK_EQ(err.stage, IO_URING_EXT_STAGE_UNDO);
	CHECK(strstr(err.text, "; putting back failed: the memory is not mapped"));

	/* Undo to empty */
	up.old_iovecs = NULL;
	CHECK_EQ(io_uring_ext_update_buffers(&ring, &up, &err), -EFAULT);
	CHECK_EQ(err.stage, IO_URING_EXT_STAGE_UPDATE);
	for (i = 0; i < 5; i++)
		CHECK(!holds(i, mem + (NR + i) * 4096) && !holds(i, mem + i * 4096));

	/* A tag for an empty entry, an entry beyond the table */
	memset(new, 0, sizeof(new));
	tags[3] = 42;
	up.tags = tags;
	up.flags = 0;
	CHECK_EQ(io_uring_ext_update_buffers(&ring, &up, &err), -EINVAL);
	CHECK_EQ(err.entry, 3);
	up.tags = NULL;
	up.off = 1;
	CHECK_EQ(io_uring_ext_update_buffers(&ring, &up, &err), -EINVAL);

	io_uring_queue_exit(&ring);
	close(fd);
	return 0;
}
