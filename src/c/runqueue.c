// SPDX-License-Identifier: GPL-2.0
/*
 * The scheduler's count of tasks in uninterruptible sleep, for
 * src/sys/runqueue.rs.
 *
 * struct rq is private to kernel/sched. If the tree that the module is built
 * against has kernel/sched/sched.h, the compiler knows its layout. A tree of
 * headers alone lacks that file, and the counts cannot be read.
 */
#include <linux/cpumask.h>
#include <linux/percpu.h>
#include <linux/sched.h>

#include "vigil.h"

/* With proxy execution, blocked tasks stay runnable and are not counted. */
#if __has_include("kernel/sched/sched.h") && !defined(CONFIG_SCHED_PROXY_EXEC)

#include "kernel/sched/sched.h"

/**
 * vigil_rq_readable() - whether vigil_rq_sum() can read the run queues
 *
 * Context: any.
 */
int vigil_rq_readable(void)
{
	return 1;
}

/**
 * vigil_rq_sum() - sum up the run queues of all CPUs
 * @runqueues: address of the kernel's per-CPU variable "runqueues"
 * @running: set to the sum of nr_running
 *
 * Sums up all possible CPUs, not only the online ones: a task may be woken on
 * another CPU than it went to sleep on, and the run queue of a CPU that went
 * offline keeps its part of the sum.
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
