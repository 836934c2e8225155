// SPDX-License-Identifier: GPL-2.0

//! Soft lockups: a CPU whose timer interrupt comes, and whose stopper does not get to run.
//!
//! The rules are those of mainline's `watchdog_timer_fn()` and `is_softlockup()`
//! (`kernel/watchdog.c`). The timer interrupt of each CPU queues a piece of stopper work and judges
//! how long ago the last piece ran:
//!
//! ```text
//!   stopper ran:   ran = period = now
//!   touched:       period = now                 (known slow code: `ran` is left alone)
//!   timer late:    both later by that           (the machine did not run: see Tick::paused)
//!   now - period > threshold:  report, with now - ran as the time;  period = now
//! ```
//!
//! So a stall is reported again after each further threshold, and always with its whole length.
//!
//! Differences from mainline, on purpose: time is in nanoseconds (mainline's unit is 2^30 ns, and
//! its comparison leaves out a whole unit more), time that the hypervisor took from the CPU does
//! not count, and [`Soft::due`] tells the timer when to come, so that a report does not wait for
//! the next sample period.

use super::NSEC_PER_SEC;

/// Sample periods in one soft-lockup threshold (`NUM_SAMPLE_PERIODS`).
pub const SAMPLES: u64 = 5;

/// The soft-lockup threshold for a `watchdog_thresh` in seconds, in nanoseconds: twice that, since
/// soft lockups can be false under extreme conditions (`get_softlockup_thresh()`).
pub fn threshold(thresh_secs: u64) -> u64 {
    thresh_secs.saturating_mul(2 * NSEC_PER_SEC)
}

/// Nanoseconds from one timer interrupt to the next (`set_sample_period()`).
pub fn sample_period(thresh_secs: u64) -> u64 {
    threshold(thresh_secs) / SAMPLES
}

/// What one timer interrupt sees of its own CPU. Times in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub struct Tick {
    /// Now, on the monotonic clock.
    pub now: u64,
    /// How much of the time since the interrupt before the machine did not run; 0 if it came in time.
    pub paused: u64,
    /// All the time so far that the hypervisor took from this CPU.
    pub stolen: u64,
    /// Whether somebody asked for patience since the interrupt before, or [`flag_raised`]: the timer
    /// does not come late by the part of a pause in which it was not due yet.
    pub touched: bool,
}

/// What is known of one CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Soft {
    /// When the stopper ran last.
    pub ran: u64,
    /// Since when the threshold counts.
    pub period: u64,
    /// Stolen time at `ran`.
    pub stolen_at_ran: u64,
    /// Stolen time at `period`.
    pub stolen_at_period: u64,
    /// Stolen time at the last interrupt.
    pub stolen_last: u64,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Fine,
    /// Report a soft lockup.
    Stuck {
        /// Nanoseconds since the stopper ran, less what did not count.
        duration: u64,
        /// Nanoseconds that the hypervisor took of that time.
        stolen: u64,
    },
}

impl Soft {
    /// The stopper ran just now, or the CPU has just come online.
    pub fn fresh(now: u64, stolen: u64) -> Self {
        Self {
            ran: now,
            period: now,
            stolen_at_ran: stolen,
            stolen_at_period: stolen,
            stolen_last: stolen,
        }
    }

    /// Judges at a timer interrupt. `threshold` in nanoseconds.
    pub fn judge(&mut self, tick: &Tick, threshold: u64) -> Verdict {
        if tick.paused != 0 {
            // A pause may be stolen time as well, which must not be taken off twice.
            let both = tick.stolen.saturating_sub(self.stolen_last);
            let paused = tick.paused.saturating_sub(both);
            self.ran = self.ran.saturating_add(paused).min(tick.now);
            self.period = self.period.saturating_add(paused).min(tick.now);
        }
        self.stolen_last = tick.stolen;
        if tick.touched {
            self.restart(tick);
            return Verdict::Fine;
        }
        if tick.now < self.due(tick.stolen, threshold) {
            return Verdict::Fine;
        }
        let stolen = tick.stolen.saturating_sub(self.stolen_at_ran);
        self.restart(tick);
        Verdict::Stuck {
            duration: tick.now.saturating_sub(self.ran).saturating_sub(stolen),
            stolen,
        }
    }

