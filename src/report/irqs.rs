// SPDX-License-Identifier: GPL-2.0

//! The busiest interrupts of a CPU that is stuck.
//!
//! The kernel counts all the time; to know how many there were lately takes a look at all counts
//! twice. The first look comes when a CPU has been without its stopper for a sample period, so that
//! a CPU on which nothing is stuck never looks at any.
//!
//! Only the timer interrupt of a CPU uses what is that CPU's. The counts of the numbered interrupts
//! are kept in one of a few tables, for as many CPUs as may be stuck at a time; on one more, only all
//! of them together are known.

use crate::{
    logic::{
        fmt::{Bytes, Secs},
        irqstat::{dominate, grown, per_second, Busiest, Busy, Source},
    },
    sys::{
        buffer::Buffer,
        clock::HZ,
        irqstat::{self, Name},
        printk,
    },
};
use core::fmt;
use kernel::{
    prelude::*,
    sync::atomic::{Acquire, Atomic, Relaxed, Release},
};

/// CPUs that may be stuck at a time and have their numbered interrupts counted one by one.
const TABLES: usize = 4;

/// Interrupts that are counted one by one, at most.
const NUMBERED: u32 = 8192;

/// How many more there may be once all drivers have come: on arm64 the kernel makes room for their
/// interrupts when they ask.
const TO_COME: u32 = 2048;

/// Kinds of interrupts without a number.
const LOCAL: usize = 24;

/// Room for the counts of all numbered interrupts on one CPU.
struct Table {
    taken: Atomic<bool>,
    counts: Buffer<Atomic<u32>>,
}

/// Tables for CPUs that are stuck.
pub(crate) struct Tables([Table; TABLES]);

impl Tables {
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new() -> Result<Self> {
        let len = irqstat::count().saturating_add(TO_COME).min(NUMBERED) as usize;
        let table = || -> Result<Table> {
            Ok(Table {
                taken: Atomic::new(false),
                counts: Buffer::new(len, GFP_KERNEL, |_| Ok(Atomic::new(0)))?,
            })
        };
        Ok(Self([table()?, table()?, table()?, table()?]))
    }

    /// A free one's place.
    fn take(&self) -> Option<u32> {
        self.0
            .iter()
            .zip(0..u32::MAX)
            .find(|(table, _)| table.taken.cmpxchg(false, true, Acquire).is_ok())
            .map(|(_, place)| place)
    }

    fn get(&self, place: u32) -> Option<&Table> {
        self.0.get(place as usize)
    }
}

/// Place of no table.
const NONE: u32 = u32::MAX;

/// The counts of one CPU at the moment of the first look.
pub(crate) struct Since {
    /// When that was; 0: not yet.
    at: Atomic<u64>,
    /// Place of the table.
    table: Atomic<u32>,
    /// All numbered ones.
    sum: Atomic<u64>,
    /// How many of those there were.
    numbered: Atomic<u32>,
    local: [Atomic<u32>; LOCAL],
}

impl Since {
    /// No look yet.
    pub(crate) fn new() -> Self {
        Self {
            at: Atomic::new(0),
            table: Atomic::new(NONE),
            sum: Atomic::new(0),
            numbered: Atomic::new(0),
            local: core::array::from_fn(|_| Atomic::new(0)),
        }
    }

    /// Takes the first look, unless it was taken.
    ///
    /// # Context
    ///
    /// The timer interrupt of the CPU, as for all of these.
    pub(crate) fn look(&self, tables: &Tables, cpu: u32, now: u64) {
        if self.at.load(Relaxed) == 0 {
            self.table.store(tables.take().unwrap_or(NONE), Relaxed);
            self.look_anew(tables, cpu, now);
        }
    }

    fn look_anew(&self, tables: &Tables, cpu: u32, now: u64) {
        self.at.store(now.max(1), Relaxed);
        self.sum.store(irqstat::sum(cpu), Relaxed);
        for (count, kind) in self.local.iter().zip(0..irqstat::local_kinds()) {
            count.store(irqstat::local_taken(kind, cpu), Relaxed);
        }
        let numbered = irqstat::count();
        self.numbered.store(numbered, Relaxed);
        if let Some(table) = tables.get(self.table.load(Relaxed)) {
            for (count, irq) in table.counts.iter().zip(0..numbered) {
                count.store(irqstat::taken(irq, cpu), Relaxed);
            }
        }
    }

    /// Forgets it: the CPU is not stuck any more, or is not watched. In the latter case also to be
    /// called in process context, when the timer has stopped.
    pub(crate) fn forget(&self, tables: &Tables) {
        if self.at.load(Relaxed) == 0 {
            return;
        }
        self.at.store(0, Relaxed);
        if let Some(table) = tables.get(self.table.xchg(NONE, Relaxed)) {
            table.taken.store(false, Release);
        }
    }

    /// Says which came most since the first look, if they may be what the CPU is busy with:
    /// `print_irq_counts()`. `percent` is the share of hard interrupts in the last sample. The next
    /// time counts from now.
    pub(crate) fn show(&self, tables: &Tables, cpu: u32, now: u64, percent: u8) {
        let at = self.at.load(Relaxed);
        if at == 0 {
            return;
        }
        let ns = now.saturating_sub(at);
        let mut busiest = Busiest::new();
        let mut total = irqstat::sum(cpu).saturating_sub(self.sum.load(Relaxed));
        if let Some(table) = tables.get(self.table.load(Relaxed)) {
            for (old, irq) in table.counts.iter().zip(0..self.numbered.load(Relaxed)) {
                let count = grown(old.load(Relaxed), irqstat::taken(irq, cpu));
                busiest.add(Source::Numbered(irq), count.into());
            }
        } else {
            busiest.add(Source::AllNumbered, total);
        }
        for (old, kind) in self.local.iter().zip(0..irqstat::local_kinds()) {
            let count = grown(old.load(Relaxed), irqstat::local_taken(kind, cpu)).into();
            busiest.add(Source::Local(kind), count);
            total = total.saturating_add(count);
        }
        let a_second = per_second(total, ns);
        if dominate(a_second, percent, u64::try_from(HZ).unwrap_or(0)) {
            printk::crit(format_args!(
                "vigil: CPU{cpu} took {total} interrupts in the last {} s, {a_second} a second; the busiest:",
                Secs(ns)
            ));
            for Busy { source, count } in busiest.each() {
                printk::crit(format_args!(
                    "vigil:   {count} times {}, {} a second",
                    Called(source),
                    per_second(count, ns)
                ));
            }
        }
        self.look_anew(tables, cpu, now);
    }
}

/// A source of interrupts with its name: `#24 (virtio0-output.0)`.
struct Called(Source);

impl fmt::Display for Called {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Source::Local(kind) => Bytes(irqstat::local_name(kind)).fmt(f),
            Source::AllNumbered => {
                f.write_str("devices (not known which: too many CPUs are stuck)")
            }
            Source::Numbered(irq) => {
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
