// SPDX-License-Identifier: GPL-2.0
/* Operations on memory */
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "pattern.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

#define RW		(PROT_READ | PROT_WRITE)
#define HUGE_PAGES_DIR	"/sys/kernel/mm/hugepages/hugepages-2048kB/"
/* What is mapped may need another page for each that is pinned, or was cut off. */
#define SPARE_HUGE_PAGES 48

static const char * const kind_names[KINDS] = {
	[KIND_ANON] = "anon", [KIND_THP] = "thp", [KIND_MTHP] = "mthp", [KIND_SHMEM] = "shmem",
	[KIND_MEMFD] = "memfd", [KIND_HUGETLB] = "hugetlb", [KIND_HUGETLB_MEMFD] = "hugetlb-memfd",
	[KIND_FILE] = "file",
};

static unsigned long huge_pages(const char *file)
{
	char line[32];

	return read_line(file, line, sizeof(line)) ? 0 : strtoul(line, NULL, 10);
}

/*
 * That are not reserved for a mapping. When private ones are unmapped that are pinned, their
 * reservation is given back twice, and is taken once more when they are unpinned: until then the
 * kernel may have reserved less than nothing, and finds none for a file that is not mapped.
 */
bool huge_pages_free(void)
{
	long reserved = (long)huge_pages(HUGE_PAGES_DIR "resv_hugepages");

	return reserved >= 0 &&
	       (long)huge_pages(HUGE_PAGES_DIR "free_hugepages") - reserved >= SPARE_HUGE_PAGES;
}

/* --- mmap ------------------------------------------------------------------- */

static struct range random_place(struct op *op, enum kind kind)
{
	static const size_t lengths[] = { 1, 2, 3, 10, 17, 64, 100, 200, 513, 1024 };
	size_t slot = op_below(op, SLOTS) * SLOT_STRIDE, unit = 1, first, nr;

	if (kind_hugetlb(kind) || (kind == KIND_THP && op_percent(op, 80)))
		unit = HUGE_PAGES;
	else if (kind == KIND_MTHP)
		unit = 16;
	first = ALIGN_DOWN((size_t)op_below(op, SLOT_PAGES), unit);
	if (op_percent(op, 40))
		first = 0;
	nr = ALIGN_UP(OP_PICK(op, lengths), unit);
	/* Folios of 2 MiB are taken where they fit. */
	if (kind == KIND_MTHP)
		nr = min_size(nr, HUGE_PAGES - 16);
	return (struct range){ slot + first, min_size(nr, SLOT_PAGES - first) };
}

unsigned int choose_object(struct world *world, struct op *op, enum kind kind)
{
	struct shared *shared = world->shared;
	unsigned int n = op_below(op, OBJECTS);
	int fd = -1;

	if (kind != KIND_SHMEM && op_percent(op, 60))
		for (unsigned int i = 0; i < OBJECTS; i++, n = (n + 1) % OBJECTS)
			if (world->fds[n] >= 0 && shared->objects[n].kind == kind)
				return n;
	if (shared->nr_objects == OBJECTS)
		return OBJECTS;
	if (kind != KIND_SHMEM) {
		fd = memfd_create("fuzz", MFD_CLOEXEC | (kind == KIND_MEMFD ? 0 :
							 MFD_HUGETLB | MFD_HUGE_2MB));
		if (fd < 0 || ftruncate(fd, SLOT_PAGES * PAGE))
			die("memfd: %s", strerror(errno));
	}
	n = shared->nr_objects++;
	shared->objects[n].kind = kind;
	shared->objects[n].nr_pages = SLOT_PAGES;
	world->fds[n] = fd;
	return n;
}

