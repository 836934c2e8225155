// SPDX-License-Identifier: GPL-2.0

//! When a root cause is reported, and that its end is noticed.

mod common;

use proptest::prelude::*;
use std::collections::BTreeMap;
use vigil_logic::{
    blocker::LockKind,
    hung_task::causes::{identity, EndedCause, ReportReason, ReportedCause, ReportedCauses},
    task::TaskId,
    wait_graph::{Root, RootCause, RootKind},
};

type Causes = ReportedCauses<Vec<ReportedCause>>;

/// Who the oldest task of a cause is.
fn id(cause: &RootCause) -> TaskId {
    TaskId {
        pid: cause.oldest_key as i32,
        ..TaskId::default()
    }
}

/// A memory of so many causes, in storage that was used before.
fn causes(places: usize) -> Causes {
    let mut dirt = vec![ReportedCause::default(); places];
    let mut old = ReportedCauses::new(&mut dirt[..]);
    for key in 1..=places as u64 {
        old.see(&cause(key, 1), id(&cause(key, 1)), 1, TIMEOUT);
    }
    ReportedCauses::new(dirt)
}

const TIMEOUT: u64 = 100;

fn cause(key: u64, hung: u32) -> RootCause {
    RootCause {
        root: Root::Task(0),
        key,
        lock: 0,
        hung,
        behind: hung,
        oldest: 0,
        oldest_key: 64,
        age: 30,
        deepest: 0,
        depth: 1,
    }
}

fn deadlock(key: u64, hung: u32) -> RootCause {
    RootCause {
        root: Root::Deadlock {
            first: 0,
            length: 2,
        },
        ..cause(key, hung)
    }
}

/// One check that sees these causes: why each is reported, and the keys of those that ended.
fn check(
    causes: &mut Causes,
    now: u64,
    seen: &[RootCause],
) -> (Vec<Option<ReportReason>>, Vec<u64>) {
    causes.begin_check();
    let reasons = seen.iter().map(|cause| {
        let reason = causes.see(cause, id(cause), now, TIMEOUT);
        if reason.is_some() {
            causes.printed(cause, now);
        }
        reason
    });
    let reasons = reasons.collect();
    let ended = std::iter::from_fn(|| causes.next_ended());
    (reasons, ended.map(|ended| ended.key).collect())
}

/// Why a cause is reported by a check that sees no other.
fn see(causes: &mut Causes, now: u64, cause: RootCause) -> Option<ReportReason> {
    check(causes, now, &[cause]).0[0]
}

#[test]
fn reported_at_doubling_intervals() {
    let mut causes = causes(4);
    let times: Vec<u64> = (1000..3000)
        .filter(|now| see(&mut causes, *now, cause(7, 1)).is_some())
        .collect();
    assert_eq!(times, [1000, 1100, 1200, 1400, 1800, 2600]);
}

#[test]
fn late_checks_report_once() {
    let mut causes = causes(4);
    assert_eq!(see(&mut causes, 1000, cause(7, 1)), Some(ReportReason::New));
    assert_eq!(see(&mut causes, 1099, cause(7, 1)), None);
    let lasting = Some(ReportReason::Lasting);
    assert_eq!(see(&mut causes, 1730, cause(7, 1)), lasting);
    // Unpaused time may step back a little.
    assert_eq!(see(&mut causes, 1690, cause(7, 1)), None);
    assert_eq!(see(&mut causes, 990, cause(7, 1)), None);
    assert_eq!(see(&mut causes, 1799, cause(7, 1)), None);
    assert_eq!(see(&mut causes, 1800, cause(7, 1)), lasting);
}

#[test]
fn reported_when_it_has_grown_tenfold() {
    let mut causes = causes(4);
    let mut reported = Vec::new();
    for hung in (2..5000).chain([1, 2]) {
        if let Some(reason) = see(&mut causes, 1000, cause(7, hung)) {
            reported.push((hung, reason));
        }
    }
    let grown = ReportReason::Grown;
    let wanted = [
        (2, ReportReason::New),
        (20, grown),
        (200, grown),
        (2000, grown),
    ];
    assert_eq!(reported, wanted);
    // The last report counts, for better or worse.
    assert_eq!(
        see(&mut causes, 1100, cause(7, 3)),
        Some(ReportReason::Lasting)
    );
    assert_eq!(see(&mut causes, 1101, cause(7, 30)), Some(grown));
    assert_eq!(see(&mut causes, 1101, cause(7, u32::MAX)), Some(grown));
    assert_eq!(see(&mut causes, 1101, cause(7, u32::MAX - 1)), None);
}

