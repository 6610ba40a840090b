// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests for pin_user_runs_fast()
 *
 * pin_runs_builder: how runs are built and packed, on PFNs that need not exist,
 * compared with a list of pages put together one by one.
 *
 * pin_runs: real memory of a process, pinned as runs and, as the reference, by
 * pin_user_pages_fast() at the same addresses.
 */
#include <kunit/test.h>
#include <linux/bvec.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/prandom.h>
#include <linux/scatterlist.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/syscalls.h>
#include <linux/uaccess.h>
#include <linux/vmstat.h>

#include "../internal.h"
#include "../pin_runs.h"

/* ---- building and packing ---- */

/* A range of pages as a walk would find it, in a folio of its own or not */
struct found {
	unsigned long pfn;
	unsigned long nr;
	unsigned long folio_end;
};

/*
 * What the walker in mm/gup.c does with the builder, but for the pinning.
 * Returns how many of the pages there was room for.
 */
static unsigned long add_found(struct run_builder *b, const struct found *f)
{
	unsigned long nr = run_builder_fits(b, f->pfn, f->nr);

	if (nr)
		run_builder_add(b, f->pfn, nr, f->folio_end);
	return nr;
}

static void pin_runs_pack(struct kunit *test)
{
	static const struct {
		struct pin_run run;
		u32 bytes;
	} cases[] = {
		{ { 0, 1 }, 8 },
		{ { 0, 512 }, 8 },
		{ { 1, 1 }, 8 },
		{ { 0x12345, 1 }, 8 },
		{ { 0x12345, 2 }, 12 },
		{ { 0x12346, 2 }, 8 },
		{ { 512, 512 }, 8 },
		{ { 513, 511 }, 12 },
		{ { 512, 511 }, 12 },
		{ { SZ_256K, SZ_256K }, 8 },
		{ { SZ_256K + 1, SZ_256K - 1 }, 12 },
		{ { 3 * 1024, 1024 }, 8 },
		{ { 3 * 1024, 2048 }, 12 },
#ifdef CONFIG_64BIT
		{ { (1UL << 52) - 1, 1 }, 8 },
		{ { (1UL << 52) - 3, 3 }, 12 },
		{ { 1UL << 40, 1UL << 31 }, 8 },
		{ { 1UL << 40, U32_MAX }, 12 },
#endif
	};
	struct pin_runs_iter it = { };
	struct pin_runs runs;
	u64 buf[2 * ARRAY_SIZE(cases)];
	struct pin_run run;
	u32 room;
	int i;

	pin_runs_init(&runs, buf, sizeof(buf));
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct pin_run *c = &cases[i].run;

		room = pin_runs_room(&runs);
		pin_runs_push(&runs, c->pfn, c->nr_pages);
		KUNIT_EXPECT_EQ(test, room - pin_runs_room(&runs),
				cases[i].bytes);
		KUNIT_EXPECT_EQ(test, pin_run_bytes(PIN_RUNS_PFN, c->pfn,
						    c->nr_pages),
				cases[i].bytes);
	}
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		KUNIT_ASSERT_TRUE(test, pin_runs_next(&runs, &it, &run));
		KUNIT_EXPECT_EQ(test, run.pfn, cases[i].run.pfn);
		KUNIT_EXPECT_EQ(test, run.nr_pages, cases[i].run.nr_pages);
	}
	KUNIT_EXPECT_FALSE(test, pin_runs_next(&runs, &it, &run));
	while (i--) {
		run = pin_runs_pop(&runs);
		KUNIT_EXPECT_EQ(test, run.pfn, cases[i].run.pfn);
		KUNIT_EXPECT_EQ(test, run.nr_pages, cases[i].run.nr_pages);
	}
	KUNIT_EXPECT_EQ(test, pin_runs_room(&runs), sizeof(buf));
}

