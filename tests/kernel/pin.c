// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <linux/types.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

#include "pin.h"

#define DEBUGFS		"/sys/kernel/debug"
#define GUP_TEST	DEBUGFS "/gup_test"

/*
 * The interface is none of those that the kernel exports; this is what mm/gup_test.h has. The
 * size of each struct is in the number of its ioctl, so that another one is refused.
 */
#define FOLL_WRITE	0x1
#define FOLL_LONGTERM	0x100

struct gup_test {
	__u64 get_delta_usec;
	__u64 put_delta_usec;
	__u64 addr;
	__u64 size;
	__u32 nr_pages_per_call;
	__u32 gup_flags;
	__u32 test_flags;
	__u32 which_pages[8];
};

struct pin_runs_test {
	__u64 addr;
	__u64 size;
	__u32 gup_flags;
	__u32 format;
	__u32 chunk_bytes;
	__u32 nr_pages_per_call;
	__u64 sizes;
	__u64 max_sizes;
	__u64 get_nsec;
	__u64 put_nsec;
	__u64 nr_pages;
	__u64 nr_runs;
	__u64 nr_calls;
	__u64 smallest;
	__u64 largest;
	__u64 longest_section;
};

#define PIN_FAST_BENCHMARK	_IOWR('g', 2, struct gup_test)
#define PIN_RUNS_BENCHMARK	_IOWR('g', 10, struct pin_runs_test)

int pin_open(struct reason *why)
{
	int fd;

	if (access(GUP_TEST, F_OK) && mount("debugfs", DEBUGFS, "debugfs", 0, NULL) &&
	    errno != EBUSY)
		return because(why, "cannot mount debugfs: %s", strerror(errno));
	fd = open(GUP_TEST, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return because(why, "%s: %s (CONFIG_GUP_TEST?)", GUP_TEST, strerror(errno));
	return fd;
}

bool pin_has_runs(int fd)
{
	struct pin_runs_test test = { .chunk_bytes = 4096 };

	return !ioctl(fd, PIN_RUNS_BENCHMARK, &test);
}

static int run_pages(int fd, const struct pin_method *method, void *addr, size_t bytes,
		     struct pin_result *result, struct reason *why)
{
	size_t pages = bytes / (4 * KIB);
	struct gup_test test = {
		.addr = (uintptr_t)addr,
		.size = bytes,
		.nr_pages_per_call = method->pages_per_call ? method->pages_per_call : pages,
		.gup_flags = FOLL_WRITE | (method->longterm ? FOLL_LONGTERM : 0),
	};

	if (ioctl(fd, PIN_FAST_BENCHMARK, &test))
		return because(why, "PIN_FAST_BENCHMARK: %s", strerror(errno));
	result->pin_ns = test.get_delta_usec * 1000;
	result->unpin_ns = test.put_delta_usec * 1000;
	result->pages = test.size / (4 * KIB);
	return 0;
}

static int run_runs(int fd, const struct pin_method *method, void *addr, size_t bytes,
		    struct pin_result *result, struct reason *why)
{
	struct pin_runs_test test = {
		.addr = (uintptr_t)addr,
		.size = bytes,
		.gup_flags = FOLL_WRITE | (method->longterm ? FOLL_LONGTERM : 0),
		.format = method->format,
		.chunk_bytes = method->chunk_bytes,
		.nr_pages_per_call = method->pages_per_call,
	};

	if (ioctl(fd, PIN_RUNS_BENCHMARK, &test))
		return because(why, "PIN_RUNS_BENCHMARK: %s", strerror(errno));
	result->pin_ns = test.get_nsec;
	result->unpin_ns = test.put_nsec;
	result->pages = test.nr_pages;
	result->runs = test.nr_runs;
	result->calls = test.nr_calls;
	result->longest_section = test.longest_section;
	return 0;
}

int pin_run(int fd, const struct pin_method *method, void *addr, size_t bytes,
	    struct pin_result *result, struct reason *why)
{
	int ret;

	memset(result, 0, sizeof(*result));
	ret = method->call == PIN_PAGES ? run_pages(fd, method, addr, bytes, result, why) :
					  run_runs(fd, method, addr, bytes, result, why);
	if (!ret && result->pages != bytes / (4 * KIB))
		ret = because(why, "%llu of %zu pages pinned", (unsigned long long)result->pages,
			      bytes / (4 * KIB));
	return ret;
}
