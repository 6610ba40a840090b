// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests for pin_user_runs_fast()
 *
 * Real memory of a process, pinned as runs and, as the reference, by
 * pin_user_pages_fast() at the same addresses. What there is besides:
 *
 *	pin_runs_format_kunit.c	building and storing runs, without real memory
 *	pin_runs_fast_kunit.c	inside the walk without locks, and between walks
 *	pin_runs_cow_kunit.c	copy-on-write, fork() and migration
 *	pin_runs_calls_kunit.c	the other calls that are made of it
 *
 * What was asked for in the past, and by whom, is tested by:
 *
 *	Weiny, 2019: long-term pins without
 *	the mmap lock, not of fsdax	pin_runs_fast.no_lock,
 *					pin_runs.vs_pages (DAX)
 *	Gunthorpe and Hubbard, 2019:
 *	flags in place of entry points	pin_runs.vs_pages, pin_runs.bad_flags
 *	Hellwig, 2018: bio_vecs		pin_runs.vs_pages, pin_runs.chunk_sizes,
 *					pin_runs_calls.unpin_bvecs
 *	Wilcox, 2018: a scatterlist	pin_runs_calls.sg
 *	thread of 2018: dirty with and
 *	without the folio lock		pin_runs_calls.dirty, .dirty_lock
 *	Vetter and Gunthorpe, 2020:
 *	fast first, the lock after that	pin_runs_fast.fast_slow_fast
 *	Wilcox, 2021: one reference per
 *	folio, and which pages of it	pin_runs_calls.append, pin_runs.vs_pages
 *	Wilcox, 2021, first option:
 *	the callee allocates		pin_runs_calls.alloc
 *	Wilcox, 2021, second option:
 *	small array, several calls,
 *	no repeated walking		pin_runs_calls.on_stack, .resume_reads
 *	Gunthorpe, 2021: memory of the
 *	caller, natural boundaries,
 *	bounded				pin_runs.chunk_sizes, .natural_boundary
 *	Gunthorpe, 2021: physical
 *	address and length		pin_runs.vs_pages, pin_runs.chunk_sizes
 *	Gunthorpe, 2021: packed PFNs	pin_runs_format.pack, pin_runs.chunk_sizes
 *	Hildenbrand, 2021: read-only
 *	pins unshare			pin_runs_cow.read_only_unshares,
 *					.read_only_each_page
 *
 * and the rules that the walk has to obey by:
 *
 *	zero page			pin_runs.zero_page
 *	runs inside a folio		pin_runs_format.build_table,
 *					pin_runs.vs_pages (neighbours)
 *	runs inside a pgmap		pin_runs_calls.pgmap
 *	secretmem, DAX, file-backed,
 *	page frames without a page	pin_runs.vs_pages
 *	allowed once per batch		pin_runs_fast.allowed_once_per_batch
 *	AnonExclusive			pin_runs_cow.read_only_each_page,
 *					pin_runs_fast.read_only_exclusive
 *	accessible once per batch	pin_runs_fast.accessible_once_per_batch
 *	as many pins released		each case, when it ends
 *	untagged addresses		pin_runs.tagged
 *	PFNs, not pages, compared	pin_runs_format
 *	bounded sections		pin_runs_fast.section_is_bounded
 *	fork() undoes one section	pin_runs_fast.race, .race_*
 *	fatal signals			pin_runs_fast.fatal_signal
 *	migration of what must move	pin_runs_cow.migrate
 */
#include <kunit/test.h>
#include <linux/mm.h>
#include <linux/sizes.h>

#include "../internal.h"
#include "../pin_runs.h"
#include "pin_runs_kunit.h"

#define ANY_ORDER	-1

struct memory {
	const char *name;
	unsigned long (*map)(struct kunit *test, unsigned long len);
	unsigned long len;
	unsigned int gup_flags;
	/* All runs have this order, so that the memory is what it should be. */
	int order;
	/* What pins fail with, and those with FOLL_LONGTERM */
	int err, err_longterm;
};

/* hugetlb too */
#define THP	(PMD_SHIFT - PAGE_SHIFT)
#define GIGA	(30 - PAGE_SHIFT)
#define FOLIO(size)	(ilog2(size) - PAGE_SHIFT)

