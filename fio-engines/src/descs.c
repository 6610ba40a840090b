// SPDX-License-Identifier: GPL-2.0-only
/*
 * Slots by descriptor: memory that is only read from (reg_op=readonly), ranges of a memfd
 * (reg_op=memfd), and any as a request (reg_op=sqe), an entry of the submission ring among
 * those of I/O.
 *
 * Which numbers a kernel has for that is not settled upstream.  They are liburing-ext's, and
 * so is asking whether this kernel means the same by them.
 *
 * One request is under way at a time.  Its entry of the ring is the one behind those of the
 * io_us.
 */
#include <stdlib.h>
#include <sys/mman.h>

#include "fio.h"

#include "io.h"
#include "uapi.h"

/* ---- descriptors ------------------------------------------------------------------- */

static int unable(const struct regbuf *rb, const char *what)
{
	regbuf_say("reg_op=%s: this kernel has no %s", regbuf_op_name(rb->o->reg_op), what);
	return EOPNOTSUPP;
}

static int check(struct regbuf *rb)
{
	struct io_uring_ext_caps caps = { 0 };

	io_uring_ext_query(&rb->ring, &caps);
	switch (rb->o->reg_op) {
	case REGBUF_OP_READONLY:
		return caps.flags & IO_URING_EXT_CAP_READONLY ? 0 : unable(rb, "read-only buffers");
	case REGBUF_OP_MEMFD:
		return caps.flags & IO_URING_EXT_CAP_MEMFD ? 0 : unable(rb, "buffers of a memfd");
	default:
		return caps.flags & IO_URING_EXT_CAP_REQUEST ? 0 :
							       unable(rb, "registration by a request");
	}
}

static void fill(const struct regbuf *rb, struct urext_desc *d, const struct iovec *v)
{
	d->type = URING_EXT_DESC_UADDR;
	d->uaddr = (uintptr_t)v->iov_base;
	d->size = v->iov_len;
	if (rb->o->reg_op == REGBUF_OP_READONLY)
		d->flags = URING_EXT_DESC_READ_ONLY;
	if (rb->o->reg_op != REGBUF_OP_MEMFD)
		return;
	d->type = URING_EXT_DESC_MEMFD;
	d->memfd = rb->arena->info.memfd;
	d->offset = (char *)v->iov_base - rb->arena->base;
}

int regbuf_descs_init(struct regbuf *rb)
{
	struct regbuf_slots *s = &rb->slots;
	unsigned int i;
	int ret;

	if (!regbuf_by_desc(rb->o))
		return 0;
	ret = check(rb);
	if (ret)
		return ret;
	s->descs = calloc(s->nr, sizeof(*s->descs));
	if (!s->descs) {
		regbuf_say("no memory for %u descriptors", s->nr);
		return ENOMEM;
	}
	for (i = 0; i < s->nr; i++)
		fill(rb, &s->descs[i], &s->iovecs[i]);
	/* Where nothing is written through it, memory that is only readable */
	if (rb->o->reg_op == REGBUF_OP_READONLY && rb->o->reg_mode == REGBUF_MODE_REGISTER &&
	    mprotect(rb->arena->base, rb->arena->size, PROT_READ)) {
		ret = errno;
		regbuf_say("reg_op=readonly: %s", strerror(ret));
	}
	return ret;
}

/* What is put into entry @slot, or, with nothing to be there, into any. */
static const struct urext_desc *desc_of(const struct regbuf *rb, unsigned int slot, bool fill)
{
	static const struct urext_desc empty = { .type = URING_EXT_DESC_EMPTY };

	return fill ? &rb->slots.descs[slot] : &empty;
}

void regbuf_descs_update(const struct regbuf *rb, struct io_uring_rsrc_update2 *arg, bool fill)
{
	static const uint32_t flags = URING_EXT_UPDATE_EXTENDED;

	arg->data = (uintptr_t)desc_of(rb, arg->offset, fill);
	/* Called "flags" in newer headers */
	memcpy((char *)arg + sizeof(arg->offset), &flags, sizeof(flags));
}

/* ---- requests ------------------------------------------------------------------------- */

/* The kernel's thread may sleep, or take it at once. */
static void wake(struct regbuf *rb)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (io_uring_smp_load_acquire(rb->ring.sq.kflags) & IORING_SQ_NEED_WAKEUP)
		io_uring_enter(rb->ring.ring_fd, 1, 0, IORING_ENTER_SQ_WAKEUP, NULL);
}

/* With nothing queued.  -errno if the kernel does not take it; then it is taken back. */
static int submit(struct regbuf *rb)
{
	struct io_uring_sq *sq = &rb->ring.sq;
	const unsigned int tail = *sq->ktail;
	int ret = 1;

	sq->array[tail & sq->ring_mask] = rb->td->o.iodepth;
	io_uring_smp_store_release(sq->ktail, tail + 1);
	if (rb->o->sqthread_poll)
		wake(rb);
	else
		ret = io_uring_enter(rb->ring.ring_fd, 1, 0, 0, NULL);
	if (ret == 1)
		return 0;
	io_uring_smp_store_release(sq->ktail, tail);
	return ret < 0 ? ret : -EAGAIN;
}

int regbuf_request(struct regbuf *rb, unsigned int first, unsigned int nr, bool fill)
{
	struct io_uring_sqe *sqe = &rb->ring.sq.sqes[rb->td->o.iodepth << rb->big_shift];
	struct regbuf_request *r = &rb->request;
	int ret;

	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = URING_EXT_OP_BUFFERS_UPDATE;
	sqe->fd = -1;
	sqe->off = first;
	sqe->addr = (uintptr_t)desc_of(rb, first, fill);
	sqe->len = nr;
	sqe->addr3 = fill ? (uintptr_t)&rb->slots.tags[first] : 0;
	sqe->user_data = REGBUF_REQUEST;
	r->complete = false;
	rb->call_start = regbuf_begin(rb);
	do {
		ret = submit(rb);
	} while (ret == -EINTR);
	r->sent = !ret;
	return ret;
}

void regbuf_request_seen(struct regbuf *rb, int res)
{
	struct regbuf_request *r = &rb->request;

	rb->call_end = regbuf_now();
	r->res = res;
	r->sent = false;
	r->complete = true;
	r->count++;
}
