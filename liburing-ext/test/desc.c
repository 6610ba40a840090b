/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * Descriptors in a table of one's own: read-only memory, and ranges of a memfd, by calls and as
 * requests; where the kernel has none of that, what works all the same, and what is said.
 */
#include "helpers.h"

#define NR	4
#define PAGE	4096
#define OFFSET	(2 * PAGE)
#define LEN	(4 * PAGE)

static struct io_uring_ext_error err;
static struct io_uring_ext_caps caps;
static struct io_uring ring;
static char *mem;
static int data, pipe_fds[2];

static int make_memfd(void)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	CHECK(fd >= 0);
	CHECK_EQ(ftruncate(fd, 8 * PAGE), 0);
	return fd;
}

/* A request with entry @i: its result */
static int fixed(bool read, const char *p, unsigned len, unsigned i)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

	if (read)
		io_uring_prep_read_fixed(sqe, data, (void *)p, len, 0, i);
	else
		io_uring_prep_write_fixed(sqe, pipe_fds[1], p, len, 0, i);
	return t_io(&ring);
}

/* The @len bytes at @p of entry @i are those of data from its start. */
static void expect(const char *p, unsigned len, unsigned i)
{
	char got[LEN];

	CHECK_EQ(fixed(false, p, len, i), (int)len);
	CHECK_EQ(read(pipe_fds[0], got, len), (int)len);
	t_check_bytes(got, len, 0);
}

static int update(unsigned off, const struct io_uring_ext_desc *descs, unsigned nr)
{
	return io_uring_ext_update_descs(&ring, off, descs, NULL, nr, 0, &err);
}

static bool empty(const struct io_uring_ext_desc *desc)
{
	static const struct io_uring_ext_desc none;

	return !memcmp(desc, &none, sizeof(none));
}

/* Any kernel */
static void plain_memory(void)
{
	char *bad = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	__u64 tags[NR] = { 0, 55, 0, 0 };
	struct io_uring_ext_desc d[NR];
	unsigned i;

	for (i = 0; i < NR; i++)
		CHECK_OK(io_uring_ext_desc_memory(&d[i], &caps, mem + i * PAGE, PAGE, 0, &err), err);
	CHECK_OK(io_uring_ext_update_descs(&ring, 0, d, tags, NR, 0, &err), err);
	CHECK_EQ(err.err, 0);
	for (i = 0; i < NR; i++) {
		CHECK_EQ(fixed(true, mem + i * PAGE, PAGE, i), PAGE);
		t_check_bytes(mem + i * PAGE, PAGE, 0);
		expect(mem + i * PAGE, PAGE, i);
	}

	/* The third fails, the others are done, and it is said which and why */
	CHECK_OK(io_uring_ext_desc_memory(&d[2], &caps, bad, PAGE, 0, &err), err);
	memset(&d[0], 0, sizeof(d[0]));
	CHECK_EQ(update(0, d, NR), -EFAULT);
	CHECK_EQ(err.stage, IO_URING_EXT_STAGE_UPDATE);
	CHECK_EQ(err.entry, 2);
	CHECK_EQ(err.done, 2);
	CHECK(strstr(err.text, "table entry 2"));
	CHECK_EQ(t_wait_tag(&ring, 5000), 55);
	CHECK_EQ(fixed(false, mem, 1, 0), -EFAULT);
	expect(mem + 2 * PAGE, PAGE, 2);

	CHECK_EQ(update(1, d, NR), -EINVAL);
	CHECK_EQ(update(0, d, 0), -EINVAL);
	CHECK_EQ(update(~0U, d, 2), -EINVAL);
	CHECK_EQ(io_uring_ext_update_descs(&ring, 0, d, NULL, 1, 1, &err), -EINVAL);
	CHECK_EQ(err.stage, IO_URING_EXT_STAGE_ARGS);
	memset(d, 0xff, sizeof(d[0]));
	CHECK_EQ(io_uring_ext_desc_memory(d, &caps, NULL, PAGE, 0, &err), -EINVAL);
	CHECK(empty(d));
	CHECK_EQ(io_uring_ext_desc_memory(d, &caps, mem, 0, 0, &err), -EINVAL);
	CHECK_EQ(io_uring_ext_desc_memory(d, &caps, mem, SIZE_MAX, 0, &err), -EINVAL);
	CHECK_EQ(io_uring_ext_desc_memory(d, &caps, mem, PAGE, IO_URING_EXT_DESC_MAPPED, &err),
		 -EINVAL);
	CHECK_EQ(munmap(bad, PAGE), 0);
}

