// SPDX-License-Identifier: GPL-2.0
/*
 * fixed_vec: READV_FIXED and WRITEV_FIXED with random iovecs into registered buffers of all
 * layouts: within folios and across them, any alignment, few and many. The kernel turns iovecs into
 * segments in one pass as long as each lies in one piece of the buffer, so there are also those
 * that do up to one of them, at every position. The file is compared with what was written; and
 * after a read all of the memory with a copy, so that a byte that went astray shows wherever it is.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "acct_arena.h"
#include "fixed_io.h"
#include "pattern.h"
#include "uring.h"
#include "vmstat.h"

#define PAGE		(4 * KIB)
#define VECS_MAX	1024
#define BYTES_MAX	(2 * MIB)

static struct acct_arena arena;
static char *shadow;			/* what the arena must hold */
static char *bounce;			/* aligned, BYTES_MAX */
static uint64_t random_state = 1;

/*
 * Registered, by slot; offsets in the arena. What of it is there a second time is left out: it
 * would have what was written elsewhere.
 */
static struct range {
	const char *name;
	size_t start, end;
} ranges[] = {
	{ "all, mixed", 0, ACCT_ARENA_UNIQUE },
	{ "THPs", 0, 4 * MIB },
	{ "THP with a page replaced", 4 * MIB, 6 * MIB },
	{ "THPs with every second page replaced", 6 * MIB, 10 * MIB },
	{ "unaligned", 3 * PAGE + 100, 15 * MIB - 5000 },
	{ "one page", 11 * MIB, 11 * MIB + PAGE },
};

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static size_t below(size_t n)
{
	return (size_t)(next_random() % n);
}

static int compare_size(const void *a, const void *b)
{
	size_t x = *(const size_t *)a, y = *(const size_t *)b;

	return x < y ? -1 : x > y;
}

/*
 * Parts of a range that do not overlap, in any order, all multiples of @align: pairs of random
 * points, sorted, the second not too far from the first. Now and then at an edge of a page.
 */
static unsigned int random_iovecs(const struct range *range, unsigned int max, size_t align,
				  struct iovec *iov, size_t *total)
{
	size_t points[2 * VECS_MAX], limit = BYTES_MAX / max;
	unsigned int nr = 0;

	for (unsigned int i = 0; i < 2 * max; i++) {
		points[i] = range->start + below(range->end - range->start);
		if (!below(4))
			points[i] = ALIGN_DOWN(points[i], PAGE);
		points[i] = ALIGN_UP(points[i], align);
		if (points[i] < range->start || points[i] > ALIGN_DOWN(range->end, align))
			points[i] = ALIGN_UP(range->start, align);
	}
	qsort(points, 2 * max, sizeof(*points), compare_size);
	*total = 0;
	for (unsigned int i = 0; i < 2 * max; i += 2) {
		size_t len = min_size(points[i + 1] - points[i], limit);

		len = ALIGN_DOWN(len, align);
		if (!len)
			continue;
		iov[nr++] = (struct iovec){ arena.addr + points[i], len };
		*total += len;
	}
	for (unsigned int i = nr; i > 1; i--) {
		unsigned int other = (unsigned int)below(i);
		struct iovec swap = iov[i - 1];

		iov[i - 1] = iov[other];
		iov[other] = swap;
	}
	return nr;
}

/*
 * Each in a place of two pages of its own: in the first page of it those before number @across,
 * that one on both pages, those behind it as it comes. In any order.
 */
static unsigned int placed_iovecs(const struct range *range, unsigned int nr, unsigned int across,
				  size_t align, struct iovec *iov, size_t *total)
{
	size_t first = ALIGN_UP(range->start, PAGE), step = 2 * PAGE;
	size_t places = (ALIGN_DOWN(range->end, PAGE) - first) / step, at[ACCT_ARENA_UNIQUE / PAGE];

	if (nr > places)
		nr = (unsigned int)places;
	for (size_t i = 0; i < places; i++)
		at[i] = i;
	*total = 0;
	for (unsigned int i = 0; i < nr; i++) {
		size_t other = i + below(places - i), place = first + at[other] * step;
		size_t off = ALIGN_DOWN(below(PAGE), align), len;

		at[other] = at[i];
		len = ALIGN_UP(1 + below(PAGE - off), align);
		if (i == across || (i > across && below(2)))
			len = ALIGN_UP(PAGE - off + 1 + below(PAGE), align);
		if (*total + len > BYTES_MAX)
			return i;
		iov[i] = (struct iovec){ arena.addr + place + off, len };
		*total += len;
	}
	return nr;
}

static int run_vec(struct io_uring *ring, const struct io_target *target, int slot, bool write,
		   const struct iovec *iov, unsigned int nr, size_t total, uint64_t off,
		   struct reason *why)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	int ret;

	if (write)
		io_uring_prep_writev(sqe, target->fd, iov, nr, off);
	else
		io_uring_prep_readv(sqe, target->fd, iov, nr, off);
	sqe->opcode = write ? URING_OP_WRITEV_FIXED : URING_OP_READV_FIXED;
	sqe->buf_index = (__u16)slot;
	ret = uring_one(ring);
	if (ret < 0)
		return because(why, "%s", strerror(-ret));
	if ((size_t)ret != total)
		return because(why, "%d of %zu bytes", ret, total);
	return 0;
}

static int check_arena(struct reason *why)
{
	size_t size = ranges[0].end;

	if (!memcmp(arena.addr, shadow, size))
		return 0;
	for (size_t i = 0; i < size; i++)
		if (arena.addr[i] != shadow[i])
			return because(why, "memory at %#zx is %#04x instead of %#04x", i,
				       (uint8_t)arena.addr[i], (uint8_t)shadow[i]);
	return 0;
}

