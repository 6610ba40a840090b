// SPDX-License-Identifier: GPL-2.0-only
/*
 * The engine's options; README.md says more about each.
 *
 * fio's own parsing lets much pass: "-1" is refused and then taken for what follows the
 * "-", 2^32 + 1 is 1, "16e" is 16, "10%" is a number near 2^64.  So an option comes here
 * as text, and is a word of its list, or a number in its range, or refused.  Whatever
 * refuses does so with --parse-only, too.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "fio.h"
#include "optgroup.h"

#include "regbuf.h"

#define OFFSET(member)	offsetof(struct regbuf_options, member)
#define GROUP		.category = FIO_OPT_C_ENGINE, .group = FIO_OPT_G_IOURING

#define MAX_BYTES	(1ULL << 46)
#define MAX_COUNT	1000000000

/* ---- reading a value ------------------------------------------------------------ */

/* A suffix as fio has it, and what it stands for, which fio knows. */
static int read_suffix(const char *suffix, void *data, unsigned long long *factor)
{
	static const char * const suffixes[] = {
		"k", "m", "g", "t", "p", "kb", "mb", "gb", "tb", "pb",
		"kib", "mib", "gib", "tib", "pib",
	};
	char one[8];
	unsigned int i;

	*factor = 1;
	if (!*suffix)
		return 0;
	for (i = 0; i < ARRAY_LEN(suffixes); i++)
		if (!strcasecmp(suffix, suffixes[i]))
			break;
	if (i == ARRAY_LEN(suffixes))
		return EINVAL;
	snprintf(one, sizeof(one), "1%s", suffix);
	return check_str_bytes(one, (long long *)factor, data) ? EINVAL : 0;
}

static int read_number(const char *text, void *data, unsigned long long *value)
{
	bool hex = !strncasecmp(text, "0x", 2);
	unsigned long long factor;
	char *end;

	/* An expression, where fio was built to compute them */
	if (*text == '(') {
		*value = 0;
		return check_str_bytes(text, (long long *)value, data) ? EINVAL : 0;
	}
	if (!isdigit((unsigned char)*text))
		return EINVAL;
	errno = 0;
	*value = strtoull(text, &end, hex ? 16 : 10);
	if (errno || read_suffix(end, data, &factor) ||
	    __builtin_mul_overflow(*value, factor, value))
		return EINVAL;
	return 0;
}

static int read_word(const struct fio_option *opt, const char *text, unsigned long long *value)
{
	const struct value_pair *vp;

	for (vp = opt->posval; vp->ival; vp++) {
		if (strcmp(vp->ival, text))
			continue;
		*value = vp->oval;
		return 0;
	}
	return EINVAL;
}

static bool in_range(const struct fio_option *opt, unsigned long long value)
{
	return value >= (unsigned long long)opt->minval && value <= opt->maxval &&
	       (!opt->pow2 || !(value & (value - 1)));
}

/* The text of an option into its member: off2 is 32 bits wide, off3 64. */
static int read_option(const struct fio_option *opt, void *data)
{
	struct regbuf_options *o = data;
	unsigned long long value = 0;
	char *text = o->text;
	int ret = EINVAL;

	o->text = NULL;
	if (text && opt->posval[0].ival)
		ret = read_word(opt, text, &value);
	else if (text && !read_number(text, data, &value) && in_range(opt, value))
		ret = 0;
	if (ret && opt->posval[0].ival)
		regbuf_say("%s=%s: not one of its values", opt->name, text ? text : "");
	else if (ret)
		regbuf_say("%s=%s: want %s from %d to %llu", opt->name, text ? text : "",
			   opt->pow2 ? "a power of two" : "a number", opt->minval,
			   opt->maxval);
	else if (opt->off2)
		*(unsigned int *)((char *)data + opt->off2) = value;
	else
		*(unsigned long long *)((char *)data + opt->off3) = value;
	free(text);
	return ret;
}

/* A flag is as fio's are, with nothing for on, also on the command line. */
static int check_flag(const struct fio_option *opt, void *data)
{
	struct regbuf_options *o = data;

	if (!o->bad_flag)
		return 0;
	regbuf_say("%s: want 0, 1 or nothing", opt->name);
	return EINVAL;
}

/* What fio reads of "-1" after refusing it is 1: so that is remembered. */
static int check_send_to(const struct fio_option fio_unused *opt, void *data)
{
	const struct regbuf_options *o = data;

	return regbuf_check_send_to(o->send_to);
}

