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
	for (len = 4096; len <= 2 * limit; len += 16 * 4096) {
		int fits = io_uring_ext_memlock_check(len, 0, 1, 0, &m);

		iov.iov_len = len;
		CHECK(fits == 0 || fits == -ENOMEM);
		CHECK_EQ(m.soft, limit);
		CHECK(!(m.state & IO_URING_EXT_MEMLOCK_EXEMPT));
		CHECK_EQ(io_uring_register_buffers(&ring, &iov, 1), fits);
		if (!fits) {
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
	CHECK_EQ(io_uring_ext_memlock_check(limit / 2, 0, 2, 0, &m), 0);
	CHECK_EQ(io_uring_ext_memlock_check(limit / 2, 0, 3, 0, &m), -ENOMEM);
	/* Charged by the page */
	CHECK_EQ(io_uring_ext_memlock_check(1, 2 * limit, 1, 0, &m), -ENOMEM);
	CHECK_EQ(m.need, 2 * limit);
	io_uring_queue_exit(&ring);
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
	CHECK_EQ(io_uring_ext_memlock_check(~0UL, 0, 1, 0, &m), -EOVERFLOW);
	CHECK_EQ(io_uring_ext_memlock_check(1UL << 62, 0, 8, 0, &m), -EOVERFLOW);
	CHECK_EQ(io_uring_ext_memlock_describe(NULL, text, sizeof(text)), -EINVAL);

	memset(&m, 0, sizeof(m));
	m.need = 64 * GiB;
	m.soft = m.hard = 8 * MiB;
	CHECK(strstr(words(&m), "64 GiB") && strstr(text, "8 MiB"));
	CHECK(io_uring_ext_memlock_describe(&m, text, 10) > 10 && strlen(text) == 9);
	m.soft = IO_URING_EXT_UNLIMITED;
	m.state = IO_URING_EXT_MEMLOCK_FITS;
	CHECK(strstr(words(&m), "unlimited"));

	if (t_is_root()) {
		CHECK_EQ(io_uring_ext_memlock_check(TiB, GiB, 4, 0, &m), 0);
		CHECK_EQ(m.need, 4 * TiB);
		CHECK(m.state & IO_URING_EXT_MEMLOCK_EXEMPT);
		CHECK(strstr(words(&m), "CAP_IPC_LOCK"));
	}
	CHECK_EQ(t_as_nobody(limit, as_nobody, &limit), 0);
	CHECK_EQ(t_as_nobody(4 * MiB, below_hard, NULL), 0);
	return 0;
}
