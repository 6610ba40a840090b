/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * Every call that the library makes fails once, in turn, with each of several errors.
 * The functions that the linker puts in front of them: fault-calls.h.
 *
 * After each failure: every function that failed said so, in full; data that was read is
 * right; and no memory, mapping, fd or pin is left.
 */
#include "helpers.h"
#include "uapi.h"
#include "fault-calls.h"

/* ---- what is done with them ---- */

static int fd, memfd;
static char *mem;
static struct io_uring ring;

/* Failed functions say so in full; those that did not fail do not. */
static int said(int ret, const struct io_uring_ext_error *err, bool optional)
{
	if (ret < 0) {
		CHECK_EQ(err->err, ret);
		CHECK(err->stage != IO_URING_EXT_STAGE_NONE);
		CHECK(err->text[0]);
	} else if (!optional) {
		CHECK_EQ(err->err, 0);
	}
	return ret;
}

static struct io_uring_ext_arena *arena(enum io_uring_ext_mem kind, __u32 flags,
					size_t alias, size_t size, unsigned threads)
{
	struct io_uring_ext_arena_params p = {
		.size = size,
		.mem = kind,
		.flags = flags,
		.alias = alias,
		.threads = threads,
		.bind = alias != 0,
	};
	struct io_uring_ext_arena_info info;
	struct io_uring_ext_error err;
	struct io_uring_ext_arena *a;

	if (said(io_uring_ext_arena_alloc(&a, &p, &err), &err, false))
		return NULL;
	if (kind != IO_URING_EXT_MEM_BASE)
		CHECK_EQ(io_uring_ext_arena_info(a, &info), 0);
	((volatile char *)io_uring_ext_arena_base(a))[p.size - 1] = 1;
	return a;
}

static void arenas(void)
{
	const __u32 fault_in = IO_URING_EXT_ARENA_PREFAULT;
	const __u32 shared = IO_URING_EXT_ARENA_MEMFD;

	io_uring_ext_arena_free(arena(IO_URING_EXT_MEM_AUTO, fault_in, 0, 4 * MiB, 1));
	io_uring_ext_arena_free(arena(IO_URING_EXT_MEM_THP, fault_in, 0, 4 * MiB, 1));
	io_uring_ext_arena_free(arena(IO_URING_EXT_MEM_BASE, fault_in, MiB, 4 * MiB, 1));
	io_uring_ext_arena_free(arena(IO_URING_EXT_MEM_HUGE_2M, shared, 0, 4 * MiB, 1));
}

/* Little memory behind it, and yet enough chunks for two threads. */
static void threads(void)
{
	io_uring_ext_arena_free(arena(IO_URING_EXT_MEM_BASE, IO_URING_EXT_ARENA_PREFAULT,
				      MiB, 130 * MiB, 2));
}

static void old_kernel(void)
{
	no_populate = true;
	io_uring_ext_arena_free(arena(IO_URING_EXT_MEM_BASE, IO_URING_EXT_ARENA_PREFAULT, 0,
				      64 * KiB, 1));
	no_populate = false;
}

static void read_one(struct io_uring_ext_ring *r, char *p)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
	__u64 data;

	io_uring_ext_prep_read(r, sqe, fd, p, 4096, 4096);
	sqe->user_data = 5;
	CHECK_EQ(io_uring_submit(&ring), 1);
	/* Signals of registrations that were taken back may be before it */
	do {
		data = t_wait_tag(&ring, 5000);
		CHECK(data == 5 || data == 77);
	} while (data != 5);
	t_check_bytes(p, 4096, 4096);
}

