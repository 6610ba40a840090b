// SPDX-License-Identifier: GPL-2.0
/* Operations that move bytes through registered buffers */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "pattern.h"
#include "uring.h"

/* --- bytes of a buffer --------------------------------------------------------- */

static void buffer_read(const struct world *world, const struct buffer *buffer, size_t off,
			size_t len, char *data)
{
	size_t pos = buffer->addr % PAGE + off;

	for (size_t part; len; pos += part, data += part, len -= part) {
		part = min_size(len, PAGE - pos % PAGE);
		cell_read(world, buffer->cells[pos / PAGE], 0, pos % PAGE, part, data);
	}
}

static void buffer_write(struct world *world, const struct buffer *buffer, size_t off, size_t len,
			 const char *data)
{
	size_t pos = buffer->addr % PAGE + off;

	for (size_t part; len; pos += part, data += part, len -= part) {
		part = min_size(len, PAGE - pos % PAGE);
		cell_write(world, buffer->cells[pos / PAGE], pos % PAGE, part, data);
	}
}

static int compare(struct world *world, const char *data, const char *expected, size_t len,
		   const char *what, struct reason *why)
{
	size_t at = 0;

	world->shared->stats.bytes += len;
	if (!memcmp(data, expected, len))
		return 0;
	while (at < len && data[at] == expected[at])
		at++;
	return because(why, "%s: byte %zu of %zu is %#04x instead of %#04x", what, at, len,
		       (uint8_t)data[at], (uint8_t)expected[at]);
}

/* Where the buffer was registered, whatever is mapped there now, or is in the file */
static int check_memory(struct world *world, const struct transfer *t, struct reason *why)
{
	const struct buffer *buffer = t->buffer;
	bool memfd = buffer->object != OBJECTS;
	uintptr_t base = memfd ? ALIGN_DOWN(buffer->addr, PAGE) : (uintptr_t)ARENA;

	for (unsigned int i = 0; i < t->nr; i++) {
		uintptr_t start = (uintptr_t)t->iov[i].iov_base - base;
		struct range range = { start / PAGE, 0 };

		range.nr = (start + t->iov[i].iov_len - 1) / PAGE + 1 - range.first;
		if (memfd)
			range.first += buffer->pgoff;
		if (memfd ? object_check(world, buffer->object, range, why) :
			    pages_check(world, range, why))
			return -1;
	}
	return 0;
}

/* --- READ_FIXED and its like ------------------------------------------------------ */

/* Anywhere, or one behind the other */
void transfer_parts(struct op *op, struct transfer *t, size_t align, bool beyond)
{
	static const size_t lengths[] = { 1, 100, 512, 4096, 5000, 17000, 66000, IO_MAX };
	const struct buffer *buffer = t->buffer;
	size_t start = ALIGN_UP(buffer->addr, align), end = ALIGN_DOWN(buffer->addr + buffer->len,
								      align);

	t->len = 0;
	for (t->nr = 0; t->nr < (t->vectored ? VECS_MAX : 1); t->nr++) {
		size_t at, len;

		if (start >= end || (t->nr && op_percent(op, 30)))
			break;
		at = ALIGN_DOWN(start + op_below(op, end - start), align);
		if (op_percent(op, 25) && ALIGN_DOWN(at, PAGE) >= start)
			at = ALIGN_DOWN(at, PAGE);
		if (!t->nr && op_percent(op, 10))
			at = start;
		len = ALIGN_UP(OP_PICK(op, lengths) - op_below(op, 2), align);
		len = min_size(len ? len : align, IO_MAX - t->len);
		len = min_size(len, end - at);
		if (op_percent(op, 15))
			len = min_size(end - at, ALIGN_DOWN(IO_MAX - t->len, align));
		if (!len)
			break;
		t->iov[t->nr] = (struct iovec){ (void *)at, len };
		t->len += len;
	}
	if (t->nr && beyond) {
		struct iovec *last = &t->iov[t->nr - 1];

		last->iov_len = buffer->addr + buffer->len + 1 - (uintptr_t)last->iov_base;
		t->expected = -EFAULT;
	}
}

/* With a cell twice, what a disk puts there depends on the order. */
static bool cells_twice(const struct transfer *t)
{
	static uint32_t cells[IO_MAX / PAGE + 2 * VECS_MAX];
	size_t nr = 0;

	for (unsigned int i = 0; i < t->nr; i++) {
		uintptr_t at = ALIGN_DOWN((uintptr_t)t->iov[i].iov_base, PAGE);
		uintptr_t end = (uintptr_t)t->iov[i].iov_base + t->iov[i].iov_len;

		for (; at < end; at += PAGE) {
			uint32_t cell = t->buffer->cells[(at - ALIGN_DOWN(t->buffer->addr, PAGE)) /
							 PAGE];

			for (size_t other = 0; other < nr; other++)
				if (cells[other] == cell)
					return true;
			cells[nr++] = cell;
		}
	}
	return false;
}

