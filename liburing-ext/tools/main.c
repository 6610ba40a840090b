/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
#include <string.h>

#include "regbuf.h"

static int usage(FILE *f)
{
	fputs("uring-regbuf info [--json]\n"
	      "    what this machine allows for registered buffers, and advice\n"
	      "uring-regbuf probe --size SIZE [--mem auto|1g|2m|thp|mthp:SIZE|4k] [--rings N]\n"
	      "             [--node N] [--memfd] [--alias SIZE] [--slot-size SIZE] [--threads N]\n"
	      "             [--no-clone] [--json]\n"
	      "    get memory, register it, show its layout and the time it took\n"
	      "uring-regbuf show [--json] PID\n"
	      "    the registered buffers of a running process\n", f);
	return f == stdout ? 0 : 2;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(int argc, char **argv);
	} cmds[] = {
		{ "info", cmd_info }, { "probe", cmd_probe }, { "show", cmd_show },
	};
	unsigned i;
	int ret;

	if (argc < 2)
		return usage(stderr);
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "help"))
		return usage(stdout);
	for (i = 0; i < sizeof(cmds) / sizeof(cmds[0]); i++) {
		if (strcmp(argv[1], cmds[i].name))
			continue;
		ret = cmds[i].run(argc - 1, argv + 1);
		return ret == 2 ? usage(stderr) : ret;
	}
	fprintf(stderr, "uring-regbuf: there is no command '%s'\n", argv[1]);
	return usage(stderr);
}
