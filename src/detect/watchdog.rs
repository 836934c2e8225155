// SPDX-License-Identifier: GPL-2.0

//! The watchdog of each CPU: what its timer interrupt does, and what is started and stopped when the
//! CPU comes and goes.
//!
//! At each interrupt a CPU (`watchdog_timer_fn()`)
//!
//! 1. renews its heartbeat, which its buddy checks, and says that it recovered if it was reported;
//! 2. finds out for how long it was stopped ([`crate::logic::pause`]);
//! 3. queues its stop work, and checks how long ago that last ran ([`super::softlockup`]);
//! 4. reports what the perf NMIs of other CPUs have found, and checks the next CPU
//!    ([`super::hardlockup::buddy`]);
//! 5. goes on with a panic that is requested ([`crate::panic`]), which it has done before the checks
//!    too;
//! 6. sets the timer to the next sample, which is taken in the interrupt of the in-tree detector's timer where
//!    that has the same sample period ([`next_sample`]), or to when one of the checks is due.
//!
//! No lock is taken in the interrupt. What a CPU writes for others lies on cache lines of its own.
//!
//! Everything is enabled and disabled by CPU hotplug callbacks on the CPU itself. The order on each
//! CPU is mainline's (`watchdog_enable()`, `watchdog_disable()`), and so is its reason: the timer
//! runs before other CPUs check the heartbeat, and they stop checking before it stops.

use super::{
    hardlockup::{
        buddy,
        perf::NmiWatchdog,
        report, //
    },
    lockup_ctx::{
        self,
        LockupCtx, //
    },
    softlockup::{
        CpuSoftlockup,
        TimerSample, //
    }, //
};
use crate::{
    incident,
    logic::{
        hardlockup::state::State,
        panic::Initiator,
        pause::{
            self,
            OnTimeHistory,
            PauseEvidence, //
        },
        sample_period::{
            next_sample,
            MIN_REARM_NS, //
        }, //
    },
    report::hardlockup::print_recovered,
    sys::{
        atomic::{
            Atomic,
            Full,
            Relaxed,
            Release, //
        },
        clock::{
            monotonic,
            Stopwatch, //
        },
        context::HardirqCtx,
        cpu,
        cpuhp,
        panic as kernel_panic,
        perf_event::PerfEvents,
        watchdog_timer::{
            TimerCallback,
            WatchdogTimer,
            WatchdogTimers, //
        }, //
    }, //
};
use kernel::{
    prelude::*,
    static_assert,
    sync::Arc, //
};

/// What the timer interrupt of one CPU works on.
struct CpuWatchdog {
    ctx: Arc<LockupCtx>,
    cpu: u32,
    /// When the timer was to expire.
    expires: Atomic<u64>,
    /// When the last pause ended: heartbeats count from then at the earliest.
    pause_end: Atomic<u64>,
    /// kvmclock's guest-paused flag at the last interrupt.
    guest_paused: Atomic<bool>,
    softlockup: CpuSoftlockup,
}

/// The timers and the counters of all CPUs.
pub(super) struct Watchdogs {
    ctx: Arc<LockupCtx>,
    timers: WatchdogTimers<CpuWatchdog>,
    pub(super) counters: PerfEvents<NmiWatchdog>,
    /// Set while all watchdogs are disabled only to be enabled again as they were.
    pub(super) is_reprogramming: Atomic<bool>,
}

/// Memory for each possible CPU, in bytes, besides the per-CPU variables of the C part.
pub(crate) const BYTES_PER_CPU: usize = lockup_ctx::BYTES_PER_CPU
    + WatchdogTimers::<CpuWatchdog>::BYTES_PER_CPU
    + PerfEvents::<NmiWatchdog>::BYTES_PER_CPU;
static_assert!(BYTES_PER_CPU <= 768, "well under a kilobyte for each CPU");

impl Watchdogs {
    /// Stopped timers, and no counters yet.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    ///
    /// # Context
    ///
    /// Process context, may sleep.
    #[inline(never)] // Its stack frame is big enough by itself.
    pub(super) fn new(ctx: Arc<LockupCtx>) -> Result<Self> {
        let timers = WatchdogTimers::new(|cpu| CpuWatchdog::new(ctx.clone(), cpu))?;
        let counters = PerfEvents::new(|cpu| NmiWatchdog::new(ctx.clone(), cpu))?;
        Ok(Self {
            ctx,
            timers,
            counters,
            is_reprogramming: Atomic::new(false),
        })
    }
}

