// SPDX-License-Identifier: GPL-2.0-only
/*
 * The memory of a job: an arena of liburing-ext, of the kind that arena_mem says,
 * and what liburing-ext does not do because no program but a benchmark wants it:
 * several kinds in one arena, and pages replaced to fragment it.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fio.h"

#include "regbuf.h"

#define SZ_64K	(64UL << 10)
#define SZ_2M	(2UL << 20)
#define SZ_1G	(1UL << 30)

/* Mappings that an aliased arena may take of the 65530 that a process has by default */
#define ALIAS_MAPPINGS	32768

#ifndef MAP_HUGE_SHIFT
#define MAP_HUGE_SHIFT	26
#endif

static size_t round_up(size_t n, size_t align)
{
	return (n + align - 1) / align * align;
}

/* ---- mixed: each 2 MiB is of a kind drawn by lot --------------------------- */

#define MIX_UNIT	SZ_2M
#define MIX_KINDS	4

static const struct {
	const char *name;
	unsigned int mem;
} mix_kinds[MIX_KINDS] = {
	{ "4k", REGBUF_MEM_4K },
	{ "thp", REGBUF_MEM_THP },
	{ "huge2m", REGBUF_MEM_HUGE2M },
	{ "memfd", REGBUF_MEM_MEMFD },
};

/* "4k/50:thp/50" into percentages by kind. */
static int parse_mix(const char *mix, unsigned int *percent)
{
	char *copy = strdup(mix ? mix : ""), *rest = copy, *item, *number, *end;
	unsigned int i, sum = 0;
	unsigned long part;
	int ret = EINVAL;

	if (!copy)
		return ENOMEM;
	memset(percent, 0, MIX_KINDS * sizeof(*percent));
	while ((item = strsep(&rest, ":"))) {
		number = strchr(item, '/');
		if (!number)
			goto out;
		*number++ = '\0';
		for (i = 0; i < MIX_KINDS && strcmp(item, mix_kinds[i].name); i++)
			;
		if (i == MIX_KINDS)
			goto out;
		part = strtoul(number, &end, 10);
		if (end == number || *end || part > 100)
			goto out;
		percent[i] += part;
	}
	for (i = 0; i < MIX_KINDS; i++)
		sum += percent[i];
	if (sum == 100)
		ret = 0;
out:
	free(copy);
	if (ret)
		regbuf_say("arena_mix=%s: want kinds (4k, thp, huge2m, memfd) with "
			"percentages that make 100, as 4k/20:thp/80", mix);
	return ret;
}

int regbuf_check_mix(const char *text)
{
	unsigned int percent[MIX_KINDS];

	return parse_mix(text, percent);
}

static unsigned int draw_kind(uint64_t *random, const unsigned int *percent)
{
	unsigned int at = regbuf_random_below(random, 100), i;

	for (i = 0; i < MIX_KINDS - 1 && at >= percent[i]; i++)
		at -= percent[i];
	return mix_kinds[i].mem;
}

/* Turn base pages into another kind. */
static int overlay(char *start, size_t len, unsigned int mem)
{
	int flags = MAP_FIXED | MAP_ANONYMOUS;

	switch (mem) {
	case REGBUF_MEM_THP:
		return madvise(start, len, MADV_HUGEPAGE) ? errno : 0;
	case REGBUF_MEM_HUGE2M:
		flags |= MAP_PRIVATE | MAP_HUGETLB | 21 << MAP_HUGE_SHIFT;
		break;
	case REGBUF_MEM_MEMFD:
		flags |= MAP_SHARED;
		break;
	default:
		return 0;
	}
	if (mmap(start, len, PROT_READ | PROT_WRITE, flags, -1, 0) == MAP_FAILED)
		return errno;
	return 0;
}

/* How much of a range that was populated is in huge pages, as far as can be told. */
static size_t bytes_in_thp(const char *start, size_t len)
{
	const unsigned int nr = len / MIX_UNIT;
	struct io_uring_ext_layout layout;
	unsigned char *map = calloc(nr, 1);
	size_t bytes = 0;
	unsigned int i;

	if (map && !io_uring_ext_layout_estimate(0, start, len, &layout, map, nr))
		for (i = 0; i < nr; i++)
			bytes += 1UL << map[i] >= MIX_UNIT ? MIX_UNIT : 0;
	free(map);
	return bytes;
}

