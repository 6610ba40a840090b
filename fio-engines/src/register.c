// SPDX-License-Identifier: GPL-2.0-only
/*
 * reg_mode=register: the job's blocks are parts of the arena.  Writing a block
 * registers it and trimming a block unregisters it, so that fio reports
 * registration as it reports I/O: latencies, percentiles, bandwidth, logs.
 *
 * A block is one slot where slots are registered one by one.  The other ways register all of a
 * table at once, so there a block is the whole arena, in slots of reg_size.  With reg_op=empty
 * a block is a call that changes nothing: what is in each clat beside the kernel's work.
 */
#include "fio.h"

#include "io.h"

static bool is_registered(const struct regbuf *rb, unsigned int slot)
{
	if (regbuf_by_slot(rb->o))
		return rb->slots.present[slot];
	return rb->slots.registered;
}

static int set_registered(struct regbuf *rb, unsigned int slot, bool on)
{
	if (rb->o->reg_op == REGBUF_OP_EMPTY)
		return regbuf_slot_touch(rb);
	if (regbuf_by_slot(rb->o))
		return on ? regbuf_slot_register(rb, slot) : regbuf_slot_unregister(rb, slot);
	return on ? regbuf_slots_register(rb) : regbuf_slots_unregister(rb);
}

enum fio_q_status regbuf_register_queue(struct thread_data *td, struct io_u *io_u)
{
	struct regbuf *rb = td->io_ops_data;
	bool on = io_u->ddir == DDIR_WRITE;
	unsigned int slot;
	int ret = 0;

	fio_ro_check(td, io_u);

	if (on || io_u->ddir == DDIR_TRIM) {
		slot = io_u->offset / rb->slots.size;
		/*
		 * What is timed is a registration from nothing, or the end of one: so
		 * first get there.
		 */
		if (rb->o->reg_op != REGBUF_OP_EMPTY && is_registered(rb, slot) == on)
			ret = set_registered(rb, slot, !on);
		regbuf_io_take_tags(rb);
		rb->issuing = io_u;
		if (!ret)
			ret = set_registered(rb, slot, on);
	}
	io_u->error = ret;
	io_u_mark_submit(td, 1);
	io_u_mark_complete(td, 1);
	return FIO_Q_COMPLETED;
}
