// SPDX-License-Identifier: GPL-2.0
/*
 * The part of gup_test that pins runs
 */
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/pin_runs.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "gup_test.h"
#include "internal.h"
#include "pin_runs.h"

static int count_runs(const struct pin_runs *runs, struct pin_runs_test *test)
{
	u64 __user *sizes = u64_to_user_ptr(test->sizes);
	struct pin_runs_iter it = { };
	struct pin_run run;

	while (pin_runs_next(runs, &it, &run)) {
		if (test->nr_runs < test->max_sizes &&
		    put_user((u64)run.nr_pages, &sizes[test->nr_runs]))
			return -EFAULT;
		test->nr_runs++;
		if (!test->smallest || test->smallest > run.nr_pages)
			test->smallest = run.nr_pages;
		if (test->largest < run.nr_pages)
			test->largest = run.nr_pages;
	}
	return 0;
}

/*
 * Pin a range chunk by chunk, and release each chunk before the next one. Pages
 * that cannot be pinned end the test; the error is returned only if they are
 * the first ones.
 */
static long pin_runs_test(struct pin_runs_test *test, void *buf)
{
	unsigned long addr = test->addr, nr_pages = test->size >> PAGE_SHIFT;
	struct pin_runs runs;
	ktime_t start;
	long pinned;
	int ret;

	pin_runs_init(&runs, buf, test->chunk_bytes);
	runs.format = test->format;
	while (test->nr_pages < nr_pages) {
		start = ktime_get();
		pinned = pin_user_runs_fast(addr + (test->nr_pages << PAGE_SHIFT),
					    nr_pages - test->nr_pages,
					    test->gup_flags, GFP_KERNEL, &runs);
		test->get_nsec += ktime_get() - start;
		test->nr_calls++;
		if (pinned <= 0)
			return test->nr_pages ? 0 : pinned;
		test->nr_pages += pinned;

		ret = count_runs(&runs, test);

		start = ktime_get();
		unpin_user_runs(&runs, UNPIN_CLEAN);
		test->put_nsec += ktime_get() - start;
		if (ret)
			return ret;
		cond_resched();
	}
	return 0;
}

/*
 * Pin a range in calls of a few pages, each of which has a chunk of its own, and
 * then release it: the time is that of all calls.
 */
static long pin_short_runs_test(struct pin_runs_test *test)
{
	unsigned long addr = test->addr, nr_pages = test->size >> PAGE_SHIFT;
	unsigned long i, nr, nr_calls;
	struct pin_runs *chunks;
	ktime_t start;
	long ret = 0;
	void *buf;

	nr_calls = DIV_ROUND_UP(nr_pages, test->nr_pages_per_call);
	buf = kvmalloc_array(nr_calls, test->chunk_bytes, GFP_KERNEL);
	chunks = kvzalloc_objs(*chunks, nr_calls);
	if (!buf || !chunks) {
		ret = -ENOMEM;
		goto free;
	}
	memset(buf, 0, nr_calls * test->chunk_bytes);

	start = ktime_get();
	for (; test->nr_calls < nr_calls; test->nr_calls++) {
		struct pin_runs *runs = &chunks[test->nr_calls];

		pin_runs_init(runs, buf + test->nr_calls * test->chunk_bytes,
			      test->chunk_bytes);
		runs->format = test->format;
		nr = min(nr_pages - test->nr_pages, test->nr_pages_per_call);
		ret = pin_user_runs_fast(addr + (test->nr_pages << PAGE_SHIFT), nr,
					 test->gup_flags, GFP_KERNEL, runs);
		if (ret != nr)
			break;
		test->nr_pages += nr;
	}
	test->get_nsec = ktime_get() - start;

	for (i = 0; i < test->nr_calls; i++)
		count_runs(&chunks[i], test);

	start = ktime_get();
	for (i = 0; i <= test->nr_calls && i < nr_calls; i++)
		unpin_user_runs(&chunks[i], UNPIN_CLEAN);
	test->put_nsec = ktime_get() - start;
	ret = min(ret, 0);
free:
	kvfree(chunks);
	kvfree(buf);
	return ret;
}

long pin_runs_test_ioctl(unsigned long arg)
{
	struct pin_runs_test __user *uarg = (void __user *)arg;
	struct pin_runs_test test;
	void *buf = NULL;
	long ret;

	if (copy_from_user(&test, uarg, sizeof(test)))
		return -EFAULT;
	if (test.format > PIN_RUNS_PHYS ||
	    test.chunk_bytes < sizeof(u64) || test.chunk_bytes > SZ_64M ||
	    test.addr > ULONG_MAX || test.size > ULONG_MAX ||
	    test.gup_flags & ~(FOLL_WRITE | FOLL_LONGTERM))
		return -EINVAL;

	if (!test.nr_pages_per_call) {
		buf = kvmalloc(test.chunk_bytes, GFP_KERNEL);
		if (!buf)
			return -ENOMEM;
	}

	test.get_nsec = 0;
	test.put_nsec = 0;
	test.nr_pages = 0;
	test.nr_runs = 0;
	test.smallest = 0;
	test.largest = 0;
	test.nr_calls = 0;
	gup_take_longest_section();
	ret = buf ? pin_runs_test(&test, buf) : pin_short_runs_test(&test);
	test.longest_section = gup_take_longest_section();
	kvfree(buf);
	if (!ret && copy_to_user(uarg, &test, sizeof(test)))
		ret = -EFAULT;
	return ret;
}
