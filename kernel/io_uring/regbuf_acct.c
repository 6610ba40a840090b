// SPDX-License-Identifier: GPL-2.0
/*
 * Accounting of registered buffers
 *
 * Pinning any page of a large folio keeps all of it, so that is what a user has
 * to be charged for: once, however many buffers and rings have a part of it,
 * and until the last of them is gone. Who that is may be another ring than the
 * one that came first, so the users of a folio are counted in an object that
 * all rings of the same user and mm share. A clone of a buffer is the same
 * buffer, and counts once.
 *
 * Users are counted in blocks, one counter for each of 64 folios of the same
 * order that are neighbours. Memory that is in large folios is seldom alone
 * there, and most of the time the next folio is in the block of the last one.
 */
#include <linux/bvec.h>
#include <linux/cred.h>
#include <linux/hashtable.h>
#include <linux/sched/mm.h>
#include <linux/sched/user.h>
#include <linux/slab.h>

#include "regbuf_acct.h"
#include "rsrc.h"

#define REGBUF_ACCT_BLOCK	64

/* Bvecs that are uncharged without giving way to others */
#define REGBUF_ACCT_BATCH	512

struct regbuf_acct_block {
	/* folios that have users */
	unsigned int	nr;
	/* A user has a pin, and a folio has room for less than 2^31 of them. */
	u32		users[REGBUF_ACCT_BLOCK];
};

static DEFINE_HASHTABLE(regbuf_accts, 6);
static DEFINE_MUTEX(regbuf_accts_lock);

/* Returns the accounting of this user and mm, or NULL if there is no memory. */
struct io_regbuf_acct *io_regbuf_acct_get(struct user_struct *user,
					  struct mm_struct *mm)
{
	struct io_regbuf_acct *acct;
	int i;

	guard(mutex)(&regbuf_accts_lock);

	hash_for_each_possible(regbuf_accts, acct, node, (unsigned long)mm) {
		if (acct->user == user && acct->mm == mm) {
			refcount_inc(&acct->refs);
			return acct;
		}
	}

	acct = kzalloc_obj(*acct, GFP_KERNEL_ACCOUNT);
	if (!acct)
		return NULL;
	refcount_set(&acct->refs, 1);
	acct->user = get_uid(user);
	mmgrab(mm);
	acct->mm = mm;
	mutex_init(&acct->lock);
	for (i = 0; i < ARRAY_SIZE(acct->blocks); i++)
		xa_init(&acct->blocks[i]);
	hash_add(regbuf_accts, &acct->node, (unsigned long)mm);
	return acct;
}

void io_regbuf_acct_put(struct io_regbuf_acct *acct)
{
	unsigned long index;
	int i;

	if (!acct || !refcount_dec_and_mutex_lock(&acct->refs, &regbuf_accts_lock))
		return;
	hash_del(&acct->node);
	mutex_unlock(&regbuf_accts_lock);

	for (i = 0; i < ARRAY_SIZE(acct->blocks); i++) {
		index = 0;
		WARN_ON_ONCE(xa_find(&acct->blocks[i], &index, ULONG_MAX,
				     XA_PRESENT));
		/* A store that failed may have left nodes without entries. */
		xa_destroy(&acct->blocks[i]);
	}
	free_uid(acct->user);
	mmdrop(acct->mm);
	kfree(acct);
}

/* Let c->block be the one for these folios, if there is one. */
static void regbuf_charge_seek(struct regbuf_charge *c, unsigned int order,
			       unsigned long index)
{
	if (c->block && c->order == order && c->index == index)
		return;
	c->block = xa_load(&c->acct->blocks[order], index);
	c->order = order;
	c->index = index;
}

static int regbuf_charge_add_block(struct regbuf_charge *c)
{
	struct regbuf_acct_block *block;
	int ret;

	block = kzalloc_obj(*block, GFP_KERNEL_ACCOUNT);
	if (!block)
		return -ENOMEM;
	ret = xa_err(xa_store(&c->acct->blocks[c->order], c->index, block,
			      GFP_KERNEL_ACCOUNT));
	if (ret) {
		kfree(block);
		return ret;
	}
	c->block = block;
	return 0;
}

int __regbuf_charge_folio(struct regbuf_charge *c, struct folio *folio)
{
	unsigned int order = folio_order(folio);
	unsigned long i = folio_pfn(folio) >> order;

	regbuf_charge_seek(c, order, i / REGBUF_ACCT_BLOCK);
	if (unlikely(!c->block)) {
		int ret = regbuf_charge_add_block(c);

		if (ret)
			return ret;
	}
	if (!c->block->users[i % REGBUF_ACCT_BLOCK]++) {
		c->block->nr++;
		c->nr_pages += 1UL << order;
	}
	c->folio = folio;
	return 0;
}

void __regbuf_uncharge_folio(struct regbuf_charge *c, struct folio *folio)
{
	unsigned int order = folio_order(folio);
	unsigned long i = folio_pfn(folio) >> order;

	c->folio = folio;
	regbuf_charge_seek(c, order, i / REGBUF_ACCT_BLOCK);
	if (WARN_ON_ONCE(!c->block || !c->block->users[i % REGBUF_ACCT_BLOCK]))
		return;
	if (--c->block->users[i % REGBUF_ACCT_BLOCK])
		return;
	c->nr_pages += 1UL << order;
	if (--c->block->nr)
		return;
	xa_erase(&c->acct->blocks[order], c->index);
	kfree(c->block);
	c->block = NULL;
}

/* What follows is one change for those who share the accounting. */
void regbuf_charge_begin(struct regbuf_charge *c)
{
	mutex_lock(&c->acct->lock);
	c->block = NULL;
	c->nr_pages = 0;
}

/*
 * The user and the mm get what was charged since the beginning, if the limit
 * allows it. If it does not, the runs have to be uncharged before the end.
 */
int regbuf_charge_commit(struct regbuf_charge *c)
{
	int ret;

	ret = io_account_mem(c->acct->user, c->acct->mm, c->nr_pages);
	if (!ret)
		c->charged += c->nr_pages;
	return ret;
}

void regbuf_charge_end(struct regbuf_charge *c)
{
	mutex_unlock(&c->acct->lock);
}

void regbuf_uncharge_end(struct regbuf_charge *c)
{
	if (c->nr_pages)
		io_unaccount_mem(c->acct->user, c->acct->mm, c->nr_pages);
	regbuf_charge_end(c);
}

/* Uncharge a buffer that is still pinned. */
void regbuf_uncharge_bvecs(struct io_regbuf_acct *acct,
			   const struct bio_vec *bvecs, unsigned int nr_bvecs)
{
	const struct bio_vec *end = bvecs + nr_bvecs;
	struct regbuf_charge c = { .acct = acct };

	while (bvecs < end) {
		const struct bio_vec *stop;

		stop = bvecs + min(end - bvecs, REGBUF_ACCT_BATCH);
		regbuf_charge_begin(&c);
		for (; bvecs < stop; bvecs++)
			regbuf_uncharge_run(&c, page_to_pfn(bvecs->bv_page));
		regbuf_uncharge_end(&c);
		cond_resched();
	}
}
