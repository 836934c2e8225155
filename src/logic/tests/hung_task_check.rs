// SPDX-License-Identifier: GPL-2.0

//! When a task is hung and when it is reported, against mainline's rule written down independently:
//! once as `task_is_hung()` stands in `kernel/hung_task.c`, once as a rule about the whole history.

mod common;

use proptest::prelude::*;
use vigil_logic::{
    hung_task::{
        check::{self, interval, Heartbeat, Outcome, TaskSample, Tracked, Wait},
        scan_policy::{
            accounts_for_all, excess, max_skipped, Asleep, RunQueueSum, ScanMode, ScanPolicy,
        },
    },
    NSEC_PER_SEC,
};

const SEC: u64 = NSEC_PER_SEC;
const MS: u64 = SEC / 1000;

// Written out once more: the tests are to notice when the crate's differ.
const D: u32 = 0x0002;
const RTLOCK: u32 = 0x1000;
const KILLABLE: u32 = 0x0102;
const IDLE: u32 = 0x0402;
const FREEZABLE_D: u32 = 0x2002;
const FROZEN: u32 = 0x8000;
const FROZEN_D: u32 = 0x8002;

fn at(state: u32, switch_count: u64) -> TaskSample {
    TaskSample {
        state,
        switch_count,
    }
}

/// First sampled at 0, then checked at `times` in seconds; one timeout.
fn checks(state: u32, timeout: u64, times: &[u64]) -> Vec<Outcome> {
    let mut tracked = Tracked::new(&at(state, 7), 0);
    times
        .iter()
        .map(|t| tracked.check(&at(state, 7), t * SEC, timeout * SEC))
        .collect()
}

use Outcome::{Awake, StillHung, Waiting};
const FIRST: Outcome = Outcome::Hung { first: true };
const AGAIN: Outcome = Outcome::Hung { first: false };

#[test]
fn what_became_of_a_stall() {
    let (timeout, now) = (10 * SEC, 12 * SEC);
    let mut tracked = Tracked::new(&at(D, 7), 0);
    assert_eq!(tracked.check(&at(D, 7), now, timeout), FIRST);
    assert_eq!(tracked.stall(&at(D, 7), now, timeout), check::Stall::Hung);
    // The timeout is longer now.
    assert_eq!(tracked.check(&at(D, 7), now, 20 * SEC), Waiting);
    assert_eq!(
        tracked.stall(&at(D, 7), now, 20 * SEC),
        check::Stall::BelowTimeout
    );
    assert_eq!(tracked.stall(&at(0, 7), now, timeout), check::Stall::Over);
    assert_eq!(tracked.stall(&at(D, 8), now, 20 * SEC), check::Stall::Over);

    let mut frozen = tracked;
    assert_eq!(frozen.check(&at(FROZEN_D, 7), now, timeout), Waiting);
    assert_eq!(
        frozen.stall(&at(FROZEN_D, 7), now, timeout),
        check::Stall::Frozen
    );

    // It has run, and sleeps again: that is another sleep, whatever its kind.
    for state in [D, KILLABLE] {
        let mut other = tracked;
        assert_eq!(other.check(&at(state, 8), now, timeout), Waiting);
        assert_eq!(other.stall(&at(state, 8), now, timeout), check::Stall::Over);
    }
}

#[test]
fn hung_at_the_timeout_and_not_a_nanosecond_before() {
    let mut tracked = Tracked::new(&at(D, 7), 5);
    let timeout = 10 * SEC;
    assert_eq!(tracked.check(&at(D, 7), 5 + timeout - 1, timeout), Waiting);
    assert!(!tracked.is_hung(&at(D, 7), 5 + timeout - 1, timeout));
    assert!(tracked.is_hung(&at(D, 7), 5 + timeout, timeout));
    assert_eq!(tracked.check(&at(D, 7), 5 + timeout, timeout), FIRST);
    assert!(tracked.is_hung(&at(D, 7), 5 + timeout, timeout));
    assert_eq!(tracked.check(&at(D, 7), 5 + timeout, timeout), StillHung);
}

#[test]
fn reported_again_after_each_further_timeout() {
    let times = [4, 9, 10, 11, 19, 20, 21, 29, 47, 49, 50];
    assert_eq!(
        checks(D, 10, &times),
        [
            Waiting, Waiting, FIRST, StillHung, StillHung, AGAIN, StillHung, StillHung,
            // Two timeouts later: one report, not two.
            AGAIN, StillHung, AGAIN
        ]
    );
}

/// A rule hides a hung task and changes nothing else: without the rule the task is found as if it had
/// not been checked meanwhile. Whether it is ignored is asked of a hung task only.
#[test]
fn ignored_while_a_rule_says_so() {
    let mut tracked = Tracked::new(&at(D, 7), 0);
    let mut check = |secs: u64, is_ignored: bool| {
        let mut asked = false;
        let outcome = tracked.check_wait(
            &at(D, 7),
            secs * SEC,
            10 * SEC,
            Heartbeat::default(),
            || Wait::Ordinary,
            || {
                asked = true;
                is_ignored
            },
        );
        assert_eq!(asked, secs >= 10);
        outcome
    };
    assert_eq!(check(9, true), Waiting);
    assert_eq!(check(10, true), Outcome::Ignored);
    assert_eq!(check(35, true), Outcome::Ignored);
    // It was not reported before.
    assert_eq!(check(36, false), FIRST);
    assert_eq!(check(37, false), StillHung);
    // It was, at an age of 36 s.
    assert_eq!(check(40, true), Outcome::Ignored);
    assert_eq!(check(59, true), Outcome::Ignored);
    assert_eq!(check(60, false), AGAIN);
    assert_eq!(check(61, true), Outcome::Ignored);
    assert_eq!(check(62, false), StillHung);
    assert!(tracked.is_hung(&at(D, 7), 62 * SEC, 10 * SEC));
    assert_eq!(tracked.reaches(70 * SEC), 70 * SEC);
    assert_eq!(tracked.due(10 * SEC), 70 * SEC);
}

