/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * How a buffer lies in memory: from the kernel's buffer table where it tells, else an
 * estimate.
 *
 * The estimate for hugetlb takes the page size from smaps.  For other memory it
 * reads page frames and their flags, which show where folios begin, if it may
 * (CAP_SYS_ADMIN); if not, it counts what smaps says is mapped by huge entries, and
 * takes the rest for base pages.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib.h"

/* Documentation/admin-guide/mm/pagemap.rst */
#define PM_PRESENT		(1ULL << 63)
#define PM_PFN			((1ULL << 55) - 1)
#define KPF_COMPOUND_TAIL	16

#define BATCH			1024

struct walk {
	struct io_uring_ext_layout *l;
	uintptr_t start;
	uintptr_t end;
	size_t page;
	int pagemap;			/* fds, or -1 */
	int kpageflags;
	unsigned char *map;
	unsigned cells;
	bool mapped;			/* any mapping was met */
	uintptr_t at;			/* end of the mappings so far */

	uintptr_t run_start;		/* the run being extended; 0: none */
	uintptr_t run_end;
	__u64 next_pfn;
	size_t interior;		/* size of the runs but first and last */
	bool mixed;
	unsigned nr_before;		/* runs seen, saturating at 2 */
	size_t last;			/* size of the last run */

	size_t want;			/* count bytes in runs of this size on */
	size_t counted;

	__u64 flags[BATCH];		/* of frames from flags_pfn on */
	__u64 flags_pfn;
	size_t nr_flags;
};

/* n * mul / div, for n up to div, where the product needs more than 64 bits. */
static __u64 scale(__u64 n, __u64 mul, __u64 div)
{
	__u64 bit, quot = 0, rem = 0;

	if (!mul)
		return 0;
	/* By hand, from the top bit of mul: n and div are far below 2^63 */
	for (bit = 1ULL << (63 - __builtin_clzll(mul)); bit; bit >>= 1) {
		quot <<= 1;
		rem <<= 1;
		if (rem >= div) {
			rem -= div;
			quot++;
		}
		if (mul & bit)
			rem += n;
		if (rem >= div) {
			rem -= div;
			quot++;
		}
	}
	return quot;
}

/* Cell i of the map covers [len * i / cells, len * (i + 1) / cells). */
static void paint(struct walk *w, uintptr_t from, uintptr_t to, unsigned char shift)
{
	__u64 len = w->end - w->start;
	unsigned i, first, last;

	first = scale(from - w->start, w->cells, len);
	last = scale(to - 1 - w->start, w->cells, len);
	for (i = first; i <= last && i < w->cells; i++)
		if (w->map[i] == 0xff || shift < w->map[i])
			w->map[i] = shift;
}

static unsigned log2_of(size_t n)
{
	return 8 * sizeof(long) - 1 - __builtin_clzl(n);
}

static void add_runs(struct walk *w, size_t size, __u64 nr)
{
	struct io_uring_ext_layout *l = w->l;

	if (!nr || !size)
		return;
	l->runs += nr;
	l->present += size * nr;
	if (!l->smallest || size < l->smallest)
		l->smallest = size;
	if (size > l->largest)
		l->largest = size;
	if (size >= w->want)
		w->counted += size * nr;
}

/* The size of an interior run is known only when another comes after it. */
static void note_interior(struct walk *w, size_t size)
{
	if (w->nr_before >= 2) {
		if (w->interior && w->interior != w->last)
			w->mixed = true;
		w->interior = w->last;
	}
	if (w->nr_before < 2)
		w->nr_before++;
	w->last = size;
}

static void end_run(struct walk *w)
{
	if (!w->run_start)
		return;
	add_runs(w, w->run_end - w->run_start, 1);
	note_interior(w, w->run_end - w->run_start);
	if (w->map)
		paint(w, w->run_start, w->run_end, log2_of(w->run_end - w->run_start));
	w->run_start = 0;
}

static void hole(struct walk *w, uintptr_t from, uintptr_t to)
{
	end_run(w);
	if (w->map)
		paint(w, from, to, 0);
}

