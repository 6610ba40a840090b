/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * What a kernel that keeps buffers as runs offers: layouts that it tells itself, and read-only
 * regions.  Other kernels have to be found out, and refused in words.
 */
#include "helpers.h"
#include "uapi.h"

static struct io_uring_ext_error err;

static struct io_uring_ext_layout get(struct io_uring *ring, unsigned index)
{
	struct io_uring_ext_layout l;

	/* Address and length are the kernel's affair. */
	CHECK_EQ(io_uring_ext_layout(ring, index, NULL, 0, &l), 0);
	CHECK_EQ(l.source, IO_URING_EXT_LAYOUT_KERNEL);
	CHECK(!(l.flags & IO_URING_EXT_LAYOUT_ESTIMATE));
	CHECK_EQ(l.present, l.len);
	CHECK(l.metadata == IO_URING_EXT_UNLIMITED && l.charged != IO_URING_EXT_UNLIMITED);
	return l;
}

static void check_layout(void)
{
	static const unsigned ops[] = { IORING_REGISTER_BUFFERS };
	char *mem = mmap(NULL, MiB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct iovec iov[3] = { { mem + 100, 8192 }, { NULL, 0 }, { mem, 4096 } };
	struct io_uring_ext_layout l;
	struct io_uring ring;

	CHECK(mem != MAP_FAILED);
	madvise(mem, MiB, MADV_NOHUGEPAGE);
	t_ring(&ring, 4, 0);
	CHECK_EQ(io_uring_ext_layout(&ring, 0, mem, 1, &l), -ENXIO);
	CHECK_EQ(io_uring_register_buffers(&ring, iov, 3), 0);
	l = get(&ring, 0);
	CHECK_EQ(l.len, 8192);
	CHECK_EQ(l.runs, 3);
	CHECK_EQ(l.smallest, 100);
	CHECK_EQ(l.largest, 4096);
	CHECK_EQ(l.flags, 0);
	l = get(&ring, 2);
	CHECK_EQ(l.runs, 1);
	CHECK_EQ(l.flags, IO_URING_EXT_LAYOUT_UNIFORM);
	CHECK_EQ(io_uring_ext_layout(&ring, 1, mem, 1, &l), -ENOENT);
	CHECK_EQ(io_uring_ext_layout(&ring, 3, mem, 1, &l), -EINVAL);
	io_uring_queue_exit(&ring);

	/* Not asked where that is forbidden */
	t_restricted(&ring, ops, 1);
	CHECK_EQ(io_uring_register_buffers(&ring, iov, 1), 0);
	CHECK_EQ(io_uring_ext_layout(&ring, 0, iov[0].iov_base, iov[0].iov_len, &l), 0);
	CHECK(l.flags & IO_URING_EXT_LAYOUT_ESTIMATE);
	CHECK_EQ(l.len, 8192);
	io_uring_queue_exit(&ring);
	munmap(mem, MiB);
}

static int write_through(struct io_uring *ring, struct io_uring_ext_ring *r, int fd,
			 const void *mem, unsigned len)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	int fixed = io_uring_ext_prep_write(r, sqe, fd, mem, len, 0);

	CHECK_EQ(t_io(ring), (int)len);
	return fixed;
}

/* A read-only mapping of a file, in a pool with or without clones. */
static void check_region(int map_flags, __u32 pool_flags, __u64 tag)
{
	struct io_uring_ext_pool_params p = { .nr_slots = 4, .flags = pool_flags };
	int in = t_file(64 * KiB), out = t_file(4096);
	struct io_uring_ext_region region = {
		.base = mmap(NULL, 64 * KiB, PROT_READ, map_flags, in, 0),
		.len = 64 * KiB,
		.tag = tag,
	};
	struct io_uring_ext_ring_stats stats;
	struct io_uring_ext_pool *pool;
	struct io_uring_ext_ring *r;
	struct io_uring_sqe *sqe;
	struct io_uring ring;
	struct iovec iov = { region.base, 100 };
	char byte;
	int ret, id;

	CHECK(region.base != MAP_FAILED);
	CHECK_OK(io_uring_ext_pool_create(&pool, &p, &err), err);
	t_ring(&ring, 4, 0);
	CHECK_OK(io_uring_ext_ring_attach(&r, pool, &ring, 0, &err), err);

	/* It is no region for reads ... */
	ret = io_uring_ext_pool_add(pool, &region, &err);
	if (ret >= 0)
		ret = io_uring_ext_ring_sync(r, &err);
	CHECK_EQ(ret, -EFAULT);
	io_uring_ext_pool_remove(pool, 0);
	io_uring_ext_ring_sync(r, &err);

	/* ... but a source. */
	region.flags = IO_URING_EXT_REGION_READONLY;
	id = io_uring_ext_pool_add(pool, &region, &err);
	CHECK_OK(id, err);
	CHECK_OK(io_uring_ext_ring_sync(r, &err), err);
	CHECK_EQ(get(&ring, 0).flags & IO_URING_EXT_LAYOUT_READONLY, IO_URING_EXT_LAYOUT_READONLY);
	CHECK_EQ(write_through(&ring, r, out, (char *)region.base + 5000, 1000), 1);
	CHECK_EQ(pread(out, &byte, 1, 999), 1);
	CHECK_EQ((unsigned char)byte, t_byte(5999));

	/* The kernel refuses what it would write to; so that is not prepared. */
	sqe = io_uring_get_sqe(&ring);
	io_uring_prep_read_fixed(sqe, in, region.base, 100, 0, 0);
	CHECK_EQ(t_io(&ring), -EFAULT);
	CHECK_EQ(io_uring_ext_prep_read(r, io_uring_get_sqe(&ring), in, region.base, 100, 0), 0);
	CHECK_EQ(t_io(&ring), -EFAULT);
	CHECK_EQ(io_uring_ext_prep_read_region(r, io_uring_get_sqe(&ring), id, in, region.base, 100,
					       0), 0);
	CHECK_EQ(t_io(&ring), -EFAULT);
	CHECK_EQ(io_uring_ext_prep_readv(r, io_uring_get_sqe(&ring), in, &iov, 1, 0, 0), 0);
	CHECK_EQ(t_io(&ring), -EFAULT);
	CHECK_EQ(io_uring_ext_ring_stats(r, &stats), 0);
	CHECK_EQ(stats.fixed, 1);
	CHECK_EQ(stats.plain_unable, 3);
	t_check_bytes(region.base, 64 * KiB, 0);

	CHECK_EQ(io_uring_ext_ring_detach(r), 0);
	CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
	io_uring_queue_exit(&ring);
	munmap(region.base, region.len);
	close(in);
	close(out);
}

