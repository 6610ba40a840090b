// SPDX-License-Identifier: GPL-2.0
/*
 * What the kernel tells about registered buffers: limits and features by query, the layout of
 * one buffer, lines in fdinfo.
 */
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../liburing-ext/src/uapi.h"
#include "layouts.h"
#include "regbuf_uapi.h"
#include "registration.h"

#define RO		true
#define PAGE		(4 * KIB)
#define LAST_PAGE	((char *)-(long)PAGE)

#define READ_ONLY	IORING_BUFFER_LAYOUT_READ_ONLY

typedef struct io_uring_buffer_layout layout_t;

/* The library has definitions of its own, for it is older headers that it has to live with. */
#define SAME(a, b)		_Static_assert((a) == (b), #a)
#define SAME_FIELD(a, f, b, g)	SAME(offsetof(struct a, f), offsetof(struct b, g))

SAME(URING_EXT_REGISTER_BUFFER_LAYOUT, IORING_REGISTER_BUFFER_LAYOUT);
SAME(URING_EXT_REGISTER_QUERY, IORING_REGISTER_QUERY);
SAME(URING_EXT_QUERY_REGBUF, IO_URING_QUERY_REGBUF);
SAME(URING_EXT_OP_BUFFERS_UPDATE, IORING_OP_BUFFERS_UPDATE);
SAME(URING_EXT_FEATURE_RUNS, IO_URING_REGBUF_FEATURE_RUNS);
SAME(URING_EXT_FEATURE_LAYOUT, IO_URING_REGBUF_FEATURE_LAYOUT);
SAME(URING_EXT_FEATURE_REQUEST, IO_URING_REGBUF_FEATURE_REQUEST);
SAME(URING_EXT_BUFFER_READ_ONLY, IORING_BUFFER_LAYOUT_READ_ONLY);
SAME(URING_EXT_BUFFER_KERNEL, IORING_BUFFER_LAYOUT_KERNEL);
SAME(sizeof(struct urext_query_hdr), sizeof(struct io_uring_query_hdr));
SAME_FIELD(urext_query_hdr, query_op, io_uring_query_hdr, query_op);
SAME_FIELD(urext_query_hdr, result, io_uring_query_hdr, result);
SAME(sizeof(struct urext_query_regbuf), sizeof(struct io_uring_query_regbuf));
SAME_FIELD(urext_query_regbuf, max_buffers, io_uring_query_regbuf, max_buffers);
SAME_FIELD(urext_query_regbuf, update_flags, io_uring_query_regbuf, update_flags);
SAME_FIELD(urext_query_regbuf, desc_types, io_uring_query_regbuf, desc_types);
SAME_FIELD(urext_query_regbuf, desc_flags, io_uring_query_regbuf, desc_flags);
SAME_FIELD(urext_query_regbuf, features, io_uring_query_regbuf, features);
SAME(sizeof(struct urext_buffer_layout), IORING_BUFFER_LAYOUT_SIZE_VER0);
SAME_FIELD(urext_buffer_layout, nr_runs, io_uring_buffer_layout, nr_runs);
SAME_FIELD(urext_buffer_layout, smallest_run, io_uring_buffer_layout, smallest_run);
SAME_FIELD(urext_buffer_layout, largest_run, io_uring_buffer_layout, largest_run);
SAME_FIELD(urext_buffer_layout, charged_bytes, io_uring_buffer_layout, charged_bytes);
SAME_FIELD(urext_buffer_layout, flags, io_uring_buffer_layout, flags);

