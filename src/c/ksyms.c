// SPDX-License-Identifier: GPL-2.0
/*
 * Functions of the kernel that it does not export.
 *
 * objtool seals functions whose address nobody takes: on a CPU that enforces
 * IBT an indirect call to them faults, and kCFI would refuse one anywhere. A
 * static call is a direct jump that the kernel patches in, so neither applies.
 * It is declared from the header's own prototype, so a kernel that changes the
 * prototype fails to build instead of being called wrongly.
 *
 * Where an architecture has no static calls they are calls through a pointer, and
 * nothing seals functions there. kCFI alone would be in the way: no arm64 kernel has
 * it without static calls, but if one did, nothing is bound.
 *
 * The address comes from a kprobe registered disabled: nothing gets armed, no
 * instruction is touched. Binding sleeps and is done before anything runs.
 */
#include <linux/atomic.h>
#include <linux/cleanup.h>
#include <linux/kallsyms.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/nmi.h>
#include <linux/panic.h>
#include <linux/percpu.h>
#include <linux/sched/debug.h>
#include <linux/slab.h>
#include <linux/static_call.h>
#include <linux/stop_machine.h>
#include <linux/string.h>
#include <linux/sys_info.h>
#include <linux/workqueue.h>
#include <trace/events/sched.h>
#ifdef CONFIG_ARM64
#include <asm/cpufeature.h>
#endif

#include "vigil.h"

DEFINE_STATIC_CALL_RET0(vigil_kallsyms, kallsyms_lookup_name);
DEFINE_STATIC_CALL_RET0(vigil_tainted, print_tainted);
DEFINE_STATIC_CALL_NULL(vigil_info, sys_info);
#ifdef CONFIG_DETECT_HUNG_TASK
DEFINE_STATIC_CALL_RET0(vigil_hang, __traceiter_sched_process_hang);
#endif
DEFINE_STATIC_CALL_NULL(vigil_stopper, stop_one_cpu_nowait);
DEFINE_STATIC_CALL_NULL(vigil_regs, show_regs);
DEFINE_STATIC_CALL_NULL(vigil_modules, print_modules);
DEFINE_STATIC_CALL_NULL(vigil_backtrace, arch_trigger_cpumask_backtrace);

/* A stopper takes its work from where the caller keeps it. */
static DEFINE_PER_CPU(struct cpu_stop_work, stop_work);

static const char * const call_names[VIGIL_CALLS] = {
	[VIGIL_CALL_KALLSYMS]		= "kallsyms_lookup_name",
	[VIGIL_CALL_PRINT_TAINTED]	= "print_tainted",
	[VIGIL_CALL_SYS_INFO]		= "sys_info",
	[VIGIL_CALL_TRACE_HANG]		= "__traceiter_sched_process_hang",
	[VIGIL_CALL_STOPPER]		= "stop_one_cpu_nowait",
	[VIGIL_CALL_SHOW_REGS]		= "show_regs",
	[VIGIL_CALL_PRINT_MODULES]	= "print_modules",
	[VIGIL_CALL_BACKTRACE]		= "arch_trigger_cpumask_backtrace",
};

/**
 * vigil_call_name() - name of the function behind @call
 */
const char *vigil_call_name(enum vigil_call call)
{
	return call_names[call];
}

/* Entries of the functions; NULL where there is none to call. */
static void *entries[VIGIL_CALLS];

/*
 * Entry of the function that @kp, which is registered, was registered for, or
 * NULL.
 *
 * The kprobe's address lies behind an ENDBR where there is one; the entry is
 * in front of it. That the address really belongs to the function is asked of
 * the symbol table, not assumed. @text has room for KSYM_SYMBOL_LEN.
 */
static void *entry_of(const struct kprobe *kp, char *text)
{
	size_t len = strlen(kp->symbol_name);
	unsigned long addr = (unsigned long)kp->addr, offset;

	/* "name+0x4/0x30" */
	sprint_symbol(text, addr);
	if (strncmp(text, kp->symbol_name, len) ||
	    sscanf(text + len, "+0x%lx/", &offset) != 1 || offset > 4)
		return NULL;
	return (void *)(addr - offset);
}

/**
 * vigil_calls_find() - find out where the functions are
 *
 * All at once, since each end of a registration waits for a grace period.
 *
 * Context: may sleep; before vigil_call_bind().
 */
void vigil_calls_find(void)
{
	struct kprobe *probes __free(kfree) = kcalloc(VIGIL_CALLS, sizeof(*probes), GFP_KERNEL);
	char *text __free(kfree) = kmalloc(KSYM_SYMBOL_LEN, GFP_KERNEL);
	struct kprobe *registered[VIGIL_CALLS];
	int call, n = 0;

	if (!probes || !text)
		return;
	for (call = 0; call < VIGIL_CALLS; call++) {
		struct kprobe *kp = &probes[call];

		kp->symbol_name = call_names[call];
		kp->flags = KPROBE_FLAG_DISABLED;
		if (register_kprobe(kp))
			continue;
		entries[call] = entry_of(kp, text);
		registered[n++] = kp;
	}
	unregister_kprobes(registered, n);
}

/**
 * vigil_call_bind() - make the function behind @call callable
 *
 * Context: may sleep; after vigil_calls_find(), before the first user of @call.
 * Return: 0, or -ENOENT if the kernel has no such function to call.
 */
