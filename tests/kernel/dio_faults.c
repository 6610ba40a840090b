// SPDX-License-Identifier: GPL-2.0
/*
 * dio_faults: direct I/O of memory of the process, of one piece and of many, while each allocation
 * and copy in it fails once: no pin is left, and with nothing failing the data is right. Where all
 * memory is there, bios come from pools that are never empty, and a call ends before it has pinned
 * anything, or not at all; so half of it is missing in some cases, and a fault fails behind pages
 * that are pinned. Needs a kernel that can let them fail. Ends with "N passed, N failed, N skipped".
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "bench.h"
#include "fail_each.h"
#include "layouts.h"
#include "pattern.h"

#define PAGE		(4 * KIB)
#define SIZE		(2 * MIB)
#define PARTS		300	/* more than a bio has */

static struct transfer {
	struct memory mem;
	struct iovec iov[PARTS];
	int fd, parts;
	bool write;
} transfer;

/* The second half, in the order of the transfer, which nobody has written to */
static void forget(void *unused)
{
	const struct transfer *t = &transfer;

	(void)unused;
	if (madvise(t->mem.addr + (t->parts == 1 ? SIZE / 2 : 0), SIZE / 2, MADV_DONTNEED))
		die("MADV_DONTNEED: %s", strerror(errno));
}

static int call(void *unused)
{
	const struct transfer *t = &transfer;
	ssize_t ret = t->write ? pwritev(t->fd, t->iov, t->parts, 0) :
				 preadv(t->fd, t->iov, t->parts, 0);

	(void)unused;
	return ret < 0 ? -errno : (int)ret;
}

/* The whole of it, with nothing failing */
static int check(size_t len, struct reason *why)
{
	static char data[SIZE] __attribute__((aligned(4096)));
	size_t at = 0;
	int ret;

	memset(transfer.mem.addr, 0, transfer.mem.size);
	for (int i = 0; i < transfer.parts; i++) {
		if (transfer.write)
			pattern_fill(transfer.iov[i].iov_base, transfer.iov[i].iov_len, at, 2);
		at += transfer.iov[i].iov_len;
	}
	ret = call(NULL);
	if (ret != (int)len)
		return because(why, "%d instead of %zu", ret, len);
	if (transfer.write && pread(transfer.fd, data, len, 0) != (ssize_t)len)
		return because(why, "reading it: %s", strerror(errno));
	at = 0;
	for (int i = 0; i < transfer.parts; i++) {
		const struct iovec *iov = &transfer.iov[i];
		const char *now = transfer.write ? data + at : iov->iov_base;

		if (pattern_check(now, iov->iov_len, at, transfer.write ? 2 : 1) != iov->iov_len)
			return because(why, "part %d is wrong", i);
		at += iov->iov_len;
	}
	return 0;
}

static int run(const char *path, const struct layout *layout, bool write, bool missing, int parts,
	       struct reason *why)
{
	const struct fail_each each = { missing ? forget : NULL, call, NULL, NULL, false };
	size_t len = 0;
	int ret;

	transfer.fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (transfer.fd < 0)
		return because(why, "%s: %s", path, strerror(errno));
	if (memory_map(&transfer.mem, layout, why)) {
		close(transfer.fd);
		return -1;
	}
	transfer.write = write;
	transfer.parts = parts;
	for (int i = 0; i < parts; i++) {
		/* In reverse order, so that none continues another */
		transfer.iov[i] = parts == 1 ? (struct iovec){ transfer.mem.addr, SIZE } :
			(struct iovec){ transfer.mem.addr + (size_t)(parts - i) * PAGE, PAGE };
		len += transfer.iov[i].iov_len;
	}
	pattern_fill(transfer.mem.addr, SIZE, 0, 1);
	if (pwrite(transfer.fd, transfer.mem.addr, SIZE, 0) != SIZE)
		ret = because(why, "writing: %s", strerror(errno));
	else
		ret = fail_each(write ? "a write" : "a read", &each, why);
	if (!ret)
		ret = check(len, why);
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

int main(int argc, char **argv)
{
	int at = bench_options(argc, argv, "DEVICE", NULL);

	if (argc != at + 1)
		bench_usage(2);
	for (size_t i = 0; i < ARRAY_SIZE(memories); i++)
		for (int kind = 0; kind < 6; kind++) {
			bool write = kind / 2 == 1, missing = kind / 2 == 2;
			int parts = kind & 1 ? PARTS : 1;
			struct reason why;
			char name[64];

			snprintf(name, sizeof(name), "%s, %s of %d%s", memories[i].name,
				 write ? "write" : "read", parts, missing ? ", half is missing" : "");
			bench_tell(name, run(argv[at], &memories[i].layout, write, missing, parts,
					     &why), &why);
		}
	return bench_end();
}