/* Asking for huge pages is no more than that: see what came. */
static int count_huge(struct regbuf_arena *a, const struct regbuf_options *o,
		      const char *start, size_t len, unsigned int mem)
{
	size_t huge = len, used = a->base + a->size - start;

	if (mem != REGBUF_MEM_HUGE2M && (mem != REGBUF_MEM_THP || !o->arena_prefault))
		return 0;
	if (mem == REGBUF_MEM_THP)
		huge = bytes_in_thp(start, len);
	/* The arena may end in the middle of the last unit */
	a->info.huge_bytes += huge < used ? huge : used;
	if (huge == len)
		return 0;
	if (o->arena_strict) {
		regbuf_say("thp for a mixed arena: only %zu of %zu bytes are in huge pages "
			   "(arena_strict=0 would go on)", huge, len);
		return ENOMEM;
	}
	snprintf(a->note, sizeof(a->note), "not all of the mix: not all of its thp is in huge "
		 "pages");
	return 0;
}

static int mix_range(struct regbuf_arena *a, const struct regbuf_options *o,
		     struct regbuf_watch *w, char *start, size_t len, unsigned int mem)
{
	struct io_uring_ext_error err = { 0 };
	size_t page = mem == REGBUF_MEM_HUGE2M ? SZ_2M : 0;
	int ret;

	ret = overlay(start, len, mem);
	if (!ret && o->arena_prefault)
		ret = -io_uring_ext_prefault(start, len, page, 0, regbuf_watch, w, &err);
	if (!ret)
		return count_huge(a, o, start, len, mem);
	if (!o->arena_strict && mem != REGBUF_MEM_4K && ret != ECANCELED) {
		snprintf(a->note, sizeof(a->note), "not all of the mix: no %s: %.200s",
			 regbuf_mem_name(mem), err.text[0] ? err.text : strerror(ret));
		if (mmap(start, len, PROT_READ | PROT_WRITE,
			 MAP_FIXED | MAP_ANONYMOUS | MAP_PRIVATE, -1, 0) == MAP_FAILED)
			return errno;
		return mix_range(a, o, w, start, len, REGBUF_MEM_4K);
	}
	regbuf_say("%s for a mixed arena: %s", regbuf_mem_name(mem),
		   err.text[0] ? err.text : strerror(ret));
	return ret;
}

static int mix(struct regbuf_arena *a, const struct regbuf_options *o, struct regbuf_watch *w)
{
	/* The lots are drawn for whole units */
	const size_t size = round_up(a->size, MIX_UNIT);
	unsigned int percent[MIX_KINDS], mem, next;
	size_t start = 0, end;
	int ret;

	ret = parse_mix(o->arena_mix ? o->arena_mix : "4k/50:thp/50", percent);
	if (ret)
		return ret;
	mem = draw_kind(&a->random, percent);
	for (end = MIX_UNIT; ; end += MIX_UNIT) {
		next = draw_kind(&a->random, percent);
		if (end < size && next == mem)
			continue;
		ret = mix_range(a, o, w, a->base + start, end - start, mem);
		if (ret || end >= size)
			return ret;
		start = end;
		mem = next;
	}
}

/* ---- fragments -------------------------------------------------------------- */

/*
 * Give one base page of each @every bytes back and take another: what was one huge
 * page is then mapped in pieces, with a stranger among them.  Nothing shall put it
 * together again while the job runs.
 */
static int fragment(struct regbuf_arena *a, struct regbuf_watch *w, size_t every)
{
	size_t page = sysconf(_SC_PAGESIZE), at, odd, len;

	regbuf_watch_start(w, w->td, "fragmenting");
	if (madvise(a->base, a->info.size, MADV_NOHUGEPAGE) && errno != EINVAL) {
		regbuf_say("arena_frag: keeping khugepaged away: %s", strerror(errno));
		return errno;
	}
	for (at = 0; at < a->size; at += every) {
		if (regbuf_watch(w, at, a->size))
			return ECANCELED;
		len = a->size - at < every ? a->size - at : every;
		odd = at + regbuf_random_below(&a->random, len / page) * page;
		if (madvise(a->base + odd, page, MADV_DONTNEED)) {
			regbuf_say("arena_frag: %s", strerror(errno));
			return errno;
		}
		*(volatile char *)(a->base + odd) = 1;
	}
	return 0;
}

