// SPDX-License-Identifier: GPL-2.0

//! Prototypes of the C part. Generated from `src/c/vigil.h` by `make ffi`: do not edit.

#![allow(dead_code, missing_docs, unreachable_pub)]
#![allow(improper_ctypes)] // task_struct has a member of no size
#![allow(non_upper_case_globals, non_camel_case_types)]

use kernel::bindings::{pt_regs, task_struct, vfsmount};

pub const VIGIL_STACK_DEPTH: u32 = 18;
pub const VIGIL_SNAPSHOT_DEPTH: u32 = 32;
pub const VIGIL_WAIT_REGS: u32 = 15;
pub const VIGIL_NR_STACK_PRINTERS: u32 = 3;
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct sk_buff {
    _unused: [u8; 0],
}
#[doc = " struct vigil_blk_requests - the requests of a disk that its driver has\n @name: the disk, with a NUL\n @major: its major number\n @minor: its minor number\n @old: how many are old\n @untimed: of how many it is not known how old they are\n @is_partial: not 0 if not all requests, or disks, were looked at\n @oldest: age of the oldest of the old ones in nanoseconds"]
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct vigil_blk_requests {
    pub name: [kernel::ffi::c_char; 32usize],
    pub major: kernel::ffi::c_uint,
    pub minor: kernel::ffi::c_uint,
    pub old: kernel::ffi::c_uint,
    pub untimed: kernel::ffi::c_uint,
    pub is_partial: kernel::ffi::c_int,
    pub oldest: kernel::ffi::c_ulonglong,
}
unsafe extern "C" {
    pub fn vigil_blk_next(
        cursor: *mut kernel::ffi::c_ulong,
        age: kernel::ffi::c_ulonglong,
        budget: *mut kernel::ffi::c_uint,
        found: *mut vigil_blk_requests,
    ) -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_cgroup_path(
        task: *mut task_struct,
        path: *mut kernel::ffi::c_char,
        size: kernel::ffi::c_uint,
        is_cut: *mut kernel::ffi::c_int,
    ) -> kernel::ffi::c_uint;
}
unsafe extern "C" {
    pub fn vigil_local_clock() -> kernel::ffi::c_ulonglong;
}
unsafe extern "C" {
    pub fn vigil_irq_regs() -> *mut pt_regs;
}
unsafe extern "C" {
    pub fn vigil_irqs_disable() -> kernel::ffi::c_ulong;
}
unsafe extern "C" {
    pub fn vigil_irqs_restore(flags: kernel::ffi::c_ulong);
}
pub const vigil_cpu_time_VIGIL_CPU_TIME_SYSTEM: vigil_cpu_time = 0;
pub const vigil_cpu_time_VIGIL_CPU_TIME_SOFTIRQ: vigil_cpu_time = 1;
pub const vigil_cpu_time_VIGIL_CPU_TIME_HARDIRQ: vigil_cpu_time = 2;
pub const vigil_cpu_time_VIGIL_CPU_TIME_IDLE: vigil_cpu_time = 3;
pub const vigil_cpu_time_VIGIL_CPU_TIME_OTHER: vigil_cpu_time = 4;
pub const vigil_cpu_time_VIGIL_NR_CPU_TIMES: vigil_cpu_time = 5;
pub type vigil_cpu_time = kernel::ffi::c_uint;
unsafe extern "C" {
    pub fn vigil_cpu_online(cpu: kernel::ffi::c_uint) -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_has_hypervisor() -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_cpu_housekeeping(cpu: kernel::ffi::c_uint) -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_steal_ns(cpu: kernel::ffi::c_uint) -> kernel::ffi::c_ulonglong;
}
unsafe extern "C" {
    pub fn vigil_steal_ns_here() -> kernel::ffi::c_ulonglong;
}
unsafe extern "C" {
    pub fn vigil_guest_paused(cpu: kernel::ffi::c_uint) -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_cpu_times(cpu: kernel::ffi::c_uint, times: *mut kernel::ffi::c_ulonglong);
}
unsafe extern "C" {
    pub fn vigil_cpufreq_register(
        fn_: ::core::option::Option<unsafe extern "C" fn(arg: *mut kernel::ffi::c_void)>,
        arg: *mut kernel::ffi::c_void,
    ) -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_cpufreq_unregister();
}
#[doc = " struct vigil_stop_work - room for work that is queued to a thread\n @words: what the thread keeps there, until it calls the function"]
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct vigil_stop_work {
    pub words: [kernel::ffi::c_ulong; 6usize],
}
unsafe extern "C" {
    pub fn vigil_fifo_thread_start() -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_fifo_thread_stop();
}
unsafe extern "C" {
    pub fn vigil_fifo_thread_queue(
        cpu: kernel::ffi::c_uint,
        fn_: ::core::option::Option<
            unsafe extern "C" fn(arg: *mut kernel::ffi::c_void) -> kernel::ffi::c_int,
        >,
        arg: *mut kernel::ffi::c_void,
        work: *mut vigil_stop_work,
    );
}
pub const vigil_cpu_incident_VIGIL_CPU_SOFT_LOCKUP: vigil_cpu_incident = 0;
pub const vigil_cpu_incident_VIGIL_CPU_HARD_LOCKUP: vigil_cpu_incident = 1;
pub const vigil_cpu_incident_VIGIL_CPU_UNRESPONSIVE: vigil_cpu_incident = 2;
pub const vigil_cpu_incident_VIGIL_NR_CPU_INCIDENTS: vigil_cpu_incident = 3;
pub type vigil_cpu_incident = kernel::ffi::c_uint;
unsafe extern "C" {
    pub fn vigil_cpu_incident_set(
        cpu: kernel::ffi::c_uint,
        kind: vigil_cpu_incident,
        since: kernel::ffi::c_ulonglong,
    );
}
unsafe extern "C" {
    pub fn vigil_cpu_incident_since(
        cpu: kernel::ffi::c_uint,
        kind: vigil_cpu_incident,
    ) -> kernel::ffi::c_ulonglong;
}
unsafe extern "C" {
    pub fn vigil_in_tree_timer_expires(
        hrtimer: kernel::ffi::c_ulong,
        watchdog_thresh: kernel::ffi::c_ulong,
        thresh: kernel::ffi::c_ulonglong,
    ) -> kernel::ffi::c_ulonglong;
}
unsafe extern "C" {
    pub fn vigil_irq_work_queue();
}
unsafe extern "C" {
    pub fn vigil_irq_work_wait(odd: kernel::ffi::c_int, ms: kernel::ffi::c_uint);
}
unsafe extern "C" {
    pub fn vigil_irq_work_sync();
}
unsafe extern "C" {
    pub fn vigil_print_irqtrace_events();
}
unsafe extern "C" {
    pub fn vigil_irqs_sum(cpu: kernel::ffi::c_uint) -> kernel::ffi::c_ulong;
}
unsafe extern "C" {
    pub fn vigil_irq_count(
        irq: kernel::ffi::c_uint,
        cpu: kernel::ffi::c_uint,
    ) -> kernel::ffi::c_uint;
}
unsafe extern "C" {
    pub fn vigil_irq_name(
        irq: kernel::ffi::c_uint,
        name: *mut kernel::ffi::c_char,
        size: kernel::ffi::c_uint,
    );
}
unsafe extern "C" {
    pub fn vigil_nr_local_irqs() -> kernel::ffi::c_uint;
}
unsafe extern "C" {
    pub fn vigil_local_irq_name(kind: kernel::ffi::c_uint) -> *const kernel::ffi::c_char;
}
unsafe extern "C" {
    pub fn vigil_local_irq_count(
        kind: kernel::ffi::c_uint,
        cpu: kernel::ffi::c_uint,
    ) -> kernel::ffi::c_uint;
}
pub const vigil_ksym_VIGIL_KSYM_KALLSYMS_LOOKUP_NAME: vigil_ksym = 0;
pub const vigil_ksym_VIGIL_KSYM_PRINT_TAINTED: vigil_ksym = 1;
pub const vigil_ksym_VIGIL_KSYM_SYS_INFO: vigil_ksym = 2;
pub const vigil_ksym_VIGIL_KSYM_SCHED_PROCESS_HANG: vigil_ksym = 3;
pub const vigil_ksym_VIGIL_KSYM_STOP_ONE_CPU_NOWAIT: vigil_ksym = 4;
pub const vigil_ksym_VIGIL_KSYM_SHOW_REGS: vigil_ksym = 5;
pub const vigil_ksym_VIGIL_KSYM_DUMP_STACK_PRINT_INFO: vigil_ksym = 6;
pub const vigil_ksym_VIGIL_KSYM_PRINT_IRQTRACE_EVENTS: vigil_ksym = 7;
pub const vigil_ksym_VIGIL_KSYM_SCX_SOFTLOCKUP: vigil_ksym = 8;
pub const vigil_ksym_VIGIL_KSYM_SCX_HARDLOCKUP: vigil_ksym = 9;
pub const vigil_ksym_VIGIL_KSYM_PRINT_MODULES: vigil_ksym = 10;
pub const vigil_ksym_VIGIL_KSYM_PRINTK_DEFERRED_ENTER: vigil_ksym = 11;
pub const vigil_ksym_VIGIL_KSYM_PRINTK_DEFERRED_EXIT: vigil_ksym = 12;
pub const vigil_ksym_VIGIL_KSYM_TRIGGER_BACKTRACE: vigil_ksym = 13;
pub const vigil_ksym_VIGIL_NR_KSYMS: vigil_ksym = 14;
pub type vigil_ksym = kernel::ffi::c_uint;
unsafe extern "C" {
    pub fn vigil_ksym_name(ksym: vigil_ksym) -> *const kernel::ffi::c_char;
}
unsafe extern "C" {
    pub fn vigil_ksyms_resolve();
}
unsafe extern "C" {
    pub fn vigil_ksym_bind(ksym: vigil_ksym) -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_kallsyms_lookup_name(name: *const kernel::ffi::c_char) -> kernel::ffi::c_ulong;
}
unsafe extern "C" {
    pub fn vigil_kallsyms_size(address: kernel::ffi::c_ulong) -> kernel::ffi::c_ulong;
}
pub const vigil_netlink_group_VIGIL_NETLINK_INCIDENTS: vigil_netlink_group = 0;
pub const vigil_netlink_group_VIGIL_NETLINK_INCIDENTS_FULL: vigil_netlink_group = 1;
pub const vigil_netlink_group_VIGIL_NR_NETLINK_GROUPS: vigil_netlink_group = 2;
pub type vigil_netlink_group = kernel::ffi::c_uint;
#[doc = " struct vigil_netlink_source - what requests are answered from\n @put_incident: puts the incident with an id into a message; may return -ENOENT\n\tor -EMSGSIZE. @full: with addresses\n @put_incident_after: the same for the one with the smallest id above @id, which\n\tis set to its id. @first: nothing is in the message yet\n @put_state: puts the counts into a message\n @generation: changes whenever an incident does\n\n All may sleep."]
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct vigil_netlink_source {
    pub put_incident: ::core::option::Option<
        unsafe extern "C" fn(
            msg: *mut sk_buff,
            id: kernel::ffi::c_ulonglong,
            full: kernel::ffi::c_int,
        ) -> kernel::ffi::c_int,
    >,
    pub put_incident_after: ::core::option::Option<
        unsafe extern "C" fn(
            msg: *mut sk_buff,
            id: *mut kernel::ffi::c_ulonglong,
            full: kernel::ffi::c_int,
            first: kernel::ffi::c_int,
        ) -> kernel::ffi::c_int,
    >,
    pub put_state:
        ::core::option::Option<unsafe extern "C" fn(msg: *mut sk_buff) -> kernel::ffi::c_int>,
    pub generation: ::core::option::Option<unsafe extern "C" fn() -> kernel::ffi::c_uint>,
}
unsafe extern "C" {
    pub fn vigil_netlink_register(source: *const vigil_netlink_source) -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_netlink_unregister();
}
unsafe extern "C" {
    pub fn vigil_netlink_has_listeners(group: vigil_netlink_group) -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_netlink_event(cmd: kernel::ffi::c_uint) -> *mut sk_buff;
}
unsafe extern "C" {
    pub fn vigil_netlink_free(msg: *mut sk_buff);
}
unsafe extern "C" {
    pub fn vigil_netlink_send(msg: *mut sk_buff, group: vigil_netlink_group) -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_netlink_put(
        msg: *mut sk_buff,
        attr: kernel::ffi::c_uint,
        data: *const kernel::ffi::c_void,
        len: kernel::ffi::c_uint,
    ) -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_netlink_begin(
        msg: *mut sk_buff,
        attr: kernel::ffi::c_uint,
        nested: kernel::ffi::c_int,
    ) -> kernel::ffi::c_uint;
}
unsafe extern "C" {
    pub fn vigil_netlink_append(
        msg: *mut sk_buff,
        data: *const kernel::ffi::c_void,
        len: kernel::ffi::c_uint,
    ) -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_netlink_end(
        msg: *mut sk_buff,
        begin: kernel::ffi::c_uint,
        text: kernel::ffi::c_int,
    ) -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_netlink_trim(msg: *mut sk_buff, begin: kernel::ffi::c_uint);
}
unsafe extern "C" {
    pub fn vigil_netlink_hides_addresses() -> kernel::ffi::c_int;
}
pub const vigil_cpu_context_VIGIL_IN_TASK: vigil_cpu_context = 0;
pub const vigil_cpu_context_VIGIL_IN_SOFTIRQ: vigil_cpu_context = 1;
pub const vigil_cpu_context_VIGIL_IN_HARDIRQ: vigil_cpu_context = 2;
pub const vigil_cpu_context_VIGIL_IN_NMI: vigil_cpu_context = 3;
pub const vigil_cpu_context_VIGIL_IN_IDLE: vigil_cpu_context = 4;
pub type vigil_cpu_context = kernel::ffi::c_uint;
#[doc = " struct vigil_nmi_snapshot - what a CPU was running when it took an NMI\n @stack: the stack that the NMI interrupted, innermost first\n @depth: how many addresses are in @stack\n @pid: the running task\n @comm: its name, with a NUL if that is shorter\n @uid: its effective user\n @cpu: the CPU\n @irqs_on: not 0 if interrupts were on\n @idle: not 0 if the CPU was idle, and in no interrupt\n @context: enum vigil_cpu_context\n @regs: registers that may have the address of what the CPU waits for; the one\n\twith the first argument of a function first"]
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct vigil_nmi_snapshot {
    pub stack: [kernel::ffi::c_ulong; 32usize],
    pub depth: kernel::ffi::c_uint,
    pub pid: kernel::ffi::c_int,
    pub comm: [kernel::ffi::c_char; 16usize],
    pub uid: kernel::ffi::c_uint,
    pub cpu: kernel::ffi::c_uint,
    pub irqs_on: kernel::ffi::c_int,
    pub idle: kernel::ffi::c_int,
    pub context: kernel::ffi::c_uint,
    pub regs: [kernel::ffi::c_ulong; 15usize],
}
unsafe extern "C" {
    pub fn vigil_nmi_register() -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_nmi_unregister();
}
unsafe extern "C" {
    pub fn vigil_nmi_send(cpu: kernel::ffi::c_uint);
}
unsafe extern "C" {
    pub fn vigil_nmi_send_if_online(cpu: kernel::ffi::c_uint) -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_nmi_forget(cpu: kernel::ffi::c_uint);
}
unsafe extern "C" {
    pub fn vigil_nmi_is_answered(cpu: kernel::ffi::c_uint) -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_nmi_entered(cpu: kernel::ffi::c_uint) -> kernel::ffi::c_uint;
}
unsafe extern "C" {
    pub fn vigil_nmi_done(cpu: kernel::ffi::c_uint) -> kernel::ffi::c_uint;
}
unsafe extern "C" {
    pub fn vigil_nmi_snapshot_take(regs: *mut pt_regs);
}
unsafe extern "C" {
    pub fn vigil_nmi_snapshot_read(
        cpu: kernel::ffi::c_uint,
        snapshot: *mut vigil_nmi_snapshot,
    ) -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_nmi_snapshot_show(
        cpu: kernel::ffi::c_uint,
        skip_idle: kernel::ffi::c_int,
    ) -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_kexec_crash_loaded() -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_is_kdump_kernel() -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_param_text(
        name: *const kernel::ffi::c_char,
        len: kernel::ffi::c_ulong,
    ) -> *const kernel::ffi::c_char;
}
#[doc = " struct vigil_perf_event - a cycle counter of one CPU\n @event: perf's event; NULL while it does not count\n @overflow: called in the interrupt of each overflow with @arg and, if that is\n\tan NMI, with the registers that it interrupted; else with NULL\n @arg: the first argument of @overflow"]
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct vigil_perf_event {
    pub event: *mut kernel::ffi::c_void,
    pub overflow: ::core::option::Option<
        unsafe extern "C" fn(arg: *mut kernel::ffi::c_void, regs: *mut pt_regs),
    >,
    pub arg: *mut kernel::ffi::c_void,
}
unsafe extern "C" {
    pub fn vigil_perf_event_start(
        counter: *mut vigil_perf_event,
        cpu: kernel::ffi::c_uint,
        period: kernel::ffi::c_ulonglong,
    ) -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_perf_event_stop(counter: *mut vigil_perf_event);
}
unsafe extern "C" {
    pub fn vigil_perf_event_probe() -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_printk_cpu_sync_try_get(flags: *mut kernel::ffi::c_ulong) -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_printk_cpu_sync_put(locked: kernel::ffi::c_int, flags: kernel::ffi::c_ulong);
}
unsafe extern "C" {
    pub fn vigil_print_modules();
}
unsafe extern "C" {
    pub fn vigil_is_console_locked() -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_has_legacy_console() -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_printk_defer(flags: *mut kernel::ffi::c_ulong) -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_printk_defer_end(deferred: kernel::ffi::c_int, flags: kernel::ffi::c_ulong);
}
unsafe extern "C" {
    pub fn vigil_proc_lookup(
        mount: *mut vfsmount,
        path: *const kernel::ffi::c_char,
    ) -> kernel::ffi::c_int;
}
#[doc = " struct vigil_rt_mutex_wait - what a task waits for through a real-time mutex\n @lock: address of the lock (struct rt_mutex_base)\n @owner: its owner word\n @is_rtlock: not 0 if it is that of a spinlock_t or a rwlock_t"]
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct vigil_rt_mutex_wait {
    pub lock: kernel::ffi::c_ulong,
    pub owner: kernel::ffi::c_ulong,
    pub is_rtlock: kernel::ffi::c_int,
}
#[doc = " struct vigil_rt_waiter_offsets - where members of struct rt_mutex_waiter are\n @task: the task that waits, a pointer\n @lock: the lock, a pointer\n @wake_state: the state that the task sleeps in, an unsigned int"]
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct vigil_rt_waiter_offsets {
    pub task: kernel::ffi::c_uint,
    pub lock: kernel::ffi::c_uint,
    pub wake_state: kernel::ffi::c_uint,
}
unsafe extern "C" {
    pub fn vigil_rt_waiter_offsets(offsets: *mut vigil_rt_waiter_offsets) -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_set_rt_waiter_offsets(offsets: *const vigil_rt_waiter_offsets);
}
unsafe extern "C" {
    pub fn vigil_rt_mutex_wait(
        task: *mut task_struct,
        wait: *mut vigil_rt_mutex_wait,
    ) -> kernel::ffi::c_int;
}
#[doc = " struct vigil_rq_offsets - where counts of struct rq are\n @nr_uninterruptible: that of tasks in uninterruptible sleep, an unsigned long\n @nr_running: that of runnable tasks, an unsigned int"]
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct vigil_rq_offsets {
    pub nr_uninterruptible: kernel::ffi::c_uint,
    pub nr_running: kernel::ffi::c_uint,
}
unsafe extern "C" {
    pub fn vigil_rq_offsets(offsets: *mut vigil_rq_offsets) -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_rq_sum(
        runqueues: kernel::ffi::c_ulong,
        offsets: *const vigil_rq_offsets,
        running: *mut kernel::ffi::c_ulong,
    ) -> kernel::ffi::c_long;
}
unsafe extern "C" {
    pub fn vigil_scx_softlockup(seconds: kernel::ffi::c_uint);
}
unsafe extern "C" {
    pub fn vigil_scx_hardlockup(cpu: kernel::ffi::c_uint) -> kernel::ffi::c_int;
}
#[doc = " struct vigil_call - a request to another CPU to run a function\n @next: address of the next one in the queue of that CPU\n @function: the function\n @flags: CSD_FLAG_* and CSD_TYPE_*"]
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct vigil_call {
    pub next: kernel::ffi::c_ulong,
    pub function: kernel::ffi::c_ulong,
    pub flags: kernel::ffi::c_uint,
}
#[doc = " struct vigil_spinlock - what may be a spinlock\n @word: its first 32 bits\n @has_magic: not 0 if SPINLOCK_MAGIC is behind them\n @owner_cpu: the CPU that has taken it, or -1: known only with the magic number"]
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct vigil_spinlock {
    pub word: kernel::ffi::c_uint,
    pub has_magic: kernel::ffi::c_int,
    pub owner_cpu: kernel::ffi::c_int,
}
unsafe extern "C" {
    pub fn vigil_per_cpu_address(
        variable: kernel::ffi::c_ulong,
        cpu: kernel::ffi::c_uint,
    ) -> kernel::ffi::c_ulong;
}
unsafe extern "C" {
    pub fn vigil_call_read(
        address: kernel::ffi::c_ulong,
        call: *mut vigil_call,
    ) -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_running_stack(
        cpu: kernel::ffi::c_uint,
        size: *mut kernel::ffi::c_ulong,
    ) -> kernel::ffi::c_ulong;
}
unsafe extern "C" {
    pub fn vigil_spinlock_read(
        address: kernel::ffi::c_ulong,
        lock: *mut vigil_spinlock,
    ) -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_stack_save_interrupted(
        stack: *mut kernel::ffi::c_ulong,
        size: kernel::ffi::c_uint,
    ) -> kernel::ffi::c_uint;
}
unsafe extern "C" {
    pub fn vigil_set_cpuidle_text(start: kernel::ffi::c_ulong, end: kernel::ffi::c_ulong);
}
unsafe extern "C" {
    pub fn vigil_interrupted_is_in(function: *const kernel::ffi::c_char) -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_interrupted_context() -> kernel::ffi::c_uint;
}
unsafe extern "C" {
    pub fn vigil_interrupted_wait_regs(regs: *mut kernel::ffi::c_ulong);
}
unsafe extern "C" {
    pub fn vigil_show_interrupted(regs: *mut pt_regs);
}
unsafe extern "C" {
    pub fn vigil_backtrace_cpu(cpu: kernel::ffi::c_uint);
}
unsafe extern "C" {
    pub fn vigil_backtrace_others(cpu: kernel::ffi::c_uint);
}
unsafe extern "C" {
    pub fn vigil_backtrace_is_nmi() -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_stopper_queue(
        cpu: kernel::ffi::c_uint,
        fn_: ::core::option::Option<
            unsafe extern "C" fn(arg: *mut kernel::ffi::c_void) -> kernel::ffi::c_int,
        >,
        arg: *mut kernel::ffi::c_void,
        work: *mut vigil_stop_work,
    );
}
unsafe extern "C" {
    pub fn vigil_sys_info(mask: kernel::ffi::c_ulong);
}
pub const vigil_lockup_count_VIGIL_SOFTLOCKUP_COUNT: vigil_lockup_count = 0;
pub const vigil_lockup_count_VIGIL_HARDLOCKUP_COUNT: vigil_lockup_count = 1;
pub const vigil_lockup_count_VIGIL_NR_LOCKUP_COUNTS: vigil_lockup_count = 2;
pub type vigil_lockup_count = kernel::ffi::c_uint;
unsafe extern "C" {
    pub fn vigil_lockup_counts_add(
        read: ::core::option::Option<
            unsafe extern "C" fn(
                arg: *mut kernel::ffi::c_void,
                count: kernel::ffi::c_uint,
            ) -> kernel::ffi::c_ulonglong,
        >,
        arg: *mut kernel::ffi::c_void,
    ) -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_lockup_counts_remove();
}
unsafe extern "C" {
    pub fn vigil_print_tainted() -> *const kernel::ffi::c_char;
}
unsafe extern "C" {
    pub fn vigil_task_is_counted(task: *mut task_struct) -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_task_ns_pid(task: *mut task_struct) -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_scan_tasks(
        next: *mut kernel::ffi::c_int,
        budget: *mut kernel::ffi::c_uint,
        wanted: kernel::ffi::c_uint,
        maybe: kernel::ffi::c_uint,
        unwanted: kernel::ffi::c_uint,
        found: *mut *mut task_struct,
        max: kernel::ffi::c_uint,
    ) -> kernel::ffi::c_uint;
}
unsafe extern "C" {
    pub fn vigil_virt_addr_valid(address: kernel::ffi::c_ulong) -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_task_io(task: *mut task_struct) -> kernel::ffi::c_ulonglong;
}
unsafe extern "C" {
    pub fn vigil_run_on_half(odd: kernel::ffi::c_int);
}
unsafe extern "C" {
    pub fn vigil_sched_show_task(task: *mut task_struct);
}
unsafe extern "C" {
    pub fn vigil_cond_resched();
}
#[doc = " struct vigil_completion_wait - a wait of a task for a completion\n @next: the neighbours of the task in the list of waiters: the head of the list,\n\twhich is in the completion, or other waiters\n @prev: see @next\n @barrier: if that is the completion of a barrier in a workqueue, the barrier's\n\tentry in the list of works; else 0\n @barrier_prev: what is before the barrier in that list"]
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct vigil_completion_wait {
    pub next: kernel::ffi::c_ulong,
    pub prev: kernel::ffi::c_ulong,
    pub barrier: kernel::ffi::c_ulong,
    pub barrier_prev: kernel::ffi::c_ulong,
}
#[doc = " struct vigil_task_completes - what a task completes\n @waiters: the head of the list of those that wait for its end; 0: none\n @scheduled: of a kworker, the head of the list of works that it carries out\n\tbehind the current one; 0: it is none, or that is not known"]
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct vigil_task_completes {
    pub waiters: kernel::ffi::c_ulong,
    pub scheduled: kernel::ffi::c_ulong,
}
unsafe extern "C" {
    pub fn vigil_completion_wait(
        task: *mut task_struct,
        barrier_func: kernel::ffi::c_ulong,
        wait: *mut vigil_completion_wait,
    ) -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_task_completes(task: *mut task_struct, completes: *mut vigil_task_completes);
}
unsafe extern "C" {
    pub fn vigil_knows_works() -> kernel::ffi::c_int;
}
pub const vigil_touch_VIGIL_TOUCH_SOFTLOCKUP_WATCHDOG: vigil_touch = 0;
pub const vigil_touch_VIGIL_TOUCH_SOFTLOCKUP_WATCHDOG_SYNC: vigil_touch = 1;
pub const vigil_touch_VIGIL_TOUCH_ALL_SOFTLOCKUP_WATCHDOGS: vigil_touch = 2;
pub const vigil_touch_VIGIL_TOUCH_NMI_WATCHDOG: vigil_touch = 3;
pub const vigil_touch_VIGIL_NR_TOUCHES: vigil_touch = 4;
pub type vigil_touch = kernel::ffi::c_uint;
unsafe extern "C" {
    pub fn vigil_touch_set_stack_printer(
        nr: kernel::ffi::c_uint,
        start: kernel::ffi::c_ulong,
        end: kernel::ffi::c_ulong,
    );
}
unsafe extern "C" {
    pub fn vigil_touch_name(touch: vigil_touch) -> *const kernel::ffi::c_char;
}
unsafe extern "C" {
    pub fn vigil_touch_probe(touch: vigil_touch) -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_touch_unprobe(touches: kernel::ffi::c_uint);
}
unsafe extern "C" {
    pub fn vigil_softlockup_touches(cpu: kernel::ffi::c_uint) -> kernel::ffi::c_uint;
}
unsafe extern "C" {
    pub fn vigil_task_touches(cpu: kernel::ffi::c_uint) -> kernel::ffi::c_uint;
}
unsafe extern "C" {
    pub fn vigil_hardlockup_touches(cpu: kernel::ffi::c_uint) -> kernel::ffi::c_uint;
}
unsafe extern "C" {
    pub fn vigil_touched_at(cpu: kernel::ffi::c_uint) -> kernel::ffi::c_ulonglong;
}
unsafe extern "C" {
    pub fn vigil_touch_nmi_watchdog();
}
unsafe extern "C" {
    pub fn vigil_touch_hardlockup_watchdog();
}
pub const vigil_trace_event_VIGIL_TRACE_START: vigil_trace_event = 0;
pub const vigil_trace_event_VIGIL_TRACE_CHANGE: vigil_trace_event = 1;
pub const vigil_trace_event_VIGIL_TRACE_END: vigil_trace_event = 2;
pub type vigil_trace_event = kernel::ffi::c_uint;
#[doc = " struct vigil_trace_incident - what is traced of an incident\n @id: its id\n @age: how long it has lasted, in nanoseconds\n @kind: what was found\n @cpu: the CPU that is stuck, or on which the task ran last\n @pid: the task, or -1\n @comm: its name\n @behind: how many hung tasks wait behind a root cause\n @how: how it has ended; 0 if it is on"]
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct vigil_trace_incident {
    pub id: kernel::ffi::c_ulonglong,
    pub age: kernel::ffi::c_ulonglong,
    pub kind: kernel::ffi::c_uint,
    pub cpu: kernel::ffi::c_uint,
    pub pid: kernel::ffi::c_int,
    pub comm: [kernel::ffi::c_char; 16usize],
    pub behind: kernel::ffi::c_uint,
    pub how: kernel::ffi::c_uint,
}
unsafe extern "C" {
    pub fn vigil_trace_incident_event(
        event: vigil_trace_event,
        incident: *const vigil_trace_incident,
    );
}
unsafe extern "C" {
    pub fn vigil_trace_hung_task_scan(
        duration: kernel::ffi::c_ulonglong,
        scanned: kernel::ffi::c_uint,
        tracked: kernel::ffi::c_uint,
        hung: kernel::ffi::c_uint,
        full: kernel::ffi::c_uint,
    );
}
unsafe extern "C" {
    pub fn vigil_trace_sched_process_hang(task: *mut task_struct);
}
unsafe extern "C" {
    pub fn vigil_release() -> *const kernel::ffi::c_char;
}
unsafe extern "C" {
    pub fn vigil_version() -> *const kernel::ffi::c_char;
}
unsafe extern "C" {
    pub fn vigil_package_id() -> *const kernel::ffi::c_char;
}
unsafe extern "C" {
    pub fn vigil_writeback_written(
        task: *mut task_struct,
        written: *mut kernel::ffi::c_ulonglong,
    ) -> kernel::ffi::c_int;
}
