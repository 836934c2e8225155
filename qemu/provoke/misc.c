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
 *   sysctl_folder 1   registers /proc/sys/vigil, with a file watchdog_thresh; 0 unregisters it
 *   debugfs_folder 1  makes a folder vigil in debugfs; 0 removes it
 *   hotplug_states 1  takes all dynamic states of CPU hotplug that are left; 0 gives them back
 */
#include <linux/cpuhotplug.h>
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/stop_machine.h>
#include <linux/sysctl.h>
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

static int nobody;

static const struct ctl_table knobs[] = {
	{
		.procname = "watchdog_thresh",
		.data = &nobody,
		.maxlen = sizeof(nobody),
		.mode = 0644,
		.proc_handler = proc_dointvec,
	},
};

static struct ctl_table_header *sysctl_folder;

static int sysctl_folder_set(void *unused, u64 value)
{
	unregister_sysctl_table(sysctl_folder);
	sysctl_folder = NULL;
	if (!value)
		return 0;
	sysctl_folder = register_sysctl("vigil", knobs);
	return sysctl_folder ? 0 : -ENOMEM;
}
DEFINE_DEBUGFS_ATTRIBUTE(sysctl_folder_fops, NULL, sysctl_folder_set, "%llu\n");

static struct dentry *debugfs_folder;

static int debugfs_folder_set(void *unused, u64 value)
{
	debugfs_remove(debugfs_folder);
	debugfs_folder = NULL;
	if (value)
		debugfs_folder = debugfs_create_dir("vigil", NULL);
	return PTR_ERR_OR_ZERO(debugfs_folder);
}
DEFINE_DEBUGFS_ATTRIBUTE(debugfs_folder_fops, NULL, debugfs_folder_set, "%llu\n");

/* More than there are of them. */
static int hotplug_states[64];
static unsigned int hotplug_count;

static int hotplug_states_set(void *unused, u64 value)
{
	while (hotplug_count)
		cpuhp_remove_state_nocalls(hotplug_states[--hotplug_count]);
	while (value && hotplug_count < ARRAY_SIZE(hotplug_states)) {
		int state = cpuhp_setup_state_nocalls(CPUHP_AP_ONLINE_DYN, "prov:taken", NULL,
						      NULL);

		if (state < 0)
			return state == -ENOSPC ? 0 : state;
		hotplug_states[hotplug_count++] = state;
	}
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(hotplug_states_fops, NULL, hotplug_states_set, "%llu\n");

/* Give back what is still taken. */
void prov_misc_exit(void)
{
	hotplug_states_set(NULL, 0);
	debugfs_folder_set(NULL, 0);
	sysctl_folder_set(NULL, 0);
}

/* Create the files, in @dir. */
void prov_misc_init(struct dentry *dir)
{
	debugfs_create_file_unsafe("rq_off", 0200, dir, NULL, &rq_off_fops);
	debugfs_create_file_unsafe("stop_machine", 0200, dir, NULL, &stop_machine_fops);
	debugfs_create_file_unsafe("backtrace_flag", 0200, dir, NULL, &backtrace_flag_fops);
	debugfs_create_file_unsafe("netlink_family", 0200, dir, NULL, &netlink_family_fops);
	debugfs_create_file_unsafe("sysctl_folder", 0200, dir, NULL, &sysctl_folder_fops);
	debugfs_create_file_unsafe("debugfs_folder", 0200, dir, NULL, &debugfs_folder_fops);
	debugfs_create_file_unsafe("hotplug_states", 0200, dir, NULL, &hotplug_states_fops);
}
