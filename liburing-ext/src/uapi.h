/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * Parts of the kernel's interface that the header of an old liburing lacks.  The
 * newer ones are enums there, which the preprocessor cannot see, so they have
 * names of their own here; test/uapi.c compares them where liburing has them.
 */
#ifndef URING_EXT_UAPI_H
#define URING_EXT_UAPI_H

#include <linux/types.h>

#define URING_EXT_REGISTER_CLONE_BUFFERS	30
#define URING_EXT_REGISTER_QUERY		35
#define URING_EXT_REGISTER_USE_REGISTERED_RING	(1U << 31)

#define URING_EXT_CLONE_SRC_REGISTERED		(1U << 0)
#define URING_EXT_CLONE_DST_REPLACE		(1U << 1)

#define URING_EXT_OP_SEND_ZC			47
#define URING_EXT_OP_READV_FIXED		60
#define URING_EXT_OP_WRITEV_FIXED		61
#define URING_EXT_RECVSEND_FIXED_BUF		(1U << 2)

struct urext_clone_buffers {
	__u32 src_fd;
	__u32 flags;
	__u32 src_off;
	__u32 dst_off;
	__u32 nr;
	__u32 pad[3];
};

/* <linux/mman.h>, since 5.14 */
#define URING_EXT_MADV_POPULATE_WRITE		23

#endif
