/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * Attaching a ring to a pool, and leaving it.
 *
 * The ring is known by an fd of the library's own, so that it is the same ring until
 * the end, whatever the caller does with his: a number that was closed may be another
 * ring's the next moment.  Where the caller has no fd, but the index of a registered
 * ring, there is no such copy.
 */
#include <fcntl.h>
#include <stdlib.h>

#include "lib.h"
#include "uapi.h"

static void free_ring(struct io_uring_ext_ring *r)
{
	if (!r->target.registered && r->target.fd >= 0)
		close(r->target.fd);
	free(r->keys);
	free(r->seg_of);
	free(r->waits);
	free(r);
}

/*
 * The caller may count on a table whatever is in the pool.  Regions that were taken over
 * have made one; not before them, since clones copy it each time, and a table of all
 * slots is long.
 */
static int make_table(struct io_uring_ext_ring *r, struct io_uring_ext_error *err)
{
	struct io_uring_ext_pool *pool = r->pool;
	struct io_uring_ext_error e;
	int ret;

	if (r->stats.slots || (pool->flags & IO_URING_EXT_POOL_PLAIN) || pool->anchor_err)
		return 0;
	ret = urext_need_table(r, &e);
	/* A ring that may not make one may be given one by a clone */
	if (!ret || (ret == -EACCES && pool->anchor >= 0))
		return 0;
	if (err && !err->err)
		*err = e;
	return urext_pool_forgives(pool) ? 0 : ret;
}

/* From here on regions that are removed wait for this ring. */
static void join(struct io_uring_ext_ring *r)
{
	struct io_uring_ext_pool *pool = r->pool;

	pthread_mutex_lock(&pool->lock);
	pool->nr_rings++;
	r->joined = atomic_load(&pool->gen);
	pthread_mutex_unlock(&pool->lock);

	pthread_mutex_lock(&pool->rings_lock);
	r->next = pool->rings;
	r->link = &pool->rings;
	if (r->next)
		r->next->link = &r->next;
	pool->rings = r;
	pthread_mutex_unlock(&pool->rings_lock);
}

static int leave(struct io_uring_ext_ring *r, bool forget)
{
	struct io_uring_ext_pool *pool = r->pool;
	int ret;

	pthread_mutex_lock(&pool->rings_lock);
	*r->link = r->next;
	if (r->next)
		r->next->link = r->link;
	pthread_mutex_unlock(&pool->rings_lock);
	ret = urext_leave_pool(r, forget);
	free_ring(r);
	return ret;
}

static int attach(struct io_uring_ext_ring **rp, struct io_uring_ext_pool *pool,
		  struct urext_target t, const struct io_uring_ext_ring_params *p,
		  struct io_uring_ext_error *err)
{
	struct io_uring_ext_ring *r;
	int ret;

	if (p->slot_base > pool->caps.max_buffers ||
	    p->slot_base + pool->nr_slots > pool->caps.max_buffers)
		return urext_fail(err, -EINVAL, IO_URING_EXT_STAGE_ARGS, p->slot_base,
				  "%u slots from %u on are beyond the largest table, %u",
				  pool->nr_slots, p->slot_base, pool->caps.max_buffers);
	r = calloc(1, sizeof(*r));
	if (!r)
		return urext_fail(err, -ENOMEM, IO_URING_EXT_STAGE_MEMORY, 0, "no memory");
	r->pool = pool;
	r->target = t;
	if (!t.registered)
		r->target.fd = fcntl(t.fd, F_DUPFD_CLOEXEC, 0);
	if (r->target.fd < 0) {
		ret = t.registered ? -EBADF : -errno;
		free(r);
		return urext_fail(err, ret, IO_URING_EXT_STAGE_ARGS, 0,
				  "an fd of its own for the ring, %d: %s", t.fd,
				  strerror(-ret));
	}
	r->slot_base = p->slot_base;
	r->wake_fd = p->flags & IO_URING_EXT_RING_WAKE_EVENTFD ? p->wake_fd : -1;
	r->wake_msg = p->flags & IO_URING_EXT_RING_WAKE_MSG;
	r->wake_data = p->wake_data;
	urext_flight_init(r);
	join(r);
	ret = urext_sync(r, err);
	if (ret >= 0)
		ret = make_table(r, err);
	if (ret < 0) {
		leave(r, false);
		return ret;
	}
	*rp = r;
	return 0;
}

static int check_params(const struct io_uring_ext_ring_params *p)
{
	const __u32 wake = IO_URING_EXT_RING_WAKE_MSG | IO_URING_EXT_RING_WAKE_EVENTFD;

	if ((p->flags & ~(wake | IO_URING_EXT_RING_REGISTERED)) ||
	    (p->flags & wake) == wake ||
	    (p->flags & IO_URING_EXT_RING_WAKE_MSG &&
	     p->flags & IO_URING_EXT_RING_REGISTERED) || p->resv32 ||
	    !urext_all_zero(p->resv, sizeof(p->resv)))
		return -EINVAL;
	return 0;
}

