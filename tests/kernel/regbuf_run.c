// SPDX-License-Identifier: GPL-2.0
/*
 * regbuf_run: registered buffers end to end, through liburing's io_uring_register_buffers() as
 * any program calls it.
 *
 * For each memory layout of a table it makes the memory and checks that it is what it claims, and
 * then
 *
 *  1. registers it as one buffer, and reads and writes through it on a block device and on a file
 *     in ext4, all around the places where a lookup can go wrong, checking data and neighbours
 *     (fixed_io.h);
 *  2. does the same with a buffer that starts and ends in the middle of a page;
 *  3. registers it while tracing what the kernel allocates. What is still allocated when the call
 *     returns is the buffer's metadata: measured at the allocators, not computed, and by the same
 *     means on every kernel (alloc_trace.h says how). The highest sum on the way is the peak;
 *  4. times registration and unregistration, with nothing else going on.
 *
 * Each registration gets a new ring, whose caches of small objects are empty. The kernel charges
 * pinned memory to users without CAP_IPC_LOCK, and keeps books for it: steps 1 and 2 run without,
 * steps 3 and 4 both ways. Figures are those with the capability, and those called "charged"
 * without.
 *
 * Under "qemu -icount shift=N" with one CPU, guest time is an exact count: an instruction is 2^N
 * ns. With --icount N times are printed as instructions.
 *
 * At the end of each layout, and of the program, no pin may be left, nothing be charged as
 * pinned, and all huge pages must be free. Any difference, any memory that is not what it should
 * be, and any registration that does not end as expected makes the exit status 1 (2: wrong
 * usage).
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc_trace.h"
#include "io_plan.h"
#include "layouts.h"
#include "registration.h"
#include "vmstat.h"

#define FILE_SIZE	(16 * MIB)	/* of the file in ext4 */
#define PAGE		(4 * KIB)

static const struct test_layout {
	const char *name;
	const char *title;
	struct layout layout;
	bool if_asked;			/* by --only */
} layouts[] = {
	{ "anon-4k", "anonymous, 4K pages",
	  { BACKING_4K, GIB, 0, 0 }, false },
	{ "thp", "THP",
	  { BACKING_THP, GIB, 0, 0 }, false },
	{ "thp-replaced", "THP, one page in each 16 MiB replaced",
	  { BACKING_THP, GIB, 0, 16 * MIB }, false },
	{ "hugetlb-2m", "hugetlb 2M",
	  { BACKING_HUGETLB_2M, GIB, 0, 0 }, false },
	{ "hugetlb-2m-16x", "hugetlb 2M, aliased",
	  { BACKING_HUGETLB_2M, 16 * GIB, GIB, 0 }, false },
	{ "hugetlb-1g", "hugetlb 1G",
	  { BACKING_HUGETLB_1G, GIB, 0, 0 }, false },
	{ "hugetlb-1g-64x", "hugetlb 1G, aliased",
	  { BACKING_HUGETLB_1G, 64 * GIB, GIB, 0 }, false },
	{ "hugetlb-1g-1024x", "hugetlb 1G, aliased",
	  { BACKING_HUGETLB_1G, 1024 * GIB, GIB, 0 }, false },
	/* The longest that stock registers, which takes 2 GiB of memory there, and patched */
	{ "hugetlb-1g-1023x", "hugetlb 1G, aliased",
	  { BACKING_HUGETLB_1G, 1023 * GIB, GIB, 0 }, true },
	{ "hugetlb-1g-65536x", "hugetlb 1G, aliased",
	  { BACKING_HUGETLB_1G, 65536 * GIB, GIB, 0 }, true },
};

struct options {
	FILE *json;
	int icount;			/* shift, or -1 */
	size_t scale;			/* sizes are divided by this */
	const char *only;
	const char *device;
	const char *fs_device;
	const char *fs_dir;
	bool io;
	bool metadata;
	const char *expect[ARRAY_SIZE(layouts)];	/* errno name, or NULL: success */
};

