// SPDX-License-Identifier: GPL-2.0

//! The watchdog timer of the in-tree detector of soft lockups, `watchdog_hrtimer` of `kernel/watchdog.c`.
//!
//! C header: `src/c/vigil.h`

use super::{
    context::HardirqCtx,
    ffi,
    ksyms::Ksyms, //
};
use core::num::NonZeroUsize;

/// Where it is.
///
/// # Invariants
///
/// `hrtimer` is the address of the kernel's per-CPU variable `watchdog_hrtimer`, a `struct hrtimer`, and
/// `thresh` that of `watchdog_thresh`, an `int`.
pub(crate) struct InTreeTimer {
    hrtimer: NonZeroUsize,
    thresh: usize,
}

impl InTreeTimer {
    /// Looks it up; `None` if it cannot be found, as on a kernel without that detector.
    ///
    /// # Context
    ///
    /// As [`Ksyms::lookup`].
    pub(crate) fn find(ksyms: &Ksyms) -> Option<Self> {
        // INVARIANT: `kernel/watchdog.c` defines both, and nothing else in the kernel has these names.
        Some(Self {
            hrtimer: NonZeroUsize::new(ksyms.lookup(c"watchdog_hrtimer")?)?,
            thresh: ksyms.lookup(c"watchdog_thresh")?,
        })
    }

    /// When it expires on this CPU, in nanoseconds of the monotonic clock, or when it was last to expire, if it
    /// does not run. 0 if it has not run yet, or if `kernel.watchdog_thresh` is not `thresh` seconds.
    ///
    /// # Context
    ///
    /// A hard interrupt. The kernel sets the timer of a CPU on that CPU alone. Where it initialises one, as
    /// the CPU comes online or `kernel.watchdog_thresh` is written, interrupts are enabled
    /// (`watchdog_enable()`), and what is read here may be zero or old.
    pub(crate) fn expires_here(&self, thresh: u64, _irq: &HardirqCtx<'_>) -> u64 {
        // SAFETY: By the type invariant the first is a per-CPU variable of the kernel, of which each
        // possible CPU has its own for good, and the second a variable of its image. Interrupts are
        // disabled, as `_irq` shows: the CPU stays the same, and as only that one writes its timer, nobody
        // does meanwhile. Any bytes are a valid time.
        unsafe { ffi::vigil_in_tree_timer_expires(self.hrtimer.get(), self.thresh, thresh) }
    }
}
