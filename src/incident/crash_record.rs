// SPDX-License-Identifier: GPL-2.0

//! The sink that survives a crash: the record of the last incidents, for programs that read a
//! memory dump (`docs/kdump.md`).
//!
//! An incident is recorded before its report is printed. So it is there even if the machine dies in
//! the middle of the report, and says whether a panic was requested for it. What it comes down to is
//! added as soon as that is known: for a stuck CPU other CPUs have to be asked first.

use crate::{
    logic::{
        culprit::Culprit,
        incident::{
            Incident,
            PANIC, //
        }, //
    },
    sys::crash_record, //
};

pub(crate) use crash_record::{
    count,
    publish_address, //
};

/// A recorded incident.
#[derive(Clone, Copy)]
pub(super) struct RecordId(crash_record::RecordId);

impl RecordId {
    /// Marks the incident as the one that a panic was requested for.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(super) fn mark_fatal(self) {
        self.0.set_flags(PANIC);
    }

    /// Adds what the incident comes down to. To be called once.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    #[inline(never)]
    pub(super) fn set_culprit(self, culprit: &Culprit) {
        self.0.set_culprit(&culprit.encode());
    }
}

/// Writes an incident into the record.
///
/// # Context
///
/// Any, NMI included.
pub(super) fn write(incident: &Incident) -> RecordId {
    RecordId(crash_record::write(&incident.encode()))
}
