// SPDX-License-Identifier: GPL-2.0
/* What is put into tables, and updates of them */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"

/* --- entries --------------------------------------------------------------- */

struct entry entry_of(struct iovec iov, bool read_only)
{
	return (struct entry){
		.desc = uring_desc_of(iov, read_only ? URING_DESC_READ_ONLY : 0),
	};
}

static struct entry empty_entry(void)
{
	return entry_of((struct iovec){ }, false);
}

static struct entry memory_entry(const struct world *world, struct op *op, bool read_only)
{
	struct range range;
	struct entry entry;
	size_t start, end;

	if (!random_mapped(world, op, SLOT_PAGES, false, &range))
		return empty_entry();
	/* Perhaps with a hole */
	if (op_percent(op, 7))
		range.nr = min_size(range.nr + 1 + op_below(op, 600), ARENA_PAGES - range.first);
	start = range.first * PAGE;
	end = start + range.nr * PAGE;
	if (op_percent(op, 50)) {
		start += op_below(op, PAGE);
		end -= op_below(op, end - start < PAGE ? end - start : PAGE);
	}
	entry = entry_of((struct iovec){ ARENA + start, end - start }, read_only);
	range.nr = ALIGN_UP(end, PAGE) / PAGE - range.first;
	entry.result = range_can_pin(world, range, read_only) ? 0 : -EFAULT;
	return entry;
}

/* Mostly inside the file; holes and all. Nothing need be mapped where the addresses are. */
static struct range place_in_file(const struct object *object, struct op *op)
{
	static const size_t lengths[] = { 1, 2, 3, 16, 17, 130, 512, 600, 1024 };
	size_t pages = op_percent(op, 90) && object->nr_pages ? object->nr_pages : SLOT_PAGES;
	size_t first = ALIGN_DOWN((size_t)op_below(op, pages), op_percent(op, 40) ? HUGE_PAGES : 1);

	return (struct range){ first, min_size(OP_PICK(op, lengths), pages - first) };
}

static int reopen(int fd)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		die("%s: %s", path, strerror(errno));
	return fd;
}

/* One thing that is wrong with it */
static void spoil(const struct world *world, struct op *op, struct entry *entry)
{
	switch (op_below(op, 4)) {
	case 0:
		entry->desc.memfd = -1;
		entry->result = -EBADF;
		break;
	case 1:
		entry->desc.memfd = world->file;
		entry->result = -EINVAL;
		break;
	case 2:
		entry->desc.uaddr ^= 1UL << op_below(op, 12);
		entry->result = -EINVAL;
		break;
	default:
		entry->desc.size = 0;
		entry->result = -EFAULT;
	}
}

static struct entry memfd_entry(struct world *world, struct op *op, bool read_only)
{
	bool hugetlb = op_percent(op, 25) && huge_pages_free();
	unsigned int n = choose_object(world, op, hugetlb ? KIND_HUGETLB_MEMFD : KIND_MEMFD);
	const struct object *object = &world->shared->objects[n];
	struct entry entry = { .object = n };
	struct uring_desc *desc = &entry.desc;
	struct range range;

	if (n == OBJECTS)
		return empty_entry();
	range = place_in_file(object, op);
	*desc = (struct uring_desc){
		.type = URING_DESC_MEMFD,
		.flags = read_only ? URING_DESC_READ_ONLY : 0,
		.memfd = world->fds[n],
		.offset = range.first * PAGE,
		.size = range.nr * PAGE,
	};
	if (op_percent(op, 50)) {
		desc->offset += op_below(op, PAGE);
		desc->size -= desc->offset % PAGE;
		desc->size -= op_below(op, desc->size < PAGE ? desc->size : PAGE);
	}
	desc->uaddr = desc->offset % PAGE;
	if (op_percent(op, 50))
		desc->uaddr += (uintptr_t)page_addr(op_below(op, ARENA_PAGES - range.nr + 1));
	if (desc->offset + desc->size > object->nr_pages * PAGE)
		entry.result = -EINVAL;
	else if (op_percent(op, 8))
		spoil(world, op, &entry);
	if (!entry.result && op_percent(op, 15)) {
		desc->memfd = reopen(desc->memfd);
		entry.result = read_only ? 0 : -EACCES;
	}
	return entry;
}

struct entry random_entry(struct world *world, struct op *op, bool by_desc)
{
	bool read_only = by_desc && op_percent(op, 40);
	struct entry bad = entry_of((struct iovec){ NULL, PAGE }, false);

	bad.result = -EFAULT;
	switch (op_below(op, 40)) {
	case 0:
		return bad;
	case 1:
		bad.desc = uring_desc_of((struct iovec){ ARENA, 0 }, 0);
		return bad;
	case 2:
	case 3:
		return empty_entry();
	}
	return by_desc && op_percent(op, 40) ? memfd_entry(world, op, read_only) :
					       memory_entry(world, op, read_only);
}

