/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * Threads with rings of their own (SINGLE_ISSUER where there is that) read through pools
 * while regions come and go under them, and the process forks.  For TEST_SECONDS / 2,
 * default 2.
 *
 *   main                                    worker                    kernel
 *   adds a region
 *                                           prepares reads in it,     fills them now,
 *                                           fixed and plain, of a     or when there is
 *                                           file and of a pipe        something to read
 *   removes it
 *                                           syncs, and goes on; may
 *                                           prepare before it does
 *                                           hands in tickets and
 *                                           signals
 *   it is gone: unmaps it, maps a canary
 *   there
 *   looks at the canary, a while later:
 *   nobody wrote to it
 */
#include <time.h>

#include "helpers.h"

#define WORKERS		8
#define REGIONS		8
#define REGION		(1 * MiB)
#define PIECE		(256 * KiB)
#define STRIPE		(REGION / WORKERS)
#define FILE_SIZE	(1 * MiB)
#define IN_PIPE		4
#define BYTES		64

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
	unsigned seed;
	struct io_uring ring;
	struct io_uring_ext_ring *r;
	int pipe[2];
	unsigned in_pipe;
	__u64 tickets[IN_PIPE + 1];	/* by user_data, of which 0 is the file's */
	bool busy[IN_PIPE + 1];
	unsigned long reads, fixed, syncs, signals, late;
};

static unsigned next_random(struct worker *w)
{
	w->seed = w->seed * 1103515245 + 12345;
	return w->seed >> 8;
}

/*
 * In this worker's stripe of a region: what is read from the pipe at its start, or over
 * the boundary of pieces that is there for every second worker, the rest is the file's.
 */
static char *stripe(struct worker *w)
{
	char *p = regions[next_random(w) % REGIONS];

	return p ? p + w->id * STRIPE : NULL;
}

static char *for_pipe(struct worker *w)
{
	char *p = stripe(w);
	bool boundary = w->id && !(w->id * STRIPE % PIECE);

	if (p && boundary && next_random(w) % 2)
		return p - BYTES / 2;
	return p ? p + BYTES + next_random(w) % (8192 - 2 * BYTES) : NULL;
}

static char *for_file(struct worker *w)
{
	char *p = stripe(w);

	return p ? p + 8192 + next_random(w) % (STRIPE - 3 * 8192) : NULL;
}

/* Take what there is, until the request with @want is complete. */
static int take_cqes(struct worker *w, __u64 want, bool wait)
{
	struct io_uring_cqe *cqe;
	int res = 0;
	bool found = false;

	while (!found) {
		if (wait)
			cqe = t_wait(&w->ring);
		else if (io_uring_peek_cqe(&w->ring, &cqe))
			break;
		if (cqe->user_data <= IN_PIPE) {
			found = wait && cqe->user_data == want;
			res = cqe->res;
			CHECK(w->busy[cqe->user_data]);
			w->busy[cqe->user_data] = false;
			w->in_pipe -= !!cqe->user_data;
			CHECK(io_uring_ext_ring_done(w->r, w->tickets[cqe->user_data]) >= 0);
		} else {
			w->signals++;
			CHECK(io_uring_ext_ring_signal(w->r, cqe->user_data) >= 0);
		}
		io_uring_cqe_seen(&w->ring, cqe);
	}
	return res;
}

static void prepare(struct worker *w, __u64 data, int from, char *p, unsigned len, size_t off)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&w->ring);
	struct iovec iov[2] = { { p, len / 2 }, { p + len / 2, len - len / 2 } };

	if (next_random(w) % 3 || len < 2)
		w->fixed += io_uring_ext_prep_read(w->r, sqe, from, p, len, off);
	else
		w->fixed += io_uring_ext_prep_readv(w->r, sqe, from, iov, 2, off, 0);
	sqe->user_data = data;
	w->tickets[data] = io_uring_ext_ring_ticket(w->r);
	w->busy[data] = true;
	w->reads++;
	CHECK_EQ(io_uring_submit(&w->ring), 1);
}