static struct io_uring_sqe *prepare(struct world *world, const struct transfer *t)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&world->rings[t->ring].uring);
	int fd = t->target->fd;

	if (!sqe)
		die("no free submission queue entry");
	if (t->vectored) {
		io_uring_prep_readv(sqe, fd, t->iov, t->nr, t->pos);
		sqe->opcode = t->write ? URING_OP_WRITEV_FIXED : URING_OP_READV_FIXED;
		sqe->buf_index = (__u16)t->slot;
	} else if (t->write) {
		io_uring_prep_write_fixed(sqe, fd, t->iov->iov_base,
					  (unsigned int)t->iov->iov_len, t->pos, (int)t->slot);
	} else {
		io_uring_prep_read_fixed(sqe, fd, t->iov->iov_base, (unsigned int)t->iov->iov_len,
					 t->pos, (int)t->slot);
	}
	return sqe;
}

static int target_set(struct world *world, const struct transfer *t, const char *data,
		      struct reason *why)
{
	if (t->target == &world->plain) {
		memcpy(world->plain_data + t->pos, data, t->len);
		return 0;
	}
	memcpy(world->bounce, data, t->len);
	if (pwrite(t->target->fd, world->bounce, t->len, (off_t)t->pos) != (ssize_t)t->len)
		return because(why, "pwrite: %s", strerror(errno));
	return 0;
}

/* Returns where the bytes are. */
static const char *target_get(struct world *world, const struct transfer *t, struct reason *why)
{
	if (t->target == &world->plain)
		return world->plain_data + t->pos;
	if (pread(t->target->fd, world->bounce, t->len, (off_t)t->pos) == (ssize_t)t->len)
		return world->bounce;
	because(why, "pread: %s", strerror(errno));
	return NULL;
}

struct io_uring_sqe *transfer_begin(struct world *world, const struct transfer *t,
				    struct reason *why)
{
	/* Not what is written, or what is read */
	pattern_fill(world->expected, t->len, 0, ++world->shared->serial);
	return target_set(world, t, world->expected, why) ? NULL : prepare(world, t);
}

int transfer_end(struct world *world, const struct transfer *t, int result, struct reason *why)
{
	char *expected = world->expected;
	const char *data;
	size_t at = 0;

	if (result != (t->expected ? t->expected : (int)t->len))
		return because(why, "%d (%s) of %zu bytes, not %d", result,
			       result < 0 ? errno_name(-result) : "done", t->len, t->expected);
	if (!t->expected) {
		for (unsigned int i = 0; i < t->nr; at += t->iov[i++].iov_len) {
			size_t off = (uintptr_t)t->iov[i].iov_base - t->buffer->addr;

			if (t->write)
				buffer_read(world, t->buffer, off, t->iov[i].iov_len,
					    expected + at);
			else
				buffer_write(world, t->buffer, off, t->iov[i].iov_len,
					     expected + at);
		}
	}
	data = target_get(world, t, why);
	if (!data || compare(world, data, expected, t->len, t->write ? "written" : "after reading",
			     why))
		return -1;
	return t->expected ? 0 : check_memory(world, t, why);
}

static int transfer(struct world *world, const struct transfer *t, struct reason *why)
{
	if (!transfer_begin(world, t, why))
		return -1;
	return transfer_end(world, t, uring_one(&world->rings[t->ring].uring), why);
}

/* Its first part, by where that is in the buffer */
static void transfer_log(struct world *world, const struct transfer *t)
{
	fuzz_log(world, "ring %u slot %u %s, %u parts, %zu bytes, first at %#zx+%#zx%s", t->ring,
		 t->slot, t->target ? t->target->name : "socket", t->nr, t->len,
		 (uintptr_t)t->iov[0].iov_base - t->buffer->addr, t->iov[0].iov_len,
		 t->expected ? ", bad" : "");
}

static int do_transfer(struct world *world, struct op *op, struct reason *why)
{
	struct transfer t = {
		.write = op->kind == OP_WRITE_FIXED || op->kind == OP_WRITEV_FIXED,
		.vectored = op->kind == OP_READV_FIXED || op->kind == OP_WRITEV_FIXED,
		.target = op_percent(op, 20) ? &world->direct : &world->plain,
	};

	if (!random_buffer(world, op, &t.ring, &t.slot))
		return IDLE;
	t.buffer = world->rings[t.ring].table[t.slot];
	transfer_parts(op, &t, t.target->block, op_percent(op, 3));
	if (!t.nr)
		return IDLE;
	if (t.target == &world->direct && !t.write && cells_twice(&t))
		t.target = &world->plain;
	if (t.buffer->read_only && !t.write)
		t.expected = -EFAULT;
	t.pos = op_below(op, 16) * t.target->block;
	transfer_log(world, &t);
	return transfer(world, &t, why);
}

/* --- a read that takes its time ----------------------------------------------------- */

