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
