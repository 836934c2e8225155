// SPDX-License-Identifier: GPL-2.0
/*
 * Stacks: saved as addresses, and printed.
 *
 * The kernel's own functions are not used to print the stack of a CPU on x86:
 * for each line they touch the watchdogs of the CPU that prints, which is the
 * stuck one (printk_stack_address()). The in-tree detectors would wait for
 * another threshold, again and again. Besides, the stuck CPU would wait for
 * printk_cpu_sync in its NMI.
 */
#include <linux/cpumask.h>
#include <linux/cred.h>
#include <linux/kallsyms.h>
#include <linux/kexec.h>
#include <linux/kprobes.h>
#include <linux/minmax.h>
#include <linux/nmi.h>
#include <linux/panic.h>
#include <linux/preempt.h>
#include <linux/printk.h>
#include <linux/ptrace.h>
#include <linux/sched.h>
#include <linux/sched/debug.h>
#include <linux/sprintf.h>
#include <linux/stacktrace.h>
#include <linux/static_call.h>
#include <linux/string.h>

#include <asm/irq_regs.h>
#ifdef CONFIG_ARM64
#include <asm/cpufeature.h>
#endif
#ifdef CONFIG_X86
#include <asm/kdebug.h>
#endif

#include "internal.h"
#include "vigil.h"

#ifdef CONFIG_X86
DEFINE_STATIC_CALL_NULL(vigil_show_regs, __show_regs);
#else
DEFINE_STATIC_CALL_NULL(vigil_show_regs, show_regs);
#endif
DEFINE_STATIC_CALL_NULL(vigil_dump_stack_print_info, dump_stack_print_info);
DEFINE_STATIC_CALL_NULL(vigil_trigger_backtrace, arch_trigger_cpumask_backtrace);

void vigil_bind_show_regs(void *entry)
{
	static_call_update(vigil_show_regs, entry);
}

void vigil_bind_dump_stack_print_info(void *entry)
{
	static_call_update(vigil_dump_stack_print_info, entry);
}

void vigil_bind_trigger_backtrace(void *entry)
{
	static_call_update(vigil_trigger_backtrace, entry);
}

/* Addresses that an interrupt puts on top of the stack that it interrupts. */
#define INTERRUPT_DEPTH	40

/*
 * Save the stack that an interrupt interrupted; @regs are the registers that the
 * running interrupt or NMI found, or NULL. Return how many addresses are in
 * @stack, innermost first.
 *
 * The unwinder begins at the interrupt's own stack and passes the interrupted
 * place on its way down. If it does not get that far, only the place is saved; so
 * it is if that is user code.
 */
static unsigned int save_regs(struct pt_regs *regs, unsigned long *stack, unsigned int size)
{
#ifdef CONFIG_STACKTRACE
	unsigned long whole[INTERRUPT_DEPTH + VIGIL_SNAPSHOT_DEPTH];
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
NOKPROBE_SYMBOL(save_regs);

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
	return save_regs(get_irq_regs(), stack, size);
}

static bool is_of(unsigned long address, const char *function)
{
	char name[KSYM_SYMBOL_LEN];

	sprint_symbol_no_offset(name, address);
	return !strcmp(name, function);
}

/**
 * vigil_interrupted_is_in() - tell whether this interrupt interrupted a function of
 *	the kernel, or what that has called
 * @function: its name
 *
 * Context: hard interrupt; takes no lock, and searches the symbol table for each
 * address of the stack.
 */
int vigil_interrupted_is_in(const char *function)
{
	struct pt_regs *regs = get_irq_regs();
	unsigned long stack[VIGIL_STACK_DEPTH];
	unsigned int i, n;

	n = save_regs(regs, stack, ARRAY_SIZE(stack));
	for (i = 0; i < n; i++) {
		/* A return address may be behind the end of the function. */
		if (is_of(stack[i] - (i ? 1 : 0), function))
			return 1;
	}
#ifdef CONFIG_ARM64
	/* The caller of a function that calls none has no other trace. */
	if (regs && is_of(regs->regs[30] - 1, function))
		return 1;
#endif
	return 0;
}

/* The kernel's code for idle CPUs; empty if it is not known where that is. */
static unsigned long cpuidle_text_start, cpuidle_text_end;

/**
 * vigil_set_cpuidle_text() - say where the kernel's code for idle CPUs is
 * @start: __cpuidle_text_start, or 0
 * @end: __cpuidle_text_end
 *
 * Context: at load, before any CPU state is saved.
 */
