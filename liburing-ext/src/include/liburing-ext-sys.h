/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * liburing-ext: registered buffers of any size, for any number of rings.
 *
 * All of the library's interface, without liburing's headers and without inline
 * functions, for other languages to bind; three files that it includes have the families
 * that stand by themselves.  C and C++ programs include liburing-ext.h.
 *
 * Concepts
 *
 *  arena   Memory made for I/O: one range of addresses, backed by the largest
 *          pages that could be had (1 GiB, 2 MiB, transparent huge pages, base
 *          pages, in that order) or by exactly the kind asked for.  It says
 *          what it got, and why not more.
 *
 *  region  A range of addresses that is to be registered: an arena, or any
 *          memory the caller owns.  Known to the pool by a small number, its id.
 *
 *  slot    An entry in a ring's table of registered buffers.  A kernel limits
 *          the bytes in one slot (1 GiB for long, later 1 TiB and more), so a
 *          region takes one slot, or several next to each other.  Where a
 *          region has to be split, it is split on boundaries of its huge pages.
 *
 *  pool    A set of regions and the slots that they take.  The pool registers
 *          a region once, in a small ring of its own (the anchor); the rings
 *          that use the pool are given clones, which pin and charge nothing.
 *          On kernels without clones of ranges (before 6.13) each ring
 *          registers the regions for itself, with the same result.
 *
 *  ring    A caller's ring as the pool sees it (struct io_uring_ext_ring): a
 *          struct io_uring of liburing, or any other by its fd.  Regions come and
 *          go in the pool; each ring takes the change over when its thread calls
 *          io_uring_ext_ring_sync().
 *
 *  fixed, plain   A request is fixed when it names a slot (READ_FIXED), plain
 *          when it names memory only (READ).  The prep functions choose fixed
 *          where the memory lies inside one slot of this ring, else plain, and
 *          say which.  Both give the same data.
 *
 *  straddle  A range that begins in one slot and ends in another straddles.
 *          It can only be plain, unless the caller splits it.
 *
 *  ticket  A number for a request that was prepared, to be handed back when the
 *          request is complete.  See "When memory may be freed".
 *
 *  slab    Equal slices of a region that never straddle, handed out and taken
 *          back without a lock.  Several slabs side by side are size classes.
 *
 *  run     A physically contiguous range inside one folio: what the kernel
 *          holds one reference on.  Fewer and larger runs are cheaper.
 *
 * When memory may be freed
 *
 *  A region that was removed is gone, and its memory may be freed or given to others,
 *  when no request that the library prepared can be in it: be it fixed or plain, in a
 *  region with or without a tag, in several regions, in a region that the ring did not
 *  know yet, or prepared before the memory was added to the pool.
 *
 *  - Each ring that was attached when it was removed has to sync once, or to be
 *    detached.  A ring that sleeps can be woken to do so: IO_URING_EXT_RING_WAKE_MSG,
 *    IO_URING_EXT_RING_WAKE_EVENTFD.
 *  - Each request in it has to be complete.  Of fixed requests in regions with a tag
 *    the kernel tells, by signals.  Of others the caller tells: each request prepared
 *    has a ticket, io_uring_ext_ring_ticket(), which is handed back with
 *    io_uring_ext_ring_done().  Or he says at once that all of a ring's are complete,
 *    io_uring_ext_ring_idle(), or that none is in the region,
 *    IO_URING_EXT_REMOVE_IDLE.  Who never removes a region needs none of this.
 *  - Requests that callers prepare without the library are theirs to know of.
 *
 *  io_uring_ext_pool_region_info() gives -ENOENT then, io_uring_ext_pool_wait_gone()
 *  returns, and the call that was the last one needed says so.
 *
 *  Order of teardown: complete the requests, destroy the buffer rings, detach the rings,
 *  exit them, destroy the slabs and classes, destroy the pool, free the arenas.
 *
 * Rules for threads
 *
 *  - An arena, a pool and a slab may be used from any thread.
 *  - A struct io_uring_ext_ring belongs to one thread at a time, as its ring does.
 *  - Preparing requests takes no lock.  Sync, signal and done take the pool's for some
 *    bookkeeping; it is never held over a system call, so that nobody waits for the
 *    memory of another to be pinned.
 *  - Creating and freeing an object must not overlap other use of it.
 *
 * fork()
 *
 *  Arenas are not in the child (madvise(2), MADV_DONTFORK), so that a fork() neither
 *  copies pinned memory nor fails for want of it: IO_URING_EXT_ARENA_FORK keeps them.
 *  Other memory of the caller is copied where it is pinned.  A child must not use the
 *  pools, rings and slabs of its parent: it makes its own.
 *
 * Errors
 *
 *  Functions that return int return 0 or more on success and -errno on failure,
 *  and never touch errno on purpose.  The library prints nothing, installs no
 *  handlers, keeps no global state and never aborts.  A function that takes a
 *  struct io_uring_ext_error always writes it (all zero on success); NULL is
 *  allowed.  What a function is to fill in is NULL, or all zero, if it fails.  Structs
 *  to be filled by the caller start as all zero: zero is the default for each field,
 *  and reserved fields must be zero (-EINVAL).  NULL for an object is -EINVAL, or
 *  nothing happens; requests prepared with no ring are plain.
 *
 * Sizes are bytes unless the name says otherwise.  "Kernel needed" is stated
 * where it is more than 5.13, the oldest kernel that the library works on.
 */
