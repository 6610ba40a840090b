// SPDX-License-Identifier: GPL-2.0
/*
 * ublk_shmem: memory that a ublk server shares with those who do I/O, registered with the device.
 * Their requests reach it as places in that memory, also while buffers come and go; what is pinned
 * counts for the user's limit, and goes with the buffer or the device; what cannot be had leaves
 * nothing behind. Who unregisters a buffer waits for requests, and keeps nobody from anything.
 *
 * With --icount it measures instead: a GiB registered and unregistered, and how long the queue is
 * frozen. With --faults small objects that a registration allocates are not to be had, from one byte
 * count to the next, on a kernel that can do that. Ends with "N passed, N failed, N skipped".
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/memfd.h>
#include <linux/ublk_cmd.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "caps.h"
#include "charge.h"
#include "fail_each.h"
#include "fail_nth.h"
#include "func_time.h"
#include "layouts.h"
#include "pattern.h"
#include "uring.h"
#include "vmstat.h"

/* What the distribution's header may lack. */
#define CONTROL(nr)		((unsigned int)_IOWR('u', nr, struct ublksrv_ctrl_cmd))
#define IO_COMMAND(nr)		((unsigned int)_IOWR('u', nr, struct ublksrv_io_cmd))
#define CMD_REG_BUF		0x18
#define CMD_UNREG_BUF		0x19
#define F_UNPRIVILEGED		(1ULL << 5)
#define F_IOCTL_ENCODE		(1ULL << 6)
#define F_SHMEM_ZC		(1ULL << 19)
#define IO_F_SHMEM_ZC		(1U << 19)
#define BUF_READ_ONLY		(1U << 0)

struct shmem_buf_reg {
	__u64 addr;
	__u64 len;
	__u32 flags;
	__u32 reserved;
};

#define PAGE		(4 * KIB)
#define SECTOR		512UL
#define DEPTH		4
#define MAX_BYTES	(128 * KIB)
#define DISK		(16 * MIB)
#define ROUNDS		200
#define USER		1000
#define TRIES		500
#define TIMES		3
#define SKIPPED		77

static struct device {
	struct io_uring control, ring;
	unsigned int id;
	uint64_t flags;
	int fd, control_fd;
	const struct ublksrv_io_desc *descs;
	pthread_t thread;
	char *disk;			/* what it holds */
	char *copies;			/* where the driver copies to and from */
	char *server;			/* the server's mapping of what is shared, all of it */
	atomic_ulong shared;		/* requests that were places in shared memory */
	atomic_bool hold, holding;	/* no request is completed; there is one */
	atomic_bool failed;
} dev;

/* For an unprivileged device, the path of its node comes before the data. */
static int control(unsigned int nr, const void *data, size_t len, uint64_t value)
{
	struct {
		char path[16];
		char data[128];
	} both = { };
	struct ublksrv_ctrl_cmd cmd = {
		.dev_id = dev.id,
		.queue_id = UINT16_MAX,
		.addr = (uintptr_t)data,
		.len = (__u16)len,
		.data = { value },
	};
	struct io_uring_sqe *sqe = io_uring_get_sqe(&dev.control);

	if (!sqe)
		die("no free submission queue entry");
	if (dev.flags & F_UNPRIVILEGED && nr != UBLK_CMD_ADD_DEV) {
		snprintf(both.path, sizeof(both.path), "/dev/ublkc%u", dev.id);
		if (len)
			memcpy(both.data, data, len);
		cmd.addr = (uintptr_t)&both;
		cmd.len = (__u16)(sizeof(both.path) + len);
		/* dev_path_len, behind data[], which an old header may not have */
		memcpy((char *)&cmd + 24, &(__u16){ sizeof(both.path) }, sizeof(__u16));
	}
	memset(sqe, 0, 128);
	uring_prep_cmd(sqe, dev.control_fd, CONTROL(nr), &cmd, sizeof(cmd));
	return uring_one(&dev.control);
}

