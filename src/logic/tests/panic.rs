// SPDX-License-Identifier: GPL-2.0

//! When a panic that was decided on is carried out, and by whom.

use proptest::prelude::*;
use vigil_logic::panic::{
    allowed, Cause, Initiator, NextStep, PanicRequest, Phase, POLL_NS, STEP_NS, SYS_INFO_NS,
    TAKE_OVER,
};

const MS: u64 = 1_000_000;

const ALL_WHY: [Cause; 4] = [
    Cause::HungTask,
    Cause::SoftLockup,
    Cause::HardLockup,
    Cause::UnresponsiveCpu,
];

fn decision(now: u64) -> PanicRequest {
    PanicRequest::new(Initiator::Cpu(3), Cause::HardLockup, 1, now)
}

#[test]
fn the_policy() {
    assert!(allowed(false, false));
    assert!(allowed(false, true));
    assert!(!allowed(true, false));
    assert!(allowed(true, true));
}

#[test]
fn on_the_spot_without_a_reason_to_wait() {
    let now = 77 * MS + 300_000;
    let decision = decision(now).then(Phase::Delay, now, 0);
    assert_eq!(decision.next_for_initiator(now, true), NextStep::Panic);
    // What somebody else asked to be shown is not waited for.
    assert_eq!(decision.next_for_initiator(now, false), NextStep::Panic);
}

#[test]
fn what_is_shown_is_waited_for_but_not_for_ever() {
    let decision = decision(0).then(Phase::SysInfo, 0, SYS_INFO_NS);
    assert_eq!(
        decision.next_for_initiator(0, false),
        NextStep::PollAt(POLL_NS)
    );
    assert_eq!(decision.next_for_initiator(1, true), NextStep::Drain);
    assert_eq!(
        decision.next_for_initiator(SYS_INFO_NS - MS, false),
        NextStep::PollAt(SYS_INFO_NS)
    );
    assert_eq!(
        decision.next_for_initiator(SYS_INFO_NS, false),
        NextStep::Drain
    );
}

#[test]
fn the_delay_is_kept() {
    let decision = decision(0).then(Phase::Delay, 5 * MS, 1000 * MS);
    assert_eq!(
        decision.next_for_initiator(5 * MS, true),
        NextStep::PollAt(5 * MS + POLL_NS)
    );
    let end = 1005 * MS;
    assert_eq!(
        decision.next_for_initiator(end - MS, true),
        NextStep::PollAt(end)
    );
    assert_eq!(decision.next_for_initiator(end, true), NextStep::Panic);
}

/// The end is kept in milliseconds, but is not before its time.
#[test]
fn not_a_nanosecond_less_than_the_delay() {
    let now = 5 * MS + 300_000;
    let decision = decision(0).then(Phase::Delay, now, 1000 * MS);
    assert_ne!(
        decision.next_for_initiator(now + 1000 * MS - 1, true),
        NextStep::Panic
    );
    assert_eq!(
        decision.next_for_initiator(now + 1001 * MS, true),
        NextStep::Panic
    );
}

#[test]
fn others_take_over() {
    let reporting = decision(0);
    assert_eq!(
        reporting.next_for_takeover(0),
        NextStep::PollAt(STEP_NS + TAKE_OVER)
    );
    assert_eq!(
        reporting.next_for_takeover(STEP_NS),
        NextStep::PollAt(STEP_NS + TAKE_OVER)
    );
    assert_eq!(
        reporting.next_for_takeover(STEP_NS + TAKE_OVER),
        NextStep::Panic
    );
    let delay = decision(0).then(Phase::Delay, 0, 0);
    assert_eq!(
        delay.next_for_takeover(TAKE_OVER - MS),
        NextStep::PollAt(TAKE_OVER)
    );
    assert_eq!(delay.next_for_takeover(TAKE_OVER), NextStep::Panic);
}

