/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/* liburing-ext for programs that use liburing; what there is is in the other header. */
#ifndef LIBURING_EXT_H
#define LIBURING_EXT_H

#include <liburing.h>
#include <liburing-ext-sys.h>

#endif
