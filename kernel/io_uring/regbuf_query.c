// SPDX-License-Identifier: GPL-2.0
/*
 * What user space can learn about registered buffers: what this kernel allows
 * and how one buffer is stored
 *
 * Nothing here tells where in physical memory a buffer is, or whether two
 * buffers share memory.
 */
#include <linux/errno.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/pin_runs.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>

#include "io_uring.h"
#include "regbuf.h"
#include "rsrc.h"

/* Bytes that are allocated for the buffer, those of its pages aside */
u64 io_regbuf_metadata(const struct io_mapped_ubuf *imu)
{
	u64 bytes, nr_pages, nr_buckets;

	if (imu->flags & IO_REGBUF_F_CACHED)
		return struct_size_t(struct io_mapped_ubuf, bvec,
				     IO_CACHED_BVECS_SEGS);

	bytes = sizeof(*imu) + (u64)imu->nr_bvecs * sizeof(struct bio_vec);
	if (imu->layout == IO_REGBUF_MIXED) {
		nr_pages = PFN_UP(imu->bvec[0].bv_offset + (u64)imu->len);
		nr_buckets = ((nr_pages - 1) >> imu->shift) + 1;
		bytes += regbuf_table_bytes(imu->nr_bvecs, nr_buckets);
	}
	return bytes;
}

static u32 regbuf_layout_flags(const struct io_mapped_ubuf *imu)
{
	u32 flags = 0;

	switch (imu->layout) {
	case IO_REGBUF_UNIFORM:
		flags |= IORING_BUFFER_LAYOUT_UNIFORM;
		break;
	case IO_REGBUF_MIXED:
		flags |= IORING_BUFFER_LAYOUT_MIXED;
		break;
	case IO_REGBUF_LINEAR:
		flags |= IORING_BUFFER_LAYOUT_LINEAR;
		break;
	}
	if (!(imu->dir & IO_BUF_DEST))
		flags |= IORING_BUFFER_LAYOUT_READ_ONLY;
	if (imu->flags & IO_REGBUF_F_KBUF)
		flags |= IORING_BUFFER_LAYOUT_KERNEL;
	return flags;
}

/*
 * Fill in what @imu looks like. Only the bvecs know the runs, so this walks
 * them: a run that is longer than a bvec, or than the unit of a uniform buffer,
 * has several. What the kernel registered has no runs, each bvec counts.
 */
int io_regbuf_describe(const struct io_mapped_ubuf *imu,
		       struct io_uring_buffer_layout *l)
{
	bool kbuf = imu->flags & IO_REGBUF_F_KBUF;
	const struct bio_vec *bvec = imu->bvec;
	const struct bio_vec *end = bvec + imu->nr_bvecs;

	l->flags = regbuf_layout_flags(imu);
	l->len = imu->len;
	l->metadata_bytes = io_regbuf_metadata(imu);
	l->charged_bytes = kbuf ? 0 : (u64)imu->acct_pages << PAGE_SHIFT;
	l->nr_runs = 0;
	l->smallest_run = bvec < end ? U64_MAX : 0;
	l->largest_run = 0;

	while (bvec < end) {
		const struct bio_vec *next;
		u64 bytes = 0;

		next = kbuf ? bvec + 1 : pin_run_end_bvec(bvec, end);
		for (; bvec < next; bvec++)
			bytes += bvec->bv_len;
		l->nr_runs++;
		l->smallest_run = min(l->smallest_run, bytes);
		l->largest_run = max(l->largest_run, bytes);

		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}

/* IORING_REGISTER_BUFFER_LAYOUT */
int io_register_buffer_layout(struct io_ring_ctx *ctx, void __user *arg,
			      unsigned int size)
{
	struct io_rsrc_data *data = &ctx->buf_table;
	struct io_uring_buffer_layout l;
	struct io_rsrc_node *node;
	int ret;

	BUILD_BUG_ON(sizeof(l) != IORING_BUFFER_LAYOUT_SIZE_VER0);

	if (size < IORING_BUFFER_LAYOUT_SIZE_VER0)
		return -EINVAL;
	if (size > PAGE_SIZE)
		return -E2BIG;
	ret = copy_struct_from_user(&l, sizeof(l), arg, size);
	if (ret)
		return ret;
	if (l.resv)
		return -EINVAL;

	if (!data->nr)
		return -ENXIO;
	if (l.index >= data->nr)
		return -EINVAL;
	node = io_rsrc_node_lookup(data, l.index);
	if (!node)
		return -ENOENT;

	l.resv2 = 0;
	ret = io_regbuf_describe(node->buf, &l);
	if (ret)
		return ret;
	return copy_struct_to_user(arg, size, &l, sizeof(l), NULL);
}
