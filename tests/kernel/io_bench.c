// SPDX-License-Identifier: GPL-2.0
/*
 * io_bench: what a read or write through a registered buffer costs.
 *
 *	io_bench [options] NAME=PATH...
 *
 * PATH is a block device, or a file that will be written. Through buffers of several layouts, with
 * several lengths, one after the other and at random: READ_FIXED, WRITE_FIXED and READV_FIXED, one
 * at a time, from the call that submits to the return of the same call with the completion.
 *
 * Under "qemu -icount shift=N" with one CPU, guest time is an exact count: an instruction is 2^N
 * ns. Results are lines of text, and a JSON object a line with --json.
 */
#include <errno.h>
#include <getopt.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fixed_io.h"
#include "layouts.h"
#include "registration.h"
#include "vmstat.h"

#define IOS		256		/* that one figure is the mean of */
#define ROUNDS		3		/* the least counts: a timer tick more or less would show */
#define FILE_SIZE	(32 * MIB)
#define BUFFER_SIZE	(256 * MIB)
#define TARGETS_MAX	4
#define READV_FIXED	60		/* IORING_OP_READV_FIXED, from Linux 6.15 */
#define VECTORS		4

static const struct buffer {
	const char *name;
	struct layout layout;
} buffers[] = {
	{ "thp", { .backing = BACKING_THP, .size = BUFFER_SIZE } },
	{ "mixed", { .backing = BACKING_THP, .size = BUFFER_SIZE, .replace_every = 16 * MIB } },
	{ "64k", { .backing = BACKING_64K, .size = BUFFER_SIZE } },
	{ "4k", { .backing = BACKING_4K, .size = BUFFER_SIZE } },
};

static const size_t lengths[] = { 4 * KIB, 64 * KIB, MIB };

enum op {
	OP_READ,
	OP_WRITE,
	OP_READV,
	NR_OPS,
};

static const char * const op_names[NR_OPS] = { "READ_FIXED", "WRITE_FIXED", "READV_FIXED" };

static struct {
	FILE *json;
	int icount;			/* shift, or -1 */
	const char *only;
} opt = {
	.icount = -1,
};

static struct target {
	const char *name;
	struct io_target io;
} targets[TARGETS_MAX];

static unsigned int nr_targets, passed, failed;

static void prepare(struct io_uring_sqe *sqe, enum op op, const struct target *target, char *addr,
		    size_t len, uint64_t pos, struct iovec *vectors)
{
	if (op == OP_READ) {
		io_uring_prep_read_fixed(sqe, target->io.fd, addr, (unsigned int)len, pos, 0);
	} else if (op == OP_WRITE) {
		io_uring_prep_write_fixed(sqe, target->io.fd, addr, (unsigned int)len, pos, 0);
	} else {
		for (size_t i = 0; i < VECTORS; i++) {
			vectors[i].iov_base = addr + i * (len / VECTORS);
			vectors[i].iov_len = len / VECTORS;
		}
		io_uring_prep_rw(READV_FIXED, sqe, target->io.fd, vectors, VECTORS, pos);
		sqe->buf_index = 0;
	}
}

static int transfer(struct io_uring *ring, enum op op, const struct target *target, char *addr,
		    size_t len, uint64_t pos, struct reason *why)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	struct iovec vectors[VECTORS];
	struct io_uring_cqe *cqe;
	int ret;

	prepare(sqe, op, target, addr, len, pos, vectors);
	ret = io_uring_submit_and_wait(ring, 1);
	if (ret == 1)
		ret = io_uring_peek_cqe(ring, &cqe);
	if (ret)
		return because(why, "submitting %s: %s", op_names[op],
			       strerror(ret < 0 ? -ret : EIO));
	ret = cqe->res;
	io_uring_cqe_seen(ring, cqe);
	if (ret != (int)len)
		return because(why, "%s of %zu bytes: %s", op_names[op], len,
			       ret < 0 ? strerror(-ret) : "short");
	return 0;
}

/* Block @i of @blocks: the next one, or one drawn by a fixed sequence */
static uint64_t block(uint64_t i, uint64_t blocks, bool random)
{
	uint64_t x = (i + 1) * 0x9e3779b97f4a7c15ULL;

	return random ? (x >> 32) % blocks : i % blocks;
}

static int run_ios(struct io_uring *ring, const struct memory *mem, enum op op,
		   const struct target *target, size_t len, bool random, uint64_t *ns,
		   struct reason *why)
{
	*ns = UINT64_MAX;
	/* once untimed: what is allocated or read for the first time stays */
	for (int timed = 0; timed <= ROUNDS; timed++) {
		uint64_t start, took;

		settle();
		start = now_ns();
		for (uint64_t i = 0; i < IOS; i++) {
			size_t off = block(i, mem->size / len, random) * len;
			uint64_t pos = block(i + IOS, target->io.size / len, random) * len;

			if (transfer(ring, op, target, mem->addr + off, len, pos, why))
				return -1;
		}
		took = now_ns() - start;
		if (timed && took < *ns)
			*ns = took;
	}
	return 0;
}

