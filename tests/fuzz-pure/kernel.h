/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the fuzzed files of the kernel need of it, for a program: every header that they include is
 * this one. Types and macros mean what they mean in the kernel. Page frames are made up, and small
 * PFNs have a struct page that folios can be made of (world.h). What must not happen ends the
 * program.
 */
#ifndef FUZZ_PURE_KERNEL_H
#define FUZZ_PURE_KERNEL_H

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

/* --- types and macros ------------------------------------------------------------------ */

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int32_t s32;
typedef int64_t s64;
typedef u64 phys_addr_t;
typedef unsigned int gfp_t;
typedef unsigned long pgoff_t;

#define __user
#define __counted_by(member)
#define noinline		__attribute__((noinline))
#undef __always_inline
#define __always_inline		inline __attribute__((always_inline))
#define likely(x)		__builtin_expect(!!(x), 1)
#define unlikely(x)		__builtin_expect(!!(x), 0)
#define IS_ENABLED(option)	FUZZ_IS_##option
#define FUZZ_IS_CONFIG_KUNIT	0
#define FUZZ_IS_CONFIG_MMU	1
#define FUZZ_IS_CONFIG_PIN_RUNS_KUNIT_TEST	0
#define EXPORT_SYMBOL_GPL(name)	struct fuzz_semicolon
#define __uninitialized
#define BUILD_BUG_ON(condition)	_Static_assert(!(condition), #condition)