/* All that hands out slices of a region. */
static void use_slices(struct io_uring_ext_pool *pool, int id, struct io_uring_ext_ring *r)
{
	static const struct io_uring_ext_class of[] = { { 4096, MiB }, { 8192, 0 } };
	struct io_uring_ext_classes_params p = { .classes = of, .nr = 2 };
	struct io_uring_ext_bufring_params bp = { .entries = 4 };
	struct io_uring_ext_slab_cache *cache = NULL;
	struct io_uring_ext_bufring *b;
	struct io_uring_ext_classes *c;
	struct io_uring_ext_error err;
	struct io_uring_ext_slab *slab;

	p.flags = IO_URING_EXT_SLAB_DEBUG;
	if (io_uring_ext_classes_create(&c, pool, id, &p))
		return;
	read_one(r, io_uring_ext_classes_get(c, 4096));
	io_uring_ext_classes_put(c, mem);
	slab = io_uring_ext_classes_slab(c, 0);
	if (!io_uring_ext_slab_cache_create(&cache, slab, 0))
		io_uring_ext_slab_cache_destroy(cache);
	/* As long as the ring does not let go of it the memory is still the ring's */
	if (!said(io_uring_ext_bufring_create(&b, r, slab, &bp, &err), &err, false))
		while (io_uring_ext_bufring_destroy(b))
			;
	CHECK_EQ(io_uring_ext_classes_destroy(c), 0);
}

static __u32 pool_flags;

static void use_pool(void)
{
	bool optional = pool_flags & IO_URING_EXT_POOL_OPTIONAL;
	struct io_uring_ext_pool_params p = { .flags = pool_flags, .nr_slots = 32,
					      .max_buffer = MiB };
	struct io_uring_ext_region plain = { .base = mem, .len = 2 * MiB, .page_size = 4096 };
	struct io_uring_ext_region tagged = { .base = mem + 2 * MiB, .len = 2 * MiB,
					      .page_size = 4096, .tag = 77 };
	struct io_uring_ext_ring *r = NULL;
	struct io_uring_ext_error err;
	struct io_uring_ext_pool *pool;
	int a, b;

	if (said(io_uring_ext_pool_create(&pool, &p, &err), &err, optional))
		return;
	a = said(io_uring_ext_pool_add(pool, &plain, &err), &err, optional);
	if (said(io_uring_ext_ring_attach(&r, pool, &ring, 4, &err), &err, optional))
		goto destroy;
	b = said(io_uring_ext_pool_add(pool, &tagged, &err), &err, optional);
	said(io_uring_ext_ring_sync(r, &err), &err, optional);
	read_one(r, mem + MiB);
	read_one(r, mem + 3 * MiB);
	if (a >= 0)
		use_slices(pool, a, r);
	if (b >= 0)
		io_uring_ext_pool_remove(pool, b);
	said(io_uring_ext_ring_sync(r, &err), &err, optional);
	while (t_wait_tag(&ring, 0) == 77)
		io_uring_ext_ring_signal(r, 77);
	if (a >= 0)
		io_uring_ext_pool_remove(pool, a);
	said(io_uring_ext_ring_sync(r, &err), &err, optional);
	read_one(r, mem + MiB);
	io_uring_ext_ring_detach(r);
destroy:
	CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
}

/* A region of a memfd that is added while nobody waits, in an arena of that. */
static void grow(void)
{
	struct io_uring_ext_arena_params ap = { .size = MiB, .memfd = memfd,
						.flags = IO_URING_EXT_ARENA_FILE };
	struct io_uring_ext_pool_params p = { .flags = pool_flags, .nr_slots = 8 };
	struct io_uring_ext_region region = { .len = MiB, .page_size = 4096, .memfd = memfd,
					      .flags = IO_URING_EXT_REGION_MEMFD };
	bool optional = pool_flags & IO_URING_EXT_POOL_OPTIONAL;
	struct io_uring_ext_ring *r;
	struct io_uring_ext_arena *a;
	struct io_uring_ext_pool *pool;
	struct io_uring_ext_error err;
	int id;

	if (said(io_uring_ext_pool_create(&pool, &p, &err), &err, optional))
		return;
	if (said(io_uring_ext_arena_alloc(&a, &ap, &err), &err, false))
		goto destroy;
	region.base = io_uring_ext_arena_base(a);
	id = said(io_uring_ext_pool_add_start(pool, &region, -1, 0, &err), &err, false);
	if (id >= 0)
		while (io_uring_ext_pool_add_cancel(pool, id))
			;
	id = said(io_uring_ext_pool_add_start(pool, &region, -1, 0, &err), &err, false);
	if (id >= 0)
		id = said(io_uring_ext_pool_add_finish(pool, id, IO_URING_EXT_UNLIMITED, &err), &err,
			  optional);
	if (!id && !said(io_uring_ext_ring_attach(&r, pool, &ring, 0, &err), &err, optional)) {
		read_one(r, region.base);
		io_uring_ext_ring_detach(r);
	}
	io_uring_ext_arena_free(a);
destroy:
	CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
}

