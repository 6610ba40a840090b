/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * Adding a region while nobody waits for its memory to be pinned.
 *
 *  start   The region gets its id and slots, as for any other.  A ring that exists for this
 *          is given an empty table, and a request that fills it, which a worker of the
 *          kernel carries out.  Where that cannot be had, the region is registered at once
 *          in the way of io_uring_ext_pool_add(), and what came of it is kept.
 *  finish  Waits for the request.  What it did not do is done now: the kernel tells how far
 *          it came, and only who tries the next entry learns why.  So a request that was
 *          cancelled, because its thread ended, is no loss either.  The anchor is given a
 *          clone, the ring goes, and the region is announced.
 *
 * A growth belongs to who took it out of its region, under the pool's lock; one that waits
 * in vain puts it back.
 */
#include <stdlib.h>

#include "lib.h"

struct urext_growth {
	struct io_uring ring;
	bool submitted;
	int ret;			/* of what was done at once */
	struct io_uring_ext_error err;
	struct urext_tally tally;
	__u64 start;
};

static struct urext_target target_of(const struct urext_growth *g)
{
	return urext_target_fd(g->ring.ring_fd);
}

/* Nothing stays pinned but what was cloned. */
static void close_ring(struct urext_growth *g)
{
	if (!g->submitted)
		return;
	urext_register(target_of(g), IORING_UNREGISTER_BUFFERS, NULL, 0);
	io_uring_queue_exit(&g->ring);
}

/* 0: it is on its way. */
static int submit(struct urext_growth *g, const struct urext_region *region, int eventfd)
{
	unsigned nr = region->split.nr;
	struct urext_kind kind;
	struct iovec *iov;
	int ret;

	iov = urext_split_iovecs(&region->split);
	if (!iov)
		return -ENOMEM;
	ret = io_uring_queue_init(2, &g->ring, 0);
	if (ret)
		goto out_iov;
	ret = urext_table(target_of(g), nr);
	if (!ret && eventfd >= 0)
		ret = urext_register(target_of(g), IORING_REGISTER_EVENTFD, &eventfd, 1);
	if (!ret)
		ret = urext_uapi_request(&g->ring, iov, nr, urext_region_kind(region, &kind));
	g->submitted = !ret;
	if (ret)
		io_uring_queue_exit(&g->ring);
out_iov:
	free(iov);
	return ret;
}

static void set_growth(struct io_uring_ext_pool *pool, struct urext_region *region,
		       struct urext_growth *g)
{
	pthread_mutex_lock(&pool->lock);
	region->growth = g;
	pool->nr_growing++;
	pthread_mutex_unlock(&pool->lock);
}

/* NULL: there is none, or another thread has it. */
static struct urext_growth *get_growth(struct io_uring_ext_pool *pool, int id,
				       struct urext_region **region)
{
	struct urext_growth *g = NULL;

	pthread_mutex_lock(&pool->lock);
	*region = id >= 0 && (unsigned)id < pool->nr_regions ? pool->regions[id] : NULL;
	if (*region && (*region)->growth) {
		g = (*region)->growth;
		(*region)->growth = NULL;
		pool->nr_growing--;
	}
	pthread_mutex_unlock(&pool->lock);
	return g;
}

static int write_eventfd(int eventfd, __u64 n)
{
	return eventfd < 0 || write(eventfd, &n, sizeof(n)) == sizeof(n) ? 0 : -errno;
}

int io_uring_ext_pool_add_start(struct io_uring_ext_pool *pool,
				const struct io_uring_ext_region *p, int eventfd, __u32 flags,
				struct io_uring_ext_error *err)
{
	struct io_uring_ext_error local;
	struct urext_region *region;
	struct urext_growth *g;
	int ret, id;

	if (!err)
		err = &local;
	if (flags)
		return urext_fail(err, -EINVAL, IO_URING_EXT_STAGE_ARGS, 0, "unknown flags");
	ret = urext_region_new(&region, pool, p, err);
	if (ret)
		return ret;
	g = calloc(1, sizeof(*g));
	ret = g ? 0 : urext_fail(err, -ENOMEM, IO_URING_EXT_STAGE_MEMORY, 0, "no memory");
	/* A 0 tells whether it can be written to */
	if (!ret) {
		ret = write_eventfd(eventfd, 0);
		if (ret)
			urext_fail(err, ret, IO_URING_EXT_STAGE_ARGS, 0, "eventfd %d: %s",
				   eventfd, strerror(-ret));
	}
	if (ret)
		urext_region_delete(region);
	else
		ret = urext_region_place(pool, region, err);
	if (ret) {
		free(g);
		return ret;
	}
	id = region->id;
	g->start = urext_now_ns();
	if (!urext_region_pins(pool, region) ||
	    !(pool->caps.flags & IO_URING_EXT_CAP_REQUEST) || submit(g, region, eventfd)) {
		g->err = *err;
		g->ret = urext_region_try(pool, region, &g->tally, &g->err);
		write_eventfd(eventfd, 1);
	}
	set_growth(pool, region, g);
	urext_ok(err);
	return id;
}

