// SPDX-License-Identifier: GPL-2.0
/* The disturbers: what happens to memory while it is being pinned. */
#include <errno.h>
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "race.h"
#include "zram.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25
#endif

#define THP_DIR		"/sys/kernel/mm/transparent_hugepage/"
#define KSM_DIR		"/sys/kernel/mm/ksm/"
#define SPLIT_FILE	"/sys/kernel/debug/split_huge_pages"
#define POISON_DIR	"/sys/kernel/debug/hwpoison/"

#define ALL_KINDS	((1U << KINDS) - 1)
#define THP_KINDS	(1U << KIND_THP | 1U << KIND_THP_PTE)

struct setting {
	const char *path;
	const char *value;
};

static int apply(const struct setting *settings, size_t nr, struct reason *why)
{
	for (size_t i = 0; i < nr; i++) {
		int ret = write_string(settings[i].path, settings[i].value);

		if (ret)
			return because(why, "%s to %s: %s", settings[i].value, settings[i].path,
				       strerror(-ret));
	}
	return 0;
}

static char *at(const struct race *race, size_t page)
{
	return race->area + page * PAGE;
}

static void spin_us(uint64_t us)
{
	uint64_t end = now_ns() + us * 1000;

	while (now_ns() < end)
		;
}

/* --- fork ---------------------------------------------------------------- */

/*
 * The child's memory is its own: it changes only when the child writes to it, and what the child
 * writes does not show in the parent, whose checks see to that.
 */
static int child_main(struct race *race, uint64_t rng)
{
	static uint64_t before[AREA_PAGES][3];

	for (size_t i = 0; i < AREA_PAGES; i++) {
		const struct race_page *page = area_page(race, i);

		before[i][0] = page->process;
		before[i][1] = page->pin;
		before[i][2] = page->self;
	}
	for (int n = rng_below(&rng, 4); n >= 0; n--) {
		spin_us(rng_below(&rng, 1000));
		for (size_t i = 0; i < AREA_PAGES; i++) {
			const struct race_page *page = area_page(race, i);

			if (page->process != before[i][0] || page->pin != before[i][1] ||
			    page->self != before[i][2])
				return 1;
		}
	}
	for (size_t i = rng_below(&rng, AREA_PAGES); i < AREA_PAGES; i += 1 + rng_below(&rng, 64))
		area_page(race, i)->process = word_make(WORD_CHILD, 0, i);
	return 0;
}

static uint64_t disturb_fork(struct race *race)
{
	uint64_t rng = rng_next(&race->rng);
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(child_main(race, rng));
	if (pid < 0) {
		race_fail(race, "fork: %s", strerror(errno));
		return 0;
	}
	if (waitpid(pid, &status, 0) != pid)
		race_fail(race, "waitpid: %s", strerror(errno));
	else if (WIFSIGNALED(status))
		race_fail(race, "the child died of signal %d", WTERMSIG(status));
	else if (WEXITSTATUS(status))
		race_fail(race, "%s: the child's memory changes, and not by the child",
			  kind_names[race->kind]);
	return 1;
}

/* --- pages given up ------------------------------------------------------ */

/* Long times are for a kernel that holds pins up, and waits for this. */
static void linger(struct race *race)
{
	if (race->linger_us >= 1000)
		usleep((useconds_t)race->linger_us);
	else if (rng_below(&race->rng, 2))
		spin_us(rng_below(&race->rng, race->linger_us));
}

/*
 * Allocates as many pages as were given up, most likely the same ones, and looks whether somebody
 * else writes to them.
 */
static void steal(struct race *race, size_t nr)
{
	struct race_page *pages = (struct race_page *)race->thief;
	uint64_t generation = ++race->steal_generation;

	for (size_t i = 0; i < nr; i++) {
		pages[i].process = word_make(WORD_STOLEN, generation, i);
		pages[i].pin = pages[i].process;
		pages[i].self = pages[i].process;
	}
	linger(race);
	for (size_t i = 0; i < nr; i++) {
		uint64_t word = word_make(WORD_STOLEN, generation, i);

		if (pages[i].process == word && pages[i].pin == word && pages[i].self == word)
			continue;
		race_fail(race, "%s: page %zu of the memory allocated next is written to: "
			  "%llx %llx %llx instead of %llx", kind_names[race->kind], i,
			  (unsigned long long)pages[i].process, (unsigned long long)pages[i].pin,
			  (unsigned long long)pages[i].self, (unsigned long long)word);
		break;
	}
	madvise(race->thief, nr * PAGE, MADV_DONTNEED);
}