#[test]
fn what_is_never_hung() {
    for state in [KILLABLE, KILLABLE | 0x2000] {
        assert_eq!(checks(state, 1, &[1, 1000, 1_000_000]), [Waiting; 3]);
    }
    // Frozen in a sleep that the run queues go on counting.
    assert_eq!(checks(FROZEN_D, 1, &[1, 1000, 1_000_000]), [Waiting; 3]);
    assert!(at(FROZEN_D, 1).counts_to_load() && !at(FROZEN_D, 1).may_hang());
    for state in [0, 1, 4, 8, 0x40, 0x80, IDLE, FROZEN, 0x0502] {
        assert_eq!(checks(state, 1, &[1, 1000, 1_000_000]), [Awake; 3]);
        assert!(!at(state, 7).counts_to_load() && !at(state, 7).is_tracked());
    }
    // Never switched out: it has only just set its state, however long ago.
    let mut tracked = Tracked::new(&at(D, 0), 0);
    assert!(!tracked.is_hung(&at(D, 0), 1000 * SEC, SEC));
    assert_eq!(tracked.check(&at(D, 0), 1000 * SEC, SEC), Waiting);
    // And once it sleeps, that is where its age begins.
    assert_eq!(tracked.check(&at(D, 1), 1001 * SEC, 2 * SEC), Waiting);
    assert_eq!(tracked.check(&at(D, 1), 1003 * SEC - 1, 2 * SEC), Waiting);
    assert_eq!(tracked.check(&at(D, 1), 1003 * SEC, 2 * SEC), FIRST);
}

#[test]
fn what_counts_to_the_load() {
    for state in [D, FREEZABLE_D, KILLABLE, 0x1002] {
        assert!(at(state, 1).counts_to_load() && at(state, 0).counts_to_load());
    }
    assert!(at(D, 1).may_hang() && at(FREEZABLE_D, 1).may_hang());
    assert!(!at(D, 0).may_hang() && !at(KILLABLE, 1).may_hang() && !at(IDLE, 1).may_hang());
}

/// Who waits for an rtlock is hung as others are, but is none of those that the scheduler counts.
#[test]
fn a_wait_for_an_rtlock() {
    assert_eq!(
        checks(RTLOCK, 10, &[4, 9, 10, 19, 20]),
        [Waiting, Waiting, FIRST, StillHung, AGAIN]
    );
    let sample = at(RTLOCK, 1);
    assert!(sample.is_tracked() && sample.may_hang() && !sample.counts_to_load());
    assert!(!at(RTLOCK, 0).may_hang());
    // The state that it had before comes back with a context switch: that is another sleep.
    let mut tracked = Tracked::new(&sample, 0);
    assert!(tracked.same_sleep(&sample));
    assert_eq!(tracked.check(&sample, 9 * SEC, 10 * SEC), Waiting);
    assert_eq!(tracked.check(&at(D, 2), 10 * SEC, 10 * SEC), Waiting);
    assert_eq!(tracked.check(&at(D, 2), 20 * SEC, 10 * SEC), FIRST);
    assert_eq!(tracked.check(&at(RTLOCK, 3), 21 * SEC, 10 * SEC), Waiting);
    assert_eq!(tracked.check(&at(0, 4), 22 * SEC, 10 * SEC), Awake);
}

#[test]
fn a_context_switch_restarts_the_age() {
    let mut tracked = Tracked::new(&at(D, 7), 0);
    let timeout = 10 * SEC;
    assert_eq!(tracked.check(&at(D, 8), 9 * SEC, timeout), Waiting);
    assert_eq!(tracked.age(9 * SEC), 0);
    assert_eq!(tracked.check(&at(D, 8), 10 * SEC, timeout), Waiting);
    assert_eq!(tracked.check(&at(D, 8), 19 * SEC, timeout), FIRST);
    // A new stall counts as such.
    assert!(
        !tracked.is_hung(&at(D, 9), 20 * SEC, timeout),
        "it has not been seen yet"
    );
    assert_eq!(tracked.check(&at(D, 9), 20 * SEC, timeout), Waiting);
    assert!(!tracked.is_hung(&at(D, 9), 20 * SEC, timeout));
    assert_eq!(tracked.check(&at(D, 9), 30 * SEC, timeout), FIRST);
    // The counter may wrap; only "different" matters.
    assert_eq!(tracked.check(&at(D, 8), 31 * SEC, timeout), Waiting);
}

/// A stall that was reported is over with the next context switch, or when the task is frozen; a longer
/// timeout does not end it.
#[test]
fn a_reported_stall_ends() {
    for (next, ends) in [(at(D, 7), false), (at(D, 8), true), (at(FROZEN_D, 7), true)] {
        let mut tracked = Tracked::new(&at(D, 7), 0);
        assert!(!tracked.is_reported());
        assert_eq!(tracked.check(&at(D, 7), 10 * SEC, 10 * SEC), FIRST);
        tracked.is_printed = true;
        assert!(tracked.is_reported());
        assert_eq!(tracked.check(&next, 11 * SEC, 100 * SEC), Waiting);
        assert_eq!(tracked.is_reported(), !ends, "{next:?}");
    }
    // What is known of the next sleep has nothing of it.
    let mut tracked = Tracked::new(&at(D, 7), 0);
    tracked.is_printed = true;
    tracked.check(&at(D, 8), SEC, 10 * SEC);
    assert!(!tracked.is_printed);
}

#[test]
fn a_thawed_task_begins_anew() {
    // The freezer changes the state of a sleeper without letting it run.
    let mut tracked = Tracked::new(&at(FREEZABLE_D, 7), 0);
    assert_eq!(tracked.check(&at(FROZEN, 7), 50 * SEC, 10 * SEC), Awake);
    // The caller stops tracking it; a scan finds it again once thawed. One that the run queues count
    // is tracked all the time.
    let mut frozen = Tracked::new(&at(FREEZABLE_D, 7), 0);
    assert_eq!(frozen.check(&at(FROZEN_D, 7), 50 * SEC, 10 * SEC), Waiting);
    let mut thawed = |now| frozen.check(&at(FREEZABLE_D, 7), now * SEC, 10 * SEC);
    assert_eq!([60, 69, 70].map(&mut thawed), [Waiting, Waiting, FIRST]);
    let mut tracked = Tracked::new(&at(FREEZABLE_D, 7), 60 * SEC);
    assert_eq!(
        tracked.check(&at(FREEZABLE_D, 7), 69 * SEC, 10 * SEC),
        Waiting
    );
    assert_eq!(
        tracked.check(&at(FREEZABLE_D, 7), 70 * SEC, 10 * SEC),
        FIRST
    );
}

