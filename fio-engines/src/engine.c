// SPDX-License-Identifier: GPL-2.0-only
/*
 * What fio loads: the table of callbacks, and what happens before a job's first I/O
 * and after its last.  Callbacks are in the order in which fio calls them.
 */
#include <stdlib.h>
#include <unistd.h>

#include "fio.h"
#include "verify.h"

#include "io.h"

#define ENGINE_NAME	"io_uring_regbuf"

#define ENGINE_FLAGS	(FIO_ASYNCIO_SYNC_TRIM | FIO_NO_OFFLOAD | \
			 FIO_ASYNCIO_SETS_ISSUE_TIME)

static struct ioengine_ops engine_ops;

static size_t round_up_page(size_t n)
{
	size_t page = sysconf(_SC_PAGESIZE);

	return (n + page - 1) / page * page;
}

/* ---- is this the fio that we were built for? ---------------------------------- */

/*
 * An engine and fio share structs whose layout changes without notice, also between
 * versions with one FIO_IOOPS_VERSION.  The version string is compared before fio has
 * even the table of callbacks; the pointer to that table, which would be elsewhere if
 * the layout differed, as soon as fio hands its structs over.
 */
static bool right_version(void)
{
	if (!strcmp(fio_version_string, REGBUF_FIO_VERSION))
		return true;
	fprintf(stderr, "regbuf: this " ENGINE_NAME ".so is for " REGBUF_FIO_VERSION
		", and this is %s: build it again with the source of that (FIO_SRC=)\n",
		fio_version_string);
	return false;
}

static bool right_layout(const struct thread_data *td)
{
	if (td->io_ops == &engine_ops && td->eo)
		return true;
	fprintf(stderr, "regbuf: this " ENGINE_NAME ".so is for another build of %s: its "
		"structs lie differently; build it with the source and the configuration of "
		"this fio (FIO_SRC=)\n", fio_version_string);
	return false;
}

/* fio finds the engine by this name if there is no symbol "ioengine". */
void get_ioengine(struct ioengine_ops **ops);
__attribute__((visibility("default"))) void get_ioengine(struct ioengine_ops **ops)
{
	*ops = right_version() ? &engine_ops : NULL;
}

/* ---- files --------------------------------------------------------------------- */

static void add_flags(struct thread_data *td, unsigned long long flags)
{
	td->flags |= flags << TD_ENG_FLAG_SHIFT;
}

/* The first callback of all. */
static int get_file_size(struct thread_data *td, struct fio_file *f)
{
	const struct regbuf_options *o = td->eo;

	if (!right_layout(td))
		exit(1);
	if (o->mode == REGBUF_MODE_IO)
		return generic_get_file_size(td, f);
	if (!o->arena_size) {
		log_err("regbuf: reg_mode=register needs arena_size=\n");
		td_verror(td, EINVAL, "arena_size");
		return 1;
	}
	/* The arena is the file, and there is no other */
	add_flags(td, FIO_DISKLESSIO | FIO_NOEXTEND);
	f->real_file_size = o->arena_size;
	fio_file_set_size_known(f);
	return 0;
}

/* ---- checking options -------------------------------------------------------------- */

static int fail(const char *text)
{
	log_err("regbuf: %s\n", text);
	return EINVAL;
}

