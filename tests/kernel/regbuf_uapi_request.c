// SPDX-License-Identifier: GPL-2.0
/*
 * IORING_OP_BUFFERS_UPDATE: what IORING_REGISTER_BUFFERS_UPDATE does, as a request, on all kinds of
 * rings; linked, cancelled, and left behind by a ring or a process that ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "held.h"
#include "pattern.h"
#include "regbuf_uapi.h"
#include "vmstat.h"

#define PAGE		(4 * KIB)
#define LEN		(16 * PAGE)
#define SLOTS		4
#define SOON_USEC	2000000

typedef struct io_uring_regbuf_desc desc_t;

static desc_t uaddr(const void *addr, size_t size)
{
	return (desc_t){ .type = IO_REGBUF_TYPE_UADDR, .size = size, .uaddr = (uintptr_t)addr };
}

static struct io_uring_sqe *update(struct io_uring *ring, const desc_t *descs, unsigned int nr,
				   unsigned int offset, const __u64 *tags)
{
	struct io_uring_sqe *sqe = uapi_sqe(ring, IORING_OP_BUFFERS_UPDATE, -1, descs, nr, 0);

	sqe->off = offset;
	sqe->addr3 = (uintptr_t)tags;
	return sqe;
}

static void ring_of(struct io_uring *ring, unsigned int flags)
{
	EXPECT(io_uring_queue_init(32, ring, flags), 0);
	EXPECT(uapi_buffers(ring, NULL, SLOTS, IORING_RSRC_REGISTER_SPARSE), 0);
}

static char *memory(void)
{
	char *mem = uapi_map(LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	pattern_fill(mem, LEN, 0, 1);
	return mem;
}

/* The completion of @user_data, whatever comes before it. To wait on IOPOLL rings is to ask again. */
static int result_of(struct io_uring *ring, __u64 user_data)
{
	struct __kernel_timespec ts = { .tv_nsec = 1000000 };
	struct io_uring_cqe *cqe;
	int res, tries = 0;
	__u64 who;

	do {
		while (io_uring_wait_cqe_timeout(ring, &cqe, &ts)) {
			EXPECT_TRUE(++tries < 60000);
			usleep(1000);
		}
		who = cqe->user_data;
		res = cqe->res;
		io_uring_cqe_seen(ring, cqe);
	} while (who != user_data);
	return res;
}

static void expect_tag(struct io_uring *ring, __u64 tag)
{
	struct io_uring_cqe *cqe;

	EXPECT(io_uring_wait_cqe(ring, &cqe), 0);
	EXPECT(cqe->user_data, tag);
	EXPECT(cqe->res, 0);
	io_uring_cqe_seen(ring, cqe);
}

/* With a thread that submits, what it has taken just now may be counted again. */
static void submit_one(struct io_uring *ring, unsigned int flags)
{
	int ret = io_uring_submit(ring);

	EXPECT_TRUE(flags & IORING_SETUP_SQPOLL ? ret >= 1 : ret == 1);
}

/*
 * Into the table, out of it with tags, and the descriptors may go as soon as it is submitted. @io:
 * the ring can do ordinary requests.
 */
static void on_ring(unsigned int flags, bool io)
{
	char *mem = memory();
	desc_t d[2] = { uaddr(mem, PAGE), uaddr(mem + PAGE, 2 * PAGE) };
	__u64 tags[2] = { 71, 72 };
	struct io_uring ring;

	ring_of(&ring, flags);
	d[1].flags = IO_REGBUF_READ_ONLY;
	update(&ring, d, 2, 1, tags)->user_data = 1;
	submit_one(&ring, flags);
	/* Not so with a thread that submits, until it has. */
	if (!(flags & IORING_SETUP_SQPOLL)) {
		memset(d, 0xff, sizeof(d));
		memset(tags, 0xff, sizeof(tags));
	}
	EXPECT(result_of(&ring, 1), 2);
	if (io) {
		uapi_expect_content(&ring, 1, mem, PAGE, mem);
		uapi_expect_content(&ring, 2, mem + PAGE, 2 * PAGE, mem + PAGE);
		uapi_sqe(&ring, IORING_OP_READ_FIXED, 0, mem + PAGE, 1, 2);
		EXPECT(uapi_run(&ring), -EFAULT);
	}
	memset(d, 0, sizeof(d));
	update(&ring, d, 2, 1, NULL)->user_data = 2;
	submit_one(&ring, flags);
	expect_tag(&ring, 71);
	expect_tag(&ring, 72);
	EXPECT(result_of(&ring, 2), 2);
	io_uring_queue_exit(&ring);
}

