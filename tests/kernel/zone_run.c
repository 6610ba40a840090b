// SPDX-License-Identifier: GPL-2.0
/*
 * zone_run: memory that must not be pinned for long where it is moves away before it is.
 *
 * Memory in ZONE_MOVABLE (boot with movablecore=) or in a CMA area (cma=) is pinned in every way
 * there is. Afterwards no page of it may be there any more, and the data must be right, in memory
 * and through the pin. The buffers are larger than what is migrated at a time.
 *
 * Then a pipe holds one page of the memory, so that this page cannot move. Pinning has to give up
 * after few attempts to migrate it, leave nothing pinned, and succeed as soon as the pipe is
 * empty.
 *
 * Prints TAP and a line "N passed, N failed, N skipped". How each attempt ended is in lines
 * "# outcome:", for comparison with another kernel.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "folios.h"
#include "pattern.h"
#include "race_pin.h"
#include "vmstat.h"

#define THP_DIR		"/sys/kernel/mm/transparent_hugepage/"
#define MIN_SIZE	(4 * MIB)
#define MAX_SIZE	(64 * MIB)
/* More attempts than that for one folio are a loop that goes on for who knows how long. */
#define MAX_FAILURES	8
#define MAX_RANGES	16

static const struct memory_kind {
	const char *name;
	const char *thp_size;		/* as in sysfs, or NULL */
	unsigned int folio_pages;
} kinds[] = {
	{ "4K pages", NULL, 1 },
	{ "64K folios", "64kB", 16 },
	{ "THP", "2048kB", 512 },
};

static struct pfn_range {
	uint64_t start, end;
} ranges[MAX_RANGES];
static size_t nr_ranges;

static struct pinner pinner;
static char *memory;
static size_t size = MAX_SIZE, nr_pages;
static unsigned int passed, failed, skipped, number;

static void add_range(uint64_t start, uint64_t nr)
{
	if (!nr)
		return;
	if (nr_ranges == MAX_RANGES)
		die("more than %d ranges", MAX_RANGES);
	ranges[nr_ranges++] = (struct pfn_range){ start, start + nr };
}

static uint64_t read_number(const char *dir, const char *name)
{
	char path[256], line[64];
	int ret;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	ret = read_line(path, line, sizeof(line));
	if (ret)
		die("%s: %s", path, strerror(-ret));
	return strtoull(line, NULL, 0);
}

static void find_cma(void)
{
	glob_t areas;

	if (glob("/sys/kernel/debug/cma/*", 0, NULL, &areas))
		return;
	for (size_t i = 0; i < areas.gl_pathc; i++)
		add_range(read_number(areas.gl_pathv[i], "base_pfn"),
			  read_number(areas.gl_pathv[i], "count"));
	globfree(&areas);
}

static bool in_ranges(uint64_t pfn)
{
	for (size_t i = 0; i < nr_ranges; i++)
		if (pfn >= ranges[i].start && pfn < ranges[i].end)
			return true;
	return false;
}

/* From page @from on; @first returns one of them. */
static uint64_t pages_in_ranges(size_t from, size_t *first)
{
	static uint64_t entries[MAX_SIZE / PAGE];
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t count = 0;

	if (fd < 0 || pread(fd, entries, nr_pages * 8, (off_t)((uintptr_t)memory / PAGE * 8)) !=
	    (ssize_t)nr_pages * 8)
		die("/proc/self/pagemap: %s", strerror(errno));
	close(fd);
	for (size_t i = from; i < nr_pages; i++) {
		if (!(entries[i] >> 63))
			die("page %zu is not there", i);
		if (in_ranges(entries[i] & ((1ULL << 55) - 1))) {
			if (!count++)
				*first = i;
		}
	}
	return count;
}

static void set_thp(const char *thp_size, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), THP_DIR "hugepages-%s/enabled", thp_size);
	if (write_string(path, value))
		die("cannot write %s to %s", value, path);
}

