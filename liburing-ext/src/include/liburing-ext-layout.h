/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/* Files and buffers as the kernel has them: part of liburing-ext-sys.h, which includes it. */
#ifndef LIBURING_EXT_LAYOUT_H
#define LIBURING_EXT_LAYOUT_H

#ifndef LIBURING_EXT_SYS_H
#error "include liburing-ext-sys.h, or liburing-ext.h"
#endif

/* ---- O_DIRECT: what a file asks of memory ---------------------------------- */

struct io_uring_ext_direct {
	__u32 mem_align;		/* of addresses, bytes */
	__u32 offset_align;		/* of offsets in the file, and of lengths */
	__u32 source;			/* enum io_uring_ext_source */
	__u32 resv32;
	__u64 resv[3];
};

/*
 * What direct I/O on @fd needs; slices with @mem_align as their alignment fit any such
 * file.  Kernel needed: 6.1; before it, and on file systems that do not tell, the page
 * size is IO_URING_EXT_ASSUMED.
 *
 * -EOPNOTSUPP  the file has no direct I/O.
 * -EINVAL      @direct is NULL.
 * Others       from statx(2).
 */
int io_uring_ext_direct_query(int fd, struct io_uring_ext_direct *direct);

/* 1: @len bytes at @buf can be read or written directly at @offset; 0: not. */
int io_uring_ext_direct_fits(const struct io_uring_ext_direct *direct, const void *buf,
			     __u64 len, __u64 offset);

/* ---- layout: how a buffer lies in memory ----------------------------------- */

/* How a layout was found out. */
enum io_uring_ext_layout_source {
	IO_URING_EXT_LAYOUT_KERNEL = 0,	/* told by the kernel's buffer table */
	IO_URING_EXT_LAYOUT_PAGEMAP,	/* estimate: page frames (root) */
	IO_URING_EXT_LAYOUT_SMAPS,	/* estimate: page sizes in smaps */
};

/* io_uring_ext_layout.flags */
#define IO_URING_EXT_LAYOUT_ESTIMATE	(1U << 0) /* not told by the kernel */
/* interior runs are one size; told by the kernel: all runs are, or there are no interior ones */
#define IO_URING_EXT_LAYOUT_UNIFORM	(1U << 1)
#define IO_URING_EXT_LAYOUT_READONLY	(1U << 2)
#define IO_URING_EXT_LAYOUT_KBUF	(1U << 3) /* the kernel's own memory */

struct io_uring_ext_layout {
	enum io_uring_ext_layout_source source;
	__u32 flags;			/* IO_URING_EXT_LAYOUT_* */
	__u64 len;			/* bytes looked at */
	__u64 present;			/* of them in memory */
	__u64 runs;
	__u64 smallest;			/* bytes of the smallest and largest run */
	__u64 largest;
	/* IO_URING_EXT_UNLIMITED where the kernel does not tell */
	__u64 metadata;			/* bytes of the kernel's tables: none tells */
	/* Bytes that registering added to what counts towards RLIMIT_MEMLOCK */
	__u64 charged;
	__u64 resv[4];
};

/*
 * The layout of entry @index of @ring, which was registered as @len bytes at @base;
 * from the kernel where IO_URING_EXT_CAP_LAYOUT is there, which then knows @base and
 * @len itself; else, and where the kernel does not tell the caller of this buffer, as
 * io_uring_ext_layout_estimate().  The kernel counts the runs when it is asked: not for the
 * path of requests.
 *
 * From the kernel:
 * -EINVAL  beyond the end of the table.
 * -ENOENT  the entry is empty.
 * -ENXIO   there is no table.
 * -EEXIST  the ring belongs to another thread (IORING_SETUP_SINGLE_ISSUER).
 */
int io_uring_ext_layout(struct io_uring *ring, unsigned index, const void *base,
			size_t len, struct io_uring_ext_layout *layout);

/*
 * Estimate the runs of @len bytes at @base of process @pid (0: this one) from
 * /proc: by page frames and their flags where the caller may see them
 * (CAP_SYS_ADMIN), else from the page sizes that smaps shows.  If @map is not NULL,
 * @cells bytes are written: cell i describes the i-th of @cells equal parts as the
 * log2 of the smallest run that touches it, 0 where a page is not present.
 *
 * -EINVAL  no range, or @map without @cells.
 * -ENOENT  the range is not mapped.
 * -ESRCH   no such process, or no /proc.
 * -EACCES ...  from opening /proc.
 * -EIO     the mapping changed meanwhile.
 */
int io_uring_ext_layout_estimate(pid_t pid, const void *base, size_t len,
				 struct io_uring_ext_layout *layout,
				 unsigned char *map, unsigned cells);

/* ---- update: all or a reason ----------------------------------------------- */

/* io_uring_ext_update.flags */
#define IO_URING_EXT_UPDATE_UNDO	(1U << 0) /* all or nothing */

struct io_uring_ext_update {
	__u32 off;			/* first entry */
	__u32 nr;			/* number of entries */
	const struct iovec *iovecs;	/* {NULL, 0} empties an entry */
	const __u64 *tags;		/* NULL: none */
	/*
	 * With UNDO: what the entries hold now, put back if a later one fails (the
	 * kernel cannot be asked).  NULL: they are empty now.
	 */
	const struct iovec *old_iovecs;
	const __u64 *old_tags;
	__u32 flags;			/* IO_URING_EXT_UPDATE_* */
	__u32 resv32;
	__u64 resv[2];
};

