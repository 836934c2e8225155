// SPDX-License-Identifier: GPL-2.0

//! The busiest interrupts of a CPU that is stuck: mainline's `start_counting_irqs()` and
//! `print_irq_counts()`.
//!
//! The kernel counts interrupts all the time; how many there were lately takes two readings of all
//! counts. The first comes when a CPU has been without its stopper for a sample period, so that a CPU
//! on which nothing is stuck never reads any.
//!
//! Only the timer interrupt of a CPU uses the snapshot of that CPU. The counts of the numbered
//! interrupts are kept in a pool, for as many CPUs as may be stuck at a time; for one more CPU only
//! their sum is known.

use crate::{
    logic::{
        fmt::{
            Bytes,
            Secs, //
        },
        irqstat::{
            delta,
            dominate,
            per_second,
            IrqCount,
            IrqSource,
            TopIrqs, //
        },
        messages::{
            BusyInterrupt,
            BusyInterrupts, //
        }, //
    },
    sys::{
        atomic::{
            Acquire,
            Atomic,
            Relaxed,
            Release, //
        },
        buffer::Buffer,
        clock::HZ,
        irqstat::{
            self,
            Name, //
        },
        printk, //
    }, //
};
use core::fmt;
use kernel::prelude::*;

/// CPUs that may be stuck at a time and have their numbered interrupts counted one by one.
const POOL_SIZE: usize = 4;

/// Interrupts that are counted one by one, at most.
const MAX_NUMBERED: u32 = 8192;

/// How many interrupts may be added once all drivers are loaded: arm64 makes room for them when
/// drivers ask.
const HEADROOM: u32 = 2048;

/// Kinds of interrupts without a number.
const LOCAL_KINDS: usize = 24;

/// Room for the counts of all numbered interrupts on one CPU.
struct IrqCounts {
    in_use: Atomic<bool>,
    counts: Buffer<Atomic<u32>>,
}

/// Room for the counts of the CPUs that are stuck.
pub(crate) struct IrqCountPool([IrqCounts; POOL_SIZE]);

impl IrqCountPool {
    /// A pool that is not in use.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    ///
    /// # Context
    ///
    /// Process context, may sleep.
    pub(crate) fn new() -> Result<Self> {
        let len = irqstat::nr_irqs()
            .saturating_add(HEADROOM)
            .min(MAX_NUMBERED) as usize;
        let entry = || -> Result<IrqCounts> {
            Ok(IrqCounts {
                in_use: Atomic::new(false),
                counts: Buffer::new(len, GFP_KERNEL, |_| Ok(Atomic::new(0)))?,
            })
        };
        Ok(Self([entry()?, entry()?, entry()?, entry()?]))
    }

    /// Takes a free entry. Returns its place.
    fn take(&self) -> Option<u32> {
        self.0
            .iter()
            .zip(0..u32::MAX)
            .find(|(entry, _)| entry.in_use.cmpxchg(false, true, Acquire).is_ok())
            .map(|(_, place)| place)
    }

    fn get(&self, place: u32) -> Option<&IrqCounts> {
        self.0.get(place as usize)
    }
}

/// Place of no entry.
const NO_ENTRY: u32 = u32::MAX;

/// The counts of one CPU when it had missed a sample period.
pub(crate) struct IrqSnapshot {
    /// When they were read; 0: they were not.
    taken_at: Atomic<u64>,
    /// Place of the entry in the pool.
    entry: Atomic<u32>,
    /// All numbered interrupts together.
    sum: Atomic<u64>,
    /// How many interrupts had a number.
    numbered: Atomic<u32>,
    local: [Atomic<u32>; LOCAL_KINDS],
}

impl IrqSnapshot {
    /// No counts have been read.
    pub(crate) fn new() -> Self {
        Self {
            taken_at: Atomic::new(0),
            entry: Atomic::new(NO_ENTRY),
            sum: Atomic::new(0),
            numbered: Atomic::new(0),
            local: core::array::from_fn(|_| Atomic::new(0)),
        }
    }

    /// Reads the counts, unless they have been read.
    ///
    /// # Context
    ///
    /// The timer interrupt of the CPU.
    pub(crate) fn take(&self, pool: &IrqCountPool, cpu: u32, now: u64) {
        if self.taken_at.load(Relaxed) == 0 {
            self.entry.store(pool.take().unwrap_or(NO_ENTRY), Relaxed);
            self.read_counts(pool, cpu, now);
        }
    }