/// Seven weeks after boot milliseconds begin anew.
#[test]
fn the_clock_may_turn_over() {
    let turn = (1u64 << 32) * MS;
    let now = turn - 1000 * MS;
    let delay = decision(now).then(Phase::Delay, now, 3000 * MS);
    assert_eq!(
        delay.next_for_initiator(now, true),
        NextStep::PollAt(now + POLL_NS)
    );
    assert_eq!(
        delay.next_for_initiator(now + 2980 * MS, true),
        NextStep::PollAt(now + 3000 * MS)
    );
    assert_eq!(
        delay.next_for_initiator(now + 3000 * MS, true),
        NextStep::Panic
    );
    assert_eq!(
        delay.next_for_takeover(now + 3000 * MS),
        NextStep::PollAt(now + 5000 * MS)
    );
    assert_eq!(delay.next_for_takeover(now + 5000 * MS), NextStep::Panic);
}

#[test]
fn no_decision_is_no_decision() {
    assert_eq!(PanicRequest::unpack(0), None);
}

fn any_decision() -> impl Strategy<Value = PanicRequest> {
    let by = prop_oneof![
        Just(Initiator::Thread),
        (0..8192u32).prop_map(Initiator::Cpu)
    ];
    let why = prop::sample::select(ALL_WHY.to_vec());
    let phase = prop::sample::select(vec![Phase::Reporting, Phase::SysInfo, Phase::Delay]);
    (by, why, phase, any::<u8>(), any::<u32>()).prop_map(|(by, why, phase, generation, end)| {
        PanicRequest {
            by,
            why,
            phase,
            generation: generation.into(),
            end,
        }
    })
}

proptest! {
    #[test]
    fn it_fits_into_a_word(decision in any_decision(), other in any_decision()) {
        let word = decision.pack();
        prop_assert_ne!(word, 0);
        prop_assert_eq!(PanicRequest::unpack(word), Some(decision));
        prop_assert_eq!(decision == other, word == other.pack());
        prop_assert!(decision.is_same(&decision.then(Phase::Delay, 7, 7)));
        let later = PanicRequest { generation: (decision.generation + 1) & 0xff, ..decision };
        prop_assert!(!decision.is_same(&later));
    }

    /// Looked at as it says, it comes to an end, for the one that decided before all others; never
    /// before the delay is over, and never later than that, the time to show, and a look each.
    #[test]
    fn it_comes_to_an_end(
        begin in 0..u64::MAX / 2,
        delay in 0..=60_000u64,
        shown_after in 0..2 * SYS_INFO_NS,
    ) {
        let mut decision = decision(begin).then(Phase::SysInfo, begin, SYS_INFO_NS);
        let mut now = begin;
        let mut drains = None;
        for looks in 0.. {
            prop_assert!(looks < 4000);
            prop_assert_ne!(decision.next_for_takeover(now), NextStep::Panic);
            match decision.next_for_initiator(now, now - begin >= shown_after) {
                NextStep::Panic => break,
                NextStep::Drain => {
                    prop_assert!(drains.is_none());
                    drains = Some(now);
                    decision = decision.then(Phase::Delay, now, delay * MS);
                }
                NextStep::PollAt(at) => {
                    prop_assert!(at > now && at <= now + POLL_NS);
                    now = at;
                }
            }
        }
        let drains = drains.unwrap();
        prop_assert!(drains - begin <= shown_after.min(SYS_INFO_NS) + POLL_NS);
        prop_assert!(now - drains >= delay * MS);
        prop_assert!(now - drains <= delay * MS + POLL_NS);
    }

    /// Others, looking when they are told to, panic `TAKE_OVER` after the end, to the millisecond.
    #[test]
    fn others_come_in_time(begin in 0..u64::MAX / 2, wait in 0..70_000u64) {
        let decision = decision(begin).then(Phase::Delay, begin, wait * MS);
        let mut now = begin;
        while let NextStep::PollAt(at) = decision.next_for_takeover(now) {
            prop_assert!(at > now);
            now = at;
        }
        let due = begin + wait * MS + TAKE_OVER;
        prop_assert!(now >= due && now <= due + 2 * MS, "{} and {}", now, due);
    }

    #[test]
    fn no_numbers_are_too_large(now: u64, ns: u64, decision in any_decision()) {
        let _ = decision.next_for_takeover(now);
        let _ = decision.next_for_initiator(now, true);
        let _ = PanicRequest::new(Initiator::Thread, Cause::HungTask, u32::MAX, now).then(Phase::Delay, now, ns);
    }
}
