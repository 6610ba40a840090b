/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/* Splitting, compared with walking the range page by page. */
#include "helpers.h"
#include "lib.h"

static __u64 state = 1;

static __u64 rnd(__u64 below)
{
	state = state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (state >> 33) % below;
}

static void check(uintptr_t base, size_t len, size_t page, size_t max)
{
	struct urext_split s;
	struct iovec *iov;
	uintptr_t at = base;
	unsigned i;

	urext_split(&s, base, len, page, max);
	iov = urext_split_iovecs(&s);
	CHECK(iov);
	for (i = 0; i < s.nr; i++) {
		uintptr_t start = (uintptr_t)iov[i].iov_base;

		/* No gap, no overlap, none too large, none empty */
		CHECK_EQ(start, at);
		CHECK(iov[i].iov_len > 0 && iov[i].iov_len <= max);
		at += iov[i].iov_len;
		/* The slot of the first, the last and any byte */
		CHECK_EQ(urext_split_slot(&s, start), i);
		CHECK_EQ(urext_split_slot(&s, at - 1), i);
		CHECK_EQ(urext_split_slot(&s, start + rnd(iov[i].iov_len)), i);
		CHECK_EQ(urext_split_start(&s, i), start);
		CHECK_EQ(urext_split_end(&s, i), at);
		/* No page in two slots, unless it is larger than one */
		if (i && page <= 1UL << s.shift)
			CHECK_EQ(start & (page - 1), 0);
	}
	CHECK_EQ(at, base + len);
	if (len <= max)
		CHECK_EQ(s.nr, 1);
	free(iov);
}

int main(void)
{
	static const size_t pages[] = { 4 * KiB, 64 * KiB, 2 * MiB, GiB };
	struct urext_split s;
	unsigned i;

	if (!IS_64BIT)
		t_skip("sizes are those of 64-bit machines");
	for (i = 0; i < 20000; i++) {
		size_t page = pages[rnd(4)];
		size_t max = (1 + rnd(1000)) << (12 + rnd(20));
		uintptr_t base = BIG(1ULL << 40) + rnd(BIG(1ULL << 32));
		size_t len = 1 + rnd(2000) * (max / (1 + rnd(50)));

		check(base, len, page, max);
	}
	/* What stock kernels and this one do with 3 TiB of 1G pages */
	check(BIG(1ULL << 40), BIG(3 * TiB), GiB, GiB);
	check(BIG(1ULL << 40), BIG(3 * TiB), GiB, BIG(TiB - 4096));
	check(BIG(1ULL << 40), BIG(3 * TiB), GiB, BIG(64 * TiB));
	/* More slots than 32 bits can count */
	urext_split(&s, BIG(1ULL << 40), BIG(1ULL << 44) + 2 * 4096, 4096, 4096);
	CHECK_EQ(s.nr, BIG(1ULL << 32) + 2);
	CHECK_EQ(urext_split_slot(&s, s.end - 1), BIG(1ULL << 32) + 1);
	CHECK_EQ(urext_split_start(&s, BIG(1ULL << 32) + 1), s.end - 4096);
	return 0;
}
