// SPDX-License-Identifier: GPL-2.0
/*
 * Counters of a CPU's cycles, whose overflow interrupts it: perf's kernel
 * counters, behind headers that bindgen does not see.
 */
#include <linux/cpu.h>
#include <linux/cpufreq.h>
#include <linux/cpumask.h>
#include <linux/err.h>
#include <linux/irqflags.h>
#include <linux/kprobes.h>
#include <linux/perf_event.h>
#include <linux/preempt.h>
#include <linux/processor.h>
#include <linux/smp.h>
#include <linux/time64.h>
#include <linux/timekeeping.h>
#include <linux/workqueue.h>
#ifdef CONFIG_X86
#include <asm/tsc.h>
#endif

#include "vigil.h"

/**
 * vigil_cpu_khz() - by which a threshold is turned into cycles; 0: not known
 *
 * On x86 the nominal frequency, elsewhere the highest one that the CPU can
 * have, as in the kernel's own hw_nmi_get_sample_period().
 *
 * Context: may sleep.
 */
unsigned long vigil_cpu_khz(unsigned int cpu)
{
#ifdef CONFIG_X86
	return cpu_khz;
#else
	return cpufreq_get_hw_max_freq(cpu);
#endif
}

#ifdef CONFIG_PERF_EVENTS

/* MAX_INTERRUPTS of kernel/events/core.c */
#define THROTTLED	(~0ULL)

static void overflowed(struct perf_event *event, struct perf_sample_data *data,
		       struct pt_regs *regs)
{
	struct vigil_counter *counter = event->overflow_handler_context;

	/*
	 * Too often for perf's taste is at once, if max_samples_per_tick is 1:
	 * kernel.perf_event_max_sample_rate makes it that, and a handler that once
	 * took long. Then perf has stopped the counter by now, and would start it
	 * again at a tick, which does not come to a CPU that is stuck. Nor does it at
	 * all once the mark is gone. (See perf_event_throttle().)
	 */
	if (event->hw.interrupts == THROTTLED && (event->hw.state & PERF_HES_STOPPED))
		event->pmu->start(event, 0);
	event->hw.interrupts = 0;

	/* The PMUs of some CPUs may have got ordinary interrupts only. */
	counter->fn(counter->arg, in_nmi() ? regs : NULL);
}
NOKPROBE_SYMBOL(overflowed);

/**
 * vigil_counter_start() - count the cycles of this CPU
 * @counter: one that does not run; its @fn is called in the interrupt of each
 *	overflow, with its @arg and what was interrupted
 * @cpu: this CPU
 * @period: cycles from one overflow to the next
 *
 * Context: may sleep; the task cannot move to another CPU.
 * Return: 0; -EBUSY if other counters that are pinned take all there is; or
 * what perf says, -ENOENT or -EOPNOTSUPP where it can count no cycles.
 */
int vigil_counter_start(struct vigil_counter *counter, unsigned int cpu, unsigned long long period)
{
	struct perf_event_attr attr = {
		.type		= PERF_TYPE_HARDWARE,
		.config		= PERF_COUNT_HW_CPU_CYCLES,
		.size		= sizeof(attr),
		.sample_period	= period,
		.pinned		= 1,
		.disabled	= 1,
	};
	struct perf_event *event;

	event = perf_event_create_kernel_counter(&attr, cpu, NULL, overflowed, counter);
	if (IS_ERR(event))
		return PTR_ERR(event);
	counter->event = event;
	perf_event_enable(event);
	/* One that cannot be placed is pinned to nothing, which is no error to perf. */
	if (READ_ONCE(event->state) != PERF_EVENT_STATE_ACTIVE) {
		vigil_counter_stop(counter);
		return -EBUSY;
	}
	return 0;
}

/**
 * vigil_counter_stop() - end of vigil_counter_start(); no overflow is being
 *	handled any more
 *
 * Context: may sleep.
 */
void vigil_counter_stop(struct vigil_counter *counter)
{
	/* On its CPU, so behind a handler that runs there. */
	perf_event_disable(counter->event);
	perf_event_release_kernel(counter->event);
	counter->event = NULL;
}

struct trial {
	int nmis;
	int interrupts;
};

static void tried(void *arg, struct pt_regs *regs)
{
	struct trial *trial = arg;

	if (regs)
		WRITE_ONCE(trial->nmis, 1);
	else
		WRITE_ONCE(trial->interrupts, 1);
}
NOKPROBE_SYMBOL(tried);

