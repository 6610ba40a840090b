/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/* Which ring is meant, whatever becomes of its fd; forgetting a ring; waking it. */
#include <sys/eventfd.h>

#include "helpers.h"

#define TAG	99

static struct io_uring_ext_error err;
static char *mem;

static struct io_uring_ext_pool *new_pool(__u32 flags, __u64 tag)
{
	struct io_uring_ext_pool_params p = { .flags = flags, .nr_slots = 8,
					      .max_buffer = MiB };
	struct io_uring_ext_region region = { .base = mem, .len = 2 * MiB, .page_size = 4096,
					      .tag = tag };
	struct io_uring_ext_pool *pool;

	CHECK_OK(io_uring_ext_pool_create(&pool, &p, &err), err);
	CHECK_EQ(io_uring_ext_pool_add(pool, &region, &err), 0);
	return pool;
}

static bool reads_fixed(struct io_uring *ring, char *p, unsigned index)
{
	int fd = t_file(65536);
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	int res;

	io_uring_prep_read_fixed(sqe, fd, p, 4096, 0, index);
	res = t_io(ring);
	close(fd);
	return res == 4096;
}

/* A ring that was exited is not the one that has its number now. */
static void check_number_taken(__u32 flags)
{
	struct io_uring_ext_pool *pool = new_pool(flags, 0);
	struct io_uring_ext_ring *r;
	struct io_uring old, new;
	char *own = mem + 2 * MiB;
	struct iovec iov[4] = { { own, 4096 }, { own, 4096 }, { own, 4096 }, { own, 4096 } };
	unsigned i;

	t_ring(&old, 4, 0);
	CHECK_OK(io_uring_ext_ring_attach(&r, pool, &old, 0, &err), err);
	io_uring_queue_exit(&old);
	t_ring(&new, 4, 0);
	CHECK_EQ(new.ring_fd, old.ring_fd);
	CHECK_EQ(io_uring_register_buffers(&new, iov, 4), 0);
	memset(&old, 0xee, sizeof(old));
	CHECK_EQ(io_uring_ext_pool_remove(pool, 0), 1);
	CHECK_EQ(io_uring_ext_ring_sync(r, &err), 1);
	CHECK_EQ(io_uring_ext_ring_detach(r), 0);
	for (i = 0; i < 4; i++)
		CHECK(reads_fixed(&new, own, i));
	CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
	io_uring_queue_exit(&new);
}

/* Forgotten: nobody waits for it, and nothing is done to it. */
static void check_forget(__u64 tag)
{
	struct io_uring_ext_pool *pool = new_pool(0, tag);
	struct io_uring_ext_region_info info;
	struct io_uring_ext_ring *r;
	struct io_uring ring;
	unsigned fds = t_open_fds();

	t_ring(&ring, 4, 0);
	CHECK_OK(io_uring_ext_ring_attach(&r, pool, &ring, 0, &err), err);
	CHECK_EQ(io_uring_ext_pool_destroy(pool), -EBUSY);
	CHECK_EQ(io_uring_ext_pool_remove(pool, 0), 1);
	io_uring_ext_ring_forget(r);
	io_uring_ext_ring_forget(NULL);
	CHECK_EQ(io_uring_ext_pool_region_info(pool, 0, &info), -ENOENT);
	/* Its table still has what it had */
	CHECK(reads_fixed(&ring, mem, 0));
	io_uring_queue_exit(&ring);
	CHECK_EQ(t_open_fds(), fds);
	CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
}

/* The caller's fd may be closed as soon as the ring is attached. */
static void check_fd_closed(void)
{
	struct io_uring_ext_pool *pool = new_pool(0, 0);
	struct io_uring_ext_ring *r;
	struct io_uring ring;
	int fd;

	t_ring(&ring, 4, 0);
	fd = dup(ring.ring_fd);
	CHECK_OK(io_uring_ext_ring_attach_fd(&r, pool, fd, NULL, &err), err);
	close(fd);
	CHECK(reads_fixed(&ring, mem, 0));
	CHECK_EQ(io_uring_ext_ring_detach(r), 0);
	CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
	io_uring_queue_exit(&ring);
}

