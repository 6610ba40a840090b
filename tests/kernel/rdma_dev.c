// SPDX-License-Identifier: GPL-2.0
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <rdma/ib_user_verbs.h>
#include <rdma/rdma_netlink.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rdma_dev.h"

#define DEVICE		"rxe0"
#define NETDEV		"dummy0"
#define UVERBS		"/dev/infiniband/uverbs0"
#define TRIES		200

static int netdev_up(struct reason *why)
{
	struct ifreq req = { .ifr_name = NETDEV };
	struct sockaddr_in addr = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), ret = 0;

	addr.sin_addr.s_addr = htonl(0x0a000001);
	memcpy(&req.ifr_addr, &addr, sizeof(addr));
	if (fd < 0 || ioctl(fd, SIOCSIFADDR, &req))
		ret = because(why, "%s: %s", NETDEV, strerror(errno));
	req.ifr_flags = IFF_UP | IFF_RUNNING;
	if (!ret && ioctl(fd, SIOCSIFFLAGS, &req))
		ret = because(why, "%s up: %s", NETDEV, strerror(errno));
	close(fd);
	return ret;
}

struct message {
	struct nlmsghdr head;
	char attrs[256];
};

static void put_string(struct message *msg, unsigned short type, const char *text)
{
	struct nlattr *attr = (struct nlattr *)((char *)msg + NLMSG_ALIGN(msg->head.nlmsg_len));
	size_t len = strlen(text) + 1;

	attr->nla_type = type;
	attr->nla_len = (unsigned short)(NLA_HDRLEN + len);
	memcpy((char *)attr + NLA_HDRLEN, text, len);
	msg->head.nlmsg_len = NLMSG_ALIGN(msg->head.nlmsg_len) + NLA_ALIGN(attr->nla_len);
}

static int new_link(void)
{
	struct message msg = {
		.head = {
			.nlmsg_len = NLMSG_HDRLEN,
			.nlmsg_type = (RDMA_NL_NLDEV << 10) | RDMA_NLDEV_CMD_NEWLINK,
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK,
		},
	};
	struct {
		struct nlmsghdr head;
		struct nlmsgerr error;
		char more[512];
	} answer = { };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_RDMA), ret;

	if (fd < 0)
		return -errno;
	put_string(&msg, RDMA_NLDEV_ATTR_DEV_NAME, DEVICE);
	put_string(&msg, RDMA_NLDEV_ATTR_LINK_TYPE, "rxe");
	put_string(&msg, RDMA_NLDEV_ATTR_NDEV_NAME, NETDEV);
	if (send(fd, &msg, msg.head.nlmsg_len, 0) < 0 || recv(fd, &answer, sizeof(answer), 0) < 0)
		ret = -errno;
	else
		ret = answer.head.nlmsg_type == NLMSG_ERROR ? answer.error.error : -EPROTO;
	close(fd);
	return ret;
}

int rdma_dev_make(struct reason *why)
{
	int ret;

	if (!access(UVERBS, F_OK))
		return 0;
	if (netdev_up(why))
		return 1;
	ret = new_link();
	if (ret == -EPROTONOSUPPORT || ret == -EINVAL)
		return -because(why, "the kernel has no rxe");
	if (ret)
		return because(why, "making %s: %s", DEVICE, strerror(-ret));
	for (int i = 0; access(UVERBS, F_OK); i++) {
		if (i == TRIES)
			return because(why, "no %s", UVERBS);
		usleep(10000);
	}
	return 0;
}

/* A command whose response is @out */
static int command(int fd, unsigned int nr, void *cmd, size_t len, size_t out)
{
	struct ib_uverbs_cmd_hdr *head = cmd;

	head->command = nr;
	head->in_words = (__u16)(len / 4);
	head->out_words = (__u16)(out / 4);
	return write(fd, cmd, len) == (ssize_t)len ? 0 : -errno;
}

int rdma_dev_open(struct rdma_dev *dev, struct reason *why)
{
	struct ib_uverbs_get_context_resp context;
	struct ib_uverbs_alloc_pd_resp pd;
	struct {
		struct ib_uverbs_cmd_hdr head;
		__u64 response;
	} cmd = { .response = (uintptr_t)&context };
	int ret;

	dev->fd = open(UVERBS, O_RDWR | O_CLOEXEC);
	if (dev->fd < 0)
		return because(why, "%s: %s", UVERBS, strerror(errno));
	ret = command(dev->fd, IB_USER_VERBS_CMD_GET_CONTEXT, &cmd, sizeof(cmd), sizeof(context));
	if (!ret) {
		close((int)context.async_fd);
		cmd.response = (uintptr_t)&pd;
		ret = command(dev->fd, IB_USER_VERBS_CMD_ALLOC_PD, &cmd, sizeof(cmd), sizeof(pd));
	}
	if (ret) {
		close(dev->fd);
		return because(why, "a protection domain: %s", strerror(-ret));
	}
	dev->pd = pd.pd_handle;
	return 0;
}

void rdma_dev_close(struct rdma_dev *dev)
{
	close(dev->fd);
}

long rdma_reg_mr(const struct rdma_dev *dev, const void *addr, size_t len, unsigned int access)
{
	struct ib_uverbs_reg_mr_resp resp;
	struct {
		struct ib_uverbs_cmd_hdr head;
		struct ib_uverbs_reg_mr reg;
	} cmd = {
		.reg = {
			.response = (uintptr_t)&resp,
			.start = (uintptr_t)addr,
			.length = len,
			.hca_va = (uintptr_t)addr,
			.pd_handle = dev->pd,
			.access_flags = access,
		},
	};
	int ret = command(dev->fd, IB_USER_VERBS_CMD_REG_MR, &cmd, sizeof(cmd), sizeof(resp));

	return ret ? ret : (long)resp.mr_handle;
}

int rdma_dereg_mr(const struct rdma_dev *dev, uint32_t handle)
{
	struct {
		struct ib_uverbs_cmd_hdr head;
		struct ib_uverbs_dereg_mr dereg;
	} cmd = { .dereg.mr_handle = handle };

	return command(dev->fd, IB_USER_VERBS_CMD_DEREG_MR, &cmd, sizeof(cmd), 0);
}
