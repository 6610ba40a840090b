/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/* uring-regbuf info: what this machine allows, and what to do about the rest. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "regbuf.h"

#define SAMPLE	((size_t)(sizeof(size_t) > 4 ? 64ULL << 30 : 1ULL << 30))

static const struct {
	__u32 flag;
	const char *key;
	const char *text;
} features[] = {
	{ IO_URING_EXT_CAP_UPDATE, "update", "change entries of a table (5.13)" },
	{ IO_URING_EXT_CAP_TAGS, "tags", "signal when a buffer is free (5.13)" },
	{ IO_URING_EXT_CAP_SPARSE, "sparse", "make a table empty (5.19)" },
	{ IO_URING_EXT_CAP_SEND_ZC, "send_zc", "send without copying (6.0)" },
	{ IO_URING_EXT_CAP_CLONE, "clone", "share a table between rings (6.12)" },
	{ IO_URING_EXT_CAP_CLONE_RANGE, "clone_range", "share parts of one (6.13)" },
	{ IO_URING_EXT_CAP_VEC_FIXED, "vec_fixed", "vectors in a buffer (6.15)" },
	{ IO_URING_EXT_CAP_QUERY, "query", "ask for limits" },
	{ IO_URING_EXT_CAP_RUNS, "runs", "buffers kept as runs" },
	{ IO_URING_EXT_CAP_READONLY, "readonly", "read-only buffers" },
	{ IO_URING_EXT_CAP_LAYOUT, "layout", "ask for a buffer's layout" },
	{ IO_URING_EXT_CAP_MSG, "msg", "wake rings without a ring (6.13)" },
	{ IO_URING_EXT_CAP_MEMFD, "memfd", "buffers of a memfd, not mapped" },
	{ IO_URING_EXT_CAP_REQUEST, "request", "registering as a request" },
};

static const char *how(enum io_uring_ext_source s)
{
	return s == IO_URING_EXT_KERNEL ? "told by the kernel" :
	       s == IO_URING_EXT_TRIAL ? "found by trial" : "assumed, could not be tried";
}

static void limits(struct json *j, const struct io_uring_ext_caps *caps)
{
	unsigned i;

	json_num(j, "max_buffer_bytes", caps->max_buffer);
	json_str(j, "max_buffer_source", how(caps->max_buffer_source));
	json_num(j, "max_buffers", caps->max_buffers);
	json_open(j, "features", '{');
	if (!j->f) {
		printf("Registered buffers\n");
		printf("  largest   %s each (%s)\n", size_str(caps->max_buffer),
		       how(caps->max_buffer_source));
		printf("  most      %u in one ring (%s)\n", caps->max_buffers,
		       how(caps->max_buffers_source));
	}
	for (i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
		bool have = caps->flags & features[i].flag;

		json_bool(j, features[i].key, have);
		if (!j->f)
			printf("  %-9s %s\n", have ? "yes" : "no", features[i].text);
	}
	json_close(j, '}');
}

static void memlock(struct json *j)
{
	struct io_uring_ext_memlock m;
	char text[512];

	if (io_uring_ext_memlock_check(SAMPLE, 0, 1, 0, &m) == -EINVAL)
		return;
	io_uring_ext_memlock_describe(&m, text, sizeof(text));
	json_open(j, "memlock", '{');
	json_num_or_null(j, "soft_bytes", m.soft, m.soft != IO_URING_EXT_UNLIMITED);
	json_num_or_null(j, "hard_bytes", m.hard, m.hard != IO_URING_EXT_UNLIMITED);
	json_num_or_null(j, "pinned_bytes", m.pinned, m.pinned != IO_URING_EXT_UNLIMITED);
	json_bool(j, "exempt", m.state & IO_URING_EXT_MEMLOCK_EXEMPT);
	json_str(j, "example", text);
	json_close(j, '}');
	if (j->f)
		return;
	printf("\nLocked memory (RLIMIT_MEMLOCK)\n");
	printf("  limit     %s soft, %s hard%s\n", size_str(m.soft), size_str(m.hard),
	       m.state & IO_URING_EXT_MEMLOCK_EXEMPT ? "; this process is exempt" : "");
	printf("  in use    %s by this process\n", m.pinned == IO_URING_EXT_UNLIMITED ?
	       "unknown (no /proc)" : size_str(m.pinned));
	printf("  example   a pool of %s: %s\n", size_str(SAMPLE), text);
	if (m.state & IO_URING_EXT_MEMLOCK_EXEMPT)
		printf("            Started without CAP_IPC_LOCK it may register %s.\n",
		       size_str(m.soft));
}

static unsigned long hugetlb(struct json *j, size_t kb)
{
	static const char *const files[] = { "nr", "free", "resv", "surplus" };
	unsigned long val[4] = { 0 };
	char path[128], line[64];
	unsigned i;

	for (i = 0; i < 4; i++) {
		snprintf(path, sizeof(path),
			 "/sys/kernel/mm/hugepages/hugepages-%zukB/%s_hugepages", kb, files[i]);
		if (!read_line(path, line, sizeof(line)))
			return 0;
		val[i] = strtoul(line, NULL, 10);
	}
	json_open(j, NULL, '{');
	json_num(j, "page_bytes", (__u64)kb << 10);
	json_num(j, "total", val[0]);
	json_num(j, "free", val[1]);
	json_num(j, "reserved", val[2]);
	json_num(j, "surplus", val[3]);
	json_close(j, '}');
	if (!j->f)
		printf("  %-9s %lu reserved by the system, %lu free, %lu of them promised\n",
		       size_str((__u64)kb << 10), val[0], val[1], val[2]);
	return val[1] > val[2] ? val[1] - val[2] : 0;
}

static void thp(struct json *j)
{
	static const char *const files[] = { "enabled", "shmem_enabled", "defrag" };
	char path[128], line[128];
	unsigned i;

	json_open(j, "thp", '{');
	for (i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "/sys/kernel/mm/transparent_hugepage/%s", files[i]);
		if (!read_line(path, line, sizeof(line)))
			continue;
		json_str(j, files[i], line);
		if (!j->f)
			printf("  THP       %s: %s\n", files[i], line);
	}
	json_close(j, '}');
}

static void mthp(struct json *j)
{
	char path[128], line[128];
	size_t kb;

	json_open(j, "mthp_enabled_bytes", '[');
	for (kb = 8; kb < 2048; kb *= 2) {
		snprintf(path, sizeof(path),
			 "/sys/kernel/mm/transparent_hugepage/hugepages-%zukB/enabled", kb);
		if (!read_line(path, line, sizeof(line)) || strstr(line, "[never]"))
			continue;
		json_num(j, NULL, (__u64)kb << 10);
		if (!j->f)
			printf("  mTHP      %s: %s\n", size_str((__u64)kb << 10), line);
	}
	json_close(j, ']');
}

static void advice(struct json *j, const struct io_uring_ext_caps *caps, unsigned long huge)
{
	struct io_uring_ext_memlock m;
	const char *text[4];
	unsigned n = 0, i;

	if (io_uring_ext_memlock_check(SAMPLE, 0, 1, 0, &m) == -ENOMEM)
		text[n++] = "Raise RLIMIT_MEMLOCK for the user or service that registers "
			    "large buffers (see above), or registration fails with ENOMEM.";
	if (!huge)
		text[n++] = "No free hugetlb pages: large pools get transparent huge pages, if "
			    "memory is not fragmented. 'echo N > /sys/kernel/mm/hugepages/"
			    "hugepages-2048kB/nr_hugepages' (or hugepagesz=1G hugepages=N at "
			    "boot) reserves pages that make registering cheap for certain.";
	if (!(caps->flags & IO_URING_EXT_CAP_CLONE_RANGE))
		text[n++] = "No clones of ranges: each ring of a pool pins and charges for "
			    "itself.";
	if (caps->max_buffer <= 1UL << 30)
		text[n++] = "One buffer holds 1 GiB at most: a pool splits larger regions, and "
			    "requests that straddle two buffers are not fixed.";
	json_open(j, "advice", '[');
	if (!j->f && n)
		printf("\nAdvice\n");
	for (i = 0; i < n; i++) {
		json_str(j, NULL, text[i]);
		if (!j->f)
			printf("  - %s\n", text[i]);
	}
	json_close(j, ']');
}

int cmd_info(int argc, char **argv)
{
	static const struct option options[] = { { "json", no_argument, NULL, 'j' }, { 0 } };
	struct io_uring_ext_caps caps;
	struct json j = { 0 };
	struct io_uring_ext_pool *pool;
	struct io_uring_ext_error err;
	unsigned long huge;
	struct utsname u;
	int opt, ret;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt != 'j')
			return 2;
		j.f = stdout;
	}
	if (!no_more(argc, argv))
		return 2;
	uname(&u);
	ret = io_uring_ext_query(NULL, &caps);
	json_open(&j, NULL, '{');
	json_str(&j, "kernel", u.release);
	json_bool(&j, "io_uring", !ret);
	if (!j.f)
		printf("Linux %s, liburing-ext %d.%d\n\n", u.release,
		       io_uring_ext_major_version(), io_uring_ext_minor_version());
	if (ret) {
		/* The pool's words say why */
		if (!io_uring_ext_pool_create(&pool, NULL, &err))
			io_uring_ext_pool_destroy(pool);
		json_str(&j, "error", err.text);
		json_close(&j, '}');
		if (j.f)
			putchar('\n');
		fprintf(j.f ? stderr : stdout, "%s\n", err.text);
		return 1;
	}
	limits(&j, &caps);
	memlock(&j);
	if (!j.f)
		printf("\nHuge pages\n");
	json_open(&j, "hugetlb", '[');
	huge = hugetlb(&j, 1UL << 20);
	huge += hugetlb(&j, 2UL << 10);
	json_close(&j, ']');
	thp(&j);
	mthp(&j);
	advice(&j, &caps, huge);
	json_close(&j, '}');
	if (j.f)
		putchar('\n');
	return 0;
}
