// SPDX-License-Identifier: GPL-2.0

//! The reports on hard lockups: how a finding of either back end becomes one, from the choice of the
//! CPU that reports to the panic. `watchdog_hardlockup_check()` in mainline.
//!
//! - A lockup that another CPU has found ([`super::buddy`]): [`report_hardlockup`].
//! - One that the CPU's own perf NMI has found ([`super::perf`]) waits for the timer interrupt of
//!   another CPU ([`report_pending_hits`]), or is reported in the NMI ([`report_in_nmi`]), or after
//!   its end ([`report_over`]).
//! - A CPU that does not run: [`report_unresponsive`].

use super::{
    super::lockup_ctx::LockupCtx,
    cpu_hardlockup::CpuHardlockup,
    heartbeat::{
        report_goes_on,
        CpuHeartbeat,
        Reporting,
        ReportingInNmi, //
    }, //
};
use crate::{
    incident,
    logic::{
        hardlockup::state::State,
        incident::{
            Incident,
            IncidentKind,
            CONFIRMED, //
        },
        incident_table::Details,
        panic::Cause,
        task::Whereabouts, //
    },
    report::{
        cpu_wait::{
            CpuActivity,
            CpuChain, //
        },
        hardlockup::{
            self,
            Evidence,
            Hardlockup, //
        },
        session::{
            DumpOptions,
            Finding,
            ReportSession, //
        }, //
    },
    sys::{
        clock::monotonic,
        context::NmiCtx,
        nmi,
        panic as kernel_panic,
        touch::touch_nmi_watchdog, //
    }, //
};
use kernel::sync::atomic::Relaxed;

/// After how many nanoseconds a report is tried again that could not be given.
pub(super) const RETRY_NS: u64 = 20_000_000;

/// A CPU that is checked.
pub(super) struct Target<'a> {
    pub(super) cpu: u32,
    pub(super) heartbeat: &'a CpuHeartbeat,
    pub(super) cpu_hardlockup: &'a CpuHardlockup,
    /// Since when its heartbeat counts at the earliest.
    pub(super) counts_from: u64,
}

impl Target<'_> {
    /// The CPU, which is the initiator of a panic, answers nothing: panics in its place, unless it gives its
    /// report in its own NMI, where it answers no other.
    fn take_over(&self, ctx: &LockupCtx, now: u64) {
        if !self.heartbeat.is_reporting_in_nmi(now) {
            ctx.panic.take_over_from(self.cpu);
        }
    }
}

/// The incident of a hard lockup, with what an NMI that confirmed it has found on the CPU.
///
/// # Context
///
/// Any, NMI included.
fn hardlockup_incident(lockup: &Hardlockup) -> Incident {
    let incident = incident::new(IncidentKind::HardLockup, lockup.cpu, lockup.age);
    if !lockup.evidence.has_snapshot() {
        return incident;
    }
    let snapshot = nmi::snapshot(lockup.cpu);
    let task = snapshot.as_ref().map(|snapshot| snapshot.task);
    Incident {
        task,
        whereabouts: task.map_or(Whereabouts::NONE, |task| {
            incident::whereabouts_of_running(lockup.cpu, task.pid)
        }),
        stack: snapshot.map_or_else(Default::default, |snapshot| snapshot.stack),
        flags: CONFIRMED,
        ..incident
    }
}

/// What a CPU with a hard lockup waits for, if it has said what it runs. Adds it to the record, to the
/// incident of the session's last finding.
///
/// # Context
///
/// Any, NMI included. Waits for other CPUs to answer an NMI, for half a second at most.
#[inline(never)]
fn chain_of(
    ctx: &LockupCtx,
    lockup: &Hardlockup,
    session: &ReportSession<'_>,
    now: u64,
) -> Option<CpuChain> {
    if !lockup.evidence.has_snapshot() {
        return None;
    }
    let activity = CpuActivity::of_snapshot(&ctx.smp_calls, lockup.cpu)?;
    let chain = ctx.cpu_waits(now).collect(lockup.cpu, activity);
    chain.record(session);
    Some(chain)
}

