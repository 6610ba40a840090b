/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/* Every prep function, fixed and plain, with the data checked. */
#include "helpers.h"
#include "uapi.h"

static struct io_uring_ext_error err;
static struct io_uring ring;
static struct io_uring_ext_ring *r;
static char *mem, *outside;
static int fd;

static struct io_uring_sqe *sqe_with(__u64 data)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
	__u64 keep = data;

	/* What an earlier request left in it must not matter */
	memset(sqe, 0xee, sizeof(*sqe));
	sqe->user_data = keep;
	return sqe;
}

static void check_rw(char *p, int fixed)
{
	struct io_uring_sqe *sqe;

	t_fill(p, 8192, 100);
	sqe = sqe_with(7);
	CHECK_EQ(io_uring_ext_prep_write(r, sqe, fd, p, 8192, 4096), fixed);
	CHECK_EQ(sqe->user_data, 7);
	CHECK_EQ(sqe->opcode, fixed ? IORING_OP_WRITE_FIXED : IORING_OP_WRITE);
	CHECK_EQ(t_io(&ring), 8192);
	memset(p, 0, 8192);
	CHECK_EQ(io_uring_ext_prep_read(r, sqe_with(8), fd, p, 8192, 4096), fixed);
	CHECK_EQ(t_io(&ring), 8192);
	t_check_bytes(p, 8192, 100);
}

static void check_vec(char *a, char *b, int fixed)
{
	struct iovec iov[2] = { { a, 4096 }, { b, 1000 } };
	struct io_uring_sqe *sqe;

	t_fill(a, 4096, 5);
	t_fill(b, 1000, 5 + 4096);
	sqe = sqe_with(1);
	CHECK_EQ(io_uring_ext_prep_writev(r, sqe, fd, iov, 2, 16384, 0), fixed);
	CHECK_EQ(sqe->opcode, fixed ? URING_EXT_OP_WRITEV_FIXED : IORING_OP_WRITEV);
	CHECK_EQ(t_io(&ring), 5096);
	memset(a, 0, 4096);
	memset(b, 0, 1000);
	CHECK_EQ(io_uring_ext_prep_readv(r, sqe_with(1), fd, iov, 2, 16384, 0), fixed);
	CHECK_EQ(t_io(&ring), 5096);
	t_check_bytes(a, 4096, 5);
	t_check_bytes(b, 1000, 5 + 4096);
}

/* Not fixed for reasons of length; nothing is submitted. */
static void check_lengths(void)
{
	struct io_uring_ext_ring_stats before, after;
	static struct iovec many[1024];
	struct iovec iov[2] = { { mem, 0 }, { mem, 100 } };
	struct io_uring_sqe sqe;
	unsigned i;

	CHECK_EQ(io_uring_ext_ring_stats(r, &before), 0);
	CHECK_EQ(io_uring_ext_prep_read(r, &sqe, fd, mem, 0, 0), 0);
	CHECK_EQ(sqe.opcode, IORING_OP_READ);
	CHECK_EQ(io_uring_ext_prep_read(r, &sqe, fd, mem, 0x7fff0001, 0), 0);
	CHECK_EQ(io_uring_ext_prep_send_zc(r, &sqe, fd, mem, 0, 0, 0), 0);
	CHECK_EQ(io_uring_ext_prep_readv(r, &sqe, fd, iov, 2, 0, 0), 0);
	CHECK_EQ(io_uring_ext_prep_readv(r, &sqe, fd, iov, 0, 0, 0), 0);
	/* Each fits, the sum does not */
	for (i = 0; i < 1024; i++) {
		many[i].iov_base = mem;
		many[i].iov_len = 4 * MiB;
	}
	CHECK_EQ(io_uring_ext_prep_writev(r, &sqe, fd, many, 1024, 0, 0), 0);
	CHECK_EQ(io_uring_ext_ring_stats(r, &after), 0);
	CHECK_EQ(after.plain_unable - before.plain_unable, 6);
	CHECK_EQ(after.fixed, before.fixed);
}

static void tcp_pair(int sv[2])
{
	struct sockaddr_storage ss = { .ss_family = AF_UNIX };
	socklen_t len = sizeof(ss);
	int l;

	/* Zero copy needs TCP, or AF_UNIX refuses it with -EOPNOTSUPP */
	l = socket(AF_INET, SOCK_STREAM, 0);
	ss.ss_family = AF_INET;
	if (l < 0 || bind(l, (struct sockaddr *)&ss, 16) || listen(l, 1) ||
	    getsockname(l, (struct sockaddr *)&ss, &len)) {
		sv[0] = sv[1] = -1;
		return;
	}
	sv[0] = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(sv[0], (struct sockaddr *)&ss, len)) {
		close(sv[0]);
		close(l);
		sv[0] = sv[1] = -1;
		return;
	}
	sv[1] = accept(l, NULL, NULL);
	CHECK(sv[1] >= 0);
	close(l);
}

