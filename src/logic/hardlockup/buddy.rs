// SPDX-License-Identifier: GPL-2.0

//! Hard lockups noticed by another CPU: mainline's `kernel/watchdog_buddy.c`, confirmed by NMI.
//!
//! Each watched CPU stores the time of its last timer interrupt. The CPU before it in the mask, its
//! buddy, checks that time stamp at each of its own interrupts. The states and what leads from one
//! to another are in [`state`](super::state).
//!
//! The NMI is the evidence. A CPU that spins with interrupts off acknowledges at once; a virtual CPU
//! that its host does not run acknowledges nothing, and has no lockup. On a machine without a
//! hypervisor nothing but an NMI handler or the firmware can keep a CPU from acknowledging, and that
//! is a hard lockup too. An acknowledgement that comes
//! late only says that the host has let the CPU run since: the NMI is sent again. A CPU that has run
//! so three times, and has taken its timer interrupt at none of them though that is pending, is
//! stuck on a slow host ([`MAX_LATE_ACKS`]). And a virtual CPU that its host lets go on just when
//! the NMI is sent takes its timer interrupt right after its acknowledgement: so the time stamp is
//! checked once more for a moment ([`RECHECK_NS`]).
//!
//! When to send the NMI: mainline's buddy has to miss three checks of a sample period each, so that
//! it reports 2 to 4 sample periods after the CPU got stuck, 8 to 16 s with the default threshold of
//! 10 s. Here the clock decides: [`threshold`] after the last interrupt, which came up to one period
//! before the CPU got stuck; so 2 to 3 sample periods, 8 to 12 s. The buddy sets its timer to just
//! that moment instead of noticing at its next sample.

use super::{
    super::{
        sample_period::sample_period,
        NSEC_PER_SEC, //
    },
    state::State, //
};

/// How long after the last timer interrupt of a CPU an NMI is sent to it, in nanoseconds: 3 sample
/// periods, which is 6/5 of the threshold.
pub fn threshold(thresh_secs: u64) -> u64 {
    sample_period(thresh_secs).saturating_mul(3)
}

/// How long a CPU has to acknowledge an NMI, in nanoseconds. A CPU takes microseconds; what takes
/// longer is the host, which may have stopped the virtual CPU for a moment.
pub const NMI_ACK_TIMEOUT_NS: u64 = 2 * NSEC_PER_SEC;

/// After how many nanoseconds an acknowledgement that did not come at once is looked for again.
pub const NMI_POLL_NS: u64 = NSEC_PER_SEC / 10;

/// For how many nanoseconds the time stamp is checked again after an acknowledgement, before a
/// lockup is reported.
pub const RECHECK_NS: u64 = 5_000_000;

/// How many acknowledgements may come late; the next one counts like one that comes at once.
pub const MAX_LATE_ACKS: u32 = 2;

/// How long after a report was claimed the panic policy is not asked again, in nanoseconds. Whoever
/// claims it asks first, and gives the report before a panic: another CPU that asked in the moments
/// between would panic without the report.
pub const ASK_AGAIN_NS: u64 = NSEC_PER_SEC;

/// Whether the panic policy may be asked again `now` about a CPU on which a report was claimed at
/// `claimed_ts`, which may be later if another CPU claimed it.
pub fn may_ask_again(now: u64, claimed_ts: u64) -> bool {
    now.saturating_sub(claimed_ts) >= ASK_AGAIN_NS
}

/// What one CPU sees of another that it checks. Times in nanoseconds on the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct Observation {
    /// Now.
    pub now: u64,
    /// The last timer interrupt of the checked CPU, or since when it is watched.
    pub hrtimer_ts: u64,
    /// When its watchdog was last touched, or the last pause of the checking CPU ended: its time
    /// counts from then at the earliest.
    pub counts_from: u64,
    /// Whether it has taken an NMI since one was sent to it.
    pub nmi_acked: bool,
    /// Whether the checking CPU has just sent the NMI and spins for the acknowledgement.
    pub spinning: bool,
    /// Late acknowledgements before this one, since its last timer interrupt.
    pub late_acks: u32,
    /// Whether an NMI can be sent to it at all.
    pub can_send_nmi: bool,
    /// Whether there is a hypervisor, which may not run the CPU.
    pub has_hypervisor: bool,
}

