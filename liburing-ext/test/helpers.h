/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/* What the tests share.  A test exits with 0 (passed), 1 (failed) or 77 (skipped). */
#ifndef URING_EXT_TEST_HELPERS_H
#define URING_EXT_TEST_HELPERS_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "liburing-ext.h"

#define T_SKIP	77
#define KiB	((size_t)1 << 10)
#define MiB	((size_t)1 << 20)
#define GiB	((size_t)1 << 30)
#define TiB	(1ULL << 40)
/* For sizes that only 64 bits can tell: not to be used without them. */
#define BIG(n)	((size_t)(n))
#define IS_64BIT	(sizeof(size_t) == 8)

__attribute__((noreturn, format(printf, 3, 4)))
void t_fail(const char *file, int line, const char *fmt, ...);
__attribute__((noreturn, format(printf, 1, 2)))
void t_skip(const char *fmt, ...);

#define CHECK(cond)	do { if (!(cond)) t_fail(__FILE__, __LINE__, "%s", #cond); } while (0)
/* Both values are shown when they differ. */
#define CHECK_EQ(a, b)	do {							\
	long long a_ = (long long)(a), b_ = (long long)(b);			\
	if (a_ != b_)								\
		t_fail(__FILE__, __LINE__, "%s is %lld, not %s (%lld)",		\
		       #a, a_, #b, b_);						\
} while (0)
/* 0, or fail with the library's own words. */
#define CHECK_OK(ret, e)	do {						\
	int r_ = (ret);								\
	if (r_ < 0)								\
		t_fail(__FILE__, __LINE__, "%s: %d, %s: %s", #ret, r_,		\
		       io_uring_ext_stage_name((e).stage), (e).text);		\
} while (0)

void t_ring(struct io_uring *ring, unsigned entries, unsigned flags);
/* A ring that may make only these io_uring_register(2) calls. */
void t_restricted(struct io_uring *ring, const unsigned *ops, unsigned nr);
/* The next CQE, also where waiting is interrupted: who is stopped and continued is. */
struct io_uring_cqe *t_wait(struct io_uring *ring);
/* Submit the one request that was prepared, and give its result. */
int t_io(struct io_uring *ring);
/* The same for one that the library prepared on @r, which is then told. */
int t_io_done(struct io_uring *ring, struct io_uring_ext_ring *r);
/* A CQE's user_data, or 0 if there is none after @ms milliseconds. */
__u64 t_wait_tag(struct io_uring *ring, int ms);

/* A file that is gone when the test ends, of @size bytes of t_byte(). */
int t_file(size_t size);
unsigned char t_byte(size_t offset);
void t_fill(void *p, size_t len, size_t offset);
void t_check_bytes(const void *p, size_t len, size_t offset);

/* Bytes in a line of /proc/self/status. */
size_t t_status(const char *field);
unsigned t_open_fds(void);
/* 0 where they cannot be told from those of a checker. */
unsigned t_mappings(void);
/* Unpinning may lag behind the close of a ring: wait for it. */
void t_no_pins(void);

/* See that @nr huge pages are free until the test ends; false if they cannot be had. */
bool t_reserve_huge(size_t page_size, unsigned nr);
/* Run @fn in a child as nobody with this limit; its exit status. */
int t_as_nobody(size_t memlock, void (*fn)(void *arg), void *arg);
/* Directory of the running test, for programs beside it. */
const char *t_dir(void);
/*
 * Directory with what is beside the running test, where every user gets at it: a clone in
 * a home may be its owner's alone.  Gone when the test ends.
 */
const char *t_public_dir(void);
/* Run a program, its output in @out; its exit status. */
int t_run(const char *const argv[], char *out, size_t size);
/* The same, with its standard output to a file, or closed if that is NULL. */
int t_run_to(const char *const argv[], const char *file, char *out, size_t size);
bool t_is_root(void);
/* May so much memory be locked?  If not, it is said that @what is not tried. */
bool t_may_lock(size_t len, const char *what);
/* End a child without what is done at an exit, as looking for memory that was not freed. */
__attribute__((noreturn))
void t_end_child(void);
/* It gives out little address space, and is slow. */
bool t_valgrind(void);

#endif
