// SPDX-License-Identifier: GPL-2.0

//! What is taken over from the kernel's own detectors at load (module parameter `inherit`).
//!
//! The policy is: what a report shows, when it comes, and what panics. A machine that panics on a
//! soft lockup goes on to do so when vigil is loaded. What is not taken over is whether a detector is
//! on: who hands over from the kernel's detectors to vigil has just switched those off.
//!
//! On and off follow the boot words instead, `nowatchdog` and `nosoftlockup`; and
//! `nmi_watchdog=0`, as a boot word or written later, says that no perf counter is to be taken.

use super::knobs::Knob;

/// How a value is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// `int`, or `unsigned int`.
    Int,
    /// `long`, or `unsigned long`.
    Long,
}

/// Where the kernel keeps the value of a knob.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// The knob.
    pub knob: Knob,
    /// The variable, as a C string.
    pub symbol: &'static core::ffi::CStr,
    /// Its type.
    pub width: Width,
}

/// The values that are taken over, but for `watchdog_cpumask`.
pub const SOURCES: &[Source] = &[
    source(
        Knob::HungTaskTimeoutSecs,
        c"sysctl_hung_task_timeout_secs",
        Width::Long,
    ),
    source(Knob::HungTaskPanic, c"sysctl_hung_task_panic", Width::Int),
    source(
        Knob::HungTaskAllCpuBacktrace,
        c"sysctl_hung_task_all_cpu_backtrace",
        Width::Int,
    ),
    source(Knob::WatchdogThresh, c"watchdog_thresh", Width::Int),
    source(Knob::SoftlockupPanic, c"softlockup_panic", Width::Int),
    source(
        Knob::SoftlockupAllCpuBacktrace,
        c"sysctl_softlockup_all_cpu_backtrace",
        Width::Int,
    ),
    source(Knob::HardlockupPanic, c"hardlockup_panic", Width::Int),
    source(
        Knob::HardlockupAllCpuBacktrace,
        c"sysctl_hardlockup_all_cpu_backtrace",
        Width::Int,
    ),
    source(Knob::HungTaskSysInfo, c"hung_task_si_mask", Width::Long),
    source(Knob::SoftlockupSysInfo, c"softlockup_si_mask", Width::Long),
    source(Knob::HardlockupSysInfo, c"hardlockup_si_mask", Width::Long),
];

const fn source(knob: Knob, symbol: &'static core::ffi::CStr, width: Width) -> Source {
    Source {
        knob,
        symbol,
        width,
    }
}

/// The value to begin with, from the kernel's. `None`: vigil's own default. A 0 is off, of a timeout
/// or a threshold, and is not taken over; of the others it is the default anyway.
pub fn inherited(kernel: i64) -> Option<i64> {
    (kernel > 0).then_some(kernel)
}

/// Whether the kernel's command line has a word.
pub fn has_word(command_line: &[u8], word: &[u8]) -> bool {
    words(command_line).any(|found| found == word)
}

/// Whether the last `nmi_watchdog=` on the kernel's command line is 0: a list of `panic`, `nopanic`
/// and a number.
pub fn nmi_watchdog_is_0(command_line: &[u8]) -> bool {
    let values = words(command_line).filter_map(|word| word.strip_prefix(b"nmi_watchdog="));
    values
        .last()
        .is_some_and(|value| value.split(|&b| b == b',').any(|part| part == b"0"))
}

/// The kernel's words: what is behind `--` is for init.
fn words(command_line: &[u8]) -> impl Iterator<Item = &[u8]> {
    command_line
        .split(|b| b.is_ascii_whitespace() || *b == 0)
        .filter(|word| !word.is_empty())
        .take_while(|word| *word != b"--")
}
