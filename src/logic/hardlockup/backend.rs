// SPDX-License-Identifier: GPL-2.0

//! The choice of a back end for hard lockups (module parameter `hardlockup_backend`).
//!
//! ```text
//!   nmi_watchdog on, with  |  probe of a counter succeeds  |  probe fails
//!   -----------------------+-------------------------------+----------------------------
//!   auto                   |  perf                         |  buddy
//!     where a counter is    |                               |
//!     better left alone     |  buddy (no probe)             |
//!   perf                   |  perf                         |  error, nothing changes
//!   buddy                  |  buddy (no probe)             |
//!   perf,buddy             |  perf and buddy               |  buddy
//!
//!   perf -- a CPU gets no counter, or one without NMI, when it comes online --> perf and buddy
//! ```

/// Which back ends are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// perf if a counter can be had, else buddy.
    Auto,
    /// perf, or an error.
    Perf,
    /// buddy.
    Buddy,
    /// buddy, and perf too if a counter can be had. The first of them to notice reports.
    Both,
}

impl Backend {
    /// Reads `auto`, `perf`, `buddy`, or both of the latter with a comma; nothing is `auto`.
    pub fn parse(text: &[u8]) -> Option<Self> {
        match text.trim_ascii() {
            b"" | b"auto" => Some(Self::Auto),
            b"perf" => Some(Self::Perf),
            b"buddy" => Some(Self::Buddy),
            b"perf,buddy" | b"buddy,perf" => Some(Self::Both),
            _ => None,
        }
    }

    /// What `auto` means where a counter is better left alone: in a guest, whose host may need it and
    /// where the kernel leaves it alone too; where the kernel's own detector has one; and where
    /// `nmi_watchdog=0` says so.
    pub fn without_counters(self, leave_alone: bool) -> Self {
        match self {
            Self::Auto if leave_alone => Self::Buddy,
            backend => backend,
        }
    }

    /// Whether a counter is to be probed.
    pub fn wants_perf(self) -> bool {
        self != Self::Buddy
    }

    /// Whether the probe has to succeed.
    pub fn needs_perf(self) -> bool {
        self == Self::Perf
    }

    /// Whether CPUs check each other. `perf`: whether the probe succeeded.
    pub fn buddy(self, perf: bool) -> bool {
        match self {
            Self::Auto => !perf,
            Self::Perf => false,
            Self::Buddy | Self::Both => true,
        }
    }
}
