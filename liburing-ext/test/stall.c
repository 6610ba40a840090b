/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * Nobody waits for the memory of another to be pinned.  The linker puts a function in
 * front of the library's io_uring_register(2) (--wrap) that, in one thread, does not come
 * back before it is told to: as if it pinned a very large region.  Everything else that the
 * library offers is done meanwhile, and none of it goes into the kernel with the pool's lock
 * held.  So the longest that a lock is waited for is what test/cost.c counts.
 *
 * The same with a thread that stays in the kernel, in the middle of pinning: at a page that
 * userfaultfd(2) does not provide before it is told to.  So no lock of the kernel that
 * pinning holds is in the way of the others either.
 *
 * And the system calls of an attach, an add and a remove; the time of a sync.
 */
#include <linux/userfaultfd.h>
#include <poll.h>
#include <semaphore.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>

#include "helpers.h"
#include "lib.h"

#define TAG	77

static struct io_uring_ext_error err;
static char *mem;

/* ---- the calls ---- */

static __thread bool pins;
static sem_t inside, go_on;
static _Atomic unsigned calls;
static struct io_uring_ext_pool *watched;
static __thread bool holds;
static _Atomic unsigned locks;

int __real_pthread_mutex_lock(pthread_mutex_t *m);
int __wrap_pthread_mutex_lock(pthread_mutex_t *m);
int __real_pthread_mutex_unlock(pthread_mutex_t *m);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *m);
void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n);
void __real_free(void *p);
void __wrap_free(void *p);
int __real_pthread_cond_broadcast(pthread_cond_t *c);
int __wrap_pthread_cond_broadcast(pthread_cond_t *c);
ssize_t __real_write(int fd, const void *p, size_t len);
ssize_t __wrap_write(int fd, const void *p, size_t len);
int __real_close(int fd);
int __wrap_close(int fd);
int __real_io_uring_register(unsigned fd, unsigned op, const void *arg, unsigned nr);
int __wrap_io_uring_register(unsigned fd, unsigned op, const void *arg, unsigned nr);
int __real_fcntl(int fd, int cmd, long arg);
int __wrap_fcntl(int fd, int cmd, long arg);
int __real_io_uring_setup(unsigned entries, struct io_uring_params *p);
int __wrap_io_uring_setup(unsigned entries, struct io_uring_params *p);

int __wrap_pthread_mutex_lock(pthread_mutex_t *m)
{
	int ret = __real_pthread_mutex_lock(m);

	if (watched && m == &watched->lock) {
		holds = true;
		locks++;
	}
	return ret;
}

/* Memory too may have to be waited for: its lock in the kernel is held while it is pinned. */
static void asks_for_memory(void)
{
	bool locked = holds;

	holds = false;		/* or the report waits for itself */
	CHECK(!locked);
}

void *__wrap_malloc(size_t n)
{
	asks_for_memory();
	return __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
	asks_for_memory();
	return __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
	asks_for_memory();
	return __real_realloc(p, n);
}

void __wrap_free(void *p)
{
	asks_for_memory();
	__real_free(p);
}

int __wrap_pthread_cond_broadcast(pthread_cond_t *c)
{
	CHECK(!holds);
	return __real_pthread_cond_broadcast(c);
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *m)
{
	if (watched && m == &watched->lock)
		holds = false;
	return __real_pthread_mutex_unlock(m);
}

static void enter_kernel(void)
{
	CHECK(!holds);
	calls++;
}

ssize_t __wrap_write(int fd, const void *p, size_t len)
{
	enter_kernel();
	return __real_write(fd, p, len);
}

int __wrap_close(int fd)
{
	enter_kernel();
	return __real_close(fd);
}

