// SPDX-License-Identifier: GPL-2.0

//! Unpaused time: `CLOCK_MONOTONIC` without the time in which the machine did not run.
//!
//! When a hypervisor stops a virtual machine for a minute and lets it go on, the guest's monotonic
//! clock has jumped by a minute. By that clock alone, each task that slept at that moment has slept
//! for a minute.
//!
//! The pause clock is a timer interrupt that comes each [`PERIOD_NS`] while a task is tracked. Time
//! in which the interrupt should have come and did not is a pause: the machine did not run, and the
//! time does not count. A lack of CPU time does not delay the interrupt, so that a busy machine is
//! not taken for a paused one.
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

/// How long the machine did not run in the `gap` between two interrupts, in nanoseconds.
pub fn paused_ns(gap: u64) -> u64 {
    if overdue(gap) {
        gap.saturating_sub(PERIOD_NS)
    } else {
        0
    }
}
