// SPDX-License-Identifier: GPL-2.0
/*
 * reg_order: calls of io_uring_register(2) on one ring take effect one after the other.
 *
 * A call that has to wait for memory makes those that come after it wait, whatever they are, and
 * what they find is what the first one has left. That is what stock Linux does, by holding its
 * lock of the ring. The table says it for each pair of calls: every line was made by stock, and
 * has to be the same on any other kernel. See order.h for what it says.
 *
 * Requests do not have to wait. They find a table before or after a call, never in between.
 *
 * Prints what happened, a line for each scenario; "N passed, N failed, N skipped" is the last.
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "order.h"

#ifndef IORING_SETUP_SINGLE_ISSUER
#define IORING_SETUP_SINGLE_ISSUER	(1U << 12)
#define IORING_SETUP_DEFER_TASKRUN	(1U << 13)
#endif

#define ISSUER	(IORING_SETUP_R_DISABLED | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN)

#define UPDATE(at, what)	{ .op = ORDER_UPDATE, .slot = at, .buffers = what }
#define REGISTER(what)		{ .op = ORDER_REGISTER, .buffers = what }
#define CALL(what)		{ .op = ORDER_ ## what }

static const struct order_scenario scenarios[] = {
	/* Two for one slot: the later call wins. */
	{ .name = "UPDATE, UPDATE to nothing", .table = "----",
	  .first = UPDATE(0, "H"), .second = { UPDATE(0, "-") },
	  .want = "first 1, second waits 1: "
		  "ring ----, other ----, pinned 0, charged 0, tags \"H\" \"\"" },
	{ .name = "UPDATE, UPDATE with another buffer", .table = "----",
	  .first = UPDATE(0, "H"), .second = { UPDATE(0, "A") },
	  .want = "first 1, second waits 1: "
		  "ring A---, other ----, pinned 4, charged 4, tags \"H\" \"A\"" },
	{ .name = "UPDATE of a buffer, UPDATE with another", .table = "O---",
	  .first = UPDATE(0, "H"), .second = { UPDATE(0, "A") },
	  .want = "first 1, second waits 1: "
		  "ring A---, other ----, pinned 4, charged 4, tags \"OH\" \"A\"" },
	{ .name = "UPDATE that fails, UPDATE", .table = "O---",
	  .first = UPDATE(0, "H"), .refuse = true, .second = { UPDATE(0, "A") },
	  .want = "first EFAULT, second waits 1: "
		  "ring A---, other ----, pinned 4, charged 4, tags \"O\" \"A\"" },
	{ .name = "UPDATE, UPDATE of another slot", .table = "----",
	  .first = UPDATE(0, "H"), .second = { UPDATE(1, "A") },
	  .want = "first 1, second waits 1: "
		  "ring HA--, other ----, pinned 8, charged 8, tags \"\" \"AH\"" },
	{ .name = "UPDATE whose iovec has to come, UPDATE", .table = "----",
	  .first = { .op = ORDER_UPDATE_ARG, .buffers = "O" }, .second = { UPDATE(0, "A") },
	  .want = "first 1, second waits 1: "
		  "ring A---, other ----, pinned 4, charged 4, tags \"O\" \"A\"" },
	/* A table that comes */
	{ .name = "REGISTER, UNREGISTER",
	  .first = REGISTER("H"), .second = { CALL(UNREGISTER) },
	  .want = "first 0, second waits 0: "
		  "ring ----, other ----, pinned 0, charged 0, tags \"H\" \"\"" },
	{ .name = "REGISTER, REGISTER",
	  .first = REGISTER("H"), .second = { REGISTER("A") },
	  .want = "first 0, second waits EBUSY: "
		  "ring H---, other ----, pinned 4, charged 4, tags \"\" \"H\"" },
	{ .name = "REGISTER that fails, REGISTER",
	  .first = REGISTER("OH"), .refuse = true, .second = { REGISTER("A") },
	  .want = "first EFAULT, second waits 0: "
		  "ring A---, other ----, pinned 4, charged 4, tags \"\" \"A\"" },
	{ .name = "REGISTER, UPDATE",
	  .first = REGISTER("HO"), .second = { UPDATE(0, "A") },
	  .want = "first 0, second waits 1: "
		  "ring AO--, other ----, pinned 8, charged 8, tags \"H\" \"AO\"" },
	{ .name = "REGISTER, CLONE from another ring", .other = "AB",
	  .first = REGISTER("H"), .second = { CALL(CLONE_IN) },
	  .want = "first 0, second waits EBUSY: "
		  "ring H---, other AB--, pinned 12, charged 12, tags \"\" \"H\"" },
	{ .name = "REGISTER, CLONE to another ring",
	  .first = REGISTER("H"), .second = { CALL(CLONE_OUT) },
	  .want = "first 0, second waits 0: "
		  "ring H---, other H---, pinned 4, charged 4, tags \"\" \"H\"" },
	/* A table that goes, or becomes another one */
	{ .name = "UPDATE, UNREGISTER", .table = "O---",
	  .first = UPDATE(0, "H"), .second = { CALL(UNREGISTER) },
	  .want = "first 1, second waits 0: "
		  "ring ----, other ----, pinned 0, charged 0, tags \"OH\" \"\"" },
	{ .name = "UPDATE, REGISTER", .table = "----",
	  .first = UPDATE(0, "H"), .second = { REGISTER("A") },
	  .want = "first 1, second waits EBUSY: "
		  "ring H---, other ----, pinned 4, charged 4, tags \"\" \"H\"" },
	{ .name = "UPDATE, UNREGISTER, REGISTER", .table = "----",
	  .first = UPDATE(0, "H"), .second = { CALL(UNREGISTER), REGISTER("----") },
	  .want = "first 1, second waits 0 0: "
		  "ring ----, other ----, pinned 0, charged 0, tags \"H\" \"\"" },
	{ .name = "UPDATE, UNREGISTER, REGISTER of less", .table = "----",
	  .first = UPDATE(3, "H"), .second = { CALL(UNREGISTER), REGISTER("--") },
	  .want = "first 1, second waits 0 0: "
		  "ring ----, other ----, pinned 0, charged 0, tags \"H\" \"\"" },
	{ .name = "UPDATE, CLONE in place of the table", .table = "O---", .other = "-B",
	  .first = UPDATE(0, "H"), .second = { CALL(REPLACE_IN) },
	  .want = "first 1, second waits 0: "
		  "ring -B--, other -B--, pinned 4, charged 4, tags \"OH\" \"\"" },
	{ .name = "UPDATE, CLONE of the table to its end", .table = "O-",
	  .first = UPDATE(1, "H"), .second = { CALL(GROW) },
	  .want = "first 1, second waits 0: "
		  "ring OHOH, other ----, pinned 8, charged 8, tags \"\" \"HO\"" },
	{ .name = "UPDATE, CLONE to another ring", .table = "O---",
	  .first = UPDATE(0, "H"), .second = { CALL(CLONE_OUT) },
	  .want = "first 1, second waits 0: "
		  "ring H---, other H---, pinned 4, charged 4, tags \"O\" \"H\"" },
	{ .name = "UPDATE, close of the ring", .table = "O---",
	  .first = UPDATE(0, "H"), .second = { CALL(CLOSE) },
	  .want = "first 1, second at once 0: closed" },
	/* Who may do what */
	{ .name = "UPDATE, ENABLE_RINGS by the submitter", .flags = ISSUER, .table = "O---",
	  .first = UPDATE(0, "H"), .second = { CALL(ENABLE) }, .then = UPDATE(0, "A"),
	  .want = "first 1, second waits 0, then EEXIST: "
		  "ring H---, other ----, pinned 4, charged 4, tags \"O\" \"H\"" },
	{ .name = "REGISTER, ENABLE_RINGS by the submitter", .flags = ISSUER,
	  .first = REGISTER("H"), .second = { CALL(ENABLE) }, .then = CALL(UNREGISTER),
	  .want = "first 0, second waits 0, then EEXIST: "
		  "ring H---, other ----, pinned 4, charged 4, tags \"\" \"H\"" },
	{ .name = "UPDATE, RESTRICTIONS", .flags = IORING_SETUP_R_DISABLED, .table = "O---",
	  .first = UPDATE(0, "H"), .second = { CALL(RESTRICT), CALL(ENABLE) },
	  .then = UPDATE(0, "A"),
	  .want = "first 1, second waits 0 0, then EACCES: "
		  "ring H---, other ----, pinned 4, charged 4, tags \"O\" \"\"" },
	/* Two entries are one change, unless the second one fails. */
	{ .name = "UPDATE of two, CLONE to another ring", .table = "OP--",
	  .first = UPDATE(0, "AH"), .second = { CALL(CLONE_OUT) },
	  .want = "first 2, second waits 0: "
		  "ring AH--, other AH--, pinned 8, charged 8, tags \"OP\" \"AH\"" },
	{ .name = "UPDATE of two, requests", .table = "OP--", .free = true,
	  .first = UPDATE(0, "AH"), .second = { CALL(REQUESTS) },
	  .want = "first 2, second whole: "
		  "ring AH--, other ----, pinned 8, charged 8, tags \"OP\" \"AH\"" },
	{ .name = "UPDATE of two to nothing and a buffer, requests", .table = "OP--", .free = true,
	  .first = UPDATE(0, "-H"), .second = { CALL(REQUESTS) },
	  .want = "first 2, second whole: "
		  "ring -H--, other ----, pinned 4, charged 4, tags \"OP\" \"H\"" },
	{ .name = "UPDATE of two, the second fails, CLONE", .table = "OP--",
	  .first = UPDATE(0, "AH"), .refuse = true, .second = { CALL(CLONE_OUT) },
	  .want = "first 1, second waits 0: "
		  "ring AP--, other AP--, pinned 8, charged 8, tags \"O\" \"AP\"" },
	{ .name = "UPDATE of two, the second fails", .table = "OP--",
	  .second = { UPDATE(0, "Ax") },
	  .want = "second 1: "
		  "ring AP--, other ----, pinned 8, charged 8, tags \"O\" \"AP\"" },
	{ .name = "UPDATE of two, room for one more than there are", .table = "OP--",
	  .limit = 3 * ORDER_PAGES, .second = { UPDATE(0, "AB") },
	  .want = "second 2: "
		  "ring AB--, other ----, pinned 8, charged 8, tags \"OP\" \"AB\"" },
};

