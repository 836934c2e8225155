// SPDX-License-Identifier: GPL-2.0

//! The way from a finding to a panic: whether there is to be one, and when.
//!
//! Mainline panics on the spot. Here a panic may have to wait: for what is shown besides the report,
//! which takes locks that a stuck CPU may hold and is therefore not shown by the one that is to
//! panic; and for the console to drain (`panic_delay_ms`). Each step has an end; and should the one
//! that decided not come back from it, another CPU takes over.
//!
//! The decision is one word ([`PanicRequest`]), so that it is there with all that belongs to it or not
//! at all, and so that whoever goes on with one that was called off meanwhile notices.

use super::NSEC_PER_SEC;

/// How long a step of a report may take, in nanoseconds, before others panic instead of who is
/// giving it. The longest: the stacks of a few hundred CPUs on a serial console.
pub const STEP_NS: u64 = 60 * NSEC_PER_SEC;

/// How long what is shown besides a report is waited for, in nanoseconds: as long as the kernel
/// itself waits for the stacks of other CPUs (`nmi_trigger_cpumask_backtrace()`).
pub const SYS_INFO_NS: u64 = 10 * NSEC_PER_SEC;

/// How long after the end of a step, in nanoseconds, another CPU panics than the one that decided.
pub const TAKE_OVER: u64 = 2 * NSEC_PER_SEC;

/// How often who is to panic looks whether it is time, in nanoseconds.
pub const POLL_NS: u64 = 20_000_000;

/// Whether the policy knobs allow a panic.
pub fn allowed(needs_kdump: bool, crash_kernel_loaded: bool) -> bool {
    !needs_kdump || crash_kernel_loaded
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

/// Who decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initiator {
    /// A CPU, in its timer interrupt.
    Cpu(u32),
    /// The thread that looks at the tasks.
    Thread,
}

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The report is being given.
    Reporting,
    /// More of the system is being shown, by somebody else.
    SysInfo,
    /// The console drains.
    Delay,
}

/// A decision to panic: who decided, why, what is being done about it, and until when at the
/// longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PanicRequest {
    /// Who decided.
    pub by: Initiator,
    /// What for.
    pub why: Cause,
    /// What is being done.
    pub phase: Phase,
    /// Tells it from earlier ones; the low 8 bits count.
    pub generation: u32,
    /// When that ends, in milliseconds, modulo 2^32: all ends are within minutes.
    pub end: u32,
}

/// What to do about it now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextStep {
    /// Panic.
    Panic,
    /// What was to be shown has been, or took too long: let the console drain.
    Drain,
    /// Look again then, in nanoseconds.
    PollAt(u64),
}

/// A time in nanoseconds as one in whole milliseconds, modulo 2^32.
fn millis(ns: u64) -> u32 {
    // Cut off on purpose.
    (ns / 1_000_000) as u32
}

/// When a step of `ns` nanoseconds ends that begins `now`, as [`PanicRequest::end`] has it: rounded up,
/// so that none is cut short. One of no length ends on the spot.
fn end(now: u64, ns: u64) -> u32 {
    if ns == 0 {
        return millis(now);
    }
    millis(now.saturating_add(ns).saturating_add(999_999))
}

/// A number of CPUs that no kernel has: the thread.
const THREAD: u64 = 0xf_ffff;

impl PanicRequest {
    /// A new one, with the report before it.
    pub fn new(by: Initiator, why: Cause, generation: u32, now: u64) -> Self {
        Self {
            by,
            why,
            phase: Phase::Reporting,
            generation: generation & 0xff,
            end: end(now, STEP_NS),
        }
    }

    /// The same, with something else to be done for `ns` from now.
    #[must_use]
    pub fn then(self, phase: Phase, now: u64, ns: u64) -> Self {
        Self {
            phase,
            end: end(now, ns),
            ..self
        }
    }

    /// In one word, which is never 0.
    pub fn pack(self) -> u64 {
        let by = match self.by {
            Initiator::Cpu(cpu) => u64::from(cpu) & THREAD,
            Initiator::Thread => THREAD,
        };
        let why = match self.why {
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
        u64::from(self.end) << 32 | generation << 24 | why << 22 | phase << 20 | by
    }

    /// What [`PanicRequest::pack`] has packed; `None`: 0.
    pub fn unpack(word: u64) -> Option<Self> {
        let by = match word & THREAD {
            THREAD => Initiator::Thread,
            cpu => Initiator::Cpu(cpu as u32),
        };
        let why = match word >> 22 & 3 {
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
            by,
            why,
            phase,
            generation: (word >> 24) as u32 & 0xff,
            end: (word >> 32) as u32,
        })
    }

    /// Whether it is the same decision, whatever is being done about it.
    pub fn is_same(&self, other: &Self) -> bool {
        (self.by, self.why, self.generation) == (other.by, other.why, other.generation)
    }

    /// Nanoseconds until its step ends; 0: it has.
    fn remaining(&self, now: u64) -> u64 {
        let remaining = self.end.wrapping_sub(millis(now)) as i32;
        u64::try_from(remaining)
            .unwrap_or(0)
            .saturating_mul(1_000_000)
    }

    /// For the one that decided: `shown` tells whether what was to be shown has been.
    pub fn next_for_initiator(&self, now: u64, shown: bool) -> NextStep {
        let remaining = self.remaining(now);
        match self.phase {
            Phase::SysInfo if shown || remaining == 0 => NextStep::Drain,
            Phase::Delay if remaining == 0 => NextStep::Panic,
            // It is at the report itself, and does not get here.
            _ => NextStep::PollAt(now.saturating_add(remaining.clamp(1, POLL_NS))),
        }
    }

    /// For all others.
    pub fn next_for_takeover(&self, now: u64) -> NextStep {
        // Counted from the end, so that a step that ended long ago is one that is over.
        let since = millis(now).wrapping_sub(self.end) as i32;
        let since = u64::try_from(since).unwrap_or(0).saturating_mul(1_000_000);
        if since >= TAKE_OVER {
            return NextStep::Panic;
        }
        let wait = self.remaining(now).saturating_add(TAKE_OVER);
        NextStep::PollAt(now.saturating_add(wait.saturating_sub(since)))
    }
}
