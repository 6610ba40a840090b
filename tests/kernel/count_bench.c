// SPDX-License-Identifier: GPL-2.0
/*
 * count_bench: what QEMU's plugin tests/bench/count_plugin.c counts: calls that pin few pages, and
 * locked operations, those included for which the kernel has no event.
 *
 * Two tables. One has calls for 1 to 256 pages, as direct I/O makes them, into an array of pages
 * and into a chunk of each format, of just that size. The other has memory that is pinned and
 * registered as a whole. Each line names the interval between two marks that it stands for; the
 * counts themselves are the plugin's. Without it nothing is counted, and the marks do nothing.
 *
 * Results are lines of text, and a JSON object a line with --json.
 */
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "layouts.h"
#include "pin.h"
#include "registration.h"
#include "vmstat.h"

#define PAGE		(4 * KIB)
#define SHORT_BYTES	(4 * MIB)
#define CHUNK		4096
#define KNOWN		2000

static const struct way {
	const char *name;
	struct pin_method method;
	size_t entry_bytes;
} ways[] = {
	{ "pages", { .call = PIN_PAGES }, 0 },
	{ "pfn", { .call = PIN_RUNS, .format = PIN_FORMAT_PFN }, 8 },
	{ "bvec", { .call = PIN_RUNS, .format = PIN_FORMAT_BVEC }, 16 },
	{ "phys", { .call = PIN_RUNS, .format = PIN_FORMAT_PHYS }, 16 },
};

static const struct backed {
	const char *name, *title;
	enum backing backing;
} short_memory[] = {
	{ "4k", "4K pages", BACKING_4K },
	{ "thp", "THP", BACKING_THP },
}, whole_memory[] = {
	{ "4k", "4K pages", BACKING_4K },
	{ "64k", "64K mTHP", BACKING_64K },
	{ "thp", "THP", BACKING_THP },
	{ "2m", "hugetlb 2M", BACKING_HUGETLB_2M },
};

static const size_t call_pages[] = { 1, 4, 16, 64, 256 };

static int gup_test;
static unsigned int marks;

/* The instruction that the plugin looks for; returns the number of the interval that it begins */
static unsigned int mark(void)
{
	asm volatile(".byte 0x0f, 0x1f, 0x84, 0x00, 0x5a, 0x5a, 0x5a, 0x5a" ::: "memory");
	return ++marks;
}

/* So many locked instructions and no more, for who counts to compare */
static void known(void)
{
	uint64_t at = 0, value = 0;
	unsigned int interval;

	settle();
	interval = mark();
	for (int i = 0; i < KNOWN / 2; i++)
		asm volatile("lock addq $1, %0\n\txchgq %1, %0" : "+m" (at), "+r" (value));
	mark();
	if (bench.json)
		fprintf(bench.json, "{\"type\": \"count\", \"name\": \"known\", \"kind\": \"known\", "
			"\"title\": \"locked instructions of the program itself\", "
			"\"way\": \"known\", \"expected\": %d, \"interval\": %u}\n", KNOWN, interval);
}

static void result(const char *kind, const struct backed *memory, const char *way, size_t pages,
		   size_t calls, unsigned int interval)
{
	char name[64];

	if (calls)
		snprintf(name, sizeof(name), "%s/%s/%zu", memory->name, way, pages / calls);
	else
		snprintf(name, sizeof(name), "%s/%s/all", memory->name, way);
	printf("%-16s interval %u\n", name, interval);
	fflush(stdout);
	bench.passed++;
	if (!bench.json)
		return;
	fprintf(bench.json, "{\"type\": \"count\", \"name\": \"%s\", \"kind\": \"%s\", \"title\": \"%s\", "
		"\"way\": \"%s\", \"pages\": %zu, \"calls\": %zu, \"interval\": %u}\n", name, kind,
		memory->title, way, pages, calls, interval);
	fflush(bench.json);
}

