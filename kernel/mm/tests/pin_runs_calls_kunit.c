// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests for the calls around pin_user_runs_fast(): appending to a chunk,
 * releasing, scatterlists, chunks that the callee allocates or that are small
 */
#include <kunit/test.h>
#include <linux/bvec.h>
#include <linux/delay.h>
#include <linux/ioport.h>
#include <linux/memory_hotplug.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/scatterlist.h>
#include <linux/sizes.h>
#include <linux/workqueue.h>

#include "../internal.h"
#include "../pin_runs.h"
#include "pin_runs_kunit.h"

/* A second call into the same chunk lets its last run grow, with one pin. */
static void append(struct kunit *test)
{
	unsigned long addr = map_thp(test, PMD_SIZE);
	long before = pins_held();
	struct pin_runs runs;
	u64 buf[4];
	int i;

	pin_runs_init(&runs, buf, sizeof(buf));
	for (i = 0; i < PMD_SIZE / PAGE_SIZE; i += 32)
		KUNIT_ASSERT_EQ(test, pin_user_runs_fast(addr + i * PAGE_SIZE, 32,
							 FOLL_WRITE, GFP_KERNEL, &runs), 32);
	KUNIT_EXPECT_EQ(test, runs.nr, 1);
	KUNIT_EXPECT_EQ(test, pins_held() - before, 1);
	unpin_user_runs(&runs, UNPIN_DIRTY);
	KUNIT_EXPECT_EQ(test, pins_held(), before);
}

/* What is released leaves all of its room, also that of sizes. */
static void reuse(struct kunit *test)
{
	unsigned long nr = PMD_SIZE >> PAGE_SHIFT, addr = map_thirds(test, PMD_SIZE);
	struct page **pages = alloc_pages_array(test, nr);
	enum pin_runs_format format;
	struct pin_runs runs;
	long pinned = 0, ret;
	u64 buf[16];
	int i;

	reference(test, addr, nr, FOLL_WRITE, pages);
	for (format = 0; format < PIN_RUNS_NR_FORMATS; format++) {
		init_chunk(&runs, format, buf, sizeof(buf));
		for (i = 0; i < 3; i++) {
			u32 room = pin_runs_room(&runs);

			ret = pin_user_runs_fast(addr, nr, FOLL_WRITE, GFP_KERNEL, &runs);
			KUNIT_ASSERT_GT(test, ret, 0);
			KUNIT_EXPECT_LT(test, ret, nr);
			if (i)
				KUNIT_EXPECT_EQ(test, ret, pinned);
			pinned = ret;
			expect_runs(test, &runs, pages, ret);
			unpin_user_runs(&runs, UNPIN_CLEAN);
			KUNIT_EXPECT_EQ(test, runs.nr, 0);
			KUNIT_EXPECT_EQ(test, pin_runs_room(&runs), room);
		}
	}
	unpin_user_pages(pages, nr);
}

/* One pin for each bio_vec, for as many as there are, also those cut short */
static void unpin_bvecs(struct kunit *test)
{
	unsigned long addr = map_thp_odd(test, 2 * PMD_SIZE);
	long before = pins_held();
	struct pin_runs_iter it = { };
	struct pin_runs runs;
	struct bio_vec *bvecs;
	struct pin_run run;
	u64 buf[16];
	int nr = 0, i;

	bvecs = kunit_kcalloc(test, 1024, sizeof(*bvecs), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, bvecs);
	pin_runs_init(&runs, buf, sizeof(buf));
	KUNIT_ASSERT_EQ(test, pin_user_runs_fast(addr, 1024, FOLL_WRITE, GFP_KERNEL,
						 &runs), 1024);
	KUNIT_ASSERT_EQ(test, runs.nr, 4);
	while (pin_runs_next(&runs, &it, &run)) {
		KUNIT_ASSERT_EQ(test, repin_user_run(run.pfn, run.nr_pages - 1), 0);
		for (; run.nr_pages; run.nr_pages--)
			bvec_set_page(&bvecs[nr++], pfn_to_page(run.pfn++), PAGE_SIZE, 0);
	}
	KUNIT_ASSERT_EQ(test, nr, 1024);
	KUNIT_EXPECT_EQ(test, pins_held() - before, 1024);
	/* As the first page of a buffer would be */
	bvecs[0].bv_offset = 100;
	bvecs[0].bv_len -= 100;
	bvecs[nr - 1].bv_len = 1;
	/* A page that is used in part is a page of the run. */
	pin_runs_init_bvecs(&runs, bvecs, nr);
	runs.nr = nr;
	it = (struct pin_runs_iter){ };
	for (i = 0; pin_runs_next(&runs, &it, &run); i++)
		KUNIT_EXPECT_EQ_MSG(test, run.nr_pages, 1, "bio_vec %d", i);
	unpin_user_bvecs(bvecs, nr, UNPIN_DIRTY_LOCK);
	KUNIT_EXPECT_EQ(test, pins_held(), before);

	/* More than are released without a break for others */
	nr = SZ_8M >> PAGE_SHIFT;
	bvecs = alloc_buffer(test, nr * sizeof(*bvecs));
	pin_runs_init_bvecs(&runs, bvecs, nr);
	KUNIT_EXPECT_EQ(test, pin_user_runs_fast(map_4k(test, SZ_8M), nr, FOLL_WRITE,
						 GFP_KERNEL, &runs), nr);
	unpin_user_bvecs(bvecs, runs.nr, UNPIN_CLEAN);
	KUNIT_EXPECT_EQ(test, pins_held(), before);
}

