/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/* uring-regbuf probe: get memory, register it, and tell how that went. */
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "regbuf.h"

struct probe {
	struct io_uring_ext_arena_params mem;
	struct io_uring_ext_pool_params pool;
	unsigned rings;
	struct json j;
	bool tty;
	bool shown;		/* a progress line is on the terminal */

	struct io_uring_ext_arena *arena;
	struct io_uring_ext_pool *p;
	struct io_uring *ring;
	struct io_uring_ext_ring **r;
	unsigned nr_attached;
	double alloc_s, register_s, attach_s, release_s;
};

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static int progress(void *arg, size_t done, size_t total)
{
	struct probe *pr = arg;

	if (!pr->tty)
		return 0;
	fprintf(stderr, "\rpopulating memory: %s of %s (%.0f %%) ", size_str(done),
		size_str(total), 100.0 * done / total);
	pr->shown = true;
	return 0;
}

static void say(struct probe *pr, const char *text)
{
	if (pr->shown)
		fputs("\r\033[K", stderr);
	pr->shown = false;
	if (text && pr->tty)
		fprintf(stderr, "%s\n", text);
}

static int failed(struct probe *pr, const char *what, int ret,
		  const struct io_uring_ext_error *err)
{
	say(pr, NULL);
	fprintf(stderr, "uring-regbuf: %s: %s\n", what, err->text);
	json_open(&pr->j, NULL, '{');
	json_str(&pr->j, "failed", what);
	json_str(&pr->j, "stage", io_uring_ext_stage_name(err->stage));
	json_num(&pr->j, "errno", -ret);
	json_num(&pr->j, "entry", err->entry);
	json_str(&pr->j, "text", err->text);
	json_close(&pr->j, '}');
	if (pr->j.f)
		putchar('\n');
	return 1;
}

static int attach_rings(struct probe *pr, struct io_uring_ext_error *err)
{
	unsigned i;
	int ret;

	for (i = 0; i < pr->rings; i++) {
		ret = io_uring_queue_init(4, &pr->ring[i], 0);
		if (ret) {
			snprintf(err->text, sizeof(err->text), "ring %u: %s", i,
				 strerror(-ret));
			return ret;
		}
		ret = io_uring_ext_ring_attach(&pr->r[i], pr->p, &pr->ring[i], 0, err);
		if (ret) {
			io_uring_queue_exit(&pr->ring[i]);
			return ret;
		}
		pr->nr_attached++;
	}
	return 0;
}

static void release(struct probe *pr)
{
	double start = now();

	while (pr->nr_attached) {
		unsigned i = --pr->nr_attached;

		io_uring_ext_ring_detach(pr->r[i]);
		io_uring_queue_exit(&pr->ring[i]);
	}
	io_uring_ext_pool_destroy(pr->p);
	pr->p = NULL;
	pr->release_s = now() - start;
}

static void report_memory(struct probe *pr, const struct io_uring_ext_arena_info *a)
{
	struct json *j = &pr->j;

	json_open(j, "memory", '{');
	json_str(j, "mem", mem_str(a->mem));
	json_num(j, "bytes", a->size);
	json_num(j, "page_bytes", a->page_size);
	json_num(j, "huge_bytes", a->huge_bytes);
	json_str(j, "why", a->why);
	json_num(j, "alloc_us", pr->alloc_s * 1e6);
	json_close(j, '}');
	if (j->f)
		return;
	printf("Memory      %s in pages of %s (%s), populated in %.3f s\n", size_str(a->size),
	       size_str(a->page_size), mem_str(a->mem), pr->alloc_s);
	if (a->mem == IO_URING_EXT_MEM_THP)
		printf("            %s of it in huge pages\n", size_str(a->huge_bytes));
	if (a->why[0])
		printf("            %s\n", a->why);
}

