// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "caps.h"
#include "charge.h"
#include "regbuf_errors.h"

/* Pages that are charged before a case: buffers of the full ring, regions of both. */
#define CHARGED		(SLOTS - 1 + 2)

/* The longest buffer that can be asked for. */
static const uint64_t length_cap[] = {
	[STOCK] = TIB,
	[PATCHED] = 64 * TIB,
};

/* --- registering -------------------------------------------------------- */

static int buffers(struct env *env, struct iovec *iov, unsigned int nr)
{
	return io_uring_register_buffers(&env->ring, iov, nr);
}

static int one(struct env *env, uint64_t base, uint64_t len)
{
	struct iovec iov = { (void *)(uintptr_t)base, len };

	return buffers(env, &iov, 1);
}

static int register_bad(struct env *env)
{
	return buffers(env, &env->bad, 1);
}

static int register_second_bad(struct env *env)
{
	struct iovec iov[] = { env->good, { env->thp.addr, env->thp.size }, env->bad };

	return buffers(env, iov, 3);
}

static int register_kernel(struct env *env)
{
	return one(env, 0xffff888000000000, PAGE);
}

static int register_null(struct env *env)
{
	return one(env, 0, PAGE);
}

static int register_no_length(struct env *env)
{
	return one(env, (uintptr_t)env->good.iov_base, 0);
}

static int register_at_cap(struct env *env)
{
	/* Not too long, but nothing is there. */
	return one(env, (uintptr_t)env->bad.iov_base, length_cap[kernel]);
}

static int register_over_cap(struct env *env)
{
	return one(env, (uintptr_t)env->good.iov_base, length_cap[kernel] + 1);
}

static int register_all_memory(struct env *env)
{
	return one(env, PAGE, UINT64_MAX - PAGE);
}

static int register_wraps(struct env *env)
{
	return one(env, UINT64_MAX - PAGE + 1, 2 * PAGE);
}

static int register_wraps_by_page(struct env *env)
{
	return one(env, UINT64_MAX - PAGE + 1, 1);
}

static int register_no_entries(struct env *env)
{
	return buffers(env, &env->good, 0);
}

static int register_too_many(struct env *env)
{
	return buffers(env, &env->good, URING_MAX_BUFFERS + 1);
}

static int register_no_table(struct env *env)
{
	return uring_register(env->ring.ring_fd, IORING_REGISTER_BUFFERS, NULL, 1);
}

static int register_bad_table(struct env *env)
{
	return uring_register(env->ring.ring_fd, IORING_REGISTER_BUFFERS, env->bad.iov_base, 1);
}

/* The first entry can be read, the second not. */
static int register_half_a_table(struct env *env)
{
	struct iovec *iov = (struct iovec *)((char *)env->bad.iov_base + SIZE / 2 - sizeof(*iov));

	*iov = env->good;
	return uring_register(env->ring.ring_fd, IORING_REGISTER_BUFFERS, iov, 2);
}

static int register_twice(struct env *env)
{
	return io_uring_register_buffers(&env->full, &env->good, 1);
}

static int register_over_limit(struct env *env)
{
	struct rlimit old;
	int ret;

	getrlimit(RLIMIT_MEMLOCK, &old);
	charge_set_limit(CHARGED + SIZE / PAGE - 1);
	ret = buffers(env, &env->good, 1);
	setrlimit(RLIMIT_MEMLOCK, &old);
	return ret;
}

/* Not all of what is pinned can be charged. */
static int register_part_over_limit(struct env *env)
{
	struct rlimit old;
	int ret;

	getrlimit(RLIMIT_MEMLOCK, &old);
	charge_set_limit(CHARGED + BAD_MEMORY_LONG / PAGE - 1);
	ret = buffers(env, &env->bad, 1);
	setrlimit(RLIMIT_MEMLOCK, &old);
	return ret;
}

/* A page of a huge page costs all of it. */
static int register_thp_over_limit(struct env *env)
{
	struct iovec iov = { env->thp.addr, PAGE };
	struct rlimit old;
	int ret;

	getrlimit(RLIMIT_MEMLOCK, &old);
	charge_set_limit(CHARGED + 511);
	ret = buffers(env, &iov, 1);
	setrlimit(RLIMIT_MEMLOCK, &old);
	return ret;
}

