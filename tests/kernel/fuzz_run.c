// SPDX-License-Identifier: GPL-2.0
/*
 * fuzz_run: random sequences of what changes memory, registers it with rings and uses it, by
 * several processes; what is read, written, charged and pinned is compared with a model (fuzz.h).
 *
 * Each sequence is made from a seed and runs in a process of its own. One that fails is made
 * shorter, by leaving operations out as long as it fails, and printed.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fuzz.h"
#include "vmstat.h"

#define STEPS_MAX	2000
#define FIRST_UID	60000
#define PROGRESS_NS	10000000000ULL
#define COVER		20		/* sequences, in which each operation was to be seen */

static struct {
	uint64_t seed;
	unsigned int steps;
	unsigned long sequences;	/* 0: no limit */
	uint64_t seconds;
	unsigned int limit;		/* seconds for one sequence */
	unsigned int shrink;		/* seconds */
	const char *keep;		/* operations, or NULL for all */
	const char *fs_device;
} opt = {
	.steps = 150,
	.seconds = 60,
	.limit = 1500,
	.shrink = 240,
};

static struct fuzz_setup setup;
static uid_t uids;
static bool impatient;			/* it is known to fail */

/* --- what the kernel says ------------------------------------------------------------ */

static int kmsg = -1;

/*
 * From now on; and let it say again what it says only once. The seed is in its log, in case that
 * nobody here can tell any more.
 */
static void kmsg_begin(uint64_t seed)
{
	char line[64];

	if (kmsg < 0)
		kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (kmsg < 0)
		die("/dev/kmsg: %s", strerror(errno));
	snprintf(line, sizeof(line), "fuzz_run: seed %llu\n", (unsigned long long)seed);
	write_string("/dev/kmsg", line);
	lseek(kmsg, 0, SEEK_END);
	write_string("/sys/kernel/debug/clear_warn_once", "1");
}

static int kmsg_check(struct reason *why)
{
	static const char * const complaints[] = { "WARNING:", "BUG:", "UBSAN:", "ODEBUG:" };
	char record[2048];

	for (;;) {
		ssize_t len = read(kmsg, record, sizeof(record) - 1);

		if (len < 0 && errno == EPIPE)
			continue;
		if (len <= 0)
			return 0;
		record[len] = '\0';
		for (size_t i = 0; i < ARRAY_SIZE(complaints); i++) {
			const char *at = strstr(record, complaints[i]);

			if (at)
				return because(why, "the kernel complains: %.*s",
					       (int)strcspn(at, "\n"), at);
		}
	}
}

/* --- what is left ------------------------------------------------------------------- */

static int left_over(const struct vmstat *before, const struct vmstat *now, struct reason *why)
{
	/* A leak of an earlier sequence is not one of this. */
	uint64_t taken = now->pin_acquired - before->pin_acquired;
	uint64_t given = now->pin_released - before->pin_released;

	if (taken != given)
		return because(why, "%llu pins taken but %llu given back",
			       (unsigned long long)taken, (unsigned long long)given);
	if (now->huge_free[0] != before->huge_free[0])
		return because(why, "%llu huge pages free, %llu before",
			       (unsigned long long)now->huge_free[0],
			       (unsigned long long)before->huge_free[0]);
	return 0;
}

static int left_check(const struct vmstat *before, struct reason *why)
{
	struct vmstat now;
	int ret = -1;

	for (unsigned int tries = setup.shared->patience; ret && tries; tries--) {
		vmstat_read(&now);
		ret = left_over(before, &now, why);
		if (ret)
			usleep(PATIENCE_USEC);
	}
	return ret;
}

/* --- a sequence ------------------------------------------------------------------------- */

static void reset(struct shared *shared)
{
	shared->nr_cells = shared->nr_shadows = shared->nr_objects = 0;
	memset(shared->objects, 0, sizeof(shared->objects));
	memset(shared->charged, 0, sizeof(shared->charged));
	shared->serial = 0;
	shared->patience = impatient ? PATIENCE / 20 : PATIENCE;
	shared->exhausted = shared->failed = false;
	shared->step = 0;
	shared->text_len = 0;
	shared->why.text[0] = '\0';
}

/* Waits for @pid as long as allowed; then it is killed. */
static int wait_for(pid_t pid, struct reason *why)
{
	unsigned int limit = impatient ? (opt.limit + 3) / 4 : opt.limit;
	struct timespec timeout = { .tv_sec = limit };
	sigset_t set;
	int status;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	while (waitpid(pid, &status, WNOHANG) != pid) {
		if (sigtimedwait(&set, NULL, &timeout) < 0 && errno == EAGAIN) {
			kill(pid, SIGKILL);
			waitpid(pid, &status, 0);
			return because(why, "step %u: no end after %u s", setup.shared->step,
				       limit);
		}
	}
	if (WIFSIGNALED(status))
		return because(why, "step %u: %s", setup.shared->step,
			       strsignal(WTERMSIG(status)));
	if (!status)
		return 0;
	return because(why, "%s", setup.shared->why.text[0] ? setup.shared->why.text :
		       "it ends for another reason");
}

