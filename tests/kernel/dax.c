// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dax.h"
#include "util.h"

void mount_dax(const char *device, const char *image, const char *dir)
{
	static char buf[MIB];
	ssize_t len;
	int from = open(image, O_RDONLY | O_CLOEXEC), to = open(device, O_WRONLY | O_CLOEXEC);

	if (from < 0 || to < 0)
		die("%s, %s: %s", image, device, strerror(errno));
	while ((len = read(from, buf, sizeof(buf))) > 0)
		if (write(to, buf, (size_t)len) != len)
			die("%s: %s", device, strerror(errno));
	close(from);
	if (len < 0 || fsync(to) || close(to))
		die("%s, %s: %s", image, device, strerror(errno));
	if ((mkdir(dir, 0700) && errno != EEXIST) || mount(device, dir, "ext4", 0, "dax=always"))
		die("mounting %s with dax: %s", device, strerror(errno));
}
