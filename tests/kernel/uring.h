/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Calls of io_uring that the distribution's liburing may lack. What newer headers have as enums
 * has names of its own here, since the preprocessor cannot see those.
 */
#ifndef TESTS_KERNEL_URING_H
#define TESTS_KERNEL_URING_H

#include <liburing.h>
#include <linux/types.h>

#define URING_REGISTER_CLONE_BUFFERS	30
#define URING_REGISTER_MEM_REGION	34
#define URING_CLONE_SRC_REGISTERED	(1U << 0)
#define URING_CLONE_DST_REPLACE		(1U << 1)
#define URING_RSRC_SPARSE		(1U << 0)
#define URING_OP_CMD			46
#define URING_OP_READV_FIXED		60
#define URING_OP_WRITEV_FIXED		61
#define URING_OP_BUFFERS_UPDATE		65	/* the patched kernel's */
#define URING_MAX_BUFFERS		(1U << 14)	/* of one table */

/* The patched kernel's, see IO_URING_QUERY_REGBUF; regbuf_uapi compares them with its header. */
#define URING_UPDATE_EXTENDED		(1U << 1)
#define URING_DESC_EMPTY		0
#define URING_DESC_UADDR		1
#define URING_DESC_MEMFD		16
#define URING_DESC_READ_ONLY		(1U << 0)

struct uring_desc {
	__u32 type;
	__u32 flags;
	__u64 size;
	__u64 uaddr;
	__s32 memfd;
	__u32 memfd_resv;
	__u64 offset;
	__u64 resv[5];
};

struct uring_clone {
	__u32 src_fd;
	__u32 flags;
	__u32 src_off;
	__u32 dst_off;
	__u32 nr;
	__u32 pad[3];
};

/* io_uring_register(2) as it is: the result, or -errno. */
int uring_register(int fd, unsigned int opcode, const void *arg, unsigned int nr_args);

/* All buffers of @src to @dst when @nr is 0. */
int uring_clone(const struct io_uring *dst, const struct io_uring *src, unsigned int src_off,
		unsigned int dst_off, unsigned int nr, unsigned int flags);

/* IORING_REGISTER_BUFFERS2 with URING_RSRC_... @iov is not used for sparse tables. */
int uring_buffers(const struct io_uring *ring, const struct iovec *iov, unsigned int nr,
		  unsigned int flags);

/* A descriptor for memory of the process; an empty one, if that is what @iov is, has no flags. */
struct uring_desc uring_desc_of(struct iovec iov, unsigned int flags);

/* The same by descriptors: an empty table that is filled. Of one that fails, nothing stays. */
int uring_buffers_descs(const struct io_uring *ring, const struct uring_desc *descs,
			unsigned int nr);
int uring_buffers_readonly(const struct io_uring *ring, const struct iovec *iov, unsigned int nr);

/* IORING_REGISTER_BUFFERS_UPDATE with descriptors: how many were done, or -errno */
int uring_update_descs(const struct io_uring *ring, unsigned int slot,
		       const struct uring_desc *descs, unsigned int nr);
int uring_update_readonly(const struct io_uring *ring, unsigned int slot, const struct iovec *iov,
			  unsigned int nr);
/* The same as a request; it needs @descs until it is submitted. */
void uring_prep_update(struct io_uring_sqe *sqe, unsigned int slot, const struct uring_desc *descs,
		       unsigned int nr);

/* Put buffers into slots of the table; NULL empties one slot. How many were done, or -errno */
int uring_update(const struct io_uring *ring, unsigned int slot, const struct iovec *iov,
		 unsigned int nr);

/* A region of @pages pages of kernel memory, which goes away with the ring. */
int uring_mem_region(const struct io_uring *ring, unsigned int pages);

/* IORING_OP_URING_CMD with a copy of @data; what is longer than 16 bytes needs IORING_SETUP_SQE128. */
void uring_prep_cmd(struct io_uring_sqe *sqe, int fd, unsigned int op, const void *data, size_t len);

/* Submits one request and waits for its result. */
int uring_one(struct io_uring *ring);

#endif
