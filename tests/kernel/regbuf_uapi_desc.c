// SPDX-License-Identifier: GPL-2.0
/*
 * Buffers by descriptor: every field at every wrong value, partial updates, and a program that was
 * written for the descriptor as the series "io_uring/rsrc: extend buffer update" has it.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pattern.h"
#include "regbuf_uapi.h"

#define PAGE	(4 * KIB)
#define LEN	(16 * PAGE)
#define NR	6

typedef struct io_uring_regbuf_desc desc_t;

static char *memory(void)
{
	char *mem = uapi_map(LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	pattern_fill(mem, LEN, 0, 1);
	return mem;
}

static desc_t uaddr(const void *addr, size_t size)
{
	return (desc_t){ .type = IO_REGBUF_TYPE_UADDR, .size = size, .uaddr = (uintptr_t)addr };
}

static void sparse(struct io_uring *ring, unsigned int nr)
{
	uapi_ring(ring);
	EXPECT(uapi_buffers(ring, NULL, nr, IORING_RSRC_REGISTER_SPARSE), 0);
}

/* Entry 0 has the first page of @mem, and nothing else. */
static void expect_page(struct io_uring *ring, char *mem)
{
	uapi_expect_content(ring, 0, mem, PAGE, mem);
}

/* Refused, and the entry is what it was. */
static void refused(struct io_uring *ring, char *mem, const desc_t *desc, int error)
{
	EXPECT(uapi_update_descs(ring, 0, desc, 1), error);
	expect_page(ring, mem);
}

static void fields(void)
{
	char *mem = memory();
	desc_t good = uaddr(mem, PAGE), empty = { }, d;
	struct io_uring ring;

	sparse(&ring, 1);
	EXPECT(uapi_update_descs(&ring, 0, &good, 1), 1);
	expect_page(&ring, mem);

	/* Every type but ours, among them those that others may come to have */
	for (unsigned int type = 0; type < 64; type++) {
		d = good;
		d.type = type;
		if (type == IO_REGBUF_TYPE_EMPTY)
			refused(&ring, mem, &d, -EFAULT);
		else if (type != IO_REGBUF_TYPE_UADDR && type != IO_REGBUF_TYPE_MEMFD)
			refused(&ring, mem, &d, -EINVAL);
	}
	for (unsigned int bit = 5; bit < 32; bit++) {
		d = good;
		d.type |= 1U << bit;
		refused(&ring, mem, &d, -EINVAL);
	}
	/* Every flag but read-only; an empty entry has none */
	for (unsigned int bit = 0; bit < 32; bit++) {
		d = good;
		d.flags = 1U << bit;
		if (d.flags != IO_REGBUF_READ_ONLY)
			refused(&ring, mem, &d, -EINVAL);
		d = empty;
		d.flags = 1U << bit;
		refused(&ring, mem, &d, -EINVAL);
	}
	/* Every reserved byte */
	for (size_t i = offsetof(desc_t, __resv); i < sizeof(d); i++) {
		d = good;
		((char *)&d)[i] = 1;
		refused(&ring, mem, &d, -EINVAL);
		d = empty;
		((char *)&d)[i] = (char)0x80;
		refused(&ring, mem, &d, -EINVAL);
	}
	/* Sizes and addresses */
	d = uaddr(mem, 0);
	refused(&ring, mem, &d, -EFAULT);
	d = uaddr(mem, (size_t)-1);
	refused(&ring, mem, &d, -EINVAL);
	d = uaddr((void *)-PAGE, 2 * PAGE);
	refused(&ring, mem, &d, -EOVERFLOW);
	d = uaddr(NULL, PAGE);
	refused(&ring, mem, &d, -EFAULT);
	d = empty;
	d.uaddr = (uintptr_t)mem;
	refused(&ring, mem, &d, -EFAULT);
	d = empty;
	d.size = PAGE;
	refused(&ring, mem, &d, -EFAULT);

	EXPECT(uapi_update_descs(&ring, 0, &empty, 1), 1);
	uapi_sqe(&ring, IORING_OP_READ_FIXED, 0, mem, 1, 0);
	EXPECT(uapi_run(&ring), -EFAULT);
}

static int raw_update(struct io_uring *ring, const struct io_uring_rsrc_update2 *up, int op)
{
	return uapi_register(ring->ring_fd, (unsigned int)op, up, sizeof(*up));
}