static void memory_fill(const struct memory_kind *kind, uint64_t seed)
{
	if (mmap(memory, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		 0) == MAP_FAILED)
		die("out of memory");
	set_thp("2048kB", "never");
	set_thp("64kB", "never");
	if (kind->thp_size) {
		set_thp(kind->thp_size, "madvise");
		madvise(memory, size, MADV_HUGEPAGE);
	}
	pattern_fill(memory, size, 0, seed);
}

static int check_data(const char *data, const char *what, uint64_t seed, struct reason *why)
{
	size_t good = pattern_check(data, size, 0, seed);

	if (good == size)
		return 0;
	return because(why, "%s: byte %zu is not what was written", what, good);
}

static int migrated(const struct memory_kind *kind, enum pin_way way, struct reason *why)
{
	uint64_t seed = (uint64_t)number + 1, before, after;
	size_t first = 0;
	int ret, ret2;

	memory_fill(kind, seed);
	before = pages_in_ranges(0, &first);
	if (before <= nr_pages / 4)
		return because(why, "only %llu of %zu pages are where they cannot stay",
			       (unsigned long long)before, nr_pages);
	ret = pin_hold(&pinner, way, memory, nr_pages, true);
	printf("# outcome: %s, %s: %s\n", kind->name, pin_way_names[way],
	       ret ? errno_name(-ret) : "ok");
	if (ret)
		return because(why, "pinning: %s", strerror(-ret));
	after = pages_in_ranges(0, &first);
	note("%s, %s: %llu of %zu pages had to move, %llu are left", kind->name,
	     pin_way_names[way], (unsigned long long)before, nr_pages, (unsigned long long)after);
	if (after)
		ret = because(why, "page %zu and %llu others are pinned where they were", first,
			      (unsigned long long)after - 1);
	if (!ret)
		ret = check_data(memory, "memory", seed, why);
	if (!ret && pin_read(&pinner))
		ret = because(why, "reading through the pin fails");
	if (!ret)
		ret = check_data(pinner.copy, "what is pinned", seed, why);
	if (!ret && pinner.writes[way]) {
		pattern_fill(pinner.copy, size, 0, ~seed);
		if (pin_write(&pinner))
			ret = because(why, "writing through the pin fails");
		else
			ret = check_data(memory, "written through the pin", ~seed, why);
	}
	ret2 = pin_release(&pinner);
	if (!ret && ret2)
		ret = because(why, "releasing: %s", strerror(-ret2));
	return ret;
}

/* One page in a pipe: whoever wants to migrate it finds one reference too many. */
static int held(const struct memory_kind *kind, enum pin_way way, struct reason *why)
{
	uint64_t seed = (uint64_t)number + 1, failures, now_failures, start, ns;
	size_t page = 0;
	struct vmstat stat;
	struct iovec iov;
	char byte[PAGE];
	int pipe_fds[2], ret;

	memory_fill(kind, seed);
	/* Not among those that are migrated first. */
	if (!pages_in_ranges(nr_pages / 2 + 100, &page))
		return because(why, "no page is where it cannot stay");
	vmstat_start(&stat);
	if (pipe2(pipe_fds, O_CLOEXEC))
		die("pipe: %s", strerror(errno));
	iov.iov_base = memory + page * PAGE;
	iov.iov_len = PAGE;
	if (vmsplice(pipe_fds[1], &iov, 1, 0) != (ssize_t)PAGE)
		die("vmsplice: %s", strerror(errno));

	read_key("/proc/vmstat", "pgmigrate_fail", &failures);
	start = now_ns();
	ret = pin_hold(&pinner, way, memory, nr_pages, true);
	ns = now_ns() - start;
	read_key("/proc/vmstat", "pgmigrate_fail", &now_failures);
	failures = now_failures - failures;
	printf("# outcome: %s, %s, page held: %s\n", kind->name, pin_way_names[way],
	       ret ? errno_name(-ret) : "ok");
	note("%s, %s: page %zu in a pipe: %s after %llu ms, pgmigrate_fail %llu", kind->name,
	     pin_way_names[way], page, ret ? errno_name(-ret) : "ok",
	     (unsigned long long)ns / 1000000, (unsigned long long)failures);
	if (!ret) {
		pin_release(&pinner);
		ret = because(why, "a page that cannot move is pinned");
	} else {
		ret = 0;
	}
	if (!ret && failures > MAX_FAILURES * kind->folio_pages)
		ret = because(why, "%llu attempts to migrate pages failed",
			      (unsigned long long)failures);
	if (!ret)
		ret = vmstat_balanced(&stat, why);

	if (read(pipe_fds[0], byte, PAGE) != (ssize_t)PAGE)
		die("reading the pipe: %s", strerror(errno));
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	if (ret)
		return ret;
	ret = pin_hold(&pinner, way, memory, nr_pages, true);
	printf("# outcome: %s, %s, page no longer held: %s\n", kind->name, pin_way_names[way],
	       ret ? errno_name(-ret) : "ok");
	if (ret)
		return because(why, "pinning what is no longer held: %s", strerror(-ret));
	if (pages_in_ranges(0, &page))
		ret = because(why, "page %zu is pinned where it was", page);
	else
		ret = check_data(memory, "memory", seed, why);
	pin_release(&pinner);
	return ret;
}

