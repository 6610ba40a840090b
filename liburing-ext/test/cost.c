/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * What calls cost that are made for each I/O, or while other threads wait, in
 * instructions: a child makes them and is followed step by step (ptrace(2)).  That gives
 * the same numbers on a busy machine as on an idle one.  The time is printed beside them,
 * and not judged.
 *
 * None of it enters the kernel, where there are locks that pinning memory holds (a heap that
 * grows needs the lock of the address space): calls of it are counted too, on x86-64.
 */
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <time.h>

#include "helpers.h"

#define MANY	16000
#define TAG	7

static char *mem;
static struct io_uring ring;
static struct io_uring_ext_pool *pool;
static struct io_uring_ext_ring *r;
static struct io_uring_ext_slab *slab;
static struct io_uring_ext_slab_cache *cache;
static struct io_uring_sqe sqe;
static struct io_uring_ext_error err;
static int id;

/* ---- what is to be counted: in a child, which has all of it to itself ---- */

static void nothing(void)
{
}

static void make_pool(__u32 flags, unsigned regions, size_t len, size_t max_buffer)
{
	struct io_uring_ext_pool_params params = { .nr_slots = 16384, .flags = flags,
						   .max_buffer = max_buffer };
	struct io_uring_ext_region region = { .len = len, .page_size = 4096 };
	unsigned i;

	t_ring(&ring, 8, 0);
	CHECK_OK(io_uring_ext_pool_create(&pool, &params, &err), err);
	for (i = 0; i < regions; i++) {
		region.base = mem + 2 * i * len;
		id = io_uring_ext_pool_add(pool, &region, &err);
		CHECK_OK(id, err);
	}
	CHECK_OK(io_uring_ext_ring_attach(&r, pool, &ring, 0, &err), err);
}

static void one_region(void)
{
	make_pool(0, 1, MiB, 0);
	CHECK_EQ(io_uring_ext_slab_create(&slab, pool, id, 4096, 0), 0);
	CHECK_EQ(io_uring_ext_slab_cache_create(&cache, slab, 0), 0);
}

static void many_slots(void)
{
	make_pool(0, 1, MiB, 64 * KiB);
}

/* The library's part alone: the kernel's is to copy the table. */
static void many_regions(void)
{
	make_pool(IO_URING_EXT_POOL_PLAIN, MANY, 4096, 0);
}

static void prep_liburing(void)
{
	io_uring_prep_read_fixed(&sqe, 3, mem + 65536, 4096, 8192, 1);
	__asm__ volatile("" ::: "memory");
}

static void prep_region(void)
{
	io_uring_ext_prep_read_region(r, &sqe, id, 3, mem + 65536, 4096, 8192);
}

static void prep_address(void)
{
	io_uring_ext_prep_read(r, &sqe, 3, mem + 65536, 4096, 8192);
}

static void use_cache(void)
{
	io_uring_ext_slab_cache_put(cache, io_uring_ext_slab_cache_get(cache));
}

static void use_slab(void)
{
	io_uring_ext_slab_put(slab, io_uring_ext_slab_get(slab));
}

static void is_stale(void)
{
	io_uring_ext_ring_stale(r);
}

/* In the middle of the others. */
static void add(void)
{
	struct io_uring_ext_region region = { .base = mem + (MANY + 1) * 4096UL, .len = 4096,
					      .page_size = 4096 };

	id = io_uring_ext_pool_add(pool, &region, &err);
	CHECK_OK(id, err);
}

static void take_back(void)
{
	CHECK_EQ(io_uring_ext_pool_remove(pool, id), 1);
}

static void sync_ring(void)
{
	CHECK(io_uring_ext_ring_sync(r, &err) >= 0);
}

/* Not there; whatever there was before. */
static void without(void)
{
	static bool there;

	if (there) {
		take_back();
		sync_ring();
	}
	there = true;
}

static void add_again(void)
{
	without();
	add();
}

static void add_and_take_back(void)
{
	sync_ring();
	add();
	sync_ring();
	take_back();
}

static void be_signalled(void)
{
	struct io_uring_ext_region region = { .base = mem + 8 * MiB, .len = 4096, .tag = TAG };

	id = io_uring_ext_pool_add(pool, &region, &err);
	CHECK_OK(id, err);
	sync_ring();
	take_back();
	CHECK_EQ(io_uring_ext_ring_sync(r, &err), 0);
	CHECK_EQ(t_wait_tag(&ring, 5000), TAG);
}

static void signal_ring(void)
{
	CHECK_EQ(io_uring_ext_ring_signal(r, TAG), 1);
}

/* ---- counting ---- */

struct what {
	const char *name;
	void (*setup)(void);
	void (*before)(void);		/* what is counted needs it, and it is not counted */
	void (*fn)(void);
	unsigned times;
	unsigned most;			/* instructions each time; 0: not judged */
	bool above;			/* more than the one before it in the table */
};

