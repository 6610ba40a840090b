// SPDX-License-Identifier: GPL-2.0
/*
 * Registered buffers on page frame numbers that are made up: nothing here
 * looks into a page. Each layout is compared with a walk over the runs that it
 * was made from, which knows neither tables nor shifts.
 */
#include <kunit/test.h>
#include <linux/overflow.h>

#include "regbuf_kunit.h"

/* How many bvecs 7.3 stored for the buffer before there were runs */
static u64 fake_old_nr_bvecs(const struct fake_buffer *fb)
{
	const struct fake_run *run = fb->runs;
	u64 size = 1ULL << run->order;
	u64 nr_pages = run->nr_pages;
	bool coalesced = size > 1;
	unsigned int i;

	if (fb->nr_runs > 1 && run->idx + run->nr_pages != size)
		coalesced = false;
	for (i = 1; i < fb->nr_runs; i++) {
		run = &fb->runs[i];
		nr_pages += run->nr_pages;
		if (run->idx || 1ULL << run->order != size)
			coalesced = false;
		if (i < fb->nr_runs - 1 && run->nr_pages != size)
			coalesced = false;
	}
	return coalesced ? fb->nr_runs : nr_pages;
}

/* What is really allocated, as small ones come from a cache */
static u64 imu_bytes(u64 bytes)
{
	return sizeof(struct io_mapped_ubuf) +
	       max_t(u64, bytes, IO_CACHED_BVECS_SEGS * sizeof(struct bio_vec));
}

/* All that holds for every bvec of a buffer. Returns what does not. */
static const char *check_bvecs(const struct fake_buffer *fb,
			       const struct io_mapped_ubuf *imu)
{
	/* Where the walk over the runs is, in bytes from the start of one */
	u64 total = 0, pos = fb->head;
	unsigned int run = 0;
	u32 i;

	for (i = 0; i < imu->nr_bvecs; i++) {
		const struct bio_vec *bv = &imu->bvec[i];
		bool last = i == imu->nr_bvecs - 1;

		if (!bv->bv_len || bv->bv_len > 1U << IO_REGBUF_MAX_SHIFT)
			return "length of a bvec";
		if (bv->bv_offset != (i ? 0 : fb->head))
			return "offset of a bvec";
		/*
		 * Its address is what follows in the run: so it continues the
		 * bvec before it and shares the pin of the run, or starts one.
		 */
		if (bvec_phys_addr(bv) !=
		    ((u64)fb->runs[run].pfn << PAGE_SHIFT) + pos)
			return "address of a bvec";
		pos += bv->bv_len;
		total += bv->bv_len;
		if (pos + (last ? fb->tail : 0) >
		    fb->runs[run].nr_pages << PAGE_SHIFT)
			return "bvec goes beyond its run";
		if (pos == fb->runs[run].nr_pages << PAGE_SHIFT && !last) {
			run++;
			pos = 0;
		}

		if (imu->layout == IO_REGBUF_UNIFORM && i &&
		    (last ? bv->bv_len > 1UL << imu->shift :
			    bv->bv_len != 1UL << imu->shift))
			return "length of a uniform bvec";
	}
	if (total != imu->len || run != fb->nr_runs - 1)
		return "length of the buffer";
	return NULL;
}

static const char *check_seek(const struct fake_buffer *fb,
			      const struct io_mapped_ubuf *imu,
			      size_t offset, size_t len)
{
	size_t skip, span_skip;
	const struct bio_vec *first, *want;
	u64 phys, want_skip, x;
	u32 nr;

	want = &imu->bvec[naive_bvec(imu, offset, &want_skip)];
	if (regbuf_seek(imu, offset, &skip) != want || skip != want_skip)
		return "seek";
	if (fb) {
		naive_run(fb, offset, &phys);
		if (bvec_phys_addr(want) + skip != phys)
			return "address";
	}
	nr = regbuf_span(imu, offset, len, &first, &span_skip);
	if (first != want || span_skip != skip)
		return "start of a span";
	if (first + nr - 1 != &imu->bvec[naive_bvec(imu, offset + len - 1, &x)])
		return "number of segments";
	return NULL;
}

/* First and last byte of bvecs and of what is around them, and anything */
static const char *check_seeks(struct fake_buffer *fb,
			       const struct fake_buffer *runs,
			       const struct io_mapped_ubuf *imu,
			       unsigned int rounds)
{
	const char *err;

	err = check_seek(runs, imu, 0, imu->len);
	if (!err)
		err = check_seek(runs, imu, imu->len - 1, 1);
	while (!err && rounds--) {
		size_t offset = fake_offset(fb, imu), len, max_len = SZ_4M;
		u64 skip;

		if (fake_rnd(fb, 2)) {
			naive_bvec(imu, offset, &skip);
			offset -= skip;
			if (offset && fake_rnd(fb, 2))
				offset--;
		}
		if (!fake_rnd(fb, 8))
			max_len = imu->len;
		len = 1 + prandom_u32_state(&fb->rnd) %
		      min(imu->len - offset, max_len);
		err = check_seek(runs, imu, offset, len);
	}
	return err;
}

