// SPDX-License-Identifier: GPL-2.0
/*
 * ring_memory: rings of io_uring in memory that the program brings (IORING_SETUP_NO_MMAP), in one
 * folio or in many pages anywhere. Requests come and go through it; what is pinned goes with the
 * ring, also when the program has unmapped it; memory that cannot be had leaves nothing behind.
 * Ends with "N passed, N failed, N skipped".
 */
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"
#include "layouts.h"
#include "vmstat.h"

#define SETUP_NO_MMAP	(1U << 14)	/* newer headers have it */
#define PAGE		(4 * KIB)
#define ENTRIES		4096
#define SQES_BYTES	(ENTRIES * sizeof(struct io_uring_sqe))
#define RINGS_BYTES	(256 * KIB)	/* more than ENTRIES and twice as many results take */
#define ROUNDS		4

struct ring {
	int fd;
	char *rings;
	struct io_uring_sqe *sqes;
	struct io_uring_params params;
};

/* Addresses for the kernel are where the offsets have a place that is not used otherwise. */
static int ring_open(struct ring *ring, char *memory)
{
	struct io_uring_params *p = &ring->params;
	uint64_t addr;

	memset(ring, 0, sizeof(*ring));
	ring->rings = memory;
	ring->sqes = (struct io_uring_sqe *)(memory + RINGS_BYTES);
	p->flags = SETUP_NO_MMAP;
	addr = (uintptr_t)ring->rings;
	memcpy((char *)&p->cq_off + sizeof(p->cq_off) - sizeof(addr), &addr, sizeof(addr));
	addr = (uintptr_t)ring->sqes;
	memcpy((char *)&p->sq_off + sizeof(p->sq_off) - sizeof(addr), &addr, sizeof(addr));
	ring->fd = (int)syscall(SYS_io_uring_setup, ENTRIES, p);
	return ring->fd < 0 ? -errno : 0;
}

static unsigned int *at(const struct ring *ring, unsigned int offset)
{
	return (unsigned int *)(ring->rings + offset);
}

/* All entries at once, in another order each time; every result has to come once. */
static int round_trip(struct ring *ring, unsigned int round, struct reason *why)
{
	const struct io_uring_params *p = &ring->params;
	unsigned int *array = at(ring, p->sq_off.array), *tail = at(ring, p->sq_off.tail);
	unsigned int *head = at(ring, p->cq_off.head), mask = *at(ring, p->cq_off.ring_mask);
	struct io_uring_cqe *cqes = (struct io_uring_cqe *)at(ring, p->cq_off.cqes);
	static bool seen[ENTRIES];
	long ret;

	memset(seen, 0, sizeof(seen));
	for (unsigned int i = 0; i < ENTRIES; i++) {
		unsigned int slot = (i * 7 + round) % ENTRIES;

		memset(&ring->sqes[slot], 0, sizeof(ring->sqes[slot]));
		ring->sqes[slot].opcode = IORING_OP_NOP;
		ring->sqes[slot].user_data = ((uint64_t)round << 32) + slot;
		array[(*tail + i) % ENTRIES] = slot;
	}
	__atomic_store_n(tail, *tail + ENTRIES, __ATOMIC_RELEASE);
	ret = syscall(SYS_io_uring_enter, ring->fd, ENTRIES, ENTRIES, IORING_ENTER_GETEVENTS, NULL, 0);
	if (ret != ENTRIES)
		return because(why, "%ld requests taken", ret);
	for (unsigned int i = 0; i < ENTRIES; i++) {
		const struct io_uring_cqe *cqe = &cqes[*head & mask];
		uint64_t slot = cqe->user_data - ((uint64_t)round << 32);

		if (*head == __atomic_load_n(at(ring, p->cq_off.tail), __ATOMIC_ACQUIRE))
			return because(why, "%u results", i);
		if (slot >= ENTRIES || seen[slot] || cqe->res)
			return because(why, "a result of %llu: %d",
				       (unsigned long long)cqe->user_data, cqe->res);
		seen[slot] = true;
		__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	}
	return 0;
}

static int test_trips(const struct memory *mem, struct reason *why)
{
	struct ring ring;
	int ret = ring_open(&ring, mem->addr);

	if (ret)
		return because(why, "setting up: %s", strerror(-ret));
	for (unsigned int i = 0; i < ROUNDS && !ret; i++)
		ret = round_trip(&ring, i, why);
	if (!ret)
		munmap(mem->addr, mem->size);
	close(ring.fd);
	return ret;
}

static int refuse(const struct memory *mem, const char *what, struct reason *why)
{
	struct ring ring;
	int ret = ring_open(&ring, mem->addr);

	if (!ret)
		close(ring.fd);
	return ret == -EFAULT ? 0 : because(why, "%s: %s", what, ret ? strerror(-ret) : "accepted");
}

static int test_bad(const struct memory *mem, struct reason *why)
{
	char *page = mem->addr + RINGS_BYTES + SQES_BYTES - PAGE;

	mprotect(page, PAGE, PROT_READ);
	if (refuse(mem, "a page that is read-only", why))
		return -1;
	munmap(page, PAGE);
	if (refuse(mem, "a hole in the entries", why))
		return -1;
	munmap(mem->addr + PAGE, PAGE);
	return refuse(mem, "a hole in the rings", why);
}

static const struct test {
	const char *name;
	int (*run)(const struct memory *mem, struct reason *why);
	struct layout layout;
} tests[] = {
	{ "single pages", test_trips, { .backing = BACKING_4K, .size = MIB } },
	{ "folios of 64K", test_trips, { .backing = BACKING_64K, .size = MIB } },
	{ "one huge page", test_trips, { .backing = BACKING_THP, .size = 2 * MIB } },
	{ "one huge page, mapped by pages", test_trips,
		{ .backing = BACKING_THP_PTES, .size = 2 * MIB } },
	{ "a huge page with another page", test_trips,
		{ .backing = BACKING_THP, .size = 2 * MIB, .replace_every = 2 * MIB } },
	{ "bad memory, single pages", test_bad, { .backing = BACKING_4K, .size = MIB } },
	{ "bad memory, one huge page", test_bad, { .backing = BACKING_THP, .size = 2 * MIB } },
};

int main(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(tests); i++) {
		struct vmstat start;
		struct memory mem;
		struct reason why;
		int ret;

		vmstat_start(&start);
		ret = memory_map(&mem, &tests[i].layout, &why);
		if (!ret) {
			ret = tests[i].run(&mem, &why);
			memory_unmap(&mem);
		}
		bench_tell(tests[i].name, ret ? ret : vmstat_balanced(&start, &why), &why);
	}
	return bench_end();
}
