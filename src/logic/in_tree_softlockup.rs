// SPDX-License-Identifier: GPL-2.0

//! What the in-tree detector of soft lockups does, as far as this one has to know.

use super::sample_period::sample_period;

/// Nanoseconds in a second of its clock (`get_timestamp()`).
const SECOND: u64 = 1 << 30;

/// After how many nanoseconds it has surely found a CPU that is stuck, from the last touch on. It wants
/// more than the threshold, in seconds of its clock; it looks once in a sample period; and it begins to
/// count at the look that finds a touch.
pub fn needs(thresh_secs: u64) -> u64 {
    let seconds = thresh_secs.saturating_mul(2).saturating_add(1);
    let periods = sample_period(thresh_secs).saturating_mul(2);
    seconds.saturating_mul(SECOND).saturating_add(periods)
}
