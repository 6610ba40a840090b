// SPDX-License-Identifier: GPL-2.0
/*
 * Signals while a long buffer is registered.
 *
 * Who registers is a process that shares its memory with this one (CLONE_VM) but not its files:
 * the memory, whose setup takes longer than all else, is there once for many of them, and the
 * ring dies with the process. It has no mapping of the ring, as that would be of this process.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "caps.h"
#include "layouts.h"
#include "stress.h"
#include "uring.h"

enum state { STARTING, REGISTERING, DONE };

static struct {
	struct iovec iov;
	atomic_int state;
	atomic_int result;
	atomic_ulong signals;
	uint64_t start, end;		/* of the call */
	char stack[64 * KIB] __attribute__((aligned(64)));
} task;

static void count_signal(int sig)
{
	(void)sig;
	task.signals++;
}

static int registering(void *wait)
{
	struct io_uring_params params = { };
	int fd;

	/* A ring that is made without it charges its user. */
	set_capability(CAP_IPC_LOCK, false);
	fd = (int)syscall(SYS_io_uring_setup, 4, &params);
	if (fd < 0)
		die("io_uring_setup: %s", strerror(errno));
	task.start = now_ns();
	task.state = REGISTERING;
	task.result = uring_register(fd, IORING_REGISTER_BUFFERS, &task.iov, 1);
	task.end = now_ns();
	task.state = DONE;
	while (wait)
		pause();
	_exit(0);
}

/* @wait: it holds the buffer until it is killed; else it ends when it has registered. */
static pid_t start_task(char *addr, size_t bytes, bool wait)
{
	pid_t pid;

	task.iov = (struct iovec){ addr, bytes };
	task.state = STARTING;
	task.result = 1;
	pid = clone(registering, task.stack + sizeof(task.stack), CLONE_VM | SIGCHLD,
		    wait ? &task : NULL);
	if (pid < 0)
		die("clone: %s", strerror(errno));
	while (task.state == STARTING)
		sched_yield();
	return pid;
}

static void sleep_ns(uint64_t ns)
{
	struct timespec ts = { (time_t)(ns / 1000000000), (long)(ns % 1000000000) };

	nanosleep(&ts, NULL);
}

static void end_task(pid_t pid)
{
	if (waitpid(pid, NULL, 0) != pid)
		die("waitpid: %s", strerror(errno));
}

/* The least is what it takes, of what it took now and then on a machine that does other things. */
static void time_taken(uint64_t *ns)
{
	if (task.state == DONE && !task.result && task.end - task.start < *ns)
		*ns = task.end - task.start;
}

/*
 * Registers all of the memory undisturbed, and returns how long that takes. The first time brings
 * in what is there for reading only.
 */
static int time_task(const struct memory *mem, uint64_t *ns, struct reason *why)
{
	struct vmstat before;
	int ret = 0;

	*ns = UINT64_MAX;
	for (int i = 0; !ret && i < 3; i++) {
		vmstat_start(&before);
		end_task(start_task(mem->addr, mem->size, false));
		if (task.result)
			return because(why, "registering undisturbed: %s",
				       strerror(-task.result));
		time_taken(ns);
		ret = stress_released(&before, why);
	}
	return ret;
}

/* Kills it at any moment of a registration that takes *@ns. */
static int kill_once(struct stress *stress, char *addr, size_t bytes, uint64_t *ns,
		     unsigned int *early, struct reason *why)
{
	struct vmstat before;
	pid_t pid;

	vmstat_start(&before);
	pid = start_task(addr, bytes, true);
	sleep_ns(rng_below(&stress->rng, *ns + *ns / 8));
	*early += task.state != DONE;
	kill(pid, SIGKILL);
	end_task(pid);
	time_taken(ns);
	return stress_released(&before, why);
}

/* The same with a process whose memory goes as well */
static int kill_with_memory(struct stress *stress, unsigned int *early, struct reason *why)
{
	const size_t bytes = 16 * MIB;
	struct vmstat before;
	pid_t pid;
	int fds[2], status;
	char byte;

	if (pipe(fds))
		die("pipe: %s", strerror(errno));
	vmstat_start(&before);
	pid = fork();
	if (!pid) {
		task.iov = (struct iovec){ mmap(NULL, bytes, PROT_READ | PROT_WRITE,
						MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), bytes };
		if (task.iov.iov_base == MAP_FAILED || write(fds[1], "", 1) != 1)
			die("cannot start");
		registering(&task);
	}
	if (pid < 0 || read(fds[0], &byte, 1) != 1)
		die("fork, pipe: %s", strerror(errno));
	close(fds[0]);
	close(fds[1]);
	sleep_ns(rng_below(&stress->rng, 100000000));
	kill(pid, SIGKILL);
	if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status))
		return because(why, "the process ended by itself");
	(*early)++;
	return stress_released(&before, why);
}

