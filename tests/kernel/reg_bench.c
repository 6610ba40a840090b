// SPDX-License-Identifier: GPL-2.0
/*
 * reg_bench: how the cost of a registered buffer grows with its size.
 *
 * For each backing the memory is made once, as large as it gets, and checked to be what it claims.
 * Then its first MiB, 4 MiB, 16 MiB ... and all of it are registered as one buffer, and
 *
 *  1. registration, a clone into another ring, the end of the clone, an update of the slot with
 *     the same buffer, and the end of the buffer are timed;
 *  2. what the kernel allocates for a registration is counted: what stays is metadata, the highest
 *     sum on the way is the peak;
 *  3. the pins are counted.
 *
 * With --atomics, and in a kernel that tells (see ref_trace.h), what is counted instead is the
 * atomic operations on reference counts of the buffer's memory in each of these calls, and what
 * pinning alone takes. The references that are held must be those of the pins that the kernel
 * says are held, after each call.
 *
 * A size that the kernel refuses is a result too. Under "qemu -icount shift=N" with one CPU, guest
 * time is an exact count: an instruction is 2^N ns. Results are lines of text, and a JSON object a
 * line with --json.
 */
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "alloc_trace.h"
#include "bench.h"
#include "counters.h"
#include "layouts.h"
#include "pin.h"
#include "ref_trace.h"
#include "registration.h"
#include "vmstat.h"

#define TIMES_MAX	5
#define TIMES_ENOUGH_NS	100000000	/* in all; then no further time is taken */
#define FIRST_SIZE	MIB
#define SIZE_STEP	4
#define CHUNK		4096
/* References for each pin of a folio that is one page, the kernel's GUP_PIN_COUNTING_BIAS */
#define PIN_REFERENCES	1024

static const struct backing_test {
	const char *name;
	const char *title;
	struct layout layout;		/* its size is the largest */
	size_t also;			/* a size between the others */
} tests[] = {
	/* In whole pages, the most that stock registers at once is a GiB less than 1 TiB */
	{ "1g", "hugetlb 1G",
	  { .backing = BACKING_HUGETLB_1G, .size = 64 * TIB, .alias = GIB }, TIB - GIB },
	/* Mapping more of these than that takes longer than all else */
	{ "2m", "hugetlb 2M",
	  { .backing = BACKING_HUGETLB_2M, .size = 16 * TIB, .alias = 256 * MIB }, 0 },
	{ "thp", "THP",
	  { .backing = BACKING_THP, .size = GIB }, 0 },
	{ "thp-ptes", "THP mapped by PTEs",
	  { .backing = BACKING_THP_PTES, .size = GIB }, 0 },
	{ "1m", "1M mTHP",
	  { .backing = BACKING_1M, .size = GIB }, 0 },
	{ "64k", "64K mTHP",
	  { .backing = BACKING_64K, .size = GIB }, 0 },
	{ "16k", "16K mTHP",
	  { .backing = BACKING_16K, .size = GIB }, 0 },
	{ "4k", "4K pages",
	  { .backing = BACKING_4K, .size = GIB }, 0 },
	{ "shmem-4k", "4K pages of a memfd",
	  { .backing = BACKING_SHMEM_4K, .size = 4 * GIB, .alias = 256 * MIB }, 0 },
	/* A page replaced in so many of the THPs */
	{ "mixed-1", "THP, 1 % with a 4K page",
	  { .backing = BACKING_THP, .size = GIB, .replace_every = 200 * MIB }, 0 },
	{ "mixed-10", "THP, 10 % with a 4K page",
	  { .backing = BACKING_THP, .size = GIB, .replace_every = 20 * MIB }, 0 },
	{ "mixed-50", "THP, 50 % with a 4K page",
	  { .backing = BACKING_THP, .size = GIB, .replace_every = 4 * MIB }, 0 },
};

