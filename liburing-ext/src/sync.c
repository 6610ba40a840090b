/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * Bringing a ring up to date with its pool, in four steps:
 *
 *  collect   what changed since the last time, under the pool's lock; what is to be
 *            taken over is held from here on
 *  prepare   all memory for bookkeeping: from here on nothing can fail but the kernel
 *  act       the ring's table, without the lock: others do not wait for it
 *  publish   what came of it, under the lock
 *
 * Costs by what changed, not by how much there is.
 *
 * While a ring acts the pool goes on.  A region that is taken over can be removed
 * meanwhile: then its slots in the anchor may have been empty when they were cloned.
 * The pool says that it removes a region before it empties them; so slots are good if
 * it has not said so when the ring publishes.  If it has, requests are plain until the
 * next sync, which lets go.
 */
#include <stdio.h>
#include <stdlib.h>

#include "lib.h"

struct item {
	struct urext_region *region;
	struct urext_seg *seg;
	enum { LET_GO, TAKE, RETRY } what;
	bool fixed;			/* came to be so now */
	bool cloned;
	bool cleared;			/* slots were emptied */
	bool counted;			/* the ring is in region->rings */
	unsigned signals;
	int ret;
};

struct work {
	struct item *items;
	unsigned nr;
	unsigned max;
	__u64 gen;
};

/* ---- collect ---- */

static bool is_new_to(const struct io_uring_ext_ring *r, const struct urext_region *reg)
{
	return reg->id >= (int)r->max_segs || !r->seg_of[reg->id];
}

/* The first of the regions that changed since the ring's last sync. */
static struct urext_region *first_changed(const struct io_uring_ext_ring *r)
{
	struct urext_region *reg = r->pool->newest, *first = NULL;

	for (; reg && reg->changed > r->gen; reg = reg->prev)
		first = reg;
	return first;
}

/* Is it one that the ring has to do with?  Locked. */
static bool to_do(const struct io_uring_ext_ring *r, const struct urext_region *reg)
{
	/* Removed before the ring was attached */
	if (reg->state == URING_EXT_LEAVING)
		return reg->changed > r->joined;
	return is_new_to(r, reg);
}

/* Locked.  False: there is no room, @w->nr says for how many there has to be. */
static bool collect(struct io_uring_ext_ring *r, struct work *w)
{
	struct urext_region *reg, *first = first_changed(r);
	unsigned nr = 0;
	struct urext_seg *seg;

	for (reg = first; reg; reg = reg->next)
		nr += to_do(r, reg);
	for (seg = r->unfixed; seg; seg = seg->next)
		nr++;
	w->nr = nr;
	if (nr > w->max || r->pool->nr_regions > r->max_segs)
		return false;
	w->gen = atomic_load(&r->pool->gen);
	w->nr = 0;
	for (reg = first; reg; reg = reg->next) {
		struct item *it = &w->items[w->nr];

		if (!to_do(r, reg))
			continue;
		memset(it, 0, sizeof(*it));
		it->region = reg;
		it->what = reg->state == URING_EXT_LEAVING ? LET_GO : TAKE;
		it->seg = is_new_to(r, reg) ? NULL : r->seg_of[reg->id];
		it->counted = it->what == TAKE;
		reg->rings += it->counted;
		w->nr++;
	}
	for (seg = r->unfixed; seg; seg = seg->next) {
		/* Those that are let go of are in the list above */
		if (seg->region->state != URING_EXT_ACTIVE)
			continue;
		w->items[w->nr++] = (struct item){
			.region = seg->region, .seg = seg, .what = RETRY,
		};
	}
	return true;
}

static int make_room(struct io_uring_ext_ring *r, struct work *w, unsigned nr_regions)
{
	struct urext_seg **segs;
	struct item *items;

	if (w->nr > w->max) {
		items = realloc(w->items, w->nr * sizeof(*items));
		if (!items)
			return -ENOMEM;
		w->items = items;
		w->max = w->nr;
	}
	if (nr_regions > r->max_segs) {
		segs = realloc(r->seg_of, nr_regions * sizeof(*segs));
		if (!segs)
			return -ENOMEM;
		memset(segs + r->max_segs, 0, (nr_regions - r->max_segs) * sizeof(*segs));
		r->seg_of = segs;
		r->max_segs = nr_regions;
	}
	return 0;
}

static int collect_all(struct io_uring_ext_ring *r, struct work *w)
{
	unsigned nr_regions;
	bool done;

	do {
		pthread_mutex_lock(&r->pool->lock);
		nr_regions = r->pool->nr_regions;
		done = collect(r, w);
		pthread_mutex_unlock(&r->pool->lock);
		if (!done && make_room(r, w, nr_regions))
			return -ENOMEM;
	} while (!done);
	return 0;
}

