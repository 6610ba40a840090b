// SPDX-License-Identifier: GPL-2.0
/*
 * p2p_mem: direct I/O and registered buffers of memory that a PCI device has and lends to others
 * (an NVMe controller's, /sys/bus/pci/devices/.../p2pmem/allocate). Only a device that can do so
 * may transfer to it; nobody may pin it for long. What is transferred is compared.
 *
 *	p2p_mem NVME DISK
 *
 * NVME is a namespace of a controller that has such memory, DISK one that cannot reach it; both are
 * written to. The lines printed are the same on every kernel but for the last, which is
 * "N passed, N failed, N skipped".
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "pattern.h"
#include "registration.h"
#include "util.h"
#include "vmstat.h"

#define PAGE		(4 * KIB)
#define PAGES		8		/* of a transfer, at most */
#define POSITION	(64 * KIB)

/* Which pages of a transfer are the device's: a letter each, p those, m other memory */
static const struct memory {
	const char *pages;
	bool vectored;			/* a vector for each page, or one range */
} memories[] = {
	{ "m", false },
	{ "p", false },
	{ "pppp", false },
	{ "mmpp", false },
	{ "ppmm", false },
	{ "mpmpm", false },
	{ "mmpp", true },
	{ "ppmm", true },
	{ "pmpm", true },
	{ "pppp", true },
};

static const struct way {
	const char *name;
	bool write, uring;
} ways[] = {
	{ "read", false, false },
	{ "write", true, false },
	{ "io_uring read", false, true },
	{ "io_uring write", true, true },
};

static unsigned int passed, failed;
static const char *allocate;
static char *plain;			/* aligned memory to look at the device with */
static struct io_uring ring;

static char *map_pages(const char *pages)
{
	size_t len = strlen(pages) * PAGE;
	char *addr = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = open(allocate, O_RDWR | O_CLOEXEC);

	if (addr == MAP_FAILED || fd < 0)
		die("mmap, or %s: %s", allocate, strerror(errno));
	memset(addr, 0, len);
	for (size_t i = 0; pages[i]; i++)
		if (pages[i] == 'p' && mmap(addr + i * PAGE, PAGE, PROT_READ | PROT_WRITE,
					    MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED)
			die("mmap of %s: %s", allocate, strerror(errno));
	close(fd);
	return addr;
}

static ssize_t by_uring(int fd, const struct memory *mem, const struct way *way,
			const struct iovec *iov, unsigned int nr)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
	struct io_uring_cqe *cqe;
	ssize_t ret;

	if (mem->vectored)
		io_uring_prep_rw(way->write ? IORING_OP_WRITEV : IORING_OP_READV, sqe, fd, iov, nr,
				 POSITION);
	else
		io_uring_prep_rw(way->write ? IORING_OP_WRITE : IORING_OP_READ, sqe, fd,
				 iov->iov_base, (unsigned int)iov->iov_len, POSITION);
	ret = io_uring_submit_and_wait(&ring, 1);
	if (ret != 1)
		die("io_uring_enter: %s", strerror((int)-ret));
	ret = io_uring_wait_cqe(&ring, &cqe);
	if (ret)
		die("io_uring_wait_cqe: %s", strerror((int)-ret));
	ret = cqe->res;
	io_uring_cqe_seen(&ring, cqe);
	return ret;
}

static ssize_t transfer(int fd, const struct memory *mem, const struct way *way, char *addr,
			size_t len)
{
	struct iovec iov[PAGES] = { { addr, len } };
	unsigned int nr = 1;
	ssize_t ret;

	if (mem->vectored) {
		nr = (unsigned int)(len / PAGE);
		for (unsigned int i = 0; i < nr; i++)
			iov[i] = (struct iovec){ addr + i * PAGE, PAGE };
	}
	if (way->uring)
		return by_uring(fd, mem, way, iov, nr);
	ret = way->write ? pwritev(fd, iov, (int)nr, POSITION) : preadv(fd, iov, (int)nr, POSITION);
	return ret < 0 ? -errno : ret;
}

