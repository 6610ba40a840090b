// SPDX-License-Identifier: GPL-2.0
/*
 * faults: whatever fails inside of the calls for registered buffers, nothing is left behind.
 *
 * Each operation is done again and again, while its 1st, 2nd, 3rd ... allocation or copy from or
 * to user memory fails, until it is done with nothing failing. Each time, after a failure:
 *
 *  - the error is one that says what happened, or the call succeeded without what failed;
 *  - as many pins are held, and as much is charged to the process (VmPin) and to the user, as
 *    before; a call that says that it did a part has done that part;
 *  - the table of buffers is what it was, by the data of I/O; no tag was posted;
 *  - the same call on the same ring succeeds then, the buffers work, and everything is given back
 *    when they are unregistered; it is too when the failure was the last call.
 *
 * After each case, with all rings closed, as much kernel memory is allocated as before.
 *
 * Prints what was done for each operation, and a line "N passed, N failed, N skipped" that counts
 * cases: an operation, memory of a kind, a number of entries and their size.
 */
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "faults.h"

#include "caps.h"
#include "charge.h"
#include "fail_nth.h"
#include "slabs.h"
#include "tcp_pair.h"
#include "uring.h"
#include "vmstat.h"

#define POINTS_MAX	20000	/* of one case: it does not end */
#define NODES_TIMES	16
#define MANY_TIMES	300	/* more than the slack of slabs_same(), in pages */
#define WAIT_TRIES	400
#define WAIT_USEC	5000

/* What became of the failures. */
struct tally {
	unsigned long points, errors[3], done, part;
};

static struct options {
	bool quick, zone, no_slabs;
	const char *only;
} options;

static struct fault_world world = { .memfd = -1, .disk = -1 };
static struct charge_probe probe;
static unsigned int passed, failed, skipped;

/* Held and charged, as the kernel counts. */
struct held {
	int64_t pins;
	long charged;
};

static struct held held_now(void)
{
	struct vmstat now;

	vmstat_read(&now);
	return (struct held){ (int64_t)(now.pin_acquired - now.pin_released), charge_pinned() };
}

/* With nothing registered; before the operation; after it. */
struct expected {
	struct held start, before, after;
};

static int same_held(const struct held *want, const char *when, struct reason *why)
{
	struct held now = held_now();

	if (now.pins != want->pins)
		return because(why, "%lld pins %s, not %lld", (long long)now.pins, when,
			       (long long)want->pins);
	if (now.charged != want->charged)
		return because(why, "%ld pages charged %s, not %ld", now.charged, when,
			       want->charged);
	return 0;
}

/* Some slots: the first and last, and those where a part ends. */
static int check_table(struct fault_world *w, const struct iovec *first, unsigned int nr_first,
		       const struct iovec *then, unsigned int nr_then, bool read_only,
		       struct reason *why)
{
	unsigned int nr = nr_first > nr_then ? nr_first : nr_then, slots[] = {
		0, nr_first - 1, nr_first, nr / 2, nr - 1,
	};
	struct reason slot_why;
	struct iovec none = { };

	for (size_t i = 0; i < ARRAY_SIZE(slots); i++) {
		unsigned int slot = slots[i];
		const struct iovec *iov = &none;

		if (slot >= nr || (i && slot == slots[i - 1]))
			continue;
		if (slot < nr_first)
			iov = &first[slot];
		else if (slot < nr_then)
			iov = &then[slot];
		if (fault_check_slot(w, slot, iov, read_only && slot < nr_first, &slot_why))
			return because(why, "%s", slot_why.text);
	}
	return 0;
}

static bool error_allowed(const struct fault_op *op, int error)
{
	return (error == -ENOMEM && op->may & MAY_NOMEM) ||
	       (error == -EFAULT && op->may & MAY_FAULT) ||
	       ((error == -EAGAIN || error == -ENOBUFS) && op->may & MAY_AGAIN) ||
	       (error == -ECANCELED && op->may & MAY_CANCEL);
}

