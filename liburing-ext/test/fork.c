/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * fork() of a program that has arenas, registered: it works, whatever the reserve of huge
 * pages, and the child has no copy; with IO_URING_EXT_ARENA_FORK it has the memory.
 */
#include "helpers.h"

#define HUGE	(32 * MiB)
#define PAGES	20

static struct io_uring_ext_error err;

static bool is_mapped(void *p)
{
	unsigned char vec;

	return !mincore(p, 1, &vec);
}

/* In the child: 0, or what is wrong. */
static int look(struct io_uring_ext_arena *a, bool kept)
{
	char *base = io_uring_ext_arena_base(a), *other = NULL;

	if (is_mapped(base) != kept)
		return 2;
	if (kept && base[4096] != 'x')
		return 3;
	/* Freeing it does not touch what is there by now */
	if (!kept)
		other = mmap(base, 4096, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	io_uring_ext_arena_free(a);
	return is_mapped(base) != !!other ? 4 : 0;
}

/* What a child sees of the arena; -1: there was no child. */
static int child_sees(struct io_uring_ext_arena *a, bool kept)
{
	int *seen = mmap(NULL, sizeof(*seen), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status, ret;
	pid_t pid;

	CHECK(seen != MAP_FAILED);
	*seen = 1;
	fflush(NULL);
	pid = fork();
	if (pid < 0) {
		fprintf(stderr, "fork: %s\n", strerror(errno));
		return -1;
	}
	if (!pid) {
		*seen = look(a, kept);
		t_end_child();
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	ret = *seen;
	munmap(seen, sizeof(*seen));
	return ret;
}

static void check(enum io_uring_ext_mem mem, size_t size, __u32 flags)
{
	bool kept = flags & IO_URING_EXT_ARENA_FORK;
	struct io_uring_ext_arena_params p = { .size = size, .mem = mem,
		.flags = flags | IO_URING_EXT_ARENA_PREFAULT };
	struct io_uring_ext_arena *a;
	struct io_uring_ext_pool *pool;
	struct io_uring_ext_ring *r;
	struct io_uring ring;
	char *base;

	if (!t_may_lock(size, "a larger arena"))
		return;
	if (io_uring_ext_arena_alloc(&a, &p, &err)) {
		fprintf(stderr, "not tried: %s\n", err.text);
		return;
	}
	base = io_uring_ext_arena_base(a);
	base[4096] = 'x';
	CHECK_OK(io_uring_ext_pool_create(&pool, NULL, &err), err);
	CHECK_OK(io_uring_ext_pool_add_arena(pool, a, 0, &err), err);
	t_ring(&ring, 4, 0);
	CHECK_OK(io_uring_ext_ring_attach(&r, pool, &ring, 0, &err), err);
	CHECK_EQ(child_sees(a, kept), 0);
	CHECK_EQ(base[4096], 'x');
	CHECK_EQ(io_uring_ext_ring_detach(r), 0);
	CHECK_EQ(io_uring_ext_pool_destroy(pool), 0);
	io_uring_queue_exit(&ring);
	io_uring_ext_arena_free(a);
	CHECK(!is_mapped(base));
}

static void small(void *arg)
{
	(void)arg;
	check(IO_URING_EXT_MEM_BASE, 256 * KiB, 0);
	check(IO_URING_EXT_MEM_BASE, 256 * KiB, IO_URING_EXT_ARENA_FORK);
	check(IO_URING_EXT_MEM_BASE, 256 * KiB, IO_URING_EXT_ARENA_MEMFD);
	check(IO_URING_EXT_MEM_BASE, 256 * KiB,
	      IO_URING_EXT_ARENA_MEMFD | IO_URING_EXT_ARENA_FORK);
}

int main(void)
{
	if (t_valgrind())
		t_skip("valgrind keeps an account of mappings of its own");
	small(NULL);
	check(IO_URING_EXT_MEM_THP, 16 * MiB, 0);
	if (t_reserve_huge(2 * MiB, PAGES))
		check(IO_URING_EXT_MEM_HUGE_2M, HUGE, 0);
	else
		fprintf(stderr, "%d huge pages cannot be had\n", PAGES);
	return t_as_nobody(2 * MiB, small, NULL);
}
