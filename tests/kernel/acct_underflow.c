// SPDX-License-Identifier: GPL-2.0
/*
 * acct_underflow: what is charged for buffers of one large folio, when they are cloned to other
 * rings and go away in one order or another. As an unprivileged user.
 *
 * Two buffers lie in one THP. It is charged with all of its pages, once, as long as one of them
 * is registered in any ring. A kernel that counts per ring what it charges per buffer gives the
 * same pages back twice: VmPin then reads 18446744073709549568 kB, and the user can register
 * without limit.
 *
 * Each variant runs in a process of its own, as a user of its own. After each step, VmPin and what
 * the user may still register are compared with what must be charged.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "caps.h"
#include "charge.h"
#include "layouts.h"
#include "uring.h"

#define FIRST_UID	60000	/* a user for each variant: what one leaves is not the next one's */
#define THP_PAGES	512
#define RINGS		3
#define BUFFERS		2
#define WAIT_USEC	20000
#define WAIT_TRIES	250

/*
 * Steps, of rings A, B, C and buffers 0, 1:
 *	A+	register both buffers		B=A	clone all of A's
 *	A-	unregister			B=A0	clone A's buffer 0
 *	A-0	update slot 0 to be empty	Ax	close the ring
 */
static const char * const variants[] = {
	/* The first one seen to go wrong. */
	"A+ B=A0 A-0 A-1 B-",
	"A+ B=A0 A-0 B- A-1",
	"A+ B=A0 A-1 A-0 B-",
	"A+ B=A0 B- A-0 A-1",
	"A+ B=A1 A-1 A-0 B-0",
	"A+ B=A A- B-0 B-1",
	"A+ B=A A-0 B-1 A-1 B-0",
	"A+ B=A B- A-",
	/* Rings that are closed. */
	"A+ B=A0 A-0 A-1 Bx",
	"A+ B=A0 A-0 Bx A-1",
	"A+ B=A0 Ax B-",
	"A+ B=A0 Ax Bx",
	"A+ B=A0 Bx Ax",
	"A+ B=A Ax B-1 B-0",
	/* Three rings. */
	"A+ B=A0 C=B A-0 A-1 B- C-",
	"A+ B=A0 C=B C- B- A-",
	"A+ B=A0 C=A1 A- B- C-",
	"A+ B=A C=A0 A-0 A-1 Cx B-0 Bx",
	"A+ B=A C=B Ax Bx Cx",
	"A+ B=A0 C=B Bx Ax Cx",
};

struct state {
	struct io_uring ring[RINGS];
	struct charge_probe probe;
	bool closed[RINGS];
	bool have[RINGS][BUFFERS];	/* slots in use */
	struct iovec iov[BUFFERS];
};

static long expected(const struct state *st)
{
	for (int r = 0; r < RINGS; r++)
		for (int b = 0; b < BUFFERS; b++)
			if (st->have[r][b])
				return THP_PAGES;
	return 0;
}

static int do_step(struct state *st, const char *step)
{
	int r = step[0] - 'A', src = step[2] - 'A';
	struct io_uring *ring = &st->ring[r];
	int ret;

	switch (step[1]) {
	case '+':
		ret = io_uring_register_buffers(ring, st->iov, BUFFERS);
		if (!ret)
			st->have[r][0] = st->have[r][1] = true;
		return ret;
	case '=':
		if (step[3]) {
			ret = uring_clone(ring, &st->ring[src], (unsigned int)(step[3] - '0'), 0,
					  1, 0);
			if (!ret)
				st->have[r][0] = st->have[src][step[3] - '0'];
			return ret;
		}
		ret = uring_clone(ring, &st->ring[src], 0, 0, 0, 0);
		if (!ret)
			memcpy(st->have[r], st->have[src], sizeof(st->have[r]));
		return ret;
	case '-':
		if (step[2]) {
			ret = uring_update(ring, (unsigned int)(step[2] - '0'), NULL, 1);
			st->have[r][step[2] - '0'] = false;
			return ret == 1 ? 0 : ret ? ret : -EIO;
		}
		memset(st->have[r], 0, sizeof(st->have[r]));
		return io_uring_unregister_buffers(ring);
	case 'x':
		io_uring_queue_exit(ring);
		st->closed[r] = true;
		memset(st->have[r], 0, sizeof(st->have[r]));
		return 0;
	}
	die("no such step: %s", step);
}

