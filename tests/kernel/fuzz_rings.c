// SPDX-License-Identifier: GPL-2.0
/* Operations on rings and their tables of buffers, and what is charged for these */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
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

static struct range iov_range(struct iovec iov)
{
	size_t start = (size_t)((char *)iov.iov_base - ARENA);
	size_t end = ALIGN_UP(start + iov.iov_len, PAGE);

	return (struct range){ start / PAGE, end / PAGE - start / PAGE };
}

int buffer_add(struct world *world, struct fuzz_ring *ring, unsigned int slot, struct iovec iov,
	       bool read_only, struct reason *why)
{
	struct range range = iov_range(iov);
	struct buffer *buffer;

	if (!iov.iov_base)
		return 0;
	/* Reclaim may have taken what is pinned out of the page tables, if it is shared. */
	for (size_t i = range.first; i < range.first + range.nr; i++)
		*(volatile char *)page_addr(i);
	if (folios_read(&world->source, page_addr(range.first), world->folios, range.nr, why) ||
	    number_folios(world, range.nr, why))
		return -1;
	buffer = must_calloc(1, sizeof(*buffer) + range.nr * sizeof(*buffer->cells));
	buffer->addr = (uintptr_t)iov.iov_base;
	buffer->len = iov.iov_len;
	buffer->read_only = read_only;
	buffer->refs = 1;
	buffer->nr_pages = range.nr;
	buffer->acct = acct_register(&world->acct, 0, world->memory.nr_pages, range.nr, 0, -1UL);
	world->memory.nr_pages += range.nr;
	for (size_t i = 0; i < range.nr; i++)
		buffer->cells[i] = page_cell(world, range.first + i);
	ring->table[slot] = buffer;
	tell_charged(world);
	world->shared->stats.buffers++;
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

/* --- register, update ----------------------------------------------------------- */

bool range_can_pin(const struct world *world, struct range range, bool read_only)
{
	for (size_t i = range.first; i < range.first + range.nr; i++)
		if (i >= ARENA_PAGES || !page_readable(world, i) ||
		    (!read_only && !page_writable(world, i)))
			return false;
	return true;
}

static int entry_result(const struct world *world, struct iovec iov, bool read_only)
{
	if (!iov.iov_base)
		return iov.iov_len ? -EFAULT : 0;
	if (!iov.iov_len)
		return -EFAULT;
	return range_can_pin(world, iov_range(iov), read_only) ? 0 : -EFAULT;
}

static struct iovec random_entry(const struct world *world, struct op *op)
{
	struct range range;
	size_t start, end;

	switch (op_below(op, 40)) {
	case 0:
		return (struct iovec){ NULL, PAGE };
	case 1:
		return (struct iovec){ ARENA, 0 };
	case 2:
	case 3:
		return (struct iovec){ };
	}
	if (!random_mapped(world, op, SLOT_PAGES, false, &range))
		return (struct iovec){ };
	/* Perhaps with a hole */
	if (op_percent(op, 7))
		range.nr = min_size(range.nr + 1 + op_below(op, 600), ARENA_PAGES - range.first);
	start = range.first * PAGE;
	end = start + range.nr * PAGE;
	if (op_percent(op, 50)) {
		start += op_below(op, PAGE);
		end -= op_below(op, end - start < PAGE ? end - start : PAGE);
	}
	return (struct iovec){ ARENA + start, end - start };
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

static void log_entries(struct world *world, unsigned int ring, const struct iovec *iov,
			unsigned int off, unsigned int nr, bool read_only)
{
	char text[256];
	size_t len = 0;

	for (unsigned int i = 0; i < nr && len < sizeof(text); i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, " %#tx+%#zx",
					iov[i].iov_base ? (char *)iov[i].iov_base - ARENA : -1,
					iov[i].iov_len);
	fuzz_log(world, "ring %u from %u%s:%s", ring, off, read_only ? " read-only" : "", text);
}

static int check_result(const char *what, int result, int expected, struct reason *why)
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

static int do_register(struct world *world, struct op *op, struct reason *why)
{
	unsigned int r = op_below(op, RINGS), nr = 1 + op_below(op, TABLE_MAX);
	struct fuzz_ring *ring = world_ring(world, r, why);
	bool read_only = op_percent(op, 30), limited = op_percent(op, 25), refused = false;
	unsigned long limit = user_charged(world) + op_below(op, 700);
	struct iovec iov[TABLE_MAX];
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
		iov[i] = random_entry(world, op);
		if (!expected)
			expected = entry_result(world, iov[i], read_only);
	}
	if (ring->nr)
		expected = -EBUSY;
	log_entries(world, r, iov, 0, nr, read_only);
	limited &= !expected && iov[0].iov_base;
	if (limited)
		charge_set_limit(limit);
	result = register_iovecs(ring, iov, nr, read_only);
	if (limited) {
		charge_set_limit(NO_LIMIT);
		refused = result == -ENOMEM;
		if (refused)
			result = register_iovecs(ring, iov, nr, read_only);
	}
	if (check_result("register", result, expected, why))
		return -1;
	if (expected) {
		world->shared->stats.refused++;
		return DONE;
	}
	for (ring->nr = 0; ring->nr < nr; ring->nr++)
		if (buffer_add(world, ring, ring->nr, iov[ring->nr], read_only, why))
			return -1;
	world->shared->stats.over_limit += refused;
	return limited ? limit_check(world, limit, refused, why) : DONE;
}

static int do_update(struct world *world, struct op *op, struct reason *why)
{
	unsigned int r = op_below(op, RINGS), off = op_below(op, TABLE_MAX), nr;
	struct fuzz_ring *ring = world_ring(world, r, why);
	bool read_only = op_percent(op, 30), by_desc = read_only || op_percent(op, 50);
	struct iovec iov[TABLE_MAX];
	int expected = 0, result;

	if (!ring)
		return -1;
	nr = 1 + op_below(op, TABLE_MAX - off);
	if (ring->nr && op_percent(op, 85)) {
		off %= ring->nr;
		nr = 1 + nr % (ring->nr - off);
	} else if (op_percent(op, 80)) {
		return IDLE;
	}
	for (unsigned int i = 0; i < nr; i++)
		iov[i] = random_entry(world, op);
	if (!ring->nr)
		expected = -ENXIO;
	else if (off + nr > ring->nr)
		expected = -EINVAL;
	log_entries(world, r, iov, off, nr, read_only);
	for (unsigned int i = 0; i < nr && expected == (int)i; i++) {
		int ret = entry_result(world, iov[i], read_only);

		if (!ret)
			expected++;
		else if (!i)
			expected = ret;
	}
	result = by_desc ? uring_update_by_desc(&ring->uring, off, iov, nr,
						read_only ? URING_DESC_READ_ONLY : 0) :
			   uring_update(&ring->uring, off, iov, nr);
	if (check_result("update", result, expected, why))
		return -1;
	if (expected < (int)nr)
		world->shared->stats.refused++;
	for (int i = 0; i < expected; i++) {
		struct buffer *old = ring->table[off + (unsigned int)i];

		ring->table[off + (unsigned int)i] = NULL;
		if (buffer_add(world, ring, off + (unsigned int)i, iov[i], read_only, why))
			return -1;
		buffer_put(world, old);
	}
	return DONE;
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
		return do_update(world, op, why);
	case OP_CLONE:
		return do_clone(world, op, why);
	case OP_UNREGISTER:
		return do_unregister(world, op, why);
	default:
		return do_close(world, op, why);
	}
}
