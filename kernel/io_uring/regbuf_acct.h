/* SPDX-License-Identifier: GPL-2.0 */
#ifndef IOU_REGBUF_ACCT_H
#define IOU_REGBUF_ACCT_H

#include <linux/atomic.h>
#include <linux/mm.h>
#include <linux/pin_runs.h>
#include <linux/rcupdate.h>
#include <linux/refcount.h>
#include <linux/rhashtable-types.h>
#include <linux/spinlock.h>
#include <linux/wait_bit.h>
#include <linux/xarray.h>

struct regbuf_acct_block;
struct user_struct;

/* Who is charged */
struct io_regbuf_acct_key {
	struct user_struct	*user;
	struct mm_struct	*mm;
};

/**
 * struct io_regbuf_acct - what the registered buffers of a user are charged for
 * @node: in the table of all
 * @key: RLIMIT_MEMLOCK of the user is what counts, ->pinned_vm of the mm gets
 *	 the same pages
 * @refs: one for each buffer, and one for each ring
 * @nr_late: buffers that nothing has any more, and that are not released yet
 * @rcu: others may find it until a grace period has passed
 * @blocks_lock: protects @blocks, and what is charged for the users that they
 *	count
 * @blocks: for each order, how many runs there are in which folio
 *
 * All rings of one user and one mm have the same one. A large folio is charged
 * with all of its pages while it has users, in whatever buffer of whatever
 * ring; a user is a run of a buffer, and runs that follow each other in the
 * same folio are one. A page that is a folio of its own is charged to each
 * buffer that has it, for which nothing has to be looked up or locked.
 *
 * What has a user is pinned, so that a folio keeps its size.
 */
struct io_regbuf_acct {
	struct rhash_head		node;
	struct io_regbuf_acct_key	key;
	refcount_t			refs;
	atomic_t			nr_late;
	struct rcu_head			rcu;
	spinlock_t			blocks_lock;	/* of blocks */
	struct xarray			blocks[MAX_FOLIO_ORDER + 1];
};

/**
 * struct regbuf_charge - the runs of one buffer, while they come or go
 * @acct: where; NULL if nothing is charged
 * @folio: last large folio
 * @nr_pages: that came, less those that went, since the last settlement
 * @reserved: charged ahead of the next settlement
 * @charged: given to the user and the mm so far
 * @locked: ->blocks_lock is held
 * @block: block of @order and @index, or NULL; only while ->blocks_lock is held
 *
 * Runs have to go in the order in which they came.
 */
struct regbuf_charge {
	struct io_regbuf_acct		*acct;
	struct folio			*folio;
	long				nr_pages;
	long				reserved;
	unsigned long			charged;
	bool				locked;
	struct regbuf_acct_block	*block;
	unsigned int			order;
	unsigned long			index;
};

struct io_regbuf_acct *io_regbuf_acct_get(struct user_struct *user,
					  struct mm_struct *mm);
void io_regbuf_acct_end(struct io_regbuf_acct *acct);

static inline void io_regbuf_acct_put(struct io_regbuf_acct *acct)
{
	if (acct && refcount_dec_and_test(&acct->refs))
		io_regbuf_acct_end(acct);
}

/*
 * No room, but for the buffers that are being released: see
 * io_regbuf_acct_wait_late(). Users are told -ENOMEM.
 */
#define REGBUF_ELATE	EXFULL

int io_regbuf_acct_wait_late(struct io_regbuf_acct *acct,
			     unsigned int gup_flags);

/* To be asked before what may fail for want of room */
static inline bool io_regbuf_acct_is_late(const struct io_regbuf_acct *acct)
{
	return acct && atomic_read_acquire(&acct->nr_late);
}

/* Between these two a buffer is released by somebody who has no lock. */
static inline void io_regbuf_acct_late(struct io_regbuf_acct *acct)
{
	if (acct) {
		refcount_inc(&acct->refs);
		atomic_inc(&acct->nr_late);
	}
}

static inline void io_regbuf_acct_late_end(struct io_regbuf_acct *acct)
{
	if (acct && atomic_dec_and_test(&acct->nr_late))
		wake_up_var(&acct->nr_late);
	io_regbuf_acct_put(acct);
}

int regbuf_charge_runs(struct regbuf_charge *c, const struct pin_runs *runs,
		       struct pin_runs_iter from);
void regbuf_uncharge_runs(struct regbuf_charge *c, const struct pin_runs *runs,
			  u32 nr);
void regbuf_uncharge_bvecs(struct regbuf_charge *c, const struct bio_vec *bvec,
			   const struct bio_vec *end);

#endif
