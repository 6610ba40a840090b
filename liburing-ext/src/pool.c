/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * The pool: regions, their slots, and the anchor.
 *
 * The anchor is a ring of which only the buffer table is used.  A region without a
 * tag is in the same slots there that it takes in the rings (counted from their
 * slot_base), and rings clone those slots.  The anchor belongs to no thread, so that any
 * ring can clone whatever flags it was made with, and it outlives all rings of the pool.
 *
 * Memory is pinned in yet another ring, for as long as that takes, and then cloned into
 * the anchor: who clones from the anchor meanwhile does not wait, neither for a lock of
 * the pool, nor for one of the kernel's.
 *
 * A region's record lives until it is gone (see flight.c); its slots are free again from
 * then on.
 */
#include <stdio.h>
#include <stdlib.h>

#include "lib.h"

#define DEFAULT_SLOTS	4096U
#define MAX_REGIONS	65536U

static void close_holder(int fd)
{
	if (fd < 0)
		return;
	/* A ring that is only closed unpins later, from a work item */
	urext_register(urext_target_fd(fd), IORING_UNREGISTER_BUFFERS, NULL, 0);
	close(fd);
}

static int open_anchor(struct io_uring_ext_pool *pool, struct io_uring_ext_error *err)
{
	int fd, ret;

	fd = urext_bare_ring();
	if (fd < 0)
		return urext_no_ring(err, fd, IO_URING_EXT_STAGE_ANCHOR,
				     "the pool's own ring could not be made");
	ret = urext_table(urext_target_fd(fd), pool->nr_slots);
	if (ret) {
		close(fd);
		return urext_fail(err, ret, IO_URING_EXT_STAGE_ANCHOR, 0,
				  "a table of %u slots could not be made: %s",
				  pool->nr_slots, strerror(-ret));
	}
	pool->anchor = fd;
	return 0;
}

static bool want_anchor(const struct io_uring_ext_pool *pool)
{
	return !(pool->flags & (IO_URING_EXT_POOL_NO_CLONE | IO_URING_EXT_POOL_PLAIN)) &&
	       (pool->caps.flags & IO_URING_EXT_CAP_CLONE_RANGE) &&
	       (pool->caps.flags & IO_URING_EXT_CAP_UPDATE);
}

static int set_sizes(struct io_uring_ext_pool *pool,
		     const struct io_uring_ext_pool_params *p)
{
	pool->nr_slots = p->nr_slots;
	if (!pool->nr_slots)
		pool->nr_slots = min_sz(DEFAULT_SLOTS, pool->caps.max_buffers);
	if (pool->nr_slots > pool->caps.max_buffers)
		return -EINVAL;
	/* A kernel of 64 bits tells programs of 32 more than they can have */
	pool->max_buffer = pool->caps.max_buffer < SIZE_MAX ? pool->caps.max_buffer : SIZE_MAX;
	if (p->max_buffer)
		pool->max_buffer = min_sz(pool->max_buffer, p->max_buffer);
	return pool->max_buffer < base_page_size() ? -EINVAL : 0;
}

static int setup_pool(struct io_uring_ext_pool *pool,
		      const struct io_uring_ext_pool_params *p,
		      struct io_uring_ext_error *err)
{
	int fd, ret;

	/* Closing a ring takes the kernel some time, in which it may be charged */
	fd = urext_query_bare(&pool->caps);
	ret = fd < 0 ? fd : 0;
	atomic_store(&pool->spare, fd < 0 ? -1 : fd);
	if (ret && !urext_pool_forgives(pool))
		return urext_no_ring(err, ret, IO_URING_EXT_STAGE_QUERY,
				     "no ring can be made");
	if (ret) {
		/* Slots are only bookkeeping then */
		pool->caps.max_buffers = DEFAULT_SLOTS;
		pool->caps.max_buffer = SZ_1G;
		pool->anchor_err = ret;
		urext_no_ring(err, ret, IO_URING_EXT_STAGE_QUERY,
			      "no ring can be made, nothing will be registered");
	}
	if (set_sizes(pool, p))
		return urext_fail(err, -EINVAL, IO_URING_EXT_STAGE_ARGS, 0,
				  "at most %u slots, of at least a page each",
				  pool->caps.max_buffers);
	pool->slot_used = calloc(pool->nr_slots, 1);
	if (!pool->slot_used)
		return urext_fail(err, -ENOMEM, IO_URING_EXT_STAGE_MEMORY, 0, "no memory");
	if (!want_anchor(pool)) {
		close_holder(atomic_exchange(&pool->spare, -1));
		return 0;
	}
	ret = open_anchor(pool, err);
	if (ret && urext_pool_forgives(pool)) {
		pool->anchor_err = ret;
		return 0;
	}
	return ret;
}

