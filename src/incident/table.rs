// SPDX-License-Identifier: GPL-2.0

//! The sink that can be read while the machine runs: the table of recent incidents, which is
//! `vigil/incidents` in debugfs, and how they end.
//!
//! Whoever finds an incident says when it is over: the CPU itself, in its timer interrupt or stop work,
//! or the hung-task thread. Incidents are found again by kind and CPU, or by their key. An incident that
//! has lost its place in the table has no end that is noted. The functions are not part of their callers'
//! stack frames, some of which are large.

use crate::{
    logic::{
        culprit::Culprit,
        event::EventKind,
        incident::{
            Incident,
            PANIC, //
        },
        incident_table::{
            is_kind,
            kind_word,
            Details,
            Heading,
            How,
            Listed,
            ListedKind,
            Row,
            Summary, //
        }, //
    },
    sys::{
        clock::{
            log_clock,
            monotonic, //
        },
        incident_table::TABLE,
        trace, //
    }, //
};
use core::fmt;

/// Nanoseconds in a microsecond.
const NSEC_PER_USEC: u64 = 1000;

/// Begins the ids of this load. To be called once, at load.
///
/// An id is unique in this boot: ids begin with the microseconds since boot at the time of the load, and
/// there are fewer incidents than microseconds.
pub(crate) fn begin_ids() {
    TABLE.set_first_id(monotonic() / NSEC_PER_USEC);
}

/// Traces an event; to listeners on netlink a thread sends it.
#[inline(never)]
fn tell(kind: EventKind, id: u64, listed: &Listed) {
    trace::incident(kind, id, listed, log_clock());
}

/// Adds an incident to the table, and returns its id.
///
/// # Context
///
/// Any, NMI included.
#[inline(never)]
pub(super) fn add(incident: &Incident, details: &Details) -> u64 {
    let (id, listed) = TABLE.add(incident, details);
    tell(EventKind::Start, id, &listed);
    id
}

/// The id of an incident that is on, if the table has it.
///
/// # Context
///
/// Any, NMI included.
#[inline(never)]
pub(super) fn find(incident: &Incident, details: &Details) -> Option<u64> {
    let kind = Listed::new(incident, details).kind;
    let is_it = |word, of| match kind {
        ListedKind::HungTask | ListedKind::RootCause => is_kind(word, kind) && of == details.key,
        _ => word == kind_word(kind, incident.cpu),
    };
    TABLE.newest_on(is_it)
}

/// A panic was requested for an incident.
///
/// # Context
///
/// Any, NMI included.
#[inline(never)]
pub(super) fn mark_fatal(id: u64) {
    TABLE.set_flags(id, PANIC, tell);
}

/// What an incident comes down to.
///
/// # Context
///
/// Any, NMI included.
#[inline(never)]
pub(super) fn set_culprit(id: u64, culprit: &Culprit) {
    TABLE.set_culprit(id, culprit, tell);
}

/// Ends all incidents that are on: the module is unloaded.
///
/// # Context
///
/// Any.
pub(super) fn all_unwatched() {
    TABLE.end(|_, _| true, How::Unwatched, log_clock(), None, tell);
}

/// The soft lockup of a CPU has ended.
///
/// # Context
///
/// Any.
#[cold]
#[inline(never)]
pub(crate) fn softlockup_ended(cpu: u32) {
    let is_it = |word, _| word == kind_word(ListedKind::SoftLockup, cpu);
    TABLE.end(is_it, How::Recovered, log_clock(), None, tell);
}

/// The hard lockup of a CPU has ended, or the time in which it did not run.
///
/// # Context
///
/// Any.
#[cold]
#[inline(never)]
pub(crate) fn hardlockup_ended(cpu: u32) {
    let is_it = |word, _| {
        word == kind_word(ListedKind::HardLockup, cpu)
            || word == kind_word(ListedKind::UnresponsiveCpu, cpu)
    };
    TABLE.end(is_it, How::Recovered, log_clock(), None, tell);
}

/// A hung task is hung no more. `key`: of the task. `age`: for how long it was blocked, in nanoseconds.
///
/// # Context
///
/// The hung-task thread.
#[inline(never)]
pub(crate) fn hung_task_ended(key: usize, how: How, age: u64) {
    let is_it = |word, of| is_kind(word, ListedKind::HungTask) && of == key as u64;
    TABLE.end(is_it, how, log_clock(), Some(age), tell);
}

/// A root cause is over. `age`: how long it has lasted, in nanoseconds; `None`: since it began.
///
/// # Context
///
/// The hung-task thread.
#[inline(never)]
pub(crate) fn root_cause_ended(key: u64, how: How, age: Option<u64>) {
    let is_it = |word, of| is_kind(word, ListedKind::RootCause) && of == key;
    TABLE.end(is_it, how, log_clock(), age, tell);
}

/// So many hung tasks wait behind a root cause now.
///
/// # Context
///
/// The hung-task thread.
#[inline(never)]
pub(crate) fn set_behind(key: u64, behind: u32) {
    let is_it = |word, of| is_kind(word, ListedKind::RootCause) && of == key;
    TABLE.set_behind(is_it, behind, tell);
}

/// The keys of the root causes that are on.
///
/// # Context
///
/// The hung-task thread, which alone adds root causes.
pub(crate) fn root_causes() -> impl Iterator<Item = u64> {
    let of_kind = |&(word, _): &(u64, u64)| is_kind(word, ListedKind::RootCause);
    TABLE.on_going().filter(of_kind).map(|(_, key)| key)
}

/// Root causes are not watched any more.
///
/// # Context
///
/// The hung-task thread.
#[inline(never)]
pub(crate) fn root_causes_unwatched() {
    let is_it = |word, _| is_kind(word, ListedKind::RootCause);
    TABLE.end(is_it, How::Unwatched, log_clock(), None, tell);
}

/// Hung tasks are not watched any more.
///
/// # Context
///
/// The hung-task thread.
#[inline(never)]
pub(crate) fn hung_tasks_unwatched() {
    let is_it =
        |word, _| is_kind(word, ListedKind::RootCause) || is_kind(word, ListedKind::HungTask);
    TABLE.end(is_it, How::Unwatched, log_clock(), None, tell);
}

/// Writes the table, the newest incident first.
///
/// # Context
///
/// Process context.
pub(crate) fn write(out: &mut dyn fmt::Write) -> fmt::Result {
    let now = log_clock();
    let total = TABLE.total();
    writeln!(out, "{}\n{Heading}", Summary { total, now })?;
    let mut before = u64::MAX;
    while let Some((id, listed)) = TABLE.newest_before(before) {
        write_row(out, id, &listed, now)?;
        before = id;
    }
    Ok(())
}

#[inline(never)]
fn write_row(out: &mut dyn fmt::Write, id: u64, listed: &Listed, now: u64) -> fmt::Result {
    writeln!(out, "{}", Row { id, listed, now })
}
