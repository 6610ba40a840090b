/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Memory whose last page comes when the test says so: a userfaultfd holds the fault. Who pins all
 * of it has pinned what is before that page, or a part, and sleeps until then.
 */
#ifndef TESTS_KERNEL_HELD_H
#define TESTS_KERNEL_HELD_H

#include "util.h"

struct held {
	char *addr;
	size_t size;		/* bytes, with the page that does not come */
	int fd;			/* of the userfaultfd, or -1 */
	void *map;
	size_t map_size;
};

/*
 * @size bytes: all but the last page are there then, with @huge as THPs where these fit, from the
 * start on. The others are single pages. Needs root.
 */
void held_map(struct held *held, size_t size, bool huge);
/* Lets the page come, with what is at @content (NULL: zeroes), if it has not come yet. */
void held_give(struct held *held, const void *content);
/* No access to the page from now on: who waits for it gets -EFAULT. */
void held_refuse(struct held *held);
void held_unmap(struct held *held);

/* Waits until somebody needs the page. False after @seconds. */
bool held_reached(const struct held *held, unsigned int seconds);

/* Where the page that does not come begins */
static inline char *held_page(const struct held *held)
{
	return held->addr + held->size - 4 * KIB;
}

#endif