/* The first buffer fits the limit, the second does not. */
static int register_second_over_limit(struct env *env)
{
	struct iovec iov[] = { env->good, { env->thp.addr, PAGE } };
	struct rlimit old;
	int ret;

	getrlimit(RLIMIT_MEMLOCK, &old);
	charge_set_limit(CHARGED + SIZE / PAGE + 511);
	ret = buffers(env, iov, 2);
	setrlimit(RLIMIT_MEMLOCK, &old);
	return ret;
}

static int register2(struct env *env, struct io_uring_rsrc_register rr, unsigned int size)
{
	return uring_register(env->ring.ring_fd, IORING_REGISTER_BUFFERS2, &rr, size);
}

static int register2_size(struct env *env)
{
	struct io_uring_rsrc_register rr = { .nr = 1, .data = (uintptr_t)&env->good };

	return register2(env, rr, sizeof(rr) - 8);
}

static int register2_flags(struct env *env)
{
	struct io_uring_rsrc_register rr = {
		.nr = 1, .data = (uintptr_t)&env->good, .flags = 1U << 31,
	};

	return register2(env, rr, sizeof(rr));
}

static int register2_reserved(struct env *env)
{
	struct io_uring_rsrc_register rr = {
		.nr = 1, .data = (uintptr_t)&env->good, .resv2 = 1,
	};

	return register2(env, rr, sizeof(rr));
}

static int register2_sparse_data(struct env *env)
{
	struct io_uring_rsrc_register rr = {
		.nr = 1, .data = (uintptr_t)&env->good, .flags = IORING_RSRC_REGISTER_SPARSE,
	};

	return register2(env, rr, sizeof(rr));
}

static int register2_no_entries(struct env *env)
{
	struct io_uring_rsrc_register rr = { .data = (uintptr_t)&env->good };

	return register2(env, rr, sizeof(rr));
}

static int register2_tag_without_buffer(struct env *env)
{
	struct iovec iov[] = { env->good, { NULL, 0 } };
	__u64 tags[] = { 1, 2 };
	struct io_uring_rsrc_register rr = {
		.nr = 2, .data = (uintptr_t)iov, .tags = (uintptr_t)tags,
	};

	return register2(env, rr, sizeof(rr));
}

static int register2_bad_tags(struct env *env)
{
	struct io_uring_rsrc_register rr = {
		.nr = 1, .data = (uintptr_t)&env->good, .tags = (uintptr_t)env->bad.iov_base,
	};

	return register2(env, rr, sizeof(rr));
}

static int unregister_nothing(struct env *env)
{
	return io_uring_unregister_buffers(&env->ring);
}

static int unregister_with_arguments(struct env *env)
{
	return uring_register(env->full.ring_fd, IORING_UNREGISTER_BUFFERS, &env->good, 1);
}

/* --- updating ----------------------------------------------------------- */

static int update(struct env *env, unsigned int slot, const struct iovec *iov, unsigned int nr)
{
	return uring_update(&env->full, slot, iov, nr);
}

static int update_no_table(struct env *env)
{
	return uring_update(&env->ring, 0, &env->good, 1);
}

static int update_bad_slot(struct env *env)
{
	return update(env, SLOTS, &env->good, 1);
}

static int update_too_many(struct env *env)
{
	struct iovec iov[] = { env->good, env->good };

	return update(env, SLOTS - 1, iov, 2);
}

static int update_wraps(struct env *env)
{
	return update(env, UINT32_MAX, &env->good, 2);
}

static int update_nothing(struct env *env)
{
	return update(env, 0, &env->good, 0);
}

static int update_bad(struct env *env)
{
	return update(env, 0, &env->bad, 1);
}

/* The count of those that were done is the result. */
static int update_second_bad(struct env *env)
{
	struct iovec iov[] = { env->good, env->bad, env->good };

	return update(env, 0, iov, 3);
}

