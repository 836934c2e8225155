// SPDX-License-Identifier: GPL-2.0

//! Which root causes were reported, and when a cause is to be reported again.
//!
//! A cause may last for days, and thousands of tasks may come to wait behind it. It is reported
//! when it is new, when ten times as many tasks are hung as in its last report, and when it has
//! lasted for one timeout since its first report, two, four, and so on. So the reports of a cause grow
//! as the logarithm of its tasks and of its duration. One that is due stays due until it is printed.
//!
//! Tasks that wait for a lock are one cause for as long as some do, whoever owns it: in a convoy that
//! is another task at each check.
//!
//! One check goes like this:
//!
//! ```text
//!   begin_check() -> see() of each cause, printed() if it was -> while next_ended(): it is over
//! ```

use super::super::{
    task::TaskId,
    wait_graph::{
        RootCause,
        RootKind, //
    }, //
};
use core::ops::DerefMut;

/// A cause has grown if so many times as many tasks are hung as in its last report.
const GROWTH: u32 = 10;

/// Why a cause is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportReason {
    /// It was not there at the last check, as far as causes are remembered.
    New,
    /// It was due before, and was not printed.
    NotPrinted,
    /// At least ten times as many tasks are hung as in its last report.
    Grown,
    /// It is still there, so many timeouts after its first report: a power of two.
    Lasting,
}

/// A cause that is remembered. Times are unpaused time in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReportedCause {
    /// [`identity`]; 0: this place is free.
    key: u64,
    kind: RootKind,
    /// When its oldest task began to wait, as it was first seen.
    began: u64,
    is_printed: bool,
    first_reported: u64,
    last_reported: u64,
    /// How many tasks were hung at the last report.
    hung_at_report: u32,
    /// The number of the check that saw it last, and what that saw.
    seen: u64,
    hung: u32,
    oldest_key: usize,
    oldest: TaskId,
}

/// A cause that a check has not seen any more. Times are unpaused time in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndedCause {
    /// The key that it was remembered by.
    pub key: u64,
    /// Its kind, as it was last seen.
    pub kind: RootKind,
    /// When the task began to wait that was the oldest one when the cause was first seen.
    pub began: u64,
    /// Whether it was printed.
    pub is_printed: bool,
    /// How many tasks were hung when it was last seen.
    pub hung: u32,
    /// The key of the task that was the oldest one then. If that task is hung still, it waits
    /// behind another cause now, and has not recovered: the root has become hung, say, or the
    /// lock's owner is known now.
    pub oldest_key: usize,
    /// The name and PID of that task.
    pub oldest: TaskId,
}

/// What a cause is remembered by: the lock, whoever owns it, or what the cause is. Not 0.
pub fn identity(cause: &RootCause) -> u64 {
    match cause.lock {
        0 => cause.key,
        // The kernel's addresses have the uppermost bit, so that this is none of them.
        lock => (lock as u64) & !(1 << 63),
    }
}

/// The causes that are still there, printed or not.
///
/// # Invariants
///
/// Keys other than 0 are distinct.
pub struct ReportedCauses<S> {
    causes: S,
    /// The number of this check.
    check: u64,
    left_out: u64,
}

