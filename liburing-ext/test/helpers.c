/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
#include <dirent.h>
#include <grp.h>
#include <libgen.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>

#include "helpers.h"

void t_fail(const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "%s:%d: ", file, line);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

void t_skip(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(T_SKIP);
}

void t_ring(struct io_uring *ring, unsigned entries, unsigned flags)
{
	int ret = io_uring_queue_init(entries, ring, flags);

	if (ret == -ENOSYS || ret == -EPERM)
		t_skip("io_uring is off: %s", strerror(-ret));
	CHECK_EQ(ret, 0);
}

void t_restricted(struct io_uring *ring, const unsigned *ops, unsigned nr)
{
	static const unsigned char sqe_ops[] = { IORING_OP_READ, IORING_OP_READ_FIXED };
	struct io_uring_restriction res[16];
	unsigned i;

	CHECK(nr <= 14);
	memset(res, 0, sizeof(res));
	for (i = 0; i < nr; i++) {
		res[i].opcode = IORING_RESTRICTION_REGISTER_OP;
		res[i].register_op = ops[i];
	}
	/* Some kernels forbid all requests where none is allowed by name */
	for (i = 0; i < 2; i++, nr++) {
		res[nr].opcode = IORING_RESTRICTION_SQE_OP;
		res[nr].sqe_op = sqe_ops[i];
	}
	t_ring(ring, 8, IORING_SETUP_R_DISABLED);
	/* liburing 2.3 declares wrappers for these two and does not export them */
	CHECK_EQ(io_uring_register(ring->ring_fd, IORING_REGISTER_RESTRICTIONS, res, nr), 0);
	CHECK_EQ(io_uring_register(ring->ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0), 0);
}

struct io_uring_cqe *t_wait(struct io_uring *ring)
{
	struct io_uring_cqe *cqe;
	int ret;

	do {
		ret = io_uring_wait_cqe(ring, &cqe);
	} while (ret == -EINTR);
	CHECK_EQ(ret, 0);
	return cqe;
}

int t_io(struct io_uring *ring)
{
	struct io_uring_cqe *cqe;
	int res;

	CHECK_EQ(io_uring_submit(ring), 1);
	cqe = t_wait(ring);
	res = cqe->res;
	io_uring_cqe_seen(ring, cqe);
	return res;
}

int t_io_done(struct io_uring *ring, struct io_uring_ext_ring *r)
{
	__u64 ticket = io_uring_ext_ring_ticket(r);
	int res = t_io(ring);

	CHECK(io_uring_ext_ring_done(r, ticket) >= 0);
	return res;
}

__u64 t_wait_tag(struct io_uring *ring, int ms)
{
	struct __kernel_timespec ts = { .tv_sec = ms / 1000,
					.tv_nsec = ms % 1000 * 1000000LL };
	struct io_uring_cqe *cqe;
	__u64 data;
	int ret;

	do {
		ret = io_uring_wait_cqe_timeout(ring, &cqe, &ts);
	} while (ret == -EINTR);
	if (ret)
		return 0;
	data = cqe->user_data;
	io_uring_cqe_seen(ring, cqe);
	return data;
}

unsigned char t_byte(size_t offset)
{
	return (offset * 2654435761u) >> 24 ^ offset >> 12;
}

void t_fill(void *p, size_t len, size_t offset)
{
	unsigned char *c = p;
	size_t i;

	for (i = 0; i < len; i++)
		c[i] = t_byte(offset + i);
}

void t_check_bytes(const void *p, size_t len, size_t offset)
{
	const unsigned char *c = p;
	size_t i;

	for (i = 0; i < len; i++)
		if (c[i] != t_byte(offset + i))
			t_fail(__FILE__, __LINE__, "byte %zu is %#x, not %#x", offset + i,
			       c[i], t_byte(offset + i));
}

int t_file(size_t size)
{
	char name[] = "/tmp/uring-ext-XXXXXX";
	unsigned char buf[65536];
	size_t off;
	int fd;

	fd = mkstemp(name);
	CHECK(fd >= 0);
	unlink(name);
	for (off = 0; off < size; off += sizeof(buf)) {
		t_fill(buf, sizeof(buf), off);
		CHECK_EQ(pwrite(fd, buf, sizeof(buf), off), sizeof(buf));
	}
	CHECK_EQ(ftruncate(fd, size), 0);
	return fd;
}

