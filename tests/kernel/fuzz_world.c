// SPDX-License-Identifier: GPL-2.0
/* A sequence: where it happens, and what is done */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "caps.h"
#include "fuzz.h"
#include "pattern.h"
#include "zram.h"

#define MNT		"/mnt"
#define THP_SETTINGS	"/sys/kernel/mm/transparent_hugepage/"
#define TARGET_SIZE	(8 * MIB)

bool fuzz_verbose;

/* --- random numbers ---------------------------------------------------------------- */

static uint64_t op_random(struct op *op)
{
	uint64_t x = op->random += 0x9e3779b97f4a7c15ULL;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

unsigned int op_below(struct op *op, uint64_t n)
{
	return (unsigned int)(op_random(op) % n);
}

bool op_percent(struct op *op, unsigned int n)
{
	return op_below(op, 100) < n;
}

/* How often each is chosen */
static const unsigned char weights[OP_KINDS] = {
	[OP_MMAP] = 16, [OP_MUNMAP] = 6, [OP_MREMAP] = 8, [OP_MPROTECT] = 6,
	[OP_HUGEPAGE] = 2, [OP_NOHUGEPAGE] = 2, [OP_DONTNEED] = 5, [OP_COLLAPSE] = 4, [OP_COLD] = 2,
	[OP_PAGEOUT] = 4, [OP_PUNCH] = 4, [OP_TRUNCATE] = 5, [OP_WRITE] = 10, [OP_STAMP] = 10, [OP_FORK] = 4,
	[OP_EXIT] = 3, [OP_KILL] = 1, [OP_REGISTER] = 20, [OP_UPDATE] = 12, [OP_CLONE] = 10,
	[OP_UNREGISTER] = 5, [OP_CLOSE] = 3, [OP_REQUEST] = 6,
	[OP_REQUEST_LINK] = 6, [OP_REQUEST_CANCEL] = 7, [OP_REQUEST_CLOSE] = 2, [OP_RACE] = 5, [OP_READ_FIXED] = 12,
	[OP_WRITE_FIXED] = 12, [OP_READV_FIXED] = 9, [OP_WRITEV_FIXED] = 9, [OP_START_READ] = 4,
	[OP_END_READ] = 5, [OP_SEND_ZC] = 5, [OP_SENDMSG_ZC] = 5,
};

/* Half of the sequences do some operations more often, and others not at all. */
static void weigh(uint64_t seed, unsigned int *weight, unsigned int *sum)
{
	static const unsigned int times[] = { 0, 1, 1, 6 };
	struct op op = { .random = seed };
	bool plain = op_percent(&op, 50);

	*sum = 0;
	for (unsigned int i = 0; i < OP_KINDS; i++) {
		unsigned int n = OP_PICK(&op, times);

		if (plain || (!n && (i == OP_MMAP || i == OP_REGISTER)))
			n = 1;
		weight[i] = weights[i] * n;
		*sum += weight[i];
	}
}

void op_make(struct op *op, uint64_t seed, unsigned int step)
{
	static uint64_t weighed = UINT64_MAX;
	static unsigned int weight[OP_KINDS], sum;
	unsigned int n;

	if (weighed != seed) {
		weigh(seed, weight, &sum);
		weighed = seed;
	}
	op->random = seed * 0xd6e8feb86659fd93ULL + step * 0x2545f4914f6cdd1dULL;
	n = op_below(op, sum);
	/* Memory comes first. */
	if (step < 4)
		n = 0;
	for (op->kind = 0; n >= weight[op->kind]; op->kind++)
		n -= weight[op->kind];
	op->proc = op_percent(op, 65) ? 0 : op_below(op, PROCS);
}

/* --- what was done -------------------------------------------------------------------- */

void fuzz_log(struct world *world, const char *fmt, ...)
{
	struct shared *shared = world->shared;
	struct op op;
	va_list args;
	int len;

	op_make(&op, world->seed, shared->step);
	len = snprintf(shared->text + shared->text_len, TEXT_MAX - shared->text_len,
		       "  %4u: process %u: %s ", shared->step, world->self, op_names[op.kind]);
	if (len < 0 || shared->text_len + (size_t)len + 1 >= TEXT_MAX)
		return;
	va_start(args, fmt);
	len += vsnprintf(shared->text + shared->text_len + len,
			 TEXT_MAX - shared->text_len - (size_t)len, fmt, args);
	va_end(args);
	if (shared->text_len + (size_t)len + 2 >= TEXT_MAX) {
		shared->text[shared->text_len] = '\0';
		return;
	}
	if (fuzz_verbose) {
		printf("%s\n", shared->text + shared->text_len);
		fflush(stdout);
	}
	shared->text_len += (size_t)len;
	shared->text[shared->text_len++] = '\n';
	shared->text[shared->text_len] = '\0';
}

/* --- once -------------------------------------------------------------------------------- */

static int make_file(void)
{
	int fd = open(MNT "/file", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	char data[PAGE];

	if (fd < 0)
		die(MNT "/file: %s", strerror(errno));
	for (size_t pos = 0; pos < SLOT_PAGES * PAGE; pos += PAGE) {
		pattern_fill(data, PAGE, pos, FILE_SEED);
		if (write(fd, data, PAGE) != PAGE)
			die(MNT "/file: %s", strerror(errno));
	}
	if (fsync(fd))
		die(MNT "/file: %s", strerror(errno));
	return fd;
}

void fuzz_prepare(struct fuzz_setup *setup, const char *fs_device)
{
	static const char * const settings[] = {
		THP_SETTINGS "enabled", THP_SETTINGS "hugepages-64kB/enabled",
	};
	struct reason why;

	for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
		if (write_string(settings[i], "madvise"))
			die("cannot write %s", settings[i]);
	if (zram_swap_on("256M", &why))
		die("%s", why.text);
	mkdir(MNT, 0755);
	if (mount(fs_device, MNT, "ext4", 0, NULL))
		die("cannot mount %s: %s", fs_device, strerror(errno));
	setup->file = make_file();
	if (io_target_open(&setup->direct, MNT "/direct", TARGET_SIZE, &why))
		die("%s", why.text);
	setup->plain = (struct io_target){
		.name = "memory", .fd = memfd_create("plain", MFD_CLOEXEC), .size = TARGET_SIZE,
		.block = 1, .mem_align = 1,
	};
	if (setup->plain.fd < 0 || ftruncate(setup->plain.fd, TARGET_SIZE))
		die("memfd: %s", strerror(errno));
	setup->plain_data = mmap(NULL, TARGET_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
				 setup->plain.fd, 0);
	setup->shared = mmap(NULL, sizeof(*setup->shared), PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (setup->plain_data == MAP_FAILED || setup->shared == MAP_FAILED)
		die("mmap: %s", strerror(errno));
}

/* --- a sequence ---------------------------------------------------------------------------- */

static void init(struct world *world, const struct fuzz_setup *setup, uint64_t seed, uid_t uid)
{
	struct reason why;

	world->shared = setup->shared;
	world->seed = seed;
	/* Goes away with the sequence */
	world->shadows = mmap(NULL, SHADOWS * PAGE, PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	world->plain = setup->plain;
	world->plain_data = setup->plain_data;
	world->direct = setup->direct;
	world->file = setup->file;
	memset(world->fds, -1, sizeof(world->fds));
	world->folios = calloc(ARENA_PAGES, sizeof(*world->folios));
	world->bounce = aligned_alloc(PAGE, IO_MAX);
	world->expected = malloc(IO_MAX);
	if (world->shadows == MAP_FAILED || !world->folios || !world->bounce || !world->expected)
		die("out of memory");
	/* Charged like anyone else, but allowed to see where pages are */
	change_user(uid);
	set_capability(CAP_SYS_ADMIN, true);
	set_capability(CAP_DAC_OVERRIDE, true);
	charge_set_limit(GIB / PAGE);
	if (folios_open(&world->source, &why) || charge_probe_init(&world->probe, &why))
		die("%s", why.text);
	rings_init(world);
}

int fuzz_sequence(const struct fuzz_setup *setup, uint64_t seed, const unsigned int *steps,
		  unsigned int nr, uid_t uid, struct reason *why)
{
	static struct world world;

	init(&world, setup, seed, uid);
	for (unsigned int i = 0; i < nr && !world.shared->exhausted; i++)
		if (world_op(&world, steps[i], why))
			return -1;
	return world_end(&world, why);
}