static int do_mmap(struct world *world, struct op *op, struct reason *why)
{
	static const enum kind kinds[] = {
		KIND_ANON, KIND_ANON, KIND_THP, KIND_THP, KIND_THP, KIND_MTHP, KIND_MTHP,
		KIND_SHMEM, KIND_MEMFD, KIND_MEMFD, KIND_HUGETLB, KIND_HUGETLB_MEMFD, KIND_FILE,
	};
	enum kind kind = OP_PICK(op, kinds);
	struct range range = random_place(op, kind);
	unsigned int object = 0;
	size_t pgoff = 0, unit = kind_hugetlb(kind) ? HUGE_PAGES : 1;
	int flags = MAP_FIXED, fd = -1;
	char *addr = page_addr(range.first);

	if (range_cuts_hugetlb(world, range) || (kind_hugetlb(kind) && !huge_pages_free()))
		return IDLE;
	if (kind_shared(kind)) {
		object = choose_object(world, op, kind);
		if (object == OBJECTS)
			return IDLE;
		fd = world->fds[object];
		flags |= MAP_SHARED;
		/* An anonymous object is as large as its mapping. */
		if (fd < 0)
			world->shared->objects[object].nr_pages = range.nr;
		else
			pgoff = op_below(op, (SLOT_PAGES - range.nr) / unit + 1) * unit;
	} else {
		flags |= MAP_PRIVATE;
	}
	if (kind == KIND_FILE) {
		fd = world->file;
		pgoff = op_below(op, SLOT_PAGES - range.nr + 1);
	}
	if (kind == KIND_HUGETLB)
		flags |= MAP_HUGETLB;
	if (fd < 0)
		flags |= MAP_ANONYMOUS;
	if (op_percent(op, 30) && !kind_hugetlb(kind))
		flags |= MAP_POPULATE;

	fuzz_log(world, "%s pages %zu+%zu%s, object %u, from %zu", kind_names[kind], range.first,
		 range.nr, flags & MAP_POPULATE ? " populate" : "", object, pgoff);
	/* A call that fails may leave a hole. */
	if (munmap(addr, range.nr * PAGE))
		return because(why, "munmap: %s", strerror(errno));
	pages_unmap(world, range);
	if (mmap(addr, range.nr * PAGE, RW, flags, fd, (off_t)(pgoff * PAGE)) == MAP_FAILED) {
		if (errno == ENOMEM && kind_hugetlb(kind))
			return IDLE;
		return because(why, "mmap: %s", strerror(errno));
	}
	if ((kind == KIND_THP || kind == KIND_MTHP) &&
	    madvise(addr, range.nr * PAGE, MADV_HUGEPAGE))
		return because(why, "MADV_HUGEPAGE: %s", strerror(errno));
	/* A copy that a child needs might not be to be had. */
	if (kind == KIND_HUGETLB && madvise(addr, range.nr * PAGE, MADV_DONTFORK))
		return because(why, "MADV_DONTFORK: %s", strerror(errno));
	/* A file of huge pages grows with what is mapped of it. */
	if (kind == KIND_HUGETLB_MEMFD && world->shared->objects[object].nr_pages < pgoff + range.nr)
		world->shared->objects[object].nr_pages = pgoff + range.nr;
	world->segment++;
	for (size_t i = 0; i < range.nr; i++)
		world->pages[range.first + i] = (struct vpage){
			.kind = (uint8_t)kind,
			.prot = RW,
			.object = (uint16_t)object,
			.pgoff = (uint16_t)(pgoff + i),
			.segment = world->segment,
		};
	return DONE;
}

/* --- munmap, mremap, mprotect ------------------------------------------------- */

/* Mostly what is mapped, now and then with holes */
static bool random_range(const struct world *world, struct op *op, struct range *range)
{
	if (!random_mapped(world, op, SLOT_PAGES, false, range))
		return false;
	if (op_percent(op, 15))
		range->nr = min_size(1 + op_below(op, 700), ARENA_PAGES - range->first);
	return !range_cuts_hugetlb(world, *range);
}

static int do_munmap(struct world *world, struct op *op, struct reason *why)
{
	struct range range;

	if (!random_range(world, op, &range))
		return IDLE;
	fuzz_log(world, "pages %zu+%zu", range.first, range.nr);
	if (munmap(page_addr(range.first), range.nr * PAGE))
		return because(why, "munmap: %s", strerror(errno));
	pages_unmap(world, range);
	return DONE;
}

