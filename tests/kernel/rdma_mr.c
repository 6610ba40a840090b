// SPDX-License-Identifier: GPL-2.0
/*
 * rdma_mr: memory regions of an RDMA device in software (rxe on a network device that goes
 * nowhere). What is pinned and counted as such goes with the region, in any order; what cannot be
 * had leaves nothing behind.
 *
 * With --icount it measures instead: the call, and __ib_umem_get_va() alone, which pins, for a GiB
 * of THP, of 2M pages and of single pages. With --faults every allocation and copy of a registration
 * fails once, on a kernel that can do that. With --make it only makes the device, for others. Ends
 * with "N passed, N failed, N skipped".
 */
#include <errno.h>
#include <linux/capability.h>
#include <rdma/ib_user_ioctl_verbs.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "caps.h"
#include "charge.h"
#include "fail_each.h"
#include "func_time.h"
#include "layouts.h"
#include "rdma_dev.h"
#include "vmstat.h"

#define PAGE		(4 * KIB)
#define WRITE		IB_UVERBS_ACCESS_LOCAL_WRITE
#define REGIONS		5
#define KILLS		20
#define TIMES		3
#define SKIPPED		77

static struct rdma_dev dev;

static int expect_pinned(long pages, const char *when, struct reason *why)
{
	long have = charge_pinned();

	return have == pages ? 0 :
	       because(why, "%s: VmPin has %ld pages, not %ld", when, have, pages);
}

/* Regions that overlap, from odd addresses, dropped in another order; some with the device. */
static int test_many(const struct memory *mem, struct reason *why)
{
	static const unsigned int order[] = { 2, 0, 4 };
	long handle[REGIONS], pages[REGIONS], sum = 0;

	for (unsigned int i = 0; i < REGIONS; i++) {
		size_t from = i * 3 * PAGE + i * 100, len = mem->size - 2 * from;

		handle[i] = rdma_reg_mr(&dev, mem->addr + from, len, i % 2 ? 0 : WRITE);
		if (handle[i] < 0)
			return because(why, "region %u: %s", i, strerror(-(int)handle[i]));
		pages[i] = (long)((ALIGN_UP(from + len, PAGE) - ALIGN_DOWN(from, PAGE)) / PAGE);
		sum += pages[i];
		if (expect_pinned(sum, "registered", why))
			return -1;
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(order); i++) {
		int ret = rdma_dereg_mr(&dev, (uint32_t)handle[order[i]]);

		if (ret)
			return because(why, "dropping %u: %s", order[i], strerror(-ret));
		sum -= pages[order[i]];
		if (expect_pinned(sum, "dropped", why))
			return -1;
	}
	return 0;
}

/* The memory is unmapped before the region goes. */
static int test_unmapped(const struct memory *mem, struct reason *why)
{
	long handle = rdma_reg_mr(&dev, mem->addr, mem->size, WRITE);

	if (handle < 0)
		return because(why, "registering: %s", strerror(-(int)handle));
	munmap(mem->addr, mem->size);
	if (expect_pinned((long)(mem->size / PAGE), "unmapped", why))
		return -1;
	rdma_dereg_mr(&dev, (uint32_t)handle);
	return expect_pinned(0, "dropped", why);
}

static int refuse(const void *addr, size_t len, unsigned int access, int error, const char *what,
		  struct reason *why)
{
	long ret = rdma_reg_mr(&dev, addr, len, access);

	if (ret != error)
		return because(why, "%s: %s instead of %s", what,
			       ret < 0 ? strerror(-(int)ret) : "accepted", strerror(-error));
	return expect_pinned(0, what, why);
}

static int test_bad(const struct memory *mem, struct reason *why)
{
	char *page = mem->addr + mem->size / 2 + 7 * PAGE;
	long handle;

	if (refuse(mem->addr, 0, WRITE, -EINVAL, "no bytes", why))
		return -1;
	mprotect(page, PAGE, PROT_READ);
	if (refuse(mem->addr, mem->size, WRITE, -EFAULT, "a page that is read-only", why))
		return -1;
	handle = rdma_reg_mr(&dev, mem->addr, mem->size, 0);
	if (handle < 0)
		return because(why, "for reading: %s", strerror(-(int)handle));
	rdma_dereg_mr(&dev, (uint32_t)handle);
	munmap(page, PAGE);
	return refuse(mem->addr, mem->size, 0, -EFAULT, "a hole", why);
}

