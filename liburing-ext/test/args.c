/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * Every call with NULL for each of its objects, and with arguments that make no sense:
 * an error or nothing, and never what was in the caller's variables before.
 */
#include "helpers.h"

static struct io_uring_ext_error err;

/* What was there before. */
#define OLD(p)		memset(&(p), 0xee, sizeof(p))

#define CHECK_ZERO(x)	do {						\
	static const __typeof__(x) zero;				\
	CHECK(!memcmp(&(x), &zero, sizeof(x)));				\
} while (0)

static void no_memory_of_the_past(void)
{
	struct io_uring_ext_arena_params ap = { .size = 0 };
	struct io_uring_ext_pool_params pp = { .flags = 1U << 31 };
	struct io_uring_ext_arena_info ai;
	struct io_uring_ext_region_info ri;
	struct io_uring_ext_pool_stats ps;
	struct io_uring_ext_ring_stats rs;
	struct io_uring_ext_slab_stats ss;
	struct io_uring_ext_memlock m;
	struct io_uring_ext_layout l;
	struct io_uring_ext_arena *a;
	struct io_uring_ext_pool *p;
	struct io_uring_ext_ring *r;
	struct io_uring_ext_slab *s;
	struct io_uring_ext_slab_cache *c;
	struct io_uring_ext_classes *cl;
	struct io_uring_ext_bufring *b;
	struct io_uring_ext_direct d;
	struct io_uring_ext_desc desc;
	char text[8] = "old";
	unsigned slot = 7;
	int straddles = 7;
	void *slice;
	size_t fit = 7;

	OLD(a), OLD(p), OLD(r), OLD(s), OLD(c), OLD(cl), OLD(b), OLD(slice), OLD(d);
	OLD(ai), OLD(ri), OLD(ps), OLD(rs), OLD(ss), OLD(m), OLD(l), OLD(err);
	CHECK_EQ(io_uring_ext_arena_alloc(&a, &ap, &err), -EINVAL);
	CHECK(!a && err.err == -EINVAL && err.text[0]);
	OLD(err);
	CHECK_EQ(io_uring_ext_pool_create(&p, &pp, &err), -EINVAL);
	CHECK(!p && err.err == -EINVAL && err.text[0]);
	OLD(err);
	CHECK_EQ(io_uring_ext_ring_attach(&r, NULL, NULL, 0, &err), -EINVAL);
	CHECK(!r && err.err == -EINVAL && err.text[0]);
	CHECK_EQ(io_uring_ext_slab_create(&s, NULL, 0, 1, 0), -EINVAL);
	CHECK(!s);
	OLD(s);
	CHECK_EQ(io_uring_ext_slab_create_mem(&s, NULL, 1, 1, 0, 0), -EINVAL);
	CHECK(!s);
	OLD(s);
	CHECK_EQ(io_uring_ext_slab_create_part(&s, NULL, 0, NULL), -EINVAL);
	CHECK(!s);
	CHECK_EQ(io_uring_ext_slab_cache_create(&c, NULL, 0), -EINVAL);
	CHECK(!c);
	CHECK_EQ(io_uring_ext_slab_get_wait(NULL, &slice, 0), -EINVAL);
	CHECK(!slice);
	CHECK_EQ(io_uring_ext_classes_create(&cl, NULL, 0, NULL), -EINVAL);
	CHECK(!cl);
	OLD(slice);
	CHECK_EQ(io_uring_ext_classes_get_wait(NULL, 1, &slice, 0), -EINVAL);
	CHECK(!slice);
	OLD(err);
	CHECK_EQ(io_uring_ext_bufring_create(&b, NULL, NULL, NULL, &err), -EINVAL);
	CHECK(!b && err.err == -EINVAL && err.text[0]);
	CHECK(io_uring_ext_direct_query(-1, &d) < 0);
	CHECK_ZERO(d);
	CHECK_EQ(io_uring_ext_arena_info(NULL, &ai), -EINVAL);
	CHECK_ZERO(ai);
	CHECK_EQ(io_uring_ext_pool_region_info(NULL, 0, &ri), -EINVAL);
	CHECK_ZERO(ri);
	CHECK_EQ(io_uring_ext_pool_stats(NULL, &ps), -EINVAL);
	CHECK_ZERO(ps);
	CHECK_EQ(io_uring_ext_ring_stats(NULL, &rs), -EINVAL);
	CHECK_ZERO(rs);
	CHECK_EQ(io_uring_ext_slab_stats(NULL, &ss), -EINVAL);
	CHECK_ZERO(ss);
	CHECK_EQ(io_uring_ext_memlock_check(0, 0, 1, 0, &m), -EINVAL);
	CHECK_ZERO(m);
	CHECK_EQ(io_uring_ext_memlock_describe(NULL, text, sizeof(text)), -EINVAL);
	CHECK(!text[0]);
	CHECK_EQ(io_uring_ext_layout(NULL, 0, NULL, 0, &l), -EINVAL);
	CHECK_ZERO(l);
	OLD(l);
	CHECK_EQ(io_uring_ext_layout_estimate(0, NULL, 0, &l, NULL, 0), -EINVAL);
	CHECK_ZERO(l);
	CHECK_EQ(io_uring_ext_pool_lookup(NULL, NULL, 1, &slot, &straddles), -EINVAL);
	CHECK(!slot && !straddles);
	CHECK_EQ(io_uring_ext_ring_index(NULL, NULL, 1, &fit), -EINVAL);
	CHECK_EQ(fit, 0);
	OLD(err);
	CHECK_EQ(io_uring_ext_update_buffers(NULL, NULL, &err), -EINVAL);
	CHECK_EQ(err.err, -EINVAL);
	OLD(err), OLD(desc);
	CHECK_EQ(io_uring_ext_desc_memory(&desc, NULL, text, 1, 0, &err), -EINVAL);
	CHECK_ZERO(desc);
	CHECK_EQ(err.err, -EINVAL);
	OLD(err), OLD(desc);
	CHECK_EQ(io_uring_ext_desc_memfd(&desc, NULL, 0, 0, 1, NULL, 0, &err), -EINVAL);
	CHECK_ZERO(desc);
	CHECK_EQ(err.err, -EINVAL);
	OLD(err);
	CHECK_EQ(io_uring_ext_update_descs(NULL, 0, &desc, NULL, 1, 0, &err), -EINVAL);
	CHECK_EQ(err.err, -EINVAL);
	OLD(err);
	CHECK_EQ(io_uring_ext_prefault(NULL, 0, 0, 0, NULL, NULL, &err), -EINVAL);
	CHECK_EQ(err.err, -EINVAL);
}

