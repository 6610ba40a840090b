/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * Everything that enters io_uring_register(2).
 *
 * The kernel answers a table update with the number of entries it changed, also
 * when it stopped early, and so hides why it stopped.  Asking again for the rest
 * makes the entry that failed the first one, and then the errno comes out.
 */
#include <stdio.h>
#include <stdlib.h>

#include "lib.h"
#include "uapi.h"

struct urext_target urext_target_fd(int fd)
{
	return (struct urext_target){ .fd = fd };
}

/*
 * liburing sets ring_fd to -1 when only the registered index is left.  Its internal
 * flags for that have changed their values between versions: do not look at them.
 */
struct urext_target urext_target_ring(const struct io_uring *ring)
{
	struct urext_target t = { .fd = ring->ring_fd };

	if (t.fd < 0) {
		t.fd = ring->enter_ring_fd;
		t.registered = true;
	}
	return t;
}

int urext_register(struct urext_target t, unsigned op, const void *arg, unsigned nr)
{
	if (t.registered)
		op |= URING_EXT_REGISTER_USE_REGISTERED_RING;
	return io_uring_register(t.fd, op, arg, nr);
}

int urext_bare_ring(void)
{
	struct io_uring_params p;

	memset(&p, 0, sizeof(p));
	return io_uring_setup(1, &p);
}

/* Before 5.19 a table is made empty by listing empty buffers. */
static int table_of_empties(struct urext_target t, unsigned nr)
{
	struct iovec *none;
	int ret;

	none = calloc(nr, sizeof(*none));
	if (!none)
		return -ENOMEM;
	ret = urext_register(t, IORING_REGISTER_BUFFERS, none, nr);
	free(none);
	return ret;
}

int urext_table(struct urext_target t, unsigned nr)
{
	struct io_uring_rsrc_register reg = {
		.nr = nr,
		.flags = IORING_RSRC_REGISTER_SPARSE,
	};
	int ret;

	ret = urext_register(t, IORING_REGISTER_BUFFERS2, &reg, sizeof(reg));
	if (ret == -EINVAL || ret == -EACCES)
		ret = table_of_empties(t, nr);
	return ret;
}

int urext_clone(struct urext_target dst, struct urext_target src, unsigned src_off,
		unsigned dst_off, unsigned nr)
{
	struct urext_clone_buffers c = {
		.src_fd = src.fd,
		.flags = URING_EXT_CLONE_DST_REPLACE,
		.src_off = src_off,
		.dst_off = dst_off,
		.nr = nr,
	};

	if (src.registered)
		c.flags |= URING_EXT_CLONE_SRC_REGISTERED;
	return urext_register(dst, URING_EXT_REGISTER_CLONE_BUFFERS, &c, 1);
}

/* Descriptors that are made at a time */
#define NR_DESCS	32

void urext_make_descs(struct urext_desc *descs, const struct iovec *iovecs, unsigned nr,
		      const struct urext_kind *kind)
{
	unsigned i;

	memset(descs, 0, nr * sizeof(*descs));
	for (i = 0; i < nr; i++) {
		struct urext_desc *d = &descs[i];

		d->type = URING_EXT_DESC_UADDR;
		d->flags = kind->flags;
		d->uaddr = (uintptr_t)iovecs[i].iov_base;
		d->size = iovecs[i].iov_len;
		if (kind->memfd < 0)
			continue;
		d->type = URING_EXT_DESC_MEMFD;
		d->memfd = kind->memfd;
		d->offset = kind->file_pos + d->uaddr;
	}
}

int urext_update_some(struct urext_target t, unsigned off, const void *data, const __u64 *tags,
		      unsigned nr, bool descs)
{
	struct io_uring_rsrc_update2 up = {
		.offset = off,
		.data = (uintptr_t)data,
		.tags = (uintptr_t)tags,
		.nr = nr,
	};
	int ret;

	/* Named "flags" in newer headers */
	if (descs)
		memcpy((char *)&up + sizeof(up.offset), &(__u32){ URING_EXT_UPDATE_EXTENDED },
		       sizeof(__u32));
	ret = urext_register(t, IORING_REGISTER_BUFFERS_UPDATE, &up, sizeof(up));
	return ret ? ret : -EIO;	/* no progress and no reason */
}

