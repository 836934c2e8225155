// SPDX-License-Identifier: GPL-2.0

//! The state of the machine as a whole: crashing or not, its kernel's name; and the panic.
//!
//! C header: [`include/linux/panic.h`](srctree/include/linux/panic.h)

use super::{bytes_of, ffi, perf::InNmi, task};
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

/// Whether a panic would start a crash kernel, which saves the machine's memory.
///
/// # Context
///
/// Any.
pub(crate) fn crash_kernel_loaded() -> bool {
    // SAFETY: Reads one variable.
    unsafe { ffi::vigil_crash_kernel_loaded() != 0 }
}

/// Words of a panic.
///
/// # Invariants
///
/// A format without conversions.
pub(crate) struct Words(&'static CStr);

// INVARIANT: None of them has a conversion.
impl Words {
    /// Mainline's for hung tasks.
    pub(crate) const HUNG_TASK: Self = Self(c"hung_task: blocked tasks");
    /// Mainline's for soft lockups.
    pub(crate) const SOFT_LOCKUP: Self = Self(c"softlockup: hung tasks");
    /// Mainline's for hard lockups.
    pub(crate) const HARD_LOCKUP: Self = Self(c"Hard LOCKUP");
    /// A CPU does not run.
    pub(crate) const UNRESPONSIVE_CPU: Self = Self(c"vigil: unresponsive CPU");
}

/// Stops the machine.
///
/// # Context
///
/// Any but NMI.
pub(crate) fn panic(words: &Words) -> ! {
    // SAFETY: By its invariant the format wants no arguments. The machine ends here.
    unsafe { bindings::panic(words.0.as_char_ptr()) }
}

/// Stops the machine from an NMI, unless another CPU is already doing so.
///
/// # Context
///
/// NMI.
pub(crate) fn panic_in_nmi(words: &Words, nmi: &InNmi<'_>) {
    // SAFETY: As in `panic`; the registers are the running NMI's.
    unsafe { bindings::nmi_panic(nmi.regs(), words.0.as_char_ptr()) };
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

/// Stops the machine with mainline's message for hard lockups, unless another CPU is already
/// doing so.
///
/// # Context
///
/// Process context, or hard interrupt.
pub(crate) fn panic_hard_lockup() {
    // SAFETY: May be asked anywhere; outside of an interrupt there are none.
    let regs = unsafe { ffi::vigil_irq_regs() };
    if regs.is_null() {
        panic(&Words::HARD_LOCKUP)
    }
    // SAFETY: As in `panic`; the registers are those of the running interrupt, which are saved if
    // this CPU is stopped by another's panic.
    unsafe { bindings::nmi_panic(regs, Words::HARD_LOCKUP.0.as_char_ptr()) };
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

/// Notes in the kernel's taint that something is wrong, and that the machine went on.
///
/// # Context
///
/// Any.
pub(crate) fn taint_warned() {
    // SAFETY: As in `taint_soft_lockup`.
    unsafe { bindings::add_taint(bindings::TAINT_WARN, bindings::lockdep_ok_LOCKDEP_STILL_OK) };
}

/// Name and number of the running task.
///
/// # Context
///
/// Any.
pub(crate) fn current_task() -> Who {
    task::who(current!())
}

#[kunit_tests(vigil_machine)]
mod tests {
    use super::*;

    #[test]
    fn all_is_well() {
        assert!(!crashing());
        assert!(!crash_kernel_loaded());
        assert!(!panicking());
    }

    #[test]
    fn the_kernel_has_a_name() {
        let name = kernel_name();
        assert!(name.release.starts_with(b"7."));
        assert!(name.version.starts_with(b"#"));
        assert!(name.package.is_empty() || name.package.starts_with(b" "));
        assert!(matches!(HZ, 100 | 250 | 300 | 1000));
    }

    #[test]
    fn the_running_task_is_this_one() {
        assert_eq!(current_task().pid, current!().pid());
        assert!(current_task().pid > 1);
    }
}