static int reg_buf(const void *addr, size_t len, unsigned int flags)
{
	struct shmem_buf_reg reg = { .addr = (uintptr_t)addr, .len = len, .flags = flags };

	return control(CMD_REG_BUF, &reg, sizeof(reg), 0);
}

static int unreg_buf(int index)
{
	return control(CMD_UNREG_BUF, NULL, 0, (uint64_t)index);
}

/* --- serving ------------------------------------------------------------ */

static void io_command(unsigned int tag, unsigned int nr, int result)
{
	struct ublksrv_io_cmd cmd = {
		.tag = (__u16)tag,
		.result = result,
		.addr = (uintptr_t)dev.copies + tag * MAX_BYTES,
	};
	struct io_uring_sqe *sqe = io_uring_get_sqe(&dev.ring);

	if (!sqe)
		die("no free submission queue entry");
	uring_prep_cmd(sqe, dev.fd, IO_COMMAND(nr), &cmd, sizeof(cmd));
	sqe->user_data = tag;
}

static int serve_request(unsigned int tag)
{
	const struct ublksrv_io_desc *desc = &dev.descs[tag];
	size_t len = desc->nr_sectors * SECTOR;
	char *at = dev.disk + desc->start_sector * SECTOR;
	char *data = dev.copies + tag * MAX_BYTES;

	if (desc->op_flags & IO_F_SHMEM_ZC) {
		data = dev.server + (desc->addr & UINT32_MAX);
		atomic_fetch_add(&dev.shared, 1);
	}
	switch (desc->op_flags & 0xff) {
	case UBLK_IO_OP_WRITE:
		memcpy(at, data, len);
		return (int)len;
	case UBLK_IO_OP_READ:
		memcpy(data, at, len);
		return (int)len;
	default:
		return 0;		/* flush: it is memory */
	}
}

static void *serve(void *unused)
{
	unsigned int running = DEPTH;

	(void)unused;
	for (unsigned int tag = 0; tag < DEPTH; tag++)
		io_command(tag, UBLK_IO_FETCH_REQ, 0);
	while (running) {
		struct io_uring_cqe *cqe;
		int ret = io_uring_submit_and_wait(&dev.ring, 1);

		if (ret < 0 && ret != -EINTR)
			die("ublk server: %s", strerror(-ret));
		while (!io_uring_peek_cqe(&dev.ring, &cqe)) {
			unsigned int tag = (unsigned int)cqe->user_data;
			int result = cqe->res;

			io_uring_cqe_seen(&dev.ring, cqe);
			if (result == UBLK_IO_RES_OK) {
				for (; atomic_load(&dev.hold); usleep(1000))
					atomic_store(&dev.holding, true);
				io_command(tag, UBLK_IO_COMMIT_AND_FETCH_REQ, serve_request(tag));
				continue;
			}
			if (result != UBLK_IO_RES_ABORT)
				atomic_store(&dev.failed, true);
			running--;
		}
	}
	return NULL;
}

/* --- the device --------------------------------------------------------- */

static int open_node(const char *path)
{
	int fd = -1;

	for (int i = 0; i < TRIES && fd < 0; i++) {
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			usleep(10000);
	}
	return fd;
}

static void control_open(void)
{
	struct io_uring_params sqe128 = { .flags = IORING_SETUP_SQE128 };
	int ret = io_uring_queue_init_params(4, &dev.control, &sqe128);

	if (ret)
		die("a ring: %s", strerror(-ret));
	io_uring_register_iowq_max_workers(&dev.control, (unsigned int[]){ 1, 1 });
}

