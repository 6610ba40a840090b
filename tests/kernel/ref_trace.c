// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ref_trace.h"
#include "tracefs.h"

#define INSTANCE	"instances/ref_trace"
#define EVENTS		TRACEFS "/" INSTANCE "/events/page_ref"
/* common_flags: TRACE_FLAG_HARDIRQ | TRACE_FLAG_SOFTIRQ */
#define IN_INTERRUPT	"0x18"

static const struct event {
	const char *name;
	const char *condition;
	/*
	 * Sets the count instead of changing it by what the event tells. That is for memory that
	 * nobody else can reach: while it is split, moved or new.
	 */
	bool sets;
} events[REF_TRACE_EVENTS] = {
	{ "page_ref_mod", "", false },
	{ "page_ref_mod_and_test", "", false },
	{ "page_ref_mod_and_return", "", false },
	/* What was not added costs no atomic operation: the count was 0. */
	{ "page_ref_mod_unless", " && ret != 0", false },
	{ "page_ref_set", "", true },
	{ "page_ref_freeze", "", true },
	{ "page_ref_unfreeze", "", true },
};

/* @command: "pause", "clear" or "cont"; makes the histogram if there is none yet. */
static int command(struct ref_trace *trace, size_t i, const char *command, struct reason *why)
{
	char text[256];
	int len;

	/* The key is what an operation adds, so that each histogram has few entries. */
	len = snprintf(text, sizeof(text),
		       "hist:keys=val:%s if common_pid == %ld && !(common_flags & " IN_INTERRUPT
		       ") && mapping != 0%s", command, syscall(SYS_gettid), events[i].condition);
	if (write(trace->trigger_fds[i], text, (size_t)len) != len)
		return because(why, "cannot write %s to " EVENTS "/%s/trigger: %s%s", text,
			       events[i].name, strerror(errno),
			       errno == EINVAL ? " (needs CONFIG_HIST_TRIGGERS)" : "");
	return 0;
}

static int command_all(struct ref_trace *trace, const char *text, struct reason *why)
{
	for (size_t i = 0; i < REF_TRACE_EVENTS; i++)
		if (command(trace, i, text, why))
			return -1;
	return 0;
}

static int add(const struct event *event, int32_t val, uint64_t count, struct ref_usage *usage,
	       struct reason *why)
{
	if (event->sets)
		return because(why, "%llu times %s of the user's memory, which this cannot count",
			       (unsigned long long)count, event->name);
	usage->ops += count;
	if (val > 0)
		usage->taken += count * (uint64_t)val;
	else
		usage->dropped += count * (uint64_t)-(int64_t)val;
	return 0;
}

static int read_histogram(const struct event *event, struct ref_usage *usage, struct reason *why)
{
	unsigned long long val, count, found = 0, hits = 0, dropped = 0;
	bool has_hits = false, has_dropped = false;
	char path[160], line[256];
	int ret = 0;
	FILE *file;

	snprintf(path, sizeof(path), EVENTS "/%s/hist", event->name);
	file = fopen(path, "re");
	if (!file)
		return because(why, "%s: %s", path, strerror(errno));
	while (!ret && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "{ val: %llu } hitcount: %llu", &val, &count) == 2) {
			found += count;
			/* The field is an int; the kernel prints all keys as unsigned. */
			ret = add(event, (int32_t)val, count, usage, why);
		} else if (sscanf(line, " Hits: %llu", &hits) == 1) {
			has_hits = true;
		} else if (sscanf(line, " Dropped: %llu", &dropped) == 1) {
			has_dropped = true;
		}
	}
	fclose(file);
	if (ret)
		return ret;
	if (!has_hits || !has_dropped)
		return because(why, "%s does not tell its totals", path);
	if (dropped || found != hits)
		return because(why, "%s: %llu events in it, of %llu, %llu dropped", path, found,
			       hits, dropped);
	return 0;
}

int ref_trace_open(struct ref_trace *trace, struct reason *why)
{
	struct ref_usage usage;
	char path[160];

	for (size_t i = 0; i < REF_TRACE_EVENTS; i++)
		trace->trigger_fds[i] = -1;
	if (tracefs_make_instance(INSTANCE, why))
		return -1;
	for (size_t i = 0; i < REF_TRACE_EVENTS; i++) {
		snprintf(path, sizeof(path), EVENTS "/%s/trigger", events[i].name);
		/* Once with O_TRUNC, which removes what is left of others, and never again */
		trace->trigger_fds[i] = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
		if (trace->trigger_fds[i] < 0) {
			because(why, "%s: %s%s", path, strerror(errno),
				errno == ENOENT ? " (needs CONFIG_DEBUG_PAGE_REF)" : "");
			goto fail;
		}
		if (command(trace, i, "pause", why))
			goto fail;
	}
	/* Switching it on and off must be seen as nothing. */
	if (ref_trace_start(trace, why) || ref_trace_stop(trace, &usage, why))
		goto fail;
	if (usage.ops) {
		because(why, "%llu operations on reference counts while nothing was done",
			(unsigned long long)usage.ops);
		goto fail;
	}
	return 0;
fail:
	ref_trace_close(trace);
	return -1;
}

void ref_trace_close(struct ref_trace *trace)
{
	for (size_t i = 0; i < REF_TRACE_EVENTS; i++)
		if (trace->trigger_fds[i] >= 0)
			close(trace->trigger_fds[i]);
	/* With its events and their triggers */
	tracefs_remove_instance(INSTANCE);
}

int ref_trace_start(struct ref_trace *trace, struct reason *why)
{
	return command_all(trace, "clear", why) || command_all(trace, "cont", why) ? -1 : 0;
}

int ref_trace_stop(struct ref_trace *trace, struct ref_usage *usage, struct reason *why)
{
	memset(usage, 0, sizeof(*usage));
	if (command_all(trace, "pause", why))
		return -1;
	for (size_t i = 0; i < REF_TRACE_EVENTS; i++)
		if (read_histogram(&events[i], usage, why))
			return -1;
	return 0;
}
