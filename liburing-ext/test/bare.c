/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * A machine that shows less than usual: no /sys, no /proc, a control group with little
 * memory.  What is said then is what is the case.  As root.
 */
#include <sched.h>
#include <sys/mount.h>

#include "helpers.h"

static struct io_uring_ext_error err;

/* In a child, with an empty directory mounted over @dir. */
static int without(const char *dir, void (*fn)(void))
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		if (unshare(CLONE_NEWNS) ||
		    mount("none", "/", "none", MS_REC | MS_PRIVATE, "") ||
		    mount("none", dir, "tmpfs", 0, "")) {
			fprintf(stderr, "nothing can be mounted over %s: %s\n", dir,
				strerror(errno));
			_exit(0);
		}
		fn();
		/* A checker that looks for leaks at exit would want /proc */
		_exit(0);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void no_sys(void)
{
	struct io_uring_ext_arena_params p = { .size = 2 * GiB, .mem = IO_URING_EXT_MEM_HUGE_2M };
	struct io_uring_ext_arena *a;
	int ret = io_uring_ext_arena_alloc(&a, &p, &err);

	CHECK_EQ(ret, -ENOMEM);
	CHECK(strstr(err.text, "/sys is not mounted"));
	CHECK(!strstr(err.text, "no 2M huge pages"));
	p.size = 4 * MiB;
	p.mem = IO_URING_EXT_MEM_THP;
	ret = io_uring_ext_arena_alloc(&a, &p, &err);
	CHECK(!ret || !strstr(err.text, "are off"));
	io_uring_ext_arena_free(a);
}

static void no_proc(void)
{
	struct io_uring_ext_layout l;
	struct io_uring_ext_memlock m;
	char text[512];
	int ret;

	/* The range is mapped: that it cannot be looked at is another thing */
	CHECK_EQ(io_uring_ext_layout_estimate(0, &err, sizeof(err), &l, NULL, 0), -ESRCH);
	ret = io_uring_ext_memlock_check(MiB, 0, 1, 0, &m);
	CHECK(!ret || ret == -ENOMEM);
	CHECK_EQ(m.pinned, IO_URING_EXT_UNLIMITED);
	m.state = 0;
	m.soft = m.hard = 0;
	CHECK(io_uring_ext_memlock_describe(&m, text, sizeof(text)) > 0);
	CHECK(strstr(text, "an unknown amount in use"));
}

static bool put(const char *dir, const char *leaf, const char *text)
{
	char path[256];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, leaf);
	fd = open(path, O_WRONLY);
	if (fd < 0)
		return false;
	n = write(fd, text, strlen(text));
	close(fd);
	return n > 0;
}

/* A group with 32 MiB, and this process in it. */
static bool enter_group(char *dir, size_t size)
{
	static const char *const roots[][2] = {
		{ "/sys/fs/cgroup/memory", "memory.limit_in_bytes" },
		{ "/sys/fs/cgroup", "memory.max" },
	};
	char pid[16];
	unsigned i;

	snprintf(pid, sizeof(pid), "%d", getpid());
	for (i = 0; i < 2; i++) {
		snprintf(dir, size, "%s/uring-ext-%s", roots[i][0], pid);
		if (mkdir(dir, 0755))
			continue;
		if (put(dir, roots[i][1], "33554432") && put(dir, "cgroup.procs", pid))
			return true;
		rmdir(dir);
	}
	return false;
}

static long free_huge_pages(void)
{
	FILE *f = fopen("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "re");
	long nr = 0;

	if (f && fscanf(f, "%ld", &nr) != 1)
		nr = 0;
	if (f)
		fclose(f);
	return nr;
}

static void check_group(void)
{
	static char out[4096];
	char dir[128], cmd[4200];
	const char *const big[] = { cmd, "probe", "--size=64M", "--mem=4k", NULL };
	const char *const any[] = { cmd, "probe", "--size=64M", NULL };
	const char *const small[] = { cmd, "probe", "--size=4M", "--mem=4k", NULL };
	int status;
	pid_t pid;

	snprintf(cmd, sizeof(cmd), "%s/../uring-regbuf", t_dir());
	fflush(NULL);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		if (!enter_group(dir, sizeof(dir))) {
			fprintf(stderr, "no control group can be made here\n");
			_exit(0);
		}
		CHECK_EQ(t_run(big, out, sizeof(out)), 1);
		CHECK(strstr(out, "64 MiB of base pages needed, and the control group may have "
			     "32 MiB ("));
		CHECK(strstr(out, dir));
		/* Reserved huge pages are not charged to the group. */
		if (!free_huge_pages()) {
			CHECK_EQ(t_run(any, out, sizeof(out)), 1);
			CHECK(strstr(out, "control group"));
		}
		CHECK_EQ(t_run(small, out, sizeof(out)), 0);
		exit(0);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	snprintf(dir, sizeof(dir), "/sys/fs/cgroup/memory/uring-ext-%d", pid);
	rmdir(dir);
	snprintf(dir, sizeof(dir), "/sys/fs/cgroup/uring-ext-%d", pid);
	rmdir(dir);
	CHECK_EQ(status, 0);
}

int main(void)
{
	if (!t_is_root())
		t_skip("only root can mount and make control groups");
	/* It has ways of its own to find address space */
	if (!t_valgrind())
		CHECK_EQ(without("/sys", no_sys), 0);
	CHECK_EQ(without("/proc", no_proc), 0);
	check_group();
	return 0;
}
