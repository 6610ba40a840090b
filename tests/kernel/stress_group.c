// SPDX-License-Identifier: GPL-2.0
/* What registered buffers cost has limits: of the control group, and RLIMIT_MEMLOCK. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "charge.h"
#include "layouts.h"
#include "registration.h"
#include "stress.h"
#include "uring.h"

#define GROUP		"stress"
/* Of single pages: metadata is one bio_vec for each */
#define BUFFER		(128 * MIB)
#define ALIAS		(4 * MIB)
#define METADATA	(BUFFER / PAGE * 16)

static void limit(uint64_t bytes)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)bytes);
	if (group_write(GROUP, "memory.max", bytes ? text : "max"))
		die("cannot set memory.max");
}

/* Memory of the kernel that the group is charged with */
static uint64_t kernel_memory(void)
{
	return group_read(GROUP, "memory.stat", "kernel");
}

static int register_buffer(struct io_uring *ring, const struct memory *mem)
{
	struct iovec iov = { mem->addr, mem->size };

	return io_uring_register_buffers(ring, &iov, 1);
}

static int check_charge(struct io_uring *ring, const struct memory *mem, uint64_t *charged,
			struct reason *why)
{
	uint64_t before = kernel_memory(), after;
	int ret = register_buffer(ring, mem);

	if (ret)
		return because(why, "registering without a limit: %s", strerror(-ret));
	*charged = kernel_memory() - before;
	io_uring_unregister_buffers(ring);
	settle();
	after = kernel_memory();
	if ((int64_t)*charged < (int64_t)METADATA)
		return because(why, "%lld KiB are charged for %lu KiB of metadata",
			       (long long)*charged / 1024, METADATA / KIB);
	/* The allocator may round up to a power of two. */
	if (*charged > 2 * METADATA + METADATA / 4)
		return because(why, "%llu KiB are charged for %lu KiB of metadata",
			       (unsigned long long)*charged / 1024, METADATA / KIB);
	if (after > before + METADATA / 4)
		return because(why, "%lld KiB stay charged", (long long)(after - before) / 1024);
	return 0;
}

static int memcg_body(struct stress *stress, struct reason *why)
{
	struct layout layout = { BACKING_SHMEM_4K, BUFFER, ALIAS, 0 };
	unsigned int refused = 0, registered = 0;
	struct io_uring ring;
	struct memory mem;
	uint64_t charged;
	int ret;

	/* Else the answer to too little memory is the end of this process. */
	if (write_string("/proc/self/oom_score_adj", "-1000"))
		die("cannot write oom_score_adj");
	if (memory_map(&mem, &layout, why) || ring_init(&ring, true, why))
		return -1;
	ret = check_charge(&ring, &mem, &charged, why);
	while (!ret && stress_again(stress)) {
		struct vmstat before;
		int error;

		vmstat_start(&before);
		/* Too little, enough, and what may be either */
		limit(group_read(GROUP, "memory.current", NULL) +
		      (stress->rounds % 3 == 0 ? rng_below(&stress->rng, METADATA / 2) :
		       stress->rounds % 3 == 1 ? METADATA * 6 :
		       rng_below(&stress->rng, METADATA * 4)));
		error = register_buffer(&ring, &mem);
		limit(0);
		if (!error) {
			registered++;
			error = io_uring_unregister_buffers(&ring);
			if (error)
				ret = because(why, "unregistering: %s", strerror(-error));
		} else if (error == -ENOMEM) {
			refused++;
			stress->effects++;
		} else {
			ret = because(why, "over the limit: %s", strerror(-error));
		}
		if (!ret)
			ret = stress_released(&before, why);
	}
	/* A buffer that fits goes as before. */
	if (!ret)
		ret = check_charge(&ring, &mem, &charged, why);
	if (!ret && !registered)
		ret = because(why, "all of %u registrations were refused", refused);
	snprintf(stress->detail, sizeof(stress->detail), "%llu KiB charged for %lu KiB of "
		 "metadata, %u refused, %u registered", (unsigned long long)charged / 1024,
		 METADATA / KIB, refused, registered);
	io_uring_queue_exit(&ring);
	memory_unmap(&mem);
	return ret;
}

int stress_memcg(struct stress *stress, struct reason *why)
{
	int ret;

	if (group_make(GROUP, why))
		return 1;
	/* What the buffer is of stays where it is. */
	group_write(GROUP, "memory.swap.max", "0");
	limit(0);
	ret = stress_child(stress, GROUP, why, memcg_body);
	group_remove(GROUP);
	return ret;
}

/* --- RLIMIT_MEMLOCK ---------------------------------------------------------------------- */

/* Runs that wait in one page, packed, until they are charged */
#define CHUNK		512

