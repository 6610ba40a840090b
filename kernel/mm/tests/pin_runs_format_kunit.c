// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests for how runs are built and stored
 *
 * On page frame numbers that need not exist, and so without a look at any
 * struct page: what a walk would find is given to the builder, and the chunks
 * are compared with the list of pages.
 */
#include <kunit/test.h>
#include <linux/mm.h>
#include <linux/prandom.h>
#include <linux/sizes.h>

#include "../internal.h"
#include "../pin_runs.h"
#include "pin_runs_kunit.h"

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
	unsigned long done = 0, pfn, nr, fits;

	if (f->pfn + 1 == f->folio_end && !run_builder_continues(b, f->pfn)) {
		if (!run_builder_ask(b, b->least) &&
		    !run_builder_fits(b, f->pfn, 1, b->least))
			return 0;
		run_builder_add_small(b, f->pfn);
		return 1;
	}
	for (; done < f->nr; done += nr) {
		pfn = f->pfn + done;
		nr = min(f->nr - done, run_builder_reach(b, pfn));
		fits = run_builder_ask(b, b->most) ? nr :
		       run_builder_fits(b, pfn, nr, b->most);
		if (fits)
			run_builder_add(b, pfn, fits, f->folio_end);
		if (fits < nr)
			return done + fits;
	}
	return done;
}

static void pack(struct kunit *test)
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

static void build_table(struct kunit *test)
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

#define LAYOUT_PAGES	600

/* Pages of a process, and the end of the folio that each of them is in */
struct layout {
	unsigned long pfn[LAYOUT_PAGES];
	unsigned long end[LAYOUT_PAGES];
};

/* Random pieces of folios, often the piece that follows */
static void layout_random(struct layout *l, struct rnd_state *rnd, u32 max_order)
{
	int n = 0;

	while (n < LAYOUT_PAGES) {
		/* Memory comes in blocks of folios of one order. */
		u32 order = prandom_u32_state(rnd) % (max_order + 1);
		unsigned long folio = (order << 16) +
			((prandom_u32_state(rnd) % 64) << order);
		u32 first = prandom_u32_state(rnd) % (1 << order);
		u32 nr = 1 + prandom_u32_state(rnd) % ((1 << order) - first);

		if (n && prandom_u32_state(rnd) % 4 == 0 &&
		    l->pfn[n - 1] + 1 < l->end[n - 1]) {
			l->pfn[n] = l->pfn[n - 1] + 1;
			l->end[n] = l->end[n - 1];
			n++;
			continue;
		}
		for (; nr && n < LAYOUT_PAGES; nr--, n++, first++) {
			l->pfn[n] = folio + first;
			l->end[n] = folio + (1 << order);
		}
	}
}

/* Give the builder random pieces from page @i on. Returns where it was full. */
static int build_chunk(struct run_builder *b, const struct layout *l, int i,
		       struct rnd_state *rnd)
{
	while (i < LAYOUT_PAGES) {
		struct found f = { l->pfn[i], 1, l->end[i] };
		u32 max = 1 + prandom_u32_state(rnd) % 64;
		unsigned long nr;

		while (f.nr < max && i + f.nr < LAYOUT_PAGES &&
		       f.pfn + f.nr < f.folio_end &&
		       l->pfn[i + f.nr] == f.pfn + f.nr &&
		       l->end[i + f.nr] == f.folio_end)
			f.nr++;
		nr = add_found(b, &f);
		i += nr;
		if (nr < f.nr)
			break;
	}
	run_builder_close(b);
	return i;
}

/* A bio_vec has a struct page, which must be possible where there is no memory. */
static bool can_be_made_up(enum pin_runs_format format)
{
	return format != PIN_RUNS_BVEC || !IS_ENABLED(CONFIG_SPARSEMEM) ||
	       IS_ENABLED(CONFIG_SPARSEMEM_VMEMMAP);
}

/*
 * Into chunks of this size: expanded, they must give the same pages, and no two
 * runs of one chunk may meet inside a folio.
 */
static void expect_build(struct kunit *test, const struct layout *l,
			 enum pin_runs_format format, void *buf, u32 bytes,
			 struct rnd_state *rnd)
{
	u32 size = pin_run_bytes(format, 0, 1);
	int i, done = 0, chunks = 0;