static void read_file(struct worker *w)
{
	unsigned len = 1 + next_random(w) % 8192;
	size_t off = next_random(w) % (FILE_SIZE - 8192);
	char *p = for_file(w);

	if (!p)
		return;
	prepare(w, 0, fd, p, len, off);
	CHECK_EQ(take_cqes(w, 0, true), len);
	/* It is not gone before this ring syncs */
	t_check_bytes(p, len, off);
}

/* Stays in flight until the pipe is written to. */
static void read_pipe(struct worker *w)
{
	char *p = for_pipe(w);
	unsigned i;

	for (i = 1; p && i <= IN_PIPE; i++) {
		if (w->busy[i])
			continue;
		w->in_pipe++;
		prepare(w, i, w->pipe[0], p, BYTES, 0);
		return;
	}
}

static void fill_pipe(struct worker *w)
{
	char text[BYTES];

	memset(text, 0xee, sizeof(text));
	if (w->in_pipe)
		CHECK_EQ(write(w->pipe[1], text, sizeof(text)), sizeof(text));
}

static void sync_ring(struct worker *w)
{
	struct io_uring_ext_error err;

	if (!io_uring_ext_ring_stale(w->r))
		return;
	/* Another may come to be removed between this and the next request */
	if (next_random(w) % 4 == 0) {
		w->late++;
		return;
	}
	CHECK_OK(io_uring_ext_ring_sync(w->r, &err), err);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct io_uring_ext_ring_stats st;
	struct io_uring_ext_error err;
	unsigned i;

	w->seed = w->id;
	CHECK_EQ(pipe(w->pipe), 0);
	if (io_uring_queue_init(64, &w->ring, IORING_SETUP_SINGLE_ISSUER))
		t_ring(&w->ring, 64, 0);
	CHECK_OK(io_uring_ext_ring_attach(&w->r, pool, &w->ring, w->id * 3, &err), err);
	while (!stop) {
		sync_ring(w);
		read_file(w);
		read_pipe(w);
		if (next_random(w) % 3 == 0)
			fill_pipe(w);
		take_cqes(w, 0, false);
	}
	for (i = w->in_pipe; i; i--)
		fill_pipe(w);
	for (i = 1; i <= IN_PIPE; i++)
		if (w->busy[i])
			take_cqes(w, i, true);
	CHECK_EQ(io_uring_ext_ring_stats(w->r, &st), 0);
	CHECK_EQ(st.fixed, w->fixed);
	w->syncs = st.syncs;
	CHECK(io_uring_ext_ring_idle(w->r) >= 0);
	CHECK_EQ(io_uring_ext_ring_detach(w->r), 0);
	io_uring_queue_exit(&w->ring);
	close(w->pipe[0]);
	close(w->pipe[1]);
	return NULL;
}

/* Memory that was a region's, to be looked at a while later. */
static char *canary;

static void look_at_canary(void)
{
	size_t i;

	for (i = 0; canary && i < REGION; i++)
		if (canary[i])
			t_fail(__FILE__, __LINE__, "byte %zu was written to after it was gone",
			       i);
	if (canary)
		munmap(canary, REGION);
	canary = NULL;
}

static void put_canary(char *p, bool in_file)
{
	look_at_canary();
	/* What is fixed is written to the file's pages, wherever they are mapped */
	if (in_file) {
		memset(p, 0, REGION);
		canary = p;
		return;
	}
	munmap(p, REGION);
	canary = mmap(p, REGION, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	/* Another thread's mapping may be there already */
	if (canary == MAP_FAILED)
		canary = NULL;
}

static bool is_in_file(unsigned i)
{
	return i >= REGIONS / 2 && i % 4 < 2;
}

static char *map_region(unsigned i, struct io_uring_ext_region *region)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS, file = -1;
	char *p;

	if (is_in_file(i)) {
		file = memfd_create("region", MFD_CLOEXEC);
		CHECK(file >= 0 && !ftruncate(file, REGION));
		flags = MAP_SHARED;
		region->flags = IO_URING_EXT_REGION_MEMFD;
		region->memfd = file;
	}
	p = mmap(NULL, REGION, PROT_READ | PROT_WRITE, flags, file, 0);
	CHECK(p != MAP_FAILED);
	region->base = p;
	return p;
}

