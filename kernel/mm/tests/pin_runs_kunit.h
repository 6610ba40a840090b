/* SPDX-License-Identifier: GPL-2.0 */
#ifndef MM_TESTS_PIN_RUNS_KUNIT_H
#define MM_TESTS_PIN_RUNS_KUNIT_H

/*
 * What the KUnit suites for pin_user_runs_fast() share: user memory of every
 * kind, and the comparison of runs with the pages that they should be
 */

#include <kunit/test.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/pin_runs.h>

#define PIN_RUNS_NR_FORMATS	(PIN_RUNS_PHYS + 1)

/* Room that a run takes in any format at most */
#define PIN_RUN_MAX_BYTES	16

extern const char * const pin_runs_format_names[PIN_RUNS_NR_FORMATS];

/*
 * Memory of the process that a test runs in. What maps it fails the test, or
 * skips it with a message where this kernel or this machine cannot do it. It
 * goes away with the process, or earlier with unmap().
 */
unsigned long map_user(struct kunit *test, struct file *file,
		       unsigned long addr, unsigned long len,
		       unsigned long prot, unsigned long flags,
		       unsigned long offset);
void unmap_user(struct kunit *test, unsigned long addr, unsigned long len);
void touch(struct kunit *test, unsigned long addr, unsigned long len);
void read_pages(struct kunit *test, unsigned long addr, unsigned long len);
void expect_touched(struct kunit *test, unsigned long addr, unsigned long len);

/* Of the folio that is mapped there */
unsigned int order_at(struct kunit *test, unsigned long addr);

/* A copy of the process, which fork() would make, until unmap() */
struct mm_struct *fork_mm(struct kunit *test);
void end_fork(struct kunit *test);

unsigned long map_anon(struct kunit *test, unsigned long len);
unsigned long map_4k(struct kunit *test, unsigned long len);
unsigned long map_16k_folios(struct kunit *test, unsigned long len);
unsigned long map_64k_folios(struct kunit *test, unsigned long len);
unsigned long map_thp(struct kunit *test, unsigned long len);
unsigned long map_thp_ptes(struct kunit *test, unsigned long len);
unsigned long map_thp_odd(struct kunit *test, unsigned long len);
unsigned long map_thirds(struct kunit *test, unsigned long len);
unsigned long map_patchwork(struct kunit *test, unsigned long len);
unsigned long map_hugetlb(struct kunit *test, unsigned long len);
unsigned long map_hugetlb_shared(struct kunit *test, unsigned long len);
unsigned long map_hugetlb_adjacent(struct kunit *test, unsigned long len);
unsigned long map_hugetlb_reversed(struct kunit *test, unsigned long len);
unsigned long map_1g_adjacent(struct kunit *test, unsigned long len);
unsigned long map_1g_reversed(struct kunit *test, unsigned long len);
void put_1g_pages(void);
unsigned long map_absent(struct kunit *test, unsigned long len);
unsigned long map_zero(struct kunit *test, unsigned long len);
unsigned long map_huge_zero(struct kunit *test, unsigned long len);
unsigned long map_shmem(struct kunit *test, unsigned long len);
unsigned long map_shmem_thp(struct kunit *test, unsigned long len);
unsigned long map_shmem_thp_private(struct kunit *test, unsigned long len);
unsigned long map_shmem_askew(struct kunit *test, unsigned long len);
unsigned long map_shmem_half(struct kunit *test, unsigned long len);
unsigned long map_shmem_private_half(struct kunit *test, unsigned long len);
unsigned long map_memfd(struct kunit *test, unsigned long len);
unsigned long map_file_private(struct kunit *test, unsigned long len);
unsigned long map_file_shared(struct kunit *test, unsigned long len);
unsigned long map_read_only(struct kunit *test, unsigned long addr,
			    unsigned long len);
unsigned long map_dax(struct kunit *test, unsigned long len);
unsigned long map_secretmem(struct kunit *test, unsigned long len);
unsigned long map_frames(struct kunit *test, unsigned long len);
unsigned long map_4k_forked(struct kunit *test, unsigned long len);
unsigned long map_thp_forked(struct kunit *test, unsigned long len);
unsigned long map_thp_ptes_forked(struct kunit *test, unsigned long len);
unsigned long map_hugetlb_forked(struct kunit *test, unsigned long len);

/* Pins taken so far, and those of them that are held now */
long pins_acquired(void);
long pins_held(void);

/* All cases have to give back the pins that they take. */
int pin_runs_case_init(struct kunit *test);
void pin_runs_case_exit(struct kunit *test);

void *alloc_buffer(struct kunit *test, size_t bytes);
struct page **alloc_pages_array(struct kunit *test, unsigned long nr);

void init_chunk(struct pin_runs *runs, enum pin_runs_format format, void *buf,
		u32 bytes);
long pin_pages(unsigned long addr, unsigned long nr, unsigned int gup_flags,
	       struct page **pages, int *err);
void reference(struct kunit *test, unsigned long addr, unsigned long nr,
	       unsigned int gup_flags, struct page **pages);
long pins_of(struct page *page);
long expect_runs(struct kunit *test, const struct pin_runs *runs,
		 struct page **pages, unsigned long nr);
void expect_unpinned(struct kunit *test, struct page **pages, unsigned long nr);
unsigned long expect_chunks(struct kunit *test, unsigned long addr,
			    unsigned long nr, unsigned int gup_flags,
			    struct page **pages, enum pin_runs_format format,
			    void *buf, u32 bytes);

#endif /* MM_TESTS_PIN_RUNS_KUNIT_H */
