// SPDX-License-Identifier: GPL-2.0-only
/*
 * Do the options make sense together?  What would be ignored is refused: a job that
 * measures something else than it says is worse than none.
 */
#include <unistd.h>

#include "fio.h"

#include "io.h"

static int fail(const char *text)
{
	regbuf_say("%s", text);
	return EINVAL;
}

static bool churns(const struct regbuf_options *o)
{
	return o->churn || o->churn_rate;
}

/* ---- memory ---------------------------------------------------------------------- */

static int check_memory(struct thread_data *td)
{
	const struct regbuf_options *o = td->eo;
	const bool anonymous = o->arena_mem == REGBUF_MEM_4K || o->arena_mem == REGBUF_MEM_THP ||
			       o->arena_mem == REGBUF_MEM_MTHP;
	const bool folio = o->arena_mem == REGBUF_MEM_MTHP || o->arena_mem == REGBUF_MEM_MEMFD ||
			   o->arena_mem == REGBUF_MEM_MEMFD_HUGE ||
			   o->arena_mem == REGBUF_MEM_ALIAS;

	if (o->arena_folio && !folio)
		return fail("arena_folio is for arena_mem=mthp, memfd, memfd_huge and alias");
	if (o->arena_alias && o->arena_mem != REGBUF_MEM_ALIAS)
		return fail("arena_alias is for arena_mem=alias");
	if (o->arena_mix && o->arena_mem != REGBUF_MEM_MIXED)
		return fail("arena_mix is for arena_mem=mixed");
	if (o->arena_frag && !anonymous)
		return fail("arena_frag needs arena_mem=4k, thp or mthp");
	if (o->arena_size % sysconf(_SC_PAGESIZE))
		return fail("arena_size must be a multiple of the page size");
	if (o->reg_size % sysconf(_SC_PAGESIZE))
		return fail("reg_size must be a multiple of the page size");
	if (o->reg_op == REGBUF_OP_MEMFD && o->arena_mem != REGBUF_MEM_MEMFD &&
	    o->arena_mem != REGBUF_MEM_MEMFD_HUGE)
		return fail("reg_op=memfd needs arena_mem=memfd or memfd_huge");
	if (o->arena_share && !td->o.use_thread)
		return fail("arena_share needs thread=1: processes have no memory in common");
	return 0;
}

/* ---- reg_mode=register --------------------------------------------------------------- */

static int check_register(struct thread_data *td)
{
	const struct regbuf_options *o = td->eo;
	const unsigned long long block = td_max_bs(td);
	const bool by_slot = regbuf_by_slot(o);

	if (!o->arena_size)
		return fail("reg_mode=register needs arena_size=");
	if (td_read(td) || td->o.verify != VERIFY_NONE)
		return fail("reg_mode=register knows rw=write, trim and trimwrite and their "
			    "random forms: nothing is read or verified");
	if (td->o.nr_files != 1)
		return fail("reg_mode=register: the arena is the only file there is, nrfiles "
			    "must be 1");
	if (td->o.td_ddir && td_min_bs(td) != block)
		return fail("reg_mode=register needs one block size");
	if (by_slot && o->reg_size && o->reg_size != block) {
		regbuf_say("reg_mode=register with reg_op=%s: a block is a slot, but bs=%llu "
			   "and reg_size=%llu", regbuf_op_name(o->reg_op), block, o->reg_size);
		return EINVAL;
	}
	if (!by_slot && block != o->arena_size) {
		regbuf_say("reg_mode=register with reg_op=%s: a block is the whole arena, but "
			   "bs=%llu and arena_size=%llu", regbuf_op_name(o->reg_op), block,
			   o->arena_size);
		return EINVAL;
	}
	if (o->arena_size % block) {
		regbuf_say("arena_size=%llu is no multiple of bs=%llu", o->arena_size, block);
		return EINVAL;
	}
	return 0;
}

/* ---- reg_mode=io ------------------------------------------------------------------------ */

static int check_churn(struct thread_data *td)
{
	const struct regbuf_options *o = td->eo;
	const bool in_tables = o->reg_op == REGBUF_OP_BUFFERS || o->reg_op == REGBUF_OP_BUFFERS2;

	if (!churns(o)) {
		if (o->churn_slots > 1 || o->churn_drain)
			return fail("churn_slots and churn_drain need churn or churn_rate");
		return 0;
	}
	if (o->churn && o->churn_rate)
		return fail("churn is after so many I/Os, churn_rate so many a second: one of "
			    "them");
	if (!o->fixedbufs)
		return fail("churn needs fixedbufs=1");
	if (o->reg_op == REGBUF_OP_SQE && o->churn_drain)
		return fail("reg_op=sqe registers beside I/O: churn_drain does not go with it");
	/* Other entries are replaced, and are never empty */
	if (in_tables && o->force_async && !o->churn_drain)
		return fail("force_async with churn of whole tables needs churn_drain=1: "
			    "requests that have not begun would not find their slots");
	if (in_tables && o->hipri && !o->churn_drain)
		return fail("hipri with churn of whole tables needs churn_drain=1: before "
			    "Linux 6.13 unregistering waits for I/O, and nobody polls for it");
	return 0;
}

