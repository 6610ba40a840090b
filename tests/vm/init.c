// SPDX-License-Identifier: GPL-2.0
/*
 * Process 1 of the test guest. Mounts what programs expect, runs one command,
 * sends its output and its fate to tests/vm/run, powers the machine off. As a
 * service of a Debian system it leaves the mounting to that, and the way to power off.
 *
 * The command, NUL-separated words, is read from the firmware configuration
 * device, or it is what follows "-- --command" in the kernel's command line.
 * Everything that goes back travels in frames over one virtio port, so
 * that the order holds and the status is the last thing: one byte of type,
 * four of length (little endian), the data. The host answers the status frame
 * with one byte, because what is still in a queue when the machine powers off
 * is lost.
 *
 *	'o', 'e'  standard output, standard error of the command
 *	's'       "exit N", "signal N" or "init REASON" (the command was not run)
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#define PORT		"/dev/vport0p1"
#define COMMAND		"/sys/firmware/qemu_fw_cfg/by_name/opt/folio-runs/command/raw"
#define COMMAND_MAX	(128 * 1024)
#define WORDS_MAX	4096

static int port = -1;
static bool service;

static void write_all(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			return;		/* the host side is gone: nobody to tell */
		p += n;
		len -= n;
	}
}

static void send_frame(char type, const void *data, uint32_t len)
{
	uint8_t head[5] = { type };

	len = htole32(len);
	memcpy(head + 1, &len, sizeof(len));
	write_all(port, head, sizeof(head));
	write_all(port, data, le32toh(len));
}

static void power_off(void)
{
	sync();
	if (service) {
		execlp("systemctl", "systemctl", "poweroff", NULL);
		perror("init: systemctl");	/* all else would lose what is not written yet */
		exit(EXIT_FAILURE);
	}
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}

static void send_status(const char *fmt, ...)
{
	struct pollfd answer = { .fd = port, .events = POLLIN };
	char text[256], byte;
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (len >= (int)sizeof(text))
		len = sizeof(text) - 1;

	sync();
	if (port < 0) {
		fprintf(stderr, "init: %s\n", text);
		return;
	}
	send_frame('s', text, len);
	if (poll(&answer, 1, 10000) == 1 && read(port, &byte, 1) < 0)
		perror("init: no answer to the status");
}

static void give_up(const char *what)
{
	send_status("init %s: %s", what, strerror(errno));
	power_off();
}

static void mount_all(void)
{
	static const struct {
		const char *type, *where, *options;
	} mounts[] = {
		{ "proc",	"/proc",		NULL },
		{ "sysfs",	"/sys",			NULL },
		{ "devtmpfs",	"/dev",			NULL },
		{ "devpts",	"/dev/pts",		"ptmxmode=0666" },
		{ "tmpfs",	"/dev/shm",		"mode=1777" },
		{ "tmpfs",	"/tmp",			"mode=1777" },
		{ "tmpfs",	"/run",			"mode=0755" },
		{ "debugfs",	"/sys/kernel/debug",	NULL },
		{ "tracefs",	"/sys/kernel/tracing",	NULL },
		{ "configfs",	"/sys/kernel/config",	NULL },
		{ "cgroup2",	"/sys/fs/cgroup",	NULL },
	};

	for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
		mkdir(mounts[i].where, 0755);
		if (mount(mounts[i].type, mounts[i].where, mounts[i].type, 0,
			  mounts[i].options) && errno != ENODEV)
			fprintf(stderr, "init: %s: %s\n", mounts[i].where, strerror(errno));
	}
	symlink("/proc/self/fd", "/dev/fd");
	symlink("/proc/self/fd/0", "/dev/stdin");
	symlink("/proc/self/fd/1", "/dev/stdout");
	symlink("/proc/self/fd/2", "/dev/stderr");
}

/* The port shows up when the host has announced it, a little after boot. */
static void open_port(void)
{
	for (int tries = 0; tries < 500; tries++) {
		port = open(PORT, O_RDWR | O_CLOEXEC);
		if (port >= 0)
			return;
		usleep(10000);
	}
	give_up(PORT);
}

/*
 * The host's directory, written through at once (no cache), so that files are
 * there even when the guest dies. Without one, /out is a directory in memory.
 */
static void mount_out(void)
{
	glob_t shares;

	if (!glob("/sys/bus/virtio/devices/*/mount_tag", 0, NULL, &shares) &&
	    mount("out", "/out", "9p", 0,
		  "trans=virtio,version=9p2000.L,cache=none,msize=262144"))
		give_up("/out");
}

static void loopback_up(void)
{
	struct ifreq ifr = { .ifr_name = "lo" };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	ifr.ifr_flags = IFF_UP;
	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &ifr))
		perror("init: loopback");
	close(fd);
}

/*
 * The command comes by a device, and disks may be asked for, of which a distribution's kernel
 * has the drivers as modules; the image then brings those.
 */
