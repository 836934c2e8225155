// SPDX-License-Identifier: GPL-2.0

//! Hard lockups noticed by another CPU: at each timer interrupt a CPU checks the next CPU in the
//! mask, and those behind it for as long as the ones before are stuck themselves. The rules are in
//! [`crate::logic::hardlockup::buddy`].

use super::{
    super::lockup_ctx::LockupCtx,
    heartbeat::CpuHeartbeat,
    report::{
        ask_policy_again,
        report_hardlockup,
        report_unresponsive,
        Target,
        RETRY_NS, //
    }, //
};
use crate::{
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
        panic::Cause, //
    },
    report::hardlockup::Evidence,
    sys::{
        atomic::{
            Acquire,
            Relaxed,
            Release, //
        },
        clock::monotonic,
        cpu,
        nmi::NmiSender, //
    }, //
};

/// How long a CPU spins for the acknowledgement of its NMI, in nanoseconds.
const NMI_SPIN_NS: u64 = 20_000_000;

/// How long if the handler has been entered: an emulated CPU takes some milliseconds for it, and a
/// slow host may stop the CPU in the middle.
const NMI_SPIN_IN_HANDLER_NS: u64 = 200_000_000;

/// How long other CPUs are checked, in nanoseconds, before this CPU's own heartbeat is renewed.
const RENEW_NS: u64 = 1_000_000;

