/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/* What O_DIRECT asks of memory and offsets, for a file. */
#include <fcntl.h>
#include <sys/syscall.h>

#include "lib.h"
#include "uapi.h"

/* <linux/stat.h> of 6.1, of which older headers have no names for the last two */
struct urext_statx {
	__u32 mask;
	__u32 blksize;
	__u64 attributes;
	__u32 ids[3];
	__u16 mode;
	__u16 spare;
	__u64 sizes[4];
	__u64 times[8];
	__u32 devices[4];
	__u64 mnt_id;
	__u32 dio_mem_align;
	__u32 dio_offset_align;
	__u64 rest[12];
};

_Static_assert(sizeof(struct urext_statx) == 256, "struct statx has 256 bytes");

int io_uring_ext_direct_query(int fd, struct io_uring_ext_direct *direct)
{
	struct urext_statx st;

	if (!direct)
		return -EINVAL;
	memset(direct, 0, sizeof(*direct));
	memset(&st, 0, sizeof(st));
	if (syscall(__NR_statx, fd, "", AT_EMPTY_PATH, URING_EXT_STATX_DIOALIGN, &st))
		return -errno;
	if (!(st.mask & URING_EXT_STATX_DIOALIGN)) {
		/* Before 6.1, and where a file system does not tell: what all are content with */
		direct->mem_align = base_page_size();
		direct->offset_align = base_page_size();
		direct->source = IO_URING_EXT_ASSUMED;
		return 0;
	}
	if (!st.dio_mem_align || !st.dio_offset_align)
		return -EOPNOTSUPP;
	direct->mem_align = st.dio_mem_align;
	direct->offset_align = st.dio_offset_align;
	direct->source = IO_URING_EXT_KERNEL;
	return 0;
}

int io_uring_ext_direct_fits(const struct io_uring_ext_direct *direct, const void *buf,
			     __u64 len, __u64 offset)
{
	if (!direct || !is_pow2(direct->mem_align) || !is_pow2(direct->offset_align))
		return 0;
	return !((uintptr_t)buf & (direct->mem_align - 1)) &&
	       !((offset | len) & (direct->offset_align - 1));
}
