// SPDX-License-Identifier: GPL-2.0
/* The pinner: one round after another of pinning, checking, and letting go. */
#include <sched.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "race.h"

#define READ_AGAIN	3

const char * const kind_names[KINDS] = { "4K pages", "THP", "PTE-mapped THP", "64K folios" };

uint64_t rng_next(uint64_t *rng)
{
	uint64_t x = *rng;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	*rng = x;
	return x * 0x2545f4914f6cdd1dULL >> 16;
}

void race_fail(struct race *race, const char *fmt, ...)
{
	va_list args;

	if (atomic_exchange(&race->failed, true))
		return;
	va_start(args, fmt);
	vsnprintf(race->why.text, sizeof(race->why.text), fmt, args);
	va_end(args);
	atomic_store(&race->stop, true);
}

static const char *words(uint64_t value, char *buf, size_t size)
{
	static const char * const names[] = {
		[WORD_PROCESS] = "process", [WORD_PIN] = "pin", [WORD_SELF] = "self",
		[WORD_STOLEN] = "thief", [WORD_CHILD] = "child",
	};
	uint64_t word = value >> 60;

	if (value == WORD_EQUAL || !word || word >= ARRAY_SIZE(names))
		snprintf(buf, size, "%llx", (unsigned long long)value);
	else
		snprintf(buf, size, "%s page %llu #%llu", names[word],
			 (unsigned long long)value & 0xfffff,
			 (unsigned long long)(value << 4 >> 24));
	return buf;
}

static void fail_word(struct race *race, size_t page, const char *what, uint64_t is,
		      uint64_t expected)
{
	const struct pinner *pinner = &race->pinner;
	char a[48], b[48];

	race_fail(race, "%s, pinned by %s at page %u, %zu pages: page %zu, %s: %s instead of %s",
		  kind_names[race->kind], pin_way_names[pinner->way], race->aim_first,
		  pinner->nr_pages, page, what, words(is, a, sizeof(a)),
		  words(expected, b, sizeof(b)));
}

static uint64_t word_self(const struct race *race, size_t page)
{
	return race->what->equal_pages ? WORD_EQUAL : word_make(WORD_SELF, 0, page);
}

void area_fill(struct race *race, size_t first, size_t nr)
{
	for (size_t i = first; i < first + nr; i++) {
		bool equal = race->what->equal_pages;
		struct race_page *page = area_page(race, i);

		race->process[i] = equal ? WORD_EQUAL : word_make(WORD_PROCESS, 0, i);
		race->pin[i] = equal ? WORD_EQUAL : word_make(WORD_PIN, 0, i);
		page->process = race->process[i];
		page->pin = race->pin[i];
		page->self = word_self(race, i);
	}
}

void area_verify(struct race *race)
{
	for (size_t i = 0; i < AREA_PAGES && !race->failed; i++) {
		const struct race_page *page = area_page(race, i);

		if (page->process != race->process[i])
			fail_word(race, i, "not pinned, the process's word", page->process,
				  race->process[i]);
		if (page->pin != race->pin[i])
			fail_word(race, i, "not pinned, the word from the pin", page->pin,
				  race->pin[i]);
		if (page->self != word_self(race, i))
			fail_word(race, i, "not pinned, the page's own word", page->self,
				  word_self(race, i));
	}
}

/* A transfer through the pin; false when the race is over. */
static bool transfer(struct race *race, int (*direction)(struct pinner *), const char *what)
{
	int ret = direction(&race->pinner);

	if (ret)
		race_fail(race, "%s through %s: %s", what, pin_way_names[race->pinner.way],
			  strerror(-ret));
	return !ret;
}

static struct race_page *pinned_page(const struct race *race, size_t i)
{
	return (struct race_page *)race->pinner.copy + i;
}