static int limit_body(struct stress *stress, struct reason *why)
{
	struct layout layout = { BACKING_SHMEM_4K, 64 * MIB, ALIAS, 0 };
	uint64_t most = 0;
	struct io_uring ring;
	struct memory mem;
	int ret = 0;

	if (memory_map(&mem, &layout, why) || ring_init(&ring, true, why))
		return -1;
	/* What has to move out of ZONE_MOVABLE is pinned twice: not after this. */
	ret = register_buffer(&ring, &mem);
	if (ret || io_uring_unregister_buffers(&ring))
		return because(why, "registering without a limit: %d", ret);
	while (!ret && stress_again(stress)) {
		uint64_t pages = rng_below(&stress->rng, 4 * CHUNK), beyond;
		struct vmstat before, after;
		int error;

		vmstat_start(&before);
		charge_set_limit(pages);
		error = register_buffer(&ring, &mem);
		vmstat_read(&after);
		beyond = after.pin_acquired - before.pin_acquired;
		beyond = beyond > pages ? beyond - pages : 0;
		most = beyond > most ? beyond : most;
		if (error != -ENOMEM)
			ret = because(why, "with a limit of %llu pages: %d",
				      (unsigned long long)pages, error);
		else if (beyond > CHUNK)
			ret = because(why, "%llu pages are pinned beyond a limit of %llu",
				      (unsigned long long)beyond, (unsigned long long)pages);
		else
			ret = stress_released(&before, why);
		stress->effects++;
	}
	snprintf(stress->detail, sizeof(stress->detail), "%llu pages of %lu pinned beyond the "
		 "limit at most", (unsigned long long)most, mem.size / PAGE);
	io_uring_queue_exit(&ring);
	memory_unmap(&mem);
	return ret;
}

int stress_limit(struct stress *stress, struct reason *why)
{
	return stress_child(stress, NULL, why, limit_body);
}

/* --- OOM ------------------------------------------------------------------------------- */

#define OOM_BUFFER	(8 * MIB)

/* Registers, some of it for two rings, and then wants more than there is. */
static void __attribute__((noreturn)) oom_child(bool huge, int ready)
{
	char *memory = mmap(NULL, 256 * MIB, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct iovec iov = { memory, OOM_BUFFER };
	struct io_uring rings[2];
	struct reason why;

	if (group_write(GROUP, "cgroup.procs", "0") || memory == MAP_FAILED)
		die("cannot start");
	if (huge)
		madvise(memory, 256 * MIB, MADV_HUGEPAGE);
	for (int i = 0; i < 2; i++)
		if (ring_init(&rings[i], true, &why))
			die("%s", why.text);
	if (io_uring_register_buffers(&rings[0], &iov, 1) ||
	    uring_clone(&rings[1], &rings[0], 0, 0, 0, 0))
		die("cannot register");
	if (write(ready, "", 1) != 1)
		die("pipe");
	for (size_t off = 0; off < 256 * MIB; off += PAGE)
		memory[off] = 1;
	_exit(0);
}

int stress_oom(struct stress *stress, struct reason *why)
{
	struct vmstat before;
	int ret = 0, status, fds[2];
	char byte;

	if (group_make(GROUP, why))
		return 1;
	group_write(GROUP, "memory.swap.max", "0");
	limit(24 * MIB);
	if (pipe(fds))
		die("pipe: %s", strerror(errno));
	while (!ret && stress_again(stress)) {
		uint64_t kills = group_read(GROUP, "memory.events", "oom_kill");
		pid_t pid;

		vmstat_start(&before);
		pid = fork();
		if (!pid)
			oom_child(stress->rounds % 2, fds[1]);
		if (pid < 0 || waitpid(pid, &status, 0) != pid)
			die("fork, waitpid: %s", strerror(errno));
		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
			ret = because(why, "the child was not killed, status %#x", status);
		else if (group_read(GROUP, "memory.events", "oom_kill") == kills)
			ret = because(why, "the OOM killer did not kill the child");
		else if (read(fds[0], &byte, 1) != 1)
			ret = because(why, "the child had no buffer");
		else
			ret = stress_released(&before, why);
		stress->effects += !ret;
	}
	close(fds[0]);
	close(fds[1]);
	/* A little may be kept for each CPU. */
	for (int i = 0; !ret && group_read(GROUP, "memory.current", NULL) > MIB; i++) {
		if (i == 50)
			ret = because(why, "%llu KiB are left in the group",
				      (unsigned long long)group_read(GROUP, "memory.current",
								     NULL) / 1024);
		usleep(100000);
	}
	snprintf(stress->detail, sizeof(stress->detail), "%llu killed",
		 (unsigned long long)stress->effects);
	group_remove(GROUP);
	return ret;
}
