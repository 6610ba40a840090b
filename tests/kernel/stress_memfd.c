// SPDX-License-Identifier: GPL-2.0
/* Ranges of a memfd, while its pages are moved, swapped, split and put together. */
#include <errno.h>
#include <glob.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "stress.h"
#include "uring.h"
#include "vmstat.h"

#define PAGES		1536
#define SIZE		(PAGES * PAGE)
#define HUGE_PAGES	(HUGE_PAGE / PAGE)
#define SIZES		"/sys/kernel/mm/transparent_hugepage/hugepages-*/shmem_enabled"
#define SPLIT		"/sys/kernel/debug/split_huge_pages"
#define MADV_TOGETHER	25		/* MADV_COLLAPSE, newer than the headers */
#define MOVE		(1 << 1)	/* MPOL_MF_MOVE */
#define LONG		10.0		/* seconds */
#define MOVED		64UL		/* at a time */

struct memfd {
	struct io_uring ring;
	int fd, copy;
	char *map;
	char *copied;
	atomic_bool stop;
	uint64_t rng;
};

/* Folios of other sizes than before for what comes next */
static void choose_sizes(const char *value, uint64_t *rng)
{
	glob_t found;

	if (glob(SIZES, 0, NULL, &found))
		return;
	for (size_t i = 0; i < found.gl_pathc; i++)
		write_string(found.gl_pathv[i], rng && rng_below(rng, 3) ? "never" : value);
	globfree(&found);
}

static void move_pages_of(char *start, size_t nr, uint64_t *rng)
{
	void *pages[MOVED];
	int nodes[MOVED], status[MOVED];

	nr = nr < MOVED ? nr : MOVED;
	for (size_t i = 0; i < nr; i++) {
		pages[i] = start + i * PAGE;
		nodes[i] = (int)rng_below(rng, 2);
	}
	syscall(SYS_move_pages, 0, nr, pages, nodes, status, MOVE);
}

static void *disturb(void *arg)
{
	struct memfd *m = arg;
	uint64_t rng = m->rng + 1;

	while (!atomic_load(&m->stop)) {
		size_t first = rng_below(&rng, PAGES);
		size_t nr = 1 + rng_below(&rng, rng_below(&rng, 4) ? 32 : 600);
		char *start = m->map + first * PAGE, text[128];

		nr = nr < PAGES - first ? nr : PAGES - first;
		switch (rng_below(&rng, 5)) {
		case 0:
			madvise(start, nr * PAGE, MADV_PAGEOUT);
			break;
		case 1:
			madvise(m->map + ALIGN_DOWN(first, HUGE_PAGES) * PAGE, HUGE_PAGE, MADV_TOGETHER);
			break;
		case 2:
			move_pages_of(start, nr, &rng);
			break;
		case 3:
			snprintf(text, sizeof(text), "%d,%#lx,%#lx,%d", getpid(), (unsigned long)start,
				 (unsigned long)(start + nr * PAGE), (int)rng_below(&rng, 5));
			write_string(SPLIT, text);
			break;
		default:
			choose_sizes("always", &rng);
		}
	}
	return NULL;
}

