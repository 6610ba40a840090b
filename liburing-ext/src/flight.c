/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * When a region is gone, and its memory may be freed.
 *
 * A removed region is gone when no request that the library prepared can be in it:
 *
 *  1. Each ring that was attached when it was removed has synced since, or was
 *     detached (region->late).  Before that the ring may still prepare requests in it,
 *     also one that does not know the region yet: these are plain.
 *  2. No ring has a table entry of it (region->rings).
 *  3. Of each ring, each request in it is known to be complete:
 *     - A fixed request in a region with a tag: when all signals of the ring came
 *       (region->signals); the kernel posts them.
 *     - Every other request, plain or fixed: when its ticket was handed to
 *       io_uring_ext_ring_done() (region->rings).  Those that lie in one region that
 *       the ring knows are counted in its segment.  Those that lie in none, or in
 *       several, are loose: their range is noted, and compared with each region that
 *       the ring lets go of, since the region may have come later.  If there is no more
 *       room for notes, all regions wait for those without.
 *     - Or all at once, by io_uring_ext_ring_idle().
 *  4. No ring was detached with requests in it of which that is not known
 *     (region->orphans): nobody can tell then.
 *
 * Who removes a region with IO_URING_EXT_REMOVE_IDLE vouches for 3.
 *
 * What is here belongs to the ring's thread, and takes the pool's lock only to let go.
 */
#include <stdlib.h>

#include "lib.h"

enum kind { SEG = 1, LOOSE, OVERFLOW };

#define GEN_BITS	30
#define GEN_MASK	((1U << GEN_BITS) - 1)

/* A ticket is told from those that had its place before. */
static __u64 make_ticket(enum kind kind, unsigned gen, unsigned index)
{
	return (__u64)index << 32 | (__u64)(gen & GEN_MASK) << 2 | kind;
}

void urext_flight_init(struct io_uring_ext_ring *r)
{
	unsigned i;

	for (i = 0; i < URING_EXT_MAX_LOOSE; i++)
		r->loose[i].next_free = i + 1;
}

__u64 urext_flight_ticket(struct io_uring_ext_ring *r, int id)
{
	return make_ticket(SEG, ++r->seg_gen, id);
}

void urext_flight_loose(struct io_uring_ext_ring *r, uintptr_t start, uintptr_t end)
{
	struct urext_loose *l;

	if (r->free_loose == URING_EXT_MAX_LOOSE) {
		r->overflow++;
		r->ticket = make_ticket(OVERFLOW, r->overflow_gen, 0);
		return;
	}
	l = &r->loose[r->free_loose];
	r->ticket = make_ticket(LOOSE, l->gen, r->free_loose);
	r->free_loose = l->next_free;
	r->nr_loose++;
	/* 0 says that it is free; nobody's memory is there */
	l->start = start ? start : 1;
	l->end = end;
	l->when = r->when++;
}

static bool overlaps(const struct urext_loose *l, uintptr_t start, uintptr_t end)
{
	return l->start && l->start < end && start < l->end;
}

static unsigned count_loose(const struct io_uring_ext_ring *r, uintptr_t start, uintptr_t end)
{
	unsigned i, n = 0;

	for (i = 0; r->nr_loose && i < URING_EXT_MAX_LOOSE; i++)
		n += overlaps(&r->loose[i], start, end);
	return n;
}

bool urext_flight_any_loose(const struct io_uring_ext_ring *r, uintptr_t start,
			    uintptr_t end)
{
	return r->overflow || count_loose(r, start, end);
}

void urext_flight_leave(struct io_uring_ext_ring *r, struct urext_seg *seg)
{
	seg->leaving = true;
	seg->left = r->when;
	if (seg->region->idle) {
		seg->requests = 0;
	} else {
		seg->loose = count_loose(r, seg->split.base, seg->split.end);
		seg->overflow = r->overflow;
	}
	seg->next = r->leaving;
	r->leaving = seg;
}

bool urext_flight_over(const struct urext_seg *seg)
{
	return !seg->requests && !seg->loose && !seg->overflow && !seg->in_table;
}