/* Returns 1 with @why if the kernel has none. */
static int device_add(uint64_t flags, struct reason *why)
{
	struct ublksrv_ctrl_dev_info info = {
		.nr_hw_queues = 1,
		.queue_depth = DEPTH,
		.max_io_buf_bytes = MAX_BYTES,
		.dev_id = UINT32_MAX,
		.flags = F_IOCTL_ENCODE | F_SHMEM_ZC | flags,
	};
	int ret;

	control_open();
	dev.flags = flags;
	dev.id = UINT32_MAX;
	dev.control_fd = open("/dev/ublk-control", O_RDWR | O_CLOEXEC);
	if (dev.control_fd < 0)
		return -because(why, "the kernel has no ublk");
	ret = control(UBLK_CMD_ADD_DEV, &info, sizeof(info), 0);
	if (ret)
		return because(why, "ADD_DEV: %s", strerror(-ret));
	dev.id = info.dev_id;
	if ((info.flags & F_SHMEM_ZC) == 0)
		return -because(why, "ublk has no shared memory here");
	return 0;
}

static int device_start(struct reason *why)
{
	struct ublk_params params = {
		.len = sizeof(params),
		.types = UBLK_PARAM_TYPE_BASIC,
		.basic = {
			.logical_bs_shift = 9,
			.physical_bs_shift = 12,
			.io_opt_shift = 12,
			.io_min_shift = 9,
			.max_sectors = MAX_BYTES / SECTOR,
			.dev_sectors = DISK / SECTOR,
		},
	};
	char node[32];
	int ret;

	ret = control(UBLK_CMD_SET_PARAMS, &params, sizeof(params), 0);
	if (ret)
		return because(why, "SET_PARAMS: %s", strerror(-ret));
	snprintf(node, sizeof(node), "/dev/ublkc%u", dev.id);
	dev.fd = open_node(node);
	if (dev.fd < 0)
		return because(why, "%s: %s", node, strerror(errno));
	ret = io_uring_queue_init(4 * DEPTH, &dev.ring, 0);
	if (ret)
		die("a ring: %s", strerror(-ret));
	dev.descs = mmap(NULL, PAGE, PROT_READ, MAP_SHARED | MAP_POPULATE, dev.fd,
			 UBLKSRV_CMD_BUF_OFFSET);
	dev.disk = calloc(1, DISK);
	dev.copies = aligned_alloc(PAGE, DEPTH * MAX_BYTES);
	if (dev.descs == MAP_FAILED || !dev.disk || !dev.copies ||
	    pthread_create(&dev.thread, NULL, serve, NULL))
		die("the server: %s", strerror(errno));
	ret = control(UBLK_CMD_START_DEV, NULL, 0, (uint64_t)getpid());
	return ret ? because(why, "START_DEV: %s", strerror(-ret)) : 0;
}

static void device_stop(void)
{
	control(UBLK_CMD_STOP_DEV, NULL, 0, 0);
	pthread_join(dev.thread, NULL);
	munmap((void *)dev.descs, PAGE);
	close(dev.fd);
	io_uring_queue_exit(&dev.ring);
	free(dev.disk);
	free(dev.copies);
}

static int device_remove(struct reason *why)
{
	int ret = control(UBLK_CMD_DEL_DEV, NULL, 0, 0);

	close(dev.control_fd);
	io_uring_queue_exit(&dev.control);
	return ret ? because(why, "DEL_DEV: %s", strerror(-ret)) : 0;
}

/* --- I/O ---------------------------------------------------------------- */

static int transfer(int fd, char *shared, size_t at, size_t len, uint64_t seed, struct reason *why)
{
	size_t good;

	pattern_fill(shared + at, len, at, seed);
	if (pwrite(fd, shared + at, len, (off_t)at) != (ssize_t)len)
		return because(why, "writing %zu bytes at %zu: %s", len, at, strerror(errno));
	if (memcmp(dev.disk + at, shared + at, len))
		return because(why, "%zu bytes at %zu came wrong", len, at);
	memset(shared + at, 0, len);
	if (pread(fd, shared + at, len, (off_t)at) != (ssize_t)len)
		return because(why, "reading %zu bytes at %zu: %s", len, at, strerror(errno));
	good = pattern_check(shared + at, len, at, seed);
	return good == len ? 0 : because(why, "byte %zu of %zu is wrong", good, len);
}

