// SPDX-License-Identifier: GPL-2.0
/*
 * hold_bench: for how long the lock of a ring is held, by calls for registered buffers that take
 * as long as the buffer is large.
 *
 * Who submits waits for that lock. It is the mutex of the ring that is taken for a request that does
 * nothing. Each call is made once, and of all times for which the lock, or those of both
 * rings, are held meanwhile the longest counts (lock_watch.h).
 *
 * How often the lock is taken is told as well: whenever it is dropped, who submits may get it, and
 * the call has to wait. That is what a call with many small buffers pays beside a submitter; with
 * one CPU and counted instructions, nobody waits, but the times can be counted.
 *
 * Under "qemu -icount shift=0" with one CPU a nanosecond is an instruction. Results are lines of
 * text, and a JSON object a line with --json.
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "layouts.h"
#include "lock_watch.h"
#include "registration.h"
#include "tracefs.h"
#include "uring.h"
#include "vmstat.h"

#define INSTANCE	"instances/hold_bench"
#define RING_BYTES	4096	/* of the kernel, that the lock of a ring is in */
/* IORING_REGISTER_BUFFER_LAYOUT of the patched kernel */
#define BUFFER_LAYOUT	38

static const struct hold_test {
	const char *name, *title;
	struct layout layout;
	unsigned int nr;		/* buffers of it, in one call */
} tests[] = {
	{ "512", "512 of 4 KiB", { .backing = BACKING_4K, .size = 2 * MIB }, 512 },
	{ "8192", "8192 of 4 KiB", { .backing = BACKING_4K, .size = 32 * MIB }, 8192 },
	{ "4k", "4K pages", { .backing = BACKING_4K, .size = GIB }, 1 },
	{ "1g-64g", "hugetlb 1G",
	  { .backing = BACKING_HUGETLB_1G, .size = 64 * GIB, .alias = GIB }, 1 },
	{ "1g", "hugetlb 1G",
	  { .backing = BACKING_HUGETLB_1G, .size = 64 * TIB, .alias = GIB }, 1 },
};

/* What the calls are made with */
struct world {
	struct io_uring ring, other;
	struct lock_watch watches[2];		/* of their locks */
	struct iovec *iov;
	unsigned int nr;
	int pipe[2];
	char fdinfo[64];
};

static int do_nothing(struct world *world)
{
	return uring_register(world->ring.ring_fd, IORING_UNREGISTER_FILES, NULL, 0) == -ENXIO ?
	       0 : -EIO;
}

static int do_register(struct world *world)
{
	return io_uring_register_buffers(&world->ring, world->iov, world->nr);
}

static int do_register_other(struct world *world)
{
	return io_uring_register_buffers(&world->other, world->iov, world->nr);
}

static int do_update(struct world *world)
{
	int ret = uring_update(&world->ring, 0, world->iov, world->nr);

	return ret == (int)world->nr ? 0 : ret < 0 ? ret : -EIO;
}

static int do_clone(struct world *world)
{
	return uring_clone(&world->other, &world->ring, 0, 0, 0, 0);
}

static int do_replace(struct world *world)
{
	return uring_clone(&world->other, &world->ring, 0, 0, 0, URING_CLONE_DST_REPLACE);
}

static int do_unregister(struct world *world)
{
	return io_uring_unregister_buffers(&world->ring);
}

static int do_unregister_other(struct world *world)
{
	return io_uring_unregister_buffers(&world->other);
}

static int do_layout(struct world *world)
{
	char layout[64] = { 0 };	/* struct io_uring_buffer_layout */

	return uring_register(world->ring.ring_fd, BUFFER_LAYOUT, layout, sizeof(layout));
}

static int do_fdinfo(struct world *world)
{
	char text[4096];
	int fd = open(world->fdinfo, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text));

	close(fd);
	return len > 0 ? 0 : -EIO;
}