/* After a call that failed: everything is as before, and the same call succeeds. */
static int check_failed(struct fault_world *w, int ret, const struct held *before,
			struct reason *why)
{
	const struct fault_op *op = w->c->op;
	bool read_only = op->read_only;
	struct io_uring_cqe *cqe;

	if (!error_allowed(op, ret))
		return because(why, "%s is no error for this", errno_name(-ret));
	if (same_held(before, "after the failure", why) ||
	    charge_probe_check(&probe, before->charged, why))
		return -1;
	if (!op->once && !w->pending) {
		if (!io_uring_peek_cqe(&w->ring, &cqe))
			return because(why, "a completion that nobody asked for: %llx, %d",
				       (unsigned long long)cqe->user_data, cqe->res);
		/* I/O takes no part in a table, but may have done some. */
		if (!op->io && check_table(w, w->before, w->nr_before, NULL, 0,
					   read_only && op->verify, why))
			return -1;
	}
	ret = op->call(w);
	if (ret != op->want(w))
		return because(why, "after the failure, the same call: %d", ret);
	return 0;
}

static int check_part(struct fault_world *w, int done, struct reason *why)
{
	const struct fault_op *op = w->c->op;
	int ret;

	if (!(op->may & MAY_SHORT) || done > op->want(w))
		return because(why, "%d is no result for this", done);
	if (!op->io && check_table(w, w->after, (unsigned int)done, w->before, w->nr_before,
				   op->read_only, why))
		return -1;
	ret = op->rest(w, done);
	if (ret != op->want(w) - done)
		return because(why, "the rest after %d: %d", done, ret);
	return 0;
}

static void open_rings(struct fault_world *w)
{
	must(io_uring_queue_init(4, &w->ring, 0), 0, "ring");
	if (w->c->op->clones)
		must(io_uring_queue_init(4, &w->other, 0), 0, "ring");
	w->closed = w->pending = false;
	w->tags_seen = 0;
	w->nr_before = w->nr_after = 0;
}

/* All of it is given back at once by unregistering, and some time later by closing. */
static int finish(struct fault_world *w, const struct held *start, struct reason *why)
{
	struct io_uring *rings[] = { w->c->op->clones ? &w->other : NULL,
				     w->closed ? NULL : &w->ring };
	int ret = 0;

	for (size_t i = 0; i < ARRAY_SIZE(rings); i++) {
		int error = rings[i] ? io_uring_unregister_buffers(rings[i]) : 0;

		if (error && error != -ENXIO)
			ret = because(why, "unregistering: %s", strerror(-error));
	}
	for (int i = 0; !ret && i < WAIT_TRIES; i++) {
		ret = same_held(start, "with nothing registered", why);
		/* Requests that used a buffer may be freed later, and so are closed rings. */
		if (!ret || i == WAIT_TRIES - 1)
			break;
		usleep(WAIT_USEC);
		ret = 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(rings); i++)
		if (rings[i])
			io_uring_queue_exit(rings[i]);
	return ret;
}

/*
 * Failure number @n. Returns 1 when nothing failed, 0 when something did and all is well, or -1
 * with @why. @again: after a failure, do what failed again. @expected: but for the start, filled by
 * number 0, without a failure.
 */
