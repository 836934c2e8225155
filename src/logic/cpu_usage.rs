// SPDX-License-Identifier: GPL-2.0

//! What a CPU spent a sample period on: mainline's `update_cpustat()`.

/// Kinds of time that are kept: system, softirq, hardirq, idle, and user and steal together.
pub const KINDS: usize = 5;

/// What a CPU has spent its time on so far, by [`KINDS`], in units of 1024 ns; wraps after more than
/// an hour.
pub type CpuTimes = [u32; KINDS];

/// What a CPU spent one sample period on, in percent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuUsageSample {
    /// In the kernel.
    pub system: u8,
    /// In softirqs.
    pub softirq: u8,
    /// In hard interrupts.
    pub hardirq: u8,
    /// Idle.
    pub idle: u8,
}

/// A time in nanoseconds as it is kept.
pub const fn pack(ns: u64) -> u32 {
    (ns >> 10) as u32
}

/// What lies between two times, in percent of the `period` nanoseconds that they are apart, none of it more
/// than 100 %. As in mainline, times that are less apart, of which the first came late, give too little.
///
/// An idle CPU whose tick is stopped has not counted all of its idle time, and counts it later: what
/// is idle is at most what the other kinds leave.
pub fn sample(before: &CpuTimes, after: &CpuTimes, period: u64) -> CpuUsageSample {
    let percent = |before: u32, after: u32| {
        let spent = u64::from(after.wrapping_sub(before)) << 10;
        let percent = spent.saturating_mul(100).checked_div(period);
        percent.map_or(0, |percent| u8::try_from(percent.min(100)).unwrap_or(100))
    };
    let [system0, softirq0, hardirq0, idle0, other0] = *before;
    let [system1, softirq1, hardirq1, idle1, other1] = *after;
    let system = percent(system0, system1);
    let softirq = percent(softirq0, softirq1);
    let hardirq = percent(hardirq0, hardirq1);
    let others = [system, softirq, hardirq, percent(other0, other1)];
    let left = others
        .iter()
        .fold(100, |left: u8, &other| left.saturating_sub(other));
    CpuUsageSample {
        system,
        softirq,
        hardirq,
        idle: percent(idle0, idle1).min(left),
    }
}
