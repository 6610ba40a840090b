// SPDX-License-Identifier: GPL-2.0
/*
 * Pinned user memory as a scatterlist, and as a chunk that the callee allocates
 *
 * Both are made of calls of pin_user_runs_fast().
 *
 * An entry of a scatterlist is a run, with its pin, and so entries are not merged
 * where memory is contiguous from one folio to the next. Where the maximum size
 * of an entry cuts a run, each part gets a pin of its own.
 */
#include <linux/export.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/pin_runs.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>

#include "internal.h"
#include "pin_runs.h"

/* Entries that are released before others get their turn */
#define UNPIN_SG_BATCH		1024

/**
 * unpin_user_sg() - release what pin_user_sg() returned
 * @append: the table, also if pin_user_sg() failed; empty afterwards
 * @dirty: whether the folios are marked dirty before, and how
 *
 * Context: Process context, may sleep: there is no limit to the number of runs.
 */
void unpin_user_sg(struct sg_append_table *append, enum unpin_dirty dirty)
{
	struct gup_pin_stat released;
	struct scatterlist *sg;
	unsigned int i;

	gup_pin_stat_init(&released, NR_FOLL_PIN_RELEASED);
	for_each_sgtable_sg(&append->sgt, sg, i) {
		struct folio *folio = page_folio(sg_page(sg));

		if (dirty != UNPIN_CLEAN)
			pin_run_make_dirty(folio, dirty);
		gup_put_run(folio, 1, &released);
		if (i % UNPIN_SG_BATCH == UNPIN_SG_BATCH - 1) {
			gup_pin_stat_flush(&released);
			gup_pin_stat_init(&released, NR_FOLL_PIN_RELEASED);
			cond_resched();
		}
	}
	gup_pin_stat_flush(&released);
	sg_free_append_table(append);
	memset(append, 0, sizeof(*append));
}
EXPORT_SYMBOL_GPL(unpin_user_sg);

/*
 * Append a run, from @offset on and up to @len bytes, as one or more entries.
 * Returns the number of bytes, or an error; the pin that the run came with is
 * the table's in any case but that.
 */
static ssize_t append_run(struct sg_append_table *append,
			  const struct pin_run *run, unsigned int offset,
			  size_t len, unsigned int max_segment, gfp_t gfp)
{
	size_t bytes = min(len, (run->nr_pages << PAGE_SHIFT) - offset);
	size_t done = 0;
	int ret;

	while (done < bytes) {
		size_t pos = offset + done, part;

		part = min(bytes - done, max_segment - offset_in_page(pos));
		ret = done ? repin_user_run(run->pfn, 1) : 0;
		if (ret)
			break;
		/* What is left may be an entry for each page. */
		ret = sg_append_table_add(append,
					  pfn_to_page(run->pfn + (pos >> PAGE_SHIFT)),
					  part, offset_in_page(pos),
					  PFN_UP(len - done - part), gfp);
		if (ret) {
			unpin_user_folio(pfn_folio(run->pfn), 1);
			break;
		}
		done += part;
	}
	return done == bytes ? bytes : ret;
}

/* Append a chunk; its runs belong to the table or are released. */
static int append_runs(struct sg_append_table *append, struct pin_runs *runs,
		       unsigned int offset, size_t *len,
		       unsigned int max_segment, gfp_t gfp)
{
	struct pin_runs_iter it = { };
	struct pin_run run;
	ssize_t ret = 0;

	while (pin_runs_next(runs, &it, &run)) {
		if (ret < 0) {
			unpin_user_folio(pfn_folio(run.pfn), 1);
			continue;
		}
		ret = append_run(append, &run, offset, *len, max_segment, gfp);
		if (ret > 0)
			*len -= ret;
		offset = 0;
	}
	return min(ret, 0);
}

/**
 * pin_user_sg() - pin user memory and return it as a scatterlist
 * @start: user address
 * @len: number of bytes
 * @gup_flags: as for pin_user_runs_fast()
 * @max_segment: maximum size of an entry in bytes, at least a page
 * @gfp: for the table and a temporary buffer of a page
 * @append: empty table, all zero; filled by the call
 *
 * All of the range is pinned, or nothing. An entry is a run or a part of one, and
 * has one pin. The table is released with unpin_user_sg().
 *
 * Context: Process context, may sleep. Takes mmap_lock for reading if the walk
 *	    without locks does not succeed.
 * Return: 0, or what pin_user_runs_fast() returns; -EINVAL if @len is 0, or
 *	   @max_segment less than a page;
 *	   -ENOMEM if there is no memory for the table; -EOPNOTSUPP if the table
 *	   needs to be chained on an architecture that cannot do that.
 */