/* How many of @nr entries could be read. */
static size_t read_entries(int fd, __u64 index, __u64 *buf, size_t nr)
{
	ssize_t n = pread(fd, buf, nr * sizeof(*buf), index * sizeof(*buf));

	return n < 0 ? 0 : n / sizeof(*buf);
}

/* Does @pfn go on with the folio of the page before it?  Taken for no if unknown. */
static bool same_folio(struct walk *w, __u64 pfn)
{
	if (pfn != w->next_pfn)
		return false;
	if (pfn < w->flags_pfn || pfn >= w->flags_pfn + w->nr_flags) {
		w->flags_pfn = pfn;
		w->nr_flags = read_entries(w->kpageflags, pfn, w->flags, BATCH);
		if (!w->nr_flags)
			return false;
	}
	return w->flags[pfn - w->flags_pfn] & (1ULL << KPF_COMPOUND_TAIL);
}

/* One page, or one huge page, from @from to @to. */
static void add_page(struct walk *w, uintptr_t from, uintptr_t to, __u64 pfn)
{
	if (w->run_start && w->run_end == from && pfn && same_folio(w, pfn)) {
		w->run_end = to;
	} else {
		end_run(w);
		w->run_start = from;
		w->run_end = to;
	}
	w->next_pfn = pfn ? pfn + 1 : 0;
}

static int walk_hugetlb(struct walk *w, uintptr_t from, uintptr_t to, size_t page)
{
	uintptr_t a, next;
	__u64 e;

	for (a = from; a < to; a = next) {
		next = (a & ~(page - 1)) + page;
		if (next > to)
			next = to;
		e = PM_PRESENT;
		if (w->pagemap >= 0 && !read_entries(w->pagemap, a / w->page, &e, 1))
			return -EIO;
		if (!(e & PM_PRESENT))
			hole(w, a, next);
		else
			add_page(w, a, next, 0);
	}
	return 0;
}

static int walk_frames(struct walk *w, uintptr_t from, uintptr_t to)
{
	__u64 e[BATCH];
	uintptr_t a = from & ~(w->page - 1);
	size_t i, nr;

	while (a < to) {
		nr = min_sz((to - a + w->page - 1) / w->page, BATCH);
		if (read_entries(w->pagemap, a / w->page, e, nr) != nr)
			return -EIO;
		for (i = 0; i < nr; i++, a += w->page) {
			uintptr_t lo = a < from ? from : a;
			uintptr_t hi = min_sz(a + w->page, to);

			if (e[i] & PM_PRESENT)
				add_page(w, lo, hi, e[i] & PM_PFN);
			else
				hole(w, lo, hi);
		}
	}
	return 0;
}

/* Only totals for the whole mapping: scale them to the part that is looked at. */
static void walk_totals(struct walk *w, const struct urext_vma *vma, uintptr_t from,
			uintptr_t to)
{
	size_t pmd = urext_thp_pmd_size();
	size_t len = to - from, all = vma->end - vma->start;
	size_t present = scale(min_sz(vma->present, all), len, all);
	size_t huge = scale(min_sz(vma->pmd_bytes, all), len, all) & ~(pmd - 1);
	size_t small = present > huge ? present - huge : 0;

	/* Of a small part the share is rounded down to nothing */
	if (!present && vma->present)
		small = 1;
	end_run(w);
	w->l->source = IO_URING_EXT_LAYOUT_SMAPS;
	add_runs(w, pmd, huge / pmd);
	/* Less than a page of it is looked at */
	if (small && small < w->page)
		add_runs(w, small, 1);
	add_runs(w, w->page, small / w->page);
	if (w->map)
		paint(w, from, to, small ? log2_of(w->page) : huge ? log2_of(pmd) : 0);
}

static int walk_vma(const struct urext_vma *vma, void *arg)
{
	struct walk *w = arg;
	uintptr_t from = vma->start > w->start ? vma->start : w->start;
	uintptr_t to = vma->end < w->end ? vma->end : w->end;

	w->mapped = true;
	if (from > w->at)
		hole(w, w->at, from);
	w->at = to;
	if (vma->page_size > w->page)
		return walk_hugetlb(w, from, to, vma->page_size);
	if (w->kpageflags >= 0)
		return walk_frames(w, from, to);
	walk_totals(w, vma, from, to);
	return 0;
}

