// SPDX-License-Identifier: GPL-2.0
/*
 * Updates of a table as requests (IORING_OP_BUFFERS_UPDATE):
 *
 *	beside it, on the ring			what must hold
 *	nothing, or I/O with another slot	both do what each alone would do
 *	I/O that is linked to it		finds the new buffer; is not done unless all are there
 *	a request that cancels it		all, some of it, or nothing is done, as its result says
 *	the end of the ring			nothing stays
 *
 * And a read that waits for a pipe, in any of these: it has the buffer that it began with.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"

/* user_data; a read that waits has 0. */
enum { UPDATE = 1, OTHER, RESULTS };

static struct io_uring_sqe *prepare(struct world *world, const struct update *update)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&world->rings[update->ring].uring);

	if (!sqe)
		die("no free submission queue entry");
	uring_prep_update(sqe, update->off, update->descs, update->nr);
	io_uring_sqe_set_data64(sqe, UPDATE);
	return sqe;
}

static int submit(struct world *world, unsigned int ring, int nr, struct reason *why)
{
	int ret = io_uring_submit(&world->rings[ring].uring);

	return ret == nr ? 0 : because(why, "submitting %d: %d", nr, ret);
}

/* With @nr requests in all. The kernel has looked up the files then. */
static int submit_update(struct world *world, const struct update *update, int nr,
			 struct reason *why)
{
	int ret = submit(world, update->ring, nr, why);

	entries_close(world, update->entries, update->nr);
	return ret;
}

static void prepare_cancel(struct world *world, const struct update *update)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&world->rings[update->ring].uring);

	if (!sqe)
		die("no free submission queue entry");
	io_uring_prep_cancel64(sqe, UPDATE, 0);
	io_uring_sqe_set_data64(sqe, OTHER);
}

/* Of the update, and of what there is beside it if @both */
static int wait_for(struct world *world, unsigned int ring, bool both, int *results,
		    struct reason *why)
{
	struct io_uring *uring = &world->rings[ring].uring;
	struct io_uring_cqe *cqe;

	for (int left = 1 + both; left; left--) {
		int ret = io_uring_wait_cqe(uring, &cqe);

		if (ret)
			return because(why, "waiting: %s", strerror(-ret));
		if (cqe->user_data != UPDATE && cqe->user_data != OTHER)
			return because(why, "the completion of %llu: %d", cqe->user_data, cqe->res);
		results[cqe->user_data] = cqe->res;
		io_uring_cqe_seen(uring, cqe);
	}
	return 0;
}

/* --- alone, or beside I/O --------------------------------------------------------- */

static bool choose_beside(const struct world *world, struct op *op, const struct update *update,
			  struct transfer *t)
{
	const struct fuzz_ring *ring = &world->rings[update->ring];
	unsigned int slot = op_below(op, TABLE_MAX), tries = 0;

	while (!ring->table[slot] || (slot >= update->off && slot < update->off + update->nr)) {
		if (tries++ == TABLE_MAX)
			return false;
		slot = (slot + 1) % TABLE_MAX;
	}
	*t = (struct transfer){
		.ring = update->ring,
		.slot = slot,
		.buffer = ring->table[slot],
		.write = ring->table[slot]->read_only || op_percent(op, 50),
		.vectored = op_percent(op, 30),
		.target = &world->plain,
	};
	transfer_parts(op, t, 1, false);
	return t->nr;
}

static int do_request(struct world *world, struct op *op, struct reason *why)
{
	int results[RESULTS], ret;
	struct update update;
	struct transfer t;
	bool beside;

	ret = update_choose(world, op, true, &update, why);
	if (ret)
		return ret;
	beside = op_percent(op, 70) && choose_beside(world, op, &update, &t);
	prepare(world, &update);
	if (beside) {
		struct io_uring_sqe *sqe = transfer_begin(world, &t, why);

		if (!sqe)
			return -1;
		io_uring_sqe_set_data64(sqe, OTHER);
	}
	if (submit_update(world, &update, 1 + beside, why) ||
	    wait_for(world, update.ring, beside, results, why) ||
	    check_result("update", results[UPDATE], update.expected, why) ||
	    update_done(world, &update, results[UPDATE], why))
		return -1;
	return beside && transfer_end(world, &t, results[OTHER], why) ? -1 : DONE;
}

/* --- with I/O that is linked to it ------------------------------------------------- */

/* One of the new buffers, which the model does not have yet */
static bool choose_linked(struct op *op, const struct update *update, struct transfer *t,
			  struct buffer *buffer)
{
	unsigned int first = op_below(op, update->nr);

