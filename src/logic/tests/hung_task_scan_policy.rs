// SPDX-License-Identifier: GPL-2.0

//! When a pass walks through the tasks.

mod common;

use proptest::prelude::*;
use vigil_logic::hung_task::scan_policy::{
    enough, patience, Planner, RunQueues, ScanMode, PATIENCE,
};

fn queues(uninterruptible: i64, running: u64) -> Option<RunQueues> {
    Some(RunQueues {
        uninterruptible,
        running,
    })
}

#[test]
fn enough_at_its_limits() {
    let sum = |uninterruptible| RunQueues {
        uninterruptible,
        running: 1,
    };
    assert!(enough(sum(0), 0) && enough(sum(5), 5) && enough(sum(5), 6));
    assert!(!enough(sum(1), 0) && !enough(sum(6), 5));
    // A moment's noise.
    assert!(enough(sum(-1), 0) && enough(sum(i64::MIN), 0));
    assert!(!enough(sum(i64::MAX), 0) && enough(sum(i64::MAX), u64::MAX));
}

#[test]
fn patience_at_its_limits() {
    assert_eq!(PATIENCE, 3);
    // The interval that is chosen where none is given.
    assert_eq!(patience(160, 10), 2);
    // As many as make up an eighth, and no more than three.
    assert_eq!(patience(79, 10), 0);
    assert_eq!(patience(80, 10), 1);
    assert_eq!(patience(159, 10), 1);
    assert_eq!(patience(239, 10), 2);
    assert_eq!(patience(240, 10), 3);
    assert_eq!(patience(1000, 10), 3);
    assert_eq!(patience(u64::MAX, 1), 3);
    assert_eq!(patience(10, 10), 0);
    assert_eq!(patience(0, 10), 0);
    assert_eq!(patience(10, 0), 0);
}

#[test]
fn an_idle_machine_is_never_walked_through() {
    for patience in 0..4 {
        let mut planner = Planner::default();
        let mut pass = |sum, running, known| planner.plan(queues(sum, running), known, patience);
        for _ in 0..100 {
            assert_eq!(pass(0, 1, 0), ScanMode::No);
            assert_eq!(pass(0, 0, 0), ScanMode::No);
            assert_eq!(pass(3, 1, 3), ScanMode::No);
            assert_eq!(pass(-1, 1, 0), ScanMode::No);
        }
        assert_eq!(pass(1, 1, 0), ScanMode::UntilFound);
    }
}

#[test]
fn a_busy_one_now_and_then() {
    let mut planner = Planner::default();
    let mut pass = |sum, running, known| planner.plan(queues(sum, running), known, 3);
    for _ in 0..5 {
        assert_eq!(pass(0, 2, 0), ScanMode::No);
        assert_eq!(pass(2, 9, 1), ScanMode::UntilFound);
        assert_eq!(pass(2, u64::MAX, 2), ScanMode::No);
        assert_eq!(pass(0, 2, 0), ScanMode::Full);
    }
    // A pass at which the sum was exact makes up for those before.
    for _ in 0..2 {
        assert_eq!(pass(0, 2, 0), ScanMode::No);
        assert_eq!(pass(0, 2, 0), ScanMode::No);
        assert_eq!(pass(0, 2, 0), ScanMode::No);
        assert_eq!(pass(0, 1, 0), ScanMode::No);
    }
    assert_eq!(pass(0, 2, 0), ScanMode::No);
    assert_eq!(pass(0, 2, 0), ScanMode::No);
    assert_eq!(pass(0, 2, 0), ScanMode::No);
    assert_eq!(pass(0, 2, 0), ScanMode::Full);
}

#[test]
fn without_patience_a_busy_one_is_walked_through_at_each_pass() {
    let mut planner = Planner::default();
    for _ in 0..20 {
        assert_eq!(planner.plan(queues(0, 2), 0, 0), ScanMode::Full);
        assert_eq!(planner.plan(queues(0, 1), 0, 0), ScanMode::No);
    }
}

