// SPDX-License-Identifier: GPL-2.0
/*
 * memory_verify(): smaps says how memory is mapped, pagemap where it is, kpageflags what the
 * pages there are parts of.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kernel-page-flags.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "layouts.h"

#define PAGEMAP_PRESENT		(1ULL << 63)
#define PAGEMAP_PFN		((1ULL << 55) - 1)
#define THP_PAGES		512
/* Single pages whose flags are looked at; their mapping sizes are checked for all. */
#define FLAG_SAMPLES		512

/* Sums over the parts of all VMAs that cover a range. All VMAs must lie inside the range. */
struct smaps {
	uint64_t size_kb;
	uint64_t rss_kb;
	uint64_t thp_kb;
	uint64_t hugetlb_kb;
	uint64_t page_kb_min;
	uint64_t page_kb_max;
};

static int read_smaps(const struct memory *mem, struct smaps *sum, struct reason *why)
{
	uintptr_t start = (uintptr_t)mem->addr, end = start + mem->size;
	FILE *file = fopen("/proc/self/smaps", "re");
	bool inside = false;
	char line[512];

	memset(sum, 0, sizeof(*sum));
	sum->page_kb_min = UINT64_MAX;
	if (!file)
		return because(why, "/proc/self/smaps: %s", strerror(errno));
	while (fgets(line, sizeof(line), file)) {
		unsigned long from, to;
		unsigned long long kb;
		char key[64];

		if (sscanf(line, "%lx-%lx ", &from, &to) == 2) {
			inside = from >= start && to <= end;
			continue;
		}
		if (!inside || sscanf(line, "%63[^:]: %llu kB", key, &kb) != 2)
			continue;
		if (!strcmp(key, "Size"))
			sum->size_kb += kb;
		else if (!strcmp(key, "Rss"))
			sum->rss_kb += kb;
		else if (!strcmp(key, "AnonHugePages"))
			sum->thp_kb += kb;
		else if (!strcmp(key, "Shared_Hugetlb") || !strcmp(key, "Private_Hugetlb"))
			sum->hugetlb_kb += kb;
		else if (!strcmp(key, "KernelPageSize")) {
			sum->page_kb_min = kb < sum->page_kb_min ? kb : sum->page_kb_min;
			sum->page_kb_max = kb > sum->page_kb_max ? kb : sum->page_kb_max;
		}
	}
	fclose(file);
	return 0;
}

static int read_u64s(const char *path, uint64_t index, uint64_t *values, size_t count,
		     struct reason *why)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t done;

	if (fd < 0)
		return because(why, "%s: %s", path, strerror(errno));
	done = pread(fd, values, count * 8, (off_t)(index * 8));
	close(fd);
	if (done != (ssize_t)(count * 8))
		return because(why, "%s: %s", path, done < 0 ? strerror(errno) : "short read");
	return 0;
}

static int read_pfns(const char *addr, uint64_t *pfns, size_t count, struct reason *why)
{
	if (read_u64s("/proc/self/pagemap", (uintptr_t)addr / (4 * KIB), pfns, count, why))
		return -1;
	for (size_t i = 0; i < count; i++) {
		if (!(pfns[i] & PAGEMAP_PRESENT))
			return because(why, "page at %p is not present", addr + i * 4 * KIB);
		pfns[i] &= PAGEMAP_PFN;
		if (!pfns[i])
			return because(why, "pagemap hides page frame numbers: not root?");
	}
	return 0;
}

#define FLAG(name)	(1ULL << KPF_##name)

static int check_flags(uint64_t pfn, uint64_t wanted, uint64_t unwanted, struct reason *why)
{
	uint64_t flags;

	if (read_u64s("/proc/kpageflags", pfn, &flags, 1, why))
		return -1;
	if ((flags & wanted) != wanted || (flags & unwanted))
		return because(why, "page frame %#llx: flags %#llx, wanted %#llx, unwanted %#llx",
			       (unsigned long long)pfn, (unsigned long long)flags,
			       (unsigned long long)wanted, (unsigned long long)unwanted);
	return 0;
}

#define SINGLE_NOT	(FLAG(COMPOUND_HEAD) | FLAG(COMPOUND_TAIL) | FLAG(THP) | FLAG(HUGE))

static int check_single_pages(const struct memory *mem, struct reason *why)
{
	uint64_t kind = FLAG(SWAPBACKED) | (mem->layout.backing == BACKING_4K ? FLAG(ANON) : 0);
	size_t pages = mem->size / (4 * KIB);
	size_t samples = min_size(pages, FLAG_SAMPLES);

	for (size_t i = 0; i < samples; i++) {
		uint64_t pfn;

		if (read_pfns(mem->addr + i * (pages / samples) * 4 * KIB, &pfn, 1, why) ||
		    check_flags(pfn, kind, SINGLE_NOT, why))
			return -1;
	}
	return 0;
}