static void pin_runs_build_table(struct kunit *test)
{
	static const struct {
		const char *what;
		struct found in[6];
		struct pin_run out[6];
	} cases[] = {
		{ "one page", { { 7, 1, 8 } }, { { 7, 1 } } },
		{ "order-0 neighbours stay apart",
		  { { 7, 1, 8 }, { 8, 1, 9 }, { 9, 1, 10 } },
		  { { 7, 1 }, { 8, 1 }, { 9, 1 } } },
		{ "pages of a folio", { { 16, 1, 32 }, { 17, 1, 32 }, { 18, 14, 32 } },
		  { { 16, 16 } } },
		{ "folio after folio", { { 16, 16, 32 }, { 32, 16, 48 } },
		  { { 16, 16 }, { 32, 16 } } },
		{ "the same page again", { { 16, 1, 32 }, { 16, 1, 32 } },
		  { { 16, 1 }, { 16, 1 } } },
		{ "a gap in a folio", { { 16, 2, 32 }, { 19, 2, 32 } },
		  { { 16, 2 }, { 19, 2 } } },
		{ "backwards in a folio", { { 20, 1, 32 }, { 19, 1, 32 } },
		  { { 20, 1 }, { 19, 1 } } },
		{ "odd page within a folio",
		  { { 16, 8, 32 }, { 99, 1, 100 }, { 25, 7, 32 } },
		  { { 16, 8 }, { 99, 1 }, { 25, 7 } } },
		{ "leaf after leaf of a gigantic folio",
		  { { 1024, 512, 4096 }, { 1536, 512, 4096 }, { 2048, 100, 4096 } },
		  { { 1024, 1124 } } },
		{ "aliased folio", { { 512, 512, 1024 }, { 512, 512, 1024 } },
		  { { 512, 512 }, { 512, 512 } } },
		{ "page 0", { { 0, 1, 1 }, { 1, 1, 2 } }, { { 0, 1 }, { 1, 1 } } },
	};
	int i, j;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct pin_runs_iter it = { };
		struct run_builder b;
		struct pin_runs runs;
		struct pin_run run;
		u64 buf[16];

		pin_runs_init(&runs, buf, sizeof(buf));
		run_builder_init(&b, &runs);
		for (j = 0; j < ARRAY_SIZE(cases[i].in) && cases[i].in[j].nr; j++)
			KUNIT_ASSERT_EQ_MSG(test, add_found(&b, &cases[i].in[j]),
					    cases[i].in[j].nr, "%s", cases[i].what);
		run_builder_close(&b);
		for (j = 0; pin_runs_next(&b.runs, &it, &run); j++) {
			KUNIT_ASSERT_LT(test, j, ARRAY_SIZE(cases[i].out));
			KUNIT_EXPECT_EQ_MSG(test, run.pfn, cases[i].out[j].pfn,
					    "%s", cases[i].what);
			KUNIT_EXPECT_EQ_MSG(test, run.nr_pages,
					    cases[i].out[j].nr_pages,
					    "%s", cases[i].what);
		}
		KUNIT_EXPECT_TRUE_MSG(test, j == ARRAY_SIZE(cases[i].out) ||
				      !cases[i].out[j].nr_pages,
				      "%s: run missing", cases[i].what);
	}
}

static const char * const formats[] = {
	[PIN_RUNS_PFN] = "pfn",
	[PIN_RUNS_BVEC] = "bvec",
	[PIN_RUNS_PHYS] = "phys",
};

#define RANDOM_PAGES	600

/*
 * Random layouts, found in random pieces, into chunks of every size: expanded,
 * the chunks must give the same pages, and no two runs of one chunk may meet
 * inside a folio.
 */
static void pin_runs_build_random(struct kunit *test)
{
	unsigned long *pfn, *end;
	struct rnd_state rnd;
	u64 *buf;
	int round;

	pfn = kunit_kcalloc(test, RANDOM_PAGES, sizeof(*pfn), GFP_KERNEL);
	end = kunit_kcalloc(test, RANDOM_PAGES, sizeof(*end), GFP_KERNEL);
	buf = kunit_kcalloc(test, 1024, sizeof(*buf), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, pfn);
	KUNIT_ASSERT_NOT_NULL(test, end);
	KUNIT_ASSERT_NOT_NULL(test, buf);
	prandom_seed_state(&rnd, 20261120);

	for (round = 0; round < 2000; round++) {
		u32 bytes = 16 * (1 + prandom_u32_state(&rnd) % (round % 2 ? 8 : 400));
		u32 max_order = prandom_u32_state(&rnd) % 10;
		enum pin_runs_format format = round % ARRAY_SIZE(formats);
		u32 size = pin_run_bytes(format, 0, 1);
		int n = 0, done = 0, chunks = 0;

		/* The memory: pieces of folios, often the piece that follows */
		while (n < RANDOM_PAGES) {
			/* Memory comes in blocks of folios of one order. */
			u32 order = prandom_u32_state(&rnd) % (max_order + 1);
			unsigned long folio = (order << 16) +
				((prandom_u32_state(&rnd) % 64) << order);
			u32 first = prandom_u32_state(&rnd) % (1 << order);
			u32 nr = 1 + prandom_u32_state(&rnd) % ((1 << order) - first);

			if (n && prandom_u32_state(&rnd) % 4 == 0 &&
			    pfn[n - 1] + 1 < end[n - 1]) {
				pfn[n] = pfn[n - 1] + 1;
				end[n] = end[n - 1];
				n++;
				continue;
			}
			for (; nr && n < RANDOM_PAGES; nr--, n++, first++) {
				pfn[n] = folio + first;
				end[n] = folio + (1 << order);
			}
		}

		while (done < RANDOM_PAGES) {
			struct pin_runs_iter it = { };
			struct pin_run run, last = { };
			struct run_builder b;
			struct pin_runs runs;
			int i = done, k = done;

			pin_runs_init(&runs, buf, bytes);
			runs.format = format;
			run_builder_init(&b, &runs);
			while (i < RANDOM_PAGES) {
				struct found f = { pfn[i], 1, end[i] };
				u32 max = 1 + prandom_u32_state(&rnd) % 64;

				while (f.nr < max && i + f.nr < RANDOM_PAGES &&
				       f.pfn + f.nr < f.folio_end &&
				       pfn[i + f.nr] == f.pfn + f.nr &&
				       end[i + f.nr] == f.folio_end)
					f.nr++;
				max = add_found(&b, &f);
				i += max;
				if (max < f.nr)
					break;
			}
			run_builder_close(&b);
			KUNIT_ASSERT_GT_MSG(test, i, done, "no progress in %u bytes", bytes);
			KUNIT_ASSERT_LE(test, b.runs.nr * size + b.runs.nr_sizes * 4, bytes);

			while (pin_runs_next(&b.runs, &it, &run)) {
				unsigned long j;

				KUNIT_ASSERT_LE(test, k + run.nr_pages, i);
				KUNIT_ASSERT_LE(test, run.pfn + run.nr_pages, end[k]);
				KUNIT_EXPECT_FALSE_MSG(test, last.nr_pages &&
						       last.pfn + last.nr_pages == run.pfn &&
						       end[k - 1] == end[k] &&
						       run.pfn < end[k - 1],
						       "not maximal");
				for (j = 0; j < run.nr_pages; j++, k++)
					KUNIT_ASSERT_EQ(test, pfn[k], run.pfn + j);
				last = run;
			}
			KUNIT_ASSERT_EQ(test, k, i);
			done = i;
			chunks++;
		}
		/* There is room for as many pages as there is for entries. */
		KUNIT_EXPECT_LE(test, chunks, DIV_ROUND_UP(RANDOM_PAGES, bytes / size));
	}
}

