// SPDX-License-Identifier: GPL-2.0-only
/*
 * What registration cost, and the line of JSON that tells it.
 *
 * Times go into buckets, 32 for each power of two, so that a job may churn for days
 * in constant memory; minimum, maximum and mean are exact.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "fio.h"

#include "regbuf.h"

static const char * const figure_names[REGBUF_NR_FIGURES] = {
	[REGBUF_REGISTER]	= "register",
	[REGBUF_UNREGISTER]	= "unregister",
	[REGBUF_REPLACE]	= "replace",
	[REGBUF_CLONE]		= "clone",
	[REGBUF_UNCLONE]	= "unclone",
	[REGBUF_RELEASE]	= "release",
};

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

/* The largest time that falls into a bucket. */
static uint64_t bucket_end(unsigned int bucket)
{
	unsigned int octave = bucket >> REGBUF_SUB_BITS;
	uint64_t sub = bucket & ((1U << REGBUF_SUB_BITS) - 1);

	if (!octave)
		return bucket;
	return ((sub + (1U << REGBUF_SUB_BITS) + 1) << (octave - 1)) - 1;
}

/* Nearest rank: the smallest time that so many of 1000 do not exceed. */
static uint64_t percentile(const struct regbuf_times *t, unsigned int permille)
{
	uint64_t want = (t->count * permille + 999) / 1000, seen = 0, end;
	unsigned int i;

	for (i = 0; i < REGBUF_BUCKETS; i++) {
		seen += t->bucket[i];
		if (seen >= want)
			break;
	}
	end = bucket_end(i);
	return end < t->min ? t->min : end > t->max ? t->max : end;
}

void regbuf_count(struct regbuf *rb, enum regbuf_figure f, uint64_t start, uint64_t slots,
		  uint64_t bytes)
{
	struct regbuf_times *t = &rb->times[f];
	uint64_t ns = regbuf_now() - start;

	if (!t->bucket) {
		t->bucket = calloc(REGBUF_BUCKETS, sizeof(*t->bucket));
		if (!t->bucket)
			return;
		t->min = ns;
	}
	t->count++;
	t->slots += slots;
	t->bytes += bytes;
	t->sum += ns;
	if (ns < t->min)
		t->min = ns;
	if (ns > t->max)
		t->max = ns;
	t->bucket[bucket_of(ns)]++;

	/* A release is not something that the job did */
	if (rb->o->reg_samples && f != REGBUF_RELEASE) {
		add_sync_clat_sample(&rb->td->ts, ns);
		rb->td->ts.total_io_u[DDIR_SYNC]++;
	}
}

void regbuf_figures_free(struct regbuf *rb)
{
	unsigned int i;

	for (i = 0; i < REGBUF_NR_FIGURES; i++)
		free(rb->times[i].bucket);
	memset(rb->times, 0, sizeof(rb->times));
}

/* ---- JSON ------------------------------------------------------------------------ */

static void put_string(FILE *f, const char *name, const char *value)
{
	fprintf(f, "\"%s\":\"", name);
	for (; value && *value; value++) {
		if (*value == '"' || *value == '\\')
			fprintf(f, "\\%c", *value);
		else if ((unsigned char)*value < ' ')
			fprintf(f, "\\u%04x", *value);
		else
			fputc(*value, f);
	}
	fputc('"', f);
}

static void put_arena(FILE *f, const struct regbuf *rb)
{
	static const char * const kinds[] = {
		[IO_URING_EXT_MEM_HUGE_1G] = "huge1g", [IO_URING_EXT_MEM_HUGE_2M] = "huge2m",
		[IO_URING_EXT_MEM_THP] = "thp", [IO_URING_EXT_MEM_BASE] = "4k",
	};
	const struct regbuf_arena *a = &rb->arena;

	fprintf(f, "\"arena\":{");
	put_string(f, "asked", regbuf_mem_name(rb->o->arena_mem));
	fputc(',', f);
	put_string(f, "got", rb->o->arena_mem == REGBUF_MEM_MIXED ? "mixed" :
			     kinds[a->info.mem]);
	fprintf(f, ",\"bytes\":%zu,\"memory_bytes\":%zu,\"page_bytes\":%zu,"
		"\"huge_bytes\":%zu,\"shared\":%s,\"fragment_bytes\":%llu,",
		a->size, a->memory, a->info.page_size, a->info.huge_bytes,
		a->info.memfd >= 0 ? "true" : "false", rb->o->arena_frag);
	put_string(f, "note", a->note);
	fputc('}', f);
}

