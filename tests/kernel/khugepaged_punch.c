// SPDX-License-Identifier: GPL-2.0
/*
 * khugepaged_punch: huge pages are made of a file's pages while holes are punched in it.
 *
 *	khugepaged_punch [--seconds N] DEVICE
 *
 * DEVICE has an ext4. User 1000 has a file there, a shared mapping of it that is only read and has
 * MADV_HUGEPAGE, and does two things over and over:
 *
 *	reader			puncher			khugepaged
 *	reads all pages		punches a few pages	locks the pages of 2 MiB, one by one,
 *							and reads those that are not there
 *
 * Punching holds the lock that reading takes, and waits for the lock of a page. If both stand
 * still, in state D, for as long as STUCK_SECONDS, they have met and will not part. khugepaged is
 * told by root to go round without a rest; nothing else needs a privilege.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <unistd.h>

#include "util.h"

#define MNT		"/mnt"
#define FILE_NAME	MNT "/file"
#define KHUGEPAGED	"/sys/kernel/mm/transparent_hugepage/khugepaged/"
#define USER		1000
#define PAGE		(4 * KIB)
#define SIZE		(4 * MIB)
#define PUNCH_PAGES	64
#define STUCK_SECONDS	10

static volatile uint64_t *punched;	/* shared by all processes */

static void make_file(void)
{
	char *data = malloc(SIZE);
	int fd = open(FILE_NAME, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (!data || fd < 0 || fchown(fd, USER, USER))
		die("%s: %s", FILE_NAME, strerror(errno));
	memset(data, 1, SIZE);
	if (write(fd, data, SIZE) != SIZE || fsync(fd))
		die("writing %s: %s", FILE_NAME, strerror(errno));
	close(fd);
	free(data);
}

static void become_user(void)
{
	if (setgid(USER) || setuid(USER))
		die("cannot become user %d: %s", USER, strerror(errno));
}

static void reader(void)
{
	int fd = open(FILE_NAME, O_RDONLY | O_CLOEXEC);
	char *room = mmap(NULL, SIZE + 2 * MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *mem = (char *)ALIGN_UP((uintptr_t)room, 2 * MIB);

	if (fd < 0 || room == MAP_FAILED ||
	    mmap(mem, SIZE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) != mem)
		die("cannot map %s: %s", FILE_NAME, strerror(errno));
	if (madvise(mem, SIZE, MADV_HUGEPAGE))
		die("MADV_HUGEPAGE: %s", strerror(errno));
	for (;;)
		for (size_t off = 0; off < SIZE; off += PAGE)
			(void)*(volatile char *)(mem + off);
}

static void puncher(void)
{
	int fd = open(FILE_NAME, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		die("%s: %s", FILE_NAME, strerror(errno));
	for (;;) {
		off_t first = random() % (long)(SIZE / PAGE - PUNCH_PAGES);

		if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			      first * (off_t)PAGE, PUNCH_PAGES * PAGE))
			die("fallocate: %s", strerror(errno));
		++*punched;
	}
}

static pid_t start(void (*run)(void))
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (!pid) {
		become_user();
		run();
		exit(0);
	}
	return pid;
}

static char state(pid_t pid)
{
	char path[64], line[256], *at;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (read_line(path, line, sizeof(line)) || !(at = strrchr(line, ')')))
		return '?';
	return at[2];
}

static pid_t find_khugepaged(void)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	pid_t found = 0;

	while (dir && !found && (entry = readdir(dir))) {
		char path[300], name[32];

		snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
		if (!read_line(path, name, sizeof(name)) && !strcmp(name, "khugepaged"))
			found = atoi(entry->d_name);
	}
	if (dir)
		closedir(dir);
	return found;
}

/* Since the system came up; nobody else has asked for any. */
static unsigned long collapsed(void)
{
	char line[32];

	if (read_line(KHUGEPAGED "pages_collapsed", line, sizeof(line)))
		die("cannot read " KHUGEPAGED "pages_collapsed");
	return strtoul(line, NULL, 10);
}

static void print_stack(const char *who, pid_t pid)
{
	char path[64], line[256];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stack", pid);
	printf("%s:\n", who);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		printf("  %s", line);
	if (file)
		fclose(file);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seconds", required_argument, NULL, 's' },
		{ }
	};
	unsigned long seconds = 60, stuck = 0, passed_seconds;
	pid_t reading, punching, khugepaged;
	uint64_t before = 0;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
		if (c != 's' || !(seconds = strtoul(optarg, NULL, 10)))
			die("usage: khugepaged_punch [--seconds N] DEVICE");
	if (optind + 1 != argc)
		die("usage: khugepaged_punch [--seconds N] DEVICE");
	if (mount(argv[optind], MNT, "ext4", 0, NULL))
		die("cannot mount %s: %s", argv[optind], strerror(errno));
	if (write_string(KHUGEPAGED "scan_sleep_millisecs", "0") ||
	    write_string("/sys/kernel/mm/transparent_hugepage/enabled", "madvise"))
		die("cannot set up khugepaged");
	make_file();
	punched = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (punched == MAP_FAILED)
		die("mmap: %s", strerror(errno));

	reading = start(reader);
	punching = start(puncher);
	/* There is one as soon as somebody wants huge pages. */
	for (c = 0; !(khugepaged = find_khugepaged()) && c < 10; c++)
		sleep(1);
	if (!khugepaged)
		die("no khugepaged");

	for (passed_seconds = 0; passed_seconds < seconds && stuck < STUCK_SECONDS;
	     passed_seconds++) {
		sleep(1);
		if (state(reading) == 'Z' || state(punching) == 'Z')
			die("a process of user %d has ended", USER);
		if (*punched == before && state(punching) == 'D' && state(khugepaged) == 'D')
			stuck++;
		else
			stuck = 0;
		before = *punched;
	}
	printf("%lu s, %llu holes punched, %lu huge pages made\n", passed_seconds,
	       (unsigned long long)*punched, collapsed());
	if (stuck < STUCK_SECONDS) {
		kill(reading, SIGKILL);
		kill(punching, SIGKILL);
		if (!before || !collapsed())
			die("nothing was tried");
		printf("ok   khugepaged and a punched hole\n1 passed, 0 failed, 0 skipped\n");
		return 0;
	}
	printf("FAIL both in state D for %d s\n", STUCK_SECONDS);
	print_stack("khugepaged", khugepaged);
	print_stack("puncher", punching);
	printf("0 passed, 1 failed, 0 skipped\n");
	fflush(stdout);
	return 1;
}
