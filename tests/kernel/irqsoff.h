/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The longest time for which interrupts were off, from the kernel's irqsoff tracer
 * (CONFIG_IRQSOFF_TRACER), and the functions in which that time began and ended.
 *
 * It is the longest one of the whole system, so have nothing else run, and look where it was. The
 * tracer's own work is included.
 */
#ifndef TESTS_KERNEL_IRQSOFF_H
#define TESTS_KERNEL_IRQSOFF_H

#include "util.h"

struct irqsoff {
	int on_fd;		/* tracing_on */
};

struct irqsoff_span {
	uint64_t usec;
	char began[64];
	char ended[64];
};

/* 0, or -1 with @why. Needs root. */
int irqsoff_open(struct irqsoff *tracer, struct reason *why);
void irqsoff_close(struct irqsoff *tracer);

/* Forgets the longest span and looks for the next from its return to the call of _stop. */
int irqsoff_start(struct irqsoff *tracer, struct reason *why);
int irqsoff_stop(struct irqsoff *tracer, struct irqsoff_span *span, struct reason *why);

#endif