static struct options opt = {
	.icount = -1,
	.scale = 1,
	.io = true,
	.metadata = true,
};

/* What one registration of the whole buffer costs. */
struct cost {
	struct registration_time time;
	struct alloc_usage usage;
};

struct result {
	int error;			/* of registration: 0 or positive errno */
	struct cost cost;
	struct cost charged;
	uint64_t pins;			/* nr_foll_pin_acquired of one registration */
	uint64_t ios;
	uint64_t bytes;
};

static struct io_target targets[2];
static unsigned int nr_targets;
static struct alloc_trace trace;
static enum corrupt corrupt;
static unsigned int passed, failed;

static uint64_t from_ns(uint64_t ns)
{
	return opt.icount < 0 ? ns : ns >> opt.icount;
}

static void json_cost(FILE *out, const char *prefix, const struct cost *cost)
{
	if (opt.icount >= 0)
		fprintf(out, ", \"%sregister_insn\": %llu, \"%sunregister_insn\": %llu", prefix,
			(unsigned long long)from_ns(cost->time.register_ns), prefix,
			(unsigned long long)from_ns(cost->time.unregister_ns));
	fprintf(out, ", \"%sregister_ns\": %llu, \"%sunregister_ns\": %llu", prefix,
		(unsigned long long)cost->time.register_ns, prefix,
		(unsigned long long)cost->time.unregister_ns);
	if (opt.metadata)
		fprintf(out, ", \"%smetadata_bytes\": %llu, \"%speak_bytes\": %llu", prefix,
			(unsigned long long)cost->usage.kept, prefix,
			(unsigned long long)cost->usage.peak);
}

static void json_start(const char *type, const char *name, const struct reason *why)
{
	fprintf(opt.json, "{\"type\": \"%s\", \"name\": \"%s\", \"ok\": %s", type, name,
		why ? "false" : "true");
	if (why) {
		fputs(", \"why\": ", opt.json);
		json_string(opt.json, why->text);
	}
}

static void json_end(void)
{
	fputs("}\n", opt.json);
	fflush(opt.json);
}

static void json_check(const char *name, const struct reason *why)
{
	if (!opt.json)
		return;
	json_start("check", name, why);
	json_end();
}

static void json_layout(const struct test_layout *test, size_t bytes, const struct result *res,
			const struct reason *why)
{
	FILE *out = opt.json;

	if (!out)
		return;
	json_start("layout", test->name, why);
	fprintf(out, ", \"title\": \"%s\", \"bytes\": %zu, \"result\": \"%s\"", test->title,
		bytes, res->error ? errno_name(res->error) : why ? "failed" : "ok");
	if (!why && !res->error) {
		json_cost(out, "", &res->cost);
		json_cost(out, "charged_", &res->charged);
		fprintf(out, ", \"pins\": %llu, \"verified_ios\": %llu, \"verified_bytes\": %llu",
			(unsigned long long)res->pins, (unsigned long long)res->ios,
			(unsigned long long)res->bytes);
	}
	json_end();
}

/* I/O through the registered part [start, end) of @mem. */
static int check_io(struct io_uring *ring, const struct memory *mem, size_t start, size_t end,
		    struct result *res, struct reason *why)
{
	size_t every = mem->nr_replaced > 4 ? mem->nr_replaced / 4 : 1;
	size_t edges[16];
	struct io_plan plan = {
		.targets = targets,
		.nr_targets = nr_targets,
		.edges = edges,
	};
	struct fixed_io io = {
		.ring = ring,
		.memory = mem->addr,
		.memory_size = mem->size,
		.corrupt = corrupt,
		.seed = start + 1,
	};
	int ret;

