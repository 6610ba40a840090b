// SPDX-License-Identifier: GPL-2.0
/*
 * A buffer is registered when there is no memory for the xarrays in which the pages of a process
 * are counted, neither at the first attempt to get some nor at the second. What that leaves in the
 * xarrays must go away with the process: nothing is in them then, which the kernel checks itself.
 */
#include "faults.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "charge.h"
#include "fail_nth.h"

#define NODES_MAX	8

enum { REFUSED, OTHER, REGISTERED };

/* In a process of its own, for xarrays of its own. */
static int without_nodes(unsigned int n)
{
	/* Single pages are counted without; a large xarray needs several nodes for an entry. */
	const struct layout layout = { .backing = BACKING_16K, .size = 64 * KIB };
	pid_t pid = fork();
	int status, ret;

	if (!pid) {
		struct io_uring ring;
		struct memory memory;
		struct reason why;
		struct iovec iov;

		if (memory_map(&memory, &layout, &why))
			die("%s", why.text);
		iov = (struct iovec){ memory.addr, memory.size };
		must(charge_ring_init(&ring), 0, "ring");
		fail_nodes_from(n);
		ret = io_uring_register_buffers(&ring, &iov, 1);
		fail_nodes_from(0);
		io_uring_queue_exit(&ring);
		_exit(ret == -ENOMEM ? REFUSED : ret ? OTHER : REGISTERED);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		die("fork: %s", strerror(errno));
	return WIFEXITED(status) ? WEXITSTATUS(status) : OTHER;
}

int fault_nodes(unsigned int *nr, unsigned int times, struct reason *why)
{
	int ret = REFUSED;

	for (unsigned int n = 1; n <= NODES_MAX; n++) {
		for (unsigned int i = 0; ret == REFUSED && i < times; i++)
			ret = without_nodes(n);
		if (ret == REFUSED)
			continue;
		*nr = n - 1;
		if (ret == REGISTERED && *nr)
			return 0;
		return because(why, ret == REGISTERED ? "no node is allocated" :
			       "an error that is not ENOMEM");
	}
	return because(why, "%u nodes are not enough", NODES_MAX);
}