/* So have the library and the other test programs for descriptors. */
#define SAME_DESC(name, type)							\
	SAME(URING_EXT_UPDATE_EXTENDED, IORING_RSRC_UPDATE_EXTENDED);			\
	SAME(name##_EMPTY, IO_REGBUF_TYPE_EMPTY);					\
	SAME(name##_UADDR, IO_REGBUF_TYPE_UADDR);					\
	SAME(name##_MEMFD, IO_REGBUF_TYPE_MEMFD);					\
	SAME(name##_READ_ONLY, IO_REGBUF_READ_ONLY);					\
	SAME(sizeof(struct type), sizeof(struct io_uring_regbuf_desc));			\
	SAME_FIELD(type, flags, io_uring_regbuf_desc, flags);				\
	SAME_FIELD(type, size, io_uring_regbuf_desc, size);				\
	SAME_FIELD(type, uaddr, io_uring_regbuf_desc, uaddr);				\
	SAME_FIELD(type, memfd, io_uring_regbuf_desc, memfd);				\
	SAME_FIELD(type, offset, io_uring_regbuf_desc, offset)

SAME_DESC(URING_EXT_DESC, urext_desc);
SAME_DESC(URING_DESC, uring_desc);
SAME(URING_OP_BUFFERS_UPDATE, IORING_OP_BUFFERS_UPDATE);

/* ---- query ---- */

static int query(int fd, void *data, unsigned int *size)
{
	struct io_uring_query_hdr hdr = {
		.query_data = (uintptr_t)data,
		.query_op = IO_URING_QUERY_REGBUF,
		.size = *size,
	};

	EXPECT(uapi_register(fd, IORING_REGISTER_QUERY, &hdr, 0), 0);
	*size = hdr.size;
	return hdr.result;
}

static void query_values(void)
{
	struct io_uring_query_regbuf q = { }, again = { };
	unsigned int size = sizeof(q);
	struct io_uring ring;

	/* Without a ring, and the same with one */
	EXPECT(query(-1, &q, &size), 0);
	EXPECT(size, sizeof(q));
	uapi_ring(&ring);
	EXPECT(query(ring.ring_fd, &again, &size), 0);
	EXPECT(memcmp(&q, &again, sizeof(q)), 0);

	EXPECT(q.features, IO_URING_REGBUF_FEATURE_RUNS | IO_URING_REGBUF_FEATURE_LAYOUT |
			   IO_URING_REGBUF_FEATURE_REQUEST);
	EXPECT(q.register_flags, IORING_RSRC_REGISTER_SPARSE);
	EXPECT(q.update_flags, IORING_RSRC_UPDATE_EXTENDED);
	EXPECT(q.desc_types, 1ULL << IO_REGBUF_TYPE_EMPTY | 1ULL << IO_REGBUF_TYPE_UADDR |
			     1ULL << IO_REGBUF_TYPE_MEMFD);
	EXPECT(q.desc_flags, IO_REGBUF_READ_ONLY);
	EXPECT(q.layout_size, sizeof(layout_t));

	/* What is told is what is done; a length is looked at before the address. */
	EXPECT(uapi_buffers(&ring, NULL, q.max_buffers + 1, IORING_RSRC_REGISTER_SPARSE), -EINVAL);
	EXPECT(uapi_buffers(&ring, NULL, q.max_buffers, IORING_RSRC_REGISTER_SPARSE), 0);
	EXPECT(io_uring_unregister_buffers(&ring), 0);
	EXPECT_TRUE(q.max_buffer_bytes >= TIB);
	EXPECT(uapi_buffer(&ring, LAST_PAGE, q.max_buffer_bytes, false), -EOVERFLOW);
	EXPECT_TRUE(uapi_buffer(&ring, LAST_PAGE, q.max_buffer_bytes + PAGE, false) != -EOVERFLOW);
}

static void query_sizes(void)
{
	struct {
		struct io_uring_query_regbuf q;
		char more[64];
	} big;
	struct io_uring_query_regbuf q;
	unsigned int size;

	/* An older program gets the beginning, a newer one zeroes at the end. */
	memset(&big, 0xff, sizeof(big));
	size = sizeof(__u64);
	EXPECT(query(-1, &big, &size), 0);
	EXPECT(size, sizeof(__u64));
	EXPECT_TRUE(big.q.max_buffer_bytes >= TIB);
	EXPECT(big.q.max_buffers, UINT_MAX);

	memset(&big, 0xff, sizeof(big));
	size = sizeof(big);
	EXPECT(query(-1, &big, &size), 0);
	EXPECT(size, sizeof(q));
	EXPECT(big.q.layout_size, sizeof(layout_t));
	for (size_t i = 0; i < sizeof(big.more); i++)
		EXPECT(big.more[i], 0);

	size = 0;
	EXPECT(query(-1, &q, &size), -EINVAL);
	EXPECT(size, 0);
}

/* ---- layout ---- */

static int layout(int fd, unsigned int index, layout_t *l)
{
	memset(l, 0, sizeof(*l));
	l->index = index;
	return uapi_register(fd, IORING_REGISTER_BUFFER_LAYOUT, l, sizeof(*l));
}

static void get_layout(struct io_uring *ring, unsigned int index, layout_t *l)
{
	EXPECT(layout(ring->ring_fd, index, l), 0);
	EXPECT(l->index, index);
	EXPECT(l->resv, 0);
	EXPECT(l->resv2, 0);
}

static char *fdinfo(struct io_uring *ring)
{
	static char text[16384];
	char path[64];
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", ring->ring_fd);
	/* The lists are left out while the ring is locked. */
	for (int i = 0; i < 100; i++) {
		f = fopen(path, "re");
		EXPECT_TRUE(f);
		n = fread(text, 1, sizeof(text) - 1, f);
		fclose(f);
		text[n] = '\0';
		if (strstr(text, "CqOverflowList:"))
			return text;
		usleep(10000);
	}
	fail("no lists in %s", path);
}

/* How the kernel stores the buffer is its own affair: fdinfo has it. Of the last layout_of() */
static struct {
	char shape[16];
	unsigned long long metadata;
} last;

static void get_last(struct io_uring *ring)
{
	const char *line = strstr(fdinfo(ring), "\n  buf=0, layout=");

	EXPECT_TRUE(line);
	EXPECT(sscanf(line, "\n  buf=0, layout=%15[a-z], bvecs=%*u, metadata=%llu,", last.shape,
		      &last.metadata), 2);
}

static void expect_shape(const char *shape)
{
	if (strcmp(last.shape, shape))
		fail("the layout is %s, not %s", last.shape, shape);
}

/* Registers a part of the memory and gives it back. */
static void layout_of(const void *addr, size_t len, layout_t *l)
{
	struct io_uring ring;

	uapi_ring(&ring);
	EXPECT(uapi_buffer(&ring, addr, len, false), 0);
	get_layout(&ring, 0, l);
	get_last(&ring);
	EXPECT(l->len, len);
	EXPECT(l->charged_bytes, 0);
	EXPECT(l->flags, 0);
	io_uring_queue_exit(&ring);
}

static void expect_runs(const layout_t *l, uint64_t nr, uint64_t smallest, uint64_t largest)
{
	EXPECT(l->nr_runs, nr);
	EXPECT(l->smallest_run, smallest);
	EXPECT(l->largest_run, largest);
}

/*
 * More than the 16 bytes of a bvec for each, and not more than a page pointer array was: stock has
 * room for 32 bvecs at least.
 */
static void expect_metadata(uint64_t bvecs, uint64_t tables)
{
	uint64_t bytes = bvecs * 16 + tables;

	EXPECT_TRUE(last.metadata > bytes);
	if (bytes < 32 * 16)
		bytes = 32 * 16;
	EXPECT_TRUE(last.metadata <= bytes + 64);
}

static void map_layout(struct memory *mem, enum backing backing, size_t size, size_t alias,
		       size_t replace_every)
{
	struct layout want = {
		.backing = backing,
		.size = size,
		.alias = alias,
		.replace_every = replace_every,
	};
	struct reason why;

	if (memory_map(mem, &want, &why))
		skip("%s", why.text);
}

static void layout_pages(void)
{
	struct memory mem;
	layout_t l;

	map_layout(&mem, BACKING_4K, MIB, 0, 0);
	layout_of(mem.addr, MIB, &l);
	expect_shape("uniform");
	expect_runs(&l, 256, PAGE, PAGE);
	expect_metadata(256, 0);

	/* A byte; the end of one page and the start of the next */
	layout_of(mem.addr + 100, 1, &l);
	expect_runs(&l, 1, 1, 1);
	expect_metadata(1, 0);
	layout_of(mem.addr + PAGE - 10, 40, &l);
	expect_runs(&l, 2, 10, 30);
	memory_unmap(&mem);
}

static void layout_thp(void)
{
	struct memory mem;
	layout_t l;

	map_layout(&mem, BACKING_THP, 8 * MIB, 0, 0);
	layout_of(mem.addr, 8 * MIB, &l);
	expect_shape("uniform");
	expect_runs(&l, 4, 2 * MIB, 2 * MIB);
	layout_of(mem.addr + 100, 4 * MIB, &l);
	expect_shape("uniform");
	expect_runs(&l, 3, 100, 2 * MIB);
	memory_unmap(&mem);
}

/*
 * Runs of 512, 256 and 512 pages are uniform, of 256: the last run is two bvecs and has to be
 * counted once. A part of a THP is moved between two of them.
 */
static void layout_long_runs(void)
{
	struct memory mem, other;
	layout_t l;
	char *at;

	map_layout(&mem, BACKING_THP, 6 * MIB, 0, 0);
	map_layout(&other, BACKING_THP, 2 * MIB, 0, 0);
	/* [mem: 2 MiB][other: 1 MiB][mem: 2 MiB, page table entries now] */
	at = mem.addr + 2 * MIB;
	EXPECT_TRUE(mremap(at, 2 * MIB, 2 * MIB, MREMAP_MAYMOVE | MREMAP_FIXED, at + 3 * MIB) ==
		    at + 3 * MIB);
	EXPECT_TRUE(mremap(at + 3 * MIB, 2 * MIB, 2 * MIB, MREMAP_MAYMOVE | MREMAP_FIXED,
			   at + MIB) == at + MIB);
	EXPECT_TRUE(mremap(other.addr, MIB, MIB, MREMAP_MAYMOVE | MREMAP_FIXED, at) == at);
	layout_of(mem.addr, 5 * MIB, &l);
	expect_shape("uniform");
	expect_runs(&l, 3, MIB, 2 * MIB);
}

/* Page by page: the replaced one is in no THP, what is left and right of it in one. */
static void expect_replaced(const struct memory *mem, const layout_t *l)
{
	uint64_t nr = 0, smallest = UINT64_MAX, largest = 0, len = 0;
	size_t r = 0;

	for (size_t off = 0; off <= mem->size; off += PAGE) {
		bool odd = r < mem->nr_replaced && mem->replaced[r] == off;
		bool after = r && mem->replaced[r - 1] + PAGE == off;

		if (len && (off == mem->size || off % (2 * MIB) == 0 || odd || after)) {
			nr++;
			smallest = len < smallest ? len : smallest;
			largest = len > largest ? len : largest;
			len = 0;
		}
		r += odd;
		len += PAGE;
	}
	expect_runs(l, nr, smallest, largest);
}

static void layout_mixed(void)
{
	struct memory mem;
	layout_t l;

	map_layout(&mem, BACKING_THP, 64 * MIB, 0, 16 * MIB);
	EXPECT(mem.nr_replaced, 4);
	layout_of(mem.addr, mem.size, &l);
	expect_shape("mixed");
	expect_replaced(&mem, &l);
	/* Start pages and buckets; far from the 256 KiB of a bvec for each page */
	EXPECT_TRUE(last.metadata > l.nr_runs * 20);
	EXPECT_TRUE(last.metadata < l.nr_runs * 24 + 128);
	memory_unmap(&mem);
}

static void layout_hugetlb(void)
{
	struct memory mem;
	layout_t l;

	map_layout(&mem, BACKING_HUGETLB_2M, 64 * MIB, 32 * MIB, 0);
	layout_of(mem.addr, mem.size, &l);
	expect_shape("uniform");
	expect_runs(&l, 32, 2 * MIB, 2 * MIB);
	layout_of(mem.addr + MIB, 32 * MIB, &l);
	expect_runs(&l, 17, MIB, 2 * MIB);
	memory_unmap(&mem);
}

/* The same page again and again is a run each time: its end is not followed by its start. */
static void layout_gigantic(void)
{
	struct memory mem;
	layout_t l;

	map_layout(&mem, BACKING_HUGETLB_1G, 4 * GIB, GIB, 0);
	layout_of(mem.addr, mem.size, &l);
	expect_shape("uniform");
	expect_runs(&l, 4, GIB, GIB);
	expect_metadata(4, 0);
	layout_of(mem.addr + 4096 + 5, 100 * MIB, &l);
	expect_runs(&l, 1, 100 * MIB, 100 * MIB);
	memory_unmap(&mem);
}

static uint64_t vmpin(void)
{
	uint64_t kb;

	EXPECT(read_key("/proc/self/status", "VmPin:", &kb), 0);
	return kb * KIB;
}

/* What all buffers together were charged is what the process is charged. */
static void layout_charged(void)
{
	struct memory mem;
	struct iovec iov[2];
	struct io_uring ring;
	struct reason why;
	uint64_t before;
	layout_t l[2];

	map_layout(&mem, BACKING_4K, MIB, 0, 0);
	if (ring_init(&ring, true, &why))
		fail("%s", why.text);
	before = vmpin();
	iov[0] = (struct iovec){ mem.addr, 64 * KIB };
	iov[1] = (struct iovec){ mem.addr + MIB - 100, 100 };
	EXPECT(uapi_buffers(&ring, iov, 2, 0), 0);
	get_layout(&ring, 0, &l[0]);
	get_layout(&ring, 1, &l[1]);
	EXPECT(l[0].charged_bytes, 64 * KIB);
	EXPECT(l[1].charged_bytes, PAGE);
	EXPECT(vmpin() - before, l[0].charged_bytes + l[1].charged_bytes);
	EXPECT(io_uring_unregister_buffers(&ring), 0);

	/* Those that have pages in common, too */
	iov[0].iov_len = 128 * KIB;
	iov[1] = (struct iovec){ mem.addr + 64 * KIB, 128 * KIB };
	EXPECT(uapi_buffers(&ring, iov, 2, 0), 0);
	get_layout(&ring, 0, &l[0]);
	get_layout(&ring, 1, &l[1]);
	EXPECT(l[0].charged_bytes, 128 * KIB);
	EXPECT(vmpin() - before, l[0].charged_bytes + l[1].charged_bytes);
}

static void layout_of_readonly(void)
{
	char *mem = uapi_map(2 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	struct io_uring ring, clone;
	layout_t l;

	uapi_ring(&ring);
	EXPECT(uapi_buffer(&ring, mem, 2 * PAGE, RO), 0);
	get_layout(&ring, 0, &l);
	EXPECT(l.flags, READ_ONLY);
	expect_runs(&l, 2, PAGE, PAGE);
	uapi_ring(&clone);
	EXPECT(uapi_clone(&clone, &ring), 0);
	io_uring_queue_exit(&ring);
	get_layout(&clone, 0, &l);
	EXPECT(l.flags, READ_ONLY);
	expect_runs(&l, 2, PAGE, PAGE);
}

static int layout_raw(struct io_uring *ring, const void *arg, unsigned int size)
{
	return uapi_register(ring->ring_fd, IORING_REGISTER_BUFFER_LAYOUT, arg, size);
}

/*
 * Pages of a file that one may only read: told to whom mincore() tells it, of the mapping that
 * they are of.
 */
static void layout_of_file(void)
{
	int fd = uapi_file(2 * PAGE, 1);
	char *mem = uapi_map(2 * PAGE, PROT_READ, MAP_SHARED, fd);
	struct io_uring ring;
	layout_t l = { };

	EXPECT(fchmod(fd, 0644), 0);
	uapi_ring(&ring);
	EXPECT(uapi_buffer(&ring, mem, 2 * PAGE, RO), 0);
	EXPECT(layout_raw(&ring, &l, sizeof(l)), 0);
	EXPECT(l.len, 2 * PAGE);
	EXPECT(setresuid(1000, 1000, 0), 0);
	EXPECT(layout_raw(&ring, &l, sizeof(l)), -EACCES);
	EXPECT(setresuid(-1, 0, -1), 0);
	EXPECT(layout_raw(&ring, &l, sizeof(l)), 0);
	/* Not the mapping of that file any more: nothing, or memory of one's own */
	EXPECT(munmap(mem, 2 * PAGE), 0);
	EXPECT(layout_raw(&ring, &l, sizeof(l)), -EACCES);
	EXPECT_TRUE(mmap(mem, 2 * PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == mem);
	EXPECT(layout_raw(&ring, &l, sizeof(l)), -EACCES);
}

static void layout_errors(void)
{
	char *mem = uapi_map(2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	struct iovec iov[3] = { { mem, 1 }, { }, { mem, 1 } };
	struct {
		layout_t l;
		char more[PAGE];
	} big = { };
	struct io_uring ring;
	layout_t l = { };

	uapi_ring(&ring);
	EXPECT(layout(ring.ring_fd, 0, &l), -ENXIO);
	EXPECT(layout(-1, 0, &l), -EINVAL);
	EXPECT(layout(STDIN_FILENO, 0, &l), -EOPNOTSUPP);
	EXPECT(uapi_buffers(&ring, iov, 3, 0), 0);
	EXPECT(layout(ring.ring_fd, 1, &l), -ENOENT);
	EXPECT(layout(ring.ring_fd, 3, &l), -EINVAL);
	EXPECT(layout(ring.ring_fd, UINT_MAX, &l), -EINVAL);

	memset(&l, 0, sizeof(l));
	EXPECT(layout_raw(&ring, NULL, sizeof(l)), -EINVAL);
	EXPECT(layout_raw(&ring, &l, 0), -EINVAL);
	EXPECT(layout_raw(&ring, &l, sizeof(l) - 1), -EINVAL);
	EXPECT(layout_raw(&ring, &big, PAGE + 1), -E2BIG);
	l.resv = 1;
	EXPECT(layout_raw(&ring, &l, sizeof(l)), -EINVAL);
	l.resv = 0;
	l.resv2 = 1U << 31;
	EXPECT(layout_raw(&ring, &l, sizeof(l)), -EINVAL);
	l.resv2 = 0;

	/* What the kernel does not know has to be zero; it is zero afterwards, too. */
	EXPECT(layout_raw(&ring, &big, PAGE), 0);
	big.more[PAGE - 1 - sizeof(l)] = 1;
	EXPECT(layout_raw(&ring, &big, PAGE), -E2BIG);
	big.more[PAGE - 1 - sizeof(l)] = 0;
	EXPECT(layout_raw(&ring, &big, sizeof(l) + 8), 0);
	EXPECT(big.l.nr_runs, 1);
	for (size_t i = 0; i < sizeof(big.more); i++)
		EXPECT(big.more[i], 0);
	/* Its answer can be asked again. */
	EXPECT(layout_raw(&ring, &big, PAGE), 0);

	/* No memory; a struct that ends where it does; one that cannot be filled */
	EXPECT(layout_raw(&ring, (void *)8, sizeof(l)), -EFAULT);
	EXPECT(munmap(mem + PAGE, PAGE), 0);
	EXPECT(layout_raw(&ring, mem + PAGE - sizeof(l), sizeof(l)), 0);
	EXPECT(layout_raw(&ring, mem + PAGE - sizeof(l) + 8, sizeof(l)), -EFAULT);
	memset(mem, 0, PAGE);
	EXPECT(mprotect(mem, PAGE, PROT_READ), 0);
	EXPECT(layout_raw(&ring, mem, sizeof(l)), -EFAULT);
}

/* ---- restrictions ---- */

static void restricted_ring(struct io_uring *ring, bool allowed)
{
	struct io_uring_restriction res[] = {
		{ .opcode = IORING_RESTRICTION_REGISTER_OP, .register_op = IORING_REGISTER_BUFFERS2 },
		{ .opcode = IORING_RESTRICTION_REGISTER_OP,
		  .register_op = IORING_REGISTER_BUFFER_LAYOUT },
	};

	EXPECT(io_uring_queue_init(8, ring, IORING_SETUP_R_DISABLED), 0);
	EXPECT(uapi_register(ring->ring_fd, IORING_REGISTER_RESTRICTIONS, res, 1 + allowed), 0);
	EXPECT(uapi_register(ring->ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0), 0);
}

static void restrictions(void)
{
	char *mem = uapi_map(PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	struct iovec iov = { mem, PAGE };
	struct io_uring ring;
	layout_t l;

	restricted_ring(&ring, false);
	EXPECT(uapi_buffer(&ring, mem, PAGE, false), 0);
	EXPECT(layout(ring.ring_fd, 0, &l), -EACCES);
	EXPECT(uapi_update(&ring, 0, &iov, 1, RO), -EACCES);
	io_uring_queue_exit(&ring);

	restricted_ring(&ring, true);
	EXPECT(uapi_buffer(&ring, mem, PAGE, false), 0);
	get_layout(&ring, 0, &l);
	io_uring_queue_exit(&ring);
}

/* A ring of one task tells nothing to others. */
static void other_task(void)
{
	char *mem = uapi_map(PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	struct io_uring ring;
	layout_t l;
	int status;
	pid_t pid;

	EXPECT(io_uring_queue_init(8, &ring, IORING_SETUP_SINGLE_ISSUER), 0);
	EXPECT(uapi_buffer(&ring, mem, PAGE, false), 0);
	get_layout(&ring, 0, &l);
	pid = fork();
	if (!pid) {
		EXPECT(layout(ring.ring_fd, 0, &l), -EEXIST);
		exit(0);
	}
	EXPECT(waitpid(pid, &status, 0), pid);
	EXPECT(status, 0);
}

/* ---- fdinfo ---- */

static void expect_text(const char *got, const char *want)
{
	if (strcmp(got, want))
		fail("fdinfo has\n%s\nand not\n%s", got, want);
}

/* From one heading to the next, it is the text that it has always been. */
static void expect_old_lines(char *text, const char *want)
{
	char *start = strstr(text, "UserFiles:"), *end = strstr(text, "PollList:"), c;

	EXPECT_TRUE(start && end);
	c = *end;
	*end = '\0';
	expect_text(start, want);
	*end = c;
}

/* It is the end of the file, and tells no addresses. */
static void expect_layouts(struct io_uring *ring, const char *want)
{
	char *text = strstr(fdinfo(ring), "\nUserBufLayouts:");

	EXPECT_TRUE(text);
	expect_text(text, want);
	EXPECT_TRUE(!strstr(text, "0x"));
}

static void register_three(struct io_uring *ring, char *mem, bool read_only)
{
	struct iovec iov[3] = { { mem, 16 * PAGE }, { }, { mem + 100, 50 } };

	EXPECT(uapi_buffers(ring, iov, 3, 0), 0);
	EXPECT(uapi_update(ring, 2, iov + 2, 1, read_only), 1);
}

static void fdinfo_old_lines(void)
{
	char *mem = uapi_map(16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	struct io_uring ring;
	char want[256];

	uapi_ring(&ring);
	expect_old_lines(fdinfo(&ring), "UserFiles:\t0\nUserBufs:\t0\n");
	EXPECT_TRUE(!strstr(fdinfo(&ring), "UserBufLayouts"));
	register_three(&ring, mem, false);
	snprintf(want, sizeof(want),
		 "UserFiles:\t0\nUserBufs:\t3\n    0: 0x%lx/65536\n    1: <none>\n    2: 0x%lx/50\n",
		 (unsigned long)mem, (unsigned long)mem + 100);
	expect_old_lines(fdinfo(&ring), want);
}

static void fdinfo_layouts(void)
{
	char *mem = uapi_map(16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	struct io_uring ring;
	struct reason why;
	char want[512];
	layout_t l[2];

	EXPECT(madvise(mem, 16 * PAGE, MADV_NOHUGEPAGE), 0);
	if (ring_init(&ring, true, &why))
		fail("%s", why.text);
	register_three(&ring, mem, RO);
	get_layout(&ring, 0, &l[0]);
	get_layout(&ring, 2, &l[1]);
	snprintf(want, sizeof(want),
		 "\nUserBufLayouts:\n"
		 "  buf=0, layout=uniform, bvecs=16, metadata=512, charged=%llu, dir=source+dest\n"
		 "  buf=2, dir=source\n",
		 (unsigned long long)l[0].charged_bytes);
	expect_layouts(&ring, want);
}

/* The address of such a buffer is a name: it is said that it is a memfd's. */
static void fdinfo_memfd(void)
{
	int fd = memfd_new(16 * PAGE, 0);
	struct io_uring_regbuf_desc desc = memfd_range(fd, 0, 16 * PAGE);
	struct io_uring ring;
	char want[512];
	layout_t l;

	uapi_sparse_ring(&ring, 2);
	EXPECT(memfd_set(&ring, 0, desc), 1);
	desc.flags = IO_REGBUF_READ_ONLY;
	desc.uaddr = 32 * PAGE;
	EXPECT(memfd_set(&ring, 1, desc), 1);
	get_layout(&ring, 0, &l);
	expect_old_lines(fdinfo(&ring), "UserFiles:\t0\nUserBufs:\t2\n    0: 0x0/65536\n"
			 "    1: 0x20000/65536\n");
	snprintf(want, sizeof(want),
		 "\nUserBufLayouts:\n"
		 "  buf=0, layout=uniform, bvecs=16, metadata=512, charged=%llu, dir=source+dest, memfd\n"
		 "  buf=1, dir=source, memfd\n",
		 (unsigned long long)l.charged_bytes);
	expect_layouts(&ring, want);
	close(fd);
}

/* ---- the kernel without all that ---- */

static void stock_refuses(void)
{
	char *mem = uapi_map(PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	struct io_uring_regbuf_desc desc = {
		.type = IO_REGBUF_TYPE_UADDR, .uaddr = (uintptr_t)mem, .size = PAGE,
	};
	struct io_uring_query_regbuf q = { };
	struct iovec iov = { mem, PAGE };
	unsigned int size = sizeof(q);
	struct io_uring ring;
	layout_t l;

	uapi_ring(&ring);
	EXPECT(uapi_buffers(&ring, &iov, 1, IORING_RSRC_UPDATE_EXTENDED), -EINVAL);
	EXPECT(io_uring_unregister_buffers(&ring), -ENXIO);
	EXPECT(uapi_buffers(&ring, &iov, 1, 0), 0);
	EXPECT(uapi_update_descs(&ring, 0, &desc, 1), -EINVAL);
	EXPECT(uapi_update(&ring, 0, &iov, 1, false), 1);
	EXPECT(layout(ring.ring_fd, 0, &l), -EINVAL);
	EXPECT(query(-1, &q, &size), -EOPNOTSUPP);
	uapi_sqe(&ring, IORING_OP_BUFFERS_UPDATE, -1, &desc, 1, 0);
	EXPECT(uapi_run(&ring), -EINVAL);
}

const struct uapi_case stock_cases[] = {
	{ "stock_refuses", stock_refuses, true },
	{ }
};

const struct uapi_case tell_cases[] = {
	{ "query_values", query_values, false },
	{ "query_sizes", query_sizes, false },
	{ "layout_pages", layout_pages, false },
	{ "layout_thp", layout_thp, false },
	{ "layout_long_runs", layout_long_runs, false },
	{ "layout_mixed", layout_mixed, false },
	{ "layout_hugetlb", layout_hugetlb, false },
	{ "layout_gigantic", layout_gigantic, false },
	{ "layout_charged", layout_charged, false },
	{ "layout_of_readonly", layout_of_readonly, false },
	{ "layout_of_file", layout_of_file, false },
	{ "layout_errors", layout_errors, false },
	{ "restrictions", restrictions, false },
	{ "other_task", other_task, false },
	{ "fdinfo_old_lines", fdinfo_old_lines, true },
	{ "fdinfo_layouts", fdinfo_layouts, false },
	{ "fdinfo_memfd", fdinfo_memfd, false },
	{ }
};
