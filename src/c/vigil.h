/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The interface of the C part to the Rust part: what macros, static inlines and
 * headers that bindgen does not read keep out of Rust. x.c serves src/sys/x.rs.
 * Mechanism only: no C code here decides what is a finding.
 *
 * src/sys/ffi.rs is generated from this header (make ffi). What only the C
 * files use of each other is in internal.h.
 */
#ifndef VIGIL_H
#define VIGIL_H

struct pt_regs;
struct sk_buff;
struct task_struct;
struct vfsmount;

/* How many addresses of a stack are saved: for an incident, and for a report. */
#define VIGIL_STACK_DEPTH	18U
#define VIGIL_SNAPSHOT_DEPTH	32U
/* How many registers are saved that may have the address of what a CPU waits for. */
#define VIGIL_WAIT_REGS		15U

/* blkdev.c */

/**
 * struct vigil_blk_requests - the requests of a disk that its driver has
 * @name: the disk, with a NUL
 * @major: its major number
 * @minor: its minor number
 * @old: how many are old
 * @untimed: of how many it is not known how old they are
 * @is_partial: not 0 if not all requests, or disks, were looked at
 * @oldest: age of the oldest of the old ones in nanoseconds
 */
struct vigil_blk_requests {
	char name[32];
	unsigned int major;
	unsigned int minor;
	unsigned int old;
	unsigned int untimed;
	int is_partial;
	unsigned long long oldest;
};

int vigil_blk_next(unsigned long *cursor, unsigned long long age, unsigned int *budget,
		   struct vigil_blk_requests *found);

/* cgroup.c */
unsigned int vigil_cgroup_path(struct task_struct *task, char *path, unsigned int size,
			       int *is_cut);

/* clock.c */
unsigned long long vigil_local_clock(void);

/* context.c */
struct pt_regs *vigil_irq_regs(void);
unsigned long vigil_irqs_disable(void);
void vigil_irqs_restore(unsigned long flags);

/* cpu.c */

/* The times that vigil_cpu_times() reads. */
enum vigil_cpu_time {
	VIGIL_CPU_TIME_SYSTEM,
	VIGIL_CPU_TIME_SOFTIRQ,
	VIGIL_CPU_TIME_HARDIRQ,
	VIGIL_CPU_TIME_IDLE,
	VIGIL_CPU_TIME_OTHER,
	VIGIL_NR_CPU_TIMES,
};

int vigil_cpu_online(unsigned int cpu);
int vigil_has_hypervisor(void);
int vigil_cpu_housekeeping(unsigned int cpu);
unsigned long long vigil_steal_ns(unsigned int cpu);
unsigned long long vigil_steal_ns_here(void);
int vigil_guest_paused(unsigned int cpu);
void vigil_cpu_times(unsigned int cpu, unsigned long long times[VIGIL_NR_CPU_TIMES]);

/* cpufreq.c */
int vigil_cpufreq_register(void (*fn)(void *arg), void *arg);
void vigil_cpufreq_unregister(void);

/**
 * struct vigil_stop_work - room for work that is queued to a thread
 * @words: what the thread keeps there, until it calls the function
 */
struct vigil_stop_work {
	unsigned long words[6];
};

/* fifo_thread.c */
int vigil_fifo_thread_start(void);
void vigil_fifo_thread_stop(void);
void vigil_fifo_thread_queue(unsigned int cpu, int (*fn)(void *arg), void *arg,
			     struct vigil_stop_work *work);

/* incident_table.c */

/* Incidents of CPUs, of which there is one of each kind at a time. */
enum vigil_cpu_incident {
	VIGIL_CPU_SOFT_LOCKUP,
	VIGIL_CPU_HARD_LOCKUP,
	VIGIL_CPU_UNRESPONSIVE,
	VIGIL_NR_CPU_INCIDENTS,
};

void vigil_cpu_incident_set(unsigned int cpu, enum vigil_cpu_incident kind,
			    unsigned long long since);
unsigned long long vigil_cpu_incident_since(unsigned int cpu, enum vigil_cpu_incident kind);

