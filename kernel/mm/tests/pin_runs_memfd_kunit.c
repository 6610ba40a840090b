// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests for pin_memfd_runs()
 *
 * A file is mapped: what pin_user_runs_fast() puts into a chunk at an address
 * has to be, entry for entry, what pin_memfd_runs() puts there for the page of
 * the file that is mapped there. What is not there yet is told from what is.
 */
#include <kunit/test.h>
#include <linux/falloc.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/memfd.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sizes.h>
#include <uapi/linux/fcntl.h>
#include <uapi/linux/memfd.h>

#include "../internal.h"
#include "../pin_runs.h"
#include "pin_runs_kunit.h"

#define LEN		SZ_8M
#define NR		(LEN >> PAGE_SHIFT)

static void put_file(void *file)
{
	fput(file);
}

/* The file that is mapped at @addr, and the page of it */
static struct file *file_at(struct kunit *test, unsigned long addr,
			    pgoff_t *index)
{
	struct vm_area_struct *vma;
	struct file *file = NULL;

	mmap_read_lock(current->mm);
	vma = vma_lookup(current->mm, addr);
	if (vma && vma->vm_file) {
		file = get_file(vma->vm_file);
		*index = linear_page_index(vma, addr);
	}
	mmap_read_unlock(current->mm);
	KUNIT_ASSERT_NOT_NULL(test, file);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, put_file, file), 0);
	return file;
}

static size_t chunk_entries_bytes(const struct pin_runs *runs)
{
	switch (runs->format) {
	case PIN_RUNS_PFN:
		return runs->nr * sizeof(u64);
	case PIN_RUNS_BVEC:
		return runs->nr * sizeof(struct bio_vec);
	default:
		return runs->nr * sizeof(struct phys_vec);
	}
}

/* Chunk by chunk, from page @skip of the mapping on */
static void compare(struct kunit *test, unsigned long addr, unsigned long skip,
		    enum pin_runs_format format, u32 bytes)
{
	void *mapped = alloc_buffer(test, bytes), *filed = alloc_buffer(test, bytes);
	unsigned long done = skip;
	struct pin_runs a, b;
	struct file *file;
	pgoff_t index;

	file = file_at(test, addr, &index);
	while (done < NR) {
		long want, got;

		init_chunk(&a, format, mapped, bytes);
		init_chunk(&b, format, filed, bytes);
		want = pin_user_runs_fast(addr + (done << PAGE_SHIFT), NR - done,
					  FOLL_WRITE | FOLL_LONGTERM, GFP_KERNEL,
					  &a);
		got = pin_memfd_runs(file, index + done, NR - done, FOLL_WRITE,
				     &b);
		KUNIT_EXPECT_EQ(test, got, want);
		KUNIT_EXPECT_EQ(test, b.nr, a.nr);
		KUNIT_EXPECT_EQ(test, b.nr_sizes, a.nr_sizes);
		if (a.nr == b.nr && format != PIN_RUNS_PHYS)
			KUNIT_EXPECT_MEMEQ(test, filed, mapped,
					   chunk_entries_bytes(&a));
		unpin_user_runs(&a, UNPIN_CLEAN);
		unpin_user_runs(&b, UNPIN_CLEAN);
		if (got <= 0 || got != want)
			return;
		done += got;
	}
}

static void memfd_same_chunks(struct kunit *test)
{
	static unsigned long (* const kinds[])(struct kunit *test, unsigned long len) = {
		map_memfd, map_shmem, map_shmem_thp, map_shmem_askew,
		map_hugetlb_shared,
	};
	static const u32 sizes[] = { 64, 200, PAGE_SIZE };
	enum pin_runs_format format;
	unsigned int i, k;

	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		unsigned long addr = kinds[i](test, LEN);

		for (format = 0; format < PIN_RUNS_NR_FORMATS; format++) {
			for (k = 0; k < ARRAY_SIZE(sizes); k++) {
				compare(test, addr, 0, format, sizes[k]);
				compare(test, addr, 3, format, sizes[k]);
			}
		}
		unmap_user(test, addr, LEN);
	}
}

static struct file *new_memfd(struct kunit *test)
{
	struct file *file = memfd_alloc_file("kunit", MFD_ALLOW_SEALING);

	if (IS_ERR(file))
		kunit_skip(test, "no memfd");
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, put_file, file), 0);
	i_size_write(file_inode(file), 16 * PAGE_SIZE);
	return file;
}

