// SPDX-License-Identifier: GPL-2.0

//! Clocks, read as plain nanoseconds, and the kernel's tick rate.
//!
//! C headers: [`include/linux/timekeeping.h`](srctree/include/linux/timekeeping.h),
//! [`include/linux/sched/clock.h`](srctree/include/linux/sched/clock.h)

use super::ffi;
use kernel::{
    bindings,
    prelude::*, //
};

/// Ticks a second.
// `bindings::HZ` is the one of user space, always 100.
pub(crate) const HZ: i64 = bindings::CONFIG_HZ as i64;

/// Reads `CLOCK_MONOTONIC`, which stops during suspend and goes on while a virtual machine is
/// paused.
///
/// # Context
///
/// Any but NMI: `ktime_get()` waits for the timekeeper's writer.
pub(crate) fn monotonic() -> u64 {
    // SAFETY: Timekeeping runs since before modules can be loaded.
    let ns = unsafe { bindings::ktime_get() };
    u64::try_from(ns).unwrap_or(0)
}

/// Reads `CLOCK_MONOTONIC` without waiting for its writer (`ktime_get_mono_fast_ns()`): the result
/// may be a few nanoseconds behind [`monotonic`], or jump back by as much.
///
/// # Context
///
/// Any, NMI included.
pub(crate) fn monotonic_in_nmi() -> u64 {
    // SAFETY: May be called in any context.
    unsafe { bindings::ktime_get_mono_fast_ns() }
}

/// Tells whether little time has passed, without reading a clock: a few instructions, by the time-stamp
/// counter of x86-64. Elsewhere it never has.
pub(crate) struct Stopwatch {
    #[cfg(CONFIG_X86_64)]
    began: u64,
}

impl Stopwatch {
    /// So many cycles of the time-stamp counter are little time: less than a millisecond from 1.1 GHz on.
    #[cfg(CONFIG_X86_64)]
    const SHORT: u64 = 1 << 20;

    /// Starts.
    ///
    /// # Context
    ///
    /// Any, NMI included. On the CPU that asks later.
    pub(crate) fn start() -> Self {
        Self {
            #[cfg(CONFIG_X86_64)]
            began: Self::cycles(),
        }
    }

    #[cfg(CONFIG_X86_64)]
    fn cycles() -> u64 {
        // SAFETY: All x86-64 CPUs have the instruction, which the kernel may use at any time.
        unsafe { core::arch::x86_64::_rdtsc() }
    }

    /// Whether little time has passed. If not, or if it is not known, a clock has to be read.
    ///
    /// # Context
    ///
    /// Any, NMI included, on the CPU that has started it.
    pub(crate) fn is_short(&self) -> bool {
        #[cfg(CONFIG_X86_64)]
        return Self::cycles().wrapping_sub(self.began) < Self::SHORT;
        #[cfg(not(CONFIG_X86_64))]
        return false;
    }
}

/// Reads the clock that stamps the log.
///
/// # Context
///
/// Any, NMI included.
pub(crate) fn log_clock() -> u64 {
    // SAFETY: May be called in any context.
    unsafe { ffi::vigil_local_clock() }
}

/// Reads the nanoseconds since 1970.
///
/// # Context
///
/// Any, NMI included.
pub(crate) fn wall_clock() -> u64 {
    // SAFETY: May be called in any context.
    unsafe { bindings::ktime_get_real_fast_ns() }
}

#[kunit_tests(vigil_clock)]
mod tests {
    use super::*;

    #[test]
    fn hz_is_a_configured_rate() {
        assert!(matches!(HZ, 100 | 250 | 300 | 1000));
    }

    #[test]
    fn monotonic_never_goes_back() {
        let mut last = monotonic();
        assert!(last != 0);
        for _ in 0..20_000 {
            let now = monotonic();
            assert!(now >= last);
            last = now;
        }
    }
}
