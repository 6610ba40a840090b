/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * Every call that the library makes fails once, in turn, with each of several errors.
 * The linker puts the functions below in front of the library's calls (--wrap).
 *
 * After each failure: every function that failed said so, in full; data that was read is
 * right; and no memory, mapping, fd or pin is left.
 */
#include <linux/mempolicy.h>
#include <stdarg.h>
#include <stdatomic.h>

#include "helpers.h"
#include "uapi.h"

/* ---- the calls ---- */

enum call {
	NONE, CALLOC, MALLOC, REALLOC, ALIGNED_ALLOC, MMAP, MADVISE, MEMFD_CREATE, FTRUNCATE,
	PTHREAD_CREATE, IO_URING_SETUP, IO_URING_REGISTER, OPEN, FOPEN, PREAD, READ, GETDELIM,
	GETRLIMIT, SETRLIMIT, FCNTL, SYSCALL, VM_READV, VM_WRITEV, NR_CALLS
};

static const char *const names[NR_CALLS] = {
	"none", "calloc", "malloc", "realloc", "aligned_alloc", "mmap", "madvise",
	"memfd_create", "ftruncate", "pthread_create", "io_uring_setup", "io_uring_register",
	"open", "fopen", "pread", "read", "getdelim", "getrlimit", "setrlimit", "fcntl",
	"syscall",
	"process_vm_readv", "process_vm_writev",
};

static _Atomic int armed;
static enum call victim;
static _Atomic unsigned countdown;
static _Atomic int fired;
static int fault_errno;
/* Before 5.14 there is no MADV_POPULATE_WRITE: refuse it always */
static bool no_populate;
/* The kernel may stop an update at any entry: it does so after each */
static bool short_updates;
/* The entry at which updates fail, if not 0; and do all updates after that, an undo, fail? */
static unsigned bad_entry;
static bool undo_fails, undoing;
/* What a kernel that knows registered buffers' limits would tell; NULL: the real one */
static const struct urext_query_regbuf *regbuf;
static unsigned layouts_asked;

static bool fail(enum call c)
{
	if (!atomic_load(&armed) || c != victim || atomic_fetch_sub(&countdown, 1) != 1)
		return false;
	atomic_store(&fired, 1);
	errno = fault_errno;
	return true;
}

/* What the library allocated and has not freed. */
#define MAX_LIVE	4096
static void *live[MAX_LIVE];
static pthread_mutex_t live_lock = PTHREAD_MUTEX_INITIALIZER;

static void *track(void *p)
{
	unsigned i;

	if (!p || !atomic_load(&armed))
		return p;
	pthread_mutex_lock(&live_lock);
	for (i = 0; i < MAX_LIVE && live[i]; i++)
		;
	if (i < MAX_LIVE)
		live[i] = p;
	pthread_mutex_unlock(&live_lock);
	return p;
}

static void untrack(void *p)
{
	unsigned i;

	pthread_mutex_lock(&live_lock);
	for (i = 0; p && i < MAX_LIVE; i++)
		if (live[i] == p)
			live[i] = NULL;
	pthread_mutex_unlock(&live_lock);
}

static unsigned nr_live(void)
{
	unsigned i, n = 0;

	for (i = 0; i < MAX_LIVE; i++)
		n += !!live[i];
	return n;
}

#define WRAP(ret, name, params) \
	ret __real_##name params; \
	ret __wrap_##name params; \
	ret __wrap_##name params

WRAP(void *, calloc, (size_t n, size_t size))
{
	return fail(CALLOC) ? NULL : track(__real_calloc(n, size));
}

WRAP(void *, malloc, (size_t size))
{
	return fail(MALLOC) ? NULL : track(__real_malloc(size));
}

WRAP(void *, realloc, (void *p, size_t size))
{
	if (fail(REALLOC))
		return NULL;
	untrack(p);
	return track(__real_realloc(p, size));
}

WRAP(void *, aligned_alloc, (size_t align, size_t size))
{
	return fail(ALIGNED_ALLOC) ? NULL : track(__real_aligned_alloc(align, size));
}

WRAP(void, free, (void *p))
{
	untrack(p);
	__real_free(p);
}

WRAP(void *, mmap, (void *p, size_t len, int prot, int flags, int fd, off_t off))
{
	return fail(MMAP) ? MAP_FAILED : __real_mmap(p, len, prot, flags, fd, off);
}

WRAP(int, madvise, (void *p, size_t len, int advice))
{
	if (no_populate && advice == 23) {
		errno = EINVAL;
		return -1;
	}
	return fail(MADVISE) ? -1 : __real_madvise(p, len, advice);
}

WRAP(int, memfd_create, (const char *name, unsigned flags))
{
	return fail(MEMFD_CREATE) ? -1 : __real_memfd_create(name, flags);
}

WRAP(int, ftruncate, (int fd, off_t len))
{
	return fail(FTRUNCATE) ? -1 : __real_ftruncate(fd, len);
}

WRAP(int, pthread_create, (pthread_t *t, const pthread_attr_t *attr, void *(*fn)(void *),
			   void *arg))
{
	return fail(PTHREAD_CREATE) ? fault_errno : __real_pthread_create(t, attr, fn, arg);
}

WRAP(int, io_uring_setup, (unsigned entries, struct io_uring_params *p))
{
	return fail(IO_URING_SETUP) ? -fault_errno : __real_io_uring_setup(entries, p);
}

static int play_query(const struct urext_query_hdr *arg)
{
	struct urext_query_hdr *hdr = (struct urext_query_hdr *)(uintptr_t)arg;

	if (!hdr)
		return 0;
	memcpy((void *)(uintptr_t)hdr->query_data, regbuf, sizeof(*regbuf));
	hdr->size = sizeof(*regbuf);
	hdr->result = 0;
	return 0;
}

