/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * What the parts of the library share.  Names begin with urext_, so that the
 * static library collides with nobody's.
 */
#ifndef URING_EXT_LIB_H
#define URING_EXT_LIB_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <liburing.h>

#include "liburing-ext-sys.h"

#define SZ_2M		(2UL << 20)
#define SZ_1G		(1UL << 30)

/*
 * The kernel's cap on the bytes of one read or write (INT_MAX & PAGE_MASK), for pages
 * of up to 64 KiB.
 */
#define URING_EXT_MAX_RW	0x7fff0000U

static inline bool is_pow2(size_t n)
{
	return n && !(n & (n - 1));
}

static inline size_t round_up(size_t n, size_t align)
{
	return (n + align - 1) & ~(align - 1);
}

static inline size_t min_sz(size_t a, size_t b)
{
	return a < b ? a : b;
}

static inline size_t base_page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

/* error.c */

/* Both allow @err to be NULL. */
void urext_ok(struct io_uring_ext_error *err);
__attribute__((format(printf, 5, 6)))
int urext_fail(struct io_uring_ext_error *err, int ret,
	       enum io_uring_ext_stage stage, unsigned entry, const char *fmt, ...);
/* What an errno of io_uring_register(2) means for buffers. */
const char *urext_reason(int ret);
/* 12884901888 as "12 GiB"; @buf holds 32 bytes. */
const char *urext_size(char *buf, __u64 bytes);
/* As urext_fail(), for io_uring_setup(2): what it may be, and what helps. */
int urext_no_ring(struct io_uring_ext_error *err, int ret, enum io_uring_ext_stage stage,
		  const char *what);
__u64 urext_now_ns(void);
/* The end of a wait that begins now; IO_URING_EXT_UNLIMITED is far away. */
void urext_deadline(struct timespec *ts, __u64 timeout_ns);
bool urext_all_zero(const void *p, size_t len);

/* register.c */

/*
 * A ring as io_uring_register(2) takes it: an fd, or the index of a registered ring
 * where the fd was closed (io_uring_close_ring_fd(), IORING_SETUP_REGISTERED_FD_ONLY).
 */
struct urext_target {
	int fd;
	bool registered;
};

struct urext_target urext_target_ring(const struct io_uring *ring);
struct urext_target urext_target_fd(int fd);

/* The one place from which the library enters io_uring_register(2). */
int urext_register(struct urext_target t, unsigned op, const void *arg, unsigned nr);
/* A ring without mappings, to hold buffers or to try things on: an fd. */
int urext_bare_ring(void);
/* An empty table of @nr entries; -EBUSY: there is a table. */
int urext_table(struct urext_target t, unsigned nr);
int urext_clone(struct urext_target dst, struct urext_target src, unsigned src_off,
		unsigned dst_off, unsigned nr);

/* What buffers are, where that takes a descriptor. */
struct urext_kind {
	__u32 flags;
	int memfd;			/* -1: memory of the process */
	__u64 file_pos;			/* of the byte at address 0, modulo 2^64 */
};

struct urext_desc;
void urext_make_descs(struct urext_desc *descs, const struct iovec *iovecs, unsigned nr,
		      const struct urext_kind *kind);
/* As far as the kernel comes: how many entries, at least one, or the errno of the first. */
int urext_update_some(struct urext_target t, unsigned off, const void *data, const __u64 *tags,
		      unsigned nr, bool descs);
/* @ret, and says so. */
int urext_update_failed(struct io_uring_ext_error *err, int ret, unsigned off, unsigned done,
			unsigned nr);
/*
 * @kind: for kernels that have it, or NULL: memory to be read and written.
 * *@undo: what urext_note_undo() is to be told.
 */
int urext_update(struct urext_target t, const struct io_uring_ext_update *up,
		 const struct urext_kind *kind, int *undo, struct io_uring_ext_error *err);
#define URING_EXT_NO_UNDO	1	/* nothing was put back */
/* Say in @err how putting back went: 0 or -errno. */
void urext_note_undo(struct io_uring_ext_error *err, int undo);
/* Empty @nr entries from @off on. */
int urext_clear(struct urext_target t, unsigned off, unsigned nr);

/* query.c */