static int shrink(struct world *world, struct op *op, struct range range, struct reason *why)
{
	struct range kept = { range.first, 1 + op_below(op, range.nr) };

	if (range_cuts_hugetlb(world, kept) || kept.nr == range.nr)
		return IDLE;
	fuzz_log(world, "pages %zu+%zu shrinks to %zu", range.first, range.nr, kept.nr);
	if (mremap(page_addr(range.first), range.nr * PAGE, kept.nr * PAGE, 0) == MAP_FAILED)
		return because(why, "mremap: %s", strerror(errno));
	pages_unmap(world, (struct range){ range.first + kept.nr, range.nr - kept.nr });
	return DONE;
}

static int do_mremap(struct world *world, struct op *op, struct reason *why)
{
	enum { MOVE, SHRINK, GROW, LEAVE, WAYS } way = op_below(op, WAYS);
	static struct vpage moved[ARENA_PAGES];
	int flags = MREMAP_MAYMOVE | MREMAP_FIXED;
	struct range from, to;
	bool hugetlb;
	const struct vpage *page;

	if (!random_mapped(world, op, SLOT_PAGES, true, &from) || range_cuts_hugetlb(world, from))
		return IDLE;
	if (way == SHRINK)
		return shrink(world, op, from, why);
	page = &world->pages[from.first];
	hugetlb = kind_hugetlb(page->kind);
	if (hugetlb && way != MOVE)
		return IDLE;
	to.nr = from.nr;
	if (way == GROW) {
		to.nr = min_size(to.nr + 1 + op_below(op, 100), SLOT_PAGES - page->pgoff);
	}
	to.first = op_below(op, ARENA_PAGES - to.nr + 1);
	if (hugetlb || op_percent(op, 30))
		to.first = ALIGN_DOWN(to.first, HUGE_PAGES);
	if ((to.first < from.first + from.nr && from.first < to.first + to.nr) ||
	    range_cuts_hugetlb(world, to))
		return IDLE;
	if (way == LEAVE)
		flags |= MREMAP_DONTUNMAP;

	fuzz_log(world, "pages %zu+%zu to %zu+%zu%s", from.first, from.nr, to.first, to.nr,
		 way == LEAVE ? ", not unmapped" : "");
	if (mremap(page_addr(from.first), from.nr * PAGE, to.nr * PAGE, flags,
		   page_addr(to.first)) != page_addr(to.first))
		return because(why, "mremap: %s", strerror(errno));
	for (size_t i = 0; i < to.nr; i++) {
		moved[i] = world->pages[from.first + min_size(i, from.nr - 1)];
		if (i < from.nr)
			continue;
		moved[i].pgoff = (uint16_t)(moved[0].pgoff + i);
		moved[i].cell = 0;
	}
	if (way == LEAVE) {
		for (size_t i = from.first; i < from.first + from.nr; i++)
			world->pages[i].cell = 0;
		range_new_segment(world, from);
	} else {
		pages_unmap(world, from);
	}
	memcpy(world->pages + to.first, moved, to.nr * sizeof(*moved));
	range_new_segment(world, to);
	return DONE;
}

static int do_mprotect(struct world *world, struct op *op, struct reason *why)
{
	static const int prots[] = { RW, RW, RW, RW, PROT_READ, PROT_READ, PROT_READ, PROT_NONE };
	int prot = OP_PICK(op, prots), error = 0;
	struct range range;
	size_t done = 0;

	if (!random_range(world, op, &range))
		return IDLE;
	fuzz_log(world, "pages %zu+%zu %s", range.first, range.nr,
		 prot == RW ? "rw" : prot ? "r" : "none");
	if (mprotect(page_addr(range.first), range.nr * PAGE, prot))
		error = errno;
	/* Up to the first hole */
	for (; done < range.nr && world->pages[range.first + done].kind != KIND_NONE; done++)
		world->pages[range.first + done].prot = (uint8_t)prot;
	range_new_segment(world, (struct range){ range.first, done });
	if (error != (done < range.nr ? ENOMEM : 0))
		return because(why, "mprotect: %s", error ? strerror(error) : "no error");
	return DONE;
}

/* --- madvise ------------------------------------------------------------------ */

