// SPDX-License-Identifier: GPL-2.0
/*
 * User memory that is mapped from files, for the KUnit suites of
 * pin_user_runs_fast()
 */
#include <linux/blkdev.h>
#include <linux/fdtable.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/major.h>
#include <linux/memfd.h>
#include <linux/mm.h>
#include <linux/mount.h>
#include <linux/ptrace.h>
#include <linux/shmem_fs.h>
#include <linux/sizes.h>

#include "../internal.h"
#include "pin_runs_kunit.h"

static unsigned long map_file(struct kunit *test, struct file *file,
			      unsigned long len, unsigned long flags)
{
	unsigned long addr = map_user(test, file, 0, len, PROT_READ | PROT_WRITE,
				      flags, 0);

	fput(file);
	return addr;
}

unsigned long map_shmem(struct kunit *test, unsigned long len)
{
	unsigned long addr = map_user(test, NULL, 0, len, PROT_READ | PROT_WRITE,
				      MAP_SHARED | MAP_ANONYMOUS, 0);

	touch(test, addr, len);
	return addr;
}

unsigned long map_memfd(struct kunit *test, unsigned long len)
{
	struct file *file = memfd_alloc_file("kunit", 0);
	unsigned long addr;

	if (IS_ERR(file))
		kunit_skip(test, "no memfd");
	i_size_write(file_inode(file), len);
	addr = map_file(test, file, len, MAP_SHARED);
	touch(test, addr, len);
	return addr;
}

static void put_mount(void *mnt)
{
	mntput(mnt);
}

/* A file of a tmpfs that uses large folios whenever it can */
static struct file *huge_shmem_file(struct kunit *test, unsigned long len)
{
	char options[] = "huge=always";
	struct file_system_type *type = get_fs_type("tmpfs");
	struct vfsmount *mnt;
	struct file *file;
	int ret;

	if (!type || !IS_ENABLED(CONFIG_TRANSPARENT_HUGEPAGE) ||
	    !IS_ENABLED(CONFIG_SHMEM) || PMD_SIZE > SZ_32M)
		kunit_skip(test, "no THPs in shmem");
	mnt = vfs_kern_mount(type, 0, "kunit", options);
	put_filesystem(type);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, mnt);
	ret = kunit_add_action_or_reset(test, put_mount, mnt);
	KUNIT_ASSERT_EQ(test, ret, 0);
	file = shmem_file_setup_with_mnt(mnt, "kunit", len, EMPTY_VMA_FLAGS);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, file);
	return file;
}

static unsigned long map_huge_shmem(struct kunit *test, struct file *file,
				    unsigned long len)
{
	unsigned long addr, pos;

	addr = ALIGN(map_anon(test, len + PMD_SIZE), PMD_SIZE);
	map_user(test, file, addr, len, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_FIXED, 0);
	touch(test, addr, len);
	for (pos = addr; pos < addr + len; pos += PMD_SIZE) {
		if (order_at(test, pos) != PMD_ORDER)
			kunit_skip(test, "no memory for a THP");
	}
	return addr;
}

unsigned long map_shmem_thp(struct kunit *test, unsigned long len)
{
	struct file *file = huge_shmem_file(test, len);
	unsigned long addr = map_huge_shmem(test, file, len);

	fput(file);
	return addr;
}

/* The same, but private: until there is a copy of a page, it is that of the file. */
unsigned long map_shmem_thp_private(struct kunit *test, unsigned long len)
{
	struct file *file = huge_shmem_file(test, len);
	unsigned long first = map_huge_shmem(test, file, len), addr, pos;

	addr = ALIGN(map_anon(test, len + PMD_SIZE), PMD_SIZE);
	map_user(test, file, addr, len, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_FIXED, 0);
	fput(file);
	read_pages(test, addr, len);
	for (pos = addr; pos < addr + len; pos += PMD_SIZE)
		KUNIT_ASSERT_TRUE(test, pmd_leaf(pmdp_get(mm_find_pmd(current->mm,
								      pos))));
	unmap_user(test, first, len);
	return addr;
}

/* A shared one, but half of each folio is in one page table and half in another. */
unsigned long map_shmem_askew(struct kunit *test, unsigned long len)
{
	struct file *file = huge_shmem_file(test, len);
	unsigned long first = map_huge_shmem(test, file, len), addr;

	addr = ALIGN(map_anon(test, len + 2 * PMD_SIZE), PMD_SIZE) + PMD_SIZE / 2;
	map_user(test, file, addr, len, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_FIXED, 0);
	fput(file);
	touch(test, addr, len);
	vm_munmap(first, len);
	return addr;
}

/* A folio, in one page table, whose second half was only read, in a mapping of its own */
static unsigned long map_halves(struct kunit *test, unsigned long len,
				unsigned long prot, unsigned long flags)
{
	struct file *file = huge_shmem_file(test, len);
	unsigned long first = map_huge_shmem(test, file, len), half = len / 2;
	unsigned long addr = ALIGN(map_anon(test, len + PMD_SIZE), PMD_SIZE);

	map_user(test, file, addr, half, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_FIXED, 0);
	map_user(test, file, addr + half, half, prot, flags | MAP_FIXED, half);
	fput(file);
	touch(test, addr, half);
	read_pages(test, addr + half, half);
	vm_munmap(first, len);
	return addr;
}

