/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * Copy a file through one pool with many rings: regbuf-cp FROM TO [THREADS]
 *
 * Each thread has a ring.  The pool's memory is pinned once; the rings are given
 * clones.  A slab hands out blocks of it to whichever thread asks.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <liburing-ext.h>

#define BLOCK		(256 << 10)
#define MAX_THREADS	64

static struct io_uring_ext_pool *pool;
static struct io_uring_ext_slab *slab;
static int from, to;
static _Atomic off_t next;
static _Atomic bool ended;
static _Atomic long fixed, plain;
static _Atomic int error;

static int run(struct io_uring *ring)
{
	struct io_uring_cqe *cqe;
	int res;

	res = io_uring_submit_and_wait(ring, 1);
	if (res < 0)
		return res;
	/* Who is stopped and continued, as by a shell, waits on. */
	do {
		res = io_uring_wait_cqe(ring, &cqe);
	} while (res == -EINTR);
	if (res < 0)
		return res;
	res = cqe->res;
	io_uring_cqe_seen(ring, cqe);
	return res;
}

/* All of one block; 0 or -errno.  What a file says of its size need not be so: it is read. */
static int copy_block(struct io_uring *ring, struct io_uring_ext_ring *r, char *buf, off_t off)
{
	unsigned got, put;
	int ret;

	for (got = 0; got < BLOCK; got += ret) {
		io_uring_ext_prep_read(r, io_uring_get_sqe(ring), from, buf + got, BLOCK - got,
				       off + got);
		ret = run(ring);
		if (ret < 0)
			return ret;
		if (!ret) {
			ended = true;
			break;
		}
	}
	for (put = 0; put < got; put += ret) {
		io_uring_ext_prep_write(r, io_uring_get_sqe(ring), to, buf + put, got - put,
					off + put);
		ret = run(ring);
		if (ret <= 0)
			return ret ? ret : -EIO;
	}
	return 0;
}

static void *work(void *arg)
{
	struct io_uring_ext_ring_stats st;
	struct io_uring_ext_error err;
	struct io_uring_ext_ring *r;
	struct io_uring ring;
	char *buf = io_uring_ext_slab_get(slab);
	off_t off;
	int ret;

	(void)arg;
	ret = io_uring_queue_init(4, &ring, 0);
	if (ret) {
		error = ret;
		return NULL;
	}
	ret = io_uring_ext_ring_attach(&r, pool, &ring, 0, &err);
	while (!ret && !error && !ended) {
		off = atomic_fetch_add(&next, BLOCK);
		ret = copy_block(&ring, r, buf, off);
	}
	if (ret)
		error = ret;
	if (!io_uring_ext_ring_stats(r, &st)) {
		fixed += st.fixed;
		plain += st.plain;
	}
	io_uring_ext_ring_detach(r);
	io_uring_ext_slab_put(slab, buf);
	io_uring_queue_exit(&ring);
	return NULL;
}

int main(int argc, char **argv)
{
	struct io_uring_ext_arena_params mem = { .size = 0 };
	struct io_uring_ext_pool_params params = { .flags = IO_URING_EXT_POOL_OPTIONAL };
	int i, id, threads = argc > 3 ? atoi(argv[3]) : 4;
	struct io_uring_ext_arena *arena;
	struct io_uring_ext_error err;
	pthread_t tids[MAX_THREADS];
	struct stat a, b;

	if (argc < 3 || threads < 1 || threads > MAX_THREADS) {
		fprintf(stderr, "regbuf-cp FROM TO [THREADS]\n");
		return 2;
	}
	from = open(argv[1], O_RDONLY);
	to = from < 0 ? -1 : open(argv[2], O_WRONLY | O_CREAT, 0666);
	if (to < 0 || fstat(from, &a) || fstat(to, &b)) {
		perror(from < 0 ? argv[1] : argv[2]);
		return 1;
	}
	if (a.st_dev == b.st_dev && a.st_ino == b.st_ino) {
		fprintf(stderr, "%s and %s are the same file\n", argv[1], argv[2]);
		return 1;
	}
	if (S_ISREG(b.st_mode) && ftruncate(to, 0)) {
		perror(argv[2]);
		return 1;
	}
	mem.size = (size_t)threads * BLOCK;
	id = io_uring_ext_arena_alloc(&arena, &mem, &err);
	if (!id)
		id = io_uring_ext_pool_create(&pool, &params, &err);
	if (!id)
		id = io_uring_ext_pool_add_arena(pool, arena, 0, &err);
	if (id < 0) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	if (io_uring_ext_slab_create(&slab, pool, id, BLOCK, 0))
		return 1;
	for (i = 0; i < threads; i++)
		if (pthread_create(&tids[i], NULL, work, NULL))
			break;
	if (!i)
		error = -EAGAIN;
	while (i--)
		pthread_join(tids[i], NULL);
	io_uring_ext_slab_destroy(slab);
	io_uring_ext_pool_destroy(pool);
	io_uring_ext_arena_free(arena);
	if (error || close(to)) {
		fprintf(stderr, "%s: %s\n", argv[2], strerror(error ? -error : errno));
		return 1;
	}
	fprintf(stderr, "%ld requests fixed, %ld plain\n", (long)fixed, (long)plain);
	return 0;
}
