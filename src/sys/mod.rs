// SPDX-License-Identifier: GPL-2.0

//! Safe abstractions over the parts of the kernel that the `kernel` crate does not cover yet, in its
//! style: one concept of the kernel a file, under the kernel's name for it. A value owns what it
//! registers; dropping it unregisters that and waits until the kernel calls no code of it any more,
//! as the docs of each type say.
//!
//! This is the only place with `unsafe` code and raw bindings. It knows no detector.

mod ffi;

pub(crate) mod atomic;
pub(crate) mod backtrace;
pub(crate) mod blkdev;
pub(crate) mod btf;
pub(crate) mod buffer;
pub(crate) mod cgroup;
pub(crate) mod clock;
pub(crate) mod context;
pub(crate) mod cpu;
pub(crate) mod cpufreq;
pub(crate) mod cpuhp;
pub(crate) mod crash_record;
pub(crate) mod debugfs;
pub(crate) mod errno;
pub(crate) mod event_ring;
mod fifo_thread;
pub(crate) mod in_tree_timer;
pub(crate) mod incident_table;
pub(crate) mod irq_work;
pub(crate) mod irqstat;
mod irqtrace;
pub(crate) mod kallsyms;
pub(crate) mod ksyms;
pub(crate) mod kthread;
pub(crate) mod lock_words;
pub(crate) mod netlink;
pub(crate) mod nmi;
pub(crate) mod panic;
pub(crate) mod param;
pub(crate) mod pause_clock;
pub(crate) mod perf_event;
pub(crate) mod pm;
pub(crate) mod printk;
pub(crate) mod procfs;
pub(crate) mod rtmutex;
pub(crate) mod runqueue;
mod sched_ext;
mod single;
pub(crate) mod smp;
pub(crate) mod stacktrace;
pub(crate) mod stopper;
pub(crate) mod sys_info;
pub(crate) mod sysctl;
pub(crate) mod sysfs;
pub(crate) mod taint;
pub(crate) mod task;
pub(crate) mod task_wait;
#[cfg(CONFIG_KUNIT = "y")]
mod testing;
pub(crate) mod touch;
pub(crate) mod trace;
mod tracepoint;
pub(crate) mod utsname;
pub(crate) mod watchdog_timer;
pub(crate) mod writeback;

use kernel::{
    bindings,
    ffi::c_char, //
};

/// Returns the bytes of a C string, without its NUL.
///
/// As `CStr::from_char_ptr().to_bytes()`, whose arithmetic would add a panic path.
///
/// # Safety
///
/// `text` points to a NUL-terminated string that does not change during `'a`.
unsafe fn bytes_of<'a>(text: *const c_char) -> &'a [u8] {
    // SAFETY: By the function's safety requirement.
    let len = unsafe { bindings::strlen(text) };
    // SAFETY: As many bytes are in front of the NUL.
    unsafe { core::slice::from_raw_parts(text, len) }
}
