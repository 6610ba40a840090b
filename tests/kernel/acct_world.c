// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "acct_world.h"
#include "caps.h"

#define PAGE		(4 * KIB)
#define READ_BYTES	16
#define WAIT_USEC	10000
#define WAIT_TRIES	1000

static const char * const kinds[STEP_KINDS] = {
	"register", "update", "clone", "unregister", "close", "open", "limit", "read", "end-read",
};

static int ring_open(struct world *world, unsigned int r)
{
	int ret = charge_ring_init(&world->rings[r].uring);

	if (!ret) {
		world->rings[r].open = true;
		world->nr_open++;
	}
	return ret;
}

int world_init(struct world *world, enum acct_rule rule, uid_t uid, struct reason *why)
{
	memset(world, 0, sizeof(*world));
	if (acct_arena_map(&world->arena, why))
		return -1;
	acct_init(&world->acct, rule, &world->arena.memory);
	become_user(uid);
	if (charge_probe_init(&world->probe, why))
		return -1;
	world->limit = GIB / PAGE;
	charge_set_limit(world->limit);
	for (unsigned int r = 0; r < ACCT_RINGS; r++) {
		int ret = ring_open(world, r);

		if (ret)
			return because(why, "a new ring: %s", strerror(-ret));
		if (pipe2(world->rings[r].pipe, O_CLOEXEC))
			return because(why, "pipe2: %s", strerror(errno));
	}
	return 0;
}

/* --- the model ---------------------------------------------------------- */

static void node_put(struct world *world, unsigned int r, struct node *node)
{
	if (!node || --node->refs)
		return;
	acct_put(&world->acct, r, node->buffer);
	free(node);
}

static struct node *node_new(struct acct_buffer *buffer, struct iovec iov)
{
	struct node *node = malloc(sizeof(*node));

	if (!node)
		die("out of memory");
	*node = (struct node){ buffer, iov, 1 };
	return node;
}

/*
 * One entry of register and update. What is over the limit and bad besides may be refused for
 * either: *@or_else then is the other error.
 */
static int model_entry(struct world *world, unsigned int r, struct iovec iov, struct node **node,
		       int *or_else)
{
	uintptr_t start = (uintptr_t)iov.iov_base - (uintptr_t)world->arena.addr;
	bool bad = start + iov.iov_len > world->arena.size;
	struct acct_buffer *buffer;
	size_t first, end;

	*node = NULL;
	if (!iov.iov_base)
		return iov.iov_len ? -EFAULT : 0;
	if (!iov.iov_len)
		return -EFAULT;
	first = start / PAGE;
	end = ALIGN_UP(bad ? world->arena.size : start + iov.iov_len, PAGE) / PAGE;
	buffer = acct_register(&world->acct, r, first, end - first, world->nr_open,
			       world->limit);
	if (!buffer) {
		*or_else = bad ? -EFAULT : 0;
		return -ENOMEM;
	}
	if (bad) {
		acct_put(&world->acct, r, buffer);
		return -EFAULT;
	}
	*node = node_new(buffer, iov);
	return 0;
}

static void model_unregister(struct world *world, unsigned int r)
{
	struct world_ring *ring = &world->rings[r];

	/* From the end, as the kernel: by ACCT_PER_RING, the order matters. */
	while (ring->nr) {
		struct node **last = &ring->table[--ring->nr];

		node_put(world, r, *last);
		*last = NULL;
	}
}

static int model_register(struct world *world, const struct step *step, int *or_else)
{
	struct world_ring *ring = &world->rings[step->ring];

	if (ring->nr)
		return -EBUSY;
	if (!step->nr)
		return -EINVAL;
	for (unsigned int i = 0; i < step->nr; i++) {
		int ret = model_entry(world, step->ring, step->iov[i], &ring->table[i], or_else);

		if (ret) {
			model_unregister(world, step->ring);
			return ret;
		}
		ring->nr++;
	}
	return 0;
}

static int model_update(struct world *world, const struct step *step, int *or_else)
{
	struct world_ring *ring = &world->rings[step->ring];

	if (!step->nr)
		return -EINVAL;
	if (!ring->nr)
		return -ENXIO;
	if (step->off + step->nr > ring->nr)
		return -EINVAL;
	for (unsigned int i = 0; i < step->nr; i++) {
		struct node *node;
		int ret = model_entry(world, step->ring, step->iov[i], &node, or_else);

		if (ret) {
			if (!i)
				return ret;
			*or_else = 0;
			return (int)i;
		}
		/* The new one is charged while the old one still is. */
		node_put(world, step->ring, ring->table[step->off + i]);
		ring->table[step->off + i] = node;
	}
	return (int)step->nr;
}