static int check_options(struct thread_data *td)
{
	const struct regbuf_options *o = td->eo;
	bool in_tables = o->reg_op == REGBUF_OP_BUFFERS || o->reg_op == REGBUF_OP_BUFFERS2;

	if (o->reg_size % sysconf(_SC_PAGESIZE))
		return fail("reg_size must be a multiple of the page size");
	if (o->mode == REGBUF_MODE_REGISTER)
		return regbuf_register_check(td);
	if (td->o.mem_align)
		return fail("iomem_align is for fio's own memory; see arena_skew");
	if (o->hipri && !td->o.odirect)
		return fail("hipri needs direct=1");
	if (o->churn && !o->fixedbufs)
		return fail("churn needs fixedbufs=1");
	/* A clone moves to another entry; an update leaves each slot where it was */
	if (o->churn && o->reg_op != REGBUF_OP_UPDATE && o->force_async && !o->churn_drain)
		return fail("force_async with churn of whole tables or clones needs "
			    "churn_drain=1: requests that have not begun would not find "
			    "their slots");
	if (o->churn && in_tables && o->hipri && !o->churn_drain)
		return fail("hipri with churn of whole tables needs churn_drain=1: before "
			    "Linux 6.13 unregistering waits for I/O, and nobody polls for it");
	if (o->fault >= REGBUF_FAULT_SLOT && !o->fixedbufs)
		return fail("fault=slot and cross need fixedbufs=1");
	if (o->arena_skew >= (size_t)sysconf(_SC_PAGESIZE))
		return fail("arena_skew is less than a page");
	return 0;
}

/* ---- places ------------------------------------------------------------------------- */

/*
 * Where memory is aliased, places of different io_us must not be the same memory:
 * equal distances make sure that they are not.
 */
static int check_alias(struct regbuf *rb)
{
	size_t alias = rb->arena.memory, round = rb->stride * rb->td->o.iodepth;

	if (alias == rb->arena.size)
		return 0;
	if (alias % round || rb->slots.size % rb->stride)
		return fail("arena_mem=alias: arena_alias must be a multiple of iodepth times "
			    "the block size, and reg_size one of the block size");
	return 0;
}

static int set_places(struct regbuf *rb, size_t slot_size)
{
	const unsigned int depth = rb->td->o.iodepth;
	size_t size = rb->arena.size, rest = size % slot_size;

	rb->per_slot = slot_size / rb->stride;
	rb->nr_places = size / slot_size * rb->per_slot + rest / rb->stride;
	rb->nr_turns = rb->nr_places / depth;
	if (!rb->per_slot || !rb->nr_turns) {
		log_err("regbuf: arena_size=%zu in slots of %zu bytes has %llu places of %zu "
			"bytes, iodepth=%u needs one each\n", size, slot_size,
			(unsigned long long)rb->nr_places, rb->stride, depth);
		return EINVAL;
	}
	rb->moves = rb->o->arena_place != REGBUF_PLACE_FIXED && rb->nr_turns > 1;
	return 0;
}

/* ---- before the first I/O -------------------------------------------------------------- */

static int alloc_units(struct regbuf *rb)
{
	unsigned int depth = rb->td->o.iodepth;

	rb->units = calloc(depth, sizeof(*rb->units));
	rb->io_us = calloc(depth, sizeof(*rb->io_us));
	rb->events = calloc(depth, sizeof(*rb->events));
	return rb->units && rb->io_us && rb->events ? 0 : ENOMEM;
}

static int init_io_mode(struct regbuf *rb)
{
	struct thread_data *td = rb->td;
	struct regbuf_options *o = rb->o;
	size_t size = o->arena_size;

	/* The kernel's thread wants registered files, before 5.11 nothing else */
	if (o->sqpoll_thread)
		o->registerfiles = 1;
	if (o->registerfiles && td->o.nr_files != td->o.open_files)
		return fail("registerfiles needs nr_files and openfiles to be the same");
	rb->stride = round_up_page(td_max_bs(td) + o->arena_skew);
	if (!size)
		size = rb->stride * td->o.iodepth;
	if (o->reg_size > size)
		return fail("reg_size is more than arena_size");
	rb->churn_left = o->churn;
	rb->fault_left = o->fault_every;
	return regbuf_arena_alloc(&rb->arena, o, size);
}

static int init_register_mode(struct regbuf *rb)
{
	struct thread_data *td = rb->td;

	/* No data: fio shall neither allocate buffers nor fill them */
	add_flags(td, FIO_NOIO);
	td->flags &= ~(TD_F_REFILL_BUFFERS | TD_F_SCRAMBLE_BUFFERS);
	return regbuf_arena_alloc(&rb->arena, rb->o, rb->o->arena_size);
}

