// SPDX-License-Identifier: GPL-2.0
/*
 * The lock that a task waits for through a real-time mutex, for
 * src/sys/lock_words.rs.
 *
 * struct rt_mutex_waiter is private to kernel/locking. If the tree that the
 * module is built against has its header, the compiler knows the layout. A tree
 * of headers alone lacks that file, and such a lock is not known.
 */
#include <linux/sched.h>
#include <linux/uaccess.h>

#include "vigil.h"

#if defined(CONFIG_RT_MUTEXES) && \
	__has_include("kernel/locking/rtmutex_common.h")

#include "kernel/locking/rtmutex_common.h"

/**
 * vigil_rt_mutex_wait() - read what a task waits for through a real-time mutex
 * @task: the task
 * @wait: set to the lock and its owner
 *
 * Takes no lock, while task->pi_blocked_on changes under task->pi_lock: the
 * waiter is on the stack of the task, and is gone as soon as that has got the
 * lock. So it is copied without faults, and only believed if it says that it is
 * the task's and the task still waits by it afterwards.
 *
 * Context: any.
 * Return: 1 if the task waits for such a lock, else 0.
 */
int vigil_rt_mutex_wait(struct task_struct *task, struct vigil_rt_mutex_wait *wait)
{
	struct rt_mutex_waiter *waiter = READ_ONCE(task->pi_blocked_on);
	struct rt_mutex_waiter copy;

	if (!waiter || copy_from_kernel_nofault(&copy, waiter, sizeof(copy)))
		return 0;
	/* The copy is of the time between the two reads of the pointer. */
	smp_rmb();
	if (copy.task != task || READ_ONCE(task->pi_blocked_on) != waiter)
		return 0;
	if (copy_from_kernel_nofault(&wait->owner, &copy.lock->owner,
				     sizeof(wait->owner)))
		return 0;
	wait->lock = (unsigned long)copy.lock;
	wait->is_rtlock = copy.wake_state == TASK_RTLOCK_WAIT;
	return 1;
}

#else

int vigil_rt_mutex_wait(struct task_struct *task, struct vigil_rt_mutex_wait *wait)
{
	return 0;
}

#endif
