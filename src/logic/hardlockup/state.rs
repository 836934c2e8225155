// SPDX-License-Identifier: GPL-2.0

//! The hard-lockup state of a CPU: one word, changed by compare-and-exchange, so that of all CPUs
//! that notice a lockup exactly one reports it.
//!
//! ```text
//!                          perf NMI: no timer interrupt
//!              +--------------------------------------------> [ PerfHit ]
//!              |                                               |     another CPU, or the next
//!              |                                               |     perf NMI, reports it
//!              |    buddy: no timer interrupt                  v
//!   [ Healthy ] ----------- send an NMI ------> [ NmiSent ] --------------> [ Reported ]
//!              |                                 |   ^   |    acknowledged      ^
//!              |                                 |   +---+    at once, or late  |
//!              |                                 |  late ack: for the third time|
//!              |                                 |  send again                  |
//!              |                                 |                              |
//!              |                   not acknowledged within                      |
//!              |                   NMI_ACK_TIMEOUT_NS                           |
//!              |                                 v                              |
//!              |                          [ Unresponsive ] -- third late ack ---+
//!              |                                 |  late ack: send again -> [ NmiSent ]
//!              |
//!              +---- no NMI can be sent: reported unconfirmed ---> [ Reported ]
//!
//!   any state -- the CPU takes its timer interrupt, or goes offline --> [ Healthy ]
//!     from PerfHit:                    the lockup is reported as over
//!     from Reported or Unresponsive:   "recovered" is printed
//!   NmiSent -- the watchdog is touched after the NMI was sent -- counts as Healthy
//! ```

/// How a CPU stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It takes timer interrupts, as far as is known.
    Healthy,
    /// An NMI was sent to it at this time, in nanoseconds on the monotonic clock.
    NmiSent(u64),
    /// The NMI of its own counter found it stuck; no report has been given yet. A CPU that changes
    /// the state into another one takes the hit off the count of those that are pending.
    PerfHit,
    /// A hard lockup was reported, and the CPU has not recovered.
    Reported,
    /// It was reported not to run, and has not recovered.
    Unresponsive,
}

impl State {
    const HEALTHY: u64 = 0;
    const REPORTED: u64 = 1;
    const UNRESPONSIVE: u64 = 2;
    const PERF_HIT: u64 = 3;
    /// The first time whose word is none of the other states.
    const FIRST_TIME: u64 = 4;

    /// The state in which an NMI was sent `now`, as it will be unpacked.
    pub const fn nmi_sent(now: u64) -> Self {
        if now < Self::FIRST_TIME {
            Self::NmiSent(Self::FIRST_TIME)
        } else {
            Self::NmiSent(now)
        }
    }

    /// The state in one word. A time below 4 ns is packed as 4 ns.
    pub const fn pack(self) -> u64 {
        match self {
            Self::Healthy => Self::HEALTHY,
            Self::Reported => Self::REPORTED,
            Self::Unresponsive => Self::UNRESPONSIVE,
            Self::PerfHit => Self::PERF_HIT,
            Self::NmiSent(at) if at < Self::FIRST_TIME => Self::FIRST_TIME,
            Self::NmiSent(at) => at,
        }
    }

    /// The state that [`State::pack`] has packed. Every word is one.
    pub const fn unpack(word: u64) -> Self {
        match word {
            Self::HEALTHY => Self::Healthy,
            Self::REPORTED => Self::Reported,
            Self::UNRESPONSIVE => Self::Unresponsive,
            Self::PERF_HIT => Self::PerfHit,
            at => Self::NmiSent(at),
        }
    }
}
