// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests for what pin_user_runs_fast() does in and between its sections
 *
 * The tests stand in for the functions of mm/gup.c that tell of a race with
 * fork(), and for those that are called for each batch, and count what is left
 * to ordinary GUP.
 */
#include <kunit/static_stub.h>
#include <kunit/test.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>

#include "../internal.h"
#include "../pin_runs.h"
#include "pin_runs_kunit.h"

/* What the stand-ins count, and when they interfere: at the nth call */
static struct {
	int sections, race_from, race_to;
	int batches, refuse_at;
	struct folio *refused;
	bool not_pinned;
	int slow_calls;
	unsigned long slow_pages;
	long slow_err;
	unsigned long leaves, most_leaves;
	int kill_at;
} fake;

static bool fake_raced(unsigned int seq)
{
	int nr = fake.sections++;

	fake.most_leaves = max(fake.most_leaves, gup_nr_leaves - fake.leaves);
	fake.leaves = gup_nr_leaves;
	if (nr == fake.kill_at) {
		sigaddset(&current->pending.signal, SIGKILL);
		set_tsk_thread_flag(current, TIF_SIGPENDING);
	}
	return nr >= fake.race_from && nr < fake.race_to;
}

static long fake_slow(unsigned long start, unsigned long nr_pages,
		      struct page **pages, unsigned int gup_flags)
{
	long ret = fake.slow_err;

	if (!ret)
		ret = pin_user_pages_unlocked(start, nr_pages, pages,
					      gup_flags & ~FOLL_PIN);
	fake.slow_calls++;
	if (ret > 0)
		fake.slow_pages += ret;
	return ret;
}

/* For the same folio again, the answer is the same. */
static bool fake_refuse(struct folio *folio)
{
	if (!folio_maybe_dma_pinned(folio))
		fake.not_pinned = true;
	if (fake.batches++ == fake.refuse_at)
		fake.refused = folio;
	return folio == fake.refused;
}

static bool fake_allowed(struct folio *folio, unsigned int flags)
{
	return !fake_refuse(folio);
}

static int fake_accessible(struct folio *folio)
{
	return fake_refuse(folio) ? -EBUSY : 0;
}

static void fake_reset(void)
{
	memset(&fake, 0, sizeof(fake));
	fake.refuse_at = -1;
	fake.kill_at = -1;
	fake.leaves = gup_nr_leaves;
}

static int fast_case_init(struct kunit *test)
{
	fake_reset();
	kunit_activate_static_stub(test, gup_fast_raced, fake_raced);
	kunit_activate_static_stub(test, gup_slow, fake_slow);
	return pin_runs_case_init(test);
}

/* ---- races with fork() ---- */

struct walk {
	const char *name;
	unsigned long (*map)(struct kunit *test, unsigned long len);
	unsigned long len;
};

static const struct walk walks[] = {
	{ "4K", map_4k, 1280 * PAGE_SIZE },
	{ "64K folios", map_64k_folios, 5 * SZ_1M },
	{ "THP", map_thp, 4 * PMD_SIZE },
	{ "THP mapped by PTEs", map_thp_ptes, 4 * PMD_SIZE },
	{ "THP with an odd page", map_thp_odd, 4 * PMD_SIZE },
	{ "patchwork", map_patchwork, 4 * PMD_SIZE },
	{ "hugetlb", map_hugetlb, 4 * PMD_SIZE },
	{ "shmem THP in two tables", map_shmem_askew, 2 * PMD_SIZE },
};

