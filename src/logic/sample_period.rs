// SPDX-License-Identifier: GPL-2.0

//! The sample period: how often the watchdog timer of each CPU expires, for soft and for hard
//! lockups.

use super::softlockup;

/// Sample periods in one soft-lockup threshold (`NUM_SAMPLE_PERIODS`).
pub const NUM_SAMPLE_PERIODS: u64 = 5;

/// Nanoseconds from one timer interrupt to the next for a `watchdog_thresh` in seconds
/// (`set_sample_period()`).
pub fn sample_period(thresh_secs: u64) -> u64 {
    softlockup::threshold(thresh_secs) / NUM_SAMPLE_PERIODS
}

/// The least time from the end of a timer interrupt to the next one, in nanoseconds.
pub const MIN_REARM_NS: u64 = 1_000_000;

/// When the next sample is to be taken: `period` after `now`, or just before the watchdog timer of
/// the in-tree detector expires on this CPU. `in_tree`: when that timer expires, or has expired in this
/// interrupt, in which its callback is still to come; 0: not known, or it has another period.
///
/// The two expire in the same interrupt then, so that an idle CPU is woken once for both. vigil's comes
/// first: the in-tree callback clears kvmclock's flag of a pause, and may print a report for seconds.
///
/// Between two samples there is never more than a period and [`MIN_REARM_NS`], whatever `in_tree` says.
pub fn next_sample(now: u64, period: u64, in_tree: u64) -> u64 {
    // How long it is from the first moment at which another interrupt may come to just before that timer.
    let after_rest = in_tree.wrapping_sub(now.wrapping_add(MIN_REARM_NS + 2));
    if after_rest < period {
        return in_tree.wrapping_sub(1);
    }
    // The in-tree callback sets its timer a period further.
    if after_rest.wrapping_add(period) < period {
        return in_tree.wrapping_add(period).wrapping_sub(1);
    }
    now.wrapping_add(period)
}
