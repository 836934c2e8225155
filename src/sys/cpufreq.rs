// SPDX-License-Identifier: GPL-2.0

//! The frequency of the CPUs, and a notifier that reports a change of it.
//!
//! C header: [`include/linux/cpufreq.h`](srctree/include/linux/cpufreq.h), by `src/c/vigil.h`

use super::{cpu, ffi};
use kernel::{error::to_result, ffi::c_void, prelude::*};

/// The frequency of a CPU's cycles in kHz, by which a threshold is turned into their number; 0 if
/// it is not known.
///
/// # Context
///
/// Process context, may sleep.
pub(crate) fn khz(cpu: u32) -> u64 {
    if cpu::possible(cpu) {
        // SAFETY: There is such a CPU; whoever calls this may sleep.
        unsafe { ffi::vigil_cpu_khz(cpu) as u64 }
    } else {
        0
    }
}

/// Somebody who wants to know when [`khz`] may have changed.
pub(crate) trait FrequencyListener: Send + Sync {
    /// It may have.
    ///
    /// # Context
    ///
    /// A kernel thread, may sleep.
    fn khz_changed(&self);
}

/// Being told of changes; dropping it waits until nobody is being told any more.
///
/// # Invariants
///
/// Registered for as long as this value lives, with the address of `who`; there is no second one.
pub(crate) struct PolicyNotifier<T: FrequencyListener> {
    _who: Pin<KBox<T>>,
}

impl<T: FrequencyListener> PolicyNotifier<T> {
    /// Begins to tell `who`.
    ///
    /// # Errors
    ///
    /// Whatever `cpufreq_register_notifier()` says.
    ///
    /// # Context
    ///
    /// Process context, at load.
    pub(crate) fn new(who: T) -> Result<Self> {
        let who = KBox::pin(who, GFP_KERNEL)?;
        let arg = core::ptr::from_ref(&*who).cast_mut().cast::<c_void>();
        // SAFETY: `who` does not move, and lives until `drop` has seen the last call end. The module
        // makes one of these.
        to_result(unsafe { ffi::vigil_khz_watch(Some(changed::<T>), arg) })?;
        // INVARIANT: Just registered.
        Ok(Self { _who: who })
    }
}

impl<T: FrequencyListener> Drop for PolicyNotifier<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { ffi::vigil_khz_unwatch() };
    }
}

/// # Safety
///
/// `arg` is a `T` that lives.
unsafe extern "C" fn changed<T: FrequencyListener>(arg: *mut c_void) {
    // SAFETY: By the function's own requirement.
    unsafe { &*arg.cast::<T>() }.khz_changed();
}

#[kunit_tests(vigil_cpufreq)]
mod tests {
    use super::*;

    #[test]
    fn a_cpu_that_cannot_be_has_no_frequency() {
        assert_eq!(khz(cpu::count()), 0);
    }
}
