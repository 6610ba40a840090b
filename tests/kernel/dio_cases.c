// SPDX-License-Identifier: GPL-2.0
/*
 * dio_cases: direct I/O where it ends early, or is refused, or its memory is of an odd kind: faults
 * in the middle of a vector and of a part of it, the end of the device, addresses that are not
 * aligned, pages that nobody has written to, parts that lie across folios, and memory of two
 * DAX devices. What a call returns, which bytes arrive and that no other byte changes is as
 * on stock, where the figures are from; no pin is left. Ends with "N passed, N failed, N skipped".
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "dax.h"
#include "fixed_io.h"
#include "layouts.h"
#include "pattern.h"
#include "vmstat.h"

#define PAGE		(4 * KIB)
#define SIZE		(4 * MIB)
#define HOLE		(100 * PAGE)	/* what is not accessible, in the memory */
#define BEHIND		(200 * PAGE)	/* of pages that are a part each, every second */
#define MAX_PARTS	400
#define MAX_BYTES	(2 * MIB)
#define PLAIN_PARTS	128
#define SEED_MEMORY	1
#define SEED_DEVICE	2

static const struct {
	const char *name;
	struct layout layout;
} memories[] = {
	{ "4K pages", { .backing = BACKING_4K, .size = SIZE } },
	{ "folios of 64K", { .backing = BACKING_64K, .size = SIZE } },
	{ "THPs", { .backing = BACKING_THP, .size = SIZE } },
};

enum hole { NONE, NO_ACCESS, UNMAPPED, READ_ONLY };

static const char * const holes[] = {
	[NONE] = "", [NO_ACCESS] = ", no access", [UNMAPPED] = ", unmapped",
	[READ_ONLY] = ", read-only",
};

/* What a call returns, and how many bytes of it arrive. */
struct outcome {
	int ret;
	size_t arrived;
};

/*
 * @pages parts of a page each, and then those of @parts, whose addresses count from the hole, if
 * there is one. The first byte goes to the start of the device, or is so far from its end.
 */
static const struct trial {
	const char *name;
	size_t block;			/* of devices where it is so; 0: all */
	bool hole;
	unsigned int pages;
	struct {
		int at, len;
	} parts[4];
	size_t from_end;
	struct outcome read, write;
} trials[] = {
#define BOTH(ret, arrived)	{ ret, arrived }, { ret, arrived }
	{ "a part runs into the hole", 0, true, 0, { { -8192, 16384 } }, 0, BOTH(8192, 8192) },
	{ "a part that begins in a page runs into it", 512, true, 0, { { -7680, 15872 } }, 0,
	  BOTH(7680, 7680) },
	/* What is less than a block goes through the page cache then. */
	{ "half of a block before the hole", 4096, true, 0, { { -7680, 12288 } }, 0,
	  BOTH(7680, 7680) },
	{ "less than a block before the hole", 4096, true, 0, { { -3584, 8192 } }, 0,
	  BOTH(-EFAULT, 0) },
	{ "the second of three parts", 0, true, 0, { { -12288, 4096 }, { 0, 4096 }, { 8192, 4096 } },
	  0, BOTH(4096, 4096) },
	{ "the first of two parts", 0, true, 0, { { 0, 4096 }, { 8192, 4096 } }, 0,
	  BOTH(-EFAULT, 0) },
	{ "a block in two parts, half of it behind the hole's start", 4096, true, 0,
	  { { -8192, 1024 }, { -1024, 3072 } }, 0, BOTH(-EFAULT, 0) },
	{ "a block, and one that is cut in its second part", 4096, true, 0,
	  { { -20480, 4608 }, { -1024, 3584 } }, 0, BOTH(5632, 5632) },
	{ "behind the 100th part", 0, true, 100, { { 0, 4096 } }, 0, BOTH(409600, 409600) },
	/* With more than one bio, an error is what is told, whatever was transferred. */
	{ "in the second bio", 0, true, 300, { { 0, 4096 } }, 0, BOTH(-EFAULT, 1228800) },
	{ "at the start of the second bio", 0, true, 256, { { 0, 4096 } }, 0,
	  BOTH(-EFAULT, 1048576) },

	{ "the device ends in a part", 0, false, 0, { { 0, 16384 } }, 8192, BOTH(8192, 8192) },
	{ "the device ends between parts", 0, false, 0, { { 0, 4096 }, { 8192, 4096 } }, 4096,
	  BOTH(4096, 4096) },
	{ "the device ends in the 300th part", 0, false, 320, { }, 1220608,
	  BOTH(1220608, 1220608) },

	{ "no part is aligned", 0, false, 0, { { 1, 4096 }, { 8193, 4096 } }, 0,
	  BOTH(-EINVAL, 0) },
	{ "the second part is not aligned", 0, false, 0, { { 0, 4096 }, { 8193, 4096 } }, 0,
	  BOTH(-EINVAL, 0) },
	{ "a length is not aligned", 0, false, 0, { { 0, 4097 }, { 8192, 4095 } }, 0,
	  BOTH(-EINVAL, 0) },
	{ "in the second bio a part is not aligned", 0, false, 300, { { 1, 4096 } }, 0,
	  BOTH(-EINVAL, 1048576) },
	{ "not of whole blocks", 0, false, 0, { { 0, 4096 }, { 8192, 256 } }, 0, BOTH(-EINVAL, 0) },
#undef BOTH
};

