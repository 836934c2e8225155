// SPDX-License-Identifier: GPL-2.0

//! Functions and variables of the kernel that are not exported to modules.
//!
//! A function is found by a kprobe that is never armed and called through a static call,
//! see `src/c/ksyms.c` for why. Every user has a way to do without: what could not be bound is
//! visible in [`Ksyms`], which the load message and `status` print.
//!
//! C header: `src/c/vigil.h`

use super::{
    bytes_of,
    context::{HardirqCtx, NmiCtx},
    ffi,
};
use crate::logic::incident::Stack;
use core::marker::PhantomData;
use kernel::{
    bindings,
    str::{CStr, CStrExt},
};

/// What the kernel says of its taint; more than 48 bytes of that are cut off.
pub(crate) struct Taint([u8; 48]);

impl Taint {
    /// The text.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.split(|&b| b == 0).next().unwrap_or_default()
    }
}

/// Evidence of which functions are bound; the way to call them.
///
/// # Invariants
///
/// Exists only after binding was tried for all of them, and they are never bound again. So a call
/// cannot race with the patching of its site, and `false` below means that a call does nothing.
#[derive(Clone, Copy)]
pub(crate) struct Ksyms {
    kallsyms: bool,
    tainted: bool,
    sys_info: bool,
    trace_hang: bool,
    stopper: bool,
    show_regs: bool,
    print_modules: bool,
    backtrace: bool,
    _private: PhantomData<()>,
}

impl Ksyms {
    /// Binds what can be bound; nothing if that is not `wanted` (module parameter
    /// `use_unexported`), as on a kernel where nothing can be.
    ///
    /// # Context
    ///
    /// Process context, may sleep. To be called once, before anything else of the module runs.
    pub(crate) fn resolve(wanted: bool) -> Self {
        if wanted {
            // SAFETY: We are in process context, and nothing else of the module runs, as the caller
            // has promised: nobody reads what is written here.
            unsafe { ffi::vigil_calls_find() };
        }
        let bind = |call| {
            // SAFETY: `call` is one of the header's constants; we are in process context, as the
            // caller has promised.
            wanted && unsafe { ffi::vigil_call_bind(call) == 0 }
        };
        // INVARIANT: All are tried here, and this is the only place that binds.
        Self {
            kallsyms: bind(ffi::vigil_call_VIGIL_CALL_KALLSYMS),
            tainted: bind(ffi::vigil_call_VIGIL_CALL_PRINT_TAINTED),
            sys_info: bind(ffi::vigil_call_VIGIL_CALL_SYS_INFO),
            trace_hang: bind(ffi::vigil_call_VIGIL_CALL_TRACE_HANG),
            stopper: bind(ffi::vigil_call_VIGIL_CALL_STOPPER),
            show_regs: bind(ffi::vigil_call_VIGIL_CALL_SHOW_REGS),
            print_modules: bind(ffi::vigil_call_VIGIL_CALL_PRINT_MODULES),
            backtrace: bind(ffi::vigil_call_VIGIL_CALL_BACKTRACE),
            _private: PhantomData,
        }
    }