/* Set up and torn down for a range that starts and ends anywhere */
static void sg(struct kunit *test)
{
	static const unsigned int max_segments[] = {
		PAGE_SIZE, 3 * PAGE_SIZE, SZ_64K, UINT_MAX
	};
	static unsigned long (* const maps[])(struct kunit *, unsigned long) = {
		map_4k, map_thp, map_thp_odd, map_thirds, map_absent
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
			long before = pins_held();
			struct sg_append_table append = { };
			struct scatterlist *sg;
			unsigned int k;

			KUNIT_ASSERT_EQ(test, pin_user_sg(start, len, FOLL_WRITE,
							  max_segments[j], GFP_KERNEL, &append), 0);
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
			/* One for each entry, and of large ones there are few */
			KUNIT_EXPECT_EQ(test, pins_held() - before,
					append.sgt.orig_nents);
			if (maps[i] == map_thp && max_segments[j] == UINT_MAX)
				KUNIT_EXPECT_EQ(test, append.sgt.orig_nents,
						SZ_8M / PMD_SIZE);
			KUNIT_EXPECT_LE(test, append.total_nents, nr);
			unpin_user_sg(&append, UNPIN_DIRTY_LOCK);
			KUNIT_EXPECT_EQ(test, pins_held(), before);
		}
		/* A short table is not allocated as a long one. */
		{
			struct sg_append_table append = { };

			KUNIT_ASSERT_EQ(test, pin_user_sg(addr, 2 * PAGE_SIZE, FOLL_WRITE,
							  PAGE_SIZE, GFP_KERNEL, &append), 0);
			KUNIT_EXPECT_EQ(test, append.total_nents, 2);
			unpin_user_sg(&append, UNPIN_DIRTY_LOCK);
		}
		/* All or nothing */
		{
			long before = pins_held();
			struct sg_append_table append = { };

			vm_munmap(addr + SZ_8M - PAGE_SIZE, PAGE_SIZE);
			KUNIT_EXPECT_EQ(test, pin_user_sg(addr, SZ_8M, FOLL_WRITE,
							  UINT_MAX, GFP_KERNEL, &append), -EFAULT);
			KUNIT_EXPECT_NULL(test, append.sgt.sgl);
			KUNIT_EXPECT_EQ(test, pins_held(), before);
		}
	}
}

/*
 * The chunks that a scatterlist is made of meet inside a folio: both entries have
 * a pin. The first chunk has single pages, and at its end room for one page of a
 * run that is not aligned.
 */
static void sg_chunks_meet(struct kunit *test)
{
	unsigned long singles = PAGE_SIZE / sizeof(u64) - 1;
	unsigned long nr = 2 * PMD_SIZE >> PAGE_SHIFT, first;
	unsigned long addr = map_thp(test, 2 * PMD_SIZE);
	struct sg_append_table append = { };
	long before = pins_held();

	/* Those, and the first page of the second folio */
	first = PTRS_PER_PTE + 1 - singles;
	addr += first * PAGE_SIZE;
	nr -= first;
	KUNIT_ASSERT_EQ(test, do_madvise(current->mm, addr, singles * PAGE_SIZE,
					 MADV_DONTNEED), 0);
	touch(test, addr, singles * PAGE_SIZE);
	KUNIT_ASSERT_EQ(test, pin_user_sg(addr, nr * PAGE_SIZE, FOLL_WRITE, UINT_MAX,
					  GFP_KERNEL, &append), 0);
	KUNIT_EXPECT_EQ(test, append.sgt.orig_nents, singles + 2);
	KUNIT_EXPECT_EQ(test, pins_held() - before, singles + 2);
	unpin_user_sg(&append, UNPIN_DIRTY_LOCK);
	KUNIT_EXPECT_EQ(test, pins_held(), before);
}

