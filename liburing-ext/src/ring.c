/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * A ring's view of its pool.
 *
 * A ring has its own list of regions, sorted by address, which only its thread reads
 * and writes: the path of an I/O needs no lock.  Sync brings the list and the ring's
 * buffer table up to date with the pool; it holds the pool's lock, so that the anchor
 * and the regions do not change under it.
 *
 * Signals: the kernel posts a tag on the ring that registered the slot, when the last
 * request on the slot is complete.  A registration that failed in the middle and was
 * taken back posts tags too; they come before any that mean something, and are
 * counted as strays.
 */
#include <stdio.h>
#include <stdlib.h>

#include "lib.h"

/* Anew each time: after io_uring_close_ring_fd() the number may be another file's. */
static struct urext_target target(const struct io_uring_ext_ring *r)
{
	return urext_target_ring(r->ring);
}

static unsigned table_entry(const struct io_uring_ext_ring *r, const struct urext_region *reg)
{
	return r->slot_base + reg->first;
}

/* ---- segments ---- */

/* The first segment that ends after @addr. */
static unsigned seg_after(const struct io_uring_ext_ring *r, uintptr_t addr)
{
	unsigned lo = 0, hi = r->nr_segs;

	while (lo < hi) {
		unsigned mid = lo + (hi - lo) / 2;

		if (r->segs[mid].split.end > addr)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

const struct urext_seg *urext_ring_find(struct io_uring_ext_ring *r, uintptr_t addr,
					size_t len)
{
	const struct urext_seg *s;
	unsigned i = r->last;

	if (i >= r->nr_segs || addr < r->segs[i].split.base || addr >= r->segs[i].split.end) {
		i = seg_after(r, addr);
		if (i == r->nr_segs || addr < r->segs[i].split.base)
			return NULL;
		r->last = i;
	}
	s = &r->segs[i];
	return len <= s->split.end - addr ? s : NULL;
}

static struct urext_seg *seg_by_id(const struct io_uring_ext_ring *r, int id)
{
	unsigned i;

	for (i = 0; i < r->nr_segs; i++)
		if (r->segs[i].id == id)
			return &r->segs[i];
	return NULL;
}

/* Room for one more, so that adding cannot fail after the kernel was told. */
static int reserve_seg(struct io_uring_ext_ring *r)
{
	struct urext_seg *segs;

	segs = realloc(r->segs, (r->nr_segs + 1) * sizeof(*segs));
	if (!segs)
		return -ENOMEM;
	r->segs = segs;
	return 0;
}

static void add_seg(struct io_uring_ext_ring *r, const struct urext_region *reg, bool fixed)
{
	unsigned i = seg_after(r, reg->split.base);

	memmove(&r->segs[i + 1], &r->segs[i], (r->nr_segs - i) * sizeof(r->segs[0]));
	r->segs[i].split = reg->split;
	r->segs[i].index = table_entry(r, reg);
	r->segs[i].id = reg->id;
	r->segs[i].fixed = fixed;
	r->segs[i].source_only = reg->flags & IO_URING_EXT_REGION_READONLY;
	r->nr_segs++;
}

static void del_seg(struct io_uring_ext_ring *r, struct urext_seg *seg)
{
	unsigned i = seg - r->segs;

	memmove(seg, seg + 1, (r->nr_segs - i - 1) * sizeof(*seg));
	r->nr_segs--;
}

/* ---- signals ---- */

static struct urext_wait *find_wait(const struct io_uring_ext_ring *r, __u64 tag)
{
	unsigned i;

	for (i = 0; i < r->nr_waits; i++)
		if (r->waits[i].tag == tag)
			return &r->waits[i];
	return NULL;
}

/* The entry for @reg's tag, made before the kernel is asked for anything. */
static struct urext_wait *get_wait(struct io_uring_ext_ring *r, const struct urext_region *reg)
{
	struct urext_wait *w = find_wait(r, reg->tag);

	if (w) {
		w->id = reg->id;
		return w;
	}
	w = realloc(r->waits, (r->nr_waits + 1) * sizeof(*w));
	if (!w)
		return NULL;
	r->waits = w;
	w = &r->waits[r->nr_waits++];
	memset(w, 0, sizeof(*w));
	w->tag = reg->tag;
	w->id = reg->id;
	return w;
}

static void put_wait(struct io_uring_ext_ring *r, struct urext_wait *w)
{
	if (w->stray || w->count || seg_by_id(r, w->id))
		return;
	*w = r->waits[--r->nr_waits];
}

int io_uring_ext_ring_signal(struct io_uring_ext_ring *r, __u64 tag)
{
	struct urext_region *reg;
	struct urext_wait *w;
	int ret = 0;

	w = r && tag ? find_wait(r, tag) : NULL;
	if (!w || (!w->stray && !w->count))
		return -ENOENT;
	if (w->stray) {
		w->stray--;
	} else {
		w->count--;
		pthread_mutex_lock(&r->pool->lock);
		reg = r->pool->regions[w->id];
		reg->signals--;
		ret = urext_region_try_free(r->pool, reg);
		pthread_mutex_unlock(&r->pool->lock);
	}
	put_wait(r, w);
	return ret;
}

/* ---- taking over and letting go, under the pool's lock ---- */

/* The table may be there already: the caller's, or one that clones made. */
static int need_table(struct io_uring_ext_ring *r, struct io_uring_ext_error *err)
{
	int ret;

	if (r->has_table)
		return 0;
	ret = urext_table(target(r), r->slot_base + r->pool->nr_slots);
	if (ret && ret != -EBUSY)
		return urext_fail(err, ret, IO_URING_EXT_STAGE_TABLE, 0,
				  "a table of %u slots could not be made: %s",
				  r->slot_base + r->pool->nr_slots, urext_reason(ret));
	r->has_table = true;
	return 0;
}

static int clone_slots(struct io_uring_ext_ring *r, const struct urext_region *reg)
{
	struct io_uring_ext_pool *pool = r->pool;
	__u64 start = urext_now_ns();
	int ret;

	ret = urext_clone(target(r), urext_target_fd(pool->anchor), reg->first,
			  table_entry(r, reg), reg->split.nr);
	if (ret) {
		pool->failures++;
		return ret;
	}
	pool->clone_ns += urext_now_ns() - start;
	pool->clones += reg->split.nr;
	return 0;
}

/*
 * Make the table of a ring longer: cloning slots that are empty in the anchor is a
 * way to do that.
 */
static int extend_table(struct io_uring_ext_ring *r, const struct urext_region *reg)
{
	if (r->pool->anchor < 0 || reg->anchored)
		return -ENOSPC;
	return urext_clone(target(r), urext_target_fd(r->pool->anchor), reg->first,
			   table_entry(r, reg), reg->split.nr);
}

static int register_slots(struct io_uring_ext_ring *r, struct urext_region *reg,
			  struct io_uring_ext_error *err)
{
	struct urext_wait *w = NULL;
	unsigned done, off = table_entry(r, reg), last = off + reg->split.nr - 1;
	int ret;

	ret = need_table(r, err);
	if (ret)
		return ret;
	if (reg->tag) {
		w = get_wait(r, reg);
		if (!w)
			return urext_fail(err, -ENOMEM, IO_URING_EXT_STAGE_MEMORY, 0,
					  "no memory");
	}
	/* Emptying the last slot, which is empty, fails if it is beyond the table */
	ret = urext_clear(target(r), last, 1);
	if (ret == -EINVAL) {
		ret = extend_table(r, reg);
		if (ret) {
			urext_fail(err, -ENOSPC, IO_URING_EXT_STAGE_TABLE, off,
				   "the ring's table ends before entry %u", last);
			ret = -ENOSPC;
			goto out;
		}
	}
	ret = urext_region_register(r->pool, reg, target(r), off, &done, err);
	if (ret && w)
		w->stray += done;
out:
	if (w && ret)
		put_wait(r, w);
	return ret;
}

/* Fixed if it can be had, by clone if it can be had. */
static int fix_region(struct io_uring_ext_ring *r, struct urext_region *reg,
		      struct io_uring_ext_error *err)
{
	struct io_uring_ext_pool *pool = r->pool;

	if (!reg->placed || pool->anchor_err)
		return reg->err;
	if (pool->anchor >= 0 && !reg->tag) {
		/* Not again what the pool tried in vain */
		if (!reg->anchored)
			return reg->err ? reg->err : -EOPNOTSUPP;
		if (!clone_slots(r, reg))
			return 0;
		/* Another user's ring, restrictions ...: as without clones */
	}
	return register_slots(r, reg, err);
}

static void plain_reason(const struct urext_region *reg, int ret,
			 struct io_uring_ext_error *err)
{
	size_t len = reg->split.end - reg->split.base;
	char text[URING_EXT_REASON_TEXT], size[32];

	if (!err || err->err)
		return;
	urext_explain(ret, len, reg->page_size, text, sizeof(text));
	urext_fail(err, ret, IO_URING_EXT_STAGE_REGISTER, reg->first,
		   "%s at %p is not registered: %s", urext_size(size, len),
		   (void *)reg->split.base, text);
}

/* A region that this ring does not have, or has plain. */
static int take(struct io_uring_ext_ring *r, struct urext_region *reg,
		struct io_uring_ext_error *err)
{
	struct urext_seg *seg = seg_by_id(r, reg->id);
	bool plain, fixed;
	int ret;

	if (seg && seg->fixed)
		return 0;
	if (!seg && reserve_seg(r))
		return urext_fail(err, -ENOMEM, IO_URING_EXT_STAGE_MEMORY, 0, "no memory");
	plain = r->pool->flags & IO_URING_EXT_POOL_PLAIN;
	ret = plain ? 0 : fix_region(r, reg, err);
	fixed = !plain && !ret;
	if (seg)
		seg->fixed = fixed;
	else
		add_seg(r, reg, fixed);
	reg->rings += !seg;
	reg->fixed_rings += fixed;
	if (fixed)
		r->stats.slots += reg->split.nr;
	if (!plain && !reg->anchored)
		reg->err = ret;
	if (ret)
		plain_reason(reg, ret, err);
	return ret;
}

static int let_go(struct io_uring_ext_ring *r, struct urext_region *reg,
		  struct urext_seg *seg, struct io_uring_ext_error *err)
{
	unsigned nr = reg->split.nr;
	struct urext_wait *w;
	int ret;

	if (seg->fixed) {
		ret = urext_clear(target(r), seg->index, nr);
		if (ret)
			return urext_fail(err, ret, IO_URING_EXT_STAGE_UPDATE, seg->index,
					  "table entries %u to %u could not be emptied: %s",
					  seg->index, seg->index + nr - 1, urext_reason(ret));
		r->stats.slots -= nr;
		reg->fixed_rings--;
	}
	w = reg->tag ? find_wait(r, reg->tag) : NULL;
	if (w && seg->fixed) {
		w->count += nr;
		reg->signals += nr;
	}
	del_seg(r, seg);
	reg->rings--;
	if (w)
		put_wait(r, w);
	return 0;
}

static int let_go_of_removed(struct io_uring_ext_ring *r, struct io_uring_ext_error *err)
{
	struct io_uring_ext_pool *pool = r->pool;
	int ret, gone = 0;
	unsigned i = 0;

	while (i < r->nr_segs) {
		struct urext_region *reg = pool->regions[r->segs[i].id];

		if (!reg->leaving) {
			i++;
			continue;
		}
		ret = let_go(r, reg, &r->segs[i], err);
		if (ret)
			return ret;
		gone += urext_region_try_free(pool, reg);
	}
	return gone;
}

/* All regions that can be taken over are; the first error is the one that counts. */
static int take_added(struct io_uring_ext_ring *r, struct io_uring_ext_error *err)
{
	struct io_uring_ext_pool *pool = r->pool;
	struct io_uring_ext_error e;
	int ret, first = 0;
	unsigned i;

	for (i = 0; i < pool->nr_regions; i++) {
		struct urext_region *reg = pool->regions[i];

		if (!reg || reg->leaving)
			continue;
		urext_ok(&e);
		ret = take(r, reg, &e);
		if (!ret || first)
			continue;
		first = ret;
		if (err)
			*err = e;
	}
	return first;
}

static int sync_locked(struct io_uring_ext_ring *r, struct io_uring_ext_error *err)
{
	int gone, ret;

	r->gen = atomic_load(&r->pool->gen);
	r->stats.syncs++;
	gone = let_go_of_removed(r, err);
	if (gone < 0) {
		/* Nothing new may come over memory that is still held */
		r->gen--;
		return gone;
	}
	ret = take_added(r, err);
	r->stats.regions = r->nr_segs;
	return ret && !urext_pool_forgives(r->pool) ? ret : gone;
}

int io_uring_ext_ring_stale(const struct io_uring_ext_ring *r)
{
	return atomic_load(&r->pool->gen) != r->gen;
}

int io_uring_ext_ring_sync(struct io_uring_ext_ring *r, struct io_uring_ext_error *err)
{
	int ret;

	urext_ok(err);
	if (!r)
		return urext_fail(err, -EINVAL, IO_URING_EXT_STAGE_ARGS, 0, "no ring");
	if (!io_uring_ext_ring_stale(r))
		return 0;
	pthread_mutex_lock(&r->pool->lock);
	ret = sync_locked(r, err);
	pthread_mutex_unlock(&r->pool->lock);
	return ret;
}

/* ---- attach and detach ---- */

/* Let go of everything, as well as it goes; signals that are to come are forgone. */
static int drop_all(struct io_uring_ext_ring *r)
{
	struct io_uring_ext_pool *pool = r->pool;
	int ret, first = 0;

	while (r->nr_segs) {
		struct urext_seg *seg = &r->segs[r->nr_segs - 1];
		struct urext_region *reg = pool->regions[seg->id];

		ret = let_go(r, reg, seg, NULL);
		if (ret) {
			/* The table keeps it until the ring is closed */
			first = first ? first : ret;
			reg->fixed_rings--;
			reg->rings--;
			del_seg(r, seg);
		}
		urext_region_try_free(pool, reg);
	}
	while (r->nr_waits) {
		struct urext_wait *w = &r->waits[--r->nr_waits];
		struct urext_region *reg = w->count ? pool->regions[w->id] : NULL;

		if (!reg)
			continue;
		reg->signals -= w->count;
		urext_region_try_free(pool, reg);
	}
	return first;
}

static void free_ring(struct io_uring_ext_ring *r)
{
	free(r->segs);
	free(r->waits);
	free(r);
}

/*
 * The caller may count on a table whatever is in the pool.  Regions that were taken over
 * have made one; not before them, since clones copy it each time, and a table of all
 * slots is long.
 */
static int make_table(struct io_uring_ext_ring *r, struct io_uring_ext_error *err)
{
	struct io_uring_ext_pool *pool = r->pool;
	struct io_uring_ext_error e;
	int ret;

	if (r->stats.slots || (pool->flags & IO_URING_EXT_POOL_PLAIN) || pool->anchor_err)
		return 0;
	ret = need_table(r, &e);
	/* A ring that may not make one may be given one by a clone */
	if (!ret || (ret == -EACCES && pool->anchor >= 0))
		return 0;
	if (err && !err->err)
		*err = e;
	return urext_pool_forgives(pool) ? 0 : ret;
}

int io_uring_ext_ring_attach(struct io_uring_ext_ring **rp,
			     struct io_uring_ext_pool *pool,
			     struct io_uring *ring, unsigned slot_base,
			     struct io_uring_ext_error *err)
{
	struct io_uring_ext_ring *r;
	int ret;

	urext_ok(err);
	if (!rp || !pool || !ring || slot_base > pool->caps.max_buffers ||
	    slot_base + pool->nr_slots > pool->caps.max_buffers)
		return urext_fail(err, -EINVAL, IO_URING_EXT_STAGE_ARGS, slot_base,
				  "slots %u and up are beyond the largest table", slot_base);
	*rp = NULL;
	r = calloc(1, sizeof(*r));
	if (!r)
		return urext_fail(err, -ENOMEM, IO_URING_EXT_STAGE_MEMORY, 0, "no memory");
	r->pool = pool;
	r->ring = ring;
	r->slot_base = slot_base;
	r->caps = pool->caps;
	r->caps.flags &= ~URING_EXT_CAPS_OF_RING;
	urext_query_ring(target(r), &r->caps);

	pthread_mutex_lock(&pool->lock);
	ret = sync_locked(r, err);
	if (ret >= 0)
		ret = make_table(r, err);
	if (ret < 0)
		drop_all(r);
	else
		pool->nr_rings++;
	pthread_mutex_unlock(&pool->lock);
	if (ret < 0) {
		free_ring(r);
		return ret;
	}
	*rp = r;
	return 0;
}

int io_uring_ext_ring_detach(struct io_uring_ext_ring *r)
{
	struct io_uring_ext_pool *pool;
	int ret;

	if (!r)
		return 0;
	pool = r->pool;
	pthread_mutex_lock(&pool->lock);
	ret = drop_all(r);
	pool->nr_rings--;
	pthread_mutex_unlock(&pool->lock);
	free_ring(r);
	return ret;
}

int io_uring_ext_ring_stats(const struct io_uring_ext_ring *r,
			    struct io_uring_ext_ring_stats *stats)
{
	if (!r || !stats)
		return -EINVAL;
	*stats = r->stats;
	stats->plain = stats->plain_unregistered + stats->plain_outside +
		       stats->plain_straddle + stats->plain_unable;
	return 0;
}

const struct io_uring_ext_caps *
io_uring_ext_ring_caps(const struct io_uring_ext_ring *r)
{
	return r ? &r->caps : NULL;
}
