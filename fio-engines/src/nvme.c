// SPDX-License-Identifier: GPL-2.0-only
/*
 * cmd_type=nvme: reads and writes are NVMe commands that the driver passes on to the device
 * (IORING_OP_URING_CMD on /dev/ngXnY): no block layer cuts, merges or schedules them.  With
 * fixedbufs their data is in a registered slot, as that of any request.
 *
 * Such rings have entries of twice the size: the command is in the second half of each.
 */
#include <endian.h>
#include <fcntl.h>
#include <linux/nvme_ioctl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "fio.h"

#include "io.h"

#define OP_FLUSH	0x00
#define OP_WRITE	0x01
#define OP_READ		0x02
#define ADMIN_IDENTIFY	0x06

/* What of the answer to "identify namespace" is of use here. */
struct identify {
	uint64_t blocks;
	uint8_t skipped[18];
	uint8_t format;			/* bits 0 to 3, 5 and 6: which of formats[] it has */
	uint8_t skipped2[101];
	struct {
		uint16_t metadata;	/* bytes for each block */
		uint8_t shift;		/* of a block's size */
		uint8_t performance;
	} formats[64];
	uint8_t skipped3[4096 - 384];
};

/* fio keeps a pointer for engines in each file: a namespace, and the shift of its blocks. */
static void keep(struct fio_file *f, unsigned int nsid, unsigned int shift)
{
	FILE_SET_ENG_DATA(f, (void *)((uintptr_t)nsid << 8 | shift));
}

static unsigned int nsid_of(const struct fio_file *f)
{
	return (uintptr_t)FILE_ENG_DATA(f) >> 8;
}

static unsigned int shift_of(const struct fio_file *f)
{
	return (uintptr_t)FILE_ENG_DATA(f) & 0xff;
}

static int identify(int fd, struct identify *id, int *nsid)
{
	struct nvme_admin_cmd cmd = {
		.opcode = ADMIN_IDENTIFY,
		.addr = (uintptr_t)id,
		.data_len = sizeof(*id),
	};

	*nsid = ioctl(fd, NVME_IOCTL_ID);
	if (*nsid < 0)
		return errno;
	cmd.nsid = *nsid;
	switch (ioctl(fd, NVME_IOCTL_ADMIN_CMD, &cmd)) {
	case 0:
		return 0;
	case -1:
		return errno;
	default:
		return EIO;
	}
}

int regbuf_nvme_get_size(struct thread_data *td, struct fio_file *f)
{
	struct identify id;
	unsigned int shift, format;
	int fd, nsid = 0, ret;

	fd = open(f->file_name, O_RDONLY | O_CLOEXEC);
	ret = fd < 0 ? errno : identify(fd, &id, &nsid);
	if (fd >= 0)
		close(fd);
	if (ret) {
		regbuf_say("cmd_type=nvme: %s: %s (a device like /dev/ng0n1 is wanted)",
			   f->file_name, strerror(ret));
		return ret;
	}
	format = (id.format & 0xf) | (id.format >> 1 & 0x30);
	shift = id.formats[format].shift;
	if (id.formats[format].metadata) {
		regbuf_say("cmd_type=nvme: %s has blocks with metadata", f->file_name);
		return EINVAL;
	}
	if (td_min_bs(td) & ((1U << shift) - 1)) {
		regbuf_say("cmd_type=nvme: %s has blocks of %u bytes, bs must be a multiple",
			   f->file_name, 1U << shift);
		return EINVAL;
	}
	f->real_file_size = le64toh(id.blocks) << shift;
	fio_file_set_size_known(f);
	keep(f, nsid, shift);
	return 0;
}

static struct nvme_uring_cmd *command(const struct io_u *io_u, struct io_uring_sqe *sqe)
{
	struct nvme_uring_cmd *cmd = (void *)sqe->cmd;

	memset(cmd, 0, sizeof(*cmd));
	cmd->nsid = nsid_of(io_u->file);
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->ioprio = 0;
	sqe->off = NVME_URING_CMD_IO;
	sqe->rw_flags = 0;
	return cmd;
}

/* Of a READ or WRITE, fixed or not, that all but this is done for. */
void regbuf_nvme_prep(const struct io_u *io_u, struct io_uring_sqe *sqe, bool fixed)
{
	const unsigned int shift = shift_of(io_u->file);
	struct nvme_uring_cmd *cmd = command(io_u, sqe);

	cmd->opcode = io_u->ddir == DDIR_READ ? OP_READ : OP_WRITE;
	cmd->addr = sqe->addr;
	cmd->data_len = sqe->len;
	cmd->cdw10 = io_u->offset >> shift;
	cmd->cdw11 = io_u->offset >> shift >> 32;
	cmd->cdw12 = (sqe->len >> shift) - 1;
	sqe->rw_flags = fixed ? IORING_URING_CMD_FIXED : 0;
	sqe->addr = 0;
	sqe->len = 0;
}

void regbuf_nvme_prep_flush(const struct io_u *io_u, struct io_uring_sqe *sqe)
{
	command(io_u, sqe)->opcode = OP_FLUSH;
	sqe->addr = 0;
	sqe->len = 0;
	sqe->buf_index = 0;
}

int regbuf_nvme_result(const struct io_u *io_u, int res)
{
	/* A status of the device's */
	if (res > 0)
		return -EIO;
	return res ? res : (int)io_u->xfer_buflen;
}
