// SPDX-License-Identifier: GPL-2.0

//! Touches: the calls by which slow code resets the lockup detectors, counted by kprobes on them.
//!
//! C headers: [`include/linux/nmi.h`](srctree/include/linux/nmi.h), `src/c/vigil.h`

use super::{
    bytes_of,
    context::HardirqCtx,
    cpu,
    ffi,
    ksyms::Ksyms,
    lock_words,
    single::Single, //
};
use kernel::{
    prelude::*,
    str::CStr,
    sync::atomic::Atomic, //
};

/// The functions of x86 that print stacks, of which one touches the watchdogs for each line:
/// `printk_stack_address()`, where the compiler has not put it into its only caller, else that one,
/// or where that was put. What they call in an interrupt or NMI is no touch.
const STACK_PRINTERS: [&CStr; ffi::VIGIL_NR_STACK_PRINTERS as usize] = [
    c"printk_stack_address",
    c"__show_trace_log_lvl",
    c"show_trace_log_lvl",
];

/// Resets the in-tree lockup detectors of this CPU, because long output follows.
///
/// # Context
///
/// Any, NMI included.
pub(crate) fn touch_nmi_watchdog() {
    // SAFETY: May be called in any context.
    unsafe { ffi::vigil_touch_nmi_watchdog() };
}

/// Resets the in-tree hard-lockup detector of this CPU alone.
///
/// # Context
///
/// Any, NMI included.
pub(crate) fn touch_hardlockup_watchdog() {
    // SAFETY: May be called in any context.
    unsafe { ffi::vigil_touch_hardlockup_watchdog() };
}

/// How many functions are probed.
const TOUCHES: u32 = ffi::vigil_touch_VIGIL_NR_TOUCHES;

/// The registered kprobes on the touch functions. Dropping it unregisters them and waits for running
/// handlers.
///
/// # Invariants
///
/// The kprobes whose flag is set in `probed` are registered for as long as this value lives, by this
/// value: `single` is not `None` then.
pub(crate) struct TouchProbes {
    single: Option<Single>,
    probed: [bool; TOUCHES as usize],
    /// Address of the kernel's `kprobes_all_disarmed`.
    all_disarmed: Option<usize>,
}

impl TouchProbes {
    /// Registers the kprobes that the kernel accepts; none if `use_unexported` (the module
    /// parameter) is not set, or another one lives. Where none of [`STACK_PRINTERS`] is found, a
    /// stack that is printed is a touch.
    ///
    /// # Context
    ///
    /// Process context, may sleep; to be dropped there too.
    pub(crate) fn new(use_unexported: bool, ksyms: &Ksyms) -> Self {
        static TAKEN: Atomic<bool> = Atomic::new(false);
        let mut this = Self {
            single: use_unexported.then(|| Single::take(&TAKEN).ok()).flatten(),
            probed: Default::default(),
            all_disarmed: ksyms.lookup(c"kprobes_all_disarmed"),
        };
        if this.single.is_some() {
            for (nr, function) in (0..ffi::VIGIL_NR_STACK_PRINTERS).zip(STACK_PRINTERS) {
                let range = ksyms.lookup_range(function);
                // SAFETY: `nr` is below the header's constant. Nothing is probed: no other value
                // lives, and this one has not begun.
                unsafe { ffi::vigil_touch_set_stack_printer(nr, range.start, range.end) };
            }
        }
        for (probed, touch) in this.probed.iter_mut().zip(0..TOUCHES) {
            // SAFETY: `touch` is one of the header's constants, and not probed: nobody else may.
            // INVARIANT: Set if the kprobe is registered.
            *probed = this.single.is_some() && unsafe { ffi::vigil_touch_probe(touch) } == 0;
        }
        this
    }

    /// Returns each function's name, and whether its calls are counted.
    pub(crate) fn each(&self) -> impl Iterator<Item = (&'static [u8], bool)> + '_ {
        self.probed.iter().zip(0..TOUCHES).map(|(&probed, touch)| {
            // SAFETY: `touch` is one of the header's constants; the result is a string literal.
            (unsafe { bytes_of(ffi::vigil_touch_name(touch)) }, probed)
        })
    }

    /// Returns how often the soft-lockup detector of a CPU was touched so far; wraps.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn softlockup(&self, cpu: u32) -> u32 {
        if cpu::possible(cpu) {
            // SAFETY: The CPU is possible, so that it has its part of per-CPU variables.
            unsafe { ffi::vigil_softlockup_touches(cpu) }
        } else {
            0
        }
    }

    /// Returns the count of [`TouchProbes::softlockup`] of the CPU that runs this.
    pub(crate) fn softlockup_here(&self, irq: &HardirqCtx<'_>) -> u32 {
        // SAFETY: A CPU that takes interrupts is possible.
        unsafe { ffi::vigil_softlockup_touches(irq.cpu()) }
    }

