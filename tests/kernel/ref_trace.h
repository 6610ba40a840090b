/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The atomic operations on reference counts of user memory that a system call of this thread
 * makes: the page_ref events (CONFIG_DEBUG_PAGE_REF), counted by histograms in the kernel
 * (CONFIG_HIST_TRIGGERS). Unlike a ring buffer these lose nothing, or tell.
 *
 * Counted is what changes the reference count of a folio that has a mapping, as memory of the
 * user has and memory that the kernel allocates for itself has not; nothing in interrupts. A
 * folio of more than one page has a count of its pins besides, _pincount, for which there are no
 * events.
 *
 * Tracing costs instructions, so never time what is traced.
 */
#ifndef TESTS_KERNEL_REF_TRACE_H
#define TESTS_KERNEL_REF_TRACE_H

#include "util.h"

#define REF_TRACE_EVENTS	7

struct ref_trace {
	int trigger_fds[REF_TRACE_EVENTS];
};

struct ref_usage {
	uint64_t ops;		/* atomic operations */
	uint64_t taken;		/* references that they added, the sum of all */
	uint64_t dropped;	/* and gave back */
};

/* 0, or -1 with @why and nothing left behind. Counts for the thread that calls it. Needs root. */
int ref_trace_open(struct ref_trace *trace, struct reason *why);
void ref_trace_close(struct ref_trace *trace);

/* Counts from the return of _start to the call of _stop. */
int ref_trace_start(struct ref_trace *trace, struct reason *why);
int ref_trace_stop(struct ref_trace *trace, struct ref_usage *usage, struct reason *why);

#endif
