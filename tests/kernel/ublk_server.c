// SPDX-License-Identifier: GPL-2.0
/* The kernel's own header first: liburing's copy may be older. */
#include <linux/io_uring.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/ublk_cmd.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ublk_server.h"
#include "uring.h"

/* What the distribution's header may lack. */
#define CONTROL(nr)		_IOWR('u', nr, struct ublksrv_ctrl_cmd)
#define IO_COMMAND(nr)		_IOWR('u', nr, struct ublksrv_io_cmd)
#define IO_REGISTER_BUFFER	0x23
#define IO_UNREGISTER_BUFFER	0x24
#define F_ZERO_COPY		(1ULL << 0)
#define F_IOCTL_ENCODE		(1ULL << 6)
#define F_AUTO_REGISTER		(1ULL << 11)

#define SECTOR		512UL
#define MAX_BYTES	MIB
#define PARTS		UBLK_PARTS
#define TRIES		500

/* What a completion is of; the tag is below it. */
enum stage {
	STAGE_FETCH,			/* a request has come */
	STAGE_REGISTER,
	STAGE_WRONG,			/* what must be refused */
	STAGE_TRANSFER,
	STAGE_UNREGISTER,
	STAGE_PROBE,			/* instead of all of these */
	STAGE_PROBED,
};

static int control(struct ublk_server *server, unsigned int nr, const void *data, size_t len,
		   uint64_t value)
{
	struct ublksrv_ctrl_cmd cmd = {
		.dev_id = server->id,
		.queue_id = UINT16_MAX,
		.addr = (uintptr_t)data,
		.len = (__u16)len,
		.data = { value },
	};
	struct io_uring_sqe *sqe = io_uring_get_sqe(&server->control);
	int fd = open("/dev/ublk-control", O_RDWR | O_CLOEXEC), ret;

	if (fd < 0)
		return -errno;
	memset(sqe, 0, 128);
	uring_prep_cmd(sqe, fd, (unsigned int)CONTROL(nr), &cmd, sizeof(cmd));
	ret = uring_one(&server->control);
	close(fd);
	return ret;
}

/* --- serving ------------------------------------------------------------ */

static struct io_uring_sqe *new_sqe(struct ublk_server *server)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&server->ring);

	if (!sqe)
		die("ublk server: no free submission queue entry");
	return sqe;
}

static void set_data(struct io_uring_sqe *sqe, unsigned int tag, enum stage stage)
{
	sqe->user_data = (uint64_t)stage << 16 | tag;
}

static void io_command(struct ublk_server *server, unsigned int tag, enum stage stage,
		       unsigned int nr, int result, uint64_t addr)
{
	struct ublksrv_io_cmd cmd = { .tag = (__u16)tag, .result = result, .addr = addr };
	struct io_uring_sqe *sqe = new_sqe(server);

	uring_prep_cmd(sqe, server->device, (unsigned int)IO_COMMAND(nr), &cmd, sizeof(cmd));
	/* Where the driver registers the buffer of the next request, if it does. */
	if (server->auto_register)
		sqe->addr = tag;
	set_data(sqe, tag, stage);
}

static const struct ublksrv_io_desc *descriptor(const struct ublk_server *server, unsigned int tag)
{
	return (const struct ublksrv_io_desc *)server->descriptors + tag;
}

/* The address is an offset in a kernel buffer. */
static struct io_uring_sqe *transfer(struct ublk_server *server, unsigned int tag,
				     enum stage stage, bool write, uint64_t at,
				     unsigned long len, uint64_t off)
{
	struct io_uring_sqe *sqe = new_sqe(server);
	void *addr = (void *)(uintptr_t)at;

	if (write)
		io_uring_prep_write_fixed(sqe, server->file, addr, (unsigned int)len, off,
					  (int)tag);
	else
		io_uring_prep_read_fixed(sqe, server->file, addr, (unsigned int)len, off,
					 (int)tag);
	set_data(sqe, tag, stage);
	server->tags[tag].pending++;
	return sqe;
}

