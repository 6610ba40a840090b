/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _LINUX_GUP_PLANT_H
#define _LINUX_GUP_PLANT_H

/*
 * Faults on demand, for tests of tests: PLANT(name) is true where the kernel was
 * booted with gup_plant=name.
 */
#define GUP_PLANTS(plant)	\
	plant(folio_recheck) \
	plant(put_leaks) \
	plant(no_pin) \
	plant(huge_small) \
	plant(put_open) \
	plant(bounds_early) \
	plant(stat_lost) \
	plant(zone_any) \
	plant(zero_pinned) \
	plant(zone_leaks) \
	plant(no_bias) \
	plant(stat_one) \
	plant(never_full) \
	plant(full_goes_on) \
	plant(fits_all) \
	plant(grab_again) \
	plant(pin_each) \
	plant(batch_one_pin) \
	plant(batch_pins) \
	plant(allow_all) \
	plant(allow_files) \
	plant(allow_secretmem) \
	plant(refuse_shmem) \
	plant(pte_write) \
	plant(pte_special) \
	plant(batch_perm) \
	plant(batch_pfn) \
	plant(unshare_batch) \
	plant(unshare_head) \
	plant(batch_past_end) \
	plant(batch_short) \
	plant(batch_mappings) \
	plant(no_budget) \
	plant(batch_early) \
	plant(pmd_recheck) \
	plant(no_recheck) \
	plant(pte_recheck) \
	plant(allowed_unasked) \
	plant(unshare_pte) \
	plant(accessible_unasked) \
	plant(pmd_write) \
	plant(pmd_offset) \
	plant(leaf_recheck) \
	plant(unshare_pmd) \
	plant(pud_offset) \
	plant(pmd_protnone) \
	plant(seq_begin) \
	plant(stat_unflushed) \
	plant(seq_recheck) \
	plant(raced_pages_leak) \
	plant(run_past_end) \
	plant(room_open) \
	plant(close_lost) \
	plant(never_open) \
	plant(open_end) \
	plant(dirty_never) \
	plant(dirty_unlocked) \
	plant(zero_unpinned) \
	plant(dirty_always) \
	plant(unpin_none) \
	plant(sizes_stay) \
	plant(unpin_first_batch) \
	plant(fits_growth) \
	plant(fits_nothing) \
	plant(fits_unaligned) \
	plant(resume_closed) \
	plant(rollback_open) \
	plant(rollback_leaks) \
	plant(rollback_keeps) \
	plant(slow_past_end) \
	plant(slow_one) \
	plant(slow_join) \
	plant(slow_extra) \
	plant(slow_room) \
	plant(slow_on) \
	plant(any_flags) \
	plant(longterm_p2p) \
	plant(tag_kept) \
	plant(unaligned) \
	plant(len_wraps) \
	plant(end_wraps) \
	plant(past_top) \
	plant(no_signal) \
	plant(slow_always) \
	plant(full_stays) \
	plant(slow_ends) \
	plant(error_first) \
	plant(sg_clean) \
	plant(sg_fail_leaks) \
	plant(sg_offset) \
	plant(sg_small) \
	plant(sg_wraps) \
	plant(sg_keeps) \
	plant(grow_sizes) \
	plant(alloc_once) \
	plant(alloc_keeps) \
	plant(alloc_large) \
	plant(cut_offset) \
	plant(alloc_large) \
	plant(cut_offset) \
	plant(aligned_any) \
	plant(room_sizes) \
	plant(next_size) \
	plant(next_offset) \
	plant(block_any) \
	plant(small_large) \
	plant(each_one) \
	plant(each_batch) \
	plant(each_put) \
	plant(rights_any) \
	plant(pages_unbounded) \
	plant(cow_unasked) \
	plant(cow_any) \
	plant(never_tight) \
	plant(small_free) \
	plant(all_alone) \
	plant(reach_any) \
	plant(resume_cut) \
	plant(rollback_grown) \
	plant(slow_few) \
	plant(repin_none) \
	plant(sg_one_pin) \
	plant(pop_size) \
	plant(pop_keeps) \
	plant(repin_one) \
	plant(one_page_any) \
	plant(signal_brief) \
	plant(signal_late) \
	plant(p2p_unasked) \
	plant(memfd_sealable) \
	plant(memfd_appended) \
	plant(memfd_references) \
	plant(memfd_locked) \
	plant(memfd_unclear) \
	plant(memfd_dirties) \
	plant(memfd_clean) \
	plant(memfd_past_end)

#define GUP_PLANT_ENUM(name)	GUP_PLANT_##name,
enum gup_plant {
	GUP_PLANT_NONE,
	GUP_PLANTS(GUP_PLANT_ENUM)
};

extern enum gup_plant gup_plant;

#define PLANT(name)	unlikely(gup_plant == GUP_PLANT_##name)

enum gup_plant_site {
	GUP_PLANT_TABLE,	/* between a PMD and the entries of its table */
	GUP_PLANT_BEFORE,	/* between an entry and the pin */
	GUP_PLANT_FOLIO,	/* between a page and its folio's reference */
	GUP_PLANT_AFTER,	/* between the pin and the look at the entry again */
	GUP_PLANT_FORK,		/* between "not pinned" and write-protection */
};

void gup_plant_wait(enum gup_plant_site site, const void *entry);

#endif
