// SPDX-License-Identifier: GPL-2.0

//! Hard lockups noticed by the CPU itself: the NMI of a counter of its cycles. The rules are in
//! [`crate::logic::hardlockup::perf`].
//!
//! The NMI handler checks and does little else: what it finds waits for the timer interrupt of
//! another CPU, which reports it as if it had found it itself
//! ([`report_pending_hits`](super::report::report_pending_hits)). The NMI handler reports where that
//! would be too late or in vain: on the way to a panic, when no other CPU takes timer interrupts, and
//! when the hit has not been reported by the next NMI.
//!
//! Which CPU reports is settled by the [`State`] of the stuck CPU, so that one lockup makes one
//! report whether perf or buddy was first.

use super::{
    super::lockup_ctx::LockupCtx,
    report::{
        ask_policy_again_in_nmi,
        report_in_nmi, //
    }, //
};
use crate::{
    logic::{
        hardlockup::{
            perf::{
                self,
                Overflow,
                OverflowFilter, //
            },
            state::State, //
        },
        panic::Cause, //
    },
    sys::{
        atomic::{
            Acquire,
            Atomic,
            Relaxed, //
        },
        clock::monotonic_in_nmi,
        context::NmiCtx,
        cpufreq::khz,
        nmi,
        panic as kernel_panic,
        perf_event::{
            OverflowHandler,
            ARCH, //
        }, //
    }, //
};
use kernel::sync::Arc;

/// NMIs of one CPU's counter since load.
#[derive(Clone, Copy, Default)]
pub(crate) struct NmiCounts {
    /// All of them.
    pub(crate) total: u32,
    /// Those that came too early to mean anything.
    pub(crate) early: u32,
}

/// The NMI watchdog of one CPU: what its NMI handler remembers.
pub(in crate::detect) struct NmiWatchdog {
    ctx: Arc<LockupCtx>,
    cpu: u32,
    /// [`OverflowFilter`]. Written by the NMI handler, and while there is no counter.
    last_ts: Atomic<u64>,
    early: Atomic<u32>,
    hrtimer_ts: Atomic<u64>,
    /// How often the watchdog had been touched.
    touches: Atomic<u32>,
    /// Whether the last overflow that counted found the CPU stuck.
    stuck: Atomic<bool>,
    /// NMIs so far, and those of them that came too early.
    nmis: Atomic<u32>,
    early_nmis: Atomic<u32>,
    /// Cycles from one overflow to the next.
    period: Atomic<u64>,
}

impl NmiWatchdog {
    /// For one CPU.
    pub(in crate::detect) fn new(ctx: Arc<LockupCtx>, cpu: u32) -> Self {
        Self {
            ctx,
            cpu,
            last_ts: Atomic::new(0),
            early: Atomic::new(0),
            hrtimer_ts: Atomic::new(0),
            touches: Atomic::new(0),
            stuck: Atomic::new(false),
            nmis: Atomic::new(0),
            early_nmis: Atomic::new(0),
            period: Atomic::new(0),
        }
    }

    /// NMIs so far.
    pub(in crate::detect) fn counts(&self) -> NmiCounts {
        NmiCounts {
            total: self.nmis.load(Relaxed),
            early: self.early_nmis.load(Relaxed),
        }
    }

    /// Cycles from one overflow to the next by the present frequency.
    fn current_period(&self) -> Option<u64> {
        perf::period(ARCH, khz(self.cpu), self.ctx.thresh())
    }

    /// Whether the frequency is another one than at [`NmiWatchdog::reset`].
    ///
    /// # Context
    ///
    /// Process context, may sleep.
    pub(in crate::detect) fn is_outdated(&self) -> bool {
        self.current_period()
            .is_some_and(|now| now != self.period.load(Relaxed))
    }

    /// Prepares for the first NMI. Returns after how many cycles that is to come; `None` if the
    /// frequency is not known.
    ///
    /// # Context
    ///
    /// Process context on the CPU, whose timer has been started; while there is no counter.
    pub(in crate::detect) fn reset(&self) -> Option<u64> {
        let period = self.current_period()?;
        self.period.store(period, Relaxed);
        let hrtimer_ts = self.ctx.heartbeat(self.cpu)?.hrtimer_ts.load(Acquire);
        self.save(OverflowFilter::new(monotonic_in_nmi(), hrtimer_ts));
        self.stuck.store(false, Relaxed);
        self.touches
            .store(self.ctx.touches.hardlockup(self.cpu), Relaxed);
        Some(period)
    }

