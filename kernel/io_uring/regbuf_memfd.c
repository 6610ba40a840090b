// SPDX-License-Identifier: GPL-2.0
/*
 * Registered buffers that are a range of a file in memory
 *
 * The pages are those of a memfd, or of another file of tmpfs or hugetlbfs, and
 * are pinned without a mapping: see mm/pin_runs_memfd.c. The file itself is not
 * kept. Requests name bytes of the buffer by the addresses from ->uaddr of its
 * descriptor on. That may be where the program has the file mapped, or 0, for
 * plain offsets as in buffers of the kernel.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/hugetlb.h>
#include <linux/io_uring_types.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/shmem_fs.h>

#include "io_uring.h"
#include "regbuf.h"
#include "regbuf_stage.h"
#include "rsrc.h"

/* mincore() would tell the caller which pages of the file are there. */
static bool io_memfd_may_tell(struct file *file)
{
	return inode_owner_or_capable(file_mnt_idmap(file), file_inode(file)) ||
	       !file_permission(file, MAY_WRITE);
}

static struct io_mapped_ubuf *
io_regbuf_pin_memfd(struct io_ring_ctx *ctx,
		    const struct io_uring_regbuf_desc *desc,
		    struct regbuf_source *src)
{
	struct io_mapped_ubuf *imu;
	u64 end;

	if (check_add_overflow(desc->offset, desc->size, &end) ||
	    end > i_size_read(file_inode(src->file)))
		return ERR_PTR(-EINVAL);
	src->page = desc->offset >> PAGE_SHIFT;
	imu = io_regbuf_register(ctx, desc->uaddr, desc->size, src);
	if (IS_ERR(imu))
		return imu;
	imu->flags |= IO_REGBUF_F_NAMED;
	if (io_memfd_may_tell(src->file))
		imu->flags |= IO_REGBUF_F_TOLD;
	return imu;
}

/*
 * The file of a descriptor, with a reference. Only what may be one: a request has
 * it for as long as it waits, and must keep no ring, which could be its own, nor
 * anything else but memory.
 */
struct file *io_regbuf_get_memfd(const struct io_uring_regbuf_desc *desc)
{
	struct file *file = fget(desc->memfd);

	if (!file)
		return ERR_PTR(-EBADF);
	if (shmem_file(file) || is_file_hugepages(file))
		return file;
	fput(file);
	return ERR_PTR(-EINVAL);
}

/*
 * As io_regbuf_register(), for a descriptor of this type. A request has the file
 * already, or what was wrong with it, in @src.
 */
struct io_mapped_ubuf *
io_regbuf_register_memfd(struct io_ring_ctx *ctx,
			 const struct io_uring_regbuf_desc *desc,
			 struct regbuf_source *src)
{
	struct io_mapped_ubuf *imu;
	struct file *file = NULL;
	int ret;

	/* A page of the buffer is a page of the file. */
	if (offset_in_page(desc->uaddr ^ desc->offset))
		return ERR_PTR(-EINVAL);
	if (IS_ERR(src->file))
		return ERR_CAST(src->file);
	if (!src->file) {
		file = io_regbuf_get_memfd(desc);
		if (IS_ERR(file))
			return ERR_CAST(file);
		src->file = file;
	}
	ret = pin_memfd_begin(src->file, src->gup_flags);
	if (ret) {
		imu = ERR_PTR(ret);
	} else {
		imu = io_regbuf_pin_memfd(ctx, desc, src);
		pin_memfd_end(src->file, src->gup_flags);
	}
	if (file) {
		fput(file);
		src->file = NULL;
	}
	return imu;
}
