/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * What a kernel that keeps registered buffers as runs tells and offers beyond
 * others: its limits (IORING_REGISTER_QUERY), the layout of a buffer (a register
 * opcode), read-only buffers (a flag of a descriptor), buffers of a memfd (a type of
 * one), and updates of a table as a request.
 *
 * Other kernels say so, and the callers try, estimate, or refuse, and say so too.
 */
#include <stdlib.h>

#include "lib.h"
#include "uapi.h"

/* What every kernel from 5.13 on allows; buf_index is 16 bits wide. */
#define MIN_MAX_BUFFER		SZ_1G
#define MIN_MAX_BUFFERS		1024
#define MAX_MAX_BUFFERS		(1U << 16)

/*
 * Other kernels may come to use the number for another query, which fills in
 * something else.  All that is known of the answer has to be right.
 */
static bool is_regbuf(const struct urext_query_regbuf *q)
{
	return q->max_buffer_bytes >= MIN_MAX_BUFFER && q->max_buffers >= MIN_MAX_BUFFERS &&
	       q->max_buffers <= MAX_MAX_BUFFERS &&
	       (q->register_flags & IORING_RSRC_REGISTER_SPARSE) &&
	       (q->desc_types & (1ULL << URING_EXT_DESC_UADDR)) &&
	       (q->features & URING_EXT_FEATURE_RUNS);
}

/* Fill limits and flags of @caps from the kernel; needs no ring. */
int urext_uapi_query(struct io_uring_ext_caps *caps)
{
	struct urext_query_regbuf q;
	struct urext_query_hdr hdr = {
		.query_data = (uintptr_t)&q,
		.query_op = URING_EXT_QUERY_REGBUF,
		.size = sizeof(q),
	};
	int ret;

	memset(&q, 0, sizeof(q));
	ret = urext_register(urext_target_fd(-1), URING_EXT_REGISTER_QUERY, &hdr, 0);
	if (ret || hdr.result || hdr.size < sizeof(q) || !is_regbuf(&q))
		return -EOPNOTSUPP;

	caps->max_buffer = q.max_buffer_bytes;
	caps->max_buffer_source = IO_URING_EXT_KERNEL;
	caps->max_buffers = q.max_buffers;
	caps->max_buffers_source = IO_URING_EXT_KERNEL;
	if (q.features & URING_EXT_FEATURE_RUNS)
		caps->flags |= IO_URING_EXT_CAP_RUNS;
	if ((q.features & URING_EXT_FEATURE_LAYOUT) &&
	    q.layout_size >= sizeof(struct urext_buffer_layout))
		caps->flags |= IO_URING_EXT_CAP_LAYOUT;
	/* They are registered by updates with descriptors. */
	if (!(q.update_flags & URING_EXT_UPDATE_EXTENDED))
		return 0;
	if (q.desc_flags & URING_EXT_DESC_READ_ONLY)
		caps->flags |= IO_URING_EXT_CAP_READONLY;
	if (q.desc_types & (1ULL << URING_EXT_DESC_MEMFD))
		caps->flags |= IO_URING_EXT_CAP_MEMFD;
	if (q.features & URING_EXT_FEATURE_REQUEST)
		caps->flags |= IO_URING_EXT_CAP_REQUEST;
	return 0;
}

/* Is the ring allowed to ask?  Only for kernels that know layouts. */
bool urext_uapi_may_layout(struct urext_target t)
{
	return urext_register(t, URING_EXT_REGISTER_BUFFER_LAYOUT, NULL, 0) == -EINVAL;
}

/*
 * Fill @layout for entry @index of the table of @t.  The opcode is not upstream's: on
 * another kernel it may be anything, so the kernel is first asked whether it knows it.
 */
int urext_uapi_layout(struct urext_target t, unsigned index,
		      struct io_uring_ext_layout *layout)
{
	struct io_uring_ext_caps caps = { .flags = 0 };
	struct urext_buffer_layout l;
	int ret;

