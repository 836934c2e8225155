// SPDX-License-Identifier: GPL-2.0

//! Prototypes of the C part. Generated from `src/c/vigil.h` by `make ffi`: do not edit.

#![allow(dead_code, missing_docs, unreachable_pub)]
#![allow(improper_ctypes)] // task_struct has a member of no size
#![allow(non_upper_case_globals, non_camel_case_types)]

use kernel::bindings::{pt_regs, task_struct};

pub const VIGIL_STACK: u32 = 18;
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct vfsmount {
    _unused: [u8; 0],
}
pub const vigil_call_VIGIL_CALL_KALLSYMS: vigil_call = 0;
pub const vigil_call_VIGIL_CALL_PRINT_TAINTED: vigil_call = 1;
pub const vigil_call_VIGIL_CALL_SYS_INFO: vigil_call = 2;
pub const vigil_call_VIGIL_CALL_TRACE_HANG: vigil_call = 3;
pub const vigil_call_VIGIL_CALL_STOPPER: vigil_call = 4;
pub const vigil_call_VIGIL_CALL_SHOW_REGS: vigil_call = 5;
pub const vigil_call_VIGIL_CALL_PRINT_MODULES: vigil_call = 6;
pub const vigil_call_VIGIL_CALL_BACKTRACE: vigil_call = 7;
pub const vigil_call_VIGIL_CALLS: vigil_call = 8;
#[doc = " enum vigil_call - the functions that can be bound"]
pub type vigil_call = kernel::ffi::c_uint;
unsafe extern "C" {
    pub fn vigil_call_name(call: vigil_call) -> *const kernel::ffi::c_char;
}
unsafe extern "C" {
    pub fn vigil_calls_find();
}
unsafe extern "C" {
    pub fn vigil_call_bind(call: vigil_call) -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_kallsyms_lookup_name(name: *const kernel::ffi::c_char) -> kernel::ffi::c_ulong;
}
unsafe extern "C" {
    pub fn vigil_print_tainted() -> *const kernel::ffi::c_char;
}
unsafe extern "C" {
    pub fn vigil_sys_info(mask: kernel::ffi::c_ulong);
}
unsafe extern "C" {
    pub fn vigil_sys_info_later(mask: kernel::ffi::c_ulong);
}
unsafe extern "C" {
    pub fn vigil_sys_info_shown() -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_sys_info_finish();
}
unsafe extern "C" {
    pub fn vigil_trace_hang(task: *mut task_struct);
}
unsafe extern "C" {
    pub fn vigil_queue_stopper(
        cpu: kernel::ffi::c_uint,
        fn_: ::core::option::Option<
            unsafe extern "C" fn(arg: *mut kernel::ffi::c_void) -> kernel::ffi::c_int,
        >,
        arg: *mut kernel::ffi::c_void,
    );
}
unsafe extern "C" {
    pub fn vigil_show_regs(regs: *mut pt_regs);
}
unsafe extern "C" {
    pub fn vigil_print_modules();
}
unsafe extern "C" {
    pub fn vigil_backtrace_cpu(cpu: kernel::ffi::c_uint);
}
unsafe extern "C" {
    pub fn vigil_backtrace_is_nmi() -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_backtrace_others(cpu: kernel::ffi::c_uint);
}
unsafe extern "C" {
    pub fn vigil_scan_tasks(
        next: *mut kernel::ffi::c_int,
        budget: *mut kernel::ffi::c_uint,
        wanted: kernel::ffi::c_uint,
        unwanted: kernel::ffi::c_uint,
        found: *mut *mut task_struct,
        max: kernel::ffi::c_uint,
    ) -> kernel::ffi::c_uint;
}
unsafe extern "C" {
    pub fn vigil_virt_addr_valid(address: kernel::ffi::c_ulong) -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_sched_show_task(task: *mut task_struct);
}
unsafe extern "C" {
    pub fn vigil_touch_watchdogs();
}
unsafe extern "C" {
    pub fn vigil_cond_resched();
}
unsafe extern "C" {
    pub fn vigil_rq_readable() -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_rq_sum(
        runqueues: kernel::ffi::c_ulong,
        running: *mut kernel::ffi::c_ulong,
    ) -> kernel::ffi::c_long;
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
pub const vigil_touch_VIGIL_TOUCH_SOFT: vigil_touch = 0;
pub const vigil_touch_VIGIL_TOUCH_SOFT_SYNC: vigil_touch = 1;
pub const vigil_touch_VIGIL_TOUCH_SOFT_ALL: vigil_touch = 2;
pub const vigil_touch_VIGIL_TOUCH_HARD: vigil_touch = 3;
pub const vigil_touch_VIGIL_TOUCHES: vigil_touch = 4;
#[doc = " enum vigil_touch - functions by which slow code asks for patience"]
pub type vigil_touch = kernel::ffi::c_uint;
unsafe extern "C" {
    pub fn vigil_irq_regs() -> *mut pt_regs;
}
unsafe extern "C" {
    pub fn vigil_this_cpu() -> kernel::ffi::c_uint;
}
unsafe extern "C" {
    pub fn vigil_nr_cpus() -> kernel::ffi::c_uint;
}
unsafe extern "C" {
    pub fn vigil_most_cpus() -> kernel::ffi::c_uint;
}
unsafe extern "C" {
    pub fn vigil_cpu_possible(cpu: kernel::ffi::c_uint) -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_cpu_housekeeping(cpu: kernel::ffi::c_uint) -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_log_lock(flags: *mut kernel::ffi::c_ulong) -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_log_unlock(locked: kernel::ffi::c_int, flags: kernel::ffi::c_ulong);
}
unsafe extern "C" {
    pub fn vigil_stolen_ns(cpu: kernel::ffi::c_uint) -> kernel::ffi::c_ulonglong;
}
unsafe extern "C" {
    pub fn vigil_guest_paused(cpu: kernel::ffi::c_uint) -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_cpu_times(cpu: kernel::ffi::c_uint, times: *mut kernel::ffi::c_ulonglong);
}
unsafe extern "C" {
    pub fn vigil_touch_name(touch: vigil_touch) -> *const kernel::ffi::c_char;
}
unsafe extern "C" {
    pub fn vigil_touch_start(touch: vigil_touch) -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_touch_stop(touches: kernel::ffi::c_uint);
}
unsafe extern "C" {
    pub fn vigil_soft_touches(cpu: kernel::ffi::c_uint) -> kernel::ffi::c_uint;
}
unsafe extern "C" {
    pub fn vigil_hard_touches(cpu: kernel::ffi::c_uint) -> kernel::ffi::c_uint;
}
unsafe extern "C" {
    pub fn vigil_nmi_start() -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_nmi_stop();
}
unsafe extern "C" {
    pub fn vigil_nmi_ask(cpu: kernel::ffi::c_uint);
}
unsafe extern "C" {
    pub fn vigil_nmis_begun(cpu: kernel::ffi::c_uint) -> kernel::ffi::c_uint;
}
unsafe extern "C" {
    pub fn vigil_nmis_taken(cpu: kernel::ffi::c_uint) -> kernel::ffi::c_uint;
}
#[doc = " struct vigil_snapshot - what a CPU was at when it was asked by NMI\n @stack: its stack, innermost first\n @depth: how many addresses of that are there\n @pid: the running task\n @comm: its name, with a NUL if that is shorter"]
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct vigil_snapshot {
    pub stack: [kernel::ffi::c_ulong; 18usize],
    pub depth: kernel::ffi::c_uint,
    pub pid: kernel::ffi::c_int,
    pub comm: [kernel::ffi::c_char; 16usize],
}
unsafe extern "C" {
    pub fn vigil_log_clock() -> kernel::ffi::c_ulonglong;
}
unsafe extern "C" {
    pub fn vigil_wall_clock() -> kernel::ffi::c_ulonglong;
}
unsafe extern "C" {
    pub fn vigil_crash_kernel_loaded() -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_stack_of(
        task: *mut task_struct,
        stack: *mut kernel::ffi::c_ulong,
        size: kernel::ffi::c_uint,
    ) -> kernel::ffi::c_uint;
}
unsafe extern "C" {
    pub fn vigil_stack_interrupted(
        stack: *mut kernel::ffi::c_ulong,
        size: kernel::ffi::c_uint,
    ) -> kernel::ffi::c_uint;
}
unsafe extern "C" {
    pub fn vigil_stack_print(stack: *const kernel::ffi::c_ulong, depth: kernel::ffi::c_uint);
}
unsafe extern "C" {
    pub fn vigil_snapshot_take(regs: *mut pt_regs);
}
unsafe extern "C" {
    pub fn vigil_snapshot_read(cpu: kernel::ffi::c_uint, snapshot: *mut vigil_snapshot);
}
unsafe extern "C" {
    pub fn vigil_nr_irqs() -> kernel::ffi::c_uint;
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
    pub fn vigil_local_irqs() -> kernel::ffi::c_uint;
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
unsafe extern "C" {
    pub fn vigil_proc_mount() -> *mut vfsmount;
}
unsafe extern "C" {
    pub fn vigil_proc_lookup(
        mount: *mut vfsmount,
        path: *const kernel::ffi::c_char,
    ) -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_proc_unmount(mount: *mut vfsmount);
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct vigil_counter {
    pub event: *mut kernel::ffi::c_void,
    pub fn_: ::core::option::Option<
        unsafe extern "C" fn(arg: *mut kernel::ffi::c_void, regs: *mut pt_regs),
    >,
    pub arg: *mut kernel::ffi::c_void,
}
unsafe extern "C" {
    pub fn vigil_cpu_khz(cpu: kernel::ffi::c_uint) -> kernel::ffi::c_ulong;
}
unsafe extern "C" {
    pub fn vigil_counter_start(
        counter: *mut vigil_counter,
        cpu: kernel::ffi::c_uint,
        period: kernel::ffi::c_ulonglong,
    ) -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_counter_stop(counter: *mut vigil_counter);
}
unsafe extern "C" {
    pub fn vigil_counter_try() -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_khz_watch(
        fn_: ::core::option::Option<unsafe extern "C" fn(arg: *mut kernel::ffi::c_void)>,
        arg: *mut kernel::ffi::c_void,
    ) -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_khz_unwatch();
}
unsafe extern "C" {
    pub fn vigil_heart_start() -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_heart_stop();
}
unsafe extern "C" {
    pub fn vigil_queue_heart(
        cpu: kernel::ffi::c_uint,
        fn_: ::core::option::Option<
            unsafe extern "C" fn(arg: *mut kernel::ffi::c_void) -> kernel::ffi::c_int,
        >,
        arg: *mut kernel::ffi::c_void,
    );
}
unsafe extern "C" {
    pub fn vigil_param_hung_task_sys_info() -> *const kernel::ffi::c_char;
}
unsafe extern "C" {
    pub fn vigil_param_softlockup_sys_info() -> *const kernel::ffi::c_char;
}
unsafe extern "C" {
    pub fn vigil_param_hardlockup_sys_info() -> *const kernel::ffi::c_char;
}
unsafe extern "C" {
    pub fn vigil_param_watchdog_cpumask() -> *const kernel::ffi::c_char;
}
unsafe extern "C" {
    pub fn vigil_param_hardlockup_backend() -> *const kernel::ffi::c_char;
}
