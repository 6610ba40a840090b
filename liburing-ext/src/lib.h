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
#include <unistd.h>

#include "liburing-ext.h"

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
__u64 urext_now_ns(void);
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
/*
 * @rsrc_flags: the kernel's, of which only those with read-only buffers have any.
 * *@undo: what urext_note_undo() is to be told.
 */
int urext_update(struct urext_target t, const struct io_uring_ext_update *up,
		 __u32 rsrc_flags, int *undo, struct io_uring_ext_error *err);
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

/* regbuf_uapi.c: what kernels with buffers kept as runs tell and offer */

int urext_uapi_query(struct io_uring_ext_caps *caps);
int urext_uapi_layout(struct urext_target t, unsigned index,
		      struct io_uring_ext_layout *layout);
bool urext_uapi_may_layout(struct urext_target t);
int urext_uapi_update_readonly(struct urext_target t, const struct io_uring_ext_update *up,
			       int *undo, struct io_uring_ext_error *err);

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

/* arena.c */

/* 0 without an arena. */
size_t urext_arena_page_size(const struct io_uring_ext_arena *arena);

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
uintptr_t urext_split_start(const struct urext_split *s, size_t slot);
uintptr_t urext_split_end(const struct urext_split *s, size_t slot);
/* The slots as iovecs, to be freed by the caller; NULL: no memory. */
struct iovec *urext_split_iovecs(const struct urext_split *s);

/* pool.c, ring.c */

struct urext_region {
	int id;
	struct urext_split split;
	size_t page_size;
	__u64 tag;
	__u32 flags;
	unsigned first;			/* slot, counted from slot_base */
	bool placed;			/* has slots; else memory of the pool only */
	bool anchored;			/* the anchor holds it */
	bool leaving;
	int err;			/* why the anchor does not hold it */
	unsigned rings;			/* that hold it, plain or fixed */
	unsigned fixed_rings;		/* of them those that registered or cloned */
	unsigned signals;		/* CQEs to come */
	__u64 register_ns;
};

struct io_uring_ext_pool {
	pthread_mutex_t lock;		/* all below but gen, caps, flags, sizes */
	_Atomic __u64 gen;		/* of regions; written under the lock */
	__u32 flags;
	unsigned nr_slots;
	size_t max_buffer;
	struct io_uring_ext_caps caps;
	int anchor;			/* fd, or -1: rings register themselves */
	int anchor_err;			/* why it is -1, where clones were wanted */

	struct urext_region **regions;	/* by id, NULL where free */
	unsigned nr_regions;
	unsigned char *slot_used;
	unsigned nr_rings;

	__u64 registers;
	__u64 clones;
	__u64 register_ns;
	__u64 clone_ns;
	__u64 failures;
};

static inline bool urext_pool_forgives(const struct io_uring_ext_pool *pool)
{
	return pool->flags & (IO_URING_EXT_POOL_OPTIONAL | IO_URING_EXT_POOL_PLAIN);
}

/* Locked.  Frees the region if nobody has it: true, and @region is gone. */
bool urext_region_try_free(struct io_uring_ext_pool *pool, struct urext_region *region);
/* Locked.  Register the slots of @region in table @t from entry @off on. */
int urext_region_register(struct io_uring_ext_pool *pool, struct urext_region *region,
			  struct urext_target t, unsigned off, unsigned *done,
			  struct io_uring_ext_error *err);

/* A region as a ring sees it. */
struct urext_seg {
	struct urext_split split;
	unsigned index;			/* table entry of its first slot */
	int id;
	bool fixed;
	bool source_only;
};

/* Signals of one tag that this ring posts. */
struct urext_wait {
	__u64 tag;
	int id;
	unsigned stray;			/* of registrations that were undone */
	unsigned count;			/* of a region that the ring let go of */
};

struct io_uring_ext_ring {
	struct io_uring_ext_pool *pool;
	const struct io_uring *ring;	/* the caller's; its fd may be closed meanwhile */
	unsigned slot_base;
	__u64 gen;
	bool has_table;
	struct io_uring_ext_caps caps;

	struct urext_seg *segs;		/* by address */
	unsigned nr_segs;
	unsigned last;			/* segment of the last hit */

	struct urext_wait *waits;
	unsigned nr_waits;

	struct io_uring_ext_ring_stats stats;
};

/* The segment that holds all of the range, or NULL. */
const struct urext_seg *urext_ring_find(struct io_uring_ext_ring *r, uintptr_t addr,
					size_t len);

#endif
