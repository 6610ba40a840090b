/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/* The check agrees with what the kernel then does, and its words can be acted on. */
#include "helpers.h"

static char text[1024];

static const char *words(const struct io_uring_ext_memlock *m)
{
	CHECK(io_uring_ext_memlock_describe(m, text, sizeof(text)) > 0);
	return text;
}

static void as_nobody(void *arg)
{
	const size_t limit = *(size_t *)arg;
	struct io_uring_ext_memlock m;
	struct io_uring ring;
	struct iovec iov;
	size_t len;

	t_ring(&ring, 4, 0);
	iov.iov_base = mmap(NULL, 2 * limit, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	madvise(iov.iov_base, 2 * limit, MADV_NOHUGEPAGE);
	for (len = 4096; len <= 2 * limit; len += len > limit - 64 * 4096 && len < limit ?
						 4096 : 16 * 4096) {
		int fits = io_uring_ext_memlock_check(len, 0, 1, 0, &m);
		int ret;

		iov.iov_len = len;
		CHECK(fits == 0 || fits == -ENOMEM);
		CHECK_EQ(m.soft, limit);
		CHECK(!(m.state & IO_URING_EXT_MEMLOCK_EXEMPT));
		ret = io_uring_register_buffers(&ring, &iov, 1);
		/* The rings that a pool would make are counted, and are not there */
		CHECK(ret == fits || (!ret && len + m.rings > limit));
		CHECK(len + 16 * 4096 > limit || !fits);
		if (!ret) {
			/* What is pinned now counts for the next */
			CHECK_EQ(io_uring_ext_memlock_check(limit - len + 4096, 0, 1, 0, &m),
				 -ENOMEM);
			CHECK_EQ(m.pinned, len);
			CHECK_EQ(io_uring_unregister_buffers(&ring), 0);
		}
	}
	CHECK_EQ(io_uring_ext_memlock_check(2 * limit, 0, 1, 0, &m), -ENOMEM);
	CHECK(strstr(words(&m), "CAP_IPC_LOCK"));
	CHECK(strstr(text, "limits.conf"));
	CHECK(strstr(text, "hard"));
	/* Twice what fits once */
	CHECK_EQ(io_uring_ext_memlock_check((limit - m.rings) / 2, 0, 2, 0, &m), 0);
	CHECK_EQ(io_uring_ext_memlock_check((limit - m.rings) / 2, 0, 3, 0, &m), -ENOMEM);
	/* Charged by the page */
	CHECK_EQ(io_uring_ext_memlock_check(1, 2 * limit, 1, 0, &m), -ENOMEM);
	CHECK_EQ(m.need, 2 * limit);
	io_uring_queue_exit(&ring);
}

/* What the message tells to type is typed. */
static void do_as_told(void)
{
	const char *cmd = strchr(text, '\''), *end = cmd ? strchr(cmd + 1, '\'') : NULL;
	char line[256], got[64];
	const char *const argv[] = { "/bin/sh", "-c", line, NULL };

	CHECK(cmd && end);
	if (access("/bin/sh", X_OK)) {
		fprintf(stderr, "no shell to type '%.*s' into\n", (int)(end - cmd - 1), cmd + 1);
		return;
	}
	snprintf(line, sizeof(line), "%.*s && ulimit -S -l", (int)(end - cmd - 1), cmd + 1);
	CHECK_EQ(t_run(argv, got, sizeof(got)), 0);
	CHECK_EQ(strtoul(got, NULL, 10), 4096);
}

/* What the check finds to fit is registered, by a pool and its rings, up to the last page. */
static void fits_means_fits(void *arg)
{
	const size_t limit = *(size_t *)arg;
	struct io_uring_ext_region region = { .page_size = 4096 };
	struct io_uring_ext_memlock m;
	struct io_uring_ext_pool *pool;
	struct io_uring_ext_error err;
	struct io_uring_ext_ring *r;
	struct io_uring ring;
	unsigned tries;
	size_t len;
	int ret;

	region.base = mmap(NULL, limit, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			   -1, 0);
	t_ring(&ring, 64, 0);
	for (len = limit; io_uring_ext_memlock_check(len, 0, 1, 0, &m); len -= 4096)
		;
	CHECK(len >= limit - MiB);
	region.len = len;
	CHECK_OK(io_uring_ext_pool_create(&pool, NULL, &err), err);
	/* Of a user who is not new, rings that are closed are charged for a while */
	for (tries = 0; tries < 200; tries++) {
		ret = io_uring_ext_pool_add(pool, &region, &err);
		if (ret != -ENOMEM || t_is_root())
			break;
		usleep(20000);
	}
	CHECK_OK(ret, err);
	CHECK_OK(io_uring_ext_ring_attach(&r, pool, &ring, 0, &err), err);
	CHECK_EQ(io_uring_ext_ring_detach(r), 0);
	CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
	io_uring_queue_exit(&ring);
}

/* With nothing to lock there may be no rings either: it is not called by another name. */
static void nothing(void *arg)
{
	struct io_uring_ext_pool *pool;
	struct io_uring_ext_error err;
	int ret;

	(void)arg;
	ret = io_uring_ext_pool_create(&pool, NULL, &err);
	if (!ret) {
		fprintf(stderr, "this kernel does not charge rings\n");
		CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
		return;
	}
	CHECK_EQ(ret, -ENOMEM);
	CHECK(!pool);
	CHECK(strstr(err.text, "RLIMIT_MEMLOCK is 0 bytes (soft), 0 bytes (hard)"));
	CHECK(strstr(err.text, "limits.conf"));
	CHECK(!strstr(err.text, "io_uring_disabled"));
}

static void below_hard(void *arg)
{
	struct io_uring_ext_memlock m;
	struct rlimit rl;

	(void)arg;
	CHECK_EQ(getrlimit(RLIMIT_MEMLOCK, &rl), 0);
	rl.rlim_cur = 64 * KiB;
	CHECK_EQ(setrlimit(RLIMIT_MEMLOCK, &rl), 0);
	CHECK_EQ(io_uring_ext_memlock_check(MiB, 0, 1, 0, &m), -ENOMEM);
	CHECK(m.state & IO_URING_EXT_MEMLOCK_FITS_HARD);
	CHECK(strstr(words(&m), "ulimit -S"));
	do_as_told();
	CHECK_EQ(io_uring_ext_memlock_check(MiB, 0, 1, IO_URING_EXT_MEMLOCK_RAISE, &m), 0);
	CHECK(m.state & IO_URING_EXT_MEMLOCK_RAISED);
	CHECK(strstr(words(&m), "raised"));
	CHECK_EQ(getrlimit(RLIMIT_MEMLOCK, &rl), 0);
	CHECK_EQ(rl.rlim_cur, rl.rlim_max);
	/* Raising does not help here, and does not happen */
	rl.rlim_cur = 64 * KiB;
	CHECK_EQ(setrlimit(RLIMIT_MEMLOCK, &rl), 0);
	CHECK_EQ(io_uring_ext_memlock_check(GiB, 0, 1, IO_URING_EXT_MEMLOCK_RAISE, &m),
		 -ENOMEM);
	CHECK_EQ(getrlimit(RLIMIT_MEMLOCK, &rl), 0);
	CHECK_EQ(rl.rlim_cur, 64 * KiB);
}

int main(void)
{
	struct io_uring_ext_memlock m;
	size_t limit = 2 * MiB;

	CHECK_EQ(io_uring_ext_memlock_check(0, 0, 1, 0, &m), -EINVAL);
	CHECK_EQ(io_uring_ext_memlock_check(1, 3, 1, 0, &m), -EINVAL);
	CHECK_EQ(io_uring_ext_memlock_check(1, 0, 1, 8, &m), -EINVAL);
	CHECK_EQ(io_uring_ext_memlock_check(1, 0, 1, 0, NULL), -EINVAL);
	if (IS_64BIT)
		CHECK_EQ(io_uring_ext_memlock_check(~0UL, 0, 1, 0, &m), -EOVERFLOW);
	if (IS_64BIT)
		CHECK_EQ(io_uring_ext_memlock_check(BIG(1ULL << 62), 0, 8, 0, &m),
			 -EOVERFLOW);
	CHECK_EQ(io_uring_ext_memlock_describe(NULL, text, sizeof(text)), -EINVAL);

	memset(&m, 0, sizeof(m));
	m.need = 64ULL << 30;
	m.soft = m.hard = 8 * MiB;
	CHECK(strstr(words(&m), "64 GiB") && strstr(text, "8 MiB"));
	CHECK(io_uring_ext_memlock_describe(&m, text, 10) > 10 && strlen(text) == 9);
	m.soft = IO_URING_EXT_UNLIMITED;
	m.state = IO_URING_EXT_MEMLOCK_FITS;
	CHECK(strstr(words(&m), "unlimited"));

	if (t_is_root()) {
		CHECK_EQ(io_uring_ext_memlock_check(GiB, GiB, 4096, 0, &m), 0);
		CHECK_EQ(m.need, 4 * TiB);
		CHECK(m.state & IO_URING_EXT_MEMLOCK_EXEMPT);
		CHECK(strstr(words(&m), "CAP_IPC_LOCK"));
	}
	CHECK_EQ(t_as_nobody(limit, as_nobody, &limit), 0);
	CHECK_EQ(t_as_nobody(4 * MiB, below_hard, NULL), 0);
	limit = 8 * MiB;
	CHECK_EQ(t_as_nobody(limit, fits_means_fits, &limit), 0);
	CHECK_EQ(t_as_nobody(0, nothing, NULL), 0);
	return 0;
}