#ifndef LIBURING_EXT_SYS_H
#define LIBURING_EXT_SYS_H

#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <linux/types.h>

struct io_uring;
struct io_uring_sqe;

#ifdef __cplusplus
extern "C" {
#endif

#define IO_URING_EXT_VERSION_MAJOR	0
#define IO_URING_EXT_VERSION_MINOR	3

/* Is the header that one at least? */
#define IO_URING_EXT_CHECK_VERSION(major, minor) \
	((major) < IO_URING_EXT_VERSION_MAJOR || \
	 ((major) == IO_URING_EXT_VERSION_MAJOR && (minor) <= IO_URING_EXT_VERSION_MINOR))

/* The version of the library that is loaded, which may be newer. */
int io_uring_ext_major_version(void);
int io_uring_ext_minor_version(void);

/* ---- errors ------------------------------------------------------------- */

/* The step that failed. */
enum io_uring_ext_stage {
	IO_URING_EXT_STAGE_NONE = 0,
	IO_URING_EXT_STAGE_ARGS,	/* an argument makes no sense */
	IO_URING_EXT_STAGE_QUERY,	/* finding out what the kernel allows */
	IO_URING_EXT_STAGE_MEMORY,	/* getting address space or pages */
	IO_URING_EXT_STAGE_NUMA,	/* binding memory to a node */
	IO_URING_EXT_STAGE_PREFAULT,	/* populating the pages */
	IO_URING_EXT_STAGE_ANCHOR,	/* setting up the pool's own ring */
	IO_URING_EXT_STAGE_TABLE,	/* making the ring's buffer table */
	IO_URING_EXT_STAGE_SLOTS,	/* finding free slots for a region */
	IO_URING_EXT_STAGE_REGISTER,	/* pinning and registering memory */
	IO_URING_EXT_STAGE_CLONE,	/* cloning from the anchor */
	IO_URING_EXT_STAGE_UPDATE,	/* changing entries of a table */
	IO_URING_EXT_STAGE_UNDO,	/* putting old entries back after that */
};

#define IO_URING_EXT_ERROR_TEXT	512

struct io_uring_ext_error {
	int err;			/* -errno, or 0 */
	enum io_uring_ext_stage stage;
	/* The table entry, region piece or page number it stopped at */
	__u32 entry;
	/* How many entries were complete when it stopped */
	__u32 done;
	__u64 resv[2];
	/* One sentence for people, with the remedy if there is one */
	char text[IO_URING_EXT_ERROR_TEXT];
};

/* A word for a stage, never NULL. */
const char *io_uring_ext_stage_name(enum io_uring_ext_stage stage);

/* ---- query: what this kernel allows --------------------------------------- */

/* io_uring_ext_caps.flags */
#define IO_URING_EXT_CAP_UPDATE		(1U << 0)  /* entries can be changed */
#define IO_URING_EXT_CAP_TAGS		(1U << 1)  /* entries carry tags */
#define IO_URING_EXT_CAP_SPARSE		(1U << 2)  /* table made empty (5.19) */
#define IO_URING_EXT_CAP_CLONE		(1U << 3)  /* whole tables (6.12) */
#define IO_URING_EXT_CAP_CLONE_RANGE	(1U << 4)  /* ranges of them (6.13) */
#define IO_URING_EXT_CAP_SEND_ZC	(1U << 5)  /* SEND_ZC (6.0) */
#define IO_URING_EXT_CAP_VEC_FIXED	(1U << 6)  /* READV_FIXED (6.15) */
#define IO_URING_EXT_CAP_QUERY		(1U << 7)  /* IORING_REGISTER_QUERY */
#define IO_URING_EXT_CAP_RUNS		(1U << 8)  /* buffers kept as runs */
#define IO_URING_EXT_CAP_READONLY	(1U << 9)  /* read-only buffers */
#define IO_URING_EXT_CAP_LAYOUT		(1U << 10) /* tells a buffer's layout */
#define IO_URING_EXT_CAP_MSG		(1U << 11) /* messages without a ring (6.13) */
#define IO_URING_EXT_CAP_MEMFD		(1U << 12) /* buffers that are a range of a memfd */
#define IO_URING_EXT_CAP_REQUEST	(1U << 13) /* buffers registered by a request */

/* How a limit is known. */
enum io_uring_ext_source {
	IO_URING_EXT_ASSUMED = 0,	/* could not be found out: a safe value */
	IO_URING_EXT_TRIAL,		/* found by trying, nothing was pinned */
	IO_URING_EXT_KERNEL,		/* the kernel told it */
};

struct io_uring_ext_caps {
	__u32 flags;			/* IO_URING_EXT_CAP_* */
	__u32 max_buffers;		/* slots in one table */
	__u64 max_buffer;		/* bytes in one slot */
	enum io_uring_ext_source max_buffers_source;
	enum io_uring_ext_source max_buffer_source;
	__u64 resv[4];
};

/*
 * Find out what can be done on @ring; with NULL, on a ring as this process could
 * make one now.  Restrictions of @ring (IORING_REGISTER_RESTRICTIONS) count: what
 * they forbid is not offered.  Nothing is pinned and @ring's table does not
 * change, but it takes some tens of system calls: call once and keep the answer.
 * Pools and rings keep theirs: io_uring_ext_pool_caps(), io_uring_ext_ring_caps().
 *
 * -EINVAL  @caps is NULL.
 * -ENOSYS, -EPERM, -ENOMEM, -EMFILE ...  from io_uring_setup(2): @ring is NULL
 *          and no ring can be made.  With a ring the call does not fail: limits
 *          that cannot be found out are IO_URING_EXT_ASSUMED.
 */
int io_uring_ext_query(struct io_uring *ring, struct io_uring_ext_caps *caps);

#define IO_URING_EXT_UNLIMITED		(~(__u64)0)

#include "liburing-ext-memory.h"	/* memlock, arenas */

/* ---- pool ----------------------------------------------------------------- */

struct io_uring_ext_pool;
struct io_uring_ext_ring;

/* io_uring_ext_pool_params.flags */
/*
 * Registration is wanted, not needed: where it fails the call succeeds, err says
 * why, and requests on that memory are plain.
 */
#define IO_URING_EXT_POOL_OPTIONAL	(1U << 0)
/* Let each ring register for itself, also where clones could be had. */
#define IO_URING_EXT_POOL_NO_CLONE	(1U << 1)
/* Never register: for comparisons.  Implies OPTIONAL. */
#define IO_URING_EXT_POOL_PLAIN		(1U << 2)

struct io_uring_ext_pool_params {
	__u32 flags;			/* IO_URING_EXT_POOL_* */
	/*
	 * Slots that the pool may use.  A ring attached at slot_base B has the
	 * pool in its entries B ... B + nr_slots - 1.  0: 4096, or what the
	 * kernel allows if that is less.
	 */
	__u32 nr_slots;
	/* Largest slot in bytes; 0, or more than the kernel's: the kernel's.
	   Rounded down to a power of two where a region must be split. */
	size_t max_buffer;
	__u64 resv[4];
};

/*
 * Make an empty pool.  Needs no ring of the caller.
 *
 * -EINVAL  unknown flags, nr_slots above the kernel's, max_buffer below a page.
 * -ENOMEM  no memory.
 * Others   from io_uring_setup(2), io_uring_register(2), not with OPTIONAL.
 */
int io_uring_ext_pool_create(struct io_uring_ext_pool **pool,
			     const struct io_uring_ext_pool_params *p,
			     struct io_uring_ext_error *err);

/*
 * Free the pool and unpin its regions (not: free their memory).
 * -EBUSY  rings are still attached, slabs are there, or regions are being added; nothing
 *         happened.
 */
int io_uring_ext_pool_destroy(struct io_uring_ext_pool *pool);

/* io_uring_ext_region.flags */
/*
 * Source only (WRITE_FIXED, SEND_ZC): memory may be read-only.  Reads into it are
 * prepared plain.  Needs IO_URING_EXT_CAP_READONLY; without it the region is plain, if
 * the pool is OPTIONAL, or else refused: it is never registered to be written to.
 */
#define IO_URING_EXT_REGION_READONLY	(1U << 0)
/*
 * The memory is @memfd from @offset on, and @base is where the caller has that mapped
 * (MAP_SHARED).  With IO_URING_EXT_CAP_MEMFD it is registered by the file: what is not
 * there is allocated, but nothing is faulted in and there are no page tables for it.
 * Without, by the mapping.  The requests are the same.
 */
#define IO_URING_EXT_REGION_MEMFD	(1U << 1)

struct io_uring_ext_region {
	void *base;			/* any alignment */
	size_t len;
	/* Size of the pages behind it, for splitting; 0: 2 MiB. */
	size_t page_size;
	/*
	 * 0: rings are given clones, and the caller tells when requests are complete.
	 *
	 * Not 0: of fixed requests the kernel is to tell.  Its signal is a CQE with
	 * this user_data, and clones cannot have it, so each ring registers the
	 * region itself, and pins and charges it once per ring.  See
	 * io_uring_ext_ring_signal().  Unique among the pool's regions, those that
	 * are not gone yet included, and among the user_data of the caller's requests.
	 */
	__u64 tag;
	__u32 flags;			/* IO_URING_EXT_REGION_* */
	__s32 memfd;			/* with MEMFD, else 0: of tmpfs or hugetlbfs; may be
					   closed when the call is back */
	__u64 offset;			/* with MEMFD, else 0: bytes */
	__u64 resv[1];
};

/*
 * Add a region.  The memory stays the caller's and must stay mapped until the
 * region is gone.  Without a tag it is pinned now, and errors come from here; with
 * a tag each ring pins it in io_uring_ext_ring_sync(), and errors come from there.
 * Rings see it after their next sync; until then requests on it are plain.  Nobody
 * else waits while memory is pinned, but who adds a region that overlaps fails already.
 *
 * Returns the region's id, 0 or more.
 * -EINVAL  no range, page_size no power of two, unknown flags, range wraps.
 * -EEXIST  overlaps a region of the pool, or the tag is taken.
 * -ENOSPC  not enough free slots next to each other.
 * -ENOMEM  RLIMIT_MEMLOCK (err->text says how much and what to do) or no memory; or the
 *          pool has 65536 regions.
 * -EFAULT  memory that is not mapped, not writable, or cannot be pinned.
 * -EOPNOTSUPP  READONLY, and this kernel has no read-only buffers; or memory of a kind that
 *          cannot be pinned for long.
 * Others   from io_uring_setup(2), io_uring_register(2).
 * MEMFD, with any kernel:
 * -EBADF   not an open file.
 * -EINVAL  not one of tmpfs or hugetlbfs, not all of it inside the file, or @base and
 *          @offset are not as far into a page.
 * -EACCES  not open for reading, or for writing (READONLY: that is not needed).
 * -EPERM   sealed against writing (READONLY: that is no matter).
 * With OPTIONAL only -EINVAL, -EEXIST, the four of MEMFD and out of memory for
 * bookkeeping remain; err->err holds what was forgiven.
 */
int io_uring_ext_pool_add(struct io_uring_ext_pool *pool,
			  const struct io_uring_ext_region *region,
			  struct io_uring_ext_error *err);

/* The same for a whole arena, with its page size; by its memfd where that is as well. */
int io_uring_ext_pool_add_arena(struct io_uring_ext_pool *pool,
				const struct io_uring_ext_arena *arena,
				__u64 tag, struct io_uring_ext_error *err);

/*
 * Add a region without waiting for its memory to be pinned: with IO_URING_EXT_CAP_REQUEST
 * the kernel does that on its own (IORING_OP_BUFFERS_UPDATE).  Without, it is done at
 * once, and the rest is the same.  A region with a tag, or in a pool without clones, is
 * pinned by the rings' syncs in any case.
 *
 * When it is time for io_uring_ext_pool_add_finish(), 1 is written to @eventfd (-1: none),
 * which may be closed when the call is back.  Until that has returned the region is of
 * nobody's concern, but its memory is taken, as its tag.
 *
 * The thread should live as long as that takes: if it ends the kernel stops, and
 * io_uring_ext_pool_add_finish() does the rest.
 *
 * Returns the region's id, 0 or more.
 * -EINVAL, -EEXIST, -ENOSPC, -EOPNOTSUPP, those of MEMFD  as io_uring_ext_pool_add();
 *          unknown flags (there are none yet).
 * -ENOMEM  no memory for bookkeeping.
 * Others   from write(2) to @eventfd.
 */
int io_uring_ext_pool_add_start(struct io_uring_ext_pool *pool,
				const struct io_uring_ext_region *region, int eventfd,
				__u32 flags, struct io_uring_ext_error *err);

/*
 * Wait until region @id is pinned, @timeout_ns nanoseconds at most, and have the pool take
 * it over.  Any thread, one at a time.
 *
 * 0           rings see it from now on.
 * -ETIMEDOUT  it is not pinned yet: call again.
 * -ENOENT     no region of this id was started and is not finished.
 * Others      as io_uring_ext_pool_add(): the id is free again.  With OPTIONAL 0, and
 *             err->err holds what was forgiven.
 */
int io_uring_ext_pool_add_finish(struct io_uring_ext_pool *pool, int id, __u64 timeout_ns,
				 struct io_uring_ext_error *err);

/*
 * The other end: nothing stays pinned, and the id is free.  -ENOENT: as above.  Others: from
 * emptying what was registered already, and nothing happened.
 */
int io_uring_ext_pool_add_cancel(struct io_uring_ext_pool *pool, int id);

/* Flags of io_uring_ext_pool_remove_flags() */
/* The caller knows that no request is in it, and prepares none from now on. */
#define IO_URING_EXT_REMOVE_IDLE	(1U << 0)

/*
 * Begin to remove a region.  The anchor lets go at once; each ring lets go in its next
 * io_uring_ext_ring_sync() or detach, and may use it until then.  When it is gone:
 * see the top.  Its memory may be added again before that, with another tag.
 *
 * A fixed request needs its entry until the kernel has begun it.  What was prepared is to be
 * submitted before that sync, and what is not begun when it is submitted (IOSQE_IO_LINK,
 * IOSQE_IO_DRAIN, IOSQE_ASYNC) to be complete; otherwise it may fail with -EFAULT.
 *
 * Returns the number of rings that have to sync, or were detached with requests in it;
 * 0: it is gone.
 * -ENOENT   no such region.
 * -EALREADY it is being removed.
 * -EBUSY    slabs are cut from it: destroy them first.
 * -EINVAL   unknown flags.
 * Others    from emptying the anchor's slots, with OPTIONAL too: nothing happened.
 */
int io_uring_ext_pool_remove_flags(struct io_uring_ext_pool *pool, int id, __u32 flags);
/* The same without flags. */
int io_uring_ext_pool_remove(struct io_uring_ext_pool *pool, int id);

/*
 * Wait until a removed region is gone, @timeout_ns nanoseconds at most
 * (IO_URING_EXT_UNLIMITED: as long as it takes).  A thread that has rings of the pool must
 * not wait for itself.
 *
 * 0           it is gone, or there never was such a region.
 * -EBUSY      it was not removed.
 * -ETIMEDOUT  it is not gone yet.
 */
int io_uring_ext_pool_wait_gone(struct io_uring_ext_pool *pool, int id, __u64 timeout_ns);

/* io_uring_ext_region_info.state */
enum io_uring_ext_region_state {
	IO_URING_EXT_REGION_ACTIVE = 0,
	IO_URING_EXT_REGION_LEAVING,	/* removed, not gone yet */
};

struct io_uring_ext_region_info {
	void *base;
	size_t len;
	__u64 tag;
	enum io_uring_ext_region_state state;
	__u32 registered;		/* 1: held by the anchor or, with a tag or
					   without clones, by a ring */
	__u32 first_slot;		/* counted from a ring's slot_base */
	__u32 nr_slots;
	size_t slot_size;		/* of all but the first and last slot */
	__u32 rings;			/* that hold it, or have requests in it */
	__u32 signals;			/* CQEs that are still to come */
	int err;			/* why it is not registered, or 0 */
	__u32 late;			/* rings that have not synced since its removal */
	__u64 register_ns;		/* time that pinning took, 0 with a tag; of one that
					   was started: until it was finished */
	__u32 orphans;			/* rings that were detached with requests in it:
					   it will never be gone */
	__u32 resv32;
	__u64 resv[1];
};

/* -ENOENT: no such region, or it is gone and its memory may be freed. */
int io_uring_ext_pool_region_info(struct io_uring_ext_pool *pool, int id,
				  struct io_uring_ext_region_info *info);

/*
 * Which region holds all of @len bytes at @ptr?  Its id, or -ENOENT.  *@slot (may
 * be NULL) is the slot of @ptr counted from slot_base; *@straddles (may be NULL) is
 * 1 if the range crosses into another slot.  Takes the pool's lock; rings have
 * io_uring_ext_ring_index() for the path of an I/O.
 */
int io_uring_ext_pool_lookup(struct io_uring_ext_pool *pool, const void *ptr,
			     size_t len, unsigned *slot, int *straddles);

struct io_uring_ext_pool_stats {
	__u64 bytes;			/* in all regions */
	__u64 registered_bytes;		/* of them registered with the anchor */
	__u32 regions;			/* that were not removed */
	__u32 slots;			/* in use */
	__u32 rings;			/* attached */
	__u32 cloning;			/* 1: rings are given clones */
	__u64 registers;		/* slots registered by pool and rings */
	__u64 clones;			/* slots cloned into rings */
	__u64 register_ns;		/* time in register calls */
	__u64 clone_ns;			/* time in clone calls */
	__u64 failures;			/* register or clone calls that failed */
	__u64 resv[4];
};

int io_uring_ext_pool_stats(struct io_uring_ext_pool *pool,
			    struct io_uring_ext_pool_stats *stats);

/* What the kernel allows, as found when the pool was made.  Lives as the pool. */
const struct io_uring_ext_caps *
io_uring_ext_pool_caps(const struct io_uring_ext_pool *pool);

/* ---- rings of a pool ------------------------------------------------------ */

/* io_uring_ext_ring_params.flags */
/* The fd is the index of a registered ring (IORING_REGISTER_RING_FDS) of this thread. */
#define IO_URING_EXT_RING_REGISTERED	(1U << 0)
/* When a region is removed, a CQE with @wake_data and a result of 0 is posted on the
   ring: it is to sync.  Needs IO_URING_EXT_CAP_MSG; not with REGISTERED. */
#define IO_URING_EXT_RING_WAKE_MSG	(1U << 1)
/* When a region is removed, 1 is written to @wake_fd, an eventfd of the caller's, which is
   open until detach. */
#define IO_URING_EXT_RING_WAKE_EVENTFD	(1U << 2)

struct io_uring_ext_ring_params {
	__u32 slot_base;		/* first table entry that is the pool's */
	__u32 flags;			/* IO_URING_EXT_RING_* */
	__u64 wake_data;
	__s32 wake_fd;
	__u32 resv32;
	__u64 resv[4];
};

/*
 * Attach a ring: give it the pool's regions in its table entries @slot_base and up,
 * which the caller leaves to the pool.  If it has no table, one is made now, also for an
 * empty pool, but not with PLAIN.  It has all entries below @slot_base and those that the
 * pool needs, becomes longer as needed, and stays after detach.  Entries outside the
 * pool's range are not touched.  The same ring may not be attached twice in overlapping
 * ranges (not checked).  Call it in the thread that submits to the ring (a ring with
 * IORING_SETUP_SINGLE_ISSUER demands it); a ring with IORING_SETUP_R_DISABLED may be
 * attached before it is enabled.
 *
 * The library keeps an fd of its own for the ring: the caller's may be closed at once,
 * and is never looked at again; but the ring is not gone before it is detached.  With
 * REGISTERED there is none: detach the ring before its index is given up.
 *
 * Costs two system calls or three where all slots of the pool's regions are next to each
 * other, and one more for each gap.
 *
 * -EINVAL  slot_base + nr_slots is beyond the kernel's table size, or parameters that
 *          make no sense.
 * -EBADF   no such fd.
 * -EOPNOTSUPP  the fd is no ring; WAKE_MSG, and the kernel has no such messages.
 * -ENOSPC  the ring has a table that is too small, and no clones to extend it.
 * -EEXIST  SINGLE_ISSUER, and this is not the thread.
 * -EACCES  the ring's restrictions forbid it.
 * -ENOMEM  RLIMIT_MEMLOCK or no memory.
 * Others   from fcntl(2), io_uring_register(2).
 * With OPTIONAL only -EINVAL, -EBADF, -EOPNOTSUPP of WAKE_MSG, those of fcntl(2) and out
 * of memory for bookkeeping remain; err->err holds what was forgiven.
 */
int io_uring_ext_ring_attach_fd(struct io_uring_ext_ring **r,
				struct io_uring_ext_pool *pool, int fd,
				const struct io_uring_ext_ring_params *p,
				struct io_uring_ext_error *err);

/* The same for a ring of liburing: by its fd, or, if that was closed, by its index. */
int io_uring_ext_ring_attach(struct io_uring_ext_ring **r,
			     struct io_uring_ext_pool *pool,
			     struct io_uring *ring, unsigned slot_base,
			     struct io_uring_ext_error *err);

/*
 * Empty the ring's entries and leave the pool.  NULL is fine.  Complete all requests
 * first, and call io_uring_ext_ring_idle(); or hand in all tickets and signals.  A region
 * with a tag that is in the pool has no signals yet: if it was used it takes the call.  A
 * region with requests of which nothing is known then will never be gone.  A CQE with a
 * region's tag may still arrive and can be ignored.
 *
 * 0, or the error of emptying the entries; @r is gone in any case.
 */
int io_uring_ext_ring_detach(struct io_uring_ext_ring *r);

/*
 * The same without touching the ring: for one that was exited, and was attached by its
 * registered index.  Entries that it may still have stay as they are.
 */
void io_uring_ext_ring_forget(struct io_uring_ext_ring *r);

/* 1 if the pool has changed since the ring's last sync.  One atomic load. */
int io_uring_ext_ring_stale(const struct io_uring_ext_ring *r);

/*
 * Take over regions that were added and let go of those that were removed.  Cheap
 * when nothing changed, and else costs by what changed.  Submit first what was prepared:
 * see io_uring_ext_pool_remove_flags().
 *
 * Returns the number of removed regions that are gone by this call.
 * Errors as io_uring_ext_ring_attach(): the first one met.  A region that could
 * not be taken over is plain on this ring, and is tried again by the next sync after
 * the pool changed; the others are taken over nevertheless.
 * Entries of removed regions that cannot be emptied are an error with OPTIONAL too:
 * the memory is still pinned.  The next sync tries again.
 * -ENOMEM for want of memory for bookkeeping: nothing happened, the ring is still stale.
 */
int io_uring_ext_ring_sync(struct io_uring_ext_ring *r,
			   struct io_uring_ext_error *err);

/*
 * Hand over a CQE's user_data that may be a region's tag.  After a region with a
 * tag was let go of, the ring posts one CQE per slot, each once the last request
 * on that slot is complete.
 *
 * 1        the region is gone, its memory may be freed.
 * 0        a region's signal, and not the last thing that it waits for.
 * -ENOENT  not a signal that this ring waits for.
 */
int io_uring_ext_ring_signal(struct io_uring_ext_ring *r, __u64 tag);

/*
 * The ticket of the request that was prepared last on this ring; 0: none is needed.
 * Hand it in when the request is complete: with the CQE that has no IORING_CQE_F_MORE, or
 * when it is not going to be submitted.
 */
__u64 io_uring_ext_ring_ticket(const struct io_uring_ext_ring *r);

/*
 * The request with this ticket is complete.
 *
 * Returns the number of regions that are gone by this call; 0 for a ticket of 0.
 * -ENOENT  no request of this ring has that ticket, or not any more.
 */
int io_uring_ext_ring_done(struct io_uring_ext_ring *r, __u64 ticket);

/*
 * All requests that were prepared on this ring are complete: their tickets and signals
 * are not needed any more.  Returns the number of regions that are gone by this call.
 */
int io_uring_ext_ring_idle(struct io_uring_ext_ring *r);

/*
 * The table entry for @len bytes at @ptr on this ring: 0 or more.
 * -ERANGE  the range straddles: *@fit (may be NULL) is the bytes from @ptr that
 *          lie in one slot.
 * -ENOENT  not all in one region, or not registered on this ring.
 */
int io_uring_ext_ring_index(struct io_uring_ext_ring *r, const void *ptr,
			    size_t len, size_t *fit);

struct io_uring_ext_ring_stats {
	__u64 fixed;			/* requests prepared fixed */
	__u64 plain;			/* prepared plain: the sum of the next four */
	__u64 plain_unregistered;	/* in a region, not registered here */
	__u64 plain_outside;		/* in no region that this ring knows */
	__u64 plain_straddle;		/* crosses slots, or iovecs in several */
	__u64 plain_unable;		/* the kernel, the length or the region forbids it */
	__u32 regions;			/* held */
	__u32 slots;			/* held */
	__u64 syncs;			/* that found something to do */
	__u32 leaving;			/* removed regions that wait for requests of this
					   ring, or for its entries to be emptied */
	__u32 resv32;
	__u64 resv[3];
};

int io_uring_ext_ring_stats(const struct io_uring_ext_ring *r,
			    struct io_uring_ext_ring_stats *stats);

/* What can be done on this ring; found out by the first call.  Lives as @r. */
const struct io_uring_ext_caps *io_uring_ext_ring_caps(struct io_uring_ext_ring *r);

/*
 * Prepare a request, fixed if it can be, else plain.  As with the io_uring_prep_*()
 * functions of liburing the sqe's flags and user_data are the caller's to set
 * afterwards; all of the sqe but user_data is written.  Offsets and lengths are
 * bytes.
 *
 * 1: fixed, 0: plain.  They do not fail; a wrong fd or address shows in the CQE.
 * io_uring_ext_ring_ticket() then gives the ticket of the request.
 *
 * Reads into a region that is a source only are plain.
 * readv and writev are fixed where all vectors lie in one slot (6.15).  send_zc
 * needs 6.0 in either form.  @zc_flags are IORING_SEND_ZC_* and IORING_RECVSEND_*.
 */
int io_uring_ext_prep_read(struct io_uring_ext_ring *r, struct io_uring_sqe *sqe,
			   int fd, void *buf, unsigned nbytes, __u64 offset);
int io_uring_ext_prep_write(struct io_uring_ext_ring *r, struct io_uring_sqe *sqe,
			    int fd, const void *buf, unsigned nbytes, __u64 offset);
int io_uring_ext_prep_readv(struct io_uring_ext_ring *r, struct io_uring_sqe *sqe,
			    int fd, const struct iovec *iovecs, unsigned nr_vecs,
			    __u64 offset, int rw_flags);
int io_uring_ext_prep_writev(struct io_uring_ext_ring *r, struct io_uring_sqe *sqe,
			     int fd, const struct iovec *iovecs, unsigned nr_vecs,
			     __u64 offset, int rw_flags);
int io_uring_ext_prep_send_zc(struct io_uring_ext_ring *r, struct io_uring_sqe *sqe,
			      int sockfd, const void *buf, unsigned len, int msg_flags,
			      unsigned zc_flags);

/*
 * The same where the caller knows the region, by the id that io_uring_ext_pool_add() or
 * io_uring_ext_pool_lookup() gave: quicker, since nothing is searched for.  A wrong id does
 * no harm: the result is the same as without.
 */
int io_uring_ext_prep_read_region(struct io_uring_ext_ring *r, struct io_uring_sqe *sqe,
				  int id, int fd, void *buf, unsigned nbytes, __u64 offset);
int io_uring_ext_prep_write_region(struct io_uring_ext_ring *r, struct io_uring_sqe *sqe,
				   int id, int fd, const void *buf, unsigned nbytes,
				   __u64 offset);

#include "liburing-ext-slab.h"	/* slices, size classes, provided buffers */
#include "liburing-ext-layout.h"	/* O_DIRECT, layouts, updates of tables */

#ifdef __cplusplus
}
#endif

#endif