unsigned long map_shmem_half(struct kunit *test, unsigned long len)
{
	return map_halves(test, len, PROT_READ, MAP_SHARED);
}

unsigned long map_shmem_private_half(struct kunit *test, unsigned long len)
{
	return map_halves(test, len, PROT_READ | PROT_WRITE, MAP_PRIVATE);
}

/*
 * The nearest that there is to a file of a real file system this early: a block
 * device, with a page cache that is written back
 */
static struct file *ramdisk(struct kunit *test)
{
	struct file *file = ERR_PTR(-ENXIO);

	if (IS_ENABLED(CONFIG_BLK_DEV_RAM))
		file = bdev_file_open_by_dev(MKDEV(RAMDISK_MAJOR, 0),
					     BLK_OPEN_READ | BLK_OPEN_WRITE,
					     NULL, NULL);
	if (IS_ERR(file))
		kunit_skip(test, "no RAM disk");
	return file;
}

unsigned long map_file_private(struct kunit *test, unsigned long len)
{
	unsigned long addr = map_file(test, ramdisk(test), len, MAP_PRIVATE);

	read_pages(test, addr, len);
	return addr;
}

unsigned long map_file_shared(struct kunit *test, unsigned long len)
{
	unsigned long addr = map_file(test, ramdisk(test), len, MAP_SHARED);

	touch(test, addr, len);
	return addr;
}

/* What is mapped from a file there, a second time, and to be read only */
unsigned long map_read_only(struct kunit *test, unsigned long addr,
			    unsigned long len)
{
	unsigned long again = ALIGN(map_anon(test, len + PMD_SIZE), PMD_SIZE);
	struct vm_area_struct *vma;
	struct file *file;

	mmap_read_lock(current->mm);
	vma = find_vma(current->mm, addr);
	file = get_file(vma->vm_file);
	mmap_read_unlock(current->mm);
	map_user(test, file, again, len, PROT_READ, MAP_SHARED | MAP_FIXED, 0);
	fput(file);
	read_pages(test, again, len);
	return again;
}

/*
 * What makes a mapping file system DAX for ordinary GUP is a flag of the inode.
 * That nothing is present keeps GUP-fast from finding pages that are not.
 */
unsigned long map_dax(struct kunit *test, unsigned long len)
{
	struct file *file;

	if (!IS_ENABLED(CONFIG_FS_DAX) || !IS_ENABLED(CONFIG_SHMEM))
		kunit_skip(test, "no DAX");
	file = shmem_file_setup("kunit", len, EMPTY_VMA_FLAGS);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, file);
	file_inode(file)->i_flags |= S_DAX;
	return map_file(test, file, len, MAP_SHARED);
}

#if defined(CONFIG_SECRETMEM) && defined(CONFIG_X86_64)
#define sys_memfd_secret_regs	__x64_sys_memfd_secret
#elif defined(CONFIG_SECRETMEM) && defined(CONFIG_ARM64)
#define sys_memfd_secret_regs	__arm64_sys_memfd_secret
#endif

#ifdef sys_memfd_secret_regs
asmlinkage long sys_memfd_secret_regs(const struct pt_regs *regs);

unsigned long map_secretmem(struct kunit *test, unsigned long len)
{
	/* All arguments are 0. */
	struct pt_regs *regs = kunit_kzalloc(test, sizeof(*regs), GFP_KERNEL);
	struct file *file;
	unsigned long addr;
	int fd;

	KUNIT_ASSERT_NOT_NULL(test, regs);
	fd = sys_memfd_secret_regs(regs);
	if (fd < 0)
		kunit_skip(test, "no secretmem: %d", fd);
	file = fget(fd);
	close_fd(fd);
	KUNIT_ASSERT_NOT_NULL(test, file);
	i_size_write(file_inode(file), len);
	addr = map_file(test, file, len, MAP_SHARED);
	touch(test, addr, len);
	return addr;
}
#else
unsigned long map_secretmem(struct kunit *test, unsigned long len)
{
	kunit_skip(test, "no secretmem");
	return 0;
}
#endif

/*
 * As a driver maps its memory: page frames, and nobody may look whether there
 * are pages. The frames are those of anonymous memory, which would be pinned.
 */
unsigned long map_frames(struct kunit *test, unsigned long len)
{
	unsigned long i, nr = len >> PAGE_SHIFT, addr;
	struct page **pages = alloc_pages_array(test, nr);
	struct vm_area_struct *vma;
	int ret = 0;

	reference(test, map_4k(test, len), nr, FOLL_WRITE, pages);
	addr = map_user(test, NULL, 0, len, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, 0);
	mmap_write_lock(current->mm);
	vma = find_vma(current->mm, addr);
	for (i = 0; i < nr && !ret; i++)
		ret = remap_pfn_range(vma, addr + i * PAGE_SIZE,
				      page_to_pfn(pages[i]), PAGE_SIZE,
				      vma->vm_page_prot);
	mmap_write_unlock(current->mm);
	unpin_user_pages(pages, nr);
	KUNIT_ASSERT_EQ(test, ret, 0);
	return addr;
}