void fuzz_fail(const char *file, int line, const char *what) __attribute__((noreturn));
/* Holds, or a bug was found. */
#define must(condition) \
	((condition) ? (void)0 : fuzz_fail(__FILE__, __LINE__, #condition))
#define WARN_ON_ONCE(condition) \
	({ if (condition) fuzz_fail(__FILE__, __LINE__, "WARN_ON_ONCE: " #condition); false; })

#define ARRAY_SIZE(a)		(sizeof(a) / sizeof((a)[0]))
#define BIT_ULL(n)		(1ULL << (n))
#define SZ_2G			0x80000000U
#define SZ_1T			0x10000000000ULL
#define U16_MAX			UINT16_MAX
#define U32_MAX			UINT32_MAX
#define ALIGN(x, a)		(((x) + (a) - 1) & ~((__typeof__(x))(a) - 1))
#define ALIGN_DOWN(x, a)	((x) & ~((__typeof__(x))(a) - 1))
#define DIV_ROUND_UP(n, d)	(((n) + (d) - 1) / (d))
#define min(a, b) \
	({ __typeof__(a) a_ = (a); __typeof__(b) b_ = (b); a_ < b_ ? a_ : b_; })
#define max(a, b) \
	({ __typeof__(a) a_ = (a); __typeof__(b) b_ = (b); a_ > b_ ? a_ : b_; })
#define min_t(type, a, b)	min((type)(a), (type)(b))
#define min3(a, b, c)		min(min(a, b), c)
#define container_of(ptr, type, member) \
	((type *)((char *)(ptr) - offsetof(type, member)))
#define check_add_overflow(a, b, d)	__builtin_add_overflow(a, b, d)
#define check_mul_overflow(a, b, d)	__builtin_mul_overflow(a, b, d)
#define check_shl_overflow(a, s, d) \
	({ *(d) = (a) << (s); *(d) >> (s) != (a); })
#define array_index_nospec(index, size)	((index) < (size) ? (index) : 0)
#define __ffs(x)		((unsigned int)__builtin_ctzl(x))
#define __ffs64(x)		((unsigned int)__builtin_ctzll(x))
#define rounddown_pow_of_two(x)	(1UL << (63 - __builtin_clzl(x)))

#define PAGE_SHIFT		12
#define PAGE_SIZE		(1UL << PAGE_SHIFT)
#define PAGE_MASK		(~(PAGE_SIZE - 1))
#define PFN_DOWN(x)		((x) >> PAGE_SHIFT)
#define PFN_UP(x)		(((x) + PAGE_SIZE - 1) >> PAGE_SHIFT)
#define PFN_PHYS(x)		((phys_addr_t)(x) << PAGE_SHIFT)
#define PHYS_PFN(x)		((unsigned long)((x) >> PAGE_SHIFT))
#define MAX_FOLIO_ORDER		18
#define MAX_FOLIO_NR_PAGES	(1UL << MAX_FOLIO_ORDER)
#define TASK_SIZE_MAX		((1UL << 47) - PAGE_SIZE)
#define MAX_RW_COUNT		(INT_MAX & PAGE_MASK)
#define BITS_PER_LONG		64
#define PAGE_ALIGNED(p)		(!offset_in_page(p))
#define offset_in_page(p)	((unsigned long)(p) & ~PAGE_MASK)
#define untagged_addr(addr)	(addr)

#define ERR_PTR(error)		((void *)(long)(error))
#define PTR_ERR(ptr)		((long)(ptr))
#define IS_ERR(ptr)		((unsigned long)(ptr) >= (unsigned long)-4095)

/* --- lists, references, locks: there is one thread -------------------------------------- */

struct list_head {
	struct list_head *next, *prev;
};

#define LIST_HEAD_INIT(name)	{ &(name), &(name) }
#define list_for_each_entry_safe(pos, n, head, member)				\
	for (pos = container_of((head)->next, __typeof__(*pos), member),	\
	     n = container_of(pos->member.next, __typeof__(*pos), member);	\
	     &pos->member != (head);						\
	     pos = n, n = container_of(n->member.next, __typeof__(*n), member))

static inline bool list_empty(const struct list_head *head)
{
	return head->next == head;
}

static inline void list_add_tail(struct list_head *entry, struct list_head *head)
{
	entry->prev = head->prev;
	entry->next = head;
	head->prev->next = entry;
	head->prev = entry;
}

typedef struct {
	int refs;
} refcount_t;

static inline void refcount_set(refcount_t *r, int n)
{
	r->refs = n;
}

static inline bool refcount_inc_not_zero(refcount_t *r)
{
	return r->refs && r->refs++;
}

static inline void refcount_inc(refcount_t *r)
{
	must(r->refs > 0);
	r->refs++;
}

static inline bool refcount_dec_and_test(refcount_t *r)
{
	must(r->refs > 0);
	return !--r->refs;
}

struct mutex {
	bool locked;
};

#define __must_hold(lock)
static inline void mutex_init(struct mutex *m)
{
	m->locked = false;
}

static inline void mutex_lock(struct mutex *m)
{
	must(!m->locked);
	m->locked = true;
}

static inline void mutex_unlock(struct mutex *m)
{
	must(m->locked);
	m->locked = false;
}

extern bool fuzz_spinning;
typedef struct mutex spinlock_t;
#define spin_lock_init(lock)	mutex_init(lock)
#define spin_lock(lock)		(mutex_lock(lock), (void)(fuzz_spinning = true))
#define spin_unlock(lock)	((void)(fuzz_spinning = false), mutex_unlock(lock))
#define lockdep_assert_held(lock)	must((lock)->locked)

struct callback_head {
	struct callback_head *next;
	void (*func)(struct callback_head *head);
};

#define rcu_head		callback_head
#define guard(type)		fuzz_guard_##type
#define fuzz_guard_rcu()	do { } while (0)
#define kfree_rcu(ptr, member)	fuzz_free(ptr)

struct llist_node {
	struct llist_node *next;
};

#define cond_resched()		do { } while (0)
#define might_lock_read(lock)	do { } while (0)

/* --- memory: any allocation may fail, and all are counted ------------------------------- */

#define GFP_KERNEL		0u
#define GFP_KERNEL_ACCOUNT	1u
#define GFP_NOWAIT		4u
#define __GFP_ACCOUNT		1u
#define __GFP_NOWARN		2u

void *fuzz_alloc(size_t bytes);
void fuzz_free(const void *addr);
/* Those that there are, and which one from now on fails; 0: none does */
extern unsigned long fuzz_allocated, fuzz_fail_alloc;

/* What a task must not have when it sleeps is looked at by who knows it. */
extern void (*fuzz_sleeps)(void);

static inline void fuzz_may_sleep(void)
{
	must(!fuzz_spinning);
	if (fuzz_sleeps)
		fuzz_sleeps();
}

static inline void *fuzz_alloc_gfp(size_t bytes, gfp_t gfp)
{
	if (!(gfp & GFP_NOWAIT))
		fuzz_may_sleep();
	return fuzz_alloc(bytes);
}

#define kmalloc(bytes, gfp)	fuzz_alloc_gfp(bytes, gfp)
#define kvmalloc(bytes, gfp)	fuzz_alloc_gfp(bytes, gfp)
#define __vmalloc(bytes, gfp)	fuzz_alloc_gfp(bytes, gfp)
#define kvmalloc_flex(obj, member, nr, gfp)					\
	fuzz_alloc_gfp(sizeof(obj) + (nr) * sizeof((obj).member[0]), gfp)
#define kzalloc_obj(obj, gfp)							\
	({									\
		void *zeroed_ = fuzz_alloc_gfp(sizeof(obj), gfp);		\
		zeroed_ ? memset(zeroed_, 0, sizeof(obj)) : NULL;		\
	})
#define kfree(addr)		fuzz_free(addr)
#define kvfree(addr)		fuzz_free(addr)

struct xarray {
	struct xa_entry {
		unsigned long index;
		void *ptr;
	} *entries;
	unsigned int nr;
};

static inline void xa_init(struct xarray *xa)
{
	memset(xa, 0, sizeof(*xa));
}

/* Only whether there is one at all */
#define XA_PRESENT	8
static inline void *xa_find(struct xarray *xa, unsigned long *index, unsigned long max, int filter)
{
	(void)index;
	(void)max;
	(void)filter;
	return xa->nr ? xa->entries[0].ptr : NULL;
}

static inline void xa_destroy(struct xarray *xa)
{
	xa->nr = 0;
}

void *xa_load(struct xarray *xa, unsigned long index);
int xa_insert(struct xarray *xa, unsigned long index, void *ptr, gfp_t gfp);
void *xa_erase(struct xarray *xa, unsigned long index);

/* --- pages ------------------------------------------------------------------------------ */

/* A head page is the folio. */
struct page {
	struct page *head;
	unsigned int order;
	/* references; a pin has many */
	int refs;
	int _pincount;
	unsigned long private;
	struct list_head lru;
};

struct folio {
	struct page page;
	int _pincount;
};

extern struct page fuzz_pages[];

/* Any PFN has a page, though not one that can be looked into. */
#define pfn_to_page(pfn) \
	((struct page *)((uintptr_t)fuzz_pages + (uintptr_t)(pfn) * sizeof(struct page)))
#define page_to_pfn(p) \
	((unsigned long)(((uintptr_t)(p) - (uintptr_t)fuzz_pages) / sizeof(struct page)))

#define PageTail(p)		((p)->head != (p))
#define PageCompound(p)	((p)->head->order > 0)
#define page_folio(p)	((struct folio *)(p)->head)
#define pfn_folio(pfn)		page_folio(pfn_to_page(pfn))
#define folio_pfn(f)	page_to_pfn(f)
#define folio_order(f)	(((const struct page *)(f))->order)
#define folio_nr_pages(f)	(1UL << folio_order(f))
#define folio_test_large(f)	(folio_order(f) > 0)
#define folio_test_dirty(f)	true
#define folio_mark_dirty(f)	do { } while (0)
#define folio_lock(f)	do { } while (0)
#define folio_unlock(f)	do { } while (0)
#define folio_has_pincount(f)	false
#define folio_ref_count(f)	(((const struct page *)(f))->refs)
typedef int atomic_t;
#define atomic_sub(n, v)	(*(v) -= (n))
#define atomic_inc(v)		(++*(v))
#define atomic_dec_and_test(v)	(!--*(v))
#define atomic_read(v)		(*(v))
#define atomic_read_acquire(v)	(*(v))
#define set_page_private(p, value)	((p)->private = (value))
#define page_private(p)		((p)->private)

/* The page of zeroes takes no pin. */
#define FUZZ_ZERO_PFN		1UL
#define is_zero_pfn(pfn)	((pfn) == FUZZ_ZERO_PFN)
#define is_zero_folio(folio)	is_zero_pfn(folio_pfn(folio))

#define GUP_PIN_COUNTING_BIAS	1024
void folio_put_refs(struct folio *folio, int refs);
void unpin_user_folio(struct folio *folio, unsigned long pins);
int try_grab_folio(struct folio *folio, int pins, unsigned int flags);

enum node_stat_item {
	NR_FOLL_PIN_ACQUIRED,
	NR_FOLL_PIN_RELEASED,
	FUZZ_NR_STATS,
};

#define GUP_PIN_SLOTS		1

struct gup_pin_stat {
	enum node_stat_item item;
	struct {
		int id;
		long nr;
	} zone;
};

/* There is one zone, and what asks for others is compiled only. */
#define pageblock_order		9
#define BIT(nr)			(1UL << (nr))

static inline bool gup_pin_stat_back(struct gup_pin_stat *stat, int zone_id)
{
	return stat->zone.id == zone_id;
}

extern long fuzz_stats[FUZZ_NR_STATS];

static inline void gup_pin_stat_init(struct gup_pin_stat *stat, enum node_stat_item item)
{
	*stat = (struct gup_pin_stat){ .item = item };
}

static inline void gup_pin_stat_add(struct gup_pin_stat *stat, const struct folio *folio, long nr)
{
	(void)folio;
	stat->zone.nr += nr;
}

static inline void gup_pin_stat_flush(struct gup_pin_stat *stat)
{
	fuzz_stats[stat->item] += stat->zone.nr;
	stat->zone.nr = 0;
}

#define FOLL_WRITE		1u
#define FOLL_LONGTERM		2u
#define FOLL_FORCE		4u
#define FOLL_NOFAULT		8u
#define FOLL_PCI_P2PDMA		16u
#define FOLL_HONOR_NUMA_FAULT	32u
#define FOLL_PIN		64u
#define FOLL_FAST_ONLY		128u
#define FOLL_INTERRUPTIBLE	256u

/* Tasks that are left to return to user space do not exist: see task_work_add(). */
#define PF_KTHREAD		1u
#define PF_IO_WORKER		2u
struct mm_struct {
	unsigned long pinned_vm;
};

struct task_struct {
	unsigned int flags;
	struct mm_struct *mm;
};

extern struct task_struct fuzz_task;
#define current			(&fuzz_task)
#define mmap_read_lock_killable(mm)	((void)(mm), false)
#define mmap_read_unlock(mm)	((void)(mm))
long faultin_page_range(struct mm_struct *mm, unsigned long start, unsigned long end,
			unsigned int gup_flags, int *locked);
bool fatal_signal_pending(void *task);
#define gup_signal_pending(gup_flags)	((void)(gup_flags), fatal_signal_pending(current))

/* One that covers a part of memory, and may be the one that is asked for */
struct vm_area_struct {
	unsigned long vm_end;
	unsigned long vm_flags;
	bool cow;
};

struct vm_area_struct *lock_vma_under_rcu(void *mm, unsigned long addr);
void vma_end_read(struct vm_area_struct *vma);
#define vma_is_cow_mapping(vma)	((vma)->cow)
#define VM_READ			1ul
#define VM_IO			2ul
#define VM_PFNMAP		4ul

unsigned long __get_free_page(gfp_t gfp);
void free_page(unsigned long addr);
/* Of what __get_free_page() returned */
struct page *virt_to_page(void *addr);
void *page_address(struct page *page);

/* --- vectors ---------------------------------------------------------------------------- */

struct bio_vec {
	struct page *bv_page;
	unsigned int bv_len;
	unsigned int bv_offset;
#ifdef FUZZ_WIDE_BVEC
	u64 unused;
#endif
};

struct phys_vec {
	phys_addr_t paddr;
	size_t len;
};

#define bvec_folio(bvec)	page_folio((bvec)->bv_page)

static inline void bvec_set_page(struct bio_vec *bv, struct page *page, unsigned int len,
				 unsigned int offset)
{
	bv->bv_page = page;
	bv->bv_len = len;
	bv->bv_offset = offset;
}

enum { ITER_BVEC };

struct iov_iter {
	int iter_type;
	int data_source;
	const struct bio_vec *bvec;
	unsigned long nr_segs;
	size_t count;
	size_t iov_offset;
};

#endif