static int pin_all(const struct memory *mem, const struct way *way, size_t nr, struct reason *why)
{
	struct pin_method method = way->method;
	struct pin_result got;

	if (method.call == PIN_PAGES) {
		method.pages_per_call = nr;
		return pin_run(gup_test, &method, mem->addr, mem->size, &got, why);
	}
	method.chunk_bytes = nr * way->entry_bytes;
	for (size_t off = 0; off < mem->size; off += nr * PAGE)
		if (pin_run(gup_test, &method, mem->addr + off, nr * PAGE, &got, why))
			return -1;
		else if (got.calls != 1)
			return because(why, "%llu calls for %zu pages and as much room",
				       (unsigned long long)got.calls, nr);
	return 0;
}

static bool has_way(const struct way *way)
{
	return way->method.call == PIN_PAGES || pin_has_runs(gup_test);
}

static int run_short(const struct backed *memory, const struct memory *mem, struct reason *why)
{
	for (size_t w = 0; w < ARRAY_SIZE(ways); w++) {
		for (size_t n = 0; n < ARRAY_SIZE(call_pages) && has_way(&ways[w]); n++) {
			size_t nr = call_pages[n];
			unsigned int interval;

			if (pin_all(mem, &ways[w], nr, why))
				return -1;
			settle();
			interval = mark();
			if (pin_all(mem, &ways[w], nr, why))
				return -1;
			mark();
			result("short", memory, ways[w].name, mem->size / PAGE,
			       mem->size / PAGE / nr, interval);
		}
	}
	return 0;
}

static int register_all(const struct backed *memory, const struct memory *mem, struct reason *why)
{
	const struct iovec iov = { mem->addr, mem->size };
	unsigned int registering, unregistering;
	struct io_uring ring;
	int ret;

	if (ring_init(&ring, false, why))
		return -1;
	settle();
	registering = mark();
	ret = io_uring_register_buffers(&ring, &iov, 1);
	mark();
	settle();
	unregistering = mark();
	if (!ret)
		ret = io_uring_unregister_buffers(&ring);
	mark();
	io_uring_queue_exit(&ring);
	if (ret)
		return because(why, "registering: %s", strerror(-ret));
	result("call", memory, "register", mem->size / PAGE, 0, registering);
	result("call", memory, "unregister", mem->size / PAGE, 0, unregistering);
	return 0;
}

static int run_whole(const struct backed *memory, const struct memory *mem, struct reason *why)
{
	for (size_t w = 0; w < 2; w++) {
		struct pin_method method = ways[w].method;
		struct pin_result got;
		unsigned int interval;

		if (!has_way(&ways[w]))
			continue;
		method.longterm = true;
		method.chunk_bytes = CHUNK;
		settle();
		interval = mark();
		if (pin_run(gup_test, &method, mem->addr, mem->size, &got, why))
			return -1;
		mark();
		result("whole", memory, ways[w].name, mem->size / PAGE, 0, interval);
	}
	return register_all(memory, mem, why);
}

static void run(const struct backed *memory, size_t bytes,
		int (*measure)(const struct backed *, const struct memory *, struct reason *))
{
	const struct layout layout = { .backing = memory->backing, .size = bytes };
	struct vmstat before;
	struct memory mem;
	struct reason why;
	int ret;

	vmstat_start(&before);
	ret = memory_map(&mem, &layout, &why);
	if (!ret) {
		ret = measure(memory, &mem, &why);
		if (!ret)
			ret = memory_verify(&mem, &why);
		memory_unmap(&mem);
	}
	if (vmstat_balanced(&before, ret ? NULL : &why))
		ret = -1;
	if (!ret)
		return;
	bench.failed++;
	printf("FAIL %s: %s\n", memory->name, why.text);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct reason why;

	bench_options(argc, argv, NULL, NULL);
	gup_test = pin_open(&why);
	if (gup_test < 0)
		die("%s", why.text);
	known();
	for (size_t i = 0; i < ARRAY_SIZE(short_memory); i++)
		run(&short_memory[i], SHORT_BYTES, run_short);
	for (size_t i = 0; i < ARRAY_SIZE(whole_memory); i++)
		run(&whole_memory[i], 64 * MIB, run_whole);
	return bench_end();
}
