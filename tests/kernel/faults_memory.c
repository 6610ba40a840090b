// SPDX-License-Identifier: GPL-2.0
/* Memory for "faults": see faults.h. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "faults.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

const struct fault_memory_kind fault_memory_kinds[] = {
	{ "4K", { .backing = BACKING_4K }, ANEW_NEVER, false, true },
	{ "64K", { .backing = BACKING_64K }, ANEW_NEVER, false, false },
	{ "THP", { .backing = BACKING_THP }, ANEW_NEVER, false, false },
	{ "THP by PTEs", { .backing = BACKING_THP_PTES }, ANEW_NEVER, false, false },
	{ "mixed", { .backing = BACKING_THP, .replace_every = 2 * MIB }, ANEW_NEVER, false, true },
	{ "shmem", { .backing = BACKING_SHMEM_4K }, ANEW_NEVER, false, false },
	{ "hugetlb", { .backing = BACKING_HUGETLB_2M }, ANEW_NEVER, false, true },
	{ "4K absent", { .backing = BACKING_4K }, ANEW_ABSENT, false, true },
	{ "64K absent", { .backing = BACKING_64K }, ANEW_ABSENT, false, false },
	{ "THP absent", { .backing = BACKING_THP }, ANEW_ABSENT, false, true },
	{ "shmem absent", { .backing = BACKING_SHMEM_4K }, ANEW_ABSENT, false, false },
	{ "hugetlb absent", { .backing = BACKING_HUGETLB_2M }, ANEW_ABSENT, false, false },
	{ "zero page", { .backing = BACKING_4K }, ANEW_ZERO, false, false },
	{ "private file", { .backing = BACKING_SHMEM_4K }, ANEW_FILE, false, true },
	{ "4K forked", { .backing = BACKING_4K }, ANEW_FORKED, false, false },
	{ "THP forked", { .backing = BACKING_THP }, ANEW_FORKED, false, false },
	{ "4K movable", { .backing = BACKING_4K }, ANEW_PAGES, true, true },
	{ "64K movable", { .backing = BACKING_64K }, ANEW_PAGES, true, false },
	{ "THP movable", { .backing = BACKING_THP }, ANEW_PAGES, true, true },
	{ "shmem movable", { .backing = BACKING_SHMEM_4K }, ANEW_PAGES, true, false },
};
const size_t nr_fault_memory_kinds = ARRAY_SIZE(fault_memory_kinds);

int fault_memory_map(struct fault_memory *memory, const struct fault_memory_kind *kind,
		     size_t size, struct reason *why)
{
	struct layout layout = kind->layout;

	memset(memory, 0, sizeof(*memory));
	memory->file = -1;
	layout.size = ALIGN_UP(size, backing_page_size(layout.backing));
	if (layout.replace_every)	/* THPs of which each has a page replaced */
		layout.replace_every = 2 * MIB;
	if (memory_map(&memory->mem, &layout, why))
		return -1;
	memory->kind = kind;
	memory->addr = memory->mem.addr;
	memory->size = memory->mem.size;
	if (kind->anew == ANEW_FILE) {
		memory->file = memfd_create("private", MFD_CLOEXEC);
		if (memory->file < 0 || ftruncate(memory->file, (off_t)memory->size) ||
		    mmap(memory->addr, memory->size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_FIXED, memory->file, 0) == MAP_FAILED)
			die("private mapping: %s", strerror(errno));
	} else if (kind->anew != ANEW_NEVER && memory->mem.page_size > PAGE &&
		   backing_is_anonymous(layout.backing)) {
		/* memory_map() left it so that it stays as it is. */
		if (madvise(memory->addr, memory->size, MADV_HUGEPAGE))
			die("MADV_HUGEPAGE: %s", strerror(errno));
	}
	return 0;
}

static void drop(struct fault_memory *memory)
{
	bool file = !backing_is_anonymous(memory->mem.layout.backing) && memory->file < 0;

	if (madvise(memory->addr, memory->size, file ? MADV_REMOVE : MADV_DONTNEED))
		die("dropping pages: %s", strerror(errno));
}

static void populate(struct fault_memory *memory)
{
	if (madvise(memory->addr, memory->size, MADV_POPULATE_WRITE))
		die("MADV_POPULATE_WRITE: %s", strerror(errno));
}

void fault_memory_renew(struct fault_memory *memory)
{
	const volatile char *p = memory->addr;
	enum anew anew = memory->kind->anew;

	if (anew != ANEW_NEVER)
		drop(memory);
	if (anew == ANEW_PAGES || anew == ANEW_FORKED)
		populate(memory);
	if (anew == ANEW_ZERO || anew == ANEW_FILE)
		for (size_t off = 0; off < memory->size; off += PAGE)
			(void)p[off];
	if (anew == ANEW_FORKED) {
		memory->child = fork();
		if (memory->child < 0)
			die("fork: %s", strerror(errno));
		while (!memory->child)
			pause();
	}
}

void fault_memory_settle(struct fault_memory *memory)
{
	if (!memory->child)
		return;
	kill(memory->child, SIGKILL);
	if (waitpid(memory->child, NULL, 0) != memory->child)
		die("waitpid: %s", strerror(errno));
	memory->child = 0;
}

void fault_memory_unmap(struct fault_memory *memory)
{
	memory_unmap(&memory->mem);
	if (memory->file >= 0)
		close(memory->file);
}