int pin_user_sg(unsigned long start, size_t len, unsigned int gup_flags,
		unsigned int max_segment, gfp_t gfp,
		struct sg_append_table *append)
{
	struct pin_runs runs;
	unsigned long end;
	void *buf;
	int ret;

	max_segment = ALIGN_DOWN(max_segment, PAGE_SIZE);
	if (!len || !max_segment)
		return -EINVAL;
	if (check_add_overflow(start, len, &end))
		return -EOVERFLOW;
	buf = (void *)__get_free_page(gfp);
	if (!buf)
		return -ENOMEM;

	do {
		unsigned long nr_pages = PFN_UP(end) - PFN_DOWN(start);
		long pinned;

		pin_runs_init(&runs, buf, PAGE_SIZE);
		pinned = pin_user_runs_fast(start, nr_pages, gup_flags, gfp, &runs);
		if (pinned < 0) {
			ret = pinned;
			break;
		}
		ret = append_runs(append, &runs, offset_in_page(start), &len,
				  max_segment, gfp);
		start = (start & PAGE_MASK) + (pinned << PAGE_SHIFT);
		cond_resched();
	} while (!ret && len);

	free_page((unsigned long)buf);
	if (ret)
		unpin_user_sg(append, UNPIN_CLEAN);
	return ret;
}
EXPORT_SYMBOL_GPL(pin_user_sg);

/* Another buffer for a chunk of packed PFNs, which has room for what is in it */
static int pin_runs_resize(struct pin_runs *runs, u32 bytes, gfp_t gfp)
{
	u32 sizes = runs->nr_sizes * sizeof(u32);
	struct pin_runs other;
	void *buf;

	/* What kvmalloc() allows */
	if (bytes > INT_MAX)
		return -E2BIG;
	buf = kvmalloc(bytes, gfp);
	if (!buf)
		return -ENOMEM;

	pin_runs_init(&other, buf, bytes);
	other.nr = runs->nr;
	other.nr_sizes = runs->nr_sizes;
	memcpy(other.entries, runs->entries, runs->nr * sizeof(u64));
	memcpy(buf + bytes - sizes, (void *)runs->entries + runs->bytes - sizes,
	       sizes);
	kvfree(runs->entries);
	*runs = other;
	return 0;
}

/**
 * pin_user_runs_alloc() - pin user memory as runs, with a chunk of any size
 * @start: user address, any address in the first page
 * @nr_pages: number of pages from there on
 * @gup_flags: as for pin_user_runs_fast()
 * @gfp: for the chunk and a temporary array of a page; what kvmalloc() takes
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
			unsigned int gup_flags, gfp_t gfp,
			struct pin_runs *runs)
{
	u32 bytes = clamp(nr_pages, 1, PAGE_SIZE / sizeof(u64)) * sizeof(u64);
	void *buf = kvmalloc(bytes, gfp);
	long ret = 0;

	if (!buf)
		return -ENOMEM;
	pin_runs_init(runs, buf, bytes);
	while (nr_pages && ret >= 0) {
		ret = pin_user_runs_fast(start, nr_pages, gup_flags, gfp, runs);
		if (ret == -ENOSPC) {
			ret = pin_runs_resize(runs, runs->bytes * 2, gfp);
		} else if (ret > 0) {
			start += ret << PAGE_SHIFT;
			nr_pages -= ret;
		}
	}
	if (ret < 0) {
		unpin_user_runs_free(runs, UNPIN_CLEAN);
		return ret;
	}

	/* It may be kept for long: without what is not used, if that can be had */
	bytes = max(runs->nr, 1) * sizeof(u64) +
		ALIGN(runs->nr_sizes * sizeof(u32), sizeof(u64));
	if (bytes <= runs->bytes / 2)
		pin_runs_resize(runs, bytes, gfp);
	return 0;
}
EXPORT_SYMBOL_GPL(pin_user_runs_alloc);

/**
 * unpin_user_runs_free() - release what pin_user_runs_alloc() returned
 * @runs: the chunk; it may not be used any more
 * @dirty: whether the folios are marked dirty before, and how
 *
 * Context: Process context, may sleep: there is no limit to the number of runs.
 */
void unpin_user_runs_free(struct pin_runs *runs, enum unpin_dirty dirty)
{
	unpin_user_runs_resched(runs, dirty);
	kvfree(runs->entries);
	runs->entries = NULL;
	runs->bytes = 0;
}
EXPORT_SYMBOL_GPL(unpin_user_runs_free);
