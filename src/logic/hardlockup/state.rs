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
//!              |                                 |  late ack: send again -> [ NmiSentAgain ],
//!              |                                 |  which goes on as NmiSent does
//!              |
//!              +---- no NMI can be sent: reported unconfirmed ---> [ Reported ]
//!
//!   any state -- the CPU takes its timer interrupt --> [ Healthy ]
//!     from PerfHit:                                  the lockup is reported as over
//!     from Reported, Unresponsive or NmiSentAgain:   "recovered" is printed
//!   any state -- it goes offline --> [ Healthy ]
//!   any state -- it is to be checked from the start --> [ Healthy ]
//!     from Unresponsive or NmiSentAgain: --> [ NmiSentAgain ] at 0, which counts as Healthy
//!   NmiSent, NmiSentAgain -- the watchdog is touched after the NMI was sent -- count as Healthy
//! ```

/// How a CPU stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It takes timer interrupts, as far as is known.
    Healthy,
    /// An NMI was sent to it at this time, in nanoseconds on the monotonic clock.
    NmiSent(u64),
    /// The same, after it was reported not to run: that it has recovered is still to be said. At 0:
    /// it is checked from the start, as one that is [`State::Healthy`].
    NmiSentAgain(u64),
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
    /// Set with the time of [`State::NmiSentAgain`]: no time is that long, `ktime_t` has a sign.
    const AGAIN: u64 = 1 << 63;

    /// The state in which an NMI was sent `now`, as it will be unpacked. `before`: the state before.
    pub const fn nmi_sent(now: u64, before: Self) -> Self {
        let at = match now & !Self::AGAIN {
            ..Self::FIRST_TIME => Self::FIRST_TIME,
            at => at,
        };
        match before {
            Self::Unresponsive | Self::NmiSentAgain(_) => Self::NmiSentAgain(at),
            _ => Self::NmiSent(at),
        }
    }

    /// When an NMI was sent, if it was; 0 where the CPU is checked from the start.
    pub const fn nmi_sent_at(self) -> Option<u64> {
        match self {
            Self::NmiSent(at) | Self::NmiSentAgain(at) => Some(at),
            _ => None,
        }
    }

    /// The state in which the CPU is checked from the start: all that was found is void, but that a
    /// report says that it does not run. (Unless the NMI of its own counter has found it stuck since.)
    pub const fn start_over(self) -> Self {
        match self {
            Self::Unresponsive | Self::NmiSentAgain(_) => Self::NmiSentAgain(0),
            _ => Self::Healthy,
        }
    }

    /// Whether an NMI was sent to the CPU that it had not acknowledged when that was looked at last:
    /// evidence, once it takes a timer interrupt, that it was stopped.
    pub const fn nmi_unacked(self) -> bool {
        match self {
            Self::NmiSent(_) | Self::Unresponsive => true,
            Self::NmiSentAgain(at) => at != 0,
            Self::Healthy | Self::PerfHit | Self::Reported => false,
        }
    }

    /// The state in one word. The time of [`State::NmiSent`] is packed as 4 ns if it is below.
    pub const fn pack(self) -> u64 {
        match self {
            Self::Healthy => Self::HEALTHY,
            Self::Reported => Self::REPORTED,
            Self::Unresponsive => Self::UNRESPONSIVE,
            Self::PerfHit => Self::PERF_HIT,
            Self::NmiSent(at) if at & !Self::AGAIN < Self::FIRST_TIME => Self::FIRST_TIME,
            Self::NmiSent(at) => at & !Self::AGAIN,
            Self::NmiSentAgain(at) => at | Self::AGAIN,
        }
    }

    /// The state that [`State::pack`] has packed. Every word is one.
    pub const fn unpack(word: u64) -> Self {
        match word {
            Self::HEALTHY => Self::Healthy,
            Self::REPORTED => Self::Reported,
            Self::UNRESPONSIVE => Self::Unresponsive,
            Self::PERF_HIT => Self::PerfHit,
            at if at & Self::AGAIN != 0 => Self::NmiSentAgain(at & !Self::AGAIN),
            at => Self::NmiSent(at),
        }
    }
}
