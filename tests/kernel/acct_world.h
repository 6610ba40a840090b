/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Rings with registered buffers, and the model of them: each step is done in both, and they are
 * compared.
 */
#ifndef TESTS_KERNEL_ACCT_WORLD_H
#define TESTS_KERNEL_ACCT_WORLD_H

#include "acct_arena.h"
#include "charge.h"
#include "uring.h"

#define WORLD_TABLE_MAX	6

enum step_kind {
	STEP_REGISTER,
	STEP_UPDATE,
	STEP_CLONE,
	STEP_UNREGISTER,
	STEP_CLOSE,
	STEP_OPEN,
	STEP_LIMIT,
	STEP_READ,		/* start READ_FIXED from an empty pipe */
	STEP_END_READ,
	STEP_KINDS,
};

struct step {
	enum step_kind kind;
	unsigned int ring;
	unsigned int src;		/* clone: ring */
	unsigned int src_off;
	unsigned int off;		/* slot */
	unsigned int nr;
	bool replace;
	struct iovec iov[WORLD_TABLE_MAX];
	unsigned long limit;		/* pages */
};

/* A slot's hold on a buffer; shared by the table and the requests that use it. */
struct node {
	struct acct_buffer *buffer;
	struct iovec iov;
	unsigned int refs;
};

struct world_ring {
	struct io_uring uring;
	bool open;
	struct node *table[WORLD_TABLE_MAX];
	unsigned int nr;
	struct node *reading;
	int pipe[2];
};

struct world {
	struct acct_arena arena;
	struct acct acct;
	struct charge_probe probe;
	struct world_ring rings[ACCT_RINGS];
	long nr_open;			/* a page is charged for each: charge_ring_init() */
	unsigned long limit;		/* soft limit, pages */
	int result;			/* of the last step */
	/* What happened, to see that it did. */
	struct world_stats {
		unsigned long steps[STEP_KINDS];
		unsigned long refused;		/* -ENOMEM, for the limit */
		unsigned long bad;		/* -EFAULT, for bad memory */
		unsigned long partial;		/* updates that did a part */
		unsigned long other;		/* other errors */
		unsigned long most;		/* pages charged at once */
	} stats;
};

/* Makes memory as root, then everything else as the user @uid. */
int world_init(struct world *world, enum acct_rule rule, uid_t uid, struct reason *why);

/* Does one step and compares. Returns 0, or -1 with @why. */
int world_step(struct world *world, const struct step *step, struct reason *why);

/* One line about it, no newline. */
void step_print(FILE *out, const struct world *world, const struct step *step);

#endif
