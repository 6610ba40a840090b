/* SPDX-License-Identifier: GPL-2.0 */
#ifndef TESTS_KERNEL_CAPS_H
#define TESTS_KERNEL_CAPS_H

#include <linux/capability.h>
#include <stdbool.h>
#include <sys/types.h>

/*
 * Switches one capability (CAP_IPC_LOCK, ...) of this thread off and on again; it stays
 * permitted. Ends the program when that is not possible.
 */
void set_capability(int capability, bool on);

/* Becomes the user @uid for good, without any capability. Ends the program otherwise. */
void become_user(uid_t uid);

/*
 * Becomes the user @uid for good, with no capability effective, but all still permitted. Ends
 * the program otherwise.
 */
void change_user(uid_t uid);

#endif