/* The process's new content, or nothing: then the pin has to fault it in. */
static void refill(struct race *race, size_t first, size_t nr)
{
	race->generation++;
	if (!rng_below(&race->rng, 4))
		return;
	for (size_t i = first; i < first + nr; i++) {
		area_page(race, i)->process = word_make(WORD_PROCESS, race->generation, i);
		area_page(race, i)->self = word_make(WORD_SELF, race->generation, i);
	}
}

static void map_again(struct race *race, size_t first, size_t nr)
{
	if (mmap(at(race, first), nr * PAGE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		die("mmap of what was unmapped: %s", strerror(errno));
	if (race->kind != KIND_SMALL)
		madvise(at(race, first), nr * PAGE, MADV_HUGEPAGE);
}

static uint64_t unmap(struct race *race, size_t max)
{
	size_t first, nr;

	race_pick(race, max, &first, &nr);
	if (munmap(at(race, first), nr * PAGE))
		die("munmap: %s", strerror(errno));
	steal(race, nr);
	map_again(race, first, nr);
	refill(race, first, nr);
	return 1;
}

static uint64_t disturb_munmap(struct race *race)
{
	return unmap(race, AREA_PAGES);
}

/* Single pages of large folios; a fresh THP from time to time. */
static uint64_t disturb_partial_unmap(struct race *race)
{
	size_t half = HUGE_PAGE / PAGE, first;

	if (rng_below(&race->rng, 64))
		return unmap(race, 8);
	first = rng_below(&race->rng, 2) * half;
	munmap(at(race, first), HUGE_PAGE);
	map_again(race, first, half);
	refill(race, first, half);
	return 1;
}

static uint64_t disturb_dontneed(struct race *race)
{
	size_t first, nr;

	race_pick(race, AREA_PAGES, &first, &nr);
	if (madvise(at(race, first), nr * PAGE, MADV_DONTNEED)) {
		race_fail(race, "MADV_DONTNEED: %s", strerror(errno));
		return 0;
	}
	steal(race, nr);
	refill(race, first, nr);
	return 1;
}

/* --- the mapping changes, the pages do not -------------------------------- */

static void move_range(struct race *race, char *from, char *to, size_t first, size_t nr)
{
	if (mremap(from + first * PAGE, nr * PAGE, nr * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		   to + first * PAGE) == MAP_FAILED)
		die("mremap: %s", strerror(errno));
	(void)race;
}

static uint64_t disturb_mremap(struct race *race)
{
	size_t first, nr;

	race_pick(race, AREA_PAGES, &first, &nr);
	if (!rng_below(&race->rng, 4)) {	/* whole page tables */
		first = 0;
		nr = AREA_PAGES;
	}
	move_range(race, race->area, race->other, first, nr);
	spin_us(rng_below(&race->rng, 100));
	move_range(race, race->other, race->area, first, nr);
	return 1;
}

/* As much as possible of the range is at the other place when it is given up. */
static uint64_t disturb_mremap_discard(struct race *race)
{
	size_t first, nr, lost, nr_lost;

	race_pick(race, AREA_PAGES, &first, &nr);
	if (!rng_below(&race->rng, 4)) {
		first = 0;
		nr = AREA_PAGES;
	}
	nr_lost = 1 + rng_below(&race->rng, min_size(nr, 64));
	lost = first + rng_below(&race->rng, nr - nr_lost + 1);
	move_range(race, race->area, race->other, first, nr);
	if (madvise(race->other + lost * PAGE, nr_lost * PAGE, MADV_DONTNEED))
		die("MADV_DONTNEED: %s", strerror(errno));
	steal(race, nr_lost);
	move_range(race, race->other, race->area, first, nr);
	refill(race, lost, nr_lost);
	return 1;
}

static void protect(struct race *race, size_t first, size_t nr, int rights)
{
	if (mprotect(at(race, first), nr * PAGE, rights))
		die("mprotect: %s", strerror(errno));
	memset(race->rights + first, rights, nr);
}

static uint64_t disturb_mprotect(struct race *race)
{
	static const int protections[] = { PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE };
	size_t first, nr;

	race_pick(race, AREA_PAGES, &first, &nr);
	protect(race, first, nr, protections[rng_below(&race->rng, 3)]);
	if (rng_below(&race->rng, 2))
		protect(race, first, nr, PROT_READ | PROT_WRITE);
	return 1;
}

static void settle_mprotect(struct race *race)
{
	protect(race, 0, AREA_PAGES, PROT_READ | PROT_WRITE);
}

/* --- KSM ------------------------------------------------------------------ */

static int start_ksm(struct race *race, struct reason *why)
{
	static const struct setting settings[] = {
		{ KSM_DIR "sleep_millisecs", "0" },
		{ KSM_DIR "pages_to_scan", "2000" },
		{ KSM_DIR "smart_scan", "0" },
		{ KSM_DIR "run", "1" },
	};

	(void)race;
	return apply(settings, ARRAY_SIZE(settings), why);
}

static void stop_ksm(struct race *race)
{
	(void)race;
	write_string(KSM_DIR "run", "2");	/* unmerge all */
}

/* Pages that stay merged, so that there always is something to merge with. */
static void prepare_ksm(struct race *race)
{
	struct race_page *pages = (struct race_page *)race->thief;

	for (size_t i = 0; i < 4; i++) {
		memset(&pages[i], 0, sizeof(pages[i]));
		pages[i].process = WORD_EQUAL;
		pages[i].pin = WORD_EQUAL;
		pages[i].self = WORD_EQUAL;
	}
	if (madvise(race->thief, 4 * PAGE, MADV_MERGEABLE) ||
	    madvise(race->area, AREA_SIZE, MADV_MERGEABLE))
		die("MADV_MERGEABLE: %s", strerror(errno));
}

/* ksmd does the work; this takes some of it back. */
static uint64_t disturb_ksm(struct race *race)
{
	size_t first, nr;

	usleep(1000 + rng_below(&race->rng, 4000));
	if (rng_below(&race->rng, 8))
		return 0;
	race_pick(race, 64, &first, &nr);
	if (madvise(at(race, first), nr * PAGE, MADV_UNMERGEABLE) ||
	    madvise(at(race, first), nr * PAGE, MADV_MERGEABLE))
		race_fail(race, "MADV_UNMERGEABLE: %s", strerror(errno));
	return 0;
}

/* --- collapse and split ----------------------------------------------------- */

/* Every page of the range is in a folio of this order afterwards, unless it is pinned. */
static void split(struct race *race, size_t first, size_t nr, unsigned int order)
{
	char text[96];

	snprintf(text, sizeof(text), "%d,0x%lx,0x%lx,%u", getpid(), (unsigned long)at(race, first),
		 (unsigned long)at(race, first + nr), order);
	/* EAGAIN: the folios are pinned */
	write_string(SPLIT_FILE, text);
}

static uint64_t collapse(struct race *race, size_t half)
{
	size_t pages = HUGE_PAGE / PAGE;

	return !madvise(at(race, half * pages), HUGE_PAGE, MADV_COLLAPSE);
}

static int start_collapse(struct race *race, struct reason *why)
{
	static const struct setting settings[] = {
		{ THP_DIR "khugepaged/scan_sleep_millisecs", "0" },
		{ THP_DIR "khugepaged/alloc_sleep_millisecs", "0" },
		{ THP_DIR "khugepaged/pages_to_scan", "4096" },
	};

	(void)race;
	return apply(settings, ARRAY_SIZE(settings), why);
}

static void stop_collapse(struct race *race)
{
	(void)race;
	write_string(THP_DIR "khugepaged/scan_sleep_millisecs", "10000");
}

/* khugepaged does the same; only it has to find them in small pieces again. */
static uint64_t disturb_collapse(struct race *race)
{
	size_t half = rng_below(&race->rng, 2), pages = HUGE_PAGE / PAGE;

	split(race, half * pages, pages, 0);
	if (!rng_below(&race->rng, 4))
		usleep(rng_below(&race->rng, 4000));
	return collapse(race, half);
}

static uint64_t disturb_split(struct race *race)
{
	size_t half = rng_below(&race->rng, 2), pages = HUGE_PAGE / PAGE, first, nr;
	static const unsigned int orders[] = { 0, 0, 2, 4, 8 };

	collapse(race, half);
	if (rng_below(&race->rng, 2)) {		/* all of it */
		first = half * pages;
		nr = pages;
	} else {
		race_pick(race, 64, &first, &nr);
	}
	split(race, first, nr, orders[rng_below(&race->rng, ARRAY_SIZE(orders))]);
	return 0;
}

/* --- migration -------------------------------------------------------------- */

static int start_migrate(struct race *race, struct reason *why)
{
	(void)race;
	if (access("/sys/devices/system/node/node1", F_OK))
		return because(why, "there is one NUMA node only (numa=fake=2)");
	return 0;
}

static uint64_t disturb_migrate(struct race *race)
{
	static void *pages[AREA_PAGES];
	static int nodes[AREA_PAGES], status[AREA_PAGES];
	int node = (int)rng_below(&race->rng, 2);
	size_t first, nr;

	race_pick(race, 64, &first, &nr);
	for (size_t i = 0; i < nr; i++) {
		pages[i] = at(race, first + i);
		nodes[i] = node;
	}
	if (syscall(SYS_move_pages, 0, nr, pages, nodes, status, MPOL_MF_MOVE) < 0)
		race_fail(race, "move_pages: %s", strerror(errno));
	if (!rng_below(&race->rng, 256))
		write_string("/proc/sys/vm/compact_memory", "1");
	return 0;
}

/* --- memory failure --------------------------------------------------------- */

static void on_sigbus(int number, siginfo_t *info, void *context)
{
	static const char text[] = "SIGBUS that is not about a poisoned page\n";

	(void)number;
	(void)context;
	if (info->si_code == BUS_MCEERR_AR || info->si_code == BUS_MCEERR_AO)
		return;
	_exit(write(2, text, sizeof(text) - 1) > 0 ? 1 : 2);
}

static int start_poison(struct race *race, struct reason *why)
{
	struct sigaction action = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO };

	race->nr_poisoned = 0;
	if (access(POISON_DIR "unpoison-pfn", W_OK))
		return because(why, POISON_DIR "unpoison-pfn: %s", strerror(errno));
	sigaction(SIGBUS, &action, NULL);
	return 0;
}

/* The kernel keeps poisoned pages out of use: give them back. */
static void stop_poison(struct race *race)
{
	char text[32];

	for (size_t i = 0; i < race->nr_poisoned; i++) {
		snprintf(text, sizeof(text), "0x%llx", (unsigned long long)race->poisoned[i]);
		write_string(POISON_DIR "unpoison-pfn", text);
	}
	signal(SIGBUS, SIG_DFL);
}

static uint64_t pfn_of(const void *addr)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry = 0;

	if (fd < 0 || pread(fd, &entry, 8, (off_t)((uintptr_t)addr / PAGE * 8)) != 8)
		die("/proc/self/pagemap: %s", strerror(errno));
	close(fd);
	return entry >> 63 ? entry & ((1ULL << 55) - 1) : 0;
}

