// SPDX-License-Identifier: GPL-2.0
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "counters.h"
#include "util.h"

static const struct event {
	const char *name;
	uint32_t type;
	uint64_t config;
} events[NR_COUNTERS] = {
	[COUNTER_CYCLES] = { "cycles", PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES },
	[COUNTER_INSTRUCTIONS] = { "instructions", PERF_TYPE_HARDWARE,
				   PERF_COUNT_HW_INSTRUCTIONS },
	[COUNTER_CACHE_MISSES] = { "cache_misses", PERF_TYPE_HARDWARE,
				   PERF_COUNT_HW_CACHE_MISSES },
	/* MEM_INST_RETIRED.LOCK_LOADS */
	[COUNTER_LOCKED] = { "locked", PERF_TYPE_RAW, 0x21d0 },
	[COUNTER_FAULTS] = { "faults", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS },
};

/* The raw event is another one elsewhere. */
static bool is_intel(void)
{
	char line[256];
	bool found = false;
	FILE *f = fopen("/proc/cpuinfo", "re");

	while (f && !found && fgets(line, sizeof(line), f))
		found = !strncmp(line, "vendor_id", 9) && strstr(line, "GenuineIntel");
	if (f)
		fclose(f);
	return found;
}

static int leader(const struct counters *c)
{
	for (int i = 0; i < NR_COUNTERS; i++)
		if (c->fd[i] >= 0)
			return c->fd[i];
	return -1;
}

void counters_open(struct counters *c)
{
	memset(c->fd, 0xff, sizeof(c->fd));
	for (int i = 0; i < NR_COUNTERS; i++) {
		struct perf_event_attr attr = {
			.size = sizeof(attr),
			.type = events[i].type,
			.config = events[i].config,
			.disabled = leader(c) < 0,
			.exclude_hv = 1,
			.read_format = PERF_FORMAT_TOTAL_TIME_ENABLED |
				       PERF_FORMAT_TOTAL_TIME_RUNNING,
		};

		if (i == COUNTER_LOCKED && !is_intel())
			continue;
		c->fd[i] = (int)syscall(SYS_perf_event_open, &attr, 0, -1, leader(c),
					PERF_FLAG_FD_CLOEXEC);
	}
}

void counters_close(struct counters *c)
{
	/* The leader last */
	for (int i = NR_COUNTERS - 1; i >= 0; i--)
		if (c->fd[i] >= 0)
			close(c->fd[i]);
}

void counters_start(const struct counters *c)
{
	ioctl(leader(c), PERF_EVENT_IOC_RESET, PERF_IOC_FLAG_GROUP);
	ioctl(leader(c), PERF_EVENT_IOC_ENABLE, PERF_IOC_FLAG_GROUP);
}

void counters_stop(const struct counters *c, struct counts *counts)
{
	ioctl(leader(c), PERF_EVENT_IOC_DISABLE, PERF_IOC_FLAG_GROUP);
	for (int i = 0; i < NR_COUNTERS; i++) {
		struct { uint64_t value, enabled, running; } got;

		/* One that had to share its place with others has only been estimated. */
		counts->have[i] = c->fd[i] >= 0 && read(c->fd[i], &got, sizeof(got)) == sizeof(got) &&
				  got.running && got.running == got.enabled;
		counts->value[i] = counts->have[i] ? got.value : 0;
	}
}

void counts_json(FILE *out, const char *name, const struct counts *counts, uint64_t n)
{
	for (int i = 0; i < NR_COUNTERS; i++)
		if (counts->have[i])
			fprintf(out, ", \"%s_%s\": %.1f", name, events[i].name,
				(double)counts->value[i] / (double)n);
}
