/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A block device that is a file, served by a thread of this process without copying: the pages of
 * each request are a kernel buffer in the server's ring, which READ_FIXED, WRITE_FIXED and their
 * vectored forms use.
 */
#ifndef TESTS_KERNEL_UBLK_SERVER_H
#define TESTS_KERNEL_UBLK_SERVER_H

#include <liburing.h>
#include <pthread.h>
#include <stdatomic.h>

#include "util.h"

#define UBLK_DEPTH	8
#define UBLK_PARTS	3		/* of a vectored transfer */

struct ublk_server {
	/* From the caller */
	int file;
	size_t size;
	bool auto_register;		/* by the driver, not by a command for each request */
	/* Requests wait until it is false again. */
	atomic_bool hold;
	/* Requests are not served: see ublk_server_probe(). */
	atomic_bool probe;
	unsigned int probe_slot;
	atomic_int probe_result;
	/* Counted by the server, to be read when it has stopped */
	unsigned long requests;
	unsigned long transfers;	/* of fixed buffers */
	unsigned long refused;		/* that had to be refused, and were */
	bool layouts_told;		/* the kernel has IORING_REGISTER_BUFFER_LAYOUT */
	unsigned long layouts;		/* that were compared with the request */
	bool failed;
	struct reason why;
	/* Its own */
	struct io_uring control, ring;
	unsigned int id;
	int device;			/* /dev/ublkcN */
	const void *descriptors;
	pthread_t thread;
	struct ublk_tag {
		unsigned int pending;
		struct iovec iov[UBLK_PARTS];
		unsigned long expected;	/* bytes */
		unsigned long done;
		int error;
	} tags[UBLK_DEPTH];
};

/* Returns 0; 1 with @why when the kernel has no such device; -1 with @why. */
int ublk_server_start(struct ublk_server *server, struct reason *why);

/* Ends it; -1 with @why if it was not able to serve everything, or has a buffer left. */
int ublk_server_stop(struct ublk_server *server, struct reason *why);

/*
 * From now on, the pages of a request become the kernel buffer of @slot, if they can, and go again
 * at once; the request fails. For tables whose slots are none of the tags.
 */
void ublk_server_probe(struct ublk_server *server, unsigned int slot);
/* What the command for that returned when a request had come; serves requests again. */
int ublk_server_probed(struct ublk_server *server);

#endif
