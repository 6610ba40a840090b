/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * Files in memory.  What a kernel that registers them by the file would refuse is refused
 * here, so that it is the same where they are registered by their mapping.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "lib.h"

#ifndef F_GET_SEALS
#define F_GET_SEALS		(1024 + 10)
#endif
#ifndef F_SEAL_WRITE
#define F_SEAL_WRITE		0x0008
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE	0x0010
#endif
/* <linux/magic.h> */
#define MAGIC_TMPFS		0x01021994
#define MAGIC_HUGETLBFS		0x958458f6

int urext_memfd_page_size(int fd, size_t *page_size)
{
	struct statfs fs;

	if (fstatfs(fd, &fs))
		return -errno;
	if ((__u32)fs.f_type == MAGIC_TMPFS)
		*page_size = base_page_size();
	else if ((__u32)fs.f_type == MAGIC_HUGETLBFS)
		*page_size = fs.f_bsize;
	else
		return -EINVAL;
	return 0;
}

static int check_open(int fd, bool readonly)
{
	int flags, seals;

	flags = fcntl(fd, F_GETFL);
	if (flags < 0)
		return -errno;
	if (flags & O_PATH)
		return -EBADF;
	if ((flags & O_ACCMODE) == O_WRONLY || ((flags & O_ACCMODE) == O_RDONLY && !readonly))
		return -EACCES;
	/* A file that cannot be sealed has none of these */
	seals = fcntl(fd, F_GET_SEALS);
	if (!readonly && seals > 0 && (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)))
		return -EPERM;
	return 0;
}

static int check_range(int fd, __u64 offset, __u64 len)
{
	struct stat st;
	size_t page_size;
	__u64 end;
	int ret;

	if (fstat(fd, &st))
		return -errno;
	ret = urext_memfd_page_size(fd, &page_size);
	if (ret)
		return ret;
	if (!S_ISREG(st.st_mode) || __builtin_add_overflow(offset, len, &end) ||
	    end > (__u64)st.st_size)
		return -EINVAL;
	return 0;
}

static int refuse(int fd, __u64 offset, __u64 len, int ret, struct io_uring_ext_error *err)
{
	return urext_fail(err, ret, IO_URING_EXT_STAGE_ARGS, 0,
			  "memfd %d, %llu bytes at %llu: %s", fd, (unsigned long long)len,
			  (unsigned long long)offset, strerror(-ret));
}

int urext_memfd_check(int fd, __u64 offset, __u64 len, bool readonly,
		      struct io_uring_ext_error *err)
{
	int ret;

	ret = check_range(fd, offset, len);
	if (!ret)
		ret = check_open(fd, readonly);
	return ret ? refuse(fd, offset, len, ret, err) : 0;
}

int urext_memfd_open(int fd, __u64 offset, __u64 len, bool readonly,
		     struct io_uring_ext_error *err)
{
	int ret, own;

	ret = urext_memfd_check(fd, offset, len, readonly, err);
	if (ret)
		return ret;
	own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return own >= 0 ? own : refuse(fd, offset, len, -errno, err);
}
