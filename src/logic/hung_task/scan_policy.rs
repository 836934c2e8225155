// SPDX-License-Identifier: GPL-2.0

//! Whether a check is followed by a scan through all tasks, and when the scan may stop.
//!
//! The scheduler counts sleeping tasks in `struct rq::nr_uninterruptible`. One CPU's count means
//! nothing (a task may go to sleep on one CPU and be woken on another); the sum over all CPUs is
//! the number of tasks in uninterruptible sleep (`kernel/sched/loadavg.c`). So there is nothing to
//! scan for when that many tasks are tracked already, and a scan has seen enough as soon as that
//! many are.
//!
//! The sum can miss a task for a while: one whose dequeue is delayed, one that is blocked but left
//! on the run queue for its proxy, one that was preempted after it had set its state. Each of these
//! is still runnable and part of its run queue's `nr_running`. So the sum is exact where nothing
//! but the caller is runnable on any CPU. Otherwise only a scan through all tasks shows what sleeps,
//! and all but a few of these are skipped: no report is delayed by more than an eighth of the timeout.
//!
//! With `PREEMPT_RT` the sum is never exact: it leaves out each task that waits for an rtlock
//! (`TASK_RTLOCK_WAIT` is not uninterruptible sleep to `__block_task()`).
//!
//! And the sum may be wrong for good. One that is too large makes one scan, which cannot explain it,
//! and then as few as an inexact one. A driver that wakes a task in a way of its own makes it one less
//! for ever. So there is a full scan in half a timeout whatever the sum says, and sooner if an exact
//! sum is less than the tasks that are known to sleep.

/// How many full scans in a row may be skipped at most because of a sum that could miss a task.
pub const MAX_SKIPPED: u32 = 3;

/// How many full scans in a row may be skipped with the given timeout and check interval, both in
/// nanoseconds: as many as fit into an eighth of the timeout, at most [`MAX_SKIPPED`].
pub fn max_skipped(timeout: u64, interval: u64) -> u32 {
    let scans = timeout.checked_div(interval).unwrap_or(0) / 8;
    u32::try_from(scans).unwrap_or(MAX_SKIPPED).min(MAX_SKIPPED)
}

/// The run queues of all CPUs, summed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunQueueSum {
    /// Sum of `nr_uninterruptible`. Read without locks: may be off by the tasks that block or wake
    /// at this very moment, even negative.
    pub uninterruptible: i64,
    /// Sum of `nr_running`, the caller included.
    pub running: u64,
    /// Whether tasks can wait for rtlocks, which is part of neither sum (`PREEMPT_RT`).
    pub has_rtlocks: bool,
}

impl RunQueueSum {
    /// Whether every sleeping task is part of the sum.
    pub fn is_exact(&self) -> bool {
        self.running <= 1 && self.may_be_exact()
    }

    /// Whether the sum may be exact at another moment.
    pub fn may_be_exact(&self) -> bool {
        !self.has_rtlocks
    }
}

/// How to scan for tasks that are not tracked yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanMode {
    /// No scan: all sleeping tasks are tracked.
    Skip,
    /// Scan until as many tasks are tracked as an exact sum of the run queues counts.
    UntilAllTracked,
    /// Scan through all tasks.
    Full,
}

/// Decides about scans, and remembers how many full ones were skipped in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ScanPolicy {
    skipped: u32,
    /// How many tasks more than it has found the run queues counted after the last scan, if their sum
    /// was exact.
    unexplained: u64,
    /// When the last full scan began, and the last one that an inexact sum made sooner, in
    /// nanoseconds on the monotonic clock; 0: nothing is known against another one.
    last_full: u64,
    last_sooner: u64,
    /// How many tracked tasks were in a lasting sleep at that last one, until the next check.
    lasting_before: Option<u64>,
}

/// The tracked tasks that a check has found in a sleep which the run queues count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asleep {
    /// All of them.
    pub all: u64,
    /// Those in the same sleep as at the check before, or since the scan after that.
    pub lasting: u64,
}

