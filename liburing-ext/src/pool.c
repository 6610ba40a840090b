/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * The pool: regions, their slots, and the anchor.
 *
 * The anchor is a ring of which only the buffer table is used.  A region without a
 * tag is registered there, once, in the same slots that it takes in the rings
 * (counted from their slot_base), and rings clone those slots.  The anchor belongs to
 * no thread, so that any ring can clone whatever flags it was made with, and it
 * outlives all rings of the pool.
 *
 * A region's record lives until neither the anchor nor a ring holds it and no
 * signal is to come; its slots are free again from then on.
 */
#include <stdio.h>
#include <stdlib.h>

#include "lib.h"

#define DEFAULT_SLOTS	4096U
#define MAX_REGIONS	65536U

static int open_anchor(struct io_uring_ext_pool *pool, struct io_uring_ext_error *err)
{
	int fd, ret;

	fd = urext_bare_ring();
	if (fd < 0)
		return urext_fail(err, fd, IO_URING_EXT_STAGE_ANCHOR, 0,
				  "the pool's own ring could not be made: %s", strerror(-fd));
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
	pool->max_buffer = pool->caps.max_buffer;
	if (p->max_buffer)
		pool->max_buffer = min_sz(pool->max_buffer, p->max_buffer);
	return pool->max_buffer < base_page_size() ? -EINVAL : 0;
}

static int setup_pool(struct io_uring_ext_pool *pool,
		      const struct io_uring_ext_pool_params *p,
		      struct io_uring_ext_error *err)
{
	int ret;

	ret = io_uring_ext_query(NULL, &pool->caps);
	if (ret && !urext_pool_forgives(pool))
		return urext_fail(err, ret, IO_URING_EXT_STAGE_QUERY, 0,
				  "no ring can be made: %s", strerror(-ret));
	if (ret) {
		/* Slots are only bookkeeping then */
		pool->caps.max_buffers = DEFAULT_SLOTS;
		pool->caps.max_buffer = SZ_1G;
		pool->anchor_err = ret;
		urext_fail(err, ret, IO_URING_EXT_STAGE_QUERY, 0,
			   "no ring can be made, nothing will be registered: %s",
			   strerror(-ret));
	}
	if (set_sizes(pool, p))
		return urext_fail(err, -EINVAL, IO_URING_EXT_STAGE_ARGS, 0,
				  "at most %u slots, of at least a page each",
				  pool->caps.max_buffers);
	pool->slot_used = calloc(pool->nr_slots, 1);
	if (!pool->slot_used)
		return urext_fail(err, -ENOMEM, IO_URING_EXT_STAGE_MEMORY, 0, "no memory");
	if (!want_anchor(pool))
		return 0;
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

	for (i = 0; i < pool->nr_regions; i++)
		free(pool->regions[i]);
	free(pool->regions);
	free(pool->slot_used);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
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
	if (!p)
		p = &defaults;
	if (!poolp || (p->flags & ~flags) || !urext_all_zero(p->resv, sizeof(p->resv)))
		return urext_fail(err, -EINVAL, IO_URING_EXT_STAGE_ARGS, 0,
				  "pool parameters that make no sense");
	*poolp = NULL;
	pool = calloc(1, sizeof(*pool));
	if (!pool)
		return urext_fail(err, -ENOMEM, IO_URING_EXT_STAGE_MEMORY, 0, "no memory");
	pthread_mutex_init(&pool->lock, NULL);
	pool->flags = p->flags;
	pool->anchor = -1;
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
	if (!pool)
		return 0;
	pthread_mutex_lock(&pool->lock);
	if (pool->nr_rings) {
		pthread_mutex_unlock(&pool->lock);
		return -EBUSY;
	}
	pthread_mutex_unlock(&pool->lock);
	if (pool->anchor >= 0) {
		/* A ring that is only closed unpins later, from a work item */
		urext_register(urext_target_fd(pool->anchor), IORING_UNREGISTER_BUFFERS,
			       NULL, 0);
		close(pool->anchor);
	}
	free_pool(pool);
	return 0;
}

/* ---- regions ---- */

static int find_slots(struct io_uring_ext_pool *pool, size_t nr)
{
	unsigned i, run = 0;

	for (i = 0; i < pool->nr_slots; i++) {
		run = pool->slot_used[i] ? 0 : run + 1;
		if (run == nr)
			return i - nr + 1;
	}
	return -ENOSPC;
}