/* Every page of a folio that is mapped by PTEs is where it belongs, and the folio ends there. */
static int check_folio(const char *addr, size_t pages, struct reason *why)
{
	uint64_t pfns[THP_PAGES], flags[THP_PAGES];

	if (read_pfns(addr, pfns, pages, why) ||
	    read_u64s("/proc/kpageflags", pfns[0], flags, pages, why))
		return -1;
	for (size_t i = 0; i < pages; i++) {
		if (pfns[0] % pages || pfns[i] != pfns[0] + i)
			return because(why, "page %zu of the folio at %p is page frame %#llx", i,
				       addr, (unsigned long long)pfns[i]);
		if (!(flags[i] & FLAG(ANON)) || flags[i] & FLAG(HUGE) ||
		    !(flags[i] & (i ? FLAG(COMPOUND_TAIL) : FLAG(COMPOUND_HEAD))))
			return because(why, "page %zu of the folio at %p: flags %#llx", i, addr,
				       (unsigned long long)flags[i]);
	}
	return 0;
}

static int check_folios(const struct memory *mem, struct reason *why)
{
	uint64_t next;

	for (size_t off = 0; off < mem->size; off += mem->page_size) {
		if (check_folio(mem->addr + off, mem->page_size / (4 * KIB), why))
			return -1;
		/* A larger folio would go on behind its end. */
		if (read_pfns(mem->addr + off, &next, 1, why) ||
		    check_flags(next + mem->page_size / (4 * KIB), 0, FLAG(COMPOUND_TAIL), why))
			return -1;
	}
	return 0;
}

/* A THP that is still there behind its PTEs, but for one page. */
static int check_replaced(const struct memory *mem, size_t replaced, struct reason *why)
{
	size_t thp = ALIGN_DOWN(replaced, mem->page_size);
	size_t odd = (replaced - thp) / (4 * KIB);
	uint64_t pfns[THP_PAGES], first;

	if (read_pfns(mem->addr + thp, pfns, THP_PAGES, why))
		return -1;
	first = odd ? pfns[0] : pfns[1] - 1;
	if (first % THP_PAGES)
		return because(why, "THP at offset %#zx starts at page frame %#llx", thp,
			       (unsigned long long)first);
	for (size_t i = 0; i < THP_PAGES; i++)
		if ((i == odd) == (pfns[i] == first + i))
			return because(why, "page %zu of the THP at offset %#zx is %s", i, thp,
				       i == odd ? "not replaced" : "not its own");
	return check_flags(pfns[odd], FLAG(ANON), SINGLE_NOT, why) ||
	       check_flags(pfns[odd ? 0 : 1], FLAG(THP), FLAG(HUGE), why) ? -1 : 0;
}

int memory_verify(const struct memory *mem, struct reason *why)
{
	enum backing backing = mem->layout.backing;
	bool hugetlb = backing == BACKING_HUGETLB_2M || backing == BACKING_HUGETLB_1G;
	uint64_t kb = mem->size / KIB, page_kb = hugetlb ? mem->page_size / KIB : 4;
	uint64_t thp_kb = backing == BACKING_THP ?
		(mem->size - mem->nr_replaced * mem->page_size) / KIB : 0;
	struct smaps sum;

	if (read_smaps(mem, &sum, why))
		return -1;
	if (sum.size_kb != kb)
		return because(why, "smaps shows %llu of %llu KiB",
			       (unsigned long long)sum.size_kb, (unsigned long long)kb);
	if (sum.page_kb_min != page_kb || sum.page_kb_max != page_kb)
		return because(why, "pages of %llu to %llu KiB instead of %llu",
			       (unsigned long long)sum.page_kb_min,
			       (unsigned long long)sum.page_kb_max, (unsigned long long)page_kb);
	if (sum.thp_kb != thp_kb)
		return because(why, "%llu KiB mapped by PMD as THP instead of %llu",
			       (unsigned long long)sum.thp_kb, (unsigned long long)thp_kb);
	if (sum.hugetlb_kb != (hugetlb ? kb : 0) || sum.rss_kb != (hugetlb ? 0 : kb))
		return because(why, "%llu KiB of hugetlb, %llu KiB of other pages of %llu present",
			       (unsigned long long)sum.hugetlb_kb, (unsigned long long)sum.rss_kb,
			       (unsigned long long)kb);
	if (backing == BACKING_4K || backing == BACKING_SHMEM_4K)
		return check_single_pages(mem, why);
	if (backing_is_anonymous(backing) && backing != BACKING_THP)
		return check_folios(mem, why);
	for (size_t i = 0; i < mem->nr_replaced; i++)
		if (check_replaced(mem, mem->replaced[i], why))
			return -1;
	return 0;
}