/* What is written to the file before, and after it is registered, is what a request finds. */
static int use_range(struct memfd *m, struct reason *why)
{
	size_t first = rng_below(&m->rng, PAGES);
	size_t nr = 1 + rng_below(&m->rng, rng_below(&m->rng, 2) ? 24 : PAGES);
	uint32_t mark = (uint32_t)rng_next(&m->rng);
	struct uring_desc desc = { .type = URING_DESC_MEMFD, .memfd = m->fd, .offset = first * PAGE };
	struct io_uring_sqe *sqe;
	int ret;

	nr = nr < PAGES - first ? nr : PAGES - first;
	desc.size = nr * PAGE;
	ret = uring_update_descs(&m->ring, 0, &desc, 1);
	if (ret != 1)
		return because(why, "%zu pages at %zu: %s", nr, first, strerror(-ret));
	for (size_t i = 0; i < nr; i++)
		((volatile uint32_t *)(m->map + (first + i) * PAGE))[1] = mark + (uint32_t)i;
	sqe = io_uring_get_sqe(&m->ring);
	/* The buffer's address is 0 */
	io_uring_prep_write_fixed(sqe, m->copy, NULL, (unsigned int)(nr * PAGE), 0, 0);
	ret = uring_one(&m->ring);
	if (ret != (int)(nr * PAGE))
		return because(why, "a request of %zu pages: %d", nr, ret);
	for (size_t i = 0; i < nr; i++) {
		const uint32_t *have = (const uint32_t *)(m->copied + i * PAGE);

		if (have[0] != first + i || have[1] != mark + (uint32_t)i)
			return because(why, "page %zu of %zu at %zu: %x and %x instead of %zx and %x", i,
				       nr, first, have[0], have[1], first + i, mark + (uint32_t)i);
	}
	/* Else the next one takes its place */
	if (rng_below(&m->rng, 2)) {
		struct uring_desc empty = { .type = URING_DESC_EMPTY };

		uring_update_descs(&m->ring, 0, &empty, 1);
	}
	return 0;
}

static void files_open(struct memfd *m)
{
	char *place = mmap(NULL, SIZE + HUGE_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	m->fd = memfd_create("stress", MFD_CLOEXEC);
	m->copy = memfd_create("copy", MFD_CLOEXEC);
	if (place == MAP_FAILED || m->fd < 0 || m->copy < 0 || ftruncate(m->fd, SIZE) ||
	    ftruncate(m->copy, SIZE))
		die("a memfd: %s", strerror(errno));
	m->map = mmap((char *)ALIGN_UP((uintptr_t)place, HUGE_PAGE), SIZE, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_FIXED, m->fd, 0);
	m->copied = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, m->copy, 0);
	if (m->map == MAP_FAILED || m->copied == MAP_FAILED)
		die("mmap: %s", strerror(errno));
	for (uint32_t i = 0; i < PAGES; i++)
		*(uint32_t *)(m->map + i * PAGE) = i;
}

static int memfd_body(struct stress *stress, struct reason *why)
{
	static const char * const keys[] = { "pswpout", "pgmigrate_success", "thp_split_page" };
	struct memfd m = { .rng = stress->rng };
	uint64_t counts[ARRAY_SIZE(keys)];
	struct uring_desc probe = { .type = URING_DESC_MEMFD, .size = PAGE };
	pthread_t thread;
	int ret;

	ret = io_uring_queue_init(4, &m.ring, 0);
	if (!ret)
		ret = uring_buffers(&m.ring, NULL, 1, URING_RSRC_SPARSE);
	if (ret)
		die("a ring: %s", strerror(-ret));
	choose_sizes("always", NULL);
	files_open(&m);
	probe.memfd = m.fd;
	if (uring_update_descs(&m.ring, 0, &probe, 1) != 1)
		return -because(why, "the kernel registers no memfd");
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		counts[i] = vmstat_key(keys[i]);
	if (pthread_create(&thread, NULL, disturb, &m))
		die("no thread");
	while (!ret && stress_again(stress))
		ret = use_range(&m, why);
	atomic_store(&m.stop, true);
	pthread_join(thread, NULL);
	choose_sizes("never", NULL);
	io_uring_queue_exit(&m.ring);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		counts[i] = vmstat_key(keys[i]) - counts[i];
	/* Each of these, but where there is only time for some */
	if (stress->seconds < LONG)
		stress->effects = counts[0] + counts[1] + counts[2];
	else
		stress->effects = counts[0] && counts[1] ? counts[2] : 0;
	snprintf(stress->detail, sizeof(stress->detail), "%llu pages to swap, %llu moved, %llu split",
		 (unsigned long long)counts[0], (unsigned long long)counts[1],
		 (unsigned long long)counts[2]);
	return ret;
}

int stress_memfd(struct stress *stress, struct reason *why)
{
	struct vmstat before;
	int ret = stress_swap_on(why);

	if (ret)
		return ret;
	vmstat_read(&before);
	ret = stress_child(stress, NULL, why, memfd_body);
	return ret ? ret : stress_released(&before, why);
}
