/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * How long prep, sync, signal, and an add and a remove of little, take at most while another
 * thread adds 1 GiB of 4 KiB pages, by the clock.  test/stall.c shows that they wait for nobody;
 * this shows what that is worth.
 *
 * Others want the CPUs too, so that the longest of all that was ever measured says little: it
 * is the longest of one round, as long as the adding takes, in the best of some rounds.  Who
 * waits for memory to be pinned waits in each of them.  On a machine where it takes that long
 * while nothing is added (an emulated one) the bound is some times of that instead.
 */
#include <sched.h>
#include <time.h>

#include "helpers.h"

#define ROUNDS	7
#define BIG_LEN	GiB
#define MAX_US	100
#define SLOWER	5
#define TAG	77

static struct io_uring_ext_pool *pool;
static char *big, *small;
static int data;
static _Atomic bool adding;

enum step { PREP, SYNC, SIGNAL, CHANGE, NR_STEPS };
static const char *const names[NR_STEPS] = { "prep", "sync", "signal", "add or remove of 64 KiB" };

static double now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1e6 + ts.tv_nsec / 1e3;
}

static void *add_big(void *arg)
{
	struct io_uring_ext_region region = { .base = big, .len = BIG_LEN, .page_size = 4096 };
	struct io_uring_ext_error err;
	double start = now_us();

	*(int *)arg = io_uring_ext_pool_add(pool, &region, &err);
	CHECK_OK(*(int *)arg, err);
	printf(" (adding took %.0f us)", now_us() - start);
	adding = false;
	return NULL;
}

/* Something for a sync to do: a region that comes, with or without a tag, or goes. */
static int add_small(__u64 tag)
{
	struct io_uring_ext_region region = { .base = small, .len = 64 * KiB, .page_size = 4096,
					      .tag = tag };
	struct io_uring_ext_error err;
	int id = io_uring_ext_pool_add(pool, &region, &err);

	CHECK_OK(id, err);
	return id;
}

static void longest(double *max, double start)
{
	double took = now_us() - start;

	if (took > *max)
		*max = took;
}

static void timed_sync(struct io_uring_ext_ring *r, double max[])
{
	struct io_uring_ext_error err;
	double start = now_us();

	CHECK_OK(io_uring_ext_ring_sync(r, &err), err);
	longest(&max[SYNC], start);
}

static void one_turn(struct io_uring *ring, struct io_uring_ext_ring *r, __u64 tag, double max[])
{
	double start = now_us();
	int id = add_small(tag), fixed;

	longest(&max[CHANGE], start);
	timed_sync(r, max);
	start = now_us();
	fixed = io_uring_ext_prep_read(r, io_uring_get_sqe(ring), data, small, 4096, 0);
	longest(&max[PREP], start);
	CHECK_EQ(fixed, 1);
	CHECK_EQ(t_io_done(ring, r), 4096);
	start = now_us();
	CHECK(io_uring_ext_pool_remove(pool, id) >= 1);
	longest(&max[CHANGE], start);
	timed_sync(r, max);
	if (!tag)
		return;
	CHECK_EQ(t_wait_tag(ring, 20000), TAG);
	start = now_us();
	CHECK(io_uring_ext_ring_signal(r, TAG) >= 0);
	longest(&max[SIGNAL], start);
}

static double longest_of(const double max[])
{
	double longest = 0;
	unsigned s;

	for (s = 0; s < NR_STEPS; s++)
		if (max[s] > longest)
			longest = max[s];
	return longest;
}

/* Of a round as a whole: who waits does so in one of the steps, now in this, now in that. */
static void keep_shorter(double best[], const double max[])
{
	if (longest_of(max) < longest_of(best))
		memcpy(best, max, NR_STEPS * sizeof(*best));
}

#define TURNS_ALONE	500

static void alone(struct io_uring *ring, struct io_uring_ext_ring *r, double best[])
{
	double max[NR_STEPS];
	unsigned i, turn;

	for (i = 0; i < ROUNDS; i++) {
		memset(max, 0, sizeof(max));
		for (turn = 0; turn < TURNS_ALONE; turn++)
			one_turn(ring, r, turn & 1 ? TAG : 0, max);
		keep_shorter(best, max);
	}
}