static void put_layout(FILE *f, const struct regbuf *rb)
{
	static const char * const sources[] = {
		[IO_URING_EXT_LAYOUT_KERNEL] = "kernel",
		[IO_URING_EXT_LAYOUT_PAGEMAP] = "pagemap",
		[IO_URING_EXT_LAYOUT_SMAPS] = "smaps",
	};
	const struct io_uring_ext_layout *l = &rb->layout;

	if (!rb->has_layout)
		return;
	fprintf(f, ",\"first_slot\":{\"source\":\"%s\",\"bytes\":%llu,\"runs\":%llu,"
		"\"smallest\":%llu,\"largest\":%llu,\"uniform\":%s", sources[l->source], l->len,
		l->runs, l->smallest, l->largest,
		l->flags & IO_URING_EXT_LAYOUT_UNIFORM ? "true" : "false");
	if (l->metadata != IO_URING_EXT_UNLIMITED)
		fprintf(f, ",\"metadata_bytes\":%llu", l->metadata);
	if (l->charged != IO_URING_EXT_UNLIMITED)
		fprintf(f, ",\"charged_bytes\":%llu", l->charged);
	fputc('}', f);
}

static void put_times(FILE *f, const struct regbuf *rb)
{
	static const unsigned int permille[] = { 500, 900, 990, 999 };
	const struct regbuf_times *t;
	const char *comma = "";
	unsigned int i, k;

	fprintf(f, ",\"calls\":{");
	for (i = 0; i < REGBUF_NR_FIGURES; i++) {
		t = &rb->times[i];
		if (!t->count)
			continue;
		fprintf(f, "%s\"%s\":{\"count\":%llu,\"slots\":%llu,\"bytes\":%llu,"
			"\"min_ns\":%llu,\"mean_ns\":%.1f,\"max_ns\":%llu", comma,
			figure_names[i], (unsigned long long)t->count,
			(unsigned long long)t->slots, (unsigned long long)t->bytes,
			(unsigned long long)t->min, (double)t->sum / t->count,
			(unsigned long long)t->max);
		for (k = 0; k < ARRAY_LEN(permille); k++)
			fprintf(f, ",\"p%g_ns\":%llu", permille[k] / 10.0,
				(unsigned long long)percentile(t, permille[k]));
		fputc('}', f);
		comma = ",";
	}
	fputc('}', f);
}

static void put_locked(FILE *f, const struct regbuf *rb)
{
	const struct regbuf_locked *before = &rb->locked_before;
	struct regbuf_locked after;

	regbuf_get_locked(&after);
	fprintf(f, ",\"locked\":{\"pinned_kib_before\":%lu,\"pinned_kib_after\":%lu,"
		"\"locked_kib_before\":%lu,\"locked_kib_after\":%lu}", before->pinned,
		after.pinned, before->locked, after.locked);
}

/* One write, so that jobs that end at the same time do not mix their lines. */
static int append(const char *path, const char *line, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644), ret = 0;

	if (fd < 0)
		return errno;
	if (write(fd, line, len) != (ssize_t)len)
		ret = errno ? errno : EIO;
	if (close(fd) && !ret)
		ret = errno;
	return ret;
}

int regbuf_report(struct regbuf *rb)
{
	const struct regbuf_options *o = rb->o;
	struct thread_data *td = rb->td;
	char *line = NULL;
	size_t len;
	FILE *f;
	int ret;

	if (!o->reg_log || !*o->reg_log)
		return 0;
	f = open_memstream(&line, &len);
	if (!f)
		return ENOMEM;
	fputc('{', f);
	put_string(f, "job", td->o.name);
	fprintf(f, ",\"job_number\":%u,", td->thread_number);
	put_string(f, "fio", fio_version_string);
	fprintf(f, ",\"mode\":\"%s\",\"fixedbufs\":%s,",
		o->mode == REGBUF_MODE_REGISTER ? "register" : "io",
		o->fixedbufs ? "true" : "false");
	put_string(f, "reg_op", regbuf_op_name(o->reg_op));
	fprintf(f, ",\"slots\":%u,\"slot_bytes\":%zu,\"churns\":%llu,\"tags_due\":%llu,"
		"\"tags_seen\":%llu,\"faults\":%llu,", rb->slots.nr, rb->slots.size,
		(unsigned long long)rb->churns, (unsigned long long)rb->slots.tags_due,
		(unsigned long long)rb->slots.tags_seen, (unsigned long long)rb->faults);
	put_arena(f, rb);
	put_layout(f, rb);
	put_times(f, rb);
	put_locked(f, rb);
	fprintf(f, "}\n");
	ret = fclose(f) ? ENOMEM : append(o->reg_log, line, len);
	free(line);
	if (ret)
		log_err("regbuf: reg_log=%s: %s\n", o->reg_log, strerror(ret));
	return ret;
}
