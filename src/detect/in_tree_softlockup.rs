// SPDX-License-Identifier: GPL-2.0

//! The in-tree detector of soft lockups, beside which this one runs.

use crate::sys::{
    atomic::{
        Atomic,
        Relaxed, //
    },
    ksyms::Ksyms,
    lock_words::{
        read_i32,
        read_word, //
    }, //
};

/// `WATCHDOG_SOFTOCKUP_ENABLED` of `include/linux/nmi.h`, spelled so there: a bit of `watchdog_enabled`.
pub(crate) const WATCHDOG_SOFTOCKUP_ENABLED: usize = 2;

/// Its variables, where they are known.
pub(super) struct InTreeSoftlockup {
    /// How many reports it has given.
    count: Option<&'static Atomic<i32>>,
    /// The addresses of `watchdog_enabled`, `watchdog_thresh` and `softlockup_panic`.
    enabled: Option<usize>,
    thresh: Option<usize>,
    panic: Option<usize>,
}

impl InTreeSoftlockup {
    /// Looks its variables up.
    ///
    /// # Context
    ///
    /// Process context.
    pub(super) fn find(ksyms: &Ksyms) -> Self {
        Self {
            count: ksyms.in_tree_softlockups(),
            enabled: ksyms.lookup(c"watchdog_enabled"),
            thresh: ksyms.lookup(c"watchdog_thresh"),
            panic: ksyms.lookup(c"softlockup_panic"),
        }
    }

    /// How many soft lockups it has reported, each time in the timer interrupt of the stuck CPU. What
    /// that prints may touch the watchdogs there (a serial console does, and the wait for other CPUs'
    /// stacks), by which nobody asks for time.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(super) fn reports(&self) -> i32 {
        self.count.map_or(0, |count| count.load(Relaxed))
    }

    /// Its threshold, `kernel.watchdog_thresh` in seconds, if it is on and may panic.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    #[inline(never)]
    pub(super) fn panic_thresh(&self) -> Option<u64> {
        let panics = self.panic.and_then(read_i32)? != 0;
        let enabled = self.enabled.and_then(read_word)?;
        let thresh = u64::try_from(self.thresh.and_then(read_i32)?).ok()?;
        (panics && enabled & WATCHDOG_SOFTOCKUP_ENABLED != 0 && thresh != 0).then_some(thresh)
    }
}