int io_uring_ext_ring_attach_fd(struct io_uring_ext_ring **r, struct io_uring_ext_pool *pool,
				int fd, const struct io_uring_ext_ring_params *p,
				struct io_uring_ext_error *err)
{
	static const struct io_uring_ext_ring_params defaults;
	struct urext_target t = { .fd = fd };

	urext_ok(err);
	if (r)
		*r = NULL;
	if (!p)
		p = &defaults;
	if (!r || !pool || fd < 0)
		return urext_fail(err, -EINVAL, IO_URING_EXT_STAGE_ARGS, 0,
				  "no pool, no ring, or nowhere to put what is attached");
	if (check_params(p))
		return urext_fail(err, -EINVAL, IO_URING_EXT_STAGE_ARGS, 0,
				  "unknown flags, two ways to be woken, or reserved fields that "
				  "are not 0");
	if ((p->flags & IO_URING_EXT_RING_WAKE_MSG) &&
	    !(pool->caps.flags & IO_URING_EXT_CAP_MSG))
		return urext_fail(err, -EOPNOTSUPP, IO_URING_EXT_STAGE_ARGS, 0,
				  "this kernel cannot send a message without a ring (6.13 can): "
				  "use an eventfd");
	t.registered = p->flags & IO_URING_EXT_RING_REGISTERED;
	return attach(r, pool, t, p, err);
}

int io_uring_ext_ring_attach(struct io_uring_ext_ring **r, struct io_uring_ext_pool *pool,
			     struct io_uring *ring, unsigned slot_base,
			     struct io_uring_ext_error *err)
{
	struct io_uring_ext_ring_params p = { .slot_base = slot_base };
	struct urext_target t = { .fd = -1 };

	if (ring)
		t = urext_target_ring(ring);
	if (t.registered)
		p.flags = IO_URING_EXT_RING_REGISTERED;
	return io_uring_ext_ring_attach_fd(r, pool, t.fd, &p, err);
}

int io_uring_ext_ring_detach(struct io_uring_ext_ring *r)
{
	return r ? leave(r, false) : 0;
}

void io_uring_ext_ring_forget(struct io_uring_ext_ring *r)
{
	if (r)
		leave(r, true);
}

int io_uring_ext_ring_stale(const struct io_uring_ext_ring *r)
{
	return r && (r->retry || atomic_load(&r->pool->gen) != r->gen);
}

int io_uring_ext_ring_sync(struct io_uring_ext_ring *r, struct io_uring_ext_error *err)
{
	urext_ok(err);
	if (!r)
		return urext_fail(err, -EINVAL, IO_URING_EXT_STAGE_ARGS, 0, "no ring");
	return io_uring_ext_ring_stale(r) ? urext_sync(r, err) : 0;
}

/* Errors are of no use: a ring that is full or gone is awake, or needs no waking. */
void urext_ring_wake(const struct io_uring_ext_ring *r)
{
	struct io_uring_sqe sqe;
	__u64 one = 1;

	if (r->wake_fd >= 0 && write(r->wake_fd, &one, sizeof(one)) < 0)
		return;
	if (!r->wake_msg)
		return;
	memset(&sqe, 0, sizeof(sqe));
	sqe.opcode = URING_EXT_OP_MSG_RING;
	sqe.fd = r->target.fd;
	sqe.off = r->wake_data;
	urext_register(urext_target_fd(-1), URING_EXT_REGISTER_SEND_MSG_RING, &sqe, 1);
}

int io_uring_ext_ring_stats(const struct io_uring_ext_ring *r,
			    struct io_uring_ext_ring_stats *stats)
{
	const struct urext_seg *seg;

	if (stats)
		memset(stats, 0, sizeof(*stats));
	if (!r || !stats)
		return -EINVAL;
	*stats = r->stats;
	stats->plain = stats->plain_unregistered + stats->plain_outside +
		       stats->plain_straddle + stats->plain_unable;
	for (seg = r->leaving; seg; seg = seg->next)
		stats->leaving++;
	return 0;
}

const struct io_uring_ext_caps *io_uring_ext_ring_caps(struct io_uring_ext_ring *r)
{
	if (!r)
		return NULL;
	if (!r->has_caps) {
		r->caps = r->pool->caps;
		r->caps.flags &= ~URING_EXT_CAPS_OF_RING;
		urext_query_ring(r->target, &r->caps);
		r->has_caps = true;
	}
	return &r->caps;
}