static void nowhere_to_put_it(void)
{
	CHECK_EQ(io_uring_ext_query(NULL, NULL), -EINVAL);
	CHECK_EQ(io_uring_ext_memlock_check(1, 0, 1, 0, NULL), -EINVAL);
	CHECK_EQ(io_uring_ext_arena_alloc(NULL, NULL, NULL), -EINVAL);
	CHECK_EQ(io_uring_ext_arena_info(NULL, NULL), -EINVAL);
	CHECK_EQ(io_uring_ext_pool_create(NULL, NULL, NULL), -EINVAL);
	CHECK_EQ(io_uring_ext_pool_add(NULL, NULL, NULL), -EINVAL);
	CHECK_EQ(io_uring_ext_pool_add_arena(NULL, NULL, 0, NULL), -EINVAL);
	CHECK_EQ(io_uring_ext_pool_remove(NULL, 0), -EINVAL);
	CHECK_EQ(io_uring_ext_pool_wait_gone(NULL, 0, 0), -EINVAL);
	CHECK_EQ(io_uring_ext_pool_region_info(NULL, 0, NULL), -EINVAL);
	CHECK_EQ(io_uring_ext_pool_lookup(NULL, NULL, 1, NULL, NULL), -EINVAL);
	CHECK_EQ(io_uring_ext_pool_stats(NULL, NULL), -EINVAL);
	CHECK_EQ(io_uring_ext_ring_attach(NULL, NULL, NULL, 0, NULL), -EINVAL);
	CHECK_EQ(io_uring_ext_ring_attach_fd(NULL, NULL, 0, NULL, NULL), -EINVAL);
	CHECK_EQ(io_uring_ext_ring_sync(NULL, NULL), -EINVAL);
	CHECK_EQ(io_uring_ext_ring_done(NULL, 5), -EINVAL);
	CHECK_EQ(io_uring_ext_ring_idle(NULL), -EINVAL);
	CHECK_EQ(io_uring_ext_ring_stats(NULL, NULL), -EINVAL);
	CHECK_EQ(io_uring_ext_ring_index(NULL, NULL, 1, NULL), -EINVAL);
	CHECK_EQ(io_uring_ext_slab_create(NULL, NULL, 0, 1, 0), -EINVAL);
	CHECK_EQ(io_uring_ext_slab_create_part(NULL, NULL, 0, NULL), -EINVAL);
	CHECK_EQ(io_uring_ext_slab_create_mem(NULL, NULL, 1, 1, 0, 0), -EINVAL);
	CHECK_EQ(io_uring_ext_slab_get_wait(NULL, NULL, 0), -EINVAL);
	CHECK_EQ(io_uring_ext_slab_put(NULL, NULL), -EINVAL);
	CHECK_EQ(io_uring_ext_slab_drain(NULL, 0), -EINVAL);
	CHECK_EQ(io_uring_ext_slab_stats(NULL, NULL), -EINVAL);
	CHECK_EQ(io_uring_ext_slab_cache_create(NULL, NULL, 0), -EINVAL);
	CHECK_EQ(io_uring_ext_slab_cache_put(NULL, NULL), -EINVAL);
	CHECK_EQ(io_uring_ext_classes_create(NULL, NULL, 0, NULL), -EINVAL);
	CHECK_EQ(io_uring_ext_classes_get_wait(NULL, 1, NULL, 0), -EINVAL);
	CHECK_EQ(io_uring_ext_classes_put(NULL, NULL), -EINVAL);
	CHECK_EQ(io_uring_ext_classes_drain(NULL, 0), -EINVAL);
	CHECK_EQ(io_uring_ext_bufring_create(NULL, NULL, NULL, NULL, NULL), -EINVAL);
	CHECK_EQ(io_uring_ext_direct_query(0, NULL), -EINVAL);
	CHECK_EQ(io_uring_ext_layout(NULL, 0, NULL, 0, NULL), -EINVAL);
	CHECK_EQ(io_uring_ext_layout_estimate(0, NULL, 0, NULL, NULL, 0), -EINVAL);
	CHECK_EQ(io_uring_ext_update_buffers(NULL, NULL, NULL), -EINVAL);
	CHECK_EQ(io_uring_ext_desc_memory(NULL, NULL, NULL, 1, 0, NULL), -EINVAL);
	CHECK_EQ(io_uring_ext_desc_memfd(NULL, NULL, 0, 0, 1, NULL, 0, NULL), -EINVAL);
	CHECK_EQ(io_uring_ext_update_descs(NULL, 0, NULL, NULL, 1, 0, NULL), -EINVAL);
	CHECK_EQ(io_uring_ext_prep_update(NULL, NULL, 0, NULL, NULL, 1, 0), -EINVAL);
}

