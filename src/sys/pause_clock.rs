// SPDX-License-Identifier: GPL-2.0

//! The pause clock: a periodic timer interrupt that shows for how long the machine did not run
//! (`logic/pause_clock.rs` has the rule).
//!
//! C header: [`include/linux/hrtimer.h`](srctree/include/linux/hrtimer.h)

use super::clock::monotonic;
use kernel::{
    impl_has_hr_timer,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Relaxed,
            Release, //
        },
        Arc,
        ArcBorrow, //
    },
    time::{
        hrtimer::{
            ArcHrTimerHandle,
            HrTimer,
            HrTimerCallback,
            HrTimerCallbackContext,
            HrTimerPointer,
            HrTimerRestart,
            RelativeHardMode, //
        },
        Delta,
        Monotonic, //
    }, //
};

/// How often the timer interrupts, and how long a pause is that a gap between two interrupts shows.
/// [`PauseClock`] calls the functions in hard interrupt context.
#[derive(Clone, Copy)]
pub(crate) struct PauseRule {
    /// Nanoseconds from one interrupt to the next.
    pub(crate) period_ns: u64,
    /// Whether the next interrupt is overdue so many nanoseconds after the last one.
    pub(crate) overdue: fn(u64) -> bool,
    /// How many of so many nanoseconds between two interrupts are taken for a pause; 0 unless the
    /// second one was overdue.
    pub(crate) paused_ns: fn(u64) -> u64,
}

/// A periodic timer, and the pauses that its interrupts have shown: the times in which the machine
/// did not run, since its hypervisor had stopped it.
#[pin_data]
pub(crate) struct PauseClock {
    #[pin]
    timer: HrTimer<Self>,
    rule: PauseRule,
    /// [`monotonic`] time of the last interrupt, or of the start. Written after `paused_ns`.
    last: Atomic<u64>,
    /// The sum of all pauses until then, in nanoseconds.
    paused_ns: Atomic<u64>,
}

impl PauseClock {
    /// A pause clock that is stopped.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(rule: PauseRule) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                timer <- HrTimer::new(),
                rule,
                last: Atomic::new(0),
                paused_ns: Atomic::new(0),
            }),
            GFP_KERNEL,
        )
    }

    /// Starts the timer, on this CPU unless that is idle. It runs for as long as the returned guard
    /// lives; dropping the guard waits for a running interrupt to end.
    ///
    /// # Context
    ///
    /// Process context. Not while another [`PauseClockGuard`] of the same clock lives.
    pub(crate) fn start(self: Arc<Self>) -> PauseClockGuard {
        self.last.store(monotonic(), Release);
        self.start_timer()
    }

    /// As [`start`](Self::start), but what came since the last pause was accounted may be one, too.
    fn start_timer(self: Arc<Self>) -> PauseClockGuard {
        let period = self.period();
        PauseClockGuard {
            _handle: HrTimerPointer::start(self.clone(), period),
            clock: self,
        }
    }

    fn period(&self) -> Delta {
        Delta::from_nanos(i64::try_from(self.rule.period_ns).unwrap_or(i64::MAX))
    }

    /// The sum of all pauses so far, in nanoseconds.
    ///
    /// # Context
    ///
    /// Any.
    pub(crate) fn paused_ns(&self) -> u64 {
        self.paused_ns.load(Relaxed)
    }

    /// Adds the pause that ends now, if there was one. Called by the timer interrupt, or by the
    /// owner of the [`PauseClockGuard`] while the timer is stopped: never by both at the same time.
    ///
    /// # Context
    ///
    /// Hard interrupt or process context.
    fn account_pause(&self) {
        let now = monotonic();
        let paused = (self.rule.paused_ns)(now.saturating_sub(self.last.load(Relaxed)));
        if paused != 0 {
            self.paused_ns
                .store(self.paused_ns().wrapping_add(paused), Relaxed);
        }
        // A reader that sees this store sees the one to `paused_ns` as well.
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
        this.account_pause();
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
    clock: Arc<PauseClock>,
}

impl PauseClockGuard {
    /// The [`monotonic`] time, and the sum of all pauses until then; `None` when the interrupt is
    /// overdue, so that the pauses are not known: call [`restart`](Self::restart) then.
    pub(crate) fn read(&self) -> Option<(u64, u64)> {
        let last = self.clock.last.load(Acquire);
        let paused_ns = self.clock.paused_ns.load(Acquire);
        // The time is read last. If the machine was stopped at any point above, `last` is too old
        // by now, whichever of the two values the interrupt had changed when they were read.
        let now = monotonic();
        if (self.clock.rule.overdue)(now.saturating_sub(last)) {
            None
        } else {
            Some((now, paused_ns))
        }
    }

    /// Stops the timer on whichever CPU it is, accounts the pause, and starts the timer on this
    /// CPU.
    ///
    /// # Context
    ///
    /// Process context.
    pub(crate) fn restart(self) -> PauseClockGuard {
        let Self { _handle, clock } = self;
        // The interrupt writes no more once the handle is dropped.
        drop(_handle);
        clock.account_pause();
        clock.start_timer()
    }
}

#[kunit_tests(vigil_pause_clock)]
mod tests {
    use super::{
        super::testing::*,
        *, //
    };

    const PERIOD_NS: u64 = 5_000_000;

    fn pause_clock(overdue: fn(u64) -> bool, paused_ns: fn(u64) -> u64) -> Result<Arc<PauseClock>> {
        PauseClock::new(PauseRule {
            period_ns: PERIOD_NS,
            overdue,
            paused_ns,
        })
    }

    #[test]
    fn interrupts_come_until_the_guard_is_dropped() -> Result {
        let clock = pause_clock(|_| false, |_| 0)?;
        let guard = clock.clone().start();
        for _ in 0..3 {
            let seen = clock.last.load(Acquire);
            assert!(until(|| clock.last.load(Acquire) > seen));
        }
        let seen = clock.last.load(Acquire);
        let (now, paused) = guard.read().ok_or(EINVAL)?;
        assert!(now >= seen);
        assert_eq!(paused, 0);
        drop(guard);
        let last = clock.last.load(Acquire);
        sleep_ms(30);
        assert_eq!(clock.last.load(Acquire), last);
        Ok(())
    }

    /// Where every gap is a pause, the pauses add up to all the time there was.
    #[test]
    fn each_gap_counts_once() -> Result {
        let clock = pause_clock(|_| false, |gap| gap)?;
        let before = monotonic();
        let guard = clock.clone().start();
        let after = monotonic();
        sleep_ms(50);
        drop(guard);
        let start = clock.last.load(Acquire).wrapping_sub(clock.paused_ns());
        assert!(before <= start && start <= after);
        assert!(clock.paused_ns() != 0);
        Ok(())
    }

    #[test]
    fn an_overdue_timer_is_restarted() -> Result {
        let clock = pause_clock(|_| true, |gap| gap)?;
        let guard = clock.clone().start();
        assert_eq!(guard.read(), None);
        let guard = guard.restart();
        let paused = clock.paused_ns();
        assert!(paused != 0);
        // The timer runs again.
        assert!(until(|| clock.paused_ns() > paused));
        drop(guard);
        Ok(())
    }
}