#define SET_FLAG(member)							\
static int set_##member(void *data, int *val)					\
{										\
	struct regbuf_options *o = data;					\
										\
	o->member = *val;							\
	o->bad_flag |= o->member > 1;						\
	return o->bad_flag ? EINVAL : 0;					\
}

SET_FLAG(hipri)
SET_FLAG(fixedbufs)
SET_FLAG(registerfiles)
SET_FLAG(sqpoll_thread)
SET_FLAG(nops)
SET_FLAG(trim_async)
SET_FLAG(nowait)
SET_FLAG(uncached)
SET_FLAG(atomic_writes)
SET_FLAG(segments_scatter)
SET_FLAG(arena_share)
SET_FLAG(arena_strict)
SET_FLAG(arena_prefault)
SET_FLAG(churn_drain)
SET_FLAG(send_zc)

/* fio has a weaker idea of lists: keep it from comparing. */
static int leave_to_read_option(void fio_unused *data, const char fio_unused *text)
{
	return 0;
}

static int note_cpu(void *data, const char fio_unused *text)
{
	struct regbuf_options *o = data;

	o->sqpoll_set = 1;
	return 0;
}

static int check_mix(const struct fio_option fio_unused *opt, void *data)
{
	const struct regbuf_options *o = data;

	return regbuf_check_mix(o->arena_mix);
}

#define FLAG(_name, member)							\
	.name = _name, .type = FIO_OPT_STR_SET, .cb = set_##member,		\
	.maxval = 1, .no_warn_def = 1, .verify = check_flag, GROUP
#define TEXT_CB(_name, _cb)							\
	.name = _name, .type = FIO_OPT_STR_STORE, .off1 = OFFSET(text),		\
	.cb = _cb, .verify = read_option, GROUP
#define TEXT(_name)	TEXT_CB(_name, leave_to_read_option)
#define WORD(_name, member)	TEXT(_name), .off2 = OFFSET(member)
#define NUMBER(_name, member, min, max)						\
	TEXT(_name), .off2 = OFFSET(member), .minval = min, .maxval = max
#define BYTES(_name, member, min, max)						\
	TEXT(_name), .off3 = OFFSET(member), .minval = min, .maxval = max
#define STRING(_name, member)							\
	.name = _name, .type = FIO_OPT_STR_STORE, .off1 = OFFSET(member), GROUP

/* ---- the table -------------------------------------------------------------------- */

