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

static int read_text(const struct fio_option *opt, const char *text, void *data,
		     unsigned long long *value)
{
	if (opt->posval[0].ival)
		return read_word(opt, text, value);
	return read_number(text, data, value) || !in_range(opt, *value) ? EINVAL : 0;
}

/* The text of an option into its member: off2 is 32 bits wide, off3 64. */
static int read_option(const struct fio_option *opt, void *data)
{
	struct regbuf_options *o = data;
	unsigned long long value = 0;
	char *text = o->text;
	int ret;

	o->text = NULL;
	ret = text ? read_text(opt, text, data, &value) : EINVAL;
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

/* A flag is as fio's are, with nothing for on, also on the command line; fio lets -1 pass. */
static int check_flag(const struct fio_option *opt, void *data)
{
	if (*(unsigned int *)((char *)data + opt->off1) <= 1)
		return 0;
	regbuf_say("%s: want 0, 1 or nothing", opt->name);
	return EINVAL;
}

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

static int check_send_to(const struct fio_option fio_unused *opt, void *data)
{
	const struct regbuf_options *o = data;

	return regbuf_check_send_to(o->send_to);
}

static int check_mix(const struct fio_option fio_unused *opt, void *data)
{
	const struct regbuf_options *o = data;

	return regbuf_check_mix(o->arena_mix);
}

/* ---- the table -------------------------------------------------------------------- */

/* What an option is for; fio has no use for off4. */
#define IO		(1U << REGBUF_MODE_IO)
#define REGISTER	(1U << REGBUF_MODE_REGISTER)
#define SEND		(1U << REGBUF_MODE_SEND)
#define ALL		(IO | REGISTER | SEND)

/* An option has the name of its member. */
#define ROW(_name, _for, _def, _lname, _help)					\
	.name = #_name, .off4 = _for, .def = _def, .lname = _lname,		\
	.help = _help, .category = FIO_OPT_C_ENGINE, .group = FIO_OPT_G_IOURING
#define OFFSET(member)	offsetof(struct regbuf_options, member)
#define TEXT(_cb)								\
	.type = FIO_OPT_STR_STORE, .off1 = OFFSET(text), .cb = _cb, .verify = read_option

#define FLAG(_name, ...)							\
	{ ROW(_name, __VA_ARGS__), .type = FIO_OPT_STR_SET, .maxval = 1,	\
	  .off1 = OFFSET(_name), .no_warn_def = 1, .verify = check_flag }
#define NUMBER_CB(_name, _cb, _min, _max, ...)					\
	{ ROW(_name, __VA_ARGS__), TEXT(_cb), .off2 = OFFSET(_name),		\
	  .minval = _min, .maxval = _max }
#define NUMBER(_name, ...)							\
	NUMBER_CB(_name, leave_to_read_option, __VA_ARGS__)
#define BYTES_OF(_name, _pow2, _min, _max, ...)					\
	{ ROW(_name, __VA_ARGS__), TEXT(leave_to_read_option),			\
	  .off3 = OFFSET(_name), .minval = _min, .maxval = _max, .pow2 = _pow2 }
#define BYTES(_name, ...)	BYTES_OF(_name, 0, __VA_ARGS__)
#define STRING(_name, _check, ...)						\
	{ ROW(_name, __VA_ARGS__), .type = FIO_OPT_STR_STORE,			\
	  .off1 = OFFSET(_name), .verify = _check }
#define WORD(_name, _for, _def, _lname, _help, ...)				\
	{ ROW(_name, _for, _def, _lname, _help), TEXT(leave_to_read_option),	\
	  .off2 = OFFSET(_name), .posval = { __VA_ARGS__ } }
#define VALUE(_word, _value, _help)						\
	{ .ival = _word, .oval = _value, .help = _help }

struct fio_option regbuf_option_table[] = {
	FLAG(hipri, IO, NULL, "Polled completions",
		"Poll for completions (IORING_SETUP_IOPOLL); needs direct=1"),
	FLAG(fixedbufs, IO | SEND, "1", "Use registered buffers",
		"Register the arena and use READ_FIXED and WRITE_FIXED; 0 is the control: the "
		"same memory, not registered"),
	NUMBER(fixed_percentage, 0, 100, IO | SEND, "100", "Share of I/O in registered buffers",
		"With fixedbufs: so many of 100 I/Os name a slot, the others, drawn by lot, "
		"only memory"),
	FLAG(registerfiles, IO, NULL, "Register files",
		"Register the job's files with the ring"),
	FLAG(sqthread_poll, IO, NULL, "Submission by a kernel thread",
		"A kernel thread submits (IORING_SETUP_SQPOLL); sets registerfiles"),
	NUMBER_CB(sqthread_poll_cpu, note_cpu, 0, 8191, IO, NULL, "CPU of the kernel thread",
		"Keep the kernel thread of sqthread_poll on this CPU"),
	WORD(nonvectored, IO, "-1", "READ and WRITE without vectors",
		"With fixedbufs=0, or for I/O that is not fixed",
		VALUE("-1", REGBUF_NONVECTORED_AUTO, "READ and WRITE where the kernel has them"),
		VALUE("0", REGBUF_NONVECTORED_OFF, "READV and WRITEV"),
		VALUE("1", REGBUF_NONVECTORED_ON, "READ and WRITE")),
	NUMBER(force_async, 0, MAX_COUNT, IO | SEND, NULL, "Force async",
		"Set IOSQE_ASYNC on every Nth request"),
	WORD(cmd_type, IO, "none", "Commands passed through",
		"Reads and writes are commands for the device's driver (IORING_OP_URING_CMD)",
		VALUE("none", REGBUF_CMD_NONE, "None: they are requests of the kernel's"),
		VALUE("nvme", REGBUF_CMD_NVME, "NVMe, on a device like /dev/ng0n1 (Linux 6.1)")),
	NUMBER(cmdprio_percentage, 0, 100, IO, NULL, "Share of requests with a priority",
		"So many of 100 requests have the priority of cmdprio_class and cmdprio, "
		"reads and writes alike"),
	NUMBER(cmdprio_class, 1, 3, IO, NULL, "Class of that priority",
		"1 is realtime (and the default), 2 best effort, 3 idle"),
	NUMBER(cmdprio, 0, 7, IO, NULL, "Level of that priority",
		"0 is the highest"),
	STRING(cmdprio_bssplit, NULL, IO, NULL, "Priorities by block size",
		"As in fio's engines"),
	FLAG(nop, IO, NULL, "No I/O",
		"Requests that do nothing (IORING_OP_NOP), naming a slot with fixedbufs "
		"(Linux 6.13): what is left is io_uring and fio"),
	FLAG(trim_async, IO, NULL, "Trims as requests",
		"Trims of block devices are requests as reads and writes are (Linux 6.12), "
		"instead of calls that wait"),
	FLAG(nowait, IO, NULL, "RWF_NOWAIT",
		"Reads and writes fail instead of waiting"),
	FLAG(uncached, IO, NULL, "RWF_DONTCACHE",
		"Buffered I/O that leaves nothing in the page cache (direct=0)"),
	FLAG(atomic_writes, IO, NULL, "RWF_ATOMIC",
		"Writes are not torn (Linux 6.11, direct=1, and a device or file system that "
		"can)"),
	NUMBER(segments, 1, 1024, IO, "1", "Segments",
		"Parts that each I/O is made of; more than one is READV_FIXED and "
		"WRITEV_FIXED (Linux 6.15), or READV and WRITEV"),
	FLAG(segments_scatter, IO, NULL, "Scattered segments",
		"The parts are in the file in the reverse order, so that no two of them lie "
		"next to each other in memory"),
	WORD(reg_mode, ALL, "io", "Mode",
		"What the job's reads, writes and trims are",
		VALUE("io", REGBUF_MODE_IO, "I/O on files, with data in the arena"),
		VALUE("register", REGBUF_MODE_REGISTER,
			"Write registers, trim unregisters; no file"),
		VALUE("send", REGBUF_MODE_SEND, "Writes are sent to send_to; no file")),
	STRING(send_to, check_send_to, SEND, NULL, "Where to send",
		"HOST:PORT of reg_mode=send, TCP (fio's net engine can listen there)"),
	FLAG(send_zc, SEND, "1", "Send without copies",
		"Send with SEND_ZC (Linux 6.0), from registered memory with fixedbufs; 0: SEND"),
	BYTES(arena_size, 0, MAX_BYTES, ALL, NULL, "Arena size",
		"Bytes of memory (default, or 0: one largest block for each unit of iodepth)"),
	WORD(arena_mem, ALL, "4k", "Arena memory",
		"What the arena is made of",
		VALUE("4k", REGBUF_MEM_4K, "Base pages, huge pages kept away"),
		VALUE("thp", REGBUF_MEM_THP, "Transparent huge pages of PMD size"),
		VALUE("mthp", REGBUF_MEM_MTHP,
			"Transparent huge pages of arena_folio bytes (64k)"),
		VALUE("huge2m", REGBUF_MEM_HUGE2M, "hugetlb, 2 MiB"),
		VALUE("huge1g", REGBUF_MEM_HUGE1G, "hugetlb, 1 GiB"),
		VALUE("memfd", REGBUF_MEM_MEMFD,
			"Shared memory, in folios of arena_folio bytes (4k)"),
		VALUE("memfd_huge", REGBUF_MEM_MEMFD_HUGE,
			"Shared hugetlb, pages of arena_folio bytes (2m)"),
		VALUE("mixed", REGBUF_MEM_MIXED, "Kinds side by side, see arena_mix"),
		VALUE("alias", REGBUF_MEM_ALIAS,
			"arena_alias bytes of memory mapped again and again, in pages of "
			"arena_folio bytes (2m)")),
	BYTES_OF(arena_folio, 1, 4096, 1 << 30, ALL, NULL, "Folio size",
		"Size of the pages for arena_mem=mthp, memfd, memfd_huge and alias"),
	BYTES(arena_alias, 4096, MAX_BYTES, ALL, NULL, "Aliased memory",
		"Bytes of memory behind arena_mem=alias (default: as little as 32768 mappings "
		"allow, one page at least)"),
	STRING(arena_mix, check_mix, ALL, NULL, "Mix of memory",
		"Kinds and their percentages for arena_mem=mixed, decided for each 2 MiB: 4k, "
		"thp, huge2m and memfd, as 4k/20:thp/50:huge2m/30 (default: 4k/50:thp/50)"),
	BYTES(arena_frag, 8192, MAX_BYTES, ALL, NULL, "Fragmentation",
		"Replace one base page in each so many bytes, which splits the huge page that "
		"it was in (anonymous memory only)"),
	BYTES(arena_seed, 0, MAX_BYTES, ALL, "1", "Seed",
		"Seed of what is random about the arena: mix, fragments, places"),
	FLAG(arena_share, ALL, NULL, "Shared arena",
		"The numjobs threads of a job (thread=1) use one arena, and with reg_op=clone "
		"one ring that all of them clone from"),
	FLAG(arena_strict, ALL, "1", "Strict memory",
		"Fail if the memory cannot be had as asked; 0: fall back to the next smaller "
		"pages and say so"),
	FLAG(arena_prefault, ALL, "1", "Prefault",
		"Populate the arena before it is registered"),
	WORD(arena_place, IO | SEND, "random", "Places",
		"Where in the arena each I/O has its data",
		VALUE("random", REGBUF_PLACE_RANDOM, "Anywhere"),
		VALUE("sequential", REGBUF_PLACE_SEQUENTIAL,
			"One after the other, then from the start"),
		VALUE("fixed", REGBUF_PLACE_FIXED,
			"One place for each unit of iodepth, spread evenly")),
	BYTES(arena_skew, 0, 65535, IO | SEND, NULL, "Skew",
		"Begin each place so many bytes after a page boundary, less than a page"),
	BYTES(reg_size, 0, MAX_BYTES, ALL, NULL, "Slot size",
		"Bytes registered as one slot (default, or 0: the whole arena, or what the "
		"kernel allows)"),
	WORD(reg_op, ALL, "buffers", "Registration",
		"How slots are registered",
		VALUE("buffers", REGBUF_OP_BUFFERS, "IORING_REGISTER_BUFFERS, all at once"),
		VALUE("buffers2", REGBUF_OP_BUFFERS2,
			"IORING_REGISTER_BUFFERS2, all at once, with tags"),
		VALUE("update", REGBUF_OP_UPDATE,
			"IORING_REGISTER_BUFFERS_UPDATE, slot by slot, with tags"),
		VALUE("clone", REGBUF_OP_CLONE,
			"Registered once in another ring, and cloned: a write in "
			"reg_mode=register clones, and does not pin"),
		VALUE("readonly", REGBUF_OP_READONLY,
			"Sources only, slot by slot, with tags: memory may be read-only"),
		VALUE("memfd", REGBUF_OP_MEMFD,
			"By file and offset, slot by slot, with tags (arena_mem=memfd and "
			"memfd_huge)"),
		VALUE("sqe", REGBUF_OP_SQE,
			"By a request of the ring's, slot by slot, with tags"),
		VALUE("empty", REGBUF_OP_EMPTY,
			"The base line of reg_mode=register: an update of an entry that is "
			"empty and stays so")),
	NUMBER(churn, 0, MAX_COUNT, IO | SEND, NULL, "Churn",
		"Register churn_slots slots again after every N I/Os"),
	NUMBER(churn_rate, 0, 1000000, IO | SEND, NULL, "Rate of churn",
		"Register churn_slots slots again N times a second, beside I/O"),
	NUMBER(churn_slots, 1, 16384, IO | SEND, "1", "Slots to churn",
		"Slots registered again at a time, one after the other (reg_op=buffers and "
		"buffers2: always all)"),
	FLAG(churn_drain, IO | SEND, NULL, "Drain before churn",
		"Wait until no I/O is in flight before slots are registered again"),
	STRING(reg_log, NULL, ALL, NULL, "Registration log",
		"Append a line of JSON for each job to this file: what the memory is, what "
		"registration cost"),
	STRING(write_reg_log, NULL, ALL, NULL, "Log of registrations",
		"Write each call that is measured to FILE_reg.N.log, N the job's number, as "
		"fio's latency logs: ms, ns, 1 for registering and 2 for unregistering, "
		"bytes, 0"),
	WORD(reg_samples, ALL, "none", "Calls as sync samples",
		"Report the calls of one kind as syncs in fio's own statistics",
		VALUE("none", REGBUF_NR_FIGURES, "None"),
		VALUE("register", REGBUF_REGISTER,
			"Registering again what was registered before"),
		VALUE("unregister", REGBUF_UNREGISTER, "Unregistering"),
		VALUE("replace", REGBUF_REPLACE, "Updates of slots that are in use"),
		VALUE("clone", REGBUF_CLONE, "Cloning"),
		VALUE("unclone", REGBUF_UNCLONE, "Dropping clones")),
	WORD(fault, IO, "none", "Fault",
		"Do something wrong on purpose, to see that it is noticed",
		VALUE("none", REGBUF_FAULT_NONE, "Nothing"),
		VALUE("flip", REGBUF_FAULT_FLIP, "Flip one bit of what was read"),
		VALUE("slot", REGBUF_FAULT_SLOT, "Name the wrong slot"),
		VALUE("cross", REGBUF_FAULT_CROSS, "Begin in the slot and end behind it")),
	NUMBER(fault_every, 1, MAX_COUNT, IO, "100", "How often",
		"Do it in every Nth I/O"),
	{ .name = NULL },
};

/* ---- asking the table ---------------------------------------------------------------- */

/* Is it other than by default? */
static bool is_set(const struct fio_option *opt, const struct regbuf_options *o)
{
	const void *member = (const char *)o + (opt->off2 ? opt->off2 : opt->off3);
	unsigned long long value = 0;

	if (opt->type == FIO_OPT_STR_SET)
		return *(const unsigned int *)((const char *)o + opt->off1) !=
		       (opt->def && *opt->def == '1');
	if (!opt->off2 && !opt->off3)
		return *(char * const *)((const char *)o + opt->off1);
	if (opt->def)
		read_text(opt, opt->def, (void *)o, &value);
	return value != (opt->off2 ? *(const unsigned int *)member :
				     *(const unsigned long long *)member);
}

int regbuf_check_modes(const struct regbuf_options *o)
{
	const struct fio_option *opt;
	unsigned int mode, len = 0;
	char modes[64] = "";

	for (opt = regbuf_option_table; opt->name; opt++)
		if (!(opt->off4 & 1U << o->reg_mode) && is_set(opt, o))
			break;
	if (!opt->name)
		return 0;
	for (mode = REGBUF_MODE_IO; mode <= REGBUF_MODE_SEND; mode++)
		if (opt->off4 & 1U << mode)
			len += snprintf(modes + len, sizeof(modes) - len, "%s%s",
					len ? " and " : "", regbuf_mode_name(mode));
	regbuf_say("%s is for reg_mode=%s", opt->name, modes);
	return EINVAL;
}

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
