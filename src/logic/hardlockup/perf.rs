// SPDX-License-Identifier: GPL-2.0

//! Hard lockups noticed by the CPU itself: a counter of its cycles interrupts it by NMI, and its
//! timer interrupt has not come since the last time.
//!
//! That needs no other CPU, so that it works with one, and when all are stuck. It is mainline's
//! `kernel/watchdog_perf.c` and the part of `watchdog_hardlockup_check()` that it uses: the counter
//! overflows about once in a threshold ([`period`]), between two overflows the timer interrupt comes
//! two or three times, and an overflow that comes too early, because the CPU runs faster than its
//! nominal frequency, is skipped ([`OverflowFilter::check`]).

use super::super::sample_period::sample_period;

/// Where a frequency comes from, and what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    /// The nominal frequency of the time stamp counter (`cpu_khz`).
    X86,
    /// The highest that the driver names; without one, [`SAFE_MAX_HZ`].
    Arm64,
    /// None is known.
    Other,
}

/// What an arm64 CPU is taken to do at most if no driver says: `SAFE_MAX_CPU_FREQ` of
/// `arch/arm64/kernel/watchdog_hld.c`. One that does 1 GHz takes five thresholds for one.
pub const SAFE_MAX_HZ: u64 = 5_000_000_000;

/// Cycles from one overflow to the next: `hw_nmi_get_sample_period()`. `khz`: the frequency as the
/// architecture tells it, 0 if it does not. `None`: cannot be known, or is nothing.
pub fn period(arch: Arch, khz: u64, thresh_secs: u64) -> Option<u64> {
    let hz = match (arch, khz.saturating_mul(1000)) {
        (Arch::Arm64, 0) => SAFE_MAX_HZ,
        (Arch::Arm64 | Arch::X86, hz) => hz,
        (Arch::Other, _) => 0,
    };
    let cycles = hz.saturating_mul(thresh_secs);
    // A period is a signed number to perf.
    (cycles != 0 && i64::try_from(cycles).is_ok()).then_some(cycles)
}

/// How soon, in nanoseconds, one overflow may come after the last that counted: 2 sample periods,
/// that is 4/5 of the threshold (`watchdog_update_hrtimer_threshold()`).
pub fn min_interval(thresh_secs: u64) -> u64 {
    sample_period(thresh_secs).saturating_mul(2)
}

/// The tenth overflow in a row that comes too early counts all the same, since the clock may stand
/// still (`watchdog_check_timestamp()`).
pub const MAX_EARLY: u32 = 10;

/// What the NMI handler remembers of the last overflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverflowFilter {
    /// When an overflow counted last, in nanoseconds (`last_timestamp`).
    pub last_ts: u64,
    /// How many overflows came too early since (`nmi_rearmed`).
    pub early: u32,
    /// The CPU's last timer interrupt then.
    pub hrtimer_ts: u64,
}

/// What an overflow means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// It came too early to mean anything.
    TooEarly,
    /// Timer interrupts come, or the watchdog was touched.
    Healthy,
    /// No timer interrupt has come since the last overflow that counted.
    Stuck,
}

impl OverflowFilter {
    /// The filter at the moment when the counter is started.
    pub fn new(now: u64, hrtimer_ts: u64) -> Self {
        Self {
            last_ts: now,
            early: 0,
            hrtimer_ts,
        }
    }

    /// Checks an overflow. `hrtimer_ts`: the CPU's last timer interrupt. `touched`: whether the
    /// watchdog was touched since the last call that returned something else than
    /// [`Overflow::TooEarly`]. `min_interval`: see [`min_interval`].
    pub fn check(
        &mut self,
        now: u64,
        hrtimer_ts: u64,
        touched: bool,
        min_interval: u64,
    ) -> Overflow {
        if now.saturating_sub(self.last_ts) < min_interval {
            self.early = self.early.saturating_add(1);
            if self.early < MAX_EARLY {
                return Overflow::TooEarly;
            }
        }
        self.early = 0;
        self.last_ts = now;
        let stuck = self.hrtimer_ts == hrtimer_ts && !touched;
        self.hrtimer_ts = hrtimer_ts;
        if stuck {
            Overflow::Stuck
        } else {
            Overflow::Healthy
        }
    }
}
