// SPDX-License-Identifier: GPL-2.0
/* Large tables, and many rings. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "charge.h"
#include "registration.h"
#include "stress.h"
#include "uring.h"

/* --- slots ----------------------------------------------------------------------------- */

#define SLOTS		URING_MAX_BUFFERS
#define SLOT_PAGES	2		/* at most */
#define AT_ONCE		64

static struct slots {
	struct io_uring ring;
	int memfd;
	char *area;			/* each page starts with its number */
	struct iovec iovs[SLOTS];	/* what each slot has; no base: nothing */
} slots;

static struct iovec random_iov(uint64_t *rng)
{
	size_t pages = rng_below(rng, SLOT_PAGES + 1);

	if (!pages)
		return (struct iovec){ NULL, 0 };
	return (struct iovec){ slots.area + rng_below(rng, SLOTS - SLOT_PAGES) * PAGE,
			       pages * PAGE };
}

/* One page of a slot, or of none, goes to a file. */
static int check_slot(unsigned int slot, uint64_t *rng, struct reason *why)
{
	struct iovec iov = slots.iovs[slot];
	char *addr = iov.iov_base ? iov.iov_base : slots.area;
	uint64_t number = 0;
	int ret;

	if (iov.iov_base)
		addr += rng_below(rng, iov.iov_len / PAGE) * PAGE;
	io_uring_prep_write_fixed(io_uring_get_sqe(&slots.ring), slots.memfd, addr, PAGE, 0,
				  (int)slot);
	ret = uring_one(&slots.ring);
	if (!iov.iov_base)
		return ret == -EFAULT ? 0 : because(why, "slot %u is empty: %d", slot, ret);
	if (ret != (int)PAGE)
		return because(why, "slot %u: %s", slot, strerror(-ret));
	if (pread(slots.memfd, &number, 8, 0) != 8 ||
	    number != (uint64_t)(addr - slots.area) / PAGE + 1)
		return because(why, "slot %u has page %llu instead of %zu", slot,
			       (unsigned long long)number, (size_t)(addr - slots.area) / PAGE + 1);
	return 0;
}

static int update_slots(uint64_t *rng, struct reason *why)
{
	unsigned int nr = 1 + (unsigned int)rng_below(rng, AT_ONCE);
	unsigned int first = (unsigned int)rng_below(rng, SLOTS - nr);
	int ret;

	for (unsigned int i = 0; i < nr; i++)
		slots.iovs[first + i] = random_iov(rng);
	ret = uring_update(&slots.ring, first, &slots.iovs[first], nr);
	return ret == (int)nr ? 0 : because(why, "updating %u slots: %d", nr, ret);
}

