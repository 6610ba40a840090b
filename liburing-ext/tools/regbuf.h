/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
#ifndef URING_REGBUF_H
#define URING_REGBUF_H

#include <stdbool.h>
#include <stdio.h>

#include "liburing-ext.h"

#define CELLS	64

/* out.c: JSON, one value after the other, or nothing when it is off */

struct json {
	FILE *f;		/* NULL: off */
	bool comma;
};

void json_open(struct json *j, const char *key, char bracket);
void json_close(struct json *j, char bracket);
void json_str(struct json *j, const char *key, const char *val);
void json_num(struct json *j, const char *key, __u64 val);
void json_bool(struct json *j, const char *key, bool val);
/* null where the value is not known */
void json_num_or_null(struct json *j, const char *key, __u64 val, bool known);

/* "12 GiB"; the text stays good for a few calls more */
const char *size_str(__u64 bytes);
/* "64G" to bytes; false if it is no size */
bool parse_size(const char *s, size_t *bytes);
/* A number in decimal, and nothing else */
bool parse_num(const char *s, unsigned min, unsigned max, unsigned *num);
bool read_line(const char *path, char *buf, size_t size);
const char *mem_str(enum io_uring_ext_mem mem);

/* Says that an argument is one too many */
bool no_more(int argc, char **argv);

void print_layout(const struct io_uring_ext_layout *l, const unsigned char *map);
void json_layout(struct json *j, const struct io_uring_ext_layout *l,
		 const unsigned char *map);

/* The commands; they return the exit status. */
int cmd_info(int argc, char **argv);
int cmd_probe(int argc, char **argv);
int cmd_show(int argc, char **argv);

#endif
