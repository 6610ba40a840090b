/* SPDX-License-Identifier: GPL-2.0 */
/* The files of tracefs, named from its top. */
#ifndef TESTS_KERNEL_TRACEFS_H
#define TESTS_KERNEL_TRACEFS_H

#include "util.h"

#define TRACEFS		"/sys/kernel/tracing"

/* Mounts it where that has not been done. Returns 0, or -1 with @why. Needs root. */
int tracefs_mount(struct reason *why);

/* Makes @instance ("instances/NAME"), a tracer of its own, or takes the one that is there. */
int tracefs_make_instance(const char *instance, struct reason *why);
void tracefs_remove_instance(const char *instance);

/* Replaces what is in a file by @value. */
int tracefs_set(const char *dir, const char *name, const char *value, struct reason *why);

#endif