/* What the process writes must be seen through the pin, and the reverse. */
static void check_same(struct race *race, size_t first, size_t nr, bool write)
{
	bool may_be_empty = race->what->may_be_emptied;
	uint64_t stamp = ++race->stamp;

	for (size_t i = first; i < first + nr; i++) {
		race->process[i] = word_make(WORD_PROCESS, stamp, i);
		area_page(race, i)->process = race->process[i];
	}
	if (!transfer(race, pin_read, "reading"))
		return;
	for (size_t i = first; i < first + nr; i++) {
		struct race_page *seen = pinned_page(race, i - first);

		if (seen->process != race->process[i])
			fail_word(race, i, "written by the process, seen through the pin",
				  seen->process, race->process[i]);
		if (seen->self != word_self(race, i) && !(may_be_empty && !seen->self))
			fail_word(race, i, "the page's own word, seen through the pin",
				  seen->self, word_self(race, i));
		seen->pin = word_make(WORD_PIN, stamp, i);
	}
	if (!write || race->failed || !transfer(race, pin_write, "writing"))
		return;
	for (size_t i = first; i < first + nr; i++) {
		struct race_page *page = area_page(race, i);

		race->pin[i] = word_make(WORD_PIN, stamp, i);
		if (page->pin != race->pin[i])
			fail_word(race, i, "written through the pin, seen by the process",
				  page->pin, race->pin[i]);
		if (page->process != race->process[i])
			fail_word(race, i, "written by the process, seen by itself",
				  page->process, race->process[i]);
	}
}

/* Every page that is pinned belongs here, or is an empty one, and stays. */
static void check_kept(struct race *race, size_t first, size_t nr, bool write, bool written)
{
	uint64_t stamp = written ? race->stamp : race->stamp + 1;
	unsigned int again = 0;

	if (!transfer(race, pin_read, "reading"))
		return;
	for (size_t i = first; i < first + nr; i++) {
		struct race_page *seen = pinned_page(race, i - first);
		uint64_t mine = word_make(WORD_PIN, stamp, i);
		bool process_right = !seen->process || word_is(seen->process, WORD_PROCESS, i);
		bool self_right = !seen->self || word_is(seen->self, WORD_SELF, i);

		/*
		 * A copy may be made byte by byte: a word that is written meanwhile is half empty
		 * then. What is wrong stays wrong.
		 */
		if (!(process_right && self_right) && again++ < READ_AGAIN) {
			if (!transfer(race, pin_read, "reading"))
				return;
			i = first - 1;
			continue;
		}
		if (!process_right)
			fail_word(race, i, "another page's content is pinned", seen->process,
				  word_make(WORD_PROCESS, race->generation, i));
		if (!self_right)
			fail_word(race, i, "another page is pinned", seen->self,
				  word_self(race, i));
		if (written && write ? seen->pin != mine :
				       seen->pin && !word_is(seen->pin, WORD_PIN, i))
			fail_word(race, i, "written through the pin, seen through the pin",
				  seen->pin, mine);
		seen->pin = mine;
	}
	if (!write || written || race->failed)
		return;
	race->stamp = stamp;
	transfer(race, pin_write, "writing");
}

static void stop_disturber(struct race *race, bool on)
{
	race->pause = on;
	while (race->paused != on && !race->stop)
		sched_yield();
}

static void check(struct race *race, size_t first, size_t nr, bool write, bool again)
{
	switch (race->what->check) {
	case CHECK_SAME:
		check_same(race, first, nr, write);
		break;
	case CHECK_SAME_STOPPED:
		race->unsettled = false;
		stop_disturber(race, true);
		if (!race->stop)
			check_same(race, first, nr, write);
		stop_disturber(race, false);
		break;
	case CHECK_KEPT:
		check_kept(race, first, nr, write, again);
		break;
	}
}

static size_t random_length(uint64_t *rng, size_t max)
{
	/* Short ones are quicker and meet more; long ones have more than one page table. */
	static const size_t limits[] = { 1, 1, 2, 4, 8, 16, 32, 64, 128, AREA_PAGES };

	return 1 + rng_below(rng, min_size(max, limits[rng_below(rng, ARRAY_SIZE(limits))]));
}

