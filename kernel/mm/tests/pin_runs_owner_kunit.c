// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests for who owns a pin of pin_user_runs_fast(): one entry has one pin,
 * or one for each of its pages, whatever is beside it, and it can be split
 */
#include <kunit/test.h>
#include <linux/bvec.h>
#include <linux/mm.h>
#include <linux/prandom.h>
#include <linux/sizes.h>

#include "../internal.h"
#include "../pin_runs.h"
#include "pin_runs_kunit.h"

#define SEGMENTS	6

/* The entry as a chunk of its own: what unpins it sees nothing beside it. */
static void unpin_entry(enum pin_runs_format format, void *buf, int i)
{
	u32 bytes = pin_run_bytes(format, 0, 1);
	struct pin_runs one;
	u64 entry[2];

	memcpy(entry, buf + i * bytes, bytes);
	init_chunk(&one, format, entry, sizeof(entry));
	one.nr = 1;
	unpin_user_runs(&one, UNPIN_CLEAN);
}

/*
 * Segments of one folio that follow each other, each of which was pinned by a call
 * of its own, and put into one array: each has its pin, in any order of release.
 */
static void adjacent(struct kunit *test)
{
	static const int orders[][SEGMENTS] = {
		{ 0, 1, 2, 3, 4, 5 }, { 5, 4, 3, 2, 1, 0 }, { 2, 5, 0, 3, 1, 4 },
	};
	unsigned long addr = map_thp(test, PMD_SIZE);
	enum pin_runs_format format;
	struct page *page;
	struct pin_runs runs;
	u64 buf[2 * SEGMENTS];
	int i, order;
	long before;

	reference(test, addr, 1, FOLL_WRITE, &page);
	before = pins_of(page);
	for (format = 0; format < PIN_RUNS_NR_FORMATS; format++) {
		u32 bytes = pin_run_bytes(format, 0, 1);

		for (order = 0; order < ARRAY_SIZE(orders); order++) {
			for (i = 0; i < SEGMENTS; i++) {
				init_chunk(&runs, format, (void *)buf + i * bytes, bytes);
				KUNIT_ASSERT_EQ(test, pin_user_runs_fast(addr + i * PAGE_SIZE, 1,
									 FOLL_WRITE, GFP_KERNEL,
									 &runs), 1);
			}
			KUNIT_EXPECT_EQ(test, pins_of(page) - before, SEGMENTS);
			for (i = 0; i < SEGMENTS; i++) {
				unpin_entry(format, buf, orders[order][i]);
				KUNIT_EXPECT_EQ(test, pins_of(page) - before,
						SEGMENTS - 1 - i);
			}
		}

		/* All of them at once */
		for (i = 0; i < SEGMENTS; i++) {
			init_chunk(&runs, format, (void *)buf + i * bytes, bytes);
			pin_user_runs_fast(addr + i * PAGE_SIZE, 1, FOLL_WRITE, GFP_KERNEL,
					   &runs);
		}
		init_chunk(&runs, format, buf, SEGMENTS * bytes);
		runs.nr = SEGMENTS;
		if (format == PIN_RUNS_BVEC)
			unpin_user_bvecs(runs.bvecs, runs.nr, UNPIN_CLEAN);
		else
			unpin_user_runs(&runs, UNPIN_CLEAN);
		KUNIT_EXPECT_EQ(test, pins_of(page), before);
	}
	unpin_user_page(page);
}

/*
 * The caller cuts the last entry to the bytes that it wants: the next call does
 * not touch it, and what follows in that folio is a run beside it.
 */
static void cut_entry(struct kunit *test)
{
	static const struct {
		unsigned int offset, end;
		bool grows;
	} cuts[] = {
		{ 0, 2 * PAGE_SIZE, true },
		{ 100, 2 * PAGE_SIZE },
		{ 0, 2 * PAGE_SIZE - 1 },
		{ PAGE_SIZE - 1, PAGE_SIZE + 1 },
	};
	unsigned long addr = map_thp(test, PMD_SIZE);
	int i, phys;

	for (i = 0; i < 4 * ARRAY_SIZE(cuts); i++) {
		unsigned int offset = cuts[i / 4].offset;
		unsigned int len = cuts[i / 4].end - offset;
		int nr = cuts[i / 4].grows ? 1 : 2;
		long before = pins_held();
		struct pin_runs runs;
		u64 buf[8];

		phys = i % 2;
		init_chunk(&runs, phys ? PIN_RUNS_PHYS : PIN_RUNS_BVEC, buf, sizeof(buf));
		runs.per_page = i & 2;
		KUNIT_ASSERT_EQ(test, pin_user_runs_fast(addr, 2, FOLL_WRITE, GFP_KERNEL,
							 &runs), 2);
		if (phys) {
			runs.phys[0].paddr += offset;
			runs.phys[0].len = len;
		} else {
			runs.bvecs[0].bv_offset = offset;
			runs.bvecs[0].bv_len = len;
		}
		KUNIT_ASSERT_EQ(test, pin_user_runs_fast(addr + 2 * PAGE_SIZE, 3, FOLL_WRITE,
							 GFP_KERNEL, &runs), 3);
		KUNIT_ASSERT_EQ(test, runs.nr, nr);
		KUNIT_EXPECT_EQ(test, pins_held() - before, runs.per_page ? 5 : nr);
		if (nr == 2 && phys) {
			KUNIT_EXPECT_EQ(test, offset_in_page(runs.phys[0].paddr), offset);
			KUNIT_EXPECT_EQ(test, runs.phys[0].len, len);
		} else if (nr == 2) {
			KUNIT_EXPECT_EQ(test, runs.bvecs[0].bv_offset, offset);
			KUNIT_EXPECT_EQ(test, runs.bvecs[0].bv_len, len);
		}
		unpin_user_runs(&runs, UNPIN_CLEAN);
		KUNIT_EXPECT_EQ(test, pins_held(), before);
	}
}