/* in_tree_timer.c */
unsigned long long vigil_in_tree_timer_expires(unsigned long hrtimer,
					       unsigned long watchdog_thresh,
					       unsigned long long thresh);

/* irq_work.c */
void vigil_irq_work_queue(void);
void vigil_irq_work_wait(int odd, unsigned int ms);
void vigil_irq_work_sync(void);

/* irqtrace.c */
void vigil_print_irqtrace_events(void);

/* irqstat.c */
unsigned long vigil_irqs_sum(unsigned int cpu);
unsigned int vigil_irq_count(unsigned int irq, unsigned int cpu);
void vigil_irq_name(unsigned int irq, char *name, unsigned int size);
unsigned int vigil_nr_local_irqs(void);
const char *vigil_local_irq_name(unsigned int kind);
unsigned int vigil_local_irq_count(unsigned int kind, unsigned int cpu);

/* ksyms.c */

/* The functions that vigil calls although the kernel does not export them. */
enum vigil_ksym {
	VIGIL_KSYM_KALLSYMS_LOOKUP_NAME,
	VIGIL_KSYM_PRINT_TAINTED,
	VIGIL_KSYM_SYS_INFO,
	VIGIL_KSYM_SCHED_PROCESS_HANG,
	VIGIL_KSYM_STOP_ONE_CPU_NOWAIT,
	VIGIL_KSYM_SHOW_REGS,
	VIGIL_KSYM_DUMP_STACK_PRINT_INFO,
	VIGIL_KSYM_PRINT_IRQTRACE_EVENTS,
	VIGIL_KSYM_SCX_SOFTLOCKUP,
	VIGIL_KSYM_SCX_HARDLOCKUP,
	VIGIL_KSYM_PRINT_MODULES,
	VIGIL_KSYM_PRINTK_DEFERRED_ENTER,
	VIGIL_KSYM_PRINTK_DEFERRED_EXIT,
	VIGIL_KSYM_TRIGGER_BACKTRACE,
	VIGIL_NR_KSYMS,
};

const char *vigil_ksym_name(enum vigil_ksym ksym);
void vigil_ksyms_resolve(void);
int vigil_ksym_bind(enum vigil_ksym ksym);
unsigned long vigil_kallsyms_lookup_name(const char *name);
unsigned long vigil_kallsyms_size(unsigned long address);

/* netlink.c */

/* The multicast groups. */
enum vigil_netlink_group {
	VIGIL_NETLINK_INCIDENTS,
	VIGIL_NETLINK_INCIDENTS_FULL,
	VIGIL_NR_NETLINK_GROUPS,
};

/**
 * struct vigil_netlink_source - what requests are answered from
 * @put_incident: puts the incident with an id into a message; may return -ENOENT
 *	or -EMSGSIZE. @full: with addresses
 * @put_incident_after: the same for the one with the smallest id above @id, which
 *	is set to its id. @first: nothing is in the message yet
 * @put_state: puts the counts into a message
 * @generation: changes whenever an incident does
 *
 * All may sleep.
 */
struct vigil_netlink_source {
	int (*put_incident)(struct sk_buff *msg, unsigned long long id, int full);
	int (*put_incident_after)(struct sk_buff *msg, unsigned long long *id, int full,
				  int first);
	int (*put_state)(struct sk_buff *msg);
	unsigned int (*generation)(void);
};

int vigil_netlink_register(const struct vigil_netlink_source *source);
void vigil_netlink_unregister(void);
int vigil_netlink_has_listeners(enum vigil_netlink_group group);
struct sk_buff *vigil_netlink_event(unsigned int cmd);
void vigil_netlink_free(struct sk_buff *msg);
int vigil_netlink_send(struct sk_buff *msg, enum vigil_netlink_group group);
int vigil_netlink_put(struct sk_buff *msg, unsigned int attr, const void *data, unsigned int len);
unsigned int vigil_netlink_begin(struct sk_buff *msg, unsigned int attr, int nested);
int vigil_netlink_append(struct sk_buff *msg, const void *data, unsigned int len);
int vigil_netlink_end(struct sk_buff *msg, unsigned int begin, int text);
void vigil_netlink_trim(struct sk_buff *msg, unsigned int begin);
int vigil_netlink_hides_addresses(void);

