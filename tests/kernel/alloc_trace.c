// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "alloc_trace.h"
#include "tracefs.h"

#define INSTANCE	"instances/alloc_trace"
#define PAGE		4096UL
#define GUARD_PAGE	PAGE
/* Room for the pages that vfree() returns one by one */
#define BUFFER_KB	"16384"

enum kind {
	ALLOC,
	ALLOC_AREA,
	ALLOC_PAGES,
	FREE,
	FREE_PAGES,
};

static const struct event {
	const char *group;
	const char *name;
	enum kind kind;
	const char *address;	/* what stands before the address in the event's line */
	const char *bytes;
} events[] = {
	{ "kmem", "kmalloc", ALLOC, " ptr=", " bytes_alloc=" },
	{ "kmem", "kmem_cache_alloc", ALLOC, " ptr=", " bytes_alloc=" },
	{ "kmem", "kfree", FREE, " ptr=", NULL },
	{ "kmem", "kmem_cache_free", FREE, " ptr=", NULL },
	{ "vmalloc", "alloc_vmap_area", ALLOC_AREA, " va_start: ", " size=" },
	{ "vmalloc", "free_vmap_area_noflush", FREE, " va_start=", NULL },
	{ "kmem", "mm_page_alloc", ALLOC_PAGES, " pfn=", " order=" },
	{ "kmem", "mm_page_free", FREE_PAGES, " pfn=", " order=" },
};

static int set(const char *name, const char *value, struct reason *why)
{
	return tracefs_set(INSTANCE, name, value, why);
}

int alloc_trace_open(struct alloc_trace *trace, struct reason *why)
{
	char name[96];

	trace->on_fd = -1;
	if (tracefs_make_instance(INSTANCE, why))
		return -1;

	/* Real addresses: hashed ones need randomness that a guest may not have yet. */
	if (set("tracing_on", "0", why) || set("options/hash-ptr", "0", why) ||
	    set("buffer_size_kb", BUFFER_KB, why))
		goto fail;
	for (size_t i = 0; i < ARRAY_SIZE(events); i++) {
		snprintf(name, sizeof(name), "events/%s/%s/enable", events[i].group,
			 events[i].name);
		if (set(name, "1", why))
			goto fail;
	}
	trace->on_fd = open(TRACEFS "/" INSTANCE "/tracing_on", O_WRONLY | O_CLOEXEC);
	if (trace->on_fd < 0) {
		because(why, "%s/tracing_on: %s", TRACEFS "/" INSTANCE, strerror(errno));
		goto fail;
	}
	return 0;
fail:
	tracefs_remove_instance(INSTANCE);
	return -1;
}

void alloc_trace_close(struct alloc_trace *trace)
{
	if (trace->on_fd < 0)
		return;
	close(trace->on_fd);
	trace->on_fd = -1;
	tracefs_remove_instance(INSTANCE);
}

static int set_tracing(struct alloc_trace *trace, const char *value, struct reason *why)
{
	if (write(trace->on_fd, value, 1) != 1)
		return because(why, "cannot switch tracing: %s", strerror(errno));
	return 0;
}

int alloc_trace_start(struct alloc_trace *trace, struct reason *why)
{
	/* Opening the trace for writing empties it. */
	if (set("trace", "\n", why))
		return -1;
	return set_tracing(trace, "1", why);
}

struct live {
	uint64_t address;
	uint64_t bytes;
};

struct live_table {
	struct live *entries;
	size_t count;
	size_t capacity;
	uint64_t bytes;
};

/* Newest first: most memory is freed soon after it was allocated. */
static void remove_live(struct live_table *table, uint64_t address)
{
	for (size_t i = table->count; i-- > 0; ) {
		if (table->entries[i].address != address)
			continue;
		table->bytes -= table->entries[i].bytes;
		table->entries[i] = table->entries[--table->count];
		return;
	}
}

/* Adds an allocation; a large kmalloc announces itself twice, which is still one. */
static int add_live(struct live_table *table, uint64_t address, uint64_t bytes)
{
	remove_live(table, address);
	if (table->count == table->capacity) {
		size_t capacity = table->capacity ? 2 * table->capacity : 64;
		struct live *entries = reallocarray(table->entries, capacity, sizeof(*entries));

		if (!entries)
			return -1;
		table->entries = entries;
		table->capacity = capacity;
	}
	table->entries[table->count++] = (struct live){ address, bytes };
	table->bytes += bytes;
	return 0;
}

