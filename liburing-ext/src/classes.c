/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * Size classes: a region cut into slabs side by side, of slices that become larger.  What
 * is asked for comes from the first class that is large enough and has a slice.
 */
#include <stdlib.h>

#include "lib.h"

struct io_uring_ext_classes {
	unsigned nr;
	struct {
		struct io_uring_ext_slab *slab;
		uintptr_t base;		/* of its part of the region */
		size_t slice;
	} of[];
};

static int check_params(const struct io_uring_ext_classes_params *p)
{
	unsigned i;

	if (!p || !p->classes || !p->nr || p->nr > IO_URING_EXT_CLASSES_MAX ||
	    (p->flags & ~IO_URING_EXT_SLAB_DEBUG) || !urext_all_zero(p->resv, sizeof(p->resv)))
		return -EINVAL;
	for (i = 0; i < p->nr; i++)
		if (!p->classes[i].slice ||
		    (i && p->classes[i].slice <= p->classes[i - 1].slice))
			return -EINVAL;
	return 0;
}

/* What each class without a length has.  0: nothing is left for them, or all is too much. */
static __u64 share(const struct io_uring_ext_classes_params *p, __u64 len)
{
	unsigned i, sharers = 0;

	if (p->offset > len)
		return 0;
	len -= p->offset;
	for (i = 0; i < p->nr; i++) {
		if (p->classes[i].len > len)
			return 0;
		len -= p->classes[i].len;
		sharers += !p->classes[i].len;
	}
	return sharers ? len / sharers : 1;
}

static int make_slabs(struct io_uring_ext_classes *c, struct io_uring_ext_pool *pool, int id,
		      const struct io_uring_ext_classes_params *p,
		      const struct io_uring_ext_region_info *info)
{
	struct io_uring_ext_slab_params sp = { .align = p->align, .flags = p->flags,
					       .offset = p->offset };
	__u64 each = share(p, info->len);
	int ret;

	if (!each)
		return -EINVAL;
	for (c->nr = 0; c->nr < p->nr; c->nr++) {
		sp.slice = p->classes[c->nr].slice;
		sp.len = p->classes[c->nr].len ? p->classes[c->nr].len : each;
		ret = io_uring_ext_slab_create_part(&c->of[c->nr].slab, pool, id, &sp);
		if (ret)
			return ret;
		c->of[c->nr].base = (uintptr_t)info->base + sp.offset;
		c->of[c->nr].slice = sp.slice;
		sp.offset += sp.len;
	}
	return 0;
}

static void free_classes(struct io_uring_ext_classes *c)
{
	while (c->nr)
		io_uring_ext_slab_destroy(c->of[--c->nr].slab);
	free(c);
}

int io_uring_ext_classes_create(struct io_uring_ext_classes **classes,
				struct io_uring_ext_pool *pool, int id,
				const struct io_uring_ext_classes_params *p)
{
	struct io_uring_ext_region_info info;
	struct io_uring_ext_classes *c;
	int ret;

	if (classes)
		*classes = NULL;
	if (!classes || !pool || check_params(p))
		return -EINVAL;
	ret = io_uring_ext_pool_region_info(pool, id, &info);
	if (ret)
		return ret;
	c = calloc(1, sizeof(*c) + p->nr * sizeof(c->of[0]));
	if (!c)
		return -ENOMEM;
	ret = make_slabs(c, pool, id, p, &info);
	if (ret) {
		free_classes(c);
		return ret;
	}
	*classes = c;
	return 0;
}

int io_uring_ext_classes_destroy(struct io_uring_ext_classes *c)
{
	unsigned i;

	for (i = 0; c && i < c->nr; i++)
		if (urext_slab_busy(c->of[i].slab))
			return -EBUSY;
	if (c)
		free_classes(c);
	return 0;
}

struct io_uring_ext_slab *io_uring_ext_classes_slab(struct io_uring_ext_classes *c, unsigned i)
{
	return c && i < c->nr ? c->of[i].slab : NULL;
}

/* The first class that is large enough. */
static unsigned class_of(const struct io_uring_ext_classes *c, size_t len)
{
	unsigned i;

	for (i = 0; i < c->nr && c->of[i].slice < len; i++)
		;
	return i;
}

void *io_uring_ext_classes_get(struct io_uring_ext_classes *c, size_t len)
{
	void *p = NULL;
	unsigned i;

	if (!c)
		return NULL;
	for (i = class_of(c, len); !p && i < c->nr; i++)
		p = io_uring_ext_slab_get(c->of[i].slab);
	return p;
}

int io_uring_ext_classes_get_wait(struct io_uring_ext_classes *c, size_t len, void **slice,
				  __u64 timeout_ns)
{
	unsigned i;

	if (slice)
		*slice = NULL;
	if (!c || !slice)
		return -EINVAL;
	i = class_of(c, len);
	if (i == c->nr)
		return -EINVAL;
	*slice = io_uring_ext_classes_get(c, len);
	return *slice ? 0 : io_uring_ext_slab_get_wait(c->of[i].slab, slice, timeout_ns);
}

int io_uring_ext_classes_put(struct io_uring_ext_classes *c, void *ptr)
{
	unsigned i;

	if (!c)
		return -EINVAL;
	for (i = c->nr; i && c->of[i - 1].base > (uintptr_t)ptr; i--)
		;
	return i ? io_uring_ext_slab_put(c->of[i - 1].slab, ptr) : -EINVAL;
}

int io_uring_ext_classes_drain(struct io_uring_ext_classes *c, __u64 timeout_ns)
{
	__u64 start = urext_now_ns(), spent;
	unsigned i;
	int ret, first = 0;

	if (!c)
		return -EINVAL;
	/* All of them are closed, also where there is no time to wait for the next one */
	for (i = 0; i < c->nr; i++) {
		spent = urext_now_ns() - start;
		if (timeout_ns != IO_URING_EXT_UNLIMITED && spent > timeout_ns)
			spent = timeout_ns;
		ret = io_uring_ext_slab_drain(c->of[i].slab,
					      timeout_ns == IO_URING_EXT_UNLIMITED ?
					      timeout_ns : timeout_ns - spent);
		first = first ? first : ret;
	}
	return first;
}