static struct {
	size_t min, max;		/* of a buffer */
	bool no_metadata, metadata;
	bool atomics;
	bool counters;
} opt = {
	.min = FIRST_SIZE,
	.max = SIZE_MAX,
};

enum op {
	OP_REGISTER,
	OP_CLONE,
	OP_UNCLONE,
	OP_UPDATE,
	OP_UNREGISTER,
	NR_OPS,
};

static const char * const op_names[NR_OPS] = {
	"register", "clone", "unclone", "update", "unregister",
};

struct result {
	int error;			/* of registration: 0 or positive errno */
	uint64_t ns[NR_OPS];
	struct counts counts[NR_OPS];	/* of the same call as the time */
	struct alloc_usage usage;
	uint64_t pins;
	struct op_refs {		/* with --atomics */
		struct ref_usage usage;
		int64_t pins;		/* held after the call, less those before */
	} refs[NR_OPS];
};

/* What --atomics counts besides: all memory of a buffer pinned and released again */
static const struct pin_test {
	const char *name;
	struct pin_method method;
} pin_tests[] = {
	{ "pin_pages", { .call = PIN_PAGES, .longterm = true } },
	{ "pin_runs", { .call = PIN_RUNS, .longterm = true, .chunk_bytes = CHUNK } },
};

static struct alloc_trace trace;
static struct ref_trace ref_trace;
static struct counters counters;
static int gup_test = -1;

/* Newer than the oldest liburing that this is compiled with */
static int clone_buffers(struct io_uring *dst, struct io_uring *src)
{
	struct {
		uint32_t src_fd, flags, src_off, dst_off, nr, pad[3];
	} arg = { .src_fd = (uint32_t)src->ring_fd };
	const unsigned int opcode = 30;		/* IORING_REGISTER_CLONE_BUFFERS */

	return syscall(SYS_io_uring_register, dst->ring_fd, opcode, &arg, 1) ? -errno : 0;
}

static int do_op(enum op op, struct io_uring *ring, struct io_uring *clone, const struct iovec *iov)
{
	int ret;

	switch (op) {
	case OP_REGISTER:
		return io_uring_register_buffers(ring, iov, 1);
	case OP_CLONE:
		return clone_buffers(clone, ring);
	case OP_UNCLONE:
		return io_uring_unregister_buffers(clone);
	case OP_UPDATE:
		ret = io_uring_register_buffers_update_tag(ring, 0, iov, NULL, 1);
		return ret == 1 ? 0 : ret < 0 ? ret : -EIO;
	default:
		return io_uring_unregister_buffers(ring);
	}
}

/* Every operation once, with new rings. Failure to register is a result, not an error. */
static int time_ops(const struct iovec *iov, struct result *res, struct reason *why)
{
	struct vmstat before, now;
	struct io_uring ring, clone;
	int ret = -1, counted = 0;

	if (ring_init(&ring, false, why))
		return -1;
	if (ring_init(&clone, false, why))
		goto out;
	for (enum op op = 0; op < NR_OPS; op++) {
		struct counts counts = { 0 };
		uint64_t start, end;

		if (op == OP_REGISTER || opt.atomics)
			vmstat_read(&before);
		settle();
		if (opt.atomics && ref_trace_start(&ref_trace, why)) {
			ret = -1;
			break;
		}
		if (opt.counters)
			counters_start(&counters);
		start = now_ns();
		ret = do_op(op, &ring, &clone, iov);
		end = now_ns();
		if (opt.counters)
			counters_stop(&counters, &counts);
		if (opt.atomics)
			counted = ref_trace_stop(&ref_trace, &res->refs[op].usage, why);
		if (op == OP_REGISTER && ret) {
			res->error = -ret;
			ret = 0;
			break;
		}
		if (ret) {
			because(why, "%s: %s", op_names[op], strerror(-ret));
			break;
		}
		if (counted) {
			ret = -1;
			break;
		}
		if (op == OP_REGISTER || opt.atomics)
			vmstat_read(&now);
		if (op == OP_REGISTER)
			res->pins = now.pin_acquired - before.pin_acquired;
		if (opt.atomics)
			res->refs[op].pins = (int64_t)(now.pin_acquired - now.pin_released) -
					     (int64_t)(before.pin_acquired - before.pin_released);
		if (end - start < res->ns[op]) {
			res->ns[op] = end - start;
			res->counts[op] = counts;
		}
	}
	io_uring_queue_exit(&clone);
out:
	io_uring_queue_exit(&ring);
	return ret;
}

