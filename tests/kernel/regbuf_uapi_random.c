// SPDX-License-Identifier: GPL-2.0
/*
 * IORING_OP_BUFFERS_UPDATE against a model: random sequences of submitting, cancelling and linking
 * beside I/O, of rings that are closed and processes that are killed meanwhile.
 *
 *	who		what				must hold
 *	submitter	two updates, of other slots	each changes as many entries as its result says
 *	submitter	cancels one of them		the result is that, or -ECANCELED and no change
 *	submitter	I/O that is linked		done if all entries were changed, with the new buffers
 *	ring, process	end with updates that run	nothing stays pinned
 *
 * After each step all slots are compared with the model, by what I/O finds in them.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "regbuf_uapi.h"
#include "vmstat.h"

#define PAGE		(4 * KIB)
#define SLOTS		4
#define HALF		(SLOTS / 2)
#define STEPS		4
#define SMALL_PAGES	16		/* buffers of one page */
#define LARGE		(2 * MIB)	/* of single pages: takes long enough to be cancelled */
#define SEQUENCES	1000

enum { UPDATE = 1, LINKED, CANCEL, IO };

/* What a slot has: the first byte of its buffer, which names the page, or 0 for none */
struct slot {
	unsigned char id;
	char *addr;
	__u64 tag;
};

struct change {
	unsigned int first, nr, good;	/* slots, and how many of them can be changed */
	struct io_uring_regbuf_desc descs[HALF];
	__u64 tags[HALF];
	struct slot after[HALF];
	bool linked, running;
};

struct world {
	struct io_uring ring;
	struct slot table[SLOTS];
	struct change change[2];
	int pipe[2];
	int linked_pipe[2][2];		/* one for each: nobody says which of them is done first */
	int linked_res[2];
	unsigned int tags_due, tags_seen;
	__u64 next_tag;
};

static char *small, *large, *bad;
static unsigned long long seed;
static unsigned int nr_cancelled, nr_partial, nr_linked, nr_left;

static unsigned int below(unsigned int n)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned int)(seed >> 33) % n;
}