/* What cannot be is refused before anything is pinned. */
static void sg_arguments(struct kunit *test)
{
	unsigned long addr = map_4k(test, SZ_64K);
	struct sg_append_table append = { };
	long acquired = pins_acquired();

	KUNIT_EXPECT_EQ(test, pin_user_sg(addr, 0, FOLL_WRITE, UINT_MAX, GFP_KERNEL, &append),
			-EINVAL);
	KUNIT_EXPECT_EQ(test, pin_user_sg(addr, SZ_64K, FOLL_WRITE, PAGE_SIZE - 1, GFP_KERNEL,
					  &append), -EINVAL);
	KUNIT_EXPECT_EQ(test, pin_user_sg(addr, SIZE_MAX, FOLL_WRITE, UINT_MAX, GFP_KERNEL,
					  &append), -EOVERFLOW);
	KUNIT_EXPECT_EQ(test, pin_user_sg(-PAGE_SIZE, 2 * PAGE_SIZE, FOLL_WRITE,
					  UINT_MAX, GFP_KERNEL, &append), -EOVERFLOW);
	KUNIT_EXPECT_EQ(test, pins_acquired(), acquired);
	KUNIT_EXPECT_NULL(test, append.sgt.sgl);
}

/*
 * The callee allocates, the caller frees: for more runs than the first
 * allocation has room for, with sizes of their own and without
 */
static void alloc(struct kunit *test)
{
	static unsigned long (* const maps[])(struct kunit *, unsigned long) = {
		map_4k, map_thp, map_thirds
	};
	unsigned long nr = SZ_8M >> PAGE_SHIFT;
	struct page **pages = alloc_pages_array(test, nr);
	long before = pins_held();
	struct pin_runs runs;
	int i;

	for (i = 0; i < ARRAY_SIZE(maps); i++) {
		unsigned long addr = maps[i](test, SZ_8M);

		KUNIT_ASSERT_EQ(test, pin_user_runs_alloc(addr, nr, FOLL_WRITE,
							  GFP_KERNEL, &runs), 0);
		/* Pages of 64 KiB are too few for that. */
		if (maps[i] != map_thp && nr * sizeof(u64) > PAGE_SIZE)
			KUNIT_EXPECT_GT(test, runs.bytes, PAGE_SIZE);
		KUNIT_EXPECT_EQ(test, maps[i] == map_thirds, !!runs.nr_sizes);
		/* Nothing is kept that is not used. */
		KUNIT_EXPECT_LT(test, runs.bytes,
				2 * ALIGN(runs.nr * sizeof(u64) +
					  runs.nr_sizes * sizeof(u32),
					  sizeof(u64)));
		reference(test, addr, nr, FOLL_WRITE, pages);
		expect_runs(test, &runs, pages, nr);
		unpin_user_pages(pages, nr);
		unpin_user_runs_free(&runs, UNPIN_DIRTY);
		KUNIT_EXPECT_EQ(test, pins_held(), before);

		/* All or nothing */
		vm_munmap(addr + (nr - 1) * PAGE_SIZE, PAGE_SIZE);
		KUNIT_EXPECT_EQ(test, pin_user_runs_alloc(addr, nr, FOLL_WRITE, GFP_KERNEL, &runs),
				-EFAULT);
		KUNIT_EXPECT_EQ(test, pins_held(), before);
	}
}

