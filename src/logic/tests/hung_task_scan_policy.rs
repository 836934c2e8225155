// SPDX-License-Identifier: GPL-2.0

//! When a check is followed by a scan.

mod common;

use proptest::prelude::*;
use vigil_logic::hung_task::scan_policy::{
    accounts_for_all, max_skipped, Asleep, RunQueueSum, ScanMode, ScanPolicy, MAX_SKIPPED,
};

fn queues(uninterruptible: i64, running: u64) -> Option<RunQueueSum> {
    Some(RunQueueSum {
        uninterruptible,
        running,
        has_rtlocks: false,
    })
}

/// With `PREEMPT_RT`.
fn queues_rt(uninterruptible: i64, running: u64) -> Option<RunQueueSum> {
    queues(uninterruptible, running).map(|sum| RunQueueSum {
        has_rtlocks: true,
        ..sum
    })
}

/// So many tracked tasks that are asleep, none of them for long.
fn asleep_now(all: u64) -> Asleep {
    Asleep { all, lasting: 0 }
}

/// A timeout that never makes a scan due by itself.
const NEVER: u64 = u64::MAX;

/// A policy that has just decided on a full scan.
fn policy_after_full_scan() -> ScanPolicy {
    let mut policy = ScanPolicy::default();
    assert_eq!(
        policy.scan_mode(None, asleep_now(0), 0, 1, NEVER),
        ScanMode::Full
    );
    policy
}

/// The sum is too small for good, and exact: the task that it hides is found in half a timeout; in
/// an eighth if more tasks are known to sleep than it counts.
#[test]
fn a_sum_that_is_off_hides_nothing_for_long() {
    let mut policy = policy_after_full_scan();
    let mut check =
        |now, sum, tracked| policy.scan_mode(queues(sum, 1), asleep_now(tracked), 3, now, 800);
    for now in [1, 100, 400] {
        assert_eq!(check(now, 0, 0), ScanMode::Skip);
    }
    assert_eq!(check(401, 0, 0), ScanMode::Full);
    assert_eq!(check(800, 0, 0), ScanMode::Skip);
    assert_eq!(check(801, -1, 0), ScanMode::Full);
    // Known tasks that it does not count.
    assert_eq!(check(900, 0, 1), ScanMode::Skip);
    assert_eq!(check(901, 0, 1), ScanMode::Full);
    assert_eq!(check(1000, -1, 0), ScanMode::Skip);
    assert_eq!(check(1001, -1, 0), ScanMode::Full);
    assert_eq!(check(1002, -1, 0), ScanMode::Skip);
}

#[test]
fn accounts_for_all_at_its_limits() {
    let sum = |uninterruptible| RunQueueSum {
        uninterruptible,
        running: 1,
        has_rtlocks: false,
    };
    assert!(
        accounts_for_all(sum(0), 0) && accounts_for_all(sum(5), 5) && accounts_for_all(sum(5), 6)
    );
    assert!(!accounts_for_all(sum(1), 0) && !accounts_for_all(sum(6), 5));
    // A moment's noise.
    assert!(accounts_for_all(sum(-1), 0) && accounts_for_all(sum(i64::MIN), 0));
    assert!(!accounts_for_all(sum(i64::MAX), 0) && accounts_for_all(sum(i64::MAX), u64::MAX));
}

#[test]
fn max_skipped_at_its_limits() {
    assert_eq!(MAX_SKIPPED, 3);
    // The interval that is chosen where none is given.
    assert_eq!(max_skipped(160, 10), 2);
    // As many as make up an eighth, and no more than three.
    assert_eq!(max_skipped(79, 10), 0);
    assert_eq!(max_skipped(80, 10), 1);
    assert_eq!(max_skipped(159, 10), 1);
    assert_eq!(max_skipped(239, 10), 2);
    assert_eq!(max_skipped(240, 10), 3);
    assert_eq!(max_skipped(1000, 10), 3);
    assert_eq!(max_skipped(u64::MAX, 1), 3);
    assert_eq!(max_skipped(10, 10), 0);
    assert_eq!(max_skipped(0, 10), 0);
    assert_eq!(max_skipped(10, 0), 0);
}

#[test]
fn an_idle_machine_is_never_scanned() {
    for max_skipped in 0..4 {
        let mut policy = policy_after_full_scan();
        let mut check = |sum, running, tracked| {
            policy.scan_mode(
                queues(sum, running),
                asleep_now(tracked),
                max_skipped,
                1,
                NEVER,
            )
        };
        for _ in 0..100 {
            assert_eq!(check(0, 1, 0), ScanMode::Skip);
            assert_eq!(check(0, 0, 0), ScanMode::Skip);
            assert_eq!(check(3, 1, 3), ScanMode::Skip);
            assert_eq!(check(-1, 1, 0), ScanMode::Skip);
        }
        assert_eq!(check(1, 1, 0), ScanMode::UntilAllTracked);
    }
}

