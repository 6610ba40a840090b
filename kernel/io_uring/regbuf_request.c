// SPDX-License-Identifier: GPL-2.0
/*
 * IORING_OP_BUFFERS_UPDATE: an update of the table of registered buffers, as a
 * request
 *
 * It does what IORING_REGISTER_BUFFERS_UPDATE does with descriptors, under the
 * same lock, so that both take effect one after the other. To pin takes as long
 * as the buffers are large: it is done by a worker, never where the request is
 * submitted. What the program gives is copied there, though, and may be gone
 * when that returns: files are looked up there, too.
 *
 * A cancellation reaches a worker as a signal. It ends the wait for the lock, and
 * the pin of a buffer between two sections of it; what that buffer had is given
 * back. Entries that are done stay done, as for a call that ends early.
 *
 * Tags of buffers that leave the table are completions, and these have to come
 * from the task that the ring belongs to: they are posted where the request is
 * completed, before it is.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/io_uring.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "io_uring.h"
#include "regbuf.h"
#include "tw.h"

struct io_buffers_update {
	struct file			*file;
	/* of the new buffers, and behind them of those that leave the table */
	u64				*tags;
	struct io_uring_regbuf_desc	*descs;
	struct file			**files;
	u32				offset;
	u32				nr;
	u32				nr_old_tags;
	bool				tagged;
};

static struct file *
io_buffers_update_file(const struct io_uring_regbuf_desc *desc)
{
	if (desc->type != IO_REGBUF_TYPE_MEMFD)
		return NULL;
	return io_regbuf_get_memfd(desc);
}

int io_buffers_update_prep(struct io_kiocb *req, const struct io_uring_sqe *sqe)
{
	struct io_buffers_update *up = io_kiocb_to_cmd(req, struct io_buffers_update);
	const void __user *descs = u64_to_user_ptr(READ_ONCE(sqe->addr));
	const void __user *tags = u64_to_user_ptr(READ_ONCE(sqe->addr3));
	u64 offset = READ_ONCE(sqe->off);
	unsigned int i;
	size_t size;
	void *copy;

	if (req->flags & (REQ_F_FIXED_FILE | REQ_F_BUFFER_SELECT))
		return -EINVAL;
	if (sqe->rw_flags || sqe->buf_index || sqe->splice_fd_in ||
	    sqe->__pad2[0])
		return -EINVAL;
	up->nr = READ_ONCE(sqe->len);
	if (!up->nr || up->nr > IORING_MAX_REG_BUFFERS || offset > U32_MAX)
		return -EINVAL;
	up->offset = offset;
	up->nr_old_tags = 0;
	up->tagged = tags;

	/* Twice the tags: what comes and what goes */
	size = up->nr * sizeof(*up->descs);
	copy = kvmalloc(size + up->nr * (2 * sizeof(*up->tags) +
					 sizeof(*up->files)),
			GFP_KERNEL_ACCOUNT);
	if (!copy)
		return -ENOMEM;
	up->descs = copy;
	up->tags = copy + size;
	up->files = (void *)(up->tags + 2 * up->nr);
	if (copy_from_user(up->descs, descs, size) ||
	    (tags && copy_from_user(up->tags, tags,
				    up->nr * sizeof(*up->tags)))) {
		kvfree(copy);
		return -EFAULT;
	}
	for (i = 0; i < up->nr; i++)
		up->files[i] = io_buffers_update_file(&up->descs[i]);
	req->flags |= REQ_F_NEED_CLEANUP | REQ_F_FORCE_ASYNC;
	return 0;
}

void io_buffers_update_cleanup(struct io_kiocb *req)
{
	struct io_buffers_update *up = io_kiocb_to_cmd(req, struct io_buffers_update);
	unsigned int i;

	for (i = 0; i < up->nr; i++)
		if (!IS_ERR_OR_NULL(up->files[i]))
			fput(up->files[i]);
	kvfree(up->descs);
}

