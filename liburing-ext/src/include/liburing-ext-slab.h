/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/* Slices of registered memory: part of liburing-ext-sys.h, which includes it. */
#ifndef LIBURING_EXT_SLAB_H
#define LIBURING_EXT_SLAB_H

#ifndef LIBURING_EXT_SYS_H
#error "include liburing-ext-sys.h, or liburing-ext.h"
#endif

/* ---- slab: slices that never straddle ------------------------------------- */

struct io_uring_ext_slab;

/* Flags of io_uring_ext_slab_create() */
/*
 * Catch double put and use after put: free slices are filled with a pattern, which
 * get checks.  Costs a write and a read of every slice; a slice that was written
 * while free is counted in stats.damaged and not handed out again.  Not for a region
 * with IO_URING_EXT_REGION_READONLY: there is nothing that could be written.
 */
#define IO_URING_EXT_SLAB_DEBUG		(1U << 0)

struct io_uring_ext_slab_params {
	__u64 offset;			/* bytes of the region before the slab */
	__u64 len;			/* bytes of the slab; 0: the rest of the region */
	__u64 slice;			/* bytes of a slice */
	__u64 align;			/* of slices, a power of two; 0: none, as the region */
	__u32 flags;			/* IO_URING_EXT_SLAB_* */
	__u32 resv32;
	__u64 resv[4];
};

/*
 * Cut a part of region @id of @pool into slices.  As long as the slab lives that part
 * is its own, and the region cannot be removed.
 *
 * -EINVAL  slice is 0, or larger than the part or its slots; the part is not inside;
 *          align no power of two, or larger than a slot; unknown flags; DEBUG for a
 *          READONLY region.
 * -ENOENT  no such region, or it is being removed.
 * -EEXIST  another slab has some of the part.
 * -EOVERFLOW  2^32 - 1 slices or more.
 * -ENOMEM  no memory for bookkeeping (4 bytes a slice, 5 with DEBUG).
 */
int io_uring_ext_slab_create_part(struct io_uring_ext_slab **slab,
				  struct io_uring_ext_pool *pool, int id,
				  const struct io_uring_ext_slab_params *p);

/* All of the region, in slices without alignment. */
int io_uring_ext_slab_create(struct io_uring_ext_slab **slab,
			     struct io_uring_ext_pool *pool, int id, size_t slice,
			     unsigned flags);

/*
 * The same for memory without a pool, of which nobody knows whether another has it.  No
 * slice crosses a multiple of @boundary counted from @base; 0: no boundaries.
 */
int io_uring_ext_slab_create_mem(struct io_uring_ext_slab **slab, void *base,
				 size_t len, size_t slice, size_t boundary,
				 unsigned flags);

/*
 * -EBUSY: slices are still handed out, or there are caches or buffer rings; nothing
 * happened.
 */
int io_uring_ext_slab_destroy(struct io_uring_ext_slab *slab);

/* A slice, or NULL if all are handed out.  Lock-free; any thread. */
void *io_uring_ext_slab_get(struct io_uring_ext_slab *slab);

/*
 * A slice in *@slice; if all are handed out wait for one, @timeout_ns nanoseconds at
 * most (IO_URING_EXT_UNLIMITED: as long as it takes).
 *
 * -ETIMEDOUT  none came back.
 * -ESHUTDOWN  the slab is drained: io_uring_ext_slab_drain().
 */
int io_uring_ext_slab_get_wait(struct io_uring_ext_slab *slab, void **slice,
			       __u64 timeout_ns);

/*
 * Give a slice back; any address inside it will do.  Any thread; lock-free but for
 * waking those that wait.
 * -EINVAL    not an address of a slice.
 * -EALREADY  it is not handed out (DEBUG only; without it this corrupts the slab,
 *            as it does with any allocator).
 */
int io_uring_ext_slab_put(struct io_uring_ext_slab *slab, void *ptr);

/*
 * Hand out no more slices, for good, and wait until all are back.  Threads may still be on
 * their way out of a get or a put then: as ever, the slab is destroyed when none is in it.
 * -ETIMEDOUT  some are not; it can be called again.
 */
int io_uring_ext_slab_drain(struct io_uring_ext_slab *slab, __u64 timeout_ns);

/*
 * A cache of slices for one thread, which gets and puts them without atomic
 * operations.  Slices in it count as handed out; while somebody waits for a slice, or the
 * slab is drained, slices are not kept.  With DEBUG nothing is kept.
 */
struct io_uring_ext_slab_cache;

#define IO_URING_EXT_SLAB_CACHE_MAX	4096U

/* @slices are kept at most; 0: 32.  -EINVAL: more than the maximum.  -ENOMEM: no memory. */
int io_uring_ext_slab_cache_create(struct io_uring_ext_slab_cache **cache,
				   struct io_uring_ext_slab *slab, unsigned slices);
/* Gives back what is in it. */
void io_uring_ext_slab_cache_destroy(struct io_uring_ext_slab_cache *cache);
void *io_uring_ext_slab_cache_get(struct io_uring_ext_slab_cache *cache);
/* As io_uring_ext_slab_put(), by any address inside the slice. */
int io_uring_ext_slab_cache_put(struct io_uring_ext_slab_cache *cache, void *ptr);

struct io_uring_ext_slab_stats {
	__u64 slices;
	__u64 in_use;
	size_t slice;			/* bytes */
	size_t wasted;			/* bytes before boundaries and at the end */
	__u64 gets;			/* that gave a slice, or are about to */
	__u64 empty;			/* gets that found none */
	__u64 double_puts;		/* DEBUG */
	__u64 damaged;			/* DEBUG */
	__u64 resv[2];
};

