/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/* The header is C++, and the functions link. */
#include "liburing-ext.h"

int main()
{
	io_uring_ext_arena_params params{};
	io_uring_ext_arena *arena = nullptr;
	io_uring_ext_error err;

	params.size = 1 << 20;
	params.mem = IO_URING_EXT_MEM_BASE;
	if (io_uring_ext_arena_alloc(&arena, &params, &err))
		return 1;
	static_cast<char *>(io_uring_ext_arena_base(arena))[0] = 1;
	io_uring_ext_arena_free(arena);
	return io_uring_ext_major_version() == IO_URING_EXT_VERSION_MAJOR &&
	       io_uring_ext_minor_version() == IO_URING_EXT_VERSION_MINOR ? 0 : 1;
}