/* In one, in two, or as parts of a vector. */
static void start_transfer(struct ublk_server *server, unsigned int tag)
{
	const struct ublksrv_io_desc *desc = descriptor(server, tag);
	struct ublk_tag *state = &server->tags[tag];
	bool write = (desc->op_flags & 0xff) == UBLK_IO_OP_WRITE;
	unsigned long len = desc->nr_sectors * SECTOR, part = len / PARTS + 3;
	uint64_t off = desc->start_sector * SECTOR;
	struct io_uring_sqe *sqe;

	state->expected = len;
	switch (server->requests % 3) {
	case 0:
		transfer(server, tag, STAGE_TRANSFER, write, 0, len, off);
		break;
	case 1:
		transfer(server, tag, STAGE_TRANSFER, write, 0, part, off);
		transfer(server, tag, STAGE_TRANSFER, write, part, len - part, off + part);
		break;
	case 2:
		for (unsigned int i = 0; i < PARTS; i++)
			state->iov[i] = (struct iovec){
				(void *)(uintptr_t)(i * part),
				i < PARTS - 1 ? part : len - i * part,
			};
		sqe = transfer(server, tag, STAGE_TRANSFER, write, 0, 0, off);
		sqe->opcode = write ? URING_OP_WRITEV_FIXED : URING_OP_READV_FIXED;
		sqe->addr = (uintptr_t)state->iov;
		sqe->len = PARTS;
	}
}

static void complain(struct ublk_server *server, const char *what, int result)
{
	if (!server->failed)
		because(&server->why, "ublk server: %s: %d", what, result);
	server->failed = true;
}

static int get_layout(struct ublk_server *server, unsigned int tag,
		      struct io_uring_buffer_layout *l)
{
	memset(l, 0, sizeof(*l));
	l->index = tag;
	return uring_register(server->ring.ring_fd, IORING_REGISTER_BUFFER_LAYOUT, l, sizeof(*l));
}

/* What the kernel tells of the buffer, against what the driver says of the request. */
static void check_layout(struct ublk_server *server, unsigned int tag)
{
	const struct ublksrv_io_desc *desc = descriptor(server, tag);
	bool write = (desc->op_flags & 0xff) == UBLK_IO_OP_WRITE;
	__u32 flags = IORING_BUFFER_LAYOUT_KERNEL |
		      (write ? IORING_BUFFER_LAYOUT_READ_ONLY : 0);
	struct io_uring_buffer_layout l;
	int ret;

	if (!server->layouts_told)
		return;
	ret = get_layout(server, tag, &l);
	if (ret)
		complain(server, "the layout of a buffer", ret);
	else if (l.flags != flags)
		complain(server, "flags of a layout", (int)l.flags);
	else if (l.len != desc->nr_sectors * SECTOR)
		complain(server, "bytes of a layout", (int)l.len);
	else if (l.charged_bytes)
		complain(server, "bytes charged for a kernel buffer", (int)l.charged_bytes);
	else if (!l.smallest_run || l.smallest_run > l.largest_run ||
		 l.nr_runs * l.smallest_run > l.len || l.nr_runs * l.largest_run < l.len)
		complain(server, "runs of a layout", (int)l.nr_runs);
	server->layouts++;
}

/* Into the source of a write, out of the destination of a read, and beyond the end. */
static void start_wrong(struct ublk_server *server, unsigned int tag)
{
	const struct ublksrv_io_desc *desc = descriptor(server, tag);
	bool write = (desc->op_flags & 0xff) == UBLK_IO_OP_WRITE;
	unsigned long len = desc->nr_sectors * SECTOR;

	check_layout(server, tag);
	transfer(server, tag, STAGE_WRONG, !write, 0, len, 0);
	transfer(server, tag, STAGE_WRONG, write, len - 1, 2, 0);
}

static void commit(struct ublk_server *server, unsigned int tag)
{
	struct ublk_tag *state = &server->tags[tag];

	io_command(server, tag, STAGE_FETCH, UBLK_IO_COMMIT_AND_FETCH_REQ,
		   state->error ? -EIO : (int)state->expected, 0);
}

