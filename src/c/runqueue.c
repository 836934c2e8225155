// SPDX-License-Identifier: GPL-2.0
/*
 * The scheduler's count of tasks in uninterruptible sleep.
 *
 * struct rq is private to kernel/sched. Where the tree that the module is
 * built against has its source, the offsets come from the compiler; a tree of
 * headers alone has not, and the counts cannot be read.
 */
#include <linux/cpumask.h>
#include <linux/percpu.h>
#include <linux/sched.h>

#include "vigil.h"

/* With proxy execution blocked tasks stay runnable and are not counted. */
#if __has_include("kernel/sched/sched.h") && !defined(CONFIG_SCHED_PROXY_EXEC)

#include "kernel/sched/sched.h"

/**
 * vigil_rq_readable() - whether vigil_rq_sum() means anything
 */
int vigil_rq_readable(void)
{
	return 1;
}

/**
 * vigil_rq_sum() - sum up the run queues of all CPUs
 * @runqueues: address of the kernel's per-CPU variable of that name
 * @running: set to the sum of nr_running
 *
 * Possible CPUs, not online ones: a task may be woken on another CPU than it
 * went to sleep on, and a CPU that went away leaves its part of the sum behind.
 *
 * Context: any.
 * Return: the sum of nr_uninterruptible, which is unsigned per CPU and wraps.
 */
long vigil_rq_sum(unsigned long runqueues, unsigned long *running)
{
	unsigned long sum = 0, run = 0;
	int cpu;

	for_each_possible_cpu(cpu) {
		const struct rq *rq =
			per_cpu_ptr((struct rq __percpu *)runqueues, cpu);

		sum += READ_ONCE(rq->nr_uninterruptible);
		run += READ_ONCE(rq->nr_running);
	}
	*running = run;
	return (long)sum;
}

#else

int vigil_rq_readable(void)
{
	return 0;
}

long vigil_rq_sum(unsigned long runqueues, unsigned long *running)
{
	*running = 0;
	return 0;
}

#endif
