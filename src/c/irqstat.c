// SPDX-License-Identifier: GPL-2.0
/*
 * The interrupt counts of one CPU, as /proc/interrupts shows them, read in a hard
 * interrupt. Counts wrap.
 */
#include <linux/cleanup.h>
#include <linux/hardirq.h>
#include <linux/interrupt.h>
#include <linux/irq.h>
#include <linux/irqdesc.h>
#include <linux/irqnr.h>
#include <linux/kernel_stat.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/spinlock.h>
#include <linux/string.h>

#include "vigil.h"

/**
 * vigil_irqs_sum() - count the numbered interrupts that a CPU has taken
 * @cpu: a possible CPU
 *
 * Context: any, NMI included.
 */
unsigned long vigil_irqs_sum(unsigned int cpu)
{
	return READ_ONCE(kstat_cpu(cpu).irqs_sum);
}

/* The caller holds rcu_read_lock(): descriptors are freed by RCU. */
static struct irq_desc *desc_of(unsigned int irq)
{
	struct irq_data *data = irq_get_irq_data(irq);

	return data ? irq_data_to_desc(data) : NULL;
}

/**
 * vigil_irq_count() - count how often a CPU has taken an interrupt
 * @irq: its number
 * @cpu: a possible CPU
 *
 * Context: any but NMI.
 * Return: the count; 0 if there is no such interrupt.
 */
unsigned int vigil_irq_count(unsigned int irq, unsigned int cpu)
{
	struct irq_desc *desc;

	guard(rcu)();
	desc = desc_of(irq);
	return desc ? irq_desc_kstat_cpu(desc, cpu) : 0;
}

/**
 * vigil_irq_name() - get the name of the first handler of an interrupt
 * @irq: its number
 * @name: set to the name, or to an empty one: if the interrupt has no handler, and
 *	if another CPU holds the lock of its descriptor
 * @size: room in @name; the name is cut to fit, and ends with a NUL
 *
 * Context: interrupts off, not NMI.
 */
void vigil_irq_name(unsigned int irq, char *name, unsigned int size)
{
	struct irq_desc *desc;

	name[0] = '\0';
	guard(rcu)();
	desc = desc_of(irq);
	/* The lock keeps the action and its name. */
	if (!desc || !raw_spin_trylock(&desc->lock))
		return;
	if (desc->action && desc->action->name)
		strscpy(name, desc->action->name, size);
	raw_spin_unlock(&desc->lock);
}

/*
 * Interrupts without a number: IPIs, the local timer, and the like. On other
 * architectures than x86 they have numbers. Left out is what counts another one's
 * part (TLB is a part of CAL), and what is no interrupt (retries, polls).
 */
struct local_irq {
	unsigned int index;
	const char *name;
};

static const struct local_irq local_irqs[] = {
#ifdef CONFIG_X86
	{ IRQ_COUNT_NMI, "NMI" },
#ifdef CONFIG_X86_LOCAL_APIC
	{ IRQ_COUNT_APIC_TIMER, "LOC, local timer" },
	{ IRQ_COUNT_SPURIOUS, "SPU, spurious" },
	{ IRQ_COUNT_APIC_PERF, "PMI, performance monitoring" },
	{ IRQ_COUNT_IRQ_WORK, "IWI, irq work" },
	{ IRQ_COUNT_X86_PLATFORM_IPI, "PLT, platform" },
#endif
#ifdef CONFIG_SMP
	{ IRQ_COUNT_RESCHEDULE, "RES, rescheduling" },
	{ IRQ_COUNT_CALL_FUNCTION, "CAL, function calls" },
#endif
#ifdef CONFIG_X86_THERMAL_VECTOR
	{ IRQ_COUNT_THERMAL_APIC, "TRM, thermal" },
#endif
#ifdef CONFIG_X86_MCE_THRESHOLD
	{ IRQ_COUNT_THRESHOLD_APIC, "THR, threshold" },
#endif
#ifdef CONFIG_X86_MCE_AMD
	{ IRQ_COUNT_DEFERRED_ERROR, "DFR, deferred errors" },
#endif
#ifdef CONFIG_X86_HV_CALLBACK_VECTOR
	{ IRQ_COUNT_HYPERVISOR_CALLBACK, "HYP, hypervisor callbacks" },
#endif
#if IS_ENABLED(CONFIG_HYPERV)
	{ IRQ_COUNT_HYPERV_STIMER0, "HVS, Hyper-V timer" },
#endif
#if IS_ENABLED(CONFIG_KVM)
	{ IRQ_COUNT_POSTED_INTR, "PIN, posted interrupts" },
	{ IRQ_COUNT_POSTED_INTR_WAKEUP, "PIW, wake-ups of virtual CPUs" },
#endif
#ifdef CONFIG_X86_POSTED_MSI
	{ IRQ_COUNT_POSTED_MSI_NOTIFICATION, "PMN, posted MSIs" },
#endif
#else
	/* C has no empty arrays. */
	{ 0, NULL },
#endif
};

/**
 * vigil_nr_local_irqs() - count the kinds of interrupts that have no number
 *
 * Context: any.
 */
unsigned int vigil_nr_local_irqs(void)
{
	return IS_ENABLED(CONFIG_X86) ? ARRAY_SIZE(local_irqs) : 0;
}

/**
 * vigil_local_irq_name() - get the name in /proc/interrupts, and what it means
 * @kind: below vigil_nr_local_irqs()
 *
 * Context: any.
 */
const char *vigil_local_irq_name(unsigned int kind)
{
	return local_irqs[kind].name;
}

/**
 * vigil_local_irq_count() - count how often a CPU has taken an interrupt of a kind
 * @kind: below vigil_nr_local_irqs()
 * @cpu: a possible CPU
 *
 * Context: any, NMI included.
 */
unsigned int vigil_local_irq_count(unsigned int kind, unsigned int cpu)
{
#ifdef CONFIG_X86
	return READ_ONCE(per_cpu(irq_stat, cpu).counts[local_irqs[kind].index]);
#else
	return 0;
#endif
}