static void check_args(void)
{
	struct io_uring_ext_pool *pool = new_pool(0, 0);
	struct io_uring_ext_ring_params p = { .flags = 1U << 30 };
	struct io_uring_ext_ring *r = (void *)1;
	struct io_uring ring;
	int file = t_file(4096);

	t_ring(&ring, 4, 0);
	CHECK_EQ(io_uring_ext_ring_attach_fd(&r, pool, ring.ring_fd, &p, &err), -EINVAL);
	CHECK(!r);
	p.flags = IO_URING_EXT_RING_WAKE_MSG | IO_URING_EXT_RING_WAKE_EVENTFD;
	CHECK_EQ(io_uring_ext_ring_attach_fd(&r, pool, ring.ring_fd, &p, &err), -EINVAL);
	p.flags = IO_URING_EXT_RING_WAKE_MSG | IO_URING_EXT_RING_REGISTERED;
	CHECK_EQ(io_uring_ext_ring_attach_fd(&r, pool, ring.ring_fd, &p, &err), -EINVAL);
	p.flags = 0;
	p.resv[3] = 1;
	CHECK_EQ(io_uring_ext_ring_attach_fd(&r, pool, ring.ring_fd, &p, &err), -EINVAL);
	p.resv[3] = 0;
	CHECK_EQ(io_uring_ext_ring_attach_fd(&r, pool, 12345, &p, &err), -EBADF);
	CHECK(strstr(err.text, "12345"));
	CHECK_EQ(io_uring_ext_ring_attach_fd(&r, pool, -1, &p, &err), -EINVAL);
	CHECK(io_uring_ext_ring_attach_fd(&r, pool, file, &p, &err) < 0);
	CHECK(!r);
	/* What is wrong is named: it is not the slots */
	CHECK_EQ(io_uring_ext_ring_attach(&r, pool, NULL, 0, &err), -EINVAL);
	CHECK(strstr(err.text, "no ring") && !strstr(err.text, "table"));
	CHECK_EQ(io_uring_ext_ring_attach(&r, NULL, &ring, 0, &err), -EINVAL);
	CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
	io_uring_queue_exit(&ring);
	close(file);
}

struct sleeper {
	struct io_uring_ext_pool *pool;
	struct io_uring_ext_ring_params p;
	pthread_t tid;
	_Atomic int ready;
};

/* Waits for CQEs for ever, but for what removal wakes it with. */
static void *sleep_in_ring(void *arg)
{
	struct sleeper *s = arg;
	struct io_uring_ext_ring *r;
	struct io_uring_ext_error e;
	struct io_uring_sqe *sqe;
	struct io_uring ring;
	__u64 count;

	t_ring(&ring, 4, 0);
	CHECK_OK(io_uring_ext_ring_attach_fd(&r, s->pool, ring.ring_fd, &s->p, &e), e);
	if (s->p.flags & IO_URING_EXT_RING_WAKE_EVENTFD) {
		sqe = io_uring_get_sqe(&ring);
		io_uring_prep_rw(IORING_OP_READ, sqe, s->p.wake_fd, &count, sizeof(count), 0);
		sqe->user_data = s->p.wake_data;
		CHECK_EQ(io_uring_submit(&ring), 1);
	}
	s->ready = 1;
	CHECK_EQ(t_wait_tag(&ring, 30000), s->p.wake_data);
	CHECK_EQ(io_uring_ext_ring_stale(r), 1);
	CHECK_EQ(io_uring_ext_ring_sync(r, &e), 1);
	CHECK_EQ(io_uring_ext_ring_detach(r), 0);
	io_uring_queue_exit(&ring);
	return NULL;
}

static void check_wake(__u32 flags)
{
	struct sleeper s = { .p = { .flags = flags, .wake_data = 4711 } };

	s.pool = new_pool(0, 0);
	if ((flags & IO_URING_EXT_RING_WAKE_MSG) &&
	    !(io_uring_ext_pool_caps(s.pool)->flags & IO_URING_EXT_CAP_MSG)) {
		fprintf(stderr, "no messages without a ring here\n");
		CHECK_EQ(io_uring_ext_pool_destroy(s.pool), 0);
		return;
	}
	s.p.wake_fd = eventfd(0, EFD_CLOEXEC);
	CHECK_EQ(pthread_create(&s.tid, NULL, sleep_in_ring, &s), 0);
	while (!s.ready)
		usleep(1000);
	usleep(20000);
	CHECK_EQ(io_uring_ext_pool_wait_gone(s.pool, 0, 0), -EBUSY);
	CHECK_EQ(io_uring_ext_pool_remove(s.pool, 0), 1);
	CHECK_EQ(io_uring_ext_pool_wait_gone(s.pool, 0, 20000000000ULL), 0);
	CHECK_EQ(io_uring_ext_pool_wait_gone(s.pool, 0, IO_URING_EXT_UNLIMITED), 0);
	CHECK_EQ(io_uring_ext_pool_wait_gone(NULL, 0, 0), -EINVAL);
	pthread_join(s.tid, NULL);
	close(s.p.wake_fd);
	CHECK_EQ(io_uring_ext_pool_destroy(s.pool), 0);
}

int main(void)
{
	mem = mmap(NULL, 3 * MiB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(mem != MAP_FAILED);
	check_number_taken(0);
	check_number_taken(IO_URING_EXT_POOL_NO_CLONE);
	check_forget(0);
	check_forget(TAG);
	check_fd_closed();
	check_args();
	if (t_valgrind()) {
		fprintf(stderr, "waking is not tried: all threads stand still while one waits\n");
	} else {
		check_wake(IO_URING_EXT_RING_WAKE_EVENTFD);
		check_wake(IO_URING_EXT_RING_WAKE_MSG);
	}
	t_no_pins();
	return 0;
}
