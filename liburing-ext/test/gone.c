/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * "Gone, its memory may be freed" against every way in which a request that the library
 * prepared reaches memory.
 *
 *   this thread                                the kernel
 *   prepares a read of an empty pipe           waits for the pipe
 *   removes the region, syncs, hands in
 *   the signals that there are
 *   if the region is gone: unmaps it, maps
 *   a canary there
 *   writes to the pipe                         writes to where the request was
 *                                              prepared for
 *   the canary must be whole
 *   hands in the ticket, the signals
 *   the region must be gone
 */
#include "helpers.h"

#define TAG	0xfeedbeefULL
#define SLOT	(64 * KiB)
#define LEN	(4 * SLOT)
#define BYTES	16

static struct io_uring_ext_error err;
static bool by_region;		/* requests name the region, where they lie in one */

enum when { BEFORE_ADD, BEFORE_SYNC, AFTER_SYNC };

/* Where the request goes, as an offset from the region. */
enum where { INSIDE, STRADDLING, OVER_THE_END, VECTORS, VECTORS_OUTSIDE, VECTORS_TWO };

static const struct way {
	const char *name;
	__u32 flags;
	unsigned slots;
	bool tag;
	enum when when;
	enum where where;
	int fixed;		/* 1, 0, or -1: where the kernel has fixed vectors */
} ways[] = {
	{ "straddling, with a tag", 0, 8, true, AFTER_SYNC, STRADDLING, 0 },
	{ "straddling", 0, 8, false, AFTER_SYNC, STRADDLING, 0 },
	{ "fixed, with a tag", 0, 8, true, AFTER_SYNC, INSIDE, 1 },
	{ "fixed", 0, 8, false, AFTER_SYNC, INSIDE, 1 },
	{ "fixed, no clones", IO_URING_EXT_POOL_NO_CLONE, 8, false, AFTER_SYNC, INSIDE, 1 },
	{ "not synced, with a tag", 0, 8, true, BEFORE_SYNC, INSIDE, 0 },
	{ "not synced", 0, 8, false, BEFORE_SYNC, INSIDE, 0 },
	{ "not added, with a tag", 0, 8, true, BEFORE_ADD, INSIDE, 0 },
	{ "not added", 0, 8, false, BEFORE_ADD, INSIDE, 0 },
	{ "PLAIN", IO_URING_EXT_POOL_PLAIN, 8, false, AFTER_SYNC, INSIDE, 0 },
	{ "PLAIN, with a tag", IO_URING_EXT_POOL_PLAIN, 8, true, AFTER_SYNC, INSIDE, 0 },
	{ "OPTIONAL, no slots", IO_URING_EXT_POOL_OPTIONAL, 2, false, AFTER_SYNC, INSIDE, 0 },
	{ "over the end", 0, 8, false, AFTER_SYNC, OVER_THE_END, 0 },
	{ "over the end, with a tag", 0, 8, true, AFTER_SYNC, OVER_THE_END, 0 },
	{ "vectors", 0, 8, false, AFTER_SYNC, VECTORS, -1 },
	{ "vectors, with a tag", 0, 8, true, AFTER_SYNC, VECTORS, -1 },
	{ "vectors, partly outside", 0, 8, true, AFTER_SYNC, VECTORS_OUTSIDE, 0 },
	{ "vectors in two regions", 0, 8, true, AFTER_SYNC, VECTORS_TWO, 0 },
};

struct state {
	const struct way *way;
	struct io_uring_ext_pool *pool;
	struct io_uring_ext_ring *r;
	struct io_uring ring;
	int pipe[2];
	char *mem;		/* the region, and as much again behind it */
	char *target;		/* what the kernel will write to, inside the region */
	char *other;
	__u64 ticket;
	int id;
};

static char *map(size_t len)
{
	char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	return p;
}

static void add(struct state *s)
{
	struct io_uring_ext_region region = { .base = s->mem, .len = LEN, .page_size = 4096,
					      .tag = s->way->tag ? TAG : 0 };

	s->id = io_uring_ext_pool_add(s->pool, &region, &err);
	CHECK_OK(s->id, err);
	if (s->way->where != VECTORS_TWO)
		return;
	region.base = s->other;
	region.tag = s->way->tag ? TAG + 1 : 0;
	CHECK_OK(io_uring_ext_pool_add(s->pool, &region, &err), err);
}