static int do_dontneed(struct world *world, struct op *op, struct reason *why)
{
	struct range range;
	bool hole = false, hugetlb = false;
	int error = 0;

	if (!random_range(world, op, &range))
		return IDLE;
	for (size_t i = range.first; i < range.first + range.nr; i++)
		hugetlb |= kind_hugetlb(world->pages[i].kind);
	if (hugetlb && !huge_pages_free())
		return IDLE;
	fuzz_log(world, "pages %zu+%zu", range.first, range.nr);
	if (madvise(page_addr(range.first), range.nr * PAGE, MADV_DONTNEED))
		error = errno;
	for (size_t i = range.first; i < range.first + range.nr; i++) {
		hole |= world->pages[i].kind == KIND_NONE;
		world->pages[i].cell = 0;
	}
	if (error != (hole ? ENOMEM : 0))
		return because(why, "MADV_DONTNEED: %s", error ? strerror(error) : "no error");
	return DONE;
}

/* Advice that changes no byte, whether the kernel follows it or not */
static int do_advise(struct world *world, struct op *op, struct reason *why)
{
	static const int advice[OP_KINDS] = {
		[OP_HUGEPAGE] = MADV_HUGEPAGE, [OP_NOHUGEPAGE] = MADV_NOHUGEPAGE,
		[OP_COLLAPSE] = MADV_COLLAPSE, [OP_COLD] = MADV_COLD, [OP_PAGEOUT] = MADV_PAGEOUT,
	};
	unsigned int tries = op->kind == OP_COLLAPSE ? 20 : 1;
	const struct vpage *page;
	struct range range;

	(void)why;
	do {
		if (!tries-- || !random_mapped(world, op, SLOT_PAGES, true, &range))
			return IDLE;
		page = &world->pages[range.first];
		if (op->kind == OP_COLLAPSE)
			range = (struct range){ ALIGN_DOWN(range.first, HUGE_PAGES), HUGE_PAGES };
	} while (kind_hugetlb(page->kind) || !range_is_segment(world, range));
	if (op->kind == OP_COLLAPSE) {
		if (kind_shared(page->kind))
			world->shared->objects[page->object].collapsed = true;
	}
	fuzz_log(world, "pages %zu+%zu", range.first, range.nr);
	madvise(page_addr(range.first), range.nr * PAGE, advice[op->kind]);
	range_new_segment(world, range);
	return DONE;
}

/*
 * A memfd that can lose pages, or OBJECTS. What is pinned of a large folio that is cut is cleared
 * instead; one of hugetlb is cut nowhere.
 */
static unsigned int random_memfd(const struct world *world, struct op *op)
{
	unsigned int n = op_below(op, OBJECTS);

	for (unsigned int i = 0; i < OBJECTS; i++, n = (n + 1) % OBJECTS)
		if (world->fds[n] >= 0 && !world->shared->objects[n].collapsed)
			return kind_hugetlb(world->shared->objects[n].kind) && !huge_pages_free() ?
			       OBJECTS : n;
	return OBJECTS;
}

static size_t object_unit(const struct world *world, unsigned int n)
{
	return kind_hugetlb(world->shared->objects[n].kind) ? HUGE_PAGES : 1;
}

/* A file becomes shorter, and perhaps at once as long as it was; or longer. */
static int do_truncate(struct world *world, struct op *op, struct reason *why)
{
	unsigned int n = random_memfd(world, op);
	struct object *object;
	size_t nr, then;

	if (n == OBJECTS)
		return IDLE;
	object = &world->shared->objects[n];
	nr = op_percent(op, 30) ? SLOT_PAGES :
	     ALIGN_DOWN((size_t)op_below(op, SLOT_PAGES), object_unit(world, n));
	then = op_percent(op, 50) ? object->nr_pages : nr;
	fuzz_log(world, "object %u of %zu pages to %zu, then %zu", n, object->nr_pages, nr, then);
	if (ftruncate(world->fds[n], (off_t)(nr * PAGE)) ||
	    ftruncate(world->fds[n], (off_t)(then * PAGE)))
		return because(why, "ftruncate: %s", strerror(errno));
	object_forget(world, n, (struct range){ nr, SLOT_PAGES - nr });
	object->nr_pages = then;
	return DONE;
}

