// SPDX-License-Identifier: GPL-2.0

//! When a panic that was decided on is carried out, and by whom.

use proptest::prelude::*;
use vigil_logic::doom::{allowed, By, Decision, Phase, Verdict, Why, LOOK, SHOWN, STEP, TAKE_OVER};

const MS: u64 = 1_000_000;

const ALL_WHY: [Why; 4] = [
    Why::HungTask,
    Why::SoftLockup,
    Why::HardLockup,
    Why::UnresponsiveCpu,
];

fn decision(now: u64) -> Decision {
    Decision::new(By::Cpu(3), Why::HardLockup, 1, now)
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
    assert_eq!(decision.own(now, true), Verdict::Panic);
    // What somebody else asked to be shown is not waited for.
    assert_eq!(decision.own(now, false), Verdict::Panic);
}

#[test]
fn what_is_shown_is_waited_for_but_not_for_ever() {
    let decision = decision(0).then(Phase::Showing, 0, SHOWN);
    assert_eq!(decision.own(0, false), Verdict::Later(LOOK));
    assert_eq!(decision.own(1, true), Verdict::Drain);
    assert_eq!(decision.own(SHOWN - MS, false), Verdict::Later(SHOWN));
    assert_eq!(decision.own(SHOWN, false), Verdict::Drain);
}

#[test]
fn the_delay_is_kept() {
    let decision = decision(0).then(Phase::Delay, 5 * MS, 1000 * MS);
    assert_eq!(decision.own(5 * MS, true), Verdict::Later(5 * MS + LOOK));
    let end = 1005 * MS;
    assert_eq!(decision.own(end - MS, true), Verdict::Later(end));
    assert_eq!(decision.own(end, true), Verdict::Panic);
}

/// The end is kept in milliseconds, but is not before its time.
#[test]
fn not_a_nanosecond_less_than_the_delay() {
    let now = 5 * MS + 300_000;
    let decision = decision(0).then(Phase::Delay, now, 1000 * MS);
    assert_ne!(decision.own(now + 1000 * MS - 1, true), Verdict::Panic);
    assert_eq!(decision.own(now + 1001 * MS, true), Verdict::Panic);
}

#[test]
fn others_take_over() {
    let reporting = decision(0);
    assert_eq!(reporting.others(0), Verdict::Later(STEP + TAKE_OVER));
    assert_eq!(reporting.others(STEP), Verdict::Later(STEP + TAKE_OVER));
    assert_eq!(reporting.others(STEP + TAKE_OVER), Verdict::Panic);
    let delay = decision(0).then(Phase::Delay, 0, 0);
    assert_eq!(delay.others(TAKE_OVER - MS), Verdict::Later(TAKE_OVER));
    assert_eq!(delay.others(TAKE_OVER), Verdict::Panic);
}

/// Seven weeks after boot milliseconds begin anew.
#[test]
fn the_clock_may_turn_over() {
    let turn = (1u64 << 32) * MS;
    let now = turn - 1000 * MS;
    let delay = decision(now).then(Phase::Delay, now, 3000 * MS);
    assert_eq!(delay.own(now, true), Verdict::Later(now + LOOK));
    assert_eq!(
        delay.own(now + 2980 * MS, true),
        Verdict::Later(now + 3000 * MS)
    );
    assert_eq!(delay.own(now + 3000 * MS, true), Verdict::Panic);
    assert_eq!(
        delay.others(now + 3000 * MS),
        Verdict::Later(now + 5000 * MS)
    );
    assert_eq!(delay.others(now + 5000 * MS), Verdict::Panic);
}

#[test]
fn no_decision_is_no_decision() {
    assert_eq!(Decision::unpack(0), None);
}

fn any_decision() -> impl Strategy<Value = Decision> {
    let by = prop_oneof![Just(By::Thread), (0..8192u32).prop_map(By::Cpu)];
    let why = prop::sample::select(ALL_WHY.to_vec());
    let phase = prop::sample::select(vec![Phase::Reporting, Phase::Showing, Phase::Delay]);
    (by, why, phase, any::<u8>(), any::<u32>()).prop_map(|(by, why, phase, generation, end)| {
        Decision {
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
        prop_assert_eq!(Decision::unpack(word), Some(decision));
        prop_assert_eq!(decision == other, word == other.pack());
        prop_assert!(decision.same(&decision.then(Phase::Delay, 7, 7)));
        let later = Decision { generation: (decision.generation + 1) & 0xff, ..decision };
        prop_assert!(!decision.same(&later));
    }

    /// Looked at as it says, it comes to an end, for the one that decided before all others; never
    /// before the delay is over, and never later than that, the time to show, and a look each.
    #[test]
    fn it_comes_to_an_end(
        begin in 0..u64::MAX / 2,
        delay in 0..=60_000u64,
        shown_after in 0..2 * SHOWN,
    ) {
        let mut decision = decision(begin).then(Phase::Showing, begin, SHOWN);
        let mut now = begin;
        let mut drains = None;
        for looks in 0.. {
            prop_assert!(looks < 4000);
            prop_assert_ne!(decision.others(now), Verdict::Panic);
            match decision.own(now, now - begin >= shown_after) {
                Verdict::Panic => break,
                Verdict::Drain => {
                    prop_assert!(drains.is_none());
                    drains = Some(now);
                    decision = decision.then(Phase::Delay, now, delay * MS);
                }
                Verdict::Later(at) => {
                    prop_assert!(at > now && at <= now + LOOK);
                    now = at;
                }
            }
        }
        let drains = drains.unwrap();
        prop_assert!(drains - begin <= shown_after.min(SHOWN) + LOOK);
        prop_assert!(now - drains >= delay * MS);
        prop_assert!(now - drains <= delay * MS + LOOK);
    }

    /// Others, looking when they are told to, panic `TAKE_OVER` after the end, to the millisecond.
    #[test]
    fn others_come_in_time(begin in 0..u64::MAX / 2, wait in 0..70_000u64) {
        let decision = decision(begin).then(Phase::Delay, begin, wait * MS);
        let mut now = begin;
        while let Verdict::Later(at) = decision.others(now) {
            prop_assert!(at > now);
            now = at;
        }
        let due = begin + wait * MS + TAKE_OVER;
        prop_assert!(now >= due && now <= due + 2 * MS, "{} and {}", now, due);
    }

    #[test]
    fn no_numbers_are_too_large(now: u64, ns: u64, decision in any_decision()) {
        let _ = decision.others(now);
        let _ = decision.own(now, true);
        let _ = Decision::new(By::Thread, Why::HungTask, u32::MAX, now).then(Phase::Delay, now, ns);
    }
}
