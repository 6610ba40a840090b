/* SPDX-License-Identifier: GPL-2.0 */
#ifndef TESTS_KERNEL_DAX_H
#define TESTS_KERNEL_DAX_H

/*
 * Copies the ext4 file system on @image to persistent memory, where files are memory, and mounts
 * it at @dir, which is made. Ends the program when that fails.
 */
void mount_dax(const char *device, const char *image, const char *dir);

#endif
