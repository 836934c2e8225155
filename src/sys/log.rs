// SPDX-License-Identifier: GPL-2.0

//! Log lines without the module's name in front.
//!
//! Mainline's report lines have none, and existing parsers match them as they are. Lines of
//! vigil's own are printed with the `pr_*!` macros, which put `vigil: ` in front.
//!
//! C header: [`include/linux/printk.h`](srctree/include/linux/printk.h)

use super::ffi;
use core::fmt;
use kernel::{bindings, ffi::c_void, prelude::*, types::NotThreadSafe};

/// Prints one line at level "error". No line break in the text; at most about 1000 bytes.
///
/// # Context
///
/// Any in which the arguments can be formatted; see `printk()` for NMI.
pub(crate) fn err(text: fmt::Arguments<'_>) {
    print(c"\x013%pA\n", text);
}

/// Prints one line at level "info". As [`err`].
pub(crate) fn info(text: fmt::Arguments<'_>) {
    print(c"\x016%pA\n", text);
}

/// Prints one line at level "emergency". As [`err`].
pub(crate) fn emerg(text: fmt::Arguments<'_>) {
    print(c"\x010%pA\n", text);
}

/// Prints one line at level "critical". As [`err`].
pub(crate) fn crit(text: fmt::Arguments<'_>) {
    print(c"\x012%pA\n", text);
}

/// Keeps the lines of other CPUs out of what is printed while this lives. Interrupts are off.
///
/// # Invariants
///
/// The lock is held by this CPU.
pub(crate) struct Undisturbed {
    flags: usize,
    _not_send: NotThreadSafe,
}

impl Undisturbed {
    /// Waits until nobody else has it.
    ///
    /// # Context
    ///
    /// Any; may be held by one CPU more than once.
    pub(crate) fn new() -> Self {
        // INVARIANT: Taken here.
        Self {
            // SAFETY: Given back in `drop`, on the same CPU, since interrupts stay off.
            flags: unsafe { ffi::vigil_log_lock() },
            _not_send: NotThreadSafe,
        }
    }
}

impl Drop for Undisturbed {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { ffi::vigil_log_unlock(self.flags) };
    }
}

/// `format` has exactly one conversion, `%pA`.
fn print(format: &'static CStr, text: fmt::Arguments<'_>) {
    // SAFETY: `format` is NUL-terminated and its one conversion, `%pA`, takes a pointer to a
    // `fmt::Arguments`, which lives until the call returns (`rust_fmt_argument()`).
    unsafe {
        bindings::_printk(
            format.as_char_ptr(),
            core::ptr::from_ref(&text).cast::<c_void>(),
        )
    };
}
