// SPDX-License-Identifier: GPL-2.0

//! The knobs' values, and their files under `/proc/sys/vigil`.

use crate::{
    logic::knobs::{Id, Kind, Knob, ALL, COUNT},
    sys::{kthread::Bell, machine::HZ, sysctl::Files},
};
use core::fmt;
use kernel::{
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        Arc,
    },
};

/// All knobs. Each value stands alone, so that relaxed accesses do; a change rings the bell, whose
/// lock orders it before the detector's next look.
pub(crate) struct Knobs {
    values: [Atomic<i64>; COUNT],
    bell: Arc<Bell>,
}

impl Knobs {
    /// Knobs with their defaults; `bell` is rung on every change.
    pub(crate) fn new(bell: Arc<Bell>) -> Self {
        Self {
            values: core::array::from_fn(|i| Atomic::new(ALL.get(i).map_or(0, Knob::default))),
            bell,
        }
    }

    /// Sets a number that was given at load.
    pub(crate) fn preset(&self, id: Id, value: i64) -> Result {
        let value = describe(id as usize)?
            .check(value, HZ)
            .map_err(|_| EINVAL)?;
        self.set(id, value);
        Ok(())
    }

    /// Sets a list that was given at load as text.
    pub(crate) fn preset_text(&self, id: Id, text: &[u8]) -> Result {
        let value = describe(id as usize)?.parse(text, HZ).map_err(|_| EINVAL)?;
        self.set(id, value);
        Ok(())
    }

    /// The value.
    pub(crate) fn get(&self, id: Id) -> i64 {
        self.values.get(id as usize).map_or(0, |v| v.load(Relaxed))
    }

    /// The value of a knob that cannot be negative.
    pub(crate) fn get_u64(&self, id: Id) -> u64 {
        u64::try_from(self.get(id)).unwrap_or(0)
    }

    fn set(&self, id: Id, value: i64) {
        if let Some(v) = self.values.get(id as usize) {
            v.store(value, Relaxed);
        }
    }

    /// Counts one more.
    pub(crate) fn count(&self, id: Id) {
        if let Some(v) = self.values.get(id as usize) {
            v.fetch_add(1, Relaxed);
        }
    }

    /// Takes one from a number that runs out; -1 never does. Returns what was there before.
    /// A write at the same time wins or is taken from, and is not lost.
    pub(crate) fn take_one(&self, id: Id) -> i64 {
        let Some(v) = self.values.get(id as usize) else {
            return 0;
        };
        let mut was = v.load(Relaxed);
        while was > 0 {
            match v.cmpxchg(was, was.wrapping_sub(1), Relaxed) {
                Ok(_) => break,
                Err(now) => was = now,
            }
        }
        was
    }
}

/// The description of the knob in this place.
fn describe(index: usize) -> Result<&'static Knob> {
    ALL.get(index).ok_or(EINVAL)
}

impl Files for Knobs {
    const COUNT: usize = COUNT;

    fn name(index: usize) -> &'static str {
        ALL.get(index).map_or("", |knob| knob.name)
    }

    fn show(&self, index: usize, out: &mut dyn fmt::Write) -> fmt::Result {
        let knob = describe(index).map_err(|_| fmt::Error)?;
        write!(out, "{}", knob.show(self.get(knob.id)))
    }

    fn store(&self, index: usize, text: &[u8]) -> Result {
        let knob = describe(index)?;
        let value = knob.parse(text, HZ).map_err(|_| EINVAL)?;
        self.set(knob.id, value);
        if knob.kind != Kind::Counter {
            self.bell.ring();
        }
        Ok(())
    }
}
