// SPDX-License-Identifier: GPL-2.0

//! The live clock.

mod common;

use proptest::prelude::*;
use vigil_logic::{
    pause_clock::{lost, overdue, PERIOD, SLACK},
    NSEC_PER_SEC,
};

const SEC: u64 = NSEC_PER_SEC;

#[test]
fn lost_at_its_limits() {
    assert_eq!(
        (PERIOD, SLACK),
        (SEC, SEC),
        "what the numbers below are made for"
    );
    assert_eq!(lost(0), 0);
    assert_eq!(lost(SEC), 0);
    assert_eq!(lost(2 * SEC), 0);
    assert_eq!(lost(2 * SEC + 1), SEC + 1);
    assert_eq!(lost(60 * SEC), 59 * SEC);
    assert_eq!(lost(u64::MAX), u64::MAX - SEC);
    assert!(!overdue(0) && !overdue(2 * SEC));
    assert!(overdue(2 * SEC + 1) && overdue(u64::MAX));
}

/// A beat as `sys/clock.rs` keeps it: who reads the clock while it is overdue makes it beat.
struct Beat {
    last: u64,
    total: u64,
}

impl Beat {
    fn beat(&mut self, now: u64) {
        self.total += lost(now - self.last);
        self.last = now;
    }

    fn live(&mut self, now: u64) -> u64 {
        if overdue(now - self.last) {
            self.beat(now);
        }
        now - self.total
    }
}

#[test]
fn a_stopped_machine_ages_nothing() {
    let start = 1000 * SEC;
    // Whether the beat comes first when the machine goes on, or whoever reads the clock.
    for beats in [true, false] {
        let mut beat = Beat {
            last: start,
            total: 0,
        };
        let asleep_since = beat.live(start);
        // Stopped for a minute right after a beat: what slept for 0 s has slept for 1.
        let now = start + 60 * SEC;
        if beats {
            beat.beat(now);
        }
        assert_eq!(beat.live(now) - asleep_since, SEC);
        // And time goes on from there.
        assert_eq!(beat.live(now + SEC) - asleep_since, 2 * SEC);
        beat.beat(now + SEC);
        assert_eq!(beat.live(now + SEC) - asleep_since, 2 * SEC);
    }
}

/// What happens on the machine.
#[derive(Clone, Debug)]
enum Act {
    /// It runs for so long, then the timer beats.
    Beat(u64),
    /// It runs for so long, then the clock is read.
    Read(u64),
    /// It is stopped for so long.
    Stop(u64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (0..SEC + 1_000_000).prop_map(Act::Beat),
        2 => (0..4 * SEC).prop_map(Act::Beat),
        6 => (0..2 * SEC).prop_map(Act::Read),
        1 => (2 * SEC - 2..2 * SEC + 3).prop_map(Act::Read),
        2 => (0..100 * SEC).prop_map(Act::Stop),
    ]
}

proptest! {
    #![proptest_config(common::config())]

    /// Late beats within the slack lose nothing; beyond it, all but one period is lost.
    #[test]
    fn what_is_lost(gap in prop_oneof![0..5 * SEC, 2 * SEC - 2..2 * SEC + 3, any::<u64>()]) {
        let expected = if gap <= 2 * SEC { 0 } else { gap - SEC };
        prop_assert_eq!(lost(gap), expected);
        prop_assert_eq!(overdue(gap), expected != 0);
    }

    /// Beside the real clock: never faster, and never back by more than the slack.
    #[test]
    fn the_live_clock_beside_the_real_one(acts in prop::collection::vec(act(), 1..80)) {
        let start = 1000 * SEC;
        let mut beat = Beat { last: start, total: 0 };
        let mut now = start;
        let mut read = (now, beat.live(now));
        for act in acts {
            match act {
                Act::Beat(after) => {
                    now += after;
                    beat.beat(now);
                }
                Act::Stop(long) => now += long,
                Act::Read(after) => {
                    now += after;
                    let live = beat.live(now);
                    let (then, before) = read;
                    prop_assert!(live <= before + (now - then), "faster than the clock");
                    prop_assert!(before <= live + SLACK, "back by more than the slack");
                    prop_assert!(live >= start && live <= now);
                    read = (now, live);
                }
            }
        }
    }

    /// A stop of whatever length makes nothing older by more than a late beat may, with beats in
    /// time otherwise.
    #[test]
    fn stops_count_as_no_more_than_a_late_beat(
        stretches in prop::collection::vec((0..20u64, 0..SEC, 0..100 * SEC), 1..20),
    ) {
        let start = 1000 * SEC;
        let mut beat = Beat { last: start, total: 0 };
        let mut now = start;
        let mut ran = 0;
        let mut stops = 0;
        for (beats, rest, stop) in stretches {
            for _ in 0..beats {
                now += SEC;
                beat.beat(now);
            }
            // Stopped somewhere between two beats; the next comes at once, being late.
            now += rest + stop;
            ran += beats * SEC + rest;
            stops += 1;
            beat.beat(now);
            let live = beat.live(now) - start;
            prop_assert!(live <= ran + stops * (PERIOD + SLACK));
            // Time in which it ran may be taken for a part of the stop, less than a period.
            prop_assert!(live + stops * PERIOD >= ran);
        }
    }
}
