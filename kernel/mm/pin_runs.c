// SPDX-License-Identifier: GPL-2.0
/*
 * User memory pinned as runs of folio pages
 *
 * The page tables know where memory is contiguous: one PMD maps 512 pages, one
 * PUD 262144. pin_user_pages_fast() spells that out page by page, with a pin
 * for each, and its callers put it together again. pin_user_runs_fast() keeps
 * what the walk has found: a *run* is a contiguous range of pages in one
 * folio, and holds one pin on that folio however long it is. The format is
 * described in <linux/pin_runs.h>.
 *
 * There is one walker for both, in mm/gup.c. Here it is called for one
 * *section* at a time: a walk with interrupts off over a bounded number of
 * leaf entries. Between sections there is room for the scheduler and for
 * signals, and a fork() that races with a section costs that section only: the
 * builder is copied before each one, and the copy put back if the section has
 * to be undone.
 *
 * The run at the end of what was found so far is *open*. It is pinned, and
 * the next entry may make it longer, at no cost but reading that entry. It goes
 * into the chunk when something else follows. So runs are maximal within a
 * chunk; two chunks may meet inside a folio, and then each has its own pin.
 *
 * Where the walk cannot go on, because a page is not there, has to be unshared
 * or is in memory that must not be pinned for long, ordinary GUP takes over for
 * the rest of that page table. It pins each page into a temporary array, and
 * what it returns is put together like what the walk finds. Then the walk
 * continues. Nothing here allocates memory but that array.
 */
#include <linux/bvec.h>
#include <linux/export.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/pagemap.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>

#include "internal.h"
#include "pin_runs.h"

#ifdef CONFIG_PIN_RUNS_KUNIT_TEST
unsigned long gup_nr_reads, gup_section_start, gup_longest_section;
bool (*gup_kunit_refuse)(struct folio *folio, enum gup_check check);
#endif

/*
 * Pages that ordinary GUP pins at a time: those of a page table whose entries
 * have 64 bits, for which one page has room for the pointers
 */
#define SLOW_PAGES	(PAGE_SIZE / sizeof(u64))

/* Entries of an array that are released before others get their turn */
#define UNPIN_BATCH	1024

void pin_run_make_dirty(struct folio *folio, enum unpin_dirty dirty)
{
	/* See unpin_user_pages_dirty_lock() for why this test may race. */
	if (folio_test_dirty(folio))
		return;

	if (dirty == UNPIN_DIRTY_LOCK) {
		folio_lock(folio);
		folio_mark_dirty(folio);
		folio_unlock(folio);
	} else {
		folio_mark_dirty(folio);
	}
}

/*
 * A run may have several bio_vecs: find the first one behind it, while the
 * folio is pinned and its bounds are stable.
 */
static inline const struct bio_vec *bvec_run_end(const struct bio_vec *bvec,
						 const struct bio_vec *end,
						 const struct folio *folio)
{
	unsigned long folio_end, next;

	if (!folio_test_large(folio))
		return bvec + 1;

	folio_end = folio_end_pfn(folio);
	do {
		next = page_to_pfn(bvec->bv_page) +
		       PFN_UP(bvec->bv_offset + bvec->bv_len);
		bvec++;
	} while (next < folio_end && bvec < end &&
		 page_to_pfn(bvec->bv_page) == next);

	return bvec;
}

static __always_inline void unpin_run(struct page *page, unsigned long pfn,
				      enum unpin_dirty dirty,
				      struct gup_pin_stat *released)
{
	struct folio *folio;

	if (unlikely(is_zero_pfn(pfn)))
		return;
	/* Most often it is a first page, which needs no arithmetic. */
	folio = likely(!PageTail(page)) ? (struct folio *)page :
					  page_folio(page);
	if (unlikely(dirty != UNPIN_CLEAN))
		pin_run_make_dirty(folio, dirty);
	gup_pin_stat_add(released, folio, 1);
	gup_put_pins(folio, 1);
}

/* Runs that start before @stop are released. Returns where the next one does. */
static const struct bio_vec *unpin_bvecs(const struct bio_vec *bvec,
					 const struct bio_vec *stop,
					 const struct bio_vec *end,
					 enum unpin_dirty dirty)
{
	struct gup_pin_stat released = { .item = NR_FOLL_PIN_RELEASED };