static int measure(const struct iovec *iov, struct result *res, struct reason *why)
{
	uint64_t total = 0;

	memset(res, 0, sizeof(*res));
	memset(res->ns, 0xff, sizeof(res->ns));
	if (opt.atomics)
		return time_ops(iov, res, why);
	for (int i = 0; i < TIMES_MAX && total < TIMES_ENOUGH_NS; i++) {
		if (time_ops(iov, res, why))
			return -1;
		if (res->error)
			return 0;
		total += res->ns[OP_REGISTER] + res->ns[OP_UPDATE] + res->ns[OP_UNREGISTER];
	}
	return opt.metadata ? registration_trace(&trace, iov, false, &res->usage, why) : 0;
}

/* What any kernel has to do at least: entries to read, folios to pin. */
static void count_least(const struct memory *mem, size_t size, size_t *entries, size_t *folios)
{
	bool by_ptes = backing_is_anonymous(mem->layout.backing) &&
		       mem->layout.backing != BACKING_THP;
	size_t replaced = 0;

	while (replaced < mem->nr_replaced && mem->replaced[replaced] < size)
		replaced++;
	*folios = (size + mem->page_size - 1) / mem->page_size;
	*entries = by_ptes ? size / (4 * KIB) : *folios;
	*folios += replaced;
	*entries += replaced * (mem->page_size / (4 * KIB) - 1);
}

/* Pages of the first @size bytes that are folios by themselves */
static size_t count_small(const struct memory *mem, size_t size)
{
	size_t replaced = 0;

	if (mem->page_size == 4 * KIB)
		return size / (4 * KIB);
	while (replaced < mem->nr_replaced && mem->replaced[replaced] < size)
		replaced++;
	return replaced;
}

/*
 * That no operation was missed: the references that a call added, less those that it dropped, are
 * those of its pins as the kernel's own statistics have them, and the last call leaves none.
 */
static int check_refs(const struct memory *mem, size_t size, const struct result *res,
		      struct reason *why)
{
	int64_t small = (int64_t)count_small(mem, size), all = 0;

	for (enum op op = 0; op < NR_OPS; op++) {
		const struct op_refs *refs = &res->refs[op];
		int64_t held = (int64_t)(refs->usage.taken - refs->usage.dropped);
		int64_t more = op == OP_REGISTER ? small : op == OP_UNREGISTER ? -small : 0;
		int64_t expected = refs->pins + more * (PIN_REFERENCES - 1);

		if (held != expected)
			return because(why, "%s: %lld references more in %llu operations, but "
				       "%lld pins more, which are %lld references", op_names[op],
				       (long long)held, (unsigned long long)refs->usage.ops,
				       (long long)refs->pins, (long long)expected);
		all += held;
	}
	if (all)
		return because(why, "%lld references left in all", (long long)all);
	return 0;
}

/* In a kernel without pin_user_runs_fast() the second of the tests is not made. */
static bool has_pin_test(const struct pin_test *pin)
{
	return pin->method.call != PIN_RUNS || pin_has_runs(gup_test);
}

