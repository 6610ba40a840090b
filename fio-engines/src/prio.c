// SPDX-License-Identifier: GPL-2.0-only
/*
 * Priorities of single requests, by fio's own helper for its engines, which draws them and
 * keeps statistics of each.
 */
#include <stdlib.h>

#include "engines/cmdprio.h"

#include "regbuf.h"

/* A fio without the engines that need it does not have it. */
extern __typeof__(fio_cmdprio_init) fio_cmdprio_init __attribute__((weak));

struct regbuf_prio {
	struct cmdprio cmdprio;
	struct cmdprio_options options;
};

int regbuf_prio_init(struct regbuf *rb)
{
	const struct regbuf_options *o = rb->o;
	struct regbuf_prio *p;
	unsigned int i;

	if (!o->cmdprio_percentage && !o->cmdprio_bssplit)
		return 0;
	if (!fio_cmdprio_init) {
		regbuf_say("this fio was built without cmdprio");
		return EOPNOTSUPP;
	}
	p = calloc(1, sizeof(*p));
	if (!p)
		return ENOMEM;
	rb->prio = p;
	for (i = 0; i < CMDPRIO_RWDIR_CNT; i++) {
		p->options.percentage[i] = o->cmdprio_percentage;
		p->options.class[i] = o->cmdprio_class;
		p->options.level[i] = o->cmdprio;
	}
	p->options.bssplit_str = o->cmdprio_bssplit;
	return fio_cmdprio_init(rb->td, &p->cmdprio, &p->options) ? EINVAL : 0;
}

void regbuf_prio_set(struct regbuf *rb, struct io_u *io_u, struct io_uring_sqe *sqe)
{
	if (fio_cmdprio_set_ioprio(rb->td, &rb->prio->cmdprio, io_u))
		sqe->ioprio = io_u->ioprio;
}

void regbuf_prio_free(struct regbuf *rb)
{
	if (!rb->prio)
		return;
	fio_cmdprio_cleanup(&rb->prio->cmdprio);
	free(rb->prio);
}
