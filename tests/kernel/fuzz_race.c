// SPDX-License-Identifier: GPL-2.0
/*
 * Registering while another thread does to the same memory what changes none of its bytes: the
 * kernel may take pages away and bring them back, split and join them, and share them with a
 * child. What a buffer has in the end is what is mapped.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuzz.h"
#include "uring.h"

#define TIMES_MAX	60		/* registered in a round */
/* What takes long is done less often. */
#define PAGES_MAX	8192		/* to be registered in all */
#define RACES_MAX	8		/* in a sequence */

enum disturbance {
	RECLAIM, FORK, COLLAPSE, SIGNALS, ALL, DISTURBANCES,
};

static const char * const names[DISTURBANCES] = {
	"reclaim", "fork", "collapse and split", "signals", "all",
};

struct disturber {
	struct op op;
	struct range range;
	enum disturbance how;
	size_t times;
	atomic_ulong done;
	atomic_bool stop;
};

static void advise(struct range range, int advice)
{
	madvise(page_addr(range.first), range.nr * PAGE, advice);
}

static void fork_once(struct op *op)
{
	pid_t pid = fork();

	if (!pid) {
		if (op_percent(op, 30))
			usleep(1000);
		_exit(0);
	}
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static void disturb(struct disturber *d, enum disturbance how)
{
	struct range part = d->range;

	if (op_percent(&d->op, 50)) {
		part.first += op_below(&d->op, part.nr);
		part.nr = 1 + op_below(&d->op, d->range.first + d->range.nr - part.first);
	}
	switch (how) {
	case RECLAIM:
		advise(part, op_percent(&d->op, 80) ? MADV_PAGEOUT : MADV_COLD);
		break;
	case FORK:
		fork_once(&d->op);
		break;
	case COLLAPSE:
		part.nr = 1;
		/* A VMA that ends inside of a huge page makes the kernel map it by PTEs. */
		advise(part, MADV_DONTDUMP);
		advise(part, MADV_DODUMP);
		advise(d->range, MADV_COLLAPSE);
		break;
	default:
		usleep(100);
	}
}

static void *disturber_run(void *arg)
{
	struct disturber *d = arg;

	while (!atomic_load(&d->stop)) {
		disturb(d, d->how == ALL ? op_below(&d->op, SIGNALS) : d->how);
		atomic_fetch_add(&d->done, 1);
	}
	return NULL;
}

static void on_alarm(int signal)
{
	(void)signal;
}

static void send_signals(unsigned int usec)
{
	struct itimerval timer = { { 0, usec }, { 0, usec } };
	struct sigaction action = { .sa_handler = on_alarm };

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
}

/*
 * What is pinned is what is mapped, also after a fork() that might have shared it: each page gets
 * another number through the mapping, which the buffer has to have.
 */
static int same_pages(struct world *world, unsigned int r, const struct disturber *d,
		      struct reason *why)
{
	struct io_uring *uring = &world->rings[r].uring;
	size_t nr = min_size(d->range.nr, IO_MAX / PAGE);
	struct io_uring_sqe *sqe = io_uring_get_sqe(uring);
	char *addr = page_addr(d->range.first);
	sigset_t alarm, old;
	int ret;

	if (!sqe)
		die("no free submission queue entry");
	pages_stamp(world, (struct range){ d->range.first, nr });
	io_uring_prep_write_fixed(sqe, world->plain.fd, addr, (unsigned int)(nr * PAGE), 0, 0);
	/* Signals are for registering, not for waiting. */
	sigemptyset(&alarm);
	sigaddset(&alarm, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &alarm, &old);
	ret = uring_one(uring);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (ret != (int)(nr * PAGE))
		return because(why, "WRITE_FIXED: %d of %zu bytes", ret, nr * PAGE);
	for (size_t i = 0; i < nr; i++)
		if (memcmp(addr + i * PAGE, world->plain_data + i * PAGE, sizeof(uint64_t)))
			return because(why, "page %zu of the buffer is not what is mapped", i);
	return 0;
}

/* Private memory that is pinned is not taken away. */
static int still_mapped(struct world *world, const struct disturber *d, struct reason *why)
{
	struct reason inner;

	if (kind_shared(world->pages[d->range.first].kind) ||
	    !folios_read(&world->source, page_addr(d->range.first), world->folios, d->range.nr,
			 &inner))
		return 0;
	return because(why, "while it is pinned: %s", inner.text);
}

/* Registers once more each time, to be disturbed elsewhere. The last one stays. */
static int register_disturbed(struct world *world, unsigned int r, struct disturber *d,
			      struct op *op, bool read_only, struct reason *why)
{
	struct iovec iov = { page_addr(d->range.first), d->range.nr * PAGE };
	struct fuzz_ring *ring = &world->rings[r];

	for (size_t n = 0; n < d->times; n++) {
		int ret;

		/* Only what is present is pinned without locks. */
		for (size_t off = 0; off < iov.iov_len; off += PAGE)
			*(volatile char *)((char *)iov.iov_base + off);
		ret = register_iovecs(ring, &iov, 1, read_only);
		if (ret)
			return because(why, "register: %s", strerror(-ret));
		if (still_mapped(world, d, why))
			return -1;
		if (n == d->times - 1)
			break;
		if (op_percent(op, 10)) {
			fork_once(op);
			if (same_pages(world, r, d, why))
				return -1;
		}
		ret = io_uring_unregister_buffers(&ring->uring);
		if (ret)
			return because(why, "unregister: %s", strerror(-ret));
	}
	return 0;
}

static int race_once(struct world *world, struct op *op, unsigned int r, struct disturber *d,
		     bool read_only, struct reason *why)
{
	sigset_t alarm, old;
	pthread_t thread;
	int ret;

	d->op = *op;
	atomic_store(&d->stop, false);
	atomic_store(&d->done, 0);
	/* Signals are for the thread that registers. */
	sigemptyset(&alarm);
	sigaddset(&alarm, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &alarm, &old);
	ret = pthread_create(&thread, NULL, disturber_run, d);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (ret)
		die("pthread_create: %s", strerror(ret));
	if (d->how == SIGNALS || d->how == ALL)
		send_signals(200);
	while (!atomic_load(&d->done))
		;
	ret = register_disturbed(world, r, d, op, read_only, why);
	send_signals(0);
	atomic_store(&d->stop, true);
	pthread_join(thread, NULL);
	world->shared->stats.racing += atomic_load(&d->done);
	world->shared->stats.signals += d->how == SIGNALS || d->how == ALL;
	return ret;
}

/*
 * With a child that has all pages too, each write is to a page that is ours alone. It comes
 * before anything else happens to the pages: what the kernel took for pinned, and what not, shows
 * in what fork() does.
 */
static int check_with_child(struct world *world, unsigned int r, struct range range, bool read_only,
			    struct reason *why)
{
	struct entry entry = entry_of((struct iovec){ page_addr(range.first), range.nr * PAGE },
				      read_only);
	struct fuzz_ring *ring = &world->rings[r];
	pid_t pid = fork();
	int ret;

	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (!pid)
		for (;;)
			pause();
	ret = buffer_add(world, ring, 0, &entry, why);
	if (!ret) {
		ring->nr = 1;
		pages_stamp(world, range);
		ret = buffer_check(world, r, 0, why);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return ret;
}

int race_op(struct world *world, struct op *op, struct reason *why)
{
	unsigned int r = op_below(op, RINGS), rounds = 1 + op_below(op, 4);
	struct disturber d = { .how = op_below(op, DISTURBANCES) };
	struct fuzz_ring *ring = world_ring(world, r, why);
	bool read_only = op_percent(op, 25);
	const struct vpage *page;

	for (unsigned int tries = 1; ring && ring->nr && tries < RINGS; tries++) {
		r = (r + 1) % RINGS;
		ring = world_ring(world, r, why);
	}
	if (!ring)
		return -1;
	if (ring->nr || !random_mapped(world, op, op_percent(op, 60) ? 20 : SLOT_PAGES, true,
				       &d.range) ||
	    !range_can_pin(world, d.range, read_only))
		return IDLE;
	page = &world->pages[d.range.first];
	if (kind_hugetlb(page->kind) || world->races == RACES_MAX)
		return IDLE;
	world->races++;
	d.times = min_size(2 + PAGES_MAX / (rounds * d.range.nr), TIMES_MAX);
	fuzz_log(world, "ring %u%s, pages %zu+%zu, %s, %u rounds", r,
		 read_only ? " read-only" : "", d.range.first, d.range.nr, names[d.how], rounds);
	if (kind_shared(page->kind))
		world->shared->objects[page->object].collapsed = true;
	/* VMAs are split, and not always joined again. */
	for (size_t i = d.range.first; i < d.range.first + d.range.nr; i++)
		range_new_segment(world, (struct range){ i, 1 });
	while (rounds--) {
		if (race_once(world, op, r, &d, read_only, why) ||
		    check_with_child(world, r, d.range, read_only, why))
			return -1;
		if (!rounds)
			break;
		if (io_uring_unregister_buffers(&ring->uring))
			return because(why, "unregister fails");
		buffer_put(world, ring->table[0]);
		ring->table[0] = NULL;
		ring->nr = 0;
	}
	return DONE;
}
