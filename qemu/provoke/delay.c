// SPDX-License-Identifier: GPL-2.0
/*
 * A function that takes long, once: the file "delay". After "SYMBOL MS COMM" is
 * written to it, the next call of that function by a thread of that name takes
 * MS milliseconds of CLOCK_MONOTONIC more, in which its CPU runs nothing else but
 * interrupts. It reads as "none", "armed", "delaying" or "over".
 */
#include <linux/cleanup.h>
#include <linux/debugfs.h>
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/ftrace.h>
#include <linux/ktime.h>
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "prov.h"

#ifdef CONFIG_DYNAMIC_FTRACE
enum delay_state { DELAY_NONE, DELAY_ARMED, DELAY_DELAYING, DELAY_OVER };

static const char *const delay_names[] = { "none", "armed", "delaying", "over" };

static DEFINE_MUTEX(delay_lock);
static int delay_state;
static unsigned int delay_ms;
static char delay_comm[TASK_COMM_LEN];

static void delay_here(unsigned long ip, unsigned long parent_ip,
		       struct ftrace_ops *ops, struct ftrace_regs *fregs)
{
	u64 end = ktime_get_ns() + delay_ms * (u64)NSEC_PER_MSEC;

	if (strcmp(current->comm, delay_comm) ||
	    cmpxchg(&delay_state, DELAY_ARMED, DELAY_DELAYING) != DELAY_ARMED)
		return;
	/* Not by mdelay(), for which the time of a machine that is stopped does not count. */
	while (ktime_get_ns() < end)
		cpu_relax();
	WRITE_ONCE(delay_state, DELAY_OVER);
}

static struct ftrace_ops delay_ops = {
	.func = delay_here,
};

/* Waits for a delay to be over. */
static void delay_disarm(void)
{
	if (delay_state == DELAY_NONE)
		return;
	unregister_ftrace_function(&delay_ops);
	ftrace_free_filter(&delay_ops);
	delay_state = DELAY_NONE;
}

static ssize_t delay_write(struct file *file, const char __user *buf, size_t len,
			   loff_t *pos)
{
	char *line __free(kfree) = memdup_user_nul(buf, len);
	char symbol[64];
	int err;

	if (IS_ERR(line))
		return PTR_ERR(line);
	guard(mutex)(&delay_lock);
	delay_disarm();
	if (sscanf(line, "%63s %u %15s", symbol, &delay_ms, delay_comm) != 3)
		return -EINVAL;
	err = ftrace_set_filter(&delay_ops, symbol, strlen(symbol), 1);
	if (err)
		return err;
	delay_state = DELAY_ARMED;
	err = register_ftrace_function(&delay_ops);
	if (err) {
		ftrace_free_filter(&delay_ops);
		delay_state = DELAY_NONE;
		return err;
	}
	return len;
}

static int delay_show(struct seq_file *m, void *v)
{
	seq_printf(m, "%s\n", delay_names[READ_ONCE(delay_state)]);
	return 0;
}
DEFINE_SHOW_STORE_ATTRIBUTE(delay);

void prov_delay_init(struct dentry *dir)
{
	debugfs_create_file("delay", 0600, dir, NULL, &delay_fops);
}

/* The file is gone. */
void prov_delay_exit(void)
{
	delay_disarm();
}
#else
void prov_delay_init(struct dentry *dir)
{
}

void prov_delay_exit(void)
{
}
#endif
