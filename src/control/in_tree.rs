// SPDX-License-Identifier: GPL-2.0

//! What the kernel's own detectors are set to, read from their variables.

use crate::{
    detect::in_tree_softlockup::WATCHDOG_SOFTOCKUP_ENABLED,
    sys::ksyms::Ksyms, //
};
use core::fmt;

/// `WATCHDOG_HARDLOCKUP_ENABLED` of `include/linux/nmi.h`, a bit of `watchdog_enabled`.
const WATCHDOG_HARDLOCKUP_ENABLED: usize = 1;

/// State of one of them.
#[derive(Clone, Copy)]
pub(crate) enum State {
    /// It detects.
    On,
    /// It is built in, and switched off.
    Off,
    /// The kernel is built without it.
    NotBuiltIn,
    /// Symbols cannot be looked up.
    Unknown,
}

/// As in `vigil/status`.
impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::On => "on",
            Self::Off => "off",
            Self::NotBuiltIn => "not_built_in",
            Self::Unknown => "unknown",
        })
    }
}

/// All of them.
pub(crate) struct InTree {
    pub(super) hung_task: State,
    /// `kernel.hung_task_timeout_secs`, 0 if it is not there.
    pub(super) hung_task_timeout_secs: usize,
    pub(super) softlockup: State,
    pub(super) hardlockup: State,
}

impl InTree {
    /// Reads their variables as they are now.
    ///
    /// # Context
    ///
    /// Process context.
    pub(crate) fn read(ksyms: &Ksyms) -> Self {
        if !ksyms.can_look_up() {
            return Self {
                hung_task: State::Unknown,
                hung_task_timeout_secs: 0,
                softlockup: State::Unknown,
                hardlockup: State::Unknown,
            };
        }
        let state = |value: Option<usize>| match value {
            None => State::NotBuiltIn,
            Some(0) => State::Off,
            Some(_) => State::On,
        };
        let timeout = ksyms.read_long(c"sysctl_hung_task_timeout_secs");
        let enabled = ksyms.read_long(c"watchdog_enabled");
        Self {
            hung_task: state(timeout),
            hung_task_timeout_secs: timeout.unwrap_or(0),
            softlockup: state(enabled.map(|bits| bits & WATCHDOG_SOFTOCKUP_ENABLED)),
            hardlockup: state(enabled.map(|bits| bits & WATCHDOG_HARDLOCKUP_ENABLED)),
        }
    }

    /// Whether the in-tree detector of hard lockups occupies a perf cycle counter on each CPU.
    pub(crate) fn uses_perf(&self, ksyms: &Ksyms) -> bool {
        matches!(self.hardlockup, State::On)
            && ksyms
                .lookup(c"hardlockup_detector_perf_adjust_period")
                .is_some()
    }
}

/// `hung task on (timeout 120 s), soft lockup on, hard lockup off`
impl fmt::Display for InTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = |state| match state {
            State::On => "on",
            State::Off => "off",
            State::NotBuiltIn => "not built in",
            State::Unknown => "unknown",
        };
        write!(f, "hung task {}", words(self.hung_task))?;
        if matches!(self.hung_task, State::On) {
            write!(f, " (timeout {} s)", self.hung_task_timeout_secs)?;
        }
        write!(
            f,
            ", soft lockup {}, hard lockup {}",
            words(self.softlockup),
            words(self.hardlockup)
        )
    }
}