static int count_pins(const struct iovec *iov, struct ref_usage *usage, struct reason *why)
{
	struct pin_result result;

	for (size_t i = 0; i < ARRAY_SIZE(pin_tests); i++) {
		int ret;

		if (!has_pin_test(&pin_tests[i]))
			continue;
		if (ref_trace_start(&ref_trace, why))
			return -1;
		ret = pin_run(gup_test, &pin_tests[i].method, iov->iov_base, iov->iov_len, &result,
			      why);
		if (ref_trace_stop(&ref_trace, &usage[i], ret ? NULL : why) || ret)
			return -1;
		if (usage[i].taken != usage[i].dropped || !usage[i].taken)
			return because(why, "%s: %llu references taken, %llu dropped",
				       pin_tests[i].name, (unsigned long long)usage[i].taken,
				       (unsigned long long)usage[i].dropped);
	}
	return 0;
}

static void print_refs(const char *name, const struct ref_usage *usage)
{
	printf(" %s %llu +%llu -%llu", name, (unsigned long long)usage->ops,
	       (unsigned long long)usage->taken, (unsigned long long)usage->dropped);
	if (bench.json)
		fprintf(bench.json, ", \"%s_ref_ops\": %llu, \"%s_refs_taken\": %llu, "
			"\"%s_refs_dropped\": %llu", name, (unsigned long long)usage->ops, name,
			(unsigned long long)usage->taken, name,
			(unsigned long long)usage->dropped);
}

/* The start of each result: what was registered, and whether the kernel took it */
static void print_head(const char *type, const struct backing_test *test, const struct memory *mem,
		       size_t bytes, const struct result *res)
{
	const char *outcome = res->error ? errno_name(res->error) : "ok";
	size_t entries, folios;
	char size[32];

	count_least(mem, bytes, &entries, &folios);
	printf("%-10s %9s %-9s", test->name, format_size(bytes, size, sizeof(size)), outcome);
	if (bench.json)
		fprintf(bench.json, "{\"type\": \"%s\", \"name\": \"%s/%zu\", "
			"\"backing\": \"%s\", \"title\": \"%s\", \"bytes\": %zu, "
			"\"entries\": %zu, \"folios\": %zu, \"result\": \"%s\"", type, test->name,
			bytes, test->name, test->title, bytes, entries, folios, outcome);
}

static void print_tail(void)
{
	putchar('\n');
	fflush(stdout);
	bench.passed++;
	bench_json_end();
}

static void print_atomics(const struct backing_test *test, const struct memory *mem, size_t bytes,
			  const struct result *res, const struct ref_usage *pinned)
{
	print_head("atomics", test, mem, bytes, res);
	for (enum op op = 0; !res->error && op < NR_OPS; op++)
		print_refs(op_names[op], &res->refs[op].usage);
	for (size_t i = 0; i < ARRAY_SIZE(pin_tests); i++)
		if (has_pin_test(&pin_tests[i]))
			print_refs(pin_tests[i].name, &pinned[i]);
	print_tail();
}

static void print_result(const struct backing_test *test, const struct memory *mem, size_t bytes,
			 const struct result *res)
{
	print_head("register", test, mem, bytes, res);
	for (enum op op = 0; !res->error && op < NR_OPS; op++) {
		unsigned long long ns = res->ns[op];

		printf(" %s %llu", op_names[op], bench_value(ns));
		if (bench.json && bench.icount >= 0)
			fprintf(bench.json, ", \"%s_insn\": %llu", op_names[op], ns >> bench.icount);
		if (bench.json)
			fprintf(bench.json, ", \"%s_ns\": %llu", op_names[op], ns);
		if (bench.json)
			counts_json(bench.json, op_names[op], &res->counts[op], 1);
	}
	if (!res->error)
		printf(" pins %llu metadata %llu peak %llu", (unsigned long long)res->pins,
		       (unsigned long long)res->usage.kept, (unsigned long long)res->usage.peak);
	if (!res->error && bench.json)
		fprintf(bench.json, ", \"pins\": %llu", (unsigned long long)res->pins);
	if (!res->error && bench.json && opt.metadata)
		fprintf(bench.json, ", \"metadata_bytes\": %llu, \"peak_bytes\": %llu",
			(unsigned long long)res->usage.kept, (unsigned long long)res->usage.peak);
	print_tail();
}

