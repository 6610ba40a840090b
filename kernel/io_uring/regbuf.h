/* SPDX-License-Identifier: GPL-2.0 */
#ifndef IOU_REGBUF_H
#define IOU_REGBUF_H

#include <linux/uio.h>
#include <linux/io_uring_types.h>

#include "regbuf_layout.h"

/* Bvecs that an entry of ctx->imu_cache has room for */
#define IO_CACHED_BVECS_SEGS	32

enum {
	/* registered by the kernel, not user memory */
	IO_REGBUF_F_KBUF		= 1,
	/* goes back to ctx->imu_cache */
	IO_REGBUF_F_CACHED		= 2,
};

struct io_mapped_ubuf *io_regbuf_register(struct io_ring_ctx *ctx,
					  unsigned long uaddr, size_t len);
int io_regbuf_clone(struct io_ring_ctx *ctx, struct io_mapped_ubuf *imu);
void io_regbuf_put(struct io_ring_ctx *ctx, struct io_mapped_ubuf *imu);

int io_regbuf_count_vec(const struct io_mapped_ubuf *imu,
			const struct iovec *iov, unsigned int nr_iovs,
			unsigned int *nr_segs, size_t *total_len);
void io_regbuf_fill_vec(const struct io_mapped_ubuf *imu,
			const struct iovec *iov, unsigned int nr_iovs,
			struct bio_vec *bvec);

#endif
