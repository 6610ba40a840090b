// SPDX-License-Identifier: GPL-2.0
/*
 * Pinned user memory as a scatterlist, and as a chunk that the callee allocates
 *
 * Both are made of calls of pin_user_runs_fast().
 *
 * Entries of a scatterlist are merged where the memory is contiguous, also from
 * one folio to the next. Each folio in an entry has one pin, unless its pages
 * continue those at the end of the entry before: an entry has a maximum size,
 * which may cut a run.
 */
#include <linux/export.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/pin_runs.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>

#include "internal.h"
#include "pin_runs.h"

/* Does the run go on in the folio that the table ends in, and where it ends? */
static bool run_continues_sg(const struct sg_append_table *append,
			     unsigned long pfn)
{
	phys_addr_t end;

	if (!append->prv)
		return false;
	end = sg_phys(append->prv) + append->prv->length;
	return PFN_PHYS(pfn) == end && pfn_folio(pfn) == pfn_folio(pfn - 1);
}

/**
 * unpin_user_sg() - release what pin_user_sg() returned
 * @append: the table, also if pin_user_sg() failed; empty afterwards
 * @dirty: whether the folios are marked dirty before, and how
 *
 * Context: Any that is allowed to free memory; may sleep if @dirty is
 *	    UNPIN_DIRTY_LOCK.
 */
void unpin_user_sg(struct sg_append_table *append, enum unpin_dirty dirty)
{
	struct gup_pin_stat released = { .item = NR_FOLL_PIN_RELEASED };
	unsigned long next = 0, next_end = 0;
	struct scatterlist *sg;
	unsigned int i;

	for_each_sgtable_sg(&append->sgt, sg, i) {
		unsigned long pfn = page_to_pfn(sg_page(sg));
		unsigned long end = pfn + PFN_UP(sg->offset + sg->length);

		/*
		 * The folio at the end of the entry before has been released,
		 * so its bounds are those that it had then.
		 */
		if (pfn == next && pfn < next_end)
			pfn = min(end, next_end);
		while (pfn < end) {
			struct page *page = pfn_to_page(pfn);
			struct folio *folio = page_folio(page);

			next_end = folio_end_pfn(folio);
			if (dirty != UNPIN_CLEAN)
				pin_run_make_dirty(folio, dirty);
			gup_put_run(folio, &released);
			pfn = min(end, next_end);
		}
		next = end;
	}
	gup_pin_stat_flush(&released);
	sg_free_append_table(append);
	memset(append, 0, sizeof(*append));
}
EXPORT_SYMBOL_GPL(unpin_user_sg);

/* Append a chunk; its runs belong to the table or are released. */
static int append_runs(struct sg_append_table *append, struct pin_runs *runs,
		       unsigned int *offset, size_t *len,
		       unsigned int max_segment)
{
	struct pin_runs_iter it = { };
	struct pin_run run;
	int ret = 0;

	while (pin_runs_next(runs, &it, &run)) {
		struct page *page = pfn_to_page(run.pfn);
		size_t bytes = min(*len, (run.nr_pages << PAGE_SHIFT) - *offset);
		bool shared = run_continues_sg(append, run.pfn);

		if (!ret)
			ret = sg_alloc_append_table_from_range(append, page,
							       *offset, bytes,
							       max_segment,
							       bytes < *len,
							       GFP_KERNEL);
		if (ret || shared)
			unpin_user_folio(page_folio(page), 1);
		*offset = 0;
		*len -= bytes;
	}
	return ret;
}

/**
 * pin_user_sg() - pin user memory and return it as a scatterlist
 * @start: user address
 * @len: number of bytes
 * @gup_flags: as for pin_user_runs_fast()
 * @max_segment: maximum size of an entry in bytes, at least a page
 * @append: empty table, all zero; filled by the call
 *
 * All of the range is pinned, or nothing. The table is released with
 * unpin_user_sg().
 *
 * Context: Process context, may sleep. Takes mmap_lock for reading if the walk
 *	    without locks does not succeed.
 * Return: 0, or what pin_user_runs_fast() returns; -EINVAL if @len is 0;
 *	   -ENOMEM if there is no memory for the table; -EOPNOTSUPP if the table
 *	   needs to be chained on an architecture that cannot do that.
 */
