/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The model-based fuzzer: random operations on memory, rings and processes, done in the kernel
 * and in a model of it, and compared.
 *
 * What a byte must be is kept in *cells*. A cell is a page of memory that has an identity: what is
 * mapped has one, and a registered buffer has those that were mapped when it was registered,
 * whatever happens to the mapping. A private mapping has cells of its own, so fork() copies them;
 * shared memory has the cells of its object. Which page frames are behind that, and which of them
 * fork() lets two processes have until one writes, does not show.
 *
 * A buffer of a memfd has the cells that the file had at that moment, mapped or not; a hole has one
 * from then on. A file that is cut off or punched has others afterwards.
 *
 * A request that changes the table may be done in part, or not at all, once it is to be cancelled:
 * the model follows what the result says, and all else is compared.
 *
 * What is charged is told by acct_rules.h, from the folios that the pages of a buffer are in once
 * they are pinned.
 *
 * Operations come from a seed and their number alone, and choose what they work on when they are
 * done. So any part of a sequence is a sequence.
 */
#ifndef TESTS_KERNEL_FUZZ_H
#define TESTS_KERNEL_FUZZ_H

#include <liburing.h>
#include <stdint.h>
#include <sys/mman.h>

#include "acct_rules.h"
#include "charge.h"
#include "fixed_io.h"
#include "folios.h"
#include "tcp_pair.h"
#include "uring.h"
#include "util.h"

/* What bookworm's headers do not have */
#ifndef MADV_COLD
#define MADV_COLD	20
#define MADV_PAGEOUT	21
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25
#endif

#define PAGE		(4 * KIB)
#define HUGE_PAGES	512UL

/*
 * Addresses: slots with a hole behind each, all far from where the kernel puts mappings by
 * itself.
 */
#define ARENA		((char *)0x100000000000UL)
#define SLOTS		6
#define SLOT_PAGES	(2 * HUGE_PAGES)
#define SLOT_STRIDE	(3 * HUGE_PAGES)
#define ARENA_PAGES	(SLOTS * SLOT_STRIDE)

/* Content of the file for KIND_FILE, by pattern_fill() */
#define FILE_SEED	0xf11eULL

#define OBJECTS		64
#define CELLS		(1U << 19)
#define SHADOWS		(1U << 16)
#define PROCS		3		/* the first, and those that it forks to do operations */
#define RINGS		3
#define TABLE_MAX	6
#define IO_MAX		(256 * KIB)
#define VECS_MAX	8
#define PATIENCE	2000
#define PATIENCE_USEC	10000
#define TEXT_MAX	(512 * KIB)

enum kind {
	KIND_NONE,			/* nothing mapped */
	KIND_ANON,			/* of single pages, at first */
	KIND_THP,
	KIND_MTHP,			/* folios of 64 KiB */
	KIND_SHMEM,			/* anonymous and shared */
	KIND_MEMFD,
	KIND_HUGETLB,			/* private; not inherited */
	KIND_HUGETLB_MEMFD,
	KIND_FILE,			/* private, of a file on disk that nobody writes to */
	KINDS,
};

enum op_kind {
	OP_MMAP, OP_MUNMAP, OP_MREMAP, OP_MPROTECT,
	OP_HUGEPAGE, OP_NOHUGEPAGE, OP_DONTNEED, OP_COLLAPSE, OP_COLD, OP_PAGEOUT, OP_PUNCH,
	OP_TRUNCATE, OP_WRITE, OP_STAMP,
	OP_FORK, OP_EXIT, OP_KILL,
	OP_REGISTER, OP_UPDATE, OP_CLONE, OP_UNREGISTER, OP_CLOSE,
	OP_REQUEST, OP_REQUEST_LINK, OP_REQUEST_CANCEL, OP_REQUEST_CLOSE, OP_RACE,
	OP_READ_FIXED, OP_WRITE_FIXED, OP_READV_FIXED, OP_WRITEV_FIXED,
	OP_START_READ, OP_END_READ, OP_SEND_ZC, OP_SENDMSG_ZC,
	OP_KINDS,
};

extern const char * const op_names[OP_KINDS];

