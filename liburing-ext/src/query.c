/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * What the kernel allows, by asking it where it can be asked, else by trials that
 * cannot succeed in doing anything:
 *
 *  - The largest buffer: the length of a buffer is checked before its address.  At
 *    the last page of the address space a length that is allowed fails with
 *    -EOVERFLOW, one that is not fails otherwise.  Nothing is ever pinned.
 *  - The largest table: by making empty ones in a ring that exists for this.
 *  - A register opcode: called with an argument that is checked after the opcode is
 *    known and allowed.
 */
#include <limits.h>
#include <stdlib.h>

#include "lib.h"
#include "uapi.h"

/* What every kernel from 5.13 on allows. */
#define SAFE_MAX_BUFFER		SZ_1G
#define SAFE_MAX_BUFFERS	1024

/* More than an address space can hold. */
#define TRY_MAX_BUFFER		(1UL << (sizeof(long) == 8 ? 56 : 31))
/* buf_index is 16 bits wide. */
#define TRY_MAX_BUFFERS		(1U << 16)

enum answer { NO, YES, UNCLEAR };

static enum answer try_buffer(struct urext_target t, size_t pages)
{
	size_t page = base_page_size();
	struct iovec iov = {
		.iov_base = (void *)~(uintptr_t)(page - 1),
		.iov_len = pages * page,
	};

	switch (urext_register(t, IORING_REGISTER_BUFFERS, &iov, 1)) {
	case -EOVERFLOW:
		return YES;
	case -EFAULT:
	case -EINVAL:
		return NO;
	default:
		return UNCLEAR;
	}
}

static enum answer try_table(struct urext_target t, size_t nr)
{
	switch (urext_table(t, nr)) {
	case 0:
		urext_register(t, IORING_UNREGISTER_BUFFERS, NULL, 0);
		return YES;
	case -EINVAL:
		return NO;
	default:
		return UNCLEAR;
	}
}

/* The largest number below @hi that is answered with yes; 0 if an answer is unclear. */
static size_t largest(struct urext_target t,
		      enum answer (*try)(struct urext_target t, size_t n), size_t hi)
{
	size_t lo = 0, mid;

	while (hi - lo > 1) {
		mid = lo + (hi - lo) / 2;
		switch (try(t, mid)) {
		case YES:
			lo = mid;
			break;
		case NO:
			hi = mid;
			break;
		default:
			return 0;
		}
	}
	return lo;
}

static bool try_sparse(struct urext_target t)
{
	struct io_uring_rsrc_register reg = {
		.nr = 1,
		.flags = IORING_RSRC_REGISTER_SPARSE,
	};

	if (urext_register(t, IORING_REGISTER_BUFFERS2, &reg, sizeof(reg)))
		return false;
	urext_register(t, IORING_UNREGISTER_BUFFERS, NULL, 0);
	return true;
}

static void trial_limits(struct urext_target t, struct io_uring_ext_caps *caps)
{
	size_t page = base_page_size(), n;

	/*
	 * A kernel that keeps pages and not runs also refuses, later, a list of
	 * page pointers that is larger than INT_MAX bytes: 1 TiB less a page.
	 */
	n = min_sz(largest(t, try_buffer, TRY_MAX_BUFFER / page), INT_MAX / sizeof(void *));
	if (n * page >= SAFE_MAX_BUFFER) {
		caps->max_buffer = n * page;
		caps->max_buffer_source = IO_URING_EXT_TRIAL;
	}
	n = largest(t, try_table, TRY_MAX_BUFFERS + 1);
	if (n >= SAFE_MAX_BUFFERS) {
		caps->max_buffers = n;
		caps->max_buffers_source = IO_URING_EXT_TRIAL;
	}
}

/* The ring that a message is for is looked up last. */
static __u32 query_messages(void)
{
	struct io_uring_sqe sqe;

	memset(&sqe, 0, sizeof(sqe));
	sqe.opcode = URING_EXT_OP_MSG_RING;
	sqe.fd = -1;
	if (urext_register(urext_target_fd(-1), URING_EXT_REGISTER_SEND_MSG_RING, &sqe,
			   1) == -EBADF)
		return IO_URING_EXT_CAP_MSG;
	return 0;
}

/* What is the same for all rings; @fd is a ring to try things on, or less than 0. */
static void query_kernel(int fd, struct io_uring_ext_caps *caps)
{
	bool told;

	caps->max_buffer = SAFE_MAX_BUFFER;
	caps->max_buffers = SAFE_MAX_BUFFERS;
	told = !urext_uapi_query(caps);
	caps->flags |= query_messages();
	if (fd < 0)
		return;
	if (try_sparse(urext_target_fd(fd)))
		caps->flags |= IO_URING_EXT_CAP_SPARSE;
	if (!told)
		trial_limits(urext_target_fd(fd), caps);
}

