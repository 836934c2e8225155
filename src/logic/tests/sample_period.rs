// SPDX-License-Identifier: GPL-2.0
//! When the timer interrupt of a CPU comes, beside that of the in-tree detector.

use proptest::prelude::*;
use vigil_logic::sample_period::{next_sample, sample_period, MIN_REARM_NS};

const SEC: u64 = 1_000_000_000;

#[test]
fn a_sample_is_taken_just_before_the_in_tree_detectors() {
    let (now, period) = (100 * SEC, sample_period(10));
    assert_eq!(period, 4 * SEC);
    for in_tree in [
        now + MIN_REARM_NS + 2,
        now + SEC,
        now + period,
        now + period + MIN_REARM_NS,
    ] {
        assert_eq!(next_sample(now, period, in_tree), in_tree - 1);
    }
    // Its callback comes next, in this interrupt, or so soon that there is no time for another one before.
    for in_tree in [now - 1, now, now + 1, now + MIN_REARM_NS] {
        assert_eq!(next_sample(now, period, in_tree), in_tree + period - 1);
    }
    // It does not run, has another threshold, or was not found.
    for in_tree in [0, 1, SEC, now - period, now + 2 * period, u64::MAX] {
        assert_eq!(next_sample(now, period, in_tree), now + period);
    }
}

proptest! {
    /// Whenever vigil was loaded, from the second interrupt on the two come together, vigil's first, though
    /// interrupts are late and the in-tree callback takes its time; and between two samples there is never
    /// more than a period and a millisecond.
    #[test]
    fn they_stay_together(
        thresh in 1..=60u64,
        loaded in 0..1000u64,
        late in prop::collection::vec(0..300_000u64, 1..20),
    ) {
        let period = sample_period(thresh);
        let late = |n: usize| late[n % late.len()];
        let mut in_tree = period;
        let mut expires = 1 + period * loaded / 1000;
        let mut last = 0;
        for n in 0..100 {
            // Those of the in-tree timer that come before.
            while in_tree < expires {
                in_tree += period;
            }
            prop_assert!(expires - last <= period + MIN_REARM_NS, "{n}");
            let now = expires + late(n);
            last = expires;
            expires = next_sample(now, period, in_tree).max(now + MIN_REARM_NS);
            let together = expires == in_tree - 1 || expires == in_tree + period - 1;
            prop_assert!(together, "{n}: {expires} beside {in_tree}");
        }
    }

    /// Whatever is read there.
    #[test]
    fn the_next_sample_is_within_a_period(now in 0..u64::MAX / 2, thresh in 1..=60u64, in_tree: u64) {
        let period = sample_period(thresh);
        let gap = next_sample(now, period, in_tree).wrapping_sub(now);
        prop_assert!(gap > 0 && gap <= period + MIN_REARM_NS, "{gap}");
    }
}
