// SPDX-License-Identifier: GPL-2.0

//! Incidents: what was found, and the sinks that it goes to.
//!
//! A sink is where an incident is noted for programs, besides the log. [`record()`] is the one
//! place that hands an incident to all sinks. Today there is one: the crash record
//! ([`crash_record`]).

#![deny(unsafe_code)]

pub(crate) mod crash_record;

use crate::{
    logic::incident::{
        Incident,
        IncidentKind, //
    },
    sys::{
        clock::{
            log_clock,
            wall_clock, //
        },
        cpu, //
    }, //
};
use crash_record::RecordId;

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
    }
}

/// Hands an incident to the sinks, before anything is printed about it.
///
/// # Context
///
/// Any, NMI included.
pub(crate) fn record(incident: &Incident) -> RecordId {
    crash_record::write(incident)
}
