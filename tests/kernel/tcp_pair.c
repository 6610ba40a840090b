// SPDX-License-Identifier: GPL-2.0
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tcp_pair.h"

#ifndef IORING_RECVSEND_FIXED_BUF
#define IORING_RECVSEND_FIXED_BUF	(1U << 2)
#endif

#define TIMEOUT_MS	20000

void tcp_pair_open(struct tcp_pair *pair, int sndbuf, int rcvbuf)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	socklen_t len = sizeof(addr);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	pair->from = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	/* The receiver's is inherited from the listener, and decides over the window. */
	if (listener < 0 || pair->from < 0 ||
	    (sndbuf && setsockopt(pair->from, SOL_SOCKET, SO_SNDBUFFORCE, &sndbuf, sizeof(sndbuf))) ||
	    (rcvbuf && setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof(rcvbuf))) ||
	    bind(listener, (struct sockaddr *)&addr, sizeof(addr)) || listen(listener, 1) ||
	    getsockname(listener, (struct sockaddr *)&addr, &len) ||
	    connect(pair->from, (struct sockaddr *)&addr, sizeof(addr)))
		die("socket: %s", strerror(errno));
	pair->to = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (pair->to < 0)
		die("accept: %s", strerror(errno));
	close(listener);
	pair->unfinished = 0;
}

void tcp_pair_close(struct tcp_pair *pair)
{
	close(pair->from);
	close(pair->to);
}

void tcp_pair_prepare(struct tcp_pair *pair, unsigned int slot, const struct iovec *iov,
		      unsigned int nr, struct msghdr *msg, int flags)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(pair->ring);

	if (nr == 1) {
		io_uring_prep_send_zc_fixed(sqe, pair->from, iov->iov_base, iov->iov_len, flags, 0,
					    slot);
	} else {
		*msg = (struct msghdr){ .msg_iov = (struct iovec *)iov, .msg_iovlen = nr };
		io_uring_prep_sendmsg_zc(sqe, pair->from, msg, (unsigned int)flags);
		sqe->ioprio |= IORING_RECVSEND_FIXED_BUF;
		sqe->buf_index = (__u16)slot;
	}
}

void tcp_pair_reap(struct tcp_pair *pair, int *result)
{
	struct io_uring_cqe *cqe;

	while (!io_uring_peek_cqe(pair->ring, &cqe)) {
		if (cqe->flags & IORING_CQE_F_NOTIF) {
			pair->unfinished--;
		} else {
			*result = cqe->res;
			if (cqe->flags & IORING_CQE_F_MORE)
				pair->unfinished++;
		}
		io_uring_cqe_seen(pair->ring, cqe);
	}
}

static int wait_readable(const struct tcp_pair *pair, struct reason *why)
{
	struct pollfd fds[] = {
		{ .fd = pair->to, .events = POLLIN },
		{ .fd = pair->ring->ring_fd, .events = POLLIN },
	};

	if (poll(fds, 2, TIMEOUT_MS) <= 0)
		return because(why, "nothing happens any more");
	return 0;
}

int tcp_pair_send(struct tcp_pair *pair, unsigned int slot, const struct iovec *iov,
		  unsigned int nr, size_t total, char *data, struct reason *why)
{
	struct msghdr msg;
	size_t got = 0;
	int result = 0, ret;

	tcp_pair_prepare(pair, slot, iov, nr, &msg, MSG_WAITALL);
	ret = io_uring_submit(pair->ring);
	if (ret != 1)
		return because(why, "submitting: %s", strerror(-ret));
	while (got < total || !result || pair->unfinished) {
		ssize_t len = recv(pair->to, data + got, total - got, MSG_DONTWAIT);

		if (len > 0)
			got += (size_t)len;
		tcp_pair_reap(pair, &result);
		if (result < 0)
			return because(why, "%s", strerror(-result));
		if (result && (size_t)result != total)
			return because(why, "%d of %zu bytes sent", result, total);
		if (len < 0 && (got < total || !result || pair->unfinished) &&
		    wait_readable(pair, why))
			return -1;
	}
	return 0;
}
