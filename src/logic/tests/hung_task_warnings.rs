// SPDX-License-Identifier: GPL-2.0

//! What `hung_task_warnings` lets be printed.

mod common;

use proptest::prelude::*;
use vigil_logic::hung_task::warnings::{Warnings, CAUSES};

/// The knob, taken from as `Knobs::take_one()` does.
struct Knob {
    left: i64,
    writes: u32,
    warnings: Warnings,
}

impl Knob {
    fn new(left: i64) -> Self {
        Self {
            left,
            writes: 0,
            warnings: Warnings::default(),
        }
    }

    fn write(&mut self, left: i64) {
        self.left = left;
        self.writes += 1;
    }

    fn report(&mut self, is_new: bool) -> bool {
        let left = self.left;
        if left > 0 {
            self.left -= 1;
        }
        self.warnings.may_print(left, self.writes, is_new)
    }
}

#[test]
fn repeats_do_not_silence_what_is_new() {
    let mut knob = Knob::new(3);
    assert!(knob.report(true) && knob.report(false) && knob.report(false));
    assert_eq!(knob.left, 0);
    assert!(!knob.report(false));
    // Three causes in all.
    assert!(knob.report(true) && knob.report(true));
    assert!(!knob.report(true) && !knob.report(false));
}

#[test]
fn a_write_counts_anew() {
    let mut knob = Knob::new(2);
    assert!(knob.report(true) && knob.report(false) && !knob.report(false));
    // Silence is silence.
    knob.write(0);
    assert!(!knob.report(true) && !knob.report(false));
    knob.write(1);
    assert!(knob.report(false) && knob.report(true) && !knob.report(true));
    knob.write(-1);
    for _ in 0..100 {
        assert!(knob.report(false) && knob.report(true));
    }
    knob.write(0);
    assert!(!knob.report(true));
}

#[test]
fn causes_are_remembered_until_no_task_is_hung() {
    let mut warnings = Warnings::default();
    assert!(warnings.is_new(7) && !warnings.is_new(7) && warnings.is_new(8));
    assert!(!warnings.is_new(7) && !warnings.is_new(8));
    warnings.forget_causes();
    assert!(warnings.is_new(7) && !warnings.is_new(7));
    for key in 100..100 + CAUSES as u64 {
        assert!(warnings.is_new(key));
    }
    // The oldest was forgotten.
    assert!(warnings.is_new(7));
}

#[test]
fn sys_info_without_a_report_comes_once_in_a_timeout() {
    let mut warnings = Warnings::default();
    assert!(warnings.may_show_sys_info(0, 160));
    warnings.show_sys_info(1000);
    let may_show = |began, timeout| warnings.may_show_sys_info(began, timeout);
    assert!(!may_show(1000, 160) && !may_show(1149, 160) && may_show(1150, 160));
    // The timeout is another one now.
    assert!(may_show(1075, 80) && !may_show(1150, 320));
}

proptest! {
    #![proptest_config(common::config())]

    /// As many causes are reported as the knob said, or all; and no more reports than mainline's
    /// and one for each cause.
    #[test]
    fn as_many_causes_as_the_knob_says(left in 0..20i64, new in prop::collection::vec(any::<bool>(), 0..80)) {
        let mut knob = Knob::new(left);
        let (mut causes, mut all) = (0, 0);
        for &is_new in &new {
            if knob.report(is_new) {
                all += 1;
                causes += i64::from(is_new);
            }
        }
        let wanted = new.iter().filter(|is_new| **is_new).count() as i64;
        prop_assert_eq!(causes, wanted.min(left));
        prop_assert!(all <= left + wanted);
    }
}
