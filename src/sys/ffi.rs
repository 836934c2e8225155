// SPDX-License-Identifier: GPL-2.0

//! Prototypes of the C part. Generated from `src/c/vigil.h` by `make ffi`: do not edit.

#![allow(dead_code, missing_docs, unreachable_pub)]
#![allow(improper_ctypes)] // task_struct has a member of no size
#![allow(non_upper_case_globals, non_camel_case_types)]

use kernel::bindings::task_struct;

pub const vigil_call_VIGIL_CALL_KALLSYMS: vigil_call = 0;
pub const vigil_call_VIGIL_CALL_PRINT_TAINTED: vigil_call = 1;
pub const vigil_call_VIGIL_CALL_SYS_INFO: vigil_call = 2;
pub const vigil_call_VIGIL_CALL_TRACE_HANG: vigil_call = 3;
pub const vigil_call_VIGIL_CALLS: vigil_call = 4;
#[doc = " enum vigil_call - the functions that can be bound"]
pub type vigil_call = kernel::ffi::c_uint;
unsafe extern "C" {
    pub fn vigil_call_name(call: vigil_call) -> *const kernel::ffi::c_char;
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
    pub fn vigil_trace_hang(task: *mut task_struct);
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
    pub fn vigil_task_by_pid(pid: kernel::ffi::c_int) -> *mut task_struct;
}
unsafe extern "C" {
    pub fn vigil_task_in_iowait(task: *const task_struct) -> kernel::ffi::c_int;
}
unsafe extern "C" {
    pub fn vigil_show_task(task: *mut task_struct);
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
unsafe extern "C" {
    pub fn vigil_param_hung_task_sys_info() -> *const kernel::ffi::c_char;
}
