/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
#include <dirent.h>
#include <linux/capability.h>
#include <linux/kcmp.h>
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

/* Bytes pinned by this process; IO_URING_EXT_UNLIMITED if /proc does not tell. */
static __u64 pinned_bytes(void)
{
	char buf[8192];
	const char *p;

	if (urext_read_file("/proc/self/status", buf, sizeof(buf)) < 0)
		return IO_URING_EXT_UNLIMITED;
	p = strstr(buf, "\nVmPin:");
	return p ? strtoull(p + 7, NULL, 10) * 1024 : IO_URING_EXT_UNLIMITED;
}

/* ---- the rings' own memory ---- */

/* What a ring that the pool makes for itself takes. */
static __u64 bare_ring_bytes(void)
{
	return 2 * base_page_size();
}

static bool is_ring(int fd)
{
	char path[64], target[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, target, sizeof(target) - 1);
	if (n <= 0)
		return false;
	target[n] = '\0';
	return !strcmp(target, "anon_inode:[io_uring]");
}

static __u64 mask_of(const char *text, const char *name)
{
	const char *p = strstr(text, name);

	return p ? strtoull(p + strlen(name), NULL, 0) : 0;
}

static __u64 ring_bytes(int fd)
{
	__u64 sq, cq, page = base_page_size();
	char path[64], text[1024];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	if (urext_read_file(path, text, sizeof(text)) < 0)
		return bare_ring_bytes();
	sq = mask_of(text, "\nSqMask:") + 1;
	cq = mask_of(text, "\nCqMask:") + 1;
	/* Heads and flags, CQEs and the array of indexes; and SQEs */
	return ((512 + cq * 16 + sq * 4 + page - 1) & ~(page - 1)) +
	       ((sq * 64 + page - 1) & ~(page - 1));
}

/* Two fds of one ring, as the library has them, are counted once where that is told. */
static bool is_same(int a, int b)
{
	return !syscall(__NR_kcmp, getpid(), getpid(), KCMP_FILE, a, b);
}

#define MAX_RINGS	1024

/*
 * Bytes of this process's rings, and of the two that a pool makes.  Not all kernels
 * charge them; that cannot be asked, and it is little.
 */
static __u64 rings_bytes(void)
{
	int fds[MAX_RINGS], fd;
	__u64 sum = 2 * bare_ring_bytes();
	unsigned i, nr = 0;
	struct dirent *e;
	DIR *d;

	d = opendir("/proc/self/fd");
	if (!d)
		return sum;
	while (nr < MAX_RINGS && (e = readdir(d))) {
		fd = atoi(e->d_name);
		if (e->d_name[0] == '.' || !is_ring(fd))
			continue;
		for (i = 0; i < nr && !is_same(fds[i], fd); i++)
			;
		if (i < nr)
			continue;
		fds[nr++] = fd;
		sum += ring_bytes(fd);
	}
	closedir(d);
	return sum;
}

static __u64 limit(rlim_t r)
{
	return r == RLIM_INFINITY ? IO_URING_EXT_UNLIMITED : r;
}

/* need + pinned + rings <= limit, where the sum may not fit in 64 bits */
static bool fits(const struct io_uring_ext_memlock *m, __u64 lim)
{
	__u64 pinned = m->pinned == IO_URING_EXT_UNLIMITED ? 0 : m->pinned;

	if (lim == IO_URING_EXT_UNLIMITED)
		return true;
	return pinned <= lim && m->rings <= lim - pinned &&
	       m->need <= lim - pinned - m->rings;
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

	if (out)
		memset(out, 0, sizeof(*out));
	if (!page_size)
		page_size = base_page_size();
	if (!out || !len || !is_pow2(page_size) || (flags & ~IO_URING_EXT_MEMLOCK_RAISE))
		return -EINVAL;
	ret = needed(len, page_size, nr_rings, &need);
	if (ret)
		return ret;

	out->need = need;
	out->nr_rings = nr_rings;
	out->pinned = pinned_bytes();
	out->rings = rings_bytes();
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

static const char *const raise_hard =
	"as root raise the hard limit ('memlock' in /etc/security/limits.conf, LimitMEMLOCK= of "
	"a systemd unit, docker --ulimit memlock=-1), or grant CAP_IPC_LOCK";

/* For a shell: in KiB, and never above the hard limit. */
static void say_raise_soft(char *buf, size_t size, __u64 hard)
{
	char kib[32] = "unlimited";

	if (hard != IO_URING_EXT_UNLIMITED)
		snprintf(kib, sizeof(kib), "%llu", (unsigned long long)hard / 1024);
	snprintf(buf, size, "raise the soft limit: 'ulimit -S -l %s', or setrlimit(2) up to the "
		 "hard limit", kib);
}

static int describe_short(const struct io_uring_ext_memlock *m, const char *need,
			  const char *pinned, char *buf, size_t size)
{
	char soft[32], hard[32], rings[32], remedy[128];
	bool raise = m->state & IO_URING_EXT_MEMLOCK_FITS_HARD;

	say_raise_soft(remedy, sizeof(remedy), m->hard);
	return snprintf(buf, size,
			"%s of locked memory needed, %s in use by this process, up to %s by "
			"rings; RLIMIT_MEMLOCK is %s (soft), %s (hard): %s.",
			need, pinned, urext_size(rings, m->rings), urext_size(soft, m->soft),
			urext_size(hard, m->hard), raise ? remedy : raise_hard);
}

int io_uring_ext_memlock_describe(const struct io_uring_ext_memlock *m,
				  char *buf, size_t size)
{
	char need[32], pinned[32], soft[32];

	if (buf && size)
		buf[0] = '\0';
	if (!m || (!buf && size))
		return -EINVAL;
	urext_size(need, m->need);
	urext_size(pinned, m->pinned);
	if (m->pinned == IO_URING_EXT_UNLIMITED)
		strcpy(pinned, "an unknown amount");
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
	char soft[32];

	if (ret != -ENOMEM) {
		snprintf(buf, size, "%s", urext_reason(ret));
		return;
	}
	if (io_uring_ext_memlock_check(len, page_size, 1, 0, &m) == -ENOMEM)
		io_uring_ext_memlock_describe(&m, buf, size);
	else if ((m.state & IO_URING_EXT_MEMLOCK_EXEMPT) || m.soft == IO_URING_EXT_UNLIMITED)
		snprintf(buf, size, "no memory");
	else
		snprintf(buf, size, "no memory, or RLIMIT_MEMLOCK, %s, is used up by what cannot "
			 "be seen from here, as other processes of this user: %s",
			 urext_size(soft, m.soft), raise_hard);
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
