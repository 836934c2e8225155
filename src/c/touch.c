// SPDX-License-Identifier: GPL-2.0
/*
 * Touches: known slow code resets the lockup detectors by calling
 * touch_softlockup_watchdog() and its siblings. The in-tree detector forgets a
 * touch at its next timer interrupt, and notes none while it is off. So the calls
 * themselves are counted, by kprobes on the functions.
 */
#include <linux/kprobes.h>
#include <linux/nmi.h>
#include <linux/percpu.h>

#include "vigil.h"

static DEFINE_PER_CPU(unsigned int, softlockup_touches);
static DEFINE_PER_CPU(unsigned int, hardlockup_touches);
static unsigned int all_softlockup_touches;

static int count_softlockup_touch(struct kprobe *p, struct pt_regs *regs)
{
	raw_cpu_inc(softlockup_touches);
	return 0;
}
NOKPROBE_SYMBOL(count_softlockup_touch);

static int count_hardlockup_touch(struct kprobe *p, struct pt_regs *regs)
{
	raw_cpu_inc(hardlockup_touches);
	return 0;
}
NOKPROBE_SYMBOL(count_hardlockup_touch);

static int count_all_softlockup_touch(struct kprobe *p, struct pt_regs *regs)
{
	WRITE_ONCE(all_softlockup_touches, all_softlockup_touches + 1);
	return 0;
}
NOKPROBE_SYMBOL(count_all_softlockup_touch);

static struct kprobe touch_probes[VIGIL_NR_TOUCHES] = {
	[VIGIL_TOUCH_SOFTLOCKUP_WATCHDOG] = {
		.symbol_name = "touch_softlockup_watchdog",
		.pre_handler = count_softlockup_touch,
	},
	[VIGIL_TOUCH_SOFTLOCKUP_WATCHDOG_SYNC] = {
		.symbol_name = "touch_softlockup_watchdog_sync",
		.pre_handler = count_softlockup_touch,
	},
	[VIGIL_TOUCH_ALL_SOFTLOCKUP_WATCHDOGS] = {
		.symbol_name = "touch_all_softlockup_watchdogs",
		.pre_handler = count_all_softlockup_touch,
	},
	/* The part of touch_nmi_watchdog() that is not inline. */
	[VIGIL_TOUCH_NMI_WATCHDOG] = {
		.symbol_name = "arch_touch_nmi_watchdog",
		.pre_handler = count_hardlockup_touch,
	},
};

/**
 * vigil_touch_name() - get the name of a function
 * @touch: the function
 *
 * Context: any.
 */
const char *vigil_touch_name(enum vigil_touch touch)
{
	return touch_probes[touch].symbol_name;
}

/**
 * vigil_touch_probe() - count the calls of a function
 * @touch: the function
 *
 * Context: may sleep.
 * Return: 0 or what register_kprobe() returned.
 */
int vigil_touch_probe(enum vigil_touch touch)
{
	/* A registration before this one left them set, and the next would fail. */
	touch_probes[touch].addr = NULL;
	touch_probes[touch].flags = 0;
	return register_kprobe(&touch_probes[touch]);
}

/**
 * vigil_touch_unprobe() - undo vigil_touch_probe() for several functions
 * @touches: a bit for each function
 *
 * Waits, once for all of them, until no handler runs any more.
 *
 * Context: may sleep.
 */
void vigil_touch_unprobe(unsigned int touches)
{
	struct kprobe *probes[VIGIL_NR_TOUCHES];
	int touch, n = 0;

	for (touch = 0; touch < VIGIL_NR_TOUCHES; touch++) {
		if (touches & (1U << touch))
			probes[n++] = &touch_probes[touch];
	}
	unregister_kprobes(probes, n);
}

/**
 * vigil_softlockup_touches() - count the touches of the soft-lockup detector of a CPU
 * @cpu: a possible CPU
 *
 * Context: any, NMI included.
 * Return: the count, which wraps.
 */
unsigned int vigil_softlockup_touches(unsigned int cpu)
{
	return READ_ONCE(*per_cpu_ptr(&softlockup_touches, cpu)) +
	       READ_ONCE(all_softlockup_touches);
}

/**
 * vigil_hardlockup_touches() - count the touches of the hard-lockup detector of a CPU
 * @cpu: a possible CPU
 *
 * Context: any, NMI included.
 * Return: the count, which wraps.
 */
unsigned int vigil_hardlockup_touches(unsigned int cpu)
{
	return READ_ONCE(*per_cpu_ptr(&hardlockup_touches, cpu));
}

/**
 * vigil_touch_nmi_watchdog() - reset both lockup detectors of this CPU
 *
 * Context: any, NMI included.
 */
void vigil_touch_nmi_watchdog(void)
{
	touch_nmi_watchdog();
}
