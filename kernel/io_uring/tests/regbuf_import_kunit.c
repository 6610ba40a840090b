// SPDX-License-Identifier: GPL-2.0
/*
 * Imports of registered buffers: the bytes of an iterator are those that a walk
 * over the buffer finds, and what is not inside is refused.
 *
 * Vectored I/O turns iovecs into bvecs in place: those start at the left of the
 * array, these are at its right end. The arrays are exactly as large as they
 * have to be: KASAN sees what goes beyond.
 */
#include <kunit/test.h>

#include "regbuf_kunit.h"
#include "../io_uring.h"
#include "../rsrc.h"

#define MAX_IOVS	1024

/* A request that has its buffer, and what it becomes */
struct import {
	struct fake_buffer	*fb;
	struct io_mapped_ubuf	*imu;
	struct io_rsrc_node	node;
	struct io_kiocb		*req;
	struct iovec		*iov;
	struct iou_vec		vec;
	struct iov_iter		iter;
};

static struct import *import_init(struct kunit *test, unsigned int max_runs)
{
	struct import *t;

	t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, t);
	t->fb = fake_init(test, max_runs);
	t->req = kunit_kzalloc(test, sizeof(*t->req), GFP_KERNEL);
	t->iov = kunit_kcalloc(test, MAX_IOVS, sizeof(*t->iov), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, t->req);
	KUNIT_ASSERT_NOT_NULL(test, t->iov);
	t->req->flags = REQ_F_BUF_NODE;
	t->req->buf_node = &t->node;
	return t;
}

static void import_use(struct import *t, struct io_mapped_ubuf *imu)
{
	kvfree(t->imu);
	t->imu = imu;
	t->node.buf = imu;
}

static void import_store(struct kunit *test, struct import *t)
{
	struct regbuf_layout layout;
	struct regbuf_tally tally;

	fake_tally(t->fb, &tally);
	regbuf_choose_layout(&tally, &layout);
	import_use(t, fake_store(t->fb, &layout));
	KUNIT_ASSERT_NOT_NULL(test, t->imu);
}

static void import_end(struct import *t)
{
	import_use(t, NULL);
}

static void set_iov(struct import *t, unsigned int i, u64 offset, size_t len)
{
	t->iov[i].iov_base = (void __user *)(uintptr_t)(t->imu->ubuf + offset);
	t->iov[i].iov_len = len;
}

/* As if the iovecs had been copied to the end of an array with so much room */
static int import_vec(struct kunit *test, struct import *t, unsigned int nr,
		      unsigned int room)
{
	io_vec_free(&t->vec);
	KUNIT_ASSERT_EQ(test, 0, io_vec_realloc(&t->vec, nr + room));
	memset(t->vec.iovec, 0xff, room * sizeof(*t->iov));
	memcpy(t->vec.iovec + room, t->iov, nr * sizeof(*t->iov));
	return io_import_reg_vec(ITER_DEST, &t->iter, t->req, &t->vec, nr, 0);
}

/* One iovec is a part of the buffer, as without iovecs. Returns what is wrong. */
static const char *check_one(struct import *t)
{
	u64 offset = (uintptr_t)t->iov->iov_base - t->imu->ubuf;
	u64 skip, last_skip;
	u32 first = naive_bvec(t->imu, offset, &skip);
	u32 last = naive_bvec(t->imu, offset + t->iov->iov_len - 1, &last_skip);

	if (t->iter.bvec != &t->imu->bvec[first] || t->iter.iov_offset != skip)
		return "not there in the buffer";
	if (t->iter.nr_segs != last - first + 1)
		return "not so many bvecs";
	return t->iter.count == t->iov->iov_len ? NULL : "length";
}

/* Every byte once, in order, and nothing but these. Returns what is wrong. */
static const char *check_vec(struct import *t, unsigned int nr)
{
	const struct bio_vec *bv = t->iter.bvec;
	size_t nr_segs = 0, total = 0;
	unsigned int i;

	if (nr == 1)
		return check_one(t);
	if (bv != t->vec.bvec || t->iter.iov_offset)
		return "not the array";
	for (i = 0; i < nr; i++) {
		u64 offset = (uintptr_t)t->iov[i].iov_base - t->imu->ubuf;
		size_t len = t->iov[i].iov_len;

		total += len;
		while (len) {
			const struct bio_vec *of;
			size_t part;
			u64 skip;

			of = &t->imu->bvec[naive_bvec(t->imu, offset, &skip)];
			part = min_t(u64, len, of->bv_len - skip);
			if (nr_segs++ == t->iter.nr_segs)
				return "too few bvecs";
			if (bvec_phys_addr(bv) != bvec_phys_addr(of) + skip)
				return "address";
			if (bv->bv_offset >= PAGE_SIZE)
				return "offset beyond the page";
			if (bv->bv_len != part)
				return "length";
			offset += part;
			len -= part;
			bv++;
		}
	}
	if (nr_segs != t->iter.nr_segs)
		return "too many bvecs";
	return total == t->iter.count ? NULL : "total length";
}

