// SPDX-License-Identifier: GPL-2.0

//! Reports: the life cycle that all share ([`session`]), and the text of each kind.

#![deny(unsafe_code)]

pub(crate) mod hardlockup;
pub(crate) mod hung_task;
pub(crate) mod irqs;
pub(crate) mod session;
pub(crate) mod softlockup;