static int find_id(struct io_uring_ext_pool *pool)
{
	struct urext_region **regions;
	unsigned i, nr;

	for (i = 0; i < pool->nr_regions; i++)
		if (!pool->regions[i])
			return i;
	if (pool->nr_regions == MAX_REGIONS)
		return -ENOMEM;
	nr = pool->nr_regions ? 2 * pool->nr_regions : 8;
	regions = realloc(pool->regions, nr * sizeof(*regions));
	if (!regions)
		return -ENOMEM;
	memset(regions + pool->nr_regions, 0, (nr - pool->nr_regions) * sizeof(*regions));
	pool->regions = regions;
	i = pool->nr_regions;
	pool->nr_regions = nr;
	return i;
}

static struct urext_region *get_region(struct io_uring_ext_pool *pool, int id)
{
	return id >= 0 && (unsigned)id < pool->nr_regions ? pool->regions[id] : NULL;
}

static bool conflicts(struct io_uring_ext_pool *pool, uintptr_t start, uintptr_t end,
		      __u64 tag)
{
	unsigned i;

	for (i = 0; i < pool->nr_regions; i++) {
		const struct urext_region *r = pool->regions[i];

		if (!r)
			continue;
		if (tag && r->tag == tag)
			return true;
		/* Its memory may be reused while requests on it finish */
		if (!r->leaving && r->split.base < end && start < r->split.end)
			return true;
	}
	return false;
}

bool urext_region_try_free(struct io_uring_ext_pool *pool, struct urext_region *region)
{
	if (!region->leaving || region->rings || region->signals)
		return false;
	if (region->placed)
		memset(pool->slot_used + region->first, 0, region->split.nr);
	pool->regions[region->id] = NULL;
	free(region);
	return true;
}

/* Names the piece that failed, and explains what all of the region needs. */
static void explain_register(const struct urext_region *region, unsigned piece, int ret,
			     int undo, struct io_uring_ext_error *err)
{
	const struct urext_split *s = &region->split;
	uintptr_t start = urext_split_start(s, piece);
	unsigned done = err->done, entry = err->entry;
	char text[URING_EXT_REASON_TEXT], size[32];

	urext_explain(ret, s->end - s->base, region->page_size, text, sizeof(text));
	urext_fail(err, ret, IO_URING_EXT_STAGE_REGISTER, entry, "registering %s at %p: %s",
		   urext_size(size, urext_split_end(s, piece) - start), (void *)start, text);
	err->done = done;
	urext_note_undo(err, undo);
}

/*
 * All slots or none.  *@done is the number of slots that were registered before one
 * failed, and are taken back: with a tag each of them posts a signal.
 */
int urext_region_register(struct io_uring_ext_pool *pool, struct urext_region *region,
			  struct urext_target t, unsigned off, unsigned *done,
			  struct io_uring_ext_error *err)
{
	struct io_uring_ext_update up = {
		.off = off,
		.nr = region->split.nr,
		.flags = IO_URING_EXT_UPDATE_UNDO,
	};
	struct io_uring_ext_error e;
	struct iovec *iov;
	__u64 *tags = NULL, start;
	unsigned i;
	int undo, ret = -ENOMEM;

	*done = 0;
	iov = urext_split_iovecs(&region->split);
	if (!iov)
		goto nomem;
	if (region->tag) {
		tags = malloc(up.nr * sizeof(*tags));
		if (!tags)
			goto nomem;
		for (i = 0; i < up.nr; i++)
			tags[i] = region->tag;
	}
	up.iovecs = iov;
	up.tags = tags;
	start = urext_now_ns();
	if (region->flags & IO_URING_EXT_REGION_READONLY)
		ret = urext_uapi_update_readonly(t, &up, &undo, &e);
	else
		ret = urext_update(t, &up, 0, &undo, &e);
	start = urext_now_ns() - start;
	if (ret) {
		*done = e.entry - off;
		pool->failures++;
		explain_register(region, *done, ret, undo, &e);
		if (err)
			*err = e;
	} else {
		pool->register_ns += start;
		pool->registers += up.nr;
		region->register_ns = start;
	}
	free(tags);
	free(iov);
	return ret;
nomem:
	free(iov);
	return urext_fail(err, ret, IO_URING_EXT_STAGE_MEMORY, 0, "no memory");
}

