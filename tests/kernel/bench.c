// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "bench.h"
#include "util.h"
#include "vmstat.h"

#define OPTIONS_MAX	12

struct bench bench = { .icount = -1 };

static struct {
	const char *arguments;
	const struct bench_option *options;
} help;

static const struct bench_option no_options[] = { { NULL } };

void bench_usage(int status)
{
	FILE *out = status ? stderr : stdout;

	fprintf(out, "Usage: %s [options]%s%s\n"
		"  --icount SHIFT     guest of qemu -icount shift=SHIFT: instructions, not ns\n"
		"  --only NAME,...    only these memories\n"
		"  --json FILE        results as a JSON object a line\n",
		program_invocation_short_name, help.arguments ? " " : "",
		help.arguments ? help.arguments : "");
	for (const struct bench_option *o = help.options; o->name; o++)
		fprintf(out, "  --%s %-*s %s\n", o->name, 15 - (int)strlen(o->name),
			o->arg ? o->arg : "", o->help);
	exit(status);
}

static void set(const struct bench_option *o, const char *arg)
{
	uint64_t bytes;

	if (o->flag)
		*o->flag = true;
	if (o->text)
		*o->text = arg;
	if (!o->size)
		return;
	if (parse_size(arg, &bytes) || bytes < o->least)
		die("--%s wants a size (1M, 4G ...) of %zu bytes or more, not '%s'", o->name, o->least, arg);
	*o->size = bytes;
}

int bench_options(int argc, char **argv, const char *arguments, const struct bench_option *options)
{
	struct option known[OPTIONS_MAX + 5] = {
		{ "icount", required_argument, NULL, 'i' },
		{ "only", required_argument, NULL, 'o' },
		{ "json", required_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
	};
	unsigned int nr = 0;
	char *end;
	int c;

	help.arguments = arguments;
	help.options = options ? options : no_options;
	for (; help.options[nr].name && nr < OPTIONS_MAX; nr++) {
		known[4 + nr].name = help.options[nr].name;
		known[4 + nr].has_arg = help.options[nr].arg ? required_argument : no_argument;
		known[4 + nr].val = 256 + nr;
	}
	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (c) {
		case 'i':
			bench.icount = (int)strtol(optarg, &end, 10);
			if (end == optarg || *end || bench.icount < 0 || bench.icount > 10)
				die("--icount wants a shift from 0 to 10, not '%s'", optarg);
			break;
		case 'o':
			bench.only = optarg;
			break;
		case 'j':
			bench.json = fopen(optarg, "ae");
			if (!bench.json)
				die("%s: %s", optarg, strerror(errno));
			break;
		case 'h':
			bench_usage(0);
		case '?':
			bench_usage(2);
		default:
			set(&help.options[c - 256], optarg);
		}
	}
	if (!arguments && optind != argc)
		bench_usage(2);
	return optind;
}

void bench_measures_nothing(void)
{
	if (bench.icount < 0 && !bench.only && !bench.json)
		return;
	fprintf(stderr, "%s: nothing is measured, so without --icount, --only and --json\n",
		program_invocation_short_name);
	bench_usage(2);
}

bool bench_wants(const char *name)
{
	return !bench.only || name_in_list(name, bench.only);
}

unsigned long long bench_value(uint64_t ns)
{
	return bench.icount < 0 ? ns : ns >> bench.icount;
}

const char *bench_unit(void)
{
	return bench.icount < 0 ? "ns" : "insn";
}

void bench_tell(const char *name, int ret, const struct reason *why)
{
	struct vmstat now;

	bench.failed += !!ret;
	bench.passed += !ret;
	printf("%s %s%s%s\n", ret ? "FAIL" : "ok  ", name, ret ? ": " : "", ret ? why->text : "");
	fflush(stdout);
	if (!ret)
		return;
	vmstat_read(&now);
	if (now.pin_acquired == now.pin_released)
		return;
	printf("pins are left: no more tests\n");
	exit(bench_end());
}

void bench_json_end(void)
{
	if (!bench.json)
		return;
	fputs("}\n", bench.json);
	fflush(bench.json);
}

void bench_unlimit(void)
{
	const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };

	if (setrlimit(RLIMIT_MEMLOCK, &unlimited))
		note("cannot raise RLIMIT_MEMLOCK: %s", strerror(errno));
	/* A buffer of 64 TiB is one mapping after the other of the same GiB. */
	if (write_string("/proc/sys/vm/max_map_count", "1000000"))
		note("cannot raise vm.max_map_count");
}

int bench_end(void)
{
	if (bench.json && fclose(bench.json))
		die("writing JSON: %s", strerror(errno));
	printf("%u passed, %u failed, %u skipped\n", bench.passed, bench.failed, bench.skipped);
	return bench.failed || !bench.passed;
}
