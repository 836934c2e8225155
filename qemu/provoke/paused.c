// SPDX-License-Identifier: GPL-2.0
/*
 * The flag by which KVM tells a guest that it was stopped, for guests that have
 * no KVM: the file "guest_paused". A CPU's number written to it sets the flag of
 * that CPU; it reads as the CPUs whose flag is set, a bit each.
 *
 * Where kvmclock is not in use each CPU gets a clock that nobody but the readers
 * of this flag looks at, the kernel's own soft-lockup detector among them, which
 * clears it.
 */
#include <linux/cpumask.h>
#include <linux/debugfs.h>
#include <linux/errno.h>
#include <linux/kconfig.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>

#include "prov.h"

#ifdef CONFIG_KVM_GUEST
#include <asm/pvclock.h>
/* Needs the other one, and does not include it. */
#include <asm/kvmclock.h>

static DEFINE_MUTEX(paused_lock);
static DEFINE_PER_CPU(struct pvclock_vsyscall_time_info, paused_clock);
static bool paused_lent;

static void paused_lend(void)
{
	unsigned int cpu;

	if (paused_lent || per_cpu(hv_clock_per_cpu, 0))
		return;
	for_each_possible_cpu(cpu)
		WRITE_ONCE(per_cpu(hv_clock_per_cpu, cpu), per_cpu_ptr(&paused_clock, cpu));
	paused_lent = true;
}

static int paused_set(void *data, u64 cpu)
{
	struct pvclock_vsyscall_time_info *clock;

	if (cpu >= nr_cpu_ids || !cpu_possible(cpu))
		return -ENXIO;
	guard(mutex)(&paused_lock);
	paused_lend();
	clock = per_cpu(hv_clock_per_cpu, cpu);
	WRITE_ONCE(clock->pvti.flags, clock->pvti.flags | PVCLOCK_GUEST_STOPPED);
	return 0;
}

static int paused_get(void *data, u64 *cpus)
{
	struct pvclock_vsyscall_time_info *clock;
	unsigned int cpu;

	guard(mutex)(&paused_lock);
	*cpus = 0;
	for_each_possible_cpu(cpu) {
		clock = per_cpu(hv_clock_per_cpu, cpu);
		if (cpu < 64 && clock && READ_ONCE(clock->pvti.flags) & PVCLOCK_GUEST_STOPPED)
			*cpus |= BIT_ULL(cpu);
	}
	return 0;
}

DEFINE_DEBUGFS_ATTRIBUTE(paused_fops, paused_get, paused_set, "0x%llx\n");

void prov_paused_init(struct dentry *dir)
{
	debugfs_create_file("guest_paused", 0600, dir, NULL, &paused_fops);
}

/* The file is gone. */
void prov_paused_exit(void)
{
	unsigned int cpu;

	if (!paused_lent)
		return;
	for_each_possible_cpu(cpu)
		WRITE_ONCE(per_cpu(hv_clock_per_cpu, cpu), NULL);
	/* Those who look at it do so with interrupts off. */
	synchronize_rcu();
}
#else
void prov_paused_init(struct dentry *dir)
{
}

void prov_paused_exit(void)
{
}
#endif