/* Few of them: the kernel has something to say about each. */
static uint64_t disturb_poison(struct race *race)
{
	size_t first, nr;
	uint64_t pfn;
	int ret;

	usleep(10000 + rng_below(&race->rng, 20000));
	if (race->nr_poisoned == ARRAY_SIZE(race->poisoned))
		return 0;
	race_pick(race, 1, &first, &nr);
	((volatile struct race_page *)area_page(race, first))->touched = 1;
	pfn = pfn_of(at(race, first));
	ret = madvise(at(race, first), PAGE, MADV_HWPOISON);
	/* Busy: part of a THP that cannot be split. It may be poisoned already, and in use. */
	if (ret && errno != EBUSY && errno != EHWPOISON)
		race_fail(race, "MADV_HWPOISON: %s", strerror(errno));
	race->poisoned[race->nr_poisoned++] = pfn;
	usleep(rng_below(&race->rng, 2000));
	/* What is mapped there now must not be touched. */
	if (rng_below(&race->rng, 2))
		map_again(race, first, 1);
	else
		madvise(at(race, first), PAGE, MADV_DONTNEED);
	refill(race, first, nr);
	return 1;
}

/* --- reclaim ------------------------------------------------------------------ */

/* Pages that the process does not need any more are taken away, if nobody holds them. */
static uint64_t disturb_lazyfree(struct race *race)
{
	size_t first, nr;

	race_pick(race, 64, &first, &nr);
	for (size_t i = first; i < first + nr; i++)
		area_page(race, i)->touched = 1;
	if (madvise(at(race, first), nr * PAGE, MADV_FREE) ||
	    madvise(at(race, first), nr * PAGE, MADV_PAGEOUT))
		race_fail(race, "MADV_FREE: %s", strerror(errno));
	return 0;
}

