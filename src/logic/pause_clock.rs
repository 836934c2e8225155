// SPDX-License-Identifier: GPL-2.0

//! Unpaused time: `CLOCK_MONOTONIC` without the time in which the machine did not run.
//!
//! When a hypervisor stops a virtual machine for a minute and lets it go on, the guest's monotonic
//! clock has jumped by a minute. By that clock alone, each task that slept at that moment has slept
//! for a minute.
//!
//! The pause clock is a timer interrupt that comes each [`PERIOD_NS`] while a task is tracked. If
//! it comes later than [`SLACK_NS`] allows, the machine did not run for a part of the time since the
//! interrupt before. How large a part is not known, so none of that time counts: each pause makes a
//! report later by less than a period, and none comes too early. A lack of CPU time does not delay
//! the interrupt, so that a busy machine is not taken for a paused one.
//!
//! A pause that makes no interrupt later than that is not seen, and counts: none that is longer than
//! [`PERIOD_NS`] and [`SLACK_NS`] together.
//!
//! The interrupt also stays away when its CPU keeps interrupts off. So the thread that reads the
//! clock and finds the interrupt overdue restarts the timer on its own CPU: a stopped machine, or a
//! CPU that is stuck, makes one gap, and the clock goes on.

/// Nanoseconds from one interrupt of the pause clock to the next.
pub const PERIOD_NS: u64 = 1_000_000_000;

/// How late the interrupt may come, in nanoseconds, before the gap counts as a pause.
pub const SLACK_NS: u64 = 1_000_000_000;

/// Whether the next interrupt should have come by now, `gap` nanoseconds after the last one. The
/// clock cannot be read then.
pub fn overdue(gap: u64) -> bool {
    gap > PERIOD_NS.saturating_add(SLACK_NS)
}

/// How much of the `gap` between two interrupts does not count, in nanoseconds: all of it if the
/// machine did not run for a part.
pub fn paused_ns(gap: u64) -> u64 {
    if overdue(gap) {
        gap
    } else {
        0
    }
}
