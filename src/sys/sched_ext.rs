// SPDX-License-Identifier: GPL-2.0

//! sched_ext: a BPF scheduler that a lockup may be the fault of is ejected, before anything panics.
//!
//! C headers: [`include/linux/sched/ext.h`](srctree/include/linux/sched/ext.h), `src/c/vigil.h`

use super::{
    context::HardirqCtx,
    ffi,
    ksyms::Ksyms, //
};

impl Ksyms {
    /// Says that this CPU may be about to have a soft lockup: its stopper has not run for so many
    /// seconds. Nothing happens without a BPF scheduler, or if `scx_softlockup()` is not available.
    ///
    /// # Context
    ///
    /// The CPU's timer interrupt.
    pub(crate) fn scx_softlockup(&self, seconds: u32, _irq: &HardirqCtx<'_>) {
        // SAFETY: In a hard interrupt, as `_irq` proves. Not bound, the call does nothing.
        unsafe { ffi::vigil_scx_softlockup(seconds) };
    }

    /// Says that a CPU has a hard lockup. Returns whether a BPF scheduler is being ejected for it,
    /// which happens once: the CPU may then go on.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn scx_hardlockup(&self, cpu: u32) -> bool {
        // SAFETY: May be called in any context with any CPU. Not bound, the call returns 0.
        unsafe { ffi::vigil_scx_hardlockup(cpu) != 0 }
    }
}
