// SPDX-License-Identifier: GPL-2.0

//! Hard lockups by a counter's NMI: periods and verdicts against mainline's arithmetic.

mod common;

use proptest::prelude::*;
use vigil_logic::{
    hardlockup::{
        backend::Backend,
        perf::{min_interval, period, Arch, Overflow, OverflowFilter, MAX_EARLY, SAFE_MAX_HZ},
    },
    sample_period::sample_period,
    NSEC_PER_SEC,
};

const SEC: u64 = NSEC_PER_SEC;

/// `hw_nmi_get_sample_period()` of `arch/x86/kernel/apic/hw_nmi.c`.
fn mainline_x86(cpu_khz: u32, watchdog_thresh: i32) -> u64 {
    (cpu_khz as u64)
        .wrapping_mul(1000)
        .wrapping_mul(watchdog_thresh as u64)
}

/// The same of `arch/arm64/kernel/watchdog_hld.c`; `max`: `cpufreq_get_hw_max_freq()`.
fn mainline_arm64(max: u32, watchdog_thresh: i32) -> u64 {
    let mut max_cpu_freq = (max as u64).wrapping_mul(1000);
    if max_cpu_freq == 0 {
        max_cpu_freq = 5_000_000_000;
    }
    max_cpu_freq.wrapping_mul(watchdog_thresh as u64)
}

proptest! {
    #![proptest_config(common::config())]

    #[test]
    fn periods_are_mainlines(khz in any::<u32>(), thresh in 1i32..=60) {
        let some = |cycles| (cycles != 0).then_some(cycles);
        let secs = u64::try_from(thresh).unwrap();
        prop_assert_eq!(period(Arch::X86, khz.into(), secs), some(mainline_x86(khz, thresh)));
        prop_assert_eq!(period(Arch::Arm64, khz.into(), secs), some(mainline_arm64(khz, thresh)));
        prop_assert_eq!(period(Arch::Other, khz.into(), secs), None);
    }
}

#[test]
fn periods_by_hand() {
    assert_eq!(period(Arch::X86, 2_400_000, 10), Some(24_000_000_000));
    assert_eq!(period(Arch::Arm64, 1_500_000, 1), Some(1_500_000_000));
    assert_eq!(period(Arch::Arm64, 0, 10), Some(10 * SAFE_MAX_HZ));
    // Without a frequency, or a threshold, there is none; and none that perf takes for negative.
    assert_eq!(period(Arch::X86, 0, 10), None);
    assert_eq!(period(Arch::X86, 2_400_000, 0), None);
    assert_eq!(period(Arch::X86, u64::MAX, 60), None);
}

#[test]
fn four_fifths_of_the_threshold() {
    for thresh in 1..=60 {
        assert_eq!(min_interval(thresh), thresh * SEC / 5 * 4);
        assert_eq!(min_interval(thresh), 2 * sample_period(thresh));
    }
}

/// What `kernel/watchdog_perf.c` and `kernel/watchdog.c` keep for a CPU, and how they judge.
struct Mainline {
    last_timestamp: i64,
    nmi_rearmed: u32,
    watchdog_hrtimer_sample_threshold: i64,
    hrtimer_interrupts: i32,
    hrtimer_interrupts_saved: i32,
    touched: bool,
}

impl Mainline {
    fn watchdog_check_timestamp(&mut self, now: i64) -> bool {
        let delta = now - self.last_timestamp;
        if delta < self.watchdog_hrtimer_sample_threshold {
            self.nmi_rearmed += 1;
            if self.nmi_rearmed < 10 {
                return false;
            }
        }
        self.nmi_rearmed = 0;
        self.last_timestamp = now;
        true
    }

    fn watchdog_overflow_callback(&mut self, now: i64) -> Overflow {
        if !self.watchdog_check_timestamp(now) {
            return Overflow::TooEarly;
        }
        if self.touched {
            self.hrtimer_interrupts_saved = self.hrtimer_interrupts;
            self.touched = false;
            return Overflow::Healthy;
        }
        if self.hrtimer_interrupts_saved != self.hrtimer_interrupts {
            self.hrtimer_interrupts_saved = self.hrtimer_interrupts;
            return Overflow::Healthy;
        }
        Overflow::Stuck
    }
}

#[derive(Clone, Debug)]
enum Event {
    Timer,
    Touch,
    Overflow,
}

fn events() -> impl Strategy<Value = Vec<(u64, Event)>> {
    let event = prop_oneof![
        2 => Just(Event::Timer),
        1 => Just(Event::Touch),
        6 => Just(Event::Overflow),
    ];
    // Up to three thresholds of 10 s apart, often much less.
    let gap = prop_oneof![0..30 * SEC, 0..SEC];
    prop::collection::vec((gap, event), 0..200)
}

