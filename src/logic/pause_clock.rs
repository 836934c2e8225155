// SPDX-License-Identifier: GPL-2.0

//! The live clock: monotonic time without the time in which the machine did not run.
//!
//! A virtual machine that its host stops for a minute finds, when it goes on, that its monotonic
//! clock has jumped by a minute. To a detector that looks at clocks alone, everything that slept
//! at that moment has slept for a minute.
//!
//! A beat (a timer interrupt each [`PERIOD`], only while something is being watched) tells: time
//! in which the beat should have come and did not is time in which the machine did not run, and
//! does not count. Being starved of CPU time by other tasks does not delay the beat, since it
//! comes from the interrupt itself.
//!
//! The beat may also stay away because the one CPU that it comes to keeps interrupts off. Whoever
//! finds it overdue therefore starts it anew, on the CPU that it runs on itself: so a machine that
//! was stopped, or a CPU that is stuck, costs one gap, and the clock goes on.

/// Nanoseconds between beats.
pub const PERIOD: u64 = 1_000_000_000;

/// How late a beat may come, in nanoseconds, before the rest is called a pause.
pub const SLACK: u64 = 1_000_000_000;

/// Whether a beat that came last `gap` nanoseconds ago should have come again by now. The live
/// clock cannot be read then.
pub fn overdue(gap: u64) -> bool {
    gap > PERIOD.saturating_add(SLACK)
}

/// The part of the time between two beats, or since the last one, in which the machine did not
/// run, in nanoseconds.
pub fn lost(gap: u64) -> u64 {
    if overdue(gap) {
        gap.saturating_sub(PERIOD)
    } else {
        0
    }
}
