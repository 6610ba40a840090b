// SPDX-License-Identifier: GPL-2.0
/*
 * What user space can learn about registered buffers: what this kernel allows
 * and how one buffer is stored
 *
 * Nothing here tells where in physical memory a buffer is, or whether two
 * buffers share memory.
 */
#include <linux/errno.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/overflow.h>
#include <linux/pin_runs.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>

#include "io_uring.h"
#include "regbuf.h"
#include "rsrc.h"

/* Bvecs that are looked at before others can change the mappings */
#define REGBUF_TELL_BATCH	1024

/* Bytes that are allocated for the buffer, those of its pages aside */
u64 io_regbuf_metadata(const struct io_mapped_ubuf *imu)
{
	u64 bytes, nr_pages, nr_buckets;

	if (imu->flags & IO_REGBUF_F_CACHED)
		return struct_size_t(struct io_mapped_ubuf, bvec,
				     imu->flags & IO_REGBUF_F_KBUF ?
				     IO_CACHED_KBUF_SEGS :
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
	bool pieces = imu->flags & IO_REGBUF_F_PIECES;
	bool kbuf = imu->flags & IO_REGBUF_F_KBUF;
	const struct bio_vec *bvec = imu->bvec;
	const struct bio_vec *end = bvec + imu->nr_bvecs;

	l->flags = regbuf_layout_flags(imu);
	l->len = imu->len;
	l->charged_bytes = kbuf ? 0 : (u64)imu->acct_pages << PAGE_SHIFT;
	l->nr_runs = 0;
	l->smallest_run = bvec < end ? U64_MAX : 0;
	l->largest_run = 0;

	while (bvec < end) {
		const struct bio_vec *next;
		u64 bytes = 0;

		next = pieces ? regbuf_run_end(bvec, end) : bvec + 1;
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

/*
 * How the pages of a file lie in the page cache is told to those only whom
 * mincore() tells whether they are there. That is asked of the mapping, which
 * has to be the one whose pages these still are.
 */
static bool io_regbuf_may_tell_file(struct mm_struct *mm, unsigned long start,
				    unsigned long end, struct folio *folio)
{
	while (start < end) {
		struct vm_area_struct *vma = vma_lookup(mm, start);

		if (!vma || !vma->vm_file || !can_do_mincore(vma) ||
		    vma->vm_file->f_mapping != READ_ONCE(folio->mapping))
			return false;
		start = vma->vm_end;
	}
	return true;
}

static int io_regbuf_may_tell(struct io_ring_ctx *ctx,
			      const struct io_mapped_ubuf *imu)
{
	struct mm_struct *mm = current->mm;
	unsigned long addr = untagged_addr(imu->ubuf);
	unsigned int i;
	int ret = 0;

	/* What can be written to is the caller's own, or may be written to. */
	if (imu->dir & IO_BUF_DEST || imu->flags & IO_REGBUF_F_TOLD)
		return 0;
	if (mm != ctx->mm_account)
		return -EACCES;

	if (mmap_read_lock_killable(mm))
		return -EINTR;
	for (i = 0; i < imu->nr_bvecs && !ret; i++) {
		struct folio *folio = bvec_folio(&imu->bvec[i]);
		unsigned long end = addr + imu->bvec[i].bv_len;

		if (!folio_test_anon(folio) &&
		    !io_regbuf_may_tell_file(mm, addr, end, folio))
			ret = -EACCES;
		addr = end;
		/* What is told is true of some moment, whatever comes between. */
		if (i % REGBUF_TELL_BATCH == REGBUF_TELL_BATCH - 1) {
			mmap_read_unlock(mm);
			cond_resched();
			if (mmap_read_lock_killable(mm))
				return -EINTR;
		}
	}
	mmap_read_unlock(mm);
	return ret;
}

/*
 * The node is held as a request holds it: one of the kernel may leave the table
 * at any time. Nothing is looked at under the lock, which requests need.
 */
static int io_regbuf_describe_slot(struct io_ring_ctx *ctx, unsigned int index,
				   struct io_uring_buffer_layout *l)
{
	struct io_mapped_ubuf *imu;
	struct io_rsrc_node *node;
	int ret = 0;

	mutex_lock(&ctx->uring_lock);
	node = io_rsrc_node_lookup(&ctx->buf_table, index);
	if (node)
		node->refs++;
	mutex_unlock(&ctx->uring_lock);
	if (!node)
		return -ENOENT;

	imu = node->buf;
	if (!(imu->flags & IO_REGBUF_F_KBUF))
		ret = io_regbuf_may_tell(ctx, imu);
	if (!ret)
		ret = io_regbuf_describe(imu, l);

	mutex_lock(&ctx->uring_lock);
	io_put_rsrc_node(ctx, node);
	mutex_unlock(&ctx->uring_lock);
	return ret;
}

/* IORING_REGISTER_BUFFER_LAYOUT */
int io_register_buffer_layout(struct io_ring_ctx *ctx, void __user *arg,
			      unsigned int size)
{
	unsigned int nr = ctx->buf_table.nr;
	struct io_uring_buffer_layout l;
	int ret;

	lockdep_assert_held(&ctx->register_lock);
	BUILD_BUG_ON(sizeof(l) != IORING_BUFFER_LAYOUT_SIZE_VER0);

	if (size < IORING_BUFFER_LAYOUT_SIZE_VER0)
		return -EINVAL;
	if (size > PAGE_SIZE)
		return -E2BIG;
	ret = copy_struct_from_user(&l, sizeof(l), arg, size);
	if (ret)
		return ret;
	if (l.resv || l.resv2)
		return -EINVAL;

	if (!nr)
		return -ENXIO;
	if (l.index >= nr)
		return -EINVAL;

	ret = io_regbuf_describe_slot(ctx, l.index, &l);
	if (ret)
		return ret;
	return copy_struct_to_user(arg, size, &l, sizeof(l), NULL);
}
