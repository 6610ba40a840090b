// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <gup_test.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "race_pin.h"
#include "uring.h"

#define GUP_TEST	"/sys/kernel/debug/gup_test"

const char * const pin_way_names[PIN_WAYS] = { "io_uring", "pages", "runs" };

static int gup_test_start(struct pinner *pinner, enum pin_way way, void *addr, size_t nr_pages,
			  bool write)
{
	struct pin_longterm_test test = {
		.addr = (uintptr_t)addr,
		.size = nr_pages * PAGE,
		.flags = (way == PIN_RUNS ? PIN_LONGTERM_TEST_FLAG_USE_RUNS :
			  PIN_LONGTERM_TEST_FLAG_USE_FAST) |
			 (write ? PIN_LONGTERM_TEST_FLAG_USE_WRITE : 0),
	};

	return ioctl(pinner->gup_test, PIN_LONGTERM_TEST_START, &test) ? -errno : 0;
}

static int gup_test_copy(struct pinner *pinner, unsigned long request)
{
	uint64_t addr = (uintptr_t)pinner->copy;

	return ioctl(pinner->gup_test, request, &addr) ? -errno : 0;
}

/* Stock knows neither runs nor PIN_LONGTERM_TEST_WRITE. */
static void gup_test_probe(struct pinner *pinner, enum pin_way way, void *addr)
{
	if (pinner->gup_test < 0 || gup_test_start(pinner, way, addr, 1, true))
		return;
	pinner->works[way] = !gup_test_copy(pinner, PIN_LONGTERM_TEST_READ);
	pinner->writes[way] = !gup_test_copy(pinner, PIN_LONGTERM_TEST_WRITE);
	ioctl(pinner->gup_test, PIN_LONGTERM_TEST_STOP);
}

void pinner_init(struct pinner *pinner, size_t max_pages)
{
	void *addr;
	int ret;

	memset(pinner, 0, sizeof(*pinner));
	pinner->max_pages = max_pages;
	pinner->memfd = memfd_create("pinned", MFD_CLOEXEC);
	if (pinner->memfd < 0 || ftruncate(pinner->memfd, (off_t)(max_pages * PAGE)))
		die("memfd: %s", strerror(errno));
	pinner->copy = mmap(NULL, max_pages * PAGE, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_POPULATE, pinner->memfd, 0);
	addr = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (pinner->copy == MAP_FAILED || addr == MAP_FAILED)
		die("out of memory");

	ret = io_uring_queue_init(4, &pinner->ring, 0);
	if (ret)
		die("io_uring_queue_init: %s", strerror(-ret));
	pinner->works[PIN_IO_URING] = true;
	pinner->writes[PIN_IO_URING] = true;
	pinner->gup_test = open(GUP_TEST, O_RDWR | O_CLOEXEC);
	for (enum pin_way way = PIN_PAGES; way < PIN_WAYS; way++)
		gup_test_probe(pinner, way, addr);
	munmap(addr, PAGE);
}

void pinner_exit(struct pinner *pinner)
{
	io_uring_queue_exit(&pinner->ring);
	if (pinner->gup_test >= 0)
		close(pinner->gup_test);
	munmap(pinner->copy, pinner->max_pages * PAGE);
	close(pinner->memfd);
}

static void set_held(struct pinner *pinner, enum pin_way way, void *addr, size_t nr_pages)
{
	pinner->way = way;
	pinner->addr = addr;
	pinner->nr_pages = nr_pages;
}

int pin_hold_source(struct pinner *pinner, void *addr, size_t nr_pages)
{
	struct iovec iov = { addr, nr_pages * PAGE };

	set_held(pinner, PIN_IO_URING, addr, nr_pages);
	return uring_buffers_readonly(&pinner->ring, &iov, 1);
}

int pin_hold(struct pinner *pinner, enum pin_way way, void *addr, size_t nr_pages, bool write)
{
	struct iovec iov = { addr, nr_pages * PAGE };

	set_held(pinner, way, addr, nr_pages);
	if (way == PIN_IO_URING)
		return io_uring_register_buffers(&pinner->ring, &iov, 1);
	return gup_test_start(pinner, way, addr, nr_pages, write);
}

/* All of the buffer, with one request, to or from the start of the memfd. */
static int fixed_io(struct pinner *pinner, bool to_memory)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&pinner->ring);
	unsigned int len = (unsigned int)(pinner->nr_pages * PAGE);
	struct io_uring_cqe *cqe;
	int ret;

	if (to_memory)
		io_uring_prep_read_fixed(sqe, pinner->memfd, pinner->addr, len, 0, 0);
	else
		io_uring_prep_write_fixed(sqe, pinner->memfd, pinner->addr, len, 0, 0);
	ret = io_uring_submit_and_wait(&pinner->ring, 1);
	if (ret < 0)
		return ret;
	ret = io_uring_wait_cqe(&pinner->ring, &cqe);
	if (ret)
		return ret;
	ret = cqe->res;
	io_uring_cqe_seen(&pinner->ring, cqe);
	if (ret < 0)
		return ret;
	return (unsigned int)ret == len ? 0 : -EIO;
}

int pin_read(struct pinner *pinner)
{
	if (pinner->way == PIN_IO_URING)
		return fixed_io(pinner, false);
	return gup_test_copy(pinner, PIN_LONGTERM_TEST_READ);
}

int pin_write(struct pinner *pinner)
{
	if (pinner->way == PIN_IO_URING)
		return fixed_io(pinner, true);
	return gup_test_copy(pinner, PIN_LONGTERM_TEST_WRITE);
}

int pin_release(struct pinner *pinner)
{
	if (pinner->way == PIN_IO_URING)
		return io_uring_unregister_buffers(&pinner->ring);
	return ioctl(pinner->gup_test, PIN_LONGTERM_TEST_STOP) ? -errno : 0;
}