static void map_all(void)
{
	small = uapi_map(SMALL_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	large = uapi_map(LARGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	bad = uapi_map(PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	EXPECT(madvise(large, LARGE, MADV_NOHUGEPAGE), 0);
	memset(large, 200, LARGE);
	for (int i = 0; i < SMALL_PAGES; i++)
		memset(small + i * PAGE, 1 + i, PAGE);
}

/* What is to be in each slot, and how far it will get if nobody cancels it. */
static void plan(struct world *w, struct change *c, unsigned int half, bool with_large)
{
	c->first = half * HALF + below(HALF);
	c->nr = c->first % HALF ? 1 : 1 + below(HALF);
	c->good = c->nr;
	for (unsigned int i = 0; i < c->nr; i++) {
		struct io_uring_regbuf_desc *d = &c->descs[i];
		unsigned int page = below(SMALL_PAGES), what = below(10);

		memset(d, 0, sizeof(*d));
		c->tags[i] = 0;
		c->after[i] = (struct slot){ };
		if (!what)
			continue;
		d->type = IO_REGBUF_TYPE_UADDR;
		d->uaddr = (uintptr_t)(with_large ? large : small + page * PAGE);
		d->size = with_large ? LARGE : PAGE;
		if (what == 1) {
			d->uaddr = (uintptr_t)bad;
			d->size = PAGE;
			if (c->good > i)
				c->good = i;
		}
		if (below(2))
			c->tags[i] = ++w->next_tag << 32;
		c->after[i].addr = (char *)d->uaddr;
		c->after[i].id = with_large ? 200 : (unsigned char)(1 + page);
		c->after[i].tag = c->tags[i];
	}
}

static void start(struct world *w, unsigned int half)
{
	struct change *c = &w->change[half];
	struct io_uring_sqe *sqe;

	plan(w, c, half, below(2));
	c->linked = below(3) == 0 && c->good == c->nr && c->after[0].id;
	sqe = uapi_sqe(&w->ring, IORING_OP_BUFFERS_UPDATE, -1, c->descs, c->nr, 0);
	sqe->off = c->first;
	sqe->addr3 = (uintptr_t)c->tags;
	sqe->user_data = half << 8 | UPDATE;
	c->running = true;
	if (c->linked) {
		sqe->flags = IOSQE_IO_LINK;
		sqe = uapi_sqe(&w->ring, IORING_OP_WRITE_FIXED, w->linked_pipe[half][1],
			       c->after[0].addr, 1, c->first);
		sqe->user_data = half << 8 | LINKED;
	}
	EXPECT(io_uring_submit(&w->ring), 1 + c->linked);
}

/* The update is over; the model follows. */
static void finish(struct world *w, unsigned int half, int res, bool cancelled)
{
	struct change *c = &w->change[half];
	int want = c->good ? (int)c->good : -EFAULT;

	EXPECT_TRUE(c->running);
	c->running = false;
	if (res != want) {
		if (!cancelled || (res != -ECANCELED && (res < 1 || res >= (int)c->nr)))
			fail("an update of %u, %u of them good: %d%s", c->nr, c->good, res,
			     cancelled ? " when cancelled" : "");
		nr_cancelled += res < 0;
	}
	nr_partial += res > 0 && res < (int)c->nr;
	for (int i = 0; i < res; i++) {
		struct slot *slot = &w->table[c->first + (unsigned int)i];

		w->tags_due += slot->tag != 0;
		*slot = c->after[i];
	}
	w->linked_res[half] = res == (int)c->nr ? 1 : -ECANCELED;
}

static void one_completion(struct world *w, bool cancelled)
{
	struct __kernel_timespec ts = { .tv_sec = 120 };
	struct io_uring_cqe *cqe;
	unsigned int half, kind;
	char byte;
	int res;

	EXPECT(io_uring_wait_cqe_timeout(&w->ring, &cqe, &ts), 0);
	half = cqe->user_data >> 8 & 1;
	kind = cqe->user_data & 0xff;
	res = cqe->res;
	if (cqe->user_data >> 32)
		w->tags_seen++;
	io_uring_cqe_seen(&w->ring, cqe);
	if (kind == UPDATE) {
		finish(w, half, res, cancelled);
	} else if (kind == LINKED) {
		EXPECT(res, w->linked_res[half]);
		w->change[half].linked = false;
		if (res == 1) {
			EXPECT(read(w->linked_pipe[half][0], &byte, 1), 1);
			EXPECT((unsigned char)byte, w->change[half].after[0].id);
			nr_linked++;
		}
	}
}

static bool busy(const struct world *w)
{
	return w->change[0].running || w->change[1].running || w->change[0].linked ||
	       w->change[1].linked;
}

static void check_table(struct world *w)
{
	for (unsigned int i = 0; i < SLOTS; i++) {
		struct slot *slot = &w->table[i];
		char *addr = slot->id ? slot->addr : small;
		unsigned char byte;
		struct io_uring_cqe *cqe;
		__u64 who;
		int res;

		uapi_sqe(&w->ring, IORING_OP_WRITE_FIXED, w->pipe[1], addr, 1, i)->user_data = IO;
		EXPECT(io_uring_submit(&w->ring), 1);
		do {
			EXPECT(io_uring_wait_cqe(&w->ring, &cqe), 0);
			who = cqe->user_data;
			res = cqe->res;
			io_uring_cqe_seen(&w->ring, cqe);
			w->tags_seen += who >> 32 != 0;
		} while (who != IO);
		EXPECT(res, slot->id ? 1 : -EFAULT);
		if (slot->id) {
			EXPECT(read(w->pipe[0], &byte, 1), 1);
			EXPECT(byte, slot->id);
		}
	}
	/* One may come when the last request with the buffer has been freed. */
	for (int i = 0; w->tags_seen < w->tags_due && i < 1000; i++) {
		struct __kernel_timespec ts = { .tv_nsec = 2000000 };
		struct io_uring_cqe *cqe;

		if (io_uring_wait_cqe_timeout(&w->ring, &cqe, &ts))
			continue;
		w->tags_seen += cqe->user_data >> 32 != 0;
		io_uring_cqe_seen(&w->ring, cqe);
	}
	EXPECT(w->tags_seen, w->tags_due);
}

static void cancel(struct world *w, unsigned int half)
{
	__u64 target = half << 8 | UPDATE;

	uapi_sqe(&w->ring, IORING_OP_ASYNC_CANCEL, -1, (void *)target, 0, 0)->user_data = CANCEL;
	EXPECT(io_uring_submit(&w->ring), 1);
}

/* One ring, from its beginning to its end */
static void sequence(bool leave)
{
	static const unsigned int flags[] = {
		0, 0, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
		IORING_SETUP_COOP_TASKRUN,
	};
	struct world w = { };

	EXPECT(io_uring_queue_init(32, &w.ring, flags[below(ARRAY_SIZE(flags))]), 0);
	EXPECT(uapi_buffers(&w.ring, NULL, SLOTS, IORING_RSRC_REGISTER_SPARSE), 0);
	EXPECT(pipe(w.pipe), 0);
	EXPECT(pipe(w.linked_pipe[0]), 0);
	EXPECT(pipe(w.linked_pipe[1]), 0);
	for (unsigned int step = 1 + below(STEPS); step; step--) {
		bool cancelled = below(2);

		start(&w, 0);
		start(&w, 1);
		if (leave && step == 1)
			return;
		if (cancelled) {
			usleep(below(4) * 100);
			cancel(&w, below(2));
		}
		while (busy(&w))
			one_completion(&w, cancelled);
		check_table(&w);
	}
	io_uring_queue_exit(&w.ring);
	close(w.pipe[0]);
	close(w.pipe[1]);
	for (int half = 0; half < 2; half++) {
		close(w.linked_pipe[half][0]);
		close(w.linked_pipe[half][1]);
	}
}

/* In a process that ends, or is killed, with updates that run */
static void left_behind(bool killed)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		sequence(true);
		if (killed)
			pause();
		exit(0);
	}
	if (killed) {
		usleep(below(30000));
		EXPECT(kill(pid, SIGKILL), 0);
	}
	EXPECT(waitpid(pid, &status, 0), pid);
	EXPECT(killed ? WTERMSIG(status) : status, killed ? SIGKILL : 0);
	nr_left++;
}

static void against_model(void)
{
	struct vmstat before;
	struct reason why;

	map_all();
	vmstat_start(&before);
	for (seed = 1; seed <= SEQUENCES; ) {
		unsigned long long nr = seed, how;

		seed = nr * 1000003;
		how = below(10);
		if (how < 2)
			left_behind(how);
		else
			sequence(false);
		seed = nr + 1;
	}
	if (vmstat_balanced(&before, &why))
		fail("%s", why.text);
	note("  %d sequences: %u updates cancelled, %u in part, %u linked, %u left behind",
	     SEQUENCES, nr_cancelled, nr_partial, nr_linked, nr_left);
	EXPECT_TRUE(nr_cancelled && nr_partial && nr_linked && nr_left);
}

const struct uapi_case random_cases[] = {
	{ "request_random", against_model, false },
	{ }
};
