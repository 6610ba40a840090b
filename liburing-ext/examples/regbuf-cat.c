/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * cat through registered buffers: regbuf-cat [FILE]...
 *
 * The pool is optional: where memory may not be locked it works all the same, and says
 * at the end that it did without.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <liburing-ext.h>

#define BUF	(1 << 20)

static struct io_uring ring;
static struct io_uring_ext_ring *r;
static bool writing;

static int run(void)
{
	struct io_uring_cqe *cqe;
	int res;

	res = io_uring_submit_and_wait(&ring, 1);
	if (res < 0)
		return res;
	/* Who is stopped and continued, as by a shell, waits on. */
	do {
		res = io_uring_wait_cqe(&ring, &cqe);
	} while (res == -EINTR);
	if (res < 0)
		return res;
	res = cqe->res;
	io_uring_cqe_seen(&ring, cqe);
	return res;
}

static int cat(int in, char *buf)
{
	int got, put, n;

	for (;;) {
		writing = false;
		io_uring_ext_prep_read(r, io_uring_get_sqe(&ring), in, buf, BUF, -1);
		got = run();
		if (got <= 0)
			return got;
		writing = true;
		for (put = 0; put < got; put += n) {
			io_uring_ext_prep_write(r, io_uring_get_sqe(&ring), 1, buf + put,
						got - put, -1);
			n = run();
			if (n <= 0)
				return n ? n : -EIO;
		}
	}
}

int main(int argc, char **argv)
{
	struct io_uring_ext_arena_params mem = { .size = BUF };
	struct io_uring_ext_pool_params params = { .flags = IO_URING_EXT_POOL_OPTIONAL };
	struct io_uring_ext_arena *arena;
	struct io_uring_ext_pool *pool;
	struct io_uring_ext_error err;
	int i, fd, ret, status = 0;

	/* Or else the ring would be that */
	if (fcntl(1, F_GETFD) < 0 || (argc < 2 && fcntl(0, F_GETFD) < 0)) {
		fprintf(stderr, "the standard %s is closed\n",
			fcntl(1, F_GETFD) < 0 ? "output" : "input");
		return 1;
	}
	ret = io_uring_queue_init(4, &ring, 0);
	if (ret) {
		fprintf(stderr, "no ring: %s\n", strerror(-ret));
		return 1;
	}
	if (io_uring_ext_arena_alloc(&arena, &mem, &err) ||
	    io_uring_ext_pool_create(&pool, &params, &err) ||
	    io_uring_ext_pool_add_arena(pool, arena, 0, &err) < 0 ||
	    io_uring_ext_ring_attach(&r, pool, &ring, 0, &err)) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	if (err.err)
		fprintf(stderr, "going on without registered buffers: %s\n", err.text);

	for (i = 1; (i < argc || i == 1) && !writing; i++) {
		fd = i < argc ? open(argv[i], O_RDONLY) : 0;
		ret = fd < 0 ? -errno : cat(fd, io_uring_ext_arena_base(arena));
		if (ret) {
			fprintf(stderr, "%s: %s\n", writing ? "stdout" : i < argc ? argv[i] :
				"stdin", strerror(-ret));
			status = 1;
		}
		if (fd > 0)
			close(fd);
	}
	io_uring_ext_ring_detach(r);
	io_uring_ext_pool_destroy(pool);
	io_uring_ext_arena_free(arena);
	io_uring_queue_exit(&ring);
	return status;
}
