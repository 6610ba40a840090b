// SPDX-License-Identifier: GPL-2.0
/*
 * zcrx_area: memory for zero-copy receive of io_uring, without a network device. What is received
 * is copied to it then, wherever its pages lie; what is pinned and charged goes when the last who
 * has the area does; memory that cannot be had leaves nothing behind. The ring for refills is
 * memory of the program, too.
 *
 * With --icount it measures instead: a GiB of THP and of single pages, registered and released. With
 * --faults every allocation and copy of a registration fails once, on a kernel that can do that.
 * Ends with "N passed, N failed, N skipped".
 */
/* The kernel's own header first: liburing's copy may be older. */
#include <linux/io_uring.h>
#include <linux/io_uring/zcrx.h>

#include <errno.h>
#include <liburing.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "caps.h"
#include "charge.h"
#include "fail_each.h"
#include "func_time.h"
#include "layouts.h"
#include "pattern.h"
#include "tcp_pair.h"
#include "uring.h"
#include "vmstat.h"

#define PAGE		(4 * KIB)
#define THP_PAGES	512
#define ENTRIES		64
#define RQ_PAGES	2		/* a page of entries, and the header */
#define CQES		1024
#define PART		(64 * KIB)	/* sent at a time */
#define TIMES		3
#define KILLS		20
#define FEW_PAGES	32

struct area {
	struct io_uring ring;
	void *rq;
	unsigned int id;
};

/* A ring that can have areas. @charged: by who lacks CAP_IPC_LOCK at that moment */
static void ring_open(struct area *a, bool charged)
{
	struct io_uring_params params = {
		.flags = IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SINGLE_ISSUER |
			 IORING_SETUP_CQE32 | IORING_SETUP_CQSIZE,
		.cq_entries = CQES,
	};
	int ret;

	if (charged)
		set_capability(CAP_IPC_LOCK, false);
	ret = io_uring_queue_init_params(8, &a->ring, &params);
	if (charged)
		set_capability(CAP_IPC_LOCK, true);
	if (ret)
		die("a ring: %s", strerror(-ret));
	a->rq = mmap(NULL, RQ_PAGES * PAGE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (a->rq == MAP_FAILED)
		die("mmap: %s", strerror(errno));
}

static void ring_close(struct area *a)
{
	io_uring_queue_exit(&a->ring);
	munmap(a->rq, RQ_PAGES * PAGE);
}

static int area_register(struct area *a, const void *addr, size_t len)
{
	struct io_uring_zcrx_area_reg area = { .addr = (uintptr_t)addr, .len = len };
	struct io_uring_region_desc region = {
		.user_addr = (uintptr_t)a->rq,
		.size = RQ_PAGES * PAGE,
		.flags = IORING_MEM_REGION_TYPE_USER,
	};
	struct io_uring_zcrx_ifq_reg reg = {
		.rq_entries = ENTRIES,
		.flags = ZCRX_REG_NODEV,
		.area_ptr = (uintptr_t)&area,
		.region_ptr = (uintptr_t)&region,
	};
	int ret = uring_register(a->ring.ring_fd, IORING_REGISTER_ZCRX_IFQ, &reg, 1);

	a->id = reg.zcrx_id;
	return ret;
}

/* One more area */
static int area_add(struct area *a, const void *addr, size_t len)
{
	struct io_uring_zcrx_area_reg area = { .addr = (uintptr_t)addr, .len = len };
	struct zcrx_ctrl ctrl = {
		.zcrx_id = a->id,
		.op = ZCRX_CTRL_ADD_AREA,
		.zc_area.area_ptr = (uintptr_t)&area,
	};

	return uring_register(a->ring.ring_fd, IORING_REGISTER_ZCRX_CTRL, &ctrl, 0);
}

/* A file that keeps the areas when the ring is gone */
static int area_export(struct area *a)
{
	struct zcrx_ctrl ctrl = { .zcrx_id = a->id, .op = ZCRX_CTRL_EXPORT };
	int ret = uring_register(a->ring.ring_fd, IORING_REGISTER_ZCRX_CTRL, &ctrl, 0);

	return ret ? ret : (int)ctrl.zc_export.zcrx_fd;
}

/* --- what is received --------------------------------------------------- */

static void receive_start(struct area *a, int fd)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&a->ring);

	if (!sqe)
		die("no free submission queue entry");
	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = IORING_OP_RECV_ZC;
	sqe->fd = fd;
	sqe->ioprio = IORING_RECV_MULTISHOT;
	/* zcrx_ifq_idx, which an old header does not have */
	sqe->file_index = a->id;
	io_uring_submit(&a->ring);
}