static void start(struct state *s)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&s->ring);
	struct iovec iov[2] = { { s->mem, 1 }, { s->mem + 100, BYTES } };
	int fixed, want = s->way->fixed;
	unsigned len = BYTES;

	s->target = s->mem;
	if (s->way->where == STRADDLING)
		s->target = s->mem + SLOT - BYTES / 2;
	if (s->way->where == OVER_THE_END) {
		s->target = s->mem + LEN - BYTES;
		len = 2 * BYTES;
	}
	if (s->way->where == VECTORS_OUTSIDE)
		iov[0].iov_base = s->mem + LEN;
	if (s->way->where == VECTORS_TWO)
		iov[0].iov_base = s->other;
	if (s->way->where < VECTORS && by_region) {
		fixed = io_uring_ext_prep_read_region(s->r, sqe, s->id, s->pipe[0], s->target,
						      len, 0);
	} else if (s->way->where < VECTORS) {
		fixed = io_uring_ext_prep_read(s->r, sqe, s->pipe[0], s->target, len, 0);
	} else {
		fixed = io_uring_ext_prep_readv(s->r, sqe, s->pipe[0], iov, 2, 0, 0);
		s->target = iov[1].iov_base;
	}
	if (want < 0)
		want = !!(io_uring_ext_pool_caps(s->pool)->flags & IO_URING_EXT_CAP_VEC_FIXED);
	CHECK_EQ(fixed, want);
	sqe->user_data = 1;
	s->ticket = io_uring_ext_ring_ticket(s->r);
	/* Of these the kernel tells */
	CHECK_EQ(!s->ticket, fixed && s->way->tag);
	CHECK_EQ(io_uring_submit(&s->ring), 1);
}

/* Hand in the signals that are there; is the request complete? */
static bool reap(struct state *s, int ms)
{
	bool complete = false;
	__u64 data;

	while ((data = t_wait_tag(&s->ring, ms))) {
		if (data == 1)
			complete = true;
		else
			CHECK(io_uring_ext_ring_signal(s->r, data) >= 0);
		ms = 20;
	}
	return complete;
}

static bool is_gone(struct state *s)
{
	struct io_uring_ext_region_info info;

	return io_uring_ext_pool_region_info(s->pool, s->id, &info) == -ENOENT;
}

/* The pipe has what is asked for, and what a canary would show. */
static void finish(struct state *s)
{
	char text[3 * BYTES];

	memset(text, '!', sizeof(text));
	CHECK_EQ(write(s->pipe[1], text, sizeof(text)), sizeof(text));
	CHECK(reap(s, 5000));
}