int stress_kill(struct stress *stress, struct reason *why)
{
	static const struct {
		const char *name;
		struct layout layout;
	} kinds[] = {
		{ "4K", { BACKING_SHMEM_4K, 128 * MIB, 4 * MIB, 0 } },
		{ "THP by PTEs", { BACKING_THP_PTES, 64 * MIB, 0, 0 } },
		{ "hugetlb", { BACKING_HUGETLB_2M, 32 * GIB, 32 * MIB, 0 } },
	};
	uint64_t part = (uint64_t)(stress->seconds * 1e9) / (ARRAY_SIZE(kinds) + 1);
	unsigned int early, all = 0;
	struct memory mem;
	size_t used = 0;
	uint64_t ns;
	int ret = 0;

	/* Taken here, and not at boot: memory that goes offline takes them along. */
	write_string("/proc/sys/vm/nr_hugepages", "16");
	for (size_t i = 0; !ret && i < ARRAY_SIZE(kinds); i++) {
		early = 0;
		stress->end = now_ns() + part;
		ret = memory_map(&mem, &kinds[i].layout, why);
		if (ret)
			break;
		ret = time_task(&mem, &ns, why);
		for (int n = 0; !ret && (n < 8 || now_ns() < stress->end); n++) {
			ret = kill_once(stress, mem.addr, mem.size, &ns, &early, why);
			stress->rounds++;
		}
		memory_unmap(&mem);
		/* Where that takes no time, it is most often over before, or has not begun. */
		if (!ret && !early && !i)
			ret = because(why, "%s: nothing was killed before it was registered",
				      kinds[i].name);
		used += (size_t)snprintf(stress->detail + used, sizeof(stress->detail) - used,
					 "%s %u of it in %.0f ms, ", kinds[i].name, early,
					 (double)ns / 1e6);
		all += early;
	}
	write_string("/proc/sys/vm/nr_hugepages", "0");
	early = 0;
	stress->end = now_ns() + part;
	for (int n = 0; !ret && (n < 8 || now_ns() < stress->end); n++) {
		ret = kill_with_memory(stress, &early, why);
		stress->rounds++;
	}
	snprintf(stress->detail + used, sizeof(stress->detail) - used, "with memory %u", early);
	stress->effects = all + early;
	return ret;
}

/*
 * A fatal signal a quarter into the registration. What is pinned until then has to be unpinned
 * before the process is gone, but no more than that. A section of the walk is 512 entries. The
 * counter is read when the signal is there: what else this machine does is not counted.
 */
int stress_prompt(struct stress *stress, struct reason *why)
{
	const struct layout layout = { BACKING_SHMEM_4K, 256 * MIB, 4 * MIB, 0 };
	uint64_t ns, all = 256 * MIB / PAGE, most = 0, latest = 0;
	struct memory mem;
	int ret;

	if (memory_map(&mem, &layout, why))
		return -1;
	ret = time_task(&mem, &ns, why);
	while (!ret && stress_again(stress)) {
		struct vmstat before, signalled, dead;
		uint64_t sent, took, pinned;
		pid_t pid;

		vmstat_start(&before);
		pid = start_task(mem.addr, mem.size, false);
		sleep_ns(ns / 4);
		sent = now_ns();
		kill(pid, SIGKILL);
		vmstat_read(&signalled);
		if (task.state == DONE) {	/* this machine did other things */
			end_task(pid);
			time_taken(&ns);
			ret = stress_released(&before, why);
			continue;
		}
		end_task(pid);
		took = now_ns() - sent;
		vmstat_read(&dead);
		pinned = dead.pin_acquired - signalled.pin_acquired;
		most = pinned > most ? pinned : most;
		latest = took > latest ? took : latest;
		stress->effects++;
		ret = stress_released(&before, why);
		if (!ret && task.state == DONE)
			ret = because(why, "registration went on to its end");
		if (!ret && pinned > all / 4)
			ret = because(why, "%llu of %llu pages were pinned after the signal",
				      (unsigned long long)pinned, (unsigned long long)all);
	}
	memory_unmap(&mem);
	snprintf(stress->detail, sizeof(stress->detail), "registering takes %.0f ms, signal to end "
		 "%.1f ms at most, %llu of %llu pages pinned after it at most",
		 (double)ns / 1e6, (double)latest / 1e6, (unsigned long long)most,
		 (unsigned long long)all);
	return ret;
}

int stress_signals(struct stress *stress, struct reason *why)
{
	const struct layout layout = { BACKING_SHMEM_4K, 128 * MIB, 4 * MIB, 0 };
	struct sigaction action = { .sa_handler = count_signal };
	struct vmstat before;
	struct memory mem;
	int ret = 0;

	if (memory_map(&mem, &layout, why))
		return -1;
	sigaction(SIGUSR1, &action, NULL);
	task.signals = 0;
	while (!ret && stress_again(stress)) {
		/* In every other round there is nothing yet, and pages have to be faulted in. */
		bool fault = stress->rounds % 2;
		size_t bytes = fault ? 16 * MIB : mem.size;
		char *fresh = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		pid_t pid;

		if (fresh == MAP_FAILED)
			die("out of memory");
		vmstat_start(&before);
		pid = start_task(fault ? fresh : mem.addr, bytes, true);
		while (task.state != DONE) {
			kill(pid, SIGUSR1);
			stress->effects++;
			usleep(1000);
		}
		if (task.result)
			ret = because(why, "with signals: %s", strerror(-task.result));
		kill(pid, SIGKILL);
		end_task(pid);
		munmap(fresh, bytes);
		if (!ret)
			ret = stress_released(&before, why);
	}
	memory_unmap(&mem);
	snprintf(stress->detail, sizeof(stress->detail), "%llu signals, handled %lu times",
		 (unsigned long long)stress->effects, (unsigned long)task.signals);
	if (!task.signals)
		stress->effects = 0;
	return ret;
}
