// SPDX-License-Identifier: GPL-2.0-only
/*
 * reg_mode=io, from ->prep() to ->event().
 *
 * As in fio's own engine an io_u has its entry of the submission ring for life, and
 * the ring's array says in which order entries are submitted.  liburing sets the ring
 * up and registers; the path of an I/O touches the rings itself.
 */
#include <sched.h>

#include "fio.h"

#include "io.h"
#include "uapi.h"

/* <linux/blkdev.h> since 6.12 */
#ifndef BLOCK_URING_CMD_DISCARD
#define BLOCK_URING_CMD_DISCARD	_IO(0x12, 0)
#endif

/* Since 6.10 and 6.13 */
#define NOP_INJECT_RESULT	(1U << 0)
#define NOP_FIXED_BUFFER	(1U << 3)

#define SQ_FLAGS_RECHECK	(IORING_SQ_NEED_WAKEUP | IORING_SQ_CQ_OVERFLOW)

/* ---- places ------------------------------------------------------------------- */

char *regbuf_io_place(const struct regbuf *rb, uint64_t place)
{
	return rb->arena->base + place / rb->per_slot * rb->slots.size +
	       place % rb->per_slot * rb->stride + rb->o->arena_skew;
}

void regbuf_io_set_place(struct regbuf *rb, struct io_u *io_u, uint64_t place)
{
	rb->units[io_u->index].slot = place / rb->per_slot;
	io_u->buf = regbuf_io_place(rb, place);
	/* The pattern that fio would take for still there is in the old place */
	io_u->buf_filled_len = 0;
}

bool regbuf_io_keeps_data(const struct thread_data *td)
{
	return td->o.verify == VERIFY_NONE || td->o.verify == VERIFY_NULL;
}

/* The next place of an io_u, if it is to have one. */
static void move(struct regbuf *rb, struct io_u *io_u)
{
	struct regbuf_unit *u = &rb->units[io_u->index];
	struct thread_data *td = rb->td;
	uint64_t turn;

	/* Prepared before, and then put back because the ring was full */
	if (u->placed)
		return;
	u->placed = 1;
	if (rb->o->arena_place == REGBUF_PLACE_RANDOM) {
		turn = regbuf_random_below(&rb->random, rb->nr_turns);
	} else {
		turn = rb->turn;
		if (++rb->turn_units == td->o.iodepth) {
			rb->turn_units = 0;
			if (++rb->turn == rb->nr_turns)
				rb->turn = 0;
		}
	}
	regbuf_io_set_place(rb, io_u, turn * rb->nr_units + rb->first_unit + io_u->index);
	io_u->xfer_buf = io_u->buf;
	if (io_u->ddir == DDIR_WRITE && rb->refills)
		io_u_fill_buffer(td, io_u, td->o.min_bs[DDIR_WRITE], io_u->buflen);
}

/* ---- one request ---------------------------------------------------------------- */

/*
 * The I/O in parts, which the file has in another order than memory if they are to be
 * scattered: no two of them then lie next to each other, and all of it is still there.
 * The same order is used for reading.
 */
static unsigned int cut(struct regbuf *rb, const struct io_u *io_u)
{
	struct iovec *v = rb->units[io_u->index].iovecs;
	const size_t part = td_max_bs(rb->td) / rb->o->segments;
	char *at = io_u->xfer_buf;
	size_t left = io_u->xfer_buflen, len;
	unsigned int nr = 0, i;
	struct iovec swap;

	for (; left; left -= len, at += len) {
		len = left < part ? left : part;
		v[nr].iov_base = at;
		v[nr++].iov_len = len;
	}
	for (i = 0; rb->o->segments_scatter && i < nr / 2; i++) {
		swap = v[i];
		v[i] = v[nr - 1 - i];
		v[nr - 1 - i] = swap;
	}
	return nr;
}

static void prep_vector(struct regbuf *rb, struct io_u *io_u, struct io_uring_sqe *sqe)
{
	sqe->addr = (uintptr_t)rb->units[io_u->index].iovecs;
	sqe->len = cut(rb, io_u);
}

