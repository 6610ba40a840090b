// SPDX-License-Identifier: GPL-2.0
/*
 * fixed_send: SEND_ZC and SENDMSG_ZC from registered buffers, over TCP and UDP on the loopback
 * device.
 *
 *  - The data that arrives, of random parts of memory of all layouts, around edges of folios and
 *    at any alignment; as one range, and as iovecs.
 *  - The same when the receiver reads only after the buffer has been unregistered, its memory
 *    unmapped, and other memory filled: what is queued must be kept until it is sent.
 *  - The same where other data is before and behind it in one segment: written, and sent without
 *    a copy from memory that is not registered.
 *  - Datagrams, which have as many parts as an skb has frags, and no more.
 *  - What the socket is charged for queued data. A frag is charged with the pages that it has a
 *    part of; one that is charged with all that lies before it in its folio would fill the send
 *    buffer a hundred times too early.
 *
 * usage: fixed_send [START-OF-A-TEST'S-NAME]
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/sock_diag.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "acct_arena.h"
#include "pattern.h"
#include "tcp_pair.h"
#include "vmstat.h"

#ifndef SO_MEMINFO
#define SO_MEMINFO	55
#endif

#define PAGE		(4 * KIB)
#define VECS_MAX	16
#define LATE_BYTES	(8 * MIB)
#define SENDS		200

static struct acct_arena arena;
static uint64_t random_state = 1;

static size_t below(size_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (size_t)(random_state % n);
}

struct connection {
	struct tcp_pair pair;
	struct io_uring ring;
};

static void connect_pair(struct connection *conn, int sndbuf, int rcvbuf)
{
	int ret;

	tcp_pair_open(&conn->pair, sndbuf, rcvbuf);
	conn->pair.ring = &conn->ring;
	ret = io_uring_queue_init(8, &conn->ring, 0);
	if (ret)
		die("io_uring_queue_init: %s", strerror(-ret));
}

static void disconnect_pair(struct connection *conn)
{
	tcp_pair_close(&conn->pair);
	io_uring_queue_exit(&conn->ring);
}

/* What the whole buffer of slot 0 is. */
static void register_all(struct connection *conn, void *addr, size_t len)
{
	struct iovec iov = { addr, len };
	int ret = io_uring_register_buffers(&conn->ring, &iov, 1);

	if (ret)
		die("registering: %s", strerror(-ret));
}

static size_t random_start(size_t len)
{
	size_t at = below(ACCT_ARENA_UNIQUE - len);

	/* Half of them across an edge of some page or folio. */
	switch (below(4)) {
	case 0:
		at = ALIGN_DOWN(at, 2 * MIB) + (at < 2 * MIB ? 0 : 2 * MIB - len / 2);
		break;
	case 1:
		at = ALIGN_DOWN(at, 64 * KIB) + below(16);
	}
	return min_size(at, ACCT_ARENA_UNIQUE - len);
}

/* Is this what the parts have, one after the other? */
static int check_parts(const char *data, const struct iovec *iov, unsigned int nr,
		       struct reason *why)
{
	for (unsigned int v = 0; v < nr; data += iov[v++].iov_len) {
		size_t off = (size_t)((char *)iov[v].iov_base - arena.addr);
		size_t good = pattern_check(data, iov[v].iov_len, off, 7);

		if (good != iov[v].iov_len)
			return because(why, "part %u of %u: byte %zu of %zu from %#zx", v, nr, good,
				       iov[v].iov_len, off);
	}
	return 0;
}