static const struct memory memories[] = {
	{ "4K", map_4k, SZ_4M, FOLL_WRITE },
	{ "4K, read-only", map_4k, SZ_4M },
	{ "4K, absent", map_absent, SZ_4M, FOLL_WRITE },
	{ "16K folios", map_16k_folios, SZ_4M, FOLL_WRITE, FOLIO(SZ_16K) },
	{ "16K folios, read-only", map_16k_folios, SZ_4M, 0, FOLIO(SZ_16K) },
	{ "64K folios", map_64k_folios, SZ_4M, FOLL_WRITE, FOLIO(SZ_64K) },
	{ "64K folios, read-only", map_64k_folios, SZ_4M, 0, FOLIO(SZ_64K) },
	{ "THP", map_thp, 4 * PMD_SIZE, FOLL_WRITE, THP },
	{ "THP, read-only", map_thp, 4 * PMD_SIZE, 0, THP },
	{ "THP mapped by PTEs", map_thp_ptes, 4 * PMD_SIZE, FOLL_WRITE, THP },
	{ "THP mapped by PTEs, read-only", map_thp_ptes, 4 * PMD_SIZE, 0, THP },
	{ "THP with an odd page", map_thp_odd, 4 * PMD_SIZE, FOLL_WRITE, ANY_ORDER },
	{ "patchwork", map_patchwork, 4 * PMD_SIZE, FOLL_WRITE, ANY_ORDER },
	{ "patchwork, read-only", map_patchwork, 4 * PMD_SIZE, 0, ANY_ORDER },
	{ "hugetlb", map_hugetlb, 4 * PMD_SIZE, FOLL_WRITE, THP },
	{ "hugetlb, read-only", map_hugetlb, 4 * PMD_SIZE, 0, THP },
	{ "hugetlb, neighbours", map_hugetlb_adjacent, 4 * PMD_SIZE, FOLL_WRITE, THP },
	{ "hugetlb, reversed", map_hugetlb_reversed, 4 * PMD_SIZE, FOLL_WRITE, THP },
#ifdef CONFIG_64BIT
	{ "1G, neighbours", map_1g_adjacent, SZ_2G, FOLL_WRITE, GIGA },
	{ "1G, reversed", map_1g_reversed, SZ_2G, FOLL_WRITE, GIGA },
#endif
	{ "zero page, read-only", map_zero, SZ_64K * PAGE_SIZE / SZ_4K, 0 },
	{ "zero page, written", map_zero, SZ_64K * PAGE_SIZE / SZ_4K, FOLL_WRITE },
	{ "huge zero page, read-only", map_huge_zero, 2 * PMD_SIZE, 0, ANY_ORDER },
	{ "huge zero page, written", map_huge_zero, 2 * PMD_SIZE, FOLL_WRITE, ANY_ORDER },
	{ "shmem", map_shmem, SZ_1M, FOLL_WRITE, ANY_ORDER },
	{ "shmem, read-only", map_shmem, SZ_1M, 0, ANY_ORDER },
	{ "shmem THP", map_shmem_thp, 2 * PMD_SIZE, FOLL_WRITE, THP },
	{ "private shmem THP, read-only", map_shmem_thp_private, 2 * PMD_SIZE, 0, ANY_ORDER },
	{ "private shmem THP, written", map_shmem_thp_private, 2 * PMD_SIZE, FOLL_WRITE,
	  ANY_ORDER },
	{ "shmem THP in two tables", map_shmem_askew, 2 * PMD_SIZE, FOLL_WRITE, THP },
	{ "memfd", map_memfd, SZ_1M, FOLL_WRITE, ANY_ORDER },
	{ "private file, read-only", map_file_private, SZ_1M, 0, ANY_ORDER },
	{ "private file, written", map_file_private, SZ_1M, FOLL_WRITE, ANY_ORDER },
	{ "shared file, read-only", map_file_shared, SZ_1M, 0, ANY_ORDER },
	{ "shared file, written", map_file_shared, SZ_1M, FOLL_WRITE, ANY_ORDER, 0, -EFAULT },
	{ "DAX", map_dax, SZ_64K, FOLL_WRITE, ANY_ORDER, 0, -EOPNOTSUPP },
	{ "DAX, read-only", map_dax, SZ_64K, 0, ANY_ORDER, 0, -EOPNOTSUPP },
	{ "secretmem", map_secretmem, SZ_64K, FOLL_WRITE, 0, -EFAULT, -EFAULT },
	{ "secretmem, read-only", map_secretmem, SZ_64K, 0, 0, -EFAULT, -EFAULT },
	{ "page frames", map_frames, SZ_64K, FOLL_WRITE, 0, -EFAULT, -EFAULT },
	{ "page frames, read-only", map_frames, SZ_64K, 0, 0, -EFAULT, -EFAULT },
	{ "4K, forked", map_4k_forked, SZ_1M, FOLL_WRITE },
	{ "4K, forked, read-only", map_4k_forked, SZ_1M, 0 },
	{ "THP, forked", map_thp_forked, 2 * PMD_SIZE, FOLL_WRITE, ANY_ORDER },
	{ "THP, forked, read-only", map_thp_forked, 2 * PMD_SIZE, 0, ANY_ORDER },
	{ "THP mapped by PTEs, forked, read-only", map_thp_ptes_forked,
	  2 * PMD_SIZE, 0, ANY_ORDER },
	{ "hugetlb, forked, read-only", map_hugetlb_forked, 2 * PMD_SIZE, 0, THP },
};

