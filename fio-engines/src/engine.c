// SPDX-License-Identifier: GPL-2.0-only
/*
 * What fio loads: the table of callbacks, and what happens before a job's first I/O
 * and after its last.  Callbacks are in the order in which fio calls them.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fio.h"

#include "io.h"

#define ENGINE_NAME	"io_uring_regbuf"

#define ENGINE_FLAGS	(FIO_ASYNCIO_SYNC_TRIM | FIO_NO_OFFLOAD | \
			 FIO_ASYNCIO_SETS_ISSUE_TIME)

/* RWF_DONTCACHE and RWF_ATOMIC: <linux/fs.h> since 6.14 and 6.11 */
#define UNCACHED	0x80
#define ATOMIC		0x40

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

/* The first callback of all, in fio's own process unless create_serialize=0. */
static int get_file_size(struct thread_data *td, struct fio_file *f)
{
	const struct regbuf_options *o = td->eo;
	int ret;

	/* Not exit(): that frees what fio's helper thread looks at */
	if (!right_layout(td)) {
		fflush(stdout);
		_exit(1);
	}
	if (!f->fileno) {
		ret = regbuf_check_options(td);
		if (ret) {
			td_verror(td, ret, "regbuf options");
			return 1;
		}
		regbuf_note_prepare(td);
		if (o->trim_async)
			td->flags &= ~((unsigned long long)FIO_ASYNCIO_SYNC_TRIM <<
				       TD_ENG_FLAG_SHIFT);
		/* In the job itself it would be too late for the others to know */
		if (o->arena_share && !td->pid && regbuf_share_join(td))
			return 1;
	}
	if (o->cmd_type == REGBUF_CMD_NVME) {
		ret = regbuf_nvme_get_size(td, f);
		if (ret)
			td_verror(td, ret, "regbuf cmd_type");
		return ret;
	}
	if (o->reg_mode == REGBUF_MODE_IO)
		return generic_get_file_size(td, f);
	/* The arena is the file, or the socket, and there is no other */
	add_flags(td, FIO_DISKLESSIO | FIO_NOEXTEND);
	f->real_file_size = o->reg_mode == REGBUF_MODE_SEND ? td->o.size : o->arena_size;
	fio_file_set_size_known(f);
	return 0;
}

static int fail(const char *text)
{
	regbuf_say("%s", text);
	return EINVAL;
}

/* ---- places ------------------------------------------------------------------------- */

/*
 * Where memory is aliased, places of different io_us must not be the same memory:
 * equal distances make sure that they are not.
 */
static int check_alias(struct regbuf *rb)
{
	size_t alias = rb->arena->memory, round = rb->stride * rb->nr_units;

	if (alias == rb->arena->size)
		return 0;
	if (alias % round || rb->slots.size % rb->stride)
		return fail("arena_mem=alias: arena_alias must be a multiple of iodepth (and of "
			    "the jobs that share it) times the block size, and reg_size one of "
			    "the block size");
	return 0;
}

static int set_places(struct regbuf *rb, size_t slot_size)
{
	size_t size = rb->arena->size, rest = size % slot_size;

	rb->per_slot = slot_size / rb->stride;
	rb->nr_places = size / slot_size * rb->per_slot + rest / rb->stride;
	rb->nr_turns = rb->nr_places / rb->nr_units;
	if (!rb->per_slot || !rb->nr_turns) {
		regbuf_say("arena_size=%zu in slots of %zu bytes has %llu places of %zu bytes, "
			   "iodepth=%u needs one each", size, slot_size,
			   (unsigned long long)rb->nr_places, rb->stride, rb->nr_units);
		return EINVAL;
	}
	rb->moves = rb->o->arena_place != REGBUF_PLACE_FIXED && rb->nr_turns > 1;
	return 0;
}

/*
 * fio fills a buffer before its place is known.  Where places change the data of a write
 * is to be made there instead, and once: fio's generators are at the next block then.
 */
static void take_over_refill(struct regbuf *rb)
{
	struct thread_data *td = rb->td;

	if (!rb->moves || !(td->flags & TD_F_REFILL_BUFFERS) || !regbuf_io_keeps_data(td))
		return;
	rb->refills = true;
	td->flags &= ~(TD_F_REFILL_BUFFERS | TD_F_SCRAMBLE_BUFFERS);
}