/* Not registered to be written to instead: refused, or plain where that is allowed. */
static void check_refused(void)
{
	int in = t_file(64 * KiB), out = t_file(4096);
	struct io_uring_ext_pool_params p = { .nr_slots = 4 };
	struct io_uring_ext_region region = {
		.base = mmap(NULL, 64 * KiB, PROT_READ | PROT_WRITE, MAP_PRIVATE, in, 0),
		.len = 64 * KiB, .flags = IO_URING_EXT_REGION_READONLY,
	};
	struct io_uring_ext_region_info info;
	struct io_uring_ext_pool *pool;
	struct io_uring_ext_ring *r;
	struct io_uring ring;
	unsigned char byte;

	CHECK(region.base != MAP_FAILED);
	CHECK_OK(io_uring_ext_pool_create(&pool, &p, &err), err);
	CHECK_EQ(io_uring_ext_pool_add(pool, &region, &err), -EOPNOTSUPP);
	CHECK(strstr(err.text, "read-only"));
	CHECK_EQ(io_uring_ext_pool_add_start(pool, &region, -1, 0, &err), -EOPNOTSUPP);
	CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);

	for (; p.flags <= IO_URING_EXT_POOL_PLAIN; p.flags += IO_URING_EXT_POOL_OPTIONAL) {
		if (!(p.flags & (IO_URING_EXT_POOL_OPTIONAL | IO_URING_EXT_POOL_PLAIN)))
			continue;
		CHECK_OK(io_uring_ext_pool_create(&pool, &p, &err), err);
		CHECK_EQ(io_uring_ext_pool_add(pool, &region, &err), 0);
		if (p.flags & IO_URING_EXT_POOL_OPTIONAL)
			CHECK(err.err == -EOPNOTSUPP && strstr(err.text, "read-only"));
		t_ring(&ring, 4, 0);
		CHECK_OK(io_uring_ext_ring_attach(&r, pool, &ring, 0, &err), err);
		CHECK_EQ(io_uring_ext_pool_region_info(pool, 0, &info), 0);
		CHECK(info.err == -EOPNOTSUPP && !info.registered);
		CHECK_EQ(t_status("VmPin"), 0);
		CHECK_EQ(write_through(&ring, r, out, (char *)region.base + 5000, 1000), 0);
		CHECK_EQ(pread(out, &byte, 1, 999), 1);
		CHECK_EQ(byte, t_byte(5999));
		CHECK_EQ(io_uring_ext_ring_detach(r), 0);
		CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
		io_uring_queue_exit(&ring);
	}
	munmap(region.base, region.len);
	close(in);
	close(out);
}

int main(void)
{
	struct io_uring_ext_caps caps;

	CHECK_EQ(io_uring_ext_query(NULL, &caps), 0);
	if (!(caps.flags & IO_URING_EXT_CAP_READONLY)) {
		check_refused();
		t_skip("this kernel has neither read-only buffers nor layouts");
	}
	CHECK(caps.flags & IO_URING_EXT_CAP_RUNS);
	CHECK(caps.flags & IO_URING_EXT_CAP_LAYOUT);
	CHECK_EQ(caps.max_buffer_source, IO_URING_EXT_KERNEL);
	CHECK_EQ(caps.max_buffers_source, IO_URING_EXT_KERNEL);
	check_layout();
	check_region(MAP_PRIVATE, 0, 0);
	check_region(MAP_SHARED, 0, 0);
	check_region(MAP_SHARED, IO_URING_EXT_POOL_NO_CLONE, 0);
	check_region(MAP_PRIVATE, 0, 77);
	t_no_pins();
	return 0;
}
