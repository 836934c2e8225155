// SPDX-License-Identifier: GPL-2.0

//! The values of all knobs.

#![deny(unsafe_code)]

use crate::{
    logic::sysctl::{Knob, KnobInfo, COUNT, KNOBS},
    sys::clock::HZ,
};
use kernel::{
    prelude::*,
    sync::atomic::{Atomic, Relaxed},
};

/// All knobs' values. Each stands alone, so that relaxed accesses do.
pub(crate) struct Knobs {
    values: [Atomic<i64>; COUNT],
}

impl Knobs {
    /// Knobs with their defaults.
    pub(crate) fn new() -> Self {
        Self {
            values: core::array::from_fn(|i| {
                Atomic::new(KNOBS.get(i).map_or(0, KnobInfo::default))
            }),
        }
    }

    /// Sets a number that was given at load.
    pub(crate) fn preset(&self, id: Knob, value: i64) -> Result {
        let value = info(id as usize)?.check(value, HZ).map_err(|_| EINVAL)?;
        self.set(id, value);
        Ok(())
    }

    /// Sets a list that was given at load as text.
    pub(crate) fn preset_text(&self, id: Knob, text: &[u8]) -> Result {
        let value = info(id as usize)?.parse(text, HZ).map_err(|_| EINVAL)?;
        self.set(id, value);
        Ok(())
    }

    /// The value.
    pub(crate) fn get(&self, id: Knob) -> i64 {
        self.values.get(id as usize).map_or(0, |v| v.load(Relaxed))
    }

    /// The value of a knob that cannot be negative.
    pub(crate) fn get_u64(&self, id: Knob) -> u64 {
        u64::try_from(self.get(id)).unwrap_or(0)
    }

    /// Sets the value, which the caller has checked.
    pub(crate) fn set(&self, id: Knob, value: i64) {
        if let Some(v) = self.values.get(id as usize) {
            v.store(value, Relaxed);
        }
    }

    /// Counts one more.
    pub(crate) fn count(&self, id: Knob) {
        if let Some(v) = self.values.get(id as usize) {
            v.fetch_add(1, Relaxed);
        }
    }

    /// Takes one from a number that runs out; -1 never does. Returns what was there before.
    /// A write at the same time wins or is taken from, and is not lost.
    pub(crate) fn take_one(&self, id: Knob) -> i64 {
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

/// The description of the knob in this place of the table.
///
/// # Errors
///
/// `EINVAL` if there is none.
pub(crate) fn info(index: usize) -> Result<&'static KnobInfo> {
    KNOBS.get(index).ok_or(EINVAL)
}
