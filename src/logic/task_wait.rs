// SPDX-License-Identifier: GPL-2.0

//! Waits of a task for another task which no lock shows: `flush_work()`, `kthread_stop()`, `vfork()`.
//!
//! In each of them a task sleeps for a completion (`struct completion`). Which other task completes
//! it is known by addresses, which are compared and not followed:
//!
//! | wait                             | what is compared                                                       |
//! |----------------------------------|------------------------------------------------------------------------|
//! | `kthread_stop()`, `vfork()`      | the completion is the other task's `task_struct::vfork_done`           |
//! | `flush_work()`, `cancel_work_sync()` | the barrier that it belongs to is behind the current work of the kworker, in `worker::scheduled` |
//!
//! A barrier may be behind others there, which other tasks wait for: then these have the same kworker.
//! The newest one is first (`insert_wq_barrier()`), and its task need not be hung yet: such barriers are
//! looked for when one is missing. A barrier that is behind a work which no kworker has begun with has
//! no kworker yet, and nothing is known.
//!
//! [`PendingWaits`] collects the waits, is shown each task that may complete some, and has the other
//! side of each then:
//!
//! ```text
//!   clear() -> add() of each wait
//!           -> while has_new(): begin_search() -> scan of the tasks: completes() of each, add() of more
//!                               -> follow_barriers() -> found() -> end_search() -> add() of more
//!                               -> if lacks_barriers(): add_barrier() of tasks that are not hung
//! ```

use super::task::TaskId;
use core::{
    fmt,
    ops::DerefMut, //
};

/// A wait of a task for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskWait {
    /// For the current work of a kworker: `flush_work()`, `cancel_work_sync()`.
    Work,
    /// For a kernel thread to exit: `kthread_stop()`.
    KthreadStop,
    /// For a child to exec or exit: `vfork()`.
    Vfork,
}

impl TaskWait {
    /// What it is in a few words, for a graph.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Work => "work",
            Self::KthreadStop => "kthread_stop()",
            Self::Vfork => "vfork()",
        }
    }

    /// What the other task has to do for it.
    pub const fn duty(self) -> &'static str {
        match self {
            Self::Work => "has to finish its work",
            Self::KthreadStop => "has to stop",
            Self::Vfork => "has to exec or exit",
        }
    }
}

/// What a task waits for, with the other task, as a line names it.
pub struct TaskWaitName {
    /// The wait.
    pub wait: TaskWait,
    /// The other task.
    pub owner: TaskId,
}

impl fmt::Display for TaskWaitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let owner = &self.owner;
        match self.wait {
            TaskWait::Work => write!(f, "work of {owner}"),
            TaskWait::KthreadStop => write!(f, "kernel thread {owner} to stop"),
            TaskWait::Vfork => write!(f, "child {owner} of vfork() to exec or exit"),
        }
    }
}

/// A completion that a task sleeps for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct CompletionWait {
    /// The neighbours of the task in the list of waiters: the head of the list, which is in the
    /// completion, or other waiters.
    pub neighbours: [usize; 2],
    /// If it is the completion of a barrier, the barrier's entry in the list of works; else 0.
    pub barrier: usize,
    /// What is before the barrier in that list.
    pub before_barrier: usize,
}

/// What a task completes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Completes {
    /// The head of the list of those that wait for its end; 0: none.
    pub waiters: usize,
    /// Of a kworker, the head of the list of works behind its current one; 0: none, or not known.
    pub scheduled: usize,
    /// Whether it is a kernel thread.
    pub is_kthread: bool,
}

impl Completes {
    /// Returns in which way a task waits for this one, if it does.
    pub fn is_waited_for_by(&self, wait: &CompletionWait) -> Option<TaskWait> {
        if wait.barrier != 0 {
            let is_behind = self.scheduled != 0 && wait.before_barrier == self.scheduled;
            return is_behind.then_some(TaskWait::Work);
        }
        if self.waiters == 0 || !wait.neighbours.contains(&self.waiters) {
            return None;
        }
        Some(if self.is_kthread {
            TaskWait::KthreadStop
        } else {
            TaskWait::Vfork
        })
    }
}

/// A wait whose other side is being looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct PendingWait {
    /// Which task waits: the index of its node in the graph.
    pub waiter: usize,
    /// The waiter's count of context switches: as long as it stays, the wait is the same.
    pub switch_count: u64,
    wait: CompletionWait,
    /// How the task waits and the key of the other one.
    found: Option<(TaskWait, usize)>,
    /// Whether [`PendingWaits::found`] has returned it, or is not to: nobody asks for the wait of a task
    /// that is not in the graph.
    is_taken: bool,
}

/// A wait whose other side was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundWait {
    /// As [`PendingWait::waiter`].
    pub waiter: usize,
    /// As [`PendingWait::switch_count`].
    pub switch_count: u64,
    /// How the task waits.
    pub wait: TaskWait,
    /// The key of the other task.
    pub owner: usize,
}

/// The waits whose other sides are being looked for, as many as there is room for.
pub struct PendingWaits<P> {
    waits: P,
    len: usize,
    /// How many of them, the first ones, have been looked for in a search.
    searched: usize,
    /// How many there were when the search began: the others were added in the middle of it.
    searching: usize,
}

impl<P: DerefMut<Target = [PendingWait]>> PendingWaits<P> {
    /// There are none yet.
    pub fn new(waits: P) -> Self {
        Self {
            waits,
            len: 0,
            searched: 0,
            searching: 0,
        }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.len = 0;
        self.searched = 0;
        self.searching = 0;
    }

    /// Whether there is no room for another one.
    pub fn is_full(&self) -> bool {
        self.len >= self.waits.len()
    }

