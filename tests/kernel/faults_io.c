// SPDX-License-Identifier: GPL-2.0
/* The operations of "faults" that use a registered buffer, and the check of a slot by its data. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "faults.h"
#include "pattern.h"
#include "uring.h"

#ifndef IORING_RECVSEND_FIXED_BUF
#define IORING_RECVSEND_FIXED_BUF	(1U << 2)
#endif

#define EDGE		64		/* bytes at either end of a buffer that are checked */
#define IO_MAX		(64 * KIB)
#define PARTS		8
#define TIMEOUT_MS	20000

static uint64_t seed;

/* ---- a slot ---- */

/* Tags of buffers that were replaced may be posted in between. */
static int transfer(struct fault_world *w, unsigned int slot, bool read, int file, char *addr,
		    unsigned int len)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&w->ring);
	struct io_uring_cqe *cqe;
	int ret;

	if (!sqe)
		die("no SQE");
	if (read)
		io_uring_prep_read_fixed(sqe, file, addr, len, 0, (int)slot);
	else
		io_uring_prep_write_fixed(sqe, file, addr, len, 0, (int)slot);
	must(io_uring_submit(&w->ring), 1, "submit");
	for (;;) {
		must(io_uring_wait_cqe(&w->ring, &cqe), 0, "wait");
		if (cqe->user_data >> 32 != TAG >> 32)
			break;
		w->tags_seen++;
		io_uring_cqe_seen(&w->ring, cqe);
	}
	ret = cqe->res;
	io_uring_cqe_seen(&w->ring, cqe);
	return ret;
}

static int check_edge(struct fault_world *w, unsigned int slot, char *addr, unsigned int len,
		      bool read_only, struct reason *why)
{
	char bytes[EDGE];
	int ret;

	pattern_fill(addr, len, 0, ++seed);
	ret = transfer(w, slot, false, w->pipe[1], addr, len);
	if (ret != (int)len)
		return because(why, "WRITE_FIXED of slot %u: %d", slot, ret);
	if (read(w->pipe[0], bytes, len) != (ssize_t)len ||
	    pattern_check(bytes, len, 0, seed) != len)
		return because(why, "slot %u does not hold what is in memory", slot);
	pattern_fill(bytes, len, 0, ++seed);
	if (write(w->pipe[1], bytes, len) != (ssize_t)len)
		die("pipe: %s", strerror(errno));
	ret = transfer(w, slot, true, w->pipe[0], addr, len);
	if (read_only) {
		if (read(w->pipe[0], bytes, len) != (ssize_t)len)
			die("pipe: %s", strerror(errno));
		return ret == -EFAULT ? 0 :
		       because(why, "READ_FIXED into read-only slot %u: %d", slot, ret);
	}
	if (ret != (int)len)
		return because(why, "READ_FIXED of slot %u: %d", slot, ret);
	if (pattern_check(addr, len, 0, seed) != len)
		return because(why, "what was read into slot %u is not in memory", slot);
	return 0;
}

int fault_check_slot(struct fault_world *w, unsigned int slot, const struct iovec *iov,
		     bool read_only, struct reason *why)
{
	unsigned int len;
	int ret;

	if (!iov->iov_base) {
		ret = transfer(w, slot, false, w->pipe[1], w->iov[0].iov_base, 1);
		return ret == -EFAULT ? 0 :
		       because(why, "slot %u should be empty: %d", slot, ret);
	}
	len = (unsigned int)min_size(EDGE, iov->iov_len);
	ret = check_edge(w, slot, iov->iov_base, len, read_only, why);
	if (!ret)
		ret = check_edge(w, slot, (char *)iov->iov_base + iov->iov_len - len, len,
				 read_only, why);
	return ret;
}

/* ---- I/O ---- */

static size_t io_len(const struct fault_world *w)
{
	return min_size(IO_MAX, w->iov[0].iov_len);
}

static int want_len(const struct fault_world *w)
{
	return (int)io_len(w);
}

/* The SQE in @w, or the one that the kernel did not take the last time. */
int fault_submit(struct fault_world *w, void (*prep)(struct fault_world *w,
						     struct io_uring_sqe *sqe))
{
	struct io_uring_cqe *cqe;
	int ret, tries = 0;
	bool more;