static void report_registration(struct probe *pr, const struct io_uring_ext_region_info *i,
				const struct io_uring_ext_pool_stats *st)
{
	struct json *j = &pr->j;

	json_open(j, "registration", '{');
	json_bool(j, "registered", i->registered);
	json_num(j, "slots", i->nr_slots);
	json_num(j, "slot_bytes", i->slot_size);
	json_bool(j, "cloning", st->cloning);
	json_num(j, "rings", pr->rings);
	json_num(j, "register_us", pr->register_s * 1e6);
	json_num(j, "attach_us", pr->attach_s * 1e6);
	json_num(j, "release_us", pr->release_s * 1e6);
	json_close(j, '}');
	if (j->f)
		return;
	printf("Registered  in %u slot%s of up to %s, pinned in %.3f s\n", i->nr_slots,
	       i->nr_slots == 1 ? "" : "s", size_str(i->slot_size), pr->register_s);
	printf("Rings       %u attached %s in %.6f s\n", pr->rings,
	       st->cloning ? "by clone" : "by registering", pr->attach_s);
	printf("Released    in %.3f s\n", pr->release_s);
}

/* The picture is an estimate in any case; the figures are the kernel's where it tells. */
static int look(struct probe *pr, const struct io_uring_ext_region_info *info,
		const struct io_uring_ext_arena_info *arena, struct io_uring_ext_layout *layout,
		unsigned char *map)
{
	struct io_uring_ext_layout told;
	int ret;

	ret = io_uring_ext_layout_estimate(0, arena->base, arena->size, layout, map, CELLS);
	if (ret || !info->registered || info->nr_slots != 1 || !pr->nr_attached)
		return ret;
	if (!io_uring_ext_layout(&pr->ring[0], 0, arena->base, arena->size, &told))
		*layout = told;
	return 0;
}

static void check_memlock(const struct io_uring_ext_arena_info *arena, unsigned rings)
{
	struct io_uring_ext_memlock m;
	char text[512];

	if (io_uring_ext_memlock_check(arena->size, arena->page_size, rings,
				       IO_URING_EXT_MEMLOCK_RAISE, &m) != -ENOMEM)
		return;
	io_uring_ext_memlock_describe(&m, text, sizeof(text));
	fprintf(stderr, "uring-regbuf: this will fail: %s\n", text);
}

static int run(struct probe *pr)
{
	struct io_uring_ext_layout layout;
	struct io_uring_ext_region_info info;
	struct io_uring_ext_pool_stats stats;
	struct io_uring_ext_arena_info arena;
	struct io_uring_ext_error err;
	unsigned char map[CELLS];
	double start = now();
	int ret;

	ret = io_uring_ext_arena_alloc(&pr->arena, &pr->mem, &err);
	if (ret)
		return failed(pr, "no memory of the kind asked for", ret, &err);
	pr->alloc_s = now() - start;
	say(pr, "pinning memory ...");
	io_uring_ext_arena_info(pr->arena, &arena);
	ret = io_uring_ext_pool_create(&pr->p, &pr->pool, &err);
	if (ret)
		return failed(pr, "no pool", ret, &err);
	io_uring_ext_pool_stats(pr->p, &stats);
	check_memlock(&arena, stats.cloning ? 1 : pr->rings);
	start = now();
	ret = io_uring_ext_pool_add_arena(pr->p, pr->arena, 0, &err);
	if (ret < 0)
		return failed(pr, "not registered", ret, &err);
	pr->register_s = now() - start;
	start = now();
	ret = attach_rings(pr, &err);
	if (ret)
		return failed(pr, "a ring could not be attached", ret, &err);
	pr->attach_s = now() - start;
	/* Without clones it is the rings that pin */
	if (!stats.cloning)
		pr->register_s = pr->attach_s;
	io_uring_ext_pool_region_info(pr->p, 0, &info);
	say(pr, "looking at its layout ...");
	ret = look(pr, &info, &arena, &layout, map);
	release(pr);

	json_open(&pr->j, NULL, '{');
	report_memory(pr, &arena);
	report_registration(pr, &info, &stats);
	if (!ret)
		json_layout(&pr->j, &layout, map);
	json_close(&pr->j, '}');
	if (pr->j.f)
		putchar('\n');
	else if (!ret)
		print_layout(&layout, map);
	return 0;
}

