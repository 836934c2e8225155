// SPDX-License-Identifier: GPL-2.0

//! What a CPU spent a sample period on, against exact arithmetic in nanoseconds.

use proptest::prelude::*;
use vigil_logic::cpu_usage::{pack, sample, CpuUsageSample, KINDS};

const MS: u64 = 1_000_000;

fn packed(ns: [u64; KINDS]) -> [u32; KINDS] {
    ns.map(pack)
}

#[test]
fn a_period_of_each_kind() {
    let before = packed([5_000 * MS; KINDS]);
    let after = |kind: usize, ms: u64| {
        let mut ns = [5_000 * MS; KINDS];
        ns[kind] += ms * MS;
        packed(ns)
    };
    let none = CpuUsageSample::default();
    let of = |kind, ms| sample(&before, &after(kind, ms), 400 * MS);
    assert_eq!(of(0, 399), CpuUsageSample { system: 99, ..none });
    assert_eq!(
        of(0, 401),
        CpuUsageSample {
            system: 100,
            ..none
        }
    );
    assert_eq!(
        of(1, 101),
        CpuUsageSample {
            softirq: 25,
            ..none
        }
    );
    assert_eq!(
        of(2, 201),
        CpuUsageSample {
            hardirq: 50,
            ..none
        }
    );
    assert_eq!(of(3, 301), CpuUsageSample { idle: 75, ..none });
    // User and steal time are not shown.
    assert_eq!(of(4, 400), none);
    // A late interrupt.
    assert_eq!(
        of(0, 4_000),
        CpuUsageSample {
            system: 100,
            ..none
        }
    );
}

/// A CPU counts the idle time of an hour when it is idle no more.
#[test]
fn idle_time_that_was_counted_late() {
    let before = packed([0; KINDS]);
    let after = packed([300 * MS, 0, 0, 3_000_000 * MS, 41 * MS]);
    let usage = sample(&before, &after, 400 * MS);
    assert_eq!((usage.system, usage.idle), (74, 16));
}

/// A count that has wrapped.
#[test]
fn around() {
    let period = 400 * MS;
    let usage = sample(&[u32::MAX; KINDS], &[pack(200 * MS) - 1; KINDS], period);
    assert_eq!((usage.system, usage.idle), (49, 0));
}

#[test]
fn no_period() {
    let after = packed([MS; KINDS]);
    assert_eq!(sample(&[0; KINDS], &after, 0), CpuUsageSample::default());
}

proptest! {
    /// Percentages are those of the nanoseconds, less what the unit of 1024 ns loses; counts wrap.
    #[test]
    fn follows_the_nanoseconds(
        start in any::<u64>(),
        shares in proptest::array::uniform5(0..20u64),
        period in 400 * MS..24_000 * MS,
    ) {
        let start = start / 2;
        let ns = shares.map(|share| period / 100 * share);
        let usage = sample(&packed([start; KINDS]), &packed(ns.map(|ns| start + ns)), period);
        for (got, want) in [(usage.system, shares[0]), (usage.softirq, shares[1]), (usage.hardirq, shares[2]), (usage.idle, shares[3])] {
            prop_assert!(u64::from(got) == want || u64::from(got) + 1 == want, "{got} for {want}");
        }
    }
}