/// Checks the CPUs behind `me`, whose heartbeat is `own`. `began`: now. `counts_from`: since when
/// heartbeats count at the earliest, the end of a pause. Returns when to check again at the latest.
///
/// # Context
///
/// The timer interrupt of `me`.
pub(in crate::detect) fn check_next_cpus(
    ctx: &LockupCtx,
    own: &CpuHeartbeat,
    me: u32,
    began: u64,
    counts_from: u64,
) -> u64 {
    let period = ctx.sample_period();
    let threshold = ctx.hardlockup_threshold();
    let count = cpu::nr_cpu_ids();
    let mut check_at = u64::MAX;
    let mut other = me;
    let mut now = began;
    let mut is_first = true;
    for _ in 1..count {
        other = other.wrapping_add(1);
        if other >= count {
            other = 0;
        }
        // Where few CPUs of many are watched, the others cost one load each.
        if !ctx.in_mask(other) {
            continue;
        }
        // Most CPUs check one other each time, and need no further reading of the clock.
        if is_first {
            is_first = false;
        } else {
            // The check before may have taken long: a report, or an acknowledgement that was waited
            // for.
            now = monotonic();
            let took = now.saturating_sub(began);
            if took >= RENEW_NS {
                // This is its timer interrupt.
                own.hrtimer_ts.store(now, Release);
            }
            if took > period / 4 {
                return check_at.min(now.saturating_add(RETRY_NS));
            }
        }
        let (Some(heartbeat), Some(cpu_hardlockup)) =
            (ctx.heartbeat(other), ctx.cpu_hardlockup(other))
        else {
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
        if cpu_hardlockup.touches.load(Acquire) != touches {
            // In this order: another CPU that checks this one sees the new count with its time.
            let at = ctx.touches.touched_at(other).min(now);
            cpu_hardlockup.touch_ts.store(at, Relaxed);
            cpu_hardlockup.touches.store(touches, Release);
        }
        let target = Target {
            cpu: other,
            heartbeat,
            cpu_hardlockup,
            counts_from: counts_from.max(cpu_hardlockup.touch_ts.load(Relaxed)),
        };
        let (state, action) = check_cpu(ctx, &target, now, period, threshold);
        match action {
            Action::Healthy => break,
            Action::CheckAt(at) => check_at = check_at.min(at),
            Action::SendNmi => (),
            Action::AlreadyReported => ask_policy_again(ctx, me, &target, state, now),
            Action::ReportHardlockup => {
                let at = report_hardlockup(ctx, me, &target, state, now, Evidence::NmiAck);
                check_at = check_at.min(at);
            }
            Action::ReportUnconfirmed => {
                let at = report_hardlockup(ctx, me, &target, state, now, Evidence::None);
                check_at = check_at.min(at);
            }
            Action::ReportNoAnswer => {
                let at = report_hardlockup(ctx, me, &target, state, now, Evidence::NoAnswer);
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
    // The CPU that sent the NMI may not have stored yet which NMIs count. In this order: the count that is
    // read is not older than the one that it is compared with.
    let stored = match state.nmi_sent_at() {
        Some(at) => target.cpu_hardlockup.nmi_sent_ts.load(Acquire) == at,
        None => true,
    };
    let nmis_before = target.cpu_hardlockup.nmis_before.load(Acquire);
    let done = ctx.nmi().map(|nmi| nmi.done(target.cpu));
    Observation {
        now,
        hrtimer_ts: target.heartbeat.hrtimer_ts.load(Acquire),
        counts_from: target.counts_from,
        nmi_acked: stored && done.is_some_and(|done| done != nmis_before),
        spinning,
        late_acks: target.cpu_hardlockup.late_acks.load(Relaxed),
        can_send_nmi: done.is_some(),
        has_hypervisor: ctx.has_hypervisor,
    }
}

/// Checks one CPU, and sends it an NMI if that is what to do; the acknowledgement usually is there
/// at once. Returns the state that was checked, for [`CpuHardlockup::transition`](super::cpu_hardlockup::CpuHardlockup::transition), and what to do.
fn check_cpu(
    ctx: &LockupCtx,
    target: &Target<'_>,
    now: u64,
    period: u64,
    threshold: u64,
) -> (State, Action) {
    let mut state = target.cpu_hardlockup.state();
    let hrtimer_ts = target.heartbeat.hrtimer_ts.load(Acquire);
    // As most are: nothing else is read of it.
    if buddy::is_healthy(now, hrtimer_ts, period) {
        return (state, Action::Healthy);
    }
    let seen = observe(ctx, target, state, now, false);
    let mut action = buddy::check(state, &seen, period, threshold);
    let mut recheck = RECHECK_NS;
    if let (Action::SendNmi, Some(nmi)) = (action, ctx.nmi()) {
        // What came out could not be reported now.
        if ctx.hardlockup_lock.is_held(now) && !ctx.panic.is_wanted(Cause::HardLockup, 1) {
            return (state, Action::CheckAt(now.saturating_add(RETRY_NS)));
        }
        let sent = State::nmi_sent(now, state);
        if !target
            .cpu_hardlockup
            .transition(&ctx.pending_hits, state, sent)
        {
            // Another CPU was first, or this one is back.
            return (
                state,
                Action::CheckAt(now.saturating_add(NMI_ACK_TIMEOUT_NS)),
            );
        }
        // It may have taken its timer interrupt between the check and the transition, and be
        // `Healthy` as before: no CPU must take this for an NMI that was sent since. Any other state it
        // leaves in that interrupt, or in the next one, which is to find what it was.
        if target.heartbeat.hrtimer_ts.load(Acquire) != hrtimer_ts {
            target
                .cpu_hardlockup
                .transition(&ctx.pending_hits, sent, state);
            return (sent, Action::Healthy);
        }
        target
            .cpu_hardlockup
            .late_acks
            .store(seen.late_acks_so_far(state), Relaxed);
        state = sent;
        let took;
        (action, took) = send_nmi(ctx, nmi, target, sent, period, threshold);
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
    threshold: u64,
) -> (Action, u64) {
    let Some(sent_at) = sent.nmi_sent_at() else {
        return (Action::Healthy, 0);
    };
    let entered = nmi.entered(target.cpu);
    target
        .cpu_hardlockup
        .nmis_before
        .store(nmi.done(target.cpu), Release);
    target.cpu_hardlockup.nmi_sent_ts.store(sent_at, Release);
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
            return (buddy::check(sent, &seen, period, threshold), took);
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
