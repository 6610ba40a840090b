// SPDX-License-Identifier: GPL-2.0
/*
 * Anonymous user memory and huge pages, for the KUnit suites of pin_user_runs_fast()
 */
#include <linux/file.h>
#include <linux/hugetlb.h>
#include <linux/memfd.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/sizes.h>
#include <linux/syscalls.h>
#include <linux/uaccess.h>
#include <uapi/linux/memfd.h>

#include "../internal.h"
#include "pin_runs_kunit.h"

unsigned long map_user(struct kunit *test, struct file *file,
		       unsigned long addr, unsigned long len,
		       unsigned long prot, unsigned long flags,
		       unsigned long offset)
{
	KUNIT_ASSERT_EQ(test, kunit_attach_mm(), 0);
	addr = vm_mmap(file, addr, len, prot, flags, offset);
	KUNIT_ASSERT_FALSE_MSG(test, IS_ERR_VALUE(addr), "mmap: %ld", (long)addr);
	return addr;
}

void unmap_user(struct kunit *test, unsigned long addr, unsigned long len)
{
	KUNIT_ASSERT_EQ(test, vm_munmap(addr, len), 0);
	end_fork(test);
	/* Huge pages of a file are wanted for the next one. */
	flush_delayed_fput();
}

/* Writes to each page what only this page should have. */
void touch(struct kunit *test, unsigned long addr, unsigned long len)
{
	unsigned long end = addr + len;

	for (; addr < end; addr += PAGE_SIZE) {
		if (put_user((u32)(addr >> PAGE_SHIFT), (u32 __user *)addr))
			KUNIT_FAIL_AND_ABORT(test, "cannot write to memory");
	}
}

void expect_touched(struct kunit *test, unsigned long addr, unsigned long len)
{
	unsigned long end = addr + len;
	u32 value;

	for (; addr < end; addr += PAGE_SIZE) {
		if (get_user(value, (u32 __user *)addr))
			KUNIT_FAIL_AND_ABORT(test, "cannot read memory");
		if (value != (u32)(addr >> PAGE_SHIFT))
			KUNIT_FAIL_AND_ABORT(test, "page has lost its data");
	}
}

void read_pages(struct kunit *test, unsigned long addr, unsigned long len)
{
	unsigned long end = addr + len;
	u32 __maybe_unused value;

	for (; addr < end; addr += PAGE_SIZE) {
		if (get_user(value, (u32 __user *)addr))
			KUNIT_FAIL_AND_ABORT(test, "cannot read memory");
	}
}

unsigned int order_at(struct kunit *test, unsigned long addr)
{
	struct page *page;
	unsigned int order;

	KUNIT_ASSERT_EQ(test, get_user_pages_fast(addr, 1, 0, &page), 1);
	order = folio_order(page_folio(page));
	put_page(page);
	return order;
}

/* ---- fork ---- */

static void put_mm(void *mm)
{
	mmput(mm);
}

static struct mm_struct *forked_mm;

struct mm_struct *fork_mm(struct kunit *test)
{
	struct mm_struct *mm = mm_alloc();
	int ret;

	KUNIT_ASSERT_NOT_NULL(test, mm);
	ret = kunit_add_action_or_reset(test, put_mm, mm);
	KUNIT_ASSERT_EQ(test, ret, 0);
	KUNIT_ASSERT_EQ(test, dup_mmap(mm, current->mm), 0);
	forked_mm = mm;
	return mm;
}

void end_fork(struct kunit *test)
{
	if (forked_mm)
		kunit_release_action(test, put_mm, forked_mm);
	forked_mm = NULL;
}

/* ---- anonymous ---- */

unsigned long map_anon(struct kunit *test, unsigned long len)
{
	return map_user(test, NULL, 0, len, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, 0);
}

/* Not touched at all: everything has to be faulted in. */
unsigned long map_absent(struct kunit *test, unsigned long len)
{
	unsigned long addr = map_anon(test, len);

	do_madvise(current->mm, addr, len, MADV_NOHUGEPAGE);
	return addr;
}

unsigned long map_4k(struct kunit *test, unsigned long len)
{
	unsigned long addr = map_absent(test, len);

	touch(test, addr, len);
	return addr;
}