#[test]
fn the_same_sleep_has_the_same_switch_count() {
    let mut tracked = Tracked::new(&at(D, 7), 0);
    tracked.check(&at(D, 8), SEC, 10 * SEC);
    assert!(tracked.same_sleep(&at(D, 8)) && tracked.same_sleep(&at(KILLABLE, 8)));
    assert!(!tracked.same_sleep(&at(D, 9)) && !tracked.same_sleep(&at(0, 8)));
    assert!(!tracked.same_sleep(&at(IDLE, 8)));
}

#[test]
fn a_longer_timeout_puts_no_report_off() {
    let mut tracked = Tracked::new(&at(D, 7), 0);
    let mut check = |t: u64, timeout: u64| {
        let outcome = tracked.check(&at(D, 7), t * SEC, timeout * SEC);
        (outcome, tracked.due(timeout * SEC) / SEC)
    };
    assert_eq!(check(50, 10), (FIRST, 60));
    assert_eq!(check(55, 100), (Waiting, 100));
    assert_eq!(check(99, 100), (Waiting, 100));
    assert_eq!(check(100, 100), (AGAIN, 200), "and not first a second time");
    assert_eq!(check(199, 100), (StillHung, 200));
    assert_eq!(check(200, 100), (AGAIN, 300));
    // No check between the change and the new timeout's end.
    assert_eq!(check(290, 10), (AGAIN, 300));
    assert_eq!(check(310, 100), (AGAIN, 400));
}

#[test]
fn a_shorter_timeout_reports_sooner_and_not_twice() {
    let mut tracked = Tracked::new(&at(D, 7), 0);
    let mut check = |t: u64, timeout: u64| {
        let outcome = tracked.check(&at(D, 7), t * SEC, timeout * SEC);
        (outcome, tracked.due(timeout * SEC) / SEC)
    };
    assert_eq!(check(50, 100), (Waiting, 100));
    assert_eq!(
        check(51, 20),
        (FIRST, 60),
        "longer than the new timeout already"
    );
    assert_eq!(check(59, 20), (StillHung, 60));
    assert_eq!(check(100, 100), (AGAIN, 200));
    // It was reported a second ago: what a shorter timeout would have reported before is past.
    assert_eq!(check(101, 10), (StillHung, 110));
    assert_eq!(check(110, 10), (AGAIN, 120));
}

#[test]
fn numbers_at_their_ends() {
    let end = u64::MAX;
    // A timeout of LONG_MAX/HZ seconds is more nanoseconds than there are.
    let mut tracked = Tracked::new(&at(D, end), 1);
    assert_eq!(tracked.due(end), end);
    assert_eq!(tracked.check(&at(D, end), end, end), Waiting);
    assert_eq!(tracked.check(&at(D, end), end, end - 1), FIRST);
    assert_eq!(tracked.check(&at(D, end), end, end - 1), StillHung);
    assert_eq!(tracked.due(end - 1), end);
    assert_eq!(tracked.check(&at(D, end), end, 1), StillHung);
    assert_eq!(tracked.due(1), end);
    // A clock that goes back.
    let mut tracked = Tracked::new(&at(D, 1), end);
    assert_eq!(tracked.check(&at(D, 1), 0, 1), Waiting);
    assert_eq!(tracked.age(0), 0);
    // A timeout of zero is never passed; it makes nothing hung rather than everything.
    assert_eq!(Tracked::new(&at(D, 1), 0).check(&at(D, 1), end, 0), Waiting);
}

/// `task_is_hung()` of `kernel/hung_task.c`, with nanoseconds for jiffies.
#[derive(Default)]
struct Mainline {
    last_switch_count: u64,
    last_switch_time: u64,
}

impl Mainline {
    fn task_is_hung(&mut self, state: u32, switch_count: u64, now: u64, timeout: u64) -> bool {
        if (state & 0x2) == 0 || (state & (0x100 | 0x400 | 0x8000)) != 0 {
            return false;
        }
        if switch_count == 0 {
            return false;
        }
        if switch_count != self.last_switch_count {
            self.last_switch_count = switch_count;
            self.last_switch_time = now;
            return false;
        }
        self.last_switch_time + timeout <= now
    }
}

/// One task as the detector treats it: tracked from the scan that samples it asleep, until the
/// check that samples it awake.
#[derive(Default)]
struct Task(Option<Tracked>);

impl Task {
    /// `None`: not tracked, or since this sample only.
    fn check(&mut self, sample: &TaskSample, now: u64, timeout: u64) -> Option<Outcome> {
        let Some(tracked) = &mut self.0 else {
            self.0 = sample.is_tracked().then(|| Tracked::new(sample, now));
            return None;
        };
        let outcome = tracked.check(sample, now, timeout);
        if outcome == Awake {
            self.0 = None;
        }
        Some(outcome)
    }
}

/// What a task can really do between two checks.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// Nothing: whatever it was, it still is.
    Stay,
    /// Runs, and is switched out into this state.
    Sleep(u32),
    /// Has woken, and is on a CPU.
    Wake,
    /// Is on a CPU and has set this state, but was not switched out yet.
    Prepare(u32),
}

fn sleep_state() -> impl Strategy<Value = u32> {
    prop_oneof![
        6 => Just(D),
        2 => Just(FREEZABLE_D),
        1 => Just(KILLABLE),
        1 => Just(IDLE),
        1 => Just(1u32),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        12 => Just(Act::Stay),
        3 => sleep_state().prop_map(Act::Sleep),
        1 => Just(Act::Wake),
        1 => sleep_state().prop_map(Act::Prepare),
    ]
}