/* nmi.c */

/* In which context a CPU is, the innermost one; CpuContext of src/logic/cpu_wait.rs. */
enum vigil_cpu_context {
	VIGIL_IN_TASK,
	VIGIL_IN_SOFTIRQ,
	VIGIL_IN_HARDIRQ,
	VIGIL_IN_NMI,
	VIGIL_IN_IDLE,
};

/**
 * struct vigil_nmi_snapshot - what a CPU was running when it took an NMI
 * @stack: the stack that the NMI interrupted, innermost first
 * @depth: how many addresses are in @stack
 * @pid: the running task
 * @comm: its name, with a NUL if that is shorter
 * @uid: its effective user
 * @cpu: the CPU
 * @irqs_on: not 0 if interrupts were on
 * @idle: not 0 if the CPU was idle, and in no interrupt
 * @context: enum vigil_cpu_context
 * @regs: registers that may have the address of what the CPU waits for; the one
 *	with the first argument of a function first
 */
struct vigil_nmi_snapshot {
	unsigned long stack[VIGIL_SNAPSHOT_DEPTH];
	unsigned int depth;
	int pid;
	char comm[16];
	unsigned int uid;
	unsigned int cpu;
	int irqs_on;
	int idle;
	unsigned int context;
	unsigned long regs[VIGIL_WAIT_REGS];
};

int vigil_nmi_register(void);
void vigil_nmi_unregister(void);
void vigil_nmi_send(unsigned int cpu);
int vigil_nmi_send_if_online(unsigned int cpu);
void vigil_nmi_forget(unsigned int cpu);
int vigil_nmi_is_answered(unsigned int cpu);
unsigned int vigil_nmi_entered(unsigned int cpu);
unsigned int vigil_nmi_done(unsigned int cpu);
void vigil_nmi_snapshot_take(struct pt_regs *regs);
int vigil_nmi_snapshot_read(unsigned int cpu, struct vigil_nmi_snapshot *snapshot);
int vigil_nmi_snapshot_show(unsigned int cpu, int skip_idle);

/* panic.c */
int vigil_kexec_crash_loaded(void);
int vigil_is_kdump_kernel(void);

/* param.c */
const char *vigil_param_text(const char *name, unsigned long len);

/* perf_event.c */

/**
 * struct vigil_perf_event - a cycle counter of one CPU
 * @event: perf's event; NULL while it does not count
 * @overflow: called in the interrupt of each overflow with @arg and, if that is
 *	an NMI, with the registers that it interrupted; else with NULL
 * @arg: the first argument of @overflow
 */
struct vigil_perf_event {
	void *event;
	void (*overflow)(void *arg, struct pt_regs *regs);
	void *arg;
};

int vigil_perf_event_start(struct vigil_perf_event *counter, unsigned int cpu,
			   unsigned long long period);
void vigil_perf_event_stop(struct vigil_perf_event *counter);
int vigil_perf_event_probe(void);

/* printk.c */
int vigil_printk_cpu_sync_try_get(unsigned long *flags);
void vigil_printk_cpu_sync_put(int locked, unsigned long flags);
void vigil_print_modules(void);
int vigil_is_console_locked(void);
int vigil_has_legacy_console(void);
int vigil_printk_defer(unsigned long *flags);
void vigil_printk_defer_end(int deferred, unsigned long flags);

/* procfs.c */
int vigil_proc_lookup(struct vfsmount *mount, const char *path);

/* rtmutex.c */

/**
 * struct vigil_rt_mutex_wait - what a task waits for through a real-time mutex
 * @lock: address of the lock (struct rt_mutex_base)
 * @owner: its owner word
 * @is_rtlock: not 0 if it is that of a spinlock_t or a rwlock_t
 */
struct vigil_rt_mutex_wait {
	unsigned long lock;
	unsigned long owner;
	int is_rtlock;
};