struct fio_option regbuf_option_table[] = {
	{
		FLAG("hipri", hipri),
		.lname = "Polled completions",
		.help = "Poll for completions (IORING_SETUP_IOPOLL); needs direct=1",
	},
	{
		FLAG("fixedbufs", fixedbufs),
		.lname = "Use registered buffers",
		.def = "1",
		.help = "Register the arena and use READ_FIXED and WRITE_FIXED; 0 is the "
			"control: the same memory, not registered",
	},
	{
		NUMBER("fixed_percentage", fixed_percentage, 0, 100),
		.lname = "Share of I/O in registered buffers",
		.def = "100",
		.help = "With fixedbufs: so many of 100 I/Os name a slot, the others, drawn "
			"by lot, only memory",
	},
	{
		FLAG("registerfiles", registerfiles),
		.lname = "Register files",
		.help = "Register the job's files with the ring",
	},
	{
		FLAG("sqthread_poll", sqpoll_thread),
		.lname = "Submission by a kernel thread",
		.help = "A kernel thread submits (IORING_SETUP_SQPOLL); sets registerfiles",
	},
	{
		TEXT_CB("sqthread_poll_cpu", note_cpu),
		.off2 = OFFSET(sqpoll_cpu), .maxval = 8191,
		.lname = "CPU of the kernel thread",
		.help = "Keep the kernel thread of sqthread_poll on this CPU",
	},
	{
		WORD("nonvectored", nonvectored),
		.lname = "READ and WRITE without vectors",
		.def = "-1",
		.help = "With fixedbufs=0, or for I/O that is not fixed",
		.posval = {
			{ .ival = "-1", .oval = REGBUF_NONVECTORED_AUTO,
			  .help = "READ and WRITE where the kernel has them" },
			{ .ival = "0", .oval = REGBUF_NONVECTORED_OFF,
			  .help = "READV and WRITEV" },
			{ .ival = "1", .oval = REGBUF_NONVECTORED_ON,
			  .help = "READ and WRITE" },
		},
	},
	{
		NUMBER("force_async", force_async, 0, MAX_COUNT),
		.lname = "Force async",
		.help = "Set IOSQE_ASYNC on every Nth request",
	},
	{
		NUMBER("cmdprio_percentage", cmdprio_percentage, 0, 100),
		.lname = "Share of requests with a priority",
		.help = "So many of 100 requests have the priority of cmdprio_class and cmdprio, "
			"reads and writes alike",
	},
	{
		NUMBER("cmdprio_class", cmdprio_class, 1, 3),
		.lname = "Class of that priority",
		.help = "1 is realtime (and the default), 2 best effort, 3 idle",
	},
	{
		NUMBER("cmdprio", cmdprio, 0, 7),
		.lname = "Level of that priority",
		.help = "0 is the highest",
	},
	{
		STRING("cmdprio_bssplit", cmdprio_bssplit),
		.lname = "Priorities by block size",
		.help = "As in fio's engines",
	},
	{
		FLAG("nop", nops),
		.lname = "No I/O",
		.help = "Requests that do nothing (IORING_OP_NOP), naming a slot with "
			"fixedbufs (Linux 6.13): what is left is io_uring and fio",
	},
	{
		FLAG("trim_async", trim_async),
		.lname = "Trims as requests",
		.help = "Trims of block devices are requests as reads and writes are (Linux "
			"6.12), instead of calls that wait",
	},
	{
		FLAG("nowait", nowait),
		.lname = "RWF_NOWAIT",
		.help = "Reads and writes fail instead of waiting",
	},
	{
		FLAG("uncached", uncached),
		.lname = "RWF_DONTCACHE",
		.help = "Buffered I/O that leaves nothing in the page cache (direct=0)",
	},
	{
		FLAG("atomic_writes", atomic_writes),
		.lname = "RWF_ATOMIC",
		.help = "Writes are not torn (Linux 6.11, direct=1, and a device or file "
			"system that can)",
	},
	{
		NUMBER("segments", segments, 1, 1024),
		.lname = "Segments",
		.def = "1",
		.help = "Parts that each I/O is made of; more than one is READV_FIXED and "
			"WRITEV_FIXED (Linux 6.15), or READV and WRITEV",
	},
	{
		FLAG("segments_scatter", segments_scatter),
		.lname = "Scattered segments",
		.help = "Leave as much room behind each segment as it is long",
	},
	{
		WORD("reg_mode", mode),
		.lname = "Mode",
		.def = "io",
		.help = "What the job's reads, writes and trims are",
		.posval = {
			{ .ival = "io", .oval = REGBUF_MODE_IO,
			  .help = "I/O on files, with data in the arena" },
			{ .ival = "register", .oval = REGBUF_MODE_REGISTER,
			  .help = "Write registers, trim unregisters; no file" },
			{ .ival = "send", .oval = REGBUF_MODE_SEND,
			  .help = "Writes are sent to send_to; no file" },
		},
	},
	{
		STRING("send_to", send_to),
		.verify = check_send_to,
		.lname = "Where to send",
		.help = "HOST:PORT of reg_mode=send, TCP (fio's net engine can listen there)",
	},
	{
		FLAG("send_zc", send_zc),
		.lname = "Send without copies",
		.def = "1",
		.help = "Send with SEND_ZC (Linux 6.0), from registered memory with fixedbufs; "
			"0: SEND",
	},
	{
		BYTES("arena_size", arena_size, 0, MAX_BYTES),
		.lname = "Arena size",
		.help = "Bytes of memory (default, or 0: one largest block for each unit of "
			"iodepth)",
	},
	{
		WORD("arena_mem", arena_mem),
		.lname = "Arena memory",
		.def = "4k",
		.help = "What the arena is made of",
		.posval = {
			{ .ival = "4k", .oval = REGBUF_MEM_4K,
			  .help = "Base pages, huge pages kept away" },
			{ .ival = "thp", .oval = REGBUF_MEM_THP,
			  .help = "Transparent huge pages of PMD size" },
			{ .ival = "mthp", .oval = REGBUF_MEM_MTHP,
			  .help = "Transparent huge pages of arena_folio bytes (64k)" },
			{ .ival = "huge2m", .oval = REGBUF_MEM_HUGE2M,
			  .help = "hugetlb, 2 MiB" },
			{ .ival = "huge1g", .oval = REGBUF_MEM_HUGE1G,
			  .help = "hugetlb, 1 GiB" },
			{ .ival = "memfd", .oval = REGBUF_MEM_MEMFD,
			  .help = "Shared memory, in folios of arena_folio bytes (4k)" },
			{ .ival = "memfd_huge", .oval = REGBUF_MEM_MEMFD_HUGE,
			  .help = "Shared hugetlb, pages of arena_folio bytes (2m)" },
			{ .ival = "mixed", .oval = REGBUF_MEM_MIXED,
			  .help = "Kinds side by side, see arena_mix" },
			{ .ival = "alias", .oval = REGBUF_MEM_ALIAS,
			  .help = "arena_alias bytes of memory mapped again and again, in "
				  "pages of arena_folio bytes (2m)" },
		},
	},
	{
		BYTES("arena_folio", arena_folio, 4096, 1 << 30),
		.lname = "Folio size",
		.pow2 = 1,
		.help = "Size of the pages for arena_mem=mthp, memfd, memfd_huge and alias",
	},
	{
		BYTES("arena_alias", arena_alias, 4096, MAX_BYTES),
		.lname = "Aliased memory",
		.help = "Bytes of memory behind arena_mem=alias (default: as little as "
			"32768 mappings allow, one page at least)",
	},
	{
		STRING("arena_mix", arena_mix),
		.verify = check_mix,
		.lname = "Mix of memory",
		.help = "Kinds and their percentages for arena_mem=mixed, decided for each "
			"2 MiB: 4k, thp, huge2m and memfd, as 4k/20:thp/50:huge2m/30 "
			"(default: 4k/50:thp/50)",
	},
	{
		BYTES("arena_frag", arena_frag, 8192, MAX_BYTES),
		.lname = "Fragmentation",
		.help = "Replace one base page in each so many bytes, which splits the huge "
			"page that it was in (anonymous memory only)",
	},
	{
		BYTES("arena_seed", arena_seed, 0, MAX_BYTES),
		.lname = "Seed",
		.def = "1",
		.help = "Seed of what is random about the arena: mix, fragments, places",
	},
	{
		FLAG("arena_share", arena_share),
		.lname = "Shared arena",
		.help = "The numjobs threads of a job (thread=1) use one arena, and with "
			"reg_op=clone one ring that all of them clone from",
	},
	{
		FLAG("arena_strict", arena_strict),
		.lname = "Strict memory",
		.def = "1",
		.help = "Fail if the memory cannot be had as asked; 0: fall back to the next "
			"smaller pages and say so",
	},
	{
		FLAG("arena_prefault", arena_prefault),
		.lname = "Prefault",
		.def = "1",
		.help = "Populate the arena before it is registered",
	},
	{
		WORD("arena_place", arena_place),
		.lname = "Places",
		.def = "random",
		.help = "Where in the arena each I/O has its data",
		.posval = {
			{ .ival = "random", .oval = REGBUF_PLACE_RANDOM,
			  .help = "Anywhere" },
			{ .ival = "sequential", .oval = REGBUF_PLACE_SEQUENTIAL,
			  .help = "One after the other, then from the start" },
			{ .ival = "fixed", .oval = REGBUF_PLACE_FIXED,
			  .help = "One place for each unit of iodepth, spread evenly" },
		},
	},
	{
		BYTES("arena_skew", arena_skew, 0, 65535),
		.lname = "Skew",
		.help = "Begin each place so many bytes after a page boundary, less than a page",
	},
	{
		BYTES("reg_size", reg_size, 0, MAX_BYTES),
		.lname = "Slot size",
		.help = "Bytes registered as one slot (default, or 0: the whole arena, or what "
			"the kernel allows)",
	},
	{
		WORD("reg_op", reg_op),
		.lname = "Registration",
		.def = "buffers",
		.help = "How slots are registered",
		.posval = {
			{ .ival = "buffers", .oval = REGBUF_OP_BUFFERS,
			  .help = "IORING_REGISTER_BUFFERS, all at once" },
			{ .ival = "buffers2", .oval = REGBUF_OP_BUFFERS2,
			  .help = "IORING_REGISTER_BUFFERS2, all at once, with tags" },
			{ .ival = "update", .oval = REGBUF_OP_UPDATE,
			  .help = "IORING_REGISTER_BUFFERS_UPDATE, slot by slot, with tags" },
			{ .ival = "clone", .oval = REGBUF_OP_CLONE,
			  .help = "Registered once in another ring, and cloned: a write "
				  "in reg_mode=register clones, and does not pin" },
			{ .ival = "readonly", .oval = REGBUF_OP_READONLY,
			  .help = "Memory that is only readable, slot by slot "
				  "(reg_mode=register)" },
			{ .ival = "empty", .oval = REGBUF_OP_EMPTY,
			  .help = "The base line of reg_mode=register: an update of an "
				  "entry that is empty and stays so" },
		},
	},
	{
		NUMBER("churn", churn, 0, MAX_COUNT),
		.lname = "Churn",
		.help = "Register churn_slots slots again after every N I/Os",
	},
	{
		NUMBER("churn_rate", churn_rate, 0, 1000000),
		.lname = "Rate of churn",
		.help = "Register churn_slots slots again N times a second, beside I/O",
	},
	{
		NUMBER("churn_slots", churn_slots, 1, 16384),
		.lname = "Slots to churn",
		.def = "1",
		.help = "Slots registered again at a time, one after the other (reg_op="
			"buffers and buffers2: always all)",
	},
	{
		FLAG("churn_drain", churn_drain),
		.lname = "Drain before churn",
		.help = "Wait until no I/O is in flight before slots are registered again",
	},
	{
		STRING("reg_log", reg_log),
		.lname = "Registration log",
		.help = "Append a line of JSON for each job to this file: what the memory is, "
			"what registration cost",
	},
	{
		STRING("write_reg_log", write_reg_log),
		.lname = "Log of registrations",
		.help = "Write each call that is measured to FILE_reg.N.log, N the job's "
			"number, as fio's latency logs: ms, ns, 1 for registering and 2 for "
			"unregistering, bytes, 0",
	},
	{
		WORD("reg_samples", reg_samples),
		.lname = "Calls as sync samples",
		.def = "none",
		.help = "Report the calls of one kind as syncs in fio's own statistics",
		.posval = {
			{ .ival = "none", .oval = REGBUF_NR_FIGURES, .help = "None" },
			{ .ival = "register", .oval = REGBUF_REGISTER,
			  .help = "Registering again what was registered before" },
			{ .ival = "unregister", .oval = REGBUF_UNREGISTER,
			  .help = "Unregistering" },
			{ .ival = "replace", .oval = REGBUF_REPLACE,
			  .help = "Updates of slots that are in use" },
			{ .ival = "clone", .oval = REGBUF_CLONE, .help = "Cloning" },
			{ .ival = "unclone", .oval = REGBUF_UNCLONE,
			  .help = "Dropping clones" },
		},
	},
	{
		WORD("fault", fault),
		.lname = "Fault",
		.def = "none",
		.help = "Do something wrong on purpose, to see that it is noticed",
		.posval = {
			{ .ival = "none", .oval = REGBUF_FAULT_NONE,
			  .help = "Nothing" },
			{ .ival = "flip", .oval = REGBUF_FAULT_FLIP,
			  .help = "Flip one bit of what was read" },
			{ .ival = "slot", .oval = REGBUF_FAULT_SLOT,
			  .help = "Name the wrong slot" },
			{ .ival = "cross", .oval = REGBUF_FAULT_CROSS,
			  .help = "Begin in the slot and end behind it" },
		},
	},
	{
		NUMBER("fault_every", fault_every, 1, MAX_COUNT),
		.lname = "How often",
		.def = "100",
		.help = "Do it in every Nth I/O",
	},
	{
		.name = NULL,
	},
};

static const char *word(const char *option, unsigned int val)
{
	const struct fio_option *opt;
	const struct value_pair *vp;

	for (opt = regbuf_option_table; opt->name; opt++) {
		if (strcmp(opt->name, option))
			continue;
		for (vp = opt->posval; vp->ival; vp++)
			if (vp->oval == val)
				return vp->ival;
	}
	return "?";
}

const char *regbuf_mem_name(unsigned int mem)
{
	return word("arena_mem", mem);
}

const char *regbuf_mode_name(unsigned int mode)
{
	return word("reg_mode", mode);
}

const char *regbuf_op_name(unsigned int op)
{
	return word("reg_op", op);
}