/* A small array on the stack, and several calls */
static void on_stack(struct kunit *test)
{
	unsigned long addr = map_thp_odd(test, SZ_8M), nr = SZ_8M >> PAGE_SHIFT;
	unsigned long done = 0, bvecs = 0, calls = 0;
	long acquired = pins_acquired();
	struct bio_vec array[2];
	struct pin_runs runs;
	long ret;

	pin_runs_init_bvecs(&runs, array, ARRAY_SIZE(array));
	while (done < nr) {
		ret = pin_user_runs_fast(addr + done * PAGE_SIZE, nr - done,
					 FOLL_WRITE, GFP_KERNEL, &runs);
		KUNIT_ASSERT_GT(test, ret, 0);
		done += ret;
		bvecs += runs.nr;
		calls++;
		unpin_user_runs(&runs, UNPIN_CLEAN);
	}
	/* Before and after the odd page, that page, three more THPs */
	KUNIT_EXPECT_EQ(test, bvecs, 6);
	KUNIT_EXPECT_EQ(test, calls, 3);
	KUNIT_EXPECT_EQ(test, pins_acquired() - acquired, 6);
}

/*
 * A range that is pinned in many calls takes the entries that it has, and for
 * each call one again, of which only a part did fit the chunk before.
 */
static void resume_leaves(struct kunit *test)
{
	static unsigned long (* const maps[])(struct kunit *, unsigned long) = {
		map_4k, map_thp, map_thp_odd
	};
	unsigned int chunk;
	u64 *buf;
	int i;

	if (!IS_ENABLED(CONFIG_HAVE_GUP_FAST))
		kunit_skip(test, "there is no walk without locks");
	buf = kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, buf);
	for (i = 0; i < ARRAY_SIZE(maps); i++) {
		unsigned long addr = maps[i](test, SZ_8M), nr = SZ_8M >> PAGE_SHIFT;
		unsigned long leafs = maps[i] == map_4k ? nr :
				      maps[i] == map_thp ? SZ_8M / PMD_SIZE :
				      SZ_8M / PMD_SIZE - 1 + PTRS_PER_PTE;

		for (chunk = 2; chunk <= PAGE_SIZE / sizeof(u64); chunk *= 2) {
			unsigned long leaves, done = 0, calls = 0;
			struct pin_runs runs;

			pin_runs_init(&runs, buf, chunk * sizeof(u64));
			leaves = READ_ONCE(gup_nr_leaves);
			while (done < nr) {
				long ret = pin_user_runs_fast(addr + done * PAGE_SIZE,
							      nr - done, FOLL_WRITE,
							      GFP_KERNEL, &runs);

				KUNIT_ASSERT_GT(test, ret, 0);
				unpin_user_runs(&runs, UNPIN_CLEAN);
				done += ret;
				calls++;
			}
			leaves = READ_ONCE(gup_nr_leaves) - leaves;
			KUNIT_EXPECT_GE(test, leaves, leafs);
			KUNIT_EXPECT_LE_MSG(test, leaves, leafs + calls,
					    "chunk of %u entries, %lu calls", chunk, calls);
		}
	}
}

/* ---- dirty ---- */

#define DIRTY_PAGES	1024

static void release_runs(struct pin_runs *runs, unsigned long addr,
			 enum unpin_dirty dirty)
{
	unpin_user_runs(runs, dirty);
}

static void release_bvecs(struct pin_runs *runs, unsigned long addr,
			  enum unpin_dirty dirty)
{
	if (runs->format == PIN_RUNS_BVEC)
		unpin_user_bvecs(runs->bvecs, runs->nr, dirty);
	else
		unpin_user_runs(runs, dirty);
}

/* Instead of @runs: what other calls pin and release */
static void release_sg(struct pin_runs *runs, unsigned long addr,
		       enum unpin_dirty dirty)
{
	struct sg_append_table append = { };

	unpin_user_runs(runs, UNPIN_CLEAN);
	if (!pin_user_sg(addr, DIRTY_PAGES * PAGE_SIZE, FOLL_WRITE, UINT_MAX, GFP_KERNEL,
			 &append))
		unpin_user_sg(&append, dirty);
}

static void release_alloc(struct pin_runs *runs, unsigned long addr,
			  enum unpin_dirty dirty)
{
	unpin_user_runs(runs, UNPIN_CLEAN);
	if (!pin_user_runs_alloc(addr, DIRTY_PAGES, FOLL_WRITE, GFP_KERNEL, runs))
		unpin_user_runs_free(runs, dirty);
}

