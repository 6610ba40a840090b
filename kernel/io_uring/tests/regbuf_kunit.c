// SPDX-License-Identifier: GPL-2.0
/*
 * Registered buffers on page frame numbers that are made up: nothing here
 * looks into a page. Each layout is compared with a walk over the runs that it
 * was made from, which knows neither tables nor shifts.
 */
#include <kunit/test.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/prandom.h>
#include <linux/slab.h>

#include "../regbuf.h"

#define MAX_RUNS	4096
#define PAGES_2M	(SZ_2M >> PAGE_SHIFT)
#define PAGES_1G	(SZ_1G >> PAGE_SHIFT)

/* A run, and where it is in its folio of 2^order pages */
struct fake_run {
	unsigned long	pfn;
	u64		nr_pages;
	unsigned int	order;
	u64		idx;
};

struct fake_buffer {
	struct rnd_state	rnd;
	struct fake_run		*runs;
	unsigned int		nr_runs;
	unsigned long		next_pfn;
	/* bytes that are not used of the first page and of the last one */
	u32			head;
	u32			tail;
};

static u32 fake_rnd(struct fake_buffer *fb, u32 ceil)
{
	return prandom_u32_state(&fb->rnd) % ceil;
}

/* Pages [idx, idx + nr) of a folio that no run was in before */
static void fake_add(struct fake_buffer *fb, unsigned int order, u64 idx,
		     u64 nr_pages)
{
	struct fake_run *run = &fb->runs[fb->nr_runs++];
	u64 size = 1ULL << order;
	unsigned long pfn;

	/* Every other folio touches the one before: that must not matter. */
	pfn = ALIGN(fb->next_pfn, size) + (fake_rnd(fb, 2) ? 0 : size);
	run->pfn = pfn + idx;
	run->nr_pages = nr_pages;
	run->order = order;
	run->idx = idx;
	fb->next_pfn = pfn + size;
}

static void fake_reset(struct fake_buffer *fb)
{
	fb->nr_runs = 0;
	fb->next_pfn = 0x1000;
	fb->head = 0;
	fb->tail = 0;
}

KUNIT_DEFINE_ACTION_WRAPPER(free_action, kvfree, const void *);

static struct fake_buffer *fake_init(struct kunit *test, unsigned int max_runs)
{
	struct fake_buffer *fb;

	fb = kunit_kzalloc(test, sizeof(*fb), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, fb);
	fb->runs = kvcalloc(max_runs, sizeof(*fb->runs), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, fb->runs);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, free_action,
							   fb->runs));
	prandom_seed_state(&fb->rnd, 20261121);
	fake_reset(fb);
	return fb;
}

static void fake_tally(const struct fake_buffer *fb, struct regbuf_tally *tally)
{
	unsigned int i;

	memset(tally, 0, sizeof(*tally));
	for (i = 0; i < fb->nr_runs; i++)
		regbuf_tally_run(tally, fb->runs[i].nr_pages);
}

static struct io_mapped_ubuf *fake_store(const struct fake_buffer *fb,
					 const struct regbuf_layout *layout)
{
	struct io_mapped_ubuf *imu;
	struct regbuf_fill fill;
	u64 nr_pages = 0;
	unsigned int i;

	imu = kvmalloc(sizeof(*imu) + layout->bytes, GFP_KERNEL);
	if (!imu)
		return NULL;
	for (i = 0; i < fb->nr_runs; i++)
		nr_pages += fb->runs[i].nr_pages;

	imu->ubuf = (3UL << PAGE_SHIFT) + fb->head;
	imu->len = (nr_pages << PAGE_SHIFT) - fb->head - fb->tail;
	imu->flags = 0;
	imu->dir = 3;
	regbuf_fill_begin(&fill, imu, layout);
	for (i = 0; i < fb->nr_runs; i++)
		regbuf_fill_run(&fill, fb->runs[i].pfn, fb->runs[i].nr_pages);
	regbuf_fill_end(&fill);
	return imu;
}

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

/* The run that has the byte at @offset, and its physical address */
static unsigned int naive_run(const struct fake_buffer *fb, u64 offset,
			      u64 *phys)
{
	u64 pos = offset + fb->head;
	unsigned int i;

	for (i = 0; pos >= fb->runs[i].nr_pages << PAGE_SHIFT; i++)
		pos -= fb->runs[i].nr_pages << PAGE_SHIFT;
	*phys = ((u64)fb->runs[i].pfn << PAGE_SHIFT) + pos;
	return i;
}

static u32 naive_bvec(const struct io_mapped_ubuf *imu, u64 offset, u64 *skip)
{
	u32 i;

	for (i = 0; offset >= imu->bvec[i].bv_len; i++)
		offset -= imu->bvec[i].bv_len;
	*skip = offset;
	return i;
}