static void look(void)
{
	struct io_uring_ext_memlock m;
	struct io_uring_ext_layout l;
	struct io_uring_ext_caps caps;
	unsigned char map[8];
	char text[256];

	if (!io_uring_ext_query(NULL, &caps))
		CHECK(caps.max_buffer >= GiB && caps.max_buffers >= 1024);
	CHECK_EQ(io_uring_ext_query(&ring, &caps), 0);
	CHECK(caps.max_buffer >= GiB && caps.max_buffers >= 1024);
	if (!io_uring_ext_memlock_check(MiB, 0, 1, IO_URING_EXT_MEMLOCK_RAISE, &m))
		io_uring_ext_memlock_describe(&m, text, sizeof(text));
	if (!io_uring_ext_layout(&ring, 0, mem, 16 * KiB, &l))
		CHECK(l.present == 0 || l.runs);
	io_uring_ext_layout_estimate(0, mem, 16 * KiB, &l, map, 8);
}

static void update(void)
{
	struct iovec iov[3] = { { mem, 4096 }, { mem + 4096, 4096 }, { mem + 8192, 4096 } };
	struct io_uring_ext_update up = { .nr = 3, .iovecs = iov,
					  .flags = IO_URING_EXT_UPDATE_UNDO };
	struct io_uring_ext_error err;

	said(io_uring_ext_update_buffers(&ring, &up, &err), &err, false);
}

/* ---- one failure after the other ---- */

static const struct {
	const char *name;
	void (*run)(void);
	__u32 pool_flags;
	bool own_threads;	/* libc keeps their stacks: mappings are not counted */
} scenarios[] = {
	{ "arenas", arenas, 0, false },
	{ "threads", threads, 0, true },
	{ "old kernel", old_kernel, 0, false },
	{ "pool, cloning", use_pool, 0, false },
	{ "pool, direct", use_pool, IO_URING_EXT_POOL_NO_CLONE, false },
	{ "pool, optional", use_pool, IO_URING_EXT_POOL_OPTIONAL, false },
	{ "growing, cloning", grow, 0, false },
	{ "growing, direct", grow, IO_URING_EXT_POOL_NO_CLONE, false },
	{ "growing, optional", grow, IO_URING_EXT_POOL_OPTIONAL, false },
	{ "query, memlock, layout", look, 0, false },
	{ "update", update, 0, false },
};

static bool run_once(unsigned s, enum call c, unsigned nth, int error)
{
	unsigned fds, maps;

	t_ring(&ring, 8, 0);
	CHECK_EQ(io_uring_register_buffers_sparse(&ring, 8), 0);
	fds = t_open_fds();
	maps = t_mappings();
	victim = c;
	countdown = nth;
	fault_errno = error;
	fired = 0;
	pool_flags = scenarios[s].pool_flags;
	armed = 1;
	scenarios[s].run();
	armed = 0;
	CHECK_EQ(t_open_fds(), fds);
	if (!scenarios[s].own_threads)
		CHECK_EQ(t_mappings(), maps);
#ifdef URING_EXT_STATIC
	/* libc's own calls go through here as well: what it keeps for threads */
	if (scenarios[s].own_threads)
		memset(live, 0, sizeof(live));
#endif
	CHECK_EQ(nr_live(), 0);
	io_uring_queue_exit(&ring);
	return fired;
}

static void all_failures(unsigned s)
{
	static const int errors[] = { ENOMEM, EPERM, EFAULT };
	unsigned total = 0, n, e;
	enum call c;

	for (c = NONE + 1; c < NR_CALLS; c++)
		for (e = 0; e < 3; e++) {
			/* The errno makes no difference to an allocation, nor to getline */
			if (e && (c <= ALIGNED_ALLOC || c == GETDELIM))
				continue;
			for (n = 1; ; n++) {
				if (getenv("FAULT_TRACE"))
					fprintf(stderr, "%s: %s %u errno %d\n",
						scenarios[s].name, names[c], n, errors[e]);
				if (!run_once(s, c, n, errors[e]))
					break;
				total++;
			}
		}
	printf("%s: %u failures\n", scenarios[s].name, total);
	CHECK(total > 0);
}