	if (!w->pending) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(&w->ring);

		if (!sqe)
			die("no SQE");
		prep(w, sqe);
	}
	w->pending = false;
	ret = io_uring_submit(&w->ring);
	if (ret != 1) {
		w->pending = io_uring_sq_ready(&w->ring);
		return ret < 0 ? ret : -EIO;
	}
	/* Waiting may be what fails, but that which is waited for comes. */
	do {
		do
			ret = io_uring_wait_cqe(&w->ring, &cqe);
		while (ret < 0 && tries++ < 3);
		if (ret)
			return ret;
		more = cqe->flags & IORING_CQE_F_MORE;
		if (!(cqe->flags & IORING_CQE_F_NOTIF))
			tries = cqe->res;
		io_uring_cqe_seen(&w->ring, cqe);
	} while (more);
	return tries;
}

static void prepare_io(struct fault_world *w)
{
	char *addr = w->iov[0].iov_base;
	char data[IO_MAX];

	must(fault_register(&w->ring, w->iov, 1, NULL, 0), 0, "table");
	w->nr_before = w->nr_after = 1;
	w->before[0] = w->after[0] = w->iov[0];
	pattern_fill(data, io_len(w), 0, ++seed);
	must((int)pwrite(w->memfd, data, io_len(w), 0), (int)io_len(w), "memfd");
	pattern_fill(addr, io_len(w), 0, ++seed);
}

static void prepare_disk(struct fault_world *w)
{
	prepare_io(w);
	/* The disk has the pattern that is not in memory. */
	must(transfer(w, 0, true, w->memfd, w->iov[0].iov_base, (unsigned int)io_len(w)),
	     (int)io_len(w), "READ_FIXED");
	must((int)pwrite(w->disk, w->iov[0].iov_base, io_len(w), 0), (int)io_len(w), "disk");
	pattern_fill(w->iov[0].iov_base, io_len(w), 0, seed);
}

static int verify_read(struct fault_world *w, struct reason *why)
{
	size_t good = pattern_check(w->iov[0].iov_base, io_len(w), 0, seed - 1);

	return good == io_len(w) ? 0 :
	       because(why, "byte %zu was not read or is another one", good);
}

static int verify_write_to(struct fault_world *w, int fd, struct reason *why)
{
	char data[IO_MAX + PAGE], *at = (char *)ALIGN_UP((uintptr_t)data, PAGE);
	size_t good;

	must((int)pread(fd, at, io_len(w), 0), (int)io_len(w), "pread");
	good = pattern_check(at, io_len(w), 0, seed);
	return good == io_len(w) ? 0 :
	       because(why, "byte %zu was not written or is another one", good);
}

static int verify_write(struct fault_world *w, struct reason *why)
{
	return verify_write_to(w, w->memfd, why);
}

static int verify_write_disk(struct fault_world *w, struct reason *why)
{
	return verify_write_to(w, w->disk, why);
}

static struct iovec vec[PARTS];

static void prep_rw(struct fault_world *w, struct io_uring_sqe *sqe, unsigned int op, int fd)
{
	char *addr = w->iov[0].iov_base;
	bool vectored = op == URING_OP_READV_FIXED || op == URING_OP_WRITEV_FIXED;
	size_t part = io_len(w) / PARTS;

	for (size_t i = 0; i < PARTS; i++)
		vec[i] = (struct iovec){ addr + i * part, part };
	io_uring_prep_rw((int)op, sqe, fd, vectored ? (void *)vec : addr,
			 vectored ? PARTS : (unsigned int)io_len(w), 0);
	sqe->buf_index = 0;
}

