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

#define THP_ENABLED	"/sys/kernel/mm/transparent_hugepage/enabled"

size_t backing_page_size(enum backing backing)
{
	switch (backing) {
	case BACKING_4K:
		return 4 * KIB;
	case BACKING_THP:
	case BACKING_HUGETLB_2M:
		return 2 * MIB;
	case BACKING_HUGETLB_1G:
		return GIB;
	}
	abort();
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

static int map_hugetlb(struct memory *mem, struct reason *why)
{
	const struct layout *layout = &mem->layout;
	unsigned int flag = mem->page_size == GIB ? MFD_HUGE_1GB : MFD_HUGE_2MB;
	int fd, ret = 0;

	fd = memfd_create("layout", MFD_CLOEXEC | MFD_HUGETLB | flag);
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
		ret = because(why, "mmap of %zu huge pages of %zu KiB: %s",
			      layout->alias / mem->page_size, mem->page_size / KIB,
			      strerror(errno));
		break;
	}
out:
	close(fd);
	return ret;
}

/* Makes THP possible where it is switched off; left on, as nothing else runs in a test guest. */
static int enable_thp(struct reason *why)
{
	char line[64];
	int ret = read_line(THP_ENABLED, line, sizeof(line));

	if (ret)
		return because(why, "%s: %s", THP_ENABLED, strerror(-ret));
	if (!strstr(line, "[never]"))
		return 0;
	ret = write_string(THP_ENABLED, "madvise");
	if (ret)
		return because(why, "%s: %s", THP_ENABLED, strerror(-ret));
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
	bool thp = mem->layout.backing == BACKING_THP;

	if (thp && enable_thp(why))
		return -1;
	if (mmap(mem->addr, mem->size, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		return because(why, "mmap: %s", strerror(errno));
	if (madvise(mem->addr, mem->size, thp ? MADV_HUGEPAGE : MADV_NOHUGEPAGE))
		return because(why, "%s: %s", thp ? "MADV_HUGEPAGE" : "MADV_NOHUGEPAGE",
			       strerror(errno));
	if (madvise(mem->addr, mem->size, MADV_POPULATE_WRITE))
		return because(why, "MADV_POPULATE_WRITE: %s", strerror(errno));
	/* What is huge stays huge; khugepaged must not collapse what is split below. */
	if (thp && madvise(mem->addr, mem->size, MADV_NOHUGEPAGE))
		return because(why, "MADV_NOHUGEPAGE: %s", strerror(errno));
	if (mem->layout.replace_every)
		return replace_pages(mem, why);
	return 0;
}

int memory_map(struct memory *mem, const struct layout *layout, struct reason *why)
{
	bool hugetlb = layout->backing == BACKING_HUGETLB_2M ||
		       layout->backing == BACKING_HUGETLB_1G;
	int ret;

	memset(mem, 0, sizeof(*mem));
	mem->layout = *layout;
	mem->size = layout->size;
	mem->page_size = backing_page_size(layout->backing);
	if (!layout->alias)
		mem->layout.alias = layout->size;

	if (!mem->size || mem->size % mem->page_size || mem->size % mem->layout.alias ||
	    mem->layout.alias % mem->page_size || (!hugetlb && mem->layout.alias != mem->size))
		return because(why, "no such layout: %zu bytes aliased by %zu in pages of %zu KiB",
			       mem->size, mem->layout.alias, mem->page_size / KIB);

	ret = reserve(mem, why);
	if (!ret)
		ret = hugetlb ? map_hugetlb(mem, why) : map_anonymous(mem, why);
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
