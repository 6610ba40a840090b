// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "irqsoff.h"
#include "tracefs.h"

static int set(const char *name, const char *value, struct reason *why)
{
	return tracefs_set(".", name, value, why);
}

int irqsoff_open(struct irqsoff *tracer, struct reason *why)
{
	tracer->on_fd = -1;
	if (tracefs_mount(why) || set("tracing_on", "0", why) || set("tracing_thresh", "0", why) ||
	    set("current_tracer", "irqsoff", why))
		return -1;
	tracer->on_fd = open(TRACEFS "/tracing_on", O_WRONLY | O_CLOEXEC);
	if (tracer->on_fd < 0)
		return because(why, "%s/tracing_on: %s", TRACEFS, strerror(errno));
	return 0;
}

void irqsoff_close(struct irqsoff *tracer)
{
	if (tracer->on_fd < 0)
		return;
	set("current_tracer", "nop", NULL);
	set("tracing_on", "1", NULL);
	close(tracer->on_fd);
	tracer->on_fd = -1;
}

int irqsoff_start(struct irqsoff *tracer, struct reason *why)
{
	/* Setting the tracer again empties its trace. */
	if (set("current_tracer", "nop", why) || set("current_tracer", "irqsoff", why) ||
	    set("tracing_max_latency", "0", why))
		return -1;
	if (write(tracer->on_fd, "1", 1) != 1)
		return because(why, "cannot switch tracing: %s", strerror(errno));
	return 0;
}

static void copy_name(char *name, size_t size, const char *from)
{
	from += strspn(from, " ");
	snprintf(name, size, "%.*s", (int)strcspn(from, "\n"), from);
}

int irqsoff_stop(struct irqsoff *tracer, struct irqsoff_span *span, struct reason *why)
{
	char line[512], *at;
	bool found = false;
	FILE *file;

	memset(span, 0, sizeof(*span));
	if (write(tracer->on_fd, "0", 1) != 1)
		return because(why, "cannot switch tracing: %s", strerror(errno));
	file = fopen(TRACEFS "/trace", "re");
	if (!file)
		return because(why, "%s/trace: %s", TRACEFS, strerror(errno));
	while (fgets(line, sizeof(line), file)) {
		if ((at = strstr(line, "# latency: "))) {
			span->usec = strtoull(at + strlen("# latency: "), NULL, 10);
			found = true;
		} else if ((at = strstr(line, "=> started at: "))) {
			copy_name(span->began, sizeof(span->began), strchr(at, ':') + 1);
		} else if ((at = strstr(line, "=> ended at: "))) {
			copy_name(span->ended, sizeof(span->ended), strchr(at, ':') + 1);
		}
	}
	fclose(file);
	if (!found || !span->began[0] || !span->ended[0])
		return because(why, "the trace does not tell the latency and its place");
	return 0;
}
