// SPDX-License-Identifier: GPL-2.0
/*
 * Stacks as addresses, and the clocks that are told with them: for the record
 * of incidents, which is written where nothing may be waited for.
 */
#include <linux/kexec.h>
#include <linux/kprobes.h>
#include <linux/minmax.h>
#include <linux/percpu.h>
#include <linux/ptrace.h>
#include <linux/sched.h>
#include <linux/sched/clock.h>
#include <linux/stacktrace.h>
#include <linux/string.h>
#include <linux/timekeeping.h>

#include <asm/irq_regs.h>

#include "vigil.h"

/* What an interrupt adds on top of the stack that it has interrupted. */
#define INTERRUPT_DEPTH	40

/**
 * vigil_log_clock() - nanoseconds on the clock that stamps the log
 *
 * Context: any.
 */
unsigned long long vigil_log_clock(void)
{
	return local_clock();
}

/**
 * vigil_wall_clock() - nanoseconds since 1970
 *
 * Context: any.
 */
unsigned long long vigil_wall_clock(void)
{
	return ktime_get_real_fast_ns();
}

/**
 * vigil_crash_kernel_loaded() - whether a panic would start a crash kernel
 *
 * Context: any.
 */
int vigil_crash_kernel_loaded(void)
{
	return kexec_crash_loaded();
}

/**
 * vigil_stack_of() - the stack of a task that sleeps
 * @task: the task
 * @stack: set to addresses, innermost first
 * @size: how many fit
 *
 * Context: any.
 * Return: how many there are in @stack.
 */
unsigned int vigil_stack_of(struct task_struct *task, unsigned long *stack, unsigned int size)
{
#ifdef CONFIG_STACKTRACE
	return stack_trace_save_tsk(task, stack, size, 0);
#else
	return 0;
#endif
}

/*
 * The stack below the place that @regs show. The unwinder begins here, above
 * the interrupt, and passes through that place on its way down. Where it does
 * not, the place is all that is known.
 */
static unsigned int stack_below(struct pt_regs *regs, unsigned long *stack, unsigned int size)
{
#ifdef CONFIG_STACKTRACE
	unsigned long whole[INTERRUPT_DEPTH + VIGIL_STACK];
	unsigned int from, n;

	if (!regs || !size)
		return 0;
	/* Below a program's own code there is nothing of the kernel's. */
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

/**
 * vigil_stack_interrupted() - the stack that the running interrupt has
 *	interrupted
 * @stack: set to addresses, innermost first
 * @size: how many fit
 *
 * Context: hard interrupt.
 * Return: how many there are in @stack.
 */
unsigned int vigil_stack_interrupted(unsigned long *stack, unsigned int size)
{
	return stack_below(get_irq_regs(), stack, size);
}

/**
 * vigil_stack_print() - print a stack
 *
 * Context: any in which a lot may be printed.
 */
void vigil_stack_print(const unsigned long *stack, unsigned int depth)
{
#ifdef CONFIG_STACKTRACE
	stack_trace_print(stack, depth, 1);
#endif
}

/* What each CPU was at when it was last asked by NMI. */
static DEFINE_PER_CPU(struct vigil_snapshot, snapshots);

/**
 * vigil_snapshot_take() - keep what this CPU is at
 *
 * Context: the NMI that has found @regs.
 */
void vigil_snapshot_take(struct pt_regs *regs)
{
	struct vigil_snapshot *snapshot = this_cpu_ptr(&snapshots);

	snapshot->pid = current->pid;
	memcpy(snapshot->comm, current->comm, sizeof(snapshot->comm));
	snapshot->depth = stack_below(regs, snapshot->stack, VIGIL_STACK);
}
NOKPROBE_SYMBOL(vigil_snapshot_take);

/**
 * vigil_snapshot_read() - what a CPU was at when it was last asked by NMI
 *
 * It may be asked again meanwhile; at worst the two mix.
 *
 * Context: any; @cpu has to be possible.
 */
void vigil_snapshot_read(unsigned int cpu, struct vigil_snapshot *snapshot)
{
	*snapshot = *per_cpu_ptr(&snapshots, cpu);
	snapshot->depth = min(snapshot->depth, VIGIL_STACK);
}
