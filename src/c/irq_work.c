// SPDX-License-Identifier: GPL-2.0
/*
 * Waking threads in any context, by irq_work.
 */
#include <linux/atomic.h>
#include <linux/irq_work.h>
#include <linux/kthread.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/swait.h>

#include "vigil.h"

/* What a thread waits on. One is woken by CPUs with even numbers, one by odd ones. */
struct waiter {
	struct swait_queue_head queue;
	atomic_t woken;
};

static struct waiter waiters[2] = {
	{ .queue = __SWAIT_QUEUE_HEAD_INITIALIZER(waiters[0].queue) },
	{ .queue = __SWAIT_QUEUE_HEAD_INITIALIZER(waiters[1].queue) },
};

static void wake(struct irq_work *work)
{
	struct waiter *waiter = &waiters[smp_processor_id() & 1];

	/*
	 * Another CPU has just woken the thread, or is doing so, which has not run
	 * yet. So only one CPU of each half can be caught behind a lock below.
	 */
	if (atomic_xchg(&waiter->woken, 1))
		return;
	swake_up_one(&waiter->queue);
}

/* One for each CPU: that of a stuck CPU stays queued there. */
static DEFINE_PER_CPU(struct irq_work, work) = IRQ_WORK_INIT_HARD(wake);

/**
 * vigil_irq_work_queue() - wake the thread for this CPU in vigil_irq_work_wait()
 *
 * Or make its next wait end at once. That happens when this CPU takes interrupts
 * again.
 *
 * Context: any, NMI included.
 */
void vigil_irq_work_queue(void)
{
	guard(preempt_notrace)();
	irq_work_queue(this_cpu_ptr(&work));
}

/**
 * vigil_irq_work_wait() - sleep until woken, or until the thread has to stop
 * @odd: not 0 to be woken by CPUs with odd numbers, 0 by those with even ones
 * @ms: for how many milliseconds at most; 0: without a limit
 *
 * Context: a kernel thread, one for each value of @odd.
 */
void vigil_irq_work_wait(int odd, unsigned int ms)
{
	struct waiter *waiter = &waiters[!!odd];
	long timeout = ms ? msecs_to_jiffies(ms) : MAX_SCHEDULE_TIMEOUT;

	/* A kernel thread gets no signals; interruptible, so as not to count as load. */
	swait_event_interruptible_timeout_exclusive(waiter->queue,
						    atomic_xchg(&waiter->woken, 0) ||
						    kthread_should_stop(), timeout);
}

/**
 * vigil_irq_work_sync() - wait until nothing of this file runs
 *
 * Context: may sleep; vigil_irq_work_queue() is not called any more.
 */
void vigil_irq_work_sync(void)
{
	int cpu;

	for_each_possible_cpu(cpu)
		irq_work_sync(per_cpu_ptr(&work, cpu));
}