static int test_data(struct reason *why)
{
	static const size_t lens[] = { 1, 100, 4096, 5000, 17000, 66000, 300000, 2100000 };
	struct connection conn;
	char *data = malloc(4 * MIB);
	int ret = 0;

	if (!data)
		die("out of memory");
	connect_pair(&conn, 0, 0);
	register_all(&conn, arena.addr, arena.size);
	for (int i = 0; i < SENDS && !ret; i++) {
		unsigned int nr = i % 2 ? 2 + (unsigned int)below(VECS_MAX - 1) : 1;
		struct iovec iov[VECS_MAX];
		size_t total = 0;

		for (unsigned int v = 0; v < nr; v++) {
			size_t len = lens[below(nr == 1 ? ARRAY_SIZE(lens) : 6)];

			iov[v] = (struct iovec){ arena.addr + random_start(len), len };
			total += len;
		}
		ret = tcp_pair_send(&conn.pair, 0, iov, nr, total, data, why);
		if (!ret)
			ret = check_parts(data, iov, nr, why);
	}
	io_uring_unregister_buffers(&conn.ring);
	disconnect_pair(&conn);
	free(data);
	return ret;
}

/* Memory that is likely to be where other memory was, filled with something else. */
static void fill_other_memory(size_t size)
{
	char *addr = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (addr == MAP_FAILED)
		die("mmap: %s", strerror(errno));
	madvise(addr, size, MADV_HUGEPAGE);
	memset(addr, 0xee, size);
	munmap(addr, size);
}

/* The receiver reads late: when there is no buffer any more. */
static int test_late(unsigned int nr, struct reason *why)
{
	size_t size = LATE_BYTES, total = 0, got = 0, at = 0, start = 3 * PAGE + 123;
	char *memory, *data = malloc(size);
	struct iovec iov[VECS_MAX];
	struct connection conn;
	struct msghdr msg;
	int result = 0, ret;

	memory = mmap(NULL, size + 2 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		      -1, 0);
	if (memory == MAP_FAILED || !data)
		die("out of memory");
	madvise(memory, size + 2 * MIB, MADV_HUGEPAGE);
	pattern_fill(memory, size, 0, 9);
	/* All of it is queued, most of it not yet sent. */
	connect_pair(&conn, 64 << 20, 4096);
	register_all(&conn, memory, size);
	for (unsigned int v = 0; v < nr; v++) {
		iov[v] = (struct iovec){ memory + start + v * (size / nr), size / nr - start - v };
		total += iov[v].iov_len;
	}
	tcp_pair_prepare(&conn.pair, 0, iov, nr, &msg, MSG_DONTWAIT);
	ret = io_uring_submit(&conn.ring);
	if (ret != 1)
		die("submitting: %s", strerror(-ret));
	for (int i = 0; i < 1000 && !result; i++) {
		tcp_pair_reap(&conn.pair, &result);
		usleep(1000);
	}
	if (result <= 0) {
		ret = because(why, "the send ended with %d", result);
		goto out;
	}
	if (!conn.pair.unfinished) {
		ret = because(why, "all of %d bytes is sent before anything is read", result);
		goto out;
	}
	total = (size_t)result;

	ret = io_uring_unregister_buffers(&conn.ring);
	if (ret) {
		because(why, "unregistering: %s", strerror(-ret));
		goto out;
	}
	munmap(memory, size + 2 * MIB);
	memory = NULL;
	fill_other_memory(4 * size);

	while (got < total) {
		ssize_t len = recv(conn.pair.to, data + got, total - got, 0);

		if (len <= 0)
			break;
		got += (size_t)len;
	}
	for (unsigned int v = 0; v < nr && at < got && !ret; at += iov[v++].iov_len) {
		size_t len = min_size(iov[v].iov_len, got - at);
		size_t off = start + v * (size / nr), good = pattern_check(data + at, len, off, 9);

		if (good != len)
			ret = because(why, "byte %zu of part %u of %u", good, v, nr);
	}
	if (!ret && got != total)
		ret = because(why, "%zu of %zu bytes arrived", got, total);
	for (int i = 0; i < 1000 && conn.pair.unfinished; i++) {
		tcp_pair_reap(&conn.pair, &result);
		usleep(1000);
	}
	if (!ret && conn.pair.unfinished)
		ret = because(why, "the kernel is not done with the memory in the end");
out:
	disconnect_pair(&conn);
	if (memory)
		munmap(memory, size + 2 * MIB);
	free(data);
	return ret;
}

static int test_late_one(struct reason *why)
{
	return test_late(1, why);
}