/* ---- a pin for each page ---- */

struct each {
	const char *name;
	unsigned long (*map)(struct kunit *test, unsigned long len);
	unsigned long len;
	unsigned int gup_flags;
};

static const struct each each_memory[] = {
	{ "4K", map_4k, SZ_1M, FOLL_WRITE },
	{ "64K folios", map_64k_folios, SZ_1M, FOLL_WRITE },
	{ "THP", map_thp, 2 * PMD_SIZE, FOLL_WRITE },
	{ "THP mapped by PTEs", map_thp_ptes, 2 * PMD_SIZE, FOLL_WRITE },
	{ "THP with an odd page", map_thp_odd, 2 * PMD_SIZE, FOLL_WRITE },
	{ "thirds", map_thirds, 2 * PMD_SIZE, FOLL_WRITE },
	{ "patchwork", map_patchwork, 4 * PMD_SIZE, FOLL_WRITE },
	{ "hugetlb", map_hugetlb, 2 * PMD_SIZE, FOLL_WRITE },
	{ "zero page", map_zero, SZ_64K * PAGE_SIZE / SZ_4K, 0 },
};

static void each_desc(const struct each *e, char *desc)
{
	strscpy(desc, e->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(each, each_memory, each_desc);

/* The whole chunk, page by page, and in pieces of any size, from both ends */
static void release_chunk(struct pin_runs *runs)
{
	unpin_user_runs(runs, UNPIN_CLEAN);
}

static void release_each(struct pin_runs *runs)
{
	struct pin_runs_iter it = { };
	struct pin_run run;

	while (pin_runs_next(runs, &it, &run)) {
		while (run.nr_pages)
			unpin_user_page(pfn_to_page(run.pfn + --run.nr_pages));
	}
}

static void release_pieces(struct pin_runs *runs)
{
	struct pin_runs_iter it = { };
	struct rnd_state rnd;
	struct pin_run run;

	prandom_seed_state(&rnd, 20261128);
	while (pin_runs_next(runs, &it, &run)) {
		while (run.nr_pages) {
			unsigned long nr = 1 + prandom_u32_state(&rnd) % run.nr_pages;

			run.nr_pages -= nr;
			if (nr % 2)
				unpin_user_folio(pfn_folio(run.pfn), nr);
			else
				unpin_user_page_range_dirty_lock(pfn_to_page(run.pfn), nr,
								 false);
			run.pfn += nr;
		}
	}
}

/*
 * As many pins as pages, in chunks of all sizes, and nothing is left however they
 * are released; a chunk that is resumed goes on in the same way.
 */
static void per_page(struct kunit *test)
{
	static void (* const release[])(struct pin_runs *runs) = {
		release_chunk, release_each, release_pieces,
	};
	static const u32 sizes[] = { SZ_16K, 256, 16 };
	const struct each *e = test->param_value;
	unsigned long nr = e->len >> PAGE_SHIFT, done;
	unsigned long addr = e->map(test, e->len);
	struct page **pages = alloc_pages_array(test, nr);
	void *buf = alloc_buffer(test, SZ_16K);
	int i, step;

	reference(test, addr, nr, e->gup_flags, pages);
	for (i = 0; i < ARRAY_SIZE(release) * PIN_RUNS_NR_FORMATS; i++) {
		long before = pins_held(), held, ret = 0;
		struct pin_runs runs;

		for (done = 0; done < nr; done += ret) {
			init_chunk(&runs, i % PIN_RUNS_NR_FORMATS, buf,
				   sizes[(i + i / 3) % ARRAY_SIZE(sizes)]);
			runs.per_page = true;
			/* In two calls, so that the second one resumes */
			for (ret = 0, step = 0; step < 2; step++) {
				unsigned long want = step ? nr - done - ret :
							    (nr - done + 1) / 2;
				long more;

				more = pin_user_runs_fast(addr + (done + ret) * PAGE_SIZE, want,
							  e->gup_flags, GFP_KERNEL, &runs);
				if (more <= 0)
					break;
				ret += more;
			}
			KUNIT_ASSERT_GT(test, ret, 0);
			held = expect_runs(test, &runs, pages + done, ret);
			if (e->map != map_zero)
				KUNIT_EXPECT_EQ(test, held, ret);
			KUNIT_EXPECT_EQ(test, pins_held() - before, held);
			release[i / PIN_RUNS_NR_FORMATS](&runs);
		}
		KUNIT_EXPECT_EQ(test, pins_held(), before);
	}
	unpin_user_pages(pages, nr);
	expect_unpinned(test, pages, nr);
}

/* ---- a second pin ---- */

/* A run is made two: each part keeps the folio pinned, and is released alone. */
static void second_pin(struct kunit *test)
{
	static const struct {
		unsigned long (*map)(struct kunit *test, unsigned long len);
		unsigned long nr;
	} cases[] = {
		{ map_4k, 1 }, { map_64k_folios, SZ_64K / PAGE_SIZE }, { map_thp, PTRS_PER_PTE },
	};
	unsigned int flags = FOLL_WRITE | FOLL_LONGTERM;
	int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		unsigned long addr = cases[i].map(test, PMD_SIZE);
		long before = pins_held(), pinned;
		struct pin_runs runs;
		struct page *page;
		u64 buf[2];

		pin_runs_init(&runs, buf, sizeof(buf));
		KUNIT_ASSERT_EQ(test, pin_user_runs_fast(addr, cases[i].nr, flags,
							 GFP_KERNEL, &runs), cases[i].nr);
		KUNIT_ASSERT_EQ(test, runs.nr, 1);
		page = pfn_to_page(pin_runs_pop(&runs).pfn);
		runs.nr = 1;
		pinned = pins_of(page);
		KUNIT_EXPECT_EQ(test, repin_user_run(page_to_pfn(page) + cases[i].nr - 1, 2), 0);
		KUNIT_EXPECT_EQ(test, pins_of(page), pinned + 2);
		KUNIT_EXPECT_EQ(test, pins_held() - before, 3);
		unpin_user_page(page + cases[i].nr - 1);
		unpin_user_runs(&runs, UNPIN_CLEAN);
		KUNIT_EXPECT_EQ(test, pins_of(page), pinned);
		KUNIT_EXPECT_TRUE(test, folio_maybe_dma_pinned(page_folio(page)));
		unpin_user_page(page);
		KUNIT_EXPECT_EQ(test, pins_held(), before);

		/* More than can be counted */
		KUNIT_ASSERT_EQ(test, pin_user_runs_fast(addr, 1, flags, GFP_KERNEL, &runs), 1);
		KUNIT_EXPECT_EQ(test, repin_user_run(page_to_pfn(page), INT_MAX), -ENOMEM);
		unpin_user_runs(&runs, UNPIN_CLEAN);
		KUNIT_EXPECT_EQ(test, pins_held(), before);
	}
	/* Those of the zero page are none. */
	KUNIT_EXPECT_EQ(test, repin_user_run(page_to_pfn(ZERO_PAGE(0)), 1), 0);
}

/* ---- the chunk ---- */

#define GUARD	32

/*
 * Nothing behind a chunk is written to, and no more than its room is used: in
 * chunks of all sizes, of memory whose runs take more than one size of entry
 */
static void beyond(struct kunit *test)
{
	unsigned long nr = 2 * PMD_SIZE >> PAGE_SHIFT;
	unsigned long addr = map_patchwork(test, 2 * PMD_SIZE);
	unsigned char *buf = alloc_buffer(test, SZ_4K + 2 * GUARD);
	enum pin_runs_format format;
	int i, each;
	u32 bytes;

	for (format = 0; format < PIN_RUNS_NR_FORMATS; format++) {
		u32 entry = pin_run_bytes(format, 0, 1);

		for (bytes = entry; bytes < 40 * entry; bytes += entry) {
			for (each = 0; each < 2; each++) {
				struct pin_runs runs;
				long ret;

				memset(buf, 0xa5, SZ_4K + 2 * GUARD);
				init_chunk(&runs, format, buf + GUARD, bytes);
				runs.per_page = each;
				ret = pin_user_runs_fast(addr + bytes / entry * PAGE_SIZE,
							 nr - bytes / entry, FOLL_WRITE,
							 GFP_KERNEL, &runs);
				KUNIT_EXPECT_GT(test, ret, 0);
				for (i = 0; i < GUARD; i++) {
					KUNIT_EXPECT_EQ(test, buf[i], 0xa5);
					KUNIT_EXPECT_EQ(test, buf[GUARD + bytes + i], 0xa5);
				}
				unpin_user_runs(&runs, UNPIN_CLEAN);
			}
		}
	}
}

static struct kunit_case pin_runs_owner_cases[] = {
	KUNIT_CASE(adjacent),
	KUNIT_CASE(cut_entry),
	KUNIT_CASE_PARAM(per_page, each_gen_params),
	KUNIT_CASE(second_pin),
	KUNIT_CASE(beyond),
	{ }
};

static struct kunit_suite pin_runs_owner_suite = {
	.name = "pin_runs_owner",
	.init = pin_runs_case_init,
	.exit = pin_runs_case_exit,
	.test_cases = pin_runs_owner_cases,
};

kunit_test_suite(pin_runs_owner_suite);
