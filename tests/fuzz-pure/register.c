// SPDX-License-Identifier: GPL-2.0
/*
 * Registration as a whole: io_uring/regbuf.c, regbuf_stage.c and regbuf_acct.c on top of
 * mm/pin_runs.c, with made up memory. Several buffers come and go, in two rings and as clones, within a limit
 * that moves, and any allocation may fail.
 *
 * After each step, what every folio is pinned for and what the user is charged is compared with
 * the list of buffers: a folio counts as a whole while any buffer has a page of it, single pages
 * count for each.
 */
#include "io_uring/regbuf.c"
#include "io_uring/regbuf_import.c"

#include "world.h"

#define NR_SLOTS	8

/* A buffer in a slot, and the pages of the table that it is of */
struct slot {
	struct io_mapped_ubuf *imu;
	struct io_ring_ctx *ring;
	u32 page, nr;
};

static struct user_struct user;
static struct mm_struct mm;
static struct io_ring_ctx rings[2];
static struct slot slots[NR_SLOTS];
static u32 pins[WORLD_PFNS];

/* There are no buffers of the kernel here. */
bool io_buffer_slot_busy(struct io_ring_ctx *ctx, unsigned int slot)
{
	(void)ctx;
	(void)slot;
	return false;
}

static unsigned long head_of(unsigned long pfn)
{
	return page_to_pfn(fuzz_pages[pfn].head);
}

/* The first page of a run, which is as long as it can be */
static bool starts_run(const struct slot *slot, u32 i)
{
	unsigned long pfn = world.pfn[i];

	return i == slot->page || pfn != world.pfn[i - 1] + 1 ||
	       head_of(pfn) != head_of(pfn - 1);
}

static void check_all(void)
{
	unsigned long charged = 0;

	memset(pins, 0, sizeof(pins));
	for (u32 s = 0; s < NR_SLOTS; s++) {
		const struct slot *slot = &slots[s];
		bool again = !slot->imu;

		/* A clone is the same buffer. */
		for (u32 t = 0; t < s; t++)
			again = again || slots[t].imu == slot->imu;
		if (again)
			continue;
		for (u32 i = slot->page; i < slot->page + slot->nr; i++) {
			struct page *head = fuzz_pages[world.pfn[i]].head;

			if (!starts_run(slot, i))
				continue;
			if (!head->order || !pins[page_to_pfn(head)])
				charged += 1UL << head->order;
			pins[page_to_pfn(head)]++;
		}
	}
	must(user.locked_vm == charged && mm.pinned_vm == charged);
	for (u32 i = 0; i < world.nr_pages; i++) {
		unsigned long head = head_of(world.pfn[i]);

		must(world_pins(head) == (is_zero_pfn(head) ? 0 : pins[head]));
	}
}

/*
 * A task that sleeps has been charged for all that it has pinned, but for one folio. What is
 * charged ahead may be more than what is pinned.
 */
static void check_sleeper(void)
{
	unsigned long pinned = 0, largest = 0;

	memset(pins, 0, sizeof(pins));
	for (u32 i = 0; i < world.nr_pages; i++) {
		unsigned long head = head_of(world.pfn[i]);
		unsigned long nr = 1UL << fuzz_pages[head].order;

		if (pins[head] || !world_pins(head))
			continue;
		pins[head] = 1;
		pinned += fuzz_pages[head].order ? nr : (unsigned long)world_pins(head);
		largest = max(largest, nr);
	}
	must(pinned <= user.locked_vm + largest);
}

/* Every page of the buffer is the one of the table, by import and by walking the bvecs. */
static void check_buffer(const struct slot *slot, u32 stride)
{
	const struct io_mapped_ubuf *imu = slot->imu;
	u64 total = 0;
	u32 i;

	for (i = 0; i < imu->nr_bvecs; i++)
		total += imu->bvec[i].bv_len;
	must(total == imu->len && imu->nr_bvecs <= slot->nr);
	for (i = 0; i < slot->nr; i += stride) {
		u64 offset = i ? ((u64)i << PAGE_SHIFT) - (imu->ubuf & ~PAGE_MASK) : 0;
		struct iov_iter iter;
		unsigned long pfn;

		if (offset >= imu->len)
			break;
		must(!io_import_fixed(ITER_SOURCE, &iter, imu, imu->ubuf + offset,
				      min(PAGE_SIZE, imu->len - offset)));
		pfn = page_to_pfn(iter.bvec->bv_page);
		pfn += (iter.bvec->bv_offset + iter.iov_offset) >> PAGE_SHIFT;
		must(pfn == world.pfn[slot->page + i]);
	}
}

