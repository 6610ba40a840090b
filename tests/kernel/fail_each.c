// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fail_each.h"

#include "fail_nth.h"
#include "vmstat.h"

#define POINTS_MAX	5000	/* it does not end */
#define STEP		32	/* bytes: the smallest objects but one */
#define STEPS		512	/* and then each is a part of all: much is allocated again and again */

/* Failure number @n, or after so many @bytes. Whether there was one, with the result */
static bool attempt(const struct fail_each *each, unsigned int n, unsigned int bytes, int *ret)
{
	bool hit;

	if (each->before)
		each->before(each->arg);
	if (each->worker)
		fail_objects_after(bytes);
	else
		fail_nth_arm(n);
	*ret = each->call(each->arg);
	hit = each->worker ? fail_objects_end() : fail_nth_disarm();
	if (each->after)
		each->after(each->arg, *ret);
	return hit;
}

int fail_each(const char *name, const struct fail_each *each, struct reason *why)
{
	unsigned int n, bytes = 0, errors = 0;
	bool hit = true;

	if (fail_nth_open(why))
		return -1;
	for (n = 1; hit; n++, bytes += n < STEPS ? STEP : bytes / 16) {
		struct vmstat start;
		struct reason left;
		int ret;

		if (n > POINTS_MAX)
			return because(why, "%s: no end of failures", name);
		vmstat_start(&start);
		hit = attempt(each, n, bytes, &ret);
		errors += ret < 0;
		if (ret < 0 && !hit)
			return because(why, "%s, nothing fails: %s", name, strerror(-ret));
		if (ret < 0 && ret != -ENOMEM && ret != -EFAULT)
			return because(why, "%s, failure %u: %s", name, n, strerror(-ret));
		if (vmstat_balanced(&start, &left))
			return because(why, "%s, failure %u: %.200s", name, n, left.text);
	}
	printf("     %s: %u failures, %u of them ended the call\n", name, n - 2, errors);
	if (n == 2)
		return because(why, "%s: nothing failed", name);
	return errors || each->goes_on ? 0 : because(why, "%s: no failure ended it", name);
}
