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

/// When the next sample is to be taken. `in_tree`: when the watchdog timer of the in-tree detector
/// expires on this CPU, if it has the same sample period; 0: not known.
///
/// With that timer, if it expires within a period: an idle CPU is woken once for both. It has been set for the
/// next time before vigil's expires, which comes behind it in the same interrupt; so they stay together.
pub fn next_sample(now: u64, period: u64, in_tree: u64) -> u64 {
    let latest = now.wrapping_add(period);
    if (now..=latest).contains(&in_tree) {
        in_tree
    } else {
        latest
    }
}
