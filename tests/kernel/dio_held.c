// SPDX-License-Identifier: GPL-2.0
/*
 * dio_held: what becomes of direct I/O if its memory goes away, is dropped or copied while the
 * device has the request. The device is a ublk server of this process, which lets it wait. The
 * transfer goes to and from the pages that were pinned, all of them once each; who else has a copy
 * sees nothing of it; and no pin is left. Ends with "N passed, N failed, N skipped".
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "layouts.h"
#include "pattern.h"
#include "ublk_server.h"
#include "uring.h"
#include "vmstat.h"

#define PAGE		(4 * KIB)
#define SIZE		(2 * MIB)
/* Begins and ends in a page, and in a folio */
#define START		(2 * PAGE + 512)
#define LEN		(300 * KIB)
#define PAGES		((512 + LEN + PAGE - 1) / PAGE)
#define DEVICE		"/dev/ublkb0"
#define DEVICE_SIZE	(8 * MIB)

enum seed { SEED_MEMORY = 1, SEED_DEVICE, SEED_NEW };

static const struct {
	const char *name;
	bool private;
	struct layout layout;
} memories[] = {
	{ "4K pages", true, { .backing = BACKING_4K, .size = SIZE } },
	{ "folios of 64K", true, { .backing = BACKING_64K, .size = SIZE } },
	{ "a THP", true, { .backing = BACKING_THP, .size = SIZE } },
	{ "a THP mapped by PTEs", true, { .backing = BACKING_THP_PTES, .size = SIZE } },
	{ "shmem", false, { .backing = BACKING_SHMEM_4K, .size = SIZE } },
	{ "hugetlb", false, { .backing = BACKING_HUGETLB_2M, .size = SIZE } },
};

enum event { UNMAP, DROP, FORK, FORK_TWICE, KILL, NR_EVENTS };

static const char * const events[] = {
	[UNMAP] = "unmapped", [DROP] = "dropped", [FORK] = "forked", [FORK_TWICE] = "forked twice",
	[KILL] = "killed",
};

static struct ublk_server server = { .size = DEVICE_SIZE };
static char *content;

struct trial {
	struct memory mem;
	enum event event;
	bool private;
	bool write;
	int fd;
	struct io_uring ring;
	struct vmstat before;
	pid_t children[2];
	int go[2];			/* a pipe; what waits for its end sees it when this is closed */
};

static int wait_for_pins(const struct trial *t, uint64_t want, struct reason *why)
{
	uint64_t held = 0;

	for (int i = 0; i < 200; i++) {
		struct vmstat now;

		vmstat_read(&now);
		held = (now.pin_acquired - now.pin_released) -
		       (t->before.pin_acquired - t->before.pin_released);
		if (held == want)
			return 0;
		usleep(10000);
	}
	return because(why, "%llu pins in flight instead of %llu", (unsigned long long)held,
		       (unsigned long long)want);
}

static int check_bytes(const char *addr, size_t len, size_t pos, enum seed seed, const char *what,
		       struct reason *why)
{
	size_t good = pattern_check(addr, len, pos, seed);

	return good == len ? 0 : because(why, "%s: byte %#zx is wrong", what, pos + good);
}

/* The memory is as before, but for what was read. */
static int check_memory(const char *addr, bool read, struct reason *why)
{
	if (check_bytes(addr, START, 0, SEED_MEMORY, "left of the data", why) ||
	    check_bytes(addr + START + LEN, SIZE - START - LEN, START + LEN, SEED_MEMORY,
			"right of the data", why))
		return -1;
	return check_bytes(addr + START, LEN, START, read ? SEED_DEVICE : SEED_MEMORY, "data", why);
}

/* A copy of the memory from the time of the fork; shared memory is the same. */
static void run_copy(struct trial *t)
{
	char *addr = t->mem.addr;
	struct reason why;
	char c;

	close(t->go[1]);
	/* Nothing of this is on the device later. */
	if (t->private && t->write)
		pattern_fill(addr, SIZE, 0, SEED_NEW);
	if (read(t->go[0], &c, 1))
		_exit(2);
	if (t->private && t->write)
		_exit(check_bytes(addr, SIZE, 0, SEED_NEW, "the copy", &why) ? 1 : 0);
	_exit(check_memory(addr, !t->private && !t->write, &why) ? 1 : 0);
}

static void fork_copies(struct trial *t, unsigned int nr)
{
	if (pipe(t->go))
		die("pipe: %s", strerror(errno));
	fflush(stdout);
	for (unsigned int i = 0; i < nr; i++) {
		t->children[i] = fork();
		if (t->children[i] < 0)
			die("fork: %s", strerror(errno));
		if (!t->children[i])
			run_copy(t);
	}
	close(t->go[0]);
}

static int check_copies(struct trial *t, unsigned int nr, struct reason *why)
{
	int ret = 0, status;

	close(t->go[1]);
	for (unsigned int i = 0; i < nr; i++)
		if (waitpid(t->children[i], &status, 0) != t->children[i] || status)
			ret = because(why, "the data of child %u is wrong", i);
	return ret;
}

static void start(struct trial *t)
{
	struct io_uring_sqe *sqe;
	int ret;

	if (t->event == KILL) {
		fflush(stdout);
		t->children[0] = fork();
		if (t->children[0] < 0)
			die("fork: %s", strerror(errno));
		if (t->children[0])
			return;
		if (t->write)
			_exit(pwrite(t->fd, t->mem.addr + START, LEN, START) != (ssize_t)LEN);
		_exit(pread(t->fd, t->mem.addr + START, LEN, START) != (ssize_t)LEN);
	}
	sqe = io_uring_get_sqe(&t->ring);
	io_uring_prep_rw(t->write ? IORING_OP_WRITE : IORING_OP_READ, sqe, t->fd,
			 t->mem.addr + START, LEN, START);
	ret = io_uring_submit(&t->ring);
	if (ret != 1)
		die("io_uring_submit: %s", strerror(-ret));
}

