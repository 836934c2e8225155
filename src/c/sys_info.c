// SPDX-License-Identifier: GPL-2.0
/*
 * sys_info(): tasks, memory, locks and the like, for a report.
 */
#include <linux/static_call.h>
#include <linux/sys_info.h>

#include "internal.h"
#include "vigil.h"

DEFINE_STATIC_CALL_NULL(vigil_sys_info, sys_info);

void vigil_bind_sys_info(void *entry)
{
	static_call_update(vigil_sys_info, entry);
}

/**
 * vigil_sys_info() - print the parts of the system's state in @mask
 * @mask: SYS_INFO_* of linux/sys_info.h; 0 for what kernel.kernel_sys_info names
 *
 * Context: process context; takes locks that sleep on some kernels, and that a
 *	stuck CPU may hold.
 */
void vigil_sys_info(unsigned long mask)
{
	static_call_cond(vigil_sys_info)(mask);
}
