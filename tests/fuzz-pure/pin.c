// SPDX-License-Identifier: GPL-2.0
/*
 * pin_user_runs_fast() with all of mm/pin_runs.c, on made up memory: chunks of all sizes and
 * formats, races with fork(), walks that stop early, faults that fail, signals, and no memory.
 *
 * After each call the runs spell out the page table, each has one pin or one for each page, they
 * are as long as they can be, and what a failed call took is given back.
 */
#include "world.h"

#include <linux/pin_runs.h>

#define MAX_CHUNKS	64

static struct pin_runs chunks[MAX_CHUNKS];
/* Pins that each folio has to have, by the PFN of its first page */
static u32 expected[WORLD_PFNS];

static unsigned long head_of(unsigned long pfn)
{
	return page_to_pfn(fuzz_pages[pfn].head);
}

/* The pages of a chunk have to be those of the table from @page on. Returns how many they are. */
static u32 check_chunk(const struct pin_runs *runs, u32 page)
{
	unsigned long end = 0, pages = 0, whole = 0;
	struct pin_runs_iter it = { };
	struct pin_run run;

	must(pin_runs_room(runs) <= runs->bytes);
	while (pin_runs_next(runs, &it, &run)) {
		unsigned long head = head_of(run.pfn);

		must(run.nr_pages);
		must(head_of(run.pfn + run.nr_pages - 1) == head);
		for (unsigned long i = 0; i < run.nr_pages; i++)
			must(world.pfn[page + pages + i] == run.pfn + i);
		/* Runs are as long as they get: none goes on in the folio of the one before. */
		must(!pages || run.pfn != end || head_of(end - 1) != head);
		whole++;
		end = run.pfn + run.nr_pages;
		pages += run.nr_pages;
		if (!is_zero_pfn(run.pfn))
			expected[head] += runs->per_page ? (u32)run.nr_pages : 1;
	}
	must(whole == runs->nr);
	must(page + pages <= world.nr_pages);
	return (u32)pages;
}

static void check_pins(void)
{
	for (u32 i = 0; i < world.nr_pages; i++)
		must(world_pins(world.pfn[i]) == expected[head_of(world.pfn[i])]);
}

static void chunk_init(struct pin_runs *runs, enum pin_runs_format format, u8 size)
{
	u32 bytes = size < 64 ? 8 + size : size < 224 ? 16 * (u32)size : 4096;
	void *buf = malloc(bytes);

	if (format == PIN_RUNS_PFN)
		pin_runs_init(runs, buf, bytes);
	else if (format == PIN_RUNS_BVEC)
		pin_runs_init_bvecs(runs, buf, bytes / sizeof(struct bio_vec));
	else
		pin_runs_init_phys(runs, buf, bytes / sizeof(struct phys_vec));
}

static void release(struct pin_runs *runs, u8 how)
{
	enum unpin_dirty dirty = how % 3;

	struct pin_runs_iter it = { };
	struct pin_run run;

	if (runs->per_page && how & 8) {	/* page by page, and so is a pin for each */
		while (pin_runs_next(runs, &it, &run))
			for (; run.nr_pages; run.nr_pages--)
				unpin_user_folio(pfn_folio(run.pfn), 1);
	} else if (runs->format == PIN_RUNS_BVEC && !runs->per_page && how & 4) {
		unpin_user_bvecs(runs->bvecs, runs->nr, dirty);
	} else {
		unpin_user_runs(runs, dirty);
	}
	free(runs->entries);
}

/*
 * Pins everything from @page on into one chunk, in one call or several. Returns where that ends:
 * at the end of the table, or because the chunk is full or @error.
 */
static u32 fill_chunk(struct pin_runs *runs, u32 page, struct input *in, long *error)
{
	u32 start = page, pages, nr;
	struct pin_runs before;
	long ret;

	*error = 0;
	while (page < world.nr_pages) {
		nr = world.nr_pages - page;
		if (input_back_u8(in) & 1)
			nr = min(nr, 1u + input_back_u8(in) * 8u);
		fuzz_fail_alloc = input_back_u8(in) >= 250;
		before = *runs;
		ret = pin_user_runs_fast(WORLD_START + ((u64)page << PAGE_SHIFT), nr,
					 FOLL_WRITE | FOLL_LONGTERM, GFP_KERNEL, runs);
		must(ret && ret <= (long)nr);
		if (ret < 0)
			must(runs->nr == before.nr && runs->nr_sizes == before.nr_sizes);
		else
			page += (u32)ret;
		pages = page - start;
		if (ret == -ENOSPC) {
			/* 8 bytes for each page are enough, and others have no run longer. */
			must(runs->format != PIN_RUNS_PFN || pages >= runs->bytes / 8);
			must(pin_runs_room(runs) < 12 || runs->format != PIN_RUNS_PFN);
			must(runs->format == PIN_RUNS_PFN || pin_runs_room(runs) < 16);
			return page;
		}
		if (ret < 0) {
			must((ret == -EINTR && world.killed) || (ret == -EFAULT && world.fault));
			*error = ret;
			return page;
		}
	}
	return page;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct input in = { data, size };
	u8 how = input_u8(&in);
	enum pin_runs_format format = how % 3;
	u8 chunk_size = input_u8(&in);
	u32 page = 0, start, nr_chunks = 0, errors = 0;
	long error;

	fuzz_fail_alloc = 0;
	world_make(&in, &in);
	in = (struct input){ data, size };
	memset(expected, 0, sizeof(expected));
	while (page < world.nr_pages && nr_chunks < MAX_CHUNKS) {
		chunk_init(&chunks[nr_chunks], format, chunk_size);
		chunks[nr_chunks].per_page = how & 128;
		start = page;
		page = fill_chunk(&chunks[nr_chunks], page, &in, &error);
		must(check_chunk(&chunks[nr_chunks], start) == page - start);
		check_pins();
		if (error) {
			errors++;
			world.killed = world.fault = false;
		}
		if (!chunks[nr_chunks++].nr && errors > 3)
			break;
	}
	while (nr_chunks)
		release(&chunks[--nr_chunks], input_back_u8(&in));
	must(world_all_released());
	must(!fuzz_allocated);
	return 0;
}
