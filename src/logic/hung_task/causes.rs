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
//!   begin_check() -> mark() of each cause -> while next_ended(): it is over
//!                 -> see() of each cause, printed() if it was
//! ```
//!
//! All causes of the check are marked before a new one is given a place, so that no cause that is there
//! still loses its place to another one. The places are a hash table with linear probing.

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
    /// It was not there at the last check, or had no place.
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
    /// The number of the last check that it was marked at.
    marked: u64,
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
        0 => cause.key.max(1),
        // The kernel's addresses have the uppermost bit, so that this is none of them.
        lock => ((lock as u64) & !(1 << 63)).max(1),
    }
}

/// How many places it takes to remember so many causes. A quarter of the places stays free, so that a
/// cause is found within a few steps.
pub fn places_for(causes: usize) -> usize {
    causes.saturating_add(causes / 3).saturating_add(1)
}

/// The causes that are still there, printed or not.
///
/// # Invariants
///
/// - Keys other than 0 are distinct, and there are `known` of them.
/// - Between the place where a key belongs and the place where it is, no place is free.
pub struct ReportedCauses<S> {
    places: S,
    known: usize,
    /// The number of this check.
    check: u64,
    /// How many causes were marked that had no place.
    unknown: usize,
    /// The place at which [`ReportedCauses::next_ended`] goes on.
    next_place: usize,
    /// Whether a search of this check has found none that could give up its place: then none can until
    /// the next check.
    none_to_give_up: bool,
    left_out: u64,
}