/* The struct around them, tables, and files */
static void update_fields(void)
{
	char *mem = memory();
	desc_t good = uaddr(mem, PAGE);
	struct iovec iov = { mem, PAGE };
	struct io_uring_rsrc_update2 up = { .data = (uintptr_t)&good, .nr = 1 };
	struct io_uring_rsrc_register reg = { .nr = 1 };
	struct io_uring ring;
	int fd = 0;

	/* A table has no descriptors. */
	uapi_ring(&ring);
	for (unsigned int bit = 1; bit < 32; bit++)
		EXPECT(uapi_buffers(&ring, &iov, 1, 1U << bit), -EINVAL);
	EXPECT(io_uring_unregister_buffers(&ring), -ENXIO);
	EXPECT(uapi_update_descs(&ring, 0, &good, 1), -ENXIO);
	EXPECT(uapi_buffers(&ring, NULL, 1, IORING_RSRC_REGISTER_SPARSE), 0);

	for (unsigned int bit = 0; bit < 32; bit++) {
		up.flags = 1U << bit;
		if (up.flags != IORING_RSRC_UPDATE_EXTENDED)
			EXPECT(raw_update(&ring, &up, IORING_REGISTER_BUFFERS_UPDATE), -EINVAL);
		up.flags |= IORING_RSRC_UPDATE_EXTENDED;
		if (bit != 1)
			EXPECT(raw_update(&ring, &up, IORING_REGISTER_BUFFERS_UPDATE), -EINVAL);
	}
	up.flags = IORING_RSRC_UPDATE_EXTENDED;
	for (unsigned int bit = 0; bit < 32; bit++) {
		up.resv2 = 1U << bit;
		EXPECT(raw_update(&ring, &up, IORING_REGISTER_BUFFERS_UPDATE), -EINVAL);
	}
	up.resv2 = 0;
	up.data = 0;
	EXPECT(raw_update(&ring, &up, IORING_REGISTER_BUFFERS_UPDATE), -EFAULT);
	up.data = (uintptr_t)mem + LEN - sizeof(good) / 2;
	EXPECT(mprotect(mem + LEN - PAGE, PAGE, PROT_NONE), 0);
	up.data = (uintptr_t)mem + LEN - PAGE - sizeof(good) / 2;
	EXPECT(raw_update(&ring, &up, IORING_REGISTER_BUFFERS_UPDATE), -EFAULT);
	up.data = (uintptr_t)&good;
	up.nr = 0;
	EXPECT(raw_update(&ring, &up, IORING_REGISTER_BUFFERS_UPDATE), -EINVAL);
	up.nr = 2;
	EXPECT(raw_update(&ring, &up, IORING_REGISTER_BUFFERS_UPDATE), -EINVAL);
	up.nr = 1;
	EXPECT(raw_update(&ring, &up, IORING_REGISTER_BUFFERS_UPDATE), 1);

	/* Files have none either. */
	reg.data = (uintptr_t)&fd;
	for (unsigned int bit = 1; bit < 32; bit++) {
		reg.flags = 1U << bit;
		EXPECT(uapi_register(ring.ring_fd, IORING_REGISTER_FILES2, &reg, sizeof(reg)),
		       -EINVAL);
	}
	reg.flags = 0;
	EXPECT(uapi_register(ring.ring_fd, IORING_REGISTER_FILES2, &reg, sizeof(reg)), 0);
	up.data = (uintptr_t)&fd;
	EXPECT(raw_update(&ring, &up, IORING_REGISTER_FILES_UPDATE2), -EINVAL);
	EXPECT(uapi_register(ring.ring_fd, IORING_REGISTER_FILES_UPDATE, &up, 1), -EINVAL);
	up.flags = 0;
	EXPECT(raw_update(&ring, &up, IORING_REGISTER_FILES_UPDATE2), 1);
}

static void expect_tag(struct io_uring *ring, __u64 tag)
{
	struct io_uring_cqe *cqe;

	EXPECT(io_uring_peek_cqe(ring, &cqe), 0);
	EXPECT(cqe->user_data, tag);
	EXPECT(cqe->res, 0);
	io_uring_cqe_seen(ring, cqe);
}

