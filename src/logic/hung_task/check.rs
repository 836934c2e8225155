// SPDX-License-Identifier: GPL-2.0

//! What is hung, and when it is to be looked at again.
//!
//! The rule is that of mainline's `task_is_hung()` (`kernel/hung_task.c`). One watched task goes
//! through these states; every look at it is one step:
//!
//! ```text
//!                 blocked, ran since              blocked, age < timeout
//!                   +---------+                       +---------+
//!                   v         |                       v         |
//!   (unseen) --> [ since = now, reported = 0 ] --> [ waiting ] -+--> [ hung ] --+
//!        blocked    ^                                    |              |   ^   |
//!                   +------------------------------------+--------------+   +---+
//!                          a context switch restarts the age             again after
//!                                                                        each timeout
//!   any state --> (forgotten) as soon as the task is seen not blocked
//! ```
//!
//! Differences from mainline, on purpose:
//!
//! - The observation is kept beside the task, not in `task_struct`, whose fields belong to the
//!   in-tree detector.
//! - A task is found hung once, and again after each further timeout, whatever the interval:
//!   mainline does so at every pass, which is the same with its default interval only.
//! - Sleepers that count towards the load but are not to be reported (`TASK_KILLABLE`) are watched
//!   too: [``scan_policy``](super::scan_policy) has to know which tasks make up the kernel's count.

use super::super::NSEC_PER_SEC;

/// `TASK_UNINTERRUPTIBLE` of `include/linux/sched.h`.
pub const TASK_UNINTERRUPTIBLE: u32 = 0x0002;
/// `TASK_WAKEKILL`: a fatal signal ends the sleep.
pub const TASK_WAKEKILL: u32 = 0x0100;
/// `TASK_NOLOAD`: an idle kernel thread's sleep.
pub const TASK_NOLOAD: u32 = 0x0400;
/// `TASK_FROZEN`: stopped by the freezer.
pub const TASK_FROZEN: u32 = 0x8000;

/// State bits without which, or with which, a task is nothing to us.
pub const WATCH_WANTED: u32 = TASK_UNINTERRUPTIBLE;
/// See [`WATCH_WANTED`].
pub const WATCH_UNWANTED: u32 = TASK_NOLOAD | TASK_FROZEN;

/// What one look at a task shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskSample {
    /// `task_struct::__state`.
    pub state: u32,
    /// Context switches so far, voluntary and involuntary. Zero: never switched out yet.
    pub switches: u64,
}

impl TaskSample {
    /// Whether the task sleeps in a way that counts towards the load average, which is what the
    /// run queues' `nr_uninterruptible` sums up (`__block_task()`).
    pub fn contributes(&self) -> bool {
        self.state & WATCH_WANTED != 0 && self.state & WATCH_UNWANTED == 0
    }

    /// Whether the task may be called hung if this lasts.
    ///
    /// A task that was never switched out has merely set its state: it has not slept yet.
    pub fn may_hang(&self) -> bool {
        self.contributes() && self.state & TASK_WAKEKILL == 0 && self.switches != 0
    }
}

/// What is known of one watched task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Watch {
    /// Context switches when it was first seen so.
    switches: u64,
    /// When it was first seen so, in nanoseconds of the live clock.
    since: u64,
    /// How old it was when it was last found hung, in nanoseconds; 0: it was not. Not a count of
    /// timeouts: the timeout may change, and the live clock may step back a little.
    found: u64,
    /// Whether it was already there, with as many switches, at the look before the last.
    settled: bool,
}

/// What a look at a watched task decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not blocked any more: forget it.
    Gone,
    /// Blocked, not for long enough.
    Waiting,
    /// Blocked for at least the timeout, and said so before.
    StillHung,
    /// Blocked for at least the timeout (`first`), or for another one.
    Hung {
        /// Whether this stall was not found hung before.
        first: bool,
    },
}

impl Watch {
    /// Begins to watch a task that was just seen blocked, at `now` of the live clock.
    pub fn new(sample: &TaskSample, now: u64) -> Self {
        Self {
            switches: sample.switches,
            since: now,
            found: 0,
            settled: false,
        }
    }

    /// Looks again: `timeout` in nanoseconds, not zero; `now` of the live clock.
    pub fn look(&mut self, sample: &TaskSample, now: u64, timeout: u64) -> Verdict {
        if !sample.contributes() {
            return Verdict::Gone;
        }
        if sample.switches != self.switches {
            *self = Self::new(sample, now);
            return Verdict::Waiting;
        }
        self.settled = true;
        if !sample.may_hang() {
            // It may become killable, or the reverse, only by running; but a state that is not
            // to be reported must not gather age either.
            self.since = now;
            self.found = 0;
            return Verdict::Waiting;
        }
        let age = self.age(now);
        let whole = whole_timeouts(age, timeout);
        if whole == 0 {
            return Verdict::Waiting;
        }
        if whole <= whole_timeouts(self.found, timeout) {
            return Verdict::StillHung;
        }
        let first = self.found == 0;
        self.found = age;
        Verdict::Hung { first }
    }

    /// Whether the task still sleeps the sleep in which it was first seen.
    pub fn same_sleep(&self, sample: &TaskSample) -> bool {
        sample.contributes() && sample.switches == self.switches
    }

    /// Nanoseconds since the task was first seen blocked as it is.
    pub fn age(&self, now: u64) -> u64 {
        now.saturating_sub(self.since)
    }

    /// Whether the task has slept through from one look to another. Unless something is runnable
    /// that may be this very task, it is part of the run queues' count.
    pub fn settled(&self) -> bool {
        self.settled
    }

    /// Whether a look now would find the task hung, again or for the first time.
    pub fn is_hung(&self, sample: &TaskSample, now: u64, timeout: u64) -> bool {
        self.same_sleep(sample) && sample.may_hang() && self.age(now) >= timeout
    }

    /// When the task is to be looked at next, on the live clock, lest a report comes late.
    pub fn due(&self, timeout: u64) -> u64 {
        let wholes = whole_timeouts(self.found, timeout).saturating_add(1);
        self.since.saturating_add(timeout.saturating_mul(wholes))
    }
}

/// How many whole timeouts fit into `age`.
fn whole_timeouts(age: u64, timeout: u64) -> u64 {
    age.checked_div(timeout).unwrap_or(0)
}

/// How often to look, in nanoseconds, from the two knobs in seconds.
///
/// Mainline takes the timeout itself where no interval is given, so that a report may come a whole
/// timeout late. Here it is a sixteenth of it, at least a second. `None`: never.
pub fn interval(timeout_secs: u64, interval_secs: u64) -> Option<u64> {
    if timeout_secs == 0 {
        return None;
    }
    let timeout = timeout_secs.saturating_mul(NSEC_PER_SEC);
    let chosen = if interval_secs == 0 {
        (timeout / 16).max(NSEC_PER_SEC)
    } else {
        interval_secs.saturating_mul(NSEC_PER_SEC)
    };
    Some(chosen.min(timeout))
}