/// As [`chain_of`], for the record only: the report was given before.
#[inline(never)]
fn record_chain(ctx: &LockupCtx, lockup: &Hardlockup, session: &ReportSession<'_>, now: u64) {
    chain_of(ctx, lockup, session, now);
}

/// Prints the report of another CPU's lockup, up to the stack of that CPU.
#[inline(never)]
fn print(ctx: &LockupCtx, lockup: &Hardlockup, session: &ReportSession<'_>, now: u64) {
    let mut chain = chain_of(ctx, lockup, session, now);
    if let Some(chain) = chain.as_mut().filter(|_| !session.is_fatal()) {
        chain.same = ctx.same_stack(lockup.cpu, &chain.activity);
    }
    lockup.print(session, chain.as_ref(), || {
        ctx.cpu_waits(now).print_requests(lockup.cpu);
    });
}

/// What a panic would be for. A CPU that answers nothing, where no hypervisor could have stopped it, is
/// a hard lockup; but it does not run either, as far as can be seen, so that `unresponsive_cpu_panic`
/// is heard too.
fn cause(ctx: &LockupCtx, evidence: Evidence) -> Cause {
    let is_wanted = |cause| ctx.panic.is_wanted(cause, 1);
    if evidence == Evidence::NoAnswer
        && !is_wanted(Cause::HardLockup)
        && is_wanted(Cause::UnresponsiveCpu)
    {
        Cause::UnresponsiveCpu
    } else {
        Cause::HardLockup
    }
}

/// Reports the hard lockups that the perf NMIs of other CPUs have found. Returns when to try again.
///
/// # Context
///
/// The timer interrupt of `me`.
pub(in crate::detect) fn report_pending_hits(ctx: &LockupCtx, me: u32) -> u64 {
    let mut check_at = u64::MAX;
    let budget = ctx.sample_period() / 4;
    let began = monotonic();
    for (state, cpu) in ctx.cpu_hardlockups() {
        let Some(heartbeat) = ctx.heartbeat(cpu).filter(|_| cpu != me) else {
            continue;
        };
        if state.state() != State::PerfHit {
            continue;
        }
        // The report before may have taken long.
        let now = monotonic();
        if now.saturating_sub(began) > budget {
            return check_at.min(now.saturating_add(RETRY_NS));
        }
        let target = Target {
            cpu,
            heartbeat,
            cpu_hardlockup: state,
            counts_from: 0,
        };
        let at = report_hardlockup(ctx, me, &target, State::PerfHit, now, Evidence::PerfNmi);
        check_at = check_at.min(at);
    }
    check_at
}

