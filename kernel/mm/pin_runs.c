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
 * state that the builder had before it is known, to go back there if the section
 * has to be undone.
 *
 * The run at the end of what was found so far is *open*. It is pinned, and
 * the next entry may make it longer, at no cost but reading that entry. It goes
 * into the chunk when something else follows. So runs are maximal within a
 * chunk; two chunks may meet inside a folio, and then each has its own pin.
 *
 * Where the walk cannot go on, because a page is not there, has to be unshared
 * or is in memory that must not be pinned for long, ordinary GUP takes over: for
 * a few pages at first, and for more where the walk does not get far behind
 * them. It pins each page into a temporary array, and what it returns is put
 * together like what the walk finds. Nothing here allocates memory but that
 * array, and a small one does where there is no memory for it.
 *
 * There is one thing that page tables do not tell: whether a page that is no
 * anonymous one and mapped read-only may be pinned for long, because its mapping
 * is never copied on write. Who asks for such pages gets sections that hold the
 * lock of the VMA.
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
unsigned long gup_nr_leaves, gup_section_start, gup_longest_section;
#endif

/* Pages that ordinary GUP pins at a time: at first, and without an allocation */
#define SLOW_PAGES_FIRST	8
#define SLOW_PAGES_STACK	16

/*
 * The most: those of a page table whose entries have 64 bits, for which one page
 * has room for the pointers
 */
#define SLOW_PAGES		(PAGE_SIZE / sizeof(u64))

/* Entries that are released before others get their turn */
#define UNPIN_BATCH	1024

/*
 * struct slow_pins - how ordinary GUP has been called in this call
 * @pages: what its array is, or NULL
 * @nr: pages that it was called for last, or 0
 * @fast: pages that the walk has found since
 */
struct slow_pins {
	struct page	**pages;
	unsigned long	nr;
	unsigned long	fast;
};

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

static __always_inline void unpin_run(struct page *page, unsigned long pfn,
				      unsigned long pins, enum unpin_dirty dirty,
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
	gup_pin_stat_add(released, folio, pins);
	gup_put_pins(folio, pins);
}

static __always_inline void unpin_bvecs(const struct bio_vec *bvec,
					const struct bio_vec *end,
					enum unpin_dirty dirty)
{
	struct gup_pin_stat released;

	gup_pin_stat_init(&released, NR_FOLL_PIN_RELEASED);
	for (; bvec < end; bvec++)
		unpin_run(bvec->bv_page, page_to_pfn(bvec->bv_page), 1, dirty,
			  &released);
	gup_pin_stat_flush(&released);
}

static __always_inline void __unpin_runs(const struct pin_runs *runs,
					 struct pin_runs_iter *it, u32 end,
					 enum unpin_dirty dirty)
{
	struct gup_pin_stat released;
	/* For the compiler, which knows the format in each loop. */
	struct pin_runs r = *runs;
	struct pin_run run;

	if (r.format == PIN_RUNS_BVEC && !r.per_page) {
		unpin_bvecs(r.bvecs + it->i, r.bvecs + end, dirty);
		it->i = end;
		return;
	}

	gup_pin_stat_init(&released, NR_FOLL_PIN_RELEASED);
	r.nr = end;
	if (r.format == PIN_RUNS_PFN && !r.per_page) {
		r.format = PIN_RUNS_PFN;
		while (pin_runs_next(&r, it, &run))
			unpin_run(pfn_to_page(run.pfn), run.pfn, 1, dirty,
				  &released);
	} else {
		while (pin_runs_next(&r, it, &run))
			unpin_run(pfn_to_page(run.pfn), run.pfn,
				  r.per_page ? run.nr_pages : 1, dirty,
				  &released);
	}
	gup_pin_stat_flush(&released);
}

/* Release the runs from @it up to the entry @end. */
static void unpin_runs(const struct pin_runs *runs, struct pin_runs_iter *it,
		       u32 end, enum unpin_dirty dirty)
{
	if (dirty == UNPIN_CLEAN)
		__unpin_runs(runs, it, end, UNPIN_CLEAN);
	else
		__unpin_runs(runs, it, end, dirty);
}

/**
 * unpin_user_runs() - release all runs of a chunk
 * @runs: the chunk, filled by pin_user_runs_fast(); empty afterwards
 * @dirty: whether the folios are marked dirty before, and how
 *
 * For chunks of a size that one may go through without a break: it does not
 * give way to others.
 *
 * Context: Any that is allowed to free memory; may sleep if @dirty is
 *	    UNPIN_DIRTY_LOCK.
 */