int __wrap_io_uring_register(unsigned fd, unsigned op, const void *arg, unsigned nr)
{
	const struct io_uring_rsrc_update2 *up = arg;
	const struct iovec *iov;

	enter_kernel();
	if (pins && op == IORING_REGISTER_BUFFERS_UPDATE) {
		iov = (const struct iovec *)(uintptr_t)up->data;
		if (iov->iov_base) {
			sem_post(&inside);
			sem_wait(&go_on);
		}
	}
	return __real_io_uring_register(fd, op, arg, nr);
}

int __wrap_fcntl(int fd, int cmd, long arg)
{
	enter_kernel();
	return __real_fcntl(fd, cmd, arg);
}

int __wrap_io_uring_setup(unsigned entries, struct io_uring_params *p)
{
	enter_kernel();
	return __real_io_uring_setup(entries, p);
}

/* ---- others go on ---- */

struct pinner {
	struct io_uring_ext_pool *pool;
	bool by_sync;		/* pins by the sync of a ring, for a region with a tag */
	int uffd;		/* that does not provide the memory, or -1 */
	pthread_t tid;
	int id;
};

static struct io_uring_ext_region region_of(unsigned mib, __u64 tag)
{
	return (struct io_uring_ext_region){ .base = mem + mib * MiB, .len = 64 * KiB,
					     .page_size = 4096, .tag = tag };
}

static void *pin(void *arg)
{
	struct pinner *p = arg;
	struct io_uring_ext_region region = region_of(8, p->by_sync ? TAG + 1 : 0);
	struct io_uring_ext_ring *r = NULL;
	struct io_uring_ext_error e;
	struct io_uring ring;

	t_ring(&ring, 4, 0);
	if (p->by_sync)
		CHECK_OK(io_uring_ext_ring_attach(&r, p->pool, &ring, 0, &e), e);
	pins = !p->by_sync && p->uffd < 0;
	p->id = io_uring_ext_pool_add(p->pool, &region, &e);
	CHECK_OK(p->id, e);
	pins = p->by_sync && p->uffd < 0;
	if (p->by_sync)
		CHECK_OK(io_uring_ext_ring_sync(r, &e), e);
	pins = false;
	CHECK_EQ(io_uring_ext_ring_detach(r), 0);
	io_uring_queue_exit(&ring);
	return NULL;
}

static void read_one(struct io_uring *ring, struct io_uring_ext_ring *r, char *p, int want)
{
	int fd = t_file(4096);

	CHECK_EQ(io_uring_ext_prep_read(r, io_uring_get_sqe(ring), fd, p, 4096, 0), want);
	CHECK_EQ(t_io_done(ring, r), 4096);
	t_check_bytes(p, 4096, 0);
	close(fd);
}

/* A region that has a file of its own, which goes with it. */
static void come_and_go_with_file(struct io_uring_ext_pool *pool, struct io_uring *ring,
				  struct io_uring_ext_ring *r)
{
	struct io_uring_ext_region region = region_of(0, TAG + 2);
	struct io_uring_ext_region_info info;
	int fd = memfd_create("stall", MFD_CLOEXEC), id;

	CHECK(fd >= 0 && !ftruncate(fd, region.len));
	region.base = mmap(NULL, region.len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(region.base != MAP_FAILED);
	region.flags = IO_URING_EXT_REGION_MEMFD;
	region.memfd = fd;
	id = io_uring_ext_pool_add_start(pool, &region, -1, 0, &err);
	CHECK_OK(id, err);
	__real_close(fd);
	CHECK_OK(io_uring_ext_pool_add_finish(pool, id, IO_URING_EXT_UNLIMITED, &err), err);
	CHECK_OK(io_uring_ext_ring_sync(r, &err), err);
	CHECK(io_uring_ext_pool_remove(pool, id) >= 1);
	CHECK_OK(io_uring_ext_ring_sync(r, &err), err);
	CHECK_EQ(t_wait_tag(ring, 5000), TAG + 2);
	io_uring_ext_ring_signal(r, TAG + 2);
	/* The other ring's signal is the other's */
	CHECK(io_uring_ext_pool_region_info(pool, id, &info) == -ENOENT || info.rings <= 1);
	munmap(region.base, region.len);
}

/* All that there is to be done with a pool, by who has a ring. */
static void go_about(struct io_uring_ext_pool *pool, struct io_uring *ring,
		     struct io_uring_ext_ring *r, int tagged)
{
	struct io_uring_ext_region region = region_of(2, 0);
	struct io_uring_ext_region_info info;
	struct io_uring_ext_pool_stats stats;
	struct io_uring_ext_slab *slab;
	struct io_uring_ext_ring *other;
	struct io_uring ring2;
	int id, straddles;
	unsigned slot;

