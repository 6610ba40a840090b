// SPDX-License-Identifier: GPL-2.0
/* What the table of reg_order has no form for. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "order.h"
#include "registration.h"
#include "ublk_server.h"
#include "uring.h"

#define PAGE		(4 * KIB)
#define BYTES		(ORDER_PAGES * PAGE)

/* --- every other opcode ------------------------------------------------------------------- */

static struct opcode {
	const char *name;
	unsigned int opcode;
	void *arg;
	unsigned int nr;
	struct order *order;
	pthread_t thread;
	_Atomic pid_t tid;
	atomic_bool done;
	int result;
} opcodes[] = {
	{ .name = "PROBE", .opcode = IORING_REGISTER_PROBE,
	  .arg = (char [2048]){ 0 }, .nr = 16 },
	{ .name = "FILES", .opcode = IORING_REGISTER_FILES, .arg = (int []){ 0 }, .nr = 1 },
	{ .name = "EVENTFD", .opcode = IORING_REGISTER_EVENTFD, .arg = (int []){ -1 }, .nr = 1 },
	{ .name = "PERSONALITY", .opcode = IORING_REGISTER_PERSONALITY },
	{ .name = "IOWQ_MAX_WORKERS", .opcode = IORING_REGISTER_IOWQ_MAX_WORKERS,
	  .arg = (unsigned int []){ 0, 0 }, .nr = 2 },
	{ .name = "RING_FDS", .opcode = IORING_REGISTER_RING_FDS,
	  .arg = &(struct io_uring_rsrc_update){ .offset = UINT32_MAX }, .nr = 1 },
	{ .name = "RESTRICTIONS", .opcode = IORING_REGISTER_RESTRICTIONS },
	{ .name = "ENABLE_RINGS", .opcode = IORING_REGISTER_ENABLE_RINGS },
	{ .name = "CLOCK", .opcode = 29, .arg = (unsigned int [4]){ CLOCK_MONOTONIC } },
	{ .name = "QUERY", .opcode = 35 },
};

static void *opcode_thread(void *arg)
{
	struct opcode *at = arg;

	atomic_store(&at->tid, gettid());
	at->result = uring_register(at->order->ring.ring_fd, at->opcode, at->arg, at->nr);
	atomic_store(&at->done, true);
	return NULL;
}

static int run_opcodes(char *text, size_t size, struct reason *why)
{
	static const struct order_call update = { ORDER_UPDATE, "H", 0 };
	static const struct order_call sparse = { ORDER_REGISTER, "----", 0 };
	struct order_party first;
	struct order order;
	size_t len = 0;

	order_setup(&order, 0);
	order_call(&order, &sparse);
	order_begin(&first, &order, &update, 1);
	order_reached(&order);
	for (struct opcode *at = opcodes; at < opcodes + ARRAY_SIZE(opcodes); at++) {
		if (at->opcode == IORING_REGISTER_EVENTFD)
			*(int *)at->arg = eventfd(0, EFD_CLOEXEC);
		if (at->opcode == IORING_REGISTER_RING_FDS)
			((struct io_uring_rsrc_update *)at->arg)->data =
				(unsigned int)order.ring.ring_fd;
		at->order = &order;
		if (pthread_create(&at->thread, NULL, opcode_thread, at))
			die("pthread_create");
	}
	for (struct opcode *at = opcodes; at < opcodes + ARRAY_SIZE(opcodes); at++)
		len += (size_t)snprintf(text + len, size - len, "%s%s %s", len ? ", " : "", at->name,
					order_waits(&at->tid, &at->done) ? "waits" : "does not");
	held_give(&order.held, NULL);
	order_join(&first);
	for (struct opcode *at = opcodes; at < opcodes + ARRAY_SIZE(opcodes); at++) {
		pthread_join(at->thread, NULL);
		len += (size_t)snprintf(text + len, size - len, "%s%s", at == opcodes ? ": " : " ",
					order_result(at->result));
		if (at->opcode == IORING_REGISTER_EVENTFD)
			close(*(int *)at->arg);
	}
	return order_end(&order, why);
}

