/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * Slabs: a stack of free slices, linked by number, with the top in one 64-bit word:
 * the number of the slice, and a counter that changes with each get and put, so that
 * a get that was overtaken does not take a stale link for a fresh one.
 *
 * A get may read the link of a slice that another thread just took.  The value is
 * thrown away then, since the top has changed; but the links must be atomic.
 *
 * The pool knows which of its memory slabs are cut from: nothing is handed out twice,
 * and no region is removed under them.
 */
#include <stdlib.h>

#include "lib.h"

#define NONE		0xffffffffU
#define POISON		0xa5

enum state { FREE, USED, DAMAGED };

struct io_uring_ext_slab {
	struct urext_split split;
	size_t slice;
	size_t stride;			/* from one slice to the next */
	size_t align;
	unsigned nr;
	unsigned flags;
	/* Slices in the first chunk, in each of the middle, and in the last */
	unsigned nr_first;
	unsigned nr_mid;
	_Atomic __u32 *next;
	_Atomic unsigned char *state;	/* DEBUG only */

	/* Of the pool, under its lock */
	struct io_uring_ext_pool *pool;
	struct urext_region *region;
	struct io_uring_ext_slab *sibling;

	/* Who waits for a slice */
	pthread_mutex_t lock;
	pthread_cond_t put;
	_Atomic unsigned waiters;
	_Atomic bool closed;
	_Atomic unsigned holders;	/* caches, rings of buffers */

	_Alignas(64) _Atomic __u64 top;	/* counter << 32 | slice */
	_Alignas(64) _Atomic __u64 gets;
	_Atomic __u64 puts;
	_Atomic __u64 empty;
	_Atomic __u64 double_puts;
	_Atomic __u64 damaged;
};

/* Slices of one thread, taken from the slab and given back by the half. */
struct io_uring_ext_slab_cache {
	struct io_uring_ext_slab *slab;
	unsigned nr;
	unsigned max;
	void *slices[];
};

/* Where the first slice of a chunk begins. */
static uintptr_t chunk_start(const struct io_uring_ext_slab *s, size_t chunk)
{
	return round_up(urext_split_start(&s->split, chunk), s->align);
}

static size_t chunk_slices(const struct io_uring_ext_slab *s, size_t chunk)
{
	uintptr_t start = chunk_start(s, chunk), end = urext_split_end(&s->split, chunk);

	if (start >= end || end - start < s->slice)
		return 0;
	return (end - start - s->slice) / s->stride + 1;
}

static uintptr_t slice_addr(const struct io_uring_ext_slab *s, unsigned i)
{
	unsigned chunk;

	if (i < s->nr_first)
		return chunk_start(s, 0) + i * s->stride;
	i -= s->nr_first;
	chunk = i / s->nr_mid;
	return chunk_start(s, 1 + chunk) + (i % s->nr_mid) * s->stride;
}

/* Where the slice that @addr lies in begins, and its chunk; 0: it lies in none. */
static uintptr_t slice_start(const struct io_uring_ext_slab *s, uintptr_t addr, size_t *chunk)
{
	uintptr_t start;

	if (addr < s->split.base || addr >= s->split.end)
		return 0;
	*chunk = urext_split_slot(&s->split, addr);
	start = chunk_start(s, *chunk);
	if (addr < start)
		return 0;
	start = addr - (addr - start) % s->stride;
	/* What is left over between slices, and before a boundary */
	if (addr - start >= s->slice || urext_split_end(&s->split, *chunk) - start < s->slice)
		return 0;
	return start;
}

