/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * Populating memory, in parallel.  The work is cut into chunks that the threads take
 * one by one; the thread that called only watches and reports, so that the progress
 * function runs in it alone.
 *
 * MADV_POPULATE_WRITE (5.14) gives an error where touching the memory would give a
 * signal.  Before it, reading one byte of each page and writing it back with
 * process_vm_writev() does the same, slower.
 */
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "lib.h"
#include "uapi.h"

#define CHUNK		(64UL << 20)
#define MAX_THREADS	64
#define AUTO_THREADS	16
#define PROGRESS_MS	100

struct job {
	uintptr_t base;
	size_t len;
	size_t page;
	size_t chunk;
	_Atomic size_t next;		/* offset of the next chunk to take */
	_Atomic size_t done;		/* bytes */
	_Atomic int err;		/* the first error; stops all */
	pthread_mutex_t lock;
	pthread_cond_t finished;
	unsigned running;		/* under the lock */
};

/* One byte per page through the kernel, which answers -EFAULT and not a signal. */
static int touch(uintptr_t addr, size_t len, size_t page)
{
	uintptr_t a;
	char c;

	for (a = addr; a < addr + len; a = (a & ~(page - 1)) + page) {
		struct iovec here = { &c, 1 }, there = { (void *)a, 1 };

		if (process_vm_readv(getpid(), &here, 1, &there, 1, 0) != 1 ||
		    process_vm_writev(getpid(), &here, 1, &there, 1, 0) != 1)
			return -errno;
	}
	return 0;
}

/* Is there a part that is not mapped?  mincore() answers -ENOMEM only for that. */
static bool has_hole(uintptr_t start, uintptr_t end)
{
	unsigned char vec[4096];
	size_t page = base_page_size(), len;

	for (; start < end; start += len) {
		len = min_sz(end - start, sizeof(vec) * page);
		if (mincore((void *)start, len, vec) && errno == ENOMEM)
			return true;
	}
	return false;
}

static int populate(uintptr_t addr, size_t len, size_t page)
{
	uintptr_t start = addr & ~(base_page_size() - 1);
	int ret;

	do {
		ret = madvise((void *)start, addr + len - start,
			      URING_EXT_MADV_POPULATE_WRITE);
	} while (ret && (errno == EINTR || errno == EAGAIN));
	if (!ret)
		return 0;
	ret = -errno;
	if (ret == -EINVAL)
		return touch(addr, len, page);
	/* For want of memory, or of a mapping */
	if (ret == -ENOMEM && has_hole(start, addr + len))
		return -EFAULT;
	return ret;
}

/* Take a chunk and populate it; false when there is nothing more to do. */
static bool one_chunk(struct job *j)
{
	size_t off, len;
	int ret, none = 0;

	if (atomic_load(&j->err))
		return false;
	off = atomic_fetch_add(&j->next, j->chunk);
	if (off >= j->len)
		return false;
	len = min_sz(j->chunk, j->len - off);
	ret = populate(j->base + off, len, j->page);
	if (ret) {
		atomic_compare_exchange_strong(&j->err, &none, ret);
		return false;
	}
	atomic_fetch_add(&j->done, len);
	return true;
}

static void *worker(void *arg)
{
	struct job *j = arg;

	while (one_chunk(j))
		;
	pthread_mutex_lock(&j->lock);
	if (!--j->running)
		pthread_cond_signal(&j->finished);
	pthread_mutex_unlock(&j->lock);
	return NULL;
}

static void report(struct job *j, io_uring_ext_progress_fn progress, void *arg)
{
	int none = 0;

	if (progress && progress(arg, atomic_load(&j->done), j->len))
		atomic_compare_exchange_strong(&j->err, &none, -ECANCELED);
}

static void watch(struct job *j, io_uring_ext_progress_fn progress, void *arg)
{
	struct timespec ts;

	pthread_mutex_lock(&j->lock);
	while (j->running) {
		clock_gettime(CLOCK_REALTIME, &ts);
		ts.tv_nsec += PROGRESS_MS * 1000000L;
		if (ts.tv_nsec >= 1000000000L) {
			ts.tv_sec++;
			ts.tv_nsec -= 1000000000L;
		}
		if (!progress)
			pthread_cond_wait(&j->finished, &j->lock);
		else
			pthread_cond_timedwait(&j->finished, &j->lock, &ts);
		if (!j->running || !progress)
			continue;
		/* Not under the lock: it may take its time, or call us. */
		pthread_mutex_unlock(&j->lock);
		report(j, progress, arg);
		pthread_mutex_lock(&j->lock);
	}
	pthread_mutex_unlock(&j->lock);
}

/* The program's signals are for the program's threads. */
static unsigned start_workers(struct job *j, pthread_t *tids, unsigned nr)
{
	sigset_t all, old;
	unsigned i;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	for (i = 0; i < nr; i++) {
		pthread_mutex_lock(&j->lock);
		j->running++;
		pthread_mutex_unlock(&j->lock);
		if (!pthread_create(&tids[i], NULL, worker, j))
			continue;
		pthread_mutex_lock(&j->lock);
		j->running--;
		pthread_mutex_unlock(&j->lock);
		break;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return i;
}

static unsigned nr_threads(unsigned wanted, size_t chunks)
{
	cpu_set_t cpus;
	unsigned n = wanted;

	if (!n) {
		n = sched_getaffinity(0, sizeof(cpus), &cpus) ? 1 : CPU_COUNT(&cpus);
		n = min_sz(n, AUTO_THREADS);
	}
	return min_sz(min_sz(n, MAX_THREADS), chunks);
}

int io_uring_ext_prefault(void *base, size_t len, size_t page_size,
			  unsigned threads, io_uring_ext_progress_fn progress,
			  void *arg, struct io_uring_ext_error *err)
{
	struct job j = { .base = (uintptr_t)base, .len = len };
	pthread_t tids[MAX_THREADS];
	unsigned i, nr;
	char done[32], total[32];
	int ret;

	if (!page_size)
		page_size = base_page_size();
	if (!base || !len || (uintptr_t)base + len < (uintptr_t)base || !is_pow2(page_size))
		return urext_fail(err, -EINVAL, IO_URING_EXT_STAGE_ARGS, 0,
				  "no memory range, or a page size that is no power of two");
	j.page = page_size;
	j.chunk = page_size > CHUNK ? page_size : CHUNK;
	pthread_mutex_init(&j.lock, NULL);
	pthread_cond_init(&j.finished, NULL);

	nr = nr_threads(threads, (len + j.chunk - 1) / j.chunk);
	nr = nr > 1 ? start_workers(&j, tids, nr) : 0;
	if (nr)
		watch(&j, progress, arg);
	/* Alone, or no thread could be had */
	while (!nr && one_chunk(&j))
		report(&j, progress, arg);
	for (i = 0; i < nr; i++)
		pthread_join(tids[i], NULL);
	pthread_cond_destroy(&j.finished);
	pthread_mutex_destroy(&j.lock);

	ret = atomic_load(&j.err);
	if (ret == -ECANCELED && atomic_load(&j.done) == len)
		ret = 0;
	if (!ret) {
		urext_ok(err);
		return 0;
	}
	urext_fail(err, ret, IO_URING_EXT_STAGE_PREFAULT, 0, "%s of %s populated: %s",
		   urext_size(done, atomic_load(&j.done)), urext_size(total, len),
		   strerror(-ret));
	if (err)
		err->done = atomic_load(&j.done) >> 20;
	return ret;
}