/* --- two tables of the same ring, and a limit for one of them ------------------------------ */

#define TABLE_BYTES	(64 * MIB)
#define TABLE_LIMIT	(TABLE_BYTES + 16 * MIB)

struct racer {
	struct order *order;
	pthread_barrier_t *barrier;
	char *memory;
	int result;
};

static void *racer_thread(void *arg)
{
	struct racer *racer = arg;
	struct iovec iov = { racer->memory, TABLE_BYTES };

	pthread_barrier_wait(racer->barrier);
	racer->result = uring_register(racer->order->ring.ring_fd, IORING_REGISTER_BUFFERS, &iov,
				       1);
	return NULL;
}

static int run_same_table(char *text, size_t size, struct reason *why)
{
	char *memory = mmap(NULL, TABLE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);
	unsigned int both = 0, neither = 0, other = 0;
	pthread_barrier_t barrier;
	struct order order;

	if (memory == MAP_FAILED || madvise(memory, TABLE_BYTES, MADV_NOHUGEPAGE))
		die("memory: %s", strerror(errno));
	memset(memory, 1, TABLE_BYTES);
	pthread_barrier_init(&barrier, NULL, 2);
	order_setup(&order, 0);
	order_limit(TABLE_LIMIT / PAGE);
	for (unsigned int round = 0; round < order_rounds; round++) {
		struct racer racers[2] = { { &order, &barrier, memory, 0 },
					   { &order, &barrier, memory, 0 } };
		pthread_t thread;
		int ok;

		if (pthread_create(&thread, NULL, racer_thread, &racers[1]))
			die("pthread_create");
		racer_thread(&racers[0]);
		pthread_join(thread, NULL);
		ok = !racers[0].result + !racers[1].result;
		both += ok == 2;
		neither += !ok;
		other += ok == 1 && racers[0].result + racers[1].result != -EBUSY;
		io_uring_unregister_buffers(&order.ring);
	}
	order_limit(0);
	snprintf(text, size, "both %u times, neither %u times, one that is not told EBUSY %u times",
		 both, neither, other);
	pthread_barrier_destroy(&barrier);
	munmap(memory, TABLE_BYTES);
	return order_end(&order, why);
}

/* --- a tag says that there is room ---------------------------------------------------------- */

/* To release so many pages takes longer than to pin what is charged first. */
#define FEW		(16 * PAGE)
#define MANY		(64 * MIB)
#define REGION_PAGES	16

/* Has the buffer in slot 0 by a request that waits for a byte. */
struct reader {
	struct order *order;
	char *memory;
	int pipe;
	bool region;			/* what there is room for is a region */
	pthread_barrier_t barrier;
};

enum { READ_DATA = 1, TAG_DATA };

static void *reader_thread(void *arg)
{
	struct reader *reader = arg;
	struct io_uring_sqe *sqe = io_uring_get_sqe(&reader->order->ring);

	io_uring_prep_read_fixed(sqe, reader->pipe, reader->memory, 1, 0, 0);
	sqe->user_data = READ_DATA;
	if (io_uring_submit(&reader->order->ring) != 1)
		die("cannot submit");
	pthread_barrier_wait(&reader->barrier);
	/* The request ends while this thread waits here. */
	pthread_barrier_wait(&reader->barrier);
	return NULL;
}

