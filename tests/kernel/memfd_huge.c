// SPDX-License-Identifier: GPL-2.0
/*
 * memfd_huge: a huge page that memfd_pin_folios() allocated, for a udmabuf, is one that can be moved
 * once nobody pins it. Soft offline moves it, as it does one that was faulted in before. Ends with
 * "N passed, N failed, N skipped".
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/mman.h>
#include <linux/udmabuf.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "util.h"

#define HUGE_PAGE	(2 * MIB)
#define POOL		"/proc/sys/vm/nr_hugepages"
#define SKIPPED		77

static char *map(int memfd)
{
	char *addr = mmap(NULL, HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);

	if (addr == MAP_FAILED)
		die("mmap: %s", strerror(errno));
	*addr = 1;
	return addr;
}

static int check(int udmabuf, bool faulted, struct reason *why)
{
	int memfd = memfd_create("huge", MFD_HUGETLB | MFD_ALLOW_SEALING | MFD_CLOEXEC), buf, ret = 0;
	struct udmabuf_create create = { .memfd = (unsigned int)memfd, .size = HUGE_PAGE };
	char *addr;

	if (memfd < 0 || ftruncate(memfd, HUGE_PAGE) || fcntl(memfd, F_ADD_SEALS, F_SEAL_SHRINK))
		die("a memfd of huge pages: %s", strerror(errno));
	if (faulted)
		munmap(map(memfd), HUGE_PAGE);
	buf = ioctl(udmabuf, UDMABUF_CREATE, &create);
	if (buf < 0)
		die("UDMABUF_CREATE: %s", strerror(errno));
	close(buf);

	addr = map(memfd);
	if (madvise(addr, HUGE_PAGE, MADV_SOFT_OFFLINE))
		ret = because(why, "soft offline: %s", strerror(errno));
	else if (*addr != 1)
		ret = because(why, "soft offline, and the page has lost what was in it");
	munmap(addr, HUGE_PAGE);
	close(memfd);
	return ret;
}

int main(void)
{
	static const char * const names[] = { "allocated when it was pinned", "faulted in before" };
	int udmabuf = open("/dev/udmabuf", O_RDWR | O_CLOEXEC);
	unsigned int failed = 0;

	if (udmabuf < 0) {
		printf("no /dev/udmabuf: %s\n", strerror(errno));
		return SKIPPED;
	}
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct reason why;

		/* The last one went offline with its page. */
		if (write_string(POOL, "0") || write_string(POOL, "4"))
			die("%s cannot be set", POOL);
		if (check(udmabuf, i == 1, &why)) {
			failed++;
			printf("FAIL %s: %s\n", names[i], why.text);
		} else {
			printf("ok   %s\n", names[i]);
		}
	}
	printf("%zu passed, %u failed, 0 skipped\n", ARRAY_SIZE(names) - failed, failed);
	return failed ? 1 : 0;
}