static void free_pool(struct io_uring_ext_pool *pool)
{
	unsigned i;

	close_holder(pool->anchor);
	close_holder(atomic_load(&pool->spare));
	for (i = 0; i < pool->nr_regions; i++)
		if (pool->regions[i])
			urext_region_delete(pool->regions[i]);
	free(pool->regions);
	free(pool->by_addr);
	free(pool->slot_used);
	pthread_cond_destroy(&pool->gone);
	pthread_mutex_destroy(&pool->rings_lock);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}

static void init_locks(struct io_uring_ext_pool *pool)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&pool->lock, NULL);
	pthread_mutex_init(&pool->rings_lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&pool->gone, &attr);
	pthread_condattr_destroy(&attr);
}

int io_uring_ext_pool_create(struct io_uring_ext_pool **poolp,
			     const struct io_uring_ext_pool_params *p,
			     struct io_uring_ext_error *err)
{
	static const struct io_uring_ext_pool_params defaults;
	const __u32 flags = IO_URING_EXT_POOL_OPTIONAL | IO_URING_EXT_POOL_NO_CLONE |
			    IO_URING_EXT_POOL_PLAIN;
	struct io_uring_ext_pool *pool;
	int ret;

	urext_ok(err);
	if (poolp)
		*poolp = NULL;
	if (!p)
		p = &defaults;
	if (!poolp || (p->flags & ~flags) || !urext_all_zero(p->resv, sizeof(p->resv)))
		return urext_fail(err, -EINVAL, IO_URING_EXT_STAGE_ARGS, 0,
				  "pool parameters that make no sense");
	pool = calloc(1, sizeof(*pool));
	if (!pool)
		return urext_fail(err, -ENOMEM, IO_URING_EXT_STAGE_MEMORY, 0, "no memory");
	init_locks(pool);
	pool->flags = p->flags;
	pool->anchor = -1;
	atomic_init(&pool->spare, -1);
	ret = setup_pool(pool, p, err);
	if (ret) {
		free_pool(pool);
		return ret;
	}
	*poolp = pool;
	return 0;
}

int io_uring_ext_pool_destroy(struct io_uring_ext_pool *pool)
{
	bool busy;

	if (!pool)
		return 0;
	pthread_mutex_lock(&pool->lock);
	busy = pool->nr_rings || pool->nr_slabs || pool->nr_growing;
	pthread_mutex_unlock(&pool->lock);
	if (busy)
		return -EBUSY;
	free_pool(pool);
	return 0;
}

/* ---- regions: the books, under the lock ---- */

static int find_slots(struct io_uring_ext_pool *pool, size_t nr)
{
	unsigned i, run = 0;

	for (i = pool->free_slot; nr <= pool->nr_slots - pool->used_slots && i < pool->nr_slots;
	     i++) {
		run = pool->slot_used[i] ? 0 : run + 1;
		if (run == nr)
			return i - nr + 1;
	}
	return -ENOSPC;
}

static int find_id(struct io_uring_ext_pool *pool)
{
	unsigned i;

	for (i = pool->free_id; i < pool->nr_regions; i++)
		if (!pool->regions[i])
			return i;
	return -ENOSPC;
}

/*
 * Twice as many ids, and regions in the list by address.  The lock is given back meanwhile:
 * memory may have to be waited for, and others may do the same.
 */
