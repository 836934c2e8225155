// SPDX-License-Identifier: GPL-2.0
/*
 * Tasks, for src/sys/task.rs: the inner loop of a scan, and what is behind a
 * macro, a static inline, or a header that the bindings lack.
 */
#include <linux/cpumask.h>
#include <linux/idr.h>
#include <linux/mm.h>
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/radix-tree.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/debug.h>
#include <linux/sched/isolation.h>

#include "vigil.h"

/**
 * vigil_task_is_counted() - tell whether the run queues count a task that sleeps
 * @task: a task that is not freed meanwhile
 *
 * A task that is frozen in an uninterruptible sleep goes on being counted, which
 * its state does not show.
 *
 * Context: any.
 */
int vigil_task_is_counted(struct task_struct *task)
{
	/* It was set before the task left its run queue, and stays until it is back. */
	return task->sched_contributes_to_load;
}

/**
 * vigil_scan_tasks() - find tasks by the bits of their state, or those whose end
 *	another task may wait for
 * @next: the PID to begin with; set to the PID to go on with, 0 at the end
 * @budget: how many tasks may be read; lowered by the number that was
 * @wanted: find a task if its state has one of these bits ...
 * @maybe: or one of these, and vigil_task_is_counted(), ...
 * @unwanted: ... and none of these
 * @found: set to the tasks that were found, without references
 * @max: the length of @found
 *
 * Scans the PIDs and not the task lists: a scan can go on at a PID even if the
 * task at which it stopped has exited meanwhile. The radix tree's iterator
 * reads 64 PIDs at a time, where find_ge_pid() would start from the root for
 * each.
 *
 * With @wanted of 0, tasks are found that have a task_struct::vfork_done, whatever
 * their state is: kernel threads, and children of vfork().
 *
 * Context: any; the caller holds rcu_read_lock() for as long as it uses @found.
 * Return: how many tasks were found.
 */
unsigned int vigil_scan_tasks(int *next, unsigned int *budget,
			      unsigned int wanted, unsigned int maybe, unsigned int unwanted,
			      struct task_struct **found, unsigned int max)
{
	struct radix_tree_iter iter;
	unsigned int left = *budget, n = 0;
	void __rcu **slot;

	/* As idr_get_next_ul(), which handles a tree that changes meanwhile. */
	radix_tree_for_each_slot(slot, &init_pid_ns.idr.idr_rt, &iter, *next) {
		struct task_struct *task;
		unsigned int state;
		void *entry;

		entry = rcu_dereference_raw(*slot);
		if (!entry)
			continue;
		if (xa_is_internal(entry)) {
			if (slot == (void __rcu **)&init_pid_ns.idr.idr_rt.xa_head ||
			    xa_is_retry(entry))
				slot = radix_tree_iter_retry(&iter);
			continue;
		}
		if (!left || n == max) {
			*next = iter.index;
			goto out;
		}
		task = pid_task(entry, PIDTYPE_PID);
		if (!task)
			continue;
		left--;
		if (!wanted) {
			if (READ_ONCE(task->vfork_done))
				found[n++] = task;
			continue;
		}
		state = READ_ONCE(task->__state);
		if (state & unwanted)
			continue;
		if ((state & wanted) || ((state & maybe) && vigil_task_is_counted(task)))
			found[n++] = task;
	}
	*next = 0;
out:
	*budget = left;
	return n;
}

/**
 * vigil_task_ns_pid() - get the PID of a task in its own PID namespace
 * @task: a task that is not freed meanwhile
 *
 * Context: any, NMI included: takes no lock.
 * Return: 0 for a task of the initial PID namespace, and for one that is gone.
 */
int vigil_task_ns_pid(struct task_struct *task)
{
	struct pid_namespace *ns;

	/* A namespace is freed by RCU, and so is what the task has of it. */
	guard(rcu)();
	ns = task_active_pid_ns(task);
	if (!ns || ns == &init_pid_ns)
		return 0;
	return task_pid_nr_ns(task, ns);
}

/**
 * vigil_virt_addr_valid() - whether an address is in the linear map of memory
 * @address: any address
 *
 * A device's registers are not: on arm64 a read of these may be fatal, even by
 * copy_from_kernel_nofault().
 *
 * Context: any.
 */
int vigil_virt_addr_valid(unsigned long address)
{
	return virt_addr_valid((void *)address);
}

/**
 * vigil_task_io() - count the I/O of a task
 * @task: a task that is not freed meanwhile
 *
 * Context: any.
 * Return: a number that changes when it begins or ends I/O, as far as the kernel
 * counts that.
 */
unsigned long long vigil_task_io(struct task_struct *task)
{
	unsigned long long io = 0;

	/*
	 * The task writes these without a lock. A torn or old value is a wrong
	 * answer once, at the next look there is another.
	 */
#ifdef CONFIG_TASK_XACCT
	io += READ_ONCE(task->ioac.rchar) + READ_ONCE(task->ioac.wchar) +
	      READ_ONCE(task->ioac.syscr) + READ_ONCE(task->ioac.syscw);
#endif
#ifdef CONFIG_TASK_IO_ACCOUNTING
	io += READ_ONCE(task->ioac.read_bytes) + READ_ONCE(task->ioac.write_bytes);
#endif
	return io;
}

/**
 * vigil_run_on_half() - have this thread run on every other CPU only
 * @odd: on those with odd numbers
 *
 * Not on isolated ones. If none of these is online, or without memory for the
 * mask, it stays as it is. To be called again when it runs on another CPU.
 *
 * Context: process context, may sleep; does not wait for memory.
 */
void vigil_run_on_half(int odd)
{
	cpumask_var_t half;
	unsigned int cpu;

	if (!zalloc_cpumask_var(&half, GFP_NOWAIT | __GFP_NOWARN))
		return;
	/* A cpuset partition may replace the mask. */
	scoped_guard(rcu) {
		for_each_cpu_and(cpu, housekeeping_cpumask(HK_TYPE_DOMAIN),
				 housekeeping_cpumask(HK_TYPE_KERNEL_NOISE)) {
			if (cpu % 2 == !!odd)
				cpumask_set_cpu(cpu, half);
		}
	}
	/* What would fail, or change nothing, takes no lock of a run queue. */
	if (cpumask_intersects(half, cpu_online_mask) && !cpumask_equal(half, current->cpus_ptr))
		set_cpus_allowed_ptr(current, half);
	free_cpumask_var(half);
}

/**
 * vigil_sched_show_task() - print the state and the stack of a task
 * @task: the task
 *
 * Context: process context; prints many lines.
 */
void vigil_sched_show_task(struct task_struct *task)
{
	unsigned long flags;
	int deferred = vigil_printk_defer(&flags);

	sched_show_task(task);
	vigil_printk_defer_end(deferred, flags);
}

/**
 * vigil_cond_resched() - let other tasks run, on kernels without preemption
 *
 * Context: process context, may sleep.
 */
void vigil_cond_resched(void)
{
	cond_resched();
}
