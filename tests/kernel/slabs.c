// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "slabs.h"

#define SLAB_DIR	"/sys/kernel/slab/"
#define CGROUP_DIR	"/sys/fs/cgroup"
#define CGROUP		CGROUP_DIR "/slabs"
#define TRIES		400
#define TRY_USEC	50000
/*
 * Each CPU keeps up to 64 pages of changes for itself, and what is charged in advance; page tables
 * come and go.
 */
#define SLACK		200

static char names[SLABS_MAX][64];
static unsigned int slack[SLABS_MAX];
static size_t nr_caches;

static unsigned long read_count(const char *cache, const char *name)
{
	char path[128], line[128];
	int ret;

	snprintf(path, sizeof(path), SLAB_DIR "%s/%s", cache, name);
	ret = read_line(path, line, sizeof(line));
	if (ret)
		die("%s: %s", path, strerror(-ret));
	return strtoul(line, NULL, 10);
}

static int open_cgroup(struct reason *why)
{
	if (access(CGROUP_DIR "/cgroup.procs", F_OK) &&
	    mount("cgroup2", CGROUP_DIR, "cgroup2", 0, NULL))
		return because(why, "cannot mount cgroup2: %s", strerror(errno));
	if (write_string(CGROUP_DIR "/cgroup.subtree_control", "+memory") ||
	    (mkdir(CGROUP, 0755) && errno != EEXIST) || write_string(CGROUP "/cgroup.procs", "0"))
		return because(why, "no memory cgroup: %s", strerror(errno));
	return 0;
}

int slabs_open(struct reason *why)
{
	glob_t found;

	if (glob(SLAB_DIR "kmalloc-cg-*", 0, NULL, &found) ||
	    glob(SLAB_DIR "radix_tree_node", GLOB_APPEND, NULL, &found))
		return because(why, "no slab caches in " SLAB_DIR);
	for (size_t i = 0; i < found.gl_pathc && nr_caches < SLABS_MAX; i++) {
		const char *name = strrchr(found.gl_pathv[i], '/') + 1;

		/* Nodes are of the page cache too. */
		slack[nr_caches] = strcmp(name, "radix_tree_node") ? 0 : 8;
		snprintf(names[nr_caches++], sizeof(names[0]), "%s", name);
		if (!read_count(name, "sanity_checks")) {
			globfree(&found);
			return because(why, "%s: boot with slab_debug=F,kmalloc-cg-*", name);
		}
	}
	globfree(&found);
	return open_cgroup(why);
}

static unsigned long count_pages(void)
{
	uint64_t bytes = 0;

	if (read_key(CGROUP "/memory.stat", "kernel", &bytes))
		die("no kernel memory in " CGROUP "/memory.stat");
	return bytes / 4096;
}

void slabs_read(struct slabs *now)
{
	for (size_t i = 0; i < nr_caches; i++)
		now->objects[i] = read_count(names[i], "objects");
	now->pages = count_pages();
}

int slabs_same(const struct slabs *before, struct reason *why)
{
	struct slabs now;
	int ret = 0;

	for (int tries = 0; tries < TRIES; tries++) {
		slabs_read(&now);
		ret = 0;
		for (size_t i = 0; !ret && i < nr_caches; i++)
			if (now.objects[i] > before->objects[i] + slack[i])
				ret = because(why, "%s has %lu objects that had %lu", names[i],
					      now.objects[i], before->objects[i]);
		if (!ret && now.pages > before->pages + SLACK)
			ret = because(why, "%lu pages of the kernel charged to the cgroup that were %lu",
				      now.pages, before->pages);
		if (!ret)
			break;
		usleep(TRY_USEC);
	}
	return ret;
}