	/* Both sides of replaced pages: the first two, which start and end a THP, and some more. */
	for (size_t i = 0; i < mem->nr_replaced && plan.nr_edges < ARRAY_SIZE(edges);
	     i += i ? every : 1) {
		edges[plan.nr_edges++] = mem->replaced[i];
		edges[plan.nr_edges++] = mem->replaced[i] + PAGE;
	}
	fixed_io_init(&io);
	ret = io_plan_run(&io, &plan, start, end, why);
	fixed_io_exit(&io);
	corrupt = io.corrupt;
	res->ios += io.ios;
	res->bytes += io.bytes;
	return ret;
}

static int unregister(struct io_uring *ring, struct reason *why)
{
	int ret = io_uring_unregister_buffers(ring);

	if (ret)
		return because(why, "io_uring_unregister_buffers: %s", strerror(-ret));
	return 0;
}

/* Step 1. Failure to register is a result, not an error. */
static int run_whole(const struct memory *mem, struct result *res, struct reason *why)
{
	struct iovec iov = { mem->addr, mem->size };
	struct vmstat before, now;
	struct io_uring ring;
	int ret = 0;

	if (ring_init(&ring, true, why))
		return -1;
	vmstat_read(&before);
	res->error = -io_uring_register_buffers(&ring, &iov, 1);
	if (res->error)
		goto out;

	vmstat_read(&now);
	res->pins = now.pin_acquired - before.pin_acquired;
	/* If these did not move, their being even at the end would say nothing. */
	if (!res->pins || !now.vmpin_kb)
		ret = because(why, "registered with %llu pins and VmPin %llu kB",
			      (unsigned long long)res->pins, (unsigned long long)now.vmpin_kb);
	if (!ret && opt.io)
		ret = check_io(&ring, mem, 0, mem->size, res, why);
	if (!ret)
		ret = unregister(&ring, why);
out:
	io_uring_queue_exit(&ring);
	return ret;
}

/* Step 2. */
static int run_unaligned(const struct memory *mem, struct result *res, struct reason *why)
{
	size_t align = targets[0].mem_align;
	size_t start = PAGE + 3 * align, end = mem->size - PAGE - align;
	struct iovec iov = { mem->addr + start, end - start };
	struct io_uring ring;
	int ret;

	if (ring_init(&ring, true, why))
		return -1;
	ret = io_uring_register_buffers(&ring, &iov, 1);
	if (ret)
		ret = because(why, "registering all but the ends: %s", strerror(-ret));
	else
		ret = check_io(&ring, mem, start, end, res, why) || unregister(&ring, why) ? -1 : 0;
	io_uring_queue_exit(&ring);
	return ret;
}

/* Steps 3 and 4. */
static int run_measured(const struct memory *mem, bool charged, struct cost *cost,
			struct reason *why)
{
	struct iovec iov = { mem->addr, mem->size };

	if (opt.metadata && registration_trace(&trace, &iov, charged, &cost->usage, why))
		return -1;
	return registration_time(&iov, charged, &cost->time, why);
}

static int run_steps(const struct memory *mem, struct result *res, struct reason *why)
{
	if (run_whole(mem, res, why))
		return -1;
	if (res->error)
		return 0;
	if (opt.io && run_unaligned(mem, res, why))
		return -1;
	return run_measured(mem, false, &res->cost, why) ||
	       run_measured(mem, true, &res->charged, why) ? -1 : 0;
}

static struct layout scaled(struct layout layout)
{
	size_t page = backing_page_size(layout.backing);

	/* Down to one page of the backing, or one replaced page. */
	if (layout.replace_every)
		page = layout.replace_every;
	layout.size = layout.size / opt.scale > page ? layout.size / opt.scale : page;
	if (layout.alias)
		layout.alias = layout.alias / opt.scale > page ? layout.alias / opt.scale : page;
	return layout;
}