static int update_second_unreadable(struct env *env)
{
	struct iovec *iov = (struct iovec *)((char *)env->bad.iov_base + SIZE / 2 - sizeof(*iov));

	*iov = env->good;
	return update(env, 0, iov, 2);
}

static int update_over_limit(struct env *env)
{
	struct rlimit old;
	int ret;

	getrlimit(RLIMIT_MEMLOCK, &old);
	/* The old buffer goes only when the new one is there. */
	charge_set_limit(CHARGED + SIZE / PAGE - 1);
	ret = update(env, 0, &env->good, 1);
	setrlimit(RLIMIT_MEMLOCK, &old);
	return ret;
}

static int update2(struct env *env, struct io_uring_rsrc_update2 up, unsigned int size)
{
	return uring_register(env->full.ring_fd, IORING_REGISTER_BUFFERS_UPDATE, &up, size);
}

static int update_size(struct env *env)
{
	struct io_uring_rsrc_update2 up = { .data = (uintptr_t)&env->good, .nr = 1 };

	return update2(env, up, sizeof(up) - 8);
}

static int update_reserved(struct env *env)
{
	struct io_uring_rsrc_update2 up = {
		.data = (uintptr_t)&env->good, .nr = 1, .resv2 = 1,
	};

	return update2(env, up, sizeof(up));
}

static int update_bad_tags(struct env *env)
{
	struct io_uring_rsrc_update2 up = {
		.data = (uintptr_t)&env->good, .nr = 1, .tags = (uintptr_t)env->bad.iov_base,
	};

	return update2(env, up, sizeof(up));
}

static int update_tag_without_buffer(struct env *env)
{
	struct iovec iov = { NULL, 0 };
	__u64 tag = 1;
	struct io_uring_rsrc_update2 up = {
		.data = (uintptr_t)&iov, .nr = 1, .tags = (uintptr_t)&tag,
	};

	return update2(env, up, sizeof(up));
}

/* --- cloning ------------------------------------------------------------ */

static int do_clone(struct env *env, struct uring_clone arg)
{
	return uring_register(env->ring.ring_fd, URING_REGISTER_CLONE_BUFFERS, &arg, 1);
}

static int clone_count(struct env *env)
{
	struct uring_clone arg = { .src_fd = (__u32)env->full.ring_fd };

	return uring_register(env->ring.ring_fd, URING_REGISTER_CLONE_BUFFERS, &arg, 2);
}

static int clone_bad_argument(struct env *env)
{
	return uring_register(env->ring.ring_fd, URING_REGISTER_CLONE_BUFFERS, env->bad.iov_base,
			      1);
}

static int clone_bad_fd(struct env *env)
{
	return do_clone(env, (struct uring_clone){ .src_fd = 4000 });
}

static int clone_no_ring(struct env *env)
{
	return do_clone(env, (struct uring_clone){ .src_fd = (__u32)env->file });
}

static int clone_bad_index(struct env *env)
{
	return do_clone(env, (struct uring_clone){ .src_fd = 20,
						.flags = URING_CLONE_SRC_REGISTERED });
}

static int clone_flags(struct env *env)
{
	return do_clone(env, (struct uring_clone){ .src_fd = (__u32)env->full.ring_fd,
						.flags = 1U << 30 });
}

static int clone_padding(struct env *env)
{
	return do_clone(env, (struct uring_clone){ .src_fd = (__u32)env->full.ring_fd,
						.pad = { 0, 0, 1 } });
}

static int clone_from_empty(struct env *env)
{
	return uring_clone(&env->full, &env->ring, 0, 0, 0, URING_CLONE_DST_REPLACE);
}

static int clone_to_full(struct env *env)
{
	return uring_clone(&env->full, &env->ring, 0, 0, 0, 0);
}

static int clone_to_itself(struct env *env)
{
	return uring_clone(&env->full, &env->full, 0, 0, 0, 0);
}

static int clone_empty_to_itself(struct env *env)
{
	return uring_clone(&env->ring, &env->ring, 0, 0, 0, 0);
}

