// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bad_memory.h"

#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif

#define PAGE		(4 * KIB)
#define SIZE		BAD_MEMORY_SIZE
/* The BIOS, which every PC has there. */
#define DEVICE_ADDRESS	0xf0000

/* A file of SIZE bytes, all written, or -1 with @why. */
static int open_file(const char *dir, struct reason *why)
{
	char path[128], block[PAGE] = "";
	int fd;

	snprintf(path, sizeof(path), "%s/bad_memory", dir);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return because(why, "%s: %s", path, strerror(errno));
	unlink(path);
	for (size_t off = 0; off < SIZE; off += PAGE)
		if (write(fd, block, PAGE) != PAGE) {
			because(why, "%s: %s", path, strerror(errno));
			close(fd);
			return -1;
		}
	return fd;
}

static int map_fd(int fd, off_t off, struct iovec *iov, struct reason *why)
{
	int ret = 0;

	iov->iov_base = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, off);
	if (iov->iov_base == MAP_FAILED)
		ret = because(why, "mmap: %s", strerror(errno));
	close(fd);
	return ret;
}

static int map_anonymous(enum bad_memory kind, struct iovec *iov, struct reason *why)
{
	size_t size = iov->iov_len;
	char *addr = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int ret = 0;

	if (addr == MAP_FAILED || madvise(addr, size, MADV_NOHUGEPAGE))
		return because(why, "mmap: %s", strerror(errno));
	memset(addr, 1, size);
	iov->iov_base = addr;
	if (kind == MEM_UNMAPPED)
		ret = munmap(addr, size);
	else if (kind == MEM_HOLE)
		ret = munmap(addr + size / 2, PAGE);
	else if (kind == MEM_READ_ONLY)
		ret = mprotect(addr, size, PROT_READ);
	else if (kind == MEM_NO_ACCESS)
		ret = mprotect(addr, size, PROT_NONE);
	else if (kind == MEM_LAST_READ_ONLY)
		ret = mprotect(addr + size - PAGE, PAGE, PROT_READ);
	else if (kind == MEM_LONG_HOLE)
		ret = munmap(addr + size - PAGE, PAGE);
	return ret ? because(why, "munmap, mprotect: %s", strerror(errno)) : 0;
}

int bad_memory_map(enum bad_memory kind, const char *dir, const char *dax_dir, struct iovec *iov,
		   struct reason *why)
{
	int fd;

	iov->iov_len = kind == MEM_LONG || kind == MEM_LONG_HOLE ? BAD_MEMORY_LONG : SIZE;
	switch (kind) {
	case MEM_SECRET:
		fd = (int)syscall(SYS_memfd_secret, O_CLOEXEC);
		if (fd < 0)
			return -because(why, "memfd_secret: %s", strerror(errno));
		if (ftruncate(fd, SIZE)) {
			close(fd);
			return because(why, "ftruncate: %s", strerror(errno));
		}
		break;
	case MEM_FILE_SHARED:
	case MEM_FSDAX:
		if (kind == MEM_FSDAX)
			dir = dax_dir;
		if (!dir)
			return -because(why, "no file system for it");
		fd = open_file(dir, why);
		break;
	case MEM_DEVICE:
		fd = open("/dev/mem", O_RDWR | O_CLOEXEC);
		if (fd < 0)
			return -because(why, "/dev/mem: %s", strerror(errno));
		return map_fd(fd, DEVICE_ADDRESS, iov, why);
	default:
		return map_anonymous(kind, iov, why);
	}
	if (fd < 0 || map_fd(fd, 0, iov, why))
		return -1;
	/* Present, so that nothing but what it is keeps it from being pinned. */
	memset(iov->iov_base, 1, SIZE);
	return 0;
}

void bad_memory_unmap(enum bad_memory kind, const struct iovec *iov)
{
	if (kind != MEM_UNMAPPED)
		munmap(iov->iov_base, iov->iov_len);
}