static int run_layout(const struct test_layout *test, const char *expect, struct result *res,
		      size_t *bytes, struct reason *why)
{
	struct layout layout = scaled(test->layout);
	const char *name;
	struct vmstat before;
	struct memory mem;
	int ret;

	*bytes = layout.size;
	vmstat_start(&before);
	note("%s: mapping", test->name);
	if (memory_map(&mem, &layout, why))
		return -1;

	note("%s: registering%s", test->name, opt.io ? ", I/O" : "");
	ret = run_steps(&mem, res, why);
	/* If memory was split or migrated on the way, the figures are those of another layout. */
	if (!ret)
		ret = memory_verify(&mem, why);
	memory_unmap(&mem);
	if (ret) {
		/* What a failure leaves to the closing ring is not the next layout's. */
		vmstat_balanced(&before, NULL);
		return -1;
	}

	name = res->error ? errno_name(res->error) : "ok";
	if (strcmp(name, expect ? expect : "ok"))
		return because(why, "registering: %s instead of %s", name, expect ? expect : "ok");
	return vmstat_balanced(&before, why);
}

static void print_header(void)
{
	printf("%-18s %9s %-10s %15s %15s %11s %11s %11s %7s %10s\n", "layout", "size", "result",
	       opt.icount < 0 ? "register, ns" : "register, insn",
	       opt.icount < 0 ? "unregister, ns" : "unregister, insn", "pins", "metadata, B",
	       "peak, B", "I/Os", "verified");
	fflush(stdout);
}

static void print_result(const char *name, size_t bytes, const struct result *res)
{
	char size[32], verified[32];

	printf("%-18s %9s %-10s", name, format_size(bytes, size, sizeof(size)),
	       res->error ? errno_name(res->error) : "ok");
	if (!res->error)
		printf(" %15llu %16llu %11llu %11llu %11llu %7llu %10s",
		       (unsigned long long)from_ns(res->cost.time.register_ns),
		       (unsigned long long)from_ns(res->cost.time.unregister_ns),
		       (unsigned long long)res->pins, (unsigned long long)res->cost.usage.kept,
		       (unsigned long long)res->cost.usage.peak, (unsigned long long)res->ios,
		       format_size(ALIGN_DOWN(res->bytes, MIB), verified, sizeof(verified)));
	putchar('\n');
}

/* A line for what failed; what passed has printed its own. */
static void count(const char *name, int ret, const struct reason *why)
{
	if (ret) {
		failed++;
		printf("FAIL %s: %s\n", name, why->text);
	} else {
		passed++;
	}
	fflush(stdout);
}

