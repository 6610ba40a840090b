/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "lib.h"

int io_uring_ext_major_version(void)
{
	return IO_URING_EXT_VERSION_MAJOR;
}

int io_uring_ext_minor_version(void)
{
	return IO_URING_EXT_VERSION_MINOR;
}

const char *io_uring_ext_stage_name(enum io_uring_ext_stage stage)
{
	static const char *const names[] = {
		[IO_URING_EXT_STAGE_NONE] = "none",
		[IO_URING_EXT_STAGE_ARGS] = "arguments",
		[IO_URING_EXT_STAGE_QUERY] = "query",
		[IO_URING_EXT_STAGE_MEMORY] = "memory",
		[IO_URING_EXT_STAGE_NUMA] = "numa",
		[IO_URING_EXT_STAGE_PREFAULT] = "prefault",
		[IO_URING_EXT_STAGE_ANCHOR] = "anchor",
		[IO_URING_EXT_STAGE_TABLE] = "table",
		[IO_URING_EXT_STAGE_SLOTS] = "slots",
		[IO_URING_EXT_STAGE_REGISTER] = "register",
		[IO_URING_EXT_STAGE_CLONE] = "clone",
		[IO_URING_EXT_STAGE_UPDATE] = "update",
		[IO_URING_EXT_STAGE_UNDO] = "undo",
	};

	if ((unsigned)stage >= sizeof(names) / sizeof(names[0]))
		return "unknown";
	return names[stage];
}

void urext_ok(struct io_uring_ext_error *err)
{
	if (err)
		memset(err, 0, sizeof(*err));
}

int urext_fail(struct io_uring_ext_error *err, int ret,
	       enum io_uring_ext_stage stage, unsigned entry, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return ret;
	memset(err, 0, sizeof(*err));
	err->err = ret;
	err->stage = stage;
	err->entry = entry;
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return ret;
}

const char *urext_reason(int ret)
{
	switch (ret) {
	case -EEXIST:
		return "the ring belongs to another thread (IORING_SETUP_SINGLE_ISSUER)";
	case -EACCES:
		return "the ring's restrictions forbid it";
	case -EFAULT:
		return "the memory is not mapped, not writable, or cannot be pinned";
	case -EOPNOTSUPP:
		return "memory of this kind cannot be pinned for long";
	case -ENOSPC:
		return "the table has no room";
	default:
		return strerror(-ret);
	}
}

const char *urext_size(char *buf, __u64 bytes)
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB", "PiB" };
	double val = bytes;
	unsigned u = 0;

	if (bytes == IO_URING_EXT_UNLIMITED) {
		strcpy(buf, "unlimited");
		return buf;
	}
	while (val >= 1024 && u < 5) {
		val /= 1024;
		u++;
	}
	if (val == (__u64)val)
		snprintf(buf, 32, "%llu %s", (unsigned long long)val, units[u]);
	else
		snprintf(buf, 32, "%.1f %s", val, units[u]);
	return buf;
}

__u64 urext_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

void urext_deadline(struct timespec *ts, __u64 timeout_ns)
{
	const __u64 second = 1000000000ULL, most = 1000000000ULL * second;

	clock_gettime(CLOCK_MONOTONIC, ts);
	if (timeout_ns > most)
		timeout_ns = most;
	timeout_ns += ts->tv_nsec;
	ts->tv_sec += timeout_ns / second;
	ts->tv_nsec = timeout_ns % second;
}

bool urext_all_zero(const void *p, size_t len)
{
	const unsigned char *c = p;

	while (len--)
		if (*c++)
			return false;
	return true;
}
