// SPDX-License-Identifier: GPL-2.0

//! When a root cause is reported, and that its end is noticed.

mod common;

use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use vigil_logic::{
    blocker::LockKind,
    hung_task::causes::{
        identity, places_for, Blocked, EndedCause, LeftOut, ReportReason, ReportedCause,
        ReportedCauses,
    },
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

/// Storage for so many causes, which was used before.
fn storage(causes: usize) -> Vec<ReportedCause> {
    let fits = |&len: &usize| {
        ReportedCauses::new(vec![ReportedCause::default(); len]).capacity() == causes
    };
    let len = (0..=places_for(causes)).find(fits).expect("a length");
    let mut dirt = vec![ReportedCause::default(); len];
    let mut old = ReportedCauses::new(&mut dirt[..]);
    for key in 1..=causes as u64 {
        old.see(&cause(key, 1), id(&cause(key, 1)), 1, TIMEOUT);
    }
    dirt
}

/// A memory of so many causes, in storage that was used before.
fn causes(causes: usize) -> Causes {
    ReportedCauses::new(storage(causes))
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
    seen.iter().for_each(|cause| causes.mark(cause));
    let ended = std::iter::from_fn(|| causes.next_ended());
    let ended = ended.map(|ended| ended.key).collect();
    let reasons = seen.iter().map(|cause| see_and_print(causes, now, cause));
    (reasons.collect(), ended)
}

/// A check that knows only some of the causes: why each is reported.
fn part(causes: &mut Causes, now: u64, seen: &[RootCause]) -> Vec<Option<ReportReason>> {
    causes.begin_check();
    seen.iter().for_each(|cause| causes.mark(cause));
    let reasons = seen.iter().map(|cause| see_and_print(causes, now, cause));
    reasons.collect()
}

fn see_and_print(causes: &mut Causes, now: u64, cause: &RootCause) -> Option<ReportReason> {
    let reason = causes.see(cause, id(cause), now, TIMEOUT);
    if reason.is_some() {
        causes.printed(cause, now);
    }
    reason
}

/// Why a cause is reported by a check that sees no other.
fn see(causes: &mut Causes, now: u64, cause: RootCause) -> Option<ReportReason> {
    check(causes, now, &[cause]).0[0]
}

#[test]
fn who_is_left_out_has_not_recovered() {
    let before = Blocked {
        hung: 50,
        ignored: 5,
        ..Blocked::default()
    };
    let after = Blocked {
        hung: 34,
        ignored: 6,
        frozen: 10,
    };
    assert_eq!(after.recovered_since(before.sum()), 5);
    // Frozen ones are not hung at first when they are thawed.
    let thawed = Blocked { frozen: 0, ..after };
    assert_eq!(thawed.recovered_since(after.sum()), 0);
    assert_eq!(before.recovered_since(after.sum()), 0);
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
    assert!(!causes.is_known(key(7)) && !causes.is_known(0));
    see(&mut causes, 1000, cause(7, 1));
    assert!(causes.is_known(key(7)) && !causes.is_known(0));
    // The other one takes its place, in a check that does not know whether it is there.
    assert_eq!(
        part(&mut causes, 1010, &[cause(8, 1)]),
        [Some(ReportReason::New)]
    );
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
    causes.mark(&cause(8, 1));
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
    // One has ended, and one of those that had no place has its own now.
    assert_eq!(
        check(&mut causes, 1002, &many[1..4]),
        (vec![None, None, new], vec![1])
    );
    assert_eq!(causes.left_out(), 0);
    let mut none = self::causes(0);
    assert_eq!(check(&mut none, 1000, &many), (vec![None; 5], vec![]));
    assert_eq!(none.left_out(), 5);
}

/// A new cause does not push out one that is there still, whichever of them the check sees first: the
/// old one is not over, and not new again.
#[test]
fn a_cause_that_is_there_keeps_its_place() {
    let mut causes = causes(3);
    let old = [cause(1, 1), cause(2, 1), cause(3, 1)];
    check(&mut causes, 1000, &old);
    for now in 1001..1010 {
        let seen: Vec<RootCause> = (now..now + 5).map(|key| cause(key, 1)).chain(old).collect();
        assert_eq!(check(&mut causes, now, &seen), (vec![None; 8], vec![]));
        assert_eq!(causes.left_out(), 5);
        // Nor in a check that does not know of all causes.
        assert_eq!(part(&mut causes, now, &seen), vec![None; 8]);
    }
}

/// Checks that do not know of all causes do not end anything; then the cause goes first that was not
/// marked for the longest time.
#[test]
fn the_least_recently_marked_goes() {
    let mut causes = causes(3);
    check(&mut causes, 1000, &[cause(1, 1), cause(2, 1), cause(3, 1)]);
    for (now, key) in [(1001, 1), (1002, 3)] {
        assert_eq!(part(&mut causes, now, &[cause(key, 1)]), [None]);
    }
    let new = Some(ReportReason::New);
    let seen = [cause(4, 1), cause(3, 1)];
    assert_eq!(part(&mut causes, 1003, &seen), [new, None]);
    assert!(causes.is_known(1) && !causes.is_known(2));
    let seen = [cause(5, 1), cause(3, 1), cause(6, 1), cause(4, 1)];
    assert_eq!(part(&mut causes, 1004, &seen), [new, None, None, None]);
    assert!(!causes.is_known(1));
    assert_eq!((causes.left_out(), causes.next_ended()), (1, None));
}

/// With more places, what is known is known still, and there is room for the others.
#[test]
fn moved_into_more_places() {
    let mut causes = causes(3);
    let many: Vec<RootCause> = (1..=50).map(|key| cause(key, 1)).collect();
    check(&mut causes, 1000, &many);
    assert_eq!((causes.capacity(), causes.left_out()), (3, 47));
    // In the middle of a check.
    causes.begin_check();
    many.iter().for_each(|cause| causes.mark(cause));
    assert_eq!(causes.wanted(), 50);
    let mut causes = causes.moved_into(storage(50));
    assert_eq!((causes.capacity(), causes.wanted()), (50, 50));
    assert_eq!(causes.next_ended(), None);
    for (n, cause) in many.iter().enumerate() {
        let new = Some(ReportReason::New).filter(|_| n >= 3);
        assert_eq!(see_and_print(&mut causes, 1010, cause), new, "{n}");
    }
    assert_eq!(causes.left_out(), 0);
    // The first three have lasted since the first check.
    let (reasons, _) = check(&mut causes, 1100, &many);
    let lasting = Some(ReportReason::Lasting);
    assert!((0..50).all(|n| reasons[n] == lasting.filter(|_| n < 3)));
    // Into fewer: as many as fit.
    let mut causes = causes.moved_into(storage(5));
    assert!((1..=50).filter(|&key| causes.is_known(key)).count() >= 5);
    causes.begin_check();
    while causes.next_ended().is_some() {}
    assert_eq!(causes.wanted(), 0);
}

/// What there was no room for is logged at 1, 2, 4 and so on, whatever comes and goes meanwhile.
#[test]
fn left_out_is_logged_when_it_has_doubled() {
    let mut left_out = LeftOut::default();
    let logged: Vec<u64> = (0..100)
        .flat_map(|now| [0, now, now / 2, now])
        .filter(|&now| left_out.update(now))
        .collect();
    assert_eq!(logged, [1, 2, 4, 8, 16, 32, 64]);
    // The first one may be of many.
    let mut left_out = LeftOut::default();
    let many = [75, 76, 149, 150, u64::MAX, u64::MAX];
    assert_eq!(
        many.map(|now| left_out.update(now)),
        [true, false, false, true, true, false]
    );
}

#[test]
fn places_are_enough() {
    for wanted in 0..3000 {
        let storage = vec![ReportedCause::default(); places_for(wanted)];
        assert!(
            ReportedCauses::new(storage).capacity() >= wanted,
            "{wanted}"
        );
    }
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

    /// Few places, many causes, and checks that know of some of them only: what is known, what is new,
    /// what is over and what is left out follow from the rules.
    #[test]
    fn few_places_and_many_causes(
        places in 1..9usize,
        checks in prop::collection::vec(
            (any::<bool>(), prop::collection::btree_set(1..30u64, 0..12)),
            0..60,
        ),
    ) {
        let mut memory = causes(places);
        let mut marked: BTreeMap<u64, usize> = BTreeMap::new();
        let known = |memory: &Causes| -> BTreeSet<u64> {
            (1..30).filter(|&key| memory.is_known(key)).collect()
        };
        for (number, (is_complete, keys)) in (1..).zip(checks) {
            let before = known(&memory);
            let seen: Vec<RootCause> = keys.iter().map(|&key| cause(key, 1)).collect();
            let (reasons, ended) = if is_complete {
                check(&mut memory, 1000, &seen)
            } else {
                (part(&mut memory, 1000, &seen), Vec::new())
            };
            let after = known(&memory);
            marked.extend(keys.iter().map(|&key| (key, number)));

            // What is there stays known, and is not new.
            prop_assert!(before.intersection(&keys).all(|key| after.contains(key)));
            let fresh: Vec<u64> = keys.difference(&before).copied().collect();
            let news: Vec<u64> = keys.iter().copied().zip(&reasons)
                .filter(|(_, reason)| **reason == Some(ReportReason::New))
                .map(|(key, _)| key)
                .collect();
            prop_assert!(reasons.iter().flatten().all(|reason| *reason == ReportReason::New));
            prop_assert!(fresh.iter().all(|key| news.contains(key) == after.contains(key)));
            prop_assert!(news.iter().all(|key| fresh.contains(key)));
            prop_assert_eq!(memory.left_out(), (fresh.len() - news.len()) as u64);
            // As many as there is room for.
            let room = places - before.intersection(&keys).count();
            prop_assert_eq!(news.len(), fresh.len().min(room));
            // What is over.
            let gone: BTreeSet<u64> = before.difference(&after).copied().collect();
            if is_complete {
                prop_assert_eq!(&gone, &before.difference(&keys).copied().collect());
                prop_assert_eq!(gone, ended.into_iter().collect());
            } else {
                let needed = (before.len() + news.len()).saturating_sub(places);
                prop_assert_eq!(gone.len(), needed);
                let stayed = after.difference(&keys).map(|key| marked[key]).min();
                prop_assert!(gone.iter().all(|key| stayed.is_none_or(|stayed| marked[key] <= stayed)));
            }
        }
    }
}
