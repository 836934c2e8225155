// SPDX-License-Identifier: GPL-2.0

//! The panic request: whether a finding makes one, what happens before the panic, and when.
//!
//! # Why a request
//!
//! Mainline panics on the spot. vigil may have to wait first: for more system state (`*_sys_info`),
//! which a kernel worker shows, since that takes locks that a stuck CPU may hold; and for the
//! console to drain (`panic_delay_ms`). Each of these phases has a deadline.
//!
//! # Vocabulary
//!
//! - *Finding*: a hung task, a lockup, a CPU that does not run. Its *cause* is which of them, its
//!   *magnitude* the number that is compared with the panic knob: tasks hung in one check
//!   that may make a panic, thresholds for which a CPU has been stuck, otherwise 1.
//! - *Initiator*: the CPU or the thread that requested the panic and carries it out.
//! - *Poll*: to check whether it is time for the next phase or for the panic. The initiator polls
//!   every [`POLL_NS`]; all other watched CPUs poll in their timer interrupts.
//! - *Take-over*: another CPU panics, since the initiator has not come back [`TAKE_OVER_NS`] after
//!   the deadline of a phase: it is stuck in its own report, or does not run.
//! - *Cancel*: the request is dropped without a panic.
//!
//! # States
//!
//! There is at most one request at a time; what is found meanwhile is reported without a request.
//!
//! ```text
//!           finding, policy() == Panic
//!   (none) ----------------------------> [ Reporting ] ---+ next step of the report:
//!     ^                                    |    |    ^    | deadline = now + STEP_NS
//!     |                                    |    |    +----+
//!     |    *_sys_info asked for, and       |    |
//!     |    another CPU can take over       |    | otherwise
//!     |          +-------------------------+    |
//!     |          v                              v
//!     |     [ SysInfo ] -- shown, or -----> [ Delay ] -- deadline --> panic by the initiator
//!     |    SYS_INFO_NS      deadline      panic_delay_ms
//!     |
//!     +---- any phase: cancel
//!
//!   any phase -- TAKE_OVER_NS after its deadline --> panic by another CPU
//! ```
//!
//! - `Reporting` ends with the report, `SysInfo` and `Delay` end when the initiator polls
//!   ([`PanicRequest::next_for_initiator`]).
//! - Any phase can end in a take-over ([`PanicRequest::next_for_takeover`]); `Reporting` ends in
//!   one at once if the initiator is a CPU that is found not to run.
//! - A request is cancelled when its panic knob (or, for hung tasks, the detector) is switched off,
//!   when a knob that selects hung tasks changes
//!   ([`selects_hung_tasks()`](super::knobs::KnobInfo::selects_hung_tasks)),
//!   when `panic_needs_kdump` is set and the crash kernel is gone at the moment of the panic, when
//!   the lockup detectors are set up anew or the last watched CPU goes offline, and at unload.
//! - In an NMI there are no phases after `Reporting`: the panic follows the report at once.
//!
//! # Representation
//!
//! A request is one word ([`PanicRequest::pack`]), so that it can be read and replaced atomically
//! in any context. The generation tells a request from the next one of the same initiator and
//! cause, so that a CPU that acts on a request notices that it was cancelled meanwhile:
//!
//! ```text
//!   63         32 31        24 23   22 21   20 19       0
//!   +------------+------------+-------+-------+----------+
//!   |  deadline  | generation | cause | phase | initiator|
//!   |  (ms)      |            |       | (1-3) |  (CPU)   |
//!   +------------+------------+-------+-------+----------+
//! ```
//!
//! 0 is no request, which no phase makes.

use super::{
    knobs::Knob,
    NSEC_PER_SEC, //
};

/// How long one step of a report may take before another CPU takes over, in nanoseconds. The
/// longest step is to show the stacks of a few hundred CPUs on a serial console.
pub const STEP_NS: u64 = 60 * NSEC_PER_SEC;

/// How long the initiator waits for the worker that shows system state, in nanoseconds: as long as
/// the kernel itself waits for the stacks of other CPUs (`nmi_trigger_cpumask_backtrace()`).
pub const SYS_INFO_NS: u64 = 10 * NSEC_PER_SEC;

