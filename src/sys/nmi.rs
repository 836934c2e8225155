// SPDX-License-Identifier: GPL-2.0

//! Asking a CPU by NMI whether it runs at all, and what patience it was asked for.
//!
//! C header: `src/c/vigil.h`

use super::{bytes_of, cpu, ffi};
use kernel::{error::to_result, prelude::*};

/// The way to ask; dropping it waits for handlers that are running.
///
/// # Invariants
///
/// The handler is registered for as long as this value lives; there is no second one.
pub(crate) struct Nmi(());

impl Nmi {
    /// # Errors
    ///
    /// `ENODEV` where the architecture cannot send an NMI to another CPU.
    pub(crate) fn new() -> Result<Self> {
        // SAFETY: Process context; the module makes one of these, at load.
        to_result(unsafe { ffi::vigil_nmi_start() })?;
        // INVARIANT: Just registered.
        Ok(Self(()))
    }

    /// Sends an NMI to a CPU. [`Nmi::taken`] tells later whether it came.
    ///
    /// # Context
    ///
    /// Hard interrupt.
    pub(crate) fn ask(&self, cpu: u32) {
        if cpu::possible(cpu) {
            // SAFETY: By the type invariant there is a handler that takes it.
            unsafe { ffi::vigil_nmi_ask(cpu) };
        }
    }

    /// How many NMIs a CPU has taken so far; wraps.
    ///
    /// # Context
    ///
    /// Any.
    pub(crate) fn taken(&self, cpu: u32) -> u32 {
        if cpu::possible(cpu) {
            // SAFETY: Each possible CPU has its part of per-CPU variables.
            unsafe { ffi::vigil_nmis_taken(cpu) }
        } else {
            0
        }
    }
}

impl Drop for Nmi {
    fn drop(&mut self) {
        // SAFETY: By the type invariant it is registered.
        unsafe { ffi::vigil_nmi_stop() };
    }
}

/// Counts the calls by which slow code asks lockup detectors for patience.
///
/// # Invariants
///
/// The probes whose flag is set are registered for as long as this value lives.
pub(crate) struct Touches {
    probed: [bool; ffi::vigil_touch_VIGIL_TOUCHES as usize],
}

impl Touches {
    /// Probes what can be probed, if that is `wanted`.
    ///
    /// # Context
    ///
    /// Process context. There is no second one.
    pub(crate) fn new(wanted: bool) -> Self {
        let mut this = Self {
            probed: Default::default(),
        };
        for (probed, which) in this
            .probed
            .iter_mut()
            .zip(0..ffi::vigil_touch_VIGIL_TOUCHES)
        {
            // SAFETY: `which` is one of the header's constants, and is not registered.
            // INVARIANT: Set if it is.
            *probed = wanted && unsafe { ffi::vigil_touch_start(which) } == 0;
        }
        this
    }

    /// Each function's name, and whether its calls are counted.
    pub(crate) fn each(&self) -> impl Iterator<Item = (&'static [u8], bool)> + '_ {
        self.probed
            .iter()
            .zip(0..ffi::vigil_touch_VIGIL_TOUCHES)
            .map(|(&probed, which)| {
                // SAFETY: As in `new`; the result is a string literal.
                (unsafe { bytes_of(ffi::vigil_touch_name(which)) }, probed)
            })
    }

    /// How often patience with the stopper of a CPU was asked for; wraps.
    ///
    /// # Context
    ///
    /// Any.
    pub(crate) fn soft(&self, cpu: u32) -> u32 {
        if cpu::possible(cpu) {
            // SAFETY: Each possible CPU has its part of per-CPU variables.
            unsafe { ffi::vigil_soft_touches(cpu) }
        } else {
            0
        }
    }

    /// The same for its timer interrupt.
    pub(crate) fn hard(&self, cpu: u32) -> u32 {
        if cpu::possible(cpu) {
            // SAFETY: As in `soft`.
            unsafe { ffi::vigil_hard_touches(cpu) }
        } else {
            0
        }
    }
}

impl Drop for Touches {
    fn drop(&mut self) {
        let mut touches = 0;
        for (&probed, which) in self.probed.iter().zip(0..ffi::vigil_touch_VIGIL_TOUCHES) {
            touches |= u32::from(probed) << which;
        }
        // SAFETY: By the type invariant these are registered.
        unsafe { ffi::vigil_touch_stop(touches) };
    }
}
