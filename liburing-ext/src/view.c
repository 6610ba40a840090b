/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * What a ring knows of its pool: segments, sorted by address, which only its thread reads
 * and writes, so that the path of an I/O needs no lock; and the signals that it waits for.
 *
 * Signals: the kernel posts a tag on the ring that registered the slot, when the last
 * request on the slot is complete.  A registration that failed in the middle and was
 * taken back posts tags too; they come before any that mean something, and are
 * counted as strays.
 */
#include <stdlib.h>

#include "lib.h"

/* ---- segments by address ---- */

/* The first key above @addr. */
static unsigned key_above(const struct io_uring_ext_ring *r, uintptr_t addr)
{
	unsigned lo = 0, hi = r->nr_keys;

	while (lo < hi) {
		unsigned mid = lo + (hi - lo) / 2;

		if (r->keys[mid].base > addr)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

struct urext_seg *urext_ring_find(struct io_uring_ext_ring *r, uintptr_t addr, size_t len)
{
	unsigned i = r->last;
	struct urext_seg *s;

	if (i >= r->nr_keys || addr < r->keys[i].base || addr >= r->keys[i].seg->split.end) {
		i = key_above(r, addr);
		if (!i || addr >= r->keys[i - 1].seg->split.end)
			return NULL;
		r->last = --i;
	}
	s = r->keys[i].seg;
	return len <= s->split.end - addr ? s : NULL;
}

int urext_view_room(struct io_uring_ext_ring *r, unsigned nr)
{
	struct urext_key *keys;

	nr += r->nr_keys;
	if (nr <= r->max_keys)
		return 0;
	if (nr < 2 * r->max_keys)
		nr = 2 * r->max_keys;
	keys = realloc(r->keys, nr * sizeof(*keys));
	if (!keys)
		return -ENOMEM;
	r->keys = keys;
	r->max_keys = nr;
	return 0;
}

void urext_view_add(struct io_uring_ext_ring *r, struct urext_seg *seg)
{
	unsigned i = key_above(r, seg->split.base);

	memmove(&r->keys[i + 1], &r->keys[i], (r->nr_keys - i) * sizeof(r->keys[0]));
	r->keys[i].base = seg->split.base;
	r->keys[i].seg = seg;
	r->nr_keys++;
}

void urext_view_del(struct io_uring_ext_ring *r, const struct urext_seg *seg)
{
	unsigned i = key_above(r, seg->split.base) - 1;

	r->nr_keys--;
	memmove(&r->keys[i], &r->keys[i + 1], (r->nr_keys - i) * sizeof(r->keys[0]));
}

void urext_view_add_unfixed(struct io_uring_ext_ring *r, struct urext_seg *seg)
{
	seg->unfixed = true;
	seg->next = r->unfixed;
	r->unfixed = seg;
}

void urext_view_del_unfixed(struct io_uring_ext_ring *r, struct urext_seg *seg)
{
	struct urext_seg **link = &r->unfixed;

	if (!seg->unfixed)
		return;
	while (*link != seg)
		link = &(*link)->next;
	*link = seg->next;
	seg->unfixed = false;
}

/* ---- signals ---- */

/* Where @tag is, or belongs. */
static unsigned wait_at(const struct io_uring_ext_ring *r, __u64 tag)
{
	unsigned lo = 0, hi = r->nr_waits;

	while (lo < hi) {
		unsigned mid = lo + (hi - lo) / 2;

		if (r->waits[mid].tag >= tag)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

struct urext_wait *urext_wait_find(const struct io_uring_ext_ring *r, __u64 tag)
{
	unsigned i = wait_at(r, tag);

	return i < r->nr_waits && r->waits[i].tag == tag ? &r->waits[i] : NULL;
}

/* The entry for a region's tag, made before the kernel is asked for anything. */
struct urext_wait *urext_wait_get(struct io_uring_ext_ring *r, const struct urext_region *reg)
{
	struct urext_wait *w = urext_wait_find(r, reg->tag);
	unsigned i;

	if (w) {
		w->id = reg->id;
		return w;
	}
	w = realloc(r->waits, (r->nr_waits + 1) * sizeof(*w));
	if (!w)
		return NULL;
	r->waits = w;
	i = wait_at(r, reg->tag);
	w = &r->waits[i];
	memmove(w + 1, w, (r->nr_waits - i) * sizeof(*w));
	r->nr_waits++;
	memset(w, 0, sizeof(*w));
	w->tag = reg->tag;
	w->id = reg->id;
	return w;
}

static bool wait_has_seg(const struct io_uring_ext_ring *r, const struct urext_wait *w)
{
	const struct urext_seg *seg = (unsigned)w->id < r->max_segs ? r->seg_of[w->id] : NULL;

	/* One that was let go of has no slots whose signals are to come */
	return seg && seg->region->tag == w->tag && (!seg->leaving || seg->in_table);
}

void urext_wait_put(struct io_uring_ext_ring *r, struct urext_wait *w)
{
	if (w->stray || w->count || wait_has_seg(r, w))
		return;
	r->nr_waits--;
	memmove(w, w + 1, (r->nr_waits - (w - r->waits)) * sizeof(*w));
}

int io_uring_ext_ring_signal(struct io_uring_ext_ring *r, __u64 tag)
{
	struct urext_region *reg;
	struct urext_wait *w;
	int ret = 0;

	w = r && tag ? urext_wait_find(r, tag) : NULL;
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
		urext_pool_unlock(r->pool);
	}
	urext_wait_put(r, w);
	return ret;
}
