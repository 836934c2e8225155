// SPDX-License-Identifier: GPL-2.0

//! Soft lockups of one CPU, checked by its own timer interrupt. The rules are in
//! [`crate::logic::softlockup`].

use super::{
    cpu_usage::CpuUsage,
    hardlockup::heartbeat::{
        report_goes_on,
        CpuHeartbeat,
        Reporting, //
    },
    lockup_ctx::LockupCtx, //
};
use crate::{
    incident,
    logic::{
        in_tree_softlockup,
        incident::{
            Incident,
            IncidentKind, //
        },
        incident_table::Details,
        panic::Cause,
        softlockup::{
            self,
            Sample,
            Softlockup,
            SoftlockupState,
            StopMachineWait, //
        }, //
    },
    report::{
        cpu_wait::CpuActivity,
        irqs::IrqSnapshot,
        report_lock::ReportGuard,
        session::{
            DumpOptions,
            Finding, //
        },
        softlockup::{
            self as text,
            SoftlockupDetails, //
        }, //
    },
    sys::{
        atomic::{
            Atomic,
            Relaxed,
            Release, //
        },
        clock::monotonic,
        context::HardirqCtx,
        cpu,
        panic as kernel_panic,
        printk,
        smp,
        stacktrace,
        stopper::StopWork,
        task,
        touch::touch_hardlockup_watchdog, //
    }, //
};

/// What is known of one CPU.
pub(super) struct CpuSoftlockup {
    /// [`SoftlockupState`], which the stop work stores too.
    touch_ts: Atomic<u64>,
    report_ts: Atomic<u64>,
    steal_at_touch: Atomic<u64>,
    steal_at_report: Atomic<u64>,
    last_steal: Atomic<u64>,
    /// How often the watchdog had been touched.
    touches: Atomic<u32>,
    /// How often by tasks.
    touches_by_tasks: Atomic<u32>,
    /// Whether the incident of the present soft lockup is recorded, and has to end.
    recorded: Atomic<bool>,
    /// Whether another CPU was stuck when this one was last found waiting in `stop_machine()`, since the
    /// stop work ran.
    other_was_stuck: Atomic<bool>,
    /// For how many nanoseconds its timer interrupt has stayed away since the stop work ran last, at
    /// most in a row: interrupts were off, or its host did not run it.
    irqs_off: Atomic<u64>,
    usage: CpuUsage,
    /// The counts of interrupts when the CPU had missed a sample period.
    irqs: IrqSnapshot,
}

/// What the timer interrupt knows besides.
pub(super) struct TimerSample {
    /// Now, on the monotonic clock.
    pub(super) now: u64,
    /// The interrupt before, on the same clock.
    pub(super) before: u64,
    /// For how many nanoseconds the CPU was stopped.
    pub(super) paused: u64,
    /// By how many nanoseconds the interrupt came late ([`crate::logic::pause::overrun`]).
    pub(super) overrun: u64,
    /// Whether the threshold begins anew: after a pause, or with the report of a hard lockup.
    pub(super) restart: bool,
    /// Whether the in-tree detector of soft lockups has given a report, on whatever CPU, since the
    /// interrupt before.
    pub(super) in_tree_reported: bool,
    /// Whether the stop work of the interrupt before has run.
    pub(super) stop_work_ran: bool,
}

impl CpuSoftlockup {
    /// Of a CPU that is not watched.
    pub(super) fn new() -> Self {
        Self {
            touch_ts: Atomic::new(0),
            report_ts: Atomic::new(0),
            steal_at_touch: Atomic::new(0),
            steal_at_report: Atomic::new(0),
            last_steal: Atomic::new(0),
            touches: Atomic::new(0),
            touches_by_tasks: Atomic::new(0),
            recorded: Atomic::new(false),
            other_was_stuck: Atomic::new(false),
            irqs_off: Atomic::new(0),
            usage: CpuUsage::new(),
            irqs: IrqSnapshot::new(),
        }
    }

    fn load(&self) -> SoftlockupState {
        SoftlockupState {
            touch_ts: self.touch_ts.load(Relaxed),
            report_ts: self.report_ts.load(Relaxed),
            steal_at_touch: self.steal_at_touch.load(Relaxed),
            steal_at_report: self.steal_at_report.load(Relaxed),
            last_steal: self.last_steal.load(Relaxed),
        }
    }

