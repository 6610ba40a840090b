// SPDX-License-Identifier: GPL-2.0
/*
 * dio_verify: direct I/O with memory of all kinds that is not registered, by io_uring and by
 * system calls. The data is compared, as for registered buffers (see io_plan.h): around each
 * boundary of pages and folios, in one part and in several. No pin may be left after any of it.
 * Ends with "N passed, N failed, N skipped".
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <unistd.h>

#include "io_plan.h"
#include "layouts.h"
#include "pattern.h"
#include "vmstat.h"

#define PAGE		(4 * KIB)
#define FS_FILE		"/mnt/dio"
#define SOURCE_FILE	"/mnt/source"
#define SOURCE_SIZE	(4 * MIB)
#define MAX_TARGETS	8

static const struct {
	const char *name;
	struct layout layout;
} memories[] = {
	{ "4K pages", { .backing = BACKING_4K, .size = 3 * MIB } },
	{ "folios of 16K", { .backing = BACKING_16K, .size = 3 * MIB } },
	{ "folios of 64K", { .backing = BACKING_64K, .size = 3 * MIB } },
	{ "folios of 1M", { .backing = BACKING_1M, .size = 3 * MIB } },
	{ "THPs", { .backing = BACKING_THP, .size = 4 * MIB } },
	{ "THPs mapped by PTEs", { .backing = BACKING_THP_PTES, .size = 4 * MIB } },
	{ "THPs with replaced pages",
		{ .backing = BACKING_THP, .size = 8 * MIB, .replace_every = 4 * MIB } },
	{ "shmem of 4K pages", { .backing = BACKING_SHMEM_4K, .size = 3 * MIB } },
	{ "hugetlb 2M", { .backing = BACKING_HUGETLB_2M, .size = 4 * MIB } },
	{ "hugetlb 2M, at two addresses",
		{ .backing = BACKING_HUGETLB_2M, .size = 4 * MIB, .alias = 2 * MIB } },
};

static struct io_target targets[MAX_TARGETS];
static unsigned int nr_targets, passed, failed;
static enum corrupt corrupt;
static uint64_t ios, bytes;
/*
 * Parts end in the middle of pages, but not of blocks: a device that takes no such gaps cannot
 * have a bio split there.
 */
static bool whole_blocks;
static const char *fs_type = "ext4";

static void result(const char *what, int ret, const struct reason *why)
{
	if (ret) {
		failed++;
		printf("FAIL %s: %s\n", what, why->text);
	} else {
		passed++;
		printf("ok   %s\n", what);
	}
	fflush(stdout);
}

static int check_memory(const struct layout *layout, struct reason *why)
{
	struct fixed_io io = { .unregistered = true, .corrupt = corrupt };
	struct io_plan plan = { .targets = targets, .nr_targets = nr_targets };
	struct io_uring ring;
	struct vmstat before;
	struct memory mem;
	size_t edges[8];
	int ret;

	vmstat_start(&before);
	if (memory_map(&mem, layout, why))
		return -1;
	ret = io_uring_queue_init(4, &ring, 0);
	if (ret)
		die("io_uring_queue_init: %s", strerror(-ret));
	plan.edges = edges;
	for (size_t i = 0; i < mem.nr_replaced && plan.nr_edges < ARRAY_SIZE(edges); i++) {
		edges[plan.nr_edges++] = mem.replaced[i];
		edges[plan.nr_edges++] = mem.replaced[i] + PAGE;
	}
	io.ring = &ring;
	io.memory = mem.addr;
	io.memory_size = mem.size;
	fixed_io_init(&io);
	ret = io_plan_run(&io, &plan, 0, mem.size, why);
	fixed_io_exit(&io);
	io_uring_queue_exit(&ring);
	memory_unmap(&mem);
	corrupt = io.corrupt;
	ios += io.ios;
	bytes += io.bytes;
	return ret ? ret : vmstat_balanced(&before, why);
}

