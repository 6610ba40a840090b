// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <linux/memfd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "layouts.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define THP		"/sys/kernel/mm/transparent_hugepage/"

size_t backing_page_size(enum backing backing)
{
	switch (backing) {
	case BACKING_4K:
	case BACKING_SHMEM_4K:
		return 4 * KIB;
	case BACKING_16K:
		return 16 * KIB;
	case BACKING_64K:
		return 64 * KIB;
	case BACKING_1M:
		return MIB;
	case BACKING_THP:
	case BACKING_THP_PTES:
	case BACKING_HUGETLB_2M:
		return 2 * MIB;
	case BACKING_HUGETLB_1G:
		return GIB;
	}
	abort();
}

bool backing_is_anonymous(enum backing backing)
{
	return backing < BACKING_SHMEM_4K;
}

/*
 * Address space for @mem with room on both sides that stays inaccessible: nothing next to the
 * buffer can be taken for a part of it.
 */
static int reserve(struct memory *mem, struct reason *why)
{
	size_t align = mem->page_size < 2 * MIB ? 2 * MIB : mem->page_size;
	uintptr_t start;

	mem->reservation_size = mem->size + 2 * align;
	mem->reservation = mmap(NULL, mem->reservation_size, PROT_NONE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (mem->reservation == MAP_FAILED) {
		mem->reservation = NULL;
		return because(why, "cannot reserve %zu bytes of address space: %s",
			       mem->reservation_size, strerror(errno));
	}
	start = ALIGN_UP((uintptr_t)mem->reservation + 4 * KIB, align);
	mem->addr = (char *)start;
	return 0;
}

static int map_memfd(struct memory *mem, struct reason *why)
{
	const struct layout *layout = &mem->layout;
	unsigned int flags = MFD_CLOEXEC;
	int fd, ret = 0;

	if (layout->backing != BACKING_SHMEM_4K)
		flags |= MFD_HUGETLB | (mem->page_size == GIB ? MFD_HUGE_1GB : MFD_HUGE_2MB);
	fd = memfd_create("layout", flags);
	if (fd < 0)
		return because(why, "memfd_create of %zu KiB pages: %s", mem->page_size / KIB,
			       strerror(errno));
	if (ftruncate(fd, (off_t)layout->alias)) {
		ret = because(why, "ftruncate: %s", strerror(errno));
		goto out;
	}
	for (size_t off = 0; off < mem->size; off += layout->alias) {
		if (mmap(mem->addr + off, layout->alias, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd, 0) != MAP_FAILED)
			continue;
		ret = because(why, "mmap of %zu pages of %zu KiB: %s",
			      layout->alias / mem->page_size, mem->page_size / KIB,
			      strerror(errno));
		break;
	}
out:
	close(fd);
	return ret;
}

/*
 * Folios of @bytes and no others where madvise() asks for large ones. Left so, as nothing else
 * runs in a test guest.
 */
static int enable_folios(size_t bytes, struct reason *why)
{
	char path[96];
	bool found = false;
	int ret;

	for (size_t size = 4 * KIB; size <= 2 * MIB; size *= 2) {
		snprintf(path, sizeof(path), THP "hugepages-%zukB/enabled", size / KIB);
		ret = write_string(path, size == bytes ? "madvise" : "never");
		if (ret && ret != -ENOENT)
			return because(why, "%s: %s", path, strerror(-ret));
		found |= !ret && size == bytes;
	}
	if (found)
		return 0;
	/* Kernels before 6.8 know THP only. */
	if (bytes != 2 * MIB)
		return because(why, "no folios of %zu KiB on this kernel", bytes / KIB);
	ret = write_string(THP "enabled", "madvise");
	if (ret)
		return because(why, "%senabled: %s", THP, strerror(-ret));
	return 0;
}

/*
 * A VMA that ends inside of a THP makes the kernel map it by PTEs, and it stays so when the VMA
 * is whole again.
 */
static int map_by_ptes(const struct memory *mem, struct reason *why)
{
	for (size_t off = 0; off < mem->size; off += mem->page_size)
		if (madvise(mem->addr + off, 4 * KIB, MADV_DONTDUMP) ||
		    madvise(mem->addr + off, 4 * KIB, MADV_DODUMP))
			return because(why, "MADV_DONTDUMP, MADV_DODUMP: %s", strerror(errno));
	return 0;
}

static int replace_pages(struct memory *mem, struct reason *why)
{
	const struct layout *layout = &mem->layout;
	size_t stretches = mem->size / layout->replace_every;

	mem->replaced = calloc(stretches, sizeof(*mem->replaced));
	if (!mem->replaced)
		return because(why, "out of memory");
	for (size_t i = 0; i < stretches; i++) {
		size_t thps = layout->replace_every / mem->page_size;
		/* 0, 511, 510, ... in THP 0, 3, 6, ... of its stretch. */
		size_t off = i * layout->replace_every + (i * 3 % thps) * mem->page_size +
			     (i * 511 % 512) * 4 * KIB;

		if (madvise(mem->addr + off, 4 * KIB, MADV_DONTNEED))
			return because(why, "MADV_DONTNEED of one page: %s", strerror(errno));
		*(volatile char *)(mem->addr + off) = 1;
		mem->replaced[mem->nr_replaced++] = off;
	}
	return 0;
}

static int map_anonymous(struct memory *mem, struct reason *why)
{
	bool large = mem->page_size > 4 * KIB;

	if (large && enable_folios(mem->page_size, why))
		return -1;
	if (mmap(mem->addr, mem->size, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		return because(why, "mmap: %s", strerror(errno));
	if (madvise(mem->addr, mem->size, large ? MADV_HUGEPAGE : MADV_NOHUGEPAGE))
		return because(why, "%s: %s", large ? "MADV_HUGEPAGE" : "MADV_NOHUGEPAGE",
			       strerror(errno));
	if (madvise(mem->addr, mem->size, MADV_POPULATE_WRITE))
		return because(why, "MADV_POPULATE_WRITE: %s", strerror(errno));
	/* What is large stays as it is; khugepaged must not collapse it. */
	if (large && madvise(mem->addr, mem->size, MADV_NOHUGEPAGE))
		return because(why, "MADV_NOHUGEPAGE: %s", strerror(errno));
	if (mem->layout.backing == BACKING_THP_PTES && map_by_ptes(mem, why))
		return -1;
	if (mem->layout.replace_every)
		return replace_pages(mem, why);
	return 0;
}

int memory_map(struct memory *mem, const struct layout *layout, struct reason *why)
{
	bool anonymous = backing_is_anonymous(layout->backing);
	int ret;

	memset(mem, 0, sizeof(*mem));
	mem->layout = *layout;
	mem->size = layout->size;
	mem->page_size = backing_page_size(layout->backing);
	if (!layout->alias)
		mem->layout.alias = layout->size;

	if (!mem->size || mem->size % mem->page_size || mem->size % mem->layout.alias ||
	    mem->layout.alias % mem->page_size || (anonymous && mem->layout.alias != mem->size))
		return because(why, "no such layout: %zu bytes aliased by %zu in pages of %zu KiB",
			       mem->size, mem->layout.alias, mem->page_size / KIB);

	ret = reserve(mem, why);
	if (!ret)
		ret = anonymous ? map_anonymous(mem, why) : map_memfd(mem, why);
	if (!ret)
		ret = memory_verify(mem, why);
	if (ret)
		memory_unmap(mem);
	return ret;
}

void memory_unmap(struct memory *mem)
{
	if (mem->reservation)
		munmap(mem->reservation, mem->reservation_size);
	free(mem->replaced);
	memset(mem, 0, sizeof(*mem));
}