static void print_result(const struct buffer *buffer, const struct target *target, enum op op,
			 size_t len, bool random, uint64_t ns)
{
	uint64_t value = (opt.icount < 0 ? ns : ns >> opt.icount) / IOS;
	const char *order = random ? "random" : "sequential";
	char size[32];

	passed++;
	printf("%-6s %-8s %-11s %7s %-10s %llu\n", buffer->name, target->name, op_names[op],
	       format_size(len, size, sizeof(size)), order, (unsigned long long)value);
	fflush(stdout);
	if (!opt.json)
		return;
	fprintf(opt.json, "{\"type\": \"io\", \"name\": \"%s/%s/%s/%zu/%s\", \"buffer\": \"%s\", "
		"\"target\": \"%s\", \"op\": \"%s\", \"bytes\": %zu, \"order\": \"%s\", "
		"\"ios\": %d, \"%s_per_io\": %llu}\n", buffer->name, target->name, op_names[op],
		len, order, buffer->name, target->name, op_names[op], len, order, IOS,
		opt.icount < 0 ? "ns" : "insn", (unsigned long long)value);
	fflush(opt.json);
}

static int run_target(struct io_uring *ring, const struct memory *mem, const struct buffer *buffer,
		      const struct target *target, struct reason *why)
{
	for (enum op op = 0; op < NR_OPS; op++)
		for (size_t i = 0; i < ARRAY_SIZE(lengths); i++)
			for (int random = 0; random < 2; random++) {
				uint64_t ns;

				if (run_ios(ring, mem, op, target, lengths[i], random, &ns, why))
					return -1;
				print_result(buffer, target, op, lengths[i], random, ns);
			}
	return 0;
}

static int run_buffer(const struct buffer *buffer, struct reason *why)
{
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
	iov.iov_base = mem.addr;
	iov.iov_len = mem.size;
	ret = io_uring_register_buffers(&ring, &iov, 1);
	if (ret)
		because(why, "io_uring_register_buffers: %s", strerror(-ret));
	for (unsigned int i = 0; !ret && i < nr_targets; i++)
		ret = run_target(&ring, &mem, buffer, &targets[i], why);
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

static void usage(FILE *out)
{
	fprintf(out,
		"Usage: %s [options] NAME=PATH...\n"
		"  --icount SHIFT     guest of qemu -icount shift=SHIFT: print instructions\n"
		"  --only NAME,...    only these buffers\n"
		"  --json FILE        results as a JSON object a line\n",
		program_invocation_short_name);
}

static void parse_options(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "icount", required_argument, NULL, 'i' },
		{ "only", required_argument, NULL, 'o' },
		{ "json", required_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ }
	};
	char *end;
	int c;

	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (c) {
		case 'i':
			opt.icount = (int)strtol(optarg, &end, 10);
			if (end == optarg || *end || opt.icount < 0 || opt.icount > 10)
				die("--icount wants a shift from 0 to 10, not '%s'", optarg);
			break;
		case 'o':
			opt.only = optarg;
			break;
		case 'j':
			opt.json = fopen(optarg, "we");
			if (!opt.json)
				die("%s: %s", optarg, strerror(errno));
			break;
		case 'h':
			usage(stdout);
			exit(0);
		default:
			usage(stderr);
			exit(2);
		}
	}
	if (optind == argc) {
		usage(stderr);
		exit(2);
	}
	while (optind < argc)
		open_target(argv[optind++]);
}

int main(int argc, char **argv)
{
	const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	struct vmstat before;
	struct reason why;

	if (setrlimit(RLIMIT_MEMLOCK, &unlimited))
		note("cannot raise RLIMIT_MEMLOCK: %s", strerror(errno));
	parse_options(argc, argv);
	for (size_t i = 0; i < ARRAY_SIZE(buffers); i++) {
		if (opt.only && !name_in_list(buffers[i].name, opt.only))
			continue;
		vmstat_start(&before);
		if (!run_buffer(&buffers[i], &why) && !vmstat_balanced(&before, &why))
			continue;
		failed++;
		printf("FAIL %s: %s\n", buffers[i].name, why.text);
	}
	while (nr_targets)
		io_target_close(&targets[--nr_targets].io);
	if (opt.json && fclose(opt.json))
		die("writing JSON: %s", strerror(errno));
	printf("%u passed, %u failed, 0 skipped\n", passed, failed);
	return failed || !passed ? 1 : 0;
}