int pin_user_sg(unsigned long start, size_t len, unsigned int gup_flags,
		unsigned int max_segment, struct sg_append_table *append)
{
	unsigned int offset = offset_in_page(start);
	struct pin_runs runs;
	unsigned long end;
	void *buf;
	int ret;

	if (!len || max_segment < PAGE_SIZE)
		return -EINVAL;
	if (check_add_overflow(start, len, &end))
		return -EOVERFLOW;
	buf = (void *)__get_free_page(GFP_KERNEL);
	if (!buf)
		return -ENOMEM;

	do {
		unsigned long nr_pages = PFN_UP(end) - PFN_DOWN(start);
		long pinned;

		pin_runs_init(&runs, buf, PAGE_SIZE);
		pinned = pin_user_runs_fast(start, nr_pages, gup_flags, &runs);
		if (pinned <= 0) {
			ret = pinned ?: -EFAULT;
			break;
		}
		ret = append_runs(append, &runs, &offset, &len, max_segment);
		start += pinned << PAGE_SHIFT;
	} while (!ret && len);

	free_page((unsigned long)buf);
	if (ret)
		unpin_user_sg(append, UNPIN_CLEAN);
	return ret;
}
EXPORT_SYMBOL_GPL(pin_user_sg);

/* A larger buffer for a chunk of packed PFNs */
static int pin_runs_grow(struct pin_runs *runs)
{
	u32 bytes = runs->bytes * 2, sizes = runs->nr_sizes * sizeof(u32);
	struct pin_runs larger;
	void *buf;

	/* What kvmalloc() allows */
	if (bytes > INT_MAX)
		return -E2BIG;
	buf = kvmalloc(bytes, GFP_KERNEL);
	if (!buf)
		return -ENOMEM;

	pin_runs_init(&larger, buf, bytes);
	larger.nr = runs->nr;
	larger.nr_sizes = runs->nr_sizes;
	memcpy(larger.entries, runs->entries, runs->nr * sizeof(u64));
	memcpy(buf + bytes - sizes, (void *)runs->entries + runs->bytes - sizes,
	       sizes);
	kvfree(runs->entries);
	*runs = larger;
	return 0;
}

/**
 * pin_user_runs_alloc() - pin user memory as runs, with a chunk of any size
 * @start: user address, any address in the first page
 * @nr_pages: number of pages from there on
 * @gup_flags: as for pin_user_runs_fast()
 * @runs: returns all runs in one chunk of packed PFNs
 *
 * For callers that do not want to handle chunks. All of the range is pinned, or
 * nothing. What is returned belongs to the caller, and is released with
 * unpin_user_runs_free().
 *
 * Context: Process context, may sleep. Takes mmap_lock for reading if the walk
 *	    without locks does not succeed.
 * Return: 0, or what pin_user_runs_fast() returns, or -ENOMEM or -E2BIG if the
 *	   chunk would be too large.
 */
int pin_user_runs_alloc(unsigned long start, unsigned long nr_pages,
			unsigned int gup_flags, struct pin_runs *runs)
{
	u32 bytes = clamp(nr_pages, 1, PAGE_SIZE / sizeof(u64)) * sizeof(u64);
	void *buf = kvmalloc(bytes, GFP_KERNEL);
	long ret = 0;

	if (!buf)
		return -ENOMEM;
	pin_runs_init(runs, buf, bytes);
	while (nr_pages && ret >= 0) {
		ret = pin_user_runs_fast(start, nr_pages, gup_flags, runs);
		if (ret == -ENOSPC) {
			ret = pin_runs_grow(runs);
		} else if (ret > 0) {
			start += ret << PAGE_SHIFT;
			nr_pages -= ret;
		}
	}
	if (ret < 0)
		unpin_user_runs_free(runs, UNPIN_CLEAN);
	return min(ret, 0);
}
EXPORT_SYMBOL_GPL(pin_user_runs_alloc);

/**
 * unpin_user_runs_free() - release what pin_user_runs_alloc() returned
 * @runs: the chunk; it may not be used any more
 * @dirty: whether the folios are marked dirty before, and how
 *
 * Context: Process context.
 */
void unpin_user_runs_free(struct pin_runs *runs, enum unpin_dirty dirty)
{
	unpin_user_runs(runs, dirty);
	kvfree(runs->entries);
	runs->entries = NULL;
	runs->bytes = 0;
}
EXPORT_SYMBOL_GPL(unpin_user_runs_free);
