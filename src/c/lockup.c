// SPDX-License-Identifier: GPL-2.0
/*
 * What the lockup detectors need that is a macro, a static inline, or behind
 * a header that bindgen does not see.
 */
#include <linux/cpumask.h>
#include <linux/kernel_stat.h>
#include <linux/kprobes.h>
#include <linux/nmi.h>
#include <linux/percpu.h>
#include <linux/printk.h>
#include <linux/sched/isolation.h>
#include <linux/smp.h>
#include <linux/time64.h>
#include <linux/timekeeping.h>

#include <asm/irq_regs.h>

#include "vigil.h"

/**
 * vigil_irq_regs() - the registers that the running interrupt found, or NULL
 *
 * Context: hard interrupt.
 */
struct pt_regs *vigil_irq_regs(void)
{
	return get_irq_regs();
}

/**
 * vigil_this_cpu() - number of the CPU
 *
 * Context: where the task cannot move.
 */
unsigned int vigil_this_cpu(void)
{
	return raw_smp_processor_id();
}

/**
 * vigil_nr_cpus() - one more than the highest possible CPU
 */
unsigned int vigil_nr_cpus(void)
{
	return nr_cpu_ids;
}

/**
 * vigil_most_cpus() - how many CPUs the kernel could have at most
 */
unsigned int vigil_most_cpus(void)
{
	return CONFIG_NR_CPUS;
}

/**
 * vigil_cpu_possible() - whether there may ever be such a CPU
 */
int vigil_cpu_possible(unsigned int cpu)
{
	return cpu < nr_cpu_ids && cpu_possible(cpu);
}

/**
 * vigil_cpu_housekeeping() - whether a CPU may be disturbed by the kernel's
 *	own timers: not if it is one of nohz_full=
 */
int vigil_cpu_housekeeping(unsigned int cpu)
{
	return cpumask_test_cpu(cpu, housekeeping_cpumask(HK_TYPE_KERNEL_NOISE));
}

/* How long the lines of another CPU are waited for. */
#define LOG_LOCK_NS	(2 * NSEC_PER_SEC)

/**
 * vigil_log_lock() - keep other CPUs' lines out of what is printed next
 * @flags: set to what vigil_log_unlock() wants
 *
 * A CPU that printed its stack may have stopped in the middle: others do
 * not wait for that for ever.
 *
 * Context: any; interrupts are off until vigil_log_unlock().
 * Return: whether they are kept out; vigil_log_unlock() wants that too.
 */
int vigil_log_lock(unsigned long *flags)
{
	u64 until = ktime_get_mono_fast_ns() + LOG_LOCK_NS;

	for (;;) {
		local_irq_save(*flags);
		if (__printk_cpu_sync_try_get())
			return 1;
		if (ktime_get_mono_fast_ns() > until)
			return 0;
		local_irq_restore(*flags);
		cpu_relax();
	}
}

/**
 * vigil_log_unlock() - end of vigil_log_lock()
 */
void vigil_log_unlock(int locked, unsigned long flags)
{
	if (locked)
		__printk_cpu_sync_put();
	local_irq_restore(flags);
}

/**
 * vigil_stolen_ns() - time that the hypervisor took from a CPU, in nanoseconds
 */
unsigned long long vigil_stolen_ns(unsigned int cpu)
{
	return kcpustat_cpu(cpu).cpustat[CPUTIME_STEAL];
}

#ifdef CONFIG_KVM_GUEST
#include <asm/pvclock.h>
/* Needs the other one, and does not include it. */
#include <asm/kvmclock.h>

/**
 * vigil_guest_paused() - kvmclock's flag that a virtual CPU was stopped
 *
 * KVM sets it when it is told of a pause. kvm_check_and_clear_guest_paused()
 * clears it; here it is only read.
 *
 * Context: any.
 * Return: whether it is set; -1 if the CPU has no kvmclock.
 */
int vigil_guest_paused(unsigned int cpu)
{
	const struct pvclock_vsyscall_time_info *clock = per_cpu(hv_clock_per_cpu, cpu);

	if (!clock)
		return -1;
	return !!(READ_ONCE(clock->pvti.flags) & PVCLOCK_GUEST_STOPPED);
}
#else
int vigil_guest_paused(unsigned int cpu)
{
	return -1;
}
#endif

