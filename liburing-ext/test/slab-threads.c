/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * Eight threads on one slab, for TEST_SECONDS (default 2): each slice that is handed
 * out has one owner, and what the owner wrote stays.  Under TSan the owners' plain
 * writes also show whether put and get order them.  By the slab itself, with waiting, and
 * through a cache for each thread.
 */
#include <time.h>

#include "helpers.h"

#define THREADS	8
#define SLICE	256
#define SLICES	61
#define MAX_HOLD 12

enum way { DIRECT, WAITING, CACHED };

static struct io_uring_ext_slab *slab;
static _Atomic int stop;
static unsigned hold;
static enum way way;

struct worker {
	pthread_t tid;
	struct io_uring_ext_slab_cache *cache;
	unsigned id;
	unsigned long gets;
};

static void own(unsigned char *p, unsigned char id)
{
	memset(p, id, SLICE);
}

static void *get(struct worker *w)
{
	void *p;

	if (way == CACHED)
		return io_uring_ext_slab_cache_get(w->cache);
	if (way == DIRECT)
		return io_uring_ext_slab_get(slab);
	/* Who waits has none, so one comes back */
	CHECK_EQ(io_uring_ext_slab_get_wait(slab, &p, IO_URING_EXT_UNLIMITED), 0);
	return p;
}

static void give(struct worker *w, unsigned char *p)
{
	unsigned i;

	for (i = 0; i < SLICE; i++)
		CHECK_EQ(p[i], w->id);
	CHECK_EQ(way == CACHED ? io_uring_ext_slab_cache_put(w->cache, p) :
		 io_uring_ext_slab_put(slab, p), 0);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	unsigned char *held[MAX_HOLD];
	unsigned n = 0, seed = w->id;

	CHECK_EQ(io_uring_ext_slab_cache_create(&w->cache, slab, 4), 0);
	while (!stop) {
		seed = seed * 1103515245 + 12345;
		if (n < hold && (seed >> 16) % 2) {
			unsigned char *p = get(w);

			if (!p)
				continue;
			own(p, w->id);
			held[n++] = p;
			w->gets++;
		} else if (n) {
			unsigned i = (seed >> 20) % n;

			give(w, held[i]);
			held[i] = held[--n];
		}
	}
	while (n)
		give(w, held[--n]);
	io_uring_ext_slab_cache_destroy(w->cache);
	return NULL;
}

static void run(char *mem, unsigned slices, unsigned flags, int seconds)
{
	struct io_uring_ext_slab_stats st;
	struct worker w[THREADS];
	unsigned long gets = 0;
	unsigned i;

	CHECK_EQ(io_uring_ext_slab_create_mem(&slab, mem, SLICE * slices, SLICE, 0, flags), 0);
	stop = 0;
	hold = way == WAITING ? 1 : slices < SLICES ? 2 : MAX_HOLD;
	for (i = 0; i < THREADS; i++) {
		w[i].id = i + 1;
		w[i].gets = 0;
		CHECK_EQ(pthread_create(&w[i].tid, NULL, work, &w[i]), 0);
	}
	for (i = 0; i < (unsigned)seconds * 10; i++) {
		usleep(100000);
		CHECK_EQ(io_uring_ext_slab_stats(slab, &st), 0);
		CHECK(st.in_use <= slices + THREADS);
	}
	stop = 1;
	for (i = 0; i < THREADS; i++) {
		pthread_join(w[i].tid, NULL);
		gets += w[i].gets;
	}
	CHECK_EQ(io_uring_ext_slab_stats(slab, &st), 0);
	CHECK_EQ(st.in_use, 0);
	if (way != CACHED)
		CHECK_EQ(st.gets, gets);
	CHECK(gets > 0);
	CHECK_EQ(st.double_puts, 0);
	CHECK_EQ(st.damaged, 0);
	/* All are still there, once */
	for (i = 0; i < slices; i++)
		CHECK(io_uring_ext_slab_get(slab));
	CHECK(!io_uring_ext_slab_get(slab));
	for (i = 0; i < slices; i++)
		CHECK_EQ(io_uring_ext_slab_put(slab, mem + i * SLICE), 0);
	CHECK_EQ(io_uring_ext_slab_destroy(slab), 0);
	printf("%lu times one of %u slices in %d s%s%s\n", gets, slices, seconds,
	       flags ? ", debug" : "",
	       way == CACHED ? ", by caches" : way == WAITING ? ", waiting" : "");
}

static _Atomic int drained;

static void *until_closed(void *arg)
{
	void *p;

	for (;;) {
		if (arg)
			p = io_uring_ext_slab_get(slab);
		else if (io_uring_ext_slab_get_wait(slab, &p, IO_URING_EXT_UNLIMITED))
			p = NULL;
		if (!p)
			return NULL;
		CHECK(!drained);
		CHECK_EQ(io_uring_ext_slab_put(slab, p), 0);
	}
}

/* A slab that is drained is quiet: no thread has a slice, nor gets one. */
static void drain(char *mem, int seconds, bool waiting)
{
	struct io_uring_ext_slab_stats st;
	time_t end = time(NULL) + seconds;
	unsigned i, rounds;
	pthread_t tids[2];

	for (rounds = 0; time(NULL) <= end; rounds++) {
		CHECK_EQ(io_uring_ext_slab_create_mem(&slab, mem, SLICE * 16, SLICE, 0, 0), 0);
		drained = 0;
		for (i = 0; i < 2; i++)
			CHECK_EQ(pthread_create(&tids[i], NULL, until_closed,
						waiting ? NULL : slab), 0);
		CHECK_EQ(io_uring_ext_slab_drain(slab, IO_URING_EXT_UNLIMITED), 0);
		drained = 1;
		for (i = 0; i < 2; i++)
			pthread_join(tids[i], NULL);
		CHECK_EQ(io_uring_ext_slab_stats(slab, &st), 0);
		CHECK_EQ(st.in_use, 0);
		CHECK_EQ(io_uring_ext_slab_destroy(slab), 0);
	}
	printf("%u times drained%s\n", rounds, waiting ? ", waiting" : "");
}

int main(void)
{
	const char *t = getenv("TEST_SECONDS");
	int seconds = t ? atoi(t) : 2;
	char *mem = malloc(SLICE * SLICES);
	int part = seconds > 5 ? seconds / 6 : 1;

	CHECK(mem);
	/* Who is not woken waits for ever */
	alarm(2 * seconds + 60);
	run(mem, SLICES, 0, part);
	/* So few that the same slice is soon on top again while a get is under way */
	run(mem, 16, 0, seconds > 5 ? seconds - 4 * part : 1);
	run(mem, SLICES, IO_URING_EXT_SLAB_DEBUG, part);
	way = WAITING;
	run(mem, 3, 0, part);
	way = CACHED;
	run(mem, SLICES, 0, part);
	drain(mem, part, false);
	drain(mem, part, true);
	free(mem);
	return 0;
}
