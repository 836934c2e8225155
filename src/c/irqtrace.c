// SPDX-License-Identifier: GPL-2.0
/*
 * When interrupts were last turned off and on: on kernels with lockdep.
 */
#include <linux/lockdep.h>
#include <linux/sched.h>
#include <linux/static_call.h>

#include "internal.h"
#include "vigil.h"

#ifdef CONFIG_TRACE_IRQFLAGS
DEFINE_STATIC_CALL_NULL(vigil_print_irqtrace_events, print_irqtrace_events);

void vigil_bind_print_irqtrace_events(void *entry)
{
	static_call_update(vigil_print_irqtrace_events, entry);
}
#endif

/**
 * vigil_print_irqtrace_events() - print when the running task last turned
 *	interrupts and softirqs off and on
 *
 * Context: any, NMI included.
 */
void vigil_print_irqtrace_events(void)
{
#ifdef CONFIG_TRACE_IRQFLAGS
	static_call_cond(vigil_print_irqtrace_events)(current);
#endif
}
