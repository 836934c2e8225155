// SPDX-License-Identifier: GPL-2.0

//! Soft lockups, against mainline's rule written down independently: once as it stands in
//! `watchdog_timer_fn()` and `is_softlockup()` but in true nanoseconds, once in its own unit.

mod common;

use proptest::prelude::*;
use vigil_logic::{
    in_tree_softlockup,
    pause::{grace, guest_paused_edge, overrun, OnTimeHistory, PauseEvidence},
    sample_period::{sample_period, MIN_REARM_NS, NUM_SAMPLE_PERIODS},
    softlockup::{threshold, thresholds, Sample, Softlockup, SoftlockupState, StopMachineWait},
    NSEC_PER_SEC,
};

const SEC: u64 = NSEC_PER_SEC;
const MS: u64 = SEC / 1000;

/// A timer interrupt on time, without steal and without a touch.
fn sample(now: u64) -> Sample {
    Sample {
        now,
        paused: 0,
        steal: 0,
        touched: false,
    }
}

fn stuck(duration: u64) -> Option<Softlockup> {
    Some(Softlockup { duration, steal: 0 })
}

/// One timer interrupt, whose report can be given if there is one.
fn check(state: &mut SoftlockupState, sample: &Sample, threshold: u64) -> Option<Softlockup> {
    state.update(sample);
    let found = state.check(sample, threshold);
    if found.is_some() {
        state.restart_threshold(sample);
    }
    found
}

#[test]
fn thresholds_and_periods() {
    assert_eq!(NUM_SAMPLE_PERIODS, 5);
    assert_eq!((threshold(10), sample_period(10)), (20 * SEC, 4 * SEC));
    assert_eq!((threshold(1), sample_period(1)), (2 * SEC, 400 * MS));
    assert_eq!((threshold(0), sample_period(0)), (0, 0));
    for thresh in 0..=60 {
        // get_softlockup_thresh(), set_sample_period()
        assert_eq!(threshold(thresh), thresh * 2 * 1_000_000_000);
        assert_eq!(sample_period(thresh), thresh * 2 * (1_000_000_000 / 5));
    }
    assert_eq!(threshold(u64::MAX), u64::MAX);
    assert_eq!(sample_period(u64::MAX), u64::MAX / 5);
}

#[test]
fn stuck_after_the_threshold_and_not_a_nanosecond_before() {
    let mut soft = SoftlockupState::new(5, 0);
    let threshold = 20 * SEC;
    assert_eq!(soft.due(0, threshold), 5 + threshold + 1);
    assert_eq!(check(&mut soft, &sample(5), threshold), None);
    assert_eq!(check(&mut soft, &sample(5 + threshold), threshold), None);
    assert_eq!(
        check(&mut soft, &sample(5 + threshold + 1), threshold),
        stuck(threshold + 1)
    );
}

#[test]
fn again_after_each_threshold_with_the_whole_length() {
    let mut soft = SoftlockupState::new(0, 0);
    let threshold = 20 * SEC;
    let mut reported = Vec::new();
    for second in 0..100 {
        if let Some(Softlockup { duration, .. }) =
            check(&mut soft, &sample(second * SEC), threshold)
        {
            reported.push((second, duration / SEC));
        }
    }
    assert_eq!(reported, [(21, 21), (42, 42), (63, 63), (84, 84)]);
    // Long after: one report, not several.
    assert_eq!(
        check(&mut soft, &sample(1000 * SEC), threshold),
        stuck(1000 * SEC)
    );
    assert_eq!(check(&mut soft, &sample(1000 * SEC), threshold), None);
}

#[test]
fn a_touch_moves_report_ts_and_not_touch_ts() {
    let threshold = 20 * SEC;
    let mut soft = SoftlockupState::new(0, 0);
    let touch = Sample {
        touched: true,
        ..sample(19 * SEC)
    };
    assert_eq!(check(&mut soft, &touch, threshold), None);
    assert_eq!((soft.touch_ts, soft.report_ts), (0, 19 * SEC));
    assert_eq!(check(&mut soft, &sample(39 * SEC), threshold), None);
    assert_eq!(
        check(&mut soft, &sample(39 * SEC + 1), threshold),
        stuck(39 * SEC + 1)
    );
    // However late: what was touched is not reported.
    let touch = Sample {
        touched: true,
        ..sample(1000 * SEC)
    };
    assert_eq!(check(&mut soft, &touch, threshold), None);
}

