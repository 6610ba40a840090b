/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR MIT */
/*
 * Header file for the io_uring registered buffers interface.
 *
 * Numbers from lists that others make longer too. They stand here and nowhere
 * else. A program asks the kernel what it has before it uses any of them.
 */
#ifndef LINUX_IO_URING_REGBUF_H
#define LINUX_IO_URING_REGBUF_H

/* enum io_uring_op */
#define IO_REGBUF_NUMBER_UPDATE		65

/* enum io_uring_register_op */
#define IO_REGBUF_NUMBER_LAYOUT		38

/* Queries, see query.h */
#define IO_REGBUF_NUMBER_QUERY		4

/* enum io_uring_regbuf_type: 2 is asked for by others, more than once */
#define IO_REGBUF_NUMBER_MEMFD		16

/* Bit in the flags of struct io_uring_regbuf_desc */
#define IO_REGBUF_NUMBER_READ_ONLY	0

#endif