static void plain(void)
{
	on_ring(0, true);
}

static void sqpoll(void)
{
	on_ring(IORING_SETUP_SQPOLL, true);
}

static void iopoll(void)
{
	on_ring(IORING_SETUP_IOPOLL, false);
}

static void single_issuer(void)
{
	on_ring(IORING_SETUP_SINGLE_ISSUER, true);
}

static void defer_taskrun(void)
{
	on_ring(IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, true);
}

static void probed(void)
{
	struct io_uring_probe *probe;
	struct io_uring ring;

	uapi_ring(&ring);
	probe = io_uring_get_probe_ring(&ring);
	EXPECT_TRUE(probe);
	EXPECT_TRUE(io_uring_opcode_supported(probe, IORING_OP_BUFFERS_UPDATE));
	free(probe);
}

static int run_update(struct io_uring *ring, const desc_t *d, unsigned int nr, unsigned int offset,
		      const __u64 *tags)
{
	update(ring, d, nr, offset, tags);
	return uapi_run(ring);
}

/* Every field at wrong values; results are those of the register call. */
static void fields(void)
{
	char *mem = memory(), *bad = uapi_map(PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	desc_t d[3] = { uaddr(mem, PAGE), uaddr(bad, PAGE), uaddr(mem, PAGE) };
	__u64 tags[3] = { 0, 0, 9 };
	struct io_uring_sqe *sqe;
	struct io_uring ring, none;

	uapi_ring(&none);
	EXPECT(run_update(&none, d, 1, 0, NULL), -ENXIO);
	ring_of(&ring, 0);
	EXPECT(run_update(&ring, NULL, 1, 0, NULL), -EFAULT);
	EXPECT(run_update(&ring, (desc_t *)bad, 1, 0, NULL), -EFAULT);
	EXPECT(run_update(&ring, d, 1, 0, (__u64 *)bad), -EFAULT);
	EXPECT(run_update(&ring, d, 0, 0, NULL), -EINVAL);
	EXPECT(run_update(&ring, d, 1, SLOTS, NULL), -EINVAL);
	EXPECT(run_update(&ring, d, 2, SLOTS - 1, NULL), -EINVAL);
	EXPECT(run_update(&ring, d, 16385, 0, NULL), -EINVAL);
	EXPECT(run_update(&ring, d, 1, UINT32_MAX, NULL), -EOVERFLOW);
	update(&ring, d, 1, 0, NULL)->off = 1ULL << 32;
	EXPECT(uapi_run(&ring), -EINVAL);
	for (unsigned int bit = 0; bit < 32; bit++) {
		update(&ring, d, 1, 0, NULL)->rw_flags = 1 << bit;
		EXPECT(uapi_run(&ring), -EINVAL);
		update(&ring, d, 1, 0, NULL)->splice_fd_in = 1 << bit;
		EXPECT(uapi_run(&ring), -EINVAL);
	}
	update(&ring, d, 1, 0, NULL)->buf_index = 1;
	EXPECT(uapi_run(&ring), -EINVAL);
	update(&ring, d, 1, 0, NULL)->ioprio = 1;
	EXPECT(uapi_run(&ring), -EINVAL);
	sqe = update(&ring, d, 1, 0, NULL);
	sqe->__pad2[0] = 1;
	EXPECT(uapi_run(&ring), -EINVAL);
	sqe = update(&ring, d, 1, 0, NULL);
	sqe->flags = IOSQE_BUFFER_SELECT;
	EXPECT(uapi_run(&ring), -EOPNOTSUPP);
	sqe = update(&ring, d, 1, 0, NULL);
	sqe->flags = IOSQE_FIXED_FILE;
	EXPECT(uapi_run(&ring), -EINVAL);

	/* As far as it goes, and why not further */
	EXPECT(run_update(&ring, d, 3, 0, tags), 1);
	EXPECT(run_update(&ring, d + 1, 2, 1, tags + 1), -EFAULT);
	d[1] = (desc_t){ };
	tags[1] = 1;
	EXPECT(run_update(&ring, d, 3, 0, tags), 1);
	EXPECT(run_update(&ring, d + 1, 2, 1, tags + 1), -EINVAL);
	tags[1] = 0;
	EXPECT(run_update(&ring, d, 3, 0, tags), 3);
	uapi_expect_content(&ring, 2, mem, PAGE, mem);
}

/* What is linked finds the new buffers; and is not done when one of them is missing. */
static void linked(void)
{
	char *mem = memory(), *bad = uapi_map(PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	desc_t d[2] = { uaddr(mem, PAGE), uaddr(mem + PAGE, PAGE) }, none = { };
	struct io_uring_sqe *sqe;
	struct io_uring ring;
	char got[PAGE];
	int fds[2];

	EXPECT(pipe(fds), 0);
	ring_of(&ring, 0);
	for (int broken = 0; broken < 2; broken++) {
		if (broken)
			d[1].uaddr = (uintptr_t)bad;
		sqe = update(&ring, d, 2, 0, NULL);
		sqe->flags = IOSQE_IO_LINK;
		sqe->user_data = 1;
		sqe = uapi_sqe(&ring, IORING_OP_WRITE_FIXED, fds[1], mem, PAGE, 0);
		sqe->flags = IOSQE_IO_LINK;
		sqe->user_data = 2;
		update(&ring, &none, 1, 0, NULL)->user_data = 3;
		EXPECT(io_uring_submit(&ring), 3);
		EXPECT(result_of(&ring, 1), broken ? 1 : 2);
		EXPECT(result_of(&ring, 2), broken ? -ECANCELED : (int)PAGE);
		EXPECT(result_of(&ring, 3), broken ? -ECANCELED : 1);
		if (!broken) {
			EXPECT(read(fds[0], got, PAGE), PAGE);
			EXPECT(memcmp(got, mem, PAGE), 0);
			uapi_sqe(&ring, IORING_OP_WRITE_FIXED, fds[1], mem, 1, 0);
			EXPECT(uapi_run(&ring), -EFAULT);
		}
	}
}

/* A file is the one that it was when the request was submitted, whoever has its number later. */
static void files(void)
{
	char *mem = memory();
	int fd = memfd_create("first", MFD_CLOEXEC), other, fds[2];
	desc_t d = { .type = IO_REGBUF_TYPE_MEMFD, .memfd = fd, .size = LEN };
	struct io_uring_sqe *sqe;
	struct io_uring ring;
	char c;

	EXPECT(write(fd, mem, LEN), LEN);
	EXPECT(pipe(fds), 0);
	ring_of(&ring, 0);
	sqe = uapi_sqe(&ring, IORING_OP_READ, fds[0], &c, 1, 0);
	sqe->flags = IOSQE_IO_LINK;
	sqe->user_data = 1;
	update(&ring, &d, 1, 0, NULL)->user_data = 2;
	EXPECT(io_uring_submit(&ring), 2);
	close(fd);
	other = memfd_create("second", MFD_CLOEXEC);
	EXPECT(other, fd);
	EXPECT(ftruncate(other, LEN), 0);
	EXPECT(write(fds[1], "", 1), 1);
	EXPECT(result_of(&ring, 1), 1);
	EXPECT(result_of(&ring, 2), 1);
	uapi_expect_content(&ring, 0, NULL, LEN, mem);
	/* One that was none then */
	d.memfd = 999;
	EXPECT(run_update(&ring, &d, 1, 0, NULL), -EBADF);
}

/*
 * A registration that cannot go on: its last page is held back, see held.h. @before, or NULL, is the
 * buffer of another entry before it.
 */
static void start_held(struct io_uring *ring, struct held *held, const desc_t *before,
		       __u64 user_data)
{
	desc_t d[2];
	unsigned int nr = 0;

	held_map(held, 4 * MIB + PAGE, true);
	if (before)
		d[nr++] = *before;
	d[nr++] = uaddr(held->addr, held->size);
	update(ring, d, nr, 0, NULL)->user_data = user_data;
	EXPECT(io_uring_submit(ring), 1);
	for (unsigned int usec = 0; !held_reached(held, 0); usec += 1000) {
		EXPECT_TRUE(usec < 10 * SOON_USEC);
		usleep(1000);
	}
}

static void cancel(struct io_uring *ring, __u64 target, __u64 user_data)
{
	struct io_uring_sqe *sqe = uapi_sqe(ring, IORING_OP_ASYNC_CANCEL, -1, (void *)target, 0, 0);

	sqe->user_data = user_data;
	EXPECT(io_uring_submit(ring), 1);
}

static uint64_t now_usec(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* One that waits for a page, and one that waits for the first one to end */
static void cancelled(void)
{
	char *mem = memory();
	desc_t d = uaddr(mem, PAGE);
	struct vmstat before;
	struct io_uring ring;
	struct reason why;
	struct held held;
	uint64_t start;
	int ret;

	ring_of(&ring, 0);
	vmstat_start(&before);
	start_held(&ring, &held, NULL, 1);
	update(&ring, &d, 1, 1, NULL)->user_data = 2;
	EXPECT(io_uring_submit(&ring), 1);
	/* Others do not wait for it. */
	uapi_sqe(&ring, IORING_OP_NOP, -1, NULL, 0, 0)->user_data = 3;
	EXPECT(io_uring_submit(&ring), 1);
	EXPECT(result_of(&ring, 3), 0);
	usleep(100000);

	start = now_usec();
	cancel(&ring, 2, 4);
	ret = result_of(&ring, 2);
	EXPECT(ret, -ECANCELED);
	cancel(&ring, 1, 5);
	EXPECT(result_of(&ring, 1), -ECANCELED);
	EXPECT_TRUE(now_usec() - start < SOON_USEC);
	if (vmstat_balanced(&before, &why))
		fail("%s", why.text);
	held_give(&held, NULL);
	/* The lock is free, and the table as it was. */
	EXPECT(run_update(&ring, &d, 1, 1, NULL), 1);
	uapi_sqe(&ring, IORING_OP_WRITE_FIXED, 1, held.addr, 1, 0);
	EXPECT(uapi_run(&ring), -EFAULT);
	io_uring_queue_exit(&ring);
	held_unmap(&held);
}

/* A stopped process goes on where it was; the signal is not for the request. */
static void stopped(void)
{
	char *mem = memory();
	desc_t d = uaddr(mem, PAGE);
	int status, fds[2];
	pid_t pid;
	char c;

	EXPECT(pipe(fds), 0);
	pid = fork();
	if (!pid) {
		struct io_uring ring;
		struct held held;

		ring_of(&ring, 0);
		start_held(&ring, &held, &d, 1);
		EXPECT(write(fds[1], "", 1), 1);
		usleep(300000);
		/* What was done before is not told to be all. */
		uapi_sqe(&ring, IORING_OP_WRITE_FIXED, fds[1], mem, 1, 0);
		EXPECT(uapi_run(&ring), -EFAULT);
		held_give(&held, NULL);
		EXPECT(result_of(&ring, 1), 2);
		uapi_expect_content(&ring, 0, mem, PAGE, mem);
		uapi_expect_content(&ring, 1, held.addr, PAGE, held.addr);
		exit(0);
	}
	EXPECT(read(fds[0], &c, 1), 1);
	for (int i = 0; i < 5; i++) {
		EXPECT(kill(pid, SIGSTOP), 0);
		usleep(20000);
		EXPECT(kill(pid, SIGCONT), 0);
		usleep(20000);
	}
	EXPECT(waitpid(pid, &status, 0), pid);
	EXPECT(status, 0);
	munmap(mem, LEN);
}

/* The ring, or the process, ends: soon, and with nothing left. */
static void ends(bool killed)
{
	struct vmstat before;
	struct reason why;
	uint64_t start;
	int status, fds[2];
	pid_t pid;
	char c;

	vmstat_start(&before);
	EXPECT(pipe(fds), 0);
	pid = fork();
	if (!pid) {
		struct io_uring ring;
		struct held held;

		ring_of(&ring, 0);
		start_held(&ring, &held, NULL, 1);
		EXPECT(write(fds[1], "", 1), 1);
		if (killed)
			pause();
		io_uring_queue_exit(&ring);
		/* Its page is still held back. */
		exit(0);
	}
	EXPECT(read(fds[0], &c, 1), 1);
	start = now_usec();
	if (killed)
		EXPECT(kill(pid, SIGKILL), 0);
	EXPECT(waitpid(pid, &status, 0), pid);
	EXPECT(killed ? WTERMSIG(status) : status, killed ? SIGKILL : 0);
	EXPECT_TRUE(now_usec() - start < SOON_USEC);
	if (vmstat_balanced(&before, &why))
		fail("%s", why.text);
}

static void ring_ends(void)
{
	ends(false);
}

static void task_killed(void)
{
	ends(true);
}

/* @desc as an update that waits for an event that does not come */
static void start_waiting(struct io_uring *ring, const desc_t *desc)
{
	struct io_uring_sqe *sqe = uapi_sqe(ring, IORING_OP_POLL_ADD, eventfd(0, EFD_CLOEXEC), NULL, 0, 0);

	sqe->poll32_events = POLLIN;
	sqe->flags = IOSQE_IO_LINK;
	update(ring, desc, 1, 1, NULL);
	EXPECT(io_uring_submit(ring), 2);
}

/*
 * A request that waits keeps open what it will pin, and no other file: not its own ring, which would
 * be there for ever when the process has gone, with all that is registered.
 */
static void holds(void)
{
	char *mem = memory(), c;
	desc_t d = { .type = IO_REGBUF_TYPE_MEMFD, .size = PAGE }, buffer = uaddr(mem, LEN);
	struct vmstat before;
	struct io_uring ring;
	struct reason why;
	int status, fds[2];
	pid_t pid;

	ring_of(&ring, 0);
	d.memfd = ring.ring_fd;
	EXPECT(run_update(&ring, &d, 1, 0, NULL), -EINVAL);
	EXPECT(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
	d.memfd = fds[1];
	start_waiting(&ring, &d);
	close(fds[1]);
	EXPECT(read(fds[0], &c, 1), 0);
	io_uring_queue_exit(&ring);

	vmstat_start(&before);
	pid = fork();
	if (!pid) {
		ring_of(&ring, 0);
		EXPECT(run_update(&ring, &buffer, 1, 0, NULL), 1);
		d.memfd = ring.ring_fd;
		start_waiting(&ring, &d);
		exit(0);
	}
	EXPECT(waitpid(pid, &status, 0), pid);
	EXPECT(status, 0);
	if (vmstat_balanced(&before, &why))
		fail("%s", why.text);
}

/* With the credentials of somebody else, who has to be known to the ring */
static void personality(void)
{
	char *mem = memory();
	desc_t d = uaddr(mem, PAGE);
	struct io_uring ring;
	int id;

	ring_of(&ring, 0);
	id = io_uring_register_personality(&ring);
	EXPECT_TRUE(id > 0);
	update(&ring, &d, 1, 0, NULL)->personality = id;
	EXPECT(uapi_run(&ring), 1);
	uapi_expect_content(&ring, 0, mem, PAGE, mem);
	update(&ring, &d, 1, 1, NULL)->personality = id + 1;
	EXPECT(uapi_run(&ring), -EINVAL);
	io_uring_queue_exit(&ring);
}

static void restricted_to(struct io_uring *ring, struct io_uring_restriction *r)
{
	EXPECT(io_uring_queue_init(32, ring, IORING_SETUP_R_DISABLED), 0);
	EXPECT(uapi_buffers(ring, NULL, SLOTS, IORING_RSRC_REGISTER_SPARSE), 0);
	EXPECT(uapi_register(ring->ring_fd, IORING_REGISTER_RESTRICTIONS, r, 1), 0);
	EXPECT(uapi_register(ring->ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0), 0);
}

/* It is a request to who restricts requests, and not a call to who restricts calls. */
static void restricted(void)
{
	struct io_uring_restriction
		one_request = { .opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_NOP },
		one_call = { .opcode = IORING_RESTRICTION_REGISTER_OP,
			     .register_op = IORING_REGISTER_PROBE };
	char *mem = memory();
	desc_t d = uaddr(mem, PAGE);
	struct io_uring ring;

	restricted_to(&ring, &one_request);
	EXPECT(run_update(&ring, &d, 1, 0, NULL), -EACCES);
	io_uring_queue_exit(&ring);

	one_request.sqe_op = IORING_OP_BUFFERS_UPDATE;
	restricted_to(&ring, &one_request);
	EXPECT(run_update(&ring, &d, 1, 0, NULL), 1);
	io_uring_queue_exit(&ring);

	restricted_to(&ring, &one_call);
	EXPECT(uapi_update_descs(&ring, 0, &d, 1), -EACCES);
	EXPECT(run_update(&ring, &d, 1, 0, NULL), 1);
	io_uring_queue_exit(&ring);
}

const struct uapi_case request_cases[] = {
	{ "request_plain", plain, false },
	{ "request_sqpoll", sqpoll, false },
	{ "request_iopoll", iopoll, false },
	{ "request_single_issuer", single_issuer, false },
	{ "request_defer_taskrun", defer_taskrun, false },
	{ "request_probed", probed, false },
	{ "request_fields", fields, false },
	{ "request_linked", linked, false },
	{ "request_files", files, false },
	{ "request_cancelled", cancelled, false },
	{ "request_stopped", stopped, false },
	{ "request_ring_ends", ring_ends, false },
	{ "request_task_killed", task_killed, false },
	{ "request_holds", holds, false },
	{ "request_personality", personality, false },
	{ "request_restricted", restricted, false },
	{ }
};
