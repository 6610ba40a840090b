// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <linux/kernel-page-flags.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "folios.h"

#define PAGE			(4 * KIB)
#define PAGEMAP_PRESENT		(1ULL << 63)
#define PAGEMAP_PFN		((1ULL << 55) - 1)
#define HEAD			(1ULL << KPF_COMPOUND_HEAD)
#define TAIL			(1ULL << KPF_COMPOUND_TAIL)
/* Folios up to 2 MiB: they are aligned to their size. */
#define WINDOW			512

int folios_open(struct folio_source *source, struct reason *why)
{
	source->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	source->kpageflags = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	if (source->pagemap >= 0 && source->kpageflags >= 0)
		return 0;
	because(why, "pagemap, kpageflags: %s", strerror(errno));
	folios_close(source);
	return -1;
}

void folios_close(struct folio_source *source)
{
	if (source->pagemap >= 0)
		close(source->pagemap);
	if (source->kpageflags >= 0)
		close(source->kpageflags);
}

static int read_u64s(int fd, uint64_t index, uint64_t *values, size_t count)
{
	return pread(fd, values, count * 8, (off_t)(index * 8)) == (ssize_t)(count * 8) ? 0 : -1;
}

static int find_folio(const uint64_t *flags, uint64_t window, uint64_t pfn,
		      struct page_folio *page, struct reason *why)
{
	size_t at = pfn - window, end;

	page->head = pfn;
	page->nr_pages = 1;
	if (!(flags[at] & (HEAD | TAIL)))
		return 0;
	while (at && !(flags[at] & HEAD))
		at--;
	if (!(flags[at] & HEAD))
		return because(why, "page frame %#llx is a tail without a head",
			       (unsigned long long)pfn);
	for (end = at + 1; end < WINDOW && flags[end] & TAIL; end++)
		;
	page->head = window + at;
	page->nr_pages = (unsigned int)(end - at);
	return 0;
}

int folios_read(const struct folio_source *source, const char *addr, struct page_folio *pages,
		size_t count, struct reason *why)
{
	uint64_t flags[WINDOW], window = UINT64_MAX;

	for (size_t i = 0; i < count; i++) {
		uint64_t entry, pfn;

		if (read_u64s(source->pagemap, (uintptr_t)addr / PAGE + i, &entry, 1))
			return because(why, "reading pagemap: %s", strerror(errno));
		pfn = entry & PAGEMAP_PFN;
		if (!(entry & PAGEMAP_PRESENT) || !pfn)
			return because(why, "page %zu is not present, or its place is hidden", i);
		if (ALIGN_DOWN(pfn, WINDOW) != window) {
			window = ALIGN_DOWN(pfn, WINDOW);
			if (read_u64s(source->kpageflags, window, flags, WINDOW))
				return because(why, "reading kpageflags: %s", strerror(errno));
		}
		if (find_folio(flags, window, pfn, &pages[i], why))
			return -1;
	}
	return 0;
}

int movable_ranges(void (*add)(uint64_t start, uint64_t nr), struct reason *why)
{
	FILE *file = fopen("/proc/zoneinfo", "re");
	unsigned long long value, spanned = 0;
	bool movable = false;
	char line[256], zone[32];
	int node;

	if (!file)
		return because(why, "/proc/zoneinfo: %s", strerror(errno));
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "Node %d, zone %31s", &node, zone) == 2) {
			movable = !strcmp(zone, "Movable");
			spanned = 0;
		} else if (sscanf(line, " spanned %llu", &value) == 1) {
			spanned = value;
		} else if (movable && sscanf(line, " start_pfn: %llu", &value) == 1) {
			add(value, spanned);
		}
	}
	fclose(file);
	return 0;
}
