// SPDX-License-Identifier: GPL-2.0
/*
 * acct_model: random sequences of registering, updating, cloning and unregistering buffers, of
 * closing and opening rings, and of requests that use buffers for a while, on several rings of an
 * unprivileged user, under limits that are sometimes hit. After each step the result of the call,
 * VmPin and what RLIMIT_MEMLOCK still allows are compared with a model of what must be charged
 * (acct_rules.h).
 *
 * A sequence is made from the seed and its number alone, so a failing one can be run again by
 * itself. Several processes, each its own user, share the work: closing a ring is mostly waiting.
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "acct_world.h"

#define PAGE		(4 * KIB)
#define JOBS		4
#define FIRST_UID	60000
#define STEPS_MIN	10
#define STEPS_MAX	30
#define NO_LIMIT	(GIB / PAGE)
#define PICK(table)	((table)[below(ARRAY_SIZE(table))])

static struct {
	uint64_t seed;
	unsigned long sequences;
	long only;			/* this sequence, or -1 */
	enum acct_rule rule;
	bool verbose;
} opt = {
	.seed = 1,
	.sequences = 2000,
	.only = -1,
};

/* Of all processes. */
static struct shared {
	struct world_stats stats[JOBS];
	unsigned long next[JOBS];	/* the sequence that a process comes to next */
	unsigned long done[JOBS];
	uid_t uids;
} *shared;

static uint64_t random_state;

