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
        atomic::{
            Atomic,
            Relaxed, //
        },
        clock::{
            log_clock,
            monotonic, //
        },
        cpu,
        incident_table::{
            CpuIncident,
            On,
            TABLE, //
        },
        trace, //
    }, //
};
use core::fmt;

/// Nanoseconds in a microsecond.
const NSEC_PER_USEC: u64 = 1000;

/// Incidents of tasks that are on, whether or not the table has them, as the hung-task thread knows them:
/// they may be more than there are places, and no more than some of a check are recorded.
struct KnownOn {
    /// How many there are.
    count: Atomic<u32>,
    /// When the oldest began, on the clock that stamps the log. As of the last check.
    oldest: Atomic<u64>,
}

impl KnownOn {
    const fn new() -> Self {
        Self {
            count: Atomic::new(0),
            oldest: Atomic::new(0),
        }
    }

    /// So many are on, and this is the age of the oldest, in nanoseconds.
    fn set(&self, count: u64, age: u64) {
        self.oldest.store(log_clock().saturating_sub(age), Relaxed);
        self.count
            .store(u32::try_from(count).unwrap_or(u32::MAX), Relaxed);
    }

    /// One has ended.
    fn ended(&self) {
        self.count
            .store(self.count.load(Relaxed).saturating_sub(1), Relaxed);
    }

    /// What is on, of which the table has `listed`. If it has all of them it is right to the moment.
    fn on(&self, listed: On, now: u64) -> On {
        let count = self.count.load(Relaxed);
        if count <= listed.count {
            return listed;
        }
        let age = now.saturating_sub(self.oldest.load(Relaxed));
        On {
            count,
            oldest: listed.oldest.max(Some(age)),
        }
    }
}

/// The hung tasks that are reported by themselves. Written by the hung-task thread.
static HUNG_TASKS: KnownOn = KnownOn::new();

/// The root causes. Written by the hung-task thread.
static ROOT_CAUSES: KnownOn = KnownOn::new();

/// The incidents of a kind that are on.
///
/// # Context
///
/// Process context.
pub(super) fn on_of(kind: ListedKind, now: u64) -> On {
    match kind {
        ListedKind::HungTask => HUNG_TASKS.on(TABLE.on_of(kind, now), now),
        ListedKind::RootCause => ROOT_CAUSES.on(TABLE.on_of(kind, now), now),
        _ => cpus_on(kind, now),
    }
}

/// The CPUs that have an incident of a kind.
fn cpus_on(kind: ListedKind, now: u64) -> On {
    let mut on = On::default();
    let incidents = (0..cpu::nr_cpu_ids()).filter_map(|cpu| CpuIncident::new(kind, cpu));
    for since in incidents.filter_map(CpuIncident::since) {
        on.count = on.count.saturating_add(1);
        on.oldest = on.oldest.max(Some(now.saturating_sub(since)));
    }
    on
}

/// So many hung tasks that are reported by themselves are hung now; `age`: of the oldest, in nanoseconds.
///
/// # Context
///
/// The hung-task thread.
pub(crate) fn set_hung_tasks(count: u64, age: u64) {
    HUNG_TASKS.set(count, age);
}

/// So many root causes are remembered; `age`: of the oldest, in nanoseconds.
///
/// # Context
///
/// The hung-task thread.
pub(crate) fn set_root_causes(count: u64, age: u64) {
    ROOT_CAUSES.set(count, age);
}

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
    if let Some(on) = CpuIncident::new(listed.kind, listed.cpu) {
        on.begin(listed.began());
    }
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
    for cpu in 0..cpu::nr_cpu_ids() {
        for kind in ListedKind::ALL {
            cpu_ended(kind, cpu);
        }
    }
    TABLE.end(|_, _| true, How::Unwatched, log_clock(), None, tell);
}

/// An incident of a CPU is over, if there was one.
fn cpu_ended(kind: ListedKind, cpu: u32) {
    if let Some(incident) = CpuIncident::new(kind, cpu) {
        incident.end();
    }
}

/// The soft lockup of a CPU has ended. Returns false if its place was written all the time, so that it may
/// be on still.
///
/// # Context
///
/// Any.
#[cold]
#[inline(never)]
pub(crate) fn softlockup_ended(cpu: u32) -> bool {
    cpu_ended(ListedKind::SoftLockup, cpu);
    let is_it = |word, _| word == kind_word(ListedKind::SoftLockup, cpu);
    TABLE.end(is_it, How::Recovered, log_clock(), None, tell)
}

/// The hard lockup of a CPU has ended, or the time in which it did not run. Returns as
/// [`softlockup_ended`].
///
/// # Context
///
/// Any.
#[cold]
#[inline(never)]
pub(crate) fn hardlockup_ended(cpu: u32) -> bool {
    cpu_ended(ListedKind::HardLockup, cpu);
    cpu_ended(ListedKind::UnresponsiveCpu, cpu);
    let is_it = |word, _| {
        word == kind_word(ListedKind::HardLockup, cpu)
            || word == kind_word(ListedKind::UnresponsiveCpu, cpu)
    };
    TABLE.end(is_it, How::Recovered, log_clock(), None, tell)
}

/// A hung task is hung no more. `key`: of the task. `age`: for how long it was blocked, in nanoseconds.
///
/// # Context
///
/// The hung-task thread.
#[inline(never)]
pub(crate) fn hung_task_ended(key: usize, how: How, age: u64) {
    HUNG_TASKS.ended();
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
    ROOT_CAUSES.ended();
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
    ROOT_CAUSES.set(0, 0);
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
    HUNG_TASKS.set(0, 0);
    ROOT_CAUSES.set(0, 0);
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