/// How long after the deadline of a phase another CPU takes over, in nanoseconds.
pub const TAKE_OVER_NS: u64 = 2 * NSEC_PER_SEC;

/// How often the initiator polls, in nanoseconds.
pub const POLL_NS: u64 = 20_000_000;

/// What a panic is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Hung tasks.
    HungTask,
    /// A soft lockup.
    SoftLockup,
    /// A hard lockup.
    HardLockup,
    /// A CPU that does not run.
    UnresponsiveCpu,
}

impl Cause {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::HungTask,
        Self::SoftLockup,
        Self::HardLockup,
        Self::UnresponsiveCpu,
    ];

    /// The knob that says from which magnitude on a finding asks for a panic.
    pub fn panic_knob(self) -> Knob {
        match self {
            Self::HungTask => Knob::HungTaskPanic,
            Self::SoftLockup => Knob::SoftlockupPanic,
            Self::HardLockup => Knob::HardlockupPanic,
            Self::UnresponsiveCpu => Knob::UnresponsiveCpuPanic,
        }
    }

    /// The knob that says which system state is shown with the report.
    pub fn sys_info_knob(self) -> Knob {
        match self {
            Self::HungTask => Knob::HungTaskSysInfo,
            Self::SoftLockup => Knob::SoftlockupSysInfo,
            Self::HardLockup | Self::UnresponsiveCpu => Knob::HardlockupSysInfo,
        }
    }
}

/// What is to become of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// A report only: no panic is asked for.
    NotWanted,
    /// A report only: a panic is asked for, but `panic_needs_kdump` is set and no crash kernel is
    /// loaded.
    NoCrashKernel,
    /// A report only: a panic is asked for, but touches cannot be seen, and it may be for slow code
    /// that asks for time.
    TouchesNotCounted,
    /// A panic.
    Panic,
}

/// Decides what is to become of a finding of this magnitude. `limit`: value of the cause's panic
/// knob; 0 never panics, n panics from the magnitude n on.
///
/// `touches_counted`: whether code that touches the watchdog is known not to be what was found.
pub fn policy(
    limit: u64,
    magnitude: u64,
    touches_counted: bool,
    needs_kdump: bool,
    crash_kernel_loaded: bool,
) -> Policy {
    if limit == 0 || magnitude < limit {
        Policy::NotWanted
    } else if !touches_counted {
        Policy::TouchesNotCounted
    } else if needs_kdump && !crash_kernel_loaded {
        Policy::NoCrashKernel
    } else {
        Policy::Panic
    }
}

/// The CPU or the thread that requested a panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initiator {
    /// A CPU, in its timer interrupt or an NMI.
    Cpu(u32),
    /// The hung-task thread.
    Thread,
}

/// What happens before the panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The initiator gives its report.
    Reporting,
    /// A kernel worker shows system state.
    SysInfo,
    /// The console drains.
    Delay,
}

/// A request to panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PanicRequest {
    /// The CPU or the thread that requested it.
    pub initiator: Initiator,
    /// What it is for.
    pub cause: Cause,
    /// What happens before the panic.
    pub phase: Phase,
    /// Tells it from earlier requests; the low 8 bits count.
    pub generation: u32,
    /// When the phase ends, in milliseconds modulo 2^32: all deadlines are minutes away at most.
    pub deadline: u32,
}

/// What a CPU or the thread that polls a request has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextStep {
    /// Panic.
    Panic,
    /// Enter [`Phase::Delay`]: the system state is shown, or the deadline for it has passed.
    BeginDelay,
    /// Poll again at this time, in nanoseconds.
    PollAt(u64),
}

/// A time in nanoseconds as whole milliseconds modulo 2^32.
fn millis(ns: u64) -> u32 {
    // Cut off on purpose.
    (ns / 1_000_000) as u32
}

/// The deadline of a phase of `ns` nanoseconds that begins `now`: rounded up, so that no phase is
/// cut short. A phase of length 0 ends at once.
fn deadline(now: u64, ns: u64) -> u32 {
    if ns == 0 {
        return millis(now);
    }
    millis(now.saturating_add(ns).saturating_add(999_999))
}