/*
 * Change entries of a ring's buffer table.  The kernel stops at the first entry
 * that fails and reports only how far it came; this goes on, and so learns why.
 *
 * 0 when all @nr entries are changed.  Else the errno of the entry that failed;
 * err->entry is its index in the table, err->done the entries that are changed
 * (0 after a successful undo; if the undo failed too, err->stage is
 * IO_URING_EXT_STAGE_UNDO, and err->text says why).  Registering a region of several
 * slots is undone, and tells, in the same way.
 *
 * -EINVAL  nothing to do, beyond the table, or a tag for an empty entry.
 * -ENXIO   the ring has no table.
 * -ENOMEM, -EFAULT, -EOVERFLOW, -EACCES, -EEXIST  as for registering.
 */
int io_uring_ext_update_buffers(struct io_uring *ring,
				const struct io_uring_ext_update *up,
				struct io_uring_ext_error *err);

/* ---- descriptors: what an iovec cannot say (0.3) ---------------------------- */

/* Source only, as IO_URING_EXT_REGION_READONLY: memory may be read-only. */
#define IO_URING_EXT_DESC_READONLY	(1U << 0)
/* @base is where the caller has that part of the file mapped (MAP_SHARED). */
#define IO_URING_EXT_DESC_MAPPED	(1U << 1)

/* What an entry of a table is to be; all zero: empty. */
struct io_uring_ext_desc {
	__u64 opaque[10];		/* as the kernel has it */
};

/*
 * Make @desc one of @len bytes of memory at @base; IO_URING_EXT_DESC_READONLY is the flag it
 * can have.  @caps: of io_uring_ext_query() for the ring that it is for.  Nothing is pinned.
 * If it fails, @desc is all zero.
 *
 * -EINVAL      no range, one that wraps, or unknown flags.
 * -EOPNOTSUPP  READONLY, without IO_URING_EXT_CAP_READONLY: memory that may not be written
 *              to is never registered to be.
 */
int io_uring_ext_desc_memory(struct io_uring_ext_desc *desc,
			     const struct io_uring_ext_caps *caps, void *base, size_t len,
			     __u32 flags, struct io_uring_ext_error *err);

/*
 * The same of @len bytes from @offset of @memfd, a file of tmpfs or hugetlbfs.  With
 * IO_URING_EXT_CAP_MEMFD it need not be mapped: what is not there is allocated, and there
 * are no page tables for it.  Requests name its bytes by addresses from @base on, which is
 * any number that is as far into a page as @offset: where the caller has it mapped, or NULL
 * with whole pages, for plain offsets.  Other kernels need
 * IO_URING_EXT_DESC_MAPPED: they register the mapping, and the requests are the same.
 *
 * @memfd is the caller's, has to be open until an update with @desc is done, or is
 * submitted as a request, and may be closed then.
 *
 * -EBADF       not an open file.
 * -EINVAL      not one of tmpfs or hugetlbfs, not all of it inside the file, @base and
 *              @offset not as far into a page, no range, MAPPED without @base, or unknown
 *              flags.
 * -EACCES      not open for reading, or for writing (READONLY: that is not needed).
 * -EPERM       sealed against writing (READONLY: that is no matter).
 * -EOPNOTSUPP  without IO_URING_EXT_CAP_MEMFD: no MAPPED.  READONLY: as above.
 */
int io_uring_ext_desc_memfd(struct io_uring_ext_desc *desc,
			    const struct io_uring_ext_caps *caps, int memfd, __u64 offset,
			    size_t len, void *base, __u32 flags,
			    struct io_uring_ext_error *err);

/*
 * Change @nr entries of a ring's buffer table, from @off on, to what @descs say, with @tags
 * (NULL: none).  Descriptors of plain memory and empty ones work with any kernel; others
 * could not be made where they would not.  There are no @flags yet: 0.
 *
 * Results and errors are those of io_uring_ext_update_buffers() without undo; and what the
 * file has become since the descriptor was made, as io_uring_ext_desc_memfd() has it.
 */
int io_uring_ext_update_descs(struct io_uring *ring, __u32 off,
			      const struct io_uring_ext_desc *descs, const __u64 *tags,
			      __u32 nr, __u32 flags, struct io_uring_ext_error *err);

/*
 * Prepare @sqe to do that as a request, while nobody waits for memory to be pinned.  All of
 * the SQE is written: flags and user_data are set afterwards.  @descs and @tags have to be
 * there until it is submitted (IORING_SETUP_SQPOLL: until the kernel has taken it).  It can be
 * linked, and cancelled by its user_data, as other requests.
 *
 * The result of the request is how many entries were changed, at least one, or -errno of the
 * first one, or -ECANCELED.  If that is less than @nr, io_uring_ext_update_descs() for the
 * rest tells why; what is linked to it is not done then.
 *
 * 0            prepared.
 * -EINVAL      no SQE, no entries, or unknown flags.
 * -EOPNOTSUPP  @caps is without IO_URING_EXT_CAP_REQUEST; @sqe is as it was.  Then
 *              io_uring_ext_update_descs() does the same, and waits.
 */
int io_uring_ext_prep_update(struct io_uring_sqe *sqe, const struct io_uring_ext_caps *caps,
			     __u32 off, const struct io_uring_ext_desc *descs,
			     const __u64 *tags, __u32 nr, __u32 flags);

#endif
