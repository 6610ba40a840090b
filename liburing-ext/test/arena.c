/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/* Each kind of arena, fallback from one to the next, and what each says it got. */
#include "helpers.h"

static struct io_uring_ext_error err;

static struct io_uring_ext_arena *get(const struct io_uring_ext_arena_params *p,
				      struct io_uring_ext_arena_info *info)
{
	struct io_uring_ext_arena *a;

	CHECK_OK(io_uring_ext_arena_alloc(&a, p, &err), err);
	CHECK_EQ(err.err, 0);
	CHECK_EQ(io_uring_ext_arena_info(a, info), 0);
	CHECK(info->base == io_uring_ext_arena_base(a));
	CHECK_EQ(info->size, io_uring_ext_arena_size(a));
	CHECK(info->size >= p->size);
	CHECK_EQ((uintptr_t)info->base & (info->page_size - 1), 0);
	if (p->align)
		CHECK_EQ((uintptr_t)info->base & (p->align - 1), 0);
	CHECK_EQ(info->prefaulted, !!(p->flags & IO_URING_EXT_ARENA_PREFAULT));
	/* All of it can be used */
	t_fill(info->base, 4096, 0);
	t_fill((char *)info->base + p->size - 4096, 4096, 7);
	return a;
}

static void check_args(void)
{
	struct io_uring_ext_arena_params p = { .size = 0 };
	struct io_uring_ext_arena *a;
	struct io_uring_ext_arena_info info;

	CHECK_EQ(io_uring_ext_arena_alloc(&a, &p, &err), -EINVAL);
	CHECK_EQ(err.stage, IO_URING_EXT_STAGE_ARGS);
	CHECK_EQ(io_uring_ext_arena_alloc(&a, NULL, NULL), -EINVAL);
	CHECK_EQ(io_uring_ext_arena_alloc(NULL, &p, NULL), -EINVAL);
	p.size = MiB;
	p.align = 3;
	CHECK_EQ(io_uring_ext_arena_alloc(&a, &p, &err), -EINVAL);
	p.align = 0;
	p.flags = 1U << 30;
	CHECK_EQ(io_uring_ext_arena_alloc(&a, &p, &err), -EINVAL);
	p.flags = 0;
	p.resv[2] = 1;
	CHECK_EQ(io_uring_ext_arena_alloc(&a, &p, &err), -EINVAL);
	p.resv[2] = 0;
	p.mem = 17;
	CHECK_EQ(io_uring_ext_arena_alloc(&a, &p, &err), -EINVAL);
	p.mem = IO_URING_EXT_MEM_BASE;
	p.thp_size = 65536;
	CHECK_EQ(io_uring_ext_arena_alloc(&a, &p, &err), -EINVAL);
	p.thp_size = 0;
	p.alias = 100;
	CHECK_EQ(io_uring_ext_arena_alloc(&a, &p, &err), -EINVAL);
	p.alias = 0;
	p.bind = 1;
	p.node = 5000;
	CHECK_EQ(io_uring_ext_arena_alloc(&a, &p, &err), -EINVAL);
	CHECK_EQ(err.stage, IO_URING_EXT_STAGE_NUMA);
	p.node = 1000;
	CHECK(io_uring_ext_arena_alloc(&a, &p, &err) < 0);
	p.bind = 0;
	p.size = ~0UL;
	CHECK_EQ(io_uring_ext_arena_alloc(&a, &p, &err), -EINVAL);
	p.size = IS_64BIT ? BIG(1ULL << 56) : 0xff000000;
	/* Valgrind has its own errno for it */
	CHECK_EQ(io_uring_ext_arena_alloc(&a, &p, &err), t_valgrind() ? -EINVAL : -ENOMEM);
	CHECK(strstr(err.text, IS_64BIT ? "64 PiB" : "4.0 GiB"));
	p.mem = IO_URING_EXT_MEM_AUTO;
	CHECK(io_uring_ext_arena_alloc(&a, &p, &err) < 0);
	CHECK_EQ(io_uring_ext_arena_info(NULL, &info), -EINVAL);
	CHECK(!io_uring_ext_arena_base(NULL));
	CHECK_EQ(io_uring_ext_arena_size(NULL), 0);
	io_uring_ext_arena_free(NULL);
}

