// SPDX-License-Identifier: GPL-2.0
/*
 * pin_bench: what it costs to pin memory, as pages and as runs, and to release it again.
 *
 *	pin_bench [options] time	time, or instructions
 *	pin_bench [options] irqsoff	the longest time with interrupts off, and where it was
 *	pin_bench [options] memory	kernel memory that is allocated on the way
 *
 * For each of a table of layouts the memory is made and checked to be what it claims, and pinned
 * in the ways that the kernel has. "pages" is pin_user_pages_fast(), "runs" is
 * pin_user_runs_fast(), and "register" is what io_uring does with the memory. All pages must be
 * pinned, all pins be given back.
 *
 * Under "qemu -icount shift=N" with one CPU, guest time is an exact count: an instruction is 2^N
 * ns. Results are lines of text, and a JSON object a line with --json.
 */
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "alloc_trace.h"
#include "bench.h"
#include "irqsoff.h"
#include "layouts.h"
#include "pin.h"
#include "registration.h"
#include "vmstat.h"

#define TIMES_MAX	5
#define TIMES_ENOUGH_NS	100000000	/* in all; then no further time is taken */
#define CHUNK		4096

enum mode {
	MODE_TIME = 1,
	MODE_IRQSOFF = 2,
	MODE_MEMORY = 4,
};

static const struct way {
	const char *name;
	unsigned int modes;
	struct pin_method method;
} ways[] = {
	{ "pages", MODE_TIME | MODE_IRQSOFF | MODE_MEMORY,
	  { .call = PIN_PAGES, .longterm = true } },
	/* As direct I/O does it, which is pin_user_pages_fast()'s most frequent caller */
	{ "pages-16", MODE_TIME,
	  { .call = PIN_PAGES, .pages_per_call = 16 } },
	{ "runs", MODE_TIME | MODE_IRQSOFF | MODE_MEMORY,
	  { .call = PIN_RUNS, .longterm = true, .chunk_bytes = CHUNK } },
};

/* How the memory of a test is when it is pinned */
enum state {
	RESIDENT,
	UNTOUCHED,		/* every page faults */
	MOVABLE,		/* every page is migrated first; boot with movablecore= */
};

static const struct test {
	const char *name;
	const char *title;
	unsigned int modes;
	struct layout layout;
	enum state state;
} tests[] = {
	{ "4k", "4K pages", MODE_TIME | MODE_IRQSOFF,
	  { .backing = BACKING_4K, .size = GIB }, RESIDENT },
	{ "16k", "16K mTHP", MODE_TIME,
	  { .backing = BACKING_16K, .size = GIB }, RESIDENT },
	{ "64k", "64K mTHP", MODE_TIME | MODE_IRQSOFF,
	  { .backing = BACKING_64K, .size = GIB }, RESIDENT },
	{ "1m", "1M mTHP", MODE_TIME,
	  { .backing = BACKING_1M, .size = GIB }, RESIDENT },
	{ "thp-ptes", "THP, mapped by PTEs", MODE_TIME,
	  { .backing = BACKING_THP_PTES, .size = GIB }, RESIDENT },
	{ "thp", "THP", MODE_TIME,
	  { .backing = BACKING_THP, .size = GIB }, RESIDENT },
	{ "2m", "hugetlb 2M", MODE_TIME,
	  { .backing = BACKING_HUGETLB_2M, .size = GIB }, RESIDENT },
	{ "1g", "hugetlb 1G", MODE_TIME,
	  { .backing = BACKING_HUGETLB_1G, .size = GIB }, RESIDENT },

	{ "4k-256m", "4K pages", MODE_IRQSOFF | MODE_MEMORY,
	  { .backing = BACKING_4K, .size = 256 * MIB }, RESIDENT },
	{ "2m-16g", "hugetlb 2M, aliased", MODE_IRQSOFF,
	  { .backing = BACKING_HUGETLB_2M, .size = 16 * GIB, .alias = 256 * MIB }, RESIDENT },
	{ "1g-64g", "hugetlb 1G, aliased", MODE_TIME | MODE_IRQSOFF | MODE_MEMORY,
	  { .backing = BACKING_HUGETLB_1G, .size = 64 * GIB, .alias = GIB }, RESIDENT },
	{ "1g-256g", "hugetlb 1G, aliased", MODE_IRQSOFF | MODE_MEMORY,
	  { .backing = BACKING_HUGETLB_1G, .size = 256 * GIB, .alias = GIB }, RESIDENT },

	{ "4k-16m", "4K pages", MODE_MEMORY,
	  { .backing = BACKING_4K, .size = 16 * MIB }, RESIDENT },
	{ "untouched-16m", "memory never touched", MODE_MEMORY,
	  { .backing = BACKING_4K, .size = 16 * MIB }, UNTOUCHED },
	{ "untouched-64m", "memory never touched", MODE_TIME | MODE_MEMORY,
	  { .backing = BACKING_4K, .size = 64 * MIB }, UNTOUCHED },
	{ "movable-16m", "4K pages in ZONE_MOVABLE", MODE_MEMORY,
	  { .backing = BACKING_4K, .size = 16 * MIB }, MOVABLE },
	{ "movable-64m", "4K pages in ZONE_MOVABLE", MODE_MEMORY,
	  { .backing = BACKING_4K, .size = 64 * MIB }, MOVABLE },
};

