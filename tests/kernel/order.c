// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "caps.h"
#include "charge.h"
#include "order.h"
#include "registration.h"
#include "uring.h"

#define PAGE		(4 * KIB)
#define BYTES		(ORDER_PAGES * PAGE)
#define REACH_SECONDS	60
/* So long a thread has to sleep to be one that waits */
#define SLEEP_USEC	10000
#define SLEEPS		12
#define TAG_TRIES	100

static void *address(const struct order *order, char letter)
{
	const char *at = strchr(ORDER_LETTERS, letter);

	switch (letter) {
	case '-':
		return NULL;
	case 'x':
		return (void *)PAGE;
	case 'H':
		return order->held.addr;
	}
	if (!at)
		die("no buffer is called %c", letter);
	return order->memory + (size_t)(at - ORDER_LETTERS) * BYTES;
}

/* --- calls -------------------------------------------------------------------------------- */

static void fill(const struct order *order, const char *buffers, struct iovec *iov, __u64 *tags)
{
	for (size_t i = 0; buffers[i]; i++) {
		iov[i] = (struct iovec){ address(order, buffers[i]),
					 buffers[i] == '-' ? 0 : BYTES };
		tags[i] = buffers[i] == '-' ? 0 : (unsigned char)buffers[i];
	}
}

static int update(struct order *order, const struct order_call *call)
{
	__u64 tags[ORDER_SLOTS];
	struct iovec iov[ORDER_SLOTS];
	struct io_uring_rsrc_update2 arg = {
		.offset = call->slot,
		.data = (uintptr_t)(call->op == ORDER_UPDATE_ARG ?
				    (void *)held_page(&order->held) : iov),
		.tags = call->op == ORDER_UPDATE_PLAIN ? 0 : (uintptr_t)tags,
		.nr = (unsigned int)strlen(call->buffers),
	};

	fill(order, call->buffers, iov, tags);
	return uring_register(order->ring.ring_fd, IORING_REGISTER_BUFFERS_UPDATE, &arg,
			      sizeof(arg));
}

static int restrict_ring(struct io_uring *ring)
{
	struct io_uring_restriction res[] = {
		{ .opcode = IORING_RESTRICTION_REGISTER_OP,
		  .register_op = IORING_REGISTER_ENABLE_RINGS },
		{ .opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_WRITE_FIXED },
	};

	return uring_register(ring->ring_fd, IORING_REGISTER_RESTRICTIONS, res, ARRAY_SIZE(res));
}

static int register_table(struct order *order, struct io_uring *ring, const char *buffers)
{
	__u64 tags[ORDER_SLOTS];
	struct iovec iov[ORDER_SLOTS];
	struct io_uring_rsrc_register arg = {
		.nr = (unsigned int)strlen(buffers),
		.data = (uintptr_t)iov,
		.tags = (uintptr_t)tags,
	};

	fill(order, buffers, iov, tags);
	return uring_register(ring->ring_fd, IORING_REGISTER_BUFFERS2, &arg, sizeof(arg));
}

int order_call(struct order *order, const struct order_call *call)
{
	struct io_uring *ring = &order->ring;

	switch (call->op) {
	case ORDER_NOTHING:
		break;
	case ORDER_REGISTER:
		return register_table(order, ring, call->buffers);
	case ORDER_UNREGISTER:
		return uring_register(ring->ring_fd, IORING_UNREGISTER_BUFFERS, NULL, 0);
	case ORDER_UPDATE:
	case ORDER_UPDATE_PLAIN:
	case ORDER_UPDATE_ARG:
		return update(order, call);
	case ORDER_CLONE_IN:
		return uring_clone(ring, &order->other, 0, 0, 0, 0);
	case ORDER_REPLACE_IN:
		return uring_clone(ring, &order->other, 0, 0, 0, URING_CLONE_DST_REPLACE);
	case ORDER_GROW:
		return uring_clone(ring, ring, 0, 2, 2, URING_CLONE_DST_REPLACE);
	case ORDER_CLONE_OUT:
		return uring_clone(&order->other, ring, 0, 0, 0, 0);
	case ORDER_ENABLE:
		return uring_register(ring->ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
	case ORDER_RESTRICT:
		return restrict_ring(ring);
	case ORDER_REQUESTS:
		return order_requests(order);
	case ORDER_CLOSE:
		io_uring_queue_exit(ring);
		order->closed = true;
		break;
	}
	return 0;
}

const char *order_result(int result)
{
	static char texts[8][16];
	static unsigned int next;
	char *text = texts[next++ % ARRAY_SIZE(texts)];

	if (result < 0)
		return errno_name(-result);
	snprintf(text, sizeof(texts[0]), "%d", result);
	return text;
}

/* --- what is there ------------------------------------------------------------------------ */

static void prep_write(struct order *order, struct io_uring *ring, const void *addr,
		       unsigned int slot)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	if (!sqe)
		die("no free submission queue entry");
	io_uring_prep_write_fixed(sqe, order->file, addr, PAGE, 0, (int)slot);
	sqe->user_data = 0;		/* not a tag */
}

