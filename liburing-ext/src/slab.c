/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * Slabs: a stack of free slices, linked by number, with the top in one 64-bit word:
 * the number of the slice, and a counter that changes with each get and put, so that
 * a get that was overtaken does not take a stale link for a fresh one.
 *
 * A get may read the link of a slice that another thread just took.  The value is
 * thrown away then, since the top has changed; but the links must be atomic.
 */
#include <stdlib.h>

#include "lib.h"

#define NONE		0xffffffffU
#define POISON		0xa5

enum state { FREE, USED, DAMAGED };

struct io_uring_ext_slab {
	struct urext_split split;
	size_t slice;
	unsigned nr;
	unsigned flags;
	/* Slices in the first chunk, in each of the middle, and in the last */
	unsigned nr_first;
	unsigned nr_mid;
	_Atomic __u32 *next;
	_Atomic unsigned char *state;	/* DEBUG only */

	_Alignas(64) _Atomic __u64 top;	/* counter << 32 | slice */
	_Alignas(64) _Atomic __u64 gets;
	_Atomic __u64 puts;
	_Atomic __u64 empty;
	_Atomic __u64 double_puts;
	_Atomic __u64 damaged;
};

static size_t chunk_len(const struct urext_split *s, size_t chunk)
{
	return urext_split_end(s, chunk) - urext_split_start(s, chunk);
}

static uintptr_t slice_addr(const struct io_uring_ext_slab *s, unsigned i)
{
	unsigned chunk;

	if (i < s->nr_first)
		return s->split.base + i * s->slice;
	i -= s->nr_first;
	chunk = i / s->nr_mid;
	return urext_split_start(&s->split, 1 + chunk) + (i % s->nr_mid) * s->slice;
}

/* The slice that @addr lies in, or NONE. */
static unsigned slice_at(const struct io_uring_ext_slab *s, uintptr_t addr)
{
	uintptr_t start;
	size_t in_chunk;
	unsigned chunk, i;

	if (addr < s->split.base || addr >= s->split.end)
		return NONE;
	chunk = urext_split_slot(&s->split, addr);
	start = urext_split_start(&s->split, chunk);
	in_chunk = (addr - start) / s->slice;
	if (in_chunk >= chunk_len(&s->split, chunk) / s->slice)
		return NONE;		/* what is left over before a boundary */
	i = in_chunk;
	return chunk ? s->nr_first + (chunk - 1) * s->nr_mid + i : i;
}

static void push(struct io_uring_ext_slab *s, unsigned i)
{
	__u64 top = atomic_load_explicit(&s->top, memory_order_relaxed);
	__u64 new;

	do {
		atomic_store_explicit(&s->next[i], (__u32)top, memory_order_relaxed);
		new = ((top >> 32) + 1) << 32 | i;
	} while (!atomic_compare_exchange_weak_explicit(&s->top, &top, new,
							memory_order_release,
							memory_order_relaxed));
}

static unsigned pop(struct io_uring_ext_slab *s)
{
	__u64 top = atomic_load_explicit(&s->top, memory_order_acquire);
	__u64 new;
	unsigned i;

	do {
		i = (__u32)top;
		if (i == NONE)
			return NONE;
		new = ((top >> 32) + 1) << 32 |
		      atomic_load_explicit(&s->next[i], memory_order_relaxed);
	} while (!atomic_compare_exchange_weak_explicit(&s->top, &top, new,
							memory_order_acquire,
							memory_order_acquire));
	return i;
}

static void poison(struct io_uring_ext_slab *s, unsigned i)
{
	memset((void *)slice_addr(s, i), POISON, s->slice);
}

static bool still_poisoned(struct io_uring_ext_slab *s, unsigned i)
{
	const unsigned char *p = (const void *)slice_addr(s, i);

	return p[0] == POISON && !memcmp(p, p + 1, s->slice - 1);
}

static int count_slices(struct io_uring_ext_slab *s)
{
	const struct urext_split *sp = &s->split;
	size_t total = chunk_len(sp, 0) / s->slice;

	s->nr_mid = 1;			/* never divided by 0 */
	if (sp->nr > 1) {
		size_t mid = (1UL << sp->shift) / s->slice;

		if (!mid)
			return -EINVAL;
		if (mid >= NONE || total >= NONE)
			return -EOVERFLOW;
		s->nr_mid = mid;
		total += (sp->nr - 2) * mid + chunk_len(sp, sp->nr - 1) / s->slice;
	}
	if (!total)
		return -EINVAL;
	if (total >= NONE)
		return -EOVERFLOW;
	s->nr_first = chunk_len(sp, 0) / s->slice;
	s->nr = total;
	return 0;
}

static int fill_stack(struct io_uring_ext_slab *s)
{
	unsigned i;

	s->next = malloc(s->nr * sizeof(*s->next));
	if (!s->next)
		return -ENOMEM;
	if (s->flags & IO_URING_EXT_SLAB_DEBUG) {
		s->state = calloc(s->nr, sizeof(*s->state));
		if (!s->state)
			return -ENOMEM;
		for (i = 0; i < s->nr; i++)
			poison(s, i);
	}
	/* Lowest address on top */
	for (i = 0; i < s->nr; i++)
		atomic_init(&s->next[i], i + 1 < s->nr ? i + 1 : NONE);
	atomic_init(&s->top, 0);
	return 0;
}