static int model_clone(struct world *world, const struct step *step)
{
	struct world_ring *dst = &world->rings[step->ring], *src = &world->rings[step->src];
	struct node *table[WORLD_TABLE_MAX] = { };
	unsigned int nr = step->nr, size;

	if (dst->nr && !step->replace)
		return -EBUSY;
	if (!nr && (step->off || step->src_off))
		return -EINVAL;
	if (!src->nr)
		return -ENXIO;
	if (!nr)
		nr = src->nr;
	if (nr > src->nr)
		return -EINVAL;
	if (nr + step->src_off > src->nr)
		return -EOVERFLOW;

	size = step->off + nr > dst->nr ? step->off + nr : dst->nr;
	if (size > WORLD_TABLE_MAX)
		die("a step makes a table too large");
	for (unsigned int i = 0; i < nr; i++) {
		struct node *node = src->table[step->src_off + i];

		if (!node)
			continue;
		acct_clone(&world->acct, step->ring, node->buffer);
		table[step->off + i] = node_new(node->buffer, node->iov);
	}
	for (unsigned int i = dst->nr; i--; ) {
		if (i >= step->off && i < step->off + nr)
			node_put(world, step->ring, dst->table[i]);
		else
			table[i] = dst->table[i];
	}
	memcpy(dst->table, table, sizeof(table));
	dst->nr = size;
	return 0;
}

static int model_open(const struct world *world)
{
	long pages = world->acct.charged + world->nr_open + 1;

	return (unsigned long)pages > world->limit ? -ENOMEM : 0;
}

/* --- the kernel --------------------------------------------------------- */

static int end_read(struct world *world, unsigned int r, struct reason *why)
{
	struct world_ring *ring = &world->rings[r];
	char data[READ_BYTES];
	struct io_uring_cqe *cqe;
	int ret;

	memset(data, 'A' + (int)r, sizeof(data));
	if (write(ring->pipe[1], data, sizeof(data)) != (ssize_t)sizeof(data))
		return because(why, "writing to a pipe: %s", strerror(errno));
	ret = io_uring_wait_cqe(&ring->uring, &cqe);
	if (ret)
		return because(why, "waiting for a read: %s", strerror(-ret));
	ret = cqe->res;
	io_uring_cqe_seen(&ring->uring, cqe);
	if (ret != (int)min_size(sizeof(data), ring->reading->iov.iov_len))
		return because(why, "a read ended with %d", ret);
	if (memcmp(ring->reading->iov.iov_base, data, (size_t)ret))
		return because(why, "a read left other data");
	/* What did not fit. */
	if ((size_t)ret < sizeof(data) &&
	    read(ring->pipe[0], data, sizeof(data) - (size_t)ret) < 0)
		return because(why, "reading from a pipe: %s", strerror(errno));
	node_put(world, r, ring->reading);
	ring->reading = NULL;
	return 0;
}

static int start_read(struct world *world, unsigned int r, unsigned int slot, struct reason *why)
{
	struct world_ring *ring = &world->rings[r];
	struct node *node = ring->table[slot];
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);
	struct io_uring_cqe *cqe;
	int ret;

	if (!sqe)
		return because(why, "no free submission queue entry");
	io_uring_prep_read_fixed(sqe, ring->pipe[0], node->iov.iov_base,
				 (unsigned int)min_size(READ_BYTES, node->iov.iov_len), 0,
				 (int)slot);
	ret = io_uring_submit(&ring->uring);
	if (ret != 1)
		return because(why, "submitting a read: %s", strerror(-ret));
	if (!io_uring_peek_cqe(&ring->uring, &cqe))
		return because(why, "a read from an empty pipe ended with %d", cqe->res);
	ring->reading = node;
	node->refs++;
	return 0;
}

/* What a closed ring leaves to be done has an end, but no moment. */
static int compare(struct world *world, bool later, struct reason *why)
{
	long expected = world->acct.charged, pinned = 0;
	int tries = later ? WAIT_TRIES : 1, ret = 0;

	while (tries--) {
		pinned = charge_pinned();
		ret = pinned == expected ? 0 :
			because(why, "VmPin is %ld pages instead of %ld", pinned, expected);
		/* Below zero, there is no limit that just fits. */
		if (!ret && expected + world->nr_open >= 0)
			ret = charge_probe_check(&world->probe, expected + world->nr_open, why);
		if (!ret)
			break;
		if (tries)
			usleep(WAIT_USEC);
	}
	return ret;
}

