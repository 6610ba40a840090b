// SPDX-License-Identifier: GPL-2.0
/*
 * The memory of a memfd pinned as runs, without a mapping
 *
 * What pin_user_runs_fast() finds in page tables is looked up in the page cache
 * of the file here, and built into the same runs. A file is any of tmpfs or
 * hugetlbfs, as for memfd_pin_folios(). Nobody faults: pages that are not there,
 * or must not be pinned for long, are allocated or migrated by
 * fault_in_memfd_runs(), with nothing new pinned meanwhile.
 *
 * There is no page table entry that would say that a page is written to, so what
 * is pinned for writing is dirty from then on. As it is pinned, nobody cleans it.
 */
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/hugetlb.h>
#include <linux/memfd.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/security.h>
#include <linux/shmem_fs.h>
#include <linux/xarray.h>
#include <uapi/linux/fcntl.h>

#include "internal.h"
#include "pin_runs.h"

/**
 * pin_memfd_begin() - before memory of a file is pinned
 * @file: the file
 * @gup_flags: FOLL_WRITE if it will be written to
 *
 * Until pin_memfd_end() nobody can seal the file with F_SEAL_WRITE, and as long as
 * something is pinned nobody can after that. F_SEAL_FUTURE_WRITE lets those who
 * can write already go on, here as for mappings.
 *
 * Return: 0 or an error:
 *	   -EINVAL: not a file of tmpfs or hugetlbfs
 *	   -EACCES: not open for reading, or with FOLL_WRITE for writing; or
 *		    FOLL_WRITE, and the file may only be appended to
 *	   -EPERM: FOLL_WRITE, and sealed against it
 *	   what a security module says
 */
