// SPDX-License-Identifier: GPL-2.0
/*
 * ublk_kbuf: kernel buffers, the pages of a block device's requests, by the ways that registered
 * buffers go. A ublk server in this process keeps the device in a file and moves the data by
 * READ_FIXED, WRITE_FIXED and vectored forms, of the whole request and of parts of it
 * (ublk_server.h). The layout that the kernel tells of each is compared with the request. On the other side are direct reads and writes of the device, of memory of all
 * layouts and of several pieces; the file is compared with them.
 *
 * All of it twice: with buffers registered by a command for each request, and by the driver.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <unistd.h>

#include "acct_arena.h"
#include "pattern.h"
#include "ublk_server.h"
#include "vmstat.h"

#define DEVICE		"/dev/ublkb0"
#define DEVICE_SIZE	(8 * MIB)
#define BLOCK		512
#define PIECES		8
#define BYTES_MAX	(2 * MIB)
#define TRANSFERS	150

static struct acct_arena arena;
static char *bounce;
static uint64_t random_state = 1;

static size_t below(size_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (size_t)(random_state % n);
}

/* Pieces of memory, not overlapping: each in its own part of the arena. */
static unsigned int random_pieces(struct iovec *iov, size_t *total)
{
	static const size_t lens[] = { 512, 1024, 4096, 12800, 65536, 131072, 262144 };
	unsigned int nr = 1 + (unsigned int)below(PIECES);
	size_t part = ALIGN_DOWN(ACCT_ARENA_UNIQUE / nr, BLOCK);

	*total = 0;
	for (unsigned int i = 0; i < nr; i++) {
		size_t len = lens[below(ARRAY_SIZE(lens))];
		size_t at = ALIGN_DOWN(below(part - len), BLOCK);

		iov[i] = (struct iovec){ arena.addr + i * part + at, len };
		*total += len;
	}
	return nr;
}

static int transfer(int device, int file, bool write, uint64_t seed, struct reason *why)
{
	struct iovec iov[PIECES];
	size_t total, at = 0;
	unsigned int nr = random_pieces(iov, &total);
	off_t off = (off_t)ALIGN_DOWN(below(DEVICE_SIZE - total), BLOCK);
	ssize_t len;

	for (unsigned int i = 0; i < nr && write; at += iov[i++].iov_len)
		pattern_fill(iov[i].iov_base, iov[i].iov_len, at, seed);
	if (!write) {
		pattern_fill(bounce, total, 0, seed);
		if (pwrite(file, bounce, total, off) != (ssize_t)total)
			return because(why, "writing the file: %s", strerror(errno));
	}
	len = write ? pwritev(device, iov, (int)nr, off) : preadv(device, iov, (int)nr, off);
	if (len != (ssize_t)total)
		return because(why, "%zd of %zu bytes: %s", len, total,
			       len < 0 ? strerror(errno) : "short");
	if (write) {
		if (pread(file, bounce, total, off) != (ssize_t)total)
			return because(why, "reading the file: %s", strerror(errno));
		at = pattern_check(bounce, total, 0, seed);
		return at == total ? 0 : because(why, "byte %zu of %zu of the file", at, total);
	}
	for (unsigned int i = 0; i < nr; at += iov[i++].iov_len) {
		size_t good = pattern_check(iov[i].iov_base, iov[i].iov_len, at, seed);

		if (good != iov[i].iov_len)
			return because(why, "byte %zu of piece %u", good, i);
	}
	return 0;
}

static int open_block_device(struct reason *why)
{
	int fd;

	for (int i = 0; i < 500; i++) {
		fd = open(DEVICE, O_RDWR | O_DIRECT | O_CLOEXEC);
		if (fd >= 0)
			return fd;
		usleep(10000);
	}
	return because(why, "%s: %s", DEVICE, strerror(errno));
}

/* 0, 1 if the kernel lacks something, or -1; both with @why. */
static int run(bool auto_register, struct reason *why)
{
	static struct ublk_server server;
	struct reason stopping;
	int device, ret;

	memset(&server, 0, sizeof(server));
	server.auto_register = auto_register;
	server.size = DEVICE_SIZE;
	server.file = memfd_create("device", MFD_CLOEXEC);
	if (server.file < 0 || ftruncate(server.file, DEVICE_SIZE))
		die("memfd: %s", strerror(errno));
	ret = ublk_server_start(&server, why);
	if (ret)
		return ret;
	device = open_block_device(why);
	ret = device < 0 ? -1 : 0;
	for (int i = 0; i < TRANSFERS && !ret; i++) {
		struct reason inner;

		if (transfer(device, server.file, i % 2, (uint64_t)i + 1, &inner))
			ret = because(why, "transfer %d, %s: %s", i, i % 2 ? "write" : "read",
				      inner.text);
	}
	if (device >= 0)
		close(device);
	if (ublk_server_stop(&server, &stopping) && !ret)
		ret = because(why, "%s", stopping.text);
	close(server.file);
	if (!ret && server.transfers < TRANSFERS)
		ret = because(why, "only %lu transfers of the server", server.transfers);
	if (!ret && server.layouts_told && server.layouts < TRANSFERS)
		ret = because(why, "only %lu layouts of kernel buffers", server.layouts);
	if (!ret)
		printf("     %lu requests, %lu transfers of kernel buffers, %lu refused, "
		       "%lu layouts\n",
		       server.requests, server.transfers, server.refused, server.layouts);
	if (!ret && !server.layouts_told)
		ret = -because(why, "all but layouts, which this kernel does not tell");
	return ret;
}

int main(void)
{
	const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	static const char * const names[] = { "registered by command", "registered by the driver" };
	unsigned int counts[3] = { 0 };
	struct vmstat start;
	struct reason why;

	if (setrlimit(RLIMIT_MEMLOCK, &unlimited))
		die("cannot raise RLIMIT_MEMLOCK: %s", strerror(errno));
	vmstat_start(&start);
	if (acct_arena_map(&arena, &why))
		die("%s", why.text);
	bounce = malloc(BYTES_MAX);
	if (!bounce)
		die("out of memory");
	for (int i = 0; i < 2; i++) {
		int ret = run(i, &why);

		if (ret)
			printf("%s %s: %s\n", ret > 0 ? "SKIP" : "FAIL", names[i], why.text);
		else
			printf("ok   %s\n", names[i]);
		counts[ret < 0 ? 1 : ret > 0 ? 2 : 0]++;
		fflush(stdout);
	}
	munmap(arena.addr, arena.size);
	if (vmstat_balanced(&start, &why))
		die("in the end: %s", why.text);
	printf("%u passed, %u failed, %u skipped\n", counts[0], counts[1], counts[2]);
	return counts[1] ? 1 : 0;
}