static int start_swap(struct race *race, struct reason *why)
{
	(void)race;
	return zram_swap_on("64M", why);
}

static void stop_swap(struct race *race)
{
	struct reason why;

	if (zram_swap_off(&why))
		race_fail(race, "%s", why.text);
}

static uint64_t disturb_swap(struct race *race)
{
	size_t first, nr;

	race_pick(race, 64, &first, &nr);
	if (madvise(at(race, first), nr * PAGE, MADV_PAGEOUT))
		race_fail(race, "MADV_PAGEOUT: %s", strerror(errno));
	return 0;
}

/* --- contpte blocks of arm64 ------------------------------------------------- */

#ifdef __aarch64__
#define BLOCK_PAGES	(64 * KIB / PAGE)

/* What has been accessed of the mapping of the area, in bytes. */
static uint64_t accessed(const struct race *race)
{
	FILE *file = fopen("/proc/self/smaps", "re");
	bool found = false;
	uint64_t kib = 0;
	char line[512];

	if (!file)
		die("cannot read /proc/self/smaps");
	while (fgets(line, sizeof(line), file)) {
		unsigned long from, to;

		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			found = from <= (uintptr_t)race->area && (uintptr_t)race->area < to;
		else if (found && sscanf(line, "Referenced: %lu kB", &kib) == 1)
			break;
	}
	fclose(file);
	return kib * KIB;
}