static unsigned int passed, failed, skipped;
static char *bounce, *shadow;

static void result(const struct io_target *target, const char *what, int ret,
		   const struct reason *why)
{
	if (ret < 0) {
		failed++;
		printf("FAIL %s, %s: %s\n", target->name, what, why->text);
	} else if (ret > 0) {
		skipped++;
		printf("SKIP %s, %s: %s\n", target->name, what, why->text);
	} else {
		passed++;
	}
	fflush(stdout);
}

static ssize_t transfer(int fd, bool write, const struct iovec *iov, unsigned int nr, uint64_t off)
{
	ssize_t ret = write ? pwritev(fd, iov, (int)nr, (off_t)off) :
			      preadv(fd, iov, (int)nr, (off_t)off);

	return ret < 0 ? -errno : ret;
}

/*
 * In parts of a sector: null_blk notes for each segment that its first sector was written, and
 * reads zeros where one begins at another sector of a larger block.
 */
static int plain(const struct io_target *target, bool write, size_t len, uint64_t off,
		 struct reason *why)
{
	struct iovec iov[PLAIN_PARTS];

	for (size_t at = 0; at < len; ) {
		size_t start = at;
		unsigned int nr = 0;
		ssize_t ret;

		for (; nr < PLAIN_PARTS && at < len; at += 512)
			iov[nr++] = (struct iovec){ bounce + at, 512 };
		ret = transfer(target->fd, write, iov, nr, off + start);
		if (ret != (ssize_t)(at - start))
			return because(why, "plain %s: %zd", write ? "pwritev" : "preadv", ret);
	}
	return 0;
}

/* --- trials -------------------------------------------------------------- */

static unsigned int make_iov(const struct trial *trial, char *memory, struct iovec *iov,
			     size_t *total)
{
	unsigned int nr = 0;

	*total = 0;
	for (; nr < trial->pages; nr++)
		iov[nr] = (struct iovec){ memory + BEHIND + 2 * nr * PAGE, PAGE };
	for (unsigned int i = 0; i < ARRAY_SIZE(trial->parts) && trial->parts[i].len; i++)
		iov[nr++] = (struct iovec){ memory + HOLE + trial->parts[i].at,
					    (size_t)trial->parts[i].len };
	for (unsigned int i = 0; i < nr; i++)
		*total += iov[i].iov_len;
	return nr;
}

