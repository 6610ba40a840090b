// SPDX-License-Identifier: GPL-2.0
/*
 * gup_plant=NAME	one fault of GUP_PLANTS
 * gup_plant_window=US	how long GUP-fast stops, once in a while, between a look
 *			at a page table entry and what follows from it: until the
 *			entry changes, but not longer
 */
#include <linux/gup_plant.h>
#include <linux/init.h>
#include <linux/irqflags.h>
#include <linux/kernel.h>
#include <linux/moduleparam.h>
#include <linux/preempt.h>
#include <linux/sched.h>
#include <linux/sched/clock.h>
#include <linux/string.h>
#include <linux/time64.h>

enum gup_plant gup_plant;
static unsigned int gup_plant_window;
core_param(gup_plant_window, gup_plant_window, uint, 0);

#define GUP_PLANT_NAME(name)	#name,
static const char * const names[] = { "none", GUP_PLANTS(GUP_PLANT_NAME) };

static int __init gup_plant_setup(char *name)
{
	int i = match_string(names, ARRAY_SIZE(names), name);

	if (i < 0)
		panic("gup_plant: there is no %s", name);
	gup_plant = i;
	return 1;
}
__setup("gup_plant=", gup_plant_setup);

/* The same at any time, by /sys/module/gup_plant/parameters/now */
static int gup_plant_set(const char *name, const struct kernel_param *param)
{
	int i = sysfs_match_string(names, name);

	if (i >= 0)
		gup_plant = i;
	return min(i, 0);
}

static const struct kernel_param_ops gup_plant_ops = { .set = gup_plant_set };
module_param_cb(now, &gup_plant_ops, NULL, 0200);

/* Where a fault lets something slip through, and nowhere else: that takes time. */
static bool gup_plant_site(enum gup_plant_site site)
{
	static unsigned int n;

	switch (gup_plant) {
	case GUP_PLANT_NONE:
		n = n * 1103515245 + 12345;
		return !((n >> 16) % 5);
	case GUP_PLANT_pmd_recheck:
		return site == GUP_PLANT_TABLE;
	case GUP_PLANT_folio_recheck:
		return site == GUP_PLANT_FOLIO;
	case GUP_PLANT_seq_recheck:
	case GUP_PLANT_seq_begin:
		return site == GUP_PLANT_FORK;
	default:
		return site == GUP_PLANT_BEFORE;
	}
}

/* Until the next interrupt. The CPU is of more use to the others meanwhile. */
static void halt_once(void)
{
	local_irq_disable();
	safe_halt();
}

/*
 * With interrupts on, where the walk has them off: the others do not wait for
 * it when they flush the TLB. So it is where that takes no interrupt. RCU still
 * keeps the page tables. @entry is what somebody else has to change meanwhile;
 * there is time for what he does next.
 */
void gup_plant_wait(enum gup_plant_site site, const void *entry)
{
	u64 window = (u64)gup_plant_window * NSEC_PER_USEC, start;
	bool off = irqs_disabled();
	unsigned long value = 0;
	static u64 last;

	if (!gup_plant_window || !in_task() || !current->mm ||
	    sched_clock() - last < window / 8 || !gup_plant_site(site))
		return;
	preempt_disable();
	start = sched_clock();
	if (entry)
		value = READ_ONCE(*(const unsigned long *)entry);
	do {
		halt_once();
	} while (entry && READ_ONCE(*(const unsigned long *)entry) == value &&
		 sched_clock() - start < window);
	start = sched_clock();
	while ((site == GUP_PLANT_BEFORE || site == GUP_PLANT_FORK) &&
	       sched_clock() - start < window / 8)
		halt_once();
	if (off)
		local_irq_disable();
	else
		local_irq_enable();
	preempt_enable_no_resched();
	last = sched_clock();
}
