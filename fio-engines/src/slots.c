// SPDX-License-Identifier: GPL-2.0-only
/*
 * The arena as slots of the ring's table of registered buffers, by each of the ways
 * that the kernel has for it.  What is timed is the system call alone, or a request from
 * its submission to its completion.
 */
#include <stdlib.h>

#include "fio.h"

#include "io.h"

static uint64_t bytes_of(const struct regbuf *rb, unsigned int first, unsigned int nr)
{
	uint64_t bytes = 0;

	while (nr--)
		bytes += regbuf_slot_bytes(rb, first++);
	return bytes;
}

static bool has_tags(const struct regbuf *rb)
{
	return rb->slots.tags;
}

/*
 * Each registration of a slot has a tag of its own: a slot may be replaced again
 * before the kernel says that the last I/O with what it was before is done.
 */
static void new_tags(struct regbuf *rb, unsigned int first, unsigned int nr)
{
	struct regbuf_slots *s = &rb->slots;

	while (has_tags(rb) && nr--)
		s->tags[first++] = REGBUF_TAG | s->next_tag++;
}

/* The kernel was told to let go of slots, and will say so slot by slot. */
static void expect_tags(struct regbuf *rb, unsigned int first, unsigned int nr)
{
	struct regbuf_slots *s = &rb->slots;
	struct regbuf_release *r;
	uint64_t now;

	if (!has_tags(rb))
		return;
	now = regbuf_now();
	s->tags_due += nr;
	for (; nr--; first++) {
		r = &s->releases[s->tags[first] & s->release_mask];
		/* Taken by one that is slow: that one is worth more */
		if (r->tag)
			continue;
		r->tag = s->tags[first];
		r->slot = first;
		r->replaced_at = now;
	}
}

void regbuf_tag_seen(struct regbuf *rb, uint64_t user_data)
{
	struct regbuf_slots *s = &rb->slots;
	struct regbuf_release *r = &s->releases[user_data & s->release_mask];

	s->tags_seen++;
	if (r->tag != user_data)
		return;
	regbuf_count(rb, REGBUF_RELEASE, r->replaced_at, regbuf_now(), 1,
		     regbuf_slot_bytes(rb, r->slot));
	r->tag = 0;
}

/* ---- errors ------------------------------------------------------------------- */

/*
 * The limit on locked memory is the user's, and only this process can be seen.  What is
 * advised is for the shell that fio is started from.
 */
static void explain_memlock(const struct regbuf *rb)
{
	unsigned long long want, hard, pinned;
	struct io_uring_ext_memlock m;
	char remedy[256];
	int ret;

	ret = io_uring_ext_memlock_check(rb->arena->size, rb->arena->info.page_size, 1, 0, &m);
	if ((ret && ret != -ENOMEM) || m.state & IO_URING_EXT_MEMLOCK_EXEMPT ||
	    m.soft == IO_URING_EXT_UNLIMITED)
		return;
	pinned = m.pinned == IO_URING_EXT_UNLIMITED ? 0 : m.pinned;
	want = (m.need + pinned + m.rings + 1023) >> 10;
	hard = m.hard >> 10;
	if (!ret)
		snprintf(remedy, sizeof(remedy), "that fits, if nobody else has any");
	else if (m.hard == IO_URING_EXT_UNLIMITED)
		snprintf(remedy, sizeof(remedy), "'ulimit -S -l unlimited'");
	else if (hard >= want)
		snprintf(remedy, sizeof(remedy), "'ulimit -S -l %llu'", hard);
	else
		snprintf(remedy, sizeof(remedy), "it can be no more than %llu KiB; as root, for "
			 "the shell that starts fio, 'prlimit --memlock=%llu --pid $$', or for "
			 "good 'memlock' in /etc/security/limits.conf", hard, want << 10);
	regbuf_say("%llu KiB of locked memory are needed, %llu KiB are in use by this process, up "
		   "to %llu KiB by its rings, other processes of this user count as well; "
		   "RLIMIT_MEMLOCK is %llu KiB: %s", (unsigned long long)(m.need + 1023) >> 10,
		   pinned >> 10, (unsigned long long)(m.rings + 1023) >> 10,
		   (unsigned long long)m.soft >> 10, remedy);
}

