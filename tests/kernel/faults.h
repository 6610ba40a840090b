/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The parts of "faults": operations, memory that they work on, and what is checked around them.
 * Include it first: the interface comes from the kernel's own header, not from liburing's copy.
 */
#ifndef TESTS_KERNEL_FAULTS_H
#define TESTS_KERNEL_FAULTS_H

#include <linux/io_uring.h>
#include <linux/io_uring/query.h>

#include <liburing.h>

#include "layouts.h"
#include "util.h"

#define PAGE		(4 * KIB)
#define ENTRIES_MAX	128
#define TAG		0x7461670000000000ULL

/* ---- memory ---- */

enum anew {
	ANEW_NEVER,		/* the same pages each time */
	ANEW_PAGES,		/* other pages each time, present */
	ANEW_ABSENT,		/* nothing there: pinning has to fault it in */
	ANEW_ZERO,		/* read before, but never written: the zero page */
	ANEW_FILE,		/* a private mapping, page cache until it is written or pinned */
	ANEW_FORKED,		/* a child has the same pages */
};

struct fault_memory_kind {
	const char *name;
	struct layout layout;		/* without its size */
	enum anew anew;
	/* Of which only a boot with movablecore= makes something of its own. */
	bool zone;
	bool quick;			/* among those of a quick run */
};

extern const struct fault_memory_kind fault_memory_kinds[];
extern const size_t nr_fault_memory_kinds;

struct fault_memory {
	const struct fault_memory_kind *kind;
	struct memory mem;
	char *addr;
	size_t size;
	pid_t child;
	int file;
};

/* 0, or -1 with @why. */
int fault_memory_map(struct fault_memory *memory, const struct fault_memory_kind *kind,
		     size_t size, struct reason *why);
/* Makes it what its kind says, before each attempt. */
void fault_memory_renew(struct fault_memory *memory);
/* After each attempt; ends a child. */
void fault_memory_settle(struct fault_memory *memory);
void fault_memory_unmap(struct fault_memory *memory);

/* ---- operations ---- */

struct fault_case;

/* What an operation works on; rings and tables are new for each attempt. */
struct fault_world {
	const struct fault_case *c;
	struct io_uring ring;		/* that the operation is done on */
	struct io_uring other;		/* the source of clones */
	bool closed;			/* @ring is, by the operation */
	unsigned int nr;		/* entries of the operation */
	struct iovec iov[ENTRIES_MAX];
	struct iovec old[ENTRIES_MAX];	/* other parts of the memory */
	__u64 tags[ENTRIES_MAX];
	/* The table of @ring before and after the operation; slots without buffer are NULL. */
	unsigned int nr_before, nr_after;
	struct iovec before[ENTRIES_MAX], after[ENTRIES_MAX];
	int memfd, disk;		/* disk -1: there is none */
	int pipe[2];			/* for what is to happen at once */
	int socket[2];
	unsigned int tags_seen;		/* posted and taken from the queue */
	bool pending;			/* an SQE that the kernel has not taken */
	struct io_uring_buffer_layout layout;
	struct io_uring_query_regbuf query;
};

#define MAY_NOMEM	1U
#define MAY_FAULT	2U
#define MAY_AGAIN	4U		/* as for a request that cannot be allocated */
#define MAY_SHORT	8U		/* less than all was done, which is said */
#define MAY_CANCEL	16U		/* as for a request that no worker can be made for */

struct fault_op {
	const char *name;
	unsigned int may;
	bool read_only;			/* what is registered */
	bool tagged;
	bool io;			/* has buffers of a few pages only, and one entry is enough */
	bool once;			/* does not depend on memory and entries */
	bool clones;			/* needs another ring */
	bool many;			/* each failure so often that leaked pages are found */
	/* Without failures; fills in before and after. Ends the program when it cannot. */
	void (*prepare)(struct fault_world *w);
	/* Is made to fail. */
	int (*call)(struct fault_world *w);
	/* What it returns when nothing fails. */
	int (*want)(const struct fault_world *w);
	/* After a success: 0, or -1 with @why. May be NULL. */
	int (*verify)(struct fault_world *w, struct reason *why);
	/* Does the rest after @done of it. */
	int (*rest)(struct fault_world *w, int done);
};

extern const struct fault_op fault_ops[], fault_io_ops[];
extern const size_t nr_fault_ops, nr_fault_io_ops;

struct fault_case {
	const struct fault_op *op;
	const struct fault_memory_kind *kind;
	unsigned int nr;		/* entries */
	size_t len;			/* bytes of each */
};

/* IORING_REGISTER_BUFFERS2 of a table */
int fault_register(struct io_uring *ring, const struct iovec *iov, unsigned int nr,
		   const __u64 *tags, unsigned int flags);
void must(int ret, int want, const char *what);

/*
 * Whether a slot of the ring's table has exactly this buffer, by its data; NULL for none.
 */
int fault_check_slot(struct fault_world *w, unsigned int slot, const struct iovec *iov,
		     bool read_only, struct reason *why);

/* The request that @prep makes, or the one that the kernel did not take the last time: its result */
int fault_submit(struct fault_world *w, void (*prep)(struct fault_world *w,
						     struct io_uring_sqe *sqe));

/*
 * Registers without xarray nodes, from the 1st on, from the 2nd on ... until none is needed, each
 * so many @times. Returns 0 and how many are needed, or -1 with @why.
 */
int fault_nodes(unsigned int *nr, unsigned int times, struct reason *why);

#endif