static void read_only(void)
{
	struct io_uring_ext_desc d;
	char *ro = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, data, 0);

	CHECK(ro != MAP_FAILED);
	if (!(caps.flags & IO_URING_EXT_CAP_READONLY)) {
		memset(&d, 0xff, sizeof(d));
		CHECK_EQ(io_uring_ext_desc_memory(&d, &caps, ro, PAGE, IO_URING_EXT_DESC_READONLY,
						  &err), -EOPNOTSUPP);
		CHECK(empty(&d));
		CHECK(strstr(err.text, "no read-only registered buffers"));
		fprintf(stderr, "this kernel has no read-only buffers\n");
	} else {
		CHECK_OK(io_uring_ext_desc_memory(&d, &caps, ro, PAGE, IO_URING_EXT_DESC_READONLY,
						  &err), err);
		CHECK_OK(update(3, &d, 1), err);
		expect(ro, PAGE, 3);
		CHECK_EQ(fixed(true, ro, 1, 3), -EFAULT);
	}
	munmap(ro, PAGE);
}

/* By the file where that can be, or by the mapping */
static void memfd(void)
{
	int fd = make_memfd();
	char *map = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, OFFSET);
	bool by_file = caps.flags & IO_URING_EXT_CAP_MEMFD;
	struct io_uring_ext_desc d;
	int ret;

	CHECK(map != MAP_FAILED);
	CHECK_OK(io_uring_ext_desc_memfd(&d, &caps, fd, OFFSET, LEN, map, IO_URING_EXT_DESC_MAPPED,
					 &err), err);
	CHECK_OK(update(1, &d, 1), err);
	CHECK_EQ(fixed(true, map, LEN, 1), LEN);
	t_check_bytes(map, LEN, 0);
	expect(map, LEN, 1);

	/* Not mapped: addresses are offsets */
	memset(&d, 0xff, sizeof(d));
	ret = io_uring_ext_desc_memfd(&d, &caps, fd, OFFSET, LEN, NULL, 0, &err);
	if (by_file) {
		CHECK_OK(ret, err);
		munmap(map, LEN);
		CHECK_OK(update(2, &d, 1), err);
		expect(NULL, LEN, 2);
		CHECK_EQ(fixed(false, (char *)LEN, 1, 2), -EFAULT);
	} else {
		CHECK_EQ(ret, -EOPNOTSUPP);
		CHECK(empty(&d));
		CHECK(strstr(err.text, "only where it is mapped"));
		fprintf(stderr, "this kernel has no buffers of a memfd\n");
		munmap(map, LEN);
	}
	close(fd);
}

static int try_memfd(int fd, __u64 offset, size_t len, void *base, __u32 flags)
{
	struct io_uring_ext_desc d;
	int ret = io_uring_ext_desc_memfd(&d, &caps, fd, offset, len, base, flags, &err);

	CHECK_EQ(err.err, ret);
	if (ret) {
		CHECK(empty(&d));
		CHECK(err.text[0]);
		CHECK_EQ(err.stage, IO_URING_EXT_STAGE_ARGS);
	}
	return ret;
}

static int reopen(int fd, int flags)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	fd = open(path, flags | O_CLOEXEC);
	CHECK(fd >= 0);
	return fd;
}

/* The same with any kernel; @base is only compared. */
static void memfd_errors(void)
{
	const __u32 mapped = IO_URING_EXT_DESC_MAPPED, ro = IO_URING_EXT_DESC_READONLY;
	int readonly = caps.flags & IO_URING_EXT_CAP_READONLY ? 0 : -EOPNOTSUPP;
	int fd = make_memfd(), other;

	CHECK_EQ(try_memfd(fd, OFFSET, LEN, mem, mapped), 0);
	CHECK_EQ(try_memfd(-1, OFFSET, LEN, mem, mapped), -EBADF);
	CHECK_EQ(try_memfd(pipe_fds[0], OFFSET, LEN, mem, mapped), -EINVAL);
	CHECK_EQ(try_memfd(fd, OFFSET, 6 * PAGE + 1, mem, mapped), -EINVAL);
	CHECK_EQ(try_memfd(fd, OFFSET + 1, PAGE, mem, mapped), -EINVAL);
	CHECK_EQ(try_memfd(fd, OFFSET + 1, PAGE, mem + 1, mapped), 0);
	CHECK_EQ(try_memfd(fd, OFFSET, 0, mem, mapped), -EINVAL);
	CHECK_EQ(try_memfd(fd, OFFSET, LEN, NULL, mapped), -EINVAL);
	CHECK_EQ(try_memfd(fd, OFFSET, LEN, mem, mapped | 1U << 31), -EINVAL);
	other = reopen(fd, O_WRONLY);
	CHECK_EQ(try_memfd(other, OFFSET, LEN, mem, mapped), -EACCES);
	close(other);
	other = reopen(fd, O_RDONLY);
	CHECK_EQ(try_memfd(other, OFFSET, LEN, mem, mapped), -EACCES);
	CHECK_EQ(try_memfd(other, OFFSET, LEN, mem, mapped | ro), readonly);
	close(other);
	CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	CHECK_EQ(try_memfd(fd, OFFSET, LEN, mem, mapped), -EPERM);
	CHECK_EQ(try_memfd(fd, OFFSET, LEN, mem, mapped | ro), readonly);
	close(fd);
}

