// SPDX-License-Identifier: GPL-2.0
/*
 * Registrations that wait for memory that does not come, and those that wait for others: what is
 * pinned meanwhile is charged, and nobody waits for a stranger.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "caps.h"
#include "charge.h"
#include "held.h"
#include "registration.h"
#include "stress.h"
#include "uring.h"

/* --- waits ------------------------------------------------------------------------------- */

#define WAITERS		3
/* In few pins, and then the page that does not come */
#define WAIT_BYTES	(32 * MIB + PAGE)
#define SMALL_LIMIT	(64 * KIB)
#define LARGE_LIMIT	(WAITERS * WAIT_BYTES + 2 * MIB)
#define REACH_USEC	10000000

/* A registration that waits, in a thread of its own */
struct waiter {
	struct held held;
	struct io_uring ring;
	bool read_only;
	pthread_t thread;
	atomic_bool done;
	int result;
};

static void *waiter_thread(void *arg)
{
	struct waiter *waiter = arg;
	struct iovec iov = { waiter->held.addr, waiter->held.size };

	waiter->result = waiter->read_only ? uring_buffers_readonly(&waiter->ring, &iov, 1) :
			 uring_buffers(&waiter->ring, &iov, 1, 0);
	atomic_store(&waiter->done, true);
	return NULL;
}

static void waiter_start(struct waiter *waiter, bool read_only)
{
	struct reason why;

	if (ring_init(&waiter->ring, true, &why))
		die("%s", why.text);
	waiter->read_only = read_only;
	atomic_store(&waiter->done, false);
	if (pthread_create(&waiter->thread, NULL, waiter_thread, waiter))
		die("pthread_create");
}

/* It waits for its last page, or has been refused before it came to that. True: it waits. */
static bool waiter_reached(struct waiter *waiter)
{
	for (unsigned int usec = 0; usec < REACH_USEC; usec += 10000) {
		if (atomic_load(&waiter->done))
			return false;
		if (held_reached(&waiter->held, 0))
			return true;
		usleep(10000);
	}
	die("a registration neither ends nor waits for its last page");
}

static void waiter_end(struct waiter *waiter)
{
	held_give(&waiter->held, NULL);
	pthread_join(waiter->thread, NULL);
	io_uring_queue_exit(&waiter->ring);
	held_unmap(&waiter->held);
}

/*
 * All of them wait, or were refused. A pin keeps a folio, so those that are not charged are
 * uncharged folios.
 */
static int wait_once(struct stress *stress, uint64_t limit, long *most, struct reason *why)
{
	struct waiter waiters[WAITERS] = { 0 };
	struct vmstat before, now;
	unsigned int waiting = 0;
	long uncharged;

	charge_set_limit(limit / PAGE);
	for (int i = 0; i < WAITERS; i++)
		held_map(&waiters[i].held, WAIT_BYTES, true);
	vmstat_start(&before);
	for (int i = 0; i < WAITERS; i++)
		waiter_start(&waiters[i], false);
	for (int i = 0; i < WAITERS; i++)
		waiting += waiter_reached(&waiters[i]);
	vmstat_read(&now);
	uncharged = (long)(now.pin_acquired - before.pin_acquired) -
		    (long)(now.pin_released - before.pin_released) - charge_pinned();
	*most = uncharged > *most ? uncharged : *most;
	for (int i = 0; i < WAITERS; i++)
		waiter_end(&waiters[i]);
	stress->effects++;
	if (limit == LARGE_LIMIT && waiting != WAITERS)
		return because(why, "%u of %d wait where all have room", waiting, WAITERS);
	if (uncharged > WAITERS)
		return because(why, "%ld pins are not charged while %u threads wait, limit %llu KiB",
			       uncharged, waiting, (unsigned long long)limit / KIB);
	return stress_released(&before, why);
}

static int waits_body(struct stress *stress, struct reason *why)
{
	long most = 0;
	int ret = 0;

	while (!ret && stress_again(stress))
		ret = wait_once(stress, stress->rounds % 2 ? SMALL_LIMIT : LARGE_LIMIT, &most, why);
	snprintf(stress->detail, sizeof(stress->detail), "%ld pins at most are not charged while "
		 "%d threads wait", most, WAITERS);
	return ret;
}

int stress_waits(struct stress *stress, struct reason *why)
{
	return stress_child(stress, NULL, why, waits_body);
}

/* --- the page cache of others --------------------------------------------------------------- */