static int run(uint64_t seed, const unsigned int *steps, unsigned int nr, struct reason *why)
{
	struct vmstat start;
	struct reason after;
	pid_t pid;
	int ret;

	reset(setup.shared);
	vmstat_read(&start);
	kmsg_begin(seed);
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (!pid) {
		sigset_t none;

		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		ret = fuzz_sequence(&setup, seed, steps, nr, FIRST_UID + uids % 100000,
				    &setup.shared->why);
		fflush(stdout);
		_exit(ret ? 1 : 0);
	}
	uids++;
	ret = wait_for(pid, why);
	if (kmsg_check(&after) && !ret)
		ret = because(why, "%s", after.text);
	if (left_check(&start, &after) && !ret)
		ret = because(why, "when all has ended: %s", after.text);
	return ret;
}

/* --- a shorter one ----------------------------------------------------------------------- */

/* Leaves out as many operations as possible. Returns how many are left. */
static unsigned int shrink(uint64_t seed, unsigned int *steps, unsigned int nr,
			   struct reason *why)
{
	uint64_t end = now_ns() + opt.shrink * 1000000000ULL;
	unsigned int part = nr / 2, kept[STEPS_MAX], runs = 0;

	impatient = true;
	while (part && now_ns() < end) {
		bool shorter = false;

		for (unsigned int at = 0; at < nr && now_ns() < end; ) {
			unsigned int gone = (unsigned int)min_size(part, nr - at);
			struct reason other;

			memcpy(kept, steps, at * sizeof(*kept));
			memcpy(kept + at, steps + at + gone, (nr - at - gone) * sizeof(*kept));
			runs++;
			if (run(seed, kept, nr - gone, &other)) {
				nr -= gone;
				memcpy(steps, kept, nr * sizeof(*kept));
				*why = other;
				shorter = true;
				note("%u operations left", nr);
			} else {
				at += gone;
			}
		}
		if (part > 1 || !shorter)
			part /= 2;
	}
	printf("%u operations are enough, found in %u runs\n", nr, runs);
	return nr;
}

static void print_steps(const unsigned int *steps, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++)
		printf("%s%u", i ? "," : "", steps[i]);
	putchar('\n');
}

static void failed(uint64_t seed, unsigned int *steps, unsigned int nr, struct reason *why)
{
	unsigned int last = setup.shared->step;

	printf("FAIL seed %llu: %s\n", (unsigned long long)seed, why->text);
	printf("     again: fuzz_run --seed %llu --steps %u --sequences 1\n",
	       (unsigned long long)seed, opt.steps);
	fflush(stdout);
	if (opt.shrink) {
		/* What was not done was not it. */
		while (nr && !opt.keep && steps[nr - 1] > last)
			nr--;
		nr = shrink(seed, steps, nr, why);
		/* For the list of what it did; once more is another chance to fail. */
		for (int tries = 0; tries < 5 && !run(seed, steps, nr, why); tries++)
			;
	}
	printf("%s     %s\n     again: fuzz_run --seed %llu --sequences 1 --keep ",
	       setup.shared->text, why->text, (unsigned long long)seed);
	print_steps(steps, nr);
	fflush(stdout);
}

/* --- the whole ------------------------------------------------------------------------------ */

static unsigned int choose_steps(unsigned int *steps)
{
	unsigned int nr = 0;
	const char *at = opt.keep;
	char *end;

	if (!at) {
		for (; nr < opt.steps; nr++)
			steps[nr] = nr;
		return nr;
	}
	for (; nr < STEPS_MAX; at = end + 1) {
		steps[nr++] = (unsigned int)strtoul(at, &end, 10);
		if (*end != ',')
			break;
	}
	return nr;
}

static int report(unsigned long sequences, unsigned int failures, uint64_t ns)
{
	const struct fuzz_stats *stats = &setup.shared->stats;
	uint64_t done = 0;
	unsigned int missing = 0;

	printf("operations, and those that had nothing to work on:\n");
	for (unsigned int i = 0; i < OP_KINDS; i++) {
		printf("  %-14s %8llu %8llu\n", op_names[i], (unsigned long long)stats->done[i],
		       (unsigned long long)stats->idle[i]);
		done += stats->done[i];
		missing += !stats->done[i];
	}
	printf("buffers %llu of %llu pages, refused %llu, at the limit %llu; disturbances %llu,"
	       " with signals %llu\n", (unsigned long long)stats->buffers,
	       (unsigned long long)stats->pinned, (unsigned long long)stats->refused,
	       (unsigned long long)stats->over_limit, (unsigned long long)stats->racing,
	       (unsigned long long)stats->signals);
	printf("of memfds %llu; requests cancelled %llu, done in part %llu\n",
	       (unsigned long long)stats->of_memfd, (unsigned long long)stats->cancelled,
	       (unsigned long long)stats->in_part);
	printf("%lu sequences, %llu operations, %llu MiB compared, %llu s\n", sequences,
	       (unsigned long long)done, (unsigned long long)(stats->bytes / MIB),
	       (unsigned long long)(ns / 1000000000));
	/* A test that did not go where it is meant to go says nothing. */
	missing += !stats->of_memfd + !stats->cancelled;
	if (missing && !failures && !opt.keep && sequences >= COVER) {
		printf("FAIL %u things were never done\n", missing);
		failures++;
	}
	printf("%u passed, %u failed, 0 skipped\n", failures ? 0 : 1, failures);
	return failures ? 1 : 0;
}

