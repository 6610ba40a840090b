// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is told: to people on stderr, to fio for its results, and in reg_log.
 *
 * fio's own messages are no good for that.  With --output= they go into the file, and
 * those of a job that is a process stay in its stdio buffer and are lost with it;
 * without, they come before the JSON, and whoever parses it fails.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fio.h"

#include "io.h"

#define SAY_EVERY	2000000000ULL	/* ns */

void regbuf_say(const char *format, ...)
{
	char line[1024] = "regbuf: ";
	const size_t at = strlen(line);
	va_list args;
	size_t len;

	va_start(args, format);
	vsnprintf(line + at, sizeof(line) - at - 1, format, args);
	va_end(args);
	len = strlen(line);
	line[len++] = '\n';
	line[len] = '\0';
	/* The stderr of a server is not the user's */
	if (is_backend)
		log_err("%s", line);
	else if (write(STDERR_FILENO, line, len) < 0)
		log_err("%s", line);
}

/* ---- a note in fio's results ------------------------------------------------------ */

/*
 * The only text of a job that fio prints in all formats is its description: a string of
 * the process that prints, while the job, if it is a process, learns later what there is
 * to say.  So the string becomes a page of its own that both share.  fio frees it as it
 * frees any; to the allocator it is memory as it was.
 */
void regbuf_note_prepare(struct thread_data *td)
{
	const size_t page = sysconf(_SC_PAGESIZE);
	char *text;

	/* With create_serialize=0 this is the job already, and nobody else would see it */
	if (td->pid && !td->o.use_thread)
		return;
	if (posix_memalign((void **)&text, page, page))
		return;
	if (mmap(text, page, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_SHARED | MAP_ANONYMOUS,
		 -1, 0) == MAP_FAILED) {
		free(text);
		return;
	}
	if (td->o.description)
		snprintf(text, page, "%s", td->o.description);
	free(td->o.description);
	td->o.description = text;
}

void regbuf_note(struct thread_data *td, const char *note)
{
	const size_t page = sysconf(_SC_PAGESIZE);
	char *text = td->o.description;
	size_t len;

	regbuf_say("%s: %s", td->o.name, note);
	if (!text || ((uintptr_t)text & (page - 1)))
		return;
	len = strlen(text);
	snprintf(text + len, page - len, "%sregbuf: %s", len ? "; " : "", note);
}

/* ---- what takes long --------------------------------------------------------------- */

void regbuf_watch_start(struct regbuf_watch *w, struct thread_data *td, const char *what)
{
	w->td = td;
	w->what = what;
	w->next = regbuf_now() + SAY_EVERY;
}

int regbuf_watch(void *arg, size_t done, size_t total)
{
	struct regbuf_watch *w = arg;

	if (w->td->terminate) {
		regbuf_say("%s: %s: stopped at %zu of %zu MiB", w->td->o.name, w->what,
			   done >> 20, total >> 20);
		return 1;
	}
	if (regbuf_now() < w->next)
		return 0;
	w->next = regbuf_now() + SAY_EVERY;
	regbuf_say("%s: %s: %zu of %zu MiB", w->td->o.name, w->what, done >> 20, total >> 20);
	return 0;
}

