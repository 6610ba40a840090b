/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/* Memory, and what limits it: part of liburing-ext-sys.h, which includes it. */
#ifndef LIBURING_EXT_MEMORY_H
#define LIBURING_EXT_MEMORY_H

#ifndef LIBURING_EXT_SYS_H
#error "include liburing-ext-sys.h, or liburing-ext.h"
#endif

/* ---- memlock: may this much memory be pinned? ----------------------------- */

/* Flags of io_uring_ext_memlock_check() */
#define IO_URING_EXT_MEMLOCK_RAISE	(1U << 0) /* raise soft to hard if needed */

/* io_uring_ext_memlock.state */
#define IO_URING_EXT_MEMLOCK_EXEMPT	(1U << 0) /* CAP_IPC_LOCK: no limit */
#define IO_URING_EXT_MEMLOCK_FITS	(1U << 1) /* fits the soft limit */
#define IO_URING_EXT_MEMLOCK_FITS_HARD	(1U << 2) /* would fit the hard limit */
#define IO_URING_EXT_MEMLOCK_RAISED	(1U << 3) /* the soft limit was raised */

struct io_uring_ext_memlock {
	__u64 need;		/* what the kernel will charge */
	__u64 pinned;		/* VmPin of this process; the limit is per user, and
				   other processes of the user cannot be seen.
				   IO_URING_EXT_UNLIMITED: /proc does not tell */
	__u64 soft;		/* RLIMIT_MEMLOCK, or IO_URING_EXT_UNLIMITED */
	__u64 hard;
	__u32 state;		/* IO_URING_EXT_MEMLOCK_* */
	__u32 nr_rings;
	__u64 rings;		/* memory of the rings of this process, and of those that a
				   pool makes: some kernels charge it */
	__u64 resv[2];
};

/*
 * Would the kernel let @nr_rings rings register @len bytes of @page_size pages
 * each?  Rings attached to a pool that clones count as one.  @page_size is the
 * size of the backing pages (0: base pages): a page that is touched is charged as
 * a whole.  The charge is made to the user that made the ring, and a ring made
 * with CAP_IPC_LOCK in the initial user namespace is never charged.  Some kernels
 * charge the rings themselves as well, a few pages each; which do cannot be asked, so
 * they always count here: at the very edge the answer may be no where it would do.
 *
 * 0        it fits, or the process is exempt.
 * -ENOMEM  it does not fit: registering would fail with -ENOMEM.
 * -EINVAL  @len is 0, @page_size is no power of two, or unknown @flags.
 * -EOVERFLOW  the product does not fit in 64 bits.
 * @out is filled unless the result is -EINVAL or -EOVERFLOW.
 */
int io_uring_ext_memlock_check(size_t len, size_t page_size, unsigned nr_rings,
			       unsigned flags, struct io_uring_ext_memlock *out);

/*
 * Put @m in words: need, limits, and what to do about it.  Writes at most @size
 * bytes with the final NUL.  Returns the length as snprintf(3) does, or -EINVAL.
 */
int io_uring_ext_memlock_describe(const struct io_uring_ext_memlock *m,
				  char *buf, size_t size);

/* ---- arena: memory -------------------------------------------------------- */

struct io_uring_ext_arena;

enum io_uring_ext_mem {
	IO_URING_EXT_MEM_AUTO = 0,	/* 1G, else 2M, else THP, else base pages */
	IO_URING_EXT_MEM_HUGE_1G,	/* hugetlb, from the reserved pages */
	IO_URING_EXT_MEM_HUGE_2M,
	IO_URING_EXT_MEM_THP,		/* transparent huge pages */
	IO_URING_EXT_MEM_BASE,		/* base pages, huge pages kept away */
};

/* io_uring_ext_arena_params.flags */
#define IO_URING_EXT_ARENA_PREFAULT	(1U << 0) /* populate before returning */
#define IO_URING_EXT_ARENA_MEMFD	(1U << 1) /* shared memory with an fd */
#define IO_URING_EXT_ARENA_FORK		(1U << 2) /* children have it too */
#define IO_URING_EXT_ARENA_FILE		(1U << 3) /* map @memfd, which there is already */

/*
 * Called now and then during long work, always in the thread that called the
 * library.  @done and @total are bytes.  A result other than 0 ends the work
 * early; the call then fails with -ECANCELED.
 */
typedef int (*io_uring_ext_progress_fn)(void *arg, size_t done, size_t total);

