// SPDX-License-Identifier: GPL-2.0
/*
 * A SCHED_FIFO-99 thread on each CPU: the replacement for the CPU stoppers where
 * those are out of reach. Deadline tasks and real-time throttling preempt it;
 * nothing preempts a stopper.
 */
#include <linux/build_bug.h>
#include <linux/llist.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <linux/sched/prio.h>
#include <linux/smpboot.h>
#include <uapi/linux/sched/types.h>

#include "vigil.h"

struct fifo_thread_work {
	struct llist_node node;
	int (*fn)(void *arg);
	void *arg;
};

static_assert(sizeof(struct fifo_thread_work) <= sizeof(struct vigil_stop_work));

static DEFINE_PER_CPU(struct task_struct *, fifo_thread);
static DEFINE_PER_CPU(struct llist_head, fifo_thread_works);

static int fifo_thread_should_run(unsigned int cpu)
{
	return !llist_empty(this_cpu_ptr(&fifo_thread_works));
}

static void fifo_thread_fn(unsigned int cpu)
{
	struct llist_node *node = llist_del_all(this_cpu_ptr(&fifo_thread_works));
	struct fifo_thread_work *work, *next;

	node = llist_reverse_order(node);
	/* The work is its owner's again as soon as its function is called. */
	llist_for_each_entry_safe(work, next, node, node)
		work->fn(work->arg);
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
 * @work: the thread's until it calls @fn
 *
 * Context: hard interrupt on @cpu.
 */
void vigil_fifo_thread_queue(unsigned int cpu, int (*fn)(void *arg), void *arg,
			     struct vigil_stop_work *work)
{
	struct fifo_thread_work *own = (struct fifo_thread_work *)work;
	struct task_struct *task = *per_cpu_ptr(&fifo_thread, cpu);

	own->fn = fn;
	own->arg = arg;
	llist_add(&own->node, per_cpu_ptr(&fifo_thread_works, cpu));
	if (task)
		wake_up_process(task);
}