#define VICTIM		"stress-victim"
#define VICTIM_LIMIT	"48M"
#define VICTIM_FILE	(32 * MIB)
#define VICTIM_MEMORY	(32 * MIB)
#define FILE_NAME	"/mnt/victim"

/* Brings a file into its memory, and wants more than there is beside it, when told to. */
static void __attribute__((noreturn)) victim(int ready, int go)
{
	char *memory, byte;
	int fd;

	if (group_write(VICTIM, "cgroup.procs", "0"))
		die("cannot go to the control group");
	fd = open(FILE_NAME, O_RDONLY | O_CLOEXEC);
	memory = malloc(VICTIM_MEMORY);
	if (fd < 0 || !memory)
		die("%s: %s", FILE_NAME, strerror(errno));
	for (size_t off = 0; off < VICTIM_FILE; off += PAGE)
		if (pread(fd, &byte, 1, (off_t)off) != 1)
			die("reading %s", FILE_NAME);
	if (write(ready, "", 1) != 1 || read(go, &byte, 1) != 1)
		die("pipe");
	for (size_t off = 0; off < VICTIM_MEMORY; off += PAGE)
		memory[off] = 1;
	_exit(0);
}

/* A file that is on the disk only */
static int make_file(struct reason *why)
{
	int fd = open(FILE_NAME, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644), ret = 0;
	char block[64 * KIB];

	if (fd < 0)
		return because(why, "%s: %s", FILE_NAME, strerror(errno));
	memset(block, 1, sizeof(block));
	for (size_t off = 0; off < VICTIM_FILE && !ret; off += sizeof(block))
		if (write(fd, block, sizeof(block)) != sizeof(block))
			ret = because(why, "writing %s: %s", FILE_NAME, strerror(errno));
	if (!ret && (fsync(fd) || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED)))
		ret = because(why, "%s: %s", FILE_NAME, strerror(errno));
	close(fd);
	return ret;
}

/* The victim's file, and behind it a page that does not come, as one buffer */
static void attack(struct waiter *waiter)
{
	int fd = open(FILE_NAME, O_RDONLY | O_CLOEXEC);

	held_map(&waiter->held, VICTIM_FILE + PAGE, false);
	if (fd < 0 || mmap(waiter->held.addr, VICTIM_FILE, PROT_READ, MAP_SHARED | MAP_FIXED, fd,
			   0) == MAP_FAILED)
		die("%s: %s", FILE_NAME, strerror(errno));
	close(fd);
	waiter_start(waiter, true);
}

static int cache_once(struct stress *stress, struct reason *why)
{
	int ready[2], go[2], status, ret;
	struct waiter waiter = { 0 };
	struct vmstat before;
	char byte;
	pid_t pid;

	ret = make_file(why);
	if (ret)
		return ret;
	if (pipe(ready) || pipe(go))
		die("pipe: %s", strerror(errno));
	vmstat_start(&before);
	pid = fork();
	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (!pid)
		victim(ready[1], go[0]);
	if (read(ready[0], &byte, 1) != 1)
		die("pipe");
	charge_set_limit(SMALL_LIMIT / PAGE);
	attack(&waiter);
	stress->effects += waiter_reached(&waiter);
	if (write(go[1], "", 1) != 1 || waitpid(pid, &status, 0) != pid)
		die("pipe, waitpid: %s", strerror(errno));
	waiter_end(&waiter);
	for (int i = 0; i < 2; i++) {
		close(ready[i]);
		close(go[i]);
	}
	if (WIFSIGNALED(status))
		return because(why, "the victim was killed by signal %d", WTERMSIG(status));
	if (status)
		return because(why, "the victim failed, see above");
	/* Not to wait for the last page, as more than the limit is not pinned, is as good. */
	stress->effects++;
	return stress_released(&before, why);
}

static int cache_body(struct stress *stress, struct reason *why)
{
	int ret = 0;

	while (!ret && stress_again(stress))
		ret = cache_once(stress, why);
	snprintf(stress->detail, sizeof(stress->detail), "the victim lived %llu times",
		 (unsigned long long)stress->rounds - (ret != 0));
	return ret;
}

int stress_cache(struct stress *stress, struct reason *why)
{
	int ret;

	if (access(STRESS_DISK, F_OK))
		return -because(why, "no disk " STRESS_DISK);
	if (group_make(VICTIM, why))
		return 1;
	if (mount(STRESS_DISK, "/mnt", "ext4", 0, NULL))
		return because(why, "mounting " STRESS_DISK ": %s", strerror(errno));
	group_write(VICTIM, "memory.swap.max", "0");
	if (group_write(VICTIM, "memory.max", VICTIM_LIMIT))
		die("cannot set memory.max");
	ret = stress_child(stress, NULL, why, cache_body);
	umount("/mnt");
	group_remove(VICTIM);
	return ret;
}

