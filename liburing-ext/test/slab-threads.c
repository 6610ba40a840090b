/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * Eight threads on one slab, for TEST_SECONDS (default 2): each slice that is handed
 * out has one owner, and what the owner wrote stays.  Under TSan the owners' plain
 * writes also show whether put and get order them.
 */
#include <time.h>

#include "helpers.h"

#define THREADS	8
#define SLICE	256
#define SLICES	61
#define MAX_HOLD 12

static struct io_uring_ext_slab *slab;
static _Atomic int stop;
static unsigned hold;

struct worker {
	pthread_t tid;
	unsigned id;
	unsigned long gets;
};

static void own(unsigned char *p, unsigned char id)
{
	memset(p, id, SLICE);
}

static void give(unsigned char *p, unsigned char id)
{
	unsigned i;

	for (i = 0; i < SLICE; i++)
		CHECK_EQ(p[i], id);
	CHECK_EQ(io_uring_ext_slab_put(slab, p), 0);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	unsigned char *held[MAX_HOLD];
	unsigned n = 0, seed = w->id;

	while (!stop) {
		seed = seed * 1103515245 + 12345;
		if (n < hold && (seed >> 16) % 2) {
			unsigned char *p = io_uring_ext_slab_get(slab);

			if (!p)
				continue;
			own(p, w->id);
			held[n++] = p;
			w->gets++;
		} else if (n) {
			unsigned i = (seed >> 20) % n;

			give(held[i], w->id);
			held[i] = held[--n];
		}
	}
	while (n)
		give(held[--n], w->id);
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
	hold = slices < SLICES ? 2 : MAX_HOLD;
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
	printf("%lu times one of %u slices in %d s%s\n", gets, slices, seconds,
	       flags ? ", debug" : "");
}

int main(void)
{
	const char *t = getenv("TEST_SECONDS");
	int seconds = t ? atoi(t) : 2;
	char *mem = malloc(SLICE * SLICES);
	int part = seconds > 3 ? seconds / 4 : 1;

	CHECK(mem);
	run(mem, SLICES, 0, part);
	/* So few that the same slice is soon on top again while a get is under way */
	run(mem, 16, 0, seconds > 3 ? seconds - 2 * part : 1);
	run(mem, SLICES, IO_URING_EXT_SLAB_DEBUG, part);
	free(mem);
	return 0;
}