/* A device serves only those whose credentials it was opened with. */
static int reopen(bool may_lock, struct reason *why)
{
	rdma_dev_close(&dev);
	set_capability(CAP_IPC_LOCK, may_lock);
	return rdma_dev_open(&dev, why);
}

static int test_limit(const struct memory *mem, struct reason *why)
{
	long limit = (long)(mem->size / PAGE), handle;
	int ret = reopen(false, why);

	if (ret)
		return ret;
	charge_set_limit((unsigned long)limit - 1);
	ret = refuse(mem->addr, mem->size, WRITE, -ENOMEM, "a page above the limit", why);
	if (!ret) {
		charge_set_limit((unsigned long)limit);
		handle = rdma_reg_mr(&dev, mem->addr, mem->size, WRITE);
		ret = handle < 0 ? because(why, "the limit: %s", strerror(-(int)handle)) : 0;
	}
	charge_set_limit(RLIM_INFINITY / PAGE);
	return reopen(true, why) || ret ? -1 : 0;
}

/* Killed at some moment while it registers, again and again */
static int test_kill(const struct memory *mem, struct reason *why)
{
	for (int i = 0; i < KILLS; i++) {
		pid_t pid = fork();
		int status;

		if (pid < 0)
			die("fork: %s", strerror(errno));
		if (!pid) {
			struct rdma_dev own;

			if (rdma_dev_open(&own, why))
				exit(1);
			for (;;) {
				long handle = rdma_reg_mr(&own, mem->addr, mem->size, WRITE);

				if (handle < 0)
					exit(1);
				rdma_dereg_mr(&own, (uint32_t)handle);
			}
		}
		usleep(5000 + 3700 * (unsigned int)i);
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		if (!WIFSIGNALED(status))
			return because(why, "it could not register");
	}
	return 0;
}

static int fault_call(void *mem)
{
	const struct memory *m = mem;

	return (int)rdma_reg_mr(&dev, m->addr, m->size, WRITE);
}

static void fault_after(void *unused, int result)
{
	(void)unused;
	if (result >= 0)
		rdma_dereg_mr(&dev, (uint32_t)result);
}

static int test_faults(const struct memory *mem, struct reason *why)
{
	const struct fail_each each = { .call = fault_call, .after = fault_after, .arg = (void *)mem };

	return fail_each("a region", &each, why);
}

static const struct test {
	const char *name;
	int (*run)(const struct memory *mem, struct reason *why);
	struct layout layout;
} tests[] = {
	{ "many, single pages", test_many, { .backing = BACKING_4K, .size = 4 * MIB } },
	{ "many, THP", test_many, { .backing = BACKING_THP, .size = 8 * MIB } },
	{ "many, THP with other pages", test_many,
		{ .backing = BACKING_THP, .size = 8 * MIB, .replace_every = 2 * MIB } },
	{ "many, 2M pages", test_many, { .backing = BACKING_HUGETLB_2M, .size = 8 * MIB } },
	{ "unmapped", test_unmapped, { .backing = BACKING_THP, .size = 8 * MIB } },
	{ "bad memory, single pages", test_bad, { .backing = BACKING_4K, .size = 4 * MIB } },
	{ "bad memory, THP", test_bad, { .backing = BACKING_THP, .size = 8 * MIB } },
	{ "the limit", test_limit, { .backing = BACKING_THP, .size = 8 * MIB } },
	{ "killed", test_kill, { .backing = BACKING_4K, .size = 64 * MIB } },
};

/* With a device file of its own, which takes what is left with it. */
static int run_one(const struct test *test, struct reason *why)
{
	struct vmstat start;
	struct memory mem;
	int ret;

	vmstat_start(&start);
	if (memory_map(&mem, &test->layout, why))
		return -1;
	ret = rdma_dev_open(&dev, why);
	if (!ret) {
		ret = test->run(&mem, why);
		rdma_dev_close(&dev);
	}
	memory_unmap(&mem);
	return ret ? ret : vmstat_balanced(&start, why);
}