/* While the device has the request */
static void happen(struct trial *t)
{
	switch (t->event) {
	case UNMAP:
		if (mmap(t->mem.addr, SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
			die("mmap: %s", strerror(errno));
		pattern_fill(t->mem.addr, SIZE, 0, SEED_NEW);
		break;
	case DROP:
		if (madvise(t->mem.addr, SIZE, MADV_DONTNEED))
			die("MADV_DONTNEED: %s", strerror(errno));
		pattern_fill(t->mem.addr, SIZE, 0, SEED_NEW);
		break;
	case FORK:
	case FORK_TWICE:
		fork_copies(t, t->event == FORK ? 1 : 2);
		break;
	case KILL:
		kill(t->children[0], SIGKILL);
		break;
	default:
		break;
	}
}

static int finish(struct trial *t, struct reason *why)
{
	struct io_uring_cqe *cqe;
	int ret, status;

	atomic_store(&server.hold, false);
	if (t->event == KILL) {
		if (waitpid(t->children[0], &status, 0) != t->children[0] || !WIFSIGNALED(status))
			return because(why, "the child was not killed");
		return 0;
	}
	ret = io_uring_wait_cqe(&t->ring, &cqe);
	if (ret)
		die("io_uring_wait_cqe: %s", strerror(-ret));
	ret = cqe->res;
	io_uring_cqe_seen(&t->ring, cqe);
	return ret == (int)LEN ? 0 : because(why, "%d of %zu bytes", ret, LEN);
}

static int check(struct trial *t, struct reason *why)
{
	bool replaced = t->event == UNMAP || t->event == DROP;

	if (pread(server.file, content, SIZE, 0) != (ssize_t)SIZE)
		die("pread: %s", strerror(errno));
	/* What the child wrote stays in its own memory, and so does what it read. */
	if (check_bytes(content, START, 0, SEED_DEVICE, "the device, left", why) ||
	    check_bytes(content + START, LEN, START, t->write ? SEED_MEMORY : SEED_DEVICE,
			"the device", why) ||
	    check_bytes(content + START + LEN, SIZE - START - LEN, START + LEN, SEED_DEVICE,
			"the device, right", why))
		return -1;
	if (replaced)
		return check_bytes(t->mem.addr, SIZE, 0, SEED_NEW, "the new memory", why);
	return check_memory(t->mem.addr, !t->write && (t->event != KILL || !t->private), why);
}

static int run_trial(const struct layout *layout, struct trial *t, struct reason *why)
{
	unsigned int copies = t->event == FORK ? 1 : t->event == FORK_TWICE ? 2 : 0;
	struct reason inner;
	int ret;

	vmstat_start(&t->before);
	if (memory_map(&t->mem, layout, why))
		return -1;
	if (io_uring_queue_init(4, &t->ring, 0))
		die("io_uring_queue_init");
	pattern_fill(t->mem.addr, SIZE, 0, SEED_MEMORY);
	pattern_fill(content, SIZE, 0, SEED_DEVICE);
	if (pwrite(server.file, content, SIZE, 0) != (ssize_t)SIZE)
		die("pwrite: %s", strerror(errno));

	atomic_store(&server.hold, true);
	start(t);
	ret = wait_for_pins(t, PAGES, why);
	happen(t);
	if (finish(t, ret ? &inner : why))
		ret = -1;
	if (check(t, ret ? &inner : why))
		ret = -1;
	if (copies && check_copies(t, copies, ret ? &inner : why))
		ret = -1;
	io_uring_queue_exit(&t->ring);
	memory_unmap(&t->mem);
	return ret ? ret : vmstat_balanced(&t->before, why);
}

int main(void)
{
	unsigned int passed = 0, failed = 0;
	struct reason why;
	int fd, ret;

	content = malloc(SIZE);
	server.file = memfd_create("device", MFD_CLOEXEC);
	if (!content || server.file < 0 || ftruncate(server.file, DEVICE_SIZE))
		die("memfd: %s", strerror(errno));
	ret = ublk_server_start(&server, &why);
	if (ret > 0) {
		printf("%s\n", why.text);
		return 77;
	}
	fd = ret ? -1 : open(DEVICE, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (fd < 0)
		die("%s: %s", DEVICE, ret ? why.text : strerror(errno));
	for (size_t m = 0; m < ARRAY_SIZE(memories); m++) {
		for (int i = 0; i < 2 * NR_EVENTS; i++) {
			struct trial trial = {
				.event = (enum event)(i / 2),
				.private = memories[m].private,
				.write = i % 2,
				.fd = fd,
			};

			/* What is shared is not gone by that. */
			if (trial.event == DROP && !trial.private)
				continue;
			if (run_trial(&memories[m].layout, &trial, &why)) {
				failed++;
				printf("FAIL %s of %s, %s: %s\n", trial.write ? "WRITE" : "READ",
				       memories[m].name, events[trial.event], why.text);
			} else {
				passed++;
			}
			fflush(stdout);
		}
	}
	close(fd);
	if (ublk_server_stop(&server, &why)) {
		failed++;
		printf("FAIL %s\n", why.text);
	}
	printf("%u passed, %u failed, 0 skipped\n", passed, failed);
	return failed ? 1 : 0;
}
