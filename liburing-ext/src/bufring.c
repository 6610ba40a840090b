/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * Provided-buffer rings over slices: the kernel picks a slice when there is something to
 * receive, and its CQE names it.
 *
 * The kernel's ring is an array of entries {address, length, id}, of which it takes the
 * next; the word in which the first entry has room for more is the tail, up to where we
 * have filled it.  An id is ours to choose: it is the place in slices[], from which the
 * slice is taken when the kernel gives the id back.
 */
#include <stdlib.h>
#include <sys/mman.h>

#include "lib.h"

#define MAX_ENTRIES	32768U

struct io_uring_ext_bufring {
	struct io_uring_ext_ring *r;
	struct io_uring_ext_slab *slab;
	struct io_uring_buf *bufs;	/* shared with the kernel */
	size_t bytes;			/* of that mapping */
	unsigned entries;
	unsigned group;
	__u32 len;			/* of a slice */
	__u16 tail;
	unsigned nr_free;
	__u16 *free;			/* ids that the kernel does not have */
	void **slices;			/* by id; NULL where it is free */
};

static void free_bufring(struct io_uring_ext_bufring *b)
{
	if (b->bufs)
		munmap(b->bufs, b->bytes);
	free(b->free);
	free(b->slices);
	free(b);
}

static struct io_uring_ext_bufring *alloc_bufring(unsigned entries)
{
	struct io_uring_ext_bufring *b = calloc(1, sizeof(*b));
	void *p;

	if (!b)
		return NULL;
	b->entries = entries;
	b->bytes = round_up(entries * sizeof(*b->bufs), base_page_size());
	b->free = malloc(entries * sizeof(*b->free));
	b->slices = calloc(entries, sizeof(*b->slices));
	p = mmap(NULL, b->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	b->bufs = p == MAP_FAILED ? NULL : p;
	if (!b->free || !b->slices || !b->bufs) {
		free_bufring(b);
		return NULL;
	}
	for (b->nr_free = 0; b->nr_free < entries; b->nr_free++)
		b->free[b->nr_free] = entries - 1 - b->nr_free;
	return b;
}

static int register_group(struct io_uring_ext_bufring *b, struct io_uring_ext_error *err)
{
	struct io_uring_buf_reg reg;
	int ret;

	memset(&reg, 0, sizeof(reg));
	reg.ring_addr = (uintptr_t)b->bufs;
	reg.ring_entries = b->entries;
	reg.bgid = b->group;
	ret = urext_register(b->r->target, IORING_REGISTER_PBUF_RING, &reg, 1);
	if (ret >= 0)
		return 0;
	if (ret == -EINVAL)
		return urext_fail(err, -EOPNOTSUPP, IO_URING_EXT_STAGE_REGISTER, 0,
				  "this kernel has no rings of provided buffers (5.19 has)");
	return urext_fail(err, ret, IO_URING_EXT_STAGE_REGISTER, 0, "buffer group %u: %s",
			  b->group, ret == -EEXIST ? "there is one, or the ring belongs to "
			  "another thread (IORING_SETUP_SINGLE_ISSUER)" : strerror(-ret));
}

int io_uring_ext_bufring_create(struct io_uring_ext_bufring **bufring,
				struct io_uring_ext_ring *r, struct io_uring_ext_slab *slab,
				const struct io_uring_ext_bufring_params *p,
				struct io_uring_ext_error *err)
{
	struct io_uring_ext_slab_stats st;
	struct io_uring_ext_bufring *b;
	int ret;

	urext_ok(err);
	if (bufring)
		*bufring = NULL;
	if (!bufring || !r || io_uring_ext_slab_stats(slab, &st) || !p || p->flags ||
	    !is_pow2(p->entries) || p->entries > MAX_ENTRIES || p->group > UINT16_MAX ||
	    st.slice > UINT32_MAX || p->resv32 || !urext_all_zero(p->resv, sizeof(p->resv)))
		return urext_fail(err, -EINVAL, IO_URING_EXT_STAGE_ARGS, 0,
				  "a ring, a slab with slices below 4 GiB, entries a power of two "
				  "up to 32768, a group below 65536");
	b = alloc_bufring(p->entries);
	if (!b)
		return urext_fail(err, -ENOMEM, IO_URING_EXT_STAGE_MEMORY, 0, "no memory");
	b->r = r;
	b->slab = slab;
	b->group = p->group;
	b->len = st.slice;
	ret = register_group(b, err);
	if (ret) {
		free_bufring(b);
		return ret;
	}
	urext_slab_hold(slab);
	io_uring_ext_bufring_fill(b);
	*bufring = b;
	return 0;
}

int io_uring_ext_bufring_destroy(struct io_uring_ext_bufring *b)
{
	struct io_uring_buf_reg reg;
	unsigned i;
	int ret;

	if (!b)
		return 0;
	memset(&reg, 0, sizeof(reg));
	reg.bgid = b->group;
	ret = urext_register(b->r->target, IORING_UNREGISTER_PBUF_RING, &reg, 1);
	if (ret < 0)
		return ret;
	for (i = 0; i < b->entries; i++)
		if (b->slices[i])
			io_uring_ext_slab_put(b->slab, b->slices[i]);
	urext_slab_release(b->slab);
	free_bufring(b);
	return 0;
}

/* There is a free id. */
static void add(struct io_uring_ext_bufring *b, void *slice)
{
	struct io_uring_buf *buf = &b->bufs[b->tail & (b->entries - 1)];
	__u16 id = b->free[--b->nr_free];

	b->slices[id] = slice;
	/* Not the rest: there the tail is */
	buf->addr = (uintptr_t)slice;
	buf->len = b->len;
	buf->bid = id;
	b->tail++;
}

static void publish(struct io_uring_ext_bufring *b)
{
	__atomic_store_n(&b->bufs[0].resv, b->tail, __ATOMIC_RELEASE);
}

unsigned io_uring_ext_bufring_fill(struct io_uring_ext_bufring *b)
{
	void *slice;

	if (!b)
		return 0;
	while (b->nr_free && (slice = io_uring_ext_slab_get(b->slab)))
		add(b, slice);
	publish(b);
	return b->entries - b->nr_free;
}

void *io_uring_ext_bufring_take(struct io_uring_ext_bufring *b, __u32 cqe_flags)
{
	unsigned id = cqe_flags >> IORING_CQE_BUFFER_SHIFT;
	void *slice;

	if (!b || !(cqe_flags & IORING_CQE_F_BUFFER) || id >= b->entries || !b->slices[id])
		return NULL;
	slice = b->slices[id];
	b->slices[id] = NULL;
	b->free[b->nr_free++] = id;
	return slice;
}

int io_uring_ext_bufring_give(struct io_uring_ext_bufring *b, void *ptr)
{
	void *slice = b ? urext_slab_slice(b->slab, ptr) : NULL;

	if (!slice)
		return -EINVAL;
	if (!b->nr_free)
		return io_uring_ext_slab_put(b->slab, slice);
	add(b, slice);
	publish(b);
	return 0;
}