	while (bvec < stop) {
		struct page *page = bvec->bv_page;

		bvec = bvec_run_end(bvec, end, page_folio(page));
		unpin_run(page, page_to_pfn(page), dirty, &released);
	}
	gup_pin_stat_flush(&released);
	return bvec;
}

static __always_inline void __unpin_runs_from(const struct pin_runs *runs,
					      struct pin_runs_iter it,
					      enum unpin_dirty dirty)
{
	struct gup_pin_stat released = { .item = NR_FOLL_PIN_RELEASED };
	/* For the compiler, which knows the format in each loop. */
	struct pin_runs r = *runs;
	struct pin_run run;

	switch (runs->format) {
	case PIN_RUNS_PFN:
		r.format = PIN_RUNS_PFN;
		while (pin_runs_next(&r, &it, &run))
			unpin_run(pfn_to_page(run.pfn), run.pfn, dirty,
				  &released);
		break;
	case PIN_RUNS_BVEC:
		unpin_bvecs(r.bvecs + it.i, r.bvecs + r.nr, r.bvecs + r.nr,
			    dirty);
		break;
	case PIN_RUNS_PHYS:
		r.format = PIN_RUNS_PHYS;
		while (pin_runs_next(&r, &it, &run))
			unpin_run(pfn_to_page(run.pfn), run.pfn, dirty,
				  &released);
		break;
	}
	gup_pin_stat_flush(&released);
}

static void unpin_runs_from(const struct pin_runs *runs,
			    struct pin_runs_iter it, enum unpin_dirty dirty)
{
	if (dirty == UNPIN_CLEAN)
		__unpin_runs_from(runs, it, UNPIN_CLEAN);
	else
		__unpin_runs_from(runs, it, dirty);
}

/**
 * unpin_user_runs() - release all runs of a chunk
 * @runs: the chunk, filled by pin_user_runs_fast(); empty afterwards
 * @dirty: whether the folios are marked dirty before, and how
 *
 * Context: Any that is allowed to free memory; may sleep if @dirty is
 *	    UNPIN_DIRTY_LOCK.
 */
void unpin_user_runs(struct pin_runs *runs, enum unpin_dirty dirty)
{
	unpin_runs_from(runs, (struct pin_runs_iter){ }, dirty);
	runs->nr = 0;
	runs->nr_sizes = 0;
}
EXPORT_SYMBOL_GPL(unpin_user_runs);

/**
 * unpin_user_bvecs() - release runs that were turned into an array of bio_vecs
 * @bvecs: the array
 * @nr_bvecs: number of entries
 * @dirty: whether the folios are marked dirty before, and how
 *
 * The length of a bio_vec is limited, so that a run may need several. A
 * bio_vec that starts with the page behind the last one of the bio_vec before
 * it, in the same folio, belongs to the same run and has no pin of its own.
 * Whoever fills the array from several chunks has to give back the second pin
 * where two of them meet inside a folio.
 *
 * Context: Process context, may sleep: there is no limit to the number of runs.
 */
void unpin_user_bvecs(const struct bio_vec *bvecs, unsigned long nr_bvecs,
		      enum unpin_dirty dirty)
{
	const struct bio_vec *end = bvecs + nr_bvecs;

	while (bvecs < end) {
		const struct bio_vec *stop;

		stop = bvecs + min_t(size_t, end - bvecs, UNPIN_BATCH);
		bvecs = unpin_bvecs(bvecs, stop, end, dirty);
		cond_resched();
	}
}
EXPORT_SYMBOL_GPL(unpin_user_bvecs);

/**
 * pin_run_end_bvec() - the run that a bio_vec begins
 * @bvec: the first bio_vec of a run, as unpin_user_bvecs() takes it
 * @end: end of the array
 *
 * Context: Any. The pages must be pinned.
 * Return: The bio_vec behind the run, or @end.
 */
const struct bio_vec *pin_run_end_bvec(const struct bio_vec *bvec,
				       const struct bio_vec *end)
{
	return bvec_run_end(bvec, end, bvec_folio(bvec));
}

