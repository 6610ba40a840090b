// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "fail_nth.h"

#define DEBUGFS		"/sys/kernel/debug"
#define NODES		"/sys/kernel/slab/radix_tree_node/"

static const struct setting {
	const char *name, *value;
} settings[] = {
	{ "failslab/verbose", "0" },
	{ "failslab/ignore-gfp-wait", "N" },
	{ "failslab/cache-filter", "N" },
	{ "fail_page_alloc/verbose", "0" },
	{ "fail_page_alloc/ignore-gfp-wait", "N" },
	{ "fail_page_alloc/ignore-gfp-highmem", "N" },
	{ "fail_page_alloc/min-order", "0" },
	{ "fail_usercopy/verbose", "0" },
};

static int fd = -1;

int fail_nth_open(struct reason *why)
{
	char path[96];
	int ret;

	if (access(DEBUGFS "/failslab", F_OK) &&
	    mount("debugfs", DEBUGFS, "debugfs", 0, NULL) && errno != EBUSY)
		return because(why, "cannot mount debugfs: %s", strerror(errno));
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		snprintf(path, sizeof(path), DEBUGFS "/%s", settings[i].name);
		ret = write_string(path, settings[i].value);
		if (ret)
			return because(why, "%s: %s", path, strerror(-ret));
	}
	if (fd >= 0)
		close(fd);
	fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return because(why, "/proc/thread-self/fail-nth: %s", strerror(errno));
	return 0;
}

void fail_nth_arm(unsigned int n)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%u", n);

	if (pwrite(fd, text, (size_t)len, 0) != len)
		die("fail-nth: %s", strerror(errno));
}

bool fail_nth_disarm(void)
{
	char text[16] = "";
	ssize_t len;

	/*
	 * Reading and writing the file are copies themselves, and may be the one that fails. The
	 * number that is read is the one from before; after a failed copy it is 0.
	 */
	len = pread(fd, text, sizeof(text) - 1, 0);
	if (len < 0 && errno != EFAULT)
		die("fail-nth: %s", strerror(errno));
	if (len < 0)
		return false;
	if (pwrite(fd, "0", 1, 0) != 1 && errno != EFAULT)
		die("fail-nth: %s", strerror(errno));
	return strtoul(text, NULL, 10) == 0;
}

static void set(const char *path, const char *value)
{
	int ret = write_string(path, value);

	if (ret)
		die("%s: %s", path, strerror(-ret));
}

void fail_nodes_from(unsigned int n)
{
	char size[32], space[32];
	int ret = read_line(NODES "object_size", size, sizeof(size));

	if (ret)
		die(NODES "object_size: %s", strerror(-ret));
	/* First and last, so that it never is for more than this thread and these objects. */
	set(DEBUGFS "/failslab/probability", "0");
	set("/proc/thread-self/make-it-fail", n ? "1" : "0");
	set(NODES "failslab", n ? "1" : "0");
	set(DEBUGFS "/failslab/cache-filter", n ? "Y" : "N");
	set(DEBUGFS "/failslab/task-filter", n ? "Y" : "N");
	set(DEBUGFS "/failslab/times", "-1");
	if (!n)
		return;
	/* So many bytes are given out before */
	snprintf(space, sizeof(space), "%lu", (n - 1) * strtoul(size, NULL, 10) + 1);
	set(DEBUGFS "/failslab/space", space);
	set(DEBUGFS "/failslab/probability", "100");
}

/* By a file that is open, since to open one allocates. */
static void objects_fail(const char *percent)
{
	static int probability = -1;

	if (probability < 0)
		probability = open(DEBUGFS "/failslab/probability", O_WRONLY | O_CLOEXEC);
	if (write(probability, percent, strlen(percent)) < 0)
		die(DEBUGFS "/failslab/probability: %s", strerror(errno));
}

void fail_objects_of_children(bool on)
{
	set("/proc/thread-self/make-it-fail", on ? "1" : "0");
}

void fail_objects_after(unsigned int bytes)
{
	char space[32];

	/* The probability is last, and first to go. */
	objects_fail("0");
	set(DEBUGFS "/failslab/task-filter", "Y");
	set(DEBUGFS "/failslab/times", "1");
	snprintf(space, sizeof(space), "%u", bytes);
	set(DEBUGFS "/failslab/space", space);
	objects_fail("100");
}

bool fail_objects_end(void)
{
	char times[32];
	int ret;

	objects_fail("0");
	ret = read_line(DEBUGFS "/failslab/times", times, sizeof(times));
	if (ret)
		die(DEBUGFS "/failslab/times: %s", strerror(-ret));
	return !strcmp(times, "0");
}