static int check_region(const struct io_uring_ext_region *region, size_t page_size)
{
	uintptr_t base = (uintptr_t)region->base;

	if (!base || !region->len || base + region->len < base || !is_pow2(page_size) ||
	    (region->flags & ~IO_URING_EXT_REGION_READONLY) || region->resv32 ||
	    !urext_all_zero(region->resv, sizeof(region->resv)))
		return -EINVAL;
	return 0;
}

/* Give the region an id and slots, and let the anchor register it. */
static int place_region(struct io_uring_ext_pool *pool, struct urext_region *region,
			struct io_uring_ext_error *err)
{
	int id, first, ret;
	unsigned done;

	id = find_id(pool);
	if (id < 0)
		return urext_fail(err, id, IO_URING_EXT_STAGE_MEMORY, 0, "no memory");
	first = find_slots(pool, region->split.nr);
	if (first < 0) {
		urext_fail(err, first, IO_URING_EXT_STAGE_SLOTS, 0,
			   "%zu slots next to each other needed, of %u in the pool",
			   region->split.nr, pool->nr_slots);
		if (!urext_pool_forgives(pool))
			return first;
		/* Remembered as memory of the pool, without slots */
		region->err = first;
		first = 0;
		goto place;
	}
	region->placed = true;
	if (pool->flags & IO_URING_EXT_POOL_PLAIN) {
		region->err = -EOPNOTSUPP;
	} else if (pool->anchor_err) {
		region->err = pool->anchor_err;
		urext_fail(err, region->err, IO_URING_EXT_STAGE_ANCHOR, 0,
			   "not registered, the pool has no ring: %s",
			   strerror(-region->err));
	} else if (pool->anchor >= 0 && !region->tag) {
		ret = urext_region_register(pool, region, urext_target_fd(pool->anchor),
					    first, &done, err);
		if (ret && !urext_pool_forgives(pool))
			return ret;
		region->err = ret;
		region->anchored = !ret;
	}
place:
	region->id = id;
	region->first = first;
	if (region->placed)
		memset(pool->slot_used + first, 1, region->split.nr);
	pool->regions[id] = region;
	atomic_fetch_add(&pool->gen, 1);
	return id;
}

int io_uring_ext_pool_add(struct io_uring_ext_pool *pool,
			  const struct io_uring_ext_region *p,
			  struct io_uring_ext_error *err)
{
	struct urext_region *region;
	size_t page_size;
	int ret;

	urext_ok(err);
	if (!pool || !p)
		return urext_fail(err, -EINVAL, IO_URING_EXT_STAGE_ARGS, 0, "no pool or region");
	page_size = p->page_size ? p->page_size : SZ_2M;
	if (check_region(p, page_size))
		return urext_fail(err, -EINVAL, IO_URING_EXT_STAGE_ARGS, 0,
				  "region parameters that make no sense");
	if ((p->flags & IO_URING_EXT_REGION_READONLY) &&
	    !(pool->flags & IO_URING_EXT_POOL_PLAIN) &&
	    !(pool->caps.flags & IO_URING_EXT_CAP_READONLY))
		return urext_fail(err, -EOPNOTSUPP, IO_URING_EXT_STAGE_REGISTER, 0,
				  "this kernel has no read-only registered buffers");

	region = calloc(1, sizeof(*region));
	if (!region)
		return urext_fail(err, -ENOMEM, IO_URING_EXT_STAGE_MEMORY, 0, "no memory");
	urext_split(&region->split, (uintptr_t)p->base, p->len, page_size, pool->max_buffer);
	region->page_size = p->page_size ? page_size : base_page_size();
	region->tag = p->tag;
	region->flags = p->flags;

	pthread_mutex_lock(&pool->lock);
	if (conflicts(pool, region->split.base, region->split.end, p->tag))
		ret = urext_fail(err, -EEXIST, IO_URING_EXT_STAGE_ARGS, 0,
				 "overlaps a region of the pool, or its tag is taken");
	else
		ret = place_region(pool, region, err);
	pthread_mutex_unlock(&pool->lock);
	if (ret < 0)
		free(region);
	return ret;
}