/* For the formats that are arrays, see pin_runs_push() */
void pin_runs_push_array(struct pin_runs *runs, unsigned long pfn,
			 unsigned long nr_pages)
{
	unsigned long nr;

	if (runs->format == PIN_RUNS_PHYS) {
		runs->phys[runs->nr].paddr = PFN_PHYS(pfn);
		runs->phys[runs->nr++].len = (size_t)nr_pages << PAGE_SHIFT;
		return;
	}
	for (; nr_pages; pfn += nr, nr_pages -= nr) {
		nr = min(nr_pages, PIN_RUN_BVEC_PAGES);
		bvec_set_page(&runs->bvecs[runs->nr++], pfn_to_page(pfn),
			      nr << PAGE_SHIFT, 0);
	}
}

/*
 * How many of these pages would the chunk hold, as part of the open run or as
 * a run beside it? At the end of a chunk this may be less than all of them.
 */
unsigned long run_builder_fits(const struct run_builder *b, unsigned long pfn,
			       unsigned long nr_pages)
{
	enum pin_runs_format format = b->runs.format;
	u32 room = pin_runs_room(&b->runs);

	if (run_builder_continues(b, pfn))
		return room >= pin_run_bytes(format, b->open.pfn,
					     b->open.nr_pages + nr_pages) ?
		       nr_pages : 0;

	room = run_builder_room(b);
	if (room >= pin_run_bytes(format, pfn, nr_pages))
		return nr_pages;
	/* A part of them may fit an entry alone. */
	nr_pages = rounddown_pow_of_two(nr_pages);
	if (pfn)
		nr_pages = min(nr_pages, 1UL << __ffs(pfn));
	return room >= pin_run_bytes(format, pfn, nr_pages) ? nr_pages : 0;
}

/* Go on with a chunk that may have runs already: the last one is open again. */
void run_builder_resume(struct run_builder *b, const struct pin_runs *runs)
{
	struct folio *folio;
	struct pin_run run;

	run_builder_init(b, runs);
	if (!runs->nr)
		return;

	run = pin_runs_pop(&b->runs);
	folio = pfn_folio(run.pfn);
	run_builder_add(b, run.pfn, run.nr_pages, folio_end_pfn(folio));
}

/* Go on to the next run of a chunk, while this one is pinned. */
static void skip_run(const struct pin_runs *runs, struct pin_runs_iter *it)
{
	const struct bio_vec *bvec = runs->bvecs + it->i;
	struct pin_run run;

	pin_runs_next(runs, it, &run);
	if (runs->format == PIN_RUNS_BVEC)
		it->i = bvec_run_end(bvec, runs->bvecs + runs->nr,
				     bvec_folio(bvec)) - runs->bvecs;
}

/*
 * A section raced with fork(): go back to the checkpoint that was taken before
 * it. The run that was open then may have grown in the section, but still has
 * the pin that it had before.
 */
static void run_builder_rollback(struct run_builder *b,
				 const struct run_builder *checkpoint)
{
	struct pin_runs_iter it = {
		.i = checkpoint->runs.nr,
		.size = checkpoint->runs.nr_sizes,
	};

	run_builder_close(b);
	if (checkpoint->open.nr_pages)
		skip_run(&b->runs, &it);
	unpin_runs_from(&b->runs, it, UNPIN_CLEAN);
	*b = *checkpoint;
}

/*
 * Ordinary GUP pinned each of these pages: put them together to runs, and give
 * back all pins but one for each run. There is room for them in the chunk even
 * if each page is a run of its own.
 */
static void run_builder_add_pages(struct run_builder *b, struct page **pages,
				  unsigned long nr_pages)
{
	while (nr_pages) {
		struct folio *folio = page_folio(*pages);
		unsigned long pfn = page_to_pfn(*pages);
		unsigned long end = folio_end_pfn(folio);
		unsigned long nr = 1, extra;

		while (nr < nr_pages && pfn + nr < end &&
		       page_to_pfn(pages[nr]) == pfn + nr)
			nr++;

		extra = run_builder_continues(b, pfn) ? nr : nr - 1;
		run_builder_add(b, pfn, nr, end);
		if (extra)
			unpin_user_folio(folio, extra);
		pages += nr;
		nr_pages -= nr;
	}
}

