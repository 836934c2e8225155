// SPDX-License-Identifier: GPL-2.0
/*
 * printk_cpu_sync, which keeps the lines of other CPUs out of a report, and the
 * line of loaded modules.
 */
#include <linux/irqflags.h>
#include <linux/module.h>
#include <linux/printk.h>
#include <linux/static_call.h>

#include "internal.h"
#include "vigil.h"

DEFINE_STATIC_CALL_NULL(vigil_print_modules, print_modules);

void vigil_bind_print_modules(void *entry)
{
	static_call_update(vigil_print_modules, entry);
}

/**
 * vigil_printk_cpu_sync_try_get() - turn interrupts off and try to take printk_cpu_sync
 * @flags: set to what vigil_printk_cpu_sync_put() needs
 *
 * As printk_cpu_sync_get_irqsave(), which waits without end, and whose parts are
 * macros.
 *
 * Context: any, NMI included. Interrupts are off on return, whatever the result.
 * Return: whether this CPU has it.
 */
int vigil_printk_cpu_sync_try_get(unsigned long *flags)
{
	unsigned long irq_flags;
	int locked;

	local_irq_save(irq_flags);
	locked = __printk_cpu_sync_try_get();
	*flags = irq_flags;
	return locked;
}

/**
 * vigil_printk_cpu_sync_put() - undo vigil_printk_cpu_sync_try_get()
 * @locked: its result
 * @flags: what it set
 *
 * Context: the CPU that called it.
 */
void vigil_printk_cpu_sync_put(int locked, unsigned long flags)
{
	if (locked)
		__printk_cpu_sync_put();
	local_irq_restore(flags);
}

/**
 * vigil_print_modules() - print the line of loaded modules
 *
 * Context: any, NMI included.
 */
void vigil_print_modules(void)
{
	static_call_cond(vigil_print_modules)();
}