    /// Called by the stop work, which the timer interrupt may interrupt, and by that interrupt.
    /// `report_ts` goes first: a state that is checked in between is never too old.
    fn save(&self, state: SoftlockupState) {
        self.report_ts.store(state.report_ts, Relaxed);
        self.steal_at_report.store(state.steal_at_report, Relaxed);
        self.touch_ts.store(state.touch_ts, Relaxed);
        self.steal_at_touch.store(state.steal_at_touch, Relaxed);
        self.last_steal.store(state.last_steal, Relaxed);
    }

    /// The CPU is about to be watched.
    ///
    /// # Context
    ///
    /// Process context on the CPU, while the timer does not run.
    pub(super) fn reset(&self, ctx: &LockupCtx, cpu: u32, now: u64) {
        self.recorded.store(false, Relaxed);
        self.other_was_stuck.store(false, Relaxed);
        self.irqs_off.store(0, Relaxed);
        self.save(SoftlockupState::new(now, cpu::steal_ns(cpu)));
        self.touches.store(ctx.touches.softlockup(cpu), Relaxed);
        self.touches_by_tasks
            .store(ctx.touches.by_tasks(cpu), Relaxed);
        self.usage.reset(cpu, now);
    }

    /// The CPU is not watched any more.
    ///
    /// # Context
    ///
    /// Process context, once the timer has stopped.
    pub(super) fn clear(&self, ctx: &LockupCtx, cpu: u32, heartbeat: &CpuHeartbeat) {
        self.end_incident(cpu);
        self.end(ctx, cpu, heartbeat);
        self.irqs.clear(&ctx.irq_counts);
    }

    /// The stop work runs: `softlockup_fn()`.
    ///
    /// # Context
    ///
    /// The stopper thread of the CPU, preemption disabled.
    pub(super) fn stop_work_ran(&self, cpu: u32) {
        self.end_incident(cpu);
        self.save(SoftlockupState::new(monotonic(), cpu::steal_ns_here()));
    }

    /// Takes a sample of what the CPU spends its time on, once each sample period; the next one at `next`.
    ///
    /// # Context
    ///
    /// The timer interrupt of the CPU.
    pub(super) fn sample_usage(&self, now: u64, next: u64, irq: &HardirqCtx<'_>) {
        self.usage.update(now, next, irq);
    }

    /// Ends the incident of a soft lockup, if there is one. As in mainline no line says so.
    ///
    /// # Context
    ///
    /// The stopper thread of the CPU, or process context on it: it schedules.
    fn end_incident(&self, cpu: u32) {
        if self.recorded.load(Relaxed) {
            let has_ended = incident::table::softlockup_ended(cpu);
            // Else the next stop work finds the place that was written all the time.
            self.recorded.store(!has_ended, Relaxed);
        }
    }

    /// The CPU schedules again, if it did not.
    fn end(&self, ctx: &LockupCtx, cpu: u32, heartbeat: &CpuHeartbeat) {
        self.irqs_off.store(0, Relaxed);
        self.other_was_stuck.store(false, Relaxed);
        if heartbeat.has_softlockup.load(Relaxed) {
            heartbeat.has_softlockup.store(false, Relaxed);
            heartbeat.is_waiting.store(false, Relaxed);
            ctx.forget_stack(cpu);
        }
    }

    /// Whether this CPU waits in `stop_machine()` for another CPU that is stuck: that one is to be
    /// reported, and not all that wait for it.
    fn waits_in_stop_machine(
        &self,
        ctx: &LockupCtx,
        lockup: &Softlockup,
        threshold: u64,
        irq: &HardirqCtx<'_>,
    ) -> bool {
        if !stacktrace::interrupted_is_in(irq, c"multi_cpu_stop") {
            return false;
        }
        let other_stuck = ctx.other_cpu_stuck(irq.cpu());
        let wait = StopMachineWait {
            duration: lockup.duration,
            other_stuck,
            other_was_stuck: self.other_was_stuck.load(Relaxed),
        };
        self.other_was_stuck.store(other_stuck, Relaxed);
        wait.is_excused(threshold)
    }