impl<S> ReportedCauses<S>
where
    S: DerefMut<Target = [ReportedCause]>,
{
    /// Makes an empty memory with these places: see [`places_for`]. The previous contents are lost.
    pub fn new(mut storage: S) -> Self {
        for cause in storage.iter_mut() {
            *cause = ReportedCause::default();
        }
        Self {
            places: storage,
            known: 0,
            check: 0,
            unknown: 0,
            next_place: 0,
            none_to_give_up: false,
            left_out: 0,
        }
    }

    /// How many causes can be remembered.
    pub fn capacity(&self) -> usize {
        let places = self.places.len();
        places.saturating_sub(places / 4)
    }

    /// The same memory with other places. What does not fit is forgotten.
    pub fn moved_into<T>(self, storage: T) -> ReportedCauses<T>
    where
        T: DerefMut<Target = [ReportedCause]>,
    {
        let mut new = ReportedCauses {
            check: self.check,
            unknown: self.unknown,
            none_to_give_up: self.none_to_give_up,
            left_out: self.left_out,
            ..ReportedCauses::new(storage)
        };
        for cause in self.places.iter().filter(|cause| cause.key != 0) {
            new.insert(*cause);
        }
        new
    }

    /// Begins a check: no cause has been marked or seen.
    pub fn begin_check(&mut self) {
        self.check = self.check.wrapping_add(1);
        self.unknown = 0;
        self.next_place = 0;
        self.none_to_give_up = false;
        self.left_out = 0;
    }

    /// Marks a cause as one that is there. To be called for each cause of a check, before any of them is
    /// seen.
    pub fn mark(&mut self, cause: &RootCause) {
        let check = self.check;
        match self.find(cause) {
            Some(known) => known.marked = check,
            None => self.unknown = self.unknown.saturating_add(1),
        }
    }

    /// How many causes are to be remembered at this check, when all have been marked and those that have
    /// ended are forgotten. A lock whose owner was read at two moments counts twice.
    pub fn wanted(&self) -> usize {
        self.known.saturating_add(self.unknown)
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
    /// Without a free place a new cause takes that of the one that was not marked for the longest time,
    /// but of none that this check has marked: if more causes are there than can be remembered, the
    /// youngest ones are not reported, instead of all being new at each check.
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
            known.marked = check;
            known.seen = check;
            known.hung = cause.hung;
            known.oldest_key = cause.oldest_key;
            known.oldest = oldest;
            return known.reason(cause, now, timeout);
        }
        if self.known >= self.capacity() && !self.give_up_one() {
            self.left_out = self.left_out.saturating_add(1);
            return None;
        }
        self.insert(ReportedCause {
            key: identity(cause),
            kind: cause.root.kind(),
            began: now.saturating_sub(cause.age),
            is_printed: false,
            first_reported: now,
            last_reported: now,
            hung_at_report: cause.hung,
            marked: check,
            seen: check,
            hung: cause.hung,
            oldest_key: cause.oldest_key,
            oldest,
        });
        Some(ReportReason::New)
    }

    /// Whether a cause is remembered. `key`: its [`identity`].
    pub fn is_known(&self, key: u64) -> bool {
        key != 0 && self.place_of(key).is_ok()
    }

    /// How many causes are remembered, and when the oldest of them began; [`u64::MAX`] without any.
    pub fn remembered(&self) -> (u64, u64) {
        let known = self.places.iter().filter(|cause| cause.key != 0);
        let oldest = known.fold(u64::MAX, |oldest, cause| oldest.min(cause.began));
        (self.known as u64, oldest)
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

    /// Forgets a cause that this check has not marked, and returns it; `None`: there is none left. To
    /// be called when all causes of the check were marked, and not at all if it does not know all of
    /// them.
    pub fn next_ended(&mut self) -> Option<EndedCause> {
        let check = self.check;
        // What moves up when a cause is removed comes to this place or one behind it, or has been passed
        // before, from the first places to the last ones.
        let ended = loop {
            let cause = self.places.get(self.next_place)?;
            if cause.key != 0 && cause.marked != check {
                break self.remove(self.next_place);
            }
            self.next_place = self.next_place.wrapping_add(1);
        };
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

    fn find(&mut self, cause: &RootCause) -> Option<&mut ReportedCause> {
        let place = self.place_of(identity(cause)).ok()?;
        self.places.get_mut(place)
    }

    /// The place where a key belongs.
    fn home(&self, key: u64) -> usize {
        // Fibonacci hashing.
        let hash = key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        (hash as usize).checked_rem(self.places.len()).unwrap_or(0)
    }

    /// The place behind a place.
    fn next(&self, place: usize) -> usize {
        let next = place.wrapping_add(1);
        if next < self.places.len() {
            next
        } else {
            0
        }
    }

    /// How many steps it is from one place to another one.
    fn steps(&self, from: usize, to: usize) -> usize {
        let around = if to < from { self.places.len() } else { 0 };
        to.wrapping_add(around).wrapping_sub(from)
    }

    /// The place of a key, or else the free place where it belongs; `Err(None)`: there is none.
    fn place_of(&self, key: u64) -> Result<usize, Option<usize>> {
        let mut place = self.home(key);
        for _ in 0..self.places.len() {
            match self.places.get(place) {
                Some(cause) if cause.key == key => return Ok(place),
                Some(cause) if cause.key == 0 => return Err(Some(place)),
                _ => place = self.next(place),
            }
        }
        Err(None)
    }

    /// Adds a cause that is not known, unless there is no place.
    fn insert(&mut self, cause: ReportedCause) {
        let Err(Some(free)) = self.place_of(cause.key) else {
            return;
        };
        if let Some(place) = self.places.get_mut(free) {
            *place = cause;
            self.known = self.known.saturating_add(1);
        }
    }

    /// Forgets the cause in a place, and returns it.
    fn remove(&mut self, place: usize) -> ReportedCause {
        let removed = self.places.get_mut(place).map(core::mem::take);
        self.known = self.known.saturating_sub(1);
        // Causes behind it that belong there or before it move up.
        let (mut free, mut next) = (place, self.next(place));
        for _ in 0..self.places.len() {
            let Some(&cause) = self.places.get(next).filter(|cause| cause.key != 0) else {
                break;
            };
            if self.steps(self.home(cause.key), next) >= self.steps(free, next) {
                for (place, cause) in [(free, cause), (next, ReportedCause::default())] {
                    if let Some(place) = self.places.get_mut(place) {
                        *place = cause;
                    }
                }
                free = next;
            }
            next = self.next(next);
        }
        removed.unwrap_or_default()
    }

    /// Forgets the cause that was not marked for the longest time, unless this check has marked it. Returns
    /// whether there was one.
    fn give_up_one(&mut self) -> bool {
        if self.none_to_give_up {
            return false;
        }
        let check = self.check;
        let mut oldest: Option<(usize, u64)> = None;
        for (place, cause) in (0..usize::MAX).zip(self.places.iter()) {
            let may_go = cause.key != 0 && cause.marked != check;
            if may_go && oldest.is_none_or(|(_, marked)| cause.marked < marked) {
                oldest = Some((place, cause.marked));
            }
        }
        self.none_to_give_up = oldest.is_none();
        oldest.is_some_and(|(place, _)| self.remove(place).key != 0)
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

/// How many tasks a check finds blocked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Blocked {
    /// Those that are hung.
    pub hung: u64,
    /// Those that would be, but are ignored.
    pub ignored: u64,
    /// Those that were hung at the last check, and are frozen in that sleep now.
    pub frozen: u64,
}

impl Blocked {
    /// Those that are hung, ignored or not.
    pub fn sum(&self) -> u64 {
        self.hung.saturating_add(self.ignored)
    }

    /// How many have recovered since so many were blocked ([`Blocked::sum`]), as many at least. The timeout
    /// is not longer than it was then.
    pub fn recovered_since(&self, before: u64) -> u64 {
        before.saturating_sub(self.sum().saturating_add(self.frozen))
    }
}

/// How many there was no room for. That is logged when it has doubled, so that what comes and goes all the
/// time takes few lines.
#[derive(Clone, Copy, Debug, Default)]
pub struct LeftOut {
    /// How many there were when that was logged last.
    logged: u64,
}

impl LeftOut {
    /// Updates it with how many there are `now`. Returns whether that is to be logged.
    pub fn update(&mut self, now: u64) -> bool {
        let is_due = now != 0 && now / 2 >= self.logged;
        if is_due {
            self.logged = now;
        }
        is_due
    }
}