/// Gaps between checks: often whole or half seconds, so that a timeout's end is met exactly.
fn gap() -> impl Strategy<Value = u64> {
    prop_oneof![
        2 => Just(0),
        6 => (0u64..40).prop_map(|halves| halves * SEC / 2),
        2 => 0..25 * SEC,
        1 => Just(SEC - 1),
        1 => Just(SEC + 1),
    ]
}

fn timeouts() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => (1u64..=20).prop_map(|secs| secs * SEC),
        1 => Just(120 * SEC),
        1 => Just(1),
        1 => Just(u64::MAX),
    ]
}

/// A few checks with the same timeout, then another timeout.
fn with_timeouts<T: core::fmt::Debug>(
    checks: impl Strategy<Value = T>,
) -> impl Strategy<Value = Vec<(T, u64)>> {
    let stretch = (timeouts(), prop::collection::vec(checks, 1..25));
    prop::collection::vec(stretch, 1..5).prop_map(|stretches| {
        let mut all = Vec::new();
        for (timeout, checks) in stretches {
            all.extend(checks.into_iter().map(|check| (check, timeout)));
        }
        all
    })
}

/// States and switch counts as they come, also such as no task can show.
fn any_sample() -> impl Strategy<Value = (u64, u32, u64)> {
    let state = prop_oneof![
        24 => Just(D),
        2 => Just(FREEZABLE_D),
        2 => Just(RTLOCK),
        1 => Just(KILLABLE),
        1 => Just(IDLE),
        1 => Just(FROZEN),
        1 => Just(FROZEN_D),
        1 => Just(0u32),
        1 => any::<u32>(),
    ];
    let switches = prop_oneof![20 => Just(5u64), 1 => Just(0), 2 => 0..8u64, 1 => any::<u64>()];
    (gap(), state, switches)
}

/// One check of a history.
#[derive(Clone, Copy, Debug)]
struct Past {
    now: u64,
    state: u32,
    switches: u64,
}

impl Past {
    /// Asleep in a way that is tracked.
    fn asleep(&self) -> bool {
        self.state & 0x1002 != 0 && self.state & 0x0400 == 0
    }

    fn reportable(&self) -> bool {
        self.asleep() && self.state & 0x8100 == 0 && self.switches > 0
    }
}

/// The index in the history at which the stall of its last check began: the first of an unbroken
/// row of checks that show the same sleep and are reportable. (The state of a
/// sleeping task changes only when it is frozen and thawed.)
fn began(history: &[Past]) -> Option<usize> {
    let last = history.last().filter(|last| last.reportable())?;
    let same = |past: &Past| past.asleep() && past.switches == last.switches;
    let row = history.iter().rev().take_while(|past| same(past));
    let mut first = history.len();
    for past in row {
        if !past.reportable() {
            break;
        }
        first -= 1;
    }
    Some(first)
}

