// SPDX-License-Identifier: GPL-2.0

//! Safe abstractions over what the `kernel` crate does not have yet, in its style: one concept a
//! file, each value owns what it registers and undoes it when dropped.
//!
//! This is the only place with `unsafe` code and raw bindings. Nothing in here knows a detector.

mod ffi;

pub(crate) mod buffer;
pub(crate) mod clock;
pub(crate) mod context;
pub(crate) mod cpu;
pub(crate) mod cpufreq;
pub(crate) mod cpuhp;
pub(crate) mod crash_record;
pub(crate) mod debugfs;
pub(crate) mod errno;
pub(crate) mod irqstat;
pub(crate) mod ksyms;
pub(crate) mod kthread;
pub(crate) mod lock_words;
pub(crate) mod nmi;
pub(crate) mod panic;
pub(crate) mod param;
pub(crate) mod pause_clock;
pub(crate) mod perf_event;
pub(crate) mod pm;
pub(crate) mod printk;
pub(crate) mod runqueue;
pub(crate) mod sysctl;
pub(crate) mod task;
#[cfg(CONFIG_KUNIT = "y")]
mod testing;
pub(crate) mod touch;
pub(crate) mod utsname;
pub(crate) mod watchdog_timer;

use kernel::{bindings, ffi::c_char};

/// The bytes of a text from C, without its NUL.
///
/// As `CStr::from_char_ptr().to_bytes()`, whose arithmetic would bring a panic path along.
///
/// # Safety
///
/// `text` points to a NUL-terminated text that is neither freed nor cut short during `'a`.
unsafe fn bytes_of<'a>(text: *const c_char) -> &'a [u8] {
    // SAFETY: By the function's own requirement.
    let len = unsafe { bindings::strlen(text) };
    // SAFETY: As many bytes stand before the NUL.
    unsafe { core::slice::from_raw_parts(text, len) }
}
