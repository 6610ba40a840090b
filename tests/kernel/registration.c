// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <string.h>

#include "caps.h"
#include "registration.h"

#define TIMES_MAX	5
#define TIMES_ENOUGH_NS	100000000	/* in all; then no further time is taken */

int ring_init(struct io_uring *ring, bool charged, struct reason *why)
{
	int ret;

	if (charged)
		set_capability(CAP_IPC_LOCK, false);
	ret = io_uring_queue_init(4, ring, 0);
	if (charged)
		set_capability(CAP_IPC_LOCK, true);
	if (ret)
		return because(why, "io_uring_queue_init: %s", strerror(-ret));
	return 0;
}

int registration_trace(struct alloc_trace *trace, const struct iovec *iov, bool charged,
		       struct alloc_usage *usage, struct reason *why)
{
	struct io_uring ring;
	int ret, error;

	if (ring_init(&ring, charged, why))
		return -1;
	ret = alloc_trace_start(trace, why);
	if (ret)
		goto out;
	error = io_uring_register_buffers(&ring, iov, 1);
	ret = alloc_trace_stop(trace, usage, why);
	if (!error)
		error = io_uring_unregister_buffers(&ring);
	if (!ret && error)
		ret = because(why, "registering while tracing: %s", strerror(-error));
out:
	io_uring_queue_exit(&ring);
	return ret;
}

static int time_once(const struct iovec *iov, bool charged, struct registration_time *time,
		     struct reason *why)
{
	uint64_t t0, t1, t2, t3;
	struct io_uring ring;
	int ret, ret2 = 0;

	if (ring_init(&ring, charged, why))
		return -1;
	settle();
	t0 = now_ns();
	ret = io_uring_register_buffers(&ring, iov, 1);
	t1 = now_ns();
	t2 = now_ns();
	if (!ret)
		ret2 = io_uring_unregister_buffers(&ring);
	t3 = now_ns();
	io_uring_queue_exit(&ring);
	if (ret || ret2)
		return because(why, "%s while timing: %s", ret ? "registering" : "unregistering",
			       strerror(-(ret ? ret : ret2)));
	time->register_ns = t1 - t0;
	time->unregister_ns = t3 - t2;
	return 0;
}

int registration_time(const struct iovec *iov, bool charged, struct registration_time *least,
		      struct reason *why)
{
	uint64_t total = 0;

	least->register_ns = least->unregister_ns = UINT64_MAX;
	for (int i = 0; i < TIMES_MAX && total < TIMES_ENOUGH_NS; i++) {
		struct registration_time time = { 0 };

		if (time_once(iov, charged, &time, why))
			return -1;
		if (time.register_ns < least->register_ns)
			least->register_ns = time.register_ns;
		if (time.unregister_ns < least->unregister_ns)
			least->unregister_ns = time.unregister_ns;
		total += time.register_ns + time.unregister_ns;
	}
	return 0;
}
