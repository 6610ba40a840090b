/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * Threads with rings of their own (SINGLE_ISSUER where there is that) read through one
 * pool, while regions come and go under them.  A region's memory is unmapped as soon as
 * the pool says that it is gone.  For TEST_SECONDS / 2, default 2.
 */
#include <time.h>

#include "helpers.h"

#define WORKERS		6
#define REGIONS		4
#define REGION		(1 * MiB)
#define PIECE		(256 * KiB)
#define FILE_SIZE	(1 * MiB)

#ifndef IORING_SETUP_SINGLE_ISSUER
#define IORING_SETUP_SINGLE_ISSUER	(1U << 12)
#endif

static struct io_uring_ext_pool *pool;
static char *_Atomic regions[REGIONS];
static _Atomic int stop;
static int fd;

struct worker {
	pthread_t tid;
	unsigned id;
	unsigned long reads, fixed, syncs;
};

static void read_somewhere(struct worker *w, struct io_uring *ring,
			   struct io_uring_ext_ring *r, unsigned *seed)
{
	char *p = regions[(*seed >> 8) % REGIONS];
	size_t off = (*seed >> 12) % (FILE_SIZE - 8192);
	unsigned len = 1 + *seed % 8192;
	struct io_uring_sqe *sqe;

	*seed = *seed * 1103515245 + 12345;
	if (!p)
		return;
	/* A stripe of each region for each worker */
	p += w->id * (REGION / 8) + *seed % (REGION / 8 - 8192);
	sqe = io_uring_get_sqe(ring);
	w->fixed += io_uring_ext_prep_read(r, sqe, fd, p, len, off);
	CHECK_EQ(t_io(ring), len);
	t_check_bytes(p, len, off);
	w->reads++;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct io_uring_ext_ring_stats st;
	struct io_uring_ext_error err;
	struct io_uring_ext_ring *r;
	struct io_uring ring;
	unsigned seed = w->id;

	if (io_uring_queue_init(4, &ring, IORING_SETUP_SINGLE_ISSUER))
		t_ring(&ring, 4, 0);
	CHECK_OK(io_uring_ext_ring_attach(&r, pool, &ring, w->id * 3, &err), err);
	while (!stop) {
		if (io_uring_ext_ring_stale(r))
			CHECK_OK(io_uring_ext_ring_sync(r, &err), err);
		read_somewhere(w, &ring, r, &seed);
	}
	CHECK_EQ(io_uring_ext_ring_stats(r, &st), 0);
	CHECK_EQ(st.fixed, w->fixed);
	w->syncs = st.syncs;
	CHECK_EQ(io_uring_ext_ring_detach(r), 0);
	io_uring_queue_exit(&ring);
	return NULL;
}

static void come_and_go(unsigned i, int *id)
{
	struct io_uring_ext_region region = { .len = REGION, .page_size = 4096 };
	struct io_uring_ext_region_info info;
	struct io_uring_ext_error err;
	char *p = regions[i];

	if (!p) {
		p = mmap(NULL, REGION, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);
		CHECK(p != MAP_FAILED);
		region.base = p;
		*id = io_uring_ext_pool_add(pool, &region, &err);
		CHECK_OK(*id, err);
		regions[i] = p;
		return;
	}
	regions[i] = NULL;
	CHECK(io_uring_ext_pool_remove(pool, *id) >= 0);
	while (!io_uring_ext_pool_region_info(pool, *id, &info))
		usleep(100);
	munmap(p, REGION);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

int main(void)
{
	struct io_uring_ext_pool_params p = { .nr_slots = 64, .max_buffer = PIECE };
	const char *t = getenv("TEST_SECONDS");
	struct io_uring_ext_error err;
	struct worker w[WORKERS];
	unsigned long reads = 0, fixed = 0, changes = 0, syncs = 0;
	int ids[REGIONS];
	double end;
	struct io_uring ring;
	unsigned i;

	t_ring(&ring, 4, 0);
	io_uring_queue_exit(&ring);
	fd = t_file(FILE_SIZE);
	CHECK_OK(io_uring_ext_pool_create(&pool, &p, &err), err);
	memset(w, 0, sizeof(w));
	for (i = 0; i < WORKERS; i++) {
		w[i].id = i;
		CHECK_EQ(pthread_create(&w[i].tid, NULL, work, &w[i]), 0);
	}
	for (end = now() + (t ? atoi(t) : 4) / 2.0; now() < end; changes++) {
		come_and_go(changes * 7 / 3 % REGIONS, &ids[changes * 7 / 3 % REGIONS]);
		usleep(5000);
	}
	stop = 1;
	for (i = 0; i < WORKERS; i++) {
		pthread_join(w[i].tid, NULL);
		reads += w[i].reads;
		fixed += w[i].fixed;
		syncs += w[i].syncs;
	}
	CHECK(reads > 0 && fixed > reads / 2);
	CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
	printf("%lu reads, %lu fixed, %lu changes, %lu syncs\n", reads, fixed, changes, syncs);
	t_no_pins();
	return 0;
}
