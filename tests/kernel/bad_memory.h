/* SPDX-License-Identifier: GPL-2.0 */
/* Memory that must not be pinned for long, or not at all, or not all of it. */
#ifndef TESTS_KERNEL_BAD_MEMORY_H
#define TESTS_KERNEL_BAD_MEMORY_H

#include <sys/uio.h>

#include "util.h"

enum bad_memory {
	MEM_UNMAPPED,
	MEM_HOLE,		/* in the middle */
	MEM_READ_ONLY,
	MEM_NO_ACCESS,
	MEM_LAST_READ_ONLY,	/* the last page */
	MEM_SECRET,		/* memfd_secret() */
	MEM_FILE_SHARED,	/* of a file in @dir, writable */
	MEM_FSDAX,		/* the same, in @dax_dir */
	MEM_DEVICE,		/* /dev/mem: no pages behind it */
	MEM_LONG,		/* nothing bad, but more pages than are charged at once */
	MEM_LONG_HOLE,		/* the same, without the last page */
};

#define BAD_MEMORY_SIZE	(64 * KIB)
#define BAD_MEMORY_LONG	(4 * MIB)

/*
 * Maps some. Returns 0; or 1 with @why if that is not to be had here; or -1 with @why. @dir and
 * @dax_dir may be NULL.
 */
int bad_memory_map(enum bad_memory kind, const char *dir, const char *dax_dir, struct iovec *iov,
		   struct reason *why);
void bad_memory_unmap(enum bad_memory kind, const struct iovec *iov);

#endif