    /// Each function's name, and whether it can be called.
    pub(crate) fn each(&self) -> [(&'static [u8], bool); 8] {
        let name = |call| {
            // SAFETY: `call` is one of the header's constants, so that the result is one of the
            // NUL-terminated string literals of `call_names`.
            unsafe { bytes_of(ffi::vigil_call_name(call)) }
        };
        [
            (name(ffi::vigil_call_VIGIL_CALL_KALLSYMS), self.kallsyms),
            (name(ffi::vigil_call_VIGIL_CALL_PRINT_TAINTED), self.tainted),
            (name(ffi::vigil_call_VIGIL_CALL_SYS_INFO), self.sys_info),
            (name(ffi::vigil_call_VIGIL_CALL_TRACE_HANG), self.trace_hang),
            (name(ffi::vigil_call_VIGIL_CALL_STOPPER), self.stopper),
            (name(ffi::vigil_call_VIGIL_CALL_SHOW_REGS), self.show_regs),
            (
                name(ffi::vigil_call_VIGIL_CALL_PRINT_MODULES),
                self.print_modules,
            ),
            (name(ffi::vigil_call_VIGIL_CALL_BACKTRACE), self.backtrace),
        ]
    }

    /// Whether [`Ksyms::lookup`] can find anything.
    pub(crate) fn can_look_up(&self) -> bool {
        self.kallsyms
    }

    /// Address of a symbol of the kernel, variables included.
    ///
    /// # Context
    ///
    /// Any that may take a while: the symbol table is searched.
    pub(crate) fn lookup(&self, symbol: &CStr) -> Option<usize> {
        // SAFETY: `symbol` is NUL-terminated. If the function is not bound the call yields 0.
        let address = unsafe { ffi::vigil_kallsyms_lookup_name(symbol.as_char_ptr()) };
        (address != 0).then_some(address)
    }

    /// Reads a `long` or `unsigned long` variable of the kernel, if there is one of that name.
    ///
    /// Only the address is taken on trust, and only as far as a read that cannot fault goes.
    pub(crate) fn read_long(&self, symbol: &CStr) -> Option<usize> {
        super::lock_words::read_word(self.lookup(symbol)?)
    }

    /// The kernel's words on its taint, such as `Not tainted`.
    ///
    /// # Context
    ///
    /// Process context.
    pub(crate) fn tainted(&self) -> Taint {
        let mut copy = Taint([0; 48]);
        // SAFETY: May be called from process context. Unbound it returns NULL.
        let text = unsafe { ffi::vigil_print_tainted() };
        if text.is_null() {
            for (byte, &from) in copy.0.iter_mut().zip(b"Taint unknown") {
                *byte = from;
            }
            return copy;
        }
        for (byte, i) in copy.0.iter_mut().zip(0..) {
            // SAFETY: `print_tainted()` returns a buffer that is never freed and keeps a NUL at its
            // end (`struct seq_buf`), behind which this does not read. Another caller may be
            // writing it: the bytes are read one by one, and at worst those of two moments mix,
            // as for mainline.
            *byte = unsafe { text.add(i).read_volatile() };
            if *byte == 0 {
                break;
            }
        }
        copy
    }

    /// Shows parts of the system's state, `SYS_INFO_*` of `include/linux/sys_info.h`; 0 shows what
    /// `kernel.kernel_sys_info` asks for. Returns whether it can.
    ///
    /// # Context
    ///
    /// Process context; prints a lot.
    pub(crate) fn sys_info(&self, mask: usize) -> bool {
        // SAFETY: Takes any mask. Unbound it does nothing.
        unsafe { ffi::vigil_sys_info(mask) };
        self.sys_info
    }

    /// Runs the probes of the tracepoint `sched_process_hang`, for those who listen to it.
    pub(crate) fn trace_hang(&self, task: &kernel::task::Task) {
        // SAFETY: `task` is a valid task. Unbound it does nothing.
        unsafe { ffi::vigil_trace_hang(task.as_ptr()) };
    }

    /// Whether work can be given to stoppers.
    pub(crate) fn has_stopper(&self) -> bool {
        self.stopper
    }

    /// Prints the line of loaded modules.
    ///
    /// # Context
    ///
    /// Any in which a lot may be printed.
    pub(crate) fn print_modules(&self) {
        // SAFETY: Unbound it does nothing.
        unsafe { ffi::vigil_print_modules() };
    }

    /// Prints the registers and the stack of what a timer interrupt has interrupted; where that
    /// cannot be had, the interrupt's own stack, below which the other lies.
    ///
    /// # Context
    ///
    /// Hard interrupt.
    pub(crate) fn show_interrupted(&self, timer: &HardirqCtx<'_>) {
        // SAFETY: The registers of the running interrupt, or null.
        unsafe { self.show(timer.regs()) }
    }

    /// Prints the registers and the stack of what an NMI has interrupted; where that cannot be had,
    /// the NMI's own stack.
    ///
    /// # Context
    ///
    /// NMI.
    pub(crate) fn show_interrupted_by_nmi(&self, nmi: &NmiCtx<'_>) {
        // SAFETY: The registers of the running NMI, or null.
        unsafe { self.show(nmi.regs()) }
    }

    /// # Safety
    ///
    /// `regs` are registers, or null.
    unsafe fn show(&self, regs: *mut bindings::pt_regs) {
        if self.show_regs && !regs.is_null() {
            // SAFETY: By the function's own requirement.
            unsafe { ffi::vigil_show_regs(regs) };
        } else {
            // SAFETY: May be called from any context.
            unsafe { bindings::dump_stack() };
        }
    }

    /// Prints a stack that was kept as addresses.
    ///
    /// # Context
    ///
    /// Any in which a lot may be printed.
    pub(crate) fn print_stack(&self, stack: &Stack) {
        let addresses = stack.addresses.get(..stack.depth as usize);
        let addresses = addresses.unwrap_or_default();
        // SAFETY: As many addresses can be read as are said to be there.
        unsafe { ffi::vigil_stack_print(addresses.as_ptr(), addresses.len() as u32) };
    }

    /// Has another CPU print its registers and stack, by NMI. Returns whether that can be done.
    ///
    /// # Context
    ///
    /// Any. Waits for the CPU, up to ten seconds if it does not answer.
    pub(crate) fn backtrace_cpu(&self, cpu: u32) -> bool {
        if super::cpu::possible(cpu) {
            // SAFETY: The CPU exists. Unbound it does nothing.
            unsafe { ffi::vigil_backtrace_cpu(cpu) };
        }
        self.backtrace
    }

    /// Whether [`Ksyms::backtrace_cpu`] gets through to a CPU with interrupts off, though
    /// [`Nmi`](super::nmi::Nmi) cannot be had.
    ///
    /// # Context
    ///
    /// Any.
    pub(crate) fn backtrace_is_nmi(&self) -> bool {
        // SAFETY: It takes nothing and changes nothing: it reads what the kernel found out of the
        // CPUs at boot.
        self.backtrace && unsafe { ffi::vigil_backtrace_is_nmi() } != 0
    }

    /// [`Ksyms::backtrace_cpu`] of all CPUs that are online, but one.
    ///
    /// # Context
    ///
    /// As [`Ksyms::backtrace_cpu`].
    pub(crate) fn backtrace_others(&self, but: u32) -> bool {
        // SAFETY: As above; the number is only compared.
        unsafe { ffi::vigil_backtrace_others(but) };
        self.backtrace
    }
}

/// Shows parts of the system's state by a thread, for those who cannot wait for the locks that this
/// takes: some kernels let them sleep, and a CPU that is stuck may hold one. There is one at most.
pub(crate) struct DeferredSysInfo(Ksyms);

impl DeferredSysInfo {
    /// A way to do so by these calls.
    pub(crate) fn new(ksyms: Ksyms) -> Self {
        Self(ksyms)
    }