static void do_register(struct slot *slot, struct io_ring_ctx *ring, struct input *in)
{
	u32 page = input_back_u64(in, 2) % world.nr_pages;
	u32 nr = 1 + input_back_u64(in, 2) % (world.nr_pages - page);
	u8 head = input_back_u8(in), tail = input_back_u8(in);
	u64 len = ((u64)nr << PAGE_SHIFT) - head - (nr > 1 || head < 128 ? tail : 0);
	unsigned long limit = user.limit;
	struct regbuf_source src = { .gup_flags = FOLL_LONGTERM };
	struct io_mapped_ubuf *imu;
	u8 how = input_back_u8(in);

	fuzz_fail_alloc = how >= 192 ? 1 + (how & 15) : 0;
	world.killed = world.fault = false;
	world.quiet = how & 1;
	fuzz_sleeps = check_sleeper;
	mutex_lock(&ring->register_lock);
	if (!(how & 2))
		src.gup_flags |= FOLL_WRITE;
	imu = io_regbuf_register(ring, WORLD_START + ((u64)page << PAGE_SHIFT) + head, len, &src);
	mutex_unlock(&ring->register_lock);
	fuzz_sleeps = NULL;
	if (IS_ERR(imu)) {
		long error = PTR_ERR(imu);

		must((error == -EINTR && world.killed) || (error == -EFAULT && world.fault) ||
		     (error == -ENOMEM && (limit != ULONG_MAX || (how >= 192 && !fuzz_fail_alloc))));
		fuzz_fail_alloc = 0;
		return;
	}
	fuzz_fail_alloc = 0;
	*slot = (struct slot){ imu, ring, page, nr };
	check_buffer(slot, 1 + (how >> 3 & 7));
}

/* By a register call, or by the last request */
static void put_buffer(struct slot *slot, bool request)
{
	if (request) {
		mutex_lock(&slot->ring->uring_lock);
		io_regbuf_put_locked(slot->ring, slot->imu);
		mutex_unlock(&slot->ring->uring_lock);
	} else {
		io_regbuf_put(slot->ring, slot->imu);
	}
	slot->imu = NULL;
}

static void step(struct input *in)
{
	u8 how = input_back_u8(in);
	struct slot *slot = &slots[how % NR_SLOTS], *other = &slots[how / 8 % NR_SLOTS];
	struct io_ring_ctx *ring = &rings[how >> 6 & 1];

	if (how >= 240) {
		user.limit = how & 1 ? ULONG_MAX : input_back_u64(in, 2);
		return;
	}
	if (slot->imu)
		put_buffer(slot, how & 1);
	if (how >= 160 && other->imu && other != slot) {
		refcount_inc(&other->imu->refs);
		*slot = *other;
		slot->ring = ring;
	} else if (how >= 32) {
		do_register(slot, ring, in);
	}
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct input in = { data, size };
	int i;

	fuzz_fail_alloc = 0;
	world_make(&in, &in);
	in = (struct input){ data, size };
	user = (struct user_struct){ .limit = ULONG_MAX };
	mm.pinned_vm = 0;
	for (i = 0; i < 2; i++)
		rings[i] = (struct io_ring_ctx){
			.user = &user,
			.mm_account = &mm,
			.ubuf_cache.elem_size = sizeof(struct io_mapped_ubuf) +
					       IO_CACHED_BVECS_SEGS * sizeof(struct bio_vec),
		};
	for (i = 0; i < 2; i++)
		rings[i].buf_acct = io_regbuf_acct_get(&user, &mm);
	must(rings[0].buf_acct == rings[1].buf_acct);
	for (i = 0; i < 24 && in.size; i++) {
		step(&in);
		check_all();
	}
	for (i = 0; i < NR_SLOTS; i++) {
		if (slots[i].imu)
			put_buffer(&slots[i], false);
	}
	check_all();
	for (i = 0; i < 2; i++)
		io_regbuf_acct_put(rings[i].buf_acct);
	must(world_all_released());
	must(!fuzz_allocated);
	return 0;
}