static int run_size(const struct backing_test *test, const struct memory *mem, size_t size,
		    struct reason *why)
{
	struct ref_usage pinned[ARRAY_SIZE(pin_tests)] = { 0 };
	struct iovec iov = { mem->addr, size };
	struct result res;

	if (size < opt.min || size > min_size(mem->size, opt.max))
		return 0;
	if (measure(&iov, &res, why))
		return -1;
	if (!opt.atomics) {
		print_result(test, mem, size, &res);
		return 0;
	}
	if ((!res.error && check_refs(mem, size, &res, why)) || count_pins(&iov, pinned, why))
		return -1;
	print_atomics(test, mem, size, &res, pinned);
	return 0;
}

static int run_sizes(const struct backing_test *test, const struct memory *mem, struct reason *why)
{
	for (size_t size = FIRST_SIZE; size <= mem->size; size *= SIZE_STEP) {
		if (run_size(test, mem, size, why))
			return -1;
		if (test->also > size && test->also < size * SIZE_STEP &&
		    run_size(test, mem, test->also, why))
			return -1;
	}
	return 0;
}

static void run_test(const struct backing_test *test)
{
	struct layout layout = test->layout;
	struct vmstat before;
	struct memory mem;
	struct reason why;
	int ret;

	if (layout.size > opt.max) {
		size_t page = backing_page_size(layout.backing);

		layout.size = opt.max > page ? opt.max : page;
		layout.alias = min_size(layout.alias, layout.size);
	}
	vmstat_start(&before);
	note("%s: mapping", test->name);
	ret = memory_map(&mem, &layout, &why);
	if (!ret) {
		note("%s: registering", test->name);
		ret = run_sizes(test, &mem, &why);
		/* Nothing splits or moves hugetlb pages. */
		if (!ret && backing_is_anonymous(layout.backing))
			ret = memory_verify(&mem, &why);
		memory_unmap(&mem);
		if (vmstat_balanced(&before, ret ? NULL : &why))
			ret = -1;
	}
	if (!ret)
		return;
	bench.failed++;
	printf("FAIL %s: %s\n", test->name, why.text);
	fflush(stdout);
}

static const struct bench_option options[] = {
	{ "min", "SIZE", "no buffers smaller than that (4G, 1T ...)", .size = &opt.min },
	{ "max", "SIZE", "nor larger", .size = &opt.max, .least = FIRST_SIZE },
	{ "atomics", NULL, "operations on reference counts, instead of time and memory",
		.flag = &opt.atomics },
	{ "no-metadata", NULL, "do not trace allocations", .flag = &opt.no_metadata },
	{ "counters", NULL, "what the CPU counts, into the JSON", .flag = &opt.counters },
	{ }
};

int main(int argc, char **argv)
{
	struct reason why;

	bench_options(argc, argv, NULL, options);
	opt.metadata = !opt.no_metadata && !opt.atomics;
	bench_unlimit();
	if (opt.metadata && alloc_trace_open(&trace, &why))
		die("%s", why.text);
	if (opt.atomics && ref_trace_open(&ref_trace, &why))
		die("%s", why.text);
	if (opt.atomics && (gup_test = pin_open(&why)) < 0)
		die("%s", why.text);
	if (opt.counters)
		counters_open(&counters);
	for (size_t i = 0; i < ARRAY_SIZE(tests); i++)
		if (bench_wants(tests[i].name))
			run_test(&tests[i]);
	if (opt.counters)
		counters_close(&counters);
	if (opt.metadata)
		alloc_trace_close(&trace);
	if (opt.atomics)
		ref_trace_close(&ref_trace);
	return bench_end();
}