/* ---- before the first I/O -------------------------------------------------------------- */

static int alloc_units(struct regbuf *rb)
{
	unsigned int depth = rb->td->o.iodepth, i;

	rb->units = calloc(depth, sizeof(*rb->units));
	rb->io_us = calloc(depth, sizeof(*rb->io_us));
	rb->events = calloc(depth, sizeof(*rb->events));
	rb->iovecs = calloc((size_t)depth * rb->o->segments, sizeof(*rb->iovecs));
	if (!rb->units || !rb->io_us || !rb->events || !rb->iovecs)
		return ENOMEM;
	for (i = 0; i < depth; i++)
		rb->units[i].iovecs = &rb->iovecs[(size_t)i * rb->o->segments];
	return 0;
}

static int init_io_mode(struct regbuf *rb)
{
	struct thread_data *td = rb->td;
	struct regbuf_options *o = rb->o;
	size_t size = o->arena_size;
	unsigned int i;
	int ret;

	/* The kernel's thread wants registered files, before 5.11 nothing else */
	if (o->sqthread_poll)
		o->registerfiles = 1;
	if (o->registerfiles && td->o.nr_files != td->o.open_files)
		return fail("registerfiles needs nr_files and openfiles to be the same");
	rb->stride = round_up_page(td_max_bs(td) + o->arena_skew);
	rb->nr_units = td->o.iodepth;
	if (o->arena_share) {
		rb->nr_units *= rb->nr_jobs;
		rb->first_unit = td->subjob_number * td->o.iodepth;
	}
	if (!size)
		size = rb->stride * rb->nr_units;
	if (o->reg_size > size)
		return fail("reg_size is more than arena_size");
	ret = regbuf_prio_init(rb);
	if (ret)
		return ret;
	for (i = DDIR_READ; i <= DDIR_WRITE; i++) {
		rb->rw_flags[i] |= o->nowait ? RWF_NOWAIT : 0;
		rb->rw_flags[i] |= o->uncached ? UNCACHED : 0;
	}
	rb->rw_flags[DDIR_WRITE] |= o->atomic_writes ? ATOMIC : 0;
	rb->special = o->reg_mode == REGBUF_MODE_SEND || o->nop || rb->prio ||
		      o->cmd_type == REGBUF_CMD_NVME || o->fault != REGBUF_FAULT_NONE ||
		      o->fixed_percentage != 100;
	rb->churning = o->churn || o->churn_rate;
	rb->churn_left = o->churn;
	rb->fault_left = o->fault_every;
	return regbuf_share_get(rb, size);
}

static int init_register_mode(struct regbuf *rb)
{
	struct thread_data *td = rb->td;

	/* No data: fio shall neither allocate buffers nor fill them */
	add_flags(td, FIO_NOIO);
	td->flags &= ~(TD_F_REFILL_BUFFERS | TD_F_SCRAMBLE_BUFFERS);
	return regbuf_share_get(rb, rb->o->arena_size);
}

static int init(struct thread_data *td)
{
	struct regbuf *rb;
	int ret;

	if (!right_layout(td))
		return 1;
	ret = regbuf_check_options(td);
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
	rb->socket = -1;
	rb->random = (rb->o->arena_seed + td->subjob_number) * 0x9e3779b97f4a7c15ULL | 1;
	regbuf_get_locked(&rb->locked_before);
	ret = regbuf_share_init(rb);
	if (!ret)
		ret = regbuf_logs_open(rb);
	if (!ret)
		ret = alloc_units(rb);
	rb->nr_jobs = ret ? 0 : rb->share->jobs;
	if (!ret)
		ret = rb->o->reg_mode == REGBUF_MODE_REGISTER ? init_register_mode(rb) :
							    init_io_mode(rb);
	if (!ret)
		return 0;
fail:
	td_verror(td, ret, "regbuf init");
	return 1;
}

/*
 * fio fills blocks here before the first I/O, and before they have places, which may be
 * in use by another job, or are for registration to populate.
 */
