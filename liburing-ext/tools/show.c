/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/* uring-regbuf show: the registered buffers of a running process, from its fdinfo. */
#include <dirent.h>
#include <getopt.h>
#include <limits.h>
#include <linux/kcmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fdinfo.h"
#include "regbuf.h"

/* The kernel leaves the list out while the ring's lock is taken. */
#define TRIES	50

/* A buffer that was shown, of which others are clones, or show the same memory. */
struct seen {
	__u64 address, bytes;
	int fd;
	unsigned index;
};

struct show {
	struct json j;
	pid_t pid;
	int fd;				/* of the ring that is shown */
	unsigned rings, buffers, repeated;
	struct seen *seen;
	unsigned nr_seen;
	int *fds;			/* of rings that were shown */
	bool limited;		/* /proc/PID/smaps could not be read */
};

/* What the kernel itself says of it. */
static void json_told(struct json *j, const struct fdinfo_buffer *b)
{
	json_open(j, "kernel", '{');
	if (b->layout[0]) {
		json_str(j, "layout", b->layout);
		json_num(j, "bvecs", b->bvecs);
		json_num(j, "metadata_bytes", b->metadata);
		json_num(j, "charged_bytes", b->charged);
	}
	json_str(j, "direction", b->direction);
	json_bool(j, "kernel_memory", b->kernel);
	json_bool(j, "memfd", b->memfd);
	json_close(j, '}');
}

static void print_told(const struct fdinfo_buffer *b)
{
	printf("  kernel    ");
	if (b->layout[0])
		printf("%s, %u record%s in %s of tables, %s charged, ", b->layout, b->bvecs,
		       b->bvecs == 1 ? "" : "s", size_str(b->metadata), size_str(b->charged));
	printf("%s\n",
	       !strcmp(b->direction, "source") ? "read only (a source)" :
	       !strcmp(b->direction, "dest") ? "written only (a destination)" :
	       "read and written");
}

static void *grow(void *p, size_t nr, size_t size)
{
	/* At each power of two it doubles */
	if (nr & (nr - 1))
		return p;
	p = realloc(p, (nr ? 2 * nr : 1) * size);
	if (p)
		return p;
	perror("uring-regbuf");
	exit(1);
}

/*
 * The same memory as of one before: only that is said.  Of the kernel's and of a memfd's the
 * address does not tell.
 */
static bool show_repeated(struct show *s, const struct fdinfo_buffer *b)
{
	const struct seen *o;

	for (o = s->seen; o < s->seen + s->nr_seen; o++)
		if (!b->kernel && !b->memfd && o->address == b->address && o->bytes == b->bytes)
			break;
	if (o == s->seen + s->nr_seen) {
		s->seen = grow(s->seen, s->nr_seen, sizeof(*s->seen));
		s->seen[s->nr_seen++] = (struct seen){
			.address = b->address, .bytes = b->bytes, .fd = s->fd, .index = b->index,
		};
		return false;
	}
	s->repeated++;
	json_open(&s->j, NULL, '{');
	json_num(&s->j, "index", b->index);
	json_num(&s->j, "address", b->address);
	json_num(&s->j, "bytes", b->bytes);
	json_open(&s->j, "same_as", '{');
	json_num(&s->j, "fd", o->fd);
	json_num(&s->j, "index", o->index);
	json_close(&s->j, '}');
	json_close(&s->j, '}');
	if (!s->j.f)
		printf(" %5u  %#14llx  %s, as entry %u of fd %d\n", b->index,
		       (unsigned long long)b->address, size_str(b->bytes), o->index, o->fd);
	return true;
}

static void show_buffer(struct show *s, const struct fdinfo_buffer *b)
{
	struct io_uring_ext_layout l;
	unsigned char map[CELLS];
	int ret = -EOPNOTSUPP;

	if (show_repeated(s, b))
		return;
	s->buffers++;
	/* What is mapped at the address is looked at */
	if (!b->kernel && !b->memfd)
		ret = io_uring_ext_layout_estimate(s->pid, (void *)(uintptr_t)b->address,
						   b->bytes, &l, map, CELLS);
	json_open(&s->j, NULL, '{');
	json_num(&s->j, "index", b->index);
	json_num(&s->j, "address", b->address);
	json_num(&s->j, "bytes", b->bytes);
	if (b->told)
		json_told(&s->j, b);
	if (!ret)
		json_layout(&s->j, &l, map);
	json_close(&s->j, '}');
	if (s->j.f)
		return;
	printf(" %5u  %#14llx  %s\n", b->index, (unsigned long long)b->address,
	       size_str(b->bytes));
	if (b->told)
		print_told(b);
	if (!ret)
		print_layout(&l, map);
	else if (b->kernel)
		printf("  memory    the kernel's own, of a driver\n");
	else if (b->memfd)
		printf("  memory    of a memfd, mapped or not\n");
	else if (ret == -ENOENT)
		printf("  layout    the memory is not mapped there any more\n");
	else
		s->limited = true;
}

/* One ring may have several fds. */
static bool is_shown(struct show *s)
{
	unsigned i;

	for (i = 0; i < s->rings; i++)
		if (!syscall(__NR_kcmp, s->pid, s->pid, KCMP_FILE, s->fds[i], s->fd))
			return true;
	s->fds = grow(s->fds, s->rings, sizeof(*s->fds));
	s->fds[s->rings++] = s->fd;
	return false;
}

static void show_ring(struct show *s, const char *fd)
{
	struct fdinfo_table t = { .nr_entries = 0 };
	bool found = false;
	char path[320];
	unsigned i;
	FILE *f;

	s->fd = atoi(fd);
	if (is_shown(s))
		return;
	json_open(&s->j, NULL, '{');
	json_num(&s->j, "fd", s->fd);
	if (!s->j.f)
		printf("ring, fd %s\n", fd);
	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%s", (int)s->pid, fd);
	for (i = 0; i < TRIES && !found; i++) {
		f = fopen(path, "r");
		if (!f)
			break;
		found = fdinfo_read(f, &t);
		fclose(f);
		if (!found)
			usleep(2000);
	}
	if (found) {
		if (!s->j.f)
			printf("  table of %u\n", t.nr_entries);
		json_num(&s->j, "table", t.nr_entries);
		json_open(&s->j, "buffers", '[');
		for (i = 0; i < t.nr_buffers; i++)
			show_buffer(s, &t.buffers[i]);
		json_close(&s->j, ']');
		free(t.buffers);
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
	printf("%u ring%s, %u registered buffer%s", s->rings, s->rings == 1 ? "" : "s",
	       s->buffers, s->buffers == 1 ? "" : "s");
	if (s->repeated)
		printf(", and %u of the same memory", s->repeated);
	putchar('\n');
	if (s->limited)
		printf("The layout needs leave to read /proc/%d/smaps: as root, or as the "
		       "user of the process.\n", (int)s->pid);
	return 0;
}

int cmd_show(int argc, char **argv)
{
	static const struct option options[] = { { "json", no_argument, NULL, 'j' }, { 0 } };
	struct show s = { .rings = 0 };
	unsigned pid;
	int opt, ret;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt != 'j')
			return 2;
		s.j.f = stdout;
	}
	if (optind != argc - 1 || !parse_num(argv[optind], 1, INT_MAX, &pid)) {
		fprintf(stderr, "uring-regbuf: show needs the number of one process\n");
		return 2;
	}
	s.pid = pid;
	ret = show_process(&s);
	free(s.seen);
	free(s.fds);
	return ret;
}