/* Huge pages that run out half-way, which the kernel reports so. */
static void half_way(void)
{
	struct io_uring_ext_arena_params p = { .size = 4 * MiB, .mem = IO_URING_EXT_MEM_HUGE_2M,
					       .flags = IO_URING_EXT_ARENA_PREFAULT };
	struct io_uring_ext_arena_info info;
	struct io_uring_ext_error err;
	struct io_uring_ext_arena *a;

	if (io_uring_ext_arena_alloc(&a, &p, &err)) {
		printf("half-way not tried: %s\n", err.text);
		return;
	}
	io_uring_ext_arena_free(a);
	victim = MADVISE;
	fault_errno = EFAULT;
	/* After the one that keeps it from children */
	countdown = 2;
	armed = 1;
	CHECK_EQ(io_uring_ext_arena_alloc(&a, &p, &err), -ENOMEM);
	CHECK_EQ(err.err, -ENOMEM);
	CHECK_EQ(err.stage, IO_URING_EXT_STAGE_PREFAULT);
	/* In words that fit the errno: what ran out, where, and what helps */
	CHECK(strstr(err.text, "2M huge pages ran out at 0 of 4 MiB"));
	CHECK(strstr(err.text, "cgroup"));
	CHECK(strstr(err.text, "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"));
	p.bind = 1;
	countdown = 2;
	CHECK_EQ(io_uring_ext_arena_alloc(&a, &p, &err), -ENOMEM);
	if (err.stage == IO_URING_EXT_STAGE_PREFAULT) {
		CHECK(strstr(err.text, "on node 0"));
		CHECK(strstr(err.text, "/node/node0/hugepages/hugepages-2048kB/nr_hugepages"));
	}
	p.bind = 0;
	p.mem = IO_URING_EXT_MEM_AUTO;
	countdown = 2;
	CHECK_OK(io_uring_ext_arena_alloc(&a, &p, &err), err);
	armed = 0;
	CHECK_EQ(io_uring_ext_arena_info(a, &info), 0);
	CHECK(info.mem == IO_URING_EXT_MEM_THP || info.mem == IO_URING_EXT_MEM_BASE);
	CHECK(strstr(info.why, "2M huge pages"));
	CHECK_EQ(info.prefaulted, 1);
	io_uring_ext_arena_free(a);
}

/* Without MADV_POPULATE_WRITE every page is there all the same; errors, no signals. */
static void old_prefault(void)
{
	unsigned char vec[64];
	struct io_uring_ext_error err;
	char *p = mmap(NULL, 65 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		       -1, 0);
	unsigned i;

	CHECK(p != MAP_FAILED);
	madvise(p, 65 * 4096, MADV_NOHUGEPAGE);
	CHECK_EQ(mprotect(p + 64 * 4096, 4096, PROT_READ), 0);
	p[5000] = 'k';
	no_populate = true;
	CHECK_OK(io_uring_ext_prefault(p + 10, 64 * 4096 - 10, 0, 1, NULL, NULL, &err), err);
	CHECK_EQ(io_uring_ext_prefault(p, 65 * 4096, 0, 1, NULL, NULL, &err), -EFAULT);
	no_populate = false;
	/* Too little memory is not taken for memory that is not mapped */
	victim = MADVISE;
	fault_errno = ENOMEM;
	countdown = 1;
	armed = 1;
	CHECK_EQ(io_uring_ext_prefault(p, 64 * 4096, 0, 1, NULL, NULL, &err), -ENOMEM);
	armed = 0;
	CHECK_EQ(mincore(p, 64 * 4096, vec), 0);
	for (i = 0; i < 64; i++)
		CHECK(vec[i] & 1);
	CHECK_EQ(p[5000], 'k');
	munmap(p, 65 * 4096);
}