static void run(const char *name, const struct memory_kind *kind, enum pin_way way,
		int (*test)(const struct memory_kind *kind, enum pin_way way, struct reason *why))
{
	struct reason why = { "" };
	struct vmstat before;
	int ret;

	if (!pinner.works[way]) {
		printf("ok %u %s, %s, %s # SKIP not in this kernel\n", ++number, name, kind->name,
		       pin_way_names[way]);
		skipped++;
		return;
	}
	vmstat_start(&before);
	ret = test(kind, way, &why);
	if (!ret)
		ret = vmstat_balanced(&before, &why);
	printf("%s %u %s, %s, %s%s%s\n", ret ? "not ok" : "ok", ++number, name, kind->name,
	       pin_way_names[way], ret ? " # " : "", ret ? why.text : "");
	passed += !ret;
	failed += !!ret;
}

int main(int argc, char **argv)
{
	struct reason why;
	uint64_t wanted = MAX_SIZE;

	if (argc < 2 || argc > 3 || (strcmp(argv[1], "movable") && strcmp(argv[1], "cma")) ||
	    (argc == 3 && parse_size(argv[2], &wanted)) || wanted < MIN_SIZE ||
	    wanted > MAX_SIZE || wanted % (2 * MIB)) {
		fprintf(stderr, "usage: zone_run movable|cma [SIZE]\n"
			"  SIZE  of the memory, 4M to 64M, default 64M\n");
		return 2;
	}
	size = wanted;
	nr_pages = size / PAGE;
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!strcmp(argv[1], "cma"))
		find_cma();
	else if (movable_ranges(add_range, &why))
		die("%s", why.text);
	if (!nr_ranges)
		die("no such memory: boot with %s", strcmp(argv[1], "cma") ? "movablecore=" :
		    "cma=");
	for (size_t i = 0; i < nr_ranges; i++)
		note("%s: PFN %#llx to %#llx", argv[1], (unsigned long long)ranges[i].start,
		     (unsigned long long)ranges[i].end);

	pinner_init(&pinner, nr_pages);
	memory = mmap(NULL, size + 2 * MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		die("out of memory");
	memory = (char *)ALIGN_UP((uintptr_t)memory, 2 * MIB);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		for (enum pin_way way = 0; way < PIN_WAYS; way++) {
			run("moves out", &kinds[i], way, migrated);
			run("held", &kinds[i], way, held);
		}
	}
	pinner_exit(&pinner);
	printf("%u passed, %u failed, %u skipped\n", passed, failed, skipped);
	return failed ? 1 : 0;
}