/// The number in the packed word that stands for [`Initiator::Thread`]: no kernel has so many CPUs.
const THREAD: u64 = 0xf_ffff;

impl PanicRequest {
    /// A new request, in [`Phase::Reporting`].
    pub fn new(initiator: Initiator, cause: Cause, generation: u32, now: u64) -> Self {
        Self {
            initiator,
            cause,
            phase: Phase::Reporting,
            generation: generation & 0xff,
            deadline: deadline(now, STEP_NS),
        }
    }

    /// The same request in another phase, or at another step of the phase, which may take `ns`
    /// nanoseconds from `now`.
    #[must_use]
    pub fn in_phase(self, phase: Phase, now: u64, ns: u64) -> Self {
        Self {
            phase,
            deadline: deadline(now, ns),
            ..self
        }
    }

    /// The request as one word, which is never 0.
    pub fn pack(self) -> u64 {
        let initiator = match self.initiator {
            Initiator::Cpu(cpu) => u64::from(cpu) & THREAD,
            Initiator::Thread => THREAD,
        };
        let cause = match self.cause {
            Cause::HungTask => 0,
            Cause::SoftLockup => 1,
            Cause::HardLockup => 2,
            Cause::UnresponsiveCpu => 3,
        };
        let phase = match self.phase {
            Phase::Reporting => 1,
            Phase::SysInfo => 2,
            Phase::Delay => 3,
        };
        let generation = u64::from(self.generation & 0xff);
        u64::from(self.deadline) << 32 | generation << 24 | cause << 22 | phase << 20 | initiator
    }

    /// The request that [`PanicRequest::pack`] made this word of; `None` for 0.
    pub fn unpack(word: u64) -> Option<Self> {
        let initiator = match word & THREAD {
            THREAD => Initiator::Thread,
            cpu => Initiator::Cpu(cpu as u32),
        };
        let cause = match word >> 22 & 3 {
            0 => Cause::HungTask,
            1 => Cause::SoftLockup,
            2 => Cause::HardLockup,
            _ => Cause::UnresponsiveCpu,
        };
        let phase = match word >> 20 & 3 {
            1 => Phase::Reporting,
            2 => Phase::SysInfo,
            3 => Phase::Delay,
            _ => return None,
        };
        Some(Self {
            initiator,
            cause,
            phase,
            generation: (word >> 24) as u32 & 0xff,
            deadline: (word >> 32) as u32,
        })
    }

    /// Whether both are one request, in whatever phase.
    pub fn is_same(&self, other: &Self) -> bool {
        (self.initiator, self.cause, self.generation)
            == (other.initiator, other.cause, other.generation)
    }

    /// Nanoseconds until the deadline; 0 once it has passed.
    fn remaining(&self, now: u64) -> u64 {
        let remaining = self.deadline.wrapping_sub(millis(now)) as i32;
        u64::try_from(remaining)
            .unwrap_or(0)
            .saturating_mul(1_000_000)
    }

    /// What the initiator has to do. `sys_info_done`: the worker has shown the system state.
    pub fn next_for_initiator(&self, now: u64, sys_info_done: bool) -> NextStep {
        let remaining = self.remaining(now);
        match self.phase {
            Phase::SysInfo if sys_info_done || remaining == 0 => NextStep::BeginDelay,
            Phase::Delay if remaining == 0 => NextStep::Panic,
            // `Reporting` does not get here: its initiator is busy with the report.
            _ => NextStep::PollAt(now.saturating_add(remaining.clamp(1, POLL_NS))),
        }
    }

    /// What every other watched CPU has to do, and the thread.
    pub fn next_for_takeover(&self, now: u64) -> NextStep {
        // Counted from the deadline, so that one long ago is one that has passed.
        let overdue = millis(now).wrapping_sub(self.deadline) as i32;
        let overdue = u64::try_from(overdue)
            .unwrap_or(0)
            .saturating_mul(1_000_000);
        if overdue >= TAKE_OVER_NS {
            return NextStep::Panic;
        }
        let wait = self.remaining(now).saturating_add(TAKE_OVER_NS);
        NextStep::PollAt(now.saturating_add(wait.saturating_sub(overdue)))
    }
}
