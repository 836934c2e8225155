// SPDX-License-Identifier: GPL-2.0
/*
 * The watchdog timer of the in-tree detector, for src/sys/in_tree_timer.rs.
 */
#include <linux/compiler.h>
#include <linux/hrtimer.h>
#include <linux/percpu.h>

#include "vigil.h"

/**
 * vigil_in_tree_timer_expires() - read when the in-tree watchdog timer expires here
 * @hrtimer: address of the kernel's per-CPU variable "watchdog_hrtimer"
 * @watchdog_thresh: address of the kernel's variable of this name
 * @thresh: the value that it is to have
 *
 * Context: hard interrupt.
 * Return: when the timer of this CPU expires, in nanoseconds, or was last to expire if
 * it does not run; 0 if it has not run yet, or if the threshold is another one.
 */
unsigned long long vigil_in_tree_timer_expires(unsigned long hrtimer,
					       unsigned long watchdog_thresh,
					       unsigned long long thresh)
{
	if (READ_ONCE(*(const int *)watchdog_thresh) != thresh)
		return 0;
	return hrtimer_get_expires(this_cpu_ptr((struct hrtimer __percpu *)hrtimer));
}
