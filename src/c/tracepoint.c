// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel's tracepoints that vigil fires as well.
 */
#include <linux/cleanup.h>
#include <linux/static_call.h>
#include <trace/events/sched.h>

#include "internal.h"
#include "vigil.h"

/* A kernel without the in-tree detector has no such tracepoint. */
#ifdef CONFIG_DETECT_HUNG_TASK

DEFINE_STATIC_CALL_RET0(vigil_sched_process_hang, __traceiter_sched_process_hang);

void vigil_bind_sched_process_hang(void *entry)
{
	static_call_update(vigil_sched_process_hang, entry);
}

#endif

/**
 * vigil_trace_sched_process_hang() - call the probes of sched_process_hang
 * @task: the hung task
 *
 * As trace_sched_process_hang(), whose static key is not exported. Without probes
 * the iterator has nothing to call.
 *
 * Context: process context.
 */
void vigil_trace_sched_process_hang(struct task_struct *task)
{
#ifdef CONFIG_DETECT_HUNG_TASK
	guard(srcu_fast_notrace)(&tracepoint_srcu);
	static_call(vigil_sched_process_hang)(NULL, task);
#endif
}
