// SPDX-License-Identifier: GPL-2.0

//! The values of all knobs, shared by the detectors and the sysctl files.
//!
//! A new knob is declared in the table of `src/logic/knobs.rs`, which says what else it takes; the
//! files under `/proc/sys/vigil` are those of `src/control/sysctl.rs`.

#![deny(unsafe_code)]

use crate::{
    logic::knobs::{
        Knob,
        KnobInfo,
        COUNT,
        KNOBS, //
    },
    sys::clock::HZ, //
};
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};

/// The values of all knobs. No value says anything about another one: relaxed accesses suffice.
pub(crate) struct Knobs {
    values: [Atomic<i64>; COUNT],
    /// How often `hung_task_warnings` was set; wraps.
    warnings_writes: Atomic<u32>,
}

impl Knobs {
    /// All knobs at their defaults.
    pub(crate) fn new() -> Self {
        Self {
            values: core::array::from_fn(|i| {
                Atomic::new(KNOBS.get(i).map_or(0, KnobInfo::default))
            }),
            warnings_writes: Atomic::new(0),
        }
    }

    /// Sets a number if it is in the knob's range.
    ///
    /// # Errors
    ///
    /// `EINVAL` if it is not.
    pub(crate) fn set_checked(&self, id: Knob, value: i64) -> Result {
        let value = info(id as usize)?.check(value, HZ).map_err(|_| EINVAL)?;
        self.set(id, value);
        Ok(())
    }

    /// Sets a value from its text.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the text is no value of the knob.
    pub(crate) fn set_from_text(&self, id: Knob, text: &[u8]) -> Result {
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
        if id == Knob::HungTaskWarnings {
            self.warnings_writes.fetch_add(1, Relaxed);
        }
    }

    /// How often `hung_task_warnings` was set; wraps.
    pub(crate) fn warnings_writes(&self) -> u32 {
        self.warnings_writes.load(Relaxed)
    }

    /// Adds one to a counter.
    pub(crate) fn count(&self, id: Knob) {
        if let Some(v) = self.values.get(id as usize) {
            v.fetch_add(1, Relaxed);
        }
    }

    /// Subtracts one from a positive number, such as `hung_task_warnings`; leaves 0 and -1 (no limit)
    /// as they are. Returns the number before. A write by user space at the same time is not lost:
    /// it comes before or after the subtraction.
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

/// The description of the knob at this index of [`KNOBS`].
///
/// # Errors
///
/// `EINVAL` if there is none.
pub(crate) fn info(index: usize) -> Result<&'static KnobInfo> {
    KNOBS.get(index).ok_or(EINVAL)
}