    /// Begins the next threshold.
    fn restart(&mut self, tick: &Tick) {
        self.period = tick.now;
        self.stolen_at_period = tick.stolen;
    }

    /// When the next report is due if nothing changes. `stolen` as in [`Tick`].
    ///
    /// The stopper may have been interrupted in the middle of noting that it ran.
    pub fn due(&self, stolen: u64, threshold: u64) -> u64 {
        let stolen = stolen.saturating_sub(self.stolen_at_period);
        self.period
            .max(self.ran)
            .saturating_add(threshold)
            .saturating_add(stolen)
            .saturating_add(1)
    }
}

/// How many whole thresholds a duration is: what `softlockup_panic` counts.
pub fn thresholds(duration: u64, threshold: u64) -> u64 {
    duration.checked_div(threshold).unwrap_or(0)
}

/// How late a timer interrupt may come, in nanoseconds, before the rest is called a pause: a
/// second, with a short sample period half of that.
pub fn grace(period: u64) -> u64 {
    (period / 2).min(NSEC_PER_SEC)
}

/// The part of the time since the interrupt before in which this CPU's timer did not come though
/// it should have, in nanoseconds. `due` is when it should have come.
pub fn late(now: u64, due: u64, period: u64) -> u64 {
    let late = now.saturating_sub(due);
    if late > grace(period) {
        late
    } else {
        0
    }
}

/// When a CPU was at work: its last timer interrupts that came in time.
///
/// Besides the last one two are kept that are at least a [`grace`] apart, however often it takes one.
/// Of three, one so is older than a grace that ends now, and not by much ([`Work::tells`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// The last one.
    pub last: u64,
    /// One that is less than a grace older than the last, or the last.
    pub mark: u64,
    /// The one at which `mark` was before.
    pub before: u64,
}

impl Work {
    /// What is to be kept when another interrupt came in time.
    pub fn at(self, now: u64, grace: u64) -> Self {
        let apart = now.saturating_sub(self.mark) >= grace;
        Self {
            last: now,
            mark: if apart { now } else { self.mark },
            before: if apart { self.mark } else { self.before },
        }
    }

    /// Whether it is known to have been at work some time from `from` until before `to`.
    pub fn within(&self, from: u64, to: u64) -> bool {
        [self.last, self.mark, self.before]
            .iter()
            .any(|at| (from..to).contains(at))
    }

    /// Whether a CPU that is at work must have been seen so some time from `from` until before `to`,
    /// which is a [`grace`] ago: it takes an interrupt each sample period, a grace late at most, and
    /// what is kept is a grace older yet.
    pub fn tells(from: u64, to: u64, period: u64) -> bool {
        let least = period.saturating_add(grace(period).saturating_mul(2));
        to.saturating_sub(from) > least
    }
}

/// Whether kvmclock's guest-paused flag says that the CPU was stopped since the interrupt before,
/// when the flag was as `before`.
///
/// Nobody but mainline's detector clears it, so only its being set anew is news: after a pause that
/// nobody cleared it for, the next one does not show here, only by the timer that comes late. Where
/// mainline's detector is faster to see it, it touches itself, which counts as [`Tick::touched`].
pub fn flag_raised(before: bool, set: bool) -> bool {
    set && !before
}

/// What is known of the time since the interrupt before, to tell a CPU that was stopped from one
/// that had its interrupts off.
#[derive(Clone, Copy, Debug)]
pub struct Signs {
    /// By how much the timer came late ([`late`]).
    pub late: u64,
    /// The hypervisor says that it stopped the CPU ([`flag_raised`]).
    pub flagged: bool,
    /// Another CPU found that this one did not answer an NMI.
    pub found: bool,
    /// No other CPU was seen at work, for long enough that one should have been.
    pub alone: bool,
}

impl Signs {
    /// How much of the time the CPU was stopped: all by which the timer came late, or nothing.
    pub fn paused(&self) -> u64 {
        if self.flagged || self.found || self.alone {
            self.late
        } else {
            0
        }
    }
}