/*
 * Cycles, few enough to have passed soon; how long they are waited for, and how
 * often, since a virtual CPU that is not run counts none.
 */
#define TRIAL_PERIOD	2000000
#define TRIAL_NS	(50 * NSEC_PER_MSEC)
#define TRIALS		5

/* On the CPU, by a thread of the kernel, to which perf refuses nothing. */
static int try_here(void *unused)
{
	struct trial trial = {};
	struct vigil_counter counter = { .fn = tried, .arg = &trial };
	unsigned long flags;
	int err, n;
	u64 until;

	err = vigil_counter_start(&counter, smp_processor_id(), TRIAL_PERIOD);
	if (err)
		return err;
	/* One that is held up comes as soon as interrupts are on, and settles it. */
	for (n = 0; n < TRIALS && !READ_ONCE(trial.nmis) && !READ_ONCE(trial.interrupts); n++) {
		local_irq_save(flags);
		until = ktime_get_mono_fast_ns() + TRIAL_NS;
		while (!READ_ONCE(trial.nmis) && ktime_get_mono_fast_ns() < until)
			cpu_relax();
		local_irq_restore(flags);
	}
	vigil_counter_stop(&counter);
	return trial.nmis ? 0 : -ENODEV;
}

/**
 * vigil_counter_try() - whether a counter interrupts a CPU when nothing else
 *	does
 *
 * Interrupts are off for as long as a few million cycles take, and for 50 ms
 * if the counter does not get through; up to five times if it does not come
 * afterwards either.
 *
 * Context: may sleep.
 * Return: 0; -ENODEV if its overflow is an ordinary interrupt, or comes not at
 * all; or what vigil_counter_start() says.
 */
int vigil_counter_try(void)
{
	int err;

	cpus_read_lock();
	err = smp_call_on_cpu(cpumask_any(cpu_online_mask), try_here, NULL, false);
	cpus_read_unlock();
	return err;
}

#else /* CONFIG_PERF_EVENTS */

int vigil_counter_start(struct vigil_counter *counter, unsigned int cpu, unsigned long long period)
{
	return -EOPNOTSUPP;
}

void vigil_counter_stop(struct vigil_counter *counter)
{
}

int vigil_counter_try(void)
{
	return -EOPNOTSUPP;
}

#endif

#if defined(CONFIG_CPU_FREQ) && !defined(CONFIG_X86)

static void (*changed)(void *arg);
static void *changed_arg;

static void tell_changed(struct work_struct *work)
{
	changed(changed_arg);
}

static DECLARE_WORK(changed_work, tell_changed);

/*
 * A policy comes with the driver, which says for the first time how fast the
 * CPUs can be. It may come while a CPU does, when nothing that waits for CPUs
 * may be done.
 */
static int policy_event(struct notifier_block *nb, unsigned long event, void *policy)
{
	if (event == CPUFREQ_CREATE_POLICY)
		queue_work(system_dfl_wq, &changed_work);
	return NOTIFY_DONE;
}

static struct notifier_block policy_notifier = {
	.notifier_call = policy_event,
};

/**
 * vigil_khz_watch() - be told when vigil_cpu_khz() may have changed
 * @fn: called by a thread, with @arg
 *
 * Context: may sleep; there is one at a time.
 * Return: 0 or an error. Where cpufreq is switched off (cpufreq.off=1, a Xen
 * guest) it never changes, and the notifier is refused: that is no error.
 */
int vigil_khz_watch(void (*fn)(void *arg), void *arg)
{
	int err;

	changed = fn;
	changed_arg = arg;
	err = cpufreq_register_notifier(&policy_notifier, CPUFREQ_POLICY_NOTIFIER);
	return err == -EINVAL ? 0 : err;
}

/**
 * vigil_khz_unwatch() - end of vigil_khz_watch(); @fn does not run any more
 *
 * Context: may sleep.
 */
void vigil_khz_unwatch(void)
{
	cpufreq_unregister_notifier(&policy_notifier, CPUFREQ_POLICY_NOTIFIER);
	cancel_work_sync(&changed_work);
}

#else

/* x86 knows it since boot; and without drivers for it, it does not change. */
int vigil_khz_watch(void (*fn)(void *arg), void *arg)
{
	return 0;
}

void vigil_khz_unwatch(void)
{
}

#endif
