/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the C part of vigil offers to its Rust part: only what macros and
 * static inlines of the kernel force into C. No policy lives here.
 *
 * src/sys/ffi.rs is generated from this header (make ffi).
 */
#ifndef VIGIL_H
#define VIGIL_H

struct task_struct;

/*
 * calls.c: functions that the kernel does not export.
 */

/**
 * enum vigil_call - the functions that can be bound
 */
enum vigil_call {
	VIGIL_CALL_KALLSYMS,
	VIGIL_CALL_PRINT_TAINTED,
	VIGIL_CALL_SYS_INFO,
	VIGIL_CALL_TRACE_HANG,
	VIGIL_CALLS,
};

const char *vigil_call_name(enum vigil_call call);
int vigil_call_bind(enum vigil_call call);
unsigned long vigil_kallsyms_lookup_name(const char *name);
const char *vigil_print_tainted(void);
void vigil_sys_info(unsigned long mask);
void vigil_trace_hang(struct task_struct *task);

/*
 * tasks.c: looking through the tasks.
 */
unsigned int vigil_scan_tasks(int *next, unsigned int *budget,
			      unsigned int wanted, unsigned int unwanted,
			      struct task_struct **found, unsigned int max);
struct task_struct *vigil_task_by_pid(int pid);
int vigil_task_in_iowait(const struct task_struct *task);
void vigil_show_task(struct task_struct *task);
void vigil_touch_watchdogs(void);
void vigil_cond_resched(void);

/*
 * runqueue.c: the scheduler's counts.
 */
int vigil_rq_readable(void);
long vigil_rq_sum(unsigned long runqueues, unsigned long *running);

/*
 * machine.c: how the kernel calls itself.
 */
const char *vigil_release(void);
const char *vigil_version(void);
const char *vigil_package_id(void);

/*
 * params.c: module parameters that are text.
 */
const char *vigil_param_hung_task_sys_info(void);

#endif