static long pin_runs_slow(struct run_builder *b, unsigned long start,
			  unsigned long nr_pages, struct page **pages,
			  unsigned int gup_flags)
{
	unsigned long room = run_builder_room(b) /
			     pin_run_bytes(b->runs.format, 0, 1);
	long ret;

	/* Page tables end at such boundaries, where there are any. */
	nr_pages = min3(nr_pages, room,
			SLOW_PAGES - PFN_DOWN(start) % SLOW_PAGES);
	ret = gup_slow(start, nr_pages, pages, gup_flags);
	if (ret > 0)
		run_builder_add_pages(b, pages, ret);
	return ret;
}

static long __pin_user_runs(unsigned long start, unsigned long nr_pages,
			    unsigned int gup_flags, struct pin_runs *runs)
{
	const unsigned int allowed = FOLL_WRITE | FOLL_LONGTERM | FOLL_FORCE |
				     FOLL_NOFAULT | FOLL_PCI_P2PDMA |
				     FOLL_HONOR_NUMA_FAULT |
				     FOLL_INTERRUPTIBLE;
	struct run_builder checkpoint;
	struct gup_out out = { .pinned.item = NR_FOLL_PIN_ACQUIRED };
	struct page **pages = NULL;
	unsigned long len, end, addr;
	long ret = 0;

	if (WARN_ON_ONCE(gup_flags & ~(allowed | FOLL_FAST_ONLY)) ||
	    WARN_ON_ONCE((gup_flags & FOLL_LONGTERM) &&
			 (gup_flags & FOLL_PCI_P2PDMA)))
		return -EINVAL;

	start = untagged_addr(start) & PAGE_MASK;
	if (check_shl_overflow(nr_pages, PAGE_SHIFT, &len) ||
	    check_add_overflow(start, len, &end))
		return -EOVERFLOW;
	if (end > TASK_SIZE_MAX)
		return -EFAULT;

	if (!(gup_flags & FOLL_FAST_ONLY))
		might_lock_read(&current->mm->mmap_lock);
	gup_flags |= FOLL_PIN;

	run_builder_resume(&out.builder, runs);
	addr = start;
	while (addr < end) {
		if (gup_signal_pending(gup_flags)) {
			ret = -EINTR;
			break;
		}
		cond_resched();

		checkpoint = out.builder;
		out.nr = 0;
		out.budget = GUP_SECTION_ENTRIES;
		out.plenty = 0;
		out.full = false;
		if (likely(gup_fast_section(addr, end, gup_flags, &out))) {
			addr += out.nr << PAGE_SHIFT;
			if (out.nr && !out.full)
				continue;
		} else {
			/* Undone, and with it what made the chunk full */
			run_builder_rollback(&out.builder, &checkpoint);
			out.full = false;
		}

		if ((out.nr && out.full) || run_builder_room(&out.builder) <
		    pin_run_bytes(out.builder.runs.format, 0, 1)) {
			ret = -ENOSPC;
			break;
		}
		if (gup_flags & FOLL_FAST_ONLY) {
			ret = -EAGAIN;
			break;
		}
		if (!pages) {
			pages = (struct page **)__get_free_page(GFP_KERNEL);
			if (!pages) {
				ret = -ENOMEM;
				break;
			}
		}
		ret = pin_runs_slow(&out.builder, addr, (end - addr) >> PAGE_SHIFT,
				    pages, gup_flags);
		if (ret <= 0)
			break;
		addr += ret << PAGE_SHIFT;
	}
	free_page((unsigned long)pages);
	run_builder_close(&out.builder);
	*runs = out.builder.runs;

	return addr > start ? (addr - start) >> PAGE_SHIFT : ret;
}

