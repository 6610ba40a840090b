// SPDX-License-Identifier: GPL-2.0
/* The operations of "faults" on tables of registered buffers. Those of I/O are in faults_io.c. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "faults.h"
#include "uring.h"

#define TAG_TRIES	2000
#define TAG_USEC	1000

void must(int ret, int want, const char *what)
{
	if (ret != want)
		die("%s: %d instead of %d", what, ret, want);
}

int fault_register(struct io_uring *ring, const struct iovec *iov, unsigned int nr,
		   const __u64 *tags, unsigned int flags)
{
	struct io_uring_rsrc_register reg = {
		.nr = nr,
		.flags = flags,
		.data = (uintptr_t)iov,
		.tags = (uintptr_t)tags,
	};

	return uring_register(ring->ring_fd, IORING_REGISTER_BUFFERS2, &reg, sizeof(reg));
}

static void set_table(struct iovec *table, unsigned int *nr, const struct iovec *iov,
		      unsigned int count)
{
	memset(table, 0, ENTRIES_MAX * sizeof(*table));
	memcpy(table, iov, count * sizeof(*iov));
	*nr = count;
}

static const __u64 *tags_of(const struct fault_world *w)
{
	return w->c->op->tagged ? w->tags : NULL;
}

static int want_0(const struct fault_world *w)
{
	(void)w;
	return 0;
}

static int want_nr(const struct fault_world *w)
{
	return (int)w->nr;
}

/* ---- register ---- */

static void prepare_register(struct fault_world *w)
{
	set_table(w->after, &w->nr_after, w->iov, w->nr);
}

static int call_register(struct fault_world *w)
{
	return uring_register(w->ring.ring_fd, IORING_REGISTER_BUFFERS, w->iov, w->nr);
}

static int call_register2(struct fault_world *w)
{
	return fault_register(&w->ring, w->iov, w->nr, tags_of(w), 0);
}

static void prepare_sparse(struct fault_world *w)
{
	memset(w->after, 0, sizeof(w->after));
	w->nr_after = w->nr;
}

static int call_sparse(struct fault_world *w)
{
	return fault_register(&w->ring, NULL, w->nr, NULL, IORING_RSRC_REGISTER_SPARSE);
}

/* ---- update ---- */

static void prepare_update(struct fault_world *w)
{
	must(call_sparse(w), 0, "sparse table");
	w->nr_before = w->nr;
	set_table(w->after, &w->nr_after, w->iov, w->nr);
}

static void prepare_replace(struct fault_world *w)
{
	must(fault_register(&w->ring, w->old, w->nr, w->c->op->tagged ? w->tags : NULL, 0), 0,
	     "table of old buffers");
	set_table(w->before, &w->nr_before, w->old, w->nr);
	set_table(w->after, &w->nr_after, w->iov, w->nr);
}

static int update_from(struct fault_world *w, int done)
{
	struct io_uring_rsrc_update2 update = {
		.offset = (__u32)done,
		.data = (uintptr_t)&w->iov[done],
		.tags = w->c->op->tagged ? (uintptr_t)&w->tags[done] : 0,
		.nr = w->nr - (__u32)done,
	};

	return uring_register(w->ring.ring_fd, IORING_REGISTER_BUFFERS_UPDATE, &update,
			      sizeof(update));
}

static struct io_uring_regbuf_desc descs[ENTRIES_MAX];

static void fill_descs(struct fault_world *w)
{
	memset(descs, 0, sizeof(descs));
	for (unsigned int i = 0; i < w->nr; i++) {
		descs[i].type = IO_REGBUF_TYPE_UADDR;
		descs[i].flags = w->c->op->read_only ? IO_REGBUF_READ_ONLY : 0;
		descs[i].uaddr = (uintptr_t)w->iov[i].iov_base;
		descs[i].size = w->iov[i].iov_len;
	}
}

/* The same by descriptors */
static int update_descs_from(struct fault_world *w, int done)
{
	struct io_uring_rsrc_update2 update = {
		.offset = (__u32)done,
		.flags = IORING_RSRC_UPDATE_EXTENDED,
		.data = (uintptr_t)&descs[done],
		.nr = w->nr - (__u32)done,
	};

	fill_descs(w);
	return uring_register(w->ring.ring_fd, IORING_REGISTER_BUFFERS_UPDATE, &update,
			      sizeof(update));
}

static void prep_request(struct fault_world *w, struct io_uring_sqe *sqe)
{
	fill_descs(w);
	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = IORING_OP_BUFFERS_UPDATE;
	sqe->fd = -1;
	sqe->addr = (uintptr_t)descs;
	sqe->len = w->nr;
	sqe->addr3 = (uintptr_t)w->tags;
}

