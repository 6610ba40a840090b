/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * The registered buffers in the fdinfo of a ring:
 *
 *   UserBufs:	3
 *       0: 0x7f0000000000/1048576
 *       1: <none>
 *
 * and, on kernels that keep buffers as runs, how they are stored, at the end:
 *
 *   UserBufLayouts:
 *     buf=0, layout=uniform, bvecs=2, metadata=560, charged=0, dir=source+dest
 *     buf=2, dir=source, memfd
 *     buf=3, layout=linear, bvecs=1, metadata=56, charged=0, dir=dest, kernel
 *
 * Of what is registered read-only it does not say how that lies in memory.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "fdinfo.h"

static void add(struct fdinfo_table *t, const char *line)
{
	unsigned long long address, bytes;
	unsigned index;

	if (sscanf(line, " %u: 0x%llx/%llu", &index, &address, &bytes) != 3 || !bytes)
		return;
	/* At each power of two it doubles */
	if (!(t->nr_buffers & (t->nr_buffers - 1))) {
		t->buffers = realloc(t->buffers, (t->nr_buffers ? 2UL * t->nr_buffers : 1) *
						 sizeof(*t->buffers));
		if (!t->buffers) {
			perror("uring-regbuf");
			exit(1);
		}
	}
	/* Unless more is told: kernels that do not tell know no other buffers without address */
	t->buffers[t->nr_buffers++] = (struct fdinfo_buffer) {
		.index = index, .address = address, .bytes = bytes, .kernel = !address,
	};
}

/* Is it one of what follows ", " here? */
static bool has_word(const char *list, const char *word)
{
	size_t length = strlen(word);

	while ((list = strstr(list, ", "))) {
		list += 2;
		if (!strncmp(list, word, length) && strchr(",\n", list[length]))
			return true;
	}
	return false;
}

/*
 * Both lists rise: look for this line's buffer from @at on.  Fields that are not known
 * here may follow.
 */
static unsigned tell(struct fdinfo_table *t, unsigned at, const char *line)
{
	unsigned long long metadata, charged;
	struct fdinfo_buffer b = { .told = true };
	int end = 0;

	if (sscanf(line, " buf=%u, layout=%15[^,\n], bvecs=%u, metadata=%llu, charged=%llu, "
		   "dir=%15[^,\n]%n", &b.index, b.layout, &b.bvecs, &metadata, &charged,
		   b.direction, &end) != 6) {
		metadata = charged = b.bvecs = 0;
		b.layout[0] = '\0';
		if (sscanf(line, " buf=%u, dir=%15[^,\n]%n", &b.index, b.direction, &end) != 2)
			return at;
	}
	b.kernel = has_word(line + end, "kernel");
	b.memfd = has_word(line + end, "memfd");
	while (at < t->nr_buffers && t->buffers[at].index < b.index)
		at++;
	if (at == t->nr_buffers || t->buffers[at].index != b.index)
		return at;
	b.address = t->buffers[at].address;
	b.bytes = t->buffers[at].bytes;
	b.metadata = metadata;
	b.charged = charged;
	t->buffers[at] = b;
	return at + 1;
}

bool fdinfo_read(FILE *f, struct fdinfo_table *t)
{
	enum { OTHER, BUFFERS, LAYOUTS } block = OTHER;
	bool found = false;
	unsigned at = 0;
	char line[512];

	memset(t, 0, sizeof(*t));
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "UserBufs: %u", &t->nr_entries) == 1) {
			block = BUFFERS;
			found = true;
		} else if (!strncmp(line, "UserBufLayouts:", 15)) {
			block = LAYOUTS;
		} else if (isalpha((unsigned char)line[0])) {
			/* A heading. Not all entries begin with a space: 10000 and on do not */
			block = OTHER;
		} else if (block == LAYOUTS) {
			at = tell(t, at, line);
		} else if (block == BUFFERS) {
			add(t, line);
		}
	}
	return found;
}
