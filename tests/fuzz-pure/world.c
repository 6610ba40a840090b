// SPDX-License-Identifier: GPL-2.0
#include "world.h"

/* Its copy of the types, and what the walker uses of it */
#include "mm/pin_runs.h"

#define NO_MAPPING	ULONG_MAX

struct page fuzz_pages[WORLD_PFNS];
struct world world;
static unsigned long next_pfn;

/* PFN of a new folio, or NO_MAPPING when memory is used up. @gap: it touches no other */
static unsigned long new_folio(unsigned int order, bool gap)
{
	unsigned long nr = 1UL << order, pfn = ALIGN(next_pfn, nr) + (gap ? nr : 0);

	if (pfn + nr > WORLD_PFNS)
		return NO_MAPPING;
	next_pfn = pfn + nr;
	for (unsigned long i = pfn; i < next_pfn; i++)
		fuzz_pages[i] = (struct page){ .head = &fuzz_pages[pfn], .order = order };
	return pfn;
}

static void map(unsigned long pfn, unsigned long nr, bool leaf)
{
	for (unsigned long i = 0; i < nr && world.nr_pages < WORLD_PAGES; i++) {
		world.leaf[world.nr_pages] = leaf ? (u16)(nr - i) : 0;
		world.pfn[world.nr_pages++] = pfn + i;
	}
}

/* Some of the pages of a folio, that one or another mapped page is in */
static void map_part(struct input *in, unsigned long pfn, bool leaf)
{
	const struct page *head = fuzz_pages[pfn].head;
	unsigned long size = 1UL << head->order, first = input_u16(in) % size;

	map(page_to_pfn(head) + first, 1 + input_u16(in) % (size - first), leaf);
}

static void map_some(struct input *in)
{
	u8 how = input_u8(in), order = input_u8(in), count = input_u8(in);
	unsigned long pfn;

	switch (how & 7) {
	case 0:		/* whole folios, one after the other */
	case 1:
		order %= how & 1 ? 4 : 9;
		while (count-- && world.nr_pages < WORLD_PAGES) {
			pfn = new_folio(order, how & 8);
			if (pfn == NO_MAPPING)
				return;
			map(pfn, 1UL << order, how & 16);
		}
		break;
	case 2:		/* a part of one */
	case 3:
		pfn = new_folio(order % 10, how & 8);
		if (pfn != NO_MAPPING)
			map_part(in, pfn, how & 16);
		break;
	case 4:		/* a part of one that there is already */
		if (world.nr_pages)
			map_part(in, world.pfn[(order << 8 | count) % world.nr_pages], how & 16);
		break;
	case 5:		/* zeroes */
		map(FUZZ_ZERO_PFN, 1, false);
		break;
	case 6:		/* one folio backwards, or each page twice */
		pfn = new_folio(order % 7, how & 8);
		if (pfn == NO_MAPPING)
			return;
		for (unsigned long i = 0; i < 1UL << order % 7; i++) {
			map(pfn + (how & 16 ? i : (1UL << order % 7) - 1 - i), 1, false);
			if (how & 16)
				map(pfn + i, 1, false);
		}
		break;
	case 7:		/* what was mapped before, again */
		for (u32 i = 0, nr = world.nr_pages, first = order; i < 1u + count && nr; i++)
			map(world.pfn[(first + i) % nr], 1, false);
		break;
	}
}

void world_make(struct input *in, struct input *events)
{
	world = (struct world){ .events = events };
	memset(fuzz_stats, 0, sizeof(fuzz_stats));
	next_pfn = 0;
	new_folio(0, false);
	must(new_folio(0, false) == FUZZ_ZERO_PFN);
	while (in->size && world.nr_pages < WORLD_PAGES)
		map_some(in);
	if (!world.nr_pages)
		map(0, 1, false);
}

long world_pins(unsigned long pfn)
{
	int refs = fuzz_pages[pfn].head->refs;

	must(refs % GUP_PIN_COUNTING_BIAS == 0);
	return refs / GUP_PIN_COUNTING_BIAS;
}

bool world_all_released(void)
{
	for (unsigned long pfn = 0; pfn < next_pfn; pfn++)
		if (fuzz_pages[pfn].refs)
			return false;
	return fuzz_stats[NR_FOLL_PIN_ACQUIRED] == fuzz_stats[NR_FOLL_PIN_RELEASED];
}

static u8 event(void)
{
	return world.quiet ? 0 : input_back_u8(world.events);
}

bool fatal_signal_pending(void *task)
{
	(void)task;
	if (event() == 255)
		world.killed = true;
	return world.killed;
}

static void pin_folio(unsigned long pfn, unsigned long pins)
{
	if (is_zero_pfn(pfn))
		return;
	fuzz_pages[pfn].head->refs += (int)pins * GUP_PIN_COUNTING_BIAS;
	fuzz_stats[NR_FOLL_PIN_ACQUIRED] += (long)pins;
}

/* There may be none to be had, or one that ends early. It is held for one section. */
static struct vm_area_struct vma;
static bool vma_held;

struct vm_area_struct *lock_vma_under_rcu(void *mm, unsigned long addr)
{
	u8 what = event();

