/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/* Output for people and for programs. */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "regbuf.h"

static void json_key(struct json *j, const char *key)
{
	if (j->comma)
		fputc(',', j->f);
	j->comma = true;
	if (key)
		fprintf(j->f, "\"%s\":", key);
}

void json_open(struct json *j, const char *key, char bracket)
{
	if (!j->f)
		return;
	json_key(j, key);
	fputc(bracket, j->f);
	j->comma = false;
}

void json_close(struct json *j, char bracket)
{
	if (!j->f)
		return;
	fputc(bracket, j->f);
	j->comma = true;
}

void json_str(struct json *j, const char *key, const char *val)
{
	if (!j->f)
		return;
	json_key(j, key);
	fputc('"', j->f);
	for (; *val; val++) {
		if (*val == '"' || *val == '\\')
			fprintf(j->f, "\\%c", *val);
		else if ((unsigned char)*val < ' ')
			fprintf(j->f, "\\u%04x", *val);
		else
			fputc(*val, j->f);
	}
	fputc('"', j->f);
}

void json_num(struct json *j, const char *key, __u64 val)
{
	if (!j->f)
		return;
	json_key(j, key);
	fprintf(j->f, "%llu", (unsigned long long)val);
}

void json_num_or_null(struct json *j, const char *key, __u64 val, bool known)
{
	if (known) {
		json_num(j, key, val);
	} else if (j->f) {
		json_key(j, key);
		fputs("null", j->f);
	}
}

void json_bool(struct json *j, const char *key, bool val)
{
	if (!j->f)
		return;
	json_key(j, key);
	fputs(val ? "true" : "false", j->f);
}

const char *size_str(__u64 bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
	static char bufs[8][32];
	static unsigned next;
	char *buf = bufs[next++ % 8];
	double val = bytes;
	unsigned u = 0;

	if (bytes == IO_URING_EXT_UNLIMITED)
		return "unlimited";
	while (val >= 1024 && u < 5) {
		val /= 1024;
		u++;
	}
	snprintf(buf, 32, val == (__u64)val ? "%.0f %s" : "%.2f %s", val, units[u]);
	return buf;
}

bool parse_size(const char *s, size_t *bytes)
{
	static const char units[] = "KMGTP";
	const char *u;
	unsigned shift = 0;
	char *end;
	__u64 val;

	if (*s < '0' || *s > '9')
		return false;
	errno = 0;
	val = strtoull(s, &end, 10);
	if (errno)
		return false;
	if (*end) {
		/* A blank would be the end of the string, which strchr() finds too */
		u = isalpha((unsigned char)*end) ? strchr(units, *end & ~0x20) : NULL;
		if (!u || (end[1] && strcmp(end + 1, "i") && strcmp(end + 1, "iB") &&
			       strcmp(end + 1, "B")))
			return false;
		shift = 10 * (u - units + 1);
	}
	*bytes = val << shift;
	return val && *bytes >> shift == val;
}

bool parse_num(const char *s, unsigned min, unsigned max, unsigned *num)
{
	unsigned long long val;
	char *end;

	if (*s < '0' || *s > '9')
		return false;
	errno = 0;
	val = strtoull(s, &end, 10);
	if (errno || *end || val < min || val > max)
		return false;
	*num = val;
	return true;
}

bool no_more(int argc, char **argv)
{
	if (optind >= argc)
		return true;
	fprintf(stderr, "uring-regbuf: '%s' is one argument too many\n", argv[optind]);
	return false;
}

bool read_line(const char *path, char *buf, size_t size)
{
	FILE *f = fopen(path, "r");
	bool ok;

	if (!f)
		return false;
	ok = fgets(buf, size, f);
	fclose(f);
	if (ok)
		buf[strcspn(buf, "\n")] = '\0';
	return ok;
}

const char *mem_str(enum io_uring_ext_mem mem)
{
	switch (mem) {
	case IO_URING_EXT_MEM_HUGE_1G:
		return "huge1g";
	case IO_URING_EXT_MEM_HUGE_2M:
		return "huge2m";
	case IO_URING_EXT_MEM_THP:
		return "thp";
	case IO_URING_EXT_MEM_BASE:
		return "4k";
	default:
		return "auto";
	}
}

static char cell(unsigned char shift)
{
	if (!shift)
		return '.';
	if (shift < 16)
		return '-';
	if (shift < 21)
		return '=';
	return shift < 30 ? '#' : '@';
}

static const char *source_str(const struct io_uring_ext_layout *l)
{
	switch (l->source) {
	case IO_URING_EXT_LAYOUT_KERNEL:
		return "told by the kernel";
	case IO_URING_EXT_LAYOUT_PAGEMAP:
		return "estimate from page frames";
	default:
		return "estimate from page sizes";
	}
}

void print_layout(const struct io_uring_ext_layout *l, const unsigned char *map)
{
	unsigned i;

	printf("  layout    %llu runs, smallest %s, largest %s, %s (%s)\n",
	       (unsigned long long)l->runs, size_str(l->smallest), size_str(l->largest),
	       l->flags & IO_URING_EXT_LAYOUT_UNIFORM ? "uniform" : "mixed", source_str(l));
	if (l->present < l->len)
		printf("  present   %s of %s\n", size_str(l->present), size_str(l->len));
	if (l->metadata != IO_URING_EXT_UNLIMITED)
		printf("  kernel    %s of tables, %s charged\n", size_str(l->metadata),
		       size_str(l->charged));
	if (!map)
		return;
	printf("  picture   [");
	for (i = 0; i < CELLS; i++)
		putchar(cell(map[i]));
	printf("]\n            smallest run in each %s: @ 1G  # 2M  = 64K  - less  . absent\n",
	       size_str(l->len / CELLS));
}

void json_layout(struct json *j, const struct io_uring_ext_layout *l,
		 const unsigned char *map)
{
	unsigned i;

	json_open(j, "layout", '{');
	json_bool(j, "estimate", l->flags & IO_URING_EXT_LAYOUT_ESTIMATE);
	json_str(j, "source", source_str(l));
	json_num(j, "bytes", l->len);
	json_num(j, "present_bytes", l->present);
	json_num(j, "runs", l->runs);
	json_num(j, "smallest_bytes", l->smallest);
	json_num(j, "largest_bytes", l->largest);
	json_bool(j, "uniform", l->flags & IO_URING_EXT_LAYOUT_UNIFORM);
	json_num_or_null(j, "metadata_bytes", l->metadata,
			 l->metadata != IO_URING_EXT_UNLIMITED);
	json_num_or_null(j, "charged_bytes", l->charged,
			 l->charged != IO_URING_EXT_UNLIMITED);
	if (map) {
		json_open(j, "smallest_run_log2", '[');
		for (i = 0; i < CELLS; i++)
			json_num(j, NULL, map[i]);
		json_close(j, ']');
	}
	json_close(j, '}');
}