/**
 * struct vigil_rt_waiter_offsets - where members of struct rt_mutex_waiter are
 * @task: the task that waits, a pointer
 * @lock: the lock, a pointer
 * @wake_state: the state that the task sleeps in, an unsigned int
 */
struct vigil_rt_waiter_offsets {
	unsigned int task;
	unsigned int lock;
	unsigned int wake_state;
};

int vigil_rt_waiter_offsets(struct vigil_rt_waiter_offsets *offsets);
void vigil_set_rt_waiter_offsets(const struct vigil_rt_waiter_offsets *offsets);
int vigil_rt_mutex_wait(struct task_struct *task, struct vigil_rt_mutex_wait *wait);

/* runqueue.c */

/**
 * struct vigil_rq_offsets - where counts of struct rq are
 * @nr_uninterruptible: that of tasks in uninterruptible sleep, an unsigned long
 * @nr_running: that of runnable tasks, an unsigned int
 */
struct vigil_rq_offsets {
	unsigned int nr_uninterruptible;
	unsigned int nr_running;
};

int vigil_rq_offsets(struct vigil_rq_offsets *offsets);
long vigil_rq_sum(unsigned long runqueues, const struct vigil_rq_offsets *offsets,
		  unsigned long *running);

/* sched_ext.c */
void vigil_scx_softlockup(unsigned int seconds);
int vigil_scx_hardlockup(unsigned int cpu);

/* smp.c */

/**
 * struct vigil_call - a request to another CPU to run a function
 * @next: address of the next one in the queue of that CPU
 * @function: the function
 * @flags: CSD_FLAG_* and CSD_TYPE_*
 */
struct vigil_call {
	unsigned long next;
	unsigned long function;
	unsigned int flags;
};

/**
 * struct vigil_spinlock - what may be a spinlock
 * @word: its first 32 bits
 * @has_magic: not 0 if SPINLOCK_MAGIC is behind them
 * @owner_cpu: the CPU that has taken it, or -1: known only with the magic number
 */
struct vigil_spinlock {
	unsigned int word;
	int has_magic;
	int owner_cpu;
};

unsigned long vigil_per_cpu_address(unsigned long variable, unsigned int cpu);
int vigil_call_read(unsigned long address, struct vigil_call *call);
unsigned long vigil_running_stack(unsigned int cpu, unsigned long *size);
int vigil_spinlock_read(unsigned long address, struct vigil_spinlock *lock);

/* stacktrace.c */
unsigned int vigil_stack_save_interrupted(unsigned long *stack, unsigned int size);
void vigil_set_cpuidle_text(unsigned long start, unsigned long end);
int vigil_interrupted_is_in(const char *function);
unsigned int vigil_interrupted_context(void);
void vigil_interrupted_wait_regs(unsigned long regs[VIGIL_WAIT_REGS]);
void vigil_show_interrupted(struct pt_regs *regs);
void vigil_backtrace_cpu(unsigned int cpu);
void vigil_backtrace_others(unsigned int cpu);
int vigil_backtrace_is_nmi(void);

/* stopper.c */
void vigil_stopper_queue(unsigned int cpu, int (*fn)(void *arg), void *arg,
			 struct vigil_stop_work *work);

/* sys_info.c */
void vigil_sys_info(unsigned long mask);

/* sysfs.c */

/* The files in /sys/kernel. */
enum vigil_lockup_count {
	VIGIL_SOFTLOCKUP_COUNT,
	VIGIL_HARDLOCKUP_COUNT,
	VIGIL_NR_LOCKUP_COUNTS,
};

int vigil_lockup_counts_add(unsigned long long (*read)(void *arg, unsigned int count),
			    void *arg);
void vigil_lockup_counts_remove(void);

/* taint.c */
const char *vigil_print_tainted(void);

/* task.c */
int vigil_task_is_counted(struct task_struct *task);
int vigil_task_ns_pid(struct task_struct *task);
unsigned int vigil_scan_tasks(int *next, unsigned int *budget,
			      unsigned int wanted, unsigned int maybe, unsigned int unwanted,
			      struct task_struct **found, unsigned int max);
