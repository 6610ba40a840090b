// SPDX-License-Identifier: GPL-2.0
/* The model of memory: cells, and which of them are mapped where. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "pattern.h"

char *page_addr(size_t page)
{
	return ARENA + page * PAGE;
}

/* Behind the end of a file there is nothing. */
static bool page_allows(const struct world *world, size_t i, int prot)
{
	const struct vpage *page = &world->pages[i];

	return page->kind != KIND_NONE && page->prot & prot &&
	       (!kind_shared(page->kind) ||
		page->pgoff < world->shared->objects[page->object].nr_pages);
}

bool page_readable(const struct world *world, size_t page)
{
	return page_allows(world, page, PROT_READ);
}

bool page_writable(const struct world *world, size_t page)
{
	return page_allows(world, page, PROT_WRITE);
}

bool kind_shared(enum kind kind)
{
	return kind == KIND_SHMEM || kind == KIND_MEMFD || kind == KIND_HUGETLB_MEMFD;
}

bool kind_hugetlb(enum kind kind)
{
	return kind == KIND_HUGETLB || kind == KIND_HUGETLB_MEMFD;
}

/* --- cells ------------------------------------------------------------------ */

static uint32_t new_cell(struct world *world, uint32_t base)
{
	struct shared *shared = world->shared;

	/* One too many, rather than none; the sequence ends here. */
	if (shared->nr_cells == CELLS - 1)
		shared->exhausted = true;
	else
		shared->nr_cells++;
	shared->cells[shared->nr_cells] = (struct cell){ .base = base };
	return shared->nr_cells;
}

static uint32_t *cell_slot(const struct world *world, const struct vpage *page)
{
	if (kind_shared(page->kind))
		return &world->shared->objects[page->object].cells[page->pgoff];
	return (uint32_t *)&page->cell;
}

/* What a page of private memory has before anything is written to it */
static uint32_t page_base(const struct vpage *page)
{
	return page->kind == KIND_FILE ? 1U + page->pgoff : 0;
}

uint32_t page_cell(struct world *world, size_t page)
{
	uint32_t *slot = cell_slot(world, &world->pages[page]);

	if (!*slot)
		*slot = new_cell(world, page_base(&world->pages[page]));
	return *slot;
}

uint32_t object_cell(struct world *world, unsigned int object, size_t pgoff)
{
	uint32_t *slot = &world->shared->objects[object].cells[pgoff];

	if (!*slot)
		*slot = new_cell(world, 0);
	return *slot;
}

void object_forget(struct world *world, unsigned int object, struct range range)
{
	memset(world->shared->objects[object].cells + range.first, 0,
	       range.nr * sizeof(uint32_t));
}

static char *shadow(const struct world *world, const struct cell *cell)
{
	return world->shadows + (size_t)cell->shadow * PAGE;
}

static void base_read(uint32_t base, size_t off, size_t len, char *data)
{
	if (base)
		pattern_fill(data, len, (base - 1) * PAGE + off, FILE_SEED);
	else
		memset(data, 0, len);
}

void cell_read(const struct world *world, uint32_t index, uint32_t base, size_t off, size_t len,
	       char *data)
{
	const struct cell *cell = &world->shared->cells[index];

	if (!index) {
		base_read(base, off, len, data);
	} else if (cell->shadow) {
		memcpy(data, shadow(world, cell) + off, len);
	} else {
		base_read(cell->base, off, len, data);
		if (cell->stamp && off < sizeof(cell->stamp))
			memcpy(data, (const char *)&cell->stamp + off,
			       min_size(len, sizeof(cell->stamp) - off));
	}
}

static void give_shadow(struct world *world, uint32_t index)
{
	struct shared *shared = world->shared;
	struct cell *cell = &shared->cells[index];
	char data[PAGE];

	if (cell->shadow)
		return;
	cell_read(world, index, 0, 0, PAGE, data);
	if (shared->nr_shadows == SHADOWS - 1)
		shared->exhausted = true;
	else
		shared->nr_shadows++;
	cell->shadow = shared->nr_shadows;
	memcpy(shadow(world, cell), data, PAGE);
}

void cell_write(struct world *world, uint32_t index, size_t off, size_t len, const char *data)
{
	give_shadow(world, index);
	memcpy(shadow(world, &world->shared->cells[index]) + off, data, len);
}

void cell_stamp(struct world *world, uint32_t index, uint64_t stamp)
{
	struct cell *cell = &world->shared->cells[index];

	if (cell->shadow)
		memcpy(shadow(world, cell), &stamp, sizeof(stamp));
	else
		cell->stamp = stamp;
}

/* --- pages ------------------------------------------------------------------- */

void pages_forked(struct world *world)
{
	for (size_t i = 0; i < ARENA_PAGES; i++) {
		struct vpage *page = &world->pages[i];
		char data[PAGE];
		uint32_t copy;

		if (page->kind == KIND_HUGETLB)
			*page = (struct vpage){ };
		if (!page->cell)
			continue;
		copy = new_cell(world, world->shared->cells[page->cell].base);
		world->shared->cells[copy].stamp = world->shared->cells[page->cell].stamp;
		if (world->shared->cells[page->cell].shadow) {
			cell_read(world, page->cell, 0, 0, PAGE, data);
			cell_write(world, copy, 0, PAGE, data);
		}
		page->cell = copy;
	}
}

