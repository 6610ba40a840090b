/* SPDX-License-Identifier: GPL-2.0 */
#ifndef IOU_REGBUF_H
#define IOU_REGBUF_H

#include <linux/sizes.h>
#include <linux/uio.h>
#include <linux/io_uring_types.h>
#include <uapi/linux/io_uring/query.h>

#include "regbuf_layout.h"

/* Entries of a table, and bytes of a buffer of user memory, at most */
#define IORING_MAX_REG_BUFFERS		16384
#define IO_REGBUF_MAX_LEN		(64ULL * SZ_1T)

/* What an update and a descriptor can have */
#ifdef CONFIG_MEMFD_CREATE
#define IO_REGBUF_MEMFD_TYPE		BIT_ULL(IO_REGBUF_TYPE_MEMFD)
#else
#define IO_REGBUF_MEMFD_TYPE		0
#endif
#define IO_REGBUF_UPDATE_FLAGS		IORING_RSRC_UPDATE_EXTENDED
#define IO_REGBUF_DESC_TYPES		(BIT_ULL(IO_REGBUF_TYPE_EMPTY) | \
					 BIT_ULL(IO_REGBUF_TYPE_UADDR) | \
					 IO_REGBUF_MEMFD_TYPE)
#define IO_REGBUF_DESC_FLAGS		IO_REGBUF_READ_ONLY

#define IO_REGBUF_FEATURES		(IO_URING_REGBUF_FEATURE_RUNS | \
					 IO_URING_REGBUF_FEATURE_LAYOUT | \
					 IO_URING_REGBUF_FEATURE_REQUEST)

/* Bvecs that an entry of ->imu_cache has room for: buffers of the kernel */
#define IO_CACHED_KBUF_SEGS	32

/* The same of ->ubuf_cache: makes it 512 bytes on 64 bit */
#define IO_CACHED_BVECS_SEGS	29

enum {
	/* registered by the kernel, not user memory */
	IO_REGBUF_F_KBUF		= 1,
	/* goes back to the cache of the ring, see struct io_ring_ctx */
	IO_REGBUF_F_CACHED		= 2,
	/* of what was charged, no page is in a large folio */
	IO_REGBUF_F_SINGLE_PAGES	= 4,
	/* runs that have several bvecs, and one pin, see regbuf_run_end() */
	IO_REGBUF_F_PIECES		= 8,
	/* who registered it may know how its pages lie */
	IO_REGBUF_F_TOLD		= 16,
	/* its addresses are names that requests use, not memory of a process */
	IO_REGBUF_F_NAMED		= 32,
};

struct regbuf_source;

struct io_mapped_ubuf *io_regbuf_register(struct io_ring_ctx *ctx,
					  unsigned long uaddr, size_t len,
					  struct regbuf_source *src);
struct io_mapped_ubuf *
io_regbuf_register_memfd(struct io_ring_ctx *ctx,
			 const struct io_uring_regbuf_desc *desc,
			 struct regbuf_source *src);
struct file *io_regbuf_get_memfd(const struct io_uring_regbuf_desc *desc);
void io_regbuf_put(struct io_ring_ctx *ctx, struct io_mapped_ubuf *imu);
void io_regbuf_destroy(struct io_mapped_ubuf *imu);
const struct bio_vec *regbuf_run_end(const struct bio_vec *bvec,
				     const struct bio_vec *end);
void io_regbuf_put_locked(struct io_ring_ctx *ctx, struct io_mapped_ubuf *imu);

/**
 * struct io_buf_args - what a call, or a request, has for its entries
 * @data: iovecs, or descriptors if @extended
 * @tags: of the buffers
 * @extended: see @data
 * @descs: of a request: copies of the descriptors, in the place of @data
 * @files: of a request: for each of @descs the file that it names, an error, or
 *	NULL if it is of another type
 * @new_tags: of a request: copies of the tags, or NULL
 * @old_tags: of a request: room for the tags of buffers that leave the table,
 *	which are not posted then
 * @nr_old_tags: how many there are
 * @gup_flags: for the pin, beside those that come from the descriptor
 * @again: of a request: an entry failed with this error; is it to be tried again?
 *	May change @gup_flags, for this entry.
 */
struct io_buf_args {
	const void __user	*data;
	const u64 __user	*tags;
	bool			extended;
	const struct io_uring_regbuf_desc *descs;
	struct file		**files;
	const u64		*new_tags;
	u64			*old_tags;
	unsigned int		nr_old_tags;
	unsigned int		gup_flags;
	bool			(*again)(struct io_buf_args *args, int error);
};

int io_sqe_buffers_unregister(struct io_ring_ctx *ctx);
int io_sqe_buffers_register(struct io_ring_ctx *ctx, void __user *arg,
			    unsigned int nr_args, u64 __user *tags);
int io_sqe_buffers_update(struct io_ring_ctx *ctx,
			  const struct io_uring_rsrc_update2 *up,
			  unsigned int nr_args);
int io_buffers_update_slots(struct io_ring_ctx *ctx, unsigned int offset,
			    struct io_buf_args *args, unsigned int nr_args);
int io_buffers_update_prep(struct io_kiocb *req, const struct io_uring_sqe *sqe);
int io_buffers_update(struct io_kiocb *req, unsigned int issue_flags);
void io_buffers_update_cleanup(struct io_kiocb *req);
int io_clone_buffers(struct io_ring_ctx *ctx, struct io_ring_ctx *src_ctx,
		     struct io_uring_clone_buffers *arg);
bool io_buffer_slot_busy(struct io_ring_ctx *ctx, unsigned int slot);

u64 io_regbuf_metadata(const struct io_mapped_ubuf *imu);
int io_regbuf_describe(const struct io_mapped_ubuf *imu,
		       struct io_uring_buffer_layout *l);
int io_register_buffer_layout(struct io_ring_ctx *ctx, void __user *arg,
			      unsigned int size);

#endif