static struct kunit_case pin_runs_builder_cases[] = {
	KUNIT_CASE(pin_runs_pack),
	KUNIT_CASE(pin_runs_build_table),
	KUNIT_CASE(pin_runs_build_random),
	{ }
};

static struct kunit_suite pin_runs_builder_suite = {
	.name = "pin_runs_builder",
	.test_cases = pin_runs_builder_cases,
};

/* ---- real memory ---- */

static unsigned long map(struct kunit *test, unsigned long len,
			 unsigned long prot, unsigned long flags)
{
	unsigned long addr;

	KUNIT_ASSERT_EQ(test, kunit_attach_mm(), 0);
	addr = ksys_mmap_pgoff(0, len, prot, MAP_PRIVATE | MAP_ANONYMOUS | flags,
			       -1, 0);
	KUNIT_ASSERT_FALSE_MSG(test, IS_ERR_VALUE(addr), "mmap: %ld", (long)addr);
	return addr;
}

static void touch(struct kunit *test, unsigned long addr, unsigned long len)
{
	unsigned long end = addr + len;

	for (; addr < end; addr += PAGE_SIZE)
		KUNIT_ASSERT_EQ(test, put_user(0x5a, (char __user *)addr), 0);
}

static unsigned long map_4k(struct kunit *test, unsigned long len)
{
	unsigned long addr = map(test, len, PROT_READ | PROT_WRITE, 0);

	do_madvise(current->mm, addr, len, MADV_NOHUGEPAGE);
	touch(test, addr, len);
	return addr;
}

static unsigned long map_thp(struct kunit *test, unsigned long len)
{
	unsigned long addr, pos;
	struct page *page;
	unsigned int order;

	if (!IS_ENABLED(CONFIG_TRANSPARENT_HUGEPAGE))
		kunit_skip(test, "no THP");
	/* 512 MiB with 64K pages on arm64 */
	if (PMD_SIZE > SZ_2M)
		kunit_skip(test, "THPs are of %lu MiB here", PMD_SIZE / SZ_1M);
	addr = map(test, len + PMD_SIZE, PROT_READ | PROT_WRITE, 0);
	addr = ALIGN(addr, PMD_SIZE);
	KUNIT_ASSERT_EQ(test, do_madvise(current->mm, addr, len, MADV_HUGEPAGE), 0);
	touch(test, addr, len);
	for (pos = addr; pos < addr + len; pos += PMD_SIZE) {
		KUNIT_ASSERT_EQ(test, get_user_pages_fast(pos, 1, FOLL_WRITE, &page), 1);
		order = folio_order(page_folio(page));
		put_page(page);
		if (order != PMD_SHIFT - PAGE_SHIFT)
			kunit_skip(test, "no memory for a THP");
	}
	return addr;
}

/* One page replaced in the middle: the first PMD is PTE-mapped */
static unsigned long map_mixed(struct kunit *test, unsigned long len)
{
	unsigned long addr = map_thp(test, len);
	unsigned long odd = addr + 77 * PAGE_SIZE;

	KUNIT_ASSERT_EQ(test, do_madvise(current->mm, odd, PAGE_SIZE, MADV_DONTNEED), 0);
	touch(test, odd, PAGE_SIZE);
	return addr;
}