    /// The CPU has got no counter: it is checked by another CPU.
    ///
    /// # Context
    ///
    /// Any.
    pub(in crate::detect) fn fall_back_to_buddy(&self) {
        self.ctx.backends.fall_back_to_buddy();
    }

    fn save(&self, filter: OverflowFilter) {
        self.last_ts.store(filter.last_ts, Relaxed);
        self.early.store(filter.early, Relaxed);
        self.hrtimer_ts.store(filter.hrtimer_ts, Relaxed);
    }

    fn check(&self, now: u64, hrtimer_ts: u64) -> Overflow {
        let mut filter = OverflowFilter {
            last_ts: self.last_ts.load(Relaxed),
            early: self.early.load(Relaxed),
            hrtimer_ts: self.hrtimer_ts.load(Relaxed),
        };
        let touches = self.ctx.touches.hardlockup(self.cpu);
        let touched = touches != self.touches.load(Relaxed);
        let min_interval = perf::min_interval(self.ctx.thresh());
        let overflow = filter.check(now, hrtimer_ts, touched, min_interval);
        self.save(filter);
        if overflow != Overflow::TooEarly {
            self.touches.store(touches, Relaxed);
        }
        overflow
    }

    /// This CPU is stuck: leaves the hit to another CPU, or reports.
    fn hit(&self, now: u64, nmi: &NmiCtx<'_>) {
        let ctx = &self.ctx;
        let Some(cpu_hardlockup) = ctx.cpu_hardlockup(self.cpu) else {
            return;
        };
        let state = cpu_hardlockup.state();
        if state == State::Reported {
            ask_policy_again_in_nmi(ctx, self.cpu, now, nmi);
            return;
        }
        let unreported = state == State::PerfHit;
        let wanted = ctx.panic.is_wanted(Cause::HardLockup, 1);
        // The hit has not been reported for a threshold. If only because another lockup is being
        // reported, there is time.
        if unreported && !wanted && ctx.hardlockup_lock.is_held(now) {
            return;
        }
        if unreported || wanted || ctx.no_other_cpu_alive(self.cpu, now) {
            report_in_nmi(ctx, self.cpu, state, now, nmi);
            return;
        }
        nmi::take_snapshot(nmi);
        // Nothing is to be done if another CPU was faster: it reports.
        cpu_hardlockup.transition(&ctx.pending_hits, state, State::PerfHit);
    }
}

impl OverflowHandler for NmiWatchdog {
    /// `watchdog_overflow_callback()`.
    fn overflow(&self, nmi: &NmiCtx<'_>) {
        let ctx = &self.ctx;
        self.nmis.fetch_add(1, Relaxed);
        if kernel_panic::in_progress() {
            return;
        }
        let Some(heartbeat) = ctx.heartbeat(self.cpu) else {
            return;
        };
        let now = monotonic_in_nmi();
        match self.check(now, heartbeat.hrtimer_ts.load(Acquire)) {
            Overflow::Healthy => {
                self.stuck.store(false, Relaxed);
                return;
            }
            Overflow::TooEarly => {
                self.early_nmis.fetch_add(1, Relaxed);
                return;
            }
            Overflow::Stuck => (),
        }
        // A CPU that gives a report, about to panic or not, takes what that takes.
        if !ctx.panic.is_initiator(self.cpu) && !ctx.is_reporting(self.cpu, now) {
            self.hit(now, nmi);
        }
        // A panic that was requested, and does not come because the initiator is stuck as well, or
        // is this CPU, stuck in its report. Not at once: all CPUs may have been stopped for a while.
        if self.stuck.xchg(true, Relaxed) {
            ctx.panic.poll_in_nmi(now, nmi);
        }
    }

    fn no_nmi(&self) {
        self.fall_back_to_buddy();
    }
}
