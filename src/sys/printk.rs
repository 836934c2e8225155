// SPDX-License-Identifier: GPL-2.0

//! Log lines without the module's name in front, and `printk_cpu_sync`, which keeps them together. While
//! another CPU has the console, lines are only stored: see `vigil_printk_defer()`.
//!
//! Mainline's report lines have no module name, and existing parsers match them as they are. Lines of
//! vigil's own come from [`crate::logic::messages`] with `vigil: ` in front already, so that programs
//! find the very text that is printed; hence no `pr_*!` macros.
//!
//! C headers: [`include/linux/printk.h`](srctree/include/linux/printk.h), `src/c/vigil.h`

use super::{
    clock::monotonic_in_nmi,
    ffi,
    ksyms::Ksyms, //
};
use core::fmt;
use kernel::{
    bindings,
    ffi::c_void,
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
    types::NotThreadSafe, //
};

/// Prints one line at level "error". The text has no line break and at most about 1000 bytes.
///
/// # Context
///
/// Any in which the arguments can be formatted. In an NMI `printk()` stores the line, and prints it
/// later.
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

/// Returns whether a CPU has the console, and prints what others have stored.
///
/// # Context
///
/// Any.
pub(crate) fn is_console_locked() -> bool {
    // SAFETY: Reads one variable.
    unsafe { ffi::vigil_is_console_locked() != 0 }
}

/// Returns whether there is a console that is written by whoever has a line to print, and not by a thread
/// of its own (`CON_NBCON`).
///
/// # Context
///
/// Any, NMI included.
pub(crate) fn has_legacy_console() -> bool {
    // SAFETY: The list of consoles may be read under its SRCU lock in any context.
    unsafe { ffi::vigil_has_legacy_console() != 0 }
}

/// Has all that is logged from now on printed on the console, for a panic that follows. Returns the
/// console's log level before.
///
/// # Context
///
/// Any, NMI included.
pub(crate) fn console_verbose() -> i32 {
    // SAFETY: An array that is never freed; its first element is the console's log level.
    let before = unsafe {
        (&raw const bindings::console_printk)
            .cast::<i32>()
            .read_volatile()
    };
    // SAFETY: Sets one variable.
    unsafe { bindings::console_verbose() };
    before
}

/// Undoes [`console_verbose`], for a panic that does not come. Nothing happens if the level was
/// changed since.
///
/// # Context
///
/// Any, NMI included.
pub(crate) fn restore_console(level: i32) {
    // SAFETY: As in `console_verbose`; the kernel writes it without a lock too.
    unsafe {
        let console = (&raw mut bindings::console_printk).cast::<i32>();
        if console.read_volatile() == CONSOLE_LOGLEVEL_MOTORMOUTH {
            console.write_volatile(level);
        }
    }
}

/// `CONSOLE_LOGLEVEL_MOTORMOUTH` of `include/linux/printk.h`: what `console_verbose()` sets.
const CONSOLE_LOGLEVEL_MOTORMOUTH: i32 = 15;

impl Ksyms {
    /// Prints the line of loaded modules; nothing if `print_modules()` is not available.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn print_modules(&self) {
        if self.print_modules {
            // SAFETY: May be called in any context.
            unsafe { ffi::vigil_print_modules() };
        }
    }
}

/// How long [`PrintkCpuSync::new`] waits for another CPU, in nanoseconds.
const PRINTK_CPU_SYNC_TIMEOUT_NS: u64 = 2_000_000_000;

/// Whether the last wait was in vain. Then there is no other one before it was to be had: each part
/// of a report would wait anew.
static GIVEN_UP: Atomic<bool> = Atomic::new(false);

/// Keeps the lines of other CPUs out of what this CPU prints (`printk_cpu_sync_get_irqsave()`).
/// Interrupts are off until it is dropped.
///
/// A CPU may get stuck while it prints. So there is a limit to the wait for another CPU; behind
/// that, the lines of the two may mix.
///
/// # Invariants
///
/// `locked` and `flags` are what `vigil_printk_cpu_sync_try_get()` returned last, on this CPU.
pub(crate) struct PrintkCpuSync {
    locked: bool,
    flags: usize,
    /// `None` once it is being dropped.
    deferred: Option<Deferred>,
    _not_send: NotThreadSafe,
}

