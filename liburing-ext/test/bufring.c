/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * Provided-buffer rings over slices: what is received lies in slices of the slab, each of
 * which has one owner at a time, the kernel, the caller, or the slab; and what was received
 * is written from there by a fixed request.
 */
#include <sys/socket.h>

#include "helpers.h"

#define SLICE	4096
#define GROUP	7

static struct io_uring_ext_error err;
static struct io_uring ring;
static struct io_uring_ext_pool *pool;
static struct io_uring_ext_ring *r;
static struct io_uring_ext_slab *slab;
static char *mem;
static int sv[2];

static __u64 in_use(void)
{
	struct io_uring_ext_slab_stats st;

	CHECK_EQ(io_uring_ext_slab_stats(slab, &st), 0);
	return st.in_use;
}

static struct io_uring_ext_bufring *make(unsigned entries)
{
	struct io_uring_ext_bufring_params p = { .group = GROUP, .entries = entries };
	struct io_uring_ext_bufring *b;
	int ret = io_uring_ext_bufring_create(&b, r, slab, &p, &err);

	if (ret == -EOPNOTSUPP)
		t_skip("%s", err.text);
	CHECK_OK(ret, err);
	return b;
}

/* A request of the group: its result, and the flags of its CQE. */
static int run(struct io_uring_sqe *sqe, __u32 *flags)
{
	struct io_uring_cqe *cqe;
	int res;

	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = GROUP;
	CHECK_EQ(io_uring_submit(&ring), 1);
	cqe = t_wait(&ring);
	res = cqe->res;
	*flags = cqe->flags;
	io_uring_cqe_seen(&ring, cqe);
	return res;
}

static int receive(__u32 *flags)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

	io_uring_prep_recv(sqe, sv[0], NULL, SLICE, 0);
	return run(sqe, flags);
}

static void send_one(size_t offset, size_t len)
{
	char buf[SLICE];

	t_fill(buf, len, offset);
	CHECK_EQ(send(sv[1], buf, len, 0), len);
}

/* Many times around, with slices given back in another order than they came. */
static void check_data(unsigned entries)
{
	struct io_uring_ext_bufring *b = make(entries);
	unsigned i, n, held = 0;
	char *have[4] = { NULL }, *p;
	__u32 flags;

	CHECK_EQ(in_use(), entries);
	for (i = 0; i < 3 * 65536 / 64; i++) {
		n = 1 + i * 37 % SLICE;
		send_one(i, n);
		CHECK_EQ(receive(&flags), n);
		p = io_uring_ext_bufring_take(b, flags);
		CHECK(p >= mem && p < mem + MiB && !((uintptr_t)p % SLICE));
		t_check_bytes(p, n, i);
		/* It is named once */
		CHECK(!io_uring_ext_bufring_take(b, flags));
		have[held++] = p;
		if (held < 4 && held < entries)
			continue;
		while (held)
			CHECK_EQ(io_uring_ext_bufring_give(b, have[--held] + i % SLICE), 0);
		CHECK_EQ(in_use(), entries);
	}
	while (held)
		CHECK_EQ(io_uring_ext_bufring_give(b, have[--held]), 0);
	CHECK_EQ(io_uring_ext_bufring_destroy(b), 0);
	CHECK_EQ(in_use(), 0);
}

/* Kept slices are replaced by others, until there are none. */
static void check_fill(void)
{
	struct io_uring_ext_bufring *b = make(8);
	struct io_uring_ext_slab_stats st;
	unsigned i, slices;
	char *kept[300];
	__u32 flags;

	CHECK_EQ(io_uring_ext_slab_stats(slab, &st), 0);
	slices = st.slices;
	CHECK_EQ(slices, MiB / SLICE);
	CHECK_EQ(io_uring_ext_bufring_fill(b), 8);
	for (i = 0; i < slices; i++) {
		send_one(i, 100);
		CHECK_EQ(receive(&flags), 100);
		kept[i] = io_uring_ext_bufring_take(b, flags);
		CHECK(kept[i]);
		CHECK_EQ(io_uring_ext_bufring_fill(b),
			 slices - i - 1 < 8 ? slices - i - 1 : 8);
	}
	/* All are kept, and whole */
	for (i = 0; i < slices; i++)
		t_check_bytes(kept[i], 100, i);
	send_one(0, 1);
	CHECK_EQ(receive(&flags), -ENOBUFS);
	CHECK(!io_uring_ext_bufring_take(b, flags));
	/* The slab is held by the group, though that has no slice of it; the region by it */
	for (i = 0; i < slices; i++)
		CHECK_EQ(io_uring_ext_slab_put(slab, kept[i]), 0);
	CHECK_EQ(io_uring_ext_slab_destroy(slab), -EBUSY);
	CHECK_EQ(io_uring_ext_pool_remove(pool, 0), -EBUSY);
	CHECK_EQ(io_uring_ext_bufring_fill(b), 8);
	CHECK_EQ(receive(&flags), 1);
	CHECK(io_uring_ext_bufring_take(b, flags));
	/* More than the group has room for are the slab's */
	CHECK_EQ(in_use(), 8);
	CHECK_EQ(io_uring_ext_bufring_fill(b), 8);
	CHECK_EQ(in_use(), 9);
	CHECK_EQ(io_uring_ext_bufring_give(b, kept[0]), 0);
	CHECK_EQ(in_use(), 8);
	CHECK_EQ(io_uring_ext_bufring_give(b, mem - 1), -EINVAL);
	CHECK_EQ(io_uring_ext_bufring_give(b, mem + MiB), -EINVAL);
	CHECK_EQ(io_uring_ext_bufring_destroy(b), 0);
	CHECK_EQ(in_use(), 0);
}

