// SPDX-License-Identifier: GPL-2.0

//! Incidents: what was found, and the sinks that it goes to. Today there is one sink, the crash
//! record ([`crate::sys::crash_record`]).

#![deny(unsafe_code)]

use crate::{
    logic::incident::{Incident, IncidentKind},
    sys::{
        clock::{log_clock, wall_clock},
        cpu, crash_record,
    },
};

pub(crate) use crash_record::RecordId;

/// An incident that is found now, by this CPU, with what all kinds have: `age` is how long it has
/// lasted, in nanoseconds.
///
/// # Context
///
/// Any, NMI included.
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
    }
}

/// Hands an incident to the sinks. To be called before anything is printed.
///
/// # Context
///
/// Any, NMI included.
pub(crate) fn record(incident: &Incident) -> RecordId {
    crash_record::record(incident)
}
