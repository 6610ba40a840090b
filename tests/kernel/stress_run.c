// SPDX-License-Identifier: GPL-2.0
/*
 * stress_run: registered buffers under stress. See stress.h, and --list for the cases.
 *
 * Afterwards nothing may be pinned or charged, and the kernel may not have complained. Prints TAP
 * and a line "N passed, N failed, N skipped". Exit status 1 when a case failed, 2 for wrong usage.
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "caps.h"
#include "charge.h"
#include "pattern.h"
#include "stress.h"

#define MIN_ROUNDS	3
#define MAX_TRIES	5
#define GROUPS		"/sys/fs/cgroup/"

static const struct stress_case cases[] = {
	{ "swap", "buffers in a control group that swaps all the time", stress_swap },
	{ "cma", "allocations from CMA, where the buffers were", stress_cma },
	{ "offline", "memory blocks go offline, where the buffers were, and where they are",
	  stress_offline },
	{ "memcg", "metadata is charged to the control group, and refused over its limit",
	  stress_memcg },
	{ "limit", "RLIMIT_MEMLOCK is looked at before all is pinned", stress_limit },
	{ "oom", "the OOM killer takes a process with buffers", stress_oom },
	{ "slots", "a table of 16384 buffers", stress_slots },
	{ "rings", "100 rings with clones", stress_rings },
	{ "kill", "SIGKILL at any moment of a long registration", stress_kill },
	{ "prompt", "a fatal signal ends a long registration soon", stress_prompt },
	{ "signals", "other signals do not end it", stress_signals },
	{ "waits", "what is pinned is charged while a registration waits for memory",
	  stress_waits },
	{ "cache", "the page cache of others is not held by one that waits", stress_cache },
	{ "neighbour", "others register in a control group that is full, nobody waits for them",
	  stress_neighbour },
	{ "memfd", "ranges of a memfd whose pages move, swap and change their sizes", stress_memfd },
};

static struct charge_probe probe;

bool stress_again(struct stress *stress)
{
	if (stress->rounds >= MIN_ROUNDS && now_ns() >= stress->end)
		return false;
	stress->rounds++;
	return true;
}

int stress_child(struct stress *stress, const char *group, struct reason *why,
		 int (*body)(struct stress *stress, struct reason *why))
{
	struct result {
		struct stress stress;
		struct reason why;
		int ret;
	} *result = mmap(NULL, sizeof(*result), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status, ret;
	pid_t pid;

	if (result == MAP_FAILED)
		die("out of memory");
	result->stress = *stress;
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (!pid) {
		if (group && group_write(group, "cgroup.procs", "0"))
			die("cannot go to the control group %s", group);
		result->ret = body(&result->stress, &result->why);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid)
		die("waitpid: %s", strerror(errno));
	*stress = result->stress;
	*why = result->why;
	ret = result->ret;
	munmap(result, sizeof(*result));
	if (WIFSIGNALED(status))
		return because(why, "the child was killed by signal %d", WTERMSIG(status));
	if (WEXITSTATUS(status))
		return because(why, "the child failed, see above");
	return ret;
}

static int check(const void *data, size_t bytes, uint64_t seed, const char *where,
		 struct reason *why)
{
	size_t good = pattern_check(data, bytes, 0, seed);

	if (good == bytes)
		return 0;
	return because(why, "wrong data in %s, at byte %zu of %zu", where, good, bytes);
}

int stress_use(struct pinner *pinner, char *addr, size_t bytes, uint64_t seed, uint64_t new_seed,
	       void (*meanwhile)(void *arg), void *arg, struct reason *why)
{
	int ret = pin_hold(pinner, PIN_IO_URING, addr, bytes / PAGE, true), ret2;

	if (ret)
		return because(why, "registering %zu KiB: %s", bytes / KIB, strerror(-ret));
	if (meanwhile)
		meanwhile(arg);
	ret = pin_read(pinner);
	if (ret)
		because(why, "WRITE_FIXED: %s", strerror(-ret));
	else
		ret = check(pinner->copy, bytes, seed, "what the kernel sees", why);
	if (!ret) {
		pattern_fill(pinner->copy, bytes, 0, new_seed);
		ret = pin_write(pinner);
		if (ret)
			because(why, "READ_FIXED: %s", strerror(-ret));
		else
			ret = check(addr, bytes, new_seed, "what the process sees", why);
	}
	ret2 = pin_release(pinner);
	if (!ret && ret2)
		ret = because(why, "unregistering: %s", strerror(-ret2));
	return ret;
}

int stress_released(const struct vmstat *before, struct reason *why)
{
	uint64_t left, least = UINT64_MAX, end = 0;
	struct vmstat now;

	for (;;) {
		vmstat_read(&now);
		left = (now.pin_acquired - before->pin_acquired) -
		       (now.pin_released - before->pin_released);
		if (!left && !now.vmpin_kb)
			return 0;
		/* As long as it gets less, it is a machine that does other things, too. */
		if (left < least)
			end = now_ns() + 20000000000;
		else if (now_ns() >= end)
			break;
		least = left < least ? left : least;
		usleep(20000);
	}
	return because(why, "%lld pins are left, VmPin %lld kB", (long long)left,
		       (long long)now.vmpin_kb);
}

int group_make(const char *name, struct reason *why)
{
	char path[128];

	if (write_string(GROUPS "cgroup.subtree_control", "+memory"))
		return because(why, "no control groups for memory");
	snprintf(path, sizeof(path), GROUPS "%s", name);
	if (mkdir(path, 0755) && errno != EEXIST)
		return because(why, "%s: %s", path, strerror(errno));
	return 0;
}