/* One round: the buffer leaves the table, its tag comes, and something else takes its room. */
static int room_round(struct reader *reader, int fd, size_t bytes)
{
	struct io_uring *ring = &reader->order->ring;
	struct iovec iov = { reader->memory, bytes }, none = { };
	__u64 tag = TAG_DATA, no_tag = 0, data = 0;
	struct io_uring_cqe *cqe;
	unsigned int seen = 0;
	pthread_t thread;
	int ret;

	/* What a ring was charged for that is closed goes a little later. */
	for (int ms = 0; ms < 1000; ms++) {
		ret = io_uring_register_buffers_tags(ring, &iov, &tag, 1);
		if (ret != -ENOMEM || !reader->region)
			break;
		usleep(1000);
	}
	if (ret || pthread_create(&thread, NULL, reader_thread, reader))
		die("cannot register (%d), or no thread", ret);
	pthread_barrier_wait(&reader->barrier);
	if (io_uring_register_buffers_update_tag(ring, 0, &none, &no_tag, 1) != 1 ||
	    write(fd, "", 1) != 1)
		die("cannot update, or write");
	while (seen < 2) {
		if (io_uring_peek_cqe(ring, &cqe))
			continue;
		data = cqe->user_data;
		io_uring_cqe_seen(ring, cqe);
		seen++;
		if (data == TAG_DATA && reader->region)
			ret = uring_mem_region(ring, REGION_PAGES) ? 0 : 1;
		else if (data == TAG_DATA)
			ret = io_uring_register_buffers_update_tag(ring, 0, &iov, &no_tag, 1);
	}
	pthread_barrier_wait(&reader->barrier);
	pthread_join(thread, NULL);
	io_uring_unregister_buffers(ring);
	return ret;
}

static unsigned int room_misses(struct reader *reader, int fd, size_t bytes)
{
	unsigned int misses = 0;

	order_limit(bytes / PAGE);
	for (unsigned int round = 0; round < order_rounds; round++)
		misses += room_round(reader, fd, bytes) != 1;
	order_limit(0);
	return misses;
}

static void room_open(struct reader *reader, struct order *order, int fds[2])
{
	*reader = (struct reader){ .order = order };
	reader->memory = mmap(NULL, MANY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			      0);
	if (reader->memory == MAP_FAILED || madvise(reader->memory, MANY, MADV_NOHUGEPAGE) ||
	    pipe(fds))
		die("memory: %s", strerror(errno));
	memset(reader->memory, 1, MANY);
	pthread_barrier_init(&reader->barrier, NULL, 2);
	reader->pipe = fds[0];
}

static void room_close(struct reader *reader, int fds[2])
{
	close(fds[0]);
	close(fds[1]);
	pthread_barrier_destroy(&reader->barrier);
	munmap(reader->memory, MANY);
}

static int run_room(char *text, size_t size, struct reason *why)
{
	unsigned int misses_few, misses_many;
	struct reader reader;
	struct order order;
	int fds[2];

	room_open(&reader, &order, fds);
	order_setup(&order, 0);
	held_give(&order.held, NULL);
	misses_few = room_misses(&reader, fds[1], FEW);
	misses_many = room_misses(&reader, fds[1], MANY);
	snprintf(text, size, "no room for few pages %u times, for many %u times", misses_few,
		 misses_many);
	room_close(&reader, fds);
	return order_end(&order, why);
}

/* A ring has one region of memory, and no other call that is charged and is no buffer. */
static int run_room_region(char *text, size_t size, struct reason *why)
{
	unsigned int misses = 0;
	struct reader reader;
	struct order order;
	int fds[2], ret = 0;

	room_open(&reader, &order, fds);
	reader.region = true;
	for (unsigned int round = 0; round < order_rounds && !ret; round++) {
		order_setup(&order, 0);
		held_give(&order.held, NULL);
		order_limit(MANY / PAGE);
		misses += room_round(&reader, fds[1], MANY) != 1;
		order_limit(0);
		ret = order_end(&order, why);
	}
	snprintf(text, size, "no room %u times", misses);
	room_close(&reader, fds);
	return ret;
}

/* --- two entries, again and again ---------------------------------------------------------- */

struct toggler {
	struct order *order;
	atomic_bool stop;
	unsigned long updates;
	int result;
};

static void *toggle_thread(void *arg)
{
	static const struct order_call calls[] = { { ORDER_UPDATE_PLAIN, "AB", 0 },
						   { ORDER_UPDATE_PLAIN, "OP", 0 } };
	struct toggler *toggler = arg;

	toggler->result = 2;
	while (!atomic_load(&toggler->stop) && toggler->result == 2)
		toggler->result = order_call(toggler->order, &calls[toggler->updates++ % 2]);
	return NULL;
}

