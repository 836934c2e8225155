// SPDX-License-Identifier: GPL-2.0

//! Pauses, as the timer interrupt of one CPU sees them: how much of the time since the interrupt
//! before the CPU did not run, because its virtual machine or its virtual CPU was stopped.
//!
//! A timer that comes late ([`overrun`]) is either a pause or a CPU that had interrupts off. It
//! counts as a pause if there is evidence for one ([`PauseEvidence`]). The time stamps of soft lockups
//! are moved by a pause ([`SoftlockupState::update`](super::softlockup::SoftlockupState::update)), and
//! heartbeats count from its end (`detect/hardlockup/buddy.rs`).

use super::{
    sample_period::MIN_REARM_NS,
    NSEC_PER_SEC, //
};

/// How late a timer interrupt may come, in nanoseconds, before the rest is an overrun: a second,
/// with a short sample period half of that. `period`: the sample period in nanoseconds.
pub fn grace(period: u64) -> u64 {
    (period / 2).min(NSEC_PER_SEC)
}

/// By how many nanoseconds the timer interrupt came late; 0 within the [`grace`]. `expires`: when
/// it was to come.
pub fn overrun(now: u64, expires: u64, period: u64) -> u64 {
    let overrun = now.saturating_sub(expires);
    if overrun > grace(period) {
        overrun
    } else {
        0
    }
}

/// When a CPU took timer interrupts on time, as far as other CPUs have to know.
///
/// Besides the last one two are kept that are at least a [`grace`] apart, however often the timer
/// expires. So one of the three is older than a grace that ends now, and not much older
/// ([`OnTimeHistory::covers`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OnTimeHistory {
    /// The last one.
    pub latest: u64,
    /// One that is less than a grace older than the last, or the last.
    pub mark: u64,
    /// The value of `mark` before the present one.
    pub previous_mark: u64,
}

impl OnTimeHistory {
    /// The history after one more interrupt on time.
    pub fn record(self, now: u64, grace: u64) -> Self {
        let apart = now.saturating_sub(self.mark) >= grace;
        Self {
            latest: now,
            mark: if apart { now } else { self.mark },
            previous_mark: if apart { self.mark } else { self.previous_mark },
        }
    }

    /// Whether the CPU is known to have taken an interrupt on time from `from` until before `to`.
    pub fn any_within(&self, from: u64, to: u64) -> bool {
        [self.latest, self.mark, self.previous_mark]
            .iter()
            .any(|at| (from..to).contains(at))
    }

    /// Whether the history of a CPU that runs is certain to have an entry from `from` until before
    /// `to`, which is a [`grace`] ago: the CPU takes an interrupt each sample period, or [`MIN_REARM_NS`]
    /// later, a grace late at most, and the oldest entry is a grace older yet.
    pub fn covers(from: u64, to: u64, period: u64) -> bool {
        let apart = period.saturating_add(MIN_REARM_NS);
        to.saturating_sub(from) > apart.saturating_add(grace(period).saturating_mul(2))
    }
}

/// Whether kvmclock's guest-paused flag was set since the interrupt before. `before` and `set`: the
/// flag then and now.
///
/// vigil only reads the flag: mainline's soft-lockup detector, RCU's stall detector and the
/// workqueue watchdog clear it (`kvm_check_and_clear_guest_paused()`). So only the edge is news. A
/// second pause that comes before the flag was cleared shows by the overrun alone. When mainline's
/// detector clears the flag, it touches its own watchdog, which counts as
/// [`Sample::touched`](super::softlockup::Sample::touched): here, if it comes first, or in the next
/// interrupt, which gives the CPU the threshold once more.
pub fn guest_paused_edge(before: bool, set: bool) -> bool {
    set && !before
}

/// What is known of the time since the interrupt before, to tell a CPU that was stopped from one
/// that had its interrupts off.
#[derive(Clone, Copy, Debug)]
pub struct PauseEvidence {
    /// By how much the timer came late ([`overrun`]).
    pub overrun: u64,
    /// The hypervisor says that it stopped the CPU ([`guest_paused_edge`]).
    pub guest_paused: bool,
    /// Another CPU sent this one an NMI that it did not acknowledge in time.
    pub nmi_unacked: bool,
    /// No other CPU took a timer interrupt on time, over a stretch for which
    /// [`OnTimeHistory::covers`] holds.
    pub no_cpu_on_time: bool,
}

impl PauseEvidence {
    /// For how many nanoseconds the CPU was stopped: the whole overrun, or 0.
    pub fn paused_ns(&self) -> u64 {
        if self.guest_paused || self.nmi_unacked || self.no_cpu_on_time {
            self.overrun
        } else {
            0
        }
    }
}