proptest! {
    #![proptest_config(common::config())]

    /// Each overflow means what it means to mainline.
    #[test]
    fn verdicts_are_mainlines(events in events(), start in SEC..u64::MAX / 4) {
        let mut now = start;
        let mut hrtimer_ts = start;
        let mut touched = false;
        let mut filter = OverflowFilter::new(now, hrtimer_ts);
        let mut mainline = Mainline {
            last_timestamp: i64::try_from(now).unwrap(),
            nmi_rearmed: 0,
            watchdog_hrtimer_sample_threshold: i64::try_from(sample_period(10)).unwrap() * 2,
            hrtimer_interrupts: 1,
            hrtimer_interrupts_saved: 1,
            touched: false,
        };
        for (gap, event) in events {
            // A timer interrupt stamps a time of its own.
            now += gap + 1;
            match event {
                Event::Timer => {
                    hrtimer_ts = now;
                    mainline.hrtimer_interrupts += 1;
                }
                Event::Touch => {
                    touched = true;
                    mainline.touched = true;
                }
                Event::Overflow => {
                    let overflow = filter.check(now, hrtimer_ts, touched, min_interval(10));
                    if overflow != Overflow::TooEarly {
                        touched = false;
                    }
                    let expected = mainline.watchdog_overflow_callback(i64::try_from(now).unwrap());
                    prop_assert_eq!(overflow, expected);
                }
            }
        }
    }
}

/// A CPU at several times its nominal speed is never taken for stuck while its timer comes, and is
/// found when it does not.
#[test]
fn turbo() {
    for factor in 1..=9 {
        let (thresh, nmi) = (10, 10 * SEC / factor);
        let mut filter = OverflowFilter::new(0, 0);
        let mut found = None;
        for now in (nmi..120 * SEC).step_by(nmi as usize) {
            // Each sample period, until it is stuck at 60 s.
            let period = sample_period(thresh);
            let hrtimer_ts = now.min(60 * SEC) / period * period;
            match filter.check(now, hrtimer_ts, false, min_interval(thresh)) {
                Overflow::Stuck if now < 60 * SEC => panic!("{factor}: found at {now}"),
                Overflow::Stuck => {
                    found.get_or_insert(now - 60 * SEC);
                }
                Overflow::TooEarly | Overflow::Healthy => (),
            }
        }
        let after = found.expect("never found");
        assert!((8 * SEC..=20 * SEC).contains(&after), "{factor}: {after}");
    }
}

/// A clock that stands still makes ten overflows in a row count as one.
#[test]
fn a_clock_that_stands_still() {
    let mut filter = OverflowFilter::new(SEC, SEC);
    for n in 1..=3 * MAX_EARLY {
        let expected = if n % MAX_EARLY == 0 {
            Overflow::Stuck
        } else {
            Overflow::TooEarly
        };
        assert_eq!(
            filter.check(SEC, SEC, false, min_interval(10)),
            expected,
            "{n}"
        );
    }
    // Nor does one that jumps back a little.
    assert_eq!(
        filter.check(SEC - 1, SEC, false, min_interval(10)),
        Overflow::TooEarly
    );
}

/// What looks like the name of a back end, or nearly.
fn backendish() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(&["auto", "perf", "buddy", ",", " ", "\n", "p", "0"][..]);
    prop_oneof![
        4 => prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat().into_bytes()),
        1 => any::<Vec<u8>>(),
    ]
}

proptest! {
    #![proptest_config(common::config())]

    /// Words with commas between them: `auto` alone, the two others each once, or nothing.
    #[test]
    fn only_back_ends_are_read(text in backendish()) {
        let all = std::str::from_utf8(&text).unwrap_or("?");
        let blank = |c: char| matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0c');
        let mut words: Vec<&str> = all.trim_matches(blank).split(',').collect();
        words.sort_unstable();
        let expected = match words[..] {
            [""] | ["auto"] => Some(Backend::Auto),
            ["perf"] => Some(Backend::Perf),
            ["buddy"] => Some(Backend::Buddy),
            ["buddy", "perf"] => Some(Backend::Both),
            _ => None,
        };
        prop_assert_eq!(Backend::parse(&text), expected, "{:?}", all);
    }
}

#[test]
fn who_finds_them() {
    use Backend::{Auto, Both, Buddy, Perf};
    for (text, backend) in [
        ("", Some(Auto)),
        ("auto", Some(Auto)),
        ("perf\n", Some(Perf)),
        ("buddy", Some(Buddy)),
        ("perf,buddy", Some(Both)),
        ("buddy,perf", Some(Both)),
        ("Perf", None),
        ("perf,", None),
        ("perf buddy", None),
        ("perf,perf", None),
        ("1", None),
    ] {
        assert_eq!(Backend::parse(text.as_bytes()), backend, "{text:?}");
    }
    let all = [Auto, Perf, Buddy, Both];
    assert_eq!(
        all.map(|backend| backend.without_counters(true)),
        [Buddy, Perf, Buddy, Both]
    );
    assert_eq!(all.map(|backend| backend.without_counters(false)), all);
    assert_eq!(all.map(Backend::wants_perf), [true, true, false, true]);
    assert_eq!(all.map(Backend::needs_perf), [false, true, false, false]);
    assert_eq!(all.map(|b| b.buddy(true)), [false, false, true, true]);
    assert_eq!(all.map(|b| b.buddy(false)), [true, false, true, true]);
}
