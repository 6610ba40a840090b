// SPDX-License-Identifier: GPL-2.0-only
/*
 * receive BYTE FILE: take one connection, and write into FILE what came of it.
 *
 * FILE first has the port that is listened at, then "received BYTES" if each of them was BYTE
 * (hex), or what was not.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void die(const char *what)
{
	fprintf(stderr, "receive: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* All of it at once, for who waits for it. */
static void tell(const char *path, const char *line)
{
	char part[4096];
	FILE *f;

	snprintf(part, sizeof(part), "%s.part", path);
	f = fopen(part, "w");
	if (!f || fprintf(f, "%s\n", line) < 0 || fclose(f) || rename(part, path))
		die(path);
}

int main(int argc, char **argv)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	static unsigned char data[1 << 20], want[sizeof(data)];
	unsigned long long total = 0, wrong = 0;
	socklen_t len = sizeof(a);
	char line[64];
	int server, fd;
	ssize_t got;

	if (argc != 3) {
		fprintf(stderr, "usage: receive BYTE FILE\n");
		return 2;
	}
	memset(want, strtoul(argv[1], NULL, 16), sizeof(want));
	alarm(120);
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	server = socket(AF_INET, SOCK_STREAM, 0);
	if (server < 0 || bind(server, (struct sockaddr *)&a, sizeof(a)) || listen(server, 1) ||
	    getsockname(server, (struct sockaddr *)&a, &len))
		die("listening");
	snprintf(line, sizeof(line), "%u", ntohs(a.sin_port));
	tell(argv[2], line);
	fd = accept(server, NULL, NULL);
	if (fd < 0)
		die("accepting");
	for (; (got = read(fd, data, sizeof(data))) > 0; total += got)
		if (!wrong && memcmp(data, want, got))
			wrong = total + 1;
	if (got < 0)
		die("reading");
	snprintf(line, sizeof(line), wrong ? "wrong data from byte %llu on" : "received %llu",
		 wrong ? wrong - 1 : total);
	tell(argv[2], line);
	return 0;
}