#[test]
fn a_busy_one_is_scanned_now_and_then() {
    let mut policy = policy_after_full_scan();
    let mut check = |sum, running, tracked| {
        policy.scan_mode(queues(sum, running), asleep_now(tracked), 3, 1, NEVER)
    };
    for _ in 0..5 {
        assert_eq!(check(0, 2, 0), ScanMode::Skip);
        assert_eq!(check(2, 9, 2), ScanMode::Skip);
        assert_eq!(check(2, u64::MAX, 2), ScanMode::Skip);
        assert_eq!(check(0, 2, 0), ScanMode::Full);
    }
    // A check with an exact sum makes up for the skipped scans before it.
    for _ in 0..2 {
        assert_eq!(check(0, 2, 0), ScanMode::Skip);
        assert_eq!(check(0, 2, 0), ScanMode::Skip);
        assert_eq!(check(0, 2, 0), ScanMode::Skip);
        assert_eq!(check(0, 1, 0), ScanMode::Skip);
    }
    assert_eq!(check(0, 2, 0), ScanMode::Skip);
    assert_eq!(check(0, 2, 0), ScanMode::Skip);
    assert_eq!(check(0, 2, 0), ScanMode::Skip);
    assert_eq!(check(0, 2, 0), ScanMode::Full);
}

/// With `PREEMPT_RT` the sum leaves out who waits for an rtlock: an idle machine is scanned as a busy
/// one is, and no two full scans are further apart than an eighth of the timeout and one check.
#[test]
fn where_there_are_rtlocks_no_sum_is_exact() {
    let sum = queues_rt(0, 1).unwrap();
    assert!(!sum.is_exact() && !sum.may_be_exact());
    assert!(queues(0, 2).unwrap().may_be_exact());
    for (timeout, interval) in [(160, 10), (80, 10), (79, 10), (10, 10), (10_000, 10)] {
        let max_skipped = max_skipped(timeout, interval);
        for (running, tracked) in [(0, 0), (1, 0), (1, 2), (5, 0)] {
            let mut policy = policy_after_full_scan();
            let (mut now, mut last) = (1, 1);
            for _ in 0..50 {
                now += interval;
                let queues = queues_rt(0, running);
                let mode = policy.scan_mode(queues, asleep_now(tracked), max_skipped, now, timeout);
                if mode == ScanMode::Full {
                    last = now;
                }
                assert!(
                    now - last <= timeout / 8,
                    "{timeout} {interval} {now} {last}"
                );
            }
        }
    }
    // What the sum does count is found sooner, as always.
    let mut policy = policy_after_full_scan();
    let mode = policy.scan_mode(queues_rt(1, 1), asleep_now(0), 3, 80, 160);
    assert_eq!(mode, ScanMode::Full);
}

/// Where tasks block and go on all the time, the sum is above the tracked ones at each check: there
/// are few full scans in a timeout all the same, and none is put off for longer than an eighth of it.
#[test]
fn a_machine_that_blocks_all_the_time_is_scanned_now_and_then() {
    for (timeout, interval) in [(1600, 100), (240, 10), (10_000, 10)] {
        let max_skipped = max_skipped(timeout, interval);
        let mut policy = policy_after_full_scan();
        let (mut now, mut last) = (1, 1);
        let mut scans = Vec::new();
        while now < 20 * timeout {
            now += interval;
            let mode = policy.scan_mode(queues(9, 12), asleep_now(3), max_skipped, now, timeout);
            assert!(mode != ScanMode::UntilAllTracked);
            if mode == ScanMode::Full {
                policy.scanned(0);
                scans.push(now);
                last = now;
            }
            assert!(now - last <= timeout / 8);
        }
        // At each third or fourth check, and two sooner.
        let checks = timeout / interval;
        let most = (checks / u64::from(max_skipped + 1) + 3) as usize;
        for (n, &from) in scans.iter().enumerate() {
            let within = scans[n..].iter().take_while(|at| **at < from + timeout);
            let within = within.count();
            assert!(within <= most, "{within} full scans in {checks} checks");
        }
    }
}

/// An exact sum that no task explains makes one scan, and then as few as an inexact one; another task
/// above that makes one at once.
#[test]
fn a_sum_that_is_too_large_is_scanned_for_once() {
    let mut policy = policy_after_full_scan();
    let mut check = |sum, asleep, unexplained| {
        let mode = policy.scan_mode(queues(sum, 1), asleep_now(asleep), 3, 1, NEVER);
        if mode != ScanMode::Skip {
            policy.scanned(unexplained);
        }
        mode
    };
    assert_eq!(check(2, 1, 1), ScanMode::UntilAllTracked);
    for _ in 0..3 {
        for _ in 0..3 {
            assert_eq!(check(2, 1, 1), ScanMode::Skip);
        }
        assert_eq!(check(2, 1, 1), ScanMode::Full);
    }
    assert_eq!(check(3, 1, 1), ScanMode::UntilAllTracked);
    assert_eq!(check(3, 2, 1), ScanMode::Skip);
    // It was a passing one.
    assert_eq!(check(2, 2, 0), ScanMode::Skip);
    assert_eq!(check(3, 2, 0), ScanMode::UntilAllTracked);
}