/* The slice that @addr lies in, or NONE. */
static unsigned slice_at(const struct io_uring_ext_slab *s, uintptr_t addr)
{
	size_t chunk, in_chunk;
	uintptr_t start = slice_start(s, addr, &chunk);

	if (!start)
		return NONE;
	in_chunk = (start - chunk_start(s, chunk)) / s->stride;
	return chunk ? s->nr_first + (chunk - 1) * s->nr_mid + in_chunk : in_chunk;
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

static void fill_poison(struct io_uring_ext_slab *s)
{
	unsigned i;

	for (i = 0; s->state && i < s->nr; i++)
		poison(s, i);
}

static int count_slices(struct io_uring_ext_slab *s)
{
	const struct urext_split *sp = &s->split;
	size_t first = chunk_slices(s, 0), mid = 1, total = first;

	if (sp->nr > 1) {
		/* All chunks between the first and the last are alike: they begin alike */
		if (s->slice > 1UL << sp->shift || s->align > 1UL << sp->shift)
			return -EINVAL;
		mid = chunk_slices(s, 1);
		if (mid >= NONE || total >= NONE)
			return -EOVERFLOW;
		if (__builtin_mul_overflow(sp->nr - 2, mid, &total) ||
		    __builtin_add_overflow(total, first, &total) ||
		    __builtin_add_overflow(total, chunk_slices(s, sp->nr - 1), &total))
			return -EOVERFLOW;
	}
	if (!total)
		return -EINVAL;
	if (total >= NONE)
		return -EOVERFLOW;
	s->nr_first = first;
	s->nr_mid = mid ? mid : 1;	/* never divided by 0 */
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
	}
	/* Lowest address on top */
	for (i = 0; i < s->nr; i++)
		atomic_init(&s->next[i], i + 1 < s->nr ? i + 1 : NONE);
	atomic_init(&s->top, 0);
	return 0;
}

static void free_slab(struct io_uring_ext_slab *s)
{
	pthread_cond_destroy(&s->put);
	pthread_mutex_destroy(&s->lock);
	free((void *)s->next);
	free((void *)s->state);
	free(s);
}

static int create(struct io_uring_ext_slab **slab, const struct urext_split *split,
		  const struct io_uring_ext_slab_params *p)
{
	struct io_uring_ext_slab *s;
	pthread_condattr_t attr;
	int ret;

	s = aligned_alloc(64, round_up(sizeof(*s), 64));
	if (!s)
		return -ENOMEM;
	memset((void *)s, 0, sizeof(*s));
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->put, &attr);
	pthread_condattr_destroy(&attr);
	s->split = *split;
	s->slice = p->slice;
	s->align = p->align ? p->align : 1;
	s->stride = round_up(p->slice, s->align);
	s->flags = p->flags;
	ret = s->stride < s->slice ? -EINVAL : count_slices(s);
	if (!ret)
		ret = fill_stack(s);
	if (ret) {
		free_slab(s);
		return ret;
	}
	*slab = s;
	return 0;
}

static int check_params(const struct io_uring_ext_slab_params *p)
{
	if (!p || !p->slice || (p->align && !is_pow2(p->align)) || p->resv32 ||
	    p->slice != (size_t)p->slice || p->align != (size_t)p->align ||
	    (p->flags & ~IO_URING_EXT_SLAB_DEBUG) || !urext_all_zero(p->resv, sizeof(p->resv)))
		return -EINVAL;
	return 0;
}

/* ---- slabs of a region ---- */

/* The part of a region's split that is asked for. */
static int cut(const struct urext_region *region, const struct io_uring_ext_slab_params *p,
	       struct urext_split *s)
{
	__u64 len;
	size_t skip;

	*s = region->split;
	len = s->end - s->base;
	if (p->offset >= len || p->len > len - p->offset)
		return -EINVAL;
	s->base += p->offset;
	s->end = p->len ? s->base + p->len : s->end;
	if (s->nr == 1) {
		s->origin = s->base;
		return 0;
	}
	skip = (s->base - s->origin) >> s->shift;
	s->origin += skip << s->shift;
	s->nr = ((s->end - 1 - s->origin) >> s->shift) + 1;
	return 0;
}

static bool is_taken(const struct urext_region *region, const struct urext_split *s)
{
	const struct io_uring_ext_slab *other;

	for (other = region->slabs; other; other = other->sibling)
		if (other->split.base < s->end && s->base < other->split.end)
			return true;
	return false;
}

