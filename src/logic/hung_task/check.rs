// SPDX-License-Identifier: GPL-2.0

//! Whether a tracked task is hung, and when its next report is due.
//!
//! The rule is that of mainline's `task_is_hung()` (`kernel/hung_task.c`): a task is hung when it
//! has been in uninterruptible sleep without a context switch for at least the timeout. Each check
//! of a task takes one [`TaskSample`] and is one step of the task's [`Tracked`] state:
//!
//! ```text
//!   not tracked
//!       |  a scan samples the task asleep
//!       v
//!   waiting <------------+
//!       |  age >= timeout| context switch: the age restarts, in both states
//!       v                |
//!   reported ------------+
//!       ^  |
//!       +--+ age >= the next multiple of the timeout: reported again
//!
//!   each state --> not tracked: a check samples the task awake
//! ```
//!
//! A hung task that a rule ignores, or that a longer timeout makes no hung one, stays in its state. If it
//! had been reported by itself, it has no incident any more ([`Tracked::is_alone`]), and the caller
//! reports it at once when it is hung again by the knobs.
//!
//! | state     | in [`Tracked`]       | a check returns                   |
//! |-----------|----------------------|-----------------------------------|
//! | waiting   | `reported_age` 0     | [`Outcome::Waiting`]              |
//! | reported  | `reported_age` not 0 | [`Outcome::Hung`], then           |
//! |           |                      | [`Outcome::StillHung`] until the  |
//! |           |                      | next multiple of the timeout      |
//!
//! Where vigil differs from mainline:
//!
//! - The state is kept beside the task, not in `task_struct`: `last_switch_count` and
//!   `last_switch_time` there belong to khungtaskd.
//! - A hung task is reported once, and again after each further timeout, whatever the check
//!   interval is. Mainline reports it at every check, which is the same for its default interval
//!   only.
//! - Sleeping tasks that count towards the load average but must not be reported (`TASK_KILLABLE`,
//!   and those that are frozen in such a sleep) are tracked too: [`scan_policy`](super::scan_policy)
//!   compares the number of tracked tasks with the scheduler's count, which includes them.
//! - A task that waits for an rtlock (`TASK_RTLOCK_WAIT`: a `spinlock_t` or a `rwlock_t` with
//!   `PREEMPT_RT`) is tracked and may be hung. Mainline looks for `TASK_UNINTERRUPTIBLE` only, and a
//!   deadlock of such locks is found by nothing there. The scheduler's count leaves these tasks out.

use super::super::NSEC_PER_SEC;

/// `TASK_RUNNING`: the task does not sleep.
pub const TASK_RUNNING: u32 = 0;
/// `TASK_UNINTERRUPTIBLE` of `include/linux/sched.h`.
pub const TASK_UNINTERRUPTIBLE: u32 = 0x0002;
/// `TASK_WAKEKILL`: a fatal signal ends the sleep.
pub const TASK_WAKEKILL: u32 = 0x0100;
/// `TASK_NOLOAD`: an idle kernel thread's sleep.
pub const TASK_NOLOAD: u32 = 0x0400;
/// `TASK_RTLOCK_WAIT`: waits for an rtlock, whatever state the task was in before
/// (`task_struct::saved_state`). Never set together with another bit.
pub const TASK_RTLOCK_WAIT: u32 = 0x1000;
/// `TASK_FROZEN`: stopped by the freezer. [`TaskSample::state`] has [`TASK_UNINTERRUPTIBLE`] besides if
/// the task was frozen in such a sleep, in which the run queues go on counting it.
pub const TASK_FROZEN: u32 = 0x8000;

/// A task is tracked if its state has one of these bits and none of [`UNTRACKED_STATES`].
pub const TRACKED_STATES: u32 = TASK_UNINTERRUPTIBLE | TASK_RTLOCK_WAIT;
/// A task with one of these bits in its state is tracked if it is frozen in an uninterruptible sleep.
pub const MAYBE_TRACKED_STATES: u32 = TASK_FROZEN;
/// A task with one of these bits in its state is not tracked.
pub const UNTRACKED_STATES: u32 = TASK_NOLOAD;

/// What one reading of a `task_struct` shows of the task's sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskSample {
    /// `task_struct::__state`.
    pub state: u32,
    /// Context switches so far, voluntary and involuntary (`nvcsw + nivcsw`). Zero: the task was
    /// never switched out.
    pub switch_count: u64,
}

impl TaskSample {
    /// Whether the task does not sleep (`TASK_RUNNING`).
    pub fn is_running(&self) -> bool {
        self.state == 0
    }

    /// Whether the task sleeps in a way that counts towards the load average
    /// (`task_contributes_to_load()`). The run queues' `nr_uninterruptible` is the number of such
    /// tasks (`__block_task()`).
    pub fn counts_to_load(&self) -> bool {
        self.state & TASK_UNINTERRUPTIBLE != 0 && self.is_tracked()
    }

    /// Whether the task sleeps in a way that makes it a tracked task.
    pub fn is_tracked(&self) -> bool {
        self.state & TRACKED_STATES != 0 && self.state & UNTRACKED_STATES == 0
    }

