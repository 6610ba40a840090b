/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * Regions that are added while nobody waits: the same on a kernel that registers by a request
 * and on one that has to be waited for; on the former also while the kernel is in the middle
 * of it, at a page that userfaultfd(2) does not provide before it is told to.
 */
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>

#include "helpers.h"

#define LEN		(4 * MiB)
#define TAG		77
#define SECOND		1000000000ULL

static struct io_uring_ext_error err;
static char *mem;
static int data;

static struct io_uring_ext_pool *pool_of(__u32 flags)
{
	struct io_uring_ext_pool_params p = { .nr_slots = 8, .max_buffer = MiB, .flags = flags };
	struct io_uring_ext_pool *pool;

	CHECK_OK(io_uring_ext_pool_create(&pool, &p, &err), err);
	return pool;
}

static struct io_uring_ext_region region_of(__u64 tag)
{
	return (struct io_uring_ext_region){ .base = mem, .len = LEN, .page_size = 4096,
					     .tag = tag };
}

static bool can_request(struct io_uring_ext_pool *pool)
{
	return io_uring_ext_pool_caps(pool)->flags & IO_URING_EXT_CAP_REQUEST;
}

static bool is_written(int efd, int ms)
{
	struct pollfd pfd = { .fd = efd, .events = POLLIN };
	int ret;

	do {
		ret = poll(&pfd, 1, ms);
	} while (ret < 0 && errno == EINTR);
	return ret == 1;
}

/* Rings read into it, fixed or not. */
static void use(struct io_uring_ext_pool *pool, int id, int want)
{
	struct io_uring_ext_region_info info;
	struct io_uring_ext_ring *r;
	struct io_uring ring;

	t_ring(&ring, 4, 0);
	CHECK_OK(io_uring_ext_ring_attach(&r, pool, &ring, 0, &err), err);
	CHECK_EQ(io_uring_ext_pool_region_info(pool, id, &info), 0);
	CHECK_EQ(info.nr_slots, 4);
	CHECK_EQ(info.registered, want);
	memset(mem + MiB, 0, 4096);
	CHECK_EQ(io_uring_ext_prep_read(r, io_uring_get_sqe(&ring), data, mem + MiB, 4096, 0), want);
	CHECK_EQ(t_io_done(&ring, r), 4096);
	t_check_bytes(mem + MiB, 4096, 0);
	CHECK_EQ(io_uring_ext_ring_idle(r), 0);
	CHECK_EQ(io_uring_ext_ring_detach(r), 0);
	io_uring_queue_exit(&ring);
}

static void done_with(struct io_uring_ext_pool *pool, unsigned fds)
{
	CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
	CHECK_EQ(t_open_fds(), fds);
	t_no_pins();
}

static void check_plain(__u32 flags, __u64 tag)
{
	struct io_uring_ext_region region = region_of(tag);
	int efd = eventfd(0, EFD_CLOEXEC), keep = dup(efd), id, again;
	unsigned fds = t_open_fds(), slot;
	struct io_uring_ext_pool *pool = pool_of(flags);
	struct io_uring_ext_region_info info;
	struct io_uring_ext_slab *slab;

	id = io_uring_ext_pool_add_start(pool, &region, efd, 0, &err);
	CHECK_OK(id, err);
	/* It is enough that the eventfd was open */
	close(efd);
	CHECK_EQ(io_uring_ext_pool_region_info(pool, id, &info), -ENOENT);
	CHECK_EQ(io_uring_ext_pool_lookup(pool, mem, 1, &slot, NULL), -ENOENT);
	CHECK_EQ(io_uring_ext_pool_remove(pool, id), -ENOENT);
	CHECK_EQ(io_uring_ext_slab_create(&slab, pool, id, 4096, 0), -ENOENT);
	CHECK_EQ(io_uring_ext_pool_add(pool, &region, &err), -EEXIST);
	CHECK_EQ(io_uring_ext_pool_add_start(pool, &region, -1, 0, &err), -EEXIST);
	CHECK_EQ(io_uring_ext_pool_destroy(pool), -EBUSY);
	CHECK(is_written(keep, 20000));
	CHECK_OK(io_uring_ext_pool_add_finish(pool, id, 0, &err), err);
	CHECK_EQ(err.err, flags & IO_URING_EXT_POOL_PLAIN ? err.err : 0);
	CHECK_EQ(io_uring_ext_pool_add_finish(pool, id, 0, &err), -ENOENT);
	CHECK_EQ(io_uring_ext_pool_add_cancel(pool, id), -ENOENT);
	use(pool, id, !(flags & IO_URING_EXT_POOL_PLAIN));
	CHECK_EQ(io_uring_ext_pool_remove(pool, id), 0);

	/* Without an eventfd, and given up */
	again = io_uring_ext_pool_add_start(pool, &region, -1, 0, &err);
	CHECK_EQ(again, id);
	CHECK_EQ(io_uring_ext_pool_add_cancel(pool, id), 0);
	CHECK_EQ(io_uring_ext_pool_add_finish(pool, id, 0, &err), -ENOENT);
	CHECK_EQ(t_status("VmPin"), 0);
	again = io_uring_ext_pool_add_start(pool, &region, -1, 0, &err);
	CHECK_EQ(again, id);
	CHECK_OK(io_uring_ext_pool_add_finish(pool, id, IO_URING_EXT_UNLIMITED, &err), err);
	use(pool, id, !(flags & IO_URING_EXT_POOL_PLAIN));
	done_with(pool, fds - 1);
	close(keep);
}

