/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Registered buffers for the io_uring of AioContexts
 *
 * The table of registered memory belongs to the main thread.  A region is in it
 * once and counts its users, since every disk registers the same guest RAM.
 * liburing-ext pins each region once, in a pool; the ring of an AioContext is
 * attached to the pool by the first request that can make use of it, and gets
 * clones of the regions, which pin nothing.
 *
 * What can go wrong is a ring that still has a region which was removed: its
 * memory may be unmapped by now, and something else may be at the same
 * addresses.  A request there would go to the old pages.
 *
 *   main thread                     thread of the AioContext
 *   -----------                     ------------------------
 *   aio_regbuf_put()
 *     the pool is marked changed
 *     qemu_bh_schedule(ring->bh)
 *   munmap(), mmap(): same address
 *   the guest is told of the memory
 *                                   a request in the new memory
 *                                     aio_regbuf_ring()
 *                                       changed: the ring lets go
 *                                     no region there: by address
 *                                   ring_bh(): nothing left to do
 *
 * A request in the new memory cannot be made before that memory is there, and
 * so not before the pool is marked.  The bottom half is for AioContexts that
 * sleep, and would keep the memory pinned until their next request.
 *
 * Not all that is removed has gone: memory may leave the table with requests
 * in it, since a RAM block that was plugged in could not be registered, so that
 * a disk does without.
 * Requests that the kernel has keep their pages.  Those that are prepared and
 * not submitted yet (aio_add_sqe() leaves that to the event loop) name an entry
 * of the ring's table, and would fail with -EFAULT once it is empty; so the
 * ring waits for the event loop, and requests are made without buffers until
 * then.  It does not submit them itself: there are polls beside them, armed
 * again for handlers that have not run yet, which would be woken once too
 * often.  The kick handler of libvhost-user takes that for an error.
 *
 * Those who registered memory need not hear that it goes: a block node is told
 * by its parents, and has others than it had when the memory came.  So whoever
 * unmaps memory says so here, too (RAM blocks do by their notifier), and it is
 * unregistered then.  References that are left count for nothing.
 */
#include "qemu/osdep.h"
#include <liburing-ext.h>
#include "qemu/error-report.h"
#include "qemu/lockable.h"
#include "qemu/main-loop.h"
#include "qemu/queue.h"
#include "qemu/range.h"
#include "qemu/thread.h"
#include "exec/cpu-common.h"
#include "exec/ramlist.h"
#include "qapi/error.h"
#include "block/aio-regbuf.h"
#include "trace.h"

struct AioRegbuf {
    void *host;
    size_t size;
    int id;                         /* in the pool, -1 if it has left that */
    unsigned refcount;
    QLIST_ENTRY(AioRegbuf) next;
};

typedef struct AioRegbufRing {
    AioContext *ctx;
    struct io_uring_ext_ring *ext;  /* NULL if it could not be attached */
    QEMUBH *bh;                     /* syncs an AioContext that sleeps */
    unsigned last_sqe;              /* number of the last one with a buffer */
    QLIST_ENTRY(AioRegbufRing) next;
} AioRegbufRing;

/* Made by the first user, and there until the process ends. */
static struct io_uring_ext_pool *pool;

/* What is in the pool; main thread only */
static QLIST_HEAD(, AioRegbuf) regbufs = QLIST_HEAD_INITIALIZER(regbufs);

/* Protects the list of rings; what is in one belongs to its thread. */
static QemuMutex rings_lock;
static QLIST_HEAD(, AioRegbufRing) rings = QLIST_HEAD_INITIALIZER(rings);

static void __attribute__((constructor)) aio_regbuf_init_lock(void)
{
    qemu_mutex_init(&rings_lock);
}

static void ram_block_removed(RAMBlockNotifier *n, void *host, size_t size,
                              size_t max_size)
{
    aio_regbuf_unmapped(host, max_size);
}

static RAMBlockNotifier ram_notifier = {
    .ram_block_removed = ram_block_removed,
};

bool aio_regbuf_init(Error **errp)
{
    struct io_uring_ext_error err;

    GLOBAL_STATE_CODE();

    if (pool) {
        return true;
    }
    if (io_uring_ext_pool_create(&pool, NULL, &err)) {
        error_setg(errp, "registered buffers are not available: %s", err.text);
        return false;
    }
    ram_block_notifier_add(&ram_notifier);
    return true;
}

AioRegbuf *aio_regbuf_get(void *host, size_t size, Error **errp)
{
    struct io_uring_ext_region region = { .base = host, .len = size };
    struct io_uring_ext_error err;
    AioRegbuf *buf;
    int id;

    GLOBAL_STATE_CODE();
    assert(pool);

    QLIST_FOREACH(buf, &regbufs, next) {
        if (aio_regbuf_matches(buf, host, size)) {
            buf->refcount++;
            return buf;
        }
    }

    id = io_uring_ext_pool_add(pool, &region, &err);
    trace_aio_regbuf_register(host, size, id, err.text);
    if (id < 0) {
        error_setg(errp, "cannot register memory: %s", err.text);
        return NULL;
    }

    buf = g_new(AioRegbuf, 1);
    *buf = (AioRegbuf) {
        .host = host,
        .size = size,
        .id = id,
        .refcount = 1,
    };
    QLIST_INSERT_HEAD(&regbufs, buf, next);
    return buf;
}