/**
 * pin_user_runs_fast() - pin user memory as runs of folio pages
 * @start: user address, any address in the first page
 * @nr_pages: number of pages from there on
 * @gup_flags: FOLL_WRITE, FOLL_LONGTERM and others as for
 *	       pin_user_pages_fast(); FOLL_PIN is implied
 * @runs: chunk that the runs are appended to
 *
 * Pins memory of the current process as pin_user_pages_fast() does and by the
 * same rules, but returns runs: contiguous ranges of pages inside one folio,
 * each of which holds one pin whatever its length. A zero page is a run of its
 * own and holds no pin. The last run that is already in @runs grows if the
 * first page continues it.
 *
 * The call returns when all pages are pinned, when @runs is full, or when a
 * page cannot be pinned. A caller that wants more continues at @start plus the
 * returned number of pages, in another chunk or in this one once it has used
 * what is in it; if a page could not be pinned, that call returns the error.
 *
 * Interrupts are off for a bounded number of page table entries at a time, and
 * a fatal signal ends the call, as does any signal with FOLL_INTERRUPTIBLE.
 *
 * The runs have to be released with unpin_user_runs(), also if the caller gives
 * up halfway.
 *
 * Context: Process context, may sleep. Takes mmap_lock for reading if the walk
 *	    without locks does not succeed.
 * Return: Number of pages pinned, which is less than @nr_pages if the chunk is
 *	   full or a later page cannot be pinned. An error only if nothing was
 *	   pinned; @runs is as before then:
 *	   -EINVAL: a flag that is not allowed here, or FOLL_LONGTERM together
 *	   with FOLL_PCI_P2PDMA
 *	   -ENOSPC: @runs has no room for even one page
 *	   -EOVERFLOW: the range wraps around
 *	   -EFAULT: no memory mapped there, not accessible in that way, or
 *	   memory that must not be pinned like this
 *	   -EINTR, -EAGAIN: a fatal signal is pending, or with
 *	   FOLL_INTERRUPTIBLE any signal
 *	   -EOPNOTSUPP: FOLL_LONGTERM on a file system DAX mapping
 *	   -ENOMEM: no memory to fault it in, to migrate it to, or for the
 *	   temporary array
 *	   Others come from the fault, as from pin_user_pages().
 */
long pin_user_runs_fast(unsigned long start, unsigned long nr_pages,
			unsigned int gup_flags, struct pin_runs *runs)
{
	return __pin_user_runs(start, nr_pages, gup_flags, runs);
}
EXPORT_SYMBOL_GPL(pin_user_runs_fast);

/**
 * pin_user_runs_fast_only() - pin what can be pinned without sleeping for it
 * @start: user address, any address in the first page
 * @nr_pages: number of pages from there on
 * @gup_flags: as for pin_user_runs_fast()
 * @runs: chunk that the runs are appended to
 *
 * As pin_user_runs_fast(), but the call ends where the walk without locks does.
 * For those who must not have new pins while they wait for memory.
 *
 * Context: Process context. Gives way to others, but waits for nothing.
 * Return: As pin_user_runs_fast(), and -EAGAIN if the first page is not there,
 *	   has to be unshared or migrated, or must not be pinned.
 */
long pin_user_runs_fast_only(unsigned long start, unsigned long nr_pages,
			     unsigned int gup_flags, struct pin_runs *runs)
{
	return __pin_user_runs(start, nr_pages, gup_flags | FOLL_FAST_ONLY,
			       runs);
}

/**
 * fault_in_user_runs() - make pages present, and pin nothing
 * @start: user address of the first page
 * @nr_pages: number of pages from there on
 * @gup_flags: FOLL_WRITE for pages that will be pinned with it, and
 *	       FOLL_INTERRUPTIBLE
 *
 * For the users of pin_user_runs_fast_only(), where that cannot go on. The pages
 * may be gone again before they are pinned, and there are pages that have to be
 * pinned to be unshared or migrated.
 *
 * Context: Process context, may sleep. Takes mmap_lock for reading.
 * Return: 0 if some of the pages were made present, from the first one on, or
 *	   an error.
 */
int fault_in_user_runs(unsigned long start, unsigned long nr_pages,
		       unsigned int gup_flags)
{
	struct mm_struct *mm = current->mm;
	int locked = 1;
	long ret;

	if (!IS_ENABLED(CONFIG_MMU))
		return -EFAULT;
	start = untagged_addr(start) & PAGE_MASK;
	if (mmap_read_lock_killable(mm))
		return -EINTR;
	ret = faultin_page_range(mm, start, start + (nr_pages << PAGE_SHIFT),
				 gup_flags & (FOLL_WRITE | FOLL_INTERRUPTIBLE),
				 &locked);
	if (locked)
		mmap_read_unlock(mm);
	return ret > 0 ? 0 : ret ?: -EFAULT;
}
