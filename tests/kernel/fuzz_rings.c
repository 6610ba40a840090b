// SPDX-License-Identifier: GPL-2.0
/* Operations on rings and their tables of buffers, and what is charged for these */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "uring.h"

#define FRAMES		(1UL << 20)	/* page frames: 4 GiB */
#define FOLIOS		(1U << 18)	/* that were registered in a sequence */
#define LOG_PAGES	(1U << 19)	/* of all buffers of a sequence */
#define NO_LIMIT	(GIB / PAGE)

static void *must_calloc(size_t nr, size_t size)
{
	void *memory = calloc(nr, size);

	if (!memory)
		die("out of memory");
	return memory;
}

void rings_init(struct world *world)
{
	memset(world->rings, 0, sizeof(world->rings));
	world->memory = (struct acct_memory){
		.folio = must_calloc(LOG_PAGES, sizeof(*world->memory.folio)),
		.nr_folios = FOLIOS,
		.folio_pages = must_calloc(FOLIOS, sizeof(*world->memory.folio_pages)),
	};
	world->folio_of = must_calloc(FRAMES, sizeof(*world->folio_of));
	acct_init(&world->acct, ACCT_SHARED, &world->memory);
	world->memory.nr_folios = 1;
	world->shared->charged[world->self] = 0;
}

/* To all processes: of the same user */
static void tell_charged(struct world *world)
{
	long *charged = &world->shared->charged[world->self];

	*charged = world->acct.charged;
	for (unsigned int r = 0; r < RINGS; r++)
		*charged += world->rings[r].open;
}

struct fuzz_ring *world_ring(struct world *world, unsigned int r, struct reason *why)
{
	struct fuzz_ring *ring = &world->rings[r];
	int ret;

	if (ring->open)
		return ring;
	memset(ring, 0, sizeof(*ring));
	ret = charge_ring_init(&ring->uring);
	if (ret || pipe(ring->pipe)) {
		because(why, "a new ring: %s", strerror(ret ? -ret : errno));
		return NULL;
	}
	ring->open = true;
	tell_charged(world);
	return ring;
}

/* --- what is charged ---------------------------------------------------------- */

static unsigned long user_charged(const struct world *world)
{
	long sum = 0;

	for (unsigned int i = 0; i < PROCS; i++)
		sum += world->shared->charged[i];
	return (unsigned long)sum;
}

int charge_check(struct world *world, struct reason *why)
{
	long expected = world->acct.charged, pinned = 0;

	/*
	 * What a ring leaves to be done when it is closed, and a worker thread after the result of
	 * a request is there, has an end but no moment.
	 */
	for (unsigned int tries = world->shared->patience; tries; tries--) {
		pinned = charge_pinned();
		if (pinned == expected)
			return 0;
		usleep(PATIENCE_USEC);
	}
	return because(why, "VmPin is %ld pages instead of %ld", pinned, expected);
}

/* Numbers for the folios of pages that are pinned now. One that has users stays what it is. */
static int number_folios(struct world *world, size_t nr, struct reason *why)
{
	struct acct_memory *memory = &world->memory;

	for (size_t i = 0; i < nr; i++) {
		const struct page_folio *page = &world->folios[i];
		unsigned int number;

		if (page->head >= FRAMES || memory->nr_folios == FOLIOS)
			die("more memory than expected");
		number = world->folio_of[page->head];
		if (!number)
			number = world->folio_of[page->head] = memory->nr_folios++;
		if (memory->folio_pages[number] != page->nr_pages) {
			if (world->acct.users[0][number])
				return because(why, "a folio of %u pages has become one of %u"
					       " while it was pinned",
					       memory->folio_pages[number], page->nr_pages);
			memory->folio_pages[number] = page->nr_pages;
		}
		memory->folio[memory->nr_pages + i] = number;
	}
	return 0;
}

int user_check(struct world *world, struct reason *why)
{
	long sum = (long)user_charged(world);
	int ret = -1;

	for (unsigned int tries = world->shared->patience; ret && tries; tries--) {
		ret = charge_probe_check(&world->probe, sum, why);
		if (ret)
			usleep(PATIENCE_USEC);
	}
	return ret;
}

static struct range desc_range(const struct uring_desc *desc)
{
	size_t start = desc->uaddr - (uintptr_t)ARENA, end = ALIGN_UP(start + desc->size, PAGE);

