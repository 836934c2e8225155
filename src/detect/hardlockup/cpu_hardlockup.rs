// SPDX-License-Identifier: GPL-2.0

//! The hard-lockup [`State`] of each watched CPU, with what the CPUs that check it note down. Which
//! CPU reports a lockup is settled here, by one compare-and-exchange ([`CpuHardlockup::transition`]).
//! Each lies on cache lines of its own.

use super::heartbeat::CpuHeartbeat;
use crate::{
    incident,
    logic::hardlockup::{
        buddy,
        state::State, //
    },
    report::hardlockup::Evidence,
    sys::atomic::{
        Acquire,
        Atomic,
        Full,
        Relaxed,
        Release, //
    }, //
};

/// How many CPUs are in [`State::PerfHit`]: what tells a timer interrupt cheaply that there is
/// something to report.
pub(in crate::detect) struct PendingHits(Atomic<u32>);

impl PendingHits {
    /// There are none.
    pub(in crate::detect) fn new() -> Self {
        Self(Atomic::new(0))
    }

    /// Whether there are any.
    pub(in crate::detect) fn any(&self) -> bool {
        self.0.load(Relaxed) != 0
    }
}

/// What the CPUs that check a CPU know of it.
#[repr(align(64))]
pub(in crate::detect) struct CpuHardlockup {
    /// [`State::pack`].
    state: Atomic<u64>,
    /// How many NMIs it had taken when one was sent to it.
    pub(super) nmis_before: Atomic<u32>,
    /// Acknowledgements that came late, since its last timer interrupt.
    pub(super) late_acks: Atomic<u32>,
    /// The NMI that the two are about: [`State::nmi_sent_at`].
    pub(super) nmi_sent_ts: Atomic<u64>,
    /// How often its watchdog had been touched when it was checked last.
    pub(super) touches: Atomic<u32>,
    /// [`Evidence::pack`] of the last report on it.
    evidence: Atomic<u32>,
    /// When a report on it was claimed last.
    claimed_ts: Atomic<u64>,
    /// When it was found touched: its time counts from then at the earliest.
    pub(super) touch_ts: Atomic<u64>,
    /// Whether an incident of this CPU has to end when its timer interrupt comes.
    has_incident: Atomic<bool>,
}

impl CpuHardlockup {
    /// Of a CPU that is not watched.
    pub(in crate::detect) fn new() -> Self {
        Self {
            state: Atomic::new(State::Healthy.pack()),
            nmis_before: Atomic::new(0),
            late_acks: Atomic::new(0),
            nmi_sent_ts: Atomic::new(0),
            touches: Atomic::new(0),
            evidence: Atomic::new(0),
            claimed_ts: Atomic::new(0),
            touch_ts: Atomic::new(0),
            has_incident: Atomic::new(false),
        }
    }

    /// The CPU is about to be watched. `touches`: as they are now.
    pub(in crate::detect) fn reset(&self, now: u64, touches: u32) {
        self.state.store(State::Healthy.pack(), Relaxed);
        self.touch_ts.store(now, Relaxed);
        self.touches.store(touches, Release);
    }