/* Out of the pool, and so of the table: nobody gets it any more */
static void regbuf_unregister(AioRegbuf *buf)
{
    AioRegbufRing *ring;
    int ret;

    ret = io_uring_ext_pool_remove(pool, buf->id);
    trace_aio_regbuf_unregister(buf->host, buf->size, buf->id, ret);
    if (ret < 0) {
        /*
         * Nobody may use this address for something else while a ring has it
         * as a registered buffer.  Emptying an entry of our own ring, which
         * this is, does not fail.
         */
        error_report("cannot unregister %zu bytes of memory at %p: %s",
                     buf->size, buf->host, strerror(-ret));
        abort();
    }

    WITH_QEMU_LOCK_GUARD(&rings_lock) {
        QLIST_FOREACH(ring, &rings, next) {
            qemu_bh_schedule(ring->bh);
        }
    }

    QLIST_REMOVE(buf, next);
    buf->id = -1;
}

void aio_regbuf_put(AioRegbuf *buf)
{
    GLOBAL_STATE_CODE();

    if (--buf->refcount) {
        return;
    }
    if (buf->id >= 0) {
        regbuf_unregister(buf);
    }
    g_free(buf);
}

void aio_regbuf_unmapped(void *host, size_t size)
{
    AioRegbuf *buf, *tmp;

    GLOBAL_STATE_CODE();

    QLIST_FOREACH_SAFE(buf, &regbufs, next, tmp) {
        if (ranges_overlap((uintptr_t)buf->host, buf->size,
                           (uintptr_t)host, size)) {
            regbuf_unregister(buf);
        }
    }
}

bool aio_regbuf_matches(const AioRegbuf *buf, const void *host, size_t size)
{
    return buf->id >= 0 && buf->host == host && buf->size == size;
}

/* Is a request with a buffer prepared that the kernel has not seen yet? */
static bool ring_has_prepared(AioRegbufRing *ring)
{
    struct io_uring *uring = &ring->ctx->fdmon_io_uring;
    unsigned ready = io_uring_sq_ready(uring);

    return ring->last_sqe - (uring->sq.sqe_tail - ready) < ready;
}

/* Returns the ring if it is up to date with the pool */
static struct io_uring_ext_ring *ring_sync(AioRegbufRing *ring)
{
    struct io_uring_ext_error err;
    int ret;

    if (ring_has_prepared(ring)) {
        qemu_bh_schedule(ring->bh);
        return NULL;
    }

    ret = io_uring_ext_ring_sync(ring->ext, &err);
    trace_aio_regbuf_sync(ring->ctx, ret, err.text);
    if (ret < 0) {
        warn_report_once("some memory is not registered with io_uring: %s",
                         err.text);
    }
    return io_uring_ext_ring_stale(ring->ext) ? NULL : ring->ext;
}

static void ring_bh(void *opaque)
{
    AioRegbufRing *ring = opaque;

    if (io_uring_ext_ring_stale(ring->ext)) {
        ring_sync(ring);
    }
}

static struct io_uring_ext_ring *ring_attach(AioContext *ctx)
{
    struct io_uring_ext_error err;
    AioRegbufRing *ring = g_new0(AioRegbufRing, 1);
    int ret;

    ret = io_uring_ext_ring_attach(&ring->ext, pool, &ctx->fdmon_io_uring, 0,
                                   &err);
    trace_aio_regbuf_attach(ctx, ret, err.text);
    if (ret < 0) {
        warn_report("registered buffers are not used: %s", err.text);
    }
    ring->ctx = ctx;
    ring->bh = aio_bh_new(ctx, ring_bh, ring);
    ctx->regbuf_ring = ring;

    WITH_QEMU_LOCK_GUARD(&rings_lock) {
        QLIST_INSERT_HEAD(&rings, ring, next);
    }
    /* What was removed before the ring was in the list scheduled nothing */
    return io_uring_ext_ring_stale(ring->ext) ? ring_sync(ring) : ring->ext;
}

struct io_uring_ext_ring *aio_regbuf_ring(AioContext *ctx)
{
    AioRegbufRing *ring = ctx->regbuf_ring;
    struct io_uring_ext_ring *ext;

    if (unlikely(!ring)) {
        ext = ring_attach(ctx);
        ring = ctx->regbuf_ring;
    } else if (unlikely(io_uring_ext_ring_stale(ring->ext))) {
        ext = ring_sync(ring);
    } else {
        ext = ring->ext;
    }

    if (ext) {
        /* The caller prepares the next one */
        ring->last_sqe = ctx->fdmon_io_uring.sq.sqe_tail;
    }
    return ext;
}

void aio_regbuf_ring_exit(AioContext *ctx)
{
    AioRegbufRing *ring = ctx->regbuf_ring;
    int ret;

    if (!ring) {
        return;
    }

    WITH_QEMU_LOCK_GUARD(&rings_lock) {
        QLIST_REMOVE(ring, next);
    }
    qemu_bh_delete(ring->bh);
    ret = io_uring_ext_ring_detach(ring->ext);
    trace_aio_regbuf_detach(ctx, ret);
    g_free(ring);
    ctx->regbuf_ring = NULL;
}

void aio_regbuf_query(AioRegbufInfo *info)
{
    struct io_uring_ext_pool_stats stats;

    io_uring_ext_pool_stats(pool, &stats);
    *info = (AioRegbufInfo) {
        .bytes = stats.registered_bytes,
        .regions = stats.regions,
        .slots = stats.slots,
        .rings = stats.rings,
    };
}
