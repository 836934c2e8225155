// SPDX-License-Identifier: GPL-2.0

//! Panics, whether one is in progress, and the taint flags that say what came before it.
//!
//! C headers: [`include/linux/panic.h`](srctree/include/linux/panic.h),
//! [`include/linux/kexec.h`](srctree/include/linux/kexec.h)

use super::{
    context::NmiCtx,
    ffi, //
};
use kernel::{
    bindings,
    prelude::*, //
};

/// Whether the kernel has died (`TAINT_DIE`: an oops) or a panic is in progress. Tasks may hang for
/// that reason alone from then on, so `kernel/hung_task.c` does not judge them any more either.
///
/// # Context
///
/// Any.
pub(crate) fn died_or_panicking() -> bool {
    // SAFETY: May be called from any context with any flag that exists.
    let died = unsafe { bindings::test_taint(bindings::TAINT_DIE) } != 0;
    // SAFETY: May be called from any context.
    died || unsafe { bindings::panic_in_progress() }
}

/// Whether a crash kernel is loaded, which a panic would start (`kexec_crash_loaded()`).
///
/// # Context
///
/// Any.
pub(crate) fn crash_kernel_loaded() -> bool {
    // SAFETY: Reads one variable.
    unsafe { ffi::vigil_kexec_crash_loaded() != 0 }
}

/// Whether this kernel was started by a panic of another, to save its memory (`is_kdump_kernel()`).
///
/// # Context
///
/// Any.
pub(crate) fn is_kdump_kernel() -> bool {
    // SAFETY: Reads one variable.
    unsafe { ffi::vigil_is_kdump_kernel() != 0 }
}

/// The message of a panic, behind `Kernel panic - not syncing: `.
///
/// # Invariants
///
/// A `printf()` format without conversions.
pub(crate) struct PanicMessage(&'static CStr);

// INVARIANT: None of these has a conversion.
impl PanicMessage {
    /// Mainline's message for hung tasks.
    pub(crate) const HUNG_TASK: Self = Self(c"hung_task: blocked tasks");
    /// Mainline's message for soft lockups.
    pub(crate) const SOFT_LOCKUP: Self = Self(c"softlockup: hung tasks");
    /// Mainline's message for hard lockups.
    pub(crate) const HARD_LOCKUP: Self = Self(c"Hard LOCKUP");
    /// The message for a CPU that does not run, which mainline does not detect.
    pub(crate) const UNRESPONSIVE_CPU: Self = Self(c"vigil: unresponsive CPU");
}

/// Panics. If another CPU panics already, this CPU waits to be stopped.
///
/// # Context
///
/// Any but NMI.
pub(crate) fn panic(message: &PanicMessage) -> ! {
    // SAFETY: By its type invariant the format takes no arguments. `panic()` does not return.
    unsafe { bindings::panic(message.0.as_char_ptr()) }
}

/// Panics in an NMI. If another CPU panics already, this CPU waits to be stopped, with its
/// registers saved for the dump; returns if it is this CPU that panics already.
///
/// # Context
///
/// NMI.
pub(crate) fn nmi_panic(message: &PanicMessage, nmi: &NmiCtx<'_>) {
    // SAFETY: As in `panic`; the registers are those of the running NMI.
    unsafe { bindings::nmi_panic(nmi.regs(), message.0.as_char_ptr()) };
}

/// Whether a panic is in progress, on any CPU (`panic_in_progress()`).
///
/// # Context
///
/// Any.
pub(crate) fn in_progress() -> bool {
    // SAFETY: May be called from any context.
    unsafe { bindings::panic_in_progress() }
}

/// Panics with mainline's message for hard lockups, and as mainline does: with `nmi_panic()` also
/// outside of an NMI. If another CPU panics already, this CPU waits to be stopped, with the
/// registers of what the interrupt has interrupted saved for the dump.
///
/// # Context
///
/// Process context, or hard interrupt.
pub(crate) fn panic_hard_lockup() {
    // SAFETY: May be called from any context; null outside of an interrupt.
    let regs = unsafe { ffi::vigil_irq_regs() };
    if regs.is_null() {
        panic(&PanicMessage::HARD_LOCKUP)
    }
    // SAFETY: As in `panic`; the registers are those of the running interrupt.
    unsafe { bindings::nmi_panic(regs, PanicMessage::HARD_LOCKUP.0.as_char_ptr()) };
}

/// Taints the kernel with `TAINT_SOFTLOCKUP` (`L`): a soft lockup has occurred.
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

/// Taints the kernel with `TAINT_WARN` (`W`): something is wrong, and the kernel goes on.
///
/// # Context
///
/// Any.
pub(crate) fn taint_warned() {
    // SAFETY: As in `taint_soft_lockup`.
    unsafe { bindings::add_taint(bindings::TAINT_WARN, bindings::lockdep_ok_LOCKDEP_STILL_OK) };
}

#[kunit_tests(vigil_panic)]
mod tests {
    use super::*;

    #[test]
    fn no_panic_is_in_progress() {
        assert!(!died_or_panicking());
        assert!(!crash_kernel_loaded());
        assert!(!in_progress());
    }
}