	for (; done < LAYOUT_PAGES; done = i, chunks++) {
		struct pin_runs_iter it = { };
		struct pin_run run, last = { };
		struct run_builder b;
		struct pin_runs runs;
		int k = done;

		init_chunk(&runs, format, buf, bytes);
		run_builder_init(&b, &runs);
		i = build_chunk(&b, l, done, rnd);
		KUNIT_ASSERT_GT_MSG(test, i, done, "no progress in %u bytes", bytes);
		KUNIT_ASSERT_LE(test, b.runs.nr * size + b.runs.nr_sizes * 4, bytes);

		while (pin_runs_next(&b.runs, &it, &run)) {
			unsigned long j;

			KUNIT_ASSERT_LE(test, k + run.nr_pages, i);
			KUNIT_ASSERT_LE(test, run.pfn + run.nr_pages, l->end[k]);
			KUNIT_EXPECT_FALSE_MSG(test, last.nr_pages &&
					       last.pfn + last.nr_pages == run.pfn &&
					       l->end[k - 1] == l->end[k] &&
					       run.pfn < l->end[k - 1],
					       "not maximal");
			for (j = 0; j < run.nr_pages; j++, k++) {
				if (l->pfn[k] != run.pfn + j)
					KUNIT_FAIL_AND_ABORT(test, "wrong page %d", k);
			}
			last = run;
		}
		KUNIT_ASSERT_EQ(test, k, i);
	}
	/* There is room for as many pages as there is for entries. */
	KUNIT_EXPECT_LE(test, chunks, DIV_ROUND_UP(LAYOUT_PAGES, bytes / size));
}

static void build_random(struct kunit *test)
{
	struct layout *l = alloc_buffer(test, sizeof(*l));
	void *buf = alloc_buffer(test, 8192);
	struct rnd_state rnd;
	int round;

	prandom_seed_state(&rnd, 20261120);
	for (round = 0; round < 2000; round++) {
		u32 bytes = 16 * (1 + prandom_u32_state(&rnd) % (round % 2 ? 8 : 400));

		layout_random(l, &rnd, prandom_u32_state(&rnd) % 10);
		if (can_be_made_up(round % PIN_RUNS_NR_FORMATS))
			expect_build(test, l, round % PIN_RUNS_NR_FORMATS, buf, bytes,
				     &rnd);
	}
}

/* From room for one run to room for all, in each format */
static void build_every_size(struct kunit *test)
{
	struct layout *l = alloc_buffer(test, sizeof(*l));
	enum pin_runs_format format;
	struct rnd_state rnd;
	u32 size, bytes;
	void *buf;

	prandom_seed_state(&rnd, 20261121);
	layout_random(l, &rnd, 5);
	for (format = 0; format < PIN_RUNS_NR_FORMATS; format++) {
		if (!can_be_made_up(format))
			continue;
		size = pin_run_bytes(format, 0, 1);
		buf = alloc_buffer(test, (LAYOUT_PAGES + 1) * size);
		for (bytes = size; bytes <= (LAYOUT_PAGES + 1) * size; bytes += size)
			expect_build(test, l, format, buf, bytes, &rnd);
	}
}

/*
 * More than 2 GiB of one folio: a bio_vec cannot tell it, and so it is several
 * runs, wherever the first one starts; the others can.
 */
static void long_run(struct kunit *test)
{
#ifdef CONFIG_64BIT
	static const u32 entries[PIN_RUNS_NR_FORMATS] = { 1, 3, 1 };
	const unsigned long nr = 2 * PIN_RUN_BVEC_PAGES + 1;
	enum pin_runs_format format;
	unsigned long first;
	u64 buf[8];

	for (format = 0; format < PIN_RUNS_NR_FORMATS; format++) {
		if (!can_be_made_up(format))
			continue;
		for (first = 0; first < 3; first++) {
			struct found f = { first, SZ_256K, 4 * PIN_RUN_BVEC_PAGES };
			struct pin_runs_iter it = { };
			unsigned long total = 0;
			struct run_builder b;
			struct pin_runs runs;
			struct pin_run run;

			init_chunk(&runs, format, buf, sizeof(buf));
			run_builder_init(&b, &runs);
			for (; f.pfn < first + nr; f.pfn += f.nr) {
				f.nr = min(f.nr, first + nr - f.pfn);
				KUNIT_ASSERT_EQ(test, add_found(&b, &f), f.nr);
			}
			run_builder_close(&b);
			KUNIT_EXPECT_EQ(test, b.runs.nr, entries[format]);
			while (pin_runs_next(&b.runs, &it, &run)) {
				KUNIT_EXPECT_EQ(test, run.pfn, first + total);
				total += run.nr_pages;
			}
			KUNIT_EXPECT_EQ(test, total, nr);
		}
	}
#else
	kunit_skip(test, "no folio is that large here");
#endif
}

static struct kunit_case pin_runs_format_cases[] = {
	KUNIT_CASE(pack),
	KUNIT_CASE(long_run),
	KUNIT_CASE(build_table),
	KUNIT_CASE(build_random),
	KUNIT_CASE(build_every_size),
	{ }
};

static struct kunit_suite pin_runs_format_suite = {
	.name = "pin_runs_format",
	.test_cases = pin_runs_format_cases,
};

kunit_test_suite(pin_runs_format_suite);