/* Memory that cannot be registered: the errno, and nothing left behind. */
static void run_error(const char *name, int prot, size_t hole, int expected)
{
	size_t size = 4 * MIB;
	struct vmstat before;
	struct io_uring ring;
	struct reason why;
	struct iovec iov;
	int ret;

	vmstat_start(&before);
	iov.iov_len = size;
	iov.iov_base = mmap(NULL, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (iov.iov_base == MAP_FAILED || (hole && munmap((char *)iov.iov_base + hole, PAGE)))
		die("cannot map memory: %s", strerror(errno));
	ret = ring_init(&ring, true, &why);
	if (!ret) {
		int error = -io_uring_register_buffers(&ring, &iov, 1);

		if (error != expected)
			ret = because(&why, "%s instead of %s", error ? errno_name(error) : "ok",
				      errno_name(expected));
		io_uring_queue_exit(&ring);
	}
	munmap(iov.iov_base, size);
	if (!ret)
		ret = vmstat_balanced(&before, &why);
	count(name, ret, &why);
	json_check(name, ret ? &why : NULL);
	if (!ret)
		printf("%-18s %9s %s, nothing pinned\n", name, "4 MiB", errno_name(expected));
}

static bool selected(const struct test_layout *test)
{
	return opt.only ? name_in_list(test->name, opt.only) : !test->if_asked;
}

static void open_targets(void)
{
	static char path[4096];
	struct reason why;

	if (opt.device && io_target_open(&targets[nr_targets++], opt.device, 0, &why))
		die("%s", why.text);
	if (opt.fs_device && mount(opt.fs_device, opt.fs_dir, "ext4", 0, NULL))
		die("cannot mount %s on %s as ext4: %s", opt.fs_device, opt.fs_dir,
		    strerror(errno));
	if (!opt.fs_dir)
		return;
	snprintf(path, sizeof(path), "%s/regbuf_run.data", opt.fs_dir);
	if (io_target_open(&targets[nr_targets++], path, FILE_SIZE, &why))
		die("%s", why.text);
}

static void close_targets(void)
{
	while (nr_targets)
		io_target_close(&targets[--nr_targets]);
	if (opt.fs_device && umount(opt.fs_dir))
		die("cannot unmount %s: %s", opt.fs_dir, strerror(errno));
}

static void usage(FILE *out)
{
	fprintf(out,
		"Usage: %s [options]\n"
		"  --device PATH      block device for I/O; its content is lost\n"
		"  --fs-device PATH   block device with an ext4 to mount on --fs-dir for I/O\n"
		"  --fs-dir DIR       directory for I/O on a file (/mnt with --fs-device)\n"
		"  --no-io            register and unregister only\n"
		"  --no-metadata      do not trace allocations\n"
		"  --icount SHIFT     guest of qemu -icount shift=SHIFT: print instructions\n"
		"  --scale 1/N        buffers of 1/N of the size, down to one page\n"
		"  --only NAME,...    only these layouts\n"
		"  --expect NAME=E    registration of this layout must fail with errno E\n"
		"  --corrupt WHERE    flip one byte before it is verified: memory or device\n"
		"  --json FILE        results as a JSON object a line\n"
		"  --list             print the layouts\n", program_invocation_short_name);
}

static void bad_usage(const char *what, const char *arg)
{
	fprintf(stderr, "%s: %s '%s'\n", program_invocation_short_name, what, arg);
	exit(2);
}

static void parse_expect(char *arg)
{
	char *equals = strchr(arg, '=');

	if (!equals)
		bad_usage("--expect wants NAME=ERRNO, not", arg);
	*equals = '\0';
	for (unsigned int i = 0; i < ARRAY_SIZE(layouts); i++) {
		if (strcmp(layouts[i].name, arg))
			continue;
		opt.expect[i] = equals + 1;
		return;
	}
	bad_usage("no such layout:", arg);
}

static void check_only(void)
{
	char *list = strdup(opt.only), *save = NULL;

	for (char *name = strtok_r(list, ",", &save); name; name = strtok_r(NULL, ",", &save)) {
		unsigned int i = 0;

		while (i < ARRAY_SIZE(layouts) && strcmp(layouts[i].name, name))
			i++;
		if (i == ARRAY_SIZE(layouts))
			bad_usage("no such layout:", name);
	}
	free(list);
}

static void list_layouts(void)
{
	char size[32];

	for (unsigned int i = 0; i < ARRAY_SIZE(layouts); i++)
		printf("%-18s %9s %s\n", layouts[i].name,
		       format_size(scaled(layouts[i].layout).size, size, sizeof(size)),
		       layouts[i].title);
}

static void parse_options(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "device", required_argument, NULL, 'd' },
		{ "fs-device", required_argument, NULL, 'f' },
		{ "fs-dir", required_argument, NULL, 'D' },
		{ "no-io", no_argument, NULL, 'n' },
		{ "no-metadata", no_argument, NULL, 'm' },
		{ "icount", required_argument, NULL, 'i' },
		{ "scale", required_argument, NULL, 's' },
		{ "only", required_argument, NULL, 'o' },
		{ "expect", required_argument, NULL, 'e' },
		{ "corrupt", required_argument, NULL, 'c' },
		{ "json", required_argument, NULL, 'j' },
		{ "list", no_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{ }
	};
	const char *json = NULL;
	bool list = false;
	char *end;
	int c;

	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (c) {
		case 'd':
			opt.device = optarg;
			break;
		case 'f':
			opt.fs_device = optarg;
			break;
		case 'D':
			opt.fs_dir = optarg;
			break;
		case 'n':
			opt.io = false;
			break;
		case 'm':
			opt.metadata = false;
			break;
		case 'i':
			opt.icount = (int)strtol(optarg, &end, 10);
			if (end == optarg || *end || opt.icount < 0 || opt.icount > 10)
				bad_usage("--icount wants a shift from 0 to 10, not", optarg);
			break;
		case 's':
			opt.scale = strncmp(optarg, "1/", 2) ? 0 : strtoul(optarg + 2, &end, 10);
			if (!opt.scale || opt.scale > 256 || *end || (opt.scale & (opt.scale - 1)))
				bad_usage("--scale wants 1/N, N a power of two up to 256, not",
					  optarg);
			break;
		case 'o':
			opt.only = optarg;
			break;
		case 'e':
			parse_expect(optarg);
			break;
		case 'c':
			if (!strcmp(optarg, "memory"))
				corrupt = CORRUPT_MEMORY;
			else if (!strcmp(optarg, "device"))
				corrupt = CORRUPT_DEVICE;
			else
				bad_usage("--corrupt wants memory or device, not", optarg);
			break;
		case 'j':
			json = optarg;
			break;
		case 'l':
			list = true;
			break;
		case 'h':
			usage(stdout);
			exit(0);
		default:
			usage(stderr);
			exit(2);
		}
	}
	if (optind != argc)
		bad_usage("unexpected argument", argv[optind]);
	if (list) {
		list_layouts();
		exit(0);
	}
	if (opt.only)
		check_only();
	if (opt.fs_device && !opt.fs_dir)
		opt.fs_dir = "/mnt";
	if (opt.io && !opt.device && !opt.fs_dir) {
		fputs("I/O needs --device, --fs-device or --fs-dir; or give --no-io\n", stderr);
		exit(2);
	}
	if (json) {
		opt.json = fopen(json, "we");
		if (!opt.json)
			die("%s: %s", json, strerror(errno));
	}
}

