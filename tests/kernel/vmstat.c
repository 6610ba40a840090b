// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmstat.h"

static const unsigned int huge_kb[2] = { 2048, 1048576 };

static uint64_t must_read_key(const char *path, const char *key)
{
	uint64_t value;
	int ret = read_key(path, key, &value);

	if (ret)
		die("no %s in %s: %s", key, path, strerror(-ret));
	return value;
}

static uint64_t huge_count(unsigned int kb, const char *what)
{
	char path[96], line[32];

	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%ukB/%s", kb, what);
	if (read_line(path, line, sizeof(line)))
		return 0;
	return strtoull(line, NULL, 10);
}

void vmstat_read(struct vmstat *now)
{
	int ret = write_string("/proc/sys/vm/stat_refresh", "1");

	if (ret)
		die("cannot write /proc/sys/vm/stat_refresh: %s", strerror(-ret));
	now->pin_acquired = must_read_key("/proc/vmstat", "nr_foll_pin_acquired");
	now->pin_released = must_read_key("/proc/vmstat", "nr_foll_pin_released");
	now->vmpin_kb = must_read_key("/proc/self/status", "VmPin:");
	for (size_t i = 0; i < ARRAY_SIZE(huge_kb); i++) {
		now->huge_total[i] = huge_count(huge_kb[i], "nr_hugepages");
		now->huge_free[i] = huge_count(huge_kb[i], "free_hugepages");
		now->huge_reserved[i] = huge_count(huge_kb[i], "resv_hugepages");
	}
}

#define TRIES		20
#define TRY_USEC	50000

void vmstat_start(struct vmstat *start)
{
	for (int tries = 0; tries < TRIES; tries++) {
		vmstat_read(start);
		if (start->pin_acquired == start->pin_released)
			return;
		usleep(TRY_USEC);
	}
	die("pins are held from the start: nr_foll_pin_acquired %llu, nr_foll_pin_released %llu",
	    (unsigned long long)start->pin_acquired, (unsigned long long)start->pin_released);
}

static int compare(const struct vmstat *before, const struct vmstat *now, struct reason *why)
{
	uint64_t acquired = now->pin_acquired - before->pin_acquired;
	uint64_t released = now->pin_released - before->pin_released;

	if (acquired != released)
		return because(why, "%llu pins taken but %llu given back",
			       (unsigned long long)acquired, (unsigned long long)released);
	if (now->pin_acquired != now->pin_released)
		return because(why, "nr_foll_pin_acquired %llu, nr_foll_pin_released %llu",
			       (unsigned long long)now->pin_acquired,
			       (unsigned long long)now->pin_released);
	if (now->vmpin_kb)
		return because(why, "VmPin is %llu kB", (unsigned long long)now->vmpin_kb);
	for (size_t i = 0; i < ARRAY_SIZE(huge_kb); i++) {
		if (now->huge_total[i] != before->huge_total[i])
			return because(why, "%llu huge pages of %u kB became %llu",
				       (unsigned long long)before->huge_total[i], huge_kb[i],
				       (unsigned long long)now->huge_total[i]);
		if (now->huge_free[i] != now->huge_total[i] || now->huge_reserved[i])
			return because(why, "%llu of %llu huge pages of %u kB free, %llu reserved",
				       (unsigned long long)now->huge_free[i],
				       (unsigned long long)now->huge_total[i], huge_kb[i],
				       (unsigned long long)now->huge_reserved[i]);
	}
	return 0;
}

int vmstat_balanced(const struct vmstat *before, struct reason *why)
{
	struct vmstat now;

	for (int tries = 0; tries < TRIES; tries++) {
		vmstat_read(&now);
		if (!compare(before, &now, why))
			return 0;
		usleep(TRY_USEC);
	}
	return -1;
}
