// SPDX-License-Identifier: GPL-2.0
/*
 * place_bench: what it costs to register a buffer, by where its memory is and what is missing of
 * it.
 *
 *	place_bench [options] plain	pages that are absent, memory that is only read
 *	place_bench [options] nodes	4K pages that alternate between two nodes
 *	place_bench [options] cma	4K pages in a zone that has a CMA area
 *
 * The guest has to be booted for it, which is checked. Under "qemu -icount shift=N" with one CPU,
 * guest time is an exact count: an instruction is 2^N ns. Results are lines of text, and a JSON
 * object a line with --json.
 */
#include <linux/io_uring.h>

#include <errno.h>
#include <liburing.h>
#include <linux/mempolicy.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"
#include "layouts.h"
#include "registration.h"
#include "uring.h"
#include "vmstat.h"

#define PAGE		(4 * KIB)
#define TIMES		3
#define NODES_LOOKED_AT	1024

static const struct test {
	const char *name, *title, *boot;
	struct layout layout;
	size_t absent_every;		/* the first of so many pages is not there */
	bool nodes;
	bool read_only;			/* mapped and registered so */
} tests[] = {
	{ .name = "4k", .title = "4K pages", .boot = "plain",
	  .layout = { .backing = BACKING_4K, .size = 256 * MIB } },
	{ .name = "absent-512", .title = "4K pages, first of each 512 absent", .boot = "plain",
	  .layout = { .backing = BACKING_4K, .size = GIB }, .absent_every = 512 },
	{ .name = "absent-2", .title = "4K pages, every second absent", .boot = "plain",
	  .layout = { .backing = BACKING_4K, .size = GIB }, .absent_every = 2 },
	{ .name = "1g", .title = "hugetlb 1G", .boot = "plain",
	  .layout = { .backing = BACKING_HUGETLB_1G, .size = GIB } },
	{ .name = "1g-ro", .title = "hugetlb 1G, only read", .boot = "plain",
	  .layout = { .backing = BACKING_HUGETLB_1G, .size = GIB }, .read_only = true },
	{ .name = "2m", .title = "hugetlb 2M", .boot = "plain",
	  .layout = { .backing = BACKING_HUGETLB_2M, .size = 64 * MIB } },
	{ .name = "2m-ro", .title = "hugetlb 2M, only read", .boot = "plain",
	  .layout = { .backing = BACKING_HUGETLB_2M, .size = 64 * MIB }, .read_only = true },
	{ .name = "shmem-4k", .title = "4K pages of a memfd", .boot = "plain",
	  .layout = { .backing = BACKING_SHMEM_4K, .size = 64 * MIB } },
	{ .name = "shmem-4k-ro", .title = "4K pages of a memfd, only read", .boot = "plain",
	  .layout = { .backing = BACKING_SHMEM_4K, .size = 64 * MIB }, .read_only = true },
	{ .name = "nodes", .title = "4K pages, two nodes in turn", .boot = "nodes",
	  .layout = { .backing = BACKING_4K, .size = 256 * MIB }, .nodes = true },
	{ .name = "cma", .title = "4K pages, zone with a CMA area", .boot = "cma",
	  .layout = { .backing = BACKING_4K, .size = 256 * MIB } },
};

/* Pages of this thread come from node 0 and node 1 in turn, or from its own again. */
static int alternate_nodes(bool on, struct reason *why)
{
	unsigned long nodes = 3;

	if (syscall(SYS_set_mempolicy, on ? MPOL_INTERLEAVE : MPOL_DEFAULT, on ? &nodes : NULL,
		    on ? 8 * sizeof(nodes) : 0))
		return because(why, "set_mempolicy: %s (two nodes?)", strerror(errno));
	return 0;
}

static int check_nodes(const struct memory *mem, struct reason *why)
{
	int node, before = -1;

	for (size_t i = 0; i < NODES_LOOKED_AT; i++) {
		if (syscall(SYS_get_mempolicy, &node, NULL, 0, mem->addr + i * PAGE,
			    MPOL_F_NODE | MPOL_F_ADDR))
			return because(why, "get_mempolicy: %s", strerror(errno));
		if (i && node + before != 1)
			return because(why, "pages %zu and %zu are on nodes %d and %d", i - 1, i,
				       before, node);
		before = node;
	}
	return 0;
}

static int check_cma(struct reason *why)
{
	uint64_t kb;

	if (read_key("/proc/meminfo", "CmaTotal:", &kb) || !kb)
		return because(why, "no CMA area: boot with cma=");
	return 0;
}

static int make_memory(const struct test *test, struct memory *mem, struct reason *why)
{
	int ret;

	if (!strcmp(test->boot, "cma") && check_cma(why))
		return -1;
	if (test->nodes && alternate_nodes(true, why))
		return -1;
	ret = memory_map(mem, &test->layout, why);
	if (test->nodes && (alternate_nodes(false, ret ? NULL : why) || ret ||
			    check_nodes(mem, why)))
		ret = -1;
	if (!ret && test->read_only && mprotect(mem->addr, mem->size, PROT_READ))
		ret = because(why, "mprotect: %s", strerror(errno));
	return ret;
}

