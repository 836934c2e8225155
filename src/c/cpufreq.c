// SPDX-License-Identifier: GPL-2.0
/*
 * A cpufreq policy notifier whose callback runs in a workqueue.
 */
#include <linux/cpufreq.h>
#include <linux/workqueue.h>

#include "vigil.h"

/* x86 measures the frequency at boot; without drivers for it, it does not change. */
#if defined(CONFIG_CPU_FREQ) && !defined(CONFIG_X86)

static void (*frequency_changed)(void *arg);
static void *frequency_changed_arg;

static void frequency_work_fn(struct work_struct *work)
{
	frequency_changed(frequency_changed_arg);
}

static DECLARE_WORK(frequency_work, frequency_work_fn);

/*
 * A policy comes with its driver, which is the first to know how fast the CPUs
 * can run. The notifier may be called while a CPU comes online, where nothing
 * may wait for CPU hotplug: hence the work.
 */
static int policy_event(struct notifier_block *nb, unsigned long event, void *policy)
{
	if (event == CPUFREQ_CREATE_POLICY)
		queue_work(system_dfl_wq, &frequency_work);
	return NOTIFY_DONE;
}

static struct notifier_block policy_notifier = {
	.notifier_call = policy_event,
};

/**
 * vigil_cpufreq_register() - have @fn called after each new cpufreq policy
 * @fn: called by a kernel worker, may sleep
 * @arg: its argument
 *
 * Context: may sleep; not while another one is registered.
 * Return: 0 or an error. Where cpufreq is off (cpufreq.off=1, a Xen guest) the
 * kernel refuses the notifier, and no frequency changes: that is no error.
 */
int vigil_cpufreq_register(void (*fn)(void *arg), void *arg)
{
	int err;

	frequency_changed = fn;
	frequency_changed_arg = arg;
	err = cpufreq_register_notifier(&policy_notifier, CPUFREQ_POLICY_NOTIFIER);
	return err == -EINVAL ? 0 : err;
}

/**
 * vigil_cpufreq_unregister() - undo vigil_cpufreq_register() and wait for its @fn
 *
 * Context: may sleep.
 */
void vigil_cpufreq_unregister(void)
{
	cpufreq_unregister_notifier(&policy_notifier, CPUFREQ_POLICY_NOTIFIER);
	cancel_work_sync(&frequency_work);
}

#else

int vigil_cpufreq_register(void (*fn)(void *arg), void *arg)
{
	return 0;
}

void vigil_cpufreq_unregister(void)
{
}

#endif
