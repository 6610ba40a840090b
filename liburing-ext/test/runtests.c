/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * Run the test programs named, one after the other, and count.  What a test prints
 * (why it failed, what it could not try) is shown below its line.  In a guest there may be no shell: this is all it takes.
 *
 *   runtests TEST...     or     runtests          (all named in the file "list" beside it)
 *
 * RUNTESTS_PREFIX   words put before each command (valgrind ...)
 * RUNTESTS_TIMEOUT  seconds for one test, default 600
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_WORDS	32
#define SKIPPED		77

static unsigned nr_passed, nr_failed, nr_skipped;

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void child(char *prog, int out)
{
	const char *prefix = getenv("RUNTESTS_PREFIX");
	char *argv[MAX_WORDS + 2], *words = prefix ? strdup(prefix) : NULL;
	char *word = words ? strtok(words, " ") : NULL;
	unsigned n = 0;

	for (; word && n < MAX_WORDS; word = strtok(NULL, " "))
		argv[n++] = word;
	argv[n++] = prog;
	argv[n] = NULL;
	setpgid(0, 0);
	dup2(out, 1);
	dup2(out, 2);
	execvp(argv[0], argv);
	perror(argv[0]);
	_exit(1);
}

/* Wait, but not forever; 128 + signal if it did not exit. */
static int wait_for(pid_t pid, double limit)
{
	double end = now() + limit;
	int status;

	while (!waitpid(pid, &status, WNOHANG)) {
		if (now() > end) {
			kill(-pid, SIGKILL);
			limit = 0;
		}
		usleep(2000);
	}
	if (!limit)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void show(int fd)
{
	char buf[4096];
	ssize_t n;

	lseek(fd, 0, SEEK_SET);
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		fwrite(buf, 1, n, stdout);
}

static void run(char *prog, double limit)
{
	char name[] = "/tmp/runtests-XXXXXX";
	int fd = mkstemp(name), status;
	double start = now();
	pid_t pid;

	unlink(name);
	printf("%-16s ", basename(prog));
	fflush(stdout);
	pid = fork();
	if (!pid)
		child(prog, fd);
	status = pid < 0 ? 1 : wait_for(pid, limit);
	if (!status) {
		nr_passed++;
		printf("passed   %6.1f s\n", now() - start);
		show(fd);
	} else if (status == SKIPPED) {
		nr_skipped++;
		printf("skipped: ");
		show(fd);
	} else {
		nr_failed++;
		printf("FAILED (%s %d) after %.1f s\n", status < 0 ? "timeout" : "exit",
		       status, now() - start);
		show(fd);
	}
	close(fd);
}

static void run_list(double limit)
{
	char dir[PATH_MAX], path[2 * PATH_MAX], line[256];
	ssize_t n = readlink("/proc/self/exe", dir, sizeof(dir) - 1);
	FILE *f;

	dir[n > 0 ? n : 0] = '\0';
	dirname(dir);
	snprintf(path, sizeof(path), "%s/list", dir);
	f = fopen(path, "r");
	if (!f) {
		perror(path);
		nr_failed++;
		return;
	}
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		snprintf(path, sizeof(path), "%s/%s", dir, line);
		run(path, limit);
	}
	fclose(f);
}

int main(int argc, char **argv)
{
	const char *t = getenv("RUNTESTS_TIMEOUT");
	double limit = t ? atof(t) : 600;
	int i;

	for (i = 1; i < argc; i++)
		run(argv[i], limit);
	if (argc == 1)
		run_list(limit);
	printf("%u passed, %u failed, %u skipped\n", nr_passed, nr_failed, nr_skipped);
	return nr_failed ? 1 : 0;
}