/// Reports a hard lockup of another CPU: `watchdog_hardlockup_check()`. Returns when to try again if
/// it cannot be reported now.
pub(super) fn report_hardlockup(
    ctx: &LockupCtx,
    me: u32,
    target: &Target<'_>,
    state: State,
    now: u64,
    evidence: Evidence,
) -> u64 {
    // The initiator of a panic is at its report, which takes what it takes, unless it answers nothing.
    if ctx.panic.is_initiator(target.cpu) {
        if evidence == Evidence::NoAnswer {
            target.take_over(ctx, now);
            return now.saturating_add(RETRY_NS);
        }
        // To be checked again from the start: it may stop running in the middle.
        target
            .cpu_hardlockup
            .transition(&ctx.pending_hits, state, state.start_over());
        return u64::MAX;
    }
    if ctx.ksyms().scx_hardlockup(target.cpu) {
        // Without its BPF scheduler it has a threshold to recover in.
        target
            .cpu_hardlockup
            .give_time(&ctx.pending_hits, state, now);
        return u64::MAX;
    }
    let cause = cause(ctx, evidence);
    let dump = ctx.hardlockup_dump_options();
    // One CPU at a time gives a report, since the kernel prints stacks for one CPU at a time only
    // and the lines of two would mix; the others try again. A panic does not wait for that, unless
    // the stacks of all CPUs are asked for.
    let mut guard = ctx.hardlockup_lock.try_acquire(now);
    let waits = dump.all_cpus || !ctx.panic.is_wanted(cause, 1);
    if kernel_panic::in_progress() || (guard.is_none() && waits) {
        if state.nmi_sent_at().is_some() {
            // Checked from the start then. Were the CPU to recover as it is, its NMI would seem to have
            // found no answer, and the CPU to have been stopped: nothing would be said of the lockup.
            target
                .cpu_hardlockup
                .transition(&ctx.pending_hits, state, state.start_over());
        }
        return now.saturating_add(RETRY_NS);
    }
    // Of several CPUs one reports, and none if the stuck CPU is back.
    if !target
        .cpu_hardlockup
        .claim_report(&ctx.pending_hits, state, evidence, monotonic())
    {
        return u64::MAX;
    }
    let reporting = ctx.heartbeat(me).map(Reporting::begin);
    let lockup = Hardlockup {
        cpu: target.cpu,
        reporter: me,
        age: target.heartbeat.age(now),
        evidence,
    };
    ctx.hardlockups.fetch_add(1, Relaxed);
    let mut session = ctx.report_session(me, dump);
    session.add(Finding::new(cause), now, || hardlockup_incident(&lockup));
    target.cpu_hardlockup.recorded(target.cpu, target.heartbeat);
    if !ctx.touches.are_counted() {
        session.warn_touches_not_counted();
    }
    print(ctx, &lockup, &session, now);
    session.backtrace_others(target.cpu, || {
        report_goes_on(reporting.as_ref(), guard.as_mut());
        touch_nmi_watchdog();
    });
    drop(guard);
    session.end(|| ctx.no_other_cpu_alive(me, monotonic()));
    u64::MAX
}

/// Reports a CPU that does not run.
pub(super) fn report_unresponsive(
    ctx: &LockupCtx,
    me: u32,
    target: &Target<'_>,
    state: State,
    now: u64,
) {
    if ctx.panic.is_initiator(target.cpu) {
        target.take_over(ctx, now);
        return;
    }
    if kernel_panic::in_progress()
        || !target
            .cpu_hardlockup
            .claim_unresponsive(&ctx.pending_hits, state, monotonic())
    {
        return;
    }
    ctx.unresponsive_cpus.fetch_add(1, Relaxed);
    let age = target.heartbeat.age(now);
    let mut session = ctx.report_session(me, DumpOptions::NONE);
    session.add(Finding::new(Cause::UnresponsiveCpu), now, || {
        incident::new(IncidentKind::UnresponsiveCpu, target.cpu, age)
    });
    target.cpu_hardlockup.recorded(target.cpu, target.heartbeat);
    hardlockup::print_unresponsive(target.cpu, age);
    // No *_sys_info is asked for, which is what the answer would matter for.
    session.end(|| false);
}

/// Asks the panic policy again about a CPU whose report was given, and which is still stuck: a knob
/// may have been written since, a crash kernel loaded, or another panic cancelled.
///
/// # Context
///
/// The timer interrupt of `me`.
pub(super) fn ask_policy_again(
    ctx: &LockupCtx,
    me: u32,
    target: &Target<'_>,
    state: State,
    now: u64,
) {
    if !target.cpu_hardlockup.may_ask_again(now) {
        return;
    }
    let evidence = target.cpu_hardlockup.evidence();
    let cause = match state {
        State::Reported => cause(ctx, evidence),
        State::Unresponsive => Cause::UnresponsiveCpu,
        State::Healthy | State::NmiSent(_) | State::NmiSentAgain(_) | State::PerfHit => return,
    };
    if !ctx.panic.would_panic(cause, 1) {
        return;
    }
    let dump = DumpOptions {
        // They were in the report, if they were asked for then.
        all_cpus: false,
        ..ctx.hardlockup_dump_options()
    };
    let lockup = Hardlockup {
        cpu: target.cpu,
        reporter: me,
        age: target.heartbeat.age(now),
        evidence,
    };
    let mut session = ctx.report_session(me, dump);
    session.add(Finding::repeated(cause), now, || match state {
        State::Unresponsive => incident::new(IncidentKind::UnresponsiveCpu, target.cpu, lockup.age),
        _ => hardlockup_incident(&lockup),
    });
    if session.is_fatal() && state == State::Reported {
        record_chain(ctx, &lockup, &session, now);
    }
    session.end(|| ctx.no_other_cpu_alive(me, monotonic()));
}

