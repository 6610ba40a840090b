/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/* What the kernel says about memory in /proc and /sys. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib.h"

int urext_read_file(const char *path, char *buf, size_t size)
{
	size_t len = 0;
	ssize_t n = 0;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	while (len < size - 1) {
		n = read(fd, buf + len, size - 1 - len);
		if (n <= 0)
			break;
		len += n;
	}
	if (n < 0)
		n = -errno;
	close(fd);
	buf[len] = '\0';
	return n < 0 ? (int)n : (int)len;
}

int urext_read_u64(const char *path, __u64 *val)
{
	char buf[64];
	int ret;

	ret = urext_read_file(path, buf, sizeof(buf));
	if (ret < 0)
		return ret;
	*val = strtoull(buf, NULL, 10);
	return 0;
}

void urext_thp_setting(const char *name, char *buf, size_t size)
{
	char path[128], text[256];
	const char *from, *to;

	buf[0] = '\0';
	snprintf(path, sizeof(path), "/sys/kernel/mm/transparent_hugepage/%s", name);
	if (urext_read_file(path, text, sizeof(text)) < 0)
		return;
	from = strchr(text, '[');
	to = from ? strchr(from, ']') : NULL;
	if (to)
		snprintf(buf, size, "%.*s", (int)(to - from - 1), from + 1);
}

/* The tightest limit of a control group, from the process's own upwards. */
static __u64 group_limit(char *group, const char *root, const char *leaf, char *path,
			 size_t size)
{
	__u64 val, least = IO_URING_EXT_UNLIMITED;
	char file[4096], *end;

	group[strcspn(group, "\n")] = '\0';
	for (;;) {
		snprintf(file, sizeof(file), "%s%.3900s/%s", root, group, leaf);
		/* "max", where there is no limit, is read as 0 */
		if (!urext_read_u64(file, &val) && val && val < least) {
			least = val;
			snprintf(path, size, "%s", file);
		}
		end = strrchr(group, '/');
		if (!end)
			return least;
		*end = '\0';
	}
}

__u64 urext_cgroup_limit(char *path, size_t size)
{
	static const struct {
		const char *line;
		const char *root;
		const char *leaf;
	} kinds[] = {
		{ ":memory:/", "/sys/fs/cgroup/memory", "memory.limit_in_bytes" },
		{ "0::/", "/sys/fs/cgroup", "memory.max" },
	};
	char text[4096], *group;
	unsigned i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (urext_read_file("/proc/self/cgroup", text, sizeof(text)) < 0)
			break;
		group = strstr(text, kinds[i].line);
		if (group)
			return group_limit(group + strlen(kinds[i].line) - 1, kinds[i].root,
					   kinds[i].leaf, path, size);
	}
	return IO_URING_EXT_UNLIMITED;
}

bool urext_has_sysfs(void)
{
	return !access("/sys/kernel/mm", F_OK);
}

size_t urext_thp_pmd_size(void)
{
	__u64 val;

	if (urext_read_u64("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", &val) ||
	    !is_pow2(val))
		return SZ_2M;
	return val;
}

/* One line of smaps that is not the first of a mapping. */
static void smaps_field(struct urext_vma *vma, const char *line)
{
	static const struct {
		const char *name;
		enum { PAGE, PRESENT, PMD } what;
	} fields[] = {
		{ "KernelPageSize:", PAGE },
		{ "Rss:", PRESENT },
		{ "Shared_Hugetlb:", PRESENT },
		{ "Private_Hugetlb:", PRESENT },
		{ "AnonHugePages:", PMD },
		{ "ShmemPmdMapped:", PMD },
		{ "FilePmdMapped:", PMD },
	};
	unsigned i;

	for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		size_t len = strlen(fields[i].name);
		size_t bytes;

		if (strncmp(line, fields[i].name, len))
			continue;
		bytes = strtoull(line + len, NULL, 10) * 1024;
		if (fields[i].what == PAGE)
			vma->page_size = bytes;
		else if (fields[i].what == PRESENT)
			vma->present += bytes;
		else
			vma->pmd_bytes += bytes;
	}
}

static bool overlaps(const struct urext_vma *vma, uintptr_t start, uintptr_t end)
{
	return vma->start < end && start < vma->end;
}

int urext_for_each_vma(pid_t pid, uintptr_t start, uintptr_t end,
		       int (*fn)(const struct urext_vma *vma, void *arg), void *arg)
{
	struct urext_vma vma = { 0 };
	unsigned long from, to;
	char path[64], *line = NULL;
	size_t cap = 0;
	int ret = 0;
	FILE *f;

	if (pid)
		snprintf(path, sizeof(path), "/proc/%d/smaps", (int)pid);
	else
		strcpy(path, "/proc/self/smaps");
	f = fopen(path, "re");
	/* No such process; or no /proc: not to be taken for a range that is not mapped */
	if (!f)
		return errno == ENOENT ? -ESRCH : -errno;

	while (getline(&line, &cap, f) > 0) {
		if (sscanf(line, "%lx-%lx ", &from, &to) != 2) {
			smaps_field(&vma, line);
			continue;
		}
		if (overlaps(&vma, start, end))
			ret = fn(&vma, arg);
		if (ret || from >= end)
			break;
		memset(&vma, 0, sizeof(vma));
		vma.start = from;
		vma.end = to;
	}
	/* The last mapping of all has no line of another after it. */
	if (!ret && feof(f) && overlaps(&vma, start, end))
		ret = fn(&vma, arg);
	if (!ret && ferror(f))
		ret = -EIO;
	free(line);
	fclose(f);
	return ret;
}
