/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/* The command and the examples, run as their users would. */
#include <signal.h>

#include "helpers.h"

static char out[65536];
static char cmd[4200], cat[4200], cp[4200], arena[4200], by_hand[4200];

static int run(const char *a, const char *b, const char *c, const char *d, const char *e,
	       const char *f)
{
	const char *const argv[] = { a, b, c, d, e, f, NULL };

	return t_run(argv, out, sizeof(out));
}

/* Brackets and quotes match: not all of JSON, and enough to catch a slip. */
static void check_json(void)
{
	char stack[64];
	unsigned depth = 0;
	bool quoted = false;
	char *p;

	for (p = out; *p; p++) {
		if (quoted) {
			if (*p == '\\')
				p++;
			else if (*p == '"')
				quoted = false;
		} else if (*p == '"') {
			quoted = true;
		} else if (*p == '{' || *p == '[') {
			CHECK(depth < 64);
			stack[depth++] = *p;
		} else if (*p == '}' || *p == ']') {
			CHECK(depth && stack[--depth] == (*p == '}' ? '{' : '['));
			CHECK(p[-1] != ',');
		} else if (*p == ',') {
			CHECK(p[1] != ',' && p[-1] != '[' && p[-1] != '{');
		}
	}
	CHECK(out[0] == '{' && !depth && !quoted);
	if (!access("/usr/bin/python3", X_OK)) {
		const char *const argv[] = { "/usr/bin/python3", "-c",
			"import json,sys; json.loads(sys.argv[1])", out, NULL };
		char text[4096];

		CHECK_EQ(t_run(argv, text, sizeof(text)), 0);
	}
}

static void check_info(void)
{
	CHECK_EQ(run(cmd, "info", NULL, NULL, NULL, NULL), 0);
	CHECK(strstr(out, "RLIMIT_MEMLOCK") && strstr(out, "largest"));
	CHECK_EQ(run(cmd, "info", "--json", NULL, NULL, NULL), 0);
	check_json();
	CHECK(strstr(out, "\"max_buffer_bytes\":"));
}

static void info_as_nobody(void *arg)
{
	(void)arg;
	CHECK_EQ(run(cmd, "info", NULL, NULL, NULL, NULL), 0);
	CHECK(strstr(out, "8 MiB"));
	CHECK(strstr(out, "limits.conf"));
	CHECK(strstr(out, "fails with ENOMEM"));
	/* What it says will fail fails, in the same words */
	CHECK_EQ(run(cmd, "probe", "--size", "64M", "--mem", "4k"), 1);
	CHECK(strstr(out, "this will fail"));
	CHECK(strstr(out, "docker --ulimit memlock=-1"));
	CHECK_EQ(run(cmd, "probe", "--size", "1M", NULL, NULL), 0);
	/* One ring would fit: each pins for itself */
	CHECK_EQ(run(cmd, "probe", "--size=4M", "--mem=4k", "--rings=3", "--no-clone"), 1);
	CHECK(strstr(out, "this will fail: 12 MiB"));
}

/* A number of the probe's JSON. */
static long field(const char *name)
{
	const char *p = strstr(out, name);

	CHECK(p);
	return strtol(p + strlen(name), NULL, 10);
}

/* Wrong values are refused, and named. */
static void check_values(void)
{
	static const char *const bad[] = {
		"--node=abc", "--node=-1", "--node=", "--node=4294967296", "--rings=4x",
		"--rings=0", "--rings=4097", "--threads=-1", "--threads=2 ", "--size=4 ",
		"--size=4MM", "--size=4Mx", "--size=99999999999999999999", "--alias=1Z", "--slot-size=-1",
	};
	char name[32];
	unsigned i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		CHECK_EQ(run(cmd, "probe", "--size=1M", bad[i], NULL, NULL), 2);
		snprintf(name, sizeof(name), "is no value for %s", bad[i]);
		*strchr(name, '=') = '\0';
		CHECK(strstr(out, name));
	}
	CHECK_EQ(run(cmd, "show", "1x", NULL, NULL, NULL), 2);
	CHECK_EQ(run(cmd, "show", "-1", NULL, NULL, NULL), 2);
}

