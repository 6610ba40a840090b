// SPDX-License-Identifier: GPL-2.0
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tcp.h"
#include "util.h"

void tcp_pair(int *from, int *to, int sndbuf, int rcvbuf)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	socklen_t len = sizeof(addr);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	*from = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	/* The receiver's is inherited from the listener, and decides over the window. */
	if (listener < 0 || *from < 0 ||
	    (sndbuf && setsockopt(*from, SOL_SOCKET, SO_SNDBUFFORCE, &sndbuf, sizeof(sndbuf))) ||
	    (rcvbuf && setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof(rcvbuf))) ||
	    bind(listener, (struct sockaddr *)&addr, sizeof(addr)) || listen(listener, 1) ||
	    getsockname(listener, (struct sockaddr *)&addr, &len) ||
	    connect(*from, (struct sockaddr *)&addr, sizeof(addr)))
		die("socket: %s", strerror(errno));
	*to = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (*to < 0)
		die("accept: %s", strerror(errno));
	close(listener);
}
