// SPDX-License-Identifier: GPL-2.0

//! Soft lockups: a CPU takes its timer interrupt, and does not get to run its stopper thread.
//!
//! The rules are those of mainline's `watchdog_timer_fn()` and `is_softlockup()`
//! (`kernel/watchdog.c`). The timer interrupt of each CPU queues a work item for the stopper and
//! checks how long ago the last one ran:
//!
//! ```text
//!               stop work ran: touch_ts = report_ts = now
//!          +--------------------------------------------------+
//!          v                                                  |
//!     [ on time ] ---- now >= due() ----> report ----> [ stuck ] ---+
//!        |   ^                    (report_ts = now)       ^         | now >= due(): report again,
//!        +---+                                            +---------+ report_ts = now
//!
//!   in both states, at each timer interrupt (SoftlockupState::update()):
//!     touched: report_ts = now             (touch_ts stays: the report has the whole length)
//!     paused:  touch_ts and report_ts later by the pause
//! ```
//!
//! So a lockup is reported again after each further threshold, and always with its whole length.
//!
//! Differences from mainline, on purpose: time is in nanoseconds (mainline's unit is 2^30 ns, and
//! its comparison wants one unit more than the threshold), steal time does not count, and
//! [`SoftlockupState::due`] tells the timer when to expire, so that a report does not wait for the
//! next sample period.

use super::NSEC_PER_SEC;

/// The soft-lockup threshold in nanoseconds for a `watchdog_thresh` in seconds: twice that, since
/// soft lockups can be false under extreme conditions (`get_softlockup_thresh()`).
pub fn threshold(thresh_secs: u64) -> u64 {
    thresh_secs.saturating_mul(2 * NSEC_PER_SEC)
}

/// What one timer interrupt sees of its own CPU. Times in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Now, on the monotonic clock.
    pub now: u64,
    /// How much of the time since the interrupt before the machine did not run
    /// ([`PauseEvidence::paused_ns`](super::pause::PauseEvidence::paused_ns)).
    pub paused: u64,
    /// All steal time of this CPU so far.
    pub steal: u64,
    /// Whether the watchdog was touched since the interrupt before, or
    /// [`guest_paused_edge`](super::pause::guest_paused_edge) holds: the overrun of the timer does
    /// not show the part of a pause in which the timer was not due yet.
    pub touched: bool,
}

/// What is known of one CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SoftlockupState {
    /// When the stop work ran last (mainline's `watchdog_touch_ts`).
    pub touch_ts: u64,
    /// Since when the threshold counts (mainline's `watchdog_report_ts`).
    pub report_ts: u64,
    /// Steal time at `touch_ts`.
    pub steal_at_touch: u64,
    /// Steal time at `report_ts`.
    pub steal_at_report: u64,
    /// Steal time at the last timer interrupt.
    pub last_steal: u64,
}

/// A soft lockup that is to be reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Softlockup {
    /// Nanoseconds since the stop work ran, less pauses and steal time.
    pub duration: u64,
    /// Steal time since the stop work ran, in nanoseconds.
    pub steal: u64,
}

impl SoftlockupState {
    /// The stop work ran just now, or the CPU has just come online.
    pub fn new(now: u64, steal: u64) -> Self {
        Self {
            touch_ts: now,
            report_ts: now,
            steal_at_touch: steal,
            steal_at_report: steal,
            last_steal: steal,
        }
    }

    /// Takes a pause, steal time and a touch into account. The first step of each timer interrupt.
    pub fn update(&mut self, sample: &Sample) {
        if sample.paused != 0 {
            // A pause may be steal time as well, which must not be taken off twice.
            let both = sample.steal.saturating_sub(self.last_steal);
            let paused = sample.paused.saturating_sub(both);
            self.touch_ts = self.touch_ts.saturating_add(paused).min(sample.now);
            self.report_ts = self.report_ts.saturating_add(paused).min(sample.now);
        }
        self.last_steal = sample.steal;
        if sample.touched {
            self.restart_threshold(sample);
        }
    }