size_t t_status(const char *field)
{
	char line[256];
	size_t kb = 0, len = strlen(field);
	FILE *f = fopen("/proc/self/status", "r");

	CHECK(f);
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, field, len) && line[len] == ':')
			kb = strtoull(line + len + 1, NULL, 10);
	fclose(f);
	return kb * KiB;
}

unsigned t_open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	CHECK(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

bool t_valgrind(void)
{
	const char *preload = getenv("LD_PRELOAD");

	return preload && strstr(preload, "vgpreload");
}

/*
 * A sanitizer or valgrind maps memory of its own whenever it likes; so does musl, for few
 * allocations already.
 */
static bool mappings_are_ours(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__GLIBC__)
	return false;
#endif
	return !t_valgrind();
}

unsigned t_mappings(void)
{
	char line[512];
	unsigned n = 0;
	FILE *f;

	if (!mappings_are_ours())
		return 0;
	f = fopen("/proc/self/maps", "r");
	CHECK(f);
	while (fgets(line, sizeof(line), f))
		n++;
	fclose(f);
	return n;
}

void t_no_pins(void)
{
	int i;

	for (i = 0; i < 200 && t_status("VmPin"); i++)
		usleep(10000);
	CHECK_EQ(t_status("VmPin"), 0);
}

/* ---- huge pages ---- */

static struct {
	char path[128];
	long added;
} reserved[2];

static long rw_long(const char *path, const long *set)
{
	FILE *f = fopen(path, set ? "w" : "r");
	long val = -1;

	if (!f)
		return -1;
	if (set)
		val = fprintf(f, "%ld\n", *set);
	else if (fscanf(f, "%ld", &val) != 1)
		val = -1;
	fclose(f);
	return val;
}

static void give_back(void)
{
	unsigned i;
	long now;

	for (i = 0; i < 2; i++) {
		if (!reserved[i].added)
			continue;
		now = rw_long(reserved[i].path, NULL) - reserved[i].added;
		if (now >= 0)
			rw_long(reserved[i].path, &now);
		reserved[i].added = 0;
	}
}

/* Reserved by the system, and neither used nor promised. */
static long free_pages(size_t page_size)
{
	char path[128];
	long n;

	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%zukB/free_hugepages",
		 page_size >> 10);
	n = rw_long(path, NULL);
	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%zukB/resv_hugepages",
		 page_size >> 10);
	return n - rw_long(path, NULL);
}

bool t_reserve_huge(size_t page_size, unsigned nr)
{
	static bool registered;
	long before, want, now;
	unsigned i = page_size == GiB;

	snprintf(reserved[i].path, sizeof(reserved[i].path),
		 "/sys/kernel/mm/hugepages/hugepages-%zukB/nr_hugepages", page_size >> 10);
	before = rw_long(reserved[i].path, NULL);
	if (before < 0)
		return false;
	if (!registered)
		atexit(give_back);
	registered = true;
	want = before + nr;
	rw_long(reserved[i].path, &want);
	now = rw_long(reserved[i].path, NULL);
	reserved[i].added += now - before;
	if (now >= want)
		return true;
	/* Pages of 1 GiB are often to be had at boot only */
	give_back();
	return free_pages(page_size) >= (long)nr;
}

/* ---- other users, other programs ---- */

bool t_is_root(void)
{
	return !geteuid();
}

bool t_may_lock(size_t len, const char *what)
{
	struct io_uring_ext_memlock m;

	/* Rings that were closed may still be charged */
	if (!io_uring_ext_memlock_check(len + MiB, 0, 1, 0, &m))
		return true;
	fprintf(stderr, "%s: not tried, RLIMIT_MEMLOCK is %llu KiB\n", what, m.soft >> 10);
	return false;
}

void t_end_child(void)
{
	for (;;)
		kill(getpid(), SIGKILL);
}

static char public_dir[64];

