/* SPDX-License-Identifier: GPL-2.0 */
/* Zero-copy sends from registered buffers over TCP, to this process itself */
#ifndef TESTS_KERNEL_TCP_PAIR_H
#define TESTS_KERNEL_TCP_PAIR_H

#include <liburing.h>

#include "util.h"

struct tcp_pair {
	int from, to;
	struct io_uring *ring;		/* of the sender; nothing else is done with it meanwhile */
	unsigned int unfinished;	/* notifications to come */
};

/*
 * Connects over the loopback device; @pair->ring is up to the caller. Sizes of the buffers, or 0
 * for the kernel's choice; @sndbuf needs CAP_NET_ADMIN. Ends the program if that fails.
 */
void tcp_pair_open(struct tcp_pair *pair, int sndbuf, int rcvbuf);
void tcp_pair_close(struct tcp_pair *pair);

/* SEND_ZC of one part of the buffer in @slot, or SENDMSG_ZC of several. @msg: as long as that. */
void tcp_pair_prepare(struct tcp_pair *pair, unsigned int slot, const struct iovec *iov,
		      unsigned int nr, struct msghdr *msg, int flags);
/* Takes what is there from the completion queue. @result: of the send, when it is seen. */
void tcp_pair_reap(struct tcp_pair *pair, int *result);
/* Sends it all, while receiving to @data. */
int tcp_pair_send(struct tcp_pair *pair, unsigned int slot, const struct iovec *iov,
		  unsigned int nr, size_t total, char *data, struct reason *why);

#endif