/* The bytes that a transfer says it has done are the right ones, and no others were touched. */
static int check_data(int fd, const struct way *way, const char *addr, size_t done, size_t len,
		      struct reason *why)
{
	const char *where = way->write ? plain : addr;

	if (way->write && pread(fd, plain, len, POSITION) != (ssize_t)len)
		return because(why, "reading what was written: %s", strerror(errno));
	if (pattern_check(where, done, 0, 2) != done)
		return because(why, "the data is wrong");
	if (pattern_check(where + done, len - done, done, 1) != len - done)
		return because(why, "what is behind the data was touched");
	return 0;
}

static void report(const char *what, const char *pages, const char *how, const char *result,
		   int ret, const struct reason *why)
{
	if (ret) {
		failed++;
		printf("FAIL %s of %s%s: %s, %s\n", what, pages, how, result, why->text);
	} else {
		passed++;
		printf("ok   %s of %s%s: %s\n", what, pages, how, result);
	}
}

static void try(const char *device, const char *name, const struct memory *mem,
		const struct way *way)
{
	size_t len = strlen(mem->pages) * PAGE;
	char *addr = map_pages(mem->pages);
	int fd = open(device, O_RDWR | O_DIRECT | O_CLOEXEC), ret;
	char what[64], result[64];
	struct reason why;
	ssize_t done;

	if (fd < 0)
		die("%s: %s", device, strerror(errno));
	pattern_fill(plain, len, 0, way->write ? 1 : 2);
	if (pwrite(fd, plain, len, POSITION) != (ssize_t)len)
		die("writing to %s: %s", device, strerror(errno));
	pattern_fill(addr, len, 0, way->write ? 2 : 1);

	done = transfer(fd, mem, way, addr, len);
	ret = check_data(fd, way, addr, done < 0 ? 0 : (size_t)done, len, &why);
	snprintf(what, sizeof(what), "%s, %s", name, way->name);
	if (done < 0)
		snprintf(result, sizeof(result), "%s", errno_name((int)-done));
	else
		snprintf(result, sizeof(result), "%zd of %zu bytes", done, len);
	report(what, mem->pages, mem->vectored ? " in vectors" : "", result, ret, &why);
	close(fd);
	munmap(addr, len);
}

/* Never for long */
static void try_register(const struct memory *mem)
{
	size_t len = strlen(mem->pages) * PAGE;
	char *addr = map_pages(mem->pages);
	struct iovec iov = { addr, len };
	struct reason why;
	int ret;

	ret = io_uring_register_buffers(&ring, &iov, 1);
	if (!ret)
		io_uring_unregister_buffers(&ring);
	because(&why, "it has memory of a device");
	report("registering", mem->pages, "", ret ? errno_name(-ret) : "done",
	       !ret && strchr(mem->pages, 'p'), &why);
	munmap(addr, len);
}

int main(int argc, char **argv)
{
	const char *devices[] = { "a device with such memory", "another" };
	struct vmstat before;
	struct reason why;
	glob_t found;

	if (argc != 3) {
		fputs("usage: p2p_mem NVME DISK\nBoth are written to.\n", stderr);
		return 2;
	}
	if (glob("/sys/bus/pci/devices/*/p2pmem/allocate", 0, NULL, &found)) {
		puts("SKIP no PCI device has memory for others\n0 passed, 0 failed, 1 skipped");
		return 77;
	}
	allocate = found.gl_pathv[0];
	plain = aligned_alloc(PAGE, PAGES * PAGE);
	if (!plain || ring_init(&ring, false, &why))
		die("no memory, or no ring");
	vmstat_start(&before);
	for (int d = 0; d < 2; d++)
		for (size_t m = 0; m < ARRAY_SIZE(memories); m++)
			for (size_t w = 0; w < ARRAY_SIZE(ways); w++)
				try(argv[1 + d], devices[d], &memories[m], &ways[w]);
	for (size_t m = 0; m < ARRAY_SIZE(memories); m++)
		if (!memories[m].vectored)
			try_register(&memories[m]);
	report("pins", "all", "", "balance", vmstat_balanced(&before, &why), &why);
	globfree(&found);
	printf("%u passed, %u failed, 0 skipped\n", passed, failed);
	return failed || !passed ? 1 : 0;
}
