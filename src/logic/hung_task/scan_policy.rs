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
//! but the caller is runnable on any CPU. Otherwise a scan goes on to its end; and full scans may
//! be skipped, only a few in a row, so that no report is delayed by much.
//!
//! With `PREEMPT_RT` the sum is never exact: it leaves out each task that waits for an rtlock
//! (`TASK_RTLOCK_WAIT` is not uninterruptible sleep to `__block_task()`).
//!
//! And the sum may be wrong for good: a driver that wakes a task in a way of its own makes it one
//! less for ever. So there is a full scan in half a timeout whatever the sum says, and sooner if
//! an exact sum is less than the tasks that are known to sleep.

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
    /// When the last full scan began, in nanoseconds on the monotonic clock.
    last_full: u64,
}

impl ScanPolicy {
    /// Whether the next check has to be followed by a full scan unless the sum is exact.
    pub fn must_scan(&self, max_skipped: u32) -> bool {
        self.skipped >= max_skipped
    }

    /// Decides which scan follows a check, `now` on the monotonic clock. `queues` is `None` where
    /// the run queues cannot be read. `tracked` is the number of tracked tasks that are certain to
    /// be part of the sum. `max_skipped`: see [`max_skipped`]. `timeout` in nanoseconds.
    pub fn scan_mode(
        &mut self,
        queues: Option<RunQueueSum>,
        tracked: u64,
        max_skipped: u32,
        now: u64,
        timeout: u64,
    ) -> ScanMode {
        let since_full = now.saturating_sub(self.last_full);
        let mode = match queues {
            Some(queues) if since_full < timeout / 2 => {
                let too_few = queues.is_exact() && is_less(queues, tracked);
                if too_few && since_full >= timeout / 8 {
                    ScanMode::Full
                } else {
                    self.mode_by_sum(queues, tracked, max_skipped)
                }
            }
            _ => ScanMode::Full,
        };
        if mode == ScanMode::Full {
            self.skipped = 0;
            self.last_full = now;
        }
        mode
    }

    /// Which scan follows a check, if the sum is to be trusted.
    fn mode_by_sum(&mut self, queues: RunQueueSum, tracked: u64, max_skipped: u32) -> ScanMode {
        if queues.is_exact() {
            self.skipped = 0;
        } else if self.must_scan(max_skipped) {
            return ScanMode::Full;
        } else {
            self.skipped = self.skipped.saturating_add(1);
        }
        if accounts_for_all(queues, tracked) {
            ScanMode::Skip
        } else {
            ScanMode::UntilAllTracked
        }
    }
}

/// Whether `tracked` tasks are all that the run queues count.
pub fn accounts_for_all(queues: RunQueueSum, tracked: u64) -> bool {
    match u64::try_from(queues.uninterruptible) {
        Ok(sum) => sum <= tracked,
        // A sum below zero is zero with the noise of tasks that wake at this moment.
        Err(_) => true,
    }
}

/// Whether the run queues count fewer tasks than are known to sleep.
fn is_less(queues: RunQueueSum, tracked: u64) -> bool {
    u64::try_from(queues.uninterruptible).map_or(true, |sum| sum < tracked)
}