static void start_request(struct ublk_server *server, unsigned int tag)
{
	const struct ublksrv_io_desc *desc = descriptor(server, tag);
	unsigned int op = desc->op_flags & 0xff;

	while (atomic_load(&server->hold))
		usleep(1000);
	server->requests++;
	server->tags[tag] = (struct ublk_tag){ };
	if (op != UBLK_IO_OP_READ && op != UBLK_IO_OP_WRITE)
		commit(server, tag);		/* flush: the file is memory */
	else if (server->auto_register)
		start_wrong(server, tag);
	else if (atomic_load(&server->probe))
		io_command(server, tag, STAGE_PROBE, IO_REGISTER_BUFFER, 0, server->probe_slot);
	else
		io_command(server, tag, STAGE_REGISTER, IO_REGISTER_BUFFER, 0, tag);
}

static void end_transfer(struct ublk_server *server, unsigned int tag)
{
	struct ublk_tag *state = &server->tags[tag];

	if (!state->error && state->done != state->expected)
		complain(server, "bytes done", (int)state->done);
	if (server->auto_register)
		commit(server, tag);
	else
		io_command(server, tag, STAGE_UNREGISTER, IO_UNREGISTER_BUFFER, 0, tag);
}

/* Returns whether there will be another completion for this tag. */
static bool handle(struct ublk_server *server, unsigned int tag, enum stage stage, int result)
{
	struct ublk_tag *state = &server->tags[tag];

	switch (stage) {
	case STAGE_FETCH:
		if (result == UBLK_IO_RES_ABORT)
			return false;
		if (result != UBLK_IO_RES_OK) {
			complain(server, "fetching", result);
			return false;
		}
		start_request(server, tag);
		return true;
	case STAGE_REGISTER:
		if (result)
			complain(server, "registering", result);
		start_wrong(server, tag);
		return true;
	case STAGE_WRONG:
		if (result != -EFAULT)
			complain(server, "instead of a refusal", result);
		server->refused++;
		if (!--state->pending)
			start_transfer(server, tag);
		return true;
	case STAGE_TRANSFER:
		server->transfers++;
		if (result < 0) {
			complain(server, "transfer", result);
			state->error = result;
		} else {
			state->done += (unsigned long)result;
		}
		if (!--state->pending)
			end_transfer(server, tag);
		return true;
	case STAGE_UNREGISTER:
		if (result)
			complain(server, "unregistering", result);
		commit(server, tag);
		return true;
	case STAGE_PROBE:
		atomic_store(&server->probe_result, result);
		state->error = -EIO;
		if (result)
			commit(server, tag);
		else
			io_command(server, tag, STAGE_PROBED, IO_UNREGISTER_BUFFER, 0,
				   server->probe_slot);
		return true;
	case STAGE_PROBED:
		if (result)
			complain(server, "unregistering", result);
		commit(server, tag);
		return true;
	}
	return false;
}

static void *serve(void *arg)
{
	struct ublk_server *server = arg;
	unsigned int running = UBLK_DEPTH;

	for (unsigned int tag = 0; tag < UBLK_DEPTH; tag++)
		io_command(server, tag, STAGE_FETCH, UBLK_IO_FETCH_REQ, 0, 0);
	while (running) {
		struct io_uring_cqe *cqe;
		int ret = io_uring_submit_and_wait(&server->ring, 1);

		if (ret < 0 && ret != -EINTR)
			die("ublk server: %s", strerror(-ret));
		while (!io_uring_peek_cqe(&server->ring, &cqe)) {
			uint64_t data = cqe->user_data;
			int result = cqe->res;

			io_uring_cqe_seen(&server->ring, cqe);
			if (!handle(server, data & 0xffff, (enum stage)(data >> 16), result))
				running--;
		}
	}
	/* Each slot of the table must be empty. */
	for (unsigned int tag = 0; tag < UBLK_DEPTH; tag++) {
		int ret;

		transfer(server, tag, STAGE_WRONG, true, 0, SECTOR, 0);
		ret = uring_one(&server->ring);
		if (ret != -EFAULT)
			complain(server, "a buffer is left in the end", ret);
	}
	return NULL;
}

/* --- around it ---------------------------------------------------------- */