int regbuf_explain(struct regbuf *rb, int ret, const char *what)
{
	regbuf_say("%s (%u slots, %zu bytes): %s", what, rb->slots.nr, rb->arena->size,
		   strerror(-ret));
	if (ret == -ENOMEM)
		explain_memlock(rb);
	return -ret;
}

/* ---- buffers and buffers2: the whole table in one call ----------------------- */

static int table_register(struct regbuf *rb)
{
	struct regbuf_slots *s = &rb->slots;
	const struct io_uring_rsrc_register arg = {
		.nr = s->nr,
		.data = (uintptr_t)s->iovecs,
		.tags = (uintptr_t)s->tags,
	};
	int ret;

	new_tags(rb, 0, s->nr);
	if (has_tags(rb))
		ret = regbuf_call(rb, &rb->ring, IORING_REGISTER_BUFFERS2, &arg, sizeof(arg));
	else
		ret = regbuf_call(rb, &rb->ring, IORING_REGISTER_BUFFERS, s->iovecs, s->nr);
	if (ret)
		return regbuf_explain(rb, ret, "registering buffers");
	regbuf_count_call(rb, s->before ? REGBUF_REGISTER : REGBUF_FIRST, s->nr, rb->arena->size);
	s->registered = true;
	s->before = true;
	return 0;
}

static int table_unregister(struct regbuf *rb)
{
	int ret;

	expect_tags(rb, 0, rb->slots.nr);
	ret = regbuf_call(rb, &rb->ring, IORING_UNREGISTER_BUFFERS, NULL, 0);
	rb->slots.registered = false;
	if (ret)
		return regbuf_explain(rb, ret, "unregistering buffers");
	regbuf_count_call(rb, rb->o->reg_op == REGBUF_OP_CLONE ? REGBUF_UNCLONE : REGBUF_UNREGISTER,
			  rb->slots.nr, rb->arena->size);
	return 0;
}

/* ---- slot by slot, in a table that starts empty -------------------------------- */

/* How many entries were updated, or -errno of the first if none was. */
static int call_update(struct regbuf *rb, unsigned int first, unsigned int nr, bool fill)
{
	static const struct iovec nothing;
	struct regbuf_slots *s = &rb->slots;
	struct io_uring_rsrc_update2 arg = {
		.offset = first,
		.data = (uintptr_t)(fill ? &s->iovecs[first] : &nothing),
		.tags = fill ? (uintptr_t)&s->tags[first] : 0,
		.nr = nr,
	};

	if (s->descs)
		regbuf_descs_update(rb, &arg, fill);
	return regbuf_call(rb, &rb->ring, IORING_REGISTER_BUFFERS_UPDATE, &arg, sizeof(arg));
}

/*
 * All of them are registered, or none is, and what they are to be is noted before: after the
 * call the clock of fio is still running.
 */
static struct regbuf_update begin_update(struct regbuf *rb, unsigned int first, unsigned int nr,
					 bool fill)
{
	struct regbuf_slots *s = &rb->slots;
	const bool held = s->present[first], before = s->present_before[first];
	const struct regbuf_update u = {
		.first = first,
		.nr = nr,
		.fill = fill,
		.held = held,
		.figure = !fill ? REGBUF_UNREGISTER : held ? REGBUF_REPLACE :
			  before ? REGBUF_REGISTER : REGBUF_FIRST,
		.bytes = bytes_of(rb, first, nr),
	};

	if (held)
		expect_tags(rb, first, nr);
	if (fill)
		new_tags(rb, first, nr);
	memset(&s->present[first], fill, nr * sizeof(*s->present));
	memset(&s->present_before[first], 1, nr * sizeof(*s->present_before));
	return u;
}