/* ---- the line of JSON ---------------------------------------------------------------- */

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
	const struct regbuf_arena *a = rb->arena;
	struct io_uring_ext_arena_info now = { .huge_bytes = a->info.huge_bytes };

	/* What khugepaged and others made of it meanwhile; a mix is not one range to ask of */
	if (rb->o->arena_mem != REGBUF_MEM_MIXED)
		io_uring_ext_arena_info(a->arena, &now);
	fprintf(f, "\"arena\":{");
	put_string(f, "asked", regbuf_mem_name(rb->o->arena_mem));
	fputc(',', f);
	put_string(f, "got", rb->o->arena_mem == REGBUF_MEM_MIXED ? "mixed" :
			     kinds[a->info.mem]);
	fprintf(f, ",\"bytes\":%zu,\"memory_bytes\":%zu,\"page_bytes\":%zu,"
		"\"huge_bytes\":%zu,\"huge_bytes_end\":%zu,\"shared\":%s,\"jobs\":%u,"
		"\"fragment_bytes\":%llu,",
		a->size, a->memory, a->info.page_size, a->info.huge_bytes, now.huge_bytes,
		a->info.memfd >= 0 ? "true" : "false",
		rb->nr_jobs, rb->o->arena_frag);
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
		"\"smallest\":%llu,\"largest\":%llu,\"uniform\":%s,\"readonly\":%s",
		sources[l->source], l->len, l->runs, l->smallest, l->largest,
		l->flags & IO_URING_EXT_LAYOUT_UNIFORM ? "true" : "false",
		l->flags & IO_URING_EXT_LAYOUT_READONLY ? "true" : "false");
	if (l->metadata != IO_URING_EXT_UNLIMITED)
		fprintf(f, ",\"metadata_bytes\":%llu", l->metadata);
	if (l->charged != IO_URING_EXT_UNLIMITED)
		fprintf(f, ",\"charged_bytes\":%llu", l->charged);
	fputc('}', f);
}

static void put_time(FILE *f, const struct regbuf_times *t)
{
	static const unsigned int permille[] = { 500, 900, 990, 999 };
	unsigned int k;

	fprintf(f, "{\"count\":%llu,\"slots\":%llu,\"bytes\":%llu,"
		"\"min_ns\":%llu,\"mean_ns\":%.1f,\"max_ns\":%llu",
		(unsigned long long)t->count, (unsigned long long)t->slots,
		(unsigned long long)t->bytes, (unsigned long long)t->min,
		(double)t->sum / t->count, (unsigned long long)t->max);
	for (k = 0; t->bucket && k < ARRAY_LEN(permille); k++)
		fprintf(f, ",\"p%g_ns\":%llu", permille[k] / 10.0,
			(unsigned long long)regbuf_percentile(t, permille[k]));
	fputc('}', f);
}

static void put_times(FILE *f, const struct regbuf *rb, const char *name,
		      enum regbuf_phase phase)
{
	const struct regbuf_times *t;
	const char *comma = "";
	unsigned int i;

	fprintf(f, ",\"%s\":{", name);
	for (i = 0; i < REGBUF_NR_FIGURES; i++) {
		t = &rb->times[phase][i];
		if (!t->count)
			continue;
		fprintf(f, "%s\"%s\":", comma, regbuf_figure_name(i));
		put_time(f, t);
		comma = ",";
	}
	fputc('}', f);
}

static void put_io(FILE *f, const struct regbuf *rb)
{
	static const char * const names[] = { "read", "write", "trim" };
	const struct regbuf_io_figures *io = &rb->io;
	const uint64_t ticks = regbuf_ticks() - io->first_tick;
	unsigned long long ns = 0;
	unsigned int i;

	if (!io->last)
		return;
	/* A counter may be too coarse for a job of a few I/Os. */
	if (ticks)
		ns = (unsigned __int128)(regbuf_now() - io->first) *
		     (io->last - io->first_tick) / ticks;
	fprintf(f, ",\"io\":{\"ns\":%llu", ns);
	for (i = 0; i < ARRAY_LEN(names); i++)
		fprintf(f, ",\"%s\":{\"count\":%llu,\"bytes\":%llu}", names[i],
			(unsigned long long)io->count[i], (unsigned long long)io->bytes[i]);
	fputc('}', f);
}

static void put_locked(FILE *f, const struct regbuf *rb)
{
	const struct regbuf_locked *before = &rb->locked_before;
	struct regbuf_locked after;

	regbuf_get_locked(&after);
	fprintf(f, ",\"locked\":{\"pinned_kib_before\":%lu,\"pinned_kib_after\":%lu,"
		"\"locked_kib_before\":%lu,\"locked_kib_after\":%lu,"
		"\"tables_kib_before\":%lu,\"tables_kib_after\":%lu}", before->pinned,
		after.pinned, before->locked, after.locked, before->tables, after.tables);
}