/* Pages of a file that may only be read are the source of writes, wherever they begin. */
static int check_file_source(int flags, struct reason *why)
{
	static const size_t starts[] = { 0, 512, PAGE - 512, PAGE, 64 * KIB - 512, MIB + 512 };
	static const size_t lens[] = { 512, PAGE, 64 * KIB + 512, MIB };
	static char bounce[MIB] __attribute__((aligned(4096)));
	int fd = open(SOURCE_FILE, O_RDONLY | O_CLOEXEC), ret = 0;
	struct vmstat before;
	char *addr;

	vmstat_start(&before);
	addr = mmap(NULL, SOURCE_SIZE, PROT_READ, flags, fd, 0);
	if (fd < 0 || addr == MAP_FAILED)
		return because(why, "%s: %s", SOURCE_FILE, strerror(errno));
	close(fd);
	for (unsigned int i = 0; i < nr_targets * ARRAY_SIZE(starts) * ARRAY_SIZE(lens) && !ret; i++) {
		const struct io_target *target = &targets[i % nr_targets];
		size_t start = ALIGN_DOWN(starts[i / nr_targets % ARRAY_SIZE(starts)],
					  target->mem_align);
		size_t len = ALIGN_UP(lens[i / nr_targets / ARRAY_SIZE(starts)], target->block);

		len = min_size(len, MIB);
		memset(bounce, 0, len);
		if (pwrite(target->fd, addr + start, len, 0) != (ssize_t)len ||
		    pread(target->fd, bounce, len, 0) != (ssize_t)len)
			ret = because(why, "%zu bytes to %s: %s", len, target->name,
				      strerror(errno));
		else if (pattern_check(bounce, len, start, 1) != len)
			ret = because(why, "%zu bytes to %s: the data is wrong", len, target->name);
		ios++;
		bytes += len;
	}
	munmap(addr, SOURCE_SIZE);
	return ret ? ret : vmstat_balanced(&before, why);
}

static void make_source(void)
{
	int fd = open(SOURCE_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	static char buf[SOURCE_SIZE];

	pattern_fill(buf, sizeof(buf), 0, 1);
	if (fd < 0 || write(fd, buf, sizeof(buf)) != (ssize_t)sizeof(buf) || fsync(fd))
		die("%s: %s", SOURCE_FILE, strerror(errno));
	close(fd);
}

static void add_target(const char *path, uint64_t size)
{
	struct reason why;

	if (nr_targets == MAX_TARGETS)
		die("too many targets");
	if (io_target_open(&targets[nr_targets++], path, size, &why))
		die("%s", why.text);
	if (whole_blocks)
		targets[nr_targets - 1].mem_align = targets[nr_targets - 1].block;
}

static const char *parse_options(int argc, char **argv)
{
	static const struct option options[] = {
		{ "fs-device", required_argument, NULL, 'f' },
		{ "fs-type", required_argument, NULL, 't' },
		{ "whole-blocks", no_argument, NULL, 'w' },
		{ "corrupt", required_argument, NULL, 'c' },
		{ }
	};
	const char *fs = NULL;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'f')
			fs = optarg;
		else if (c == 't')
			fs_type = optarg;
		else if (c == 'w')
			whole_blocks = true;
		else if (c == 'c' && !strcmp(optarg, "memory"))
			corrupt = CORRUPT_MEMORY;
		else if (c == 'c' && !strcmp(optarg, "device"))
			corrupt = CORRUPT_DEVICE;
		else
			die("usage: dio_verify [--fs-device DEVICE] [--fs-type NAME]\n"
			    "                  [--whole-blocks] [--corrupt memory|device] DEVICE...\n"
			    "They are written to.");
	}
	for (; optind < argc; optind++)
		add_target(argv[optind], 0);
	return fs;
}

int main(int argc, char **argv)
{
	const char *fs = parse_options(argc, argv);
	struct reason why;

	if (fs) {
		if (mount(fs, "/mnt", fs_type, 0, NULL))
			die("mounting %s: %s", fs, strerror(errno));
		add_target(FS_FILE, 16 * MIB);
	}
	if (!nr_targets)
		die("no device");
	for (size_t i = 0; i < ARRAY_SIZE(memories); i++)
		result(memories[i].name, check_memory(&memories[i].layout, &why), &why);
	if (fs) {
		make_source();
		result("from pages of a file, mapped shared", check_file_source(MAP_SHARED, &why),
		       &why);
		result("from pages of a file, mapped private", check_file_source(MAP_PRIVATE, &why),
		       &why);
	}
	note("%llu transfers, %llu bytes, data right", (unsigned long long)ios,
	     (unsigned long long)bytes);
	printf("%u passed, %u failed, 0 skipped\n", passed, failed);
	return failed ? 1 : 0;
}
