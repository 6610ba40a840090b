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
 * Users are counted in blocks, one counter for each of a number of folios of
 * the same order that are neighbours. Memory that is in large folios is seldom
 * alone there, and most of the time the next folio is in the block of the last
 * one.
 *
 * Nobody sleeps with the lock, and nobody sleeps with memory that is pinned but
 * not charged: where a block is missing and there is no memory for it at once,
 * what is left to charge for is charged as if nobody else had a part of it,
 * and what that was too much is given back in the end.
 */
#include <linux/bvec.h>
#include <linux/cred.h>
#include <linux/rhashtable.h>
#include <linux/sched/mm.h>
#include <linux/sched/user.h>
#include <linux/slab.h>

#include "regbuf_acct.h"
#include "rsrc.h"

/* Makes a block 256 bytes long */
#define REGBUF_ACCT_BLOCK	63

/* Bvecs that are uncharged with the lock held */
#define REGBUF_ACCT_BATCH	512

struct regbuf_acct_block {
	/* folios that have users */
	u32	nr;
	/* A user has a pin, and a folio has room for less than 2^31 of them. */
	u32	users[REGBUF_ACCT_BLOCK];
};

static struct rhashtable regbuf_accts;

static const struct rhashtable_params regbuf_acct_params = {
	.head_offset		= offsetof(struct io_regbuf_acct, node),
	.key_offset		= offsetof(struct io_regbuf_acct, key),
	.key_len		= sizeof(struct io_regbuf_acct_key),
	.automatic_shrinking	= true,
};

static struct io_regbuf_acct *
regbuf_acct_find(const struct io_regbuf_acct_key *key)
{
	struct io_regbuf_acct *acct;

	guard(rcu)();
	acct = rhashtable_lookup(&regbuf_accts, key, regbuf_acct_params);
	return acct && refcount_inc_not_zero(&acct->refs) ? acct : NULL;
}

static struct io_regbuf_acct *
regbuf_acct_alloc(const struct io_regbuf_acct_key *key)
{
	struct io_regbuf_acct *acct;
	int i;

	acct = kzalloc_obj(*acct, GFP_KERNEL_ACCOUNT);
	if (!acct)
		return NULL;
	acct->key = *key;
	refcount_set(&acct->refs, 1);
	spin_lock_init(&acct->blocks_lock);
	for (i = 0; i < ARRAY_SIZE(acct->blocks); i++)
		xa_init(&acct->blocks[i]);
	get_uid(key->user);
	mmgrab(key->mm);
	return acct;
}

static void regbuf_acct_free(struct io_regbuf_acct *acct)
{
	free_uid(acct->key.user);
	mmdrop(acct->key.mm);
	kfree_rcu(acct, rcu);
}

/*
 * Let @acct be the one of its user and mm, unless there is one already. One that
 * has no users any more makes way. Returns which one it is, or an error.
 */
static struct io_regbuf_acct *regbuf_acct_insert(struct io_regbuf_acct *acct)
{
	struct io_regbuf_acct *old;
	int ret;

	guard(rcu)();
	do {
		old = rhashtable_lookup_get_insert_fast(&regbuf_accts,
							&acct->node,
							regbuf_acct_params);
		if (!old)
			return acct;
		if (IS_ERR(old) || refcount_inc_not_zero(&old->refs))
			return old;
		ret = rhashtable_replace_fast(&regbuf_accts, &old->node,
					      &acct->node, regbuf_acct_params);
	} while (ret == -ENOENT);
	return ret ? ERR_PTR(ret) : acct;
}

/* Returns the accounting of this user and mm, or NULL if there is no memory. */
struct io_regbuf_acct *io_regbuf_acct_get(struct user_struct *user,
					  struct mm_struct *mm)
{
	const struct io_regbuf_acct_key key = { .user = user, .mm = mm };
	struct io_regbuf_acct *acct, *new;

	acct = regbuf_acct_find(&key);
	if (acct)
		return acct;
	new = regbuf_acct_alloc(&key);
	if (!new)
		return NULL;
	acct = regbuf_acct_insert(new);
	if (acct != new)
		regbuf_acct_free(new);
	return IS_ERR(acct) ? NULL : acct;
}

/*
 * Wait for the buffers that made a charge fail with -REGBUF_ELATE; with
 * FOLL_INTERRUPTIBLE, any signal ends that, as it does a pin. Not with
 * ->uring_lock, which who releases them may have to take before.
 */
int io_regbuf_acct_wait_late(struct io_regbuf_acct *acct,
			     unsigned int gup_flags)
{
	if (gup_flags & FOLL_INTERRUPTIBLE)
		return wait_var_event_interruptible(&acct->nr_late,
						    !atomic_read(&acct->nr_late));
	return wait_var_event_killable(&acct->nr_late,
				       !atomic_read(&acct->nr_late));
}

