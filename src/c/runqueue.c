// SPDX-License-Identifier: GPL-2.0
/*
 * The scheduler's count of tasks in uninterruptible sleep, for
 * src/sys/runqueue.rs.
 *
 * struct rq is private to kernel/sched. If the tree that the module is built
 * against has kernel/sched/sched.h, the compiler knows its layout. With a tree of
 * headers alone the layout comes from the running kernel's BTF, which
 * src/sys/runqueue.rs reads.
 */
#include <linux/build_bug.h>
#include <linux/cpumask.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <linux/stddef.h>

#include "vigil.h"

#if __has_include("kernel/sched/sched.h")

#include "kernel/sched/sched.h"

static_assert(sizeof_field(struct rq, nr_uninterruptible) == sizeof(unsigned long));
static_assert(sizeof_field(struct rq, nr_running) == sizeof(unsigned int));

/**
 * vigil_rq_offsets() - get the layout of struct rq from the sources of the kernel
 * @offsets: set to it
 *
 * Context: any.
 * Return: whether the module was built with those.
 */
int vigil_rq_offsets(struct vigil_rq_offsets *offsets)
{
	offsets->nr_uninterruptible = offsetof(struct rq, nr_uninterruptible);
	offsets->nr_running = offsetof(struct rq, nr_running);
	return 1;
}

#else

int vigil_rq_offsets(struct vigil_rq_offsets *offsets)
{
	return 0;
}

#endif

/**
 * vigil_rq_sum() - sum up the run queues of all CPUs
 * @runqueues: address of the kernel's per-CPU variable "runqueues"
 * @offsets: where the counts are in each of them
 * @running: set to the sum of nr_running
 *
 * Sums up all possible CPUs, not only the online ones: a task may be woken on
 * another CPU than it went to sleep on, and the run queue of a CPU that went
 * offline keeps its part of the sum.
 *
 * Context: any.
 * Return: the sum of nr_uninterruptible, which is unsigned per CPU and wraps.
 */
long vigil_rq_sum(unsigned long runqueues, const struct vigil_rq_offsets *offsets,
		  unsigned long *running)
{
	unsigned long sum = 0, run = 0;
	int cpu;

	for_each_possible_cpu(cpu) {
		const char *rq = per_cpu_ptr((char __percpu *)runqueues, cpu);

		sum += READ_ONCE(*(const unsigned long *)(rq + offsets->nr_uninterruptible));
		run += READ_ONCE(*(const unsigned int *)(rq + offsets->nr_running));
	}
	*running = run;
	return (long)sum;
}