static int iomem_alloc(struct thread_data *td, size_t size)
{
	struct regbuf *rb = td->io_ops_data;

	if (size < td_max_bs(td) * td->o.iodepth)
		size = td_max_bs(td) * td->o.iodepth;
	rb->scratch = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (rb->scratch == MAP_FAILED) {
		rb->scratch = NULL;
		regbuf_say("no memory for %zu bytes of blocks", size);
		return 1;
	}
	rb->scratch_size = size;
	td->orig_buffer = rb->scratch;
	return 0;
}

static void iomem_free(struct thread_data *td)
{
	struct regbuf *rb = td->io_ops_data;

	/* The arena is freed after unregistering: cleanup() comes next */
	if (rb->scratch)
		munmap(rb->scratch, rb->scratch_size);
	rb->scratch = NULL;
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

	/* SEND_ZC has two */
	if (rb->o->reg_mode == REGBUF_MODE_SEND)
		entries += depth;
	if (rb->churning)
		entries += 2 * rb->o->churn_slots;
	if (rb->o->reg_op == REGBUF_OP_SQE)
		entries++;
	return entries > 32768 ? 32768 : entries;
}

/*
 * As io_uring_queue_init_params(), which since liburing 2.6 asks for a ring without the array that
 * says in which order entries are submitted: here an io_u has its entry for life.
 */
static int queue_init(unsigned int entries, struct io_uring *ring, struct io_uring_params *p)
{
	int ret, fd = io_uring_setup(entries, p);

	if (fd < 0)
		return fd;
	ret = io_uring_queue_mmap(fd, p, ring);
	if (ret) {
		close(fd);
		return ret;
	}
	/* Some versions leave these to who calls */
	ring->ring_fd = fd;
	ring->enter_ring_fd = fd;
	ring->flags = p->flags;
	ring->features = p->features;
	return 0;
}

/* The best that the kernel has: flags that it does not know go one by one. */
static int init_ring(struct regbuf *rb)
{
	static const unsigned int droppable[] = {
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
		IORING_SETUP_COOP_TASKRUN,
	};
	const struct regbuf_options *o = rb->o;
	/* One for each io_u, and one for what registers beside them */
	const unsigned int entries = rb->td->o.iodepth + (o->reg_op == REGBUF_OP_SQE);
	struct io_uring_params p;
	unsigned int flags, i;
	int ret;

	flags = IORING_SETUP_CQSIZE | IORING_SETUP_COOP_TASKRUN |
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
	if (o->hipri)
		flags |= IORING_SETUP_IOPOLL;
	if (o->cmd_type == REGBUF_CMD_NVME) {
		flags |= IORING_SETUP_SQE128 | IORING_SETUP_CQE32;
		rb->big_shift = 1;
	}
	if (o->sqthread_poll) {
		flags |= IORING_SETUP_SQPOLL;
		flags &= ~(IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_COOP_TASKRUN);
		if (o->sqpoll_set)
			flags |= IORING_SETUP_SQ_AFF;
	}
	for (i = 0; ; i++) {
		memset(&p, 0, sizeof(p));
		p.flags = flags;
		p.cq_entries = cq_entries(rb);
		p.sq_thread_cpu = o->sqthread_poll_cpu;
		ret = queue_init(entries, &rb->ring, &p);
		if (ret != -EINVAL || i == ARRAY_LEN(droppable))
			break;
		flags &= ~droppable[i];
	}
	if (ret) {
		regbuf_say("io_uring_setup: %s%s", strerror(-ret),
			   ret == -EPERM ? " (see /proc/sys/kernel/io_uring_disabled)" : "");
		return -ret;
	}
	rb->has_ring = true;
	return 0;
}

static void choose_nonvectored(struct regbuf *rb)
{
	struct io_uring_probe *probe;

	if (rb->o->nonvectored != REGBUF_NONVECTORED_AUTO)
		return;
	rb->o->nonvectored = REGBUF_NONVECTORED_OFF;
	if (rb->o->segments > 1)
		return;
	/* A kernel that passes commands through is newer than these */
	if (rb->o->cmd_type != REGBUF_CMD_NONE) {
		rb->o->nonvectored = REGBUF_NONVECTORED_ON;
		return;
	}
	probe = io_uring_get_probe_ring(&rb->ring);
	if (!probe)
		return;
	if (io_uring_opcode_supported(probe, IORING_OP_READ) &&
	    io_uring_opcode_supported(probe, IORING_OP_WRITE))
		rb->o->nonvectored = REGBUF_NONVECTORED_ON;
	io_uring_free_probe(probe);
}

