// SPDX-License-Identifier: GPL-2.0

//! The lock that keeps the reports of two CPUs apart.

use crate::{
    logic::NSEC_PER_SEC,
    sys::atomic::{
        Atomic,
        Full,
        Relaxed, //
    }, //
};

/// For how long the report of one CPU keeps the reports of other CPUs waiting at most, in
/// nanoseconds.
pub(crate) const REPORT_LOCK_TIMEOUT_NS: u64 = 30 * NSEC_PER_SEC;

/// Held by the CPU that gives a report, where two reports at a time would mix their lines or wait
/// for each other: the kernel prints stacks of other CPUs for one CPU at a time. So do
/// `hard_lockup_nmi_warn` and `soft_lockup_nmi_warn` in `kernel/watchdog.c`. No CPU waits for the
/// lock: one that does not get it tries again at a later timer interrupt.
pub(crate) struct ReportLock {
    /// Since when it is held, in nanoseconds on the monotonic clock; 0: it is free.
    since: Atomic<u64>,
}

impl ReportLock {
    /// A free lock. Another CPU may take it over from a holder that has not released it within
    /// [`REPORT_LOCK_TIMEOUT_NS`].
    pub(crate) const fn new() -> Self {
        Self {
            since: Atomic::new(0),
        }
    }

    /// Whether it is held, and not for too long.
    ///
    /// # Context
    ///
    /// Any, NMI included, with `now` from a clock that may be read there.
    pub(crate) fn is_held(&self, now: u64) -> bool {
        let since = self.since.load(Relaxed);
        since != 0 && now.saturating_sub(since) < REPORT_LOCK_TIMEOUT_NS
    }

    /// Takes the lock, if it is free or has been held for too long.
    ///
    /// # Context
    ///
    /// Any.
    pub(crate) fn try_acquire(&self, now: u64) -> Option<ReportGuard<'_>> {
        let old = self.since.load(Relaxed);
        if self.is_held(now) {
            return None;
        }
        let since = now.max(1);
        let acquired = self.since.cmpxchg(old, since, Full).is_ok();
        acquired.then_some(ReportGuard { lock: self, since })
    }
}

impl ReportGuard<'_> {
    /// The report goes on: the time that it may take begins anew, unless another CPU has taken the
    /// lock over.
    ///
    /// # Context
    ///
    /// Any, NMI included, with `now` from a clock that may be read there.
    pub(crate) fn renew(&mut self, now: u64) {
        let since = now.max(1);
        if self.lock.since.cmpxchg(self.since, since, Full).is_ok() {
            self.since = since;
        }
    }
}

/// Holds a [`ReportLock`]. Dropping it releases the lock, unless another CPU has taken it over.
pub(crate) struct ReportGuard<'a> {
    lock: &'a ReportLock,
    since: u64,
}

impl Drop for ReportGuard<'_> {
    fn drop(&mut self) {
        // Fails if another CPU has taken the lock over.
        let _ = self.lock.since.cmpxchg(self.since, 0, Full);
    }
}