/* What does I/O */
struct client {
	char *shared;
	int ret;
	atomic_bool done;
	struct reason why;
};

static int open_disk(void)
{
	char node[32];
	int fd;

	snprintf(node, sizeof(node), "/dev/ublkb%u", dev.id);
	fd = open_node(node);
	if (fd < 0 || fcntl(fd, F_SETFL, O_DIRECT))
		die("%s: %s", node, strerror(errno));
	return fd;
}

/* From any page on, so that requests go from one folio to the next, and from the last to none. */
static void *transfers(void *arg)
{
	struct client *client = arg;
	int fd = open_disk();

	for (unsigned int i = 0; i < ROUNDS && !client->ret; i++) {
		size_t len = (1 + (unsigned int)rand() % 32) * PAGE;
		size_t at = (unsigned int)rand() % ((DISK - len) / PAGE + 1) * PAGE;

		client->ret = transfer(fd, client->shared, at, len, i, &client->why);
	}
	close(fd);
	atomic_store(&client->done, true);
	return NULL;
}

/* The buffer comes and goes while somebody else does I/O in it. */
static int come_and_go(char *shared, struct reason *why)
{
	struct client client = { .shared = shared };
	unsigned int times = 0;
	pthread_t thread;
	int ret = 0;

	if (pthread_create(&thread, NULL, transfers, &client))
		die("pthread_create");
	for (; !atomic_load(&client.done) && !ret; times++) {
		ret = reg_buf(dev.server, DISK, 0);
		usleep(1000);
		if (!ret)
			ret = unreg_buf(0);
	}
	pthread_join(thread, NULL);
	if (ret)
		return because(why, "registering or unregistering: %d", ret);
	note("%u times during %u transfers", times, ROUNDS);
	return client.ret ? because(why, "%s", client.why.text) : 0;
}

