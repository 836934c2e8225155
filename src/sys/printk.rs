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

/// Prints one line at level "warning". As [`err`].
pub(crate) fn warn(text: fmt::Arguments<'_>) {
    print(c"\x014%pA\n", text);
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

/// From now on everything that is logged reaches the console: a panic is about to be.
pub(crate) fn console_verbose() {
    // SAFETY: Sets one variable.
    unsafe { bindings::console_verbose() };
}

/// Keeps the lines of other CPUs out of what is printed while this lives. Interrupts are off.
///
/// A CPU that stopped while it kept others' lines out is waited for for two seconds; then the lines
/// may mix.
///
/// # Invariants
///
/// `locked` says whether the lock is held by this CPU.
pub(crate) struct PrintkCpuSync {
    locked: bool,
    flags: usize,
    _not_send: NotThreadSafe,
}

impl PrintkCpuSync {
    /// Waits until nobody else has it, or for as long as that takes at most.
    ///
    /// # Context
    ///
    /// Any; may be held by one CPU more than once. An NMI waits for other CPUs too: for a panic, or
    /// where nobody else is left to report.
    pub(crate) fn new() -> Self {
        let mut flags = 0;
        // SAFETY: Given back in `drop`, on the same CPU, since interrupts stay off.
        let locked = unsafe { ffi::vigil_log_lock(&raw mut flags) } != 0;
        // INVARIANT: Taken here, or not.
        Self {
            locked,
            flags,
            _not_send: NotThreadSafe,
        }
    }
}

impl Drop for PrintkCpuSync {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { ffi::vigil_log_unlock(self.locked.into(), self.flags) };
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

#[kunit_tests(vigil_printk)]
mod tests {
    use super::{super::testing::*, *};

    /// Scenario `module::kunit` looks for these lines in the log.
    #[test]
    fn lines_are_printed_as_they_are() {
        info(fmt!("kunit line: {}, {}%s", "one", 2));
        err(fmt!("kunit error"));
    }

    /// Cut off somewhere, and nothing else happens; the next line is whole.
    #[test]
    fn a_long_line_is_cut_off() {
        info(fmt!("kunit long: {:a>5000}", ""));
        info(fmt!("kunit next"));
    }

    /// One CPU may take it again; all is as before in the end, or the sleep would be complained of.
    #[test]
    fn undisturbed_can_be_nested() {
        let outer = PrintkCpuSync::new();
        let inner = PrintkCpuSync::new();
        info(fmt!("kunit undisturbed"));
        drop(inner);
        drop(outer);
        pause(1);
    }
}