static int add(const struct io_uring_ext_region *region, bool wait)
{
	static unsigned started;
	struct io_uring_ext_error err;
	int id;

	if (wait) {
		id = io_uring_ext_pool_add(pool, region, &err);
		CHECK_OK(id, err);
		return id;
	}
	id = io_uring_ext_pool_add_start(pool, region, -1, 0, &err);
	CHECK_OK(id, err);
	if (++started % 4 == 0) {
		CHECK_EQ(io_uring_ext_pool_add_cancel(pool, id), 0);
		return add(region, true);
	}
	CHECK_OK(io_uring_ext_pool_add_finish(pool, id, IO_URING_EXT_UNLIMITED, &err), err);
	return id;
}

/* Every second region has a tag, and none twice; some are a file's; some are started first. */
static void come(unsigned i, int *id)
{
	static __u64 tag = 1000;
	struct io_uring_ext_region region = { .len = REGION, .page_size = 4096 };
	char *p = map_region(i, &region);

	region.tag = i & 1 ? tag++ : 0;
	/* Used before it is in the pool, or after */
	if (i & 2)
		regions[i] = p;
	*id = add(&region, i % 3);
	regions[i] = p;
	if (is_in_file(i))
		close(region.memfd);
}

static void go(unsigned i, int id)
{
	char *p = regions[i];

	regions[i] = NULL;
	CHECK(io_uring_ext_pool_remove(pool, id) >= 0);
	CHECK_EQ(io_uring_ext_pool_wait_gone(pool, id, 60000000000ULL), 0);
	put_canary(p, is_in_file(i));
}

static void fork_one(void)
{
	int status;
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (!pid)
		t_end_child();
	CHECK_EQ(waitpid(pid, &status, 0), pid);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

int main(void)
{
	struct io_uring_ext_pool_params p = { .nr_slots = 128, .max_buffer = PIECE };
	const char *t = getenv("TEST_SECONDS");
	struct io_uring_ext_error err;
	static struct worker w[WORKERS];
	unsigned long reads = 0, fixed = 0, changes = 0, syncs = 0, signals = 0, late = 0;
	int ids[REGIONS];
	double end;
	struct io_uring ring;
	unsigned i;

	t_ring(&ring, 4, 0);
	io_uring_queue_exit(&ring);
	fd = t_file(FILE_SIZE);
	/* Otherwise more is plain, which is as well */
	if (!t_may_lock(128 * MiB, "all of it registered"))
		p.flags = IO_URING_EXT_POOL_OPTIONAL;
	CHECK_OK(io_uring_ext_pool_create(&pool, &p, &err), err);
	for (i = 0; i < WORKERS; i++) {
		w[i].id = i;
		CHECK_EQ(pthread_create(&w[i].tid, NULL, work, &w[i]), 0);
	}
	for (end = now() + (t ? atoi(t) : 4) / 2.0; now() < end; changes++) {
		i = changes * 5 % REGIONS;
		if (regions[i])
			go(i, ids[i]);
		else
			come(i, &ids[i]);
		if (changes % 16 == 0)
			fork_one();
		usleep(2000);
	}
	stop = 1;
	for (i = 0; i < WORKERS; i++) {
		pthread_join(w[i].tid, NULL);
		reads += w[i].reads;
		fixed += w[i].fixed;
		syncs += w[i].syncs;
		signals += w[i].signals;
		late += w[i].late;
	}
	look_at_canary();
	CHECK(reads && fixed < reads && (fixed || p.flags));
	CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
	printf("%lu reads, %lu fixed, %lu changes, %lu syncs, %lu put off, %lu signals\n", reads,
	       fixed, changes, syncs, late, signals);
	t_no_pins();
	return 0;
}