/* Never written to, but for one page: reading gives the zero page. */
unsigned long map_zero(struct kunit *test, unsigned long len)
{
	unsigned long addr = map_absent(test, len);

	read_pages(test, addr, len);
	touch(test, addr + 3 * PAGE_SIZE, 1);
	return addr;
}

#ifdef CONFIG_TRANSPARENT_HUGEPAGE
static void expect_orders(struct kunit *test, unsigned long addr,
			  unsigned long len, unsigned int order)
{
	unsigned long pos;

	for (pos = addr; pos < addr + len; pos += PAGE_SIZE << order) {
		if (order_at(test, pos) != order)
			kunit_skip(test, "no memory for a folio of order %u", order);
	}
}

static unsigned long map_folios(struct kunit *test, unsigned long len,
				unsigned long size)
{
	unsigned long always = READ_ONCE(huge_anon_orders_always);
	unsigned long inherit = READ_ONCE(huge_anon_orders_inherit);
	unsigned int order = ilog2(size) - PAGE_SHIFT;
	unsigned long addr;

	if (size < 4 * PAGE_SIZE)
		kunit_skip(test, "no anonymous folio is that small");
	addr = ALIGN(map_anon(test, len + size), size);

	/* As /sys/kernel/mm/transparent_hugepage/hugepages-*kB would do */
	WRITE_ONCE(huge_anon_orders_inherit, 0);
	WRITE_ONCE(huge_anon_orders_always, BIT(order));
	touch(test, addr, len);
	WRITE_ONCE(huge_anon_orders_always, always);
	WRITE_ONCE(huge_anon_orders_inherit, inherit);

	expect_orders(test, addr, len, order);
	return addr;
}

static unsigned long map_pmds(struct kunit *test, unsigned long len)
{
	unsigned long addr;

	if (PMD_SIZE > SZ_32M)
		kunit_skip(test, "THPs are too large here");
	addr = ALIGN(map_anon(test, len + PMD_SIZE), PMD_SIZE);
	KUNIT_ASSERT_EQ(test, do_madvise(current->mm, addr, len, MADV_HUGEPAGE), 0);
	return addr;
}

unsigned long map_thp(struct kunit *test, unsigned long len)
{
	unsigned long addr = map_pmds(test, len);

	touch(test, addr, len);
	expect_orders(test, addr, len, HPAGE_PMD_ORDER);
	return addr;
}

/* The folios stay whole, their PMDs do not. */
unsigned long map_thp_ptes(struct kunit *test, unsigned long len)
{
	unsigned long addr = map_thp(test, len), pos;
	struct mm_struct *mm = current->mm;

	mmap_write_lock(mm);
	for (pos = addr; pos < addr + len; pos += PMD_SIZE)
		split_huge_pmd_address(find_vma(mm, pos), pos, false);
	mmap_write_unlock(mm);
	for (pos = addr; pos < addr + len; pos += PMD_SIZE)
		KUNIT_ASSERT_FALSE(test, pmd_leaf(pmdp_get(mm_find_pmd(mm, pos))));
	expect_orders(test, addr, len, HPAGE_PMD_ORDER);
	return addr;
}

/* Also the first page: the huge zero page is neither written nor read. */
unsigned long map_huge_zero(struct kunit *test, unsigned long len)
{
	unsigned long addr = map_pmds(test, len), pos;
	pmd_t *pmd;

	for (pos = addr; pos < addr + len; pos += PMD_SIZE) {
		read_pages(test, pos, 1);
		pmd = mm_find_pmd(current->mm, pos);
		if (!pmd || !is_huge_zero_pmd(pmdp_get(pmd)))
			kunit_skip(test, "no huge zero page");
	}
	return addr;
}
#else
static unsigned long map_folios(struct kunit *test, unsigned long len,
				unsigned long size)
{
	kunit_skip(test, "no transparent huge pages");
	return 0;
}

unsigned long map_thp(struct kunit *test, unsigned long len)
{
	return map_folios(test, len, PMD_SIZE);
}

unsigned long map_thp_ptes(struct kunit *test, unsigned long len)
{
	return map_folios(test, len, PMD_SIZE);
}

