// SPDX-License-Identifier: GPL-2.0
/*
 * file_table: a table for the device mapper that is a file system, but for the data of a file.
 *
 *	file_table FILE META DATA
 *
 * META is the block device of the file system that FILE is in. Printed is what "dmsetup create"
 * reads: META as it is, and DATA where FILE's blocks are. So the file system finds all that it
 * needs in memory, while transfers of the file go to a null_blk, which copies nothing. The file
 * system may be mounted from META while this looks, and not when the table is used.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "util.h"

#define SECTOR		512
#define EXTENTS_MAX	64
/* Not, or not only, in the file's own blocks, or read as zeroes without them */
#define STRANGE		(FIEMAP_EXTENT_UNKNOWN | FIEMAP_EXTENT_ENCODED | FIEMAP_EXTENT_NOT_ALIGNED | \
			 FIEMAP_EXTENT_UNWRITTEN | FIEMAP_EXTENT_SHARED)

static int open_to_read(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		die("%s: %s", path, strerror(errno));
	return fd;
}

static uint64_t sectors_of(const char *path)
{
	int fd = open_to_read(path);
	uint64_t bytes;

	if (ioctl(fd, BLKGETSIZE64, &bytes))
		die("%s: no block device: %s", path, strerror(errno));
	close(fd);
	return bytes / SECTOR;
}

static void print_range(uint64_t from, uint64_t to, const char *device)
{
	if (from < to)
		printf("%llu %llu linear %s %llu\n", (unsigned long long)from,
		       (unsigned long long)(to - from), device, (unsigned long long)from);
}

static int by_place(const void *a, const void *b)
{
	const struct fiemap_extent *x = a, *y = b;

	return x->fe_physical < y->fe_physical ? -1 : x->fe_physical > y->fe_physical;
}

int main(int argc, char **argv)
{
	static struct {
		struct fiemap map;
		struct fiemap_extent extents[EXTENTS_MAX];
	} found = {
		.map = { .fm_length = FIEMAP_MAX_OFFSET, .fm_flags = FIEMAP_FLAG_SYNC,
			 .fm_extent_count = EXTENTS_MAX },
	};
	uint64_t end, at = 0;
	unsigned int nr;
	int fd;

	if (argc != 4) {
		fprintf(stderr, "usage: file_table FILE META DATA\n");
		return 2;
	}
	end = sectors_of(argv[2]);
	if (sectors_of(argv[3]) < end)
		die("%s is smaller than %s", argv[3], argv[2]);
	fd = open_to_read(argv[1]);
	if (ioctl(fd, FS_IOC_FIEMAP, &found.map))
		die("%s: no map of its blocks: %s", argv[1], strerror(errno));
	close(fd);
	nr = found.map.fm_mapped_extents;
	if (!nr || !(found.extents[nr - 1].fe_flags & FIEMAP_EXTENT_LAST))
		die("%s: %s", argv[1], nr ? "too many extents" : "no blocks");
	qsort(found.extents, nr, sizeof(found.extents[0]), by_place);
	for (unsigned int i = 0; i < nr; i++) {
		const struct fiemap_extent *extent = &found.extents[i];
		uint64_t from = extent->fe_physical / SECTOR;
		uint64_t to = from + extent->fe_length / SECTOR;

		if (extent->fe_flags & STRANGE || from < at || to > end)
			die("%s: an extent with flags %#x at %llu", argv[1], extent->fe_flags,
			    (unsigned long long)extent->fe_physical);
		print_range(at, from, argv[2]);
		print_range(from, to, argv[3]);
		at = to;
	}
	print_range(at, end, argv[2]);
	return 0;
}