#[test]
fn a_pause_is_not_counted() {
    let threshold = 20 * SEC;
    let mut soft = SoftlockupState::new(100 * SEC, 0);
    let late = Sample {
        paused: 60 * SEC,
        ..sample(164 * SEC)
    };
    assert_eq!(check(&mut soft, &late, threshold), None);
    assert_eq!((soft.touch_ts, soft.report_ts), (160 * SEC, 160 * SEC));
    assert_eq!(check(&mut soft, &sample(180 * SEC), threshold), None);
    assert_eq!(
        check(&mut soft, &sample(180 * SEC + 1), threshold),
        stuck(20 * SEC + 1)
    );
    // Never beyond now, however long a pause is claimed to have been.
    let absurd = Sample {
        paused: u64::MAX,
        ..sample(200 * SEC)
    };
    assert_eq!(check(&mut soft, &absurd, threshold), None);
    assert_eq!((soft.touch_ts, soft.report_ts), (200 * SEC, 200 * SEC));
    // A true lockup right after is found.
    assert_eq!(
        check(&mut soft, &sample(220 * SEC + 1), threshold),
        stuck(20 * SEC + 1)
    );
    // A pause and a touch at once.
    let both = Sample {
        paused: 30 * SEC,
        touched: true,
        ..sample(260 * SEC)
    };
    assert_eq!(check(&mut soft, &both, threshold), None);
    assert_eq!((soft.touch_ts, soft.report_ts), (230 * SEC, 260 * SEC));
}

#[test]
fn steal_time_is_not_counted_and_is_reported() {
    let threshold = 20 * SEC;
    // What was stolen before does not matter.
    let mut soft = SoftlockupState::new(0, 1000 * SEC);
    let with = |now: u64, steal: u64| Sample {
        steal: (1000 + steal) * SEC,
        ..sample(now)
    };
    assert_eq!(soft.due(1000 * SEC, threshold), 20 * SEC + 1);
    assert_eq!(soft.due(1007 * SEC, threshold), 27 * SEC + 1);
    assert_eq!(check(&mut soft, &with(27 * SEC, 7), threshold), None);
    assert_eq!(
        check(&mut soft, &with(28 * SEC, 7), threshold),
        Some(Softlockup {
            duration: 21 * SEC,
            steal: 7 * SEC
        })
    );
    // Stolen time that runs backwards (a CPU that came back) is none.
    let mut soft = SoftlockupState::new(0, 1000 * SEC);
    assert_eq!(soft.due(0, threshold), 20 * SEC + 1);
    assert_eq!(
        check(&mut soft, &sample(21 * SEC), threshold),
        stuck(21 * SEC)
    );
}

#[test]
fn extremes() {
    let most = u64::MAX;
    // Nothing wraps around, and what cannot be long ago is fine.
    assert_eq!(SoftlockupState::new(most, 0).due(0, most), most);
    assert_eq!(SoftlockupState::new(most, 0).due(most, 1), most);
    assert_eq!(SoftlockupState::new(0, 0).due(0, 0), 1);
    assert_eq!(SoftlockupState::default(), SoftlockupState::new(0, 0));
    for threshold in [0, 1, 20 * SEC, most] {
        for then in [0, 1, 20 * SEC, most] {
            // A clock that runs backwards makes nothing old.
            let mut soft = SoftlockupState::new(then, 0);
            let verdict = check(&mut soft, &sample(0), threshold);
            assert_eq!(verdict, None, "{then} {threshold}");
            for tick in [0, 1, most].map(|paused| Sample {
                paused,
                steal: most,
                ..sample(1)
            }) {
                let verdict = check(&mut SoftlockupState::new(then, 0), &tick, threshold);
                assert_eq!(verdict, None, "all of it stolen");
            }
        }
    }
    let mut soft = SoftlockupState::new(0, 0);
    assert_eq!(check(&mut soft, &sample(most), most - 2), stuck(most));
    assert_eq!(soft.report_ts, most);
    assert_eq!(
        check(&mut soft, &sample(most), 0),
        stuck(most),
        "where time ends"
    );
}

