/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Registered buffers on page frame numbers that are made up, for KUnit, and
 * where a byte of them is, without tables and shifts
 */
#ifndef IOU_REGBUF_KUNIT_H
#define IOU_REGBUF_KUNIT_H

#include <kunit/test.h>
#include <linux/mm.h>
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

static inline u32 fake_rnd(struct fake_buffer *fb, u32 ceil)
{
	return prandom_u32_state(&fb->rnd) % ceil;
}

/* The offset of any byte of a buffer, which may be longer than 4 GiB */
static inline size_t fake_offset(struct fake_buffer *fb,
				 const struct io_mapped_ubuf *imu)
{
	u64 any = (u64)prandom_u32_state(&fb->rnd) << 32;

	any |= prandom_u32_state(&fb->rnd);
	return (size_t)any % imu->len;
}

/* Pages [idx, idx + nr) of a folio that no run was in before */
static inline void fake_add(struct fake_buffer *fb, unsigned int order,
			    u64 idx, u64 nr_pages)
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

static inline void fake_reset(struct fake_buffer *fb)
{
	fb->nr_runs = 0;
	fb->next_pfn = 0x1000;
	fb->head = 0;
	fb->tail = 0;
}

static inline void free_action(void *addr)
{
	kvfree(addr);
}

static inline struct fake_buffer *fake_init(struct kunit *test,
					    unsigned int max_runs)
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

static inline void fake_tally(const struct fake_buffer *fb,
			      struct regbuf_tally *tally)
{
	unsigned int i;

	memset(tally, 0, sizeof(*tally));
	for (i = 0; i < fb->nr_runs; i++)
		regbuf_tally_run(tally, fb->runs[i].nr_pages);
}

static inline struct io_mapped_ubuf *
fake_store(const struct fake_buffer *fb, const struct regbuf_layout *layout)
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

/* The run that has the byte at @offset, and its physical address */
static inline unsigned int naive_run(const struct fake_buffer *fb, u64 offset,
				     u64 *phys)
{
	u64 pos = offset + fb->head;
	unsigned int i;

	for (i = 0; pos >= fb->runs[i].nr_pages << PAGE_SHIFT; i++)
		pos -= fb->runs[i].nr_pages << PAGE_SHIFT;
	*phys = ((u64)fb->runs[i].pfn << PAGE_SHIFT) + pos;
	return i;
}

static inline u32 naive_bvec(const struct io_mapped_ubuf *imu, u64 offset,
			     u64 *skip)
{
	u32 i;

	for (i = 0; offset >= imu->bvec[i].bv_len; i++)
		offset -= imu->bvec[i].bv_len;
	*skip = offset;
	return i;
}

static inline u64 bvec_phys_addr(const struct bio_vec *bv)
{
	return ((u64)page_to_pfn(bv->bv_page) << PAGE_SHIFT) + bv->bv_offset;
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

static inline void fake_random(struct fake_buffer *fb, enum fake_kind kind,
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

#endif
