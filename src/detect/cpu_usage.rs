// SPDX-License-Identifier: GPL-2.0

//! What a CPU has spent its time on during the last sample periods: mainline's `update_cpustat()` and
//! `print_cpustat()`. The timer interrupt only notes what the kernel has counted so far; a report
//! makes percentages of it.

use crate::{
    logic::cpu_usage::{
        self,
        CpuUsageSample,
        KINDS, //
    },
    sys::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        context::HardirqCtx,
        cpu, //
    }, //
};

/// Counts that are kept: one more than the samples that a report shows (`NUM_SAMPLE_PERIODS`).
const COUNTS: usize = 6;

/// What one CPU has spent its time on as of the end of each of the last sample periods. Written and
/// read in its timer interrupt.
pub(super) struct CpuUsage {
    /// When the next count is to be taken.
    next: Atomic<u64>,
    /// [`cpu_usage::CpuTimes`]; the oldest at `oldest`.
    counts: [[Atomic<u32>; KINDS]; COUNTS],
    oldest: Atomic<u32>,
}

impl CpuUsage {
    /// Of a CPU that is not watched.
    pub(super) fn new() -> Self {
        Self {
            next: Atomic::new(0),
            counts: [const { [const { Atomic::new(0) }; KINDS] }; COUNTS],
            oldest: Atomic::new(0),
        }
    }

    /// The CPU is about to be watched.
    ///
    /// # Context
    ///
    /// Process context, while the timer does not run.
    pub(super) fn reset(&self, cpu: u32, now: u64) {
        self.next.store(now, Relaxed);
        let times = cpu::times(cpu);
        for count in &self.counts {
            Self::store(count, &times);
        }
    }

    fn store(count: &[Atomic<u32>; KINDS], times: &[u64; KINDS]) {
        for (to, &ns) in count.iter().zip(times) {
            to.store(cpu_usage::pack(ns), Relaxed);
        }
    }

    /// Notes what the CPU has spent its time on, once each sample period; the next time at `next`.
    ///
    /// # Context
    ///
    /// The timer interrupt of the CPU.
    pub(super) fn update(&self, now: u64, next: u64, irq: &HardirqCtx<'_>) {
        if now < self.next.load(Relaxed) {
            return;
        }
        self.next.store(next, Relaxed);
        let oldest = self.oldest.load(Relaxed);
        if let Some(count) = self.counts.get(oldest as usize) {
            Self::store(count, &cpu::times_here(irq));
        }
        let next = oldest.wrapping_add(1);
        let next = if next as usize >= COUNTS { 0 } else { next };
        self.oldest.store(next, Relaxed);
    }

    /// The samples, the oldest first, each taken for one of `period` nanoseconds.
    pub(super) fn samples(&self, period: u64) -> impl Iterator<Item = CpuUsageSample> + '_ {
        let oldest = self.oldest.load(Relaxed) as usize;
        let (new, old) = (
            self.counts.get(..oldest).unwrap_or_default(),
            self.counts.get(oldest..).unwrap_or_default(),
        );
        let mut counts = Iterator::chain(old.iter(), new).map(|count| {
            core::array::from_fn(|kind| count.get(kind).map_or(0, |n| n.load(Relaxed)))
        });
        let mut before = counts.next().unwrap_or_default();
        counts.map(move |after| {
            let sample = cpu_usage::sample(&before, &after, period);
            before = after;
            sample
        })
    }
}
