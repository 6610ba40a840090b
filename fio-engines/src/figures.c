// SPDX-License-Identifier: GPL-2.0-only
/*
 * What registration cost.
 *
 * Times go into buckets, 512 for each power of two, so that a job may churn for days
 * in constant memory; minimum, maximum and mean are exact.  What comes before fio
 * measures, and after it, is kept apart; ramp time is not kept at all.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "fio.h"

#include "regbuf.h"

static const char * const figure_names[REGBUF_NR_FIGURES] = {
	[REGBUF_FIRST]		= "register_first",
	[REGBUF_REGISTER]	= "register",
	[REGBUF_UNREGISTER]	= "unregister",
	[REGBUF_REPLACE]	= "replace",
	[REGBUF_CLONE]		= "clone",
	[REGBUF_UNCLONE]	= "unclone",
	[REGBUF_RELEASE]	= "release",
	[REGBUF_EMPTY]		= "empty",
};

const char *regbuf_figure_name(enum regbuf_figure f)
{
	return figure_names[f];
}

uint64_t regbuf_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

void regbuf_get_locked(struct regbuf_locked *l)
{
	char line[128];
	FILE *f;

	memset(l, 0, sizeof(*l));
	f = fopen("/proc/self/status", "re");
	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		sscanf(line, "VmPin: %lu", &l->pinned);
		sscanf(line, "VmLck: %lu", &l->locked);
		sscanf(line, "VmPTE: %lu", &l->tables);
	}
	fclose(f);
}

static unsigned int bucket_of(uint64_t ns)
{
	unsigned int log;

	if (ns < 1U << REGBUF_SUB_BITS)
		return ns;
	log = 63 - __builtin_clzll(ns);
	return ((log - REGBUF_SUB_BITS + 1) << REGBUF_SUB_BITS) +
	       (ns >> (log - REGBUF_SUB_BITS)) - (1U << REGBUF_SUB_BITS);
}

/* The time in the middle of a bucket. */
static uint64_t bucket_time(unsigned int bucket)
{
	unsigned int octave = bucket >> REGBUF_SUB_BITS;
	uint64_t sub = bucket & ((1U << REGBUF_SUB_BITS) - 1);

	if (octave <= 1)
		return bucket;
	return ((sub + (1U << REGBUF_SUB_BITS)) << (octave - 1)) + (1ULL << (octave - 2));
}

uint64_t regbuf_percentile(const struct regbuf_times *t, unsigned int permille)
{
	uint64_t want = (t->count * permille + 999) / 1000, seen = 0, time;
	unsigned int i;

	for (i = 0; i < REGBUF_BUCKETS - 1; i++) {
		seen += t->bucket[i];
		if (seen >= want)
			break;
	}
	/* The last of all is known exactly */
	if (want == t->count)
		return t->max;
	time = bucket_time(i);
	return time < t->min ? t->min : time > t->max ? t->max : time;
}

/* As fio's latency logs: 0 is a read, 1 a write, 2 a trim. */
static void log_call(struct regbuf *rb, enum regbuf_figure f, uint64_t end, uint64_t ns,
		     uint64_t bytes)
{
	bool off = f == REGBUF_UNREGISTER || f == REGBUF_UNCLONE;

	if (!rb->log_start)
		rb->log_start = end - ns;
	fprintf(rb->log, "%llu, %llu, %u, %llu, 0\n",
		(unsigned long long)(end - rb->log_start) / 1000000, (unsigned long long)ns,
		off ? 2 : 1, (unsigned long long)bytes);
}

uint64_t regbuf_begin(struct regbuf *rb)
{
	if (rb->issuing && fio_fill_issue_time(rb->td))
		fio_gettime(&rb->issuing->issue_time, NULL);
	rb->issuing = NULL;
	return regbuf_now();
}

int regbuf_call(struct regbuf *rb, const struct io_uring *ring, unsigned int op, const void *arg,
		unsigned int nr_args)
{
	int ret;

	rb->call_start = regbuf_begin(rb);
	ret = syscall(__NR_io_uring_register, ring->ring_fd, op, arg, nr_args);
	rb->call_end = regbuf_now();
	return ret < 0 ? -errno : ret;
}

void regbuf_count_call(struct regbuf *rb, enum regbuf_figure f, uint64_t slots, uint64_t bytes)
{
	regbuf_count(rb, f, rb->call_start, rb->call_end, slots, bytes);
}

void regbuf_count(struct regbuf *rb, enum regbuf_figure f, uint64_t start, uint64_t end,
		  uint64_t slots, uint64_t bytes)
{
	const bool measured = rb->phase == REGBUF_PHASE_MEASURED;
	struct regbuf_times *t = &rb->times[rb->phase][f];
	uint64_t ns = end - start;

	if (in_ramp_time(rb->td) && measured)
		return;
	if (!t->count || ns < t->min)
		t->min = ns;
	if (ns > t->max)
		t->max = ns;
	t->count++;
	t->slots += slots;
	t->bytes += bytes;
	t->sum += ns;
	if (!measured)
		return;
	if (!t->bucket)
		t->bucket = calloc(REGBUF_BUCKETS, sizeof(*t->bucket));
	if (t->bucket)
		t->bucket[bucket_of(ns)]++;
	/* A release is not a call */
	if (rb->log && f != REGBUF_RELEASE)
		log_call(rb, f, end, ns, bytes);
	if (rb->o->reg_samples == f) {
		add_sync_clat_sample(&rb->td->ts, ns);
		rb->td->ts.total_io_u[DDIR_SYNC]++;
	}
}

void regbuf_figures_free(struct regbuf *rb)
{
	unsigned int i;

	for (i = 0; i < REGBUF_NR_FIGURES; i++)
		free(rb->times[REGBUF_PHASE_MEASURED][i].bucket);
	memset(rb->times, 0, sizeof(rb->times));
}
