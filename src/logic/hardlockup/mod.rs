// SPDX-License-Identifier: GPL-2.0

//! Hard lockups: a CPU takes no timer interrupt any more.
//!
//! - [`state`]: the state of a CPU, shared by both back ends.
//! - [`buddy`]: another CPU notices, and confirms by NMI.
//! - [`perf`]: the CPU itself notices, in the NMI of a performance counter.
//! - [`backend`]: which of the two is used.

pub mod backend;
pub mod buddy;
pub mod perf;
pub mod state;
