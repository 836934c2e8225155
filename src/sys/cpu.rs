// SPDX-License-Identifier: GPL-2.0

//! CPUs: which there are, what they spend their time on, and what interrupted them.

use super::ffi;
use core::marker::PhantomData;
use kernel::bindings;

/// One more than the number of the highest CPU that there may ever be.
pub(crate) fn count() -> u32 {
    // SAFETY: Reads a variable that does not change after boot.
    unsafe { ffi::vigil_nr_cpus() }
}

/// How many CPUs a kernel built like this one could have at most.
pub(crate) fn most() -> u32 {
    // SAFETY: Returns a constant.
    unsafe { ffi::vigil_most_cpus() }
}

/// Whether there may ever be a CPU of this number.
pub(crate) fn possible(cpu: u32) -> bool {
    // SAFETY: Any number will do.
    unsafe { ffi::vigil_cpu_possible(cpu) != 0 }
}

/// Whether a CPU may be disturbed by timers of the kernel's own: not if `nohz_full=` names it.
pub(crate) fn housekeeping(cpu: u32) -> bool {
    // SAFETY: A possible CPU's number is a bit of every mask.
    possible(cpu) && unsafe { ffi::vigil_cpu_housekeeping(cpu) != 0 }
}

/// Nanoseconds that the hypervisor took from a CPU so far.
///
/// # Context
///
/// Any.
pub(crate) fn stolen(cpu: u32) -> u64 {
    if !possible(cpu) {
        return 0;
    }
    // SAFETY: Each possible CPU has its part of per-CPU variables.
    unsafe { ffi::vigil_stolen_ns(cpu) }
}

/// Nanoseconds of system, softirq, hardirq and idle time of a CPU so far, as the kernel counts
/// them: by the tick, so that what lasts less than a tick is chance.
///
/// # Context
///
/// Any.
pub(crate) fn times(cpu: u32) -> [u64; 4] {
    let mut times = [0; 4];
    if possible(cpu) {
        // SAFETY: As in `stolen`; there is room for the four numbers.
        unsafe { ffi::vigil_cpu_times(cpu, times.as_mut_ptr()) };
    }
    times
}

/// Evidence of running in a hard timer interrupt of a CPU, from its beginning to its end.
///
/// # Invariants
///
/// Exists on the stack of such an interrupt only.
pub(crate) struct InTimer<'a> {
    cpu: u32,
    _not_send: PhantomData<&'a *mut ()>,
}

impl InTimer<'_> {
    /// # Safety
    ///
    /// To be called in a hard timer interrupt, which the result must not outlive.
    pub(super) unsafe fn new() -> Self {
        Self {
            // SAFETY: In an interrupt, nothing moves to another CPU.
            cpu: unsafe { ffi::vigil_this_cpu() },
            _not_send: PhantomData,
        }
    }

    /// The CPU.
    pub(crate) fn cpu(&self) -> u32 {
        self.cpu
    }

    /// The registers of what was interrupted, for the printing functions; may be null.
    pub(super) fn regs(&self) -> *mut bindings::pt_regs {
        // SAFETY: By the type invariant this is a hard interrupt.
        unsafe { ffi::vigil_irq_regs() }
    }
}
