// SPDX-License-Identifier: GPL-2.0
//! The machine that all this runs on, which may be a virtual one itself.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

/// How much of the processors' time may go to others, at most, for the machine to be
/// one's own.
const OTHERS: f64 = 0.05;

/// Over which time that is looked at.
const LOOK: Duration = Duration::from_secs(5);

/// All time of the processors, and how much of that whoever runs this machine had for
/// others (`cpu` in /proc/stat): both in ticks. Nothing if it does not say.
fn stolen(stat: &str) -> Option<(u64, u64)> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = line
        .split_whitespace()
        .take(8)
        .map(str::parse)
        .collect::<Result<_, _>>()
        .ok()?;
    Some((ticks.iter().sum(), *ticks.get(7)?))
}

/// Waits until others leave this machine its processors; no longer than that. Tells
/// whether they do.
pub(crate) fn wait_until_calm(limit: Duration) -> bool {
    let read = || stolen(&fs::read_to_string("/proc/stat").unwrap_or_default());
    let start = Instant::now();
    let mut before = read();
    while start.elapsed() < limit {
        thread::sleep(LOOK);
        let now = read();
        let (Some((all, others)), Some((all_now, others_now))) = (before, now) else {
            return true;
        };
        let all = all_now.saturating_sub(all).max(1) as f64;
        if (others_now.saturating_sub(others) as f64) < OTHERS * all {
            return true;
        }
        before = now;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_that_others_had() {
        let stat = "cpu  10 0 5 80 1 0 4 50 7 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
        assert_eq!(stolen(stat), Some((150, 50)));
        assert_eq!(stolen("cpu  1 2 3 4\n"), None);
        assert_eq!(stolen("intr 1\n"), None);
    }
}