static void expect_vec(struct kunit *test, struct import *t, unsigned int nr,
		       unsigned int room, const char *what)
{
	KUNIT_ASSERT_EQ_MSG(test, 0, import_vec(test, t, nr, room),
			    "%s, %u iovecs, room %u", what, nr, room);
	KUNIT_ASSERT_STREQ_MSG(test, check_vec(t, nr) ?: "", "",
			       "%s, %u iovecs, room %u", what, nr, room);
}

/* Some bytes of one bvec, or some on both sides of where one ends */
static void some_bytes(struct import *t, unsigned int i, bool across)
{
	struct fake_buffer *fb = t->fb;
	size_t offset = fake_offset(fb, t->imu);
	u64 skip;
	u32 nr = naive_bvec(t->imu, offset, &skip);
	u32 left, len = t->imu->bvec[nr].bv_len;

	/* Also all of the bvec and its last byte */
	left = fake_rnd(fb, 4) ? len - skip : fake_rnd(fb, 2) ? len : 1;
	/* 1024 of these are not more than a request can be. */
	left = min_t(u32, left, SZ_1M);
	offset += len - skip - left;
	if (!across || nr == t->imu->nr_bvecs - 1)
		set_iov(t, i, offset, 1 + fake_rnd(fb, left));
	else
		set_iov(t, i, offset, left + 1 +
			fake_rnd(fb, min_t(u64, t->imu->len - offset - left,
					   fake_rnd(fb, 2) ? SZ_4K : SZ_512K)));
}

/* One pass, two, and the switch between them at every iovec */
static void import_vec_switch(struct kunit *test)
{
	static const u32 counts[] = { 1, 2, 3, 16, 63 };
	struct import *t = import_init(test, MAX_RUNS);
	unsigned int round, n, at, i;

	for (round = 0; round < 5 * FAKE_NR_KINDS; round++) {
		fake_random(t->fb, round % FAKE_NR_KINDS, 60);
		import_store(test, t);
		for (n = 0; n < ARRAY_SIZE(counts); n++) {
			u32 nr = counts[n];

			for (at = 0; at <= nr; at++) {
				for (i = 0; i < nr; i++)
					some_bytes(t, i, i == at ||
						   (i > at && fake_rnd(t->fb, 2)));
				expect_vec(test, t, nr, fake_rnd(t->fb, 2) ?
					   0 : fake_rnd(t->fb, 20), "switch");
			}
		}
		cond_resched();
	}
	io_vec_free(&t->vec);
	import_end(t);
}

/* As many as there can be, and numbers around the caches that exist */
static void import_vec_counts(struct kunit *test)
{
	static const u32 counts[] = { 0, 1, 4, 64, 255, 256, 257, 1023, 1024 };
	struct import *t = import_init(test, MAX_RUNS);
	unsigned int kind, n, across, i;

	for (kind = 0; kind < FAKE_NR_KINDS; kind++) {
		fake_random(t->fb, kind, 2000);
		import_store(test, t);
		for (n = 0; n < ARRAY_SIZE(counts); n++) {
			for (across = 0; across < 3; across++) {
				for (i = 0; i < counts[n]; i++)
					some_bytes(t, i, across == 2 ||
						   (across && !fake_rnd(t->fb, 50)));
				if (counts[n])
					expect_vec(test, t, counts[n], 0,
						   "counts");
			}
		}
		cond_resched();
	}
	io_vec_free(&t->vec);
	import_end(t);
}

/* What becomes of a range, in a vector before and behind another, and alone */
static void expect_range(struct kunit *test, struct import *t, int vectored,
			 int fixed, u64 offset, size_t len)
{
	u64 addr = t->imu->ubuf + offset;

	set_iov(t, 0, 0, 1);
	set_iov(t, 1, offset, len);
	KUNIT_EXPECT_EQ_MSG(test, vectored, import_vec(test, t, 2, 0),
			    "%zu at %lld, last", len, (s64)offset);
	set_iov(t, 0, offset, len);
	set_iov(t, 1, 0, 1);
	KUNIT_EXPECT_EQ_MSG(test, vectored, import_vec(test, t, 2, 0),
			    "%zu at %lld, first", len, (s64)offset);
	KUNIT_EXPECT_EQ_MSG(test, fixed,
			    io_import_reg_buf(t->req, &t->iter, addr, len,
					      ITER_DEST, 0),
			    "%zu at %lld", len, (s64)offset);
}

