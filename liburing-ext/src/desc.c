/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * Descriptors: what an entry of a table can be that an iovec cannot say, for programs that
 * have tables of their own.  They are the kernel's, with its numbers, so that a request can
 * hand them over as they are; the numbers are used only where the caller's
 * struct io_uring_ext_caps says that this kernel has what they stand for.
 */
#include "lib.h"
#include "uapi.h"

_Static_assert(sizeof(struct io_uring_ext_desc) == sizeof(struct urext_desc),
	       "a descriptor is the kernel's");

static int refuse(struct io_uring_ext_error *err, const char *what)
{
	return urext_fail(err, -EINVAL, IO_URING_EXT_STAGE_ARGS, 0, "%s", what);
}

/* What all of them are checked for. */
static int make(struct io_uring_ext_desc *desc, const struct io_uring_ext_caps *caps,
		const struct iovec *iov, struct urext_kind *kind, bool readonly,
		struct io_uring_ext_error *err)
{
	if (readonly) {
		if (!(caps->flags & IO_URING_EXT_CAP_READONLY))
			return urext_fail(err, -EOPNOTSUPP, IO_URING_EXT_STAGE_ARGS, 0,
					  "this kernel has no read-only registered buffers");
		kind->flags = URING_EXT_DESC_READ_ONLY;
	}
	urext_make_descs((struct urext_desc *)desc, iov, 1, kind);
	urext_ok(err);
	return 0;
}

static bool wraps(const struct iovec *iov)
{
	return (uintptr_t)iov->iov_base + iov->iov_len < iov->iov_len;
}

int io_uring_ext_desc_memory(struct io_uring_ext_desc *desc,
			     const struct io_uring_ext_caps *caps, void *base, size_t len,
			     __u32 flags, struct io_uring_ext_error *err)
{
	struct iovec iov = { base, len };
	struct urext_kind kind = { .memfd = -1 };

	if (desc)
		memset(desc, 0, sizeof(*desc));
	if (!desc || !caps || !base || !len || wraps(&iov) ||
	    (flags & ~IO_URING_EXT_DESC_READONLY))
		return refuse(err, "no memory, or unknown flags");
	return make(desc, caps, &iov, &kind, flags & IO_URING_EXT_DESC_READONLY, err);
}

int io_uring_ext_desc_memfd(struct io_uring_ext_desc *desc,
			    const struct io_uring_ext_caps *caps, int memfd, __u64 offset,
			    size_t len, void *base, __u32 flags, struct io_uring_ext_error *err)
{
	bool readonly = flags & IO_URING_EXT_DESC_READONLY, mapped = flags & IO_URING_EXT_DESC_MAPPED;
	struct urext_kind kind = { .memfd = memfd, .file_pos = offset - (uintptr_t)base };
	struct iovec iov = { base, len };
	int ret;

	if (desc)
		memset(desc, 0, sizeof(*desc));
	if (!desc || !caps || !len || wraps(&iov) || (mapped && !base) ||
	    (flags & ~(IO_URING_EXT_DESC_READONLY | IO_URING_EXT_DESC_MAPPED)))
		return refuse(err, "no range of a file, or unknown flags");
	if (kind.file_pos % base_page_size())
		return refuse(err, "base and offset are not as far into a page");
	ret = urext_memfd_check(memfd, offset, len, readonly, err);
	if (ret)
		return ret;
	if (!(caps->flags & IO_URING_EXT_CAP_MEMFD)) {
		if (!mapped)
			return urext_fail(err, -EOPNOTSUPP, IO_URING_EXT_STAGE_ARGS, 0,
					  "this kernel registers memory of a file only where it is"
					  " mapped (IO_URING_EXT_DESC_MAPPED)");
		kind.memfd = -1;
	}
	return make(desc, caps, &iov, &kind, readonly, err);
}

/* Of these an iovec says all, and any kernel takes that. */
static bool is_plain(const struct urext_desc *descs, unsigned nr)
{
	unsigned i;

	for (i = 0; i < nr; i++)
		if (descs[i].flags || (descs[i].type != URING_EXT_DESC_EMPTY &&
				       descs[i].type != URING_EXT_DESC_UADDR))
			return false;
	return true;
}

/* iovecs that are made at a time */
#define NR_IOVECS	64

static int update_plain(struct urext_target t, unsigned off, const struct urext_desc *descs,
			const __u64 *tags, unsigned nr)
{
	struct iovec iov[NR_IOVECS];
	unsigned i;

	nr = min_sz(nr, NR_IOVECS);
	for (i = 0; i < nr; i++)
		iov[i] = (struct iovec){ (void *)(uintptr_t)descs[i].uaddr, descs[i].size };
	return urext_update_some(t, off, iov, tags, nr, false);
}

int io_uring_ext_update_descs(struct io_uring *ring, __u32 off,
			      const struct io_uring_ext_desc *descs, const __u64 *tags, __u32 nr,
			      __u32 flags, struct io_uring_ext_error *err)
{
	const struct urext_desc *d = (const struct urext_desc *)descs;
	struct urext_target t;
	unsigned done;
	bool plain;
	int ret;

	if (!ring || !descs || !nr || off + nr < off || flags)
		return refuse(err, "update of no entries, or with unknown flags");
	t = urext_target_ring(ring);
	plain = is_plain(d, nr);
	for (done = 0; done < nr; done += ret) {
		const __u64 *tag = tags ? tags + done : NULL;

		ret = plain ? update_plain(t, off + done, d + done, tag, nr - done) :
			      urext_update_some(t, off + done, d + done, tag, nr - done, true);
		if (ret < 0)
			return urext_update_failed(err, ret, off, done, nr);
	}
	urext_ok(err);
	return 0;
}

int io_uring_ext_prep_update(struct io_uring_sqe *sqe, const struct io_uring_ext_caps *caps,
			     __u32 off, const struct io_uring_ext_desc *descs,
			     const __u64 *tags, __u32 nr, __u32 flags)
{
	if (!sqe || !caps || !descs || !nr || off + nr < off || flags)
		return -EINVAL;
	if (!(caps->flags & IO_URING_EXT_CAP_REQUEST))
		return -EOPNOTSUPP;
	urext_prep_update(sqe, off, (const struct urext_desc *)descs, tags, nr);
	return 0;
}
