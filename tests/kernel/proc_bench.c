// SPDX-License-Identifier: GPL-2.0
/*
 * proc_bench: CPU time of a whole process with all its threads and children, user and kernel.
 *
 *	proc_bench [--icount SHIFT] [--json FILE] NAME COMMAND...
 *
 * It is the scheduler's own count in wait4(), which has no sleep in it. Under "qemu -icount
 * shift=N" with one CPU an instruction is 2^N ns of it. A line is appended to FILE. The command's
 * output is dropped, but for its errors.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util.h"

static uint64_t usec(struct timeval tv)
{
	return (uint64_t)tv.tv_sec * 1000000 + (uint64_t)tv.tv_usec;
}

static uint64_t run(char **argv)
{
	struct rusage rusage;
	int status;
	pid_t pid;

	settle();
	pid = fork();
	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (!pid) {
		int null = open("/dev/null", O_WRONLY);

		if (null < 0 || dup2(null, STDOUT_FILENO) < 0)
			_exit(126);
		execvp(argv[0], argv);
		fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	if (wait4(pid, &status, 0, &rusage) != pid)
		die("wait4: %s", strerror(errno));
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		die("%s ended with wait status %#x", argv[0], status);
	return (usec(rusage.ru_utime) + usec(rusage.ru_stime)) * 1000;
}

int main(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "icount", required_argument, NULL, 'i' },
		{ "json", required_argument, NULL, 'j' },
		{ }
	};
	const char *json = NULL, *name;
	FILE *out = NULL;
	uint64_t ns;
	int icount = -1, c;

	while ((c = getopt_long(argc, argv, "+", long_options, NULL)) != -1) {
		if (c == 'i')
			icount = atoi(optarg);
		else if (c == 'j')
			json = optarg;
		else
			return 2;
	}
	if (argc - optind < 2) {
		fprintf(stderr, "Usage: %s [--icount SHIFT] [--json FILE] NAME COMMAND...\n",
			program_invocation_short_name);
		return 2;
	}
	name = argv[optind++];
	if (json && !(out = fopen(json, "ae")))
		die("%s: %s", json, strerror(errno));
	ns = run(argv + optind);
	printf("%s %llu\n", name, (unsigned long long)(icount < 0 ? ns : ns >> icount));
	if (!out)
		return 0;
	fprintf(out, "{\"type\": \"process\", \"name\": ");
	json_string(out, name);
	fprintf(out, ", \"%s\": %llu}\n", icount < 0 ? "ns" : "insn",
		(unsigned long long)(icount < 0 ? ns : ns >> icount));
	if (fclose(out))
		die("writing JSON: %s", strerror(errno));
	return 0;
}
