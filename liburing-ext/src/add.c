/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/* Adding regions to a pool: what is asked for, and registering it.  The books: pool.c. */
#include <stdlib.h>

#include "lib.h"

static int check_region(const struct io_uring_ext_region *region, size_t page_size)
{
	uintptr_t base = (uintptr_t)region->base;
	const __u32 flags = IO_URING_EXT_REGION_READONLY | IO_URING_EXT_REGION_MEMFD;

	if (!base || !region->len || base + region->len < base || !is_pow2(page_size) ||
	    (region->flags & ~flags) || !urext_all_zero(region->resv, sizeof(region->resv)))
		return -EINVAL;
	if (!(region->flags & IO_URING_EXT_REGION_MEMFD) && (region->memfd || region->offset))
		return -EINVAL;
	return 0;
}

/* The file may be needed when the caller has closed it: an fd of its own. */
static int take_memfd(struct io_uring_ext_pool *pool, struct urext_region *region,
		      const struct io_uring_ext_region *p, struct io_uring_ext_error *err)
{
	uintptr_t base = (uintptr_t)p->base;
	int fd;

	if ((base ^ p->offset) & (base_page_size() - 1))
		return urext_fail(err, -EINVAL, IO_URING_EXT_STAGE_ARGS, 0,
				  "%p and offset %llu are not as far into a page", p->base,
				  (unsigned long long)p->offset);
	fd = urext_memfd_open(p->memfd, p->offset, p->len,
			      p->flags & IO_URING_EXT_REGION_READONLY, err);
	if (fd < 0)
		return fd;
	if (!(pool->caps.flags & IO_URING_EXT_CAP_MEMFD) ||
	    (pool->flags & IO_URING_EXT_POOL_PLAIN)) {
		close(fd);
		return 0;
	}
	region->memfd = fd;
	region->file_pos = p->offset - base;
	return 0;
}

int urext_region_new(struct urext_region **regionp, struct io_uring_ext_pool *pool,
		     const struct io_uring_ext_region *p, struct io_uring_ext_error *err)
{
	struct urext_region *region;
	size_t page_size;
	int ret;

	urext_ok(err);
	if (!pool || !p)
		return urext_fail(err, -EINVAL, IO_URING_EXT_STAGE_ARGS, 0, "no pool or region");
	page_size = p->page_size ? p->page_size : SZ_2M;
	if (check_region(p, page_size))
		return urext_fail(err, -EINVAL, IO_URING_EXT_STAGE_ARGS, 0,
				  "region parameters that make no sense");
	region = calloc(1, sizeof(*region));
	if (!region)
		return urext_fail(err, -ENOMEM, IO_URING_EXT_STAGE_MEMORY, 0, "no memory");
	urext_split(&region->split, (uintptr_t)p->base, p->len, page_size, pool->max_buffer);
	region->page_size = p->page_size ? page_size : base_page_size();
	region->tag = p->tag;
	region->flags = p->flags;
	region->memfd = -1;
	ret = p->flags & IO_URING_EXT_REGION_MEMFD ? take_memfd(pool, region, p, err) : 0;
	if (!ret && (p->flags & IO_URING_EXT_REGION_READONLY) &&
	    !(pool->flags & IO_URING_EXT_POOL_PLAIN) &&
	    !(pool->caps.flags & IO_URING_EXT_CAP_READONLY)) {
		region->add_err = urext_fail(err, -EOPNOTSUPP, IO_URING_EXT_STAGE_REGISTER, 0,
					     "this kernel has no read-only registered buffers");
		ret = urext_pool_forgives(pool) ? 0 : region->add_err;
	}
	if (ret) {
		urext_region_delete(region);
		return ret;
	}
	*regionp = region;
	return 0;
}

bool urext_region_pins(const struct io_uring_ext_pool *pool, const struct urext_region *region)
{
	return pool->anchor >= 0 && region->placed && !region->tag;
}

int urext_region_try(struct io_uring_ext_pool *pool, struct urext_region *region,
		     struct urext_tally *tally, struct io_uring_ext_error *err)
{
	if (!region->placed)
		return region->add_err;
	if (pool->flags & IO_URING_EXT_POOL_PLAIN)
		return -EOPNOTSUPP;
	if (pool->anchor_err)
		return urext_fail(err, pool->anchor_err, IO_URING_EXT_STAGE_ANCHOR, 0,
				  "not registered, the pool has no ring: %s",
				  strerror(-pool->anchor_err));
	return urext_region_pins(pool, region) ? urext_region_pin(pool, region, tally, err) : 0;
}

int io_uring_ext_pool_add(struct io_uring_ext_pool *pool,
			  const struct io_uring_ext_region *p,
			  struct io_uring_ext_error *err)
{
	struct urext_tally tally = { .registers = 0 };
	struct urext_region *region;
	int ret;

	ret = urext_region_new(&region, pool, p, err);
	if (ret)
		return ret;
	ret = urext_region_place(pool, region, err);
	if (ret)
		return ret;
	ret = urext_region_try(pool, region, &tally, err);
	return urext_region_added(pool, region, ret, &tally);
}

int io_uring_ext_pool_add_arena(struct io_uring_ext_pool *pool,
				const struct io_uring_ext_arena *arena,
				__u64 tag, struct io_uring_ext_error *err)
{
	struct io_uring_ext_region region = { .tag = tag };

	urext_arena_region(arena, &region);
	return io_uring_ext_pool_add(pool, &region, err);
}
