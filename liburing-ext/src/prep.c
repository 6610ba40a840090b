/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * Preparing requests: fixed where the memory lies in one slot of the ring; and noting
 * where each of them is (see flight.c).
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

static enum why place(const struct urext_seg *s, uintptr_t addr, size_t len, enum use use,
		      unsigned *index, size_t *fit)
{
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
	struct urext_seg *seg;
	unsigned index;
	size_t room;

	if (fit)
		*fit = 0;
	if (!r)
		return -EINVAL;
	seg = urext_ring_find(r, (uintptr_t)ptr, len);
	switch (place(seg, (uintptr_t)ptr, len, SOURCE, &index, &room)) {
	case FIXED:
		seg->used |= seg->tagged;
		return index;
	case STRADDLE:
		if (fit)
			*fit = room;
		return -ERANGE;
	default:
		return -ENOENT;
	}
}

/* All of the sqe but user_data, which lies between the rest. */
static inline void fill(struct io_uring_sqe *sqe, unsigned op, int fd, const void *addr,
		 unsigned len, __u64 offset)
{
	memset(sqe, 0, offsetof(struct io_uring_sqe, user_data));
	memset(&sqe->buf_index, 0,
	       sizeof(*sqe) - offsetof(struct io_uring_sqe, buf_index));
	sqe->opcode = op;
	sqe->fd = fd;
	sqe->off = offset;
	sqe->addr = (uintptr_t)addr;
	sqe->len = len;
}

/* One range: where it is, noted as a request. */
static enum why find(struct io_uring_ext_ring *r, const void *buf, size_t len, enum use use,
		     unsigned *index)
{
	uintptr_t addr = (uintptr_t)buf;
	struct urext_seg *seg;
	enum why why;
	size_t fit;

	if (!len) {
		r->ticket = 0;
		return UNABLE;
	}
	seg = urext_ring_find(r, addr, len);
	why = place(seg, addr, len, use, index, &fit);
	/* A plain request is cut at the cap, a fixed one refused */
	if (len > URING_EXT_MAX_RW)
		why = UNABLE;
	if (seg)
		urext_flight_seg(r, seg, why == FIXED);
	else
		urext_flight_loose(r, addr, addr + len < addr ? UINTPTR_MAX : addr + len);
	return why;
}

