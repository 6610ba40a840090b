// SPDX-License-Identifier: GPL-2.0
/*
 * dio_pins: direct I/O whose vectors fill a bio in the middle of a block. The bio is trimmed to
 * whole blocks, and what is cut off is pinned again for the next one; no pin may be left. By an
 * ordinary user. Ends with "N passed, N failed, N skipped".
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "caps.h"
#include "fixed_io.h"
#include "vmstat.h"

#define PAGE		(4 * KIB)
#define THP		(2 * MIB)
#define BIO_VECS	256		/* of a bio, at most */
#define PLACE		(2 * PAGE)	/* an iovec is at the start of one */
#define CALLS		10
#define USER		1000

/* What comes behind iovecs of a page each; with it the bio is full. */
static const struct end {
	const char *name;
	size_t block, mem_align;	/* of a device where it is so */
	struct {
		size_t at, len;
	} iov[4];
} ends[] = {
	{ "one page of two is cut off", 4096, 512, { { 0, 4608 }, { 0, 512 }, { 0, 3072 } } },
	{ "a vector on two pages is cut off", 4096, 512,
		{ { 3584, 1024 }, { 0, 512 }, { 0, 2560 } } },
	{ "nothing is cut off", 4096, 512, { { 0, 4096 }, { 0, 4096 }, { 0, 4096 } } },
	{ "8 bytes and a page are cut off", 512, 4, { { 0, 4100 }, { 0, 8 }, { 0, 500 } } },
};

static char *map_thp(void)
{
	char *addr = mmap(NULL, 3 * THP, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (addr == MAP_FAILED)
		die("mmap: %s", strerror(errno));
	addr = (char *)ALIGN_UP((uintptr_t)addr, THP);
	if (madvise(addr, 2 * THP, MADV_HUGEPAGE))
		die("MADV_HUGEPAGE: %s", strerror(errno));
	memset(addr, 1, 2 * THP);
	return addr;
}

/* In a child of its own: the memory is gone when it has ended, but for what is pinned. */
static void transfer(const char *device, const struct end *end, bool write)
{
	unsigned int nr = BIO_VECS - 2;
	struct iovec iov[BIO_VECS + 2];
	char *addr = map_thp();
	ssize_t want = 0, ret;
	int fd;

	become_user(USER);
	fd = open(device, O_RDWR | O_DIRECT);
	if (fd < 0)
		die("%s: %s", device, strerror(errno));
	for (unsigned int i = 0; i < nr; i++)
		iov[i] = (struct iovec){ addr + i * PLACE, PAGE };
	for (unsigned int i = 0; i < ARRAY_SIZE(end->iov) && end->iov[i].len; i++, nr++)
		iov[nr] = (struct iovec){ addr + nr * PLACE + end->iov[i].at, end->iov[i].len };
	for (unsigned int i = 0; i < nr; i++)
		want += (ssize_t)iov[i].iov_len;
	for (int i = 0; i < CALLS; i++) {
		ret = write ? pwritev(fd, iov, (int)nr, 0) : preadv(fd, iov, (int)nr, 0);
		if (ret != want)
			die("%zd of %zd bytes: %s", ret, want, ret < 0 ? strerror(errno) : "short");
	}
	exit(0);
}

static int64_t pins_held(void)
{
	struct vmstat now;

	vmstat_read(&now);
	return (int64_t)(now.pin_acquired - now.pin_released);
}

static int try(const char *device, const struct end *end, bool write, struct reason *why)
{
	int64_t before = pins_held(), left;
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (!pid)
		transfer(device, end, write);
	if (waitpid(pid, &status, 0) != pid || status)
		return because(why, "the transfer failed");
	left = pins_held() - before;
	if (left)
		return because(why, "%lld pins left after %d calls", (long long)left, CALLS);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned int passed = 0, failed = 0, skipped = 0;

	if (argc < 2) {
		fputs("usage: dio_pins DEVICE...\nThey are written to.\n", stderr);
		return 2;
	}
	for (int arg = 1; arg < argc; arg++) {
		struct io_target target;
		struct reason why;

		if (io_target_open(&target, argv[arg], 0, &why) || chmod(argv[arg], 0666))
			die("%s: %s", argv[arg], why.text);
		io_target_close(&target);
		for (size_t i = 0; i < 2 * ARRAY_SIZE(ends); i++) {
			const struct end *end = &ends[i / 2];
			bool write = i % 2;

			if (target.block != end->block || target.mem_align > end->mem_align)
				continue;
			if (try(argv[arg], end, write, &why)) {
				failed++;
				printf("FAIL %s, %s, %s: %s\n", argv[arg], write ? "pwritev" : "preadv",
				       end->name, why.text);
			} else {
				passed++;
				printf("ok   %s, %s, %s\n", argv[arg], write ? "pwritev" : "preadv",
				       end->name);
			}
		}
	}
	printf("%u passed, %u failed, %u skipped\n", passed, failed, skipped);
	return failed || !passed ? 1 : 0;
}