int stress_slots(struct stress *stress, struct reason *why)
{
	struct iovec too_many[1] = { { NULL, 0 } };
	uint64_t *rng = &stress->rng;
	int ret;

	if (ring_init(&slots.ring, true, why))
		return -1;
	slots.memfd = memfd_create("slots", MFD_CLOEXEC);
	slots.area = mmap(NULL, SLOTS * PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (slots.memfd < 0 || slots.area == MAP_FAILED)
		die("out of memory");
	for (uint64_t i = 0; i < SLOTS; i++) {
		*(uint64_t *)(slots.area + i * PAGE) = i + 1;
		slots.iovs[i] = random_iov(rng);
	}
	ret = uring_register(slots.ring.ring_fd, IORING_REGISTER_BUFFERS, slots.iovs, SLOTS + 1);
	if (ret != -EINVAL)
		return because(why, "%u slots: %d", SLOTS + 1, ret);
	ret = io_uring_register_buffers(&slots.ring, slots.iovs, SLOTS);
	if (ret)
		because(why, "registering %u buffers: %s", SLOTS, strerror(-ret));
	while (!ret && stress_again(stress)) {
		ret = update_slots(rng, why);
		for (int i = 0; !ret && i < 16; i++)
			ret = check_slot((unsigned int)rng_below(rng, SLOTS), rng, why);
		stress->effects++;
	}
	if (!ret && uring_update(&slots.ring, SLOTS - 1, too_many, 2) != -EINVAL)
		ret = because(why, "a slot behind the last one was updated");
	for (unsigned int slot = 0; !ret && slot < SLOTS; slot += 16)
		ret = check_slot(slot, rng, why);
	io_uring_queue_exit(&slots.ring);
	close(slots.memfd);
	munmap(slots.area, SLOTS * PAGE);
	snprintf(stress->detail, sizeof(stress->detail), "%llu updates",
		 (unsigned long long)stress->effects);
	return ret;
}

/* --- rings ----------------------------------------------------------------------------- */

#define RINGS		100
#define SET_BUFFERS	32
#define BUFFER_PAGES	4
#define SET_PAGES	(SET_BUFFERS * BUFFER_PAGES)

/*
 * A set is all that was registered with one call; a ring has one or none. Single pages are
 * charged to each buffer, so a set costs what it has, and its clones nothing.
 */
static struct {
	struct io_uring ring[RINGS];
	int set[RINGS];			/* -1: none */
	unsigned int refs[RINGS * 2];	/* rings that have the set */
	char *area;
	struct iovec iovs[SET_BUFFERS];
	int memfd;
} rings;

static void drop_set(unsigned int r)
{
	if (rings.set[r] >= 0)
		rings.refs[rings.set[r]]--;
	rings.set[r] = -1;
}

static int new_set(unsigned int r)
{
	int set = 0;

	while (rings.refs[set])
		set++;
	rings.refs[set] = 1;
	rings.set[r] = set;
	return io_uring_register_buffers(&rings.ring[r], rings.iovs, SET_BUFFERS);
}

static int rings_step(struct stress *stress, struct reason *why)
{
	unsigned int r = (unsigned int)rng_below(&stress->rng, RINGS);
	unsigned int src = (unsigned int)rng_below(&stress->rng, RINGS);
	uint64_t number = 0;
	unsigned int buffer, page;
	int ret;

	switch (rng_below(&stress->rng, 8)) {
	case 0:
		if (rings.set[r] >= 0)
			break;
		ret = new_set(r);
		return ret ? because(why, "registering: %s", strerror(-ret)) : 0;
	case 1:
	case 2:
	case 3:
		if (rings.set[r] >= 0 || rings.set[src] < 0)
			break;
		ret = uring_clone(&rings.ring[r], &rings.ring[src], 0, 0, 0, 0);
		if (ret)
			return because(why, "clone: %s", strerror(-ret));
		rings.set[r] = rings.set[src];
		rings.refs[rings.set[r]]++;
		stress->effects++;
		return 0;
	case 4:
		if (rings.set[r] < 0)
			break;
		drop_set(r);
		ret = io_uring_unregister_buffers(&rings.ring[r]);
		return ret ? because(why, "unregistering: %s", strerror(-ret)) : 0;
	case 5:
		drop_set(r);
		io_uring_queue_exit(&rings.ring[r]);
		return ring_init(&rings.ring[r], true, why);
	}
	if (rings.set[r] < 0)
		return 0;
	buffer = (unsigned int)rng_below(&stress->rng, SET_BUFFERS);
	page = (unsigned int)rng_below(&stress->rng, BUFFER_PAGES);
	io_uring_prep_write_fixed(io_uring_get_sqe(&rings.ring[r]), rings.memfd,
				  (char *)rings.iovs[buffer].iov_base + page * PAGE, PAGE, 0,
				  (int)buffer);
	ret = uring_one(&rings.ring[r]);
	if (ret != (int)PAGE || pread(rings.memfd, &number, 8, 0) != 8 ||
	    number != buffer * BUFFER_PAGES + page + 1)
		return because(why, "ring %u, buffer %u, page %u: %d, found page %llu", r, buffer,
			       page, ret, (unsigned long long)number);
	return 0;
}

/* A ring that was closed lets go of its buffers later. */
static int check_pinned(struct reason *why)
{
	long expected = 0, pinned = -1;

	for (size_t set = 0; set < ARRAY_SIZE(rings.refs); set++)
		expected += rings.refs[set] ? SET_PAGES : 0;
	for (int i = 0; i < 200; i++) {
		pinned = charge_pinned();
		if (pinned == expected)
			return 0;
		usleep(20000);
	}
	return because(why, "%ld pages are charged instead of %ld", pinned, expected);
}

int stress_rings(struct stress *stress, struct reason *why)
{
	int ret = 0;

	rings.memfd = memfd_create("rings", MFD_CLOEXEC);
	rings.area = mmap(NULL, SET_PAGES * PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (rings.memfd < 0 || rings.area == MAP_FAILED)
		die("out of memory");
	/* Single pages, whatever the cases before have allowed */
	madvise(rings.area, SET_PAGES * PAGE, MADV_NOHUGEPAGE);
	for (uint64_t i = 0; i < SET_PAGES; i++)
		*(uint64_t *)(rings.area + i * PAGE) = i + 1;
	for (size_t i = 0; i < SET_BUFFERS; i++)
		rings.iovs[i] = (struct iovec){ rings.area + i * BUFFER_PAGES * PAGE,
						BUFFER_PAGES * PAGE };
	memset(rings.refs, 0, sizeof(rings.refs));
	for (unsigned int r = 0; r < RINGS; r++) {
		rings.set[r] = -1;
		if (ring_init(&rings.ring[r], true, why))
			return -1;
	}
	while (!ret && stress_again(stress)) {
		for (int i = 0; !ret && i < 100; i++)
			ret = rings_step(stress, why);
		if (!ret)
			ret = check_pinned(why);
	}
	for (unsigned int r = 0; r < RINGS; r++)
		io_uring_queue_exit(&rings.ring[r]);
	close(rings.memfd);
	munmap(rings.area, SET_PAGES * PAGE);
	snprintf(stress->detail, sizeof(stress->detail), "%llu clones",
		 (unsigned long long)stress->effects);
	return ret;
}
