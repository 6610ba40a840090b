// SPDX-License-Identifier: GPL-2.0
/*
 * regbuf_errors: every way in which registering, updating and cloning buffers, and I/O with them,
 * can be refused. For each: the errno, the same on every kernel if it is not a difference that is
 * meant; no pin taken, nothing charged, to the memory or to the user; and rings that work as
 * before.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "caps.h"
#include "charge.h"
#include "dax.h"
#include "pattern.h"
#include "regbuf_errors.h"
#include "vmstat.h"

#define DAX_DIR		"/mnt-dax"
#define WAIT_USEC	10000
#define WAIT_TRIES	500

enum kernel kernel = PATCHED;

static const char *fs_dir, *dax_dir;

static const char *result_name(int result, char *buf, size_t size)
{
	if (result < 0)
		return errno_name(-result);
	snprintf(buf, size, "%d", result);
	return buf;
}

/* Writes and reads all of a buffer. */
static int check_transfer(struct io_uring *ring, int slot, const struct iovec *iov, int file,
			  uint64_t seed, struct reason *why)
{
	struct io_uring_sqe *sqe;
	unsigned int len = (unsigned int)iov->iov_len;
	int ret;

	pattern_fill(iov->iov_base, len, 0, seed);
	sqe = io_uring_get_sqe(ring);
	io_uring_prep_write_fixed(sqe, file, iov->iov_base, len, 0, slot);
	ret = uring_one(ring);
	if (ret != (int)len)
		return because(why, "WRITE_FIXED of slot %d: %d", slot, ret);
	memset(iov->iov_base, 0, len);
	sqe = io_uring_get_sqe(ring);
	io_uring_prep_read_fixed(sqe, file, iov->iov_base, len, 0, slot);
	ret = uring_one(ring);
	if (ret != (int)len)
		return because(why, "READ_FIXED of slot %d: %d", slot, ret);
	if (pattern_check(iov->iov_base, len, 0, seed) != len)
		return because(why, "wrong data in slot %d", slot);
	return 0;
}

/* The buffers of the full ring: the good memory's first pages. */
static struct iovec full_buffer(const struct env *env, unsigned int slot)
{
	return slot < SLOTS - 1 ?
	       (struct iovec){ (char *)env->good.iov_base + slot * PAGE, PAGE } :
	       (struct iovec){ NULL, 0 };
}

static int check_works(struct env *env, bool has_full, struct reason *why)
{
	int ret = io_uring_register_buffers(&env->ring, &env->good, 1);

	if (ret)
		return because(why, "registering after it: %s", strerror(-ret));
	if (check_transfer(&env->ring, 0, &env->good, env->file, 1, why))
		return -1;
	ret = io_uring_unregister_buffers(&env->ring);
	if (ret)
		return because(why, "unregistering after it: %s", strerror(-ret));
	for (unsigned int i = 0; has_full && i < SLOTS - 1; i++) {
		struct iovec iov = full_buffer(env, i);

		if (check_transfer(&env->full, (int)i, &iov, env->file, 2 + i, why))
			return -1;
	}
	ret = has_full ? io_uring_unregister_buffers(&env->full) : 0;
	return ret ? because(why, "unregistering what was there: %s", strerror(-ret)) : 0;
}

/* As many pins and as much charged as before the call. */
static int check_same(const struct vmstat *before, struct charge_probe *probe, long pages,
		      struct reason *why)
{
	struct vmstat now;

	vmstat_read(&now);
	if (now.pin_acquired - now.pin_released != before->pin_acquired - before->pin_released)
		return because(why, "%lld pins more than before",
			       (long long)(now.pin_acquired - now.pin_released -
					   (before->pin_acquired - before->pin_released)));
	if (now.vmpin_kb != before->vmpin_kb)
		return because(why, "VmPin became %llu kB, from %llu kB",
			       (unsigned long long)now.vmpin_kb,
			       (unsigned long long)before->vmpin_kb);
	return charge_probe_check(probe, pages, why);
}

static int open_rings(struct env *env, struct reason *why)
{
	struct iovec iov[SLOTS];
	int ret = charge_ring_init(&env->ring);

	if (!ret)
		ret = charge_ring_init(&env->full);
	for (unsigned int i = 0; i < SLOTS; i++)
		iov[i] = full_buffer(env, i);
	if (!ret)
		ret = io_uring_register_buffers(&env->full, iov, SLOTS);
	return ret ? because(why, "rings: %s", strerror(-ret)) : 0;
}

static int call(struct env *env, struct charge_probe *probe, const struct test_case *test,
		struct reason *why)
{
	int expected = test->differs && kernel == PATCHED ? test->patched : test->expected;
	/* Buffers of the full ring, regions of both, memory that is locked by what it is. */
	long pages = SLOTS - 1 + 2 +
		(test->has_memory && test->memory == MEM_SECRET ? SIZE / PAGE : 0);
	char name[16], wanted[16];
	struct vmstat before;
	int ret;