/* Folios are marked dirty as the caller says, all of them or none. */
static void dirty(struct kunit *test)
{
	static void (* const release[])(struct pin_runs *, unsigned long,
					enum unpin_dirty) = {
		release_runs, release_bvecs, release_sg, release_alloc
	};
	unsigned long addr = map_thp_odd(test, DIRTY_PAGES * PAGE_SIZE);
	struct page **pages = alloc_pages_array(test, DIRTY_PAGES);
	enum pin_runs_format format;
	enum unpin_dirty mode;
	struct pin_runs runs;
	int i, how;
	u64 buf[16];

	reference(test, addr, DIRTY_PAGES, FOLL_WRITE, pages);
	for (how = 0; how < ARRAY_SIZE(release); how++) {
		for (format = 0; format < PIN_RUNS_NR_FORMATS; format++) {
			for (mode = UNPIN_CLEAN; mode <= UNPIN_DIRTY_LOCK; mode++) {
				long before = pins_held();
				int nr = 0;

				for (i = 0; i < DIRTY_PAGES; i++)
					folio_clear_dirty(page_folio(pages[i]));
				init_chunk(&runs, format, buf, sizeof(buf));
				KUNIT_ASSERT_EQ(test, pin_user_runs_fast(addr, DIRTY_PAGES,
									 FOLL_WRITE, GFP_KERNEL,
									 &runs),
						DIRTY_PAGES);
				release[how](&runs, addr, mode);
				KUNIT_EXPECT_EQ(test, pins_held(), before);
				for (i = 0; i < DIRTY_PAGES; i++)
					nr += folio_test_dirty(page_folio(pages[i]));
				KUNIT_EXPECT_EQ_MSG(test, nr, mode == UNPIN_CLEAN ? 0 :
						    DIRTY_PAGES, "%s, mode %d, %d",
						    pin_runs_format_names[format],
						    mode, how);
			}
		}
	}
	unpin_user_pages(pages, DIRTY_PAGES);
}

struct unpin_work {
	struct work_struct work;
	struct pin_runs *runs;
};

static void unpin_dirty_lock(struct work_struct *work)
{
	struct unpin_work *w = container_of(work, struct unpin_work, work);

	unpin_user_runs(w->runs, UNPIN_DIRTY_LOCK);
}

/* One mode takes the folio lock, and the other does not. */
static void dirty_lock(struct kunit *test)
{
	unsigned long addr = map_4k(test, PAGE_SIZE);
	struct pin_runs runs;
	struct unpin_work w;
	struct page *page;
	bool early;
	u64 buf[2];

	reference(test, addr, 1, FOLL_WRITE, &page);
	pin_runs_init(&runs, buf, sizeof(buf));
	KUNIT_ASSERT_EQ(test, pin_user_runs_fast(addr, 1, FOLL_WRITE, GFP_KERNEL, &runs), 1);
	folio_clear_dirty(page_folio(page));
	folio_lock(page_folio(page));
	unpin_user_runs(&runs, UNPIN_DIRTY);
	KUNIT_EXPECT_TRUE(test, PageDirty(page));
	folio_unlock(page_folio(page));

	KUNIT_ASSERT_EQ(test, pin_user_runs_fast(addr, 1, FOLL_WRITE, GFP_KERNEL, &runs), 1);
	folio_clear_dirty(page_folio(page));
	folio_lock(page_folio(page));
	w.runs = &runs;
	INIT_WORK_ONSTACK(&w.work, unpin_dirty_lock);
	schedule_work(&w.work);
	/* It takes no longer than that, unless it waits. */
	msleep(200);
	early = PageDirty(page);
	folio_unlock(page_folio(page));
	flush_work(&w.work);
	destroy_work_on_stack(&w.work);
	KUNIT_EXPECT_FALSE(test, early);
	KUNIT_EXPECT_TRUE(test, PageDirty(page));
	unpin_user_page(page);
}

/* ---- zone device ---- */

#if defined(CONFIG_ZONE_DEVICE) && defined(CONFIG_TRANSPARENT_HUGEPAGE)
#define NR_PGMAPS	2

struct fake_device {
	struct dev_pagemap pgmap[NR_PGMAPS];
	struct resource res[NR_PGMAPS];
	int nr_resources, nr_pgmaps;
};

static void remove_fake_device(void *data)
{
	struct fake_device *dev = data;

	while (dev->nr_pgmaps)
		memunmap_pages(&dev->pgmap[--dev->nr_pgmaps]);
	while (dev->nr_resources)
		release_resource(&dev->res[--dev->nr_resources]);
}