/* From a socket to a file, without a copy and without a pin for each request. */
static void check_onwards(void)
{
	struct io_uring_ext_bufring *b = make(4);
	struct io_uring_sqe *sqe;
	int fd = t_file(0);
	char back[SLICE];
	__u32 flags;
	char *p;

	send_one(11, SLICE);
	CHECK_EQ(receive(&flags), SLICE);
	p = io_uring_ext_bufring_take(b, flags);
	CHECK_EQ(io_uring_ext_prep_write(r, io_uring_get_sqe(&ring), fd, p, SLICE, 0), 1);
	CHECK_EQ(t_io_done(&ring, r), SLICE);
	CHECK_EQ(io_uring_ext_bufring_give(b, p), 0);
	CHECK_EQ(pread(fd, back, SLICE, 0), SLICE);
	t_check_bytes(back, SLICE, 11);
	/* Reads of a file know groups as well */
	sqe = io_uring_get_sqe(&ring);
	io_uring_prep_read(sqe, fd, NULL, SLICE, 0);
	CHECK_EQ(run(sqe, &flags), SLICE);
	p = io_uring_ext_bufring_take(b, flags);
	t_check_bytes(p, SLICE, 11);
	CHECK_EQ(io_uring_ext_slab_put(slab, p), 0);
	close(fd);
	CHECK_EQ(io_uring_ext_bufring_destroy(b), 0);
}

static int create(struct io_uring_ext_bufring_params p)
{
	struct io_uring_ext_bufring *b = (void *)mem;
	int ret = io_uring_ext_bufring_create(&b, r, slab, &p, &err);

	CHECK(!b == !!ret && ret == err.err && !ret == !err.text[0]);
	if (b)
		CHECK_EQ(io_uring_ext_bufring_destroy(b), 0);
	return ret;
}

static void check_args(void)
{
	static const unsigned ops[] = { IORING_REGISTER_BUFFERS2, IORING_REGISTER_BUFFERS_UPDATE };
	struct io_uring_ext_bufring_params p = { .group = GROUP, .entries = 8 };
	struct io_uring_ext_bufring *b, *c;
	struct io_uring_ext_ring *other;
	struct io_uring ring2;

	CHECK_EQ(io_uring_ext_bufring_create(&b, NULL, slab, &p, &err), -EINVAL);
	CHECK_EQ(io_uring_ext_bufring_create(&b, r, NULL, &p, &err), -EINVAL);
	CHECK_EQ(io_uring_ext_bufring_create(&b, r, slab, NULL, &err), -EINVAL);
	CHECK_EQ(io_uring_ext_bufring_create(NULL, r, slab, &p, &err), -EINVAL);
	CHECK_EQ(create(p), 0);
	p.entries = 0;
	CHECK_EQ(create(p), -EINVAL);
	p.entries = 7;
	CHECK_EQ(create(p), -EINVAL);
	p.entries = 65536;
	CHECK_EQ(create(p), -EINVAL);
	p.entries = 32768;
	CHECK_EQ(create(p), 0);
	p.entries = 1;
	p.group = 65536;
	CHECK_EQ(create(p), -EINVAL);
	p.group = 65535;
	CHECK_EQ(create(p), 0);
	p.flags = 1;
	CHECK_EQ(create(p), -EINVAL);
	p.flags = 0;
	p.resv[3] = 1;
	CHECK_EQ(create(p), -EINVAL);
	p.resv[3] = 0;
	b = make(2);
	p.group = GROUP;
	CHECK_EQ(create(p), -EEXIST);
	CHECK(!io_uring_ext_bufring_take(b, 0));
	CHECK(!io_uring_ext_bufring_take(b, IORING_CQE_F_BUFFER | 2U << IORING_CQE_BUFFER_SHIFT));
	CHECK_EQ(io_uring_ext_bufring_destroy(b), 0);

	/* A ring that may not */
	t_restricted(&ring2, ops, 2);
	if (!io_uring_ext_ring_attach(&other, pool, &ring2, 0, &err)) {
		CHECK_EQ(io_uring_ext_bufring_create(&c, other, slab, &p, &err), -EACCES);
		CHECK(!c && err.text[0]);
		CHECK_EQ(io_uring_ext_ring_detach(other), 0);
	}
	io_uring_queue_exit(&ring2);
	CHECK_EQ(in_use(), 0);

	CHECK_EQ(io_uring_ext_bufring_destroy(NULL), 0);
	CHECK(!io_uring_ext_bufring_take(NULL, IORING_CQE_F_BUFFER));
	CHECK_EQ(io_uring_ext_bufring_give(NULL, mem), -EINVAL);
	CHECK_EQ(io_uring_ext_bufring_fill(NULL), 0);
}

int main(void)
{
	struct io_uring_ext_region region = { .len = MiB, .page_size = 4096 };

	if (!t_may_lock(3 * MiB, "3 MiB"))
		return T_SKIP;
	mem = mmap(NULL, MiB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(mem != MAP_FAILED);
	region.base = mem;
	CHECK_OK(io_uring_ext_pool_create(&pool, NULL, &err), err);
	CHECK_EQ(io_uring_ext_pool_add(pool, &region, &err), 0);
	t_ring(&ring, 8, 0);
	CHECK_OK(io_uring_ext_ring_attach(&r, pool, &ring, 0, &err), err);
	CHECK_EQ(io_uring_ext_slab_create(&slab, pool, 0, SLICE, 0), 0);
	CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv), 0);
	check_data(1);
	check_data(4);
	check_data(64);
	check_fill();
	check_onwards();
	check_args();
	CHECK_EQ(io_uring_ext_slab_destroy(slab), 0);
	CHECK_EQ(io_uring_ext_ring_detach(r), 0);
	CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
	io_uring_queue_exit(&ring);
	t_no_pins();
	return 0;
}