/* ---- prepare ---- */

static struct urext_seg *new_seg(struct io_uring_ext_ring *r, struct urext_region *reg)
{
	struct urext_seg *seg = calloc(1, sizeof(*seg));

	if (!seg)
		return NULL;
	seg->split = reg->split;
	seg->region = reg;
	seg->index = r->slot_base + reg->first;
	seg->source_only = reg->flags & IO_URING_EXT_REGION_READONLY;
	seg->tagged = reg->tag;
	seg->ticket = urext_flight_ticket(r, reg->id);
	return seg;
}

static void abandon(struct io_uring_ext_ring *r, struct work *w)
{
	struct io_uring_ext_pool *pool = r->pool;
	unsigned i;

	for (i = 0; i < w->nr; i++)
		if (is_new_to(r, w->items[i].region))
			free(w->items[i].seg);
	pthread_mutex_lock(&pool->lock);
	for (i = 0; i < w->nr; i++) {
		struct item *it = &w->items[i];

		if (!it->counted)
			continue;
		it->region->rings--;
		urext_region_try_free(pool, it->region);
	}
	urext_pool_unlock(pool);
}

/* Does a region that the ring never took over have requests of it all the same? */
static bool needs_seg(const struct io_uring_ext_ring *r, const struct item *it)
{
	const struct urext_split *s = &it->region->split;

	if (it->seg)
		return false;
	return it->what == TAKE ||
	       (!it->region->idle && urext_flight_any_loose(r, s->base, s->end));
}

static int prepare(struct io_uring_ext_ring *r, struct work *w)
{
	unsigned i, takes = 0;

	for (i = 0; i < w->nr; i++) {
		struct item *it = &w->items[i];

		takes += it->what == TAKE;
		if (!needs_seg(r, it))
			continue;
		it->seg = new_seg(r, it->region);
		if (!it->seg)
			return -ENOMEM;
	}
	return urext_view_room(r, takes);
}

/* ---- act ---- */

/* The table may be there already: the caller's, or one that clones made. */
int urext_need_table(struct io_uring_ext_ring *r, struct io_uring_ext_error *err)
{
	int ret;

	if (r->has_table)
		return 0;
	ret = urext_table(r->target, r->slot_base + r->pool->nr_slots);
	/* What urext_reason() says of that is about memory, and here there is none */
	if (ret == -EOPNOTSUPP)
		return urext_fail(err, ret, IO_URING_EXT_STAGE_TABLE, 0,
				  "the file descriptor is not a ring's");
	if (ret && ret != -EBUSY)
		return urext_fail(err, ret, IO_URING_EXT_STAGE_TABLE, 0,
				  "a table of %u slots could not be made: %s",
				  r->slot_base + r->pool->nr_slots, urext_reason(ret));
	r->has_table = true;
	return 0;
}

static int clone_slots(struct io_uring_ext_ring *r, unsigned first, unsigned nr)
{
	__u64 start = urext_now_ns();
	int ret;

	ret = urext_clone(r->target, urext_target_fd(r->pool->anchor), first,
			  r->slot_base + first, nr);
	if (ret) {
		r->tally.failures++;
		return ret;
	}
	r->tally.clone_ns += urext_now_ns() - start;
	r->tally.clones += nr;
	return 0;
}

/*
 * Make the table of a ring longer: cloning slots that are empty in the anchor is a
 * way to do that.
 */
static int extend_table(struct io_uring_ext_ring *r, const struct urext_region *reg)
{
	if (r->pool->anchor < 0 || !reg->tag)
		return -ENOSPC;
	return urext_clone(r->target, urext_target_fd(r->pool->anchor), reg->first,
			   r->slot_base + reg->first, reg->split.nr);
}

static int register_slots(struct io_uring_ext_ring *r, const struct urext_region *reg,
			  struct io_uring_ext_error *err)
{
	struct urext_wait *w = NULL;
	unsigned done = 0, off = r->slot_base + reg->first, last = off + reg->split.nr - 1;
	int ret;