static const char *check_buffer(struct fake_buffer *fb, unsigned int rounds,
				struct regbuf_layout *layout)
{
	struct regbuf_tally tally;
	struct io_mapped_ubuf *imu;
	const char *err = NULL;
	unsigned int i;

	fake_tally(fb, &tally);
	regbuf_choose_layout(&tally, layout);

	/* 7.3 overflows the length of a bvec where folios are longer. */
	for (i = 0; i < fb->nr_runs; i++) {
		if (fb->runs[i].order > IO_REGBUF_MAX_SHIFT - PAGE_SHIFT)
			break;
	}
	if (i == fb->nr_runs &&
	    imu_bytes(layout->bytes) > imu_bytes(fake_old_nr_bvecs(fb) *
						 sizeof(struct bio_vec)))
		return "more metadata than before";

	imu = fake_store(fb, layout);
	if (!imu)
		return "no memory";
	if (imu->nr_bvecs != layout->nr_bvecs)
		err = "number of bvecs";
	if (!err)
		err = check_bvecs(fb, imu);
	if (!err)
		err = check_seeks(fb, fb, imu, rounds);
	kvfree(imu);
	return err;
}

/* What is chosen for buffers that are typical, or at the edge */
static void regbuf_layout_choice(struct kunit *test)
{
	static const struct {
		const char *what;
		u32 runs[8];
		u32 repeat;
		u8 layout;
		u8 order;
		u32 nr_bvecs;
	} cases[] = {
		{ "one page", { 1 }, 1, IO_REGBUF_UNIFORM,
		  IO_REGBUF_MAX_SHIFT - PAGE_SHIFT, 1 },
		{ "one run", { 300 }, 1, IO_REGBUF_UNIFORM,
		  IO_REGBUF_MAX_SHIFT - PAGE_SHIFT, 1 },
		{ "two runs", { 300, 77 }, 1, IO_REGBUF_UNIFORM,
		  IO_REGBUF_MAX_SHIFT - PAGE_SHIFT, 2 },
		{ "single pages", { 1 }, 1000, IO_REGBUF_UNIFORM, 0, 1000 },
		{ "16 pages each", { 16 }, 100, IO_REGBUF_UNIFORM, 4, 100 },
		{ "first and last are odd", { 3, 16, 16, 16, 9 }, 1,
		  IO_REGBUF_UNIFORM, 4, 5 },
		{ "some are twice as long", { 16, 16, 32, 16 }, 1,
		  IO_REGBUF_UNIFORM, 4, 5 },
		{ "longer last run", { 16, 16, 16, 32 }, 1,
		  IO_REGBUF_UNIFORM, 4, 5 },
		{ "long last run", { 16, 16, 16, 256 }, 1,
		  IO_REGBUF_MIXED, 0, 4 },
		{ "long first run", { 512, 16, 16, 16 }, 1,
		  IO_REGBUF_UNIFORM, 4, 4 },
		{ "one odd page", { 512, 512, 100, 1, 411, 512, 512 }, 1,
		  IO_REGBUF_MIXED, 0, 7 },
		{ "pairs and single pages", { 1, 1, 1, 2 }, 100,
		  IO_REGBUF_UNIFORM, 0, 500 },
		{ "few single pages", { 1, 2, 2, 2 }, 100,
		  IO_REGBUF_MIXED, 0, 400 },
	};
	struct fake_buffer *fb = fake_init(test, MAX_RUNS);
	struct regbuf_layout layout;
	unsigned int i, j, k;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		fake_reset(fb);
		for (j = 0; j < cases[i].repeat; j++) {
			for (k = 0; k < 8 && cases[i].runs[k]; k++)
				fake_add(fb, order_base_2(cases[i].runs[k]), 0,
					 cases[i].runs[k]);
		}
		KUNIT_EXPECT_NULL_MSG(test, check_buffer(fb, 100, &layout),
				      "%s", cases[i].what);
		KUNIT_EXPECT_EQ_MSG(test, layout.layout, cases[i].layout, "%s",
				    cases[i].what);
		KUNIT_EXPECT_EQ_MSG(test, layout.nr_bvecs, cases[i].nr_bvecs,
				    "%s", cases[i].what);
		if (layout.layout == IO_REGBUF_UNIFORM)
			KUNIT_EXPECT_EQ_MSG(test, layout.shift,
					    cases[i].order + PAGE_SHIFT, "%s",
					    cases[i].what);
	}
	KUNIT_EXPECT_LE(test, sizeof(struct io_mapped_ubuf), 48);
}

static void regbuf_layout_random(struct kunit *test)
{
	struct fake_buffer *fb = fake_init(test, MAX_RUNS);
	unsigned int i, nr_mixed = 0, nr = 6000;
	struct regbuf_layout layout;

	for (i = 0; i < nr; i++) {
		enum fake_kind kind = i % FAKE_NR_KINDS;
		unsigned int max = i % 100 < 94 ? 60 : 2000;
		const char *err;

		fake_random(fb, kind, max);
		err = check_buffer(fb, 20, &layout);
		if (err) {
			KUNIT_FAIL(test, "buffer %u, kind %u, %u runs, layout %u: %s",
				   i, kind, fb->nr_runs, layout.layout, err);
			return;
		}
		nr_mixed += layout.layout == IO_REGBUF_MIXED;
		cond_resched();
	}
	/* If it were almost all of one kind, this would test little. */
	KUNIT_EXPECT_GT(test, nr_mixed, nr / 10);
	KUNIT_EXPECT_LT(test, nr_mixed, nr - nr / 10);
}

