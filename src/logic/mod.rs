// SPDX-License-Identifier: GPL-2.0

//! Pure decisions: what is hung, when to look, what a lock word means, what a knob accepts.
//!
//! Nothing in here knows the kernel: only `core`, no `unsafe`, no allocation. Time, task and lock
//! facts come in as plain values and decisions go out as values. The files are compiled twice:
//! into `vigil.ko`, and as the host crate `vigil-logic`, where they are tested.
//!
//! Arithmetic saturates or wraps on purpose and indexing goes through `get`, so that no panic
//! path can end up in the module.

#![cfg_attr(not(MODULE), no_std)]
#![cfg_attr(
    MODULE,
    expect(unreachable_pub, reason = "the interface of the host crate")
)]
#![deny(unsafe_code)]

pub mod blocker;
pub mod clock;
pub mod cpulist;
pub mod doom;
pub mod hard;
pub mod hung;
pub mod incident;
pub mod irqs;
#[macro_use]
pub mod knobs;
pub mod perf;
pub mod plan;
pub mod soft;
pub mod table;
pub mod text;

/// Nanoseconds in a second.
pub const NSEC_PER_SEC: u64 = 1_000_000_000;
