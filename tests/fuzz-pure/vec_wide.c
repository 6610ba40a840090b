// SPDX-License-Identifier: GPL-2.0
/* As vec.c, where a bvec is half as large again as an iovec: so it is on 32 bit. */
#define FUZZ_WIDE_BVEC
#include "vec.c"
#include "io_uring/regbuf_layout.c"