/* What urext_query_ring() finds out for one ring, and not for all. */
#define URING_EXT_CAPS_OF_RING \
	(IO_URING_EXT_CAP_UPDATE | IO_URING_EXT_CAP_TAGS | IO_URING_EXT_CAP_CLONE | \
	 IO_URING_EXT_CAP_CLONE_RANGE | IO_URING_EXT_CAP_SEND_ZC | \
	 IO_URING_EXT_CAP_VEC_FIXED | IO_URING_EXT_CAP_QUERY)

void urext_query_ring(struct urext_target t, struct io_uring_ext_caps *caps);
/* As io_uring_ext_query() without a ring, on one that the caller may keep: its fd. */
int urext_query_bare(struct io_uring_ext_caps *caps);

/* regbuf_uapi.c: what kernels with buffers kept as runs tell and offer */

int urext_uapi_query(struct io_uring_ext_caps *caps);
int urext_uapi_layout(struct urext_target t, unsigned index,
		      struct io_uring_ext_layout *layout);
bool urext_uapi_may_layout(struct urext_target t);
/* What is to be done with entries 0 to @nr - 1 of the table of @ring: 0, or nothing is. */
int urext_uapi_request(struct io_uring *ring, const struct iovec *iovecs, unsigned nr,
		       const struct urext_kind *kind);
/* The same is not to be done any more. */
int urext_uapi_cancel(struct io_uring *ring);

/* memlock.c */

/* Why registering @len bytes got @ret, with the remedy if there is one. */
#define URING_EXT_REASON_TEXT	(IO_URING_EXT_ERROR_TEXT - 96)
void urext_explain(int ret, size_t len, size_t page_size, char *buf, size_t size);

/* sysinfo.c: small files of the kernel */

/* Read a file into @buf as a string: length or -errno. */
int urext_read_file(const char *path, char *buf, size_t size);
int urext_read_u64(const char *path, __u64 *val);
/* "always [madvise] never" gives "madvise"; "" where there is no such file. */
void urext_thp_setting(const char *name, char *buf, size_t size);
size_t urext_thp_pmd_size(void);

/* What the control group may have; IO_URING_EXT_UNLIMITED if nothing is said. */
__u64 urext_cgroup_limit(char *path, size_t size);
/* Can be told what the kernel's settings for memory are? */
bool urext_has_sysfs(void);

/* One mapping of a process, from smaps. */
struct urext_vma {
	uintptr_t start;
	uintptr_t end;
	size_t page_size;
	size_t present;			/* bytes, hugetlb too */
	size_t pmd_bytes;		/* mapped by huge page table entries */
};

/* Calls @fn for each mapping that overlaps; its result, if not 0, ends it. */
int urext_for_each_vma(pid_t pid, uintptr_t start, uintptr_t end,
		       int (*fn)(const struct urext_vma *vma, void *arg), void *arg);

/* memfd.c: files in memory */

/* The size of the pages of @fd, or -EINVAL: it is none of these files. */
int urext_memfd_page_size(int fd, size_t *page_size);
/* 0 for a range that can be a buffer. */
int urext_memfd_check(int fd, __u64 offset, __u64 len, bool readonly,
		      struct io_uring_ext_error *err);
/* An fd of one's own for it. */
int urext_memfd_open(int fd, __u64 offset, __u64 len, bool readonly,
		     struct io_uring_ext_error *err);

/* arena.c */

/* As a region of a pool. */
void urext_arena_region(const struct io_uring_ext_arena *arena,
			struct io_uring_ext_region *region);

/* layout.c */

/* Bytes at @base in runs of at least @size, as far as can be told. */
size_t urext_bytes_in_runs(const void *base, size_t len, size_t size);

/* split.c: a region cut into slots */

struct urext_split {
	uintptr_t base;
	uintptr_t end;			/* open */
	uintptr_t origin;		/* boundaries are origin + k << shift */
	unsigned shift;
	size_t nr;			/* slots; more than 32 bits can count */
};

void urext_split(struct urext_split *s, uintptr_t base, size_t len, size_t page_size,
		 size_t max);
/* The slot of @addr, counted from the region's first. */
static inline size_t urext_split_slot(const struct urext_split *s, uintptr_t addr)
{
	return s->nr == 1 ? 0 : (addr - s->origin) >> s->shift;
}

static inline uintptr_t urext_split_start(const struct urext_split *s, size_t slot)
{
	return slot ? s->origin + ((uintptr_t)slot << s->shift) : s->base;
}

