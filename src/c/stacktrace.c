// SPDX-License-Identifier: GPL-2.0
/*
 * Stacks: saved as addresses, and printed by the CPU that they are on.
 */
#include <linux/cpumask.h>
#include <linux/kprobes.h>
#include <linux/minmax.h>
#include <linux/nmi.h>
#include <linux/ptrace.h>
#include <linux/sched/debug.h>
#include <linux/stacktrace.h>
#include <linux/static_call.h>
#include <linux/string.h>

#include <asm/irq_regs.h>
#ifdef CONFIG_ARM64
#include <asm/cpufeature.h>
#endif

#include "internal.h"
#include "vigil.h"

DEFINE_STATIC_CALL_NULL(vigil_show_regs, show_regs);
DEFINE_STATIC_CALL_NULL(vigil_trigger_backtrace, arch_trigger_cpumask_backtrace);

void vigil_bind_show_regs(void *entry)
{
	static_call_update(vigil_show_regs, entry);
}

void vigil_bind_trigger_backtrace(void *entry)
{
	static_call_update(vigil_trigger_backtrace, entry);
}

/* Addresses that an interrupt puts on top of the stack that it interrupts. */
#define INTERRUPT_DEPTH	40

/**
 * vigil_stack_save_regs() - save the stack that an interrupt interrupted
 * @regs: the registers that the running interrupt found, or NULL
 * @stack: set to the addresses, innermost first
 * @size: how many fit
 *
 * The unwinder begins at the interrupt's own stack and passes the interrupted
 * place on its way down. If it does not get that far, only the place is saved; so
 * it is if that is user code.
 *
 * Context: the interrupt or NMI that found @regs.
 * Return: how many addresses are in @stack.
 */
unsigned int vigil_stack_save_regs(struct pt_regs *regs, unsigned long *stack, unsigned int size)
{
#ifdef CONFIG_STACKTRACE
	unsigned long whole[INTERRUPT_DEPTH + VIGIL_STACK_DEPTH];
	unsigned int from, n;

	if (!regs || !size)
		return 0;
	n = user_mode(regs) ? 0 : stack_trace_save(whole, ARRAY_SIZE(whole), 0);
	for (from = 0; from < n; from++) {
		if (whole[from] == instruction_pointer(regs))
			break;
	}
	if (from == n) {
		stack[0] = instruction_pointer(regs);
		return 1;
	}
	n = min(n - from, size);
	memcpy(stack, whole + from, n * sizeof(*stack));
	return n;
#else
	return 0;
#endif
}
NOKPROBE_SYMBOL(vigil_stack_save_regs);

/**
 * vigil_stack_save_interrupted() - save the stack that this interrupt interrupted
 * @stack: set to the addresses, innermost first
 * @size: how many fit
 *
 * Context: hard interrupt.
 * Return: how many addresses are in @stack.
 */
unsigned int vigil_stack_save_interrupted(unsigned long *stack, unsigned int size)
{
	return vigil_stack_save_regs(get_irq_regs(), stack, size);
}

/**
 * vigil_show_regs() - print registers, and on x86 the stack that they point to
 * @regs: the registers
 *
 * Context: any, NMI included; prints a lot.
 */
void vigil_show_regs(struct pt_regs *regs)
{
	static_call_cond(vigil_show_regs)(regs);
}

/**
 * vigil_backtrace_cpu() - have a CPU print its registers and stack, by NMI
 * @cpu: a possible CPU
 *
 * Waits up to ten seconds for the CPU.
 *
 * Context: any, NMI included.
 */
void vigil_backtrace_cpu(unsigned int cpu)
{
	static_call_cond(vigil_trigger_backtrace)(cpumask_of(cpu), -1);
}

/**
 * vigil_backtrace_others() - have all online CPUs but one print registers and stack
 * @cpu: the one that is left out
 *
 * As vigil_backtrace_cpu().
 */
void vigil_backtrace_others(unsigned int cpu)
{
	static_call_cond(vigil_trigger_backtrace)(cpu_online_mask, cpu);
}

/**
 * vigil_backtrace_is_nmi() - tell whether vigil_backtrace_cpu() reaches a CPU with
 *	interrupts off on an architecture where vigil_nmi_send() cannot
 *
 * arm64 sends the kernel's own backtrace request as a pseudo-NMI, if it has those:
 * ipi_should_be_nmi().
 *
 * Context: any, NMI included.
 */
int vigil_backtrace_is_nmi(void)
{
#ifdef CONFIG_ARM64
	return system_uses_irq_prio_masking();
#else
	return 0;
#endif
}
