// SPDX-License-Identifier: GPL-2.0
/*
 * printk_cpu_sync, which keeps the lines of other CPUs out of a report; lines that
 * do not wait for the console; and the line of loaded modules.
 */
#include <linux/console.h>
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

DEFINE_STATIC_CALL_NULL(vigil_printk_deferred_enter, __printk_deferred_enter);
DEFINE_STATIC_CALL_NULL(vigil_printk_deferred_exit, __printk_deferred_exit);

void vigil_bind_printk_deferred_enter(void *entry)
{
	static_call_update(vigil_printk_deferred_enter, entry);
}

void vigil_bind_printk_deferred_exit(void *entry)
{
	static_call_update(vigil_printk_deferred_exit, entry);
}

/**
 * vigil_is_console_locked() - tell whether a CPU has the console
 *
 * Context: any.
 */
int vigil_is_console_locked(void)
{
	return is_console_locked();
}

/**
 * vigil_has_legacy_console() - tell whether there is a console that is written by whoever
 *	has a line to print, and not by a thread of its own
 *
 * Context: any, NMI included.
 */
int vigil_has_legacy_console(void)
{
	struct console *console;
	int cookie, found = 0;

	cookie = console_srcu_read_lock();
	for_each_console_srcu(console) {
		short flags = console_srcu_read_flags(console);

		if ((flags & CON_ENABLED) && !(flags & CON_NBCON))
			found = 1;
	}
	console_srcu_read_unlock(cookie);
	return found;
}

/**
 * vigil_printk_defer() - have this CPU's lines stored only, if another one has the console
 * @flags: set to what vigil_printk_defer_end() needs
 *
 * Who calls printk() while another CPU prints spins until that passes the console
 * on (console_trylock_spinning()): without end if that is stuck in the console's
 * driver. Stored, the lines are printed by whoever has the console, at the latest
 * when it is unlocked, and by panic().
 *
 * Context: any, NMI included. Interrupts are off on return, if the result is not 0.
 * Return: whether they are stored only.
 */
int vigil_printk_defer(unsigned long *flags)
{
	unsigned long irq_flags;

	if (!is_console_locked() || !static_call_query(vigil_printk_deferred_enter) ||
	    !static_call_query(vigil_printk_deferred_exit))
		return 0;
	local_irq_save(irq_flags);
	static_call_cond(vigil_printk_deferred_enter)();
	*flags = irq_flags;
	return 1;
}

/**
 * vigil_printk_defer_end() - undo vigil_printk_defer()
 * @deferred: its result
 * @flags: what it set
 *
 * Context: the CPU that called it.
 */
void vigil_printk_defer_end(int deferred, unsigned long flags)
{
	if (!deferred)
		return;
	static_call_cond(vigil_printk_deferred_exit)();
	local_irq_restore(flags);
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