static void prep_plain(struct regbuf *rb, struct io_u *io_u, struct io_uring_sqe *sqe)
{
	static const uint8_t op[2][2] = {
		{ IORING_OP_READV, IORING_OP_READ },
		{ IORING_OP_WRITEV, IORING_OP_WRITE },
	};
	const bool nonvectored = rb->o->nonvectored == REGBUF_NONVECTORED_ON;

	sqe->opcode = op[io_u->ddir][nonvectored];
	sqe->buf_index = 0;
	if (nonvectored) {
		sqe->addr = (uintptr_t)io_u->xfer_buf;
		sqe->len = io_u->xfer_buflen;
	} else {
		prep_vector(rb, io_u, sqe);
	}
}

/* The deliberate mistakes of fault=; those in the data are made in special_done(). */
static void spoil_request(struct regbuf *rb, struct io_u *io_u, struct io_uring_sqe *sqe)
{
	struct regbuf_slots *s = &rb->slots;
	unsigned int slot = rb->units[io_u->index].slot;

	if (--rb->fault_left)
		return;
	rb->fault_left = rb->o->fault_every;
	rb->faults++;
	if (rb->o->fault == REGBUF_FAULT_SLOT)
		sqe->buf_index = (slot + 1) % s->nr;
	else
		sqe->addr = (uintptr_t)rb->arena->base + slot * s->size +
			    regbuf_slot_bytes(rb, slot) - io_u->xfer_buflen / 2;
}

static void prep_fixed(struct regbuf *rb, struct io_u *io_u, struct io_uring_sqe *sqe)
{
	static const uint8_t op[2][2] = {
		{ IORING_OP_READ_FIXED, URING_EXT_OP_READV_FIXED },
		{ IORING_OP_WRITE_FIXED, URING_EXT_OP_WRITEV_FIXED },
	};
	const bool vector = rb->o->segments > 1;

	sqe->opcode = op[io_u->ddir][vector];
	sqe->buf_index = rb->units[io_u->index].slot;
	if (vector) {
		prep_vector(rb, io_u, sqe);
	} else {
		sqe->addr = (uintptr_t)io_u->xfer_buf;
		sqe->len = io_u->xfer_buflen;
	}
}

/* The result of a NOP is what it is told, and that is all of the block. */
static void prep_nop(struct io_u *io_u, struct io_uring_sqe *sqe, unsigned int slot, bool fixed)
{
	sqe->opcode = IORING_OP_NOP;
	sqe->fd = -1;
	sqe->flags = 0;
	sqe->ioprio = 0;
	sqe->off = 0;
	sqe->addr = 0;
	sqe->len = io_u->xfer_buflen;
	sqe->rw_flags = NOP_INJECT_RESULT | (fixed ? NOP_FIXED_BUFFER : 0);
	sqe->buf_index = fixed ? slot : 0;
}

static bool is_fixed(struct regbuf *rb)
{
	if (rb->o->fixed_percentage == 100)
		return rb->o->fixedbufs;
	return regbuf_random_below(&rb->random, 100) < rb->o->fixed_percentage;
}

/* What is neither a read nor a write of the ring's, or not like all others of the job. */
static void prep_special(struct regbuf *rb, struct io_u *io_u, struct io_uring_sqe *sqe, bool fixed)
{
	if (rb->o->fault >= REGBUF_FAULT_SLOT)
		spoil_request(rb, io_u, sqe);
	if (rb->o->reg_mode == REGBUF_MODE_SEND)
		regbuf_send_prep(rb, io_u, sqe, fixed);
	else if (rb->o->nop)
		prep_nop(io_u, sqe, rb->units[io_u->index].slot, fixed);
	else if (rb->o->cmd_type == REGBUF_CMD_NVME)
		regbuf_nvme_prep(io_u, sqe, fixed);
	else if (rb->prio)
		regbuf_prio_set(rb, io_u, sqe);
}

static void prep_rw(struct regbuf *rb, struct io_u *io_u, struct io_uring_sqe *sqe)
{
	const bool fixed = rb->special ? is_fixed(rb) : rb->o->fixedbufs;

	if (rb->moves)
		move(rb, io_u);
	if (fixed)
		prep_fixed(rb, io_u, sqe);
	else
		prep_plain(rb, io_u, sqe);
	sqe->rw_flags = rb->rw_flags[io_u->ddir];
	sqe->ioprio = rb->td->ioprio;
	sqe->off = io_u->offset;
	if (rb->special)
		prep_special(rb, io_u, sqe, fixed);
}