static int clone_offset_without_number(struct env *env)
{
	return uring_clone(&env->ring, &env->full, 1, 0, 0, 0);
}

static int clone_too_many(struct env *env)
{
	return uring_clone(&env->ring, &env->full, 0, 0, SLOTS + 1, 0);
}

static int clone_beyond_source(struct env *env)
{
	return uring_clone(&env->ring, &env->full, 1, 0, SLOTS, 0);
}

static int clone_source_wraps(struct env *env)
{
	return uring_clone(&env->ring, &env->full, UINT32_MAX, 0, 1, 0);
}

static int clone_beyond_table(struct env *env)
{
	return uring_clone(&env->ring, &env->full, 0, URING_MAX_BUFFERS - 1, 2, 0);
}

static int clone_table_wraps(struct env *env)
{
	return uring_clone(&env->ring, &env->full, 0, UINT32_MAX, 1, 0);
}

/* Of a ring for which nothing is charged, to one for which it is, and back. */
static int clone_charged(struct env *env, bool to)
{
	struct io_uring root;
	int ret;

	set_capability(CAP_IPC_LOCK, true);
	ret = io_uring_queue_init(4, &root, 0);
	set_capability(CAP_IPC_LOCK, false);
	if (ret)
		die("io_uring_queue_init: %s", strerror(-ret));
	if (to) {
		ret = uring_clone(&root, &env->full, 0, 0, 0, 0);
	} else {
		ret = io_uring_register_buffers(&root, &env->good, 1);
		if (!ret)
			ret = uring_clone(&env->ring, &root, 0, 0, 0, 0);
		io_uring_unregister_buffers(&root);
	}
	io_uring_queue_exit(&root);
	return ret;
}

static int clone_from_privileged(struct env *env)
{
	return clone_charged(env, false);
}

static int clone_to_privileged(struct env *env)
{
	return clone_charged(env, true);
}

/* To a ring of a child, which has other memory and, with @uid, another user. */
static int clone_in_child(struct env *env, uid_t uid)
{
	int status;
	pid_t pid = fork();

	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (!pid) {
		struct io_uring ring;

		if (uid)
			become_user(uid);
		if (io_uring_queue_init(4, &ring, 0))
			_exit(255);
		_exit(-uring_clone(&ring, &env->full, 0, 0, 0, 0));
	}
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		die("a child came to a bad end");
	return -WEXITSTATUS(status);
}

static int clone_other_memory(struct env *env)
{
	return clone_in_child(env, 0);
}

static int clone_other_user(struct env *env)
{
	return clone_in_child(env, 65534);
}

/* --- I/O ---------------------------------------------------------------- */

static int transfer(struct env *env, int slot, uint64_t addr, unsigned int len, bool write)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&env->full);
	void *at = (void *)(uintptr_t)addr;

	if (write)
		io_uring_prep_write_fixed(sqe, env->file, at, len, 0, slot);
	else
		io_uring_prep_read_fixed(sqe, env->file, at, len, 0, slot);
	return uring_one(&env->full);
}

static uint64_t start_of(const struct env *env)
{
	return (uintptr_t)env->good.iov_base;
}

static int io_bad_slot(struct env *env)
{
	return transfer(env, SLOTS, start_of(env), PAGE, false);
}

static int io_empty_slot(struct env *env)
{
	return transfer(env, SLOTS - 1, start_of(env), PAGE, false);
}

static int io_no_table(struct env *env)
{
	int ret = io_uring_unregister_buffers(&env->full);

	return ret ? ret : transfer(env, 0, start_of(env), PAGE, true);
}

static int io_before(struct env *env)
{
	return transfer(env, 1, start_of(env), 2 * PAGE, true);
}

static int io_behind(struct env *env)
{
	return transfer(env, 1, start_of(env) + PAGE + 1, PAGE, false);
}

static int io_wraps(struct env *env)
{
	return transfer(env, 1, UINT64_MAX - 10, PAGE, false);
}

static int io_too_long(struct env *env)
{
	return transfer(env, 1, start_of(env) + PAGE, UINT32_MAX, true);
}