	return (struct range){ start / PAGE, end / PAGE - start / PAGE };
}

/* What the folios of @nr mapped pages are */
static int mapped_folios(struct world *world, const char *addr, size_t nr, struct reason *why)
{
	/* Reclaim may have taken what is pinned out of the page tables, if it is shared. */
	for (size_t i = 0; i < nr; i++)
		(void)*(volatile const char *)(addr + i * PAGE);
	return folios_read(&world->source, addr, world->folios, nr, why);
}

/* To look at pages of a file they are mapped; what registers them does without. */
static int file_folios(struct world *world, unsigned int object, struct range range,
		       struct reason *why)
{
	size_t unit = kind_hugetlb(world->shared->objects[object].kind) ? HUGE_PAGES : 1;
	size_t first = ALIGN_DOWN(range.first, unit), before = range.first - first;
	size_t size = ALIGN_UP(before + range.nr, unit) * PAGE;
	char *addr = mmap(NULL, size, PROT_READ, MAP_SHARED, world->fds[object],
			  (off_t)(first * PAGE));
	int ret;

	if (addr == MAP_FAILED)
		return because(why, "mmap of object %u: %s", object, strerror(errno));
	ret = mapped_folios(world, addr + before * PAGE, range.nr, why);
	munmap(addr, size);
	return ret;
}

int buffer_add(struct world *world, struct fuzz_ring *ring, unsigned int slot,
	       const struct entry *entry, struct reason *why)
{
	const struct uring_desc *desc = &entry->desc;
	bool memfd = desc->type == URING_DESC_MEMFD;
	struct range range = desc_range(desc);
	struct buffer *buffer;

	if (desc->type == URING_DESC_EMPTY)
		return 0;
	if (memfd)
		range.first = desc->offset / PAGE;
	if ((memfd ? file_folios(world, entry->object, range, why) :
	     mapped_folios(world, page_addr(range.first), range.nr, why)) ||
	    number_folios(world, range.nr, why))
		return -1;
	buffer = must_calloc(1, sizeof(*buffer) + range.nr * sizeof(*buffer->cells));
	buffer->addr = desc->uaddr;
	buffer->len = desc->size;
	buffer->object = memfd ? entry->object : OBJECTS;
	buffer->pgoff = range.first;
	buffer->read_only = desc->flags & URING_DESC_READ_ONLY;
	buffer->refs = 1;
	buffer->nr_pages = range.nr;
	buffer->acct = acct_register(&world->acct, 0, world->memory.nr_pages, range.nr, 0, -1UL);
	world->memory.nr_pages += range.nr;
	for (size_t i = 0; i < range.nr; i++)
		buffer->cells[i] = memfd ? object_cell(world, entry->object, range.first + i) :
					   page_cell(world, range.first + i);
	ring->table[slot] = buffer;
	tell_charged(world);
	world->shared->stats.buffers++;
	world->shared->stats.of_memfd += memfd;
	world->shared->stats.pinned += range.nr;
	return 0;
}

void buffer_put(struct world *world, struct buffer *buffer)
{
	if (!buffer || --buffer->refs)
		return;
	acct_put(&world->acct, 0, buffer->acct);
	tell_charged(world);
	free(buffer);
}

static void table_clear(struct world *world, struct fuzz_ring *ring)
{
	while (ring->nr) {
		buffer_put(world, ring->table[--ring->nr]);
		ring->table[ring->nr] = NULL;
	}
}

/* --- register ------------------------------------------------------------------- */

bool range_can_pin(const struct world *world, struct range range, bool read_only)
{
	for (size_t i = range.first; i < range.first + range.nr; i++)
		if (i >= ARENA_PAGES || !page_readable(world, i) ||
		    (!read_only && !page_writable(world, i)))
			return false;
	return true;
}

int register_iovecs(const struct fuzz_ring *ring, const struct iovec *iov, unsigned int nr,
		    bool read_only)
{
	return read_only ? uring_buffers_readonly(&ring->uring, iov, nr) :
			   uring_buffers(&ring->uring, iov, nr, 0);
}

