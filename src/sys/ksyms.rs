// SPDX-License-Identifier: GPL-2.0

//! Functions and variables of the kernel that are not exported to modules.
//!
//! A function is found by a kprobe that is never armed, and called through a static call: see
//! `src/c/ksyms.c`. The calls are methods of [`Ksyms`] that stand in the file of their subject:
//! [`stacktrace`](super::stacktrace), [`backtrace`](super::backtrace), [`printk`](super::printk), [`stopper`](super::stopper),
//! [`irqtrace`](super::irqtrace), [`sched_ext`](super::sched_ext), [`sys_info`](super::sys_info), [`taint`](super::taint), [`tracepoint`](super::tracepoint). Each
//! caller has a fallback for a function that is not available; the load message and `status` name
//! those.
//!
//! C header: `src/c/vigil.h`

use super::{
    atomic::Atomic,
    bytes_of,
    ffi,
    lock_words, //
};
use core::{
    marker::PhantomData,
    ops::Range, //
};
use kernel::str::{
    CStr,
    CStrExt, //
};

/// Which of the functions are bound, and the right to call them.
///
/// # Invariants
///
/// Exists only after binding was tried for all functions, and none is bound afterwards. So a call
/// cannot race with the patching of its call site, and a call of a function whose flag is not set
/// does nothing.
#[derive(Clone, Copy)]
pub(crate) struct Ksyms {
    kallsyms_lookup_name: bool,
    pub(super) print_tainted: bool,
    pub(super) sys_info: bool,
    pub(super) sched_process_hang: bool,
    pub(super) stop_one_cpu_nowait: bool,
    show_regs: bool,
    dump_stack_print_info: bool,
    print_irqtrace_events: bool,
    scx_softlockup: bool,
    scx_hardlockup: bool,
    pub(super) print_modules: bool,
    printk_deferred_enter: bool,
    printk_deferred_exit: bool,
    pub(super) trigger_backtrace: bool,
    _private: PhantomData<()>,
}

impl Ksyms {
    /// Resolves and binds the functions; none if `use_unexported` (the module parameter) is not
    /// set, as on a kernel that has none of them.
    ///
    /// # Context
    ///
    /// Process context, may sleep. To be called once, before the rest of the module runs.
    pub(crate) fn resolve(use_unexported: bool) -> Self {
        if use_unexported {
            // SAFETY: Process context, and nothing else of the module runs, by the caller's
            // promise: the table that this writes has no readers yet.
            unsafe { ffi::vigil_ksyms_resolve() };
        }
        let bind = |ksym| {
            // SAFETY: `ksym` is one of the header's constants; the context is as above.
            use_unexported && unsafe { ffi::vigil_ksym_bind(ksym) == 0 }
        };
        // INVARIANT: All are tried here, and nothing else binds.
        let this = Self {
            kallsyms_lookup_name: bind(ffi::vigil_ksym_VIGIL_KSYM_KALLSYMS_LOOKUP_NAME),
            print_tainted: bind(ffi::vigil_ksym_VIGIL_KSYM_PRINT_TAINTED),
            sys_info: bind(ffi::vigil_ksym_VIGIL_KSYM_SYS_INFO),
            sched_process_hang: bind(ffi::vigil_ksym_VIGIL_KSYM_SCHED_PROCESS_HANG),
            stop_one_cpu_nowait: bind(ffi::vigil_ksym_VIGIL_KSYM_STOP_ONE_CPU_NOWAIT),
            show_regs: bind(ffi::vigil_ksym_VIGIL_KSYM_SHOW_REGS),
            dump_stack_print_info: bind(ffi::vigil_ksym_VIGIL_KSYM_DUMP_STACK_PRINT_INFO),
            print_irqtrace_events: bind(ffi::vigil_ksym_VIGIL_KSYM_PRINT_IRQTRACE_EVENTS),
            scx_softlockup: bind(ffi::vigil_ksym_VIGIL_KSYM_SCX_SOFTLOCKUP),
            scx_hardlockup: bind(ffi::vigil_ksym_VIGIL_KSYM_SCX_HARDLOCKUP),
            print_modules: bind(ffi::vigil_ksym_VIGIL_KSYM_PRINT_MODULES),
            printk_deferred_enter: bind(ffi::vigil_ksym_VIGIL_KSYM_PRINTK_DEFERRED_ENTER),
            printk_deferred_exit: bind(ffi::vigil_ksym_VIGIL_KSYM_PRINTK_DEFERRED_EXIT),
            trigger_backtrace: bind(ffi::vigil_ksym_VIGIL_KSYM_TRIGGER_BACKTRACE),
            _private: PhantomData,
        };
        let idle = [c"__cpuidle_text_start", c"__cpuidle_text_end"];
        if let [Some(start), Some(end)] = idle.map(|symbol| this.lookup(symbol)) {
            // SAFETY: Takes any addresses. Nothing else of the module runs, as above.
            unsafe { ffi::vigil_set_cpuidle_text(start, end) };
        }
        this
    }