int vigil_virt_addr_valid(unsigned long address);
unsigned long long vigil_task_io(struct task_struct *task);
void vigil_run_on_half(int odd);
void vigil_sched_show_task(struct task_struct *task);
void vigil_cond_resched(void);

/* task_wait.c */

/**
 * struct vigil_completion_wait - a wait of a task for a completion
 * @next: the neighbours of the task in the list of waiters: the head of the list,
 *	which is in the completion, or other waiters
 * @prev: see @next
 * @barrier: if that is the completion of a barrier in a workqueue, the barrier's
 *	entry in the list of works; else 0
 * @barrier_prev: what is before the barrier in that list
 */
struct vigil_completion_wait {
	unsigned long next;
	unsigned long prev;
	unsigned long barrier;
	unsigned long barrier_prev;
};

/**
 * struct vigil_task_completes - what a task completes
 * @waiters: the head of the list of those that wait for its end; 0: none
 * @scheduled: of a kworker, the head of the list of works that it carries out
 *	behind the current one; 0: it is none, or that is not known
 */
struct vigil_task_completes {
	unsigned long waiters;
	unsigned long scheduled;
};

int vigil_completion_wait(struct task_struct *task, unsigned long barrier_func,
			  struct vigil_completion_wait *wait);
void vigil_task_completes(struct task_struct *task, struct vigil_task_completes *completes);
int vigil_knows_works(void);

/* touch.c */

/* The functions by which slow code resets a lockup detector. */
enum vigil_touch {
	VIGIL_TOUCH_SOFTLOCKUP_WATCHDOG,
	VIGIL_TOUCH_SOFTLOCKUP_WATCHDOG_SYNC,
	VIGIL_TOUCH_ALL_SOFTLOCKUP_WATCHDOGS,
	VIGIL_TOUCH_NMI_WATCHDOG,
	VIGIL_NR_TOUCHES,
};

/* How many functions that print stacks there are at most. */
#define VIGIL_NR_STACK_PRINTERS	3U

void vigil_touch_set_stack_printer(unsigned int nr, unsigned long start, unsigned long end);
const char *vigil_touch_name(enum vigil_touch touch);
int vigil_touch_probe(enum vigil_touch touch);
void vigil_touch_unprobe(unsigned int touches);
unsigned int vigil_softlockup_touches(unsigned int cpu);
unsigned int vigil_task_touches(unsigned int cpu);
unsigned int vigil_hardlockup_touches(unsigned int cpu);
unsigned long long vigil_touched_at(unsigned int cpu);
void vigil_touch_nmi_watchdog(void);
void vigil_touch_hardlockup_watchdog(void);

/* trace.c */

/* EventKind of src/logic/event.rs. */
enum vigil_trace_event {
	VIGIL_TRACE_START,
	VIGIL_TRACE_CHANGE,
	VIGIL_TRACE_END,
};

/**
 * struct vigil_trace_incident - what is traced of an incident
 * @id: its id
 * @age: how long it has lasted, in nanoseconds
 * @kind: what was found
 * @cpu: the CPU that is stuck, or on which the task ran last
 * @pid: the task, or -1
 * @comm: its name
 * @behind: how many hung tasks wait behind a root cause
 * @how: how it has ended; 0 if it is on
 */
struct vigil_trace_incident {
	unsigned long long id;
	unsigned long long age;
	unsigned int kind;
	unsigned int cpu;
	int pid;
	char comm[16];
	unsigned int behind;
	unsigned int how;
};

void vigil_trace_incident_event(enum vigil_trace_event event,
				const struct vigil_trace_incident *incident);
void vigil_trace_hung_task_scan(unsigned long long duration, unsigned int scanned,
				unsigned int tracked, unsigned int hung, unsigned int full);

/* tracepoint.c */
void vigil_trace_sched_process_hang(struct task_struct *task);

/* utsname.c */
const char *vigil_release(void);
const char *vigil_version(void);
const char *vigil_package_id(void);

/* writeback.c */
int vigil_writeback_written(struct task_struct *task, unsigned long long *written);

#endif
