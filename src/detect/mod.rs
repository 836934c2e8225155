// SPDX-License-Identifier: GPL-2.0

//! The detectors: each samples through `sys`, asks `logic`, and reports through `report`.
//!
//! - [`lockup_detector`]: soft and hard lockups, as one thing to start, reconfigure and stop.
//! - [`watchdog`]: the timer interrupt of each CPU, which drives both.
//! - [`softlockup`], [`hardlockup`]: what it checks.
//! - [`in_tree_softlockup`]: the kernel's own detector, which goes on.
//! - [`lockup_ctx`], [`lockup_config`]: what the CPUs share, and what the knobs ask for.
//! - [`sys_info_thread`]: the thread that shows what `*_sys_info` asks for.
//! - [`hung_task`]: the thread that checks tasks.

#![deny(unsafe_code)]

mod cpu_usage;
pub(crate) mod hardlockup;
pub(crate) mod hung_task;
pub(crate) mod in_tree_softlockup;
pub(crate) mod lockup_config;
pub(crate) mod lockup_ctx;
pub(crate) mod lockup_detector;
mod softlockup;
pub(crate) mod sys_info_thread;
pub(crate) mod watchdog;
