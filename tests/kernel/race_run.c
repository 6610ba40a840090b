// SPDX-License-Identifier: GPL-2.0
/*
 * race_run: pins for long against everything that changes page tables and pages at the same time.
 *
 * For each case, and each kind of memory in turn, two threads share an area of memory: one pins
 * parts of it in every way there is and checks the data through the pin, the other one disturbs
 * (race.h says how they go together, race_cases.c what there is). A case also fails
 *
 *  - if it had nothing to do with what it is about: nothing was merged, collapsed, migrated;
 *  - if pins are left afterwards, or pins taken and given back differ;
 *  - if the kernel has become tainted: it warned, and the log says of what.
 *
 * Prints TAP and a line "N passed, N failed, N skipped". Exit status 1 when a case failed, 2 for
 * wrong usage.
 */
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "race.h"

#define THP_DIR		"/sys/kernel/mm/transparent_hugepage/"
#define AREA_TIME	2500000000	/* ns that an area lasts at most */
/* On a busy machine an emulated CPU stands still for long: give it some rounds. */
#define MIN_ROUNDS	20

const char * const kind_names[KINDS] = { "4K pages", "THP", "PTE-mapped THP", "64K folios" };

static struct race race;
static bool only[64];
static bool any_only;
static double seconds = 30;
static uint64_t seed;

static void on_cpu(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("CPU %d: %s (two are needed)", cpu, strerror(errno));
}

static void *pinner_thread(void *unused)
{
	on_cpu(0);
	while (!race.stop)
		pinner_round(&race);
	return unused;
}

static void *disturber_thread(void *unused)
{
	on_cpu(1);
	while (!race.stop) {
		if (!race.pause) {
			race.effects += race.what->disturb(&race);
			race.steps++;
			continue;
		}
		if (race.what->settle && !race.unsettled)
			race.what->settle(&race);
		race.paused = true;
		while (race.pause && !race.stop)
			sched_yield();
		race.paused = false;
	}
	return unused;
}

static void set_thp(const char *size, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), THP_DIR "hugepages-%s/enabled", size);
	if (write_string(path, value))
		die("cannot write %s to %s", value, path);
}

/* Folios of this size that page faults have brought so far. */
static uint64_t folios_faulted(const char *size)
{
	char path[128], line[32];

	snprintf(path, sizeof(path), THP_DIR "hugepages-%s/stats/anon_fault_alloc", size);
	if (read_line(path, line, sizeof(line)))
		die("cannot read %s", path);
	return strtoull(line, NULL, 10);
}

