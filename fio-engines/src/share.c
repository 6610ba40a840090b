// SPDX-License-Identifier: GPL-2.0-only
/*
 * What jobs can have in common: an arena, and with reg_op=clone the source, a ring that
 * has the arena registered.  With arena_share it is one for the numjobs threads of a
 * job; else each job has its own.
 *
 * The source's table is like that of each job's ring, entry for entry.  It is made
 * without IORING_SETUP_SINGLE_ISSUER: each of the threads may register in it again.
 * Cloning is one system call, and that is what is timed.
 */
#include <stdlib.h>
#include <unistd.h>

#include "fio.h"

#include "regbuf.h"
#include "uapi.h"

static struct regbuf_share *shares;
static pthread_mutex_t shares_lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- who shares ------------------------------------------------------------------ */

static struct regbuf_share *find(const struct thread_data *td)
{
	struct regbuf_share *s;

	for (s = shares; s; s = s->next)
		if (s->groupid == td->groupid && !strcmp(s->name, td->o.name))
			return s;
	return NULL;
}

static struct regbuf_share *make(const char *name, unsigned int groupid)
{
	struct regbuf_share *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	pthread_mutex_init(&s->lock, NULL);
	snprintf(s->name, sizeof(s->name), "%s", name);
	s->groupid = groupid;
	return s;
}

int regbuf_share_join(struct thread_data *td)
{
	struct regbuf_share *s;

	pthread_mutex_lock(&shares_lock);
	s = find(td);
	if (!s) {
		s = make(td->o.name, td->groupid);
		if (s) {
			s->next = shares;
			shares = s;
		}
	}
	if (s) {
		s->jobs++;
		s->left++;
		s->may_clone++;
	}
	pthread_mutex_unlock(&shares_lock);
	return s ? 0 : ENOMEM;
}

int regbuf_share_init(struct regbuf *rb)
{
	if (!rb->o->arena_share) {
		rb->share = make("", 0);
		if (!rb->share)
			return ENOMEM;
		rb->share->jobs = 1;
		rb->share->left = 1;
		rb->share->may_clone = 1;
		return 0;
	}
	pthread_mutex_lock(&shares_lock);
	rb->share = find(rb->td);
	pthread_mutex_unlock(&shares_lock);
	if (rb->share)
		return 0;
	regbuf_say("arena_share: how many jobs there are is not known: it does not go with "
		   "create_serialize=0");
	return EINVAL;
}

int regbuf_share_get(struct regbuf *rb, size_t size)
{
	struct regbuf_share *s = rb->share;
	int ret = 0;

	pthread_mutex_lock(&s->lock);
	if (!s->has_arena)
		ret = regbuf_arena_alloc(&s->arena, rb->td, size);
	s->has_arena = !ret;
	if (!ret)
		rb->arena = &s->arena;
	pthread_mutex_unlock(&s->lock);
	return ret;
}

void regbuf_source_release(struct regbuf *rb)
{
	struct regbuf_share *s = rb->share;

	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	if (!--s->may_clone && s->has_source) {
		regbuf_call(rb, &s->source, IORING_UNREGISTER_BUFFERS, NULL, 0);
		regbuf_count_call(rb, REGBUF_UNREGISTER, rb->slots.nr, s->arena.size);
		io_uring_queue_exit(&s->source);
		s->has_source = false;
	}
	pthread_mutex_unlock(&s->lock);
}

void regbuf_share_put(struct regbuf *rb)
{
	struct regbuf_share *s = rb->share, **link;
	bool last;

	rb->share = NULL;
	if (!s)
		return;
	rb->arena = NULL;
	pthread_mutex_lock(&shares_lock);
	last = !--s->left;
	for (link = &shares; last && *link; link = &(*link)->next) {
		if (*link == s) {
			*link = s->next;
			break;
		}
	}
	pthread_mutex_unlock(&shares_lock);
	if (!last)
		return;
	if (s->has_arena)
		regbuf_arena_free(&s->arena);
	free(s);
}

/* ---- the source ---------------------------------------------------------------------- */

static int source_make(struct regbuf *rb)
{
	struct regbuf_share *s = rb->share;
	int ret;

	ret = io_uring_queue_init(1, &s->source, 0);
	if (ret)
		return regbuf_explain(rb, ret, "a ring to clone from");
	ret = regbuf_call(rb, &s->source, IORING_REGISTER_BUFFERS, rb->slots.iovecs, rb->slots.nr);
	if (ret) {
		io_uring_queue_exit(&s->source);
		return regbuf_explain(rb, ret, "registering buffers");
	}
	regbuf_count_call(rb, REGBUF_FIRST, rb->slots.nr, rb->arena->size);
	return 0;
}

int regbuf_source_prepare(struct regbuf *rb)
{
	struct regbuf_share *s = rb->share;
	int ret = 0;

	pthread_mutex_lock(&s->lock);
	if (!s->has_source)
		ret = source_make(rb);
	s->has_source = !ret;
	pthread_mutex_unlock(&s->lock);
	return ret;
}

int regbuf_source_replace(struct regbuf *rb, unsigned int first, unsigned int nr)
{
	struct io_uring_rsrc_update2 arg = { .nr = 1 };
	unsigned int i;
	int ret;

	/* One by one, so that an error is of the slot that has it */
	for (i = first; i < first + nr; i++) {
		arg.offset = i;
		arg.data = (uintptr_t)&rb->slots.iovecs[i];
		ret = regbuf_call(rb, &rb->share->source, IORING_REGISTER_BUFFERS_UPDATE, &arg,
				  sizeof(arg));
		if (ret < 0)
			return regbuf_explain(rb, ret, "registering again");
		regbuf_count_call(rb, REGBUF_REPLACE, 1, regbuf_slot_bytes(rb, i));
	}
	return 0;
}

int regbuf_clone(struct regbuf *rb, unsigned int first, unsigned int nr, bool replace)
{
	const bool all = !first && nr == rb->slots.nr;
	struct urext_clone_buffers arg = {
		.src_fd = rb->share->source.ring_fd,
		.flags = replace ? URING_EXT_CLONE_DST_REPLACE : 0,
		.src_off = first,
		.dst_off = first,
		.nr = all ? 0 : nr,
	};
	uint64_t bytes = 0;
	unsigned int i;
	int ret;

	for (i = first; i < first + nr; i++)
		bytes += regbuf_slot_bytes(rb, i);
	ret = regbuf_call(rb, &rb->ring, URING_EXT_REGISTER_CLONE_BUFFERS, &arg, 1);
	if (ret == -EINVAL)
		regbuf_say("reg_op=clone: can this kernel clone?  6.13 and later can");
	if (ret)
		return regbuf_explain(rb, ret, "cloning");
	regbuf_count_call(rb, REGBUF_CLONE, nr, bytes);
	return 0;
}