	for (unsigned int i = 0; i < update->nr; i++) {
		unsigned int n = (first + i) % update->nr;
		const struct uring_desc *desc = &update->descs[n];

		if (desc->type == URING_DESC_EMPTY)
			continue;
		buffer->addr = desc->uaddr;
		buffer->len = desc->size;
		buffer->read_only = desc->flags & URING_DESC_READ_ONLY;
		t->slot = update->off + n;
		transfer_parts(op, t, 1, false);
		return t->nr;
	}
	return false;
}

static int do_link(struct world *world, struct op *op, struct reason *why)
{
	struct buffer buffer = { };
	int results[RESULTS], ret;
	struct io_uring_sqe *sqe;
	struct update update;
	struct transfer t = {
		.buffer = &buffer,
		.write = op_percent(op, 60),
		.vectored = op_percent(op, 30),
		.target = &world->plain,
	};
	bool all;

	ret = update_choose(world, op, true, &update, why);
	if (ret)
		return ret;
	if (!choose_linked(op, &update, &t, &buffer)) {
		entries_close(world, update.entries, update.nr);
		return IDLE;
	}
	all = update.expected == (int)update.nr;
	t.ring = update.ring;
	t.expected = !all ? -ECANCELED : buffer.read_only && !t.write ? -EFAULT : 0;
	prepare(world, &update)->flags |= IOSQE_IO_LINK;
	sqe = transfer_begin(world, &t, why);
	if (!sqe)
		return -1;
	io_uring_sqe_set_data64(sqe, OTHER);
	if (submit_update(world, &update, 2, why) ||
	    wait_for(world, update.ring, true, results, why) ||
	    check_result("update", results[UPDATE], update.expected, why) ||
	    update_done(world, &update, results[UPDATE], why))
		return -1;
	if (all)
		t.buffer = world->rings[t.ring].table[t.slot];
	return transfer_end(world, &t, results[OTHER], why) ? -1 : DONE;
}

/* --- cancelled --------------------------------------------------------------------- */

/* What a cancellation says, and what then became of the update */
static int check_cancelled(struct world *world, const struct update *update, const int *results,
			   struct reason *why)
{
	int result = results[UPDATE];
	bool in_part = result > 0 && result < update->expected;

	switch (results[OTHER]) {
	case 0:		/* it had not begun */
		world->shared->stats.cancelled++;
		return check_result("an update that did not begin", result, -ECANCELED, why);
	case -EALREADY:
		world->shared->stats.cancelled += result == -ECANCELED;
		world->shared->stats.in_part += in_part;
		if (result == -ECANCELED || in_part)
			return 0;
		break;
	case -ENOENT:	/* it had ended */
		break;
	default:
		return check_result("cancelling", results[OTHER], 0, why);
	}
	return check_result("update", result, update->expected, why);
}

static int do_cancel(struct world *world, struct op *op, struct reason *why)
{
	bool at_once = op_percent(op, 40);
	unsigned int usec = op_below(op, 1500);
	int results[RESULTS], ret;
	struct update update;

	ret = update_choose(world, op, true, &update, why);
	if (ret)
		return ret;
	prepare(world, &update);
	if (at_once)
		prepare_cancel(world, &update);
	if (submit_update(world, &update, 1 + at_once, why))
		return -1;
	if (!at_once) {
		usleep(usec);
		prepare_cancel(world, &update);
		if (submit(world, update.ring, 1, why))
			return -1;
	}
	if (wait_for(world, update.ring, true, results, why) ||
	    check_cancelled(world, &update, results, why))
		return -1;
	return update_done(world, &update, results[UPDATE], why) ? -1 : DONE;
}

/* --- left behind --------------------------------------------------------------------- */

static int do_close(struct world *world, struct op *op, struct reason *why)
{
	struct update update;
	int ret;

	ret = update_choose(world, op, true, &update, why);
	if (ret)
		return ret;
	prepare(world, &update);
	if (submit_update(world, &update, 1, why))
		return -1;
	if (op_percent(op, 60))
		usleep(op_below(op, 1500));
	ring_close(world, &world->rings[update.ring]);
	return user_check(world, why);
}

int request_op(struct world *world, struct op *op, struct reason *why)
{
	switch (op->kind) {
	case OP_REQUEST:
		return do_request(world, op, why);
	case OP_REQUEST_LINK:
		return do_link(world, op, why);
	case OP_REQUEST_CANCEL:
		return do_cancel(world, op, why);
	default:
		return do_close(world, op, why);
	}
}