static int test_io(enum backing backing, struct reason *why)
{
	unsigned int flags = backing == BACKING_HUGETLB_2M ? MFD_HUGETLB | MFD_HUGE_2MB : 0;
	int fd = memfd_create("shared", MFD_CLOEXEC | flags), ret, index;
	struct client client = { };
	unsigned long shared;

	if (fd < 0 || ftruncate(fd, DISK))
		return because(why, "a memfd: %s", strerror(errno));
	client.shared = mmap(NULL, DISK, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
	dev.server = mmap(NULL, DISK, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (client.shared == MAP_FAILED || dev.server == MAP_FAILED)
		die("mmap: %s", strerror(errno));
	atomic_store(&dev.shared, 0);
	ret = device_start(why);
	if (ret)
		return ret;
	index = reg_buf(dev.server, DISK, 0);
	if (index)
		ret = because(why, "registering: %d", index);
	if (!ret) {
		transfers(&client);
		ret = client.ret ? because(why, "%s", client.why.text) : 0;
	}
	shared = atomic_load(&dev.shared);
	if (!ret && shared < 2 * ROUNDS)
		ret = because(why, "%lu requests in shared memory", shared);
	if (!ret && unreg_buf(0))
		ret = because(why, "unregistering");
	if (!ret && unreg_buf(0) != -ENOENT)
		ret = because(why, "unregistering once more");
	if (!ret)
		ret = come_and_go(client.shared, why);
	if (!ret && atomic_load(&dev.failed))
		ret = because(why, "the server failed");
	device_stop();
	munmap(client.shared, DISK);
	munmap(dev.server, DISK);
	return ret;
}

static int test_io_4k(struct reason *why)
{
	return test_io(BACKING_SHMEM_4K, why);
}

static int test_io_2m(struct reason *why)
{
	return test_io(BACKING_HUGETLB_2M, why);
}

/* --- what cannot be had ------------------------------------------------- */

static int expect(int have, int want, const char *what, struct reason *why)
{
	return have == want ? 0 : because(why, "%s: %d, not %d", what, have, want);
}

static int test_bad(struct reason *why)
{
	static const struct layout layout = { .backing = BACKING_THP, .size = 8 * MIB };
	struct memory mem;
	char *page;
	int ret;

	if (memory_map(&mem, &layout, why))
		return -1;
	page = mem.addr + mem.size / 2 + 7 * PAGE;
	ret = expect(reg_buf(mem.addr, mem.size / 2, 0), 0, "registering", why);
	if (!ret)
		ret = expect(reg_buf(mem.addr + PAGE, PAGE, 0), -EEXIST, "once more", why);
	if (!ret)
		ret = expect(reg_buf(mem.addr + mem.size / 2 - PAGE, 2 * PAGE, 0), -EEXIST,
			     "a page once more", why);
	if (!ret)
		ret = expect(reg_buf(mem.addr + mem.size / 2, PAGE, 0), 1, "the page alone", why);
	if (!ret)
		ret = expect(unreg_buf(1), 0, "unregistering", why);
	if (!ret)
		ret = expect(unreg_buf(1), -ENOENT, "what is not there", why);
	mprotect(page, PAGE, PROT_READ);
	if (!ret)
		ret = expect(reg_buf(page, PAGE, 0), -EFAULT, "a page that is read-only", why);
	if (!ret)
		ret = expect(reg_buf(page, PAGE, BUF_READ_ONLY), 1, "the same for reading", why);
	munmap(page, PAGE);
	if (!ret)
		ret = expect(reg_buf(mem.addr + mem.size / 2, mem.size / 2, 0), -EFAULT, "a hole",
			     why);
	memory_unmap(&mem);
	return ret;
}

/* --- waiting for requests ----------------------------------------------- */

#define MEANWHILE_MS	10000

static void *read_page(void *page)
{
	int fd = open_disk();

	atomic_store(&dev.hold, true);
	if (pread(fd, page, PAGE, 0) != PAGE)
		die("reading: %s", strerror(errno));
	close(fd);
	return NULL;
}

/* What waits for the request goes on in the end, and is seen to have waited. */
static void *let_go(void *unused)
{
	(void)unused;
	for (int ms = 0; atomic_load(&dev.hold) && ms < MEANWHILE_MS; ms += 10)
		usleep(10000);
	atomic_store(&dev.hold, false);
	return NULL;
}

/* A child whose call waits, as far as half a second tells; it is one of this device. */
static pid_t call_in_child(unsigned int nr)
{
	int pipes[2];
	char byte;
	pid_t pid;

	fflush(stdout);
	if (pipe(pipes))
		die("pipe: %s", strerror(errno));
	pid = fork();
	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (!pid) {
		control_open();
		close(pipes[1]);
		exit(control(nr, NULL, 0, 0) ? 1 : 0);
	}
	/* The child closes it when it is about to call. */
	close(pipes[1]);
	if (read(pipes[0], &byte, 1) < 0)
		die("read: %s", strerror(errno));
	close(pipes[0]);
	usleep(500000);
	return pid;
}

static int still_waits(pid_t pid, const char *what, struct reason *why)
{
	int status;

	return waitpid(pid, &status, WNOHANG) ? because(why, "%s does not wait", what) : 0;
}

static int can_be_killed(pid_t pid, struct reason *why)
{
	int status;

	kill(pid, SIGKILL);
	if (waitpid(pid, &status, 0) != pid)
		die("waitpid: %s", strerror(errno));
	return atomic_load(&dev.hold) ? 0 : because(why, "who unregisters cannot be killed");
}

/* The server has a request, which only ends when others were done with the device. */
static int while_it_waits(const struct memory *mem, struct reason *why)
{
	pid_t pid = call_in_child(CMD_UNREG_BUF);
	struct reason second;
	int ret = still_waits(pid, "who unregisters", why);

	if (!ret)
		ret = expect(reg_buf(mem->addr + mem->size / 2, PAGE, 0), 1, "registering another",
			     why);
	if (!ret && !atomic_load(&dev.hold))
		ret = because(why, "who registers waits for who unregisters");
	if (can_be_killed(pid, &second) && !ret)
		ret = because(why, "%s", second.text);
	return ret;
}

/* Who stops the device waits for the request, too, and has what both need. */
static int while_it_is_stopped(struct reason *why)
{
	pid_t pid = call_in_child(CMD_UNREG_BUF), stop = call_in_child(UBLK_CMD_STOP_DEV);
	struct reason second;
	int status, ret = still_waits(pid, "who unregisters", why);

	if (!ret)
		ret = still_waits(stop, "who stops the device", why);
	if (can_be_killed(pid, &second) && !ret)
		ret = because(why, "%s", second.text);
	atomic_store(&dev.hold, false);
	if (!ret && waitpid(stop, &status, 0) != stop)
		die("waitpid: %s", strerror(errno));
	return ret;
}

/* The device has a request while that runs. */
static int with_request(char *page, int (*run)(const struct memory *mem, struct reason *why),
			const struct memory *mem, struct reason *why)
{
	pthread_t reader, timer;
	int ret;

	atomic_store(&dev.holding, false);
	if (pthread_create(&reader, NULL, read_page, page))
		die("pthread_create");
	while (!atomic_load(&dev.holding))
		usleep(1000);
	if (pthread_create(&timer, NULL, let_go, NULL))
		die("pthread_create");
	ret = run(mem, why);
	atomic_store(&dev.hold, false);
	pthread_join(timer, NULL);
	pthread_join(reader, NULL);
	return ret;
}

static int nothing(const struct memory *mem, struct reason *why)
{
	(void)mem;
	(void)why;
	return 0;
}

static int stopped(const struct memory *mem, struct reason *why)
{
	(void)mem;
	return while_it_is_stopped(why);
}

static int test_wait(struct reason *why)
{
	static const struct layout layout = { .backing = BACKING_SHMEM_4K, .size = MIB };
	struct memory mem;
	char *other;
	int ret;

	if (memory_map(&mem, &layout, why) || device_start(why))
		return -1;
	other = mem.addr + mem.size - PAGE;
	dev.server = mem.addr;
	ret = expect(reg_buf(mem.addr, mem.size / 2, 0), 0, "registering", why);
	if (!ret)
		ret = with_request(other, while_it_waits, &mem, why);
	/* As if it had not been tried */
	atomic_store(&dev.shared, 0);
	if (!ret)
		ret = with_request(mem.addr, nothing, &mem, why);
	if (!ret)
		ret = expect((int)atomic_load(&dev.shared), 1, "requests in it", why);
	if (!ret)
		ret = expect(unreg_buf(1), 0, "unregistering the other", why);
	if (!ret)
		ret = with_request(other, stopped, &mem, why);
	if (!ret)
		ret = expect(unreg_buf(0), 0, "unregistering what was not", why);
	device_stop();
	memory_unmap(&mem);
	return ret;
}

/* Of this user, who has so many pages charged */
static int expect_charged(struct charge_probe *probe, long pages, const char *when,
			  struct reason *why)
{
	struct reason inner;

	return charge_probe_check(probe, pages, &inner) ?
	       because(why, "%s: %.200s", when, inner.text) : 0;
}

static int limit_steps(struct charge_probe *probe, const struct memory *mem, struct reason *why)
{
	const unsigned long limit = 1024;
	int ret;

	charge_set_limit(limit);
	ret = expect(reg_buf(mem->addr, (limit + 1) * PAGE, 0), -ENOMEM, "a page too much", why);
	if (!ret)
		ret = expect(reg_buf(mem->addr, limit * PAGE, 0), 0, "the limit", why);
	if (!ret)
		ret = expect_charged(probe, (long)limit, "registered", why);
	if (!ret)
		ret = expect(reg_buf(mem->addr + limit * PAGE, PAGE, 0), -ENOMEM, "one more", why);
	if (!ret)
		ret = expect(unreg_buf(0), 0, "unregistering", why);
	if (!ret)
		ret = expect_charged(probe, 0, "unregistered", why);
	if (!ret)
		ret = expect(reg_buf(mem->addr + limit * PAGE, 7 * PAGE, 0), 0, "another", why);
	return ret ? ret : expect_charged(probe, 7, "another", why);
}

/* A device of a user without privileges; what it still has goes with it. */
static int limit_child(struct reason *why)
{
	static const struct layout layout = { .backing = BACKING_SHMEM_4K, .size = 8 * MIB };
	struct charge_probe probe;
	struct memory mem;
	char node[32];
	int ret;

	if (memory_map(&mem, &layout, why))
		return -1;
	become_user(USER);
	if (charge_probe_init(&probe, why) || device_add(F_UNPRIVILEGED, why))
		return -1;
	/* The parent makes the node ours. */
	snprintf(node, sizeof(node), "/dev/ublkc%u", dev.id);
	while (access(node, R_OK | W_OK))
		usleep(10000);
	ret = limit_steps(&probe, &mem, why);
	if (!ret)
		ret = device_remove(why);
	usleep(200000);
	return ret ? ret : expect_charged(&probe, 0, "no device", why);
}

static int test_limit(struct reason *why)
{
	int status;
	pid_t pid;

	if (chmod("/dev/ublk-control", 0666))
		return because(why, "chmod: %s", strerror(errno));
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (!pid) {
		if (!limit_child(why))
			exit(0);
		printf("     %s\n", why->text);
		fflush(stdout);
		exit(1);
	}
	/* As udev's rule for such devices does; there is no other one here. */
	while (!waitpid(pid, &status, WNOHANG)) {
		chmod("/dev/ublkc0", 0666);
		usleep(10000);
	}
	return status ? because(why, "see above") : 0;
}

static int fault_call(void *mem)
{
	const struct memory *m = mem;

	return reg_buf(m->addr, m->size, 0);
}

static void fault_after(void *unused, int result)
{
	(void)unused;
	if (result >= 0 && unreg_buf(result))
		die("a buffer that was registered is not there");
}

static int test_faults(struct reason *why)
{
	static const struct layout layouts[] = {
		{ .backing = BACKING_SHMEM_4K, .size = 4 * MIB },
		{ .backing = BACKING_THP, .size = 8 * MIB },
	};
	int ret = 0;

	fail_objects_of_children(false);
	for (size_t i = 0; !ret && i < ARRAY_SIZE(layouts); i++) {
		struct memory mem;
		const struct fail_each each = { .call = fault_call, .after = fault_after, .arg = &mem,
						.worker = true };

		if (memory_map(&mem, &layouts[i], why))
			return -1;
		ret = fail_each(i ? "THP" : "single pages", &each, why);
		memory_unmap(&mem);
	}
	return ret;
}

static const struct test {
	const char *name;
	int (*run)(struct reason *why);
	bool own_device, not_before;	/* not before the patch that pins runs */
} tests[] = {
	{ "I/O in single pages", test_io_4k, false, false },
	{ "I/O in 2M pages", test_io_2m, false, false },
	{ "bad memory", test_bad, false, false },
	{ "waiting for requests", test_wait, false, true },
	{ "the limit of an unprivileged device", test_limit, true, false },
};

static int run_one(const struct test *test, struct reason *why)
{
	struct vmstat start;
	int ret = 0;

	vmstat_start(&start);
	if (!test->own_device)
		ret = device_add(0, why);
	if (!ret)
		ret = test->run(why);
	if (!test->own_device && ret <= 0) {
		struct reason second;

		if (device_remove(&second) && !ret)
			ret = because(why, "%s", second.text);
	}
	return ret ? ret : vmstat_balanced(&start, why);
}

static int run_faults(void)
{
	static const struct test test = { "what fails", test_faults, false, false };
	struct reason why;
	int ret;

	/* The worker that adds the device does the rest, too. */
	if (fail_nth_open(&why))
		die("%s", why.text);
	fail_objects_of_children(true);
	ret = run_one(&test, &why);
	if (ret > 0) {
		printf("%s\n", why.text);
		return SKIPPED;
	}
	bench_tell(test.name, ret, &why);
	return bench_end();
}

static int run_tests(bool before)
{
	for (size_t i = 0; i < ARRAY_SIZE(tests); i++) {
		struct reason why;
		int ret;

		if (tests[i].not_before && before) {
			printf("SKIP %s: not before memory is pinned as runs\n", tests[i].name);
			bench.skipped++;
			continue;
		}
		ret = run_one(&tests[i], &why);
		if (ret > 0) {
			printf("%s\n", why.text);
			return SKIPPED;
		}
		bench_tell(tests[i].name, ret, &why);
	}
	return bench_end();
}

/* --- what it takes ------------------------------------------------------ */

static const struct {
	const char *name;
	struct layout layout;
} benches[] = {
	{ "ublk/page", { .backing = BACKING_4K, .size = PAGE } },
	{ "ublk/2m", { .backing = BACKING_HUGETLB_2M, .size = GIB } },
	{ "ublk/thp", { .backing = BACKING_THP, .size = GIB } },
	{ "ublk/4k", { .backing = BACKING_4K, .size = GIB } },
};

/* Both wait for RCU: of the time that passes, what this process and its workers run */
static uint64_t ran_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void measure(const char *name, const struct memory *mem, bool tell_frozen)
{
	uint64_t both = UINT64_MAX, frozen = 0, start, end;

	/* One more for the events, which take some instructions of their own. */
	for (int i = 0; i < TIMES + tell_frozen; i++) {
		int index;

		settle();
		start = ran_ns();
		index = reg_buf(mem->addr, mem->size, 0);
		if (index < 0)
			die("%s: %s", name, strerror(-index));
		if (i == TIMES)
			func_time_start();
		if (unreg_buf(index))
			die("%s: not unregistered", name);
		end = ran_ns();
		if (i == TIMES)
			frozen = func_time_stop();
		else if (end - start < both)
			both = end - start;
	}
	printf("%s register and unregister %llu", name, (unsigned long long)(both >> bench.icount));
	if (tell_frozen)
		printf(", frozen for %llu", (unsigned long long)(frozen >> bench.icount));
	printf("\n");
	if (!bench.json)
		return;
	fprintf(bench.json, "{\"type\": \"users\", \"name\": \"%s\", \"result\": \"ok\", "
		"\"both_insn\": %llu", name, (unsigned long long)(both >> bench.icount));
	if (tell_frozen)
		fprintf(bench.json, ", \"frozen_insn\": %llu", (unsigned long long)(frozen >> bench.icount));
	fprintf(bench.json, "}\n");
}

static int run_benches(void)
{
	bool tell_frozen;
	struct reason why;

	tell_frozen = !func_time_open("percpu_ref_kill_and_confirm", "percpu_ref_resurrect", &why);
	if (!tell_frozen)
		note("how long the queue is frozen is not measured: %s", why.text);
	if (device_add(0, &why) || device_start(&why))
		die("%s", why.text);
	for (size_t i = 0; i < ARRAY_SIZE(benches); i++) {
		struct memory mem;

		if (memory_map(&mem, &benches[i].layout, &why))
			die("%s: %s", benches[i].name, why.text);
		measure(benches[i].name, &mem, tell_frozen);
		memory_unmap(&mem);
		bench.passed++;
	}
	device_stop();
	if (device_remove(&why))
		die("%s", why.text);
	return bench_end();
}

int main(int argc, char **argv)
{
	static bool faults, before;
	static const struct bench_option options[] = {
		{ "faults", NULL, "objects are not to be had", .flag = &faults },
		{ "before", NULL, "a kernel that does not pin runs", .flag = &before },
		{ }
	};

	bench_options(argc, argv, NULL, options);
	bench_unlimit();
	if (faults)
		bench_measures_nothing();
	return bench.icount >= 0 ? run_benches() : faults ? run_faults() : run_tests(before);
}