int urext_flight_reap(struct io_uring_ext_ring *r)
{
	struct urext_seg **link = &r->leaving, *seg;
	int gone = 0;

	while ((seg = *link)) {
		if (!urext_flight_over(seg)) {
			link = &seg->next;
			continue;
		}
		*link = seg->next;
		r->seg_of[seg->region->id] = NULL;
		pthread_mutex_lock(&r->pool->lock);
		seg->region->rings--;
		gone += urext_region_try_free(r->pool, seg->region);
		urext_pool_unlock(r->pool);
		free(seg);
	}
	return gone;
}

static int seg_done(struct io_uring_ext_ring *r, unsigned id, __u64 ticket)
{
	struct urext_seg *seg = id < r->max_segs ? r->seg_of[id] : NULL;

	if (!seg || seg->ticket != ticket || !seg->requests)
		return -ENOENT;
	seg->requests--;
	return seg->leaving && urext_flight_over(seg) ? urext_flight_reap(r) : 0;
}

static int loose_done(struct io_uring_ext_ring *r, unsigned i, __u64 ticket)
{
	struct urext_loose *l = &r->loose[i];
	struct urext_seg *seg;

	if (i >= URING_EXT_MAX_LOOSE || !l->start ||
	    ticket != make_ticket(LOOSE, l->gen, i))
		return -ENOENT;
	for (seg = r->leaving; seg; seg = seg->next)
		if (seg->loose && l->when < seg->left &&
		    overlaps(l, seg->split.base, seg->split.end))
			seg->loose--;
	l->start = 0;
	l->gen++;
	l->next_free = r->free_loose;
	r->free_loose = i;
	r->nr_loose--;
	return r->leaving ? urext_flight_reap(r) : 0;
}

static int overflow_done(struct io_uring_ext_ring *r, __u64 ticket)
{
	struct urext_seg *seg;

	if (!r->overflow || ticket != make_ticket(OVERFLOW, r->overflow_gen, 0))
		return -ENOENT;
	if (--r->overflow)
		return 0;
	r->overflow_gen++;
	for (seg = r->leaving; seg; seg = seg->next)
		seg->overflow = false;
	return r->leaving ? urext_flight_reap(r) : 0;
}

__u64 io_uring_ext_ring_ticket(const struct io_uring_ext_ring *r)
{
	return r ? r->ticket : 0;
}

int io_uring_ext_ring_done(struct io_uring_ext_ring *r, __u64 ticket)
{
	if (!ticket)
		return 0;
	if (!r)
		return -EINVAL;
	switch (ticket & 3) {
	case SEG:
		return seg_done(r, ticket >> 32, ticket);
	case LOOSE:
		return loose_done(r, ticket >> 32, ticket);
	case OVERFLOW:
		return overflow_done(r, ticket);
	default:
		return -ENOENT;
	}
}

/* Signals that are to come tell nothing new any more, but they do come. */
static int forgo_signals(struct io_uring_ext_ring *r)
{
	struct io_uring_ext_pool *pool = r->pool;
	struct urext_region *region;
	unsigned i;
	int gone = 0;

	pthread_mutex_lock(&pool->lock);
	for (i = 0; i < r->nr_waits; i++) {
		struct urext_wait *w = &r->waits[i];

		w->used = false;
		if (!w->count)
			continue;
		region = pool->regions[w->id];
		region->signals -= w->count;
		gone += urext_region_try_free(pool, region);
		w->stray += w->count;
		w->count = 0;
	}
	urext_pool_unlock(pool);
	return gone;
}

/* All tickets are stale from now on. */
static void settle(struct io_uring_ext_ring *r, struct urext_seg *seg)
{
	seg->requests = 0;
	seg->loose = 0;
	seg->overflow = false;
	seg->used = false;
	seg->ticket = urext_flight_ticket(r, seg->region->id);
}

int io_uring_ext_ring_idle(struct io_uring_ext_ring *r)
{
	struct urext_seg *seg;
	int gone = 0;
	unsigned i;

	if (!r)
		return -EINVAL;
	for (i = 0; i < r->nr_keys; i++)
		settle(r, r->keys[i].seg);
	for (seg = r->leaving; seg; seg = seg->next)
		settle(r, seg);
	for (i = 0; r->nr_loose && i < URING_EXT_MAX_LOOSE; i++)
		if (r->loose[i].start)
			gone += loose_done(r, i, make_ticket(LOOSE, r->loose[i].gen, i));
	r->overflow = 0;
	r->overflow_gen++;
	return gone + forgo_signals(r) + urext_flight_reap(r);
}
