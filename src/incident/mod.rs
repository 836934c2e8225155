// SPDX-License-Identifier: GPL-2.0

//! Incidents: what was found, and the sinks that it goes to.
//!
//! A sink is where an incident is noted besides the log. [`record()`] is the one place that hands an
//! incident to all sinks, in this order: the crash record ([`crash_record`]) for programs that read a memory
//! dump; the table of recent incidents ([`table`]), and with it the events that programs hear of
//! ([`netlink`]); and the trace events. What becomes of an incident goes from [`RecordId`] and the
//! functions of [`table`] to the same sinks: only the crash record does not say how it ended.

#![deny(unsafe_code)]

pub(crate) mod crash_record;
pub(crate) mod netlink;
pub(crate) mod table;

use crate::{
    logic::{
        culprit::Culprit,
        incident::{
            Incident,
            IncidentKind, //
        },
        incident_table::Details,
        task::Whereabouts, //
    },
    sys::{
        cgroup::{
            self,
            CgroupPath, //
        },
        clock::{
            log_clock,
            wall_clock, //
        },
        cpu,
        task, //
    }, //
};
use kernel::task::Task;

/// An incident that the sinks have.
#[derive(Clone, Copy)]
pub(crate) struct RecordId {
    record: crash_record::RecordId,
    /// Its id in the table; `None`: it is not there any more.
    id: Option<u64>,
}

impl RecordId {
    /// Marks the incident as the one that a panic was requested for.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn mark_fatal(self) {
        self.record.mark_fatal();
        if let Some(id) = self.id {
            table::mark_fatal(id);
        }
    }

    /// Adds what the incident comes down to. To be called once.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn set_culprit(self, culprit: &Culprit) {
        self.record.set_culprit(culprit);
        if let Some(id) = self.id {
            table::set_culprit(id, culprit);
        }
    }
}

/// An incident that this CPU finds now, with what all kinds have. `cpu`: the CPU that is stuck, or
/// on which the task ran last; `age`: how long it has lasted, in nanoseconds.
///
/// # Context
///
/// Any, NMI included.
#[inline(never)]
pub(crate) fn new(kind: IncidentKind, cpu: u32, age: u64) -> Incident {
    Incident {
        kind,
        cpu,
        task: None,
        finder: cpu::this(),
        found: log_clock(),
        age,
        wall: wall_clock(),
        wait: None,
        flags: 0,
        stack: Default::default(),
        whereabouts: Whereabouts::NONE,
    }
}

/// Where a task runs.
///
/// # Context
///
/// Any, NMI included.
// Not part of the caller's stack frame: it has a path in its own.
#[inline(never)]
pub(crate) fn whereabouts(task: &Task) -> Whereabouts {
    let ns_pid = task::ns_pid(task).unwrap_or(0);
    let cgroup = cgroup::path_of(task);
    match cgroup.as_ref().map(CgroupPath::tail) {
        None => Whereabouts::new(ns_pid, &[], false),
        Some(tail) => Whereabouts::new(ns_pid, tail.path, tail.is_cut),
    }
}

/// Where a task runs, by its PID, if it is the one that runs on a CPU: [`Whereabouts::NONE`] if that is
/// another one by now.
///
/// # Context
///
/// Any, NMI included.
pub(crate) fn whereabouts_of_running(cpu: u32, pid: i32) -> Whereabouts {
    task::with_running(cpu, pid, whereabouts).unwrap_or_default()
}

/// Hands an incident to the sinks, before anything is printed about it.
///
/// # Context
///
/// Any, NMI included.
pub(crate) fn record(incident: &Incident, details: &Details) -> RecordId {
    let record = crash_record::write(incident);
    let id = Some(table::add(incident, details));
    RecordId { record, id }
}

/// Records an incident once more that the sinks have, and that a panic is requested for now: the
/// crash record may not have it any longer.
///
/// # Context
///
/// Any, NMI included.
pub(crate) fn record_again(incident: &Incident, details: &Details) -> RecordId {
    RecordId {
        record: crash_record::write(incident),
        id: table::find(incident, details),
    }
}