static u64 bvec_phys_addr(const struct bio_vec *bv)
{
	return ((u64)page_to_pfn(bv->bv_page) << PAGE_SHIFT) + bv->bv_offset;
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
	u64 phys, want_skip, x;
	u32 first, nr, want;

	want = naive_bvec(imu, offset, &want_skip);
	if (regbuf_seek(imu, offset, &skip) != want || skip != want_skip)
		return "seek";
	if (fb) {
		naive_run(fb, offset, &phys);
		if (bvec_phys_addr(&imu->bvec[want]) + skip != phys)
			return "address";
	}
	nr = regbuf_span(imu, offset, len, &first, &span_skip);
	if (first != want || span_skip != skip)
		return "start of a span";
	if (nr != naive_bvec(imu, offset + len - 1, &x) - first + 1)
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
		size_t offset, len, max_len = SZ_4M;
		u64 skip;

		offset = (size_t)((u64)prandom_u32_state(&fb->rnd) << 32 |
				  prandom_u32_state(&fb->rnd)) % imu->len;
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

/* Kinds of memory; each makes up to about @max runs. */
enum fake_kind {
	FAKE_SINGLE,
	FAKE_FEW_PAIRS,
	FAKE_FOLIOS,
	FAKE_PARTIAL,
	FAKE_ODD_PAGES,
	FAKE_ANY,
	FAKE_CLUSTER,
	FAKE_NR_KINDS,
};

static void fake_random(struct fake_buffer *fb, enum fake_kind kind,
			unsigned int max)
{
	unsigned int order = fake_rnd(fb, 10), i, nr = 1 + fake_rnd(fb, max);
	u32 size = 1 << order, idx;

	fake_reset(fb);
	switch (kind) {
	case FAKE_SINGLE:
		for (i = 0; i < nr; i++)
			fake_add(fb, 0, 0, 1);
		break;
	case FAKE_FEW_PAIRS:
		/* Fewer bvecs if mixed, but then the tables need more. */
		for (i = 0; i < nr; i++) {
			u32 pair = !fake_rnd(fb, 8);

			fake_add(fb, pair, 0, 1 + pair);
		}
		break;
	case FAKE_FOLIOS:
	case FAKE_PARTIAL:
		/* Starts and ends inside a folio, as buffers do. */
		for (i = 0; i < nr; i++) {
			idx = i ? 0 : fake_rnd(fb, size);
			fake_add(fb, order, idx, i < nr - 1 ? size - idx :
				 1 + fake_rnd(fb, size - idx));
		}
		/* One that is shorter can be anywhere. */
		if (kind == FAKE_PARTIAL)
			fb->runs[fake_rnd(fb, nr)].nr_pages = 1;
		break;
	case FAKE_ODD_PAGES:
		for (i = 0; i < nr; i += 3) {
			idx = fake_rnd(fb, 510);
			fake_add(fb, 9, 0, 1 + idx);
			fake_add(fb, 0, 0, 1);
			fake_add(fb, 9, idx + 2, 510 - idx);
		}
		break;
	case FAKE_ANY:
		for (i = 0; i < nr; i++) {
			order = fake_rnd(fb, 12);
			idx = fake_rnd(fb, 1 << order);
			fake_add(fb, order, idx,
				 1 + fake_rnd(fb, (1 << order) - idx));
		}
		break;
	case FAKE_CLUSTER:
	default:
		/* All short runs are in one place. */
		idx = fake_rnd(fb, nr);
		for (i = 0; i < nr; i++)
			fake_add(fb, i < idx ? 9 : i & 1, 0,
				 i < idx ? 512 : 1 + (i & 1));
		break;
	}
	fb->head = fake_rnd(fb, PAGE_SIZE);
	fb->tail = fake_rnd(fb, PAGE_SIZE);
	if (nr == 1 && fb->runs[0].nr_pages == 1)
		fb->tail = fake_rnd(fb, PAGE_SIZE - fb->head);
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

/*
 * Vectored I/O turns iovecs into bvecs in place: those start at the left of
 * the array, these are at its right end.
 */
static void regbuf_vec_in_place(struct kunit *test)
{
	struct fake_buffer *fb = fake_init(test, MAX_RUNS);
	unsigned int i, j, nr_iovs, nr_segs, nr_iov_slots, round;
	struct bio_vec *want;
	struct iovec *iov, *slots;

	iov = kunit_kcalloc(test, 16, sizeof(*iov), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, iov);

	for (round = 0; round < 600; round++) {
		struct regbuf_tally tally;
		struct regbuf_layout layout;
		struct io_mapped_ubuf *imu;
		size_t total, left;
		u64 phys;

		fake_random(fb, round % FAKE_NR_KINDS, 60);
		fake_tally(fb, &tally);
		regbuf_choose_layout(&tally, &layout);
		imu = fake_store(fb, &layout);
		KUNIT_ASSERT_NOT_NULL(test, imu);

		nr_iovs = 1 + fake_rnd(fb, 16);
		left = 0;
		for (i = 0; i < nr_iovs; i++) {
			size_t offset = prandom_u32_state(&fb->rnd) % imu->len;
			size_t len = 1 + prandom_u32_state(&fb->rnd) %
				     min_t(size_t, imu->len - offset,
					   fake_rnd(fb, 2) ? SZ_4K : SZ_4M);

			iov[i].iov_base = (void __user *)(uintptr_t)
					  (imu->ubuf + offset);
			iov[i].iov_len = len;
			left += len;
		}
		KUNIT_ASSERT_EQ(test, 0, io_regbuf_count_vec(imu, iov, nr_iovs,
							     &nr_segs, &total));
		KUNIT_ASSERT_EQ(test, total, left);
		KUNIT_ASSERT_GE(test, nr_segs, nr_iovs);

		/* Exactly as large: KASAN sees what goes beyond it. */
		want = kvmalloc_array(nr_segs, sizeof(*want), GFP_KERNEL);
		nr_iov_slots = DIV_ROUND_UP(nr_segs * sizeof(*want),
					    sizeof(*slots));
		if (sizeof(*want) > sizeof(*slots))
			nr_iov_slots += nr_iovs;
		slots = kvmalloc_array(nr_iov_slots, sizeof(*slots),
				       GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, want);
		KUNIT_ASSERT_NOT_NULL(test, slots);

		io_regbuf_fill_vec(imu, iov, nr_iovs, want);
		memcpy(slots + nr_iov_slots - nr_iovs, iov,
		       nr_iovs * sizeof(*iov));
		io_regbuf_fill_vec(imu, slots + nr_iov_slots - nr_iovs, nr_iovs,
				   (struct bio_vec *)slots);
		KUNIT_EXPECT_MEMEQ(test, slots, want, nr_segs * sizeof(*want));

		/* Every byte once, in order, and nothing but these */
		for (i = 0, j = 0; i < nr_iovs; i++) {
			u64 addr = (uintptr_t)iov[i].iov_base;
			size_t len = iov[i].iov_len;

			while (len && j < nr_segs) {
				naive_run(fb, addr - imu->ubuf, &phys);
				if (bvec_phys_addr(&want[j]) != phys ||
				    want[j].bv_len > len)
					break;
				addr += want[j].bv_len;
				len -= want[j].bv_len;
				j++;
			}
			if (len)
				break;
		}
		KUNIT_EXPECT_EQ_MSG(test, i, nr_iovs, "round %u", round);
		KUNIT_EXPECT_EQ_MSG(test, j, nr_segs, "round %u", round);

		kvfree(slots);
		kvfree(want);
		kvfree(imu);
	}
}

static void regbuf_vec_refused(struct kunit *test)
{
	struct fake_buffer *fb = fake_init(test, 4);
	struct io_mapped_ubuf *imu;
	struct regbuf_layout layout;
	struct regbuf_tally tally;
	unsigned int nr_segs;
	struct iovec iov[2];
	size_t total;

	fake_add(fb, 0, 0, 1);
	fake_add(fb, 4, 0, 16);
	fake_tally(fb, &tally);
	regbuf_choose_layout(&tally, &layout);
	imu = fake_store(fb, &layout);
	KUNIT_ASSERT_NOT_NULL(test, imu);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, free_action,
							   imu));

#define EXPECT_VEC(ret, base, len) do {					\
	iov[0].iov_base = (void __user *)(uintptr_t)imu->ubuf;		\
	iov[0].iov_len = 1;						\
	iov[1].iov_base = (void __user *)(uintptr_t)(base);		\
	iov[1].iov_len = (len);						\
	KUNIT_EXPECT_EQ(test, ret,					\
			io_regbuf_count_vec(imu, iov, 2, &nr_segs,	\
					    &total));			\
} while (0)

	EXPECT_VEC(0, imu->ubuf, imu->len);
	EXPECT_VEC(0, imu->ubuf + imu->len - 1, 1);
	EXPECT_VEC(-EFAULT, imu->ubuf, 0);
	EXPECT_VEC(-EFAULT, imu->ubuf - 1, 1);
	EXPECT_VEC(-EFAULT, imu->ubuf + imu->len, 1);
	EXPECT_VEC(-EFAULT, imu->ubuf + 1, imu->len);
	EXPECT_VEC(-EFAULT, imu->ubuf, SIZE_MAX);
	EXPECT_VEC(-EFAULT, ULONG_MAX, 2);
#undef EXPECT_VEC
}

static struct kunit_case regbuf_cases[] = {
	KUNIT_CASE(regbuf_layout_choice),
	KUNIT_CASE_SLOW(regbuf_layout_random),
	KUNIT_CASE(regbuf_layout_long_runs),
	KUNIT_CASE_SLOW(regbuf_layout_64_tib),
	KUNIT_CASE(regbuf_layout_linear),
	KUNIT_CASE(regbuf_vec_in_place),
	KUNIT_CASE(regbuf_vec_refused),
	{}
};

static struct kunit_suite regbuf_suite = {
	.name = "io_uring_regbuf",
	.test_cases = regbuf_cases,
};

kunit_test_suite(regbuf_suite);

MODULE_DESCRIPTION("Tests of the layout of registered buffers");
MODULE_LICENSE("GPL");