proptest! {
    #![proptest_config(common::config())]

    /// At every check that a real task can give rise to, hung is what mainline calls hung.
    #[test]
    fn hung_is_what_mainline_calls_hung(
        script in with_timeouts((gap(), act())),
        early in 0..3u64,
    ) {
        let mut mainline = Mainline::default();
        let mut task = Task::default();
        let (mut now, mut state, mut switches) = (1000 * SEC, 0, early);
        for ((gap, act), timeout) in script {
            now += gap;
            match act {
                Act::Stay => {}
                Act::Sleep(into) => {
                    state = into;
                    switches += 1;
                }
                Act::Wake => state = 0,
                // It sleeps only with the next switch; until then, another check may see it wake.
                // Mainline may take what it prepares for the sleep before that, so let it be new.
                Act::Prepare(into) => {
                    state = into;
                    switches = if switches == 0 { 0 } else { switches + 1 };
                }
            }
            let timeout = timeout.min(u64::MAX / 2);
            let expected = mainline.task_is_hung(state, switches, now, timeout);
            let outcome = task.check(&at(state, switches), now, timeout);
            let hung = matches!(outcome, Some(StillHung | Outcome::Hung { .. }));
            prop_assert_eq!(hung, expected, "{:?} at {}", outcome, now);
        }
    }

    /// Every outcome follows from the whole history, with any states, switch counts and timeouts.
    #[test]
    fn outcomes_follow_from_the_history(script in with_timeouts(any_sample())) {
        let mut history: Vec<Past> = Vec::new();
        // Ages at which the stall that is going on was reported.
        let mut findings: Vec<u64> = Vec::new();
        let mut task = Task::default();
        let mut now = 1000 * SEC;
        for ((gap, state, switches), timeout) in script {
            now += gap;
            let known = history.last().is_some_and(Past::asleep);
            // What would be said of it by a report about another task.
            let before = task.0.map(|tracked| tracked.is_hung(&at(state, switches), now, timeout));
            history.push(Past { now, state, switches });
            let past = history[history.len() - 1];
            let outcome = task.check(&at(state, switches), now, timeout);

            let first = began(&history);
            if first.is_none_or(|first| first + 1 == history.len()) {
                findings.clear();
            }
            let age = first.map_or(0, |first| now - history[first].now);
            let expected = if !known {
                None
            } else if !past.asleep() {
                Some(Awake)
            } else if age == 0 || age < timeout {
                Some(Waiting)
            } else {
                let before = findings.last().copied().unwrap_or(0);
                // A whole multiple of the timeout has passed since it was reported last.
                let due = age - age % timeout > before;
                Some(if due {
                    findings.push(age);
                    Outcome::Hung { first: findings.len() == 1 }
                } else {
                    StillHung
                })
            };
            prop_assert_eq!(outcome, expected);
            let hung = matches!(outcome, Some(StillHung | Outcome::Hung { .. }));
            prop_assert_eq!(before.unwrap_or(false), hung);

            let Some(tracked) = task.0 else {
                prop_assert!(!past.asleep());
                continue;
            };
            prop_assert_eq!(tracked.is_hung(&at(state, switches), now, timeout), hung);
            prop_assert!(tracked.same_sleep(&at(state, switches)));
            if past.reportable() {
                prop_assert_eq!(tracked.age(now), age);
            }
        }
    }

    /// With one timeout for all checks: reported once for each of its multiples that lies between
    /// two checks, however they fall, and never before the first multiple.
    #[test]
    fn one_report_for_each_multiple(
        gaps in prop::collection::vec(gap(), 1..60),
        timeout in (1u64..20).prop_map(|secs| secs * SEC),
    ) {
        let mut tracked = Tracked::new(&at(D, 5), 77);
        let (mut age, mut found) = (0u64, 0u64);
        for gap in gaps {
            let passed = (age + gap) / timeout - age / timeout;
            age += gap;
            let outcome = tracked.check(&at(D, 5), 77 + age, timeout);
            prop_assert_eq!(matches!(outcome, Outcome::Hung { .. }), passed > 0);
            if let Outcome::Hung { first } = outcome {
                prop_assert_eq!(first, found == 0);
                prop_assert!(age >= timeout);
                found += 1;
            }
            prop_assert_eq!(outcome == Waiting, age < timeout);
        }
        prop_assert!(found <= age / timeout);
    }

    /// `due()` is the first moment at which a check makes a report due, whatever timeout it has.
    #[test]
    fn due_is_when_the_next_report_is_possible(
        script in with_timeouts((gap(), Just(D), prop_oneof![9 => Just(5u64), 1 => 5..7u64])),
        next in prop_oneof![1 => Just(None), 1 => timeouts().prop_map(Some)],
        delay in gap(),
    ) {
        let mut now = 1000 * SEC;
        let mut tracked = Tracked::new(&at(D, 5), now);
        let mut switches = 5;
        let mut last_timeout = SEC;
        for ((gap, state, count), timeout) in script {
            now += gap;
            (switches, last_timeout) = (count, timeout);
            let outcome = tracked.check(&at(state, count), now, timeout);
            let due = tracked.due(timeout);
            prop_assert!(due > now || due == u64::MAX, "{:?}", outcome);
        }
        let timeout = next.unwrap_or(last_timeout);
        let due = tracked.due(timeout);
        let finds = |when: u64| {
            let mut copy = tracked;
            matches!(copy.check(&at(D, switches), when, timeout), Outcome::Hung { .. })
        };
        if due > 0 {
            prop_assert!(!finds(due - 1));
        }
        if due < u64::MAX {
            prop_assert!(finds(due));
            prop_assert!(finds(due.saturating_add(delay)));
        }
        prop_assert_eq!(finds(now.saturating_add(delay)), now.saturating_add(delay) >= due);
    }

    /// A timeout that changes at every check neither reports early nor makes a second "first"; once
    /// it stays, the next report comes with its next multiple.
    #[test]
    fn changing_the_timeout_loses_and_doubles_nothing(
        before in prop::collection::vec((gap(), timeouts()), 1..20),
        timeout in (1u64..20).prop_map(|secs| secs * SEC),
        after in prop::collection::vec(gap(), 1..20),
    ) {
        let mut tracked = Tracked::new(&at(D, 5), 0);
        let mut age = 0;
        let mut firsts = 0;
        let mut last_found = None;
        let script = before.into_iter().chain(after.into_iter().map(|gap| (gap, timeout)));
        for (gap, timeout) in script {
            age += gap;
            match tracked.check(&at(D, 5), age, timeout) {
                Outcome::Hung { first } => {
                    prop_assert!(age >= timeout);
                    prop_assert!(last_found.is_none_or(|at| at < age));
                    // Two reports have a multiple of the timeout between them.
                    prop_assert!(last_found.unwrap_or(0) < age - age % timeout);
                    firsts += u32::from(first);
                    prop_assert_eq!(first, last_found.is_none());
                    last_found = Some(age);
                }
                Awake | Outcome::Ignored => prop_assert!(false),
                Waiting => prop_assert!(age == 0 || age < timeout),
                StillHung => {
                    prop_assert!(age >= timeout);
                    prop_assert!(last_found.is_some_and(|at| at >= age - age % timeout));
                }
            }
        }
        prop_assert_eq!(firsts, u32::from(last_found.is_some()));
    }

    /// Unpaused time may step back by 2 s (`pause_clock::PERIOD_NS` and `SLACK_NS`): that doubles no report,
    /// and who was hung is hung.
    #[test]
    fn a_step_back_of_the_clock_doubles_nothing(
        steps in prop::collection::vec((0..3 * SEC, 0..=2 * SEC), 1..80),
        timeout in (2u64..10).prop_map(|secs| secs * SEC),
    ) {
        let start = 100 * SEC;
        let mut tracked = Tracked::new(&at(D, 5), start);
        let mut now = start;
        let mut found: Vec<u64> = Vec::new();
        for (gap, back) in steps {
            now += gap;
            let shown = (now - back).max(start);
            let outcome = tracked.check(&at(D, 5), shown, timeout);
            if let Outcome::Hung { first } = outcome {
                prop_assert_eq!(first, found.is_empty());
                found.push((shown - start) / timeout);
            }
            prop_assert_eq!(outcome == Waiting, found.is_empty());
            prop_assert_eq!(tracked.is_hung(&at(D, 5), shown, timeout), !found.is_empty());
        }
        prop_assert!(found.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", found);
        let surely = (now - start).saturating_sub(2 * SEC) / timeout;
        let most = (now - start) / timeout;
        // The last check itself may have been set back.
        prop_assert!(found.len() as u64 <= most);
        prop_assert!(found.last().copied().unwrap_or(0) >= surely);
    }

    /// The interval rule, in numbers that cannot overflow.
    #[test]
    fn interval_rule(
        timeout in prop_oneof![0..40u64, 0..5000u64, any::<u64>()],
        given in prop_oneof![2 => Just(0u64), 1 => 0..40u64, 1 => 0..5000u64, 1 => any::<u64>()],
    ) {
        let ns = u128::from(SEC);
        let whole = u128::from(timeout) * ns;
        // What does not fit into 64 bits is as good as never; the limit is applied to each.
        let most = u128::from(u64::MAX);
        let expected = match (timeout, given) {
            (0, _) => None,
            (_, 0) => Some((whole.min(most) / 16).max(ns).min(whole)),
            _ => Some((u128::from(given) * ns).min(whole).min(most)),
        };
        let chosen = interval(timeout, given);
        prop_assert_eq!(chosen.map(u128::from), expected);
        if let Some(chosen) = chosen {
            prop_assert!(chosen > 0 && u128::from(chosen) <= whole);
        }
    }
}

#[test]
fn intervals() {
    let secs = |timeout, given| interval(timeout, given).map(|ns| ns as f64 / SEC as f64);
    assert_eq!(secs(0, 0), None);
    assert_eq!(secs(0, 5), None);
    assert_eq!(secs(120, 0), Some(7.5));
    assert_eq!(secs(120, 120), Some(120.0));
    assert_eq!(secs(120, 1), Some(1.0));
    assert_eq!(secs(120, 121), Some(120.0));
    assert_eq!(secs(120, u64::MAX), Some(120.0));
    assert_eq!(secs(16, 0), Some(1.0));
    assert_eq!(secs(17, 0), Some(1.0625));
    assert_eq!(secs(15, 0), Some(1.0));
    assert_eq!(secs(1, 0), Some(1.0));
    assert_eq!(secs(1, 3), Some(1.0));
    assert_eq!(interval(u64::MAX, u64::MAX), Some(u64::MAX));
    assert_eq!(interval(u64::MAX, 0), Some(u64::MAX / 16));
    assert_eq!(interval(i64::MAX as u64 / 250, 1), Some(SEC));
}

/// Asleep from `from` until before `to`, in nanoseconds.
#[derive(Clone, Debug)]
struct Stall {
    from: u64,
    to: u64,
    state: u32,
    /// Whether the run queues do not count it, though it sleeps; it is runnable then.
    hidden: bool,
}

/// The knobs, and from when on.
#[derive(Clone, Copy, Debug)]
struct Setting {
    from: u64,
    timeout_secs: u64,
    interval_secs: u64,
}

impl Setting {
    fn timeout(&self) -> u64 {
        self.timeout_secs * SEC
    }

    fn interval(&self) -> u64 {
        interval(self.timeout_secs, self.interval_secs).expect("not off")
    }

    fn max_skipped(&self) -> u32 {
        max_skipped(self.timeout(), self.interval())
    }
}

/// The sleeps of one task, one after the other.
fn stalls(hidden: bool) -> impl Strategy<Value = Vec<Stall>> {
    let state = prop_oneof![8 => Just(D), 1 => Just(KILLABLE), 1 => Just(IDLE)];
    let one = (1..30 * SEC, 1..90 * SEC, state, any::<bool>());
    prop::collection::vec(one, 0..5).prop_map(move |parts| {
        let mut at = 0;
        parts
            .into_iter()
            .map(|(awake, asleep, state, may_hide)| {
                let from = at + awake;
                at = from + asleep;
                let hidden = hidden && may_hide;
                Stall {
                    from,
                    to: at,
                    state,
                    hidden,
                }
            })
            .collect()
    })
}

fn settings() -> impl Strategy<Value = Vec<Setting>> {
    let knobs = (1u64..=25, prop_oneof![2 => Just(0u64), 3 => 1..=30u64]);
    (knobs.clone(), prop::option::of((1..100 * SEC, knobs))).prop_map(|((t, i), change)| {
        let set = |from, t, i| Setting {
            from,
            timeout_secs: t,
            interval_secs: i,
        };
        let mut all = vec![set(0, t, i)];
        all.extend(change.map(|(from, (t, i))| set(from, t, i)));
        all
    })
}

/// How long the thread may oversleep.
const LATE: u64 = 10 * MS;
/// What that, and sleeping in whole milliseconds, makes of a bound: once for the scan that samples
/// the stall first, once for the check that finds it hung.
const SLACK: u64 = 2 * (LATE + MS);

/// One report: which task, when, whether the first of its stall.
#[derive(Clone, Copy, Debug)]
struct Finding {
    task: usize,
    at: u64,
    first: bool,
}

/// What the simulated machine is like.
#[derive(Clone, Copy, Debug)]
struct Noise {
    /// How much too late the thread wakes.
    late: u64,
    /// How many other tasks are runnable.
    busy: u64,
}

fn noise() -> impl Strategy<Value = Vec<Noise>> {
    let one = (0..=LATE, prop_oneof![2 => Just(0u64), 1 => 1..3u64]);
    prop::collection::vec(one.prop_map(|(late, busy)| Noise { late, busy }), 1..20)
}

/// What the task is seen doing, and whether it sleeps without being counted.
fn sample(task: &[Stall], now: u64) -> (TaskSample, bool) {
    let before = task.iter().take_while(|stall| stall.from <= now).count();
    match before.checked_sub(1).map(|last| &task[last]) {
        Some(stall) if now < stall.to => (at(stall.state, before as u64), stall.hidden),
        _ => (at(0, before as u64), false),
    }
}

/// The thread's loop (`detect/hung_task/thread.rs`): each interval a check of the tracked tasks and
/// as much of a scan as it takes, a check alone when a tracked task's report is due, and sleep
/// until then. A change of the knobs wakes it.
fn run(tasks: &[Vec<Stall>], settings: &[Setting], noise: &[Noise], until: u64) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut tracked: Vec<Option<Tracked>> = vec![None; tasks.len()];
    let mut policy = ScanPolicy::default();
    let mut noise = noise.iter().cycle();
    let (mut now, mut last, mut due) = (0, None, u64::MAX);
    while now < until {
        let setting = settings.iter().rev().find(|s| s.from <= now).unwrap();
        let next = last.map_or(now, |at: u64| at + setting.interval());
        if now >= next || now >= due {
            due = u64::MAX;
            let mut counted = Asleep::default();
            for (task, tracked) in tracked.iter_mut().enumerate() {
                let Some(known) = tracked else { continue };
                let (sample, _) = sample(&tasks[task], now);
                match known.check(&sample, now, setting.timeout()) {
                    Awake => {
                        *tracked = None;
                        continue;
                    }
                    Outcome::Hung { first } => findings.push(Finding {
                        task,
                        at: now,
                        first,
                    }),
                    Waiting | StillHung | Outcome::Ignored => {}
                }
                counted.all += u64::from(sample.counts_to_load());
                counted.lasting += u64::from(sample.counts_to_load() && known.age(now) != 0);
                if sample.may_hang() {
                    due = due.min(known.due(setting.timeout()));
                }
            }
            if now >= next {
                last = Some(now);
                let asleep = tasks.iter().map(|task| sample(task, now));
                let asleep: Vec<bool> = asleep
                    .filter(|(g, _)| g.counts_to_load())
                    .map(|(_, hidden)| hidden)
                    .collect();
                let hidden = asleep.iter().filter(|hidden| **hidden).count();
                let queues = RunQueueSum {
                    uninterruptible: (asleep.len() - hidden) as i64,
                    running: 1 + hidden as u64 + noise.next().unwrap().busy,
                    has_rtlocks: false,
                };
                let mode = policy.scan_mode(
                    Some(queues),
                    counted,
                    setting.max_skipped(),
                    now,
                    setting.timeout(),
                );
                let mut known = counted.all;
                for (task, tracked) in tracked.iter_mut().enumerate() {
                    let stop = mode == ScanMode::UntilAllTracked
                        && queues.is_exact()
                        && accounts_for_all(queues, known);
                    if mode == ScanMode::Skip || stop {
                        break;
                    }
                    let (sample, _) = sample(&tasks[task], now);
                    if tracked.is_none() && sample.counts_to_load() {
                        *tracked = Some(Tracked::new(&sample, now));
                        known += 1;
                    }
                }
                if mode != ScanMode::Skip {
                    policy.scanned(if queues.is_exact() {
                        excess(queues, known)
                    } else {
                        0
                    });
                }
                due = due.min(now + setting.timeout());
            }
            assert!(
                due > now,
                "a check that leaves something due would be repeated for ever"
            );
            continue;
        }
        let change = settings.iter().map(|s| s.from).find(|from| *from > now);
        let asleep = next.min(due).div_ceil(MS) * MS + noise.next().unwrap().late;
        now = asleep.min(change.unwrap_or(u64::MAX));
    }
    findings
}