/* 0, or the errno of entry *@done, counted from the first. */
static int update_all(struct urext_target t, unsigned off, const struct iovec *iovecs,
		      const __u64 *tags, unsigned nr, const struct urext_kind *kind,
		      unsigned *done)
{
	struct urext_desc descs[NR_DESCS];
	int ret;

	for (*done = 0; *done < nr; *done += ret) {
		const __u64 *tag = tags ? tags + *done : NULL;
		const void *data = iovecs + *done;
		unsigned n = nr - *done;

		if (kind) {
			n = min_sz(n, NR_DESCS);
			urext_make_descs(descs, iovecs + *done, n, kind);
			data = descs;
		}
		ret = urext_update_some(t, off + *done, data, tag, n, kind);
		if (ret < 0)
			return ret;
	}
	return 0;
}

int urext_clear(struct urext_target t, unsigned off, unsigned nr)
{
	static const struct iovec none[64];
	unsigned i, n, done;
	int ret;

	for (i = 0; i < nr; i += n) {
		n = nr - i < 64 ? nr - i : 64;
		ret = update_all(t, off + i, none, NULL, n, NULL, &done);
		if (ret)
			return ret;
	}
	return 0;
}

static int undo(struct urext_target t, const struct io_uring_ext_update *up, unsigned nr)
{
	unsigned done;

	if (!up->old_iovecs)
		return urext_clear(t, up->off, nr);
	return update_all(t, up->off, up->old_iovecs, up->old_tags, nr, NULL, &done);
}

void urext_note_undo(struct io_uring_ext_error *err, int undo)
{
	size_t len;

	if (!err || undo == URING_EXT_NO_UNDO)
		return;
	len = strlen(err->text);
	if (undo) {
		err->stage = IO_URING_EXT_STAGE_UNDO;
		snprintf(err->text + len, sizeof(err->text) - len, "; putting back failed: %s",
			 urext_reason(undo));
	} else {
		err->done = 0;
		snprintf(err->text + len, sizeof(err->text) - len, "; put back");
	}
}

int urext_update_failed(struct io_uring_ext_error *err, int ret, unsigned off, unsigned done,
			unsigned nr)
{
	urext_fail(err, ret, IO_URING_EXT_STAGE_UPDATE, off + done,
		   "table entry %u could not be changed (%u of %u were): %s", off + done, done,
		   nr, urext_reason(ret));
	if (err)
		err->done = done;
	return ret;
}

int urext_update(struct urext_target t, const struct io_uring_ext_update *up,
		 const struct urext_kind *kind, int *undone, struct io_uring_ext_error *err)
{
	unsigned done;
	int ret;

	*undone = URING_EXT_NO_UNDO;
	ret = update_all(t, up->off, up->iovecs, up->tags, up->nr, kind, &done);
	if (!ret) {
		urext_ok(err);
		return 0;
	}
	urext_update_failed(err, ret, up->off, done, up->nr);
	if (done && (up->flags & IO_URING_EXT_UPDATE_UNDO))
		*undone = undo(t, up, done);
	urext_note_undo(err, *undone);
	return ret;
}

int io_uring_ext_update_buffers(struct io_uring *ring,
				const struct io_uring_ext_update *up,
				struct io_uring_ext_error *err)
{
	int undone;

	if (!ring || !up || !up->nr || !up->iovecs || up->resv32 ||
	    up->off + up->nr < up->off || (up->flags & ~IO_URING_EXT_UPDATE_UNDO) ||
	    !urext_all_zero(up->resv, sizeof(up->resv)))
		return urext_fail(err, -EINVAL, IO_URING_EXT_STAGE_ARGS, 0,
				  "update of no entries, or with unknown flags");
	return urext_update(urext_target_ring(ring), up, NULL, &undone, err);
}
