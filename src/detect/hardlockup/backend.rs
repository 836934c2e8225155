// SPDX-License-Identifier: GPL-2.0

//! Which back end detects hard lockups: the choice at each switch-on, and the fallback while running.
//! The rules are in [`crate::logic::hardlockup::backend`].

use crate::{
    logic::{
        hardlockup::{
            backend::Backend,
            perf, //
        },
        messages::{
            PerfNotAvailable,
            PERF_BUSY,
            PERF_NOT_NMI,
            PERF_NOT_SUPPORTED,
            PERF_NO_FREQUENCY, //
        }, //
    },
    sys::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        cpufreq::khz,
        errno::{
            enodata,
            eopnotsupp, //
        },
        perf_event::{
            self,
            ARCH, //
        },
        printk, //
    }, //
};
use kernel::prelude::*;

/// The back ends in use.
pub(crate) struct Backends {
    wanted: Backend,
    /// Why no counter is probed although one is allowed.
    left_alone: Option<&'static str>,
    /// Whether CPUs have counters. Changes only while no CPU is watched.
    perf: Atomic<bool>,
    /// Whether CPUs check each other; also if one of them has got no counter.
    buddy: Atomic<bool>,
    /// Why no counters are used: an errno, or 0.
    probe_error: Atomic<i32>,
    /// Whether a CPU has got no counter, or one whose interrupt is no NMI.
    incomplete: Atomic<bool>,
}

impl Backends {
    /// None is in use.
    pub(in crate::detect) fn new(backend: Backend, alone: Option<&'static str>) -> Self {
        let wanted = backend.without_counters(alone.is_some());
        Self {
            wanted,
            left_alone: alone.filter(|_| wanted != backend),
            perf: Atomic::new(false),
            buddy: Atomic::new(false),
            probe_error: Atomic::new(0),
            incomplete: Atomic::new(false),
        }
    }

    /// Probes a counter, and chooses the back ends for a threshold in seconds:
    /// `watchdog_hardlockup_probe()`.
    ///
    /// # Errors
    ///
    /// With `hardlockup_backend=perf`: why there can be no counters. `EBUSY`, `ENODEV` or
    /// `EOPNOTSUPP`.
    ///
    /// # Context
    ///
    /// Process context, while hard lockups are not being detected.
    pub(in crate::detect) fn probe(&self, thresh: u64) -> Result {
        let probed = if self.wanted.wants_perf() {
            // Whether a frequency is known is the same for all CPUs.
            perf::period(ARCH, khz(0), thresh)
                .ok_or_else(enodata)
                .and_then(|_| perf_event::probe())
        } else {
            Ok(())
        };
        if let (Err(error), true) = (probed, self.wanted.needs_perf()) {
            printk::err(format_args!(
                "{}",
                PerfNotAvailable {
                    reason: probe_error(error.to_errno()),
                    errno: error.to_errno(),
                }
            ));
            // `ENOENT` is a missing symbol to insmod.
            return Err(if error == EBUSY || error == ENODEV {
                error
            } else {
                eopnotsupp()
            });
        }
        self.perf
            .store(self.wanted.wants_perf() && probed.is_ok(), Relaxed);
        self.probe_error.store(
            probed.map_or_else(|error| error.to_errno(), |()| 0),
            Relaxed,
        );
        Ok(())
    }

    /// The CPUs are about to be watched by what was chosen.
    ///
    /// # Context
    ///
    /// Process context, while no CPU is watched.
    pub(in crate::detect) fn reset(&self) {
        self.buddy.store(self.wanted.buddy(self.perf()), Relaxed);
        self.incomplete.store(false, Relaxed);
    }

    /// Whether CPUs are to have counters.
    pub(crate) fn perf(&self) -> bool {
        self.perf.load(Relaxed)
    }

    /// Whether CPUs check each other.
    pub(crate) fn buddy(&self) -> bool {
        self.buddy.load(Relaxed)
    }

    /// Whether a CPU has got no counter, or one whose interrupt is no NMI.
    pub(crate) fn is_incomplete(&self) -> bool {
        self.incomplete.load(Relaxed)
    }

    /// Why no counter is probed although one is allowed, if that is so.
    pub(crate) fn left_alone(&self) -> Option<&'static str> {
        self.left_alone
    }

    /// Why no counters are used, as an errno; 0 if they are used, or were not probed.
    pub(crate) fn probe_errno(&self) -> i32 {
        self.probe_error.load(Relaxed)
    }

    /// A CPU has got no counter, or one whose interrupt is no NMI: from now on all CPUs check each
    /// other too.
    ///
    /// # Context
    ///
    /// Any.
    pub(super) fn fall_back_to_buddy(&self) {
        self.incomplete.store(true, Relaxed);
        self.buddy.store(true, Relaxed);
    }
}

/// Why there is no counter, by the errno of the probe; `none` for 0.
pub(crate) fn probe_error(errno: i32) -> &'static str {
    let is = |error: Error| error.to_errno() == errno;
    if errno == 0 {
        "none"
    } else if is(EBUSY) {
        PERF_BUSY
    } else if is(ENODEV) {
        PERF_NOT_NMI
    } else if is(enodata()) {
        PERF_NO_FREQUENCY
    } else {
        PERF_NOT_SUPPORTED
    }
}