/* Locked. */
static int find_part(struct io_uring_ext_pool *pool, int id,
		     const struct io_uring_ext_slab_params *p, struct urext_split *split,
		     struct urext_region **region)
{
	*region = urext_region_get(pool, id);
	if (!*region || (*region)->state != URING_EXT_ACTIVE)
		return -ENOENT;
	/* The pattern would be written to memory that may be read-only */
	if ((p->flags & IO_URING_EXT_SLAB_DEBUG) &&
	    ((*region)->flags & IO_URING_EXT_REGION_READONLY))
		return -EINVAL;
	if (cut(*region, p, split))
		return -EINVAL;
	return is_taken(*region, split) ? -EEXIST : 0;
}

/* Locked. */
static int claim(struct io_uring_ext_pool *pool, int id,
		 const struct io_uring_ext_slab_params *p, struct io_uring_ext_slab *slab)
{
	struct urext_region *region;
	struct urext_split split;
	int ret;

	/* It was looked at before the memory of the slab was got: once more */
	ret = find_part(pool, id, p, &split, &region);
	if (ret || split.base != slab->split.base || split.end != slab->split.end)
		return ret ? ret : -ENOENT;
	slab->pool = pool;
	slab->region = region;
	slab->sibling = region->slabs;
	region->slabs = slab;
	pool->nr_slabs++;
	return 0;
}

int io_uring_ext_slab_create_part(struct io_uring_ext_slab **slabp,
				  struct io_uring_ext_pool *pool, int id,
				  const struct io_uring_ext_slab_params *p)
{
	struct io_uring_ext_slab *slab;
	struct urext_region *region;
	struct urext_split split;
	int ret;

	if (slabp)
		*slabp = NULL;
	if (!slabp || !pool || check_params(p))
		return -EINVAL;
	pthread_mutex_lock(&pool->lock);
	ret = find_part(pool, id, p, &split, &region);
	pthread_mutex_unlock(&pool->lock);
	if (ret)
		return ret;
	/* DEBUG writes to the memory: only who has it may */
	ret = create(&slab, &split, p);
	if (ret)
		return ret;
	pthread_mutex_lock(&pool->lock);
	ret = claim(pool, id, p, slab);
	pthread_mutex_unlock(&pool->lock);
	if (ret) {
		free_slab(slab);
		return ret;
	}
	fill_poison(slab);
	*slabp = slab;
	return 0;
}

int io_uring_ext_slab_create(struct io_uring_ext_slab **slab,
			     struct io_uring_ext_pool *pool, int id, size_t slice,
			     unsigned flags)
{
	struct io_uring_ext_slab_params p = { .slice = slice, .flags = flags };

	return io_uring_ext_slab_create_part(slab, pool, id, &p);
}

int io_uring_ext_slab_create_mem(struct io_uring_ext_slab **slab, void *base,
				 size_t len, size_t slice, size_t boundary,
				 unsigned flags)
{
	struct io_uring_ext_slab_params p = { .slice = slice, .flags = flags };
	struct urext_split split;
	int ret;

	if (slab)
		*slab = NULL;
	if (!slab || !base || !len || (uintptr_t)base + len < (uintptr_t)base ||
	    (boundary && !is_pow2(boundary)) || check_params(&p))
		return -EINVAL;
	/* A page size of 1 byte: boundaries are counted from the base itself */
	urext_split(&split, (uintptr_t)base, len, 1, boundary ? boundary : len);
	ret = create(slab, &split, &p);
	if (!ret)
		fill_poison(*slab);
	return ret;
}

/* Puts first: gets are counted before a slice is taken, and those that found none taken back. */
static bool all_back(const struct io_uring_ext_slab *slab)
{
	__u64 puts = atomic_load(&slab->puts);

	return atomic_load(&slab->gets) == puts;
}

bool urext_slab_busy(const struct io_uring_ext_slab *slab)
{
	return !all_back(slab) || atomic_load(&slab->holders);
}

void urext_slab_hold(struct io_uring_ext_slab *slab)
{
	atomic_fetch_add(&slab->holders, 1);
}