static const struct what all[] = {
	{ "liburing's prep_read_fixed", one_region, nothing, prep_liburing, 8, 0, false },
	{ "prep_read_region, above that", one_region, nothing, prep_region, 8, 72, true },
	{ "liburing's prep_read_fixed", many_slots, nothing, prep_liburing, 8, 0, false },
	{ "... of a region of many slots", many_slots, nothing, prep_region, 8, 80, true },
	{ "prep_read", one_region, nothing, prep_address, 8, 200, false },
	{ "cache_get and cache_put", one_region, nothing, use_cache, 8, 120, false },
	{ "slab_get and slab_put", one_region, nothing, use_slab, 8, 250, false },
	{ "ring_stale", one_region, nothing, is_stale, 8, 20, false },
	{ "ring_signal", one_region, be_signalled, signal_ring, 1, 1000, false },
	/* Mostly half of a table moved, at worst in string instructions: a step a byte */
	{ "sync, one added to 16000", many_regions, add_again, sync_ring, 1, 150000, false },
	{ "sync, one of 16000 removed", many_regions, add_and_take_back, sync_ring, 1, 150000,
	  false },
	{ "pool_add to 16000", many_regions, without, add, 1, 150000, false },
};

static void child(const struct what *w, unsigned n)
{
	pid_t pid = getpid();

	w->setup();
	/* Functions are bound and pages touched by the first time */
	w->before();
	w->fn();
	w->before();
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	syscall(SYS_kill, pid, SIGSTOP);
	while (n--)
		w->fn();
	syscall(SYS_kill, pid, SIGSTOP);
	_exit(0);
}

/* Is the next instruction one that enters the kernel? */
static bool at_syscall(pid_t pid)
{
#ifdef __x86_64__
	long at = ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user_regs_struct, rip), NULL);

	return (ptrace(PTRACE_PEEKTEXT, pid, at, NULL) & 0xffff) == 0x050f;
#else
	(void)pid;
	return false;
#endif
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* Microseconds, as seen last. */
static double step_us;

/* Instructions of so many times, and of the two stops; system calls, the last stop's too. */
static unsigned long steps(const struct what *w, unsigned n, unsigned *calls)
{
	unsigned long count = 0;
	double start;
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid)
		child(w, n);
	CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
	CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
	*calls = 0;
	start = now();
	do {
		*calls += at_syscall(pid);
		if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL)) {
			int e = errno;

			kill(pid, SIGKILL);
			t_skip("no process can be followed here: %s", strerror(e));
		}
		CHECK_EQ(waitpid(pid, &status, 0), pid);
		CHECK(WIFSTOPPED(status));
		count++;
	} while (WSTOPSIG(status) == SIGTRAP);
	step_us = (now() - start) * 1e6 / count;
	CHECK_EQ(ptrace(PTRACE_CONT, pid, NULL, NULL), 0);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFEXITED(status) && !WEXITSTATUS(status));
	return count;
}

/* The best of some, of what can be done often. */
static double best_ns(const struct what *w)
{
	double best = 1e9, start, took;
	unsigned i, n;

	for (i = 0; i < 20; i++) {
		start = now();
		for (n = 0; n < 10000; n++)
			w->fn();
		took = (now() - start) * 1e9 / 10000;
		best = took < best ? took : best;
	}
	return best;
}

static void show_ns(const struct what *w)
{
	pid_t pid;
	int status;

	fflush(stdout);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		w->setup();
		printf(", %5.1f ns", best_ns(w));
		fflush(stdout);
		_exit(0);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFEXITED(status) && !WEXITSTATUS(status));
}

static bool judged(void)
{
#if defined(__OPTIMIZE__) && defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
	return true;
#else
	return false;
#endif
}

int main(void)
{
	unsigned i, calls, none, failed = 0;
	double each, last = 0;

	if (t_valgrind())
		t_skip("valgrind's own instructions would be counted");
	mem = mmap(NULL, 128 * MiB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(mem != MAP_FAILED);
	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		const struct what *w = &all[i];

		/* In an emulator */
		if (w->setup == many_regions && step_us > 500) {
			printf("%-30s not counted: a step takes %.0f us here\n", w->name,
			       step_us);
			continue;
		}
		each = (double)(steps(w, w->times, &calls) - steps(w, 0, &none)) / w->times;
		printf("%-30s %8.0f instructions", w->name, each - (w->above ? last : 0));
		if (w->times > 1)
			show_ns(w);
		printf("\n");
		if (calls != none) {
			printf("^ %u system calls\n", calls - none);
			failed++;
		}
		if (judged() && w->most && each - (w->above ? last : 0) > w->most) {
			printf("^ more than %u\n", w->most);
			failed++;
		}
		last = each;
	}
	CHECK_EQ(failed, 0);
	return 0;
}
