/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

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
	      "    the registered buffers of a running process\n"
	      "uring-regbuf --version, uring-regbuf --help, also after a command\n", f);
	return f == stdout ? 0 : 2;
}

/*
 * Whoever reads the output is to get all of it, or a failure.  What is opened later must
 * not become the standard output either, if that is closed.
 */
static bool open_std_fds(void)
{
	bool was_open = fcntl(1, F_GETFD) >= 0;
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd < 3);
	if (fd >= 3)
		close(fd);
	return was_open;
}

static int finish(int ret)
{
	if (!fflush(stdout) && !ferror(stdout))
		return ret;
	perror("uring-regbuf: writing the output");
	return ret ? ret : 1;
}

static int run(int argc, char **argv)
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
	if (!strcmp(argv[1], "--version")) {
		printf("uring-regbuf %d.%d\n", io_uring_ext_major_version(),
		       io_uring_ext_minor_version());
		return 0;
	}
	for (i = 0; i < sizeof(cmds) / sizeof(cmds[0]); i++) {
		if (strcmp(argv[1], cmds[i].name))
			continue;
		if (argc > 2 && !strcmp(argv[2], "--help"))
			return usage(stdout);
		ret = cmds[i].run(argc - 1, argv + 1);
		return ret == 2 ? usage(stderr) : ret;
	}
	fprintf(stderr, "uring-regbuf: there is no command '%s'\n", argv[1]);
	return usage(stderr);
}

int main(int argc, char **argv)
{
	if (!open_std_fds()) {
		fputs("uring-regbuf: the standard output is closed\n", stderr);
		return 1;
	}
	return finish(run(argc, argv));
}
