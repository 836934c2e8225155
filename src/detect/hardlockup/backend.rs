// SPDX-License-Identifier: GPL-2.0

//! Which back end detects hard lockups: the choice at each switch-on, and the fallback while running.
//! The rules are in [`crate::logic::hardlockup::backend`].

use crate::{
    logic::{
        hardlockup::{backend::Backend, perf},
        messages::{
            PerfNotAvailable, PERF_BUSY, PERF_NOT_NMI, PERF_NOT_SUPPORTED, PERF_NO_FREQUENCY,
        },
    },
    sys::{
        cpufreq::khz,
        errno::{enodata, eopnotsupp},
        ksyms::Ksyms,
        perf_event::{self, ARCH},
        printk,
    },
};
use core::fmt;
use kernel::{
    prelude::*,
    sync::atomic::{Atomic, Relaxed},
};

/// The back ends in use.
pub(crate) struct Backends {
    wanted: Backend,
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
    pub(in crate::detect) fn new(wanted: Backend) -> Self {
        Self {
            wanted,
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
    /// Process context, while no CPU is watched.
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
                    reason: reason(error.to_errno()),
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
    pub(in crate::detect) fn perf(&self) -> bool {
        self.perf.load(Relaxed)
    }

    /// Whether CPUs check each other.
    pub(in crate::detect) fn buddy(&self) -> bool {
        self.buddy.load(Relaxed)
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

/// Why there is no counter, by the errno of the probe.
fn reason(errno: i32) -> &'static str {
    let is = |error: Error| error.to_errno() == errno;
    if is(EBUSY) {
        PERF_BUSY
    } else if is(ENODEV) {
        PERF_NOT_NMI
    } else if is(enodata()) {
        PERF_NO_FREQUENCY
    } else {
        PERF_NOT_SUPPORTED
    }
}

/// The back ends in words: `perf NMI`, `buddy, confirmed by NMI`, and the like, with the reason.
pub(crate) struct Describe<'a> {
    /// The back ends.
    pub(crate) backends: &'a Backends,
    /// Whether an NMI can be sent to a CPU.
    pub(crate) can_send_nmi: bool,
    /// Where the kernel's own variables are looked up.
    pub(crate) ksyms: &'a Ksyms,
}

impl fmt::Display for Describe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (perf, buddy) = (self.backends.perf(), self.backends.buddy());
        if perf {
            f.write_str("perf NMI")?;
            if self.backends.incomplete.load(Relaxed) {
                f.write_str(" except on CPUs that got no counter")?;
            }
        }
        if buddy || !perf {
            f.write_str(if perf { ", and buddy" } else { "buddy" })?;
            f.write_str(if self.can_send_nmi {
                ", confirmed by NMI"
            } else {
                ", not confirmed: no NMI"
            })?;
        }
        match self.backends.probe_error.load(Relaxed) {
            0 => Ok(()),
            error => {
                write!(f, "; not perf: {} (error {error})", reason(error))?;
                if error == EBUSY.to_errno() && in_tree_has_counters(self.ksyms) {
                    f.write_str(", the in-tree detector has one")?;
                }
                Ok(())
            }
        }
    }
}

/// Whether the in-tree detector has counters too.
fn in_tree_has_counters(ksyms: &Ksyms) -> bool {
    /// `WATCHDOG_HARDLOCKUP_ENABLED` of `include/linux/nmi.h`.
    const HARDLOCKUP_ENABLED: usize = 1;
    let enabled = ksyms.read_long(c"watchdog_enabled");
    enabled.is_some_and(|bits| bits & HARDLOCKUP_ENABLED != 0)
        && ksyms
            .lookup(c"hardlockup_detector_perf_adjust_period")
            .is_some()
}