/// A lock with another owner at each check, or with none that is known, is one cause.
#[test]
fn a_convoy_is_one_cause() {
    let mut causes = causes(4);
    let behind = |key: u64, root: Root| RootCause {
        root,
        lock: 0xffff_8880_0000_1000,
        ..cause(key, 5)
    };
    let kind = LockKind::Mutex;
    let address = 0xffff_8880_0000_1000;
    let new = Some(ReportReason::New);
    assert_eq!(see(&mut causes, 1000, behind(7, Root::Task(1))), new);
    for (now, key, root) in [
        (1010, 8, Root::Task(2)),
        (1020, 9, Root::Lock { address, kind }),
        (1030, 7, Root::Task(1)),
    ] {
        assert_eq!(see(&mut causes, now, behind(key, root)), None);
    }
    // Its owner was read twice in a check: reported once, and counted together.
    let twice = [behind(7, Root::Task(1)), behind(8, Root::Task(2))];
    assert_eq!(check(&mut causes, 1040, &twice).0, [None, None]);
    causes.begin_check();
    assert_eq!(causes.next_ended().map(|ended| ended.hung), Some(10));
}

/// A cause is known from when it is seen until its end is returned, or it gives up its place.
#[test]
fn known_while_it_has_a_place() {
    let mut causes = causes(1);
    let key = |key| identity(&cause(key, 1));
    assert!(!causes.is_known(key(7)));
    see(&mut causes, 1000, cause(7, 1));
    assert!(causes.is_known(key(7)));
    // The other one takes its place.
    see(&mut causes, 1010, cause(8, 1));
    assert!(!causes.is_known(key(7)) && causes.is_known(key(8)));
    causes.begin_check();
    assert_eq!(causes.next_ended().map(|ended| ended.key), Some(key(8)));
    assert!(!causes.is_known(key(8)));
}

/// What is due stays due until it is printed; then its times begin.
#[test]
fn due_until_it_is_printed() {
    let mut causes = causes(4);
    let mut see = |now, prints: bool| {
        causes.begin_check();
        let reason = causes.see(&cause(7, 1), id(&cause(7, 1)), now, TIMEOUT);
        if prints {
            causes.printed(&cause(7, 1), now);
        }
        reason
    };
    assert_eq!(see(1000, false), Some(ReportReason::New));
    assert_eq!(see(1010, false), Some(ReportReason::NotPrinted));
    assert_eq!(see(1500, true), Some(ReportReason::NotPrinted));
    assert_eq!(see(1510, false), None);
    assert_eq!(see(1600, false), Some(ReportReason::Lasting));
    assert_eq!(see(1610, true), Some(ReportReason::Lasting));
    assert_eq!(see(1620, false), None);
    causes.begin_check();
    assert_eq!(
        causes.next_ended().map(|ended| ended.is_printed),
        Some(true)
    );
    // One that was never printed.
    causes.begin_check();
    causes.see(&cause(8, 1), id(&cause(8, 1)), 1700, TIMEOUT);
    causes.begin_check();
    causes.keep(&cause(8, 1));
    assert_eq!(causes.next_ended(), None);
    causes.begin_check();
    assert_eq!(
        causes.next_ended().map(|ended| ended.is_printed),
        Some(false)
    );
}

#[test]
fn an_end_is_returned_once() {
    let mut causes = causes(4);
    let both = [cause(7, 1), deadlock(8, 50)];
    assert_eq!(
        check(&mut causes, 1000, &both).0,
        [Some(ReportReason::New); 2]
    );
    assert_eq!(
        check(&mut causes, 1010, &[cause(7, 1)]),
        (vec![None], vec![8])
    );
    assert_eq!(check(&mut causes, 1020, &[cause(7, 1)]).1, []);
    // It is new when it comes back.
    assert_eq!(
        check(&mut causes, 1030, &both).0,
        [None, Some(ReportReason::New)]
    );
    causes.begin_check();
    let last = RootCause {
        oldest_key: 128,
        age: 500,
        ..cause(7, 4)
    };
    assert_eq!(causes.see(&last, id(&last), 1040, TIMEOUT), None);
    let ended = EndedCause {
        key: 8,
        kind: RootKind::Deadlock,
        began: 1000,
        is_printed: true,
        hung: 50,
        oldest_key: 64,
        oldest: id(&cause(8, 1)),
    };
    assert_eq!(
        (causes.next_ended(), causes.next_ended()),
        (Some(ended), None)
    );
    causes.begin_check();
    let ended = EndedCause {
        key: 7,
        kind: RootKind::Task,
        began: 970,
        is_printed: true,
        hung: 4,
        oldest_key: 128,
        oldest: id(&last),
    };
    assert_eq!(
        (causes.next_ended(), causes.next_ended()),
        (Some(ended), None)
    );
    // It began before the clock did.
    assert_eq!(see(&mut causes, 5, cause(9, 1)), Some(ReportReason::New));
    causes.begin_check();
    assert_eq!(causes.next_ended().map(|ended| ended.began), Some(0));
}