int io_uring_ext_pool_add_arena(struct io_uring_ext_pool *pool,
				const struct io_uring_ext_arena *arena,
				__u64 tag, struct io_uring_ext_error *err)
{
	struct io_uring_ext_region region = {
		.base = io_uring_ext_arena_base(arena),
		.len = io_uring_ext_arena_size(arena),
		.page_size = urext_arena_page_size(arena),
		.tag = tag,
	};

	return io_uring_ext_pool_add(pool, &region, err);
}

int io_uring_ext_pool_remove(struct io_uring_ext_pool *pool, int id)
{
	struct urext_region *region;
	int ret;

	if (!pool)
		return -EINVAL;
	pthread_mutex_lock(&pool->lock);
	region = get_region(pool, id);
	ret = -ENOENT;
	if (!region)
		goto unlock;
	ret = -EALREADY;
	if (region->leaving)
		goto unlock;
	if (region->anchored) {
		ret = urext_clear(urext_target_fd(pool->anchor), region->first,
				  region->split.nr);
		if (ret)
			goto unlock;
		region->anchored = false;
	}
	region->leaving = true;
	ret = region->rings;
	urext_region_try_free(pool, region);
	atomic_fetch_add(&pool->gen, 1);
unlock:
	pthread_mutex_unlock(&pool->lock);
	return ret;
}

int io_uring_ext_pool_region_info(struct io_uring_ext_pool *pool, int id,
				  struct io_uring_ext_region_info *info)
{
	const struct urext_region *r;

	if (!pool || !info)
		return -EINVAL;
	memset(info, 0, sizeof(*info));
	pthread_mutex_lock(&pool->lock);
	r = get_region(pool, id);
	if (r) {
		info->base = (void *)r->split.base;
		info->len = r->split.end - r->split.base;
		info->tag = r->tag;
		info->state = r->leaving ? IO_URING_EXT_REGION_LEAVING :
					   IO_URING_EXT_REGION_ACTIVE;
		info->registered = r->anchored || r->fixed_rings;
		info->first_slot = r->first;
		info->nr_slots = r->placed ? r->split.nr : 0;
		info->slot_size = r->split.nr > 1 ? 1UL << r->split.shift : info->len;
		info->rings = r->rings;
		info->signals = r->signals;
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
	int ret = -ENOENT;
	size_t first;
	unsigned i;

	if (!pool || end < start)
		return -EINVAL;
	pthread_mutex_lock(&pool->lock);
	for (i = 0; i < pool->nr_regions; i++) {
		const struct urext_region *r = pool->regions[i];

		if (!r || r->leaving || start < r->split.base || end > r->split.end ||
		    start >= r->split.end)
			continue;
		first = urext_split_slot(&r->split, start);
		if (slot)
			*slot = r->first + first;
		if (straddles)
			*straddles = len && first != urext_split_slot(&r->split, end - 1);
		ret = i;
		break;
	}
	pthread_mutex_unlock(&pool->lock);
	return ret;
}

int io_uring_ext_pool_stats(struct io_uring_ext_pool *pool,
			    struct io_uring_ext_pool_stats *stats)
{
	unsigned i;

	if (!pool || !stats)
		return -EINVAL;
	memset(stats, 0, sizeof(*stats));
	pthread_mutex_lock(&pool->lock);
	for (i = 0; i < pool->nr_regions; i++) {
		const struct urext_region *r = pool->regions[i];

		if (!r || r->leaving)
			continue;
		stats->regions++;
		stats->bytes += r->split.end - r->split.base;
		if (r->anchored)
			stats->registered_bytes += r->split.end - r->split.base;
	}
	for (i = 0; i < pool->nr_slots; i++)
		stats->slots += pool->slot_used[i];
	stats->rings = pool->nr_rings;
	stats->cloning = pool->anchor >= 0;
	stats->registers = pool->registers;
	stats->clones = pool->clones;
	stats->register_ns = pool->register_ns;
	stats->clone_ns = pool->clone_ns;
	stats->failures = pool->failures;
	pthread_mutex_unlock(&pool->lock);
	return 0;
}

const struct io_uring_ext_caps *
io_uring_ext_pool_caps(const struct io_uring_ext_pool *pool)
{
	return pool ? &pool->caps : NULL;
}