static void take_tag(struct order *order, const struct io_uring_cqe *cqe)
{
	if (order->nr_tags + 1 == sizeof(order->tags))
		die("too many tags: %s", order->tags);
	order->tags[order->nr_tags++] = (char)cqe->user_data;
	order->tags[order->nr_tags] = '\0';
}

/* Submits and waits for @nr, whose results are PAGE or -EFAULT; returns how many are PAGE. */
static unsigned int run_writes(struct order *order, struct io_uring *ring, unsigned int nr)
{
	unsigned int found = 0;
	int ret = io_uring_submit(ring);

	if (ret != (int)nr)
		die("submitting: %d (%s)", ret, errno_name(-ret));
	while (nr) {
		struct io_uring_cqe *cqe;

		ret = io_uring_wait_cqe(ring, &cqe);
		if (ret)
			die("waiting: %s", strerror(-ret));
		if (cqe->user_data) {
			take_tag(order, cqe);
		} else {
			if (cqe->res != (int)PAGE && cqe->res != -EFAULT)
				die("WRITE_FIXED: %d", cqe->res);
			found += cqe->res == (int)PAGE;
			nr--;
		}
		io_uring_cqe_seen(ring, cqe);
	}
	return found;
}

/*
 * Those that are there; @nr may be to come: a request that a worker completed keeps its buffer a little
 * longer than its completion tells.
 */
static void all_tags(struct order *order, char *tags, size_t nr)
{
	struct io_uring_cqe *cqe;

	for (unsigned int i = 0; i < TAG_TRIES; i++) {
		/* Some rings tell nothing by themselves. */
		io_uring_get_events(&order->ring);
		while (!io_uring_peek_cqe(&order->ring, &cqe)) {
			take_tag(order, cqe);
			io_uring_cqe_seen(&order->ring, cqe);
		}
		if (order->nr_tags >= nr)
			break;
		usleep(5000);
	}
	strcpy(tags, order->tags);
	order->nr_tags = 0;
	order->tags[0] = '\0';
}

char order_requests(struct order *order)
{
	unsigned int found;

	prep_write(order, &order->ring, address(order, 'O'), 0);
	prep_write(order, &order->ring, address(order, 'P'), 1);
	found = run_writes(order, &order->ring, 2);
	return "nso"[found];
}

void order_slots(struct order *order, struct io_uring *ring, char *slots)
{
	static const char letters[] = ORDER_LETTERS;

	for (unsigned int slot = 0; slot < ORDER_SLOTS; slot++) {
		slots[slot] = '-';
		for (size_t i = 0; letters[i]; i++) {
			prep_write(order, ring, address(order, letters[i]), slot);
			if (run_writes(order, ring, 1))
				slots[slot] = letters[i];
		}
		prep_write(order, ring, NULL, slot);
		if (run_writes(order, ring, 1))
			slots[slot] = 'K';
	}
	slots[ORDER_SLOTS] = '\0';
}

void order_pinned(struct order *order, long *pinned, long *charged)
{
	struct vmstat now;

	vmstat_read(&now);
	*pinned = (long)(now.pin_acquired - order->start.pin_acquired) -
		  (long)(now.pin_released - order->start.pin_released);
	*charged = charge_pinned();
}

static int by_letter(const void *a, const void *b)
{
	return *(const char *)a - *(const char *)b;
}