static void make_hole(char *memory, enum hole hole)
{
	if (hole == UNMAPPED ? munmap(memory + HOLE, PAGE) :
	    hole && mprotect(memory + HOLE, PAGE, hole == READ_ONLY ? PROT_READ : PROT_NONE))
		die("munmap, mprotect: %s", strerror(errno));
}

static void fill_hole(char *memory, enum hole hole)
{
	if (hole == UNMAPPED) {
		if (mmap(memory + HOLE, PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
			die("mmap: %s", strerror(errno));
		pattern_fill(memory + HOLE, PAGE, HOLE, SEED_MEMORY);
	} else if (hole && mprotect(memory + HOLE, PAGE, PROT_READ | PROT_WRITE)) {
		die("mprotect: %s", strerror(errno));
	}
}

static size_t first_difference(const char *a, const char *b, size_t len)
{
	size_t i = 0;

	if (!memcmp(a, b, len))
		return len;
	while (a[i] == b[i])
		i++;
	return i;
}

/* Bytes of the parts, from the first one on, that are now as in @data. */
static size_t count_arrived(const struct iovec *iov, unsigned int nr, const char *data)
{
	size_t at = 0;

	for (unsigned int i = 0; i < nr; at += iov[i++].iov_len) {
		size_t same = first_difference(iov[i].iov_base, data + at, iov[i].iov_len);

		if (same < iov[i].iov_len)
			return at + same;
	}
	return at;
}

/* The memory has what was on the device, up to where it arrived, and nothing else is changed. */
static int check_memory(char *memory, const struct iovec *iov, unsigned int nr,
			const struct outcome *want, ssize_t ret, struct reason *why)
{
	size_t arrived = count_arrived(iov, nr, bounce), at = 0;

	if (ret != want->ret || arrived != want->arrived)
		return because(why, "%zd, and %zu bytes arrived, instead of %d and %zu", ret,
			       arrived, want->ret, want->arrived);
	pattern_fill(shadow, SIZE, 0, SEED_MEMORY);
	for (unsigned int i = 0; i < nr && at < arrived; at += iov[i++].iov_len)
		memcpy(shadow + ((char *)iov[i].iov_base - memory), bounce + at,
		       min_size(iov[i].iov_len, arrived - at));
	at = first_difference(memory, shadow, SIZE);
	return at == SIZE ? 0 : because(why, "byte %#zx of the memory is wrong", at);
}

/* The same the other way round. */
static int check_device(const struct io_target *target, const struct iovec *iov, unsigned int nr,
			uint64_t off, size_t len, const struct outcome *want, ssize_t ret,
			struct reason *why)
{
	size_t arrived;

	if (plain(target, false, len, off, why))
		return -1;
	arrived = count_arrived(iov, nr, bounce);
	if (ret != want->ret || arrived != want->arrived)
		return because(why, "%zd, and %zu bytes arrived, instead of %d and %zu", ret,
			       arrived, want->ret, want->arrived);
	if (pattern_check(bounce + arrived, len - arrived, arrived, SEED_DEVICE) != len - arrived)
		return because(why, "what follows on the device is changed");
	return 0;
}

static int run_trial(const struct io_target *target, const struct trial *trial,
		     const struct layout *layout, enum hole hole, bool write, struct reason *why)
{
	uint64_t off = trial->from_end ? target->size - trial->from_end : 0;
	struct iovec iov[MAX_PARTS];
	size_t len = min_size(MAX_BYTES, target->size - off), total;
	struct vmstat before;
	struct memory mem;
	unsigned int nr;
	ssize_t ret;
	int bad;

	vmstat_start(&before);
	if (memory_map(&mem, layout, why))
		return -1;
	nr = make_iov(trial, mem.addr, iov, &total);
	pattern_fill(bounce, len, 0, SEED_DEVICE);
	pattern_fill(mem.addr, SIZE, 0, SEED_MEMORY);
	bad = plain(target, true, len, off, why);
	if (!bad) {
		const struct outcome all = { (int)total, total };
		/* What may be read is a source. */
		const struct outcome *want = !write ? &trial->read :
					     hole == READ_ONLY ? &all : &trial->write;

		make_hole(mem.addr, hole);
		ret = transfer(target->fd, write, iov, nr, off);
		fill_hole(mem.addr, hole);
		bad = write ? check_device(target, iov, nr, off, len, want, ret, why) :
			      check_memory(mem.addr, iov, nr, want, ret, why);
	}
	memory_unmap(&mem);
	return bad ? bad : vmstat_balanced(&before, why);
}

static void run_trials(const struct io_target *target)
{
	for (size_t i = 0; i < ARRAY_SIZE(trials) * ARRAY_SIZE(memories) * 2; i++) {
		const struct trial *trial = &trials[i / 2 / ARRAY_SIZE(memories)];
		size_t m = i / 2 % ARRAY_SIZE(memories);
		bool write = i % 2;

		if (trial->block && trial->block != target->block)
			continue;
		for (enum hole hole = trial->hole ? NO_ACCESS : NONE;
		     hole <= (trial->hole ? READ_ONLY : NONE); hole++) {
			struct reason why;
			char what[160];

			snprintf(what, sizeof(what), "%s, %s, %s%s", write ? "pwritev" : "preadv",
				 trial->name, memories[m].name, holes[hole]);
			result(target, what, run_trial(target, trial, &memories[m].layout, hole,
						       write, &why), &why);
		}
	}
}

/* --- memory of odd kinds ------------------------------------------------- */

static char *map_fresh(int advice)
{
	char *addr = mmap(NULL, 2 * SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (addr == MAP_FAILED)
		die("mmap: %s", strerror(errno));
	addr = (char *)ALIGN_UP((uintptr_t)addr, 2 * MIB);
	if (madvise(addr, SIZE, advice))
		die("madvise: %s", strerror(errno));
	return addr;
}

/*
 * Pages that nobody has written to, and of which every one in @touch is read before: the page of
 * zeros, a huge one if they may be huge. As a source, and as the destination of what replaces
 * them.
 */
static int run_zeros(const struct io_target *target, int advice, size_t touch, struct reason *why)
{
	static const size_t starts[] = { 0, 512, PAGE - 512, 2 * MIB - 4 * PAGE - 512 };
	struct vmstat before;
	int ret = 0;

	vmstat_start(&before);
	for (size_t i = 0; i < ARRAY_SIZE(starts) && !ret; i++) {
		char *addr = map_fresh(advice);
		size_t start = ALIGN_DOWN(starts[i], target->mem_align), len = MIB;
		struct iovec iov = { addr + start, len };
		unsigned int sum = 0;

		for (size_t at = 0; touch && at < SIZE; at += touch)
			sum += ((volatile uint8_t *)addr)[at];
		pattern_fill(bounce, len, 0, SEED_DEVICE);
		if (sum)
			die("memory is not zero");
		if (plain(target, true, len, 0, why) ||
		    transfer(target->fd, true, &iov, 1, 0) != (ssize_t)len ||
		    plain(target, false, len, 0, why))
			ret = because(why, "start %zu: writing", start);
		memset(shadow, 0, SIZE);
		if (!ret && memcmp(bounce, shadow, len))
			ret = because(why, "start %zu: what was written is not 0", start);
		pattern_fill(bounce, len, 0, SEED_DEVICE);
		if (!ret && (plain(target, true, len, 0, why) ||
			     transfer(target->fd, false, &iov, 1, 0) != (ssize_t)len ||
			     memcmp(iov.iov_base, bounce, len)))
			ret = because(why, "start %zu: reading", start);
		memcpy(shadow + start, bounce, len);
		if (!ret && memcmp(addr, shadow, SIZE))
			ret = because(why, "start %zu: memory beside what was read", start);
		munmap(addr, SIZE);
	}
	return ret ? ret : vmstat_balanced(&before, why);
}

/* A part across each boundary of folios, more of them than a bio takes; from bytes to a page. */
static int run_across(const struct io_target *target, const struct layout *layout,
		      struct reason *why)
{
	/* Not so little that a bio does not take a block */
	size_t align = target->mem_align < target->block / 128 ? target->block / 128 :
								  target->mem_align;
	size_t step = backing_page_size(layout->backing), left = align, total;
	struct iovec iov[MAX_PARTS];
	struct vmstat before;
	struct memory mem;
	unsigned int nr;
	int ret = 0;

	vmstat_start(&before);
	if (memory_map(&mem, layout, why))
		return -1;
	if (step < 8 * KIB)
		step = 8 * KIB;
	for (; left <= PAGE && !ret; left += left < 16 * align ? align : 16 * align) {
		total = 0;
		for (nr = 0; nr < MAX_PARTS && (nr + 2) * step <= SIZE; nr++) {
			iov[nr] = (struct iovec){ mem.addr + (nr + 1) * step - left,
						  left + align };
			total += iov[nr].iov_len;
		}
		/* Whole blocks */
		iov[nr - 1].iov_len += ALIGN_UP(total, target->block) - total;
		total = ALIGN_UP(total, target->block);

		pattern_fill(mem.addr, SIZE, 0, SEED_MEMORY);
		if (transfer(target->fd, true, iov, nr, 0) != (ssize_t)total)
			ret = because(why, "%zu bytes on the left: pwritev", left);
		else if (plain(target, false, total, 0, why) ||
			 count_arrived(iov, nr, bounce) != total)
			ret = because(why, "%zu bytes on the left: wrong on the device", left);
		if (ret)
			break;
		pattern_fill(bounce, total, 0, SEED_DEVICE);
		if (plain(target, true, total, 0, why))
			ret = -1;
		else
			ret = check_memory(mem.addr, iov, nr, &(struct outcome){ (int)total, total },
					   transfer(target->fd, false, iov, nr, 0), why);
	}
	memory_unmap(&mem);
	return ret ? ret : vmstat_balanced(&before, why);
}

/* --- memory of two devices ----------------------------------------------- */

#define DAX_PAGES	160	/* of each, so that one bio does not take a page of each */

static void map_dax(char *addr, const char *dir, size_t len)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "%s/memory", dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, (off_t)len) ||
	    mmap(addr, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED)
		die("%s: %s", path, strerror(errno));
	close(fd);
}

/* One part over both, one of each, and all of it page by page together with anonymous memory. */
static int run_dax(const struct io_target *target, char *addr, char *anonymous, struct reason *why)
{
	size_t half = DAX_PAGES * PAGE;
	struct iovec page_by_page[3 * DAX_PAGES];
	struct iovec over[] = { { addr + PAGE, 2 * half - 2 * PAGE } };
	struct iovec each[] = { { addr + half, half }, { addr, half } };
	struct iovec mixed[] = { { anonymous, 4 * PAGE }, { addr + 512, half },
				 { anonymous + half, 512 }, { addr + half + 512, 3072 } };
	const struct {
		struct iovec *iov;
		unsigned int nr;
	} vectors[] = { { over, 1 }, { each, 2 }, { mixed, 4 }, { page_by_page, 3 * DAX_PAGES } };
	struct vmstat before;

	for (unsigned int i = 0; i < DAX_PAGES; i++) {
		page_by_page[3 * i] = (struct iovec){ addr + i * PAGE, PAGE };
		page_by_page[3 * i + 1] = (struct iovec){ anonymous + i * PAGE, PAGE };
		page_by_page[3 * i + 2] = (struct iovec){ addr + half + i * PAGE, PAGE };
	}
	vmstat_start(&before);
	for (size_t v = 0; v < ARRAY_SIZE(vectors); v++) {
		const struct iovec *iov = vectors[v].iov;
		unsigned int nr = vectors[v].nr;
		size_t total = 0;
		ssize_t ret;

		for (unsigned int i = 0; i < nr; i++)
			total += iov[i].iov_len;
		pattern_fill(addr, 2 * half, 0, SEED_MEMORY + v);
		pattern_fill(anonymous, half + PAGE, 2 * half, SEED_MEMORY + v);
		ret = transfer(target->fd, true, iov, nr, 0);
		if (ret != (ssize_t)total)
			return because(why, "vector %zu: pwritev: %zd of %zu", v, ret, total);
		if (plain(target, false, total, 0, why) ||
		    count_arrived(iov, nr, bounce) != total)
			return because(why, "vector %zu: wrong on the device", v);
		pattern_fill(bounce, total, 0, SEED_DEVICE + v);
		if (plain(target, true, total, 0, why))
			return -1;
		ret = transfer(target->fd, false, iov, nr, 0);
		if (ret != (ssize_t)total)
			return because(why, "vector %zu: preadv: %zd of %zu", v, ret, total);
		if (count_arrived(iov, nr, bounce) != total)
			return because(why, "vector %zu: wrong in memory", v);
	}
	return vmstat_balanced(&before, why);
}

static void run_device(const struct io_target *target, bool dax)
{
	struct reason why;
	char what[80];

	run_trials(target);
	result(target, "pages not there", run_zeros(target, MADV_NOHUGEPAGE, 0, &why), &why);
	result(target, "pages of zeros", run_zeros(target, MADV_NOHUGEPAGE, PAGE, &why), &why);
	result(target, "every second a page of zeros",
	       run_zeros(target, MADV_NOHUGEPAGE, 2 * PAGE, &why), &why);
	result(target, "huge pages not there", run_zeros(target, MADV_HUGEPAGE, 0, &why), &why);
	result(target, "huge pages of zeros", run_zeros(target, MADV_HUGEPAGE, 2 * MIB, &why), &why);
	for (size_t m = 0; m < ARRAY_SIZE(memories); m++) {
		snprintf(what, sizeof(what), "parts across the boundaries of %s", memories[m].name);
		result(target, what, run_across(target, &memories[m].layout, &why), &why);
	}
	if (dax && target->block == 512) {
		size_t half = DAX_PAGES * PAGE;
		char *addr = map_fresh(MADV_NOHUGEPAGE);

		map_dax(addr, "/mnt-dax0", half);
		map_dax(addr + half, "/mnt-dax1", half);
		result(target, "memory of two DAX devices",
		       run_dax(target, addr, addr + 2 * half, &why), &why);
		munmap(addr, SIZE);
	}
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "ext4", required_argument, NULL, 'e' },
		{ "dax", required_argument, NULL, 'd' },
		{ }
	};
	const char *ext4 = NULL, *dax[2];
	unsigned int nr_dax = 0;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'e')
			ext4 = optarg;
		else if (c == 'd' && nr_dax < 2)
			dax[nr_dax++] = optarg;
		else
			die("usage: dio_cases [--ext4 IMAGE --dax PMEM --dax PMEM] DEVICE...\n"
			    "All but IMAGE are written to.");
	}
	if (optind == argc || (nr_dax && (nr_dax < 2 || !ext4)))
		die("no device, or one of two");
	if (nr_dax) {
		mount_dax(dax[0], ext4, "/mnt-dax0");
		mount_dax(dax[1], ext4, "/mnt-dax1");
	}
	bounce = aligned_alloc(PAGE, MAX_BYTES);
	shadow = malloc(SIZE);
	if (!bounce || !shadow)
		die("out of memory");
	for (; optind < argc; optind++) {
		struct io_target target;
		struct reason why;

		if (io_target_open(&target, argv[optind], 0, &why))
			die("%s", why.text);
		run_device(&target, nr_dax);
		io_target_close(&target);
	}
	printf("%u passed, %u failed, %u skipped\n", passed, failed, skipped);
	return failed || !passed ? 1 : 0;
}
