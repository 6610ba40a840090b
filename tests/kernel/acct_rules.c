// SPDX-License-Identifier: GPL-2.0
#include <stdlib.h>

#include "acct_rules.h"

void acct_init(struct acct *acct, enum acct_rule rule, const struct acct_memory *memory)
{
	*acct = (struct acct){ .rule = rule, .memory = memory };
	for (int ring = 0; ring < ACCT_RINGS; ring++) {
		acct->users[ring] = calloc(memory->nr_folios, sizeof(**acct->users));
		if (!acct->users[ring])
			die("out of memory");
	}
}

/*
 * Adds (@by 1) or takes away (-1) a user of each folio of the buffer. A folio that has pages in
 * several places of the buffer may be counted for each of them: what is added is taken away.
 * Returns the pages of folios that became used, or unused, and all single pages.
 */
static long count(struct acct *acct, unsigned int ring, size_t first, size_t nr, int by)
{
	const struct acct_memory *memory = acct->memory;
	unsigned int *users = acct->users[acct->rule == ACCT_SHARED ? 0 : ring];
	long pages = 0;

	for (size_t i = first; i < first + nr; i++) {
		unsigned int folio = memory->folio[i];

		if (memory->folio_pages[folio] == 1) {
			pages++;
			continue;
		}
		if (i > first && memory->folio[i - 1] == folio)
			continue;
		if (by > 0 && !users[folio]++)
			pages += memory->folio_pages[folio];
		if (by < 0 && !--users[folio])
			pages += memory->folio_pages[folio];
	}
	return pages;
}

struct acct_buffer *acct_register(struct acct *acct, unsigned int ring, size_t first, size_t nr,
				  long other, unsigned long limit)
{
	struct acct_buffer *buffer;
	long pages = count(acct, ring, first, nr, 1);

	/*
	 * With nothing to charge, there is nothing to refuse. What went below zero is as large
	 * as numbers get.
	 */
	if (pages && (unsigned long)(acct->charged + other + pages) > limit) {
		count(acct, ring, first, nr, -1);
		return NULL;
	}
	buffer = malloc(sizeof(*buffer));
	if (!buffer)
		die("out of memory");
	*buffer = (struct acct_buffer){ first, nr, 1 };
	acct->charged += pages;
	return buffer;
}

void acct_clone(struct acct *acct, unsigned int ring, struct acct_buffer *buffer)
{
	if (acct->rule == ACCT_PER_RING)
		count(acct, ring, buffer->first, buffer->nr, 1);
	buffer->rings++;
}

void acct_put(struct acct *acct, unsigned int ring, struct acct_buffer *buffer)
{
	bool last = !--buffer->rings;
	long pages = 0;

	if (last || acct->rule == ACCT_PER_RING)
		pages = count(acct, ring, buffer->first, buffer->nr, -1);
	if (!last)
		return;
	acct->charged -= pages;
	free(buffer);
}