/* Compares what has come with what was sent at @pos; counts the pages that it took. */
static int receive(struct area *a, const struct memory *mem, uint64_t *pos, bool *used,
		   unsigned int *pages, struct reason *why)
{
	struct io_uring_cqe *cqe;
	int ret = io_uring_wait_cqe(&a->ring, &cqe);
	size_t at, len, good;

	if (ret)
		return because(why, "waiting: %s", strerror(-ret));
	if (cqe->res <= 0)
		return because(why, "receiving: %s", strerror(-cqe->res));
	len = (size_t)cqe->res;
	at = ((struct io_uring_zcrx_cqe *)(cqe + 1))->off & ~IORING_ZCRX_AREA_MASK;
	io_uring_cqe_seen(&a->ring, cqe);
	if (at % PAGE || len > PAGE || at + len > mem->size)
		return because(why, "%zu bytes at %zu", len, at);
	if (used[at / PAGE])
		return because(why, "page %zu comes again", at / PAGE);
	used[at / PAGE] = true;
	++*pages;
	good = pattern_check(mem->addr + at, len, *pos, 1);
	if (good != len)
		return because(why, "byte %llu is wrong, in page %zu",
			       (unsigned long long)(*pos + good), at / PAGE);
	*pos += len;
	return 0;
}

/* Until nearly all pages of the area have been written to, in the order of the kernel. */
static int test_data(const struct layout *layout, struct reason *why)
{
	static char data[PART];
	uint64_t sent = 0, got = 0;
	unsigned int pages = 0;
	struct tcp_pair pair;
	struct memory mem;
	struct area a;
	bool *used;
	int ret;

	if (memory_map(&mem, layout, why))
		return -1;
	used = calloc(mem.size / PAGE, sizeof(*used));
	ring_open(&a, true);
	tcp_pair_open(&pair, 0, 0);
	ret = area_register(&a, mem.addr, mem.size);
	if (ret) {
		because(why, "registering: %s", strerror(-ret));
		goto out;
	}
	receive_start(&a, pair.to);
	while (!ret && pages + 2 * PART / PAGE < mem.size / PAGE) {
		pattern_fill(data, PART, sent, 1);
		if (send(pair.from, data, PART, 0) != PART)
			die("send: %s", strerror(errno));
		sent += PART;
		while (!ret && got < sent)
			ret = receive(&a, &mem, &got, used, &pages, why);
	}
	if (!ret && pages < mem.size / PAGE / 2)
		ret = because(why, "only %u pages written", pages);
out:
	tcp_pair_close(&pair);
	ring_close(&a);
	free(used);
	memory_unmap(&mem);
	return ret ? -1 : 0;
}

/* --- what is charged ---------------------------------------------------- */

static int expect(struct charge_probe *probe, long pages, long rings, const char *when,
		  struct reason *why)
{
	struct reason inner;

	/* The refill ring counts for the user, and is not in VmPin. */
	if (charge_pinned() != pages)
		return because(why, "%s: VmPin has %ld pages, not %ld", when, charge_pinned(), pages);
	if (charge_probe_check(probe, pages + rings * RQ_PAGES, &inner))
		return because(why, "%s: %.200s", when, inner.text);
	return 0;
}