/* The last reference is gone. */
void io_regbuf_acct_end(struct io_regbuf_acct *acct)
{
	unsigned long index;
	int i;

	/* Not if another one has its place already. */
	rhashtable_remove_fast(&regbuf_accts, &acct->node, regbuf_acct_params);

	for (i = 0; i < ARRAY_SIZE(acct->blocks); i++) {
		index = 0;
		WARN_ON_ONCE(xa_find(&acct->blocks[i], &index, ULONG_MAX,
				     XA_PRESENT));
		/* A store that failed may have left nodes without entries. */
		xa_destroy(&acct->blocks[i]);
	}
	regbuf_acct_free(acct);
}

static void regbuf_charge_lock(struct regbuf_charge *c)
{
	if (c->locked)
		return;
	spin_lock(&c->acct->blocks_lock);
	c->locked = true;
	c->block = NULL;
}

static void regbuf_charge_unlock(struct regbuf_charge *c)
{
	if (!c->locked)
		return;
	c->locked = false;
	spin_unlock(&c->acct->blocks_lock);
}

/* Give so many pages to the user and the mm, if the limit allows it. */
static int regbuf_account(struct regbuf_charge *c, long nr_pages)
{
	struct user_struct *user = c->acct->key.user;
	struct mm_struct *mm = c->acct->key.mm;
	int late;

	if (likely(!io_account_mem(user, mm, nr_pages)))
		return 0;
	/* A buffer that is not late any more has made room. */
	late = atomic_read_acquire(&c->acct->nr_late);
	if (!io_account_mem(user, mm, nr_pages))
		return 0;
	return late ? -REGBUF_ELATE : -ENOMEM;
}

/*
 * What was counted since the last time is given to the user and the mm, or
 * taken from them. Fails if the limit does not allow it, and not if as much was
 * reserved before.
 */