unsigned long map_huge_zero(struct kunit *test, unsigned long len)
{
	return map_folios(test, len, PMD_SIZE);
}
#endif

unsigned long map_16k_folios(struct kunit *test, unsigned long len)
{
	return map_folios(test, len, SZ_16K);
}

unsigned long map_64k_folios(struct kunit *test, unsigned long len)
{
	return map_folios(test, len, SZ_64K);
}

/* Replace a page of a folio by one of its own. */
static void replace(struct kunit *test, unsigned long addr)
{
	KUNIT_ASSERT_EQ(test, do_madvise(current->mm, addr, PAGE_SIZE,
					 MADV_DONTNEED), 0);
	touch(test, addr, PAGE_SIZE);
}

/* khugepaged puts together again what a test has taken apart. */
static void keep_apart(struct kunit *test, unsigned long addr,
		       unsigned long len)
{
	KUNIT_ASSERT_EQ(test, do_madvise(current->mm, addr, len, MADV_NOHUGEPAGE), 0);
}

/* One page replaced in the middle: the first PMD is a table then. */
unsigned long map_thp_odd(struct kunit *test, unsigned long len)
{
	unsigned long addr = map_thp(test, len);

	keep_apart(test, addr, len);
	replace(test, addr + 77 * PAGE_SIZE);
	return addr;
}

/* Many runs of one page and of two, half of which are not aligned */
unsigned long map_thirds(struct kunit *test, unsigned long len)
{
	unsigned long addr = map_thp(test, len), pos;

	keep_apart(test, addr, len);
	for (pos = addr; pos < addr + len; pos += 3 * PAGE_SIZE)
		replace(test, pos);
	return addr;
}

/* Runs of all lengths from one page to that of a THP, in at least 4 PMDs */
unsigned long map_patchwork(struct kunit *test, unsigned long len)
{
	unsigned long addr = map_thp(test, len), pos, step;

	keep_apart(test, addr, len);
	for (pos = addr, step = 0; pos < addr + PMD_SIZE;
	     pos += step++ * PAGE_SIZE)
		replace(test, pos);
	pos = addr + 2 * PMD_SIZE;
	KUNIT_ASSERT_EQ(test, do_madvise(current->mm, pos, 32 * PAGE_SIZE,
					 MADV_DONTNEED), 0);
	touch(test, pos, 32 * PAGE_SIZE);
	return addr;
}

/* ---- hugetlb ---- */

static void skip_without(struct kunit *test, struct file *file,
			 const char *parameters)
{
	if (IS_ERR(file))
		kunit_skip(test, "no huge pages of that size: boot with %s",
			   parameters);
}

/* Those that the page tables have a PMD for; 2 MiB where pages are of 4 KiB */
static unsigned long map_hugetlb_as(struct kunit *test, unsigned long len,
				    unsigned long flags)
{
	unsigned long addr;

	if (PMD_SIZE > SZ_32M)
		kunit_skip(test, "huge pages are too large here");
	KUNIT_ASSERT_EQ(test, kunit_attach_mm(), 0);
	addr = ksys_mmap_pgoff(0, len, PROT_READ | PROT_WRITE,
			       flags | MAP_ANONYMOUS | MAP_HUGETLB |
			       PMD_SHIFT << MAP_HUGE_SHIFT, -1, 0);
	if (IS_ERR_VALUE(addr))
		skip_without(test, ERR_PTR(addr), "hugepages=8");
	touch(test, addr, len);
	return addr;
}

unsigned long map_hugetlb(struct kunit *test, unsigned long len)
{
	return map_hugetlb_as(test, len, MAP_PRIVATE);
}

unsigned long map_hugetlb_shared(struct kunit *test, unsigned long len)
{
	return map_hugetlb_as(test, len, MAP_SHARED);
}

#define MAX_HUGE_PAGES	8

/*
 * Pages of 1 GiB take so long to clear that the tests share two of them, until
 * the end of the suite.
 */
static struct file *pages_1g;

void put_1g_pages(void)
{
	if (pages_1g)
		fput(pages_1g);
	pages_1g = NULL;
}

static struct file *huge_file(unsigned long size)
{
	struct file *file;

