// SPDX-License-Identifier: GPL-2.0

//! The top interrupts.

mod common;

use proptest::prelude::*;
use vigil_logic::irqstat::{
    delta, dominate, per_second, IrqSource, TopIrqs, HARDIRQ_PERCENT_THRESH, MIN_RATE,
    NUM_HARDIRQ_REPORT,
};

const SEC: u64 = 1_000_000_000;

fn shown(counts: &[(u32, u64)]) -> Vec<(IrqSource, u64)> {
    let mut top = TopIrqs::new();
    for &(irq, count) in counts {
        top.add(IrqSource::Numbered(irq), count);
    }
    top.iter().map(|busy| (busy.source, busy.count)).collect()
}

#[test]
fn the_busiest_come_first() {
    assert_eq!(shown(&[]), []);
    // What did not come is not named, however few there are.
    assert_eq!(shown(&[(1, 0), (2, 3)]), [(IrqSource::Numbered(2), 3)]);
    let of = |irqs: &[(u32, u64)]| -> Vec<(IrqSource, u64)> {
        irqs.iter()
            .map(|&(irq, count)| (IrqSource::Numbered(irq), count))
            .collect()
    };
    assert_eq!(
        shown(&[
            (1, 10),
            (2, 70),
            (3, 30),
            (4, 20),
            (5, 60),
            (6, 50),
            (7, 40)
        ]),
        of(&[(2, 70), (5, 60), (6, 50), (7, 40), (3, 30)])
    );
    // Of several with the same count the first stay.
    assert_eq!(
        shown(&[(1, 5), (2, 5), (3, 5), (4, 5), (5, 5), (6, 5), (7, 6)]),
        of(&[(7, 6), (1, 5), (2, 5), (3, 5), (4, 5)])
    );
    let mut mixed = TopIrqs::new();
    mixed.add(IrqSource::Local(1), 9);
    mixed.add(IrqSource::AllNumbered, 10);
    let sources: Vec<IrqSource> = mixed.iter().map(|busy| busy.source).collect();
    assert_eq!(sources, [IrqSource::AllNumbered, IrqSource::Local(1)]);
}

#[test]
fn counts_wrap_and_begin_anew() {
    assert_eq!(delta(5, 5), 0);
    assert_eq!(delta(5, 12), 7);
    assert_eq!(delta(u32::MAX - 1, 3), 5);
    // Another interrupt has the number now, and had 40.
    assert_eq!(delta(1_000_000, 40), 40);
    assert_eq!(delta(0, u32::MAX / 2), u32::MAX / 2);
}

#[test]
fn a_second() {
    assert_eq!(per_second(3000, 2 * SEC), 1500);
    assert_eq!(per_second(400, SEC / 10), 4000);
    // However short, and however many.
    assert_eq!(per_second(7, 0), 7000);
    assert_eq!(per_second(u64::MAX, 1), u64::MAX);
}

#[test]
fn what_dominates() {
    // Debian's tick comes 250 times a second.
    assert!(!dominate(250, 0, 250));
    assert!(!dominate(MIN_RATE - 1, 0, 250));
    assert!(dominate(MIN_RATE, 0, 250));
    // One that comes 1000 times is no storm.
    assert!(!dominate(1999, 0, 1000));
    assert!(dominate(2000, 0, 1000));
    // Few, but long ones, where their time is known.
    assert!(!dominate(3, HARDIRQ_PERCENT_THRESH, 250));
    assert!(dominate(3, HARDIRQ_PERCENT_THRESH + 1, 250));
}

proptest! {
    #![proptest_config(common::config())]

    #[test]
    fn as_sorting_would(counts in prop::collection::vec(0u64..50, 0..40)) {
        let counts: Vec<(u32, u64)> = (0..).zip(counts).collect();
        let mut sorted: Vec<(u32, u64)> = counts.iter().copied().filter(|&(_, n)| n > 0).collect();
        sorted.sort_by_key(|&(_, n)| core::cmp::Reverse(n));
        sorted.truncate(NUM_HARDIRQ_REPORT);
        let expected: Vec<(IrqSource, u64)> = sorted
            .into_iter()
            .map(|(irq, n)| (IrqSource::Numbered(irq), n))
            .collect();
        prop_assert_eq!(shown(&counts), expected);
    }
}