static void check_probe(void)
{
	CHECK_EQ(run(cmd, "probe", "--size=8M", "--mem=4k", "--rings=3", NULL), 0);
	CHECK(strstr(out, "8 MiB in pages of 4 KiB"));
	CHECK(strstr(out, "3 attached"));
	CHECK(strstr(out, "picture"));
	CHECK(strstr(out, "----------------"));
	CHECK_EQ(run(cmd, "probe", "--size=8M", "--slot-size=1M", "--no-clone", "--json"), 0);
	check_json();
	CHECK(strstr(out, "\"slots\":8,"));
	CHECK(strstr(out, "\"cloning\":false"));
	CHECK_EQ(field("\"register_us\":"), field("\"attach_us\":"));
	CHECK_EQ(run(cmd, "probe", "--size=8M", "--mem=4k", "--json", NULL), 0);
	/* Where each ring pins for itself, that is the time */
	if (strstr(out, "\"cloning\":false"))
		CHECK_EQ(field("\"register_us\":"), field("\"attach_us\":"));
	CHECK_EQ(run(cmd, "probe", "--size=1G", "--alias=1M", "--mem=4k", "--memfd"), 0);
	CHECK_EQ(run(cmd, "probe", "--size=4M", "--node=0", "--threads=1", "--mem=4k"), 0);
	/* What cannot be */
	CHECK_EQ(run(cmd, "probe", "--size=4M", "--node=900", NULL, NULL), 1);
	CHECK_EQ(run(cmd, "probe", "--size=4M", "--mem=mthp:3M", "--json", NULL), 1);
	CHECK(strstr(out, "\"failed\":"));
	CHECK_EQ(run(cmd, "probe", NULL, NULL, NULL, NULL), 2);
	CHECK_EQ(run(cmd, "probe", "--size=x", NULL, NULL, NULL), 2);
	CHECK_EQ(run(cmd, "probe", "--size=1M", "--mem=gold", NULL, NULL), 2);
	CHECK_EQ(run(cmd, "probe", "--size=1M", "--what", NULL, NULL), 2);
}

static void check_show(void)
{
	struct io_uring_ext_caps caps;
	struct io_uring ring;
	struct iovec iov[3] = { { 0 } };
	char pid[16];
	bool told;

	CHECK_EQ(io_uring_ext_query(NULL, &caps), 0);
	told = caps.flags & IO_URING_EXT_CAP_RUNS;
	iov[1].iov_len = MiB;
	iov[1].iov_base = mmap(NULL, MiB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			       -1, 0);
	t_ring(&ring, 4, 0);
	CHECK_EQ(io_uring_register_buffers(&ring, iov, 3), 0);
	snprintf(pid, sizeof(pid), "%d", getpid());
	CHECK_EQ(run(cmd, "show", pid, NULL, NULL, NULL), 0);
	if (strstr(out, "no buffer table")) {
		fprintf(stderr, "this kernel shows no buffers in fdinfo\n");
	} else {
		CHECK(strstr(out, "table of 3"));
		CHECK(strstr(out, "1 MiB"));
		CHECK(strstr(out, "1 ring, 1 registered buffer\n"));
		CHECK(strstr(out, "layout"));
		/* Page by page or as runs: told by the kernel which keeps them so */
		CHECK_EQ(!!strstr(out, " of tables, "), told);
	}
	CHECK_EQ(run(cmd, "show", "--json", pid, NULL, NULL), 0);
	check_json();
	CHECK_EQ(!!strstr(out, "\"direction\":\"source+dest\""), told);
	io_uring_queue_exit(&ring);
	CHECK_EQ(run(cmd, "show", "999999999", NULL, NULL, NULL), 1);
	CHECK_EQ(run(cmd, "show", NULL, NULL, NULL, NULL), 2);
}

static void check_usage(void)
{
	CHECK_EQ(run(cmd, NULL, NULL, NULL, NULL, NULL), 2);
	CHECK_EQ(run(cmd, "dance", NULL, NULL, NULL, NULL), 2);
	CHECK_EQ(run(cmd, "--help", NULL, NULL, NULL, NULL), 0);
	CHECK(strstr(out, "probe") && strstr(out, "show"));
}