struct io_uring_ext_arena_params {
	size_t size;			/* rounded up to the page size it gets */
	enum io_uring_ext_mem mem;	/* other than AUTO: exactly this, or fail */
	__u32 flags;			/* IO_URING_EXT_ARENA_* */
	/*
	 * With THP: the folio size wanted (mTHP), e.g. 65536; 0: the PMD size.
	 * The size must be enabled in /sys/kernel/mm/transparent_hugepage (6.8,
	 * for MEMFD 6.14), and the kernel prefers larger sizes that are enabled.
	 */
	size_t thp_size;
	size_t align;			/* power of two; 0: the page size */
	/*
	 * If not 0: only this many bytes of memory, mapped again and again until
	 * @size is reached (implies MEMFD).  For tests of sizes larger than the
	 * machine.  A multiple of the page size.
	 */
	size_t alias;
	__u32 bind;			/* 1: bind to @node, 0: anywhere */
	__u32 node;
	__u32 threads;			/* for prefault; 0: one per CPU, up to 16 */
	/*
	 * With FILE, else 0: a memfd, or another file of tmpfs or hugetlbfs, open for
	 * reading and writing, and where in it the arena begins.  Its pages are what
	 * they are: mem is AUTO, thp_size and alias 0.  It may be closed afterwards.
	 */
	__s32 memfd;
	io_uring_ext_progress_fn progress;
	void *progress_arg;
	__u64 offset;			/* bytes, a multiple of the page size */
	__u64 resv[3];
};

struct io_uring_ext_arena_info {
	void *base;
	size_t size;			/* bytes usable, at least those asked for */
	size_t page_size;		/* of the backing; with THP the size asked */
	enum io_uring_ext_mem mem;	/* what it got, never AUTO */
	int memfd;			/* -1, or an fd that the arena owns (FILE: its own) */
	size_t alias;			/* as asked, 0 if none */
	/*
	 * Bytes that are in huge pages as far as can be told now: all of it for
	 * hugetlb, what /proc/self/smaps shows for THP (0 before prefault).
	 */
	size_t huge_bytes;
	__u32 prefaulted;		/* 1: every page is there */
	__u32 resv32;
	/* Why it is not larger pages, one sentence; "" if it is the best kind */
	char why[IO_URING_EXT_ERROR_TEXT];
	__u64 resv[4];
};

/*
 * Make an arena.  With AUTO a kind that cannot be had is passed over, also when
 * its pages run out half-way through prefault (needs the flag), and noted in
 * info.why; an arena is never of two kinds.  Registering faults pages in as well;
 * prefault does it in parallel and with progress, and turns the SIGBUS of touching
 * a hugetlb page that is not there into an error.
 *
 * -EINVAL     size 0, align no power of two, reserved field not zero, alias no
 *             multiple of the page size, thp_size without THP; FILE: with any of
 *             these, of another file system, or not all inside the file.
 * -EBADF, -EACCES, -EPERM  FILE: @memfd is no open file, is not open for reading and
 *             writing, or is sealed against writing.
 * -EOVERFLOW  FILE: a program of 32 bits cannot map what is that far into the file.
 * -ENOMEM     no memory, or no free huge pages of the kind asked for.
 * -EOPNOTSUPP the kernel or its settings do not offer the kind (see err->text).
 * -ECANCELED  the progress function said so.
 * Others      from mmap(2), memfd_create(2), mbind(2), madvise(2); of FILE from
 *             fstatfs(2), fcntl(2).
 */
int io_uring_ext_arena_alloc(struct io_uring_ext_arena **arena,
			     const struct io_uring_ext_arena_params *p,
			     struct io_uring_ext_error *err);

/*
 * Unmap.  Remove it from pools first; NULL is fine.  In a child of fork() that does not
 * have the memory only what belongs to it is freed.
 */
void io_uring_ext_arena_free(struct io_uring_ext_arena *arena);

/* Fill @info.  Reads /proc/self/smaps for THP: not for the path of an I/O. */
int io_uring_ext_arena_info(const struct io_uring_ext_arena *arena,
			    struct io_uring_ext_arena_info *info);

/* The address of the first byte; the bytes usable. */
void *io_uring_ext_arena_base(const struct io_uring_ext_arena *arena);
size_t io_uring_ext_arena_size(const struct io_uring_ext_arena *arena);

/*
 * Populate a range of memory for writing, in parallel.  @page_size is the page
 * size of the backing (0: base pages).  Contents are kept.
 *
 * -EINVAL     no range, or @page_size no power of two.
 * -ENOMEM     pages ran out, err->done tells the MiB that were complete.
 * -EFAULT     a part is not mapped or not writable, or a hugetlb page could not be had.
 * -ECANCELED  @progress said so.
 */
int io_uring_ext_prefault(void *base, size_t len, size_t page_size,
			  unsigned threads, io_uring_ext_progress_fn progress,
			  void *arg, struct io_uring_ext_error *err);

#endif