static void free_slab(struct io_uring_ext_slab *s)
{
	free((void *)s->next);
	free((void *)s->state);
	free(s);
}

static int create(struct io_uring_ext_slab **slab, const struct urext_split *split,
		  size_t slice, unsigned flags)
{
	struct io_uring_ext_slab *s;
	int ret;

	s = aligned_alloc(64, round_up(sizeof(*s), 64));
	if (!s)
		return -ENOMEM;
	memset((void *)s, 0, sizeof(*s));
	s->split = *split;
	s->slice = slice;
	s->flags = flags;
	ret = count_slices(s);
	if (!ret)
		ret = fill_stack(s);
	if (ret) {
		free_slab(s);
		return ret;
	}
	*slab = s;
	return 0;
}

int io_uring_ext_slab_create(struct io_uring_ext_slab **slab,
			     struct io_uring_ext_pool *pool, int id, size_t slice,
			     unsigned flags)
{
	const struct urext_region *region;
	struct urext_split split;
	int ret = -ENOENT;

	if (!slab || !pool || !slice || (flags & ~IO_URING_EXT_SLAB_DEBUG))
		return -EINVAL;
	*slab = NULL;
	pthread_mutex_lock(&pool->lock);
	region = id >= 0 && (unsigned)id < pool->nr_regions ? pool->regions[id] : NULL;
	if (region && !region->leaving) {
		split = region->split;
		/* The pattern would be written to memory that may be read-only */
		ret = (flags & IO_URING_EXT_SLAB_DEBUG) &&
		      (region->flags & IO_URING_EXT_REGION_READONLY) ? -EINVAL : 0;
	}
	pthread_mutex_unlock(&pool->lock);
	return ret ? ret : create(slab, &split, slice, flags);
}

int io_uring_ext_slab_create_mem(struct io_uring_ext_slab **slab, void *base,
				 size_t len, size_t slice, size_t boundary,
				 unsigned flags)
{
	struct urext_split split;

	if (!slab || !base || !len || !slice || (uintptr_t)base + len < (uintptr_t)base ||
	    (boundary && !is_pow2(boundary)) || (flags & ~IO_URING_EXT_SLAB_DEBUG))
		return -EINVAL;
	*slab = NULL;
	/* A page size of 1 byte: boundaries are counted from the base itself */
	urext_split(&split, (uintptr_t)base, len, 1, boundary ? boundary : len);
	return create(slab, &split, slice, flags);
}

int io_uring_ext_slab_destroy(struct io_uring_ext_slab *slab)
{
	if (!slab)
		return 0;
	if (atomic_load(&slab->gets) != atomic_load(&slab->puts))
		return -EBUSY;
	free_slab(slab);
	return 0;
}

void *io_uring_ext_slab_get(struct io_uring_ext_slab *slab)
{
	unsigned i;

	for (;;) {
		i = pop(slab);
		if (i == NONE) {
			atomic_fetch_add_explicit(&slab->empty, 1, memory_order_relaxed);
			return NULL;
		}
		if (!slab->state || still_poisoned(slab, i))
			break;
		/* Somebody writes to it: leave it alone for good */
		atomic_store(&slab->state[i], DAMAGED);
		atomic_fetch_add_explicit(&slab->damaged, 1, memory_order_relaxed);
	}
	if (slab->state)
		atomic_store(&slab->state[i], USED);
	atomic_fetch_add_explicit(&slab->gets, 1, memory_order_relaxed);
	return (void *)slice_addr(slab, i);
}

int io_uring_ext_slab_put(struct io_uring_ext_slab *slab, void *ptr)
{
	unsigned i = slice_at(slab, (uintptr_t)ptr);
	unsigned char used = USED;

	if (i == NONE)
		return -EINVAL;
	if (slab->state) {
		if (!atomic_compare_exchange_strong(&slab->state[i], &used, FREE)) {
			atomic_fetch_add_explicit(&slab->double_puts, 1,
						  memory_order_relaxed);
			return -EALREADY;
		}
		poison(slab, i);
	}
	push(slab, i);
	/* Who sees this put sees the get before it */
	atomic_fetch_add_explicit(&slab->puts, 1, memory_order_release);
	return 0;
}

int io_uring_ext_slab_stats(const struct io_uring_ext_slab *slab,
			    struct io_uring_ext_slab_stats *stats)
{
	__u64 puts;

	if (!slab || !stats)
		return -EINVAL;
	memset(stats, 0, sizeof(*stats));
	/* puts first: a slice put between the two loads must not make this negative */
	puts = atomic_load(&slab->puts);
	stats->gets = atomic_load(&slab->gets);
	stats->slices = slab->nr;
	stats->in_use = stats->gets - puts;
	/* It may have been a long time between them, with many gets. */
	if (stats->in_use > slab->nr)
		stats->in_use = slab->nr;
	stats->slice = slab->slice;
	stats->wasted = slab->split.end - slab->split.base - slab->nr * slab->slice;
	stats->empty = atomic_load(&slab->empty);
	stats->double_puts = atomic_load(&slab->double_puts);
	stats->damaged = atomic_load(&slab->damaged);
	return 0;
}
