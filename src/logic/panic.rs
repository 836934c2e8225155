// SPDX-License-Identifier: GPL-2.0

//! The panic request: from a finding to a panic.
//!
//! Mainline panics on the spot. Here a panic may have to wait: for what `*_sys_info` shows, which
//! takes locks that a stuck CPU may hold and is therefore shown by a thread, not by the CPU that is
//! to panic; and for consoles to drain (`panic_delay_ms`). There is one request at a time. It
//! belongs to the CPU, or the hung-task thread, that made it: the initiator. Each phase has a
//! deadline, and if the initiator gets stuck in one, another CPU panics in its place.
//!
//! ```text
//!              finding, wanted and allowed
//!   (none) ------------------------------> [ Reporting ] ---+ next step of the report:
//!     ^                                      |    |    ^    | deadline = now + STEP_NS
//!     |                                      |    |    +----+
//!     |             *_sys_info asked for     |    |
//!     |          +---------------------------+    | nothing else to show
//!     |          v                                |
//!     |     [ SysInfo ] -- shown, or deadline --> [ Delay ] -- deadline --> panic by the initiator
//!     |      (SYS_INFO_NS)                        (panic_delay_ms)
//!     |
//!     +---- any phase: the knob that asks for it is 0 now, the policy no longer allows it, or the
//!           lockup detectors are reconfigured or unloaded: cancelled
//!
//!   any phase -- TAKE_OVER_NS after its deadline --> panic by any other watched CPU
//! ```
//!
//! The request is one word ([`PanicRequest::pack`]), so that it is there with all that belongs to it
//! or not at all, and so that an initiator that goes on with a request that was cancelled meanwhile
//! notices: requests are told apart by their generation.

use super::NSEC_PER_SEC;

/// How long one step of a report may take, in nanoseconds, before another CPU panics in place of the
/// initiator. The longest step: the stacks of a few hundred CPUs on a serial console.
pub const STEP_NS: u64 = 60 * NSEC_PER_SEC;

/// How long what `*_sys_info` shows is waited for, in nanoseconds: as long as the kernel itself waits
/// for the stacks of other CPUs (`nmi_trigger_cpumask_backtrace()`).
pub const SYS_INFO_NS: u64 = 10 * NSEC_PER_SEC;

/// How long after the deadline of a phase, in nanoseconds, another CPU panics in place of the
/// initiator.
pub const TAKE_OVER_NS: u64 = 2 * NSEC_PER_SEC;

/// How often the initiator polls, in nanoseconds.
pub const POLL_NS: u64 = 20_000_000;

/// Whether the policy knobs allow a panic. `needs_kdump`: `panic_needs_kdump`.
pub fn is_allowed(needs_kdump: bool, crash_kernel_loaded: bool) -> bool {
    !needs_kdump || crash_kernel_loaded
}

/// Whether the knob of a cause asks for a panic. `limit`: the knob's value, 0 for never;
/// `magnitude`: what it counts (tasks found hung, thresholds for which a CPU has been stuck).
pub fn is_wanted(limit: u64, magnitude: u64) -> bool {
    limit != 0 && magnitude >= limit
}

/// What the panic is for.
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

/// What made the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initiator {
    /// A CPU, in its timer interrupt or in an NMI.
    Cpu(u32),
    /// The hung-task thread.
    Thread,
}

/// What is being done before the panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The initiator gives its report.
    Reporting,
    /// A thread shows what `*_sys_info` asks for.
    SysInfo,
    /// Consoles drain.
    Delay,
}

/// A panic request: what made it, why, its phase, and until when that lasts at the longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PanicRequest {
    /// What made the request.
    pub initiator: Initiator,
    /// What the panic is for.
    pub cause: Cause,
    /// What is being done.
    pub phase: Phase,
    /// Tells it from earlier requests; the low 8 bits count.
    pub generation: u32,
    /// When the phase ends, in milliseconds on the monotonic clock, modulo 2^32: all phases end
    /// within minutes.
    pub deadline: u32,
}

/// What a poll has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextStep {
    /// Panic.
    Panic,
    /// What `*_sys_info` asks for was shown, or took too long: begin the delay.
    BeginDelay,
    /// Poll again at this time, in nanoseconds on the monotonic clock.
    PollAt(u64),
}

/// A time in nanoseconds as one in whole milliseconds, modulo 2^32.
fn millis(ns: u64) -> u32 {
    // Cut off on purpose.
    (ns / 1_000_000) as u32
}

/// When a phase of `ns` nanoseconds ends that begins `now`, as [`PanicRequest::deadline`] has it:
/// rounded up, so that none is cut short. A phase of no length ends on the spot.
fn deadline(now: u64, ns: u64) -> u32 {
    if ns == 0 {
        return millis(now);
    }
    millis(now.saturating_add(ns).saturating_add(999_999))
}

/// A CPU number that no kernel has: the thread.
const THREAD: u64 = 0xf_ffff;

impl PanicRequest {
    /// A request whose report begins now.
    pub fn new(initiator: Initiator, cause: Cause, generation: u32, now: u64) -> Self {
        Self {
            initiator,
            cause,
            phase: Phase::Reporting,
            generation: generation & 0xff,
            deadline: deadline(now, STEP_NS),
        }
    }

    /// The same request in another phase, which lasts for at most `ns` nanoseconds from now.
    #[must_use]
    pub fn in_phase(self, phase: Phase, now: u64, ns: u64) -> Self {
        Self {
            phase,
            deadline: deadline(now, ns),
            ..self
        }
    }

    /// The request in one word, which is never 0.
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

    /// The request that [`PanicRequest::pack`] has packed; `None` for a word that is none, such as 0.
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

    /// Whether it is the same request, in whatever phase.
    pub fn is_same(&self, other: &Self) -> bool {
        (self.initiator, self.cause, self.generation)
            == (other.initiator, other.cause, other.generation)
    }

    /// Nanoseconds until the phase ends; 0: it has.
    fn remaining(&self, now: u64) -> u64 {
        let remaining = self.deadline.wrapping_sub(millis(now)) as i32;
        u64::try_from(remaining)
            .unwrap_or(0)
            .saturating_mul(1_000_000)
    }

    /// What the initiator has to do. `sys_info_done`: whether all has been shown that `*_sys_info`
    /// asks for.
    pub fn next_for_initiator(&self, now: u64, sys_info_done: bool) -> NextStep {
        let remaining = self.remaining(now);
        match self.phase {
            Phase::SysInfo if sys_info_done || remaining == 0 => NextStep::BeginDelay,
            Phase::Delay if remaining == 0 => NextStep::Panic,
            // In phase Reporting the initiator is at its report, and does not poll.
            _ => NextStep::PollAt(now.saturating_add(remaining.clamp(1, POLL_NS))),
        }
    }

    /// What another CPU has to do.
    pub fn next_for_takeover(&self, now: u64) -> NextStep {
        // Counted from the deadline, so that a phase that ended long ago counts as over.
        let since = millis(now).wrapping_sub(self.deadline) as i32;
        let since = u64::try_from(since).unwrap_or(0).saturating_mul(1_000_000);
        if since >= TAKE_OVER_NS {
            return NextStep::Panic;
        }
        let wait = self.remaining(now).saturating_add(TAKE_OVER_NS);
        NextStep::PollAt(now.saturating_add(wait.saturating_sub(since)))
    }
}