static int open_proc(pid_t pid, const char *name)
{
	char path[64];

	if (pid)
		snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	else
		snprintf(path, sizeof(path), "/proc/self/%s", name);
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* Without CAP_SYS_ADMIN the frame numbers read as 0. */
static int open_kpageflags(const struct walk *w)
{
	__u64 e = 0;
	int self;

	if (w->pagemap < 0)
		return -1;
	self = open_proc(0, "pagemap");
	if (self < 0)
		return -1;
	read_entries(self, (uintptr_t)&e / w->page, &e, 1);
	close(self);
	if (!(e & PM_PFN))
		return -1;
	return open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
}

static void finish(struct walk *w)
{
	unsigned i;

	if (w->at < w->end)
		hole(w, w->at, w->end);
	end_run(w);
	/* Of totals it is not known which runs are the first and the last */
	if (w->l->source == IO_URING_EXT_LAYOUT_SMAPS && w->l->smallest != w->l->largest)
		w->mixed = true;
	if (!w->mixed && w->l->runs)
		w->l->flags |= IO_URING_EXT_LAYOUT_UNIFORM;
	for (i = 0; w->map && i < w->cells; i++)
		if (w->map[i] == 0xff)
			w->map[i] = 0;
}

static int estimate(struct walk *w, pid_t pid)
{
	int ret;

	memset(w->l, 0, sizeof(*w->l));
	w->l->source = IO_URING_EXT_LAYOUT_PAGEMAP;
	w->l->flags = IO_URING_EXT_LAYOUT_ESTIMATE;
	w->l->len = w->end - w->start;
	w->l->metadata = IO_URING_EXT_UNLIMITED;
	w->l->charged = IO_URING_EXT_UNLIMITED;
	w->at = w->start;
	w->page = base_page_size();
	w->pagemap = open_proc(pid, "pagemap");
	w->kpageflags = open_kpageflags(w);
	if (w->map)
		memset(w->map, 0xff, w->cells);

	ret = urext_for_each_vma(pid, w->start, w->end, walk_vma, w);
	if (!ret && !w->mapped)
		ret = -ENOENT;
	if (!ret)
		finish(w);
	if (w->pagemap >= 0)
		close(w->pagemap);
	if (w->kpageflags >= 0)
		close(w->kpageflags);
	return ret;
}

int io_uring_ext_layout_estimate(pid_t pid, const void *base, size_t len,
				 struct io_uring_ext_layout *layout,
				 unsigned char *map, unsigned cells)
{
	struct walk w = {
		.l = layout,
		.start = (uintptr_t)base,
		.end = (uintptr_t)base + len,
		.map = map,
		.cells = cells,
	};
	int ret;

	if (layout)
		memset(layout, 0, sizeof(*layout));
	if (map)
		memset(map, 0, cells);
	if (!layout || !len || w.end < w.start || (map && !cells) || pid < 0)
		return -EINVAL;
	ret = estimate(&w, pid);
	if (!ret)
		return 0;
	/* What was met before it failed is not the layout */
	memset(layout, 0, sizeof(*layout));
	if (map)
		memset(map, 0, cells);
	return ret;
}

int io_uring_ext_layout(struct io_uring *ring, unsigned index, const void *base,
			size_t len, struct io_uring_ext_layout *layout)
{
	int ret;

	if (layout)
		memset(layout, 0, sizeof(*layout));
	if (!ring || !layout)
		return -EINVAL;
	ret = urext_uapi_layout(urext_target_ring(ring), index, layout);
	if (ret != -EOPNOTSUPP)
		return ret;
	return io_uring_ext_layout_estimate(0, base, len, layout, NULL, 0);
}

size_t urext_bytes_in_runs(const void *base, size_t len, size_t size)
{
	struct io_uring_ext_layout l;
	struct walk w = {
		.l = &l,
		.start = (uintptr_t)base,
		.end = (uintptr_t)base + len,
		.want = size,
	};

	return estimate(&w, 0) ? 0 : w.counted;
}