static int more_ids(struct io_uring_ext_pool *pool)
{
	unsigned old = pool->nr_regions, nr = old ? 2 * old : 8;
	struct urext_region **regions;
	struct urext_addr *addrs;
	void *tmp;
	int ret = -ENOMEM;

	if (old == MAX_REGIONS)
		return ret;
	pthread_mutex_unlock(&pool->lock);
	addrs = malloc(nr * sizeof(*addrs));
	regions = malloc(nr * sizeof(*regions));
	if (addrs && regions) {
		/* So that it is there, too, when it is written to with the lock */
		memset(addrs, 0, nr * sizeof(*addrs));
		memset(regions, 0, nr * sizeof(*regions));
		ret = 0;
	}
	pthread_mutex_lock(&pool->lock);
	if (!ret && pool->nr_regions == old) {
		if (old) {
			memcpy(addrs, pool->by_addr, old * sizeof(*addrs));
			memcpy(regions, pool->regions, old * sizeof(*regions));
		}
		tmp = pool->by_addr;
		pool->by_addr = addrs;
		addrs = tmp;
		tmp = pool->regions;
		pool->regions = regions;
		regions = tmp;
		pool->nr_regions = nr;
	}
	pthread_mutex_unlock(&pool->lock);
	free(addrs);
	free(regions);
	pthread_mutex_lock(&pool->lock);
	return ret;
}

/* When this is back there is a free id, as long as the lock is held. */
static int have_id(struct io_uring_ext_pool *pool)
{
	int ret = 0;

	while (!ret && find_id(pool) < 0)
		ret = more_ids(pool);
	return ret;
}

/* One that callers know of. */
struct urext_region *urext_region_get(struct io_uring_ext_pool *pool, int id)
{
	struct urext_region *r;

	r = id >= 0 && (unsigned)id < pool->nr_regions ? pool->regions[id] : NULL;
	return r && r->state != URING_EXT_ADDING ? r : NULL;
}

