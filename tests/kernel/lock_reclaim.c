// SPDX-License-Identifier: GPL-2.0
/*
 * lock_reclaim: was a lock ever held while its holder could have had to reclaim memory?
 *
 * usage: lock_reclaim LOCK...
 *
 * LOCK is a name as lockdep has it: "table_lock", "&obj->lock". Lockdep keeps each sequence of
 * locks that was ever held together since the kernel has started, and takes an allocation that
 * may reclaim for a lock, "fs_reclaim", wherever it is made and whether it has to reclaim or not.
 * So nothing depends on memory being short.
 *
 * A lock under which another one is taken that somebody holds over reclaim is as bad: who waits
 * for the first one waits for the second one, too. The way is printed. For an RCU reader nobody
 * waits that holds a lock, so it is no part of a way: what it takes, it takes under its other
 * locks, too. A lock that was never held says nothing, and fails; so does a name that several
 * locks have, of which lockdep counts the others: NAME#2. Needs root and a kernel that proves its
 * locking.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util.h"

#define CHAINS		"/proc/lockdep_chains"
#define RECLAIM		"fs_reclaim"
#define RCU_READER	"rcu_read_lock"
#define NAMES_MAX	4096
#define DEPTH_MAX	64

static char *names[NAMES_MAX];
static unsigned int nr_names, reclaim;
/* after[a][b]: b was taken while a was held */
static bool after[NAMES_MAX][NAMES_MAX];
static bool held[NAMES_MAX];

/* Classes of one name are one: that can only find more. */
static unsigned int number(const char *name)
{
	for (unsigned int i = 0; i < nr_names; i++)
		if (!strcmp(names[i], name))
			return i;
	if (nr_names == NAMES_MAX)
		die("more than %u names of locks", NAMES_MAX);
	names[nr_names] = strdup(name);
	if (!names[nr_names])
		die("out of memory");
	return nr_names++;
}

static void read_chains(void)
{
	unsigned int chain[DEPTH_MAX], depth = 0;
	unsigned long chains = 0;
	char line[512];
	FILE *file = fopen(CHAINS, "re");

	if (!file)
		die(CHAINS ": %s", strerror(errno));
	while (fgets(line, sizeof(line), file)) {
		char *name = strstr(line, "] ");

		if (!strncmp(line, "(buggered)", 10))
			die("lockdep has no room for more chains");
		if (line[0] != '[' || !name) {
			depth = 0;
			chains += line[0] == 'i';
			continue;
		}
		name += 2;
		name[strcspn(name, "\n")] = '\0';
		if (!strncmp(name, RCU_READER, strlen(RCU_READER)))
			continue;
		if (depth == DEPTH_MAX)
			die("more than %u locks at once", DEPTH_MAX);
		chain[depth] = number(name);
		held[chain[depth]] = true;
		for (unsigned int i = 0; i < depth; i++)
			after[chain[i]][chain[depth]] = true;
		depth++;
	}
	fclose(file);
	note("%lu sequences of %u locks", chains, nr_names);
}

static bool name_is_shared(const char *name)
{
	char second[512];

	snprintf(second, sizeof(second), "%s#2", name);
	return held[number(second)];
}

/* The shortest way from a lock to reclaim; false if there is none. Prints it. */
static bool reaches_reclaim(unsigned int from)
{
	static unsigned int queue[NAMES_MAX], before[NAMES_MAX], way[NAMES_MAX];
	static bool seen[NAMES_MAX];
	unsigned int head = 0, tail = 0, at, nr = 0;

	memset(seen, 0, sizeof(seen));
	seen[from] = true;
	queue[tail++] = from;
	while (head < tail && !seen[reclaim]) {
		at = queue[head++];
		for (unsigned int i = 0; i < nr_names; i++) {
			if (!after[at][i] || seen[i])
				continue;
			seen[i] = true;
			before[i] = at;
			queue[tail++] = i;
		}
	}
	if (!seen[reclaim])
		return false;
	for (at = reclaim; at != from; at = before[at])
		way[nr++] = at;
	printf("FAIL %s", names[from]);
	while (nr)
		printf(" -> %s", names[way[--nr]]);
	putchar('\n');
	return true;
}

int main(int argc, char **argv)
{
	unsigned int passed = 0, failed = 0;

	if (argc < 2)
		die("which locks?");
	read_chains();
	reclaim = number(RECLAIM);
	if (!held[reclaim])
		die("no allocation was ever seen: is this a kernel that proves its locking?");
	for (int i = 1; i < argc; i++) {
		unsigned int lock = number(argv[i]);
		bool good = false;

		if (!held[lock])
			printf("FAIL %s was never held\n", argv[i]);
		else if (name_is_shared(argv[i]))
			printf("FAIL %s is the name of several locks\n", argv[i]);
		else
			good = !reaches_reclaim(lock);
		if (good)
			printf("ok   %s\n", argv[i]);
		passed += good;
		failed += !good;
	}
	printf("%u passed, %u failed, 0 skipped\n", passed, failed);
	return failed ? 1 : 0;
}