static int attempt(struct fault_world *w, struct fault_memory *memory, unsigned int n,
		   bool again, struct expected *expected, struct tally *tally, struct reason *why)
{
	const struct fault_op *op = w->c->op;
	struct held before;
	bool read_only = op->read_only, hit;
	int ret, want, error = 0;
	struct reason left;

	fault_memory_renew(memory);
	open_rings(w);
	op->prepare(w);
	/* What is the same each time is read once. */
	before = n && memory->kind->anew == ANEW_NEVER ? expected->before : held_now();
	if (n)
		fail_nth_arm(n);
	ret = op->call(w);
	hit = n && fail_nth_disarm();
	want = op->want(w);

	if (hit && !again && ret != want) {
		/* Only what is left, then. */
		w->pending = false;
		if (ret < 0 && !error_allowed(op, ret))
			error = because(why, "%s is no error for this", errno_name(-ret));
		goto out;
	}
	tally->points += hit;
	if (ret == want) {
		tally->done += hit;
	} else if (!hit) {
		error = because(why, "without a failure it returns %d, not %d", ret, want);
	} else if (ret < 0) {
		tally->errors[ret == -ENOMEM ? 0 : ret == -EFAULT ? 1 : 2]++;
		error = check_failed(w, ret, &before, why);
	} else {
		tally->part++;
		error = check_part(w, ret, why);
	}

	/* Whatever failed in between, it has been done. */
	if (!error && op->verify)
		error = op->verify(w, why);
	if (!error && !w->closed && !op->once)
		error = check_table(w, w->after, w->nr_after, NULL, 0, read_only, why);
	if (!error && !w->closed && !n) {
		expected->before = before;
		expected->after = held_now();
	} else if (!error && !w->closed && memory->kind->anew == ANEW_NEVER) {
		error = same_held(&expected->after, "after the success", why);
	}
out:
	if (finish(w, &expected->start, error ? &left : why))
		error = -1;
	fault_memory_settle(memory);
	return error ? -1 : !hit;
}

static void set_buffers(struct fault_world *w, const struct fault_memory *memory)
{
	const struct fault_case *c = w->c;

	w->nr = c->nr;
	for (unsigned int i = 0; i < c->nr; i++) {
		w->iov[i] = (struct iovec){ memory->addr + i * c->len, c->len };
		w->old[i] = (struct iovec){ memory->addr + (c->nr + i) * c->len, c->len };
		w->tags[i] = TAG | (i + 1);
	}
}

static const char *case_name(const struct fault_case *c, char *buf, size_t size)
{
	char len[32];

	snprintf(buf, size, "%s; %s, %u of %s", c->op->name, c->kind->name, c->nr,
		 format_size(c->len, len, sizeof(len)));
	return buf;
}

/* Returns the number of points, or -1. */
static long run_points(struct fault_world *w, struct fault_memory *memory, struct tally *tally,
		       struct reason *why)
{
	struct expected expected = { .start = held_now() };
	unsigned int times = !options.quick && w->c->op->many && w->c->len >= 4 * MIB &&
			     memory->kind->layout.backing == BACKING_4K ? MANY_TIMES : 1;
	struct tally ignored = { };
	struct slabs slabs;
	struct reason at;
	int ret;

	/* The first time around everything is allocated that stays. */
	for (int i = 0; i < 2; i++) {
		if (attempt(w, memory, 0, true, &expected, tally, &at) < 0)
			return because(why, "with no failure: %s", at.text);
		if (!i && !options.no_slabs)
			slabs_read(&slabs);
	}
	for (unsigned int n = 1; ; n++) {
		if (n > POINTS_MAX)
			return because(why, "no end after %u points", n);
		ret = attempt(w, memory, n, true, &expected, tally, &at);
		/*
		 * What is not done again has no chance to tidy up. Single pages show only when many
		 * are gone.
		 */
		for (unsigned int i = 0; !ret && w->c->op->may && i < times; i++)
			ret = attempt(w, memory, n, false, &expected, &ignored, &at);
		if (ret < 0)
			return because(why, "point %u: %.200s", n, at.text);
		if (ret)
			break;
	}
	if (!options.no_slabs && slabs_same(&slabs, why))
		return -1;
	return 0;
}