impl Observation {
    /// Since when it has taken no timer interrupt, as far as that counts.
    fn since(&self) -> u64 {
        self.hrtimer_ts.max(self.counts_from)
    }

    /// The state, but for an NMI that was sent before the watchdog was touched: that is void.
    fn valid(&self, state: State) -> State {
        match state.nmi_sent_at() {
            Some(at) if at < self.since() => State::Healthy,
            _ => state,
        }
    }

    /// How many acknowledgements have come late if an NMI is sent now.
    pub fn late_acks_so_far(&self, state: State) -> u32 {
        match self.valid(state) {
            State::NmiSent(_) | State::NmiSentAgain(_) | State::Unresponsive if self.nmi_acked => {
                self.late_acks.saturating_add(1)
            }
            _ => 0,
        }
    }
}

/// What the checking CPU is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The CPU takes timer interrupts: it checks the CPUs behind it.
    Healthy,
    /// Check again at this time at the latest, and check the CPU behind it too.
    CheckAt(u64),
    /// Send it an NMI.
    SendNmi,
    /// Report a hard lockup: it runs with interrupts off.
    ReportHardlockup,
    /// Report that it does not run.
    ReportUnresponsive,
    /// Report a hard lockup: it answers no NMI, and there is nothing that could have stopped it. It is
    /// stuck in an NMI handler or in firmware.
    ReportNoAnswer,
    /// Report a hard lockup that no NMI can confirm: it is stuck, or does not run.
    ReportUnconfirmed,
    /// Nothing more: check the CPU behind it.
    AlreadyReported,
}

/// Half a sample period of grace for interrupts that come late.
fn grace(period: u64) -> u64 {
    period.saturating_add(period / 2)
}

/// Whether a CPU takes timer interrupts, of which the last was at `hrtimer_ts`: [`check`] says
/// [`Action::Healthy`], whatever else is seen.
pub fn is_healthy(now: u64, hrtimer_ts: u64, period: u64) -> bool {
    now.saturating_sub(hrtimer_ts) <= grace(period)
}

/// Checks another CPU. `period` (the sample period) and `threshold` in nanoseconds.
pub fn check(state: State, seen: &Observation, period: u64, threshold: u64) -> Action {
    if is_healthy(seen.now, seen.hrtimer_ts, period) {
        return Action::Healthy;
    }
    let grace = grace(period);
    // It checks no other CPU meanwhile, touched or not: the CPUs behind it must not wait for that.
    let since = seen.since();
    let age = seen.now.saturating_sub(since);
    match seen.valid(state) {
        State::Reported | State::PerfHit => Action::AlreadyReported,
        State::Unresponsive if seen.nmi_acked && age > grace && seen.late_acks >= MAX_LATE_ACKS => {
            Action::ReportHardlockup
        }
        State::Unresponsive if seen.nmi_acked && age > grace => Action::SendNmi,
        State::Unresponsive => Action::AlreadyReported,
        State::NmiSent(_) | State::NmiSentAgain(_)
            if seen.nmi_acked && (seen.spinning || seen.late_acks >= MAX_LATE_ACKS) =>
        {
            Action::ReportHardlockup
        }
        State::NmiSent(_) | State::NmiSentAgain(_) if seen.nmi_acked => Action::SendNmi,
        // The checking CPU may have been stopped itself.
        State::NmiSent(_) | State::NmiSentAgain(_) if seen.spinning => {
            Action::CheckAt(seen.now.saturating_add(NMI_POLL_NS))
        }
        State::NmiSent(at) | State::NmiSentAgain(at)
            if seen.now.saturating_sub(at) >= NMI_ACK_TIMEOUT_NS =>
        {
            if seen.has_hypervisor {
                Action::ReportUnresponsive
            } else {
                Action::ReportNoAnswer
            }
        }
        State::NmiSent(at) | State::NmiSentAgain(at) => Action::CheckAt(
            at.saturating_add(NMI_ACK_TIMEOUT_NS)
                .min(seen.now.saturating_add(NMI_POLL_NS)),
        ),
        State::Healthy if age < threshold => Action::CheckAt(since.saturating_add(threshold)),
        State::Healthy if seen.can_send_nmi => Action::SendNmi,
        State::Healthy => Action::ReportUnconfirmed,
    }
}