static void memory_desc(const struct memory *m, char *desc)
{
	strscpy(desc, m->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(memory, memories, memory_desc);

/* Refused as runs, as pages are refused, and no pin is left */
static void expect_refused(struct kunit *test, unsigned long addr,
			   unsigned long nr, unsigned int gup_flags,
			   struct page **pages, struct pin_runs *runs, int err)
{
	long before = pins_held();

	KUNIT_EXPECT_EQ(test, pin_user_pages_fast(addr, nr, gup_flags, pages), err);
	KUNIT_EXPECT_EQ(test, pin_user_runs_fast(addr, nr, gup_flags, GFP_KERNEL, runs), err);
	KUNIT_EXPECT_EQ(test, runs->nr, 0);
	KUNIT_EXPECT_EQ(test, pins_held(), before);
}

/*
 * The same memory in chunks of all formats, from anywhere in the first folio,
 * while the first runs and the pages are still pinned
 */
static void expect_all_formats(struct kunit *test, const struct memory *m,
			       unsigned long addr, unsigned int gup_flags,
			       struct page **pages, void *buf)
{
	static const u32 sizes[] = { 16, 8, 48, 32, 256, SZ_4K };
	static const unsigned long skips[] = { 0, 1, 78, 511 };
	unsigned long nr = m->len >> PAGE_SHIFT, skip, total;
	enum pin_runs_format format;
	int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		/* 8 bytes are room for a packed PFN only. */
		format = sizes[i] == 8 ? PIN_RUNS_PFN : i % PIN_RUNS_NR_FORMATS;
		skip = min(skips[i % ARRAY_SIZE(skips)], nr - 1);
		expect_chunks(test, addr + skip * PAGE_SIZE, nr - skip, gup_flags,
			      pages + skip, format, buf, sizes[i]);
	}
	if (m->order == ANY_ORDER)
		return;
	for (format = 0; format < PIN_RUNS_NR_FORMATS; format++) {
		total = expect_chunks(test, addr, nr, gup_flags, pages, format,
				      buf, SZ_4K);
		KUNIT_EXPECT_EQ_MSG(test, total, nr >> m->order, "%s",
				    pin_runs_format_names[format]);
	}
}

/*
 * Each memory four times: with and without FOLL_LONGTERM, and who comes first
 * has to fault in, unshare and migrate.
 */
static void vs_pages(struct kunit *test)
{
	const struct memory *m = test->param_value;
	unsigned long addr, nr = m->len >> PAGE_SHIFT;
	u32 bytes = min(nr, SZ_8K) * PIN_RUN_MAX_BYTES;
	struct page **pages = alloc_pages_array(test, nr);
	void *all_buf = alloc_buffer(test, bytes);
	void *buf = alloc_buffer(test, SZ_4K);
	struct pin_runs all;
	long start, before, held;
	int round, err;

	for (round = 0; round < 4; round++) {
		bool longterm = round & 1, runs_first = round & 2;
		unsigned int flags = m->gup_flags | (longterm ? FOLL_LONGTERM : 0);

		init_chunk(&all, round % PIN_RUNS_NR_FORMATS, all_buf, bytes);
		addr = m->map(test, m->len);
		err = longterm ? m->err_longterm : m->err;
		if (err) {
			expect_refused(test, addr, nr, flags, pages, &all, err);
			unmap_user(test, addr, m->len);
			continue;
		}

		start = pins_held();
		if (!runs_first)
			reference(test, addr, nr, flags, pages);
		before = pins_held();
		KUNIT_ASSERT_EQ(test, pin_user_runs_fast(addr, nr, flags, GFP_KERNEL, &all), nr);
		held = pins_held() - before;
		if (runs_first)
			reference(test, addr, nr, flags, pages);
		KUNIT_EXPECT_EQ(test, expect_runs(test, &all, pages, nr), held);

		expect_all_formats(test, m, addr, flags, pages, buf);
		unpin_user_runs(&all, UNPIN_DIRTY_LOCK);
		unpin_user_pages(pages, nr);
		KUNIT_EXPECT_EQ(test, pins_held(), start);
		expect_unpinned(test, pages, nr);
		unmap_user(test, addr, m->len);
	}
}

/* From room for one run to room for all, in each format */
static void chunk_sizes(struct kunit *test)
{
	unsigned long nr = 4 * PMD_SIZE >> PAGE_SHIFT, total = 0;
	unsigned long addr = map_patchwork(test, 4 * PMD_SIZE);
	struct page **pages = alloc_pages_array(test, nr);
	enum pin_runs_format format;
	u32 bytes, entry, most;
	void *buf;

	reference(test, addr, nr, FOLL_WRITE, pages);
	for (format = 0; format < PIN_RUNS_NR_FORMATS; format++) {
		buf = alloc_buffer(test, SZ_4K);
		total = expect_chunks(test, addr, nr, FOLL_WRITE, pages, format,
				      buf, SZ_4K);
		KUNIT_EXPECT_GT(test, total, 80);
		entry = pin_run_bytes(format, 0, 1);
		/* A packed PFN with a size takes more than one entry. */
		most = (total + 1) * 2 * entry;
		KUNIT_ASSERT_LE(test, most, SZ_4K);
		for (bytes = entry; bytes <= most; bytes += entry)
			expect_chunks(test, addr + PAGE_SIZE, nr - 1, FOLL_WRITE,
				      pages + 1, format, buf, bytes);
	}
	unpin_user_pages(pages, nr);
}

/*
 * A chunk that cannot take all of a folio takes what is aligned, so that the
 * next one goes on at a boundary that is.
 */
static void natural_boundary(struct kunit *test)
{
	unsigned long addr = map_thp(test, PMD_SIZE) + PAGE_SIZE;
	unsigned long nr = (PMD_SIZE >> PAGE_SHIFT) - 1, done = 0, want = 1;
	struct pin_runs runs;
	u64 entry;

	if (!IS_ENABLED(CONFIG_HAVE_GUP_FAST))
		kunit_skip(test, "ordinary GUP goes page by page");
	for (; done < nr; done += want, want *= 2) {
		pin_runs_init(&runs, &entry, sizeof(entry));
		KUNIT_ASSERT_EQ(test, pin_user_runs_fast(addr + done * PAGE_SIZE,
							 nr - done, FOLL_WRITE, GFP_KERNEL,
							 &runs), want);
		KUNIT_EXPECT_EQ(test, runs.nr, 1);
		unpin_user_runs(&runs, UNPIN_CLEAN);
	}
}

/* Zero pages are runs of their own, hold no pin and do not mind being unpinned. */
static void zero_page(struct kunit *test)
{
	unsigned long addr = map_zero(test, 16 * PAGE_SIZE);
	struct pin_runs_iter it = { };
	long before = pins_held();
	struct pin_runs runs;
	struct pin_run run;
	int zeroes = 0;
	u64 buf[32];

	pin_runs_init(&runs, buf, sizeof(buf));
	KUNIT_ASSERT_EQ(test, pin_user_runs_fast(addr, 16, 0, GFP_KERNEL, &runs), 16);
	KUNIT_EXPECT_EQ(test, runs.nr, 16);
	KUNIT_EXPECT_EQ(test, pins_held() - before, 1);
	while (pin_runs_next(&runs, &it, &run)) {
		KUNIT_EXPECT_EQ(test, run.nr_pages, 1);
		zeroes += is_zero_pfn(run.pfn);
	}
	KUNIT_EXPECT_EQ(test, zeroes, 15);
	unpin_user_runs(&runs, UNPIN_CLEAN);
	KUNIT_EXPECT_EQ(test, pins_held(), before);
}

static void expect_as_pages(struct kunit *test, unsigned long addr,
			    unsigned long nr, unsigned int gup_flags,
			    struct page **pages, struct pin_runs *runs)
{
	long before = pins_held(), ret;
	int err;

	ret = pin_pages(addr, nr, gup_flags, pages, &err);
	KUNIT_EXPECT_EQ(test, pin_user_runs_fast(addr, nr, gup_flags, GFP_KERNEL, runs),
			ret ?: err);
	expect_runs(test, runs, pages, ret);
	/* What stopped it is what the next call returns. */
	if (err)
		KUNIT_EXPECT_EQ(test, pin_user_runs_fast(addr + ret * PAGE_SIZE,
							 nr - ret, gup_flags, GFP_KERNEL, runs),
				err);
	unpin_user_runs(runs, UNPIN_CLEAN);
	unpin_user_pages(pages, ret);
	KUNIT_EXPECT_EQ(test, pins_held(), before);
}

/*
 * A hole, at every position, ends the call at its edge: from the last page to
 * the first, as much as that takes to meet all positions in a page table
 */
static void hole(struct kunit *test)
{
	const struct memory *m = test->param_value;
	unsigned long nr = m->len >> PAGE_SHIFT, addr, step;
	struct pin_runs runs;
	struct page **pages;
	void *buf;
	u32 bytes;
	long at;

	addr = m->map(test, m->len);
	/* Huge pages can be unmapped whole only. */
	mmap_read_lock(current->mm);
	step = vma_kernel_pagesize(find_vma(current->mm, addr)) >> PAGE_SHIFT;
	mmap_read_unlock(current->mm);
	if (step == 1)
		nr = min(nr, m->order == THP ? PTRS_PER_PTE + 16UL : 64UL);
	bytes = min(nr, SZ_8K) * PIN_RUN_MAX_BYTES;
	buf = alloc_buffer(test, bytes);
	pages = alloc_pages_array(test, nr);

	for (at = nr - step; at >= 0; at -= step) {
		KUNIT_ASSERT_EQ(test, vm_munmap(addr + at * PAGE_SIZE,
						step * PAGE_SIZE), 0);
		init_chunk(&runs, at % PIN_RUNS_NR_FORMATS, buf, bytes);
		expect_as_pages(test, addr, nr, m->gup_flags, pages, &runs);
	}
	end_fork(test);
}

/* Ranges that are not, or not all, addresses of user memory */
static void limits(struct kunit *test)
{
	unsigned long top = (TASK_SIZE_MAX & PAGE_MASK) - 4 * PAGE_SIZE;
	struct page **pages = alloc_pages_array(test, 16);
	unsigned long addr = map_4k(test, 16 * PAGE_SIZE);
	struct pin_runs runs;
	u64 buf[32];

	pin_runs_init(&runs, buf, sizeof(buf));
	KUNIT_EXPECT_EQ(test, pin_user_runs_fast(addr, 0, FOLL_WRITE, GFP_KERNEL, &runs), 0);

	/* Nothing is mapped at 0 before this. */
	expect_refused(test, 0, 1, FOLL_WRITE, pages, &runs, -EFAULT);
	map_user(test, NULL, 0, 4 * PAGE_SIZE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, 0);
	expect_as_pages(test, 0, 4, FOLL_WRITE, pages, &runs);
	expect_as_pages(test, 0, 5, FOLL_WRITE, pages, &runs);

	/* Up to the last page of all, and behind it */
	if (!IS_ERR_VALUE(vm_mmap(NULL, top, 4 * PAGE_SIZE, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, 0)))
		expect_as_pages(test, top, 4, FOLL_WRITE, pages, &runs);
	else
		kunit_info(test, "no memory can be mapped at the top");
	expect_refused(test, top, 6, FOLL_WRITE, pages, &runs, -EFAULT);
	expect_refused(test, TASK_SIZE_MAX, 1, FOLL_WRITE, pages, &runs, -EFAULT);

	expect_refused(test, PAGE_MASK, 2, FOLL_WRITE, pages, &runs, -EOVERFLOW);
	/* pin_user_pages_fast() takes an int. */
	KUNIT_EXPECT_EQ(test, pin_user_runs_fast(addr, ULONG_MAX, FOLL_WRITE, GFP_KERNEL, &runs),
			-EOVERFLOW);
	KUNIT_EXPECT_EQ(test, pin_user_runs_fast(addr, ULONG_MAX >> PAGE_SHIFT,
						 FOLL_WRITE, GFP_KERNEL, &runs), -EOVERFLOW);
	/* One page, if what does not fit is lost */
	KUNIT_EXPECT_EQ(test, pin_user_runs_fast(addr, (ULONG_MAX >> PAGE_SHIFT) + 2,
						 FOLL_WRITE, GFP_KERNEL, &runs), -EOVERFLOW);

	/* Not at the start of a page */
	KUNIT_EXPECT_EQ(test, pin_user_runs_fast(addr + PAGE_SIZE - 1, 2,
						 FOLL_WRITE, GFP_KERNEL, &runs), 2);
	reference(test, addr, 2, FOLL_WRITE, pages);
	expect_runs(test, &runs, pages, 2);
	unpin_user_pages(pages, 2);
	unpin_user_runs(&runs, UNPIN_CLEAN);
}

static void access_rights(struct kunit *test)
{
	struct page **pages = alloc_pages_array(test, 16);
	struct pin_runs runs;
	unsigned long addr;
	u64 buf[32];

	pin_runs_init(&runs, buf, sizeof(buf));
	addr = map_user(test, NULL, 0, 16 * PAGE_SIZE, PROT_READ,
			MAP_PRIVATE | MAP_ANONYMOUS, 0);
	expect_refused(test, addr, 16, FOLL_WRITE, pages, &runs, -EFAULT);
	expect_as_pages(test, addr, 16, FOLL_LONGTERM, pages, &runs);
	/* Present now, and exclusive */
	expect_refused(test, addr, 16, FOLL_WRITE, pages, &runs, -EFAULT);
	addr = map_user(test, NULL, 0, 16 * PAGE_SIZE, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS, 0);
	expect_refused(test, addr, 16, 0, pages, &runs, -EFAULT);
	expect_refused(test, addr, 16, FOLL_WRITE, pages, &runs, -EFAULT);
}

/* Pages of one folio that follow each other, and not all may be written to */
static void access_rights_in_folio(struct kunit *test)
{
	unsigned long nr = PMD_SIZE >> PAGE_SHIFT;
	struct page **pages = alloc_pages_array(test, nr);
	unsigned long addr = map_shmem_half(test, PMD_SIZE);
	struct pin_runs runs;
	u64 buf[32];

	pin_runs_init(&runs, buf, sizeof(buf));
	KUNIT_EXPECT_EQ(test, pin_user_runs_fast(addr, nr, FOLL_WRITE, GFP_KERNEL, &runs), nr / 2);
	KUNIT_EXPECT_EQ(test, runs.nr, 1);
	unpin_user_runs(&runs, UNPIN_CLEAN);
	expect_as_pages(test, addr, nr, FOLL_WRITE, pages, &runs);
	expect_as_pages(test, addr, nr, 0, pages, &runs);
}

static void no_room(struct kunit *test)
{
	unsigned long addr = map_4k(test, 16 * PAGE_SIZE);
	enum pin_runs_format format;
	struct pin_runs runs;
	u64 buf[2];

	for (format = 0; format < PIN_RUNS_NR_FORMATS; format++) {
		u32 bytes = pin_run_bytes(format, 0, 1);

		init_chunk(&runs, format, buf, bytes - sizeof(u64));
		KUNIT_EXPECT_EQ(test, pin_user_runs_fast(addr, 16, 0, GFP_KERNEL, &runs), -ENOSPC);
		init_chunk(&runs, format, buf, bytes);
		KUNIT_EXPECT_EQ(test, pin_user_runs_fast(addr, 16, 0, GFP_KERNEL, &runs), 1);
		KUNIT_EXPECT_EQ(test, pin_user_runs_fast(addr + PAGE_SIZE, 15, 0, GFP_KERNEL,
							 &runs), -ENOSPC);
		KUNIT_EXPECT_EQ(test, runs.nr, 1);
		unpin_user_runs(&runs, UNPIN_CLEAN);
	}
}

/* Only the flags of pin_user_pages_fast(), and FOLL_PIN from inside */
static void bad_flags(struct kunit *test)
{
	unsigned long addr = map_4k(test, 16 * PAGE_SIZE);
	struct pin_runs runs;
	u64 buf[32];

	pin_runs_init(&runs, buf, sizeof(buf));
	kunit_warning_suppress(test) {
		KUNIT_EXPECT_EQ(test, pin_user_runs_fast(addr, 16, FOLL_PIN, GFP_KERNEL, &runs),
				-EINVAL);
		KUNIT_EXPECT_EQ(test, pin_user_runs_fast(addr, 16, FOLL_GET, GFP_KERNEL, &runs),
				-EINVAL);
		KUNIT_EXPECT_EQ(test, pin_user_runs_fast(addr, 16, FOLL_LONGTERM |
							 FOLL_PCI_P2PDMA, GFP_KERNEL, &runs),
				-EINVAL);
	}
	KUNIT_EXPECT_EQ(test, runs.nr, 0);
}

/* An address tag, where the architecture has them, is none of its business. */
static void tagged(struct kunit *test)
{
	unsigned long addr = map_4k(test, 16 * PAGE_SIZE), tagged = addr;
	struct page **pages = alloc_pages_array(test, 16);
	struct pin_runs runs;
	u64 buf[32];

#ifdef CONFIG_64BIT
	tagged |= 0x2aUL << 57;
#endif
	if (tagged == addr || untagged_addr(tagged) != addr)
		kunit_skip(test, "no address tags");
	pin_runs_init(&runs, buf, sizeof(buf));
	reference(test, addr, 16, FOLL_WRITE, pages);
	KUNIT_EXPECT_EQ(test, pin_user_runs_fast(tagged, 16, FOLL_WRITE, GFP_KERNEL, &runs), 16);
	expect_runs(test, &runs, pages, 16);
	unpin_user_pages(pages, 16);
	unpin_user_runs(&runs, UNPIN_CLEAN);
}

static struct kunit_case pin_runs_cases[] = {
	KUNIT_CASE_PARAM(vs_pages, memory_gen_params),
	KUNIT_CASE_PARAM(hole, memory_gen_params),
	KUNIT_CASE(chunk_sizes),
	KUNIT_CASE(natural_boundary),
	KUNIT_CASE(zero_page),
	KUNIT_CASE(limits),
	KUNIT_CASE(access_rights),
	KUNIT_CASE(access_rights_in_folio),
	KUNIT_CASE(no_room),
	KUNIT_CASE(bad_flags),
	KUNIT_CASE(tagged),
	{ }
};

static void pin_runs_suite_exit(struct kunit_suite *suite)
{
	put_1g_pages();
}

static struct kunit_suite pin_runs_suite = {
	.name = "pin_runs",
	.init = pin_runs_case_init,
	.exit = pin_runs_case_exit,
	.suite_exit = pin_runs_suite_exit,
	.test_cases = pin_runs_cases,
};

kunit_test_suite(pin_runs_suite);
