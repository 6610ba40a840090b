/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * Requests prepared with a region that was looked up before: whatever the region is by then,
 * and wherever the memory lies, the same as by address.
 */
#include "helpers.h"

#define TAG	5
#define LEN	(256 * KiB)
#define SLOT	(64 * KiB)

static struct io_uring_ext_error err;
static struct io_uring_ext_pool *pool;
static struct io_uring ring;
static struct io_uring_ext_ring *r;
static char *mem;
static bool others;		/* there are more requests, with the same tickets */

/* Stats may tell that both were prepared, in the same way. */
static void differ_by_two(const struct io_uring_ext_ring_stats *a,
			  const struct io_uring_ext_ring_stats *b)
{
	CHECK_EQ((b->fixed - a->fixed) % 2, 0);
	CHECK_EQ((b->plain_unregistered - a->plain_unregistered) % 2, 0);
	CHECK_EQ((b->plain_outside - a->plain_outside) % 2, 0);
	CHECK_EQ((b->plain_straddle - a->plain_straddle) % 2, 0);
	CHECK_EQ((b->plain_unable - a->plain_unable) % 2, 0);
	CHECK_EQ(b->fixed + b->plain - a->fixed - a->plain, 2);
}

/* 1 if it was fixed. */
static int same(int id, char *p, unsigned len, bool write)
{
	struct io_uring_ext_ring_stats before, after;
	struct io_uring_sqe a, b;
	__u64 ticket_a, ticket_b;
	int fixed;

	memset(&a, 0xee, sizeof(a));
	b = a;
	CHECK_EQ(io_uring_ext_ring_stats(r, &before), 0);
	fixed = write ? io_uring_ext_prep_write(r, &a, 9, p, len, 77) :
			io_uring_ext_prep_read(r, &a, 9, p, len, 77);
	ticket_a = io_uring_ext_ring_ticket(r);
	CHECK_EQ(write ? io_uring_ext_prep_write_region(r, &b, id, 9, p, len, 77) :
			 io_uring_ext_prep_read_region(r, &b, id, 9, p, len, 77), fixed);
	ticket_b = io_uring_ext_ring_ticket(r);
	CHECK(!memcmp(&a, &b, sizeof(a)));
	CHECK_EQ(!ticket_a, !ticket_b);
	CHECK_EQ(io_uring_ext_ring_stats(r, &after), 0);
	differ_by_two(&before, &after);
	CHECK_EQ(io_uring_ext_ring_done(r, ticket_a), 0);
	CHECK_EQ(io_uring_ext_ring_done(r, ticket_b), 0);
	/* Each of them was counted, once */
	if (ticket_a && !others)
		CHECK_EQ(io_uring_ext_ring_done(r, ticket_b), -ENOENT);
	return fixed;
}

/* Every place in and around regions, with every id: how many were fixed. */
static unsigned everywhere(void)
{
	static const int ids[] = { 0, 1, 2, 3, 1000, -1, 1 << 30, -2147483647 };
	static const size_t at[] = {
		0, 1, SLOT - 1, SLOT, LEN - SLOT, LEN - 1, LEN, LEN + 1, 2 * LEN - 1, 2 * LEN,
		3 * LEN, 4 * LEN - 512,
	};
	static const unsigned lens[] = { 0, 1, 2, 512, SLOT, SLOT + 1, LEN, 0x7fff0000,
					 0x7fff0001, 0xffffffff };
	unsigned i, j, k, fixed = 0;

	for (i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
		for (j = 0; j < sizeof(at) / sizeof(at[0]); j++)
			for (k = 0; k < sizeof(lens) / sizeof(lens[0]); k++) {
				fixed += same(ids[i], mem + at[j], lens[k], false);
				fixed += same(ids[i], mem + at[j], lens[k], true);
			}
	return fixed;
}

static int add(size_t at, size_t len, __u64 tag)
{
	struct io_uring_ext_region region = { .base = mem + at, .len = len, .tag = tag,
					      .page_size = 4096 };
	int id = io_uring_ext_pool_add(pool, &region, &err);

	CHECK_OK(id, err);
	return id;
}

static void sync_ring(void)
{
	CHECK_OK(io_uring_ext_ring_sync(r, &err), err);
}

static void check(__u32 flags, bool registers)
{
	struct io_uring_ext_pool_params params = { .nr_slots = 16, .max_buffer = SLOT,
						   .flags = flags };
	unsigned fixed;

	CHECK_OK(io_uring_ext_pool_create(&pool, &params, &err), err);
	t_ring(&ring, 8, 0);
	CHECK_OK(io_uring_ext_ring_attach(&r, pool, &ring, 3, &err), err);
	CHECK_EQ(everywhere(), 0);
	/* Several slots, one, and one with a tag; the last before the sync */
	CHECK_EQ(add(0, LEN, 0), 0);
	CHECK_EQ(add(LEN, SLOT, 0), 1);
	sync_ring();
	CHECK_EQ(add(3 * LEN, SLOT, TAG), 2);
	fixed = everywhere();
	CHECK_EQ(fixed > 0, registers);
	sync_ring();
	CHECK_EQ(everywhere() > fixed, registers);
	/* Removed, and not known; known, with requests in it; and another with its id */
	io_uring_ext_prep_read(r, io_uring_get_sqe(&ring), 9, mem, 8, 0);
	others = true;
	CHECK_EQ(io_uring_ext_pool_remove(pool, 0), 1);
	everywhere();
	sync_ring();
	fixed = everywhere();
	CHECK_EQ(io_uring_ext_ring_idle(r), 1);
	others = false;
	CHECK_EQ(add(2 * LEN, SLOT, 0), 0);
	sync_ring();
	CHECK_EQ(everywhere() > fixed, registers);
	CHECK_EQ(io_uring_ext_ring_detach(r), 0);
	CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
	io_uring_queue_exit(&ring);
}

int main(void)
{
	struct io_uring_sqe sqe;

	if (!t_may_lock(2 * MiB, "2 MiB"))
		return T_SKIP;
	mem = mmap(NULL, 4 * LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(mem != MAP_FAILED);
	check(0, true);
	check(IO_URING_EXT_POOL_NO_CLONE, true);
	check(IO_URING_EXT_POOL_PLAIN, false);
	/* Without a ring it is plain */
	CHECK_EQ(io_uring_ext_prep_read_region(NULL, &sqe, 0, 3, mem, 8, 0), 0);
	CHECK_EQ(sqe.opcode, IORING_OP_READ);
	CHECK_EQ(io_uring_ext_prep_write_region(NULL, &sqe, 0, 3, mem, 8, 0), 0);
	CHECK_EQ(sqe.opcode, IORING_OP_WRITE);
	t_no_pins();
	return 0;
}