int t_as_nobody(size_t memlock, void (*fn)(void *arg), void *arg)
{
	struct rlimit rl = { memlock, memlock };
	unsigned id;
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		/* What the parent reserved is the parent's to give back */
		memset(reserved, 0, sizeof(reserved));
		public_dir[0] = '\0';
		CHECK_EQ(setrlimit(RLIMIT_MEMLOCK, &rl), 0);
		if (t_is_root()) {
			CHECK_EQ(setgroups(0, NULL), 0);
			/*
			 * A user of its own, each time: others' locked memory does not
			 * count, nor that of rings which the kernel lets go of late
			 */
			id = 60000 + getpid() % 5000;
			CHECK_EQ(setresgid(id, id, id), 0);
			CHECK_EQ(setresuid(id, id, id), 0);
			/* Or /proc/self would be root's */
			CHECK_EQ(prctl(PR_SET_DUMPABLE, 1), 0);
			/* Coverage cannot be noted where this user does not get at it */
			if (access(t_dir(), X_OK))
				setenv("GCOV_PREFIX", "/tmp/uring-ext-gcov", 1);
		}
		fn(arg);
		exit(0);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

const char *t_dir(void)
{
	static char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	CHECK(n > 0);
	path[n] = '\0';
	return dirname(path);
}

static const char *const public_names[] = { "uring-regbuf", "examples/regbuf-cat",
					   "examples/regbuf-cp", "examples/arena",
					   "examples/arena-by-hand", "liburing-ext.so.0",
					   "liburing.so.2" };
#define NR_PUBLIC	(sizeof(public_names) / sizeof(public_names[0]))

static void remove_public_dir(void)
{
	char path[128];
	unsigned i;

	if (!public_dir[0])
		return;
	for (i = 0; i < NR_PUBLIC; i++) {
		snprintf(path, sizeof(path), "%s/%s", public_dir, public_names[i]);
		unlink(path);
	}
	snprintf(path, sizeof(path), "%s/examples", public_dir);
	rmdir(path);
	rmdir(public_dir);
}

static void copy(const char *name)
{
	char path[4200], buf[65536];
	int in, out;
	ssize_t n;

	snprintf(path, sizeof(path), "%s/../%s", t_dir(), name);
	in = open(path, O_RDONLY);
	if (in < 0)
		return;		/* static programs have no library; this system's liburing */
	snprintf(path, sizeof(path), "%s/%s", public_dir, name);
	out = open(path, O_WRONLY | O_CREAT | O_EXCL, 0755);
	CHECK(out >= 0);
	while ((n = read(in, buf, sizeof(buf))) > 0)
		CHECK_EQ(write(out, buf, n), n);
	CHECK_EQ(n, 0);
	CHECK_EQ(fchmod(out, 0755), 0);
	close(in);
	close(out);
}

const char *t_public_dir(void)
{
	char path[80];
	unsigned i;

	if (public_dir[0])
		return public_dir;
	strcpy(public_dir, "/tmp/uring-ext-XXXXXX");
	CHECK(mkdtemp(public_dir));
	atexit(remove_public_dir);
	CHECK_EQ(chmod(public_dir, 0755), 0);
	snprintf(path, sizeof(path), "%s/examples", public_dir);
	CHECK_EQ(mkdir(path, 0755), 0);
	CHECK_EQ(chmod(path, 0755), 0);
	for (i = 0; i < NR_PUBLIC; i++)
		copy(public_names[i]);
	return public_dir;
}

static int run(const char *const argv[], bool redirect, const char *file, char *out,
	       size_t size)
{
	int fds[2], status;
	size_t len = 0;
	ssize_t n;
	pid_t pid;

	CHECK_EQ(pipe(fds), 0);
	fflush(NULL);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		memset(reserved, 0, sizeof(reserved));
		dup2(fds[1], 2);
		if (!redirect)
			dup2(fds[1], 1);
		else if (file)
			dup2(open(file, O_WRONLY), 1);
		else
			close(1);
		close(fds[0]);
		close(fds[1]);
		execv(argv[0], (char *const *)argv);
		_exit(127);
	}
	close(fds[1]);
	while ((n = read(fds[0], out + len, size - 1 - len)) > 0)
		len += n;
	close(fds[0]);
	out[len] = '\0';
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int t_run(const char *const argv[], char *out, size_t size)
{
	return run(argv, false, NULL, out, size);
}

int t_run_to(const char *const argv[], const char *file, char *out, size_t size)
{
	return run(argv, true, file, out, size);
}