/// With more causes than places the same ones are remembered at each check, and the others wait.
#[test]
fn more_causes_than_places() {
    let mut causes = causes(3);
    let many: Vec<RootCause> = (1..=5).map(|key| cause(key, 1)).collect();
    let new = Some(ReportReason::New);
    assert_eq!(
        check(&mut causes, 1000, &many).0,
        [new, new, new, None, None]
    );
    assert_eq!(causes.left_out(), 2);
    assert_eq!(check(&mut causes, 1001, &many), (vec![None; 5], vec![]));
    assert_eq!(causes.left_out(), 2);
    // One has ended: its place is free at the next check.
    assert_eq!(
        check(&mut causes, 1002, &many[1..4]),
        (vec![None, None, new], vec![])
    );
    assert_eq!(causes.left_out(), 0);
    let mut none = self::causes(0);
    assert_eq!(check(&mut none, 1000, &many), (vec![None; 5], vec![]));
    assert_eq!(none.left_out(), 5);
}

/// Checks that are cut short do not end anything; then the cause goes first that was not seen for
/// the longest time.
#[test]
fn the_least_recently_seen_goes() {
    let mut causes = causes(3);
    check(&mut causes, 1000, &[cause(1, 1), cause(2, 1), cause(3, 1)]);
    for (now, key) in [(1001, 1), (1002, 3)] {
        causes.begin_check();
        assert_eq!(
            causes.see(&cause(key, 1), id(&cause(key, 1)), now, TIMEOUT),
            None
        );
    }
    causes.begin_check();
    let new = Some(ReportReason::New);
    assert_eq!(
        causes.see(&cause(4, 1), id(&cause(4, 1)), 1003, TIMEOUT),
        new
    );
    assert_eq!(
        causes.see(&cause(3, 1), id(&cause(3, 1)), 1003, TIMEOUT),
        None
    );
    assert_eq!(
        causes.see(&cause(5, 1), id(&cause(5, 1)), 1003, TIMEOUT),
        new
    );
    assert_eq!(
        causes.see(&cause(2, 1), id(&cause(2, 1)), 1003, TIMEOUT),
        None
    );
    assert_eq!((causes.left_out(), causes.next_ended()), (1, None));
}

#[test]
fn without_a_timeout_nothing_lasts() {
    let mut causes = causes(1);
    for now in [0, 1, 1 << 40, u64::MAX] {
        causes.begin_check();
        let reason = causes.see(&cause(7, 1), id(&cause(7, 1)), now, 0);
        causes.printed(&cause(7, 1), now);
        assert_eq!(reason, (now == 0).then_some(ReportReason::New));
    }
}

proptest! {
    #![proptest_config(common::config())]

    /// As many places as causes: against a list of the times at which reports are due.
    #[test]
    fn agrees_with_a_list_of_times(
        checks in prop::collection::vec(
            (0..150u64, prop::collection::btree_map(1..5u64, (1..200u32, any::<bool>()), 0..5)),
            0..60,
        ),
    ) {
        struct Known {
            due: Vec<u64>,
            hung: u32,
        }
        let mut memory = causes(4);
        let mut known: BTreeMap<u64, Known> = BTreeMap::new();
        let mut now = 1000;
        for (passed, seen) in checks {
            now += passed;
            let wanted: Vec<_> = seen.iter().map(|(key, &(hung, _))| {
                let Some(known) = known.get_mut(key) else {
                    let due = (0..40).map(|n| now + (TIMEOUT << n)).collect();
                    known.insert(*key, Known { due, hung });
                    return Some(ReportReason::New);
                };
                let is_due = known.due.iter().any(|due| *due <= now);
                let reason = if hung / 10 >= known.hung {
                    ReportReason::Grown
                } else if is_due {
                    ReportReason::Lasting
                } else {
                    return None;
                };
                known.due.retain(|due| *due > now);
                known.hung = hung;
                Some(reason)
            }).collect();
            let gone = known.keys().filter(|key| !seen.contains_key(key));
            let gone: Vec<u64> = gone.copied().collect();
            known.retain(|key, _| seen.contains_key(key));
            let seen: Vec<RootCause> = seen.iter().map(|(&key, &(hung, is_deadlock))| {
                if is_deadlock { deadlock(key, hung) } else { cause(key, hung) }
            }).collect();
            let (reasons, mut ended) = check(&mut memory, now, &seen);
            ended.sort_unstable();
            prop_assert_eq!((reasons, ended), (wanted, gone));
            prop_assert_eq!(memory.left_out(), 0);
        }
    }
}
