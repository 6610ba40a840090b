// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tracefs.h"

int tracefs_mount(struct reason *why)
{
	if (access(TRACEFS "/trace", F_OK) && mount("tracefs", TRACEFS, "tracefs", 0, NULL))
		return because(why, "cannot mount tracefs: %s", strerror(errno));
	return 0;
}

int tracefs_make_instance(const char *instance, struct reason *why)
{
	char path[128];

	if (tracefs_mount(why))
		return -1;
	snprintf(path, sizeof(path), TRACEFS "/%s", instance);
	if (mkdir(path, 0700) && errno != EEXIST)
		return because(why, "%s: %s", path, strerror(errno));
	return 0;
}

void tracefs_remove_instance(const char *instance)
{
	char path[128];

	snprintf(path, sizeof(path), TRACEFS "/%s", instance);
	rmdir(path);
}

int tracefs_set(const char *dir, const char *name, const char *value, struct reason *why)
{
	char path[160];
	int ret;

	snprintf(path, sizeof(path), TRACEFS "/%s/%s", dir, name);
	ret = write_string(path, value);
	if (ret)
		return because(why, "cannot write %s to %s: %s", value, path, strerror(-ret));
	return 0;
}