void order_state(struct order *order, char *text, size_t size)
{
	static const struct order_call unregister = { .op = ORDER_UNREGISTER };
	char slots[ORDER_SLOTS + 1], others[ORDER_SLOTS + 1];
	char before[sizeof(order->tags)], after[sizeof(order->tags)];
	long pinned, charged;
	size_t letters = 0;

	if (order->closed) {
		snprintf(text, size, "closed");
		return;
	}
	order_slots(order, &order->ring, slots);
	order_slots(order, &order->other, others);
	all_tags(order, before, 0);
	order_pinned(order, &pinned, &charged);
	order_call(order, &unregister);
	/* At most: not all have one. */
	for (const char *slot = slots; *slot; slot++)
		letters += *slot != '-';
	all_tags(order, after, letters);
	/* A buffer that a request has still comes behind the others. */
	qsort(after, strlen(after), 1, by_letter);
	snprintf(text, size, "ring %s, other %s, pinned %ld, charged %ld, tags \"%s\" \"%s\"", slots,
		 others, pinned, charged, before, after);
}

/* --- the world ---------------------------------------------------------------------------- */

void order_setup(struct order *order, unsigned int flags)
{
	static const size_t size = sizeof(ORDER_LETTERS) * BYTES;
	struct reason why;
	int ret;

	*order = (struct order){ .file = memfd_create("order", MFD_CLOEXEC) };
	order->memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			     0);
	if (order->file < 0 || order->memory == MAP_FAILED ||
	    madvise(order->memory, size, MADV_NOHUGEPAGE))
		die("memory: %s", strerror(errno));
	memset(order->memory, 1, size);
	held_map(&order->held, BYTES, false);
	vmstat_start(&order->start);
	/* Without it, what is pinned is charged. */
	set_capability(CAP_IPC_LOCK, false);
	ret = io_uring_queue_init(2 * ORDER_SLOTS, &order->ring, flags);
	set_capability(CAP_IPC_LOCK, true);
	if (ret)
		die("io_uring_queue_init: %s", strerror(-ret));
	if (ring_init(&order->other, true, &why))
		die("%s", why.text);
}

int order_end(struct order *order, struct reason *why)
{
	if (!order->closed)
		io_uring_queue_exit(&order->ring);
	io_uring_queue_exit(&order->other);
	held_unmap(&order->held);
	munmap(order->memory, sizeof(ORDER_LETTERS) * BYTES);
	close(order->file);
	return vmstat_balanced(&order->start, why);
}

void order_limit(unsigned long pages)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_MEMLOCK, &limit))
		die("getrlimit: %s", strerror(errno));
	limit.rlim_cur = pages ? pages * PAGE : limit.rlim_max;
	if (setrlimit(RLIMIT_MEMLOCK, &limit))
		die("setrlimit: %s", strerror(errno));
}

/* --- two threads -------------------------------------------------------------------------- */

static void *party_thread(void *arg)
{
	struct order_party *party = arg;

	atomic_store(&party->tid, (pid_t)syscall(SYS_gettid));
	for (unsigned int i = 0; i < party->nr; i++)
		party->results[i] = order_call(party->order, &party->calls[i]);
	atomic_store(&party->done, true);
	return NULL;
}

void order_begin(struct order_party *party, struct order *order, const struct order_call *calls,
		 unsigned int nr)
{
	*party = (struct order_party){ .order = order, .calls = calls, .nr = nr };
	if (pthread_create(&party->thread, NULL, party_thread, party))
		die("pthread_create");
}

void order_join(struct order_party *party)
{
	pthread_join(party->thread, NULL);
}

static bool sleeps(pid_t tid)
{
	char path[48], line[512], *at;

	snprintf(path, sizeof(path), "/proc/%d/stat", tid);
	if (read_line(path, line, sizeof(line)))
		return false;
	at = strrchr(line, ')');
	return at && (at[2] == 'D' || at[2] == 'S');
}

bool order_waits(_Atomic pid_t *tid, atomic_bool *done)
{
	unsigned int seen = 0;

	while (!atomic_load(done)) {
		if (seen == SLEEPS)
			return true;
		seen = *tid && sleeps(*tid) ? seen + 1 : 0;
		usleep(SLEEP_USEC);
	}
	return false;
}