/* Files that are one, that say nothing of their size, that cannot be written to. */
static void check_odd_files(const char *from, const char *to, int fd, const char *want)
{
	const char *const full[] = { cat, from, NULL }, *version = "/proc/version";
	char text[1024], copy[1024];
	int fd2;

	CHECK_EQ(run(cp, from, from, "1", NULL, NULL), 1);
	CHECK(strstr(out, "are the same file"));
	CHECK_EQ(pread(fd, text, sizeof(text), 0), sizeof(text));
	CHECK(!memcmp(text, want, sizeof(text)));
	if (!access(version, R_OK)) {
		memset(text, 0, sizeof(text));
		memset(copy, 0, sizeof(copy));
		CHECK_EQ(run(cp, version, to, "2", NULL, NULL), 0);
		fd2 = open(version, O_RDONLY);
		CHECK(read(fd2, text, sizeof(text)) > 0);
		close(fd2);
		fd2 = open(to, O_RDONLY);
		CHECK_EQ(read(fd2, copy, sizeof(copy)), (ssize_t)strlen(text));
		close(fd2);
		CHECK(!strcmp(text, copy));
	}
	CHECK_EQ(t_run_to(full, "/dev/full", out, sizeof(out)), 1);
	CHECK(strstr(out, "stdout: No space left"));
	CHECK_EQ(t_run_to(full, NULL, out, sizeof(out)), 1);
	CHECK(strstr(out, "the standard output is closed"));
}

/* With @arg: as a user who may lock too little. */
static void check_examples(void *arg)
{
	char from[] = "/tmp/uring-ext-from-XXXXXX", to[] = "/tmp/uring-ext-to-XXXXXX";
	const char *shrinks = "/sys/devices/system/cpu/online";
	static char want[40000], got[40000];
	int fd = mkstemp(from), fd2 = mkstemp(to);

	CHECK(fd >= 0 && fd2 >= 0);
	t_fill(want, sizeof(want), 0);
	CHECK_EQ(write(fd, want, sizeof(want)), sizeof(want));
	CHECK_EQ(run(cat, from, NULL, NULL, NULL, NULL), 0);
	if (arg) {
		CHECK(!strncmp(out, "going on without registered buffers: ", 37));
		CHECK(strstr(out, "RLIMIT_MEMLOCK is 512 KiB"));
	}
	CHECK(!memcmp(arg ? strchr(out, '\n') + 1 : out, want, sizeof(want)));
	CHECK_EQ(run(cat, "/nonexistent", NULL, NULL, NULL, NULL), 1);

	CHECK_EQ(ftruncate(fd, 3 * MiB + 17), 0);
	CHECK_EQ(run(cp, from, to, "3", NULL, NULL), 0);
	CHECK(strstr(out, "requests fixed"));
	CHECK_EQ(lseek(fd2, 0, SEEK_END), 3 * MiB + 17);
	CHECK_EQ(pread(fd2, got, sizeof(got), 0), sizeof(got));
	CHECK(!memcmp(got, want, sizeof(want)));
	CHECK_EQ(run(cp, from, "/nonexistent/x", NULL, NULL, NULL), 1);
	/* It says 4096 bytes and has fewer, as a file that shrinks: these are copied */
	if (!access(shrinks, R_OK)) {
		CHECK_EQ(run(cp, shrinks, to, "1", NULL, NULL), 0);
		CHECK(lseek(fd2, 0, SEEK_END) > 0);
		CHECK_EQ(pread(fd2, got, 1, 0), 1);
		CHECK_EQ(got[0], '0');
	} else {
		fprintf(stderr, "without /sys: no file that shrinks\n");
	}
	check_odd_files(from, to, fd, want);
	unlink(from);
	unlink(to);
	close(fd);
	close(fd2);
}

