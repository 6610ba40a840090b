/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
#ifndef URING_REGBUF_FDINFO_H
#define URING_REGBUF_FDINFO_H

#include <stdbool.h>
#include <stdio.h>

#include <linux/types.h>

struct fdinfo_buffer {
	unsigned index;
	__u64 address;		/* 0 for memory of the kernel; of a memfd any */
	__u64 bytes;
	/* The rest only where the kernel tells it, in a block "UserBufLayouts:" */
	bool told;
	bool kernel;		/* memory of the kernel */
	bool memfd;		/* pages of a memfd: what is mapped at the address may be others */
	char layout[16];	/* "uniform", "mixed" ...; "" of a read-only buffer */
	char direction[16];	/* "source", "dest", "source+dest" */
	unsigned bvecs;
	__u64 metadata;
	__u64 charged;
};

/* A ring's table of buffers: entries in use, by rising index. */
struct fdinfo_table {
	unsigned nr_entries;
	unsigned nr_buffers;
	struct fdinfo_buffer *buffers;	/* the caller's to free */
};

/*
 * Read /proc/PID/fdinfo/FD.  False if it does not show a table: the kernel leaves all lists
 * out while the ring's lock is taken.
 */
bool fdinfo_read(FILE *f, struct fdinfo_table *t);

#endif