static void check_send_zc(char *p, int fixed)
{
	struct io_uring_cqe *cqe;
	struct io_uring_sqe *sqe;
	char got[4096];
	int sv[2], res, more;

	tcp_pair(sv);
	if (sv[0] < 0) {
		fprintf(stderr, "no TCP here, send_zc not tried\n");
		return;
	}
	t_fill(p, 4096, 3);
	sqe = sqe_with(1);
	CHECK_EQ(io_uring_ext_prep_send_zc(r, sqe, sv[0], p, 4096, MSG_WAITALL, 0), fixed);
	CHECK_EQ(!!(sqe->ioprio & IORING_RECVSEND_FIXED_BUF), fixed);
	CHECK_EQ(io_uring_submit(&ring), 1);
	cqe = t_wait(&ring);
	res = cqe->res;
	more = cqe->flags & IORING_CQE_F_MORE;
	io_uring_cqe_seen(&ring, cqe);
	CHECK_EQ(res, 4096);
	CHECK_EQ(recv(sv[1], got, sizeof(got), MSG_WAITALL), sizeof(got));
	t_check_bytes(got, sizeof(got), 3);
	if (more) {
		cqe = t_wait(&ring);
		CHECK(cqe->flags & IORING_CQE_F_NOTIF);
		io_uring_cqe_seen(&ring, cqe);
	}
	close(sv[0]);
	close(sv[1]);
}

/* Closed after the ring was attached, and the number is another file's by now. */
static void check_fd_closed(struct io_uring_ext_pool *pool, struct io_uring *ring2)
{
	struct io_uring_ext_region region = { .base = outside, .len = MiB, .page_size = 4096 };
	int fd2 = ring2->ring_fd, keep = dup(fd2), id;
	struct io_uring_ext_ring *other;

	CHECK_OK(io_uring_ext_ring_attach(&other, pool, ring2, 0, &err), err);
	CHECK_EQ(dup2(fd, fd2), fd2);
	ring2->ring_fd = -1;
	id = io_uring_ext_pool_add(pool, &region, &err);
	CHECK_OK(id, err);
	CHECK_OK(io_uring_ext_ring_sync(other, &err), err);
	CHECK(io_uring_ext_ring_index(other, outside, MiB, NULL) >= 0);
	CHECK_EQ(io_uring_ext_pool_remove(pool, id), 2);
	CHECK_EQ(io_uring_ext_ring_sync(other, &err), 0);
	/* The other ring read into that memory before it was added */
	CHECK_EQ(io_uring_ext_ring_sync(r, &err), 0);
	CHECK_EQ(io_uring_ext_ring_idle(r), 1);
	CHECK_EQ(io_uring_ext_ring_detach(other), 0);
	CHECK_EQ(dup2(keep, fd2), fd2);
	ring2->ring_fd = fd2;
	close(keep);
}

/* A ring whose fd was given up for its registered index. */
static void check_registered_fd(struct io_uring_ext_pool *pool)
{
	struct io_uring_ext_ring *other;
	struct io_uring ring2;

	t_ring(&ring2, 4, 0);
	if (io_uring_register_ring_fd(&ring2) != 1) {
		fprintf(stderr, "no registered ring fds here\n");
	} else {
		int fd2 = ring2.ring_fd;

		/* As io_uring_close_ring_fd() of liburing 2.4, but for closing */
		ring2.ring_fd = -1;
		if (io_uring_ext_ring_attach(&other, pool, &ring2, 0, &err)) {
			fprintf(stderr, "registering by registered fd: %s\n", err.text);
			ring2.ring_fd = fd2;
		} else {
			CHECK_EQ(io_uring_ext_ring_detach(other), 0);
			ring2.ring_fd = fd2;
			check_fd_closed(pool, &ring2);
		}
	}
	io_uring_queue_exit(&ring2);
}

int main(void)
{
	struct io_uring_ext_pool_params p = { .nr_slots = 8, .max_buffer = MiB };
	struct io_uring_ext_region region = { .len = 2 * MiB, .page_size = 4096 };
	const struct io_uring_ext_caps *caps;
	struct io_uring_ext_pool *pool;
	int vec;

	if (!t_may_lock(4 * MiB, "3 MiB and more"))
		return T_SKIP;
	fd = t_file(65536);
	mem = mmap(NULL, 3 * MiB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(mem != MAP_FAILED);
	outside = mem + 2 * MiB;
	region.base = mem;
	CHECK_OK(io_uring_ext_pool_create(&pool, &p, &err), err);
	CHECK_EQ(io_uring_ext_pool_add(pool, &region, &err), 0);
	t_ring(&ring, 8, 0);
	CHECK_OK(io_uring_ext_ring_attach(&r, pool, &ring, 100, &err), err);
	caps = io_uring_ext_ring_caps(r);

	check_rw(mem + 12345, 1);
	check_rw(mem + MiB, 1);
	check_rw(mem + MiB - 4096, 0);
	check_rw(outside, 0);
	vec = !!(caps->flags & IO_URING_EXT_CAP_VEC_FIXED);
	check_vec(mem, mem + MiB / 2, vec);
	check_vec(mem, mem + MiB + MiB / 2, 0);
	check_vec(mem, outside, 0);
	check_vec(mem + MiB - 100, mem, 0);
	if (caps->flags & IO_URING_EXT_CAP_SEND_ZC) {
		check_send_zc(mem + MiB + MiB / 2, 1);
		check_send_zc(outside, 0);
	}
	check_lengths();
	check_registered_fd(pool);

	CHECK_EQ(io_uring_ext_ring_detach(r), 0);
	CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
	io_uring_queue_exit(&ring);
	close(fd);
	t_no_pins();
	return 0;
}