static void walk_desc(const struct walk *w, char *desc)
{
	strscpy(desc, w->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(walk, walks, walk_desc);

/*
 * A race in each section, in two in a row, and in all from there on. It must
 * not be seen in the result, and ordinary GUP has to do what was undone.
 */
static void race(struct kunit *test)
{
	static const int row[] = { 1, 2, INT_MAX / 2 };
	const struct walk *w = test->param_value;
	unsigned long addr = w->map(test, w->len) + PAGE_SIZE;
	unsigned long nr = (w->len >> PAGE_SHIFT) - 1;
	struct page **pages = alloc_pages_array(test, nr);
	u32 bytes = nr * sizeof(struct bio_vec);
	void *buf = alloc_buffer(test, bytes);
	int i, from, sections, format = 0;
	struct pin_runs runs;

	reference(test, addr, nr, FOLL_WRITE, pages);
	fake_reset();
	expect_chunks(test, addr, nr, FOLL_WRITE, pages, PIN_RUNS_PFN, buf, bytes);
	sections = fake.sections;
	KUNIT_EXPECT_EQ(test, fake.slow_calls, 0);

	for (from = 0; from < sections; from++) {
		for (i = 0; i < ARRAY_SIZE(row); i++) {
			long before = pins_held();

			fake_reset();
			fake.race_from = from;
			fake.race_to = from + row[i];
			init_chunk(&runs, format++ % PIN_RUNS_NR_FORMATS, buf, bytes);
			runs.per_page = format % 4 == 0;
			KUNIT_ASSERT_EQ(test, pin_user_runs_fast(addr, nr, FOLL_WRITE, GFP_KERNEL,
								 &runs), nr);
			KUNIT_EXPECT_EQ(test, expect_runs(test, &runs, pages, nr),
					pins_held() - before);
			/* A page table may be several sections. */
			KUNIT_EXPECT_GE(test, fake.slow_calls, i < 2 ? 1 :
					DIV_ROUND_UP((sections - from) *
						     GUP_SECTION_ENTRIES,
						     PTRS_PER_PTE));
			unpin_user_runs(&runs, UNPIN_CLEAN);
			KUNIT_EXPECT_EQ(test, pins_held(), before);
		}
	}
	unpin_user_pages(pages, nr);
}

/* The same in chunks that a section fills, so that it is undone full */
static void race_full(struct kunit *test)
{
	static const u32 entries[] = { 1, 2, 5 };
	const struct walk *w = test->param_value;
	unsigned long addr = w->map(test, w->len) + PAGE_SIZE;
	struct page **pages = alloc_pages_array(test, 150);
	enum pin_runs_format format;
	unsigned long nr;
	u64 buf[10];
	int i;

	reference(test, addr, 150, FOLL_WRITE, pages);
	for (format = 0; format < PIN_RUNS_NR_FORMATS; format++) {
		for (i = 0; i < ARRAY_SIZE(entries); i++) {
			fake_reset();
			fake.race_to = INT_MAX;
			nr = expect_chunks(test, addr, 150, FOLL_WRITE, pages, format, buf,
					   entries[i] * pin_run_bytes(format, 0, 1));
			KUNIT_EXPECT_GE(test, fake.slow_calls, nr / entries[i]);
		}
	}
	unpin_user_pages(pages, 150);
}

/*
 * A chunk has a run, a section makes it longer and is undone, and ordinary GUP
 * does not get any further: the run is as long as it was, with the same pin.
 */
static void race_open_run(struct kunit *test)
{
	const struct walk *w = test->param_value;
	unsigned long addr = w->map(test, w->len);
	unsigned long nr = w->len >> PAGE_SHIFT, first;
	struct page **pages = alloc_pages_array(test, nr);
	u32 bytes = nr * sizeof(struct bio_vec);
	void *buf = alloc_buffer(test, bytes);
	struct pin_runs runs;

	reference(test, addr, nr, FOLL_WRITE, pages);
	for (first = 1; first < nr; first = first * 3 / 2 + 1) {
		long before = pins_held(), held;
		u32 entries;

		fake_reset();
		init_chunk(&runs, first % PIN_RUNS_NR_FORMATS, buf, bytes);
		runs.per_page = first & 2;
		KUNIT_ASSERT_EQ(test, pin_user_runs_fast(addr, first, FOLL_WRITE, GFP_KERNEL,
							 &runs), first);
		held = pins_held() - before;
		entries = runs.nr;

		fake.race_to = INT_MAX;
		fake.slow_err = -EFAULT;
		KUNIT_EXPECT_EQ(test, pin_user_runs_fast(addr + first * PAGE_SIZE,
							 nr - first, FOLL_WRITE, GFP_KERNEL,
							 &runs), -EFAULT);
		KUNIT_EXPECT_EQ(test, fake.slow_calls, 1);
		KUNIT_EXPECT_EQ(test, runs.nr, entries);
		KUNIT_EXPECT_EQ(test, expect_runs(test, &runs, pages, first), held);
		KUNIT_EXPECT_EQ(test, pins_held() - before, held);

		/* And it can still grow. */
		fake_reset();
		KUNIT_EXPECT_EQ(test, pin_user_runs_fast(addr + first * PAGE_SIZE,
							 nr - first, FOLL_WRITE, GFP_KERNEL,
							 &runs), nr - first);
		KUNIT_EXPECT_EQ(test, expect_runs(test, &runs, pages, nr),
				pins_held() - before);
		unpin_user_runs(&runs, UNPIN_CLEAN);
		KUNIT_EXPECT_EQ(test, pins_held(), before);
	}
	unpin_user_pages(pages, nr);
}

/* Within one call, the run that the section before it has left open */
static void race_second_section(struct kunit *test)
{
	unsigned long addr = map_thp_ptes(test, 4 * PMD_SIZE) + 100 * PAGE_SIZE;
	unsigned long nr = (4 * PMD_SIZE >> PAGE_SHIFT) - 100;
	struct page **pages = alloc_pages_array(test, nr);
	struct pin_runs runs;
	u64 buf[16];
	int at;

	reference(test, addr, nr, FOLL_WRITE, pages);
	for (at = 1; at < 4; at++) {
		long before = pins_held(), ret;

		fake_reset();
		fake.race_from = at;
		fake.race_to = at + 1;
		fake.slow_err = -EFAULT;
		pin_runs_init(&runs, buf, sizeof(buf));
		ret = pin_user_runs_fast(addr, nr, FOLL_WRITE, GFP_KERNEL, &runs);
		KUNIT_ASSERT_EQ(test, ret, at * GUP_SECTION_ENTRIES);
		KUNIT_EXPECT_EQ(test, expect_runs(test, &runs, pages, ret),
				pins_held() - before);
		unpin_user_runs(&runs, UNPIN_CLEAN);
		KUNIT_EXPECT_EQ(test, pins_held(), before);
	}
	unpin_user_pages(pages, nr);
}

/*
 * Page arrays go the same way, a section of as many pages at a time: what sections
 * before the race found is kept, ordinary GUP does the rest.
 */
static void race_pages(struct kunit *test)
{
	const struct walk *w = test->param_value;
	unsigned long addr = w->map(test, w->len);
	unsigned long nr = w->len >> PAGE_SHIFT;
	struct page **pages = alloc_pages_array(test, nr);
	struct page **again = alloc_pages_array(test, nr);
	unsigned long at, kept;
	long before;

	reference(test, addr, nr, FOLL_WRITE, pages);
	before = pins_held();
	for (at = 0, kept = 0; kept < nr; kept = ++at * GUP_SECTION_ENTRIES) {
		fake_reset();
		fake.race_from = at;
		fake.race_to = at + 1;
		reference(test, addr, nr, FOLL_WRITE, again);
		KUNIT_EXPECT_EQ(test, fake.slow_pages, nr - kept);
		KUNIT_EXPECT_LE(test, fake.most_leaves, GUP_SECTION_ENTRIES);
		KUNIT_EXPECT_EQ(test, pins_held() - before, nr);
		KUNIT_EXPECT_MEMEQ(test, again, pages, nr * sizeof(*pages));
		unpin_user_pages(again, nr);
		KUNIT_EXPECT_EQ(test, pins_held(), before);
	}
	KUNIT_EXPECT_EQ(test, at, DIV_ROUND_UP(nr, GUP_SECTION_ENTRIES));
	unpin_user_pages(pages, nr);
}

/* ---- fast and slow ---- */

/*
 * Memory that is there and need not move is pinned for long without the mmap
 * lock, which is for ordinary GUP alone.
 */
static void no_lock(struct kunit *test)
{
	const struct walk *w = test->param_value;
	unsigned int flags = FOLL_WRITE | FOLL_LONGTERM;
	unsigned long addr = w->map(test, w->len);
	unsigned long nr = w->len >> PAGE_SHIFT;
	struct page **pages = alloc_pages_array(test, nr);
	void *buf = alloc_buffer(test, SZ_4K);

	reference(test, addr, nr, flags, pages);
	fake_reset();
	fake.slow_err = -EDEADLK;
	expect_chunks(test, addr, nr, flags, pages, PIN_RUNS_PFN, buf, SZ_4K);
	KUNIT_EXPECT_EQ(test, fake.slow_calls, 0);
	unpin_user_pages(pages, nr);
}

/*
 * Pages that were shared with a child, and unshared for a pin, are exclusive
 * but not writable. For a read-only pin that is enough.
 */
static void read_only_exclusive(struct kunit *test)
{
	const struct walk *w = test->param_value;
	unsigned long nr = w->len >> PAGE_SHIFT;
	struct page **pages = alloc_pages_array(test, nr);
	void *buf = alloc_buffer(test, SZ_4K);
	unsigned long addr;

	/* There may be no huge pages left to unshare the others with. */
	addr = w->map(test, w->map == map_hugetlb ? 2 * PMD_SIZE : w->len);
	if (w->map == map_hugetlb)
		nr = 2 * PMD_SIZE >> PAGE_SHIFT;
	fork_mm(test);
	reference(test, addr, nr, FOLL_LONGTERM, pages);
	fake_reset();
	fake.slow_err = -EDEADLK;
	expect_chunks(test, addr, nr, FOLL_LONGTERM, pages, PIN_RUNS_PFN, buf,
		      SZ_4K);
	KUNIT_EXPECT_EQ(test, fake.slow_calls, 0);
	unpin_user_pages(pages, nr);
}

/*
 * Where one page is absent, ordinary GUP does a few pages, and not beyond the
 * page table, and the walk without locks what is before and behind them.
 */
static void fast_slow_fast(struct kunit *test)
{
	const unsigned long table = PAGE_SIZE / sizeof(u64);
	unsigned long addr, nr = 3 * PTRS_PER_PTE, at;
	struct page **pages = alloc_pages_array(test, nr);
	u32 bytes = nr * sizeof(u64);
	void *buf = alloc_buffer(test, bytes);
	struct pin_runs runs;

	if (PMD_SIZE > SZ_32M)
		kunit_skip(test, "page tables map too much here");
	addr = ALIGN(map_4k(test, 4 * PMD_SIZE), PMD_SIZE);
	for (at = 0; at < nr; at = at * 2 + 1) {
		KUNIT_ASSERT_EQ(test, do_madvise(current->mm, addr + at * PAGE_SIZE,
						 PAGE_SIZE, MADV_DONTNEED), 0);
		fake_reset();
		pin_runs_init(&runs, buf, bytes);
		KUNIT_EXPECT_EQ(test, pin_user_runs_fast(addr, nr, FOLL_WRITE, GFP_KERNEL, &runs),
				nr);
		KUNIT_EXPECT_EQ(test, fake.slow_calls, 1);
		KUNIT_EXPECT_EQ(test, fake.slow_pages, min(8, table - at % table));
		reference(test, addr, nr, FOLL_WRITE, pages);
		expect_runs(test, &runs, pages, nr);
		unpin_user_pages(pages, nr);
		unpin_user_runs(&runs, UNPIN_CLEAN);
	}
}

/*
 * Where every second page is absent, ordinary GUP soon does all of a page table
 * at a time; where that is over, it starts with few pages again.
 */
static void slow_doubles(struct kunit *test)
{
	const unsigned long table = PAGE_SIZE / sizeof(u64), nr = 4 * table;
	struct page **pages = alloc_pages_array(test, nr);
	u32 bytes = nr * sizeof(u64);
	void *buf = alloc_buffer(test, bytes);
	unsigned long addr, at;
	struct pin_runs runs;

	if (PMD_SIZE > SZ_32M)
		kunit_skip(test, "page tables map too much here");
	addr = ALIGN(map_4k(test, (nr + table) * PAGE_SIZE), table * PAGE_SIZE);
	for (at = 0; at < 2 * table; at += 2)
		KUNIT_ASSERT_EQ(test, do_madvise(current->mm, addr + at * PAGE_SIZE,
						 PAGE_SIZE, MADV_DONTNEED), 0);
	at = nr - 100;
	KUNIT_ASSERT_EQ(test, do_madvise(current->mm, addr + at * PAGE_SIZE,
					 PAGE_SIZE, MADV_DONTNEED), 0);
	fake_reset();
	pin_runs_init(&runs, buf, bytes);
	KUNIT_EXPECT_EQ(test, pin_user_runs_fast(addr, nr, FOLL_WRITE, GFP_KERNEL,
						 &runs), nr);
	/* 8, 16 ... and all of a table, those before and the last one */
	KUNIT_EXPECT_LE(test, fake.slow_calls, ilog2(table / 8) + 4);
	KUNIT_EXPECT_GE(test, fake.slow_pages, 2 * table - 1 + 8);
	KUNIT_EXPECT_LE(test, fake.slow_pages, 2 * table + 8);
	reference(test, addr, nr, FOLL_WRITE, pages);
	expect_runs(test, &runs, pages, nr);
	unpin_user_pages(pages, nr);
	unpin_user_runs(&runs, UNPIN_CLEAN);
}

/*
 * A mapping that is never copied on write is pinned for long, and read-only,
 * without ordinary GUP; one that may be is not, as its page tables do not tell.
 */
static void read_only_shared(struct kunit *test)
{
	static const struct walk shared[] = {
		{ "memfd", map_memfd, SZ_1M },
		{ "shmem THP", map_shmem_thp, 2 * PMD_SIZE },
		{ "shmem THP in two tables", map_shmem_askew, 2 * PMD_SIZE },
		{ "file", map_file_shared, SZ_1M },
	};
	unsigned long nr = 2 * PMD_SIZE >> PAGE_SHIFT, addr;
	struct page **pages = alloc_pages_array(test, nr);
	void *buf = alloc_buffer(test, SZ_4K);
	struct pin_runs runs;
	int i;

	if (!IS_ENABLED(CONFIG_HAVE_GUP_FAST) || !IS_ENABLED(CONFIG_PER_VMA_LOCK))
		kunit_skip(test, "no walk that could hold the lock of a VMA");
	for (i = 0; i < ARRAY_SIZE(shared); i++) {
		const struct walk *w = &shared[i];

		nr = w->len >> PAGE_SHIFT;
		addr = map_read_only(test, w->map(test, w->len), w->len);
		/* This moves what has to, and the rest need not be. */
		fake_reset();
		reference(test, addr, nr, FOLL_LONGTERM, pages);
		fake_reset();
		fake.slow_err = -EDEADLK;
		expect_chunks(test, addr, nr, FOLL_LONGTERM, pages, PIN_RUNS_PFN, buf,
			      SZ_4K);
		KUNIT_EXPECT_EQ_MSG(test, fake.slow_calls, 0, "%s", w->name);
		unpin_user_pages(pages, nr);
	}

	nr = SZ_1M >> PAGE_SHIFT;
	addr = map_file_private(test, SZ_1M);
	fake_reset();
	pin_runs_init(&runs, buf, SZ_4K);
	KUNIT_ASSERT_EQ(test, pin_user_runs_fast(addr, nr, FOLL_LONGTERM, GFP_KERNEL,
						 &runs), nr);
	KUNIT_EXPECT_EQ(test, fake.slow_pages, nr);
	reference(test, addr, nr, FOLL_LONGTERM, pages);
	expect_runs(test, &runs, pages, nr);
	unpin_user_pages(pages, nr);
	unpin_user_runs(&runs, UNPIN_CLEAN);
}

/* Interrupts are off for a bounded number of entries, whatever the range. */
static void section_is_bounded(struct kunit *test)
{
	const struct walk *w = test->param_value;
	unsigned long nr = w->len >> PAGE_SHIFT;
	u32 bytes = nr * sizeof(u64);
	void *buf = alloc_buffer(test, bytes);
	unsigned long addr = w->map(test, w->len);
	struct pin_runs runs;

	pin_runs_init(&runs, buf, bytes);
	fake_reset();
	KUNIT_EXPECT_EQ(test, pin_user_runs_fast(addr, nr, FOLL_WRITE, GFP_KERNEL, &runs), nr);
	KUNIT_EXPECT_GT(test, fake.sections, 0);
	KUNIT_EXPECT_GT(test, fake.most_leaves, 0);
	KUNIT_EXPECT_LE(test, fake.most_leaves, GUP_SECTION_ENTRIES);
	unpin_user_runs(&runs, UNPIN_CLEAN);
}

/*
 * A fatal signal ends a call between two sections, and the next one at once if that is
 * for long: but not what is for one transfer of many that belong together.
 */
static void fatal_signal(struct kunit *test)
{
	unsigned long nr = 4 * GUP_SECTION_ENTRIES;
	unsigned long addr = map_4k(test, nr * PAGE_SIZE);
	u32 bytes = nr * sizeof(u64);
	void *buf = alloc_buffer(test, bytes);
	struct pin_runs runs;
	long ret, next, brief;

	pin_runs_init(&runs, buf, bytes);
	fake_reset();
	fake.kill_at = 1;
	ret = pin_user_runs_fast(addr, nr, FOLL_WRITE, GFP_KERNEL, &runs);
	addr += ret * PAGE_SIZE;
	next = pin_user_runs_fast(addr, 1, FOLL_WRITE | FOLL_LONGTERM, GFP_KERNEL, &runs);
	brief = pin_user_runs_fast(addr, 1, FOLL_WRITE, GFP_KERNEL, &runs);
	sigdelset(&current->pending.signal, SIGKILL);
	clear_tsk_thread_flag(current, TIF_SIGPENDING);

	KUNIT_EXPECT_EQ(test, fake.sections, 3);
	KUNIT_EXPECT_GT(test, ret, 0);
	KUNIT_EXPECT_LE(test, ret, 2 * GUP_SECTION_ENTRIES);
	KUNIT_EXPECT_EQ(test, next, -EINTR);
	KUNIT_EXPECT_EQ(test, brief, 1);
	KUNIT_EXPECT_EQ(test, runs.nr, ret + 1);
	unpin_user_runs(&runs, UNPIN_CLEAN);
}

/* ---- once for each batch ---- */

struct batches {
	unsigned long (*map)(struct kunit *test, unsigned long len);
	unsigned long len;
	long batches;
};

/* A batch ends with the folio, and with the page table. */
static const struct batches all_batches[] = {
	{ map_4k, SZ_1M, SZ_1M / PAGE_SIZE },
	{ map_64k_folios, SZ_1M, SZ_1M / SZ_64K },
	{ map_thp_ptes, 2 * PMD_SIZE, 2 },
	{ map_shmem_askew, 2 * PMD_SIZE, 4 },
	{ }
};

/* Anonymous memory and hugetlb are always allowed. */
static const struct batches file_batches[] = {
	{ map_shmem, SZ_1M, SZ_1M / PAGE_SIZE },
	{ map_shmem_askew, 2 * PMD_SIZE, 4 },
	{ }
};

/*
 * It is asked once for each batch, with the pin held, and where the answer is
 * no, all of the batch is left to ordinary GUP.
 */
static void expect_batches(struct kunit *test, const struct batches *b)
{
	struct pin_runs runs;

	for (; b->map; b++) {
		unsigned long nr = b->len >> PAGE_SHIFT;
		long at;
		struct page **pages = alloc_pages_array(test, nr);
		u32 bytes = nr * sizeof(u64);
		void *buf = alloc_buffer(test, bytes);
		unsigned long addr = b->map(test, b->len);

		reference(test, addr, nr, FOLL_WRITE, pages);
		/* None is refused at first, and then one further and further on. */
		for (at = 0; at <= b->batches; at = at * 2 + 1) {
			long before = pins_held();

			fake_reset();
			fake.refuse_at = at - 1;
			pin_runs_init(&runs, buf, bytes);
			KUNIT_ASSERT_EQ(test, pin_user_runs_fast(addr, nr, FOLL_WRITE, GFP_KERNEL,
								 &runs), nr);
			KUNIT_EXPECT_FALSE(test, fake.not_pinned);
			if (fake.refuse_at < 0) {
				KUNIT_EXPECT_EQ(test, fake.batches, b->batches);
				KUNIT_EXPECT_EQ(test, fake.slow_calls, 0);
			} else {
				KUNIT_EXPECT_GE(test, fake.slow_pages, nr / b->batches);
			}
			KUNIT_EXPECT_EQ(test, expect_runs(test, &runs, pages, nr),
					pins_held() - before);
			unpin_user_runs(&runs, UNPIN_CLEAN);
			KUNIT_EXPECT_EQ(test, pins_held(), before);
		}
		unpin_user_pages(pages, nr);
	}
}

static void allowed_once_per_batch(struct kunit *test)
{
	kunit_activate_static_stub(test, gup_fast_file_allowed, fake_allowed);
	expect_batches(test, file_batches);
}

static void accessible_once_per_batch(struct kunit *test)
{
	kunit_activate_static_stub(test, gup_make_folio_accessible, fake_accessible);
	expect_batches(test, all_batches);
}

static struct kunit_case pin_runs_fast_cases[] = {
	KUNIT_CASE_PARAM(race, walk_gen_params),
	KUNIT_CASE_PARAM(race_full, walk_gen_params),
	KUNIT_CASE_PARAM(race_open_run, walk_gen_params),
	KUNIT_CASE(race_second_section),
	KUNIT_CASE_PARAM(race_pages, walk_gen_params),
	KUNIT_CASE_PARAM(no_lock, walk_gen_params),
	KUNIT_CASE_PARAM(read_only_exclusive, walk_gen_params),
	KUNIT_CASE(fast_slow_fast),
	KUNIT_CASE(slow_doubles),
	KUNIT_CASE(read_only_shared),
	KUNIT_CASE_PARAM(section_is_bounded, walk_gen_params),
	KUNIT_CASE(fatal_signal),
	KUNIT_CASE(allowed_once_per_batch),
	KUNIT_CASE(accessible_once_per_batch),
	{ }
};

static struct kunit_suite pin_runs_fast_suite = {
	.name = "pin_runs_fast",
	.init = fast_case_init,
	.exit = pin_runs_case_exit,
	.test_cases = pin_runs_fast_cases,
};

kunit_test_suite(pin_runs_fast_suite);
