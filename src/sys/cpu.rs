// SPDX-License-Identifier: GPL-2.0

//! CPUs: which there are, and what they spend their time on.

use super::ffi;

/// The CPU that this runs on; where the task may move, another one the next moment.
pub(crate) fn this() -> u32 {
    // SAFETY: Reads one variable.
    unsafe { ffi::vigil_this_cpu() }
}

/// One more than the number of the highest CPU that there may ever be.
pub(crate) fn count() -> u32 {
    // SAFETY: Reads a variable that does not change after boot.
    unsafe { ffi::vigil_nr_cpus() }
}

/// How many CPUs a kernel built like this one could have at most.
pub(crate) fn most() -> u32 {
    // SAFETY: Returns a constant.
    unsafe { ffi::vigil_most_cpus() }
}

/// Whether there may ever be a CPU of this number.
pub(crate) fn possible(cpu: u32) -> bool {
    // SAFETY: Any number will do.
    unsafe { ffi::vigil_cpu_possible(cpu) != 0 }
}

/// Whether a CPU may be disturbed by timers of the kernel's own: not if `nohz_full=` names it.
pub(crate) fn housekeeping(cpu: u32) -> bool {
    // SAFETY: A possible CPU's number is a bit of every mask.
    possible(cpu) && unsafe { ffi::vigil_cpu_housekeeping(cpu) != 0 }
}

/// Nanoseconds that the hypervisor took from a CPU so far.
///
/// # Context
///
/// Any.
pub(crate) fn stolen(cpu: u32) -> u64 {
    if !possible(cpu) {
        return 0;
    }
    // SAFETY: Each possible CPU has its part of per-CPU variables.
    unsafe { ffi::vigil_stolen_ns(cpu) }
}

/// Whether kvmclock's flag is set that the hypervisor has stopped a CPU, which stays set until the
/// kernel's own detector, if that runs, has seen it; `None` if the CPU has no kvmclock.
///
/// # Context
///
/// Any.
pub(crate) fn guest_paused(cpu: u32) -> Option<bool> {
    if !possible(cpu) {
        return None;
    }
    // SAFETY: Each possible CPU has its part of per-CPU variables.
    match unsafe { ffi::vigil_guest_paused(cpu) } {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

/// Nanoseconds of system, softirq, hardirq and idle time of a CPU so far, as the kernel counts
/// them: by the tick, so that what lasts less than a tick is chance.
///
/// # Context
///
/// Any.
pub(crate) fn times(cpu: u32) -> [u64; 4] {
    let mut times = [0; 4];
    if possible(cpu) {
        // SAFETY: As in `stolen`; there is room for the four numbers.
        unsafe { ffi::vigil_cpu_times(cpu, times.as_mut_ptr()) };
    }
    times
}

#[kernel::prelude::kunit_tests(vigil_cpu)]
mod tests {
    use super::{super::testing::*, *};

    #[test]
    fn cpus_are_counted() {
        assert!(count() >= 1);
        assert!(count() <= most());
        // The last one below is what the count is about.
        assert!(possible(count().wrapping_sub(1)));
        assert!(!possible(count()));
        assert!(!possible(u32::MAX));
        for cpu in cpus_online() {
            assert!(possible(cpu));
        }
    }

    #[test]
    fn there_is_nothing_beyond_them() {
        for cpu in [count(), most(), u32::MAX] {
            assert_eq!(times(cpu), [0; 4]);
            assert_eq!(stolen(cpu), 0);
            assert!(!housekeeping(cpu));
            assert_eq!(guest_paused(cpu), None);
        }
    }

    #[test]
    fn times_add_up_and_grow() {
        let sum = || -> u64 {
            cpus_online()
                .map(|cpu| {
                    times(cpu)
                        .iter()
                        .fold(0u64, |sum, &ns| sum.wrapping_add(ns))
                })
                .fold(0, u64::wrapping_add)
        };
        let before = sum();
        assert!(before != 0);
        assert!(until(|| sum() > before));
    }
}
