// SPDX-License-Identifier: GPL-2.0

//! The frequency of the CPUs, and a notifier for its change.
//!
//! C headers: [`include/linux/cpufreq.h`](srctree/include/linux/cpufreq.h), `src/c/vigil.h`

use super::{
    cpu,
    ffi,
    single::Single, //
};
use kernel::{
    error::to_result,
    ffi::c_void,
    prelude::*,
    sync::atomic::Atomic, //
};

/// Returns the frequency in kHz by which a threshold is turned into a number of cycles, as the
/// kernel's own `hw_nmi_get_sample_period()` has it; 0 if it is not known.
///
/// # Context
///
/// Process context, may sleep.
pub(crate) fn khz(cpu: u32) -> u64 {
    if cpu::possible(cpu) {
        max_khz(cpu).into()
    } else {
        0
    }
}

/// On x86: the nominal frequency, one for all CPUs.
#[cfg(CONFIG_X86)]
fn max_khz(_cpu: u32) -> u32 {
    // SAFETY: The kernel writes it at boot, before modules can be loaded, and where the TSC is
    // refined soon after: an integer, in one piece.
    unsafe { (&raw const kernel::bindings::cpu_khz).read_volatile() }
}

/// Elsewhere: the highest frequency of the CPU.
#[cfg(all(not(CONFIG_X86), CONFIG_CPU_FREQ))]
fn max_khz(cpu: u32) -> u32 {
    // SAFETY: The caller has checked that the CPU is possible, and may sleep.
    unsafe { kernel::bindings::cpufreq_get_hw_max_freq(cpu) }
}

/// Elsewhere, without cpufreq: not known.
#[cfg(not(any(CONFIG_X86, CONFIG_CPU_FREQ)))]
fn max_khz(_cpu: u32) -> u32 {
    0
}

/// The callback of a [`PolicyNotifier`].
pub(crate) trait FrequencyListener: Send + Sync {
    /// Called when [`khz`] may have changed.
    ///
    /// # Context
    ///
    /// A kernel worker, may sleep.
    fn khz_changed(&self);
}

/// A registered cpufreq policy notifier. Dropping it unregisters it and waits for a running call of
/// [`FrequencyListener::khz_changed`].
///
/// # Invariants
///
/// Registered for as long as this value lives, with the address of `listener`.
pub(crate) struct PolicyNotifier<T: FrequencyListener> {
    _listener: Pin<KBox<T>>,
    _single: Single,
}

impl<T: FrequencyListener> PolicyNotifier<T> {
    /// Registers `listener`.
    ///
    /// # Errors
    ///
    /// `EBUSY` while another one lives; `ENOMEM`, and what `cpufreq_register_notifier()` returns.
    ///
    /// # Context
    ///
    /// Process context, at load.
    pub(crate) fn new(listener: T) -> Result<Self> {
        static TAKEN: Atomic<bool> = Atomic::new(false);
        let single = Single::take(&TAKEN)?;
        let listener = KBox::pin(listener, GFP_KERNEL)?;
        let arg = core::ptr::from_ref(&*listener).cast_mut().cast::<c_void>();
        // SAFETY: `listener` is pinned and lives until `drop` has waited for the last call. No
        // other one lives.
        to_result(unsafe { ffi::vigil_cpufreq_register(Some(khz_changed::<T>), arg) })?;
        // INVARIANT: Just registered.
        Ok(Self {
            _listener: listener,
            _single: single,
        })
    }
}

impl<T: FrequencyListener> Drop for PolicyNotifier<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant it is registered. Waits for a running call.
        unsafe { ffi::vigil_cpufreq_unregister() };
    }
}

/// # Safety
///
/// `arg` points to a `T` that lives until this returns.
unsafe extern "C" fn khz_changed<T: FrequencyListener>(arg: *mut c_void) {
    // SAFETY: By the function's safety requirement.
    unsafe { &*arg.cast::<T>() }.khz_changed();
}

#[kunit_tests(vigil_cpufreq)]
mod tests {
    use super::*;

    #[test]
    fn an_impossible_cpu_has_no_frequency() {
        assert_eq!(khz(cpu::nr_cpu_ids()), 0);
    }
}