void urext_slab_release(struct io_uring_ext_slab *slab)
{
	atomic_fetch_sub(&slab->holders, 1);
}

void *urext_slab_slice(const struct io_uring_ext_slab *slab, const void *ptr)
{
	size_t chunk;

	return (void *)slice_start(slab, (uintptr_t)ptr, &chunk);
}

int io_uring_ext_slab_destroy(struct io_uring_ext_slab *slab)
{
	struct io_uring_ext_slab **link;

	if (!slab)
		return 0;
	if (urext_slab_busy(slab))
		return -EBUSY;
	if (slab->pool) {
		pthread_mutex_lock(&slab->pool->lock);
		for (link = &slab->region->slabs; *link != slab; link = &(*link)->sibling)
			;
		*link = slab->sibling;
		slab->pool->nr_slabs--;
		pthread_mutex_unlock(&slab->pool->lock);
	}
	free_slab(slab);
	return 0;
}

/* ---- get and put ---- */

static unsigned pop_sound(struct io_uring_ext_slab *slab)
{
	unsigned i;

	for (;;) {
		i = pop(slab);
		if (i == NONE || !slab->state)
			return i;
		if (still_poisoned(slab, i))
			break;
		/* Somebody writes to it: leave it alone for good */
		atomic_store(&slab->state[i], DAMAGED);
		atomic_fetch_add_explicit(&slab->damaged, 1, memory_order_relaxed);
	}
	atomic_store(&slab->state[i], USED);
	return i;
}

/*
 * It is counted first.  Who drains closes the slab, and then looks at the count: so a get
 * is seen by it, wherever it stands still, or sees that the slab is closed.
 */
static void *get(struct io_uring_ext_slab *slab)
{
	unsigned i = NONE;

	if ((__u32)atomic_load_explicit(&slab->top, memory_order_relaxed) == NONE)
		return NULL;
	atomic_fetch_add(&slab->gets, 1);
	if (!atomic_load(&slab->closed))
		i = pop_sound(slab);
	if (i != NONE)
		return (void *)slice_addr(slab, i);
	atomic_fetch_sub(&slab->gets, 1);
	return NULL;
}

/* Who put a slice, or closed the slab, and then sees nobody wait was seen by who waits. */
static void wake_waiters(struct io_uring_ext_slab *slab)
{
	atomic_thread_fence(memory_order_seq_cst);
	if (!atomic_load_explicit(&slab->waiters, memory_order_relaxed))
		return;
	pthread_mutex_lock(&slab->lock);
	pthread_cond_broadcast(&slab->put);
	pthread_mutex_unlock(&slab->lock);
}

/* Not with the lock. */
static void *try_get(struct io_uring_ext_slab *slab)
{
	void *p = get(slab);

	/* Who drains may have waited for this one */
	if (!p && atomic_load(&slab->closed))
		wake_waiters(slab);
	return p;
}

void *io_uring_ext_slab_get(struct io_uring_ext_slab *slab)
{
	void *p;

	if (!slab)
		return NULL;
	p = try_get(slab);
	if (!p)
		atomic_fetch_add_explicit(&slab->empty, 1, memory_order_relaxed);
	return p;
}

/* Wait for a slice, or, with @slice NULL, for all of them. */
static int wait_for(struct io_uring_ext_slab *slab, void **slice, __u64 timeout_ns)
{
	struct timespec end;
	bool done = false;
	int ret = 0;

	urext_deadline(&end, timeout_ns);
	pthread_mutex_lock(&slab->lock);
	atomic_fetch_add(&slab->waiters, 1);
	for (;;) {
		atomic_thread_fence(memory_order_seq_cst);
		if (slice && atomic_load(&slab->closed))
			ret = -ESHUTDOWN;
		else if (slice ? !!(*slice = get(slab)) : all_back(slab))
			done = true;
		if (done || ret)
			break;
		ret = -pthread_cond_timedwait(&slab->put, &slab->lock, &end);
	}
	atomic_fetch_sub(&slab->waiters, 1);
	pthread_mutex_unlock(&slab->lock);
	/* Also where the time was up when it came */
	return done ? 0 : ret;
}