/* Writes every entry anew, and so makes a block of those that can be one. */
static void rewrite(struct race *race, size_t first, size_t nr)
{
	protect(race, first, nr, PROT_READ);
	protect(race, first, nr, PROT_READ | PROT_WRITE);
}

/*
 * The accessed bit of one entry is that of its whole block: that is how to see from here whether
 * there is one. The entries @first to @first + @nr are written anew before.
 */
static void expect_block(struct race *race, size_t first, size_t nr, bool block)
{
	uint64_t size;

	if (write_string("/proc/self/clear_refs", "1"))
		die("cannot write to /proc/self/clear_refs");
	rewrite(race, first, nr);
	((volatile struct race_page *)area_page(race, first))->touched = 1;
	size = accessed(race);
	if (size != (block ? BLOCK_PAGES * PAGE : PAGE))
		race_fail(race, "%s, %zu pages written anew at page %zu: one access makes %llu KiB "
			  "accessed, %s", kind_names[race->kind], nr, first,
			  (unsigned long long)(size / KIB),
			  block ? "no contpte block" : "still a contpte block");
}

/* Are there blocks, and do they come and go by what this case does? */
static void prepare_contpte(struct race *race)
{
	expect_block(race, 0, AREA_PAGES, true);
	expect_block(race, 3, 1, false);
	expect_block(race, BLOCK_PAGES - 1, 1, true);
}

static void discard(struct race *race, size_t first, size_t nr)
{
	if (madvise(at(race, first), nr * PAGE, MADV_DONTNEED))
		die("MADV_DONTNEED: %s", strerror(errno));
	steal(race, nr);
	refill(race, first, nr);
}

/*
 * A block is split for what happens to one of its pages, and is put together again when its last
 * entry is written and all are alike.
 */
static uint64_t disturb_contpte(struct race *race)
{
	size_t first, nr, block;

	race_pick(race, 1, &first, &nr);
	block = ALIGN_DOWN(first, BLOCK_PAGES);
	switch (rng_below(&race->rng, 16)) {
	case 0:
		disturb_fork(race);
		break;
	case 1:
		discard(race, first, 1);
		break;
	case 2:
		munmap(at(race, first), PAGE);
		steal(race, 1);
		map_again(race, first, 1);
		refill(race, first, 1);
		break;
	case 3 ... 5:			/* folios and blocks that are new */
		discard(race, block, BLOCK_PAGES);
		break;
	case 6 ... 8:
		move_range(race, race->area, race->other, first, 1);
		move_range(race, race->other, race->area, first, 1);
		break;
	default:
		rewrite(race, first, 1);
	}
	rewrite(race, block + BLOCK_PAGES - 1, 1);
	return 1;
}

/* The same, with nothing but rights: what stays read-only must not be pinned for writing. */
static uint64_t disturb_contpte_rights(struct race *race)
{
	size_t first, nr;

	race_pick(race, 1, &first, &nr);
	protect(race, first, 1, PROT_READ);
	if (rng_below(&race->rng, 2)) {
		protect(race, first, 1, PROT_READ | PROT_WRITE);
		rewrite(race, ALIGN_DOWN(first, BLOCK_PAGES) + BLOCK_PAGES - 1, 1);
	}
	return 1;
}
#endif

