// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of what is told about registered buffers
 *
 * Buffers are stored here from folios that are really there, since runs are
 * counted by looking at the folios, and from page frame numbers that are made
 * up where only the sizes matter.
 */
#include <kunit/test.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/prandom.h>
#include <linux/slab.h>

#include "../regbuf.h"

#define MAX_RUNS	600

struct test_run {
	unsigned long	pfn;
	u64		nr_pages;
};

static struct io_mapped_ubuf *store(struct kunit *test,
				    const struct test_run *runs,
				    unsigned int nr_runs, u32 head, u32 tail,
				    struct regbuf_layout *layout)
{
	struct regbuf_tally tally = { };
	struct io_mapped_ubuf *imu;
	struct regbuf_fill fill;
	unsigned int i;

	for (i = 0; i < nr_runs; i++)
		regbuf_tally_run(&tally, runs[i].nr_pages);
	regbuf_choose_layout(&tally, layout);

	imu = kunit_kzalloc(test, sizeof(*imu) + layout->bytes, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, imu);
	imu->ubuf = (7UL << PAGE_SHIFT) + head;
	imu->len = (tally.nr_pages << PAGE_SHIFT) - head - tail;
	imu->dir = IO_BUF_SOURCE | IO_BUF_DEST;
	if (layout->nr_bvecs != nr_runs)
		imu->flags = IO_REGBUF_F_PIECES;
	regbuf_fill_begin(&fill, imu, layout);
	for (i = 0; i < nr_runs; i++)
		regbuf_fill_run(&fill, runs[i].pfn, runs[i].nr_pages);
	regbuf_fill_end(&fill);
	return imu;
}

static void expect_runs(struct kunit *test, const struct io_mapped_ubuf *imu,
			u64 nr_runs, u64 smallest, u64 largest)
{
	struct io_uring_buffer_layout l = { };

	KUNIT_ASSERT_EQ(test, io_regbuf_describe(imu, &l), 0);
	KUNIT_EXPECT_EQ(test, l.len, imu->len);
	KUNIT_EXPECT_EQ(test, l.nr_runs, nr_runs);
	KUNIT_EXPECT_EQ(test, l.smallest_run, smallest);
	KUNIT_EXPECT_EQ(test, l.largest_run, largest);
}

static void free_test_pages(void *page)
{
	__free_pages(page, 3);
}

static void free_split_pages(void *page)
{
	unsigned int i;

	for (i = 0; i < 8; i++)
		__free_page((struct page *)page + i);
}

/* Eight pages next to each other, as one folio or as eight */
static unsigned long eight_pages(struct kunit *test, bool folio)
{
	struct page *page;

	page = alloc_pages(GFP_KERNEL | (folio ? __GFP_COMP : 0), 3);
	KUNIT_ASSERT_NOT_NULL(test, page);
	if (!folio)
		split_page(page, 3);
	KUNIT_ASSERT_EQ(test,
			kunit_add_action_or_reset(test, folio ? free_test_pages :
						  free_split_pages, page), 0);
	return page_to_pfn(page);
}

static void regbuf_describe_runs(struct kunit *test)
{
	unsigned long one = eight_pages(test, true);
	unsigned long two = eight_pages(test, true);
	unsigned long three = eight_pages(test, true);
	unsigned long many = eight_pages(test, false);
	struct test_run runs[8];
	struct io_mapped_ubuf *imu;
	struct regbuf_layout layout;
	unsigned int i;

	/* Contiguous, but not one folio */
	for (i = 0; i < 8; i++)
		runs[i] = (struct test_run){ many + i, 1 };
	imu = store(test, runs, 8, 0, 0, &layout);
	expect_runs(test, imu, 8, PAGE_SIZE, PAGE_SIZE);

	/* Units of four pages: those of eight are two bvecs and still one run. */
	runs[0] = (struct test_run){ one, 8 };
	runs[1] = (struct test_run){ two, 4 };
	runs[2] = (struct test_run){ three, 8 };
	runs[3] = (struct test_run){ one, 8 };
	imu = store(test, runs, 4, 0, 0, &layout);
	KUNIT_EXPECT_EQ(test, layout.layout, IO_REGBUF_UNIFORM);
	KUNIT_EXPECT_EQ(test, imu->nr_bvecs, 6);
	expect_runs(test, imu, 4, 4 * PAGE_SIZE, 8 * PAGE_SIZE);

	/* The same with less at both ends */
	runs[0] = (struct test_run){ one + 4, 4 };
	runs[3] = (struct test_run){ one, 3 };
	imu = store(test, runs, 4, 100, 200, &layout);
	expect_runs(test, imu, 4, 3 * PAGE_SIZE - 200, 8 * PAGE_SIZE);

	/* The end of a folio and then its start are two runs ... */
	runs[0] = (struct test_run){ one + 4, 4 };
	runs[1] = (struct test_run){ one, 4 };
	imu = store(test, runs, 2, 100, 200, &layout);
	expect_runs(test, imu, 2, 4 * PAGE_SIZE - 200, 4 * PAGE_SIZE - 100);

	/* ... and so are they the other way round: each has a pin ... */
	swap(runs[0], runs[1]);
	imu = store(test, runs, 2, 100, 200, &layout);
	KUNIT_EXPECT_EQ(test, imu->nr_bvecs, 2);
	expect_runs(test, imu, 2, 4 * PAGE_SIZE - 200, 4 * PAGE_SIZE - 100);

	/* ... unless the buffer has runs in pieces. */
	imu->flags |= IO_REGBUF_F_PIECES;
	expect_runs(test, imu, 1, 8 * PAGE_SIZE - 300, 8 * PAGE_SIZE - 300);

	/* A byte */
	runs[0].nr_pages = 1;
	imu = store(test, runs, 1, 5, PAGE_SIZE - 6, &layout);
	expect_runs(test, imu, 1, 1, 1);
}