static void load_modules(void)
{
	static const char *const names[] = { "qemu_fw_cfg", "virtio_blk" };
	struct utsname name;
	char path[256];

	uname(&name);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		int fd;

		snprintf(path, sizeof(path), "/lib/modules/%s/%s.ko", name.release, names[i]);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (syscall(SYS_finit_module, fd, "", 0) && errno != EEXIST)
			perror(path);
		close(fd);
	}
}

/* What follows in our arguments; the kernel puts there, too, what it does not know. */
static char **command_in(char **argv)
{
	for (; *argv; argv++)
		if (!strcmp(*argv, "--command") && argv[1])
			return argv + 1;
	return NULL;
}

static char **read_command(void)
{
	static char text[COMMAND_MAX + 1];
	static char *words[WORDS_MAX + 1];
	size_t len = 0, n = 0;
	ssize_t got;
	int fd;

	load_modules();
	fd = open(COMMAND, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		give_up("no command");
	while (len < COMMAND_MAX && (got = read(fd, text + len, COMMAND_MAX - len)) > 0)
		len += got;
	close(fd);

	for (char *p = text; p < text + len && n < WORDS_MAX; p += strlen(p) + 1)
		words[n++] = p;
	if (!n || len == COMMAND_MAX || n == WORDS_MAX) {
		errno = E2BIG;
		give_up("bad command");
	}
	return words;
}

static pid_t start(char **words, int out, int err)
{
	pid_t pid = fork();
	sigset_t none;

	if (pid < 0)
		give_up("fork");
	if (pid)
		return pid;

	setsid();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	dup2(open("/dev/null", O_RDONLY), 0);
	dup2(out, 1);
	dup2(err, 2);
	execvp(words[0], words);
	fprintf(stderr, "%s: %s\n", words[0], strerror(errno));
	_exit(errno == ENOENT ? 127 : 126);
}

/* Send what is there, at most a pipe full. */
static void forward(struct pollfd *stream, char type)
{
	static char buf[64 * 1024];
	ssize_t n;

	if (stream->fd < 0)
		return;
	n = read(stream->fd, buf, sizeof(buf));
	if (n > 0)
		send_frame(type, buf, n);
	else if (!n || errno != EAGAIN)
		stream->fd = -1;	/* ended; poll() ignores it from now on */
}

/*
 * Pass the output on until the command has ended, then what was in the pipes
 * at that moment. Their end is not waited for: something that the command left
 * in the background can hold them, and go on writing.
 */
static int serve(pid_t pid, int out, int err, int sigfd)
{
	struct pollfd fds[] = {
		{ .fd = out, .events = POLLIN },
		{ .fd = err, .events = POLLIN },
		{ .fd = sigfd, .events = POLLIN },
	};
	struct signalfd_siginfo info;
	int status = 0, one;
	bool ended = false;
	pid_t who;

	while (!ended) {
		if (poll(fds, 3, -1) < 0 && errno != EINTR)
			give_up("poll");
		if (read(sigfd, &info, sizeof(info)) < 0 && errno != EAGAIN)
			give_up("signalfd");
		while ((who = waitpid(-1, &one, WNOHANG)) > 0) {
			if (who == pid) {
				status = one;
				ended = true;
			}
		}
		forward(&fds[0], 'o');
		forward(&fds[1], 'e');
	}
	return status;
}

/*
 * Where the kernel looks for leaks (kmemleak=on), have it look now; it tells its log. Only what is
 * older than five seconds counts, and what changed since the scan before is left for the next.
 */
static void find_leaks(void)
{
	int fd = open("/sys/kernel/debug/kmemleak", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	for (int i = 0; i < 3; i++) {
		sleep(i ? 1 : 6);
		if (write(fd, "scan", 4) != 4)
			break;		/* it is off, or has given up, which is in the log */
	}
	close(fd);
}

int main(int unused, char **argv)
{
	int out[2], err[2], sigfd, status;
	sigset_t chld;
	pid_t pid;

	(void)unused;
	setenv("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", 1);
	setenv("HOME", "/root", 1);
	setenv("TERM", "dumb", 1);
	umask(022);

	service = getpid() != 1;
	if (!service)
		mount_all();
	open_port();
	if (!service) {
		sethostname("guest", 5);
		loopback_up();
		mount_out();
	}

	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, NULL);
	sigfd = signalfd(-1, &chld, SFD_CLOEXEC | SFD_NONBLOCK);
	if (sigfd < 0 || pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC))
		give_up("pipes");
	fcntl(out[0], F_SETFL, O_NONBLOCK);
	fcntl(err[0], F_SETFL, O_NONBLOCK);
	if (chdir("/tmp"))
		give_up("/tmp");

	pid = start(command_in(argv) ?: read_command(), out[1], err[1]);
	close(out[1]);
	close(err[1]);
	status = serve(pid, out[0], err[0], sigfd);
	find_leaks();

	if (WIFSIGNALED(status))
		send_status("signal %d", WTERMSIG(status));
	else
		send_status("exit %d", WEXITSTATUS(status));
	power_off();
}