/* Random numbers for one operation; the same ones for the same seed and number. */
struct op {
	enum op_kind kind;
	unsigned int proc;
	uint64_t random;		/* state of the numbers to come */
};

void op_make(struct op *op, uint64_t seed, unsigned int step);
unsigned int op_below(struct op *op, uint64_t n);
bool op_percent(struct op *op, unsigned int n);
#define OP_PICK(op, table)	((table)[op_below(op, ARRAY_SIZE(table))])

struct cell {
	uint32_t base;			/* 0: zeroes; else 1 + page of the file */
	uint32_t shadow;		/* 0: none; else where all of its bytes are */
	uint64_t stamp;			/* unless 0, the first 8 bytes; without a shadow */
};

/* Memory that can be mapped several times, by several processes */
struct object {
	enum kind kind;
	size_t nr_pages;		/* now; what is mapped behind them is not there */
	bool collapsed;			/* may have large folios */
	uint32_t cells[SLOT_PAGES];
};

/* All that the processes of a sequence share. Nothing is given back before its end. */
struct shared {
	struct cell cells[CELLS];
	uint32_t nr_cells;
	uint32_t nr_shadows;
	struct object objects[OBJECTS];
	unsigned int nr_objects;
	uint64_t serial;		/* seed of the next pattern */
	long charged[PROCS];		/* pages, to the user, for each process */
	bool exhausted;			/* the model has no room for more */

	unsigned int patience;		/* how often to look for what comes later */
	unsigned int step;		/* operation that is being done */
	struct reason why;
	bool failed;
	size_t text_len;		/* what was done, a line for each operation */
	char text[TEXT_MAX];

	/* These go on through all sequences. */
	struct fuzz_stats {
		uint64_t done[OP_KINDS];
		uint64_t idle[OP_KINDS];	/* there was nothing to do it on */
		uint64_t bytes;			/* compared */
		uint64_t buffers, refused, pinned;
		uint64_t of_memfd, cancelled, in_part;
		uint64_t over_limit, signals, racing;
	} stats;
};

struct vpage {
	uint8_t kind;
	uint8_t prot;
	uint16_t object;
	uint16_t pgoff;			/* in the object or file */
	uint32_t segment;		/* neighbours with the same number are in one VMA */
	uint32_t cell;			/* private memory: 0 if nothing was written yet */
};

/* A registered buffer, of tables and of requests */
struct buffer {
	uintptr_t addr;			/* that requests name its bytes by */
	unsigned int object;		/* registered by its file, or OBJECTS: by its address */
	size_t pgoff;			/* in the object */
	size_t len;
	bool read_only;
	unsigned int refs;
	size_t nr_pages;
	struct acct_buffer *acct;
	uint32_t cells[];
};

/* What is to be put into a slot of a table */
struct entry {
	struct uring_desc desc;
	unsigned int object;		/* of a memfd */
	int result;			/* -errno if it cannot be */
};

/* Some of them, for slots from @off on */
struct update {
	unsigned int ring, off, nr;
	struct entry entries[TABLE_MAX];
	struct uring_desc descs[TABLE_MAX];
	int expected;			/* how many will be done, or -errno */
};

struct fuzz_ring {
	struct io_uring uring;
	bool open;
	struct buffer *table[TABLE_MAX];
	unsigned int nr;
	struct buffer *reading;		/* by a request that waits for a pipe */
	size_t reading_off, reading_len;
	int pipe[2];
};

/* A process that does operations */
struct actor {
	pid_t pid;			/* 0: none */
	int orders, answers;
};

struct world {
	struct shared *shared;
	char *shadows;			/* shared too: bytes of cells */
	uint64_t seed;
	unsigned int self;		/* 0: the process that all others are forked from */
	struct vpage pages[ARENA_PAGES];
	uint32_t segment;		/* last number given */
	int fds[OBJECTS];		/* -1: not a memfd, or not ours */

	struct fuzz_ring rings[RINGS];
	struct acct acct;
	struct acct_memory memory;	/* every page that was registered, one after the other */
	uint32_t *folio_of;		/* page frame of its head: number of a folio, or 0 */
	struct folio_source source;
	struct charge_probe probe;
	struct page_folio *folios;	/* as many as the arena has pages */

