// SPDX-License-Identifier: GPL-2.0

//! `sys_info()`: prints tasks, memory, locks and the like, at once or by a thread of the module.
//!
//! C headers: [`include/linux/sys_info.h`](srctree/include/linux/sys_info.h), `src/c/vigil.h`

use super::{
    ffi,
    ksyms::Ksyms, //
};
use kernel::sync::atomic::{
    Acquire,
    Atomic,
    Full,
    Relaxed,
    Release, //
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

/// What a thread is to show by [`Ksyms::sys_info`]. That takes locks which sleep on some kernels, and
/// which a stuck CPU may hold: a CPU that has just reported a lockup must not wait for them, and no
/// lock is taken to ask for it, as there would be to queue work.
pub(crate) struct DeferredSysInfo {
    ksyms: Ksyms,
    /// What was asked for and is not shown yet.
    mask: Atomic<u64>,
    /// How often something was asked for; wraps.
    requests: Atomic<u32>,
    /// Of which request the last of what was asked for was shown.
    done: Atomic<u32>,
    /// Whether a thread is showing something.
    showing: Atomic<bool>,
}

impl DeferredSysInfo {
    /// Creates it; nothing is asked for.
    pub(crate) fn new(ksyms: Ksyms) -> Self {
        Self {
            ksyms,
            mask: Atomic::new(0),
            requests: Atomic::new(0),
            done: Atomic::new(0),
            showing: Atomic::new(false),
        }
    }

    /// Asks for what is in the mask. Requests whose parts are not shown yet are merged.
    ///
    /// # Context
    ///
    /// Any, NMI included; takes no lock.
    pub(crate) fn sys_info(&self, mask: usize) {
        if !self.is_available() {
            return;
        }
        self.update(|old| old | mask as u64);
        // After the mask: a thread that sees the request shows it.
        self.requests.fetch_add(1, Full);
    }

    /// Shows what was asked for, of the parts that are `allowed`. Returns whether that is all; not
    /// while another thread does so, which has the rest to show when it is back.
    ///
    /// # Context
    ///
    /// Process context; prints a lot, and waits for locks.
    pub(crate) fn show(&self, allowed: usize) -> bool {
        if self.showing.xchg(true, Full) {
            return false;
        }
        let is_all = self.show_alone(allowed);
        self.showing.store(false, Release);
        is_all
    }

    /// As [`DeferredSysInfo::show`], in one thread at a time.
    fn show_alone(&self, allowed: usize) -> bool {
        let requests = self.requests.load(Acquire);
        let all = self.update(|old| old & !(allowed as u64));
        let mask = all & allowed as u64;
        // 0 would show something else.
        if mask != 0 {
            self.ksyms.sys_info(usize::try_from(mask).unwrap_or(0));
        }
        let is_all = mask == all;
        if is_all {
            self.done.store(requests, Release);
        }
        is_all
    }

    /// Changes the mask. Returns what it was.
    fn update(&self, new: impl Fn(u64) -> u64) -> u64 {
        let mut old = self.mask.load(Relaxed);
        loop {
            match self.mask.cmpxchg(old, new(old), Full) {
                Ok(_) => return old,
                Err(now) => old = now,
            }
        }
    }

    /// Returns whether all that was asked for was shown.
    ///
    /// # Context
    ///
    /// Any, NMI included; takes no lock.
    pub(crate) fn is_done(&self) -> bool {
        self.done.load(Acquire) == self.requests.load(Relaxed)
    }

    /// Returns whether `sys_info()` is available.
    pub(crate) fn is_available(&self) -> bool {
        self.ksyms.sys_info
    }
}

#[kernel::prelude::kunit_tests(vigil_sys_info)]
mod tests {
    use super::*;
    use crate::logic::knobs::{
        SYS_INFO_LOCKS,
        SYS_INFO_MEM, //
    };

    #[test]
    fn deferred_sys_info_is_shown() {
        let deferred = DeferredSysInfo::new(Ksyms::resolve(true));
        assert_eq!(deferred.is_available(), deferred.ksyms.sys_info);
        assert!(deferred.is_done());
        deferred.sys_info((SYS_INFO_LOCKS | SYS_INFO_MEM) as usize);
        assert_eq!(deferred.is_done(), !deferred.is_available());
        // A part of it, and the rest.
        assert_eq!(
            deferred.show(SYS_INFO_LOCKS as usize),
            !deferred.is_available()
        );
        assert_eq!(deferred.is_done(), !deferred.is_available());
        assert!(deferred.show(usize::MAX));
        assert!(deferred.is_done());
        assert!(deferred.show(usize::MAX));
    }
}