/// The stop work stores the state in several steps; an interrupt between them must not see a lockup.
#[test]
fn a_half_written_state() {
    let old = SoftlockupState::new(0, 0);
    let new = SoftlockupState::new(100 * SEC, 0);
    for mut mixed in [
        SoftlockupState {
            touch_ts: new.touch_ts,
            ..old
        },
        SoftlockupState {
            report_ts: new.report_ts,
            ..old
        },
    ] {
        let verdict = check(&mut mixed, &sample(100 * SEC + 1), 20 * SEC);
        assert_eq!(verdict, None);
    }
}

/// The machine is stopped while the stop work is about to store the time that it has read.
#[test]
fn a_pause_before_the_stamp_is_stored() {
    let threshold = 20 * SEC;
    let mut soft = SoftlockupState::new(0, 0);
    let end_of_pause = 101 * SEC;
    soft.update(&Sample {
        paused: 100 * SEC,
        ..sample(end_of_pause)
    });
    // What the stop work read before, and the next interrupt finds.
    let stored = SoftlockupState::new(SEC, 0);
    let next = sample(end_of_pause + 4 * SEC);
    let mut soft = stored;
    assert_eq!(check(&mut soft, &next, threshold), stuck(104 * SEC));
    let mut soft = stored;
    soft.update(&next);
    soft.stop_work_ran_since(end_of_pause);
    assert_eq!(soft.check(&next, threshold), None);
    let due = end_of_pause + threshold + 1;
    assert_eq!(soft.due(0, threshold), due);
    assert_eq!(
        check(&mut soft, &sample(due), threshold),
        stuck(threshold + 1)
    );
    // A later stamp stays.
    let mut soft = SoftlockupState::new(due, 0);
    soft.stop_work_ran_since(end_of_pause);
    assert_eq!(soft.touch_ts, due);
}

#[test]
fn whole_thresholds() {
    assert_eq!(thresholds(0, 20), 0);
    assert_eq!(thresholds(19, 20), 0);
    assert_eq!(thresholds(20, 20), 1);
    assert_eq!(thresholds(39, 20), 1);
    assert_eq!(thresholds(40, 20), 2);
    assert_eq!(thresholds(u64::MAX, 1), u64::MAX);
    assert_eq!(thresholds(u64::MAX, u64::MAX), 1);
    // Switched off meanwhile.
    assert_eq!(thresholds(u64::MAX, 0), 0);
}

#[test]
fn how_late_is_an_overrun() {
    for (period, expected) in [
        (4 * SEC, SEC),
        (2 * SEC, SEC),
        (2 * SEC - 2, SEC - 1),
        (400 * MS, 200 * MS),
        (0, 0),
        (u64::MAX, SEC),
    ] {
        assert_eq!(grace(period), expected);
    }
    // A CPU that is late by less cannot look so long stuck to one that is not late itself: after
    // a pause, the age of a stamp is at most two periods and the grace.
    for thresh in 1..=60 {
        let period = sample_period(thresh);
        assert!(2 * period + grace(period) < 3 * period);
    }
    let late = |now, due| overrun(now, due, 4 * SEC);
    assert_eq!(late(0, 0), 0);
    assert_eq!(late(5, 10), 0, "early");
    assert_eq!(late(10 + SEC, 10), 0);
    // Then all of it counts.
    assert_eq!(late(10 + SEC + 1, 10), SEC + 1);
    assert_eq!(late(u64::MAX, 0), u64::MAX);
    assert_eq!(late(0, u64::MAX), 0);
    assert_eq!(vigil_logic::pause::overrun(11, 10, 0), 1);
}

/// `watchdog_timer_fn()` and `softlockup_fn()` with any unit of time.
struct Mainline {
    touch_ts: i128,
    report_ts: i128,
    thresh: i128,
    /// Nanoseconds in a unit.
    unit: i128,
}