/* Where files get large folios by default, more is there than was asked for. */
static void skip_if_large(struct kunit *test, struct file *file, pgoff_t index)
{
	struct folio *folio = filemap_get_folio(file->f_mapping, index);
	bool large;

	KUNIT_ASSERT_FALSE(test, IS_ERR(folio));
	large = folio_test_large(folio);
	folio_put(folio);
	if (large)
		kunit_skip(test, "memory of files is in large folios");
}

/* Not there: -EAGAIN until somebody makes it ready, up to what is there. */
static void memfd_not_ready(struct kunit *test)
{
	struct file *file = new_memfd(test);
	struct pin_runs runs;
	u64 buf[16];

	pin_runs_init(&runs, buf, sizeof(buf));
	KUNIT_EXPECT_EQ(test, pin_memfd_runs(file, 0, 1, 0, &runs), -EAGAIN);
	KUNIT_EXPECT_EQ(test, fault_in_memfd_runs(file, 2, 3, 0), 0);
	skip_if_large(test, file, 2);
	KUNIT_EXPECT_EQ(test, pin_memfd_runs(file, 0, 8, 0, &runs), -EAGAIN);
	KUNIT_EXPECT_EQ(test, pin_memfd_runs(file, 2, 8, 0, &runs), 3);
	KUNIT_EXPECT_EQ(test, runs.nr, 3);
	KUNIT_EXPECT_EQ(test, pin_memfd_runs(file, 5, 8, 0, &runs), -EAGAIN);
	KUNIT_EXPECT_EQ(test, runs.nr, 3);
	unpin_user_runs(&runs, UNPIN_CLEAN);

	KUNIT_EXPECT_EQ(test, pin_memfd_runs(file, 15, 2, 0, &runs), -EINVAL);
	KUNIT_EXPECT_EQ(test, pin_memfd_runs(file, -1UL, 1, 0, &runs), -EINVAL);
	KUNIT_EXPECT_EQ(test, fault_in_memfd_runs(file, 15, 2, 0), -EINVAL);
}

/* fallocate() puts pages there that nobody may see. */
static void memfd_not_cleared(struct kunit *test)
{
	struct file *file = new_memfd(test);
	struct pin_runs runs;
	struct folio *folio;
	u64 buf[16];

	KUNIT_ASSERT_EQ(test, vfs_fallocate(file, 0, 0, 16 * PAGE_SIZE), 0);
	folio = filemap_get_folio(file->f_mapping, 0);
	KUNIT_ASSERT_FALSE(test, IS_ERR(folio));
	KUNIT_EXPECT_FALSE(test, folio_test_uptodate(folio));
	folio_put(folio);

	pin_runs_init(&runs, buf, sizeof(buf));
	KUNIT_EXPECT_EQ(test, pin_memfd_runs(file, 0, 16, 0, &runs), -EAGAIN);
	KUNIT_EXPECT_EQ(test, fault_in_memfd_runs(file, 0, 16, 0), 0);
	KUNIT_EXPECT_EQ(test, pin_memfd_runs(file, 0, 16, 0, &runs), 16);
	unpin_user_runs(&runs, UNPIN_CLEAN);
}

/* Who writes it to swap has it locked, and does not see a reference that is new. */
static void memfd_locked(struct kunit *test)
{
	struct file *file = new_memfd(test);
	struct pin_runs runs;
	struct folio *folio;
	u64 buf[16];

	pin_runs_init(&runs, buf, sizeof(buf));
	KUNIT_ASSERT_EQ(test, fault_in_memfd_runs(file, 0, 1, 0), 0);
	folio = filemap_lock_folio(file->f_mapping, 0);
	KUNIT_ASSERT_FALSE(test, IS_ERR(folio));
	KUNIT_EXPECT_EQ(test, pin_memfd_runs(file, 0, 1, 0, &runs), -EAGAIN);
	folio_unlock(folio);
	folio_put(folio);
	KUNIT_EXPECT_EQ(test, pin_memfd_runs(file, 0, 1, 0, &runs), 1);
	unpin_user_runs(&runs, UNPIN_CLEAN);
}