static void run_case(const struct fault_case *c, struct tally *total)
{
	uint64_t migrated = 0, now = 0;
	struct tally tally = { };
	struct fault_memory memory;
	char name[128], left[128];
	struct reason why;
	int ret;

	case_name(c, name, sizeof(name));
	if (fault_memory_map(&memory, c->kind, 2 * c->nr * c->len, &why)) {
		printf("SKIP %s: %s\n", name, why.text);
		skipped++;
		return;
	}
	world.c = c;
	set_buffers(&world, &memory);
	read_key("/proc/vmstat", "pgmigrate_success", &migrated);
	ret = (int)run_points(&world, &memory, &tally, &why);
	read_key("/proc/vmstat", "pgmigrate_success", &now);
	if (!ret && c->kind->zone && !c->op->once && now == migrated)
		ret = because(&why, "nothing had to move: boot with movablecore=");
	fault_memory_unmap(&memory);
	/* A check that failed may have left something there. */
	while (read(world.pipe[0], left, sizeof(left)) > 0)
		;
	if (ret)
		printf("FAIL %s: %s\n", name, why.text);
	passed += !ret;
	failed += !!ret;
	total->points += tally.points;
	total->done += tally.done;
	total->part += tally.part;
	for (size_t i = 0; i < ARRAY_SIZE(tally.errors); i++)
		total->errors[i] += tally.errors[i];
	fflush(stdout);
}

static void run_nodes(void)
{
	struct reason why = { "" };
	struct slabs slabs;
	unsigned int nr = 0;
	int ret;

	if (fault_nodes(&nr, 1, &why))	/* with what stays */
		die("%s", why.text);
	if (!options.no_slabs)
		slabs_read(&slabs);
	ret = fault_nodes(&nr, NODES_TIMES, &why);
	if (!ret && !options.no_slabs)
		ret = slabs_same(&slabs, &why);
	printf("%s register, without xarray nodes from each of %u on%s%s\n",
	       ret ? "FAIL" : "ok  ", nr, ret ? ": " : "", ret ? why.text : "");
	passed += !ret;
	failed += !!ret;
}

static void print_tally(const char *name, const struct tally *t)
{
	printf("%-22s %6lu points: %6lu ENOMEM, %5lu EFAULT, %4lu EAGAIN, %5lu in part, %5lu done all the same\n",
	       name, t->points, t->errors[0], t->errors[1], t->errors[2], t->part, t->done);
	fflush(stdout);
}

static const struct size {
	unsigned int nr;
	size_t len;
	bool quick;
} sizes[] = {
	{ 1, 4 * KIB, false },
	{ 1, 64 * KIB, false },
	{ 1, 4 * MIB, true },		/* of single pages, more than a chunk */
	{ 3, 2 * MIB, false },
	{ 3, 64 * KIB, true },
	{ 8, 64 * KIB, false },
	{ 64, 4 * KIB, false },
	{ 100, 20 * KIB, false },
}, io_sizes[] = {
	{ 1, 64 * KIB, true },
};

/*
 * Absent memory in single pages has a point for each page, and more: not megabytes of it, and
 * less for the operations that pin in the same way as the first one.
 */
static bool fits(const struct fault_op *op, const struct fault_memory_kind *kind,
		 const struct size *size)
{
	size_t total = size->nr * size->len, most = op->many ? 512 * KIB : 192 * KIB;

	switch (kind->anew) {
	case ANEW_NEVER:
		return true;
	case ANEW_PAGES:
		return total <= (kind->layout.backing == BACKING_THP ? 8 * MIB : most);
	case ANEW_ABSENT:
		return total <= (kind->layout.backing == BACKING_THP ||
				 kind->layout.backing == BACKING_HUGETLB_2M ? 8 * MIB : most);
	default:
		return total <= most;
	}
}

static void run_op(const struct fault_op *op, const struct size *all, size_t nr_sizes,
		   struct tally *sum)
{
	struct tally total = { };
	bool any = false;