static void area_map(void)
{
	const char *size = race.kind == KIND_MTHP ? "64kB" : "2048kB";
	size_t folio = race.kind == KIND_MTHP ? 64 * KIB : HUGE_PAGE;
	uint64_t before = folios_faulted(size);

	if (mmap(race.area, AREA_SIZE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED ||
	    mmap(race.thief, AREA_SIZE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		die("out of memory");
	/* Small pages are not collapsed but where the case is about that. */
	if (race.kind != KIND_SMALL || !strcmp(race.what->name, "collapse"))
		madvise(race.area, AREA_SIZE, MADV_HUGEPAGE);
	set_thp("2048kB", folio == HUGE_PAGE && race.kind != KIND_SMALL ? "madvise" : "never");
	set_thp("64kB", race.kind == KIND_MTHP ? "madvise" : "never");
	area_fill(&race, 0, AREA_PAGES);
	set_thp("2048kB", "madvise");
	if (race.kind != KIND_SMALL && folios_faulted(size) - before < AREA_SIZE / folio)
		race_fail(&race, "no folios of %s for the area", size);
	if (race.kind == KIND_THP_PTE) {
		for (size_t i = 0; i < AREA_PAGES; i += HUGE_PAGE / PAGE) {
			mprotect(race.area + i * PAGE, PAGE, PROT_READ);
			mprotect(race.area + i * PAGE, PAGE, PROT_READ | PROT_WRITE);
		}
	}
	if (race.what->prepare)
		race.what->prepare(&race);
}

static void area_unmap(void)
{
	if (mmap(race.area, AREA_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		 0) == MAP_FAILED ||
	    mmap(race.thief, AREA_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		 0) == MAP_FAILED)
		die("unmapping: %s", strerror(errno));
}

/* Both threads at one area for some time. */
static void run_area(uint64_t ns)
{
	uint64_t end = now_ns() + ns;
	uint64_t rounds = race.refused;
	pthread_t threads[2];

	for (size_t way = 0; way < PIN_WAYS; way++)
		rounds += race.pins[way];
	race.stop = false;
	race.pause = false;
	race.paused = false;
	race.aim_nr = 0;
	memset(race.rights, PROT_READ | PROT_WRITE, sizeof(race.rights));
	area_map();
	race.stop = race.failed;
	if (pthread_create(&threads[0], NULL, pinner_thread, NULL) ||
	    pthread_create(&threads[1], NULL, disturber_thread, NULL))
		die("pthread_create failed");
	while (!race.stop) {
		uint64_t now_rounds = race.refused;

		usleep(20000);
		for (size_t way = 0; way < PIN_WAYS; way++)
			now_rounds += race.pins[way];
		if (now_ns() >= end && now_rounds >= rounds + MIN_ROUNDS)
			break;
	}
	race.stop = true;
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	if (race.what->settle)
		race.what->settle(&race);
	if (race.what->check != CHECK_KEPT && !race.what->may_be_emptied)
		area_verify(&race);
	area_unmap();
}

static uint64_t tainted(void)
{
	char line[32];

	if (read_line("/proc/sys/kernel/tainted", line, sizeof(line)))
		die("cannot read /proc/sys/kernel/tainted");
	return strtoull(line, NULL, 10);
}

static uint64_t effect_so_far(void)
{
	uint64_t value = 0;

	if (race.what->effect && read_key("/proc/vmstat", race.what->effect, &value))
		die("no %s in /proc/vmstat", race.what->effect);
	return value;
}

static void run_areas(void)
{
	uint64_t ns = (uint64_t)(seconds * 1e9), end = now_ns() + ns;
	unsigned int kinds = race.what->kinds;
	uint64_t slice = ns / (unsigned int)__builtin_popcount(kinds);

	if (slice > AREA_TIME)
		slice = AREA_TIME;
	while (!race.failed && now_ns() < end) {
		for (race.kind = 0; race.kind < KINDS && !race.failed; race.kind++)
			if (kinds & 1U << race.kind)
				run_area(slice);
	}
}

/* 0, or -1 with @why; 1 if the case cannot be run here. */
static int run_case(const struct race_case *what, struct reason *why)
{
	uint64_t taint, effect;
	struct vmstat before;

	race.what = what;
	race.failed = false;
	race.stamp = 0;
	race.generation = 0;
	/* The same for a case whether or not others run before it. */
	race.rng = seed ^ (uint64_t)(what - race_cases + 1) * 0x9e3779b97f4a7c15ULL;
	race.pinner_rng = rng_next(&race.rng) | 1;
	memset(race.pins, 0, sizeof(race.pins));
	race.refused = race.steps = race.effects = 0;

	vmstat_start(&before);
	taint = tainted();
	if (what->start && what->start(&race, why))
		return 1;
	effect = effect_so_far();
	run_areas();
	if (what->effect)
		race.effects = effect_so_far() - effect;
	if (what->stop)
		what->stop(&race);

	if (race.failed) {
		*why = race.why;
		return -1;
	}
	if (vmstat_balanced(&before, why))
		return -1;
	if (tainted() != taint)
		return because(why, "the kernel is tainted, %llu instead of %llu: see its log",
			       (unsigned long long)tainted(), (unsigned long long)taint);
	for (enum pin_way way = 0; way < PIN_WAYS; way++)
		if (race.pinner.works[way] && !race.pins[way])
			return because(why, "nothing got pinned by %s", pin_way_names[way]);
	if (!race.effects)
		return because(why, "nothing happened to the memory in %llu steps",
			       (unsigned long long)race.steps);
	return 0;
}

static void reserve(void)
{
	char *addr = mmap(NULL, 3 * AREA_SIZE + 4 * HUGE_PAGE, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (addr == MAP_FAILED)
		die("out of memory");
	race.area = (char *)ALIGN_UP((uintptr_t)addr, HUGE_PAGE);
	race.other = race.area + AREA_SIZE + HUGE_PAGE;
	race.thief = race.other + AREA_SIZE + HUGE_PAGE;
}

static void usage(int status)
{
	fprintf(status ? stderr : stdout,
		"usage: race_run [--seconds N] [--only CASE]... [--seed N] [--linger US] [--list]\n"
		"  --seconds N  for each case, default 30\n"
		"  --only CASE  this case, and no other that is not named too\n"
		"  --seed N     for what is random; default: taken from the clock\n"
		"  --linger US  how long pages that were given up are somebody else's, default 200\n");
	exit(status);
}

static void select_case(const char *name)
{
	for (size_t i = 0; i < nr_race_cases; i++) {
		if (!strcmp(race_cases[i].name, name)) {
			only[i] = true;
			any_only = true;
			return;
		}
	}
	fprintf(stderr, "race_run: no such case: %s\n", name);
	usage(2);
}

static void parse_options(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seconds", required_argument, NULL, 's' },
		{ "only", required_argument, NULL, 'o' },
		{ "seed", required_argument, NULL, 'S' },
		{ "linger", required_argument, NULL, 'L' },
		{ "list", no_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{ }
	};
	char *end = NULL;
	int option;

	seed = now_ns() % 1000000;
	race.linger_us = 200;
	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (option) {
		case 's':
			seconds = strtod(optarg, &end);
			if (*end || !(seconds > 0))
				usage(2);
			break;
		case 'o':
			select_case(optarg);
			break;
		case 'S':
			seed = strtoull(optarg, &end, 0);
			if (*end)
				usage(2);
			break;
		case 'L':
			race.linger_us = strtoull(optarg, &end, 0);
			if (*end || !race.linger_us)
				usage(2);
			break;
		case 'l':
			for (size_t i = 0; i < nr_race_cases; i++)
				printf("%-16s %s\n", race_cases[i].name, race_cases[i].title);
			exit(0);
		default:
			usage(option == 'h' ? 0 : 2);
		}
	}
	if (optind != argc)
		usage(2);
}

int main(int argc, char **argv)
{
	unsigned int passed = 0, failed = 0, skipped = 0, number = 0;

	parse_options(argc, argv);
	setvbuf(stdout, NULL, _IOLBF, 0);
	pinner_init(&race.pinner, AREA_PAGES);
	reserve();
	for (enum pin_way way = 0; way < PIN_WAYS; way++)
		if (!race.pinner.works[way])
			note("race_run: this kernel does not pin by %s", pin_way_names[way]);
	printf("# seed %llu, %g s for each case\n", (unsigned long long)seed, seconds);

	for (size_t i = 0; i < nr_race_cases; i++) {
		const struct race_case *what = &race_cases[i];
		uint64_t start = now_ns();
		struct reason why = { "" };
		int ret;

		if (any_only && !only[i])
			continue;
		ret = run_case(what, &why);
		number++;
		if (ret > 0) {
			printf("ok %u %s # SKIP %s\n", number, what->name, why.text);
			skipped++;
			continue;
		}
		printf("%s %u %s # %.1f s, pins: %llu io_uring %llu pages %llu runs %llu refused, "
		       "disturbed %llu times, %s %llu\n", ret ? "not ok" : "ok", number,
		       what->name, (double)(now_ns() - start) / 1e9,
		       (unsigned long long)race.pins[PIN_IO_URING],
		       (unsigned long long)race.pins[PIN_PAGES],
		       (unsigned long long)race.pins[PIN_RUNS],
		       (unsigned long long)race.refused, (unsigned long long)race.steps,
		       what->effect ? what->effect : "effect",
		       (unsigned long long)race.effects);
		if (ret)
			printf("# %s: %s\n", what->name, why.text);
		failed += !!ret;
		passed += !ret;
	}
	pinner_exit(&race.pinner);
	printf("%u passed, %u failed, %u skipped\n", passed, failed, skipped);
	return failed ? 1 : 0;
}