#[test]
fn without_run_queues_every_pass_walks() {
    let mut planner = Planner::default();
    for _ in 0..20 {
        assert_eq!(planner.plan(None, u64::MAX, 3), ScanMode::Full);
    }
}

proptest! {
    #![proptest_config(common::config())]

    /// Enough is known when it is at least the sum, in numbers that cannot overflow.
    #[test]
    fn enough_is_at_least_the_sum(
        uninterruptible in prop_oneof![-5..50i64, any::<i64>()],
        running: u64,
        known in prop_oneof![0..50u64, any::<u64>()],
    ) {
        let sum = RunQueues { uninterruptible, running };
        prop_assert_eq!(enough(sum, known), i128::from(known) >= i128::from(uninterruptible));
    }

    /// Never so many passes that they make up more than an eighth of the timeout; as many as do
    /// not, up to the most.
    #[test]
    fn patience_is_an_eighth_of_the_timeout(
        timeout in prop_oneof![0..5000u64, any::<u64>()],
        interval in prop_oneof![1..500u64, any::<u64>()],
    ) {
        let passes = patience(timeout, interval);
        let fits = |passes: u32| {
            u128::from(passes) * u128::from(interval) * 8 <= u128::from(timeout)
        };
        prop_assert!(passes <= PATIENCE && (interval == 0 || fits(passes)));
        prop_assert!(passes == PATIENCE || interval == 0 || !fits(passes + 1));
    }

    /// Each plan from what was planned before: a full walk exactly when the sum was relied upon,
    /// though it could miss a task, at each of the last passes; else it decides. The patience
    /// changes with the knobs.
    #[test]
    fn plans_follow_from_those_before(
        passes in prop::collection::vec((-2..4i64, 0..4u64, 0..4u64), 1..80),
        patience in prop::collection::vec(0..=PATIENCE, 4),
    ) {
        let mut planner = Planner::default();
        // Whether each pass so far relied on a sum that could miss a task.
        let mut relied: Vec<bool> = Vec::new();
        for (n, (sum, running, known)) in passes.into_iter().enumerate() {
            let patience = patience[n / 20];
            let plan = planner.plan(queues(sum, running), known, patience);
            let row = relied.iter().rev().take_while(|relied| **relied).count();
            let expected = if running > 1 && row >= patience as usize {
                ScanMode::Full
            } else if i128::from(sum) > i128::from(known) {
                ScanMode::UntilFound
            } else {
                ScanMode::No
            };
            prop_assert_eq!(plan, expected);
            relied.push(running > 1 && plan != ScanMode::Full);
        }
    }

    /// A sleeper that the sum misses, and others that come and go: it is found within the passes
    /// that may rely on the sum and one more, or as soon as the sum is exact, since it is then in
    /// it.
    #[test]
    fn a_task_that_is_not_counted_is_found(
        patience in 0..=PATIENCE,
        before in 0..4usize,
        others in prop::collection::vec((0..5u64, 1..4u64), 10),
    ) {
        let mut planner = Planner::default();
        for _ in 0..before {
            planner.plan(queues(0, 2), 0, patience);
        }
        let mut passes = 0;
        for (counted, running) in others {
            passes += 1;
            // All others are known. Where nothing else is runnable, neither is the hidden one,
            // and so it is counted.
            let hidden = running > 1;
            let sum = counted as i64 + i64::from(!hidden);
            match planner.plan(queues(sum, running), counted, patience) {
                ScanMode::Full => break,
                ScanMode::UntilFound if !hidden => break,
                ScanMode::UntilFound | ScanMode::No => prop_assert!(hidden),
            }
        }
        prop_assert!(passes <= patience + 1);
    }
}

#[test]
fn what_is_exact() {
    let exact = |running| queues(5, running).is_some_and(|queues| queues.exact());
    assert!(exact(0) && exact(1));
    assert!(!exact(2) && !exact(u64::MAX));
}
