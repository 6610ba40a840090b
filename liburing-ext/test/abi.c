/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/*
 * Sizes and offsets of what programs were compiled with, on 64-bit machines.  A line is
 * added for each new field, in the place of reserved ones; a line that changes is a new
 * soname.
 */
#include "helpers.h"

#define SIZE(s, n)		{ #s, NULL, sizeof(struct io_uring_ext_##s), n }
#define FIELD(s, f, n)		{ #s, #f, offsetof(struct io_uring_ext_##s, f), n }

static const struct {
	const char *name;
	const char *field;
	size_t is;
	size_t was;
} released[] = {
	SIZE(error, 544),
	FIELD(error, err, 0),
	FIELD(error, stage, 4),
	FIELD(error, entry, 8),
	FIELD(error, done, 12),
	FIELD(error, text, 32),
	SIZE(caps, 56),
	FIELD(caps, flags, 0),
	FIELD(caps, max_buffers, 4),
	FIELD(caps, max_buffer, 8),
	FIELD(caps, max_buffers_source, 16),
	FIELD(caps, max_buffer_source, 20),
	SIZE(memlock, 64),
	FIELD(memlock, need, 0),
	FIELD(memlock, pinned, 8),
	FIELD(memlock, soft, 16),
	FIELD(memlock, hard, 24),
	FIELD(memlock, state, 32),
	FIELD(memlock, nr_rings, 36),
	FIELD(memlock, rings, 40),
	SIZE(arena_params, 104),
	FIELD(arena_params, size, 0),
	FIELD(arena_params, mem, 8),
	FIELD(arena_params, flags, 12),
	FIELD(arena_params, thp_size, 16),
	FIELD(arena_params, align, 24),
	FIELD(arena_params, alias, 32),
	FIELD(arena_params, bind, 40),
	FIELD(arena_params, node, 44),
	FIELD(arena_params, threads, 48),
	FIELD(arena_params, progress, 56),
	FIELD(arena_params, progress_arg, 64),
	SIZE(arena_info, 600),
	FIELD(arena_info, base, 0),
	FIELD(arena_info, size, 8),
	FIELD(arena_info, page_size, 16),
	FIELD(arena_info, mem, 24),
	FIELD(arena_info, memfd, 28),
	FIELD(arena_info, alias, 32),
	FIELD(arena_info, huge_bytes, 40),
	FIELD(arena_info, prefaulted, 48),
	FIELD(arena_info, why, 56),
	SIZE(pool_params, 48),
	FIELD(pool_params, flags, 0),
	FIELD(pool_params, nr_slots, 4),
	FIELD(pool_params, max_buffer, 8),
	SIZE(region, 56),
	FIELD(region, base, 0),
	FIELD(region, len, 8),
	FIELD(region, page_size, 16),
	FIELD(region, tag, 24),
	FIELD(region, flags, 32),
	SIZE(region_info, 88),
	FIELD(region_info, base, 0),
	FIELD(region_info, len, 8),
	FIELD(region_info, tag, 16),
	FIELD(region_info, state, 24),
	FIELD(region_info, registered, 28),
	FIELD(region_info, first_slot, 32),
	FIELD(region_info, nr_slots, 36),
	FIELD(region_info, slot_size, 40),
	FIELD(region_info, rings, 48),
	FIELD(region_info, signals, 52),
	FIELD(region_info, err, 56),
	FIELD(region_info, late, 60),
	FIELD(region_info, register_ns, 64),
	FIELD(region_info, orphans, 72),
	SIZE(pool_stats, 104),
	FIELD(pool_stats, bytes, 0),
	FIELD(pool_stats, registered_bytes, 8),
	FIELD(pool_stats, regions, 16),
	FIELD(pool_stats, slots, 20),
	FIELD(pool_stats, rings, 24),
	FIELD(pool_stats, cloning, 28),
	FIELD(pool_stats, registers, 32),
	FIELD(pool_stats, clones, 40),
	FIELD(pool_stats, register_ns, 48),
	FIELD(pool_stats, clone_ns, 56),
	FIELD(pool_stats, failures, 64),
	SIZE(ring_params, 56),
	FIELD(ring_params, slot_base, 0),
	FIELD(ring_params, flags, 4),
	FIELD(ring_params, wake_data, 8),
	FIELD(ring_params, wake_fd, 16),
	SIZE(ring_stats, 96),
	FIELD(ring_stats, fixed, 0),
	FIELD(ring_stats, plain, 8),
	FIELD(ring_stats, plain_unregistered, 16),
	FIELD(ring_stats, plain_outside, 24),
	FIELD(ring_stats, plain_straddle, 32),
	FIELD(ring_stats, plain_unable, 40),
	FIELD(ring_stats, regions, 48),
	FIELD(ring_stats, slots, 52),
	FIELD(ring_stats, syncs, 56),
	FIELD(ring_stats, leaving, 64),
	SIZE(slab_params, 72),
	FIELD(slab_params, offset, 0),
	FIELD(slab_params, len, 8),
	FIELD(slab_params, slice, 16),
	FIELD(slab_params, align, 24),
	FIELD(slab_params, flags, 32),
	SIZE(slab_stats, 80),
	FIELD(slab_stats, slices, 0),
	FIELD(slab_stats, in_use, 8),
	FIELD(slab_stats, slice, 16),
	FIELD(slab_stats, wasted, 24),
	FIELD(slab_stats, gets, 32),
	FIELD(slab_stats, empty, 40),
	FIELD(slab_stats, double_puts, 48),
	FIELD(slab_stats, damaged, 56),
	SIZE(class, 16),
	FIELD(class, slice, 0),
	FIELD(class, len, 8),
	SIZE(classes_params, 64),
	FIELD(classes_params, classes, 0),
	FIELD(classes_params, nr, 8),
	FIELD(classes_params, flags, 12),
	FIELD(classes_params, offset, 16),
	FIELD(classes_params, align, 24),
	SIZE(bufring_params, 48),
	FIELD(bufring_params, group, 0),
	FIELD(bufring_params, entries, 4),
	FIELD(bufring_params, flags, 8),
	SIZE(layout, 96),
	FIELD(layout, source, 0),
	FIELD(layout, flags, 4),
	FIELD(layout, len, 8),
	FIELD(layout, present, 16),
	FIELD(layout, runs, 24),
	FIELD(layout, smallest, 32),
	FIELD(layout, largest, 40),
	FIELD(layout, metadata, 48),
	FIELD(layout, charged, 56),
	SIZE(update, 64),
	FIELD(update, off, 0),
	FIELD(update, nr, 4),
	FIELD(update, iovecs, 8),
	FIELD(update, tags, 16),
	FIELD(update, old_iovecs, 24),
	FIELD(update, old_tags, 32),
	FIELD(update, flags, 40),
	SIZE(direct, 40),
	FIELD(direct, mem_align, 0),
	FIELD(direct, offset_align, 4),
	FIELD(direct, source, 8),
};

int main(void)
{
	unsigned i;

	if (sizeof(long) != 8)
		t_skip("sizes are those of 64-bit machines");
	for (i = 0; i < sizeof(released) / sizeof(released[0]); i++) {
		if (released[i].is == released[i].was)
			continue;
		t_fail(__FILE__, __LINE__, "%s%s%s is %zu, and was %zu", released[i].name,
		       released[i].field ? "." : "", released[i].field ? released[i].field : "",
		       released[i].is, released[i].was);
	}
	CHECK_EQ(io_uring_ext_major_version(), IO_URING_EXT_VERSION_MAJOR);
	CHECK_EQ(io_uring_ext_minor_version(), IO_URING_EXT_VERSION_MINOR);
	CHECK(IO_URING_EXT_CHECK_VERSION(0, 1) && IO_URING_EXT_CHECK_VERSION(0, 2));
	CHECK(!IO_URING_EXT_CHECK_VERSION(0, 3) && !IO_URING_EXT_CHECK_VERSION(1, 0));
	return 0;
}
