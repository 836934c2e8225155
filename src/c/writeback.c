// SPDX-License-Identifier: GPL-2.0
/*
 * Which device a task in wb_wait_for_completion() waits for, and what that has
 * written, for src/sys/writeback.rs.
 *
 * Nothing leads from the task to the device but its entry in the wait queue
 * bdi->wb_waitq, which is on its stack. The task may go on at any time: all that
 * is behind the stack is read as memory that may be gone.
 */
#include <linux/backing-dev-defs.h>
#include <linux/cpumask.h>
#include <linux/list.h>
#include <linux/math.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/percpu_counter.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/uaccess.h>
#include <linux/wait.h>

#include "vigil.h"

/* How many others may wait for the same device, and how many cgroups may write to it. */
#define MAX_WAITERS	64
#define MAX_WBS		256

/* The device whose wait queue @entry is in, or NULL. */
static struct backing_dev_info *bdi_of(struct list_head *entry)
{
	struct backing_dev_info *bdi, *own;
	unsigned int n;

	for (n = 0; n < MAX_WAITERS; n++) {
		if (get_kernel_nofault(entry, &entry->next))
			return NULL;
		/* If this is the head, as its device says: */
		bdi = container_of(entry, struct backing_dev_info, wb_waitq.head);
		if (virt_addr_valid(bdi) && !get_kernel_nofault(own, &bdi->wb.bdi) && own == bdi)
			return bdi;
	}
	return NULL;
}

/* The device for which a sleeping task waits, or NULL. */
static struct backing_dev_info *bdi_waited_for(struct task_struct *task)
{
	unsigned long *stack = READ_ONCE(task->stack), *word, *end;
	struct backing_dev_info *bdi = NULL;
	unsigned long found[2];

	/* It is freed when the task exits. */
	if (!stack)
		return NULL;
#ifdef CONFIG_X86
	word = (unsigned long *)round_up(READ_ONCE(task->thread.sp), sizeof(*word));
#else
	word = (unsigned long *)round_up(thread_saved_sp(task), sizeof(*word));
#endif
	end = stack + THREAD_SIZE / sizeof(*stack);
	if (word < stack)
		return NULL;
	for (; word + 4 < end && !bdi; word++) {
		if (copy_from_kernel_nofault(found, word, sizeof(found)))
			return NULL;
		/* wait_event() puts struct wait_queue_entry there: flags, private, func, entry */
		if (found[0] == (unsigned long)task &&
		    found[1] == (unsigned long)autoremove_wake_function)
			bdi = bdi_of((struct list_head *)(word + 2));
	}
	return bdi;
}

/* percpu_counter_sum(), of a counter that may be gone. */
static s64 sum_of(struct percpu_counter *counter)
{
	s32 __percpu *counters;
	unsigned int cpu;
	s64 sum, part;
	s32 count;

	if (get_kernel_nofault(part, &counter->count) ||
	    get_kernel_nofault(counters, &counter->counters))
		return 0;
	sum = part;
	for_each_online_cpu(cpu) {
		if (!get_kernel_nofault(count, per_cpu_ptr(counters, cpu)))
			sum += count;
	}
	return sum;
}

/**
 * vigil_writeback_written() - count the pages written by the device that a task waits for
 * @task: a task that is not freed meanwhile, and sleeps in wb_wait_for_completion()
 * @written: set to the count
 *
 * Context: process context.
 * Return: whether the device was found.
 */
int vigil_writeback_written(struct task_struct *task, unsigned long long *written)
{
	struct backing_dev_info *bdi;
	struct bdi_writeback *wb;
	struct list_head *entry;
	unsigned int n;
	s64 sum = 0;

	/* A cgroup's part is freed after a grace period. */
	guard(rcu)();
	bdi = bdi_waited_for(task);
	if (!bdi)
		return 0;
	entry = &bdi->wb_list;
	for (n = 0;; n++) {
		/* Not a part of it: the rest may be what is written. */
		if (n == MAX_WBS)
			return 0;
		if (get_kernel_nofault(entry, &entry->next) || entry == &bdi->wb_list)
			break;
		wb = container_of(entry, struct bdi_writeback, bdi_node);
		sum += sum_of(&wb->stat[WB_WRITTEN]);
	}
	*written = sum;
	return 1;
}
