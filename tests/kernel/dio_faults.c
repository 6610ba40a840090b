// SPDX-License-Identifier: GPL-2.0
/*
 * dio_faults: direct I/O of memory of the process, of one piece and of many, while each allocation
 * and copy in it fails once: no pin is left, and with nothing failing the data is right.
 *
 *	dio_faults [--fs-device DEVICE] DEVICE
 *
 * DEVICE is written to, and a file of the ext4 that is on the other. Where all memory is there, bios
 * come from pools that are never empty, and a call ends before it has pinned anything, or not at all;
 * so half of it is missing in some cases, and a fault fails behind pages that are pinned. Needs a
 * kernel that can let them fail. Ends with "N passed, N failed, N skipped".
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/uio.h>
#include <unistd.h>

#include "bench.h"
#include "fail_each.h"
#include "layouts.h"
#include "pattern.h"

#define PAGE		(4 * KIB)
#define SIZE		(2 * MIB)
#define FS_FILE		"/mnt/file"

/* What is transferred: one piece, or parts of a page */
static const struct shape {
	const char *name;
	int parts;
	size_t size;
} shapes[] = {
	{ "one piece", 1, SIZE },
	{ "few pages", 1, 256 * KIB },		/* a device has a way of its own for these */
	{ "300 parts", 300, 300 * PAGE },	/* more than a bio has */
};
#define PARTS_MAX	300

static const struct kind {
	const char *name;
	bool write, missing;
} kinds[] = {
	{ "read", false, false },
	{ "write", true, false },
	{ "read, half is missing", false, true },
};

static struct transfer {
	struct memory mem;
	struct iovec iov[PARTS_MAX];
	const struct shape *shape;
	int fd;
	bool write;
} transfer;

/* The second half, in the order of the transfer, which nobody has written to */
static void forget(void *unused)
{
	const struct transfer *t = &transfer;
	size_t half = ALIGN_DOWN(t->shape->size / 2, PAGE);

	(void)unused;
	/* Parts are in reverse order. */
	if (madvise(t->mem.addr + (t->shape->parts == 1 ? half : 0), half, MADV_DONTNEED))
		die("MADV_DONTNEED: %s", strerror(errno));
}

/* All of it; what failed behind a part that was pinned may end it with that part. */
static int call(void *unused)
{
	const struct transfer *t = &transfer;
	ssize_t ret = t->write ? pwritev(t->fd, t->iov, t->shape->parts, 0) :
				 preadv(t->fd, t->iov, t->shape->parts, 0);

	(void)unused;
	if (ret < 0)
		return -errno;
	return ret == (ssize_t)t->shape->size ? 0 : -EFAULT;
}

/* The whole of it, with nothing failing */
static int check(struct reason *why)
{
	static char data[SIZE] __attribute__((aligned(4096)));
	size_t at = 0, len = transfer.shape->size;
	int ret;

	memset(transfer.mem.addr, 0, transfer.mem.size);
	for (int i = 0; i < transfer.shape->parts; i++) {
		if (transfer.write)
			pattern_fill(transfer.iov[i].iov_base, transfer.iov[i].iov_len, at, 2);
		at += transfer.iov[i].iov_len;
	}
	ret = call(NULL);
	if (ret)
		return because(why, "with nothing failing: %s", strerror(-ret));
	if (transfer.write && pread(transfer.fd, data, len, 0) != (ssize_t)len)
		return because(why, "reading it: %s", strerror(errno));
	at = 0;
	for (int i = 0; i < transfer.shape->parts; i++) {
		const struct iovec *iov = &transfer.iov[i];
		const char *now = transfer.write ? data + at : iov->iov_base;

		if (pattern_check(now, iov->iov_len, at, transfer.write ? 2 : 1) != iov->iov_len)
			return because(why, "part %d is wrong", i);
		at += iov->iov_len;
	}
	return 0;
}

static int run(const char *path, const struct layout *layout, const struct kind *kind,
	       const struct shape *shape, struct reason *why)
{
	/* Of one piece no array is allocated; and where a page could not be had, the rest is another bio */
	const struct fail_each each = { .before = kind->missing ? forget : NULL, .call = call,
					.goes_on = shape->parts == 1 };
	int ret;

	transfer.fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC | (!strcmp(path, FS_FILE) ? O_CREAT : 0),
			   0600);
	if (transfer.fd < 0)
		return because(why, "%s: %s", path, strerror(errno));
	if (memory_map(&transfer.mem, layout, why)) {
		close(transfer.fd);
		return -1;
	}
	transfer.write = kind->write;
	transfer.shape = shape;
	/* In reverse order, so that none continues another */
	for (int i = 0; i < shape->parts; i++)
		transfer.iov[i] = (struct iovec){
			transfer.mem.addr + (size_t)(shape->parts - 1 - i) * PAGE,
			shape->size / (size_t)shape->parts,
		};
	pattern_fill(transfer.mem.addr, SIZE, 0, 1);
	if (pwrite(transfer.fd, transfer.mem.addr, SIZE, 0) != SIZE)
		ret = because(why, "writing: %s", strerror(errno));
	else
		ret = fail_each(kind->write ? "a write" : "a read", &each, why);
	if (!ret)
		ret = check(why);
	memory_unmap(&transfer.mem);
	close(transfer.fd);
	return ret;
}

static const struct {
	const char *name;
	struct layout layout;
} memories[] = {
	{ "4K", { .backing = BACKING_4K, .size = SIZE } },
	{ "64K", { .backing = BACKING_64K, .size = SIZE } },
	{ "THP", { .backing = BACKING_THP, .size = SIZE } },
};

static void run_all(const char *path, const char *place)
{
	for (size_t i = 0; i < ARRAY_SIZE(memories); i++)
		for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
			for (size_t s = 0; s < ARRAY_SIZE(shapes); s++) {
				struct reason why;
				char name[96];
				int ret = run(path, &memories[i].layout, &kinds[k], &shapes[s], &why);

				snprintf(name, sizeof(name), "%s, %s, %s, %s", place, memories[i].name,
					 kinds[k].name, shapes[s].name);
				bench_tell(name, ret, &why);
			}
}

int main(int argc, char **argv)
{
	static const char *fs;
	static const struct bench_option options[] = {
		{ "fs-device", "DEVICE", "an ext4, to write a file of it, too", .text = &fs },
		{ }
	};
	int at = bench_options(argc, argv, "DEVICE", options);

	if (argc != at + 1)
		bench_usage(2);
	bench_measures_nothing();
	run_all(argv[at], "device");
	if (fs) {
		if (mount(fs, "/mnt", "ext4", 0, NULL))
			die("mounting %s: %s", fs, strerror(errno));
		run_all(FS_FILE, "file");
		umount("/mnt");
	}
	return bench_end();
}