/* Longer than that is waited for in parts: the kernel adds it to its clock */
#define HOUR_NS		(3600 * 1000000000ULL)

/* -ETIMEDOUT, or 0 and in *@res what the request came to. */
static int wait_for(struct urext_growth *g, __u64 timeout_ns, int *res)
{
	__u64 now = urext_now_ns(), end, left;
	struct __kernel_timespec ts;
	struct io_uring_cqe *cqe;
	int ret;

	if (__builtin_add_overflow(now, timeout_ns, &end))
		end = IO_URING_EXT_UNLIMITED;
	do {
		now = urext_now_ns();
		left = now < end ? end - now : 0;
		left = left < HOUR_NS ? left : HOUR_NS;
		ts.tv_sec = left / 1000000000;
		ts.tv_nsec = left % 1000000000;
		ret = io_uring_wait_cqe_timeout(&g->ring, &cqe, &ts);
	} while (ret == -EINTR || (ret == -ETIME && left));
	if (ret)
		return ret == -ETIME ? -ETIMEDOUT : ret;
	*res = cqe->res;
	io_uring_cqe_seen(&g->ring, cqe);
	return 0;
}

/* The request has ended: the rest, and the anchor. */
static int complete(struct io_uring_ext_pool *pool, struct urext_region *region,
		    struct urext_growth *g, int res, struct io_uring_ext_error *err)
{
	unsigned done = res > 0 ? res : 0;
	int ret = 0;

	region->register_ns = urext_now_ns() - g->start;
	g->tally.registers += done;
	if (done < region->split.nr)
		ret = urext_region_register(region, target_of(g), 0, &done, &g->tally, err);
	if (!ret)
		ret = urext_region_to_anchor(pool, region, target_of(g), &g->tally, err);
	return ret;
}

int io_uring_ext_pool_add_finish(struct io_uring_ext_pool *pool, int id, __u64 timeout_ns,
				 struct io_uring_ext_error *err)
{
	struct urext_region *region;
	struct urext_growth *g;
	int ret, res = 0;

	urext_ok(err);
	if (!pool)
		return urext_fail(err, -EINVAL, IO_URING_EXT_STAGE_ARGS, 0, "no pool");
	g = get_growth(pool, id, &region);
	if (!g)
		return urext_fail(err, -ENOENT, IO_URING_EXT_STAGE_ARGS, 0,
				  "no region %d was started and is not finished", id);
	if (g->submitted) {
		ret = wait_for(g, timeout_ns, &res);
		if (ret) {
			set_growth(pool, region, g);
			return urext_fail(err, ret, IO_URING_EXT_STAGE_REGISTER, 0,
					  "region %d is not pinned yet: %s", id,
					  strerror(-ret));
		}
		ret = complete(pool, region, g, res, err);
	} else {
		ret = g->ret;
		if (err)
			*err = g->err;
	}
	close_ring(g);
	ret = urext_region_added(pool, region, ret, &g->tally);
	free(g);
	return ret < 0 ? ret : 0;
}

int io_uring_ext_pool_add_cancel(struct io_uring_ext_pool *pool, int id)
{
	struct urext_region *region;
	struct urext_growth *g;
	int res, ret = 0;

	if (!pool)
		return -EINVAL;
	g = get_growth(pool, id, &region);
	if (!g)
		return -ENOENT;
	if (g->submitted) {
		/* Two answers, of both requests: the ring is idle then */
		if (!urext_uapi_cancel(&g->ring))
			wait_for(g, IO_URING_EXT_UNLIMITED, &res);
		wait_for(g, IO_URING_EXT_UNLIMITED, &res);
	} else if (!g->ret && urext_region_pins(pool, region)) {
		ret = urext_clear(urext_target_fd(pool->anchor), region->first,
				  region->split.nr);
	}
	if (ret) {
		set_growth(pool, region, g);
		return ret;
	}
	close_ring(g);
	urext_region_dropped(pool, region);
	free(g);
	return 0;
}