impl ScanPolicy {
    /// Whether the next check has to be followed by a full scan unless the sum is exact.
    pub fn must_scan(&self, max_skipped: u32) -> bool {
        self.skipped >= max_skipped
    }

    /// Decides which scan follows a check, `now` on the monotonic clock. `queues` is `None` where
    /// the run queues cannot be read. `max_skipped`: see [`max_skipped`]. `timeout` in nanoseconds.
    pub fn scan_mode(
        &mut self,
        queues: Option<RunQueueSum>,
        asleep: Asleep,
        max_skipped: u32,
        now: u64,
        timeout: u64,
    ) -> ScanMode {
        // It has found a task that is still asleep: the next one may, too.
        let was_useful = |before: u64| asleep.lasting > before;
        if self.lasting_before.take().is_some_and(was_useful) {
            self.last_sooner = 0;
        }
        let since_full = now.saturating_sub(self.last_full);
        let mode = match queues {
            Some(queues) if since_full < timeout / 2 => {
                let too_few = queues.is_exact() && is_less(queues, asleep.all);
                if too_few && since_full >= timeout / 8 {
                    ScanMode::Full
                } else if queues.is_exact() {
                    self.mode_by_exact_sum(queues, asleep.all, max_skipped)
                } else {
                    self.mode_by_inexact_sum(queues, asleep, max_skipped, now, timeout)
                }
            }
            _ => ScanMode::Full,
        };
        if mode == ScanMode::Full {
            self.last_full = now;
        }
        if mode != ScanMode::Skip {
            self.skipped = 0;
        }
        mode
    }

    /// A scan is over. `unexplained`: how many tasks more than it has found the run queues count; 0 if
    /// that is not known.
    pub fn scanned(&mut self, unexplained: u64) {
        self.unexplained = unexplained;
    }

    /// The sum is to be trusted, but for what the last scan could not explain.
    fn mode_by_exact_sum(
        &mut self,
        queues: RunQueueSum,
        asleep: u64,
        max_skipped: u32,
    ) -> ScanMode {
        let excess = excess(queues, asleep);
        if excess > self.unexplained {
            return ScanMode::UntilAllTracked;
        }
        self.unexplained = excess;
        if excess == 0 {
            self.skipped = 0;
            return ScanMode::Skip;
        }
        self.full_unless_skipped(max_skipped)
    }

    /// Only a scan through all tasks can tell. Where tasks block and go on all the time, the sum is
    /// above the tracked ones at nearly each check: once in half a timeout that makes a scan sooner, and
    /// again if that finds a task that stays asleep.
    fn mode_by_inexact_sum(
        &mut self,
        queues: RunQueueSum,
        asleep: Asleep,
        max_skipped: u32,
        now: u64,
        timeout: u64,
    ) -> ScanMode {
        let since_sooner = now.saturating_sub(self.last_sooner);
        if !accounts_for_all(queues, asleep.all)
            && (self.last_sooner == 0 || since_sooner >= timeout / 2)
            && !self.must_scan(max_skipped)
        {
            self.last_sooner = now;
            self.lasting_before = Some(asleep.lasting);
            return ScanMode::Full;
        }
        self.full_unless_skipped(max_skipped)
    }

    fn full_unless_skipped(&mut self, max_skipped: u32) -> ScanMode {
        if self.must_scan(max_skipped) {
            return ScanMode::Full;
        }
        self.skipped = self.skipped.saturating_add(1);
        ScanMode::Skip
    }
}

/// Whether `asleep` tasks are all that the run queues count.
pub fn accounts_for_all(queues: RunQueueSum, asleep: u64) -> bool {
    excess(queues, asleep) == 0
}

/// How many tasks more than `asleep` the run queues count. A sum below zero is zero with the noise of
/// tasks that wake at this moment.
pub fn excess(queues: RunQueueSum, asleep: u64) -> u64 {
    u64::try_from(queues.uninterruptible)
        .unwrap_or(0)
        .saturating_sub(asleep)
}

/// Whether the run queues count fewer tasks than are known to sleep.
fn is_less(queues: RunQueueSum, asleep: u64) -> bool {
    u64::try_from(queues.uninterruptible).map_or(true, |sum| sum < asleep)
}