    /// Whether the task sleeps, in whatever way.
    pub fn is_asleep(&self) -> bool {
        self.state != TASK_RUNNING
    }

    /// Whether the task becomes hung if this sleep lasts for the timeout.
    ///
    /// A task that was never switched out has set its state and has not slept yet.
    pub fn may_hang(&self) -> bool {
        self.is_tracked()
            && self.state & (TASK_WAKEKILL | TASK_FROZEN) == 0
            && self.switch_count != 0
    }
}

/// The state of one tracked task: see the diagram in the [module](self)'s documentation.
///
/// Times are unpaused time in nanoseconds: see [`pause_clock`](super::super::pause_clock).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Tracked {
    /// The switch count with which this sleep was first sampled.
    last_switch_count: u64,
    /// When it was first sampled with that switch count.
    last_switch_time: u64,
    /// The age of the sleep when it was last reported; 0 if it was not. Kept as an age and not as a
    /// number of timeouts, since the timeout may change.
    reported_age: u64,
    /// Whether the last sample showed a sleep that may hang.
    may_hang: bool,
    /// What it waits for, if the kernel wakes it now and then; [`Wait::Unknown`] until a check.
    wait: Wait,
    /// When the kernel last woke it, or the sleep was first sampled.
    woken: u64,
    /// Whether a report about this sleep was printed.
    pub is_printed: bool,
    /// Whether the task was reported by itself, and not with its root cause: the sleep has an incident
    /// of its own.
    pub is_alone: bool,
}

/// What has become of the sleep of a task that was hung.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stall {
    /// It goes on: the task is hung.
    Hung,
    /// It goes on, but the timeout is longer now than the sleep.
    BelowTimeout,
    /// The task is frozen in it.
    Frozen,
    /// It is over.
    Over,
}

/// What a task waits for, as far as that tells one wait from another.
///
/// In a wait for block I/O the kernel wakes up now and then, each half of *its own*
/// `hung_task_timeout_secs`, and sleeps again, so that its detector does not complain
/// (`blk_wait_io()`, `blk_io_schedule()`). Such a context switch is no progress, and the age of the
/// sleep goes on, if it waits for a read, a write or a flush. What is long by nature, a discard for
/// example, is what the kernel has the wake-ups for, and is never hung:
/// [`io_wait`](super::io_wait) tells them apart. Writeback is the other way round: as long as the device
/// writes pages, who waits for it is not hung, woken or not. The kernel wakes it for progress only, each
/// half of its timeout, also for what is no page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Wait {
    /// Not looked at yet.
    #[default]
    Unknown,
    /// Any other wait: a context switch is its end.
    Ordinary,
    /// A wait with such a heartbeat. The number stands for where the task waits and for the I/O that
    /// it has done so far.
    Heartbeat(u64),
    /// A wait for I/O that is long by nature, which is never hung, as in mainline. Whether the kernel
    /// wakes it, and how often, makes no difference: its timeout may be 0, or longer than vigil's.
    LongIo,
    /// A wait for writeback. The number stands for where it waits and for the pages that the device
    /// has written so far; `None` if the device is not known.
    Writeback(Option<u64>),
}

/// How the kernel wakes tasks in [`Wait::Heartbeat`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Heartbeat {
    /// Nanoseconds from one to the next; 0: the kernel's timeout is 0, and there are none.
    pub period: u64,
    /// Nanoseconds from one check of a task to the next: so late a wake-up is seen at most.
    pub interval: u64,
}

impl Heartbeat {
    /// Whether so many context switches in `elapsed` nanoseconds may all be heartbeats.
    fn explains(&self, switches: u64, elapsed: u64) -> bool {
        self.period != 0
            && elapsed.saturating_add(self.interval) >= self.period.saturating_mul(switches)
    }
}

/// What a check of a tracked task finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The task does not sleep any more. The caller stops tracking it.
    Awake,
    /// The task sleeps, for less than the timeout so far, or in a way that is never hung.
    Waiting,
    /// The task is hung, and was reported within the last timeout.
    StillHung,
    /// The task has slept for the timeout, and is to be ignored.
    Ignored,
    /// The task is hung, and a report is due.
    Hung {
        /// Whether this is the first report about this sleep.
        first: bool,
    },
}

impl Tracked {
    /// Begins to track a task whose first `sample` shows it asleep at the time `now`.
    pub fn new(sample: &TaskSample, now: u64) -> Self {
        Self {
            last_switch_count: sample.switch_count,
            last_switch_time: now,
            reported_age: 0,
            may_hang: sample.may_hang(),
            wait: Wait::Unknown,
            woken: now,
            is_printed: false,
            is_alone: false,
        }
    }

    /// As [`Tracked::check_wait`], of a task whose every context switch is the end of a wait.
    #[cfg(not(MODULE))]
    pub fn check(&mut self, sample: &TaskSample, now: u64, timeout: u64) -> Outcome {
        let heartbeat = Heartbeat::default();
        self.check_wait(sample, now, timeout, heartbeat, || Wait::Ordinary, || false)
    }

