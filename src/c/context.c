// SPDX-License-Identifier: GPL-2.0
/*
 * The registers of the running interrupt; interrupts off.
 */
#include <linux/irqflags.h>

#include <asm/irq_regs.h>

#include "vigil.h"

/**
 * vigil_irq_regs() - get the registers that the running interrupt found
 *
 * Context: any.
 * Return: the registers; NULL outside of an interrupt.
 */
struct pt_regs *vigil_irq_regs(void)
{
	return get_irq_regs();
}

/**
 * vigil_irqs_disable() - disable interrupts on this CPU
 *
 * Context: any, NMI included.
 * Return: the state for vigil_irqs_restore().
 */
unsigned long vigil_irqs_disable(void)
{
	unsigned long flags;

	local_irq_save(flags);
	return flags;
}

/**
 * vigil_irqs_restore() - enable interrupts again, if they were
 * @flags: what vigil_irqs_disable() returned on this CPU
 *
 * Context: as vigil_irqs_disable().
 */
void vigil_irqs_restore(unsigned long flags)
{
	local_irq_restore(flags);
}