static struct {
	const char *ways;
	size_t max;			/* of a range */
	enum mode mode;
} opt = { .max = SIZE_MAX };

static int gup_test;
static struct alloc_trace alloc_trace;
static struct irqsoff irqsoff;

/* One pin of each kind, as registration of a buffer and as a call of its own. */
static int register_once(const struct memory *mem, struct reason *why)
{
	struct iovec iov = { mem->addr, mem->size };
	struct io_uring ring;
	int ret;

	if (ring_init(&ring, false, why))
		return -1;
	ret = io_uring_register_buffers(&ring, &iov, 1);
	if (ret)
		ret = because(why, "io_uring_register_buffers: %s", strerror(-ret));
	else if ((ret = io_uring_unregister_buffers(&ring)))
		ret = because(why, "io_uring_unregister_buffers: %s", strerror(-ret));
	io_uring_queue_exit(&ring);
	return ret;
}

static void start_line(const struct test *test, const char *way, size_t bytes)
{
	char size[32];

	printf("%-14s %-8s %9s", test->name, way, format_size(bytes, size, sizeof(size)));
	if (bench.json)
		fprintf(bench.json, "{\"type\": \"pin\", \"name\": \"%s/%s\", \"title\": \"%s\", "
			"\"bytes\": %zu, \"ok\": true", test->name, way, test->title, bytes);
}

static void end_line(void)
{
	putchar('\n');
	fflush(stdout);
	bench_json_end();
	bench.passed++;
}

static void number(const char *key, unsigned long long value)
{
	printf("  %s %llu", key, value);
	if (bench.json)
		fprintf(bench.json, ", \"%s\": %llu", key, value);
}

static void text(const char *key, const char *value)
{
	printf("  %s %s", key, value);
	if (bench.json) {
		fprintf(bench.json, ", \"%s\": ", key);
		json_string(bench.json, value);
	}
}

static int forget(const struct memory *mem, struct reason *why)
{
	if (madvise(mem->addr, mem->size, MADV_DONTNEED))
		return because(why, "MADV_DONTNEED: %s", strerror(errno));
	return 0;
}

static int run_time(const struct test *test, const struct way *way, const struct memory *mem,
		    struct reason *why)
{
	struct pin_result result, least = { .pin_ns = UINT64_MAX, .unpin_ns = UINT64_MAX };
	uint64_t total = 0;
	char key[16];