static int test_late_vec(struct reason *why)
{
	return test_late(5, why);
}

/* All but the last one wait for more, so that they share skbs. */
static int send_among_others(struct connection *conn, const struct iovec *iov, unsigned int nr,
			     struct reason *why)
{
	for (unsigned int v = 0; v < nr; v++) {
		int flags = v + 1 < nr ? MSG_MORE : 0, result = 0;
		size_t kind = below(4), part = iov[v].iov_len / 2;
		struct iovec halves[] = {
			{ iov[v].iov_base, part },
			{ (char *)iov[v].iov_base + part, iov[v].iov_len - part },
		};
		struct msghdr msg;

		if (kind == 0) {
			result = (int)send(conn->pair.from, iov[v].iov_base, iov[v].iov_len, flags);
		} else {
			if (kind == 1)
				io_uring_prep_send_zc(io_uring_get_sqe(&conn->ring), conn->pair.from,
						      iov[v].iov_base, iov[v].iov_len, flags, 0);
			else
				tcp_pair_prepare(&conn->pair, 0, kind == 2 ? &iov[v] : halves,
						 (unsigned int)kind - 1, &msg, flags);
			io_uring_submit_and_wait(&conn->ring, 1);
			while (!result)
				tcp_pair_reap(&conn->pair, &result);
		}
		if (result != (int)iov[v].iov_len)
			return because(why, "kind %zu: %d of %zu bytes sent", kind, result,
				       iov[v].iov_len);
	}
	return 0;
}

static int test_among_others(struct reason *why)
{
	char data[VECS_MAX * 5000];
	struct connection conn;
	int ret = 0;

	connect_pair(&conn, 4 << 20, 0);
	register_all(&conn, arena.addr, arena.size);
	for (int i = 0; i < SENDS && !ret; i++) {
		unsigned int nr = 2 + (unsigned int)below(VECS_MAX - 1);
		struct iovec iov[VECS_MAX];
		size_t total = 0;
		ssize_t got;

		for (unsigned int v = 0; v < nr; v++) {
			size_t len = 2 + below(4999);

			iov[v] = (struct iovec){ arena.addr + random_start(len), len };
			total += len;
		}
		ret = send_among_others(&conn, iov, nr, why);
		if (ret)
			break;
		got = recv(conn.pair.to, data, total, MSG_WAITALL);
		if (got != (ssize_t)total)
			ret = because(why, "%zd of %zu bytes arrived", got, total);
		else
			ret = check_parts(data, iov, nr, why);
	}
	io_uring_unregister_buffers(&conn.ring);
	disconnect_pair(&conn);
	return ret;
}

static void connect_datagrams(struct connection *conn)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	socklen_t len = sizeof(addr);
	int ret, rcvbuf = 4 << 20;

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	conn->pair = (struct tcp_pair){
		.from = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0),
		.to = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0),
		.ring = &conn->ring,
	};
	if (conn->pair.from < 0 || conn->pair.to < 0 ||
	    setsockopt(conn->pair.to, SOL_SOCKET, SO_RCVBUFFORCE, &rcvbuf, sizeof(rcvbuf)) ||
	    bind(conn->pair.to, (struct sockaddr *)&addr, sizeof(addr)) ||
	    getsockname(conn->pair.to, (struct sockaddr *)&addr, &len) ||
	    connect(conn->pair.from, (struct sockaddr *)&addr, sizeof(addr)))
		die("socket: %s", strerror(errno));
	ret = io_uring_queue_init(8, &conn->ring, 0);
	if (ret)
		die("io_uring_queue_init: %s", strerror(-ret));
}

#define FRAGS_MIN	17		/* CONFIG_MAX_SKB_FRAGS is that or more ... */
#define FRAGS_MAX	45		/* ... and this at most */
#define DATAGRAM_BYTES	1200		/* of a part */

/* One datagram, and what the send of it ended with */
static int send_datagram(struct connection *conn, unsigned int nr, int *result,
			 struct reason *why)
{
	char data[(FRAGS_MAX + 1) * DATAGRAM_BYTES];
	struct iovec iov[FRAGS_MAX + 1];
	struct msghdr msg;
	ssize_t got = 0;