static void check_args(void)
{
	struct io_uring_ext_region region = region_of(0);
	unsigned fds = t_open_fds();
	struct io_uring_ext_pool *pool = pool_of(0);

	CHECK_EQ(io_uring_ext_pool_add_start(NULL, &region, -1, 0, &err), -EINVAL);
	CHECK_EQ(io_uring_ext_pool_add_start(pool, NULL, -1, 0, &err), -EINVAL);
	CHECK_EQ(io_uring_ext_pool_add_start(pool, &region, -1, 1, &err), -EINVAL);
	CHECK_EQ(io_uring_ext_pool_add_start(pool, &region, 12345, 0, &err), -EBADF);
	CHECK(err.err == -EBADF && strstr(err.text, "eventfd"));
	region.len = 9 * MiB;
	CHECK_EQ(io_uring_ext_pool_add_start(pool, &region, -1, 0, &err), -ENOSPC);
	CHECK_EQ(io_uring_ext_pool_add_finish(NULL, 0, 0, &err), -EINVAL);
	CHECK_EQ(io_uring_ext_pool_add_finish(pool, 0, 0, &err), -ENOENT);
	CHECK_EQ(io_uring_ext_pool_add_finish(pool, -1, 0, NULL), -ENOENT);
	CHECK_EQ(io_uring_ext_pool_add_cancel(NULL, 0), -EINVAL);
	CHECK_EQ(io_uring_ext_pool_add_cancel(pool, 12345), -ENOENT);
	done_with(pool, fds);
}

/* A page in the third slot is not there: all or nothing, and why. */
static void check_failure(__u32 flags)
{
	bool forgives = flags & IO_URING_EXT_POOL_OPTIONAL;
	struct io_uring_ext_region region = region_of(0);
	unsigned fds = t_open_fds();
	struct io_uring_ext_pool *pool = pool_of(flags);
	int id, ret;

	if (!(io_uring_ext_pool_caps(pool)->flags & IO_URING_EXT_CAP_CLONE_RANGE)) {
		done_with(pool, fds);
		return;
	}
	CHECK_EQ(mprotect(mem + 2 * MiB + 4096, 4096, PROT_NONE), 0);
	id = io_uring_ext_pool_add_start(pool, &region, -1, 0, NULL);
	CHECK_EQ(id, 0);
	ret = io_uring_ext_pool_add_finish(pool, id, 20 * SECOND, &err);
	CHECK_EQ(ret, forgives ? 0 : -EFAULT);
	CHECK_EQ(err.err, -EFAULT);
	CHECK_EQ(err.stage, IO_URING_EXT_STAGE_REGISTER);
	CHECK_EQ(err.entry, 2);
	CHECK_EQ(t_status("VmPin"), 0);
	CHECK_EQ(mprotect(mem + 2 * MiB + 4096, 4096, PROT_READ | PROT_WRITE), 0);
	if (forgives) {
		use(pool, id, 0);
	} else {
		/* Id, slots and memory are free again */
		CHECK_EQ(io_uring_ext_pool_add(pool, &region, &err), id);
		use(pool, id, 1);
	}
	done_with(pool, fds);
}

/* Too much for the limit: in words, and from the call that waits. */
static void over_limit(void *arg)
{
	struct io_uring_ext_region region = region_of(0);
	struct io_uring_ext_pool *pool = pool_of(0);
	int id;

	(void)arg;
	if (!(io_uring_ext_pool_caps(pool)->flags & IO_URING_EXT_CAP_CLONE_RANGE))
		exit(T_SKIP);
	id = io_uring_ext_pool_add_start(pool, &region, -1, 0, &err);
	CHECK_OK(id, err);
	CHECK_EQ(io_uring_ext_pool_add_finish(pool, id, 20 * SECOND, &err), -ENOMEM);
	CHECK(strstr(err.text, "4 MiB of locked memory needed"));
	CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
	exit(0);
}

static void check_limit(void)
{
	int ret = t_is_root() ? t_as_nobody(2 * MiB, over_limit, NULL) : T_SKIP;

	CHECK(ret == 0 || ret == T_SKIP);
	if (ret)
		fprintf(stderr, "a limit: not tried\n");
}