int io_uring_ext_slab_stats(const struct io_uring_ext_slab *slab,
			    struct io_uring_ext_slab_stats *stats);

/* ---- size classes: slabs side by side ---------------------------------------- */

/*
 * A part of a region cut into slabs of slices that become larger from one to the next.  A
 * slice comes from the first class that is large enough and has one.
 */
struct io_uring_ext_classes;

#define IO_URING_EXT_CLASSES_MAX	32U

struct io_uring_ext_class {
	__u64 slice;			/* bytes of a slice */
	__u64 len;			/* bytes for the class; 0: a share of what is left */
};

struct io_uring_ext_classes_params {
	const struct io_uring_ext_class *classes;
	__u32 nr;
	__u32 flags;			/* IO_URING_EXT_SLAB_* */
	__u64 offset;			/* bytes of the region before the first class */
	__u64 align;			/* of slices, as for a slab */
	__u64 resv[4];
};

/*
 * -EINVAL  no classes, or more than the maximum; slices that do not become larger; more
 *          bytes than the region has, or none left for a class without a length.
 * Others   as io_uring_ext_slab_create_part(), for any of the classes.
 */
int io_uring_ext_classes_create(struct io_uring_ext_classes **classes,
				struct io_uring_ext_pool *pool, int id,
				const struct io_uring_ext_classes_params *p);

/* -EBUSY: slices are still handed out, or held; nothing happened. */
int io_uring_ext_classes_destroy(struct io_uring_ext_classes *classes);

/* The slab of class @i, for its stats and caches, or NULL.  Lives as @classes. */
struct io_uring_ext_slab *io_uring_ext_classes_slab(struct io_uring_ext_classes *classes,
						    unsigned i);

/* A slice of @len bytes or more; NULL if there is none.  Lock-free; any thread. */
void *io_uring_ext_classes_get(struct io_uring_ext_classes *classes, size_t len);

/*
 * The same, and if there is none wait for one of the smallest class that is large enough;
 * see io_uring_ext_slab_get_wait().
 *
 * -EINVAL     @len is larger than all slices.
 * -ETIMEDOUT, -ESHUTDOWN  as there.
 */
int io_uring_ext_classes_get_wait(struct io_uring_ext_classes *classes, size_t len,
				  void **slice, __u64 timeout_ns);

/* As io_uring_ext_slab_put(), of whichever class. */
int io_uring_ext_classes_put(struct io_uring_ext_classes *classes, void *ptr);

/* Close all classes, and wait as io_uring_ext_slab_drain(), @timeout_ns for all. */
int io_uring_ext_classes_drain(struct io_uring_ext_classes *classes, __u64 timeout_ns);

/* ---- provided-buffer rings of slices ------------------------------------------ */

/*
 * A group of provided buffers (IORING_REGISTER_PBUF_RING) that are slices of a slab: a
 * request with IOSQE_BUFFER_SELECT and this buf_group gets one when there is something to
 * receive or to read, and its CQE tells which.  Kernel needed: 5.19.
 *
 * It belongs to the thread of the ring.  Slices that the kernel has count as handed out;
 * the requests are the caller's own, the library does not note them.  One slice for each
 * CQE: not for bundles, nor for buffers that are consumed in parts.
 */
struct io_uring_ext_bufring;

struct io_uring_ext_bufring_params {
	__u32 group;			/* buf_group of the sqes, below 65536 */
	__u32 entries;			/* slices that it holds at most: a power of two up
					   to 32768 */
	__u32 flags;
	__u32 resv32;
	__u64 resv[4];
};

/*
 * Make the group, and fill it with slices as far as there are any.
 *
 * -EINVAL  no ring, no slab, or one with slices of 4 GiB; entries, group or reserved fields
 *          that make no sense.
 * -EOPNOTSUPP  the kernel has no such groups.
 * -EEXIST  the ring has the group; or SINGLE_ISSUER, and this is not the thread.
 * -EACCES  the ring's restrictions forbid it.
 * -ENOMEM  no memory; some kernels charge 16 bytes an entry to RLIMIT_MEMLOCK.
 * Others   from io_uring_register(2).
 */
int io_uring_ext_bufring_create(struct io_uring_ext_bufring **bufring,
				struct io_uring_ext_ring *r, struct io_uring_ext_slab *slab,
				const struct io_uring_ext_bufring_params *p,
				struct io_uring_ext_error *err);

/*
 * Take the group away from the ring, and give the slab back what is in it; not what was
 * taken.  First end all requests of the group, and take what their CQEs name.  Before
 * the ring is detached, and the slab destroyed.
 *
 * 0, or the error of io_uring_register(2): nothing happened then.
 */
int io_uring_ext_bufring_destroy(struct io_uring_ext_bufring *bufring);

/*
 * The slice that a CQE with these flags names: the caller's from now on.  NULL: it names
 * none (IORING_CQE_F_BUFFER), or not one that the group has.
 */
void *io_uring_ext_bufring_take(struct io_uring_ext_bufring *bufring, __u32 cqe_flags);

/*
 * Give the kernel a slice of the slab that the caller has, by any address inside it.  The
 * slab gets it if the group has enough.
 * -EINVAL  not an address of a slice.
 */
int io_uring_ext_bufring_give(struct io_uring_ext_bufring *bufring, void *ptr);

/*
 * Fill up with slices of the slab, after some were taken and kept.  Returns how many the
 * group has, those included that CQEs name which the caller has not taken.
 */
unsigned io_uring_ext_bufring_fill(struct io_uring_ext_bufring *bufring);

#endif