static int run_toggle(char *text, size_t size, struct reason *why)
{
	static const struct order_call table = { ORDER_REGISTER, "----", 0 };
	static const struct order_call start = { ORDER_UPDATE_PLAIN, "OP", 0 };
	static const struct order_call clone = { ORDER_CLONE_OUT, NULL, 0 };
	unsigned int split = 0, split_clones = 0;
	struct toggler toggler;
	struct order order;
	pthread_t thread;

	order_setup(&order, 0);
	held_give(&order.held, NULL);
	if (order_call(&order, &table) || order_call(&order, &start) != 2)
		die("cannot make a table");
	toggler = (struct toggler){ .order = &order };
	if (pthread_create(&thread, NULL, toggle_thread, &toggler))
		die("pthread_create");
	for (unsigned int round = 0; round < 20 * order_rounds; round++) {
		char slots[ORDER_SLOTS + 1];

		split += order_requests(&order) == 's';
		if (round % 20)
			continue;
		if (order_call(&order, &clone))
			die("cannot clone");
		order_slots(&order, &order.other, slots);
		split_clones += strcmp(slots, "OP--") && strcmp(slots, "AB--");
		io_uring_unregister_buffers(&order.other);
	}
	atomic_store(&toggler.stop, true);
	pthread_join(thread, NULL);
	snprintf(text, size, "UPDATE %s, requests split %u times, clones %u times",
		 order_result(toggler.result), split, split_clones);
	return order_end(&order, why);
}

/* --- clones in both directions -------------------------------------------------------------- */

static void *replace_thread(void *arg)
{
	static const struct order_call replace = { ORDER_REPLACE_IN, NULL, 0 };
	struct toggler *toggler = arg;

	while (!atomic_load(&toggler->stop) && !toggler->result)
		toggler->result = order_call(toggler->order, &replace);
	return NULL;
}

static int run_both_ways(char *text, size_t size, struct reason *why)
{
	static const struct order_call table = { ORDER_REGISTER, "HA", 0 };
	static const struct order_call clone = { ORDER_CLONE_OUT, NULL, 0 };
	struct toggler toggler;
	struct order order;
	pthread_t thread;
	int ret;

	order_setup(&order, 0);
	held_give(&order.held, NULL);
	if (order_call(&order, &table) || order_call(&order, &clone))
		die("cannot make tables");
	toggler = (struct toggler){ .order = &order };
	if (pthread_create(&thread, NULL, replace_thread, &toggler))
		die("pthread_create");
	ret = 0;
	for (unsigned int round = 0; !ret && round < 20 * order_rounds; round++)
		ret = uring_clone(&order.other, &order.ring, 0, 0, 0, URING_CLONE_DST_REPLACE);
	atomic_store(&toggler.stop, true);
	pthread_join(thread, NULL);
	snprintf(text, size, "%s and %s", order_result(ret), order_result(toggler.result));
	return order_end(&order, why);
}

/* --- kernel buffers -------------------------------------------------------------------------- */

#define DEVICE_SIZE	MIB
/* Where a kernel that lets requests run tells at once */
#define ANSWER_USEC	500000

static void *read_device(void *arg)
{
	static char block[PAGE] __attribute__((aligned(PAGE)));
	int *fd = arg;

	/* The server tells what happened. */
	if (pread(*fd, block, sizeof(block), 0) < 0)
		return NULL;
	return NULL;
}