impl CpuWatchdog {
    fn new(ctx: Arc<LockupCtx>, cpu: u32) -> Self {
        Self {
            ctx,
            cpu,
            expires: Atomic::new(0),
            pause_end: Atomic::new(0),
            guest_paused: Atomic::new(false),
            softlockup: CpuSoftlockup::new(),
        }
    }

    /// The CPU is about to be watched.
    fn reset(&self, now: u64) {
        self.softlockup.reset(&self.ctx, self.cpu, now);
        self.guest_paused
            .store(cpu::guest_paused(self.cpu) == Some(true), Relaxed);
    }

    /// For how many nanoseconds of the time since the interrupt before this CPU did not run: the
    /// whole overrun of the timer, if there is evidence for a pause. `state`: its hard-lockup state
    /// until now. `overrun`: by how much the timer came late.
    fn paused_ns(&self, now: u64, overrun: u64, state: State, guest_paused: bool) -> u64 {
        if overrun == 0 {
            return 0;
        }
        let expires = self.expires.load(Relaxed);
        let period = self.ctx.sample_period();
        let grace = pause::grace(period);
        let from = expires.saturating_add(grace);
        let to = now.saturating_sub(grace);
        let evidence = PauseEvidence {
            overrun,
            guest_paused,
            nmi_unacked: state.nmi_unacked(),
            no_cpu_on_time: OnTimeHistory::covers(from, to, period)
                && !self.ctx.other_cpu_on_time(self.cpu, from, to),
        };
        evidence.paused_ns()
    }

    /// Says what became of the state in which this CPU was until its timer interrupt came `now`.
    /// `before`: its timer interrupt before.
    fn print_recovery(&self, state: State, now: u64, before: u64) {
        let age = || now.saturating_sub(before);
        match state {
            // Its perf NMI has found it stuck, and no report was given.
            State::PerfHit => report::report_over(&self.ctx, self.cpu, age()),
            State::Reported | State::Unresponsive | State::NmiSentAgain(_) => {
                self.ctx.forget_stack(self.cpu);
                print_recovered(self.cpu, age());
            }
            State::Healthy | State::NmiSent(_) => (),
        }
    }
}

impl TimerCallback for CpuWatchdog {
    fn timer_fn(&self, timer: &WatchdogTimer<Self>, irq: &HardirqCtx<'_>) -> Option<u64> {
        let ctx = &self.ctx;
        let heartbeat = ctx.heartbeat(self.cpu)?;
        let cpu_hardlockup = ctx.cpu_hardlockup(self.cpu)?;
        let now = monotonic();
        let took = Stopwatch::start();
        let period = ctx.sample_period();
        let in_tree = ctx.in_tree_timer_expires(irq);
        let sample_at = next_sample(now, period, in_tree);
        let mut next = sample_at;
        if kernel_panic::in_progress() {
            // Nothing more is said; but the heartbeat goes on, in case that the panic is given up
            // (`crash_kexec()` without a crash kernel).
            heartbeat.hrtimer_ts.store(now, Release);
            self.expires.store(next, Relaxed);
            return Some(next);
        }
        let before = heartbeat.hrtimer_ts.load(Relaxed);
        // Seen before the state is taken back, which `recover()` does with full ordering.
        heartbeat.hrtimer_ts.store(now, Release);
        let reports = ctx.in_tree_softlockup.reports();
        let in_tree_reported = heartbeat.in_tree_softlockups.load(Relaxed) != reports;
        heartbeat.in_tree_softlockups.store(reports, Relaxed);
        let state = cpu_hardlockup.recover(&ctx.pending_hits);

        // At once: other CPUs remember a few times only, and lines may take seconds.
        let flag = cpu::guest_paused_here(irq);
        let guest_paused = pause::guest_paused_edge(self.guest_paused.load(Relaxed), flag);
        self.guest_paused.store(flag, Relaxed);
        let overrun = pause::overrun(now, self.expires.load(Relaxed), period);
        let paused = self.paused_ns(now, overrun, state, guest_paused);
        self.print_recovery(state, now, before);
        cpu_hardlockup.end_incident(self.cpu);

        if overrun == 0 {
            heartbeat.record_on_time(now, period);
        }
        if paused != 0 || guest_paused {
            // The heartbeats of all CPUs are as old as the pause was long.
            self.pause_end.store(now, Relaxed);
        }

        // After a pause the initiator of a panic has not had the time that it seems to have had.
        let me = Initiator::Cpu(self.cpu);
        let pause_end = self.pause_end.load(Relaxed);
        let take_over = || now.saturating_sub(pause_end) >= period.saturating_mul(2);
        // A panic that is due does not wait for a report that this interrupt may give.
        next = next.min(ctx.panic.poll(me, now, take_over));

        self.softlockup.sample_usage(now, sample_at, irq);
        if ctx.softlockup_enabled() {
            let sample = TimerSample {
                now,
                before,
                paused,
                overrun,
                // A CPU that was reported as a hard lockup is not reported again as a soft one when
                // that ends. (On most kernels the report itself touches the watchdog, by printing.)
                restart: guest_paused || matches!(state, State::Reported | State::PerfHit),
                in_tree_reported,
                stop_work_ran: timer.queue_stop_work(irq, &ctx.stop_work),
            };
            next = next.min(self.softlockup.check(ctx, heartbeat, &sample, irq));
        }
        if ctx.hardlockup_enabled() && ctx.pending_hits.any() {
            next = next.min(report::report_pending_hits(ctx, self.cpu));
        }
        if ctx.hardlockup_enabled() && ctx.buddy_enabled() {
            let now_of_check = if took.is_short() { now } else { monotonic() };
            next = next.min(buddy::check_next_cpus(
                ctx,
                heartbeat,
                self.cpu,
                now_of_check,
                pause_end,
            ));
        }

        // A panic that was requested by now.
        next = next.min(ctx.panic.poll(me, now, take_over));
        // Events that a CPU has noted which is stuck.
        incident::netlink::poll();

        // Lines that were printed may have taken long, or the CPU was stopped. Were the timer to expire in
        // the past, it would do so before the stop work can run.
        let end = if took.is_short() { now } else { monotonic() };
        let next = next.max(end.saturating_add(MIN_REARM_NS));
        self.expires.store(next, Relaxed);
        Some(next)
    }