impl Mainline {
    fn new(now: u64, thresh: i128, unit: i128) -> Self {
        let now = i128::from(now) / unit;
        Self {
            touch_ts: now,
            report_ts: now,
            thresh,
            unit,
        }
    }

    fn stopper(&mut self, now: u64) {
        self.touch_ts = i128::from(now) / self.unit;
        self.report_ts = self.touch_ts;
    }

    /// The duration if it reports.
    fn timer(&mut self, now: u64, touched: bool) -> Option<i128> {
        let now = i128::from(now) / self.unit;
        if touched {
            self.report_ts = now;
            return None;
        }
        if now > self.report_ts + self.thresh {
            self.report_ts = now;
            return Some(now - self.touch_ts);
        }
        None
    }
}

/// What happens on a CPU, each so long after what was before.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// Its stopper runs.
    StopWork(u64),
    /// Its timer comes.
    Timer(u64),
    /// The same, and the watchdog had been touched.
    Touched(u64),
}

/// For a threshold around a second.
fn act() -> impl Strategy<Value = Act> {
    let time = || {
        prop_oneof![
            6 => 0..SEC,
            2 => 0..4 * SEC,
            2 => SEC - 2..SEC + 3,
            1 => 2 * SEC - 3..2 * SEC + 4,
            1 => Just(0),
        ]
    };
    prop_oneof![
        1 => time().prop_map(Act::StopWork),
        8 => time().prop_map(Act::Timer),
        1 => time().prop_map(Act::Touched),
    ]
}

/// Each as late as it may be, and one of them less than a grace after the one before, so that it is forgotten.
#[test]
fn the_longest_stretch_without_an_entry_is_not_covered() {
    for thresh in 1..=60 {
        let (period, grace) = (sample_period(thresh), grace(sample_period(thresh)));
        let first = 1000 * SEC;
        let forgotten = first + grace - 1;
        let last = forgotten + period + MIN_REARM_NS + grace;
        let history = [first, forgotten, last]
            .iter()
            .fold(OnTimeHistory::default(), |history, &at| {
                history.record(at, grace)
            });
        assert!(!history.any_within(first + 1, last));
        assert!(!OnTimeHistory::covers(first + 1, last, period));
    }
}