static int do_start_read(struct world *world, struct op *op, struct reason *why)
{
	unsigned int r, slot;
	struct fuzz_ring *ring;
	struct buffer *buffer;
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;
	int ret;

	if (!random_buffer(world, op, &r, &slot))
		return IDLE;
	ring = &world->rings[r];
	buffer = ring->table[slot];
	if (ring->reading || buffer->read_only)
		return IDLE;
	ring->reading_off = op_below(op, buffer->len);
	ring->reading_len = min_size(1 + op_below(op, PAGE), buffer->len - ring->reading_off);
	fuzz_log(world, "ring %u slot %u at %#zx+%#zx", r, slot, ring->reading_off,
		 ring->reading_len);
	sqe = io_uring_get_sqe(&ring->uring);
	if (!sqe)
		die("no free submission queue entry");
	io_uring_prep_read_fixed(sqe, ring->pipe[0], (char *)buffer->addr + ring->reading_off,
				 (unsigned int)ring->reading_len, 0, (int)slot);
	io_uring_sqe_set_data64(sqe, 0);
	ret = io_uring_submit(&ring->uring);
	if (ret != 1)
		return because(why, "submitting: %s", strerror(-ret));
	if (!io_uring_peek_cqe(&ring->uring, &cqe))
		return because(why, "a read from an empty pipe ended with %d", cqe->res);
	ring->reading = buffer;
	buffer->refs++;
	return DONE;
}

static int do_end_read(struct world *world, struct op *op, struct reason *why)
{
	unsigned int r = op_below(op, RINGS), tries = 0;
	struct fuzz_ring *ring;
	struct io_uring_cqe *cqe;
	char data[PAGE];
	size_t len;
	int ret;

	while (!world->rings[r].reading && tries++ < RINGS)
		r = (r + 1) % RINGS;
	ring = &world->rings[r];
	if (!ring->reading)
		return IDLE;
	len = ring->reading_len;
	fuzz_log(world, "ring %u", r);
	pattern_fill(data, len, 0, ++world->shared->serial);
	if (write(ring->pipe[1], data, len) != (ssize_t)len)
		return because(why, "writing to a pipe: %s", strerror(errno));
	ret = io_uring_wait_cqe(&ring->uring, &cqe);
	if (ret)
		return because(why, "waiting: %s", strerror(-ret));
	ret = cqe->res;
	io_uring_cqe_seen(&ring->uring, cqe);
	if (ret != (int)len)
		return because(why, "%d of %zu bytes", ret, len);
	buffer_write(world, ring->reading, ring->reading_off, len, data);
	buffer_put(world, ring->reading);
	ring->reading = NULL;
	return DONE;
}

/* --- sending -------------------------------------------------------------------------- */

static int do_send(struct world *world, struct op *op, struct reason *why)
{
	struct transfer t = { .vectored = op->kind == OP_SENDMSG_ZC };
	char *expected = world->expected;
	size_t at = 0;

	if (!random_buffer(world, op, &t.ring, &t.slot))
		return IDLE;
	t.buffer = world->rings[t.ring].table[t.slot];
	transfer_parts(op, &t, 1, false);
	/* One part makes another request of it. */
	if (!t.nr || (t.vectored && t.nr == 1) || world->rings[t.ring].reading)
		return IDLE;
	transfer_log(world, &t);
	if (!world->connected) {
		tcp_pair_open(&world->tcp, 0, 0);
		world->connected = true;
	}
	for (unsigned int i = 0; i < t.nr; at += t.iov[i++].iov_len)
		buffer_read(world, t.buffer, (uintptr_t)t.iov[i].iov_base - t.buffer->addr,
			    t.iov[i].iov_len, expected + at);
	world->tcp.ring = &world->rings[t.ring].uring;
	if (tcp_pair_send(&world->tcp, t.slot, t.iov, t.nr, t.len, world->bounce, why))
		return -1;
	return compare(world, world->bounce, expected, t.len, "received", why);
}

/* --- all ------------------------------------------------------------------------------- */

int buffer_check(struct world *world, unsigned int ring, unsigned int slot, struct reason *why)
{
	struct transfer t = {
		.ring = ring,
		.slot = slot,
		.buffer = world->rings[ring].table[slot],
		.write = true,
		.nr = 1,
		.target = &world->plain,
	};

	for (size_t off = 0; off < t.buffer->len; off += t.len) {
		struct reason inner;

		t.len = min_size(IO_MAX, t.buffer->len - off);
		t.iov[0] = (struct iovec){ (char *)t.buffer->addr + off, t.len };
		if (transfer(world, &t, &inner))
			return because(why, "ring %u slot %u at %#zx: %s", ring, slot, off,
				       inner.text);
	}
	return 0;
}

int buffers_check_all(struct world *world, struct reason *why)
{
	for (unsigned int ring = 0; ring < RINGS; ring++)
		for (unsigned int slot = 0; slot < world->rings[ring].nr; slot++)
			if (world->rings[ring].table[slot] && buffer_check(world, ring, slot, why))
				return -1;
	return 0;
}

int io_op(struct world *world, struct op *op, struct reason *why)
{
	switch (op->kind) {
	case OP_START_READ:
		return do_start_read(world, op, why);
	case OP_END_READ:
		return do_end_read(world, op, why);
	case OP_SEND_ZC:
	case OP_SENDMSG_ZC:
		return do_send(world, op, why);
	default:
		return do_transfer(world, op, why);
	}
}
