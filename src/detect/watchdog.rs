// SPDX-License-Identifier: GPL-2.0

//! The watchdog timer of each watched CPU: what its interrupt does, how CPUs come and go, and how
//! the detectors are reconfigured.
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
//! 6. sets the timer to the next sample, or to when one of the checks is due.
//!
//! No lock is taken in the interrupt. What a CPU writes for others lies on cache lines of its own.
//!
//! Everything is enabled and disabled by CPU hotplug callbacks on the CPU itself; a change of a knob
//! disables all CPUs and enables them again. The order on each CPU is mainline's
//! (`watchdog_enable()`, `watchdog_disable()`), and so is its reason: the timer runs before other
//! CPUs check the heartbeat, and they stop checking before it stops.

use super::{
    hardlockup::{
        buddy,
        ctx::Reporting,
        perf::{
            NmiCounts,
            NmiWatchdog, //
        }, //
    },
    lockup_config::{
        CpuMask,
        LockupConfig, //
    },
    lockup_ctx::{
        self,
        LockupCtx,
        Parts, //
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
        }, //
    },
    report::hardlockup::{
        self,
        Evidence,
        Hardlockup, //
    },
    sys::{
        clock::monotonic,
        context::HardirqCtx,
        cpu,
        cpuhp::{
            self,
            Instance, //
        },
        panic as kernel_panic,
        perf_event::PerfEvents,
        stopper::StopWork,
        watchdog_timer::{
            TimerCallback,
            WatchdogTimer,
            WatchdogTimers, //
        }, //
    }, //
};
use kernel::{
    new_mutex,
    prelude::*,
    static_assert,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed,
            Release, //
        },
        Arc,
        Mutex, //
    }, //
};

/// The timer never expires sooner than this, in nanoseconds from the end of an interrupt.
const MIN_REARM_NS: u64 = 1_000_000;

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
struct Watchdogs {
    ctx: Arc<LockupCtx>,
    timers: WatchdogTimers<CpuWatchdog>,
    counters: PerfEvents<NmiWatchdog>,
}

/// Memory for each possible CPU, in bytes, besides the per-CPU variables of the C part.
pub(crate) const BYTES_PER_CPU: usize = lockup_ctx::BYTES_PER_CPU
    + WatchdogTimers::<CpuWatchdog>::BYTES_PER_CPU
    + PerfEvents::<NmiWatchdog>::BYTES_PER_CPU;
static_assert!(BYTES_PER_CPU <= 768, "well under a kilobyte for each CPU");

/// The lockup detectors. Dropping this disables all CPUs and waits until no timer, stop work or
/// counter of the module is left.
#[pin_data]
pub(crate) struct LockupDetector {
    ctx: Arc<LockupCtx>,
    watchdogs: Arc<Watchdogs>,
    #[pin]
    instance: Mutex<Pin<KBox<Instance<Watchdogs>>>>,
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
    /// until now.
    fn paused_ns(&self, now: u64, state: State, guest_paused: bool) -> u64 {
        let expires = self.expires.load(Relaxed);
        let period = self.ctx.sample_period();
        let overrun = pause::overrun(now, expires, period);
        if overrun == 0 {
            return 0;
        }
        let grace = pause::grace(period);
        let from = expires.saturating_add(grace);
        let to = now.saturating_sub(grace);
        let evidence = PauseEvidence {
            overrun,
            guest_paused,
            nmi_unacked: matches!(state, State::NmiSent(_) | State::Unresponsive),
            no_cpu_on_time: OnTimeHistory::covers(from, to, period)
                && !self.ctx.other_cpu_on_time(self.cpu, from, to),
        };
        evidence.paused_ns()
    }

    /// Says what became of the state in which this CPU was until its timer interrupt came `now`.
    /// `before`: its timer interrupt before.
    fn print_recovery(&self, state: State, now: u64, before: u64) {
        let age = now.saturating_sub(before);
        match state {
            // Its perf NMI has found it stuck, and no report was given.
            State::PerfHit => {
                // It prints a stack, and may wait for other CPUs' lines.
                let _reporting = self.ctx.heartbeat(self.cpu).map(Reporting::begin);
                let lockup = Hardlockup {
                    cpu: self.cpu,
                    reporter: self.cpu,
                    age,
                    evidence: Evidence::PerfNmi,
                };
                self.ctx.hardlockups.fetch_add(1, Relaxed);
                incident::record(&super::hardlockup::hardlockup_incident(&lockup));
                lockup.print_over();
            }
            State::Reported | State::Unresponsive => hardlockup::print_recovered(self.cpu, age),
            State::Healthy | State::NmiSent(_) => (),
        }
    }
}

