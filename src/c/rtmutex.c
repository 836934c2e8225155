// SPDX-License-Identifier: GPL-2.0
/*
 * The lock that a task waits for through a real-time mutex, for
 * src/sys/rtmutex.rs.
 *
 * struct rt_mutex_waiter is private to kernel/locking. If the tree that the
 * module is built against has its header, the compiler knows the layout. With a
 * tree of headers alone the layout comes from the running kernel's BTF, which
 * src/sys/rtmutex.rs reads.
 */
#include <linux/build_bug.h>
#include <linux/sched.h>
#include <linux/stddef.h>
#include <linux/uaccess.h>

#include "vigil.h"

#ifdef CONFIG_RT_MUTEXES

#include <linux/rtmutex.h>

#if __has_include("kernel/locking/rtmutex_common.h")

#include "kernel/locking/rtmutex_common.h"

static_assert(sizeof_field(struct rt_mutex_waiter, wake_state) == sizeof(unsigned int));

/**
 * vigil_rt_waiter_offsets() - get the layout of struct rt_mutex_waiter from the
 *	sources of the kernel
 * @offsets: set to it
 *
 * Context: any.
 * Return: whether the module was built with those.
 */
int vigil_rt_waiter_offsets(struct vigil_rt_waiter_offsets *offsets)
{
	offsets->task = offsetof(struct rt_mutex_waiter, task);
	offsets->lock = offsetof(struct rt_mutex_waiter, lock);
	offsets->wake_state = offsetof(struct rt_mutex_waiter, wake_state);
	return 1;
}

#else

int vigil_rt_waiter_offsets(struct vigil_rt_waiter_offsets *offsets)
{
	return 0;
}

#endif

/* All are 0 until they are known: no two members have the same offset. */
static struct vigil_rt_waiter_offsets waiter_offsets;

/**
 * vigil_set_rt_waiter_offsets() - say where the members of struct rt_mutex_waiter are
 * @offsets: where
 *
 * Context: process context, before the first vigil_rt_mutex_wait().
 */
void vigil_set_rt_waiter_offsets(const struct vigil_rt_waiter_offsets *offsets)
{
	waiter_offsets = *offsets;
}

/**
 * vigil_rt_mutex_wait() - read what a task waits for through a real-time mutex
 * @task: the task
 * @wait: set to the lock and its owner
 *
 * Takes no lock, while task->pi_blocked_on changes under task->pi_lock: the
 * waiter is on the stack of the task, and is gone as soon as that has got the
 * lock. So it is read without faults, and only believed if it says that it is
 * the task's and the task still waits by it afterwards, without having run
 * meanwhile: the same call makes its waiter in the same place again.
 *
 * Context: any.
 * Return: 1 if the task waits for such a lock, else 0; also while it is not
 * known where the members of a waiter are.
 */
int vigil_rt_mutex_wait(struct task_struct *task, struct vigil_rt_mutex_wait *wait)
{
	unsigned long switches = READ_ONCE(task->nvcsw) + READ_ONCE(task->nivcsw);
	const char *waiter;
	struct task_struct *waiting;
	struct rt_mutex_base *lock, *again;
	unsigned int wake_state;

	/* Pairs with the smp_rmb() before the count is read again. */
	smp_rmb();
	waiter = (const char *)READ_ONCE(task->pi_blocked_on);
	if (!waiter || waiter_offsets.task == waiter_offsets.lock)
		return 0;
	if (copy_from_kernel_nofault(&waiting, waiter + waiter_offsets.task,
				     sizeof(waiting)) ||
	    copy_from_kernel_nofault(&lock, waiter + waiter_offsets.lock, sizeof(lock)) ||
	    copy_from_kernel_nofault(&wake_state, waiter + waiter_offsets.wake_state,
				     sizeof(wake_state)))
		return 0;
	/* What was read is of the time between the two reads of the pointer ... */
	smp_rmb();
	if (waiting != task || (const char *)READ_ONCE(task->pi_blocked_on) != waiter)
		return 0;
	/*
	 * ... and of one wait: the task has not slept in between, and the lock is the one
	 * of the wait that the pointer stands for now, which need not have slept yet.
	 */
	smp_rmb();
	if (READ_ONCE(task->nvcsw) + READ_ONCE(task->nivcsw) != switches)
		return 0;
	if (copy_from_kernel_nofault(&again, waiter + waiter_offsets.lock, sizeof(again)) ||
	    again != lock)
		return 0;
	if (copy_from_kernel_nofault(&wait->owner, &lock->owner, sizeof(wait->owner)))
		return 0;
	wait->lock = (unsigned long)lock;
	wait->is_rtlock = wake_state == TASK_RTLOCK_WAIT;
	return 1;
}

#else

int vigil_rt_waiter_offsets(struct vigil_rt_waiter_offsets *offsets)
{
	return 0;
}

void vigil_set_rt_waiter_offsets(const struct vigil_rt_waiter_offsets *offsets)
{
}

int vigil_rt_mutex_wait(struct task_struct *task, struct vigil_rt_mutex_wait *wait)
{
	return 0;
}

#endif
