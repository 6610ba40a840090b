/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What every guest program needs: messages, files of one value, time.
 *
 * Messages go to stderr; stdout carries results only.
 */
#ifndef TESTS_KERNEL_UTIL_H
#define TESTS_KERNEL_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define KIB		(1UL << 10)
#define MIB		(1UL << 20)
#define GIB		(1UL << 30)
#define TIB		(1UL << 40)

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define ALIGN_DOWN(x, a) ((x) & ~((__typeof__(x))(a) - 1))
#define ALIGN_UP(x, a)	ALIGN_DOWN((x) + (a) - 1, a)

static inline size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Why something failed, for the caller to print. */
struct reason {
	char text[256];
};

/* Fills @why (may be NULL) and returns -1, so that "return because(why, ...)" reads well. */
int because(struct reason *why, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Prints the message and exits with status 1: for what leaves nothing to be tested. */
void die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
/* Prints progress on stderr, a line each. */
void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

uint64_t now_ns(void);
/*
 * Lets what earlier calls left for later (RCU callbacks, unmapping of vmalloc areas, statistics)
 * happen now, and returns at a fixed distance from the timer tick: without this a count differs
 * from run to run by up to a tenth. Sleeping costs nothing under icount.
 */
void settle(void);
const char *errno_name(int err);

/* The first line of a file without its newline; 0 or -errno. */
int read_line(const char *path, char *buf, size_t size);
int write_string(const char *path, const char *text);
/* The number after "@key" at the start of a line of @path, e.g. "VmPin:"; 0 or -errno. */
int read_key(const char *path, const char *key, uint64_t *value);

/* Whether @name is one of a "comma,separated,list". */
bool name_in_list(const char *name, const char *list);
/* "4K", "512M", "1G", "1024G", "1T": bytes; returns -1 on anything else. */
int parse_size(const char *text, uint64_t *bytes);
/* The shortest exact form: "4 KiB", "1536 MiB", "64 GiB". Returns @buf. */
char *format_size(uint64_t bytes, char *buf, size_t size);

/* Writes @text as a JSON string, quotes and all. */
void json_string(FILE *out, const char *text);

#endif
