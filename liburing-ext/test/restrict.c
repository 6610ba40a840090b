/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/* Kernels that lack something, played by rings whose restrictions forbid it; and rings
   that belong to one thread. */
#include "helpers.h"

static struct io_uring_ext_error err;
static char *mem;
static int fd;

static struct io_uring_ext_pool *pool_of(__u32 flags)
{
	struct io_uring_ext_pool_params p = { .flags = flags, .nr_slots = 8,
					      .max_buffer = MiB };
	struct io_uring_ext_region region = { .base = mem, .len = 2 * MiB,
					      .page_size = 4096 };
	struct io_uring_ext_pool *pool;

	CHECK_OK(io_uring_ext_pool_create(&pool, &p, &err), err);
	CHECK_EQ(io_uring_ext_pool_add(pool, &region, &err), 0);
	return pool;
}

static int read_one(struct io_uring *ring, struct io_uring_ext_ring *r)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	int fixed = io_uring_ext_prep_read(r, sqe, fd, mem + MiB, 4096, 8192);

	CHECK_EQ(t_io_done(ring, r), 4096);
	t_check_bytes(mem + MiB, 4096, 8192);
	return fixed;
}

/* With these calls allowed: does attaching work, is it fixed, by which way? */
static void expect(const unsigned *ops, unsigned nr, __u32 flags, int want, int fixed,
		   bool cloned)
{
	struct io_uring_ext_pool *pool = pool_of(flags);
	struct io_uring_ext_pool_stats before, after;
	struct io_uring_ext_ring *r;
	struct io_uring ring;
	int ret;

	t_restricted(&ring, ops, nr);
	CHECK_EQ(io_uring_ext_pool_stats(pool, &before), 0);
	ret = io_uring_ext_ring_attach(&r, pool, &ring, 0, &err);
	CHECK_EQ(ret, want);
	CHECK_EQ(io_uring_ext_pool_stats(pool, &after), 0);
	if (!ret) {
		CHECK_EQ(read_one(&ring, r), fixed);
		if (fixed && before.cloning) {
			CHECK_EQ(after.clones > before.clones, cloned);
			CHECK_EQ(after.registers > before.registers, !cloned);
		}
		CHECK_EQ(err.err, fixed ? 0 : -EACCES);
		io_uring_ext_ring_detach(r);
	} else {
		CHECK_EQ(err.err, want);
		CHECK(strstr(err.text, "restrictions"));
	}
	CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
	io_uring_queue_exit(&ring);
}

/* The same for an empty pool: is the lack of a table an error, and is it told? */
static void expect_empty(const unsigned *ops, unsigned nr, __u32 flags, int want, int told)
{
	struct io_uring_ext_pool_params p = { .flags = flags, .nr_slots = 8 };
	struct io_uring_ext_pool *pool;
	struct io_uring_ext_ring *r;
	struct io_uring ring;

	CHECK_OK(io_uring_ext_pool_create(&pool, &p, &err), err);
	t_restricted(&ring, ops, nr);
	CHECK_EQ(io_uring_ext_ring_attach(&r, pool, &ring, 0, &err), want);
	CHECK_EQ(err.err, told);
	if (told) {
		CHECK_EQ(err.stage, IO_URING_EXT_STAGE_TABLE);
		CHECK(strstr(err.text, "restrictions"));
	}
	if (!want)
		CHECK_EQ(io_uring_ext_ring_detach(r), 0);
	CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
	io_uring_queue_exit(&ring);
}

#ifndef IORING_SETUP_SINGLE_ISSUER
#define IORING_SETUP_SINGLE_ISSUER	(1U << 12)
#endif

static struct io_uring issuer_ring;

static void *attach_elsewhere(void *arg)
{
	struct io_uring_ext_pool *pool = arg;
	struct io_uring_ext_ring *r;

	CHECK_EQ(io_uring_ext_ring_attach(&r, pool, &issuer_ring, 0, &err), -EEXIST);
	CHECK(strstr(err.text, "another thread"));
	return NULL;
}

/* A ring for one thread: that thread may attach it, clones of the anchor included. */
static void check_single_issuer(void)
{
	struct io_uring_ext_pool *pool;
	struct io_uring_ext_ring *r;
	pthread_t tid;

	if (io_uring_queue_init(8, &issuer_ring, IORING_SETUP_SINGLE_ISSUER)) {
		fprintf(stderr, "this kernel has no SINGLE_ISSUER\n");
		return;
	}
	pool = pool_of(0);
	CHECK_EQ(pthread_create(&tid, NULL, attach_elsewhere, pool), 0);
	pthread_join(tid, NULL);
	CHECK_OK(io_uring_ext_ring_attach(&r, pool, &issuer_ring, 0, &err), err);
	CHECK_EQ(read_one(&issuer_ring, r), 1);
	CHECK_EQ(io_uring_ext_ring_detach(r), 0);
	CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
	io_uring_queue_exit(&issuer_ring);
}

int main(void)
{
	static const unsigned no_clone[] = { IORING_REGISTER_BUFFERS, IORING_REGISTER_BUFFERS2,
					     IORING_REGISTER_BUFFERS_UPDATE };
	static const unsigned no_sparse[] = { IORING_REGISTER_BUFFERS,
					      IORING_REGISTER_BUFFERS_UPDATE };
	static const unsigned no_table[] = { IORING_REGISTER_BUFFERS_UPDATE };
	static const unsigned only_clone[] = { 30, IORING_REGISTER_BUFFERS_UPDATE };
	static const unsigned nothing[] = { IORING_REGISTER_EVENTFD };
	struct io_uring_ext_caps caps;

	fd = t_file(65536);
	mem = mmap(NULL, 2 * MiB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(mem != MAP_FAILED);
	CHECK_EQ(io_uring_ext_query(NULL, &caps), 0);

	expect(no_clone, 3, 0, 0, 1, false);
	expect(no_sparse, 2, 0, 0, 1, false);
	expect(no_table, 1, 0, -EACCES, 0, false);
	expect(nothing, 1, 0, -EACCES, 0, false);
	expect(nothing, 1, IO_URING_EXT_POOL_OPTIONAL, 0, 0, false);
	expect_empty(no_clone, 3, IO_URING_EXT_POOL_NO_CLONE, 0, 0);
	expect_empty(no_table, 1, IO_URING_EXT_POOL_NO_CLONE, -EACCES, -EACCES);
	expect_empty(no_table, 1, IO_URING_EXT_POOL_NO_CLONE | IO_URING_EXT_POOL_OPTIONAL, 0,
		     -EACCES);
	expect_empty(no_table, 1, IO_URING_EXT_POOL_PLAIN, 0, 0);
	if (caps.flags & IO_URING_EXT_CAP_CLONE_RANGE) {
		expect(only_clone, 2, 0, 0, 1, true);
		/* A clone may make the table later */
		expect_empty(only_clone, 2, 0, 0, 0);
	} else {
		fprintf(stderr, "this kernel has no clones of ranges\n");
	}
	check_single_issuer();
	close(fd);
	t_no_pins();
	return 0;
}