	for (unsigned int v = 0; v < nr; v++) {
		/* In THPs, across edges of pages: a frag for each part. */
		iov[v].iov_len = 1 + below(DATAGRAM_BYTES);
		iov[v].iov_base = arena.addr + below(2) * 2 * MIB + (1 + below(500)) * PAGE -
				  below(DATAGRAM_BYTES);
	}
	*result = 0;
	tcp_pair_prepare(&conn->pair, 0, iov, nr, &msg, 0);
	io_uring_submit_and_wait(&conn->ring, 1);
	/* The kernel is done with the memory when the datagram has been received. */
	for (int i = 0; i < 5000 && (!*result || conn->pair.unfinished); i++) {
		ssize_t len = recv(conn->pair.to, data, sizeof(data), MSG_DONTWAIT);

		got = len > 0 ? len : got;
		tcp_pair_reap(&conn->pair, result);
		usleep(1000);
	}
	if (!*result || conn->pair.unfinished)
		return because(why, "%u parts: the kernel is not done with the memory", nr);
	if (*result != got && (*result > 0 || got))
		return because(why, "%u parts: %d, but %zd bytes arrived", nr, *result, got);
	return *result > 0 ? check_parts(data, iov, nr, why) : 0;
}

static int test_datagrams(struct reason *why)
{
	unsigned int most = FRAGS_MAX + 1;
	struct connection conn;
	int result = 0, ret = 0;

	connect_datagrams(&conn);
	register_all(&conn, arena.addr, 4 * MIB);
	for (unsigned int nr = 2; nr <= FRAGS_MAX + 1 && !ret && result >= 0; nr++) {
		ret = send_datagram(&conn, nr, &result, why);
		if (result < 0)
			most = nr - 1;
	}
	if (!ret && (most < FRAGS_MIN || most > FRAGS_MAX))
		ret = because(why, "%u parts go into a datagram, then %d", most, result);
	/* And the socket is as it was. */
	for (int i = 0; i < SENDS && !ret; i++) {
		unsigned int nr = 2 + (unsigned int)below(most);

		ret = send_datagram(&conn, nr, &result, why);
		if (!ret && (nr > most ? result != -EMSGSIZE : result < 0))
			ret = because(why, "%u parts: %d, where %u go into a datagram", nr, result,
				      most);
	}
	io_uring_unregister_buffers(&conn.ring);
	disconnect_pair(&conn);
	return ret;
}

/* Bytes that the socket is charged for what it has queued. */
static uint32_t queued_charge(const struct connection *conn)
{
	uint32_t info[SK_MEMINFO_VARS] = { 0 };
	socklen_t len = sizeof(info);

	if (getsockopt(conn->pair.from, SOL_SOCKET, SO_MEMINFO, info, &len))
		die("SO_MEMINFO: %s", strerror(errno));
	return info[SK_MEMINFO_WMEM_QUEUED];
}

#define SMALL_SENDS	64
#define SMALL_BYTES	3000

/* Pages that have a part of it */
static uint32_t pages_of(const struct iovec *iov)
{
	size_t start = (size_t)iov->iov_base % PAGE;

	return (uint32_t)((start + iov->iov_len + PAGE - 1) / PAGE);
}

/* Until nothing goes out any more: what follows stays queued. */
static void fill_window(struct connection *conn)
{
	uint32_t last = 0;

	for (int i = 0, kept = 0; i < 200 && kept < 8; i++) {
		struct iovec iov = { arena.addr, 16 * KIB };
		uint32_t now = queued_charge(conn);
		int result = 0;

		kept = now >= last + 16 * KIB ? kept + 1 : 0;
		last = now;
		tcp_pair_prepare(&conn->pair, 0, &iov, 1, NULL, MSG_DONTWAIT);
		io_uring_submit_and_wait(&conn->ring, 1);
		tcp_pair_reap(&conn->pair, &result);
		usleep(10000);
	}
}