static void check_base(void)
{
	struct io_uring_ext_arena_params p = {
		.size = 5 * MiB + 1,
		.mem = IO_URING_EXT_MEM_BASE,
		.align = 16 * MiB,
		.flags = IO_URING_EXT_ARENA_PREFAULT,
	};
	struct io_uring_ext_arena_info info;
	struct io_uring_ext_arena *a = get(&p, &info);

	CHECK_EQ(info.mem, IO_URING_EXT_MEM_BASE);
	CHECK_EQ(info.size, 5 * MiB + 4096);
	CHECK_EQ(info.memfd, -1);
	CHECK_EQ(info.huge_bytes, 0);
	io_uring_ext_arena_free(a);
	p.bind = 1;
	if (!access("/sys/devices/system/node/node0", F_OK))
		io_uring_ext_arena_free(get(&p, &info));
}

static void check_memfd(void)
{
	struct io_uring_ext_arena_params p = {
		.size = MiB,
		.mem = IO_URING_EXT_MEM_BASE,
		.flags = IO_URING_EXT_ARENA_MEMFD,
	};
	struct io_uring_ext_arena_info info;
	struct io_uring_ext_arena *a = get(&p, &info);
	char *other;

	CHECK(info.memfd >= 0);
	other = mmap(NULL, MiB, PROT_READ, MAP_SHARED, info.memfd, 0);
	CHECK(other != MAP_FAILED);
	t_check_bytes(other, 4096, 0);
	munmap(other, MiB);
	io_uring_ext_arena_free(a);
}

static void check_alias(void)
{
	struct io_uring_ext_arena_params p = {
		.size = GiB + 512 * KiB,
		.mem = IO_URING_EXT_MEM_BASE,
		.alias = MiB,
	};
	struct io_uring_ext_arena_info info;
	struct io_uring_ext_arena *a = get(&p, &info);
	/* The compiler knows that two addresses are two objects; not here */
	volatile char *base = info.base;

	CHECK_EQ(info.alias, MiB);
	base[12345] = 'x';
	CHECK_EQ(base[512 * MiB + 12345], 'x');
	CHECK_EQ(base[GiB + 12345], 'x');
	io_uring_ext_arena_free(a);
}

static bool have_sys(void)
{
	return !access("/sys/kernel/mm", F_OK);
}

static bool thp_is(const char *file, const char *word)
{
	char path[128], text[128] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/sys/kernel/mm/transparent_hugepage/%s", file);
	f = fopen(path, "r");
	if (!f)
		return false;
	if (!fgets(text, sizeof(text), f))
		text[0] = '\0';
	fclose(f);
	return strstr(text, word);
}

static void check_thp(void)
{
	struct io_uring_ext_arena_params p = {
		.size = 32 * MiB,
		.mem = IO_URING_EXT_MEM_THP,
		.flags = IO_URING_EXT_ARENA_PREFAULT,
	};
	struct io_uring_ext_arena_info info;
	struct io_uring_ext_arena *a;

	/* Then the library tries it, with whatever result */
	if (!have_sys()) {
		fprintf(stderr, "without /sys: transparent huge pages not tried\n");
		return;
	}
	if (!thp_is("enabled", "[madvise]") && !thp_is("enabled", "[always]")) {
		CHECK_EQ(io_uring_ext_arena_alloc(&a, &p, &err), -EOPNOTSUPP);
		CHECK(strstr(err.text, "transparent_hugepage"));
		fprintf(stderr, "no transparent huge pages here\n");
		return;
	}
	a = get(&p, &info);
	CHECK_EQ(info.mem, IO_URING_EXT_MEM_THP);
	CHECK_EQ(info.page_size, 2 * MiB);
	/* Memory may be fragmented, but not all of it */
	CHECK(info.huge_bytes >= 2 * MiB && info.huge_bytes <= 32 * MiB);
	io_uring_ext_arena_free(a);

	/* A size that is off */
	p.thp_size = 64 * KiB;
	if (thp_is("hugepages-64kB/enabled", "[never]")) {
		CHECK_EQ(io_uring_ext_arena_alloc(&a, &p, &err), -EOPNOTSUPP);
		CHECK(strstr(err.text, "hugepages-64kB"));
	}
	/* Shared memory has a setting of its own */
	p.thp_size = 0;
	p.flags |= IO_URING_EXT_ARENA_MEMFD;
	if (thp_is("shmem_enabled", "[never]")) {
		CHECK_EQ(io_uring_ext_arena_alloc(&a, &p, &err), -EOPNOTSUPP);
		CHECK(strstr(err.text, "shmem_enabled"));
		p.mem = IO_URING_EXT_MEM_AUTO;
		a = get(&p, &info);
		/* Somebody may have reserved hugetlb pages */
		CHECK(info.mem == IO_URING_EXT_MEM_HUGE_2M ||
		      strstr(info.why, "shmem_enabled"));
		io_uring_ext_arena_free(a);
	}
}

