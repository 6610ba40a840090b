/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * Pinning the memory of a region, without the pool's lock: in a ring's table, or in a
 * ring that exists for this, from which the anchor is then given a clone.
 */
#include <stdio.h>
#include <stdlib.h>

#include "lib.h"

/* Names the piece that failed, and explains what all of the region needs. */
static void explain_register(const struct urext_region *region, unsigned piece, int ret,
			     int undo, struct io_uring_ext_error *err)
{
	const struct urext_split *s = &region->split;
	uintptr_t start = urext_split_start(s, piece);
	unsigned done = err->done, entry = err->entry;
	char text[URING_EXT_REASON_TEXT], size[32];

	urext_explain(ret, s->end - s->base, region->page_size, text, sizeof(text));
	urext_fail(err, ret, IO_URING_EXT_STAGE_REGISTER, entry, "registering %s at %p: %s",
		   urext_size(size, urext_split_end(s, piece) - start), (void *)start, text);
	err->done = done;
	urext_note_undo(err, undo);
}

/*
 * All slots or none: those that were registered before one failed are taken back, and with
 * a tag each of them posts a signal.
 */
int urext_region_register(const struct urext_region *region, struct urext_target t,
			  unsigned off, unsigned *done, struct urext_tally *tally,
			  struct io_uring_ext_error *err)
{
	struct io_uring_ext_update up = {
		.off = off + *done,
		.nr = region->split.nr - *done,
		.flags = IO_URING_EXT_UPDATE_UNDO,
	};
	struct urext_kind kind;
	struct io_uring_ext_error e;
	struct iovec *iov;
	__u64 *tags = NULL, start;
	unsigned i;
	int undo, ret = -ENOMEM;

	iov = urext_split_iovecs(&region->split);
	if (!iov)
		goto nomem;
	if (region->tag) {
		tags = malloc(up.nr * sizeof(*tags));
		if (!tags)
			goto nomem;
		for (i = 0; i < up.nr; i++)
			tags[i] = region->tag;
	}
	up.iovecs = iov + *done;
	up.tags = tags;
	start = urext_now_ns();
	ret = urext_update(t, &up, urext_region_kind(region, &kind), &undo, &e);
	start = urext_now_ns() - start;
	if (ret) {
		*done = e.entry - off;
		tally->failures++;
		explain_register(region, *done, ret, undo, &e);
		if (err)
			*err = e;
	} else {
		tally->register_ns += start;
		tally->registers += up.nr;
	}
	free(tags);
	free(iov);
	return ret;
nomem:
	free(iov);
	return urext_fail(err, ret, IO_URING_EXT_STAGE_MEMORY, 0, "no memory");
}

/* A ring to pin in, with a table of @nr; the spare one if nobody has it. */
static int open_holder(struct io_uring_ext_pool *pool, unsigned nr,
		       struct io_uring_ext_error *err)
{
	int fd = atomic_exchange(&pool->spare, -1), ret;

	if (fd < 0)
		fd = urext_bare_ring();
	if (fd < 0)
		return urext_no_ring(err, fd, IO_URING_EXT_STAGE_ANCHOR,
				     "a ring to pin the memory in could not be made");
	ret = urext_table(urext_target_fd(fd), nr);
	if (!ret)
		return fd;
	close(fd);
	return urext_fail(err, ret, IO_URING_EXT_STAGE_ANCHOR, 0,
			  "a table of %u slots could not be made: %s", nr, strerror(-ret));
}

/* What was cloned stays pinned. */
static void put_holder(struct io_uring_ext_pool *pool, int fd)
{
	int none = -1;

	if (urext_register(urext_target_fd(fd), IORING_UNREGISTER_BUFFERS, NULL, 0) ||
	    !atomic_compare_exchange_strong(&pool->spare, &none, fd))
		close(fd);
}

int urext_region_to_anchor(struct io_uring_ext_pool *pool, const struct urext_region *region,
			   struct urext_target t, struct urext_tally *tally,
			   struct io_uring_ext_error *err)
{
	unsigned nr = region->split.nr;
	int ret;

	ret = urext_clone(urext_target_fd(pool->anchor), t, 0, region->first, nr);
	if (!ret)
		return 0;
	tally->failures++;
	return urext_fail(err, ret, IO_URING_EXT_STAGE_CLONE, region->first,
			  "cloning %u slots into the pool's ring: %s", nr, urext_reason(ret));
}

int urext_region_pin(struct io_uring_ext_pool *pool, struct urext_region *region,
		     struct urext_tally *tally, struct io_uring_ext_error *err)
{
	unsigned done = 0;
	int fd, ret;

	fd = open_holder(pool, region->split.nr, err);
	if (fd < 0)
		return fd;
	ret = urext_region_register(region, urext_target_fd(fd), 0, &done, tally, err);
	if (!ret) {
		region->register_ns = tally->register_ns;
		ret = urext_region_to_anchor(pool, region, urext_target_fd(fd), tally, err);
	}
	put_holder(pool, fd);
	return ret;
}
