// SPDX-License-Identifier: GPL-2.0
/*
 * Calls of functions that the kernel does not export.
 *
 * objtool seals functions whose address is not taken: on a CPU that enforces
 * IBT an indirect call to such a function faults, and kCFI would refuse one
 * anywhere. A static call is a direct jump that the kernel patches in, so neither
 * applies. It is declared from the header's own prototype: with a kernel that
 * changes the prototype the build fails, and no call goes wrong.
 *
 * On an architecture without static calls they are calls through a pointer, and
 * nothing seals functions there. Only kCFI would be in the way: no arm64 kernel
 * has it without static calls, but with one that did, nothing would be bound.
 *
 * The address comes from a kprobe that is registered disabled: it is not armed,
 * and no instruction is changed. The static calls are where their callers are;
 * here is the table of them.
 */
#include <linux/cleanup.h>
#include <linux/kallsyms.h>
#include <linux/kprobes.h>
#include <linux/slab.h>
#include <linux/static_call.h>
#include <linux/string.h>

#include "internal.h"
#include "vigil.h"

DEFINE_STATIC_CALL_RET0(vigil_kallsyms_lookup_name, kallsyms_lookup_name);

static void bind_kallsyms_lookup_name(void *entry)
{
	static_call_update(vigil_kallsyms_lookup_name, entry);
}

static const struct {
	const char *name;
	/* NULL if this kernel is built without the function. */
	void (*bind)(void *entry);
} ksyms[VIGIL_NR_KSYMS] = {
	[VIGIL_KSYM_KALLSYMS_LOOKUP_NAME] = {
		"kallsyms_lookup_name", bind_kallsyms_lookup_name,
	},
	[VIGIL_KSYM_PRINT_TAINTED] = {
		"print_tainted", vigil_bind_print_tainted,
	},
	[VIGIL_KSYM_SYS_INFO] = {
		"sys_info", vigil_bind_sys_info,
	},
	[VIGIL_KSYM_SCHED_PROCESS_HANG] = {
		"__traceiter_sched_process_hang",
#ifdef CONFIG_DETECT_HUNG_TASK
		vigil_bind_sched_process_hang,
#endif
	},
	[VIGIL_KSYM_STOP_ONE_CPU_NOWAIT] = {
		"stop_one_cpu_nowait", vigil_bind_stop_one_cpu_nowait,
	},
	/* show_regs() of x86 touches the watchdogs for each line of the stack. */
	[VIGIL_KSYM_SHOW_REGS] = {
		IS_ENABLED(CONFIG_X86) ? "__show_regs" : "show_regs", vigil_bind_show_regs,
	},
	[VIGIL_KSYM_DUMP_STACK_PRINT_INFO] = {
		"dump_stack_print_info", vigil_bind_dump_stack_print_info,
	},
	[VIGIL_KSYM_PRINT_IRQTRACE_EVENTS] = {
		"print_irqtrace_events",
#ifdef CONFIG_TRACE_IRQFLAGS
		vigil_bind_print_irqtrace_events,
#endif
	},
	[VIGIL_KSYM_SCX_SOFTLOCKUP] = {
		"scx_softlockup",
#ifdef CONFIG_SCHED_CLASS_EXT
		vigil_bind_scx_softlockup,
#endif
	},
	[VIGIL_KSYM_SCX_HARDLOCKUP] = {
		"scx_hardlockup",
#ifdef CONFIG_SCHED_CLASS_EXT
		vigil_bind_scx_hardlockup,
#endif
	},
	[VIGIL_KSYM_PRINT_MODULES] = {
		"print_modules", vigil_bind_print_modules,
	},
	[VIGIL_KSYM_PRINTK_DEFERRED_ENTER] = {
		"__printk_deferred_enter", vigil_bind_printk_deferred_enter,
	},
	[VIGIL_KSYM_PRINTK_DEFERRED_EXIT] = {
		"__printk_deferred_exit", vigil_bind_printk_deferred_exit,
	},
	[VIGIL_KSYM_TRIGGER_BACKTRACE] = {
		"arch_trigger_cpumask_backtrace", vigil_bind_trigger_backtrace,
	},
};

