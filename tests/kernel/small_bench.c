// SPDX-License-Identifier: GPL-2.0
/*
 * small_bench: what it costs to register small buffers.
 *
 * Of each size one alone, 512 and 8192 in one call, of single pages; once with a ring whose
 * buffers are charged to its user, and once with one of who has CAP_IPC_LOCK. A page is in as many
 * of the buffers as it takes for so many to fit into the memory that there is.
 *
 * Under "qemu -icount shift=N" with one CPU, guest time is an exact count: an instruction is 2^N ns.
 * A count is the least of some times, for the whole call. Results are lines of text, and a JSON
 * object a line with --json.
 */
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "layouts.h"
#include "registration.h"
#include "vmstat.h"

#define MEMORY		(64 * MIB)
#define TIMES		5

static const size_t sizes[] = { 4 * KIB, 8 * KIB, 16 * KIB, 64 * KIB, 256 * KIB };
static const unsigned int numbers[] = { 1, 512, 8192 };

static struct iovec *iov;

/* A ring of its own each time: its caches of small objects are empty. */
static int time_once(unsigned int nr, bool charged, struct registration_time *least,
		     struct reason *why)
{
	uint64_t start, between, again, end;
	struct io_uring ring;
	int ret;

	if (ring_init(&ring, charged, why))
		return -1;
	settle();
	start = now_ns();
	ret = io_uring_register_buffers(&ring, iov, nr);
	between = now_ns();
	if (!ret) {
		settle();
		again = now_ns();
		ret = io_uring_unregister_buffers(&ring);
		end = now_ns();
	}
	io_uring_queue_exit(&ring);
	if (ret)
		return because(why, "registering %u: %s", nr, strerror(-ret));
	if (between - start < least->register_ns)
		least->register_ns = between - start;
	if (end - again < least->unregister_ns)
		least->unregister_ns = end - again;
	return 0;
}

static void print(size_t size, unsigned int nr, bool charged,
		  const struct registration_time *least)
{
	uint64_t reg = least->register_ns, unreg = least->unregister_ns;
	const char *who = charged ? "charged" : "free";

	if (bench.icount >= 0) {
		reg >>= bench.icount;
		unreg >>= bench.icount;
	}
	printf("%3zu KiB x %4u %-8s register %llu unregister %llu, each %llu %llu\n", size / KIB, nr,
	       who, (unsigned long long)reg, (unsigned long long)unreg,
	       (unsigned long long)(reg / nr), (unsigned long long)(unreg / nr));
	fflush(stdout);
	if (bench.json && bench.icount >= 0)
		fprintf(bench.json, "{\"type\": \"small\", \"name\": \"%zuK/%u/%s\", \"bytes\": %zu, "
			"\"buffers\": %u, \"who\": \"%s\", \"result\": \"ok\", "
			"\"register_insn\": %llu, \"unregister_insn\": %llu}\n", size / KIB, nr, who,
			size, nr, who, (unsigned long long)reg, (unsigned long long)unreg);
}

static int run(const struct memory *mem, size_t size, unsigned int nr, bool charged,
	       struct reason *why)
{
	struct registration_time least = { UINT64_MAX, UINT64_MAX };

	for (unsigned int i = 0; i < nr; i++)
		iov[i] = (struct iovec){ mem->addr + i * size % mem->size, size };
	for (int i = 0; i < TIMES; i++)
		if (time_once(nr, charged, &least, why))
			return -1;
	print(size, nr, charged, &least);
	return 0;
}

static int run_all(struct reason *why)
{
	static const struct layout layout = { .backing = BACKING_4K, .size = MEMORY };
	struct vmstat before;
	struct memory mem;
	int ret = 0;

	vmstat_start(&before);
	if (memory_map(&mem, &layout, why))
		return -1;
	for (size_t s = 0; s < ARRAY_SIZE(sizes) && !ret; s++)
		for (size_t n = 0; n < ARRAY_SIZE(numbers) && !ret; n++)
			for (int charged = 0; charged < 2 && !ret; charged++) {
				ret = run(&mem, sizes[s], numbers[n], charged, why);
				bench.passed += !ret;
			}
	memory_unmap(&mem);
	return ret ? ret : vmstat_balanced(&before, why);
}

int main(int argc, char **argv)
{
	struct reason why;

	bench_options(argc, argv, NULL, NULL);
	bench_unlimit();
	iov = calloc(numbers[ARRAY_SIZE(numbers) - 1], sizeof(*iov));
	if (!iov)
		die("out of memory");
	if (run_all(&why)) {
		printf("FAIL %s\n", why.text);
		bench.failed++;
	}
	return bench_end();
}
