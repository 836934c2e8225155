// SPDX-License-Identifier: GPL-2.0

//! The texts of reports.

#![deny(unsafe_code)]

pub(crate) mod hung_task;
pub(crate) mod irqs;