/* Whether it was right to refuse it, or not to; known only now that it is pinned. */
static int limit_check(struct world *world, unsigned long limit, bool refused, struct reason *why)
{
	unsigned long now = user_charged(world);

	if (refused == (now > limit))
		return 0;
	return because(why, "%s with %lu pages in all, and a limit of %lu",
		       refused ? "refused" : "accepted", now, limit);
}

int check_result(const char *what, int result, int expected, struct reason *why)
{
	if (result == expected)
		return 0;
	return because(why, "%s: %d (%s) instead of %d (%s)", what, result,
		       result < 0 ? errno_name(-result) : "done", expected,
		       expected < 0 ? errno_name(-expected) : "done");
}

/* A table of nothing; later updates fill it. */
static int do_register_sparse(struct world *world, struct op *op, unsigned int r,
			      struct fuzz_ring *ring, struct reason *why)
{
	unsigned int nr = 1 + op_below(op, TABLE_MAX);
	int expected = ring->nr ? -EBUSY : 0;

	fuzz_log(world, "ring %u sparse, %u", r, nr);
	if (check_result("register", uring_buffers(&ring->uring, NULL, nr, URING_RSRC_SPARSE),
			 expected, why))
		return -1;
	if (!expected)
		ring->nr = nr;
	return DONE;
}

static int register_entries(const struct fuzz_ring *ring, const struct entry *entries,
			    unsigned int nr, bool by_desc)
{
	struct uring_desc descs[TABLE_MAX];
	struct iovec iov[TABLE_MAX];

	entries_descs(entries, nr, descs);
	entries_iovecs(entries, nr, iov);
	return by_desc ? uring_buffers_descs(&ring->uring, descs, nr) :
			 uring_buffers(&ring->uring, iov, nr, 0);
}

static int do_register(struct world *world, struct op *op, struct reason *why)
{
	unsigned int r = op_below(op, RINGS), nr = 1 + op_below(op, TABLE_MAX);
	struct fuzz_ring *ring = world_ring(world, r, why);
	bool by_desc = op_percent(op, 50), limited = op_percent(op, 25), refused = false;
	unsigned long limit = user_charged(world) + op_below(op, 700);
	struct entry entries[TABLE_MAX];
	int expected = 0, result;

	if (!ring)
		return -1;
	if (ring->nr && op_percent(op, 80))
		return IDLE;
	if (op_percent(op, 15))
		return do_register_sparse(world, op, r, ring, why);
	if (limited)
		nr = 1;
	for (unsigned int i = 0; i < nr; i++) {
		entries[i] = random_entry(world, op, by_desc);
		if (!expected)
			expected = entries[i].result;
	}
	if (ring->nr)
		expected = -EBUSY;
	entries_log(world, r, 0, entries, nr);
	limited &= !expected && entries[0].desc.type != URING_DESC_EMPTY;
	if (limited)
		charge_set_limit(limit);
	result = register_entries(ring, entries, nr, by_desc);
	if (limited) {
		charge_set_limit(NO_LIMIT);
		refused = result == -ENOMEM;
		if (refused)
			result = register_entries(ring, entries, nr, by_desc);
	}
	entries_close(world, entries, nr);
	if (check_result("register", result, expected, why))
		return -1;
	if (expected) {
		world->shared->stats.refused++;
		return DONE;
	}
	for (ring->nr = 0; ring->nr < nr; ring->nr++)
		if (buffer_add(world, ring, ring->nr, &entries[ring->nr], why))
			return -1;
	world->shared->stats.over_limit += refused;
	return limited ? limit_check(world, limit, refused, why) : DONE;
}

/* --- clone, unregister, close ------------------------------------------------------ */

static int clone_result(const struct fuzz_ring *dst, const struct fuzz_ring *src,
			unsigned int src_off, unsigned int dst_off, unsigned int nr, bool replace)
{
	if (!nr && (dst_off || src_off))
		return -EINVAL;
	if (dst->nr && !replace)
		return -EBUSY;
	if (!src->nr)
		return -ENXIO;
	if (nr > src->nr)
		return -EINVAL;
	return (nr ? nr : src->nr) + src_off > src->nr ? -EOVERFLOW : 0;
}