	vmstat_read(&before);
	ret = test->run(env);
	if (ret != expected)
		return because(why, "%s instead of %s", result_name(ret, name, sizeof(name)),
			       result_name(expected, wanted, sizeof(wanted)));
	if (!test->changes && check_same(&before, probe, pages, why))
		return -1;
	return check_works(env, !test->changes, why);
}

/* What closed rings had is given back some time later. */
static int check_nothing_left(const struct vmstat *start, struct charge_probe *probe,
			      struct reason *why)
{
	int ret = 0;

	for (int i = 0; i < WAIT_TRIES; i++) {
		ret = charge_probe_check(probe, 0, why);
		if (!ret)
			return vmstat_balanced(start, why);
		usleep(WAIT_USEC);
	}
	return ret;
}

/* Returns 0, 1 if the case cannot be had (with @why), or -1. */
static int run_case(struct env *env, const struct test_case *test, struct reason *why)
{
	struct charge_probe probe;
	struct reason left;
	struct vmstat start;
	int ret;

	vmstat_start(&start);
	if (charge_probe_init(&probe, why) || open_rings(env, why))
		return -1;
	/* After the rings, which might be mapped to where nothing is meant to be. */
	ret = test->has_memory ? bad_memory_map(test->memory, fs_dir, dax_dir, &env->bad, why) : 0;
	if (!ret) {
		ret = call(env, &probe, test, why);
		if (test->has_memory)
			bad_memory_unmap(test->memory, &env->bad);
	}
	io_uring_queue_exit(&env->ring);
	io_uring_queue_exit(&env->full);
	/* What is left would be found again by all the other cases. */
	if (check_nothing_left(&start, &probe, &left))
		die("%s: in the end, %s", test->name, left.text);
	charge_probe_exit(&probe);
	return ret;
}

static void open_env(struct env *env)
{
	const struct layout thp = { .backing = BACKING_THP, .size = 2 * MIB };
	struct reason why;

	memset(env, 0, sizeof(*env));
	env->good.iov_len = SIZE;
	env->good.iov_base = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (env->good.iov_base == MAP_FAILED ||
	    madvise(env->good.iov_base, SIZE, MADV_NOHUGEPAGE))
		die("mmap: %s", strerror(errno));
	memset(env->good.iov_base, 1, SIZE);
	if (memory_map(&env->thp, &thp, &why))
		die("%s", why.text);
	env->file = (int)syscall(SYS_memfd_create, "file", 0);
	if (env->file < 0)
		die("memfd_create: %s", strerror(errno));
}

static void parse_options(int argc, char **argv)
{
	static const struct option options[] = {
		{ "stock", no_argument, NULL, 's' },
		{ "fs-device", required_argument, NULL, 'f' },
		{ "dax-device", required_argument, NULL, 'd' },
		{ }
	};
	const char *fs = NULL, *dax = NULL;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 's':
			kernel = STOCK;
			break;
		case 'f':
			fs = optarg;
			break;
		case 'd':
			dax = optarg;
			break;
		default:
			fputs("usage: regbuf_errors [--stock] --fs-device EXT4 [--dax-device PMEM]\n"
			      "--dax-device: is overwritten with the content of EXT4\n", stderr);
			exit(2);
		}
	}
	if (!fs)
		die("no --fs-device");
	if (dax) {
		mount_dax(dax, fs, DAX_DIR);
		dax_dir = DAX_DIR;
	}
	if (mount(fs, "/mnt", "ext4", 0, NULL))
		die("mounting %s: %s", fs, strerror(errno));
	fs_dir = "/mnt";
}

int main(int argc, char **argv)
{
	const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	unsigned int passed = 0, failed = 0, skipped = 0;
	struct env env;

	parse_options(argc, argv);
	if (setrlimit(RLIMIT_MEMLOCK, &unlimited))
		die("cannot raise RLIMIT_MEMLOCK: %s", strerror(errno));
	open_env(&env);
	set_capability(CAP_IPC_LOCK, false);
	for (size_t i = 0; i < nr_test_cases; i++) {
		const struct test_case *test = &test_cases[i];
		struct reason why;
		char name[16];
		int ret = run_case(&env, test, &why);

		if (ret < 0) {
			failed++;
			printf("FAIL %s: %s\n", test->name, why.text);
		} else if (ret) {
			skipped++;
			printf("SKIP %s: %s\n", test->name, why.text);
		} else {
			passed++;
			printf("ok   %-32s %s%s\n", test->name,
			       result_name(test->differs && kernel == PATCHED ? test->patched :
					   test->expected, name, sizeof(name)),
			       test->differs ? " (not as stock)" : "");
		}
		fflush(stdout);
	}
	printf("%u passed, %u failed, %u skipped\n", passed, failed, skipped);
	return failed || !passed ? 1 : 0;
}
