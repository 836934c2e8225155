// SPDX-License-Identifier: GPL-2.0
/*
 * What counters of cycles depend on: whether there is one left, and how fast a
 * CPU can be.
 *
 * The file "counters": 1 takes all of each online CPU's that count cycles, 0
 * gives them back; it reads as how many are taken.
 * The file "khz": the highest frequency that all CPUs have from now on, by a
 * driver for it, which does nothing else; 0 removes that.
 */
#include <linux/cpu.h>
#include <linux/cpufreq.h>
#include <linux/debugfs.h>
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/mutex.h>
#include <linux/perf_event.h>

#include "prov.h"

static DEFINE_MUTEX(perf_lock);

#ifdef CONFIG_PERF_EVENTS

#define COUNTERS_MOST	256

static struct perf_event *counters[COUNTERS_MOST];
static unsigned int counters_taken;

static void counters_give_back(void)
{
	while (counters_taken)
		perf_event_release_kernel(counters[--counters_taken]);
}

/* Takes what there is on one CPU. */
static int counters_of(unsigned int cpu)
{
	struct perf_event_attr attr = {
		.type	= PERF_TYPE_HARDWARE,
		.config	= PERF_COUNT_HW_CPU_CYCLES,
		.size	= sizeof(attr),
		.pinned	= 1,
	};
	struct perf_event *event;

	while (counters_taken < COUNTERS_MOST) {
		event = perf_event_create_kernel_counter(&attr, cpu, NULL, NULL, NULL);
		if (IS_ERR(event))
			return PTR_ERR(event);
		/* A pinned one that finds no place is in error. */
		if (READ_ONCE(event->state) != PERF_EVENT_STATE_ACTIVE) {
			perf_event_release_kernel(event);
			return 0;
		}
		counters[counters_taken++] = event;
	}
	return -ENOSPC;
}

static int counters_set(void *data, u64 take)
{
	unsigned int cpu;
	int err = 0;

	guard(mutex)(&perf_lock);
	counters_give_back();
	if (!take)
		return 0;
	guard(cpus_read_lock)();
	for_each_online_cpu(cpu) {
		err = counters_of(cpu);
		if (err)
			break;
	}
	if (err)
		counters_give_back();
	return err;
}

static int counters_get(void *data, u64 *taken)
{
	guard(mutex)(&perf_lock);
	*taken = counters_taken;
	return 0;
}

DEFINE_DEBUGFS_ATTRIBUTE(counters_fops, counters_get, counters_set, "%llu\n");

static void counters_init(struct dentry *dir)
{
	debugfs_create_file("counters", 0600, dir, NULL, &counters_fops);
}

static void counters_exit(void)
{
	counters_give_back();
}

#else

static void counters_init(struct dentry *dir)
{
}

static void counters_exit(void)
{
}

#endif

#ifdef CONFIG_CPU_FREQ

static unsigned int khz;

static int khz_policy(struct cpufreq_policy *policy)
{
	policy->min = khz;
	policy->max = khz;
	policy->cpuinfo.min_freq = khz;
	policy->cpuinfo.max_freq = khz;
	return 0;
}

static int khz_verify(struct cpufreq_policy_data *policy)
{
	cpufreq_verify_within_cpu_limits(policy);
	return 0;
}

static int khz_obey(struct cpufreq_policy *policy)
{
	return 0;
}

static struct cpufreq_driver khz_driver = {
	.name		= "vigil_provoke",
	.init		= khz_policy,
	.verify		= khz_verify,
	.setpolicy	= khz_obey,
};

static void khz_remove(void)
{
	if (khz)
		cpufreq_unregister_driver(&khz_driver);
	khz = 0;
}

static int khz_set(void *data, u64 wanted)
{
	int err;

	if (wanted > INT_MAX)
		return -ERANGE;
	guard(mutex)(&perf_lock);
	khz_remove();
	if (!wanted)
		return 0;
	khz = wanted;
	err = cpufreq_register_driver(&khz_driver);
	if (err)
		khz = 0;
	return err;
}

DEFINE_DEBUGFS_ATTRIBUTE(khz_fops, NULL, khz_set, "%llu\n");

static void khz_init(struct dentry *dir)
{
	debugfs_create_file("khz", 0200, dir, NULL, &khz_fops);
}

#else

static void khz_init(struct dentry *dir)
{
}

static void khz_remove(void)
{
}

#endif

void prov_perf_init(struct dentry *dir)
{
	counters_init(dir);
	khz_init(dir);
}

/* The files are gone. */
void prov_perf_exit(void)
{
	khz_remove();
	counters_exit();
}