void vigil_set_cpuidle_text(unsigned long start, unsigned long end)
{
	cpuidle_text_start = start;
	cpuidle_text_end = end;
}

/* cpu_in_idle(): with MWAIT interrupts are off meanwhile. */
static bool in_cpuidle_text(struct pt_regs *regs)
{
	return instruction_pointer(regs) >= cpuidle_text_start &&
	       instruction_pointer(regs) < cpuidle_text_end;
}
NOKPROBE_SYMBOL(in_cpuidle_text);

/*
 * In which context the interrupt or NMI that is running came, which found @regs.
 *
 * On kernels that count NMIs by one bit (7.3 without a preemption count) an NMI
 * in an exception that is itself entered as one looks like an interrupt.
 */
static enum vigil_cpu_context interrupted_context(struct pt_regs *regs)
{
	unsigned int count = preempt_count();

	/* nmi_enter() and irq_enter() add these for the running one. */
	count -= in_nmi() ? NMI_OFFSET + HARDIRQ_OFFSET : HARDIRQ_OFFSET;
#ifdef CONFIG_ARM64
	/* A pseudo-NMI that finds interrupts on is entered as an interrupt first. */
	if (in_nmi() && regs && !regs_irqs_disabled(regs))
		count -= HARDIRQ_OFFSET;
#endif
	if (count & NMI_MASK)
		return VIGIL_IN_NMI;
	if (count & HARDIRQ_MASK)
		return VIGIL_IN_HARDIRQ;
	/* With PREEMPT_RT softirqs run in threads, and are not counted here. */
	if (count & SOFTIRQ_OFFSET)
		return VIGIL_IN_SOFTIRQ;
	return current->pid ? VIGIL_IN_TASK : VIGIL_IN_IDLE;
}
NOKPROBE_SYMBOL(interrupted_context);

/**
 * vigil_interrupted_context() - tell in which context the running interrupt came
 *
 * Context: hard interrupt.
 * Return: enum vigil_cpu_context.
 */
unsigned int vigil_interrupted_context(void)
{
	return interrupted_context(get_irq_regs());
}

/* Copy registers that may have an address, the one of the first argument first. */
static void save_wait_regs(struct pt_regs *regs, unsigned long to[VIGIL_WAIT_REGS])
{
#ifdef CONFIG_X86_64
	const unsigned long from[VIGIL_WAIT_REGS] = {
		regs->di, regs->si, regs->ax, regs->bx, regs->cx, regs->dx, regs->bp, regs->r8,
		regs->r9, regs->r10, regs->r11, regs->r12, regs->r13, regs->r14, regs->r15,
	};
#elif defined(CONFIG_ARM64)
	const unsigned long from[VIGIL_WAIT_REGS] = {
		regs->regs[0], regs->regs[1], regs->regs[2], regs->regs[3], regs->regs[4],
		regs->regs[19], regs->regs[20], regs->regs[21], regs->regs[22], regs->regs[23],
		regs->regs[24], regs->regs[25], regs->regs[26], regs->regs[27], regs->regs[28],
	};
#else
	const unsigned long from[VIGIL_WAIT_REGS] = {};
#endif

	memcpy(to, from, sizeof(from));
}
NOKPROBE_SYMBOL(save_wait_regs);

/**
 * vigil_interrupted_wait_regs() - get the registers that this interrupt found and that
 *	may have the address of what the CPU waits for
 * @regs: set to them, to 0 if none are known
 *
 * Context: hard interrupt.
 */
void vigil_interrupted_wait_regs(unsigned long regs[VIGIL_WAIT_REGS])
{
	struct pt_regs *interrupted = get_irq_regs();

	if (interrupted)
		save_wait_regs(interrupted, regs);
	else
		memset(regs, 0, VIGIL_WAIT_REGS * sizeof(*regs));
}

/**
 * vigil_cpu_state_save() - save what this CPU was running
 * @state: where to
 * @regs: the registers that the running interrupt or NMI found
 *
 * Context: that interrupt or NMI.
 */
