/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * The functions that the linker puts in front of the calls of the library (--wrap) in
 * test/fault.c, and what one of them is told to fail with.
 */
#ifndef URING_EXT_TEST_FAULT_CALLS_H
#define URING_EXT_TEST_FAULT_CALLS_H

#include <linux/mempolicy.h>
#include <stdarg.h>
#include <stdatomic.h>

#include "helpers.h"
#include "uapi.h"

enum call {
	NONE, CALLOC, MALLOC, REALLOC, ALIGNED_ALLOC, MMAP, MADVISE, MEMFD_CREATE, FTRUNCATE,
	PTHREAD_CREATE, IO_URING_SETUP, IO_URING_REGISTER, OPEN, FOPEN, PREAD, READ, GETDELIM,
	GETRLIMIT, SETRLIMIT, FCNTL, SYSCALL, VM_READV, VM_WRITEV, NR_CALLS
};

static const char *const names[NR_CALLS] = {
	"none", "calloc", "malloc", "realloc", "aligned_alloc", "mmap", "madvise",
	"memfd_create", "ftruncate", "pthread_create", "io_uring_setup", "io_uring_register",
	"open", "fopen", "pread", "read", "getdelim", "getrlimit", "setrlimit", "fcntl",
	"syscall",
	"process_vm_readv", "process_vm_writev",
};

static _Atomic int armed;
static enum call victim;
static _Atomic unsigned countdown;
static _Atomic int fired;
static int fault_errno;
/* Before 5.14 there is no MADV_POPULATE_WRITE: refuse it always */
static bool no_populate;
/* The kernel may stop an update at any entry: it does so after each */
static bool short_updates;
/* The entry at which updates fail, if not 0; and do all updates after that, an undo, fail? */
static unsigned bad_entry;
static bool undo_fails, undoing;
/* What a kernel that knows registered buffers' limits would tell; NULL: the real one */
static const struct urext_query_regbuf *regbuf;
static unsigned layouts_asked;

static bool fail(enum call c)
{
	if (!atomic_load(&armed) || c != victim || atomic_fetch_sub(&countdown, 1) != 1)
		return false;
	atomic_store(&fired, 1);
	errno = fault_errno;
	return true;
}

/* What the library allocated and has not freed. */
#define MAX_LIVE	4096
static void *live[MAX_LIVE];
static pthread_mutex_t live_lock = PTHREAD_MUTEX_INITIALIZER;

static void *track(void *p)
{
	unsigned i;

	if (!p || !atomic_load(&armed))
		return p;
	pthread_mutex_lock(&live_lock);
	for (i = 0; i < MAX_LIVE && live[i]; i++)
		;
	if (i < MAX_LIVE)
		live[i] = p;
	pthread_mutex_unlock(&live_lock);
	return p;
}

static void untrack(void *p)
{
	unsigned i;

	pthread_mutex_lock(&live_lock);
	for (i = 0; p && i < MAX_LIVE; i++)
		if (live[i] == p)
			live[i] = NULL;
	pthread_mutex_unlock(&live_lock);
}

static unsigned nr_live(void)
{
	unsigned i, n = 0;

	for (i = 0; i < MAX_LIVE; i++)
		n += !!live[i];
	return n;
}

#define WRAP(ret, name, params) \
	ret __real_##name params; \
	ret __wrap_##name params; \
	ret __wrap_##name params

WRAP(void *, calloc, (size_t n, size_t size))
{
	return fail(CALLOC) ? NULL : track(__real_calloc(n, size));
}

WRAP(void *, malloc, (size_t size))
{
	return fail(MALLOC) ? NULL : track(__real_malloc(size));
}

WRAP(void *, realloc, (void *p, size_t size))
{
	if (fail(REALLOC))
		return NULL;
	untrack(p);
	return track(__real_realloc(p, size));
}

WRAP(void *, aligned_alloc, (size_t align, size_t size))
{
	return fail(ALIGNED_ALLOC) ? NULL : track(__real_aligned_alloc(align, size));
}

WRAP(void, free, (void *p))
{
	untrack(p);
	__real_free(p);
}

WRAP(void *, mmap, (void *p, size_t len, int prot, int flags, int fd, off_t off))
{
	return fail(MMAP) ? MAP_FAILED : __real_mmap(p, len, prot, flags, fd, off);
}

WRAP(int, madvise, (void *p, size_t len, int advice))
{
	if (no_populate && advice == 23) {
		errno = EINVAL;
		return -1;
	}
	return fail(MADVISE) ? -1 : __real_madvise(p, len, advice);
}

WRAP(int, memfd_create, (const char *name, unsigned flags))
{
	return fail(MEMFD_CREATE) ? -1 : __real_memfd_create(name, flags);
}

WRAP(int, ftruncate, (int fd, off_t len))
{
	return fail(FTRUNCATE) ? -1 : __real_ftruncate(fd, len);
}

WRAP(int, pthread_create, (pthread_t *t, const pthread_attr_t *attr, void *(*fn)(void *),
			   void *arg))
{
	return fail(PTHREAD_CREATE) ? fault_errno : __real_pthread_create(t, attr, fn, arg);
}

WRAP(int, io_uring_setup, (unsigned entries, struct io_uring_params *p))
{
	return fail(IO_URING_SETUP) ? -fault_errno : __real_io_uring_setup(entries, p);
}