    /// Whether a report has to wait for one of the in-tree detector: until when at the longest.
    ///
    /// Consoles whose drivers print for whoever has a line to print do that on this CPU, and some, as
    /// that of a serial port, touch its watchdogs meanwhile. The in-tree detector takes that for
    /// somebody who asks for time: with a report of this one in each of its thresholds it would not give
    /// any. So it goes first where it is to panic, and this one is not.
    #[inline(never)]
    fn in_tree_turn(
        &self,
        ctx: &LockupCtx,
        state: &SoftlockupState,
        timer: &TimerSample,
        threshold: u64,
    ) -> Option<u64> {
        let thresh = ctx.in_tree_softlockup.panic_thresh()?;
        // With a longer threshold it starts anew at the first report, and goes before the next.
        let is_first = !self.recorded.load(Relaxed);
        if timer.in_tree_reported
            || is_first && softlockup::threshold(thresh) > threshold
            || ctx.panic.would_panic(Cause::SoftLockup, u64::MAX)
            || !printk::has_legacy_console()
        {
            return None;
        }
        let next = timer.now.saturating_add(ctx.sample_period());
        let end = state.end_of_in_tree_turn(in_tree_softlockup::needs(thresh));
        (timer.now < end).then_some(next.min(end))
    }

    /// Checks for a soft lockup and reports it: the rest of `watchdog_timer_fn()`. Returns when the
    /// next report is due. `heartbeat`: of this CPU.
    ///
    /// # Context
    ///
    /// The timer interrupt of the CPU.
    pub(super) fn check(
        &self,
        ctx: &LockupCtx,
        heartbeat: &CpuHeartbeat,
        timer: &TimerSample,
        irq: &HardirqCtx<'_>,
    ) -> u64 {
        let cpu = irq.cpu();
        let TimerSample { now, paused, .. } = *timer;
        let period = ctx.sample_period();
        if timer.stop_work_ran {
            self.irqs.clear(&ctx.irq_counts);
            self.end(ctx, cpu, heartbeat);
        } else if now.saturating_sub(self.touch_ts.load(Relaxed)) >= period {
            self.irqs.take(&ctx.irq_counts, cpu, now);
        }
        if timer.overrun > paused.max(self.irqs_off.load(Relaxed)) {
            self.irqs_off.store(timer.overrun, Relaxed);
        }
        let touches = ctx.touches.softlockup_here(irq);
        let mut touched = self.touches.load(Relaxed) != touches;
        if touched {
            self.touches.store(touches, Relaxed);
            let by_tasks = ctx.touches.by_tasks(cpu);
            let asks_for_time = self.touches_by_tasks.xchg(by_tasks, Relaxed) != by_tasks;
            // Otherwise the touch is part of a report of the in-tree detector.
            touched = asks_for_time || !timer.in_tree_reported;
        }
        let sample = Sample {
            now,
            paused,
            steal: cpu::steal_ns_here(),
            touched: touched || timer.restart,
        };
        let threshold = ctx.softlockup_threshold();
        let mut state = self.load();
        state.update(&sample);
        let due = state.due(sample.steal, threshold);
        if SoftlockupState::is_early(now, due, threshold) {
            self.save(state);
            return due;
        }
        // Field by field: passed as a whole these are put into memory by each interrupt, early ones
        // included, which `bounds::heartbeat` does not allow.
        self.check_late(
            ctx,
            TimerSample { ..*timer },
            Sample { ..sample },
            state,
            irq,
        )
    }

