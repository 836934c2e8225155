// SPDX-License-Identifier: GPL-2.0
//! The host of the guests, which may be a virtual machine itself: how much of its
//! processor time its own hypervisor takes away (steal time).

use std::{
    fs, thread,
    time::{Duration, Instant},
};

/// Share of steal time up to which the host counts as undisturbed.
const MAX_STEAL: f64 = 0.05;

/// Length of a measurement of steal time.
const INTERVAL: Duration = Duration::from_secs(5);

/// Total time and steal time of all processors, in ticks, from the line `cpu` of
/// /proc/stat, if it has them.
fn total_and_steal(stat: &str) -> Option<(u64, u64)> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = line
        .split_whitespace()
        .take(8)
        .map(str::parse)
        .collect::<Result<_, _>>()
        .ok()?;
    Some((ticks.iter().sum(), *ticks.get(7)?))
}

/// Waits, at most for `limit`, until there is little steal time. Returns whether there is.
pub(crate) fn wait_for_low_steal(limit: Duration) -> bool {
    let read = || total_and_steal(&fs::read_to_string("/proc/stat").unwrap_or_default());
    let start = Instant::now();
    let mut before = read();
    while start.elapsed() < limit {
        thread::sleep(INTERVAL);
        let now = read();
        let (Some((total, steal)), Some((total_now, steal_now))) = (before, now) else {
            return true;
        };
        let total = total_now.saturating_sub(total).max(1) as f64;
        if (steal_now.saturating_sub(steal) as f64) < MAX_STEAL * total {
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
    fn steal_is_the_eighth_number() {
        let stat = "cpu  10 0 5 80 1 0 4 50 7 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
        assert_eq!(total_and_steal(stat), Some((150, 50)));
        assert_eq!(total_and_steal("cpu  1 2 3 4\n"), None);
        assert_eq!(total_and_steal("intr 1\n"), None);
    }
}
