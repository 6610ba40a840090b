// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "held.h"

#define PAGE	(4 * KIB)
#define HUGE	(2 * MIB)

static struct uffdio_range last_page(const struct held *held)
{
	return (struct uffdio_range){ .start = (uintptr_t)held_page(held), .len = PAGE };
}

void held_map(struct held *held, size_t size, bool huge)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	size_t align = huge ? HUGE : PAGE;

	held->size = size;
	held->map_size = size + align;
	held->map = mmap(NULL, held->map_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);
	held->fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (held->map == MAP_FAILED || held->fd < 0 || ioctl(held->fd, UFFDIO_API, &api))
		die("memory with a userfaultfd: %s", strerror(errno));
	held->addr = (char *)ALIGN_UP((uintptr_t)held->map, align);
	if (madvise(held->addr, size, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE))
		die("madvise: %s", strerror(errno));
	/* First: a fault of a page before it would bring it, too, in a THP. */
	reg.range = last_page(held);
	if (ioctl(held->fd, UFFDIO_REGISTER, &reg))
		die("UFFDIO_REGISTER: %s", strerror(errno));
	for (size_t off = 0; off < size - PAGE; off += PAGE)
		held->addr[off] = 1;
}

void held_give(struct held *held, const void *content)
{
	static const char zeroes[PAGE] __attribute__((aligned(PAGE)));
	struct uffdio_copy copy = {
		.dst = (uintptr_t)held_page(held),
		.src = (uintptr_t)(content ? content : zeroes),
		.len = PAGE,
	};

	if (ioctl(held->fd, UFFDIO_COPY, &copy) && errno != EEXIST)
		die("UFFDIO_COPY: %s", strerror(errno));
}

void held_refuse(struct held *held)
{
	struct uffdio_range range = last_page(held);

	if (mprotect(held_page(held), PAGE, PROT_NONE) || ioctl(held->fd, UFFDIO_WAKE, &range))
		die("taking the page away: %s", strerror(errno));
}

void held_unmap(struct held *held)
{
	close(held->fd);
	munmap(held->map, held->map_size);
	held->fd = -1;
}

bool held_reached(const struct held *held, unsigned int seconds)
{
	struct pollfd fd = { .fd = held->fd, .events = POLLIN };
	struct uffd_msg msg;

	/* The message stays away when it is read, which nobody else does. */
	return poll(&fd, 1, (int)seconds * 1000) == 1 &&
	       read(held->fd, &msg, sizeof(msg)) == sizeof(msg) &&
	       msg.event == UFFD_EVENT_PAGEFAULT;
}
