// SPDX-License-Identifier: GPL-2.0
/*
 * Looking through the tasks: the inner loop of a walk, and what of a task is
 * behind a macro or a static inline.
 */
#include <linux/idr.h>
#include <linux/nmi.h>
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/radix-tree.h>
#include <linux/sched.h>
#include <linux/sched/debug.h>

#include "vigil.h"

/**
 * vigil_scan_tasks() - find tasks by the bits of their state
 * @next: pid to begin with; set to the one to go on with, 0 when through
 * @budget: how many tasks may be looked at; lowered by those that were
 * @wanted: take a task if its state has one of these bits ...
 * @unwanted: ... and none of these
 * @found: where to put the tasks, without references
 * @max: how many fit
 *
 * Goes by pid and not along the task lists: a pid is a place that can be come
 * back to, whoever exited meanwhile. The radix tree's own iterator looks at 64
 * pids at a time, where find_ge_pid() would start from the root for each.
 *
 * Context: any that may read under RCU; the caller holds rcu_read_lock() for
 *	as long as it uses what was found.
 * Return: how many were found.
 */
unsigned int vigil_scan_tasks(int *next, unsigned int *budget,
			      unsigned int wanted, unsigned int unwanted,
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
		state = READ_ONCE(task->__state);
		if ((state & wanted) && !(state & unwanted))
			found[n++] = task;
	}
	*next = 0;
out:
	*budget = left;
	return n;
}

/**
 * vigil_task_by_pid() - the task with this pid in the initial namespace
 *
 * Context: under rcu_read_lock(), for as long as the result is used.
 */
struct task_struct *vigil_task_by_pid(int pid)
{
	return pid_task(find_pid_ns(pid, &init_pid_ns), PIDTYPE_PID);
}

/**
 * vigil_is_memory() - whether that is an address of memory of the kernel's own
 *
 * Not of a device's registers, say: a read of those that goes wrong is fatal
 * on arm64, also for copy_from_kernel_nofault().
 */
int vigil_is_memory(unsigned long address)
{
	return virt_addr_valid((void *)address);
}

/**
 * vigil_task_in_iowait() - whether the task waits for I/O: a bit field
 */
int vigil_task_in_iowait(const struct task_struct *task)
{
	return task->in_iowait;
}

/**
 * vigil_show_task() - print the state and the stack of a task
 *
 * Context: process context; prints a lot.
 */
void vigil_show_task(struct task_struct *task)
{
	sched_show_task(task);
}

/**
 * vigil_touch_watchdogs() - long output is on its way: not a lockup
 */
void vigil_touch_watchdogs(void)
{
	touch_nmi_watchdog();
}

/**
 * vigil_cond_resched() - let others run, on kernels where that has to be asked
 */
void vigil_cond_resched(void)
{
	cond_resched();
}