/* Updates that the kernel does one entry at a time are finished. */
static void finished_updates(void)
{
	struct iovec iov[4];
	struct io_uring_ext_update up = { .off = 2, .nr = 4, .iovecs = iov };
	struct io_uring_ext_error err;
	struct io_uring_sqe *sqe;
	unsigned i;

	t_ring(&ring, 8, 0);
	CHECK_EQ(io_uring_register_buffers_sparse(&ring, 8), 0);
	for (i = 0; i < 4; i++) {
		iov[i].iov_base = mem + i * 4096;
		iov[i].iov_len = 4096;
	}
	short_updates = true;
	CHECK_OK(io_uring_ext_update_buffers(&ring, &up, &err), err);
	short_updates = false;
	for (i = 0; i < 4; i++) {
		sqe = io_uring_get_sqe(&ring);
		io_uring_prep_read_fixed(sqe, fd, mem + i * 4096, 4096, 0, 2 + i);
		CHECK_EQ(t_io(&ring), 4096);
	}
	io_uring_queue_exit(&ring);
}

/* Is the layout asked for, and what comes out? */
static enum io_uring_ext_layout_source layout_of(unsigned *asked)
{
	struct io_uring_ext_layout l;

	layouts_asked = 0;
	CHECK_EQ(io_uring_ext_layout(&ring, 0, mem, 4096, &l), 0);
	*asked = layouts_asked;
	return l.source;
}

/*
 * The opcode for layouts is not upstream's.  It is never tried on a kernel that does not
 * say that it has it, nor on one whose query of that number is another.
 */
static void unknown_opcodes(void)
{
	static const struct urext_query_regbuf good = {
		.max_buffer_bytes = 64 * TiB, .max_buffers = 16384, .register_flags = 1,
		.update_flags = 2, .layout_size = sizeof(struct urext_buffer_layout),
		.desc_types = 3, .desc_flags = 1, .features = 3,
	};
	struct urext_query_regbuf q[8];
	struct iovec iov = { mem, 4096 };
	struct io_uring_ext_caps caps;
	unsigned i, asked;
	bool told;

	memset(mem, 1, 4096);
	t_ring(&ring, 4, 0);
	CHECK_EQ(io_uring_register_buffers(&ring, &iov, 1), 0);
	CHECK_EQ(io_uring_ext_query(NULL, &caps), 0);
	told = caps.flags & IO_URING_EXT_CAP_LAYOUT;
	CHECK_EQ(layout_of(&asked) == IO_URING_EXT_LAYOUT_KERNEL, told);
	CHECK_EQ(asked, told);

	for (i = 0; i < 8; i++)
		q[i] = good;
	memset(&q[0], 0, sizeof(q[0]));
	memset(&q[1], 0xff, sizeof(q[1]));
	q[2].max_buffer_bytes = 4096;
	q[3].max_buffers = 8;
	q[4].register_flags = 0;
	q[5].features = URING_EXT_FEATURE_LAYOUT;
	q[6].desc_types = 1;
	q[7].layout_size -= 8;
	for (i = 0; i < 8; i++) {
		regbuf = &q[i];
		layouts_asked = 0;
		CHECK_EQ(io_uring_ext_query(&ring, &caps), 0);
		CHECK_EQ(layouts_asked, 0);
		CHECK(!(caps.flags & IO_URING_EXT_CAP_LAYOUT));
		CHECK_EQ(caps.max_buffer_source == IO_URING_EXT_KERNEL, i == 7);
		CHECK(layout_of(&asked) != IO_URING_EXT_LAYOUT_KERNEL);
		CHECK_EQ(asked, 0);
	}
	regbuf = &good;
	CHECK_EQ(io_uring_ext_query(&ring, &caps), 0);
	CHECK(caps.flags & IO_URING_EXT_CAP_LAYOUT);
	CHECK_EQ(caps.max_buffer, 64 * TiB);
	CHECK_EQ(layout_of(&asked), IO_URING_EXT_LAYOUT_KERNEL);
	CHECK_EQ(asked, 1);
	regbuf = NULL;
	io_uring_queue_exit(&ring);
}

/*
 * A kernel that says that it has the request, and ends it with an error: what it did not do
 * is done.
 */