static int regbuf_charge_settle(struct regbuf_charge *c)
{
	long more = c->nr_pages - c->reserved;
	int ret = 0;

	if (more > 0)
		ret = regbuf_account(c, more);
	else if (more < 0)
		io_unaccount_mem(c->acct->key.user, c->acct->key.mm, -more);
	if (ret)
		return ret;
	c->charged += c->nr_pages;
	c->nr_pages = 0;
	c->reserved = 0;
	return 0;
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

/* Add the block that is missing; somebody may be faster. */
static int regbuf_charge_add_block(struct regbuf_charge *c, gfp_t gfp)
{
	struct regbuf_acct_block *block;
	int ret;

	block = kzalloc_obj(*block, gfp);
	if (!block)
		return -ENOMEM;
	ret = xa_insert(&c->acct->blocks[c->order], c->index, block, gfp);
	if (!ret) {
		c->block = block;
		return 0;
	}
	kfree(block);
	if (ret != -EBUSY)
		return ret;
	c->block = xa_load(&c->acct->blocks[c->order], c->index);
	return 0;
}

/* Count @folio. Fails only if that takes memory that is not there at once. */
static noinline int regbuf_count_folio(struct regbuf_charge *c,
				       struct folio *folio)
{
	unsigned int order = folio_order(folio);
	unsigned long i = folio_pfn(folio) >> order;

	regbuf_charge_lock(c);
	regbuf_charge_seek(c, order, i / REGBUF_ACCT_BLOCK);
	if (unlikely(!c->block)) {
		int ret = regbuf_charge_add_block(c, GFP_NOWAIT | __GFP_ACCOUNT);

		if (ret)
			return ret;
	}
	if (!c->block->users[i % REGBUF_ACCT_BLOCK]++) {
		c->block->nr++;
		c->nr_pages += 1L << order;
	}
	c->folio = folio;
	return 0;
}

static void regbuf_uncount_folio(struct regbuf_charge *c, struct folio *folio)
{
	unsigned int order = folio_order(folio);
	unsigned long i = folio_pfn(folio) >> order;

	c->folio = folio;
	regbuf_charge_lock(c);
	regbuf_charge_seek(c, order, i / REGBUF_ACCT_BLOCK);
	if (WARN_ON_ONCE(!c->block || !c->block->users[i % REGBUF_ACCT_BLOCK]))
		return;
	if (--c->block->users[i % REGBUF_ACCT_BLOCK])
		return;
	c->nr_pages -= 1L << order;
	if (--c->block->nr)
		return;
	xa_erase(&c->acct->blocks[order], c->index);
	kfree(c->block);
	c->block = NULL;
}

static inline int regbuf_count(struct regbuf_charge *c, unsigned long pfn)
{
	struct page *page = pfn_to_page(pfn);

	if (!PageCompound(page)) {
		c->nr_pages++;
		return 0;
	}
	if (c->folio == page_folio(page))
		return 0;
	return regbuf_count_folio(c, page_folio(page));
}

static inline void regbuf_uncount(struct regbuf_charge *c, unsigned long pfn)
{
	struct page *page = pfn_to_page(pfn);

	if (!PageCompound(page))
		c->nr_pages--;
	else if (c->folio != page_folio(page))
		regbuf_uncount_folio(c, page_folio(page));
}

/*
 * Count the runs from @it on. If one cannot be counted, @it is where that is.
 * The copies here and below are for the compiler: it keeps them in registers,
 * and knows the format.
 */
static __always_inline int __regbuf_count_runs(struct regbuf_charge *c,
					       struct pin_runs runs,
					       struct pin_runs_iter *it)
{
	struct pin_runs_iter next = *it;
	struct pin_run run;
	int ret = 0;

	while (pin_runs_next(&runs, &next, &run)) {
		ret = regbuf_count(c, run.pfn);
		if (unlikely(ret))
			break;
		*it = next;
	}
	return ret;
}

static int regbuf_count_runs(struct regbuf_charge *c,
			     const struct pin_runs *runs,
			     struct pin_runs_iter *it)
{
	struct pin_runs r = *runs;

	if (r.format == PIN_RUNS_BVEC) {
		r.format = PIN_RUNS_BVEC;
		return __regbuf_count_runs(c, r, it);
	}
	r.format = PIN_RUNS_PFN;
	return __regbuf_count_runs(c, r, it);
}

static void regbuf_uncount_runs(struct regbuf_charge *c,
				const struct pin_runs *runs,
				struct pin_runs_iter it, u32 end)
{
	struct pin_runs r = *runs;
	struct pin_run run;

	r.nr = end;
	while (pin_runs_next(&r, &it, &run))
		regbuf_uncount(c, run.pfn);
}

/* The pages of all folios that these runs are in, whoever has them already */
static long regbuf_runs_folio_pages(const struct pin_runs *runs,
				    struct pin_runs_iter it)
{
	struct folio *last = NULL;
	struct pin_run run;
	long nr = 0;

	while (pin_runs_next(runs, &it, &run)) {
		struct folio *folio = pfn_folio(run.pfn);

		if (folio == last && folio_test_large(folio))
			continue;
		nr += folio_nr_pages(folio);
		last = folio;
	}
	return nr;
}

/*
 * A block is missing and takes memory: get it without the lock, and with what
 * is counted and what is still to come charged ahead.
 */
static int regbuf_charge_wait(struct regbuf_charge *c,
			      const struct pin_runs *runs,
			      struct pin_runs_iter it)
{
	long more;
	int ret;

	/* Not before it is charged: others rely on what is counted. */
	more = c->nr_pages + regbuf_runs_folio_pages(runs, it) - c->reserved;
	if (more > 0) {
		ret = regbuf_account(c, more);
		if (ret)
			return ret;
		c->reserved += more;
	}
	regbuf_charge_unlock(c);
	return regbuf_charge_add_block(c, GFP_KERNEL_ACCOUNT);
}

/*
 * Charge for the runs of a chunk from @from on, or fail and do not charge for
 * any. Those who share the accounting see all of it or nothing.
 */
int regbuf_charge_runs(struct regbuf_charge *c, const struct pin_runs *runs,
		       struct pin_runs_iter from)
{
	struct folio *folio = c->folio;
	struct pin_runs_iter it = from;
	int ret;

	while ((ret = regbuf_count_runs(c, runs, &it))) {
		ret = regbuf_charge_wait(c, runs, it);
		if (ret)
			break;
	}
	if (!ret)
		ret = regbuf_charge_settle(c);
	if (unlikely(ret)) {
		c->folio = folio;
		regbuf_uncount_runs(c, runs, from, it.i);
		/* What is left has others by now, and was reserved. */
		WARN_ON_ONCE(regbuf_charge_settle(c));
		c->folio = folio;
	}
	regbuf_charge_unlock(c);
	return ret;
}

/* Uncharge the first @nr runs of a chunk, which are still pinned. */
void regbuf_uncharge_runs(struct regbuf_charge *c, const struct pin_runs *runs,
			  u32 nr)
{
	regbuf_uncount_runs(c, runs, (struct pin_runs_iter){ }, nr);
	regbuf_charge_settle(c);
	regbuf_charge_unlock(c);
}

/* The same for bvecs */
void regbuf_uncharge_bvecs(struct regbuf_charge *c, const struct bio_vec *bvec,
			   const struct bio_vec *end)
{
	while (bvec < end) {
		const struct bio_vec *stop;

		stop = bvec + min_t(size_t, end - bvec, REGBUF_ACCT_BATCH);
		for (; bvec < stop; bvec++)
			regbuf_uncount(c, page_to_pfn(bvec->bv_page));
		regbuf_charge_settle(c);
		regbuf_charge_unlock(c);
	}
}

static int __init regbuf_acct_init(void)
{
	return rhashtable_init(&regbuf_accts, &regbuf_acct_params);
}
device_initcall(regbuf_acct_init);