    /// The stop work has run since `time`, of which its time stamp need not know: if the machine was
    /// stopped between reading the clock and storing the stamp, the interrupt in which the pause was
    /// found had the stamp before. After [`SoftlockupState::update`]; `time` without pauses.
    pub fn stop_work_ran_since(&mut self, time: u64) {
        self.touch_ts = self.touch_ts.max(time);
    }

    /// Checks for a soft lockup, after [`SoftlockupState::update`] with the same sample.
    /// `threshold` in nanoseconds. Changes nothing: once it is certain that the report can be
    /// given, [`SoftlockupState::restart_threshold`] begins the next threshold.
    pub fn check(&self, sample: &Sample, threshold: u64) -> Option<Softlockup> {
        if sample.touched || sample.now < self.due(sample.steal, threshold) {
            return None;
        }
        let steal = sample.steal.saturating_sub(self.steal_at_touch);
        Some(Softlockup {
            duration: sample
                .now
                .saturating_sub(self.touch_ts)
                .saturating_sub(steal),
            steal,
        })
    }

    /// Whether neither [`SoftlockupState::nearly`] nor [`SoftlockupState::check`] has anything to say
    /// `now`, as most timer interrupts find. `due`: [`SoftlockupState::due`] for the same threshold,
    /// which is a multiple of 4 ns: the last of its quarters is as long as the others.
    pub fn is_early(now: u64, due: u64, threshold: u64) -> bool {
        now.wrapping_add(threshold / 4) < due
    }

    /// For how many seconds the stop work has not run, once three quarters of the threshold are over:
    /// when mainline asks sched_ext to eject its scheduler (`is_softlockup()`).
    pub fn nearly(&self, sample: &Sample, threshold: u64) -> Option<u32> {
        if sample.touched || sample.now < self.due(sample.steal, threshold / 4 * 3) {
            return None;
        }
        let secs = sample.now.saturating_sub(self.touch_ts) / NSEC_PER_SEC;
        Some(u32::try_from(secs).unwrap_or(u32::MAX))
    }

    /// The threshold counts from now: a report is being given, or the watchdog was touched.
    pub fn restart_threshold(&mut self, sample: &Sample) {
        self.report_ts = sample.now;
        self.steal_at_report = sample.steal;
    }

    /// When the in-tree detector, which needs so many nanoseconds, has surely found the CPU stuck too,
    /// unless only that one's watchdog was touched.
    pub fn end_of_in_tree_turn(&self, needs: u64) -> u64 {
        self.report_ts.max(self.touch_ts).saturating_add(needs)
    }

    /// When the next report is due if nothing changes, in nanoseconds on the monotonic clock.
    /// `steal` as in [`Sample`].
    ///
    /// The later of the two time stamps counts, since the timer may have interrupted the stop work
    /// between the two stores.
    pub fn due(&self, steal: u64, threshold: u64) -> u64 {
        let steal = steal.saturating_sub(self.steal_at_report);
        self.report_ts
            .max(self.touch_ts)
            .saturating_add(threshold.saturating_add(1))
            .saturating_add(steal)
    }
}

/// How many whole thresholds a duration is: what `softlockup_panic` counts.
pub fn thresholds(duration: u64, threshold: u64) -> u64 {
    duration.checked_div(threshold).unwrap_or(0)
}

/// What is known of a CPU that waits in `stop_machine()`: not it is to be reported, but the CPU that it
/// waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopMachineWait {
    /// Nanoseconds since its stop work ran.
    pub duration: u64,
    /// Whether another CPU is known to be stuck now.
    pub other_stuck: bool,
    /// Whether another one was when it was checked last, a threshold ago.
    pub other_was_stuck: bool,
}

impl StopMachineWait {
    /// Whether it is not reported for another threshold. It gets the benefit of the doubt for one at
    /// first, since the other CPU is found stuck only then, and for one after it has seen another CPU stuck:
    /// that one may have recovered a moment ago, and `stop_machine()` go on in the next.
    pub fn is_excused(&self, threshold: u64) -> bool {
        self.duration < threshold.saturating_mul(2) || self.other_stuck || self.other_was_stuck
    }
}