static int call_request(struct fault_world *w)
{
	return fault_submit(w, prep_request);
}

static int call_update_descs(struct fault_world *w)
{
	return update_descs_from(w, 0);
}

static int call_update(struct fault_world *w)
{
	return update_from(w, 0);
}

/*
 * Each tag of a buffer that is gone is posted once, when the last request that used it has been
 * freed, which is some time after its completion. What does not fit into the completion queue
 * needs an allocation, and is lost when that fails.
 */
static int count_tags(struct fault_world *w, unsigned int expected, struct reason *why)
{
	struct io_uring_cqe *cqe;
	bool all = expected <= *w->ring.cq.kring_entries;
	unsigned int nr = w->tags_seen, tries = 0;

	for (;;) {
		if (io_uring_peek_cqe(&w->ring, &cqe)) {
			if (!all || nr >= expected || ++tries > TAG_TRIES)
				break;
			usleep(TAG_USEC);
			io_uring_get_events(&w->ring);
			continue;
		}
		if (cqe->user_data >> 32 != TAG >> 32 || cqe->res)
			return because(why, "a completion that is no tag: %llx, %d",
				       (unsigned long long)cqe->user_data, cqe->res);
		nr++;
		io_uring_cqe_seen(&w->ring, cqe);
	}
	if (nr > expected || (all && nr < expected))
		return because(why, "%u tags posted of %u", nr, expected);
	return 0;
}

static int verify_tags(struct fault_world *w, struct reason *why)
{
	return count_tags(w, w->c->op->tagged ? w->nr : 0, why);
}

/* ---- clone ---- */

static void prepare_clone(struct fault_world *w)
{
	must(fault_register(&w->other, w->iov, w->nr, NULL, 0), 0, "table to clone");
	set_table(w->after, &w->nr_after, w->iov, w->nr);
}

static int call_clone(struct fault_world *w)
{
	return uring_clone(&w->ring, &w->other, 0, 0, 0, 0);
}

/* The second half of the table to where something else begins. */
static unsigned int part_of(const struct fault_world *w)
{
	return w->nr > 1 ? w->nr / 2 : 1;
}

static void prepare_clone_part(struct fault_world *w)
{
	unsigned int part = part_of(w);

	prepare_clone(w);
	memset(w->after, 0, sizeof(w->after));
	memcpy(w->after + 1, w->iov + w->nr - part, part * sizeof(*w->iov));
	w->nr_after = part + 1;
}

static int call_clone_part(struct fault_world *w)
{
	unsigned int part = part_of(w);

	return uring_clone(&w->ring, &w->other, w->nr - part, 1, part, 0);
}

static void prepare_clone_replace(struct fault_world *w)
{
	unsigned int part = part_of(w);

	must(fault_register(&w->ring, w->old, w->nr, NULL, 0), 0, "table of old buffers");
	must(fault_register(&w->other, w->iov, w->nr, NULL, 0), 0, "table to clone");
	set_table(w->before, &w->nr_before, w->old, w->nr);
	set_table(w->after, &w->nr_after, w->old, w->nr);
	memcpy(w->after + 1, w->iov + w->nr - part, part * sizeof(*w->iov));
	if (w->nr_after < part + 1)
		w->nr_after = part + 1;
}

static int call_clone_replace(struct fault_world *w)
{
	unsigned int part = part_of(w);

	return uring_clone(&w->ring, &w->other, w->nr - part, 1, part, URING_CLONE_DST_REPLACE);
}

/* ---- the end ---- */

static void prepare_table(struct fault_world *w)
{
	must(call_register2(w), 0, "table");
	set_table(w->before, &w->nr_before, w->iov, w->nr);
	set_table(w->after, &w->nr_after, w->iov, w->nr);
}

static void prepare_end(struct fault_world *w)
{
	prepare_table(w);
	w->nr_after = 0;
}

static int call_unregister(struct fault_world *w)
{
	return uring_register(w->ring.ring_fd, IORING_UNREGISTER_BUFFERS, NULL, 0);
}

static int call_close(struct fault_world *w)
{
	io_uring_queue_exit(&w->ring);
	w->closed = true;
	return 0;
}

/* ---- what can be asked ---- */

static int call_layout(struct fault_world *w)
{
	w->layout = (struct io_uring_buffer_layout){ .index = w->nr - 1 };
	return uring_register(w->ring.ring_fd, IORING_REGISTER_BUFFER_LAYOUT, &w->layout,
			      sizeof(w->layout));
}

