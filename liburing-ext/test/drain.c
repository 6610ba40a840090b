/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * The last slice comes back at the moment at which the time is up: the linker puts a
 * function in front of the library's pthread_cond_timedwait(3) (--wrap) that puts it, and
 * then says that it waited in vain.  What was waited for is there all the same.
 */
#include "helpers.h"

static struct io_uring_ext_slab *slab;
static void *slice;

int __real_pthread_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m,
				  const struct timespec *ts);
int __wrap_pthread_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m,
				  const struct timespec *ts);

int __wrap_pthread_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m,
				  const struct timespec *ts)
{
	if (!slice)
		return __real_pthread_cond_timedwait(c, m, ts);
	pthread_mutex_unlock(m);
	CHECK_EQ(io_uring_ext_slab_put(slab, slice), 0);
	slice = NULL;
	pthread_mutex_lock(m);
	return ETIMEDOUT;
}

int main(void)
{
	static char mem[4096];
	void *other;

	CHECK_EQ(io_uring_ext_slab_create_mem(&slab, mem, sizeof(mem), sizeof(mem), 0, 0), 0);
	slice = io_uring_ext_slab_get(slab);
	CHECK(slice);
	CHECK_EQ(io_uring_ext_slab_get_wait(slab, &other, 1000), 0);
	CHECK(other == mem);
	/* Nobody puts it */
	CHECK_EQ(io_uring_ext_slab_drain(slab, 1000), -ETIMEDOUT);
	slice = other;
	CHECK_EQ(io_uring_ext_slab_drain(slab, 1000), 0);
	CHECK_EQ(io_uring_ext_slab_get_wait(slab, &other, 1000), -ESHUTDOWN);
	CHECK(!other);
	CHECK_EQ(io_uring_ext_slab_destroy(slab), 0);
	return 0;
}
