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
 * A size that the kernel refuses is a result too. Under "qemu -icount shift=N" with one CPU, guest
 * time is an exact count: an instruction is 2^N ns. Results are lines of text, and a JSON object a
 * line with --json.
 */
#include <errno.h>
#include <getopt.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "alloc_trace.h"
#include "layouts.h"
#include "registration.h"
#include "vmstat.h"

#define TIMES_MAX	5
#define TIMES_ENOUGH_NS	100000000	/* in all; then no further time is taken */
#define FIRST_SIZE	MIB
#define SIZE_STEP	4

static const struct backing_test {
	const char *name;
	const char *title;
	struct layout layout;		/* its size is the largest */
} tests[] = {
	{ "1g", "hugetlb 1G",
	  { .backing = BACKING_HUGETLB_1G, .size = 64 * TIB, .alias = GIB } },
	{ "2m", "hugetlb 2M",
	  { .backing = BACKING_HUGETLB_2M, .size = TIB, .alias = 256 * MIB } },
	{ "thp", "THP",
	  { .backing = BACKING_THP, .size = GIB } },
	{ "thp-ptes", "THP mapped by PTEs",
	  { .backing = BACKING_THP_PTES, .size = GIB } },
	{ "1m", "1M mTHP",
	  { .backing = BACKING_1M, .size = GIB } },
	{ "64k", "64K mTHP",
	  { .backing = BACKING_64K, .size = GIB } },
	{ "16k", "16K mTHP",
	  { .backing = BACKING_16K, .size = GIB } },
	{ "4k", "4K pages",
	  { .backing = BACKING_4K, .size = GIB } },
	{ "shmem-4k", "4K pages of a memfd",
	  { .backing = BACKING_SHMEM_4K, .size = 4 * GIB, .alias = 256 * MIB } },
	/* A page replaced in so many of the THPs */
	{ "mixed-1", "THP, 1 % with a 4K page",
	  { .backing = BACKING_THP, .size = GIB, .replace_every = 200 * MIB } },
	{ "mixed-10", "THP, 10 % with a 4K page",
	  { .backing = BACKING_THP, .size = GIB, .replace_every = 20 * MIB } },
	{ "mixed-50", "THP, 50 % with a 4K page",
	  { .backing = BACKING_THP, .size = GIB, .replace_every = 4 * MIB } },
};

static struct {
	FILE *json;
	int icount;			/* shift, or -1 */
	const char *only;
	size_t max;			/* of a buffer */
	bool metadata;
} opt = {
	.icount = -1,
	.max = SIZE_MAX,
	.metadata = true,
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
	struct alloc_usage usage;
	uint64_t pins;
};