/* Elements at, over and behind the edges of a buffer, and none at all */
static void import_refused(struct kunit *test)
{
	struct import *t = import_init(test, 4);
	size_t len;

	fake_add(t->fb, 0, 0, 1);
	fake_add(t->fb, 4, 0, 16);
	t->fb->head = 100;
	t->fb->tail = 200;
	import_store(test, t);
	len = t->imu->len;

	expect_range(test, t, 0, 0, 0, len);
	expect_range(test, t, 0, 0, 0, 1);
	expect_range(test, t, 0, 0, len - 1, 1);
	expect_range(test, t, 0, 0, t->imu->bvec[0].bv_len - 1, 2);
	expect_range(test, t, -EFAULT, 0, 0, 0);
	expect_range(test, t, -EFAULT, 0, len, 0);
	expect_range(test, t, -EFAULT, -EFAULT, len + 1, 0);
	expect_range(test, t, -EFAULT, -EFAULT, -1ULL, 0);
	expect_range(test, t, -EFAULT, -EFAULT, -1ULL, 1);
	expect_range(test, t, -EFAULT, -EFAULT, -1ULL, 2);
	expect_range(test, t, -EFAULT, -EFAULT, len, 1);
	expect_range(test, t, -EFAULT, -EFAULT, len - 1, 2);
	expect_range(test, t, -EFAULT, -EFAULT, 0, len + 1);
	expect_range(test, t, -EFAULT, -EFAULT, 1, len);
	expect_range(test, t, -EFAULT, -EFAULT, 0, SIZE_MAX);
	expect_range(test, t, -EFAULT, -EFAULT, 1, SIZE_MAX);
	expect_range(test, t, -EFAULT, -EFAULT, len, SIZE_MAX - len + 1);
	expect_range(test, t, -EFAULT, -EFAULT, 0, (size_t)MAX_RW_COUNT + 1);

	t->imu->dir = IO_BUF_SOURCE;
	expect_range(test, t, -EFAULT, -EFAULT, 0, 1);
	io_vec_free(&t->vec);
	import_end(t);
}

/* What one iovec and all of them together can have at most */
static void import_two_gib(struct kunit *test)
{
	struct import *t;
	unsigned int i, nr;

	if (!IS_ENABLED(CONFIG_64BIT))
		kunit_skip(test, "a buffer is smaller than 4 GiB");

	t = import_init(test, 8);
	for (i = 0; i < 8; i++)
		fake_add(t->fb, 30 - PAGE_SHIFT, 0, PAGES_1G - (i == 3));
	import_store(test, t);

	set_iov(t, 0, 12345, MAX_RW_COUNT);
	expect_vec(test, t, 1, 0, "longest");
	set_iov(t, 0, 12345, (size_t)MAX_RW_COUNT + 1);
	KUNIT_EXPECT_EQ(test, -EFAULT, import_vec(test, t, 1, 0));

	/* In one pass and in two, one byte too much in the last iovec */
	for (nr = 2; nr <= 32; nr += 3) {
		size_t part = MAX_RW_COUNT / nr;
		int across;

		for (across = 0; across < 2; across++) {
			for (i = 0; i < nr; i++)
				set_iov(t, i, across ? SZ_1G - SZ_4K : SZ_1G,
					part);
			t->iov[nr - 1].iov_len = MAX_RW_COUNT - (nr - 1) * part;
			expect_vec(test, t, nr, 0, "longest in all");
			t->iov[nr - 1].iov_len++;
			KUNIT_EXPECT_EQ(test, -EINVAL,
					import_vec(test, t, nr, 0));
		}
	}
	io_vec_free(&t->vec);
	import_end(t);
}

/* Bvecs of the kernel can have any form. */
static void import_kernel_buffers(struct kunit *test)
{
	struct import *t = import_init(test, 1);
	unsigned int round, i, nr;

	for (round = 0; round < 100; round++) {
		struct io_mapped_ubuf *imu;

		imu = kvzalloc(struct_size(imu, bvec, 32), GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, imu);
		import_use(t, imu);
		imu->layout = IO_REGBUF_LINEAR;
		imu->dir = IO_BUF_DEST;
		imu->nr_bvecs = 1 + fake_rnd(t->fb, 32);
		for (i = 0; i < imu->nr_bvecs; i++) {
			bvec_set_page(&imu->bvec[i], pfn_to_page(64 * i),
				      1 + fake_rnd(t->fb, SZ_16K),
				      fake_rnd(t->fb, SZ_16K));
			imu->len += imu->bvec[i].bv_len;
		}
		for (nr = 1; nr <= 16; nr++) {
			for (i = 0; i < nr; i++)
				some_bytes(t, i, fake_rnd(t->fb, 2));
			expect_vec(test, t, nr, fake_rnd(t->fb, 3), "kernel");
		}
	}
	io_vec_free(&t->vec);
	import_end(t);
}

static struct kunit_case import_cases[] = {
	KUNIT_CASE_SLOW(import_vec_switch),
	KUNIT_CASE(import_vec_counts),
	KUNIT_CASE(import_refused),
	KUNIT_CASE(import_two_gib),
	KUNIT_CASE(import_kernel_buffers),
	{}
};

static struct kunit_suite import_suite = {
	.name = "io_uring_regbuf_import",
	.test_cases = import_cases,
};

kunit_test_suite(import_suite);

MODULE_DESCRIPTION("Tests of imports of registered buffers");
MODULE_LICENSE("GPL");
