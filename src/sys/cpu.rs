// SPDX-License-Identifier: GPL-2.0

//! CPUs: which exist, and what they spend their time on.
//!
//! C headers: [`include/linux/cpumask.h`](srctree/include/linux/cpumask.h),
//! [`include/linux/kernel_stat.h`](srctree/include/linux/kernel_stat.h), `src/c/vigil.h`

use super::{
    context::HardirqCtx,
    ffi, //
};
use kernel::{
    bindings,
    ffi::c_ulong, //
};

/// Returns the number of the CPU that runs this; a task that may migrate can be on another one
/// right afterwards.
///
/// # Context
///
/// Any, NMI included.
pub(crate) fn this() -> u32 {
    // SAFETY: Reads the number of this CPU.
    unsafe { bindings::raw_smp_processor_id() }
}

/// Returns whether a CPU is online at this moment.
///
/// # Context
///
/// Any, NMI included. With interrupts off it stays so: `stop_machine()`, by which a CPU goes offline,
/// waits for this one.
pub(crate) fn online(cpu: u32) -> bool {
    // SAFETY: Reads a bit of a mask, below `nr_cpu_ids`.
    possible(cpu) && unsafe { ffi::vigil_cpu_online(cpu) } != 0
}

/// Returns the CPUs that are online, but one. Whether a CPU is, is seen when it is its turn.
///
/// # Context
///
/// Any, NMI included.
pub(crate) fn others_online(but: u32) -> impl Iterator<Item = u32> {
    (0..nr_cpu_ids()).filter(move |&cpu| cpu != but && online(cpu))
}

/// Returns whether there is a hypervisor, which may stop a CPU at any time. Where the kernel cannot
/// tell (arm64), there may be one.
///
/// # Context
///
/// Any.
pub(crate) fn has_hypervisor() -> bool {
    // SAFETY: Reads what the kernel found out at boot.
    unsafe { ffi::vigil_has_hypervisor() != 0 }
}

/// Returns one more than the number of the highest possible CPU: `nr_cpu_ids`.
///
/// # Context
///
/// Any, NMI included.
pub(crate) fn nr_cpu_ids() -> u32 {
    kernel::cpu::nr_cpu_ids()
}

/// How many CPUs the kernel supports as it is built.
pub(crate) const NR_CPUS: u32 = bindings::CONFIG_NR_CPUS;

/// Returns whether a CPU is possible: whether it is present, or may be plugged in.
///
/// # Context
///
/// Any, NMI included.
#[inline]
pub(crate) fn possible(cpu: u32) -> bool {
    if cpu >= nr_cpu_ids() {
        return false;
    }
    let mask = &raw const bindings::__cpu_possible_mask;
    // SAFETY: The mask does not change after boot. Not by `cpumask_test_cpu()`, which is a call: the
    // timer interrupt asks for each thing that it reads of a CPU.
    let words = unsafe { &(*mask).bits };
    let word = words.get((cpu / c_ulong::BITS) as usize);
    word.is_some_and(|word| word >> (cpu % c_ulong::BITS) & 1 != 0)
}

/// Returns whether a CPU is possible and the kernel may run its timers there: not on one of
/// `nohz_full=`.
pub(crate) fn housekeeping(cpu: u32) -> bool {
    // SAFETY: The CPU is possible, so that its bit is in the mask.
    possible(cpu) && unsafe { ffi::vigil_cpu_housekeeping(cpu) != 0 }
}

/// Returns the steal time of a CPU so far, in nanoseconds: how long its hypervisor ran something
/// else.
///
/// # Context
///
/// Any, NMI included.
pub(crate) fn steal_ns(cpu: u32) -> u64 {
    if !possible(cpu) {
        return 0;
    }
    // SAFETY: The CPU is possible, so that it has its part of per-CPU variables.
    unsafe { ffi::vigil_steal_ns(cpu) }
}

/// Returns the [`steal_ns`] of the CPU that runs this, in fewer instructions.
///
/// # Context
///
/// Any where the CPU stays the same, NMI included.
pub(crate) fn steal_ns_here() -> u64 {
    // SAFETY: Reads a per-CPU variable of this CPU.
    unsafe { ffi::vigil_steal_ns_here() }
}

/// Returns whether kvmclock's flag is set that the hypervisor paused a CPU; `None` if the CPU has
/// no kvmclock. The flag stays set until an in-tree watchdog, if one runs, clears it.
///
/// # Context
///
/// Any, NMI included.
pub(crate) fn guest_paused(cpu: u32) -> Option<bool> {
    if !possible(cpu) {
        return None;
    }
    // SAFETY: The CPU is possible, so that it has its part of per-CPU variables.
    match unsafe { ffi::vigil_guest_paused(cpu) } {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

/// Returns whether [`guest_paused`] of the CPU that runs this is set.
pub(crate) fn guest_paused_here(irq: &HardirqCtx<'_>) -> bool {
    // SAFETY: A CPU that takes interrupts is possible.
    unsafe { ffi::vigil_guest_paused(irq.cpu()) == 1 }
}

/// Returns the system, softirq, hardirq and idle time of a CPU so far, and its user and steal time together,
/// in nanoseconds. Most kernels
/// count it by the tick, so that what lasts less than a tick is chance, and a CPU that is idle has not
/// counted all of its idle time.
///
/// # Context
///
/// Any but NMI.
pub(crate) fn times(cpu: u32) -> [u64; ffi::vigil_cpu_time_VIGIL_NR_CPU_TIMES as usize] {
    let mut times = [0; ffi::vigil_cpu_time_VIGIL_NR_CPU_TIMES as usize];
    if possible(cpu) {
        // SAFETY: The CPU is possible; the array has the length that the function writes.
        unsafe { ffi::vigil_cpu_times(cpu, times.as_mut_ptr()) };
    }
    times
}

/// Returns the [`times`] of the CPU that runs this.
pub(crate) fn times_here(
    irq: &HardirqCtx<'_>,
) -> [u64; ffi::vigil_cpu_time_VIGIL_NR_CPU_TIMES as usize] {
    let mut times = [0; ffi::vigil_cpu_time_VIGIL_NR_CPU_TIMES as usize];
    // SAFETY: A CPU that takes interrupts is possible; the array has the length that the function
    // writes.
    unsafe { ffi::vigil_cpu_times(irq.cpu(), times.as_mut_ptr()) };
    times
}

#[kernel::prelude::kunit_tests(vigil_cpu)]
mod tests {
    use super::{
        super::testing::*,
        *, //
    };

    #[test]
    fn nr_cpu_ids_follows_the_last_possible_cpu() {
        assert!(nr_cpu_ids() >= 1);
        assert!(nr_cpu_ids() <= NR_CPUS);
        assert!(possible(nr_cpu_ids().wrapping_sub(1)));
        assert!(!possible(nr_cpu_ids()));
        assert!(!possible(u32::MAX));
        for cpu in cpus_online() {
            assert!(possible(cpu));
        }
    }

    #[test]
    fn an_impossible_cpu_reads_as_nothing() {
        for cpu in [nr_cpu_ids(), NR_CPUS, u32::MAX] {
            assert_eq!(times(cpu), [0; 5]);
            assert_eq!(steal_ns(cpu), 0);
            assert!(!housekeeping(cpu));
            assert_eq!(guest_paused(cpu), None);
        }
    }

    #[test]
    fn cpu_times_grow() {
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
