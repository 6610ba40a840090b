/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Two threads and the memory between them. The pinner, on CPU 0, pins ranges of the area again
 * and again and checks what it holds. The disturber, on CPU 1, does all the time what a case is
 * about: fork, munmap, migration ...
 *
 * Each page of the area has three words that count, in its first and last bytes and in the
 * middle: one that the process writes through its mapping, one that is written through the pin,
 * and one that says which page it is. The pinner knows what has to be in them.
 */
#ifndef TESTS_KERNEL_RACE_H
#define TESTS_KERNEL_RACE_H

#include <stdatomic.h>

#include "race_pin.h"
#include "vmstat.h"

#define HUGE_PAGE	(2 * MIB)
#define AREA_PAGES	1024UL		/* two page tables */
#define AREA_SIZE	(AREA_PAGES * PAGE)

struct race_page {
	uint64_t process;		/* written through the mapping */
	uint64_t pad1[255];
	uint64_t pin;			/* written through the pin */
	uint64_t touched;		/* of no account: makes the page dirty */
	uint64_t pad2[253];
	uint64_t self;			/* which page it is */
};

/* What memory an area starts with; a case may change that. */
enum kind {
	KIND_SMALL,			/* single pages */
	KIND_THP,			/* PMD-mapped THP */
	KIND_THP_PTE,			/* THP mapped by PTEs */
	KIND_MTHP,			/* folios of 64 KiB */
	KINDS,
};

extern const char * const kind_names[KINDS];

/* What has to be right while a range is pinned. */
enum check {
	/* The pinned pages are those of the process, whatever the disturber does. */
	CHECK_SAME,
	/* The same, with the disturber stopped and the area put back where it belongs. */
	CHECK_SAME_STOPPED,
	/*
	 * The pages may not be the process's any more. They are pages of this range, or were just
	 * faulted in and are empty, and they stay what they are: nobody else gets them.
	 */
	CHECK_KEPT,
};

struct race;

struct race_case {
	const char *name;
	const char *title;
	enum check check;
	unsigned int kinds;		/* bits of enum kind */
	/* Pins fail with these while the disturber is at work; never 0. */
	int errors[3];
	/* Longest time between two pins: what is pinned may hold the disturber off. */
	unsigned int idle_us;
	bool equal_pages;		/* pages have the same content while they are not pinned */
	bool may_be_emptied;		/* pages that are not pinned may lose their content */
	bool moves;			/* to the other area and back */
	bool protects;			/* rights[] says what may be pinned */
	/*
	 * What proves that something happened: a key of /proc/vmstat that goes up; otherwise
	 * what disturb() returns.
	 */
	const char *effect;
	/* Once, before the first area and after the last. NULL: nothing to do. */
	int (*start)(struct race *race, struct reason *why);
	void (*stop)(struct race *race);
	/* For each area, once it is populated. */
	void (*prepare)(struct race *race);
	/* One step of some milliseconds at most. */
	uint64_t (*disturb)(struct race *race);
	/* Puts the area where it belongs, mapped readable and writable. */
	void (*settle)(struct race *race);
};

extern const struct race_case race_cases[];
extern const size_t nr_race_cases;

struct race {
	const struct race_case *what;
	struct pinner pinner;
	enum kind kind;
	char *area;
	char *other;			/* room for another area of the same size */
	char *thief;			/* memory that takes the pages that others give up */
	uint64_t rng;			/* the disturber's */
	uint64_t pinner_rng;
	uint64_t stamp;			/* the last one, of the pinner */
	uint64_t generation;		/* of the disturber */
	uint64_t steal_generation;
	uint64_t linger_us;		/* at most, that the thief keeps pages */
	/* What was written last to each page, and has to be there still. */
	uint64_t process[AREA_PAGES];
	uint64_t pin[AREA_PAGES];
	/* PROT_READ and PROT_WRITE of each page, true while the disturber is stopped unsettled */
	uint8_t rights[AREA_PAGES];
	/* The range that the pinner is about to pin or has pinned: worth disturbing. */
	atomic_uint aim_first, aim_nr;
	atomic_bool stop;
	atomic_bool pause, paused;
	atomic_bool unsettled;		/* pause without settle() */
	atomic_bool failed;
	struct reason why;		/* of the first who failed */
	uint64_t poisoned[4096];	/* PFNs */
	size_t nr_poisoned;
	/* Counted over all areas of the case. */
	uint64_t pins[PIN_WAYS], refused, steps, effects;
};

static inline struct race_page *area_page(const struct race *race, size_t i)
{
	return (struct race_page *)race->area + i;
}

uint64_t rng_next(uint64_t *rng);

/* A number below @n. */
static inline uint64_t rng_below(uint64_t *rng, uint64_t n)
{
	return rng_next(rng) % n;
}

/* The first failure counts; ends both threads. */
void race_fail(struct race *race, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * Words say what they are, when they were written and which page they belong to. None is 0.
 * The generation has 40 bits.
 */
enum word { WORD_PROCESS = 1, WORD_PIN, WORD_SELF, WORD_STOLEN, WORD_CHILD };

static inline uint64_t word_make(enum word word, uint64_t generation, size_t page)
{
	return (uint64_t)word << 60 | generation << 24 >> 4 | page;
}

/* What every word is in pages that are to be equal. */
#define WORD_EQUAL	0x5a5a5a5a5a5a5a5aUL

/* Whether it is such a word of this page, of any generation. */
static inline bool word_is(uint64_t value, enum word word, size_t page)
{
	return value >> 60 == word && (value & 0xfffff) == page;
}

/* Fills a range of pages as the case wants to find them, through the mapping. */
void area_fill(struct race *race, size_t first, size_t nr);
/* A range to disturb, most often one that the pinner is at. */
void race_pick(struct race *race, size_t max, size_t *first, size_t *nr);

/* Pins once, checks and releases. */
void pinner_round(struct race *race);
/* Everything that was written is still there. */
void area_verify(struct race *race);

#endif
