// SPDX-License-Identifier: GPL-2.0

//! Hard lockups noticed by another CPU: at each timer interrupt a CPU checks the next CPU in the
//! mask, and those behind it for as long as the ones before are stuck themselves. The rules are in
//! [`crate::logic::hardlockup::buddy`]. What the perf NMI of another CPU has found is reported from
//! here too.

use super::{
    super::lockup_ctx::LockupCtx,
    ctx::{
        BuddyState,
        CpuHeartbeat,
        Reporting, //
    },
    hardlockup_incident, //
};
use crate::{
    incident,
    logic::{
        hardlockup::{
            buddy::{
                self,
                Action,
                Observation,
                NMI_ACK_TIMEOUT_NS,
                RECHECK_NS, //
            },
            state::State, //
        },
        incident::IncidentKind,
        panic::{
            Cause,
            Initiator, //
        }, //
    },
    report::{
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
        cpu,
        nmi::NmiSender,
        panic as kernel_panic, //
    }, //
};
use kernel::sync::atomic::{
    Acquire,
    Relaxed,
    Release, //
};

/// How long a CPU spins for the acknowledgement of its NMI, in nanoseconds.
const NMI_SPIN_NS: u64 = 20_000_000;

/// How long if the handler has been entered: an emulated CPU takes some milliseconds for it, and a
/// slow host may stop the CPU in the middle.
const NMI_SPIN_IN_HANDLER_NS: u64 = 200_000_000;

/// After how many nanoseconds a report is tried again that could not be given.
const RETRY_NS: u64 = 20_000_000;

/// How long other CPUs are checked, in nanoseconds, before this CPU's own heartbeat is renewed.
const RENEW_NS: u64 = 1_000_000;

/// A CPU that is checked.
struct Target<'a> {
    cpu: u32,
    heartbeat: &'a CpuHeartbeat,
    state: &'a BuddyState,
    /// Since when its heartbeat counts at the earliest.
    grace_ts: u64,
}

/// Checks the CPUs behind `me`. `grace_ts`: since when heartbeats count at the earliest, the end of
/// a pause. Returns when to check again at the latest.
///
/// # Context
///
/// The timer interrupt of `me`.
pub(in crate::detect) fn check_next_cpus(ctx: &LockupCtx, me: u32, grace_ts: u64) -> u64 {
    let period = ctx.sample_period();
    let limit = buddy::limit(ctx.thresh());
    let count = cpu::nr_cpu_ids();
    let mut check_at = u64::MAX;
    let mut other = me;
    let began = monotonic();
    for _ in 1..count {
        // The check before may have taken long: a report, or an acknowledgement that was waited
        // for. The first CPU is checked in any case.
        let now = monotonic();
        let took = now.saturating_sub(began);
        if let Some(own) = ctx.heartbeat(me).filter(|_| took >= RENEW_NS) {
            // This is its timer interrupt.
            own.hrtimer_ts.store(now, Release);
        }
        if took > period / 4 {
            return check_at.min(now.saturating_add(RETRY_NS));
        }
        other = other.wrapping_add(1);
        if other >= count {
            other = 0;
        }
        let (Some(heartbeat), Some(state)) = (ctx.heartbeat(other), ctx.buddy_state(other)) else {
            break;
        };
        if !heartbeat.active.load(Acquire) {
            continue;
        }
        // A report takes as long as it takes. The initiator of a panic is checked all the same: it
        // may stop running in the middle, and then another CPU has to panic.
        if ctx.is_reporting(other, now) && !ctx.panic.is_initiator(other) {
            continue;
        }
        let touches = touches(ctx, other);
        if state.touches.load(Acquire) != touches {
            // In this order: another CPU that checks this one sees the new count with its time.
            state.touch_ts.store(now, Relaxed);
            state.touches.store(touches, Release);
        }
        let target = Target {
            cpu: other,
            heartbeat,
            state,
            grace_ts: grace_ts.max(state.touch_ts.load(Relaxed)),
        };
        let (state, action) = check_cpu(ctx, &target, now, period, limit);
        match action {
            Action::Healthy => break,
            Action::CheckAt(at) => check_at = check_at.min(at),
            Action::AlreadyReported | Action::SendNmi => (),
            Action::ReportHardlockup => {
                let at = report_hardlockup(ctx, me, &target, state, now, Evidence::NmiAck);
                check_at = check_at.min(at);
            }
            Action::ReportUnconfirmed => {
                let at = report_hardlockup(ctx, me, &target, state, now, Evidence::None);
                check_at = check_at.min(at);
            }
            Action::ReportUnresponsive => report_unresponsive(ctx, me, &target, state, now),
        }
    }
    check_at
}