/* Of a file that is closed once it is submitted */
static void memfd_by_request(void)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
	struct io_uring_ext_desc d;
	struct io_uring_cqe *cqe;
	int fd = make_memfd();

	CHECK_OK(io_uring_ext_desc_memfd(&d, &caps, fd, OFFSET, LEN, NULL, 0, &err), err);
	CHECK_EQ(io_uring_ext_prep_update(sqe, &caps, 3, &d, NULL, 1, 0), 0);
	CHECK_EQ(io_uring_submit(&ring), 1);
	close(fd);
	memset(&d, 0xff, sizeof(d));
	cqe = t_wait(&ring);
	CHECK_EQ(cqe->res, 1);
	io_uring_cqe_seen(&ring, cqe);
	CHECK_EQ(fixed(true, NULL, LEN, 3), LEN);
	expect(NULL, LEN, 3);
}

/* Linked to a request that needs it; and what does the same where there are none. */
static void by_request(void)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring), before;
	struct io_uring_ext_desc d;
	struct io_uring_cqe *cqe;
	int ret, i;

	CHECK_OK(io_uring_ext_desc_memory(&d, &caps, mem + PAGE, PAGE, 0, &err), err);
	CHECK_EQ(io_uring_ext_prep_update(NULL, &caps, 0, &d, NULL, 1, 0), -EINVAL);
	memset(sqe, 0x55, sizeof(*sqe));
	before = *sqe;
	CHECK_EQ(io_uring_ext_prep_update(sqe, &caps, 0, &d, NULL, 0, 0), -EINVAL);
	CHECK_EQ(io_uring_ext_prep_update(sqe, &caps, 0, &d, NULL, 1, 1), -EINVAL);
	CHECK_EQ(io_uring_ext_prep_update(sqe, &caps, ~0U, &d, NULL, 1, 0), -EINVAL);
	CHECK_EQ(io_uring_ext_prep_update(sqe, NULL, 0, &d, NULL, 1, 0), -EINVAL);
	CHECK(!memcmp(sqe, &before, sizeof(before)));
	ret = io_uring_ext_prep_update(sqe, &caps, 0, &d, NULL, 1, 0);
	if (!(caps.flags & IO_URING_EXT_CAP_REQUEST)) {
		CHECK_EQ(ret, -EOPNOTSUPP);
		CHECK(!memcmp(sqe, &before, sizeof(before)));
		/* Not every liburing's io_uring_prep_nop() clears what get_sqe() has. */
		memset(sqe, 0, sizeof(*sqe));
		io_uring_prep_nop(sqe);
		CHECK_EQ(t_io(&ring), 0);
		CHECK_OK(update(0, &d, 1), err);
		fprintf(stderr, "this kernel has no updates by a request\n");
		expect(mem + PAGE, PAGE, 0);
		return;
	}
	CHECK_EQ(ret, 0);
	sqe->flags = IOSQE_IO_LINK;
	sqe->user_data = 1;
	sqe = io_uring_get_sqe(&ring);
	io_uring_prep_write_fixed(sqe, pipe_fds[1], mem + PAGE, PAGE, 0, 0);
	sqe->user_data = 2;
	CHECK_EQ(io_uring_submit(&ring), 2);
	memset(&d, 0xff, sizeof(d));
	for (i = 1; i <= 2; i++) {
		cqe = t_wait(&ring);
		CHECK_EQ(cqe->user_data, i);
		CHECK_EQ(cqe->res, i == 1 ? 1 : PAGE);
		io_uring_cqe_seen(&ring, cqe);
	}
	CHECK_EQ(read(pipe_fds[0], mem, PAGE), PAGE);
	t_check_bytes(mem, PAGE, 0);
	expect(mem + PAGE, PAGE, 0);
	if (caps.flags & IO_URING_EXT_CAP_MEMFD)
		memfd_by_request();
}

int main(void)
{
	data = t_file(65536);
	CHECK_EQ(pipe(pipe_fds), 0);
	mem = mmap(NULL, NR * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(mem != MAP_FAILED);
	t_ring(&ring, 8, 0);
	CHECK_EQ(io_uring_ext_query(&ring, &caps), 0);
	CHECK_EQ(update(0, &(struct io_uring_ext_desc){ { 0 } }, 1), -ENXIO);
	CHECK_EQ(io_uring_register_buffers_sparse(&ring, NR), 0);

	plain_memory();
	read_only();
	memfd();
	memfd_errors();
	by_request();

	io_uring_queue_exit(&ring);
	t_no_pins();
	return 0;
}