/* The file may be closed while the kernel is at it. */
static void check_memfd(void)
{
	int fd = memfd_create("test", MFD_CLOEXEC), id;
	struct io_uring_ext_region region = { .len = LEN, .page_size = 4096, .memfd = fd,
					      .flags = IO_URING_EXT_REGION_MEMFD };
	unsigned fds = t_open_fds();
	struct io_uring_ext_pool *pool = pool_of(0);
	char *old = mem;

	CHECK(fd >= 0 && !ftruncate(fd, LEN));
	mem = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(mem != MAP_FAILED);
	region.base = mem;
	id = io_uring_ext_pool_add_start(pool, &region, -1, 0, &err);
	CHECK_OK(id, err);
	close(fd);
	CHECK_OK(io_uring_ext_pool_add_finish(pool, id, 20 * SECOND, &err), err);
	use(pool, id, 1);
	done_with(pool, fds - 1);
	munmap(mem, LEN);
	mem = old;
}

/* ---- in the middle of it ---- */

static int stuck_at(char *page)
{
	struct uffdio_register reg = { .range = { (uintptr_t)page, 4096 },
				       .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffdio_api api = { .api = UFFD_API };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	CHECK_EQ(madvise(page, 4096, MADV_DONTNEED), 0);
	if (fd >= 0 && !ioctl(fd, UFFDIO_API, &api) && !ioctl(fd, UFFDIO_REGISTER, &reg))
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

static void wait_until_stuck(int uffd)
{
	struct uffd_msg msg;

	CHECK(is_written(uffd, 20000));
	CHECK_EQ(read(uffd, &msg, sizeof(msg)), sizeof(msg));
	CHECK_EQ(msg.event, UFFD_EVENT_PAGEFAULT);
}

static void provide(int uffd, char *page)
{
	struct uffdio_zeropage zero = { .range = { (uintptr_t)page, 4096 } };

	CHECK_EQ(ioctl(uffd, UFFDIO_ZEROPAGE, &zero), 0);
	close(uffd);
}

struct starter {
	struct io_uring_ext_pool *pool;
	int efd;
	int id;
};

static void *start(void *arg)
{
	struct io_uring_ext_region region = region_of(0);
	struct io_uring_ext_error e;
	struct starter *s = arg;

	s->id = io_uring_ext_pool_add_start(s->pool, &region, s->efd, 0, &e);
	CHECK_OK(s->id, e);
	return NULL;
}

enum end { FINISH, CANCEL, THREAD_ENDS };

static bool check_stuck(enum end end)
{
	char *page = mem + 2 * MiB + 8192;
	int uffd = stuck_at(page), efd = eventfd(0, EFD_CLOEXEC);
	unsigned fds = t_open_fds();
	struct starter s = { .pool = pool_of(0), .efd = efd };
	pthread_t tid;

	if (uffd < 0 || !can_request(s.pool)) {
		fprintf(stderr, "in the middle of it: not tried, no %s\n",
			uffd < 0 ? "userfaultfd" : "requests");
		done_with(s.pool, fds);
		close(efd);
		if (uffd >= 0)
			close(uffd);
		return false;
	}
	/* This thread would wait for ever if that waited */
	if (end == THREAD_ENDS) {
		CHECK_EQ(pthread_create(&tid, NULL, start, &s), 0);
		pthread_join(tid, NULL);
	} else {
		start(&s);
		wait_until_stuck(uffd);
		CHECK_EQ(io_uring_ext_pool_add_finish(s.pool, s.id, 0, &err), -ETIMEDOUT);
		CHECK_EQ(io_uring_ext_pool_add_finish(s.pool, s.id, SECOND / 50, &err), -ETIMEDOUT);
		CHECK(!is_written(efd, 0));
		CHECK_EQ(io_uring_ext_pool_destroy(s.pool), -EBUSY);
	}
	if (end == CANCEL) {
		CHECK_EQ(io_uring_ext_pool_add_cancel(s.pool, s.id), 0);
		CHECK_EQ(t_status("VmPin"), 0);
		provide(uffd, page);
	} else {
		provide(uffd, page);
		CHECK(is_written(efd, 20000));
		CHECK_OK(io_uring_ext_pool_add_finish(s.pool, s.id, IO_URING_EXT_UNLIMITED, &err),
			 err);
		use(s.pool, s.id, 1);
	}
	done_with(s.pool, fds - 1);
	close(efd);
	return true;
}

int main(void)
{
	struct io_uring_ext_pool *pool;

	mem = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(mem != MAP_FAILED);
	CHECK_EQ(madvise(mem, LEN, MADV_NOHUGEPAGE), 0);
	data = t_file(8192);
	if (!t_may_lock(3 * LEN, "anything"))
		t_skip("memory of 12 MiB may not be locked");
	alarm(300);
	check_args();
	check_plain(0, 0);
	check_plain(0, TAG);
	check_plain(IO_URING_EXT_POOL_NO_CLONE, 0);
	check_plain(IO_URING_EXT_POOL_OPTIONAL, 0);
	check_plain(IO_URING_EXT_POOL_PLAIN, 0);
	check_failure(0);
	check_failure(IO_URING_EXT_POOL_OPTIONAL);
	check_memfd();
	check_limit();
	if (check_stuck(FINISH)) {
		check_stuck(CANCEL);
		check_stuck(THREAD_ENDS);
	}
	pool = pool_of(0);
	if (!can_request(pool))
		fprintf(stderr, "at once: this kernel has no such request\n");
	CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
	return 0;
}