static void note_result(struct world *world, const struct step *step, int result)
{
	struct world_stats *stats = &world->stats;

	stats->steps[step->kind]++;
	if (result == -ENOMEM)
		stats->refused++;
	else if (result == -EFAULT)
		stats->bad++;
	else if (result < 0)
		stats->other++;
	else if (step->kind == STEP_UPDATE && (unsigned int)result < step->nr)
		stats->partial++;
	if (world->acct.charged > (long)stats->most)
		stats->most = (unsigned long)world->acct.charged;
}

int world_step(struct world *world, const struct step *step, struct reason *why)
{
	struct world_ring *ring = &world->rings[step->ring];
	int expected = 0, or_else = 0, result = 0;
	bool later = false;

	switch (step->kind) {
	case STEP_REGISTER:
		expected = model_register(world, step, &or_else);
		result = io_uring_register_buffers(&ring->uring, step->iov, step->nr);
		break;
	case STEP_UPDATE:
		expected = model_update(world, step, &or_else);
		result = uring_update(&ring->uring, step->off, step->iov, step->nr);
		break;
	case STEP_CLONE:
		expected = model_clone(world, step);
		result = uring_clone(&ring->uring, &world->rings[step->src].uring, step->src_off,
				     step->off, step->nr,
				     step->replace ? URING_CLONE_DST_REPLACE : 0);
		break;
	case STEP_UNREGISTER:
		expected = ring->nr ? 0 : -ENXIO;
		model_unregister(world, step->ring);
		result = io_uring_unregister_buffers(&ring->uring);
		break;
	case STEP_CLOSE:
		/* Requests end first. */
		node_put(world, step->ring, ring->reading);
		ring->reading = NULL;
		model_unregister(world, step->ring);
		io_uring_queue_exit(&ring->uring);
		ring->open = false;
		world->nr_open--;
		later = true;
		break;
	case STEP_OPEN:
		expected = model_open(world);
		result = ring_open(world, step->ring);
		break;
	case STEP_LIMIT:
		world->limit = step->limit;
		charge_set_limit(step->limit);
		break;
	case STEP_READ:
		if (start_read(world, step->ring, step->off, why))
			return -1;
		break;
	case STEP_END_READ:
		if (end_read(world, step->ring, why))
			return -1;
		later = true;
		break;
	case STEP_KINDS:
		abort();
	}
	world->result = result;
	if (result != expected && !(or_else && result == or_else))
		return because(why, "%s: %d (%s) instead of %d (%s)", kinds[step->kind], result,
			       result < 0 ? errno_name(-result) : "done", expected,
			       expected < 0 ? errno_name(-expected) : "done");
	note_result(world, step, result);
	return compare(world, later, why);
}

static void print_iov(FILE *out, const struct world *world, const struct iovec *iov)
{
	if (iov->iov_base)
		fprintf(out, " %#tx+%#zx", (char *)iov->iov_base - world->arena.addr,
			iov->iov_len);
	else
		fprintf(out, iov->iov_len ? " NULL+%#zx" : " empty", iov->iov_len);
}

void step_print(FILE *out, const struct world *world, const struct step *step)
{
	fprintf(out, "%s", kinds[step->kind]);
	switch (step->kind) {
	case STEP_LIMIT:
		fprintf(out, " %lu pages", step->limit);
		return;
	case STEP_CLONE:
		fprintf(out, " %c = %c, %u from %u to %u%s", 'A' + (int)step->ring,
			'A' + (int)step->src, step->nr, step->src_off, step->off,
			step->replace ? ", replace" : "");
		return;
	case STEP_REGISTER:
	case STEP_UPDATE:
		fprintf(out, " %c, from %u:", 'A' + (int)step->ring, step->off);
		for (unsigned int i = 0; i < step->nr; i++)
			print_iov(out, world, &step->iov[i]);
		return;
	case STEP_READ:
		fprintf(out, " %c, slot %u", 'A' + (int)step->ring, step->off);
		return;
	default:
		fprintf(out, " %c", 'A' + (int)step->ring);
	}
}