const struct race_case race_cases[] = {
	{ .name = "fork", .title = "fork()", .check = CHECK_SAME, .kinds = ALL_KINDS,
	  .disturb = disturb_fork },
	{ .name = "munmap", .title = "munmap() and mmap()", .check = CHECK_KEPT,
	  .kinds = ALL_KINDS, .errors = { EFAULT }, .disturb = disturb_munmap },
	{ .name = "partial-unmap", .title = "munmap() of parts of large folios",
	  .check = CHECK_KEPT, .kinds = ALL_KINDS & ~(1U << KIND_SMALL), .errors = { EFAULT },
	  .disturb = disturb_partial_unmap },
	{ .name = "mremap", .title = "mremap()", .check = CHECK_SAME_STOPPED, .kinds = ALL_KINDS,
	  .errors = { EFAULT }, .moves = true, .disturb = disturb_mremap },
	{ .name = "mremap-discard", .title = "mremap(), and pages given up where they are then",
	  .check = CHECK_KEPT, .kinds = ALL_KINDS, .errors = { EFAULT }, .moves = true,
	  .disturb = disturb_mremap_discard },
	{ .name = "mprotect", .title = "mprotect()", .check = CHECK_SAME_STOPPED,
	  .kinds = ALL_KINDS, .errors = { EFAULT }, .protects = true,
	  .disturb = disturb_mprotect, .settle = settle_mprotect },
	{ .name = "dontneed", .title = "MADV_DONTNEED", .check = CHECK_KEPT, .kinds = ALL_KINDS,
	  .disturb = disturb_dontneed },
	{ .name = "ksm", .title = "KSM", .check = CHECK_SAME, .kinds = 1U << KIND_SMALL,
	  .idle_us = 10000, .equal_pages = true, .effect = "cow_ksm", .start = start_ksm,
	  .stop = stop_ksm, .prepare = prepare_ksm, .disturb = disturb_ksm },
	{ .name = "collapse", .title = "MADV_COLLAPSE and khugepaged", .check = CHECK_SAME,
	  .kinds = 1U << KIND_SMALL | 1U << KIND_MTHP, .idle_us = 10000,
	  .effect = "thp_collapse_alloc", .start = start_collapse, .stop = stop_collapse,
	  .disturb = disturb_collapse },
	{ .name = "split", .title = "THP split through debugfs", .check = CHECK_SAME,
	  .kinds = THP_KINDS, .idle_us = 10000, .effect = "thp_split_page",
	  .disturb = disturb_split },
	{ .name = "migrate", .title = "move_pages() and compaction", .check = CHECK_SAME,
	  .kinds = ALL_KINDS, .idle_us = 500, .effect = "pgmigrate_success",
	  .start = start_migrate, .disturb = disturb_migrate },
	{ .name = "memory-failure", .title = "MADV_HWPOISON", .check = CHECK_KEPT,
	  .kinds = ALL_KINDS, .errors = { EFAULT, EHWPOISON }, .start = start_poison,
	  .stop = stop_poison, .disturb = disturb_poison },
	{ .name = "lazyfree", .title = "reclaim after MADV_FREE", .check = CHECK_SAME,
	  .kinds = ALL_KINDS, .idle_us = 500, .may_be_emptied = true, .effect = "pglazyfreed",
	  .disturb = disturb_lazyfree },
	{ .name = "swap", .title = "MADV_PAGEOUT", .check = CHECK_SAME, .kinds = ALL_KINDS,
	  .idle_us = 500, .effect = "pswpout", .start = start_swap, .stop = stop_swap,
	  .disturb = disturb_swap },
#ifdef __aarch64__
	{ .name = "contpte", .title = "contpte blocks, single pages of them", .check = CHECK_KEPT,
	  .kinds = 1U << KIND_MTHP | 1U << KIND_THP_PTE, .errors = { EFAULT },
	  .prepare = prepare_contpte, .disturb = disturb_contpte },
	{ .name = "contpte-rights", .title = "mprotect() of single pages of contpte blocks",
	  .check = CHECK_SAME_STOPPED, .kinds = 1U << KIND_MTHP | 1U << KIND_THP_PTE,
	  .errors = { EFAULT }, .protects = true, .prepare = prepare_contpte,
	  .disturb = disturb_contpte_rights, .settle = settle_mprotect },
#endif
};

const size_t nr_race_cases = ARRAY_SIZE(race_cases);