    /// Returns how often either detector was touched by tasks, which a report of the in-tree
    /// detectors never does; wraps.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn by_tasks(&self, cpu: u32) -> u32 {
        if cpu::possible(cpu) {
            // SAFETY: The CPU is possible, so that it has its part of per-CPU variables.
            unsafe { ffi::vigil_task_touches(cpu) }
        } else {
            0
        }
    }

    /// Returns how often the hard-lockup detector of a CPU was touched so far; wraps.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn hardlockup(&self, cpu: u32) -> u32 {
        if cpu::possible(cpu) {
            // SAFETY: The CPU is possible, so that it has its part of per-CPU variables.
            unsafe { ffi::vigil_hardlockup_touches(cpu) }
        } else {
            0
        }
    }
}

impl TouchProbes {
    /// Returns when a detector of a CPU was last touched, in nanoseconds on the monotonic clock.
    ///
    /// # Context
    ///
    /// Any, NMI included, after [`TouchProbes::softlockup`] or [`TouchProbes::hardlockup`] has shown
    /// that it was.
    pub(crate) fn touched_at(&self, cpu: u32) -> u64 {
        if cpu::possible(cpu) {
            // SAFETY: The CPU is possible, so that it has its part of per-CPU variables.
            unsafe { ffi::vigil_touched_at(cpu) }
        } else {
            0
        }
    }

    /// Returns whether touches are counted as far as the kernel has them: kprobes can be disabled,
    /// all together, at any time (`/sys/kernel/debug/kprobes/enabled`). True where nothing is probed:
    /// nothing was to be had from the beginning.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn are_counted(&self) -> bool {
        if !self.probed.contains(&true) {
            return true;
        }
        // A `bool`, of which only the first byte of the word is.
        let disarmed = self.all_disarmed.and_then(lock_words::read_word);
        disarmed.is_none_or(|word| word.to_le_bytes().first() == Some(&0))
    }
}

impl Drop for TouchProbes {
    fn drop(&mut self) {
        let mut touches = 0;
        for (&probed, touch) in self.probed.iter().zip(0..TOUCHES) {
            touches |= u32::from(probed) << touch;
        }
        // SAFETY: By the type invariant these are registered. Waits for running handlers.
        unsafe { ffi::vigil_touch_unprobe(touches) };
    }
}

#[kunit_tests(vigil_touch)]
mod tests {
    use super::{
        super::testing::*,
        *, //
    };
    use kernel::str::CString;

    #[test]
    fn nothing_is_probed_without_use_unexported() {
        let touches = TouchProbes::new(false, &Ksyms::resolve(true));
        assert!(touches.each().all(|(_, probed)| !probed));
        assert!(touches.are_counted());
        assert_eq!(touches.each().count(), touches.probed.len());
        assert_eq!(touches.softlockup(u32::MAX), 0);
        assert_eq!(touches.hardlockup(u32::MAX), 0);
    }

    /// One of them is there on each kernel that touches while it prints stacks.
    #[test]
    fn stack_printers_are_found() {
        let ksyms = Ksyms::resolve(true);
        let mut found = STACK_PRINTERS.iter().map(|name| ksyms.lookup_range(name));
        assert_eq!(found.any(|range| !range.is_empty()), cfg!(CONFIG_X86));
    }

    /// The module's own kprobes count, where the kernel has the functions.
    #[test]
    fn touches_are_counted() -> Result {
        stay_on(0)?;
        let touches = TouchProbes::new(false, &Ksyms::resolve(true));
        let ksyms = Ksyms::resolve(true);
        let exists = |name: &[u8]| -> Result<bool> {
            let name = core::str::from_utf8(name).map_err(|_| EINVAL)?;
            Ok(ksyms
                .lookup(&CString::try_from_fmt(fmt!("{name}"))?)
                .is_some())
        };
        let (soft, hard) = (touches.softlockup(0), touches.hardlockup(0));
        let by_tasks = touches.by_tasks(0);
        touch_nmi_watchdog();
        let counted = touches.by_tasks(0) != by_tasks;
        assert_eq!(counted, exists(b"touch_softlockup_watchdog")?);
        if exists(b"touch_softlockup_watchdog")? {
            assert!(touches.softlockup(0) != soft);
        } else {
            assert_eq!(touches.softlockup(0), soft);
        }
        if exists(b"arch_touch_nmi_watchdog")? {
            assert!(touches.hardlockup(0) != hard);
        } else {
            assert_eq!(touches.hardlockup(0), hard);
        }
        Ok(())
    }
}