/**
 * vigil_cpu_times() - what a CPU has spent its time on
 * @cpu: the CPU
 * @times: set to nanoseconds of system, softirq, hardirq and idle time, as far
 *	as the kernel counts them: by the tick, unless it was built with
 *	IRQ_TIME_ACCOUNTING
 */
void vigil_cpu_times(unsigned int cpu, unsigned long long times[4])
{
	struct kernel_cpustat stat;

	/* With what a CPU without a tick has not added yet. */
	kcpustat_cpu_fetch(&stat, cpu);
	times[0] = stat.cpustat[CPUTIME_SYSTEM];
	times[1] = stat.cpustat[CPUTIME_SOFTIRQ];
	times[2] = stat.cpustat[CPUTIME_IRQ];
	times[3] = stat.cpustat[CPUTIME_IDLE];
}

/*
 * Touches. Known slow code asks the lockup detectors for patience by calling
 * touch_softlockup_watchdog() and its siblings. What the in-tree detector
 * remembers of that it forgets at its next timer interrupt, or never when it
 * is off, so the calls themselves are counted, by kprobes on them.
 */
static DEFINE_PER_CPU(unsigned int, soft_touches);
static DEFINE_PER_CPU(unsigned int, hard_touches);
static unsigned int all_touches;

static int touch_soft(struct kprobe *p, struct pt_regs *regs)
{
	raw_cpu_inc(soft_touches);
	return 0;
}
NOKPROBE_SYMBOL(touch_soft);

static int touch_hard(struct kprobe *p, struct pt_regs *regs)
{
	raw_cpu_inc(hard_touches);
	return 0;
}
NOKPROBE_SYMBOL(touch_hard);

static int touch_all(struct kprobe *p, struct pt_regs *regs)
{
	WRITE_ONCE(all_touches, all_touches + 1);
	return 0;
}
NOKPROBE_SYMBOL(touch_all);

static struct kprobe touch_probes[VIGIL_TOUCHES] = {
	[VIGIL_TOUCH_SOFT] = {
		.symbol_name = "touch_softlockup_watchdog",
		.pre_handler = touch_soft,
	},
	[VIGIL_TOUCH_SOFT_SYNC] = {
		.symbol_name = "touch_softlockup_watchdog_sync",
		.pre_handler = touch_soft,
	},
	[VIGIL_TOUCH_SOFT_ALL] = {
		.symbol_name = "touch_all_softlockup_watchdogs",
		.pre_handler = touch_all,
	},
	[VIGIL_TOUCH_HARD] = {
		.symbol_name = "arch_touch_nmi_watchdog",
		.pre_handler = touch_hard,
	},
};

/**
 * vigil_touch_name() - name of the function behind @touch
 */
const char *vigil_touch_name(enum vigil_touch touch)
{
	return touch_probes[touch].symbol_name;
}

/**
 * vigil_touch_start() - count calls of the function behind @touch
 *
 * Context: may sleep.
 * Return: 0 or what register_kprobe() says.
 */
int vigil_touch_start(enum vigil_touch touch)
{
	/* What an earlier registration left would make the next one fail. */
	touch_probes[touch].addr = NULL;
	touch_probes[touch].flags = 0;
	return register_kprobe(&touch_probes[touch]);
}

/**
 * vigil_touch_stop() - end of vigil_touch_start() for several functions
 * @touches: a bit for each that returned 0
 *
 * Context: may sleep; waits for handlers that are running, once for all.
 */
void vigil_touch_stop(unsigned int touches)
{
	struct kprobe *probes[VIGIL_TOUCHES];
	int touch, n = 0;

	for (touch = 0; touch < VIGIL_TOUCHES; touch++) {
		if (touches & (1U << touch))
			probes[n++] = &touch_probes[touch];
	}
	unregister_kprobes(probes, n);
}

/**
 * vigil_soft_touches() - how often patience was asked for on a CPU; wraps
 */
unsigned int vigil_soft_touches(unsigned int cpu)
{
	return READ_ONCE(*per_cpu_ptr(&soft_touches, cpu)) + READ_ONCE(all_touches);
}

/**
 * vigil_hard_touches() - the same for hard lockups
 */
unsigned int vigil_hard_touches(unsigned int cpu)
{
	return READ_ONCE(*per_cpu_ptr(&hard_touches, cpu));
}

/*
 * NMIs as a question. The answer is that the handler ran; how often it did on
 * each CPU is what counts.
 */
static DEFINE_PER_CPU(unsigned int, nmis_begun);
static DEFINE_PER_CPU(unsigned int, nmis_taken);