void order_reached(struct order *order)
{
	if (!held_reached(&order->held, REACH_SECONDS))
		die("nobody needs the page that does not come");
}

/* Lets the page come, or not, when the main thread waits in its calls or has made them. */
struct director {
	struct order *order;
	const struct order_scenario *scenario;
	_Atomic pid_t tid;		/* of the main thread */
	atomic_bool done;
	bool waited;
};

static void *director_thread(void *arg)
{
	struct director *director = arg;
	struct order *order = director->order;
	char page[PAGE] = { 0 };
	__u64 tags[ORDER_SLOTS];

	director->waited = order_waits(&director->tid, &director->done);
	if (director->scenario->first.op == ORDER_UPDATE_ARG)
		fill(order, director->scenario->first.buffers, (struct iovec *)page, tags);
	if (director->scenario->refuse)
		held_refuse(&order->held);
	else
		held_give(&order->held, page);
	return NULL;
}

/* The first thread's calls: the one that is held, and the one after all others. */
struct first {
	struct order *order;
	const struct order_scenario *scenario;
	struct director *director;
	int result, then;
};

static void *first_thread(void *arg)
{
	struct first *first = arg;

	first->result = order_call(first->order, &first->scenario->first);
	while (!atomic_load(&first->director->done))
		usleep(SLEEP_USEC);
	first->then = order_call(first->order, &first->scenario->then);
	return NULL;
}

static void start_tables(struct order *order, const struct order_scenario *scenario)
{
	int ret = 0;

	if (scenario->table)
		ret = register_table(order, &order->ring, scenario->table);
	if (!ret && scenario->other)
		ret = register_table(order, &order->other, scenario->other);
	if (ret)
		die("%s: the tables at the start: %s", scenario->name, strerror(-ret));
}

static void append(char *text, size_t size, const char *more)
{
	size_t len = strlen(text);

	snprintf(text + len, size - len, "%s", more);
}

static void append_results(const struct order_scenario *scenario, const int *results, char *text,
			   size_t size)
{
	for (size_t i = 0; i < ORDER_CALLS && scenario->second[i].op; i++) {
		append(text, size, i ? " " : "");
		if (scenario->second[i].op == ORDER_REQUESTS)
			append(text, size, results[i] == 's' ? "SPLIT" : "whole");
		else
			append(text, size, order_result(results[i]));
	}
}

int order_play(const struct order_scenario *scenario, char *text, size_t size, struct reason *why)
{
	bool held = scenario->first.op != ORDER_NOTHING;
	struct order order;
	struct director director = {
		.order = &order, .scenario = scenario, .tid = (pid_t)syscall(SYS_gettid),
	};
	struct first first = { .order = &order, .scenario = scenario, .director = &director };
	pthread_t threads[2];
	int results[ORDER_CALLS];
	char state[192];

	order_setup(&order, scenario->flags);
	start_tables(&order, scenario);
	order_limit(scenario->limit);
	if (held) {
		if (pthread_create(&threads[0], NULL, first_thread, &first))
			die("pthread_create");
		order_reached(&order);
		if (pthread_create(&threads[1], NULL, director_thread, &director))
			die("pthread_create");
	} else {
		held_give(&order.held, NULL);
	}
	for (size_t i = 0; i < ORDER_CALLS && scenario->second[i].op; i++)
		results[i] = order_call(&order, &scenario->second[i]);
	atomic_store(&director.done, true);
	text[0] = '\0';
	if (held) {
		pthread_join(threads[1], NULL);
		pthread_join(threads[0], NULL);
		append(text, size, "first ");
		append(text, size, order_result(first.result));
		append(text, size, ", ");
	}
	append(text, size, "second ");
	if (held && !scenario->free)
		append(text, size, director.waited ? "waits " : "at once ");
	append_results(scenario, results, text, size);
	if (scenario->then.op) {
		append(text, size, ", then ");
		append(text, size, order_result(first.then));
	}
	append(text, size, ": ");
	order_state(&order, state, sizeof(state));
	append(text, size, state);
	order_limit(0);
	return order_end(&order, why);
}
