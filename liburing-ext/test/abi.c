/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * Sizes and offsets of what programs were compiled with, on 64-bit machines.  A line is
 * added for each new field, in the place of reserved ones; a line that changes is a new
 * soname.
 */
#include "helpers.h"

#define SIZE(s, n)		{ #s, NULL, sizeof(struct io_uring_ext_##s), n, 0, 0 }
#define FIELD(s, f, off, n)	{ #s, #f, sizeof(((struct io_uring_ext_##s *)0)->f), n,	\
				  offsetof(struct io_uring_ext_##s, f), off }

static const struct {
	const char *name;
	const char *field;
	size_t size;
	size_t old_size;
	size_t offset;
	size_t old_offset;
} released[] = {
	SIZE(error, 544),
	FIELD(error, err, 0, 4),
	FIELD(error, stage, 4, 4),
	FIELD(error, entry, 8, 4),
	FIELD(error, done, 12, 4),
	FIELD(error, text, 32, 512),
	SIZE(caps, 56),
	FIELD(caps, flags, 0, 4),
	FIELD(caps, max_buffers, 4, 4),
	FIELD(caps, max_buffer, 8, 8),
	FIELD(caps, max_buffers_source, 16, 4),
	FIELD(caps, max_buffer_source, 20, 4),
	SIZE(memlock, 64),
	FIELD(memlock, need, 0, 8),
	FIELD(memlock, pinned, 8, 8),
	FIELD(memlock, soft, 16, 8),
	FIELD(memlock, hard, 24, 8),
	FIELD(memlock, state, 32, 4),
	FIELD(memlock, nr_rings, 36, 4),
	FIELD(memlock, rings, 40, 8),
	SIZE(arena_params, 104),
	FIELD(arena_params, size, 0, 8),
	FIELD(arena_params, mem, 8, 4),
	FIELD(arena_params, flags, 12, 4),
	FIELD(arena_params, thp_size, 16, 8),
	FIELD(arena_params, align, 24, 8),
	FIELD(arena_params, alias, 32, 8),
	FIELD(arena_params, bind, 40, 4),
	FIELD(arena_params, node, 44, 4),
	FIELD(arena_params, threads, 48, 4),
	FIELD(arena_params, memfd, 52, 4),
	FIELD(arena_params, progress, 56, 8),
	FIELD(arena_params, progress_arg, 64, 8),
	FIELD(arena_params, offset, 72, 8),
	SIZE(arena_info, 600),
	FIELD(arena_info, base, 0, 8),
	FIELD(arena_info, size, 8, 8),
	FIELD(arena_info, page_size, 16, 8),
	FIELD(arena_info, mem, 24, 4),
	FIELD(arena_info, memfd, 28, 4),
	FIELD(arena_info, alias, 32, 8),
	FIELD(arena_info, huge_bytes, 40, 8),
	FIELD(arena_info, prefaulted, 48, 4),
	FIELD(arena_info, why, 56, 512),
	SIZE(pool_params, 48),
	FIELD(pool_params, flags, 0, 4),
	FIELD(pool_params, nr_slots, 4, 4),
	FIELD(pool_params, max_buffer, 8, 8),
	SIZE(region, 56),
	FIELD(region, base, 0, 8),
	FIELD(region, len, 8, 8),
	FIELD(region, page_size, 16, 8),
	FIELD(region, tag, 24, 8),
	FIELD(region, flags, 32, 4),
	FIELD(region, memfd, 36, 4),
	FIELD(region, offset, 40, 8),
	SIZE(region_info, 88),
	FIELD(region_info, base, 0, 8),
	FIELD(region_info, len, 8, 8),
	FIELD(region_info, tag, 16, 8),
	FIELD(region_info, state, 24, 4),
	FIELD(region_info, registered, 28, 4),
	FIELD(region_info, first_slot, 32, 4),
	FIELD(region_info, nr_slots, 36, 4),
	FIELD(region_info, slot_size, 40, 8),
	FIELD(region_info, rings, 48, 4),
	FIELD(region_info, signals, 52, 4),
	FIELD(region_info, err, 56, 4),
	FIELD(region_info, late, 60, 4),
	FIELD(region_info, register_ns, 64, 8),
	FIELD(region_info, orphans, 72, 4),
	SIZE(pool_stats, 104),
	FIELD(pool_stats, bytes, 0, 8),
	FIELD(pool_stats, registered_bytes, 8, 8),
	FIELD(pool_stats, regions, 16, 4),
	FIELD(pool_stats, slots, 20, 4),
	FIELD(pool_stats, rings, 24, 4),
	FIELD(pool_stats, cloning, 28, 4),
	FIELD(pool_stats, registers, 32, 8),
	FIELD(pool_stats, clones, 40, 8),
	FIELD(pool_stats, register_ns, 48, 8),
	FIELD(pool_stats, clone_ns, 56, 8),
	FIELD(pool_stats, failures, 64, 8),
	SIZE(ring_params, 56),
	FIELD(ring_params, slot_base, 0, 4),
	FIELD(ring_params, flags, 4, 4),
	FIELD(ring_params, wake_data, 8, 8),
	FIELD(ring_params, wake_fd, 16, 4),
	SIZE(ring_stats, 96),
	FIELD(ring_stats, fixed, 0, 8),
	FIELD(ring_stats, plain, 8, 8),
	FIELD(ring_stats, plain_unregistered, 16, 8),
	FIELD(ring_stats, plain_outside, 24, 8),
	FIELD(ring_stats, plain_straddle, 32, 8),
	FIELD(ring_stats, plain_unable, 40, 8),
	FIELD(ring_stats, regions, 48, 4),
	FIELD(ring_stats, slots, 52, 4),
	FIELD(ring_stats, syncs, 56, 8),
	FIELD(ring_stats, leaving, 64, 4),
	SIZE(slab_params, 72),
	FIELD(slab_params, offset, 0, 8),
	FIELD(slab_params, len, 8, 8),
	FIELD(slab_params, slice, 16, 8),
	FIELD(slab_params, align, 24, 8),
	FIELD(slab_params, flags, 32, 4),
	SIZE(slab_stats, 80),
	FIELD(slab_stats, slices, 0, 8),
	FIELD(slab_stats, in_use, 8, 8),
	FIELD(slab_stats, slice, 16, 8),
	FIELD(slab_stats, wasted, 24, 8),
	FIELD(slab_stats, gets, 32, 8),
	FIELD(slab_stats, empty, 40, 8),
	FIELD(slab_stats, double_puts, 48, 8),
	FIELD(slab_stats, damaged, 56, 8),
	SIZE(class, 16),
	FIELD(class, slice, 0, 8),
	FIELD(class, len, 8, 8),
	SIZE(classes_params, 64),
	FIELD(classes_params, classes, 0, 8),
	FIELD(classes_params, nr, 8, 4),
	FIELD(classes_params, flags, 12, 4),
	FIELD(classes_params, offset, 16, 8),
	FIELD(classes_params, align, 24, 8),
	SIZE(bufring_params, 48),
	FIELD(bufring_params, group, 0, 4),
	FIELD(bufring_params, entries, 4, 4),
	FIELD(bufring_params, flags, 8, 4),
	SIZE(layout, 96),
	FIELD(layout, source, 0, 4),
	FIELD(layout, flags, 4, 4),
	FIELD(layout, len, 8, 8),
	FIELD(layout, present, 16, 8),
	FIELD(layout, runs, 24, 8),
	FIELD(layout, smallest, 32, 8),
	FIELD(layout, largest, 40, 8),
	FIELD(layout, metadata, 48, 8),
	FIELD(layout, charged, 56, 8),
	SIZE(update, 64),
	FIELD(update, off, 0, 4),
	FIELD(update, nr, 4, 4),
	FIELD(update, iovecs, 8, 8),
	FIELD(update, tags, 16, 8),
	FIELD(update, old_iovecs, 24, 8),
	FIELD(update, old_tags, 32, 8),
	FIELD(update, flags, 40, 4),
	SIZE(desc, 80),
	FIELD(desc, opaque, 0, 80),
	SIZE(direct, 40),
	FIELD(direct, mem_align, 0, 4),
	FIELD(direct, offset_align, 4, 4),
	FIELD(direct, source, 8, 4),
};

int main(void)
{
	unsigned i;

	if (sizeof(long) != 8)
		t_skip("sizes are those of 64-bit machines");
	for (i = 0; i < sizeof(released) / sizeof(released[0]); i++) {
		const char *f = released[i].field;

		if (released[i].size != released[i].old_size ||
		    released[i].offset != released[i].old_offset)
			t_fail(__FILE__, __LINE__, "%s%s%s: %zu bytes at %zu, and was %zu at %zu",
			       released[i].name, f ? "." : "", f ? f : "", released[i].size,
			       released[i].offset, released[i].old_size, released[i].old_offset);
	}
	CHECK_EQ(io_uring_ext_major_version(), IO_URING_EXT_VERSION_MAJOR);
	CHECK_EQ(io_uring_ext_minor_version(), IO_URING_EXT_VERSION_MINOR);
	CHECK(IO_URING_EXT_CHECK_VERSION(0, 2) && IO_URING_EXT_CHECK_VERSION(0, 3));
	CHECK(!IO_URING_EXT_CHECK_VERSION(0, 4) && !IO_URING_EXT_CHECK_VERSION(1, 0));
	return 0;
}