	must(mm == fuzz_task.mm && !vma_held);
	if (what < 64)
		return NULL;
	vma = (struct vm_area_struct){
		.vm_end = addr + ((what & 63) + 1ul) * (what & 1 ? 1 : 64) * PAGE_SIZE,
		.vm_flags = what >= 192 ? what & 7 : VM_READ,
		.cow = what >= 224,
	};
	vma_held = true;
	return &vma;
}

void vma_end_read(struct vm_area_struct *held)
{
	must(held == &vma && vma_held);
	vma_held = false;
}

/*
 * One entry, or some PTEs of a folio, as gup_fast_pte_range() and gup_fast_pmd_leaf() do it:
 * make room, pin, look again, add. Returns the number of pages.
 */
static unsigned long walk_entry(struct gup_out *out, u32 i, unsigned long left, u8 what)
{
	struct run_builder *b = &out->builder;
	bool each = b->runs.per_page, pinned = false;
	unsigned long pfn = world.pfn[i], nr = world.leaf[i] ? min(left, world.leaf[i]) : 1;
	unsigned long folio_end = folio_end_pfn(pfn_folio(pfn)), fits, batch;
	u32 bytes = folio_test_large(pfn_folio(pfn)) ? b->most : b->least;

	if (nr > run_builder_reach(b, pfn)) {
		nr = run_builder_reach(b, pfn);
		out->stop = true;
	}
	if (!run_builder_ask(b, bytes)) {
		fits = run_builder_fits(b, pfn, nr, bytes);
		must(fits <= nr);
		out->full = fits < nr;
		if (out->full)
			out->stop = true;
		nr = fits;
		if (!nr)
			return 0;
	}
	if (each || !run_builder_continues(b, pfn)) {
		pin_folio(pfn, each ? nr : 1);
		pinned = true;
	}
	if (what == 254) {		/* the entry has changed */
		if (pinned)
			unpin_user_folio(pfn_folio(pfn), each ? nr : 1);
		return 0;
	}
	if (!folio_test_large(pfn_folio(pfn))) {
		run_builder_add_small(b, pfn);
		return 1;
	}
	if (!world.leaf[i] && !run_builder_is_tight(b)) {
		batch = min3(left, out->budget, run_builder_reach(b, pfn));
		while (nr < batch && !world.leaf[i + nr] && pfn + nr < folio_end &&
		       world.pfn[i + nr] == pfn + nr)
			nr++;
		if (each && nr > 1)
			pin_folio(pfn, nr - 1);
	}
	run_builder_add(b, pfn, nr, folio_end);
	return nr;
}

bool gup_fast_section(unsigned long start, unsigned long end, unsigned int gup_flags,
		      struct gup_out *out)
{
	u32 i = (u32)((start - WORLD_START) >> PAGE_SHIFT);
	u32 last = (u32)((end - WORLD_START) >> PAGE_SHIFT);
	u8 what = event();
	/* Somewhere the walk stops early: it is not there, or raced. */
	u32 stop = what >= 192 && what < 254 ? i + (what & 63) : what == 253 ? i : last;

	must((gup_flags & FOLL_PIN) && last <= world.nr_pages);
	must(out->budget && out->budget <= GUP_SECTION_ENTRIES);
	must(out->no_cow == vma_held);
	while (i < last && i < stop && out->budget && !out->stop) {
		unsigned long nr = walk_entry(out, i, last - i, what);

		if (!nr)
			break;
		out->budget -= world.leaf[i] ? 1 : min(nr, out->budget);
		out->nr += nr;
		i += nr;
	}
	/* Or it is not known whether it may be copied. */
	if (i < last && what % 4 == 1 && !out->no_cow)
		out->ask_vma = true;
	return what < 160 || what >= 192;
}

long faultin_page_range(struct mm_struct *mm, unsigned long start, unsigned long end,
			unsigned int gup_flags, int *locked)
{
	u8 what = event();

	(void)mm;
	(void)gup_flags;
	(void)locked;
	must(start < end && (end - WORLD_START) >> PAGE_SHIFT <= world.nr_pages);
	fuzz_may_sleep();
	return what >= 224 ? -EFAULT : (long)((end - start) >> PAGE_SHIFT);
}

long gup_slow(unsigned long start, unsigned long nr_pages, struct page **pages,
	      unsigned int gup_flags)
{
	u32 i = (u32)((start - WORLD_START) >> PAGE_SHIFT);
	u8 what = event();

	(void)gup_flags;
	must(nr_pages && nr_pages <= PAGE_SIZE / sizeof(*pages));
	fuzz_may_sleep();
	must(i + nr_pages <= world.nr_pages);
	if (what >= 250) {
		world.fault = true;
		return -EFAULT;
	}
	if (what >= 128)
		nr_pages = min(nr_pages, 1ul + (what & 31));
	for (unsigned long n = 0; n < nr_pages; n++) {
		pages[n] = pfn_to_page(world.pfn[i + n]);
		pin_folio(world.pfn[i + n], 1);
	}
	return (long)nr_pages;
}