/// Holds the reports to what is promised. `scans`: for how many scans at most a stall may go on
/// without being sampled.
fn judge(
    tasks: &[Vec<Stall>],
    settings: &[Setting],
    noise: &[Noise],
    scans: impl Fn(&Setting) -> u64,
) -> Result<(), TestCaseError> {
    let until = 400 * SEC;
    let findings = run(tasks, settings, noise, until);
    let now = settings[settings.len() - 1];
    let in_force = |when: u64| settings.iter().rev().find(|s| s.from <= when).unwrap();
    let mut counted = 0;
    for (task, stalls) in tasks.iter().enumerate() {
        for stall in stalls {
            let during = |f: &&Finding| f.task == task && stall.from <= f.at && f.at < stall.to;
            let of: Vec<&Finding> = findings.iter().filter(during).collect();
            counted += of.len();
            if stall.state != D {
                prop_assert!(of.is_empty(), "{:?} {:?}", stall, of);
                continue;
            }
            for (n, finding) in of.iter().enumerate() {
                let timeout = in_force(finding.at).timeout();
                prop_assert!(
                    finding.at >= stall.from + timeout,
                    "{:?} {:?}",
                    stall,
                    finding
                );
                prop_assert_eq!(finding.first, n == 0);
            }
            // By when it is known at the latest, if it was not under an earlier setting.
            let unseen = scans(&now);
            let slack = SLACK + unseen * (LATE + MS);
            let within = now.timeout() + (1 + unseen) * now.interval() + slack;
            let bound = stall.from.max(now.from) + within;
            if bound < stall.to.min(until) {
                let first = of.first().map(|f| f.at);
                prop_assert!(
                    first.is_some_and(|at| at <= bound),
                    "{:?} {:?}",
                    stall,
                    first
                );
            }
            // From then on once for each timeout, and no more often: counted from the beginning,
            // so that the first after a change of the knobs does not shift the others.
            let times = of.iter().map(|f| f.at);
            let steady: Vec<u64> = times.filter(|at| *at > now.from + within).collect();
            for pair in steady.windows(2) {
                let apart = pair[1] - pair[0];
                prop_assert!(apart + SLACK >= now.timeout(), "{:?} {:?}", stall, steady);
                prop_assert!(apart <= now.timeout() + SLACK, "{:?} {:?}", stall, steady);
            }
        }
    }
    prop_assert_eq!(counted, findings.len(), "found awake");
    Ok(())
}

