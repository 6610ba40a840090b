// SPDX-License-Identifier: GPL-2.0-only
/*
 * The arena as slots of the ring's table of registered buffers, by each of the ways
 * that the kernel has for it.  Every call is timed.
 */
#include <stdlib.h>

#include "fio.h"

#include "regbuf.h"

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
	regbuf_count(rb, REGBUF_RELEASE, r->replaced_at, 1, regbuf_slot_bytes(rb, r->slot));
	r->tag = 0;
}

/* The limit on locked memory is the user's, and only this process can be seen. */
static void explain_memlock(const struct regbuf *rb)
{
	struct io_uring_ext_memlock need;
	char text[IO_URING_EXT_ERROR_TEXT];
	int ret;

	ret = io_uring_ext_memlock_check(rb->arena.size, rb->arena.info.page_size, 1, 0, &need);
	if (ret && ret != -ENOMEM)
		return;
	io_uring_ext_memlock_describe(&need, text, sizeof(text));
	log_err("regbuf: %s%s\n", text, need.state & IO_URING_EXT_MEMLOCK_EXEMPT ? "" :
		" What other processes of this user have locked counts as well.");
}

/* What went wrong, and what would help if it is the limit on locked memory. */
static int explain(struct regbuf *rb, int ret, const char *what,
		   const struct io_uring_ext_error *err)
{
	log_err("regbuf: %s (%u slots, %zu bytes): %s\n", what, rb->slots.nr, rb->arena.size,
		err && err->text[0] ? err->text : strerror(-ret));
	if (ret == -ENOMEM)
		explain_memlock(rb);
	return -ret;
}

/* ---- buffers and buffers2: the whole table in one call ----------------------- */

static int table_register(struct regbuf *rb)
{
	struct regbuf_slots *s = &rb->slots;
	uint64_t start;
	int ret;

	new_tags(rb, 0, s->nr);
	start = regbuf_now();
	if (has_tags(rb))
		ret = io_uring_register_buffers_tags(&rb->ring, s->iovecs,
						     (const __u64 *)s->tags, s->nr);
	else
		ret = io_uring_register_buffers(&rb->ring, s->iovecs, s->nr);
	if (ret)
		return explain(rb, ret, "registering buffers", NULL);
	regbuf_count(rb, REGBUF_REGISTER, start, s->nr, rb->arena.size);
	s->registered = true;
	return 0;
}

static int table_unregister(struct regbuf *rb)
{
	uint64_t start;
	int ret;

	expect_tags(rb, 0, rb->slots.nr);
	start = regbuf_now();
	ret = io_uring_unregister_buffers(&rb->ring);
	rb->slots.registered = false;
	if (ret)
		return explain(rb, ret, "unregistering buffers", NULL);
	regbuf_count(rb, REGBUF_UNREGISTER, start, rb->slots.nr, rb->arena.size);
	return 0;
}

/* ---- update: slot by slot, in a table that starts empty ---------------------- */

