// SPDX-License-Identifier: GPL-2.0

//! Which interrupts keep a CPU busy.
//!
//! Mainline names them when the time spent on hard interrupts dominates (`need_counting_irqs()`),
//! which it knows only with `CONFIG_IRQ_TIME_ACCOUNTING`. The tick, by which time is counted without
//! it, does not come while another interrupt is being handled, and so never sees one. How many
//! interrupts there were is counted in any case: here it takes so many that it is no usual load.

use super::NSEC_PER_SEC;

/// How many interrupts are named (`NUM_HARDIRQ_REPORT`).
pub const NUM_HARDIRQ_REPORT: usize = 5;

/// Percent of hard interrupts in a sample period that say as much where that time is known
/// (`HARDIRQ_PERCENT_THRESH`).
pub const HARDIRQ_PERCENT_THRESH: u8 = 50;

/// Interrupts a second that a CPU has to take for them to be named, unless the tick alone makes
/// half as many: one each millisecond.
pub const MIN_RATE: u64 = 1000;

/// Where interrupts come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IrqSource {
    /// One with a number.
    Numbered(u32),
    /// One of the kinds without.
    Local(u32),
    /// All of those with a number together, where they were not counted one by one.
    AllNumbered,
}

/// A source, and how often it made the CPU stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IrqCount {
    /// The source.
    pub source: IrqSource,
    /// How many interrupts.
    pub count: u64,
}

/// The sources with the most interrupts, of all that were added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TopIrqs([Option<IrqCount>; NUM_HARDIRQ_REPORT]);

impl TopIrqs {
    /// No sources.
    pub const fn new() -> Self {
        Self([None; NUM_HARDIRQ_REPORT])
    }

    /// Adds a source, each at most once. Of several with the same count the first is kept.
    pub fn add(&mut self, source: IrqSource, count: u64) {
        if count == 0 {
            return;
        }
        let mut new = Some(IrqCount { source, count });
        let mut found = false;
        for place in &mut self.0 {
            found |= place.is_none_or(|busy| count > busy.count);
            if found {
                // All behind it move down by one.
                core::mem::swap(place, &mut new);
            }
        }
    }

    /// The most frequent first.
    pub fn iter(&self) -> impl Iterator<Item = IrqCount> + '_ {
        self.0.iter().filter_map(|busy| *busy)
    }
}

/// How much a count that wraps has delta. One that is less than it was has begun anew, with another
/// interrupt under the old one's number.
pub fn delta(old: u32, new: u32) -> u32 {
    let by = new.wrapping_sub(old);
    if by > u32::MAX / 2 {
        new
    } else {
        by
    }
}

/// How many of what there were `count` in `ns` nanoseconds there were in a second.
pub fn per_second(count: u64, ns: u64) -> u64 {
    let millis = (ns / 1_000_000).max(1);
    count
        .saturating_mul(NSEC_PER_SEC / 1_000_000)
        .checked_div(millis)
        .unwrap_or(0)
}

/// Whether interrupts may be what keeps a CPU from its work: for so many `a_second`, or because they
/// took so many `percent` of the time, where that is known. `hz` is how often the tick comes, which
/// is one of them.
pub fn dominate(a_second: u64, percent: u8, hz: u64) -> bool {
    percent > HARDIRQ_PERCENT_THRESH || a_second >= MIN_RATE.max(hz.saturating_mul(2))
}