	read_one(ring, r, mem, 1);
	CHECK_EQ(io_uring_ext_pool_stats(pool, &stats), 0);
	id = io_uring_ext_pool_lookup(pool, mem, 4096, &slot, &straddles);
	CHECK(id >= 0);
	CHECK_EQ(io_uring_ext_slab_create(&slab, pool, id, 4096, 0), 0);
	CHECK_EQ(io_uring_ext_slab_destroy(slab), 0);
	t_ring(&ring2, 4, 0);
	CHECK_OK(io_uring_ext_ring_attach(&other, pool, &ring2, 0, &err), err);
	CHECK_EQ(io_uring_ext_ring_detach(other), 0);
	io_uring_queue_exit(&ring2);
	id = io_uring_ext_pool_add(pool, &region, &err);
	CHECK_OK(id, err);
	/* Somebody else may be pinning the memory: then it is not free */
	region = region_of(8, 0);
	CHECK_EQ(io_uring_ext_pool_add(pool, &region, &err), -EEXIST);
	CHECK_OK(io_uring_ext_ring_sync(r, &err), err);
	read_one(ring, r, mem + 2 * MiB, 1);
	CHECK(io_uring_ext_pool_remove(pool, tagged) >= 1);
	CHECK(io_uring_ext_pool_remove(pool, id) >= 1);
	CHECK_OK(io_uring_ext_ring_sync(r, &err), err);
	CHECK_EQ(t_wait_tag(ring, 5000), TAG);
	CHECK(io_uring_ext_ring_signal(r, TAG) >= 0);
	CHECK_EQ(io_uring_ext_pool_region_info(pool, 0, &info), 0);
	come_and_go_with_file(pool, ring, r);
}

/* -1: it cannot be had. */
static int without_pages(void)
{
	struct io_uring_ext_region region = region_of(8, 0);
	struct uffdio_register reg = { .range = { (uintptr_t)region.base, region.len },
				       .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffdio_api api = { .api = UFFD_API };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	CHECK_EQ(madvise(region.base, region.len, MADV_DONTNEED), 0);
	if (fd >= 0 && !ioctl(fd, UFFDIO_API, &api) && !ioctl(fd, UFFDIO_REGISTER, &reg))
		return fd;
	fprintf(stderr, "in the kernel: not tried, no userfaultfd: %s\n", strerror(errno));
	if (fd >= 0)
		__real_close(fd);
	return -1;
}

static void wait_until_inside(const struct pinner *p)
{
	struct pollfd pfd = { .fd = p->uffd, .events = POLLIN };
	struct uffd_msg msg;

	if (p->uffd < 0) {
		sem_wait(&inside);
		return;
	}
	CHECK_EQ(poll(&pfd, 1, 60000), 1);
	CHECK_EQ(read(p->uffd, &msg, sizeof(msg)), sizeof(msg));
	CHECK_EQ(msg.event, UFFD_EVENT_PAGEFAULT);
}

static void let_go_on(const struct pinner *p)
{
	struct io_uring_ext_region region = region_of(8, 0);
	struct uffdio_zeropage zero = { .range = { (uintptr_t)region.base, region.len } };

	if (p->uffd < 0) {
		sem_post(&go_on);
		return;
	}
	CHECK_EQ(ioctl(p->uffd, UFFDIO_ZEROPAGE, &zero), 0);
	__real_close(p->uffd);
}

/* By a sync in the library alone: the other rings' have the same memory to pin. */
static void check_others(bool by_sync, bool in_kernel)
{
	struct io_uring_ext_pool_params params = { .nr_slots = 16, .max_buffer = MiB };
	struct io_uring_ext_region first = region_of(0, 0), tagged = region_of(1, TAG);
	struct pinner p = { .by_sync = by_sync, .uffd = -1 };
	struct io_uring_ext_ring *r;
	struct io_uring ring;
	int id;

	if (in_kernel)
		p.uffd = without_pages();
	if (in_kernel && p.uffd < 0)
		return;
	CHECK_OK(io_uring_ext_pool_create(&p.pool, &params, &err), err);
	if (!by_sync && !(io_uring_ext_pool_caps(p.pool)->flags & IO_URING_EXT_CAP_CLONE_RANGE)) {
		fprintf(stderr, "no clones: adding pins nothing here\n");
		CHECK_EQ(io_uring_ext_pool_destroy(p.pool), 0);
		if (p.uffd >= 0)
			__real_close(p.uffd);
		return;
	}
	watched = p.pool;
	CHECK_EQ(io_uring_ext_pool_add(p.pool, &first, &err), 0);
	id = io_uring_ext_pool_add(p.pool, &tagged, &err);
	CHECK_OK(id, err);
	t_ring(&ring, 8, 0);
	CHECK_OK(io_uring_ext_ring_attach(&r, p.pool, &ring, 0, &err), err);
	CHECK_EQ(pthread_create(&p.tid, NULL, pin, &p), 0);
	wait_until_inside(&p);
	go_about(p.pool, &ring, r, id);
	let_go_on(&p);
	pthread_join(p.tid, NULL);
	CHECK_OK(io_uring_ext_ring_sync(r, &err), err);
	read_one(&ring, r, mem + 8 * MiB, 1);
	CHECK_EQ(io_uring_ext_ring_detach(r), 0);
	CHECK(locks > 10);
	watched = NULL;
	CHECK_EQ(io_uring_ext_pool_destroy(p.pool), 0);
	io_uring_queue_exit(&ring);
}

/* ---- what it costs ---- */

/* Once the pool has found out what there is, attaching asks no more. */
static void check_attach_calls(__u32 flags, unsigned regions, unsigned most)
{
	struct io_uring_ext_pool_params params = { .nr_slots = 64, .max_buffer = MiB,
						   .flags = flags };
	struct io_uring_ext_pool *pool;
	struct io_uring_ext_ring *r;
	struct io_uring ring;
	unsigned i, before;

	CHECK_OK(io_uring_ext_pool_create(&pool, &params, &err), err);
	for (i = 0; i < regions; i++) {
		struct io_uring_ext_region region = region_of(i, 0);

		CHECK_OK(io_uring_ext_pool_add(pool, &region, &err), err);
	}
	t_ring(&ring, 8, 0);
	before = calls;
	CHECK_OK(io_uring_ext_ring_attach(&r, pool, &ring, 0, &err), err);
	printf("attach to %u regions: %u system calls\n", regions, calls - before);
	if (calls - before > most)
		t_fail(__FILE__, __LINE__, "%u system calls for an attach to %u regions",
		       calls - before, regions);
	CHECK_EQ(io_uring_ext_ring_detach(r), 0);
	CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
	io_uring_queue_exit(&ring);
}

/* As io_uring_ext_pool_create(3) says */
static void check_add_calls(void)
{
	struct io_uring_ext_pool_params params = { .nr_slots = 64 };
	struct io_uring_ext_region region[2] = { region_of(0, 0), region_of(1, 0) };
	unsigned i, before, adding, removing;
	struct io_uring_ext_pool *pool;
	int id;

	if (!t_may_lock(MiB, "what an add takes"))
		return;
	CHECK_OK(io_uring_ext_pool_create(&pool, &params, &err), err);
	for (i = 0; i < 2; i++) {
		before = calls;
		id = io_uring_ext_pool_add(pool, &region[i], &err);
		CHECK_OK(id, err);
		adding = calls - before;
		before = calls;
		CHECK(io_uring_ext_pool_remove(pool, id) >= 0);
		removing = calls - before;
		printf("add: %u system calls; remove: %u\n", adding, removing);
		CHECK_EQ(adding, 4);
		CHECK_EQ(removing, 1);
	}
	CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
}

static double now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return ts.tv_sec * 1e6 + ts.tv_nsec / 1e3;
}

/* A sync of one region added, or of it removed, whichever takes longer: the best of some. */
static double sync_us(__u32 flags, unsigned regions)
{
	struct io_uring_ext_pool_params params = { .nr_slots = 16384, .flags = flags };
	struct io_uring_ext_region region = { .len = 4096, .page_size = 4096 };
	double took, start, best[2] = { 1e9, 1e9 };
	struct io_uring_ext_pool *pool;
	struct io_uring_ext_ring *r;
	struct io_uring ring;
	unsigned i;
	int id;

	CHECK_OK(io_uring_ext_pool_create(&pool, &params, &err), err);
	t_ring(&ring, 8, 0);
	for (i = 0; i < regions; i++) {
		region.base = mem + 2 * i * 4096UL;
		CHECK_OK(io_uring_ext_pool_add(pool, &region, &err), err);
	}
	CHECK_OK(io_uring_ext_ring_attach(&r, pool, &ring, 0, &err), err);
	for (i = 0; i < 40; i++) {
		region.base = mem + (2 * (i * 397 % regions) + 1) * 4096UL;
		id = io_uring_ext_pool_add(pool, &region, &err);
		CHECK_OK(id, err);
		start = now_us();
		CHECK_OK(io_uring_ext_ring_sync(r, &err), err);
		took = now_us() - start;
		best[0] = took < best[0] ? took : best[0];
		CHECK_EQ(io_uring_ext_pool_remove(pool, id), 1);
		start = now_us();
		CHECK_EQ(io_uring_ext_ring_sync(r, &err), 1);
		took = now_us() - start;
		best[1] = took < best[1] ? took : best[1];
	}
	CHECK_EQ(io_uring_ext_ring_detach(r), 0);
	CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
	io_uring_queue_exit(&ring);
	return best[0] > best[1] ? best[0] : best[1];
}

/*
 * For people: what the library does is judged by test/cost.c.  With clones the kernel copies
 * the table.
 */
static void show_sync_cost(void)
{
	double few = sync_us(IO_URING_EXT_POOL_PLAIN, 100);
	double many = sync_us(IO_URING_EXT_POOL_PLAIN, 16000);

	printf("sync of one change: %.1f us of 100 regions, %.1f us of 16000\n", few, many);
	if (t_may_lock(80 * MiB, "with clones"))
		printf("with clones: %.1f us\n", sync_us(0, 16000));
}

int main(void)
{
	mem = mmap(NULL, 128 * MiB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(mem != MAP_FAILED);
	sem_init(&inside, 0, 0);
	sem_init(&go_on, 0, 0);
	/* Who waits for the other waits for ever */
	alarm(120);
	check_others(false, false);
	check_others(true, false);
	check_others(false, true);
	check_add_calls();
	check_attach_calls(0, 0, 3);
	check_attach_calls(0, 1, 3);
	check_attach_calls(0, 32, 3);
	check_attach_calls(IO_URING_EXT_POOL_PLAIN, 32, 3);
	/* That is slow in a guest, and waits for nobody */
	alarm(0);
	show_sync_cost();
	return 0;
}
