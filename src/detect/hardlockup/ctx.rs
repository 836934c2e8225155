// SPDX-License-Identifier: GPL-2.0

//! What CPUs write for other CPUs to read: the heartbeat of each watched CPU, and its hard-lockup
//! state. Each lies on cache lines of its own.

use crate::logic::{
    hardlockup::state::State,
    pause::{
        self,
        OnTimeHistory, //
    }, //
};
use crate::sys::clock::monotonic;
use kernel::sync::atomic::{
    Acquire,
    Atomic,
    Full,
    Relaxed,
    Release, //
};

/// What a CPU writes about itself, for the CPUs that check it. All times in nanoseconds on the
/// monotonic clock.
#[repr(align(64))]
pub(in crate::detect) struct CpuHeartbeat {
    /// When its timer interrupt came last.
    pub(in crate::detect) hrtimer_ts: Atomic<u64>,
    /// When its timer interrupt came on time: [`OnTimeHistory`].
    on_time: [Atomic<u64>; 3],
    /// Whether it is watched.
    pub(in crate::detect) active: Atomic<bool>,
    /// Since when it gives a report, on itself or on another CPU; 0: it does not.
    report_since: Atomic<u64>,
}

impl CpuHeartbeat {
    /// Of a CPU that is not watched.
    pub(in crate::detect) fn new() -> Self {
        Self {
            hrtimer_ts: Atomic::new(0),
            on_time: core::array::from_fn(|_| Atomic::new(0)),
            active: Atomic::new(false),
            report_since: Atomic::new(0),
        }
    }

    /// The CPU is about to be watched.
    pub(in crate::detect) fn reset(&self, now: u64) {
        self.hrtimer_ts.store(now, Relaxed);
        self.report_since.store(0, Relaxed);
    }

    /// When the CPU took timer interrupts on time.
    pub(in crate::detect) fn on_time(&self) -> OnTimeHistory {
        let [latest, mark, previous_mark] = &self.on_time;
        OnTimeHistory {
            latest: latest.load(Acquire),
            mark: mark.load(Acquire),
            previous_mark: previous_mark.load(Acquire),
        }
    }

    /// Records a timer interrupt on time. Called by that CPU alone. The oldest entry is stored
    /// first: a CPU that reads in between finds one time twice, and what it misses then is older
    /// than an entry that is a grace old itself.
    pub(in crate::detect) fn record_on_time(&self, now: u64, period: u64) {
        let new = self.on_time().record(now, pause::grace(period));
        let [latest, mark, previous_mark] = &self.on_time;
        previous_mark.store(new.previous_mark, Release);
        mark.store(new.mark, Release);
        latest.store(new.latest, Release);
    }

    /// Whether the CPU has been giving a report for less than `limit_ns`.
    ///
    /// # Context
    ///
    /// Any, NMI included, with `now` from a clock that may be read there.
    pub(in crate::detect) fn is_reporting(&self, now: u64, limit_ns: u64) -> bool {
        let since = self.report_since.load(Acquire);
        since != 0 && now.saturating_sub(since) < limit_ns
    }
}

/// The CPU gives a report, in its timer interrupt, for as long as this value lives. That may take
/// long (a CPU that does not run is waited for ten seconds if it is to print its stack), and is no
/// lockup.
pub(in crate::detect) struct Reporting<'a>(&'a CpuHeartbeat);

impl<'a> Reporting<'a> {
    /// Begins. `heartbeat` is that of the calling CPU.
    ///
    /// # Context
    ///
    /// The timer interrupt.
    pub(in crate::detect) fn begin(heartbeat: &'a CpuHeartbeat) -> Self {
        heartbeat.report_since.store(monotonic().max(1), Release);
        Self(heartbeat)
    }
}

impl Drop for Reporting<'_> {
    fn drop(&mut self) {
        self.0.hrtimer_ts.store(monotonic(), Release);
        self.0.report_since.store(0, Release);
    }
}

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
pub(in crate::detect) struct BuddyState {
    /// [`State::pack`].
    state: Atomic<u64>,
    /// How many NMIs it had taken when one was sent to it.
    pub(super) nmis_before: Atomic<u32>,
    /// Acknowledgements that came late, since its last timer interrupt.
    pub(super) late_acks: Atomic<u32>,
    /// The NMI that the two are about: the time in [`State::NmiSent`].
    pub(super) nmi_sent_ts: Atomic<u64>,
    /// How often its watchdog had been touched when it was checked last.
    pub(super) touches: Atomic<u32>,
    /// When it was found touched: its time counts from then at the earliest.
    pub(super) touch_ts: Atomic<u64>,
}

impl BuddyState {
    /// Of a CPU that is not watched.
    pub(in crate::detect) fn new() -> Self {
        Self {
            state: Atomic::new(State::Healthy.pack()),
            nmis_before: Atomic::new(0),
            late_acks: Atomic::new(0),
            nmi_sent_ts: Atomic::new(0),
            touches: Atomic::new(0),
            touch_ts: Atomic::new(0),
        }
    }

    /// The CPU is about to be watched.
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
