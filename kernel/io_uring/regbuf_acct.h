/* SPDX-License-Identifier: GPL-2.0 */
#ifndef IOU_REGBUF_ACCT_H
#define IOU_REGBUF_ACCT_H

#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/refcount.h>
#include <linux/xarray.h>

struct bio_vec;
struct regbuf_acct_block;
struct user_struct;

/**
 * struct io_regbuf_acct - what the registered buffers of a user are charged for
 * @refs: one for each ring that has it
 * @user: RLIMIT_MEMLOCK of this user is what counts
 * @mm: its ->pinned_vm gets the same pages
 * @node: in the table of all
 * @lock: protects what follows
 * @blocks: for each order, how many runs there are in which folio
 *
 * All rings of one user and one mm have the same one. A large folio is charged
 * with all of its pages while it has users, in whatever buffer of whatever
 * ring; a user is a run of a buffer, and runs that follow each other in the
 * same folio are one. A page that is a folio of its own is charged to each
 * buffer that has it.
 *
 * What has a user is pinned, so that a folio keeps its size.
 */
struct io_regbuf_acct {
	refcount_t		refs;
	struct user_struct	*user;
	struct mm_struct	*mm;
	struct hlist_node	node;
	struct mutex		lock;	/* of all that follows */
	struct xarray		blocks[MAX_FOLIO_ORDER + 1];
};

/**
 * struct regbuf_charge - the runs of one buffer, while they come or go
 * @acct: where; NULL if nothing is charged
 * @folio: last large folio
 * @nr_pages: that came or went since regbuf_charge_begin()
 * @charged: given to the user and the mm so far
 * @block: block of @order and @index, or NULL; only while ->lock is held
 *
 * Runs have to go in the order in which they came.
 */
struct regbuf_charge {
	struct io_regbuf_acct		*acct;
	struct folio			*folio;
	unsigned long			nr_pages;
	unsigned long			charged;
	struct regbuf_acct_block	*block;
	unsigned int			order;
	unsigned long			index;
};

struct io_regbuf_acct *io_regbuf_acct_get(struct user_struct *user,
					  struct mm_struct *mm);
void io_regbuf_acct_put(struct io_regbuf_acct *acct);

int __regbuf_charge_folio(struct regbuf_charge *c, struct folio *folio);
void __regbuf_uncharge_folio(struct regbuf_charge *c, struct folio *folio);
void regbuf_charge_begin(struct regbuf_charge *c);
int regbuf_charge_commit(struct regbuf_charge *c);
void regbuf_charge_end(struct regbuf_charge *c);
void regbuf_uncharge_end(struct regbuf_charge *c);
void regbuf_uncharge_bvecs(struct io_regbuf_acct *acct,
			   const struct bio_vec *bvecs, unsigned int nr_bvecs);

/* Charge a run that is pinned, between the begin and the commit. */
static inline int regbuf_charge_run(struct regbuf_charge *c, unsigned long pfn)
{
	struct page *page = pfn_to_page(pfn);

	if (!PageCompound(page)) {
		c->nr_pages++;
		return 0;
	}
	if (c->folio == page_folio(page))
		return 0;
	return __regbuf_charge_folio(c, page_folio(page));
}

static inline void regbuf_uncharge_run(struct regbuf_charge *c,
				       unsigned long pfn)
{
	struct page *page = pfn_to_page(pfn);

	if (!PageCompound(page))
		c->nr_pages++;
	else if (c->folio != page_folio(page))
		__regbuf_uncharge_folio(c, page_folio(page));
}

#endif
