// SPDX-License-Identifier: GPL-2.0
//! The measurements.

pub mod causes;
pub mod cpus;
pub mod dump;
pub mod heartbeat;
pub mod lateness;
pub mod load;
pub mod looks;
pub mod nmis;
pub mod reports;
pub mod size;
pub mod timeouts;
pub mod wakeups;
pub mod workloads;

use crate::results::Outcome;
use anyhow::Result;
use vigil_vm::Artifacts;

/// A part.
#[derive(Debug)]
pub struct Part {
    /// What `PART=` calls it.
    pub name: &'static str,
    /// Measures, in guests of its own.
    pub run: fn(&Artifacts) -> Result<Outcome>,
    /// The kernel that it is measured on, if the usual one has not what it needs.
    pub kernel: Option<&'static str>,
}

const fn part(name: &'static str, run: fn(&Artifacts) -> Result<Outcome>) -> Part {
    Part {
        name,
        run,
        kernel: None,
    }
}

/// All of them, in the order of the document.
pub const ALL: &[Part] = &[
    part("heartbeat", heartbeat::run),
    part("wakeups", wakeups::run),
    part("workloads", workloads::run),
    part("looks", looks::run),
    part("timeouts", timeouts::run),
    part("size", size::run),
    part("reports", reports::run),
    part("load", load::run),
    part("causes", causes::run),
    part("lateness", lateness::run),
    part("dump", dump::run),
    part("cpus", cpus::run),
    Part {
        name: "nmis",
        run: nmis::run,
        kernel: Some("arm64-nmi"),
    },
];
