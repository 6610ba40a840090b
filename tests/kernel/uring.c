// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "uring.h"

int uring_register(int fd, unsigned int opcode, const void *arg, unsigned int nr_args)
{
	long ret = syscall(SYS_io_uring_register, fd, opcode, arg, nr_args);

	return ret < 0 ? -errno : (int)ret;
}

int uring_clone(const struct io_uring *dst, const struct io_uring *src, unsigned int src_off,
		unsigned int dst_off, unsigned int nr, unsigned int flags)
{
	struct uring_clone clone = {
		.src_fd = (__u32)src->ring_fd,
		.flags = flags,
		.src_off = src_off,
		.dst_off = dst_off,
		.nr = nr,
	};

	return uring_register(dst->ring_fd, URING_REGISTER_CLONE_BUFFERS, &clone, 1);
}

int uring_buffers(const struct io_uring *ring, const struct iovec *iov, unsigned int nr,
		  unsigned int flags)
{
	struct io_uring_rsrc_register reg = {
		.nr = nr,
		.flags = flags,
		.data = flags & URING_RSRC_SPARSE ? 0 : (uintptr_t)iov,
	};

	return uring_register(ring->ring_fd, IORING_REGISTER_BUFFERS2, &reg, sizeof(reg));
}

static int update(const struct io_uring *ring, unsigned int slot, const void *data,
		  unsigned int nr, unsigned int flags)
{
	/* Called resv by headers that do not know the flags */
	struct io_uring_rsrc_update2 update = {
		.offset = slot,
		.resv = flags,
		.data = (uintptr_t)data,
		.nr = nr,
	};

	return uring_register(ring->ring_fd, IORING_REGISTER_BUFFERS_UPDATE, &update,
			      sizeof(update));
}

int uring_update(const struct io_uring *ring, unsigned int slot, const struct iovec *iov,
		 unsigned int nr)
{
	struct iovec empty = { NULL, 0 };

	return update(ring, slot, iov ? iov : &empty, iov ? nr : 1, 0);
}

int uring_update_descs(const struct io_uring *ring, unsigned int slot,
		       const struct uring_desc *descs, unsigned int nr)
{
	return update(ring, slot, descs, nr, URING_UPDATE_EXTENDED);
}

/* Those for memory of the process; NULL without memory for them */
static struct uring_desc *descs_of(const struct iovec *iov, unsigned int nr, unsigned int flags)
{
	struct uring_desc *descs = calloc(nr, sizeof(*descs));

	for (unsigned int i = 0; descs && i < nr; i++)
		descs[i] = uring_desc_of(iov[i], flags);
	return descs;
}

struct uring_desc uring_desc_of(struct iovec iov, unsigned int flags)
{
	return (struct uring_desc){
		.type = iov.iov_base ? URING_DESC_UADDR : URING_DESC_EMPTY,
		.flags = iov.iov_base ? flags : 0,
		.size = iov.iov_len,
		.uaddr = (uintptr_t)iov.iov_base,
	};
}

int uring_update_readonly(const struct io_uring *ring, unsigned int slot, const struct iovec *iov,
			  unsigned int nr)
{
	struct uring_desc *descs = descs_of(iov, nr, URING_DESC_READ_ONLY);
	int ret = descs ? uring_update_descs(ring, slot, descs, nr) : -ENOMEM;

	free(descs);
	return ret;
}

int uring_buffers_descs(const struct io_uring *ring, const struct uring_desc *descs,
			unsigned int nr)
{
	int ret, done;

	ret = uring_buffers(ring, NULL, nr, URING_RSRC_SPARSE);
	for (unsigned int i = 0; !ret && i < nr; i += (unsigned int)done) {
		done = uring_update_descs(ring, i, descs + i, nr - i);
		if (done > 0)
			continue;
		ret = done;
		uring_register(ring->ring_fd, IORING_UNREGISTER_BUFFERS, NULL, 0);
	}
	return ret;
}

int uring_buffers_readonly(const struct io_uring *ring, const struct iovec *iov, unsigned int nr)
{
	struct uring_desc *descs = descs_of(iov, nr, URING_DESC_READ_ONLY);
	int ret = descs ? uring_buffers_descs(ring, descs, nr) : -ENOMEM;

	free(descs);
	return ret;
}

void uring_prep_update(struct io_uring_sqe *sqe, unsigned int slot, const struct uring_desc *descs,
		       unsigned int nr)
{
	io_uring_prep_rw(URING_OP_BUFFERS_UPDATE, sqe, -1, descs, nr, slot);
}

int uring_mem_region(const struct io_uring *ring, unsigned int pages)
{
	struct {
		__u64 user_addr;
		__u64 size;
		__u32 flags;
		__u32 id;
		__u64 mmap_offset;
		__u64 resv[4];
	} desc = { .size = pages * 4096ULL };
	struct {
		__u64 desc;
		__u64 flags;
		__u64 resv[2];
	} region = { .desc = (uintptr_t)&desc };

	return uring_register(ring->ring_fd, URING_REGISTER_MEM_REGION, &region, 1);
}

void uring_prep_cmd(struct io_uring_sqe *sqe, int fd, unsigned int op, const void *data, size_t len)
{
	memset(sqe, 0, 48);
	sqe->opcode = URING_OP_CMD;
	sqe->fd = fd;
	/* cmd_op, and cmd at the end, are names that an old header does not have. */
	sqe->off = op;
	memcpy((char *)sqe + 48, data, len);
}

int uring_one(struct io_uring *ring)
{
	struct io_uring_cqe *cqe;
	int ret;

	ret = io_uring_submit_and_wait(ring, 1);
	if (ret != 1)
		return ret < 0 ? ret : -EIO;
	ret = io_uring_wait_cqe(ring, &cqe);
	if (ret)
		return ret;
	ret = cqe->res;
	io_uring_cqe_seen(ring, cqe);
	return ret;
}