/* A registered buffer, an area and a second area in one THP: charged once, till the last goes. */
static int charge_shared(struct charge_probe *probe, struct area *a, const struct memory *mem,
			 struct reason *why)
{
	struct iovec iov = { mem->addr, PAGE };
	int ret, fd;

	ret = io_uring_register_buffers(&a->ring, &iov, 1);
	if (ret)
		return because(why, "registering a buffer: %s", strerror(-ret));
	if (expect(probe, THP_PAGES, 0, "a buffer", why))
		return -1;
	ret = area_register(a, mem->addr + 8 * PAGE, 16 * PAGE);
	if (ret)
		return because(why, "registering: %s", strerror(-ret));
	if (expect(probe, THP_PAGES, 1, "a buffer and an area", why))
		return -1;
	ret = area_add(a, mem->addr + 64 * PAGE, 64 * PAGE);
	if (ret)
		return because(why, "adding: %s", strerror(-ret));
	io_uring_unregister_buffers(&a->ring);
	if (expect(probe, THP_PAGES, 1, "two areas", why))
		return -1;
	fd = area_export(a);
	if (fd < 0)
		return because(why, "exporting: %s", strerror(-fd));
	io_uring_queue_exit(&a->ring);
	a->ring.ring_fd = -1;
	usleep(200000);
	ret = expect(probe, THP_PAGES, 1, "no ring, areas in a file", why);
	close(fd);
	usleep(200000);
	return ret ? ret : expect(probe, 0, 0, "no area", why);
}

static int test_charge(const struct layout *layout, struct reason *why)
{
	struct charge_probe probe;
	struct memory mem;
	struct area a;
	int ret;

	if (memory_map(&mem, layout, why))
		return -1;
	ring_open(&a, true);
	set_capability(CAP_IPC_LOCK, false);
	ret = charge_probe_init(&probe, why);
	set_capability(CAP_IPC_LOCK, true);
	if (!ret) {
		ret = charge_shared(&probe, &a, &mem, why);
		charge_probe_exit(&probe);
	}
	if (a.ring.ring_fd >= 0)
		io_uring_queue_exit(&a.ring);
	munmap(a.rq, RQ_PAGES * PAGE);
	memory_unmap(&mem);
	return ret;
}

/* --- what cannot be had ------------------------------------------------- */

static int64_t pins_taken(void)
{
	struct vmstat now;

	vmstat_read(&now);
	return (int64_t)now.pin_acquired;
}

/* A limit of one page less; not more is pinned than it allows, and a little. */
static int test_limit(const struct layout *layout, struct reason *why)
{
	const long limit = 1024;
	struct memory mem;
	struct area a;
	int64_t taken;
	int ret, fits;

	if (memory_map(&mem, layout, why))
		return -1;
	ring_open(&a, true);
	charge_set_limit(limit + RQ_PAGES);
	taken = pins_taken();
	ret = area_register(&a, mem.addr, mem.size);
	taken = pins_taken() - taken;
	if (ret == -ENOMEM)
		ret = area_register(&a, mem.addr, (limit + 1) * PAGE);
	fits = area_register(&a, mem.addr, limit * PAGE);
	charge_set_limit(RLIM_INFINITY / PAGE);
	ring_close(&a);
	memory_unmap(&mem);
	if (ret != -ENOMEM)
		return because(why, "above the limit: %s", strerror(-ret));
	if (fits)
		return because(why, "all of the limit: %s", strerror(-fits));
	if (taken > 2 * limit)
		return because(why, "%lld pins taken for a limit of %ld pages", (long long)taken, limit);
	return 0;
}

static int refuse(struct area *a, const struct memory *mem, const char *what, struct reason *why)
{
	int ret = area_register(a, mem->addr, mem->size);

	return ret == -EFAULT ? 0 : because(why, "%s: %s", what, ret ? strerror(-ret) : "accepted");
}