static void check_not_before(struct state *s)
{
	char canary[BYTES] = { 0 };

	if (!is_gone(s))
		return;
	/* So it may be freed, and others may have it */
	CHECK_EQ(munmap(s->mem, LEN), 0);
	CHECK(mmap(s->mem, LEN, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == s->mem);
	finish(s);
	if (memcmp(s->target, canary, BYTES / 2))
		t_fail(__FILE__, __LINE__, "%s: written to after it was gone", s->way->name);
	t_fail(__FILE__, __LINE__, "%s: gone with a request in it", s->way->name);
}

static void open_state(struct state *s, const struct way *way)
{
	struct io_uring_ext_pool_params p = { .flags = way->flags, .nr_slots = way->slots,
					      .max_buffer = SLOT };

	memset(s, 0, sizeof(*s));
	s->way = way;
	s->mem = map(2 * LEN);
	s->other = map(LEN);
	t_ring(&s->ring, 512, 0);
	CHECK_EQ(pipe(s->pipe), 0);
	CHECK_OK(io_uring_ext_pool_create(&s->pool, &p, &err), err);
	CHECK_OK(io_uring_ext_ring_attach(&s->r, s->pool, &s->ring, 0, &err), err);
}

static void close_state(struct state *s)
{
	CHECK_EQ(io_uring_ext_ring_detach(s->r), 0);
	CHECK_EQ(io_uring_ext_pool_destroy(s->pool), 0);
	io_uring_queue_exit(&s->ring);
	close(s->pipe[0]);
	close(s->pipe[1]);
	munmap(s->mem, 2 * LEN);
	munmap(s->other, LEN);
}

static void until_in_flight(struct state *s, const struct way *way)
{
	open_state(s, way);
	if (way->when == BEFORE_ADD)
		start(s);
	add(s);
	if (way->when == BEFORE_SYNC)
		start(s);
	CHECK_OK(io_uring_ext_ring_sync(s->r, &err), err);
	if (way->when == AFTER_SYNC)
		start(s);
}

static void check_way(const struct way *way)
{
	struct state s;

	until_in_flight(&s, way);
	CHECK_EQ(io_uring_ext_pool_remove(s.pool, s.id), 1);
	CHECK_EQ(is_gone(&s), 0);
	CHECK_OK(io_uring_ext_ring_sync(s.r, &err), err);
	reap(&s, 20);
	check_not_before(&s);
	CHECK_EQ(io_uring_ext_pool_wait_gone(s.pool, s.id, 1000000), -ETIMEDOUT);
	finish(&s);
	CHECK_EQ(s.target[0], '!');
	CHECK_EQ(is_gone(&s), !s.ticket);
	CHECK_EQ(io_uring_ext_ring_done(s.r, s.ticket), !!s.ticket);
	CHECK_EQ(is_gone(&s), 1);
	CHECK_EQ(io_uring_ext_pool_wait_gone(s.pool, s.id, 0), 0);
	if (s.ticket)
		CHECK_EQ(io_uring_ext_ring_done(s.r, s.ticket), -ENOENT);
	close_state(&s);
}

/* Added and removed again while the ring did not look, but used the memory. */
static void check_between_syncs(const struct way *way)
{
	struct state s;

	open_state(&s, way);
	add(&s);
	start(&s);
	CHECK_EQ(io_uring_ext_pool_remove(s.pool, s.id), 1);
	CHECK_EQ(is_gone(&s), 0);
	CHECK_EQ(io_uring_ext_ring_sync(s.r, &err), 0);
	check_not_before(&s);
	finish(&s);
	CHECK_EQ(io_uring_ext_ring_done(s.r, s.ticket), 1);
	CHECK_EQ(is_gone(&s), 1);
	close_state(&s);
}

/* All at once, by the word of the caller. */
static void check_idle(const struct way *way)
{
	struct state s;

	until_in_flight(&s, way);
	CHECK_EQ(io_uring_ext_pool_remove(s.pool, s.id), 1);
	CHECK_EQ(io_uring_ext_ring_sync(s.r, &err), 0);
	finish(&s);
	CHECK_EQ(io_uring_ext_ring_idle(s.r), !!s.ticket);
	CHECK_EQ(is_gone(&s), 1);
	if (s.ticket)
		CHECK_EQ(io_uring_ext_ring_done(s.r, s.ticket), -ENOENT);
	close_state(&s);
}

/* By the word of who removes it. */
static void check_remove_idle(const struct way *way)
{
	struct state s;
	int ret;

	until_in_flight(&s, way);
	finish(&s);
	CHECK_EQ(io_uring_ext_pool_remove_flags(s.pool, s.id, 2), -EINVAL);
	CHECK_EQ(io_uring_ext_pool_remove_flags(s.pool, s.id, IO_URING_EXT_REMOVE_IDLE), 1);
	ret = io_uring_ext_ring_sync(s.r, &err);
	CHECK(ret == 0 || ret == 1);
	reap(&s, 20);
	CHECK_EQ(is_gone(&s), 1);
	/* Late, and of no region any more */
	CHECK(io_uring_ext_ring_done(s.r, s.ticket) <= 0);
	close_state(&s);
}

/* A ring that is detached with a request in it: nobody will know, so it is never gone. */
static void check_detach(const struct way *way, bool told)
{
	struct io_uring_ext_region_info info;
	struct state s;
	int fixed_tag;

	until_in_flight(&s, way);
	fixed_tag = !s.ticket;
	CHECK_EQ(io_uring_ext_pool_remove(s.pool, s.id), 1);
	if (told) {
		finish(&s);
		CHECK(io_uring_ext_ring_idle(s.r) >= 0);
	}
	CHECK_EQ(io_uring_ext_ring_detach(s.r), 0);
	s.r = NULL;
	CHECK_EQ(is_gone(&s), told);
	if (!told) {
		CHECK_EQ(io_uring_ext_pool_region_info(s.pool, s.id, &info), 0);
		CHECK_EQ(info.orphans, 1);
		CHECK_EQ(info.rings, 0);
		CHECK_EQ(info.late, 0);
		memset(s.mem, 0, LEN);
		CHECK_EQ(write(s.pipe[1], "????????????????????????????????", 32), 32);
		while (t_wait_tag(&s.ring, fixed_tag ? 200 : 1000) != 1)
			;
	}
	close_state(&s);
}

/* More loose requests than can be noted: regions wait for all of them. */
static void check_many(void)
{
	static const struct way way = { "many", 0, 8, false, AFTER_SYNC, INSIDE, 1 };
	enum { MANY = 300 };
	__u64 tickets[MANY];
	struct io_uring_sqe *sqe;
	struct state s;
	int i, gone = 0;

	open_state(&s, &way);
	for (i = 0; i < MANY; i++) {
		sqe = io_uring_get_sqe(&s.ring);
		io_uring_ext_prep_read(s.r, sqe, s.pipe[0], s.mem + LEN + 8 * i, 8, 0);
		tickets[i] = io_uring_ext_ring_ticket(s.r);
		sqe->user_data = 1;
	}
	CHECK_EQ(io_uring_submit(&s.ring), MANY);
	s.mem += LEN;
	add(&s);
	CHECK_OK(io_uring_ext_ring_sync(s.r, &err), err);
	CHECK_EQ(io_uring_ext_pool_remove(s.pool, s.id), 1);
	CHECK_EQ(io_uring_ext_ring_sync(s.r, &err), 0);
	for (i = 0; i < MANY; i++) {
		CHECK_EQ(is_gone(&s), 0);
		CHECK_EQ(write(s.pipe[1], "12345678", 8), 8);
		CHECK_EQ(t_wait_tag(&s.ring, 5000), 1);
		gone += io_uring_ext_ring_done(s.r, tickets[MANY - 1 - i]);
	}
	CHECK_EQ(gone, 1);
	CHECK_EQ(is_gone(&s), 1);
	s.mem -= LEN;
	close_state(&s);
}

/* Tickets of what was not noted are stale, too, once the ring was said to be idle. */
static void check_many_stale(void)
{
	static const struct way way = { "stale", 0, 8, false, AFTER_SYNC, INSIDE, 1 };
	enum { MANY = 300 };
	__u64 old[MANY], now[MANY];
	struct io_uring_sqe sqe;
	struct state s;
	int i, gone = 0;

	open_state(&s, &way);
	for (i = 0; i < MANY; i++) {
		io_uring_ext_prep_read(s.r, &sqe, s.pipe[0], s.mem + 8 * i, 8, 0);
		old[i] = io_uring_ext_ring_ticket(s.r);
	}
	CHECK_EQ(io_uring_ext_ring_idle(s.r), 0);
	for (i = 0; i < MANY; i++) {
		io_uring_ext_prep_read(s.r, &sqe, s.pipe[0], s.mem + 8 * i, 8, 0);
		now[i] = io_uring_ext_ring_ticket(s.r);
	}
	add(&s);
	CHECK_OK(io_uring_ext_ring_sync(s.r, &err), err);
	CHECK_EQ(io_uring_ext_pool_remove(s.pool, s.id), 1);
	CHECK_EQ(io_uring_ext_ring_sync(s.r, &err), 0);
	for (i = 0; i < MANY; i++)
		CHECK_EQ(io_uring_ext_ring_done(s.r, old[i]), -ENOENT);
	for (i = 0; i < MANY; i++) {
		CHECK_EQ(is_gone(&s), 0);
		gone += io_uring_ext_ring_done(s.r, now[i]);
	}
	CHECK_EQ(gone, 1);
	CHECK_EQ(is_gone(&s), 1);
	CHECK_EQ(io_uring_ext_ring_done(s.r, now[MANY - 1]), -ENOENT);
	close_state(&s);
}

/*
 * A region with a tag in which all is complete, and the ring goes before the region does:
 * it has to be told, since there are no signals yet, and there is no ticket.
 */
static void check_detach_first(bool told)
{
	static const struct way way = { "detach first", 0, 8, true, AFTER_SYNC, INSIDE, 1 };
	struct io_uring_ext_region_info info;
	struct state s;

	until_in_flight(&s, &way);
	finish(&s);
	CHECK_EQ(io_uring_ext_ring_done(s.r, s.ticket), 0);
	if (told)
		CHECK_EQ(io_uring_ext_ring_idle(s.r), 0);
	CHECK_EQ(io_uring_ext_ring_detach(s.r), 0);
	s.r = NULL;
	CHECK(io_uring_ext_pool_remove(s.pool, s.id) >= 0);
	CHECK_EQ(is_gone(&s), told);
	if (!told) {
		CHECK_EQ(io_uring_ext_pool_region_info(s.pool, s.id, &info), 0);
		CHECK_EQ(info.orphans, 1);
	}
	close_state(&s);
}

/* A request that stays for long, elsewhere, keeps no region. */
static void check_elsewhere(void)
{
	static const struct way way = { "elsewhere", 0, 8, false, AFTER_SYNC, INSIDE, 1 };
	struct io_uring_sqe *sqe;
	struct state s;
	char own[8];

	open_state(&s, &way);
	sqe = io_uring_get_sqe(&s.ring);
	CHECK_EQ(io_uring_ext_prep_read(s.r, sqe, s.pipe[0], own, 8, 0), 0);
	CHECK_EQ(io_uring_submit(&s.ring), 1);
	add(&s);
	CHECK_OK(io_uring_ext_ring_sync(s.r, &err), err);
	CHECK_EQ(io_uring_ext_pool_remove(s.pool, s.id), 1);
	CHECK_EQ(io_uring_ext_ring_sync(s.r, &err), 1);
	CHECK_EQ(write(s.pipe[1], "12345678", 8), 8);
	t_wait_tag(&s.ring, 1000);
	close_state(&s);
}

/* Memory of a region that waits for a request is added again: each has its own. */
static void check_added_again(void)
{
	static const struct way way = { "again", 0, 8, false, AFTER_SYNC, INSIDE, 1 };
	struct state s;
	__u64 first;
	int old;

	until_in_flight(&s, &way);
	first = s.ticket;
	old = s.id;
	CHECK_EQ(io_uring_ext_pool_remove(s.pool, s.id), 1);
	CHECK_EQ(io_uring_ext_ring_sync(s.r, &err), 0);
	add(&s);
	CHECK_OK(io_uring_ext_ring_sync(s.r, &err), err);
	start(&s);
	CHECK_EQ(io_uring_ext_pool_remove(s.pool, s.id), 1);
	CHECK_EQ(io_uring_ext_ring_sync(s.r, &err), 0);
	CHECK_EQ(io_uring_ext_ring_done(s.r, s.ticket), 1);
	CHECK_EQ(is_gone(&s), 1);
	s.id = old;
	CHECK_EQ(is_gone(&s), 0);
	CHECK_EQ(io_uring_ext_ring_done(s.r, first), 1);
	CHECK_EQ(is_gone(&s), 1);
	CHECK_EQ(io_uring_ext_ring_done(s.r, first), -ENOENT);
	CHECK_EQ(io_uring_ext_ring_done(s.r, 3), -ENOENT);
	CHECK_EQ(io_uring_ext_ring_done(s.r, ~0ULL), -ENOENT);
	CHECK_EQ(io_uring_ext_ring_done(s.r, 0), 0);
	CHECK_EQ(io_uring_ext_ring_done(NULL, first), -EINVAL);
	finish(&s);
	close_state(&s);
}

/*
 * A fixed request that is prepared, and not submitted, when its region is let go of.  The
 * kernel looks at the entry when it is submitted: before the sync that is fine, after it the
 * request fails, and the region waits for it in both cases.
 */
static void check_unsubmitted(bool before_sync)
{
	static const struct way way = { "unsubmitted", 0, 8, false, AFTER_SYNC, INSIDE, 1 };
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;
	struct state s;

	open_state(&s, &way);
	add(&s);
	CHECK_OK(io_uring_ext_ring_sync(s.r, &err), err);
	CHECK_EQ(write(s.pipe[1], "12345678", 8), 8);
	sqe = io_uring_get_sqe(&s.ring);
	CHECK_EQ(io_uring_ext_prep_read(s.r, sqe, s.pipe[0], s.mem, 8, 0), 1);
	sqe->user_data = 1;
	s.ticket = io_uring_ext_ring_ticket(s.r);
	CHECK_EQ(io_uring_ext_pool_remove(s.pool, s.id), 1);
	if (before_sync)
		CHECK_EQ(io_uring_submit(&s.ring), 1);
	CHECK_EQ(io_uring_ext_ring_sync(s.r, &err), 0);
	if (!before_sync)
		CHECK_EQ(io_uring_submit(&s.ring), 1);
	cqe = t_wait(&s.ring);
	CHECK_EQ(cqe->res, before_sync ? 8 : -EFAULT);
	io_uring_cqe_seen(&s.ring, cqe);
	CHECK_EQ(!memcmp(s.mem, "12345678", 8), before_sync);
	CHECK_EQ(is_gone(&s), 0);
	CHECK_EQ(io_uring_ext_ring_done(s.r, s.ticket), 1);
	CHECK_EQ(is_gone(&s), 1);
	close_state(&s);
}

int main(int argc, char **argv)
{
	unsigned i, n = sizeof(ways) / sizeof(ways[0]);
	const struct way *way;

	for (i = 0; i < 2 * n; i++) {
		by_region = i >= n;
		way = &ways[i % n];
		if ((argc > 1 && strcmp(argv[1], way->name)) ||
		    (by_region && way->where >= VECTORS))
			continue;
		check_way(way);
		check_idle(way);
		check_remove_idle(way);
		check_detach(way, true);
		check_detach(way, false);
		if (way->when == BEFORE_SYNC)
			check_between_syncs(way);
	}
	check_many();
	check_many_stale();
	check_detach_first(true);
	check_detach_first(false);
	check_elsewhere();
	check_added_again();
	check_unsubmitted(true);
	check_unsubmitted(false);
	t_no_pins();
	return 0;
}
