// SPDX-License-Identifier: GPL-2.0
/*
 * reg_shared: what else happens to a ring while a buffer is being registered in it.
 *
 * Pinning a large buffer takes long. Other threads submit through the same ring meanwhile. What
 * else they register waits, which reg_order has. Ends with "N passed, N failed, N skipped".
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "layouts.h"
#include "registration.h"
#include "uring.h"
#include "vmstat.h"

#define BUFFER_SIZE	(256 * MIB)	/* of single pages: registering takes long */

static struct memory large;
static struct io_uring ring;

/* A registration in a thread of its own */
struct registration {
	pthread_t thread;
	int (*call)(void);
	int result;
	atomic_bool done;
};

static void *registration_thread(void *arg)
{
	struct registration *reg = arg;

	reg->result = reg->call();
	atomic_store(&reg->done, true);
	return NULL;
}

static void registration_start(struct registration *reg, int (*call)(void))
{
	int ret;

	reg->call = call;
	atomic_store(&reg->done, false);
	ret = pthread_create(&reg->thread, NULL, registration_thread, reg);
	if (ret)
		die("pthread_create: %s", strerror(ret));
}

static int registration_end(struct registration *reg)
{
	pthread_join(reg->thread, NULL);
	return reg->result;
}

static int register_large(void)
{
	struct iovec iov = { large.addr, large.size };

	return io_uring_register_buffers(&ring, &iov, 1);
}

/* Pages that are pinned in the whole system, more than at the start */
static uint64_t pinned_pages(const struct vmstat *start)
{
	struct vmstat now;

	vmstat_read(&now);
	return now.pin_acquired - start->pin_acquired;
}

/* Wait until some, but not all, of the buffer is pinned. False if that was missed. */
static bool wait_halfway(const struct registration *reg, const struct vmstat *start)
{
	while (!atomic_load(&reg->done))
		if (pinned_pages(start) > large.size / 4096 / 16)
			return !atomic_load(&reg->done);
	return false;
}

/* Others submit: requests that begin and end while the buffer is half pinned. */
static int test_submit(struct vmstat *start, struct reason *why)
{
	struct registration reg;
	unsigned int inside = 0;
	int ret;

	registration_start(&reg, register_large);
	while (wait_halfway(&reg, start)) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

		io_uring_prep_nop(sqe);
		ret = uring_one(&ring);
		if (ret)
			die("NOP: %s", strerror(-ret));
		/* The last pages of the buffer were not pinned yet when it ended. */
		if (pinned_pages(start) < large.size / 4096)
			inside++;
	}
	ret = registration_end(&reg);
	if (ret)
		return because(why, "registering: %s", strerror(-ret));
	ret = io_uring_unregister_buffers(&ring);
	if (ret)
		return because(why, "unregistering: %s", strerror(-ret));
	note("%u requests while pages were pinned", inside);
	if (!inside)
		return because(why, "no request was handled while pages were pinned");
	return 0;
}

static const struct test {
	const char *name;
	int (*run)(struct vmstat *start, struct reason *why);
} tests[] = {
	{ "others submit", test_submit },
};

int main(void)
{
	static const struct layout layout = { .backing = BACKING_4K, .size = BUFFER_SIZE };
	const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	unsigned int passed = 0, failed = 0;
	struct reason why;

	if (setrlimit(RLIMIT_MEMLOCK, &unlimited))
		die("cannot raise RLIMIT_MEMLOCK: %s", strerror(errno));
	if (memory_map(&large, &layout, &why) || ring_init(&ring, true, &why))
		die("%s", why.text);
	for (size_t i = 0; i < ARRAY_SIZE(tests); i++) {
		struct vmstat start;

		vmstat_start(&start);
		if (tests[i].run(&start, &why) || vmstat_balanced(&start, &why)) {
			failed++;
			printf("FAIL %s: %s\n", tests[i].name, why.text);
		} else {
			passed++;
			printf("ok   %s\n", tests[i].name);
		}
		fflush(stdout);
	}
	if (memory_verify(&large, &why)) {
		failed++;
		printf("FAIL the buffer: %s\n", why.text);
	}
	io_uring_queue_exit(&ring);
	memory_unmap(&large);
	printf("%u passed, %u failed, 0 skipped\n", passed, failed);
	return failed ? 1 : 0;
}