/* Stopped and continued while it waits for input, which comes after that */
static void check_stopped(void)
{
	int in[2], from[2], status, i;
	char got[6];
	pid_t pid;

	CHECK(!pipe2(in, O_CLOEXEC) && !pipe2(from, O_CLOEXEC));
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		dup2(in[0], 0);
		dup2(from[1], 1);
		execl(cat, cat, (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	close(from[1]);
	for (i = 0; i < 5; i++) {
		usleep(100000);
		CHECK_EQ(kill(pid, SIGSTOP), 0);
		CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
		CHECK(WIFSTOPPED(status));
		CHECK_EQ(kill(pid, SIGCONT), 0);
	}
	CHECK_EQ(write(in[1], "hello", 5), 5);
	close(in[1]);
	CHECK_EQ(read(from[0], got, sizeof(got)), 5);
	CHECK(!memcmp(got, "hello", 5));
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	close(from[0]);
}

/* Both load the same, and add up what is in the file. */
static void check_arenas(void *arg)
{
	const char *const programs[] = { by_hand, arena };
	char from[] = "/tmp/uring-ext-from-XXXXXX", *data = malloc(3 * MiB + 17), want[20];
	const char *with = arg ? "0 requests fixed, 17 plain" : "17 requests fixed, 0 plain";
	unsigned long long sum = 0;
	int fd = mkstemp(from);
	size_t n;
	unsigned i;

	CHECK(fd >= 0 && data);
	t_fill(data, 3 * MiB + 17, 0);
	for (n = 0; n < 3 * MiB + 17; n++)
		sum = sum * 31 + (unsigned char)data[n];
	snprintf(want, sizeof(want), "%016llx\n", sum);
	CHECK_EQ(write(fd, data, 3 * MiB + 17), 3 * MiB + 17);
	for (i = 0; i < 2; i++) {
		CHECK_EQ(run(programs[i], from, "3", NULL, NULL, NULL), 0);
		CHECK(strstr(out, want));
		CHECK(strstr(out, with));
		CHECK_EQ(!!strstr(out, "without registered buffers: "), !!arg);
		CHECK_EQ(run(programs[i], "/nonexistent", NULL, NULL, NULL, NULL), 1);
		CHECK_EQ(run(programs[i], from, "0", NULL, NULL, NULL), 2);
		CHECK_EQ(run(programs[i], NULL, NULL, NULL, NULL, NULL), 2);
	}
	free(data);
	unlink(from);
	close(fd);
}

static void programs_in(const char *dir)
{
	snprintf(cmd, sizeof(cmd), "%s/uring-regbuf", dir);
	snprintf(cat, sizeof(cat), "%s/examples/regbuf-cat", dir);
	snprintf(cp, sizeof(cp), "%s/examples/regbuf-cp", dir);
	snprintf(arena, sizeof(arena), "%s/examples/arena", dir);
	snprintf(by_hand, sizeof(by_hand), "%s/examples/arena-by-hand", dir);
}

/* All of the output arrives, or that it did not is told. */
static void check_output(void)
{
	static const struct {
		const char *to;
		const char *says;
	} ways[] = { { "/dev/full", "No space left" }, { NULL, "output is closed" } };
	const char *const argvs[][4] = {
		{ cmd, "info", NULL }, { cmd, "info", "--json", NULL }, { cmd, "--help", NULL },
		{ cmd, "--version", NULL }, { cmd, "probe", "--size=1M", NULL },
		{ cmd, "show", "1", NULL },
	};
	unsigned i, j;

	for (i = 0; i < 2; i++)
		for (j = 0; j < sizeof(argvs) / sizeof(argvs[0]); j++) {
			CHECK_EQ(t_run_to(argvs[j], ways[i].to, out, sizeof(out)), 1);
			CHECK(strstr(out, ways[i].says) || strstr(out, "process 1"));
		}
}

static void check_arguments(void)
{
	CHECK_EQ(run(cmd, "--version", NULL, NULL, NULL, NULL), 0);
	CHECK(strstr(out, "uring-regbuf ") && strchr(out, '.'));
	CHECK_EQ(run(cmd, "probe", "--help", NULL, NULL, NULL), 0);
	CHECK_EQ(run(cmd, "info", "--help", NULL, NULL, NULL), 0);
	CHECK_EQ(run(cmd, "show", "--help", NULL, NULL, NULL), 0);
	CHECK_EQ(run(cmd, "info", "more", NULL, NULL, NULL), 2);
	CHECK(strstr(out, "'more' is one argument too many"));
	CHECK_EQ(run(cmd, "probe", "--size=1M", "more", NULL, NULL), 2);
	CHECK(strstr(out, "'more' is one argument too many"));
	CHECK_EQ(run(cmd, "show", "1", "more", NULL, NULL), 2);
	CHECK_EQ(run(cmd, "probe", "--size=010M", "--mem=4k", NULL, NULL), 0);
	CHECK(strstr(out, "10 MiB in pages of"));
	CHECK_EQ(run(cmd, "probe", "--size=64Ki", "--mem=4k", NULL, NULL), 0);
	CHECK(strstr(out, "64 KiB in pages of"));
	CHECK_EQ(run(cmd, "probe", "--size=0x10", "--mem=4k", NULL, NULL), 2);
}

/* Rings of one pool, each with two fds: its memory is shown once. */
static void check_show_clones(void)
{
	struct io_uring_ext_region region = { .len = MiB, .page_size = 4096 };
	struct io_uring_ext_pool_stats stats;
	struct io_uring_ext_error err;
	struct io_uring_ext_pool *pool;
	struct io_uring_ext_ring *r[3];
	struct io_uring ring[3];
	char pid[16], *p;
	unsigned i, n = 0;

	region.base = mmap(NULL, MiB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK_OK(io_uring_ext_pool_create(&pool, NULL, &err), err);
	CHECK_OK(io_uring_ext_pool_add(pool, &region, &err), err);
	for (i = 0; i < 3; i++) {
		t_ring(&ring[i], 4, 0);
		CHECK_OK(io_uring_ext_ring_attach(&r[i], pool, &ring[i], 0, &err), err);
	}
	CHECK_EQ(io_uring_ext_pool_stats(pool, &stats), 0);
	snprintf(pid, sizeof(pid), "%d", getpid());
	CHECK_EQ(run(cmd, "show", pid, NULL, NULL, NULL), 0);
	if (!strstr(out, "no buffer table")) {
		for (p = out; (p = strstr(p, "layout  ")); p++)
			n++;
		CHECK_EQ(n, 1);
		CHECK(strstr(out, ", as entry 0 of fd "));
		/* The rings, the pool's, and where it pins; each once */
		CHECK(strstr(out, stats.cloning ?
			     "5 rings, 1 registered buffer, and 3 of the same memory\n" :
			     "3 rings, 1 registered buffer, and 2 of the same memory\n"));
		CHECK_EQ(run(cmd, "show", "--json", pid, NULL, NULL), 0);
		check_json();
		CHECK(strstr(out, "\"same_as\":{\"fd\":"));
	}
	for (i = 0; i < 3; i++) {
		CHECK_EQ(io_uring_ext_ring_detach(r[i]), 0);
		io_uring_queue_exit(&ring[i]);
	}
	CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
}

static void no_memory_to_lock(void *arg)
{
	(void)arg;
	if (!run(cmd, "info", NULL, NULL, NULL, NULL)) {
		fprintf(stderr, "this kernel does not charge rings\n");
		return;
	}
	CHECK(strstr(out, "RLIMIT_MEMLOCK is 0 bytes"));
	CHECK(!strstr(out, "io_uring_disabled"));
	CHECK_EQ(run(cmd, "info", "--json", NULL, NULL, NULL), 1);
	CHECK(strchr(out, '{'));
	memmove(out, strchr(out, '{'), strlen(strchr(out, '{')) + 1);
	out[strcspn(out, "\n")] = '\0';
	check_json();
}

int main(void)
{
	char dir[4100];

	snprintf(dir, sizeof(dir), "%s/..", t_dir());
	programs_in(dir);
	if (access(cmd, X_OK))
		t_skip("%s is not there", cmd);
	check_usage();
	check_info();
	check_values();
	check_show();
	check_show_clones();
	check_output();
	if (t_may_lock(32 * MiB, "probe of larger sizes")) {
		check_probe();
		check_arguments();
		check_examples(NULL);
		check_stopped();
		check_arenas(NULL);
	}
	programs_in(t_public_dir());
	if (t_as_nobody(0, no_memory_to_lock, NULL))
		return 1;
	if (t_as_nobody(8 * MiB, info_as_nobody, NULL))
		return 1;
	/* Enough for rings (some kernels charge them, and let go late), not for a pool */
	if (!t_is_root())
		return 0;
	return t_as_nobody(512 * KiB, check_examples, cmd) ||
	       t_as_nobody(512 * KiB, check_arenas, cmd);
}