    /// Returns each function's name, and whether it is available.
    pub(crate) fn each(&self) -> [(&'static [u8], bool); ffi::vigil_ksym_VIGIL_NR_KSYMS as usize] {
        [
            (
                ffi::vigil_ksym_VIGIL_KSYM_KALLSYMS_LOOKUP_NAME,
                self.kallsyms_lookup_name,
            ),
            (ffi::vigil_ksym_VIGIL_KSYM_PRINT_TAINTED, self.print_tainted),
            (ffi::vigil_ksym_VIGIL_KSYM_SYS_INFO, self.sys_info),
            (
                ffi::vigil_ksym_VIGIL_KSYM_SCHED_PROCESS_HANG,
                self.sched_process_hang,
            ),
            (
                ffi::vigil_ksym_VIGIL_KSYM_STOP_ONE_CPU_NOWAIT,
                self.stop_one_cpu_nowait,
            ),
            (ffi::vigil_ksym_VIGIL_KSYM_SHOW_REGS, self.show_regs),
            (
                ffi::vigil_ksym_VIGIL_KSYM_DUMP_STACK_PRINT_INFO,
                self.dump_stack_print_info,
            ),
            (
                ffi::vigil_ksym_VIGIL_KSYM_PRINT_IRQTRACE_EVENTS,
                self.print_irqtrace_events,
            ),
            (
                ffi::vigil_ksym_VIGIL_KSYM_SCX_SOFTLOCKUP,
                self.scx_softlockup,
            ),
            (
                ffi::vigil_ksym_VIGIL_KSYM_SCX_HARDLOCKUP,
                self.scx_hardlockup,
            ),
            (ffi::vigil_ksym_VIGIL_KSYM_PRINT_MODULES, self.print_modules),
            (
                ffi::vigil_ksym_VIGIL_KSYM_PRINTK_DEFERRED_ENTER,
                self.printk_deferred_enter,
            ),
            (
                ffi::vigil_ksym_VIGIL_KSYM_PRINTK_DEFERRED_EXIT,
                self.printk_deferred_exit,
            ),
            (
                ffi::vigil_ksym_VIGIL_KSYM_TRIGGER_BACKTRACE,
                self.trigger_backtrace,
            ),
        ]
        .map(|(ksym, bound)| {
            // SAFETY: `ksym` is one of the header's constants, so that the result is one of the
            // NUL-terminated string literals of `ksyms[]`.
            (unsafe { bytes_of(ffi::vigil_ksym_name(ksym)) }, bound)
        })
    }

    /// Returns whether [`Ksyms::lookup`] can find anything.
    pub(crate) fn can_look_up(&self) -> bool {
        self.kallsyms_lookup_name
    }

    /// Returns the address of a symbol of the kernel, variables included.
    ///
    /// # Context
    ///
    /// Process context: it may search the whole symbol table.
    pub(crate) fn lookup(&self, symbol: &CStr) -> Option<usize> {
        // SAFETY: `symbol` is NUL-terminated. Not bound, the call returns 0.
        let address = unsafe { ffi::vigil_kallsyms_lookup_name(symbol.as_char_ptr()) };
        (address != 0).then_some(address)
    }

    /// Returns the addresses of a function of the kernel; an empty range if it is not found.
    ///
    /// # Context
    ///
    /// As [`Ksyms::lookup`].
    pub(crate) fn lookup_range(&self, symbol: &CStr) -> Range<usize> {
        self.lookup(symbol).map_or(0..0, |start| {
            // SAFETY: Any address may be asked for.
            start..start.saturating_add(unsafe { ffi::vigil_kallsyms_size(start) })
        })
    }

    /// Returns the kernel's command line; empty if it is not found.
    ///
    /// # Context
    ///
    /// As [`Ksyms::lookup`].
    pub(crate) fn command_line(&self) -> &'static [u8] {
        let text = self.lookup(c"saved_command_line");
        match text.and_then(lock_words::read_word) {
            // SAFETY: `saved_command_line` is a NUL-terminated text that was set up at boot, and is
            // neither freed nor written.
            Some(text) if text != 0 => unsafe { bytes_of(text as *const kernel::ffi::c_char) },
            _ => b"",
        }
    }