/* --- neighbours ----------------------------------------------------------------------------- */

#define GROUP		"stress"
#define GROUP_LIMIT	"24M"
#define NEIGHBOURS	150
#define NEIGHBOUR_BYTES	(512 * KIB)
#define USER		1000
#define PRIORITY	50
#define PAUSE_USEC	1000
#define LATENCY_NS	100000000ULL

/* Rings and buffers, as often as it can, and more memory than the group has for it */
static void __attribute__((noreturn)) neighbour(void)
{
	char *memory = mmap(NULL, NEIGHBOUR_BYTES, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct iovec iov = { memory, PAGE };

	if (memory == MAP_FAILED || group_write(GROUP, "cgroup.procs", "0"))
		die("cannot start");
	become_user(USER + 1);
	for (;;) {
		struct io_uring ring;

		for (size_t off = 0; off < NEIGHBOUR_BYTES; off += PAGE)
			memory[off]++;
		if (io_uring_queue_init(4, &ring, 0))
			continue;
		if (!io_uring_register_buffers(&ring, &iov, 1))
			io_uring_unregister_buffers(&ring);
		io_uring_queue_exit(&ring);
	}
}

static void schedule(int policy)
{
	struct sched_param param = {
		.sched_priority = policy == SCHED_OTHER ? 0 : PRIORITY,
	};

	if (sched_setscheduler(0, policy | SCHED_RESET_ON_FORK, &param))
		die("sched_setscheduler: %s", strerror(errno));
}

/* What the other user has to wait, for a ring and a buffer; not in the group */
static int real_time_body(struct stress *stress, struct reason *why)
{
	uint64_t most = 0, slow = 0;
	static char page[PAGE] __attribute__((aligned(PAGE)));
	struct iovec iov = { page, sizeof(page) };

	if (mlockall(MCL_CURRENT))
		die("mlockall: %s", strerror(errno));
	schedule(SCHED_FIFO);
	become_user(USER);
	page[0] = 1;
	stress->end = now_ns() + (uint64_t)(stress->seconds * 1e9);
	while (stress_again(stress)) {
		uint64_t start = now_ns(), taken;
		struct io_uring ring;
		int ret;

		ret = io_uring_queue_init(4, &ring, 0);
		if (!ret)
			ret = io_uring_register_buffers(&ring, &iov, 1);
		taken = now_ns() - start;
		if (ret)
			return because(why, "a ring and a buffer: %s", strerror(-ret));
		slow += taken > LATENCY_NS;
		most = taken > most ? taken : most;
		io_uring_unregister_buffers(&ring);
		io_uring_queue_exit(&ring);
		usleep(PAUSE_USEC);
	}
	stress->effects = stress->rounds;
	snprintf(stress->detail, sizeof(stress->detail), "%.1f ms at worst, %llu over %llu ms",
		 (double)most / 1e6, (unsigned long long)slow, LATENCY_NS / 1000000);
	if (slow)
		return because(why, "%llu registrations took more than %llu ms",
			       (unsigned long long)slow, LATENCY_NS / 1000000);
	return 0;
}

int stress_neighbour(struct stress *stress, struct reason *why)
{
	pid_t pids[NEIGHBOURS];
	int ret;

	if (group_make(GROUP, why))
		return 1;
	ret = stress_swap_on(why);
	if (ret)
		return ret;
	if (group_write(GROUP, "memory.max", GROUP_LIMIT))
		die("cannot set memory.max");
	fflush(NULL);
	/* Or this process hardly runs any more. */
	schedule(SCHED_FIFO);
	for (int i = 0; i < NEIGHBOURS; i++) {
		pids[i] = fork();
		if (pids[i] < 0)
			die("fork: %s", strerror(errno));
		if (!pids[i])
			neighbour();
	}
	/* All of them are in their group, and it is full. */
	sleep(2);
	ret = stress_child(stress, NULL, why, real_time_body);
	if (!ret && !group_read(GROUP, "memory.events", "max"))
		ret = because(why, "the group was never over its limit");
	for (int i = 0; i < NEIGHBOURS; i++)
		kill(pids[i], SIGKILL);
	for (int i = 0; i < NEIGHBOURS; i++)
		waitpid(pids[i], NULL, 0);
	schedule(SCHED_OTHER);
	group_remove(GROUP);
	return ret;
}
