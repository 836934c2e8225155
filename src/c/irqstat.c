// SPDX-License-Identifier: GPL-2.0
/*
 * How often which interrupt came. The kernel counts that anyway, for
 * /proc/interrupts; here it is read where that file cannot be: in a hard
 * interrupt, of one CPU. Counts wrap.
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
 * vigil_nr_irqs() - one more than the highest number of an interrupt, today
 */
unsigned int vigil_nr_irqs(void)
{
	return irq_get_nr_irqs();
}

/**
 * vigil_irqs_sum() - how many interrupts with a number a CPU has taken
 */
unsigned long vigil_irqs_sum(unsigned int cpu)
{
	return READ_ONCE(kstat_cpu(cpu).irqs_sum);
}

/* Caller holds rcu_read_lock(): descriptors are freed by RCU. */
static struct irq_desc *desc_of(unsigned int irq)
{
	struct irq_data *data = irq_get_irq_data(irq);

	return data ? irq_data_to_desc(data) : NULL;
}

/**
 * vigil_irq_count() - how often a CPU has taken the interrupt @irq
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
 * vigil_irq_name() - who handles the interrupt @irq
 * @irq: its number
 * @name: room for the name
 * @size: how much; the name is cut short to fit, and ends with a NUL
 *
 * Does without the name where somebody else is at the descriptor.
 *
 * Context: interrupts off, not NMI.
 */
void vigil_irq_name(unsigned int irq, char *name, unsigned int size)
{
	struct irq_desc *desc;

	name[0] = '\0';
	guard(rcu)();
	desc = desc_of(irq);
	/* The action and its name stay for as long as the lock is held. */
	if (!desc || !raw_spin_trylock(&desc->lock))
		return;
	if (desc->action && desc->action->name)
		strscpy(name, desc->action->name, size);
	raw_spin_unlock(&desc->lock);
}

/*
 * Interrupts without a number: those between CPUs and of the CPU's own timer.
 * Elsewhere than on x86 they have numbers. What is counted besides another one
 * (TLB comes with CAL), or is no interrupt (retries, polls), is left out.
 */
struct local {
	unsigned int which;
	const char *name;
};

static const struct local locals[] = {
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
	/* An array of nothing is none. */
	{ 0, NULL },
#endif
};

/**
 * vigil_local_irqs() - how many kinds of interrupts have no number
 */
unsigned int vigil_local_irqs(void)
{
	return IS_ENABLED(CONFIG_X86) ? ARRAY_SIZE(locals) : 0;
}

/**
 * vigil_local_irq_name() - what /proc/interrupts calls one, and what it is
 * @kind: below vigil_local_irqs()
 */
const char *vigil_local_irq_name(unsigned int kind)
{
	return locals[kind].name;
}

/**
 * vigil_local_irq_count() - how often a CPU has taken one
 * @kind: below vigil_local_irqs()
 * @cpu: the CPU
 */
unsigned int vigil_local_irq_count(unsigned int kind, unsigned int cpu)
{
#ifdef CONFIG_X86
	return READ_ONCE(per_cpu(irq_stat, cpu).counts[locals[kind].which]);
#else
	return 0;
#endif
}