/* Free 2M huge pages that nobody reserved, where /sys is not mounted: those of the default size */
static size_t free_huge_of_proc(void)
{
	size_t n = 0, resv = 0, size = 0;
	char line[128];
	FILE *f = fopen("/proc/meminfo", "r");

	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f)) {
		(void)!sscanf(line, "HugePages_Free: %zu", &n);
		(void)!sscanf(line, "HugePages_Rsvd: %zu", &resv);
		(void)!sscanf(line, "Hugepagesize: %zu", &size);
	}
	fclose(f);
	return size == 2048 ? n - resv : 0;
}

static size_t free_huge(void)
{
	size_t n = 0, resv = 0;
	FILE *f = fopen("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "r");

	if (!f)
		return free_huge_of_proc();
	CHECK_EQ(fscanf(f, "%zu", &n), 1);
	fclose(f);
	f = fopen("/sys/kernel/mm/hugepages/hugepages-2048kB/resv_hugepages", "r");
	CHECK(f && fscanf(f, "%zu", &resv) == 1);
	fclose(f);
	return n - resv;
}

/* More than there is: the next kind, with the reason; exact: an error. */
static void check_none_left(void)
{
	size_t too_much = (free_huge() + 8) * 2 * MiB;
	struct io_uring_ext_arena_params p = { .size = too_much };
	struct io_uring_ext_arena_info info;
	struct io_uring_ext_arena *a = get(&p, &info);

	CHECK(info.mem == IO_URING_EXT_MEM_THP || info.mem == IO_URING_EXT_MEM_BASE);
	CHECK(strstr(info.why, "2M huge pages"));
	io_uring_ext_arena_free(a);

	p.mem = IO_URING_EXT_MEM_HUGE_2M;
	CHECK(io_uring_ext_arena_alloc(&a, &p, &err) < 0);
	/* Valgrind tries other addresses, and does not know MAP_FIXED_NOREPLACE */
	if (err.err != -ENOMEM && err.err != -EOPNOTSUPP && !t_valgrind())
		t_fail(__FILE__, __LINE__, "%d: %s", err.err, err.text);
	if (err.err == -ENOMEM)
		CHECK(strstr(err.text, have_sys() ? "nr_hugepages" : "/sys is not mounted"));
	p.flags = IO_URING_EXT_ARENA_MEMFD;
	CHECK(io_uring_ext_arena_alloc(&a, &p, &err) < 0);
	/* Small arenas are not given large pages */
	p.mem = IO_URING_EXT_MEM_AUTO;
	p.flags = 0;
	p.size = 64 * KiB;
	a = get(&p, &info);
	CHECK_EQ(info.mem, IO_URING_EXT_MEM_BASE);
	CHECK(!info.why[0]);
	io_uring_ext_arena_free(a);
}

static void check_huge(size_t page, enum io_uring_ext_mem mem, unsigned nr)
{
	struct io_uring_ext_arena_params p = {
		.size = nr * page,
		.mem = mem,
		.flags = IO_URING_EXT_ARENA_PREFAULT,
	};
	struct io_uring_ext_arena_info info;
	struct io_uring_ext_arena *a;

	if (!t_reserve_huge(page, nr)) {
		fprintf(stderr, "%u huge pages of %zu MiB cannot be had\n", nr, page / MiB);
		return;
	}
	a = get(&p, &info);
	CHECK_EQ(info.mem, mem);
	CHECK_EQ(info.page_size, page);
	CHECK_EQ(info.huge_bytes, nr * page);
	io_uring_ext_arena_free(a);

	/* AUTO takes them as well */
	p.mem = IO_URING_EXT_MEM_AUTO;
	p.align = 4 * page;
	a = get(&p, &info);
	CHECK_EQ(info.mem, mem);
	io_uring_ext_arena_free(a);

	p.align = 0;
	p.flags |= IO_URING_EXT_ARENA_MEMFD;
	a = get(&p, &info);
	CHECK_EQ(info.mem, mem);
	CHECK(info.memfd >= 0);
	io_uring_ext_arena_free(a);

	/* Ten of 1 GiB are more than 32 bits have. */
	if (page > SIZE_MAX / 16)
		return;
	p.flags = 0;
	p.alias = page;
	p.size = 10 * page;
	a = get(&p, &info);
	CHECK_EQ(info.mem, mem);
	((volatile char *)info.base)[0] = 'y';
	CHECK_EQ(((volatile char *)info.base)[9 * page], 'y');
	io_uring_ext_arena_free(a);
}

struct progress {
	unsigned calls;
	size_t last;
	size_t stop;
	pthread_t thread;
};

static int progress(void *arg, size_t done, size_t total)
{
	struct progress *pr = arg;

	CHECK(pthread_equal(pthread_self(), pr->thread));
	CHECK(done >= pr->last && done <= total);
	pr->last = done;
	pr->calls++;
	return pr->stop && done >= pr->stop;
}

static void check_progress(unsigned threads)
{
	struct progress pr = { .thread = pthread_self() };
	struct io_uring_ext_arena_params p = {
		.size = 1024 * MiB,
		.mem = IO_URING_EXT_MEM_BASE,
		.flags = IO_URING_EXT_ARENA_PREFAULT,
		.threads = threads,
		.progress = progress,
		.progress_arg = &pr,
	};
	struct io_uring_ext_arena_info info;
	struct io_uring_ext_arena *a = get(&p, &info);

	CHECK(threads > 1 || pr.calls == 16);
	io_uring_ext_arena_free(a);
	memset(&pr, 0, sizeof(pr));
	pr.thread = pthread_self();
	pr.stop = 1;
	CHECK_EQ(io_uring_ext_arena_alloc(&a, &p, &err), threads > 1 && !pr.calls ?
		 0 : -ECANCELED);
	if (err.err)
		CHECK_EQ(err.stage, IO_URING_EXT_STAGE_PREFAULT);
	else
		io_uring_ext_arena_free(a);
}

static void check_prefault(void)
{
	char *p = mmap(NULL, 3 * MiB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		       -1, 0);
	unsigned char vec[3];

	CHECK(p != MAP_FAILED);
	p[MiB + 5] = 'z';
	CHECK_EQ(io_uring_ext_prefault(NULL, MiB, 0, 1, NULL, NULL, &err), -EINVAL);
	CHECK_EQ(io_uring_ext_prefault(p, 0, 0, 1, NULL, NULL, &err), -EINVAL);
	CHECK_EQ(io_uring_ext_prefault(p, MiB, 5, 1, NULL, NULL, &err), -EINVAL);
	/* Any alignment */
	CHECK_OK(io_uring_ext_prefault(p + 100, 3 * MiB - 100, 0, 0, NULL, NULL, &err), err);
	CHECK_EQ(p[MiB + 5], 'z');
	CHECK_EQ(mincore(p, 3 * 4096, vec), 0);
	CHECK(vec[0] & vec[1] & vec[2] & 1);
	CHECK_EQ(mprotect(p + MiB, MiB, PROT_NONE), 0);
	CHECK_EQ(io_uring_ext_prefault(p, 3 * MiB, 0, 1, NULL, NULL, &err), -EFAULT);
	CHECK_EQ(munmap(p + MiB, MiB), 0);
	CHECK_EQ(io_uring_ext_prefault(p, 3 * MiB, 0, 1, NULL, NULL, &err), -EFAULT);
	CHECK_EQ(io_uring_ext_prefault(p + MiB + 4096, 4096, 0, 1, NULL, NULL, &err), -EFAULT);
	munmap(p, 3 * MiB);
}

int main(void)
{
	unsigned maps, fds;

	check_base();		/* libc has its buffers by now */
	maps = t_mappings();
	fds = t_open_fds();
	check_args();
	check_base();
	check_memfd();
	check_alias();
	check_thp();
	check_none_left();
	check_prefault();
	check_progress(1);
	check_huge(2 * MiB, IO_URING_EXT_MEM_HUGE_2M, 8);
	check_huge(GiB, IO_URING_EXT_MEM_HUGE_1G, 1);
	CHECK_EQ(t_mappings(), maps);
	CHECK_EQ(t_open_fds(), fds);
	check_progress(2);	/* thread stacks stay mapped in libc's cache */
	return 0;
}