	ret = urext_need_table(r, err);
	if (ret)
		return ret;
	if (reg->tag) {
		w = urext_wait_get(r, reg);
		if (!w)
			return urext_fail(err, -ENOMEM, IO_URING_EXT_STAGE_MEMORY, 0,
					  "no memory");
	}
	/* Emptying the last slot, which is empty, fails if it is beyond the table */
	ret = urext_clear(r->target, last, 1);
	if (ret == -EINVAL) {
		ret = extend_table(r, reg);
		if (ret) {
			urext_fail(err, -ENOSPC, IO_URING_EXT_STAGE_TABLE, off,
				   "the ring's own table ends before entry %u, and this kernel "
				   "cannot make it longer: make one of %u entries before "
				   "attaching, or none", last, r->slot_base + r->pool->nr_slots);
			ret = -ENOSPC;
			goto out;
		}
	}
	ret = urext_region_register(reg, r->target, off, &done, &r->tally, err);
	if (ret && w)
		w->stray += done;
out:
	if (w && ret)
		urext_wait_put(r, w);
	return ret;
}

static void plain_reason(const struct urext_region *reg, int ret,
			 struct io_uring_ext_error *err)
{
	size_t len = reg->split.end - reg->split.base;
	char text[URING_EXT_REASON_TEXT], size[32];

	if (err->err)
		return;
	urext_explain(ret, len, reg->page_size, text, sizeof(text));
	urext_fail(err, ret, IO_URING_EXT_STAGE_REGISTER, reg->first,
		   "%s at %p is not registered: %s", urext_size(size, len),
		   (void *)reg->split.base, text);
}

/* Is it cloned from the anchor, as far as it can be had at all? */
static bool by_clone(const struct io_uring_ext_ring *r, const struct urext_region *reg)
{
	return r->pool->anchor >= 0 && !reg->tag;
}

/* Why it can only be plain, whatever is tried; 0: it is to be tried. */
static int hopeless(const struct io_uring_ext_ring *r, const struct urext_region *reg)
{
	if (!reg->placed || r->pool->anchor_err || by_clone(r, reg))
		return reg->add_err;
	return 0;
}

static bool never_registers(const struct io_uring_ext_ring *r)
{
	return r->pool->flags & IO_URING_EXT_POOL_PLAIN;
}

static int by_slot(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	return x->region->first < y->region->first ? -1 :
	       x->region->first > y->region->first;
}

/* Slots that lie next to each other are cloned by one call. */
static void clone_runs(struct io_uring_ext_ring *r, struct work *w)
{
	unsigned i, j, first, end;

	if (r->pool->anchor < 0 || !w->nr)
		return;
	qsort(w->items, w->nr, sizeof(w->items[0]), by_slot);
	for (i = 0; i < w->nr; i = j) {
		j = i + 1;
		if (w->items[i].what == LET_GO || !by_clone(r, w->items[i].region) ||
		    hopeless(r, w->items[i].region))
			continue;
		first = w->items[i].region->first;
		end = first + w->items[i].region->split.nr;
		while (j < w->nr && w->items[j].what != LET_GO &&
		       by_clone(r, w->items[j].region) && !hopeless(r, w->items[j].region) &&
		       w->items[j].region->first == end)
			end += w->items[j++].region->split.nr;
		if (clone_slots(r, first, end - first))
			continue;	/* another user's ring, restrictions: each by itself */
		for (; i < j; i++)
			w->items[i].fixed = w->items[i].cloned = true;
	}
}

/* The first error is the one that counts. */
static void take(struct io_uring_ext_ring *r, struct item *it, struct io_uring_ext_error *err)
{
	struct urext_region *reg = it->region;
	struct io_uring_ext_error e;

	if (it->fixed || never_registers(r))
		return;
	urext_ok(&e);
	it->ret = hopeless(r, reg);
	if (!it->ret)
		it->ret = register_slots(r, reg, &e);
	it->fixed = !it->ret;
	if (!it->ret)
		return;
	plain_reason(reg, it->ret, &e);
	if (err && !err->err)
		*err = e;
}

static int clear_slots(struct io_uring_ext_ring *r, struct urext_seg *seg,
		       struct io_uring_ext_error *err)
{
	unsigned nr = seg->split.nr;
	int ret;

	ret = urext_clear(r->target, seg->index, nr);
	if (ret)
		return urext_fail(err, ret, IO_URING_EXT_STAGE_UPDATE, seg->index,
				  "table entries %u to %u could not be emptied: %s",
				  seg->index, seg->index + nr - 1, urext_reason(ret));
	seg->in_table = false;
	seg->fixed = false;
	r->stats.slots -= nr;
	return 0;
}

/* No signal of a region that was let go of is to come, nor one that means nothing. */
static void forget_wait(struct io_uring_ext_ring *r, const struct urext_region *reg)
{
	struct urext_wait *w = reg->tag ? urext_wait_find(r, reg->tag) : NULL;

	if (w)
		urext_wait_put(r, w);
}