/*
 * Small parts from far inside of huge pages, @nr for each send. A send has an skb to hold it, or
 * two, and then the pages of one part twice.
 */
static int test_charge(unsigned int nr, struct reason *why)
{
	uint32_t charge, least = 0, most;
	const int bytes = SMALL_BYTES * (int)nr;
	struct connection conn;
	int ret = 0;

	/* A window that needs no send to be cut */
	connect_pair(&conn, 64 << 20, 256 << 10);
	/* THPs alone, so that every kernel has them as such. */
	register_all(&conn, arena.addr, 4 * MIB);
	fill_window(&conn);
	charge = queued_charge(&conn);
	for (size_t i = 0; i < SMALL_SENDS && !ret; i++) {
		struct iovec iov[VECS_MAX];
		struct msghdr msg;
		int result = 0;

		/* Around the ends of THPs, each time elsewhere. */
		for (size_t v = 0; v < nr; v++) {
			iov[v].iov_base = arena.addr + 2 * MIB * (1 + (i + v) % 2) - 4 * PAGE -
					  64 * i - 8 * v;
			iov[v].iov_len = SMALL_BYTES;
			least += PAGE * pages_of(&iov[v]);
		}
		tcp_pair_prepare(&conn.pair, 0, iov, nr, &msg, MSG_DONTWAIT);
		io_uring_submit_and_wait(&conn.ring, 1);
		tcp_pair_reap(&conn.pair, &result);
		if (result != bytes)
			ret = because(why, "send %zu: %d of %d bytes queued, with %u KiB charged", i,
				      result, bytes, queued_charge(&conn) / 1024);
	}
	charge = queued_charge(&conn) - charge;
	most = least + SMALL_SENDS * PAGE;
	if (!ret && (charge > most || charge < least))
		ret = because(why, "%d sends of %d bytes are charged with %u, not %u to %u",
			      SMALL_SENDS, bytes, charge, least, most);
	if (!ret)
		printf("     %d bytes queued are charged with %u\n", SMALL_SENDS * bytes, charge);
	io_uring_unregister_buffers(&conn.ring);
	disconnect_pair(&conn);
	return ret;
}

static int test_charge_one(struct reason *why)
{
	return test_charge(1, why);
}

static int test_charge_vec(struct reason *why)
{
	return test_charge(5, why);
}

static const struct {
	const char *name;
	int (*run)(struct reason *why);
} tests[] = {
	{ "data", test_data },
	{ "read late, one range", test_late_one },
	{ "read late, iovecs", test_late_vec },
	{ "among other data", test_among_others },
	{ "datagrams", test_datagrams },
	{ "charge of what is queued, one range", test_charge_one },
	{ "charge of what is queued, iovecs", test_charge_vec },
};

int main(int argc, char **argv)
{
	const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	const char *only = argc > 1 ? argv[1] : "";
	unsigned int run = 0, failed = 0;
	struct vmstat start;
	struct reason why;

	if (setrlimit(RLIMIT_MEMLOCK, &unlimited))
		die("cannot raise RLIMIT_MEMLOCK: %s", strerror(errno));
	vmstat_start(&start);
	if (acct_arena_map(&arena, &why))
		die("%s", why.text);
	pattern_fill(arena.addr, arena.size, 0, 7);
	/* The huge page that is mapped twice has the data of its second place. */
	pattern_fill(arena.addr, ACCT_ARENA_UNIQUE, 0, 7);
	for (size_t i = 0; i < ARRAY_SIZE(tests); i++) {
		int ret;

		if (strncmp(tests[i].name, only, strlen(only)))
			continue;
		ret = tests[i].run(&why);
		run++;
		failed += !!ret;
		printf(ret ? "FAIL %s: %s\n" : "ok   %s\n", tests[i].name, why.text);
		fflush(stdout);
	}
	munmap(arena.addr, arena.size);
	if (vmstat_balanced(&start, &why))
		die("in the end: %s", why.text);
	printf("%u passed, %u failed, 0 skipped\n", run - failed, failed);
	return failed || !run ? 1 : 0;
}
