// SPDX-License-Identifier: GPL-2.0-only
/*
 * reg_op=readonly: slots of memory that is only readable, as sources.  How a kernel is asked
 * for that is not settled upstream, so it is liburing-ext that asks: each slot is a region of
 * a pool of its.  What is timed of registering is what the pool says its system call took.
 */
#include <stdlib.h>
#include <sys/mman.h>

#include "fio.h"

#include "regbuf.h"

static int explain(const char *what, int ret, const struct io_uring_ext_error *err)
{
	regbuf_say("%s: %s", what, err && err->text[0] ? err->text : strerror(-ret));
	return -ret;
}

int regbuf_readonly_prepare(struct regbuf *rb)
{
	struct io_uring_ext_pool_params p = { .nr_slots = rb->slots.nr };
	struct regbuf_slots *s = &rb->slots;
	struct io_uring_ext_error err;
	int ret;

	s->region = calloc(s->nr, sizeof(*s->region));
	if (!s->region)
		return ENOMEM;
	ret = io_uring_ext_pool_create(&s->pool, &p, &err);
	if (ret)
		return explain("making a pool", ret, &err);
	if (!(io_uring_ext_pool_caps(s->pool)->flags & IO_URING_EXT_CAP_READONLY)) {
		regbuf_say("reg_op=readonly: this kernel has no read-only buffers");
		return EOPNOTSUPP;
	}
	/* From here on nothing else can be done with it */
	if (mprotect(rb->arena->base, rb->arena->size, PROT_READ))
		return explain("reg_op=readonly", -errno, NULL);
	return 0;
}

int regbuf_readonly_register(struct regbuf *rb, unsigned int slot)
{
	struct regbuf_slots *s = &rb->slots;
	struct io_uring_ext_region region = {
		.base = s->iovecs[slot].iov_base,
		.len = s->iovecs[slot].iov_len,
		.page_size = rb->arena->info.page_size,
		.flags = IO_URING_EXT_REGION_READONLY,
	};
	struct io_uring_ext_region_info info;
	struct io_uring_ext_error err;
	uint64_t end;
	int id;

	regbuf_begin(rb);
	id = io_uring_ext_pool_add(s->pool, &region, &err);
	end = regbuf_now();
	if (id < 0)
		return explain("adding to the pool", id, &err);
	if (io_uring_ext_pool_region_info(s->pool, id, &info))
		return EINVAL;
	regbuf_count(rb, s->present_before[slot] ? REGBUF_REGISTER : REGBUF_FIRST,
		     end - info.register_ns, end, 1, region.len);
	s->region[slot] = id;
	s->present[slot] = true;
	s->present_before[slot] = true;
	return 0;
}

int regbuf_readonly_unregister(struct regbuf *rb, unsigned int slot)
{
	struct regbuf_slots *s = &rb->slots;
	uint64_t start = regbuf_begin(rb);
	int ret;

	ret = io_uring_ext_pool_remove(s->pool, s->region[slot]);
	if (ret < 0)
		return explain("removing from the pool", ret, NULL);
	regbuf_count(rb, REGBUF_UNREGISTER, start, regbuf_now(), 1, regbuf_slot_bytes(rb, slot));
	s->present[slot] = false;
	return 0;
}

void regbuf_readonly_release(struct regbuf *rb)
{
	struct regbuf_slots *s = &rb->slots;
	unsigned int i;

	if (!s->pool)
		return;
	for (i = 0; i < s->nr; i++)
		if (s->present[i])
			regbuf_readonly_unregister(rb, i);
	io_uring_ext_pool_destroy(s->pool);
	s->pool = NULL;
}