void unpin_user_runs(struct pin_runs *runs, enum unpin_dirty dirty)
{
	struct pin_runs_iter it = { };

	unpin_runs(runs, &it, runs->nr, dirty);
	runs->nr = 0;
	runs->nr_sizes = 0;
}

/* The same for any number of runs, and so in process context */
void unpin_user_runs_resched(struct pin_runs *runs, enum unpin_dirty dirty)
{
	struct pin_runs_iter it = { };

	while (it.i < runs->nr) {
		unpin_runs(runs, &it, it.i + min(runs->nr - it.i, UNPIN_BATCH),
			   dirty);
		cond_resched();
	}
	runs->nr = 0;
	runs->nr_sizes = 0;
}

/**
 * unpin_user_bvecs() - release runs that are in an array of bio_vecs
 * @bvecs: the array
 * @nr_bvecs: number of entries
 * @dirty: whether the folios are marked dirty before, and how
 *
 * One pin for each entry, wherever it came from and whatever is beside it. Not
 * for runs that have a pin for each page.
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
		if (dirty == UNPIN_CLEAN)
			unpin_bvecs(bvecs, stop, UNPIN_CLEAN);
		else
			unpin_bvecs(bvecs, stop, dirty);
		bvecs = stop;
		cond_resched();
	}
}

/**
 * repin_user_run() - take more pins on a run that is pinned
 * @pfn: a page of it
 * @pins: how many
 *
 * For a caller that makes several entries of one, or hands a part of it to
 * somebody who will release that: each of them needs a pin. What the first pin
 * was taken for goes for all of them.
 *
 * Context: Any. The caller has a pin on that folio, and keeps it until then.
 * Return: 0, or -ENOMEM if the folio has as many pins as can be counted; none
 *	   is taken then.
 */
int repin_user_run(unsigned long pfn, unsigned int pins)
{
	struct folio *folio = pfn_folio(pfn);
	s64 refs = folio_has_pincount(folio) ? pins :
		   (s64)pins * GUP_PIN_COUNTING_BIAS;

	if (is_zero_pfn(pfn))
		return 0;
	/* Others may do the same at this time. */
	if (refs > INT_MAX / 2 - folio_ref_count(folio))
		return -ENOMEM;
	return try_grab_folio(folio, pins, FOLL_PIN | FOLL_PCI_P2PDMA);
}

/* Room left once the open run is in the chunk as it is */
static u32 run_builder_room(const struct run_builder *b)
{
	u32 room = pin_runs_room(&b->runs);

	if (b->open.nr_pages)
		room -= pin_run_bytes(b->runs.format, b->open.pfn,
				      b->open.nr_pages);
	return room;
}

/*
 * How many of these pages would the chunk hold, as part of the open run or as
 * a run beside it? At the end of a chunk this may be less than all of them. What
 * is known of the room is brought up to date. They take no more than @bytes.
 */
