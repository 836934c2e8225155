// SPDX-License-Identifier: GPL-2.0

//! What a CPU has spent its time on during the last sample periods: mainline's `update_cpustat()` and
//! `print_cpustat()`.

use crate::{
    report::softlockup::CpuUsageSample,
    sys::cpu, //
};
use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};

/// Samples that a report shows (`NUM_SAMPLE_PERIODS`).
const SAMPLES: usize = 5;

/// The samples of one CPU, taken and read in its timer interrupt.
pub(super) struct CpuUsage {
    /// When the next sample is to be taken.
    next: Atomic<u64>,
    /// [`cpu::times`] at the last sample.
    times: [Atomic<u64>; 4],
    /// Percentages of the last samples, a byte each; the oldest at `oldest`.
    samples: [Atomic<u32>; SAMPLES],
    oldest: Atomic<u32>,
}

impl CpuUsage {
    /// No samples.
    pub(super) fn new() -> Self {
        Self {
            next: Atomic::new(0),
            times: core::array::from_fn(|_| Atomic::new(0)),
            samples: core::array::from_fn(|_| Atomic::new(0)),
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
        for (old, new) in self.times.iter().zip(cpu::times(cpu)) {
            old.store(new, Relaxed);
        }
        for sample in &self.samples {
            sample.store(0, Relaxed);
        }
    }

    /// Takes a sample, once each sample period of `period` nanoseconds.
    ///
    /// # Context
    ///
    /// The timer interrupt of the CPU.
    pub(super) fn update(&self, cpu: u32, now: u64, period: u64) {
        if now < self.next.load(Relaxed) {
            return;
        }
        self.next.store(now.saturating_add(period), Relaxed);
        let mut packed: u32 = 0;
        for (old, new) in self.times.iter().zip(cpu::times(cpu)) {
            let spent = new.saturating_sub(old.xchg(new, Relaxed));
            let percent = spent
                .saturating_mul(100)
                .checked_div(period)
                .unwrap_or(0)
                .min(100);
            packed = packed << 8 | u32::try_from(percent).unwrap_or(100);
        }
        let oldest = self.oldest.load(Relaxed);
        if let Some(sample) = self.samples.get(oldest as usize) {
            sample.store(packed, Relaxed);
        }
        let next = oldest.wrapping_add(1);
        let next = if next as usize >= SAMPLES { 0 } else { next };
        self.oldest.store(next, Relaxed);
    }

    /// The samples, the oldest first.
    pub(super) fn samples(&self) -> impl Iterator<Item = CpuUsageSample> + '_ {
        let oldest = self.oldest.load(Relaxed) as usize;
        let (new, old) = (
            self.samples.get(..oldest).unwrap_or_default(),
            self.samples.get(oldest..).unwrap_or_default(),
        );
        Iterator::chain(old.iter(), new).map(|packed| {
            let [system, softirq, hardirq, idle] = packed.load(Relaxed).to_be_bytes();
            CpuUsageSample {
                system,
                softirq,
                hardirq,
                idle,
            }
        })
    }

    /// Percent of hard interrupts in the last sample.
    pub(super) fn hardirq_percent(&self) -> u8 {
        let oldest = self.oldest.load(Relaxed) as usize;
        let last = oldest.checked_sub(1).unwrap_or(SAMPLES - 1);
        let packed = self
            .samples
            .get(last)
            .map_or(0, |packed| packed.load(Relaxed));
        let [_, _, hardirq, _] = packed.to_be_bytes();
        hardirq
    }
}
