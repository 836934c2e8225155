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
pub mod btf;
pub mod cpu_usage;
pub mod cpu_wait;
pub mod cpulist;
pub mod culprit;
pub mod dot;
pub mod event;
pub mod fmt;
pub mod hardlockup;
pub mod hung_task;
pub mod in_tree_softlockup;
pub mod incident;
pub mod incident_table;
pub mod inherit;
pub mod irqstat;
#[macro_use]
pub mod knobs;
pub mod messages;
pub mod netlink;
pub mod panic;
pub mod pause;
pub mod pause_clock;
pub mod sample_period;
pub mod smp_call;
pub mod softlockup;
pub mod spinlock;
pub mod stale_wait;
pub mod task;
pub mod task_wait;
pub mod wait_graph;
pub mod wait_kind;

/// Nanoseconds in a second.
pub const NSEC_PER_SEC: u64 = 1_000_000_000;
