// SPDX-License-Identifier: GPL-2.0
/*
 * io_bench: what a read or write through a registered buffer costs.
 *
 *	io_bench [options] NAME=PATH...
 *
 * PATH is a block device, or a file that will be written. With memory of several layouts, registered
 * and not, in several lengths and numbers of segments, anywhere in the memory: reads, writes and
 * zero-copy sends, one at a time, from the call that submits to the return of the same call with
 * the completion.
 *
 * Under "qemu -icount shift=N" with one CPU, guest time is an exact count: an instruction is 2^N
 * ns. Results are lines of text, and a JSON object a line with --json.
 */
#include <errno.h>
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"
#include "counters.h"
#include "fixed_io.h"
#include "layouts.h"
#include "registration.h"
#include "tcp_pair.h"
#include "uring.h"
#include "vmstat.h"

#define ROUNDS		2		/* the least counts: a timer tick more or less would show */
#define ROUNDS_MAX	100
#define FILE_SIZE	(32 * MIB)
#define BUFFER_SIZE	(256 * MIB)
#define TARGETS_MAX	4
#define SEGMENTS_MAX	1024

static const struct buffer {
	const char *name;
	struct layout layout;
} buffers[] = {
	{ "thp", { .backing = BACKING_THP, .size = BUFFER_SIZE } },
	{ "mixed", { .backing = BACKING_THP, .size = BUFFER_SIZE, .replace_every = 16 * MIB } },
	{ "64k", { .backing = BACKING_64K, .size = BUFFER_SIZE } },
	{ "4k", { .backing = BACKING_4K, .size = BUFFER_SIZE } },
	{ "2m", { .backing = BACKING_HUGETLB_2M, .size = BUFFER_SIZE } },
};

/* A call as it is, and through a registered buffer; of one range, or of several */
static const struct call {
	const char *name;
	uint8_t opcode;
	bool vectored;
} calls[] = {
	{ "READ", IORING_OP_READ, false },
	{ "READ_FIXED", IORING_OP_READ_FIXED, false },
	{ "WRITE", IORING_OP_WRITE, false },
	{ "WRITE_FIXED", IORING_OP_WRITE_FIXED, false },
	{ "READV", IORING_OP_READV, true },
	{ "READV_FIXED", URING_OP_READV_FIXED, true },
	{ "WRITEV", IORING_OP_WRITEV, true },
	{ "WRITEV_FIXED", URING_OP_WRITEV_FIXED, true },
};

/*
 * What is transferred: segments, and the bytes of each. Calls of one range have those of one
 * segment. A figure is the mean of so many transfers. The first target gets all of them, the
 * others those that are for every one.
 */
static const struct shape {
	unsigned int segments;
	size_t each;
	unsigned int ios;
	bool everywhere;
} shapes[] = {
	{ 1, 512, 256, false },
	{ 1, 4 * KIB, 256, true },
	{ 1, 64 * KIB, 256, true },
	{ 1, 256 * KIB, 256, false },
	{ 1, 512 * KIB, 128, false },
	{ 1, 516 * KIB, 128, false },
	{ 1, MIB, 128, true },
	{ 4, KIB, 256, false },
	{ 4, 4 * KIB, 256, true },
	{ 16, 4 * KIB, 128, false },
	{ 64, 4 * KIB, 64, true },
	{ 256, 4 * KIB, 16, true },
	{ 1024, 4 * KIB, 8, false },
	{ 4, 64 * KIB, 128, false },
	{ 4, 129 * KIB, 64, false },
	{ 16, 64 * KIB, 64, false },
};

/* Zero-copy sends over the loopback device */
static const struct shape sends[] = {
	{ 1, 4 * KIB, 64, true },
	{ 1, 64 * KIB, 32, true },
	{ 1, MIB, 8, true },
	{ 16, 4 * KIB, 32, true },
	{ 64, 4 * KIB, 16, true },
	{ 16, 64 * KIB, 8, true },
};

static struct {
	const char *calls, *rounds;
	bool counters;
} opt;

static struct target {
	const char *name;
	struct io_target io;
} targets[TARGETS_MAX];

static struct counters counters;
static unsigned int nr_targets, rounds = ROUNDS;

/* What is measured now */
struct work {
	struct io_uring *ring;
	const struct memory *mem;
	const struct buffer *buffer;
	const struct target *target;
	const struct call *call;
	const struct shape *shape;
	struct tcp_pair *pair;
	char *received;
};

/* Number @i of a fixed sequence of numbers below @n */
static uint64_t pick(uint64_t i, uint64_t n)
{
	return ((i + 1) * 0x9e3779b97f4a7c15ULL >> 32) % n;
}