static int fuzz(void)
{
	static unsigned int steps[STEPS_MAX];
	uint64_t start = now_ns(), told = start;
	unsigned long n = 0;
	struct reason why;

	while ((!opt.sequences || n < opt.sequences) &&
	       (opt.sequences || now_ns() - start < opt.seconds * 1000000000ULL)) {
		unsigned int nr = choose_steps(steps);

		if (run(opt.seed + n, steps, nr, &why)) {
			printf("after %lu sequences, %llu s:\n", n,
			       (unsigned long long)((now_ns() - start) / 1000000000));
			failed(opt.seed + n, steps, nr, &why);
			return report(n, 1, now_ns() - start);
		}
		n++;
		if (now_ns() - told > PROGRESS_NS) {
			told = now_ns();
			note("%llu s, %lu sequences", (unsigned long long)((told - start) / 1000000000),
			     n);
		}
	}
	return report(n, 0, now_ns() - start);
}

static void usage(void)
{
	fputs("usage: fuzz_run --fs-device DEVICE [OPTION...]\n"
	      "  --seed N       of the first sequence; each has one more (default: from the clock)\n"
	      "  --steps N      operations in a sequence (default: 150)\n"
	      "  --time S       seconds (default: 60)\n"
	      "  --sequences N  instead of a time\n"
	      "  --keep N,...   only these operations of each sequence\n"
	      "  --shrink S     seconds to make a failing sequence shorter, 0: do not (240)\n"
	      "  --limit S      seconds for one sequence, a quarter when it is made shorter (1500)\n"
	      "  --verbose      print each operation\n"
	      "DEVICE has an ext4, which is written to.\n", stderr);
	exit(2);
}

static uint64_t parse_number(const char *text, uint64_t max)
{
	char *end;
	uint64_t value;

	errno = 0;
	value = strtoull(text, &end, 0);
	if (end == text || *end || errno || *text == '-' || value > max) {
		fprintf(stderr, "fuzz_run: not a number up to %llu: %s\n", (unsigned long long)max,
			text);
		exit(2);
	}
	return value;
}

static void parse(int argc, char **argv)
{
	static const struct option options[] = {
		{ "fs-device", required_argument, NULL, 'f' },
		{ "seed", required_argument, NULL, 's' },
		{ "steps", required_argument, NULL, 'n' },
		{ "time", required_argument, NULL, 't' },
		{ "sequences", required_argument, NULL, 'q' },
		{ "keep", required_argument, NULL, 'k' },
		{ "shrink", required_argument, NULL, 'r' },
		{ "limit", required_argument, NULL, 'l' },
		{ "verbose", no_argument, NULL, 'v' },
		{ }
	};
	int c;

	opt.seed = (uint64_t)time(NULL) * 1000;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'f':
			opt.fs_device = optarg;
			break;
		case 's':
			opt.seed = parse_number(optarg, UINT64_MAX);
			break;
		case 'n':
			opt.steps = (unsigned int)parse_number(optarg, STEPS_MAX);
			break;
		case 't':
			opt.seconds = parse_number(optarg, 1000000);
			break;
		case 'q':
			opt.sequences = parse_number(optarg, 1000000000);
			break;
		case 'k':
			opt.keep = optarg;
			break;
		case 'r':
			opt.shrink = (unsigned int)parse_number(optarg, 100000);
			break;
		case 'l':
			opt.limit = (unsigned int)parse_number(optarg, 100000);
			break;
		case 'v':
			fuzz_verbose = true;
			break;
		default:
			usage();
		}
	}
	if (!opt.fs_device || optind < argc)
		usage();
}

int main(int argc, char **argv)
{
	const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	struct vmstat start;
	sigset_t child;

	parse(argc, argv);
	/* A pipe to a process that has died is noticed otherwise. */
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	if (setrlimit(RLIMIT_MEMLOCK, &unlimited))
		die("cannot raise RLIMIT_MEMLOCK: %s", strerror(errno));
	vmstat_start(&start);
	fuzz_prepare(&setup, opt.fs_device);
	printf("seed %llu, %u operations in a sequence\n", (unsigned long long)opt.seed, opt.steps);
	fflush(stdout);
	return fuzz();
}