static void prep_sync(struct regbuf *rb, struct io_u *io_u, struct io_uring_sqe *sqe)
{
	const struct fio_file *f = io_u->file;

	if (rb->o->cmd_type == REGBUF_CMD_NVME) {
		regbuf_nvme_prep_flush(io_u, sqe);
		return;
	}
	sqe->ioprio = 0;
	sqe->addr = 0;
	sqe->buf_index = 0;
	if (io_u->ddir == DDIR_SYNC_FILE_RANGE) {
		sqe->opcode = IORING_OP_SYNC_FILE_RANGE;
		sqe->off = f->first_write;
		sqe->len = f->last_write - f->first_write;
		sqe->sync_range_flags = rb->td->o.sync_file_range;
		return;
	}
	sqe->opcode = IORING_OP_FSYNC;
	sqe->off = 0;
	sqe->len = 0;
	sqe->fsync_flags = io_u->ddir == DDIR_DATASYNC ? IORING_FSYNC_DATASYNC : 0;
}

static void prep_trim(struct io_u *io_u, struct io_uring_sqe *sqe)
{
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->ioprio = 0;
	sqe->off = 0;
	sqe->cmd_op = BLOCK_URING_CMD_DISCARD;
	sqe->addr = io_u->offset;
	sqe->addr3 = io_u->xfer_buflen;
	sqe->len = 0;
	sqe->rw_flags = 0;
	sqe->buf_index = 0;
}

int regbuf_io_prep(struct thread_data *td, struct io_u *io_u)
{
	struct regbuf *rb = td->io_ops_data;
	struct io_uring_sqe *sqe = &rb->ring.sq.sqes[io_u->index << rb->big_shift];

	if (rb->o->registerfiles) {
		sqe->fd = io_u->file->engine_pos;
		sqe->flags = IOSQE_FIXED_FILE;
	} else {
		sqe->fd = io_u->file->fd;
		sqe->flags = 0;
	}
	/* Where the length of a trim was */
	sqe->addr3 = 0;
	if (io_u->ddir == DDIR_READ || io_u->ddir == DDIR_WRITE)
		prep_rw(rb, io_u, sqe);
	else if (io_u->ddir == DDIR_TRIM)
		prep_trim(io_u, sqe);
	else if (ddir_sync(io_u->ddir))
		prep_sync(rb, io_u, sqe);
	if (rb->o->force_async && ++rb->prepared == rb->o->force_async) {
		rb->prepared = 0;
		sqe->flags |= IOSQE_ASYNC;
	}
	sqe->user_data = (uintptr_t)io_u;
	return 0;
}

/* ---- churn ---------------------------------------------------------------------- */

/* Requests that the kernel's thread has not taken yet must find the old slots. */
static void wait_until_taken(struct regbuf *rb)
{
	struct io_uring_sq *sq = &rb->ring.sq;

	if (!rb->o->sqthread_poll)
		return;
	while (io_uring_smp_load_acquire(sq->khead) != *sq->ktail) {
		if (io_uring_smp_load_acquire(sq->kflags) & IORING_SQ_NEED_WAKEUP)
			io_uring_enter(rb->ring.ring_fd, 0, 0, IORING_ENTER_SQ_WAKEUP, NULL);
		sched_yield();
	}
}

static int churn(struct regbuf *rb)
{
	struct regbuf_slots *s = &rb->slots;
	unsigned int nr = rb->o->churn_slots;
	int ret;

	if (nr > s->nr - rb->churn_next)
		nr = s->nr - rb->churn_next;
	wait_until_taken(rb);
	ret = regbuf_slots_replace(rb, rb->churn_next, nr);
	if (ret)
		return ret;
	rb->churn_next += nr;
	if (rb->churn_next == s->nr)
		rb->churn_next = 0;
	rb->churns++;
	rb->churn_due = false;
	return 0;
}

/* So many times a second; what the job was too slow for is not made up. */
static bool is_time(struct regbuf *rb)
{
	const uint64_t now = regbuf_now(), every = 1000000000ULL / rb->o->churn_rate;

	if (!rb->churn_at)
		rb->churn_at = now + every;
	if (now < rb->churn_at)
		return false;
	rb->churn_at += every;
	if (rb->churn_at < now)
		rb->churn_at = now + every;
	return true;
}