static int do_clone(struct world *world, struct op *op, struct reason *why)
{
	unsigned int d = op_below(op, RINGS), s = op_below(op, RINGS);
	unsigned int src_off = 0, dst_off = 0, nr = 0, end;
	struct fuzz_ring *dst = world_ring(world, d, why), *src = world_ring(world, s, why);
	struct buffer *table[TABLE_MAX];
	bool replace = op_percent(op, 60);
	int expected;

	if (!dst || !src)
		return -1;
	if (!src->nr && op_percent(op, 90))
		return IDLE;
	if (op_percent(op, 60)) {
		dst_off = op_below(op, TABLE_MAX);
		src_off = op_below(op, op_percent(op, 90) && src->nr ? src->nr : TABLE_MAX);
		nr = op_below(op, TABLE_MAX - dst_off) + 1;
		if (op_percent(op, 80) && src_off < src->nr)
			nr = 1 + nr % (src->nr - src_off);
		if (nr + dst_off > TABLE_MAX)
			return IDLE;
	}
	expected = clone_result(dst, src, src_off, dst_off, nr, replace);
	fuzz_log(world, "ring %u = ring %u, %u from %u to %u%s", d, s, nr, src_off, dst_off,
		 replace ? ", replace" : "");
	if (check_result("clone", uring_clone(&dst->uring, &src->uring, src_off, dst_off, nr,
					      replace ? URING_CLONE_DST_REPLACE : 0),
			 expected, why))
		return -1;
	if (expected)
		return DONE;
	if (!nr)
		nr = src->nr;
	memcpy(table, src->table, sizeof(table));
	for (unsigned int i = 0; i < nr; i++)
		if (table[src_off + i])
			table[src_off + i]->refs++;
	for (unsigned int i = 0; i < nr; i++) {
		buffer_put(world, dst->table[dst_off + i]);
		dst->table[dst_off + i] = table[src_off + i];
	}
	end = dst_off + nr;
	if (end > dst->nr)
		dst->nr = end;
	return DONE;
}

static int do_unregister(struct world *world, struct op *op, struct reason *why)
{
	unsigned int r = op_below(op, RINGS);
	struct fuzz_ring *ring = world_ring(world, r, why);
	int expected;

	if (!ring)
		return -1;
	expected = ring->nr ? 0 : -ENXIO;
	if (expected && op_percent(op, 90))
		return IDLE;
	fuzz_log(world, "ring %u", r);
	if (check_result("unregister", io_uring_unregister_buffers(&ring->uring), expected, why))
		return -1;
	table_clear(world, ring);
	return DONE;
}

void ring_close(struct world *world, struct fuzz_ring *ring)
{
	if (!ring->open)
		return;
	io_uring_queue_exit(&ring->uring);
	close(ring->pipe[0]);
	close(ring->pipe[1]);
	table_clear(world, ring);
	buffer_put(world, ring->reading);
	ring->reading = NULL;
	ring->open = false;
	tell_charged(world);
}

static int do_close(struct world *world, struct op *op, struct reason *why)
{
	unsigned int r = op_below(op, RINGS);

	if (!world->rings[r].open)
		return IDLE;
	fuzz_log(world, "ring %u", r);
	ring_close(world, &world->rings[r]);
	/* What other rings have too does not tell whether it is gone, but the page of a ring does. */
	return user_check(world, why);
}

bool random_buffer(struct world *world, struct op *op, unsigned int *ring, unsigned int *slot)
{
	unsigned int first = op_below(op, RINGS * TABLE_MAX);

	for (unsigned int i = 0; i < RINGS * TABLE_MAX; i++) {
		unsigned int n = (first + i) % (RINGS * TABLE_MAX);

		*ring = n / TABLE_MAX;
		*slot = n % TABLE_MAX;
		if (world->rings[*ring].table[*slot])
			return true;
	}
	return false;
}

int ring_op(struct world *world, struct op *op, struct reason *why)
{
	/* Room in the model for the largest buffers that an operation can have */
	if (world->memory.nr_pages + TABLE_MAX * ARENA_PAGES > LOG_PAGES) {
		world->shared->exhausted = true;
		return IDLE;
	}
	switch (op->kind) {
	case OP_REGISTER:
		return do_register(world, op, why);
	case OP_UPDATE:
		return update_op(world, op, why);
	case OP_CLONE:
		return do_clone(world, op, why);
	case OP_UNREGISTER:
		return do_unregister(world, op, why);
	case OP_CLOSE:
		return do_close(world, op, why);
	default:
		return request_op(world, op, why);
	}
}