    /// Goes on with [`CpuSoftlockup::check`] where the stop work has not run for long. `state`: with the
    /// sample taken into account.
    #[inline(never)]
    fn check_late(
        &self,
        ctx: &LockupCtx,
        timer: TimerSample,
        sample: Sample,
        mut state: SoftlockupState,
        irq: &HardirqCtx<'_>,
    ) -> u64 {
        let now = sample.now;
        let threshold = ctx.softlockup_threshold();
        if timer.stop_work_ran {
            state.stop_work_ran_since(timer.before.saturating_add(sample.paused));
        }
        let due = state.due(sample.steal, threshold);
        if let Some(secs) = state.nearly(&sample, threshold) {
            ctx.ksyms().scx_softlockup(secs, irq);
        }
        let Some(lockup) = state.check(&sample, threshold) else {
            self.save(state);
            return due;
        };
        if let Some(at) = self.in_tree_turn(ctx, &state, &timer, threshold) {
            self.save(state);
            return at;
        }
        if self.waits_in_stop_machine(ctx, &lockup, threshold, irq) {
            state.restart_threshold(&sample);
            self.save(state);
            return state.due(sample.steal, threshold);
        }
        // The stacks of all CPUs are printed by one CPU at a time: the others come again at their
        // next sample.
        let dump = ctx.softlockup_dump_options();
        let guard = if dump.all_cpus {
            match ctx.softlockup_lock.try_acquire(now) {
                Some(guard) => Some(guard),
                None => {
                    self.save(state);
                    return u64::MAX;
                }
            }
        } else {
            None
        };
        state.restart_threshold(&sample);
        self.report(ctx, &lockup, dump, guard, now, irq);
        self.save(state);
        state.due(sample.steal, threshold)
    }

    /// What this CPU does.
    #[inline(never)]
    fn activity(ctx: &LockupCtx, irq: &HardirqCtx<'_>) -> CpuActivity {
        CpuActivity::new(
            &ctx.smp_calls,
            irq.cpu(),
            task::current_id(),
            stacktrace::interrupted_context(irq),
            &stacktrace::save_interrupted(irq),
            &smp::interrupted_wait_regs(irq),
        )
    }

    /// Reports a soft lockup of this CPU. Out of line, as are the functions that print: the timer
    /// interrupt of a healthy CPU does not need them in its cache.
    #[inline(never)]
    fn report(
        &self,
        ctx: &LockupCtx,
        lockup: &Softlockup,
        dump: DumpOptions,
        mut guard: Option<ReportGuard<'_>>,
        now: u64,
        irq: &HardirqCtx<'_>,
    ) {
        let cpu = irq.cpu();
        let reporting = ctx.heartbeat(cpu).map(Reporting::begin);
        ctx.softlockups.fetch_add(1, Relaxed);
        let activity = Self::activity(ctx, irq);
        if let Some(heartbeat) = ctx.heartbeat(cpu) {
            heartbeat.is_waiting.store(activity.is_waiting(), Relaxed);
            // A CPU that sees it sees what it waits for.
            heartbeat.has_softlockup.store(true, Release);
        }
        let mut session = ctx.report_session(cpu, dump);
        let threshold = ctx.softlockup_threshold();
        let finding = Finding {
            cause: Cause::SoftLockup,
            magnitude: softlockup::thresholds(lockup.duration, threshold),
            repeated: self.recorded.xchg(true, Relaxed),
            details: Details::default(),
        };
        session.add(finding, now, || Incident {
            task: Some(task::current_id()),
            stack: stacktrace::save_interrupted(irq),
            whereabouts: task::with_current(incident::whereabouts),
            ..incident::new(IncidentKind::SoftLockup, cpu, lockup.duration)
        });
        let period = ctx.sample_period();
        let last = self.usage.samples(period).last();
        let details = SoftlockupDetails {
            irqs_off: self.irqs_off.load(Relaxed),
            by_fifo_thread: matches!(ctx.stop_work, StopWork::FifoThread(_)),
            period,
            usage: self.usage.samples(period),
            hardirq_percent: last.map_or(0, |sample| sample.hardirq),
            irqs: &self.irqs,
            irq_counts: &ctx.irq_counts,
        };
        if !ctx.touches.are_counted() {
            session.warn_touches_not_counted();
        }
        let mut chain = ctx.cpu_waits(now).collect(cpu, activity);
        chain.record(&session);
        // The last stack before a panic is always there.
        if !session.is_fatal() {
            chain.same = ctx.same_stack(cpu, &activity);
        }
        text::print(lockup, details, &chain, now, &session, irq);
        session.backtrace_others(cpu, || {
            report_goes_on(reporting.as_ref(), guard.as_mut());
            // Not its watchdog for soft lockups: it has one.
            touch_hardlockup_watchdog();
        });
        kernel_panic::taint_soft_lockup();
        drop(guard);
        session.end(|| ctx.no_other_cpu_alive(cpu, monotonic()));
    }
}