/* By somebody, or by the end of the task, which does not tell each request. */
static bool io_buffers_update_cancelled(struct io_kiocb *req)
{
	return atomic_read(&req->work.flags) & IO_WQ_WORK_CANCEL ||
	       io_wq_worker_stopped();
}

/*
 * A signal that was for something else, and may be there to stay: the process is
 * being stopped, for instance. Returns whether another one would be noticed.
 */
static bool io_buffers_update_signalled(void)
{
	io_run_task_work();
	return !signal_pending(current);
}

/* Wait for register calls, and other requests like this one. */
static int io_buffers_update_lock(struct io_kiocb *req)
{
	struct mutex *lock = &req->ctx->register_lock;

	while (mutex_lock_interruptible(lock)) {
		bool noticed = io_buffers_update_signalled();

		/* A cancellation that comes later is another signal. */
		if (io_buffers_update_cancelled(req))
			return -ECANCELED;
		if (!noticed)
			return mutex_lock_killable(lock);
	}
	return 0;
}

struct io_buffers_update_args {
	struct io_buf_args	args;
	struct io_kiocb		*req;
};

/* Was an entry ended by a signal that was for something else? */
static bool io_buffers_update_again(struct io_buf_args *args, int error)
{
	struct io_kiocb *req =
		container_of(args, struct io_buffers_update_args, args)->req;
	bool noticed;

	if (error != -EINTR && error != -EAGAIN)
		return false;
	if (!args->gup_flags || !signal_pending(current) ||
	    fatal_signal_pending(current))
		return false;
	noticed = io_buffers_update_signalled();
	if (io_buffers_update_cancelled(req))
		return false;
	if (!noticed)
		args->gup_flags = 0;
	return true;
}

static int io_buffers_update_run(struct io_kiocb *req)
{
	struct io_buffers_update *up = io_kiocb_to_cmd(req, struct io_buffers_update);
	struct io_buffers_update_args a = {
		.args = {
			.descs = up->descs,
			.files = up->files,
			.new_tags = up->tagged ? up->tags : NULL,
			.old_tags = up->tags + up->nr,
			.gup_flags = FOLL_INTERRUPTIBLE,
			.again = io_buffers_update_again,
		},
		.req = req,
	};
	u32 end;
	int ret;

	if (check_add_overflow(up->offset, up->nr, &end))
		return -EOVERFLOW;
	ret = io_buffers_update_slots(req->ctx, up->offset, &a.args, up->nr);
	if ((ret == -EINTR || ret == -EAGAIN) &&
	    io_buffers_update_cancelled(req))
		ret = -ECANCELED;
	up->nr_old_tags = a.args.nr_old_tags;
	return ret;
}

static void io_buffers_update_complete(struct io_tw_req tw_req,
				       io_tw_token_t tw)
{
	struct io_kiocb *req = tw_req.req;
	struct io_buffers_update *up = io_kiocb_to_cmd(req, struct io_buffers_update);
	unsigned int i;

	for (i = 0; i < up->nr_old_tags; i++)
		io_post_aux_cqe(req->ctx, up->tags[up->nr + i], 0, 0);
	io_req_task_complete(tw_req, tw);
}

int io_buffers_update(struct io_kiocb *req, unsigned int issue_flags)
{
	struct io_buffers_update *up = io_kiocb_to_cmd(req, struct io_buffers_update);
	int ret;

	/* A worker comes back with it. */
	if (issue_flags & IO_URING_F_NONBLOCK)
		return -EAGAIN;

	ret = io_buffers_update_lock(req);
	if (!ret) {
		ret = io_buffers_update_run(req);
		mutex_unlock(&req->ctx->register_lock);
	}
	/* What is linked needs all of them. */
	if (ret < (int)up->nr)
		req_set_fail(req);
	io_req_set_res(req, ret, 0);
	req->io_task_work.func = io_buffers_update_complete;
	io_req_task_work_add(req);
	return IOU_ISSUE_SKIP_COMPLETE;
}
