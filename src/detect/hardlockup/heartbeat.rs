// SPDX-License-Identifier: GPL-2.0

//! The heartbeat of each watched CPU: when its timer interrupt came last, and what else the CPUs that
//! check it have to know. Each lies on cache lines of its own.

use crate::{
    logic::pause::{
        self,
        OnTimeHistory, //
    },
    report::report_lock::ReportGuard,
    sys::{
        atomic::{
            Acquire,
            Atomic,
            Relaxed,
            Release, //
        },
        clock::monotonic, //
    }, //
};

/// How long a report in an NMI may take, in nanoseconds. It waits for the lines of other CPUs and for their
/// stacks, two seconds each, and for the answers of those that the CPU waits for, half a second.
const NMI_REPORT_NS: u64 = 10_000_000_000;

/// What a CPU writes about itself, for the CPUs that check it. All times in nanoseconds on the
/// monotonic clock.
#[repr(align(64))]
pub(in crate::detect) struct CpuHeartbeat {
    /// When its timer interrupt came last.
    pub(in crate::detect) hrtimer_ts: Atomic<u64>,
    /// When its timer interrupt came on time: [`OnTimeHistory`].
    on_time: [Atomic<u64>; 3],
    /// How many soft lockups the in-tree detector had reported at that interrupt.
    pub(in crate::detect) in_tree_softlockups: Atomic<i32>,
    /// Whether it is watched.
    pub(in crate::detect) active: Atomic<bool>,
    /// Whether it has a soft lockup that was reported.
    pub(in crate::detect) has_softlockup: Atomic<bool>,
    /// Whether the report of that has found it waiting for a CPU or a lock.
    pub(in crate::detect) is_waiting: Atomic<bool>,
    /// Since when it gives a report, on itself or on another CPU; 0: it does not.
    report_since: Atomic<u64>,
    /// Since when it gives one on itself in its own NMI; 0: it does not.
    nmi_report_since: Atomic<u64>,
}

impl CpuHeartbeat {
    /// Of a CPU that is not watched.
    pub(in crate::detect) fn new() -> Self {
        Self {
            hrtimer_ts: Atomic::new(0),
            in_tree_softlockups: Atomic::new(0),
            on_time: core::array::from_fn(|_| Atomic::new(0)),
            active: Atomic::new(false),
            has_softlockup: Atomic::new(false),
            is_waiting: Atomic::new(false),
            report_since: Atomic::new(0),
            nmi_report_since: Atomic::new(0),
        }
    }

    /// The CPU is about to be watched. `in_tree_softlockups`: as they are now.
    pub(in crate::detect) fn reset(&self, now: u64, in_tree_softlockups: i32) {
        self.hrtimer_ts.store(now, Relaxed);
        self.in_tree_softlockups.store(in_tree_softlockups, Relaxed);
        self.report_since.store(0, Relaxed);
        self.nmi_report_since.store(0, Relaxed);
        self.has_softlockup.store(false, Relaxed);
        self.is_waiting.store(false, Relaxed);
    }

    /// Nanoseconds from its last timer interrupt to `now`.
    ///
    /// # Context
    ///
    /// Any, NMI included, with `now` from a clock that may be read there.
    pub(in crate::detect) fn age(&self, now: u64) -> u64 {
        now.saturating_sub(self.hrtimer_ts.load(Relaxed))
    }

    /// When the CPU took timer interrupts on time.
    pub(in crate::detect) fn on_time(&self) -> OnTimeHistory {
        let [latest, mark, previous_mark] = &self.on_time;
        OnTimeHistory {
            latest: latest.load(Acquire),
            mark: mark.load(Acquire),
            previous_mark: previous_mark.load(Acquire),
        }
    }

    /// Records a timer interrupt on time. Called by that CPU alone. The oldest entry is stored
    /// first: a CPU that reads in between finds one time twice, and what it misses then is older
    /// than an entry that is a grace old itself.
    pub(in crate::detect) fn record_on_time(&self, now: u64, period: u64) {
        let new = self.on_time().record(now, pause::grace(period));
        let [latest, mark, previous_mark] = &self.on_time;
        previous_mark.store(new.previous_mark, Release);
        mark.store(new.mark, Release);
        latest.store(new.latest, Release);
    }

    /// Whether the CPU gives a report in its own NMI, and has not for so long that it seems to have stopped
    /// in the middle.
    ///
    /// # Context
    ///
    /// Any, NMI included, with `now` from a clock that may be read there.
    pub(super) fn is_reporting_in_nmi(&self, now: u64) -> bool {
        let since = self.nmi_report_since.load(Acquire);
        since != 0 && now.saturating_sub(since) < NMI_REPORT_NS
    }

    /// Whether the CPU has been giving a report for less than `limit_ns`.
    ///
    /// # Context
    ///
    /// Any, NMI included, with `now` from a clock that may be read there.
    pub(in crate::detect) fn is_reporting(&self, now: u64, limit_ns: u64) -> bool {
        let since = self.report_since.load(Acquire);
        since != 0 && now.saturating_sub(since) < limit_ns
    }
}

/// The CPU gives a report, in its timer interrupt, for as long as this value lives. That may take
/// long (a CPU that does not run is waited for ten seconds if it is to print its stack), and is no
/// lockup.
pub(in crate::detect) struct Reporting<'a>(&'a CpuHeartbeat);

impl<'a> Reporting<'a> {
    /// Begins. `heartbeat` is that of the calling CPU.
    ///
    /// # Context
    ///
    /// The timer interrupt.
    pub(in crate::detect) fn begin(heartbeat: &'a CpuHeartbeat) -> Self {
        heartbeat.report_since.store(monotonic().max(1), Release);
        Self(heartbeat)
    }

    /// The report goes on: the time that it may take begins anew.
    ///
    /// # Context
    ///
    /// The timer interrupt.
    pub(in crate::detect) fn renew(&self, now: u64) {
        self.0.report_since.store(now.max(1), Release);
    }
}

impl Drop for Reporting<'_> {
    fn drop(&mut self) {
        self.0.hrtimer_ts.store(monotonic(), Release);
        self.0.report_since.store(0, Release);
    }
}

/// The CPU gives a report in its own NMI, where it answers no other CPU's, for as long as this value
/// lives.
pub(super) struct ReportingInNmi<'a>(&'a CpuHeartbeat);

impl<'a> ReportingInNmi<'a> {
    /// Begins. `heartbeat` is that of the calling CPU.
    ///
    /// # Context
    ///
    /// NMI, with `now` from a clock that may be read there.
    pub(super) fn begin(heartbeat: &'a CpuHeartbeat, now: u64) -> Self {
        heartbeat.nmi_report_since.store(now.max(1), Release);
        Self(heartbeat)
    }
}

impl Drop for ReportingInNmi<'_> {
    /// The CPU is as stuck as it was: its heartbeat is not renewed.
    fn drop(&mut self) {
        self.0.nmi_report_since.store(0, Release);
    }
}

/// The report of a CPU goes on, of which each part has an end: it may take another
/// [`REPORT_LOCK_TIMEOUT_NS`](crate::report::report_lock::REPORT_LOCK_TIMEOUT_NS).
///
/// # Context
///
/// The timer interrupt.
pub(in crate::detect) fn report_goes_on(
    reporting: Option<&Reporting<'_>>,
    guard: Option<&mut ReportGuard<'_>>,
) {
    let now = monotonic();
    if let Some(reporting) = reporting {
        reporting.renew(now);
    }
    if let Some(guard) = guard {
        guard.renew(now);
    }
}
