/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * io_uring_regbuf: a fio engine for I/O in registered memory.
 *
 * Words
 *
 *  arena   The memory of one job, in one range of addresses: liburing-ext's arena.
 *
 *  slot    An entry of the ring's table of registered buffers.  Slot i is bytes
 *          [i * slot_size, (i + 1) * slot_size) of the arena; the last may be
 *          shorter.
 *
 *  place   Where in the arena an io_u has its data.  Places are as large as the
 *          largest block, lie on a grid, and never cross from slot to slot.
 *
 *  churn   Registering slots again while the job runs.
 *
 *  source  With reg_op=clone: a ring that has the arena registered, and that the
 *          job's own ring is given clones from.
 *
 * Why places need no bookkeeping
 *
 *  fio writes into an io_u's buffer before the engine hears of the next I/O, and a
 *  verify thread reads it long after the engine has completed the last one.  So an
 *  io_u must own its place until the engine gives it another, in ->prep().  With
 *  n io_us, io_u k only ever uses places k, k + n, k + 2n ...: no two can meet.  Where
 *  jobs share an arena, n is the io_us of all of them.
 *
 * All of it belongs to the job's thread, but for an arena and its source, which
 * arena_share lets the threads of one job use together.
 */
#ifndef REGBUF_H
#define REGBUF_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <liburing.h>
#include <liburing-ext.h>

#define ARRAY_LEN(a)	(sizeof(a) / sizeof((a)[0]))

struct thread_data;
struct io_u;

enum regbuf_mode {
	REGBUF_MODE_IO = 1,
	REGBUF_MODE_REGISTER,
	REGBUF_MODE_SEND,
};

enum regbuf_mem {
	REGBUF_MEM_4K = 1,
	REGBUF_MEM_THP,
	REGBUF_MEM_MTHP,
	REGBUF_MEM_HUGE2M,
	REGBUF_MEM_HUGE1G,
	REGBUF_MEM_MEMFD,
	REGBUF_MEM_MEMFD_HUGE,
	REGBUF_MEM_MIXED,
	REGBUF_MEM_ALIAS,
};

enum regbuf_op {
	REGBUF_OP_BUFFERS = 1,
	REGBUF_OP_BUFFERS2,
	REGBUF_OP_UPDATE,
	REGBUF_OP_CLONE,
	REGBUF_OP_EMPTY,
	REGBUF_OP_READONLY,
	REGBUF_OP_MEMFD,
	REGBUF_OP_SQE,
};

enum regbuf_nonvectored {
	REGBUF_NONVECTORED_AUTO = 1,
	REGBUF_NONVECTORED_OFF,
	REGBUF_NONVECTORED_ON,
};

enum regbuf_cmd {
	REGBUF_CMD_NONE = 1,
	REGBUF_CMD_NVME,
};

enum regbuf_place {
	REGBUF_PLACE_RANDOM = 1,
	REGBUF_PLACE_SEQUENTIAL,
	REGBUF_PLACE_FIXED,
};

enum regbuf_fault {
	REGBUF_FAULT_NONE = 1,
	REGBUF_FAULT_FLIP,
	REGBUF_FAULT_SLOT,
	REGBUF_FAULT_CROSS,
};

/* What happens to one slot, and is timed. */
enum regbuf_figure {
	REGBUF_FIRST = 1,		/* registering what never was before */
	REGBUF_REGISTER,		/* and registering it again */
	REGBUF_UNREGISTER,
	REGBUF_REPLACE,			/* an update of slots that are in use */
	REGBUF_CLONE,
	REGBUF_UNCLONE,
	REGBUF_RELEASE,			/* from replacing a slot to the kernel's tag */
	REGBUF_EMPTY,			/* an update that changes nothing: the base line */
	REGBUF_NR_FIGURES,
};

/* In fio it is an instruction, here it is an option. */
#undef nop

/* Filled by options.c; the first member is fio's, and not at offset 0. */
struct regbuf_options {
	struct thread_data *td;
	char *text;			/* of the option that is read now */