/* Memory that is not there, one range after the other, never read or written */
static void add_fake_device(struct kunit *test, struct fake_device *dev)
{
	struct range range = mhp_get_pluggable_range(true);
	resource_size_t min = ALIGN(max(range.start, PFN_PHYS(max_pfn)), SZ_1G);
	int i, ret;

	ret = kunit_add_action_or_reset(test, remove_fake_device, dev);
	KUNIT_ASSERT_EQ(test, ret, 0);
	for (i = 0; i < NR_PGMAPS; i++) {
		struct dev_pagemap *pgmap = &dev->pgmap[i];
		struct resource *res = &dev->res[i];

		res->name = "pin_runs_kunit";
		res->flags = IORESOURCE_MEM;
		if (allocate_resource(&iomem_resource, res, PMD_SIZE,
				      i ? dev->res[0].end + 1 : min, range.end,
				      i ? PMD_SIZE : SZ_1G, NULL, NULL))
			kunit_skip(test, "no physical addresses left");
		dev->nr_resources++;
		pgmap->type = MEMORY_DEVICE_GENERIC;
		pgmap->range.start = res->start;
		pgmap->range.end = res->end;
		pgmap->nr_range = 1;
		pgmap->vmemmap_shift = PMD_SHIFT - PAGE_SHIFT;
		if (IS_ERR(memremap_pages(pgmap, NUMA_NO_NODE)))
			kunit_skip(test, "no struct pages for a device");
		dev->nr_pgmaps++;
	}
	KUNIT_ASSERT_EQ(test, dev->res[0].end + 1, dev->res[1].start);
}

static void map_fake_device(struct kunit *test, unsigned long addr,
			    struct fake_device *dev)
{
	unsigned long i, nr = NR_PGMAPS * PMD_SIZE >> PAGE_SHIFT;
	unsigned long pfn = PHYS_PFN(dev->res[0].start);
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	int ret = 0;

	mmap_write_lock(mm);
	vma = find_vma(mm, addr);
	for (i = 0; i < nr && !ret; i++)
		ret = vm_insert_page(vma, addr + i * PAGE_SIZE,
				     pfn_to_page(pfn + i));
	mmap_write_unlock(mm);
	KUNIT_ASSERT_EQ(test, ret, 0);
}

/* Two ranges of a device continue each other, and are two runs nonetheless. */
static void pgmap(struct kunit *test)
{
	unsigned long addr, len = NR_PGMAPS * PMD_SIZE, nr = len >> PAGE_SHIFT;
	struct page **pages = alloc_pages_array(test, nr);
	struct fake_device *dev = alloc_buffer(test, sizeof(*dev));
	enum pin_runs_format format;
	void *buf = alloc_buffer(test, SZ_4K);

	if (PMD_SIZE > SZ_32M)
		kunit_skip(test, "folios of that size are too large here");
	add_fake_device(test, dev);
	addr = map_user(test, NULL, 0, len, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, 0);
	map_fake_device(test, addr, dev);
	reference(test, addr, nr, FOLL_WRITE, pages);
	for (format = 0; format < PIN_RUNS_NR_FORMATS; format++)
		KUNIT_EXPECT_EQ(test, expect_chunks(test, addr, nr, FOLL_WRITE, pages,
						    format, buf, SZ_4K), NR_PGMAPS);
	unpin_user_pages(pages, nr);
	/* Before the device can go away */
	unmap_user(test, addr, len);
}
#else
static void pgmap(struct kunit *test)
{
	kunit_skip(test, "no device memory");
}
#endif

static struct kunit_case pin_runs_calls_cases[] = {
	KUNIT_CASE(append),
	KUNIT_CASE(reuse),
	KUNIT_CASE(unpin_bvecs),
	KUNIT_CASE(dirty),
	KUNIT_CASE(dirty_lock),
	KUNIT_CASE(sg),
	KUNIT_CASE(sg_chunks_meet),
	KUNIT_CASE(sg_arguments),
	KUNIT_CASE(alloc),
	KUNIT_CASE(on_stack),
	KUNIT_CASE(resume_leaves),
	KUNIT_CASE(pgmap),
	{ }
};

static struct kunit_suite pin_runs_calls_suite = {
	.name = "pin_runs_calls",
	.init = pin_runs_case_init,
	.exit = pin_runs_case_exit,
	.test_cases = pin_runs_calls_cases,
};

kunit_test_suite(pin_runs_calls_suite);
