// SPDX-License-Identifier: GPL-2.0

//! `sys_info()`: prints tasks, memory, locks and the like, at once or by a kernel worker.
//!
//! C headers: [`include/linux/sys_info.h`](srctree/include/linux/sys_info.h), `src/c/vigil.h`

use super::{
    ffi,
    ksyms::Ksyms, //
};

impl Ksyms {
    /// Prints parts of the system's state, `SYS_INFO_*` of `include/linux/sys_info.h`; 0 prints what
    /// `kernel.kernel_sys_info` names. Returns whether `sys_info()` is available.
    ///
    /// # Context
    ///
    /// Process context; prints a lot.
    pub(crate) fn sys_info(&self, mask: usize) -> bool {
        // SAFETY: Takes any mask. Not bound, the call does nothing.
        unsafe { ffi::vigil_sys_info(mask) };
        self.sys_info
    }
}

/// Has a kernel worker call [`Ksyms::sys_info`]. That takes locks which sleep on some kernels, and
/// which a stuck CPU may hold: a CPU that has just reported a lockup must not wait for them.
///
/// Dropping it removes what is queued, and waits for a worker that prints.
///
/// # Invariants
///
/// There is at most one in the module.
pub(crate) struct DeferredSysInfo(Ksyms);

impl DeferredSysInfo {
    /// Creates it; nothing is queued.
    pub(crate) fn new(ksyms: Ksyms) -> Self {
        Self(ksyms)
    }

    /// Queues a call of [`Ksyms::sys_info`]. Calls that the worker has not begun are merged.
    ///
    /// # Context
    ///
    /// Any but NMI.
    pub(crate) fn sys_info(&self, mask: usize) {
        if self.is_available() {
            // SAFETY: Takes any mask. `Drop` waits for the worker before the module goes.
            unsafe { ffi::vigil_sys_info_defer(mask) };
        }
    }

    /// Returns whether all calls that were queued have printed.
    ///
    /// # Context
    ///
    /// Any, NMI included; takes no lock.
    pub(crate) fn is_done(&self) -> bool {
        // SAFETY: Reads two variables.
        unsafe { ffi::vigil_sys_info_deferred_done() != 0 }
    }

    /// Returns whether `sys_info()` is available.
    pub(crate) fn is_available(&self) -> bool {
        self.0.sys_info
    }
}

impl Drop for DeferredSysInfo {
    fn drop(&mut self) {
        // SAFETY: Queueing borrows `self`, so that nothing is queued any more. The owner is dropped
        // in process context. Waits for the worker.
        unsafe { ffi::vigil_sys_info_deferred_cancel() };
    }
}

#[kernel::prelude::kunit_tests(vigil_sys_info)]
mod tests {
    use super::{
        super::testing::until,
        *, //
    };

    #[test]
    fn deferred_sys_info_is_printed() {
        // The module has one, which its `Drop` would cancel.
        let deferred = core::mem::ManuallyDrop::new(DeferredSysInfo::new(Ksyms::resolve(true)));
        assert_eq!(deferred.is_available(), deferred.0.sys_info);
        assert!(deferred.is_done());
        deferred.sys_info(crate::logic::knobs::SYS_INFO_LOCKS as usize);
        assert!(until(|| deferred.is_done()));
    }
}
