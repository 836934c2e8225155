// SPDX-License-Identifier: GPL-2.0

//! Which hung tasks are ignored, and which may make a panic: the knobs `hung_task_ignore`,
//! `hung_task_panic_only` and `hung_task_panic_secs` as one check sees them. What a rule selects is
//! decided by [`crate::logic::hung_task::rules`].

use super::blocker;
use crate::{
    knobs::{
        Knobs,
        RuleLists, //
    },
    logic::{
        hung_task::rules::RuleSubject,
        knobs::Knob,
        task::Comm,
        NSEC_PER_SEC, //
    },
    sys::task, //
};
use kernel::task::Task;

/// The rules for hung tasks.
#[derive(PartialEq, Eq)]
pub(super) struct Rules {
    lists: RuleLists,
    /// `hung_task_panic_secs` in nanoseconds.
    panic_age: u64,
}

impl Rules {
    /// Reads the knobs.
    ///
    /// # Context
    ///
    /// Process context.
    pub(super) fn read(knobs: &Knobs) -> Self {
        let panic_secs = knobs.get_u64(Knob::HungTaskPanicSecs);
        Self {
            lists: knobs.rules(),
            panic_age: panic_secs.saturating_mul(NSEC_PER_SEC),
        }
    }

    /// Whether a hung task is to be ignored.
    ///
    /// # Context
    ///
    /// Process context.
    pub(super) fn ignore(&self, task: &Task) -> bool {
        self.lists.ignore(&Subject(task))
    }

    /// Whether a hung task may make a panic, which has been blocked for `age` nanoseconds.
    ///
    /// # Context
    ///
    /// Process context.
    pub(super) fn may_panic(&self, task: &Task, age: u64) -> bool {
        age >= self.panic_age && self.lists.may_panic(&Subject(task))
    }

    /// The age from which on a task may make a panic, if it is not `age` yet.
    pub(super) fn next_panic_age(&self, age: u64) -> Option<u64> {
        (age < self.panic_age).then_some(self.panic_age)
    }
}

/// A task that a rule may select.
struct Subject<'a>(&'a Task);

impl RuleSubject for Subject<'_> {
    fn comm(&self) -> Comm {
        task::id(self.0).comm
    }

    fn is_kthread(&self) -> bool {
        task::is_kthread(self.0)
    }

    fn in_iowait(&self) -> bool {
        task::in_iowait(self.0)
    }

    fn waits_for_lock(&self) -> bool {
        blocker::find(self.0).is_some()
    }
}
