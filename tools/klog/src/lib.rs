// SPDX-License-Identifier: GPL-2.0
//! Parses the log of a Linux kernel into typed reports.
//!
//! ```text
//! /dev/kmsg, dmesg, console   line.rs      LogLine: time, level, caller, text
//!          one line           message.rs   Message: what the line says
//!          all lines          report.rs    Log: the reports, and vigil's other lines
//! ```
//!
//! It knows the reports of the kernel's own detectors (hung tasks, soft and hard
//! lockups, RCU stalls), panics, and what vigil prints: the same reports, those on
//! unresponsive CPUs, and lines that begin with `vigil: `. [`Report::detector`]
//! says which of the two made a report where the log shows it.
//!
//! ```
//! use vigil_klog::{Detector, Finding, Log, LogLine};
//!
//! let text = "\
//! [   28.720500] watchdog: CPU0: Watchdog detected hard LOCKUP on cpu 1
//! [   28.720720] vigil: CPU1 took its last timer interrupt 2.402 s ago and answers an NMI: \
//!                it runs with interrupts off";
//! let log = Log::parse(&LogLine::parse_text(text));
//! let report = &log.reports[0];
//! assert_eq!(report.detector, Some(Detector::Vigil));
//! assert!(matches!(&report.finding, Finding::HardLockup(lockup) if lockup.cpu == 1));
//! ```
//!
//! [`Splat`] names other lines that a healthy kernel does not print.
//!
//! The texts that it looks for stand in [`texts`]. It never fails: what it does not
//! know is no report, and [`Log::unknown`] has the lines that look like a report
//! and have another wording.

mod line;
mod message;
mod report;
mod splat;
mod template;
pub mod texts;
mod trace;

pub use line::{Caller, LogLine};
pub use message::{Access, Blocker, Detector, Evidence, Lock, Message, Task, Vigil};
pub use report::{
    BusyInterrupt, BusyInterrupts, Finding, HardLockup, HungTask, Log, Note, Panic, RcuStall,
    Report, SoftLockup, UnresponsiveCpu, Usage,
};
pub use splat::Splat;
pub use template::{pattern, print};
pub use trace::{Dump, Frame};