static int play_layout(const struct urext_buffer_layout *arg)
{
	struct urext_buffer_layout *l = (struct urext_buffer_layout *)(uintptr_t)arg;

	if (!l)
		return -EINVAL;
	l->len = 4096;
	l->nr_runs = 1;
	l->smallest_run = l->largest_run = 4096;
	return 0;
}

/* How many entries the kernel is to change, or -errno. */
static int cut_update(const struct io_uring_rsrc_update2 *up)
{
	if (undoing && undo_fails)
		return -EPERM;
	if (!bad_entry || bad_entry < up->offset || bad_entry - up->offset >= up->nr)
		return up->nr;
	undoing = bad_entry == up->offset;
	return undoing ? -ENOMEM : (int)(bad_entry - up->offset);
}

WRAP(int, io_uring_register, (unsigned fd, unsigned op, const void *arg, unsigned nr))
{
	struct io_uring_rsrc_update2 one;
	int n;

	if (fail(IO_URING_REGISTER))
		return -fault_errno;
	if (op == URING_EXT_REGISTER_BUFFER_LAYOUT) {
		layouts_asked++;
		if (regbuf)
			return play_layout(arg);
	}
	if (regbuf && op == URING_EXT_REGISTER_QUERY)
		return play_query(arg);
	if (bad_entry && op == IORING_REGISTER_BUFFERS_UPDATE) {
		memcpy(&one, arg, sizeof(one));
		n = cut_update(&one);
		if (n < 0)
			return n;
		one.nr = n;
		return __real_io_uring_register(fd, op, &one, nr);
	}
	if (short_updates && op == IORING_REGISTER_BUFFERS_UPDATE) {
		memcpy(&one, arg, sizeof(one));
		one.nr = one.nr > 1 ? 1 : one.nr;
		return __real_io_uring_register(fd, op, &one, nr);
	}
	return __real_io_uring_register(fd, op, arg, nr);
}

WRAP(int, open, (const char *path, int flags, ...))
{
	va_list ap;
	int mode;

	va_start(ap, flags);
	mode = flags & O_CREAT ? va_arg(ap, int) : 0;
	va_end(ap);
	return fail(OPEN) ? -1 : __real_open(path, flags, mode);
}

WRAP(FILE *, fopen, (const char *path, const char *mode))
{
	return fail(FOPEN) ? NULL : __real_fopen(path, mode);
}

WRAP(ssize_t, pread, (int fd, void *buf, size_t len, off_t off))
{
	return fail(PREAD) ? -1 : __real_pread(fd, buf, len, off);
}

WRAP(ssize_t, read, (int fd, void *buf, size_t len))
{
	return fail(READ) ? -1 : __real_read(fd, buf, len);
}

WRAP(ssize_t, __getdelim, (char **line, size_t *cap, int delim, FILE *f))
{
	return fail(GETDELIM) ? -1 : __real___getdelim(line, cap, delim, f);
}

WRAP(ssize_t, getline, (char **line, size_t *cap, FILE *f))
{
	return fail(GETDELIM) ? -1 : __real_getline(line, cap, f);
}

WRAP(int, getrlimit, (int which, struct rlimit *rl))
{
	return fail(GETRLIMIT) ? -1 : __real_getrlimit(which, rl);
}

WRAP(int, setrlimit, (int which, const struct rlimit *rl))
{
	return fail(SETRLIMIT) ? -1 : __real_setrlimit(which, rl);
}

WRAP(int, fcntl, (int fd, int cmd, ...))
{
	va_list ap;
	long arg;

	va_start(ap, cmd);
	arg = va_arg(ap, long);
	va_end(ap);
	return fail(FCNTL) ? -1 : __real_fcntl(fd, cmd, arg);
}

WRAP(long, syscall, (long nr, ...))
{
	va_list ap;
	long a[6];
	int i;

	va_start(ap, nr);
	for (i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	return fail(SYSCALL) ? -1 : __real_syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}

WRAP(ssize_t, process_vm_readv, (pid_t pid, const struct iovec *l, unsigned long nl,
				 const struct iovec *r, unsigned long nr, unsigned long f))
{
	return fail(VM_READV) ? -1 : __real_process_vm_readv(pid, l, nl, r, nr, f);
}

WRAP(ssize_t, process_vm_writev, (pid_t pid, const struct iovec *l, unsigned long nl,
				  const struct iovec *r, unsigned long nr, unsigned long f))
{
	return fail(VM_WRITEV) ? -1 : __real_process_vm_writev(pid, l, nl, r, nr, f);
}

/* ---- what is done with them ---- */

static int fd;
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
	const __u32 memfd = IO_URING_EXT_ARENA_MEMFD;

	io_uring_ext_arena_free(arena(IO_URING_EXT_MEM_AUTO, fault_in, 0, 4 * MiB, 1));
	io_uring_ext_arena_free(arena(IO_URING_EXT_MEM_THP, fault_in, 0, 4 * MiB, 1));
	io_uring_ext_arena_free(arena(IO_URING_EXT_MEM_BASE, fault_in, MiB, 4 * MiB, 1));
	io_uring_ext_arena_free(arena(IO_URING_EXT_MEM_HUGE_2M, memfd, 0, 4 * MiB, 1));
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
	mem = mmap(NULL, 4 * MiB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(mem != MAP_FAILED);
	t_reserve_huge(2 * MiB, 4);
	half_way();
	old_prefault();
	finished_updates();
	unknown_opcodes();
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
