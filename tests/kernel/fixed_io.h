/* SPDX-License-Identifier: GPL-2.0 */
/*
 * READ_FIXED and WRITE_FIXED through a registered buffer, and the same in parts with READV_FIXED
 * and WRITEV_FIXED; or the same of memory that is not registered, with requests and system calls.
 * Checked against plain pread and pwrite of another buffer. Every transfer has data of its own
 * (see pattern.h).
 */
#ifndef TESTS_KERNEL_FIXED_IO_H
#define TESTS_KERNEL_FIXED_IO_H

#include <liburing.h>

#include "util.h"

#define FIXED_IO_MAX	MIB		/* bytes of one transfer */

/* A file or block device opened with O_DIRECT, all of whose content may be overwritten. */
struct io_target {
	const char *name;
	int fd;
	uint64_t size;
	size_t block;			/* offsets and lengths are multiples of it */
	size_t mem_align;		/* and memory addresses of this */
};

/* @size: 0 for a block device; else the file is created with as many bytes. */
int io_target_open(struct io_target *target, const char *path, uint64_t size, struct reason *why);
void io_target_close(struct io_target *target);

/* Where a byte is flipped on purpose, to see the check fail. */
enum corrupt {
	CORRUPT_NOTHING,
	CORRUPT_MEMORY,			/* after reading */
	CORRUPT_DEVICE,			/* after writing */
};

struct fixed_io {
	struct io_uring *ring;
	bool unregistered;		/* no buffer of the ring, but any memory */
	unsigned int buf_index;
	char *memory;			/* accessible memory that holds the buffer */
	size_t memory_size;
	char *bounce;			/* from fixed_io_init() */
	enum corrupt corrupt;		/* at the next transfer, then reset */
	uint64_t seed;
	uint64_t next_block;
	/* Verified so far. */
	uint64_t ios;
	uint64_t bytes;
};

void fixed_io_init(struct fixed_io *io);
void fixed_io_exit(struct fixed_io *io);

/*
 * Writes @len bytes at @off of the memory to the target, and reads as many there. Checked are the
 * bytes that arrive, those left and right of them on the target, and those left and right of them
 * in memory. Returns 0, or -1 with @why.
 */
int fixed_io_check(struct fixed_io *io, const struct io_target *target, size_t off, size_t len,
		   struct reason *why);

#endif