    /// The state.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(in crate::detect) fn state(&self) -> State {
        State::unpack(self.state.load(Acquire))
    }

    /// Changes the state from `old` to `new`, unless another CPU was first, or the CPU has
    /// recovered. Returns whether it did: of all CPUs that try exactly one reports.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(in crate::detect) fn transition(
        &self,
        pending: &PendingHits,
        old: State,
        new: State,
    ) -> bool {
        // Counted before the hit can be seen: the CPU that takes it counts it off.
        if new == State::PerfHit {
            pending.0.fetch_add(1, Relaxed);
        }
        let changed = self.state.cmpxchg(old.pack(), new.pack(), Full).is_ok();
        let counted_off = if changed { old } else { new };
        if counted_off == State::PerfHit {
            pending.0.fetch_sub(1, Relaxed);
        }
        changed
    }

    /// Changes the state to [`State::Reported`], as [`CpuHardlockup::transition`], and remembers what
    /// shows the lockup.
    ///
    /// # Context
    ///
    /// Any, NMI included, with `now` from a clock that may be read there.
    pub(super) fn claim_report(
        &self,
        pending: &PendingHits,
        old: State,
        evidence: Evidence,
        now: u64,
    ) -> bool {
        let claimed = self.claim(pending, old, State::Reported, now);
        // By the CPU that reports alone. One that asks the policy again does not do so at this moment.
        if claimed {
            self.evidence.store(evidence.pack(), Relaxed);
        }
        claimed
    }

    /// Changes the state to [`State::Unresponsive`], as [`CpuHardlockup::transition`].
    ///
    /// # Context
    ///
    /// Any, NMI included, with `now` from a clock that may be read there.
    pub(super) fn claim_unresponsive(&self, pending: &PendingHits, old: State, now: u64) -> bool {
        self.claim(pending, old, State::Unresponsive, now)
    }

    fn claim(&self, pending: &PendingHits, old: State, new: State, now: u64) -> bool {
        // Before the state can be seen: the CPU that claims it asks the panic policy first. Where another
        // one was faster this moves the moment from which the policy is asked again, which is sooner only
        // if this CPU was stopped between reading the clock and here.
        self.claimed_ts.store(now, Relaxed);
        self.transition(pending, old, new)
    }

    /// Whether the panic policy may be asked again about this CPU, whose state says that it was reported.
    ///
    /// # Context
    ///
    /// Any, NMI included, with `now` from a clock that may be read there.
    pub(super) fn may_ask_again(&self, now: u64) -> bool {
        buddy::may_ask_again(now, self.claimed_ts.load(Relaxed))
    }

    /// An incident of this CPU has been recorded. Its next timer interrupt ends it, also one that has
    /// come between the claim of the report and here: that is then ended by the one after it. If there
    /// is none any more, since the CPU is not watched by now, it is over.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(super) fn recorded(&self, cpu: u32, heartbeat: &CpuHeartbeat) {
        // Full ordering, as where the CPU says that it is not watched any more: either that sees the
        // incident, or it is seen here.
        self.has_incident.xchg(true, Full);
        if !heartbeat.active.load(Acquire) {
            self.end_incident(cpu);
        }
    }

    /// Ends the incidents of this CPU, if there are any: it takes timer interrupts.
    ///
    /// # Context
    ///
    /// As [`CpuHardlockup::recover`].
    pub(in crate::detect) fn end_incident(&self, cpu: u32) {
        // A plain store could overwrite, unseen, what `recorded()` stores in between: that incident
        // would stay on.
        if self.has_incident.load(Relaxed)
            && self.has_incident.xchg(false, Full)
            && !incident::table::hardlockup_ended(cpu)
        {
            // The next timer interrupt finds the place that was written all the time.
            self.has_incident.store(true, Release);
        }
    }

    /// What showed the last lockup that was reported.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(super) fn evidence(&self) -> Evidence {
        Evidence::unpack(self.evidence.load(Relaxed))
    }

    /// Has the CPU checked from the start ([`State::start_over`]), with a whole threshold from `now` to
    /// recover in.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(super) fn give_time(&self, pending: &PendingHits, old: State, now: u64) {
        self.touch_ts.store(now, Relaxed);
        self.transition(pending, old, old.start_over());
    }

    /// The CPU takes its timer interrupt, or is not watched any more. Returns the state before.
    ///
    /// # Context
    ///
    /// The CPU itself: its timer interrupt, or process context once the timer has stopped.
    pub(in crate::detect) fn recover(&self, pending: &PendingHits) -> State {
        let old = State::unpack(self.state.xchg(State::Healthy.pack(), Full));
        if old == State::PerfHit {
            pending.0.fetch_sub(1, Relaxed);
        }
        old
    }
}