int main(int argc, char **argv)
{
	const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	struct vmstat start;
	struct reason why;
	int ret;

	parse_options(argc, argv);
	if (setrlimit(RLIMIT_MEMLOCK, &unlimited))
		die("cannot raise RLIMIT_MEMLOCK: %s", strerror(errno));
	/* An alias is a mapping for each time that the memory is seen. */
	if (opt.only && write_string("/proc/sys/vm/max_map_count", "1000000"))
		die("cannot raise vm.max_map_count: %s", strerror(errno));
	if (opt.io)
		open_targets();
	vmstat_start(&start);
	ret = vmstat_balanced(&start, &why);
	if (ret)
		die("not balanced before the start: %s", why.text);
	if (opt.metadata && alloc_trace_open(&trace, &why))
		die("%s", why.text);

	print_header();
	for (unsigned int i = 0; i < ARRAY_SIZE(layouts); i++) {
		struct result res = { 0 };
		size_t bytes;

		if (!selected(&layouts[i]))
			continue;
		ret = run_layout(&layouts[i], opt.expect[i], &res, &bytes, &why);
		if (!ret)
			print_result(layouts[i].name, bytes, &res);
		count(layouts[i].name, ret, &why);
		json_layout(&layouts[i], bytes, &res, ret ? &why : NULL);
	}
	run_error("hole", PROT_READ | PROT_WRITE, 2 * MIB, EFAULT);
	run_error("not-writable", PROT_READ, 0, EFAULT);

	if (opt.metadata)
		alloc_trace_close(&trace);
	if (opt.io)
		close_targets();
	ret = vmstat_balanced(&start, &why);
	count("balance", ret, &why);
	json_check("balance", ret ? &why : NULL);
	if (!ret)
		puts("balance            all pins given back, VmPin 0, all huge pages free");
	if (corrupt != CORRUPT_NOTHING)
		die("no transfer was made that could be corrupted");
	if (opt.json && fclose(opt.json))
		die("writing JSON: %s", strerror(errno));
	printf("%u passed, %u failed, 0 skipped\n", passed, failed);
	return failed ? 1 : 0;
}
