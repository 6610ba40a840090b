/* SPDX-License-Identifier: GPL-2.0 */
/*
 * An RDMA device in software, and memory regions of it, without a library: the commands of
 * /dev/infiniband/uverbsN as they are.
 */
#ifndef TESTS_KERNEL_RDMA_DEV_H
#define TESTS_KERNEL_RDMA_DEV_H

#include <stdint.h>

#include "util.h"

/* Makes the device rxe0 on dummy0, if it is not there. Returns 0; 1 or -1 with @why, as a skip. */
int rdma_dev_make(struct reason *why);

struct rdma_dev {
	int fd;
	uint32_t pd;
};

int rdma_dev_open(struct rdma_dev *dev, struct reason *why);
/* Regions that are left go with it. */
void rdma_dev_close(struct rdma_dev *dev);

/* @access: IB_UVERBS_ACCESS_... The handle, or -errno */
long rdma_reg_mr(const struct rdma_dev *dev, const void *addr, size_t len, unsigned int access);
int rdma_dereg_mr(const struct rdma_dev *dev, uint32_t handle);

#endif