/* Writes random parts of a buffer, or reads into them. */
static int run_one(struct io_uring *ring, const struct io_target *target, int slot, bool write,
		   uint64_t seed, struct reason *why)
{
	static const unsigned int counts[] = { 1, 2, 3, 8, 30, 100, 257, VECS_MAX };
	size_t align = target->mem_align > 1 ? target->block : 1;
	struct iovec iov[VECS_MAX];
	static unsigned int placed;
	uint64_t off = below(16) * target->block;
	size_t total, at = 0;
	unsigned int nr;

	do {
		nr = counts[below(ARRAY_SIZE(counts))];
		if (below(3) && ranges[slot].end - ranges[slot].start > 2 * PAGE)
			nr = placed_iovecs(&ranges[slot], nr, placed++ % (nr + 1), align, iov, &total);
		else
			nr = random_iovecs(&ranges[slot], nr, align, iov, &total);
	} while (!nr);

	if (write) {
		for (unsigned int i = 0; i < nr; at += iov[i++].iov_len) {
			pattern_fill(iov[i].iov_base, iov[i].iov_len, at, seed);
			memcpy(shadow + ((char *)iov[i].iov_base - arena.addr), iov[i].iov_base,
			       iov[i].iov_len);
		}
		if (run_vec(ring, target, slot, true, iov, nr, total, off, why))
			return -1;
		if (pread(target->fd, bounce, total, (off_t)off) != (ssize_t)total)
			return because(why, "pread: %s", strerror(errno));
		at = pattern_check(bounce, total, 0, seed);
		if (at != total)
			return because(why, "byte %zu of %zu in the file, %u iovecs", at, total,
				       nr);
	} else {
		pattern_fill(bounce, total, 0, seed);
		if (pwrite(target->fd, bounce, total, (off_t)off) != (ssize_t)total)
			return because(why, "pwrite: %s", strerror(errno));
		for (unsigned int i = 0; i < nr; at += iov[i++].iov_len)
			memcpy(shadow + ((char *)iov[i].iov_base - arena.addr), bounce + at,
			       iov[i].iov_len);
		if (run_vec(ring, target, slot, false, iov, nr, total, off, why))
			return -1;
	}
	return check_arena(why);
}

static void open_targets(struct io_target *targets, const char *device)
{
	struct reason why;

	/* Any alignment goes in a file of tmpfs. */
	targets[0] = (struct io_target){ .name = "memfd", .block = 1, .mem_align = 1 };
	targets[0].fd = memfd_create("target", MFD_CLOEXEC);
	if (targets[0].fd < 0 || ftruncate(targets[0].fd, (off_t)(BYTES_MAX + PAGE)))
		die("memfd: %s", strerror(errno));
	if (io_target_open(&targets[1], device, 0, &why))
		die("%s", why.text);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "device", required_argument, NULL, 'd' },
		{ "transfers", required_argument, NULL, 't' },
		{ "seed", required_argument, NULL, 's' },
		{ }
	};
	const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	unsigned long transfers = 400, failed = 0;
	struct iovec iov[ARRAY_SIZE(ranges)];
	const char *device = "/dev/vda";
	struct io_target targets[2];
	struct vmstat start;
	struct io_uring ring;
	struct reason why;
	int c, ret;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'd':
			device = optarg;
			break;
		case 't':
			transfers = strtoul(optarg, NULL, 0);
			break;
		case 's':
			random_state = strtoul(optarg, NULL, 0) * 2 + 1;
			break;
		default:
			fputs("usage: fixed_vec [--device DEV] [--transfers N] [--seed N]\n", stderr);
			return 2;
		}
	}
	if (setrlimit(RLIMIT_MEMLOCK, &unlimited))
		die("cannot raise RLIMIT_MEMLOCK: %s", strerror(errno));
	vmstat_start(&start);
	if (acct_arena_map(&arena, &why))
		die("%s", why.text);
	open_targets(targets, device);
	shadow = malloc(arena.size);
	bounce = aligned_alloc(PAGE, BYTES_MAX + PAGE);
	if (!shadow || !bounce)
		die("out of memory");
	pattern_fill(arena.addr, arena.size, 0, 0);
	memcpy(shadow, arena.addr, arena.size);

	ret = io_uring_queue_init(4, &ring, 0);
	if (ret)
		die("io_uring_queue_init: %s", strerror(-ret));
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++)
		iov[i] = (struct iovec){ arena.addr + ranges[i].start,
					 ranges[i].end - ranges[i].start };
	ret = io_uring_register_buffers(&ring, iov, ARRAY_SIZE(iov));
	if (ret)
		die("registering: %s", strerror(-ret));

	for (unsigned long i = 0; i < transfers && !failed; i++) {
		int slot = (int)(i % ARRAY_SIZE(ranges));
		const struct io_target *target = &targets[i / ARRAY_SIZE(ranges) % 2];
		bool write = i / ARRAY_SIZE(ranges) / 2 % 2;

		if (run_one(&ring, target, slot, write, i + 1, &why)) {
			failed++;
			printf("FAIL transfer %lu, %s %s, %s: %s\n", i,
			       write ? "WRITEV_FIXED to" : "READV_FIXED from", target->name,
			       ranges[slot].name, why.text);
		}
	}
	io_uring_unregister_buffers(&ring);
	io_uring_queue_exit(&ring);
	munmap(arena.addr, arena.size);
	if (vmstat_balanced(&start, &why)) {
		failed++;
		printf("FAIL in the end: %s\n", why.text);
	}
	if (!failed)
		printf("%lu vectored transfers, data right\n", transfers);
	return failed ? 1 : 0;
}