static bool parse_mem(const char *s, struct io_uring_ext_arena_params *p)
{
	static const struct {
		const char *name;
		enum io_uring_ext_mem mem;
	} kinds[] = {
		{ "auto", IO_URING_EXT_MEM_AUTO }, { "1g", IO_URING_EXT_MEM_HUGE_1G },
		{ "huge1g", IO_URING_EXT_MEM_HUGE_1G }, { "2m", IO_URING_EXT_MEM_HUGE_2M },
		{ "huge2m", IO_URING_EXT_MEM_HUGE_2M }, { "thp", IO_URING_EXT_MEM_THP },
		{ "4k", IO_URING_EXT_MEM_BASE },
	};
	unsigned i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(s, kinds[i].name))
			continue;
		p->mem = kinds[i].mem;
		return true;
	}
	if (strncmp(s, "mthp:", 5))
		return false;
	p->mem = IO_URING_EXT_MEM_THP;
	return parse_size(s + 5, &p->thp_size);
}

static bool parse_args(int argc, char **argv, struct probe *pr)
{
	static const struct option options[] = {
		{ "size", required_argument, NULL, 's' }, { "mem", required_argument, NULL, 'm' },
		{ "alias", required_argument, NULL, 'a' }, { "node", required_argument, NULL, 'n' },
		{ "threads", required_argument, NULL, 't' },
		{ "rings", required_argument, NULL, 'r' },
		{ "slot-size", required_argument, NULL, 'l' },
		{ "memfd", no_argument, NULL, 'f' }, { "no-clone", no_argument, NULL, 'c' },
		{ "json", no_argument, NULL, 'j' }, { 0 }
	};
	bool ok = true;
	int opt, i;

	while (ok && (opt = getopt_long(argc, argv, "", options, &i)) != -1) {
		switch (opt) {
		case 's':
			ok = parse_size(optarg, &pr->mem.size);
			break;
		case 'm':
			ok = parse_mem(optarg, &pr->mem);
			break;
		case 'a':
			ok = parse_size(optarg, &pr->mem.alias);
			break;
		case 'l':
			ok = parse_size(optarg, &pr->pool.max_buffer);
			break;
		case 'n':
			pr->mem.bind = 1;
			ok = parse_num(optarg, 0, UINT_MAX, &pr->mem.node);
			break;
		case 't':
			ok = parse_num(optarg, 0, UINT_MAX, &pr->mem.threads);
			break;
		case 'r':
			ok = parse_num(optarg, 1, 4096, &pr->rings);
			break;
		case 'f':
			pr->mem.flags |= IO_URING_EXT_ARENA_MEMFD;
			break;
		case 'c':
			pr->pool.flags |= IO_URING_EXT_POOL_NO_CLONE;
			break;
		case 'j':
			pr->j.f = stdout;
			break;
		default:
			return false;
		}
		if (!ok)
			fprintf(stderr, "uring-regbuf: '%s' is no value for --%s\n", optarg,
				options[i].name);
	}
	if (ok && !no_more(argc, argv))
		return false;
	if (ok && !pr->mem.size)
		fprintf(stderr, "uring-regbuf: --size is needed, e.g. --size 1G\n");
	return ok && pr->mem.size;
}

int cmd_probe(int argc, char **argv)
{
	struct probe pr = { .rings = 1 };
	int ret;

	if (!parse_args(argc, argv, &pr))
		return 2;
	pr.tty = isatty(2);
	pr.mem.flags |= IO_URING_EXT_ARENA_PREFAULT;
	pr.mem.progress = progress;
	pr.mem.progress_arg = &pr;
	pr.ring = calloc(pr.rings, sizeof(*pr.ring));
	pr.r = calloc(pr.rings, sizeof(*pr.r));
	if (!pr.ring || !pr.r) {
		fprintf(stderr, "uring-regbuf: no memory\n");
		ret = 1;
	} else {
		ret = run(&pr);
		release(&pr);
	}
	io_uring_ext_arena_free(pr.arena);
	free(pr.ring);
	free(pr.r);
	return ret;
}