static int init(struct thread_data *td)
{
	struct regbuf *rb;
	int ret;

	if (!right_layout(td))
		return 1;
	ret = check_options(td);
	if (ret)
		goto fail;
	rb = calloc(1, sizeof(*rb));
	if (!rb) {
		ret = ENOMEM;
		goto fail;
	}
	/* From here on cleanup() undoes what was done */
	td->io_ops_data = rb;
	rb->td = td;
	rb->o = td->eo;
	regbuf_get_locked(&rb->locked_before);
	ret = alloc_units(rb);
	if (!ret)
		ret = rb->o->mode == REGBUF_MODE_IO ? init_io_mode(rb) : init_register_mode(rb);
	if (!ret)
		return 0;
fail:
	td_verror(td, ret, "regbuf init");
	return 1;
}

/*
 * fio fills blocks from here on, one next to the other, before the first I/O; places
 * are at least as far apart, so the arena is large enough for it.
 */
static int iomem_alloc(struct thread_data *td, size_t fio_unused size)
{
	struct regbuf *rb = td->io_ops_data;

	td->orig_buffer = rb->arena.base;
	if (td_max_bs(td) * td->o.iodepth <= rb->arena.size)
		return 0;
	log_err("regbuf: arena_size=%zu is less than iodepth times the block size\n",
		rb->arena.size);
	return 1;
}

static void iomem_free(struct thread_data fio_unused *td)
{
	/* cleanup() comes next, and frees after unregistering */
}

static int io_u_init(struct thread_data *td, struct io_u *io_u)
{
	struct regbuf *rb = td->io_ops_data;

	rb->io_us[io_u->index] = io_u;
	return 0;
}

/* Completions of I/O, and a tag for each slot that is replaced. */
static unsigned int cq_entries(const struct regbuf *rb)
{
	unsigned int depth = rb->td->o.iodepth, entries = depth;

	if (rb->o->churn)
		entries += 2 * rb->o->churn_slots;
	return entries > 32768 ? 32768 : entries;
}

/* The best that the kernel has: flags that it does not know go one by one. */
static int init_ring(struct regbuf *rb)
{
	static const unsigned int droppable[] = {
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
		IORING_SETUP_COOP_TASKRUN,
	};
	const struct regbuf_options *o = rb->o;
	struct io_uring_params p;
	unsigned int flags, i;
	int ret;

	flags = IORING_SETUP_CQSIZE | IORING_SETUP_COOP_TASKRUN |
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
	if (o->hipri)
		flags |= IORING_SETUP_IOPOLL;
	if (o->sqpoll_thread) {
		flags |= IORING_SETUP_SQPOLL;
		flags &= ~(IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_COOP_TASKRUN);
		if (o->sqpoll_set)
			flags |= IORING_SETUP_SQ_AFF;
	}
	for (i = 0; ; i++) {
		memset(&p, 0, sizeof(p));
		p.flags = flags;
		p.cq_entries = cq_entries(rb);
		p.sq_thread_cpu = o->sqpoll_cpu;
		ret = io_uring_queue_init_params(rb->td->o.iodepth, &rb->ring, &p);
		if (ret != -EINVAL || i == ARRAY_LEN(droppable))
			break;
		flags &= ~droppable[i];
	}
	if (ret) {
		log_err("regbuf: io_uring_setup: %s%s\n", strerror(-ret),
			ret == -EPERM ? " (see /proc/sys/kernel/io_uring_disabled)" : "");
		return -ret;
	}
	rb->has_ring = true;
	return 0;
}

static void choose_nonvectored(struct regbuf *rb)
{
	struct io_uring_probe *probe;

	if (rb->o->nonvectored >= 0)
		return;
	rb->o->nonvectored = 0;
	probe = io_uring_get_probe_ring(&rb->ring);
	if (!probe)
		return;
	if (io_uring_opcode_supported(probe, IORING_OP_READ) &&
	    io_uring_opcode_supported(probe, IORING_OP_WRITE))
		rb->o->nonvectored = 1;
	io_uring_free_probe(probe);
}