/* After @nr I/Os were submitted; nothing is queued at this point. */
static int churn_after(struct regbuf *rb, unsigned int nr)
{
	/* One request after the other */
	if (rb->request.sent)
		return 0;
	if (rb->o->churn_rate) {
		if (!is_time(rb))
			return 0;
	} else if (rb->churn_left > nr) {
		rb->churn_left -= nr;
		return 0;
	}
	rb->churn_left = rb->o->churn;
	rb->churn_due = true;
	return rb->o->churn_drain ? 0 : churn(rb);
}

/* ---- what is measured ---------------------------------------------------------------- */

static void count_io(struct regbuf *rb, const struct io_u *io_u, int res)
{
	if (!rb->io.first || res <= 0 || !ddir_rw(io_u->ddir))
		return;
	rb->io.count[io_u->ddir]++;
	rb->io.bytes[io_u->ddir] += res;
}

/* ---- submission -------------------------------------------------------------------- */

/*
 * What few requests need before they get their place in the ring, which FIO_Q_QUEUED stands
 * for. Not inline: the others then have no registers to save.
 */
static enum fio_q_status __attribute__((noinline)) before_queue(struct thread_data *td,
								struct io_u *io_u)
{
	struct regbuf *rb = td->io_ops_data;

	if (!rb->io.first && !in_ramp_time(td)) {
		rb->io.first = regbuf_now();
		rb->io.first_tick = regbuf_ticks();
	}
	if (rb->churn_due) {
		/* Not before the last I/O has come back */
		if (rb->in_flight || rb->queued)
			return FIO_Q_BUSY;
		io_u->error = churn(rb);
		if (io_u->error)
			return FIO_Q_COMPLETED;
		/* The slot may have another index now */
		regbuf_io_prep(td, io_u);
	}
	if (io_u->ddir == DDIR_TRIM && !rb->o->trim_async) {
		if (rb->queued)
			return FIO_Q_BUSY;
		do_io_u_trim(td, io_u);
		count_io(rb, io_u, io_u->error ? -1 : (int)io_u->xfer_buflen);
		if (rb->io.first)
			rb->io.last = regbuf_ticks();
		io_u_mark_submit(td, 1);
		io_u_mark_complete(td, 1);
		return FIO_Q_COMPLETED;
	}
	return FIO_Q_QUEUED;
}

enum fio_q_status regbuf_io_queue(struct thread_data *td, struct io_u *io_u)
{
	struct regbuf *rb = td->io_ops_data;
	struct io_uring_sq *sq = &rb->ring.sq;
	enum fio_q_status ret;
	unsigned int tail;

	fio_ro_check(td, io_u);

	if (!rb->io.first || rb->churn_due || io_u->ddir == DDIR_TRIM) {
		ret = before_queue(td, io_u);
		if (ret != FIO_Q_QUEUED)
			return ret;
	}
	tail = *sq->ktail;
	if (tail - io_uring_smp_load_acquire(sq->khead) == sq->ring_entries)
		return FIO_Q_BUSY;
	sq->array[tail & sq->ring_mask] = io_u->index;
	io_uring_smp_store_release(sq->ktail, tail + 1);
	rb->queued++;
	return FIO_Q_QUEUED;
}

/* Has anything come? */
static bool is_ready(const struct regbuf *rb)
{
	const struct io_uring_cq *cq = &rb->ring.cq;

	return *cq->khead != io_uring_smp_load_acquire(cq->ktail);
}

/* The kernel took @nr requests from position @from on. */
static void submitted(struct thread_data *td, unsigned int from, unsigned int nr)
{
	struct regbuf *rb = td->io_ops_data;
	struct io_uring_sq *sq = &rb->ring.sq;
	struct timespec now;
	struct io_u *io_u;
	unsigned int end = from + nr;

	rb->queued -= nr;
	rb->in_flight += nr;
	if (!fio_fill_issue_time(td))
		return;
	fio_gettime(&now, NULL);
	for (; from != end; from++) {
		io_u = rb->io_us[sq->array[from & sq->ring_mask]];
		io_u->issue_time = now;
		io_u_queued(td, io_u);
	}
	if (td->o.read_iolog_file)
		td->last_issue = now;
}