int pin_memfd_begin(struct file *file, unsigned int gup_flags)
{
	bool write = gup_flags & FOLL_WRITE;
	int seals, ret;

	if (!shmem_file(file) && !is_file_hugepages(file))
		return -EINVAL;
	if (!(file->f_mode & FMODE_READ))
		return -EACCES;
	/* As for a shared mapping */
	if (write && (!(file->f_mode & FMODE_WRITE) ||
		      IS_APPEND(file_inode(file))))
		return -EACCES;
	ret = security_file_permission(file, MAY_READ | (write ? MAY_WRITE : 0));
	if (ret || !write)
		return ret;
	/* A file that cannot be sealed has none of these. */
	seals = memfd_get_seals(file);
	if (seals > 0 && seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
		return -EPERM;
	return mapping_map_writable(file->f_mapping);
}

/**
 * pin_memfd_end() - after memory of a file was pinned
 * @file: the file
 * @gup_flags: as for pin_memfd_begin()
 */
void pin_memfd_end(struct file *file, unsigned int gup_flags)
{
	if (gup_flags & FOLL_WRITE)
		mapping_unmap_writable(file->f_mapping);
}

/*
 * Is this folio, which has a reference, one that can be pinned as it is?
 *
 * Who writes it to swap looks at the references with the folio locked, and then
 * cleans it and takes it out of the page cache. He has seen ours, or it is still
 * locked, or it is gone: the caller looks at the page cache after this.
 * folio_test_uptodate() orders the look at the lock before that.
 */
static bool memfd_folio_is_ready(struct folio *folio, struct gup_out *out)
{
	int zone_id = page_zone_id(&folio->page);

	/* fallocate() leaves pages that nobody has cleared yet. */
	return !folio_test_locked(folio) && folio_test_uptodate(folio) &&
	       (out->pinned.zone.id == zone_id ||
		gup_out_allowed(out, folio, zone_id, FOLL_LONGTERM)) &&
	       !folio_contain_hwpoisoned_page(folio) &&
	       !arch_make_folio_accessible(folio);
}

/*
 * How many of these pages of a folio that has a reference does the chunk take?
 * The reference becomes the pins that they need, or is put.
 */
static unsigned long pin_memfd_large(struct folio *folio, unsigned long pfn,
				     unsigned long nr, struct gup_out *out)
{
	struct run_builder *b = &out->builder;
	unsigned long end = folio_pfn(folio) + folio_large_nr_pages(folio);
	unsigned long pins;

	nr = min3(nr, end - pfn, run_builder_reach(b, pfn));
	if (!run_builder_ask(b, b->most)) {
		unsigned long fits = run_builder_fits(b, pfn, nr, b->most);

		out->full = fits < nr;
		nr = fits;
	}
	pins = b->runs.per_page ? nr : nr && !run_builder_continues(b, pfn);
	if (!pins) {
		folio_put(folio);
	} else if (folio_has_pincount(folio)) {
		if (pins > 1)
			folio_ref_add(folio, pins - 1);
		atomic_add(pins, &folio->_pincount);
	} else {
		folio_ref_add(folio, pins * GUP_PIN_COUNTING_BIAS - 1);
	}
	out->pinned.zone.nr += pins;
	if (nr)
		run_builder_add(b, pfn, nr, end);
	return nr;
}

/* The same for a folio of one page, which has the references of a pin */
static unsigned long pin_memfd_small(struct folio *folio, unsigned long pfn,
				     struct gup_out *out)
{
	struct run_builder *b = &out->builder;

	if (!run_builder_ask(b, b->least) &&
	    !run_builder_fits(b, pfn, 1, b->least)) {
		out->full = true;
		folio_put_refs(folio, GUP_PIN_COUNTING_BIAS);
		return 0;
	}
	out->pinned.zone.nr++;
	run_builder_add_small(b, pfn);
	return 1;
}

/*
 * The entry at @index, behind a large folio. Most often it is in the same node of
 * the page cache, with as many slots for each folio: that is a shorter way than
 * those which cannot know it.
 */
static struct folio *memfd_folio_behind(struct xa_state *xas, pgoff_t index)
{
	xas_advance(xas, index);
	if (likely(xas->xa_offset)) {
		struct folio *folio = xas_reload(xas);

		if (likely(!xa_is_internal(folio)))
			return folio;
	}
	xas_set(xas, index);
	return xas_load(xas);
}

/*
 * Pin what is there and ready from @index on, as much as the budget of a section
 * allows. Returns how many pages it was; -ENOMEM in @error if what ended it is a
 * folio that has as many references as it may have.
 */
static unsigned long pin_memfd_section(struct address_space *mapping,
				       pgoff_t index, pgoff_t end,
				       unsigned int gup_flags,
				       struct gup_out *out, long *error)
{
	unsigned int budget = GUP_SECTION_ENTRIES;
	XA_STATE(xas, &mapping->i_pages, index);
	pgoff_t first = index;
	struct folio *folio;

	gup_pin_stat_init(&out->pinned, NR_FOLL_PIN_ACQUIRED);
	rcu_read_lock();
	folio = xas_load(&xas);
	while (index < end && budget) {
		unsigned long nr, pfn;
		bool large;
		int refs;

		if (!folio || xa_is_value(folio))
			break;
		if (unlikely(xa_is_internal(folio))) {
			if (!xa_is_retry(folio))
				break;
			goto again;
		}
		/* Frozen is not for long; too many references may be. */
		if (folio_ref_count(folio) < 0) {
			*error = -ENOMEM;
			break;
		}
		/*
		 * References and pins of a folio of one page are one number, and
		 * one atomic operation.
		 */
		large = PageHead(&folio->page);
		refs = large ? 1 : GUP_PIN_COUNTING_BIAS;
		if (!folio_ref_try_add(folio, refs))
			goto again;
		/* What it says of one that is not ours any more: look again. */
		if (!memfd_folio_is_ready(folio, out)) {
			folio_put_refs(folio, refs);
			break;
		}
		if (unlikely(folio != xas_reload(&xas) ||
			     folio_test_large(folio) != large)) {
			folio_put_refs(folio, refs);
			goto again;
		}

		pfn = folio_pfn(folio) + (index - folio->index);
		if (large)
			nr = pin_memfd_large(folio, pfn, end - index, out);
		else
			nr = pin_memfd_small(folio, pfn, out);
		if (nr && gup_flags & FOLL_WRITE && !folio_test_dirty(folio))
			folio_mark_dirty(folio);
		index += nr;
		if (out->full)
			break;
		budget--;
		folio = large ? memfd_folio_behind(&xas, index) :
				xas_next(&xas);
		continue;
again:
		xas_reset(&xas);
		folio = xas_load(&xas);
	}
	rcu_read_unlock();
	gup_pin_stat_flush(&out->pinned);
	return index - first;
}

/**
 * pin_memfd_runs() - pin memory of a file as runs of folio pages
 * @file: the file, between pin_memfd_begin() and pin_memfd_end()
 * @index: page of it
 * @nr_pages: number of pages from there on
 * @gup_flags: FOLL_WRITE if it will be written to; FOLL_LONGTERM is implied, and
 *	       FOLL_INTERRUPTIBLE lets any signal end the call
 * @runs: chunk that the runs are appended to
 *
 * As pin_user_runs_fast_only(), for a file.
 *
 * Context: Process context. Gives way to others, but waits for nothing.
 * Return: As pin_user_runs_fast(), and
 *	   -EAGAIN: the first page is not ready, or was not a moment ago, see
 *		    fault_in_memfd_runs()
 *	   -ENOMEM: it has as many references as it may have
 *	   -EINVAL: the pages are not all inside the file
 */
long pin_memfd_runs(struct file *file, pgoff_t index, unsigned long nr_pages,
		    unsigned int gup_flags, struct pin_runs *runs)
{
	struct address_space *mapping = file->f_mapping;
	pgoff_t end = index + nr_pages, at = index;
	struct gup_out out __uninitialized;
	long ret = 0;

	if (end < index ||
	    end > DIV_ROUND_UP_ULL(i_size_read(mapping->host), PAGE_SIZE))
		return -EINVAL;

	run_builder_resume(&out.builder, runs, nr_pages);
	out.full = false;
	while (!ret && at < end) {
		unsigned long nr;

		if (gup_signal_pending(gup_flags)) {
			ret = -EINTR;
			break;
		}
		cond_resched();
		nr = pin_memfd_section(mapping, at, end, gup_flags, &out, &ret);
		at += nr;
		if (out.full)
			ret = -ENOSPC;
		else if (!ret && !nr)
			ret = -EAGAIN;
	}
	run_builder_close(&out.builder);
	*runs = out.builder.runs;
	return at > index ? at - index : ret;
}

/*
 * Move a folio that must not be pinned for long to where it may be. The caller's
 * reference is gone afterwards; who wants to know whether it was moved looks
 * again.
 */
static int memfd_migrate(struct folio *folio)
{
	long ret = try_grab_folio(folio, 1, FOLL_PIN);

	folio_put(folio);
	if (ret)
		return ret;
	ret = check_and_migrate_movable_folios(1, &folio);
	if (!ret)
		unpin_folio(folio);
	return ret == -EAGAIN ? 0 : ret;
}

static struct folio *memfd_get_folio(struct file *file, pgoff_t index)
{
	struct inode *inode = file_inode(file);
	struct folio *folio;

	folio = filemap_get_folio(file->f_mapping, index);
	if (!IS_ERR(folio)) {
		int ret = folio_wait_locked_killable(folio);

		if (!ret && folio_test_uptodate(folio))
			return folio;
		folio_put(folio);
		if (ret)
			return ERR_PTR(ret);
	}
	if (!is_file_hugepages(file))
		return memfd_alloc_folio(file, index);

	/* Nobody else would look at the size of the file. */
	if (inode_lock_shared_killable(inode))
		return ERR_PTR(-EINTR);
	folio = ERR_PTR(-EINVAL);
	if (index < DIV_ROUND_UP_ULL(i_size_read(inode), PAGE_SIZE))
		folio = memfd_alloc_folio(file, index);
	inode_unlock_shared(inode);
	return folio;
}

/**
 * fault_in_memfd_runs() - make pages of a file ready, and pin nothing
 * @file: the file, between pin_memfd_begin() and pin_memfd_end()
 * @index: page of it
 * @nr_pages: number of pages from there on
 * @gup_flags: as for pin_memfd_runs()
 *
 * Allocates what is not there, reads what was swapped out, clears what was only
 * allocated, and migrates what must not be pinned for long. The pages may be gone
 * again before they are pinned. As long as a page can be neither pinned where it
 * is nor moved, it is tried again, until there is a signal.
 *
 * Context: Process context, may sleep.
 * Return: 0 or an error:
 *	   -EINTR: a signal
 *	   -EINVAL: beyond the end of the file
 *	   -EIO: the memory is broken
 *	   -ENOMEM: no memory, or none for this file, or none to move a page to; or
 *		    a page has as many references as it may have
 */
int fault_in_memfd_runs(struct file *file, pgoff_t index,
			unsigned long nr_pages, unsigned int gup_flags)
{
	unsigned int flags = memalloc_pin_save();
	pgoff_t end = index + nr_pages;
	int ret = 0;

	while (!ret && index < end) {
		struct folio *folio;

		if (gup_signal_pending(gup_flags)) {
			ret = -EINTR;
			break;
		}
		cond_resched();
		folio = memfd_get_folio(file, index);
		if (folio == ERR_PTR(-EEXIST))
			continue;
		if (IS_ERR(folio)) {
			ret = PTR_ERR(folio);
			break;
		}
		if (folio_contain_hwpoisoned_page(folio))
			ret = -EIO;
		else
			ret = arch_make_folio_accessible(folio);
		if (!ret && !folio_is_longterm_pinnable(folio)) {
			ret = memfd_migrate(folio);
			continue;
		}
		index = folio_next_index(folio);
		folio_put(folio);
		/* With the last page that a file can have comes 0. */
		if (!index)
			break;
	}
	memalloc_pin_restore(flags);
	/* The chunk is not what there is no room in. */
	return ret == -ENOSPC ? -ENOMEM : ret;
}
