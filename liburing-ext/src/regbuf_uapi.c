/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * What a kernel that keeps registered buffers as runs tells and offers beyond
 * others: its limits (IORING_REGISTER_QUERY), the layout of a buffer (a register
 * opcode), read-only buffers (a flag of IORING_REGISTER_BUFFERS2).
 *
 * No header has these yet.  This file is the one place that will know them; until
 * then it says that the kernel does not tell, and the callers try, estimate, or
 * refuse, and say so.
 */
#include "lib.h"

/* Fill limits and flags of @caps from the kernel; needs no ring. */
int urext_uapi_query(struct io_uring_ext_caps *caps)
{
	(void)caps;
	return -EOPNOTSUPP;
}

/* Fill @layout for entry @index of the table of @t. */
int urext_uapi_layout(struct urext_target t, unsigned index,
		      struct io_uring_ext_layout *layout)
{
	(void)t;
	(void)index;
	(void)layout;
	return -EOPNOTSUPP;
}

/* Register @nr read-only buffers in the table of @t from entry @off on. */
int urext_uapi_register_readonly(struct urext_target t, unsigned off,
				 const struct iovec *iovecs, unsigned nr,
				 struct io_uring_ext_error *err)
{
	(void)t;
	(void)iovecs;
	(void)nr;
	return urext_fail(err, -EOPNOTSUPP, IO_URING_EXT_STAGE_REGISTER, off,
			  "this kernel has no read-only registered buffers");
}
