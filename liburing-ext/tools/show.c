/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/* uring-regbuf show: the registered buffers of a running process, from its fdinfo. */
#include <dirent.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "regbuf.h"

/* The kernel leaves the list out while the ring's lock is taken. */
#define TRIES	50

struct show {
	struct json j;
	pid_t pid;
	unsigned rings, buffers;
	bool limited;		/* /proc/PID/smaps could not be read */
};

static void show_buffer(struct show *s, unsigned index, __u64 addr, __u64 len)
{
	struct io_uring_ext_layout l;
	unsigned char map[CELLS];
	int ret;

	s->buffers++;
	ret = io_uring_ext_layout_estimate(s->pid, (void *)(uintptr_t)addr, len, &l, map, CELLS);
	json_open(&s->j, NULL, '{');
	json_num(&s->j, "index", index);
	json_num(&s->j, "address", addr);
	json_num(&s->j, "bytes", len);
	if (!ret)
		json_layout(&s->j, &l, map);
	json_close(&s->j, '}');
	if (s->j.f)
		return;
	printf(" %5u  %#14llx  %s\n", index, (unsigned long long)addr, size_str(len));
	if (!ret)
		print_layout(&l, map);
	else if (ret == -ENOENT)
		printf("  layout    the memory is not mapped there any more\n");
	else
		s->limited = true;
}

/* Lines after "UserBufs:" in the form "    3: 0x7f0000000000/1048576". */
static bool show_list(struct show *s, FILE *f)
{
	unsigned long long addr, len;
	unsigned index, nr;
	bool found = false;
	char line[256];

	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "UserBufs: %u", &nr) == 1) {
			found = true;
			if (!s->j.f)
				printf("  table of %u\n", nr);
			json_num(&s->j, "table", nr);
			json_open(&s->j, "buffers", '[');
		} else if (found && sscanf(line, " %u: 0x%llx/%llu", &index, &addr, &len) == 3) {
			if (len)
				show_buffer(s, index, addr, len);
		} else if (found && line[0] != ' ') {
			break;
		}
	}
	if (found)
		json_close(&s->j, ']');
	return found;
}

static void show_ring(struct show *s, const char *fd)
{
	bool found = false;
	char path[320];
	FILE *f;
	int i;

	s->rings++;
	json_open(&s->j, NULL, '{');
	json_num(&s->j, "fd", atoi(fd));
	if (!s->j.f)
		printf("ring, fd %s\n", fd);
	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%s", (int)s->pid, fd);
	for (i = 0; i < TRIES && !found; i++) {
		f = fopen(path, "r");
		if (!f)
			break;
		found = show_list(s, f);
		fclose(f);
		if (!found)
			usleep(2000);
	}
	json_bool(&s->j, "busy", !found);
	json_close(&s->j, '}');
	if (!found && !s->j.f)
		printf("  the kernel shows no buffer table (the ring is busy, or gone)\n");
}

static int show_process(struct show *s)
{
	char path[320], target[64];
	struct dirent *e;
	ssize_t n;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)s->pid);
	d = opendir(path);
	if (!d) {
		fprintf(stderr, "uring-regbuf: process %d: %s\n", (int)s->pid,
			errno == ENOENT ? "there is none" : strerror(errno));
		return 1;
	}
	json_open(&s->j, NULL, '{');
	json_num(&s->j, "pid", s->pid);
	json_open(&s->j, "rings", '[');
	while ((e = readdir(d))) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%s", (int)s->pid, e->d_name);
		n = readlink(path, target, sizeof(target) - 1);
		if (n <= 0)
			continue;
		target[n] = '\0';
		if (!strcmp(target, "anon_inode:[io_uring]"))
			show_ring(s, e->d_name);
	}
	closedir(d);
	json_close(&s->j, ']');
	json_close(&s->j, '}');
	if (s->j.f) {
		putchar('\n');
		return 0;
	}
	printf("%u ring%s, %u registered buffer%s\n", s->rings, s->rings == 1 ? "" : "s",
	       s->buffers, s->buffers == 1 ? "" : "s");
	if (s->limited)
		printf("The layout needs leave to read /proc/%d/smaps: as root, or as the "
		       "user of the process.\n", (int)s->pid);
	return 0;
}

int cmd_show(int argc, char **argv)
{
	static const struct option options[] = { { "json", no_argument, NULL, 'j' }, { 0 } };
	struct show s = { .rings = 0 };
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt != 'j')
			return 2;
		s.j.f = stdout;
	}
	s.pid = optind == argc - 1 ? atoi(argv[optind]) : 0;
	if (s.pid <= 0) {
		fprintf(stderr, "uring-regbuf: show needs the number of one process\n");
		return 2;
	}
	return show_process(&s);
}