void group_remove(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), GROUPS "%s", name);
	rmdir(path);
}

uint64_t group_read(const char *name, const char *file, const char *key)
{
	char path[128], line[64];
	uint64_t value;

	snprintf(path, sizeof(path), GROUPS "%s/%s", name, file);
	if (key ? read_key(path, key, &value) : read_line(path, line, sizeof(line)))
		die("cannot read %s %s", path, key ? key : "");
	return key ? value : strtoull(line, NULL, 10);
}

int group_write(const char *name, const char *file, const char *text)
{
	char path[128];

	snprintf(path, sizeof(path), GROUPS "%s/%s", name, file);
	return write_string(path, text);
}

uint64_t vmstat_key(const char *key)
{
	uint64_t value;

	if (read_key("/proc/vmstat", key, &value))
		die("no %s in /proc/vmstat", key);
	return value;
}

static uint64_t tainted(void)
{
	char line[32];

	if (read_line("/proc/sys/kernel/tainted", line, sizeof(line)))
		die("cannot read /proc/sys/kernel/tainted");
	return strtoull(line, NULL, 10);
}

static int run_case(const struct stress_case *what, struct stress *stress, struct reason *why)
{
	uint64_t taint = tainted();
	struct vmstat before;
	unsigned int tries = 0;
	int ret;

	vmstat_start(&before);
	/* In a short time, on a busy machine, that which disturbs may not have had its turn. */
	do {
		stress->end = now_ns() + (uint64_t)(stress->seconds * 1e9);
		stress->rounds = stress->effects = 0;
		stress->detail[0] = '\0';
		ret = what->run(stress, why);
		if (ret)
			return ret;
		rng_next(&stress->rng);
	} while (!stress->effects && ++tries < MAX_TRIES);
	if (stress_released(&before, why) || vmstat_balanced(&before, why) ||
	    charge_probe_check(&probe, 0, why))
		return -1;
	if (tainted() != taint)
		return because(why, "the kernel is tainted, %llu instead of %llu: see its log",
			       (unsigned long long)tainted(), (unsigned long long)taint);
	if (!stress->effects)
		return because(why, "nothing happened in %llu rounds, %d times",
			       (unsigned long long)stress->rounds, MAX_TRIES);
	return 0;
}

static void usage(int status)
{
	fprintf(status ? stderr : stdout,
		"usage: stress_run [--seconds N] [--only CASE,...] [--seed N] [--list]\n"
		"  --seconds N      for each case, default 40\n"
		"  --only CASE,...  these cases and no other\n"
		"  --seed N         for what is random; default: taken from the clock\n");
	exit(status);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seconds", required_argument, NULL, 's' },
		{ "only", required_argument, NULL, 'o' },
		{ "seed", required_argument, NULL, 'S' },
		{ "list", no_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{ }
	};
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	unsigned int passed = 0, failed = 0, skipped = 0, number = 0;
	struct stress stress = { .seconds = 40, .rng = now_ns() % 1000000 + 1 };
	struct reason why = { "" };
	const char *only = NULL;
	struct vmstat now;
	char *end = NULL;
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (option) {
		case 's':
			stress.seconds = strtod(optarg, &end);
			if (*end || !(stress.seconds > 0))
				usage(2);
			break;
		case 'o':
			only = optarg;
			break;
		case 'S':
			stress.rng = strtoull(optarg, &end, 0);
			if (*end || !stress.rng)
				usage(2);
			break;
		case 'l':
			for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
				printf("%-10s %s\n", cases[i].name, cases[i].title);
			exit(0);
		default:
			usage(option == 'h' ? 0 : 2);
		}
	}
	if (optind != argc)
		usage(2);

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (setrlimit(RLIMIT_MEMLOCK, &unlimited))
		die("setrlimit: %s", strerror(errno));
	set_capability(CAP_IPC_LOCK, false);
	if (charge_probe_init(&probe, &why))
		die("%s", why.text);
	set_capability(CAP_IPC_LOCK, true);
	printf("# seed %llu, %g s for each case\n", (unsigned long long)stress.rng,
	       stress.seconds);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t start = now_ns();
		int ret;

		if (only && !name_in_list(cases[i].name, only))
			continue;
		why.text[0] = '\0';
		ret = run_case(&cases[i], &stress, &why);
		if (ret > 0) {
			printf("ok %u %s # SKIP %s\n", ++number, cases[i].name, why.text);
			skipped++;
			continue;
		}
		printf("%s %u %s # %.1f s, %llu rounds%s%s\n", ret ? "not ok" : "ok", ++number,
		       cases[i].name, (double)(now_ns() - start) / 1e9,
		       (unsigned long long)stress.rounds, stress.detail[0] ? ", " : "",
		       stress.detail);
		if (ret)
			printf("# %s: %s\n", cases[i].name, why.text);
		failed += !!ret;
		passed += !ret;
		/* What this one left would be laid to those after it. */
		vmstat_read(&now);
		if (ret && now.pin_acquired != now.pin_released) {
			printf("# pins are left: no more cases\n");
			break;
		}
	}
	if (!number) {
		fprintf(stderr, "stress_run: no such case: %s\n", only);
		usage(2);
	}
	charge_probe_exit(&probe);
	printf("%u passed, %u failed, %u skipped\n", passed, failed, skipped);
	return failed ? 1 : 0;
}