static int check_segments(struct thread_data *td)
{
	const struct regbuf_options *o = td->eo;

	if (o->segments == 1)
		return o->segments_scatter ? fail("segments_scatter needs segments") : 0;
	if (td_max_bs(td) % o->segments || td_max_bs(td) / o->segments % 512)
		return fail("segments must cut the largest block into multiples of 512 bytes");
	if (o->fault >= REGBUF_FAULT_SLOT)
		return fail("fault=slot and cross are for segments=1");
	if (o->nonvectored == REGBUF_NONVECTORED_ON)
		return fail("segments need vectors: nonvectored=1 does not go with them");
	return 0;
}

/* What a command of the device's has no room for. */
static int check_cmd(struct thread_data *td)
{
	const struct regbuf_options *o = td->eo;

	if (o->cmd_type == REGBUF_CMD_NONE)
		return 0;
	if (td->o.odirect)
		return fail("cmd_type=nvme needs direct=0: the device's file is no block device, and "
			    "nothing is cached");
	if (td_trim(td))
		return fail("cmd_type=nvme: trims are not passed through");
	if (o->segments > 1 || o->nop || o->hipri || o->nowait || o->uncached || o->atomic_writes ||
	    o->cmdprio_percentage || o->cmdprio_bssplit ||
	    o->nonvectored != REGBUF_NONVECTORED_AUTO)
		return fail("segments, nonvectored, nop, hipri, nowait, uncached, atomic_writes and "
			    "cmdprio do not go with cmd_type");
	return 0;
}

static int check_io(struct thread_data *td)
{
	const struct regbuf_options *o = td->eo;
	int ret;

	if (td->o.mem_align)
		return fail("iomem_align is for fio's own memory; see arena_skew");
	if (o->reg_op == REGBUF_OP_EMPTY)
		return fail("reg_op=empty is for reg_mode=register");
	if (o->reg_op == REGBUF_OP_READONLY && (td_read(td) || td->o.verify != VERIFY_NONE))
		return fail("reg_op=readonly makes sources: nothing can be read into them, and "
			    "verify reads");
	if (o->nop && (td->o.verify != VERIFY_NONE || o->segments > 1 || o->hipri || o->nowait ||
		       o->uncached || o->fault != REGBUF_FAULT_NONE))
		return fail("nop does no I/O: verify, segments, hipri, nowait, uncached and fault "
			    "do not go with it");
	if (o->hipri && !td->o.odirect)
		return fail("hipri needs direct=1");
	if (o->uncached && td->o.odirect)
		return fail("uncached needs direct=0: direct I/O is never cached");
	if (o->atomic_writes && !td->o.odirect)
		return fail("atomic_writes needs direct=1");
	if (o->sqpoll_set && !o->sqthread_poll)
		return fail("sqthread_poll_cpu needs sqthread_poll");
	if (!o->fixedbufs && o->fixed_percentage != 100)
		return fail("fixed_percentage needs fixedbufs=1");
	if (o->fault == REGBUF_FAULT_NONE && o->fault_every != 100)
		return fail("fault_every needs fault");
	if (o->fault >= REGBUF_FAULT_SLOT && (!o->fixedbufs || o->fixed_percentage != 100))
		return fail("fault=slot and cross need fixedbufs=1 for all I/O");
	if (o->arena_skew >= (size_t)sysconf(_SC_PAGESIZE))
		return fail("arena_skew is less than a page");
	if ((o->cmdprio || o->cmdprio_class) && !o->cmdprio_percentage)
		return fail("cmdprio and cmdprio_class need cmdprio_percentage");
	ret = check_cmd(td);
	if (!ret)
		ret = check_churn(td);
	return ret ? ret : check_segments(td);
}

static int check_send(struct thread_data *td)
{
	const struct regbuf_options *o = td->eo;

	if (!o->send_to)
		return fail("reg_mode=send needs send_to=");
	if (td_read(td) || td_trim(td) || td->o.verify != VERIFY_NONE)
		return fail("reg_mode=send knows rw=write and randwrite: nothing is read, trimmed "
			    "or verified");
	if (td->o.nr_files != 1)
		return fail("reg_mode=send: there is one connection, nrfiles must be 1");
	if (!td->o.size || parse_is_percent(td->o.size))
		return fail("reg_mode=send needs size=");
	return check_io(td);
}

int regbuf_check_options(struct thread_data *td)
{
	const struct regbuf_options *o = td->eo;
	int ret = regbuf_check_modes(o);

	if (!ret)
		ret = check_memory(td);
	if (ret)
		return ret;
	if (o->reg_mode == REGBUF_MODE_SEND)
		return check_send(td);
	return o->reg_mode == REGBUF_MODE_REGISTER ? check_register(td) : check_io(td);
}
