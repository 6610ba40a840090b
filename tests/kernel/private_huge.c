// SPDX-License-Identifier: GPL-2.0
/*
 * private_huge: read-only long-term pins of a private mapping of a file, where a PMD maps a huge
 * page of it. They have to end, and to have copies of the pages: nothing that is written to the
 * mapping later may be missing in what is pinned. Ends with "N passed, N failed, N skipped".
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pattern.h"
#include "race_pin.h"

#define HUGE_PAGE	(2 * MIB)
#define PAGES		(HUGE_PAGE / PAGE)
#define PATIENCE_MS	20000
#define SKIPPED		77

struct file_system {
	const char *type, *options;
	bool has_device;
};

static const struct file_system file_systems[] = {
	{ "tmpfs", "huge=always", false },
	{ "ext4", NULL, true },
};

#define MUST(call)	({						\
	long ret_ = (long)(call);					\
	if (ret_ == -1)							\
		die("%s: %s", #call, strerror(errno));			\
	ret_;								\
})

static int make_file(void)
{
	int fd = (int)MUST(open("/mnt/huge", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
	char *data = malloc(HUGE_PAGE);

	if (!data)
		die("out of memory");
	pattern_fill(data, HUGE_PAGE, 0, 1);
	if (write(fd, data, HUGE_PAGE) != (ssize_t)HUGE_PAGE)
		die("/mnt/huge: %s", strerror(errno));
	free(data);
	/* Only what is read from the disk can become a huge page of ext4. */
	MUST(fsync(fd));
	MUST(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
	return fd;
}

static char *map_huge(int fd)
{
	char *addr = mmap(NULL, 2 * HUGE_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	MUST((intptr_t)addr);
	addr = (char *)ALIGN_UP((uintptr_t)addr, HUGE_PAGE);
	MUST((intptr_t)mmap(addr, HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd, 0));
	MUST(madvise(addr, HUGE_PAGE, MADV_HUGEPAGE));
	if (pattern_check(addr, HUGE_PAGE, 0, 1) != HUGE_PAGE)
		die("the file is not what was written");
	return addr;
}

/* In kB, of all mappings of this process */
static uint64_t pmd_mapped(void)
{
	uint64_t files = 0, shmem = 0;

	if (read_key("/proc/self/smaps_rollup", "FilePmdMapped:", &files) ||
	    read_key("/proc/self/smaps_rollup", "ShmemPmdMapped:", &shmem))
		die("/proc/self/smaps_rollup tells nothing of PMDs");
	return files + shmem;
}

static int expect(struct pinner *pinner, const char *what, uint64_t seed)
{
	int ret = pin_read(pinner);
	size_t right;

	if (ret) {
		printf("reading it %s: %s\n", what, strerror(-ret));
		return 1;
	}
	right = pattern_check(pinner->copy, HUGE_PAGE, 0, seed);
	if (right == HUGE_PAGE)
		return 0;
	printf("what is pinned differs %s, from byte %zu on\n", what, right);
	return 1;
}

/* The exit status: 0, 1 with a line that says why, or SKIPPED with one. */
static int try(enum pin_way way, int fd)
{
	struct pinner pinner;
	char *addr;
	int ret;

	pinner_init(&pinner, PAGES);
	if (!pinner.works[way]) {
		puts("this kernel has no such pins");
		return SKIPPED;
	}
	addr = map_huge(fd);
	if (pmd_mapped() != HUGE_PAGE / KIB) {
		puts("it is not mapped by a PMD");
		return SKIPPED;
	}
	ret = way == PIN_IO_URING ? pin_hold_source(&pinner, addr, PAGES) :
				    pin_hold(&pinner, way, addr, PAGES, false);
	if (ret == -EINVAL && way == PIN_IO_URING) {
		puts("this kernel has no read-only buffers");
		return SKIPPED;
	}
	if (ret) {
		printf("pinning: %s\n", strerror(-ret));
		return 1;
	}
	if (expect(&pinner, "at first", 1))
		return 1;
	pattern_fill(addr, HUGE_PAGE, 0, 2);
	if (expect(&pinner, "when it was written to", 2))
		return 1;
	ret = pin_release(&pinner);
	if (ret)
		printf("unpinning: %s\n", strerror(-ret));
	return ret ? 1 : 0;
}

/* What a child does not finish is ended: it may go on for ever. */
static int try_in_child(enum pin_way way, int fd)
{
	struct pollfd ended = { .events = POLLIN };
	int status, ready;
	pid_t pid;

	fflush(stdout);
	pid = (pid_t)MUST(fork());
	if (!pid)
		exit(try(way, fd));
	ended.fd = (int)MUST(syscall(SYS_pidfd_open, pid, 0));
	ready = (int)MUST(poll(&ended, 1, PATIENCE_MS));
	if (!ready)
		MUST(kill(pid, SIGKILL));
	MUST(waitpid(pid, &status, 0));
	close(ended.fd);
	if (ready && WIFEXITED(status))
		return WEXITSTATUS(status);
	if (ready)
		puts("it died");
	else
		printf("no end after %d s\n", PATIENCE_MS / 1000);
	return 1;
}

int main(int argc, char **argv)
{
	unsigned int passed = 0, failed = 0, skipped = 0;

	if (argc != 2) {
		fputs("usage: private_huge DEVICE\nDEVICE has an ext4, which is written to.\n", stderr);
		return 2;
	}
	mkdir("/mnt", 0755);
	for (size_t i = 0; i < ARRAY_SIZE(file_systems); i++) {
		const struct file_system *fs = &file_systems[i];

		MUST(mount(fs->has_device ? argv[1] : "none", "/mnt", fs->type, 0, fs->options));
		for (enum pin_way way = 0; way < PIN_WAYS; way++) {
			int fd = make_file(), ret;

			printf("# %s, %s\n", fs->type, pin_way_names[way]);
			ret = try_in_child(way, fd);
			printf("%-4s %s, %s\n", ret == SKIPPED ? "skip" : ret ? "FAIL" : "ok", fs->type,
			       pin_way_names[way]);
			passed += !ret;
			skipped += ret == SKIPPED;
			failed += ret && ret != SKIPPED;
			close(fd);
		}
		MUST(umount("/mnt"));
	}
	printf("%u passed, %u failed, %u skipped\n", passed, failed, skipped);
	return failed ? 1 : 0;
}
