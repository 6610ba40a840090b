// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lock_watch.h"

#define PAGE		(4 * KIB)
#define RING_BYTES	(8 * MIB)

void lock_watch_init(void)
{
	/* Each event counts: none may be left out where they are many. In this order. */
	if (write_string("/proc/sys/kernel/perf_event_max_sample_rate", "1000000000") ||
	    write_string("/proc/sys/kernel/perf_cpu_time_max_percent", "0"))
		die("cannot set the rate of events: %s", strerror(errno));
}

static int event_open(struct lock_watch *watch, uint64_t address, struct reason *why)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_BREAKPOINT,
		.size = sizeof(attr),
		.bp_type = HW_BREAKPOINT_W,
		.bp_addr = address,
		.bp_len = HW_BREAKPOINT_LEN_8,
		.sample_period = 1,
		.sample_type = PERF_SAMPLE_IP | PERF_SAMPLE_TIME,
		.disabled = 1,
		.exclude_user = 1,
	};

	watch->fd = (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
	if (watch->fd < 0)
		return because(why, "perf_event_open: %s", strerror(errno));
	watch->ring = mmap(NULL, PAGE + RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, watch->fd,
			   0);
	if (watch->ring != MAP_FAILED)
		return 0;
	because(why, "the events' memory: %s", strerror(errno));
	close(watch->fd);
	watch->fd = -1;
	return -1;
}

void lock_watch_close(struct lock_watch *watch)
{
	munmap(watch->ring, PAGE + RING_BYTES);
	close(watch->fd);
	watch->fd = -1;
}

int lock_watch_start(struct lock_watch *watch, struct reason *why)
{
	struct perf_event_mmap_page *head = watch->ring;

	head->data_tail = __atomic_load_n(&head->data_head, __ATOMIC_ACQUIRE);
	if (ioctl(watch->fd, PERF_EVENT_IOC_ENABLE, 0))
		return because(why, "switching a watchpoint on: %s", strerror(errno));
	return 0;
}

/* What an event has after its head */
struct sample {
	uint64_t ip, time;
};

/* Switches it off and calls @each with each sample, in order. */
static int stop(struct lock_watch *watch, void (*each)(void *arg, const struct sample *sample),
		void *arg, struct reason *why)
{
	struct perf_event_mmap_page *head = watch->ring;
	const char *data = (char *)watch->ring + PAGE;
	uint64_t at, end;

	if (ioctl(watch->fd, PERF_EVENT_IOC_DISABLE, 0))
		return because(why, "switching a watchpoint off: %s", strerror(errno));
	end = __atomic_load_n(&head->data_head, __ATOMIC_ACQUIRE);
	for (at = head->data_tail; at < end;) {
		struct {
			struct perf_event_header head;
			struct sample sample;
		} event;

		/* All of it is of 8 bytes each, and may go around the end. */
		for (size_t i = 0; i < sizeof(event); i += 8)
			memcpy((char *)&event + i, data + (at + i) % RING_BYTES, 8);
		if (event.head.type != PERF_RECORD_SAMPLE || event.head.size != sizeof(event))
			return because(why, "event %u: something is lost", event.head.type);
		each(arg, &event.sample);
		at += event.head.size;
	}
	return 0;
}

struct holding {
	struct lock_holds *holds;
	uint64_t since;
	bool held;
};

static void owner_changes(void *arg, const struct sample *sample)
{
	uint64_t when = sample->time;
	struct holding *h = arg;

	h->held = !h->held;
	if (h->held) {
		h->since = when;
		return;
	}
	h->holds->times++;
	h->holds->total += when - h->since;
	if (when - h->since > h->holds->longest)
		h->holds->longest = when - h->since;
}

int lock_watch_stop(struct lock_watch *watch, struct lock_holds *holds, struct reason *why)
{
	struct holding h = { .holds = holds };

	if (stop(watch, owner_changes, &h, why))
		return -1;
	return h.held ? because(why, "a lock is taken and not dropped") : 0;
}

/* --- which mutex it is ---------------------------------------------------------------------- */

/* The code of a function, from its name to the next one */
struct code {
	uint64_t start, end;
};

static int find_code(const char *name, struct code *code, struct reason *why)
{
	FILE *file = fopen("/proc/kallsyms", "re");
	unsigned long long address;
	char line[256], text[128];

	*code = (struct code){ 0, 0 };
	while (file && !code->end && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%llx %*c %127s", &address, text) != 2)
			continue;
		if (code->start && address > code->start)
			code->end = address;
		else if (!strcmp(text, name))
			code->start = address;
	}
	if (file)
		fclose(file);
	return code->end ? 0 : because(why, "no %s() in /proc/kallsyms", name);
}

struct learning {
	struct code lock, unlock;
	unsigned int locks, unlocks, others;
};

static bool in_code(const struct code *code, uint64_t ip)
{
	return ip > code->start && ip <= code->end;
}

static void learn(void *arg, const struct sample *sample)
{
	struct learning *learning = arg;

	if (in_code(&learning->lock, sample->ip))
		learning->locks++;
	else if (in_code(&learning->unlock, sample->ip))
		learning->unlocks++;
	else
		learning->others++;
}

int lock_watch_open(struct lock_watch *watch, uint64_t address, size_t size,
		    int (*call)(void *arg), void *arg, struct reason *why)
{
	struct learning learning;

	if (find_code("mutex_lock", &learning.lock, why) ||
	    find_code("mutex_unlock", &learning.unlock, why))
		return -1;
	/* Its owner is what a mutex begins with: what mutex_lock() and mutex_unlock() write to. */
	for (uint64_t at = address; at < address + size; at += 8) {
		learning.locks = learning.unlocks = learning.others = 0;
		if (event_open(watch, at, why))
			return -1;
		if (lock_watch_start(watch, why) || call(arg) || stop(watch, learn, &learning, why))
			return because(why, "the call that takes a mutex failed");
		if (learning.locks && learning.locks == learning.unlocks && !learning.others)
			return 0;
		lock_watch_close(watch);
	}
	return because(why, "no mutex is taken in these %zu bytes", size);
}