    /// Checks the task once more, with a `sample` taken at the time `now` and the `timeout` in
    /// nanoseconds, which is not zero. `wait` looks at what the task waits for; `is_ignored` says
    /// whether it is to be ignored if it is hung.
    pub fn check_wait(
        &mut self,
        sample: &TaskSample,
        now: u64,
        timeout: u64,
        heartbeat: Heartbeat,
        wait: impl FnOnce() -> Wait,
        is_ignored: impl FnOnce() -> bool,
    ) -> Outcome {
        if !sample.is_tracked() {
            return Outcome::Awake;
        }
        let switched = sample.switch_count != self.last_switch_count;
        let is_looked_at = matches!(
            self.wait,
            Wait::Ordinary | Wait::Heartbeat(_) | Wait::LongIo
        );
        if switched || !is_looked_at {
            let wait = wait();
            let goes_on = match (self.wait, wait) {
                (Wait::Writeback(before), Wait::Writeback(after)) => before == after && !switched,
                (Wait::Heartbeat(before), Wait::Heartbeat(after)) if switched => {
                    let switches = sample.switch_count.wrapping_sub(self.last_switch_count);
                    before == after && heartbeat.explains(switches, now.saturating_sub(self.woken))
                }
                _ => !switched,
            };
            if !goes_on {
                *self = Self::new(sample, now);
                self.wait = wait;
                return Outcome::Waiting;
            }
            self.wait = wait;
            if switched {
                self.last_switch_count = sample.switch_count;
                self.woken = now;
            }
        }
        if !sample.may_hang() || !self.may_hang || self.wait == Wait::LongIo {
            // It was frozen, or is still, or waits for what is long by nature: that does not add to
            // the age. (A task can only become killable, or cease to be, by running.)
            self.may_hang = sample.may_hang();
            self.last_switch_time = now;
            self.reported_age = 0;
            self.is_alone = false;
            return Outcome::Waiting;
        }
        let age = self.known_age(now);
        let timeouts = whole_timeouts(age, timeout);
        if timeouts == 0 {
            return Outcome::Waiting;
        }
        if is_ignored() {
            return Outcome::Ignored;
        }
        if timeouts <= whole_timeouts(self.reported_age, timeout) {
            return Outcome::StillHung;
        }
        let first = self.reported_age == 0;
        self.reported_age = age;
        Outcome::Hung { first }
    }

    /// Whether this sleep was reported: the task is hung as far as is known.
    pub fn is_reported(&self) -> bool {
        self.reported_age != 0
    }

    /// Whether `sample` shows the task in the sleep that is being tracked.
    pub fn same_sleep(&self, sample: &TaskSample) -> bool {
        sample.is_tracked() && sample.switch_count == self.last_switch_count
    }

    /// For how long the task has been seen in this sleep, in nanoseconds.
    pub fn age(&self, now: u64) -> u64 {
        now.saturating_sub(self.last_switch_time)
    }

    /// When the sleep reaches this age if the task does not wake.
    pub fn reaches(&self, age: u64) -> u64 {
        self.last_switch_time.saturating_add(age)
    }

    /// Whether the task is hung at the time `now`, reported, ignored, or not.
    pub fn is_hung(&self, sample: &TaskSample, now: u64, timeout: u64) -> bool {
        self.same_sleep(sample)
            && sample.may_hang()
            && self.may_hang
            && self.wait != Wait::LongIo
            && self.known_age(now) >= timeout
    }

    /// The age, which does not fall below the one with which the sleep was reported: unpaused time steps
    /// back a little if the machine is stopped right after a report.
    fn known_age(&self, now: u64) -> u64 {
        self.age(now).max(self.reported_age)
    }

    /// What has become of the sleep of this task, which was hung at a check.
    pub fn stall(&self, sample: &TaskSample, now: u64, timeout: u64) -> Stall {
        if self.is_hung(sample, now, timeout) {
            Stall::Hung
        } else if !self.same_sleep(sample) {
            Stall::Over
        } else if sample.state & TASK_FROZEN != 0 {
            Stall::Frozen
        } else if self.is_reported() {
            Stall::BelowTimeout
        } else {
            // The check has found another sleep, or that it gets on.
            Stall::Over
        }
    }

    /// When the task's next report is due if it does not wake. A check at that time keeps the
    /// report from coming late.
    pub fn due(&self, timeout: u64) -> u64 {
        let timeouts = whole_timeouts(self.reported_age, timeout).saturating_add(1);
        self.last_switch_time
            .saturating_add(timeout.saturating_mul(timeouts))
    }
}

/// How many whole timeouts fit into `age`.
fn whole_timeouts(age: u64, timeout: u64) -> u64 {
    age.checked_div(timeout).unwrap_or(0)
}

/// The check interval in nanoseconds, from `hung_task_timeout_secs` and
/// `hung_task_check_interval_secs`. `None`: the detector is off.
///
/// An interval of 0 makes it a sixteenth of the timeout, at least one second. Mainline takes the
/// whole timeout then, so that a report may come one timeout late.
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
