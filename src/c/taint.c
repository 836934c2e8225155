// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel's description of its taint.
 */
#include <linux/panic.h>
#include <linux/static_call.h>

#include "internal.h"
#include "vigil.h"

DEFINE_STATIC_CALL_RET0(vigil_print_tainted, print_tainted);

void vigil_bind_print_tainted(void *entry)
{
	static_call_update(vigil_print_tainted, entry);
}

/**
 * vigil_print_tainted() - describe the kernel's taint, such as "Not tainted"
 *
 * Context: process context.
 * Return: a buffer that the next call overwrites; NULL if print_tainted() is not
 * available.
 */
const char *vigil_print_tainted(void)
{
	return static_call(vigil_print_tainted)();
}
