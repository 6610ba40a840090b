/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Pins user memory for long, and reads and writes what is pinned, through the pin: not through
 * the page tables of this process, but through the pages that the kernel holds.
 */
#ifndef TESTS_KERNEL_RACE_PIN_H
#define TESTS_KERNEL_RACE_PIN_H

#include <liburing.h>

#include "util.h"

#define PAGE	(4 * KIB)

enum pin_way {
	PIN_IO_URING,	/* a registered buffer; READ_FIXED and WRITE_FIXED on a memfd */
	PIN_PAGES,	/* gup_test: pin_user_pages_fast() */
	PIN_RUNS,	/* gup_test: pin_user_runs_alloc() */
	PIN_WAYS,
};

extern const char * const pin_way_names[PIN_WAYS];

struct pinner {
	struct io_uring ring;
	int gup_test;
	int memfd;
	size_t max_pages;
	bool works[PIN_WAYS];		/* what the kernel has */
	bool writes[PIN_WAYS];		/* whether it has pin_write(), too */
	/*
	 * The content of the pinned memory: pin_read() fills it, pin_write() takes it from here.
	 * Mapped shared, so that fork() leaves it alone.
	 */
	char *copy;
	/* What is held. */
	enum pin_way way;
	void *addr;
	size_t nr_pages;
};

/* Ends the program when there is no way at all to pin. */
void pinner_init(struct pinner *pinner, size_t max_pages);
void pinner_exit(struct pinner *pinner);

/* A registered buffer is always pinned for writing. Each of these: 0 or -errno. */
int pin_hold(struct pinner *pinner, enum pin_way way, void *addr, size_t nr_pages, bool write);
/* A registered buffer that is read-only; -EINVAL on kernels that have none */
int pin_hold_source(struct pinner *pinner, void *addr, size_t nr_pages);
int pin_read(struct pinner *pinner);
int pin_write(struct pinner *pinner);
int pin_release(struct pinner *pinner);

#endif