/* What is pinned to be written to is dirty, what is only read is not. */
static void memfd_dirty(struct kunit *test)
{
	struct file *file = new_memfd(test);
	struct pin_runs runs;
	struct folio *folio;
	u64 buf[16];

	pin_runs_init(&runs, buf, sizeof(buf));
	KUNIT_ASSERT_EQ(test, fault_in_memfd_runs(file, 0, 1, 0), 0);
	folio = filemap_lock_folio(file->f_mapping, 0);
	KUNIT_ASSERT_FALSE(test, IS_ERR(folio));
	folio_clear_dirty(folio);
	folio_unlock(folio);

	KUNIT_EXPECT_EQ(test, pin_memfd_runs(file, 0, 1, 0, &runs), 1);
	KUNIT_EXPECT_FALSE(test, folio_test_dirty(folio));
	unpin_user_runs(&runs, UNPIN_CLEAN);
	KUNIT_EXPECT_EQ(test, pin_memfd_runs(file, 0, 1, FOLL_WRITE, &runs), 1);
	KUNIT_EXPECT_TRUE(test, folio_test_dirty(folio));
	unpin_user_runs(&runs, UNPIN_CLEAN);
	folio_put(folio);
}

/* Between begin and end, nobody can seal it against writing. */
static void memfd_seals(struct kunit *test)
{
	struct file *file = new_memfd(test);

	KUNIT_ASSERT_EQ(test, pin_memfd_begin(file, FOLL_WRITE), 0);
	KUNIT_EXPECT_EQ(test, memfd_add_seals(file, F_SEAL_WRITE), -EBUSY);
	pin_memfd_end(file, FOLL_WRITE);
	KUNIT_EXPECT_EQ(test, memfd_add_seals(file, F_SEAL_WRITE), 0);
	KUNIT_EXPECT_EQ(test, pin_memfd_begin(file, FOLL_WRITE), -EPERM);
	KUNIT_EXPECT_EQ(test, pin_memfd_begin(file, 0), 0);
	pin_memfd_end(file, 0);
}

/* Nobody may write over what a file has that is only appended to. */
static void memfd_append(struct kunit *test)
{
	struct file *file = new_memfd(test);

	inode_lock(file_inode(file));
	inode_set_flags(file_inode(file), S_APPEND, S_APPEND);
	inode_unlock(file_inode(file));
	KUNIT_EXPECT_EQ(test, pin_memfd_begin(file, FOLL_WRITE), -EACCES);
	KUNIT_EXPECT_EQ(test, pin_memfd_begin(file, 0), 0);
	pin_memfd_end(file, 0);
}

/* One reference more would make the number of them negative. */
static void memfd_references(struct kunit *test)
{
	struct file *file = new_memfd(test);
	struct pin_runs runs;
	struct folio *folio;
	u64 buf[16];
	int nr;

	pin_runs_init(&runs, buf, sizeof(buf));
	KUNIT_ASSERT_EQ(test, fault_in_memfd_runs(file, 0, 2, 0), 0);
	skip_if_large(test, file, 1);
	folio = filemap_get_folio(file->f_mapping, 1);
	KUNIT_ASSERT_FALSE(test, IS_ERR(folio));
	nr = INT_MAX - folio_ref_count(folio) + 1;
	folio_ref_add(folio, nr);
	KUNIT_EXPECT_EQ(test, pin_memfd_runs(file, 0, 2, 0, &runs), 1);
	KUNIT_EXPECT_EQ(test, pin_memfd_runs(file, 1, 1, 0, &runs), -ENOMEM);
	folio_ref_sub(folio, nr);
	KUNIT_EXPECT_EQ(test, pin_memfd_runs(file, 1, 1, 0, &runs), 1);
	folio_put(folio);
	unpin_user_runs(&runs, UNPIN_CLEAN);
}

static struct kunit_case pin_runs_memfd_cases[] = {
	KUNIT_CASE(memfd_same_chunks),
	KUNIT_CASE(memfd_not_ready),
	KUNIT_CASE(memfd_not_cleared),
	KUNIT_CASE(memfd_locked),
	KUNIT_CASE(memfd_dirty),
	KUNIT_CASE(memfd_seals),
	KUNIT_CASE(memfd_append),
	KUNIT_CASE(memfd_references),
	{}
};

static struct kunit_suite pin_runs_memfd_suite = {
	.name = "pin_runs_memfd",
	.init = pin_runs_case_init,
	.exit = pin_runs_case_exit,
	.test_cases = pin_runs_memfd_cases,
};

kunit_test_suite(pin_runs_memfd_suite);
