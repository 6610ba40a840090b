/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Calls of io_uring_register(2) on one ring, in order: shared by the parts of reg_order.
 *
 * Two threads make calls. The pin of the first one meets a page that does not come (held.h) and
 * waits; then the second one makes its calls; and when it waits, or has made them, the page comes.
 *
 * A buffer is called by a letter, a table by a letter for each slot, and a tag is the letter too:
 *
 *	H	the one whose last page does not come at once
 *	A B O P	others, all of the same size
 *	x	memory that is not there
 *	-	none
 *	K	a kernel buffer (what is found only)
 */
#ifndef TESTS_KERNEL_ORDER_H
#define TESTS_KERNEL_ORDER_H

#include <liburing.h>
#include <pthread.h>
#include <stdatomic.h>

#include "held.h"
#include "util.h"
#include "vmstat.h"

#define ORDER_SLOTS	4
#define ORDER_PAGES	4	/* of a buffer */
#define ORDER_CALLS	3
#define ORDER_LETTERS	"HABOP"

enum order_op {
	ORDER_NOTHING,
	ORDER_REGISTER,			/* a table of ->buffers */
	ORDER_UNREGISTER,
	ORDER_UPDATE,			/* from ->slot */
	ORDER_UPDATE_PLAIN,		/* the same, without tags */
	ORDER_UPDATE_ARG,		/* ORDER_UPDATE, and it is the iovec that does not come */
	ORDER_CLONE_IN,			/* all of the other ring's table to the ring */
	ORDER_REPLACE_IN,		/* the same, in place of a table */
	ORDER_GROW,			/* a clone of its two slots behind them */
	ORDER_CLONE_OUT,		/* the ring's table to the other ring */
	ORDER_ENABLE,
	ORDER_RESTRICT,			/* to ORDER_ENABLE and requests, once it is enabled */
	ORDER_REQUESTS,			/* see order_requests() */
	ORDER_CLOSE,			/* the ring */
};

struct order_call {
	enum order_op op;
	const char *buffers;
	unsigned int slot;
};

struct order_scenario {
	const char *name;
	unsigned int flags;		/* IORING_SETUP_... of the ring */
	unsigned long limit;		/* RLIMIT_MEMLOCK, pages; 0: none */
	const char *table, *other;	/* of the ring and of the other ring at the start */
	struct order_call first;
	bool refuse;			/* the page never comes: the first call fails */
	bool free;			/* when the second thread's calls end is not told */
	struct order_call then;		/* by the first thread, when all others are made */
	struct order_call second[ORDER_CALLS];
	const char *want;		/* what stock does, as order_play() writes it */
};

/* The world of a scenario */
struct order {
	struct io_uring ring, other;
	bool closed;			/* the ring */
	struct held held;
	char *memory;			/* of the other buffers */
	int file;			/* that requests write to */
	struct vmstat start;
	char tags[16];			/* that have come with other results of the ring */
	unsigned int nr_tags;
};

void order_setup(struct order *order, unsigned int flags);
/* Of locked memory; 0: none */
void order_limit(unsigned long pages);
/* Everything goes, and nothing may be left. */
int order_end(struct order *order, struct reason *why);

/* One call: its result or -errno */
int order_call(struct order *order, const struct order_call *call);
/* "1", "EBUSY" ... in a buffer of its own for each of the last few */
const char *order_result(int result);

/*
 * WRITE_FIXED by 'O' in slot 0 and 'P' in slot 1, submitted together: 'o' both are there, 'n'
 * neither is, 's' one of them
 */
char order_requests(struct order *order);
/* The letters in the slots of a table, as requests see them */
void order_slots(struct order *order, struct io_uring *ring, char *slots);
/* Pages that are pinned, and charged, more than at the start */
void order_pinned(struct order *order, long *pinned, long *charged);
/*
 * What the tables have, what is pinned and charged, the tags that have come, and those that come
 * when the table is unregistered
 */
void order_state(struct order *order, char *text, size_t size);

/* A thread that makes calls */
struct order_party {
	struct order *order;
	const struct order_call *calls;
	unsigned int nr;
	pthread_t thread;
	_Atomic pid_t tid;
	atomic_bool done;
	int results[ORDER_CALLS];
};

void order_begin(struct order_party *party, struct order *order, const struct order_call *calls,
		 unsigned int nr);
void order_join(struct order_party *party);
/* Whether it, or the process @tid, sleeps in a call; false once it is done. */
bool order_waits(_Atomic pid_t *tid, atomic_bool *done);
/* Until the first thread waits for the page */
void order_reached(struct order *order);

/* Plays the scenario; what happened goes to @text, which can be compared with ->want. */
int order_play(const struct order_scenario *scenario, char *text, size_t size, struct reason *why);

/* Scenarios of another form: the same, with a name */
struct order_case {
	const char *name;
	/* 0; 1 with @why where the kernel lacks something; -1 with @why */
	int (*run)(char *text, size_t size, struct reason *why);
	bool patched;			/* nothing that stock does */
	const char *want;
};

extern const struct order_case order_cases[];
extern unsigned int order_rounds;	/* of those that race */

#endif