/* Addresses of the functions; NULL for one that is not available. */
static void *entries[VIGIL_NR_KSYMS];

/**
 * vigil_ksym_name() - get the name of a function
 * @ksym: the function
 *
 * Context: any.
 */
const char *vigil_ksym_name(enum vigil_ksym ksym)
{
	return ksyms[ksym].name;
}

/*
 * Get the entry of the function that the registered @kp was registered for, or
 * NULL. @text has room for KSYM_SYMBOL_LEN.
 *
 * The kprobe's address is behind the ENDBR, if there is one, and the entry is in
 * front of it. The symbol table is asked whether the address belongs to the
 * function.
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
	/* "name+0x4/0x30 [module]": another module has a function of that name. */
	if (strchr(text, '['))
		return NULL;
	return (void *)(addr - offset);
}

/**
 * vigil_ksyms_resolve() - find the addresses of all functions
 *
 * All at once, because each unregistration waits for a grace period.
 *
 * Context: may sleep; before vigil_ksym_bind().
 */
void vigil_ksyms_resolve(void)
{
	struct kprobe *probes __free(kfree) = kcalloc(VIGIL_NR_KSYMS, sizeof(*probes), GFP_KERNEL);
	char *text __free(kfree) = kmalloc(KSYM_SYMBOL_LEN, GFP_KERNEL);
	struct kprobe *registered[VIGIL_NR_KSYMS];
	int ksym, n = 0;

	if (!probes || !text)
		return;
	for (ksym = 0; ksym < VIGIL_NR_KSYMS; ksym++) {
		struct kprobe *kp = &probes[ksym];

		kp->symbol_name = ksyms[ksym].name;
		kp->flags = KPROBE_FLAG_DISABLED;
		if (register_kprobe(kp))
			continue;
		entries[ksym] = entry_of(kp, text);
		registered[n++] = kp;
	}
	unregister_kprobes(registered, n);
}

/**
 * vigil_ksym_bind() - make a function callable
 * @ksym: the function
 *
 * Context: may sleep; after vigil_ksyms_resolve(), before the first call of @ksym.
 * Return: 0, or -ENOENT if this kernel has no such function to call.
 */
int vigil_ksym_bind(enum vigil_ksym ksym)
{
	void *entry = entries[ksym];

	if (!entry || !ksyms[ksym].bind ||
	    (IS_ENABLED(CONFIG_CFI) && !IS_ENABLED(CONFIG_HAVE_STATIC_CALL)))
		return -ENOENT;
	ksyms[ksym].bind(entry);
	return 0;
}

/**
 * vigil_kallsyms_lookup_name() - look up the address of a kernel symbol
 * @name: its name
 *
 * Context: may sleep: the whole symbol table may be searched.
 * Return: the address; 0 if there is no such symbol, or no kallsyms_lookup_name().
 */
unsigned long vigil_kallsyms_lookup_name(const char *name)
{
	unsigned long address = static_call(vigil_kallsyms_lookup_name)(name);
	char text[KSYM_SYMBOL_LEN];

	if (!address)
		return 0;
	/*
	 * "name+0x0/0x30 [module]": a module may have a symbol of that name, as this
	 * one has a watchdog_cpumask.
	 */
	sprint_symbol(text, address);
	return strchr(text, '[') ? 0 : address;
}

/**
 * vigil_kallsyms_size() - get the length of the symbol that begins at an address
 * @address: what vigil_kallsyms_lookup_name() returned
 *
 * Context: any.
 * Return: the length in bytes; 0 if no symbol begins there.
 */
unsigned long vigil_kallsyms_size(unsigned long address)
{
	char text[KSYM_SYMBOL_LEN];
	unsigned long size;
	const char *plus;

	/* "name+0x0/0x30" */
	sprint_symbol(text, address);
	plus = strrchr(text, '+');
	if (!plus || sscanf(plus, "+0x0/0x%lx", &size) != 1)
		return 0;
	return size;
}