    /// [`Ksyms::sys_info`], soon. What is asked for several times before that is shown once.
    ///
    /// # Context
    ///
    /// Any but NMI.
    pub(crate) fn sys_info(&self, mask: usize) {
        if self.0.sys_info {
            // SAFETY: Takes any mask. The work is finished before this module goes: `self` is
            // dropped before.
            unsafe { ffi::vigil_sys_info_later(mask) };
        }
    }
}

impl DeferredSysInfo {
    /// Whether nothing is left to be shown that was asked for.
    ///
    /// # Context
    ///
    /// Any; takes no lock.
    pub(crate) fn is_done(&self) -> bool {
        // SAFETY: Reads two variables.
        unsafe { ffi::vigil_sys_info_shown() != 0 }
    }

    /// Whether there is anything that can show it.
    pub(crate) fn is_available(&self) -> bool {
        self.0.sys_info
    }
}

impl Drop for DeferredSysInfo {
    fn drop(&mut self) {
        // SAFETY: Whoever asks for something borrows `self`, so nobody does any more. Its owner is
        // dropped where one may sleep.
        unsafe { ffi::vigil_sys_info_finish() };
    }
}

#[kernel::prelude::kunit_tests(vigil_ksyms)]
mod tests {
    use super::*;
    use kernel::{prelude::*, str::CString};

    /// Binding once more is allowed here: it finds the same functions, so that no site is patched.
    fn ksyms() -> Ksyms {
        Ksyms::resolve(true)
    }

    fn text(bytes: &[u8]) -> Result<CString> {
        let text = core::str::from_utf8(bytes).map_err(|_| EINVAL)?;
        CString::try_from_fmt(fmt!("{text}"))
    }

    #[test]
    fn what_is_not_wanted_is_not_bound() {
        let ksyms = Ksyms::resolve(false);
        assert!(ksyms.each().iter().all(|&(_, bound)| !bound));
        assert!(!ksyms.can_look_up());
        assert!(!ksyms.has_stopper());
    }

    /// All that the kernel has, and nothing else.
    #[test]
    fn what_is_there_is_bound() -> Result {
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

    /// Nothing is left to be done soon after.
    #[test]
    fn what_can_wait_is_shown_later() {
        let later = core::mem::ManuallyDrop::new(DeferredSysInfo::new(ksyms()));
        assert_eq!(later.is_available(), later.0.sys_info);
        assert!(later.is_done());
        later.sys_info(crate::logic::sysctl::SYS_INFO_LOCKS as usize);
        assert!(super::super::testing::until(|| later.is_done()));
    }

    /// This module is out of tree, which taints the kernel with an `O`.
    #[test]
    fn taint_is_told() {
        let ksyms = ksyms();
        let taint = ksyms.tainted();
        if ksyms.tainted {
            assert!(taint.bytes().starts_with(b"Tainted: "));
            assert!(taint.bytes().contains(&b'O'));
        } else {
            assert_eq!(taint.bytes(), b"Taint unknown");
        }
    }
}