static int end_update(struct regbuf *rb, const struct regbuf_update *u, int ret)
{
	unsigned int first = u->first, nr = u->nr;
	struct regbuf_slots *s = &rb->slots;

	if (ret == (int)nr) {
		regbuf_count_call(rb, u->figure, nr, u->bytes);
		return 0;
	}
	/* Where it stopped half-way, the next call tells why */
	if (ret > 0) {
		first += ret;
		nr -= ret;
		ret = call_update(rb, first, nr, u->fill);
		if (ret == (int)nr)
			return 0;
	}
	memset(&s->present[first], u->held, nr * sizeof(*s->present));
	if (u->held)
		s->tags_due -= nr;
	return regbuf_explain(rb, ret, "updating slots");
}

/* With nothing in flight: what the request came to. */
static int request_and_wait(struct regbuf *rb, unsigned int first, unsigned int nr, bool fill)
{
	int ret = regbuf_request(rb, first, nr, fill);

	if (!ret)
		ret = regbuf_io_wait_request(rb);
	rb->request.complete = false;
	return ret ? ret : rb->request.res;
}

static int update(struct regbuf *rb, unsigned int first, unsigned int nr, bool fill)
{
	const struct regbuf_update u = begin_update(rb, first, nr, fill);

	return end_update(rb, &u, rb->o->reg_op == REGBUF_OP_SQE ?
				  request_and_wait(rb, first, nr, fill) :
				  call_update(rb, first, nr, fill));
}

static int begin_request(struct regbuf *rb, unsigned int first, unsigned int nr)
{
	const struct regbuf_update u = begin_update(rb, first, nr, true);
	int ret = regbuf_request(rb, first, nr, true);

	if (ret)
		return end_update(rb, &u, ret);
	rb->request.update = u;
	return 0;
}

int regbuf_slots_replaced(struct regbuf *rb)
{
	struct regbuf_request *r = &rb->request;

	if (!r->complete)
		return 0;
	r->complete = false;
	return end_update(rb, &r->update, r->res);
}

int regbuf_slot_touch(struct regbuf *rb)
{
	int ret = rb->o->reg_op == REGBUF_OP_SQE ? request_and_wait(rb, 0, 1, false) :
						   call_update(rb, 0, 1, false);

	if (ret < 0)
		return regbuf_explain(rb, ret, "an update that changes nothing");
	regbuf_count_call(rb, REGBUF_EMPTY, 1, 0);
	return 0;
}

static int table_of_empties(struct regbuf *rb)
{
	struct iovec *nothing = calloc(rb->slots.nr, sizeof(*nothing));
	int ret;

	if (!nothing)
		return -ENOMEM;
	ret = io_uring_register_buffers(&rb->ring, nothing, rb->slots.nr);
	free(nothing);
	return ret;
}

static int update_table(struct regbuf *rb)
{
	int ret;

	ret = regbuf_descs_init(rb);
	if (ret)
		return ret;
	ret = io_uring_register_buffers_sparse(&rb->ring, rb->slots.nr);
	/* Before Linux 5.19 a table is made empty by listing empty buffers */
	if (ret == -EINVAL)
		ret = table_of_empties(rb);
	if (ret)
		return regbuf_explain(rb, ret, "making an empty table");
	rb->slots.table = true;
	/* What a call costs that has nothing to do */
	for (ret = 0; rb->slots.empty_calls < 64 && !ret; rb->slots.empty_calls++)
		ret = regbuf_slot_touch(rb);
	return ret;
}

int regbuf_slot_register(struct regbuf *rb, unsigned int slot)
{
	return update(rb, slot, 1, true);
}

int regbuf_slot_unregister(struct regbuf *rb, unsigned int slot)
{
	return update(rb, slot, 1, false);
}

static int update_all(struct regbuf *rb)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; i < rb->slots.nr && !ret; i++)
		ret = regbuf_slot_register(rb, i);
	rb->slots.registered = !ret;
	return ret;
}

static int update_none(struct regbuf *rb)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; i < rb->slots.nr && !ret; i++)
		if (rb->slots.present[i])
			ret = regbuf_slot_unregister(rb, i);
	rb->slots.registered = false;
	return ret;
}

/* ---- clone ------------------------------------------------------------------------ */

static int clone_all(struct regbuf *rb)
{
	int ret = regbuf_clone(rb, 0, rb->slots.nr, false);

	rb->slots.registered = !ret;
	return ret;
}

