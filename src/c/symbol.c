// SPDX-License-Identifier: GPL-2.0
/*
 * Names of addresses, for src/sys/symbol.rs.
 */
#include <linux/kallsyms.h>
#include <linux/sprintf.h>
#include <linux/string.h>

#include "vigil.h"

/**
 * vigil_symbol_name() - get the name of the function or variable at an address
 * @address: the address
 * @name: set to the name, or to the address as a number; cut if it is too long
 * @size: how many bytes there are for it, with the NUL
 *
 * Context: any, NMI included; takes no lock, and searches the symbol table.
 */
void vigil_symbol_name(unsigned long address, char *name, unsigned long size)
{
	char text[KSYM_SYMBOL_LEN];

	sprint_symbol_no_offset(text, address);
	/* Empty without CONFIG_KALLSYMS. */
	if (text[0])
		strscpy(name, text, size);
	else
		scnprintf(name, size, "0x%lx", address);
}
