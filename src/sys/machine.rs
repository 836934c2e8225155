// SPDX-License-Identifier: GPL-2.0

//! The state of the machine as a whole: crashing or not, its kernel's name; and the panic.
//!
//! C header: [`include/linux/panic.h`](srctree/include/linux/panic.h)

use super::{bytes_of, ffi, task};
use crate::logic::blocker::Who;
use kernel::{bindings, prelude::*};

/// Ticks a second.
// `bindings::HZ` is the one of user space, always 100.
pub(crate) const HZ: i64 = bindings::CONFIG_HZ as i64;

/// Whether an oops has happened or a panic is under way: what tasks do then says nothing.
///
/// # Context
///
/// Any.
pub(crate) fn crashing() -> bool {
    // SAFETY: May be called from any context with any flag that exists.
    let died = unsafe { bindings::test_taint(bindings::TAINT_DIE) } != 0;
    // SAFETY: May be called from any context.
    died || unsafe { bindings::panic_in_progress() }
}

/// How the kernel calls itself in reports.
pub(crate) struct KernelName {
    /// As `uname -r` says.
    pub(crate) release: &'static [u8],
    /// As `uname -v` says.
    pub(crate) version: &'static [u8],
    /// What a distribution's kernel adds to that (`LINUX_PACKAGE_ID`), with a blank in front; often
    /// nothing.
    pub(crate) package: &'static [u8],
}

/// How the kernel calls itself.
pub(crate) fn kernel_name() -> KernelName {
    // SAFETY: Each is a NUL-terminated array that lives for ever, which `sethostname()` and its
    // like do not change.
    unsafe {
        KernelName {
            release: bytes_of(ffi::vigil_release()),
            version: bytes_of(ffi::vigil_version()),
            package: bytes_of(ffi::vigil_package_id()),
        }
    }
}

/// From now on everything that is logged reaches the console: a panic is about to be.
pub(crate) fn console_verbose() {
    // SAFETY: Sets one variable.
    unsafe { bindings::console_verbose() };
}

/// Tells the in-tree lockup detectors that long output is on its way.
pub(crate) fn touch_watchdogs() {
    // SAFETY: May be called from any context.
    unsafe { ffi::vigil_touch_watchdogs() };
}

/// Stops the machine with mainline's message for hung tasks.
///
/// # Context
///
/// Any.
pub(crate) fn panic_hung_task() -> ! {
    // SAFETY: The format has no conversions. The machine ends here.
    unsafe { bindings::panic(c"hung_task: blocked tasks".as_char_ptr()) }
}

/// Whether a panic is under way.
///
/// # Context
///
/// Any.
pub(crate) fn panicking() -> bool {
    // SAFETY: May be called from any context.
    unsafe { bindings::panic_in_progress() }
}

/// Stops the machine with mainline's message for soft lockups.
///
/// # Context
///
/// Any.
pub(crate) fn panic_soft_lockup() -> ! {
    // SAFETY: The format has no conversions. The machine ends here.
    unsafe { bindings::panic(c"softlockup: hung tasks".as_char_ptr()) }
}

/// Stops the machine with mainline's message for hard lockups, unless another CPU is already
/// doing so.
///
/// # Context
///
/// Any, NMI included.
pub(crate) fn panic_hard_lockup() {
    // SAFETY: NULL says that there are no registers of an NMI to save; the text is static.
    unsafe { bindings::nmi_panic(core::ptr::null_mut(), c"Hard LOCKUP".as_char_ptr()) };
}

/// Stops the machine because a CPU does not run.
///
/// # Context
///
/// Any.
pub(crate) fn panic_unresponsive_cpu() -> ! {
    // SAFETY: The format has no conversions. The machine ends here.
    unsafe { bindings::panic(c"vigil: unresponsive CPU".as_char_ptr()) }
}

/// Notes in the kernel's taint that there was a soft lockup.
///
/// # Context
///
/// Any.
pub(crate) fn taint_soft_lockup() {
    // SAFETY: The flag exists; lock debugging stays usable.
    unsafe {
        bindings::add_taint(
            bindings::TAINT_SOFTLOCKUP,
            bindings::lockdep_ok_LOCKDEP_STILL_OK,
        )
    };
}

/// Name and number of the running task.
///
/// # Context
///
/// Any.
pub(crate) fn current_task() -> Who {
    task::who(current!())
}