static void request_that_fails(void)
{
	static const struct urext_query_regbuf q = {
		.max_buffer_bytes = 64 * TiB, .max_buffers = 16384, .register_flags = 1,
		.update_flags = 2, .desc_types = 3, .features = 5,
	};
	struct io_uring_ext_pool_params p = { .nr_slots = 8, .max_buffer = MiB };
	struct io_uring_ext_region region = { .base = mem, .len = 4 * MiB, .page_size = 4096 };
	struct io_uring_ext_pool *pool;
	struct io_uring_ext_error err;
	struct io_uring_ext_ring *r;

	regbuf = &q;
	CHECK_OK(io_uring_ext_pool_create(&pool, &p, &err), err);
	regbuf = NULL;
	CHECK(io_uring_ext_pool_caps(pool)->flags & IO_URING_EXT_CAP_REQUEST);
	CHECK_EQ(io_uring_ext_pool_add_start(pool, &region, -1, 0, &err), 0);
	CHECK_EQ(io_uring_ext_pool_add_cancel(pool, 0), 0);
	CHECK_EQ(io_uring_ext_pool_add_start(pool, &region, -1, 0, &err), 0);
	CHECK_OK(io_uring_ext_pool_add_finish(pool, 0, IO_URING_EXT_UNLIMITED, &err), err);
	t_ring(&ring, 8, 0);
	CHECK_OK(io_uring_ext_ring_attach(&r, pool, &ring, 0, &err), err);
	CHECK(io_uring_ext_ring_index(r, mem, 4096, NULL) >= 0);
	read_one(r, mem);
	CHECK_EQ(io_uring_ext_ring_detach(r), 0);
	CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
	io_uring_queue_exit(&ring);
}

/* A region that fails half-way: whether it was put back is told, and why not. */
static void half_a_region(bool undo_works)
{
	struct io_uring_ext_pool_params p = { .flags = IO_URING_EXT_POOL_NO_CLONE,
					      .nr_slots = 8, .max_buffer = MiB };
	struct io_uring_ext_region region = { .base = mem, .len = 4 * MiB, .page_size = 4096 };
	struct io_uring_ext_pool *pool;
	struct io_uring_ext_error err;
	struct io_uring_ext_ring *r;

	t_ring(&ring, 4, 0);
	CHECK_OK(io_uring_ext_pool_create(&pool, &p, &err), err);
	CHECK_EQ(io_uring_ext_pool_add(pool, &region, &err), 0);
	undoing = false;
	undo_fails = !undo_works;
	bad_entry = 2;
	CHECK_EQ(io_uring_ext_ring_attach(&r, pool, &ring, 0, &err), -ENOMEM);
	bad_entry = 0;
	CHECK_EQ(err.err, -ENOMEM);
	CHECK_EQ(err.entry, 2);
	CHECK_EQ(err.done, undo_works ? 0 : 2);
	CHECK_EQ(err.stage, undo_works ? IO_URING_EXT_STAGE_REGISTER : IO_URING_EXT_STAGE_UNDO);
	CHECK(strstr(err.text, "registering 1 MiB at "));
	CHECK(strstr(err.text, undo_works ? "; put back" :
		     "; putting back failed: Operation not permitted"));
	CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
	io_uring_queue_exit(&ring);
}

/* The tracking itself finds what it is to find. */
static void self_test(void)
{
	void *volatile p;	/* or the compiler leaves both out */

	armed = 1;
	p = malloc(10);
	armed = 0;
	CHECK_EQ(nr_live(), 1);
	free(p);
	CHECK_EQ(nr_live(), 0);
}

int main(int argc, char **argv)
{
	unsigned s;

	self_test();
	fd = t_file(65536);
	memfd = memfd_create("fault", MFD_CLOEXEC);
	CHECK(memfd >= 0 && !ftruncate(memfd, MiB));
	mem = mmap(NULL, 4 * MiB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(mem != MAP_FAILED);
	t_reserve_huge(2 * MiB, 4);
	half_way();
	old_prefault();
	finished_updates();
	unknown_opcodes();
	request_that_fails();
	half_a_region(true);
	half_a_region(false);
	for (s = 0; s < sizeof(scenarios) / sizeof(scenarios[0]); s++) {
		if (argc > 1 && strcmp(argv[1], scenarios[s].name))
			continue;
		/* libc's own buffers, before they are counted */
		run_once(s, NONE, 1, 0);
		all_failures(s);
	}
	t_no_pins();
	return 0;
}