/* As many bytes in a slot as asked for, or as the kernel takes. */
static size_t choose_slot_size(struct regbuf *rb)
{
	struct io_uring_ext_caps caps = { 0 };
	size_t size = rb->arena.size;

	if (rb->o->mode == REGBUF_MODE_REGISTER && rb->o->reg_op == REGBUF_OP_UPDATE)
		return td_max_bs(rb->td);
	if (rb->o->reg_size)
		return rb->o->reg_size;
	io_uring_ext_query(&rb->ring, &caps);
	if (caps.max_buffer && caps.max_buffer < size)
		size = caps.max_buffer;
	return size;
}

static int register_files(struct regbuf *rb)
{
	struct thread_data *td = rb->td;
	struct fio_file *f;
	unsigned int i;
	int ret = 0;

	rb->fds = calloc(td->o.nr_files, sizeof(*rb->fds));
	if (!rb->fds)
		return ENOMEM;
	for_each_file(td, f, i) {
		if (generic_open_file(td, f)) {
			ret = td->error ? td->error : EIO;
			break;
		}
		rb->fds[i] = f->fd;
		f->engine_pos = i;
	}
	if (!ret)
		ret = -io_uring_register_files(&rb->ring, rb->fds, td->o.nr_files);
	for_each_file(td, f, i) {
		/* fio opens them again, see open_file() */
		if (!ret)
			f->fd = -1;
		else if (f->fd != -1)
			(void)!generic_close_file(td, f);
	}
	if (ret) {
		free(rb->fds);
		rb->fds = NULL;
	}
	return ret;
}

/*
 * Data for jobs that write and do not verify: fio's own, in each @step'th place.  After
 * registering, so that with arena_prefault=0 it is still that which populates.
 */
static void fill_places(struct regbuf *rb, uint64_t step)
{
	struct thread_data *td = rb->td;
	uint64_t place;
	char *data;

	if (!td_write(td) || !regbuf_io_keeps_data(td))
		return;
	for (place = 0; place < rb->nr_places; place += step) {
		data = regbuf_io_place(rb, place);
		/* From here on it is the same memory again */
		if (data >= rb->arena.base + rb->arena.memory)
			break;
		fill_io_buffer(td, data, td->o.min_bs[DDIR_WRITE], td_max_bs(td));
	}
}

static void look_at_first_slot(struct regbuf *rb)
{
	const struct iovec *v = &rb->slots.iovecs[0];
	size_t len = v->iov_len;

	if (!rb->o->reg_log)
		return;
	/* The kernel tells at once; an estimate reads 8 bytes for each base page */
	if (io_uring_ext_layout(&rb->ring, rb->slots.index[0], v->iov_base, len, &rb->layout))
		return;
	rb->has_layout = true;
}

static int post_init_io_mode(struct regbuf *rb, size_t slot_size)
{
	unsigned int i;
	uint64_t apart = 1;
	int ret;

	ret = set_places(rb, slot_size);
	if (!ret && rb->o->fixedbufs) {
		ret = regbuf_slots_register(rb);
		if (!ret)
			look_at_first_slot(rb);
	}
	if (!ret)
		ret = check_alias(rb);
	if (!ret && rb->o->registerfiles) {
		ret = register_files(rb);
		if (ret)
			log_err("regbuf: registering files: %s\n", strerror(ret));
	}
	if (ret)
		return ret;
	choose_nonvectored(rb);
	memset(rb->ring.sq.sqes, 0, rb->ring.sq.ring_entries * sizeof(*rb->ring.sq.sqes));
	if (!rb->moves && rb->arena.memory == rb->arena.size)
		apart = rb->nr_turns;
	fill_places(rb, apart);
	for (i = 0; i < rb->td->o.iodepth; i++)
		regbuf_io_set_place(rb, rb->io_us[i], i * apart);
	return 0;
}