unsigned int order_rounds = 50;

static unsigned int passed, failed, skipped;

static void judge(const char *name, int ret, const char *text, const char *want,
		  const struct reason *why)
{
	if (ret > 0) {
		printf("SKIP %s: %s\n", name, why->text);
		skipped++;
		return;
	}
	if (!ret && !strcmp(text, want)) {
		printf("ok   %s: %s\n", name, text);
		passed++;
		return;
	}
	printf("FAIL %s: %s\n", name, text);
	if (strcmp(text, want))
		printf("     %*s  %s\n", (int)strlen(name), "", want);
	if (ret)
		printf("     afterwards: %s\n", why->text);
	failed++;
}

static void usage(int status)
{
	fprintf(status ? stderr : stdout,
		"usage: reg_order --expect stock|patched [--rounds N] [--only TEXT]\n"
		"  --expect   whether the kernel has what stock has not, which is a case too\n"
		"  --rounds   of the cases that race, default %u\n"
		"  --only     those whose name has this in it\n", order_rounds);
	exit(status);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "expect", required_argument, NULL, 'e' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "only", required_argument, NULL, 'o' },
		{ "help", no_argument, NULL, 'h' },
		{ }
	};
	const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	const char *expect = NULL, *only = "";
	struct reason why;
	char text[512];
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (option) {
		case 'e':
			expect = optarg;
			break;
		case 'o':
			only = optarg;
			break;
		case 'r':
			order_rounds = (unsigned int)atoi(optarg);
			break;
		default:
			usage(option == 'h' ? 0 : 2);
		}
	}
	if (optind != argc || !expect || !order_rounds ||
	    (strcmp(expect, "stock") && strcmp(expect, "patched")))
		usage(2);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (setrlimit(RLIMIT_MEMLOCK, &unlimited))
		die("cannot raise RLIMIT_MEMLOCK: %s", strerror(errno));

	for (size_t i = 0; i < ARRAY_SIZE(scenarios); i++) {
		int ret;

		if (!strstr(scenarios[i].name, only))
			continue;
		ret = order_play(&scenarios[i], text, sizeof(text), &why);
		judge(scenarios[i].name, ret, text, scenarios[i].want, &why);
	}
	for (const struct order_case *at = order_cases; at->name; at++) {
		int ret;

		if (!strstr(at->name, only))
			continue;
		text[0] = '\0';
		if (at->patched && !strcmp(expect, "stock"))
			ret = -because(&why, "not what stock does");
		else
			ret = at->run(text, sizeof(text), &why);
		judge(at->name, ret, text, at->want, &why);
	}
	printf("%u passed, %u failed, %u skipped\n", passed, failed, skipped);
	return failed || !passed ? 1 : 0;
}
