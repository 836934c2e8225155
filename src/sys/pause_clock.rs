// SPDX-License-Identifier: GPL-2.0

//! The pause clock: a periodic timer interrupt that shows for how long the machine did not run.
//!
//! C header: [`include/linux/hrtimer.h`](srctree/include/linux/hrtimer.h)

use super::clock::monotonic;
use kernel::{
    impl_has_hr_timer,
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic, Relaxed, Release},
        Arc, ArcBorrow,
    },
    time::{
        hrtimer::{
            ArcHrTimerHandle, HrTimer, HrTimerCallback, HrTimerCallbackContext, HrTimerPointer,
            HrTimerRestart, RelativeHardMode,
        },
        Delta, Monotonic,
    },
};

/// When a beat should have come, and how much of a gap was lost: what [`PauseClock`] asks in hard
/// interrupt context.
#[derive(Clone, Copy)]
pub(crate) struct PauseRule {
    /// Nanoseconds from one beat to the next.
    pub(crate) period: u64,
    /// Whether a beat that came last so many nanoseconds ago is overdue.
    pub(crate) overdue: fn(u64) -> bool,
    /// How much of a gap between two beats, in nanoseconds, is lost time; 0 unless it is overdue.
    pub(crate) lost: fn(u64) -> u64,
}

/// A timer interrupt that keeps coming, and what it saw: when it came last, and how much time was
/// lost between two of them.
#[pin_data]
pub(crate) struct PauseClock {
    #[pin]
    timer: HrTimer<Self>,
    rule: PauseRule,
    /// [`monotonic`] time of the last beat, or of the start. Written after `total`.
    last: Atomic<u64>,
    /// All that was lost until then, in nanoseconds.
    total: Atomic<u64>,
}

impl PauseClock {
    /// A beat that does not run yet.
    pub(crate) fn new(rule: PauseRule) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                timer <- HrTimer::new(),
                rule,
                last: Atomic::new(0),
                total: Atomic::new(0),
            }),
            GFP_KERNEL,
        )
    }

    /// Starts it, on this CPU if that is not idle. It runs for as long as the returned value lives;
    /// dropping that waits for a running interrupt to end.
    ///
    /// # Context
    ///
    /// Process context. Not while another [`PauseClockGuard`] of the same beat lives.
    pub(crate) fn start(self: Arc<Self>) -> PauseClockGuard {
        self.last.store(monotonic(), Release);
        let period = self.period();
        PauseClockGuard {
            _handle: HrTimerPointer::start(self.clone(), period),
            beat: self,
        }
    }

    fn period(&self) -> Delta {
        Delta::from_nanos(i64::try_from(self.rule.period).unwrap_or(i64::MAX))
    }

    /// Everything that was lost so far, in nanoseconds.
    pub(crate) fn total(&self) -> u64 {
        self.total.load(Relaxed)
    }

    /// Takes note of a beat now. Called by the timer, or by the owner of [`PauseClockGuard`] while that is
    /// stopped: never by two at a time.
    fn beat(&self) {
        let now = monotonic();
        let lost = (self.rule.lost)(now.saturating_sub(self.last.load(Relaxed)));
        if lost != 0 {
            self.total
                .store(self.total.load(Relaxed).wrapping_add(lost), Relaxed);
        }
        // Whoever sees this sees `total` as well.
        self.last.store(now, Release);
    }
}

impl HrTimerCallback for PauseClock {
    type Pointer<'a> = Arc<Self>;

    /// # Context
    ///
    /// Hard interrupt, also on a `-rt` kernel: atomics only.
    fn run(
        this: ArcBorrow<'_, Self>,
        mut timer: HrTimerCallbackContext<'_, Self>,
    ) -> HrTimerRestart {
        this.beat();
        timer.forward_now(this.period());
        HrTimerRestart::Restart
    }
}

impl_has_hr_timer! {
    impl HasHrTimer<Self> for PauseClock {
        mode: RelativeHardMode<Monotonic>, field: self.timer
    }
}

/// A running [`PauseClock`]; dropping it stops the timer.
pub(crate) struct PauseClockGuard {
    _handle: ArcHrTimerHandle<PauseClock>,
    beat: Arc<PauseClock>,
}

impl PauseClockGuard {
    /// The time, and all that was lost until then; `None` when the beat is overdue, so that it is
    /// not known: see [`PauseClockGuard::restart`].
    pub(crate) fn read(&self) -> Option<(u64, u64)> {
        let last = self.beat.last.load(Acquire);
        let total = self.beat.total.load(Acquire);
        // The clock is read last. If the machine stood still at any point above, this shows it,
        // whichever of the two values the timer had changed by then: `last` is too old.
        let now = monotonic();
        if (self.beat.rule.overdue)(now.saturating_sub(last)) {
            None
        } else {
            Some((now, total))
        }
    }

    /// Stops the timer wherever it is, takes note of what was lost, and starts it here.
    ///
    /// # Context
    ///
    /// Process context.
    pub(crate) fn restart(self) -> PauseClockGuard {
        let Self { _handle, beat } = self;
        // From here on nobody else writes.
        drop(_handle);
        beat.beat();
        beat.start()
    }
}

#[kunit_tests(vigil_pause_clock)]
mod tests {
    use super::{super::testing::*, *};

    const PERIOD: u64 = 5_000_000;

    fn beat(overdue: fn(u64) -> bool, lost: fn(u64) -> u64) -> Result<Arc<PauseClock>> {
        PauseClock::new(PauseRule {
            period: PERIOD,
            overdue,
            lost,
        })
    }

    #[test]
    fn beats_until_it_is_dropped() -> Result {
        let beat = beat(|_| false, |_| 0)?;
        let running = beat.clone().start();
        for _ in 0..3 {
            let seen = beat.last.load(Acquire);
            assert!(until(|| beat.last.load(Acquire) > seen));
        }
        let seen = beat.last.load(Acquire);
        let (now, lost) = running.read().ok_or(EINVAL)?;
        assert!(now >= seen);
        assert_eq!(lost, 0);
        drop(running);
        let last = beat.last.load(Acquire);
        pause(30);
        assert_eq!(beat.last.load(Acquire), last);
        Ok(())
    }

    /// Where every gap is lost, they add up to all the time there was.
    #[test]
    fn each_gap_counts_once() -> Result {
        let beat = beat(|_| false, |gap| gap)?;
        let before = monotonic();
        let running = beat.clone().start();
        let after = monotonic();
        pause(50);
        drop(running);
        let start = beat.last.load(Acquire).wrapping_sub(beat.total());
        assert!(before <= start && start <= after);
        assert!(beat.total() != 0);
        Ok(())
    }

    #[test]
    fn what_is_overdue_is_started_again() -> Result {
        let beat = beat(|_| true, |gap| gap)?;
        let running = beat.clone().start();
        assert_eq!(running.read(), None);
        let running = running.restart();
        let lost = beat.total();
        assert!(lost != 0);
        // It runs again.
        assert!(until(|| beat.total() > lost));
        drop(running);
        Ok(())
    }
}