proptest! {
    #![proptest_config(common::config())]

    /// From the true beginning of a stall to its report: at least the timeout, at most the timeout
    /// and the interval, with the knobs changed meanwhile or not, while nothing else is runnable.
    #[test]
    fn reported_within_timeout_and_interval(
        tasks in prop::collection::vec(stalls(false), 1..4),
        settings in settings(),
        noise in noise(),
    ) {
        let idle: Vec<Noise> = noise.iter().map(|noise| Noise { busy: 0, ..*noise }).collect();
        judge(&tasks, &settings, &idle, |_| 0)?;
    }

    /// Sleeping tasks that the run queues do not count, tasks that are not sampled because of them, and
    /// those on a busy machine are reported later by as many check intervals as scans may be skipped:
    /// an eighth of the timeout.
    #[test]
    fn reported_a_little_later_where_the_count_may_be_wrong(
        tasks in prop::collection::vec(stalls(true), 1..4),
        settings in settings(),
        noise in noise(),
    ) {
        for setting in &settings {
            let more = u64::from(setting.max_skipped()) * setting.interval();
            prop_assert!(more <= setting.timeout() / 8);
        }
        judge(&tasks, &settings, &noise, |setting| setting.max_skipped().into())?;
    }
}

#[test]
fn the_bound_is_met_where_mainline_needs_twice_the_timeout() {
    // Begins just after a scan: the worst case.
    let stall = Stall {
        from: 7_500 * MS + 1,
        to: 1000 * SEC,
        state: D,
        hidden: false,
    };
    let setting = Setting {
        from: 0,
        timeout_secs: 120,
        interval_secs: 0,
    };
    let calm = Noise { late: 0, busy: 0 };
    let findings = run(&[vec![stall]], &[setting], &[calm], 400 * SEC);
    let times: Vec<u64> = findings.iter().map(|f| f.at / MS).collect();
    assert_eq!(times, [135_000, 255_000, 375_000]);
}

