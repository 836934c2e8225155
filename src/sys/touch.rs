// SPDX-License-Identifier: GPL-2.0

//! Touches: the calls by which slow code resets the lockup detectors, counted by kprobes on them.
//!
//! C header: [`include/linux/nmi.h`](srctree/include/linux/nmi.h), by `src/c/vigil.h`

use super::{bytes_of, cpu, ffi};
use kernel::prelude::*;

/// Tells the in-tree lockup detectors that long output is on its way.
pub(crate) fn touch_nmi_watchdog() {
    // SAFETY: May be called from any context.
    unsafe { ffi::vigil_touch_watchdogs() };
}

/// Counts the calls by which slow code asks lockup detectors for patience.
///
/// # Invariants
///
/// The probes whose flag is set are registered for as long as this value lives.
pub(crate) struct TouchProbes {
    probed: [bool; ffi::vigil_touch_VIGIL_TOUCHES as usize],
}

impl TouchProbes {
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
    pub(crate) fn softlockup(&self, cpu: u32) -> u32 {
        if cpu::possible(cpu) {
            // SAFETY: Each possible CPU has its part of per-CPU variables.
            unsafe { ffi::vigil_soft_touches(cpu) }
        } else {
            0
        }
    }

    /// The same for its timer interrupt.
    pub(crate) fn hardlockup(&self, cpu: u32) -> u32 {
        if cpu::possible(cpu) {
            // SAFETY: As in `soft`.
            unsafe { ffi::vigil_hard_touches(cpu) }
        } else {
            0
        }
    }
}

impl Drop for TouchProbes {
    fn drop(&mut self) {
        let mut touches = 0;
        for (&probed, which) in self.probed.iter().zip(0..ffi::vigil_touch_VIGIL_TOUCHES) {
            touches |= u32::from(probed) << which;
        }
        // SAFETY: By the type invariant these are registered.
        unsafe { ffi::vigil_touch_stop(touches) };
    }
}

#[kunit_tests(vigil_touch)]
mod tests {
    use super::{
        super::{ksyms::Ksyms, testing::*},
        *,
    };
    use kernel::str::CString;

    #[test]
    fn no_touch_is_probed_unless_wanted() {
        let touches = TouchProbes::new(false);
        assert!(touches.each().all(|(_, probed)| !probed));
        assert_eq!(touches.each().count(), touches.probed.len());
        assert_eq!(touches.softlockup(u32::MAX), 0);
        assert_eq!(touches.hardlockup(u32::MAX), 0);
    }

    /// The module's own probes count, if there is something to be probed.
    #[test]
    fn touches_are_counted() -> Result {
        stay_on(0)?;
        let touches = TouchProbes::new(false);
        let ksyms = Ksyms::resolve(true);
        let there = |name: &[u8]| -> Result<bool> {
            let name = core::str::from_utf8(name).map_err(|_| EINVAL)?;
            Ok(ksyms
                .lookup(&CString::try_from_fmt(fmt!("{name}"))?)
                .is_some())
        };
        let (soft, hard) = (touches.softlockup(0), touches.hardlockup(0));
        touch_nmi_watchdog();
        if there(b"touch_softlockup_watchdog")? {
            assert!(touches.softlockup(0) != soft);
        } else {
            assert_eq!(touches.softlockup(0), soft);
        }
        if there(b"arch_touch_nmi_watchdog")? {
            assert!(touches.hardlockup(0) != hard);
        } else {
            assert_eq!(touches.hardlockup(0), hard);
        }
        Ok(())
    }
}