/* Told is what the layout asked for when the buffer was allocated. */
static void regbuf_describe_metadata(struct kunit *test)
{
	unsigned int round, i, nr, seen[2] = { };
	struct regbuf_layout layout;
	struct io_mapped_ubuf *imu;
	struct rnd_state rnd;
	struct test_run *runs;
	u32 head, tail;

	runs = kunit_kcalloc(test, MAX_RUNS, sizeof(*runs), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, runs);
	prandom_seed_state(&rnd, 4711);
	for (round = 0; round < 500; round++) {
		u32 sizes = prandom_u32_state(&rnd) % 3;

		nr = 1 + prandom_u32_state(&rnd) % MAX_RUNS;
		for (i = 0; i < nr; i++) {
			u32 any = prandom_u32_state(&rnd);

			runs[i].pfn = 0x1000 + i * 0x1000;
			runs[i].nr_pages = !sizes ? 1 :
					   sizes == 1 ? 1 + any % 512 :
					   any % 16 ? 512 : 1 + any % 511;
		}
		head = prandom_u32_state(&rnd) % PAGE_SIZE;
		tail = prandom_u32_state(&rnd) % (PAGE_SIZE - head);
		imu = store(test, runs, nr, head, tail, &layout);
		seen[layout.layout]++;
		KUNIT_EXPECT_EQ(test, io_regbuf_metadata(imu),
				sizeof(*imu) + layout.bytes);
		kunit_kfree(test, imu);
	}
	KUNIT_EXPECT_GT(test, seen[IO_REGBUF_UNIFORM], 50);
	KUNIT_EXPECT_GT(test, seen[IO_REGBUF_MIXED], 50);

	/* Small ones have room for more. */
	runs[0].nr_pages = 1;
	imu = store(test, runs, 1, 0, 0, &layout);
	imu->flags = IO_REGBUF_F_CACHED;
	KUNIT_EXPECT_EQ(test, io_regbuf_metadata(imu), sizeof(*imu) +
			IO_CACHED_BVECS_SEGS * sizeof(struct bio_vec));
}

static void regbuf_describe_flags(struct kunit *test)
{
	struct test_run run = { eight_pages(test, true), 8 };
	struct io_uring_buffer_layout l = { };
	struct regbuf_layout layout;
	struct io_mapped_ubuf *imu;

	imu = store(test, &run, 1, 0, 0, &layout);
	imu->acct_pages = 1UL << 20;
	KUNIT_ASSERT_EQ(test, io_regbuf_describe(imu, &l), 0);
	KUNIT_EXPECT_EQ(test, l.flags, 0);
	KUNIT_EXPECT_EQ(test, l.charged_bytes, 1ULL << (20 + PAGE_SHIFT));

	imu->dir = IO_BUF_SOURCE;
	KUNIT_ASSERT_EQ(test, io_regbuf_describe(imu, &l), 0);
	KUNIT_EXPECT_EQ(test, l.flags, IORING_BUFFER_LAYOUT_READ_ONLY);

	imu->dir = IO_BUF_DEST;
	KUNIT_ASSERT_EQ(test, io_regbuf_describe(imu, &l), 0);
	KUNIT_EXPECT_EQ(test, l.flags, 0);
}

/* Segments of a request: each counts, whatever folio it is in. */
static void regbuf_describe_kernel(struct kunit *test)
{
	struct page *page = pfn_to_page(eight_pages(test, true));
	struct io_uring_buffer_layout l = { };
	struct io_mapped_ubuf *imu;

	imu = kunit_kzalloc(test, struct_size(imu, bvec, 3), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, imu);
	imu->layout = IO_REGBUF_LINEAR;
	imu->flags = IO_REGBUF_F_KBUF;
	imu->dir = IO_BUF_SOURCE;
	imu->priv = imu;
	imu->nr_bvecs = 3;
	bvec_set_page(&imu->bvec[0], page, PAGE_SIZE, 0);
	bvec_set_page(&imu->bvec[1], page + 1, 2 * PAGE_SIZE, 0);
	bvec_set_page(&imu->bvec[2], page + 3, 512, 1024);
	imu->len = 3 * PAGE_SIZE + 512;

	expect_runs(test, imu, 3, 512, 2 * PAGE_SIZE);
	KUNIT_ASSERT_EQ(test, io_regbuf_describe(imu, &l), 0);
	KUNIT_EXPECT_EQ(test, l.flags, IORING_BUFFER_LAYOUT_READ_ONLY |
				       IORING_BUFFER_LAYOUT_KERNEL);
	KUNIT_EXPECT_EQ(test, l.charged_bytes, 0);
	KUNIT_EXPECT_EQ(test, io_regbuf_metadata(imu), struct_size(imu, bvec, 3));

	/* A request without data */
	imu->nr_bvecs = 0;
	imu->len = 0;
	expect_runs(test, imu, 0, 0, 0);
}

static struct kunit_case regbuf_query_cases[] = {
	KUNIT_CASE(regbuf_describe_runs),
	KUNIT_CASE(regbuf_describe_metadata),
	KUNIT_CASE(regbuf_describe_flags),
	KUNIT_CASE(regbuf_describe_kernel),
	{}
};

static struct kunit_suite regbuf_query_suite = {
	.name = "io_uring_regbuf_query",
	.test_cases = regbuf_query_cases,
};

kunit_test_suite(regbuf_query_suite);

MODULE_DESCRIPTION("Tests of what is told about registered buffers");
MODULE_LICENSE("GPL");
