/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * A ring that is not liburing's: made, mapped and entered by system calls, attached by its
 * fd before it is enabled.  What the library does is seen through its own header alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#include <linux/io_uring.h>

#include "liburing-ext-sys.h"

#define CHECK(cond)	do {							\
	if (!(cond)) {								\
		fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);	\
		exit(1);							\
	}									\
} while (0)

struct raw {
	int fd;
	struct io_uring_params p;
	char *rings;
	struct io_uring_sqe *sqes;
};

static void open_raw(struct raw *r, unsigned flags)
{
	size_t sq, cq;

	memset(r, 0, sizeof(*r));
	r->p.flags = flags;
	r->fd = syscall(__NR_io_uring_setup, 4, &r->p);
	if (r->fd < 0 && (errno == ENOSYS || errno == EPERM))
		exit(77);
	CHECK(r->fd >= 0);
	CHECK(r->p.features & IORING_FEAT_SINGLE_MMAP);
	sq = r->p.sq_off.array + r->p.sq_entries * sizeof(__u32);
	cq = r->p.cq_off.cqes + r->p.cq_entries * sizeof(struct io_uring_cqe);
	r->rings = mmap(NULL, sq > cq ? sq : cq, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd,
			IORING_OFF_SQ_RING);
	r->sqes = mmap(NULL, r->p.sq_entries * sizeof(*r->sqes), PROT_READ | PROT_WRITE,
		       MAP_SHARED, r->fd, IORING_OFF_SQES);
	CHECK(r->rings != MAP_FAILED && r->sqes != MAP_FAILED);
}

static _Atomic __u32 *field(struct raw *r, __u32 offset)
{
	return (_Atomic __u32 *)(r->rings + offset);
}

/* Submit sqe 0, and its result. */
static int enter(struct raw *r)
{
	_Atomic __u32 *tail = field(r, r->p.sq_off.tail), *head = field(r, r->p.cq_off.head);
	struct io_uring_cqe *cqes = (struct io_uring_cqe *)(r->rings + r->p.cq_off.cqes);
	__u32 at = atomic_load(tail), mask = *field(r, r->p.sq_off.ring_mask);
	int res;

	*field(r, r->p.sq_off.array + (at & mask) * 4) = 0;
	atomic_store(tail, at + 1);
	CHECK(syscall(__NR_io_uring_enter, r->fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) == 1);
	at = atomic_load(head);
	CHECK(at != atomic_load(field(r, r->p.cq_off.tail)));
	res = cqes[at & *field(r, r->p.cq_off.ring_mask)].res;
	atomic_store(head, at + 1);
	return res;
}

int main(void)
{
	struct io_uring_ext_ring_params p = { .slot_base = 5 };
	struct io_uring_ext_region region = { .len = 1 << 20, .page_size = 4096 };
	struct io_uring_ext_error err;
	struct io_uring_ext_pool *pool;
	struct io_uring_ext_ring *r;
	struct raw raw;
	int fd, id;

	open_raw(&raw, IORING_SETUP_R_DISABLED);
	region.base = mmap(NULL, region.len, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(region.base != MAP_FAILED);
	CHECK(!io_uring_ext_pool_create(&pool, NULL, &err));
	id = io_uring_ext_pool_add(pool, &region, &err);
	CHECK(id >= 0);
	CHECK(!io_uring_ext_ring_attach_fd(&r, pool, raw.fd, &p, &err));
	CHECK(!syscall(__NR_io_uring_register, raw.fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0));

	fd = open("/proc/self/exe", O_RDONLY);
	CHECK(fd >= 0);
	CHECK(io_uring_ext_prep_read(r, &raw.sqes[0], fd, region.base, 4, 0) == 1);
	CHECK(raw.sqes[0].opcode == IORING_OP_READ_FIXED && raw.sqes[0].buf_index == 5);
	CHECK(enter(&raw) == 4);
	CHECK(!memcmp(region.base, "\177ELF", 4));

	CHECK(io_uring_ext_pool_remove(pool, id) == 1);
	CHECK(io_uring_ext_ring_sync(r, &err) == 0);
	CHECK(io_uring_ext_ring_done(r, io_uring_ext_ring_ticket(r)) == 1);
	CHECK(io_uring_ext_ring_detach(r) == 0);
	CHECK(io_uring_ext_pool_destroy(pool) == 0);
	close(raw.fd);
	return 0;
}
