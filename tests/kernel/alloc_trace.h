/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Kernel memory that a system call of this thread allocates, as the allocators themselves report
 * it: the kmem:kmalloc, kmem:kmem_cache_alloc, vmalloc:alloc_vmap_area and kmem:mm_page_alloc
 * events and their counterparts, in a tracefs instance of its own, allocations and frees paired
 * by address.
 *
 * Sizes are what the allocator really gives (bytes_alloc: the slab object, or whole pages of a
 * large kmalloc; for vmalloc the area without its guard page, plus its descriptors, which are
 * slab objects like any other; whole pages from the page allocator). Nothing is counted twice:
 * the page allocator also hands out what is behind slabs, large kmallocs and vmalloc areas, and
 * folios and page tables for the user's memory. Those requests have __GFP_COMP or __GFP_NOWARN
 * set, and a program or kernel function that wants a few pages for itself has neither.
 *
 * Tracing costs instructions, so never time what is traced.
 */
#ifndef TESTS_KERNEL_ALLOC_TRACE_H
#define TESTS_KERNEL_ALLOC_TRACE_H

#include "util.h"

struct alloc_trace {
	int on_fd;	/* tracing_on, kept open so that opening it is not traced */
};

struct alloc_usage {
	uint64_t kept;			/* bytes allocated and not freed when tracing stopped */
	uint64_t peak;			/* most bytes at any one time */
	uint64_t allocations;
};

/* 0, or -1 with @why and nothing left behind. Needs root and CONFIG_EVENT_TRACING. */
int alloc_trace_open(struct alloc_trace *trace, struct reason *why);
void alloc_trace_close(struct alloc_trace *trace);

/* Tracing is on from the return of _start to the call of _stop. */
int alloc_trace_start(struct alloc_trace *trace, struct reason *why);
int alloc_trace_stop(struct alloc_trace *trace, struct alloc_usage *usage, struct reason *why);

#endif