int vigil_call_bind(enum vigil_call call)
{
	void *entry = entries[call];

	if (!entry || (IS_ENABLED(CONFIG_CFI) && !IS_ENABLED(CONFIG_HAVE_STATIC_CALL)))
		return -ENOENT;
	switch (call) {
	case VIGIL_CALL_KALLSYMS:
		static_call_update(vigil_kallsyms, entry);
		return 0;
	case VIGIL_CALL_PRINT_TAINTED:
		static_call_update(vigil_tainted, entry);
		return 0;
	case VIGIL_CALL_SYS_INFO:
		static_call_update(vigil_info, entry);
		return 0;
	case VIGIL_CALL_TRACE_HANG:
#ifdef CONFIG_DETECT_HUNG_TASK
		static_call_update(vigil_hang, entry);
		return 0;
#else
		break;
#endif
	case VIGIL_CALL_STOPPER:
		static_call_update(vigil_stopper, entry);
		return 0;
	case VIGIL_CALL_SHOW_REGS:
		static_call_update(vigil_regs, entry);
		return 0;
	case VIGIL_CALL_PRINT_MODULES:
		static_call_update(vigil_modules, entry);
		return 0;
	case VIGIL_CALL_BACKTRACE:
		static_call_update(vigil_backtrace, entry);
		return 0;
	case VIGIL_CALLS:
		break;
	}
	return -ENOENT;
}

/**
 * vigil_kallsyms_lookup_name() - address of a symbol of the kernel, or 0
 */
unsigned long vigil_kallsyms_lookup_name(const char *name)
{
	return static_call(vigil_kallsyms)(name);
}

/**
 * vigil_print_tainted() - the kernel's own words on its taint, or NULL
 */
const char *vigil_print_tainted(void)
{
	return static_call(vigil_tainted)();
}

/**
 * vigil_sys_info() - show the parts of the system's state in @mask
 */
void vigil_sys_info(unsigned long mask)
{
	static_call_cond(vigil_info)(mask);
}

static atomic_long_t info_wanted = ATOMIC_LONG_INIT(0);
static atomic_t info_asked = ATOMIC_INIT(0);
static atomic_t info_shown = ATOMIC_INIT(0);

static void show_info(struct work_struct *work)
{
	int asked = atomic_read_acquire(&info_asked);
	unsigned long mask;

	mask = atomic_long_xchg(&info_wanted, 0);
	/* The run before may have taken it; 0 means what a sysctl names. */
	if (mask)
		vigil_sys_info(mask);
	atomic_set_release(&info_shown, asked);
}

static DECLARE_WORK(info_work, show_info);

/**
 * vigil_sys_info_later() - the same, soon, by a thread
 *
 * What it shows takes locks that sleep on some kernels, and that a CPU which
 * is stuck may hold.
 *
 * Context: any but NMI.
 */
void vigil_sys_info_later(unsigned long mask)
{
	atomic_long_or(mask, &info_wanted);
	atomic_inc_return_release(&info_asked);
	queue_work(system_dfl_wq, &info_work);
}

/**
 * vigil_sys_info_shown() - whether all has been shown that was asked for
 *
 * Context: any; takes no lock.
 */
int vigil_sys_info_shown(void)
{
	return atomic_read_acquire(&info_shown) == atomic_read(&info_asked);
}

/**
 * vigil_sys_info_finish() - nothing of vigil_sys_info_later() is left to be done
 *
 * Context: may sleep; nobody calls vigil_sys_info_later() any more.
 */
void vigil_sys_info_finish(void)
{
	cancel_work_sync(&info_work);
}

/**
 * vigil_trace_hang() - run the probes of the tracepoint sched_process_hang
 *
 * As trace_sched_process_hang() does, whose static key is out of a module's
 * reach; without probes the iterator finds none. A kernel without the in-tree
 * detector has no such tracepoint.
 */
void vigil_trace_hang(struct task_struct *task)
{
#ifdef CONFIG_DETECT_HUNG_TASK
	guard(srcu_fast_notrace)(&tracepoint_srcu);
	static_call(vigil_hang)(NULL, task);
#endif
}

/**
 * vigil_queue_stopper() - have @fn run by a CPU's stopper, above all else
 *
 * Context: any, on @cpu; not before the work queued last on it has run.
 */
void vigil_queue_stopper(unsigned int cpu, int (*fn)(void *arg), void *arg)
{
	static_call_cond(vigil_stopper)(cpu, fn, arg, per_cpu_ptr(&stop_work, cpu));
}

/**
 * vigil_show_regs() - print registers and the stack below them
 */
void vigil_show_regs(struct pt_regs *regs)
{
	static_call_cond(vigil_regs)(regs);
}

/**
 * vigil_print_modules() - print the line of loaded modules
 */
void vigil_print_modules(void)
{
	static_call_cond(vigil_modules)();
}

/**
 * vigil_backtrace_cpu() - have a CPU print its registers and stack, by NMI
 *
 * Waits for up to ten seconds for a CPU that does not answer.
 */
void vigil_backtrace_cpu(unsigned int cpu)
{
	static_call_cond(vigil_backtrace)(cpumask_of(cpu), -1);
}

/**
 * vigil_backtrace_is_nmi() - whether vigil_backtrace_cpu() gets through to a CPU
 *	with interrupts off, where vigil_nmi_ask() cannot
 *
 * arm64 has pseudo-NMIs for what the kernel itself asks, see ipi_should_be_nmi().
 *
 * Context: any.
 */
int vigil_backtrace_is_nmi(void)
{
#ifdef CONFIG_ARM64
	return system_uses_irq_prio_masking();
#else
	return 0;
#endif
}

/**
 * vigil_backtrace_others() - the same of all online CPUs but @cpu
 */
void vigil_backtrace_others(unsigned int cpu)
{
	static_call_cond(vigil_backtrace)(cpu_online_mask, cpu);
}