/* A hole in a file, mapped or not */
static int punch_file(struct world *world, struct op *op, struct reason *why)
{
	unsigned int n = random_memfd(world, op);
	struct range range;
	size_t unit;

	if (n == OBJECTS)
		return IDLE;
	unit = object_unit(world, n);
	range.first = ALIGN_DOWN((size_t)op_below(op, SLOT_PAGES), unit);
	range.nr = ALIGN_UP(1 + (size_t)op_below(op, SLOT_PAGES - range.first), unit);
	fuzz_log(world, "object %u, pages %zu+%zu", n, range.first, range.nr);
	if (fallocate(world->fds[n], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		      (off_t)(range.first * PAGE), (off_t)(range.nr * PAGE)))
		return because(why, "fallocate: %s", strerror(errno));
	object_forget(world, n, range);
	return DONE;
}

/* Shared memory loses its pages. */
static int do_punch(struct world *world, struct op *op, struct reason *why)
{
	unsigned int tries = 20;
	const struct vpage *page;
	struct object *object;
	struct range range;

	if (op_percent(op, 40))
		return punch_file(world, op, why);
	do {
		if (!tries-- || !random_mapped(world, op, SLOT_PAGES, true, &range))
			return IDLE;
		page = &world->pages[range.first];
		object = &world->shared->objects[page->object];
		/* What is pinned of a large folio is cleared instead. */
	} while (!kind_shared(page->kind) || kind_hugetlb(page->kind) || object->collapsed ||
		 !page_writable(world, range.first));
	fuzz_log(world, "pages %zu+%zu", range.first, range.nr);
	if (madvise(page_addr(range.first), range.nr * PAGE, MADV_REMOVE))
		return because(why, "MADV_REMOVE: %s", strerror(errno));
	object_forget(world, page->object, (struct range){ page->pgoff, range.nr });
	return DONE;
}

/* --- writing ------------------------------------------------------------------- */

static int do_write(struct world *world, struct op *op, struct reason *why)
{
	struct range range;
	size_t off, len;
	char *data = world->expected;

	(void)why;
	/* In one VMA no page of an object is there twice: the order does not matter. */
	if (!random_mapped(world, op, 3, true, &range))
		return IDLE;
	for (size_t i = range.first; i < range.first + range.nr; i++)
		if (!page_writable(world, i))
			return IDLE;
	off = op_below(op, PAGE);
	len = 1 + op_below(op, range.nr * PAGE - off);
	fuzz_log(world, "%zu bytes at page %zu+%zu", len, range.first, off);
	pattern_fill(data, len, off, ++world->shared->serial);
	memcpy(page_addr(range.first) + off, data, len);
	for (size_t i = range.first; len; i++, off = 0) {
		size_t part = min_size(len, PAGE - off);

		cell_write(world, page_cell(world, i), off, part, data);
		data += part;
		len -= part;
	}
	return DONE;
}

static int do_stamp(struct world *world, struct op *op, struct reason *why)
{
	struct range range;

	(void)why;
	if (!random_mapped(world, op, SLOT_PAGES, false, &range))
		return IDLE;
	fuzz_log(world, "pages %zu+%zu", range.first, range.nr);
	pages_stamp(world, range);
	return DONE;
}

void pages_stamp(struct world *world, struct range range)
{
	uint64_t stamp = ++world->shared->serial << 20;

	for (size_t i = range.first; i < range.first + range.nr; i++) {
		if (!page_writable(world, i))
			continue;
		*(volatile uint64_t *)page_addr(i) = stamp + i;
		cell_stamp(world, page_cell(world, i), stamp + i);
	}
}

int memory_op(struct world *world, struct op *op, struct reason *why)
{
	switch (op->kind) {
	case OP_MMAP:
		return do_mmap(world, op, why);
	case OP_MUNMAP:
		return do_munmap(world, op, why);
	case OP_MREMAP:
		return do_mremap(world, op, why);
	case OP_MPROTECT:
		return do_mprotect(world, op, why);
	case OP_DONTNEED:
		return do_dontneed(world, op, why);
	case OP_PUNCH:
		return do_punch(world, op, why);
	case OP_TRUNCATE:
		return do_truncate(world, op, why);
	case OP_WRITE:
		return do_write(world, op, why);
	case OP_STAMP:
		return do_stamp(world, op, why);
	default:
		return do_advise(world, op, why);
	}
}