static int verify_layout(struct fault_world *w, struct reason *why)
{
	const struct io_uring_buffer_layout *l = &w->layout;

	if (l->len != w->iov[w->nr - 1].iov_len || !l->nr_runs ||
	    l->smallest_run > l->largest_run || l->nr_runs * l->smallest_run > l->len)
		return because(why, "a layout of %llu bytes in %llu runs of %llu to %llu",
			       (unsigned long long)l->len, (unsigned long long)l->nr_runs,
			       (unsigned long long)l->smallest_run,
			       (unsigned long long)l->largest_run);
	return 0;
}

static void prepare_nothing(struct fault_world *w)
{
	(void)w;
}

static int call_query(struct fault_world *w)
{
	struct io_uring_query_hdr hdr = {
		.query_data = (uintptr_t)&w->query,
		.query_op = IO_URING_QUERY_REGBUF,
		.size = sizeof(w->query),
	};
	int ret;

	memset(&w->query, 0, sizeof(w->query));
	ret = uring_register(-1, IORING_REGISTER_QUERY, &hdr, 0);
	return ret ? ret : hdr.result;
}

static int verify_query(struct fault_world *w, struct reason *why)
{
	if (w->query.max_buffer_bytes < TIB ||
	    w->query.layout_size != sizeof(struct io_uring_buffer_layout))
		return because(why, "a query that says %llu bytes, layouts of %u",
			       (unsigned long long)w->query.max_buffer_bytes,
			       w->query.layout_size);
	return 0;
}

static int call_fdinfo(struct fault_world *w)
{
	char path[64], text[1024];
	ssize_t len, found = 0;
	int fd, ret;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", w->ring.ring_fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	while ((len = read(fd, text, sizeof(text))) > 0)
		found += len;
	ret = len < 0 ? -errno : 0;
	close(fd);
	return ret ? ret : found < 100 ? -ENODATA : 0;
}

#define ERRORS	(MAY_NOMEM | MAY_FAULT)

const struct fault_op fault_ops[] = {
	{ .name = "register", .may = ERRORS, .many = true,
	  .prepare = prepare_register,
	  .call = call_register, .want = want_0 },
	{ .name = "register2, tags", .may = ERRORS, .tagged = true, .prepare = prepare_register,
	  .call = call_register2, .want = want_0 },
	{ .name = "register2, sparse", .may = ERRORS, .once = true, .prepare = prepare_sparse,
	  .call = call_sparse, .want = want_0 },
	{ .name = "update", .may = ERRORS | MAY_SHORT, .prepare = prepare_update,
	  .call = call_update, .want = want_nr, .rest = update_from },
	{ .name = "update, tags", .may = ERRORS | MAY_SHORT, .tagged = true,
	  .prepare = prepare_update, .call = call_update, .want = want_nr, .rest = update_from },
	{ .name = "update, read-only", .may = ERRORS | MAY_SHORT, .read_only = true,
	  .prepare = prepare_update, .call = call_update_descs, .want = want_nr,
	  .rest = update_descs_from },
	{ .name = "request", .may = ERRORS | MAY_AGAIN | MAY_CANCEL, .tagged = true,
	  .prepare = prepare_update, .call = call_request, .want = want_nr },
	{ .name = "update, replacing", .may = ERRORS | MAY_SHORT, .tagged = true,
	  .prepare = prepare_replace, .call = call_update, .want = want_nr,
	  .verify = verify_tags, .rest = update_from },
	{ .name = "clone", .may = ERRORS, .clones = true, .prepare = prepare_clone,
	  .call = call_clone, .want = want_0 },
	{ .name = "clone, part", .may = ERRORS, .clones = true,
	  .prepare = prepare_clone_part, .call = call_clone_part, .want = want_0 },
	{ .name = "clone, replacing", .may = ERRORS, .clones = true,
	  .prepare = prepare_clone_replace, .call = call_clone_replace, .want = want_0 },
	{ .name = "unregister", .may = 0, .prepare = prepare_end, .call = call_unregister,
	  .want = want_0 },
	{ .name = "unregister, tags", .may = 0, .tagged = true, .prepare = prepare_end,
	  .call = call_unregister, .want = want_0, .verify = verify_tags },
	{ .name = "close", .may = 0, .prepare = prepare_end, .call = call_close,
	  .want = want_0 },
	{ .name = "layout", .may = ERRORS, .prepare = prepare_table, .call = call_layout,
	  .want = want_0, .verify = verify_layout },
	{ .name = "fdinfo", .may = ERRORS, .prepare = prepare_table, .call = call_fdinfo,
	  .want = want_0 },
	{ .name = "query", .may = ERRORS, .once = true, .prepare = prepare_nothing,
	  .call = call_query, .want = want_0, .verify = verify_query },
};
const size_t nr_fault_ops = ARRAY_SIZE(fault_ops);