static int test_bad(const struct layout *layout, struct reason *why)
{
	struct memory mem;
	struct area a;
	char *page;
	int ret;

	if (memory_map(&mem, layout, why))
		return -1;
	page = mem.addr + mem.size / 2 + 7 * PAGE;
	ring_open(&a, true);
	mprotect(page, PAGE, PROT_READ);
	ret = refuse(&a, &mem, "a page that is read-only", why);
	munmap(page, PAGE);
	if (!ret)
		ret = refuse(&a, &mem, "a hole", why);
	if (!ret && charge_pinned())
		ret = because(why, "%ld pages stay charged", charge_pinned());
	ring_close(&a);
	memory_unmap(&mem);
	return ret;
}

/* Killed at some moment while it registers, again and again */
static int test_kill(const struct layout *layout, struct reason *why)
{
	struct memory mem;

	if (memory_map(&mem, layout, why))
		return -1;
	for (int i = 0; i < KILLS; i++) {
		pid_t pid = fork();

		if (pid < 0)
			die("fork: %s", strerror(errno));
		while (!pid) {
			struct area a;

			ring_open(&a, true);
			area_register(&a, mem.addr, mem.size);
			ring_close(&a);
		}
		usleep(5000 + 3700 * (unsigned int)i);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	memory_unmap(&mem);
	return 0;
}

static const struct test {
	const char *name;
	int (*run)(const struct layout *layout, struct reason *why);
	struct layout layout;
} tests[] = {
	{ "data, single pages", test_data, { .backing = BACKING_4K, .size = 4 * MIB } },
	{ "data, THP", test_data, { .backing = BACKING_THP, .size = 4 * MIB } },
	{ "data, THP with other pages", test_data,
		{ .backing = BACKING_THP, .size = 8 * MIB, .replace_every = 2 * MIB } },
	{ "data, folios of 64K", test_data, { .backing = BACKING_64K, .size = 4 * MIB } },
	{ "charged once", test_charge, { .backing = BACKING_THP, .size = 2 * MIB } },
	{ "the limit", test_limit, { .backing = BACKING_4K, .size = 64 * MIB } },
	{ "bad memory, single pages", test_bad, { .backing = BACKING_4K, .size = 4 * MIB } },
	{ "bad memory, THP", test_bad, { .backing = BACKING_THP, .size = 8 * MIB } },
	{ "killed", test_kill, { .backing = BACKING_4K, .size = 64 * MIB } },
};

static int run_tests(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(tests); i++) {
		struct vmstat start;
		struct reason why;
		int ret;

		vmstat_start(&start);
		ret = tests[i].run(&tests[i].layout, &why);
		bench_tell(tests[i].name, ret ? ret : vmstat_balanced(&start, &why), &why);
	}
	return bench_end();
}

/* --- what fails --------------------------------------------------------- */

static struct {
	struct area area;
	struct memory mem;
} faulty;

static void fault_before(void *unused)
{
	(void)unused;
	ring_open(&faulty.area, true);
}

static int fault_call(void *unused)
{
	(void)unused;
	return area_register(&faulty.area, faulty.mem.addr, faulty.mem.size);
}

/* Its arrays are less than a page: kvmalloc() has no second way to get those. */
static int fault_few(void *unused)
{
	(void)unused;
	return area_register(&faulty.area, faulty.mem.addr, FEW_PAGES * PAGE);
}

static int fault_add(void *unused)
{
	(void)unused;
	return area_add(&faulty.area, faulty.mem.addr, faulty.mem.size);
}

static void fault_added(void *unused)
{
	int ret;

	fault_before(unused);
	ret = area_register(&faulty.area, faulty.mem.addr, PAGE);
	if (ret)
		die("registering: %s", strerror(-ret));
}

static void fault_after(void *unused, int result)
{
	(void)unused;
	(void)result;
	ring_close(&faulty.area);
}

