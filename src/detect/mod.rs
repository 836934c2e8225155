// SPDX-License-Identifier: GPL-2.0

//! The detectors: each takes a snapshot through `sys`, asks `logic`, and acts.

#![deny(unsafe_code)]

pub(crate) mod hardlockup;
pub(crate) mod hung_task;
pub(crate) mod watchdog;