impl<S> ReportedCauses<S>
where
    S: DerefMut<Target = [ReportedCause]>,
{
    /// Makes an empty memory, of as many causes as the storage has places for. The previous
    /// contents are lost.
    pub fn new(mut storage: S) -> Self {
        for cause in storage.iter_mut() {
            *cause = ReportedCause::default();
        }
        Self {
            causes: storage,
            check: 0,
            left_out: 0,
        }
    }

    /// Begins a check: no cause has been seen.
    pub fn begin_check(&mut self) {
        self.check = self.check.wrapping_add(1);
        self.left_out = 0;
    }

    /// How many causes this check has seen that were not reported because there was no place for
    /// them.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Sees a cause at the time `now`, with the hung-task `timeout`, both in nanoseconds. `oldest`:
    /// who its oldest task is. Returns why it is to be reported, if it is: the caller says by
    /// [`ReportedCauses::printed`] that it was. To be called once for each cause of a check, in the
    /// order of [`WaitGraph::causes`](super::super::wait_graph::WaitGraph::causes).
    ///
    /// Without a free place the cause that was not seen for the longest time gives up its own, but
    /// none that this check has seen: if there are more causes than places, the youngest ones are
    /// not reported, instead of all being new at each check.
    pub fn see(
        &mut self,
        cause: &RootCause,
        oldest: TaskId,
        now: u64,
        timeout: u64,
    ) -> Option<ReportReason> {
        let check = self.check;
        if let Some(known) = self.find(cause) {
            if known.seen == check {
                // The same lock, whose owner was read at two moments.
                known.hung = known.hung.saturating_add(cause.hung);
                return None;
            }
            known.kind = cause.root.kind();
            known.seen = check;
            known.hung = cause.hung;
            known.oldest_key = cause.oldest_key;
            known.oldest = oldest;
            return known.reason(cause, now, timeout);
        }
        let mut place: Option<&mut ReportedCause> = None;
        for other in self.causes.iter_mut() {
            // A free place counts as one that was never seen.
            let may_go = other.key == 0 || other.seen != check;
            if may_go && place.as_ref().is_none_or(|place| other.seen < place.seen) {
                place = Some(other);
            }
        }
        let Some(place) = place else {
            self.left_out = self.left_out.saturating_add(1);
            return None;
        };
        *place = ReportedCause {
            key: identity(cause),
            kind: cause.root.kind(),
            began: now.saturating_sub(cause.age),
            is_printed: false,
            first_reported: now,
            last_reported: now,
            hung_at_report: cause.hung,
            seen: check,
            hung: cause.hung,
            oldest_key: cause.oldest_key,
            oldest,
        };
        Some(ReportReason::New)
    }

    /// Whether a cause is remembered. `key`: its [`identity`].
    pub fn is_known(&self, key: u64) -> bool {
        self.causes.iter().any(|known| known.key == key)
    }

    fn find(&mut self, cause: &RootCause) -> Option<&mut ReportedCause> {
        let key = identity(cause);
        self.causes
            .iter_mut()
            .find(|known| known.key == key && key != 0)
    }

    /// A cause that this check has seen was printed at the time `now`.
    pub fn printed(&mut self, cause: &RootCause, now: u64) {
        let Some(known) = self.find(cause) else {
            return;
        };
        if !known.is_printed {
            known.is_printed = true;
            known.first_reported = now;
        }
        known.last_reported = now;
        known.hung_at_report = cause.hung;
    }

    /// A cause is there still, for all that is known, and is not looked into at this check.
    pub fn keep(&mut self, cause: &RootCause) {
        let check = self.check;
        if let Some(known) = self.find(cause) {
            known.seen = check;
        }
    }

    /// Forgets a cause that this check has not seen, and returns it; `None`: there is none left. To
    /// be called when all causes of the check were seen, and not at all if it was cut short.
    pub fn next_ended(&mut self) -> Option<EndedCause> {
        let check = self.check;
        let ended = self
            .causes
            .iter_mut()
            .find(|cause| cause.key != 0 && cause.seen != check)?;
        let ended = core::mem::take(ended);
        Some(EndedCause {
            key: ended.key,
            kind: ended.kind,
            began: ended.began,
            is_printed: ended.is_printed,
            hung: ended.hung,
            oldest_key: ended.oldest_key,
            oldest: ended.oldest,
        })
    }
}

impl ReportedCause {
    /// Why the cause is to be reported again, if it is.
    fn reason(&self, cause: &RootCause, now: u64, timeout: u64) -> Option<ReportReason> {
        let lasted = doublings(now.saturating_sub(self.first_reported), timeout);
        let reported = doublings(
            self.last_reported.saturating_sub(self.first_reported),
            timeout,
        );
        if !self.is_printed {
            Some(ReportReason::NotPrinted)
        } else if cause.hung >= self.hung_at_report.saturating_mul(GROWTH) {
            Some(ReportReason::Grown)
        } else if lasted > reported {
            Some(ReportReason::Lasting)
        } else {
            None
        }
    }
}

/// How many of one timeout, two, four and so on have passed in `time`.
fn doublings(time: u64, timeout: u64) -> u32 {
    let timeouts = time.checked_div(timeout).unwrap_or(0);
    u64::BITS.saturating_sub(timeouts.leading_zeros())
}
