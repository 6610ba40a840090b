/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * Arenas: memory of the kind asked for, or of the best kind there is.
 *
 * Address space is found by mapping more than needed without access and giving it
 * back; the memory is then mapped at an aligned address inside, and only if nobody
 * took it meanwhile (MAP_FIXED_NOREPLACE).
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "lib.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE	0x100000
#endif
#ifndef MFD_HUGETLB
#define MFD_HUGETLB		0x0004U
#endif
/* <linux/mman.h>: log2 of the huge page size, for mmap and memfd_create */
#define HUGE_SHIFT		26
/* <linux/mempolicy.h> */
#define POLICY_BIND		2

#define MAP_TRIES		16

struct io_uring_ext_arena {
	void *base;
	size_t size;
	size_t page_size;
	size_t alias;
	enum io_uring_ext_mem mem;
	int memfd;
	off_t offset;			/* in it */
	bool by_mapping;		/* what its pages are the mapping decides: node, THP */
	pid_t owner;			/* the process that has the memory; 0: children too */
	bool prefaulted;
	char why[IO_URING_EXT_ERROR_TEXT];
};

static const char *mem_name(enum io_uring_ext_mem mem)
{
	switch (mem) {
	case IO_URING_EXT_MEM_HUGE_1G:
		return "1G huge pages";
	case IO_URING_EXT_MEM_HUGE_2M:
		return "2M huge pages";
	case IO_URING_EXT_MEM_THP:
		return "transparent huge pages";
	default:
		return "base pages";
	}
}

static size_t mem_page_size(enum io_uring_ext_mem mem,
			    const struct io_uring_ext_arena_params *p)
{
	switch (mem) {
	case IO_URING_EXT_MEM_HUGE_1G:
		return SZ_1G;
	case IO_URING_EXT_MEM_HUGE_2M:
		return SZ_2M;
	case IO_URING_EXT_MEM_THP:
		return p->thp_size ? p->thp_size : urext_thp_pmd_size();
	default:
		return base_page_size();
	}
}

static bool is_hugetlb(enum io_uring_ext_mem mem)
{
	return mem == IO_URING_EXT_MEM_HUGE_1G || mem == IO_URING_EXT_MEM_HUGE_2M;
}

static int create_memfd(const struct io_uring_ext_arena *a)
{
	unsigned flags = MFD_CLOEXEC;
	int fd, ret;

	if (is_hugetlb(a->mem))
		flags |= MFD_HUGETLB | (unsigned)__builtin_ctzl(a->page_size) << HUGE_SHIFT;
	fd = memfd_create("io_uring_ext", flags);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, a->alias ? a->alias : a->size)) {
		ret = -errno;
		close(fd);
		return ret;
	}
	return fd;
}

/* Why hugetlb pages cannot be had, with what would help. */
static int explain_hugetlb(const struct io_uring_ext_arena *a, int ret,
			   struct io_uring_ext_error *err)
{
	size_t kb = a->page_size >> 10, bytes = a->alias ? a->alias : a->size;
	__u64 free = 0, reserved = 0;
	char path[128];

	if (!urext_has_sysfs())
		return urext_fail(err, ret, IO_URING_EXT_STAGE_MEMORY, 0,
				  "%zu x %s needed: %s (/sys is not mounted, which would tell more)",
				  bytes / a->page_size, mem_name(a->mem), strerror(-ret));
	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%zukB/free_hugepages",
		 kb);
	if (urext_read_u64(path, &free) || ret != -ENOMEM)
		return urext_fail(err, -EOPNOTSUPP, IO_URING_EXT_STAGE_MEMORY, 0,
				  "this kernel or CPU has no %s (%s)", mem_name(a->mem),
				  strerror(-ret));
	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%zukB/resv_hugepages",
		 kb);
	urext_read_u64(path, &reserved);
	return urext_fail(err, ret, IO_URING_EXT_STAGE_MEMORY, 0,
			  "%zu x %s needed, %llu free (add to "
			  "/sys/kernel/mm/hugepages/hugepages-%zukB/nr_hugepages)",
			  bytes / a->page_size, mem_name(a->mem),
			  (unsigned long long)(free > reserved ? free - reserved : 0), kb);
}

static int explain_map(const struct io_uring_ext_arena *a, int ret,
		       struct io_uring_ext_error *err)
{
	char size[32];

	if (is_hugetlb(a->mem) && (ret == -ENOMEM || ret == -EINVAL || ret == -ENODEV))
		return explain_hugetlb(a, ret, err);
	return urext_fail(err, ret, IO_URING_EXT_STAGE_MEMORY, 0, "mapping %s of %s: %s",
			  urext_size(size, a->size), mem_name(a->mem), strerror(-ret));
}

