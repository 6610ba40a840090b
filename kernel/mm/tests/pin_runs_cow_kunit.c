// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests for pin_user_runs_fast() on memory that has to be copied first:
 * because it is shared with a child, or because it is where it cannot stay
 */
#include <kunit/test.h>
#include <linux/mm.h>
#include <linux/page-flags.h>
#include <linux/sizes.h>
#include <linux/uaccess.h>

#include "../internal.h"
#include "../pin_runs.h"
#include "pin_runs_kunit.h"

struct cow {
	const char *name;
	unsigned long (*map)(struct kunit *test, unsigned long len);
	unsigned long len;
};

static const struct cow cows[] = {
	{ "4K", map_4k, SZ_1M },
	{ "64K folios", map_64k_folios, SZ_1M },
	{ "THP", map_thp, 2 * PMD_SIZE },
	{ "THP mapped by PTEs", map_thp_ptes, 2 * PMD_SIZE },
	{ "THP with an odd page", map_thp_odd, 2 * PMD_SIZE },
	{ "hugetlb", map_hugetlb, 2 * PMD_SIZE },
};

static void cow_desc(const struct cow *c, char *desc)
{
	strscpy(desc, c->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(cow, cows, cow_desc);

static const struct cow moves[] = {
	{ "4K", map_4k, SZ_1M },
	{ "64K folios", map_64k_folios, SZ_1M },
	{ "THP", map_thp, 4 * PMD_SIZE },
	{ "THP mapped by PTEs", map_thp_ptes, 4 * PMD_SIZE },
	{ "THP with an odd page", map_thp_odd, 4 * PMD_SIZE },
	{ "shmem", map_shmem, SZ_1M },
};

KUNIT_ARRAY_PARAM(move, moves, cow_desc);

static void write_all(struct kunit *test, unsigned long addr, unsigned long len,
		      u32 value)
{
	unsigned long pos;

	for (pos = addr; pos < addr + len; pos += PAGE_SIZE) {
		if (put_user(value, (u32 __user *)pos))
			KUNIT_FAIL_AND_ABORT(test, "cannot write to memory");
	}
}

/*
 * Pages that are pinned for reading have to be exclusive, each of them if it is
 * mapped by a PTE, and stay those of the process when it writes.
 */
static void expect_exclusive(struct kunit *test, unsigned long addr,
			     unsigned long nr, const struct pin_runs *runs,
			     struct page **pages)
{
	struct pin_runs_iter it = { };
	unsigned long i, k = 0, shared = 0;
	struct pin_run run;

	while (pin_runs_next(runs, &it, &run)) {
		for (i = 0; i < run.nr_pages; i++, k++) {
			struct page *page = pfn_to_page(run.pfn + i);
			pmd_t *pmd = mm_find_pmd(current->mm, addr + k * PAGE_SIZE);

			if (pmd && pmd_leaf(pmdp_get(pmd)))
				page = compound_head(page);
			shared += !PageAnonExclusive(page);
		}
	}
	KUNIT_EXPECT_EQ(test, k, nr);
	KUNIT_EXPECT_EQ_MSG(test, shared, 0, "of %lu pages", nr);

	write_all(test, addr, nr * PAGE_SIZE, 0xabcd);
	reference(test, addr, nr, FOLL_WRITE, pages);
	expect_runs(test, runs, pages, nr);
	unpin_user_pages(pages, nr);
}

/* A read-only pin of shared pages gets a copy, and is not left with the other. */
static void read_only_unshares(struct kunit *test)
{
	const struct cow *c = test->param_value;
	unsigned long nr = c->len >> PAGE_SHIFT, addr, pos;
	struct page **pages = alloc_pages_array(test, nr);
	u32 bytes = nr * sizeof(struct bio_vec), value;
	void *buf = alloc_buffer(test, bytes);
	struct pin_runs runs;
	struct mm_struct *mm;
	int round;

	for (round = 0; round < 2; round++) {
		addr = c->map(test, c->len);
		mm = fork_mm(test);
		init_chunk(&runs, round, buf, bytes);
		KUNIT_ASSERT_EQ(test, pin_user_runs_fast(addr, nr,
							 round ? FOLL_LONGTERM : 0, GFP_KERNEL,
							 &runs), nr);
		expect_touched(test, addr, c->len);
		expect_exclusive(test, addr, nr, &runs, pages);
		unpin_user_runs(&runs, UNPIN_CLEAN);

		/*
		 * The child does not see what was written. If there are too few
		 * huge pages that may be pinned for long, they are taken from
		 * the child, by ordinary GUP as well.
		 */
		if (round && c->map == map_hugetlb) {
			unmap_user(test, addr, c->len);
			continue;
		}
		for (pos = addr; pos < addr + c->len; pos += PAGE_SIZE) {
			KUNIT_ASSERT_EQ_MSG(test, access_remote_vm(mm, pos, &value,
								   sizeof(value), 0),
					    sizeof(value), "page %lu, round %d",
					    (pos - addr) >> PAGE_SHIFT, round);
			if (value != (u32)(pos >> PAGE_SHIFT))
				KUNIT_FAIL_AND_ABORT(test, "the child's data changed");
		}
		unmap_user(test, addr, c->len);
	}
}

/*
 * Once the child is gone, a page becomes exclusive again when it is written to,
 * and its neighbours in the same folio do not.
 */
static void read_only_each_page(struct kunit *test)
{
	const struct cow *c = test->param_value;
	unsigned long nr = c->len >> PAGE_SHIFT, addr, pos, every;
	struct page **pages = alloc_pages_array(test, nr);
	u32 bytes = nr * sizeof(struct bio_vec);
	void *buf = alloc_buffer(test, bytes);
	struct pin_runs runs;

	for (every = 1; every < 64; every = every * 3 + 1) {
		addr = c->map(test, c->len);
		/* What has to move does so now, and not in place of unsharing. */
		reference(test, addr, nr, FOLL_WRITE | FOLL_LONGTERM, pages);
		unpin_user_pages(pages, nr);
		fork_mm(test);
		end_fork(test);
		for (pos = addr; pos < addr + c->len; pos += every * PAGE_SIZE)
			touch(test, pos, PAGE_SIZE);
		init_chunk(&runs, every % PIN_RUNS_NR_FORMATS, buf, bytes);
		KUNIT_ASSERT_EQ(test, pin_user_runs_fast(addr, nr, FOLL_LONGTERM, GFP_KERNEL,
							 &runs), nr);
		expect_touched(test, addr, c->len);
		expect_exclusive(test, addr, nr, &runs, pages);
		unpin_user_runs(&runs, UNPIN_CLEAN);
		unmap_user(test, addr, c->len);
	}
}

/*
 * One folio of a file is mapped shared, and right behind that private. What is
 * pinned for long, to be read, is what the process sees after it wrote, there too.
 */
static void private_behind_shared(struct kunit *test)
{
	unsigned long nr = PMD_SIZE >> PAGE_SHIFT, addr;
	struct page **pages = alloc_pages_array(test, nr);
	struct page **written = alloc_pages_array(test, nr);
	u32 bytes = nr * sizeof(struct bio_vec);
	void *buf = alloc_buffer(test, bytes);
	struct pin_runs runs;
	int round;

	for (round = 0; round <= PIN_RUNS_NR_FORMATS; round++) {
		addr = map_shmem_private_half(test, PMD_SIZE);
		if (round == PIN_RUNS_NR_FORMATS) {
			reference(test, addr, nr, FOLL_LONGTERM, pages);
		} else {
			init_chunk(&runs, round, buf, bytes);
			KUNIT_ASSERT_EQ(test, pin_user_runs_fast(addr, nr, FOLL_LONGTERM,
								 GFP_KERNEL, &runs), nr);
		}
		write_all(test, addr, PMD_SIZE, 0xabcd);
		reference(test, addr, nr, FOLL_WRITE, written);
		if (round == PIN_RUNS_NR_FORMATS) {
			KUNIT_EXPECT_MEMEQ(test, pages, written, nr * sizeof(*pages));
			unpin_user_pages(pages, nr);
		} else {
			expect_runs(test, &runs, written, nr);
			unpin_user_runs(&runs, UNPIN_CLEAN);
		}
		unpin_user_pages(written, nr);
		unmap_user(test, addr, PMD_SIZE);
	}
}

/* A pin for writing breaks copy-on-write before. */
static void write_breaks_cow(struct kunit *test)
{
	const struct cow *c = test->param_value;
	unsigned long nr = c->len >> PAGE_SHIFT;
	struct page **pages = alloc_pages_array(test, nr);
	unsigned long addr = c->map(test, c->len);
	u32 bytes = nr * sizeof(struct bio_vec);
	void *buf = alloc_buffer(test, bytes);
	struct pin_runs runs;

	fork_mm(test);
	pin_runs_init(&runs, buf, bytes);
	KUNIT_ASSERT_EQ(test, pin_user_runs_fast(addr, nr, FOLL_WRITE, GFP_KERNEL, &runs), nr);
	expect_exclusive(test, addr, nr, &runs, pages);
	unpin_user_runs(&runs, UNPIN_DIRTY_LOCK);
}

/* fork() does not share what is pinned, in whatever runs it is pinned. */
static void fork_copies_pinned(struct kunit *test)
{
	const struct cow *c = test->param_value;
	unsigned long nr = c->len >> PAGE_SHIFT;
	struct page **pages = alloc_pages_array(test, nr);
	unsigned long addr = c->map(test, c->len);
	u32 bytes = nr * sizeof(struct bio_vec);
	void *buf = alloc_buffer(test, bytes);
	struct pin_runs runs;

	pin_runs_init(&runs, buf, bytes);
	KUNIT_ASSERT_EQ(test, pin_user_runs_fast(addr, nr, FOLL_WRITE, GFP_KERNEL, &runs), nr);
	fork_mm(test);
	expect_exclusive(test, addr, nr, &runs, pages);
	unpin_user_runs(&runs, UNPIN_DIRTY_LOCK);
}

/* ---- migration ---- */

static bool stays(struct kunit *test, unsigned long addr, unsigned long *pfn)
{
	struct page *page;
	bool ret;

	KUNIT_ASSERT_EQ(test, get_user_pages_fast(addr, 1, 0, &page), 1);
	*pfn = page_to_pfn(page);
	ret = folio_is_longterm_pinnable(page_folio(page));
	put_page(page);
	return ret;
}

/*
 * What is in memory that must not be pinned for long moves, with its data.
 * What is between it stays where it is.
 */
static void migrate(struct kunit *test)
{
	const struct cow *c = test->param_value;
	unsigned long nr = c->len >> PAGE_SHIFT, moved = 0, i;
	unsigned long *pfns = alloc_buffer(test, nr * sizeof(*pfns));
	struct page **pages = alloc_pages_array(test, nr);
	unsigned long addr = c->map(test, c->len), pfn;
	u32 bytes = nr * sizeof(struct bio_vec);
	bool *was = alloc_buffer(test, nr);
	struct pin_runs runs;
	void *buf = alloc_buffer(test, bytes);
	long before;

	for (i = 0; i < nr; i++)
		moved += !stays(test, addr + i * PAGE_SIZE, &pfns[i]);
	if (!moved)
		kunit_skip(test, "no memory that must move: boot with movablecore=256M");

	/* Some of it is moved first. */
	for (i = 1; i < nr; i = i * 2 + 1) {
		reference(test, addr + i * PAGE_SIZE, 1, FOLL_LONGTERM, pages);
		unpin_user_page(pages[0]);
	}
	for (i = 0; i < nr; i++)
		was[i] = stays(test, addr + i * PAGE_SIZE, &pfns[i]);

	before = pins_held();
	pin_runs_init(&runs, buf, bytes);
	KUNIT_ASSERT_EQ(test, pin_user_runs_fast(addr, nr, FOLL_WRITE | FOLL_LONGTERM, GFP_KERNEL,
						 &runs), nr);
	reference(test, addr, nr, FOLL_WRITE | FOLL_LONGTERM, pages);
	KUNIT_EXPECT_EQ(test, expect_runs(test, &runs, pages, nr),
			pins_held() - before - nr);
	expect_touched(test, addr, c->len);
	for (i = 0; i < nr; i++) {
		KUNIT_ASSERT_TRUE(test, stays(test, addr + i * PAGE_SIZE, &pfn));
		if (was[i])
			KUNIT_ASSERT_EQ(test, pfn, pfns[i]);
		else
			KUNIT_ASSERT_NE(test, pfn, pfns[i]);
	}
	unpin_user_pages(pages, nr);
	unpin_user_runs(&runs, UNPIN_DIRTY_LOCK);
}

static struct kunit_case pin_runs_cow_cases[] = {
	KUNIT_CASE_PARAM(read_only_unshares, cow_gen_params),
	KUNIT_CASE_PARAM(read_only_each_page, cow_gen_params),
	KUNIT_CASE(private_behind_shared),
	KUNIT_CASE_PARAM(write_breaks_cow, cow_gen_params),
	KUNIT_CASE_PARAM(fork_copies_pinned, cow_gen_params),
	KUNIT_CASE_PARAM(migrate, move_gen_params),
	{ }
};

static struct kunit_suite pin_runs_cow_suite = {
	.name = "pin_runs_cow",
	.init = pin_runs_case_init,
	.exit = pin_runs_case_exit,
	.test_cases = pin_runs_cow_cases,
};

kunit_test_suite(pin_runs_cow_suite);