static int post_init(struct thread_data *td)
{
	struct regbuf *rb = td->io_ops_data;
	size_t slot_size;
	int ret;

	td->flags &= ~((unsigned long long)FIO_NOIO << TD_ENG_FLAG_SHIFT);
	ret = init_ring(rb);
	if (ret)
		goto fail;
	slot_size = choose_slot_size(rb);
	rb->slots.size = slot_size;
	ret = regbuf_slots_init(rb, slot_size);
	if (!ret && rb->o->fault == REGBUF_FAULT_SLOT && rb->slots.nr < 2)
		ret = fail("fault=slot needs two slots: with one there is no wrong one");
	if (!ret && rb->o->fixedbufs)
		ret = regbuf_slots_prepare(rb);
	if (!ret && rb->o->mode == REGBUF_MODE_IO)
		ret = post_init_io_mode(rb, slot_size);
	if (!ret)
		return 0;
fail:
	td_verror(td, ret, "regbuf post_init");
	return 1;
}

static int open_file(struct thread_data *td, struct fio_file *f)
{
	struct regbuf *rb = td->io_ops_data;
	const struct regbuf_options *o = td->eo;

	if (o->mode == REGBUF_MODE_REGISTER)
		return 0;
	if (!rb || !rb->fds)
		return generic_open_file(td, f);
	f->fd = rb->fds[f->engine_pos];
	return 0;
}

static int close_file(struct thread_data *td, struct fio_file *f)
{
	struct regbuf *rb = td->io_ops_data;
	const struct regbuf_options *o = td->eo;

	if (o->mode == REGBUF_MODE_REGISTER)
		return 0;
	if (!rb || !rb->fds)
		return generic_close_file(td, f);
	f->fd = -1;
	return 0;
}

/* ---- I/O ---------------------------------------------------------------------------- */

static int prep(struct thread_data *td, struct io_u *io_u)
{
	const struct regbuf_options *o = td->eo;

	return o->mode == REGBUF_MODE_IO ? regbuf_io_prep(td, io_u) : 0;
}

static enum fio_q_status queue(struct thread_data *td, struct io_u *io_u)
{
	const struct regbuf_options *o = td->eo;

	return o->mode == REGBUF_MODE_IO ? regbuf_io_queue(td, io_u) :
					   regbuf_register_queue(td, io_u);
}

/* ---- after the last I/O ---------------------------------------------------------------- */

static void close_registered(struct regbuf *rb)
{
	unsigned int i;

	if (!rb->fds)
		return;
	for (i = 0; i < rb->td->o.nr_files; i++)
		close(rb->fds[i]);
	free(rb->fds);
}

static void cleanup(struct thread_data *td)
{
	struct regbuf *rb = td->io_ops_data;
	int ret = 0, ret2;

	if (!rb)
		return;
	/* Pins go here, and not when the kernel gets to the closed ring */
	if (rb->has_ring) {
		regbuf_slots_release(rb);
		ret = regbuf_io_wait_tags(rb);
		io_uring_queue_exit(&rb->ring);
	}
	ret2 = regbuf_report(rb);
	if (ret || ret2)
		td_verror(td, ret ? ret : ret2, "regbuf cleanup");
	regbuf_figures_free(rb);
	regbuf_slots_free(rb);
	regbuf_arena_free(&rb->arena);
	close_registered(rb);
	free(rb->units);
	free(rb->io_us);
	free(rb->events);
	free(rb);
	td->io_ops_data = NULL;
}

static struct ioengine_ops engine_ops = {
	.name			= ENGINE_NAME,
	.version		= FIO_IOOPS_VERSION,
	.flags			= ENGINE_FLAGS,
	.get_file_size		= get_file_size,
	.init			= init,
	.iomem_alloc		= iomem_alloc,
	.iomem_free		= iomem_free,
	.io_u_init		= io_u_init,
	.post_init		= post_init,
	.open_file		= open_file,
	.close_file		= close_file,
	.prep			= prep,
	.queue			= queue,
	.commit			= regbuf_io_commit,
	.getevents		= regbuf_io_getevents,
	.event			= regbuf_io_event,
	.cleanup		= cleanup,
	.options		= regbuf_option_table,
	.option_struct_size	= sizeof(struct regbuf_options),
};