	struct io_target plain, direct;
	char *plain_data;		/* @plain, mapped */
	char *bounce;			/* aligned, IO_MAX */
	char *expected;			/* IO_MAX */
	int file;			/* for KIND_FILE */
	struct tcp_pair tcp;
	bool connected;

	unsigned int races;		/* done so far */
	struct actor actors[PROCS];	/* [0] is not used */
};

/* A part of the arena, in pages */
struct range {
	size_t first, nr;
};

/* What an operation returns: -1 with @why if kernel and model differ */
enum { DONE = 0, IDLE = 1 };

/* A line about what is being done. Also printed at once if told to. */
void fuzz_log(struct world *world, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
extern bool fuzz_verbose;

/* --- fuzz_model.c: cells, pages ------------------------------------------ */

/* What other mappings see, and other processes */
bool kind_shared(enum kind kind);
bool kind_hugetlb(enum kind kind);
char *page_addr(size_t page);
bool page_readable(const struct world *world, size_t page);
bool page_writable(const struct world *world, size_t page);
/* The cell of a mapped page, which has one afterwards. */
uint32_t page_cell(struct world *world, size_t page);
/* @len bytes at @off of a cell, which may be 0 for one that does not exist, with its @base */
void cell_read(const struct world *world, uint32_t cell, uint32_t base, size_t off, size_t len,
	       char *data);
void cell_write(struct world *world, uint32_t cell, size_t off, size_t len, const char *data);
void cell_stamp(struct world *world, uint32_t cell, uint64_t stamp);
/* The same for a page of an object */
uint32_t object_cell(struct world *world, unsigned int object, size_t pgoff);
/* The object loses these; who has a cell keeps it. */
void object_forget(struct world *world, unsigned int object, struct range range);
/* All pages of an object in the range, if it has so many, are in its file what they should be. */
int object_check(struct world *world, unsigned int object, struct range range, struct reason *why);
/* Each process has its own from now on. */
void pages_forked(struct world *world);
void pages_unmap(struct world *world, struct range range);
/* All mapped and readable pages of the range hold what they should. */
int pages_check(struct world *world, struct range range, struct reason *why);
/* The same for all that was ever written, or for a few pages anywhere */
int pages_check_all(struct world *world, struct reason *why);
int pages_check_some(struct world *world, struct op *op, unsigned int nr, struct reason *why);
/* Where a mapped page is not at an end of a huge page of hugetlb */
bool range_cuts_hugetlb(const struct world *world, struct range range);
/* All in one VMA */
bool range_is_segment(const struct world *world, struct range range);
/* Some mapped pages, one after the other, @max at most; of one VMA; false if nothing is mapped */
bool random_mapped(const struct world *world, struct op *op, size_t max, bool segment,
		   struct range *range);
/* Its pages become VMAs of their own. */
void range_new_segment(struct world *world, struct range range);

/* --- operations ----------------------------------------------------------- */

/* A memfd, one that is there already or a new one; OBJECTS if there cannot be more */
unsigned int choose_object(struct world *world, struct op *op, enum kind kind);
/* Another number into each page that can be written to */
void pages_stamp(struct world *world, struct range range);
/* Enough for what an operation may take */
bool huge_pages_free(void);

int memory_op(struct world *world, struct op *op, struct reason *why);
int ring_op(struct world *world, struct op *op, struct reason *why);
int request_op(struct world *world, struct op *op, struct reason *why);
int io_op(struct world *world, struct op *op, struct reason *why);
int process_op(struct world *world, struct op *op, struct reason *why);
int race_op(struct world *world, struct op *op, struct reason *why);

/* --- fuzz_rings.c ---------------------------------------------------------- */

/* Nothing is registered or charged yet. */
void rings_init(struct world *world);
/* Opened on first use; NULL with @why. */
struct fuzz_ring *world_ring(struct world *world, unsigned int ring, struct reason *why);
/* One that has buffers, and a slot that is not empty; false if there is none. */
bool random_buffer(struct world *world, struct op *op, unsigned int *ring, unsigned int *slot);
void buffer_put(struct world *world, struct buffer *buffer);
void ring_close(struct world *world, struct fuzz_ring *ring);
/* Whether a buffer of these pages can be had */
bool range_can_pin(const struct world *world, struct range range, bool read_only);
/* In the kernel only */
int register_iovecs(const struct fuzz_ring *ring, const struct iovec *iov, unsigned int nr,
		    bool read_only);
/* In the model only, after the kernel has done it; into this slot */
int buffer_add(struct world *world, struct fuzz_ring *ring, unsigned int slot,
	       const struct entry *entry, struct reason *why);
int check_result(const char *what, int result, int expected, struct reason *why);
/* VmPin is what it should be, or will be soon. */
int charge_check(struct world *world, struct reason *why);
/*
 * What is charged to the user, by all processes, will be what it should: rings that were closed,
 * or ended with their process, let go of what they have, and of the page that each costs.
 */
int user_check(struct world *world, struct reason *why);

/* --- fuzz_update.c ---------------------------------------------------------- */

struct entry entry_of(struct iovec iov, bool read_only);
/* An iovec can say it all, unless @by_desc. */
struct entry random_entry(struct world *world, struct op *op, bool by_desc);
/* What was opened for them, once the kernel has looked it up */
void entries_close(const struct world *world, const struct entry *entries, unsigned int nr);
void entries_descs(const struct entry *entries, unsigned int nr, struct uring_desc *descs);
void entries_iovecs(const struct entry *entries, unsigned int nr, struct iovec *iov);
void entries_log(struct world *world, unsigned int ring, unsigned int off,
		 const struct entry *entries, unsigned int nr);
/* Chosen and logged, or IDLE */
int update_choose(struct world *world, struct op *op, bool by_desc, struct update *update,
		  struct reason *why);
/* The kernel has done @result of it: so does the model. */
int update_done(struct world *world, const struct update *update, int result, struct reason *why);
/* By a call */
int update_op(struct world *world, struct op *op, struct reason *why);

/* --- fuzz_io.c -------------------------------------------------------------- */

/* A request that moves bytes between a buffer and a file */
struct transfer {
	unsigned int ring, slot;
	const struct buffer *buffer;
	bool write, vectored;
	struct iovec iov[VECS_MAX];
	unsigned int nr;
	size_t len;			/* in all */
	const struct io_target *target;
	uint64_t pos;
	int expected;			/* 0: all of it; else -errno */
};

/* Parts of @t->buffer, of which address and length are looked at; there may be none. */
void transfer_parts(struct op *op, struct transfer *t, size_t align, bool beyond);
/* What the target has before, and the request, which is to be submitted; NULL with @why */
struct io_uring_sqe *transfer_begin(struct world *world, const struct transfer *t,
				    struct reason *why);
/* After the request, with its result */
int transfer_end(struct world *world, const struct transfer *t, int result, struct reason *why);

/* All bytes of a buffer, of all buffers */
int buffer_check(struct world *world, unsigned int ring, unsigned int slot, struct reason *why);
int buffers_check_all(struct world *world, struct reason *why);

/* --- fuzz_procs.c ------------------------------------------------------------ */

/* Does one operation, in the process that it is for, and compares some. */
int world_op(struct world *world, unsigned int step, struct reason *why);
/* Compares all that there is, in all processes; then nothing is left of them. */
int world_end(struct world *world, struct reason *why);

/* --- fuzz_world.c ------------------------------------------------------------ */

struct fuzz_setup {
	struct shared *shared;
	struct io_target plain, direct;
	char *plain_data;
	int file;
};

/* Once, as root: files, swap, settings. @fs_device has a file system to be written to. */
void fuzz_prepare(struct fuzz_setup *setup, const char *fs_device);
/*
 * Does operations in this process, which becomes a user of its own for it, and compares all in
 * the end. @steps are the numbers of those that are to be done.
 */
int fuzz_sequence(const struct fuzz_setup *setup, uint64_t seed, const unsigned int *steps,
		  unsigned int nr, uid_t uid, struct reason *why);

#endif