static unsigned one_round(struct io_uring *ring, struct io_uring_ext_ring *r, double max[])
{
	unsigned turns = 0;
	pthread_t tid;
	int id;

	memset(max, 0, NR_STEPS * sizeof(*max));
	adding = true;
	CHECK_EQ(pthread_create(&tid, NULL, add_big, &id), 0);
	/* A round without any of a kind tells nothing */
	while (adding || turns < 2) {
		one_turn(ring, r, turns & 1 ? TAG : 0, max);
		turns++;
		/* Who has a CPU to itself for all of a second is made to wait */
		usleep(50);
	}
	pthread_join(tid, NULL);
	CHECK(io_uring_ext_pool_remove(pool, id) >= 1);
	CHECK(io_uring_ext_ring_sync(r, NULL) >= 0);
	return turns;
}

/* The thread that adds does not have it. */
static void go_first(bool on)
{
	struct sched_param param = { .sched_priority = on };

	if (sched_setscheduler(0, on ? SCHED_FIFO | SCHED_RESET_ON_FORK : SCHED_OTHER, &param))
		fprintf(stderr, "beside all others: %s\n", strerror(errno));
}

int main(void)
{
	double best[NR_STEPS] = { 1e9, 1e9, 1e9, 1e9 }, idle[NR_STEPS] = { 1e9, 1e9, 1e9, 1e9 };
	double max[NR_STEPS], limit;
	struct io_uring_ext_ring *r;
	struct io_uring_ext_error err;
	struct io_uring ring;
	unsigned i, s, turns;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	t_skip("what a sanitizer takes is not the library's");
#endif
	if (t_valgrind() || !t_may_lock(BIG_LEN + 64 * MiB, "anything"))
		t_skip("the time of other things, or 1 GiB may not be locked");
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		t_skip("the thread that adds needs a CPU of its own");
	big = mmap(NULL, BIG_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	small = mmap(NULL, MiB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(big != MAP_FAILED && small != MAP_FAILED);
	CHECK_EQ(madvise(big, BIG_LEN, MADV_NOHUGEPAGE), 0);
	if (io_uring_ext_prefault(big, BIG_LEN, 0, 0, NULL, NULL, &err))
		t_skip("there is no memory of 1 GiB");
	data = t_file(4096);
	CHECK_OK(io_uring_ext_pool_create(&pool, NULL, &err), err);
	if (!(io_uring_ext_pool_caps(pool)->flags & IO_URING_EXT_CAP_CLONE_RANGE))
		t_skip("without clones it is the rings that pin");
	t_ring(&ring, 8, 0);
	CHECK_OK(io_uring_ext_ring_attach(&r, pool, &ring, 0, &err), err);
	go_first(true);
	alone(&ring, r, idle);
	for (i = 0; i < ROUNDS; i++) {
		turns = one_round(&ring, r, max);
		printf(" round %u: %u turns;", i, turns);
		for (s = 0; s < NR_STEPS; s++)
			printf(" %s %.1f", names[s], max[s]);
		printf(" us at most\n");
		keep_shorter(best, max);
	}
	go_first(false);
	printf("while 1 GiB of 4 KiB pages is added:");
	for (s = 0; s < NR_STEPS; s++)
		printf(" %s %.1f us", names[s], best[s]);
	printf(" at most, in the best of %u rounds\n", ROUNDS);
	CHECK_EQ(io_uring_ext_ring_detach(r), 0);
	CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
	io_uring_queue_exit(&ring);
	limit = longest_of(idle) > MAX_US ? SLOWER * longest_of(idle) : MAX_US;
	printf("and %.1f us at most while nothing is added: the bound is %.0f us\n", longest_of(idle),
	       limit);
	if (longest_of(best) > limit)
		t_fail(__FILE__, __LINE__, "it took %.0f us", longest_of(best));
	return 0;
}
