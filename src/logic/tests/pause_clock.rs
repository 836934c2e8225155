// SPDX-License-Identifier: GPL-2.0

//! Unpaused time.

mod common;

use proptest::prelude::*;
use vigil_logic::{
    pause_clock::{overdue, paused_ns, PERIOD_NS, SLACK_NS},
    NSEC_PER_SEC,
};

const SEC: u64 = NSEC_PER_SEC;

#[test]
fn a_pause_at_its_limits() {
    assert_eq!(
        (PERIOD_NS, SLACK_NS),
        (SEC, SEC),
        "what the numbers below are made for"
    );
    assert_eq!(paused_ns(0), 0);
    assert_eq!(paused_ns(SEC), 0);
    assert_eq!(paused_ns(2 * SEC), 0);
    assert_eq!(paused_ns(2 * SEC + 1), 2 * SEC + 1);
    assert_eq!(paused_ns(60 * SEC), 60 * SEC);
    assert_eq!(paused_ns(u64::MAX), u64::MAX);
    assert!(!overdue(0) && !overdue(2 * SEC));
    assert!(overdue(2 * SEC + 1) && overdue(u64::MAX));
}

/// The clock as `sys/pause_clock.rs` keeps it: a reader that finds the interrupt overdue accounts
/// the pause itself.
struct PauseClock {
    last: u64,
    total: u64,
}

impl PauseClock {
    fn interrupt(&mut self, now: u64) {
        self.total += paused_ns(now - self.last);
        self.last = now;
    }

    fn unpaused(&mut self, now: u64) -> u64 {
        if overdue(now - self.last) {
            self.interrupt(now);
        }
        now - self.total
    }
}

#[test]
fn a_stopped_machine_ages_nothing() {
    let start = 1000 * SEC;
    // Whether the interrupt comes first when the machine goes on, or a reader of the clock.
    for interrupt_first in [true, false] {
        let mut clock = PauseClock {
            last: start,
            total: 0,
        };
        let asleep_since = clock.unpaused(start);
        // Stopped for a minute right after an interrupt: what slept for 0 s still has.
        let now = start + 60 * SEC;
        if interrupt_first {
            clock.interrupt(now);
        }
        assert_eq!(clock.unpaused(now) - asleep_since, 0);
        // And time goes on from there.
        assert_eq!(clock.unpaused(now + SEC) - asleep_since, SEC);
        clock.interrupt(now + SEC);
        assert_eq!(clock.unpaused(now + SEC) - asleep_since, SEC);
    }
}

/// What happens on the machine.
#[derive(Clone, Debug)]
enum Act {
    /// It runs for so long, then the timer interrupts.
    Interrupt(u64),
    /// It runs for so long, then the clock is read.
    Read(u64),
    /// It is stopped for so long.
    Stop(u64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (0..SEC + 1_000_000).prop_map(Act::Interrupt),
        2 => (0..4 * SEC).prop_map(Act::Interrupt),
        6 => (0..2 * SEC).prop_map(Act::Read),
        1 => (2 * SEC - 2..2 * SEC + 3).prop_map(Act::Read),
        2 => (0..100 * SEC).prop_map(Act::Stop),
    ]
}

proptest! {
    #![proptest_config(common::config())]

    /// An interrupt that is late within the slack makes no pause; a later one makes all of the time
    /// since the one before a pause.
    #[test]
    fn what_is_a_pause(gap in prop_oneof![0..5 * SEC, 2 * SEC - 2..2 * SEC + 3, any::<u64>()]) {
        let expected = if gap <= 2 * SEC { 0 } else { gap };
        prop_assert_eq!(paused_ns(gap), expected);
        prop_assert_eq!(overdue(gap), expected != 0);
    }

    /// Beside the monotonic clock: never faster, and never back by more than the longest gap that is
    /// no pause.
    #[test]
    fn unpaused_time_beside_the_monotonic_clock(acts in prop::collection::vec(act(), 1..80)) {
        let start = 1000 * SEC;
        let mut clock = PauseClock { last: start, total: 0 };
        let mut now = start;
        let mut read = (now, clock.unpaused(now));
        for act in acts {
            match act {
                Act::Interrupt(after) => {
                    now += after;
                    clock.interrupt(now);
                }
                Act::Stop(long) => now += long,
                Act::Read(after) => {
                    now += after;
                    let unpaused = clock.unpaused(now);
                    let (then, before) = read;
                    prop_assert!(unpaused <= before + (now - then), "faster than the clock");
                    prop_assert!(before <= unpaused + PERIOD_NS + SLACK_NS, "too far back");
                    prop_assert!(unpaused >= start && unpaused <= now);
                    read = (now, unpaused);
                }
            }
        }
    }

    /// A stop makes nothing older, unless it is so short that its interrupt comes within the slack; if
    /// the other interrupts come in time.
    #[test]
    fn stops_do_not_count(
        stretches in prop::collection::vec(
            (0..20u64, 0..SEC, prop_oneof![0..100 * SEC, 0..2 * SEC]),
            1..20,
        ),
    ) {
        let start = 1000 * SEC;
        let mut clock = PauseClock { last: start, total: 0 };
        let mut now = start;
        let (mut ran, mut not_seen) = (0, 0);
        let mut stops = 0;
        for (interrupts, rest, stop) in stretches {
            for _ in 0..interrupts {
                now += SEC;
                clock.interrupt(now);
            }
            // Stopped somewhere between two interrupts; the next one is late and comes at once.
            now += rest + stop;
            ran += interrupts * SEC + rest;
            if rest + stop <= PERIOD_NS + SLACK_NS {
                not_seen += stop;
            }
            stops += 1;
            clock.interrupt(now);
            let unpaused = clock.unpaused(now) - start;
            prop_assert!(unpaused <= ran + not_seen);
            // Time in which it ran may be taken for a part of the stop, less than a period.
            prop_assert!(unpaused + stops * PERIOD_NS >= ran);
        }
    }
}