/// A sleep whose context switches are explained by the kernel's heartbeat is one sleep; where one
/// is not, or I/O was done, it is another one.
#[test]
fn heartbeats_do_not_end_a_wait() {
    use vigil_logic::hung_task::check::{Heartbeat, Wait, TASK_UNINTERRUPTIBLE};
    let sample = |switch_count| TaskSample {
        state: TASK_UNINTERRUPTIBLE,
        switch_count,
    };
    let heartbeat = Heartbeat {
        period: 5 * SEC,
        interval: SEC,
    };
    let io = Wait::Heartbeat(7);
    let track = || {
        let mut tracked = Tracked::new(&sample(10), 100 * SEC);
        // Looked at where it waits.
        let outcome =
            tracked.check_wait(&sample(10), 101 * SEC, 8 * SEC, heartbeat, || io, || false);
        assert_eq!(outcome, Waiting);
        tracked
    };
    let mut tracked = track();
    let mut check = |now: u64, switches, wait| {
        tracked.check_wait(
            &sample(switches),
            now * SEC,
            8 * SEC,
            heartbeat,
            || wait,
            || false,
        )
    };
    assert_eq!(check(105, 11, io), Waiting);
    assert_eq!(check(107, 11, io), Waiting);
    assert_eq!(check(108, 11, io), Outcome::Hung { first: true });
    assert_eq!(check(110, 12, io), StillHung);
    assert_eq!(check(116, 13, io), Outcome::Hung { first: false });
    // What comes sooner than a heartbeat is none, nor are two for one.
    let mut tracked = track();
    let mut check = |now: u64, switches, wait| {
        tracked.check_wait(
            &sample(switches),
            now * SEC,
            8 * SEC,
            heartbeat,
            || wait,
            || false,
        )
    };
    assert_eq!(check(103, 11, io), Waiting);
    assert_eq!(check(109, 13, io), Waiting);
    assert_eq!(check(116, 13, io), Waiting);
    assert_eq!(check(117, 13, io), Outcome::Hung { first: true });
    // I/O, another place, and no heartbeat at all.
    for (wait, heartbeat) in [
        (Wait::Heartbeat(8), heartbeat),
        (Wait::Ordinary, heartbeat),
        (io, Heartbeat::default()),
    ] {
        let mut tracked = track();
        let mut check = |now: u64, switches| {
            tracked.check_wait(
                &sample(switches),
                now * SEC,
                8 * SEC,
                heartbeat,
                || wait,
                || false,
            )
        };
        assert_eq!(check(106, 11), Waiting);
        assert_eq!(check(113, 11), Waiting);
        assert_eq!(check(114, 11), Outcome::Hung { first: true });
    }
}

/// Who waits for writeback is not hung while pages are written, and is when none are.
#[test]
fn writeback_that_makes_progress_is_not_hung() {
    use vigil_logic::hung_task::check::{Heartbeat, Wait, TASK_UNINTERRUPTIBLE};
    let sample = |switch_count| TaskSample {
        state: TASK_UNINTERRUPTIBLE,
        switch_count,
    };
    let mut tracked = Tracked::new(&sample(10), 100 * SEC);
    let mut check = |now: u64, switches, written| {
        tracked.check_wait(
            &sample(switches),
            now * SEC,
            8 * SEC,
            Heartbeat::default(),
            || Wait::Writeback(written),
            || false,
        )
    };
    for now in 101..130 {
        assert_eq!(check(now, 10, Some(now)), Waiting);
    }
    for now in 130..137 {
        assert_eq!(check(now, 10, Some(129)), Waiting);
    }
    assert_eq!(check(137, 10, Some(129)), Outcome::Hung { first: true });
    // Of inodes it writes no page, and is woken.
    assert_eq!(check(138, 11, Some(129)), Waiting);
    // Of a device that is not known only the wake-up shows that it writes.
    for now in 139..147 {
        assert_eq!(check(now, 11, None), Waiting);
    }
    assert_eq!(check(147, 11, None), Outcome::Hung { first: true });
    assert_eq!(check(148, 12, None), Waiting);
    assert_eq!(check(155, 12, None), Waiting);
    assert_eq!(check(156, 12, None), Outcome::Hung { first: true });
}

/// A discard is not hung, with the kernel's wake-ups or without; what it does before and after counts
/// as ever.
#[test]
fn what_is_long_by_nature_is_not_hung() {
    for period in [0, 2, 5, 60] {
        let heartbeat = Heartbeat {
            period: period * SEC,
            interval: SEC,
        };
        let mut tracked = Tracked::new(&at(D, 10), 100 * SEC);
        let mut check = |now: u64, switches, wait| {
            let sample = at(D, switches);
            let outcome =
                tracked.check_wait(&sample, now * SEC, 8 * SEC, heartbeat, || wait, || false);
            assert_eq!(
                tracked.is_hung(&sample, now * SEC, 8 * SEC),
                matches!(outcome, Outcome::Hung { .. } | StillHung)
            );
            assert!(tracked.due(8 * SEC) > now * SEC || outcome != Waiting);
            (outcome, tracked.is_hung(&sample, (now + 8) * SEC, 8 * SEC))
        };
        let woken = |now: u64| (now - 100).checked_div(period).unwrap_or(0);
        for now in 101..200 {
            assert_eq!(
                check(now, 10 + woken(now), Wait::LongIo),
                (Waiting, false),
                "{period} {now}"
            );
        }
        // It goes on to read.
        for now in 200..208 {
            assert_eq!(check(now, 70, Wait::Heartbeat(7)), (Waiting, true));
        }
        assert_eq!(
            check(208, 70, Wait::Heartbeat(7)),
            (Outcome::Hung { first: true }, true)
        );
        // And to discard once more.
        assert_eq!(check(209, 71, Wait::LongIo), (Waiting, false));
        assert_eq!(check(230, 71, Wait::LongIo), (Waiting, false));
    }
}
