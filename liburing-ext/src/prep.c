/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * Preparing requests: fixed where the memory lies in one slot of the ring.
 *
 * The sqe is written here and not by liburing's inline functions: what these leave
 * for io_uring_get_sqe() to set has changed between versions, and this library may
 * be compiled with one and run with another.
 */
#include "lib.h"
#include "uapi.h"

enum why { FIXED, UNREGISTERED, OUTSIDE, STRADDLE, UNABLE };

static int count(struct io_uring_ext_ring *r, enum why why)
{
	switch (why) {
	case FIXED:
		r->stats.fixed++;
		return 1;
	case UNREGISTERED:
		r->stats.plain_unregistered++;
		return 0;
	case OUTSIDE:
		r->stats.plain_outside++;
		return 0;
	case STRADDLE:
		r->stats.plain_straddle++;
		return 0;
	default:
		r->stats.plain_unable++;
		return 0;
	}
}

/* What the memory is for; some regions are only sources. */
enum use { SOURCE, DEST };

static enum why find(struct io_uring_ext_ring *r, const void *ptr, size_t len, enum use use,
		     unsigned *index, size_t *fit)
{
	uintptr_t addr = (uintptr_t)ptr;
	const struct urext_seg *s = urext_ring_find(r, addr, len);
	unsigned slot;

	if (!s)
		return OUTSIDE;
	if (!s->fixed)
		return UNREGISTERED;
	if (use == DEST && s->source_only)
		return UNABLE;
	slot = urext_split_slot(&s->split, addr);
	*index = s->index + slot;
	if (s->split.nr == 1)
		return FIXED;
	*fit = urext_split_end(&s->split, slot) - addr;
	return len <= *fit ? FIXED : STRADDLE;
}

int io_uring_ext_ring_index(struct io_uring_ext_ring *r, const void *ptr,
			    size_t len, size_t *fit)
{
	unsigned index;
	size_t room;

	if (!r)
		return -EINVAL;
	switch (find(r, ptr, len, SOURCE, &index, &room)) {
	case FIXED:
		return index;
	case STRADDLE:
		if (fit)
			*fit = room;
		return -ERANGE;
	default:
		return -ENOENT;
	}
}

/* All of the sqe but user_data. */
static void fill(struct io_uring_sqe *sqe, unsigned op, int fd, const void *addr,
		 unsigned len, __u64 offset)
{
	__u64 user_data = sqe->user_data;

	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = op;
	sqe->fd = fd;
	sqe->off = offset;
	sqe->addr = (uintptr_t)addr;
	sqe->len = len;
	sqe->user_data = user_data;
}

static int prep_rw(struct io_uring_ext_ring *r, struct io_uring_sqe *sqe, int fd,
		   const void *buf, unsigned nbytes, __u64 offset, enum use use,
		   unsigned plain, unsigned fixed)
{
	enum why why = UNABLE;
	unsigned index = 0;
	size_t fit;

	/* A plain request is cut at the cap, a fixed one refused */
	if (nbytes && nbytes <= URING_EXT_MAX_RW)
		why = find(r, buf, nbytes, use, &index, &fit);
	fill(sqe, why == FIXED ? fixed : plain, fd, buf, nbytes, offset);
	if (why == FIXED)
		sqe->buf_index = index;
	return count(r, why);
}

int io_uring_ext_prep_read(struct io_uring_ext_ring *r, struct io_uring_sqe *sqe,
			   int fd, void *buf, unsigned nbytes, __u64 offset)
{
	return prep_rw(r, sqe, fd, buf, nbytes, offset, DEST, IORING_OP_READ,
		       IORING_OP_READ_FIXED);
}

int io_uring_ext_prep_write(struct io_uring_ext_ring *r, struct io_uring_sqe *sqe,
			    int fd, const void *buf, unsigned nbytes, __u64 offset)
{
	return prep_rw(r, sqe, fd, buf, nbytes, offset, SOURCE, IORING_OP_WRITE,
		       IORING_OP_WRITE_FIXED);
}

/* One slot for all vectors, none of them empty, the sum within the cap. */
static enum why find_vecs(struct io_uring_ext_ring *r, const struct iovec *iov,
			  unsigned nr, enum use use, unsigned *index)
{
	unsigned i, idx = 0;
	size_t fit, sum = 0;
	enum why why;

	if (!nr || !(r->caps.flags & IO_URING_EXT_CAP_VEC_FIXED))
		return UNABLE;
	for (i = 0; i < nr; i++) {
		sum += iov[i].iov_len;
		if (!iov[i].iov_len || iov[i].iov_len > URING_EXT_MAX_RW ||
		    sum > URING_EXT_MAX_RW)
			return UNABLE;
		why = find(r, iov[i].iov_base, iov[i].iov_len, use, &idx, &fit);
		if (why != FIXED)
			return why;
		if (i && idx != *index)
			return STRADDLE;
		*index = idx;
	}
	return FIXED;
}

static int prep_rwv(struct io_uring_ext_ring *r, struct io_uring_sqe *sqe, int fd,
		    const struct iovec *iov, unsigned nr, __u64 offset, int rw_flags,
		    enum use use, unsigned plain, unsigned fixed)
{
	unsigned index = 0;
	enum why why;

	why = find_vecs(r, iov, nr, use, &index);
	fill(sqe, why == FIXED ? fixed : plain, fd, iov, nr, offset);
	sqe->rw_flags = rw_flags;
	if (why == FIXED)
		sqe->buf_index = index;
	return count(r, why);
}

int io_uring_ext_prep_readv(struct io_uring_ext_ring *r, struct io_uring_sqe *sqe,
			    int fd, const struct iovec *iovecs, unsigned nr_vecs,
			    __u64 offset, int rw_flags)
{
	return prep_rwv(r, sqe, fd, iovecs, nr_vecs, offset, rw_flags, DEST, IORING_OP_READV,
			URING_EXT_OP_READV_FIXED);
}

int io_uring_ext_prep_writev(struct io_uring_ext_ring *r, struct io_uring_sqe *sqe,
			     int fd, const struct iovec *iovecs, unsigned nr_vecs,
			     __u64 offset, int rw_flags)
{
	return prep_rwv(r, sqe, fd, iovecs, nr_vecs, offset, rw_flags, SOURCE, IORING_OP_WRITEV,
			URING_EXT_OP_WRITEV_FIXED);
}

int io_uring_ext_prep_send_zc(struct io_uring_ext_ring *r, struct io_uring_sqe *sqe,
			      int sockfd, const void *buf, unsigned len, int msg_flags,
			      unsigned zc_flags)
{
	enum why why = UNABLE;
	unsigned index = 0;
	size_t fit;

	if (len && len <= URING_EXT_MAX_RW)
		why = find(r, buf, len, SOURCE, &index, &fit);
	fill(sqe, URING_EXT_OP_SEND_ZC, sockfd, buf, len, 0);
	sqe->msg_flags = msg_flags;
	sqe->ioprio = zc_flags;
	if (why == FIXED) {
		sqe->ioprio |= URING_EXT_RECVSEND_FIXED_BUF;
		sqe->buf_index = index;
	}
	return count(r, why);
}