	if (urext_uapi_query(&caps) || !(caps.flags & IO_URING_EXT_CAP_LAYOUT))
		return -EOPNOTSUPP;
	memset(&l, 0, sizeof(l));
	l.index = index;
	ret = urext_register(t, URING_EXT_REGISTER_BUFFER_LAYOUT, &l, sizeof(l));
	if (ret == -EACCES)
		return -EOPNOTSUPP;
	if (ret)
		return ret;

	memset(layout, 0, sizeof(*layout));
	layout->source = IO_URING_EXT_LAYOUT_KERNEL;
	/* The sizes of the runs in between are not told. */
	if (l.nr_runs <= 2 || l.smallest_run == l.largest_run)
		layout->flags |= IO_URING_EXT_LAYOUT_UNIFORM;
	if (l.flags & URING_EXT_BUFFER_READ_ONLY)
		layout->flags |= IO_URING_EXT_LAYOUT_READONLY;
	if (l.flags & URING_EXT_BUFFER_KERNEL)
		layout->flags |= IO_URING_EXT_LAYOUT_KBUF;
	layout->len = l.len;
	layout->present = l.len;
	layout->runs = l.nr_runs;
	layout->smallest = l.smallest_run;
	layout->largest = l.largest_run;
	layout->metadata = IO_URING_EXT_UNLIMITED;
	layout->charged = l.charged_bytes;
	return 0;
}

const struct urext_kind *urext_region_kind(const struct urext_region *region,
					   struct urext_kind *kind)
{
	kind->flags = region->flags & IO_URING_EXT_REGION_READONLY ?
		      URING_EXT_DESC_READ_ONLY : 0;
	kind->memfd = region->memfd;
	kind->file_pos = region->file_pos;
	return kind->flags || kind->memfd >= 0 ? kind : NULL;
}

/* Of the request that updates, for one that cancels it */
#define UPDATE_DATA	1

/* All of the sqe is written: what io_uring_get_sqe() leaves has changed between versions. */
static void prep(struct io_uring_sqe *sqe, unsigned op, const void *addr, unsigned len)
{
	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = op;
	sqe->fd = -1;
	sqe->addr = (uintptr_t)addr;
	sqe->len = len;
}

void urext_prep_update(struct io_uring_sqe *sqe, unsigned off, const struct urext_desc *descs,
		       const __u64 *tags, unsigned nr)
{
	prep(sqe, URING_EXT_OP_BUFFERS_UPDATE, descs, nr);
	sqe->off = off;
	sqe->addr3 = (uintptr_t)tags;
}

static int submit(struct io_uring *ring, struct io_uring_sqe *sqe, __u64 data)
{
	int ret;

	sqe->user_data = data;
	ret = io_uring_submit(ring);
	return ret < 0 ? ret : ret == 1 ? 0 : -EBUSY;
}

int urext_uapi_request(struct io_uring *ring, const struct iovec *iovecs, unsigned nr,
		       const struct urext_kind *kind)
{
	static const struct urext_kind memory = { .memfd = -1 };
	struct urext_desc *descs;
	struct io_uring_sqe *sqe;
	int ret = -EBUSY;

	descs = malloc(nr * sizeof(*descs));
	if (!descs)
		return -ENOMEM;
	urext_make_descs(descs, iovecs, nr, kind ? kind : &memory);
	sqe = io_uring_get_sqe(ring);
	if (sqe) {
		/* The kernel copies them at once */
		urext_prep_update(sqe, 0, descs, NULL, nr);
		ret = submit(ring, sqe, UPDATE_DATA);
	}
	free(descs);
	return ret;
}

int urext_uapi_cancel(struct io_uring *ring)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	if (!sqe)
		return -EBUSY;
	prep(sqe, IORING_OP_ASYNC_CANCEL, (void *)UPDATE_DATA, 0);
	return submit(ring, sqe, 0);
}