/* A kernel buffer for @slot of a ring's table while slot 0 is being updated */
static int probe_kernel_buffer(struct ublk_server *server, unsigned int slot, char *text,
			       size_t size, struct reason *why)
{
	/* The server has no use for tags. */
	static const struct order_call update = { ORDER_UPDATE_PLAIN, "H", 0 };
	char slots[ORDER_SLOTS + 1];
	struct io_uring seen;
	struct order_party first;
	struct order order;
	pthread_t thread;
	int fd, ret;

	order_setup(&order, 0);
	/* The server's ring takes the place of the one that is updated. */
	io_uring_queue_exit(&order.ring);
	order.closed = true;
	order.ring.ring_fd = server->ring.ring_fd;
	if (io_uring_queue_init(2 * ORDER_SLOTS, &seen, 0))
		die("io_uring_queue_init");
	fd = open("/dev/ublkb0", O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (fd < 0)
		die("/dev/ublkb0: %s", strerror(errno));

	ublk_server_probe(server, slot);
	order_begin(&first, &order, &update, 1);
	order_reached(&order);
	if (pthread_create(&thread, NULL, read_device, &fd))
		die("pthread_create");
	usleep(ANSWER_USEC);
	held_give(&order.held, NULL);
	order_join(&first);
	pthread_join(thread, NULL);
	ret = ublk_server_probed(server);
	close(fd);
	if (uring_clone(&seen, &server->ring, 0, 0, 0, 0))
		die("cannot clone the server's table");
	order_slots(&order, &seen, slots);
	io_uring_unregister_buffers(&seen);
	io_uring_queue_exit(&seen);
	snprintf(text, size, "slot %u: UPDATE %s, kernel buffer %s, table %s", slot,
		 order_result(first.results[0]), order_result(ret), slots);
	if (uring_update(&server->ring, 0, NULL, 0) != 1)
		return because(why, "cannot empty the slot");
	return order_end(&order, why);
}

static int run_kernel_buffer(char *text, size_t size, struct reason *why)
{
	struct ublk_server server = { .size = DEVICE_SIZE };
	struct reason stopping;
	size_t len;
	int ret;

	server.file = memfd_create("device", MFD_CLOEXEC);
	if (server.file < 0 || ftruncate(server.file, DEVICE_SIZE))
		die("memfd: %s", strerror(errno));
	ret = ublk_server_start(&server, why);
	if (ret)
		return ret;
	ret = probe_kernel_buffer(&server, 0, text, size, why);
	len = strlen(text);
	len += (size_t)snprintf(text + len, size - len, "; ");
	if (!ret)
		ret = probe_kernel_buffer(&server, 1, text + len, size - len, why);
	if (ublk_server_stop(&server, &stopping) && !ret)
		ret = because(why, "%s", stopping.text);
	close(server.file);
	return ret;
}

/* --- killed --------------------------------------------------------------------------------- */

#define KILL_SECONDS	5

/* A process that shares all but its death with this one */
static struct {
	struct order *order;
	const struct order_call *call;
	atomic_bool done;
	char stack[64 * KIB] __attribute__((aligned(64)));
} victim;

static int victim_call(void *arg)
{
	(void)arg;
	order_call(victim.order, victim.call);
	atomic_store(&victim.done, true);
	_exit(0);
}

static pid_t victim_start(struct order *order, const struct order_call *call)
{
	pid_t pid;

	victim.order = order;
	victim.call = call;
	atomic_store(&victim.done, false);
	pid = clone(victim_call, victim.stack + sizeof(victim.stack), CLONE_VM | SIGCHLD, NULL);
	if (pid < 0)
		die("clone: %s", strerror(errno));
	return pid;
}

/* Whether it dies soon */
static bool victim_kill(pid_t pid)
{
	kill(pid, SIGKILL);
	for (unsigned int i = 0; i < KILL_SECONDS * 100; i++) {
		if (waitpid(pid, NULL, WNOHANG) == pid)
			return true;
		usleep(10000);
	}
	return false;
}

static int run_kill_first(char *text, size_t size, struct reason *why)
{
	static const struct order_call table = { ORDER_REGISTER, "O---", 0 };
	static const struct order_call update = { ORDER_UPDATE, "H", 0 };
	static const struct order_call second = { ORDER_UPDATE, "A", 0 };
	struct order_party party;
	struct order order;
	char state[192];
	bool waits, died;
	pid_t pid;

	order_setup(&order, 0);
	order_call(&order, &table);
	pid = victim_start(&order, &update);
	order_reached(&order);
	order_begin(&party, &order, &second, 1);
	waits = order_waits(&party.tid, &party.done);
	died = victim_kill(pid);
	held_give(&order.held, NULL);
	order_join(&party);
	if (!died)
		waitpid(pid, NULL, 0);
	order_state(&order, state, sizeof(state));
	snprintf(text, size, "first %s, second %s %s: %s", died ? "killed" : "LIVES",
		 waits ? "waits" : "at once", order_result(party.results[0]), state);
	return order_end(&order, why);
}

/* Kills who waits with @call while the first call is held. */
static int kill_waiter(const struct order_call *call, char *text, size_t size, struct reason *why)
{
	static const struct order_call table = { ORDER_REGISTER, "O---", 0 };
	static const struct order_call first = { ORDER_UPDATE, "H", 0 };
	struct order_party party;
	struct order order;
	_Atomic pid_t pid;
	bool waits, died;
	char state[192];
	int other;

	order_setup(&order, 0);
	order_call(&order, &table);
	order_begin(&party, &order, &first, 1);
	order_reached(&order);
	pid = victim_start(&order, call);
	waits = order_waits(&pid, &victim.done);
	died = victim_kill(pid);
	/* The other ring, which a clone may have had to itself, is free again. */
	other = died ? io_uring_register_buffers_sparse(&order.other, 1) : 0;
	held_give(&order.held, NULL);
	order_join(&party);
	if (!died)
		waitpid(pid, NULL, 0);
	order_state(&order, state, sizeof(state));
	snprintf(text, size, "%s %s, other ring %s, first %s: %s", waits ? "waits and" : "DID NOT WAIT,",
		 died ? "is killed" : "LIVES", order_result(other), order_result(party.results[0]),
		 state);
	return order_end(&order, why);
}

static int run_kill_update(char *text, size_t size, struct reason *why)
{
	static const struct order_call call = { ORDER_UPDATE, "A", 0 };

	return kill_waiter(&call, text, size, why);
}

static int run_kill_clone(char *text, size_t size, struct reason *why)
{
	static const struct order_call call = { ORDER_CLONE_OUT, NULL, 0 };

	return kill_waiter(&call, text, size, why);
}

const struct order_case order_cases[] = {
	{ "UPDATE, all kinds of calls", run_opcodes, false,
	  "PROBE waits, FILES waits, EVENTFD waits, PERSONALITY waits, IOWQ_MAX_WORKERS waits, "
	  "RING_FDS waits, RESTRICTIONS waits, ENABLE_RINGS waits, CLOCK waits, QUERY waits: "
	  "0 0 0 1 0 1 EBADFD EBADFD 0 0" },
	{ "REGISTER, REGISTER at the same time, room for one", run_same_table, false,
	  "both 0 times, neither 0 times, one that is not told EBUSY 0 times" },
	{ "UPDATE to nothing, its tag, UPDATE at the limit", run_room, false,
	  "no room for few pages 0 times, for many 0 times" },
	{ "UPDATE to nothing, its tag, MEM_REGION at the limit", run_room_region, false,
	  "no room 0 times" },
	{ "UPDATE of two, again and again", run_toggle, false,
	  "UPDATE 2, requests split 0 times, clones 0 times" },
	{ "CLONE, CLONE the other way, again and again", run_both_ways, false,
	  "0 and 0" },
	{ "UPDATE, kernel buffer", run_kernel_buffer, false,
	  "slot 0: UPDATE 1, kernel buffer EBUSY, table H---; "
	  "slot 1: UPDATE 1, kernel buffer 0, table H---" },
	{ "UPDATE that is killed, UPDATE", run_kill_first, false,
	  "first killed, second waits 1: "
	  "ring A---, other ----, pinned 4, charged 4, tags \"O\" \"A\"" },
	{ "UPDATE, UPDATE that is killed", run_kill_update, true,
	  "waits and is killed, other ring 0, first 1: "
	  "ring H---, other ----, pinned 4, charged 4, tags \"O\" \"H\"" },
	{ "UPDATE, CLONE to another ring that is killed", run_kill_clone, true,
	  "waits and is killed, other ring 0, first 1: "
	  "ring H---, other ----, pinned 4, charged 4, tags \"O\" \"H\"" },
	{ }
};