/// Has the lines of this CPU stored only, while it lives, if another CPU had the console.
///
/// # Invariants
///
/// `deferred` and `flags` are what `vigil_printk_defer()` returned, on this CPU.
pub(super) struct Deferred {
    deferred: bool,
    flags: usize,
    _not_send: NotThreadSafe,
}

impl Deferred {
    /// # Context
    ///
    /// Any, NMI included. If another CPU has the console, interrupts are off while it lives.
    pub(super) fn new() -> Self {
        let mut flags = 0;
        // SAFETY: Undone in `drop`, on this CPU: interrupts are off if there is anything to be undone.
        let deferred = unsafe { ffi::vigil_printk_defer(&raw mut flags) } != 0;
        // INVARIANT: Just set.
        Self {
            deferred,
            flags,
            _not_send: NotThreadSafe,
        }
    }
}

impl Drop for Deferred {
    fn drop(&mut self) {
        // SAFETY: By the type invariant this undoes the call, on the same CPU.
        unsafe { ffi::vigil_printk_defer_end(self.deferred.into(), self.flags) };
    }
}

impl PrintkCpuSync {
    /// Waits until no other CPU has it, for two seconds at most, all waits together until it is to be
    /// had again.
    ///
    /// # Context
    ///
    /// Any, NMI included. Nests on one CPU. An NMI waits for other CPUs like everything else: it
    /// prints only for a panic, or where no other CPU is left to report.
    pub(crate) fn new() -> Self {
        let timeout = if GIVEN_UP.load(Relaxed) {
            0
        } else {
            PRINTK_CPU_SYNC_TIMEOUT_NS
        };
        let until = monotonic_in_nmi().wrapping_add(timeout);
        let mut flags = 0;
        loop {
            // SAFETY: Undone below, or in `drop`: on this CPU, since interrupts stay off.
            let locked = unsafe { ffi::vigil_printk_cpu_sync_try_get(&raw mut flags) } != 0;
            if locked || monotonic_in_nmi() > until {
                if GIVEN_UP.load(Relaxed) == locked {
                    GIVEN_UP.store(!locked, Relaxed);
                }
                // INVARIANT: Just set.
                return Self {
                    locked,
                    flags,
                    deferred: Some(Deferred::new()),
                    _not_send: NotThreadSafe,
                };
            }
            // SAFETY: Undoes the call above.
            unsafe { ffi::vigil_printk_cpu_sync_put(0, flags) };
            core::hint::spin_loop();
        }
    }
}

impl PrintkCpuSync {
    /// Returns whether this CPU has it; false: it has given up waiting.
    pub(super) fn is_locked(&self) -> bool {
        self.locked
    }
}

impl Drop for PrintkCpuSync {
    fn drop(&mut self) {
        // First what came last: each turns interrupts back to what they were before.
        self.deferred = None;
        // SAFETY: By the type invariant this undoes the last call, on the same CPU.
        unsafe { ffi::vigil_printk_cpu_sync_put(self.locked.into(), self.flags) };
    }
}

/// Prints `text` by a `format` whose only conversion is `%pA`.
fn print(format: &'static CStr, text: fmt::Arguments<'_>) {
    let _deferred = Deferred::new();
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
    use super::{
        super::testing::*,
        *, //
    };

    /// Scenario `kunit::all_pass` looks for these lines in the log.
    #[test]
    fn lines_are_printed_unchanged() {
        info(fmt!("kunit line: {}, {}%s", "one", 2));
        err(fmt!("kunit error"));
    }

    /// The line is cut, and the next one is whole.
    #[test]
    fn a_long_line_is_cut() {
        info(fmt!("kunit long: {:a>5000}", ""));
        info(fmt!("kunit next"));
    }

    /// Interrupts are on again in the end, or a debug kernel would warn about the sleep.
    #[test]
    fn printk_cpu_sync_nests() {
        let outer = PrintkCpuSync::new();
        let inner = PrintkCpuSync::new();
        info(fmt!("kunit printk_cpu_sync"));
        drop(inner);
        drop(outer);
        sleep_ms(1);
    }
}