    fn stop_work_ran(&self) {
        self.softlockup.stop_work_ran(self.cpu);
    }
}

impl cpuhp::Callbacks for Watchdogs {
    /// `watchdog_enable()`.
    fn online(&self, cpu: u32) {
        let ctx = &self.ctx;
        let (Some(timer), Some(heartbeat), Some(cpu_hardlockup)) = (
            self.timers.get(cpu),
            ctx.heartbeat(cpu),
            ctx.cpu_hardlockup(cpu),
        ) else {
            return;
        };
        if !ctx.in_mask(cpu) {
            return;
        }
        if let Some(nmi) = ctx.nmi() {
            nmi.forget(cpu);
        }
        let now = monotonic();
        let watchdog = timer.data();
        watchdog.reset(now);
        cpu_hardlockup.reset(now, buddy::touches(ctx, cpu));
        heartbeat.reset(now, ctx.in_tree_softlockup.reports());
        // The timer first, so that no CPU checks the heartbeat of one whose timer does not run yet.
        let at = now.saturating_add(ctx.sample_period());
        watchdog.expires.store(at, Relaxed);
        timer.start(at);
        heartbeat.active.store(true, Release);
        // The counter last: the timer interrupt is what its NMI checks for.
        if let Some(counter) = self.counters.get(cpu).filter(|_| ctx.perf_enabled()) {
            let nmi_watchdog = counter.data();
            let started = nmi_watchdog
                .reset()
                .map(|period| counter.start(cpu, period));
            if !matches!(started, Some(Ok(()))) {
                nmi_watchdog.fall_back_to_buddy();
            }
        }
    }

    /// `watchdog_disable()`.
    fn offline(&self, cpu: u32) {
        let ctx = &self.ctx;
        let (Some(timer), Some(heartbeat)) = (self.timers.get(cpu), ctx.heartbeat(cpu)) else {
            return;
        };
        // The other way round: no CPU checks the heartbeat any more, then the timer stops. A CPU
        // that has just read the flag may still check the heartbeat, which is recent for a while.
        if let Some(counter) = self.counters.get(cpu) {
            counter.stop();
        }
        if heartbeat.active.xchg(false, Full) {
            timer.stop();
            timer.data().softlockup.clear(ctx, cpu, heartbeat);
            if let Some(cpu_hardlockup) = ctx.cpu_hardlockup(cpu) {
                cpu_hardlockup.recover(&ctx.pending_hits);
                cpu_hardlockup.end_incident(cpu);
            }
            ctx.forget_stack(cpu);
            // While the counters are reprogrammed nobody has called the panic off: the timers that
            // execute it are about to run again.
            if ctx.none_active() && !self.is_reprogramming.load(Relaxed) {
                ctx.panic.cancel_cpu_request();
            }
        }
    }
}
