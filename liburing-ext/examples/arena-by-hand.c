/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * Load a file into one arena with many rings, by hand: arena-by-hand FILE [THREADS]
 *
 * As caches of blocks do it that know registered buffers: huge pages if there are any, the
 * arena cut into pieces of 1 GiB, the same pieces registered in each thread's ring, requests
 * that cross a piece not registered.  arena.c is the same program with the library.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <liburing.h>

#define BLOCK		(192UL << 10)
#define DEPTH		8
#define MAX_THREADS	64
#define PIECE		(1UL << 30)
#define HUGE_PAGE	(2UL << 20)

static char *arena;
static size_t arena_size;
static int fd;
static size_t size;
static _Atomic size_t next;
static _Atomic long fixed, plain, pin_us;
static _Atomic int error;

static long now_us(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec * 1000000L + ts.tv_nsec / 1000;
}

static int make_arena(size_t len)
{
	arena_size = (len + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
	arena = mmap(NULL, arena_size, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE, -1, 0);
	if (arena == MAP_FAILED) {
		/* Transparent ones, from an address where they can begin */
		arena = mmap(NULL, arena_size + HUGE_PAGE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (arena == MAP_FAILED)
			return -errno;
		arena = (char *)(((size_t)arena + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1));
		madvise(arena, arena_size, MADV_HUGEPAGE);
		memset(arena, 0, arena_size);
	}
	/* A fork would copy what is pinned */
	return madvise(arena, arena_size, MADV_DONTFORK) ? -errno : 0;
}

/* The kernel counts each ring's pins, but says only ENOMEM. */
static void check_limit(int threads)
{
	struct rlimit rl;

	if (!geteuid() || getrlimit(RLIMIT_MEMLOCK, &rl))
		return;
	if (rl.rlim_cur < arena_size * threads && rl.rlim_max > rl.rlim_cur) {
		rl.rlim_cur = rl.rlim_max;
		setrlimit(RLIMIT_MEMLOCK, &rl);
	}
	if (rl.rlim_cur < arena_size * threads)
		fprintf(stderr, "%zu MiB have to be locked, %llu MiB may be\n",
			arena_size * threads >> 20, (unsigned long long)rl.rlim_cur >> 20);
}

static int register_arena(struct io_uring *ring)
{
	unsigned nr = (arena_size + PIECE - 1) / PIECE, i;
	struct iovec *iov = calloc(nr, sizeof(*iov));
	long start = now_us(CLOCK_THREAD_CPUTIME_ID);
	int ret;

	if (!iov)
		return -ENOMEM;
	for (i = 0; i < nr; i++) {
		iov[i].iov_base = arena + i * PIECE;
		iov[i].iov_len = i + 1 < nr ? PIECE : arena_size - i * PIECE;
	}
	ret = io_uring_register_buffers(ring, iov, nr);
	free(iov);
	pin_us += now_us(CLOCK_THREAD_CPUTIME_ID) - start;
	return ret;
}

static void prepare(struct io_uring_sqe *sqe, bool registered, char *buf, unsigned len,
		    size_t off)
{
	size_t at = buf - arena;

	if (registered && at / PIECE == (at + len - 1) / PIECE) {
		io_uring_prep_read_fixed(sqe, fd, buf, len, off, at / PIECE);
		fixed++;
	} else {
		io_uring_prep_read(sqe, fd, buf, len, off);
		plain++;
	}
	io_uring_sqe_set_data(sqe, (void *)off);
}

/* Up to DEPTH blocks at a time; those that come back short are an error here. */
static int load(struct io_uring *ring, bool registered)
{
	struct io_uring_cqe *cqe;
	unsigned busy = 0, len;
	size_t off;
	int ret;

	for (;;) {
		while (busy < DEPTH && !error && (off = atomic_fetch_add(&next, BLOCK)) < size) {
			len = size - off < BLOCK ? size - off : BLOCK;
			prepare(io_uring_get_sqe(ring), registered, arena + off, len, off);
			busy++;
		}
		if (!busy)
			return 0;
		ret = io_uring_submit_and_wait(ring, 1);
		while (ret >= 0 && busy && !io_uring_peek_cqe(ring, &cqe)) {
			off = (size_t)io_uring_cqe_get_data(cqe);
			len = size - off < BLOCK ? size - off : BLOCK;
			if (cqe->res != (int)len)
				error = cqe->res < 0 ? cqe->res : -EIO;
			io_uring_cqe_seen(ring, cqe);
			busy--;
		}
		/* Who is stopped and continued, as by a shell, waits on. */
		if (ret < 0 && ret != -EINTR)
			return ret;
	}
}

static void *work(void *arg)
{
	struct io_uring ring;
	int ret;

	(void)arg;
	ret = io_uring_queue_init(DEPTH, &ring, 0);
	if (ret) {
		error = ret;
		return NULL;
	}
	ret = register_arena(&ring);
	if (ret)
		fprintf(stderr, "without registered buffers: %s\n", strerror(-ret));
	ret = load(&ring, !ret);
	if (ret)
		error = ret;
	io_uring_queue_exit(&ring);
	return NULL;
}

static unsigned long long sum(void)
{
	unsigned long long s = 0;
	size_t i;

	for (i = 0; i < size; i++)
		s = s * 31 + (unsigned char)arena[i];
	return s;
}

int main(int argc, char **argv)
{
	int i, ret, threads = argc > 2 ? atoi(argv[2]) : 4;
	pthread_t tids[MAX_THREADS];
	struct stat st;
	long start;

	if (argc < 2 || threads < 1 || threads > MAX_THREADS) {
		fprintf(stderr, "arena-by-hand FILE [THREADS]\n");
		return 2;
	}
	fd = open(argv[1], O_RDONLY);
	if (fd < 0 || fstat(fd, &st) || !st.st_size) {
		fprintf(stderr, "%s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	size = st.st_size;
	ret = make_arena(size);
	if (ret) {
		fprintf(stderr, "%zu bytes: %s\n", size, strerror(-ret));
		return 1;
	}
	check_limit(threads);
	start = now_us(CLOCK_MONOTONIC);
	for (i = 0; i < threads; i++)
		if (pthread_create(&tids[i], NULL, work, NULL))
			break;
	if (!i)
		error = -EAGAIN;
	while (i--)
		pthread_join(tids[i], NULL);
	if (error) {
		fprintf(stderr, "%s: %s\n", argv[1], strerror(-error));
		return 1;
	}
	fprintf(stderr, "%ld requests fixed, %ld plain; %ld us, %ld of them to register\n",
		(long)fixed, (long)plain, now_us(CLOCK_MONOTONIC) - start, (long)pin_us);
	printf("%016llx\n", sum());
	return 0;
}