static __u32 query_update(struct urext_target t)
{
	struct io_uring_rsrc_update2 up;

	memset(&up, 0, sizeof(up));
	if (urext_register(t, IORING_REGISTER_BUFFERS_UPDATE, &up, sizeof(up)) == -EINVAL)
		return IO_URING_EXT_CAP_UPDATE | IO_URING_EXT_CAP_TAGS;
	return 0;
}

static bool may_make_sparse(struct urext_target t)
{
	struct io_uring_rsrc_register reg;

	memset(&reg, 0, sizeof(reg));
	return urext_register(t, IORING_REGISTER_BUFFERS2, &reg, sizeof(reg)) == -EINVAL;
}

/* The source's file is looked up after opcode, flags and padding were checked. */
static __u32 query_clone(struct urext_target t)
{
	struct urext_clone_buffers c = { .src_fd = -1 };
	__u32 flags = 0;

	if (urext_register(t, URING_EXT_REGISTER_CLONE_BUFFERS, &c, 1) != -EBADF) {
		/* A ring with a table may be refused without REPLACE */
		c.flags = URING_EXT_CLONE_DST_REPLACE;
		if (urext_register(t, URING_EXT_REGISTER_CLONE_BUFFERS, &c, 1) != -EBADF)
			return 0;
	}
	flags |= IO_URING_EXT_CAP_CLONE;
	c.flags = URING_EXT_CLONE_DST_REPLACE;
	c.nr = 1;
	if (urext_register(t, URING_EXT_REGISTER_CLONE_BUFFERS, &c, 1) == -EBADF)
		flags |= IO_URING_EXT_CAP_CLONE_RANGE;
	return flags;
}

static __u32 query_ops(struct urext_target t)
{
	static const struct {
		unsigned op;
		__u32 flag;
	} ops[] = {
		{ URING_EXT_OP_SEND_ZC, IO_URING_EXT_CAP_SEND_ZC },
		{ URING_EXT_OP_READV_FIXED, IO_URING_EXT_CAP_VEC_FIXED },
		{ URING_EXT_OP_BUFFERS_UPDATE, IO_URING_EXT_CAP_REQUEST },
	};
	struct io_uring_probe *probe;
	__u32 flags = 0;
	unsigned i;

	probe = calloc(1, sizeof(*probe) + 256 * sizeof(probe->ops[0]));
	if (!probe)
		return 0;
	if (!urext_register(t, IORING_REGISTER_PROBE, probe, 256))
		for (i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
			if (io_uring_opcode_supported(probe, ops[i].op))
				flags |= ops[i].flag;
	free(probe);
	return flags;
}

/* @caps holds what query_kernel() found. */
void urext_query_ring(struct urext_target t, struct io_uring_ext_caps *caps)
{
	__u32 ops = query_ops(t);

	if (!may_make_sparse(t))
		caps->flags &= ~IO_URING_EXT_CAP_SPARSE;
	/* What other kernels may have that number for */
	caps->flags &= ops | ~IO_URING_EXT_CAP_REQUEST;
	caps->flags |= query_update(t) | query_clone(t) | (ops & ~IO_URING_EXT_CAP_REQUEST);
	if (!(caps->flags & IO_URING_EXT_CAP_UPDATE))
		caps->flags &= ~(IO_URING_EXT_CAP_READONLY | IO_URING_EXT_CAP_MEMFD);
	if ((caps->flags & IO_URING_EXT_CAP_LAYOUT) && !urext_uapi_may_layout(t))
		caps->flags &= ~IO_URING_EXT_CAP_LAYOUT;
	/* A list of no queries is fine where there are queries. */
	if (!urext_register(t, URING_EXT_REGISTER_QUERY, NULL, 0))
		caps->flags |= IO_URING_EXT_CAP_QUERY;
}

int urext_query_bare(struct io_uring_ext_caps *caps)
{
	int fd;

	memset(caps, 0, sizeof(*caps));
	fd = urext_bare_ring();
	if (fd < 0)
		return fd;
	query_kernel(fd, caps);
	urext_query_ring(urext_target_fd(fd), caps);
	return fd;
}

int io_uring_ext_query(struct io_uring *ring, struct io_uring_ext_caps *caps)
{
	int fd;

	if (!caps)
		return -EINVAL;
	if (!ring) {
		fd = urext_query_bare(caps);
		if (fd >= 0)
			close(fd);
		return fd < 0 ? fd : 0;
	}
	memset(caps, 0, sizeof(*caps));
	fd = urext_bare_ring();
	query_kernel(fd, caps);
	if (fd >= 0)
		close(fd);
	urext_query_ring(urext_target_ring(ring), caps);
	return 0;
}
