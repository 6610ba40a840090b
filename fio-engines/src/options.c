// SPDX-License-Identifier: GPL-2.0-only
/* The engine's options; README.md says more about each. */
#include "fio.h"
#include "optgroup.h"

#include "regbuf.h"

#define OFFSET(member)	offsetof(struct regbuf_options, member)
#define GROUP		.category = FIO_OPT_C_ENGINE, .group = FIO_OPT_G_IOURING

static int set_sqpoll_cpu(void *data, unsigned long long *val)
{
	struct regbuf_options *o = data;

	o->sqpoll_cpu = *val;
	o->sqpoll_set = 1;
	return 0;
}

struct fio_option regbuf_option_table[] = {
	{
		.name = "hipri",
		.lname = "Polled completions",
		.type = FIO_OPT_STR_SET,
		.off1 = OFFSET(hipri),
		.help = "Poll for completions (IORING_SETUP_IOPOLL); needs direct=1",
		GROUP,
	},
	{
		.name = "fixedbufs",
		.lname = "Use registered buffers",
		.type = FIO_OPT_BOOL,
		.off1 = OFFSET(fixedbufs),
		.def = "1",
		.help = "Register the arena and use READ_FIXED and WRITE_FIXED; 0 is the "
			"control: the same memory, not registered",
		GROUP,
	},
	{
		.name = "registerfiles",
		.lname = "Register files",
		.type = FIO_OPT_STR_SET,
		.off1 = OFFSET(registerfiles),
		.help = "Register the job's files with the ring",
		GROUP,
	},
	{
		.name = "sqthread_poll",
		.lname = "Submission by a kernel thread",
		.type = FIO_OPT_STR_SET,
		.off1 = OFFSET(sqpoll_thread),
		.help = "A kernel thread submits (IORING_SETUP_SQPOLL); sets registerfiles",
		GROUP,
	},
	{
		.name = "sqthread_poll_cpu",
		.lname = "CPU of the kernel thread",
		.type = FIO_OPT_INT,
		.cb = set_sqpoll_cpu,
		.help = "Keep the kernel thread of sqthread_poll on this CPU",
		GROUP,
	},
	{
		.name = "nonvectored",
		.lname = "READ and WRITE without vectors",
		.type = FIO_OPT_INT,
		.off1 = OFFSET(nonvectored),
		.def = "-1",
		.help = "With fixedbufs=0: READ/WRITE (1), READV/WRITEV (0), or 1 where the "
			"kernel has them (-1)",
		GROUP,
	},
	{
		.name = "force_async",
		.lname = "Force async",
		.type = FIO_OPT_INT,
		.off1 = OFFSET(force_async),
		.help = "Set IOSQE_ASYNC on every Nth request",
		GROUP,
	},
	{
		.name = "reg_mode",
		.lname = "Mode",
		.type = FIO_OPT_STR,
		.off1 = OFFSET(mode),
		.def = "io",
		.help = "What the job's reads, writes and trims are",
		.posval = {
			{ .ival = "io", .oval = REGBUF_MODE_IO,
			  .help = "I/O on files, with data in the arena" },
			{ .ival = "register", .oval = REGBUF_MODE_REGISTER,
			  .help = "Write registers, trim unregisters; no file" },
		},
		GROUP,
	},
	{
		.name = "arena_size",
		.lname = "Arena size",
		.type = FIO_OPT_STR_VAL,
		.off1 = OFFSET(arena_size),
		.help = "Bytes of memory (default: one largest block for each unit of "
			"iodepth)",
		GROUP,
	},
	{
		.name = "arena_mem",
		.lname = "Arena memory",
		.type = FIO_OPT_STR,
		.off1 = OFFSET(arena_mem),
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
		GROUP,
	},
	{
		.name = "arena_folio",
		.lname = "Folio size",
		.type = FIO_OPT_STR_VAL,
		.off1 = OFFSET(arena_folio),
		.help = "Size of the pages for arena_mem=mthp, memfd, memfd_huge and alias",
		GROUP,
	},
	{
		.name = "arena_alias",
		.lname = "Aliased memory",
		.type = FIO_OPT_STR_VAL,
		.off1 = OFFSET(arena_alias),
		.help = "Bytes of memory behind arena_mem=alias (default: arena_size / 1024, "
			"one page at least)",
		GROUP,
	},
	{
		.name = "arena_mix",
		.lname = "Mix of memory",
		.type = FIO_OPT_STR_STORE,
		.off1 = OFFSET(arena_mix),
		.def = "4k/50:thp/50",
		.help = "Kinds and their percentages for arena_mem=mixed, decided for each "
			"2 MiB: 4k, thp, huge2m and memfd, as 4k/20:thp/50:huge2m/30",
		GROUP,
	},
	{
		.name = "arena_frag",
		.lname = "Fragmentation",
		.type = FIO_OPT_STR_VAL,
		.off1 = OFFSET(arena_frag),
		.help = "Replace one base page in each so many bytes, which splits the huge "
			"page that it was in (anonymous memory only)",
		GROUP,
	},
	{
		.name = "arena_seed",
		.lname = "Seed",
		.type = FIO_OPT_STR_VAL,
		.off1 = OFFSET(arena_seed),
		.def = "1",
		.help = "Seed of what is random about the arena: mix, fragments, places",
		GROUP,
	},
	{
		.name = "arena_strict",
		.lname = "Strict memory",
		.type = FIO_OPT_BOOL,
		.off1 = OFFSET(arena_strict),
		.def = "0",
		.help = "Fail if the memory cannot be had as asked, instead of falling back "
			"to the next smaller pages and saying so",
		GROUP,
	},
	{
		.name = "arena_prefault",
		.lname = "Prefault",
		.type = FIO_OPT_BOOL,
		.off1 = OFFSET(arena_prefault),
		.def = "1",
		.help = "Populate the arena before it is registered",
		GROUP,
	},
	{
		.name = "arena_place",
		.lname = "Places",
		.type = FIO_OPT_STR,
		.off1 = OFFSET(arena_place),
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
		GROUP,
	},
	{
		.name = "arena_skew",
		.lname = "Skew",
		.type = FIO_OPT_STR_VAL,
		.off1 = OFFSET(arena_skew),
		.help = "Begin each place so many bytes after a page boundary",
		GROUP,
	},
	{
		.name = "reg_size",
		.lname = "Slot size",
		.type = FIO_OPT_STR_VAL,
		.off1 = OFFSET(reg_size),
		.help = "Bytes registered as one slot (default: the whole arena, or what the "
			"kernel allows)",
		GROUP,
	},
	{
		.name = "reg_op",
		.lname = "Registration",
		.type = FIO_OPT_STR,
		.off1 = OFFSET(reg_op),
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
			  .help = "Registered in another ring, and cloned" },
		},
		GROUP,
	},
	{
		.name = "churn",
		.lname = "Churn",
		.type = FIO_OPT_INT,
		.off1 = OFFSET(churn),
		.help = "Register churn_slots slots again after every N I/Os",
		GROUP,
	},
	{
		.name = "churn_slots",
		.lname = "Slots to churn",
		.type = FIO_OPT_INT,
		.off1 = OFFSET(churn_slots),
		.def = "1",
		.minval = 1,
		.help = "Slots registered again at a time, one after the other (reg_op="
			"buffers and buffers2: always all)",
		GROUP,
	},
	{
		.name = "churn_drain",
		.lname = "Drain before churn",
		.type = FIO_OPT_BOOL,
		.off1 = OFFSET(churn_drain),
		.def = "0",
		.help = "Wait until no I/O is in flight before slots are registered again",
		GROUP,
	},
	{
		.name = "reg_log",
		.lname = "Registration log",
		.type = FIO_OPT_STR_STORE,
		.off1 = OFFSET(reg_log),
		.help = "Append a line of JSON for each job to this file: what the memory is, "
			"what registration cost",
		GROUP,
	},
	{
		.name = "reg_samples",
		.lname = "Registrations as sync samples",
		.type = FIO_OPT_BOOL,
		.off1 = OFFSET(reg_samples),
		.def = "0",
		.help = "Report each registration as a sync in fio's own statistics",
		GROUP,
	},
	{
		.name = "fault",
		.lname = "Fault",
		.type = FIO_OPT_STR,
		.off1 = OFFSET(fault),
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
		GROUP,
	},
	{
		.name = "fault_every",
		.lname = "How often",
		.type = FIO_OPT_INT,
		.off1 = OFFSET(fault_every),
		.def = "100",
		.minval = 1,
		.help = "Do it in every Nth I/O",
		GROUP,
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

const char *regbuf_op_name(unsigned int op)
{
	return word("reg_op", op);
}
