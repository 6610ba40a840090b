// SPDX-License-Identifier: GPL-2.0
/*
 * Runs compared with pages, for the KUnit suites of pin_user_runs_fast()
 */
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/vmstat.h>

#include "../internal.h"
#include "../pin_runs.h"
#include "pin_runs_kunit.h"

const char * const pin_runs_format_names[PIN_RUNS_NR_FORMATS] = {
	[PIN_RUNS_PFN] = "pfn",
	[PIN_RUNS_BVEC] = "bvec",
	[PIN_RUNS_PHYS] = "phys",
};

/* A counter of all nodes, with what is still in the per-CPU differences */
static long node_stat(enum node_stat_item item)
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

/* Until it is read twice: a CPU may add its difference to the rest meanwhile. */
static long stable_node_stat(enum node_stat_item item)
{
	long last, sum = node_stat(item);

	do {
		last = sum;
		sum = node_stat(item);
	} while (sum != last);
	return sum;
}

long pins_acquired(void)
{
	return stable_node_stat(NR_FOLL_PIN_ACQUIRED);
}

long pins_held(void)
{
	return pins_acquired() - stable_node_stat(NR_FOLL_PIN_RELEASED);
}

static long pins_before;

int pin_runs_case_init(struct kunit *test)
{
	pins_before = pins_held();
	return 0;
}

void pin_runs_case_exit(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, pins_held(), pins_before);
}

static void free_buffer(void *buf)
{
	kvfree(buf);
}

void *alloc_buffer(struct kunit *test, size_t bytes)
{
	void *buf = kvzalloc(bytes, GFP_KERNEL);
	int ret;

	KUNIT_ASSERT_NOT_NULL(test, buf);
	ret = kunit_add_action_or_reset(test, free_buffer, buf);
	KUNIT_ASSERT_EQ(test, ret, 0);
	return buf;
}

struct page **alloc_pages_array(struct kunit *test, unsigned long nr)
{
	return alloc_buffer(test, nr * sizeof(struct page *));
}

void init_chunk(struct pin_runs *runs, enum pin_runs_format format, void *buf,
		u32 bytes)
{
	switch (format) {
	case PIN_RUNS_PFN:
		pin_runs_init(runs, buf, bytes);
		break;
	case PIN_RUNS_BVEC:
		pin_runs_init_bvecs(runs, buf, bytes / sizeof(struct bio_vec));
		break;
	case PIN_RUNS_PHYS:
		pin_runs_init_phys(runs, buf, bytes / sizeof(struct phys_vec));
		break;
	}
}

/*
 * pin_user_pages_fast() until it makes no progress. Returns the number of pages
 * that it pinned, and in @err why there are not more.
 */
long pin_pages(unsigned long addr, unsigned long nr, unsigned int gup_flags,
	       struct page **pages, int *err)
{
	unsigned long done = 0;
	long ret = 0;

	while (done < nr) {
		ret = pin_user_pages_fast(addr + done * PAGE_SIZE, nr - done,
					  gup_flags, pages + done);
		if (ret <= 0)
			break;
		done += ret;
	}
	*err = min(ret, 0);
	return done;
}

/* What the runs are compared with; pinned until unpin_user_pages(). */
void reference(struct kunit *test, unsigned long addr, unsigned long nr,
	       unsigned int gup_flags, struct page **pages)
{
	int err;

	KUNIT_ASSERT_EQ(test, pin_pages(addr, nr, gup_flags, pages, &err), nr);
}

/* Of the folio that the page is in: how many times is it pinned? */
long pins_of(struct page *page)
{
	struct folio *folio = page_folio(page);

	if (folio_has_pincount(folio))
		return atomic_read(&folio->_pincount);
	return folio_ref_count(folio) / GUP_PIN_COUNTING_BIAS;
}

/* Does a run that has this page go on with that one? */
static bool page_continues(struct page *page, struct page *next)
{
	return page_folio(page) == page_folio(next) &&
	       page_to_pfn(page) + 1 == page_to_pfn(next);
}

/*
 * The runs of a chunk have to be exactly these pages, inside one folio each, as
 * long as possible, and pinned. Returns how many pins they hold.
 */
long expect_runs(struct kunit *test, const struct pin_runs *runs,
		 struct page **pages, unsigned long nr)
{
	struct pin_runs_iter it = { };
	unsigned long i, k = 0;
	struct pin_run run;
	long held = 0;

	while (pin_runs_next(runs, &it, &run)) {
		struct folio *folio = pfn_folio(run.pfn);

		KUNIT_ASSERT_LE(test, k + run.nr_pages, nr);
		KUNIT_EXPECT_GE(test, run.pfn, folio_pfn(folio));
		KUNIT_EXPECT_LE(test, run.pfn + run.nr_pages, folio_end_pfn(folio));
		if (k && page_continues(pages[k - 1], pages[k]))
			KUNIT_FAIL(test, "run at page %lu is not maximal", k);
		for (i = 0; i < run.nr_pages; i++, k++) {
			if (page_to_pfn(pages[k]) != run.pfn + i)
				KUNIT_FAIL_AND_ABORT(test, "wrong page %lu", k);
		}
		if (is_zero_pfn(run.pfn)) {
			KUNIT_EXPECT_EQ(test, run.nr_pages, 1);
		} else {
			KUNIT_EXPECT_TRUE(test, folio_maybe_dma_pinned(folio));
			held += runs->per_page ? run.nr_pages : 1;
		}
	}
	KUNIT_EXPECT_EQ(test, k, nr);
	return held;
}

/*
 * Pin @nr pages as runs, in chunks of @bytes, and compare with @pages. Pins
 * must be held for each run that is not a zero page, and for nothing else.
 * Returns the number of runs.
 */
unsigned long expect_chunks(struct kunit *test, unsigned long addr,
			    unsigned long nr, unsigned int gup_flags,
			    struct page **pages, enum pin_runs_format format,
			    void *buf, u32 bytes)
{
	unsigned long done = 0, total = 0;
	long before = pins_held();
	struct pin_runs runs;

	while (done < nr) {
		long held, ret;

		init_chunk(&runs, format, buf, bytes);
		ret = pin_user_runs_fast(addr + done * PAGE_SIZE, nr - done,
					 gup_flags, GFP_KERNEL, &runs);
		KUNIT_ASSERT_GT(test, ret, 0);
		held = expect_runs(test, &runs, pages + done, ret);
		KUNIT_EXPECT_EQ(test, pins_held() - before, held);
		total += runs.nr;
		done += ret;

		/* It must have been full, or all is there. */
		if (done < nr)
			KUNIT_EXPECT_LT_MSG(test, pin_runs_room(&runs),
					    PIN_RUN_MAX_BYTES,
					    "%u bytes, %s: not full",
					    bytes, pin_runs_format_names[format]);
		unpin_user_runs(&runs, UNPIN_CLEAN);
		KUNIT_EXPECT_EQ(test, runs.nr, 0);
		KUNIT_EXPECT_EQ(test, pins_held(), before);
	}
	return total;
}

/* The statistics may say so and be wrong: nothing is left on the folios. */
void expect_unpinned(struct kunit *test, struct page **pages, unsigned long nr)
{
	unsigned long i;

	for (i = 0; i < nr; i++) {
		struct folio *folio = page_folio(pages[i]);

		if (is_zero_folio(folio) || is_huge_zero_folio(folio))
			continue;
		if (folio_maybe_dma_pinned(folio)) {
			KUNIT_FAIL(test, "page %lu is still pinned", i);
			return;
		}
	}
}