/* ---- the arena ---------------------------------------------------------------- */

static int kind_of_folio(unsigned long long folio, enum io_uring_ext_mem *mem, size_t *thp)
{
	*thp = 0;
	if (folio == SZ_1G) {
		*mem = IO_URING_EXT_MEM_HUGE_1G;
	} else if (folio == SZ_2M) {
		*mem = IO_URING_EXT_MEM_HUGE_2M;
	} else if (folio == (size_t)sysconf(_SC_PAGESIZE)) {
		*mem = IO_URING_EXT_MEM_BASE;
	} else {
		regbuf_say("arena_folio=%llu: want the size of base pages, 2m or 1g",
			folio);
		return EINVAL;
	}
	return 0;
}

static int fill_params(const struct regbuf_options *o, size_t size,
		       struct io_uring_ext_arena_params *p)
{
	const size_t page = sysconf(_SC_PAGESIZE);
	unsigned long long folio = o->arena_folio;

	p->size = size;
	p->align = SZ_2M;
	if (o->arena_prefault)
		p->flags |= IO_URING_EXT_ARENA_PREFAULT;

	switch (o->arena_mem) {
	case REGBUF_MEM_4K:
		p->mem = IO_URING_EXT_MEM_BASE;
		return 0;
	case REGBUF_MEM_THP:
		p->mem = IO_URING_EXT_MEM_THP;
		return 0;
	case REGBUF_MEM_MTHP:
		p->mem = IO_URING_EXT_MEM_THP;
		p->thp_size = folio ? folio : SZ_64K;
		return 0;
	case REGBUF_MEM_HUGE2M:
		p->mem = IO_URING_EXT_MEM_HUGE_2M;
		return 0;
	case REGBUF_MEM_HUGE1G:
		p->mem = IO_URING_EXT_MEM_HUGE_1G;
		return 0;
	case REGBUF_MEM_MEMFD:
		p->flags |= IO_URING_EXT_ARENA_MEMFD;
		p->mem = IO_URING_EXT_MEM_BASE;
		if (folio > page) {
			p->mem = IO_URING_EXT_MEM_THP;
			p->thp_size = folio;
		}
		return 0;
	case REGBUF_MEM_MEMFD_HUGE:
		p->flags |= IO_URING_EXT_ARENA_MEMFD;
		return kind_of_folio(folio ? folio : SZ_2M, &p->mem, &p->thp_size);
	case REGBUF_MEM_MIXED:
		/* The other kinds are laid over it; prefault comes after that */
		p->flags &= ~IO_URING_EXT_ARENA_PREFAULT;
		p->size = round_up(size, MIX_UNIT);
		p->mem = IO_URING_EXT_MEM_BASE;
		return 0;
	case REGBUF_MEM_ALIAS:
		if (!folio)
			folio = SZ_2M;
		p->alias = o->arena_alias ? o->arena_alias :
					    round_up(size / ALIAS_MAPPINGS + 1, folio);
		if (p->alias > size)
			p->alias = size;
		return kind_of_folio(folio, &p->mem, &p->thp_size);
	}
	return EINVAL;
}

/* Smaller pages than asked for: the next kind down, or false. */
static bool step_down(struct io_uring_ext_arena_params *p)
{
	p->thp_size = 0;
	switch (p->mem) {
	case IO_URING_EXT_MEM_HUGE_1G:
		p->mem = IO_URING_EXT_MEM_HUGE_2M;
		return true;
	case IO_URING_EXT_MEM_HUGE_2M:
		p->mem = IO_URING_EXT_MEM_THP;
		return true;
	case IO_URING_EXT_MEM_THP:
		p->mem = IO_URING_EXT_MEM_BASE;
		return true;
	default:
		return false;
	}
}

static bool is_reserved(enum io_uring_ext_mem mem)
{
	return mem == IO_URING_EXT_MEM_HUGE_1G || mem == IO_URING_EXT_MEM_HUGE_2M;
}

/* Page tables are memory, too: 8 bytes for each page that is mapped. */
static size_t need_of(const struct io_uring_ext_arena_params *p)
{
	const size_t page = p->mem == IO_URING_EXT_MEM_HUGE_1G ? SZ_1G :
			    p->mem == IO_URING_EXT_MEM_HUGE_2M ? SZ_2M :
						(size_t)sysconf(_SC_PAGESIZE);
	const size_t tables = p->size / page * 8;

	if (is_reserved(p->mem))
		return tables;
	return tables + (p->alias ? p->alias : p->size);
}