static inline uintptr_t urext_split_end(const struct urext_split *s, size_t slot)
{
	return slot + 1 == s->nr ? s->end : urext_split_start(s, slot + 1);
}

/* The slots as iovecs, to be freed by the caller; NULL: no memory. */
struct iovec *urext_split_iovecs(const struct urext_split *s);

/* pool.c */

enum urext_state {
	URING_EXT_ADDING,		/* being pinned: of nobody's concern yet */
	URING_EXT_ACTIVE,
	URING_EXT_REMOVING,		/* the anchor's slots are being emptied */
	URING_EXT_LEAVING,
};

/*
 * All under the pool's lock, but for what does not change while a ring holds the region:
 * id, split, page_size, tag, flags, memfd, file_pos, first, placed.
 */
struct urext_region {
	int id;
	struct urext_split split;
	size_t page_size;
	__u64 tag;
	__u32 flags;
	int memfd;			/* to register it by, or -1 */
	__u64 file_pos;			/* of the byte at address 0 in it */
	unsigned first;			/* slot, counted from slot_base */
	bool placed;			/* has slots; else memory of the pool only */

	enum urext_state state;
	bool idle;			/* removed by who knows of no request in it */
	bool anchored;			/* the anchor holds it */
	int add_err;			/* why the anchor never held it */
	int err;			/* why it is not registered */
	__u64 changed;			/* the pool's gen when it was added or removed */
	struct urext_region *prev, *next;	/* in that order */

	/* What keeps it from being gone: see flight.c */
	unsigned late;			/* rings that have not synced since it was removed */
	unsigned rings;			/* that hold it, plain or fixed */
	unsigned signals;		/* CQEs to come */
	unsigned orphans;		/* rings that were detached with requests in it */

	unsigned fixed_rings;		/* of the rings those that registered or cloned */
	struct io_uring_ext_slab *slabs;
	struct urext_growth *growth;	/* being added, and nobody waits for that */
	__u64 register_ns;
};

/* What calls of io_uring_register(2) did; added up in the pool. */
struct urext_tally {
	__u64 registers;
	__u64 clones;
	__u64 register_ns;
	__u64 clone_ns;
	__u64 failures;
};

struct urext_addr {
	uintptr_t base;
	struct urext_region *region;
};

/*
 * The lock is held for bookkeeping only, never over a system call: who waits for it
 * waits for nobody's memory to be pinned.
 */
struct io_uring_ext_pool {
	pthread_mutex_t lock;
	pthread_cond_t gone;		/* a region is, or a slab's slice came back */
	_Atomic __u64 gen;		/* of regions; written under the lock */
	__u32 flags;
	unsigned nr_slots;
	size_t max_buffer;
	struct io_uring_ext_caps caps;
	int anchor;			/* fd, or -1: rings register themselves */
	int anchor_err;			/* why it is -1, where clones were wanted */
	_Atomic int spare;		/* a ring to pin in, or -1 */

	struct urext_region **regions;	/* by id, NULL where free */
	unsigned nr_regions;
	unsigned free_id;		/* none is free below */
	struct urext_region *oldest, *newest;	/* by the last change */
	struct urext_addr *by_addr;	/* those that are not leaving */
	unsigned nr_addrs;
	unsigned nr_tags;		/* regions with a tag */
	unsigned char *slot_used;
	unsigned free_slot;		/* none is free below */
	unsigned used_slots;
	struct urext_region *dead;	/* what urext_pool_unlock() has to free */
	unsigned nr_active;		/* regions */
	unsigned nr_growing;		/* regions with a growth */
	unsigned nr_rings;
	unsigned nr_slabs;
	__u64 bytes;
	__u64 anchored_bytes;
	struct urext_tally tally;

	/* Outside of the other lock; held while rings are woken. */
	pthread_mutex_t rings_lock;
	struct io_uring_ext_ring *rings;
};

static inline bool urext_pool_forgives(const struct io_uring_ext_pool *pool)
{
	return pool->flags & (IO_URING_EXT_POOL_OPTIONAL | IO_URING_EXT_POOL_PLAIN);
}

/* Give the lock back, and then what became free under it, which takes system calls. */
void urext_pool_unlock(struct io_uring_ext_pool *pool);

/* Without the lock: the steps of adding a region. */
int urext_region_new(struct urext_region **region, struct io_uring_ext_pool *pool,
		     const struct io_uring_ext_region *p, struct io_uring_ext_error *err);