/* The segments of transfer @i, anywhere in the buffer */
static void scatter(const struct work *work, uint64_t i, struct iovec *iov)
{
	const struct shape *shape = work->shape;

	for (unsigned int v = 0; v < shape->segments; v++) {
		uint64_t at = pick(i * shape->segments + v, work->mem->size / shape->each);

		iov[v] = (struct iovec){ work->mem->addr + at * shape->each, shape->each };
	}
}

static int transfer(const struct work *work, uint64_t i, const struct iovec *iov,
		    struct reason *why)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(work->ring);
	size_t len = work->shape->segments * work->shape->each;
	uint64_t pos = pick(i, work->target->io.size / len) * len;
	struct io_uring_cqe *cqe;
	int ret;

	if (work->call->vectored)
		io_uring_prep_rw(work->call->opcode, sqe, work->target->io.fd, iov,
				 work->shape->segments, pos);
	else
		io_uring_prep_rw(work->call->opcode, sqe, work->target->io.fd, iov->iov_base,
				 (unsigned int)len, pos);
	sqe->buf_index = 0;
	ret = io_uring_submit_and_wait(work->ring, 1);
	if (ret == 1)
		ret = io_uring_peek_cqe(work->ring, &cqe);
	if (ret)
		return because(why, "submitting %s: %s", work->call->name,
			       strerror(ret < 0 ? -ret : EIO));
	ret = cqe->res;
	io_uring_cqe_seen(work->ring, cqe);
	if (ret != (int)len)
		return because(why, "%s of %zu bytes: %s", work->call->name, len,
			       ret < 0 ? strerror(-ret) : "short");
	return 0;
}

static int send_once(const struct work *work, const struct iovec *iov, struct reason *why)
{
	return tcp_pair_send(work->pair, 0, iov, work->shape->segments,
			     work->shape->segments * work->shape->each, work->received, why);
}

/* Counts are of all transfers of a round, and of choosing where they go. */
static int run_ios(const struct work *work, uint64_t *ns, struct counts *counts,
		   struct reason *why)
{
	struct iovec iov[SEGMENTS_MAX];
	struct counts now = { 0 };

	*ns = UINT64_MAX;
	/* once untimed: what is allocated or read for the first time stays */
	for (int timed = 0; timed <= (int)rounds; timed++) {
		uint64_t took = 0;

		settle();
		if (opt.counters)
			counters_start(&counters);
		for (uint64_t i = 0; i < work->shape->ios; i++) {
			uint64_t start;
			int ret;

			scatter(work, i, iov);
			start = now_ns();
			ret = work->pair ? send_once(work, iov, why) : transfer(work, i, iov, why);
			took += now_ns() - start;
			if (ret)
				return -1;
		}
		if (opt.counters)
			counters_stop(&counters, &now);
		if (timed && took < *ns) {
			*ns = took;
			*counts = now;
		}
	}
	return 0;
}

static void print_result(const struct work *work, const char *target, const char *call,
			 uint64_t ns, const struct counts *counts)
{
	uint64_t value = (bench_value(ns)) / work->shape->ios;
	const struct shape *shape = work->shape;
	const char *buffer = work->buffer->name;
	char size[32];

	bench.passed++;
	printf("%-6s %-8s %-12s %4u x %-8s %llu\n", buffer, target, call, shape->segments,
	       format_size(shape->each, size, sizeof(size)), (unsigned long long)value);
	fflush(stdout);
	if (!bench.json)
		return;
	fprintf(bench.json, "{\"type\": \"io\", \"name\": \"%s/%s/%s/%ux%zu\", \"buffer\": \"%s\", "
		"\"target\": \"%s\", \"op\": \"%s\", \"segments\": %u, \"bytes\": %zu, "
		"\"ios\": %u, \"%s_per_io\": %llu", buffer, target, call, shape->segments,
		shape->each, buffer, target, call, shape->segments,
		shape->segments * shape->each, shape->ios, bench_unit(),
		(unsigned long long)value);
	counts_json(bench.json, "io", counts, shape->ios);
	bench_json_end();
}

static int run_target(struct work *work, struct reason *why)
{
	for (size_t c = 0; c < ARRAY_SIZE(calls); c++)
		for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
			struct counts counts;
			uint64_t ns;

			work->call = &calls[c];
			work->shape = &shapes[i];
			if ((work->target != targets && !shapes[i].everywhere) ||
			    (!calls[c].vectored && shapes[i].segments > 1) ||
			    (opt.calls && !name_in_list(calls[c].name, opt.calls)))
				continue;
			if (run_ios(work, &ns, &counts, why))
				return -1;
			print_result(work, work->target->name, calls[c].name, ns, &counts);
		}
	return 0;
}

