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
#define URING_EXT_REGISTER_SEND_MSG_RING	31
#define URING_EXT_REGISTER_QUERY		35
#define URING_EXT_REGISTER_USE_REGISTERED_RING	(1U << 31)

#define URING_EXT_CLONE_SRC_REGISTERED		(1U << 0)
#define URING_EXT_CLONE_DST_REPLACE		(1U << 1)

#define URING_EXT_OP_MSG_RING			40
#define URING_EXT_OP_SEND_ZC			47
#define URING_EXT_OP_READV_FIXED		60
#define URING_EXT_OP_WRITEV_FIXED		61
#define URING_EXT_RECVSEND_FIXED_BUF		(1U << 2)

/*
 * Numbers that are not upstream's, and that another kernel may use for something else:
 * of the query that tells them all, of a register opcode, of a request, and for
 * descriptors.  They stand here only.  The query comes first, and its answer is looked
 * at with care; the others are not used unless it names what they stand for.
 */
#define URING_EXT_QUERY_REGBUF			4
#define URING_EXT_REGISTER_BUFFER_LAYOUT	38
#define URING_EXT_OP_BUFFERS_UPDATE		65
#define URING_EXT_DESC_MEMFD			16
#define URING_EXT_DESC_READ_ONLY		(1U << 0)

/* Descriptors, as they are on their way upstream */
#define URING_EXT_UPDATE_EXTENDED		(1U << 1)
#define URING_EXT_DESC_EMPTY			0
#define URING_EXT_DESC_UADDR			1

struct urext_desc {
	__u32 type;
	__u32 flags;
	__u64 size;
	__u64 uaddr;
	__s32 memfd;
	__u32 memfd_resv;
	__u64 offset;
	__u64 resv[5];
};

struct urext_clone_buffers {
	__u32 src_fd;
	__u32 flags;
	__u32 src_off;
	__u32 dst_off;
	__u32 nr;
	__u32 pad[3];
};

/* <linux/io_uring/query.h> */
struct urext_query_hdr {
	__u64 next_entry;
	__u64 query_data;
	__u32 query_op;
	__u32 size;
	__s32 result;
	__u32 resv[3];
};

struct urext_query_regbuf {
	__u64 max_buffer_bytes;
	__u32 max_buffers;
	__u32 register_flags;
	__u32 update_flags;
	__u32 layout_size;
	__u64 desc_types;
	__u32 desc_flags;
	__u32 features;
};

#define URING_EXT_FEATURE_RUNS			(1U << 0)
#define URING_EXT_FEATURE_LAYOUT		(1U << 1)
#define URING_EXT_FEATURE_REQUEST		(1U << 2)

struct urext_buffer_layout {
	__u32 index;
	__u32 resv;
	__u64 len;
	__u64 nr_runs;
	__u64 smallest_run;
	__u64 largest_run;
	__u64 charged_bytes;
	__u32 flags;
	__u32 resv2;
};

#define URING_EXT_BUFFER_READ_ONLY		(1U << 0)
#define URING_EXT_BUFFER_KERNEL			(1U << 1)

/* <linux/stat.h>, since 6.1 */
#define URING_EXT_STATX_DIOALIGN		0x2000U

/* <linux/mman.h>, since 5.14 */
#define URING_EXT_MADV_POPULATE_WRITE		23

#endif
