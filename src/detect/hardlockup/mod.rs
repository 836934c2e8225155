// SPDX-License-Identifier: GPL-2.0

//! Hard lockups: the two back ends, the choice between them, and the words that CPUs share.

pub(crate) mod backend;
pub(super) mod buddy;
pub(super) mod ctx;
pub(crate) mod perf;

use crate::{
    incident,
    logic::incident::{
        Incident,
        IncidentKind,
        CONFIRMED, //
    },
    report::hardlockup::{
        Evidence,
        Hardlockup, //
    },
    sys::nmi, //
};

/// The incident of a hard lockup, with what an NMI that confirmed it has found on the CPU.
///
/// # Context
///
/// Any, NMI included.
pub(super) fn hardlockup_incident(lockup: &Hardlockup) -> Incident {
    let incident = incident::new(IncidentKind::HardLockup, lockup.cpu, lockup.age);
    if lockup.evidence == Evidence::None {
        return incident;
    }
    let snapshot = nmi::snapshot(lockup.cpu);
    Incident {
        task: snapshot.map(|(task, _)| task),
        stack: snapshot.map_or_else(Default::default, |(_, stack)| stack),
        flags: CONFIRMED,
        ..incident
    }
}