static int submit(struct thread_data *td)
{
	struct regbuf *rb = td->io_ops_data;
	unsigned int from;
	int ret;

	while (rb->queued) {
		from = *rb->ring.sq.khead;
		ret = io_uring_enter(rb->ring.ring_fd, rb->queued, 0, IORING_ENTER_GETEVENTS,
				     NULL);
		if (ret < 0 && ret != -EAGAIN && ret != -EBUSY && ret != -EINTR) {
			td_verror(td, -ret, "io_uring_enter submit");
			return ret;
		}
		io_u_mark_submit(td, ret < 0 ? 0 : ret);
		if (ret > 0)
			submitted(td, from, ret);
		else if (is_ready(rb))
			/* No room until fio takes what is complete */
			break;
	}
	return 0;
}

static int submit_sqpoll(struct thread_data *td)
{
	struct regbuf *rb = td->io_ops_data;
	struct io_uring_sq *sq = &rb->ring.sq;
	unsigned int nr = rb->queued;

	submitted(td, *sq->ktail - nr, nr);
	io_u_mark_submit(td, nr);
	/* The thread must see the tail, or we its going to sleep */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (io_uring_smp_load_acquire(sq->kflags) & IORING_SQ_NEED_WAKEUP)
		io_uring_enter(rb->ring.ring_fd, nr, 0, IORING_ENTER_SQ_WAKEUP, NULL);
	return 0;
}

int regbuf_io_commit(struct thread_data *td)
{
	struct regbuf *rb = td->io_ops_data;
	unsigned int nr = rb->queued;
	int ret;

	if (!nr)
		return 0;
	ret = rb->o->sqthread_poll ? submit_sqpoll(td) : submit(td);
	if (!ret && rb->churning && !rb->queued) {
		ret = -churn_after(rb, nr);
		if (ret)
			td_verror(td, -ret, "registering slots again");
	}
	return ret;
}

/* ---- completion ---------------------------------------------------------------------- */

static void flip_bit(struct regbuf *rb, struct io_u *io_u)
{
	uint64_t at;

	if (io_u->ddir != DDIR_READ || --rb->fault_left)
		return;
	rb->fault_left = rb->o->fault_every;
	rb->faults++;
	at = regbuf_random_below(&rb->random, io_u->xfer_buflen * 8);
	((unsigned char *)io_u->xfer_buf)[at / 8] ^= 1 << at % 8;
}

static void complete(struct regbuf *rb, struct io_u *io_u, int res)
{
	bool again = false;

	io_u->error = 0;
	if ((unsigned long long)res != io_u->xfer_buflen) {
		if (res < 0) {
			io_u->error = -res;
		} else if (io_u->ddir == DDIR_TRIM && !res) {
			/* That is all of it */
			res = io_u->xfer_buflen;
		} else if (!ddir_sync(io_u->ddir)) {
			io_u->resid = io_u->xfer_buflen - res;
			again = res;
			/* The rest of it would be cut in another order */
			if (again && rb->o->segments_scatter)
				io_u->error = EIO;
		}
	}
	count_io(rb, io_u, res);
	/* fio prepares the rest of short I/O again, at the same place */
	if (rb->moves)
		rb->units[io_u->index].placed = again;
}

/* What is not of an I/O. */
static void other(struct regbuf *rb, const struct io_uring_cqe *cqe)
{
	if (regbuf_is_tag(cqe->user_data))
		regbuf_tag_seen(rb, cqe->user_data);
	else
		regbuf_request_seen(rb, cqe->res);
}

/* Is it complete?  Then *@res becomes a result like others. */
static bool special_done(struct regbuf *rb, struct io_u *io_u, const struct io_uring_cqe *cqe,
			 int *res)
{
	if (rb->o->fault == REGBUF_FAULT_FLIP)
		flip_bit(rb, io_u);
	if (rb->socket >= 0)
		return regbuf_send_done(rb, io_u, cqe, res);
	if (rb->o->cmd_type == REGBUF_CMD_NVME)
		*res = regbuf_nvme_result(io_u, *res);
	return true;
}