static __attribute__((noinline))
int prep_rw(struct io_uring_ext_ring *r, struct io_uring_sqe *sqe, int fd,
		   const void *buf, unsigned nbytes, __u64 offset, enum use use,
		   unsigned plain, unsigned fixed)
{
	unsigned index = 0;
	enum why why;

	if (!r) {
		fill(sqe, plain, fd, buf, nbytes, offset);
		return 0;
	}
	why = find(r, buf, nbytes, use, &index);
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

/*
 * For who knows the region: nothing is searched for.  The id is checked, since it may be
 * another region's by now; and what is not as it mostly is goes the long way (false).
 * Inline, and the long way not: saving registers for that would cost as much as all of this.
 */
static inline __attribute__((always_inline))
bool prep_known(struct io_uring_ext_ring *r, struct io_uring_sqe *sqe, int id, int fd,
		const void *buf, unsigned nbytes, __u64 offset, enum use use, unsigned fixed)
{
	uintptr_t addr = (uintptr_t)buf;
	struct urext_seg *seg;
	unsigned slot = 0;
	size_t from;

	seg = r && (unsigned)id < r->max_segs ? r->seg_of[id] : NULL;
	if (!seg || !seg->fixed || (use == DEST && seg->source_only) ||
	    nbytes - 1 >= URING_EXT_MAX_RW)
		return false;
	if (addr < seg->split.base || addr >= seg->split.end || nbytes > seg->split.end - addr)
		return false;
	if (seg->split.nr > 1) {
		from = addr - seg->split.origin;
		slot = from >> seg->split.shift;
		if ((from + nbytes - 1) >> seg->split.shift != slot)
			return false;
	}
	urext_flight_seg(r, seg, true);
	fill(sqe, fixed, fd, buf, nbytes, offset);
	sqe->buf_index = seg->index + slot;
	r->stats.fixed++;
	return true;
}

int io_uring_ext_prep_read_region(struct io_uring_ext_ring *r, struct io_uring_sqe *sqe, int id,
				  int fd, void *buf, unsigned nbytes, __u64 offset)
{
	if (prep_known(r, sqe, id, fd, buf, nbytes, offset, DEST, IORING_OP_READ_FIXED))
		return 1;
	return io_uring_ext_prep_read(r, sqe, fd, buf, nbytes, offset);
}

int io_uring_ext_prep_write_region(struct io_uring_ext_ring *r, struct io_uring_sqe *sqe, int id,
				   int fd, const void *buf, unsigned nbytes, __u64 offset)
{
	if (prep_known(r, sqe, id, fd, buf, nbytes, offset, SOURCE, IORING_OP_WRITE_FIXED))
		return 1;
	return io_uring_ext_prep_write(r, sqe, fd, buf, nbytes, offset);
}

/* What vectors have in common. */
struct together {
	struct urext_seg *seg;		/* that all are in */
	uintptr_t start;		/* from the lowest address to the highest */
	uintptr_t end;
	size_t sum;
	bool empty;			/* one of them is */
};

static void gather(struct io_uring_ext_ring *r, const struct iovec *iov, unsigned nr,
		   struct together *t)
{
	struct urext_seg *seg;
	uintptr_t start, end;
	unsigned i;

	*t = (struct together){ .start = UINTPTR_MAX };
	for (i = 0; i < nr; i++) {
		start = (uintptr_t)iov[i].iov_base;
		if (!iov[i].iov_len) {
			t->empty = true;
			continue;
		}
		if (__builtin_add_overflow(start, iov[i].iov_len, &end))
			end = UINTPTR_MAX;
		if (__builtin_add_overflow(t->sum, iov[i].iov_len, &t->sum))
			t->sum = SIZE_MAX;
		seg = urext_ring_find(r, start, iov[i].iov_len);
		t->seg = !t->end || seg == t->seg ? seg : NULL;
		t->start = min_sz(t->start, start);
		t->end = end > t->end ? end : t->end;
	}
}

/* One slot for all vectors, none of them empty, the sum within the cap. */
static enum why place_vecs(struct io_uring_ext_ring *r, const struct iovec *iov, unsigned nr,
			   const struct together *t, enum use use, unsigned *index)
{
	unsigned i, idx = 0;
	size_t fit;
	enum why why;

	if (!nr || t->empty || t->sum > URING_EXT_MAX_RW ||
	    !(r->pool->caps.flags & IO_URING_EXT_CAP_VEC_FIXED))
		return UNABLE;
	for (i = 0; i < nr; i++) {
		uintptr_t start = (uintptr_t)iov[i].iov_base;

		why = place(t->seg ? t->seg : urext_ring_find(r, start, iov[i].iov_len),
			    start, iov[i].iov_len, use, &idx, &fit);
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
	struct together t;
	unsigned index = 0;
	enum why why;

	if (!r) {
		fill(sqe, plain, fd, iov, nr, offset);
		sqe->rw_flags = rw_flags;
		return 0;
	}
	gather(r, iov, nr, &t);
	why = place_vecs(r, iov, nr, &t, use, &index);
	if (!t.end)
		r->ticket = 0;
	else if (t.seg)
		urext_flight_seg(r, t.seg, why == FIXED);
	else
		urext_flight_loose(r, t.start, t.end);
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
	unsigned index = 0;
	enum why why = UNABLE;

	if (r)
		why = find(r, buf, len, SOURCE, &index);
	fill(sqe, URING_EXT_OP_SEND_ZC, sockfd, buf, len, 0);
	sqe->msg_flags = msg_flags;
	sqe->ioprio = zc_flags;
	if (why == FIXED) {
		sqe->ioprio |= URING_EXT_RECVSEND_FIXED_BUF;
		sqe->buf_index = index;
	}
	return r ? count(r, why) : 0;
}
