/* SPDX-License-Identifier: GPL-2.0 */
/* What it costs to register a buffer: time, and kernel memory. */
#ifndef TESTS_KERNEL_REGISTRATION_H
#define TESTS_KERNEL_REGISTRATION_H

#include <liburing.h>

#include "alloc_trace.h"
#include "util.h"

/*
 * A ring to register a buffer with. The kernel charges pinned memory to who lacks CAP_IPC_LOCK,
 * and settles when a ring is made whether it will. @charged: be without for that moment.
 */
int ring_init(struct io_uring *ring, bool charged, struct reason *why);

/*
 * Each measurement registers the buffer with a new ring, whose caches of small objects are empty,
 * and unregisters it again. Returns 0, or -1 with @why.
 */
int registration_trace(struct alloc_trace *trace, const struct iovec *iov, bool charged,
		       struct alloc_usage *usage, struct reason *why);

struct registration_time {
	uint64_t register_ns;
	uint64_t unregister_ns;
};

/*
 * The least of a few times, as a timer tick more or less shows in a short one. What takes long is
 * done once only.
 */
int registration_time(const struct iovec *iov, bool charged, struct registration_time *least,
		      struct reason *why);

#endif