	unsigned int hipri;
	unsigned int fixedbufs;
	unsigned int fixed_percentage;
	unsigned int registerfiles;
	unsigned int sqthread_poll;
	unsigned int sqpoll_set;
	unsigned int sqthread_poll_cpu;
	unsigned int nonvectored;
	unsigned int force_async;
	unsigned int cmd_type;
	unsigned int nop;
	unsigned int trim_async;
	unsigned int cmdprio_percentage;
	unsigned int cmdprio_class;
	unsigned int cmdprio;
	char *cmdprio_bssplit;
	unsigned int nowait;
	unsigned int uncached;
	unsigned int atomic_writes;
	unsigned int segments;
	unsigned int segments_scatter;

	unsigned int reg_mode;
	char *send_to;
	unsigned int send_zc;
	unsigned long long arena_size;
	unsigned int arena_mem;
	unsigned long long arena_folio;
	unsigned long long arena_alias;
	char *arena_mix;
	unsigned long long arena_frag;
	unsigned long long arena_seed;
	unsigned int arena_share;
	unsigned int arena_strict;
	unsigned int arena_prefault;
	unsigned int arena_place;
	unsigned long long arena_skew;

	unsigned long long reg_size;
	unsigned int reg_op;
	unsigned int churn;
	unsigned int churn_rate;
	unsigned int churn_slots;
	unsigned int churn_drain;
	char *reg_log;
	char *write_reg_log;
	unsigned int reg_samples;
	unsigned int fault;
	unsigned int fault_every;
};

extern struct fio_option regbuf_option_table[];

/* The word that the user writes for an option's value. */
const char *regbuf_mem_name(unsigned int mem);
const char *regbuf_mode_name(unsigned int mode);
const char *regbuf_op_name(unsigned int op);

/* Is each option that is set one for this mode?  0 or EINVAL, and the reason is said. */
int regbuf_check_modes(const struct regbuf_options *o);
/* check.c: do the options make sense together?  0 or EINVAL, and the reason is said. */
int regbuf_check_options(struct thread_data *td);

/* ---- report.c: what people and programs are told ---------------------------- */

/* A line on stderr, at once, whatever becomes of fio's own output. */
void regbuf_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* In fio's own process, before the job starts: make room for a note in its results. */
void regbuf_note_prepare(struct thread_data *td);
/* Say it, and put it into fio's results of the job ("desc" in JSON). */
void regbuf_note(struct thread_data *td, const char *note);

/*
 * Something that takes long: said every two seconds, and ended by a signal.  @arg of
 * regbuf_watch() is this, and a result other than 0 is for stopping.
 */
struct regbuf_watch {
	struct thread_data *td;
	const char *what;
	uint64_t next;			/* when to say something */
};

void regbuf_watch_start(struct regbuf_watch *w, struct thread_data *td, const char *what);
int regbuf_watch(void *arg, size_t done, size_t total);

/* ---- arena.c -------------------------------------------------------------- */

struct regbuf_arena {
	struct io_uring_ext_arena *arena;
	struct io_uring_ext_arena_info info;
	char *base;
	size_t size;			/* bytes */
	size_t memory;			/* bytes of memory behind it, less with alias */
	uint64_t random;		/* state of the generator, from arena_seed */
	char note[IO_URING_EXT_ERROR_TEXT];	/* what it is not, and why */
};

/* An errno, and the reason is on stderr. */
int regbuf_arena_alloc(struct regbuf_arena *a, struct thread_data *td, size_t size);
void regbuf_arena_free(struct regbuf_arena *a);
/* Is it a value of send_to?  Else EINVAL, and the reason is said. */
int regbuf_check_send_to(const char *text);
/* Is it a value of arena_mix?  Else EINVAL, and the reason is said. */
int regbuf_check_mix(const char *text);