int io_uring_ext_slab_get_wait(struct io_uring_ext_slab *slab, void **slice, __u64 timeout_ns)
{
	if (slice)
		*slice = NULL;
	if (!slab || !slice)
		return -EINVAL;
	*slice = try_get(slab);
	return *slice ? 0 : wait_for(slab, slice, timeout_ns);
}

int io_uring_ext_slab_drain(struct io_uring_ext_slab *slab, __u64 timeout_ns)
{
	if (!slab)
		return -EINVAL;
	atomic_store(&slab->closed, true);
	wake_waiters(slab);
	return wait_for(slab, NULL, timeout_ns);
}

int io_uring_ext_slab_put(struct io_uring_ext_slab *slab, void *ptr)
{
	unsigned char used = USED;
	unsigned i;

	i = slab ? slice_at(slab, (uintptr_t)ptr) : NONE;
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
	wake_waiters(slab);
	return 0;
}

/* ---- the cache of a thread ---- */

int io_uring_ext_slab_cache_create(struct io_uring_ext_slab_cache **cache,
				   struct io_uring_ext_slab *slab, unsigned slices)
{
	struct io_uring_ext_slab_cache *c;

	if (cache)
		*cache = NULL;
	if (!cache || !slab || slices > IO_URING_EXT_SLAB_CACHE_MAX)
		return -EINVAL;
	if (!slices)
		slices = 32;
	c = malloc(sizeof(*c) + slices * sizeof(c->slices[0]));
	if (!c)
		return -ENOMEM;
	c->slab = slab;
	c->nr = 0;
	c->max = slices;
	urext_slab_hold(slab);
	*cache = c;
	return 0;
}

static void give_back(struct io_uring_ext_slab_cache *c, unsigned keep)
{
	while (c->nr > keep)
		io_uring_ext_slab_put(c->slab, c->slices[--c->nr]);
}

void io_uring_ext_slab_cache_destroy(struct io_uring_ext_slab_cache *cache)
{
	if (!cache)
		return;
	give_back(cache, 0);
	urext_slab_release(cache->slab);
	free(cache);
}

void *io_uring_ext_slab_cache_get(struct io_uring_ext_slab_cache *cache)
{
	void *p;

	if (!cache)
		return NULL;
	/* With DEBUG each is looked at by itself */
	if (cache->nr && !atomic_load_explicit(&cache->slab->closed, memory_order_relaxed))
		return cache->slices[--cache->nr];
	if (cache->slab->state)
		return io_uring_ext_slab_get(cache->slab);
	give_back(cache, atomic_load(&cache->slab->closed) ? 0 : cache->nr);
	while (cache->nr < (cache->max + 1) / 2) {
		p = io_uring_ext_slab_get(cache->slab);
		if (!p)
			break;
		cache->slices[cache->nr++] = p;
	}
	return cache->nr ? cache->slices[--cache->nr] : NULL;
}

int io_uring_ext_slab_cache_put(struct io_uring_ext_slab_cache *cache, void *ptr)
{
	struct io_uring_ext_slab *slab;

	if (!cache)
		return -EINVAL;
	slab = cache->slab;
	/* Not kept from those that wait, nor from who drains */
	if (slab->state || atomic_load_explicit(&slab->closed, memory_order_relaxed) ||
	    atomic_load_explicit(&slab->waiters, memory_order_relaxed))
		return io_uring_ext_slab_put(slab, ptr);
	ptr = urext_slab_slice(slab, ptr);
	if (!ptr)
		return -EINVAL;
	if (cache->nr == cache->max)
		give_back(cache, cache->max / 2);
	cache->slices[cache->nr++] = ptr;
	return 0;
}

int io_uring_ext_slab_stats(const struct io_uring_ext_slab *slab,
			    struct io_uring_ext_slab_stats *stats)
{
	__u64 puts;

	if (stats)
		memset(stats, 0, sizeof(*stats));
	if (!slab || !stats)
		return -EINVAL;
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