	if (size == SZ_1G && pages_1g)
		return get_file(pages_1g);
	file = memfd_alloc_file("kunit", MFD_HUGETLB | ilog2(size) << MFD_HUGE_SHIFT);
	if (size == SZ_1G && !IS_ERR(file))
		pages_1g = get_file(file);
	return file;
}

/*
 * Huge pages of a file, mapped so that their addresses in memory ascend, and
 * some are next to each other, or descend, so that none continues another
 */
static unsigned long map_huge_pages(struct kunit *test, unsigned long len,
				    unsigned long size, bool descend,
				    const char *parameters)
{
	unsigned int i, j, nr = len / size, neighbours = 0;
	unsigned long pfn[MAX_HUGE_PAGES];
	unsigned int pgoff[MAX_HUGE_PAGES];
	unsigned long addr, all, pos;
	struct file *file;
	struct page *page;

	KUNIT_ASSERT_LE(test, nr, MAX_HUGE_PAGES);
	if (size == PMD_SIZE && size > SZ_32M)
		kunit_skip(test, "huge pages are too large here");
	KUNIT_ASSERT_EQ(test, kunit_attach_mm(), 0);
	file = huge_file(size);
	skip_without(test, file, parameters);

	all = vm_mmap(file, 0, len, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	addr = vm_mmap(NULL, 0, len + size, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS, 0);
	if (IS_ERR_VALUE(all)) {
		fput(file);
		skip_without(test, ERR_PTR(all), parameters);
	}
	addr = ALIGN(addr, size);
	for (i = 0; i < nr; i++) {
		read_pages(test, all + i * size, PAGE_SIZE);
		KUNIT_ASSERT_EQ(test, get_user_pages_fast(all + i * size, 1, 0,
							  &page), 1);
		for (j = i; j && (pfn[j - 1] > page_to_pfn(page)) != descend; j--) {
			pfn[j] = pfn[j - 1];
			pgoff[j] = pgoff[j - 1];
		}
		pfn[j] = page_to_pfn(page);
		pgoff[j] = i;
		put_page(page);
	}
	for (i = 0; i < nr; i++) {
		pos = vm_mmap(file, addr + i * size, size, PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_FIXED, pgoff[i] * size);
		KUNIT_ASSERT_EQ(test, pos, addr + i * size);
		/* Enough for one table, if it were one */
		touch(test, pos, PMD_SIZE);
		neighbours += i && pfn[i] == pfn[i - 1] + (size >> PAGE_SHIFT);
	}
	fput(file);
	vm_munmap(all, len);
	if (!descend && !neighbours)
		kunit_skip(test, "no two huge pages of that size are neighbours");
	KUNIT_ASSERT_TRUE(test, !descend || !neighbours);
	return addr;
}

unsigned long map_hugetlb_adjacent(struct kunit *test, unsigned long len)
{
	return map_huge_pages(test, len, PMD_SIZE, false, "hugepages=8");
}

unsigned long map_hugetlb_reversed(struct kunit *test, unsigned long len)
{
	return map_huge_pages(test, len, PMD_SIZE, true, "hugepages=8");
}

unsigned long map_1g_adjacent(struct kunit *test, unsigned long len)
{
	return map_huge_pages(test, len, SZ_1G, false, "hugepagesz=1G hugepages=2");
}

unsigned long map_1g_reversed(struct kunit *test, unsigned long len)
{
	return map_huge_pages(test, len, SZ_1G, true, "hugepagesz=1G hugepages=2");
}

/* ---- shared with a child ---- */

unsigned long map_4k_forked(struct kunit *test, unsigned long len)
{
	unsigned long addr = map_4k(test, len);

	fork_mm(test);
	return addr;
}

unsigned long map_thp_forked(struct kunit *test, unsigned long len)
{
	unsigned long addr = map_thp(test, len);

	fork_mm(test);
	return addr;
}

unsigned long map_thp_ptes_forked(struct kunit *test, unsigned long len)
{
	unsigned long addr = map_thp_ptes(test, len);

	fork_mm(test);
	return addr;
}

unsigned long map_hugetlb_forked(struct kunit *test, unsigned long len)
{
	unsigned long addr = map_hugetlb(test, len);

	fork_mm(test);
	return addr;
}