/* What a closed ring leaves to be done has an end, but no moment. */
static int compare(struct state *st, bool later, struct reason *why)
{
	long pages = expected(st), rings = 0;
	int tries = later ? WAIT_TRIES : 1, ret = 0;

	for (int r = 0; r < RINGS; r++)
		rings += !st->closed[r];
	while (tries--) {
		long pinned = charge_pinned();

		ret = pinned == pages ? 0 :
			because(why, "VmPin is %lu kB instead of %lu kB",
				(unsigned long)pinned * 4, (unsigned long)pages * 4);
		if (!ret)
			ret = charge_probe_check(&st->probe, pages + rings, why);
		if (!ret)
			break;
		if (tries)
			usleep(WAIT_USEC);
	}
	return ret;
}

static int run_steps(struct state *st, const char *steps, struct reason *why)
{
	char *list = strdup(steps), *save = NULL;
	int result = 0;

	if (!list)
		die("out of memory");
	for (char *step = strtok_r(list, " ", &save); step; step = strtok_r(NULL, " ", &save)) {
		int ret = do_step(st, step);
		struct reason inner;

		if (ret) {
			result = because(why, "%s: %s", step, strerror(-ret));
			break;
		}
		/* Go on: the last figure is the one to show. */
		if (compare(st, step[1] == 'x', &inner))
			result = because(why, "after %s %s", step, inner.text);
	}
	free(list);
	return result;
}

static int run_variant(uid_t uid, const char *steps, struct reason *why)
{
	const struct layout layout = { .backing = BACKING_THP, .size = 2 * MIB };
	struct state st = { };
	struct memory mem;
	int ret;

	if (memory_map(&mem, &layout, why))
		return -1;
	st.iov[0] = (struct iovec){ mem.addr, 64 * KIB };
	st.iov[1] = (struct iovec){ mem.addr + MIB, 64 * KIB };
	become_user(uid);
	if (charge_pinned())
		return because(why, "VmPin is %ld kB at the start", charge_pinned() * 4);
	if (charge_probe_init(&st.probe, why))
		return -1;
	charge_set_limit(64 * THP_PAGES);
	for (int r = 0; r < RINGS; r++) {
		ret = charge_ring_init(&st.ring[r]);
		if (ret)
			return because(why, "a new ring: %s", strerror(-ret));
	}

	ret = run_steps(&st, steps, why);
	for (int r = 0; r < RINGS; r++)
		if (!st.closed[r])
			do_step(&st, (const char []){ 'A' + (char)r, 'x', '\0' });
	return ret ? ret : compare(&st, true, why);
}

/* In a process of its own, which has what it should not have charged for itself. */
static int run_in_child(uid_t uid, const char *steps, struct reason *why)
{
	int pipes[2], status;
	ssize_t len;
	pid_t pid;

	if (pipe(pipes))
		die("pipe: %s", strerror(errno));
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (!pid) {
		int ret = run_variant(uid, steps, why);

		if (ret && write(pipes[1], why, sizeof(*why)) != (ssize_t)sizeof(*why))
			_exit(2);
		_exit(ret ? 1 : 0);
	}
	close(pipes[1]);
	len = read(pipes[0], why, sizeof(*why));
	close(pipes[0]);
	if (waitpid(pid, &status, 0) != pid)
		die("waitpid: %s", strerror(errno));
	if (len != (ssize_t)sizeof(*why))
		because(why, "the child ended with status %#x", status);
	return status ? -1 : 0;
}

int main(void)
{
	const struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };
	unsigned int failed = 0;

	if (setrlimit(RLIMIT_MEMLOCK, &limit))
		die("cannot raise RLIMIT_MEMLOCK: %s", strerror(errno));
	for (size_t i = 0; i < ARRAY_SIZE(variants); i++) {
		struct reason why = { "" };

		if (run_in_child(FIRST_UID + (uid_t)i, variants[i], &why)) {
			failed++;
			printf("FAIL %-32s %s\n", variants[i], why.text);
		} else {
			printf("ok   %-32s VmPin: 0 kB\n", variants[i]);
		}
	}
	printf("%zu passed, %u failed, 0 skipped\n", ARRAY_SIZE(variants) - failed, failed);
	return failed ? 1 : 0;
}
