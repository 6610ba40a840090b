// SPDX-License-Identifier: GPL-2.0
#include "kernel.h"

#include <linux/pin_runs.h>

struct chunk_page {
	struct page page;
	struct chunk_page *next;
	void *addr;
};

unsigned long fuzz_allocated, fuzz_fail_alloc;
bool fuzz_spinning;
struct task_struct fuzz_task = { .flags = PF_KTHREAD };
void (*fuzz_sleeps)(void);
long fuzz_stats[FUZZ_NR_STATS];
static struct chunk_page *chunk_pages;

void fuzz_fail(const char *file, int line, const char *what)
{
	fprintf(stderr, "FAILED %s:%d: %s\n", file, line, what);
	abort();
}

void *fuzz_alloc(size_t bytes)
{
	if (fuzz_fail_alloc && !--fuzz_fail_alloc)
		return NULL;
	fuzz_allocated++;
	return malloc(bytes);
}

void fuzz_free(const void *addr)
{
	if (!addr)
		return;
	must(fuzz_allocated);
	fuzz_allocated--;
	free((void *)addr);
}

unsigned long __get_free_page(gfp_t gfp)
{
	struct chunk_page *chunk = fuzz_alloc(sizeof(*chunk));

	(void)gfp;
	if (!chunk)
		return 0;
	/* Nothing but malloc() has red zones of any size, and they have to be there. */
	chunk->addr = malloc(PAGE_SIZE);
	chunk->next = chunk_pages;
	chunk_pages = chunk;
	return (unsigned long)chunk->addr;
}

void free_page(unsigned long addr)
{
	struct chunk_page **p = &chunk_pages, *chunk;

	if (!addr)
		return;
	while (*p && (*p)->addr != (void *)addr)
		p = &(*p)->next;
	must(*p);
	chunk = *p;
	*p = chunk->next;
	free(chunk->addr);
	fuzz_free(chunk);
}

struct page *virt_to_page(void *addr)
{
	struct chunk_page *chunk = chunk_pages;

	while (chunk && chunk->addr != addr)
		chunk = chunk->next;
	must(chunk);
	return &chunk->page;
}

void *page_address(struct page *page)
{
	return container_of(page, struct chunk_page, page)->addr;
}

/* Where @index is, or has to be */
static unsigned int position(const struct xarray *xa, unsigned long index)
{
	unsigned int i = 0;

	while (i < xa->nr && xa->entries[i].index != index)
		i++;
	return i;
}

void *xa_load(struct xarray *xa, unsigned long index)
{
	unsigned int i = position(xa, index);

	return i < xa->nr ? xa->entries[i].ptr : NULL;
}

int xa_insert(struct xarray *xa, unsigned long index, void *ptr, gfp_t gfp)
{
	void *entry;

	if (xa_load(xa, index))
		return -EBUSY;
	entry = fuzz_alloc_gfp(1, gfp);
	if (!entry)
		return -ENOMEM;
	fuzz_free(entry);
	xa->entries = realloc(xa->entries, (xa->nr + 1) * sizeof(*xa->entries));
	xa->entries[xa->nr++] = (struct xa_entry){ index, ptr };
	return 0;
}

void *xa_erase(struct xarray *xa, unsigned long index)
{
	unsigned int i = position(xa, index);
	void *ptr;

	must(i < xa->nr);
	ptr = xa->entries[i].ptr;
	xa->entries[i] = xa->entries[--xa->nr];
	if (!xa->nr) {
		free(xa->entries);
		xa->entries = NULL;
	}
	return ptr;
}

void folio_put_refs(struct folio *folio, int refs)
{
	must(folio->page.refs >= refs);
	folio->page.refs -= refs;
}

void unpin_user_folio(struct folio *folio, unsigned long pins)
{
	if (is_zero_folio(folio))
		return;
	folio_put_refs(folio, (int)pins * GUP_PIN_COUNTING_BIAS);
	fuzz_stats[NR_FOLL_PIN_RELEASED] += (long)pins;
}

int try_grab_folio(struct folio *folio, int pins, unsigned int flags)
{
	must(folio->page.refs > 0 && flags & FOLL_PIN && !is_zero_folio(folio));
	folio->page.refs += pins * GUP_PIN_COUNTING_BIAS;
	fuzz_stats[NR_FOLL_PIN_ACQUIRED] += pins;
	return 0;
}
