// SPDX-License-Identifier: GPL-2.0
/*
 * Processes that do operations. The first one tells the others what to do and waits for them, so
 * that all is done in one order.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuzz.h"

/* Orders besides the numbers of operations */
#define ORDER_EXIT	-1
#define ORDER_END	-2		/* compare all before */

const char * const op_names[OP_KINDS] = {
	[OP_MMAP] = "mmap", [OP_MUNMAP] = "munmap", [OP_MREMAP] = "mremap",
	[OP_MPROTECT] = "mprotect", [OP_HUGEPAGE] = "hugepage", [OP_NOHUGEPAGE] = "nohugepage",
	[OP_DONTNEED] = "dontneed", [OP_COLLAPSE] = "collapse", [OP_COLD] = "cold",
	[OP_PAGEOUT] = "pageout", [OP_PUNCH] = "punch", [OP_TRUNCATE] = "truncate",
	[OP_WRITE] = "write", [OP_STAMP] = "stamp",
	[OP_FORK] = "fork", [OP_EXIT] = "exit", [OP_KILL] = "kill", [OP_REGISTER] = "register",
	[OP_UPDATE] = "update", [OP_CLONE] = "clone", [OP_UNREGISTER] = "unregister",
	[OP_CLOSE] = "close", [OP_REQUEST] = "request", [OP_REQUEST_LINK] = "request-link",
	[OP_REQUEST_CANCEL] = "request-cancel", [OP_REQUEST_CLOSE] = "request-close", [OP_RACE] = "race", [OP_READ_FIXED] = "read-fixed",
	[OP_WRITE_FIXED] = "write-fixed", [OP_READV_FIXED] = "readv-fixed",
	[OP_WRITEV_FIXED] = "writev-fixed", [OP_START_READ] = "start-read",
	[OP_END_READ] = "end-read", [OP_SEND_ZC] = "send-zc", [OP_SENDMSG_ZC] = "sendmsg-zc",
};

/* --- one operation ---------------------------------------------------------------- */

static int do_op(struct world *world, unsigned int step, struct op *op, struct reason *why)
{
	struct shared *shared = world->shared;
	struct reason inner;
	int ret;

	shared->step = step;
	if (op->kind == OP_FORK || op->kind == OP_EXIT || op->kind == OP_KILL)
		ret = process_op(world, op, &inner);
	else if (op->kind == OP_RACE)
		ret = race_op(world, op, &inner);
	else if (op->kind <= OP_STAMP)
		ret = memory_op(world, op, &inner);
	else if (op->kind < OP_RACE)
		ret = ring_op(world, op, &inner);
	else
		ret = io_op(world, op, &inner);
	shared->stats.done[op->kind] += ret == DONE;
	shared->stats.idle[op->kind] += ret == IDLE;
	if (ret >= 0)
		ret = charge_check(world, &inner);
	if (ret >= 0)
		ret = pages_check_some(world, op, 6, &inner);
	if (ret < 0)
		return because(why, "step %u, %s: %s", step, op_names[op->kind], inner.text);
	return 0;
}

static int end_process(struct world *world, struct reason *why)
{
	struct reason inner;

	if (buffers_check_all(world, &inner) || pages_check_all(world, &inner))
		return because(why, "in the end, process %u: %s", world->self, inner.text);
	for (unsigned int r = 0; r < RINGS; r++)
		ring_close(world, &world->rings[r]);
	if (charge_check(world, &inner))
		return because(why, "in the end, process %u: %s", world->self, inner.text);
	return 0;
}

/* --- other processes --------------------------------------------------------------- */

static void __attribute__((noreturn)) actor_run(struct world *world, int orders, int answers)
{
	struct shared *shared = world->shared;
	char answer = 0;
	int order;

	if (write(answers, &answer, 1) != 1)
		_exit(1);
	while (read(orders, &order, sizeof(order)) == sizeof(order)) {
		struct op op;
		int ret;

		if (order == ORDER_EXIT)
			_exit(0);
		if (order == ORDER_END) {
			ret = end_process(world, &shared->why);
		} else {
			op_make(&op, world->seed, (unsigned int)order);
			ret = do_op(world, (unsigned int)order, &op, &shared->why);
		}
		if (ret)
			shared->failed = true;
		if (write(answers, &answer, 1) != 1)
			break;
	}
	_exit(0);
}

/* What is the child's own, and what it does not have from its parent */
static void become_actor(struct world *world, unsigned int self)
{
	struct reason why;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* Also the mappings of a ring keep it. */
	for (unsigned int r = 0; r < RINGS; r++)
		if (world->rings[r].open)
			io_uring_queue_exit(&world->rings[r].uring);
	world->self = self;
	memset(world->actors, 0, sizeof(world->actors));
	world->connected = false;
	charge_probe_exit(&world->probe);
	folios_close(&world->source);
	if (folios_open(&world->source, &why) || charge_probe_init(&world->probe, &why))
		die("%s", why.text);
	rings_init(world);
	pages_forked(world);
}

