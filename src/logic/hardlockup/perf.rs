// SPDX-License-Identifier: GPL-2.0

//! Hard lockups, seen by the CPU itself: a counter of its cycles interrupts it by NMI, and its timer
//! interrupt has not come since the last time.
//!
//! That needs no other CPU, so that it works with one, and when all are stuck. It is mainline's
//! `kernel/watchdog_perf.c` and the part of `watchdog_hardlockup_check()` that it uses: the counter
//! overflows about once in a threshold ([`period`]), between two overflows the timer interrupt comes
//! two or three times, and an overflow that comes too early, because the CPU runs faster than it is
//! said to, is passed over ([`Eye::judge`]).

use super::super::softlockup as soft;

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
pub fn shortest(thresh_secs: u64) -> u64 {
    soft::sample_period(thresh_secs).saturating_mul(2)
}

/// So many that come too early are passed over, one after the other; the next one counts, since the
/// clock may stand still (`watchdog_check_timestamp()`).
pub const EARLY: u32 = 10;

/// What the NMI remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Eye {
    /// When an overflow counted last, in nanoseconds.
    pub last: u64,
    /// How many have come too early since.
    pub early: u32,
    /// The CPU's last timer interrupt then.
    pub seen: u64,
}

/// What it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It came too early to mean anything.
    Early,
    /// Timer interrupts come, or patience was asked for.
    Fine,
    /// None has come since the last overflow that counted.
    Stuck,
}

impl Eye {
    /// At the moment when the counter is started.
    pub fn fresh(now: u64, seen: u64) -> Self {
        Self {
            last: now,
            early: 0,
            seen,
        }
    }

    /// Judges an overflow. `seen`: the last timer interrupt. `touched`: whether patience was asked
    /// for since the last call that returned something else than [`Verdict::Early`].
    pub fn judge(&mut self, now: u64, seen: u64, touched: bool, shortest: u64) -> Verdict {
        if now.saturating_sub(self.last) < shortest {
            self.early = self.early.saturating_add(1);
            if self.early < EARLY {
                return Verdict::Early;
            }
        }
        self.early = 0;
        self.last = now;
        let stuck = self.seen == seen && !touched;
        self.seen = seen;
        if stuck {
            Verdict::Stuck
        } else {
            Verdict::Fine
        }
    }
}

/// Who finds hard lockups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// perf where it can, else buddy.
    Auto,
    /// The CPU itself, by a counter; nothing else will do.
    Perf,
    /// Another CPU.
    Buddy,
    /// Another CPU, and where it can the CPU itself; the earlier one reports.
    Both,
}

impl Backend {
    /// Reads `auto`, `perf`, `buddy`, or both of the latter with a comma; nothing is `auto`.
    pub fn parse(text: &[u8]) -> Option<Self> {
        match text.trim_ascii() {
            b"" | b"auto" => Some(Self::Auto),
            b"perf" => Some(Self::Perf),
            b"buddy" => Some(Self::Buddy),
            b"perf,buddy" | b"buddy,perf" => Some(Self::Both),
            _ => None,
        }
    }

    /// Whether perf is to be tried.
    pub fn wants_perf(self) -> bool {
        self != Self::Buddy
    }

    /// Whether it has to work.
    pub fn needs_perf(self) -> bool {
        self == Self::Perf
    }

    /// Whether CPUs look after each other, if perf works or does not.
    pub fn buddy(self, perf: bool) -> bool {
        match self {
            Self::Auto => !perf,
            Self::Perf => false,
            Self::Buddy | Self::Both => true,
        }
    }
}