/* Folios that need more than one bvec, as first, middle and last run */
static void regbuf_layout_long_runs(struct kunit *test)
{
	struct fake_buffer *fb = fake_init(test, 64);
	struct regbuf_layout layout;
	unsigned int i, j;

	if (!IS_ENABLED(CONFIG_64BIT))
		kunit_skip(test, "a buffer is smaller than 4 GiB");

	for (i = 0; i < 300; i++) {
		unsigned int nr = 1 + fake_rnd(fb, 4);

		fake_reset(fb);
		for (j = 0; j < nr; j++) {
			unsigned int order = fake_rnd(fb, 34 - PAGE_SHIFT);
			u64 size = 1ULL << order;
			u64 idx = fake_rnd(fb, 3) ? 0 : fake_rnd(fb, size);

			fake_add(fb, order, idx, fake_rnd(fb, 3) ? size - idx :
				 1 + fake_rnd(fb, size - idx));
		}
		/* Exactly what one bvec can hold, and a page more or less */
		if (i % 3 == 0)
			fb->runs[fake_rnd(fb, nr)] = (struct fake_run) {
				.pfn = fb->next_pfn,
				.nr_pages = IO_REGBUF_MAX_PAGES - 1 + i % 9 / 3,
				.order = 33 - PAGE_SHIFT,
			};
		fb->head = fake_rnd(fb, PAGE_SIZE);
		KUNIT_ASSERT_NULL(test, check_buffer(fb, 50, &layout));
	}
}

/* 64 TiB, where page numbers need more than 32 bits */
static void regbuf_layout_64_tib(struct kunit *test)
{
	unsigned int i, nr = 65536;
	struct fake_buffer *fb;
	struct regbuf_layout layout;

	if (!IS_ENABLED(CONFIG_64BIT))
		kunit_skip(test, "a buffer is smaller than 4 GiB");

	fb = fake_init(test, nr + 2);
	for (i = 0; i < nr; i++)
		fake_add(fb, 30 - PAGE_SHIFT, 0, PAGES_1G);
	KUNIT_EXPECT_NULL(test, check_buffer(fb, 30, &layout));
	KUNIT_EXPECT_EQ(test, layout.layout, IO_REGBUF_UNIFORM);
	KUNIT_EXPECT_EQ(test, layout.nr_bvecs, nr);

	/* A page that was replaced near the end */
	fake_reset(fb);
	for (i = 0; i < nr; i++) {
		if (i == nr - 5) {
			fake_add(fb, 30 - PAGE_SHIFT, 0, 77);
			fake_add(fb, 0, 0, 1);
			fake_add(fb, 30 - PAGE_SHIFT, 78, PAGES_1G - 78);
		} else {
			fake_add(fb, 30 - PAGE_SHIFT, 0, PAGES_1G);
		}
	}
	fb->head = 8;
	KUNIT_EXPECT_NULL(test, check_buffer(fb, 30, &layout));
	KUNIT_EXPECT_EQ(test, layout.layout, IO_REGBUF_MIXED);
	KUNIT_EXPECT_EQ(test, layout.nr_bvecs, nr + 2);
}

/* Bvecs of the kernel can have any form. */
static void regbuf_layout_linear(struct kunit *test)
{
	struct fake_buffer *fb = fake_init(test, 1);
	struct io_mapped_ubuf *imu;
	unsigned int i, j;

	imu = kunit_kzalloc(test, struct_size(imu, bvec, 32), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, imu);

	for (i = 0; i < 200; i++) {
		imu->layout = IO_REGBUF_LINEAR;
		imu->nr_bvecs = 1 + fake_rnd(fb, 32);
		imu->len = 0;
		for (j = 0; j < imu->nr_bvecs; j++) {
			bvec_set_page(&imu->bvec[j], pfn_to_page(64 * j),
				      1 + fake_rnd(fb, SZ_16K),
				      fake_rnd(fb, SZ_16K));
			imu->len += imu->bvec[j].bv_len;
		}
		KUNIT_ASSERT_NULL(test, check_seeks(fb, NULL, imu, 50));
	}
}

static struct kunit_case regbuf_cases[] = {
	KUNIT_CASE(regbuf_layout_choice),
	KUNIT_CASE_SLOW(regbuf_layout_random),
	KUNIT_CASE(regbuf_layout_long_runs),
	KUNIT_CASE_SLOW(regbuf_layout_64_tib),
	KUNIT_CASE(regbuf_layout_linear),
	{}
};

static struct kunit_suite regbuf_suite = {
	.name = "io_uring_regbuf",
	.test_cases = regbuf_cases,
};

kunit_test_suite(regbuf_suite);

MODULE_DESCRIPTION("Tests of the layout of registered buffers");
MODULE_LICENSE("GPL");