/* What @actor says, or that it is gone */
static int await(struct world *world, unsigned int n, struct reason *why)
{
	struct actor *actor = &world->actors[n];
	int status = 0;
	char answer;

	if (read(actor->answers, &answer, 1) == 1)
		return world->shared->failed ? -1 : 0;
	waitpid(actor->pid, &status, 0);
	if (WIFSIGNALED(status))
		return because(why, "step %u: process %u: %s", world->shared->step, n,
			       strsignal(WTERMSIG(status)));
	return because(why, "step %u: process %u ended", world->shared->step, n);
}

static int tell(struct world *world, unsigned int n, int order, struct reason *why)
{
	if (write(world->actors[n].orders, &order, sizeof(order)) != sizeof(order))
		return because(why, "process %u: %s", n, strerror(errno));
	return order == ORDER_EXIT ? 0 : await(world, n, why);
}

static int do_fork(struct world *world, struct reason *why)
{
	unsigned int n = 1;
	int orders[2], answers[2];
	struct actor *actor;

	while (n < PROCS && world->actors[n].pid)
		n++;
	if (n == PROCS)
		return IDLE;
	fuzz_log(world, "process %u", n);
	actor = &world->actors[n];
	if (pipe(orders) || pipe(answers))
		die("pipe: %s", strerror(errno));
	actor->pid = fork();
	if (actor->pid < 0)
		die("fork: %s", strerror(errno));
	if (!actor->pid) {
		close(orders[1]);
		close(answers[0]);
		become_actor(world, n);
		actor_run(world, orders[0], answers[1]);
	}
	close(orders[0]);
	close(answers[1]);
	actor->orders = orders[1];
	actor->answers = answers[0];
	return await(world, n, why);
}

/* Its rings end with it. */
static int bury(struct world *world, unsigned int n, struct reason *why)
{
	struct actor *actor = &world->actors[n];
	int status;

	waitpid(actor->pid, &status, 0);
	close(actor->orders);
	close(actor->answers);
	actor->pid = 0;
	world->shared->charged[n] = 0;
	if (status)
		return because(why, "process %u ended with status %#x", n, status);
	return user_check(world, why);
}

static int do_exit(struct world *world, struct op *op, struct reason *why)
{
	unsigned int n = 1 + op_below(op, PROCS - 1);

	if (!world->actors[n].pid)
		return IDLE;
	fuzz_log(world, "process %u", n);
	return tell(world, n, ORDER_EXIT, why) || bury(world, n, why) ? -1 : DONE;
}

/* --- one that is killed ------------------------------------------------------------- */

static void update_by_request(struct fuzz_ring *ring, struct iovec iov, bool read_only)
{
	struct uring_desc desc = entry_of(iov, read_only).desc;
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);

	if (!sqe)
		_exit(1);
	uring_prep_update(sqe, 0, &desc, 1);
	uring_one(&ring->uring);
}

static void __attribute__((noreturn)) register_for_ever(struct world *world, struct op *op)
{
	bool by_request = op_percent(op, 40);
	struct fuzz_ring ring;
	struct range range;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (io_uring_queue_init(4, &ring.uring, 0) ||
	    (by_request && uring_buffers(&ring.uring, NULL, 1, URING_RSRC_SPARSE)))
		_exit(1);
	for (;;) {
		struct iovec iov;

		if (!random_mapped(world, op, SLOT_PAGES, false, &range))
			_exit(0);
		iov = (struct iovec){ page_addr(range.first), range.nr * PAGE };
		/* Not all of it is inherited. */
		if (by_request)
			update_by_request(&ring, iov, op_percent(op, 50));
		else if (!register_iovecs(&ring, &iov, 1, op_percent(op, 50)) && op_percent(op, 90))
			io_uring_unregister_buffers(&ring.uring);
	}
}

static int do_kill(struct world *world, struct op *op, struct reason *why)
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (!pid)
		register_for_ever(world, op);
	fuzz_log(world, "a process that registers");
	usleep(op_below(op, 30000));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return user_check(world, why);
}

int process_op(struct world *world, struct op *op, struct reason *why)
{
	if (op->kind == OP_FORK)
		return do_fork(world, why);
	if (op->kind == OP_EXIT)
		return do_exit(world, op, why);
	return do_kill(world, op, why);
}

/* --- the whole ----------------------------------------------------------------------- */

static bool for_anyone(enum op_kind kind)
{
	return kind != OP_FORK && kind != OP_EXIT && kind != OP_KILL && kind != OP_RACE;
}

int world_op(struct world *world, unsigned int step, struct reason *why)
{
	struct op op;

	op_make(&op, world->seed, step);
	if (op.proc && world->actors[op.proc].pid && for_anyone(op.kind))
		return tell(world, op.proc, (int)step, why);
	return do_op(world, step, &op, why);
}

int world_end(struct world *world, struct reason *why)
{
	for (unsigned int n = 1; n < PROCS; n++)
		if (world->actors[n].pid && (tell(world, n, ORDER_END, why) ||
					     tell(world, n, ORDER_EXIT, why) ||
					     bury(world, n, why)))
			return -1;
	if (end_process(world, why))
		return -1;
	return user_check(world, why);
}
