// SPDX-License-Identifier: GPL-2.0
/*
 * The registers of the running interrupt.
 */
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