void entries_close(const struct world *world, const struct entry *entries, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++) {
		const struct uring_desc *desc = &entries[i].desc;

		if (desc->type == URING_DESC_MEMFD && desc->memfd >= 0 &&
		    desc->memfd != world->file && desc->memfd != world->fds[entries[i].object])
			close(desc->memfd);
	}
}

void entries_descs(const struct entry *entries, unsigned int nr, struct uring_desc *descs)
{
	for (unsigned int i = 0; i < nr; i++)
		descs[i] = entries[i].desc;
}

void entries_iovecs(const struct entry *entries, unsigned int nr, struct iovec *iov)
{
	for (unsigned int i = 0; i < nr; i++)
		iov[i] = (struct iovec){ (void *)(uintptr_t)entries[i].desc.uaddr,
					 entries[i].desc.size };
}

void entries_log(struct world *world, unsigned int ring, unsigned int off,
		 const struct entry *entries, unsigned int nr)
{
	char text[512] = "";
	size_t len = 0;

	for (unsigned int i = 0; i < nr && len < sizeof(text); i++) {
		const struct uring_desc *desc = &entries[i].desc;
		char *at = text + len;
		size_t room = sizeof(text) - len;

		len += (size_t)(desc->type == URING_DESC_MEMFD ?
				snprintf(at, room, " object %u %#llx", entries[i].object,
					 desc->offset) :
				snprintf(at, room, " %#lx", (long)(desc->uaddr ? desc->uaddr -
							     (uintptr_t)ARENA : (uintptr_t)-1)));
		if (len < sizeof(text))
			len += (size_t)snprintf(text + len, sizeof(text) - len, "+%#llx%s%s",
						desc->size, desc->flags ? " read-only" : "",
						entries[i].result ? " bad" : "");
	}
	fuzz_log(world, "ring %u from %u:%s", ring, off, text);
}

/* --- updates ---------------------------------------------------------------- */

int update_choose(struct world *world, struct op *op, bool by_desc, struct update *update,
		  struct reason *why)
{
	unsigned int r = op_below(op, RINGS), off = op_below(op, TABLE_MAX), nr;
	struct fuzz_ring *ring = world_ring(world, r, why);
	int expected = 0;

	if (!ring)
		return -1;
	nr = 1 + op_below(op, TABLE_MAX - off);
	if (ring->nr && op_percent(op, 85)) {
		off %= ring->nr;
		nr = 1 + nr % (ring->nr - off);
	} else if (op_percent(op, 80)) {
		return IDLE;
	}
	*update = (struct update){ .ring = r, .off = off, .nr = nr };
	for (unsigned int i = 0; i < nr; i++)
		update->entries[i] = random_entry(world, op, by_desc);
	if (!ring->nr)
		expected = -ENXIO;
	else if (off + nr > ring->nr)
		expected = -EINVAL;
	for (unsigned int i = 0; i < nr && expected == (int)i; i++) {
		if (!update->entries[i].result)
			expected++;
		else if (!i)
			expected = update->entries[i].result;
	}
	update->expected = expected;
	entries_descs(update->entries, nr, update->descs);
	entries_log(world, r, off, update->entries, nr);
	return DONE;
}

int update_done(struct world *world, const struct update *update, int result, struct reason *why)
{
	struct fuzz_ring *ring = &world->rings[update->ring];

	if (result < (int)update->nr)
		world->shared->stats.refused++;
	for (int i = 0; i < result; i++) {
		unsigned int slot = update->off + (unsigned int)i;
		struct buffer *old = ring->table[slot];

		ring->table[slot] = NULL;
		if (buffer_add(world, ring, slot, &update->entries[i], why))
			return -1;
		buffer_put(world, old);
	}
	return 0;
}

int update_op(struct world *world, struct op *op, struct reason *why)
{
	bool by_desc = op_percent(op, 60);
	struct iovec iov[TABLE_MAX];
	const struct io_uring *uring;
	struct update update;
	int ret;

	ret = update_choose(world, op, by_desc, &update, why);
	if (ret)
		return ret;
	uring = &world->rings[update.ring].uring;
	entries_iovecs(update.entries, update.nr, iov);
	ret = by_desc ? uring_update_descs(uring, update.off, update.descs, update.nr) :
			uring_update(uring, update.off, iov, update.nr);
	entries_close(world, update.entries, update.nr);
	if (check_result("update", ret, update.expected, why))
		return -1;
	return update_done(world, &update, ret, why) ? -1 : DONE;
}