static int io_vec(struct env *env, struct iovec *iov, unsigned int nr)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&env->full);

	io_uring_prep_readv(sqe, env->file, iov, nr, 0);
	sqe->opcode = URING_OP_READV_FIXED;
	sqe->buf_index = 1;
	return uring_one(&env->full);
}

static int vec_outside(struct env *env)
{
	char *start = (char *)env->good.iov_base + PAGE;
	struct iovec iov[] = { { start, 16 }, { start + PAGE - 8, 16 } };

	return io_vec(env, iov, 2);
}

static int vec_no_length(struct env *env)
{
	char *start = (char *)env->good.iov_base + PAGE;
	struct iovec iov[] = { { start, 16 }, { start + 16, 0 } };

	return io_vec(env, iov, 2);
}

#define CASE(case_name, function, result, ...) \
	{ .name = case_name, .run = function, .expected = result, ##__VA_ARGS__ }
#define WITH(kind)	.memory = (kind), .has_memory = true

const struct test_case test_cases[] = {
	/* memory */
	CASE("nothing mapped", register_bad, -EFAULT, WITH(MEM_UNMAPPED)),
	CASE("hole in the middle", register_bad, -EFAULT, WITH(MEM_HOLE)),
	CASE("read-only", register_bad, -EFAULT, WITH(MEM_READ_ONLY)),
	CASE("no access", register_bad, -EFAULT, WITH(MEM_NO_ACCESS)),
	CASE("last page read-only", register_bad, -EFAULT, WITH(MEM_LAST_READ_ONLY)),
	CASE("secret", register_bad, -EFAULT, WITH(MEM_SECRET)),
	CASE("shared file mapping", register_bad, -EFAULT, WITH(MEM_FILE_SHARED)),
	/* Weiny, 2019: a file system on DAX memory cannot have long pins. */
	CASE("fsdax", register_bad, -EOPNOTSUPP, WITH(MEM_FSDAX)),
	CASE("device memory", register_bad, -EFAULT, WITH(MEM_DEVICE)),
	CASE("a page missing behind many", register_bad, -EFAULT, WITH(MEM_LONG_HOLE)),
	CASE("third buffer bad", register_second_bad, -EFAULT, WITH(MEM_HOLE)),
	CASE("third buffer a file", register_second_bad, -EFAULT, WITH(MEM_FILE_SHARED)),
	CASE("kernel's address", register_kernel, -EFAULT),
	CASE("no address", register_null, -EFAULT),
	/* length */
	CASE("length 0", register_no_length, -EFAULT),
	CASE("longest, not there", register_at_cap, -EOVERFLOW, WITH(MEM_UNMAPPED),
	     .differs = true, .patched = -EFAULT),
	CASE("longer than the cap", register_over_cap, -EINVAL),
	CASE("all of memory", register_all_memory, -EINVAL),
	CASE("end wraps", register_wraps, -EOVERFLOW),
	CASE("end wraps within a page", register_wraps_by_page, -EOVERFLOW),
	/* table */
	CASE("no entries", register_no_entries, -EINVAL),
	CASE("too many entries", register_too_many, -EINVAL),
	CASE("no table", register_no_table, -EFAULT),
	CASE("table unreadable", register_bad_table, -EFAULT, WITH(MEM_UNMAPPED)),
	CASE("table ends too early", register_half_a_table, -EFAULT, WITH(MEM_HOLE)),
	CASE("busy", register_twice, -EBUSY),
	CASE("over the limit", register_over_limit, -ENOMEM),
	CASE("the last page over the limit", register_part_over_limit, -ENOMEM, WITH(MEM_LONG)),
	CASE("a page of a THP over the limit", register_thp_over_limit, -ENOMEM),
	CASE("second buffer over the limit", register_second_over_limit, -ENOMEM),
	CASE("BUFFERS2: size", register2_size, -EINVAL),
	CASE("BUFFERS2: flag", register2_flags, -EINVAL),
	CASE("BUFFERS2: reserved", register2_reserved, -EINVAL),
	CASE("BUFFERS2: sparse with data", register2_sparse_data, -EINVAL),
	CASE("BUFFERS2: no entries", register2_no_entries, -EINVAL),
	CASE("BUFFERS2: tag without buffer", register2_tag_without_buffer, -EINVAL),
	CASE("BUFFERS2: tags unreadable", register2_bad_tags, -EFAULT, WITH(MEM_UNMAPPED)),
	CASE("unregister nothing", unregister_nothing, -ENXIO),
	CASE("unregister with arguments", unregister_with_arguments, -EINVAL),
	/* updating */
	CASE("update: no table", update_no_table, -ENXIO),
	CASE("update: bad slot", update_bad_slot, -EINVAL),
	CASE("update: too many", update_too_many, -EINVAL),
	CASE("update: end wraps", update_wraps, -EOVERFLOW),
	CASE("update: nothing", update_nothing, -EINVAL),
	CASE("update: bad memory", update_bad, -EFAULT, WITH(MEM_HOLE)),
	CASE("update: a page missing behind many", update_bad, -EFAULT, WITH(MEM_LONG_HOLE)),
	CASE("update: a file", update_bad, -EFAULT, WITH(MEM_FILE_SHARED)),
	CASE("update: second bad", update_second_bad, 1, WITH(MEM_HOLE), .changes = true),
	CASE("update: second unreadable", update_second_unreadable, 1,
	     WITH(MEM_HOLE), .changes = true),
	CASE("update: over the limit", update_over_limit, -ENOMEM),
	CASE("update: size", update_size, -EINVAL),
	CASE("update: reserved", update_reserved, -EINVAL),
	CASE("update: tags unreadable", update_bad_tags, -EFAULT, WITH(MEM_UNMAPPED)),
	CASE("update: tag without buffer", update_tag_without_buffer, -EINVAL),
	/* cloning */
	CASE("clone: count", clone_count, -EINVAL),
	CASE("clone: argument unreadable", clone_bad_argument, -EFAULT, WITH(MEM_UNMAPPED)),
	CASE("clone: bad fd", clone_bad_fd, -EBADF),
	CASE("clone: no ring", clone_no_ring, -EOPNOTSUPP),
	CASE("clone: bad index", clone_bad_index, -EINVAL),
	CASE("clone: flag", clone_flags, -EINVAL),
	CASE("clone: padding", clone_padding, -EINVAL),
	CASE("clone: source empty", clone_from_empty, -ENXIO),
	CASE("clone: busy", clone_to_full, -EBUSY),
	CASE("clone: to itself", clone_to_itself, -EBUSY),
	CASE("clone: empty, to itself", clone_empty_to_itself, -ENXIO),
	CASE("clone: offset without number", clone_offset_without_number, -EINVAL),
	CASE("clone: too many", clone_too_many, -EINVAL),
	CASE("clone: beyond the source", clone_beyond_source, -EOVERFLOW),
	CASE("clone: source wraps", clone_source_wraps, -EOVERFLOW),
	CASE("clone: beyond the table", clone_beyond_table, -EINVAL),
	CASE("clone: table wraps", clone_table_wraps, -EOVERFLOW),
	CASE("clone: of who is not charged", clone_from_privileged, -EINVAL),
	CASE("clone: to who is not charged", clone_to_privileged, -EINVAL),
	CASE("clone: to other memory", clone_other_memory, -EINVAL),
	CASE("clone: to another user", clone_other_user, -EINVAL),
	/* I/O */
	CASE("I/O: bad slot", io_bad_slot, -EFAULT),
	CASE("I/O: empty slot", io_empty_slot, -EFAULT),
	CASE("I/O: no table", io_no_table, -EFAULT, .changes = true),
	CASE("I/O: before the buffer", io_before, -EFAULT),
	CASE("I/O: behind the buffer", io_behind, -EFAULT),
	CASE("I/O: end wraps", io_wraps, -EFAULT),
	CASE("I/O: too long", io_too_long, -EFAULT),
	CASE("I/O: iovec outside", vec_outside, -EFAULT),
	CASE("I/O: iovec of length 0", vec_no_length, -EFAULT),
};

const size_t nr_test_cases = ARRAY_SIZE(test_cases);