/* An id, and slots; @region is freed if it fails. */
int urext_region_place(struct io_uring_ext_pool *pool, struct urext_region *region,
		       struct io_uring_ext_error *err);
/* Does adding it pin anything?  With a tag, or without clones, the rings do. */
bool urext_region_pins(const struct io_uring_ext_pool *pool,
		       const struct urext_region *region);
/* Whatever can be done now. */
int urext_region_try(struct io_uring_ext_pool *pool, struct urext_region *region,
		     struct urext_tally *tally, struct io_uring_ext_error *err);
/* It is the pool's, or with an error that is not forgiven freed: its id, or @ret. */
int urext_region_added(struct io_uring_ext_pool *pool, struct urext_region *region, int ret,
		       const struct urext_tally *tally);
void urext_region_dropped(struct io_uring_ext_pool *pool, struct urext_region *region);
/* One that the pool does not have. */
void urext_region_delete(struct urext_region *region);

/* These three are called with the lock held. */
struct urext_region *urext_region_get(struct io_uring_ext_pool *pool, int id);
/* Frees the region if nothing keeps it: true, and @region is gone. */
bool urext_region_try_free(struct io_uring_ext_pool *pool, struct urext_region *region);
void urext_pool_count(struct io_uring_ext_pool *pool, const struct urext_tally *t);

/* pin.c, without the lock */

/* In the anchor, where the region has its slots. */
int urext_region_pin(struct io_uring_ext_pool *pool, struct urext_region *region,
		     struct urext_tally *tally, struct io_uring_ext_error *err);
/* The descriptors that its slots take, or NULL. */
struct io_uring_sqe;
/* All of the sqe; with the descriptors, which the kernel copies when it is submitted. */
void urext_prep_update(struct io_uring_sqe *sqe, unsigned off, const struct urext_desc *descs,
		       const __u64 *tags, unsigned nr);
const struct urext_kind *urext_region_kind(const struct urext_region *region,
					   struct urext_kind *kind);
/*
 * Register the slots of @region in table @t from entry @off on.  *@done: slots that are
 * there already, and how many were when it failed.
 */
int urext_region_register(const struct urext_region *region, struct urext_target t,
			  unsigned off, unsigned *done, struct urext_tally *tally,
			  struct io_uring_ext_error *err);
/* A clone for the anchor, of what was registered in table @t from entry 0 on. */
int urext_region_to_anchor(struct io_uring_ext_pool *pool, const struct urext_region *region,
			   struct urext_target t, struct urext_tally *tally,
			   struct io_uring_ext_error *err);

/* ---- rings ---- */

/* A region as a ring sees it. */
struct urext_seg {
	struct urext_split split;
	struct urext_region *region;
	unsigned index;			/* table entry of its first slot */
	bool fixed;			/* requests may name the slots */
	bool in_table;			/* the slots are to be emptied */
	bool source_only;
	bool tagged;			/* the kernel tells when fixed requests are complete */
	bool used;			/* there were such */
	bool unfixed;			/* in the ring's list of those to be tried again */

	/* Requests in it: see flight.c */
	__u64 ticket;
	unsigned requests;
	bool leaving;			/* requests are not prepared any more */
	bool overflow;			/* waits for those that were not noted */
	unsigned loose;
	__u64 left;
	struct urext_seg *next;		/* in the list of unfixed or leaving ones */
};

/* What the search for an address goes through, apart from the rest to be short. */
struct urext_key {
	uintptr_t base;
	struct urext_seg *seg;
};

/* Signals of one tag that this ring posts. */
struct urext_wait {
	__u64 tag;
	int id;
	unsigned stray;			/* of registrations that were undone */
	unsigned count;			/* of a region that the ring let go of */
	bool used;			/* there were fixed requests in that region */
};

/* A request that lies in no region, or in several. */
struct urext_loose {
	uintptr_t start;		/* 0: not in use */
	uintptr_t end;
	__u64 when;
	unsigned next_free;
	unsigned gen;
};

#define URING_EXT_MAX_LOOSE	256

struct io_uring_ext_ring {
	struct io_uring_ext_pool *pool;
	struct urext_target target;	/* an fd of its own, or a registered index */
	unsigned slot_base;
	__u64 joined;			/* gen of the pool when it was attached */
	__u64 gen;
	bool has_table;
	bool retry;			/* slots of a removed region could not be emptied */
	struct io_uring_ext_caps caps;	/* found out when they are asked for */
	bool has_caps;

