/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/* What query says is what the kernel does. */
#include "helpers.h"

static void check_limits(const struct io_uring_ext_caps *caps)
{
	size_t page = 4096;
	struct iovec iov;
	struct io_uring ring;

	CHECK(caps->max_buffer >= GiB);
	CHECK(caps->max_buffers >= 1024 && caps->max_buffers <= 65536);
	CHECK(!IS_64BIT || caps->max_buffer_source != IO_URING_EXT_ASSUMED);
	CHECK(caps->max_buffers_source != IO_URING_EXT_ASSUMED);

	t_ring(&ring, 4, 0);
	CHECK_EQ(io_uring_register_buffers_sparse(&ring, caps->max_buffers), 0);
	CHECK_EQ(io_uring_unregister_buffers(&ring), 0);
	CHECK(io_uring_register_buffers_sparse(&ring, caps->max_buffers + 1) < 0);

	/* What is said to fit in one buffer does, where the machine is large enough */
	if (caps->max_buffer > 4ULL << 30 || !t_may_lock(caps->max_buffer, "the largest buffer")) {
		fprintf(stderr, "a buffer of %llu bytes is not tried\n",
			(unsigned long long)caps->max_buffer);
	} else {
		iov.iov_len = caps->max_buffer + page;
		iov.iov_base = mmap(NULL, iov.iov_len, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		CHECK(iov.iov_base != MAP_FAILED);
		madvise(iov.iov_base, iov.iov_len, MADV_HUGEPAGE);
		CHECK(io_uring_register_buffers(&ring, &iov, 1) < 0);
		iov.iov_len -= page;
		CHECK_EQ(io_uring_register_buffers(&ring, &iov, 1), 0);
		CHECK_EQ(io_uring_unregister_buffers(&ring), 0);
		munmap(iov.iov_base, iov.iov_len + page);
	}
	io_uring_queue_exit(&ring);
}

static void check_restrictions(const struct io_uring_ext_caps *all)
{
	static const unsigned update[] = { IORING_REGISTER_BUFFERS, IORING_REGISTER_BUFFERS2,
					   IORING_REGISTER_BUFFERS_UPDATE };
	static const unsigned none[] = { IORING_REGISTER_EVENTFD };
	struct io_uring_ext_caps caps;
	struct io_uring ring;

	t_restricted(&ring, update, 3);
	CHECK_EQ(io_uring_ext_query(&ring, &caps), 0);
	CHECK_EQ(caps.flags, all->flags & (IO_URING_EXT_CAP_UPDATE | IO_URING_EXT_CAP_TAGS |
					   IO_URING_EXT_CAP_SPARSE | IO_URING_EXT_CAP_RUNS |
					   IO_URING_EXT_CAP_READONLY | IO_URING_EXT_CAP_MEMFD |
					   IO_URING_EXT_CAP_MSG));
	CHECK_EQ(caps.max_buffer, all->max_buffer);
	io_uring_queue_exit(&ring);

	t_restricted(&ring, none, 1);
	CHECK_EQ(io_uring_ext_query(&ring, &caps), 0);
	/* How the kernel keeps buffers is nothing that it could forbid */
	CHECK_EQ(caps.flags, all->flags & (IO_URING_EXT_CAP_RUNS | IO_URING_EXT_CAP_MSG));
	io_uring_queue_exit(&ring);
}

/* A ring that has a table answers the same, and keeps its table. */
static void check_table_stays(const struct io_uring_ext_caps *all)
{
	struct io_uring_ext_caps caps;
	static char buf[4096];
	struct iovec iov = { buf, sizeof(buf) };
	struct io_uring_sqe *sqe;
	struct io_uring ring;
	int fd = t_file(65536);

	t_ring(&ring, 4, 0);
	CHECK_EQ(io_uring_register_buffers(&ring, &iov, 1), 0);
	CHECK_EQ(io_uring_ext_query(&ring, &caps), 0);
	CHECK_EQ(caps.flags, all->flags);
	sqe = io_uring_get_sqe(&ring);
	io_uring_prep_read_fixed(sqe, fd, buf, sizeof(buf), 0, 0);
	CHECK_EQ(t_io(&ring), sizeof(buf));
	t_check_bytes(buf, sizeof(buf), 0);
	io_uring_queue_exit(&ring);
	close(fd);
}

int main(void)
{
	struct io_uring_ext_caps caps, again;
	struct io_uring ring;

	CHECK_EQ(io_uring_ext_query(NULL, NULL), -EINVAL);
	t_ring(&ring, 4, 0);
	CHECK_EQ(io_uring_ext_query(&ring, &caps), 0);
	CHECK_EQ(io_uring_ext_query(NULL, &again), 0);
	CHECK(!memcmp(&caps, &again, sizeof(caps)));
	io_uring_queue_exit(&ring);
	/* Both are there on any kernel that the library is for */
	CHECK(caps.flags & IO_URING_EXT_CAP_UPDATE);
	CHECK(caps.flags & IO_URING_EXT_CAP_TAGS);
	/* Where the kernel tells one thing, it tells all; 32 bits are too few for a trial */
	if (IS_64BIT || caps.max_buffer_source == IO_URING_EXT_KERNEL)
		CHECK_EQ(caps.max_buffer_source, caps.max_buffers_source);
	CHECK_EQ(caps.max_buffer_source == IO_URING_EXT_KERNEL,
		 !!(caps.flags & IO_URING_EXT_CAP_LAYOUT));
	check_limits(&caps);
	check_restrictions(&caps);
	check_table_stays(&caps);
	t_no_pins();
	return 0;
}