static int run_faults(void)
{
	static const struct fail_each
		first = { .before = fault_before, .call = fault_call, .after = fault_after },
		few = { .before = fault_before, .call = fault_few, .after = fault_after },
		more = { .before = fault_added, .call = fault_add, .after = fault_after };
	struct charge_probe probe;
	struct reason why;

	set_capability(CAP_IPC_LOCK, false);
	if (charge_probe_init(&probe, &why))
		die("%s", why.text);
	set_capability(CAP_IPC_LOCK, true);
	for (size_t i = 0; i < ARRAY_SIZE(tests); i++) {
		int ret;

		if (tests[i].run != test_data)
			continue;
		ret = memory_map(&faulty.mem, &tests[i].layout, &why);
		if (!ret) {
			ret = fail_each("an area", &first, &why) ||
			      fail_each("a small one", &few, &why) ||
			      fail_each("one more", &more, &why);
			memory_unmap(&faulty.mem);
		}
		/* The last ring may not be gone yet; VmPin does not show its refill ring. */
		usleep(200000);
		ret = ret || charge_probe_check(&probe, 0, &why);
		bench_tell(tests[i].name, ret, &why);
	}
	charge_probe_exit(&probe);
	return bench_end();
}

/* --- what it takes ------------------------------------------------------ */

static const struct {
	const char *name;
	struct layout layout;
} benches[] = {
	{ "zcrx/thp", { .backing = BACKING_THP, .size = GIB } },
	{ "zcrx/4k", { .backing = BACKING_4K, .size = GIB } },
};

static void measure(const char *name, const struct memory *mem)
{
	uint64_t least = UINT64_MAX, import = 0, start, end;

	/* One more for the events, which take some instructions of their own. */
	for (int i = 0; i <= TIMES; i++) {
		struct area a;
		int ret;

		ring_open(&a, true);
		if (i == TIMES)
			func_time_start();
		settle();
		start = now_ns();
		ret = area_register(&a, mem->addr, mem->size);
		end = now_ns();
		if (ret)
			die("%s: %s", name, strerror(-ret));
		if (i == TIMES)
			import = func_time_stop();
		else if (end - start < least)
			least = end - start;
		/* Areas go with the ring, from a work item. */
		ring_close(&a);
		settle();
	}
	printf("%s register %llu, of that pin and charge %llu\n", name,
	       (unsigned long long)(least >> bench.icount), (unsigned long long)(import >> bench.icount));
	if (bench.json)
		fprintf(bench.json, "{\"type\": \"users\", \"name\": \"%s\", \"result\": \"ok\", "
			"\"register_insn\": %llu, \"pin_insn\": %llu}\n", name,
			(unsigned long long)(least >> bench.icount), (unsigned long long)(import >> bench.icount));
}

static int run_benches(void)
{
	struct reason why;

	/* Where an area is pinned and charged: on stock, and where it is a registered buffer */
	if (func_time_open("io_pin_pages", "io_account_mem", &why) &&
	    func_time_open("io_regbuf_register", "io_regbuf_register", &why))
		die("%s", why.text);
	for (size_t i = 0; i < ARRAY_SIZE(benches); i++) {
		struct memory mem;

		if (memory_map(&mem, &benches[i].layout, &why))
			die("%s: %s", benches[i].name, why.text);
		measure(benches[i].name, &mem);
		memory_unmap(&mem);
		bench.passed++;
	}
	return bench_end();
}

int main(int argc, char **argv)
{
	static bool faults;
	static const struct bench_option options[] = {
		{ "faults", NULL, "each allocation and copy fails once", .flag = &faults },
		{ }
	};

	bench_options(argc, argv, NULL, options);
	bench_unlimit();
	if (faults)
		bench_measures_nothing();
	return bench.icount >= 0 ? run_benches() : faults ? run_faults() : run_tests();
}