#[test]
fn a_busy_one_is_scanned_at_each_check_where_no_scan_may_be_skipped() {
    let mut policy = policy_after_full_scan();
    for _ in 0..20 {
        assert_eq!(
            policy.scan_mode(queues(0, 2), asleep_now(0), 0, 1, NEVER),
            ScanMode::Full
        );
        assert_eq!(
            policy.scan_mode(queues(0, 1), asleep_now(0), 0, 1, NEVER),
            ScanMode::Skip
        );
    }
}

#[test]
fn without_run_queues_each_check_is_followed_by_a_full_scan() {
    let mut policy = policy_after_full_scan();
    for _ in 0..20 {
        assert_eq!(
            policy.scan_mode(None, asleep_now(u64::MAX), 3, 1, NEVER),
            ScanMode::Full
        );
    }
}

proptest! {
    #![proptest_config(common::config())]

    /// The tracked tasks account for all when they are at least the sum, in numbers that cannot
    /// overflow.
    #[test]
    fn all_is_at_least_the_sum(
        uninterruptible in prop_oneof![-5..50i64, any::<i64>()],
        running: u64,
        tracked in prop_oneof![0..50u64, any::<u64>()],
    ) {
        let sum = RunQueueSum { uninterruptible, running, has_rtlocks: false };
        let expected = i128::from(tracked) >= i128::from(uninterruptible);
        prop_assert_eq!(accounts_for_all(sum, tracked), expected);
    }

    /// Never so many scans that they make up more than an eighth of the timeout; as many as do
    /// not, up to the most.
    #[test]
    fn max_skipped_is_an_eighth_of_the_timeout(
        timeout in prop_oneof![0..5000u64, any::<u64>()],
        interval in prop_oneof![1..500u64, any::<u64>()],
    ) {
        let checks = max_skipped(timeout, interval);
        let fits = |checks: u32| {
            u128::from(checks) * u128::from(interval) * 8 <= u128::from(timeout)
        };
        prop_assert!(checks <= MAX_SKIPPED && (interval == 0 || fits(checks)));
        prop_assert!(checks == MAX_SKIPPED || interval == 0 || !fits(checks + 1));
    }

    /// Each mode follows from the modes before it: a full scan exactly when each of the last checks
    /// relied on the sum though it could miss a task, and once sooner; else an exact sum decides. How
    /// many scans may be skipped changes with the knobs.
    #[test]
    fn modes_follow_from_the_modes_before(
        checks in prop::collection::vec((-2..4i64, 0..4u64, 0..4u64), 1..80),
        max_skipped in prop::collection::vec(0..=MAX_SKIPPED, 4),
    ) {
        let mut policy = policy_after_full_scan();
        // Whether each check so far relied on a sum that could miss a task.
        let mut relied: Vec<bool> = Vec::new();
        let mut sooner = false;
        for (n, (sum, running, tracked)) in checks.into_iter().enumerate() {
            let max_skipped = max_skipped[n / 20];
            let mode = policy.scan_mode(queues(sum, running), asleep_now(tracked), max_skipped, 1, NEVER);
            let row = relied.iter().rev().take_while(|relied| **relied).count();
            let expected = if running > 1 && row >= max_skipped as usize {
                ScanMode::Full
            } else if running > 1 && !sooner && i128::from(sum) > i128::from(tracked) {
                sooner = true;
                ScanMode::Full
            } else if running <= 1 && i128::from(sum) > i128::from(tracked) {
                ScanMode::UntilAllTracked
            } else {
                ScanMode::Skip
            };
            prop_assert_eq!(mode, expected);
            relied.push(running > 1 && mode != ScanMode::Full);
        }
    }

    /// A sleeping task that the sum misses, and others that come and go: it is found when the scans
    /// that may be skipped have been and one more check, or as soon as the sum is exact, since it
    /// is part of the sum then.
    #[test]
    fn a_task_that_is_not_counted_is_found(
        max_skipped in 0..=MAX_SKIPPED,
        before in 0..4usize,
        others in prop::collection::vec((0..5u64, 1..4u64), 10),
    ) {
        let mut policy = policy_after_full_scan();
        for _ in 0..before {
            policy.scan_mode(queues(0, 2), asleep_now(0), max_skipped, 1, NEVER);
        }
        let mut checks = 0;
        for (counted, running) in others {
            checks += 1;
            // All others are tracked. Where nothing else is runnable, neither is the hidden one,
            // and so it is counted.
            let hidden = running > 1;
            let sum = counted as i64 + i64::from(!hidden);
            match policy.scan_mode(queues(sum, running), asleep_now(counted), max_skipped, 1, NEVER) {
                ScanMode::Full => break,
                ScanMode::UntilAllTracked if !hidden => break,
                ScanMode::UntilAllTracked | ScanMode::Skip => prop_assert!(hidden),
            }
        }
        prop_assert!(checks <= max_skipped + 1);
    }
}

#[test]
fn what_is_exact() {
    let exact = |running| queues(5, running).is_some_and(|queues| queues.is_exact());
    assert!(exact(0) && exact(1));
    assert!(!exact(2) && !exact(u64::MAX));
}