static struct alloc_trace trace;
static unsigned int passed, failed;

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
	int ret = -1;

	if (ring_init(&ring, false, why))
		return -1;
	if (ring_init(&clone, false, why))
		goto out;
	for (enum op op = 0; op < NR_OPS; op++) {
		uint64_t start, end;

		if (op == OP_REGISTER)
			vmstat_read(&before);
		settle();
		start = now_ns();
		ret = do_op(op, &ring, &clone, iov);
		end = now_ns();
		if (op == OP_REGISTER && ret) {
			res->error = -ret;
			ret = 0;
			break;
		}
		if (ret) {
			because(why, "%s: %s", op_names[op], strerror(-ret));
			break;
		}
		if (op == OP_REGISTER) {
			vmstat_read(&now);
			res->pins = now.pin_acquired - before.pin_acquired;
		}
		if (end - start < res->ns[op])
			res->ns[op] = end - start;
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

static void print_result(const struct backing_test *test, const struct memory *mem, size_t bytes,
			 const struct result *res)
{
	const char *outcome = res->error ? errno_name(res->error) : "ok";
	size_t entries, folios;
	char size[32];

	count_least(mem, bytes, &entries, &folios);
	printf("%-10s %9s %-9s", test->name, format_size(bytes, size, sizeof(size)), outcome);
	for (enum op op = 0; !res->error && op < NR_OPS; op++)
		printf(" %s %llu", op_names[op],
		       (unsigned long long)(opt.icount < 0 ? res->ns[op] :
						res->ns[op] >> opt.icount));
	if (!res->error)
		printf(" pins %llu metadata %llu peak %llu", (unsigned long long)res->pins,
		       (unsigned long long)res->usage.kept, (unsigned long long)res->usage.peak);
	putchar('\n');
	fflush(stdout);
	passed++;
	if (!opt.json)
		return;
	fprintf(opt.json, "{\"type\": \"register\", \"name\": \"%s/%zu\", \"backing\": \"%s\", "
		"\"title\": \"%s\", \"bytes\": %zu, \"entries\": %zu, \"folios\": %zu, "
		"\"result\": \"%s\"", test->name, bytes, test->name, test->title, bytes, entries,
		folios, outcome);
	for (enum op op = 0; !res->error && op < NR_OPS; op++) {
		if (opt.icount >= 0)
			fprintf(opt.json, ", \"%s_insn\": %llu", op_names[op],
				(unsigned long long)res->ns[op] >> opt.icount);
		fprintf(opt.json, ", \"%s_ns\": %llu", op_names[op],
			(unsigned long long)res->ns[op]);
	}
	if (!res->error)
		fprintf(opt.json, ", \"pins\": %llu", (unsigned long long)res->pins);
	if (!res->error && opt.metadata)
		fprintf(opt.json, ", \"metadata_bytes\": %llu, \"peak_bytes\": %llu",
			(unsigned long long)res->usage.kept, (unsigned long long)res->usage.peak);
	fputs("}\n", opt.json);
	fflush(opt.json);
}

static int run_sizes(const struct backing_test *test, const struct memory *mem, struct reason *why)
{
	size_t largest = min_size(mem->size, opt.max);

	for (size_t size = FIRST_SIZE; size <= largest; size *= SIZE_STEP) {
		struct iovec iov = { mem->addr, size };
		struct result res;

		if (measure(&iov, &res, why))
			return -1;
		print_result(test, mem, size, &res);
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
	failed++;
	printf("FAIL %s: %s\n", test->name, why.text);
	fflush(stdout);
}

static void usage(FILE *out)
{
	fprintf(out,
		"Usage: %s [options]\n"
		"  --icount SHIFT     guest of qemu -icount shift=SHIFT: print instructions\n"
		"  --only NAME,...    only these backings\n"
		"  --max SIZE         no buffers larger than that (4G, 1T ...)\n"
		"  --no-metadata      do not trace allocations\n"
		"  --json FILE        results as a JSON object a line\n",
		program_invocation_short_name);
}

static void parse_options(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "icount", required_argument, NULL, 'i' },
		{ "only", required_argument, NULL, 'o' },
		{ "max", required_argument, NULL, 'm' },
		{ "no-metadata", no_argument, NULL, 'n' },
		{ "json", required_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ }
	};
	uint64_t bytes;
	char *end;
	int c;

	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (c) {
		case 'i':
			opt.icount = (int)strtol(optarg, &end, 10);
			if (end == optarg || *end || opt.icount < 0 || opt.icount > 10)
				die("--icount wants a shift from 0 to 10, not '%s'", optarg);
			break;
		case 'o':
			opt.only = optarg;
			break;
		case 'm':
			if (parse_size(optarg, &bytes) || bytes < FIRST_SIZE)
				die("--max wants a size of 1M or more, not '%s'", optarg);
			opt.max = bytes;
			break;
		case 'n':
			opt.metadata = false;
			break;
		case 'j':
			opt.json = fopen(optarg, "we");
			if (!opt.json)
				die("%s: %s", optarg, strerror(errno));
			break;
		case 'h':
			usage(stdout);
			exit(0);
		default:
			usage(stderr);
			exit(2);
		}
	}
	if (optind != argc) {
		usage(stderr);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	struct reason why;

	parse_options(argc, argv);
	if (setrlimit(RLIMIT_MEMLOCK, &unlimited))
		note("cannot raise RLIMIT_MEMLOCK: %s", strerror(errno));
	/* A buffer of 64 TiB is one mapping after the other of the same GiB. */
	if (write_string("/proc/sys/vm/max_map_count", "1000000"))
		die("cannot raise vm.max_map_count");
	if (opt.metadata && alloc_trace_open(&trace, &why))
		die("%s", why.text);
	for (size_t i = 0; i < ARRAY_SIZE(tests); i++)
		if (!opt.only || name_in_list(tests[i].name, opt.only))
			run_test(&tests[i]);
	if (opt.metadata)
		alloc_trace_close(&trace);
	if (opt.json && fclose(opt.json))
		die("writing JSON: %s", strerror(errno));
	printf("%u passed, %u failed, 0 skipped\n", passed, failed);
	return failed || !passed ? 1 : 0;
}
