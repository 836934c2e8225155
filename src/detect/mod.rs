// SPDX-License-Identifier: GPL-2.0

//! The detectors: each takes a snapshot through `sys`, asks `logic`, and acts.

#![deny(unsafe_code)]

pub(crate) mod doom;
pub(crate) mod hung;
mod irqs;
pub(crate) mod knobs;
pub(crate) mod lockup;
mod perf;
mod report;
pub(crate) mod status;