static unsigned long map_hugetlb(struct kunit *test, unsigned long len)
{
	unsigned long addr;

	KUNIT_ASSERT_EQ(test, kunit_attach_mm(), 0);
	addr = ksys_mmap_pgoff(0, len, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	if (IS_ERR_VALUE(addr))
		kunit_skip(test, "no huge pages: boot with hugepages=8");
	touch(test, addr, len);
	return addr;
}

/* Never written to: reading gives the zero page */
static unsigned long map_zero(struct kunit *test, unsigned long len)
{
	unsigned long addr = map(test, len, PROT_READ | PROT_WRITE, 0);
	unsigned long i;
	char c;

	do_madvise(current->mm, addr, len, MADV_NOHUGEPAGE);
	for (i = 0; i < len; i += PAGE_SIZE)
		KUNIT_ASSERT_EQ(test, copy_from_user(&c, (char __user *)(addr + i), 1), 0);
	/* ... but for one page */
	touch(test, addr + 3 * PAGE_SIZE, 1);
	return addr;
}

/* Not touched at all: everything has to be faulted in */
static unsigned long map_absent(struct kunit *test, unsigned long len)
{
	unsigned long addr = map(test, len, PROT_READ | PROT_WRITE, 0);

	do_madvise(current->mm, addr, len, MADV_NOHUGEPAGE);
	return addr;
}

struct real_case {
	const char *name;
	unsigned long (*map)(struct kunit *test, unsigned long len);
	unsigned long len;
	unsigned int gup_flags;
	/* largest number of runs, or 0 for one run a page; with no offset */
	unsigned long max_runs;
};

static const struct real_case real_cases[] = {
	{ "4k", map_4k, SZ_4M, FOLL_WRITE },
	{ "4k read-only", map_4k, SZ_4M, 0 },
	{ "4k absent", map_absent, SZ_4M, FOLL_WRITE },
	{ "thp", map_thp, SZ_8M, FOLL_WRITE, 4 },
	{ "thp read-only", map_thp, SZ_8M, 0, 4 },
	{ "thp with an odd page", map_mixed, SZ_8M, FOLL_WRITE, 6 },
	{ "hugetlb", map_hugetlb, SZ_8M, FOLL_WRITE, 4 },
	{ "hugetlb read-only", map_hugetlb, SZ_8M, 0, 4 },
	{ "zero page, read-only", map_zero, 16 * PAGE_SIZE, 0 },
	{ "zero page, written", map_zero, 16 * PAGE_SIZE, FOLL_WRITE },
};

static void real_case_desc(const struct real_case *c, char *desc)
{
	strscpy(desc, c->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(real, real_cases, real_case_desc);

/* A counter of pins, with what is still in the per-CPU differences */
static long pins(enum node_stat_item item)
{
	long sum = 0;
	int cpu, nid;

	for_each_online_node(nid) {
		pg_data_t *pgdat = NODE_DATA(nid);

		sum += node_page_state_pages(pgdat, item);
		for_each_online_cpu(cpu)
			sum += READ_ONCE(per_cpu_ptr(pgdat->per_cpu_nodestats,
						     cpu)->vm_node_stat_diff[item]);
	}
	return sum;
}

struct pin_balance {
	long acquired, released;
};

static struct pin_balance pin_balance(void)
{
	return (struct pin_balance) {
		.acquired = pins(NR_FOLL_PIN_ACQUIRED),
		.released = pins(NR_FOLL_PIN_RELEASED),
	};
}

/*
 * Pin @nr pages as runs, in chunks of @bytes, and compare with @pages. Pins
 * must be held for each run that is not a zero page, and for nothing else.
 */
static unsigned long compare_runs(struct kunit *test, unsigned long addr,
				  unsigned long nr, unsigned int gup_flags,
				  struct page **pages,
				  enum pin_runs_format format, u32 bytes,
				  void *buf)
{
	unsigned long done = 0, total = 0;

	while (done < nr) {
		struct pin_balance before = pin_balance();
		struct pin_runs_iter it = { };
		struct pin_runs runs;
		struct pin_run run;
		unsigned long k = done;
		long ret, held = 0;

		pin_runs_init(&runs, buf, bytes);
		runs.format = format;
		ret = pin_user_runs_fast(addr + done * PAGE_SIZE, nr - done,
					 gup_flags, &runs);
		KUNIT_ASSERT_GT(test, ret, 0);
		while (pin_runs_next(&runs, &it, &run)) {
			struct folio *folio = pfn_folio(run.pfn);
			unsigned long i;

			KUNIT_ASSERT_LE(test, k + run.nr_pages, done + ret);
			KUNIT_EXPECT_TRUE(test, run.pfn + run.nr_pages <=
					  folio_pfn(folio) + folio_nr_pages(folio));
			for (i = 0; i < run.nr_pages; i++, k++)
				KUNIT_ASSERT_EQ(test, page_to_pfn(pages[k]),
						run.pfn + i);
			if (is_zero_pfn(run.pfn)) {
				KUNIT_EXPECT_EQ(test, run.nr_pages, 1);
			} else {
				KUNIT_EXPECT_TRUE(test, folio_maybe_dma_pinned(folio));
				held++;
			}
			total++;
		}
		KUNIT_ASSERT_EQ(test, k, done + ret);
		KUNIT_EXPECT_EQ(test, held,
				(pins(NR_FOLL_PIN_ACQUIRED) - before.acquired) -
				(pins(NR_FOLL_PIN_RELEASED) - before.released));
		done += ret;

		unpin_user_runs(&runs, UNPIN_CLEAN);
		KUNIT_EXPECT_EQ(test, runs.nr, 0);
		KUNIT_EXPECT_EQ(test, pins(NR_FOLL_PIN_ACQUIRED) - before.acquired,
				pins(NR_FOLL_PIN_RELEASED) - before.released);
	}
	return total;
}

static void free_pages_array(void *pages)
{
	kvfree(pages);
}

static struct page **alloc_pages_array(struct kunit *test, unsigned long nr)
{
	struct page **pages = kvcalloc(nr, sizeof(*pages), GFP_KERNEL);

	int ret;

	KUNIT_ASSERT_NOT_NULL(test, pages);
	ret = kunit_add_action_or_reset(test, free_pages_array, pages);
	KUNIT_ASSERT_EQ(test, ret, 0);
	return pages;
}

static void pin_runs_vs_pages(struct kunit *test)
{
	static const u32 sizes[] = { 16, 8, 48, 32, 256, PAGE_SIZE };
	static const unsigned long skips[] = { 0, 1, 78, 511 };
	const struct real_case *c = test->param_value;
	unsigned long addr, nr, got, skip, total;
	enum pin_runs_format format;
	struct page **pages;
	void *buf;
	long ret;
	int i, j;

	buf = kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, buf);
	addr = c->map(test, c->len);
	nr = c->len >> PAGE_SHIFT;
	pages = alloc_pages_array(test, nr);

	/* Without FOLL_LONGTERM first: absent memory goes the slow way there */
	for (i = 0; i < 2; i++) {
		unsigned int flags = c->gup_flags | (i ? FOLL_LONGTERM : 0);

		if (i == 0 && c->map == map_absent) {
			struct pin_runs runs;

			pin_runs_init(&runs, buf, PAGE_SIZE);
			ret = pin_user_runs_fast(addr, nr, flags, &runs);
			KUNIT_EXPECT_GT(test, ret, 0);
			unpin_user_runs(&runs, UNPIN_DIRTY_LOCK);
		}

		for (got = 0; got < nr; got += ret) {
			ret = pin_user_pages_fast(addr + got * PAGE_SIZE, nr - got,
						  flags, pages + got);
			KUNIT_ASSERT_GT(test, ret, 0);
		}
		for (j = 0; j < ARRAY_SIZE(sizes); j++) {
			/* 8 bytes are room for a packed PFN only. */
			format = sizes[j] == 8 ? PIN_RUNS_PFN :
						 (i + j) % ARRAY_SIZE(formats);
			skip = skips[j % ARRAY_SIZE(skips)];
			if (skip >= nr)
				skip = nr - 1;
			compare_runs(test, addr + skip * PAGE_SIZE, nr - skip,
				     flags, pages + skip, format, sizes[j], buf);
		}
		for (format = 0; format < ARRAY_SIZE(formats); format++) {
			total = compare_runs(test, addr, nr, flags, pages,
					     format, PAGE_SIZE, buf);
			if (c->max_runs)
				KUNIT_EXPECT_LE_MSG(test, total, c->max_runs, "%s",
						    formats[format]);
			else
				KUNIT_EXPECT_EQ_MSG(test, total, nr, "%s",
						    formats[format]);
		}
		unpin_user_pages(pages, nr);
	}
}

/* What must not be pinned is refused as pin_user_pages_fast() refuses it. */
static void pin_runs_refused(struct kunit *test)
{
	unsigned long addr = map_4k(test, 16 * PAGE_SIZE);
	struct pin_runs runs;
	u64 buf[32];

	pin_runs_init(&runs, buf, sizeof(buf));
	KUNIT_EXPECT_EQ(test, pin_user_runs_fast(addr, 0, FOLL_WRITE, &runs), 0);
	KUNIT_EXPECT_EQ(test, pin_user_runs_fast(0, 1, FOLL_WRITE, &runs), -EFAULT);
	KUNIT_EXPECT_EQ(test, pin_user_runs_fast(TASK_SIZE_MAX, 1, FOLL_WRITE, &runs),
			-EFAULT);
	KUNIT_EXPECT_EQ(test, pin_user_runs_fast(PAGE_MASK, 2, FOLL_WRITE, &runs),
			-EOVERFLOW);
	KUNIT_EXPECT_EQ(test, pin_user_runs_fast(addr, ULONG_MAX, FOLL_WRITE, &runs),
			-EOVERFLOW);

	addr = map(test, 16 * PAGE_SIZE, PROT_READ, 0);
	KUNIT_EXPECT_EQ(test, pin_user_runs_fast(addr, 16, FOLL_WRITE, &runs), -EFAULT);
	addr = map(test, 16 * PAGE_SIZE, PROT_NONE, 0);
	KUNIT_EXPECT_EQ(test, pin_user_runs_fast(addr, 16, 0, &runs), -EFAULT);
	KUNIT_EXPECT_EQ(test, runs.nr, 0);

	runs.bytes = 0;
	KUNIT_EXPECT_EQ(test, pin_user_runs_fast(addr, 16, 0, &runs), -ENOSPC);
}

/* A hole ends the call at its edge; the next call returns the error. */
static void pin_runs_hole(struct kunit *test)
{
	unsigned long addr = map_4k(test, 16 * PAGE_SIZE);
	struct pin_balance before = pin_balance();
	struct pin_runs runs;
	u64 buf[32];
	int hole;

	pin_runs_init(&runs, buf, sizeof(buf));
	for (hole = 15; hole >= 0; hole--) {
		KUNIT_ASSERT_EQ(test, vm_munmap(addr + hole * PAGE_SIZE, PAGE_SIZE), 0);
		KUNIT_EXPECT_EQ(test, pin_user_runs_fast(addr, 16, FOLL_WRITE, &runs),
				hole ?: -EFAULT);
		KUNIT_EXPECT_EQ(test, runs.nr, hole);
		KUNIT_EXPECT_EQ(test, pin_user_runs_fast(addr + hole * PAGE_SIZE, 1,
							 FOLL_WRITE, &runs), -EFAULT);
		KUNIT_EXPECT_EQ(test, runs.nr, hole);
		unpin_user_runs(&runs, UNPIN_CLEAN);
	}
	KUNIT_EXPECT_EQ(test, pins(NR_FOLL_PIN_ACQUIRED) - before.acquired,
			pins(NR_FOLL_PIN_RELEASED) - before.released);
}

/* A second call into the same chunk lets its last run grow, with one pin. */
static void pin_runs_append(struct kunit *test)
{
	unsigned long addr = map_thp(test, PMD_SIZE);
	struct pin_balance before = pin_balance();
	struct pin_runs runs;
	u64 buf[4];
	int i;

	pin_runs_init(&runs, buf, sizeof(buf));
	for (i = 0; i < PMD_SIZE / PAGE_SIZE; i += 32)
		KUNIT_ASSERT_EQ(test, pin_user_runs_fast(addr + i * PAGE_SIZE, 32,
							 FOLL_WRITE, &runs), 32);
	KUNIT_EXPECT_EQ(test, runs.nr, 1);
	KUNIT_EXPECT_EQ(test, pins(NR_FOLL_PIN_ACQUIRED) - before.acquired, 1);
	unpin_user_runs(&runs, UNPIN_DIRTY);
	KUNIT_EXPECT_EQ(test, pins(NR_FOLL_PIN_RELEASED) - before.released, 1);
}

/*
 * A section that is rolled back leaves the pins and the runs that were there
 * before it, also where it made the open run longer.
 */
static void pin_runs_rollback(struct kunit *test)
{
	unsigned long addr = map_mixed(test, 2 * PMD_SIZE);
	struct run_builder checkpoint;
	struct gup_out out = {
		.runs = true,
		.pinned.item = NR_FOLL_PIN_ACQUIRED,
	};
	struct pin_runs runs;
	unsigned long first;
	void *buf;

	/* Room for whatever the two sections find */
	buf = kunit_kzalloc(test, 4 * PAGE_SIZE, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, buf);
	pin_runs_init(&runs, buf, 4 * PAGE_SIZE);
	for (first = 1; first < 80; first++) {
		struct pin_balance before = pin_balance();
		unsigned long flags = FOLL_PIN | FOLL_WRITE | FOLL_LONGTERM;

		run_builder_init(&out.builder, &runs);
		out.nr = 0;
		out.budget = first;
		KUNIT_ASSERT_TRUE(test, gup_fast_section(addr, addr + 2 * PMD_SIZE,
							 flags, &out));
		KUNIT_ASSERT_EQ(test, out.nr, first);
		checkpoint = out.builder;
		out.budget = GUP_SECTION_ENTRIES;
		KUNIT_ASSERT_TRUE(test, gup_fast_section(addr + first * PAGE_SIZE,
							 addr + 2 * PMD_SIZE,
							 flags, &out));
		KUNIT_ASSERT_GT(test, out.nr, 512);
		run_builder_rollback(&out.builder, &checkpoint);
		KUNIT_EXPECT_MEMEQ(test, &out.builder, &checkpoint,
				    sizeof(checkpoint));
		run_builder_close(&out.builder);
		KUNIT_EXPECT_EQ(test, pins(NR_FOLL_PIN_ACQUIRED) - before.acquired -
				(pins(NR_FOLL_PIN_RELEASED) - before.released),
				out.builder.runs.nr);
		unpin_user_runs(&out.builder.runs, UNPIN_CLEAN);
		KUNIT_EXPECT_EQ(test, pins(NR_FOLL_PIN_ACQUIRED) - before.acquired,
				pins(NR_FOLL_PIN_RELEASED) - before.released);
	}
}

/* One pin for each run, also if a run is spread over several bio_vecs. */
static void pin_runs_unpin_bvecs(struct kunit *test)
{
	unsigned long addr = map_mixed(test, 2 * PMD_SIZE);
	struct pin_balance before = pin_balance();
	struct pin_runs_iter it = { };
	struct pin_runs runs;
	struct bio_vec *bvecs;
	struct pin_run run;
	u64 buf[16];
	int nr = 0;

	bvecs = kunit_kcalloc(test, 1024, sizeof(*bvecs), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, bvecs);
	pin_runs_init(&runs, buf, sizeof(buf));
	KUNIT_ASSERT_EQ(test, pin_user_runs_fast(addr, 1024, FOLL_WRITE, &runs), 1024);
	KUNIT_ASSERT_EQ(test, runs.nr, 4);
	while (pin_runs_next(&runs, &it, &run)) {
		for (; run.nr_pages; run.nr_pages--)
			bvec_set_page(&bvecs[nr++], pfn_to_page(run.pfn++), PAGE_SIZE, 0);
	}
	KUNIT_ASSERT_EQ(test, nr, 1024);
	/* As the first page of a buffer would be */
	bvecs[0].bv_offset = 100;
	bvecs[0].bv_len -= 100;
	bvecs[nr - 1].bv_len = 1;
	unpin_user_bvecs(bvecs, nr, UNPIN_DIRTY_LOCK);
	KUNIT_EXPECT_EQ(test, pins(NR_FOLL_PIN_ACQUIRED) - before.acquired, 4);
	KUNIT_EXPECT_EQ(test, pins(NR_FOLL_PIN_RELEASED) - before.released, 4);
}

/* get_user_sg() and put_user_sg(), as they were asked for in 2018 */
static void pin_runs_sg(struct kunit *test)
{
	static const unsigned int max_segments[] = {
		PAGE_SIZE, 3 * PAGE_SIZE, SZ_64K, UINT_MAX
	};
	static unsigned long (* const maps[])(struct kunit *, unsigned long) = {
		map_4k, map_absent, map_thp, map_mixed
	};
	unsigned long nr = SZ_8M >> PAGE_SHIFT;
	struct page **pages = alloc_pages_array(test, nr);
	int i, j;

	for (i = 0; i < ARRAY_SIZE(maps); i++) {
		unsigned long addr = maps[i](test, SZ_8M);

		for (j = 0; j < ARRAY_SIZE(max_segments); j++) {
			/* The last one is as much as all of it. */
			unsigned long start = addr + j * 777;
			size_t len = SZ_8M - j * 1234, total = 0;
			struct pin_balance before = pin_balance();
			struct sg_append_table append = { };
			struct scatterlist *sg;
			unsigned int k;

			KUNIT_ASSERT_EQ(test, pin_user_sg(start, len, FOLL_WRITE,
							  max_segments[j], &append), 0);
			KUNIT_ASSERT_EQ(test, pin_user_pages_fast(addr, nr, FOLL_WRITE,
								  pages), nr);
			for_each_sgtable_sg(&append.sgt, sg, k) {
				unsigned int done = 0;

				KUNIT_ASSERT_LE(test, sg->offset + sg->length,
						max_segments[j]);
				while (done < sg->length) {
					unsigned long pos = start + total - addr;
					phys_addr_t phys = sg_phys(sg) + done;
					unsigned int bytes =
						min_t(size_t, sg->length - done,
						      PAGE_SIZE - offset_in_page(pos));

					KUNIT_ASSERT_EQ(test, phys,
							page_to_phys(pages[pos >> PAGE_SHIFT]) +
							offset_in_page(pos));
					done += bytes;
					total += bytes;
				}
				if (total == len)
					KUNIT_EXPECT_TRUE(test, sg_is_last(sg));
			}
			KUNIT_EXPECT_EQ(test, total, len);
			unpin_user_pages(pages, nr);
			if (maps[i] == map_thp)
				KUNIT_EXPECT_EQ(test, pins(NR_FOLL_PIN_ACQUIRED) -
						before.acquired - nr, SZ_8M / PMD_SIZE);
			unpin_user_sg(&append, UNPIN_DIRTY_LOCK);
			KUNIT_EXPECT_EQ(test, pins(NR_FOLL_PIN_ACQUIRED) - before.acquired,
					pins(NR_FOLL_PIN_RELEASED) - before.released);
		}
		/* All or nothing */
		{
			struct pin_balance before = pin_balance();
			struct sg_append_table append = { };

			vm_munmap(addr + SZ_8M - PAGE_SIZE, PAGE_SIZE);
			KUNIT_EXPECT_EQ(test, pin_user_sg(addr, SZ_8M, FOLL_WRITE,
							  UINT_MAX, &append), -EFAULT);
			KUNIT_EXPECT_NULL(test, append.sgt.sgl);
			KUNIT_EXPECT_EQ(test, pins(NR_FOLL_PIN_ACQUIRED) - before.acquired,
					pins(NR_FOLL_PIN_RELEASED) - before.released);
		}
	}
}

/* The callee allocates, the caller frees. */
static void pin_runs_alloc(struct kunit *test)
{
	unsigned long addr = map_4k(test, SZ_8M), nr = SZ_8M >> PAGE_SHIFT;
	struct page **pages = alloc_pages_array(test, nr);
	struct pin_balance before = pin_balance();
	struct pin_runs_iter it = { };
	unsigned long i, k = 0;
	struct pin_runs runs;
	struct pin_run run;

	KUNIT_ASSERT_EQ(test, pin_user_runs_alloc(addr, nr, FOLL_WRITE, &runs), 0);
	KUNIT_ASSERT_EQ(test, pin_user_pages_fast(addr, nr, FOLL_WRITE, pages), nr);
	while (pin_runs_next(&runs, &it, &run)) {
		for (i = 0; i < run.nr_pages; i++)
			KUNIT_ASSERT_EQ(test, run.pfn + i, page_to_pfn(pages[k++]));
	}
	KUNIT_EXPECT_EQ(test, k, nr);
	unpin_user_pages(pages, nr);
	unpin_user_runs_free(&runs, UNPIN_DIRTY);
	KUNIT_EXPECT_EQ(test, pin_user_runs_alloc(addr, nr + 1, FOLL_WRITE, &runs),
			-EFAULT);
	KUNIT_EXPECT_EQ(test, pins(NR_FOLL_PIN_ACQUIRED) - before.acquired,
			pins(NR_FOLL_PIN_RELEASED) - before.released);
}

/* A small array on the stack, and several calls */
static void pin_runs_on_stack(struct kunit *test)
{
	unsigned long addr = map_mixed(test, SZ_8M), nr = SZ_8M >> PAGE_SHIFT;
	unsigned long done = 0, bvecs = 0, calls = 0;
	struct pin_balance before = pin_balance();
	struct bio_vec array[2];
	struct pin_runs runs;
	long ret;

	pin_runs_init_bvecs(&runs, array, ARRAY_SIZE(array));
	while (done < nr) {
		ret = pin_user_runs_fast(addr + done * PAGE_SIZE, nr - done,
					 FOLL_WRITE, &runs);
		KUNIT_ASSERT_GT(test, ret, 0);
		done += ret;
		bvecs += runs.nr;
		calls++;
		unpin_user_runs(&runs, UNPIN_CLEAN);
	}
	/* Before and after the odd page, that page, three more THPs */
	KUNIT_EXPECT_EQ(test, bvecs, 6);
	KUNIT_EXPECT_EQ(test, calls, 3);
	KUNIT_EXPECT_EQ(test, pins(NR_FOLL_PIN_ACQUIRED) - before.acquired, 6);
	KUNIT_EXPECT_EQ(test, pins(NR_FOLL_PIN_RELEASED) - before.released, 6);
}

/*
 * A range that is pinned in many calls costs the entries that it has, and for
 * each call and each section the way down from the top of the page tables, and
 * the entry that did not fit the chunk any more.
 */
static void pin_runs_resume_reads(struct kunit *test)
{
	static unsigned long (* const maps[])(struct kunit *, unsigned long) = {
		map_4k, map_thp, map_mixed
	};
	const unsigned long levels = 5;
	unsigned int chunk;
	u64 *buf;
	int i;

	if (!IS_ENABLED(CONFIG_HAVE_GUP_FAST))
		kunit_skip(test, "no GUP-fast, whose reads are counted");
	buf = kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, buf);
	for (i = 0; i < ARRAY_SIZE(maps); i++) {
		unsigned long addr = maps[i](test, SZ_8M), nr = SZ_8M >> PAGE_SHIFT;
		unsigned long leafs = maps[i] == map_4k ? nr :
				      maps[i] == map_thp ? SZ_8M / PMD_SIZE :
				      SZ_8M / PMD_SIZE - 1 + PTRS_PER_PTE;
		unsigned long tables = SZ_8M / PMD_SIZE;

		for (chunk = 2; chunk <= PAGE_SIZE / sizeof(u64); chunk *= 2) {
			unsigned long reads, done = 0, calls = 0;
			struct pin_runs runs;

			pin_runs_init(&runs, buf, chunk * sizeof(u64));
			reads = READ_ONCE(gup_nr_reads);
			while (done < nr) {
				long ret = pin_user_runs_fast(addr + done * PAGE_SIZE,
							      nr - done, FOLL_WRITE, &runs);

				KUNIT_ASSERT_GT(test, ret, 0);
				unpin_user_runs(&runs, UNPIN_CLEAN);
				done += ret;
				calls++;
			}
			reads = READ_ONCE(gup_nr_reads) - reads;
			KUNIT_EXPECT_GE(test, reads, leafs);
			KUNIT_EXPECT_LE_MSG(test, reads, leafs + tables + calls * (levels + 1) +
					    DIV_ROUND_UP(leafs, GUP_SECTION_ENTRIES) * levels,
					    "chunk of %u entries, %lu calls", chunk, calls);
		}
	}
}

static struct kunit_case pin_runs_cases[] = {
	KUNIT_CASE_PARAM(pin_runs_vs_pages, real_gen_params),
	KUNIT_CASE(pin_runs_refused),
	KUNIT_CASE(pin_runs_hole),
	KUNIT_CASE(pin_runs_append),
	KUNIT_CASE(pin_runs_rollback),
	KUNIT_CASE(pin_runs_unpin_bvecs),
	KUNIT_CASE(pin_runs_sg),
	KUNIT_CASE(pin_runs_alloc),
	KUNIT_CASE(pin_runs_on_stack),
	KUNIT_CASE(pin_runs_resume_reads),
	{ }
};

static struct kunit_suite pin_runs_suite = {
	.name = "pin_runs",
	.test_cases = pin_runs_cases,
};

kunit_test_suites(&pin_runs_builder_suite, &pin_runs_suite);

MODULE_DESCRIPTION("KUnit tests for pin_user_runs_fast()");
MODULE_LICENSE("GPL");