/*
 * Running out of memory half-way is no error that a process sees: the kernel kills one,
 * whoever it is.  Huge pages were set aside before, so for them it is an error.
 */
static int check_memory(const struct io_uring_ext_arena_params *p)
{
	const size_t need = need_of(p);
	unsigned long kib = 0;
	char line[128];
	FILE *f;

	f = fopen("/proc/meminfo", "re");
	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f) && !sscanf(line, "MemAvailable: %lu", &kib))
		;
	fclose(f);
	if (!kib || need >> 10 <= kib)
		return 0;
	regbuf_say("%zu MiB of memory are needed, page tables included, and %lu MiB are available",
		   need >> 20, kib >> 10);
	return ENOMEM;
}

static int alloc(struct regbuf_arena *a, const struct regbuf_options *o,
		 struct io_uring_ext_arena_params *p)
{
	/* Of aliased memory only the size is large: smaller pages are another thing */
	const bool strict = o->arena_strict || o->arena_mem == REGBUF_MEM_ALIAS;
	struct io_uring_ext_error err;
	int ret;

	for (;;) {
		ret = check_memory(p);
		if (ret)
			return ret;
		ret = io_uring_ext_arena_alloc(&a->arena, p, &err);
		if (!ret)
			return 0;
		if (!a->note[0] || ret == -ECANCELED)
			snprintf(a->note, sizeof(a->note), "%s", err.text);
		if (strict || ret == -EINVAL || ret == -ECANCELED || !step_down(p)) {
			regbuf_say("no arena of %zu bytes, arena_mem=%s: %s", p->size,
				   regbuf_mem_name(o->arena_mem), a->note);
			return -ret;
		}
	}
}

static int check_huge(struct regbuf_arena *a, const struct regbuf_options *o)
{
	if (a->info.mem != IO_URING_EXT_MEM_THP || !o->arena_prefault ||
	    a->info.huge_bytes >= a->size)
		return 0;
	if (o->arena_strict) {
		regbuf_say("only %zu of %zu bytes are in folios of %zu bytes (arena_strict=0 "
			   "would go on)", a->info.huge_bytes, a->size, a->info.page_size);
		return ENOMEM;
	}
	snprintf(a->note, sizeof(a->note), "%zu of %zu bytes are in folios of %zu bytes",
		 a->info.huge_bytes, a->size, a->info.page_size);
	return 0;
}

int regbuf_arena_alloc(struct regbuf_arena *a, struct thread_data *td, size_t size)
{
	const struct regbuf_options *o = td->eo;
	struct io_uring_ext_arena_params p = { 0 };
	struct regbuf_watch watch;
	char note[sizeof(a->note) + 32];
	int ret;

	regbuf_watch_start(&watch, td, "populating");
	p.progress = regbuf_watch;
	p.progress_arg = &watch;
	a->random = o->arena_seed * 0x9e3779b97f4a7c15ULL | 1;
	ret = fill_params(o, size, &p);
	if (!ret)
		ret = alloc(a, o, &p);
	if (ret)
		return ret;
	io_uring_ext_arena_info(a->arena, &a->info);
	a->base = a->info.base;
	a->size = size;
	a->memory = p.alias ? p.alias : size;
	if (o->arena_mem == REGBUF_MEM_MIXED)
		ret = mix(a, o, &watch);
	/* As asked before it is split on purpose, and told as it is after that */
	if (!ret)
		ret = check_huge(a, o);
	if (!ret && o->arena_frag) {
		ret = fragment(a, &watch, o->arena_frag);
		io_uring_ext_arena_info(a->arena, &a->info);
	}
	if (!ret && a->note[0]) {
		snprintf(note, sizeof(note), "arena_mem=%s: %s", regbuf_mem_name(o->arena_mem),
			 a->note);
		regbuf_note(td, note);
	}
	if (ret)
		regbuf_arena_free(a);
	return ret;
}

void regbuf_arena_free(struct regbuf_arena *a)
{
	io_uring_ext_arena_free(a->arena);
	memset(a, 0, sizeof(*a));
}
