// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <linux/memfd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "acct_arena.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define PAGE		(4 * KIB)
#define HUGE		(2 * MIB)
#define THP_SETTINGS	"/sys/kernel/mm/transparent_hugepage/"

/* In this order. A part starts at a multiple of its folios. */
static const struct part {
	enum { THP, HUGETLB, MTHP, SINGLE } kind;
	size_t size;
	unsigned int folio_pages;
	/* The first page of all those that are replaced by single ones, and how many to the next. */
	size_t replaced, every;
} parts[] = {
	{ THP, 2 * HUGE, 512, 0, 0 },
	{ THP, HUGE, 512, 100, 512 },
	/* More runs than the kernel keeps in a page, many of one folio. */
	{ THP, 2 * HUGE, 512, 1, 2 },
	{ MTHP, MIB, 16, 0, 0 },
	{ SINGLE, MIB, 1, 0, 0 },
	/* Two pages, and the first of them again. */
	{ HUGETLB, 3 * HUGE, 512, 0, 0 },
};

#define HUGETLB_SIZE	(2 * HUGE)

static int map_hugetlb(char *addr, size_t size, struct reason *why)
{
	int fd = memfd_create("arena", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB), ret = 0;

	if (fd < 0 || ftruncate(fd, HUGETLB_SIZE))
		ret = because(why, "huge pages: %s", strerror(errno));
	for (size_t off = 0; !ret && off < size; off += HUGETLB_SIZE)
		if (mmap(addr + off, min_size(HUGETLB_SIZE, size - off), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd, 0) == MAP_FAILED)
			ret = because(why, "mmap of huge pages: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
	return ret;
}

static int map_part(const struct part *part, char *addr, struct reason *why)
{
	bool huge = part->kind == THP || part->kind == MTHP;

	if (part->kind == HUGETLB)
		return map_hugetlb(addr, part->size, why);
	if (mmap(addr, part->size, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		return because(why, "mmap: %s", strerror(errno));
	/* What is populated stays as it is: khugepaged keeps off. */
	if (madvise(addr, part->size, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE) ||
	    madvise(addr, part->size, MADV_POPULATE_WRITE) ||
	    madvise(addr, part->size, MADV_NOHUGEPAGE))
		return because(why, "madvise: %s", strerror(errno));
	for (size_t i = part->replaced; part->every && i < part->size / PAGE; i += part->every) {
		if (madvise(addr + i * PAGE, PAGE, MADV_DONTNEED))
			return because(why, "MADV_DONTNEED: %s", strerror(errno));
		*(volatile char *)(addr + i * PAGE) = 1;
	}
	return 0;
}

/* That the parts are what the table says; numbers for folios, in the order of their addresses. */
static int number_folios(struct acct_arena *arena, struct reason *why)
{
	struct acct_memory *memory = &arena->memory;
	size_t page = 0;

	memory->nr_pages = arena->size / PAGE;
	memory->folio = calloc(memory->nr_pages, sizeof(*memory->folio));
	memory->folio_pages = calloc(memory->nr_pages, sizeof(*memory->folio_pages));
	if (!memory->folio || !memory->folio_pages)
		die("out of memory");
	for (size_t p = 0; p < ARRAY_SIZE(parts); p++) {
		for (size_t i = 0; i < parts[p].size / PAGE; i++, page++) {
			const struct page_folio *it = &arena->pages[page];
			bool odd = parts[p].every && i % parts[p].every == parts[p].replaced;
			unsigned int n = odd ? 1 : parts[p].folio_pages;
			size_t same = 0;

			if (it->nr_pages != n)
				return because(why, "page %zu of part %zu is in a folio of %u, not %u",
					       i, p, it->nr_pages, n);
			while (arena->pages[same].head != it->head)
				same++;
			if (same < page) {
				memory->folio[page] = memory->folio[same];
				continue;
			}
			memory->folio_pages[memory->nr_folios] = n;
			memory->folio[page] = memory->nr_folios++;
		}
	}
	return 0;
}

int acct_arena_map(struct acct_arena *arena, struct reason *why)
{
	size_t off = 0, room;
	uintptr_t start;
	char *reserved;

	memset(arena, 0, sizeof(*arena));
	if (write_string(THP_SETTINGS "enabled", "madvise") ||
	    write_string(THP_SETTINGS "hugepages-64kB/enabled", "madvise"))
		return because(why, "folios of 64 KiB and 2 MiB cannot be switched on");
	for (size_t p = 0; p < ARRAY_SIZE(parts); p++)
		arena->size += parts[p].size;
	room = arena->size + 2 * HUGE;
	reserved = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (reserved == MAP_FAILED)
		return because(why, "mmap: %s", strerror(errno));
	start = ALIGN_UP((uintptr_t)reserved + PAGE, HUGE);
	arena->addr = (char *)start;
	for (size_t p = 0; p < ARRAY_SIZE(parts); off += parts[p++].size)
		if (map_part(&parts[p], arena->addr + off, why))
			return -1;

	arena->pages = calloc(arena->size / PAGE, sizeof(*arena->pages));
	if (!arena->pages)
		die("out of memory");
	return folios_open(&arena->source, why) ||
	       folios_read(&arena->source, arena->addr, arena->pages, arena->size / PAGE, why) ||
	       number_folios(arena, why) ? -1 : 0;
}

int acct_arena_check(const struct acct_arena *arena, struct reason *why)
{
	size_t nr = arena->size / PAGE;
	struct page_folio *now = calloc(nr, sizeof(*now));
	int ret;

	if (!now)
		die("out of memory");
	ret = folios_read(&arena->source, arena->addr, now, nr, why);
	/* Migrated is all right, for folios stay what they are: the sizes decide. */
	for (size_t i = 0; !ret && i < nr; i++)
		if (now[i].nr_pages != arena->pages[i].nr_pages)
			ret = because(why, "page %zu was in a folio of %u and is in one of %u", i,
				      arena->pages[i].nr_pages, now[i].nr_pages);
	free(now);
	return ret;
}