static void put_job(FILE *f, const struct regbuf *rb)
{
	const struct regbuf_options *o = rb->o;

	fputc('{', f);
	put_string(f, "job", rb->td->o.name);
	fprintf(f, ",\"job_number\":%u,", rb->td->thread_number);
	put_string(f, "fio", fio_version_string);
	fputc(',', f);
	put_string(f, "mode", regbuf_mode_name(o->reg_mode));
	fprintf(f, ",\"fixedbufs\":%s,",
		o->fixedbufs ? "true" : "false");
	put_string(f, "reg_op", regbuf_op_name(o->reg_op));
	fprintf(f, ",\"slots\":%u,\"slot_bytes\":%zu,\"churns\":%llu,\"tags_due\":%llu,"
		"\"tags_seen\":%llu,\"faults\":%llu,", rb->slots.nr, rb->slots.size,
		(unsigned long long)rb->churns, (unsigned long long)rb->slots.tags_due,
		(unsigned long long)rb->slots.tags_seen, (unsigned long long)rb->faults);
	put_arena(f, rb);
	put_layout(f, rb);
	put_io(f, rb);
	if (o->reg_op == REGBUF_OP_SQE)
		fprintf(f, ",\"requests\":{\"count\":%llu,\"io_beside\":%llu}",
			(unsigned long long)rb->request.count,
			(unsigned long long)rb->request.beside);
	put_times(f, rb, "calls", REGBUF_PHASE_MEASURED);
	put_times(f, rb, "setup", REGBUF_PHASE_SETUP);
	put_times(f, rb, "teardown", REGBUF_PHASE_TEARDOWN);
	put_locked(f, rb);
	fprintf(f, "}\n");
}

/* ---- files --------------------------------------------------------------------------- */

static int open_log(const char *path)
{
	return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
}

/*
 * Jobs that end at the same time do not mix their lines.  One write is not enough for that on
 * a network file system; a file system that cannot lock is taken at its word.
 */
static int append(const char *path, const char *line, size_t len)
{
	int fd = open_log(path), ret = 0;

	if (fd < 0)
		return errno;
	flock(fd, LOCK_EX);
	if (write(fd, line, len) != (ssize_t)len)
		ret = errno ? errno : EIO;
	if (close(fd) && !ret)
		ret = errno;
	return ret;
}

int regbuf_logs_open(struct regbuf *rb)
{
	const struct regbuf_options *o = rb->o;
	char path[4096];
	int fd, ret;

	if (o->reg_log) {
		fd = open_log(o->reg_log);
		if (fd < 0) {
			ret = errno;
			regbuf_say("reg_log=%s: %s", o->reg_log, strerror(ret));
			return ret;
		}
		close(fd);
	}
	if (o->write_reg_log) {
		snprintf(path, sizeof(path), "%s_reg.%u.log", o->write_reg_log,
			 rb->td->thread_number);
		rb->log = fopen(path, "we");
		if (!rb->log) {
			ret = errno;
			regbuf_say("write_reg_log: %s: %s", path, strerror(ret));
			return ret;
		}
	}
	return 0;
}

int regbuf_report(struct regbuf *rb)
{
	const struct regbuf_options *o = rb->o;
	char *line = NULL;
	int ret = 0;
	size_t len;
	FILE *f;

	if (rb->log && fclose(rb->log)) {
		ret = errno;
		regbuf_say("write_reg_log=%s: %s", o->write_reg_log, strerror(ret));
	}
	rb->log = NULL;
	if (!o->reg_log || !rb->arena)
		return ret;
	f = open_memstream(&line, &len);
	if (!f)
		return ENOMEM;
	put_job(f, rb);
	ret = fclose(f) ? ENOMEM : append(o->reg_log, line, len);
	free(line);
	if (ret)
		regbuf_say("reg_log=%s: %s", o->reg_log, strerror(ret));
	return ret;
}