/*
 * "  task-123   [000] d.s1.   12.345: name: fields": whether the line is of this thread, outside
 * of interrupts. @rest becomes what follows the time.
 */
static bool parse_line(char *line, bool *ours, char **rest)
{
	char *bracket = strstr(line, " ["), *flags, *colon, *dash;

	if (!bracket)
		return false;
	*bracket = '\0';
	dash = strrchr(line, '-');
	flags = strstr(bracket + 1, "] ");
	if (!dash || !flags)
		return false;
	flags += 2;
	colon = strstr(flags, ": ");
	if (!colon || colon - flags < 3)
		return false;
	*ours = strtol(dash + 1, NULL, 10) == syscall(SYS_gettid) && flags[2] == '.';
	*rest = colon + 2;
	return true;
}

static int field(const char *rest, const char *key, uint64_t *value)
{
	const char *at = strstr(rest, key);

	if (!at)
		return -1;
	/* "0x..", or hexadecimal without it for ptr=, or decimal for vmalloc's. */
	*value = strtoull(at + strlen(key), NULL, strcmp(key, " ptr=") ? 0 : 16);
	return 0;
}

/* Pages of slabs, of vmalloc areas and of the user; see alloc_trace.h */
static bool is_counted_elsewhere(const char *rest)
{
	static const char * const flags[] = {
		"__GFP_COMP", "__GFP_NOWARN", "GFP_NOWAIT", "GFP_TRANSHUGE",
	};

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (strstr(rest, flags[i]))
			return true;
	return false;
}

static int apply(const char *rest, bool ours, struct live_table *table, struct alloc_usage *usage)
{
	for (size_t i = 0; i < ARRAY_SIZE(events); i++) {
		const struct event *event = &events[i];
		size_t len = strlen(event->name);
		uint64_t address, bytes;

		if (strncmp(rest, event->name, len) || rest[len] != ':')
			continue;
		if (field(rest + len, event->address, &address))
			return -1;
		/* Page frames have addresses too, which nothing else has. */
		if (event->kind == ALLOC_PAGES || event->kind == FREE_PAGES)
			address *= PAGE;
		if (event->kind == FREE || event->kind == FREE_PAGES) {
			remove_live(table, address);
			return 0;
		}
		if (field(rest + len, event->bytes, &bytes))
			return -1;
		if (!ours || !address || strstr(rest, " failed=1"))
			return 0;
		if (event->kind == ALLOC_AREA)
			bytes -= GUARD_PAGE;
		if (event->kind == ALLOC_PAGES) {
			if (is_counted_elsewhere(rest))
				return 0;
			bytes = PAGE << bytes;
		}
		usage->allocations++;
		if (add_live(table, address, bytes))
			return -1;
		if (table->bytes > usage->peak)
			usage->peak = table->bytes;
		return 0;
	}
	return -1;
}

/* A full ring buffer overwrites its start: then the sums mean nothing. */
static int check_lost(struct reason *why)
{
	long cpus = sysconf(_SC_NPROCESSORS_CONF);
	char path[96];
	uint64_t lost;

	for (long cpu = 0; cpu < cpus; cpu++) {
		snprintf(path, sizeof(path), TRACEFS "/" INSTANCE "/per_cpu/cpu%ld/stats", cpu);
		if (read_key(path, "overrun:", &lost))
			return because(why, "%s has no overrun line", path);
		if (lost)
			return because(why, "%llu events lost on CPU %ld", (unsigned long long)lost,
				       cpu);
	}
	return 0;
}

int alloc_trace_stop(struct alloc_trace *trace, struct alloc_usage *usage, struct reason *why)
{
	struct live_table table = { 0 };
	char *line = NULL, *rest;
	size_t size = 0;
	int ret = 0;
	FILE *file;
	bool ours;

	memset(usage, 0, sizeof(*usage));
	if (set_tracing(trace, "0", why) || check_lost(why))
		return -1;
	file = fopen(TRACEFS "/" INSTANCE "/trace", "re");
	if (!file)
		return because(why, "%s/trace: %s", TRACEFS "/" INSTANCE, strerror(errno));
	while (!ret && getline(&line, &size, file) > 0) {
		if (line[0] == '#' || line[0] == '\n')
			continue;
		if (!parse_line(line, &ours, &rest) || apply(rest, ours, &table, usage))
			ret = because(why, "cannot read the trace line: %.120s", line);
	}
	fclose(file);
	free(line);
	free(table.entries);
	usage->kept = table.bytes;
	return ret;
}