/* The first in the list that begins above @addr. */
static unsigned addr_above(const struct io_uring_ext_pool *pool, uintptr_t addr)
{
	unsigned lo = 0, hi = pool->nr_addrs;

	while (lo < hi) {
		unsigned mid = lo + (hi - lo) / 2;

		if (pool->by_addr[mid].base > addr)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

/* The last that begins below @end, of which none is leaving: their memory may be reused */
static struct urext_region *region_below(const struct io_uring_ext_pool *pool, uintptr_t end)
{
	unsigned i = addr_above(pool, end - 1);

	return i ? pool->by_addr[i - 1].region : NULL;
}

static void add_addr(struct io_uring_ext_pool *pool, struct urext_region *region)
{
	unsigned i = addr_above(pool, region->split.base);

	memmove(&pool->by_addr[i + 1], &pool->by_addr[i],
		(pool->nr_addrs - i) * sizeof(pool->by_addr[0]));
	pool->by_addr[i].base = region->split.base;
	pool->by_addr[i].region = region;
	pool->nr_addrs++;
}

static void del_addr(struct io_uring_ext_pool *pool, const struct urext_region *region)
{
	unsigned i = addr_above(pool, region->split.base) - 1;

	pool->nr_addrs--;
	memmove(&pool->by_addr[i], &pool->by_addr[i + 1],
		(pool->nr_addrs - i) * sizeof(pool->by_addr[0]));
}

static bool conflicts(struct io_uring_ext_pool *pool, uintptr_t start, uintptr_t end,
		      __u64 tag)
{
	const struct urext_region *r = region_below(pool, end);
	unsigned i;

	if (r && start < r->split.end)
		return true;
	for (i = 0; tag && pool->nr_tags && i < pool->nr_regions; i++)
		if (pool->regions[i] && pool->regions[i]->tag == tag)
			return true;
	return false;
}

/* Out of the list by the last change. */
static void unlink_region(struct io_uring_ext_pool *pool, struct urext_region *region)
{
	if (region->prev)
		region->prev->next = region->next;
	else
		pool->oldest = region->next;
	if (region->next)
		region->next->prev = region->prev;
	else
		pool->newest = region->prev;
}

/* Rings that sync from now on see it, and none that does not have the change. */
static void announce(struct io_uring_ext_pool *pool, struct urext_region *region,
		     enum urext_state state)
{
	if (region->changed)
		unlink_region(pool, region);
	region->state = state;
	region->changed = atomic_load(&pool->gen) + 1;
	region->prev = pool->newest;
	region->next = NULL;
	if (pool->newest)
		pool->newest->next = region;
	else
		pool->oldest = region;
	pool->newest = region;
	atomic_store(&pool->gen, region->changed);
}

static void count_bytes(struct io_uring_ext_pool *pool, const struct urext_region *region,
			bool there)
{
	__u64 len = region->split.end - region->split.base;

	pool->nr_active += there ? 1 : -1;
	pool->bytes += there ? len : -len;
	if (region->anchored)
		pool->anchored_bytes += there ? len : -len;
}

static void free_region(struct io_uring_ext_pool *pool, struct urext_region *region)
{
	if (region->placed) {
		memset(pool->slot_used + region->first, 0, region->split.nr);
		pool->used_slots -= region->split.nr;
		if (region->first < pool->free_slot)
			pool->free_slot = region->first;
	}
	if (region->tag)
		pool->nr_tags--;
	pool->regions[region->id] = NULL;
	if ((unsigned)region->id < pool->free_id)
		pool->free_id = region->id;
	region->next = pool->dead;
	pool->dead = region;
}

void urext_region_delete(struct urext_region *region)
{
	if (region->memfd >= 0)
		close(region->memfd);
	free(region);
}

void urext_pool_unlock(struct io_uring_ext_pool *pool)
{
	struct urext_region *dead = pool->dead, *next;

	pool->dead = NULL;
	pthread_mutex_unlock(&pool->lock);
	if (dead)
		pthread_cond_broadcast(&pool->gone);
	for (; dead; dead = next) {
		next = dead->next;
		urext_region_delete(dead);
	}
}

bool urext_region_try_free(struct io_uring_ext_pool *pool, struct urext_region *region)
{
	if (region->state != URING_EXT_LEAVING || region->late || region->rings ||
	    region->signals || region->orphans)
		return false;
	unlink_region(pool, region);
	free_region(pool, region);
	return true;
}

void urext_pool_count(struct io_uring_ext_pool *pool, const struct urext_tally *t)
{
	pool->tally.registers += t->registers;
	pool->tally.clones += t->clones;
	pool->tally.register_ns += t->register_ns;
	pool->tally.clone_ns += t->clone_ns;
	pool->tally.failures += t->failures;
}

/* ---- adding ---- */

/* Locked, with an id to be had.  Nobody else gets it, nor the slots, from now on. */
static int place_region(struct io_uring_ext_pool *pool, struct urext_region *region,
			struct io_uring_ext_error *err)
{
	int id = find_id(pool), first;

	/* Without slots it is memory of the pool only, and nothing is registered */
	first = region->add_err ? region->add_err : find_slots(pool, region->split.nr);
	if (first == -ENOSPC) {
		urext_fail(err, first, IO_URING_EXT_STAGE_SLOTS, 0,
			   "%zu slots next to each other needed, of %u in the pool %u are free",
			   region->split.nr, pool->nr_slots,
			   pool->nr_slots - pool->used_slots);
		if (!urext_pool_forgives(pool))
			return first;
		region->add_err = first;
	} else if (first >= 0) {
		region->placed = true;
		region->first = first;
		memset(pool->slot_used + first, 1, region->split.nr);
		pool->used_slots += region->split.nr;
		if ((unsigned)first == pool->free_slot)
			pool->free_slot += region->split.nr;
	}
	region->id = id;
	pool->free_id = id + 1;
	pool->regions[id] = region;
	pool->nr_tags += !!region->tag;
	add_addr(pool, region);
	return 0;
}

int urext_region_place(struct io_uring_ext_pool *pool, struct urext_region *region,
		       struct io_uring_ext_error *err)
{
	int ret;

	pthread_mutex_lock(&pool->lock);
	ret = have_id(pool);
	if (ret && pool->nr_regions == MAX_REGIONS)
		urext_fail(err, ret, IO_URING_EXT_STAGE_MEMORY, 0,
			   "the pool has %u regions, and cannot have more", MAX_REGIONS);
	else if (ret)
		urext_fail(err, ret, IO_URING_EXT_STAGE_MEMORY, 0, "no memory");
	else if (conflicts(pool, region->split.base, region->split.end, region->tag))
		ret = urext_fail(err, -EEXIST, IO_URING_EXT_STAGE_ARGS, 0,
				 "overlaps a region of the pool, or its tag is taken");
	else
		ret = place_region(pool, region, err);
	pthread_mutex_unlock(&pool->lock);
	if (ret)
		urext_region_delete(region);
	return ret;
}

void urext_region_dropped(struct io_uring_ext_pool *pool, struct urext_region *region)
{
	pthread_mutex_lock(&pool->lock);
	del_addr(pool, region);
	free_region(pool, region);
	urext_pool_unlock(pool);
}

int urext_region_added(struct io_uring_ext_pool *pool, struct urext_region *region, int ret,
		       const struct urext_tally *tally)
{
	int id = region->id;
	bool forgiven = !ret || urext_pool_forgives(pool);

	/* From now on rings clone it, or it stays plain */
	if (urext_region_pins(pool, region) && region->memfd >= 0) {
		close(region->memfd);
		region->memfd = -1;
	}
	pthread_mutex_lock(&pool->lock);
	urext_pool_count(pool, tally);
	if (forgiven) {
		region->add_err = ret;
		region->err = ret;
		region->anchored = urext_region_pins(pool, region) && !ret;
		count_bytes(pool, region, true);
		announce(pool, region, URING_EXT_ACTIVE);
	}
	pthread_mutex_unlock(&pool->lock);
	if (forgiven)
		return id;
	urext_region_dropped(pool, region);
	return ret;
}

/* Those that sleep are to sync. */
static void wake_rings(struct io_uring_ext_pool *pool)
{
	const struct io_uring_ext_ring *r;

	pthread_mutex_lock(&pool->rings_lock);
	for (r = pool->rings; r; r = r->next)
		urext_ring_wake(r);
	pthread_mutex_unlock(&pool->rings_lock);
}

/* Locked.  What a removed region waits for, counted in rings; 0: it is gone. */
static unsigned waits_for(const struct urext_region *region)
{
	return region->late + region->orphans;
}

/* Locked.  Rings that clone it from now on find that out: see sync.c. */
static int begin_remove(struct io_uring_ext_pool *pool, int id, __u32 flags,
			struct urext_region **region)
{
	struct urext_region *r = urext_region_get(pool, id);

	if (!r)
		return -ENOENT;
	if (r->state != URING_EXT_ACTIVE)
		return -EALREADY;
	if (r->slabs)
		return -EBUSY;
	r->state = URING_EXT_REMOVING;
	r->idle = flags & IO_URING_EXT_REMOVE_IDLE;
	*region = r;
	return 0;
}

static int end_remove(struct io_uring_ext_pool *pool, struct urext_region *region, int ret)
{
	if (ret) {
		region->idle = false;
		announce(pool, region, URING_EXT_ACTIVE);
		return ret;
	}
	count_bytes(pool, region, false);
	region->anchored = false;
	del_addr(pool, region);
	announce(pool, region, URING_EXT_LEAVING);
	region->late = pool->nr_rings;
	ret = waits_for(region);
	urext_region_try_free(pool, region);
	return ret;
}

int io_uring_ext_pool_remove_flags(struct io_uring_ext_pool *pool, int id, __u32 flags)
{
	struct urext_region *region;
	int ret;

	if (!pool || (flags & ~IO_URING_EXT_REMOVE_IDLE))
		return -EINVAL;
	pthread_mutex_lock(&pool->lock);
	ret = begin_remove(pool, id, flags, &region);
	pthread_mutex_unlock(&pool->lock);
	if (ret)
		return ret;
	/* Nobody else changes it in this state */
	if (region->anchored)
		ret = urext_clear(urext_target_fd(pool->anchor), region->first,
				  region->split.nr);
	pthread_mutex_lock(&pool->lock);
	ret = end_remove(pool, region, ret);
	urext_pool_unlock(pool);
	if (ret > 0)
		wake_rings(pool);
	return ret;
}

int io_uring_ext_pool_remove(struct io_uring_ext_pool *pool, int id)
{
	return io_uring_ext_pool_remove_flags(pool, id, 0);
}

int io_uring_ext_pool_wait_gone(struct io_uring_ext_pool *pool, int id, __u64 timeout_ns)
{
	struct urext_region *region;
	struct timespec end;
	__u64 changed;
	int ret = 0;

	if (!pool)
		return -EINVAL;
	urext_deadline(&end, timeout_ns);
	pthread_mutex_lock(&pool->lock);
	region = urext_region_get(pool, id);
	if (region && region->state != URING_EXT_LEAVING)
		ret = -EBUSY;
	changed = region ? region->changed : 0;
	/* Another may have its id by then */
	while (region && region->changed == changed && !ret) {
		ret = -pthread_cond_timedwait(&pool->gone, &pool->lock, &end);
		region = urext_region_get(pool, id);
		if (ret == -ETIMEDOUT && !(region && region->changed == changed))
			ret = 0;
	}
	pthread_mutex_unlock(&pool->lock);
	return ret;
}

int io_uring_ext_pool_region_info(struct io_uring_ext_pool *pool, int id,
				  struct io_uring_ext_region_info *info)
{
	const struct urext_region *r;

	if (info)
		memset(info, 0, sizeof(*info));
	if (!pool || !info)
		return -EINVAL;
	pthread_mutex_lock(&pool->lock);
	r = urext_region_get(pool, id);
	if (r) {
		info->base = (void *)r->split.base;
		info->len = r->split.end - r->split.base;
		info->tag = r->tag;
		info->state = r->state == URING_EXT_LEAVING ? IO_URING_EXT_REGION_LEAVING :
							      IO_URING_EXT_REGION_ACTIVE;
		info->registered = r->anchored || r->fixed_rings;
		info->first_slot = r->first;
		info->nr_slots = r->placed ? r->split.nr : 0;
		info->slot_size = r->split.nr > 1 ? 1UL << r->split.shift : info->len;
		info->rings = r->rings;
		info->signals = r->signals;
		info->late = r->late;
		info->orphans = r->orphans;
		info->err = r->err;
		info->register_ns = r->tag ? 0 : r->register_ns;
	}
	pthread_mutex_unlock(&pool->lock);
	return r ? 0 : -ENOENT;
}

int io_uring_ext_pool_lookup(struct io_uring_ext_pool *pool, const void *ptr,
			     size_t len, unsigned *slot, int *straddles)
{
	uintptr_t start = (uintptr_t)ptr, end = start + len;
	const struct urext_region *r;
	int ret = -ENOENT;
	size_t first;

	if (slot)
		*slot = 0;
	if (straddles)
		*straddles = 0;
	if (!pool || end < start)
		return -EINVAL;
	pthread_mutex_lock(&pool->lock);
	r = region_below(pool, start + 1);
	if (r && r->state != URING_EXT_ADDING && start < r->split.end && end <= r->split.end) {
		first = urext_split_slot(&r->split, start);
		if (slot)
			*slot = r->first + first;
		if (straddles)
			*straddles = len && first != urext_split_slot(&r->split, end - 1);
		ret = r->id;
	}
	pthread_mutex_unlock(&pool->lock);
	return ret;
}

int io_uring_ext_pool_stats(struct io_uring_ext_pool *pool,
			    struct io_uring_ext_pool_stats *stats)
{
	if (stats)
		memset(stats, 0, sizeof(*stats));
	if (!pool || !stats)
		return -EINVAL;
	pthread_mutex_lock(&pool->lock);
	stats->regions = pool->nr_active;
	stats->bytes = pool->bytes;
	stats->registered_bytes = pool->anchored_bytes;
	stats->slots = pool->used_slots;
	stats->rings = pool->nr_rings;
	stats->cloning = pool->anchor >= 0;
	stats->registers = pool->tally.registers;
	stats->clones = pool->tally.clones;
	stats->register_ns = pool->tally.register_ns;
	stats->clone_ns = pool->tally.clone_ns;
	stats->failures = pool->tally.failures;
	pthread_mutex_unlock(&pool->lock);
	return 0;
}

const struct io_uring_ext_caps *
io_uring_ext_pool_caps(const struct io_uring_ext_pool *pool)
{
	return pool ? &pool->caps : NULL;
}
