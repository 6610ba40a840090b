/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * Load a file into one arena with many rings: arena FILE [THREADS]
 *
 * arena-by-hand.c with the library, which gets the memory, looks at the limit, cuts, pins
 * once for all rings, and chooses what is fixed.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <liburing-ext.h>

#define BLOCK		(192UL << 10)
#define DEPTH		8
#define MAX_THREADS	64

static struct io_uring_ext_pool *pool;
static char *base;
static int fd, id;
static size_t size;
static _Atomic size_t next;
static _Atomic long fixed, plain;
static _Atomic int error;

static long now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000L + ts.tv_nsec / 1000;
}

/* Up to DEPTH blocks at a time; those that come back short are an error here. */
static int load(struct io_uring *ring, struct io_uring_ext_ring *r)
{
	struct io_uring_cqe *cqe;
	struct io_uring_sqe *sqe;
	unsigned busy = 0, len;
	size_t off;
	int ret;

	for (;;) {
		while (busy < DEPTH && !error && (off = atomic_fetch_add(&next, BLOCK)) < size) {
			len = size - off < BLOCK ? size - off : BLOCK;
			sqe = io_uring_get_sqe(ring);
			io_uring_ext_prep_read_region(r, sqe, id, fd, base + off, len, off);
			io_uring_sqe_set_data(sqe, (void *)off);
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
	struct io_uring_ext_ring_stats st;
	struct io_uring_ext_ring *r;
	struct io_uring ring;
	int ret;

	(void)arg;
	ret = io_uring_queue_init(DEPTH, &ring, 0);
	if (ret) {
		error = ret;
		return NULL;
	}
	ret = io_uring_ext_ring_attach(&r, pool, &ring, 0, NULL);
	if (!ret)
		ret = load(&ring, r);
	if (ret)
		error = ret;
	if (!io_uring_ext_ring_stats(r, &st)) {
		fixed += st.fixed;
		plain += st.plain;
	}
	io_uring_ext_ring_detach(r);
	io_uring_queue_exit(&ring);
	return NULL;
}

static unsigned long long sum(void)
{
	unsigned long long s = 0;
	size_t i;

	for (i = 0; i < size; i++)
		s = s * 31 + (unsigned char)base[i];
	return s;
}

int main(int argc, char **argv)
{
	struct io_uring_ext_pool_params params = { .flags = IO_URING_EXT_POOL_OPTIONAL };
	struct io_uring_ext_arena_params mem = { .flags = IO_URING_EXT_ARENA_PREFAULT };
	int i, threads = argc > 2 ? atoi(argv[2]) : 4;
	struct io_uring_ext_pool_stats ps;
	struct io_uring_ext_arena *arena;
	struct io_uring_ext_error err;
	pthread_t tids[MAX_THREADS];
	struct stat st;
	long start;

	if (argc < 2 || threads < 1 || threads > MAX_THREADS) {
		fprintf(stderr, "arena FILE [THREADS]\n");
		return 2;
	}
	fd = open(argv[1], O_RDONLY);
	if (fd < 0 || fstat(fd, &st) || !st.st_size) {
		fprintf(stderr, "%s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	size = mem.size = st.st_size;
	if (io_uring_ext_arena_alloc(&arena, &mem, &err) ||
	    io_uring_ext_pool_create(&pool, &params, &err)) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	base = io_uring_ext_arena_base(arena);
	start = now_us();
	id = io_uring_ext_pool_add_arena(pool, arena, 0, &err);
	if (err.err)
		fprintf(stderr, "without registered buffers: %s\n", err.text);
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
	io_uring_ext_pool_stats(pool, &ps);
	fprintf(stderr, "%ld requests fixed, %ld plain; %ld us, %llu of them to register\n",
		(long)fixed, (long)plain, now_us() - start,
		(unsigned long long)(ps.register_ns + ps.clone_ns) / 1000);
	printf("%016llx\n", sum());
	io_uring_ext_pool_destroy(pool);
	io_uring_ext_arena_free(arena);
	return 0;
}
