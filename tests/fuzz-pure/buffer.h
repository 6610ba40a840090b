/* SPDX-License-Identifier: GPL-2.0 */
/* A registered buffer of made up runs, and what is true of it without looking at its tables */
#ifndef FUZZ_PURE_BUFFER_H
#define FUZZ_PURE_BUFFER_H

#include "input.h"

#include "io_uring/regbuf_layout.h"

#define BUFFER_RUNS	128
#define BUFFER_BVECS	512		/* that are stored, at most */

struct buffer {
	struct buffer_run {
		unsigned long pfn;
		u64 nr_pages;
	} runs[BUFFER_RUNS];
	u32 nr_runs;
	u64 nr_pages;
	/* bytes that are not used of the first page and of the last one */
	u32 head, tail;
	struct regbuf_tally tally;
	struct io_mapped_ubuf *imu;
};

static inline void buffer_add(struct buffer *buf, u64 pfn, u64 nr_pages)
{
	/* 64 TiB at most */
	if (buf->nr_runs == BUFFER_RUNS || buf->nr_pages + nr_pages > 1ULL << (46 - PAGE_SHIFT))
		return;
	buf->runs[buf->nr_runs++] = (struct buffer_run){ pfn, nr_pages };
	buf->nr_pages += nr_pages;
	regbuf_tally_run(&buf->tally, nr_pages);
}

static inline void buffer_make(struct buffer *buf, struct input *in)
{
	u8 ends = input_u8(in), align = input_u8(in);

	memset(buf, 0, sizeof(*buf));
	while (buf->nr_runs < BUFFER_RUNS && in->size) {
		u8 how = input_u8(in), order = input_u8(in) % (MAX_FOLIO_ORDER + 5);
		u64 pfn = input_u64(in, 1 + (how & 3));
		u32 times = how & 4 ? 1 + input_u8(in) : 1;
		u64 nr = 1ULL << order;

		if (how & 8)		/* not a power of two */
			nr = 1 + input_u64(in, 4) % nr;
		while (times--) {
			buffer_add(buf, pfn, nr);
			pfn += how & 16 ? nr : 2 * nr;
		}
	}
	if (!buf->nr_runs)
		buffer_add(buf, 1, 1);
	buf->head = ends & 1 ? (align << 4) : 0;
	buf->tail = ends & 2 ? (ends << 3 & (PAGE_SIZE - 1)) | 1 : 0;
	if (buf->nr_pages == 1 && buf->head + buf->tail >= PAGE_SIZE)
		buf->tail = 0;
}

static inline void buffer_store(struct buffer *buf, const struct regbuf_layout *layout)
{
	struct regbuf_fill fill;
	u32 i;

	/* Exactly as much: what is written behind it is seen. */
	buf->imu = malloc(sizeof(*buf->imu) + layout->bytes);
	buf->imu->ubuf = (3UL << PAGE_SHIFT) + buf->head;
	buf->imu->len = (buf->nr_pages << PAGE_SHIFT) - buf->head - buf->tail;
	buf->imu->dir = 3;
	regbuf_fill_begin(&fill, buf->imu, layout);
	for (i = 0; i < buf->nr_runs; i++)
		regbuf_fill_run(&fill, buf->runs[i].pfn, buf->runs[i].nr_pages);
	regbuf_fill_end(&fill);
	must(fill.bvec == buf->imu->bvec + buf->imu->nr_bvecs);
}

static inline u64 bvec_phys(const struct bio_vec *bv)
{
	return ((u64)page_to_pfn(bv->bv_page) << PAGE_SHIFT) + bv->bv_offset;
}

static inline u64 naive_phys(const struct buffer *buf, u64 offset)
{
	u64 pos = offset + buf->head;
	u32 i;

	for (i = 0; pos >= buf->runs[i].nr_pages << PAGE_SHIFT; i++)
		pos -= buf->runs[i].nr_pages << PAGE_SHIFT;
	return ((u64)buf->runs[i].pfn << PAGE_SHIFT) + pos;
}

/* The bvecs are the runs, in pieces at most; only the first and the last one have part pages. */
static inline void buffer_check(const struct buffer *buf)
{
	const struct io_mapped_ubuf *imu = buf->imu;
	u64 total = 0, pos = buf->head;
	u32 run = 0, i;

	for (i = 0; i < imu->nr_bvecs; i++) {
		const struct bio_vec *bv = &imu->bvec[i];
		u64 bytes = buf->runs[run].nr_pages << PAGE_SHIFT;

		must(bv->bv_len && bv->bv_len <= 1U << IO_REGBUF_MAX_SHIFT);
		must(bv->bv_offset == (i ? 0 : buf->head));
		must(bvec_phys(bv) == ((u64)buf->runs[run].pfn << PAGE_SHIFT) + pos);
		pos += bv->bv_len;
		total += bv->bv_len;
		must(i == imu->nr_bvecs - 1 || !(pos & (PAGE_SIZE - 1)));
		must(pos <= bytes);
		if (pos == bytes) {
			pos = 0;
			run++;
		}
	}
	must(total == imu->len);
	must(run == buf->nr_runs || (run == buf->nr_runs - 1 && buf->tail));
}

#endif