static inline uint64_t regbuf_random(uint64_t *state)
{
	/* xorshift64, state never 0 */
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Evenly from 0 ... below - 1, without a division. */
static inline uint64_t regbuf_random_below(uint64_t *state, uint64_t below)
{
	return ((unsigned __int128)regbuf_random(state) * below) >> 64;
}

/* ---- figures.c: how long things took ---------------------------------- */

/* Of a job: what is measured, and what comes before and after it. */
enum regbuf_phase {
	REGBUF_PHASE_SETUP,
	REGBUF_PHASE_MEASURED,
	REGBUF_PHASE_TEARDOWN,
	REGBUF_NR_PHASES,
};

/* 512 buckets for each power of two: percentiles are right to 0.1 % */
#define REGBUF_SUB_BITS		9
#define REGBUF_BUCKETS		((64 - REGBUF_SUB_BITS + 1) << REGBUF_SUB_BITS)

struct regbuf_times {
	uint64_t count;			/* calls */
	uint64_t slots;
	uint64_t bytes;
	uint64_t sum;			/* ns, as the next two */
	uint64_t min;
	uint64_t max;
	uint32_t *bucket;		/* of what is measured, NULL until the first */
};

/* I/O from the first submission to the last completion that are measured. */
struct regbuf_io_figures {
	uint64_t first;			/* ns, 0: nothing yet */
	uint64_t first_tick;		/* the same by regbuf_ticks() */
	uint64_t last;			/* in ticks, 0: nothing yet */
	uint64_t count[3];		/* by DDIR_READ, DDIR_WRITE, DDIR_TRIM */
	uint64_t bytes[3];
};

/* What this process has locked, pinned and mapped, in KiB. */
struct regbuf_locked {
	unsigned long pinned;		/* VmPin */
	unsigned long locked;		/* VmLck */
	unsigned long tables;		/* VmPTE: that is for page tables */
};

void regbuf_get_locked(struct regbuf_locked *l);

uint64_t regbuf_now(void);

/* ---- slots.c ---------------------------------------------------------------- */

/* A slot that was let go of, until its tag comes. */
struct regbuf_release {
	uint64_t tag;			/* 0: free */
	uint64_t replaced_at;
	unsigned int slot;
};

struct regbuf_slots {
	unsigned int nr;
	size_t size;			/* bytes of all but the last */
	struct iovec *iovecs;
	uint64_t *tags;			/* NULL: registered without */
	bool registered;		/* all of them */
	bool before;			/* they were, some time */

	/* one by one */
	bool table;			/* the ring has an empty one */
	bool *present;			/* slot by slot */
	bool *present_before;
	unsigned int empty_calls;	/* timed while setting up */

	struct urext_desc *descs;	/* NULL: by their iovecs */

	/* tags */
	uint64_t next_tag;
	struct regbuf_release *releases;	/* by tag, modulo its size */
	size_t release_mask;
	uint64_t tags_due;
	uint64_t tags_seen;
};

/* An update, from before its call to what is made of its result. */
struct regbuf_update {
	unsigned int first;
	unsigned int nr;
	bool fill;
	bool held;			/* what is replaced, or emptied */
	enum regbuf_figure figure;
	uint64_t bytes;
};

/* reg_op=sqe: the request that is under way, and how it ended. */
struct regbuf_request {
	bool sent;
	bool complete;			/* and nothing was made of it yet */
	int res;
	struct regbuf_update update;
	uint64_t count;			/* that were completed */
	uint64_t beside;		/* I/Os that were, while one was under way */
};

/* ---- share.c: the arena, and the ring that it is cloned from ------------------ */

struct regbuf_share {
	pthread_mutex_t lock;		/* of what follows, up to may_clone */
	struct regbuf_arena arena;
	struct io_uring source;
	bool has_source;
	bool has_arena;
	unsigned int may_clone;		/* jobs, also those that fio has not begun yet */

	unsigned int jobs;		/* that will have the arena, have it, or have had it */
	unsigned int left;		/* of them, all but those that have had it */
	unsigned int groupid;
	char name[256];			/* of the job, "" if nothing is shared */
	struct regbuf_share *next;
};

/* ---- one job ---------------------------------------------------------------- */

struct regbuf_unit {
	uint32_t slot;
	uint32_t placed;		/* has its place for the I/O at hand */
	int sent;			/* SEND_ZC: bytes, or -errno */
	struct iovec *iovecs;		/* for vectored I/O */
};

struct regbuf {
	struct thread_data *td;
	struct regbuf_options *o;

	/* the path of an I/O */
	struct io_uring ring;
	struct regbuf_unit *units;	/* by io_u->index */
	struct io_u **io_us;		/* by io_u->index */
	struct io_u **events;		/* reaped and not yet asked for */
	struct iovec *iovecs;		/* of all units */
	unsigned int queued;
	unsigned int in_flight;
	unsigned int prepared;		/* since the last forced async */
	int rw_flags[2];		/* by DDIR_READ, DDIR_WRITE */
	struct regbuf_prio *prio;	/* NULL: all requests have the job's */
	bool moves;			/* places change */
	bool refills;			/* and get new data, instead of fio's doing it */
	bool special;			/* sends, commands, nop, cmdprio, faults, lots */
	bool churning;
	bool has_ring;
	unsigned int big_shift;		/* 1: entries of the rings are of twice the size */
	enum regbuf_phase phase;
	struct regbuf_io_figures io;
	struct io_u *issuing;		/* reg_mode=register: begins with the next call */
	uint64_t call_start;		/* ns */
	uint64_t call_end;

	/* places */
	size_t stride;
	unsigned int per_slot;		/* places in a slot */
	unsigned int nr_units;		/* that the places are shared by */
	unsigned int first_unit;	/* of them, of this job */
	uint64_t nr_places;
	uint64_t nr_turns;		/* places of each io_u */
	uint64_t turn;			/* the sequential one */
	uint64_t turn_units;		/* io_us placed in it */

	/* churn */
	bool churn_due;
	unsigned int churn_left;	/* I/Os until then */
	uint64_t churn_at;		/* ns */
	unsigned int churn_next;	/* slot */
	uint64_t churns;

	uint64_t faults;
	uint64_t fault_left;

	int *fds;
	int socket;			/* reg_mode=send, or -1 */
	void *scratch;			/* for fio, which fills buffers before they have places */
	size_t scratch_size;
	struct regbuf_locked locked_before;
	struct regbuf_share *share;
	unsigned int nr_jobs;		/* that share it */
	struct regbuf_arena *arena;	/* its arena */
	uint64_t random;		/* state of the generator, for places */
	struct regbuf_slots slots;
	struct regbuf_request request;
	struct regbuf_times times[REGBUF_NR_PHASES][REGBUF_NR_FIGURES];
	FILE *log;			/* write_reg_log */
	uint64_t log_start;		/* ns */
	struct io_uring_ext_layout layout;	/* of slot 0 */
	bool has_layout;
};

/*
 * Now a call begins that is timed, and with it what fio times, if that is one of its writes
 * or trims: what has to be done before was done before.
 */
uint64_t regbuf_begin(struct regbuf *rb);
/* io_uring_register(2), and nothing else, from rb->call_start to rb->call_end; or -errno. */
int regbuf_call(struct regbuf *rb, const struct io_uring *ring, unsigned int op, const void *arg,
		unsigned int nr_args);
/* Count the last of these. */
void regbuf_count_call(struct regbuf *rb, enum regbuf_figure f, uint64_t slots, uint64_t bytes);
/* Count a call that took from @start to @end. */
void regbuf_count(struct regbuf *rb, enum regbuf_figure f, uint64_t start, uint64_t end,
		  uint64_t slots, uint64_t bytes);
const char *regbuf_figure_name(enum regbuf_figure f);
/* Nearest rank: the time that so many of 1000 do not exceed. */
uint64_t regbuf_percentile(const struct regbuf_times *t, unsigned int permille);
void regbuf_figures_free(struct regbuf *rb);

/* Can reg_log and write_reg_log be written?  An errno, and the reason is said. */
int regbuf_logs_open(struct regbuf *rb);
/* Append the job's line to reg_log, when nothing is registered any more; an errno. */
int regbuf_report(struct regbuf *rb);

/* Before any job starts: one more of those that share an arena. */
int regbuf_share_join(struct thread_data *td);
/* Find who the job shares with, and how many they are. */
int regbuf_share_init(struct regbuf *rb);
/* The job's arena, its own or the one of the threads that it shares it with. */
int regbuf_share_get(struct regbuf *rb, size_t size);
void regbuf_share_put(struct regbuf *rb);
/* Register the slots in the source, if that is not done yet. */
int regbuf_source_prepare(struct regbuf *rb);
/* The job clones no more: unregister them if it is the last.  Once for each. */
void regbuf_source_release(struct regbuf *rb);
/* Register them in the source again. */
int regbuf_source_replace(struct regbuf *rb, unsigned int first, unsigned int nr);
/* From the source into the job's ring; @replace entries that are there. */
int regbuf_clone(struct regbuf *rb, unsigned int first, unsigned int nr, bool replace);

/* Are slots updated with descriptors of them? */
static inline bool regbuf_by_desc(const struct regbuf_options *o)
{
	return o->reg_op == REGBUF_OP_READONLY || o->reg_op == REGBUF_OP_MEMFD ||
	       o->reg_op == REGBUF_OP_SQE;
}

/* Are slots registered one by one, and have tags? */
static inline bool regbuf_by_update(const struct regbuf_options *o)
{
	return o->reg_op == REGBUF_OP_UPDATE || regbuf_by_desc(o);
}

/* Is a block of reg_mode=register a slot?  Else it is all of them. */
static inline bool regbuf_by_slot(const struct regbuf_options *o)
{
	return o->reg_op == REGBUF_OP_EMPTY || regbuf_by_update(o);
}

/* descs.c: descriptors of all slots, if reg_op wants them.  An errno, and the reason is said. */
int regbuf_descs_init(struct regbuf *rb);
/* Let an update take them, or with nothing to be there an empty one. */
void regbuf_descs_update(const struct regbuf *rb, struct io_uring_rsrc_update2 *arg, bool fill);
/* The same as a request: on its way, or -errno. */
int regbuf_request(struct regbuf *rb, unsigned int first, unsigned int nr, bool fill);
void regbuf_request_seen(struct regbuf *rb, int res);

/* prio.c: cmdprio.  0 or an errno, with the reason on stderr. */
int regbuf_prio_init(struct regbuf *rb);
void regbuf_prio_set(struct regbuf *rb, struct io_u *io_u, struct io_uring_sqe *sqe);
void regbuf_prio_free(struct regbuf *rb);

/* 0 or an errno, with the reason on stderr. */
/* Cut the arena into slots. */
int regbuf_slots_init(struct regbuf *rb, size_t slot_size);
/* What comes before any slot: an empty table, or the ring that is cloned from. */
int regbuf_slots_prepare(struct regbuf *rb);
/* All of them. */
int regbuf_slots_register(struct regbuf *rb);
int regbuf_slots_unregister(struct regbuf *rb);
/* One slot, into its entry or out of it. */
int regbuf_slot_register(struct regbuf *rb, unsigned int slot);
int regbuf_slot_unregister(struct regbuf *rb, unsigned int slot);
/* An update of an entry that is empty, and stays so (reg_op=empty). */
int regbuf_slot_touch(struct regbuf *rb);
/* What went wrong, and what would help if it is the limit on locked memory. */
int regbuf_explain(struct regbuf *rb, int ret, const char *what);
/*
 * Register slots again; with reg_op=buffers and buffers2 it is always all, and with
 * reg_op=sqe it has only begun.
 */
int regbuf_slots_replace(struct regbuf *rb, unsigned int first, unsigned int nr);
/* What became of that, if it is complete and was not told yet. */
int regbuf_slots_replaced(struct regbuf *rb);
/* Unregister; with nothing in flight. */
void regbuf_slots_release(struct regbuf *rb);
void regbuf_slots_free(struct regbuf *rb);

/* user_data of a tag, and of a request that updates; io_us are addresses of user space. */
#define REGBUF_TAG	(1ULL << 63)
#define REGBUF_REQUEST	(1ULL << 62)

static inline bool regbuf_is_tag(uint64_t user_data)
{
	return user_data & REGBUF_TAG;
}

void regbuf_tag_seen(struct regbuf *rb, uint64_t user_data);

/* Bytes of a slot. */
static inline size_t regbuf_slot_bytes(const struct regbuf *rb, unsigned int slot)
{
	return rb->slots.iovecs[slot].iov_len;
}

#endif