/* All types in one update, and a failure at each position: what is before it is done. */
static void partial(void)
{
	int fd = memfd_create("part", MFD_CLOEXEC);
	char *mem = memory();
	struct io_uring_cqe *cqe;
	struct io_uring ring;

	EXPECT(ftruncate(fd, LEN), 0);
	EXPECT(pwrite(fd, mem, LEN, 0), LEN);
	for (int bad = 0; bad <= NR; bad++) {
		desc_t d[NR], old[NR];
		__u64 tags[NR];
		struct io_uring_rsrc_update2 up = {
			.flags = IORING_RSRC_UPDATE_EXTENDED, .data = (uintptr_t)old,
			.tags = (uintptr_t)tags, .nr = NR,
		};

		uapi_ring(&ring);
		EXPECT(uapi_buffers(&ring, NULL, NR, IORING_RSRC_REGISTER_SPARSE), 0);
		for (int i = 0; i < NR; i++) {
			old[i] = uaddr(mem + i * PAGE, PAGE);
			tags[i] = 100U + (__u64)i;
		}
		EXPECT(raw_update(&ring, &up, IORING_REGISTER_BUFFERS_UPDATE), NR);

		for (int i = 0; i < NR; i++) {
			d[i] = uaddr(mem + (NR + i) * PAGE, PAGE);
			tags[i] = 0;
		}
		d[1].flags = IO_REGBUF_READ_ONLY;
		d[2] = (desc_t){ };
		d[3] = (desc_t){ .type = IO_REGBUF_TYPE_MEMFD, .size = PAGE, .memfd = fd,
				 .offset = (NR + 3) * PAGE };
		if (bad < NR)
			d[bad].__resv[6] = 1;
		up.data = (uintptr_t)d;
		EXPECT(raw_update(&ring, &up, IORING_REGISTER_BUFFERS_UPDATE),
		       bad ? bad : -EINVAL);
		for (int i = 0; i < bad; i++)
			expect_tag(&ring, 100U + (__u64)i);
		EXPECT(io_uring_peek_cqe(&ring, &cqe), -EAGAIN);
		for (int i = 0; i < NR; i++) {
			char *new = mem + (NR + i) * PAGE;

			if (i >= bad)
				uapi_expect_content(&ring, (unsigned int)i, mem + i * PAGE, PAGE,
						    mem + i * PAGE);
			else if (i == 3)
				uapi_expect_content(&ring, 3, NULL, PAGE, new);
			else if (i != 2)
				uapi_expect_content(&ring, (unsigned int)i, new, PAGE, new);
		}
		/* A tag of an entry that is emptied, at each position */
		if (bad < NR) {
			d[bad] = (desc_t){ };
			tags[bad] = 7;
			EXPECT(raw_update(&ring, &up, IORING_REGISTER_BUFFERS_UPDATE),
			       bad ? bad : -EINVAL);
		}
		io_uring_queue_exit(&ring);
	}
}

/*
 * As a program has it that was written for the pending series: nothing but what that declares, by
 * its numbers, offsets and sizes.
 */
struct pending_update {
	__u32 offset;
	__u32 flags;
	__u64 data, tags;
	__u32 nr, resv2;
};

struct pending_desc {
	__u32 type, flags;
	__u64 size, uaddr;
	__s32 dmabuf_fd, target_fd;
	__u64 resv[6];
};

_Static_assert(sizeof(struct pending_update) == 32, "as published");
_Static_assert(sizeof(struct pending_desc) == 80, "as published");

static int pending_call(struct io_uring *ring, const struct pending_desc *descs, unsigned int nr)
{
	struct pending_update up = { .flags = 2, .data = (uintptr_t)descs, .nr = nr };

	return uapi_register(ring->ring_fd, 16, &up, 32);
}

static void pending_series(void)
{
	struct pending_desc d[3] = { { .type = 1, .size = PAGE }, { .type = 0 }, { .type = 1 } };
	char *mem = memory();
	struct io_uring ring;

	uapi_ring(&ring);
	EXPECT(io_uring_register_buffers_sparse(&ring, 3), 0);
	d[0].uaddr = (uintptr_t)mem;
	d[2].uaddr = (uintptr_t)(mem + 2 * PAGE + 100);
	d[2].size = PAGE;
	EXPECT(pending_call(&ring, d, 3), 3);
	uapi_expect_content(&ring, 0, mem, PAGE, mem);
	uapi_expect_content(&ring, 2, mem + 2 * PAGE + 100, PAGE, mem + 2 * PAGE + 100);
	uapi_sqe(&ring, IORING_OP_WRITE_FIXED, 1, mem, 1, 1);
	EXPECT(uapi_run(&ring), -EFAULT);

	/* What is not here is refused as such. */
	d[0] = (struct pending_desc){ .type = 2, .dmabuf_fd = 3, .target_fd = 4 };
	EXPECT(pending_call(&ring, d, 1), -EINVAL);
	d[0] = (struct pending_desc){ .type = 0, .size = PAGE };
	EXPECT(pending_call(&ring, d, 1), -EFAULT);
	uapi_expect_content(&ring, 0, mem, PAGE, mem);
	d[0] = (struct pending_desc){ };
	EXPECT(pending_call(&ring, d, 1), 1);
	uapi_sqe(&ring, IORING_OP_WRITE_FIXED, 1, mem, 1, 0);
	EXPECT(uapi_run(&ring), -EFAULT);
}

const struct uapi_case desc_cases[] = {
	{ "desc_fields", fields, false },
	{ "desc_update_fields", update_fields, false },
	{ "desc_partial", partial, false },
	{ "desc_pending_series", pending_series, false },
	{ }
};
