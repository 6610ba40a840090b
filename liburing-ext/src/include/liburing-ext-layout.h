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

#endif