static int make_absent(const struct test *test, const struct memory *mem, struct reason *why)
{
	for (size_t off = 0; test->absent_every && off < mem->size;
	     off += test->absent_every * PAGE)
		if (madvise(mem->addr + off, PAGE, MADV_DONTNEED))
			return because(why, "MADV_DONTNEED: %s", strerror(errno));
	return 0;
}

/* A buffer that is read-only comes by descriptor, into a table that is there: 0, or -errno. */
static int register_table(struct io_uring *ring, bool read_only)
{
	return read_only ? uring_buffers(ring, NULL, 1, URING_RSRC_SPARSE) : 0;
}

/* 0 or a positive errno */
static int register_buffer(struct io_uring *ring, const struct memory *mem, bool read_only)
{
	const struct iovec iov = { mem->addr, mem->size };
	int ret;

	if (!read_only)
		return -uring_buffers(ring, &iov, 1, 0);
	ret = uring_update_readonly(ring, 0, &iov, 1);
	return ret < 0 ? -ret : 0;
}

struct result {
	int error;		/* of registration */
	uint64_t register_ns, unregister_ns;
};

static int time_once(const struct test *test, const struct memory *mem, struct result *least,
		     struct reason *why)
{
	uint64_t start, registered, again, end;
	struct io_uring ring;
	int ret = 0;

	if (make_absent(test, mem, why) || ring_init(&ring, false, why))
		return -1;
	ret = register_table(&ring, test->read_only);
	if (ret)
		return because(why, "a sparse table: %s", strerror(-ret));
	settle();
	start = now_ns();
	least->error = register_buffer(&ring, mem, test->read_only);
	registered = now_ns();
	settle();
	again = now_ns();
	if (!least->error)
		ret = io_uring_unregister_buffers(&ring);
	end = now_ns();
	io_uring_queue_exit(&ring);
	if (ret)
		return because(why, "unregistering: %s", strerror(-ret));
	if (registered - start < least->register_ns)
		least->register_ns = registered - start;
	if (end - again < least->unregister_ns)
		least->unregister_ns = end - again;
	return 0;
}

static void print(const struct test *test, const struct result *res)
{
	const char *unit = bench_unit();

	printf("%-12s %-9s", test->name, res->error ? errno_name(res->error) : "ok");
	if (bench.json)
		fprintf(bench.json, "{\"type\": \"place\", \"name\": \"%s\", \"title\": \"%s\", "
			"\"bytes\": %zu, \"pages\": %zu, \"result\": \"%s\"", test->name,
			test->title, test->layout.size, test->layout.size / PAGE,
			res->error ? errno_name(res->error) : "ok");
	if (!res->error)
		printf(" register %llu unregister %llu %s", bench_value(res->register_ns),
		       bench_value(res->unregister_ns), unit);
	if (!res->error && bench.json)
		fprintf(bench.json, ", \"register_%s\": %llu, \"unregister_%s\": %llu", unit,
			bench_value(res->register_ns), unit, bench_value(res->unregister_ns));
	putchar('\n');
	fflush(stdout);
	bench_json_end();
}

static int run_test(const struct test *test, struct reason *why)
{
	struct result least = { .register_ns = UINT64_MAX, .unregister_ns = UINT64_MAX };
	struct memory mem;
	int ret = 0;

	memset(&mem, 0, sizeof(mem));
	if (make_memory(test, &mem, why)) {
		memory_unmap(&mem);
		return -1;
	}
	for (int i = 0; i < TIMES && !least.error && !ret; i++)
		ret = time_once(test, &mem, &least, why);
	/* Only a kernel that does not know read-only buffers may refuse, and only these. */
	if (!ret && least.error && !(test->read_only && least.error == EINVAL))
		ret = because(why, "registering: %s", strerror(least.error));
	if (!ret)
		ret = memory_verify(&mem, why);
	memory_unmap(&mem);
	if (!ret)
		print(test, &least);
	return ret;
}

static void run(const struct test *test)
{
	struct vmstat before;
	struct reason why;
	int ret;

	note("%s", test->name);
	vmstat_start(&before);
	ret = run_test(test, &why);
	if (vmstat_balanced(&before, ret ? NULL : &why) || ret) {
		bench.failed++;
		printf("FAIL %s: %s\n", test->name, why.text);
		fflush(stdout);
	} else {
		bench.passed++;
	}
}

int main(int argc, char **argv)
{
	int first = bench_options(argc, argv, "plain|nodes|cma", NULL);
	const char *boot = first + 1 == argc ? argv[first] : "";

	if (!name_in_list(boot, "plain,nodes,cma"))
		bench_usage(2);
	bench_unlimit();
	for (size_t i = 0; i < ARRAY_SIZE(tests); i++)
		if (!strcmp(tests[i].boot, boot))
			run(&tests[i]);
	return bench_end();
}
