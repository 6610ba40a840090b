// SPDX-License-Identifier: GPL-2.0
/* Sizes and offsets of what the series adds to the interface, for tests/suites/uapi-layout to compare. */
#include <linux/io_uring.h>
#include <linux/io_uring/query.h>

#define OFFSET(type, field)	__builtin_offsetof(struct type, field)

const unsigned int layout[] = {
	sizeof(struct io_uring_rsrc_update2),
	OFFSET(io_uring_rsrc_update2, flags),
	OFFSET(io_uring_rsrc_update2, data),
	OFFSET(io_uring_rsrc_update2, tags),
	OFFSET(io_uring_rsrc_update2, nr),
	OFFSET(io_uring_rsrc_update2, resv2),
	sizeof(struct io_uring_regbuf_desc),
	OFFSET(io_uring_regbuf_desc, type),
	OFFSET(io_uring_regbuf_desc, flags),
	OFFSET(io_uring_regbuf_desc, size),
	OFFSET(io_uring_regbuf_desc, uaddr),
	OFFSET(io_uring_regbuf_desc, memfd),
	OFFSET(io_uring_regbuf_desc, __memfd_resv),
	OFFSET(io_uring_regbuf_desc, offset),
	OFFSET(io_uring_regbuf_desc, __resv),
	sizeof(struct io_uring_buffer_layout),
	OFFSET(io_uring_buffer_layout, index),
	OFFSET(io_uring_buffer_layout, resv),
	OFFSET(io_uring_buffer_layout, len),
	OFFSET(io_uring_buffer_layout, nr_runs),
	OFFSET(io_uring_buffer_layout, smallest_run),
	OFFSET(io_uring_buffer_layout, largest_run),
	OFFSET(io_uring_buffer_layout, charged_bytes),
	OFFSET(io_uring_buffer_layout, flags),
	OFFSET(io_uring_buffer_layout, resv2),
	sizeof(struct io_uring_query_regbuf),
	OFFSET(io_uring_query_regbuf, max_buffer_bytes),
	OFFSET(io_uring_query_regbuf, max_buffers),
	OFFSET(io_uring_query_regbuf, register_flags),
	OFFSET(io_uring_query_regbuf, update_flags),
	OFFSET(io_uring_query_regbuf, layout_size),
	OFFSET(io_uring_query_regbuf, desc_types),
	OFFSET(io_uring_query_regbuf, desc_flags),
	OFFSET(io_uring_query_regbuf, features),
};