proptest! {
    #![proptest_config(common::config())]

    /// A CPU that takes its interrupts, however many, has one in the history of any stretch that
    /// is long enough, at any time; a CPU that takes none in it never has.
    #[test]
    fn a_cpu_that_runs_is_in_the_history(
        thresh in 1..=60u64,
        gaps in prop::collection::vec(
            // In thousandths of the longest.
            prop_oneof![1..=20u64, 1..=1000u64, Just(1000u64)],
            1..200,
        ),
        long in prop_oneof![0..4000u64, 1000..1200u64, 1990..2010u64],
        ended in prop_oneof![0..=1000u64, 0..=50u64],
    ) {
        let period = sample_period(thresh);
        let grace = grace(period);
        let most = period + MIN_REARM_NS + grace;
        let mut history = OnTimeHistory::default();
        let mut now = 1000 * SEC;
        let mut all = Vec::new();
        for gap in gaps {
            now += gap * (most / 1000);
            history = history.record(now, grace);
            all.push(now);
        }
        // Before the next one has to come.
        let now = now + ended * (most / 1000);
        let to = now - grace;
        let from = to.saturating_sub(long * (period / 1000));
        let truly = all.iter().any(|at| (from..to).contains(at));
        prop_assert!(truly || !history.any_within(from, to));
        // It was watched all the time.
        if OnTimeHistory::covers(from, to, period) && from >= all[0] {
            prop_assert!(history.any_within(from, to), "{:?} {} {}", history, from, to);
        }
    }

    /// Word for word mainline's, in nanoseconds.
    #[test]
    fn mainlines_rule_in_true_time(
        start in prop_oneof![0..10 * SEC, any::<u32>().prop_map(u64::from)],
        stolen: u64,
        threshold in prop_oneof![0..4 * SEC, Just(SEC), Just(2 * SEC)],
        acts in prop::collection::vec(act(), 1..60),
    ) {
        let mut now = start;
        let mut model = Mainline::new(now, i128::from(threshold), 1);
        let mut soft = SoftlockupState::new(now, stolen);
        for act in acts {
            let (Act::StopWork(after) | Act::Timer(after) | Act::Touched(after)) = act;
            now += after;
            if matches!(act, Act::StopWork(_)) {
                model.stopper(now);
                soft = SoftlockupState::new(now, stolen);
                continue;
            }
            let touched = matches!(act, Act::Touched(_));
            let verdict = check(&mut soft, &Sample { steal: stolen, touched, ..sample(now) }, threshold);
            let expected = match model.timer(now, touched) {
                Some(duration) => stuck(duration as u64),
                None => None,
            };
            prop_assert_eq!(verdict, expected);
        }
    }

    /// Mainline's detector has given a report when its turn ends, whenever its interrupts come, whether
    /// its stopper ran last or it was touched.
    #[test]
    fn mainline_reports_in_its_turn(
        last in 0..1000 * SEC,
        thresh in 1..=60u64,
        phase in 0.0..1.0,
        touched: bool,
    ) {
        let period = sample_period(thresh);
        let mut model = Mainline::new(last, i128::from(2 * thresh), 1 << 30);
        let mut now = last + (phase * period as f64) as u64;
        let mut touched = touched;
        while model.timer(now, touched).is_none() {
            touched = false;
            now += period;
        }
        let end = SoftlockupState::new(last, 0).end_of_in_tree_turn(in_tree_softlockup::needs(thresh));
        prop_assert!(now <= end, "{now} {end}");
        prop_assert!(end - now <= 3 * period + (2 << 30), "{now} {end}");
    }

    /// Beside mainline with its unit of 2^30 ns and the same interrupts: since the stopper ran or
    /// the watchdog was touched, vigil has reported no later and no less often.
    #[test]
    fn never_less_strict_than_mainline(
        start: u32,
        thresh in 1..=60u64,
        acts in prop::collection::vec(act(), 1..80),
    ) {
        let mut now = u64::from(start);
        let mut model = Mainline::new(now, i128::from(2 * thresh), 1 << 30);
        let mut soft = SoftlockupState::new(now, 0);
        let (mut theirs, mut ours) = (0, 0);
        for act in acts {
            let (Act::StopWork(after) | Act::Timer(after) | Act::Touched(after)) = act;
            now += after * thresh;
            let touched = matches!(act, Act::Touched(_));
            if matches!(act, Act::StopWork(_)) {
                model.stopper(now);
                soft = SoftlockupState::new(now, 0);
                (theirs, ours) = (0, 0);
                continue;
            }
            theirs += u32::from(model.timer(now, touched).is_some());
            let verdict = check(&mut soft, &Sample { touched, ..sample(now) }, threshold(thresh));
            ours += u32::from(verdict.is_some());
            if touched {
                (theirs, ours) = (0, 0);
            }
            prop_assert!(theirs <= ours);
        }
    }

    /// The moment that is said to be due is the first at which it is reported, whatever happened
    /// before.
    #[test]
    fn due_is_the_first_moment(
        threshold in prop_oneof![0..4 * SEC, Just(SEC), any::<u64>()],
        acts in prop::collection::vec((act(), 0..SEC, prop_oneof![4 => Just(0), 1 => 0..4 * SEC]), 0..30),
        stolen in prop_oneof![0..10 * SEC, any::<u64>()],
        before in prop_oneof![Just(1), 1..SEC, any::<u64>()],
        after in prop_oneof![Just(0), 1..SEC, any::<u64>()],
    ) {
        let (mut now, mut taken) = (0, 0);
        let mut soft = SoftlockupState::new(now, taken);
        for (act, stolen, paused) in acts {
            let (Act::StopWork(after) | Act::Timer(after) | Act::Touched(after)) = act;
            now += after;
            taken += stolen.min(after);
            if matches!(act, Act::StopWork(_)) {
                soft = SoftlockupState::new(now, taken);
                continue;
            }
            let touched = matches!(act, Act::Touched(_));
            check(&mut soft, &Sample { now, paused, steal: taken, touched }, threshold);
        }
        let stolen = taken.saturating_add(stolen);
        let due = soft.due(stolen, threshold);
        prop_assert!(due > soft.report_ts);
        let judge = |now| {
            let mut soft = soft;
            let verdict = check(&mut soft, &Sample { steal: stolen, ..sample(now) }, threshold);
            (verdict, soft)
        };
        let (early, left) = judge(due.saturating_sub(before.max(1)));
        prop_assert_eq!(early, None);
        prop_assert_eq!((left.touch_ts, left.report_ts), (soft.touch_ts, soft.report_ts));
        let (verdict, left) = judge(due.saturating_add(after));
        prop_assert!(verdict.is_some());
        prop_assert_eq!((left.touch_ts, left.report_ts), (soft.touch_ts, due.saturating_add(after)));
    }

    /// A stopper that runs at least once each threshold is never reported, however the timer comes.
    #[test]
    fn a_stopper_that_runs_is_never_reported(
        thresh in 1..=60u64,
        runs in prop::collection::vec((0..=1000u64, prop::collection::vec(0..=1000u64, 0..6)), 1..40),
        half: bool,
    ) {
        let threshold = threshold(thresh);
        let longest = if half { threshold / 2 } else { threshold };
        let mut now = 0;
        let mut soft = SoftlockupState::new(now, 0);
        for (gap, mut ticks) in runs {
            let gap = longest / 1000 * gap;
            ticks.sort_unstable();
            // The last one just before the stopper gets to run.
            for part in ticks.into_iter().chain([1000]) {
                let at = now + gap / 1000 * part;
                prop_assert_eq!(check(&mut soft, &sample(at), threshold), None);
            }
            now += gap;
            soft = SoftlockupState::new(now, 0);
        }
    }

    /// A pause changes nothing but the clock: with the same interrupts, those that came late are
    /// judged as if they had come in time.
    #[test]
    fn pauses_change_nothing(
        start in 0..100 * SEC,
        acts in prop::collection::vec((act(), prop_oneof![2 => Just(0), 1 => SEC..1000 * SEC]), 1..60),
    ) {
        let mut now = start;
        let mut shift = 0;
        let (mut plain, mut paused) = (SoftlockupState::new(now, 0), SoftlockupState::new(now, 0));
        for (act, pause) in acts {
            let (Act::StopWork(after) | Act::Timer(after) | Act::Touched(after)) = act;
            now += after;
            if matches!(act, Act::StopWork(_)) {
                plain = SoftlockupState::new(now, 0);
                paused = SoftlockupState::new(now + shift, 0);
                continue;
            }
            shift += pause;
            let touched = matches!(act, Act::Touched(_));
            let expected = check(&mut plain, &Sample { touched, ..sample(now) }, SEC);
            let late = Sample { touched, paused: pause, ..sample(now + shift) };
            prop_assert_eq!(check(&mut paused, &late, SEC), expected);
            prop_assert_eq!(paused.touch_ts, plain.touch_ts + shift);
            prop_assert_eq!(paused.report_ts, plain.report_ts + shift);
        }
    }

    /// What counts is the CPU's own time: neither what was stolen nor a pause, and what was both is
    /// not taken off twice.
    #[test]
    fn own_time_counts(
        start in 0..100 * SEC,
        stolen: u32,
        acts in prop::collection::vec(
            (
                act(),
                prop_oneof![2 => Just(0), 2 => 0..3 * SEC],
                prop_oneof![2 => Just(0), 1 => 200 * MS..100 * SEC],
            ),
            1..60,
        ),
    ) {
        let (mut now, mut stolen) = (start, u64::from(stolen));
        let mut soft = SoftlockupState::new(now, stolen);
        // On a clock that only runs while the CPU does.
        let (mut own, mut ran, mut period) = (0, 0, 0);
        let mut stolen_then = stolen;
        for (act, steal, paused) in acts {
            let (Act::StopWork(after) | Act::Timer(after) | Act::Touched(after)) = act;
            own += after;
            if matches!(act, Act::StopWork(_)) {
                stolen += steal;
                now += after + steal;
                soft = SoftlockupState::new(now, stolen);
                (ran, period, stolen_then) = (own, own, stolen);
                continue;
            }
            stolen += steal;
            let stolen_now = stolen;
            now += after + steal.max(paused);
            let touched = matches!(act, Act::Touched(_));
            let verdict = check(&mut soft, &Sample { now, paused, steal: stolen, touched }, SEC);
            if touched || own <= period + SEC {
                prop_assert_eq!(verdict, None, "reported for what it did not have");
            } else if let Some(Softlockup { duration, steal }) = verdict {
                prop_assert_eq!(duration, own - ran);
                prop_assert!(steal <= stolen_now - stolen_then);
            } else {
                prop_assert!(false, "missed");
            }
            if touched || verdict.is_some() {
                period = own;
            }
        }
    }

    /// A CPU that gets stuck some time, with a timer that comes each sample period and when it is
    /// due, each time a little late: reported when it is due, each threshold; by mainline's timer
    /// and rule never earlier.
    #[test]
    fn reported_when_it_is_due(
        thresh in 1..=60u64,
        start in 0..1u64 << 31,
        healthy in 0..20u64,
        last in 0..=1000u64,
        late in prop::collection::vec(0..2 * MS, 60),
        reports in 1..6u64,
    ) {
        let (period, threshold) = (sample_period(thresh), threshold(thresh));
        let stuck_at = start + healthy * period + period / 1000 * last;
        let mut soft = SoftlockupState::new(start, 0);
        let mut next = start + period;
        let mut reported: Vec<u64> = Vec::new();
        let mut ran = start;
        for late in late.iter().cycle() {
            let now = next + late;
            if now < stuck_at {
                // Whatever the timer queues runs at once.
                soft = SoftlockupState::new(now, 0);
                ran = now;
                next = now + period;
                continue;
            }
            let was_due = soft.due(0, threshold);
            if let Some(Softlockup { duration, .. }) = check(&mut soft, &sample(now), threshold) {
                prop_assert_eq!(duration, now - ran);
                prop_assert!(now - was_due < 2 * MS, "reported late");
                reported.push(now);
                // `softlockup_panic` counts: the nth report has as many.
                prop_assert!(thresholds(duration, threshold) >= reported.len() as u64);
            }
            if reported.len() as u64 == reports {
                break;
            }
            next = (now + period).min(soft.due(0, threshold));
        }
        let slack = 2 * MS * reports;
        for (at, n) in reported.iter().zip(1..) {
            prop_assert!((ran + n * (threshold + 1)..=ran + n * (threshold + 1) + slack).contains(at));
        }

        // Mainline, whose stopper ran at the same time and whose timer comes each period.
        let mut model = Mainline::new(ran, i128::from(2 * thresh), 1 << 30);
        let mut theirs = (1..).map(|n| ran + n * period).filter(|now| model.timer(*now, false).is_some());
        for ours in reported {
            prop_assert!(ours <= theirs.next().unwrap_or(u64::MAX) + slack);
        }
    }
}