/* A request that waits, and has the buffer */
static int do_request(struct world *world)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&world->ring);

	io_uring_prep_read_fixed(sqe, world->pipe[0], world->iov[0].iov_base, 4096, 0, 0);
	return io_uring_submit(&world->ring) == 1 ? 0 : -EIO;
}

/* It ends, and with it the buffer. */
static int do_complete(struct world *world)
{
	struct io_uring_cqe *cqe;
	int ret;

	if (write(world->pipe[1], "", 1) != 1)
		return -errno;
	ret = io_uring_wait_cqe(&world->ring, &cqe);
	if (ret)
		return ret;
	ret = cqe->res == 1 ? 0 : -EIO;
	io_uring_cqe_seen(&world->ring, cqe);
	return ret;
}

/* In this order. Those without a name are on the way. */
static const struct step {
	const char *name;
	int (*call)(struct world *world);
} steps[] = {
	{ "nothing", do_nothing },
	{ "register", do_register },
	{ "update", do_update },
	{ "clone", do_clone },
	{ "unregister of a clone", do_unregister_other },
	{ NULL, do_register_other },
	{ "clone with replace", do_replace },
	{ "layout", do_layout },
	{ "fdinfo", do_fdinfo },
	{ NULL, do_unregister_other },
	{ "unregister", do_unregister },
	{ NULL, do_register },
	{ NULL, do_request },
	{ "unregister, in use", do_unregister },
	{ "last request", do_complete },
};

static void print(const struct hold_test *test, const struct step *step, int error,
		  const struct lock_holds *holds)
{
	printf("%-8s %-24s ", test->name, step->name);
	if (error)
		printf("%s\n", errno_name(error));
	else
		printf("longest %llu in all %llu times %lu\n", (unsigned long long)holds->longest,
		       (unsigned long long)holds->total, holds->times);
	fflush(stdout);
	bench.passed++;
	if (!bench.json)
		return;
	fprintf(bench.json, "{\"type\": \"holds\", \"name\": \"%s/%s\", \"title\": \"%s\", "
		"\"bytes\": %zu, \"call\": \"%s\", \"result\": \"%s\"", test->name, step->name,
		test->title, test->layout.size, step->name, error ? errno_name(error) : "ok");
	if (!error)
		fprintf(bench.json, ", \"hold_insn\": %llu, \"held_insn\": %llu, \"times\": %lu",
			(unsigned long long)holds->longest, (unsigned long long)holds->total,
			holds->times);
	bench_json_end();
}

/* Makes a call; the ones that the kernel does not know, or refuses, are results too. */
static int run_step(const struct hold_test *test, const struct step *step, struct world *world,
		    struct reason *why)
{
	struct lock_holds holds = { 0 };
	int ret;

	settle();
	for (size_t i = 0; i < ARRAY_SIZE(world->watches); i++)
		if (lock_watch_start(&world->watches[i], why))
			return -1;
	ret = step->call(world);
	for (size_t i = 0; i < ARRAY_SIZE(world->watches); i++)
		if (lock_watch_stop(&world->watches[i], &holds, why))
			return -1;
	if (step->name)
		print(test, step, -ret, &holds);
	else if (ret)
		return because(why, "a step between: %s", strerror(-ret));
	if (!ret && !holds.times && step->call != do_fdinfo && step->call != do_layout)
		return because(why, "%s: no lock was taken", step->name ? step->name : "a step");
	return ret && step->call == do_register ? 1 : 0;
}

/* Takes the lock of a ring, and no other of it. */
static int run_nop(void *arg)
{
	struct io_uring *ring = arg;

	io_uring_prep_nop(io_uring_get_sqe(ring));
	return uring_one(ring);
}

