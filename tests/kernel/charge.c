// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "charge.h"
#include "uring.h"

#define PAGE		(4 * KIB)

/*
 * As read_key(), but from one open file: this is called after each step of many. Children of a
 * fork() open their own.
 */
long charge_pinned(void)
{
	static int fd = -1;
	static pid_t opened_by;
	char text[4096];
	const char *at;
	ssize_t len;

	if (opened_by != getpid()) {
		if (fd >= 0)
			close(fd);
		fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
		opened_by = getpid();
	}
	len = fd < 0 ? -1 : pread(fd, text, sizeof(text) - 1, 0);
	if (len < 0)
		die("/proc/self/status: %s", strerror(errno));
	text[len] = '\0';
	at = strstr(text, "\nVmPin:");
	if (!at)
		die("no VmPin in /proc/self/status");
	/* The kernel prints pages << 2, cut to 64 bits: the sign survives the way back. */
	return (long)strtoull(at + 7, NULL, 10) / 4;
}

void charge_set_limit(unsigned long pages)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_MEMLOCK, &limit))
		die("getrlimit: %s", strerror(errno));
	limit.rlim_cur = pages * PAGE;
	if (setrlimit(RLIMIT_MEMLOCK, &limit))
		die("setrlimit of %lu pages: %s", pages, strerror(errno));
}

/* Whether one page more can be registered under a limit of @limit pages. */
static int fits(struct charge_probe *probe, unsigned long limit)
{
	struct iovec iov = { probe->page, PAGE };
	int ret;

	charge_set_limit(limit);
	ret = io_uring_register_buffers(&probe->ring, &iov, 1);
	if (!ret)
		ret = io_uring_unregister_buffers(&probe->ring);
	return ret;
}

int charge_probe_init(struct charge_probe *probe, struct reason *why)
{
	int ret;

	memset(probe, 0, sizeof(*probe));
	probe->page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (probe->page == MAP_FAILED)
		return because(why, "mmap: %s", strerror(errno));
	ret = io_uring_queue_init(1, &probe->ring, 0);
	if (ret) {
		munmap(probe->page, PAGE);
		return because(why, "io_uring_queue_init: %s", strerror(-ret));
	}
	return 0;
}

void charge_probe_exit(struct charge_probe *probe)
{
	io_uring_queue_exit(&probe->ring);
	munmap(probe->page, PAGE);
}

int charge_probe_check(struct charge_probe *probe, long pages, struct reason *why)
{
	struct rlimit old;
	int more, less;

	if (getrlimit(RLIMIT_MEMLOCK, &old))
		die("getrlimit: %s", strerror(errno));
	if (pages < 0)
		return because(why, "%ld pages charged to the user", pages);
	more = fits(probe, (unsigned long)pages + 1);
	less = fits(probe, (unsigned long)pages);
	if (setrlimit(RLIMIT_MEMLOCK, &old))
		die("setrlimit: %s", strerror(errno));
	if (more)
		return because(why, "a page more than the %ld of this user is refused: %s", pages,
			       strerror(-more));
	if (less != -ENOMEM)
		return because(why, "the user can have a page more than the %ld of the limit: %s",
			       pages, strerror(-less));
	return 0;
}

int charge_ring_init(struct io_uring *ring)
{
	int ret = io_uring_queue_init(4, ring, 0);

	if (ret)
		return ret;
	ret = uring_mem_region(ring, 1);
	if (ret)
		io_uring_queue_exit(ring);
	return ret;
}