	for (int i = 0; i < TIMES_MAX && total < TIMES_ENOUGH_NS; i++) {
		if (test->state == UNTOUCHED && forget(mem, why))
			return -1;
		settle();
		if (pin_run(gup_test, &way->method, mem->addr, mem->size, &result, why))
			return -1;
		total += result.pin_ns + result.unpin_ns;
		result.pin_ns = result.pin_ns < least.pin_ns ? result.pin_ns : least.pin_ns;
		result.unpin_ns =
			result.unpin_ns < least.unpin_ns ? result.unpin_ns : least.unpin_ns;
		least = result;
	}
	start_line(test, way->name, mem->size);
	snprintf(key, sizeof(key), "pin_%s", bench_unit());
	number(key, bench_value(least.pin_ns));
	snprintf(key, sizeof(key), "unpin_%s", bench_unit());
	number(key, bench_value(least.unpin_ns));
	number("pages", least.pages);
	if (way->method.call == PIN_RUNS) {
		number("runs", least.runs);
		number("calls", least.calls);
		if (least.longest_section)
			number("longest_section", least.longest_section);
	}
	end_line();
	return 0;
}

/* @way: or NULL for registration */
static int run_irqsoff(const struct test *test, const struct way *way, const struct memory *mem,
		       struct reason *why)
{
	struct irqsoff_span span;
	struct pin_result result;
	int ret;

	settle();
	if (irqsoff_start(&irqsoff, why))
		return -1;
	ret = way ? pin_run(gup_test, &way->method, mem->addr, mem->size, &result, why) :
		    register_once(mem, why);
	if (irqsoff_stop(&irqsoff, &span, ret ? NULL : why) || ret)
		return -1;
	start_line(test, way ? way->name : "register", mem->size);
	number("irqsoff_usec", span.usec);
	text("began", span.began);
	text("ended", span.ended);
	end_line();
	return 0;
}

/* Fresh memory for each test: what was faulted in or migrated once is that for good. */
static int make_memory(const struct test *test, struct memory *mem, struct reason *why)
{
	struct layout layout = test->layout;
	size_t page = backing_page_size(layout.backing);

	if (layout.size > opt.max) {
		layout.size = opt.max > page ? opt.max : page;
		layout.alias = min_size(layout.alias, layout.size);
	}
	if (memory_map(mem, &layout, why))
		return -1;
	if (test->state == UNTOUCHED && forget(mem, why)) {
		memory_unmap(mem);
		return -1;
	}
	return 0;
}

static uint64_t vm_event(const char *name)
{
	uint64_t value;

	if (read_key("/proc/vmstat", name, &value))
		die("no %s in /proc/vmstat", name);
	return value;
}

static int run_memory(const struct test *test, const struct way *way, const struct memory *mem,
		      struct reason *why)
{
	size_t pages = mem->size / (4 * KIB);
	size_t callers = way->method.call == PIN_RUNS ? CHUNK : pages * sizeof(void *);
	struct pin_result result;
	struct alloc_usage usage;
	uint64_t migrated;
	int ret;

	/* Where there is memory that can move, this gets it out of there. */
	if (test->state == RESIDENT &&
	    pin_run(gup_test, &way->method, mem->addr, mem->size, &result, why))
		return -1;
	migrated = vm_event("pgmigrate_success");
	if (alloc_trace_start(&alloc_trace, why))
		return -1;
	ret = pin_run(gup_test, &way->method, mem->addr, mem->size, &result, why);
	if (alloc_trace_stop(&alloc_trace, &usage, ret ? NULL : why) || ret)
		return -1;
	migrated = vm_event("pgmigrate_success") - migrated;
	if (test->state == MOVABLE && migrated < pages)
		return because(why, "%llu of %zu pages migrated: no movablecore=?",
			       (unsigned long long)migrated, pages);
	if (usage.peak < callers)
		return because(why, "%llu bytes allocated, but the caller's are %zu",
			       (unsigned long long)usage.peak, callers);
	start_line(test, way->name, mem->size);
	number("peak_bytes", usage.peak);
	number("callers_bytes", callers);
	number("beyond_bytes", usage.peak - callers);
	number("kept_bytes", usage.kept);
	number("migrated", migrated);
	end_line();
	return 0;
}