void vigil_cpu_state_save(struct vigil_cpu_state *state, struct pt_regs *regs)
{
	struct vigil_nmi_snapshot *snapshot = &state->snapshot;

	snapshot->pid = current->pid;
	memcpy(snapshot->comm, current->comm, sizeof(snapshot->comm));
	snapshot->uid = __kuid_val(current_real_cred()->euid);
	snapshot->cpu = raw_smp_processor_id();
	snapshot->irqs_on = !regs_irqs_disabled(regs);
	/* In an interrupt they are off; a softirq is counted. */
	snapshot->idle = !current->pid && !softirq_count() &&
			 (snapshot->irqs_on || in_cpuidle_text(regs));
	snapshot->context = interrupted_context(regs);
	save_wait_regs(regs, snapshot->regs);
	snapshot->depth = save_regs(regs, snapshot->stack, VIGIL_SNAPSHOT_DEPTH);
#ifdef CONFIG_X86
	state->regs = *regs;
#endif
}
NOKPROBE_SYMBOL(vigil_cpu_state_save);

/* dump_stack_print_info(), of another CPU too. */
static void print_info(const struct vigil_nmi_snapshot *snapshot)
{
	const char *tainted = vigil_print_tainted();
	const char *version = vigil_version();

	pr_warn("CPU: %u UID: %u PID: %d Comm: %.16s %s%s %s %.*s%s\n",
		snapshot->cpu, snapshot->uid, snapshot->pid, snapshot->comm,
		kexec_crash_loaded() ? "Kdump: loaded " : "",
		tainted ? tainted : "Taint unknown", vigil_release(),
		(int)strcspn(version, " "), version, vigil_package_id());
}

#ifdef CONFIG_X86

/**
 * vigil_cpu_state_show() - print registers and stack of a CPU, as show_regs() does
 * @state: what it was running
 *
 * Of another CPU the control registers are left out.
 *
 * Context: any, NMI included; prints a lot. Takes no lock but those of printk().
 * Return: 1; 0 on an architecture where nothing is printed.
 */
int vigil_cpu_state_show(struct vigil_cpu_state *state)
{
	const struct vigil_nmi_snapshot *snapshot = &state->snapshot;
	bool own = snapshot->cpu == raw_smp_processor_id();
	unsigned int i;

	if (own && static_call_query(vigil_dump_stack_print_info))
		static_call_cond(vigil_dump_stack_print_info)(KERN_DEFAULT);
	else
		print_info(snapshot);
	if (static_call_query(vigil_show_regs))
		static_call_cond(vigil_show_regs)(&state->regs,
						  !own ? SHOW_REGS_SHORT :
						  user_mode(&state->regs) ? SHOW_REGS_USER :
						  SHOW_REGS_ALL, KERN_DEFAULT);
	else
		pr_warn("RIP: %04lx:%pS\n", (unsigned long)state->regs.cs,
			(void *)instruction_pointer(&state->regs));
	if (user_mode(&state->regs))
		return 1;
	pr_warn("Call Trace:\n");
	pr_warn(" <TASK>\n");
	/* The first is the one that the registers show. */
	for (i = 1; i < min(snapshot->depth, VIGIL_SNAPSHOT_DEPTH); i++)
		pr_warn(" %pBb\n", (void *)snapshot->stack[i]);
	if (snapshot->depth == VIGIL_SNAPSHOT_DEPTH)
		pr_warn(" ...\n");
	pr_warn(" </TASK>\n");
	return 1;
}

#else

int vigil_cpu_state_show(struct vigil_cpu_state *state)
{
	return 0;
}

#endif

/**
 * vigil_show_interrupted() - print what the running interrupt interrupted
 * @regs: the registers that the interrupt or NMI found
 *
 * Context: that interrupt or NMI; prints a lot.
 */
void vigil_show_interrupted(struct pt_regs *regs)
{
#ifdef CONFIG_X86
	struct vigil_cpu_state state;

	vigil_cpu_state_save(&state, regs);
	vigil_cpu_state_show(&state);
#else
	struct vigil_cpu_state state;
	unsigned int i;

	/* Touches nothing there. */
	if (static_call_query(vigil_show_regs)) {
		static_call_cond(vigil_show_regs)(regs);
		return;
	}
	/* Not dump_stack(), which waits for printk_cpu_sync without end. */
	vigil_cpu_state_save(&state, regs);
	print_info(&state.snapshot);
	pr_warn("Call trace:\n");
	for (i = 0; i < state.snapshot.depth; i++)
		pr_warn(" %pS\n", (void *)state.snapshot.stack[i]);
#endif
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
