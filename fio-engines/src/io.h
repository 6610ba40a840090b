/* SPDX-License-Identifier: GPL-2.0-only */
/* What fio calls for each I/O, and what setting up shares with it. */
#ifndef REGBUF_IO_H
#define REGBUF_IO_H

#include <endian.h>

/* fio's verify.h makes use of this, and fio keeps it for itself */
#ifndef le32_to_cpu
#define le32_to_cpu(x)	le32toh(x)
#endif
#include "verify.h"

#include "regbuf.h"

/*
 * What a clock costs would be seen where each I/O is waited for: the processor's counter is
 * read then, and becomes time at the end, when both have run on for a while.
 */
static inline uint64_t regbuf_ticks(void)
{
#ifdef ARCH_HAVE_CPU_CLOCK
	return get_cpu_clock();
#else
	return regbuf_now();
#endif
}

int regbuf_io_prep(struct thread_data *td, struct io_u *io_u);
enum fio_q_status regbuf_io_queue(struct thread_data *td, struct io_u *io_u);
int regbuf_io_commit(struct thread_data *td);
int regbuf_io_getevents(struct thread_data *td, unsigned int min, unsigned int max,
			const struct timespec *t);
struct io_u *regbuf_io_event(struct thread_data *td, int event);

/* Where the data of a place begins. */
char *regbuf_io_place(const struct regbuf *rb, uint64_t place);
void regbuf_io_set_place(struct regbuf *rb, struct io_u *io_u, uint64_t place);
/* Does fio write what was in the buffer before, and not fill it for verification? */
bool regbuf_io_keeps_data(const struct thread_data *td);
/* With nothing in flight: those that are there. */
void regbuf_io_take_tags(struct regbuf *rb);
/* With nothing in flight: until reg_op=sqe has none under way, or -errno. */
int regbuf_io_wait_request(struct regbuf *rb);
/* With nothing in flight: until all tags have come, or an errno if it takes too long. */
int regbuf_io_wait_tags(struct regbuf *rb);

/* send.c: reg_mode=send */
int regbuf_send_connect(struct regbuf *rb);
void regbuf_send_prep(struct regbuf *rb, struct io_u *io_u, struct io_uring_sqe *sqe, bool fixed);
/* Is this the request's last completion?  Then *@res is its result. */
bool regbuf_send_done(struct regbuf *rb, const struct io_u *io_u, const struct io_uring_cqe *cqe,
		      int *res);

/* nvme.c: cmd_type=nvme */
int regbuf_nvme_get_size(struct thread_data *td, struct fio_file *f);
void regbuf_nvme_prep(const struct io_u *io_u, struct io_uring_sqe *sqe, bool fixed);
void regbuf_nvme_prep_flush(const struct io_u *io_u, struct io_uring_sqe *sqe);
/* As that of other requests: bytes, or -errno. */
int regbuf_nvme_result(const struct io_u *io_u, int res);

/* register.c: reg_mode=register */
enum fio_q_status regbuf_register_queue(struct thread_data *td, struct io_u *io_u);

#endif
