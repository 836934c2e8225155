// SPDX-License-Identifier: GPL-2.0

//! Whether a pass has to walk the task list, and when the walk may stop.
//!
//! The scheduler counts sleepers in `struct rq::nr_uninterruptible`; a single CPU's count means
//! nothing (a task may go to sleep on one and be woken on another), the sum over all CPUs is the
//! number of tasks asleep in D state (`kernel/sched/loadavg.c`). So when every one of them is
//! already being watched there is nothing to look for, and a walk has seen enough as soon as it
//! has seen that many.
//!
//! The sum can miss a task for a while: one whose dequeue is delayed, one that is blocked but left
//! on the run queue for its proxy, one that was preempted after it had set its state. All of them
//! stay runnable in their run queue's `nr_running`. So where nothing but the caller is runnable
//! anywhere the sum is exact. Otherwise a walk does not stop before its end, and to leave a walk
//! out is allowed for a few passes at a stretch, as long as that delays no report by much.

/// At most so many passes in a row may rely on a sum that could miss a task.
pub const PATIENCE: u32 = 3;

/// How many passes in a row may do so, with the given timeout and interval in nanoseconds: no more
/// than make up an eighth of the timeout.
pub fn patience(timeout: u64, interval: u64) -> u32 {
    let passes = timeout.checked_div(interval).unwrap_or(0) / 8;
    u32::try_from(passes).unwrap_or(PATIENCE).min(PATIENCE)
}

/// The run queues of all CPUs, summed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunQueues {
    /// Sum of `nr_uninterruptible`. Read without locks: may be off by the tasks that block or wake
    /// at this very moment, even negative.
    pub uninterruptible: i64,
    /// Sum of `nr_running`, the caller included.
    pub running: u64,
}

impl RunQueues {
    /// Whether no task can be asleep without being counted.
    pub fn exact(&self) -> bool {
        self.running <= 1
    }
}

/// What to do about tasks that are not being watched yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanMode {
    /// All sleepers are known: no walk.
    No,
    /// Walk until as many sleepers are known as the run queues exactly count.
    UntilFound,
    /// Walk through all tasks.
    Full,
}

/// Remembers how long the sum has been relied upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Planner {
    trusted: u32,
}

impl Planner {
    /// Whether a sum that is not exact means a full walk now.
    pub fn impatient(&self, patience: u32) -> bool {
        self.trusted >= patience
    }

    /// Decides for one pass. `known`: how many watched tasks have slept through from the look
    /// before. `patience`: see [`patience`]. `queues` is `None` where they cannot be read.
    pub fn plan(&mut self, queues: Option<RunQueues>, known: u64, patience: u32) -> ScanMode {
        let Some(queues) = queues else {
            return ScanMode::Full;
        };
        if queues.exact() {
            self.trusted = 0;
        } else if self.trusted >= patience {
            self.trusted = 0;
            return ScanMode::Full;
        } else {
            self.trusted = self.trusted.saturating_add(1);
        }
        if enough(queues, known) {
            ScanMode::No
        } else {
            ScanMode::UntilFound
        }
    }
}

/// Whether `known` sleepers are all that the run queues count.
pub fn enough(queues: RunQueues, known: u64) -> bool {
    match u64::try_from(queues.uninterruptible) {
        Ok(sum) => sum <= known,
        // Sums below zero are a moment's noise around zero.
        Err(_) => true,
    }
}
