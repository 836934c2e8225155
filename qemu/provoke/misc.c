// SPDX-License-Identifier: GPL-2.0
/*
 * What is no stall, and has to do with how one is found:
 *
 *   rq_off N      the run queues count N sleeping tasks less than there are, for good
 *   stop_machine  stop_machine() of nothing, which waits for all CPUs
 *   backtrace_flag A  sets bit 0 at the address A, which is that of backtrace_flag of
 *                 lib/nmi_backtrace.c in /proc/kallsyms: as if another CPU were printing
 *                 the stacks of all CPUs; 0 clears it
 *   netlink_family 1  registers a generic netlink family named vigil; 0 unregisters it
 */
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/stop_machine.h>
#include <linux/uaccess.h>
#include <net/genetlink.h>

#include "prov.h"

static int idle_sleeper(void *unused)
{
	set_current_state(TASK_IDLE);
	schedule();
	__set_current_state(TASK_RUNNING);
	return 0;
}

/* A wake-up takes off the count what going to sleep had not added. */
static int rq_off(void *unused, u64 count)
{
	while (count--) {
		struct task_struct *task = kthread_run(idle_sleeper, NULL, "prov_rq_off");

		if (IS_ERR(task))
			return PTR_ERR(task);
		msleep(100);
		task->sched_contributes_to_load = 1;
		wake_up_process(task);
		msleep(20);
	}
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(rq_off_fops, NULL, rq_off, "%llu\n");

static int nothing(void *unused)
{
	return 0;
}

static int stop_all(void *unused, u64 value)
{
	return stop_machine(nothing, NULL, NULL);
}
DEFINE_DEBUGFS_ATTRIBUTE(stop_machine_fops, NULL, stop_all, "%llu\n");

static unsigned long *backtrace_flag;

static int backtrace_flag_set(void *unused, u64 address)
{
	if (backtrace_flag)
		clear_bit(0, backtrace_flag);
	backtrace_flag = (unsigned long *)(unsigned long)address;
	if (backtrace_flag)
		set_bit(0, backtrace_flag);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(backtrace_flag_fops, NULL, backtrace_flag_set, "0x%llx\n");

static struct genl_family family = {
	.name = "vigil",
	.version = 1,
	.module = THIS_MODULE,
};

static int netlink_family_set(void *unused, u64 value)
{
	return value ? genl_register_family(&family) : genl_unregister_family(&family);
}
DEFINE_DEBUGFS_ATTRIBUTE(netlink_family_fops, NULL, netlink_family_set, "%llu\n");

/* Create the files, in @dir. */
void prov_misc_init(struct dentry *dir)
{
	debugfs_create_file_unsafe("rq_off", 0200, dir, NULL, &rq_off_fops);
	debugfs_create_file_unsafe("stop_machine", 0200, dir, NULL, &stop_machine_fops);
	debugfs_create_file_unsafe("backtrace_flag", 0200, dir, NULL, &backtrace_flag_fops);
	debugfs_create_file_unsafe("netlink_family", 0200, dir, NULL, &netlink_family_fops);
}
