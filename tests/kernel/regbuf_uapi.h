/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Shared by the parts of regbuf_uapi. The interface comes from the kernel's own header, which
 * takes the place of liburing's copy.
 */
#ifndef TESTS_KERNEL_REGBUF_UAPI_H
#define TESTS_KERNEL_REGBUF_UAPI_H

#include <linux/io_uring.h>
#include <linux/io_uring/query.h>

#include <liburing.h>
#include <stdlib.h>

#include "uring.h"
#include "util.h"

/*
 * A case is a function that runs in a process of its own, and ends it when something is not as
 * it should be. It returns to say that all is well.
 */
struct uapi_case {
	const char *name;
	void (*run)(void);
	/* For the kernel without the series too */
	bool stock;
};

extern const struct uapi_case desc_cases[], memfd_cases[], pages_cases[], request_cases[],
	random_cases[], readonly_cases[], tell_cases[];
/* Those that count instructions, for a guest that tells them by its clock */
extern const struct uapi_case cost_cases[];
extern const struct uapi_case movable_cases[];
/* An instruction is 2^icount ns; -1: nobody counts */
extern int uapi_icount;
extern const struct uapi_case stock_cases[];

#define fail(...)	do { note("  " __VA_ARGS__); exit(1); } while (0)
#define skip(...)	do { note("  " __VA_ARGS__); exit(77); } while (0)

#define EXPECT(expr, want) do {								\
	long long got_ = (long long)(expr), want_ = (long long)(want);			\
	if (got_ != want_)								\
		fail("%s:%d: %s is %lld, not %lld", __FILE__, __LINE__, #expr, got_,	\
		     want_);								\
} while (0)
#define EXPECT_TRUE(expr) do {								\
	if (!(expr))									\
		fail("%s:%d: not true: %s", __FILE__, __LINE__, #expr);			\
} while (0)

/* io_uring_register(2) as it is: the result, or -errno. */
int uapi_register(int fd, unsigned int opcode, const void *arg, unsigned int nr_args);
void uapi_ring(struct io_uring *ring);
/* With a table of @nr empty entries */
void uapi_sparse_ring(struct io_uring *ring, unsigned int nr);
/* IORING_REGISTER_BUFFERS2 and _UPDATE: the result */
int uapi_buffers(struct io_uring *ring, const struct iovec *iov, unsigned int nr,
		 unsigned int flags);
int uapi_update_descs(struct io_uring *ring, unsigned int off,
		      const struct io_uring_regbuf_desc *descs, unsigned int nr);
/* With iovecs, or as read-only buffers with descriptors */
int uapi_update(struct io_uring *ring, unsigned int off, const struct iovec *iov, unsigned int nr,
		bool read_only);
/* One buffer is the whole table. */
int uapi_buffer(struct io_uring *ring, const void *addr, size_t len, bool read_only);
int uapi_clone(struct io_uring *dst, struct io_uring *src);

void uapi_layout(struct io_uring *ring, unsigned int index, struct io_uring_buffer_layout *l);
/* A line of /proc/self/status */
uint64_t uapi_status_kb(const char *key);

/* An SQE with these fields and nothing else. */
struct io_uring_sqe *uapi_sqe(struct io_uring *ring, unsigned int op, int fd, const void *addr,
			      unsigned int len, unsigned int buf_index);
/* Submits it and returns its result. With a notification, which is waited for. */
int uapi_run(struct io_uring *ring);

/* All of the buffer at @addr has to hold what is in @want. */
void uapi_expect_content(struct io_uring *ring, unsigned int buf_index, const void *addr,
			 size_t len, const void *want);

void *uapi_map(size_t len, int prot, int flags, int fd);
/* A new file on the disk, of @len bytes of a pattern */
int uapi_file(size_t len, uint64_t seed);

/* A memfd of @len bytes, all of them a hole; MFD_... */
int memfd_new(size_t len, unsigned int flags);
struct io_uring_regbuf_desc memfd_range(int fd, uint64_t offset, size_t size);
int memfd_set(struct io_uring *ring, unsigned int slot, struct io_uring_regbuf_desc desc);
/* What memfds are made of from now on: folios of 4 KiB, 64 KiB or 2 MiB */
void memfd_folios(size_t size);

#endif
