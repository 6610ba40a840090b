/* SPDX-License-Identifier: GPL-2.0 */
/* Two ends of a TCP connection over the loopback device. */
#ifndef TESTS_KERNEL_TCP_H
#define TESTS_KERNEL_TCP_H

/*
 * Sizes of the buffers of the sender and of the receiver; 0: as the kernel has them. Ends the
 * program when it cannot.
 */
void tcp_pair(int *from, int *to, int sndbuf, int rcvbuf);

#endif