    /// Returns how many soft lockups the in-tree detector has reported, if the kernel counts them.
    ///
    /// # Context
    ///
    /// As [`Ksyms::lookup`].
    pub(crate) fn in_tree_softlockups(&self) -> Option<&'static Atomic<i32>> {
        let count = self.lookup(c"softlockup_count")? as *mut i32;
        // SAFETY: `kernel/watchdog.c` has it as `static unsigned int`, and a variable of the kernel
        // is valid for ever ([`Ksyms::lookup`] finds none of a module). The kernel writes it with
        // plain increments, which this may read as one before or after.
        Some(unsafe { Atomic::from_ptr(count) })
    }

    /// Reads a `long` or `unsigned long` variable of the kernel; `None` if there is none of that
    /// name. The symbol's type is not checked, but the read cannot fault.
    ///
    /// # Context
    ///
    /// As [`Ksyms::lookup`].
    pub(crate) fn read_long(&self, symbol: &CStr) -> Option<usize> {
        lock_words::read_word(self.lookup(symbol)?)
    }
}

#[kernel::prelude::kunit_tests(vigil_ksyms)]
mod tests {
    use super::*;
    use kernel::{
        bindings,
        prelude::*,
        str::CString, //
    };

    /// Resolves once more, which is allowed here: it finds the same functions, so that no call site
    /// is patched.
    fn ksyms() -> Ksyms {
        Ksyms::resolve(true)
    }

    fn text(bytes: &[u8]) -> Result<CString> {
        let text = core::str::from_utf8(bytes).map_err(|_| EINVAL)?;
        CString::try_from_fmt(fmt!("{text}"))
    }

    #[test]
    fn nothing_is_bound_without_use_unexported() {
        let ksyms = Ksyms::resolve(false);
        assert!(ksyms.each().iter().all(|&(_, bound)| !bound));
        assert!(!ksyms.can_look_up());
        assert!(!ksyms.has_stopper());
    }

    #[test]
    fn exactly_the_functions_of_this_kernel_are_bound() -> Result {
        let ksyms = ksyms();
        assert!(ksyms.can_look_up());
        for (name, bound) in ksyms.each() {
            assert_eq!(bound, ksyms.lookup(&text(name)?).is_some());
        }
        Ok(())
    }

    #[test]
    fn symbols_are_found() {
        let init_task = &raw const bindings::init_task as usize;
        assert_eq!(ksyms().lookup(c"init_task"), Some(init_task));
        assert_eq!(ksyms().lookup(c"vigil_no_such_symbol"), None);
        // Not one of this module.
        assert_eq!(ksyms().lookup(c"vigil_kallsyms_size"), None);
    }

    #[test]
    fn functions_have_a_length() {
        let range = ksyms().lookup_range(c"schedule");
        assert!(range.start != 0 && range.len() > 16);
        assert!(ksyms().lookup_range(c"vigil_no_such_symbol").is_empty());
    }

    #[test]
    fn variables_are_read() {
        let ksyms = ksyms();
        // SAFETY: A variable that the kernel writes in one piece.
        let jiffies = || unsafe { (&raw const bindings::jiffies).read_volatile() };
        let before = jiffies();
        let read = ksyms.read_long(c"jiffies").unwrap_or(0);
        assert!(before <= read && read <= jiffies());
        assert_eq!(ksyms.read_long(c"vigil_no_such_symbol"), None);
    }
}