static int run_way(const struct test *test, const struct way *way, struct reason *why)
{
	struct vmstat before;
	struct memory mem;
	int ret;

	vmstat_start(&before);
	if (make_memory(test, &mem, why))
		return -1;
	ret = opt.mode == MODE_TIME ? run_time(test, way, &mem, why) :
	      opt.mode == MODE_IRQSOFF ? run_irqsoff(test, way, &mem, why) :
					 run_memory(test, way, &mem, why);
	if (!ret)
		ret = memory_verify(&mem, why);
	memory_unmap(&mem);
	return vmstat_balanced(&before, ret ? NULL : why) || ret ? -1 : 0;
}

static void count(const struct test *test, const char *way, int ret, const struct reason *why)
{
	if (!ret)
		return;
	bench.failed++;
	printf("FAIL %s/%s: %s\n", test->name, way, why->text);
	fflush(stdout);
	if (!bench.json)
		return;
	fprintf(bench.json, "{\"type\": \"pin\", \"name\": \"%s/%s\", \"ok\": false, \"why\": ",
		test->name, way);
	json_string(bench.json, why->text);
	bench_json_end();
}

static void run_test(const struct test *test)
{
	struct reason why;

	note("%s", test->name);
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		const struct way *way = &ways[i];

		if (!(way->modes & opt.mode) || (opt.ways && !name_in_list(way->name, opt.ways)))
			continue;
		if (way->method.call == PIN_RUNS && !pin_has_runs(gup_test)) {
			bench.skipped++;
			continue;
		}
		count(test, way->name, run_way(test, way, &why), &why);
	}
	if (opt.mode == MODE_IRQSOFF && (!opt.ways || name_in_list("register", opt.ways)))
		count(test, "register", run_way(test, NULL, &why), &why);
}

static void parse_options(int argc, char **argv)
{
	static const struct bench_option options[] = {
		{ "ways", "NAME,...", "only pages, pages-16, runs or register", .text = &opt.ways },
		{ "max", "SIZE", "no larger ranges", .size = &opt.max, .least = 2 * MIB },
		{ }
	};
	static const char *const modes[] = {
		[MODE_TIME] = "time", [MODE_IRQSOFF] = "irqsoff", [MODE_MEMORY] = "memory",
	};
	int first = bench_options(argc, argv, "time|irqsoff|memory", options);

	if (opt.max != SIZE_MAX && opt.max % (2 * MIB))
		die("--max wants a multiple of 2M");
	for (size_t i = 0; first + 1 == argc && i < ARRAY_SIZE(modes); i++)
		if (modes[i] && !strcmp(argv[first], modes[i]))
			opt.mode = i;
	if (!opt.mode)
		bench_usage(2);
}

int main(int argc, char **argv)
{
	struct reason why;

	parse_options(argc, argv);
	gup_test = pin_open(&why);
	if (gup_test < 0 ||
	    (opt.mode == MODE_IRQSOFF && irqsoff_open(&irqsoff, &why)) ||
	    (opt.mode == MODE_MEMORY && alloc_trace_open(&alloc_trace, &why)))
		die("%s", why.text);

	for (size_t i = 0; i < ARRAY_SIZE(tests); i++)
		if (tests[i].modes & opt.mode && bench_wants(tests[i].name))
			run_test(&tests[i]);

	if (opt.mode == MODE_IRQSOFF)
		irqsoff_close(&irqsoff);
	if (opt.mode == MODE_MEMORY)
		alloc_trace_close(&alloc_trace);
	close(gup_test);
	return bench_end();
}
