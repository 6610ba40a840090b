/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "lib.h"

/* The inode of the initial user namespace, fixed since 3.8 (PROC_USER_INIT_INO). */
#define INIT_USER_NS_INO	0xEFFFFFFDU

/*
 * The kernel asks for the capability in the initial user namespace: root in a
 * container with a namespace of its own is limited like anyone.
 */
static bool has_ipc_lock(void)
{
	struct __user_cap_header_struct hdr = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	struct stat st;

	memset(data, 0, sizeof(data));
	if (syscall(__NR_capget, &hdr, data))
		return false;
	if (!(data[CAP_TO_INDEX(CAP_IPC_LOCK)].effective & CAP_TO_MASK(CAP_IPC_LOCK)))
		return false;
	return stat("/proc/self/ns/user", &st) || st.st_ino == INIT_USER_NS_INO;
}

/* Bytes pinned by this process; 0 if /proc does not tell. */
static __u64 pinned_bytes(void)
{
	char buf[8192];
	const char *p;

	if (urext_read_file("/proc/self/status", buf, sizeof(buf)) < 0)
		return 0;
	p = strstr(buf, "\nVmPin:");
	return p ? strtoull(p + 7, NULL, 10) * 1024 : 0;
}

static __u64 limit(rlim_t r)
{
	return r == RLIM_INFINITY ? IO_URING_EXT_UNLIMITED : r;
}

/* need + pinned <= limit, where the sum may not fit in 64 bits */
static bool fits(const struct io_uring_ext_memlock *m, __u64 lim)
{
	if (lim == IO_URING_EXT_UNLIMITED)
		return true;
	return m->pinned <= lim && m->need <= lim - m->pinned;
}

static int needed(size_t len, size_t page_size, unsigned nr_rings, __u64 *need)
{
	__u64 one = len;

	if (one > ~(__u64)0 - (page_size - 1))
		return -EOVERFLOW;
	one = (one + page_size - 1) & ~(__u64)(page_size - 1);
	if (__builtin_mul_overflow(one, nr_rings, need))
		return -EOVERFLOW;
	return 0;
}

static void raise_soft(struct io_uring_ext_memlock *m)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_MEMLOCK, &rl))
		return;
	rl.rlim_cur = rl.rlim_max;
	if (setrlimit(RLIMIT_MEMLOCK, &rl))
		return;
	m->soft = m->hard;
	m->state |= IO_URING_EXT_MEMLOCK_RAISED | IO_URING_EXT_MEMLOCK_FITS;
}

int io_uring_ext_memlock_check(size_t len, size_t page_size, unsigned nr_rings,
			       unsigned flags, struct io_uring_ext_memlock *out)
{
	struct rlimit rl;
	__u64 need;
	int ret;

	if (!page_size)
		page_size = base_page_size();
	if (!out || !len || !is_pow2(page_size) || (flags & ~IO_URING_EXT_MEMLOCK_RAISE))
		return -EINVAL;
	ret = needed(len, page_size, nr_rings, &need);
	if (ret)
		return ret;

	memset(out, 0, sizeof(*out));
	out->need = need;
	out->nr_rings = nr_rings;
	out->pinned = pinned_bytes();
	if (getrlimit(RLIMIT_MEMLOCK, &rl))
		return -errno;
	out->soft = limit(rl.rlim_cur);
	out->hard = limit(rl.rlim_max);
	if (has_ipc_lock())
		out->state |= IO_URING_EXT_MEMLOCK_EXEMPT;
	if (fits(out, out->soft))
		out->state |= IO_URING_EXT_MEMLOCK_FITS;
	if (fits(out, out->hard))
		out->state |= IO_URING_EXT_MEMLOCK_FITS_HARD;

	if (out->state & (IO_URING_EXT_MEMLOCK_EXEMPT | IO_URING_EXT_MEMLOCK_FITS))
		return 0;
	if ((flags & IO_URING_EXT_MEMLOCK_RAISE) &&
	    (out->state & IO_URING_EXT_MEMLOCK_FITS_HARD))
		raise_soft(out);
	return out->state & IO_URING_EXT_MEMLOCK_FITS ? 0 : -ENOMEM;
}

static int describe_short(const struct io_uring_ext_memlock *m, const char *need,
			  const char *pinned, char *buf, size_t size)
{
	char soft[32], hard[32];
	const char *remedy;

	if (m->state & IO_URING_EXT_MEMLOCK_FITS_HARD)
		remedy = "raise the soft limit: 'ulimit -S -l unlimited', or setrlimit(2) "
			 "up to the hard limit";
	else
		remedy = "as root raise the hard limit ('memlock' in "
			 "/etc/security/limits.conf, LimitMEMLOCK= of a systemd unit, "
			 "docker --ulimit memlock=-1), or grant CAP_IPC_LOCK";
	return snprintf(buf, size,
			"%s of locked memory needed, %s in use by this process; "
			"RLIMIT_MEMLOCK is %s (soft), %s (hard): %s.",
			need, pinned, urext_size(soft, m->soft),
			urext_size(hard, m->hard), remedy);
}

int io_uring_ext_memlock_describe(const struct io_uring_ext_memlock *m,
				  char *buf, size_t size)
{
	char need[32], pinned[32], soft[32];

	if (!m || (!buf && size))
		return -EINVAL;
	urext_size(need, m->need);
	urext_size(pinned, m->pinned);
	if (m->state & IO_URING_EXT_MEMLOCK_EXEMPT)
		return snprintf(buf, size,
				"%s of locked memory needed; this process has "
				"CAP_IPC_LOCK and no limit applies.", need);
	if (m->state & IO_URING_EXT_MEMLOCK_FITS)
		return snprintf(buf, size,
				"%s of locked memory needed, %s in use by this process; "
				"that fits RLIMIT_MEMLOCK, %s%s.", need, pinned,
				urext_size(soft, m->soft),
				m->state & IO_URING_EXT_MEMLOCK_RAISED ?
				" (raised to the hard limit)" : "");
	return describe_short(m, need, pinned, buf, size);
}

void urext_explain(int ret, size_t len, size_t page_size, char *buf, size_t size)
{
	struct io_uring_ext_memlock m;

	if (ret != -ENOMEM)
		snprintf(buf, size, "%s", urext_reason(ret));
	else if (io_uring_ext_memlock_check(len, page_size, 1, 0, &m) == -ENOMEM)
		io_uring_ext_memlock_describe(&m, buf, size);
	else
		snprintf(buf, size, "no memory, or memory locked by other processes of this "
			 "user fills RLIMIT_MEMLOCK");
}

int urext_no_ring(struct io_uring_ext_error *err, int ret, enum io_uring_ext_stage stage,
		  const char *what)
{
	char text[URING_EXT_REASON_TEXT];

	if (ret == -ENOMEM)
		urext_explain(ret, base_page_size(), 0, text, sizeof(text));
	else if (ret == -EPERM || ret == -ENOSYS)
		snprintf(text, sizeof(text), "%s (see /proc/sys/kernel/io_uring_disabled, and "
			 "the seccomp filter of a container)", strerror(-ret));
	else
		snprintf(text, sizeof(text), "%s", strerror(-ret));
	return urext_fail(err, ret, stage, 0, "%s: %s", what, text);
}
