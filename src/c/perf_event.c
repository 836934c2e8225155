// SPDX-License-Identifier: GPL-2.0
/*
 * Cycle counters, whose overflow interrupts their CPU: perf's kernel counters.
 */
#include <linux/cpu.h>
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

#include "vigil.h"

#ifdef CONFIG_PERF_EVENTS

/* MAX_INTERRUPTS of kernel/events/core.c */
#define THROTTLED	(~0ULL)

static void overflow_handler(struct perf_event *event, struct perf_sample_data *data,
			     struct pt_regs *regs)
{
	struct vigil_perf_event *counter = event->overflow_handler_context;

	/*
	 * perf throttles an event after max_samples_per_tick overflows in a tick,
	 * which may be 1: kernel.perf_event_max_sample_rate sets it, and perf lowers
	 * it after a handler that took long. A throttled event is stopped by now, and
	 * the next tick starts it again; a stuck CPU has no ticks. So it is started
	 * here. It has to be, because with the mark gone the tick does not start it
	 * any more. See perf_event_throttle().
	 */
	if (event->hw.interrupts == THROTTLED && (event->hw.state & PERF_HES_STOPPED))
		event->pmu->start(event, 0);
	event->hw.interrupts = 0;

	/* The PMUs of some CPUs may have ordinary interrupts only. */
	counter->overflow(counter->arg, in_nmi() ? regs : NULL);
}
NOKPROBE_SYMBOL(overflow_handler);

/**
 * vigil_perf_event_start() - count the cycles of this CPU
 * @counter: one that does not count, with @overflow and @arg set
 * @cpu: this CPU
 * @period: cycles from one overflow to the next
 *
 * Context: may sleep; the task cannot move to another CPU.
 * Return: 0; -EBUSY if other pinned counters occupy the hardware; or what perf
 * returned: -ENOENT or -EOPNOTSUPP where it cannot count cycles.
 */
int vigil_perf_event_start(struct vigil_perf_event *counter, unsigned int cpu,
			   unsigned long long period)
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

	event = perf_event_create_kernel_counter(&attr, cpu, NULL, overflow_handler, counter);
	if (IS_ERR(event))
		return PTR_ERR(event);
	counter->event = event;
	perf_event_enable(event);
	/* perf returns no error for an event that found no free counter. */
	if (READ_ONCE(event->state) != PERF_EVENT_STATE_ACTIVE) {
		vigil_perf_event_stop(counter);
		return -EBUSY;
	}
	return 0;
}

/**
 * vigil_perf_event_stop() - undo vigil_perf_event_start() and wait for @overflow
 * @counter: one that counts
 *
 * Context: may sleep.
 */
void vigil_perf_event_stop(struct vigil_perf_event *counter)
{
	/* Runs on the counter's CPU, after a handler that runs there. */
	perf_event_disable(counter->event);
	perf_event_release_kernel(counter->event);
	counter->event = NULL;
}

struct probe {
	int nmis;
	int interrupts;
};

static void probe_overflow(void *arg, struct pt_regs *regs)
{
	struct probe *probe = arg;

	if (regs)
		WRITE_ONCE(probe->nmis, 1);
	else
		WRITE_ONCE(probe->interrupts, 1);
}
NOKPROBE_SYMBOL(probe_overflow);

/*
 * Cycles that pass within about a millisecond; how long to wait for the overflow,
 * and how often: a vCPU that its host does not run counts no cycles.
 */
#define PROBE_PERIOD	2000000
#define PROBE_NS	(50 * NSEC_PER_MSEC)
#define PROBE_TRIES	5

/* Runs on the CPU, in a kernel thread: perf has restrictions for users' tasks. */
static int probe_this_cpu(void *unused)
{
	struct probe probe = {};
	struct vigil_perf_event counter = { .overflow = probe_overflow, .arg = &probe };
	unsigned long flags;
	int err, n;
	u64 until;

	err = vigil_perf_event_start(&counter, smp_processor_id(), PROBE_PERIOD);
	if (err)
		return err;
	/* An ordinary interrupt comes as soon as interrupts are on, and ends the loop. */
	for (n = 0; n < PROBE_TRIES && !READ_ONCE(probe.nmis) && !READ_ONCE(probe.interrupts);
	     n++) {
		local_irq_save(flags);
		until = ktime_get_mono_fast_ns() + PROBE_NS;
		while (!READ_ONCE(probe.nmis) && ktime_get_mono_fast_ns() < until)
			cpu_relax();
		local_irq_restore(flags);
	}
	vigil_perf_event_stop(&counter);
	return probe.nmis ? 0 : -ENODEV;
}

/**
 * vigil_perf_event_probe() - test whether an overflow interrupts a CPU that has
 *	interrupts off
 *
 * Interrupts are off on one CPU for about a millisecond if it does, for 50 ms if
 * it does not, and for up to five times that if there is no overflow at all.
 *
 * Context: may sleep.
 * Return: 0; -ENODEV if the overflow is an ordinary interrupt, or does not come;
 * or what vigil_perf_event_start() returned.
 */
int vigil_perf_event_probe(void)
{
	int err;

	cpus_read_lock();
	err = smp_call_on_cpu(cpumask_any(cpu_online_mask), probe_this_cpu, NULL, false);
	cpus_read_unlock();
	return err;
}

#else /* CONFIG_PERF_EVENTS */

int vigil_perf_event_start(struct vigil_perf_event *counter, unsigned int cpu,
			   unsigned long long period)
{
	return -EOPNOTSUPP;
}

void vigil_perf_event_stop(struct vigil_perf_event *counter)
{
}

int vigil_perf_event_probe(void)
{
	return -EOPNOTSUPP;
}

#endif