	struct urext_key *keys;		/* by address */
	unsigned nr_keys;
	unsigned max_keys;
	unsigned last;			/* key of the last hit */
	struct urext_seg **seg_of;	/* by id of the region */
	unsigned max_segs;
	struct urext_seg *unfixed;	/* to be tried again */
	struct urext_seg *leaving;

	struct urext_wait *waits;	/* by tag */
	unsigned nr_waits;

	__u64 ticket;			/* of the request prepared last */
	__u64 when;			/* counts loose requests */
	unsigned seg_gen;
	unsigned overflow;		/* loose requests for which there was no room */
	unsigned overflow_gen;		/* of their tickets, which are all alike */
	unsigned nr_loose;
	unsigned free_loose;
	struct urext_loose loose[URING_EXT_MAX_LOOSE];

	int wake_fd;			/* an eventfd, or -1 */
	bool wake_msg;
	__u64 wake_data;
	struct io_uring_ext_ring *next, **link;	/* in the pool's list */

	struct urext_tally tally;	/* not yet in the pool's */
	struct io_uring_ext_ring_stats stats;
};

/* slab.c */

/* Are slices handed out, or is it held? */
bool urext_slab_busy(const struct io_uring_ext_slab *slab);
/* Not to be destroyed. */
void urext_slab_hold(struct io_uring_ext_slab *slab);
void urext_slab_release(struct io_uring_ext_slab *slab);
/* Where the slice begins that @ptr lies in, or NULL. */
void *urext_slab_slice(const struct io_uring_ext_slab *slab, const void *ptr);

/* view.c */

/* The segment that holds all of the range, or NULL. */
struct urext_seg *urext_ring_find(struct io_uring_ext_ring *r, uintptr_t addr, size_t len);
/* Room for @nr more: adding them does not fail. */
int urext_view_room(struct io_uring_ext_ring *r, unsigned nr);
void urext_view_add(struct io_uring_ext_ring *r, struct urext_seg *seg);
void urext_view_del(struct io_uring_ext_ring *r, const struct urext_seg *seg);
void urext_view_add_unfixed(struct io_uring_ext_ring *r, struct urext_seg *seg);
void urext_view_del_unfixed(struct io_uring_ext_ring *r, struct urext_seg *seg);
struct urext_wait *urext_wait_find(const struct io_uring_ext_ring *r, __u64 tag);
/* The entry for a region's tag, made before the kernel is asked for anything. */
struct urext_wait *urext_wait_get(struct io_uring_ext_ring *r, const struct urext_region *reg);
void urext_wait_put(struct io_uring_ext_ring *r, struct urext_wait *w);

/* flight.c */
void urext_flight_init(struct io_uring_ext_ring *r);
__u64 urext_flight_ticket(struct io_uring_ext_ring *r, int id);
void urext_flight_loose(struct io_uring_ext_ring *r, uintptr_t start, uintptr_t end);
/* Are there requests in the range that are in no segment's count? */
bool urext_flight_any_loose(const struct io_uring_ext_ring *r, uintptr_t start,
			    uintptr_t end);
/* From now on no request is prepared in @seg. */
void urext_flight_leave(struct io_uring_ext_ring *r, struct urext_seg *seg);
bool urext_flight_over(const struct urext_seg *seg);
/* Let go of those that are over; how many regions are gone by it. */
int urext_flight_reap(struct io_uring_ext_ring *r);

static inline void urext_flight_seg(struct io_uring_ext_ring *r, struct urext_seg *seg,
				    bool fixed)
{
	if (fixed && seg->tagged) {
		seg->used = true;
		r->ticket = 0;
		return;
	}
	seg->requests++;
	r->ticket = seg->ticket;
}

/* ring.c */
void urext_ring_wake(const struct io_uring_ext_ring *r);

/* sync.c */
int urext_sync(struct io_uring_ext_ring *r, struct io_uring_ext_error *err);
int urext_need_table(struct io_uring_ext_ring *r, struct io_uring_ext_error *err);
/* Let go of everything; without touching the ring's table if @forget. */
int urext_leave_pool(struct io_uring_ext_ring *r, bool forget);

#endif