/* All is there but one. */
static void one_at_a_time(void)
{
	static char mem[65536] __attribute__((aligned(4096)));
	static const struct io_uring_ext_class class = { .slice = 512 };
	struct io_uring_ext_classes_params cp = { .classes = &class, .nr = 1, .offset = 32768 };
	struct io_uring_ext_pool_params pp = { .flags = IO_URING_EXT_POOL_PLAIN };
	struct io_uring_ext_arena_params ap = { .size = 4096, .mem = IO_URING_EXT_MEM_BASE };
	struct io_uring_ext_region region = { .base = mem, .len = sizeof(mem) };
	struct io_uring_ext_slab_params sp = { .slice = 512, .len = 4096 };
	struct iovec iov = { mem, 4096 };
	struct io_uring_ext_update up = { .nr = 1, .iovecs = &iov };
	struct io_uring_ext_slab_cache *c;
	struct io_uring_ext_classes *cl;
	struct io_uring_ext_arena *a;
	struct io_uring_ext_pool *p;
	struct io_uring_ext_ring *r;
	struct io_uring_ext_slab *s;
	struct io_uring ring;
	void *slice;

	t_ring(&ring, 4, 0);
	CHECK_EQ(io_uring_ext_query(&ring, NULL), -EINVAL);
	CHECK_EQ(io_uring_ext_arena_alloc(&a, NULL, &err), -EINVAL);
	CHECK_EQ(io_uring_ext_arena_alloc(NULL, &ap, &err), -EINVAL);
	CHECK_OK(io_uring_ext_arena_alloc(&a, &ap, &err), err);
	CHECK_EQ(io_uring_ext_arena_info(a, NULL), -EINVAL);
	CHECK_EQ(io_uring_ext_pool_create(NULL, &pp, &err), -EINVAL);
	CHECK_OK(io_uring_ext_pool_create(&p, &pp, &err), err);
	CHECK_EQ(io_uring_ext_pool_add(p, NULL, &err), -EINVAL);
	CHECK_EQ(io_uring_ext_pool_add(NULL, &region, &err), -EINVAL);
	CHECK_EQ(io_uring_ext_pool_add_arena(p, NULL, 0, &err), -EINVAL);
	CHECK_EQ(io_uring_ext_pool_add_arena(NULL, a, 0, &err), -EINVAL);
	CHECK_EQ(io_uring_ext_pool_add(p, &region, NULL), 0);
	CHECK_EQ(io_uring_ext_pool_region_info(p, 0, NULL), -EINVAL);
	CHECK_EQ(io_uring_ext_pool_stats(p, NULL), -EINVAL);
	CHECK_EQ(io_uring_ext_pool_lookup(p, mem, 1, NULL, NULL), 0);
	CHECK_EQ(io_uring_ext_ring_attach(NULL, p, &ring, 0, &err), -EINVAL);
	CHECK_EQ(io_uring_ext_ring_attach(&r, NULL, &ring, 0, &err), -EINVAL);
	CHECK_EQ(io_uring_ext_ring_attach(&r, p, NULL, 0, &err), -EINVAL);
	CHECK_EQ(io_uring_ext_ring_attach_fd(NULL, p, ring.ring_fd, NULL, &err), -EINVAL);
	CHECK_EQ(io_uring_ext_ring_attach_fd(&r, NULL, ring.ring_fd, NULL, &err), -EINVAL);
	CHECK_OK(io_uring_ext_ring_attach(&r, p, &ring, 0, &err), err);
	CHECK_EQ(io_uring_ext_ring_stats(r, NULL), -EINVAL);
	CHECK_EQ(io_uring_ext_ring_index(r, mem, 1, NULL), -ENOENT);
	CHECK_EQ(io_uring_ext_slab_create(NULL, p, 0, 512, 0), -EINVAL);
	CHECK_EQ(io_uring_ext_slab_create(&s, NULL, 0, 512, 0), -EINVAL);
	CHECK_EQ(io_uring_ext_slab_create_part(NULL, p, 0, &sp), -EINVAL);
	CHECK_EQ(io_uring_ext_slab_create_part(&s, NULL, 0, &sp), -EINVAL);
	CHECK_EQ(io_uring_ext_slab_create_part(&s, p, 0, NULL), -EINVAL);
	CHECK_EQ(io_uring_ext_slab_create_mem(NULL, mem, 4096, 512, 0, 0), -EINVAL);
	CHECK_EQ(io_uring_ext_slab_create_mem(&s, NULL, 4096, 512, 0, 0), -EINVAL);
	CHECK_EQ(io_uring_ext_slab_create_part(&s, p, 0, &sp), 0);
	CHECK_EQ(io_uring_ext_slab_get_wait(s, NULL, 0), -EINVAL);
	CHECK_EQ(io_uring_ext_slab_get_wait(NULL, &slice, 0), -EINVAL);
	CHECK_EQ(io_uring_ext_slab_put(s, NULL), -EINVAL);
	CHECK_EQ(io_uring_ext_slab_put(NULL, mem), -EINVAL);
	CHECK_EQ(io_uring_ext_slab_stats(s, NULL), -EINVAL);
	CHECK_EQ(io_uring_ext_slab_cache_create(NULL, s, 0), -EINVAL);
	CHECK_EQ(io_uring_ext_slab_cache_create(&c, NULL, 0), -EINVAL);
	CHECK_EQ(io_uring_ext_slab_cache_create(&c, s, 0), 0);
	CHECK_EQ(io_uring_ext_slab_cache_put(c, NULL), -EINVAL);
	CHECK_EQ(io_uring_ext_slab_cache_put(NULL, mem), -EINVAL);
	io_uring_ext_slab_cache_destroy(c);
	CHECK_EQ(io_uring_ext_slab_destroy(s), 0);
	CHECK_EQ(io_uring_ext_classes_create(NULL, p, 0, &cp), -EINVAL);
	CHECK_EQ(io_uring_ext_classes_create(&cl, NULL, 0, &cp), -EINVAL);
	CHECK_EQ(io_uring_ext_classes_create(&cl, p, 0, NULL), -EINVAL);
	CHECK_EQ(io_uring_ext_classes_create(&cl, p, 0, &cp), 0);
	CHECK_EQ(io_uring_ext_classes_get_wait(cl, 1, NULL, 0), -EINVAL);
	CHECK_EQ(io_uring_ext_classes_get_wait(NULL, 1, &slice, 0), -EINVAL);
	CHECK_EQ(io_uring_ext_classes_put(cl, NULL), -EINVAL);
	CHECK_EQ(io_uring_ext_classes_put(NULL, mem), -EINVAL);
	CHECK_EQ(io_uring_ext_classes_destroy(cl), 0);
	CHECK_EQ(io_uring_ext_layout(&ring, 0, mem, 1, NULL), -EINVAL);
	CHECK_EQ(io_uring_ext_layout_estimate(0, mem, 1, NULL, NULL, 0), -EINVAL);
	CHECK_EQ(io_uring_ext_update_buffers(NULL, &up, &err), -EINVAL);
	CHECK_EQ(io_uring_ext_update_buffers(&ring, NULL, &err), -EINVAL);
	CHECK_EQ(io_uring_ext_ring_detach(r), 0);
	CHECK_EQ(io_uring_ext_pool_destroy(p), 0);
	io_uring_ext_arena_free(a);
	io_uring_queue_exit(&ring);
}

