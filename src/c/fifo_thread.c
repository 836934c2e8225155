// SPDX-License-Identifier: GPL-2.0
/*
 * A stand-in for the CPUs' stoppers, where work cannot be given to those: a
 * thread on each CPU with the highest real-time priority. Deadline tasks and
 * real-time throttling come before it, stoppers come before everything.
 */
#include <linux/percpu.h>
#include <linux/sched.h>
#include <linux/sched/prio.h>
#include <linux/smpboot.h>
#include <uapi/linux/sched/types.h>

#include "vigil.h"

struct heart_work {
	int (*fn)(void *arg);
	void *arg;
};

static DEFINE_PER_CPU(struct task_struct *, heart);
static DEFINE_PER_CPU(struct heart_work, heart_work);

static int heart_should_run(unsigned int cpu)
{
	return !!READ_ONCE(this_cpu_ptr(&heart_work)->fn);
}

static void heart_run(unsigned int cpu)
{
	struct heart_work *work = this_cpu_ptr(&heart_work);
	int (*fn)(void *arg) = READ_ONCE(work->fn);
	void *arg = work->arg;

	/* Another may be queued as soon as this one has said that it ran. */
	WRITE_ONCE(work->fn, NULL);
	fn(arg);
}

static void heart_setup(unsigned int cpu)
{
	const struct sched_attr attr = {
		.size		= sizeof(attr),
		.sched_policy	= SCHED_FIFO,
		.sched_priority	= MAX_RT_PRIO - 1,
	};

	WARN_ON_ONCE(sched_setattr_nocheck(current, &attr));
}

static struct smp_hotplug_thread heart_threads = {
	.store			= &heart,
	.thread_should_run	= heart_should_run,
	.thread_fn		= heart_run,
	.setup			= heart_setup,
	.thread_comm		= "vigild/%u",
};

/**
 * vigil_heart_start() - start a thread on each CPU
 *
 * Context: may sleep.
 * Return: 0 or an error; then there is none.
 */
int vigil_heart_start(void)
{
	return smpboot_register_percpu_thread(&heart_threads);
}

/**
 * vigil_heart_stop() - end of vigil_heart_start(); returns when all are gone
 *
 * Context: may sleep.
 */
void vigil_heart_stop(void)
{
	smpboot_unregister_percpu_thread(&heart_threads);
}

/**
 * vigil_queue_heart() - have @fn run by the thread of this CPU
 *
 * Context: hard interrupt on @cpu; not before the work queued last has run.
 */
void vigil_queue_heart(unsigned int cpu, int (*fn)(void *arg), void *arg)
{
	struct heart_work *work = per_cpu_ptr(&heart_work, cpu);
	struct task_struct *task = *per_cpu_ptr(&heart, cpu);

	work->arg = arg;
	WRITE_ONCE(work->fn, fn);
	if (task)
		wake_up_process(task);
}
