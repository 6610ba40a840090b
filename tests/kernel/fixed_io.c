// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fixed_io.h"
#include "pattern.h"
#include "uring.h"

#define GUARD		(4 * KIB)	/* bytes watched left and right of a transfer */
#define SYSTEM_CALL	-1

int io_target_open(struct io_target *target, const char *path, uint64_t size, struct reason *why)
{
	struct statx stx;

	memset(target, 0, sizeof(*target));
	target->name = path;
	target->fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC | (size ? O_CREAT : 0), 0600);
	if (target->fd < 0)
		return because(why, "%s: %s", path, strerror(errno));
	if (statx(target->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN | STATX_SIZE, &stx)) {
		because(why, "statx of %s: %s", path, strerror(errno));
		goto fail;
	}
	if (!(stx.stx_mask & STATX_DIOALIGN) || !stx.stx_dio_offset_align) {
		because(why, "%s does not do direct I/O", path);
		goto fail;
	}
	target->block = stx.stx_dio_offset_align;
	target->mem_align = stx.stx_dio_mem_align;
	target->size = size;
	if (size && ftruncate(target->fd, (off_t)size)) {
		because(why, "ftruncate of %s: %s", path, strerror(errno));
		goto fail;
	}
	if (!size && ioctl(target->fd, BLKGETSIZE64, &target->size)) {
		because(why, "%s: no block device: %s", path, strerror(errno));
		goto fail;
	}
	if (target->size < 4 * FIXED_IO_MAX) {
		because(why, "%s is too small", path);
		goto fail;
	}
	return 0;
fail:
	close(target->fd);
	target->fd = -1;
	return -1;
}

void io_target_close(struct io_target *target)
{
	if (target->fd >= 0)
		close(target->fd);
	target->fd = -1;
}

void fixed_io_init(struct fixed_io *io)
{
	io->bounce = aligned_alloc(4 * KIB, FIXED_IO_MAX + 2 * GUARD);
	if (!io->bounce)
		die("out of memory");
}

void fixed_io_exit(struct fixed_io *io)
{
	free(io->bounce);
	io->bounce = NULL;
}

/* One transfer: [off, off + len) in memory, [device - left, device + len + right) on the target. */
struct transfer {
	size_t off;
	size_t len;
	size_t mem_left;		/* bytes watched in memory */
	size_t mem_right;
	uint64_t device;
	size_t device_guard;		/* and on the target, on either side */
};

/* Pattern seeds: of the data, and of what surrounds it. */
static void fill_around(char *data, const struct transfer *t, size_t left, size_t right,
			uint64_t seed, uint64_t guard_seed)
{
	pattern_fill(data - left, left, t->off - left, guard_seed);
	pattern_fill(data, t->len, t->off, seed);
	pattern_fill(data + t->len, right, t->off + t->len, guard_seed);
}

static int check_part(const char *data, size_t len, uint64_t pos, uint64_t seed, const char *what,
		      struct reason *why)
{
	size_t good = pattern_check(data, len, pos, seed);

	if (good == len)
		return 0;
	return because(why, "%s: byte at offset %#llx is %#04x instead of %#04x", what,
		       (unsigned long long)(pos + good), (uint8_t)data[good],
		       pattern_byte(pos + good, seed));
}

static int check_around(const char *data, const struct transfer *t, size_t left, size_t right,
			uint64_t seed, uint64_t guard_seed, const char *what, struct reason *why)
{
	char text[80];

	snprintf(text, sizeof(text), "%s, data", what);
	if (check_part(data, t->len, t->off, seed, text, why))
		return -1;
	snprintf(text, sizeof(text), "%s, left of the data", what);
	if (check_part(data - left, left, t->off - left, guard_seed, text, why))
		return -1;
	snprintf(text, sizeof(text), "%s, right of the data", what);
	return check_part(data + t->len, right, t->off + t->len, guard_seed, text, why);
}

/* In so many parts of the same size, but for the last; fewer if they would be too small. */
static unsigned int cut(const struct io_target *target, char *addr, size_t len, unsigned int nr,
			struct iovec *iov)
{
	size_t part = ALIGN_DOWN(len / nr, target->mem_align);

	if (!part)
		nr = 1;
	for (unsigned int i = 0; i < nr; i++)
		iov[i] = (struct iovec){ addr + i * part, part };
	iov[nr - 1].iov_len = len - (nr - 1) * part;
	return nr;
}

/* How transfers are made, in turns; with a vector in one part to four that follow each other. */
static const struct call {
	const char *name[2];		/* reading, writing */
	int op[2];			/* of the ring; SYSTEM_CALL: preadv(2), pwritev(2) */
	bool vectored;
} registered[] = {
	{ { "READ_FIXED", "WRITE_FIXED" }, { IORING_OP_READ_FIXED, IORING_OP_WRITE_FIXED }, false },
	{ { "READV_FIXED", "WRITEV_FIXED" }, { URING_OP_READV_FIXED, URING_OP_WRITEV_FIXED }, true },
}, unregistered[] = {
	{ { "READ", "WRITE" }, { IORING_OP_READ, IORING_OP_WRITE }, false },
	{ { "READV", "WRITEV" }, { IORING_OP_READV, IORING_OP_WRITEV }, true },
	{ { "preadv", "pwritev" }, { SYSTEM_CALL, SYSTEM_CALL }, true },
};

static const struct call *next_call(const struct fixed_io *io, unsigned int *nr_parts)
{
	uint64_t turn = io->ios / 2;

	*nr_parts = (unsigned int)(turn % 4 + 1);
	return io->unregistered ? &unregistered[turn / 4 % ARRAY_SIZE(unregistered)] :
				  &registered[turn / 4 % ARRAY_SIZE(registered)];
}

