// SPDX-License-Identifier: GPL-2.0

//! Reports: the life cycle that all share ([`session`]), who may give one ([`report_lock`]), and the text of each kind.

#![deny(unsafe_code)]

pub(crate) mod cpu_wait;
pub(crate) mod hardlockup;
pub(crate) mod hung_task;
pub(crate) mod irqs;
pub(crate) mod report_lock;
pub(crate) mod root_cause;
pub(crate) mod session;
pub(crate) mod softlockup;
pub(crate) mod wait;
mod whereabouts;