static int run_tests(bool faults)
{
	for (size_t i = 0; i < ARRAY_SIZE(tests); i++) {
		struct test test = tests[i];
		struct reason why;
		int ret;

		/* What is left over is not told from memory of the pool. */
		if (faults && (test.run != test_many || test.layout.backing == BACKING_HUGETLB_2M))
			continue;
		if (faults)
			test.run = test_faults;
		ret = run_one(&test, &why);
		bench_tell(tests[i].name, ret, &why);
	}
	return bench_end();
}

/* --- what it takes ------------------------------------------------------ */

static const struct {
	const char *name;
	struct layout layout;
} benches[] = {
	{ "rdma/thp", { .backing = BACKING_THP, .size = GIB } },
	{ "rdma/2m", { .backing = BACKING_HUGETLB_2M, .size = GIB, .alias = 64 * MIB } },
	{ "rdma/4k", { .backing = BACKING_4K, .size = GIB } },
};

#define PINNING		"__ib_umem_get_va"

static void measure(const char *name, const struct memory *mem)
{
	uint64_t whole = UINT64_MAX, back = UINT64_MAX, pinning = UINT64_MAX, t[4];

	/* One more with the events on, which take some instructions of their own. */
	for (int i = 0; i <= TIMES; i++) {
		long handle;

		if (i == TIMES)
			func_time_start();
		settle();
		t[0] = now_ns();
		handle = rdma_reg_mr(&dev, mem->addr, mem->size, WRITE);
		t[1] = now_ns();
		if (handle < 0)
			die("%s: %s", name, strerror(-(int)handle));
		settle();
		t[2] = now_ns();
		rdma_dereg_mr(&dev, (uint32_t)handle);
		t[3] = now_ns();
		if (i == TIMES) {
			pinning = func_time_stop();
			break;
		}
		if (t[1] - t[0] < whole)
			whole = t[1] - t[0];
		if (t[3] - t[2] < back)
			back = t[3] - t[2];
	}
	whole >>= bench.icount;
	back >>= bench.icount;
	pinning >>= bench.icount;
	printf("%s register %llu, of that pinning %llu, unregister %llu\n", name,
	       (unsigned long long)whole, (unsigned long long)pinning, (unsigned long long)back);
	if (bench.json)
		fprintf(bench.json, "{\"type\": \"users\", \"name\": \"%s\", \"result\": \"ok\", "
			"\"register_insn\": %llu, \"pin_insn\": %llu, \"unregister_insn\": %llu}\n",
			name, (unsigned long long)whole, (unsigned long long)pinning,
			(unsigned long long)back);
}

static int run_benches(void)
{
	struct reason why;

	if (func_time_open(PINNING, PINNING, &why) || rdma_dev_open(&dev, &why))
		die("%s", why.text);
	for (size_t i = 0; i < ARRAY_SIZE(benches); i++) {
		struct memory mem;

		if (memory_map(&mem, &benches[i].layout, &why))
			die("%s: %s", benches[i].name, why.text);
		measure(benches[i].name, &mem);
		memory_unmap(&mem);
		bench.passed++;
	}
	rdma_dev_close(&dev);
	return bench_end();
}

int main(int argc, char **argv)
{
	static bool only_make, faults;
	static const struct bench_option options[] = {
		{ "faults", NULL, "each allocation and copy fails once", .flag = &faults },
		{ "make", NULL, "only make the device, for others", .flag = &only_make },
		{ }
	};
	struct reason why;
	int ret;

	bench_options(argc, argv, NULL, options);
	if (faults || only_make)
		bench_measures_nothing();
	bench_unlimit();
	ret = rdma_dev_make(&why);
	if (ret) {
		printf("%s\n", why.text);
		return ret < 0 ? 1 : SKIPPED;
	}
	if (only_make)
		return 0;
	return bench.icount >= 0 ? run_benches() : run_tests(faults);
}