/* 0, also where none is wanted. */
static int open_memfd(struct io_uring_ext_arena *a, const struct io_uring_ext_arena_params *p,
		      struct io_uring_ext_error *err)
{
	a->memfd = -1;
	if (p->flags & IO_URING_EXT_ARENA_FILE) {
		a->memfd = urext_memfd_open(p->memfd, p->offset, a->size, false, err);
		return a->memfd < 0 ? a->memfd : 0;
	}
	if (!p->alias && !(p->flags & IO_URING_EXT_ARENA_MEMFD))
		return 0;
	a->memfd = create_memfd(a);
	return a->memfd < 0 ? explain_map(a, a->memfd, err) : 0;
}

/* An aligned address where @size bytes were free a moment ago. */
static void *find_space(size_t size, size_t align)
{
	size_t total;
	void *p;

	if (__builtin_add_overflow(size, align, &total)) {
		errno = ENOMEM;
		return MAP_FAILED;
	}
	p = mmap(NULL, total, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return p;
	munmap(p, total);
	return (void *)round_up((uintptr_t)p, align);
}

static void *map_aligned(size_t size, size_t align, int prot, int flags, int fd, off_t offset)
{
	void *at, *p;
	int i;

	for (i = 0; i < MAP_TRIES; i++) {
		at = find_space(size, align);
		if (at == MAP_FAILED)
			return at;
		p = mmap(at, size, prot, flags | MAP_FIXED_NOREPLACE, fd, offset);
		if (p == at)
			return p;
		if (p != MAP_FAILED) {
			/* Before 4.17 the flag is not known: a hint, not kept */
			munmap(p, size);
			errno = EEXIST;
		}
		if (errno != EEXIST)
			break;
	}
	return MAP_FAILED;
}

/* The same memory again and again, over address space that we hold already. */
static void *map_aliased(const struct io_uring_ext_arena *a, size_t align)
{
	size_t off;
	void *base;
	int saved;

	base = map_aligned(a->size, align, PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (base == MAP_FAILED)
		return base;
	for (off = 0; off < a->size; off += a->alias) {
		if (mmap((char *)base + off, min_sz(a->alias, a->size - off),
			 PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, a->memfd,
			 0) == MAP_FAILED)
			goto unmap;
	}
	return base;
unmap:
	saved = errno;
	munmap(base, a->size);
	errno = saved;
	return MAP_FAILED;
}

static void *map_arena(const struct io_uring_ext_arena *a, size_t align)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS;

	if (a->alias)
		return map_aliased(a, align);
	if (a->memfd >= 0)
		flags = MAP_SHARED;
	else if (is_hugetlb(a->mem))
		flags |= MAP_HUGETLB | __builtin_ctzl(a->page_size) << HUGE_SHIFT;
	return map_aligned(a->size, align, PROT_READ | PROT_WRITE, flags, a->memfd, a->offset);
}

static int bind_node(const struct io_uring_ext_arena *a, unsigned node)
{
	unsigned long mask[1024 / (8 * sizeof(long))] = { 0 };
	const unsigned bits = 8 * sizeof(long);

	if (node >= 1024)
		return -EINVAL;
	mask[node / bits] = 1UL << (node % bits);
	/* The kernel reads one bit less than it is told */
	if (syscall(__NR_mbind, a->base, a->size, POLICY_BIND, mask, 1024 + 1, 0))
		return -errno;
	return 0;
}

/* Is the folio size allowed?  A size may inherit what is set for all. */
static bool thp_enabled(size_t size, bool shared, char *file, size_t len)
{
	const char *leaf = shared ? "shmem_enabled" : "enabled";
	char setting[32];

	snprintf(file, len, "hugepages-%zukB/%s", size >> 10, leaf);
	urext_thp_setting(file, setting, sizeof(setting));
	/* Before 6.8 (shmem: 6.14) only the one setting for the PMD size exists */
	if (!strcmp(setting, "inherit") || (!setting[0] && size == urext_thp_pmd_size())) {
		snprintf(file, len, "%s", leaf);
		urext_thp_setting(leaf, setting, sizeof(setting));
	}
	return setting[0] && strcmp(setting, "never") && strcmp(setting, "deny");
}

static int advise_thp(const struct io_uring_ext_arena *a, struct io_uring_ext_error *err)
{
	char file[64];

	/* Where the settings cannot be seen it is tried */
	if (urext_has_sysfs() && !thp_enabled(a->page_size, a->memfd >= 0, file, sizeof(file)))
		return urext_fail(err, -EOPNOTSUPP, IO_URING_EXT_STAGE_MEMORY, 0,
				  "%zu KiB transparent huge pages are off (see "
				  "/sys/kernel/mm/transparent_hugepage/%s)",
				  a->page_size >> 10, file);
	if (madvise(a->base, a->size, MADV_HUGEPAGE))
		return urext_fail(err, -errno, IO_URING_EXT_STAGE_MEMORY, 0,
				  "madvise(MADV_HUGEPAGE): %s", strerror(errno));
	return 0;
}

static int advise(struct io_uring_ext_arena *a, struct io_uring_ext_error *err)
{
	a->by_mapping = !is_hugetlb(a->mem);
	if (a->mem == IO_URING_EXT_MEM_THP)
		return advise_thp(a, err);
	/* -EINVAL: a kernel without THP, which is as well */
	if (a->mem == IO_URING_EXT_MEM_BASE && madvise(a->base, a->size, MADV_NOHUGEPAGE) &&
	    errno != EINVAL)
		return urext_fail(err, -errno, IO_URING_EXT_STAGE_MEMORY, 0,
				  "madvise(MADV_NOHUGEPAGE): %s", strerror(errno));
	return 0;
}

/*
 * Pinned pages of private memory are copied by fork(), huge ones from the reserve.  A
 * child does without.
 */
static int keep_from_children(struct io_uring_ext_arena *a, struct io_uring_ext_error *err)
{
	if (madvise(a->base, a->size, MADV_DONTFORK))
		return urext_fail(err, -errno, IO_URING_EXT_STAGE_MEMORY, 0,
				  "madvise(MADV_DONTFORK): %s", strerror(errno));
	a->owner = getpid();
	return 0;
}

static void unmap(struct io_uring_ext_arena *a)
{
	/* In a child without the memory something else may be there */
	if (a->base && (!a->owner || a->owner == getpid()))
		munmap(a->base, a->size);
	if (a->memfd >= 0)
		close(a->memfd);
	a->base = NULL;
	a->memfd = -1;
}

/* Pages that were promised, and are not there when they are touched. */
static int explain_run_out(const struct io_uring_ext_arena *a,
			   const struct io_uring_ext_arena_params *p,
			   struct io_uring_ext_error *err)
{
	char where[32] = "", dir[48] = "/sys/kernel/mm";
	unsigned done = err->done;

	if (p->bind) {
		snprintf(where, sizeof(where), " on node %u", p->node);
		snprintf(dir, sizeof(dir), "/sys/devices/system/node/node%u", p->node);
	}
	urext_fail(err, -ENOMEM, IO_URING_EXT_STAGE_PREFAULT, 0,
		   "%s ran out%s at %u of %zu MiB (or the cgroup's limit on them): add to "
		   "%s/hugepages/hugepages-%zukB/nr_hugepages", mem_name(a->mem), where, done,
		   a->size >> 20, dir, a->page_size >> 10);
	err->done = done;
	return -ENOMEM;
}

/* More than the control group may have would end the process, without a word. */
static int check_cgroup(const struct io_uring_ext_arena *a, struct io_uring_ext_error *err)
{
	size_t bytes = a->alias ? a->alias : a->size;
	char path[256], need[32], max[32];
	__u64 limit;

	if (is_hugetlb(a->mem))
		return 0;
	limit = urext_cgroup_limit(path, sizeof(path));
	if (bytes <= limit)
		return 0;
	return urext_fail(err, -ENOMEM, IO_URING_EXT_STAGE_PREFAULT, 0,
			  "%s of %s needed, and the control group may have %s (%s)",
			  urext_size(need, bytes), mem_name(a->mem), urext_size(max, limit), path);
}

static int prefault(struct io_uring_ext_arena *a,
		    const struct io_uring_ext_arena_params *p,
		    struct io_uring_ext_error *err)
{
	int ret;

	ret = check_cgroup(a, err);
	if (ret)
		return ret;
	ret = io_uring_ext_prefault(a->base, a->size, a->page_size, p->threads, p->progress,
				    p->progress_arg, err);
	a->prefaulted = !ret;
	/* A hugetlb fault that finds no page answers -EFAULT */
	if (ret == -EFAULT && is_hugetlb(a->mem))
		return explain_run_out(a, p, err);
	return ret;
}

/* All of one kind, or nothing. */
static int make(struct io_uring_ext_arena *a, enum io_uring_ext_mem mem,
		const struct io_uring_ext_arena_params *p, struct io_uring_ext_error *err)
{
	size_t align;
	int ret;

	a->mem = mem;
	a->page_size = mem_page_size(mem, p);
	a->size = round_up(p->size, a->page_size);
	a->alias = p->alias;
	if (a->size < p->size || (p->alias & (a->page_size - 1)))
		return urext_fail(err, -EINVAL, IO_URING_EXT_STAGE_ARGS, 0,
				  "size too large, or alias no multiple of %zu bytes",
				  a->page_size);
	a->by_mapping = false;
	ret = open_memfd(a, p, err);
	if (ret)
		return ret;
	align = p->align > a->page_size ? p->align : a->page_size;
	a->base = map_arena(a, align);
	if (a->base == MAP_FAILED) {
		a->base = NULL;
		ret = explain_map(a, -errno, err);
		goto fail;
	}
	ret = p->flags & IO_URING_EXT_ARENA_FILE ? 0 : advise(a, err);
	if (!ret && !(p->flags & IO_URING_EXT_ARENA_FORK))
		ret = keep_from_children(a, err);
	if (ret)
		goto fail;
	if (p->bind) {
		a->by_mapping = true;
		ret = bind_node(a, p->node);
		if (ret) {
			urext_fail(err, ret, IO_URING_EXT_STAGE_NUMA, p->node,
				   "binding to node %u: %s", p->node, strerror(-ret));
			goto fail;
		}
	}
	if (p->flags & IO_URING_EXT_ARENA_PREFAULT) {
		ret = prefault(a, p, err);
		if (ret)
			goto fail;
	}
	urext_ok(err);
	return 0;
fail:
	unmap(a);
	return ret;
}

/* Failures that the next kind would meet as well. */
static bool hopeless(int ret, const struct io_uring_ext_error *err)
{
	return ret == -ECANCELED || ret == -EINVAL || ret == -EMFILE || ret == -ENFILE ||
	       err->stage == IO_URING_EXT_STAGE_NUMA;
}

static void note_why(char *why, enum io_uring_ext_mem mem, const char *text)
{
	size_t len = strlen(why);

	snprintf(why + len, IO_URING_EXT_ERROR_TEXT - len, "%sno %s: %.140s",
		 len ? "; " : "", mem_name(mem), text);
}

static int make_best(struct io_uring_ext_arena *a,
		     const struct io_uring_ext_arena_params *p,
		     struct io_uring_ext_error *err)
{
	static const enum io_uring_ext_mem order[] = {
		IO_URING_EXT_MEM_HUGE_1G, IO_URING_EXT_MEM_HUGE_2M,
		IO_URING_EXT_MEM_THP, IO_URING_EXT_MEM_BASE,
	};
	size_t bytes = p->alias ? p->alias : p->size;
	int ret = -ENOMEM;
	unsigned i;

	for (i = 0; i < 4; i++) {
		/* Not a page larger than all that is wanted, nor one that cannot alias */
		if (order[i] != IO_URING_EXT_MEM_BASE &&
		    (mem_page_size(order[i], p) > bytes ||
		     (p->alias & (mem_page_size(order[i], p) - 1))))
			continue;
		ret = make(a, order[i], p, err);
		if (!ret || hopeless(ret, err))
			return ret;
		note_why(a->why, order[i], err->text);
	}
	return ret;
}

/* Of a file that is there already the pages are what they are. */
static int make_of_file(struct io_uring_ext_arena *a,
			const struct io_uring_ext_arena_params *p,
			struct io_uring_ext_error *err)
{
	enum io_uring_ext_mem mem;
	size_t page_size;
	int ret;

	ret = urext_memfd_page_size(p->memfd, &page_size);
	if (ret)
		return urext_fail(err, ret, IO_URING_EXT_STAGE_ARGS, 0,
				  "memfd %d, which is to be of tmpfs or hugetlbfs: %s",
				  p->memfd, strerror(-ret));
	if (p->offset & (page_size - 1))
		return urext_fail(err, -EINVAL, IO_URING_EXT_STAGE_ARGS, 0,
				  "offset %llu is no multiple of %zu bytes",
				  (unsigned long long)p->offset, page_size);
	mem = page_size == SZ_1G ? IO_URING_EXT_MEM_HUGE_1G :
	      page_size == SZ_2M ? IO_URING_EXT_MEM_HUGE_2M : IO_URING_EXT_MEM_BASE;
	if (mem_page_size(mem, p) != page_size)
		return urext_fail(err, -EINVAL, IO_URING_EXT_STAGE_ARGS, 0,
				  "memfd %d has pages of %zu bytes", p->memfd, page_size);
	a->offset = p->offset;
	if ((__u64)a->offset != p->offset)
		return urext_fail(err, -EOVERFLOW, IO_URING_EXT_STAGE_ARGS, 0,
				  "offset %llu is beyond what a program of 32 bits can map",
				  (unsigned long long)p->offset);
	return make(a, mem, p, err);
}

static bool fits_file(const struct io_uring_ext_arena_params *p)
{
	if (p->flags & IO_URING_EXT_ARENA_FILE)
		return p->mem == IO_URING_EXT_MEM_AUTO && !p->thp_size && !p->alias &&
		       !(p->flags & IO_URING_EXT_ARENA_MEMFD);
	return !p->memfd && !p->offset;
}

static int check_params(const struct io_uring_ext_arena_params *p)
{
	const __u32 flags = IO_URING_EXT_ARENA_PREFAULT | IO_URING_EXT_ARENA_MEMFD |
			    IO_URING_EXT_ARENA_FORK | IO_URING_EXT_ARENA_FILE;

	if (!p || !p->size || (p->align && !is_pow2(p->align)) || (p->flags & ~flags) ||
	    p->bind > 1 || !fits_file(p) || !urext_all_zero(p->resv, sizeof(p->resv)))
		return -EINVAL;
	if ((unsigned)p->mem > IO_URING_EXT_MEM_BASE)
		return -EINVAL;
	if (p->thp_size && (p->mem != IO_URING_EXT_MEM_THP || !is_pow2(p->thp_size) ||
			    p->thp_size <= base_page_size()))
		return -EINVAL;
	return 0;
}

int io_uring_ext_arena_alloc(struct io_uring_ext_arena **arena,
			     const struct io_uring_ext_arena_params *p,
			     struct io_uring_ext_error *err)
{
	struct io_uring_ext_error local;
	struct io_uring_ext_arena *a;
	int ret;

	if (!err)
		err = &local;
	if (arena)
		*arena = NULL;
	if (!arena || check_params(p))
		return urext_fail(err, -EINVAL, IO_URING_EXT_STAGE_ARGS, 0,
				  "arena parameters that make no sense");
	a = calloc(1, sizeof(*a));
	if (!a)
		return urext_fail(err, -ENOMEM, IO_URING_EXT_STAGE_MEMORY, 0, "no memory");
	if (p->flags & IO_URING_EXT_ARENA_FILE)
		ret = make_of_file(a, p, err);
	else if (p->mem == IO_URING_EXT_MEM_AUTO)
		ret = make_best(a, p, err);
	else
		ret = make(a, p->mem, p, err);
	if (ret) {
		free(a);
		return ret;
	}
	*arena = a;
	return 0;
}

void io_uring_ext_arena_free(struct io_uring_ext_arena *arena)
{
	if (!arena)
		return;
	unmap(arena);
	free(arena);
}

void *io_uring_ext_arena_base(const struct io_uring_ext_arena *arena)
{
	return arena ? arena->base : NULL;
}

size_t io_uring_ext_arena_size(const struct io_uring_ext_arena *arena)
{
	return arena ? arena->size : 0;
}

int io_uring_ext_arena_info(const struct io_uring_ext_arena *arena,
			    struct io_uring_ext_arena_info *info)
{
	if (info)
		memset(info, 0, sizeof(*info));
	if (!arena || !info)
		return -EINVAL;
	info->base = arena->base;
	info->size = arena->size;
	info->page_size = arena->page_size;
	info->mem = arena->mem;
	info->memfd = arena->memfd;
	info->alias = arena->alias;
	info->prefaulted = arena->prefaulted;
	strcpy(info->why, arena->why);
	if (is_hugetlb(arena->mem))
		info->huge_bytes = arena->size;
	else if (arena->mem == IO_URING_EXT_MEM_THP)
		info->huge_bytes = urext_bytes_in_runs(arena->base, arena->size,
						       arena->page_size);
	return 0;
}

void urext_arena_region(const struct io_uring_ext_arena *arena,
			struct io_uring_ext_region *region)
{
	if (!arena)
		return;
	region->base = arena->base;
	region->len = arena->size;
	region->page_size = arena->page_size;
	/* Pages that are not there yet would not be those that were asked for */
	if (arena->memfd < 0 || arena->alias || (arena->by_mapping && !arena->prefaulted))
		return;
	region->flags = IO_URING_EXT_REGION_MEMFD;
	region->memfd = arena->memfd;
	region->offset = arena->offset;
}