/* Again in the source, and from there in place of what the ring has. */
static int clone_replace(struct regbuf *rb, unsigned int first, unsigned int nr)
{
	int ret = regbuf_source_replace(rb, first, nr);

	return ret ? ret : regbuf_clone(rb, first, nr, true);
}

/* ---- all of them --------------------------------------------------------------- */

static void set_iovecs(struct regbuf *rb)
{
	struct regbuf_slots *s = &rb->slots;
	unsigned int i;
	size_t at;

	for (i = 0; i < s->nr; i++) {
		at = i * s->size;
		s->iovecs[i].iov_base = rb->arena->base + at;
		s->iovecs[i].iov_len = rb->arena->size - at < s->size ? rb->arena->size - at :
									s->size;
	}
}

int regbuf_slots_init(struct regbuf *rb, size_t slot_size)
{
	struct regbuf_slots *s = &rb->slots;
	struct io_uring_ext_caps caps = { 0 };
	const unsigned int op = rb->o->reg_op;
	size_t nr = (rb->arena->size + slot_size - 1) / slot_size;
	bool tags = op == REGBUF_OP_BUFFERS2 || regbuf_by_update(rb->o);
	size_t releases = 1;

	io_uring_ext_query(&rb->ring, &caps);
	if (caps.max_buffers && nr > caps.max_buffers) {
		regbuf_say("%zu slots, the kernel allows %u: reg_size is too small for "
			   "arena_size", nr, caps.max_buffers);
		return EINVAL;
	}
	s->nr = nr;
	s->size = slot_size;
	s->iovecs = calloc(nr, sizeof(*s->iovecs));
	s->present = calloc(nr, sizeof(*s->present));
	s->present_before = calloc(nr, sizeof(*s->present_before));
	if (tags) {
		/* All slots, and more than ever wait for I/O in flight */
		while (releases < nr + 4 * rb->td->o.iodepth)
			releases *= 2;
		s->release_mask = releases - 1;
		s->tags = calloc(nr, sizeof(*s->tags));
		s->releases = calloc(releases, sizeof(*s->releases));
	}
	if (!s->iovecs || !s->present || !s->present_before ||
	    (tags && (!s->tags || !s->releases))) {
		regbuf_say("no memory for %zu slots", nr);
		return ENOMEM;
	}
	set_iovecs(rb);
	return 0;
}

int regbuf_slots_prepare(struct regbuf *rb)
{
	if (regbuf_by_slot(rb->o))
		return update_table(rb);
	return rb->o->reg_op == REGBUF_OP_CLONE ? regbuf_source_prepare(rb) : 0;
}

int regbuf_slots_register(struct regbuf *rb)
{
	if (regbuf_by_update(rb->o))
		return update_all(rb);
	return rb->o->reg_op == REGBUF_OP_CLONE ? clone_all(rb) : table_register(rb);
}

int regbuf_slots_unregister(struct regbuf *rb)
{
	return regbuf_by_update(rb->o) ? update_none(rb) : table_unregister(rb);
}

int regbuf_slots_replace(struct regbuf *rb, unsigned int first, unsigned int nr)
{
	int ret;

	switch (rb->o->reg_op) {
	case REGBUF_OP_UPDATE:
	case REGBUF_OP_READONLY:
	case REGBUF_OP_MEMFD:
		return update(rb, first, nr, true);
	case REGBUF_OP_SQE:
		return begin_request(rb, first, nr);
	case REGBUF_OP_CLONE:
		return clone_replace(rb, first, nr);
	default:
		ret = table_unregister(rb);
		return ret ? ret : table_register(rb);
	}
}

void regbuf_slots_release(struct regbuf *rb)
{
	struct regbuf_slots *s = &rb->slots;

	if (!regbuf_io_wait_request(rb))
		regbuf_slots_replaced(rb);
	if (s->registered || (s->table && regbuf_by_update(rb->o)))
		regbuf_slots_unregister(rb);
}

void regbuf_slots_free(struct regbuf *rb)
{
	struct regbuf_slots *s = &rb->slots;

	free(s->iovecs);
	free(s->present);
	free(s->present_before);
	free(s->tags);
	free(s->releases);
	free(s->descs);
}