impl TimerCallback for CpuWatchdog {
    fn timer_fn(&self, timer: &WatchdogTimer<Self>, irq: &HardirqCtx<'_>) -> Option<u64> {
        let ctx = &self.ctx;
        let heartbeat = ctx.heartbeat(self.cpu)?;
        let buddy_state = ctx.buddy_state(self.cpu)?;
        let now = monotonic();
        let period = ctx.sample_period();
        let mut next = now.saturating_add(period);
        if kernel_panic::in_progress() {
            // Nothing more is said; but the heartbeat goes on, in case that the panic is given up
            // (`crash_kexec()` without a crash kernel).
            heartbeat.hrtimer_ts.store(now, Release);
            self.expires.store(next, Relaxed);
            return Some(next);
        }
        let before = heartbeat.hrtimer_ts.xchg(now, Full);
        let state = buddy_state.recover(&ctx.pending_hits);
        self.print_recovery(state, now, before);

        let flag = cpu::guest_paused(self.cpu) == Some(true);
        let guest_paused = pause::guest_paused_edge(self.guest_paused.xchg(flag, Relaxed), flag);
        let paused = self.paused_ns(now, state, guest_paused);
        if pause::overrun(now, self.expires.load(Relaxed), period) == 0 {
            heartbeat.record_on_time(now, period);
        }
        if paused != 0 || guest_paused {
            // The heartbeats of all CPUs are as old as the pause was long.
            self.pause_end.store(now, Relaxed);
        }

        // After a pause the initiator of a panic has not had the time that it seems to have had.
        let me = Initiator::Cpu(self.cpu);
        let pause_end = self.pause_end.load(Relaxed);
        let take_over = now.saturating_sub(pause_end) >= period.saturating_mul(2);
        // A panic that is due does not wait for a report that this interrupt may give.
        next = next.min(ctx.panic.poll(me, now, take_over));

        self.softlockup.sample_usage(self.cpu, now, period);
        if ctx.softlockup_enabled() {
            let sample = TimerSample {
                now,
                paused,
                // A CPU that was reported as a hard lockup is not reported again as a soft one when
                // that ends. (On most kernels the report itself touches the watchdog, by printing.)
                restart: guest_paused || matches!(state, State::Reported | State::PerfHit),
                stop_work_ran: timer.queue_stop_work(irq, &ctx.stop_work),
            };
            next = next.min(self.softlockup.check(ctx, &sample, irq));
        }
        if ctx.hardlockup_enabled() && ctx.pending_hits.any() {
            next = next.min(buddy::report_pending_hits(ctx, self.cpu));
        }
        if ctx.hardlockup_enabled() && ctx.buddy_enabled() {
            next = next.min(buddy::check_next_cpus(ctx, self.cpu, pause_end));
        }

        // A panic that was requested by now.
        next = next.min(ctx.panic.poll(me, now, take_over));

        // A report may have taken long.
        let next = next.max(monotonic().saturating_add(MIN_REARM_NS));
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
        let (Some(timer), Some(heartbeat), Some(buddy_state)) = (
            self.timers.get(cpu),
            ctx.heartbeat(cpu),
            ctx.buddy_state(cpu),
        ) else {
            return;
        };
        if !ctx.in_mask(cpu) {
            return;
        }
        let now = monotonic();
        let watchdog = timer.data();
        watchdog.reset(now);
        buddy_state.reset(now, buddy::touches(ctx, cpu));
        heartbeat.reset(now);
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
            timer.data().softlockup.clear(ctx);
            if let Some(buddy_state) = ctx.buddy_state(cpu) {
                buddy_state.recover(&ctx.pending_hits);
            }
            if ctx.none_active() {
                ctx.panic.cancel_cpu_request();
            }
        }
    }
}

impl LockupDetector {
    /// Sets everything up; no CPU is watched until [`LockupDetector::start`].
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `ENOSPC` when there is no room for another CPU hotplug state.
    ///
    /// # Context
    ///
    /// Process context, may sleep.
    pub(crate) fn new(parts: Parts) -> Result<Pin<KBox<Self>>> {
        let ctx = Arc::new(LockupCtx::new(parts)?, GFP_KERNEL)?;
        let timers = WatchdogTimers::new(|cpu| CpuWatchdog::new(ctx.clone(), cpu))?;
        let counters = PerfEvents::new(|cpu| NmiWatchdog::new(ctx.clone(), cpu))?;
        let watchdogs = Arc::new(
            Watchdogs {
                ctx: ctx.clone(),
                timers,
                counters,
            },
            GFP_KERNEL,
        )?;
        let state = cpuhp::MultiState::new(c"vigil:online")?;
        let instance = KBox::pin_init(Instance::new(state, watchdogs.clone()), GFP_KERNEL)?;
        KBox::pin_init(
            pin_init!(Self {
                ctx,
                watchdogs,
                instance <- new_mutex!(instance, "vigil::LockupDetector::instance"),
            }),
            GFP_KERNEL,
        )
    }

    /// What all CPUs share.
    pub(crate) fn ctx(&self) -> &Arc<LockupCtx> {
        &self.ctx
    }

