// SPDX-License-Identifier: GPL-2.0

//! Hard lockups: the two back ends, the choice between them, and what CPUs know of
//! each other, and the reports.

pub(crate) mod backend;
pub(super) mod buddy;
pub(super) mod cpu_hardlockup;
pub(super) mod heartbeat;
pub(crate) mod perf;
pub(super) mod report;
