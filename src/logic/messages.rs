// SPDX-License-Identifier: GPL-2.0

//! The texts of vigil's own that a program looks for: log lines.
//!
//! Each text stands here once, under a name. The module prints it, and the scenarios, `tools/` and
//! `scripts/vmcore-report` find it by the same name: on the host [`MESSAGES`] lists all of them, and
//! `scripts/messages.json`, which `make docs` writes, is that list for programs in other languages.
//!
//! A fixed line is a constant. A line with values in it is a type that has a field for each
//! `{field}` of its text, and is printed by `Display`:
//!
//! ```
//! use vigil_logic::{fmt::Secs, messages::CpuRecovered};
//! let line = CpuRecovered { cpu: 1, secs: Secs(3_600_000_000) };
//! assert_eq!(
//!     line.to_string(),
//!     "vigil: CPU1 recovered: its timer interrupt came again after 3.6 s"
//! );
//! ```
//!
//! Lines that mainline prints too (`INFO: task`, `watchdog: BUG:`, `Kernel panic`) are not here:
//! their wording is mainline's, and stands where they are printed.

use super::{
    fmt::{LogStamp, Secs},
    task::TaskId,
};
use core::fmt::{self, Display};

/// Declares constants for the fixed lines, types for those with values, and the list of all.
macro_rules! messages {
    (
        fixed {
            $($(#[$const_doc:meta])* $const:ident = $const_text:literal;)*
        }
        parts {
            $($(#[$part_doc:meta])* $part:ident = $part_text:literal;)*
        }
        values {
            $(
                $(#[$doc:meta])*
                $name:ident $(<$generic:ident>)? { $($field:ident: $type:ty),* $(,)? } = $text:literal;
            )*
        }
    ) => {
        $(
            $(#[$const_doc])*
            ///
            #[doc = concat!("`vigil: ", $const_text, "`")]
            pub const $const: &str = concat!("vigil: ", $const_text);
        )*
        $(
            $(#[$part_doc])*
            ///
            #[doc = concat!("`", $part_text, "`")]
            pub const $part: &str = $part_text;
        )*
        $(
            $(#[$doc])*
            ///
            #[doc = concat!("`vigil: ", $text, "`")]
            pub struct $name $(<$generic>)? {
                $(
                    #[doc = concat!("The line's `", stringify!($field), "`.")]
                    pub $field: $type,
                )*
            }

            impl $(<$generic: Display>)? Display for $name $(<$generic>)? {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    write!(f, concat!("vigil: ", $text), $($field = self.$field),*)
                }
            }

            impl $(<$generic>)? $name $(<$generic>)? {
                /// The line with `{field}` where a value stands.
                #[cfg(not(MODULE))]
                pub const TEXT: &'static str = concat!("vigil: ", $text);
            }
        )*

        /// All of them: the name here, and the text, with `{field}` where a value stands.
        #[cfg(not(MODULE))]
        pub const MESSAGES: &[(&str, &str)] = &[
            $((stringify!($const), $const),)*
            $((stringify!($part), $part),)*
            $((stringify!($name), concat!("vigil: ", $text)),)*
        ];
    };
}

messages! {
    fixed {
        /// The policy refuses a panic, at the end of a report that asks for one.
        NO_PANIC = "no panic: panic_needs_kdump=1 and no crash kernel is loaded";
        /// A requested panic does not come: its knob was cleared, or the module is unloaded.
        PANIC_CANCELLED = "panic cancelled";
        /// A hard lockup is reported in NMI context on the way to a panic.
        SYS_INFO_SKIPPED_IN_NMI = "hardlockup_sys_info skipped: in NMI context";
        /// The backtrace of a CPU with a hard lockup is missing.
        NO_NMI_BACKTRACE = "no backtrace: this kernel's NMI backtrace is not available";
        /// Soft lockups are not sampled with the CPU stopper.
        SAMPLED_BY_FIFO_THREAD = "sampled by a SCHED_FIFO-99 thread: a real-time task that hogs the CPU looks like this too";
        /// `hung_task_sys_info` asks for something that cannot be shown.
        NO_SYS_INFO = "hung_task_sys_info skipped: the kernel's sys_info() is not available";
        /// The parameter `hardlockup_backend` is none of its values.
        BAD_BACKEND = "hardlockup_backend: must be auto, perf, buddy or perf,buddy";
    }

    parts {
        /// The name of a panic on an unresponsive CPU, after `Kernel panic - not syncing: `.
        UNRESPONSIVE_CPU_PANIC = "vigil: unresponsive CPU";
        /// Evidence of a hard lockup: the CPU ran the NMI handler that was sent to it.
        EVIDENCE_NMI_ACK = "and answers an NMI: it runs with interrupts off";
        /// Evidence of a hard lockup: the NMI of the CPU's own cycle counter found it.
        EVIDENCE_PERF_NMI = "and takes the NMI of its perf cycle counter: it runs with interrupts off";
        /// No evidence yet: the backtrace that follows is taken by NMI.
        EVIDENCE_BACKTRACE = "and can only be asked for a backtrace by NMI: if one follows, it runs with interrupts off";
        /// No evidence: no NMI can be sent.
        EVIDENCE_NONE = "and cannot be asked by NMI: not confirmed that it runs with interrupts off";
        /// Why there is no perf: another user has the counter.
        PERF_BUSY = "no perf cycle counter is free";
        /// Why there is no perf: the overflow interrupt can be masked.
        PERF_NOT_NMI = "the perf cycle counter does not interrupt by NMI";
        /// Why there is no perf: the period cannot be computed.
        PERF_NO_FREQUENCY = "the CPU frequency is not known";
        /// Why there is no perf: no PMU.
        PERF_NOT_SUPPORTED = "no perf cycle counter on this machine";
    }

    values {
        /// A requested panic waits for `panic_delay_ms`.
        PanicDelay { ms: u64 } = "panic in {ms} ms";
        /// `*_sys_info` is not shown before a panic.
        SysInfoSkipped<K> { knob: K } =
            "{knob} skipped: no other CPU is active that could panic if this one gets stuck";

        /// Second line of the report of a hard lockup, with one of the `EVIDENCE_*`.
        HardLockupEvidence { cpu: u32, secs: Secs, evidence: &'static str } =
            "CPU{cpu} took its last timer interrupt {secs} s ago {evidence}";
        /// Second line of the report of a hard lockup that is over by the time of the report.
        HardLockupOver { cpu: u32, secs: Secs } =
            "CPU{cpu} took no timer interrupt for {secs} s but the NMI of its perf cycle counter: it ran with interrupts off, and does not any more";
        /// Head of the stack that a CPU had when its perf NMI found the hard lockup.
        HardLockupStack { cpu: u32, task: TaskId } = "CPU{cpu} was running {task} at:";
        /// Report of an unresponsive CPU.
        UnresponsiveCpu { cpu: u32, secs: u64 } =
            "CPU{cpu} has not run for {secs} s: no answer to an NMI (as of a vCPU that its host does not run)";
        /// The end of a hard lockup, or of an unresponsive CPU.
        CpuRecovered { cpu: u32, secs: Secs } =
            "CPU{cpu} recovered: its timer interrupt came again after {secs} s";
        /// `hardlockup_backend=perf` cannot be had; with one of the `PERF_*`.
        PerfNotAvailable { reason: &'static str, errno: i32 } =
            "hardlockup_backend=perf: {reason} (error {errno})";

        /// Steal time that a soft lockup's length leaves out.
        StealTime { secs: Secs } = "{secs} s of steal time not counted";
        /// Head of the busiest interrupts of a CPU with a soft lockup.
        BusyInterrupts { cpu: u32, total: u64, secs: Secs, rate: u64 } =
            "CPU{cpu} took {total} interrupts in {secs} s, {rate} a second; the busiest:";
        /// One of the busiest interrupts.
        BusyInterrupt<S> { count: u64, source: S, rate: u64 } =
            "  {count} from {source}, {rate} a second";

        /// When a hung task last got a CPU, in the log's time.
        TaskLastRan { task: TaskId, time: LogStamp } = "task {task} last ran at [{time}]";
        /// The table of tracked tasks is full.
        TasksNotTracked { count: u64, capacity: usize } =
            "{count} sleeping tasks not tracked: table full at {capacity}";

        /// A step of the module's init failed.
        InitFailed<S> { step: S, errno: i32 } = "cannot {step}: error {errno}";
        /// A module parameter has a value that its knob does not take.
        BadParameter<N> { name: N } = "{name}: value out of range, see docs/knobs.md";
        /// There is no status file.
        NoStatusFile { errno: i32 } = "debugfs file vigil/status not available: error {errno}";

        /// At load: hung tasks.
        LoadHungTasks<S> { state: S } = "hung tasks: {state}";
        /// At load: soft lockups.
        LoadSoftLockups<S> { state: S } = "soft lockups: {state}";
        /// At load: hard lockups.
        LoadHardLockups<S> { state: S } = "hard lockups: {state}";
        /// At load: functions that are not exported and were not found.
        LoadNotAvailable<S> { names: S } = "kernel functions not available: {names}";
        /// At load: the kernel's own detectors.
        LoadInTree<S> { state: S } = "in-tree detectors: {state}";
        /// At load with `kernel_names=1`: which names in `/proc/sys/kernel` are vigil's.
        LoadKernelNames<S> { names: S } = "kernel names: {names}";
    }
}

/// A piece of a text of [`MESSAGES`].
#[cfg(not(MODULE))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Stands as it is.
    Fixed(&'a str),
    /// Stands for the value of this name.
    Field(&'a str),
}

/// Splits a text into its pieces, to build a pattern that finds it.
#[cfg(not(MODULE))]
pub fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    text.split_inclusive('}').flat_map(|part| {
        let (fixed, field) = match part.split_once('{') {
            Some((fixed, field)) => (fixed, field.strip_suffix('}')),
            None => (part, None),
        };
        let fixed = (!fixed.is_empty()).then_some(Piece::Fixed(fixed));
        fixed.into_iter().chain(field.map(Piece::Field))
    })
}