static uint64_t next_random(void)
{
	uint64_t x = random_state += 0x9e3779b97f4a7c15ULL;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

static unsigned int below(uint64_t n)
{
	return (unsigned int)(next_random() % n);
}

static bool percent(unsigned int n)
{
	return below(100) < n;
}

/* --- what to do next ---------------------------------------------------- */

static struct iovec random_buffer(const struct world *world)
{
	static const size_t pages[] = { 1, 1, 1, 2, 2, 3, 5, 16, 17, 30, 64, 130, 512, 600, 1100 };
	size_t at = below(world->arena.size / PAGE) * PAGE;
	size_t len = PICK(pages) * PAGE;

	/* At edges of folios more often than chance would have it. */
	if (percent(30))
		at = ALIGN_DOWN(at, 2 * MIB);
	else if (percent(20))
		at = ALIGN_DOWN(at, 64 * KIB);
	if (percent(50)) {
		at += below(PAGE);
		len -= below(PAGE);
	}
	return (struct iovec){ world->arena.addr + at, min_size(len, world->arena.size - at) };
}

static struct iovec random_entry(const struct world *world)
{
	struct iovec iov = random_buffer(world);

	if (percent(10))
		return (struct iovec){ };
	if (percent(95))
		return iov;
	switch (below(3)) {
	case 0:		/* no address */
		iov.iov_base = NULL;
		break;
	case 1:		/* no length */
		iov.iov_len = 0;
		break;
	case 2:		/* beyond what is mapped */
		iov.iov_len = world->arena.size - (size_t)((char *)iov.iov_base - world->arena.addr)
			+ 1 + below(4 * PAGE);
	}
	return iov;
}

static unsigned long random_limit(const struct world *world)
{
	static const unsigned long rooms[] = { 0, 1, 10, 511, 512, 513, 1024, 3000 };
	long charged = world->acct.charged + world->nr_open;

	return percent(40) ? NO_LIMIT : (unsigned long)(charged > 0 ? charged : 0) + PICK(rooms);
}

static unsigned int random_ring(const struct world *world, bool open)
{
	unsigned int r;

	do
		r = below(ACCT_RINGS);
	while (world->rings[r].open != open);
	return r;
}

static bool random_step(const struct world *world, struct step *step)
{
	static const enum step_kind likely[] = {
		STEP_REGISTER, STEP_REGISTER, STEP_REGISTER, STEP_REGISTER,
		STEP_UPDATE, STEP_UPDATE, STEP_UPDATE, STEP_UPDATE, STEP_UPDATE, STEP_UPDATE,
		STEP_CLONE, STEP_CLONE, STEP_CLONE, STEP_CLONE, STEP_CLONE,
		STEP_UNREGISTER, STEP_CLOSE, STEP_OPEN, STEP_OPEN, STEP_OPEN,
		STEP_LIMIT, STEP_READ, STEP_READ, STEP_END_READ, STEP_END_READ,
	};
	const struct world_ring *ring, *src;

	*step = (struct step){ .kind = PICK(likely) };
	if (step->kind == STEP_LIMIT) {
		step->limit = random_limit(world);
		return true;
	}
	if (step->kind == STEP_OPEN) {
		if (world->nr_open == ACCT_RINGS)
			return false;
		step->ring = random_ring(world, false);
		return true;
	}
	if (!world->nr_open)
		return false;
	step->ring = random_ring(world, true);
	ring = &world->rings[step->ring];

	switch (step->kind) {
	case STEP_REGISTER:
		/* Now and then where there are buffers already. */
		if (ring->nr && percent(80))
			return false;
		step->nr = 1 + below(WORLD_TABLE_MAX);
		break;
	case STEP_UPDATE:
		if (!ring->nr && percent(90))
			return false;
		step->off = below(WORLD_TABLE_MAX);
		step->nr = below(WORLD_TABLE_MAX - step->off + 1);
		if (ring->nr && percent(80)) {
			step->off = below(ring->nr);
			step->nr = 1 + below(ring->nr - step->off);
		}
		break;
	case STEP_CLONE:
		step->src = random_ring(world, true);
		src = &world->rings[step->src];
		if (!src->nr && percent(80))
			return false;
		step->replace = percent(60);
		if (percent(40))
			return true;
		step->off = below(3);
		step->src_off = below(3);
		step->nr = below(WORLD_TABLE_MAX - step->off + 1);
		if (src->nr && percent(70)) {
			step->src_off = below(src->nr);
			step->nr = 1 + below(src->nr - step->src_off);
			step->off = below(WORLD_TABLE_MAX - step->nr + 1);
		}
		break;
	case STEP_UNREGISTER:
		return ring->nr || percent(20);
	case STEP_READ:
		step->off = ring->nr ? below(ring->nr) : 0;
		return !ring->reading && ring->table[step->off];
	case STEP_END_READ:
		return ring->reading;
	default:
		break;
	}
	for (unsigned int i = 0; i < step->nr; i++)
		step->iov[i] = random_entry(world);
	return true;
}

/* --- a sequence --------------------------------------------------------- */

struct transcript {
	char *text;
	size_t size;
	FILE *out;
};

static int do_step(struct world *world, const struct step *step, struct transcript *log,
		   struct reason *why)
{
	int ret;

	fprintf(log->out, "    ");
	step_print(log->out, world, step);
	ret = world_step(world, step, why);
	fprintf(log->out, "\t-> %s, %ld pages\n",
		world->result < 0 ? errno_name(-world->result) : "done", world->acct.charged);
	return ret;
}

/* Back to where each sequence starts: rings without buffers, and no limit. */
static int end_sequence(struct world *world, struct transcript *log, struct reason *why)
{
	struct step step = { .kind = STEP_LIMIT, .limit = NO_LIMIT };
	unsigned int first = below(ACCT_RINGS);

	if (do_step(world, &step, log, why))
		return -1;
	for (unsigned int i = 0; i < ACCT_RINGS; i++) {
		struct world_ring *ring;

		step.ring = (first + i) % ACCT_RINGS;
		ring = &world->rings[step.ring];
		step.kind = STEP_END_READ;
		if (ring->reading && do_step(world, &step, log, why))
			return -1;
		step.kind = STEP_UNREGISTER;
		if (ring->nr && do_step(world, &step, log, why))
			return -1;
		step.kind = STEP_OPEN;
		if (!ring->open && do_step(world, &step, log, why))
			return -1;
	}
	return 0;
}

static int run_sequence(struct world *world, unsigned long n, struct reason *why)
{
	struct transcript log = { };
	unsigned int left;
	int ret = 0;

	log.out = open_memstream(&log.text, &log.size);
	if (!log.out)
		die("out of memory");
	random_state = opt.seed * 0xd6e8feb86659fd93ULL + n;
	left = STEPS_MIN + below(STEPS_MAX - STEPS_MIN + 1);
	while (left && !ret) {
		struct step step;

		if (!random_step(world, &step))
			continue;
		ret = do_step(world, &step, &log, why);
		left--;
	}
	if (!ret)
		ret = end_sequence(world, &log, why);
	if (!ret && world->acct.rule == ACCT_SHARED && world->acct.charged)
		ret = because(why, "the model ends with %ld pages", world->acct.charged);
	fclose(log.out);
	if (ret || opt.verbose) {
		struct reason moved;

		printf("sequence %lu:\n%s", n, log.text);
		if (ret)
			printf("FAIL sequence %lu: %s\n", n, why->text);
		if (ret && acct_arena_check(&world->arena, &moved))
			printf("     memory is not what it was: %s\n", moved.text);
		if (ret)
			printf("     again: acct_model --seed %llu --sequence %lu%s\n",
			       (unsigned long long)opt.seed, n,
			       opt.rule == ACCT_PER_RING ? " --per-ring" : "");
		fflush(stdout);
	}
	free(log.text);
	return ret;
}

/*
 * One process, as one user. What a kernel loses or gives back twice stays with them: when that
 * happens as expected, the rest is for another process.
 */
static int run_job(unsigned int job, uid_t uid)
{
	static struct world world;
	struct reason why;
	int ret = 0;

	if (world_init(&world, opt.rule, uid, &why))
		die("%s", why.text);
	while (!ret && shared->next[job] < opt.sequences && !world.acct.charged) {
		unsigned long n = shared->next[job];

		shared->next[job] += JOBS;
		if (opt.only >= 0 && n != (unsigned long)opt.only)
			continue;
		ret = run_sequence(&world, n, &why);
		shared->done[job] += !ret;
	}
	if (!ret && acct_arena_check(&world.arena, &why)) {
		printf("FAIL memory is not what it was: %s\n", why.text);
		fflush(stdout);
		ret = -1;
	}
	for (size_t i = 0; i < sizeof(world.stats) / sizeof(unsigned long); i++)
		((unsigned long *)&shared->stats[job])[i] += ((unsigned long *)&world.stats)[i];
	return ret;
}

static pid_t start_job(unsigned int job)
{
	uid_t uid = FIRST_UID + shared->uids++;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (!pid)
		exit(run_job(job, uid) ? 1 : 0);
	return pid;
}

static int run_jobs(void)
{
	pid_t pids[JOBS];
	int running = 0, failed = 0;

	for (unsigned int job = 0; job < JOBS; job++, running++) {
		shared->next[job] = job;
		pids[job] = start_job(job);
	}
	while (running) {
		int status;
		pid_t pid = wait(&status);
		unsigned int job = 0;

		if (pid < 0)
			die("wait: %s", strerror(errno));
		while (job < JOBS && pids[job] != pid)
			job++;
		if (job == JOBS)
			continue;
		running--;
		if (status)
			failed++;
		else if (shared->next[job] < opt.sequences) {
			pids[job] = start_job(job);
			running++;
		}
	}
	return failed;
}

/* --- the whole ---------------------------------------------------------- */

static int report(int failed)
{
	struct world_stats sum = { };
	unsigned long done = 0, steps = 0;

	for (unsigned int job = 0; job < JOBS; job++) {
		const struct world_stats *stats = &shared->stats[job];

		for (unsigned int kind = 0; kind < STEP_KINDS; kind++) {
			sum.steps[kind] += stats->steps[kind];
			steps += stats->steps[kind];
		}
		sum.refused += stats->refused;
		sum.bad += stats->bad;
		sum.partial += stats->partial;
		sum.other += stats->other;
		done += shared->done[job];
	}
	printf("%lu sequences, %lu steps: register %lu, update %lu, clone %lu, unregister %lu, "
	       "close %lu, open %lu, limit %lu, read %lu and %lu\n", done, steps,
	       sum.steps[STEP_REGISTER], sum.steps[STEP_UPDATE], sum.steps[STEP_CLONE],
	       sum.steps[STEP_UNREGISTER], sum.steps[STEP_CLOSE], sum.steps[STEP_OPEN],
	       sum.steps[STEP_LIMIT], sum.steps[STEP_READ], sum.steps[STEP_END_READ]);
	printf("refused for the limit %lu, for bad memory %lu, else %lu; updates done in part %lu\n",
	       sum.refused, sum.bad, sum.other, sum.partial);
	if (failed)
		return 1;
	if (opt.only < 0 && done != opt.sequences)
		die("%lu sequences were to be run", opt.sequences);
	/* A test that did not go where it is meant to go says nothing. */
	if (opt.only < 0 && opt.sequences >= 200 &&
	    (!sum.refused || !sum.bad || !sum.partial || !sum.steps[STEP_CLOSE] ||
	     !sum.steps[STEP_END_READ] || !sum.steps[STEP_CLONE]))
		die("something did not happen that should");
	return 0;
}

static unsigned long parse_number(const char *text)
{
	char *end;
	unsigned long value = strtoul(text, &end, 0);

	if (end == text || *end) {
		fprintf(stderr, "acct_model: not a number: %s\n", text);
		exit(2);
	}
	return value;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "sequences", required_argument, NULL, 'n' },
		{ "sequence", required_argument, NULL, 'o' },
		{ "per-ring", no_argument, NULL, 'r' },
		{ "verbose", no_argument, NULL, 'v' },
		{ }
	};
	const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 's':
			opt.seed = parse_number(optarg);
			break;
		case 'n':
			opt.sequences = parse_number(optarg);
			break;
		case 'o':
			opt.only = (long)parse_number(optarg);
			break;
		case 'r':
			opt.rule = ACCT_PER_RING;
			break;
		case 'v':
			opt.verbose = true;
			break;
		default:
			fputs("usage: acct_model [--seed N] [--sequences N] [--sequence N]"
			      " [--per-ring] [--verbose]\n"
			      "--sequence: this one alone; --per-ring: by the rules of Linux 7.3\n",
			      stderr);
			return 2;
		}
	}
	if (opt.only >= 0 && opt.sequences <= (unsigned long)opt.only)
		opt.sequences = (unsigned long)opt.only + 1;
	if (setrlimit(RLIMIT_MEMLOCK, &unlimited))
		die("cannot raise RLIMIT_MEMLOCK: %s", strerror(errno));
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	if (shared == MAP_FAILED)
		die("mmap: %s", strerror(errno));
	printf("seed %llu, %lu sequences\n", (unsigned long long)opt.seed, opt.sequences);
	return report(run_jobs());
}
