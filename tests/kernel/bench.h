/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What all benches have, and tests that measure too: options, results as JSON, a count of passed
 * and failed at the end.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct reason;

extern struct bench {
	FILE *json;			/* NULL without --json */
	int icount;			/* --icount, the shift, or -1 */
	const char *only;		/* --only */
	unsigned int passed, failed, skipped;
} bench;

/*
 * --name, or --name ARG. It sets what is not NULL; a size has to be @least at least, in
 * bytes.
 */
struct bench_option {
	const char *name, *arg, *help;
	bool *flag;
	const char **text;
	size_t *size, least;
};

/*
 * Reads --icount, --only, --json, --help and what is in @options, to the one without a name,
 * if there are any. @arguments is what may follow them, for the help; NULL: nothing. Exits with
 * 2 for what it does not know, or 1 for a value that an option does not take. Returns
 * the index of the first argument.
 */
int bench_options(int argc, char **argv, const char *arguments, const struct bench_option *options);
void bench_usage(int status) __attribute__((noreturn));

/* In a mode that measures nothing: ends with 2 where an option was given that is for measuring. */
void bench_measures_nothing(void);

/* Is it to be run, by --only? */
bool bench_wants(const char *name);

/* Time as it is told: instructions where the guest counts them. */
unsigned long long bench_value(uint64_t ns);
const char *bench_unit(void);		/* "insn" or "ns" */

/*
 * A line for a test that is done, and its count: with @why it failed if @ret is not 0. When it left
 * pins, which would be laid to those after it, that was the last.
 */
void bench_tell(const char *name, int ret, const struct reason *why);

/* The end of a JSON object that is a result. */
void bench_json_end(void);

/* More memory than a user may lock, and mappings; says so where it may not. */
void bench_unlimit(void);

/* Closes the JSON and prints the counts. Returns the exit status. */
int bench_end(void);

#endif