static int add_device(struct ublk_server *server, struct reason *why)
{
	struct ublksrv_ctrl_dev_info info = {
		.nr_hw_queues = 1,
		.queue_depth = UBLK_DEPTH,
		.max_io_buf_bytes = MAX_BYTES,
		.flags = F_ZERO_COPY | F_IOCTL_ENCODE |
			 (server->auto_register ? F_AUTO_REGISTER : 0),
	};
	struct ublk_params params = {
		.len = sizeof(params),
		.types = UBLK_PARAM_TYPE_BASIC,
		.basic = {
			.logical_bs_shift = 9,
			.physical_bs_shift = 12,
			.io_opt_shift = 12,
			.io_min_shift = 9,
			.max_sectors = MAX_BYTES / SECTOR,
			.dev_sectors = server->size / SECTOR,
		},
	};
	int ret = control(server, UBLK_CMD_ADD_DEV, &info, sizeof(info), 0);

	if (ret == -ENOENT || ret == -ENODEV)
		return -because(why, "the kernel has no ublk");
	if (ret)
		return because(why, "ADD_DEV: %s", strerror(-ret));
	if ((info.flags & F_ZERO_COPY) == 0)
		return -because(why, "ublk has no zero copy here");
	ret = control(server, UBLK_CMD_SET_PARAMS, &params, sizeof(params), 0);
	return ret ? because(why, "SET_PARAMS: %s", strerror(-ret)) : 0;
}

/* The node appears some time after the device. */
static int open_device(const char *path)
{
	int fd = -1;

	for (int i = 0; i < TRIES && fd < 0; i++) {
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			usleep(10000);
	}
	return fd;
}

int ublk_server_start(struct ublk_server *server, struct reason *why)
{
	struct io_uring_params sqe128 = { .flags = IORING_SETUP_SQE128 };
	struct io_uring_buffer_layout l;
	int ret;

	ret = io_uring_queue_init_params(4, &server->control, &sqe128);
	if (!ret)
		ret = io_uring_queue_init(8 * UBLK_DEPTH, &server->ring, 0);
	if (!ret)
		ret = io_uring_register_buffers_sparse(&server->ring, UBLK_DEPTH);
	if (ret)
		die("ublk server: rings: %s", strerror(-ret));
	/* An empty entry, or a kernel that does not know the question. */
	server->layouts_told = get_layout(server, 0, &l) == -ENOENT;
	ret = add_device(server, why);
	if (ret)
		return ret;
	server->device = open_device("/dev/ublkc0");
	if (server->device < 0)
		return because(why, "/dev/ublkc0: %s", strerror(errno));
	server->descriptors = mmap(NULL, 4096, PROT_READ, MAP_SHARED | MAP_POPULATE,
				   server->device, UBLKSRV_CMD_BUF_OFFSET);
	if (server->descriptors == MAP_FAILED)
		return because(why, "mmap of /dev/ublkc0: %s", strerror(errno));
	if (pthread_create(&server->thread, NULL, serve, server))
		die("pthread_create");
	/* Reads the first blocks to look for partitions. */
	ret = control(server, UBLK_CMD_START_DEV, NULL, 0, (uint64_t)getpid());
	return ret ? because(why, "START_DEV: %s", strerror(-ret)) : 0;
}

void ublk_server_probe(struct ublk_server *server, unsigned int slot)
{
	server->probe_slot = slot;
	atomic_store(&server->probe_result, 1);
	atomic_store(&server->probe, true);
}

int ublk_server_probed(struct ublk_server *server)
{
	atomic_store(&server->probe, false);
	return atomic_load(&server->probe_result);
}

int ublk_server_stop(struct ublk_server *server, struct reason *why)
{
	int ret = control(server, UBLK_CMD_STOP_DEV, NULL, 0, 0);

	if (ret)
		return because(why, "STOP_DEV: %s", strerror(-ret));
	pthread_join(server->thread, NULL);
	munmap((void *)server->descriptors, 4096);
	close(server->device);
	/* Waits until the ring has let go of the device. */
	io_uring_queue_exit(&server->ring);
	ret = control(server, UBLK_CMD_DEL_DEV, NULL, 0, 0);
	io_uring_queue_exit(&server->control);
	if (ret)
		return because(why, "DEL_DEV: %s", strerror(-ret));
	return server->failed ? because(why, "%s", server->why.text) : 0;
}