/// The guest-paused flag counts once, however long it stays set, and again when it is set anew.
#[test]
fn only_the_edge_of_the_flag_counts() {
    let seen = [false, true, true, true, false, true, false, false];
    let mut before = false;
    let news: Vec<bool> = seen
        .iter()
        .map(|&set| guest_paused_edge(std::mem::replace(&mut before, set), set))
        .collect();
    assert_eq!(news, [false, true, false, false, false, true, false, false]);
}

/// A timer that came late is a pause if anything says so, and nothing but a late one is.
#[test]
fn what_makes_a_pause() {
    for bits in 0..8 {
        let signs = |overrun| PauseEvidence {
            overrun,
            guest_paused: bits & 1 != 0,
            nmi_unacked: bits & 2 != 0,
            no_cpu_on_time: bits & 4 != 0,
        };
        let expected = if bits == 0 { 0 } else { 30 * SEC };
        assert_eq!(signs(30 * SEC).paused_ns(), expected, "{bits}");
        assert_eq!(signs(0).paused_ns(), 0, "{bits}");
    }
}

/// A pause that the flag tells of, and that began before the timer was due: nothing of it makes a
/// report, and a CPU that is stuck is still found a threshold after it. The flag, which stays set,
/// puts off one judgement and no more.
#[test]
fn a_guest_paused_edge_postpones_once() {
    let (threshold, period) = (20 * SEC, 4 * SEC);
    // Stuck from 0 on. Interrupts at 4, 8, 12 s; at 13 s the machine stops, for a minute.
    let mut soft = SoftlockupState::new(0, 0);
    for at in [4, 8, 12] {
        assert_eq!(check(&mut soft, &sample(at * SEC), threshold), None);
    }
    let (due, now) = (16 * SEC, 73 * SEC);
    let signs = PauseEvidence {
        overrun: overrun(now, due, period),
        guest_paused: guest_paused_edge(false, true),
        nmi_unacked: false,
        // Another CPU was quicker to wake up, and has run.
        no_cpu_on_time: false,
    };
    let woken = Sample {
        paused: signs.paused_ns(),
        touched: signs.guest_paused,
        ..sample(now)
    };
    assert_eq!(check(&mut soft, &woken, threshold), None);
    // 57 s of it are known by the timer.
    assert_eq!((soft.touch_ts, soft.report_ts), (57 * SEC, now));
    assert_eq!(soft.due(0, threshold), now + threshold + 1);
    let mut at = now;
    let mut set = true;
    while at <= now + threshold {
        let again = Sample {
            touched: guest_paused_edge(set, true),
            ..sample(at)
        };
        assert_eq!(check(&mut soft, &again, threshold), None);
        set = true;
        at += period;
    }
    assert_eq!(
        check(&mut soft, &sample(now + threshold + 1), threshold),
        stuck(36 * SEC + 1)
    );
}