#define RW(name, op, fd)								\
static void prep_##name(struct fault_world *w, struct io_uring_sqe *sqe)		\
{											\
	prep_rw(w, sqe, op, fd);							\
}											\
static int call_##name(struct fault_world *w)						\
{											\
	return fault_submit(w, prep_##name);							\
}											\
static int rest_##name(struct fault_world *w, int done)					\
{											\
	int ret = fault_submit(w, prep_##name);						\
											\
	return ret < done ? ret : ret - done;						\
}

RW(read, IORING_OP_READ_FIXED, w->memfd)
RW(write, IORING_OP_WRITE_FIXED, w->memfd)
RW(readv, URING_OP_READV_FIXED, w->memfd)
RW(writev, URING_OP_WRITEV_FIXED, w->memfd)
RW(read_disk, IORING_OP_READ_FIXED, w->disk)
RW(write_disk, IORING_OP_WRITE_FIXED, w->disk)
RW(readv_disk, URING_OP_READV_FIXED, w->disk)
RW(writev_disk, URING_OP_WRITEV_FIXED, w->disk)

/* ---- send ---- */

static void prep_send(struct fault_world *w, struct io_uring_sqe *sqe)
{
	io_uring_prep_send_zc_fixed(sqe, w->socket[0], w->iov[0].iov_base, io_len(w), MSG_WAITALL,
				    0, 0);
}

static void prep_sendmsg(struct fault_world *w, struct io_uring_sqe *sqe)
{
	static struct msghdr msg = { .msg_iov = vec, .msg_iovlen = PARTS };

	prep_rw(w, sqe, URING_OP_WRITEV_FIXED, w->socket[0]);
	io_uring_prep_sendmsg_zc(sqe, w->socket[0], &msg, MSG_WAITALL);
	sqe->ioprio |= IORING_RECVSEND_FIXED_BUF;
	sqe->buf_index = 0;
}

/* Takes what was sent out of the socket again: the beginning of the buffer, nothing more. */
static int receive(struct fault_world *w, int len)
{
	char data[IO_MAX];
	int done = 0;

	while (done < len) {
		struct pollfd fd = { .fd = w->socket[1], .events = POLLIN };
		ssize_t n = -1;

		if (poll(&fd, 1, TIMEOUT_MS) == 1)
			n = recv(w->socket[1], data + done, (size_t)(len - done), 0);
		if (n <= 0)
			die("%d bytes sent, %d arrived", len, done);
		done += (int)n;
	}
	if (pattern_check(data, (size_t)done, 0, seed) != (size_t)done)
		die("what was sent is not what arrived");
	if (recv(w->socket[1], data, 1, MSG_DONTWAIT) == 1)
		die("more arrived than was sent");
	return len;
}

static int call_send(struct fault_world *w)
{
	return fault_submit(w, prep_send);
}

static int call_sendmsg(struct fault_world *w)
{
	return fault_submit(w, prep_sendmsg);
}

static int verify_send(struct fault_world *w, struct reason *why)
{
	(void)why;
	receive(w, want_len(w));
	return 0;
}

/* Part of it was sent: take that out, and send all again. */
static int rest_send(struct fault_world *w, int done)
{
	int ret;

	receive(w, done);
	ret = w->c->op->call(w);
	return ret < done ? ret : ret - done;
}

#define ERRORS	(MAY_NOMEM | MAY_FAULT | MAY_AGAIN | MAY_SHORT)
#define IO(title, suffix, prepare_fn, verify_fn)					\
	{ .name = title, .may = ERRORS, .io = true, .prepare = prepare_fn,		\
	  .call = call_##suffix, .want = want_len, .verify = verify_fn,			\
	  .rest = rest_##suffix }
#define SEND(title, suffix)								\
	{ .name = title, .may = ERRORS, .io = true, .prepare = prepare_io,		\
	  .call = call_##suffix, .want = want_len, .verify = verify_send,		\
	  .rest = rest_send }

const struct fault_op fault_io_ops[] = {
	IO("READ_FIXED", read, prepare_io, verify_read),
	IO("WRITE_FIXED", write, prepare_io, verify_write),
	IO("READV_FIXED", readv, prepare_io, verify_read),
	IO("WRITEV_FIXED", writev, prepare_io, verify_write),
	IO("READ_FIXED, disk", read_disk, prepare_disk, verify_read),
	IO("WRITE_FIXED, disk", write_disk, prepare_io, verify_write_disk),
	IO("READV_FIXED, disk", readv_disk, prepare_disk, verify_read),
	IO("WRITEV_FIXED, disk", writev_disk, prepare_io, verify_write_disk),
	SEND("SEND_ZC", send),
	SEND("SENDMSG_ZC", sendmsg),
};
const size_t nr_fault_io_ops = ARRAY_SIZE(fault_io_ops);
