// SPDX-License-Identifier: GPL-2.0
/* Memory that is wanted elsewhere: reclaim and swap, CMA, hot-remove. */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/swap.h>
#include <sys/time.h>
#include <unistd.h>

#include "pattern.h"
#include "stress.h"

#define GROUP		"stress"
#define BLOCKS		"/sys/devices/system/memory/"
#define ZRAM		"/sys/block/zram0/"

/* --- swap ------------------------------------------------------------------------------ */

#define WINDOW		MIB
#define WINDOWS		24
#define SWAP_LIMIT	"14M"

struct windows {
	char *area;
	uint64_t seeds[WINDOWS];
	uint64_t rng;
};

/* What mkswap writes; see union swap_header in the kernel */
int stress_swap_on(struct reason *why)
{
	static bool on;
	static union {
		char page[4096];
		struct {
			char boot[1024];
			uint32_t version, last_page, nr_bad;
		};
	} header;
	int fd;

	if (on)
		return 0;
	if (write_string(ZRAM "disksize", "128M"))
		return because(why, "no zram");
	header.version = 1;
	header.last_page = 128 * MIB / PAGE - 1;
	memcpy(header.page + 4086, "SWAPSPACE2", 10);
	fd = open("/dev/zram0", O_RDWR | O_CLOEXEC);
	if (fd < 0 || write(fd, &header, sizeof(header)) != sizeof(header) || fsync(fd))
		return because(why, "/dev/zram0: %s", strerror(errno));
	close(fd);
	if (swapon("/dev/zram0", 0))
		return because(why, "swapon: %s", strerror(errno));
	on = true;
	return 0;
}

/* Others are looked at, which puts those that were not looked at for long into swap. */
static void touch_windows(void *arg)
{
	struct windows *w = arg;

	for (int i = 0; i < 6; i++) {
		volatile char *window = w->area + rng_below(&w->rng, WINDOWS) * WINDOW;

		for (size_t off = 0; off < WINDOW; off += PAGE)
			(void)window[off];
	}
}

