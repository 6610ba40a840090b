// SPDX-License-Identifier: GPL-2.0-only
/*
 * reg_mode=send: each write is sent over TCP from its place in the arena, with SEND_ZC or,
 * for comparison, SEND.  It is complete when the kernel has let go of the memory: for
 * SEND_ZC that is its second completion, when the other side has acknowledged the data.
 *
 * The other side can be fio's net engine: ioengine=net, listen, rw=read.
 */
#include <netdb.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fio.h"

#include "io.h"

/* "HOST:PORT" into two strings, the second after the last colon. */
static int split(char *text, char **port)
{
	*port = strrchr(text, ':');
	if (!*port || *port == text || !(*port)[1])
		return EINVAL;
	*(*port)++ = '\0';
	return 0;
}

int regbuf_check_send_to(const char *text)
{
	char *copy = strdup(text), *port;
	int ret = copy ? split(copy, &port) : ENOMEM;

	if (!ret && (strspn(port, "0123456789") != strlen(port) || !atoi(port) ||
		     atoi(port) > 65535 || strlen(port) > 5))
		ret = EINVAL;
	if (ret)
		regbuf_say("send_to=%s: want HOST:PORT", text);
	free(copy);
	return ret;
}

int regbuf_send_connect(struct regbuf *rb)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *list = NULL, *a;
	char *host = strdup(rb->o->send_to), *port;
	int ret, err = ENOMEM;

	if (!host || split(host, &port))
		goto out;
	ret = getaddrinfo(host, port, &hints, &list);
	err = EHOSTUNREACH;
	if (ret) {
		regbuf_say("send_to=%s: %s", rb->o->send_to, gai_strerror(ret));
		goto out;
	}
	for (a = list; a && err; a = a->ai_next) {
		rb->socket = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
		err = rb->socket < 0 ? errno : 0;
		if (err || !connect(rb->socket, a->ai_addr, a->ai_addrlen))
			continue;
		err = errno;
		close(rb->socket);
		rb->socket = -1;
	}
	if (err)
		regbuf_say("send_to=%s: %s", rb->o->send_to, strerror(err));
out:
	if (list)
		freeaddrinfo(list);
	free(host);
	return err;
}

void regbuf_send_prep(struct regbuf *rb, struct io_u *io_u, struct io_uring_sqe *sqe, bool fixed)
{
	sqe->opcode = rb->o->send_zc ? IORING_OP_SEND_ZC : IORING_OP_SEND;
	sqe->fd = rb->socket;
	sqe->addr = (uintptr_t)io_u->xfer_buf;
	sqe->len = io_u->xfer_buflen;
	sqe->off = 0;
	sqe->msg_flags = MSG_WAITALL | MSG_NOSIGNAL;
	sqe->ioprio = 0;
	sqe->buf_index = 0;
	if (rb->o->send_zc && fixed) {
		sqe->ioprio = IORING_RECVSEND_FIXED_BUF;
		sqe->buf_index = rb->units[io_u->index].slot;
	}
}

bool regbuf_send_done(struct regbuf *rb, const struct io_u *io_u, const struct io_uring_cqe *cqe,
		      int *res)
{
	struct regbuf_unit *u = &rb->units[io_u->index];

	if (cqe->flags & IORING_CQE_F_NOTIF) {
		*res = u->sent;
		return true;
	}
	/* Another one tells when the memory is free */
	if (cqe->flags & IORING_CQE_F_MORE) {
		u->sent = cqe->res;
		return false;
	}
	*res = cqe->res;
	return true;
}
