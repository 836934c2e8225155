// SPDX-License-Identifier: GPL-2.0
/*
 * Per-CPU state of the kernel: housekeeping, CPU time, steal time, kvmclock.
 */
#include <linux/cpumask.h>
#include <linux/kernel_stat.h>
#include <linux/percpu.h>
#include <linux/sched/isolation.h>
#include <linux/vtime.h>
#ifdef CONFIG_X86
#include <asm/cpufeature.h>
#endif
#ifdef CONFIG_KVM_GUEST
#include <asm/pvclock.h>
/* Needs asm/pvclock.h, and does not include it. */
#include <asm/kvmclock.h>
#endif

#include "vigil.h"

/**
 * vigil_cpu_online() - tell whether a CPU is online
 * @cpu: a possible CPU
 *
 * Context: any, NMI included.
 */
int vigil_cpu_online(unsigned int cpu)
{
	return cpu_online(cpu);
}

/**
 * vigil_has_hypervisor() - tell whether there may be a hypervisor
 *
 * Context: any.
 * Return: 0 only on an architecture that can tell.
 */
int vigil_has_hypervisor(void)
{
#ifdef CONFIG_X86
	return boot_cpu_has(X86_FEATURE_HYPERVISOR);
#else
	return 1;
#endif
}

/**
 * vigil_cpu_housekeeping() - tell whether the kernel may run its timers on a CPU
 * @cpu: a possible CPU
 *
 * Context: any.
 * Return: 0 for a CPU of nohz_full=, else 1.
 */
int vigil_cpu_housekeeping(unsigned int cpu)
{
	return cpumask_test_cpu(cpu, housekeeping_cpumask(HK_TYPE_KERNEL_NOISE));
}

/**
 * vigil_steal_ns() - read how long the hypervisor ran something else, in nanoseconds
 * @cpu: a possible CPU
 *
 * Context: any, NMI included.
 */
unsigned long long vigil_steal_ns(unsigned int cpu)
{
	return kcpustat_cpu(cpu).cpustat[CPUTIME_STEAL];
}

/**
 * vigil_steal_ns_here() - vigil_steal_ns() of the CPU that runs this
 *
 * Context: any, NMI included.
 */
unsigned long long vigil_steal_ns_here(void)
{
	return raw_cpu_read(kernel_cpustat.cpustat[CPUTIME_STEAL]);
}

/**
 * vigil_guest_paused() - read kvmclock's flag that the hypervisor paused a vCPU
 * @cpu: a possible CPU
 *
 * KVM sets the flag when its user space reports a pause (KVM_KVMCLOCK_CTRL). Only
 * kvm_check_and_clear_guest_paused() clears it, which the in-tree watchdogs call.
 *
 * Context: any, NMI included.
 * Return: 1 if it is set, 0 if not, -1 if the CPU has no kvmclock.
 */
int vigil_guest_paused(unsigned int cpu)
{
#ifdef CONFIG_KVM_GUEST
	const struct pvclock_vsyscall_time_info *clock = per_cpu(hv_clock_per_cpu, cpu);

	if (clock)
		return !!(READ_ONCE(clock->pvti.flags) & PVCLOCK_GUEST_STOPPED);
#endif
	return -1;
}

static void copy_times(unsigned long long times[VIGIL_NR_CPU_TIMES], const u64 *stat)
{
	times[VIGIL_CPU_TIME_SYSTEM] = stat[CPUTIME_SYSTEM];
	times[VIGIL_CPU_TIME_SOFTIRQ] = stat[CPUTIME_SOFTIRQ];
	times[VIGIL_CPU_TIME_HARDIRQ] = stat[CPUTIME_IRQ];
	times[VIGIL_CPU_TIME_IDLE] = stat[CPUTIME_IDLE];
	times[VIGIL_CPU_TIME_OTHER] = stat[CPUTIME_USER] + stat[CPUTIME_NICE] +
				      stat[CPUTIME_STEAL];
}

/* Out of line: the compiler would clear the struct for every CPU. */
static noinline void fetch_times(unsigned int cpu,
				 unsigned long long times[VIGIL_NR_CPU_TIMES])
{
	struct kernel_cpustat stat;

	kcpustat_cpu_fetch(&stat, cpu);
	copy_times(times, stat.cpustat);
}

/**
 * vigil_cpu_times() - read what a CPU has spent its time on, in nanoseconds
 * @cpu: a possible CPU
 * @times: set to the time of each enum vigil_cpu_time. The kernel counts them by
 *	the tick, unless it was built with IRQ_TIME_ACCOUNTING.
 *
 * kcpustat_cpu_fetch() adds what a CPU without a tick has not counted yet. Only a
 * CPU of nohz_full= needs that, which counts nothing as long as it stays in the
 * kernel. An idle one would read the clock twice for it: so its idle time is not all
 * counted here.
 *
 * Context: any but NMI.
 */
void vigil_cpu_times(unsigned int cpu, unsigned long long times[VIGIL_NR_CPU_TIMES])
{
	if (IS_ENABLED(CONFIG_VIRT_CPU_ACCOUNTING_GEN) && vtime_accounting_enabled_cpu(cpu))
		fetch_times(cpu, times);
	else
		copy_times(times, kcpustat_cpu(cpu).cpustat);
}