static int swap_body(struct stress *stress, struct reason *why)
{
	struct windows w = { .rng = stress->rng };
	uint64_t in = vmstat_key("pswpin"), out = vmstat_key("pswpout");
	struct pinner pinner;
	int ret = 0;

	pinner_init(&pinner, WINDOW / PAGE);
	w.area = mmap(NULL, (WINDOWS + 2) * WINDOW, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (w.area == MAP_FAILED)
		die("out of memory");
	w.area = (char *)ALIGN_UP((uintptr_t)w.area, HUGE_PAGE);
	madvise(w.area, WINDOWS / 2 * WINDOW, MADV_HUGEPAGE);
	for (size_t i = 0; i < WINDOWS; i++)
		pattern_fill(w.area + i * WINDOW, WINDOW, 0, w.seeds[i] = i + 1);
	while (!ret && stress_again(stress)) {
		size_t i = rng_below(&w.rng, WINDOWS);
		uint64_t seed = rng_next(&w.rng);

		/* It is not touched before: registration has to bring it in. */
		ret = stress_use(&pinner, w.area + i * WINDOW, WINDOW, w.seeds[i], seed,
				 touch_windows, &w, why);
		w.seeds[i] = seed;
	}
	for (size_t i = 0; !ret && i < WINDOWS; i++)
		if (pattern_check(w.area + i * WINDOW, WINDOW, 0, w.seeds[i]) != WINDOW)
			ret = because(why, "window %zu has lost its data in the end", i);
	pinner_exit(&pinner);
	in = vmstat_key("pswpin") - in;
	out = vmstat_key("pswpout") - out;
	stress->effects = in < out ? in : out;
	snprintf(stress->detail, sizeof(stress->detail), "%llu pages to swap, %llu back",
		 (unsigned long long)out, (unsigned long long)in);
	return ret;
}

int stress_swap(struct stress *stress, struct reason *why)
{
	int ret;

	if (stress_swap_on(why) || group_make(GROUP, why))
		return 1;
	group_write(GROUP, "memory.swap.max", "max");
	/*
	 * Not memory.max: while all pages are looked at all the time, reclaim may find none
	 * that is old, and the process is killed, on stock as well.
	 */
	if (group_write(GROUP, "memory.high", SWAP_LIMIT))
		return because(why, "cannot set memory.high");
	ret = stress_child(stress, GROUP, why, swap_body);
	group_remove(GROUP);
	return ret;
}

/* --- memory that somebody wants to have free -------------------------------------------- */

#define AREA		(8 * MIB)

/* A thread that takes memory away while buffers come and go */
struct taker {
	pthread_t thread;
	atomic_bool stop;
	atomic_ulong taken, refused;
	uint64_t rng;
};

static void ignore_signal(int sig)
{
	(void)sig;
}

static void taker_start(struct taker *taker, void *(*function)(void *), uint64_t rng)
{
	sigset_t set;

	memset(taker, 0, sizeof(*taker));
	taker->rng = rng;
	if (pthread_create(&taker->thread, NULL, function, taker))
		die("pthread_create failed");
	/* The alarm is the thread's. */
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void taker_end(struct taker *taker)
{
	sigset_t set;

	taker->stop = true;
	pthread_join(taker->thread, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* Buffers in fresh memory, again and again. Returns with the last one registered. */
static int use_areas(struct stress *stress, struct pinner *pinner, char **area,
		     struct reason *why)
{
	uint64_t seed;
	int ret = 0;

	*area = NULL;
	while (!ret && stress_again(stress)) {
		if (*area)
			munmap(*area, AREA + HUGE_PAGE);
		*area = mmap(NULL, AREA + HUGE_PAGE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (*area == MAP_FAILED)
			die("out of memory");
		if (stress->rounds % 2)
			madvise(*area, AREA + HUGE_PAGE, MADV_HUGEPAGE);
		seed = rng_next(&stress->rng);
		pattern_fill(*area, AREA, 0, seed);
		ret = stress_use(pinner, *area, AREA, seed, ~seed, NULL, NULL, why);
	}
	if (ret)
		return ret;
	pattern_fill(*area, AREA, 0, 1);
	ret = pin_hold(pinner, PIN_IO_URING, *area, AREA / PAGE, true);
	return ret ? because(why, "registering: %s", strerror(-ret)) : 0;
}

/* The buffer that use_areas() left is still what it was. */
static int release_area(struct pinner *pinner, char *area, struct reason *why)
{
	int ret = pin_read(pinner), ret2;

	if (ret)
		because(why, "WRITE_FIXED: %s", strerror(-ret));
	else if (pattern_check(pinner->copy, AREA, 0, 1) != AREA ||
		 pattern_check(area, AREA, 0, 1) != AREA)
		ret = because(why, "the buffer that was held has lost its data");
	ret2 = pin_release(pinner);
	munmap(area, AREA + HUGE_PAGE);
	return ret ? ret : ret2 ? because(why, "unregistering: %s", strerror(-ret2)) : 0;
}

/* --- CMA ------------------------------------------------------------------------------- */

static char cma_dir[128];

static int cma_write(const char *name, uint64_t pages)
{
	char path[192], text[32];

	snprintf(path, sizeof(path), "%s/%s", cma_dir, name);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)pages);
	return write_string(path, text);
}

static uint64_t cma_pages(void)
{
	char path[192], line[32];

	snprintf(path, sizeof(path), "%s/count", cma_dir);
	if (read_line(path, line, sizeof(line)))
		die("cannot read %s", path);
	return strtoull(line, NULL, 0);
}

static void *cma_taker(void *arg)
{
	struct taker *taker = arg;
	uint64_t most = cma_pages() / 4;

	while (!taker->stop) {
		uint64_t pages = 1 + rng_below(&taker->rng, most);

		if (cma_write("alloc", pages)) {
			taker->refused++;
		} else {
			taker->taken++;
			cma_write("free", pages);
		}
		usleep(1000);
	}
	return NULL;
}

int stress_cma(struct stress *stress, struct reason *why)
{
	uint64_t moved = vmstat_key("pgmigrate_success"), pages;
	struct pinner pinner;
	struct taker taker;
	glob_t areas;
	char *area;
	int ret;

	if (glob("/sys/kernel/debug/cma/*", 0, NULL, &areas)) {
		because(why, "no CMA area: boot with cma=");
		return 1;
	}
	snprintf(cma_dir, sizeof(cma_dir), "%s", areas.gl_pathv[0]);
	globfree(&areas);
	pinner_init(&pinner, AREA / PAGE);
	taker_start(&taker, cma_taker, stress->rng);
	ret = use_areas(stress, &pinner, &area, why);
	taker_end(&taker);
	/* With a buffer registered, half of it at once: nothing pinned is in it. */
	pages = cma_pages() / 2;
	for (int i = 0; !ret && cma_write("alloc", pages); i++) {
		if (i == 10)
			ret = because(why, "half of CMA cannot be had with a buffer registered");
		usleep(100000);
	}
	if (!ret) {
		cma_write("free", pages);
		ret = release_area(&pinner, area, why);
	}
	pinner_exit(&pinner);
	moved = vmstat_key("pgmigrate_success") - moved;
	stress->effects = moved && taker.taken ? taker.taken : 0;
	snprintf(stress->detail, sizeof(stress->detail),
		 "%lu allocations, %lu refused, %llu pages moved", taker.taken, taker.refused,
		 (unsigned long long)moved);
	return ret;
}

/* --- hot-remove ------------------------------------------------------------------------ */

#define MAX_BLOCKS	64

static unsigned int movable[MAX_BLOCKS], nr_movable;

static int block_write(unsigned int block, const char *state)
{
	char path[128];

	snprintf(path, sizeof(path), BLOCKS "memory%u/state", block);
	return write_string(path, state);
}

static bool block_is(unsigned int block, const char *file, const char *what)
{
	char path[128], line[64];

	snprintf(path, sizeof(path), BLOCKS "memory%u/%s", block, file);
	return !read_line(path, line, sizeof(line)) && strstr(line, what);
}

/* The kernel tries until it succeeds or a signal comes. */
static int block_offline(unsigned int block, unsigned int seconds)
{
	struct itimerval timer = { .it_value.tv_sec = seconds }, off = { };
	int ret;

	setitimer(ITIMER_REAL, &timer, NULL);
	ret = block_write(block, "offline");
	setitimer(ITIMER_REAL, &off, NULL);
	return ret;
}

static void must_online(unsigned int block)
{
	if (block_write(block, "online_movable"))
		die("memory%u does not come back", block);
}

/* Those that can go as long as nobody minds: some have a page that the firmware keeps. */
static void find_movable_blocks(void)
{
	nr_movable = 0;
	for (unsigned int i = 0; i < 512 && nr_movable < MAX_BLOCKS; i++) {
		if (!block_is(i, "state", "online") || !block_is(i, "valid_zones", "Movable") ||
		    block_offline(i, 20))
			continue;
		must_online(i);
		movable[nr_movable++] = i;
	}
}

static void *offline_taker(void *arg)
{
	struct taker *taker = arg;

	while (!taker->stop) {
		unsigned int block = movable[rng_below(&taker->rng, nr_movable)];

		if (block_offline(block, 20)) {
			taker->refused++;
		} else {
			taker->taken++;
			must_online(block);
		}
		usleep(1000);
	}
	return NULL;
}

static uint64_t block_bytes(void)
{
	char line[32];

	if (read_line(BLOCKS "block_size_bytes", line, sizeof(line)))
		die("no memory blocks");
	return strtoull(line, NULL, 16);
}

static unsigned int block_of(const char *addr)
{
	uint64_t entry = 0;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || pread(fd, &entry, 8, (off_t)((uintptr_t)addr / PAGE * 8)) != 8 ||
	    !(entry >> 63))
		die("/proc/self/pagemap: %s", strerror(errno));
	close(fd);
	return (unsigned int)((entry & ((1ULL << 55) - 1)) * PAGE / block_bytes());
}

/* A block with a buffer in it stays, and says so. */
static int block_stays(unsigned int block, struct reason *why)
{
	int ret;

	for (unsigned int i = 0; i < nr_movable; i++)
		if (movable[i] == block)
			return because(why, "a buffer is pinned in memory%u, which is movable",
				       block);
	ret = block_offline(block, 2);
	if (!ret)
		return because(why, "memory%u went offline with a buffer in it", block);
	/* Busy for ever, or it cannot go anyway: holes, the kernel's own memory. */
	if (ret != -EINTR && ret != -EBUSY && ret != -EINVAL)
		return because(why, "memory%u: %s", block, strerror(-ret));
	if (!block_is(block, "state", "online"))
		return because(why, "memory%u is not online any more", block);
	return 0;
}

/* While a buffer is registered, blocks that it is not in can go. */
static int offline_held(const char *area, unsigned int *gone, struct reason *why)
{
	unsigned int last = UINT_MAX;
	int ret;

	for (size_t off = 0; off < AREA; off += HUGE_PAGE) {
		unsigned int block = block_of(area + off);

		if (block != last && block_stays(block, why))
			return -1;
		last = block;
	}
	for (unsigned int i = 0; i < nr_movable; i++) {
		ret = block_offline(movable[i], 60);
		if (ret)
			return because(why, "memory%u cannot go offline, with no buffer in it: %s",
				       movable[i], strerror(-ret));
		(*gone)++;
		must_online(movable[i]);
	}
	return 0;
}

int stress_offline(struct stress *stress, struct reason *why)
{
	uint64_t moved = vmstat_key("pgmigrate_success");
	struct sigaction action = { .sa_handler = ignore_signal };
	unsigned int gone = 0;
	struct pinner pinner;
	struct taker taker;
	char *area;
	int ret;

	sigaction(SIGALRM, &action, NULL);
	find_movable_blocks();
	if (!nr_movable) {
		because(why, "no movable memory: boot with movablecore=");
		return 1;
	}
	pinner_init(&pinner, AREA / PAGE);
	taker_start(&taker, offline_taker, stress->rng);
	ret = use_areas(stress, &pinner, &area, why);
	taker_end(&taker);
	if (!ret)
		ret = offline_held(area, &gone, why);
	if (!ret)
		ret = release_area(&pinner, area, why);
	pinner_exit(&pinner);
	moved = vmstat_key("pgmigrate_success") - moved;
	stress->effects = moved ? taker.taken : 0;
	snprintf(stress->detail, sizeof(stress->detail),
		 "%lu times a block went, %lu refused, %u of %u with a buffer held, "
		 "%llu pages moved", taker.taken, taker.refused, gone, nr_movable,
		 (unsigned long long)moved);
	return ret;
}
