// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "func_time.h"
#include "tracefs.h"

int func_time_open(const char *entry, const char *returned, struct reason *why)
{
	char events[256];

	snprintf(events, sizeof(events), "p:ft_entry %s\nr:ft_return %s\n", entry, returned);
	if (tracefs_mount(why) || tracefs_set("", "kprobe_events", events, why))
		return -1;
	/* Ticks of the CPU, which are the guest's ns there */
	return tracefs_set("", "trace_clock", "x86-tsc", why);
}

static void enable(const char *on)
{
	struct reason why;

	if (tracefs_set("", "events/kprobes/enable", on, &why))
		die("%s", why.text);
}

void func_time_start(void)
{
	FILE *trace = fopen(TRACEFS "/trace", "we");

	if (!trace || fclose(trace))
		die("the trace: %s", strerror(errno));
	enable("1");
}

uint64_t func_time_stop(void)
{
	uint64_t first = 0, last = 0;
	char line[512];
	FILE *trace;

	enable("0");
	trace = fopen(TRACEFS "/trace", "re");
	if (!trace)
		die("the trace: %s", strerror(errno));
	while (fgets(line, sizeof(line), trace)) {
		char *event = strstr(line, ": ft_"), *at = event;

		if (!event || *line == '#')
			continue;
		while (at > line && at[-1] != ' ')
			at--;
		if (!first && strstr(event, "ft_entry"))
			first = strtoull(at, NULL, 10);
		if (first && strstr(event, "ft_return"))
			last = strtoull(at, NULL, 10);
	}
	fclose(trace);
	if (last <= first)
		die("the trace has not both events");
	return last - first;
}