#ifdef CONFIG_X86
#include <asm/apic.h>

static DEFINE_PER_CPU(int, nmi_expected);
static DEFINE_PER_CPU(u64, nmi_claimed_at);

/*
 * An NMI does not say who sent it. The first one after a question is claimed,
 * but may be another's that came a moment earlier; ours is then one that nobody
 * claims, which the kernel reports, or panics for. So one such NMI is claimed
 * too, if it comes right after the first. Two that arrive while one is being
 * handled become one, so that counting what was sent and claimed would leave a
 * claim open, perhaps for the NMI by which somebody wants a crash dump of the
 * stuck machine: this one is open for no longer than a late delivery takes,
 * on a virtual CPU that its host takes away for a moment between the two.
 */
#define NMI_LATE_NS	(100 * NSEC_PER_MSEC)

static int answer(unsigned int type, struct pt_regs *regs)
{
	int expected = raw_cpu_read(nmi_expected);

	/* Whoever waits for the answer waits for what follows. */
	raw_cpu_inc(nmis_begun);
	if (expected) {
		raw_cpu_write(nmi_expected, 0);
		vigil_snapshot_take(regs);
		/* One that came meanwhile comes when this handler is through. */
		raw_cpu_write(nmi_claimed_at, ktime_get_mono_fast_ns());
		/* Who sees the answer sees what the CPU was at. */
		smp_wmb();
	}
	raw_cpu_inc(nmis_taken);
	return expected ? NMI_HANDLED : NMI_DONE;
}
NOKPROBE_SYMBOL(answer);

/* Nobody has claimed this one. */
static int answer_late(unsigned int type, struct pt_regs *regs)
{
	u64 claimed_at = raw_cpu_read(nmi_claimed_at);

	if (!claimed_at)
		return NMI_DONE;
	raw_cpu_write(nmi_claimed_at, 0);
	return ktime_get_mono_fast_ns() - claimed_at < NMI_LATE_NS ? NMI_HANDLED : NMI_DONE;
}
NOKPROBE_SYMBOL(answer_late);

/**
 * vigil_nmi_start() - be able to ask
 *
 * Return: 0, or an error: -ENODEV where no NMI can be sent to another CPU.
 */
int vigil_nmi_start(void)
{
	int err;

	err = register_nmi_handler(NMI_UNKNOWN, answer_late, 0, "vigil");
	if (err)
		return err;
	err = register_nmi_handler(NMI_LOCAL, answer, 0, "vigil");
	if (err)
		unregister_nmi_handler(NMI_UNKNOWN, "vigil");
	return err;
}

/**
 * vigil_nmi_stop() - end of vigil_nmi_start(); waits for running handlers
 *
 * Context: may sleep.
 */
void vigil_nmi_stop(void)
{
	unregister_nmi_handler(NMI_LOCAL, "vigil");
	unregister_nmi_handler(NMI_UNKNOWN, "vigil");
}

/**
 * vigil_nmi_ask() - send an NMI to a CPU
 *
 * @cpu has to be online until the caller turns interrupts on: no NMI may meet a
 * CPU that waits for its start-up IPI. A watched one is: it is no longer watched
 * some time before it goes, and cannot go (stop_machine()) while its watcher,
 * which has just seen that it is watched, has interrupts off.
 *
 * Context: any, interrupts off.
 */
void vigil_nmi_ask(unsigned int cpu)
{
	*per_cpu_ptr(&nmi_expected, cpu) = 1;
	/* The flag is there before the NMI is. */
	smp_wmb();
	__apic_send_IPI_mask(cpumask_of(cpu), NMI_VECTOR);
}
#else
int vigil_nmi_start(void)
{
	return -ENODEV;
}

void vigil_nmi_stop(void)
{
}

void vigil_nmi_ask(unsigned int cpu)
{
}
#endif

/**
 * vigil_nmis_begun() - how many NMIs a CPU has begun to take while asking was possible
 */
unsigned int vigil_nmis_begun(unsigned int cpu)
{
	return READ_ONCE(*per_cpu_ptr(&nmis_begun, cpu));
}

/**
 * vigil_nmis_taken() - how many NMIs a CPU has taken while asking was possible
 */
unsigned int vigil_nmis_taken(unsigned int cpu)
{
	return READ_ONCE(*per_cpu_ptr(&nmis_taken, cpu));
}