	for (size_t k = 0; k < nr_fault_memory_kinds; k++) {
		const struct fault_memory_kind *kind = &fault_memory_kinds[k];

		if (kind->zone != options.zone || (options.quick && !kind->quick))
			continue;
		if (op->once && k && !options.zone)
			continue;
		for (size_t s = 0; s < nr_sizes; s++) {
			struct fault_case c = { op, kind, all[s].nr, all[s].len };
			char name[128];

			if ((options.quick && !all[s].quick) || !fits(op, kind, &all[s]) ||
			    (options.only && fnmatch(options.only, case_name(&c, name, sizeof(name)), 0)))
				continue;
			any = true;
			run_case(&c, &total);
		}
	}
	if (!any)
		return;
	print_tally(op->name, &total);
	sum->points += total.points;
	sum->done += total.done;
	sum->part += total.part;
	for (size_t i = 0; i < ARRAY_SIZE(total.errors); i++)
		sum->errors[i] += total.errors[i];
}

static void parse_options(int argc, char **argv)
{
	static const struct option table[] = {
		{ "quick", no_argument, NULL, 'q' },
		{ "movable", no_argument, NULL, 'm' },
		{ "no-slabs", no_argument, NULL, 's' },
		{ "disk", required_argument, NULL, 'd' },
		{ "only", required_argument, NULL, 'o' },
		{ }
	};
	int c;

	while ((c = getopt_long(argc, argv, "", table, NULL)) != -1) {
		if (c == 'q')
			options.quick = true;
		else if (c == 'm')
			options.zone = true;
		else if (c == 's')
			options.no_slabs = true;
		else if (c == 'o')
			options.only = optarg;
		else if (c != 'd')
			goto usage;
		else if ((world.disk = open(optarg, O_RDWR | O_DIRECT | O_CLOEXEC)) < 0)
			die("%s: %s", optarg, strerror(errno));
	}
	if (optind == argc)
		return;
usage:
	fputs("usage: faults [--quick] [--movable] [--no-slabs] [--disk DEVICE] [--only PATTERN]\n"
	      "  --quick     fewer sizes\n"
	      "  --movable   memory that has to move before it is pinned: boot with movablecore=\n"
	      "  --no-slabs  do not count objects, for a kernel that finds leaks itself\n"
	      "  --disk      is overwritten\n"
	      "  --only      cases by name: \"OPERATION; MEMORY, N of SIZE\", or \"nodes\"\n",
	      stderr);
	exit(2);
}

int main(int argc, char **argv)
{
	const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	struct tally sum = { };
	struct tcp_pair tcp;
	struct reason why;

	setvbuf(stdout, NULL, _IOLBF, 0);
	parse_options(argc, argv);
	if (fail_nth_open(&why) || (!options.no_slabs && slabs_open(&why)))
		die("%s", why.text);
	if (setrlimit(RLIMIT_MEMLOCK, &unlimited))
		die("cannot raise RLIMIT_MEMLOCK: %s", strerror(errno));
	world.memfd = memfd_create("faults", MFD_CLOEXEC);
	if (world.memfd < 0 || ftruncate(world.memfd, 64 * KIB))
		die("memfd: %s", strerror(errno));
	if (pipe2(world.pipe, O_CLOEXEC | O_NONBLOCK))
		die("pipe: %s", strerror(errno));
	tcp_pair_open(&tcp, 0, 0);
	world.socket[0] = tcp.from;
	world.socket[1] = tcp.to;
	set_capability(CAP_IPC_LOCK, false);
	/* Once, for what the probe's ring keeps */
	if (charge_probe_init(&probe, &why) || charge_probe_check(&probe, 0, &why))
		die("%s", why.text);

	for (size_t i = 0; i < nr_fault_ops; i++)
		run_op(&fault_ops[i], sizes, ARRAY_SIZE(sizes), &sum);
	for (size_t i = 0; i < nr_fault_io_ops; i++) {
		if (strstr(fault_io_ops[i].name, "disk") && world.disk < 0)
			continue;
		run_op(&fault_io_ops[i], io_sizes, ARRAY_SIZE(io_sizes), &sum);
	}
	if (!options.zone && (!options.only || !strcmp(options.only, "nodes")))
		run_nodes();
	charge_probe_exit(&probe);
	print_tally("all", &sum);
	printf("%u passed, %u failed, %u skipped\n", passed, failed, skipped);
	return failed || !passed ? 1 : 0;
}