static int run_sends(struct work *work, struct reason *why)
{
	const int on = 1;
	struct tcp_pair pair;
	int ret = 0;

	tcp_pair_open(&pair, (int)(4 * MIB), (int)(4 * MIB));
	/* Time that is waited for an acknowledgement would count. */
	if (setsockopt(pair.from, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)))
		return because(why, "TCP_NODELAY: %s", strerror(errno));
	pair.ring = work->ring;
	work->pair = &pair;
	for (size_t i = 0; !ret && i < ARRAY_SIZE(sends); i++) {
		struct counts counts;
		uint64_t ns;

		work->shape = &sends[i];
		ret = run_ios(work, &ns, &counts, why);
		if (!ret)
			print_result(work, "tcp",
				     sends[i].segments > 1 ? "SENDMSG_ZC" : "SEND_ZC", ns,
				     &counts);
	}
	work->pair = NULL;
	tcp_pair_close(&pair);
	return ret;
}

static int run_buffer(const struct buffer *buffer, struct reason *why)
{
	struct work work = { .buffer = buffer };
	struct io_uring ring;
	struct memory mem;
	struct iovec iov;
	int ret;

	note("%s", buffer->name);
	if (memory_map(&mem, &buffer->layout, why))
		return -1;
	ret = ring_init(&ring, false, why);
	if (ret)
		goto out;
	work.ring = &ring;
	work.mem = &mem;
	work.received = malloc(MIB);
	if (!work.received)
		die("out of memory");
	iov.iov_base = mem.addr;
	iov.iov_len = mem.size;
	ret = io_uring_register_buffers(&ring, &iov, 1);
	if (ret)
		because(why, "io_uring_register_buffers: %s", strerror(-ret));
	for (unsigned int i = 0; !ret && i < nr_targets; i++) {
		work.target = &targets[i];
		ret = run_target(&work, why);
	}
	if (!ret && (!opt.calls || name_in_list("SEND", opt.calls)))
		ret = run_sends(&work, why);
	free(work.received);
	io_uring_unregister_buffers(&ring);
	io_uring_queue_exit(&ring);
	if (!ret)
		ret = memory_verify(&mem, why);
out:
	memory_unmap(&mem);
	return ret;
}

/* A file is written once, so that all of its blocks are there. */
static int fill(const struct io_target *target, struct reason *why)
{
	char *zeroes = aligned_alloc(4 * KIB, MIB);
	int ret = 0;

	if (!zeroes)
		die("out of memory");
	memset(zeroes, 0, MIB);
	for (uint64_t pos = 0; !ret && pos < target->size; pos += MIB)
		if (pwrite(target->fd, zeroes, MIB, (off_t)pos) != (ssize_t)MIB)
			ret = because(why, "writing %s: %s", target->name, strerror(errno));
	free(zeroes);
	return ret;
}

static void open_target(char *arg)
{
	struct target *target = &targets[nr_targets++];
	char *path = strchr(arg, '=');
	bool device;
	struct reason why;

	if (!path || path == arg || nr_targets > TARGETS_MAX)
		die("up to %d arguments NAME=PATH, not '%s'", TARGETS_MAX, arg);
	*path++ = '\0';
	target->name = arg;
	device = !strncmp(path, "/dev/", 5);
	if (io_target_open(&target->io, path, device ? 0 : FILE_SIZE, &why) ||
	    (!device && fill(&target->io, &why)))
		die("%s", why.text);
}

static void parse_options(int argc, char **argv)
{
	static const struct bench_option options[] = {
		{ "calls", "NAME,...", "only these calls; SEND: zero-copy sends", .text = &opt.calls },
		{ "rounds", "N", "the least of so many counts, by default 2", .text = &opt.rounds },
		{ "counters", NULL, "what the CPU counts, into the JSON", .flag = &opt.counters },
		{ }
	};
	int first = bench_options(argc, argv, "NAME=PATH...", options);
	char *end;

	if (first == argc)
		bench_usage(2);
	if (opt.rounds) {
		rounds = (unsigned int)strtoul(opt.rounds, &end, 10);
		if (*end || !rounds || rounds > ROUNDS_MAX)
			die("--rounds wants a number from 1 to %d, not '%s'", ROUNDS_MAX, opt.rounds);
	}
	while (first < argc)
		open_target(argv[first++]);
}

int main(int argc, char **argv)
{
	struct vmstat before;
	struct reason why;

	bench_unlimit();
	parse_options(argc, argv);
	if (opt.counters)
		counters_open(&counters);
	for (size_t i = 0; i < ARRAY_SIZE(buffers); i++) {
		if (!bench_wants(buffers[i].name))
			continue;
		vmstat_start(&before);
		if (!run_buffer(&buffers[i], &why) && !vmstat_balanced(&before, &why))
			continue;
		bench.failed++;
		printf("FAIL %s: %s\n", buffers[i].name, why.text);
	}
	if (opt.counters)
		counters_close(&counters);
	while (nr_targets)
		io_target_close(&targets[--nr_targets].io);
	return bench_end();
}