/* Up to @max I/Os into events[], from @events on; tags do not count. */
static unsigned int reap(struct regbuf *rb, unsigned int events, unsigned int max)
{
	struct io_uring_cq *cq = &rb->ring.cq;
	unsigned int head = *cq->khead, tail = io_uring_smp_load_acquire(cq->ktail);
	const unsigned int before = events;
	struct io_uring_cqe *cqe;
	struct io_u *io_u;
	int res;

	for (; head != tail && events < max; head++) {
		cqe = &cq->cqes[(head & cq->ring_mask) << rb->big_shift];
		if (cqe->user_data >= REGBUF_REQUEST) {
			other(rb, cqe);
			continue;
		}
		io_u = (struct io_u *)(uintptr_t)cqe->user_data;
		res = cqe->res;
		if (rb->special && !special_done(rb, io_u, cqe, &res))
			continue;
		complete(rb, io_u, res);
		rb->events[events++] = io_u;
	}
	io_uring_smp_store_release(cq->khead, head);
	if (events != before) {
		rb->in_flight -= events - before;
		if (rb->request.sent)
			rb->request.beside += events - before;
		/* Only now can it be the last */
		if (!rb->in_flight && rb->io.first)
			rb->io.last = regbuf_ticks();
	}
	return events;
}

/* With sqthread_poll it is the kernel's thread that makes things happen. */
static int wait_sqpoll(struct regbuf *rb)
{
	unsigned int flags = io_uring_smp_load_acquire(rb->ring.sq.kflags);

	if (!(flags & SQ_FLAGS_RECHECK))
		return 0;
	return io_uring_enter(rb->ring.ring_fd, 0, 0,
			      IORING_ENTER_SQ_WAKEUP | IORING_ENTER_GETEVENTS, NULL);
}

int regbuf_io_getevents(struct thread_data *td, unsigned int min, unsigned int max,
			const struct timespec fio_unused *t)
{
	struct regbuf *rb = td->io_ops_data;
	unsigned int events = 0;
	bool entered = false;
	int ret;

	for (;;) {
		if (is_ready(rb)) {
			events = reap(rb, events, max);
			ret = rb->request.complete ? regbuf_slots_replaced(rb) : 0;
			if (ret) {
				td_verror(td, ret, "registering slots again");
				return -ret;
			}
		}
		/* With nothing to wait for, completions still come with an enter */
		if (events >= min && (events || entered))
			return events;
		entered = true;
		if (rb->o->sqthread_poll)
			ret = wait_sqpoll(rb);
		else
			ret = io_uring_enter(rb->ring.ring_fd, 0, min - events,
					     IORING_ENTER_GETEVENTS, NULL);
		if (ret < 0 && ret != -EAGAIN && ret != -EINTR && ret != -EBUSY) {
			td_verror(td, -ret, "io_uring_enter");
			return ret;
		}
	}
}

struct io_u *regbuf_io_event(struct thread_data *td, int event)
{
	struct regbuf *rb = td->io_ops_data;

	return rb->events[event];
}

int regbuf_io_wait_request(struct regbuf *rb)
{
	int ret;

	while (rb->request.sent) {
		ret = io_uring_enter(rb->ring.ring_fd, 0, 1, IORING_ENTER_GETEVENTS, NULL);
		if (ret < 0 && ret != -EAGAIN && ret != -EINTR && ret != -EBUSY)
			return ret;
		reap(rb, 0, rb->td->o.iodepth);
	}
	return 0;
}

/* Take what tags have come, so that they do not pile up. */
void regbuf_io_take_tags(struct regbuf *rb)
{
	if (rb->slots.tags_seen == rb->slots.tags_due)
		return;
	io_uring_enter(rb->ring.ring_fd, 0, 0, IORING_ENTER_GETEVENTS, NULL);
	reap(rb, 0, rb->td->o.iodepth);
}

/* The kernel says once for each slot that was let go of that nobody uses it. */
int regbuf_io_wait_tags(struct regbuf *rb)
{
	struct regbuf_slots *s = &rb->slots;
	struct timespec start, now;

	fio_gettime(&start, NULL);
	while (s->tags_seen < s->tags_due) {
		regbuf_io_take_tags(rb);
		fio_gettime(&now, NULL);
		if (mtime_since(&start, &now) > 2000) {
			regbuf_say("%llu of %llu tags did not come",
				(unsigned long long)(s->tags_due - s->tags_seen),
				(unsigned long long)s->tags_due);
			return ETIMEDOUT;
		}
	}
	return 0;
}