static int run_call(const struct fixed_io *io, const struct call *call, bool write, int fd,
		    const struct iovec *iov, unsigned int nr, uint64_t device)
{
	struct io_uring_sqe *sqe;
	ssize_t ret;

	if (call->op[write] == SYSTEM_CALL) {
		ret = write ? pwritev(fd, iov, (int)nr, (off_t)device) :
			      preadv(fd, iov, (int)nr, (off_t)device);
		return ret < 0 ? -errno : (int)ret;
	}
	sqe = io_uring_get_sqe(io->ring);
	if (!sqe)
		return -EBUSY;
	if (call->vectored)
		io_uring_prep_rw(call->op[write], sqe, fd, iov, nr, device);
	else
		io_uring_prep_rw(call->op[write], sqe, fd, iov->iov_base,
				 (unsigned int)iov->iov_len, device);
	if (!io->unregistered)
		sqe->buf_index = (__u16)io->buf_index;
	return uring_one(io->ring);
}

static int run_transfer(const struct fixed_io *io, const struct io_target *target,
			const struct transfer *t, bool write, struct reason *why)
{
	unsigned int nr;
	const struct call *call = next_call(io, &nr);
	struct iovec iov[4];
	int ret;

	nr = cut(target, io->memory + t->off, t->len, call->vectored ? nr : 1, iov);
	ret = run_call(io, call, write, target->fd, iov, nr, t->device);
	if (ret < 0)
		return because(why, "%s: %s", call->name[write], strerror(-ret));
	if ((size_t)ret != t->len)
		return because(why, "%s: %d of %zu bytes", call->name[write], ret, t->len);
	return 0;
}

/* Plain I/O of the bounce buffer to and from the target, with the bytes left and right. */
static int run_plain(struct fixed_io *io, const struct io_target *target,
		     const struct transfer *t, bool write, struct reason *why)
{
	size_t len = t->len + 2 * t->device_guard;
	off_t off = (off_t)(t->device - t->device_guard);
	ssize_t done = write ? pwrite(target->fd, io->bounce, len, off) :
			       pread(target->fd, io->bounce, len, off);

	if (done < 0)
		return because(why, "%s: %s", write ? "pwrite" : "pread", strerror(errno));
	if ((size_t)done != len)
		return because(why, "%s: %zd of %zu bytes", write ? "pwrite" : "pread", done, len);
	return 0;
}

static int check_write(struct fixed_io *io, const struct io_target *target,
		       const struct transfer *t, struct reason *why)
{
	char *data = io->memory + t->off, *bounce = io->bounce + t->device_guard;
	uint64_t old = ++io->seed, seed = ++io->seed, guard = ++io->seed;

	fill_around(bounce, t, t->device_guard, t->device_guard, old, old);
	fill_around(data, t, t->mem_left, t->mem_right, seed, guard);
	if (run_plain(io, target, t, true, why) || run_transfer(io, target, t, true, why) ||
	    run_plain(io, target, t, false, why))
		return -1;
	if (io->corrupt == CORRUPT_DEVICE) {
		bounce[t->len / 2] ^= 0x10;
		io->corrupt = CORRUPT_NOTHING;
	}
	if (check_around(bounce, t, t->device_guard, t->device_guard, seed, old,
			 "target after writing", why))
		return -1;
	return check_around(data, t, t->mem_left, t->mem_right, seed, guard,
			    "memory after writing", why);
}

static int check_read(struct fixed_io *io, const struct io_target *target,
		      const struct transfer *t, struct reason *why)
{
	char *data = io->memory + t->off, *bounce = io->bounce + t->device_guard;
	uint64_t old = ++io->seed, seed = ++io->seed, guard = ++io->seed;

	fill_around(bounce, t, t->device_guard, t->device_guard, seed, guard);
	fill_around(data, t, t->mem_left, t->mem_right, old, old);
	if (run_plain(io, target, t, true, why) || run_transfer(io, target, t, false, why))
		return -1;
	if (io->corrupt == CORRUPT_MEMORY) {
		data[t->len / 2] ^= 0x10;
		io->corrupt = CORRUPT_NOTHING;
	}
	return check_around(data, t, t->mem_left, t->mem_right, seed, old,
			    "memory after reading", why);
}

/* Places transfers one after the other, so that neighbours on the target are old data. */
static uint64_t next_device_offset(struct fixed_io *io, const struct io_target *target, size_t len,
				   size_t guard)
{
	uint64_t blocks = (target->size - len - 2 * guard) / target->block;
	uint64_t block = io->next_block % blocks;

	io->next_block = block + (len + guard) / target->block;
	return guard + block * target->block;
}

int fixed_io_check(struct fixed_io *io, const struct io_target *target, size_t off, size_t len,
		   struct reason *why)
{
	struct transfer t = {
		.off = off,
		.len = len,
		.mem_left = min_size(GUARD, off),
		.mem_right = min_size(GUARD, io->memory_size - off - len),
		.device_guard = ALIGN_UP((size_t)1, target->block),
	};
	struct reason inner;

	if (!len || len > FIXED_IO_MAX || off + len > io->memory_size)
		die("transfer of %zu bytes at %zu outside of the memory", len, off);
	t.device = next_device_offset(io, target, len, t.device_guard);
	if (check_write(io, target, &t, &inner) || check_read(io, target, &t, &inner))
		return because(why, "%zu bytes at offset %#zx on %s: %s", len, off, target->name,
			       inner.text);
	io->ios += 2;
	io->bytes += 2 * len;
	return 0;
}