void pages_unmap(struct world *world, struct range range)
{
	memset(world->pages + range.first, 0, range.nr * sizeof(*world->pages));
}

/* @what and @nr name the page. */
static int compare(struct world *world, const char *what, size_t nr, const char *got,
		   const char *expected, struct reason *why)
{
	world->shared->stats.bytes += PAGE;
	if (!memcmp(got, expected, PAGE))
		return 0;
	for (size_t at = 0; at < PAGE; at++)
		if (got[at] != expected[at])
			return because(why, "%s page %zu, byte %zu: %#04x instead of %#04x", what,
				       nr, at, (uint8_t)got[at], (uint8_t)expected[at]);
	return because(why, "%s page %zu changes", what, nr);
}

int pages_check(struct world *world, struct range range, struct reason *why)
{
	char data[PAGE];

	for (size_t i = range.first; i < range.first + range.nr; i++) {
		const struct vpage *page = &world->pages[i];

		if (!page_readable(world, i))
			continue;
		cell_read(world, *cell_slot(world, page), page_base(page), 0, PAGE, data);
		if (compare(world, "memory at", i, page_addr(i), data, why))
			return -1;
	}
	return 0;
}

int object_check(struct world *world, unsigned int n, struct range range, struct reason *why)
{
	const struct object *object = &world->shared->objects[n];
	size_t end = min_size(range.first + range.nr, object->nr_pages);
	char data[PAGE], got[PAGE], what[32];

	snprintf(what, sizeof(what), "object %u,", n);
	for (size_t i = range.first; i < end; i++) {
		if (pread(world->fds[n], got, PAGE, (off_t)(i * PAGE)) != (ssize_t)PAGE)
			return because(why, "reading %s page %zu: %s", what, i, strerror(errno));
		cell_read(world, object->cells[i], 0, 0, PAGE, data);
		if (compare(world, what, i, got, data, why))
			return -1;
	}
	return 0;
}

/* What was ever written to them, or registered */
static int objects_check_all(struct world *world, struct reason *why)
{
	for (unsigned int n = 0; n < world->shared->nr_objects; n++)
		for (size_t i = 0; world->fds[n] >= 0 && i < SLOT_PAGES; i++)
			if (world->shared->objects[n].cells[i] &&
			    object_check(world, n, (struct range){ i, 1 }, why))
				return -1;
	return 0;
}

int pages_check_all(struct world *world, struct reason *why)
{
	for (size_t i = 0; i < ARENA_PAGES; i++)
		if (world->pages[i].kind != KIND_NONE && *cell_slot(world, &world->pages[i]) &&
		    pages_check(world, (struct range){ i, 1 }, why))
			return -1;
	return objects_check_all(world, why);
}

int pages_check_some(struct world *world, struct op *op, unsigned int nr, struct reason *why)
{
	while (nr--)
		if (pages_check(world, (struct range){ op_below(op, ARENA_PAGES), 1 }, why))
			return -1;
	return 0;
}

/* --- ranges ------------------------------------------------------------------- */

bool range_cuts_hugetlb(const struct world *world, struct range range)
{
	const struct vpage *pages = world->pages;
	size_t end = range.first + range.nr;

	return (range.first % HUGE_PAGES && kind_hugetlb(pages[range.first].kind)) ||
	       (end % HUGE_PAGES && kind_hugetlb(pages[end - 1].kind));
}

bool range_is_segment(const struct world *world, struct range range)
{
	const struct vpage *pages = world->pages + range.first;

	for (size_t i = 0; i < range.nr; i++)
		if (pages[i].kind == KIND_NONE || pages[i].segment != pages->segment)
			return false;
	return range.nr;
}

bool random_mapped(const struct world *world, struct op *op, size_t max, bool segment,
		   struct range *range)
{
	static const size_t lengths[] = { 1, 1, 2, 3, 8, 16, 17, 64, 130, 512, 600, 1024 };
	const struct vpage *pages = world->pages;
	size_t want = min_size(OP_PICK(op, lengths), max), first = op_below(op, ARENA_PAGES), n = 0;
	unsigned int align = op_below(op, 100);

	/* At edges of folios more often than chance would have it */
	first = ALIGN_DOWN(first, align < 30 ? HUGE_PAGES : align < 50 ? 16UL : 1UL);
	while (pages[first].kind == KIND_NONE) {
		if (n++ == ARENA_PAGES)
			return false;
		first = (first + 1) % ARENA_PAGES;
	}
	*range = (struct range){ first, 1 };
	while (range->nr < want && first + range->nr < ARENA_PAGES &&
	       pages[first + range->nr].kind != KIND_NONE &&
	       (!segment || pages[first + range->nr].segment == pages[first].segment))
		range->nr++;
	return true;
}

/* Each VMA is split where the range starts and ends, but what was apart stays apart. */
void range_new_segment(struct world *world, struct range range)
{
	uint32_t old = 0;

	for (size_t i = range.first; i < range.first + range.nr; i++) {
		struct vpage *page = &world->pages[i];

		if (page->kind != KIND_NONE && page->segment != old)
			world->segment++;
		old = page->segment;
		if (page->kind != KIND_NONE)
			page->segment = world->segment;
	}
}
