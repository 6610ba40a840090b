/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Registered buffers for the io_uring of AioContexts
 *
 * A registered buffer is memory that the kernel keeps pinned, so that requests
 * in it need not look its pages up.  There is one table of them for the whole
 * process: guest RAM is registered once, however many disks use it, and is
 * shared with the io_uring of every AioContext that has requests in it.
 *
 * All of this is only there if CONFIG_LIBURING_EXT is set.
 */
#ifndef BLOCK_AIO_REGBUF_H
#define BLOCK_AIO_REGBUF_H

#include "block/aio.h"

struct io_uring_ext_ring;           /* of liburing-ext */

typedef struct AioRegbuf AioRegbuf;

typedef struct {
    uint64_t bytes;     /* registered */
    uint32_t regions;   /* of memory, each counted once */
    uint32_t slots;     /* that they take in the table of a ring */
    uint32_t rings;     /* AioContexts that use them */
} AioRegbufInfo;

/**
 * aio_regbuf_init: Make registered buffers available to this process.
 *
 * May be called any number of times.
 *
 * Returns: true on success, false on failure
 */
bool aio_regbuf_init(Error **errp);

/**
 * aio_regbuf_get: Register memory, or use what is registered already.
 *
 * The memory must stay mapped until the last user has called aio_regbuf_put(),
 * or until aio_regbuf_unmapped(), and must neither be discarded nor mapped anew.
 * It must be registered as a whole: a range may not overlap another one unless
 * it is the same.
 *
 * Returns: a reference, NULL on failure
 */
AioRegbuf *aio_regbuf_get(void *host, size_t size, Error **errp);

/**
 * aio_regbuf_put: Give a reference back.
 *
 * With the last one the memory is unregistered.  The caller may unmap it
 * at once; it is unpinned as soon as all AioContexts have let go of it, which
 * each does by itself, and before its next request with a buffer.
 */
void aio_regbuf_put(AioRegbuf *buf);

/**
 * aio_regbuf_unmapped: Unregister what is about to be unmapped, for everybody.
 *
 * References to it stay valid, but only to be given back.  RAM blocks need not
 * call this.
 */
void aio_regbuf_unmapped(void *host, size_t size);

/** aio_regbuf_matches: Is this what the range is registered as? */
bool aio_regbuf_matches(const AioRegbuf *buf, const void *host, size_t size);

/**
 * aio_regbuf_ring: What to prepare the requests of an AioContext with.
 *
 * Must be called in the thread of @ctx, before each request, which has to be
 * the next that is prepared: the answer is up to date with what is registered,
 * and only until it runs other code.
 *
 * Returns: the ring, or NULL if requests can only be made without registered
 * buffers
 */
struct io_uring_ext_ring *aio_regbuf_ring(AioContext *ctx);

/** aio_regbuf_ring_exit: Let go of all buffers before the ring of @ctx ends. */
void aio_regbuf_ring_exit(AioContext *ctx);

void aio_regbuf_query(AioRegbufInfo *info);

#endif /* BLOCK_AIO_REGBUF_H */
