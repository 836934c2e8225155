// SPDX-License-Identifier: GPL-2.0
/*
 * Touches: known slow code resets the lockup detectors by calling
 * touch_softlockup_watchdog() and its siblings. The in-tree detector forgets a
 * touch at its next timer interrupt, and notes none while it is off. So the calls
 * themselves are counted, by kprobes on the functions.
 */
#include <linux/atomic.h>
#include <linux/kprobes.h>
#include <linux/minmax.h>
#include <linux/nmi.h>
#include <linux/percpu.h>
#include <linux/ptrace.h>
#include <linux/sched.h>
#include <linux/timekeeping.h>

#include "vigil.h"

static DEFINE_PER_CPU(unsigned int, softlockup_touches);
static DEFINE_PER_CPU(unsigned int, hardlockup_touches);
static atomic_t all_softlockup_touches = ATOMIC_INIT(0);
/* Those of either detector by a task, not in an interrupt or NMI. */
static DEFINE_PER_CPU(unsigned int, task_touches);
/* When the last touch came. */
static DEFINE_PER_CPU(u64, touched_at);
static u64 all_touched_at;
/* The functions that print stacks; empty where they are not known. */
static struct {
	unsigned long start, end;
} stack_printers[VIGIL_NR_STACK_PRINTERS];

/*
 * By the stack. (An interrupt of user mode runs on the task's; no report of a
 * stuck CPU does.) The preemption count says "in an NMI" to the handler of a kprobe
 * that is a breakpoint, whoever has run into that.
 */
static bool is_by_task(struct pt_regs *regs)
{
	return kernel_stack_pointer(regs) - (unsigned long)current->stack < THREAD_SIZE;
}
NOKPROBE_SYMBOL(is_by_task);

/*
 * Whether a function that prints stacks called the one that is probed.
 *
 * Of the architectures that vigil knows only x86 touches the watchdogs there, for
 * each line (printk_stack_address()). The return address is on top of the stack:
 * the kprobe is at the function's entry.
 */
static bool is_by_stack_printer(struct pt_regs *regs)
{
#ifdef CONFIG_X86
	unsigned long caller = READ_ONCE_NOCHECK(*(unsigned long *)kernel_stack_pointer(regs));
	unsigned int i;

	/* A return address may be behind the end of the function. */
	for (i = 0; i < VIGIL_NR_STACK_PRINTERS; i++) {
		if (caller > stack_printers[i].start && caller <= stack_printers[i].end)
			return true;
	}
#endif
	return false;
}
NOKPROBE_SYMBOL(is_by_stack_printer);

/*
 * A stack that is printed in an interrupt or NMI asks for no time: it is that of
 * another CPU's request, of which there may be more than one in a threshold (RCU's
 * stall warnings, sysrq-l, khungtaskd's hung_task_all_cpu_backtrace), and the CPU
 * is as stuck as before. A task may print many, and asks for the time it takes.
 */
static void count_touch(unsigned int __percpu *touches, struct pt_regs *regs)
{
	if (is_by_task(regs))
		raw_cpu_inc(task_touches);
	else if (is_by_stack_printer(regs))
		return;
	raw_cpu_write(touched_at, ktime_get_mono_fast_ns());
	/* A CPU that sees the count sees the time. */
	smp_wmb();
	raw_cpu_inc(*touches);
}
NOKPROBE_SYMBOL(count_touch);

static int count_softlockup_touch(struct kprobe *p, struct pt_regs *regs)
{
	count_touch(&softlockup_touches, regs);
	return 0;
}
NOKPROBE_SYMBOL(count_softlockup_touch);

static int count_hardlockup_touch(struct kprobe *p, struct pt_regs *regs)
{
	count_touch(&hardlockup_touches, regs);
	return 0;
}
NOKPROBE_SYMBOL(count_hardlockup_touch);

static int count_all_softlockup_touch(struct kprobe *p, struct pt_regs *regs)
{
	WRITE_ONCE(all_touched_at, ktime_get_mono_fast_ns());
	atomic_inc_return(&all_softlockup_touches);
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
 * vigil_touch_set_stack_printer() - say where a function is that prints stacks
 * @nr: which one, below VIGIL_NR_STACK_PRINTERS
 * @start: its first address
 * @end: the address behind it; equal to @start if it is not known
 *
 * Context: while no function is probed.
 */
void vigil_touch_set_stack_printer(unsigned int nr, unsigned long start, unsigned long end)
{
	stack_printers[nr].start = start;
	stack_printers[nr].end = end;
}

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
	       (unsigned int)atomic_read(&all_softlockup_touches);
}

/**
 * vigil_task_touches() - count the touches that no report makes
 * @cpu: a possible CPU
 *
 * A report of the in-tree detectors touches the watchdogs in their timer
 * interrupt, or in an NMI. Code that asks for time is mostly that of a task.
 *
 * Context: any, NMI included.
 * Return: the count of the touches of either detector by tasks, or for all CPUs;
 * wraps.
 */
unsigned int vigil_task_touches(unsigned int cpu)
{
	/* Pairs with that of count_touch(): who has seen the touch sees whose it was. */
	smp_rmb();
	return READ_ONCE(*per_cpu_ptr(&task_touches, cpu)) +
	       (unsigned int)atomic_read(&all_softlockup_touches);
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
 * vigil_touched_at() - read when a detector of a CPU was last touched
 * @cpu: a possible CPU
 *
 * Context: any, NMI included, after the count that the touch has changed was read.
 * Return: nanoseconds on the monotonic clock; 0: never.
 */
unsigned long long vigil_touched_at(unsigned int cpu)
{
	/* Pairs with that of count_touch(). */
	smp_rmb();
	return max(READ_ONCE(*per_cpu_ptr(&touched_at, cpu)), READ_ONCE(all_touched_at));
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

/**
 * vigil_touch_hardlockup_watchdog() - reset the hard-lockup detector of this CPU
 *
 * Context: any, NMI included.
 */
void vigil_touch_hardlockup_watchdog(void)
{
	arch_touch_nmi_watchdog();
}