void race_pick(struct race *race, size_t max, size_t *first, size_t *nr)
{
	size_t aim = race->aim_first, aim_nr = race->aim_nr;

	*nr = random_length(&race->rng, max);
	if (!aim_nr || !rng_below(&race->rng, 4))
		*first = rng_below(&race->rng, AREA_PAGES);
	else
		*first = aim + rng_below(&race->rng, aim_nr);
	if (*first > AREA_PAGES - *nr)
		*first = AREA_PAGES - *nr;
}

static enum pin_way pick_way(struct race *race)
{
	enum pin_way way;

	do {
		way = rng_below(&race->pinner_rng, PIN_WAYS);
	} while (!race->pinner.works[way]);
	return way;
}

static void pause_us(uint64_t us)
{
	struct timespec ts = { .tv_nsec = (long)us * 1000 };

	if (us)
		nanosleep(&ts, NULL);
}

static bool may_fail(const struct race *race, int error)
{
	const int *errors = race->what->errors;

	for (size_t i = 0; i < ARRAY_SIZE(race->what->errors); i++)
		if (errors[i] && errors[i] == error)
			return true;
	return false;
}

/* Whether the protection is such that all of the range may be pinned. */
static bool has_right(const struct race *race, size_t first, size_t nr, bool write)
{
	for (size_t i = first; i < first + nr; i++)
		if (!(race->rights[i] & (write ? PROT_WRITE : PROT_READ)))
			return false;
	return true;
}

/* As pin_hold(). What is protected and does not change must be refused, and nothing else. */
static int hold_protected(struct race *race, enum pin_way way, char *addr, size_t first,
			  size_t nr, bool write)
{
	bool right;
	int ret;

	race->unsettled = true;
	stop_disturber(race, true);
	right = has_right(race, first, nr, write);
	ret = pin_hold(&race->pinner, way, addr, nr, write);
	if (!race->stop && right == (ret != 0))
		race_fail(race, "%s, %zu pages at page %zu, a pin for %s by %s, which is %s: %s",
			  kind_names[race->kind], nr, first, write ? "writing" : "reading",
			  pin_way_names[way], right ? "allowed" : "not allowed",
			  ret ? strerror(-ret) : "no error");
	stop_disturber(race, false);
	return ret;
}

void pinner_round(struct race *race)
{
	const struct race_case *what = race->what;
	size_t nr = random_length(&race->pinner_rng, AREA_PAGES);
	size_t first = rng_below(&race->pinner_rng, AREA_PAGES - nr + 1);
	enum pin_way way = pick_way(race);
	bool write = way == PIN_IO_URING ||
		     (race->pinner.writes[way] && rng_below(&race->pinner_rng, 2));
	char *area = race->area;
	int ret;

	/* The area may be at the other place just now: then that is where to look. */
	if (what->moves && rng_below(&race->pinner_rng, 2))
		area = race->other;
	race->aim_first = (unsigned int)first;
	race->aim_nr = (unsigned int)nr;
	if (what->idle_us)
		pause_us(rng_below(&race->pinner_rng, what->idle_us));

	if (what->protects && rng_below(&race->pinner_rng, 2))
		ret = hold_protected(race, way, area + first * PAGE, first, nr, write);
	else
		ret = pin_hold(&race->pinner, way, area + first * PAGE, nr, write);
	if (ret) {
		race->refused++;
		if (!may_fail(race, -ret))
			race_fail(race, "%s, %zu pages at page %zu do not get pinned by %s: %s",
				  kind_names[race->kind], nr, first, pin_way_names[way],
				  strerror(-ret));
		return;
	}
	race->pins[way]++;
	check(race, first, nr, write, false);
	/* And again, when the disturber has seen that the pages are pinned. */
	if (!race->failed && !rng_below(&race->pinner_rng, 3)) {
		pause_us(rng_below(&race->pinner_rng, 1000));
		check(race, first, nr, write, true);
	}
	ret = pin_release(&race->pinner);
	if (ret)
		race_fail(race, "releasing %s: %s", pin_way_names[way], strerror(-ret));
	if (what->equal_pages && !race->failed)
		area_fill(race, first, nr);
}