unsigned long run_builder_fits(struct run_builder *b, unsigned long pfn,
			       unsigned long nr_pages, u32 bytes)
{
	enum pin_runs_format format = b->runs.format;
	u32 room;

	run_builder_count_room(b);
	if (run_builder_ask(b, bytes))
		return nr_pages;

	if (run_builder_continues(b, pfn))
		return pin_runs_room(&b->runs) >=
		       pin_run_bytes(format, b->open.pfn,
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

/* Is the last entry what was pinned, and not made smaller by the caller? */
static bool last_is_whole(const struct pin_runs *runs)
{
	u32 last = runs->nr - 1;

	switch (runs->format) {
	case PIN_RUNS_BVEC:
		return !runs->bvecs[last].bv_offset &&
		       PAGE_ALIGNED(runs->bvecs[last].bv_len);
	case PIN_RUNS_PHYS:
		return PAGE_ALIGNED(runs->phys[last].paddr | runs->phys[last].len);
	default:
		return true;
	}
}

/* Take the last run out of the chunk again, if it may grow. */
void run_builder_reopen(struct run_builder *b)
{
	struct pin_run run;

	if (!last_is_whole(&b->runs))
		return;
	run = pin_runs_pop(&b->runs);
	if (is_zero_pfn(run.pfn))
		run_builder_add_small(b, run.pfn);
	else
		run_builder_add(b, run.pfn, run.nr_pages,
				folio_end_pfn(pfn_folio(run.pfn)));
	run_builder_count_room(b);
}

/*
 * A section raced with fork(): go back to the mark that was made before it. The
 * run that was open then may have grown in the section, but still has the pin
 * that it had before, or those of the pages that it had.
 */
static void run_builder_rollback(struct run_builder *b,
				 const struct run_mark *mark)
{
	struct pin_runs_iter it = {
		.i = mark->nr,
		.size = mark->nr_sizes,
	};
	struct pin_run run;

	run_builder_close(b);
	if (mark->open.nr_pages) {
		pin_runs_next(&b->runs, &it, &run);
		if (b->runs.per_page && run.nr_pages > mark->open.nr_pages)
			unpin_user_folio(pfn_folio(run.pfn),
					 run.nr_pages - mark->open.nr_pages);
	}
	unpin_runs(&b->runs, &it, b->runs.nr, UNPIN_CLEAN);
	b->runs.nr = mark->nr;
	b->runs.nr_sizes = mark->nr_sizes;
	b->open = mark->open;
	b->open_end = mark->open_end;
	run_builder_count_room(b);
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
		unsigned long max = min(nr_pages, run_builder_reach(b, pfn));
		unsigned long nr = 1, extra;

		while (nr < max && pfn + nr < end &&
		       page_to_pfn(pages[nr]) == pfn + nr)
			nr++;

		extra = run_builder_continues(b, pfn) ? nr : nr - 1;
		run_builder_add(b, pfn, nr, end);
		if (extra && !b->runs.per_page)
			unpin_user_folio(folio, extra);
		pages += nr;
		nr_pages -= nr;
	}
	run_builder_count_room(b);
}

/*
 * How many pages ordinary GUP is called for: few, as most often it is one that
 * is in the way; twice as many if the walk found less than the last time took.
 */
static void slow_pins_next(struct slow_pins *slow, gfp_t gfp)
{
	if (slow->nr && slow->fast < slow->nr)
		slow->nr = min(2 * slow->nr, SLOW_PAGES);
	else
		slow->nr = SLOW_PAGES_FIRST;
	slow->fast = 0;

	if (slow->nr <= SLOW_PAGES_STACK || slow->pages)
		return;
	slow->pages = (struct page **)__get_free_page(gfp | __GFP_NOWARN);
	if (!slow->pages)
		slow->nr = SLOW_PAGES_STACK;
}

static noinline long pin_runs_slow(struct run_builder *b, unsigned long start,
				   unsigned long nr_pages, unsigned int gup_flags,
				   gfp_t gfp, struct slow_pins *slow)
{
	struct page *few[SLOW_PAGES_STACK];
	unsigned long room = run_builder_room(b) / b->least;
	struct page **pages;
	long ret;

	slow_pins_next(slow, gfp);
	/* Page tables end at such boundaries, where there are any. */
	nr_pages = min3(nr_pages, room,
			SLOW_PAGES - PFN_DOWN(start) % SLOW_PAGES);
	nr_pages = min(nr_pages, slow->nr);
	pages = nr_pages <= ARRAY_SIZE(few) ? few : slow->pages;
	ret = gup_slow(start, nr_pages, pages, gup_flags);
	if (ret > 0)
		run_builder_add_pages(b, pages, ret);
	/* Nothing, and no reason: for whom there is none, there is no memory. */
	return ret ?: -EFAULT;
}

/*
 * The lock of the VMA, if page tables of it may be trusted not to have pages
 * that are replaced by copies when they are written to. What ordinary GUP does
 * not pin for reading is left to it.
 */
static struct vm_area_struct *lock_vma_not_cow(unsigned long addr)
{
	struct vm_area_struct *vma = lock_vma_under_rcu(current->mm, addr);

	if (vma && (vma_is_cow_mapping(vma) ||
		    (vma->vm_flags & (VM_READ | VM_IO | VM_PFNMAP)) != VM_READ)) {
		vma_end_read(vma);
		return NULL;
	}
	return vma;
}

/* A section that holds the lock of its VMA if that can be of use */
static noinline bool pin_section_in_vma(unsigned long addr, unsigned long end,
					unsigned int gup_flags,
					struct gup_out *out)
{
	struct vm_area_struct *vma = lock_vma_not_cow(addr);
	bool ok;

	if (!vma)
		return gup_fast_section(addr, end, gup_flags, out);
	out->no_cow = true;
	end = min(end, vma->vm_end);
	ok = gup_fast_section(addr, end, gup_flags, out);
	if (addr + (out->nr << PAGE_SHIFT) == end)
		out->stop = true;
	out->no_cow = false;
	vma_end_read(vma);
	return ok;
}

static void gup_out_begin_section(struct gup_out *out)
{
	out->nr = 0;
	out->budget = GUP_SECTION_ENTRIES;
	out->stop = false;
	out->full = false;
}

/*
 * There is more to do than a section could: go on from what that found, if it
 * was @ok, and see to what is in the way. @mark is the state from before it.
 * Returns the number of pages, those of that section included, or an error.
 */
static noinline long pin_runs_rest(struct gup_out *out, struct run_mark *mark,
				   bool ok, unsigned long start,
				   unsigned long end, unsigned int gup_flags,
				   gfp_t gfp)
{
	struct slow_pins slow = { };
	unsigned long addr = start;
	bool asked = false, tight;
	long ret;

	for (;;) {
		if (unlikely(!ok)) {
			run_builder_rollback(&out->builder, mark);
			/* Undone, and with it what made the chunk full */
			out->nr = 0;
			out->stop = false;
			out->full = false;
		}
		ret = 0;
		addr += out->nr << PAGE_SHIFT;
		if (addr == end)
			break;

		slow.fast += out->nr;
		tight = run_builder_room(&out->builder) < out->builder.least;
		/* What is open may get longer in a chunk without room. */
		if ((out->nr && out->full) ||
		    (tight && !out->builder.open.nr_pages)) {
			ret = -ENOSPC;
			break;
		}
		/* No obstacle ... */
		if (out->nr && (out->stop || !out->budget))
			goto next;
		/* ... or one that may be none in a section that holds a lock */
		if (ok && out->ask_vma != asked)
			goto next;
		if (tight) {
			ret = -ENOSPC;
			break;
		}
		if (gup_flags & FOLL_FAST_ONLY) {
			ret = -EAGAIN;
			break;
		}

		ret = pin_runs_slow(&out->builder, addr,
				    (end - addr) >> PAGE_SHIFT, gup_flags, gfp,
				    &slow);
		if (ret < 0)
			break;
		addr += ret << PAGE_SHIFT;
		if (addr == end)
			break;
next:
		cond_resched();
		if (gup_signal_pending(gup_flags)) {
			ret = -EINTR;
			break;
		}
		gup_out_begin_section(out);
		run_builder_mark(&out->builder, mark);
		asked = out->ask_vma;
		ok = unlikely(asked) ?
		     pin_section_in_vma(addr, end, gup_flags, out) :
		     gup_fast_section(addr, end, gup_flags, out);
	}
	if (unlikely(slow.pages))
		free_page((unsigned long)slow.pages);

	return addr > start ? (addr - start) >> PAGE_SHIFT : ret;
}

/**
 * pin_user_runs_fast() - pin user memory as runs of folio pages
 * @start: user address, any address in the first page
 * @nr_pages: number of pages from there on
 * @gup_flags: FOLL_WRITE, FOLL_LONGTERM and others as for
 *	       pin_user_pages_fast(); FOLL_PIN is implied
 * @gfp: for a temporary array of a page, where there are many pages that cannot
 *	 be pinned without locks
 * @runs: chunk that the runs are appended to
 *
 * Pins memory of the current process as pin_user_pages_fast() does and by the
 * same rules, but returns runs: contiguous ranges of pages inside one folio,
 * each of which holds one pin whatever its length, or one for each page if
 * @runs says so. A zero page is a run of its own and holds no pin. The last run
 * that is already in @runs grows if the first page continues it, unless the
 * caller has cut it to less than whole pages.
 *
 * The call returns when all pages are pinned, when @runs is full, or when a
 * page cannot be pinned. A caller that wants more continues at @start plus the
 * returned number of pages, in another chunk or in this one once it has used
 * what is in it; if a page could not be pinned, that call returns the error.
 *
 * Interrupts are off for a bounded number of page table entries at a time, and
 * a fatal signal ends the call where it would go on or wait, as does any signal
 * with FOLL_INTERRUPTIBLE. With FOLL_LONGTERM it ends a call at once.
 *
 * The runs have to be released with unpin_user_runs(), also if the caller gives
 * up halfway.
 *
 * Context: Process context, may sleep. Takes mmap_lock for reading if the walk
 *	    without locks does not succeed.
 * Return: Number of pages pinned, which is less than @nr_pages if the chunk is
 *	   full or a later page cannot be pinned; 0 only if @nr_pages is. An
 *	   error only if nothing was pinned; @runs is as before then:
 *	   -EINVAL: a flag that is not allowed here, or FOLL_LONGTERM together
 *	   with FOLL_PCI_P2PDMA
 *	   -ENOSPC: @runs has no room for even one page
 *	   -EOVERFLOW: the range wraps around
 *	   -EFAULT: no memory mapped there, not accessible in that way, or
 *	   memory that must not be pinned like this
 *	   -EINTR, -EAGAIN: a fatal signal is pending, or with
 *	   FOLL_INTERRUPTIBLE any signal
 *	   -EOPNOTSUPP: FOLL_LONGTERM on a file system DAX mapping
 *	   -ENOMEM: no memory to fault it in or to migrate it to
 *	   Others come from the fault, as from pin_user_pages().
 */
long pin_user_runs_fast(unsigned long start, unsigned long nr_pages,
			unsigned int gup_flags, gfp_t gfp, struct pin_runs *runs)
{
	const unsigned int allowed = FOLL_WRITE | FOLL_LONGTERM | FOLL_FORCE |
				     FOLL_NOFAULT | FOLL_PCI_P2PDMA |
				     FOLL_HONOR_NUMA_FAULT |
				     FOLL_INTERRUPTIBLE | FOLL_FAST_ONLY;
	struct gup_out out __uninitialized;
	struct run_mark mark __uninitialized;
	unsigned long len, end;
	bool ok;

	if (WARN_ON_ONCE(gup_flags & ~allowed) ||
	    WARN_ON_ONCE((gup_flags & FOLL_LONGTERM) &&
			 (gup_flags & FOLL_PCI_P2PDMA)))
		return -EINVAL;

	start = untagged_addr(start) & PAGE_MASK;
	if (check_shl_overflow(nr_pages, PAGE_SHIFT, &len) ||
	    check_add_overflow(start, len, &end))
		return -EOVERFLOW;
	if (end > TASK_SIZE_MAX)
		return -EFAULT;
	if (!nr_pages)
		return 0;

	if (!(gup_flags & FOLL_FAST_ONLY))
		might_lock_read(&current->mm->mmap_lock);
	/* For long it may be much, and one of many calls. */
	if (gup_flags & FOLL_LONGTERM && gup_signal_pending(gup_flags))
		return -EINTR;
	gup_flags |= FOLL_PIN;

	run_builder_resume(&out.builder, runs, nr_pages);
	if (unlikely(runs->nr))
		run_builder_mark(&out.builder, &mark);
	out.no_cow = false;
	out.ask_vma = false;
	gup_out_begin_section(&out);
	/* Most often that is all there is to do. */
	ok = gup_fast_section(start, end, gup_flags, &out);
	if (unlikely(!ok || out.nr != nr_pages)) {
		if (!runs->nr)
			mark = (struct run_mark){ };
		nr_pages = pin_runs_rest(&out, &mark, ok, start, end, gup_flags,
					 gfp);
	}
	run_builder_close(&out.builder);
	runs->nr = out.builder.runs.nr;
	runs->nr_sizes = out.builder.runs.nr_sizes;

	return nr_pages;
}

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
 *	   has to be unshared or migrated, or must not be pinned, or if a fork()
 *	   got in the way; without GUP-fast always.
 */
long pin_user_runs_fast_only(unsigned long start, unsigned long nr_pages,
			     unsigned int gup_flags, struct pin_runs *runs)
{
	return pin_user_runs_fast(start, nr_pages, gup_flags | FOLL_FAST_ONLY,
				  0, runs);
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
#ifdef CONFIG_MMU
	struct mm_struct *mm = current->mm;
	unsigned int flags;
	int locked = 1;
	long ret;

	start = untagged_addr(start) & PAGE_MASK;
	if (mmap_read_lock_killable(mm))
		return -EINTR;
	/* New pages are where they can stay. */
	flags = memalloc_pin_save();
	ret = faultin_page_range(mm, start, start + (nr_pages << PAGE_SHIFT),
				 gup_flags & (FOLL_WRITE | FOLL_INTERRUPTIBLE),
				 &locked);
	memalloc_pin_restore(flags);
	if (locked)
		mmap_read_unlock(mm);
	return ret > 0 ? 0 : ret ?: -EFAULT;
#else
	return -EFAULT;
#endif
}
