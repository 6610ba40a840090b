// SPDX-License-Identifier: GPL-2.0
/*
 * Chunks of runs in all formats: what was put in comes out again, forwards and backwards, in as
 * much room as was said, and nothing is written beside it. Compared with an array of runs.
 */
#include "input.h"

#include <linux/pin_runs.h>

#define MAX_RUNS	512

struct chunk {
	struct pin_runs runs;
	struct pin_run list[MAX_RUNS];
	u32 nr;
};

static struct pin_run next_run(struct input *in, const struct pin_run *last)
{
	u8 how = input_u8(in);
	struct pin_run run;

	run.pfn = input_u64(in, 1 + (how & 7)) & ((1UL << 52) - 1);
	switch (how >> 3 & 3) {
	case 0:
		run.nr_pages = 1UL << (input_u8(in) % (MAX_FOLIO_ORDER + 1));
		break;
	case 1:
		run.nr_pages = 1 + input_u64(in, 3) % MAX_FOLIO_NR_PAGES;
		break;
	case 2:		/* aligned, or nearly so */
		run.nr_pages = 1UL << (input_u8(in) % (MAX_FOLIO_ORDER + 1));
		run.pfn = (run.pfn & ~(run.nr_pages - 1)) + (how >> 6);
		break;
	default:	/* where the last one ended */
		run.nr_pages = 1 + input_u16(in);
		run.pfn = (last->pfn + last->nr_pages) & ((1UL << 52) - 1);
		break;
	}
	return run;
}

/* The bytes of a run, by the description in pin_runs.h */
static u32 naive_bytes(enum pin_runs_format format, const struct pin_run *run)
{
	bool power = __builtin_popcountl(run->nr_pages) == 1;

	if (format != PIN_RUNS_PFN)
		return 16;
	return power && run->pfn % run->nr_pages == 0 ? 8 : 12;
}

static void check_forwards(const struct chunk *chunk)
{
	struct pin_runs_iter it = { };
	struct pin_run run;
	u32 i;

	for (i = 0; i < chunk->nr; i++) {
		must(pin_runs_next(&chunk->runs, &it, &run));
		must(run.pfn == chunk->list[i].pfn);
		must(run.nr_pages == chunk->list[i].nr_pages);
	}
	must(!pin_runs_next(&chunk->runs, &it, &run));
	must(it.i == chunk->runs.nr && it.size == chunk->runs.nr_sizes);
}

static void pop(struct chunk *chunk)
{
	const struct pin_run *last = &chunk->list[--chunk->nr];
	u32 room = pin_runs_room(&chunk->runs);
	struct pin_run run = pin_runs_pop(&chunk->runs);

	must(run.pfn == last->pfn && run.nr_pages == last->nr_pages);
	must(pin_runs_room(&chunk->runs) - room == naive_bytes(chunk->runs.format, last));
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct input in = { data, size };
	enum pin_runs_format format = input_u8(&in) % 3;
	u32 bytes = input_u16(&in) % 4096, room, want;
	struct pin_run run = { 0, 1 };
	struct chunk chunk = { };
	void *buf = malloc(bytes);

	if (format == PIN_RUNS_PFN)
		pin_runs_init(&chunk.runs, buf, bytes);
	else if (format == PIN_RUNS_BVEC)
		pin_runs_init_bvecs(&chunk.runs, buf, bytes / sizeof(struct bio_vec));
	else
		pin_runs_init_phys(&chunk.runs, buf, bytes / sizeof(struct phys_vec));

	while (in.size && chunk.nr < MAX_RUNS) {
		if (input_u8(&in) < 32 && chunk.nr) {
			pop(&chunk);
			continue;
		}
		run = next_run(&in, &run);
		/* A folio that wraps around at the end of memory is none. */
		if (run.pfn + run.nr_pages > 1UL << 52)
			continue;
		room = pin_runs_room(&chunk.runs);
		want = pin_run_bytes(format, run.pfn, run.nr_pages);
		must(want == naive_bytes(format, &run));
		must(run.nr_pages <= pin_run_max_pages(format));
		if (want > room)
			continue;
		pin_runs_push(&chunk.runs, run.pfn, run.nr_pages);
		chunk.list[chunk.nr++] = run;
		must(room - pin_runs_room(&chunk.runs) == want);
	}
	check_forwards(&chunk);
	while (chunk.nr)
		pop(&chunk);
	must(!chunk.runs.nr && !chunk.runs.nr_sizes);
	free(buf);
	return 0;
}
