// SPDX-License-Identifier: GPL-2.0

//! Clocks, read as plain nanoseconds, and the kernel's tick rate.
//!
//! C header: [`include/linux/timekeeping.h`](srctree/include/linux/timekeeping.h)

use kernel::{bindings, prelude::*};

/// Ticks a second.
// `bindings::HZ` is the one of user space, always 100.
pub(crate) const HZ: i64 = bindings::CONFIG_HZ as i64;

/// `CLOCK_MONOTONIC`: stands still during suspend, goes on while a virtual machine is stopped.
///
/// # Context
///
/// Any but NMI (`ktime_get()` waits for the timekeeper's writer).
pub(crate) fn monotonic() -> u64 {
    // SAFETY: Timekeeping runs since long before modules can be loaded.
    let ns = unsafe { bindings::ktime_get() };
    u64::try_from(ns).unwrap_or(0)
}

/// The same clock, by way of a copy that is always whole: may be a few nanoseconds behind
/// [`monotonic`], or jump back by as much.
///
/// # Context
///
/// Any, NMI included.
pub(crate) fn monotonic_in_nmi() -> u64 {
    // SAFETY: May be called from any context.
    unsafe { bindings::ktime_get_mono_fast_ns() }
}

/// The clock that stamps the log, for what is to be found there.
///
/// # Context
///
/// Any, NMI included.
pub(crate) fn log_clock() -> u64 {
    // SAFETY: May be called from any context.
    unsafe { super::ffi::vigil_log_clock() }
}

/// Nanoseconds since 1970.
///
/// # Context
///
/// Any, NMI included.
pub(crate) fn wall_clock() -> u64 {
    // SAFETY: May be called from any context.
    unsafe { super::ffi::vigil_wall_clock() }
}

#[kunit_tests(vigil_clock)]
mod tests {
    use super::*;

    #[test]
    fn ticks_have_a_known_rate() {
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