/// How often the watchdog of a CPU has been touched; wraps.
///
/// Where no NMI can tell whether it lives, a touch of its soft-lockup watchdog shows that as well:
/// `nmi_trigger_cpumask_backtrace()`, by which the in-tree detector gets the stack of a stuck CPU,
/// waits ten seconds in the timer interrupt for one that it cannot interrupt, and calls
/// `touch_softlockup_watchdog()` each millisecond.
pub(in crate::detect) fn touches(ctx: &LockupCtx, cpu: u32) -> u32 {
    let hardlockup = ctx.touches.hardlockup(cpu);
    if ctx.can_send_nmi() {
        return hardlockup;
    }
    hardlockup.wrapping_add(ctx.touches.softlockup(cpu))
}

/// What is seen of a CPU in this state.
fn observe(
    ctx: &LockupCtx,
    target: &Target<'_>,
    state: State,
    now: u64,
    spinning: bool,
) -> Observation {
    let done = ctx.nmi.as_ref().map(|nmi| nmi.done(target.cpu));
    // The CPU that sent the NMI may not have stored yet which NMIs count.
    let stored = match state {
        State::NmiSent(at) => target.state.nmi_sent_ts.load(Acquire) == at,
        _ => true,
    };
    Observation {
        now,
        hrtimer_ts: target.heartbeat.hrtimer_ts.load(Acquire),
        grace_ts: target.grace_ts,
        nmi_acked: stored
            && done.is_some_and(|done| done != target.state.nmis_before.load(Relaxed)),
        spinning,
        late_acks: target.state.late_acks.load(Relaxed),
        can_send_nmi: done.is_some(),
    }
}

/// Checks one CPU, and sends it an NMI if that is what to do; the acknowledgement usually is there
/// at once. Returns the state that was checked, for [`BuddyState::transition`], and what to do.
fn check_cpu(
    ctx: &LockupCtx,
    target: &Target<'_>,
    now: u64,
    period: u64,
    limit: u64,
) -> (State, Action) {
    let mut state = target.state.state();
    let hrtimer_ts = target.heartbeat.hrtimer_ts.load(Acquire);
    let seen = observe(ctx, target, state, now, false);
    let mut action = buddy::check(state, &seen, period, limit);
    let mut recheck = RECHECK_NS;
    if let (Action::SendNmi, Some(nmi)) = (action, &ctx.nmi) {
        // What came out could not be reported now.
        if ctx.hardlockup_lock.is_held(now) && !ctx.panic.is_wanted(Cause::HardLockup, 1) {
            return (state, Action::CheckAt(now.saturating_add(RETRY_NS)));
        }
        let sent = State::nmi_sent(now);
        if !target.state.transition(&ctx.pending_hits, state, sent) {
            // Another CPU was first, or this one is back.
            return (
                state,
                Action::CheckAt(now.saturating_add(NMI_ACK_TIMEOUT_NS)),
            );
        }
        target
            .state
            .late_acks
            .store(seen.late_acks_so_far(state), Relaxed);
        state = sent;
        let took;
        (action, took) = send_nmi(ctx, nmi, target, sent, period, limit);
        // Where the handler took long, so does what the CPU does after it.
        recheck = recheck.max(took.min(NMI_SPIN_IN_HANDLER_NS));
    }
    let report = matches!(action, Action::ReportHardlockup | Action::ReportUnconfirmed);
    if report && recovers_within(target, hrtimer_ts, recheck) {
        action = Action::Healthy;
    }
    (state, action)
}

/// Sends the NMI and spins for the acknowledgement. Returns what to do, and after how many
/// nanoseconds the acknowledgement came, or was no longer waited for.
fn send_nmi(
    ctx: &LockupCtx,
    nmi: &NmiSender,
    target: &Target<'_>,
    sent: State,
    period: u64,
    limit: u64,
) -> (Action, u64) {
    let State::NmiSent(sent_at) = sent else {
        return (Action::Healthy, 0);
    };
    let entered = nmi.entered(target.cpu);
    target
        .state
        .nmis_before
        .store(nmi.done(target.cpu), Release);
    target.state.nmi_sent_ts.store(sent_at, Release);
    nmi.send(target.cpu);
    loop {
        let seen = observe(ctx, target, sent, monotonic(), true);
        let limit_ns = if nmi.entered(target.cpu) == entered {
            NMI_SPIN_NS
        } else {
            NMI_SPIN_IN_HANDLER_NS
        };
        let took = seen.now.saturating_sub(sent_at);
        if seen.nmi_acked || took > limit_ns {
            return (buddy::check(sent, &seen, period, limit), took);
        }
        core::hint::spin_loop();
    }
}