    #[inline(never)]
    fn read_counts(&self, pool: &IrqCountPool, cpu: u32, now: u64) {
        self.taken_at.store(now.max(1), Relaxed);
        self.sum.store(irqstat::irqs_sum(cpu), Relaxed);
        for (count, kind) in self.local.iter().zip(0..irqstat::nr_local_irqs()) {
            count.store(irqstat::local_irq_count(kind, cpu), Relaxed);
        }
        let numbered = irqstat::nr_irqs();
        self.numbered.store(numbered, Relaxed);
        if let Some(entry) = pool.get(self.entry.load(Relaxed)) {
            for (count, irq) in entry.counts.iter().zip(0..numbered) {
                count.store(irqstat::irq_count(irq, cpu), Relaxed);
            }
        }
    }

    /// Drops the counts and returns the entry to the pool: the CPU is not stuck any more, or is not
    /// watched.
    ///
    /// # Context
    ///
    /// The timer interrupt of the CPU, or process context once the timer has stopped.
    pub(crate) fn clear(&self, pool: &IrqCountPool) {
        if self.taken_at.load(Relaxed) == 0 {
            return;
        }
        self.taken_at.store(0, Relaxed);
        if let Some(entry) = pool.get(self.entry.xchg(NO_ENTRY, Relaxed)) {
            entry.in_use.store(false, Release);
        }
    }

    /// Prints which interrupts came most since the counts were read, if they may be what the CPU is
    /// busy with: `print_irq_counts()`. `percent`: the share of hard interrupts in the last sample.
    /// The next call counts from now.
    ///
    /// # Context
    ///
    /// The timer interrupt of the CPU.
    #[inline(never)]
    pub(crate) fn print_top(&self, pool: &IrqCountPool, cpu: u32, now: u64, percent: u8) {
        let taken_at = self.taken_at.load(Relaxed);
        if taken_at == 0 {
            return;
        }
        let ns = now.saturating_sub(taken_at);
        let mut top = TopIrqs::new();
        let mut total = irqstat::irqs_sum(cpu).saturating_sub(self.sum.load(Relaxed));
        if let Some(entry) = pool.get(self.entry.load(Relaxed)) {
            for (old, irq) in entry.counts.iter().zip(0..self.numbered.load(Relaxed)) {
                let count = delta(old.load(Relaxed), irqstat::irq_count(irq, cpu));
                top.add(IrqSource::Numbered(irq), count.into());
            }
        } else {
            top.add(IrqSource::AllNumbered, total);
        }
        for (old, kind) in self.local.iter().zip(0..irqstat::nr_local_irqs()) {
            let count = delta(old.load(Relaxed), irqstat::local_irq_count(kind, cpu)).into();
            top.add(IrqSource::Local(kind), count);
            total = total.saturating_add(count);
        }
        let rate = per_second(total, ns);
        if dominate(rate, percent, u64::try_from(HZ).unwrap_or(0)) {
            printk::crit(format_args!(
                "{}",
                BusyInterrupts {
                    cpu,
                    total,
                    secs: Secs(ns),
                    rate,
                }
            ));
            for IrqCount { source, count } in top.iter() {
                printk::crit(format_args!(
                    "{}",
                    BusyInterrupt {
                        count,
                        source: IrqName(source),
                        rate: per_second(count, ns),
                    }
                ));
            }
        }
        self.read_counts(pool, cpu, now);
    }
}

/// A source of interrupts with its name: `#24 (virtio0-output.0)`.
struct IrqName(IrqSource);

impl fmt::Display for IrqName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IrqSource::Local(kind) => Bytes(irqstat::local_irq_name(kind)).fmt(f),
            IrqSource::AllNumbered => {
                f.write_str("devices (not known which: too many CPUs are stuck)")
            }
            IrqSource::Numbered(irq) => {
                write!(f, "#{irq}")?;
                let name = Name::of(irq);
                if name.bytes().is_empty() {
                    return Ok(());
                }
                write!(f, " ({})", Bytes(name.bytes()))
            }
        }
    }
}