/* Nothing happens, or there is nothing. */
static void nobody(void)
{
	struct iovec iov = { &err, 8 };
	struct io_uring_sqe sqe;

	io_uring_ext_arena_free(NULL);
	CHECK(!io_uring_ext_arena_base(NULL) && !io_uring_ext_arena_size(NULL));
	CHECK_EQ(io_uring_ext_pool_destroy(NULL), 0);
	CHECK(!io_uring_ext_pool_caps(NULL) && !io_uring_ext_ring_caps(NULL));
	CHECK_EQ(io_uring_ext_ring_detach(NULL), 0);
	io_uring_ext_ring_forget(NULL);
	CHECK_EQ(io_uring_ext_ring_stale(NULL), 0);
	CHECK_EQ(io_uring_ext_ring_signal(NULL, 1), -ENOENT);
	CHECK_EQ(io_uring_ext_ring_ticket(NULL), 0);
	CHECK_EQ(io_uring_ext_ring_done(NULL, 0), 0);
	CHECK_EQ(io_uring_ext_slab_destroy(NULL), 0);
	CHECK(!io_uring_ext_slab_get(NULL) && !io_uring_ext_slab_cache_get(NULL));
	io_uring_ext_slab_cache_destroy(NULL);
	CHECK_EQ(io_uring_ext_classes_destroy(NULL), 0);
	CHECK(!io_uring_ext_classes_get(NULL, 1) && !io_uring_ext_classes_slab(NULL, 0));
	CHECK_EQ(io_uring_ext_direct_fits(NULL, NULL, 0, 0), 0);
	CHECK(io_uring_ext_stage_name(1000)[0]);

	/* Requests without a ring are plain */
	memset(&sqe, 0xee, sizeof(sqe));
	CHECK_EQ(io_uring_ext_prep_read(NULL, &sqe, 3, &err, 8, 0), 0);
	CHECK(sqe.opcode == IORING_OP_READ && sqe.addr == (uintptr_t)&err && sqe.len == 8);
	CHECK_EQ(io_uring_ext_prep_write(NULL, &sqe, 3, &err, 8, 0), 0);
	CHECK_EQ(sqe.opcode, IORING_OP_WRITE);
	CHECK_EQ(io_uring_ext_prep_readv(NULL, &sqe, 3, &iov, 1, 0, 0), 0);
	CHECK_EQ(sqe.opcode, IORING_OP_READV);
	CHECK_EQ(io_uring_ext_prep_writev(NULL, &sqe, 3, &iov, 1, 0, 0), 0);
	CHECK_EQ(sqe.opcode, IORING_OP_WRITEV);
	CHECK_EQ(io_uring_ext_prep_send_zc(NULL, &sqe, 3, &err, 8, 0, 0), 0);
	CHECK(!sqe.ioprio && !sqe.buf_index);
}

int main(void)
{
	no_memory_of_the_past();
	nowhere_to_put_it();
	one_at_a_time();
	nobody();
	return 0;
}
