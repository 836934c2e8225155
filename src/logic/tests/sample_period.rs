// SPDX-License-Identifier: GPL-2.0
//! When the timer interrupt of a CPU comes, beside that of the in-tree detector.

use proptest::prelude::*;
use vigil_logic::sample_period::{next_sample, sample_period};

const SEC: u64 = 1_000_000_000;

#[test]
fn a_sample_is_taken_with_the_in_tree_detector() {
    let (now, period) = (100 * SEC, sample_period(10));
    assert_eq!(period, 4 * SEC);
    for in_tree in [now, now + 1, now + SEC, now + period] {
        assert_eq!(next_sample(now, period, in_tree), in_tree);
    }
    // It does not run, has another threshold, or was not found.
    for in_tree in [0, SEC, now - 1, now + period + 1, u64::MAX] {
        assert_eq!(next_sample(now, period, in_tree), now + period);
    }
}

proptest! {
    /// Whenever vigil was loaded, from the second interrupt on the two come together, whose work takes a
    /// little while; and between two samples there is never more than a period.
    #[test]
    fn they_stay_together(
        thresh in 1..=60u64,
        loaded in 0..1000u64,
        took in prop::collection::vec(0..100_000u64, 1..20),
    ) {
        let period = sample_period(thresh);
        let took = |n: usize| took[n % took.len()];
        let mut in_tree = period;
        let mut expires = 1 + period * loaded / 1000;
        let mut last = 0;
        for n in 0..100 {
            // The kernel has those that are due expire in the order in which they are.
            let mut now = expires;
            while in_tree <= now {
                now = now.max(in_tree + took(n));
                in_tree += period;
            }
            prop_assert!(expires - last <= period, "{n}");
            last = now;
            expires = next_sample(now, period, in_tree);
            prop_assert_eq!(expires, in_tree, "{}", n);
        }
    }
}