/* The ring's part of emptied slots with a tag: how many signals are to come. */
static unsigned expect_signals(struct io_uring_ext_ring *r, const struct urext_seg *seg)
{
	struct urext_wait *w = seg->region->tag ? urext_wait_find(r, seg->region->tag) : NULL;

	if (!w)
		return 0;
	w->count += seg->split.nr;
	w->used |= seg->used;
	return seg->split.nr;
}

static void let_go(struct io_uring_ext_ring *r, struct item *it, struct io_uring_ext_error *err)
{
	struct urext_seg *seg = it->seg;

	if (!seg)
		return;
	if (is_new_to(r, it->region)) {
		/* Never taken over, but there are requests of before it was in the pool */
		r->seg_of[it->region->id] = seg;
		it->counted = true;
	} else {
		urext_view_del_unfixed(r, seg);
		urext_view_del(r, seg);
	}
	if (seg->in_table) {
		it->ret = clear_slots(r, seg, err);
		it->cleared = !it->ret;
		if (it->cleared)
			it->signals = expect_signals(r, seg);
		else
			seg->fixed = false;
	}
	urext_flight_leave(r, seg);
	forget_wait(r, it->region);
}

/* Slots of removed regions that could not be emptied. */
static int try_again(struct io_uring_ext_ring *r, struct io_uring_ext_error *err)
{
	struct io_uring_ext_pool *pool = r->pool;
	struct urext_seg *seg;
	unsigned signals;
	int ret, first = 0;

	r->retry = false;
	for (seg = r->leaving; seg; seg = seg->next) {
		if (!seg->in_table)
			continue;
		ret = clear_slots(r, seg, first ? NULL : err);
		if (ret) {
			r->retry = true;
			first = first ? first : ret;
			continue;
		}
		signals = expect_signals(r, seg);
		pthread_mutex_lock(&pool->lock);
		seg->region->fixed_rings--;
		seg->region->signals += signals;
		pthread_mutex_unlock(&pool->lock);
	}
	return first;
}

/* ---- publish ---- */

static void publish_taken(struct io_uring_ext_ring *r, struct item *it)
{
	struct urext_region *reg = it->region;
	struct urext_seg *seg = it->seg;

	seg->in_table |= it->fixed;
	seg->fixed = it->fixed && (!it->cloned || reg->state == URING_EXT_ACTIVE);
	if (it->fixed) {
		r->stats.slots += seg->split.nr;
		reg->fixed_rings++;
	}
	if (!never_registers(r) && !reg->anchored && reg->state == URING_EXT_ACTIVE)
		reg->err = it->ret;
	if (it->what == TAKE) {
		r->seg_of[reg->id] = seg;
		urext_view_add(r, seg);
	}
	if (seg->fixed)
		urext_view_del_unfixed(r, seg);
	else if (!seg->unfixed && !never_registers(r) && !hopeless(r, reg))
		urext_view_add_unfixed(r, seg);
}

static int publish_let_go(struct io_uring_ext_ring *r, struct item *it)
{
	struct urext_region *reg = it->region;

	reg->late--;
	reg->rings += it->what == LET_GO && it->counted;
	reg->fixed_rings -= it->cleared;
	reg->signals += it->signals;
	return it->seg ? 0 : urext_region_try_free(r->pool, reg);
}

static int publish(struct io_uring_ext_ring *r, struct work *w)
{
	struct io_uring_ext_pool *pool = r->pool;
	unsigned i;
	int gone = 0;

	pthread_mutex_lock(&pool->lock);
	for (i = 0; i < w->nr; i++) {
		struct item *it = &w->items[i];

		if (it->what == LET_GO)
			gone += publish_let_go(r, it);
		else
			publish_taken(r, it);
	}
	urext_pool_count(pool, &r->tally);
	urext_pool_unlock(pool);
	memset(&r->tally, 0, sizeof(r->tally));
	r->gen = w->gen;
	r->stats.regions = r->nr_keys;
	return gone;
}