static int play_query(const struct urext_query_hdr *arg)
{
	struct urext_query_hdr *hdr = (struct urext_query_hdr *)(uintptr_t)arg;

	if (!hdr)
		return 0;
	memcpy((void *)(uintptr_t)hdr->query_data, regbuf, sizeof(*regbuf));
	hdr->size = sizeof(*regbuf);
	hdr->result = 0;
	return 0;
}

static int play_layout(const struct urext_buffer_layout *arg)
{
	struct urext_buffer_layout *l = (struct urext_buffer_layout *)(uintptr_t)arg;

	if (!l)
		return -EINVAL;
	l->len = 4096;
	l->nr_runs = 1;
	l->smallest_run = l->largest_run = 4096;
	return 0;
}

/* How many entries the kernel is to change, or -errno. */
static int cut_update(const struct io_uring_rsrc_update2 *up)
{
	if (undoing && undo_fails)
		return -EPERM;
	if (!bad_entry || bad_entry < up->offset || bad_entry - up->offset >= up->nr)
		return up->nr;
	undoing = bad_entry == up->offset;
	return undoing ? -ENOMEM : (int)(bad_entry - up->offset);
}

WRAP(int, io_uring_register, (unsigned fd, unsigned op, const void *arg, unsigned nr))
{
	struct io_uring_rsrc_update2 one;
	struct io_uring_probe *probe;
	int n;

	if (fail(IO_URING_REGISTER))
		return -fault_errno;
	if (op == URING_EXT_REGISTER_BUFFER_LAYOUT) {
		layouts_asked++;
		if (regbuf)
			return play_layout(arg);
	}
	if (regbuf && op == URING_EXT_REGISTER_QUERY)
		return play_query(arg);
	if (regbuf && op == IORING_REGISTER_PROBE) {
		n = __real_io_uring_register(fd, op, arg, nr);
		probe = (struct io_uring_probe *)(uintptr_t)arg;
		probe->ops[URING_EXT_OP_BUFFERS_UPDATE].flags |= IO_URING_OP_SUPPORTED;
		if (probe->last_op < URING_EXT_OP_BUFFERS_UPDATE)
			probe->last_op = URING_EXT_OP_BUFFERS_UPDATE;
		return n;
	}
	if (bad_entry && op == IORING_REGISTER_BUFFERS_UPDATE) {
		memcpy(&one, arg, sizeof(one));
		n = cut_update(&one);
		if (n < 0)
			return n;
		one.nr = n;
		return __real_io_uring_register(fd, op, &one, nr);
	}
	if (short_updates && op == IORING_REGISTER_BUFFERS_UPDATE) {
		memcpy(&one, arg, sizeof(one));
		one.nr = one.nr > 1 ? 1 : one.nr;
		return __real_io_uring_register(fd, op, &one, nr);
	}
	return __real_io_uring_register(fd, op, arg, nr);
}

WRAP(int, open, (const char *path, int flags, ...))
{
	va_list ap;
	int mode;

	va_start(ap, flags);
	mode = flags & O_CREAT ? va_arg(ap, int) : 0;
	va_end(ap);
	return fail(OPEN) ? -1 : __real_open(path, flags, mode);
}

WRAP(FILE *, fopen, (const char *path, const char *mode))
{
	return fail(FOPEN) ? NULL : __real_fopen(path, mode);
}

WRAP(ssize_t, pread, (int fd, void *buf, size_t len, off_t off))
{
	return fail(PREAD) ? -1 : __real_pread(fd, buf, len, off);
}

WRAP(ssize_t, read, (int fd, void *buf, size_t len))
{
	return fail(READ) ? -1 : __real_read(fd, buf, len);
}

WRAP(ssize_t, __getdelim, (char **line, size_t *cap, int delim, FILE *f))
{
	return fail(GETDELIM) ? -1 : __real___getdelim(line, cap, delim, f);
}

WRAP(ssize_t, getline, (char **line, size_t *cap, FILE *f))
{
	return fail(GETDELIM) ? -1 : __real_getline(line, cap, f);
}

WRAP(int, getrlimit, (int which, struct rlimit *rl))
{
	return fail(GETRLIMIT) ? -1 : __real_getrlimit(which, rl);
}

WRAP(int, setrlimit, (int which, const struct rlimit *rl))
{
	return fail(SETRLIMIT) ? -1 : __real_setrlimit(which, rl);
}

WRAP(int, fcntl, (int fd, int cmd, ...))
{
	va_list ap;
	long arg;

	va_start(ap, cmd);
	arg = va_arg(ap, long);
	va_end(ap);
	return fail(FCNTL) ? -1 : __real_fcntl(fd, cmd, arg);
}

WRAP(long, syscall, (long nr, ...))
{
	va_list ap;
	long a[6];
	int i;

	va_start(ap, nr);
	for (i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	return fail(SYSCALL) ? -1 : __real_syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}

WRAP(ssize_t, process_vm_readv, (pid_t pid, const struct iovec *l, unsigned long nl,
				 const struct iovec *r, unsigned long nr, unsigned long f))
{
	return fail(VM_READV) ? -1 : __real_process_vm_readv(pid, l, nl, r, nr, f);
}

WRAP(ssize_t, process_vm_writev, (pid_t pid, const struct iovec *l, unsigned long nl,
				  const struct iovec *r, unsigned long nr, unsigned long f))
{
	return fail(VM_WRITEV) ? -1 : __real_process_vm_writev(pid, l, nl, r, nr, f);
}

#endif