/* As many bytes in a slot as asked for, or as the kernel takes. */
static size_t choose_slot_size(struct regbuf *rb)
{
	struct io_uring_ext_caps caps = { 0 };
	size_t size = rb->arena->size;

	if (rb->o->reg_mode == REGBUF_MODE_REGISTER && regbuf_by_slot(rb->o))
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
 * Data for jobs that write and do not verify: fio's own, in each place of the job.  After
 * registering, so that with arena_prefault=0 it is still that which populates.
 */
static void fill_places(struct regbuf *rb, uint64_t apart)
{
	const uint64_t turns = rb->moves ? rb->nr_turns : 1;
	struct thread_data *td = rb->td;
	unsigned int i;
	uint64_t turn;
	char *data;

	if (!td_write(td) || !regbuf_io_keeps_data(td))
		return;
	for (turn = 0; turn < turns; turn++) {
		for (i = 0; i < td->o.iodepth; i++) {
			data = regbuf_io_place(rb, (turn * rb->nr_units + rb->first_unit + i) *
						   apart);
			/* From here on it is the same memory again */
			if (data >= rb->arena->base + rb->arena->memory)
				return;
			fill_io_buffer(td, data, td->o.min_bs[DDIR_WRITE], td_max_bs(td));
		}
	}
}

static void look_at_first_slot(struct regbuf *rb)
{
	const struct iovec *v = &rb->slots.iovecs[0];
	size_t len = v->iov_len;

	if (!rb->o->reg_log)
		return;
	/* The kernel tells at once; an estimate reads 8 bytes for each base page */
	if (io_uring_ext_layout(&rb->ring, 0, v->iov_base, len, &rb->layout))
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
			regbuf_say("registering files: %s", strerror(ret));
	}
	if (!ret && rb->o->reg_mode == REGBUF_MODE_SEND)
		ret = regbuf_send_connect(rb);
	if (ret)
		return ret;
	choose_nonvectored(rb);
	take_over_refill(rb);
	memset(rb->ring.sq.sqes, 0,
	       (rb->ring.sq.ring_entries << rb->big_shift) * sizeof(*rb->ring.sq.sqes));
	if (!rb->moves && rb->arena->memory == rb->arena->size)
		apart = rb->nr_turns;
	fill_places(rb, apart);
	for (i = 0; i < rb->td->o.iodepth; i++)
		regbuf_io_set_place(rb, rb->io_us[i], (rb->first_unit + i) * apart);
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
	if (!ret && rb->o->reg_mode != REGBUF_MODE_REGISTER)
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

	if (o->reg_mode != REGBUF_MODE_IO)
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

	if (o->reg_mode != REGBUF_MODE_IO)
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

	return o->reg_mode == REGBUF_MODE_REGISTER ? 0 : regbuf_io_prep(td, io_u);
}

static enum fio_q_status queue(struct thread_data *td, struct io_u *io_u)
{
	const struct regbuf_options *o = td->eo;
	struct regbuf *rb = td->io_ops_data;

	rb->phase = REGBUF_PHASE_MEASURED;
	return o->reg_mode == REGBUF_MODE_REGISTER ? regbuf_register_queue(td, io_u) :
						 regbuf_io_queue(td, io_u);
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
	rb->phase = REGBUF_PHASE_TEARDOWN;
	if (rb->socket >= 0)
		close(rb->socket);
	/* Pins go here, and not when the kernel gets to the closed ring */
	if (rb->has_ring) {
		regbuf_slots_release(rb);
		ret = regbuf_io_wait_tags(rb);
		io_uring_queue_exit(&rb->ring);
	}
	regbuf_source_release(rb);
	ret2 = regbuf_report(rb);
	if (ret || ret2)
		td_verror(td, ret ? ret : ret2, "regbuf cleanup");
	regbuf_prio_free(rb);
	regbuf_figures_free(rb);
	regbuf_slots_free(rb);
	regbuf_share_put(rb);
	close_registered(rb);
	free(rb->units);
	free(rb->io_us);
	free(rb->events);
	free(rb->iovecs);
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