int urext_sync(struct io_uring_ext_ring *r, struct io_uring_ext_error *err)
{
	struct work w = { .items = NULL };
	struct io_uring_ext_error taken;
	int ret, gone, lost = 0, first = 0;
	unsigned i;

	ret = collect_all(r, &w);
	if (!ret) {
		ret = prepare(r, &w);
		if (ret)
			abandon(r, &w);
	}
	if (ret) {
		free(w.items);
		return urext_fail(err, ret, IO_URING_EXT_STAGE_MEMORY, 0, "no memory");
	}
	r->stats.syncs++;
	urext_ok(&taken);
	/* Entries are emptied before others are filled: memory is charged once */
	if (r->retry)
		lost = try_again(r, err);
	for (i = 0; i < w.nr; i++) {
		if (w.items[i].what != LET_GO)
			continue;
		let_go(r, &w.items[i], lost ? NULL : err);
		if (w.items[i].ret) {
			r->retry = true;
			lost = lost ? lost : w.items[i].ret;
		}
	}
	if (!never_registers(r))
		clone_runs(r, &w);
	for (i = 0; i < w.nr; i++) {
		if (w.items[i].what == LET_GO)
			continue;
		take(r, &w.items[i], &taken);
		first = first ? first : w.items[i].ret;
	}
	gone = publish(r, &w) + urext_flight_reap(r);
	free(w.items);
	if (lost)
		return lost;
	if (err && first)
		*err = taken;
	return first && !urext_pool_forgives(r->pool) ? first : gone;
}

/* ---- leaving the pool ---- */

/* A region that the ring has not seen the removal of.  Locked. */
static bool is_late(const struct io_uring_ext_ring *r, const struct urext_region *reg)
{
	return reg->state == URING_EXT_LEAVING && reg->changed > r->joined;
}

/* Locked.  To be freed by the caller. */
static void drop_seg(struct io_uring_ext_ring *r, struct urext_seg *seg)
{
	struct urext_region *reg = seg->region;
	const struct urext_split *s = &seg->split;

	if (!seg->leaving) {
		seg->loose = urext_flight_any_loose(r, s->base, s->end);
		if (reg->idle)
			seg->requests = seg->loose = 0;
	}
	if (seg->requests || seg->loose || seg->overflow || (seg->used && seg->in_table))
		reg->orphans++;
	reg->fixed_rings -= seg->in_table;
	reg->rings--;
	r->seg_of[reg->id] = NULL;
}

/* Locked. */
static void drop_waits(struct io_uring_ext_ring *r)
{
	struct urext_region *reg;

	while (r->nr_waits) {
		struct urext_wait *w = &r->waits[--r->nr_waits];

		if (!w->count)
			continue;
		reg = r->pool->regions[w->id];
		reg->signals -= w->count;
		reg->orphans += w->used;
		urext_region_try_free(r->pool, reg);
	}
}

/* As well as it goes: 0, or the first error. */
static int clear_table(struct io_uring_ext_ring *r)
{
	struct urext_seg *seg;
	unsigned i;
	int ret, first = 0;

	for (i = 0; i < r->nr_keys; i++)
		if (r->keys[i].seg->in_table) {
			ret = urext_clear(r->target, r->keys[i].seg->index,
					  r->keys[i].seg->split.nr);
			first = first ? first : ret;
		}
	for (seg = r->leaving; seg; seg = seg->next)
		if (seg->in_table) {
			ret = urext_clear(r->target, seg->index, seg->split.nr);
			first = first ? first : ret;
		}
	return first;
}

int urext_leave_pool(struct io_uring_ext_ring *r, bool forget)
{
	struct io_uring_ext_pool *pool = r->pool;
	struct urext_region *reg, *next;
	struct urext_seg *seg;
	unsigned i;
	int ret;

	ret = forget ? 0 : clear_table(r);
	pthread_mutex_lock(&pool->lock);
	for (reg = first_changed(r); reg; reg = next) {
		next = reg->next;
		if (!is_late(r, reg))
			continue;
		reg->late--;
		if (is_new_to(r, reg) && !reg->idle &&
		    urext_flight_any_loose(r, reg->split.base, reg->split.end))
			reg->orphans++;
		if (is_new_to(r, reg))
			urext_region_try_free(pool, reg);
	}
	for (i = 0; i < r->nr_keys; i++) {
		reg = r->keys[i].seg->region;
		drop_seg(r, r->keys[i].seg);
		urext_region_try_free(pool, reg);
	}
	for (seg = r->leaving; seg; seg = seg->next) {
		reg = seg->region;
		drop_seg(r, seg);
		urext_region_try_free(pool, reg);
	}
	drop_waits(r);
	urext_pool_count(pool, &r->tally);
	pool->nr_rings--;
	urext_pool_unlock(pool);
	for (i = 0; i < r->nr_keys; i++)
		free(r->keys[i].seg);
	r->nr_keys = 0;
	while ((seg = r->leaving)) {
		r->leaving = seg->next;
		free(seg);
	}
	return ret;
}
