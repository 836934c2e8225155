/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the C part of vigil offers to its Rust part: only what macros and
 * static inlines of the kernel force into C. No policy lives here.
 *
 * src/sys/ffi.rs is generated from this header (make ffi).
 */
#ifndef VIGIL_H
#define VIGIL_H

struct pt_regs;
struct task_struct;
struct vfsmount;

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
	VIGIL_CALL_STOPPER,
	VIGIL_CALL_SHOW_REGS,
	VIGIL_CALL_PRINT_MODULES,
	VIGIL_CALL_BACKTRACE,
	VIGIL_CALLS,
};

const char *vigil_call_name(enum vigil_call call);
void vigil_calls_find(void);
int vigil_call_bind(enum vigil_call call);
unsigned long vigil_kallsyms_lookup_name(const char *name);
const char *vigil_print_tainted(void);
void vigil_sys_info(unsigned long mask);
void vigil_sys_info_later(unsigned long mask);
int vigil_sys_info_shown(void);
void vigil_sys_info_finish(void);
void vigil_trace_hang(struct task_struct *task);
void vigil_queue_stopper(unsigned int cpu, int (*fn)(void *arg), void *arg);
void vigil_show_regs(struct pt_regs *regs);
void vigil_print_modules(void);
void vigil_backtrace_cpu(unsigned int cpu);
int vigil_backtrace_is_nmi(void);
void vigil_backtrace_others(unsigned int cpu);

/*
 * task.c: tasks.
 */
unsigned int vigil_scan_tasks(int *next, unsigned int *budget,
			      unsigned int wanted, unsigned int unwanted,
			      struct task_struct **found, unsigned int max);
int vigil_virt_addr_valid(unsigned long address);
void vigil_sched_show_task(struct task_struct *task);
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
 * lockup.c: what the lockup detectors look at and print.
 */

/**
 * enum vigil_touch - functions by which slow code asks for patience
 */
enum vigil_touch {
	VIGIL_TOUCH_SOFT,
	VIGIL_TOUCH_SOFT_SYNC,
	VIGIL_TOUCH_SOFT_ALL,
	VIGIL_TOUCH_HARD,
	VIGIL_TOUCHES,
};

struct pt_regs *vigil_irq_regs(void);
unsigned int vigil_this_cpu(void);
unsigned int vigil_nr_cpus(void);
unsigned int vigil_most_cpus(void);
int vigil_cpu_possible(unsigned int cpu);
int vigil_cpu_housekeeping(unsigned int cpu);
int vigil_log_lock(unsigned long *flags);
void vigil_log_unlock(int locked, unsigned long flags);
unsigned long long vigil_stolen_ns(unsigned int cpu);
int vigil_guest_paused(unsigned int cpu);
void vigil_cpu_times(unsigned int cpu, unsigned long long times[4]);
const char *vigil_touch_name(enum vigil_touch touch);
int vigil_touch_start(enum vigil_touch touch);
void vigil_touch_stop(unsigned int touches);
unsigned int vigil_soft_touches(unsigned int cpu);
unsigned int vigil_hard_touches(unsigned int cpu);
int vigil_nmi_start(void);
void vigil_nmi_stop(void);
void vigil_nmi_ask(unsigned int cpu);
unsigned int vigil_nmis_begun(unsigned int cpu);
unsigned int vigil_nmis_taken(unsigned int cpu);

/*
 * stack.c: stacks as addresses, for the record of incidents.
 */

/** VIGIL_STACK - how many addresses of a stack are kept */
#define VIGIL_STACK	18U

/**
 * struct vigil_snapshot - what a CPU was at when it was asked by NMI
 * @stack: its stack, innermost first
 * @depth: how many addresses of that are there
 * @pid: the running task
 * @comm: its name, with a NUL if that is shorter
 */
struct vigil_snapshot {
	unsigned long stack[VIGIL_STACK];
	unsigned int depth;
	int pid;
	char comm[16];
};

unsigned long long vigil_log_clock(void);
unsigned long long vigil_wall_clock(void);
int vigil_crash_kernel_loaded(void);
unsigned int vigil_stack_of(struct task_struct *task, unsigned long *stack, unsigned int size);
unsigned int vigil_stack_interrupted(unsigned long *stack, unsigned int size);
void vigil_stack_print(const unsigned long *stack, unsigned int depth);
void vigil_snapshot_take(struct pt_regs *regs);
void vigil_snapshot_read(unsigned int cpu, struct vigil_snapshot *snapshot);

/*
 * irqs.c: how often which interrupt came.
 */
unsigned int vigil_nr_irqs(void);
unsigned long vigil_irqs_sum(unsigned int cpu);
unsigned int vigil_irq_count(unsigned int irq, unsigned int cpu);
void vigil_irq_name(unsigned int irq, char *name, unsigned int size);
unsigned int vigil_local_irqs(void);
const char *vigil_local_irq_name(unsigned int kind);
unsigned int vigil_local_irq_count(unsigned int kind, unsigned int cpu);

/*
 * proc.c: which files procfs has.
 */
struct vfsmount *vigil_proc_mount(void);
int vigil_proc_lookup(struct vfsmount *mount, const char *path);
void vigil_proc_unmount(struct vfsmount *mount);

/*
 * perf.c: counters of cycles.
 */
struct vigil_counter {
	void *event;
	void (*fn)(void *arg, struct pt_regs *regs);
	void *arg;
};

unsigned long vigil_cpu_khz(unsigned int cpu);
int vigil_counter_start(struct vigil_counter *counter, unsigned int cpu, unsigned long long period);
void vigil_counter_stop(struct vigil_counter *counter);
int vigil_counter_try(void);
int vigil_khz_watch(void (*fn)(void *arg), void *arg);
void vigil_khz_unwatch(void);

/*
 * heart.c: a stand-in for the stoppers.
 */
int vigil_heart_start(void);
void vigil_heart_stop(void);
void vigil_queue_heart(unsigned int cpu, int (*fn)(void *arg), void *arg);

/*
 * params.c: module parameters that are text.
 */
const char *vigil_param_hung_task_sys_info(void);
const char *vigil_param_softlockup_sys_info(void);
const char *vigil_param_hardlockup_sys_info(void);
const char *vigil_param_watchdog_cpumask(void);
const char *vigil_param_hardlockup_backend(void);

#endif