/* Makes a ring. The kernel's events tell where it is in memory. */
static int make_ring(struct io_uring *ring, uint64_t *address, struct reason *why)
{
	char line[512], *at = NULL;
	FILE *file;
	int ret;

	if (tracefs_set(INSTANCE, "trace", "", why) || ring_init(ring, true, why))
		return -1;
	file = fopen(TRACEFS "/" INSTANCE "/trace", "re");
	if (!file)
		return because(why, "the trace: %s", strerror(errno));
	while (!at && fgets(line, sizeof(line), file))
		at = strstr(line, "io_uring_create: ring ");
	fclose(file);
	ret = at && sscanf(at, "io_uring_create: ring %llx", (unsigned long long *)address) == 1;
	return ret ? 0 : because(why, "no event that tells of a ring");
}

static int watch_ring(struct lock_watch *watch, struct io_uring *ring, struct reason *why)
{
	uint64_t address;

	if (make_ring(ring, &address, why))
		return -1;
	return lock_watch_open(watch, address, RING_BYTES, run_nop, ring, why);
}

static int trace_rings(struct reason *why)
{
	/* Real addresses, not hashed ones */
	if (tracefs_make_instance(INSTANCE, why) ||
	    tracefs_set(INSTANCE, "options/hash-ptr", "0", why) ||
	    tracefs_set(INSTANCE, "events/io_uring/io_uring_create/enable", "1", why))
		return -1;
	return 0;
}

static int run_steps(const struct hold_test *test, const struct memory *mem, struct reason *why)
{
	struct world world = { .nr = test->nr };
	size_t each = mem->size / world.nr;
	int ret = 0;

	world.iov = calloc(world.nr, sizeof(*world.iov));
	if (!world.iov)
		die("out of memory");
	for (unsigned int i = 0; i < world.nr; i++)
		world.iov[i] = (struct iovec){ mem->addr + i * each, each };
	if (pipe(world.pipe))
		die("pipe: %s", strerror(errno));
	if (watch_ring(&world.watches[0], &world.ring, why) ||
	    watch_ring(&world.watches[1], &world.other, why))
		return -1;
	snprintf(world.fdinfo, sizeof(world.fdinfo), "/proc/self/fdinfo/%d", world.ring.ring_fd);
	for (size_t i = 0; i < ARRAY_SIZE(steps) && !ret; i++)
		ret = run_step(test, &steps[i], &world, why);
	for (size_t i = 0; i < ARRAY_SIZE(world.watches); i++)
		lock_watch_close(&world.watches[i]);
	io_uring_queue_exit(&world.ring);
	io_uring_queue_exit(&world.other);
	close(world.pipe[0]);
	close(world.pipe[1]);
	free(world.iov);
	return ret < 0 ? -1 : 0;
}

/* What is charged is not looked at: stock charges wrongly for clones of huge pages. */
static int wait_released(struct reason *why)
{
	struct vmstat now;

	for (int tries = 0; tries < 100; tries++) {
		vmstat_read(&now);
		if (now.pin_acquired == now.pin_released)
			return 0;
		usleep(20000);
	}
	return because(why, "%lld pins are left",
		       (long long)(now.pin_acquired - now.pin_released));
}

static void run_test(const struct hold_test *test)
{
	struct vmstat before;
	struct memory mem;
	struct reason why;
	int ret;

	vmstat_start(&before);
	note("%s: mapping", test->name);
	ret = memory_map(&mem, &test->layout, &why);
	if (!ret) {
		ret = run_steps(test, &mem, &why);
		memory_unmap(&mem);
		if (wait_released(ret ? NULL : &why))
			ret = -1;
	}
	if (!ret)
		return;
	bench.failed++;
	printf("FAIL %s: %s\n", test->name, why.text);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct reason why;

	bench_options(argc, argv, NULL, NULL);
	if (bench.icount > 0)
		die("a nanosecond has to be an instruction: --icount 0");
	bench_unlimit();
	lock_watch_init();
	if (trace_rings(&why))
		die("%s", why.text);
	for (size_t i = 0; i < ARRAY_SIZE(tests); i++)
		if (bench_wants(tests[i].name))
			run_test(&tests[i]);
	tracefs_remove_instance(INSTANCE);
	return bench_end();
}