    /// Whether there are some that no search has looked for.
    pub fn has_new(&self) -> bool {
        self.len != self.searched
    }

    /// How many there are.
    #[cfg(not(MODULE))]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[cfg(not(MODULE))]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn waits_mut(&mut self) -> &mut [PendingWait] {
        self.waits.get_mut(..self.len).unwrap_or_default()
    }

    fn waits(&self) -> &[PendingWait] {
        self.waits.get(..self.len).unwrap_or_default()
    }

    /// Adds a wait of a task that is hung or, if it `is_owner`, of one that others wait for. What there is
    /// no room for is left out, and has no other side.
    ///
    /// Most waits of hung tasks are for the end of no task, for I/O say: they get at most half of the places,
    /// and with those for works at most three quarters, so that the others have room.
    pub fn add(&mut self, waiter: usize, switch_count: u64, wait: CompletionWait, is_owner: bool) {
        let kept_free = match self.waits.len() {
            _ if is_owner => 0,
            all if wait.barrier != 0 => all / 4,
            all => all / 2,
        };
        self.push(
            kept_free,
            PendingWait {
                waiter,
                switch_count,
                wait,
                found: None,
                is_taken: false,
            },
        );
    }

    /// Adds a wait unless fewer places than that would be left. Returns whether it was added.
    fn push(&mut self, kept_free: usize, wait: PendingWait) -> bool {
        let end = self.waits.len().saturating_sub(kept_free);
        let place = self
            .waits
            .get_mut(..end)
            .unwrap_or_default()
            .get_mut(self.len);
        let Some(place) = place else {
            return false;
        };
        *place = wait;
        self.len = self.len.wrapping_add(1);
        true
    }

    /// Whether a barrier is behind something that is no barrier of these, and it is not known of which
    /// kworker.
    pub fn lacks_barriers(&self) -> bool {
        let mut waits = self.waits().iter();
        waits.any(|pending| {
            let before = pending.wait.before_barrier;
            let lacks = pending.found.is_none() && pending.wait.barrier != 0;
            lacks && !self.has_barrier(before)
        })
    }

    fn has_barrier(&self, barrier: usize) -> bool {
        self.waits()
            .iter()
            .any(|pending| pending.wait.barrier == barrier)
    }

    /// Shows the wait of a task that is not in the graph. If another one's barrier is behind its barrier it
    /// is added, to find the kworker of both. Returns whether it was.
    pub fn add_barrier(&mut self, wait: CompletionWait) -> bool {
        let barrier = wait.barrier;
        let mut waits = self.waits().iter();
        let is_lacking = barrier != 0
            && !self.has_barrier(barrier)
            && waits.any(|behind| {
                let is_behind = behind.wait.barrier != 0 && behind.wait.before_barrier == barrier;
                is_behind && behind.found.is_none()
            });
        let pending = PendingWait {
            wait,
            is_taken: true,
            ..PendingWait::default()
        };
        is_lacking && self.push(0, pending)
    }

    /// Begins a search: each task is then said to [`PendingWaits::completes`].
    pub fn begin_search(&mut self) {
        self.searching = self.len;
    }

    /// Says what the task with this key completes. Returns whether a wait is for it.
    pub fn completes(&mut self, key: usize, completes: &Completes) -> bool {
        let mut is_waited_for = false;
        for pending in self.waits_mut() {
            if pending.found.is_none() {
                let wait = completes.is_waited_for_by(&pending.wait);
                pending.found = wait.map(|wait| (wait, key));
                is_waited_for |= wait.is_some();
            }
        }
        is_waited_for
    }

    /// Finds the kworkers of barriers that are behind other barriers.
    pub fn follow_barriers(&mut self) {
        for place in 0..self.len {
            let Some(&ahead) = self.waits.get(place) else {
                return;
            };
            let Some(found @ (TaskWait::Work, _)) = ahead.found else {
                continue;
            };
            // The one behind it, the one behind that, and so on: each once.
            let mut entry = ahead.wait.barrier;
            while let Some(behind) = self.waits_mut().iter_mut().find(|behind| {
                behind.found.is_none()
                    && behind.wait.barrier != 0
                    && behind.wait.before_barrier == entry
            }) {
                behind.found = Some(found);
                entry = behind.wait.barrier;
            }
        }
    }

    /// Ends a search: what it has found was returned. Barriers are kept, as others may be behind them.
    /// No task has completed the other waits that it began with, and they give their places to more. What
    /// was added in the middle of it was not compared with the tasks before, so the next search looks for
    /// it too.
    pub fn end_search(&mut self) {
        let (mut kept, mut searched): (usize, usize) = (0, 0);
        for place in 0..self.len {
            let pending = self.waits.get(place).copied().unwrap_or_default();
            let is_old = place < self.searching;
            if pending.wait.barrier == 0 && (is_old || pending.found.is_some()) {
                continue;
            }
            if let Some(place) = self.waits.get_mut(kept) {
                *place = pending;
                kept = kept.wrapping_add(1);
            }
            // Those come first.
            if is_old {
                searched = kept;
            }
        }
        self.searched = searched;
        self.len = kept;
    }

    /// Returns a wait whose other side is known, each once.
    pub fn found(&mut self) -> Option<FoundWait> {
        let pending = self
            .waits_mut()
            .iter_mut()
            .find(|pending| pending.found.is_some() && !pending.is_taken)?;
        pending.is_taken = true;
        let (wait, owner) = pending.found?;
        Some(FoundWait {
            waiter: pending.waiter,
            switch_count: pending.switch_count,
            wait,
            owner,
        })
    }
}
