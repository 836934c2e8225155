// SPDX-License-Identifier: GPL-2.0
/*
 * A SCHED_FIFO-99 thread on each CPU: the replacement for the CPU stoppers where
 * those are out of reach. Deadline tasks and real-time throttling preempt it;
 * nothing preempts a stopper.
 */
#include <linux/percpu.h>
#include <linux/sched.h>
#include <linux/sched/prio.h>
#include <linux/smpboot.h>
#include <uapi/linux/sched/types.h>

#include "vigil.h"

struct fifo_thread_work {
	int (*fn)(void *arg);
	void *arg;
};

static DEFINE_PER_CPU(struct task_struct *, fifo_thread);
static DEFINE_PER_CPU(struct fifo_thread_work, fifo_thread_work);

static int fifo_thread_should_run(unsigned int cpu)
{
	return !!READ_ONCE(this_cpu_ptr(&fifo_thread_work)->fn);
}

static void fifo_thread_fn(unsigned int cpu)
{
	struct fifo_thread_work *work = this_cpu_ptr(&fifo_thread_work);
	int (*fn)(void *arg) = READ_ONCE(work->fn);
	void *arg = work->arg;

	/* The next work may be queued as soon as @fn has stored that it ran. */
	WRITE_ONCE(work->fn, NULL);
	fn(arg);
}

static void fifo_thread_setup(unsigned int cpu)
{
	const struct sched_attr attr = {
		.size		= sizeof(attr),
		.sched_policy	= SCHED_FIFO,
		.sched_priority	= MAX_RT_PRIO - 1,
	};

	WARN_ON_ONCE(sched_setattr_nocheck(current, &attr));
}

static struct smp_hotplug_thread fifo_threads = {
	.store			= &fifo_thread,
	.thread_should_run	= fifo_thread_should_run,
	.thread_fn		= fifo_thread_fn,
	.setup			= fifo_thread_setup,
	.thread_comm		= "vigild/%u",
};

/**
 * vigil_fifo_thread_start() - start a thread on each CPU
 *
 * Context: may sleep.
 * Return: 0, or an error and no thread.
 */
int vigil_fifo_thread_start(void)
{
	return smpboot_register_percpu_thread(&fifo_threads);
}

/**
 * vigil_fifo_thread_stop() - stop the threads and wait until they have exited
 *
 * Context: may sleep.
 */
void vigil_fifo_thread_stop(void)
{
	smpboot_unregister_percpu_thread(&fifo_threads);
}

/**
 * vigil_fifo_thread_queue() - have the thread of a CPU call @fn
 * @cpu: the CPU that this runs on
 * @fn: the function; its result is ignored
 * @arg: its argument
 *
 * Context: hard interrupt on @cpu, after the work queued before has run.
 */
void vigil_fifo_thread_queue(unsigned int cpu, int (*fn)(void *arg), void *arg)
{
	struct fifo_thread_work *work = per_cpu_ptr(&fifo_thread_work, cpu);
	struct task_struct *task = *per_cpu_ptr(&fifo_thread, cpu);

	work->arg = arg;
	WRITE_ONCE(work->fn, fn);
	if (task)
		wake_up_process(task);
}