proptest! {
    /// What a timer interrupt leaves out early on is nothing.
    #[test]
    fn early_is_when_there_is_nothing_to_say(
        touch_ts in 0..200 * SEC,
        report_ts in 0..200 * SEC,
        steal_at_report in 0..SEC,
        more_steal in 0..30 * SEC,
        at in 0..300 * SEC,
        thresh in 1..=60u64,
    ) {
        let threshold = threshold(thresh);
        let state = SoftlockupState {
            touch_ts,
            report_ts,
            steal_at_touch: steal_at_report,
            steal_at_report,
            last_steal: steal_at_report,
        };
        let steal = steal_at_report + more_steal;
        let due = state.due(steal, threshold);
        for now in [at, due - threshold / 4 - 1, due - threshold / 4, due - threshold / 4 + 1] {
            let sample = Sample { steal, ..sample(now) };
            let early = SoftlockupState::is_early(now, due, threshold);
            prop_assert_eq!(early, state.nearly(&sample, threshold).is_none());
            prop_assert!(!early || state.check(&sample, threshold).is_none());
        }
    }
}

/// A CPU waits in `stop_machine()` and is checked each threshold. Returns after how many thresholds it
/// is reported; `stuck`: whether another CPU is stuck at the first check, the second, and so on.
fn reported_in_stop_machine(stuck: impl IntoIterator<Item = bool>) -> Option<u64> {
    let threshold = threshold(1);
    let mut other_was_stuck = false;
    for (other_stuck, checks) in stuck.into_iter().zip(1..) {
        let wait = StopMachineWait {
            duration: checks * threshold + MS,
            other_stuck,
            other_was_stuck,
        };
        if !wait.is_excused(threshold) {
            return Some(checks);
        }
        other_was_stuck = other_stuck;
    }
    None
}

#[test]
fn who_waits_in_stop_machine_is_not_reported_for_another() {
    // As long as another one is stuck.
    assert_eq!(reported_in_stop_machine([true; 100]), None);
    // The other one is found stuck only at its second check.
    assert_eq!(reported_in_stop_machine([false, true, true]), None);
    // It has recovered just before the check, and this one has not gone on yet.
    assert_eq!(reported_in_stop_machine([true, true, true, false]), None);
    // But what does not go on for a threshold after that is stuck itself.
    assert_eq!(
        reported_in_stop_machine([true, true, true, false, false]),
        Some(5)
    );
    // As is one that waits while no other is stuck.
    assert_eq!(reported_in_stop_machine([false; 10]), Some(2));
}