static int update(struct regbuf *rb, unsigned int first, unsigned int nr, bool fill)
{
	static const struct iovec nothing;
	struct regbuf_slots *s = &rb->slots;
	struct io_uring_ext_update up = {
		.off = first,
		.nr = nr,
		.iovecs = fill ? &s->iovecs[first] : &nothing,
		.tags = fill && s->tags ? (const __u64 *)&s->tags[first] : NULL,
	};
	struct io_uring_ext_error err;
	bool held = s->present[first];
	enum regbuf_figure figure;
	unsigned int i;
	uint64_t start;
	int ret;

	for (i = first; i < first + nr; i++)
		if (s->present[i])
			expect_tags(rb, i, 1);
	if (fill)
		new_tags(rb, first, nr);
	start = regbuf_now();
	ret = io_uring_ext_update_buffers(&rb->ring, &up, &err);
	if (ret) {
		for (i = first + err.done; i < first + nr; i++)
			rb->slots.tags_due -= has_tags(rb) && s->present[i];
		return explain(rb, ret, "updating slots", &err);
	}
	figure = !fill ? REGBUF_UNREGISTER : held ? REGBUF_REPLACE : REGBUF_REGISTER;
	regbuf_count(rb, figure, start, nr, bytes_of(rb, first, nr));
	memset(&s->present[first], fill, nr * sizeof(*s->present));
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

	ret = io_uring_register_buffers_sparse(&rb->ring, rb->slots.nr);
	/* Before Linux 5.19 a table is made empty by listing empty buffers */
	if (ret == -EINVAL)
		ret = table_of_empties(rb);
	if (ret)
		return explain(rb, ret, "making an empty table", NULL);
	rb->slots.table = true;
	return 0;
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

/* ---- clone: pinned once in a pool's own ring, and cloned from there ---------- */

static int clone_add(struct regbuf *rb, unsigned int slot)
{
	struct io_uring_ext_region region = {
		.base = rb->slots.iovecs[slot].iov_base,
		.len = rb->slots.iovecs[slot].iov_len,
		.page_size = rb->arena.info.page_size,
	};
	struct io_uring_ext_error err;
	uint64_t start = regbuf_now();
	int id;

	id = io_uring_ext_pool_add(rb->slots.pool, &region, &err);
	if (id < 0)
		return explain(rb, id, "adding to the pool", &err);
	regbuf_count(rb, REGBUF_REGISTER, start, 1, region.len);
	rb->slots.region[slot] = id;
	return 0;
}

static int clone_remove(struct regbuf *rb, unsigned int slot)
{
	uint64_t start = regbuf_now();
	int ret;

	ret = io_uring_ext_pool_remove(rb->slots.pool, rb->slots.region[slot]);
	if (ret < 0)
		return explain(rb, ret, "removing from the pool", NULL);
	regbuf_count(rb, REGBUF_UNREGISTER, start, 1, regbuf_slot_bytes(rb, slot));
	rb->slots.region[slot] = -1;
	return 0;
}

/* The pool chooses where in the table a region goes. */
static int clone_index(struct regbuf *rb, unsigned int first, unsigned int nr)
{
	struct io_uring_ext_region_info info;
	int ret;

	for (; nr--; first++) {
		ret = io_uring_ext_pool_region_info(rb->slots.pool, rb->slots.region[first],
						    &info);
		if (ret)
			return explain(rb, ret, "looking up a region", NULL);
		rb->slots.index[first] = info.first_slot;
	}
	return 0;
}

static int clone_pool(struct regbuf *rb)
{
	struct io_uring_ext_pool_params p = { 0 };
	const struct io_uring_ext_caps *caps;
	struct io_uring_ext_error err;
	unsigned int i;
	int ret;

	/* A region that is replaced holds its slots until the ring has let go */
	p.nr_slots = rb->slots.nr + (rb->o->churn ? rb->o->churn_slots : 0);
	ret = io_uring_ext_pool_create(&rb->slots.pool, &p, &err);
	if (ret)
		return explain(rb, ret, "making a pool", &err);
	caps = io_uring_ext_pool_caps(rb->slots.pool);
	if (!(caps->flags & IO_URING_EXT_CAP_CLONE_RANGE)) {
		log_err("regbuf: reg_op=clone: this kernel cannot clone (6.13 and later can)\n");
		return EOPNOTSUPP;
	}
	for (i = 0; i < rb->slots.nr && !ret; i++)
		ret = clone_add(rb, i);
	return ret;
}

static int clone_all(struct regbuf *rb)
{
	struct regbuf_slots *s = &rb->slots;
	struct io_uring_ext_error err;
	uint64_t start = regbuf_now();
	int ret;

	ret = io_uring_ext_ring_attach(&s->ring, s->pool, &rb->ring, 0, &err);
	if (ret)
		return explain(rb, ret, "cloning", &err);
	regbuf_count(rb, REGBUF_CLONE, start, s->nr, rb->arena.size);
	s->registered = true;
	return clone_index(rb, 0, s->nr);
}

static int clone_none(struct regbuf *rb)
{
	uint64_t start = regbuf_now();
	int ret;

	ret = io_uring_ext_ring_detach(rb->slots.ring);
	rb->slots.ring = NULL;
	rb->slots.registered = false;
	if (ret)
		return explain(rb, ret, "dropping clones", NULL);
	regbuf_count(rb, REGBUF_UNCLONE, start, rb->slots.nr, rb->arena.size);
	return 0;
}

/* Out of the pool and the ring, and in again. */
static int clone_replace(struct regbuf *rb, unsigned int first, unsigned int nr)
{
	struct io_uring_ext_error err;
	uint64_t start;
	unsigned int i;
	int ret = 0;

	for (i = first; i < first + nr && !ret; i++)
		ret = clone_remove(rb, i);
	for (i = first; i < first + nr && !ret; i++)
		ret = clone_add(rb, i);
	if (ret)
		return ret;
	start = regbuf_now();
	ret = io_uring_ext_ring_sync(rb->slots.ring, &err);
	if (ret < 0)
		return explain(rb, ret, "cloning", &err);
	regbuf_count(rb, REGBUF_CLONE, start, nr, bytes_of(rb, first, nr));
	return clone_index(rb, first, nr);
}

/* ---- all of them --------------------------------------------------------------- */

static void set_iovecs(struct regbuf *rb)
{
	struct regbuf_slots *s = &rb->slots;
	unsigned int i;
	size_t at;

	for (i = 0; i < s->nr; i++) {
		at = i * s->size;
		s->iovecs[i].iov_base = rb->arena.base + at;
		s->iovecs[i].iov_len = rb->arena.size - at < s->size ? rb->arena.size - at :
								       s->size;
		s->index[i] = i;
		if (s->region)
			s->region[i] = -1;
	}
}

int regbuf_slots_init(struct regbuf *rb, size_t slot_size)
{
	struct regbuf_slots *s = &rb->slots;
	struct io_uring_ext_caps caps = { 0 };
	const unsigned int op = rb->o->reg_op;
	size_t nr = (rb->arena.size + slot_size - 1) / slot_size;
	bool tags = op == REGBUF_OP_BUFFERS2 || op == REGBUF_OP_UPDATE;
	size_t releases = 1;

	io_uring_ext_query(&rb->ring, &caps);
	if (caps.max_buffers && nr > caps.max_buffers) {
		log_err("regbuf: %zu slots, the kernel allows %u: reg_size is too small for "
			"arena_size\n", nr, caps.max_buffers);
		return EINVAL;
	}
	s->nr = nr;
	s->size = slot_size;
	s->iovecs = calloc(nr, sizeof(*s->iovecs));
	s->index = calloc(nr, sizeof(*s->index));
	s->present = calloc(nr, sizeof(*s->present));
	if (tags) {
		/* All slots, and more than ever wait for I/O in flight */
		while (releases < nr + 4 * rb->td->o.iodepth)
			releases *= 2;
		s->release_mask = releases - 1;
		s->tags = calloc(nr, sizeof(*s->tags));
		s->releases = calloc(releases, sizeof(*s->releases));
	}
	if (op == REGBUF_OP_CLONE)
		s->region = calloc(nr, sizeof(*s->region));
	if (!s->iovecs || !s->index || !s->present ||
	    (tags && (!s->tags || !s->releases)) || (op == REGBUF_OP_CLONE && !s->region)) {
		log_err("regbuf: no memory for %zu slots\n", nr);
		return ENOMEM;
	}
	set_iovecs(rb);
	return 0;
}

int regbuf_slots_prepare(struct regbuf *rb)
{
	switch (rb->o->reg_op) {
	case REGBUF_OP_UPDATE:
		return update_table(rb);
	case REGBUF_OP_CLONE:
		return clone_pool(rb);
	default:
		return 0;
	}
}

int regbuf_slots_register(struct regbuf *rb)
{
	switch (rb->o->reg_op) {
	case REGBUF_OP_UPDATE:
		return update_all(rb);
	case REGBUF_OP_CLONE:
		return clone_all(rb);
	default:
		return table_register(rb);
	}
}

int regbuf_slots_unregister(struct regbuf *rb)
{
	switch (rb->o->reg_op) {
	case REGBUF_OP_UPDATE:
		return update_none(rb);
	case REGBUF_OP_CLONE:
		return clone_none(rb);
	default:
		return table_unregister(rb);
	}
}

int regbuf_slots_replace(struct regbuf *rb, unsigned int first, unsigned int nr)
{
	int ret;

	switch (rb->o->reg_op) {
	case REGBUF_OP_UPDATE:
		return update(rb, first, nr, true);
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

	if (s->registered || s->table)
		regbuf_slots_unregister(rb);
	if (s->pool)
		io_uring_ext_pool_destroy(s->pool);
	s->pool = NULL;
}

void regbuf_slots_free(struct regbuf *rb)
{
	struct regbuf_slots *s = &rb->slots;

	free(s->iovecs);
	free(s->index);
	free(s->present);
	free(s->tags);
	free(s->releases);
	free(s->region);
}