/// As [`ask_policy_again`], in the stuck CPU's own NMI.
///
/// # Context
///
/// The NMI of `cpu`, with `now` from a clock that may be read there.
pub(super) fn ask_policy_again_in_nmi(ctx: &LockupCtx, cpu: u32, now: u64, nmi: &NmiCtx<'_>) {
    let (Some(heartbeat), Some(cpu_hardlockup)) = (ctx.heartbeat(cpu), ctx.cpu_hardlockup(cpu))
    else {
        return;
    };
    if !cpu_hardlockup.may_ask_again(now) || !ctx.panic.would_panic(Cause::HardLockup, 1) {
        return;
    }
    let _reporting = ReportingInNmi::begin(heartbeat, now);
    let age = heartbeat.age(now);
    let lockup = Hardlockup::by_own_nmi(cpu, age);
    nmi::take_snapshot(nmi);
    let mut session = ctx.report_session(cpu, DumpOptions::NONE);
    session.add(Finding::repeated(Cause::HardLockup), now, || {
        hardlockup_incident(&lockup)
    });
    if session.is_fatal() {
        record_chain(ctx, &lockup, &session, now);
    }
    session.end_in_nmi(nmi);
}

/// Reports this CPU in its own NMI. Nothing is waited for but the end of other CPUs' lines, for two
/// seconds at most, and the answers of CPUs that this one waits for, for half a second.
///
/// # Context
///
/// The NMI of `cpu`, with `now` from a clock that may be read there.
pub(super) fn report_in_nmi(ctx: &LockupCtx, cpu: u32, state: State, now: u64, nmi: &NmiCtx<'_>) {
    let (Some(heartbeat), Some(cpu_hardlockup)) = (ctx.heartbeat(cpu), ctx.cpu_hardlockup(cpu))
    else {
        return;
    };
    if ctx.ksyms().scx_hardlockup(cpu) {
        cpu_hardlockup.give_time(&ctx.pending_hits, state, now);
        return;
    }
    if !cpu_hardlockup.claim_report(&ctx.pending_hits, state, Evidence::PerfNmi, now) {
        return;
    }
    let _reporting = ReportingInNmi::begin(heartbeat, now);
    let lockup = Hardlockup::by_own_nmi(cpu, heartbeat.age(now));
    nmi::take_snapshot(nmi);
    ctx.hardlockups.fetch_add(1, Relaxed);
    let dump = ctx.hardlockup_dump_options();
    let mut session = ctx.report_session(cpu, dump);
    session.add(Finding::new(Cause::HardLockup), now, || {
        hardlockup_incident(&lockup)
    });
    cpu_hardlockup.recorded(cpu, heartbeat);
    let chain = chain_of(ctx, &lockup, &session, now);
    lockup.print_in_nmi(&session, chain.as_ref(), nmi);
    // Without a panic the stacks of the other CPUs are not worth the wait in an NMI.
    if session.is_fatal() {
        session.backtrace_others(cpu, || ());
    }
    session.end_in_nmi(nmi);
}

/// Reports a lockup of this CPU that its perf NMI has found, and that has ended before another CPU
/// reported it. `age`: how long it lasted, in nanoseconds.
///
/// # Context
///
/// The timer interrupt of `cpu`.
pub(in crate::detect) fn report_over(ctx: &LockupCtx, cpu: u32, age: u64) {
    // It prints a stack, and may wait for other CPUs' lines.
    let _reporting = ctx.heartbeat(cpu).map(Reporting::begin);
    let lockup = Hardlockup::by_own_nmi(cpu, age);
    ctx.hardlockups.fetch_add(1, Relaxed);
    incident::record(&hardlockup_incident(&lockup), &Details::default());
    incident::table::hardlockup_ended(cpu);
    lockup.print_over();
}