    /// Watches the CPUs of `cpumask` (the housekeeping CPUs, if it is `None`) as the knobs say.
    ///
    /// # Errors
    ///
    /// As [`LockupDetector::reconfigure`].
    ///
    /// # Context
    ///
    /// Process context, at load.
    pub(crate) fn start(&self, cpumask: Option<&CpuMask>) -> Result {
        let mut config = LockupConfig::from_knobs(&self.ctx.knobs);
        if let Some(cpumask) = cpumask {
            config.set_cpumask(cpumask);
        }
        let mut instance = self.instance.lock();
        self.install(&mut instance, &config)
    }

    /// Changes the configuration: `change` is applied to what is installed. Returns when it is in
    /// effect on every CPU. All CPUs are disabled meanwhile, and everything that was measured begins
    /// anew; a change that changes nothing does nothing.
    ///
    /// # Errors
    ///
    /// With `hardlockup_backend=perf`, why there are no counters: everything is as it was then. What
    /// enabling the CPU hotplug state returns: no CPU is watched then, until the next change.
    ///
    /// # Context
    ///
    /// Process context, may sleep.
    pub(crate) fn reconfigure<'a>(&self, change: impl Fn(&mut LockupConfig<'a>)) -> Result {
        let changed = || {
            let installed = LockupConfig::from_knobs(&self.ctx.knobs);
            let mut config = installed;
            change(&mut config);
            (!config.is_same(&installed)).then_some(config)
        };
        if changed().is_some() {
            // The administrator is at work, so that no panic is needed to save the machine; and a CPU
            // that is stuck may keep this from coming to its end.
            self.ctx.panic.cancel_cpu_request();
        }
        let mut instance = self.instance.lock();
        // Compared again under the lock: another writer may have been faster, or have failed.
        match changed() {
            Some(config) => self.install(&mut instance, &config),
            None => Ok(()),
        }
    }

    /// Installs a configuration while all CPUs are disabled. If there is no back end for it, nothing is
    /// changed.
    fn install(
        &self,
        instance: &mut Pin<KBox<Instance<Watchdogs>>>,
        config: &LockupConfig<'_>,
    ) -> Result {
        let ctx = &self.ctx;
        instance.as_mut().disable();
        let hardlockup = config.hardlockup();
        // Once probed, the choice stays until hard lockups are switched on again.
        let probed = if hardlockup && !ctx.hardlockup_enabled() {
            ctx.backends.probe(config.thresh())
        } else {
            Ok(())
        };
        if probed.is_ok() {
            if let Some(cpumask) = config.cpumask() {
                ctx.install_cpumask(cpumask.iter());
            }
            let softlockup = config.softlockup() && !matches!(ctx.stop_work, StopWork::None);
            config.store_to(&ctx.knobs);
            ctx.install(config.thresh(), softlockup, hardlockup);
        }
        self.enable(instance)?;
        probed
    }

    /// Enables all CPUs, if there is anything to detect.
    fn enable(&self, instance: &mut Pin<KBox<Instance<Watchdogs>>>) -> Result {
        if self.ctx.softlockup_enabled() || self.ctx.hardlockup_enabled() {
            self.ctx.backends.reset();
            instance.as_mut().enable()?;
        }
        Ok(())
    }

    /// The module is about to be unloaded: cancels a panic that a CPU has requested, while all CPUs
    /// still run.
    ///
    /// # Context
    ///
    /// Process context.
    pub(crate) fn unloading(&self) {
        self.ctx.panic.cancel_cpu_request();
    }

    /// The frequency of CPUs may have changed: counters whose period does not fit any more are
    /// reprogrammed.
    ///
    /// # Context
    ///
    /// Process context, may sleep.
    pub(crate) fn frequency_changed(&self) {
        self.reprogram_counters(NmiWatchdog::is_outdated);
    }

    /// The machine has resumed: what the processors forgot meanwhile is programmed again. CPUs that
    /// went offline and came back have new counters; the boot CPU's may not count any more, for all
    /// that perf knows.
    ///
    /// # Context
    ///
    /// Process context, may sleep.
    pub(crate) fn resumed(&self) {
        self.reprogram_counters(|_| true);
    }

    /// Disables and enables all CPUs if the counter of one of them needs it.
    fn reprogram_counters(&self, needs: impl Fn(&NmiWatchdog) -> bool) {
        // A panic that is being waited for needs the timers.
        if !self.ctx.panic.is_idle() {
            return;
        }
        let mut running = self
            .watchdogs
            .counters
            .iter()
            .filter(|counter| counter.is_running());
        if running.any(|counter| needs(counter.data())) {
            let mut instance = self.instance.lock();
            Pin::as_mut(&mut *instance).disable();
            // No back end is chosen here that could be refused. If enabling fails, no CPU is watched
            // until the next change of a knob.
            let _ = self.enable(&mut instance);
        }
    }

    /// The NMIs of a CPU's counter so far; `None` if the CPU has no counter.
    ///
    /// # Context
    ///
    /// Any.
    pub(crate) fn nmi_counts(&self, cpu: u32) -> Option<NmiCounts> {
        let counter = self.watchdogs.counters.get(cpu);
        let counter = counter.filter(|counter| counter.is_running())?;
        Some(counter.data().counts())
    }
}