/// Whether a CPU that has just acknowledged, or to which no NMI can be sent, has taken a timer
/// interrupt since `hrtimer_ts`, or takes one within `recheck` nanoseconds: then it was not stuck
/// but stopped.
fn recovers_within(target: &Target<'_>, hrtimer_ts: u64, recheck: u64) -> bool {
    let began = monotonic();
    while monotonic().saturating_sub(began) < recheck {
        if target.heartbeat.hrtimer_ts.load(Acquire) != hrtimer_ts {
            return true;
        }
        core::hint::spin_loop();
    }
    false
}

/// Reports the hard lockups that the perf NMIs of other CPUs have found. Returns when to try again.
///
/// # Context
///
/// The timer interrupt of `me`.
pub(in crate::detect) fn report_pending_hits(ctx: &LockupCtx, me: u32) -> u64 {
    let mut check_at = u64::MAX;
    let limit = ctx.sample_period() / 4;
    let began = monotonic();
    for (state, cpu) in ctx.buddy_states() {
        let Some(heartbeat) = ctx.heartbeat(cpu).filter(|_| cpu != me) else {
            continue;
        };
        if state.state() != State::PerfHit {
            continue;
        }
        // The report before may have taken long.
        let now = monotonic();
        if now.saturating_sub(began) > limit {
            return check_at.min(now.saturating_add(RETRY_NS));
        }
        let target = Target {
            cpu,
            heartbeat,
            state,
            grace_ts: 0,
        };
        let at = report_hardlockup(ctx, me, &target, State::PerfHit, now, Evidence::PerfNmi);
        check_at = check_at.min(at);
    }
    check_at
}

/// Reports a hard lockup of another CPU: `watchdog_hardlockup_check()`. Returns when to try again if
/// it cannot be reported now.
fn report_hardlockup(
    ctx: &LockupCtx,
    me: u32,
    target: &Target<'_>,
    state: State,
    now: u64,
    evidence: Evidence,
) -> u64 {
    // The initiator of a panic is at its report, which takes what it takes.
    if ctx.panic.is_initiator(target.cpu) {
        // To be checked again from the start: it may stop running in the middle.
        target
            .state
            .transition(&ctx.pending_hits, state, State::Healthy);
        return u64::MAX;
    }
    let dump = ctx.hardlockup_dump_options();
    // One CPU at a time gives a report, since the kernel prints stacks for one CPU at a time only
    // and the lines of two would mix; the others try again. A panic does not wait for that, unless
    // the stacks of all CPUs are asked for.
    let guard = ctx.hardlockup_lock.try_acquire(now);
    let waits = dump.all_cpus || !ctx.panic.is_wanted(Cause::HardLockup, 1);
    if kernel_panic::in_progress() || (guard.is_none() && waits) {
        return now.saturating_add(RETRY_NS);
    }
    // Of several CPUs one reports, and none if the stuck CPU is back.
    if !target
        .state
        .transition(&ctx.pending_hits, state, State::Reported)
    {
        return u64::MAX;
    }
    let _reporting = ctx.heartbeat(me).map(Reporting::begin);
    let lockup = Hardlockup {
        cpu: target.cpu,
        reporter: me,
        age: now.saturating_sub(target.heartbeat.hrtimer_ts.load(Relaxed)),
        evidence,
    };
    ctx.hardlockups.fetch_add(1, Relaxed);
    let mut session = ReportSession::new(&ctx.panic, &ctx.ksyms, Initiator::Cpu(me), dump);
    let finding = Finding {
        cause: Cause::HardLockup,
        magnitude: 1,
        repeated: false,
    };
    session.add(finding, now, || hardlockup_incident(&lockup));
    lockup.print(&ctx.ksyms, &session);
    session.backtrace_others(target.cpu);
    drop(guard);
    session.end(|| ctx.no_other_cpu_alive(me, monotonic()));
    u64::MAX
}

/// Reports a CPU that does not run.
fn report_unresponsive(ctx: &LockupCtx, me: u32, target: &Target<'_>, state: State, now: u64) {
    if ctx.panic.is_initiator(target.cpu) {
        ctx.panic.take_over_from(target.cpu);
        return;
    }
    if kernel_panic::in_progress()
        || !target
            .state
            .transition(&ctx.pending_hits, state, State::Unresponsive)
    {
        return;
    }
    ctx.unresponsive_cpus.fetch_add(1, Relaxed);
    let age = now.saturating_sub(target.heartbeat.hrtimer_ts.load(Relaxed));
    let mut session = ReportSession::new(
        &ctx.panic,
        &ctx.ksyms,
        Initiator::Cpu(me),
        DumpOptions::NONE,
    );
    let finding = Finding {
        cause: Cause::UnresponsiveCpu,
        magnitude: 1,
        repeated: false,
    };
    session.add(finding, now, || {
        incident::new(IncidentKind::UnresponsiveCpu, target.cpu, age)
    });
    hardlockup::print_unresponsive(target.cpu, age);
    // No *_sys_info is asked for, which is what the answer would matter for.
    session.end(|| false);
}
