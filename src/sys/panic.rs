// SPDX-License-Identifier: GPL-2.0

//! The panic: whether one is under way, starting one, and the taint flags that lead to it.
//!
//! C header: [`include/linux/panic.h`](srctree/include/linux/panic.h)

use super::{context::NmiCtx, ffi};
use kernel::{bindings, prelude::*};

/// Whether an oops has happened or a panic is under way: what tasks do then says nothing.
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
pub(crate) struct PanicMessage(&'static CStr);

// INVARIANT: None of them has a conversion.
impl PanicMessage {
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
pub(crate) fn panic(words: &PanicMessage) -> ! {
    // SAFETY: By its invariant the format wants no arguments. The machine ends here.
    unsafe { bindings::panic(words.0.as_char_ptr()) }
}

/// Stops the machine from an NMI, unless another CPU is already doing so.
///
/// # Context
///
/// NMI.
pub(crate) fn nmi_panic(words: &PanicMessage, nmi: &NmiCtx<'_>) {
    // SAFETY: As in `panic`; the registers are the running NMI's.
    unsafe { bindings::nmi_panic(nmi.regs(), words.0.as_char_ptr()) };
}

/// Whether a panic is under way.
///
/// # Context
///
/// Any.
pub(crate) fn in_progress() -> bool {
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
        panic(&PanicMessage::HARD_LOCKUP)
    }
    // SAFETY: As in `panic`; the registers are those of the running interrupt, which are saved if
    // this CPU is stopped by another's panic.
    unsafe { bindings::nmi_panic(regs, PanicMessage::HARD_LOCKUP.0.as_char_ptr()) };
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

#[kunit_tests(vigil_panic)]
mod tests {
    use super::*;

    #[test]
    fn no_panic_is_under_way() {
        assert!(!died_or_panicking());
        assert!(!crash_kernel_loaded());
        assert!(!in_progress());
    }
}
