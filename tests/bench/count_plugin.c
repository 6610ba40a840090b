// SPDX-License-Identifier: GPL-2.0
/*
 * A plugin for QEMU's emulator that counts what the guest executes, exactly: instructions, and
 * those of them that are locked (a lock prefix, or an exchange with memory), which is what
 * neither guest time nor a tracepoint tells.
 *
 *	-plugin count_plugin.so,out=FILE[,call=NAME:ADDRESS]...
 *
 * The guest says where to count: each "nopl 0x5a5a5a5a(%rax,%rax)", which does nothing, ends an
 * interval and begins the next. A line goes to FILE for each interval, from 0 on:
 *
 *	INTERVAL total 1 INSTRUCTIONS LOCKED
 *	INTERVAL NAME CALLS INSTRUCTIONS LOCKED
 *
 * and one as the second for each function that was called in it: what was executed from the
 * direct calls of the function at ADDRESS to their return, with all that it called itself. One
 * CPU only.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT		__attribute__((visibility("default")))
#define FUNCTIONS_MAX	16
#define SITES_MAX	256
/* Where a call may end up: objtool has direct calls skip the landing pad of indirect ones. */
#define ENTRY_BYTES	16
#define CALL_BYTES	5

/* QEMU's interface to plugins, version 1: what is used of it. It comes without a header. */
typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_plugin_info;
enum { CB_NO_REGS };
enum { INLINE_ADD_U64 };
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t i);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
					   void (*cb)(qemu_plugin_id_t, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn,
					    void (*cb)(unsigned int, void *), int flags,
					    void *data);
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *insn, int op, void *at,
						uint64_t imm);

EXPORT int qemu_plugin_version = 1;

static const uint8_t mark[] = { 0x0f, 0x1f, 0x84, 0x00, 0x5a, 0x5a, 0x5a, 0x5a };

static struct function {
	char name[64];
	uint64_t entry;
	uint64_t calls, insns, locked;		/* in this interval */
	uint64_t insns_before, locked_before;	/* at the call that has not returned */
	bool running;
} functions[FUNCTIONS_MAX];
static size_t nr_functions;

/* Where the calls that were found return to */
static struct site {
	uint64_t returns_to;
	struct function *function;
} sites[SITES_MAX];
static size_t nr_sites;

static uint64_t insns, locked;			/* since the start */
static uint64_t interval, insns_before, locked_before;
static FILE *out;

static void die(const char *why)
{
	fprintf(stderr, "count_plugin: %s\n", why);
	exit(1);
}

static void at_mark(unsigned int cpu, void *data)
{
	(void)cpu;
	(void)data;
	fprintf(out, "%llu total 1 %llu %llu\n", (unsigned long long)interval,
		(unsigned long long)(insns - insns_before),
		(unsigned long long)(locked - locked_before));
	for (size_t i = 0; i < nr_functions; i++) {
		struct function *f = &functions[i];

		if (f->calls)
			fprintf(out, "%llu %s %llu %llu %llu\n", (unsigned long long)interval,
				f->name, (unsigned long long)f->calls,
				(unsigned long long)f->insns, (unsigned long long)f->locked);
		f->calls = 0;
		f->insns = 0;
		f->locked = 0;
	}
	fflush(out);
	interval++;
	insns_before = insns;
	locked_before = locked;
}

static void at_call(unsigned int cpu, void *data)
{
	struct function *f = data;

	(void)cpu;
	if (f->running)
		die("a function that is counted calls itself, or is called while it sleeps");
	f->running = true;
	f->insns_before = insns;
	f->locked_before = locked;
}

static void at_return(unsigned int cpu, void *data)
{
	struct function *f = data;

	(void)cpu;
	if (!f->running)
		return;
	f->running = false;
	f->calls++;
	f->insns += insns - f->insns_before;
	f->locked += locked - f->locked_before;
}

static bool is_locked(const uint8_t *code, size_t size)
{
	size_t i = 0;

	while (i < size && memchr("\xf0\xf2\xf3\x2e\x36\x3e\x26\x64\x65\x66\x67", code[i], 11))
		if (code[i++] == 0xf0)
			return true;
	if (i < size && (code[i] & 0xf0) == 0x40)	/* REX */
		i++;
	return i + 1 < size && (code[i] & 0xfe) == 0x86 && code[i + 1] < 0xc0;
}

static void add_site(uint64_t returns_to, struct function *function)
{
	for (size_t i = 0; i < nr_sites; i++)
		if (sites[i].returns_to == returns_to)
			return;
	if (nr_sites == SITES_MAX)
		die("too many calls");
	sites[nr_sites++] = (struct site){ returns_to, function };
}

static void look_for_calls(struct qemu_plugin_insn *insn, const uint8_t *code, size_t size)
{
	uint64_t at = qemu_plugin_insn_vaddr(insn);
	int32_t distance;

	for (size_t i = 0; i < nr_sites; i++)
		if (sites[i].returns_to == at)
			qemu_plugin_register_vcpu_insn_exec_cb(insn, at_return, CB_NO_REGS,
							       sites[i].function);
	if (size != CALL_BYTES || code[0] != 0xe8)
		return;
	memcpy(&distance, code + 1, sizeof(distance));
	for (size_t i = 0; i < nr_functions; i++) {
		if (at + CALL_BYTES + (int64_t)distance - functions[i].entry >= ENTRY_BYTES)
			continue;
		add_site(at + CALL_BYTES, &functions[i]);
		qemu_plugin_register_vcpu_insn_exec_cb(insn, at_call, CB_NO_REGS, &functions[i]);
	}
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	(void)id;
	for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		const uint8_t *code = qemu_plugin_insn_data(insn);
		size_t size = qemu_plugin_insn_size(insn);

		if (size == sizeof(mark) && !memcmp(code, mark, size))
			qemu_plugin_register_vcpu_insn_exec_cb(insn, at_mark, CB_NO_REGS, NULL);
		look_for_calls(insn, code, size);
		qemu_plugin_register_vcpu_insn_exec_inline(insn, INLINE_ADD_U64, &insns, 1);
		if (is_locked(code, size))
			qemu_plugin_register_vcpu_insn_exec_inline(insn, INLINE_ADD_U64, &locked,
								   1);
	}
}

static void add_function(const char *text)
{
	const char *colon = strchr(text, ':');
	struct function *f = &functions[nr_functions];

	if (!colon || colon - text >= (long)sizeof(f->name) || nr_functions == FUNCTIONS_MAX)
		die("call= wants NAME:ADDRESS, and not too many");
	memcpy(f->name, text, (size_t)(colon - text));
	f->entry = strtoull(colon + 1, NULL, 16);
	nr_functions++;
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_plugin_info *info, int argc,
			       char **argv);
int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_plugin_info *info, int argc,
			char **argv)
{
	(void)info;
	for (int i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "out=", 4))
			out = fopen(argv[i] + 4, "w");
		else if (!strncmp(argv[i], "call=", 5))
			add_function(argv[i] + 5);
	}
	if (!out) {
		fputs("count_plugin: no out=FILE that can be written\n", stderr);
		return -1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	return 0;
}
